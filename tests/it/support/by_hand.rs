//! An upstream in the hand of the test: it says every byte itself.

use std::net::{SocketAddr, TcpListener};

use super::http::{Client, PATIENCE};
use super::wait::until;

/// A listening socket.
pub struct ByHand {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl ByHand {
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("an address");
        Self { listener, address }
    }

    /// The next connection, from the side that is connected to.
    pub fn accept(&self) -> Client {
        let accepted = std::cell::OnceCell::new();
        until("somebody connects", || match self.listener.accept() {
            Ok((stream, _)) => accepted.set(stream).is_ok(),
            Err(_) => false,
        });
        let stream = accepted.into_inner().expect("accepted");
        stream.set_nonblocking(false).expect("set");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client::on(stream)
    }
}
