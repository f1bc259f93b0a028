//! The public auth endpoints: their paths, what they cannot do without, and what should be known of them.

use super::super::raw::Config;
use super::super::raw::endpoints::{
    DeviceTokenEndpoints, Door, GenerationMode as RawMode, HomechatEndpoints, IdentifierForm as RawForm,
    SealedFormat, TagoIoEndpoints, TagoIoPart as RawPart,
};
use super::super::raw::values::{AdminAddress, PathText};
use super::super::settings::{
    ClientEndpointSettings, CredentialSettings, DeviceTokenEndpointSettings, EndpointDoor, EndpointSettings,
    HomechatEndpointSettings, TagoIoPart, TagoIoSettings,
};
use super::{Notes, chosen};
use crate::accounts::{GenerationLimits, GenerationMode, GenerationSettings, IdentifierForm, SealedForm};
use crate::edge::endpoints::nest::ExtraFields;
use crate::edge::proxy::own_pages::JWKS_PATH;
use crate::gate::path::normalize;

/// Keys that only act where tokens are generated.
const OF_GENERATION: [&str; 6] = [
    "mode",
    "format",
    "max_identifier_length",
    "identifier",
    "extra_fields",
    "limits",
];

/// Resolves them.
pub(super) fn resolve(
    config: &Config,
    credentials: &CredentialSettings,
    notes: &mut Notes<'_>,
) -> EndpointSettings {
    let mut taken = Taken(vec![("the published keys".to_owned(), JWKS_PATH.to_owned())]);
    EndpointSettings {
        device_token: device_token(&config.endpoints.device_token, credentials, &mut taken, notes),
        homechat: homechat(&config.endpoints.homechat, &mut taken, notes),
        introspection: client_endpoint("introspection", config, &mut taken, notes),
        revocation: client_endpoint("revocation", config, &mut taken, notes),
        tagoio: tagoio(&config.endpoints.tagoio, &mut taken, notes),
    }
}

fn tagoio(raw: &TagoIoEndpoints, taken: &mut Taken, notes: &mut Notes<'_>) -> TagoIoSettings {
    let mut serve = Vec::new();
    for (i, part) in raw.serve.iter().enumerate() {
        let part = match part {
            RawPart::Info => TagoIoPart::Info,
            RawPart::DeviceToken => TagoIoPart::DeviceToken,
        };
        let at = format!("endpoints.tagoio.serve[{i}]");
        if let Some(path) = taken.path(&at, part.path(), notes) {
            taken.0.push((at, path));
            serve.push(part);
        }
    }
    let makes_tokens = raw.serve.contains(&RawPart::DeviceToken);
    if !makes_tokens && raw.expire_time != TagoIoEndpoints::default().expire_time {
        notes.report.add(
            "endpoints.tagoio.expire_time",
            "a value without effect",
            "nothing: no token is made",
            "add device_token to endpoints.tagoio.serve, or remove it",
        );
    }
    TagoIoSettings {
        serve,
        expire_time: raw.expire_time.0.clone().into(),
    }
}

fn homechat(raw: &HomechatEndpoints, taken: &mut Taken, notes: &mut Notes<'_>) -> HomechatEndpointSettings {
    const KEY: &str = "endpoints.homechat";
    let fallback = HomechatEndpoints::default();
    if raw.refresh.is_empty() && raw.token_lifetime != fallback.token_lifetime {
        notes.report.add(
            &format!("{KEY}.token_lifetime"),
            "a value without effect",
            "nothing: no token is refreshed",
            format!("name a path in {KEY}.refresh, or remove it"),
        );
    }
    HomechatEndpointSettings {
        refresh: taken.paths(&format!("{KEY}.refresh"), &raw.refresh, notes),
        sessions: taken.paths(&format!("{KEY}.sessions"), &raw.sessions, notes),
        token_lifetime: raw.token_lifetime.0,
    }
}

fn client_endpoint(
    name: &str,
    config: &Config,
    taken: &mut Taken,
    notes: &mut Notes<'_>,
) -> ClientEndpointSettings {
    let raw = match name {
        "introspection" => &config.endpoints.introspection,
        _ => &config.endpoints.revocation,
    };
    let key = format!("endpoints.{name}");
    if raw.paths.is_empty() && raw.door != Door::default() {
        let found = "a value without effect";
        let remedy = format!("name a path in {key}.paths, or remove it");
        notes.report.add(
            &format!("{key}.door"),
            found,
            "nothing: the endpoint is off",
            remedy,
        );
    }
    if !raw.paths.is_empty() && raw.door == Door::Admin && config.admin.address == AdminAddress::Off {
        notes.report.add(
            &format!("{key}.door"),
            "admin, which has no address",
            "a door that listens",
            "give admin.address, or choose door: proxy",
        );
    }
    ClientEndpointSettings {
        paths: taken.paths(&format!("{key}.paths"), &raw.paths, notes),
        door: match raw.door {
            Door::Proxy => EndpointDoor::Proxy,
            Door::Admin => EndpointDoor::Admin,
        },
    }
}

/// Paths that are somebody's, with whose they are.
struct Taken(Vec<(String, String)>);

impl Taken {
    /// Paths in the form that requests are compared by. Bad ones are reported and left out.
    fn paths(&mut self, key: &str, written: &[PathText], notes: &mut Notes<'_>) -> Vec<Box<str>> {
        let mut paths = Vec::new();
        for (i, path) in written.iter().enumerate() {
            let at = format!("{key}[{i}]");
            let Some(path) = self.path(&at, &path.0, notes) else {
                continue;
            };
            self.0.push((at, path.clone()));
            paths.push(path.into_boxed_str());
        }
        paths
    }

    fn path(&self, key: &str, written: &str, notes: &mut Notes<'_>) -> Option<String> {
        let expected = "a path of its own, such as /auth/device/generate-token";
        let fits = normalize(written).is_ok_and(|n| n.offences().is_empty() && n.for_matching() == written);
        if !fits || written.ends_with('/') || written.contains(['{', '}', '?', '#']) {
            let remedy = "write it as it is asked for: no patterns, no encodings, no slash at its end";
            notes.report.add(key, written, expected, remedy);
            return None;
        }
        if let Some((whose, _)) = self.0.iter().find(|(_, path)| path.eq_ignore_ascii_case(written)) {
            let found = format!("{written}, which is that of {whose} too");
            notes.report.add(key, found, expected, "choose another path");
            return None;
        }
        Some(written.to_owned())
    }
}

fn device_token(
    raw: &DeviceTokenEndpoints,
    credentials: &CredentialSettings,
    taken: &mut Taken,
    notes: &mut Notes<'_>,
) -> DeviceTokenEndpointSettings {
    const KEY: &str = "endpoints.device_token";
    let generate = taken.paths(&format!("{KEY}.generate"), &raw.generate, notes);
    let validate = taken.paths(&format!("{KEY}.validate"), &raw.validate, notes);
    let min_chars = credentials.sealed_device_token.min_identifier_length;
    if raw.generate.is_empty() {
        for name in chosen(raw, &DeviceTokenEndpoints::default(), &OF_GENERATION) {
            notes.report.add(
                &format!("{KEY}.{name}"),
                "a value without effect",
                "nothing: no token is generated",
                format!("name a path in {KEY}.generate, or remove it"),
            );
        }
    } else {
        judge_generation(raw, credentials, notes);
    }
    if usize::from(raw.max_identifier_length) < min_chars {
        notes.report.add(
            &format!("{KEY}.max_identifier_length"),
            raw.max_identifier_length.to_string(),
            format!("at least {min_chars}, which is credentials.sealed_device_token.min_identifier_length"),
            "raise the one or lower the other",
        );
    }
    DeviceTokenEndpointSettings {
        generate,
        validate,
        extra_fields: match raw.extra_fields {
            true => ExtraFields::Sent,
            false => ExtraFields::LeftOut,
        },
        generation: GenerationSettings {
            mode: match raw.mode {
                RawMode::Open => GenerationMode::Open,
                RawMode::Registered => GenerationMode::Registered,
                RawMode::Credential => GenerationMode::Credential,
            },
            form: match raw.format {
                SealedFormat::Compatible => SealedForm::Compatible,
                SealedFormat::Own => SealedForm::Own,
            },
            min_chars,
            max_chars: raw.max_identifier_length.into(),
            identifier: match raw.identifier {
                RawForm::Any => IdentifierForm::Any,
                RawForm::Uuid => IdentifierForm::Uuid,
            },
            limits: GenerationLimits {
                window: raw.limits.window.0,
                per_address: raw.limits.per_address,
                per_device: raw.limits.per_device,
                overall: raw.limits.overall,
            },
        },
    }
}

fn judge_generation(raw: &DeviceTokenEndpoints, credentials: &CredentialSettings, notes: &mut Notes<'_>) {
    const MODE: &str = "endpoints.device_token.mode";
    let key = &credentials.sealed_device_token.key;
    if raw.format == SealedFormat::Compatible && key.is_none() {
        notes.report.add(
            "endpoints.device_token.format",
            "compatible, without a key to seal with",
            "credentials.sealed_device_token.key or key_file, or format: own",
            "make a key with: openssl rand -base64 32",
        );
    }
    match raw.mode {
        RawMode::Open => notes.warn(
            MODE,
            "device tokens are generated for whoever asks: any stranger becomes any device. Choose registered or \
             credential where that is not meant",
        ),
        RawMode::Registered => notes.warn(
            MODE,
            "device tokens are generated for whoever knows the identifier of a registered device: identifiers are \
             secrets here. Choose credential where others may know them",
        ),
        RawMode::Credential => {}
    }
}
