//! The manifest side of `vault.db`: rows of published files, of quarantined bytes and of contents.
//!
//! Every change is one IMMEDIATE transaction that also appends its event to the chain: a row without its event, or
//! an event without its row, cannot be committed. Only the writer's handle changes anything.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde_json::{Value, json};

use super::chain::{self, EventKind, hash_column};
use super::check::{GoodPrefix, Whole};
use super::disk::Disk;
use super::entry::{ArchivedFile, Contents, EncryptedFile, Provenance, Sha256Hex, Window};
use super::error::ArchiveError;
use super::layout::path_key;
use super::{coverage, mend, schema};

const COLUMNS: &str = "sequence, stream, name, path, version, window_start_ms, window_end_ms, sha256, size_bytes, \
                       stored_at_ms, provenance";

/// An open `vault.db`.
pub(crate) struct Ledger {
    connection: Connection,
    path: PathBuf,
    /// Asked before each commit; `None` in a reader.
    disk: Option<Arc<dyn Disk>>,
}

/// A row about to be written; the sequence is given by the ledger.
pub(crate) struct NewFile<'a> {
    pub(crate) stream: &'a str,
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
    pub(crate) version: u32,
    pub(crate) window: Option<Window>,
    pub(crate) sha256: Sha256Hex,
    pub(crate) size_bytes: u64,
    pub(crate) whole: Whole,
    /// The file lay in its place already, left by a crash.
    pub(crate) adopted: bool,
    pub(crate) provenance: &'a Provenance,
    /// What a rebuilt ledger says of the row that it took over; stands in the event only.
    pub(crate) recovered: Option<Value>,
}

/// Bytes about to be recorded as quarantined.
pub(crate) struct NewQuarantine<'a> {
    pub(crate) stream: &'a str,
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
    pub(crate) window: Option<Window>,
    pub(crate) sha256: Option<Sha256Hex>,
    pub(crate) size_bytes: u64,
    pub(crate) reason: &'a str,
    pub(crate) provenance: Option<&'a Provenance>,
    /// How far the bytes can be read.
    pub(crate) prefix: Option<GoodPrefix>,
}

/// Who writes, and when: the two fields of an event that do not come from what happened.
#[derive(Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) actor: &'a str,
    pub(crate) now_ms: i64,
}

impl Ledger {
    pub(crate) fn open_writer(path: &Path, disk: Arc<dyn Disk>) -> Result<Ledger, ArchiveError> {
        Ok(Ledger { connection: schema::open_writer(path)?, path: path.to_path_buf(), disk: Some(disk) })
    }

    pub(crate) fn open_reader(path: &Path) -> Result<Ledger, ArchiveError> {
        Ok(Ledger { connection: schema::open_reader(path)?, path: path.to_path_buf(), disk: None })
    }

    /// Runs `work` on the connection.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ArchiveError> {
        work(&self.connection).map_err(|source| ArchiveError::from_database(&self.path, source))
    }

    /// Runs `work` in one IMMEDIATE transaction; an error rolls everything back.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, ArchiveError> {
        let failed = |source| ArchiveError::from_database(&self.path, source);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let outcome = work(&transaction).map_err(failed)?;
        if let Some(disk) = &self.disk {
            disk.before_commit().map_err(|source| ArchiveError::from_io(&self.path, None, source))?;
        }
        transaction.commit().map_err(failed)?;
        Ok(outcome)
    }

    /// A value of the `meta` table.
    pub(crate) fn meta(&self, key: &str) -> Result<Option<String>, ArchiveError> {
        self.read(|connection| {
            connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
        })
    }

    pub(crate) fn add_file(&mut self, by: By<'_>, file: &NewFile<'_>) -> Result<ArchivedFile, ArchiveError> {
        self.write(|transaction| insert_file(transaction, by, file))
    }

    /// Records that a published file was put back; `is_latest`: it is the version that the name's state is about.
    pub(crate) fn add_restored(
        &mut self,
        by: By<'_>,
        file: &ArchivedFile,
        is_latest: bool,
        payload: &Value,
    ) -> Result<(), ArchiveError> {
        self.write(|transaction| {
            chain::append(transaction, by.now_ms, by.actor, EventKind::Restored, payload)?;
            match is_latest {
                true => coverage::mark_fetched(transaction, &file.stream, &file.name, file.window),
                false => Ok(()),
            }
        })
    }

    pub(crate) fn add_quarantine(&mut self, by: By<'_>, found: &NewQuarantine<'_>) -> Result<(), ArchiveError> {
        self.write(|transaction| insert_quarantine(transaction, by, found))
    }

    pub(crate) fn add_event(&mut self, by: By<'_>, kind: EventKind, payload: &Value) -> Result<(), ArchiveError> {
        self.write(|transaction| chain::append(transaction, by.now_ms, by.actor, kind, payload).map(|_| ()))
    }

    pub(crate) fn set_contents(&mut self, sequence: u64, contents: &Contents) -> Result<(), ArchiveError> {
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO contents (sequence, records, conversations, problems) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (sequence) DO UPDATE SET records = ?2, conversations = ?3, problems = ?4",
                )?
                .execute(params![sequence, contents.records, contents.conversations, contents.problems])
                .map(|_| ())
        })
    }

    pub(crate) fn contents_total(&self) -> Result<Contents, ArchiveError> {
        let sum = "SELECT coalesce(sum(records), 0), coalesce(sum(conversations), 0), coalesce(sum(problems), 0) \
                   FROM contents";
        self.read(|connection| connection.query_row(sum, [], contents_row))
    }

    pub(crate) fn contents_of(&self, sequence: u64) -> Result<Option<Contents>, ArchiveError> {
        let one = "SELECT records, conversations, problems FROM contents WHERE sequence = ?1";
        self.read(|connection| connection.query_row(one, [sequence], contents_row).optional())
    }

    /// Files whose decoding met problems.
    pub(crate) fn sequences_with_problems(&self) -> Result<Vec<(u64, Contents)>, ArchiveError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT records, conversations, problems, sequence FROM contents WHERE problems > 0 ORDER BY sequence",
            )?;
            statement.query_map([], |row| Ok((row.get(3)?, contents_row(row)?)))?.collect()
        })
    }

    pub(crate) fn file_at(&self, sequence: u64) -> Result<Option<ArchivedFile>, ArchiveError> {
        Ok(self.files("WHERE sequence = ?1", params![sequence])?.into_iter().next())
    }

    pub(crate) fn set_encrypted(&mut self, file: &EncryptedFile) -> Result<(), ArchiveError> {
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO encrypted (sequence, records, key_ids, tried) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (sequence) DO UPDATE SET records = ?2, key_ids = ?3, tried = ?4",
                )?
                .execute(params![file.sequence, file.records, words(&file.key_ids), words(&file.tried)])
                .map(|_| ())
        })
    }

    pub(crate) fn remove_encrypted(&mut self, sequences: &[u64]) -> Result<(), ArchiveError> {
        self.write(|transaction| {
            let mut remove = transaction.prepare_cached("DELETE FROM encrypted WHERE sequence = ?1")?;
            sequences.iter().try_for_each(|sequence| remove.execute([sequence]).map(drop))
        })
    }

    pub(crate) fn encrypted_files(&self) -> Result<Vec<EncryptedFile>, ArchiveError> {
        self.read(|connection| {
            // A reader may have a vault of format 1 before it.
            let is_there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'encrypted'";
            if !connection.prepare_cached(is_there)?.exists([])? {
                return Ok(Vec::new());
            }
            let all = "SELECT sequence, records, key_ids, tried FROM encrypted ORDER BY sequence";
            let set = |row: &Row<'_>, column| -> rusqlite::Result<BTreeSet<String>> {
                Ok(row.get::<_, String>(column)?.split_whitespace().map(str::to_owned).collect())
            };
            connection
                .prepare_cached(all)?
                .query_map([], |row| {
                    let (sequence, records) = (row.get(0)?, row.get(1)?);
                    Ok(EncryptedFile { sequence, records, key_ids: set(row, 2)?, tried: set(row, 3)? })
                })?
                .collect()
        })
    }

    /// Every version of a name, oldest first.
    pub(crate) fn versions(&self, stream: &str, name: &str) -> Result<Vec<ArchivedFile>, ArchiveError> {
        self.files("WHERE stream = ?1 AND name = ?2 ORDER BY version", params![stream, name])
    }

    /// The latest version of every name of a stream. A salvage file's name is none of the source's.
    pub(crate) fn names_in(&self, stream: &str) -> Result<HashMap<String, ArchivedFile>, ArchiveError> {
        let files = self.files("WHERE stream = ?1 ORDER BY version", params![stream])?;
        let named = files.into_iter().filter(|file| file.provenance.salvage.is_none());
        Ok(named.map(|file| (file.name.clone(), file)).collect())
    }

    pub(crate) fn files_after(&self, sequence: u64) -> Result<Vec<ArchivedFile>, ArchiveError> {
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        self.files("WHERE sequence > ?1 ORDER BY sequence", params![sequence])
    }

    /// Files whose contents are not known because they could not be read.
    pub(crate) fn unread_files(&self) -> Result<Vec<ArchivedFile>, ArchiveError> {
        let unread = "WHERE sequence IN (SELECT sequence FROM contents WHERE records = 0 AND problems > 0) \
                      ORDER BY sequence";
        self.files(unread, params![])
    }

    pub(crate) fn file_by_sha256(&self, sha256: &Sha256Hex) -> Result<Option<ArchivedFile>, ArchiveError> {
        let found = self.files("WHERE sha256 = ?1 ORDER BY sequence LIMIT 1", params![sha256.to_string()])?;
        Ok(found.into_iter().next())
    }

    /// Every file with these bytes.
    pub(crate) fn files_with(&self, sha256: &Sha256Hex) -> Result<Vec<ArchivedFile>, ArchiveError> {
        self.files("WHERE sha256 = ?1 ORDER BY sequence", params![sha256.to_string()])
    }

    pub(crate) fn file_by_path(&self, path: &str) -> Result<Option<ArchivedFile>, ArchiveError> {
        Ok(self.files("WHERE path = ?1", params![path])?.into_iter().next())
    }

    pub(crate) fn last_sequence(&self) -> Result<u64, ArchiveError> {
        self.read(last_sequence)
    }

    /// Is this path, or one that some file system takes for the same, in the manifest?
    pub(crate) fn knows_path(&self, path: &str) -> Result<bool, ArchiveError> {
        self.read(|connection| {
            connection.prepare_cached("SELECT 1 FROM files WHERE path_key = ?1")?.exists([path_key(path)])
        })
    }

    /// Is exactly this path in the manifest?
    pub(crate) fn has_path(&self, path: &str) -> Result<bool, ArchiveError> {
        self.read(|connection| connection.prepare_cached("SELECT 1 FROM files WHERE path = ?1")?.exists([path]))
    }

    /// Is something known to be wrong with a name that has rows: gone from the disk, or damaged there?
    pub(crate) fn is_doubted(&self, stream: &str, name: &str) -> Result<bool, ArchiveError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT 1 FROM entries WHERE stream = ?1 AND name = ?2 AND state <> 'fetched'")?
                .exists([stream, name])
        })
    }

    /// Where the same bytes were put in quarantine, and their size, oldest first.
    pub(crate) fn quarantined(&self, sha256: &Sha256Hex) -> Result<Vec<(String, u64)>, ArchiveError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT path, size_bytes FROM quarantine WHERE sha256 = ?1 ORDER BY event_seq")?
                .query_map([sha256.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    fn files(&self, condition: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<ArchivedFile>, ArchiveError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM files {condition}"))?;
            statement.query_map(values, file_row)?.collect()
        })
    }
}

/// Row, event and state of the entry, inside the caller's transaction.
pub(crate) fn insert_file(
    transaction: &Transaction<'_>,
    by: By<'_>,
    file: &NewFile<'_>,
) -> rusqlite::Result<ArchivedFile> {
    let origin = &file.provenance.origin;
    // What came out of a bag keeps the origin of its first receipt, and was imported all the same.
    let is_from_disk = origin.starts_with("import:")
        || mend::FROM_DISK.contains(&origin.as_str())
        || !file.provenance.custody.is_empty();
    let kind = if is_from_disk { EventKind::Imported } else { EventKind::Fetched };
    let sequence = last_sequence(transaction)? + 1;
    let provenance = json!(file.provenance);
    let mut payload = json!({
        "sequence": sequence, "stream": file.stream, "name": file.name, "version": file.version,
        "path": file.path, "window": window_json(file.window), "sha256": file.sha256.to_string(),
        "size_bytes": file.size_bytes, "container": file.whole.container.as_str(),
        "inflated_bytes": file.whole.inflated_bytes, "adopted": file.adopted, "provenance": provenance,
    });
    if let Some(recovered) = &file.recovered {
        payload["recovered"] = recovered.clone();
    }
    let event = chain::append(transaction, by.now_ms, by.actor, kind, &payload)?;
    transaction
        .prepare_cached(
            "INSERT INTO files (sequence, stream, name, version, path, path_key, window_start_ms, \
             window_end_ms, sha256, size_bytes, container, inflated_bytes, stored_at_ms, provenance, event_seq) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            sequence,
            file.stream,
            file.name,
            file.version,
            file.path,
            path_key(file.path),
            file.window.map(|window| window.start_ms),
            file.window.map(|window| window.end_ms),
            file.sha256.to_string(),
            file.size_bytes,
            file.whole.container.as_str(),
            file.whole.inflated_bytes,
            by.now_ms,
            chain::canonical_json(&provenance),
            event.seq,
        ])?;
    // A salvage file is no name of the source: it must neither fill a gap nor make one.
    if file.provenance.salvage.is_none() {
        coverage::mark_fetched(transaction, file.stream, file.name, file.window)?;
    }
    Ok(ArchivedFile {
        sequence,
        stream: file.stream.to_owned(),
        name: file.name.to_owned(),
        path: file.path.to_owned(),
        version: file.version,
        window: file.window,
        sha256: file.sha256,
        size_bytes: file.size_bytes,
        stored_at_ms: by.now_ms,
        provenance: file.provenance.clone(),
    })
}

/// Row and event of bytes in quarantine, inside the caller's transaction. With a provenance they came from a source, under whose
/// name they count as damaged.
pub(crate) fn insert_quarantine(
    transaction: &Transaction<'_>,
    by: By<'_>,
    found: &NewQuarantine<'_>,
) -> rusqlite::Result<()> {
    let payload = json!({
        "stream": found.stream, "name": found.name, "path": found.path, "window": window_json(found.window),
        "sha256": found.sha256.map(|hash| hash.to_string()), "size_bytes": found.size_bytes,
        "reason": found.reason, "provenance": found.provenance,
        "damaged_at_byte": found.prefix.map(|prefix| prefix.at_byte),
        "good_bytes": found.prefix.map(|prefix| prefix.good_bytes),
        "proven_bytes": found.prefix.map(|prefix| prefix.proven_bytes),
    });
    let event = chain::append(transaction, by.now_ms, by.actor, EventKind::Quarantined, &payload)?;
    // The same damaged bytes again are one more event, not one more file.
    transaction
        .prepare_cached(
            "INSERT INTO quarantine (path, stream, name, sha256, size_bytes, reason, quarantined_ms, event_seq) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (path) DO NOTHING",
        )?
        .execute(params![
            found.path,
            found.stream,
            found.name,
            found.sha256.map(|hash| hash.to_string()),
            found.size_bytes,
            found.reason,
            by.now_ms,
            event.seq,
        ])?;
    if found.provenance.is_some() {
        coverage::mark_damaged(transaction, found.stream, found.name, found.window)?;
    }
    Ok(())
}

fn words(set: &BTreeSet<String>) -> String {
    set.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn last_sequence(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT coalesce(max(sequence), 0) FROM files", [], |row| row.get(0))
}

fn file_row(row: &Row<'_>) -> rusqlite::Result<ArchivedFile> {
    let provenance: String = row.get(10)?;
    let unreadable =
        |error| rusqlite::Error::FromSqlConversionFailure(10, rusqlite::types::Type::Text, Box::new(error));
    Ok(ArchivedFile {
        sequence: row.get(0)?,
        stream: row.get(1)?,
        name: row.get(2)?,
        path: row.get(3)?,
        version: row.get(4)?,
        window: window_columns(row, 5)?,
        sha256: hash_column(row, 7)?,
        size_bytes: row.get(8)?,
        stored_at_ms: row.get(9)?,
        provenance: serde_json::from_str::<Provenance>(&provenance).map_err(unreadable)?,
    })
}

fn contents_row(row: &Row<'_>) -> rusqlite::Result<Contents> {
    Ok(Contents { records: row.get(0)?, conversations: row.get(1)?, problems: row.get(2)? })
}

/// The window in the columns `first` and `first + 1`.
pub(crate) fn window_columns(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Window>> {
    let (start, end): (Option<i64>, Option<i64>) = (row.get(first)?, row.get(first + 1)?);
    Ok(start.zip(end).map(|(start_ms, end_ms)| Window { start_ms, end_ms }))
}

/// A window as it stands in events: an object, or null.
pub(crate) fn window_json(window: Option<Window>) -> Value {
    window.map_or(Value::Null, |window| json!({ "start_ms": window.start_ms, "end_ms": window.end_ms }))
}
