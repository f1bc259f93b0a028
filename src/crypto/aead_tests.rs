//! Both ciphers against each other's limits and against public vectors, where those are at hand.

use super::*;

fn key(byte: u8) -> KeyBytes {
    KeyBytes::new([byte; 32])
}

#[test]
fn what_is_sealed_opens_and_nothing_else_does() {
    let cipher = SealingCipher::new(&key(1));
    let mut text = *b"a short text";
    let tag = cipher.seal(&[7; 12], b"purpose", &mut text).expect("sealed");
    let sealed = text;
    cipher
        .open(&[7; 12], &tag, b"purpose", &mut text)
        .expect("opened");
    assert_eq!(&text, b"a short text");

    let mut wrong_tag = tag;
    wrong_tag[15] ^= 1;
    for (what, cipher, nonce, tag, associated) in [
        ("key", &SealingCipher::new(&key(2)), [7; 12], tag, &b"purpose"[..]),
        ("nonce", &cipher, [8; 12], tag, b"purpose"),
        ("tag", &cipher, [7; 12], wrong_tag, b"purpose"),
        ("associated data", &cipher, [7; 12], tag, b"purposf"),
    ] {
        let mut text = sealed;
        assert_eq!(
            cipher.open(&nonce, &tag, associated, &mut text),
            Err(NotAuthentic),
            "{what}"
        );
        assert_eq!(text, sealed, "a refused text was decrypted: {what}");
    }
}

#[test]
fn ciphers_print_nothing() {
    assert_eq!(format!("{:?}", SealingCipher::new(&key(9))), "SealingCipher(…)");
    assert_eq!(
        format!("{:?}", CompatibleCipher::new(&key(9))),
        "CompatibleCipher(…)"
    );
}

/// Public vectors stand beside a checkout in some set-ups; the test passes without them.
fn vectors() -> Option<serde_json::Value> {
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    let folder = option_env!("DOORWARD_VECTORS").map_or(beside, Into::into);
    let text = std::fs::read(folder.join("wycheproof/aes_gcm_test.json")).ok()?;
    Some(serde_json::from_slice(&text).expect("the vectors are JSON"))
}

#[test]
fn public_vectors_of_both_nonce_sizes_open_or_not_as_they_say() {
    let Some(vectors) = vectors() else { return };
    let mut seen = [0_usize; 2];
    for group in vectors["testGroups"].as_array().expect("groups") {
        let iv_bits = group["ivSize"].as_u64();
        if group["keySize"] != 256 || group["tagSize"] != 128 || !matches!(iv_bits, Some(96 | 128)) {
            continue;
        }
        for case in group["tests"].as_array().expect("tests") {
            let bytes = |name: &str| {
                hex::decode(case[name].as_str().expect("a hexadecimal text")).expect("hexadecimal")
            };
            let key = KeyBytes::from_slice(&bytes("key")).expect("32 bytes");
            let (iv, aad, msg, ct) = (bytes("iv"), bytes("aad"), bytes("msg"), bytes("ct"));
            let tag: [u8; 16] = bytes("tag").try_into().expect("16 bytes");
            let mut opened = ct.clone();
            let mut sealed = msg.clone();
            let (outcome, made) = if iv_bits == Some(128) {
                seen[0] += 1;
                let iv: [u8; 16] = iv.try_into().expect("16 bytes");
                let cipher = CompatibleCipher::new(&key);
                (
                    cipher.open(&iv, &tag, &aad, &mut opened),
                    cipher.seal(&iv, &aad, &mut sealed),
                )
            } else {
                seen[1] += 1;
                let iv: [u8; 12] = iv.try_into().expect("12 bytes");
                let cipher = SealingCipher::new(&key);
                (
                    cipher.open(&iv, &tag, &aad, &mut opened),
                    cipher.seal(&iv, &aad, &mut sealed),
                )
            };
            let id = &case["tcId"];
            match case["result"].as_str() {
                Some("valid") => {
                    assert_eq!(outcome, Ok(()), "case {id}");
                    assert_eq!(opened, msg, "case {id}");
                    assert_eq!((sealed, made), (ct, Ok(tag)), "case {id}");
                }
                _ => assert_eq!(outcome, Err(NotAuthentic), "case {id}"),
            }
        }
    }
    assert!(
        seen[0] > 10 && seen[1] > 10,
        "the vectors lack a nonce size: {seen:?}"
    );
}
