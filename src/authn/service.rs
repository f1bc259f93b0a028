//! From a presented credential to a proof: cache, throttle, single flight, verifier, revocation.
//!
//! `recall` answers from memory, on the data thread, without waiting: a cache hit, a recent refusal, a
//! stateless token. Only what it cannot answer goes to `look_up`, which runs on the control runtime.
//! Every answer, old or new, is judged by the revocation index before it is handed out.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::cache::{CacheKey, CacheSettings, Known, VerdictCache};
use super::flights::{Flights, Landing, Outcome, Part};
use super::material::{Authenticated, Material};
use super::presented::{Presented, PresentedOwned};
use super::revocation::{RevocationIndex, Standing, is_stateless};
use super::throttle::{FailedCredentialThrottle, Leave, ThrottleSettings};
use super::toll::{Toll, TollGate};
use super::verifier::{Blame, Inspection, Price, Rejection, Verifier};
use super::verifiers::{Entry, Verifiers};
use crate::audit::{SecurityEvents, UsageRecorder};
use crate::cluster::FeedState;
use crate::crypto::digest::CacheDigester;
use crate::domain::clock::{Clock, Now, Stopwatch};
use crate::domain::net::ClientIp;
use crate::domain::reason::Reason;
use crate::runtime::tasks::Tasks;
use crate::telemetry::labels::Stage;
use crate::telemetry::metrics::Metrics;

/// How often a look-up is begun again because revocations kept coming while it ran.
const MAX_LOOK_UPS: usize = 4;

/// Bounds of this room.
#[derive(Debug, Clone)]
pub struct AuthnSettings {
    /// The verdict cache.
    pub cache: CacheSettings,
    /// The failed-credential throttle.
    pub throttle: ThrottleSettings,
    /// Look-ups under way at once.
    pub max_flights: usize,
    /// How long a request waits for a look-up before it gets `cannot_decide`.
    pub look_up_deadline: Duration,
    /// How long the revocation feed may be silent before memory is not believed; `None`: for ever
    /// (embedded store: when it cannot be read, nothing can be revoked in it either).
    pub max_staleness: Option<Duration>,
}

impl Default for AuthnSettings {
    fn default() -> Self {
        Self {
            cache: CacheSettings::default(),
            throttle: ThrottleSettings::default(),
            max_flights: 4096,
            look_up_deadline: Duration::from_secs(5),
            max_staleness: None,
        }
    }
}

/// Verifies credentials.
pub struct Authn {
    verifiers: ArcSwap<Verifiers>,
    digester: CacheDigester,
    cache: VerdictCache,
    throttle: Arc<FailedCredentialThrottle>,
    flights: Arc<Flights>,
    revocations: Arc<RevocationIndex>,
    feed: Arc<FeedState>,
    usage: UsageRecorder,
    /// Who is told of what look-ups see.
    events: OnceLock<SecurityEvents>,
    settings: AuthnSettings,
    tasks: Tasks,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What memory says.
#[derive(Debug)]
pub enum Recall {
    /// Everything that is needed.
    Decided(Result<Authenticated, Rejection>),
    /// Not enough: ask with `look_up`.
    Ask(Question),
}

/// A look-up to be made, by the verifier that was in force when it was asked for.
pub struct Question {
    verifier: Arc<dyn Verifier>,
    key: CacheKey,
    public_id: Option<u64>,
    standing: Acquaintance,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("kind", &self.verifier.kind())
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}

/// Whether this very credential was good before: then its owner need not pass the throttle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acquaintance {
    Stranger,
    WasGood,
}

/// Who began the look-up that a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leader {
    ThisRequest,
    Another,
}

/// Whether a rejection speaks of the one who began the look-up, and not of the credential.
fn is_about_who_asked(rejection: &Rejection) -> bool {
    matches!(rejection.reason, Reason::TooManyFailures | Reason::Overloaded)
}

impl Authn {
    /// Puts the room together.
    #[expect(
        clippy::too_many_arguments,
        reason = "the composition root names each part once"
    )]
    pub fn new(
        verifiers: Arc<Verifiers>,
        digester: CacheDigester,
        revocations: Arc<RevocationIndex>,
        feed: Arc<FeedState>,
        usage: UsageRecorder,
        settings: AuthnSettings,
        tasks: Tasks,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            verifiers: ArcSwap::new(verifiers),
            digester,
            cache: VerdictCache::new(settings.cache),
            throttle: Arc::new(FailedCredentialThrottle::new(settings.throttle)),
            flights: Flights::new(settings.max_flights),
            revocations,
            feed,
            usage,
            events: OnceLock::new(),
            settings,
            tasks,
            clock,
            metrics,
        })
    }

    /// Tells of what look-ups see from now on.
    pub fn tell(&self, events: SecurityEvents) {
        // A room is put together once, so a second call can only bring the same.
        let _same = self.events.set(events);
    }

    /// The verdict cache, for creations and metrics.
    pub fn cache(&self) -> &VerdictCache {
        &self.cache
    }

    /// The revocation index, for `accounts`.
    pub fn revocations(&self) -> &Arc<RevocationIndex> {
        &self.revocations
    }

    /// The verifiers in force, for whoever has no snapshot that holds them.
    pub fn verifiers(&self) -> Arc<Verifiers> {
        self.verifiers.load_full()
    }

    /// Puts others in force, for whoever has no snapshot that holds them.
    pub fn replace_verifiers(&self, verifiers: Arc<Verifiers>) {
        self.verifiers.store(verifiers);
    }

    /// Answers from memory, or from the bytes alone. Awaits nothing, takes no lock that a look-up holds while it
    /// works. The verifiers are an argument: a request stays with those it began with.
    pub fn recall(
        &self,
        verifiers: &Verifiers,
        presented: &Presented<'_>,
        from: ClientIp,
        now: Now,
    ) -> Recall {
        let Some(entry) = verifiers.entry(presented.kind) else {
            return Recall::Decided(Err(Rejection::caller(Reason::KindNotAccepted)));
        };
        let verifier = &entry.verifier;
        if !verifier.cached() {
            return Recall::Decided(self.decide_stateless(verifier.as_ref(), presented, now));
        }
        let key = self.key(presented, entry.generation);
        let mut standing = Acquaintance::Stranger;
        match self.cache.known(&key, now.mono) {
            Known::Good(material) => {
                if !self.is_stale(now)
                    && let Some(answer) = self.judge(&material, &key, now)
                {
                    self.metrics.cache_hits.inc();
                    return Recall::Decided(answer);
                }
                standing = Acquaintance::WasGood;
            }
            Known::Bad(rejection) => {
                self.metrics.cache_negative_hits.inc();
                return Recall::Decided(Err(rejection));
            }
            Known::Nothing if self.was_good_before(entry, presented, now) => standing = Acquaintance::WasGood,
            Known::Nothing => {}
        }
        self.metrics.cache_misses.inc();
        let (public_id, price) = match verifier.inspect(presented, now) {
            Inspection::Refused(rejection) => return Recall::Decided(Err(rejection)),
            Inspection::LookUp { public_id, price } => (public_id, price),
            Inspection::Verified(_) => return Recall::Decided(Err(Rejection::ours(Reason::InternalError))),
        };
        let question = Question {
            verifier: Arc::clone(verifier),
            key,
            public_id,
            standing,
        };
        match self.leave(&question, price, from, now) {
            Ok(()) => Recall::Ask(question),
            Err(throttled) => Recall::Decided(Err(throttled)),
        }
    }

    /// With the kind: one door may take for a JWT what another asks about as an API token.
    fn key(&self, presented: &Presented<'_>, generation: u32) -> CacheKey {
        let (carrier, kind) = (presented.carrier as u8, presented.kind as u8);
        self.digester
            .digest(carrier, kind, generation, presented.credential)
    }

    /// Whether the verifier before this one found it good. It is looked up all the same; but when a reload lets
    /// all be looked up anew, a bad neighbor must not shut out the good ones.
    fn was_good_before(&self, entry: &Entry, presented: &Presented<'_>, now: Now) -> bool {
        entry.before.is_some_and(|generation| {
            let before = self.cache.known(&self.key(presented, generation), now.mono);
            matches!(before, Known::Good(_))
        })
    }

    /// Whether the throttle lets a look-up begin. One that always pays a slow hash is refused here already,
    /// without a task; others ask when they come to pay one.
    fn leave(&self, question: &Question, price: Price, from: ClientIp, now: Now) -> Result<(), Rejection> {
        let Some(gate) = self.toll_gate(question, from) else {
            return Ok(());
        };
        if let Leave::Refused { by, retry_after_secs } = self.throttle.leave_to_look_up(from, now.mono) {
            self.metrics.throttle_refused.inc(by);
            return Err(Rejection::throttled(retry_after_secs));
        }
        match price {
            Price::Cheap => Ok(()),
            Price::SlowHash => gate.leave(now),
        }
    }

    /// Who is asked before a slow hash is paid: nobody for an acquaintance.
    fn toll_gate(&self, question: &Question, from: ClientIp) -> Option<TollGate> {
        (question.standing == Acquaintance::Stranger).then(|| TollGate {
            throttle: Arc::clone(&self.throttle),
            metrics: Arc::clone(&self.metrics),
            from,
            public_id: question.public_id,
        })
    }

    /// Looks a credential up, together with everyone who asks the same, within the deadline.
    pub async fn look_up(
        self: &Arc<Self>,
        question: Question,
        presented: PresentedOwned,
        from: ClientIp,
        now: Now,
    ) -> Result<Authenticated, Rejection> {
        let watch = Stopwatch::start();
        let answer = self.look_up_unmeasured(question, presented, from, now).await;
        self.metrics
            .decision_duration
            .observe(Stage::LookUp, watch.elapsed());
        answer
    }

    async fn look_up_unmeasured(
        self: &Arc<Self>,
        question: Question,
        presented: PresentedOwned,
        from: ClientIp,
        now: Now,
    ) -> Result<Authenticated, Rejection> {
        for _ in 0..MAX_LOOK_UPS {
            let (mut flight, leader) = match self.flights.join(question.key) {
                Part::Full => return Err(Rejection::ours(Reason::Overloaded)),
                Part::Wait(flight) => (flight, Leader::Another),
                Part::Lead(flight, landing) => {
                    self.begin(&question, presented.clone(), from, landing);
                    (flight, Leader::ThisRequest)
                }
            };
            let waited =
                tokio::time::timeout(self.settings.look_up_deadline, flight.wait_for(Option::is_some));
            let outcome = match waited.await {
                Ok(Ok(outcome)) => outcome.clone(),
                // The look-up panicked; its task said so in the log.
                Ok(Err(_)) => return Err(Rejection::ours(Reason::InternalError)),
                Err(_) => return Err(Rejection::ours(Reason::CannotDecide)),
            };
            let material = match outcome {
                Some(Ok(material)) => material,
                Some(Err(rejection)) if leader == Leader::Another && is_about_who_asked(&rejection) => {
                    continue;
                }
                Some(Err(rejection)) => return Err(rejection),
                None => return Err(Rejection::ours(Reason::InternalError)),
            };
            if is_stateless(presented.kind) && self.is_stale(now) {
                return Err(Rejection::ours(Reason::CannotDecide));
            }
            if let Some(answer) = self.judge(&material, &question.key, now) {
                return answer;
            }
        }
        tracing::warn!("revocations or refusals of others kept coming while a credential was looked up");
        Err(Rejection::ours(Reason::CannotDecide))
    }

    /// Begins a look-up, as a task of its own.
    fn begin(
        self: &Arc<Self>,
        question: &Question,
        presented: PresentedOwned,
        from: ClientIp,
        landing: Landing,
    ) {
        let this = Arc::clone(self);
        let (key, public_id) = (question.key, question.public_id);
        let verifier = Arc::clone(&question.verifier);
        let toll = Toll::of(from, self.toll_gate(question, from), self.events.get().cloned());
        self.tasks.spawn("look-up", async move {
            let outcome = this.verify(key, verifier.as_ref(), &presented, &toll).await;
            if let Err(rejection) = &outcome {
                this.count_failure(rejection, &toll, from, public_id);
            }
            landing.land(outcome);
        });
    }

    /// Counts a look-up that ended badly: by what it cost, and not when it ended by a fault of ours. One that
    /// found no place among the slow hashes is not counted: it cost nothing, and clients that all come back
    /// at once after an outage are not to be shut out for it.
    fn count_failure(&self, rejection: &Rejection, toll: &Toll, from: ClientIp, public_id: Option<u64>) {
        let now = self.clock.now().mono;
        if rejection.blame == Blame::Caller || rejection.reason == Reason::TooManyFailures {
            self.throttle.look_up_failed(from, now);
        }
        if toll.was_paid() {
            self.throttle.hash_failed(from, public_id, now);
        }
    }

    /// One verification, on the control runtime, with its verdict remembered.
    async fn verify(
        &self,
        key: CacheKey,
        verifier: &dyn Verifier,
        presented: &PresentedOwned,
        toll: &Toll,
    ) -> Outcome {
        let now = self.clock.now();
        let creations = self.cache.creations();
        // Before the store is read: whatever is revoked from here on is newer than the verdict.
        let since = self.revocations.epoch();
        let verdict = match verifier.look_up(presented, toll, now).await {
            Ok(verified) => match self.revocations.standing_of_fresh(&verified.identity) {
                Standing::Good(_) => Ok(verified),
                Standing::Revoked | Standing::Void => Err(Rejection::caller(Reason::CredentialRevoked)),
            },
            Err(rejection) => Err(rejection),
        };
        match verdict {
            Ok(verified) => {
                // A stateless credential has no row that its uses could be told by.
                let usage = (!is_stateless(presented.kind))
                    .then(|| self.usage.cell(verified.identity.credential.clone()));
                let believed_until = self.cache.believed_until(now.mono);
                let material = Arc::new(Material::new(verified, believed_until, since, usage));
                self.cache.remember_good(key, Arc::clone(&material));
                Ok(material)
            }
            Err(rejection) => {
                if rejection.blame == Blame::Caller {
                    self.cache.remember_bad(key, rejection, creations, now.mono);
                }
                Err(rejection)
            }
        }
    }

    /// Whether a remembered verdict still holds; `None` asks for a new look-up.
    fn judge(
        &self,
        material: &Arc<Material>,
        key: &CacheKey,
        now: Now,
    ) -> Option<Result<Authenticated, Rejection>> {
        if now.mono >= material.believed_until() {
            return None;
        }
        if material.identity().expires_at.is_some_and(|end| now.wall >= end) {
            self.cache.forget(key);
            return Some(Err(Rejection::caller(Reason::CredentialExpired)));
        }
        match self.revocations.standing(material.identity(), material.good_at()) {
            Standing::Good(epoch) => {
                material.found_good_at(epoch);
                Some(Ok(Authenticated::new(Arc::clone(material))))
            }
            Standing::Revoked => {
                self.cache.forget(key);
                Some(Err(Rejection::caller(Reason::CredentialRevoked)))
            }
            Standing::Void => {
                self.cache.forget(key);
                None
            }
        }
    }

    fn decide_stateless(
        &self,
        verifier: &dyn Verifier,
        presented: &Presented<'_>,
        now: Now,
    ) -> Result<Authenticated, Rejection> {
        let verified = match verifier.inspect(presented, now) {
            Inspection::Verified(verified) => verified,
            Inspection::Refused(rejection) => return Err(rejection),
            Inspection::LookUp { .. } => return Err(Rejection::ours(Reason::InternalError)),
        };
        if self.is_stale(now) {
            return Err(Rejection::ours(Reason::CannotDecide));
        }
        match self.revocations.standing_of_fresh(&verified.identity) {
            Standing::Good(epoch) => Ok(Authenticated::new(Arc::new(Material::new(
                *verified, now.mono, epoch, None,
            )))),
            Standing::Revoked | Standing::Void => Err(Rejection::caller(Reason::CredentialRevoked)),
        }
    }

    /// Whether the revocation feed has been silent for too long to believe memory.
    fn is_stale(&self, now: Now) -> bool {
        let Some(max) = self.settings.max_staleness else {
            return false;
        };
        now.mono > self.feed.read_at().plus(max)
    }
}

#[cfg(test)]
mod tests;
