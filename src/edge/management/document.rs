//! The OpenAPI document: what the handlers say of themselves, and what is true of all of them.
//!
//! The door refuses alike everywhere, so the refusals are written down once, here, and each operation's scope comes
//! from the table that the guard asks. Nothing in the document is a secret: it is served without a token.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema, ToSchema};

use super::operations::{Door, OPERATIONS, Operation};
use super::wire::{FieldError, ProblemBody};

/// Refusals of every operation.
const EVERYWHERE: &[(u16, &str)] = &[
    (400, "A part of the request is wrong; `errors` names every one"),
    (401, "No token, or one that is not good"),
    (
        403,
        "The token may not do this, or the request comes from a web page of somebody else's",
    ),
    (404, "There is no such thing, or it is another tenant's"),
    (405, "The endpoint has no such method"),
    (421, "The Host header does not name this machine"),
    (500, "Something here is broken; the log says what"),
    (
        503,
        "The store does not answer, or there is too much to do; try again",
    ),
];
/// Refusals of operations that change something.
const OF_CHANGES: &[(u16, &str)] = &[
    (409, "It contradicts what is there"),
    (507, "The store is full; nothing was changed"),
];
/// Refusals of operations that take a body.
const OF_BODIES: &[(u16, &str)] = &[
    (413, "The body is longer than 64 KiB, or broke off"),
    (415, "The body is not sent as JSON"),
];

/// The document, of what the routers collected.
pub fn of(parts: impl IntoIterator<Item = OpenApi>) -> Value {
    let mut whole = OpenApi::default();
    for part in parts {
        whole.merge(part);
    }
    let mut document = serde_json::to_value(&whole).unwrap_or_default();
    *below(&mut document, "openapi") = json!("3.1.0");
    *below(&mut document, "info") = json!({
        "title": "Doorward management API",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Tokens, devices and their owners, keys, revocations and the audit trail. Refusals are problems \
            (RFC 9457) with a `message` that is never empty. Unknown fields and parameters are refused.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    *below(&mut document, "servers") = json!([{ "url": "/" }]);
    let components = below(&mut document, "components");
    let schemas = below(components, "schemas");
    *below(schemas, &ProblemBody::name()) = json!(ProblemBody::schema());
    *below(schemas, &FieldError::name()) = json!(FieldError::schema());
    *below(components, "securitySchemes") = json!({ "administrator": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token of a principal with the role SYS_ADMIN. A token with scopes may do what they say; \
            one without scopes, or with `admin`, everything.",
    } });
    for operation in OPERATIONS {
        let path = format!("{}{}", super::BASE, operation.path);
        let method = operation.method.to_ascii_lowercase();
        if let Some(written) = below(below(&mut document, "paths"), &path).get_mut(&method) {
            adorn(written, operation);
        }
    }
    document
}

/// What is true of an operation besides what its handler says.
fn adorn(written: &mut Value, operation: &Operation) {
    *below(written, "security") = json!([{ "administrator": [operation.scope] }]);
    if operation.door == Door::Socket {
        *below(written, "x-doorward-door") = json!("admin socket only");
    }
    if operation.method == "PATCH" {
        if let Value::Array(parameters) = below(written, "parameters") {
            parameters.push(json!({
                "name": "If-Match", "in": "header", "required": false,
                "description": "The `ETag` of the version that the change is made for; any version when left out",
                "schema": { "type": "string" },
            }));
        }
        let refusal = (412, "It was changed since that version");
        refuse(written, refusal);
    }
    if operation.makes() {
        if written.get("parameters").is_none() {
            *below(written, "parameters") = json!([]);
        }
        if let Value::Array(parameters) = below(written, "parameters") {
            parameters.push(json!({
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "A word of your own: the same request under it within a day makes nothing again, and gets \
                    the first one's answer without its secret",
                "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]+$" },
            }));
        }
        refuse(written, (422, "The Idempotency-Key was used for another request"));
    }
    let changes = operation.method != "GET";
    let has_body = written.get("requestBody").is_some();
    let lists = [(true, EVERYWHERE), (changes, OF_CHANGES), (has_body, OF_BODIES)];
    for refusal in lists
        .iter()
        .filter(|(holds, _)| *holds)
        .flat_map(|(_, list)| *list)
    {
        refuse(written, *refusal);
    }
}

fn refuse(written: &mut Value, (status, why): (u16, &str)) {
    let answer = below(below(written, "responses"), &status.to_string());
    if answer.is_null() {
        *answer = json!({
            "description": why,
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/ProblemBody" } } },
        });
    }
}

/// What stands under this name, made when nothing does.
fn below<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(fields) => fields.entry(name).or_insert(Value::Null),
        other => other,
    }
}
