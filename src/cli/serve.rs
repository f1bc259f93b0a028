//! `doorward serve`: what the process is started with, beside its configuration.

use std::ffi::OsString;

use super::Failure;
use super::args::Serve;
use crate::app::Start;
use crate::config;
use crate::runtime::hand_over::{Inheritance, Successor};

/// The flag by which a successor knows that it is one.
const TAKE_OVER: &str = "--take-over";

/// From the command line and what it inherits. Waits for a predecessor's sockets where there is one.
pub fn start(wanted: &Serve, arguments: &[OsString]) -> Result<Start, Failure> {
    let inheritance = match wanted.take_over {
        false => None,
        true => {
            let received = Inheritance::receive();
            Some(received.map_err(|error| Failure::Failed(format!("{TAKE_OVER}: {error}")))?)
        }
    };
    Ok(Start {
        manager: config::service_manager_of_process(),
        successor: successor(arguments),
        inheritance,
    })
}

/// The same command line again.
fn successor(arguments: &[OsString]) -> Option<Successor> {
    let (program, rest) = arguments.split_first()?;
    let mut arguments = rest.to_vec();
    if !arguments.iter().any(|argument| argument == TAKE_OVER) {
        arguments.push(TAKE_OVER.into());
    }
    Some(Successor {
        program: program.clone(),
        arguments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_started_as_we_were_and_told_once_to_take_over() {
        let line = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for (ours, theirs) in [
            (&["doorward", "serve"][..], &["serve", TAKE_OVER][..]),
            (&["/bin/d", "serve", TAKE_OVER], &["serve", TAKE_OVER]),
            (
                &["d", "--config", "a.yaml", "serve"],
                &["--config", "a.yaml", "serve", TAKE_OVER],
            ),
        ] {
            let successor = successor(&line(ours)).expect("there is a program");
            assert_eq!(successor.program, ours[0]);
            assert_eq!(successor.arguments, line(theirs));
        }
        assert!(successor(&[]).is_none());
    }
}
