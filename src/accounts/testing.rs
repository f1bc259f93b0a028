//! The use cases on a real store in a folder of their own, for unit tests of this room and of its door.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use tokio::runtime::Handle;

use super::{Accounts, Actor, Administrators, Issuers, KeyVault, Kinds, Parts};
use crate::audit::{UsageRecorder, UsageSettings};
use crate::authn::kinds::jwt::{
    AccessTokenIssuer, DEFAULT_LEEWAY, Issuer, JwtSettings, JwtVerifier, KeySource, Profile, Waived,
};
use crate::authn::kinds::{api_token, basic, device_token, sealed_device_token};
use crate::authn::presented::{Carrier, Presented};
use crate::authn::revocation::RevocationIndex;
use crate::authn::{Authenticated, Authn, AuthnSettings, Recall, Rejection, Verifier, Verifiers};
use crate::cluster::Follower;
use crate::crypto::{BcryptCost, CacheDigester, CompatibleCipher, random};
use crate::domain::clock::{Clock, ManualClock, UnixMillis};
use crate::domain::identity::CredentialKind;
use crate::domain::net::ClientIp;
use crate::domain::secret::SecretText;
use crate::runtime::slow_pool::{SlowPool, SlowPoolLimits};
use crate::runtime::tasks::Tasks;
use crate::store::Store;
use crate::store::sqlite::{OpenAs, SqliteStore};
use crate::telemetry::Metrics;

/// The instant at which tests begin.
pub const START: UnixMillis = UnixMillis(1_800_000_000_000);

/// What the HomeChat of the tests added to its tokens.
pub const PEPPER: &str = "homechat-pepper-2026";

/// A data folder, which several instances may use.
pub struct Folder(TempDir);

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

/// One process's use cases and its verifying side.
pub struct Instance {
    /// The use cases.
    pub accounts: Arc<Accounts>,
    /// Who verifies what they made.
    pub authn: Arc<Authn>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: ManualClock,
    /// How often creations were announced.
    pub created: Arc<AtomicU64>,
    /// What follows revocations of other processes.
    pub follower: Follower,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Instance {
    /// An instance on this folder.
    pub async fn on(folder: &Folder, access: OpenAs) -> Self {
        let data_dir = folder.path();
        super::data_folder::prepare(&data_dir).expect("a folder");
        let store: Arc<dyn Store> = SqliteStore::open(&data_dir.join("doorward.db"), access)
            .await
            .expect("a store");
        let (vault, _) = KeyVault::open(Arc::clone(&store), &data_dir, START)
            .await
            .expect("keys");
        let manual = ManualClock::at(START);
        let clock = Clock::Manual(manual.clone());
        let tasks = Tasks::on(Handle::current());
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let slow_pool = SlowPool::new(
            Handle::current(),
            SlowPoolLimits {
                workers: 1,
                queue: 64,
            },
        );
        let handles = vault.handles().clone();

        let sealed = Arc::new(sealed_device_token::Settings::new(
            Some(CompatibleCipher::new(&random::key().expect("a key"))),
            handles.device_token.clone(),
        ));
        let api = api_token::Settings {
            prefixes: ["dw", "hc", "tb"]
                .map(|p| api_token::Prefix::parse(p).expect("a prefix"))
                .to_vec(),
            hex: api_token::HexTokens::Accepted,
            digest: api_token::DigestMode::BcryptAndKeyed,
            bcrypt_cost: BcryptCost::MIN,
            pepper: Some(SecretText::new(PEPPER.to_owned())),
        };
        let passwords = basic::Settings {
            bcrypt_cost: BcryptCost::MIN,
            ..basic::Settings::default()
        };
        let own = Issuer {
            name: "own".into(),
            issuer: Some("https://auth.example.com".to_owned()),
            audiences: vec!["api".to_owned()],
            keys: KeySource::Own(handles.jwt.clone()),
            algorithms: None,
            leeway: DEFAULT_LEEWAY,
            waived: Waived::default(),
            profile: Profile::Own,
            subject_prefix: "".into(),
        };
        let access_token = AccessTokenIssuer::new(&own);
        let jwt = JwtVerifier::start(&JwtSettings { issuers: vec![own] }, &clock, &tasks, &metrics)
            .expect("an issuer");
        let verifiers: Vec<Arc<dyn Verifier>> = vec![
            Arc::new(sealed_device_token::SealedDeviceTokens::new(Arc::clone(&sealed))),
            Arc::new(jwt),
            Arc::new(api_token::ApiTokens::new(
                Arc::new(api.clone()),
                store.clone(),
                handles.lookup.clone(),
                slow_pool.clone(),
            )),
            Arc::new(device_token::DeviceTokens::new(
                store.clone(),
                handles.lookup.clone(),
            )),
            Arc::new(
                basic::BasicPasswords::new(&passwords, store.clone(), slow_pool.clone()).expect("a decoy"),
            ),
        ];
        let revocations = Arc::new(RevocationIndex::new(10_000));
        let follower = Follower::new(store.clone(), Arc::clone(&revocations) as _, clock.clone());
        let authn = Authn::new(
            Arc::new(Verifiers::new(verifiers)),
            CacheDigester::random().expect("randomness"),
            Arc::clone(&revocations),
            Arc::clone(follower.state()),
            UsageRecorder::spawn(
                &UsageSettings::default(),
                store.clone(),
                Arc::clone(&metrics),
                &tasks,
            ),
            AuthnSettings::default(),
            tasks,
            clock.clone(),
            Arc::clone(&metrics),
        );
        let created = Arc::new(AtomicU64::new(0));
        let (counter, cache) = (Arc::clone(&created), Arc::clone(&authn));
        let kinds = Kinds {
            issuers: Issuers {
                sealed_device_token: sealed,
                device_token: device_token::IssueForm::default(),
                api_token: api,
                basic: passwords,
                access_token,
            },
            verifiers: authn.verifiers(),
        };
        let parts = Parts {
            store: store.clone(),
            vault,
            revocations,
            feed: Arc::clone(follower.state()),
            created: Arc::new(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                cache.cache().credential_created();
            }),
            slow_pool,
            metrics: Arc::clone(&metrics),
            clock,
        };
        let accounts = Arc::new(Accounts::new(parts, kinds));
        Self {
            accounts,
            authn,
            store,
            clock: manual,
            created,
            follower,
            metrics,
        }
    }

    /// Presents a credential as a client on this machine would.
    pub async fn present(&self, kind: CredentialKind, text: &str) -> Result<Authenticated, Rejection> {
        let carrier = match kind {
            CredentialKind::SealedDeviceToken => Carrier::AuthorizationDevice,
            CredentialKind::DeviceToken => Carrier::DeviceToken,
            CredentialKind::ApiToken | CredentialKind::Jwt => Carrier::AuthorizationBearer,
            CredentialKind::Basic => Carrier::AuthorizationBasic,
        };
        let presented = Presented {
            carrier,
            kind,
            credential: text.as_bytes(),
        };
        let (now, from) = (self.clock.now(), client());
        match self.authn.recall(&self.authn.verifiers(), &presented, from, now) {
            Recall::Decided(answer) => answer,
            Recall::Ask(question) => {
                let presented = presented.to_owned();
                self.authn.look_up(question, presented, from, now).await
            }
        }
    }

    /// Who may use the door over TCP.
    pub fn administrators(&self) -> Arc<Administrators> {
        let clock = Clock::Manual(self.clock.clone());
        Arc::new(Administrators::new(Arc::clone(&self.authn), clock))
    }
}

/// A client on this machine.
pub fn client() -> ClientIp {
    ClientIp::new("127.0.0.1".parse().expect("an address"))
}

/// Who acts in tests.
pub fn actor() -> Actor {
    Actor::local(1000)
}
