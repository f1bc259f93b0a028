//! Instructions of a gate decision on a cache hit, repeatable where time is not: run by
//! `benches/instructions.sh` under callgrind, which counts inside `decisions` alone.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench fails by panicking and prints for a person"
)]

use std::hint::black_box;

use doorward::domain::clock::Now;
use support::{Fixture, Head};

mod support;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Decisions that are counted together: the sampled ones (1 in 16) are among them.
const DECISIONS: usize = 1600;

fn main() {
    let fixture = Fixture::new();
    let head = Head::get(
        "/api/v1/devices/42?limit=10",
        &format!("Bearer {}", fixture.credentials.api_token),
    );
    fixture.warm(&head);
    let now = fixture.now();
    for _ in 0..100 {
        black_box(fixture.decide_at_once(&head, now));
    }
    decisions(&fixture, &head, now);
    println!("{DECISIONS} decisions");
}

#[inline(never)]
fn decisions(fixture: &Fixture, head: &Head, now: Now) {
    for _ in 0..DECISIONS {
        black_box(fixture.decide_at_once(black_box(head), now));
    }
}
