//! The streams of one HTTP/2 connection: how many there are, and the clocks of each.
//!
//! HTTP/1 has one client's clock, below hyper. Here a client can stand still on one stream while others
//! go on, which shows only here: an answer whose next piece nobody asks for, a request body of which nothing
//! comes. Such a stream is dropped, and h2 resets it. Clocks are used again by later streams.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;

use super::super::body::{Body, BodyError};
use super::super::connection::Arrival;
use super::super::service::{Client, Wire};
use super::super::settings::ConnectionSettings;
use crate::runtime::deadlines::{Deadline, Deadlines};
use crate::runtime::workers::spawn_here;

/// Requests that a client may give up before their answer, beyond those that it waits for.
const MAX_GIVEN_UP: usize = 200;

/// One stream, as its request and its answer see it.
#[derive(Debug)]
pub(in crate::edge::proxy) struct Stream {
    /// Runs while it is the client's turn: to send more of the request, or to take more of the answer.
    clock: Deadline,
    idle_timeout: Duration,
    /// Whether the service has begun an answer.
    answered: Cell<bool>,
}

impl Stream {
    /// There is an answer.
    pub(super) fn has_answer(&self) {
        self.answered.set(true);
    }

    /// It is the client's turn.
    pub(in crate::edge::proxy) fn clients_turn(&self) {
        self.clock.set(self.idle_timeout);
    }

    /// How long the client may stand still.
    pub(in crate::edge::proxy) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// It is ours, or the upstream's.
    pub(in crate::edge::proxy) fn our_turn(&self) {
        self.clock.clear();
    }
}

/// The streams of one connection. Also the executor that hyper starts them with.
#[derive(Debug, Clone)]
pub(super) struct Streams(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    arrival: Arrival,
    deadlines: Deadlines,
    /// Runs while there is no stream.
    idle: Deadline,
    idle_timeout: Cell<Duration>,
    open: Cell<usize>,
    /// Requests that the client gave up, less those that it let be answered.
    given_up: Cell<usize>,
    /// Clocks without a stream. Bounded by the streams that were ever open at once.
    free: RefCell<Vec<Slot>>,
    /// The stream whose request was just handed to the service, for the task that hyper starts next.
    next: RefCell<Option<Slot>>,
}

/// What a stream needs for its life.
#[derive(Debug, Clone)]
struct Slot {
    client: Rc<Client>,
    stream: Rc<Stream>,
}

impl Streams {
    pub(super) fn new(deadlines: &Deadlines, arrival: Arrival) -> Self {
        let idle_timeout = arrival.listener.connection.keep_alive_timeout;
        let idle = deadlines.register();
        idle.set(idle_timeout);
        Self(Rc::new(Shared {
            arrival,
            deadlines: deadlines.clone(),
            idle,
            idle_timeout: Cell::new(idle_timeout),
            open: Cell::new(0),
            given_up: Cell::new(0),
            free: RefCell::new(Vec::new()),
            next: RefCell::new(None),
        }))
    }

    pub(super) fn connection(&self) -> &ConnectionSettings {
        &self.0.arrival.listener.connection
    }

    /// The listener's name.
    pub(super) fn listener(&self) -> &str {
        &self.0.arrival.listener.name
    }

    /// Whose connection it is.
    pub(super) fn peer(&self) -> IpAddr {
        self.0.arrival.peer.ip()
    }

    /// A stream for the request at hand; the task that is started next belongs to it.
    pub(super) fn open(&self) -> (Rc<Client>, Rc<Stream>) {
        let free = self.0.free.borrow_mut().pop();
        let slot = free.unwrap_or_else(|| self.new_slot());
        slot.stream.answered.set(false);
        let opened = (slot.client.clone(), slot.stream.clone());
        *self.0.next.borrow_mut() = Some(slot);
        opened
    }

    fn new_slot(&self) -> Slot {
        let stream = Rc::new(Stream {
            clock: self.0.deadlines.register(),
            idle_timeout: self.connection().body_idle_timeout,
            answered: Cell::new(false),
        });
        let client = Client::new(
            self.0.arrival.clone(),
            Wire::Http2(stream.clone()),
            self.0.deadlines.register(),
        );
        Slot {
            client: Rc::new(client),
            stream,
        }
    }

    /// Whether the client opens requests to give them up: each costs us and the upstream work, and it nothing.
    pub(super) fn are_abused(&self) -> bool {
        self.0.given_up.get() > MAX_GIVEN_UP
    }

    /// Ready when the connection has been idle for too long.
    pub(super) fn poll_idle(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.idle.poll_expired(cx)
    }

    /// The connection was told to end: from now on it may be idle for no longer than this.
    pub(super) fn leaves_within(&self, idle_timeout: Duration) {
        self.0.idle_timeout.set(idle_timeout);
        if self.0.open.get() == 0 {
            self.0.idle.set(idle_timeout);
        }
    }
}

/// A stream that is counted, until it is dropped.
struct Running {
    shared: Rc<Shared>,
    slot: Slot,
}

impl Running {
    fn new(shared: Rc<Shared>, slot: Slot) -> Self {
        shared.open.set(shared.open.get().saturating_add(1));
        shared.idle.clear();
        Self { shared, slot }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.slot.stream.our_turn();
        let given_up = self.shared.given_up.get();
        self.shared.given_up.set(match self.slot.stream.answered.get() {
            true => given_up.saturating_sub(1),
            false => given_up.saturating_add(1),
        });
        let open = self.shared.open.get().saturating_sub(1);
        self.shared.open.set(open);
        if open == 0 {
            self.shared.idle.set(self.shared.idle_timeout.get());
        }
        // A body that is still being read, after a refusal, has a hold on the clocks: they are not used again.
        if Rc::strong_count(&self.slot.stream) == SLOT_AND_CLIENT {
            self.shared.free.borrow_mut().push(self.slot.clone());
        }
    }
}

/// Who holds a stream that nobody uses: its slot, and the client of its slot.
const SLOT_AND_CLIENT: usize = 2;

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, work: F) {
        // hyper starts the task of a stream right after it has handed its request to the service.
        let Some(slot) = self.0.next.borrow_mut().take() else {
            spawn_here(work);
            return;
        };
        let running = Running::new(self.0.clone(), slot);
        spawn_here(async move {
            {
                let mut work = pin!(work);
                std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(()),
                    // Dropping it resets the stream.
                    Poll::Pending => running.slot.stream.clock.poll_expired(cx),
                })
                .await;
            }
            drop(running);
        });
    }
}

/// An answer's body that tells the stream's clock whose turn it is.
#[derive(Debug)]
pub(super) struct StreamBody {
    body: Body,
    stream: Rc<Stream>,
}

impl StreamBody {
    pub(super) fn new(body: Body, stream: Rc<Stream>) -> Self {
        Self { body, stream }
    }
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        // Asked for more: the client has taken what it was given, or has room for it.
        this.stream.our_turn();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            this.stream.clients_turn();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
