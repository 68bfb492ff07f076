//! `vault.db`: its tables, its versions, and the ways to open it.
//!
//! A writer opens it in WAL mode with synchronous = FULL: a committed row survives a power cut, and readers read while
//! it writes. A reader opens it read-only, also in a folder that cannot be written (a mounted evidence disk). The
//! database appears whole or not at all: it is built under `tmp/` and renamed into place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use serde_json::json;

use super::chain::{self, EventKind};
use super::error::ArchiveError;

/// `PRAGMA application_id`: "CHVT", so that `file` and our own `open` tell a vault from any other SQLite database.
pub const APPLICATION_ID: i64 = 0x4348_5654;
/// `PRAGMA user_version`: the vault format that this program writes, and the newest that it reads.
pub const FORMAT: i64 = 2;
/// How long a connection waits for another one's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// The tables of this format. FORMAT.md explains each; a test keeps the two equal.
pub const SCHEMA: &str = include_str!("schema.sql");

/// A table of this format.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Columns that order its rows as its triggers ask for.
    pub(crate) order: &'static str,
    /// The format that brought it.
    pub(crate) since: i64,
}

/// Every table, each behind those that its rows refer to.
pub(crate) const TABLES: [Table; 8] = [
    Table { name: "meta", order: "key", since: 1 },
    Table { name: "events", order: "seq", since: 1 },
    Table { name: "files", order: "sequence", since: 1 },
    Table { name: "listings", order: "id", since: 1 },
    Table { name: "entries", order: "stream, name", since: 1 },
    Table { name: "contents", order: "sequence", since: 1 },
    Table { name: "quarantine", order: "path", since: 1 },
    Table { name: "encrypted", order: "sequence", since: 2 },
];

/// What each format added to the one before, from format 2 on.
const MIGRATIONS: [(i64, &str); 1] = [(2, include_str!("schema_2.sql"))];

/// Builds a new database at `path`, which must not exist: tables, meta rows, and the first event of the chain.
pub(crate) fn build(path: &Path, account_id: &str, actor: &str, now_ms: i64) -> Result<(), ArchiveError> {
    let created = json!({ "account_id": account_id, "format": FORMAT });
    build_with(path, account_id, now_ms, |transaction| {
        chain::append(transaction, now_ms, actor, EventKind::Created, &created).map(|_| ())
    })
}

/// As [`build`], with the events and rows that `fill` writes, all in one transaction.
pub(crate) fn build_with(
    path: &Path,
    account_id: &str,
    now_ms: i64,
    fill: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> Result<(), ArchiveError> {
    build_from(
        path,
        |_| Ok(()),
        |transaction| {
            for (key, value) in [("account_id", account_id.to_owned()), ("created_ms", now_ms.to_string())] {
                transaction.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", params![key, value])?;
            }
            fill(transaction)
        },
    )
}

/// A new database at `path` with the tables of this format and what `fill` writes; `prepare` comes before the transaction.
pub(crate) fn build_from(
    path: &Path,
    prepare: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    fill: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::from_database(path, source);
    let mut connection = Connection::open(path).map_err(failed)?;
    let work = |connection: &mut Connection| -> rusqlite::Result<()> {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        prepare(connection)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA)?;
        fill(&transaction)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    };
    work(&mut connection).map_err(failed)?;
    connection.close().map_err(|(_, source)| failed(source))
}

/// Removes a database that was built in vain, as far as that can be done.
pub(crate) fn discard(path: &Path) {
    for ending in ["", "-journal", "-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(path, ending));
    }
}

/// `vault.db` and an ending, such as `-wal`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Opens a copy of a damaged database, whatever it says of itself.
pub(crate) fn open_to_salvage(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Without this SQLite reads nothing of a file that is shorter than its first page says.
    connection.pragma_update(None, "writable_schema", true)?;
    Ok(connection)
}

/// What is wrong with an open database: SQLite's own check of its structures, and whether all tables are there.
pub(crate) fn has_integrity(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for table in TABLES.iter().filter(|table| table.since <= format.max(1)) {
        if !has_table(connection, "main", table.name)? {
            return Ok(Some(format!("the table {} is missing", table.name)));
        }
    }
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then(|| format!("SQLite's integrity check says: {said}")))
}

/// Whether a database that is open under the name `database` has this table.
pub(crate) fn has_table(connection: &Connection, database: &str, table: &str) -> rusqlite::Result<bool> {
    let sql = format!("SELECT 1 FROM {database}.sqlite_schema WHERE type = 'table' AND name = ?1");
    connection.prepare(&sql)?.exists([table])
}

/// Opens the database of a writer that holds the vault's lock.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, ArchiveError> {
    let failed = |source| ArchiveError::from_database(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    let found = check_format(&connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    migrate(&mut connection, found).map_err(failed)?;
    Ok(connection)
}

/// Brings a database of an older format up to this one, as a whole or not at all. The rows of the chain and of the
/// manifest stay as they are.
fn migrate(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    if found == FORMAT {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (_, added) in MIGRATIONS.iter().filter(|(format, _)| *format > found) {
        transaction.execute_batch(added)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Opens the database for reading, while a writer works or not.
///
/// A database in WAL mode needs its `-shm` file even to be read. Where the folder cannot be written and no log is
/// left over, nobody can be writing: the database is then read as immutable. A left-over log in such a folder is an
/// error, because rows in it would be overlooked.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, ArchiveError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let plain = Connection::open_with_flags(path, flags).and_then(|connection| {
        prepare(&connection)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    });
    let connection = match plain {
        Ok(connection) => connection,
        Err(error) if needs_shared_memory(&error) && !has_log(path) => open_immutable(path)?,
        Err(error) => return Err(ArchiveError::from_database(path, error)),
    };
    check_format(&connection, path)?;
    Ok(connection)
}

/// Opens the database as a file that nobody can change: no lock, no log.
fn open_immutable(path: &Path) -> Result<Connection, ArchiveError> {
    let failed = |source| ArchiveError::from_database(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable_uri(path), flags).map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    Ok(connection)
}

fn immutable_uri(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let text = if cfg!(windows) { format!("/{}", text.replace('\\', "/")) } else { text };
    format!("file:{text}?immutable=1")
}

fn needs_shared_memory(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn has_log(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|found| found.len() > 0)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A hostile vault.db must not run functions from its own schema.
    connection.pragma_update(None, "trusted_schema", false)
}

/// Refuses what is no vault, or one of a newer format; gives the format.
fn check_format(connection: &Connection, path: &Path) -> Result<i64, ArchiveError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let failed = |source| ArchiveError::from_database(path, source);
    if pragma("application_id").map_err(failed)? != APPLICATION_ID {
        let folder = path.parent().unwrap_or(path).to_path_buf();
        return Err(ArchiveError::NotAVault { path: folder });
    }
    let found = pragma("user_version").map_err(failed)?;
    if found > FORMAT {
        return Err(ArchiveError::NewerFormat { path: path.to_path_buf(), found, known: FORMAT });
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn built() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a #1?% vault.db");
        build(&path, "1", "test", 5).unwrap();
        (folder, path)
    }

    #[test]
    fn rows_of_the_chain_and_of_the_manifest_cannot_be_changed() {
        let (_folder, path) = built();
        let raw = Connection::open(&path).unwrap();
        raw.execute_batch(
            "INSERT INTO files VALUES (1, 's', 'n', 1, 'files/s/n', 'files/s/n', NULL, NULL, printf('%064d', 0), 1, 'plain', 1, 0, '{}', 1)",
        )
        .unwrap();
        let zeros = "0".repeat(64);
        for statement in [
            "UPDATE events SET actor = 'x'".to_owned(),
            "DELETE FROM events".to_owned(),
            format!("INSERT OR REPLACE INTO events VALUES (1, 0, 'x', 'created', '{{}}', '{zeros}', '{zeros}')"),
            format!("INSERT INTO events VALUES (3, 0, 'x', 'y', '{{}}', '{zeros}', 'a')"),
            format!("INSERT INTO events VALUES (2, 0, 'x', 'y', '{{}}', '{zeros}', 'a')"),
            "UPDATE files SET size_bytes = 2".to_owned(),
            "DELETE FROM files".to_owned(),
            "INSERT OR REPLACE INTO files SELECT * FROM files".to_owned(),
        ] {
            let error = raw.execute_batch(&statement).unwrap_err().to_string();
            assert!(error.contains("append-only"), "{statement}: {error}");
        }
    }

    #[test]
    fn a_foreign_or_newer_database_is_named_as_such() {
        let (folder, path) = built();
        let foreign = folder.path().join("foreign.db");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(open_reader(&foreign), Err(ArchiveError::NotAVault { .. })));
        assert!(matches!(open_writer(&foreign), Err(ArchiveError::NotAVault { .. })));
        Connection::open(&path).unwrap().pragma_update(None, "user_version", FORMAT + 1).unwrap();
        assert!(matches!(open_reader(&path), Err(ArchiveError::NewerFormat { found: 3, known: 2, .. })));
    }

    /// A database as the program of format 1 made it: its tables are frozen in `data/`.
    fn built_as_format_1() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.db");
        let mut raw = Connection::open(&path).unwrap();
        raw.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        raw.execute_batch(include_str!("../../data/vault-format-1.sql")).unwrap();
        raw.execute_batch("INSERT INTO meta VALUES ('account_id', '1'), ('created_ms', '5')").unwrap();
        let transaction = raw.transaction().unwrap();
        let created = json!({ "account_id": "1", "format": 1 });
        chain::append(&transaction, 5, "test", EventKind::Created, &created).unwrap();
        transaction
            .execute_batch(
                "INSERT INTO files VALUES (1, 's', 'n', 1, 'files/s/n', 'files/s/n', NULL, NULL, printf('%064d', 0), 1, \
                 'plain', 1, 0, '{}', 1); INSERT INTO contents VALUES (1, 2, 3, 0); PRAGMA user_version = 1",
            )
            .unwrap();
        transaction.commit().unwrap();
        (folder, path)
    }

    fn tables(path: &Path) -> Vec<String> {
        let raw = Connection::open(path).unwrap();
        let mut statement = raw.prepare("SELECT coalesce(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn a_database_of_format_1_is_read_as_it_is_and_migrated_by_a_writer() {
        let (_folder, path) = built_as_format_1();
        drop(open_reader(&path).unwrap());
        let reader = open_reader(&path).unwrap();
        assert_eq!(reader.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), 1);
        assert!(!tables(&path).iter().any(|table| table.contains("TABLE encrypted")));
        drop(reader);
        for _ in 0..2 {
            let writer = open_writer(&path).unwrap();
            assert_eq!(writer.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), FORMAT);
            assert!(chain::walk(&writer).unwrap().ok);
            let count = |table| {
                writer.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
            };
            assert_eq!((count("encrypted"), count("events"), count("files"), count("contents")), (0, 1, 1, 1));
        }
        // A migrated database is like a new one.
        assert_eq!(tables(&path), tables(&built().1));
    }

    #[test]
    fn the_list_of_tables_is_that_of_the_schema() {
        let raw = Connection::open(built().1).unwrap();
        let mut statement = raw.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
        let made: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
        let mut told = TABLES.map(|table| table.name);
        told.sort_unstable();
        assert_eq!(told.to_vec(), made);
    }

    #[test]
    fn an_immutable_reader_sees_the_rows_and_leaves_no_file_behind() {
        let (folder, path) = built();
        drop(open_writer(&path).unwrap());
        let reader = open_immutable(&path).unwrap();
        assert!(chain::walk(&reader).unwrap().ok);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_format_document_shows_the_schema_as_it_is() {
        assert!(include_str!("FORMAT.md").contains(SCHEMA.trim_end()), "copy schema.sql into FORMAT.md");
    }
}
