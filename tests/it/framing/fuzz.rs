//! Differential tests: what the screen lets through is read alike by hyper and by a plain reading of the
//! standard; what Doorward sends is read alike by hyper, nginx and HAProxy.
//!
//! `DOORWARD_FUZZ_CASES` and `DOORWARD_FUZZ_SEED` set how many cases and which; `make fuzz-framing` runs many.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorward::gate::path;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use super::generator::streams;
use super::peers::{Peer, compared};
use super::readers::{Script, hyper_above_the_screen, hyper_reads, screened};
use super::recorder::Recorder;
use super::{config, reference, run_all};
use crate::support::{Answer, Client, Doorward};

/// Cases when nobody says how many, in one process and through sockets.
const SHORT: u32 = 800;
const SHORT_OVER_SOCKETS: u32 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// The seed when nobody names one: the short form tries the same cases each time.
const SEED: u64 = 9110;

/// A runner whose seed is printed.
pub fn runner(short: u32) -> TestRunner {
    let cases = number("DOORWARD_FUZZ_CASES").map_or(short, |n| u32::try_from(n).expect("a number of cases"));
    let seed = number("DOORWARD_FUZZ_SEED").unwrap_or(SEED);
    println!("DOORWARD_FUZZ_CASES={cases} DOORWARD_FUZZ_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 5000,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Why a case fails, with the bytes in a readable form.
fn differs(
    why: &str,
    pieces: &[Vec<u8>],
    found: impl std::fmt::Debug,
    wanted: impl std::fmt::Debug,
) -> TestCaseError {
    let bytes = pieces.concat();
    TestCaseError::fail(format!(
        "{why}: {}\nfound  {found:?}\nwanted {wanted:?}",
        bytes.escape_ascii()
    ))
}

#[test]
fn what_the_screen_passes_is_read_alike_by_hyper_and_by_the_standard() {
    let (passed, refused, broken) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let outcome = runner(SHORT).run(&streams(), |pieces| {
        let screened_ = screened(&pieces);
        let whole = screened(&[pieces.concat()]);
        if screened_ != whole {
            return Err(differs(
                "it depends on how the bytes arrive",
                &pieces,
                screened_,
                whole,
            ));
        }
        let reading = reference::read(&whole.bytes);
        if let Some(offence) = &reading.offence {
            return Err(differs(
                "the standard objects to what passed",
                &pieces,
                offence,
                &whole,
            ));
        }
        let mut wanted = reading.messages;
        let ends = wanted.last().is_some_and(|last| !last.complete);
        if let Some(count) = reading.closes_after {
            wanted.truncate(count);
        }
        let mut read = hyper_above_the_screen(&pieces);
        // The request that stands for a refused head comes last, unless the connection ended before.
        if whole.refusal.is_some() && !ends && reading.closes_after.is_none() {
            match read.pop() {
                Some(last) if last.method == doorward::edge::proxy::screen::REFUSED_METHOD => {}
                other => return Err(differs("the refusal did not come", &pieces, other, wanted)),
            }
        }
        if read != wanted {
            return Err(differs("hyper reads it otherwise", &pieces, read, wanted));
        }
        let count = match (whole.refusal, whole.broken) {
            (Some(_), _) => &refused,
            (None, true) => &broken,
            (None, false) => &passed,
        };
        count.set(count.get() + 1);
        Ok(())
    });
    let (passed, refused, broken) = (passed.get(), refused.get(), broken.get());
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    println!("{passed} passed, {refused} were refused, {broken} broke within a body");
    let all = passed + refused + broken;
    assert!(
        passed * 10 > all && refused * 10 > all && broken * 50 > all,
        "a mixture worth running: {passed} {refused} {broken}"
    );
}

/// One stream, and what must come of it.
struct Case {
    pieces: Vec<Vec<u8>>,
    /// Method and target of each request that is answered.
    answered: Vec<(String, String)>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// A refusal comes, then the end.
    Refused,
    /// It ends.
    Closes,
    /// More is waited for.
    Waits,
}

impl Case {
    fn new(pieces: Vec<Vec<u8>>) -> Self {
        let screened = screened(&pieces);
        let reading = reference::read(&screened.bytes);
        let ends = reading.messages.last().is_some_and(|last| !last.complete);
        let end = match (reading.closes_after, screened.refusal) {
            // The connection ends after that message, of which more is to come.
            (Some(_), _) if ends => End::Waits,
            (Some(_), _) => End::Closes,
            (None, Some(_)) if !ends => End::Refused,
            (None, _) if screened.broken => End::Closes,
            (None, _) => End::Waits,
        };
        let count = reading.closes_after.unwrap_or(usize::MAX);
        let messages = reading.messages.into_iter().take(count).filter(|m| m.complete);
        let answered = messages.map(|m| (m.method, m.target)).collect();
        Self {
            pieces,
            answered,
            end,
        }
    }

    /// Sends it, reads every answer, and counts those that the upstream gave.
    fn run(&self, doorward: &Doorward, served: &AtomicUsize) -> io::Result<()> {
        let mut client = doorward.connect();
        for piece in &self.pieces {
            if client.try_write(piece).is_err() {
                break;
            }
        }
        for (i, (method, target)) in self.answered.iter().enumerate() {
            let is_last = i + 1 == self.answered.len();
            let answer = final_answer(&mut client, method)?;
            if answer.status == 200 {
                served.fetch_add(1, Ordering::Relaxed);
                if method != "HEAD" && answer.text() != in_normal_form(target) {
                    return Err(io::Error::other(format!(
                        "{target} was answered as {}",
                        answer.text()
                    )));
                }
            } else if !(400..500).contains(&answer.status) {
                return Err(io::Error::other(format!("{method} {target}: {}", answer.status)));
            }
            if answer.header("connection") == Some("close") && !(is_last && self.end == End::Closes) {
                // The gate refused a request whose body is not read.
                return Ok(());
            }
        }
        match self.end {
            End::Waits => return Ok(()),
            End::Refused => {
                let status = final_answer(&mut client, "GET")?.status;
                if ![400, 431, 505].contains(&status) {
                    return Err(io::Error::other(format!("no refusal, but {status}")));
                }
            }
            End::Closes => {}
        }
        let rest = String::from_utf8_lossy(&client.rest()).into_owned();
        // The body was asked for, and broke.
        let rest = rest
            .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
            .unwrap_or(&rest);
        match rest.is_empty() || rest.starts_with("HTTP/1.1 400") {
            true => Ok(()),
            false => Err(io::Error::other(format!("more than was expected: {rest}"))),
        }
    }
}

/// The target as it is forwarded: what may not stand in a path as it is comes out encoded.
fn in_normal_form(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    match path::normalize(path) {
        Ok(path) => format!("{}{query}", path.as_str()),
        Err(_) => target.to_owned(),
    }
}

/// The next answer that is no interim one.
fn final_answer(client: &mut Client, method: &str) -> io::Result<Answer> {
    loop {
        let answer = client.try_answer(method)?;
        if answer.status != 100 {
            return Ok(answer);
        }
    }
}

#[test]
fn what_doorward_sends_is_read_alike_by_hyper_nginx_and_haproxy() {
    let mut runner = runner(SHORT_OVER_SOCKETS);
    let count = runner.config().cases;
    let cases: Vec<Case> = (0..count)
        .map(|_| Case::new(streams().new_tree(&mut runner).expect("a stream").current()))
        .collect();
    let recorder = Recorder::start();
    let doorward = Doorward::start(&config(&recorder));
    let served = AtomicUsize::new(0);
    let failures = run_all(&cases, |case| case.run(&doorward, &served));
    doorward.kill();
    let (connections, offences) = recorder.finish();
    let told: Vec<String> = failures
        .into_iter()
        .map(|(case, why)| format!("{} {:?}: {why}", case.pieces.concat().escape_ascii(), case.end))
        .chain(offences)
        .collect();
    assert!(told.is_empty(), "{} went wrong:\n{}", told.len(), told.join("\n"));
    let complete = connections
        .iter()
        .flat_map(|c| &c.requests)
        .filter(|r| r.complete)
        .count();
    assert_eq!(
        complete,
        served.into_inner(),
        "as many requests as answers, and none besides"
    );

    for connection in &connections {
        let read = hyper_reads(Script::new(std::slice::from_ref(&connection.raw)));
        let read: Vec<String> = read
            .into_iter()
            .map(|m| {
                format!("{} {} {}", m.method, m.target, String::from_utf8_lossy(&m.body))
                    .trim_end()
                    .to_owned()
            })
            .collect();
        let wanted = connection.requests.iter().filter(|r| r.complete);
        let wanted: Vec<&str> = wanted.map(|r| r.text.trim_end()).collect();
        assert_eq!(read, wanted, "hyper reads it otherwise");
    }
    for peer in [Peer::Nginx, Peer::Haproxy] {
        compared(peer, &connections);
    }
}
