//! HTTP/1 byte for byte (S17): what has two readings is refused and no upstream hears of it; what passes is
//! read by the upstream as it was meant, and the next request on the connection is read rightly too.
//!
//! All rows go through one instance at once, each in several ways: whole, byte by byte, behind a good request,
//! and some split at every place. The upstream behind it is a strict reader of its own.

mod chunks;
mod codings;
mod fields;
mod fuzz;
mod generator;
mod hosts;
mod lengths;
mod peers;
mod readers;
mod recorder;
mod reference;
mod row;
mod sequences;
mod targets;
mod vectors;

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Client, Doorward};
use recorder::Recorder;
use row::{Row, Then, mark, marked};

/// Connections at a time.
const AT_ONCE: usize = 24;
/// Rows with more bytes are sent whole only.
const MAX_DRIPPED: usize = 400;
/// Rows that are also split in two at every place.
const SPLIT: [&str; 9] = [
    "a length as everybody writes it",
    "two lengths that differ",
    "chunked twice in two lines",
    "a trailer",
    "a bare LF behind the data",
    "a request behind a chunked body",
    "a bare LF as the empty line",
    "a good one, then a bad one, then a good one that nobody may see",
    "a refused body of known length is read past, and is no request",
];

/// Everything is public, but `/closed/` is not.
fn config(recorder: &Recorder) -> String {
    format!(
        "upstreams: {{ app: {{ url: \"http://{}\" }} }}\n\
         routes:\n\
         \x20 - {{ path: /closed/, upstream: app }}\n\
         \x20 - {{ path: /, upstream: app, access: public }}\n",
        recorder.address
    )
}

fn rows() -> Vec<Row> {
    [
        lengths::rows(),
        codings::rows(),
        hosts::rows(),
        targets::rows(),
        fields::rows(),
        chunks::rows(),
        sequences::rows(),
    ]
    .concat()
}

/// One row, sent in one way.
struct Job<'a> {
    row: &'a Row,
    mark: String,
    /// What is written at once.
    pieces: Vec<Vec<u8>>,
    /// Everything that must be answered, marks in.
    answers: Vec<String>,
}

impl<'a> Job<'a> {
    fn new(row: &'a Row, number: usize, way: char) -> Self {
        let mark = mark(number, way);
        let mut bytes = marked(&row.bytes, &mark);
        let mut answers: Vec<String> = row.answers.iter().map(|a| a.replace('~', &mark)).collect();
        if way == 'b' {
            bytes = [
                format!("GET /{mark} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
                &bytes,
            ]
            .concat();
            answers.insert(0, format!("GET /{mark}"));
        }
        let pieces = match way {
            'd' => bytes.iter().map(|b| vec![*b]).collect(),
            _ => vec![bytes],
        };
        Self {
            row,
            mark,
            pieces,
            answers,
        }
    }

    /// Split behind so many bytes.
    fn split(row: &'a Row, number: usize, at: usize) -> Self {
        let mut this = Self::new(row, number, 's');
        let (front, back) = this.pieces[0].split_at(at);
        this.pieces = vec![front.to_vec(), back.to_vec()];
        this
    }

    /// Sends it and reads every answer.
    fn run(&self, doorward: &Doorward) -> io::Result<()> {
        let mut client = doorward.connect();
        for piece in &self.pieces {
            // Closed already, after an answer that stands in the socket.
            if client.try_write(piece).is_err() {
                break;
            }
        }
        for expected in &self.answers {
            answered(&mut client, expected)?;
        }
        match self.row.then {
            Then::Lives => {
                let probe = format!("/probe/{}", self.mark);
                client.try_write(format!(
                    "GET {probe} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                ))?;
                answered(&mut client, &format!("GET {probe}"))?;
            }
            Then::Closes | Then::Breaks => {}
            Then::Waits => drop(client.finish()),
        }
        let rest = String::from_utf8_lossy(&client.rest()).into_owned();
        let may_be_told = self.row.then == Then::Breaks || self.row.then == Then::Waits;
        match rest.split_once("\r\n") {
            None if rest.is_empty() => Ok(()),
            Some(("HTTP/1.1 400 Bad Request", told)) if may_be_told && !told.contains("HTTP/1") => Ok(()),
            _ => Err(io::Error::other(format!("more than was expected: {rest}"))),
        }
    }

    /// The requests that the upstream must have seen, in their order.
    fn forwarded(&self) -> Vec<String> {
        let answers = self.answers.iter();
        let mut all: Vec<String> = answers
            .filter(|a| !a.starts_with(char::is_numeric))
            .cloned()
            .collect();
        if self.row.then == Then::Lives {
            all.push(format!("GET /probe/{}", self.mark));
        }
        all
    }
}

fn answered(client: &mut Client, expected: &str) -> io::Result<()> {
    let (first, rest) = expected.split_once(' ').unwrap_or((expected, ""));
    let answer = client.try_answer(first)?;
    let found = match answer.status {
        100 => "100".to_owned(),
        200 => {
            let target = if first == "HEAD" {
                rest.to_owned()
            } else {
                answer.text()
            };
            let body = rest.strip_prefix(&target).unwrap_or_default();
            format!("{first} {target}{body}")
        }
        status => {
            let reason = answer.json()["reason"].as_str().unwrap_or_default().to_owned();
            let _ = answer.json()["request_id"].as_str().expect("a request id");
            format!("{status} {reason}")
        }
    };
    match found == expected {
        true => Ok(()),
        false => Err(io::Error::other(format!("{found:?}, not {expected:?}"))),
    }
}

/// Runs all jobs, some at a time, and returns what went wrong, each with its job.
fn run_all<J: Sync>(jobs: &[J], run: impl Fn(&J) -> io::Result<()> + Sync) -> Vec<(&J, String)> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let why = match catch_unwind(AssertUnwindSafe(|| run(job))) {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => error.to_string(),
                        Err(_) => "panicked".to_owned(),
                    };
                    failures.lock().expect("not poisoned").push((job, why));
                }
            });
        }
    });
    failures.into_inner().expect("not poisoned")
}

#[test]
fn what_passes_has_one_reading_and_nothing_else_passes() {
    let rows = rows();
    assert!(rows.len() >= 250, "{} rows", rows.len());
    let mut jobs = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        jobs.push(Job::new(row, number, 'a'));
        jobs.push(Job::new(row, number, 'b'));
        if row.bytes.len() <= MAX_DRIPPED {
            jobs.push(Job::new(row, number, 'd'));
        }
    }
    let mut number = rows.len();
    for why in SPLIT {
        let row = rows
            .iter()
            .find(|row| row.why == why)
            .unwrap_or_else(|| panic!("no row {why:?}"));
        for at in 1..marked(&row.bytes, &mark(0, 's')).len() {
            jobs.push(Job::split(row, number, at));
            number += 1;
        }
    }

    let recorder = Recorder::start();
    let doorward = Doorward::start(&config(&recorder));
    let mut failures: Vec<String> = run_all(&jobs, |job| job.run(&doorward))
        .into_iter()
        .map(|(job, why)| format!("{} ({}): {why}", job.row.why, job.mark))
        .collect();
    doorward.kill();
    let (connections, offences) = recorder.finish();
    let mut requests: Vec<_> = connections.into_iter().flat_map(|c| c.requests).collect();
    requests.sort_by_key(|request| request.order);
    failures.extend(offences);

    let mut seen: HashMap<&str, Vec<&str>> = HashMap::new();
    for request in requests.iter().filter(|r| r.complete) {
        let at = request
            .target
            .find(|c: char| c.is_ascii_digit())
            .and_then(|at| at.checked_sub(1));
        let mark = at.and_then(|at| request.target.get(at..at + 6)).unwrap_or("none");
        seen.entry(mark).or_default().push(&request.text);
    }
    for job in &jobs {
        let found = seen.remove(job.mark.as_str()).unwrap_or_default();
        let wanted = job.forwarded();
        if found != wanted {
            failures.push(format!(
                "{} ({}): the upstream saw {found:?}, not {wanted:?}",
                job.row.why, job.mark
            ));
        }
    }
    for (mark, texts) in seen {
        failures.push(format!("nobody meant the upstream to see {texts:?} ({mark})"));
    }
    assert!(
        failures.is_empty(),
        "{} of {} went wrong:\n{}",
        failures.len(),
        jobs.len(),
        failures.join("\n")
    );
}
