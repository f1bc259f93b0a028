//! From an accepted socket to the proxy, on the data thread that will serve it: the PROXY protocol first, then
//! TLS, then whatever is spoken. Each step is bounded in bytes and time, and a connection that fails one is
//! closed without a word and counted.

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::addresses::{AddressBound, Counted, Full};
use super::proxy_protocol::{self, Read, Said};
use super::rate::RateBound;
use super::tls::Tls;
use crate::domain::clock::MonoMillis;
use crate::domain::net::PeerAddr;
use crate::edge::proxy::{Arrival, Decide, Engine, ListenerProfile, Prefixed, Protocol};
use crate::gate::Scheme;
use crate::runtime::sockets::Stream;
use crate::runtime::workers::{Accepted, Serve};
use crate::telemetry::ListenerMetrics;
use crate::telemetry::labels::ConnectionRefusal;

/// How long a proxy may take for its header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read at once while a header is awaited: nearly always the whole of it.
const HEADER_READ: usize = 512;

/// What a listener says about the connections it accepts.
#[derive(Debug)]
pub struct Profile {
    /// What the proxy is told.
    pub proxy: Arc<ListenerProfile>,
    /// TLS; `None`: plain.
    pub tls: Option<Tls>,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// Most connections at once; more are closed unserved.
    pub max_connections: usize,
    /// How many connections a client address may have.
    pub per_address: AddressBound,
    /// How many connections may come within a second.
    pub rate: RateBound,
    /// Where connections are counted.
    pub metrics: ListenerMetrics,
}

impl Profile {
    /// Whether one more connection of this client is taken; then it counts until what is returned is dropped.
    pub(super) fn takes(
        &self,
        client: PeerAddr,
        now: MonoMillis,
    ) -> Result<Option<Counted>, ConnectionRefusal> {
        let (name, trusted) = (&self.proxy.name, &self.proxy.trusted_proxies);
        let counted = self.per_address.take(name, client, trusted);
        let counted = counted.map_err(|Full| ConnectionRefusal::AddressLimit)?;
        self.rate.comes_from(name, client, trusted, now)?;
        Ok(counted)
    }
}

/// Whether connections begin with a PROXY header. Never "when there is one": then a client could write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// They do, and come from trusted proxies only.
    Required,
}

/// What a data thread does with a socket.
#[derive(Debug)]
pub struct Entrance<D> {
    engine: Rc<Engine<D>>,
}

impl<D: Decide> Entrance<D> {
    /// Leads to this engine.
    pub fn new(engine: Engine<D>) -> Self {
        Self {
            engine: Rc::new(engine),
        }
    }

    /// A connection that begins with a PROXY header.
    async fn serve_introduced(self: Rc<Self>, mut stream: Stream, proxy: PeerAddr, profile: Arc<Profile>) {
        let trusted = &profile.proxy.trusted_proxies;
        let introduced = match trusted.contains(proxy.ip()) {
            true => introduce(&mut stream, HEADER_TIMEOUT).await,
            false => None,
        };
        let Some((said, read)) = introduced else {
            tracing::debug!(peer = %proxy.ip(), "a connection without a PROXY header, or from nobody who may send one");
            profile.metrics.refused.inc(ConnectionRefusal::ProxyHeader);
            return;
        };
        let peer = match said {
            Said::Client(address) => PeerAddr::new(address),
            Said::Nothing => proxy,
        };
        let _counted = match profile.takes(peer, self.engine.now().mono) {
            Ok(counted) => counted,
            Err(refusal) => {
                profile.metrics.refused.inc(refusal);
                return;
            }
        };
        let stream = Prefixed::new(read, stream);
        match profile.tls.clone() {
            Some(tls) => self.serve_tls(stream, peer, profile, tls).await,
            None => self.serve_plain(stream, peer, &profile).await,
        }
    }

    async fn serve_tls(
        self: Rc<Self>,
        stream: Prefixed<Stream>,
        peer: PeerAddr,
        profile: Arc<Profile>,
        tls: Tls,
    ) {
        let Some(accepted) = tls.accept(stream).await else {
            profile.metrics.refused.inc(ConnectionRefusal::TlsHandshake);
            return;
        };
        let arrival = Arrival {
            peer,
            listener: profile.proxy.clone(),
            scheme: Scheme::Https,
            covers: Some(accepted.shown.rule()),
        };
        drop((tls, profile));
        self.engine
            .clone()
            .drive(accepted.stream, arrival, accepted.protocol)
            .await;
    }

    fn serve_plain<S>(
        &self,
        stream: S,
        peer: PeerAddr,
        profile: &Profile,
    ) -> impl Future<Output = ()> + use<S, D>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let arrival = Arrival {
            peer,
            listener: profile.proxy.clone(),
            scheme: Scheme::Http,
            covers: None,
        };
        self.engine.clone().drive(stream, arrival, Protocol::Either)
    }
}

impl<D: Decide> Serve for Entrance<D> {
    type Listener = Profile;

    async fn serve(self: Rc<Self>, accepted: Accepted<Profile>) {
        let Accepted {
            stream,
            peer,
            listener,
        } = accepted;
        // In boxes of their own: plain connections do not carry the room for the others.
        match (listener.proxy_protocol, listener.tls.clone()) {
            (ProxyProtocol::Required, _) => Box::pin(self.serve_introduced(stream, peer, listener)).await,
            (ProxyProtocol::Off, Some(tls)) => {
                let stream = Prefixed::new(Vec::new(), stream);
                Box::pin(self.serve_tls(stream, peer, listener, tls)).await;
            }
            (ProxyProtocol::Off, None) => match stream {
                Stream::Tcp(stream) => {
                    let serving = self.serve_plain(stream, peer, &listener);
                    drop(listener);
                    serving.await;
                }
                unix => {
                    let stream = Prefixed::new(Vec::new(), unix);
                    Box::pin(self.serve_plain(stream, peer, &listener)).await;
                }
            },
        }
    }
}

/// Reads a header, and gives what was read beyond it. `None`: there is none, or it was not whole in time.
async fn introduce(stream: &mut (impl AsyncRead + Unpin), within: Duration) -> Option<(Said, Vec<u8>)> {
    tokio::time::timeout(within, read_header(stream)).await.ok()?
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Option<(Said, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; HEADER_READ];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(piece.get(..read)?);
        match proxy_protocol::read(&bytes) {
            // Bounded: beyond its longest form a header is whole or broken.
            Read::More => {}
            Read::Header(said, len) => {
                bytes.drain(..len);
                return Some((said, bytes));
            }
            Read::Broken => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const NEVER: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_header_that_does_not_come_whole_is_not_waited_for() {
        for sent in ["", "PROXY ", "PROXY TCP4 192.0.2.7", "\r\n\r\n\0\r\nQUIT\n\x21"] {
            let (mut ours, mut theirs) = duplex(64);
            theirs.write_all(sent.as_bytes()).await.expect("written");
            let waited = tokio::time::timeout(NEVER, introduce(&mut ours, SOON)).await;
            assert_eq!(waited, Ok(None), "{sent:?}, and then silence");
            let (mut ours, mut theirs) = duplex(64);
            theirs.write_all(sent.as_bytes()).await.expect("written");
            drop(theirs);
            let ended = tokio::time::timeout(NEVER, introduce(&mut ours, NEVER * 2)).await;
            assert_eq!(ended, Ok(None), "{sent:?}, and then the end");
        }
    }

    #[tokio::test]
    async fn what_comes_behind_a_header_is_kept_for_who_reads_on() {
        let (mut ours, mut theirs) = duplex(64);
        theirs.write_all(b"PROXY UNKNOWN\r\nGET").await.expect("written");
        let introduced = introduce(&mut ours, NEVER).await;
        assert_eq!(introduced, Some((Said::Nothing, b"GET".to_vec())));
    }

    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";

    /// What comes of a header of which a byte comes at a time, and after how long. Time is the runtime's own.
    async fn introduced(header: &[u8], pause: Duration) -> (Option<(Said, Vec<u8>)>, Duration) {
        let (mut proxy, mut ours) = duplex(64);
        let began = Instant::now();
        let sending = async {
            for byte in header {
                sleep(pause).await;
                if proxy.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
            sleep(HEADER_TIMEOUT * 10).await;
        };
        let read = tokio::select! {
            read = introduce(&mut ours, HEADER_TIMEOUT) => read,
            () = sending => panic!("nobody stopped waiting"),
        };
        (read, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_has_its_time_as_a_whole() {
        let (read, after) = introduced(HEADER, Duration::from_millis(125)).await;
        assert!(
            after > Duration::from_secs(4),
            "not much sooner than it must: {after:?}"
        );
        let client = Said::Client(([192, 0, 2, 1], 1).into());
        assert_eq!(read, Some((client, Vec::new())), "in time");
        for (header, pause, why) in [
            (&b""[..], Duration::ZERO, "not a byte of it"),
            (b"PROXY TCP4 192", Duration::ZERO, "a part of it"),
            (HEADER, Duration::from_secs(1), "a byte now and then wins no time"),
        ] {
            let (read, after) = introduced(header, pause).await;
            assert_eq!(read, None, "{why}");
            let late = after.saturating_sub(HEADER_TIMEOUT);
            assert!(
                after >= HEADER_TIMEOUT && late < Duration::from_millis(10),
                "{why}: {after:?}"
            );
        }
    }
}
