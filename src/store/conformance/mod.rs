//! What every store must do: one suite, run by each engine on its own empty stores.
//!
//! An engine's tests say `store_conformance!(make)`, where `make` is an async function that returns an
//! [`Empty`]; that makes one test of each case. Cases know nothing of engines. Test code only.

mod audit;
mod changes;
mod credentials;
mod keys;
mod nonces;
mod principals;
mod repeats;
mod revocations;
mod usage;

pub(crate) use audit::*;
pub(crate) use changes::*;
pub(crate) use credentials::*;
pub(crate) use keys::*;
pub(crate) use nonces::*;
pub(crate) use principals::*;
pub(crate) use repeats::*;
pub(crate) use revocations::*;
pub(crate) use usage::*;

use std::any::Any;
use std::sync::Arc;

use super::*;
use crate::domain::identity::PrincipalKind;
use crate::domain::scope::{Permission, Role, ScopeSet};

/// An empty store, and what it lives in.
pub(crate) struct Empty {
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// Dropped after it: a folder, a database.
    pub(crate) _home: Box<dyn Any>,
}

/// Makes one test of each case for an engine.
macro_rules! store_conformance {
    ($make:path) => {
        $crate::store::conformance::store_conformance!($make:
            records_come_back_as_written,
            taken_names_conflict,
            owners_must_exist,
            principals_are_listed_by_age_page_by_page,
            disabling_revokes_and_tells_in_one_step,
            a_credential_comes_back_with_its_owners,
            an_owner_that_is_off_shows,
            digests_and_user_names_are_unique,
            living_credentials_come_before_revoked_ones,
            a_keyed_digest_can_be_written_later,
            replacing_ends_the_old_with_the_new,
            a_replacement_that_fails_changes_nothing,
            of_two_replacements_one_wins,
            credentials_are_listed_by_age_page_by_page,
            credentials_are_found_in_every_order_and_by_every_filter,
            tenants_and_customers_change_by_version,
            a_principal_changes_by_version_and_tells_everybody,
            a_deleted_principal_takes_everything_along,
            a_network_finds_its_devices_by_serial,
            a_credential_changes_by_version_and_tells_everybody,
            a_successor_comes_with_the_end_of_the_old_one,
            many_end_in_one_step,
            what_was_deleted_is_forgotten_after_a_while,
            revocations_come_back_in_order,
            revoking_marks_the_stored_credential_once,
            revoking_many_marks_what_is_there_whatever_the_clock_says,
            disabling_marks_no_credential,
            pruned_numbers_are_never_given_again,
            concurrent_revocations_become_visible_without_gaps,
            rotation_steps_keys_down,
            rotation_expects_the_current_key,
            of_two_first_keys_one_wins,
            every_act_leaves_one_row_and_a_failed_one_none,
            events_are_chained_and_listed_newest_first,
            trimmed_rows_leave_a_chain_that_can_be_checked,
            concurrent_acts_keep_the_chain_whole,
            usage_adds_up,
            a_nonce_is_spent_once,
            a_nonce_is_forgotten_when_its_time_is_over,
            a_request_is_claimed_once_and_answered_again,
            of_two_claims_one_wins,
            a_closed_store_is_unavailable
        );
    };
    ($make:path: $($case:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let empty = $make().await;
                $crate::store::conformance::$case(&empty.store).await;
            }
        )*
    };
}
pub(crate) use store_conformance;

/// The store stays answering until it is closed, and then says so.
pub(crate) async fn a_closed_store_is_unavailable(store: &Arc<dyn Store>) {
    store.ping().await.expect("answers");
    store.close().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(
        store.insert_tenant(&tenant("t"), &act("late")).await,
        Err(StoreError::Unavailable(_))
    ));
    store.close().await;
}

pub(crate) const T0: UnixMillis = UnixMillis(1_700_000_000_000);

/// `T0` and some milliseconds.
pub(crate) fn at(ms: i64) -> UnixMillis {
    UnixMillis(T0.0 + ms)
}

pub(crate) fn act(name: &str) -> AuditDraft {
    AuditDraft {
        at: at(7),
        actor: "local:1000".to_owned(),
        act: name.to_owned(),
        target: "target".to_owned(),
        from: Some("192.0.2.1".to_owned()),
        detail: serde_json::json!({ "name": "Jürgen's \"meter\"", "count": 3 }),
    }
}

pub(crate) fn id<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is an id"))
}

pub(crate) fn tenant(name: &str) -> TenantRecord {
    TenantRecord {
        id: id(name),
        name: format!("Tenant {name}"),
        enabled: Enabled::Yes,
        created_at: T0,
        about: About::default(),
        version: 1,
    }
}

pub(crate) fn customer(name: &str, of: &str) -> CustomerRecord {
    CustomerRecord {
        id: id(name),
        tenant: id(of),
        name: format!("Customer {name}"),
        enabled: Enabled::Yes,
        created_at: T0,
        about: About::default(),
        version: 1,
    }
}

pub(crate) fn device(name: &str) -> PrincipalRecord {
    PrincipalRecord {
        id: id(name),
        kind: PrincipalKind::Device,
        tenant: None,
        customer: None,
        name: format!("Device {name}"),
        external_id: None,
        roles: vec![],
        enabled: Enabled::Yes,
        created_at: T0,
        about: About::default(),
        network: None,
        serial: None,
        version: 1,
    }
}

pub(crate) fn credential(name: &str, of: &str, kind: CredentialKind) -> CredentialRecord {
    CredentialRecord {
        id: id(name),
        kind,
        principal: id(of),
        name: String::new(),
        public_id: None,
        keyed_digest: None,
        slow_digest: None,
        scopes: ScopeSet::default(),
        permission: Permission::Full,
        networks: vec![],
        transport: Transport::Any,
        enabled: Enabled::Yes,
        expires_at: None,
        revoked_at: None,
        created_at: T0,
        about: About::default(),
        environment: None,
        limits: None,
        sealed_secret: None,
        replaced_by: None,
        deleted_at: None,
        version: 1,
    }
}

pub(crate) fn keyed(byte: u8) -> Option<KeyedDigest> {
    Some(KeyedDigest {
        digest: [byte; 32],
        key: id("lookup-1"),
    })
}

/// Everything of one credential's, ended.
pub(crate) fn end_of(credential: &str, ms: i64) -> NewRevocation {
    NewRevocation {
        effect: Effect::Ends,
        target: RevocationTarget::Credential(id(credential)),
        cut_at: at(ms),
        until: None,
    }
}

pub(crate) fn page(after: Option<Cursor>, limit: u32) -> Page {
    Page { after, limit }
}

/// Notes with something in each.
pub(crate) fn about() -> About {
    About {
        description: "On the roof, \"north\" side".to_owned(),
        metadata: serde_json::json!({ "rack": 7, "owner": { "name": "Zoë" } })
            .as_object()
            .cloned()
            .unwrap_or_default(),
        tags: vec!["north".to_owned(), "roof".to_owned()],
    }
}

/// How many audit rows there are.
pub(crate) async fn audit_rows(store: &Arc<dyn Store>) -> usize {
    store.list_audit(None, 10_000).await.expect("listed").len()
}

/// What everything listed looks like: equal before and after means that nothing changed.
pub(crate) async fn everything(store: &Arc<dyn Store>) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?}",
        store
            .list_principals(&PrincipalFilter::default(), &page(None, 10_000))
            .await,
        store
            .list_credentials(&CredentialFilter::default(), &page(None, 10_000))
            .await,
        store.revocations_after(0, 10_000).await,
        store.list_keys().await,
        store.list_audit(None, 10_000).await,
    )
}

pub(crate) fn role(text: &str) -> Role {
    Role::parse(text).expect("a role")
}
