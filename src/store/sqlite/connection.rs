//! Connections to one file: one writer, few readers, and the write transaction.
//!
//! SQLite has one writer at a time whatever one does, so there is one writing connection and a fair queue
//! before it; other processes (the command line) are waited for by `busy_timeout`. `synchronous=FULL`: a
//! commit is on disk when it returns. Readers are opened when needed, see the last commit, never block the
//! writer and are never blocked by it. Page caches are small: the store is read on cache misses only.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Sqlite};

use crate::domain::clock::Stopwatch;
use crate::store::{Result, StoreError};
use crate::telemetry::Metrics;
use crate::telemetry::labels::StoreErrorClass;

/// Readers at most. A look-up takes tens of microseconds; more would only fight for the disk.
const READERS: u32 = 4;
/// How long another process's write is waited for.
const BUSY_WITHIN: Duration = Duration::from_secs(5);
/// How long a change waits for its turn in this process.
const WRITER_WITHIN: Duration = Duration::from_secs(5);
/// How long a read may take, waiting included: a request waits for it.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// Readers beyond need are closed after this long.
const READER_IDLE: Duration = Duration::from_secs(60);

/// What all connections to a file share.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_WITHIN)
        .foreign_keys(true)
        // Negative: KiB. Per connection, so five connections hold 5 MiB at the very most.
        .pragma("cache_size", "-1024")
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

/// Options of a connection that writes.
pub(super) fn writing(path: &Path) -> SqliteConnectOptions {
    options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // A log grown by a large import is cut back to this at the next checkpoint.
        .pragma("journal_size_limit", "16777216")
}

/// Options of a connection that reads. They must not name a journal mode: setting one is a write.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true)
}

/// The connections of an open store.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    metrics: OnceLock<Arc<Metrics>>,
}

impl Connections {
    /// Opens the writer now, so that a file that cannot be written is found at start; readers come later.
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(0)
            .acquire_timeout(WRITER_WITHIN)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(writing(path))
            .await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(0)
            .acquire_timeout(READ_WITHIN)
            .idle_timeout(READER_IDLE)
            .max_lifetime(None)
            .test_before_acquire(true)
            .connect_lazy_with(reading(path));
        Ok(Self {
            writer,
            readers,
            metrics: OnceLock::new(),
        })
    }

    /// Begins a change: waits for the writer, then for other processes.
    pub(super) async fn begin(&self) -> Result<Change<'_>> {
        let watch = Stopwatch::start();
        let begun = self.begin_unmeasured(watch).await;
        if let Err(error) = &begun {
            self.ended(watch, Some(error));
        }
        begun
    }

    async fn begin_unmeasured(&self, watch: Stopwatch) -> Result<Change<'_>> {
        // A change before BEGIN is sent: a caller that gives up while it waits must not hand a connection
        // with an open transaction back to the queue. Should BEGIN fail, a new connection is clean.
        let mut change = Change {
            conn: Some(self.writer.acquire().await?),
            connections: self,
            watch,
        };
        sqlx::query("BEGIN IMMEDIATE").execute(change.conn()?).await?;
        Ok(change)
    }

    /// Closes readers first, so that the writer is the last and writes the log back into the file.
    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A read with its time limit.
    pub(super) async fn within<T>(&self, read: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
        let watch = Stopwatch::start();
        let result = match tokio::time::timeout(READ_WITHIN, read).await {
            Ok(result) => result.map_err(StoreError::from),
            Err(_) => Err(StoreError::Unavailable(format!(
                "a read took longer than {} s",
                READ_WITHIN.as_secs()
            ))),
        };
        self.ended(watch, result.as_ref().err());
        result
    }

    /// Counts into these metrics from now on.
    pub(super) fn measured_by(&self, metrics: &Arc<Metrics>) {
        // A store serves one process, so a second call can only bring the same metrics.
        let _same = self.metrics.set(Arc::clone(metrics));
    }

    /// Every read and every change ends here.
    fn ended(&self, watch: Stopwatch, error: Option<&StoreError>) {
        let Some(metrics) = self.metrics.get() else {
            return;
        };
        metrics.store_call_duration.observe(watch.elapsed().as_secs_f64());
        if let Some(error) = error {
            metrics.store_call_errors.inc(class(error));
        }
    }
}

fn class(error: &StoreError) -> StoreErrorClass {
    match error {
        StoreError::Unavailable(_) => StoreErrorClass::Unavailable,
        StoreError::Full(_) => StoreErrorClass::Full,
        StoreError::Conflict(_) | StoreError::Outdated { .. } => StoreErrorClass::Conflict,
        StoreError::NotFound(_) => StoreErrorClass::NotFound,
        StoreError::Unusable(_) => StoreErrorClass::Unusable,
    }
}

/// A write transaction. Dropped without [`Change::finish`] (a canceled call), it takes its connection with
/// it, and SQLite rolls back.
///
/// This is not the driver's own transaction, because SQLite rolls back by itself when the disk is full:
/// the driver would then count a transaction that is no more and refuse the next one.
#[derive(Debug)]
pub(super) struct Change<'a> {
    conn: Option<PoolConnection<Sqlite>>,
    connections: &'a Connections,
    watch: Stopwatch,
}

impl Change<'_> {
    /// The connection to work on.
    pub(super) fn conn(&mut self) -> Result<&mut SqliteConnection> {
        self.conn
            .as_deref_mut()
            .ok_or_else(|| StoreError::Unavailable("the change is over".to_owned()))
    }

    /// Commits when the work went well, else undoes all of it. What is returned after a commit is durable.
    pub(super) async fn finish<T>(mut self, work: Result<T>) -> Result<T> {
        let conn = self.conn()?;
        let outcome = match work {
            Ok(value) => match sqlx::query("COMMIT").execute(&mut *conn).await {
                Ok(_) => Ok(value),
                Err(error) => Err(StoreError::from(error)),
            },
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // Fails when SQLite has rolled back already. Should it fail for any other reason, the next
            // BEGIN fails too and `begin` replaces the connection.
            let _already_undone = sqlx::query("ROLLBACK").execute(conn).await;
        }
        self.conn = None;
        self.connections.ended(self.watch, outcome.as_ref().err());
        outcome
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            conn.close_on_drop();
        }
    }
}
