//! What a service manager such as systemd hears over its socket.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;

use crate::support::http::PATIENCE;
use crate::support::{Doorward, Reply, Upstream};

/// A service manager that listens.
pub struct Manager {
    socket: UnixDatagram,
    pub path: PathBuf,
}

impl Manager {
    pub fn listen(folder: &TempDir) -> Self {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket, path }
    }

    pub fn hear(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// The next message that is no sign of life.
    pub fn hear_news(&self) -> String {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let message = self.hear();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
        panic!("nothing but signs of life");
    }
}

#[test]
fn it_hears_ready_then_signs_of_life_then_stopping() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let manager = Manager::listen(&folder);
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         routes: [{{ path: /open/, access: public, upstream: api }}]\n",
        upstream.address
    );
    let socket = manager.path.display().to_string();
    let environment = [("NOTIFY_SOCKET", &*socket), ("WATCHDOG_USEC", "600000")];
    let door = Doorward::start_in(folder, &config, &environment);
    assert_eq!(manager.hear_news(), "READY=1\nSTATUS=serving");
    for _ in 0..3 {
        assert_eq!(manager.hear(), "WATCHDOG=1", "while all is well");
    }
    assert_eq!(door.get("/open/x", &[]).status, 200);
    door.signal("TERM");
    assert_eq!(
        manager.hear_news(),
        "STOPPING=1\nSTATUS=finishing what is under way"
    );
    assert_eq!(door.wait(), Some(0));
}

#[test]
fn an_address_that_nobody_listens_at_stops_nothing() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         routes: [{{ path: /open/, access: public, upstream: api }}]\n",
        upstream.address
    );
    for socket in ["/nowhere/notify", "nonsense"] {
        let door = Doorward::start_in(Arc::clone(&folder), &config, &[("NOTIFY_SOCKET", socket)]);
        assert_eq!(door.get("/open/x", &[]).status, 200, "{socket}");
        door.signal("TERM");
        assert_eq!(door.wait(), Some(0), "{socket}");
    }
}
