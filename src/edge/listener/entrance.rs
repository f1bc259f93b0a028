//! From an accepted socket to the proxy, on the data thread that will serve it.

use std::rc::Rc;

use crate::edge::proxy::{Arrival, Decide, Engine, ListenerProfile, Protocol};
use crate::runtime::workers::{Accepted, Serve};

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
}

impl<D: Decide> Serve for Entrance<D> {
    type Listener = ListenerProfile;

    async fn serve(self: Rc<Self>, accepted: Accepted<ListenerProfile>) {
        let arrival = Arrival {
            peer: accepted.peer,
            scheme: accepted.listener.scheme,
            listener: accepted.listener,
            covers: None,
        };
        let engine = self.engine.clone();
        engine.drive(accepted.stream, arrival, Protocol::Either).await;
    }
}
