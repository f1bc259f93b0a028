//! Before a file is used: is it there, is it ours, is it ours alone. A file that is not is refused and not
//! touched: its header is read with plain file calls, then through a connection that cannot write.
//!
//! A new store is made under another name, complete, and only then given its own: there is no instant at
//! which a half-made file bears the store's name, and of two processes that make one at once the second
//! uses what the first made. These calls block for microseconds, at start only.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection};

use super::connection;
use super::errors::from_io;
use super::schema;
use crate::store::{Result, StoreError};

/// What a look at the file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing has this name.
    Nothing,
    /// A file that says it is ours.
    Ours,
}

/// Whether migrations are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// This program's version.
    Current,
    /// An older one.
    Older,
}

/// Largest file that is checked page by page when opened. A larger one would hold up the start; damage in
/// it is found when the damaged page is read.
const FULL_CHECK_BYTES: u64 = 8 << 20;

/// Refuses a file, saying what was found, what was expected and what to do.
fn refuse(path: &Path, found: impl std::fmt::Display, remedy: &str) -> StoreError {
    StoreError::Unusable(format!(
        "{}: {found}; expected a Doorward store. Nothing was changed. {remedy}",
        path.display()
    ))
}

const ANOTHER_PATH: &str = "Give the store a path of its own, or restore this file from a backup.";

/// Makes the folder of the store, for its owner only. A folder that exists is left as it is.
pub(super) fn make_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| from_io(&format!("making the folder {}", folder.display()), &e))
}

/// Reads the header of the file: 16 bytes of magic, `application_id` at offset 68 (sqlite.org/fileformat.html).
pub(super) fn look(path: &Path) -> Result<Found> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => {
            return Err(refuse(
                path,
                format_args!("cannot be read ({e})"),
                "Run Doorward as the user who owns the file.",
            ));
        }
    };
    let mut header = [0_u8; 72];
    if let Err(e) = file.read_exact(&mut header) {
        return Err(match e.kind() {
            ErrorKind::IsADirectory => refuse(path, "is a folder", "Name a file in it."),
            _ => refuse(path, "is too short for a store", ANOTHER_PATH),
        });
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(refuse(path, "is not an SQLite file", ANOTHER_PATH));
    }
    match header.last_chunk::<4>().map(|id| u32::from_be_bytes(*id)) {
        Some(schema::APPLICATION_ID) => Ok(Found::Ours),
        _ => Err(refuse(path, "is another program's SQLite file", ANOTHER_PATH)),
    }
}

/// Reads what the header does not tell, through a connection that cannot write: version, tables, soundness.
pub(super) async fn probe(path: &Path) -> Result<Age> {
    let mut conn = connection::reading(path).connect().await?;
    let outcome = probe_through(&mut conn, path).await;
    conn.close().await?;
    outcome
}

async fn probe_through(conn: &mut sqlx::SqliteConnection, path: &Path) -> Result<Age> {
    let damaged =
        |what: &dyn std::fmt::Display| refuse(path, format_args!("is damaged ({what})"), ANOTHER_PATH);
    let about = |error: StoreError| match error {
        StoreError::Unusable(what) => damaged(&what),
        other => other,
    };
    let (found, ours) = (
        schema::version(conn).await.map_err(about)?,
        schema::latest(schema::STEPS),
    );
    if found > ours {
        return Err(refuse(
            path,
            format_args!("is a store of a newer Doorward (schema {found}, this program knows {ours})"),
            "Run that newer version, or restore a backup made before it.",
        ));
    }
    if let Some(table) = schema::missing_table(conn).await.map_err(about)? {
        return Err(refuse(
            path,
            format_args!("lacks the table {table}"),
            ANOTHER_PATH,
        ));
    }
    let bytes = std::fs::metadata(path)
        .map_err(|e| from_io("looking at the store's file", &e))?
        .len();
    if bytes <= FULL_CHECK_BYTES {
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(conn)
            .await
            .map_err(|e| about(e.into()))?;
        if verdict != "ok" {
            return Err(damaged(&verdict));
        }
    }
    Ok(if found < ours { Age::Older } else { Age::Current })
}

/// Makes a new store. Another process may be faster: then its file stays and ours is thrown away.
pub(super) async fn create(path: &Path) -> Result<()> {
    let scratch = Scratch::beside(path)?;
    let mut conn = connection::writing(&scratch.0).connect().await?;
    let made = schema::migrate(&mut conn, schema::STEPS).await;
    // Closing writes the log back, so that the file alone is the whole store.
    conn.close().await?;
    made?;
    match std::fs::hard_link(&scratch.0, path) {
        Ok(()) => sync_folder(path),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(from_io(&format!("making {}", path.display()), &e)),
    }
}

/// A commit is durable only when the file's name is.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| from_io(&format!("syncing the folder {}", folder.display()), &e))
}

/// A path beside another: the same name with an addition.
fn beside(path: &Path, addition: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(addition);
    PathBuf::from(name)
}

/// A file in the making, removed in the end whatever happened.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(path: &Path) -> Result<Self> {
        let path = beside(path, &format!(".{}.new", uuid::Uuid::new_v4()));
        // SQLite gives its log and index files the mode of the main file.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| from_io(&format!("making {}", path.display()), &e))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for addition in ["", "-wal", "-shm", "-journal"] {
            // Nothing more can be done about a file that cannot be removed.
            let _gone = std::fs::remove_file(beside(&self.0, addition));
        }
    }
}

/// The right to be the one server of a store: an advisory lock on a file beside it, which the kernel frees
/// when the process ends however it ends. The file stays: removing it would let two servers hold two.
#[derive(Debug)]
pub(super) struct ServerLock {
    _file: File,
}

impl ServerLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let lock_path = beside(path, ".lock");
        let what = format!("locking {}", lock_path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| from_io(&what, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut file)),
            Err(TryLockError::Error(e)) => return Err(from_io(&what, &e)),
        }
        // Only for the text above: who holds the lock is the kernel's knowledge.
        file.set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(|e| from_io(&what, &e))?;
        Ok(Self { _file: file })
    }
}

fn in_use(path: &Path, file: &mut File) -> StoreError {
    let mut holder = String::new();
    let holder = match file.take(20).read_to_string(&mut holder) {
        Ok(1..) if holder.bytes().all(|b| b.is_ascii_digit()) => format!(" (process {holder})"),
        _ => String::new(),
    };
    StoreError::Unusable(format!(
        "{}: in use by another Doorward server{holder}. Stop that server, or give this one a store of its \
         own (store.url). The command line may be used beside a running server.",
        path.display()
    ))
}
