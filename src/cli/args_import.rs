//! Words of `import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Whose file it is: homechat (`api_tokens`), thingsboard (`api_key`, `device_credentials`), tagoio (a list of
    /// device tokens) or jsonl (our own export).
    #[arg(value_enum)]
    pub format: ImportFormat,
    /// The file: CSV with a header, or JSON lines.
    pub file: PathBuf,
    /// Put everything into this tenant, which is made when it is missing.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<String>,
    /// Keep nothing; tell what would be kept and what refused.
    #[arg(long)]
    pub dry_run: bool,
    /// Write refused rows here, a line and a reason each, instead of to standard error.
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Begin at the beginning, although this file was imported before, in part or as a whole.
    #[arg(long)]
    pub again: bool,
    /// The HomeChat had no API_TOKEN_PEPPER when it made its digests.
    #[arg(long)]
    pub without_pepper: bool,
    /// Also take over rows whose principals would be administrators of this installation.
    #[arg(long)]
    pub administrators: bool,
}

/// Whose file is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum ImportFormat {
    /// HomeChat.
    Homechat,
    /// ThingsBoard.
    Thingsboard,
    /// TagoIO.
    Tagoio,
    /// Our own export.
    Jsonl,
}
