//! Nonces: each is spent once, whoever asks, until its time is over.

use super::*;

fn nonce(n: u8, until: i64) -> NonceRecord {
    NonceRecord {
        digest: [n; 32],
        until: at(until),
    }
}

/// Of all who spend one nonce, one is the first: within a batch, one after another, and at once.
pub(crate) async fn a_nonce_is_spent_once(store: &Arc<dyn Store>) {
    use Spent::{Before, Now};
    for (batch, expected, why) in [
        (vec![], vec![], "nothing to do"),
        (vec![nonce(1, 10), nonce(2, 10)], vec![Now, Now], "two of them"),
        (
            vec![nonce(2, 99), nonce(3, 10)],
            vec![Before, Now],
            "one of them again",
        ),
        (
            vec![nonce(4, 10), nonce(4, 10)],
            vec![Now, Before],
            "twice in one batch",
        ),
    ] {
        let spent = store.spend_nonces(&batch).await.expect("spent");
        assert_eq!(spent, expected, "{why}");
    }
    let all = (0..16).map(|_| async { store.spend_nonces(&[nonce(9, 10)]).await.expect("spent") });
    let all = futures::future::join_all(all).await;
    let first = all.iter().filter(|spent| **spent == [Now]).count();
    assert_eq!(first, 1, "at once");
}

/// What was spent is forgotten when its time is over, and not before.
pub(crate) async fn a_nonce_is_forgotten_when_its_time_is_over(store: &Arc<dyn Store>) {
    store
        .spend_nonces(&[nonce(1, 10), nonce(2, 20)])
        .await
        .expect("spent");
    assert_eq!(
        store.prune_nonces(at(10)).await.expect("pruned"),
        0,
        "its last moment"
    );
    assert_eq!(store.prune_nonces(at(11)).await.expect("pruned"), 1);
    let spent = store
        .spend_nonces(&[nonce(1, 30), nonce(2, 30)])
        .await
        .expect("spent");
    assert_eq!(spent, [Spent::Now, Spent::Before]);
}
