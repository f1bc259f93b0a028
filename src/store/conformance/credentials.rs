//! Stored credentials: look-ups, uniqueness, replacement, listing.

use super::*;

/// Every field survives, on each of the three ways to it, and the owners come along.
pub(crate) async fn a_credential_comes_back_with_its_owners(store: &Arc<dyn Store>) {
    store
        .insert_tenant(&tenant("t1"), &act("a"))
        .await
        .expect("inserted");
    store
        .insert_customer(&customer("c1", "t1"), &act("a"))
        .await
        .expect("inserted");
    let owner = PrincipalRecord {
        tenant: Some(id("t1")),
        customer: Some(id("c1")),
        roles: vec![role("CUSTOMER_USER")],
        ..device("d1")
    };
    store.insert_principal(&owner, &act("a")).await.expect("inserted");
    let full = CredentialRecord {
        name: "naïve \"name\"".to_owned(),
        public_id: Some("dw_1a2b3c4d".to_owned()),
        keyed_digest: keyed(1),
        slow_digest: Some("$2b$12$slow".to_owned()),
        scopes: ScopeSet::parse(["read", "channel:*:write"]).expect("scopes"),
        permission: Permission::Write,
        networks: vec![
            "10.0.0.0/8".parse().expect("v4"),
            "2001:db8::/32".parse().expect("v6"),
        ],
        transport: Transport::HttpsOnly,
        enabled: Enabled::No,
        expires_at: Some(at(100)),
        revoked_at: Some(at(50)),
        about: about(),
        environment: Some("production".to_owned()),
        limits: Some(CredentialLimits {
            requests: Some("100:1,2000:60".to_owned()),
            data_points: None,
            bytes: Some("1000000:60".to_owned()),
            connections: Some(3),
        }),
        sealed_secret: Some(vec![0, 1, 255]),
        replaced_by: Some(id("bare")),
        deleted_at: Some(at(60)),
        version: 9,
        ..credential("full", "d1", CredentialKind::ApiToken)
    };
    let bare = credential("bare", "d1", CredentialKind::ApiToken);
    for credential in [&full, &bare] {
        store
            .insert_credential(credential, &act("a"))
            .await
            .expect("inserted");
        let found = store
            .credential(&credential.id)
            .await
            .expect("read")
            .expect("there");
        assert_eq!(&found.credential, credential);
    }
    let expected = CredentialContext {
        credential: full,
        principal: owner,
        tenant_enabled: Enabled::Yes,
        customer_enabled: Enabled::Yes,
    };
    let kind = CredentialKind::ApiToken;
    assert_eq!(
        store.find_by_digest(kind, &[1; 32]).await.expect("read"),
        Some(expected.clone())
    );
    assert_eq!(
        store
            .find_by_public_id(kind, "dw_1a2b3c4d", 8)
            .await
            .expect("read"),
        [expected]
    );

    for (other, digest) in [(kind, [2; 32]), (CredentialKind::DeviceToken, [1; 32])] {
        assert_eq!(store.find_by_digest(other, &digest).await.expect("read"), None);
    }
    for (other, public_id) in [
        (kind, "dw_1a2b3c4"),
        (kind, "DW_1a2b3c4d"),
        (CredentialKind::Basic, "dw_1a2b3c4d"),
    ] {
        assert_eq!(
            store.find_by_public_id(other, public_id, 8).await.expect("read"),
            []
        );
    }
    assert_eq!(store.credential(&id("nothing")).await.expect("read"), None);
}

/// A tenant or customer that is switched off is seen with every credential below it.
pub(crate) async fn an_owner_that_is_off_shows(store: &Arc<dyn Store>) {
    let off = TenantRecord {
        enabled: Enabled::No,
        ..tenant("off")
    };
    store.insert_tenant(&off, &act("a")).await.expect("inserted");
    store
        .insert_tenant(&tenant("on"), &act("a"))
        .await
        .expect("inserted");
    let off = CustomerRecord {
        enabled: Enabled::No,
        ..customer("c-off", "on")
    };
    store.insert_customer(&off, &act("a")).await.expect("inserted");
    store
        .insert_customer(&customer("c-on", "off"), &act("a"))
        .await
        .expect("inserted");
    for (i, (of_tenant, of_customer, tenant_enabled, customer_enabled)) in [
        (None, None, Enabled::Yes, Enabled::Yes),
        (Some("on"), None, Enabled::Yes, Enabled::Yes),
        (Some("off"), None, Enabled::No, Enabled::Yes),
        (Some("on"), Some("c-off"), Enabled::Yes, Enabled::No),
        (Some("off"), Some("c-on"), Enabled::No, Enabled::Yes),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("d{i}");
        let owner = PrincipalRecord {
            tenant: of_tenant.map(id),
            customer: of_customer.map(id),
            ..device(&name)
        };
        store.insert_principal(&owner, &act("a")).await.expect("inserted");
        let token = credential(&format!("x{i}"), &name, CredentialKind::DeviceToken);
        store
            .insert_credential(&token, &act("a"))
            .await
            .expect("inserted");
        let found = store.credential(&token.id).await.expect("read").expect("there");
        assert_eq!(
            (found.tenant_enabled, found.customer_enabled),
            (tenant_enabled, customer_enabled),
            "{of_tenant:?} {of_customer:?}"
        );
    }
}

/// A digest is taken for good within its kind; a user name as long as its password lives.
pub(crate) async fn digests_and_user_names_are_unique(store: &Arc<dyn Store>) {
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    let token = CredentialRecord {
        keyed_digest: keyed(1),
        public_id: Some("pub".to_owned()),
        ..credential("x1", "d1", CredentialKind::DeviceToken)
    };
    let password = CredentialRecord {
        public_id: Some("zoe".to_owned()),
        ..credential("p1", "d1", CredentialKind::Basic)
    };
    for first in [&token, &password] {
        store.insert_credential(first, &act("a")).await.expect("inserted");
    }
    let same_digest = CredentialRecord {
        id: id("x2"),
        ..token.clone()
    };
    let same_name = CredentialRecord {
        id: id("p2"),
        ..password.clone()
    };
    let before = everything(store).await;
    for (why, taken) in [
        ("id", &token),
        ("digest", &same_digest),
        ("user name", &same_name),
    ] {
        let outcome = store.insert_credential(taken, &act("a")).await;
        assert!(
            matches!(outcome, Err(StoreError::Conflict(_))),
            "{why}: {outcome:?}"
        );
    }
    assert_eq!(everything(store).await, before);

    let other_kind = CredentialRecord {
        id: id("x3"),
        kind: CredentialKind::ApiToken,
        ..token.clone()
    };
    store
        .insert_credential(&other_kind, &act("a"))
        .await
        .expect("a digest of another kind");
    let same_prefix = CredentialRecord {
        id: id("x4"),
        keyed_digest: keyed(4),
        ..token
    };
    store
        .insert_credential(&same_prefix, &act("a"))
        .await
        .expect("prefixes may repeat");
    for ended in ["x1", "p1"] {
        store.revoke(&end_of(ended, 1), &act("a")).await.expect("revoked");
    }
    let outcome = store.insert_credential(&same_digest, &act("a")).await;
    assert!(
        matches!(outcome, Err(StoreError::Conflict(_))),
        "revoked tokens stay known: {outcome:?}"
    );
    store
        .insert_credential(&same_name, &act("a"))
        .await
        .expect("the name is free again");
}

/// However many replaced passwords there are, the living one is found within a small limit.
pub(crate) async fn living_credentials_come_before_revoked_ones(store: &Arc<dyn Store>) {
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    for (name, age, ended) in [
        ("old", 0, true),
        ("b", 3, false),
        ("older", 1, true),
        ("c", 2, false),
        ("a", 2, false),
    ] {
        let token = CredentialRecord {
            public_id: Some("pub".to_owned()),
            created_at: at(age),
            revoked_at: ended.then(|| at(10)),
            ..credential(name, "d1", CredentialKind::ApiToken)
        };
        store
            .insert_credential(&token, &act("a"))
            .await
            .expect("inserted");
    }
    for (limit, expected) in [(9, "a c b old older"), (4, "a c b old"), (1, "a"), (0, "")] {
        let found = store
            .find_by_public_id(CredentialKind::ApiToken, "pub", limit)
            .await
            .expect("read");
        let names: Vec<_> = found.iter().map(|f| f.credential.id.as_str()).collect();
        assert_eq!(names.join(" "), expected, "limit {limit}");
    }
}

/// Imported rows get their digest on first use; a new lookup key gives them another.
pub(crate) async fn a_keyed_digest_can_be_written_later(store: &Arc<dyn Store>) {
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    let kind = CredentialKind::ApiToken;
    for name in ["x1", "x2"] {
        store
            .insert_credential(&credential(name, "d1", kind), &act("a"))
            .await
            .expect("inserted");
    }
    for byte in [1, 2] {
        let key = id(&format!("lookup-{byte}"));
        store
            .set_keyed_digest(&id("x1"), &[byte; 32], &key)
            .await
            .expect("written");
        let found = store
            .find_by_digest(kind, &[byte; 32])
            .await
            .expect("read")
            .expect("found");
        assert_eq!(
            found.credential.keyed_digest,
            Some(KeyedDigest {
                digest: [byte; 32],
                key
            })
        );
    }
    assert_eq!(
        store.find_by_digest(kind, &[1; 32]).await.expect("read"),
        None,
        "the older digest is gone"
    );
    let taken = store.set_keyed_digest(&id("x2"), &[2; 32], &id("lookup-2")).await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    let missing = store.set_keyed_digest(&id("x9"), &[9; 32], &id("lookup-2")).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
}

/// The old one is revoked, the new one is there, the news says so: one step, one audit row.
pub(crate) async fn replacing_ends_the_old_with_the_new(store: &Arc<dyn Store>) {
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    let old = CredentialRecord {
        public_id: Some("zoe".to_owned()),
        expires_at: Some(at(500)),
        ..credential("p1", "d1", CredentialKind::Basic)
    };
    store.insert_credential(&old, &act("a")).await.expect("inserted");
    let new = CredentialRecord {
        id: id("p2"),
        expires_at: None,
        created_at: at(20),
        ..old.clone()
    };
    let written = store
        .replace_credential(&old.id, &new, at(20), &act("regenerate"))
        .await
        .expect("replaced");
    let expected = NewRevocation {
        effect: Effect::Ends,
        target: RevocationTarget::Credential(id("p1")),
        cut_at: at(20),
        until: Some(at(500)),
    };
    assert_eq!(written.revocation, expected);
    assert_eq!(store.revocations_after(0, 10).await.expect("read"), [written]);
    let found = store
        .find_by_public_id(CredentialKind::Basic, "zoe", 2)
        .await
        .expect("read");
    let states: Vec<_> = found
        .iter()
        .map(|f| (f.credential.id.as_str(), f.credential.revoked_at))
        .collect();
    assert_eq!(states, [("p2", None), ("p1", Some(at(20)))]);
    assert_eq!(audit_rows(store).await, 3);
}

/// Whatever stops a replacement, the old credential lives on and nothing is told.
pub(crate) async fn a_replacement_that_fails_changes_nothing(store: &Arc<dyn Store>) {
    for owner in ["d1", "d2"] {
        store
            .insert_principal(&device(owner), &act("a"))
            .await
            .expect("inserted");
    }
    let kind = CredentialKind::DeviceToken;
    let token = |name: &str, byte| CredentialRecord {
        keyed_digest: keyed(byte),
        ..credential(name, "d1", kind)
    };
    for (name, byte) in [("x1", 1), ("x2", 2), ("dead", 3)] {
        store
            .insert_credential(&token(name, byte), &act("a"))
            .await
            .expect("inserted");
    }
    store
        .revoke(&end_of("dead", 1), &act("a"))
        .await
        .expect("revoked");
    let before = everything(store).await;
    let foreign = CredentialRecord {
        principal: id("d2"),
        ..token("new", 9)
    };
    for (why, old, new) in [
        ("the new digest is taken", "x1", token("new", 2)),
        ("the new id is taken", "x1", token("x2", 9)),
        ("another principal's", "x1", foreign),
        ("the old one is revoked", "dead", token("new", 9)),
    ] {
        let outcome = store.replace_credential(&id(old), &new, at(20), &act("a")).await;
        assert!(
            matches!(outcome, Err(StoreError::Conflict(_))),
            "{why}: {outcome:?}"
        );
        assert_eq!(everything(store).await, before, "{why}");
    }
    let missing = store
        .replace_credential(&id("x9"), &token("new", 9), at(20), &act("a"))
        .await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    assert_eq!(everything(store).await, before);
}

/// One credential never becomes two.
pub(crate) async fn of_two_replacements_one_wins(store: &Arc<dyn Store>) {
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    let kind = CredentialKind::DeviceToken;
    store
        .insert_credential(&credential("x0", "d1", kind), &act("a"))
        .await
        .expect("inserted");
    let (old, doing) = (id("x0"), act("regenerate"));
    let news = ["x1", "x2", "x3", "x4"].map(|name| credential(name, "d1", kind));
    let outcomes = futures::future::join_all(
        news.iter()
            .map(|new| store.replace_credential(&old, new, at(1), &doing)),
    )
    .await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1, "{outcomes:?}");
    let living = store
        .list_credentials(&CredentialFilter::default(), &page(None, 10))
        .await
        .expect("listed");
    assert_eq!(living.iter().filter(|c| c.revoked_at.is_none()).count(), 1);
}

/// As for principals.
pub(crate) async fn credentials_are_listed_by_age_page_by_page(store: &Arc<dyn Store>) {
    for owner in ["d1", "d2"] {
        store
            .insert_principal(&device(owner), &act("a"))
            .await
            .expect("inserted");
    }
    for (name, age, owner, kind) in [
        ("d", 5, "d1", CredentialKind::ApiToken),
        ("b", 1, "d2", CredentialKind::ApiToken),
        ("a", 1, "d1", CredentialKind::DeviceToken),
        ("c", 1, "d1", CredentialKind::ApiToken),
        ("e", 0, "d2", CredentialKind::Basic),
    ] {
        let made = CredentialRecord {
            created_at: at(age),
            ..credential(name, owner, kind)
        };
        store.insert_credential(&made, &act("a")).await.expect("inserted");
    }
    for (filter, expected) in [
        (CredentialFilter::default(), "eabcd"),
        (
            CredentialFilter {
                kind: Some(CredentialKind::ApiToken),
                ..CredentialFilter::default()
            },
            "bcd",
        ),
        (
            CredentialFilter {
                principal: Some(id("d1")),
                ..CredentialFilter::default()
            },
            "acd",
        ),
        (
            CredentialFilter {
                kind: Some(CredentialKind::ApiToken),
                principal: Some(id("d1")),
                ..CredentialFilter::default()
            },
            "cd",
        ),
        (
            CredentialFilter {
                principal: Some(id("nobody")),
                ..CredentialFilter::default()
            },
            "",
        ),
    ] {
        for limit in [1, 2, 100] {
            let (mut all, mut after) = (String::new(), None);
            loop {
                let found = store
                    .list_credentials(&filter, &page(after, limit))
                    .await
                    .expect("listed");
                let Some(last) = found.last() else { break };
                after = Some(filter.order.cursor(last));
                all.extend(found.iter().map(|c| c.id.as_str()));
            }
            assert_eq!(all, expected, "{filter:?} by {limit}");
        }
    }
    let foreign = Cursor {
        key: "no instant".to_owned(),
        id: "a".to_owned(),
    };
    let lost = store
        .list_credentials(&CredentialFilter::default(), &page(Some(foreign), 5))
        .await;
    assert!(matches!(lost, Err(StoreError::NotFound(_))), "{lost:?}");
}
