//! Credentials of other programs, and of other installations, taken over with their digests: nobody needs a new token.
//!
//! ```text
//! file ─▶ source: records with lines ─▶ a format: rows ─▶ store: batches, each with its position and audit row
//!            │ no record                   │ cannot be kept   │ contradicts what is stored
//!            └──────────────────────────── told by line and reason, never with the value
//! ```
//! A batch is kept as a whole together with the position behind it, so an import that was ended in mid-run goes on
//! where it was. Memory is bounded by one batch. What is in the store already is never changed. Formats are pure;
//! reading is `source`'s, writing the store's. Called by the command line, on the store itself: a server beside it
//! sees the rows at the next look-up.

mod fields;
mod homechat;
mod making;
mod own;
mod source;
mod tagoio;
#[cfg(test)]
mod tests;
mod thingsboard;

use std::io::{self, BufRead, Seek};

use serde::{Deserialize, Serialize};

use self::fields::Fault;
use self::making::Making;
pub use self::making::{ForeignAdministrators, Peppered, Trial};
use self::source::{Place, Record, Source};
use super::{Accounts, Actor, Result};
use crate::accounts::AccountsError;
use crate::crypto::digest::of_content;
use crate::domain::ids::TenantId;
use crate::store::{AuditDraft, ImportCounts, ImportOutcome, ImportRow, Store};

/// Rows of one batch. Each batch is durable before the next begins; larger ones cost fewer writes of index pages.
const BATCH_ROWS: usize = if cfg!(test) { 40 } else { 20_000 };
/// Bytes of the file that one batch comes from at most.
const BATCH_BYTES: u64 = 16 << 20;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// HomeChat's `api_tokens`.
    HomeChat,
    /// ThingsBoard's `api_key` or `device_credentials`.
    ThingsBoard,
    /// TagoIO's list of device tokens.
    TagoIo,
    /// Our own export.
    Jsonl,
}

impl Format {
    /// The name on the command line and in the audit trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HomeChat => "homechat",
            Self::ThingsBoard => "thingsboard",
            Self::TagoIo => "tagoio",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Where the last run of the same file ended.
    WhereItEnded,
    /// At the beginning.
    Anew,
}

/// What shall be imported, and how.
#[derive(Debug, Clone)]
pub struct Import {
    /// Whose file it is.
    pub format: Format,
    /// Everything goes into this tenant, which is made when it is missing.
    pub tenant: Option<TenantId>,
    /// How HomeChat made its digests.
    pub peppered: Peppered,
    /// Whether rows may bring administrators.
    pub administrators: ForeignAdministrators,
    /// Whether anything is kept.
    pub trial: Trial,
    /// Where to begin.
    pub begin: Begin,
}

/// Who is told how an import goes.
pub trait Listener {
    /// A row is not kept.
    fn refused(&mut self, line: u64, why: &str) -> io::Result<()>;
    /// So many bytes of the file are dealt with.
    fn reached(&mut self, bytes: u64);
}

/// How an import went; all runs of the same file taken together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// Tenants that were made.
    pub tenants: u64,
    /// Customers that were made.
    pub customers: u64,
    /// Principals that were made.
    pub principals: u64,
    /// Credentials that were added.
    pub credentials: u64,
    /// Credentials that were there already.
    pub known: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// Lines that an earlier run had dealt with.
    pub resumed_at: u64,
}

/// The position as it stands in the store.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    bytes: u64,
    lines: u64,
    report: ImportReport,
}

impl Accounts {
    /// Imports a file from its beginning, or from where the last run of the same file ended.
    pub async fn import<R: BufRead + Seek>(
        &self,
        mut file: R,
        wanted: &Import,
        actor: &Actor,
        listener: &mut impl Listener,
    ) -> Result<ImportReport> {
        let store = self.rows.in_bulk(actor)?;
        let name = source_name(&mut file, wanted).map_err(|e| unreadable(&e))?;
        let before = match (wanted.trial, wanted.begin) {
            (Trial::Real, Begin::WhereItEnded) => position(store, &name).await?,
            _ => None,
        };
        let place = before.as_ref().map(|p| Place {
            bytes: p.bytes,
            lines: p.lines,
        });
        let mut report = before.map(|p| p.report).unwrap_or_default();
        report.resumed_at = place.map_or(0, |p| p.lines);
        let mut source = Source::open(file, place).map_err(|e| unreadable(&e))?;
        let making = self.making(wanted);
        loop {
            let began = source.place();
            let batch = read_batch(&mut source, wanted.format, &making, listener)?;
            if source.place() == began {
                return Ok(report);
            }
            report.refused = report.refused.saturating_add(batch.refused);
            let outcome = match wanted.trial {
                Trial::Dry => foretold(store, &batch.rows).await?,
                Trial::Real => {
                    let ended = source.place();
                    let detail = serde_json::json!({
                        "format": wanted.format.as_str(),
                        "after_line": began.lines,
                        "to_line": ended.lines,
                    });
                    let act = actor.draft(self.now(), "import", name.as_str(), detail);
                    keep_batch(store, (&name, &batch.rows), ended, &report, &act).await?
                }
            };
            report.count(&outcome);
            for (line, why) in &outcome.refused {
                listener.refused(*line, why).map_err(|e| unwritable(&e))?;
            }
            listener.reached(source.place().bytes);
        }
    }

    fn making(&self, wanted: &Import) -> Making {
        let kinds = self.kinds();
        Making {
            ring: self.vault().handles().lookup.load_full(),
            api: kinds.issuers.api_token.clone(),
            password_cost: kinds.issuers.basic.bcrypt_cost,
            tenant: wanted.tenant.clone(),
            peppered: wanted.peppered,
            administrators: wanted.administrators,
            trial: wanted.trial,
            now: self.now(),
        }
    }
}

async fn position(store: &dyn Store, name: &str) -> Result<Option<Position>> {
    let Some(stored) = store.import_position(name).await? else {
        return Ok(None);
    };
    serde_json::from_str(&stored).map(Some).map_err(|_| {
        AccountsError::Unusable("where this import stands cannot be read; say --again".to_owned())
    })
}

/// Keeps a batch with the position behind it, which knows what became of the batch.
async fn keep_batch(
    store: &dyn Store,
    (name, rows): (&str, &[ImportRow]),
    ended: Place,
    report: &ImportReport,
    act: &AuditDraft,
) -> Result<ImportOutcome> {
    let position = |outcome: &ImportOutcome| {
        let mut report = *report;
        report.count(outcome);
        let position = Position {
            bytes: ended.bytes,
            lines: ended.lines,
            report,
        };
        // Numbers alone: this cannot fail.
        serde_json::to_string(&position).unwrap_or_default()
    };
    Ok(store.import(rows, name, &position, act).await?)
}

/// What would become of a batch, found by reading alone. Contradictions between rows of the file are not seen.
async fn foretold(store: &dyn Store, rows: &[ImportRow]) -> Result<ImportOutcome> {
    let mut outcome = ImportOutcome::default();
    for row in rows {
        let Some(credential) = &row.credential else {
            continue;
        };
        if store.credential(&credential.id).await?.is_some() {
            outcome.known = outcome.known.saturating_add(1);
            continue;
        }
        let taken = match &credential.keyed_digest {
            Some(keyed) => store
                .find_by_digest(credential.kind, &keyed.digest)
                .await?
                .is_some(),
            None => false,
        };
        if taken {
            let why = "a credential with this digest exists".to_owned();
            outcome.refused.push((row.line, why));
        } else {
            outcome.added.credentials = outcome.added.credentials.saturating_add(1);
        }
    }
    Ok(outcome)
}

impl ImportReport {
    fn count(&mut self, outcome: &ImportOutcome) {
        let ImportCounts {
            tenants,
            customers,
            principals,
            credentials,
        } = outcome.added;
        let refused = u64::try_from(outcome.refused.len()).unwrap_or(u64::MAX);
        for (total, more) in [
            (&mut self.tenants, tenants),
            (&mut self.customers, customers),
            (&mut self.principals, principals),
            (&mut self.credentials, credentials),
            (&mut self.known, outcome.known),
            (&mut self.refused, refused),
        ] {
            *total = total.saturating_add(more);
        }
    }
}

struct Batch {
    rows: Vec<ImportRow>,
    refused: u64,
}

fn read_batch<R: BufRead + Seek>(
    source: &mut Source<R>,
    format: Format,
    making: &Making,
    listener: &mut impl Listener,
) -> Result<Batch> {
    let began = source.place().bytes;
    let mut batch = Batch {
        rows: Vec::new(),
        refused: 0,
    };
    while batch.rows.len() < BATCH_ROWS && source.place().bytes.saturating_sub(began) < BATCH_BYTES {
        let Some(record) = source.next().map_err(|e| unreadable(&e))? else {
            break;
        };
        let line = record.line;
        match row(record, format, making) {
            Ok(Some(row)) => batch.rows.push(row),
            Ok(None) => {}
            Err(why) => {
                batch.refused = batch.refused.saturating_add(1);
                listener.refused(line, &why).map_err(|e| unwritable(&e))?;
            }
        }
    }
    Ok(batch)
}

fn row(record: Record, format: Format, making: &Making) -> std::result::Result<Option<ImportRow>, Fault> {
    let (line, fields) = (record.line, record.fields?);
    let row = match format {
        Format::HomeChat => Some(homechat::row(line, &fields, making)?),
        Format::ThingsBoard => Some(thingsboard::row(line, &fields, making)?),
        Format::TagoIo => Some(tagoio::row(line, &fields, making)?),
        Format::Jsonl => own::row(line, fields, making)?,
    };
    row.map(|row| making.judged(row)).transpose()
}

/// The same content, read in the same way, is the same import.
fn source_name<R: BufRead + Seek>(file: &mut R, wanted: &Import) -> io::Result<String> {
    let digest = hex::encode(of_content(&mut *file)?);
    file.rewind()?;
    let tenant = wanted.tenant.as_ref().map_or("", TenantId::as_str);
    Ok(format!("{}:{tenant}:{digest}", wanted.format.as_str()))
}

fn unreadable(error: &io::Error) -> AccountsError {
    AccountsError::Unusable(format!("reading the file to import: {error}"))
}

fn unwritable(error: &io::Error) -> AccountsError {
    AccountsError::Unusable(format!("writing the list of refused rows: {error}"))
}
