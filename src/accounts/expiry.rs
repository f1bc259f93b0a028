//! When a new credential ends, as people write it: `never`, a date, or a span of time.
//!
//! Pure; the present is an argument. Months and years follow the calendar in UTC, so `1 month` from the
//! 31st of January is the last day of February.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::error::{AccountsError, Result};
use crate::domain::clock::UnixMillis;

/// What can be written, for messages and help texts.
pub const EXPECTED: &str = "`never`, a date such as 2027-01-31 or 2027-01-31T12:00:00Z, or a span such as \
                            `30d`, `3 hours` or `1 month`";
/// Farthest end: beyond it, `never` is meant.
const MAX_YEARS: i64 = 100;

/// Reads an expiry; `None` is `never`. The end must lie in the future.
pub fn parse(text: &str, now: UnixMillis) -> Result<Option<UnixMillis>> {
    let wrong = |found: String| AccountsError::bad("expires", found, EXPECTED);
    let text = text.trim();
    if text.eq_ignore_ascii_case("never") {
        return Ok(None);
    }
    // A text this long is no expiry; it is not repeated, since it may be something pasted by mistake.
    if text.len() > 64 {
        return Err(wrong(format!("a text of {} bytes", text.len())));
    }
    let at = match instant(text) {
        Some(at) => at,
        None => after(text, now).ok_or_else(|| wrong(format!("`{text}`")))?,
    };
    if at <= now {
        return Err(AccountsError::bad(
            "expires",
            format!("`{text}`, which is not in the future ({})", at.rfc3339()),
            "a point of time that is still to come",
        ));
    }
    let farthest =
        shift(now, Span::new().try_years(MAX_YEARS).ok()).ok_or_else(|| wrong(format!("`{text}`")))?;
    if at > farthest {
        return Err(AccountsError::bad(
            "expires",
            format!("`{text}`, more than {MAX_YEARS} years from now"),
            "an earlier end, or `never`",
        ));
    }
    Ok(Some(at))
}

/// A point of time, or the beginning of a day in UTC.
fn instant(text: &str) -> Option<UnixMillis> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(UnixMillis(at.as_millisecond()));
    }
    let day: Date = text.parse().ok()?;
    let start = day.to_zoned(TimeZone::UTC).ok()?;
    Some(UnixMillis(start.timestamp().as_millisecond()))
}

/// A span from now on: a number and a unit.
fn after(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (amount, unit) = text.split_at_checked(digits)?;
    let amount: i64 = amount.parse().ok().filter(|n| *n > 0)?;
    let span = Span::new();
    let span = match unit.trim_start().to_ascii_lowercase().as_str() {
        "s" | "sec" | "second" | "seconds" => span.try_seconds(amount),
        "min" | "m" | "minute" | "minutes" => span.try_minutes(amount),
        "h" | "hour" | "hours" => span.try_hours(amount),
        "d" | "day" | "days" => span.try_days(amount),
        "w" | "week" | "weeks" => span.try_weeks(amount),
        "mo" | "month" | "months" => span.try_months(amount),
        "y" | "year" | "years" => span.try_years(amount),
        _ => return None,
    };
    shift(now, span.ok())
}

fn shift(now: UnixMillis, span: Option<Span>) -> Option<UnixMillis> {
    let now = Timestamp::from_millisecond(now.0).ok()?;
    let then = now.to_zoned(TimeZone::UTC).checked_add(span?).ok()?;
    Some(UnixMillis(then.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        UnixMillis(text.parse::<Timestamp>().expect("a timestamp").as_millisecond())
    }

    #[test]
    fn what_people_write_is_understood() {
        let now = at("2027-01-31T10:00:00Z");
        for (text, expected) in [
            ("never", None),
            (" Never ", None),
            ("3 hours", Some("2027-01-31T13:00:00Z")),
            ("3h", Some("2027-01-31T13:00:00Z")),
            ("90s", Some("2027-01-31T10:01:30Z")),
            ("5 min", Some("2027-01-31T10:05:00Z")),
            ("30d", Some("2027-03-02T10:00:00Z")),
            ("2 weeks", Some("2027-02-14T10:00:00Z")),
            ("1 month", Some("2027-02-28T10:00:00Z")),
            ("1 Year", Some("2028-01-31T10:00:00Z")),
            ("2027-06-01", Some("2027-06-01T00:00:00Z")),
            ("2027-06-01T12:30:00+02:00", Some("2027-06-01T10:30:00Z")),
        ] {
            let parsed = parse(text, now).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(parsed, expected.map(at), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_an_end_is_refused_with_the_reason() {
        let now = at("2027-01-31T10:00:00Z");
        for (text, part) in [
            ("", "expected `never`"),
            ("soon", "`soon`"),
            ("0 days", "`0 days`"),
            ("-3 hours", "`-3 hours`"),
            ("3", "`3`"),
            ("3 fortnights", "`3 fortnights`"),
            ("2027-02-30", "`2027-02-30`"),
            ("2027-01-31", "not in the future"),
            ("2020-01-01T00:00:00Z", "not in the future"),
            ("101 years", "`never`"),
            ("9999999999999999999 years", "expected"),
            ("99999999999 years", "expected"),
            ("9000000000000000 seconds", "expected"),
        ] {
            let error = parse(text, now).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let pasted = "x".repeat(65);
        let error = parse(&pasted, now).expect_err("too long").to_string();
        assert!(!error.contains(&pasted), "{error}");
    }
}
