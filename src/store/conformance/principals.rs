//! Tenants, customers and principals.

use super::*;

/// Every field survives, and what is not there is `None`.
pub(crate) async fn records_come_back_as_written(store: &Arc<dyn Store>) {
    let (tenant, customer) = (tenant("t1"), customer("c1", "t1"));
    let off = TenantRecord {
        enabled: Enabled::No,
        ..super::tenant("t2")
    };
    store
        .insert_tenant(&tenant, &act("tenant.create"))
        .await
        .expect("inserted");
    store
        .insert_tenant(&off, &act("tenant.create"))
        .await
        .expect("inserted");
    store
        .insert_customer(&customer, &act("customer.create"))
        .await
        .expect("inserted");
    let full = PrincipalRecord {
        kind: PrincipalKind::User,
        tenant: Some(id("t1")),
        customer: Some(id("c1")),
        name: "Zoë ' \" \u{1f600}".to_owned(),
        external_id: Some("zoë@example.com".to_owned()),
        roles: vec![role("TENANT_ADMIN"), role("CUSTOMER_USER")],
        enabled: Enabled::No,
        created_at: UnixMillis(-1),
        ..device("full")
    };
    for principal in [&full, &device("bare")] {
        store
            .insert_principal(principal, &act("principal.create"))
            .await
            .expect("inserted");
        assert_eq!(
            store.principal(&principal.id).await.expect("read").as_ref(),
            Some(principal)
        );
    }
    assert_eq!(store.tenant(&tenant.id).await.expect("read"), Some(tenant));
    assert_eq!(store.tenant(&off.id).await.expect("read"), Some(off));
    assert_eq!(store.customer(&customer.id).await.expect("read"), Some(customer));
    assert_eq!(store.tenant(&id("nobody")).await.expect("read"), None);
    assert_eq!(store.customer(&id("nobody")).await.expect("read"), None);
    assert_eq!(store.principal(&id("nobody")).await.expect("read"), None);
}

/// Ids are unique, external ids per kind.
pub(crate) async fn taken_names_conflict(store: &Arc<dyn Store>) {
    store
        .insert_tenant(&tenant("t1"), &act("a"))
        .await
        .expect("inserted");
    store
        .insert_customer(&customer("c1", "t1"), &act("a"))
        .await
        .expect("inserted");
    let first = PrincipalRecord {
        external_id: Some("SN-1".to_owned()),
        ..device("d1")
    };
    store.insert_principal(&first, &act("a")).await.expect("inserted");
    let before = everything(store).await;
    for (why, outcome) in [
        ("tenant id", store.insert_tenant(&tenant("t1"), &act("a")).await),
        (
            "customer id",
            store.insert_customer(&customer("c1", "t1"), &act("a")).await,
        ),
        (
            "principal id",
            store.insert_principal(&device("d1"), &act("a")).await,
        ),
        (
            "external id of the same kind",
            store
                .insert_principal(
                    &PrincipalRecord {
                        id: id("d2"),
                        ..first.clone()
                    },
                    &act("a"),
                )
                .await,
        ),
    ] {
        assert!(
            matches!(outcome, Err(StoreError::Conflict(_))),
            "{why}: {outcome:?}"
        );
    }
    assert_eq!(
        everything(store).await,
        before,
        "a conflict changes nothing, not even the audit trail"
    );
    let other_kind = PrincipalRecord {
        id: id("s1"),
        kind: PrincipalKind::Service,
        ..first
    };
    store
        .insert_principal(&other_kind, &act("a"))
        .await
        .expect("another kind may have the name");
}

/// Nothing belongs to what is not there.
pub(crate) async fn owners_must_exist(store: &Arc<dyn Store>) {
    for t in ["t1", "t2"] {
        store
            .insert_tenant(&tenant(t), &act("a"))
            .await
            .expect("inserted");
    }
    store
        .insert_customer(&customer("c1", "t1"), &act("a"))
        .await
        .expect("inserted");
    let before = everything(store).await;
    let outcome = store.insert_customer(&customer("c2", "t9"), &act("a")).await;
    assert!(matches!(outcome, Err(StoreError::NotFound(_))), "{outcome:?}");
    for (why, of_tenant, of_customer) in [
        ("no such tenant", Some("t9"), None),
        ("no such customer", Some("t1"), Some("c9")),
        ("another tenant's customer", Some("t2"), Some("c1")),
    ] {
        let principal = PrincipalRecord {
            tenant: of_tenant.map(id),
            customer: of_customer.map(id),
            ..device("d1")
        };
        let outcome = store.insert_principal(&principal, &act("a")).await;
        assert!(
            matches!(outcome, Err(StoreError::NotFound(_))),
            "{why}: {outcome:?}"
        );
    }
    let no_tenant = PrincipalRecord {
        customer: Some(id("c1")),
        ..device("d1")
    };
    let outcome = store.insert_principal(&no_tenant, &act("a")).await;
    assert!(matches!(outcome, Err(StoreError::Conflict(_))), "{outcome:?}");
    let orphan = credential("x", "nobody", CredentialKind::DeviceToken);
    let outcome = store.insert_credential(&orphan, &act("a")).await;
    assert!(matches!(outcome, Err(StoreError::NotFound(_))), "{outcome:?}");
    assert_eq!(everything(store).await, before);
}

/// Oldest first whatever the order of insertion; pages join without loss or repetition.
pub(crate) async fn principals_are_listed_by_age_page_by_page(store: &Arc<dyn Store>) {
    store
        .insert_tenant(&tenant("t1"), &act("a"))
        .await
        .expect("inserted");
    for (name, age) in [("e", 4), ("c", 1), ("d", 1), ("a", 9), ("b", 0)] {
        let principal = PrincipalRecord {
            created_at: at(age),
            tenant: (name > "b").then(|| id("t1")),
            kind: if name == "e" {
                PrincipalKind::User
            } else {
                PrincipalKind::Device
            },
            external_id: (name == "d").then(|| "SN-d".to_owned()),
            ..device(name)
        };
        store
            .insert_principal(&principal, &act("a"))
            .await
            .expect("inserted");
    }
    let names = |found: &[PrincipalRecord]| found.iter().map(|p| p.id.to_string()).collect::<String>();
    for (filter, expected) in [
        (PrincipalFilter::default(), "bcdea"),
        (
            PrincipalFilter {
                kind: Some(PrincipalKind::Device),
                ..Default::default()
            },
            "bcda",
        ),
        (
            PrincipalFilter {
                tenant: Some(id("t1")),
                ..Default::default()
            },
            "cde",
        ),
        (
            PrincipalFilter {
                external_id: Some("SN-d".to_owned()),
                ..Default::default()
            },
            "d",
        ),
        (
            PrincipalFilter {
                kind: Some(PrincipalKind::Service),
                ..Default::default()
            },
            "",
        ),
    ] {
        for limit in [1, 2, 3, 100] {
            let (mut all, mut after) = (String::new(), None);
            loop {
                let found = store
                    .list_principals(&filter, &page(after, limit))
                    .await
                    .expect("listed");
                assert!(found.len() <= limit as usize);
                all += &names(&found);
                match found.last() {
                    Some(last) => after = Some(last.cursor()),
                    None => break,
                }
            }
            assert_eq!(all, expected, "{filter:?} by {limit}");
        }
    }
    let foreign = Cursor {
        key: "no instant".to_owned(),
        id: "a".to_owned(),
    };
    let lost = store
        .list_principals(&PrincipalFilter::default(), &page(Some(foreign), 5))
        .await;
    assert!(matches!(lost, Err(StoreError::NotFound(_))), "{lost:?}");
}

/// The state, the revocation and the audit row come together or not at all.
pub(crate) async fn disabling_revokes_and_tells_in_one_step(store: &Arc<dyn Store>) {
    store
        .insert_principal(&device("d1"), &act("a"))
        .await
        .expect("inserted");
    let before = everything(store).await;
    let missing = store
        .set_principal_enabled(&id("nobody"), Enabled::No, at(1), &act("a"))
        .await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    assert_eq!(everything(store).await, before);

    let written = store
        .set_principal_enabled(&id("d1"), Enabled::No, at(1), &act("principal.disable"))
        .await
        .expect("disabled")
        .expect("a revocation");
    let expected = NewRevocation {
        effect: Effect::Ends,
        target: RevocationTarget::Principal(id("d1")),
        cut_at: at(1),
        until: None,
    };
    assert_eq!(written.revocation, expected);
    assert_eq!(store.revocations_after(0, 10).await.expect("read"), [written]);
    assert_eq!(
        store
            .principal(&id("d1"))
            .await
            .expect("read")
            .expect("there")
            .enabled,
        Enabled::No
    );
    assert_eq!(audit_rows(store).await, 2);

    let none = store
        .set_principal_enabled(&id("d1"), Enabled::Yes, at(2), &act("principal.enable"))
        .await
        .expect("enabled");
    assert_eq!(none, None);
    assert_eq!(
        store
            .principal(&id("d1"))
            .await
            .expect("read")
            .expect("there")
            .enabled,
        Enabled::Yes
    );
    assert_eq!(store.revocations_after(0, 10).await.expect("read").len(), 1);
    assert_eq!(audit_rows(store).await, 3);
}
