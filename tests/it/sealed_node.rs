//! Sealed device tokens against Node's own crypto, both ways: the compatible form is a promise to devices
//! and apps that use the original.

use std::io::Write;
use std::process::{Command, Stdio};

use doorward::authn::kinds::sealed_device_token::issue::{device_id, issue_compatible};
use doorward::authn::kinds::sealed_device_token::{Settings, open};
use doorward::crypto::{
    CompatibleCipher, Keyring, SealingCipher, SharedKeyring, key_to_base64, parse_key_base64, random,
};
use doorward::domain::clock::UnixMillis;
use doorward::domain::ids::KeyId;
use doorward::domain::reason::Reason;
use serde_json::{Value, json};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// What the NestJS document describes, in the words of Node's own library: seals or opens every line.
const ORIGINAL: &str = r#"
const crypto = require('node:crypto');
const lines = require('node:fs').readFileSync(0, 'utf8').trim().split('\n').map((l) => JSON.parse(l));
for (const { key, identifier, now, lifetime, token } of lines) {
  const master = Buffer.from(key, 'base64');
  if (token !== undefined) {
    const all = Buffer.from(token, 'base64');
    const decipher = crypto.createDecipheriv('aes-256-gcm', master, all.subarray(0, 16));
    decipher.setAuthTag(all.subarray(16, 32));
    const text = Buffer.concat([decipher.update(all.subarray(32)), decipher.final()]).toString('utf8');
    console.log(text);
  } else {
    const deviceId = crypto.createHash('sha256').update(identifier.trim(), 'utf8').digest('hex');
    const text = JSON.stringify({ deviceId, timestamp: now, expiresAt: now + lifetime });
    const iv = crypto.randomBytes(16);
    const cipher = crypto.createCipheriv('aes-256-gcm', master, iv);
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    const token = Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64');
    console.log(JSON.stringify({ token, deviceId }));
  }
}
"#;

/// Asks Node, one JSON line each.
fn node(questions: &[Value]) -> Vec<Value> {
    let mut child = Command::new("node")
        .args(["-e", ORIGINAL])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs (`make test` installs it)");
    let mut input = child.stdin.take().expect("a pipe");
    for question in questions {
        writeln!(input, "{question}").expect("written");
    }
    drop(input);
    let output = child.wait_with_output().expect("node ended");
    assert!(output.status.success(), "node failed");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// Settings with a fresh compatible key, and that key's text.
fn settings() -> (Settings, String) {
    let key = random::key().expect("a key");
    let own = SealingCipher::new(&random::key().expect("a key"));
    let ring = Keyring::single(KeyId::parse("k1").expect("a key id"), own);
    let settings = Settings::new(Some(CompatibleCipher::new(&key)), SharedKeyring::new(ring));
    (settings, key_to_base64(&key).to_string())
}

/// Identifiers whose trimming or encoding two languages could see differently.
const IDENTIFIERS: [&str; 8] = [
    "DEVICE-0042-ABCDEF",
    "  550e8400-e29b-41d4-a716-446655440000\n",
    "\u{feff}fingerprint-1\u{feff}",
    "\u{85}fingerprint-1\u{85}",
    "\u{3000}Gerät-Nummer-Drei\u{2029}",
    "device\u{200b}with\u{1f600}emoji",
    "quote\"back\\slash",
    "\u{a0}\u{1680}\u{202f}spaces-within it\u{b}\u{c}",
];

#[test]
fn tokens_made_by_node_open_here() {
    let (settings, key) = settings();
    let ask =
        |identifier: &&str| json!({"key": key, "identifier": identifier, "now": NOW.0, "lifetime": 1000});
    let answers = node(&IDENTIFIERS.iter().map(ask).collect::<Vec<_>>());
    assert_eq!(answers.len(), IDENTIFIERS.len());
    for (identifier, answer) in IDENTIFIERS.iter().zip(answers) {
        let token = answer["token"].as_str().expect("a token").as_bytes();
        let opened = open(&settings, token, NOW).expect("opened");
        assert_eq!(opened.device.as_str(), answer["deviceId"], "{identifier:?}");
        assert_eq!(
            device_id(&settings, identifier),
            Ok(opened.device),
            "{identifier:?}: both must trim and hash alike"
        );
        assert_eq!(opened.issued_at, NOW);
        assert_eq!(opened.expires_at, UnixMillis(NOW.0 + 1000));
        assert!(open(&settings, token, UnixMillis(NOW.0 + 1000)).is_ok());
        assert_eq!(
            open(&settings, token, UnixMillis(NOW.0 + 1001)).err(),
            Some(Reason::CredentialExpired)
        );
    }
}

#[test]
fn tokens_made_here_open_in_node() {
    let (settings, key) = settings();
    let issued: Vec<_> = IDENTIFIERS
        .iter()
        .map(|identifier| issue_compatible(&settings, identifier, NOW).expect("issued"))
        .collect();
    let ask = |token: &str| json!({"key": key, "token": token});
    let answers = node(&issued.iter().map(|i| ask(i.token.expose())).collect::<Vec<_>>());
    assert_eq!(answers.len(), issued.len());
    for (issued, answer) in issued.iter().zip(answers) {
        let expected = json!({
            "deviceId": issued.device.as_str(),
            "timestamp": NOW.0,
            "expiresAt": NOW.0 + 86_400_000,
        });
        assert_eq!(answer, expected);
    }
}

#[test]
fn the_sample_key_of_the_document_is_refused_as_node_refuses_it() {
    // 34 bytes: Node throws "Invalid key length" when it is used.
    let sample = "dGVzdC1rZXktMzItYnl0ZXMtZm9yLWRldmljZS10b2tlbg==";
    let error = parse_key_base64(sample).expect_err("refused").to_string();
    assert!(
        error.contains("34 bytes") && error.contains("exactly 32"),
        "{error}"
    );
}
