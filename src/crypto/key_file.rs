//! Key files: one Base64 line, readable by its owner alone.
//!
//! A file wider than 0600 is refused when it is ours to narrow; for a mounted secret (owned by another
//! user, or on a read-only mount) a warning is handed back instead (SECURITY S13). A missing file can be
//! made, atomically: of two processes that start at once, one makes the key and both use it. Called at start and
//! by the command line, never by a request.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, fstatvfs};

use super::keyring::{KeyBytes, KeyTextError, key_to_base64, parse_key_base64};
use super::random::{self, Alphabet, NoRandomness};
use crate::runtime::regular_file;

/// Longest key file read, in bytes: 44 letters and generous white space.
const MAX_FILE_BYTES: u64 = 1024;

/// A key read from, or just written to, a file.
#[derive(Debug)]
pub struct KeyFile {
    /// The key.
    pub key: KeyBytes,
    /// Whether the file was there.
    pub origin: Origin,
    /// What the operator should be told.
    pub warning: Option<KeyFileWarning>,
}

/// Whether a key file was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Loaded,
    /// It was made just now.
    Created,
}

/// Something about a key file that is not ours to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileWarning {
    /// A mounted secret that others may read.
    #[error(
        "the key file {path} has mode {mode:04o}: others on this machine may read it, and it is mounted so that \
         we cannot narrow it; mount it with mode 0400 (Kubernetes: defaultMode: 0400)"
    )]
    MountedWide {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Reading or writing failed.
    #[error("the key file {path} cannot be {attempt}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `read` or `written`.
        attempt: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Others may read or write it.
    #[error(
        "the key file {path} has mode {mode:04o}, expected 0600 or less: others on this machine may read it. \
         Narrow it with: chmod 600 {path}"
    )]
    TooWide {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, a pipe, or larger than any key.
    #[error("{path} is not a key file; expected a small regular file that holds one Base64 line")]
    NotAKeyFile {
        /// What was found.
        path: PathBuf,
    },
    /// Its text is no key.
    #[error("the key file {path}: {source}")]
    Text {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyTextError,
    },
    /// No key could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl KeyFileError {
    fn io(path: &Path, attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            attempt,
            source,
        }
    }
}

/// Reads a key file.
pub fn load_key_file(path: &Path) -> Result<KeyFile, KeyFileError> {
    let not_a_key_file = || KeyFileError::NotAKeyFile {
        path: path.to_owned(),
    };
    let file = regular_file::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => not_a_key_file(),
        _ => KeyFileError::io(path, "read")(error),
    })?;
    let metadata = file.metadata().map_err(KeyFileError::io(path, "read"))?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(not_a_key_file());
    }
    let warning = match judge_mode(metadata.mode(), holder(&file, metadata.uid())) {
        ModeVerdict::Narrow => None,
        ModeVerdict::WideButMounted { mode } => Some(KeyFileWarning::MountedWide {
            path: path.to_owned(),
            mode,
        }),
        ModeVerdict::Wide { mode } => {
            return Err(KeyFileError::TooWide {
                path: path.to_owned(),
                mode,
            });
        }
    };
    let mut text = zeroize::Zeroizing::new(String::with_capacity(128));
    file.take(MAX_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(KeyFileError::io(path, "read"))?;
    let key = parse_key_base64(&text).map_err(|source| KeyFileError::Text {
        path: path.to_owned(),
        source,
    })?;
    Ok(KeyFile {
        key,
        origin: Origin::Loaded,
        warning,
    })
}

/// Reads a key file, or makes one with a new random key when there is none. Durable when it returns.
pub fn load_or_create_key_file(path: &Path) -> Result<KeyFile, KeyFileError> {
    match load_key_file(path) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => create(path),
        other => other,
    }
}

/// Writes beside the place first, then links: a crash leaves no half a key, and the first of two wins.
fn create(path: &Path) -> Result<KeyFile, KeyFileError> {
    let key = random::key()?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new-");
    beside.push(random::text(Alphabet::LowerHex, 16)?.as_str());
    let beside = PathBuf::from(beside);
    let written = write_new(&beside, &key).and_then(|()| fs::hard_link(&beside, path));
    let removed = fs::remove_file(&beside);
    match written {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return load_key_file(path),
        other => other.and(removed).map_err(KeyFileError::io(path, "written"))?,
    }
    sync_folder(path).map_err(KeyFileError::io(path, "written"))?;
    Ok(KeyFile {
        key,
        origin: Origin::Created,
        warning: None,
    })
}

fn write_new(path: &Path, key: &KeyBytes) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(key_to_base64(key).as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// Whose it is to narrow a file's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Ours,
    Mounted,
}

fn holder(file: &File, owner: u32) -> Holder {
    let read_only = fstatvfs(file).is_ok_and(|v| v.f_flag.contains(StatVfsMountFlags::RDONLY));
    if read_only || owner != rustix::process::geteuid().as_raw() {
        Holder::Mounted
    } else {
        Holder::Ours
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModeVerdict {
    Narrow,
    WideButMounted { mode: u32 },
    Wide { mode: u32 },
}

fn judge_mode(mode: u32, holder: Holder) -> ModeVerdict {
    let mode = mode & 0o7777;
    match (mode & 0o077, holder) {
        (0, _) => ModeVerdict::Narrow,
        (_, Holder::Mounted) => ModeVerdict::WideButMounted { mode },
        (_, Holder::Ours) => ModeVerdict::Wide { mode },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn modes_are_judged_by_whose_they_are() {
        use Holder::{Mounted, Ours};
        for (mode, holder, expected) in [
            (0o100_600, Ours, ModeVerdict::Narrow),
            (0o100_400, Ours, ModeVerdict::Narrow),
            (0o100_640, Ours, ModeVerdict::Wide { mode: 0o640 }),
            (0o100_604, Ours, ModeVerdict::Wide { mode: 0o604 }),
            (0o100_620, Ours, ModeVerdict::Wide { mode: 0o620 }),
            (0o100_601, Ours, ModeVerdict::Wide { mode: 0o601 }),
            (0o100_400, Mounted, ModeVerdict::Narrow),
            (0o100_644, Mounted, ModeVerdict::WideButMounted { mode: 0o644 }),
        ] {
            assert_eq!(judge_mode(mode, holder), expected, "{mode:o} {holder:?}");
        }
    }

    #[test]
    fn a_missing_file_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.key");
        let made = load_or_create_key_file(&path).expect("made");
        assert_eq!(made.origin, Origin::Created);
        let mode = fs::metadata(&path).expect("metadata").mode() & 0o7777;
        assert_eq!(mode, 0o600);
        let read = load_or_create_key_file(&path).expect("read");
        assert_eq!((read.origin, read.warning), (Origin::Loaded, None));
        assert_eq!(read.key.expose(), made.key.expose());
        let left = fs::read_dir(folder.path()).expect("a listing").count();
        assert_eq!(left, 1, "a file was left beside the key");
    }

    #[test]
    fn of_many_that_start_at_once_all_use_one_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.key");
        let start = Barrier::new(8);
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        *load_or_create_key_file(&path).expect("a key").key.expose()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().expect("joined")).collect()
        });
        assert!(keys.iter().all(|k| Some(k) == keys.first()));
    }

    #[test]
    fn a_wide_file_of_ours_is_refused_with_its_mode_and_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.key");
        load_or_create_key_file(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("widened");
        let error = load_key_file(&path).expect_err("refused").to_string();
        assert!(error.contains("0644") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("device.key");
        for (text, part) in [
            ("dGVzdC1rZXktMzItYnl0ZXMtZm9yLWRldmljZS10b2tlbg==\n", "34 bytes"),
            ("hunter2 is no key", "not Base64"),
            ("", "0 bytes"),
        ] {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("narrowed");
            let error = load_or_create_key_file(&path).expect_err("refused").to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
            assert_eq!(fs::read_to_string(&path).expect("read"), text, "overwritten");
        }
        fs::write(&path, "A".repeat(2000)).expect("written");
        assert!(matches!(
            load_key_file(&path),
            Err(KeyFileError::NotAKeyFile { .. })
        ));
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        for no_file in [folder.path(), Path::new("/dev/null"), &pipe] {
            assert!(matches!(
                load_key_file(no_file),
                Err(KeyFileError::NotAKeyFile { .. })
            ));
        }
    }
}
