//! The strict form: hostile rows, and properties over arbitrary bytes.

use proptest::prelude::*;

use super::super::format::{Claims, Malformed, split};
use super::super::{KeySet, strict_json};
use super::support::*;

const HEADER: &str = r#"{"alg":"EdDSA"}"#;

fn token(header: &str) -> String {
    format!("{}.{}.{}", b64(header), b64("{}"), b64([1; 64]))
}

#[test]
fn hostile_headers_are_refused() {
    for (header, expected, why) in [
        (HEADER, Ok(()), "the least there is"),
        (
            r#"{"alg":"EdDSA","typ":"JWT","kid":"k","x5t":"abc"}"#,
            Ok(()),
            "usual members",
        ),
        (r#"{"typ":"JWT"}"#, Err(Malformed::Algorithm), "no alg"),
        (r#"{"alg":"none"}"#, Err(Malformed::Algorithm), "alg none"),
        (r#"{"alg":"nOnE"}"#, Err(Malformed::Algorithm), "none in disguise"),
        (r#"{"alg":""}"#, Err(Malformed::Algorithm), "empty alg"),
        (r#"{"alg":null}"#, Err(Malformed::Algorithm), "null alg"),
        (r#"{"alg":["EdDSA"]}"#, Err(Malformed::Algorithm), "a list as alg"),
        (
            r#"{"alg":"ES512"}"#,
            Err(Malformed::Algorithm),
            "an algorithm we do not have",
        ),
        (
            r#"{"alg":"RSA-OAEP"}"#,
            Err(Malformed::Algorithm),
            "an encryption algorithm",
        ),
        (
            r#"{"alg":"none","alg":"EdDSA"}"#,
            Err(Malformed::HeaderJson),
            "alg twice",
        ),
        (
            r#"{"alg":"EdDSA","\u0061lg":"none"}"#,
            Err(Malformed::HeaderJson),
            "alg twice in disguise",
        ),
        (
            r#"{"alg":"EdDSA","crit":["exp"]}"#,
            Err(Malformed::HeaderMember),
            "crit",
        ),
        (
            r#"{"alg":"EdDSA","crit":[]}"#,
            Err(Malformed::HeaderMember),
            "empty crit",
        ),
        (
            r#"{"alg":"EdDSA","crit":null}"#,
            Err(Malformed::HeaderMember),
            "null crit",
        ),
        (
            r#"{"alg":"EdDSA","b64":false}"#,
            Err(Malformed::HeaderMember),
            "b64 false",
        ),
        (
            r#"{"alg":"EdDSA","b64":true}"#,
            Err(Malformed::HeaderMember),
            "b64 at all",
        ),
        (
            r#"{"alg":"EdDSA","jku":"https://evil.example"}"#,
            Err(Malformed::HeaderMember),
            "jku",
        ),
        (
            r#"{"alg":"EdDSA","x5u":"https://evil.example"}"#,
            Err(Malformed::HeaderMember),
            "x5u",
        ),
        (
            r#"{"alg":"EdDSA","jwk":{"kty":"oct","k":""}}"#,
            Err(Malformed::HeaderMember),
            "jwk",
        ),
        (
            r#"{"alg":"EdDSA","x5c":["MII"]}"#,
            Err(Malformed::HeaderMember),
            "x5c",
        ),
        (
            r#"{"alg":"EdDSA","kid":7}"#,
            Err(Malformed::HeaderText),
            "a number as kid",
        ),
        (
            r#"{"alg":"EdDSA","typ":{}}"#,
            Err(Malformed::HeaderText),
            "an object as typ",
        ),
        (r#"["EdDSA"]"#, Err(Malformed::HeaderJson), "a list as header"),
        (r#""EdDSA""#, Err(Malformed::HeaderJson), "a text as header"),
        (
            r#"{"alg":"EdDSA"}x"#,
            Err(Malformed::HeaderJson),
            "something after the header",
        ),
        ("{", Err(Malformed::HeaderJson), "broken JSON"),
    ] {
        assert_eq!(split(token(header).as_bytes()).map(|_| ()), expected, "{why}");
    }
    let long_kid = format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, "k".repeat(256));
    assert_eq!(
        split(token(&long_kid).as_bytes()).map(|_| ()),
        Err(Malformed::HeaderText)
    );
    let long = format!(r#"{{"alg":"EdDSA","pad":"{}"}}"#, "p".repeat(4096));
    assert_eq!(split(token(&long).as_bytes()).map(|_| ()), Err(Malformed::Parts));
}

#[test]
fn hostile_parts_are_refused() {
    let (h, p, s) = (b64(HEADER), b64("{}"), b64([1; 64]));
    let zeros = b64([0; 64]);
    for (token, expected, why) in [
        (format!("{h}.{p}.{s}"), Ok(()), "as it should be"),
        (String::new(), Err(Malformed::Parts), "nothing"),
        ("..".to_owned(), Err(Malformed::Parts), "three empty parts"),
        (format!("{h}.{p}"), Err(Malformed::Parts), "two parts"),
        (format!("{h}.{p}.{s}."), Err(Malformed::Parts), "four parts"),
        (format!(".{p}.{s}"), Err(Malformed::Parts), "no header"),
        (format!("{h}.{p}."), Err(Malformed::Signature), "no signature"),
        (
            format!("{h}.{p}.{zeros}"),
            Err(Malformed::Signature),
            "an all-zero signature",
        ),
        (format!("{h}.{p}.AA"), Err(Malformed::Signature), "one zero byte"),
        (format!("{h}.{p}.{s}=="), Err(Malformed::Base64), "padding"),
        (
            format!("{h}.{p}.AR"),
            Err(Malformed::Base64),
            "stray trailing bits",
        ),
        (format!("{h}.{p}.A"), Err(Malformed::Base64), "one letter"),
        (
            format!("{h}.{p}.{}", s.replace('A', "+")),
            Err(Malformed::Base64),
            "the other alphabet",
        ),
        (format!("{h}.{p} .{s}"), Err(Malformed::Base64), "a space"),
        (format!("{h}.{p}\n.{s}"), Err(Malformed::Base64), "a line break"),
        (format!("{h}.{p}.é"), Err(Malformed::Base64), "not ASCII"),
    ] {
        assert_eq!(split(token.as_bytes()).map(|_| ()), expected, "{why}");
    }
    assert_eq!(split(b"\xff.\xff.\xff").map(|_| ()), Err(Malformed::Parts));
    let huge = format!("{h}.{}.{s}", "A".repeat(16 * 1024));
    assert_eq!(
        split(huge.as_bytes()).map(|_| ()),
        Err(Malformed::Parts),
        "over the bound"
    );
}

#[test]
fn hostile_claims_are_refused() {
    for (payload, expected, why) in [
        (r#"{"exp":1800000000}"#, Ok(()), "the least there is"),
        (
            r#"{"exp":1800000000,"nbf":0,"iat":1,"aud":["a","b"]}"#,
            Ok(()),
            "usual claims",
        ),
        (r#"{}"#, Err(Malformed::NoExpiry), "no exp"),
        (r#"{"exp":null}"#, Err(Malformed::Time), "null"),
        (r#"{"exp":"1800000000"}"#, Err(Malformed::Time), "a text"),
        (r#"{"exp":1800000000.5}"#, Err(Malformed::Time), "a fraction"),
        (
            r#"{"exp":1800000000.0}"#,
            Err(Malformed::Time),
            "a fraction of zero",
        ),
        (r#"{"exp":18e8}"#, Err(Malformed::Time), "an exponent"),
        (r#"{"exp":-1}"#, Err(Malformed::Time), "negative"),
        (r#"{"exp":-0}"#, Err(Malformed::Time), "negative zero"),
        (r#"{"exp":253402300800}"#, Err(Malformed::Time), "the year 10000"),
        (
            r#"{"exp":9223372036854775807}"#,
            Err(Malformed::Time),
            "the largest i64",
        ),
        (
            r#"{"exp":18446744073709551615}"#,
            Err(Malformed::Time),
            "the largest u64",
        ),
        (
            r#"{"exp":1e400}"#,
            Err(Malformed::ClaimsJson),
            "beyond every number",
        ),
        (r#"{"exp":[1800000000]}"#, Err(Malformed::Time), "a list"),
        (r#"{"exp":true}"#, Err(Malformed::Time), "a truth value"),
        (
            r#"{"exp":1,"exp":1800000000}"#,
            Err(Malformed::ClaimsJson),
            "exp twice",
        ),
        (
            r#"{"exp":1800000000,"sub":"a","sub":"b"}"#,
            Err(Malformed::ClaimsJson),
            "sub twice",
        ),
        (
            r#"{"exp":1800000000,"x":{"r":1,"r":2}}"#,
            Err(Malformed::ClaimsJson),
            "twice inside",
        ),
        (
            r#"{"exp":1800000000,"nbf":"0"}"#,
            Err(Malformed::Time),
            "nbf as text",
        ),
        (
            r#"{"exp":1800000000,"nbf":1.5}"#,
            Err(Malformed::Time),
            "nbf as fraction",
        ),
        (
            r#"{"exp":1800000000,"iat":-5}"#,
            Err(Malformed::Time),
            "negative iat",
        ),
        (
            r#"{"exp":1800000000,"iss":["a"]}"#,
            Err(Malformed::ClaimText),
            "a list of issuers",
        ),
        (
            r#"{"exp":1800000000,"sub":7}"#,
            Err(Malformed::ClaimText),
            "a number as sub",
        ),
        (
            r#"{"exp":1800000000,"jti":7}"#,
            Err(Malformed::ClaimText),
            "a number as jti",
        ),
        (
            r#"{"exp":1800000000,"aud":7}"#,
            Err(Malformed::ClaimText),
            "a number as aud",
        ),
        (
            r#"{"exp":1800000000,"aud":["a",7]}"#,
            Err(Malformed::ClaimText),
            "a number among aud",
        ),
        (
            r#"{"exp":1800000000,"aud":{"a":1}}"#,
            Err(Malformed::ClaimText),
            "an object as aud",
        ),
        (r#"[{"exp":1800000000}]"#, Err(Malformed::ClaimsJson), "a list"),
        ("null", Err(Malformed::ClaimsJson), "null"),
        ("", Err(Malformed::ClaimsJson), "nothing"),
    ] {
        assert_eq!(Claims::parse(payload.as_bytes()).map(|_| ()), expected, "{why}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = split(&bytes);
        let _ = Claims::parse(&bytes);
        let _ = strict_json::object(&bytes);
        let _ = KeySet::jwks(&bytes);
    }

    #[test]
    fn no_text_between_dots_makes_a_parser_panic(h in ".{0,80}", p in ".{0,80}", s in "[A-Za-z0-9_-]{0,90}") {
        let _ = split(format!("{}.{}.{s}", b64(h), b64(p)).as_bytes());
    }

    /// One token has one spelling: whatever letter is replaced, the result is refused by form or by
    /// signature, so nobody can spell a revoked token anew.
    #[test]
    fn no_letter_can_be_replaced(position in 0_usize..1000, letter in "[ -~]") {
        let key = Ed::new();
        let token = key.sign(&claims(|_| ()));
        let position = position % token.len();
        let mut other = token.clone();
        other.replace_range(position..=position, &letter);
        prop_assume!(other != token);
        let set = KeySet::jwks(jwks(&[key.jwk("k1")]).as_bytes()).expect("a set");
        let good = split(token.as_bytes()).expect("good form");
        prop_assert_eq!(set.verify(&good, super::super::AlgorithmSet::ALL), super::super::Signature::Good);
        if let Ok(parsed) = split(other.as_bytes()) {
            prop_assert_ne!(set.verify(&parsed, super::super::AlgorithmSet::ALL), super::super::Signature::Good);
        }
    }
}
