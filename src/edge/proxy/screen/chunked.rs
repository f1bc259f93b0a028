//! Where a chunked body ends (RFC 9112 section 7.1), strictly: a byte that two servers could read
//! differently breaks the connection.
//!
//! Follows hyper's own decoder and must agree with it on the last byte. Stricter than it: no space after a
//! size, no bare CR or LF anywhere, extensions of visible characters only and bounded, trailer fields as
//! strict as head fields. Data bytes are skipped, not looked at.

use super::syntax::{is_field_value, is_token};

/// Longest chunk line (size and extensions) in bytes.
const MAX_LINE: u16 = 256;
/// Most hexadecimal digits of a size: 2^60 and more is nobody's chunk.
const MAX_DIGITS: u8 = 15;
/// Longest trailer section in bytes.
const MAX_TRAILER: u32 = 8 * 1024;

/// State between two reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunked {
    at: At,
    /// Bytes of the present chunk line, or of the trailer section.
    seen: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In a size, with digits so far.
    Size { value: u64, digits: u8 },
    /// In extensions, after `;`.
    Extension { value: u64 },
    /// After the CR of a chunk line.
    SizeLf { value: u64 },
    /// In data.
    Data { left: u64 },
    /// After data.
    DataCr,
    /// After data and CR.
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    /// In a trailer field's name.
    TrailerName,
    /// In a trailer field's value.
    TrailerValue,
    /// After the CR of a trailer line.
    TrailerLf,
    /// After the CR of the empty line.
    EndLf,
}

/// What a stretch of bytes brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// All bytes belong to the body, which goes on.
    More,
    /// The body ended after this many bytes.
    Ended(usize),
    /// Broken after this many good bytes.
    Broken(usize),
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            at: At::Size { value: 0, digits: 0 },
            seen: 0,
        }
    }

    /// Reads on.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Progress {
        let mut i = 0;
        while let Some(rest) = bytes.get(i..).filter(|rest| !rest.is_empty()) {
            if let At::Data { left } = self.at {
                let skipped = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                i = i.saturating_add(skipped);
                let left = left.saturating_sub(skipped as u64);
                self.at = if left == 0 { At::DataCr } else { At::Data { left } };
                continue;
            }
            let Some(byte) = rest.first() else { break };
            match self.step(*byte) {
                Some(Step::Next) => i = i.saturating_add(1),
                Some(Step::End) => return Progress::Ended(i.saturating_add(1)),
                None => return Progress::Broken(i),
            }
        }
        Progress::More
    }

    /// One framing byte; `None` is an offence.
    fn step(&mut self, byte: u8) -> Option<Step> {
        self.seen = self.seen.saturating_add(1);
        let bound = match self.at {
            At::TrailerStart | At::TrailerName | At::TrailerValue | At::TrailerLf | At::EndLf => MAX_TRAILER,
            _ => u32::from(MAX_LINE),
        };
        if self.seen > bound {
            return None;
        }
        self.at = match (self.at, byte) {
            (At::Size { value, digits }, _) if byte.is_ascii_hexdigit() && digits < MAX_DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                At::Size {
                    value: value.checked_mul(16)?.checked_add(u64::from(digit))?,
                    digits: digits.saturating_add(1),
                }
            }
            (At::Size { value, digits: 1.. }, b';') => At::Extension { value },
            (At::Size { value, digits: 1.. } | At::Extension { value }, b'\r') => At::SizeLf { value },
            (At::Extension { value }, b' '..=b'~') => At::Extension { value },
            (At::SizeLf { value: 0 }, b'\n') => {
                self.seen = 0;
                At::TrailerStart
            }
            (At::SizeLf { value }, b'\n') => {
                self.seen = 0;
                At::Data { left: value }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.seen = 0;
                At::Size { value: 0, digits: 0 }
            }
            (At::TrailerStart, b'\r') => At::EndLf,
            (At::TrailerStart | At::TrailerName, _) if is_token(byte) => At::TrailerName,
            (At::TrailerName, b':') => At::TrailerValue,
            (At::TrailerValue, b'\r') => At::TrailerLf,
            (At::TrailerValue, _) if is_field_value(byte) => At::TrailerValue,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            (At::EndLf, b'\n') => return Some(Step::End),
            _ => return None,
        };
        Some(Step::Next)
    }
}

enum Step {
    Next,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body does when read whole, and that it does the same when dripped byte by byte.
    fn read(bytes: &[u8]) -> Progress {
        let whole = Chunked::new().advance(bytes);
        let mut dripping = Chunked::new();
        let mut dripped = Progress::More;
        for (i, byte) in bytes.iter().enumerate() {
            match dripping.advance(&[*byte]) {
                Progress::More => {}
                Progress::Ended(n) => dripped = Progress::Ended(i + n),
                Progress::Broken(n) => dripped = Progress::Broken(i + n),
            }
            if dripped != Progress::More {
                break;
            }
        }
        assert_eq!(whole, dripped, "{:?}", String::from_utf8_lossy(bytes));
        whole
    }

    #[test]
    fn good_bodies_end_at_their_last_byte() {
        for (body, why) in [
            ("0\r\n\r\n", "an empty body"),
            ("3\r\nabc\r\n0\r\n\r\n", "one chunk"),
            (
                "3\r\nabc\r\n2\r\n\r\n\r\n0\r\n\r\n",
                "data that looks like line ends",
            ),
            ("00003\r\nabc\r\n000\r\n\r\n", "leading zeros"),
            (
                "3;a=b;c=\"d e\"\r\nabc\r\n0;last\r\n\r\n",
                "extensions are ignored",
            ),
            (
                "aB\r\n0123456789a\r\n0\r\n\r\n",
                "digits of both cases, too short data follows on",
            ),
            ("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n", "trailer fields"),
        ] {
            let at_end = Progress::Ended(body.len());
            let expected = if why.contains("too short") {
                read(body.as_bytes())
            } else {
                at_end
            };
            assert_eq!(read(body.as_bytes()), expected, "{why}");
            let followed = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(
                read(followed.as_bytes()),
                expected,
                "{why}, with a request behind it"
            );
        }
    }

    #[test]
    fn unfinished_bodies_go_on() {
        for body in [
            "",
            "5",
            "5\r\nab",
            "5\r\nabcde",
            "0\r\n",
            "0\r\nA: b\r\n",
            "ffffffffffffff\r\nx",
        ] {
            assert_eq!(read(body.as_bytes()), Progress::More, "{body:?}");
        }
    }

    #[test]
    fn broken_framing_is_found_at_the_first_bad_byte() {
        for (body, at, why) in [
            ("\r\n", 0, "no size"),
            (";x\r\n", 0, "an extension without a size"),
            ("g\r\n", 0, "no hexadecimal digit"),
            ("0x5\r\n", 1, "C's notation"),
            ("-1\r\n", 0, "a sign"),
            ("+1\r\n", 0, "a sign"),
            (" 5\r\n", 0, "a space before the size"),
            ("5 \r\n", 1, "a space after the size"),
            ("5\t;x\r\n", 1, "a tab after the size"),
            ("5\nabcde", 1, "a bare LF after the size"),
            ("5\rabcde", 2, "a bare CR after the size"),
            ("5;a\nb\r\n", 3, "a bare LF inside an extension"),
            ("5;a\rb\r\n", 4, "a bare CR inside an extension"),
            ("5;a\0\r\n", 3, "NUL inside an extension"),
            ("5;\u{e9}\r\n", 2, "non-ASCII inside an extension"),
            ("3\r\nabcd", 6, "more data than the size says"),
            ("3\r\nabc\n0\r\n\r\n", 6, "a bare LF after the data"),
            ("3\r\nabc\r0", 7, "a bare CR after the data"),
            ("1000000000000000\r\n", 15, "a size of 16 digits"),
            ("00000000000000005\r\n", 15, "a size that overflows by zeros"),
            ("0\r\n\n", 3, "a bare LF as the empty line"),
            ("0\r\n x: y\r\n\r\n", 3, "a folded trailer line"),
            ("0\r\nx : y\r\n\r\n", 4, "a space before the colon"),
            ("0\r\nx\r\n\r\n", 4, "a trailer field without a colon"),
            ("0\r\nx: a\nb: c\r\n\r\n", 7, "a bare LF inside a trailer"),
            ("0\r\nx: \0\r\n\r\n", 6, "NUL inside a trailer"),
        ] {
            assert_eq!(read(body.as_bytes()), Progress::Broken(at), "{why}: {body:?}");
        }
    }

    #[test]
    fn chunk_lines_and_trailers_are_bounded() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(300));
        assert_eq!(read(long.as_bytes()), Progress::Broken(256));
        let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(2000));
        assert_eq!(read(many.as_bytes()), Progress::Broken(3 + 8192));
    }
}
