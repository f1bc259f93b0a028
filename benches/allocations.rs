//! How many times the hot path asks the allocator for memory, held as an exact bound:
//! `cargo bench --bench allocations` fails when one more appears.
//!
//! A program of its own, because counting needs the global allocator, which the integration tests share.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench fails by panicking and prints for a person"
)]

use std::alloc::System;
use std::hint::black_box;

use doorward::gate::Verdict;
use doorward::gate::upstream_headers::strip_hop_by_hop;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{Fixture, Head};

mod support;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 1000;

fn main() {
    let fixture = Fixture::new();
    let credentials = &fixture.credentials;
    for (name, target, authorization, decision, head_written) in [
        // The request id is the upstream's: it is the one allocation of a decision.
        (
            "API token, cache hit",
            "/api/v1/devices/42?limit=10",
            format!("Bearer {}", credentials.api_token),
            1,
            5,
        ),
        (
            "JWT, cache hit",
            "/api/v1/devices/42",
            format!("Bearer {}", credentials.rs256),
            1,
            5,
        ),
        ("public route", "/public/index.html", "Bearer x".to_owned(), 1, 5),
    ] {
        let head = Head::get(target, &authorization);
        fixture.warm(&head);
        let now = fixture.now();
        // Other threads (usage, feeds) allocate now and then: the least of several rounds is ours alone.
        let least = |work: &dyn Fn()| {
            (0..ROUNDS)
                .map(|_| {
                    let region = Region::new(ALLOCATOR);
                    work();
                    let change = region.change();
                    change.allocations + change.reallocations
                })
                .min()
                .expect("rounds")
        };
        let decided = least(&|| {
            black_box(fixture.decide_at_once(black_box(&head), now));
        });
        let cloned = least(&|| {
            black_box(head.headers().clone());
        });
        let written = least(&|| {
            let Verdict::Forward(forwarding) = fixture.decide_at_once(&head, now) else {
                panic!("{name}: refused");
            };
            let mut headers = head.headers().clone();
            strip_hop_by_hop(&mut headers);
            forwarding.write_head(http::Version::HTTP_11, &mut headers);
            black_box(headers);
        }) - cloned
            - decided;
        println!("{name}: decision {decided}, upstream's head {written}");
        assert!(
            decided <= decision,
            "{name}: a decision allocates {decided} times, at most {decision} expected"
        );
        assert!(
            written <= head_written,
            "{name}: writing the head allocates {written} times, at most {head_written} expected"
        );
    }
}
