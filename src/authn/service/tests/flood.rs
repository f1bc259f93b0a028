//! A flood of guesses that cost slow hashes, over the real pool, whose workers are busy until a test lets them go.

use std::sync::mpsc;

use futures::future::poll_immediate;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::*;

/// `good…` is good without a hash, anything else is a guess that pays for one.
struct Priced {
    pool: SlowPool,
    /// A hash ends when something comes, or when the other end is gone.
    ends: Arc<Mutex<mpsc::Receiver<()>>>,
}

#[async_trait]
impl Verifier for Priced {
    fn kind(&self) -> CredentialKind {
        CredentialKind::DeviceToken
    }

    fn inspect(&self, _: &Presented<'_>, _: Now) -> Inspection {
        Inspection::LookUp {
            public_id: None,
            price: Price::Cheap,
        }
    }

    async fn look_up(
        &self,
        presented: &PresentedOwned,
        toll: &Toll,
        now: Now,
    ) -> Result<Verified, Rejection> {
        if presented.credential.expose().starts_with(b"good") {
            return Ok(Verified {
                identity: identity(self.kind(), "c1", "p1", None),
                rules: CredentialRules::default(),
            });
        }
        let ends = Arc::clone(&self.ends);
        toll.pay(&self.pool, now, move || ends.lock().recv().is_ok())
            .await?;
        Err(Rejection::caller(Reason::CredentialInvalid))
    }
}

#[tokio::test]
async fn guesses_that_fill_the_slow_hashes_never_hold_up_a_cached_credential_of_their_address() {
    let (end, ends) = mpsc::channel();
    let limits = SlowPoolLimits { workers: 1, queue: 2 };
    let pool = SlowPool::new(Handle::current(), limits);
    let r = room(Desk::open(CredentialKind::DeviceToken), AuthnSettings::default());
    r.verify_by([Arc::new(Priced {
        pool: pool.clone(),
        ends: Arc::new(Mutex::new(ends)),
    }) as _]);
    let r = Arc::new(r);
    let at_once = async |why: &str| {
        let answer = poll_immediate(std::pin::pin!(r.ask("good", HERE))).await;
        assert_eq!(answer, Some(Ok(())), "{why}");
    };
    assert_eq!(r.ask("good", HERE).await, Ok(()));

    let mut flood = tokio::task::JoinSet::new();
    for (guess, from) in [("guess 1", HERE), ("guess 2", HERE), ("guess 3", "192.0.2.2")] {
        let r = Arc::clone(&r);
        flood.spawn(async move { r.ask(guess, from).await });
    }
    for _ in 0..100 {
        at_once("while the guesses come").await;
        tokio::task::yield_now().await;
    }
    assert_eq!((pool.running(), pool.queued()), (1, 2));
    at_once("while one hash is computed and two wait").await;
    for (guess, from) in [("guess 4", HERE), ("guess 5", "192.0.2.3")] {
        assert_eq!(r.ask(guess, from).await, Err(Reason::Overloaded), "{guess}");
        at_once("while there is no room for another guess").await;
    }
    assert_eq!(
        r.ask("good too", HERE).await,
        Ok(()),
        "who needs no slow hash is not behind those who do"
    );
    assert_eq!((pool.running(), pool.queued()), (1, 2), "all the while");

    drop(end);
    while let Some(answer) = flood.join_next().await {
        assert_eq!(answer.expect("no panic"), Err(Reason::CredentialInvalid));
    }
    assert_eq!((pool.running(), pool.queued()), (0, 0));
    assert_eq!(
        r.ask("guess 7", "192.0.2.3").await,
        Err(Reason::CredentialInvalid),
        "and there is room again"
    );
}
