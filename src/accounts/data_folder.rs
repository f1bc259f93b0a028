//! The data folder and the data key in it: made at the first start, for their owner alone.
//!
//! The data key seals everything in the store that must be read back, so it is never replaced: a store
//! that has keys and a folder that has lost its data key are refused (SECURITY S13). Called by composition.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::error::{AccountsError, Result};
use crate::crypto::{KeyFile, load_key_file, load_or_create_key_file};

/// Where the data key lies within the data folder.
pub fn data_key_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys").join("data.key")
}

/// Makes the data folder, mode 0700, when it is missing. One that others may enter is left as it is and
/// told of: it may be a mounted volume.
pub fn prepare(data_dir: &Path) -> Result<Option<String>> {
    make(data_dir)?;
    let found = fs::metadata(data_dir).map_err(|e| unusable(data_dir, &e))?;
    if !found.is_dir() {
        return Err(AccountsError::Unusable(format!(
            "{} is not a folder; name a folder in `data_dir`",
            data_dir.display()
        )));
    }
    let mode = found.mode() & 0o7777;
    Ok((mode & 0o077 != 0).then(|| {
        format!(
            "the data folder {path} has mode {mode:04o}: others on this machine may enter it. \
             Narrow it with: chmod 700 {path}",
            path = data_dir.display()
        )
    }))
}

/// Whether the store holds anything that a data key was needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealedRows {
    None,
    Some,
}

/// The data key; made when it is missing and nothing was ever sealed.
pub(super) fn data_key(data_dir: &Path, sealed: SealedRows) -> Result<KeyFile> {
    let path = data_key_path(data_dir);
    match sealed {
        SealedRows::None => {
            make(&data_dir.join("keys"))?;
            Ok(load_or_create_key_file(&path)?)
        }
        SealedRows::Some if !path.exists() => Err(AccountsError::Unusable(format!(
            "the data key {} is missing, but the store has keys sealed under it; restore the file from a backup. \
             Nothing was changed",
            path.display()
        ))),
        SealedRows::Some => Ok(load_key_file(&path)?),
    }
}

fn make(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| unusable(folder, &e))
}

fn unusable(folder: &Path, error: &std::io::Error) -> AccountsError {
    AccountsError::Unusable(format!(
        "the folder {} cannot be used: {error}; let it belong to the user that runs Doorward",
        folder.display()
    ))
}
