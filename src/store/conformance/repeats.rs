//! Requests that are sent again.

use super::*;

fn claim(actor: &str, key: &str, digest: u8, ms: i64) -> RequestClaim {
    RequestClaim {
        actor: actor.to_owned(),
        key: key.to_owned(),
        digests: vec![[digest; 32]],
        at: at(ms),
    }
}

/// A key belongs to its actor and to one request; its answer comes again until it is forgotten.
pub(crate) async fn a_request_is_claimed_once_and_answered_again(store: &Arc<dyn Store>) {
    let ask = async |actor, key, digest, ms, forget| {
        let claim = claim(actor, key, digest, ms);
        store.claim_request(&claim, at(forget), 3).await.expect("asked")
    };
    assert_eq!(ask("a", "k", 1, 10, 0).await, Claimed::Yours);
    assert_eq!(ask("a", "k", 1, 11, 0).await, Claimed::UnderWay);
    assert_eq!(ask("a", "k", 2, 12, 0).await, Claimed::Another);
    assert_eq!(
        ask("b", "k", 2, 12, 0).await,
        Claimed::Yours,
        "another actor's key"
    );
    store.keep_answer("a", "k", "{\"id\":1}").await.expect("kept");
    assert_eq!(
        ask("a", "k", 1, 13, 0).await,
        Claimed::Answered("{\"id\":1}".to_owned())
    );
    assert_eq!(ask("a", "k", 2, 13, 0).await, Claimed::Another);
    store.release_request("a", "k").await.expect("nothing to do");
    assert_eq!(
        ask("a", "k", 1, 14, 10).await,
        Claimed::Answered("{\"id\":1}".to_owned())
    );
    assert_eq!(
        ask("a", "k", 2, 15, 11).await,
        Claimed::Yours,
        "forgotten by then"
    );
    store.release_request("a", "k").await.expect("released");
    assert_eq!(ask("a", "k", 3, 16, 0).await, Claimed::Yours, "it made nothing");
    assert_eq!(ask("a", "k2", 1, 17, 0).await, Claimed::Yours);
    assert_eq!(ask("a", "k3", 1, 18, 0).await, Claimed::Yours);
    assert_eq!(ask("a", "k4", 1, 19, 0).await, Claimed::TooMany);
    assert_eq!(
        ask("b", "k4", 1, 19, 0).await,
        Claimed::Yours,
        "a bound for each actor"
    );
    assert_eq!(
        ask("a", "k4", 1, 30, 20).await,
        Claimed::Yours,
        "old ones make room"
    );
}

/// Of many claims at once one wins.
pub(crate) async fn of_two_claims_one_wins(store: &Arc<dyn Store>) {
    let claim = claim("a", "k", 1, 10);
    let claims = (0..8).map(|_| store.claim_request(&claim, at(0), 100));
    let outcomes = futures::future::join_all(claims).await;
    let won = outcomes
        .iter()
        .filter(|o| matches!(o, Ok(Claimed::Yours)))
        .count();
    assert_eq!(won, 1, "{outcomes:?}");
}
