//! Accepts connections of one address and hands them to the data threads.
//!
//! An accepted socket is deregistered here at once: the data thread that serves it registers it with its own
//! reactor. When the system has no descriptor left, accepting pauses instead of spinning; the kernel queues
//! meanwhile.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, UnixListener};

use super::addresses::Counted;
use super::entrance::{Profile, ProxyProtocol};
use super::socket::{Bound, Listening, SocketFile};
use crate::domain::net::PeerAddr;
use crate::runtime::drain::{ConnectionGuard, Drain, Stage};
use crate::runtime::sockets::Socket;
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
}

/// Accepts until the drain closes the listeners.
pub(super) async fn accept(bound: Bound, workers: &Workers<Profile>, drain: &Drain) -> io::Result<()> {
    let Bound { settings, socket, .. } = bound;
    let profile = &settings.profile;
    let metrics = &profile.metrics;
    let socket = Door::open(socket)?;
    let count = Arc::new(AtomicUsize::new(0));
    let mut closing = std::pin::pin!(drain.reached(Stage::Closing));
    let mut paused = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.as_mut() => return Ok(()),
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((accepted, peer)) => {
                paused = false;
                metrics.accepted.inc();
                if count.load(Ordering::Relaxed) >= settings.max_connections {
                    metrics.refused.inc(ConnectionRefusal::Limit);
                    continue;
                }
                // Behind the PROXY protocol the client is known later, on its thread.
                let address = match profile.proxy_protocol {
                    ProxyProtocol::Required => None,
                    ProxyProtocol::Off => {
                        let proxy = &profile.proxy;
                        match profile
                            .per_address
                            .take(&proxy.name, peer, &proxy.trusted_proxies)
                        {
                            Ok(counted) => counted,
                            Err(_) => {
                                metrics.refused.inc(ConnectionRefusal::AddressLimit);
                                continue;
                            }
                        }
                    }
                };
                count.fetch_add(1, Ordering::Relaxed);
                let open = Open {
                    _address: address,
                    _drain: drain.connection(),
                    _gauge: Held::in_gauge(&metrics.connections),
                    count: count.clone(),
                };
                let handed = Handed {
                    socket: accepted,
                    peer,
                    listener: profile.clone(),
                    guard: Box::new(open),
                };
                hand(workers, handed, closing.as_mut()).await;
            }
            Err(error) => match After::failure(&error) {
                After::Next => {}
                After::Pause => {
                    metrics.refused.inc(ConnectionRefusal::AcceptFailed);
                    if !std::mem::replace(&mut paused, true) {
                        let listener = &*profile.proxy.name;
                        tracing::warn!(listener, %error, "accepting pauses until there is room");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

/// Waits for a thread to have room, but not beyond the end.
async fn hand(
    workers: &Workers<Profile>,
    handed: Handed<Profile>,
    closing: std::pin::Pin<&mut impl Future<Output = ()>>,
) {
    tokio::select! {
        biased;
        () = workers.hand(handed) => {}
        () = closing => {}
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::rc::Rc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::edge::listener::socket::testing;
    use crate::edge::listener::{ListenAddress, ListenSettings};
    use crate::runtime::readiness::Readiness;
    use crate::runtime::sockets::Stream;
    use crate::runtime::workers::{Accepted, Serve};

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

    #[tokio::test]
    async fn connections_are_bounded_counted_and_refused_once_closing() {
        let profile = testing::profile();
        let metrics = profile.metrics.clone();
        let bound = Bound::bind(ListenSettings {
            address: ListenAddress::Tcp(([127, 0, 0, 1], 0).into()),
            max_connections: 1,
            profile: Arc::new(profile),
        });
        let bound = bound.expect("bound");
        let ListenAddress::Tcp(address) = *bound.address() else {
            panic!("TCP was asked for")
        };
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
        let (accepting, ()) = tokio::join!(accept(bound, &workers, &drain), clients);
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
}
