//! Accepts connections of one address and hands them to the data threads.
//!
//! An accepted socket is deregistered here at once: the data thread that serves it registers it with its own
//! reactor. When the system has no descriptor left, accepting pauses instead of spinning; the kernel queues
//! meanwhile.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::DropGuard;

use super::addresses::Counted;
use super::entrance::{Profile, ProxyProtocol};
use super::socket::{BACKLOG, Bound, ListenSettings, Listening};
use crate::domain::clock::Clock;
use crate::domain::net::PeerAddr;
use crate::runtime::drain::{ConnectionGuard, Drain, Stage};
use crate::runtime::hand_over::Possessions;
use crate::runtime::sockets::Socket;
use crate::runtime::unix_socket::SocketFile;
use crate::runtime::workers::{Handed, Workers};
use crate::telemetry::Held;
use crate::telemetry::labels::ConnectionRefusal;

/// How long accepting pauses when the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What an open connection counts in; dropped with it.
struct Open {
    _drain: ConnectionGuard,
    _gauge: Held,
    _address: Option<Counted>,
    count: Arc<AtomicUsize>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What to do after `accept` failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// That one connection is gone: the next.
    Next,
    /// The system has no room: a pause.
    Pause,
}

impl After {
    fn failure(error: &io::Error) -> Self {
        match Errno::from_io_error(error).unwrap_or(Errno::INVAL) {
            // accept(2): errors of the network that the new connection already had.
            Errno::CONNABORTED | Errno::INTR | Errno::PROTO | Errno::NETDOWN | Errno::NETUNREACH => {
                Self::Next
            }
            Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NONET | Errno::NOPROTOOPT | Errno::OPNOTSUPP => {
                Self::Next
            }
            // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else: never a busy loop.
            _ => Self::Pause,
        }
    }
}

/// A socket that connections come from.
enum Door {
    Tcp(TcpListener),
    /// With the file that goes when it does.
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "held for its drop")] SocketFile,
    ),
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket, _) => socket.as_fd(),
        }
    }
}

impl Door {
    fn open(listening: Listening) -> io::Result<Self> {
        match listening {
            Listening::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            Listening::Unix(socket, file) => Ok(Self::Unix(UnixListener::from_std(socket)?, file)),
        }
    }

    /// The next connection, taken off this thread's reactor.
    async fn accept(&self) -> io::Result<(Socket, PeerAddr)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Ok((Socket::Tcp(stream.into_std()?), PeerAddr::new(peer)))
            }
            Self::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                Ok((Socket::Unix(stream.into_std()?), PeerAddr::same_machine()))
            }
        }
    }

    /// A connection that is there already, without asking the reactor, which may not have heard of it.
    fn accept_queued(&self) -> io::Result<(Socket, PeerAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match self {
            Self::Tcp(socket) => {
                let stream = TcpStream::from(accept_with(socket, flags)?);
                let peer = stream.peer_addr()?;
                Ok((Socket::Tcp(stream), PeerAddr::new(peer)))
            }
            Self::Unix(socket, _) => {
                let stream = UnixStream::from(accept_with(socket, flags)?);
                Ok((Socket::Unix(stream), PeerAddr::same_machine()))
            }
        }
    }
}

/// Held by each acceptor until its socket is noted for a successor; with the last one the guard goes.
pub(super) type Unnoted = Option<Arc<DropGuard>>;

/// Accepts until the drain closes the listeners.
pub(super) async fn accept(
    bound: Bound,
    workers: &Workers<Profile>,
    drain: &Drain,
    possessions: &Possessions,
    clock: &Clock,
    unnoted: Unnoted,
) -> io::Result<()> {
    let Bound { settings, socket, .. } = bound;
    // Nobody else holds it: the socket closes when this function returns.
    let door = Arc::new(Door::open(socket)?);
    possessions.add(settings.address.possession(), &door);
    drop(unnoted);
    let acceptor = Acceptor {
        settings,
        workers,
        drain,
        clock,
        count: Arc::default(),
    };
    let mut closing = std::pin::pin!(drain.reached(Stage::Closing));
    let mut paused = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.as_mut() => break,
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                paused = false;
                if let Some(handed) = acceptor.admit(socket, peer) {
                    tokio::select! {
                        biased;
                        () = workers.hand(handed) => {}
                        () = closing.as_mut() => break,
                    }
                }
            }
            Err(error) => match After::failure(&error) {
                After::Next => {}
                After::Pause => {
                    let profile = acceptor.settings.profile.load();
                    profile.metrics.refused.inc(ConnectionRefusal::AcceptFailed);
                    if !std::mem::replace(&mut paused, true) {
                        let listener = &*profile.proxy.name;
                        tracing::warn!(listener, %error, "accepting pauses until there is room");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    acceptor.take_the_rest(|| door.accept_queued()).await;
    Ok(())
}

/// What it takes to accept connections of one address.
struct Acceptor<'a> {
    settings: ListenSettings,
    workers: &'a Workers<Profile>,
    drain: &'a Drain,
    clock: &'a Clock,
    /// Connections that are open.
    count: Arc<AtomicUsize>,
}

impl Acceptor<'_> {
    /// Counts a connection in, or closes it because there are too many.
    fn admit(&self, socket: Socket, peer: PeerAddr) -> Option<Handed<Profile>> {
        // As it is now: a reload may have put another in its place.
        let profile = self.settings.profile.load_full();
        let metrics = &profile.metrics;
        let now = self.clock.now().mono;
        metrics.accepted.inc();
        if self.count.load(Ordering::Relaxed) >= profile.max_connections {
            metrics.refused.inc(ConnectionRefusal::Limit);
            return None;
        }
        // Behind the PROXY protocol the client is known later, on its thread.
        let address = match profile.proxy_protocol {
            ProxyProtocol::Required => None,
            ProxyProtocol::Off => match profile.takes(peer, now) {
                Ok(counted) => counted,
                Err(refusal) => {
                    metrics.refused.inc(refusal);
                    return None;
                }
            },
        };
        // After what one client may: none uses up what is everybody's by being refused.
        if let Err(refusal) = profile.rate.arrives(&profile.proxy.name, now) {
            metrics.refused.inc(refusal);
            return None;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            _address: address,
            _drain: self.drain.connection(),
            _gauge: Held::in_gauge(&metrics.connections),
            count: self.count.clone(),
        };
        Some(Handed {
            socket,
            peer,
            listener: profile,
            guard: Box::new(open),
        })
    }

    /// Connections that the kernel took before the end are served too: closing the socket would reset them.
    async fn take_the_rest(&self, mut queued: impl FnMut() -> io::Result<(Socket, PeerAddr)>) {
        let take = async {
            // No more than its queue can hold: who comes from now on cannot keep it open.
            for _ in 0..BACKLOG {
                let Ok((socket, peer)) = queued() else {
                    return;
                };
                if let Some(handed) = self.admit(socket, peer) {
                    self.workers.hand(handed).await;
                }
            }
        };
        // In vain only when a data thread stands still.
        let _ = tokio::time::timeout(PAUSE, take).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::num::NonZeroUsize;
    use std::rc::Rc;

    use arc_swap::ArcSwap;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::domain::clock::{ManualClock, UnixMillis};
    use crate::edge::listener::ListenAddress;
    use crate::edge::listener::socket::testing;
    use crate::runtime::readiness::Readiness;
    use crate::runtime::sockets::Stream;
    use crate::runtime::workers::{Accepted, Serve};
    use crate::telemetry::ListenerMetrics;

    /// Greets, then waits for the client to leave.
    struct Greets;

    impl Serve for Greets {
        type Listener = Profile;

        async fn serve(self: Rc<Self>, mut accepted: Accepted<Profile>) {
            let Stream::Tcp(stream) = &accepted.stream else {
                panic!("TCP was asked for")
            };
            assert!(stream.nodelay().expect("readable"));
            accepted.stream.write_all(b"hi").await.expect("written");
            let _ = accepted.stream.read_u8().await;
        }
    }

    /// A listener on a free port, what counts for it, and where it is.
    fn bound(max_connections: usize) -> (Bound, ListenerMetrics, SocketAddr) {
        let profile = testing::profile();
        let metrics = profile.metrics.clone();
        let settings = ListenSettings {
            address: ListenAddress::Tcp(([127, 0, 0, 1], 0).into()),
            profile: Arc::new(ArcSwap::from_pointee(Profile {
                max_connections,
                ..profile
            })),
        };
        let bound = Bound::bind(settings, &Possessions::own(), None);
        let bound = bound.expect("bound");
        let ListenAddress::Tcp(address) = *bound.address() else {
            panic!("TCP was asked for")
        };
        (bound, metrics, address)
    }

    #[tokio::test]
    async fn what_the_kernel_took_before_the_end_is_served_still() {
        let (bound, metrics, address) = bound(100);
        let mut early = Vec::new();
        for _ in 0..20 {
            early.push(TcpStream::connect(address).await.expect("queued"));
        }
        let workers = Workers::start(NonZeroUsize::MIN, |_| Greets).expect("threads");
        let drain = Drain::new(Readiness::new());
        drain.advance(Stage::Closing);
        accept(bound, &workers, &drain, &Possessions::own(), &Clock::System, None)
            .await
            .expect("ended");
        assert_eq!(metrics.accepted.get(), 20);
        for mut client in early {
            client.read_exact(&mut [0; 2]).await.expect("greeted");
        }
        TcpStream::connect(address)
            .await
            .expect_err("nobody listens any more");
    }

    #[tokio::test]
    async fn connections_are_bounded_counted_and_refused_once_closing() {
        let (bound, metrics, address) = bound(1);
        let workers = Workers::start(NonZeroUsize::MIN, |_| Greets).expect("threads");
        let drain = Drain::new(Readiness::new());
        let clients = async {
            let mut first = TcpStream::connect(address).await.expect("connected");
            first.read_exact(&mut [0; 2]).await.expect("greeted");
            let mut second = TcpStream::connect(address).await.expect("connected");
            assert_eq!(second.read(&mut [0; 2]).await.unwrap_or(0), 0, "closed unserved");
            assert_eq!(metrics.refused.count(ConnectionRefusal::Limit), 1);
            assert_eq!((metrics.connections.get(), drain.connections()), (1, 1));
            drop(first);
            drain.empty(Duration::from_secs(20)).await;
            let mut third = TcpStream::connect(address).await.expect("connected");
            third.read_exact(&mut [0; 2]).await.expect("there is room again");
            drain.advance(Stage::Closing);
        };
        let possessions = Possessions::own();
        let accepting = accept(bound, &workers, &drain, &possessions, &Clock::System, None);
        let (accepting, ()) = tokio::join!(accepting, clients);
        accepting.expect("ended by the drain");
        assert_eq!(metrics.accepted.get(), 3);
        TcpStream::connect(address)
            .await
            .expect_err("nobody listens any more");
    }

    #[test]
    fn a_lack_of_room_pauses_and_one_lost_connection_does_not() {
        for (errno, after) in [
            (Errno::CONNABORTED, After::Next),
            (Errno::INTR, After::Next),
            (Errno::MFILE, After::Pause),
            (Errno::NFILE, After::Pause),
            (Errno::NOBUFS, After::Pause),
            (Errno::NOMEM, After::Pause),
            (Errno::PERM, After::Pause),
        ] {
            assert_eq!(After::failure(&errno.into()), after, "{errno}");
        }
    }

    #[tokio::test]
    async fn an_address_has_its_own_bound_where_nobody_introduces_it() {
        let (bound, metrics, _) = bound(100);
        let per_address = crate::edge::listener::AddressBound::new(1);
        let profile = testing::profile();
        // As many as are taken below: one that is refused for its address is none of them.
        let rate = crate::edge::listener::RateBound::new(crate::edge::listener::Rates {
            total: Some(3),
            per_address: 1000,
        });
        bound.settings.profile.store(Arc::new(Profile {
            max_connections: 100,
            per_address,
            rate,
            metrics: metrics.clone(),
            ..profile
        }));
        let workers = Workers::start(NonZeroUsize::MIN, |_| Greets).expect("threads");
        let drain = Drain::new(Readiness::new());
        let clock = Clock::Manual(ManualClock::at(UnixMillis(0)));
        let acceptor = Acceptor {
            settings: bound.settings.clone(),
            workers: &workers,
            drain: &drain,
            clock: &clock,
            count: Arc::default(),
        };
        let from = |last: u8| {
            let (socket, _) = UnixStream::pair().expect("a pair");
            let peer = PeerAddr::new(([192, 0, 2, last], 1).into());
            acceptor.admit(Socket::Unix(socket), peer)
        };
        let first = from(7);
        assert!(first.is_some());
        assert!(from(7).is_none(), "one is open");
        assert!(from(8).is_some(), "another client");
        assert_eq!(metrics.refused.count(ConnectionRefusal::AddressLimit), 1);
        drop(first);
        assert!(from(7).is_some(), "room again");
        assert!(from(9).is_none(), "as many as may come within a second");
        assert_eq!(metrics.refused.count(ConnectionRefusal::Rate), 1);
    }

    #[tokio::test]
    async fn a_flood_that_is_refused_does_not_keep_the_listener_open_at_its_end() {
        let (bound, metrics, _) = bound(0);
        let workers = Workers::start(NonZeroUsize::MIN, |_| Greets).expect("threads");
        let drain = Drain::new(Readiness::new());
        let acceptor = Acceptor {
            settings: bound.settings.clone(),
            workers: &workers,
            drain: &drain,
            clock: &Clock::System,
            count: Arc::default(),
        };
        // There is always another one, and each is refused at once: nothing is awaited in between.
        let mut taken = 0;
        let endless = || {
            taken += 1;
            assert!(taken <= 2 * BACKLOG, "it would go on for ever");
            let (socket, _) = UnixStream::pair().expect("a pair");
            Ok((Socket::Unix(socket), PeerAddr::same_machine()))
        };
        acceptor.take_the_rest(endless).await;
        assert_eq!(taken, BACKLOG, "as many as can have waited");
        let refused = metrics.refused.count(ConnectionRefusal::Limit);
        assert_eq!(refused, u64::from(BACKLOG.unsigned_abs()));
    }

    #[tokio::test]
    async fn a_data_thread_that_stands_still_does_not_keep_the_listener_open() {
        let (bound, _, address) = bound(10_000);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let workers = Workers::start(NonZeroUsize::MIN, move |_| {
            let _ = held.lock().expect("one thread").recv();
            Greets
        });
        let workers = workers.expect("threads");
        let drain = Drain::new(Readiness::new());
        let mut clients = Vec::new();
        // More than wait for one thread: the acceptor waits as well.
        for _ in 0..150 {
            clients.push(TcpStream::connect(address).await.expect("queued"));
        }
        let possessions = Possessions::own();
        let closing = async {
            while drain.connections() < 129 {
                tokio::task::yield_now().await;
            }
            drain.advance(Stage::Closing);
        };
        let both = async {
            tokio::join!(
                accept(bound, &workers, &drain, &possessions, &Clock::System, None),
                closing
            )
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), both).await;
        ended.expect("it does not wait for the thread").0.expect("ended");
        drop(release);
    }
}
