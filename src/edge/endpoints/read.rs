//! Reading what endpoints are sent: the media type, JSON objects, forms. Pure.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Whether the body says that it is of this media type (without parameters, letters of any case). A page in a
/// browser can send neither of the types that are asked for here without the server's leave, or from a form
/// only what nobody takes for a credential.
pub(super) fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let named = value.to_str().ok().and_then(|text| text.split(';').next());
    named.is_some_and(|named| named.trim().eq_ignore_ascii_case(wanted))
}

/// The members of a JSON object; none for any other JSON value. `None`: it is no JSON.
pub(super) fn json_object(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body).ok()? {
        Value::Object(members) => Some(members),
        _ => Some(Map::new()),
    }
}

/// Most parameters of a form.
const MAX_PARAMETERS: usize = 32;

/// The parameters of a form (`application/x-www-form-urlencoded`), each there once. Zeroed on drop.
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads it. `None`: it cannot be read, or a parameter is there twice (RFC 6749 section 3.1).
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut parameters: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (form_decoded(name)?, Zeroizing::new(form_decoded(value)?));
            if parameters.len() >= MAX_PARAMETERS || parameters.iter().any(|(known, _)| *known == name) {
                return None;
            }
            parameters.push((name, value));
        }
        Some(Self(parameters))
    }

    /// A parameter. One without a value counts as left out (RFC 6749 section 3.1).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        (!value.is_empty()).then_some(value.as_str())
    }
}

/// A name or value of a form, decoded. `None`: a percent sign without its two digits, or no UTF-8.
pub(super) fn form_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex_digit(rest.next()?)?, hex_digit(rest.next()?)?);
                high << 4 | low
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_whole_or_not_at_all() {
        for (body, expected, why) in [
            ("token=a", Some(Some("a")), "plain"),
            ("x=1&token=a%2Bb+c%C3%A4", Some(Some("a+b cä")), "encoded"),
            ("tok%65n=a", Some(Some("a")), "an encoded name"),
            ("token=", Some(None), "empty is left out"),
            ("token", Some(None), "without a value"),
            ("&&token=a&", Some(Some("a")), "empty pairs"),
            ("token=a=b", Some(Some("a=b")), "only the first sign separates"),
            ("token=a&token=a", None, "twice"),
            ("token=a&tok%65n=b", None, "twice, spelled differently"),
            ("token=%4", None, "half an encoding"),
            ("token=%zz", None, "no encoding"),
            ("token=%ff", None, "no UTF-8"),
        ] {
            let read = Form::read(body.as_bytes());
            assert_eq!(
                read.as_ref().map(|form| form.get("token")),
                expected,
                "{body}: {why}"
            );
        }
        let many = (0..40).map(|n| format!("p{n}=x&")).collect::<String>();
        assert!(Form::read(many.as_bytes()).is_none(), "more than the bound");
    }

    #[test]
    fn the_media_type_is_compared_without_parameters_and_must_be_single() {
        for (values, expected) in [
            (&["application/json"][..], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/json "], true),
            (&["application/jsonp"], false),
            (&["text/plain"], false),
            (&["application/json", "application/json"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, value.parse().expect("a value"));
            }
            assert_eq!(is_of_type(&headers, "application/json"), expected, "{values:?}");
        }
    }
}
