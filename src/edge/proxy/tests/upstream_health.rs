//! Health checks, of an upstream in the hand of the test.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;

use super::support::{World, on_a_data_thread, patient};
use crate::edge::proxy::ConnectionSettings;
use crate::edge::proxy::upstream::{HealthSettings, Protocol, keep_checked};
use crate::runtime::tasks::Tasks;
use crate::telemetry::labels::CheckOutcome::{self, Failed, Passed};

/// Longer than anything waits here: whoever relies on it fails.
const NEVER: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_millis(20);

/// What the upstream does with one check.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Closes the connection unread.
    Closes,
    /// Reads the beginning, says this, and closes.
    Says(&'static str),
    /// Reads the beginning, says this, and keeps the connection open.
    Stays(&'static str),
}
use Does::{Closes, Says, Stays};

/// How the first check ends that the upstream treats like this, and whether it is well then.
fn first_check(
    protocol: Protocol,
    timeout: Duration,
    expect_status: &[StatusCode],
    does: Does,
) -> Option<(CheckOutcome, bool)> {
    let found = std::cell::Cell::new(None);
    on_a_data_thread(async {
        let world = World::with(ConnectionSettings::default(), |settings| {
            settings.protocol = protocol;
            settings.connect_timeout = NEVER;
            settings.response_timeout = NEVER;
            settings.health = Some(HealthSettings {
                path: http::uri::PathAndQuery::from_static("/healthz"),
                interval: NEVER,
                timeout,
                healthy_after: 1,
                unhealthy_after: 1,
                expect_status: expect_status.to_vec(),
            });
        })
        .await;
        keep_checked(&world.directory, &Tasks::on(Handle::current()));
        let mut upstream = world.accept().await.stream;
        let mut held = None;
        match does {
            Closes => drop(upstream),
            Says(text) | Stays(text) => {
                upstream.read_exact(&mut [0; 16]).await.expect("a beginning");
                upstream.write_all(text.as_bytes()).await.expect("written");
                match does {
                    Stays(_) => held = Some(upstream),
                    Closes | Says(_) => drop(upstream),
                }
            }
        }
        let checks = world.metrics.for_upstream("api").health_checks;
        patient(async {
            while checks.count(Passed) + checks.count(Failed) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let outcome = if checks.count(Passed) > 0 { Passed } else { Failed };
        let healthy = world
            .directory
            .watch()
            .borrow()
            .iter()
            .all(|endpoint| endpoint.is_healthy());
        found.set(Some((outcome, healthy)));
        drop(held);
    });
    found.get()
}

#[test]
fn a_check_passes_by_an_expected_status_in_time_and_by_nothing_else() {
    use Protocol::{Http1, Http2};
    let only = |code: u16| vec![StatusCode::from_u16(code).expect("a status")];
    let any = Vec::new;
    #[rustfmt::skip]
    let rows = [
        (Http1, NEVER, any(), Stays("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Passed, "well"),
        (Http1, NEVER, any(), Stays("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), Passed, "its body is not waited for"),
        (Http1, NEVER, any(), Stays("HTTP/1.1 299 X\r\ncontent-length: 0\r\n\r\n"), Passed, "the last of the good ones"),
        (Http1, NEVER, any(), Stays("HTTP/1.1 300 X\r\ncontent-length: 0\r\n\r\n"), Failed, "the next one"),
        (Http1, NEVER, any(), Stays("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"), Failed, "nothing there"),
        (Http1, NEVER, any(), Stays("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"), Failed, "it says so itself"),
        (Http1, NEVER, only(404), Stays("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"), Passed, "what is asked for"),
        (Http1, NEVER, only(404), Stays("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Failed, "good, but not what is asked for"),
        (Http1, NEVER, any(), Stays("garbage\r\n\r\n"), Failed, "no HTTP"),
        (Http1, NEVER, any(), Closes, Failed, "closed at once"),
        (Http1, NEVER, any(), Says(""), Failed, "closed without an answer"),
        (Http1, NEVER, any(), Says("HTTP/1.1 200 OK\r\ncontent-le"), Failed, "closed within the head"),
        (Http1, SOON, any(), Stays(""), Failed, "nothing comes in time"),
        (Http1, SOON, any(), Stays("HTTP/1.1 200 OK\r\ncontent-le"), Failed, "half a head comes in time"),
        (Http1, SOON, any(), Stays("HTTP/1.1 100 Continue\r\n\r\n"), Failed, "an interim answer is none"),
        (Http2, NEVER, any(), Closes, Failed, "closed at once, over HTTP/2"),
        (Http2, NEVER, any(), Says(""), Failed, "closed without an answer, over HTTP/2"),
        (Http2, NEVER, any(), Stays("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Failed, "another version of HTTP"),
        (Http2, SOON, any(), Stays(""), Failed, "nothing comes in time, over HTTP/2"),
    ];
    for (protocol, timeout, expected, does, outcome, why) in rows {
        let found = first_check(protocol, timeout, &expected, does);
        assert_eq!(found, Some((outcome, outcome == Passed)), "{why}");
    }
}
