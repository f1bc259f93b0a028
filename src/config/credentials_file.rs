//! The read-only credentials file: digests of credentials for a process without a volume or a database.
//!
//! YAML or JSON of version 1, read with the same care as the configuration: unknown keys are refused with their line,
//! and a file with one fault is refused as a whole. It holds SHA-256 of random tokens and bcrypt of passwords. Which
//! credential is good is `authn`'s business; that the file is read again when it changes, the reload's.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::problems::{Problems, Report};
use super::schema::shape_for;
use super::{tree, walk};
use crate::authn::kinds::FileTable;
use crate::authn::kinds::basic::format::is_user;
use crate::crypto::portable_digest::{self, Recipe};
use crate::domain::clock::UnixMillis;
use crate::domain::identity::{CredentialKind, PrincipalKind};
use crate::domain::ids::InvalidId;
use crate::domain::scope::{Permission, Role, ScopeSet};
use crate::store::{About, CredentialContext, CredentialRecord, Enabled, PrincipalRecord, Transport};

/// Most credentials of one file.
const MAX_CREDENTIALS: usize = 4000;

/// The file as written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CredentialsFile {
    /// The version of its words: 1.
    #[schemars(extend("x-required" = true), range(min = 1, max = 1))]
    version: Option<u32>,
    #[schemars(length(max = 4000))]
    credentials: Vec<Written>,
}

/// One credential as written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Written {
    #[schemars(extend("x-required" = true))]
    id: Option<String>,
    kind: Kind,
    #[schemars(extend("x-required" = true))]
    digest: Option<String>,
    user: Option<String>,
    principal: Holder,
    #[schemars(length(max = 64))]
    scopes: Vec<String>,
    permission: Allowed,
    #[schemars(length(max = 64))]
    networks: Vec<String>,
    https_only: bool,
    expires_at: Option<String>,
}

/// Whom it belongs to, as written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Holder {
    #[schemars(extend("x-required" = true))]
    id: Option<String>,
    kind: Party,
    name: Option<String>,
    external_id: Option<String>,
    tenant: Option<String>,
    customer: Option<String>,
    #[schemars(length(max = 64))]
    roles: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    ApiToken,
    DeviceToken,
    Basic,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Party {
    #[default]
    Service,
    Device,
    User,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Allowed {
    #[default]
    Full,
    Read,
    Write,
}

/// Reads a file's text, or tells everything that is wrong with it.
pub(super) fn read(text: &str, name: String) -> Result<FileTable, Problems> {
    let mut report = Report::default();
    let written = written(text, &mut report);
    let mut rows = Vec::new();
    let mut ids = HashSet::new();
    for (i, one) in written.into_iter().take(MAX_CREDENTIALS).enumerate() {
        let key = format!("credentials[{i}]");
        match row(one) {
            Ok(row) if !ids.insert(row.credential.id.clone()) => {
                report.add(
                    &format!("{key}.id"),
                    "an id for the second time",
                    "an id of its own",
                    "choose another id",
                );
            }
            Ok(row) => rows.push(row),
            Err((field, expected)) => report.add(
                &format!("{key}.{field}"),
                "something else",
                expected,
                "correct it, or remove the credential",
            ),
        }
    }
    report.finish(Some(name))?;
    Ok(FileTable::new(rows))
}

fn written(text: &str, report: &mut Report) -> Vec<Written> {
    let Some((tree, shape)) = tree::read(text, report).zip(shape_for::<CredentialsFile>()) else {
        return Vec::new();
    };
    let Some(json) = walk::walk("", &shape, &tree, report) else {
        return Vec::new();
    };
    match serde_json::from_value::<CredentialsFile>(json) {
        Ok(CredentialsFile {
            version: Some(_),
            credentials,
        }) => credentials,
        _ => {
            report.add("version", "nothing", "1", "write `version: 1`");
            Vec::new()
        }
    }
}

/// A field that does not hold what it should, and what that is.
type Misfit = (&'static str, &'static str);

const AN_ID: &str = "1 to 255 visible ASCII characters";

fn id<T: std::str::FromStr<Err = InvalidId>>(field: &'static str, text: &str) -> Result<T, Misfit> {
    text.parse().map_err(|_| (field, AN_ID))
}

fn maybe<T: std::str::FromStr<Err = InvalidId>>(
    field: &'static str,
    text: Option<&String>,
) -> Result<Option<T>, Misfit> {
    text.map(|text| id(field, text)).transpose()
}

fn row(written: Written) -> Result<CredentialContext, Misfit> {
    let principal = holder(written.principal)?;
    let digest = written.digest.unwrap_or_default();
    let kind = match written.kind {
        Kind::ApiToken => CredentialKind::ApiToken,
        Kind::DeviceToken => CredentialKind::DeviceToken,
        Kind::Basic => CredentialKind::Basic,
    };
    match (portable_digest::recipe(&digest), kind) {
        (Ok(Recipe::Bcrypt), CredentialKind::Basic) => {}
        (_, CredentialKind::Basic) => {
            return Err(("digest", "a bcrypt digest of cost 4 to 14: it is a password's"));
        }
        (Ok(Recipe::Sha256), _) => {}
        _ => return Err(("digest", "`sha256:` and 64 hexadecimal letters in lower case")),
    }
    match (&written.user, kind) {
        (Some(user), CredentialKind::Basic) if is_user(user) => {}
        (_, CredentialKind::Basic) => {
            return Err(("user", "1 to 255 bytes, without a colon or a control character"));
        }
        (Some(_), _) => return Err(("user", "nothing: only a basic credential has a user name")),
        (None, _) => {}
    }
    let networks = written.networks.iter().map(|text| text.parse());
    let credential = CredentialRecord {
        id: id("id", written.id.as_deref().unwrap_or_default())?,
        kind,
        principal: principal.id.clone(),
        name: String::new(),
        public_id: written.user,
        keyed_digest: None,
        slow_digest: Some(digest),
        scopes: ScopeSet::parse(written.scopes.iter().map(String::as_str))
            .map_err(|_| ("scopes", "scopes such as channel:12:write"))?,
        permission: match written.permission {
            Allowed::Full => Permission::Full,
            Allowed::Read => Permission::Read,
            Allowed::Write => Permission::Write,
        },
        networks: networks
            .collect::<Result<_, _>>()
            .map_err(|_| ("networks", "networks in CIDR form, such as 10.0.0.0/8"))?,
        transport: if written.https_only {
            Transport::HttpsOnly
        } else {
            Transport::Any
        },
        enabled: Enabled::Yes,
        expires_at: written.expires_at.as_deref().map(instant).transpose()?,
        revoked_at: None,
        created_at: UnixMillis(0),
        about: About::default(),
        environment: None,
        limits: None,
        sealed_secret: None,
        replaced_by: None,
        deleted_at: None,
        version: 1,
    };
    Ok(CredentialContext {
        credential,
        principal,
        tenant_enabled: Enabled::Yes,
        customer_enabled: Enabled::Yes,
    })
}

fn instant(text: &str) -> Result<UnixMillis, Misfit> {
    let at: Result<jiff::Timestamp, _> = text.parse();
    at.map(|at| UnixMillis(at.as_millisecond()))
        .map_err(|_| ("expires_at", "a point of time such as 2027-01-31T12:00:00Z"))
}

fn holder(written: Holder) -> Result<PrincipalRecord, Misfit> {
    let roles = written.roles.iter().map(|text| Role::parse(text));
    let id: crate::domain::ids::PrincipalId = id("principal.id", written.id.as_deref().unwrap_or_default())?;
    Ok(PrincipalRecord {
        kind: match written.kind {
            Party::Service => PrincipalKind::Service,
            Party::Device => PrincipalKind::Device,
            Party::User => PrincipalKind::User,
        },
        tenant: maybe("principal.tenant", written.tenant.as_ref())?,
        customer: maybe("principal.customer", written.customer.as_ref())?,
        name: written.name.unwrap_or_else(|| id.to_string()),
        external_id: written.external_id,
        roles: roles
            .collect::<Result<_, _>>()
            .map_err(|_| ("principal.roles", "names of roles"))?,
        enabled: Enabled::Yes,
        created_at: UnixMillis(0),
        about: About::default(),
        network: None,
        serial: None,
        version: 1,
        id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn problem(text: &str) -> (Option<usize>, String) {
        let problems = read(text, "file".to_owned()).expect_err(text);
        let first = problems.problems.first().expect("a problem");
        (first.line(), format!("{} {}", first.key, first.expected))
    }

    #[test]
    fn a_token_is_found_by_its_digest_and_a_user_by_name() {
        let text = format!(
            "version: 1\ncredentials:\n  - id: one\n    digest: '{DIGEST}'\n    principal: {{ id: ci, roles: [X] }}\n    scopes: [read]\n    networks: [10.0.0.0/8]\n    expires_at: '2030-01-01T00:00:00Z'\n  - {{ id: two, kind: basic, user: pump, digest: '$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', principal: {{ id: p, kind: device }} }}\n"
        );
        let table = read(&text, "file".to_owned()).expect("good");
        let row = table.token(CredentialKind::ApiToken, b"abc").expect("found");
        assert_eq!(row.credential.scopes.to_string(), "read");
        assert_eq!(row.credential.expires_at, Some(UnixMillis(1_893_456_000_000)));
        assert!(
            table.token(CredentialKind::DeviceToken, b"abc").is_none(),
            "another kind"
        );
        assert!(table.token(CredentialKind::ApiToken, b"abd").is_none());
        assert!(table.user("pump").is_some() && table.user("ci").is_none());
        let json = format!(
            "{{\"version\":1,\"credentials\":[{{\"id\":\"x\",\"digest\":\"{DIGEST}\",\"principal\":{{\"id\":\"p\"}}}}]}}"
        );
        assert_eq!(read(&json, "file".to_owned()).expect("good").len(), 1);
    }

    #[test]
    fn a_file_with_a_fault_is_refused_with_its_line() {
        let one = |more: &str| {
            format!("version: 1\ncredentials:\n  - id: one\n    principal: {{ id: ci }}\n{more}")
        };
        let good = format!("    digest: '{DIGEST}'\n");
        for (text, line, told) in [
            (format!("{}    scope: [read]\n", one(&good)), 6, "scope"),
            (one("    digest: abc\n"), 5, "sha256:"),
            (
                one("    digest: '$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'\n"),
                5,
                "sha256:",
            ),
            (
                format!("{}    kind: basic\n    user: u\n", one(&good)),
                5,
                "bcrypt",
            ),
            (format!("{}    user: u\n", one(&good)), 6, "only a basic"),
            (format!("{}    networks: [here]\n", one(&good)), 6, "CIDR"),
            (
                format!("{}    expires_at: soon\n", one(&good)),
                6,
                "point of time",
            ),
            (
                format!(
                    "{}  - {{ id: one, digest: '{DIGEST}', principal: {{ id: p }} }}\n",
                    one(&good)
                ),
                6,
                "of its own",
            ),
        ] {
            let (at, what) = problem(&text);
            assert!(at == Some(line) && what.contains(told), "{text}\n{at:?} {what}");
        }
        for text in [
            "credentials: []\n",
            "version: 2\n",
            "[]",
            "version: 1\nkeys: []\n",
        ] {
            problem(text);
        }
    }
}
