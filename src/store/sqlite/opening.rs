//! Before a file is used: is it there, is it ours, is it ours alone. A file that is not is refused and not
//! touched: its header is read with plain file calls, then through a connection that cannot write.
//!
//! A new store is made under another name, complete, and only then given its own: there is no instant at
//! which a half-made file bears the store's name, and of two processes that make one at once the second
//! uses what the first made. These calls block for microseconds, at start only.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::connection;
use super::errors::from_io;
use super::schema::{self, Steps};
use crate::runtime::regular_file;
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

/// As much of SQLite's header as is looked at (sqlite.org/fileformat.html): magic at 0, page size at 16,
/// number of pages at 28, `application_id` at 68.
const HEADER_BYTES: usize = 72;

/// Reads the header of the file.
pub(super) fn look(path: &Path) -> Result<Found> {
    let mut file = match regular_file::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) if e.kind() == ErrorKind::InvalidInput => {
            return Err(refuse(path, e, "Name a file."));
        }
        Err(e) => {
            return Err(refuse(
                path,
                format_args!("cannot be read ({e})"),
                "Run Doorward as the user who owns the file.",
            ));
        }
    };
    let mut header = [0_u8; HEADER_BYTES];
    if let Err(e) = file.read_exact(&mut header) {
        return Err(match e.kind() {
            ErrorKind::UnexpectedEof => refuse(path, "is too short for a store", ANOTHER_PATH),
            _ => refuse(path, format_args!("cannot be read ({e})"), ANOTHER_PATH),
        });
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(refuse(path, "is not an SQLite file", ANOTHER_PATH));
    }
    if number(&header, 68) != schema::APPLICATION_ID {
        return Err(refuse(path, "is another program's SQLite file", ANOTHER_PATH));
    }
    let present = size(&file.metadata());
    // SQLite itself takes a last page that was cut for one that ends in zeros. While there is a log, the
    // file may lag behind its header: the log holds what is missing.
    if size(&std::fs::metadata(beside(path, "-wal"))) == 0 && present < size_told(&header) {
        return Err(refuse(
            path,
            format_args!(
                "is damaged (it has {present} bytes, its header tells of {})",
                size_told(&header)
            ),
            ANOTHER_PATH,
        ));
    }
    Ok(Found::Ours)
}

/// The big-endian number at this place of the header.
fn number(header: &[u8; HEADER_BYTES], place: usize) -> u32 {
    let bytes = header.get(place..).and_then(<[u8]>::first_chunk::<4>);
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The size of the file by its header: page size (1 means 65536) times number of pages.
fn size_told(header: &[u8; HEADER_BYTES]) -> u64 {
    let page_bytes = match number(header, 16) >> 16 {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    page_bytes.saturating_mul(u64::from(number(header, 28)))
}

fn size(metadata: &std::io::Result<std::fs::Metadata>) -> u64 {
    metadata.as_ref().map_or(0, std::fs::Metadata::len)
}

/// Reads what the header does not tell, through a connection that cannot write: version, tables, soundness.
pub(super) async fn probe(path: &Path, steps: Steps) -> Result<Age> {
    let mut conn = connection::reading(path)
        .connect()
        .await
        .map_err(|e| unsound(path, e))?;
    let outcome = probe_through(&mut conn, path, steps).await;
    conn.close().await?;
    outcome
}

async fn probe_through(conn: &mut SqliteConnection, path: &Path, steps: Steps) -> Result<Age> {
    let found = schema::version(conn).await.map_err(|e| unsound(path, e))?;
    let ours = schema::latest(steps);
    if found > ours {
        return Err(refuse(
            path,
            format_args!("is a store of a newer Doorward (schema {found}, this program knows {ours})"),
            "Run that newer version, or restore a backup made before it.",
        ));
    }
    if let Some(table) = schema::missing_table(conn).await.map_err(|e| unsound(path, e))? {
        return Err(refuse(
            path,
            format_args!("lacks the table {table}"),
            ANOTHER_PATH,
        ));
    }
    if size(&std::fs::metadata(path)) <= FULL_CHECK_BYTES {
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(conn)
            .await
            .map_err(|e| unsound(path, e))?;
        if verdict != "ok" {
            return Err(refuse(path, format_args!("is damaged ({verdict})"), ANOTHER_PATH));
        }
    }
    Ok(if found < ours { Age::Older } else { Age::Current })
}

/// What an error while probing means: damage is told with the file's name, the rest is as ever.
fn unsound(path: &Path, error: sqlx::Error) -> StoreError {
    let found = format!("is damaged ({error})");
    match StoreError::from(error) {
        StoreError::Unusable(_) => refuse(path, found, ANOTHER_PATH),
        other => other,
    }
}

/// Makes a new store. Another process may be faster: then its file stays and ours is thrown away.
pub(super) async fn create(path: &Path, steps: Steps) -> Result<()> {
    let scratch = Scratch::beside(path)?;
    let mut conn = connection::writing(&scratch.0).connect().await?;
    let made = schema::migrate(&mut conn, steps).await;
    // Closing writes the log back, so that the file alone is the whole store.
    conn.close().await?;
    made?;
    match std::fs::hard_link(&scratch.0, path) {
        Ok(()) => sync_folder(path),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(from_io(&format!("making {}", path.display()), &e)),
    }
}

/// Brings an older file to this program's version. The caller holds the server's lock.
pub(super) async fn bring_up(path: &Path, steps: Steps) -> Result<()> {
    let mut conn = connection::writing(path).connect().await?;
    let outcome = schema::migrate(&mut conn, steps).await;
    conn.close().await?;
    let applied = outcome?;
    tracing::info!(applied, "the store was brought to this version's schema");
    Ok(())
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
///
/// A server hands it to its successor with the descriptor: the kernel counts both as one holder, and frees it with
/// the last of them. So there are two servers only where one of them started the other.
#[derive(Debug)]
pub(super) struct ServerLock {
    file: Arc<File>,
    holders: Holders,
}

/// Who serves the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holders {
    /// This process.
    Us,
    /// The process that we are to follow, too.
    PredecessorToo,
}

impl ServerLock {
    /// Takes the lock, or says who has it and what to do.
    pub(super) fn take(path: &Path, remedy: &str) -> Result<Self> {
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
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut file, remedy)),
            Err(TryLockError::Error(e)) => return Err(from_io(&what, &e)),
        }
        let lock = Self {
            file: Arc::new(file),
            holders: Holders::Us,
        };
        lock.sign().map_err(|e| from_io(&what, &e))?;
        Ok(lock)
    }

    /// Shares a predecessor's lock, when it is one on this store; else takes one of our own.
    pub(super) fn inherit(path: &Path, descriptor: OwnedFd) -> Result<Self> {
        let inherited = File::from(descriptor);
        let place = |file: &std::fs::Metadata| (file.dev(), file.ino());
        let same = match (inherited.metadata(), std::fs::metadata(beside(path, ".lock"))) {
            (Ok(theirs), Ok(ours)) => place(&theirs) == place(&ours),
            _ => false,
        };
        if same {
            Ok(Self {
                file: Arc::new(inherited),
                holders: Holders::PredecessorToo,
            })
        } else {
            Self::take(path, ONE_SERVER)
        }
    }

    /// Who serves the store when this process begins.
    pub(super) fn holders(&self) -> Holders {
        self.holders
    }

    /// The locked file, for handing it on.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Notes who the server is. Only for the text of a refusal: who holds the lock is the kernel's knowledge.
    pub(super) fn sign(&self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file
            .write_all_at(std::process::id().to_string().as_bytes(), 0)
    }
}

/// What to do about a second server.
pub(super) const ONE_SERVER: &str = "Stop that server, or give this one a store of its own (store.url). The \
     command line may be used beside a running server.";

/// What to do when a successor finds its predecessor's schema older than its own.
const STOP_FIRST: &str = "The server that runs is of an older version, and this one would change the \
     store's schema under it: stop it and start this one, without a hand-over.";

/// What to do when a tool finds a running server with an older schema.
pub(super) const SERVER_FIRST: &str = "It runs an older version, and this one would change the store's schema \
     under it: restart the server with this version first.";

/// The refusal of a successor that would change the schema under its predecessor.
pub(super) fn older_server(path: &Path) -> StoreError {
    StoreError::Unusable(format!("{}: {STOP_FIRST}", path.display()))
}

fn in_use(path: &Path, file: &mut File, remedy: &str) -> StoreError {
    let mut holder = String::new();
    let holder = match file.take(20).read_to_string(&mut holder) {
        Ok(1..) if holder.bytes().all(|b| b.is_ascii_digit()) => format!(" (process {holder})"),
        _ => String::new(),
    };
    StoreError::Unusable(format!(
        "{}: in use by another Doorward server{holder}. {remedy}",
        path.display()
    ))
}
