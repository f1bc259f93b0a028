//! What changes after it was made: versions, successors, ends by the hundred, deletion; and how credentials are
//! found.

use super::*;

async fn device_with_tokens(store: &Arc<dyn Store>, tokens: &[&str]) {
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    for name in tokens {
        let token = credential(name, "d1", CredentialKind::DeviceToken);
        store
            .insert_credential(&token, &act("a"))
            .await
            .expect("inserted");
    }
}

async fn stored(store: &Arc<dyn Store>, name: &str) -> CredentialRecord {
    let found = store.credential(&id(name)).await.expect("read");
    found.expect("there").credential
}

/// A page in each order holds what belongs there, whatever its size; each filter leaves out the rest.
pub(crate) async fn credentials_are_found_in_every_order_and_by_every_filter(store: &Arc<dyn Store>) {
    for name in ["t1", "t2"] {
        store
            .insert_tenant(&tenant(name), &act("a"))
            .await
            .expect("inserted");
    }
    store
        .insert_customer(&customer("c1", "t1"), &act("a"))
        .await
        .expect("inserted");
    for (name, tenant, customer) in [
        ("d1", None, None),
        ("d2", Some("t1"), Some("c1")),
        ("d3", Some("t2"), None),
    ] {
        let owner = PrincipalRecord {
            tenant: tenant.map(id),
            customer: customer.map(id),
            ..device(name)
        };
        store.insert_principal(&owner, &act("a")).await.expect("inserted");
    }
    let kind = CredentialKind::ApiToken;
    let rows = [
        CredentialRecord {
            public_id: Some("dw_aa".to_owned()),
            name: "meter 1".to_owned(),
            expires_at: Some(at(50)),
            about: about(),
            ..credential("a", "d1", kind)
        },
        CredentialRecord {
            public_id: Some("dw_ab".to_owned()),
            name: "Meter 2".to_owned(),
            expires_at: Some(at(500)),
            environment: Some("staging".to_owned()),
            ..credential("b", "d2", kind)
        },
        CredentialRecord {
            public_id: Some("dw`".to_owned()),
            name: "meter".to_owned(),
            enabled: Enabled::No,
            ..credential("c", "d2", kind)
        },
        CredentialRecord {
            public_id: Some("dw_".to_owned()),
            revoked_at: Some(at(1)),
            ..credential("d", "d3", kind)
        },
        CredentialRecord {
            replaced_by: Some(id("b")),
            expires_at: Some(at(200)),
            ..credential("e", "d3", kind)
        },
        CredentialRecord {
            revoked_at: Some(at(1)),
            deleted_at: Some(at(2)),
            ..credential("f", "d3", kind)
        },
    ];
    for (age, row) in (0..).zip(rows) {
        let row = CredentialRecord {
            created_at: at(age),
            ..row
        };
        store.insert_credential(&row, &act("a")).await.expect("inserted");
    }
    let used = |name: &str, ms| UsageDelta {
        credential: id(name),
        count: 1,
        first_used_at: at(ms),
        last_used_at: at(ms),
        addresses: vec![],
        agents: Vec::new(),
    };
    store
        .add_usage(&[used("a", 10), used("b", 900)])
        .await
        .expect("counted");
    let all = CredentialFilter::default;
    let in_order = |order| CredentialFilter { order, ..all() };
    let in_state = |state| CredentialFilter {
        state: Some((state, at(100))),
        ..all()
    };
    for (filter, expected) in [
        (all(), "abcdef"),
        (in_order(CredentialOrder::PublicId("dw_".to_owned())), "dab"),
        (in_order(CredentialOrder::PublicId("dw_ab".to_owned())), "b"),
        (in_order(CredentialOrder::PublicId("nothing".to_owned())), ""),
        (in_order(CredentialOrder::Name("meter".to_owned())), "ca"),
        (in_order(CredentialOrder::EndBefore(at(500))), "ae"),
        (in_order(CredentialOrder::EndBefore(at(501))), "aeb"),
        (in_state(CredentialState::Active), "b"),
        (in_state(CredentialState::Expiring), "e"),
        (in_state(CredentialState::Disabled), "c"),
        (in_state(CredentialState::Expired), "a"),
        (in_state(CredentialState::Revoked), "d"),
        (in_state(CredentialState::Deleted), "f"),
        (
            CredentialFilter {
                tenant: Some(id("t1")),
                ..all()
            },
            "bc",
        ),
        (
            CredentialFilter {
                customer: Some(id("c1")),
                ..all()
            },
            "bc",
        ),
        (
            CredentialFilter {
                tenant: Some(id("t9")),
                ..all()
            },
            "",
        ),
        (
            CredentialFilter {
                tag: Some("roof".to_owned()),
                ..all()
            },
            "a",
        ),
        (
            CredentialFilter {
                tag: Some("roo".to_owned()),
                ..all()
            },
            "",
        ),
        (
            CredentialFilter {
                environment: Some("staging".to_owned()),
                ..all()
            },
            "b",
        ),
        (
            CredentialFilter {
                unused_since: Some(at(100)),
                ..all()
            },
            "acdef",
        ),
        (
            CredentialFilter {
                unused_since: Some(at(2)),
                ..all()
            },
            "",
        ),
        (
            CredentialFilter {
                order: CredentialOrder::PublicId("dw".to_owned()),
                tenant: Some(id("t1")),
                state: Some((CredentialState::Disabled, at(100))),
                ..all()
            },
            "c",
        ),
    ] {
        for limit in [1, 2, 100] {
            let (mut found_all, mut after) = (String::new(), None);
            loop {
                let found = store
                    .list_credentials(&filter, &page(after, limit))
                    .await
                    .expect("listed");
                let Some(last) = found.last() else { break };
                assert!(found.len() <= limit as usize);
                after = Some(filter.order.cursor(last));
                found_all.extend(found.iter().map(|c| c.id.as_str()));
            }
            assert_eq!(found_all, expected, "{filter:?} by {limit}");
        }
    }
    for state in CredentialState::ALL {
        let found = store.list_credentials(&in_state(state), &page(None, 100)).await;
        for row in found.expect("listed") {
            assert_eq!(CredentialState::of(&row, at(100)), state, "{row:?}");
        }
    }
}

/// Whoever changes what somebody else changed meanwhile is told so, and changes nothing.
pub(crate) async fn tenants_and_customers_change_by_version(store: &Arc<dyn Store>) {
    store
        .insert_tenant(&tenant("t1"), &act("a"))
        .await
        .expect("inserted");
    store
        .insert_customer(&customer("c1", "t1"), &act("a"))
        .await
        .expect("inserted");
    let changed = TenantRecord {
        name: "Renamed".to_owned(),
        about: about(),
        ..tenant("t1")
    };
    assert_eq!(
        store
            .update_tenant(&changed, &act("tenant.update"))
            .await
            .expect("changed"),
        None
    );
    let expected = TenantRecord {
        version: 2,
        ..changed.clone()
    };
    assert_eq!(
        store.tenant(&id("t1")).await.expect("read"),
        Some(expected.clone())
    );
    let late = store.update_tenant(&changed, &act("late")).await;
    assert!(matches!(late, Err(StoreError::Outdated { found: 2 })), "{late:?}");
    let off = TenantRecord {
        enabled: Enabled::No,
        ..expected
    };
    let news = store
        .update_tenant(&off, &act("tenant.update"))
        .await
        .expect("changed");
    let news = news.expect("everything of it ends").revocation;
    assert_eq!(
        (news.effect, news.target),
        (Effect::Ends, RevocationTarget::Tenant(id("t1")))
    );

    let renamed = CustomerRecord {
        about: about(),
        ..customer("c1", "t1")
    };
    assert_eq!(
        store.update_customer(&renamed, &act("c")).await.expect("changed"),
        None
    );
    let late = store.update_customer(&renamed, &act("late")).await;
    assert!(matches!(late, Err(StoreError::Outdated { found: 2 })), "{late:?}");
    let off = CustomerRecord {
        enabled: Enabled::No,
        version: 2,
        ..renamed
    };
    let news = store
        .update_customer(&off, &act("c"))
        .await
        .expect("changed")
        .expect("news");
    assert_eq!(
        (news.revocation.effect, news.revocation.target),
        (Effect::Changes, RevocationTarget::All)
    );

    let held = store.delete_tenant(&id("t1"), &act("a")).await;
    assert!(
        matches!(held, Err(StoreError::Conflict(_))),
        "it has a customer: {held:?}"
    );
    store
        .delete_customer(&id("c1"), &act("a"))
        .await
        .expect("deleted");
    store.delete_tenant(&id("t1"), &act("a")).await.expect("deleted");
    let gone = store.delete_tenant(&id("t1"), &act("a")).await;
    assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
    let nobody = store.update_tenant(&tenant("t9"), &act("a")).await;
    assert!(matches!(nobody, Err(StoreError::NotFound(_))), "{nobody:?}");
    let listed = store.list_tenants(&TenantFilter::default(), &page(None, 9)).await;
    assert_eq!(listed.expect("listed"), []);
}

/// A change of a principal voids what is remembered about it; its credentials are listed by its new tenant.
pub(crate) async fn a_principal_changes_by_version_and_tells_everybody(store: &Arc<dyn Store>) {
    store
        .insert_tenant(&tenant("t1"), &act("a"))
        .await
        .expect("inserted");
    device_with_tokens(store, &["x"]).await;
    let changed = PrincipalRecord {
        tenant: Some(id("t1")),
        name: "Moved".to_owned(),
        external_id: Some("SN-1".to_owned()),
        roles: vec![role("CUSTOMER_USER")],
        about: about(),
        ..device("d1")
    };
    let news = store
        .update_principal(&changed, Holdings::Keep, &act("device.update"))
        .await;
    let news = news.expect("changed").revocation;
    assert_eq!(
        (news.effect, news.target),
        (Effect::Changes, RevocationTarget::Principal(id("d1")))
    );
    assert!(news.until.is_some(), "such news is forgotten");
    let expected = PrincipalRecord {
        version: 2,
        ..changed.clone()
    };
    assert_eq!(
        store.principal(&id("d1")).await.expect("read"),
        Some(expected.clone())
    );
    for (filter, count) in [
        (
            PrincipalFilter {
                tag: Some("roof".to_owned()),
                ..Default::default()
            },
            1,
        ),
        (
            PrincipalFilter {
                tag: Some("cellar".to_owned()),
                ..Default::default()
            },
            0,
        ),
    ] {
        let found = store
            .list_principals(&filter, &page(None, 9))
            .await
            .expect("listed");
        assert_eq!(found.len(), count, "{filter:?}");
    }
    let of_tenant = CredentialFilter {
        tenant: Some(id("t1")),
        ..Default::default()
    };
    let found = store
        .list_credentials(&of_tenant, &page(None, 9))
        .await
        .expect("listed");
    assert_eq!(found.len(), 1);
    let before = everything(store).await;
    let late = store
        .update_principal(&changed, Holdings::End, &act("late"))
        .await;
    assert!(matches!(late, Err(StoreError::Outdated { found: 2 })), "{late:?}");
    let nowhere = PrincipalRecord {
        tenant: Some(id("t9")),
        ..expected.clone()
    };
    let lost = store.update_principal(&nowhere, Holdings::Keep, &act("a")).await;
    assert!(matches!(lost, Err(StoreError::NotFound(_))), "{lost:?}");
    assert_eq!(everything(store).await, before);
    assert_eq!(stored(store, "x").await.revoked_at, None);
    let news = store
        .update_principal(&expected, Holdings::End, &act("device.transfer"))
        .await;
    assert_eq!(news.expect("changed").revocation.effect, Effect::Ends);
    assert!(stored(store, "x").await.revoked_at.is_some());
    let off = PrincipalRecord {
        enabled: Enabled::No,
        version: 3,
        ..expected
    };
    let news = store
        .update_principal(&off, Holdings::Keep, &act("device.update"))
        .await;
    assert_eq!(
        news.expect("changed").revocation.effect,
        Effect::Ends,
        "switched off"
    );
}

/// Nothing of it is left but the news of its end and the audit trail.
pub(crate) async fn a_deleted_principal_takes_everything_along(store: &Arc<dyn Store>) {
    device_with_tokens(store, &["x", "y"]).await;
    let delta = UsageDelta {
        credential: id("x"),
        count: 1,
        first_used_at: at(1),
        last_used_at: at(1),
        addresses: vec!["192.0.2.1".to_owned()],
        agents: Vec::new(),
    };
    store.add_usage(&[delta]).await.expect("counted");
    let news = store
        .delete_principal(&id("d1"), &act("device.delete"))
        .await
        .expect("deleted");
    assert_eq!(
        (news.revocation.effect, news.revocation.target),
        (Effect::Ends, RevocationTarget::Principal(id("d1")))
    );
    assert_eq!(store.principal(&id("d1")).await.expect("read"), None);
    assert_eq!(store.credential(&id("x")).await.expect("read"), None);
    assert_eq!(store.usage(&id("x")).await.expect("read"), None);
    let again = store.delete_principal(&id("d1"), &act("device.delete")).await;
    assert!(matches!(again, Err(StoreError::NotFound(_))), "{again:?}");
}

/// A serial number names a device within its network only.
pub(crate) async fn a_network_finds_its_devices_by_serial(store: &Arc<dyn Store>) {
    for network in ["n1", "n2"] {
        let network = PrincipalRecord {
            kind: PrincipalKind::Service,
            ..device(network)
        };
        store
            .insert_principal(&network, &act("a"))
            .await
            .expect("inserted");
    }
    let of = |name: &str, network: &str, serial: &str| PrincipalRecord {
        network: Some(id(network)),
        serial: Some(serial.to_owned()),
        ..device(name)
    };
    let first = of("d1", "n1", "0001");
    for known in [&first, &of("d2", "n2", "0001")] {
        store.insert_principal(known, &act("a")).await.expect("inserted");
    }
    let taken = store.insert_principal(&of("d3", "n1", "0001"), &act("a")).await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    let nowhere = store.insert_principal(&of("d3", "n9", "0003"), &act("a")).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound(_))), "{nowhere:?}");
    let found = store
        .device_of_network(&id("n1"), "0001")
        .await
        .expect("read")
        .expect("there");
    assert_eq!((found.principal, found.tenant_enabled), (first, Enabled::Yes));
    for (network, serial) in [("n1", "0002"), ("n3", "0001"), ("n1", "000")] {
        assert_eq!(
            store.device_of_network(&id(network), serial).await.expect("read"),
            None
        );
    }
    let of_network = PrincipalFilter {
        network: Some(id("n2")),
        ..Default::default()
    };
    assert_eq!(
        store
            .list_principals(&of_network, &page(None, 9))
            .await
            .expect("listed")
            .len(),
        1
    );
    let held = store.delete_principal(&id("n1"), &act("a")).await;
    assert!(matches!(held, Err(StoreError::Conflict(_))), "{held:?}");
}

/// What may change is written, what may not stays, and everybody is told.
pub(crate) async fn a_credential_changes_by_version_and_tells_everybody(store: &Arc<dyn Store>) {
    device_with_tokens(store, &["x", "dead"]).await;
    let changed = CredentialRecord {
        name: "Renamed".to_owned(),
        scopes: ScopeSet::parse(["read"]).expect("scopes"),
        permission: Permission::Read,
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
        transport: Transport::HttpsOnly,
        enabled: Enabled::No,
        expires_at: Some(at(90)),
        about: about(),
        environment: Some("production".to_owned()),
        sealed_secret: Some(vec![1]),
        // These belong to its making.
        public_id: Some("forged".to_owned()),
        keyed_digest: keyed(9),
        created_at: at(99),
        ..stored(store, "x").await
    };
    let news = store
        .update_credential(&changed, &act("credential.update"))
        .await
        .expect("changed");
    assert_eq!(
        (news.revocation.effect, &news.revocation.target),
        (Effect::Changes, &RevocationTarget::Credential(id("x")))
    );
    assert_eq!(store.revocations_after(0, 9).await.expect("read"), [news]);
    let expected = CredentialRecord {
        public_id: None,
        keyed_digest: None,
        created_at: T0,
        version: 2,
        ..changed.clone()
    };
    assert_eq!(stored(store, "x").await, expected);
    let tagged = CredentialFilter {
        tag: Some("north".to_owned()),
        ..Default::default()
    };
    assert_eq!(
        store
            .list_credentials(&tagged, &page(None, 9))
            .await
            .expect("listed")
            .len(),
        1
    );
    let untagged = CredentialRecord {
        about: About::default(),
        ..expected
    };
    store
        .update_credential(&untagged, &act("credential.update"))
        .await
        .expect("changed");
    assert_eq!(
        store
            .list_credentials(&tagged, &page(None, 9))
            .await
            .expect("listed"),
        []
    );

    let dead = stored(store, "dead").await;
    store
        .revoke(&end_of("dead", 1), &act("a"))
        .await
        .expect("revoked");
    let before = everything(store).await;
    let over = store.update_credential(&dead, &act("a")).await;
    assert!(matches!(over, Err(StoreError::Conflict(_))), "{over:?}");
    let late = store.update_credential(&changed, &act("a")).await;
    assert!(matches!(late, Err(StoreError::Outdated { found: 3 })), "{late:?}");
    let lost = CredentialRecord { id: id("x9"), ..dead };
    let lost = store.update_credential(&lost, &act("a")).await;
    assert!(matches!(lost, Err(StoreError::NotFound(_))), "{lost:?}");
    assert_eq!(everything(store).await, before);
}

/// The old one ends when it should and the new one is there, or nothing happened.
pub(crate) async fn a_successor_comes_with_the_end_of_the_old_one(store: &Arc<dyn Store>) {
    device_with_tokens(store, &["x", "taken"]).await;
    store
        .insert_principal(&device("d2"), &act("a"))
        .await
        .expect("inserted");
    let old = CredentialRecord {
        expires_at: Some(at(60)),
        replaced_by: Some(id("y")),
        ..stored(store, "x").await
    };
    let kind = CredentialKind::DeviceToken;
    let before = everything(store).await;
    for (why, new) in [
        ("the id is taken", credential("taken", "d1", kind)),
        ("another principal's", credential("y", "d2", kind)),
    ] {
        let outcome = store.succeed_credential(&old, &new, &act("reroll")).await;
        assert!(
            matches!(outcome, Err(StoreError::Conflict(_))),
            "{why}: {outcome:?}"
        );
        assert_eq!(everything(store).await, before, "{why}");
    }
    let new = credential("y", "d1", kind);
    let news = store
        .succeed_credential(&old, &new, &act("reroll"))
        .await
        .expect("replaced");
    assert_eq!(news.revocation.effect, Effect::Changes);
    assert_eq!(stored(store, "y").await, new);
    let left = stored(store, "x").await;
    assert_eq!(
        (left.expires_at, left.replaced_by, left.revoked_at),
        (Some(at(60)), Some(id("y")), None)
    );
    let again = store
        .succeed_credential(&old, &credential("z", "d1", kind), &act("reroll"))
        .await;
    assert!(
        matches!(again, Err(StoreError::Outdated { .. })),
        "one credential never becomes two: {again:?}"
    );
}

/// Each has its news, all have one audit row; what is over already is passed over.
pub(crate) async fn many_end_in_one_step(store: &Arc<dyn Store>) {
    device_with_tokens(store, &["a", "b", "c"]).await;
    store.revoke(&end_of("b", 1), &act("a")).await.expect("revoked");
    let rows_before = audit_rows(store).await;
    let ids = ["a", "b", "c", "nothing"].map(id);
    let news = store
        .revoke_credentials(&ids, at(5), &act("credential.revoke_many"))
        .await
        .expect("revoked");
    let targets: Vec<_> = news.iter().map(|n| n.revocation.target.clone()).collect();
    assert_eq!(
        targets,
        [
            RevocationTarget::Credential(id("a")),
            RevocationTarget::Credential(id("c"))
        ]
    );
    assert_eq!(audit_rows(store).await, rows_before + 1);
    let ends = [
        stored(store, "a").await,
        stored(store, "b").await,
        stored(store, "c").await,
    ];
    assert_eq!(
        ends.map(|c| c.revoked_at),
        [Some(at(5)), Some(at(1)), Some(at(5))]
    );
    assert_eq!(store.revocations_after(1, 9).await.expect("read"), news);
}

/// Deletion ends at once; the row goes later, and its usage with it.
pub(crate) async fn what_was_deleted_is_forgotten_after_a_while(store: &Arc<dyn Store>) {
    device_with_tokens(store, &["a", "b", "c"]).await;
    let news = store
        .delete_credential(&id("a"), at(5), &act("credential.delete"))
        .await
        .expect("deleted");
    assert_eq!(news.revocation.effect, Effect::Ends);
    let deleted = stored(store, "a").await;
    assert_eq!(
        (deleted.revoked_at, deleted.deleted_at),
        (Some(at(5)), Some(at(5)))
    );
    let again = store.delete_credential(&id("a"), at(6), &act("a")).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    store
        .delete_credential(&id("b"), at(9), &act("a"))
        .await
        .expect("deleted");
    let rows_before = audit_rows(store).await;
    for (until, forgotten) in [(4, 0), (5, 1), (5, 0)] {
        let purged = store
            .purge_credentials(at(until), 10, &act("credential.purge"))
            .await;
        assert_eq!(purged.expect("purged"), forgotten, "until {until}");
    }
    assert_eq!(
        audit_rows(store).await,
        rows_before + 1,
        "a purge of nothing is no act"
    );
    assert_eq!(store.credential(&id("a")).await.expect("read"), None);
    assert!(store.credential(&id("b")).await.expect("read").is_some());
    assert!(store.credential(&id("c")).await.expect("read").is_some());
}
