//! What a service manager such as systemd is told (sd_notify(3)): ready, reloading, stopping, alive, who is the main
//! process. Without one, nobody is told and nothing changes.
//!
//! Telling never waits and never fails anything: a message that does not arrive is a line in the log. Where the
//! manager listens stands in the environment, which `config` reads. Called by `app`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::workers::{Pulse, Threads};
use crate::domain::clock::precise_monotonic;

/// What the environment says about the service manager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceManagerSettings {
    /// Where it listens: a path, or an abstract name after an `@`.
    pub socket: Option<std::ffi::OsString>,
    /// How long it waits for a sign of life before it ends the process.
    pub watchdog: Option<Duration>,
}

/// A line to the service manager, or to nobody. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager(Option<Arc<Line>>);

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    to: SocketAddr,
    /// Another process speaks for the service.
    silent: AtomicBool,
}

impl ServiceManager {
    /// Nobody listens.
    pub fn none() -> Self {
        Self(None)
    }

    /// Whoever listens there. An address that cannot be one is an error.
    pub fn at(address: &OsStr) -> io::Result<Self> {
        let to = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            _ => return Err(io::Error::other("neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Line {
            socket,
            to,
            silent: AtomicBool::new(false),
        }))))
    }

    /// Everything that the start or a reload had to do is done.
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// A reload has begun; [`Self::ready`] ends it, however it went.
    pub fn reloading(&self) {
        let at = i128::try_from(precise_monotonic().as_micros()).unwrap_or(0);
        self.tell(&[NotifyState::Reloading, NotifyState::MonotonicUsec(at)]);
    }

    /// The process has begun to leave.
    pub fn stopping(&self, status: &str) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// This process is the service's main one.
    pub fn main_process(&self, pid: u32) {
        self.tell(&[NotifyState::MainPid(pid)]);
    }

    /// This process speaks for the service, after it was silent.
    pub fn speak(&self) {
        if let Some(line) = &self.0 {
            line.silent.store(false, Ordering::Relaxed);
        }
    }

    /// Another process speaks for the service; this one says nothing.
    pub fn fall_silent(&self) {
        if let Some(line) = &self.0 {
            line.silent.store(true, Ordering::Relaxed);
        }
    }

    /// Gives signs of life twice as often as the manager wants them, as long as every data thread answers.
    pub async fn keep_alive(self, within: Duration, threads: Threads, end: CancellationToken) {
        let mut pulse = Pulse::of(threads);
        let mut tick = tokio::time::interval(within / 2);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick is at once, and finds nothing to compare with.
        tick.tick().await;
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                _ = tick.tick() => {}
            }
            match pulse.standing_still() {
                None => self.tell(&[NotifyState::Watchdog]),
                Some(thread) => {
                    tracing::error!(
                        "data thread {thread} does not answer: no sign of life for the service manager"
                    );
                }
            }
        }
    }

    fn tell(&self, state: &[NotifyState<'_>]) {
        let Some(line) = &self.0 else { return };
        if line.silent.load(Ordering::Relaxed) {
            return;
        }
        let lines: Vec<String> = state.iter().map(ToString::to_string).collect();
        if let Err(error) = line.socket.send_to_addr(lines.join("\n").as_bytes(), &line.to) {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(folder: &std::path::Path) -> (ServiceManager, UnixDatagram) {
        let path = folder.join("notify");
        let listening = UnixDatagram::bind(&path).expect("bound");
        listening.set_nonblocking(true).expect("set");
        (
            ServiceManager::at(path.as_os_str()).expect("an address"),
            listening,
        )
    }

    fn heard(listening: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 512];
        let length = listening.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    #[test]
    fn each_message_says_what_systemd_expects() {
        let folder = tempfile::tempdir().expect("a folder");
        let (manager, listening) = manager(folder.path());
        manager.ready("serving");
        assert_eq!(heard(&listening).as_deref(), Some("READY=1\nSTATUS=serving"));
        let before = precise_monotonic().as_micros();
        manager.reloading();
        let said = heard(&listening).expect("a message");
        let at = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("both");
        assert!(
            at.parse::<u128>().expect("a number") >= before,
            "never before the order to reload"
        );
        manager.stopping("leaving");
        assert_eq!(heard(&listening).as_deref(), Some("STOPPING=1\nSTATUS=leaving"));
        manager.main_process(4711);
        assert_eq!(heard(&listening).as_deref(), Some("MAINPID=4711"));
        manager.fall_silent();
        manager.stopping("leaving");
        assert_eq!(
            heard(&listening),
            None,
            "the service does not stop when its predecessor does"
        );
    }

    #[test]
    fn an_abstract_name_is_an_address_and_nonsense_is_none() {
        let name = format!("doorward-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listening = UnixDatagram::bind_addr(&address).expect("bound");
        let manager = ServiceManager::at(OsStr::new(&format!("@{name}"))).expect("an address");
        manager.ready("x");
        assert!(heard(&listening).is_some());
        for bad in ["", "relative", "vsock:2:1234"] {
            assert!(ServiceManager::at(OsStr::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_manager_that_is_gone_or_does_not_read_holds_nothing_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let (manager, listening) = manager(folder.path());
        for _ in 0..10_000 {
            manager.ready("more than its queue can hold");
        }
        drop(listening);
        manager.stopping("nobody hears it");
        ServiceManager::none().ready("nor this");
    }
}
