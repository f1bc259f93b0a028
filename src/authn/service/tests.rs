#![allow(
    clippy::disallowed_methods,
    reason = "tests join the tasks they spawn themselves"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::audit::UsageSettings;
use crate::authn::material::CredentialRules;
use crate::authn::presented::Carrier;
use crate::authn::testing::identity;
use crate::authn::verifier::Verified;
use crate::authn::verifiers::Verdicts;
use crate::cluster::RevocationSink;
use crate::domain::clock::{ManualClock, UnixMillis};
use crate::domain::identity::CredentialKind;
use crate::domain::ids::CredentialId;
use crate::runtime::slow_pool::{SlowPool, SlowPoolLimits};
use crate::store::{
    Effect, NewRevocation, RevocationRecord, RevocationTarget, Usage, UsageDelta, UsageRecord,
};

mod flood;

/// A verifier whose look-ups can be held and counted. `good…` is good, `panic` panics, anything else
/// is unknown. `slow…` and `good slow…` pay a slow hash on the way.
struct Desk {
    kind: CredentialKind,
    asked: AtomicUsize,
    begun: Notify,
    gate: Semaphore,
    revoked: AtomicUsize,
    pool: SlowPool,
    price: Price,
}

impl Desk {
    fn open(kind: CredentialKind) -> Arc<Self> {
        let desk = Self::closed(kind);
        desk.gate.add_permits(1_000_000);
        desk
    }

    fn closed(kind: CredentialKind) -> Arc<Self> {
        let limits = SlowPoolLimits { workers: 1, queue: 3 };
        Arc::new(Self {
            pool: SlowPool::new(tokio::runtime::Handle::current(), limits),
            price: Price::Cheap,
            kind,
            asked: AtomicUsize::new(0),
            begun: Notify::new(),
            gate: Semaphore::new(0),
            revoked: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn verified(&self) -> Verified {
        Verified {
            identity: identity(self.kind, "c1", "p1", None),
            rules: CredentialRules::default(),
        }
    }
}

#[async_trait]
impl Verifier for Arc<Desk> {
    fn kind(&self) -> CredentialKind {
        self.kind
    }

    fn cached(&self) -> bool {
        self.kind != CredentialKind::SealedDeviceToken
    }

    fn inspect(&self, presented: &Presented<'_>, _: Now) -> Inspection {
        match presented.credential {
            b"malformed" => Inspection::Refused(Rejection::caller(Reason::CredentialMalformed)),
            _ if !self.cached() => Inspection::Verified(Box::new(self.verified())),
            _ => Inspection::LookUp {
                public_id: Some(7),
                price: self.price,
            },
        }
    }

    async fn look_up(
        &self,
        presented: &PresentedOwned,
        toll: &Toll,
        now: Now,
    ) -> Result<Verified, Rejection> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let row_was_good = self.revoked.load(Ordering::SeqCst) == 0;
        self.begun.notify_one();
        self.gate.acquire().await.expect("never closed").forget();
        let credential = presented.credential.expose();
        if credential.starts_with(b"slow") || credential.starts_with(b"good slow") {
            toll.pay(&self.pool, now, || ()).await?;
        }
        match credential {
            b"panic" => panic!("on purpose"),
            c if c.starts_with(b"good") && row_was_good => Ok(self.verified()),
            c if c.starts_with(b"good") => Err(Rejection::caller(Reason::CredentialRevoked)),
            b"store is down" => Err(Rejection::ours(Reason::CannotDecide)),
            c if c.starts_with(b"guess") => Err(Rejection::ours(Reason::Overloaded)),
            _ => Err(Rejection::caller(Reason::CredentialInvalid)),
        }
    }
}

/// Usage that nobody keeps: these tests are not about it.
struct NoUsage;

#[async_trait]
impl Usage for NoUsage {
    async fn add_usage(&self, batch: &[UsageDelta]) -> crate::store::Result<Vec<Option<UsageRecord>>> {
        Ok(vec![None; batch.len()])
    }

    async fn usage(&self, _: &CredentialId) -> crate::store::Result<Option<UsageRecord>> {
        Ok(None)
    }
}

struct Room {
    authn: Arc<Authn>,
    desk: Arc<Desk>,
    clock: ManualClock,
    feed: Arc<FeedState>,
}

fn room(desk: Arc<Desk>, settings: AuthnSettings) -> Room {
    let clock = ManualClock::at(UnixMillis(1_000_000));
    let feed = Arc::new(FeedState::default());
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let authn = Authn::new(
        Arc::new(Verifiers::new([Arc::new(Arc::clone(&desk)) as Arc<dyn Verifier>])),
        CacheDigester::random().expect("randomness"),
        Arc::new(RevocationIndex::new(1000)),
        Arc::clone(&feed),
        UsageRecorder::spawn(
            &UsageSettings::default(),
            Arc::new(NoUsage),
            Arc::clone(&metrics),
            &tasks,
        ),
        settings,
        tasks,
        Clock::Manual(clock.clone()),
        metrics,
    );
    Room {
        authn,
        desk,
        clock,
        feed,
    }
}

fn client(text: &str) -> ClientIp {
    ClientIp::new(text.parse().expect("an address"))
}

impl Room {
    async fn ask(&self, credential: &str, from: &str) -> Result<(), Reason> {
        self.ask_over(Carrier::DeviceToken, credential, from).await
    }

    async fn ask_over(&self, carrier: Carrier, credential: &str, from: &str) -> Result<(), Reason> {
        let presented = Presented {
            carrier,
            kind: self.desk.kind,
            credential: credential.as_bytes(),
        };
        let (from, now) = (client(from), self.clock.now());
        let answer = match self.authn.recall(&self.authn.verifiers(), &presented, from, now) {
            Recall::Decided(answer) => answer,
            Recall::Ask(question) => {
                self.authn
                    .look_up(question, presented.to_owned(), from, now)
                    .await
            }
        };
        answer.map(|_| ()).map_err(|r| r.reason)
    }

    fn revoke(&self, seq: u64) {
        self.desk.revoked.store(1, Ordering::SeqCst);
        self.authn.revocations().apply(&RevocationRecord {
            seq,
            revocation: NewRevocation {
                effect: Effect::Ends,
                target: RevocationTarget::Credential(CredentialId::parse("c1").expect("an id")),
                cut_at: self.clock.now().wall,
                until: None,
            },
            created_at: self.clock.now().wall,
        });
    }
}

const HERE: &str = "192.0.2.1";

#[tokio::test]
async fn a_good_verdict_is_looked_up_once_and_again_after_its_time() {
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    for _ in 0..5 {
        assert_eq!(r.ask("good", HERE).await, Ok(()));
    }
    assert_eq!(r.desk.asked(), 1);
    r.clock.advance(Duration::from_secs(301));
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    assert_eq!(r.desk.asked(), 2);
}

#[tokio::test]
async fn the_wall_clock_set_back_does_not_prolong_a_verdict() {
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    r.clock.advance(Duration::from_secs(301));
    r.clock.set_wall(UnixMillis(0));
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    assert_eq!(r.desk.asked(), 2);
}

#[tokio::test]
async fn a_malformed_credential_causes_no_look_up() {
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    assert_eq!(r.ask("malformed", HERE).await, Err(Reason::CredentialMalformed));
    assert_eq!(r.desk.asked(), 0);
}

#[tokio::test]
async fn fifty_requests_with_one_credential_cause_one_look_up() {
    let r = Arc::new(room(
        Desk::closed(CredentialKind::DeviceToken),
        AuthnSettings::default(),
    ));
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let r = Arc::clone(&r);
        asked.spawn(async move { r.ask("good", HERE).await });
    }
    r.desk.begun.notified().await;
    r.desk.gate.add_permits(1);
    while let Some(answer) = asked.join_next().await {
        assert_eq!(answer.expect("no panic"), Ok(()));
    }
    assert_eq!(r.desk.asked(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_nothing_from_those_who_wait() {
    let r = Arc::new(room(
        Desk::closed(CredentialKind::DeviceToken),
        AuthnSettings::default(),
    ));
    let first = {
        let r = Arc::clone(&r);
        tokio::task::spawn(async move { r.ask("good", HERE).await })
    };
    r.desk.begun.notified().await;
    let second = {
        let r = Arc::clone(&r);
        tokio::task::spawn(async move { r.ask("good", HERE).await })
    };
    first.abort();
    assert!(first.await.is_err_and(|e| e.is_cancelled()));
    r.desk.gate.add_permits(1);
    assert_eq!(second.await.expect("no panic"), Ok(()));
    assert_eq!(r.desk.asked(), 1);
}

#[tokio::test]
async fn a_refusal_is_repeated_for_two_seconds_and_void_after_a_creation() {
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    assert_eq!(r.ask("bad", HERE).await, Err(Reason::CredentialInvalid));
    assert_eq!(r.ask("bad", HERE).await, Err(Reason::CredentialInvalid));
    assert_eq!(r.desk.asked(), 1);
    r.authn.cache().credential_created();
    assert_eq!(r.ask("bad", HERE).await, Err(Reason::CredentialInvalid));
    assert_eq!(r.desk.asked(), 2);
    r.clock.advance(Duration::from_millis(2001));
    assert_eq!(r.ask("bad", HERE).await, Err(Reason::CredentialInvalid));
    assert_eq!(r.desk.asked(), 3);
}

#[tokio::test]
async fn our_own_faults_are_never_remembered() {
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    for n in 1..=3 {
        assert_eq!(r.ask("store is down", HERE).await, Err(Reason::CannotDecide));
        assert_eq!(r.desk.asked(), n);
    }
}

#[tokio::test]
async fn a_revoked_credential_is_refused_at_once() {
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    r.revoke(1);
    assert_eq!(r.ask("good", HERE).await, Err(Reason::CredentialRevoked));
}

#[tokio::test]
async fn a_revocation_during_a_look_up_is_not_overtaken_by_its_verdict() {
    let r = Arc::new(room(
        Desk::closed(CredentialKind::DeviceToken),
        AuthnSettings::default(),
    ));
    let asking = {
        let r = Arc::clone(&r);
        tokio::task::spawn(async move { r.ask("good", HERE).await })
    };
    // The look-up has read a good row and is held there while the revocation takes effect.
    r.desk.begun.notified().await;
    r.revoke(1);
    r.desk.gate.add_permits(1000);
    assert_eq!(asking.await.expect("no panic"), Err(Reason::CredentialRevoked));
    assert_eq!(r.ask("good", HERE).await, Err(Reason::CredentialRevoked));
}

#[tokio::test]
async fn a_stateless_token_is_refused_once_revoked() {
    let r = room(
        Desk::open(CredentialKind::SealedDeviceToken),
        AuthnSettings::default(),
    );
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    r.revoke(1);
    assert_eq!(r.ask("good", HERE).await, Err(Reason::CredentialRevoked));
    assert_eq!(r.desk.asked(), 0, "never looked up");
}

#[tokio::test]
async fn a_cached_verdict_expires_with_its_credential() {
    struct Short;
    #[async_trait]
    impl Verifier for Short {
        fn kind(&self) -> CredentialKind {
            CredentialKind::DeviceToken
        }
        fn inspect(&self, _: &Presented<'_>, _: Now) -> Inspection {
            Inspection::LookUp {
                public_id: None,
                price: Price::Cheap,
            }
        }
        async fn look_up(&self, _: &PresentedOwned, _: &Toll, now: Now) -> Result<Verified, Rejection> {
            let mut identity = identity(CredentialKind::DeviceToken, "c1", "p1", None);
            identity.expires_at = Some(now.wall.plus(Duration::from_secs(10)));
            Ok(Verified {
                identity,
                rules: CredentialRules::default(),
            })
        }
    }
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    r.verify_by([Arc::new(Short) as _]);
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    r.clock.advance(Duration::from_millis(9999));
    assert_eq!(r.ask("good", HERE).await, Ok(()), "valid to its last instant");
    r.clock.advance(Duration::from_millis(1));
    assert_eq!(r.ask("good", HERE).await, Err(Reason::CredentialExpired));
}

fn throttled(throttle: ThrottleSettings, desk: Arc<Desk>) -> Room {
    let settings = AuthnSettings {
        throttle,
        ..AuthnSettings::default()
    };
    room(desk, settings)
}

#[tokio::test]
async fn the_throttle_stops_strangers_but_never_who_was_good_before() {
    let throttle = ThrottleSettings {
        per_address: 3,
        ..ThrottleSettings::default()
    };
    let r = throttled(throttle, Desk::open(CredentialKind::DeviceToken));
    assert_eq!(r.ask("good slow", HERE).await, Ok(()));
    for i in 0..3 {
        assert_eq!(
            r.ask(&format!("slow{i}"), HERE).await,
            Err(Reason::CredentialInvalid)
        );
    }
    assert_eq!(r.ask("slow9", HERE).await, Err(Reason::TooManyFailures));
    assert_eq!(
        r.ask("good slow new", HERE).await,
        Err(Reason::TooManyFailures),
        "no slow hash is paid to find out"
    );
    assert_eq!(
        r.ask("slow9", "192.0.2.2").await,
        Err(Reason::CredentialInvalid),
        "another address is free"
    );
    assert_eq!(
        r.ask("good new", HERE).await,
        Ok(()),
        "a new one that costs no slow hash"
    );
    assert_eq!(r.ask("good slow", HERE).await, Ok(()), "cached");
    r.revoke_nothing();
    assert_eq!(
        r.ask("good slow", HERE).await,
        Ok(()),
        "looked up again, past the throttle"
    );
    r.clock.advance(Duration::from_secs(61));
    assert_eq!(r.ask("good slow new", HERE).await, Ok(()), "the window is over");
}

#[tokio::test]
async fn whoever_knows_a_public_id_cannot_lock_out_its_owner_without_slow_hashes() {
    let throttle = ThrottleSettings {
        per_public_id: 2,
        ..ThrottleSettings::default()
    };
    let r = throttled(throttle, Desk::open(CredentialKind::ApiToken));
    for i in 0..10 {
        assert_eq!(
            r.ask(&format!("bad{i}"), HERE).await,
            Err(Reason::CredentialInvalid)
        );
    }
    assert_eq!(r.ask("good", "192.0.2.2").await, Ok(()));
    for i in 0..2 {
        let guess = r.ask(&format!("slow{i}"), HERE).await;
        assert_eq!(guess, Err(Reason::CredentialInvalid));
    }
    assert_eq!(
        r.ask("slow9", "192.0.2.3").await,
        Err(Reason::TooManyFailures),
        "slow guesses are counted wherever they come from"
    );
    assert_eq!(r.ask("good new", "192.0.2.2").await, Ok(()));
}

#[tokio::test]
async fn a_flood_of_failing_look_ups_is_refused_without_looking() {
    let throttle = ThrottleSettings {
        look_ups_per_address: 5,
        ..ThrottleSettings::default()
    };
    let r = throttled(throttle, Desk::open(CredentialKind::DeviceToken));
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    for _ in 0..10 {
        let ours = r.ask("store is down", HERE).await;
        assert_eq!(ours, Err(Reason::CannotDecide), "nobody's failure");
    }
    for i in 0..5 {
        let failed = r.ask(&format!("bad{i}"), HERE).await;
        assert_eq!(failed, Err(Reason::CredentialInvalid));
    }
    let asked = r.desk.asked();
    assert_eq!(r.ask("bad9", HERE).await, Err(Reason::TooManyFailures));
    assert_eq!(r.desk.asked(), asked, "refused without a look-up");
    assert_eq!(r.ask("good", HERE).await, Ok(()), "cached");
    assert_eq!(r.ask("good new", "192.0.2.2").await, Ok(()), "another address");
}

#[tokio::test]
async fn who_goes_on_after_a_refused_slow_hash_spends_look_ups() {
    let throttle = ThrottleSettings {
        per_address: 1,
        look_ups_per_address: 3,
        ..ThrottleSettings::default()
    };
    let r = throttled(throttle, Desk::open(CredentialKind::DeviceToken));
    assert_eq!(r.ask("slow0", HERE).await, Err(Reason::CredentialInvalid));
    for i in 1..3 {
        assert_eq!(
            r.ask(&format!("slow{i}"), HERE).await,
            Err(Reason::TooManyFailures)
        );
    }
    let asked = r.desk.asked();
    assert_eq!(r.ask("slow4", HERE).await, Err(Reason::TooManyFailures));
    assert_eq!(r.desk.asked(), asked, "refused without a look-up");
}

#[tokio::test]
async fn a_kind_that_always_pays_is_refused_before_a_look_up_begins() {
    let throttle = ThrottleSettings {
        per_address: 1,
        ..ThrottleSettings::default()
    };
    let mut desk = Desk::open(CredentialKind::Basic);
    Arc::get_mut(&mut desk).expect("not shared yet").price = Price::SlowHash;
    let r = throttled(throttle, desk);
    assert_eq!(r.ask("slow1", HERE).await, Err(Reason::CredentialInvalid));
    assert_eq!(r.ask("slow2", HERE).await, Err(Reason::TooManyFailures));
    assert_eq!(r.desk.asked(), 1);
}

#[tokio::test]
async fn only_what_was_paid_and_did_not_fit_counts_as_a_failed_slow_hash() {
    let throttle = ThrottleSettings {
        per_address: 1,
        ..ThrottleSettings::default()
    };
    let r = throttled(throttle, Desk::open(CredentialKind::DeviceToken));
    for i in 0..3 {
        let full = r.ask(&format!("guess {i}"), HERE).await;
        assert_eq!(full, Err(Reason::Overloaded), "a full pool is nobody's failure");
        assert_eq!(r.ask("store is down", HERE).await, Err(Reason::CannotDecide));
    }
    assert_eq!(r.ask("good slow", HERE).await, Ok(()), "nor is a good one");
    assert_eq!(r.ask("slow", HERE).await, Err(Reason::CredentialInvalid));
    assert_eq!(r.ask("slow again", HERE).await, Err(Reason::TooManyFailures));
}

#[tokio::test]
async fn a_bad_neighbors_refusal_is_not_handed_to_who_waits_from_elsewhere() {
    let throttle = ThrottleSettings {
        per_address: 1,
        ..ThrottleSettings::default()
    };
    let desk = Desk::closed(CredentialKind::DeviceToken);
    desk.gate.add_permits(1);
    let r = Arc::new(throttled(throttle, desk));
    assert_eq!(r.ask("slow", HERE).await, Err(Reason::CredentialInvalid));
    r.desk.begun.notified().await;
    let ask = |from: &'static str| {
        let r = Arc::clone(&r);
        tokio::task::spawn(async move { r.ask("good slow", from).await })
    };
    let throttled = ask(HERE);
    r.desk.begun.notified().await;
    let elsewhere = ask("192.0.2.2");
    // On this one thread it runs until it waits for the look-up that has begun.
    tokio::task::yield_now().await;
    assert_eq!(r.authn.flights.len(), 1);
    r.desk.gate.add_permits(1000);
    assert_eq!(throttled.await.expect("no panic"), Err(Reason::TooManyFailures));
    assert_eq!(elsewhere.await.expect("no panic"), Ok(()));
}

impl Room {
    /// As if a reload had made these of the configuration: nothing found by others counts.
    pub(super) fn verify_by(&self, verifiers: impl IntoIterator<Item = Arc<dyn Verifier>>) {
        let verifiers = verifiers.into_iter().map(|v| (v, Verdicts::Void));
        let next = self.authn.verifiers().succeeded_by(verifiers);
        self.authn.replace_verifiers(Arc::new(next));
    }

    fn revoke_nothing(&self) {
        self.authn.revocations().void_all();
    }
}

#[tokio::test]
async fn verdicts_are_not_shared_across_carriers_or_verifier_generations() {
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    assert_eq!(r.ask_over(Carrier::DeviceToken, "good", HERE).await, Ok(()));
    assert_eq!(r.ask_over(Carrier::Token, "good", HERE).await, Ok(()));
    assert_eq!(r.desk.asked(), 2);
    let desk = || Arc::new(Arc::clone(&r.desk)) as Arc<dyn Verifier>;
    let kept = r.authn.verifiers().succeeded_by([(desk(), Verdicts::Kept)]);
    r.authn.replace_verifiers(Arc::new(kept));
    assert_eq!(r.ask_over(Carrier::Token, "good", HERE).await, Ok(()));
    assert_eq!(r.desk.asked(), 2, "a verifier that would say the same");
    r.verify_by([desk()]);
    assert_eq!(r.ask_over(Carrier::Token, "good", HERE).await, Ok(()));
    assert_eq!(r.desk.asked(), 3, "one that may not");
}

#[tokio::test]
async fn a_look_up_of_the_verifier_before_leaves_no_verdict_to_the_next_one() {
    let r = Arc::new(room(
        Desk::closed(CredentialKind::DeviceToken),
        AuthnSettings::default(),
    ));
    let asking = Arc::clone(&r);
    let before = tokio::spawn(async move { asking.ask("good", HERE).await });
    r.desk.begun.notified().await;
    let strict = Desk::open(CredentialKind::DeviceToken);
    r.verify_by([Arc::new(Arc::clone(&strict)) as _]);
    // Only now does the one before find it good, for the request that it was asked by.
    r.desk.gate.add_permits(1);
    assert_eq!(before.await.expect("no panic"), Ok(()));
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    assert_eq!(strict.asked(), 1, "the next one was asked, and not the cache");
}

#[tokio::test]
async fn what_was_good_passes_the_throttle_when_a_reload_lets_it_be_looked_up_anew() {
    let mut settings = AuthnSettings::default();
    settings.throttle.look_ups_per_address = 3;
    let r = room(Desk::open(CredentialKind::DeviceToken), settings);
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    for n in 0..4 {
        let _ = r.ask(&format!("bad{n}"), HERE).await;
    }
    assert_eq!(
        r.ask("good2", HERE).await,
        Err(Reason::TooManyFailures),
        "a stranger of this address"
    );
    r.verify_by([Arc::new(Arc::clone(&r.desk)) as _]);
    assert_eq!(r.ask("good", HERE).await, Ok(()), "an acquaintance");
}

#[tokio::test]
async fn too_many_look_ups_at_once_are_refused_and_a_cached_credential_passes_beside_them() {
    let settings = AuthnSettings {
        max_flights: 2,
        ..AuthnSettings::default()
    };
    let r = Arc::new(room(Desk::closed(CredentialKind::DeviceToken), settings));
    r.desk.gate.add_permits(1);
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    r.desk.begun.notified().await;
    let mut held = tokio::task::JoinSet::new();
    for name in ["good1", "good2"] {
        let r = Arc::clone(&r);
        held.spawn(async move { r.ask(name, HERE).await });
    }
    while r.desk.asked() < 3 {
        r.desk.begun.notified().await;
    }
    assert_eq!(r.ask("good3", HERE).await, Err(Reason::Overloaded));
    assert_eq!(
        r.ask("good", HERE).await,
        Ok(()),
        "the cache answers while every look-up is stuck"
    );
    r.desk.gate.add_permits(2);
    while let Some(answer) = held.join_next().await {
        assert_eq!(answer.expect("no panic"), Ok(()));
    }
}

#[tokio::test]
async fn a_panic_in_a_look_up_is_answered_and_leaves_nothing_behind() {
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    assert_eq!(r.ask("panic", HERE).await, Err(Reason::InternalError));
    assert_eq!(r.authn.flights.len(), 0);
    assert_eq!(r.ask("good", HERE).await, Ok(()));
}

#[tokio::test]
async fn a_silent_feed_makes_memory_unbelievable_but_not_the_store() {
    let settings = AuthnSettings {
        max_staleness: Some(Duration::from_secs(10)),
        ..AuthnSettings::default()
    };
    let r = room(Desk::open(CredentialKind::DeviceToken), settings.clone());
    r.feed.set_read_at(r.clock.now().mono);
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    r.clock.advance(Duration::from_secs(11));
    assert_eq!(r.ask("good", HERE).await, Ok(()), "asked the store again");
    assert_eq!(r.desk.asked(), 2);
    assert_eq!(r.ask("store is down", HERE).await, Err(Reason::CannotDecide));

    let stateless = room(Desk::open(CredentialKind::SealedDeviceToken), settings);
    stateless.clock.advance(Duration::from_secs(3600));
    assert_eq!(
        stateless.ask("good", HERE).await,
        Err(Reason::CannotDecide),
        "no store can vouch for it"
    );
}

#[tokio::test]
async fn the_caches_keep_their_bounds() {
    let cache = CacheSettings {
        max_bytes: 64 * 1024,
        negative_max_entries: 100,
        ..CacheSettings::default()
    };
    let throttle = ThrottleSettings {
        look_ups_per_address: u32::MAX,
        ..ThrottleSettings::default()
    };
    let r = room(
        Desk::open(CredentialKind::DeviceToken),
        AuthnSettings {
            cache,
            throttle,
            ..AuthnSettings::default()
        },
    );
    for i in 0..1000 {
        assert_eq!(r.ask(&format!("good{i}"), HERE).await, Ok(()));
        assert_eq!(
            r.ask(&format!("bad{i}"), HERE).await,
            Err(Reason::CredentialInvalid)
        );
    }
    assert!(r.authn.cache().weight_bytes() <= 64 * 1024);
    assert!(r.authn.cache().negative_entries() <= 100);
}

#[tokio::test]
async fn a_look_up_beyond_its_deadline_is_our_fault() {
    let settings = AuthnSettings {
        look_up_deadline: Duration::from_millis(1),
        ..AuthnSettings::default()
    };
    let r = room(Desk::closed(CredentialKind::DeviceToken), settings);
    let patience = Duration::from_secs(20);
    let answer = tokio::time::timeout(patience, r.ask("good", HERE)).await;
    assert_eq!(answer, Ok(Err(Reason::CannotDecide)));
    // The look-up goes on: whoever asks again joins it, or finds what it found.
    r.desk.gate.add_permits(1);
    while r.authn.flights.len() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    assert_eq!(r.desk.asked(), 1);
}

#[tokio::test]
async fn revocations_that_keep_coming_end_in_a_refusal_and_not_in_a_pass() {
    /// Somebody rotates keys during each of its look-ups.
    struct Restless(Arc<RevocationIndex>, Arc<AtomicUsize>);
    #[async_trait]
    impl Verifier for Restless {
        fn kind(&self) -> CredentialKind {
            CredentialKind::DeviceToken
        }
        fn inspect(&self, _: &Presented<'_>, _: Now) -> Inspection {
            Inspection::LookUp {
                public_id: None,
                price: Price::Cheap,
            }
        }
        async fn look_up(&self, _: &PresentedOwned, _: &Toll, _: Now) -> Result<Verified, Rejection> {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.void_all();
            Ok(Verified {
                identity: identity(CredentialKind::DeviceToken, "c1", "p1", None),
                rules: CredentialRules::default(),
            })
        }
    }
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    let asked = Arc::new(AtomicUsize::new(0));
    let restless = Restless(Arc::clone(r.authn.revocations()), Arc::clone(&asked));
    r.verify_by([Arc::new(restless) as _]);
    assert_eq!(r.ask("good", HERE).await, Err(Reason::CannotDecide));
    assert_eq!(asked.load(Ordering::SeqCst), MAX_LOOK_UPS);
}

#[tokio::test]
async fn on_a_silent_feed_no_look_up_vouches_for_what_only_the_feed_can_revoke() {
    let settings = AuthnSettings {
        max_staleness: Some(Duration::from_secs(10)),
        ..AuthnSettings::default()
    };
    let r = room(Desk::open(CredentialKind::Jwt), settings);
    r.feed.set_read_at(r.clock.now().mono);
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    r.clock.advance(Duration::from_secs(11));
    assert_eq!(r.ask("good", HERE).await, Err(Reason::CannotDecide), "remembered");
    assert_eq!(r.ask("good, unknown", HERE).await, Err(Reason::CannotDecide));
    r.feed.set_read_at(r.clock.now().mono);
    assert_eq!(r.ask("good", HERE).await, Ok(()), "the feed speaks again");
}

#[tokio::test]
async fn a_wall_clock_that_jumps_moves_no_lifetime() {
    const HOUR: i64 = 3_600_000;
    let throttle = ThrottleSettings {
        look_ups_per_address: 2,
        ..ThrottleSettings::default()
    };
    let settings = AuthnSettings {
        throttle,
        ..AuthnSettings::default()
    };
    let r = room(Desk::open(CredentialKind::DeviceToken), settings);
    let start = r.clock.now().wall;
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    assert_eq!(r.ask("bad", HERE).await, Err(Reason::CredentialInvalid));
    for jump in [HOUR, -HOUR] {
        r.clock.set_wall(UnixMillis(start.0 + jump));
        assert_eq!(r.ask("good", HERE).await, Ok(()), "{jump}");
        assert_eq!(r.ask("bad", HERE).await, Err(Reason::CredentialInvalid), "{jump}");
        assert_eq!(
            r.desk.asked(),
            2,
            "{jump}: both verdicts are remembered as before"
        );
    }
    assert_eq!(r.ask("worse", HERE).await, Err(Reason::CredentialInvalid));
    for jump in [HOUR, -HOUR] {
        r.clock.set_wall(UnixMillis(start.0 + jump));
        assert_eq!(r.ask("worst", HERE).await, Err(Reason::TooManyFailures), "{jump}");
    }
    r.clock.advance(Duration::from_secs(301));
    r.clock.set_wall(start);
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    assert_eq!(r.ask("worst", HERE).await, Err(Reason::CredentialInvalid));
    assert_eq!(r.desk.asked(), 5, "time went on where no clock shows it");
}

#[tokio::test]
async fn a_wall_clock_that_jumps_ends_and_revives_credentials_by_their_own_times() {
    /// Good until an instant, as its row would say.
    struct Dated(UnixMillis);
    #[async_trait]
    impl Verifier for Dated {
        fn kind(&self) -> CredentialKind {
            CredentialKind::DeviceToken
        }
        fn inspect(&self, _: &Presented<'_>, _: Now) -> Inspection {
            Inspection::LookUp {
                public_id: None,
                price: Price::Cheap,
            }
        }
        async fn look_up(&self, _: &PresentedOwned, _: &Toll, now: Now) -> Result<Verified, Rejection> {
            if now.wall >= self.0 {
                return Err(Rejection::caller(Reason::CredentialExpired));
            }
            let mut identity = identity(CredentialKind::DeviceToken, "c1", "p1", None);
            identity.expires_at = Some(self.0);
            Ok(Verified {
                identity,
                rules: CredentialRules::default(),
            })
        }
    }
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    let start = r.clock.now().wall;
    let end = start.plus(Duration::from_secs(60));
    r.verify_by([Arc::new(Dated(end)) as _]);
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    r.clock.set_wall(start.plus(Duration::from_secs(3600)));
    for why in ["remembered", "looked up", "refused a moment ago"] {
        let answer = r.ask("good", HERE).await;
        assert_eq!(answer, Err(Reason::CredentialExpired), "an hour on, {why}");
    }
    r.clock.set_wall(start);
    r.clock.advance(Duration::from_secs(3));
    assert_eq!(r.ask("good", HERE).await, Ok(()), "set right again");
}

#[tokio::test]
async fn a_jwt_is_refused_once_revoked_remembered_or_not() {
    let r = room(Desk::open(CredentialKind::Jwt), AuthnSettings::default());
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    r.revoke(1);
    r.desk.revoked.store(0, Ordering::SeqCst);
    assert_eq!(r.ask("good", HERE).await, Err(Reason::CredentialRevoked));
    assert_eq!(r.desk.asked(), 1, "by memory alone");
    // The same token, spelled otherwise: no row says that it is revoked.
    assert_eq!(r.ask("good again", HERE).await, Err(Reason::CredentialRevoked));
    assert_eq!(r.desk.asked(), 2, "looked up");
}

#[tokio::test]
async fn a_refusal_that_a_creation_overtook_is_not_remembered() {
    let r = Arc::new(room(
        Desk::closed(CredentialKind::DeviceToken),
        AuthnSettings::default(),
    ));
    let asking = {
        let r = Arc::clone(&r);
        tokio::task::spawn(async move { r.ask("bad", HERE).await })
    };
    // The look-up has found no row and is held there while the row is made.
    r.desk.begun.notified().await;
    r.authn.cache().credential_created();
    r.desk.gate.add_permits(2);
    assert_eq!(asking.await.expect("no panic"), Err(Reason::CredentialInvalid));
    assert_eq!(r.ask("bad", HERE).await, Err(Reason::CredentialInvalid));
    assert_eq!(r.desk.asked(), 2, "looked up again");
}

#[tokio::test]
async fn verdicts_are_not_shared_across_kinds_and_a_kind_nobody_verifies_is_refused() {
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    let other = Desk::open(CredentialKind::ApiToken);
    r.verify_by([
        Arc::new(Arc::clone(&r.desk)) as _,
        Arc::new(Arc::clone(&other)) as _,
    ]);
    assert_eq!(r.ask("good", HERE).await, Ok(()));
    let mut presented = Presented {
        carrier: Carrier::DeviceToken,
        kind: CredentialKind::ApiToken,
        credential: b"good",
    };
    let now = r.clock.now();
    let recall = r
        .authn
        .recall(&r.authn.verifiers(), &presented, client(HERE), now);
    assert!(matches!(recall, Recall::Ask(_)), "{recall:?}");
    presented.kind = CredentialKind::Basic;
    let recall = r
        .authn
        .recall(&r.authn.verifiers(), &presented, client(HERE), now);
    let Recall::Decided(Err(rejection)) = recall else {
        panic!("nobody can verify it: {recall:?}")
    };
    assert_eq!(rejection, Rejection::caller(Reason::KindNotAccepted));
}
