//! Published vectors (Wycheproof, RFC 7520, 7797, 8037) for the signature layer, where they are at hand:
//! in `$DOORWARD_VECTORS`, or in `shared/vectors` beside the checkout. Their payloads are no claims.

use std::path::PathBuf;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use serde_json::{Value, json};

use super::super::keys::VerifyingKey;
use super::super::*;

#[expect(
    clippy::disallowed_methods,
    reason = "where the vectors are is the tests' own business"
)]
fn vectors(name: &str) -> Option<Value> {
    let folder = std::env::var_os("DOORWARD_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"),
        PathBuf::from,
    );
    match std::fs::read(folder.join(name)) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).expect("JSON")),
        Err(_) => {
            println!("skipped: no test vectors at hand ({name})");
            None
        }
    }
}

/// The keys of a group: the public set, else the secrets, each narrowed by its own `alg` as a set would be.
fn keys(group: &Value) -> Option<KeySet> {
    if let Some(public) = group.get("public") {
        let set = if public.get("keys").is_some() {
            public.clone()
        } else {
            json!({ "keys": [public] })
        };
        return KeySet::jwks(set.to_string().as_bytes()).ok();
    }
    let private = group.get("private")?;
    let list = private
        .get("keys")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or(vec![private.clone()]);
    // A set that mixes secrets with public keys is none that an operator could configure.
    if list.iter().any(|jwk| jwk["kty"] != "oct") {
        return None;
    }
    let keys = list.iter().filter_map(|jwk| {
        // One of the secrets has stray bits at its end; an operator's secret would be plain Base64.
        let lenient = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
        let bytes = lenient.decode(jwk["k"].as_str()?).ok()?;
        let named = match jwk.get("alg") {
            Some(name) => AlgorithmSet::NONE.with(Algorithm::parse(name.as_str()?)?),
            None => AlgorithmSet::ALL,
        };
        let mut key = VerifyingKey::secret(&bytes).ok()?.narrowed(named)?;
        if let Some(kid) = jwk["kid"].as_str() {
            key = key.with_kid(kid);
        }
        Some(key)
    });
    Some(KeySet::new(keys.collect()))
}

fn good(keys: Option<&KeySet>, token: &str) -> bool {
    match (keys, format::split(token.as_bytes())) {
        (Some(keys), Ok(token)) => keys.verify(&token, AlgorithmSet::ALL) == Signature::Good,
        _ => false,
    }
}

#[test]
fn wycheproof_signatures() {
    // Where we differ from the file, and why.
    let known = |name: &str, id: &Value| {
        let id = id.as_u64().filter(|_| name.ends_with("signature_test.json"));
        match id {
            // A PS384 token under a key that says `alg: PS256`: the key decides.
            Some(346 | 350) => Some(false),
            // ES512 is an algorithm that we do not have.
            Some(347 | 351) => Some(false),
            // A `?` inside Base64url is called valid there; RFC 7515 section 2 has no such letter.
            Some(372 | 373) => Some(false),
            // Letter for letter the valid case 357: the padding they speak of was lost in the file.
            Some(367 | 370) => Some(true),
            _ => None,
        }
    };
    for (name, at_least) in [
        ("wycheproof/json_web_signature_test.json", 400),
        ("wycheproof/json_web_crypto_test.json", 49),
        ("wycheproof/json_web_key_test.json", 26),
    ] {
        let Some(file) = vectors(name) else { continue };
        let (mut seen, mut accepted) = (0, 0);
        for group in file["testGroups"].as_array().expect("groups") {
            let keys = keys(group);
            for test in group["tests"].as_array().expect("tests") {
                let (Some(token), Some(result)) = (test["jws"].as_str(), test["result"].as_str()) else {
                    continue;
                };
                seen += 1;
                let good = good(keys.as_ref(), token);
                accepted += usize::from(good);
                let id = format!("{name} {} {} {}", test["tcId"], group["comment"], test["comment"]);
                let expected = known(name, &test["tcId"]).or(match result {
                    "valid" => Some(true),
                    "invalid" => Some(false),
                    _ => None,
                });
                assert!(expected.is_none_or(|expected| expected == good), "{id}: {good}");
            }
        }
        println!("{name}: {seen} signatures, {accepted} good");
        assert!(
            seen + 1 >= at_least && accepted > 0,
            "{name}: only {seen} signatures were found"
        );
    }
}

#[test]
fn rfc_examples() {
    for (name, expected) in [
        ("rfc7520/jws/4_1.rsa_v15_signature.json", true),
        ("rfc7520/jws/4_2.rsa-pss_signature.json", true),
        ("rfc7520/jws/4_4.hmac-sha2_integrity_protection.json", true),
        ("rfc7520/curve25519/jws.json", true),
        // RFC 7797: an unencoded payload is no bearer token.
        ("rfc7520/rfc7797/hmac-sha2_b64_false.json", false),
        ("rfc7520/rfc7797/4.2.hmac-sha2_b64_false.json", false),
    ] {
        let Some(file) = vectors(name) else { continue };
        let mut key = file["input"]["key"].clone();
        let group = if key["kty"] == "oct" {
            json!({ "private": key })
        } else {
            // The examples show private keys; a published set has none.
            for member in ["d", "p", "q", "dp", "dq", "qi"] {
                key.as_object_mut().expect("a key").remove(member);
            }
            json!({ "public": key })
        };
        let keys = keys(&group).expect("a usable key");
        let token = file["output"]["compact"].as_str().unwrap_or("no compact form");
        assert_eq!(good(Some(&keys), token), expected, "{name}");
    }
}
