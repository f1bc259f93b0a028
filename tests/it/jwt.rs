//! JWTs through the real process: every source of keys, every form that must be refused, classes of tokens
//! that must not stand in for one another, and issuers that rotate, vanish and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::jwt::{Ed, b64, claims, hs256, hs512, jwks, now};
use crate::support::wait::until;
use crate::support::{Doorward, Reply, Upstream};

const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Starts with these issuers, written in YAML's flow style.
fn start(upstream: &Upstream, issuers: &[String]) -> Doorward {
    start_in(Arc::new(TempDir::new().expect("a folder")), upstream, issuers)
}

fn start_in(folder: Arc<TempDir>, upstream: &Upstream, issuers: &[String]) -> Doorward {
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         throttle: {{ failures_per_address: 100000, failures_per_id: 100000, lookups_per_address: 100000 }}\n\
         cache: {{ negative_ttl: 1ms }}\n\
         credentials: {{ jwt: {{ issuers: [{}] }} }}\n\
         routes: [{{ path: /, upstream: api }}]\n",
        upstream.address,
        issuers.join(", ")
    );
    Doorward::start_in(folder, &config, &[])
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// The reason of a refusal; empty when the token was accepted.
fn verdict(door: &Doorward, token: &str) -> String {
    let answer = door.get("/data", &[&bearer(token)]);
    if answer.status == 200 {
        String::new()
    } else {
        answer.json()["reason"].as_str().unwrap_or("?").to_owned()
    }
}

fn idp(keys: &str) -> String {
    format!("{{ name: idp, issuer: \"https://idp.example\", audience: [api], {keys} }}")
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("writes");
    path.display().to_string()
}

#[test]
fn keys_come_from_a_file_a_pem_a_url_a_shared_secret_or_ourselves() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let (in_file, in_pem, at_url) = (Ed::new(), Ed::new(), Ed::new());
    let set = jwks(&[at_url.jwk("u1")]);
    let issuer = Upstream::with(move |_| Reply::Raw(document(&set)));
    let named = |name: &str, keys: &str| {
        format!("{{ name: {name}, issuer: \"https://{name}.example\", audience: [api], {keys} }}")
    };
    let tb = format!(
        "{{ name: tb, profile: thingsboard, waive: [iss, aud], algorithms: [HS512], hmac_secret: \"{}\" }}",
        STANDARD.encode(SECRET)
    );
    let door = start_in(
        Arc::clone(&folder),
        &upstream,
        &[
            named(
                "file",
                &format!(
                    "jwks_file: \"{}\"",
                    write(&folder, "a.jwks", &jwks(&[in_file.jwk("f1")]))
                ),
            ),
            named(
                "pem",
                &format!("pem_file: \"{}\"", write(&folder, "a.pem", &in_pem.pem())),
            ),
            named("url", &format!("jwks_url: \"http://{}/keys\"", issuer.address)),
            named("own", "keys: own"),
            tb,
        ],
    );
    let of = |name: &str| claims(|c| drop(c.insert("iss".into(), format!("https://{name}.example").into())));
    let own = door
        .issue(json!({ "kind": "jwt", "principal": door.user("ada", &[]) }))
        .secret;
    let tb_claims = json!({
        "sub": "tenant@thingsboard.org", "userId": "5a16405f-b32c-4c91-ae39-cbb2caba18d8",
        "scopes": ["TENANT_ADMIN"], "sessionId": "s", "exp": now() + 600, "iss": "thingsboard.io", "iat": now() - 1,
        "enabled": true, "isPublic": false, "tenantId": "1b0a1b60-0000-11ef-8080-808080808080",
        "customerId": "13814000-1dd2-11b2-8080-808080808080",
    });
    let tb = hs512(SECRET, r#"{"alg":"HS512"}"#, &tb_claims.to_string());
    let rows = [
        ("a JWK Set in a file", in_file.sign("f1", &of("file")), "alice"),
        ("a PEM in a file", in_pem.sign("any", &of("pem")), "alice"),
        ("a JWK Set at a URL", at_url.sign("u1", &of("url")), "alice"),
        ("our own keys", own, ""),
        ("ThingsBoard's HS512", tb, "5a16405f-b32c-4c91-ae39-cbb2caba18d8"),
    ];
    for (what, token, subject) in &rows {
        assert_eq!(verdict(&door, token), "", "{what}");
        let seen = upstream.last();
        assert_eq!(seen.header("x-auth-credential"), Some("jwt"), "{what}");
        assert!(
            subject.is_empty() || seen.header("x-auth-subject") == Some(subject),
            "{what}: {}",
            seen.head
        );
        assert!(!seen.head.contains(token), "{what}");
    }
    assert_eq!(
        upstream.last().header("x-auth-roles"),
        Some("TENANT_ADMIN"),
        "ThingsBoard's authority"
    );

    // The same key id at another issuer, and another issuer's key: verdicts of issuers are not shared (S10).
    for (what, token) in [
        ("file's key for pem's issuer", in_file.sign("f1", &of("pem"))),
        ("pem's key for url's issuer", in_pem.sign("u1", &of("url"))),
        ("url's key for our own issuer", at_url.sign("u1", &of("own"))),
    ] {
        assert_eq!(verdict(&door, &token), "credential_invalid", "{what}");
    }
    assert_eq!(
        verdict(&door, &in_file.sign("f1", &of("nobody"))),
        "credential_invalid",
        "an issuer that waives iss judges it"
    );
}

#[test]
fn what_is_no_sound_access_token_is_refused() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let key = Ed::new();
    let file = write(&folder, "a.jwks", &jwks(&[key.jwk("k1")]));
    let door = start_in(
        Arc::clone(&folder),
        &upstream,
        &[idp(&format!("jwks_file: \"{file}\""))],
    );
    let good = claims(|_| {});
    let text = good.to_string();
    let header = r#"{"alg":"EdDSA","kid":"k1"}"#;
    let sign = |header: &str| key.sign_text(header, &text);
    let changed = |name: &str, value: Value| key.sign("k1", &claims(|c| drop(c.insert(name.into(), value))));
    let without = |name: &str| key.sign("k1", &claims(|c| drop(c.remove(name))));
    let input = format!("{}.{}", b64(header), b64(&text));
    let unsigned = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(&text));
    let raw = |payload: &str| key.sign_text(header, payload);
    let twice = text.replacen('{', r#"{"exp":1,"#, 1);
    let sound = sign(header);
    let (malformed, invalid) = ("credential_malformed", "credential_invalid");
    let rows: Vec<(&str, String, &str)> = vec![
        ("", sound.clone(), "the token all others are made of"),
        (malformed, unsigned.clone(), "alg none"),
        (
            malformed,
            unsigned.replace(&b64(r#"{"alg":"none"}"#), &b64(r#"{"alg":"nOnE"}"#)),
            "alg none in other letters",
        ),
        (malformed, format!("{input}."), "an empty signature"),
        (
            malformed,
            format!("{input}.{}", b64([0; 64])),
            "a signature of zeros",
        ),
        (
            invalid,
            format!("{input}.{}", b64([1; 64])),
            "a signature of nobody",
        ),
        (
            invalid,
            hs256(key.public(), r#"{"alg":"HS256","kid":"k1"}"#, &text),
            "HS256 with the public key as its secret",
        ),
        (
            invalid,
            hs256(key.pem().as_bytes(), r#"{"alg":"HS256","kid":"k1"}"#, &text),
            "HS256 with the public PEM as its secret",
        ),
        (
            invalid,
            sign(r#"{"alg":"ES256","kid":"k1"}"#),
            "an algorithm that is not the key's",
        ),
        (
            malformed,
            sign(r#"{"alg":"EdDSA","kid":"k1","crit":["exp"],"exp":1}"#),
            "crit",
        ),
        (
            malformed,
            sign(r#"{"alg":"EdDSA","kid":"k1","b64":false}"#),
            "b64",
        ),
        (
            malformed,
            sign(r#"{"alg":"EdDSA","kid":"k1","jku":"https://evil.example/keys"}"#),
            "jku",
        ),
        (
            malformed,
            sign(r#"{"alg":"EdDSA","kid":"k1","x5u":"https://evil.example/chain"}"#),
            "x5u",
        ),
        (
            malformed,
            sign(&json!({"alg":"EdDSA","kid":"k1","jwk":Ed::new().jwk("k1")}).to_string()),
            "a key of its own",
        ),
        (
            malformed,
            sign(r#"{"alg":"EdDSA","alg":"EdDSA","kid":"k1"}"#),
            "a member twice in the header",
        ),
        (malformed, raw(&twice), "exp twice"),
        (invalid, sound.replace('.', "=."), "padding"),
        (invalid, format!("{sound}.x"), "four parts"),
        (malformed, without("exp"), "no exp"),
        (
            malformed,
            changed("exp", json!((now() + 600).to_string())),
            "exp as text",
        ),
        (malformed, changed("exp", json!(1.0e300)), "a huge exp"),
        (
            malformed,
            changed("exp", json!(now() as f64 + 600.5)),
            "exp with a fraction",
        ),
        (malformed, changed("exp", json!(-1)), "a negative exp"),
        (malformed, changed("nbf", json!("soon")), "nbf as text"),
        (malformed, changed("iat", json!([])), "iat as a list"),
        (malformed, without("sub"), "no sub"),
        ("credential_expired", changed("exp", json!(now() - 60)), "over"),
        (
            "credential_not_yet_valid",
            changed("nbf", json!(now() + 60)),
            "not begun",
        ),
        (
            "credential_not_yet_valid",
            changed("iat", json!(now() + 60)),
            "made in the future",
        ),
        (
            "wrong_issuer",
            changed("iss", json!("https://idp.example/")),
            "an issuer with one letter more",
        ),
        ("wrong_issuer", without("iss"), "no issuer"),
        (
            "wrong_audience",
            changed("aud", json!("api2")),
            "another audience",
        ),
        ("wrong_audience", without("aud"), "no audience"),
        (
            "",
            changed("aud", json!(["other", "api"])),
            "several audiences, one of them ours",
        ),
        (invalid, key.sign("k2", &good), "an unknown key id"),
        (
            invalid,
            Ed::new().sign("k1", &good),
            "somebody else's key under this id",
        ),
    ];
    let mut forwarded = 0;
    for (reason, token, why) in &rows {
        assert_eq!(verdict(&door, token), *reason, "{why}");
        forwarded += usize::from(reason.is_empty());
        assert_eq!(upstream.seen().len(), forwarded, "{why}");
    }
}

#[test]
fn token_classes_never_stand_in_for_one_another() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let key = Ed::new();
    let file = write(&folder, "a.jwks", &jwks(&[key.jwk("k1")]));
    let door = start_in(
        Arc::clone(&folder),
        &upstream,
        &[
            idp(&format!("jwks_file: \"{file}\"")),
            format!(
                "{{ name: tb, profile: thingsboard, waive: [iss, aud], algorithms: [HS512], hmac_secret: \"{}\" }}",
                STANDARD.encode(SECRET)
            ),
        ],
    );
    let typed = |typ: &str| {
        key.sign_text(
            &json!({ "alg": "EdDSA", "kid": "k1", "typ": typ }).to_string(),
            &claims(|_| {}).to_string(),
        )
    };
    let with = |name: &str, value: Value| key.sign("k1", &claims(|c| drop(c.insert(name.into(), value))));
    let id_token = key.sign(
        "k1",
        &claims(|c| {
            c.remove("scope");
            c.insert("nonce".into(), json!("n"));
        }),
    );
    let tb = |scopes: Value| {
        let claims = json!({
            "sub": "a@b.c", "userId": "5a16405f-b32c-4c91-ae39-cbb2caba18d8", "scopes": scopes, "isPublic": false,
            "exp": now() + 600, "iat": now() - 1, "iss": "thingsboard.io",
        });
        hs512(SECRET, r#"{"alg":"HS512"}"#, &claims.to_string())
    };
    let wrong = "wrong_token_class";
    for (reason, token, why) in [
        ("", typed("JWT"), "a plain token"),
        ("", typed("at+jwt"), "an access token that says so"),
        (wrong, typed("doorward-assertion+jwt"), "our own assertion"),
        (wrong, typed("rt+jwt"), "a refresh token by its type"),
        (wrong, typed("dpop+jwt"), "a proof"),
        (wrong, typed("logout+jwt"), "a logout token"),
        (
            wrong,
            with("token_use", json!("refresh")),
            "a refresh token by token_use",
        ),
        (wrong, with("token_use", json!("id")), "an ID token by token_use"),
        (wrong, with("typ", json!("Refresh")), "Keycloak's refresh token"),
        (wrong, with("typ", json!("ID")), "Keycloak's ID token"),
        (
            wrong,
            with("token_type", json!("refresh")),
            "simplejwt's refresh token",
        ),
        (wrong, with("at_hash", json!("x")), "an ID token by at_hash"),
        (wrong, id_token, "an ID token by its nonce"),
        (wrong, with("events", json!({})), "a security event"),
        (
            wrong,
            with("cnf", json!({ "jkt": "x" })),
            "bound to a key that nobody proved",
        ),
        ("", tb(json!(["TENANT_ADMIN"])), "ThingsBoard's access token"),
        (wrong, tb(json!(["REFRESH_TOKEN"])), "ThingsBoard's refresh token"),
        (
            wrong,
            tb(json!(["PRE_VERIFICATION_TOKEN"])),
            "ThingsBoard's token before the second factor",
        ),
        (
            wrong,
            tb(json!(["TENANT_ADMIN", "REFRESH_TOKEN"])),
            "both at once",
        ),
    ] {
        assert_eq!(verdict(&door, &token), reason, "{why}");
    }
    assert_eq!(upstream.seen().len(), 3, "only access tokens went on");
}

#[test]
fn a_token_of_one_class_of_ours_does_not_open_another_door() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         credentials: {{ jwt: {{ issuers: [{{ name: own, issuer: doorward, audience: [api], keys: own }}] }} }}\n\
         routes: [{{ path: /, upstream: api, assertion: true }}]\n",
        upstream.address
    );
    let door = Doorward::start(&config);
    let user = door.user("ada", &["SYS_ADMIN"]);
    let jwt = door.issue(json!({ "kind": "jwt", "principal": user })).secret;
    assert_eq!(verdict(&door, &jwt), "");
    let seen = upstream.last();
    let assertion = seen.header("x-auth-assertion").expect("an assertion");
    assert_eq!(
        verdict(&door, assertion),
        "credential_invalid",
        "an assertion has a key of its own"
    );
    assert_eq!(upstream.seen().len(), 1);

    let admin = door.admin.expect("an admin door");
    for (what, token) in [
        ("an access token of an administrator", jwt.as_str()),
        ("an assertion", assertion),
    ] {
        let mut client = crate::support::Client::connect(admin);
        client.write(format!(
            "GET /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        assert_eq!(client.answer().status, 401, "{what} does not open the admin door");
    }
}

/// A JWK Set as an issuer serves it.
fn document(set: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{set}",
        set.len()
    )
    .into_bytes()
}

/// An issuer whose keys change and that can be out of order.
struct Issuer {
    server: Upstream,
    rotated: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
}

impl Issuer {
    fn start(first: &Ed, second: &Ed) -> Self {
        let (before, after) = (jwks(&[first.jwk("k1")]), jwks(&[second.jwk("k2")]));
        let (rotated, broken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (see_rotated, see_broken) = (Arc::clone(&rotated), Arc::clone(&broken));
        let server = Upstream::with(move |_| {
            if see_broken.load(Ordering::SeqCst) {
                return Reply::RawThenClose(
                    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec(),
                );
            }
            let set = if see_rotated.load(Ordering::SeqCst) {
                &after
            } else {
                &before
            };
            Reply::RawThenClose(document(set))
        });
        Self {
            server,
            rotated,
            broken,
        }
    }

    fn url(&self) -> String {
        format!("jwks_url: \"http://{}/keys\"", self.server.address)
    }
}

#[test]
fn a_rotated_key_is_found_and_an_outage_keeps_the_last_good_one() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let (first, second) = (Ed::new(), Ed::new());
    let issuer = Issuer::start(&first, &second);
    let door = start(&upstream, &[idp(&format!("{}, cooldown: 1s", issuer.url()))]);
    let token =
        |key: &Ed, kid: &str, jti: &str| key.sign(kid, &claims(|c| drop(c.insert("jti".into(), jti.into()))));

    let cached = token(&first, "k1", "a");
    assert_eq!(verdict(&door, &cached), "");
    issuer.broken.store(true, Ordering::SeqCst);
    assert_eq!(
        verdict(&door, &token(&first, "k1", "b")),
        "",
        "a new token of a known key, in an outage"
    );
    issuer.rotated.store(true, Ordering::SeqCst);
    let new = token(&second, "k2", "c");
    assert_ne!(verdict(&door, &new), "", "an unknown key, in an outage");
    issuer.broken.store(false, Ordering::SeqCst);
    until("the new key is found by asking for it", || {
        verdict(&door, &new).is_empty()
    });
    assert_eq!(
        verdict(&door, &token(&first, "k1", "d")),
        "credential_invalid",
        "the old key is gone with its set"
    );
    until("a cached verdict of the withdrawn key is forgotten", || {
        verdict(&door, &cached) == "credential_invalid"
    });
    assert!(
        door.metric("doorward_jwks_age_seconds")[0].contains("issuer=\"idp\""),
        "its age is shown"
    );
}

#[test]
fn a_flood_of_unknown_key_ids_causes_no_fetch_within_the_cooldown() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let (first, second) = (Ed::new(), Ed::new());
    let issuer = Issuer::start(&first, &second);
    let door = start(
        &upstream,
        &[idp(&format!("{}, cooldown: 1h, refresh: 24h", issuer.url()))],
    );
    let good = first.sign("k1", &claims(|_| {}));
    assert_eq!(verdict(&door, &good), "");
    let payload = claims(|_| {}).to_string();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (mut client, payload, key) = (door.connect(), payload.clone(), Ed::new());
            std::thread::spawn(move || {
                for n in 0..500 {
                    let header = format!(r#"{{"alg":"EdDSA","kid":"{thread}-{n}"}}"#);
                    let answer = client.get("/data", &[&bearer(&key.sign_text(&header, &payload))]);
                    assert_eq!(answer.status, 401, "{}", answer.text());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_eq!(
        issuer.server.seen().len(),
        1,
        "the fetch at the start began the cooldown"
    );
    assert_eq!(verdict(&door, &good), "", "and nobody else suffered");
}

#[test]
fn an_issuer_that_cannot_be_reached_blocks_neither_the_start_nor_anybody_else() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let (key, lost) = (Ed::new(), Ed::new());
    let silent = Upstream::start(Reply::Silence);
    let file = write(&folder, "a.jwks", &jwks(&[key.jwk("k1")]));
    let door = start_in(
        Arc::clone(&folder),
        &upstream,
        &[
            format!(
                "{{ name: lost, issuer: \"https://lost.example\", audience: [api], jwks_url: \"http://{}/\" }}",
                silent.address
            ),
            idp(&format!("jwks_file: \"{file}\"")),
        ],
    );
    let waiting = {
        let mut client = door.connect();
        let of_lost = claims(|c| drop(c.insert("iss".into(), "https://lost.example".into())));
        client.write(format!(
            "GET /data HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
            bearer(&lost.sign("k1", &of_lost))
        ));
        client
    };
    assert_eq!(
        verdict(&door, &key.sign("k1", &claims(|_| {}))),
        "",
        "the other issuer answers meanwhile"
    );
    let answer = { waiting }.answer();
    assert_eq!(
        (answer.status, answer.json()["reason"].as_str()),
        (503, Some("cannot_decide")),
        "not a 401: it may be good"
    );
}
