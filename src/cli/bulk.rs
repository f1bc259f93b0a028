//! Commands that work by the million rows: on the store itself, also beside a running server.
//!
//! A request to the management door has a bound on its body, and a file of a million rows has none; so these open the
//! store as a tool, as every command does when no server runs. The server finds the rows at the next look-up: new ones
//! need no news, apart from refusals that it remembers for two seconds.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, LineWriter, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Failure;
use super::args_import::{Import, ImportFormat};
use super::output::{Form, Output};
use crate::accounts::import::{
    self, Begin, ForeignAdministrators, Format, ImportReport, Listener, Peppered, Trial,
};
use crate::app::Tool;
use crate::config::Settings;
use crate::domain::ids::TenantId;

/// How often the bar is drawn at most, in a second.
const DRAWN_PER_SECOND: u8 = 4;

/// `import …`.
pub async fn import(settings: &Settings, wanted: Import, out: Output) -> Result<(), Failure> {
    let tenant = wanted.tenant.as_deref().map(TenantId::parse).transpose();
    let tenant = tenant.map_err(|e| Failure::Usage(format!("--tenant: {e}")))?;
    let file =
        File::open(&wanted.file).map_err(|e| Failure::Usage(format!("{}: {e}", wanted.file.display())))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let text = format!(
            "{}: no regular file; an import reads it twice",
            wanted.file.display()
        );
        return Err(Failure::Usage(text));
    }
    let asked = import::Import {
        format: match wanted.format {
            ImportFormat::Homechat => Format::HomeChat,
            ImportFormat::Thingsboard => Format::ThingsBoard,
            ImportFormat::Tagoio => Format::TagoIo,
            ImportFormat::Jsonl => Format::Jsonl,
        },
        tenant,
        peppered: if wanted.without_pepper {
            Peppered::No
        } else {
            Peppered::Yes
        },
        administrators: if wanted.administrators {
            ForeignAdministrators::Welcome
        } else {
            ForeignAdministrators::Refused
        },
        trial: if wanted.dry_run { Trial::Dry } else { Trial::Real },
        begin: if wanted.again {
            Begin::Anew
        } else {
            Begin::WhereItEnded
        },
    };
    let mut told = Told {
        rejects: match &wanted.rejects {
            // What an earlier run of the same file refused stays in it. Line by line: an end in mid-run loses none.
            Some(path) => Some(LineWriter::new(
                File::options().append(true).create(true).open(path)?,
            )),
            None => None,
        },
        bar: bar(metadata.len()),
        out,
    };
    let pepper_is_set = settings.credentials.api_token.pepper.is_some();
    if asked.format == Format::HomeChat && asked.peppered == Peppered::Yes && !pepper_is_set {
        out.note(
            "No pepper is set: tokens that are imported now cannot come in before credentials.api_token.pepper_file \
             holds HomeChat's API_TOKEN_PEPPER. (If it had none, say --without-pepper.)",
        )?;
    }
    let tool = Tool::open(settings).await.map_err(Failure::failed)?;
    let (accounts, actor) = tool.accounts();
    let report = accounts
        .import(BufReader::new(file), &asked, actor, &mut told)
        .await;
    told.bar.finish_and_clear();
    if let Some(mut rejects) = told.rejects {
        rejects.flush()?;
    }
    tool.close().await;
    show(&report.map_err(Failure::failed)?, asked.trial, out)
}

fn show(report: &ImportReport, trial: Trial, out: Output) -> Result<(), Failure> {
    if out.form() == Form::Json {
        return Ok(out.json(report)?);
    }
    if report.resumed_at > 0 {
        out.note(&format!(
            "Went on behind line {}; the numbers are of all runs of this file.",
            report.resumed_at
        ))?;
    }
    let word = match trial {
        Trial::Real => "added",
        Trial::Dry => "would be added",
    };
    out.line(&format!("{} credentials {word}", report.credentials))?;
    if trial == Trial::Real {
        out.line(&format!(
            "{} principals, {} customers, {} tenants made for them",
            report.principals, report.customers, report.tenants
        ))?;
    }
    out.line(&format!(
        "{} were there already and stay as they are",
        report.known
    ))?;
    Ok(out.line(&format!("{} rows refused", report.refused))?)
}

/// Tells whoever typed the command.
struct Told {
    rejects: Option<LineWriter<File>>,
    bar: ProgressBar,
    out: Output,
}

impl Listener for Told {
    fn refused(&mut self, line: u64, why: &str) -> io::Result<()> {
        let text = format!("line {line}: {why}");
        match &mut self.rejects {
            Some(file) => writeln!(file, "{text}"),
            None => self.bar.suspend(|| self.out.note(&text)),
        }
    }

    fn reached(&mut self, bytes: u64) {
        self.bar.set_position(bytes);
    }
}

/// A bar where somebody looks.
fn bar(bytes: u64) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(bytes), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}% {binary_bytes_per_sec} {eta} left") {
        bar.set_style(style);
    }
    bar
}
