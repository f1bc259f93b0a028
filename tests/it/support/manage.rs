//! The management API of a running instance, over its admin socket, as this machine's owner uses it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::http::PATIENCE;
use super::process::Doorward;

/// A credential that was just made.
#[derive(Debug, Clone)]
pub struct Issued {
    pub id: String,
    pub principal: String,
    /// What its holder presents; the password of a basic credential.
    pub secret: String,
}

impl Doorward {
    /// One call of the management API. A status of 0 means that no answer came.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        call(&self.folder().join("data/admin.sock"), method, path, body).unwrap_or((0, Value::Null))
    }

    /// A call that must succeed.
    pub fn manage(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Makes a credential, as `POST /api/v1/tokens` describes it.
    pub fn issue(&self, wanted: Value) -> Issued {
        issued(&self.manage("POST", "/api/v1/tokens", Some(&wanted)))
    }

    /// Registers a device and returns its id.
    pub fn device(&self, identifier: &str) -> String {
        let made = self.manage(
            "POST",
            "/api/v1/devices",
            Some(&json!({ "identifier": identifier })),
        );
        made["id"].as_str().expect("an id").to_owned()
    }

    /// Makes a user with these roles and returns its id.
    pub fn user(&self, name: &str, roles: &[&str]) -> String {
        let wanted = json!({ "kind": "user", "external_id": name, "roles": roles });
        let made = self.manage("POST", "/api/v1/principals", Some(&wanted));
        made["id"].as_str().expect("an id").to_owned()
    }

    /// Ends something, as `POST /api/v1/revocations` describes it.
    pub fn revoke(&self, what: Value) {
        self.manage("POST", "/api/v1/revocations", Some(&what));
    }
}

/// Reads an answer that holds a new credential.
pub fn issued(made: &Value) -> Issued {
    let text = |name: &str| {
        made[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {made}"))
            .to_owned()
    };
    Issued {
        id: text("id"),
        principal: text("principal"),
        secret: text("secret"),
    }
}

/// One call over a socket; fails when the server goes away before its answer is complete.
pub fn call(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<(u16, Value)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let broken = || std::io::Error::other("no complete answer");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .ok_or_else(broken)?;
    let value = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(body).map_err(|_| broken())?
    };
    Ok((status, value))
}
