//! The file of credentials that the configuration names: read, and its faults told as the configuration's.

use std::path::Path;

use super::{Notes, secrets};
use crate::authn::kinds::FileTable;
use crate::config::credentials_file;

/// The credentials that stand in a file of their own. Its first fault is told with its place; the others follow when
/// that one is corrected.
pub(super) fn table(path: Option<&Path>, notes: &mut Notes<'_>) -> FileTable {
    let key = "credentials.file";
    let Some(path) = path else {
        return FileTable::default();
    };
    let Some(text) = secrets::read_public(key, path, notes) else {
        return FileTable::default();
    };
    match credentials_file::read(&text, path.display().to_string()) {
        Ok(table) => table,
        Err(problems) => {
            let count = problems.problems.len();
            if let Some(first) = problems.problems.into_iter().next() {
                let line = first.line().map_or(String::new(), |line| format!(":{line}"));
                let more = if count > 1 {
                    format!(" (and {} more)", count.saturating_sub(1))
                } else {
                    String::new()
                };
                let found = format!("{}{line}: {}: {}{more}", path.display(), first.key, first.found);
                notes.report.add(key, found, &first.expected, first.remedy);
            }
            FileTable::default()
        }
    }
}
