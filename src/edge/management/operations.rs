//! What the door can do: one table, from which the document takes who may ask, and the guard whom to let in.
//!
//! A route that does not stand here is refused to everybody, so that none can be added without deciding who may
//! use it; tests hold the table against the routes, the document and the command line. Pure.

use axum::http::Method;

use crate::domain::scope::Scope;

/// Where an operation is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Over TCP and over the admin socket.
    Both,
    /// Over the admin socket alone: it is this machine's owner's business.
    Socket,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// The method's name; `HEAD` counts as `GET`.
    pub method: &'static str,
    /// The path below `/api/v1`, as the router writes it.
    pub path: &'static str,
    /// The scope that an administrator's token must have, when it has scopes at all.
    pub scope: &'static str,
    /// Where it is offered.
    pub door: Door,
    /// The commands that ask for it, without `doorward`.
    pub commands: &'static [&'static str],
}

const fn row(
    method: &'static str,
    path: &'static str,
    scope: &'static str,
    commands: &'static [&'static str],
) -> Operation {
    Operation {
        method,
        path,
        scope,
        door: Door::Both,
        commands,
    }
}

const fn owners(operation: Operation) -> Operation {
    Operation {
        door: Door::Socket,
        ..operation
    }
}

const GET: &str = "GET";
const POST: &str = "POST";
const PATCH: &str = "PATCH";
const DELETE: &str = "DELETE";

/// The operations.
pub const OPERATIONS: &[Operation] = &[
    row(GET, "/version", "health:read", &["server version"]),
    row(GET, "/health", "health:read", &["server health"]),
    row(GET, "/devices", "devices:read", &["device list"]),
    row(POST, "/devices", "devices:write", &["device create"]),
    row(GET, "/devices/{device}", "devices:read", &["device show"]),
    row(
        POST,
        "/devices/{device}/regenerate",
        "tokens:write",
        &["device regenerate"],
    ),
    row(
        POST,
        "/devices/{device}/transfer",
        "devices:write",
        &["device transfer"],
    ),
    row(
        PATCH,
        "/principals/{id}",
        "principals:write",
        &["principal change"],
    ),
    row(
        DELETE,
        "/principals/{id}",
        "principals:write",
        &["principal delete"],
    ),
    row(GET, "/tenants", "tenants:read", &["tenant list"]),
    row(POST, "/tenants", "tenants:write", &["tenant create"]),
    row(GET, "/tenants/{id}", "tenants:read", &["tenant show"]),
    row(PATCH, "/tenants/{id}", "tenants:write", &["tenant change"]),
    row(DELETE, "/tenants/{id}", "tenants:write", &["tenant delete"]),
    row(GET, "/customers", "tenants:read", &["customer list"]),
    row(POST, "/customers", "tenants:write", &["customer create"]),
    row(GET, "/customers/{id}", "tenants:read", &["customer show"]),
    row(PATCH, "/customers/{id}", "tenants:write", &["customer change"]),
    row(DELETE, "/customers/{id}", "tenants:write", &["customer delete"]),
    row(GET, "/principals", "principals:read", &["principal list"]),
    row(POST, "/principals", "principals:write", &["principal create"]),
    row(GET, "/principals/{id}", "principals:read", &["principal show"]),
    row(
        POST,
        "/principals/{id}/enable",
        "principals:write",
        &["principal enable"],
    ),
    row(
        POST,
        "/principals/{id}/disable",
        "principals:write",
        &["principal disable"],
    ),
    row(GET, "/tokens", "tokens:read", &["token list"]),
    row(POST, "/tokens", "tokens:write", &["token create", "device token"]),
    row(GET, "/tokens/{id}", "tokens:read", &["token show"]),
    row(
        PATCH,
        "/tokens/{id}",
        "tokens:write",
        &["token change", "token enable", "token disable"],
    ),
    row(DELETE, "/tokens/{id}", "tokens:write", &["token delete"]),
    row(
        POST,
        "/tokens/{id}/regenerate",
        "tokens:write",
        &["token regenerate"],
    ),
    row(POST, "/tokens/{id}/reroll", "tokens:write", &["token reroll"]),
    row(POST, "/tokens/{id}/reveal", "secrets:read", &["token reveal"]),
    row(POST, "/tokens/purge", "tokens:write", &["token purge"]),
    row(
        POST,
        "/revocations/matching",
        "revocations:write",
        &["token revoke-matching"],
    ),
    row(
        POST,
        "/revocations",
        "revocations:write",
        &["revoke", "token revoke", "device revoke"],
    ),
    row(GET, "/keys", "keys:read", &["key list"]),
    row(POST, "/keys/{purpose}/rotate", "keys:write", &["key rotate"]),
    row(GET, "/audit", "audit:read", &["audit list"]),
    row(GET, "/audit/verify", "audit:read", &["audit verify"]),
    owners(row(POST, "/config/reload", "config:write", &["reload"])),
    owners(row(POST, "/config/diff", "config:read", &["config diff"])),
];

/// Those that make something each time they are asked: a repetition is told by its `Idempotency-Key`.
const MAKING: &[&str] = &[
    "/devices",
    "/devices/{device}/regenerate",
    "/principals",
    "/tenants",
    "/customers",
    "/tokens",
    "/tokens/{id}/regenerate",
    "/tokens/{id}/reroll",
    "/keys/{purpose}/rotate",
];

impl Operation {
    /// Whether it makes something each time it is asked.
    pub fn makes(&self) -> bool {
        self.method == POST && MAKING.contains(&self.path)
    }

    /// The operation behind this method and matched path.
    pub fn of(method: &Method, matched: &str) -> Option<&'static Self> {
        let path = matched.strip_prefix(super::BASE)?;
        let method = match method.as_str() {
            "HEAD" => GET,
            other => other,
        };
        OPERATIONS.iter().find(|o| o.method == method && o.path == path)
    }

    /// The methods that a matched path has, as `Allow` lists them; `None` when the table does not have the path.
    pub fn allowed(matched: &str) -> Option<String> {
        let path = matched.strip_prefix(super::BASE)?;
        let mut methods: Vec<&str> = OPERATIONS
            .iter()
            .filter(|o| o.path == path)
            .map(|o| o.method)
            .collect();
        if methods.contains(&GET) {
            methods.push("HEAD");
        }
        (!methods.is_empty()).then(|| methods.join(", "))
    }

    /// The scope as one; `None` would be a spelling mistake in the table, which a test excludes.
    pub fn scope(&self) -> Option<Scope> {
        Scope::parse(self.scope).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_stands_once_with_a_scope_that_is_one() {
        for (index, one) in OPERATIONS.iter().enumerate() {
            assert!(one.scope().is_some(), "{}", one.scope);
            let (what, right) = one.scope.split_once(':').expect("what and right");
            assert!(
                !what.is_empty() && ["read", "write"].contains(&right),
                "{}",
                one.scope
            );
            let only_reads = one.method == GET || ["/config/diff", "/tokens/{id}/reveal"].contains(&one.path);
            assert_eq!(right == "read", only_reads, "{}", one.path);
            let mut others = OPERATIONS.iter().skip(index + 1);
            assert!(
                !others.any(|o| o.method == one.method && o.path == one.path),
                "{}",
                one.path
            );
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_nothing() {
        assert!(Operation::of(&Method::HEAD, "/api/v1/tokens").is_some());
        for (method, path) in [
            (Method::PUT, "/api/v1/tokens"),
            (Method::GET, "/tokens"),
            (Method::GET, "/api/v1/token"),
            (Method::GET, "/api/v1/tokens/x"),
        ] {
            assert!(Operation::of(&method, path).is_none(), "{method} {path}");
        }
    }
}
