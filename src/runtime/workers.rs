//! The data threads: one per core, each with a runtime of its own that never migrates a task.
//!
//! An acceptor hands every socket to the thread with the fewest connections, which registers it with its
//! own reactor and serves it there to the end, so that nothing is shared between cores on a request.
//! What a thread keeps for itself (upstream pools, deadlines) lives in the value that `make` builds on
//! it. Nothing here knows HTTP. `spawn_here` is the one way to start a task on a data thread.

use std::future::Future;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;

use super::deadlines::Deadlines;
use super::sockets::{Socket, Stream};
use crate::domain::net::PeerAddr;

/// Sockets that may wait for one thread before the acceptor has to.
const QUEUE: usize = 128;
/// Blocking helpers per data thread: name resolution alone needs them.
const MAX_BLOCKING_THREADS: usize = 2;
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often deadlines are checked.
const TICK: Duration = Duration::from_millis(100);

/// A socket on its way to a data thread.
pub struct Handed<L> {
    /// The socket.
    pub socket: Socket,
    /// Its other end.
    pub peer: PeerAddr,
    /// What its listener says about it.
    pub listener: Arc<L>,
    /// Counts it for whoever accepted it; dropped when the connection has ended.
    pub guard: Box<dyn Send>,
}

/// A socket that has arrived on its thread.
#[derive(Debug)]
pub struct Accepted<L> {
    /// The socket.
    pub stream: Stream,
    /// Its other end.
    pub peer: PeerAddr,
    /// What its listener says about it.
    pub listener: Arc<L>,
}

/// What a data thread does with a connection.
pub trait Serve: 'static {
    /// What a listener says about its sockets.
    type Listener: Send + Sync + 'static;

    /// Serves one connection to its end. Runs, and stays, on the thread that built `self`.
    fn serve(self: Rc<Self>, accepted: Accepted<Self::Listener>) -> impl Future<Output = ()> + 'static;
}

/// The data threads. Dropping the value without `stop` leaves them to the end of the process.
#[derive(Debug)]
pub struct Workers<L> {
    threads: Vec<Worker<L>>,
}

#[derive(Debug)]
struct Worker<L> {
    queue: mpsc::Sender<Handed<L>>,
    /// Connections on the thread and on their way to it.
    load: Arc<AtomicUsize>,
    /// The thread's own, which only it lets tick.
    deadlines: Deadlines,
    thread: JoinHandle<()>,
}

/// The data threads as somebody sees them who asks whether they answer.
#[derive(Debug, Clone)]
pub struct Threads(Vec<Deadlines>);

/// Compares how far the threads are with how far they were.
#[derive(Debug)]
pub struct Pulse {
    threads: Threads,
    before: Vec<u64>,
}

impl Pulse {
    /// The first look.
    pub fn of(threads: Threads) -> Self {
        let before = threads.0.iter().map(Deadlines::ticks).collect();
        Self { threads, before }
    }

    /// The first thread that has not gone on since the last look, which must be some ticks ago.
    pub fn standing_still(&mut self) -> Option<usize> {
        let now: Vec<u64> = self.threads.0.iter().map(Deadlines::ticks).collect();
        let still = now
            .iter()
            .zip(&self.before)
            .position(|(now, before)| now == before);
        self.before = now;
        still
    }
}

struct LoadGuard(Arc<AtomicUsize>);

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One thread per core that this process may use (affinity and cgroup quota counted).
pub fn default_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl<L: Send + Sync + 'static> Workers<L> {
    /// Starts the threads. `make` runs once on each of them.
    pub fn start<S, M>(threads: NonZeroUsize, make: M) -> std::io::Result<Self>
    where
        S: Serve<Listener = L>,
        M: Fn(&Deadlines) -> S + Send + Sync + 'static,
    {
        let make = Arc::new(make);
        let start_one = |index: usize| {
            let (queue, arrivals) = mpsc::channel(QUEUE);
            let load = Arc::new(AtomicUsize::new(0));
            let deadlines = Deadlines::new(TICK);
            let (make, on_thread, own) = (make.clone(), load.clone(), deadlines.clone());
            // The runtime cannot leave the thread that builds it, so the thread tells whether it could.
            let (tell, started) = std::sync::mpsc::sync_channel(1);
            let thread = std::thread::Builder::new()
                .name(format!("data-{index}"))
                .spawn(move || {
                    let built = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .max_blocking_threads(MAX_BLOCKING_THREADS)
                        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
                        .build_local(LocalOptions::default());
                    match built {
                        Ok(runtime) => {
                            let _ = tell.send(Ok(()));
                            runtime.block_on(run(make.as_ref(), own, arrivals, on_thread));
                            // Not waiting for a name that is still being resolved.
                            runtime.shutdown_background();
                        }
                        Err(error) => {
                            let _ = tell.send(Err(error));
                        }
                    }
                })?;
            started.recv().map_err(std::io::Error::other)??;
            Ok(Worker {
                queue,
                load,
                deadlines,
                thread,
            })
        };
        let threads = (0..threads.get())
            .map(start_one)
            .collect::<std::io::Result<_>>()?;
        Ok(Self { threads })
    }

    /// Hands a socket to the thread with the fewest connections; waits while that one's queue is full.
    /// A socket that no thread takes any more is closed.
    pub async fn hand(&self, handed: Handed<L>) {
        let Some(worker) = self
            .threads
            .iter()
            .min_by_key(|worker| worker.load.load(Ordering::Relaxed))
        else {
            return;
        };
        worker.load.fetch_add(1, Ordering::Relaxed);
        if worker.queue.send(handed).await.is_err() {
            worker.load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Connections per thread, for tests and the status page.
    pub fn loads(&self) -> Vec<usize> {
        self.threads
            .iter()
            .map(|worker| worker.load.load(Ordering::Relaxed))
            .collect()
    }

    /// The threads, for asking whether they answer.
    pub fn threads(&self) -> Threads {
        Threads(
            self.threads
                .iter()
                .map(|worker| worker.deadlines.clone())
                .collect(),
        )
    }

    /// Ends every thread; connections that are still open are dropped. Blocks until the threads are gone.
    pub fn stop(self) {
        for worker in self.threads {
            drop(worker.queue);
            if worker.thread.join().is_err() {
                tracing::error!("a data thread ended by a panic");
            }
        }
    }
}

async fn run<S: Serve>(
    make: &impl Fn(&Deadlines) -> S,
    deadlines: Deadlines,
    mut arrivals: mpsc::Receiver<Handed<S::Listener>>,
    load: Arc<AtomicUsize>,
) {
    let server = Rc::new(make(&deadlines));
    spawn_here(async move { deadlines.run().await });
    while let Some(handed) = arrivals.recv().await {
        let loaded = LoadGuard(load.clone());
        let stream = match handed.socket.register() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "an accepted socket could not be registered");
                continue;
            }
        };
        let accepted = Accepted {
            stream,
            peer: handed.peer,
            listener: handed.listener,
        };
        let serving = server.clone().serve(accepted);
        let guard = handed.guard;
        spawn_here(async move {
            serving.await;
            drop((guard, loaded));
        });
    }
}

/// Starts a task on the data thread that calls this. It ends with the thread; nobody joins it, so it must
/// bound its own life. Calling it elsewhere is a bug (and panics).
pub fn spawn_here(work: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(work);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::drain::Drain;
    use crate::runtime::readiness::Readiness;
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Blocks its thread until it is let go.
    struct Blocks(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

    impl Serve for Blocks {
        type Listener = ();

        async fn serve(self: Rc<Self>, _: Accepted<()>) {
            let _ = self.0.lock().expect("not poisoned").recv();
        }
    }

    #[tokio::test]
    async fn a_thread_that_is_blocked_is_found_and_one_that_answers_again_is_not() {
        let (free, blocked) = std::sync::mpsc::channel();
        let blocked = std::sync::Mutex::new(Some(blocked));
        let workers = Workers::start(NonZeroUsize::MIN, move |_| {
            let blocked = blocked.lock().expect("not poisoned").take();
            Blocks(std::sync::Mutex::new(blocked.expect("one thread")))
        });
        let workers = workers.expect("threads");
        let mut pulse = Pulse::of(workers.threads());
        let mut look = async || {
            tokio::time::sleep(TICK * 5).await;
            pulse.standing_still()
        };
        assert_eq!(look().await, None);
        let (socket, peer) = std::os::unix::net::UnixStream::pair().expect("a pair");
        socket.set_nonblocking(true).expect("set");
        workers
            .hand(Handed {
                socket: Socket::Unix(socket),
                peer: PeerAddr::same_machine(),
                listener: Arc::new(()),
                guard: Box::new(()),
            })
            .await;
        // It may have ticked between the last look and the block.
        look().await;
        assert_eq!(look().await, Some(0), "the first thread");
        free.send(()).expect("it waits");
        look().await;
        assert_eq!(look().await, None);
        drop((peer, free));
    }

    /// Says which thread it is, then waits for the client to leave.
    struct Names;

    impl Serve for Names {
        type Listener = &'static str;

        async fn serve(self: Rc<Self>, mut accepted: Accepted<Self::Listener>) {
            let name = std::thread::current().name().unwrap_or("?").to_owned();
            let line = format!("{} {name}\n", accepted.listener);
            accepted.stream.write_all(line.as_bytes()).await.expect("written");
            let _ = accepted.stream.read_u8().await;
        }
    }

    #[tokio::test]
    async fn sockets_are_spread_evenly_and_counted_out() {
        let workers = Workers::start(NonZeroUsize::new(3).expect("three"), |_| Names).expect("threads");
        let drain = Drain::new(Readiness::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("address");
        let mut clients = Vec::new();
        for _ in 0..9 {
            let mut client = TcpStream::connect(address).await.expect("connected");
            let (socket, peer) = listener.accept().await.expect("accepted");
            workers
                .hand(Handed {
                    socket: Socket::Tcp(socket.into_std().expect("std")),
                    peer: PeerAddr::new(peer),
                    listener: Arc::new("public"),
                    guard: Box::new(drain.connection()),
                })
                .await;
            let mut line = [0; 14];
            client.read_exact(&mut line).await.expect("a line");
            assert!(line.starts_with(b"public data-"));
            clients.push(client);
        }
        assert_eq!(workers.loads(), [3, 3, 3]);
        assert_eq!(drain.connections(), 9);
        drop(clients);
        drain.empty(Duration::from_secs(10)).await;
        assert_eq!(drain.connections(), 0);
        tokio::task::spawn_blocking(|| workers.stop())
            .await
            .expect("stopped");
    }

    #[tokio::test]
    async fn a_thread_that_takes_nothing_lets_only_so_many_wait_for_it() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let make = move |_: &Deadlines| {
            let _ = held.lock().expect("one thread").recv();
            Names
        };
        let workers = Workers::start(NonZeroUsize::MIN, make).expect("a thread");
        let drain = Drain::new(Readiness::new());
        let mut clients = Vec::new();
        let mut hand = || {
            let (client, socket) = std::os::unix::net::UnixStream::pair().expect("a pair");
            socket.set_nonblocking(true).expect("set");
            clients.push(client);
            let handed = Handed {
                socket: Socket::Unix(socket),
                peer: PeerAddr::same_machine(),
                listener: Arc::new("public"),
                guard: Box::new(drain.connection()),
            };
            // Unconstrained: tokio makes a task pause after as many sends as the queue is long.
            tokio::task::unconstrained(workers.hand(handed)).now_or_never()
        };
        for n in 0..QUEUE {
            assert_eq!(hand(), Some(()), "socket {n} waits for the thread");
        }
        assert_eq!(hand(), None, "one more waits with the acceptor");
        drop(release);
        drop(clients);
        drain.empty(Duration::from_secs(10)).await;
        tokio::task::spawn_blocking(|| workers.stop())
            .await
            .expect("stopped");
    }
}
