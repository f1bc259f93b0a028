//! Records of a file, one after the other, in bounded memory: JSON lines, or CSV with a header (RFC 4180).
//!
//! Which of the two is told by the first letter that is no space. A record knows its line and where the next one
//! begins, so that an import can go on there. What is no record is handed on as a fault of its line, and reading goes
//! on behind it. Contents are never part of a fault.

use std::io::{self, BufRead, Seek, SeekFrom};

use serde_json::{Map, Value};

/// The cells of a CSV record, or what is wrong with it.
type Cells = Result<Vec<String>, String>;

/// Longest record, in bytes: the bound on memory.
const MAX_RECORD_BYTES: usize = 256 * 1024;

/// A record by the names of its fields.
pub type Fields = Map<String, Value>;

/// What stands in the file next.
#[derive(Debug)]
pub struct Record {
    /// The line it begins on, from 1.
    pub line: u64,
    /// Its fields, or what is wrong with it.
    pub fields: Result<Fields, String>,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Bytes before it.
    pub bytes: u64,
    /// Lines before it.
    pub lines: u64,
}

#[derive(Debug)]
enum Form {
    JsonLines,
    Csv(Vec<String>),
}

/// Reads records.
#[derive(Debug)]
pub struct Source<R> {
    reader: R,
    place: Place,
    form: Form,
    buffer: Vec<u8>,
}

impl<R: BufRead + Seek> Source<R> {
    /// Looks at the beginning, and goes on behind `place`.
    pub fn open(mut reader: R, place: Option<Place>) -> io::Result<Self> {
        let csv = first_letter(&mut reader)?.is_none_or(|b| b != b'{');
        let mut source = Self {
            reader,
            place: Place::default(),
            form: Form::JsonLines,
            buffer: Vec::new(),
        };
        if csv && let Some((_, header)) = source.next_csv()? {
            let header = header.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
            source.form = Form::Csv(header);
        }
        if let Some(place) = place {
            source.reader.seek(SeekFrom::Start(place.bytes))?;
            source.place = place;
        }
        Ok(source)
    }

    /// The place behind what was read.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The next record; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Record>> {
        if matches!(self.form, Form::JsonLines) {
            return self.next_json();
        }
        let Some((line, cells)) = self.next_csv()? else {
            return Ok(None);
        };
        let Form::Csv(header) = &self.form else {
            return Ok(None);
        };
        let fields = cells.and_then(|cells| named(header, cells));
        Ok(Some(Record { line, fields }))
    }

    fn next_json(&mut self) -> io::Result<Option<Record>> {
        loop {
            self.buffer.clear();
            let (line, whole) = (self.place.lines.saturating_add(1), self.read_line()?);
            if whole == Line::End {
                return Ok(None);
            }
            let text = self.buffer.trim_ascii();
            if text.is_empty() && whole == Line::Whole {
                continue;
            }
            let fields = match whole {
                Line::TooLong => Err(too_long()),
                _ => serde_json::from_slice(text)
                    // Its own words may repeat the text.
                    .map_err(|e| format!("no JSON object (column {})", e.column())),
            };
            return Ok(Some(Record { line, fields }));
        }
    }

    /// The next record of a CSV file: its line, and its cells or what is wrong with it.
    fn next_csv(&mut self) -> io::Result<Option<(u64, Cells)>> {
        loop {
            self.buffer.clear();
            let line = self.place.lines.saturating_add(1);
            let mut whole = self.read_line()?;
            if whole == Line::End {
                return Ok(None);
            }
            // A cell in quotes may hold line ends: a record is whole when its quotes are even.
            while whole == Line::Whole && self.buffer.iter().filter(|b| **b == b'"').count() % 2 == 1 {
                match self.read_line()? {
                    Line::End => {
                        let why = "a quoted cell that does not end".to_owned();
                        return Ok(Some((line, Err(why))));
                    }
                    next => whole = next,
                }
            }
            if whole == Line::TooLong {
                return Ok(Some((line, Err(too_long()))));
            }
            let bytes = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if bytes.is_empty() {
                continue;
            }
            let cells = std::str::from_utf8(bytes)
                .map_err(|_| "not UTF-8".to_owned())
                .and_then(cells);
            return Ok(Some((line, cells)));
        }
    }

    /// Adds a line to the buffer. What is beyond the bound is passed over.
    fn read_line(&mut self) -> io::Result<Line> {
        let before = self.buffer.len();
        let room = MAX_RECORD_BYTES.saturating_sub(before).saturating_add(1);
        let limit = u64::try_from(room).unwrap_or(u64::MAX);
        let mut read = io::Read::take(&mut self.reader, limit).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(Line::End);
        }
        let mut whole = Line::Whole;
        if self.buffer.len() > MAX_RECORD_BYTES {
            whole = Line::TooLong;
            while self.buffer.last() != Some(&b'\n') {
                self.buffer.clear();
                let more = io::Read::take(&mut self.reader, limit).read_until(b'\n', &mut self.buffer)?;
                read = read.saturating_add(more);
                if more == 0 {
                    break;
                }
            }
        }
        self.place.bytes = self
            .place
            .bytes
            .saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        self.place.lines = self.place.lines.saturating_add(1);
        Ok(whole)
    }
}

/// How a line was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Whole,
    TooLong,
    End,
}

fn too_long() -> String {
    format!("longer than {MAX_RECORD_BYTES} bytes")
}

/// The first letter, which is not taken.
fn first_letter(reader: &mut (impl BufRead + Seek)) -> io::Result<Option<u8>> {
    let mut skipped = 0;
    let found = loop {
        let seen = reader.fill_buf()?;
        let at = seen.iter().position(|b| !b.is_ascii_whitespace());
        match at.and_then(|at| seen.get(at)) {
            Some(letter) => break Some(*letter),
            None if seen.is_empty() || skipped > MAX_RECORD_BYTES => break None,
            None => {
                let all = seen.len();
                skipped += all;
                reader.consume(all);
            }
        }
    };
    reader.rewind()?;
    Ok(found)
}

fn named(header: &[String], cells: Vec<String>) -> Result<Fields, String> {
    if header.len() != cells.len() {
        return Err(format!(
            "{} cells, expected {} as in the header",
            cells.len(),
            header.len()
        ));
    }
    let named = header.iter().cloned().zip(cells.into_iter().map(Value::String));
    Ok(named.collect())
}

/// The cells of a record without its line end.
fn cells(text: &str) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_cell(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (cell, after) = rest.split_at(end);
                (cell.to_owned(), after)
            }
        };
        out.push(cell);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(out),
            None => return Err("something between a quoted cell and the next comma".to_owned()),
        }
    }
}

/// A cell behind its opening quote, and what follows its closing one. A doubled quote stands for one.
fn quoted_cell(text: &str) -> Result<(String, &str), String> {
    let (mut cell, mut rest) = (String::new(), text);
    loop {
        let (before, after) = rest.split_once('"').ok_or("a quoted cell that does not end")?;
        cell.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => return Ok((cell, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn all(text: &str) -> Vec<(u64, Result<String, String>)> {
        let mut source = Source::open(Cursor::new(text.as_bytes()), None).expect("a source");
        let mut out = Vec::new();
        while let Some(record) = source.next().expect("readable") {
            out.push((
                record.line,
                record.fields.map(|fields| Value::Object(fields).to_string()),
            ));
        }
        out
    }

    #[test]
    fn both_forms_give_the_same_records_with_their_lines() {
        let good = |line, text: &str| (line, Ok(text.to_owned()));
        for (text, expected) in [
            (
                "a,b\n1,\"x, \"\"y\"\"\nz\"\r\n\n2,\n",
                vec![
                    good(2, r#"{"a":"1","b":"x, \"y\"\nz"}"#),
                    good(5, r#"{"a":"2","b":""}"#),
                ],
            ),
            ("\u{feff}a\n1", vec![good(2, r#"{"a":"1"}"#)]),
            (
                "{\"a\":1}\n\n  {\"b\":[2]}",
                vec![good(1, r#"{"a":1}"#), good(3, r#"{"b":[2]}"#)],
            ),
            ("", vec![]),
            ("\n \n", vec![]),
            ("a,b\n", vec![]),
        ] {
            assert_eq!(all(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_record_is_told_by_its_line_without_its_content_and_the_next_one_is_read() {
        let long = "x".repeat(MAX_RECORD_BYTES + 10);
        for (text, line, why) in [
            ("{\"a\":1}\nsecret\n{\"a\":2}".to_owned(), 2, "no JSON object"),
            (
                "{\"a\":1}\n[\"secret\"]\n{\"a\":2}".to_owned(),
                2,
                "no JSON object",
            ),
            (
                format!("{{\"a\":1}}\n{{\"a\":\"{long}\"}}\n{{\"a\":2}}"),
                2,
                "longer than",
            ),
            ("a\n1\n\"secret\"x\n2".to_owned(), 3, "between a quoted cell"),
            ("a,b\n1,2\nsecret\n3,4".to_owned(), 3, "1 cells, expected 2"),
            (format!("a\n1\n{long}\n2"), 3, "longer than"),
        ] {
            let found = all(&text);
            let faults: Vec<_> = found.iter().filter(|(_, f)| f.is_err()).collect();
            assert_eq!((found.len(), faults.len()), (3, 1), "{why}: {found:?}");
            let (at, Err(told)) = faults[0] else {
                panic!("a fault")
            };
            assert!(
                *at == line && told.contains(why) && !told.contains("secret"),
                "{told}"
            );
        }
        assert_eq!(
            all("a\n\"open").first().map(|(l, f)| (*l, f.is_err())),
            Some((2, true))
        );
    }

    #[test]
    fn reading_goes_on_at_a_place() {
        for text in ["a\n1\n2\n3\n", "{\"a\":\"1\"}\n{\"a\":\"2\"}\n{\"a\":\"3\"}\n"] {
            let open = |place| Source::open(Cursor::new(text.as_bytes()), place).expect("a source");
            let mut first = open(None);
            first.next().expect("readable").expect("a record");
            let second = first.next().expect("readable").expect("a record").line;
            let mut again = open(Some(first.place()));
            let third = again.next().expect("readable").expect("a record");
            assert_eq!(third.line, second + 1);
            assert_eq!(third.fields.expect("fields")["a"], "3");
        }
    }
}
