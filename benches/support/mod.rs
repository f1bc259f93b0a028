//! What the benches measure: a real gate over real rooms on an embedded store in a temporary folder, put
//! together through the library's public interface, with one credential of each kind.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "shared by several benches, which fail by panicking and print for a person"
)]

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::KeyPair;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward::accounts::{
    Actor, ApiTokenForm, DeviceTokenForm, NewCredential, NewPrincipal, NewSealedToken, PrincipalRecord,
    SealedForm,
};
use doorward::app::Rooms;
use doorward::authn::kinds::jwt::{
    OwnKeys, SigningAlgorithm, SigningKey, SigningKeys, generate_signing_key, public_jwks,
};
use doorward::authn::{Carrier, Presented, Verifier};
use doorward::config::{Environment, Settings, load_text};
use doorward::domain::clock::{Clock, Now};
use doorward::domain::identity::{CredentialKind, PrincipalKind};
use doorward::domain::net::{NetworkSet, PeerAddr};
use doorward::domain::scope::ScopeSet;
use doorward::gate::{Facts, Gate, Scheme, Verdict};
use doorward::runtime::tasks::Tasks;
use doorward::store::sqlite::OpenAs;
use doorward::telemetry::Metrics;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ISSUER: &str = "https://issuer.example";
const HMAC_SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

/// A gate, and everything it stands on.
pub struct Fixture {
    pub gate: Gate,
    pub rooms: Rooms,
    pub settings: Settings,
    pub credentials: Credentials,
    pub runtime: Runtime,
    service: PrincipalRecord,
    nobody: NetworkSet,
    _folder: TempDir,
}

/// One credential of each kind, as a client presents it.
pub struct Credentials {
    pub sealed_v1: String,
    pub sealed_v2: String,
    pub device_token: String,
    pub api_token: String,
    pub hs256: String,
    pub rs256: String,
    pub es256: String,
    pub eddsa: String,
}

/// A request's head, as hyper hands it over.
#[derive(Clone)]
pub struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Head {
    /// What a plain HTTP client sends with `Authorization: <scheme> <credential>`.
    pub fn get(target: &str, authorization: &str) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "api.example.com"),
            ("user-agent", "sensor/2.4 (linux)"),
            ("accept", "application/json"),
            ("accept-encoding", "gzip"),
            ("authorization", authorization),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        Self {
            method: Method::GET,
            // As hyper reads it: a slice of a buffer that others share.
            uri: Uri::from_maybe_shared(bytes::Bytes::from(target.to_owned().into_bytes()))
                .expect("a target"),
            headers,
        }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl Fixture {
    /// Builds it. On a file system in memory where there is one: the disk is not what is measured.
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        }
        .expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let signers = Signers::new();
        let settings = signers.settings(folder.path());
        let tasks = Tasks::on(runtime.handle().clone());
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let rooms = runtime
            .block_on(Rooms::build(
                &settings,
                OpenAs::Server,
                &tasks,
                metrics,
                Clock::System,
                None,
            ))
            .expect("rooms");
        let gate = rooms.gate(&settings, &rooms.kinds.load()).expect("a gate");
        let actor = Actor::system();
        let principal = |kind, name: &str| NewPrincipal {
            external_id: Some(name.to_owned()),
            ..NewPrincipal::of(kind)
        };
        let accounts = &rooms.accounts;
        let (credentials, service) = runtime.block_on(async {
            let device = accounts
                .create_principal(principal(PrincipalKind::Device, "thermometer-7"), &actor)
                .await
                .expect("a device");
            let service = accounts
                .create_principal(principal(PrincipalKind::Service, "backup"), &actor)
                .await
                .expect("a service account");
            let sealed = async |form| {
                let new = NewSealedToken {
                    identifier: "550e8400-e29b-41d4-a716-446655440000".to_owned(),
                    form,
                    tenant: None,
                    scopes: ScopeSet::default(),
                };
                let issued = accounts.issue_sealed(new, &actor).await.expect("sealed");
                issued.secret.expose().to_owned()
            };
            let device_token = accounts
                .create_device_token(&device, DeviceTokenForm::Uuid, NewCredential::default(), &actor)
                .await
                .expect("a device token");
            let api_token = accounts
                .create_api_token(&service, &ApiTokenForm::Default, scoped(), &actor)
                .await
                .expect("an API token");
            let credentials = Credentials {
                sealed_v1: sealed(SealedForm::Compatible).await,
                sealed_v2: sealed(SealedForm::Own).await,
                device_token: device_token.secret.expose().to_owned(),
                api_token: api_token.secret.expose().to_owned(),
                hs256: signers.hs256(),
                rs256: signers.rs256(),
                es256: signers.own(&signers.es256),
                eddsa: signers.own(&signers.eddsa),
            };
            (credentials, service)
        });
        Self {
            gate,
            rooms,
            settings,
            credentials,
            runtime,
            service,
            nobody: NetworkSet::new(Vec::new()),
            _folder: folder,
        }
    }

    /// So many more API tokens, all known to the cache afterwards.
    pub fn crowd(&self, size: usize) -> Vec<Head> {
        let accounts = &self.rooms.accounts;
        let actor = Actor::system();
        self.runtime.block_on(async {
            let mut heads = Vec::with_capacity(size);
            for _ in 0..size {
                let issued = accounts
                    .create_api_token(&self.service, &ApiTokenForm::Default, scoped(), &actor)
                    .await
                    .expect("an API token");
                let head = Head::get(
                    "/api/v1/devices/42?limit=10",
                    &format!("Bearer {}", issued.secret.expose()),
                );
                let verdict = self.gate.decide(&self.facts(&head), self.now()).await;
                assert!(matches!(verdict, Verdict::Forward(_)));
                heads.push(head);
            }
            heads
        })
    }

    pub fn now(&self) -> Now {
        self.rooms.clock.now()
    }

    pub fn facts<'a>(&'a self, head: &'a Head) -> Facts<'a> {
        Facts {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query(),
            target: head.uri.path_and_query(),
            host: Some("api.example.com"),
            headers: &head.headers,
            peer: PeerAddr::new(([192, 0, 2, 17], 40_000).into()),
            trusted_proxies: &self.nobody,
            scheme: Scheme::Http,
        }
    }

    /// A decision that awaits nothing, as every cache hit must be.
    pub fn decide_at_once(&self, head: &Head, now: Now) -> Verdict {
        self.gate
            .decide(&self.facts(head), now)
            .now_or_never()
            .expect("decided without waiting")
    }

    /// Looks the credential up once, so that the cache knows it.
    pub fn warm(&self, head: &Head) {
        let verdict = self
            .runtime
            .block_on(self.gate.decide(&self.facts(head), self.now()));
        assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
    }

    pub fn verifier(&self, kind: CredentialKind) -> Arc<dyn Verifier> {
        Arc::clone(self.rooms.authn.verifiers().of(kind).expect("a verifier"))
    }
}

fn scoped() -> NewCredential {
    NewCredential {
        scopes: ScopeSet::parse(["read"]).expect("scopes"),
        ..NewCredential::default()
    }
}

/// A credential as extraction finds it.
pub fn presented(kind: CredentialKind, credential: &str) -> Presented<'_> {
    Presented {
        carrier: match kind {
            CredentialKind::SealedDeviceToken => Carrier::AuthorizationDevice,
            CredentialKind::DeviceToken => Carrier::DeviceToken,
            _ => Carrier::AuthorizationBearer,
        },
        kind,
        credential: credential.as_bytes(),
    }
}

/// External issuers, one per algorithm.
struct Signers {
    rsa: aws_lc_rs::rsa::KeyPair,
    es256: OwnKeys,
    eddsa: OwnKeys,
}

impl Signers {
    fn new() -> Self {
        let own = |algorithm| {
            let material = generate_signing_key(algorithm).expect("a key");
            let key = SigningKey::from_pkcs8("k1".parse().expect("an id"), &material).expect("a key");
            OwnKeys::new(SigningKeys::new(key, Vec::new()))
        };
        Self {
            rsa: aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("an RSA key"),
            es256: own(SigningAlgorithm::Es256),
            eddsa: own(SigningAlgorithm::EdDsa),
        }
    }

    fn settings(&self, folder: &Path) -> Settings {
        let der = self.rsa.public_key().as_der().expect("DER");
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        std::fs::write(folder.join("rs256.pem"), pem).expect("written");
        std::fs::write(folder.join("es256.jwks"), public_jwks(&[&self.es256])).expect("written");
        std::fs::write(folder.join("eddsa.jwks"), public_jwks(&[&self.eddsa])).expect("written");
        let text = format!(
            "version: 1\n\
             data_dir: {folder}/data\n\
             cache: {{ positive_ttl: 1h, max_bytes: 512MiB }}\n\
             upstreams: {{ app: {{ url: \"http://127.0.0.1:9\" }} }}\n\
             credentials:\n\
             \x20 sealed_device_token: {{ key: {sealed} }}\n\
             \x20 api_token: {{ digest: keyed }}\n\
             \x20 jwt:\n\
             \x20   issuers:\n\
             \x20   - {{ name: hs256, issuer: \"{ISSUER}/hs256\", audience: [app], hmac_secret: {hmac} }}\n\
             \x20   - {{ name: rs256, issuer: \"{ISSUER}/rs256\", audience: [app], pem_file: {folder}/rs256.pem }}\n\
             \x20   - {{ name: es256, issuer: \"{ISSUER}/ES256\", audience: [app], jwks_file: {folder}/es256.jwks }}\n\
             \x20   - {{ name: eddsa, issuer: \"{ISSUER}/EdDSA\", audience: [app], jwks_file: {folder}/eddsa.jwks }}\n\
             routes:\n\
             \x20 - {{ name: public, path: /public/, access: public, upstream: app }}\n\
             \x20 - {{ name: admin, path: /admin/, upstream: app, require: {{ any_scopes: [admin] }} }}\n\
             \x20 - {{ name: api, path: /, upstream: app }}\n",
            folder = folder.display(),
            sealed = STANDARD.encode(HMAC_SECRET),
            hmac = STANDARD.encode(HMAC_SECRET),
        );
        match load_text("bench.yaml", &text, &Environment::of([])) {
            Ok(loaded) => loaded.settings,
            Err(problems) => panic!("{problems}"),
        }
    }

    fn claims(issuer: &str) -> serde_json::Value {
        let now = Clock::System.now().wall.as_secs();
        json!({
            "iss": format!("{ISSUER}/{issuer}"), "aud": "app", "sub": "user-4711", "iat": now, "exp": now + 86_400,
            "scope": "read write", "jti": "0198c5a4-7a4e-7d5c-9b8e-2f6a1c3d5e7f", "client_id": "dashboard",
        })
    }

    fn unsigned(algorithm: &str, issuer: &str) -> String {
        let header = json!({"alg": algorithm, "typ": "at+jwt"}).to_string();
        format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(Self::claims(issuer).to_string())
        )
    }

    fn hs256(&self) -> String {
        let text = Self::unsigned("HS256", "hs256");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, HMAC_SECRET);
        let signature = aws_lc_rs::hmac::sign(&key, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn rs256(&self) -> String {
        let text = Self::unsigned("RS256", "rs256");
        let mut signature = vec![0; self.rsa.public_modulus_len()];
        self.rsa
            .sign(
                &aws_lc_rs::signature::RSA_PKCS1_SHA256,
                &aws_lc_rs::rand::SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .expect("signed");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn own(&self, keys: &OwnKeys) -> String {
        let sign = |issuer: &str| {
            let signed = keys.with_current(|key| key.sign("at+jwt", &Self::claims(issuer)));
            signed.expect("signed").expose().to_owned()
        };
        // The header says which algorithm the key is for; the issuer is named after it.
        let algorithm = if std::ptr::eq(keys, &self.es256) {
            "ES256"
        } else {
            "EdDSA"
        };
        sign(algorithm)
    }
}
