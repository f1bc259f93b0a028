//! Secrets that stand in files of their own.
//!
//! A secret file that others may read is refused when it is ours to narrow, and warned about when it was
//! mounted for us. Nothing of its content is ever shown.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, fstatvfs};
use zeroize::Zeroizing;

use super::super::named::Content;
use super::Notes;
use crate::domain::secret::SecretText;
use crate::runtime::regular_file;

/// Longest secret file.
const MAX_SECRET_BYTES: u64 = 64 << 10;
/// Longest file of public keys.
const MAX_PUBLIC_BYTES: u64 = 1 << 20;

/// Reports that a key and its file are both set.
pub(super) fn both(key: &str, file: &str, notes: &mut Notes<'_>) {
    let found = format!("{key} and {file}");
    notes
        .report
        .add(file, found, "one of the two", "remove one of the two");
}

/// Reads a secret file without its last line break. `None` after a problem was reported.
pub(super) fn read(key: &str, path: &Path, notes: &mut Notes<'_>) -> Option<SecretText> {
    let file = open(key, path, notes)?;
    // Read before it is judged, so that it is known what a correction would change.
    let text = text_of(key, path, &file, MAX_SECRET_BYTES, notes)?;
    let metadata = file.metadata().ok()?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        let read_only = fstatvfs(&file).is_ok_and(|v| v.f_flag.contains(StatVfsMountFlags::RDONLY));
        if read_only || metadata.uid() != rustix::process::geteuid().as_raw() {
            let text = format!(
                "{} has mode {mode:04o}: others on this machine may read it, and it is not ours to narrow; mount it \
                 with mode 0400",
                path.display()
            );
            notes.warn(key, text);
        } else {
            notes.report.add(
                key,
                format!(
                    "the file {} with mode {mode:04o}: others on this machine may read it",
                    path.display()
                ),
                "mode 0600 or less",
                format!("run: chmod 600 {}", path.display()),
            );
            return None;
        }
    }
    let trimmed = text.trim_end_matches(['\n', '\r']);
    if trimmed.is_empty() {
        let found = format!("the empty file {}", path.display());
        notes.report.add(
            key,
            found,
            "a file that holds a secret",
            "write the secret into it",
        );
        return None;
    }
    Some(SecretText::new(trimmed.to_owned()))
}

/// Reads a file of public keys.
pub(super) fn read_public(key: &str, path: &Path, notes: &mut Notes<'_>) -> Option<String> {
    let file = open(key, path, notes)?;
    text_of(key, path, &file, MAX_PUBLIC_BYTES, notes).map(|text| text.as_str().to_owned())
}

fn open(key: &str, path: &Path, notes: &mut Notes<'_>) -> Option<File> {
    match regular_file::open(path) {
        Ok(file) => Some(file),
        Err(error) => {
            notes.report.note_file(key, path, None);
            let found = format!("the file {}: {error}", path.display());
            let remedy = "check the path (relative ones begin in the working directory) and who may read it";
            notes
                .report
                .add(key, found, "a regular file that can be read", remedy);
            None
        }
    }
}

fn text_of(
    key: &str,
    path: &Path,
    file: &File,
    most: u64,
    notes: &mut Notes<'_>,
) -> Option<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let found = match file.take(most.saturating_add(1)).read_to_string(&mut text) {
        Ok(n) if u64::try_from(n).unwrap_or(u64::MAX) <= most => {
            let content = Content::of_file(file, text.as_bytes());
            notes.report.note_file(key, path, content);
            return Some(text);
        }
        Ok(_) => format!("more than {most} bytes in the file {}", path.display()),
        Err(error) => format!("the file {}: {error}", path.display()),
    };
    notes.report.note_file(key, path, None);
    notes.report.add(
        key,
        found,
        "a short text file",
        "check that this is the right file",
    );
    None
}
