//! Times of the pieces of the hot path (criterion): `cargo bench --bench hot_path`.
//!
//! Read them as ratios within one run; docs/performance.md says why. `DOORWARD_BENCH_CROWD` sets how many
//! tokens the random cache hits are drawn from.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a bench fails by panicking"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use doorward::authn::Toll;
use doorward::authn::extract::{HexTokens, Shapes, extract};
use doorward::crypto::CacheDigester;
use doorward::domain::identity::CredentialKind;
use doorward::gate::{Verdict, path, upstream_headers::strip_hop_by_hop};
use support::{Fixture, Head, presented};

mod support;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn extraction(c: &mut Criterion) {
    let fixture = Fixture::new();
    let shapes = Shapes::new(["dw", "hc", "tb"], HexTokens::ApiToken);
    let rules = fixture.settings.routes.last().expect("a route").carriers.clone();
    let credentials = &fixture.credentials;
    let mut group = c.benchmark_group("extract");
    for (name, authorization) in [
        ("api token", format!("Bearer {}", credentials.api_token)),
        ("jwt", format!("Bearer {}", credentials.hs256)),
        ("sealed", format!("Device {}", credentials.sealed_v2)),
        ("bare", credentials.device_token.clone()),
    ] {
        let head = Head::get("/", &authorization);
        group.bench_function(name, |b| {
            b.iter(|| extract(black_box(head.headers()), None, "/", &rules, &shapes).expect("found"));
        });
    }
    group.finish();
    let digester = CacheDigester::random().expect("randomness");
    let mut group = c.benchmark_group("digest");
    for (name, credential) in [("api token", &credentials.api_token), ("jwt", &credentials.hs256)] {
        group.bench_function(name, |b| {
            b.iter(|| digester.digest(1, 1, 1, black_box(credential.as_bytes())))
        });
    }
    group.finish();
    let mut group = c.benchmark_group("path");
    for (name, text) in [
        ("normal", "/api/v1/devices/42/telemetry"),
        ("encoded", "/api/v1/devices/%34%32/t%C3%A9l"),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| path::normalize(black_box(text)).expect("a path"))
        });
    }
    group.finish();
}

fn decision(c: &mut Criterion) {
    let fixture = Fixture::new();
    let head = Head::get(
        "/api/v1/devices/42?limit=10",
        &format!("Bearer {}", fixture.credentials.api_token),
    );
    fixture.warm(&head);
    let now = fixture.now();
    let mut group = c.benchmark_group("decide");
    group.bench_function("public route", |b| {
        let head = Head::get("/public/index.html", "Bearer x");
        b.iter(|| fixture.decide_at_once(black_box(&head), now));
    });
    group.bench_function("hot token", |b| {
        b.iter(|| fixture.decide_at_once(black_box(&head), now));
    });
    let size = std::env::var("DOORWARD_BENCH_CROWD").map_or(100_000, |n| n.parse().expect("a number"));
    let crowd = fixture.crowd(size);
    group.bench_function(format!("random among {size}"), |b| {
        let (mut at, now) = (0_usize, fixture.now());
        b.iter_batched(
            || {
                at = at
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                // A head that was just received is warm; what the gate remembers of its token is not.
                crowd.get((at >> 20) % crowd.len()).expect("a head").clone()
            },
            |head| fixture.decide_at_once(black_box(&head), now),
            BatchSize::NumIterations(16),
        );
    });
    group.finish();
    let Verdict::Forward(forwarding) = fixture.decide_at_once(&head, now) else {
        panic!("refused");
    };
    c.bench_function("upstream head", |b| {
        b.iter_batched(
            || head.headers().clone(),
            |mut headers| {
                strip_hop_by_hop(&mut headers);
                forwarding.write_head(http::Version::HTTP_11, &mut headers);
                headers
            },
            BatchSize::SmallInput,
        );
    });
}

fn verifiers(c: &mut Criterion) {
    use CredentialKind::{ApiToken, DeviceToken, Jwt, SealedDeviceToken};
    let fixture = Fixture::new();
    let credentials = &fixture.credentials;
    let mut group = c.benchmark_group("verify");
    let now = fixture.now();
    for (name, credential) in [
        ("sealed v1", &credentials.sealed_v1),
        ("sealed v2", &credentials.sealed_v2),
    ] {
        let verifier = fixture.verifier(SealedDeviceToken);
        let presented = presented(SealedDeviceToken, credential);
        group.bench_function(name, |b| b.iter(|| verifier.inspect(black_box(&presented), now)));
    }
    for (name, kind, credential) in [
        ("jwt HS256", Jwt, &credentials.hs256),
        ("jwt RS256", Jwt, &credentials.rs256),
        ("jwt ES256", Jwt, &credentials.es256),
        ("jwt EdDSA", Jwt, &credentials.eddsa),
        ("device token, SQLite", DeviceToken, &credentials.device_token),
        ("api token, SQLite", ApiToken, &credentials.api_token),
    ] {
        let verifier = fixture.verifier(kind);
        let presented = presented(kind, credential).to_owned();
        group.bench_function(name, |b| {
            b.iter(|| {
                let verified =
                    fixture
                        .runtime
                        .block_on(verifier.look_up(black_box(&presented), &Toll::waived(), now));
                verified.expect("verified")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, extraction, decision, verifiers);
criterion_main!(benches);
