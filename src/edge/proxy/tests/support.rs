//! A gate by table, a proxied client over a pipe, and an upstream in the hand of the test.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

use crate::authz::permit_anonymous;
use crate::authz::policy::{Access, RoutePolicy, testing};
use crate::domain::clock::{Clock, ManualClock, Now, UnixMillis};
use crate::domain::dialect::Dialect;
use crate::domain::net::{ClientIp, NetworkSet, PeerAddr};
use crate::domain::reason::Reason;
use crate::edge::endpoints::Endpoints;
use crate::edge::proxy::OwnPages;
use crate::edge::proxy::upstream::{Directory, Security, UpstreamAddress, UpstreamSettings};
use crate::edge::proxy::{
    Arrival, ConnectionSettings, Decide, Engine, EngineParts, InForce, ListenerProfile, Protocol, Standing,
};
use crate::gate::verdict::testing::forwarding;
use crate::gate::{Facts, Refusal, Scheme, Verdict};
use crate::runtime::deadlines::Deadlines;
use crate::runtime::drain::Drain;
use crate::runtime::readiness::Readiness;
use crate::runtime::workers::spawn_here;
use crate::telemetry::Metrics;

/// Longest time anything in these tests may take; never waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an upstream has for `/hasty`: so long that it never passes by itself. And more than that, in ticks.
pub(super) const HASTY: Duration = Duration::from_secs(10);
pub(super) const BEYOND_HASTY: u32 = 2100;

/// Refuses `/deny`, panics at `/panic`, permits the rest anonymously; `/small/` takes 10 bytes.
pub(super) struct Table;

fn refusal(reason: Reason) -> Refusal {
    Refusal {
        reason,
        presented: None,
        dialect: Dialect::Problem,
        request_id: HeaderValue::from_static("r1"),
        retry_after_secs: None,
        client: ClientIp::new([192, 0, 2, 7].into()),
        route: "-".into(),
        required_scopes: None,
    }
}

impl Decide for Table {
    async fn decide(&self, facts: &Facts<'_>, _now: Now) -> Verdict {
        match facts.path {
            "/deny" => return Verdict::Refuse(Box::new(refusal(Reason::CredentialMissing))),
            "/panic" => panic!("on purpose"),
            _ => {}
        }
        let route = Arc::new(RoutePolicy {
            access: Access::Public,
            max_body_bytes: facts.path.starts_with("/small").then_some(10),
            response_timeout: facts.path.starts_with("/hasty").then_some(HASTY),
            ..testing::route("/")
        });
        let permit = permit_anonymous(&route).expect("public");
        Verdict::Forward(forwarding(permit, facts))
    }

    fn refuse_unread(&self, reason: Reason, _: PeerAddr, _: Now) -> Refusal {
        refusal(reason)
    }
}

/// One proxy, its upstream's socket, and whatever else a test wants to look at.
pub(super) struct World {
    pub(super) engine: Rc<Engine<Table>>,
    pub(super) upstream: TcpListener,
    pub(super) directory: Arc<Directory>,
    pub(super) drain: Drain,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: ManualClock,
    deadlines: Deadlines,
    listener: Arc<ListenerProfile>,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(ConnectionSettings::default(), |_| {}).await
    }

    pub(super) async fn with(connection: ConnectionSettings, adapt: impl Fn(&mut UpstreamSettings)) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = upstream.local_addr().expect("address").port();
        let address = UpstreamAddress::new(Security::Plain, "127.0.0.1", port).expect("address");
        let mut settings = UpstreamSettings::new("api", address);
        adapt(&mut settings);
        let drain = Drain::new(Readiness::new());
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let directory = Directory::new(settings, &metrics).expect("an upstream");
        let listener = Arc::new(ListenerProfile {
            name: "public".into(),
            trusted_proxies: NetworkSet::default(),
            connection,
        });
        let clock = ManualClock::at(UnixMillis(1_700_000_000_000));
        let parts = EngineParts {
            in_force: InForce::new(Standing {
                own_pages: OwnPages::default(),
                endpoints: Endpoints::none(),
                access: None,
                decide: Arc::new(Table),
                upstreams: vec![Arc::clone(&directory)],
                listeners: vec![Arc::clone(&listener)],
            }),
            clock: Clock::Manual(clock.clone()),
            drain: drain.clone(),
            metrics: metrics.clone(),
            access_lines: None,
        };
        let deadlines = Deadlines::new(Duration::from_millis(5));
        let engine = Rc::new(Engine::new(&parts, &deadlines));
        let ticking = deadlines.clone();
        spawn_here(async move { ticking.run().await });
        Self {
            engine,
            upstream,
            directory,
            drain,
            metrics,
            clock,
            deadlines,
            listener,
        }
    }

    /// The upstream's socket, for a server of the test's own.
    pub(super) fn take_upstream(&mut self) -> TcpListener {
        let other = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        other.set_nonblocking(true).expect("set");
        std::mem::replace(
            &mut self.upstream,
            TcpListener::from_std(other).expect("registered"),
        )
    }

    /// Lets so many ticks of 5 ms pass at once, after whoever was sent something has read it.
    pub(super) async fn ticks(&self, ticks: u32) {
        tokio::task::yield_now().await;
        (0..ticks).for_each(|_| self.deadlines.advance());
        tokio::task::yield_now().await;
    }

    /// A new connection to the proxy.
    pub(super) fn client(&self) -> Peer<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        spawn_here(self.drive(theirs));
        Peer::new(ours)
    }

    /// Serves this stream as a new connection, to its end.
    pub(super) fn drive<S>(&self, stream: S) -> impl Future<Output = ()> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let peer = PeerAddr::new(([192, 0, 2, 1], 40000).into());
        let arrival = Arrival {
            peer,
            listener: self.listener.clone(),
            scheme: Scheme::Http,
            covers: None,
        };
        self.engine.clone().drive(stream, arrival, Protocol::Either)
    }

    /// The next connection that the proxy opens to the upstream.
    pub(super) async fn accept(&self) -> Peer<TcpStream> {
        accept(&self.upstream).await
    }
}

/// The next connection to this listener.
pub(super) async fn accept(listener: &TcpListener) -> Peer<TcpStream> {
    Peer::new(patient(listener.accept()).await.expect("accepted").0)
}

/// One end of a connection, read in heads and bodies.
pub(super) struct Peer<S> {
    pub(super) stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, text: &str) {
        patient(self.stream.write_all(text.as_bytes()))
            .await
            .expect("written");
    }

    /// Reads up to and with the next empty line.
    pub(super) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return String::from_utf8(head).expect("text");
            }
            let more = self.more().await;
            assert!(
                more > 0,
                "ended within a head: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// Reads so many bytes of a body.
    pub(super) async fn body(&mut self, len: usize) -> String {
        while self.buffer.len() < len {
            let more = self.more().await;
            assert!(
                more > 0,
                "ended within a body: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
        let rest = self.buffer.split_off(len);
        let body = std::mem::replace(&mut self.buffer, rest);
        String::from_utf8(body).expect("text")
    }

    /// Reads until this text has come, and gives everything up to its end.
    pub(super) async fn until(&mut self, text: &str) -> String {
        loop {
            let at = self.buffer.windows(text.len()).position(|w| w == text.as_bytes());
            if let Some(at) = at {
                return self.body(at + text.len()).await;
            }
            let more = self.more().await;
            assert!(
                more > 0,
                "ended before {text:?}: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// Head and body of an answer with a length.
    pub(super) async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = field(&head, "content-length").map_or(0, |l| l.parse().expect("a length"));
        let body = self.body(length).await;
        (head, body)
    }

    /// Everything up to the end of the connection.
    pub(super) async fn rest(&mut self) -> String {
        while self.more().await > 0 {}
        String::from_utf8(std::mem::take(&mut self.buffer)).expect("text")
    }

    /// Waits for the end of the connection.
    pub(super) async fn end(&mut self) {
        while self.more().await > 0 {}
    }

    /// So many bytes, whatever they are.
    pub(super) async fn stream_bytes(&mut self, len: usize) -> Vec<u8> {
        while self.buffer.len() < len {
            assert!(self.more().await > 0, "ended early");
        }
        self.buffer.drain(..len).collect()
    }

    async fn more(&mut self) -> usize {
        // A reset is an end as well.
        patient(self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0)
    }
}

/// The value of a field in a head.
pub(super) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

pub(super) async fn patient<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Runs a test as on a data thread.
pub(super) fn on_a_data_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, test);
}
