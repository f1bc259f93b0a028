//! What the command line writes: results to standard output, everything else to standard error.
//!
//! The only place that writes to a terminal. Secrets stand alone on standard output, so that a shell can
//! take them; what is said about them goes to standard error.

use std::io::{self, BufRead, IsTerminal, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

/// The form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Tables and sentences.
    People,
    /// JSON.
    Json,
}

/// Writes results in one form. A reader that went away (`| head`) is no fault.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    form: Form,
}

impl Output {
    /// Writes in this form.
    pub fn new(form: Form) -> Self {
        Self { form }
    }

    /// The form.
    pub fn form(&self) -> Form {
        self.form
    }

    /// One value as JSON.
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        self.line(&text)
    }

    /// A line of the result.
    pub fn line(&self, text: &str) -> io::Result<()> {
        forgiving(writeln!(io::stdout().lock(), "{text}"))
    }

    /// A text of the result, as it is.
    pub fn text(&self, text: &str) -> io::Result<()> {
        forgiving(write!(io::stdout().lock(), "{text}"))
    }

    /// A table of the result.
    pub fn table(&self, header: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
        if rows.is_empty() {
            return self.note("nothing to list");
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header.to_vec());
        table.add_rows(rows);
        self.line(&table.trim_fmt())
    }

    /// A remark, which is no result.
    pub fn note(&self, text: &str) -> io::Result<()> {
        forgiving(writeln!(io::stderr().lock(), "{text}"))
    }

    /// What went wrong.
    pub fn fault(&self, text: &str) {
        // Nothing is left to tell it to.
        // In one piece: another process may write to the same place, the server that a successor follows say.
        let _ = io::stderr().write_all(format!("doorward: {text}\n").as_bytes());
    }
}

fn forgiving(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// How long a line from standard input may be.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The first line of standard input, without its end.
pub fn read_line() -> io::Result<String> {
    let mut line = String::new();
    let mut limited = io::Read::take(io::stdin().lock(), MAX_LINE_BYTES);
    limited.read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

/// Whether somebody sits at standard input.
pub fn somebody_is_there() -> bool {
    io::stdin().is_terminal()
}
