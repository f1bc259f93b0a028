//! No secret gets out: marked ones are planted everywhere and looked for everywhere. And none is taken from
//! where others could read it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::support::http::get;
use crate::support::jwt::{b64, hs256};
use crate::support::process::{cli, write_config};
use crate::support::{Doorward, Reply, Upstream};

const LISTENER: &str = "{ name: public, address: 127.0.0.1:0 }";

/// Runs `serve`, which must not start.
fn serve(folder: &Path, environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["serve", "--config"])
        .arg(folder.join("doorward.yaml"))
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_key_of_34_bytes_or_one_that_others_may_read_is_refused_with_the_reason() {
    // The sample key of the document that describes these tokens.
    const SAMPLE: &str = "dGVzdC1rZXktMzItYnl0ZXMtZm9yLWRldmljZS10b2tlbg==";
    let folder = TempDir::new().expect("a folder");
    let here = folder.path();
    let key_file = here.join("device.key");
    let hmac_file = here.join("hmac.key");
    let rest = "upstreams: { api: { url: \"http://127.0.0.1:1\" } }\nroutes: [{ path: /, upstream: api }]\n";
    let sealed = format!(
        "credentials: {{ sealed_device_token: {{ key_file: \"{}\" }} }}\n{rest}",
        key_file.display()
    );
    let hmac = format!(
        "credentials: {{ jwt: {{ issuers: [{{ name: tb, issuer: a, audience: [b], hmac_secret_file: \"{}\" }}] }} }}\n{rest}",
        hmac_file.display()
    );
    let good = STANDARD.encode([7; 32]);
    let write = |path: &Path, text: &str, mode: u32| {
        fs::write(path, text).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    write(&key_file, SAMPLE, 0o600);
    write(&hmac_file, &good, 0o644);
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str], &'a str);
    let rows: [Row<'_>; 5] = [
        (&sealed, &[], &["34 bytes", "32"], "the sample key in a file"),
        (
            rest,
            &[("DEVICE_TOKEN_MASTER_KEY", SAMPLE)],
            &["34 bytes", "DEVICE_TOKEN_MASTER_KEY"],
            "and in the environment",
        ),
        (
            rest,
            &[("DEVICE_TOKEN_MASTER_KEY", "???")],
            &["DEVICE_TOKEN_MASTER_KEY"],
            "no Base64",
        ),
        (
            rest,
            &[("DEVICE_TOKEN_MASTER_KEY", "c2hvcnQ=")],
            &["5 bytes"],
            "a short key",
        ),
        (
            &hmac,
            &[],
            &["0644", "chmod 600"],
            "a shared secret that others may read",
        ),
    ];
    for (config, environment, parts, why) in rows {
        write_config(here, LISTENER, config);
        let output = serve(here, environment);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{why}: {said}");
        for part in parts {
            assert!(said.contains(part), "{why}: {said}");
        }
        assert!(!said.contains(SAMPLE) && !said.contains(&good), "{why}: {said}");
        assert!(!here.join("data").exists(), "{why}: nothing was started");
    }
    write(&key_file, &good, 0o640);
    write_config(here, LISTENER, &sealed);
    let output = serve(here, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("0640") && text(&output).contains("chmod 600"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_data_key_that_others_may_read_or_that_is_lost_stops_the_start() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\nroutes: [{{ path: /, upstream: api }}]\n",
        upstream.address
    );
    let folder = Doorward::start(&config).kill();
    let key = folder.path().join("data/keys/data.key");
    let was = fs::read(&key).expect("the data key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
    let output = serve(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("0644") && text(&output).contains("chmod 600"),
        "{}",
        text(&output)
    );

    fs::remove_file(&key).expect("removed");
    let output = serve(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("restore the file from a backup"),
        "{}",
        text(&output)
    );
    assert!(
        !key.exists(),
        "no new key is made over what was sealed under the old one"
    );

    fs::write(&key, was).expect("written");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
    Doorward::start_in(folder, &config, &[]);
}

/// Secrets that were planted, by what they are.
#[derive(Default)]
struct Planted(Vec<(&'static str, String)>);

impl Planted {
    fn plant(&mut self, what: &'static str, secret: impl Into<String>) -> String {
        let secret = secret.into();
        self.0.push((what, secret.clone()));
        secret
    }

    /// None of them stands in this output.
    fn absent(&self, place: &str, output: impl AsRef<[u8]>) {
        let output = output.as_ref();
        for (what, secret) in &self.0 {
            let found = output.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{what} stands in {place}");
        }
    }
}

#[test]
fn planted_secrets_stand_in_no_output() {
    let upstream = Upstream::start(Reply::Ok("hello"));
    let mut planted = Planted::default();
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let shared = STANDARD.encode("MARKED-shared-secret-of-an-issuer-of-at-least-64-bytes-0123456789");
    let shared = planted.plant("an issuer's shared secret", shared);
    let device_key = planted.plant(
        "the device key",
        STANDARD.encode(b"MARKED-device-key-of-32-bytes-ok"),
    );
    let key_url = "MARKED-url-secret";
    let config = format!(
        "upstreams: {{ api: {{ url: \"http://{}\" }} }}\n\
         credentials:\n\
         \x20 api_token: {{ bcrypt_cost: 4 }}\n\
         \x20 basic: {{ bcrypt_cost: 4 }}\n\
         \x20 jwt:\n\
         \x20   issuers:\n\
         \x20     - {{ name: own, issuer: \"https://own.example\", audience: [api], keys: own }}\n\
         \x20     - {{ name: shared, issuer: \"https://shared.example\", audience: [api], hmac_secret: \"{shared}\" }}\n\
         \x20     - {{ name: far, issuer: \"https://far.example\", audience: [api], jwks_url: \"http://127.0.0.1:1/{key_url}\" }}\n\
         routes:\n\
         \x20 - {{ path: \"/api/v1/{{*rest}}\", path_token_after: /api/v1/, upstream: api }}\n\
         \x20 - {{ path: /query/, query_credentials: [token], upstream: api }}\n\
         \x20 - {{ path: /never/, require: {{ roles: [NEVER] }}, upstream: api }}\n\
         \x20 - {{ path: /, upstream: api }}\n",
        upstream.address
    );
    let environment = [
        ("DEVICE_TOKEN_MASTER_KEY", device_key.as_str()),
        ("DOORWARD_LOG__LEVEL", "trace"),
    ];
    let door = Doorward::start_in(Arc::clone(&folder), &config, &environment);

    // Good ones.
    let device = door.device("thermometer-0001");
    let mut lines = Vec::new();
    for (what, head, wanted) in [
        (
            "a device token",
            "Device-Token: ",
            json!({ "kind": "device_token", "device": device }),
        ),
        (
            "a sealed token",
            "Authorization: Device ",
            json!({ "kind": "sealed_device_token", "device": device }),
        ),
        (
            "a compatible sealed token",
            "Authorization: Device ",
            json!({ "kind": "sealed_device_token", "device": device, "format": "v1" }),
        ),
        (
            "an API token",
            "Authorization: Bearer ",
            json!({ "kind": "api_token", "for": "backup" }),
        ),
        (
            "HomeChat's token",
            "X-API-Key: ",
            json!({ "kind": "api_token", "for": "backup", "format": "homechat_hex" }),
        ),
        (
            "ThingsBoard's key",
            "X-Authorization: ApiKey ",
            json!({ "kind": "api_token", "for": "backup", "format": "tb" }),
        ),
        (
            "a JWT",
            "Authorization: Bearer ",
            json!({ "kind": "jwt", "for": "backup" }),
        ),
    ] {
        let secret = planted.plant(what, door.issue(wanted).secret);
        lines.push(format!("{head}{secret}"));
    }
    let password = planted.plant("a password", "MARKED-password-of-ada");
    door.issue(json!({ "kind": "basic", "for": "backup", "user": "ada", "password": password }));
    let encoded = planted.plant("a password, encoded", STANDARD.encode(format!("ada:{password}")));
    lines.push(format!("Authorization: Basic {encoded}"));
    let in_path = planted.plant(
        "a token in the path",
        door.issue(json!({ "kind": "device_token", "device": device, "format": "alphanumeric" }))
            .secret,
    );
    let in_query = planted.plant(
        "a token in the query",
        door.issue(json!({ "kind": "device_token", "device": device }))
            .secret,
    );
    let cookie = planted.plant("a cookie", "MARKED-cookie");
    let mut client = door.connect();
    for line in &lines {
        let answer = client.get("/data", &[line, &format!("Cookie: session={cookie}")]);
        assert_eq!(answer.status, 200, "{line}: {}", answer.text());
        let answer = client.get("/never/x", &[line]);
        assert_eq!(answer.status, 403, "{line}: {}", answer.text());
        planted.absent("a refusal", &answer.body);
    }
    assert_eq!(
        client.get(&format!("/api/v1/{in_path}/telemetry"), &[]).status,
        200
    );
    assert_eq!(client.get(&format!("/query/x?token={in_query}"), &[]).status, 200);

    // Bad ones: those may be good elsewhere, or be a password in the wrong field.
    let unknown = planted.plant("an unknown token", "MARKED-unknown-token");
    let wrong = planted.plant("a wrong password", STANDARD.encode("ada:MARKED-wrong-password"));
    let claims = json!({ "iss": "https://shared.example", "aud": "api", "sub": "MARKED-subject", "exp": 1 });
    let expired = hs256(
        &STANDARD.decode(&shared).expect("Base64"),
        r#"{"alg":"HS256"}"#,
        &claims.to_string(),
    );
    let expired = planted.plant("an expired JWT", expired);
    planted.plant("its claims", b64(claims.to_string()));
    planted.plant("its subject", "MARKED-subject");
    let far = json!({ "iss": "https://far.example", "aud": "api", "sub": "a", "exp": 9_000_000_000_u64 });
    let far = planted.plant(
        "a JWT nobody can check",
        hs256(b"k", r#"{"alg":"RS256","kid":"k"}"#, &far.to_string()),
    );
    let (targets, headers): (Vec<String>, Vec<String>) = [
        ("/data".into(), format!("Device-Token: {unknown}")),
        ("/data".into(), format!("Authorization: Bearer {unknown}")),
        ("/data".into(), format!("Authorization: Device {unknown}")),
        ("/data".into(), format!("Authorization: {unknown} x")),
        (
            "/data".into(),
            format!("Authorization: Bearer dw_abcdefgh_{unknown}"),
        ),
        ("/data".into(), format!("Authorization: Basic {wrong}")),
        ("/data".into(), format!("Authorization: Basic {unknown}")),
        ("/data".into(), format!("Authorization: Bearer {expired}")),
        ("/data".into(), format!("Authorization: Bearer {far}")),
        ("/data".into(), format!("Authorization: Bearer a.{unknown}.b")),
        (
            "/data".into(),
            format!("Device-Token: {unknown}\r\ntoken: {unknown}"),
        ),
        (format!("/api/v1/{unknown}/telemetry"), "X-Nothing: 1".into()),
        (format!("/api/v1/{unknown}/..%2ftelemetry"), "X-Nothing: 1".into()),
        (format!("/query/x?token={unknown}"), "X-Nothing: 1".into()),
        (format!("/data?token={unknown}"), "X-Nothing: 1".into()),
    ]
    .into_iter()
    .unzip();
    for (target, header) in targets.iter().zip(&headers) {
        let answer = door.get(target, &[header]);
        assert!(answer.status >= 400, "{target} {header}");
        let head: String = answer
            .headers
            .iter()
            .map(|(n, v)| format!("{n}: {v}\n"))
            .collect();
        planted.absent("the head of a refusal", head);
        planted.absent("the body of a refusal", &answer.body);
    }
    let mut broken = door.connect();
    broken.write(format!(
        "GET /data HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer {unknown}\r\n\r\n"
    ));
    planted.absent("the answer to a malformed head", broken.rest());

    // The management door, with secrets where they do not belong.
    for (method, path, body) in [
        (
            "POST",
            "/api/v1/tokens",
            Some(json!({ "kind": unknown, "for": "x" })),
        ),
        (
            "POST",
            "/api/v1/tokens",
            Some(json!({ "kind": "basic", "for": "x", "user": "u", "password": ["MARKED-password-of-ada"] })),
        ),
        (
            "POST",
            "/api/v1/tokens",
            Some(json!({ "kind": "basic", "for": "x", "user": "ada", "password": password })),
        ),
        ("POST", "/api/v1/revocations", Some(json!({ "token": far }))),
        ("GET", "/api/v1/tokens", None),
        ("GET", "/api/v1/audit", None),
        ("GET", "/api/v1/keys", None),
        ("GET", "/api/v1/principals", None),
    ] {
        let (status, answer) = door.call(method, path, body.as_ref());
        if !(path.ends_with("tokens") && method == "POST" && answer.to_string().contains("another word")) {
            planted.absent(&format!("{method} {path} ({status})"), answer.to_string());
        }
    }
    for path in ["/metrics", "/readyz?verbose", "/livez", &format!("/{unknown}")] {
        planted.absent(path, get(door.status, path, &[]).body);
    }
    for arguments in [
        &["config", "print"][..],
        &["check"],
        &["token", "list"],
        &["key", "list"],
        &["audit", "list"],
    ] {
        planted.absent(&format!("{arguments:?}"), text(&cli(door.folder(), arguments)));
    }
    let print = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["config", "print", "--config"])
        .arg(door.folder().join("doorward.yaml"))
        .env("DEVICE_TOKEN_MASTER_KEY", &device_key)
        .output()
        .expect("it runs");
    assert!(print.status.success(), "{}", text(&print));
    planted.absent("the printed configuration", text(&print));

    // An address is no secret to who may read the configuration; the log is read by others.
    planted.plant("the address of a key set", key_url);
    let process = format!("/proc/{}", door.pid());
    planted.absent(
        "the process' title",
        fs::read(format!("{process}/cmdline")).expect("readable"),
    );
    let administrator = fs::read_to_string(door.folder().join("data/administrator.token")).expect("a file");
    planted.plant("the administrator's token", administrator.trim());
    let data_key = fs::read_to_string(door.folder().join("data/keys/data.key")).expect("a file");
    planted.plant("the data key", data_key.trim());

    door.signal("TERM");
    door.wait_for_line(|line| line["message"] == "stopped");
    planted.absent("the log", door.log_text());
    for entry in fs::read_dir(folder.path().join("data"))
        .expect("a folder")
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with("doorward.db") {
            planted.absent(
                &format!("{:?}", entry.file_name()),
                fs::read(entry.path()).expect("readable"),
            );
        }
    }
    let mut levels = door.log_lines().into_iter().map(|line| line["level"].clone());
    assert!(
        levels.any(|level| level == "debug" || level == "trace"),
        "it said all it can say"
    );
}
