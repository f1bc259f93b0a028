//! What people write on things, and limits, checked: bounded, one spelling each, nothing that breaks a line.
//! Pure. Called by every use case that takes such texts.

use super::error::{AccountsError, Result};
use super::{About, CredentialLimits};

/// Longest description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 1024;
/// Longest metadata, in bytes of compact JSON.
const MAX_METADATA_BYTES: usize = 8 * 1024;
/// Most tags of one thing.
const MAX_TAGS: usize = 32;
/// Longest tag or label, in bytes.
const MAX_WORD_BYTES: usize = 64;
/// Most windows of one limit.
const MAX_WINDOWS: usize = 8;

/// A description that fits: bounded, without control characters but line ends.
pub(super) fn description(text: &str) -> Result<String> {
    let expected = "at most 1024 bytes without control characters";
    if text.len() > MAX_DESCRIPTION_BYTES {
        return Err(AccountsError::bad(
            "description",
            format!("{} bytes", text.len()),
            expected,
        ));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(AccountsError::bad("description", "a control character", expected));
    }
    Ok(text.to_owned())
}

/// Metadata that fits.
pub(super) fn metadata(
    map: serde_json::Map<String, serde_json::Value>,
) -> Result<serde_json::Map<String, serde_json::Value>> {
    let bytes = serde_json::Value::from(map.clone()).to_string().len();
    if bytes > MAX_METADATA_BYTES {
        return Err(AccountsError::bad(
            "metadata",
            format!("{bytes} bytes"),
            format!("an object of at most {MAX_METADATA_BYTES} bytes"),
        ));
    }
    Ok(map)
}

/// Tags: words, sorted, each once.
pub(super) fn tags(texts: Vec<String>) -> Result<Vec<String>> {
    if texts.len() > MAX_TAGS {
        return Err(AccountsError::bad(
            "tags",
            format!("{} of them", texts.len()),
            format!("at most {MAX_TAGS}"),
        ));
    }
    let mut tags = texts
        .into_iter()
        .map(|text| word("tags", &text))
        .collect::<Result<Vec<_>>>()?;
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

/// All of what people wrote.
pub(super) fn about(about: About) -> Result<About> {
    Ok(About {
        description: description(&about.description)?,
        metadata: metadata(about.metadata)?,
        tags: tags(about.tags)?,
    })
}

/// A label such as `production`.
pub(super) fn environment(text: &str) -> Result<String> {
    word("environment", text)
}

fn word(field: &'static str, text: &str) -> Result<String> {
    let fits = (1..=MAX_WORD_BYTES).contains(&text.len())
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if fits {
        Ok(text.to_owned())
    } else {
        Err(AccountsError::bad(
            field,
            "a text that is no word",
            "words of 1 to 64 bytes, without spaces and control characters",
        ))
    }
}

/// Limits whose windows can be read.
pub(super) fn limits(limits: CredentialLimits) -> Result<CredentialLimits> {
    for (field, windows) in [
        ("limits.requests", &limits.requests),
        ("limits.data_points", &limits.data_points),
        ("limits.bytes", &limits.bytes),
    ] {
        if windows.as_deref().is_some_and(|text| !are_windows(text)) {
            return Err(AccountsError::bad(
                field,
                "something else",
                "up to 8 windows such as `100:1,2000:60`: how many, in how many seconds",
            ));
        }
    }
    if limits.connections == Some(0) {
        return Err(AccountsError::bad(
            "limits.connections",
            "0",
            "at least 1; disable the credential instead",
        ));
    }
    Ok(limits)
}

/// `capacity:seconds`, both above zero, separated by commas.
fn are_windows(text: &str) -> bool {
    let natural = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits
            && text
                .parse::<u64>()
                .is_ok_and(|n| (1..=1_000_000_000_000).contains(&n))
    };
    let windows: Vec<&str> = text.split(',').collect();
    windows.len() <= MAX_WINDOWS
        && windows
            .iter()
            .all(|w| w.split_once(':').is_some_and(|(n, s)| natural(n) && natural(s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_numbers_with_a_colon_between() {
        for (text, good) in [
            ("100:1", true),
            ("100:1,2000:60", true),
            ("", false),
            ("100", false),
            ("0:1", false),
            ("1:0", false),
            ("+1:1", false),
            ("1:1,", false),
            (" 1:1", false),
            ("1:1:1", false),
            ("99999999999999999999:1", false),
            ("1:1,1:2,1:3,1:4,1:5,1:6,1:7,1:8,1:9", false),
        ] {
            assert_eq!(are_windows(text), good, "{text:?}");
        }
    }

    #[test]
    fn tags_are_words_sorted_and_each_once() {
        let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(tags(texts(&["b", "a", "b"])).expect("tags"), ["a", "b"]);
        for bad in ["", "two words", "tab\there", "new\u{2028}line\n", &"x".repeat(65)] {
            assert!(tags(texts(&[bad])).is_err(), "{bad:?}");
        }
        assert!(tags(vec!["x".to_owned(); 33]).is_err(), "too many");
    }

    #[test]
    fn notes_are_bounded() {
        assert!(description(&"x".repeat(1024)).is_ok());
        assert!(description(&"x".repeat(1025)).is_err());
        assert!(description("two\nlines").is_ok());
        assert!(description("a bell\u{7}").is_err());
        let mut map = serde_json::Map::new();
        map.insert("k".to_owned(), "x".repeat(9000).into());
        assert!(metadata(map).is_err());
    }
}
