//! How a process hands its listening sockets to a successor that it starts: the same command line, whose program may
//! have been replaced by a newer one meanwhile.
//!
//! ```text
//!  running server                                   successor
//!      │ starts it; its standard input is a socket      │
//!      │ ── "doorward hand-over 1" ───────────────────▶ │
//!      │ ── name + descriptor, for each socket ───────▶ │
//!      │ ── "all" ────────────────────────────────────▶ │ builds its rooms, opens what is new;
//!      │                                                │ accepts nothing yet
//!      │ ◀─────────────────────────────────── "ready" ─ │
//!      │ ── "yours" ──────────────────────────────────▶ │ accepts
//!      │ accepts no more; finishes what is under way    │
//! ```
//! The socket between them has no name, so nobody else can come to it; whose it is is checked all the same. Until
//! "yours" the successor serves nobody and is killed when it is late, and the running server goes on as if nothing had been. When
//! the running server ends in between, its successor takes over. Knows names and descriptors, not what they are.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
};
use tokio::io::Interest;

/// Says which form of hand-over this is; a successor that knows another one says so and ends.
const GREETING: &[u8] = b"doorward hand-over 1";
const ALL: &[u8] = b"all";
const READY: &[u8] = b"ready";
const YOURS: &[u8] = b"yours";
/// Most descriptors that are handed over.
pub const MAX_DESCRIPTORS: usize = 32;
/// Longest message: the path of a Unix socket and a word before it.
const MAX_MESSAGE_BYTES: usize = 4096 + 64;
const TOO_EARLY: &str = "it ended before it was ready";
/// How long either side waits for a message that the other has no work to do for.
const PROMPTLY: Duration = Duration::from_secs(10);
/// How long a successor that let go of the link may take to end, and how often that is looked at.
const LAST_WORDS: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What a process listens with, by name, and whether it is the one that does. Clones share it. It keeps nothing
/// open: what was closed is not handed over.
#[derive(Clone)]
pub struct Possessions(Arc<Held>);

struct Held {
    /// False before a predecessor has given them, and after they were given to a successor.
    ours: AtomicBool,
    descriptors: Mutex<Vec<(String, Weak<dyn AsFd + Send + Sync>)>>,
}

impl fmt::Debug for Possessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.0.descriptors.lock();
        f.debug_list().entries(held.iter().map(|(name, _)| name)).finish()
    }
}

impl Possessions {
    /// Of a process that follows no other: whatever it opens is its own.
    pub fn own() -> Self {
        Self::new(true)
    }

    /// Of a process that follows another: its own once [`Self::now_ours`] was said.
    pub fn expected() -> Self {
        Self::new(false)
    }

    fn new(ours: bool) -> Self {
        Self(Arc::new(Held {
            ours: AtomicBool::new(ours),
            descriptors: Mutex::default(),
        }))
    }

    /// Whether this process is the one that listens with them. Only then does it clean up behind them.
    pub fn are_ours(&self) -> bool {
        self.0.ours.load(Ordering::SeqCst)
    }

    /// The predecessor has given them.
    pub fn now_ours(&self) {
        self.0.ours.store(true, Ordering::SeqCst);
    }

    /// They were given to a successor.
    pub fn given_away(&self) {
        self.0.ours.store(false, Ordering::SeqCst);
    }

    /// Adds one, under the name by which a successor looks for it.
    pub fn add(&self, name: String, descriptor: &Arc<impl AsFd + Send + Sync + 'static>) {
        let shared: Arc<dyn AsFd + Send + Sync> = descriptor.clone();
        self.0.descriptors.lock().push((name, Arc::downgrade(&shared)));
    }

    /// What is open now.
    fn open(&self) -> Vec<(String, Arc<dyn AsFd + Send + Sync>)> {
        let all = self.0.descriptors.lock();
        let open = all
            .iter()
            .filter_map(|(name, held)| Some((name.clone(), held.upgrade()?)));
        open.collect()
    }
}

/// How a successor is started.
#[derive(Debug, Clone)]
pub struct Successor {
    /// The program, looked up as the shell did.
    pub program: OsString,
    /// Its arguments, with the one that makes it take over.
    pub arguments: Vec<OsString>,
}

/// A successor that was started and is not ready yet. Dropping it ends it.
#[derive(Debug)]
pub struct Offer {
    child: Child,
    link: OwnedFd,
    given: bool,
}

impl Offer {
    /// Starts the successor and sends it everything that is open.
    pub fn make(successor: &Successor, possessions: &Possessions) -> io::Result<Self> {
        let open = possessions.open();
        if open.len() > MAX_DESCRIPTORS {
            let found = open.len();
            return Err(io::Error::other(format!(
                "there are {found} sockets, at most {MAX_DESCRIPTORS} can be handed over; use fewer listeners, or restart instead"
            )));
        }
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        sockopt::set_socket_timeout(&ours, sockopt::Timeout::Send, Some(PROMPTLY))?;
        let child = Command::new(&successor.program)
            .args(&successor.arguments)
            .stdin(Stdio::from(theirs))
            // It names us; the watchdog is the successor's to feed.
            .env_remove("WATCHDOG_PID")
            .spawn()?;
        // From here on dropping ends the child.
        let offer = Self {
            child,
            link: ours,
            given: false,
        };
        match offer.send(&open) {
            // Whoever waits for it hears that it has ended.
            Err(error) if !has_ended(&error) => Err(error),
            _ => Ok(offer),
        }
    }

    fn send(&self, open: &[(String, Arc<dyn AsFd + Send + Sync>)]) -> io::Result<()> {
        send(&self.link, GREETING, None)?;
        for (name, descriptor) in open {
            send(&self.link, name.as_bytes(), Some((**descriptor).as_fd()))?;
        }
        send(&self.link, ALL, None)
    }

    /// The successor's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it is ready. Must be called on a runtime.
    pub async fn ready(&mut self, within: Duration) -> io::Result<()> {
        let outcome = self.hear(within).await;
        if matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::UnexpectedEof) {
            // It may be about to say why: its end of the link closes before its last words are out.
            let gone = async {
                while matches!(self.child.try_wait(), Ok(None)) {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            };
            let _ = tokio::time::timeout(LAST_WORDS, gone).await;
        }
        outcome
    }

    async fn hear(&self, within: Duration) -> io::Result<()> {
        let watched = UnixStream::from(self.link.try_clone()?);
        watched.set_nonblocking(true)?;
        let watched = tokio::net::UnixStream::from_std(watched)?;
        let message = async {
            loop {
                watched.readable().await?;
                match watched.try_io(Interest::READABLE, || receive(&self.link, RecvFlags::empty())) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    outcome => return outcome,
                }
            }
        };
        match tokio::time::timeout(within, message).await {
            Err(_) => Err(io::Error::other(format!(
                "it was not ready within {} s",
                within.as_secs()
            ))),
            Ok(Ok((text, _))) if text == READY => Ok(()),
            Ok(Ok((text, _))) if text.is_empty() => Err(too_early()),
            Ok(Err(error)) if has_ended(&error) => Err(too_early()),
            Ok(Ok(_)) => Err(io::Error::other("it speaks another form of the hand-over")),
            Ok(Err(error)) => Err(error),
        }
    }

    /// It is the server from now on.
    pub fn give(mut self) -> io::Result<()> {
        send(&self.link, YOURS, None)?;
        self.given = true;
        Ok(())
    }
}

fn too_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, TOO_EARLY)
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.given {
            // It may have ended by itself; either way nothing of it stays.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a successor was given.
#[derive(Debug)]
pub struct Inheritance {
    link: OwnedFd,
    descriptors: Vec<(String, OwnedFd)>,
}

impl Inheritance {
    /// Receives it over standard input. Blocks for some seconds at most.
    pub fn receive() -> io::Result<Self> {
        let link = io::stdin().as_fd().try_clone_to_owned()?;
        let inheritance = Self::receive_over(link, PROMPTLY)?;
        // The end of the link must be ours alone, so that it closes when we do.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(inheritance)
    }

    fn receive_over(link: OwnedFd, patience: Duration) -> io::Result<Self> {
        check(&link)?;
        sockopt::set_socket_timeout(&link, sockopt::Timeout::Recv, Some(patience))?;
        let (greeting, _) = receive(&link, RecvFlags::empty())?;
        if greeting != GREETING {
            return Err(io::Error::other(
                "the running server speaks another form of the hand-over; restart it instead",
            ));
        }
        let mut descriptors = Vec::new();
        loop {
            match receive(&link, RecvFlags::empty())? {
                (text, None) if text == ALL => break,
                (name, Some(descriptor)) if descriptors.len() < MAX_DESCRIPTORS => {
                    let name = String::from_utf8(name).map_err(io::Error::other)?;
                    descriptors.push((name, descriptor));
                }
                _ => {
                    return Err(io::Error::other(
                        "the running server ended, or said what is not expected here",
                    ));
                }
            }
        }
        Ok(Self { link, descriptors })
    }

    /// The first descriptor of this name that nobody has taken yet.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let at = self.descriptors.iter().position(|(n, _)| n == name)?;
        Some(self.descriptors.swap_remove(at).1)
    }

    /// Says that everything is ready and waits for the word to begin. What was not taken is closed: the running server alone
    /// listened there, and it stops.
    pub fn accept(self, within: Duration) -> io::Result<()> {
        let Self { link, descriptors } = self;
        drop(descriptors);
        sockopt::set_socket_timeout(&link, sockopt::Timeout::Recv, Some(within))?;
        match send(&link, READY, None).and_then(|()| receive(&link, RecvFlags::empty())) {
            Ok((text, _)) if text == YOURS => Ok(()),
            Ok((text, _)) if text.is_empty() => {
                tracing::warn!("the server that was to be followed has ended by itself");
                Ok(())
            }
            Ok(_) => Err(io::Error::other(
                "the running server said what is not expected here",
            )),
            Err(error) if has_ended(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether it says that the other side is gone, with messages unread or not.
fn has_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// Standard input is whatever whoever started us made it.
fn check(link: &OwnedFd) -> io::Result<()> {
    let is_link = sockopt::socket_type(link).is_ok_and(|kind| kind == SocketType::SEQPACKET)
        && sockopt::socket_domain(link).is_ok_and(|domain| domain == AddressFamily::UNIX);
    if !is_link {
        return Err(io::Error::other(
            "standard input is no link to a running server; send that one SIGQUIT, and it starts its successor itself",
        ));
    }
    let (theirs, ours) = (sockopt::socket_peercred(link)?.uid, rustix::process::geteuid());
    if theirs != ours && !theirs.is_root() {
        return Err(io::Error::other(
            "the other end of standard input belongs to another user",
        ));
    }
    Ok(())
}

fn send(link: &OwnedFd, text: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    sendmsg(link, &[IoSlice::new(text)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next message; an empty one: the other side has ended.
fn receive(link: &OwnedFd, flags: RecvFlags) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = vec![0; MAX_MESSAGE_BYTES];
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(link, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?;
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::Error::other(
            "a message is longer than any that is expected here",
        ));
    }
    text.truncate(received.bytes);
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptor = descriptors.last().or(descriptor);
        }
    }
    Ok((text, descriptor))
}

#[cfg(test)]
mod tests;
