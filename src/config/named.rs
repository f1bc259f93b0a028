//! The files that a configuration names, and the secrets that stand in it, each known by a digest of its
//! content: enough to see that one changed, too little to tell what it was or is.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::crypto::sha256;
use crate::runtime::regular_file;

/// More than any file that a configuration may name has.
const MAX_BYTES: u64 = 2 << 20;

/// A digest of a content. Not printed: short secrets could be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Content([u8; 32]);

impl Content {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }

    /// Of a file that was read, and of who may read it: a secret may be refused for that alone.
    pub fn of_file(file: &File, bytes: &[u8]) -> Option<Self> {
        let mode = file.metadata().ok()?.mode() & 0o777;
        let mut both = Zeroizing::new(bytes.to_vec());
        both.extend_from_slice(&mode.to_le_bytes());
        Some(Self::of(&both))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(..)")
    }
}

/// A file that was read, or should have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The key that names it; empty for the configuration file itself.
    pub key: String,
    /// Its path as it is written.
    pub path: PathBuf,
    /// What was in it; `None`: it could not be read.
    pub content: Option<Content>,
}

impl NamedFile {
    /// Whether another content is there now, or other permissions.
    pub fn now(&self) -> Since {
        match content(&self.path) == self.content {
            true => Since::Same,
            false => Since::Changed,
        }
    }
}

/// Whether a file is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// It has the same content, or cannot be read as before.
    Same,
    /// It has another.
    Changed,
}

fn content(path: &Path) -> Option<Content> {
    let mut file = regular_file::open(path).ok()?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.by_ref().take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Content::of_file(&file, &bytes)
}

/// What is noted while a configuration is read.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// The files, in the order of reading.
    pub files: Vec<NamedFile>,
    /// The secrets, by key.
    pub secrets: BTreeMap<String, Content>,
}
