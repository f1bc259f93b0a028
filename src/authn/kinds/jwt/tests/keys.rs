//! The key decides the algorithm: confusion attacks, weak and unfit keys, ambiguous sets, settings.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::*;
use super::support::*;
use crate::domain::secret::SecretText;

fn pem(der: &[u8]) -> String {
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der)
    )
}

fn rsa(size: KeySize) -> (RsaKeyPair, Value, String) {
    let pair = RsaKeyPair::generate(size).expect("a key");
    let public = pair.public_key();
    let jwk = json!({
        "kty": "RSA", "kid": "k1",
        "n": b64(public.modulus().big_endian_without_leading_zero()),
        "e": b64(public.exponent().big_endian_without_leading_zero()),
    });
    let der = public.as_der().expect("DER");
    let text = pem(der.as_ref());
    (pair, jwk, text)
}

fn rs256(pair: &RsaKeyPair, header: &str, payload: &str) -> String {
    let input = signing_input(header, payload);
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature)
        .expect("signed");
    format!("{input}.{}", b64(signature))
}

#[tokio::test]
async fn every_form_of_a_public_key_verifies_its_own_algorithm() {
    let payload = claims(|_| ()).to_string();
    let (pair, jwk, text) = rsa(KeySize::Rsa2048);
    let token = rs256(&pair, r#"{"alg":"RS256","kid":"k1"}"#, &payload);
    for keys in [KeySource::Jwks(jwks(&[jwk])), KeySource::Pem(text)] {
        assert!(check(&verifier(vec![corp(keys)]), &token).await.is_ok());
    }

    let pair = p256();
    let token = p256_sign(&pair, r#"{"alg":"ES256"}"#, &payload);
    let point = pair.public_key().as_ref();
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
    let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("DER");
    for keys in [KeySource::Jwks(jwks(&[jwk])), KeySource::Pem(pem(der.as_ref()))] {
        assert!(check(&verifier(vec![corp(keys)]), &token).await.is_ok());
    }

    let key = Ed::new();
    let mut der = hex::decode("302a300506032b6570032100").expect("the SPKI prefix of Ed25519");
    der.extend_from_slice(key.public());
    for keys in [KeySource::Jwks(jwks(&[key.jwk("k1")])), KeySource::Pem(pem(&der))] {
        assert!(
            check(&verifier(vec![corp(keys)]), &key.sign(&claims(|_| ())))
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn a_public_key_never_serves_as_a_secret() {
    let payload = claims(|_| ()).to_string();
    let (_, jwk, text) = rsa(KeySize::Rsa2048);
    let key = Ed::new();
    let set = jwks(std::slice::from_ref(&jwk));
    let issuers = [
        corp(KeySource::Jwks(set.clone())),
        corp(KeySource::Pem(text.clone())),
        corp(KeySource::Jwks(jwks(&[key.jwk("k1")]))),
    ];
    for issuer in issuers {
        let verifier = verifier(vec![issuer]);
        for secret in [
            text.as_bytes(),
            text.trim().as_bytes(),
            set.as_bytes(),
            jwk.to_string().as_bytes(),
            key.public(),
        ] {
            for (algorithm, name) in [(Algorithm::Hs256, "HS256"), (Algorithm::Hs512, "HS512")] {
                for header in [
                    format!(r#"{{"alg":"{name}","kid":"k1"}}"#),
                    format!(r#"{{"alg":"{name}"}}"#),
                ] {
                    let token = hmac_sign(algorithm, secret, &header, &payload);
                    assert_eq!(
                        check(&verifier, &token).await.err(),
                        Some(Reason::CredentialInvalid)
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_cannot_choose_the_algorithm() {
    let payload = claims(|_| ()).to_string();
    let (pair, jwk, _) = rsa(KeySize::Rsa2048);
    let good = rs256(&pair, r#"{"alg":"RS256","kid":"k1"}"#, &payload);
    let lies = rs256(&pair, r#"{"alg":"RS512","kid":"k1"}"#, &payload);
    let mut named = jwk.clone();
    named["alg"] = json!("PS256");
    let mut narrowed = corp(KeySource::Jwks(jwks(std::slice::from_ref(&jwk))));
    narrowed.algorithms = Some(AlgorithmSet::NONE.with(Algorithm::Rs512));
    for (issuer, token, expected, why) in [
        (
            corp(KeySource::Jwks(jwks(std::slice::from_ref(&jwk)))),
            &good,
            None,
            "as it should be",
        ),
        (
            corp(KeySource::Jwks(jwks(&[jwk]))),
            &lies,
            Some(Reason::CredentialInvalid),
            "another hash",
        ),
        (
            corp(KeySource::Jwks(jwks(&[named]))),
            &good,
            Some(Reason::CredentialInvalid),
            "the JWK's alg",
        ),
        (
            narrowed,
            &good,
            Some(Reason::CredentialInvalid),
            "the issuer's algorithms",
        ),
    ] {
        assert_eq!(
            check(&verifier(vec![issuer]), token).await.err(),
            expected,
            "{why}"
        );
    }
}

#[test]
fn unfit_keys_are_refused() {
    let ed = Ed::new();
    let (_, good, _) = rsa(KeySize::Rsa2048);
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        jwk
    };
    let small = json!({"kty": "RSA", "n": b64([0xff; 128]), "e": "AQAB"});
    let point = p256();
    let point = point.public_key().as_ref();
    let ec = |x: &[u8], y: &[u8], crv: &str| json!({"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y)});
    for (jwk, why) in [
        (
            json!({"kty": "oct", "k": b64(SECRET), "alg": "HS256"}),
            "a secret in a published set",
        ),
        (small, "RSA of 1024 bits"),
        (with("e", json!("AQ")), "an exponent of 1"),
        (with("e", json!("")), "no exponent"),
        (with("use", json!("enc")), "for encryption"),
        (with("use", json!(7)), "a use that is no text"),
        (with("key_ops", json!(["encrypt"])), "operations without verify"),
        (with("key_ops", json!("verify")), "operations that are no list"),
        (with("alg", json!("RSA-OAEP")), "an encryption algorithm"),
        (
            with("alg", json!("HS256")),
            "a secret's algorithm on a public key",
        ),
        (with("alg", json!("none")), "alg none"),
        (with("alg", json!("ES256")), "another type's algorithm"),
        (with("kty", json!("EC")), "another type"),
        (with("d", json!("AQAB")), "a private key"),
        (with("n", json!("not base64!")), "not Base64url"),
        (
            ec(&point[1..33], &point[1..33], "P-256"),
            "a point beside the curve",
        ),
        (ec(&point[1..32], &point[33..], "P-256"), "a short coordinate"),
        (ec(&point[1..33], &point[33..], "P-384"), "another curve"),
        (ec(&point[1..33], &point[33..], "P-521"), "a curve we do not have"),
        (
            json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&ed.public()[1..])}),
            "31 bytes of Ed25519",
        ),
        (
            json!({"kty": "OKP", "crv": "X25519", "x": b64(ed.public())}),
            "a key agreement curve",
        ),
        (
            json!({"kty": "OKP", "crv": "Ed448", "x": b64([1; 57])}),
            "a curve we do not have",
        ),
        (json!({"crv": "Ed25519", "x": b64(ed.public())}), "no type"),
        (json!("key"), "no object"),
    ] {
        let alone = KeySet::jwks(jwks(std::slice::from_ref(&jwk)).as_bytes());
        assert!(matches!(alone, Err(KeyProblem::NoUsableKey(_))), "{why}");
        // Beside a good key it is passed over, and adds nothing.
        let set = KeySet::jwks(jwks(&[jwk, ed.jwk("k1")]).as_bytes()).expect("one good key");
        assert_eq!(
            set.algorithms(),
            AlgorithmSet::NONE.with(Algorithm::EdDsa),
            "{why}"
        );
    }
    let many: Vec<Value> = (0..101).map(|i| ed.jwk(&i.to_string())).collect();
    assert!(matches!(
        KeySet::jwks(jwks(&many).as_bytes()),
        Err(KeyProblem::TooManyKeys(101))
    ));
}

#[tokio::test]
async fn two_keys_of_one_id_are_both_out() {
    let (a, b, c) = (Ed::new(), Ed::new(), Ed::new());
    let set = jwks(&[a.jwk("k1"), b.jwk("k1"), c.jwk("k2"), c.jwk("k2")]);
    let verifier = verifier(vec![corp(KeySource::Jwks(set))]);
    for key in [&a, &b] {
        let refused = check(&verifier, &key.sign(&claims(|_| ()))).await;
        assert_eq!(refused.err(), Some(Reason::CredentialInvalid));
    }
    let token = c.sign_text(r#"{"alg":"EdDSA","kid":"k2"}"#, &claims(|_| ()).to_string());
    assert!(
        check(&verifier, &token).await.is_ok(),
        "the same key twice is no conflict"
    );
}

#[tokio::test]
async fn the_key_id_chooses_and_does_not_only_hint() {
    let (a, b) = (Ed::new(), Ed::new());
    let payload = claims(|_| ()).to_string();
    let verifier = verifier(vec![corp(KeySource::Jwks(jwks(&[a.jwk("a"), b.jwk("b")])))]);
    for (header, expected, why) in [
        (r#"{"alg":"EdDSA","kid":"b"}"#, None, "its own id"),
        (r#"{"alg":"EdDSA"}"#, None, "no id: any key can be meant"),
        (
            r#"{"alg":"EdDSA","kid":"a"}"#,
            Some(Reason::CredentialInvalid),
            "another key's id",
        ),
        (
            r#"{"alg":"EdDSA","kid":"c"}"#,
            Some(Reason::CredentialInvalid),
            "an unknown id",
        ),
        (
            r#"{"alg":"EdDSA","kid":"../../dev/null"}"#,
            Some(Reason::CredentialInvalid),
            "a path as id",
        ),
    ] {
        assert_eq!(
            check(&verifier, &b.sign_text(header, &payload)).await.err(),
            expected,
            "{why}"
        );
    }
}

#[tokio::test]
async fn secrets_are_long_enough_for_their_algorithm() {
    let secret = |n: usize| KeySource::SecretBase64(SecretText::new(STANDARD.encode(&SECRET[..n])));
    let start = |keys| {
        JwtVerifier::start(
            &JwtSettings {
                issuers: vec![corp(keys)],
            },
            &clock().1,
            &tasks(),
            &metrics(),
        )
    };
    let problem = start(secret(31)).err().expect("refused").problem;
    assert_eq!(problem, Problem::Keys(KeyProblem::SecretTooShort(31)));
    assert!(!problem.to_string().contains("0123"), "no secret in the text");
    let payload = claims(|_| ()).to_string();
    for (length, algorithm, accepted) in [
        (32, Algorithm::Hs256, true),
        (47, Algorithm::Hs384, false),
        (48, Algorithm::Hs384, true),
        (63, Algorithm::Hs512, false),
        (64, Algorithm::Hs512, true),
    ] {
        let verifier = start(secret(length)).expect("long enough for HS256");
        let header = format!(r#"{{"alg":"{}"}}"#, algorithm.as_str());
        let token = hmac_sign(algorithm, &SECRET[..length], &header, &payload);
        assert_eq!(
            check(&verifier, &token).await.is_ok(),
            accepted,
            "{length} bytes, {algorithm:?}"
        );
    }
}

#[tokio::test]
async fn contradictory_settings_are_refused() {
    let key = Ed::new();
    let source = || KeySource::Jwks(jwks(&[key.jwk("k1")]));
    let own_keys = OwnKeys::new(SigningKeys::new(
        own_key("o1", SigningAlgorithm::EdDsa),
        Vec::new(),
    ));
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----";
    type Change<'a> = &'a dyn Fn(&mut Issuer);
    let rows: [(Change<'_>, Problem, &str); 16] = [
        (
            &|i| i.name = Arc::from("a:b"),
            Problem::Name,
            "a colon would blur credential ids",
        ),
        (&|i| i.name = Arc::from(""), Problem::Name, "no name"),
        (&|i| i.issuer = None, Problem::NoIssuer, "no issuer"),
        (&|i| i.audiences.clear(), Problem::NoAudience, "no audience"),
        (
            &|i| i.waived.audience = Waiver::Waived,
            Problem::AudienceWaivedAndStated,
            "both",
        ),
        (
            &|i| i.waived.subject = Waiver::Waived,
            Problem::SubjectWaived,
            "nobody left to name",
        ),
        (
            &|i| i.leeway = Duration::from_secs(31),
            Problem::Leeway(31),
            "too much leeway",
        ),
        (
            &|i| i.algorithms = Some(AlgorithmSet::HMAC),
            Problem::Algorithms,
            "HS* on a public key",
        ),
        (
            &|i| i.algorithms = Some(AlgorithmSet::NONE),
            Problem::Algorithms,
            "no algorithm",
        ),
        (
            &|i| i.profile = Profile::Own,
            Problem::OwnProfile,
            "the own profile with foreign keys",
        ),
        (
            &|i| i.keys = KeySource::Own(own_keys.clone()),
            Problem::OwnProfile,
            "own keys, foreign profile",
        ),
        (
            &|i| {
                *i = own(&own_keys);
                i.waived.issuer = Waiver::Waived;
            },
            Problem::OwnProfile,
            "nothing is waived for our own tokens",
        ),
        (
            &|i| i.keys = KeySource::Pem(private.to_owned()),
            KeyProblem::PrivateKey.into(),
            "a private key",
        ),
        (
            &|i| i.keys = KeySource::Pem("x".to_owned()),
            KeyProblem::NotAPublicKey.into(),
            "not PEM",
        ),
        (
            &|i| i.keys = KeySource::Jwks("{}".to_owned()),
            KeyProblem::NotAKeySet.into(),
            "not a set",
        ),
        (
            &|i| i.keys = KeySource::JwksUrl(JwksUrl::new("https://user:pw@idp.example.com/")),
            Problem::Url,
            "a password in the URL",
        ),
    ];
    for (change, expected, why) in rows {
        let mut issuer = corp(source());
        change(&mut issuer);
        let started = JwtVerifier::start(
            &JwtSettings {
                issuers: vec![issuer],
            },
            &clock().1,
            &tasks(),
            &metrics(),
        );
        assert_eq!(started.err().map(|p| p.problem), Some(expected), "{why}");
    }
    let twice = vec![corp(source()), corp(source())];
    let started = JwtVerifier::start(&JwtSettings { issuers: twice }, &clock().1, &tasks(), &metrics());
    assert_eq!(started.err().map(|p| p.problem), Some(Problem::DuplicateName));
}

#[test]
fn of_many_keys_that_a_token_can_mean_few_are_tried() {
    let signer = Ed::new();
    for (before, expected) in [(3, Signature::Good), (4, Signature::Bad)] {
        let others = (0..before).map(|n| Ed::new().jwk(&format!("k{n}")));
        let keys: Vec<_> = others.chain([signer.jwk("mine")]).collect();
        let set = KeySet::jwks(jwks(&keys).as_bytes()).expect("a set");
        let token = signer.sign_text(r#"{"alg":"EdDSA"}"#, &claims(|_| ()).to_string());
        let token = format::split(token.as_bytes()).expect("a token");
        let found = set.verify(&token, AlgorithmSet::PUBLIC);
        assert_eq!(found, expected, "{before} before it");
    }
}

#[test]
fn issuers_are_bounded() {
    let issuers = |count: usize| {
        let one = |n: usize| Issuer {
            name: Arc::from(format!("i{n}")),
            issuer: Some(format!("https://{n}.example")),
            ..thingsboard()
        };
        JwtSettings {
            issuers: (0..count).map(one).collect(),
        }
    };
    assert!(issuers(MAX_ISSUERS).check().is_ok());
    let problem = issuers(MAX_ISSUERS + 1).check().expect_err("one too many");
    assert_eq!(problem.problem, Problem::TooManyIssuers);
}
