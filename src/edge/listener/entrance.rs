//! From an accepted socket to the proxy, on the data thread that will serve it.

use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::tls::Tls;
use crate::domain::net::PeerAddr;
use crate::edge::proxy::{Arrival, Decide, Engine, ListenerProfile, Protocol};
use crate::gate::Scheme;
use crate::runtime::workers::{Accepted, Serve};
use crate::telemetry::ListenerMetrics;
use crate::telemetry::labels::ConnectionRefusal;

/// What a listener says about the connections it accepts.
#[derive(Debug)]
pub struct Profile {
    /// What the proxy is told.
    pub proxy: Arc<ListenerProfile>,
    /// TLS; `None`: plain.
    pub tls: Option<Tls>,
    /// Where connections are counted.
    pub metrics: ListenerMetrics,
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

    async fn serve_tls<S>(self: Rc<Self>, stream: S, peer: PeerAddr, profile: Arc<Profile>, tls: Tls)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
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
}

impl<D: Decide> Serve for Entrance<D> {
    type Listener = Profile;

    async fn serve(self: Rc<Self>, accepted: Accepted<Profile>) {
        let Accepted {
            stream,
            peer,
            listener,
        } = accepted;
        if let Some(tls) = listener.tls.clone() {
            // In a box of its own: plain connections do not carry the room for it.
            return Box::pin(self.serve_tls(stream, peer, listener, tls)).await;
        }
        let arrival = Arrival {
            peer,
            listener: listener.proxy.clone(),
            scheme: Scheme::Http,
            covers: None,
        };
        drop(listener);
        self.engine.clone().drive(stream, arrival, Protocol::Either).await;
    }
}
