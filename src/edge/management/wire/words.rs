//! Words that stand for something of the domain, described as the closed lists that they are.

use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use crate::accounts::{CredentialState, KeyPurpose};
use crate::domain::identity::CredentialKind;
use crate::domain::scope::Permission;

fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Object {
    let words: Vec<&str> = words.into_iter().collect();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
}

/// Kinds of credentials.
pub fn credential_kind() -> Object {
    one_of(CredentialKind::ALL.iter().map(|kind| kind.as_str()))
}

/// Kinds of principals.
pub fn principal_kind() -> Object {
    one_of(["device", "user", "service"])
}

/// Kinds of principals that are no devices.
pub fn account_kind() -> Object {
    one_of(["user", "service"])
}

/// Permissions.
pub fn permission() -> Object {
    one_of([Permission::Full, Permission::Read, Permission::Write].map(Permission::as_str))
}

/// What keys are for.
pub fn key_purpose() -> Object {
    one_of(KeyPurpose::ALL.iter().map(|purpose| purpose.as_str()))
}

/// Where keys stand.
pub fn key_state() -> Object {
    one_of(["current", "previous", "retired"])
}

/// Where credentials stand.
pub fn credential_state() -> Object {
    one_of(CredentialState::ALL.iter().map(|state| state.as_str()))
}
