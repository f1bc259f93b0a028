//! Configuration's words to each room's own settings, where configuration does not speak them already.

use std::path::Path;

use crate::accounts::KeyHandles;
use crate::authn::AuthnSettings;
use crate::authn::extract::{self, Shapes};
use crate::authn::kinds::{api_token, jwt, sealed_device_token};
use crate::config::Settings;
use crate::config::settings::{IssuerKeys, StoreSettings};
use crate::crypto::CompatibleCipher;
use crate::runtime::slow_pool::SlowPoolLimits;
use crate::runtime::workers::default_threads;
use crate::store::sqlite::OpenAs;

/// Where the embedded store lies.
pub(super) fn store_path(settings: &Settings) -> &Path {
    match &settings.store {
        StoreSettings::Sqlite { path } => path,
    }
}

/// Half of the cores hash, at least one, unless configured.
pub(super) fn slow_pool(settings: &Settings) -> SlowPoolLimits {
    let configured = settings.slow_hash.workers;
    SlowPoolLimits {
        workers: configured.map_or_else(|| (default_threads().get() / 2).max(1), |n| n.get()),
        queue: settings.slow_hash.queue,
    }
}

pub(super) fn authn(settings: &Settings) -> AuthnSettings {
    AuthnSettings {
        cache: settings.cache,
        throttle: settings.throttle,
        max_staleness: settings.revocation.max_staleness,
        ..AuthnSettings::default()
    }
}

pub(super) fn sealed_device_token(settings: &Settings, keys: &KeyHandles) -> sealed_device_token::Settings {
    let written = &settings.credentials.sealed_device_token;
    sealed_device_token::Settings {
        v1_key: written.key.as_ref().map(CompatibleCipher::new),
        v2_keys: keys.device_token.clone(),
        lifetime: written.lifetime,
        write_access: written.write_access,
        min_identifier_chars: written.min_identifier_length,
    }
}

/// A management command verifies nobody: it fetches no key sets.
pub(super) fn jwt(settings: &Settings, keys: &KeyHandles, open_as: OpenAs) -> jwt::JwtSettings {
    let fetched = |keys: &IssuerKeys| matches!(keys, IssuerKeys::Given(jwt::KeySource::JwksUrl(_)));
    let issuers = settings.credentials.jwt_issuers.iter();
    let issuers = issuers.filter(|issuer| open_as == OpenAs::Server || !fetched(&issuer.keys));
    jwt::JwtSettings {
        issuers: issuers.map(|issuer| issuer.with(&keys.jwt)).collect(),
    }
}

/// The shapes that extraction tells API tokens by.
pub(super) fn shapes(settings: &Settings) -> Shapes {
    let written = &settings.credentials.api_token;
    let hex = match written.hex {
        api_token::HexTokens::Accepted => extract::HexTokens::ApiToken,
        api_token::HexTokens::Refused => extract::HexTokens::Opaque,
    };
    Shapes::new(written.prefixes.iter().map(api_token::Prefix::as_str), hex)
}
