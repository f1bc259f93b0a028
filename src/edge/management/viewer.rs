//! The document and its viewer (Swagger UI, whose files are part of the program), served without a token: neither
//! tells a secret, and whoever wants to try something types a token into the viewer.
//!
//! The page may run and fetch what comes from this door, and nothing else (strict CSP): no inline script, no frame
//! around it, no foreign address.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::Value;
use utoipa_swagger_ui::Config;

use super::problem::Problem;

/// Where the document is.
pub const DOCUMENT: &str = "/api/v1/openapi.json";
/// Below what the viewer is.
const VIEWER: &str = "/api/v1/docs";

/// The viewer's files that are served. (It also brings a page with an inline script, for a login that nobody here
/// offers.)
const FILES: &[&str] = &[
    "index.html",
    "index.css",
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-initializer.js",
    "favicon-16x16.png",
    "favicon-32x32.png",
];

const RULES: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The routes.
pub fn routes(document: &Value) -> Router {
    let text: Arc<str> = document.to_string().into();
    let config = Arc::new(
        Config::new([DOCUMENT])
            .persist_authorization(false)
            .validator_url("none")
            .query_config_enabled(false),
    );
    let page = move |name: String| {
        let config = Arc::clone(&config);
        async move { file(&name, config) }
    };
    let index = page.clone();
    Router::new()
        .route(
            DOCUMENT,
            get(async move || ([(header::CONTENT_TYPE, "application/json")], text.to_string())),
        )
        .route(VIEWER, get(async || Redirect::permanent("/api/v1/docs/")))
        .route(&format!("{VIEWER}/"), get(move || index("index.html".to_owned())))
        .route(
            &format!("{VIEWER}/{{file}}"),
            get(move |Path(name): Path<String>| page(name)),
        )
        .method_not_allowed_fallback(super::no_such_method)
        .layer(axum::middleware::map_response(ruled))
}

fn file(name: &str, config: Arc<Config<'static>>) -> Response {
    let known = FILES.contains(&name);
    match known.then(|| utoipa_swagger_ui::serve(name, config)) {
        Some(Ok(Some(file))) => (
            [(header::CONTENT_TYPE, file.content_type)],
            file.bytes.into_owned(),
        )
            .into_response(),
        _ => Problem::new(StatusCode::NOT_FOUND, "the viewer has no such file").into_response(),
    }
}

async fn ruled(mut response: Response) -> Response {
    for (name, value) in RULES {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
