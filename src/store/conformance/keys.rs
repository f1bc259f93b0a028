//! Keys: rotation and its races.

use super::*;

fn key(name: &str, purpose: KeyPurpose) -> KeyRecord {
    KeyRecord {
        id: id(name),
        purpose,
        state: KeyState::Current,
        sealed: name.as_bytes().to_vec(),
        created_at: at(1),
    }
}

async fn states(store: &Arc<dyn Store>) -> String {
    let keys = store.list_keys().await.expect("listed");
    let texts: Vec<_> = keys
        .iter()
        .map(|k| format!("{}:{}", k.id, k.state.as_str()))
        .collect();
    texts.join(" ")
}

/// Current, previous, retired; each purpose for itself; oldest first.
pub(crate) async fn rotation_steps_keys_down(store: &Arc<dyn Store>) {
    store
        .rotate_key(None, &key("j0", KeyPurpose::Jwt), &act("a"))
        .await
        .expect("first");
    for (current, new, expected) in [
        (None, "k1", "j0:current k1:current"),
        (Some("k1"), "k2", "j0:current k1:previous k2:current"),
        (Some("k2"), "k3", "j0:current k1:retired k2:previous k3:current"),
        (
            Some("k3"),
            "k4",
            "j0:current k1:retired k2:retired k3:previous k4:current",
        ),
    ] {
        let new = key(new, KeyPurpose::Lookup);
        store
            .rotate_key(current.map(id).as_ref(), &new, &act("key.rotate"))
            .await
            .expect("rotated");
        assert_eq!(states(store).await, expected);
    }
    assert_eq!(
        store.list_keys().await.expect("listed").first(),
        Some(&key("j0", KeyPurpose::Jwt))
    );
    assert_eq!(audit_rows(store).await, 5);
}

/// A rotation that starts from an old view, or reuses an id, changes nothing.
pub(crate) async fn rotation_expects_the_current_key(store: &Arc<dyn Store>) {
    for (current, new) in [(None, "k1"), (Some("k1"), "k2")] {
        let new = key(new, KeyPurpose::Lookup);
        store
            .rotate_key(current.map(id).as_ref(), &new, &act("a"))
            .await
            .expect("rotated");
    }
    let before = everything(store).await;
    for (why, current, new) in [
        ("there is one already", None, "k3"),
        ("it is the previous one", Some("k1"), "k3"),
        ("there is no such key", Some("k9"), "k3"),
        ("the new id is taken", Some("k2"), "k1"),
    ] {
        let new = key(new, KeyPurpose::Lookup);
        let outcome = store.rotate_key(current.map(id).as_ref(), &new, &act("a")).await;
        assert!(
            matches!(outcome, Err(StoreError::Conflict(_))),
            "{why}: {outcome:?}"
        );
        assert_eq!(everything(store).await, before, "{why}");
    }
}

/// Processes that start together on a new store end up with one key.
pub(crate) async fn of_two_first_keys_one_wins(store: &Arc<dyn Store>) {
    let (keys, doing) = (
        ["k1", "k2", "k3"].map(|name| key(name, KeyPurpose::Jwt)),
        act("key.create"),
    );
    let outcomes = futures::future::join_all(keys.iter().map(|k| store.rotate_key(None, k, &doing))).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{outcomes:?}");
    assert_eq!(store.list_keys().await.expect("listed").len(), 1);
    assert_eq!(audit_rows(store).await, 1);
}
