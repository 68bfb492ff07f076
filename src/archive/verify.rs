//! The proof by re-reading: every file, those in quarantine too, against its row, every row against its event, every event against the one before.
//!
//! Files are read by several threads at disk speed; nothing is changed. Works on a reader and while a writer works:
//! rows are read before the folders are listed, and a file that seems unlisted is looked up once more at the end.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Archive;
use super::chain::{self, ChainReport};
use super::disk::{Disk, EntryKind};
use super::entry::Sha256Hex;
use super::error::ArchiveError;
use super::evidence::{DamagedName, QuarantineReport};
use super::layout::{self, DATABASE, FILES};
use super::ledger::Ledger;

const READ_BUFFER_BYTES: usize = 256 * 1024;

/// Which share of the files is re-read. The chain, the rows and the folders are always looked at as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// 1 … `of`.
    pub part: u64,
    /// Number of parts; file `n` of the manifest is in part `n mod of` (0 counts as `of`).
    pub of: u64,
}

/// What re-reading the archive found.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// Files, rows and folders.
    pub files: FilesReport,
    /// The audit chain.
    pub chain: ChainReport,
    /// Damaged bytes that are kept as evidence.
    pub quarantine: QuarantineReport,
    /// Names that came damaged, or are gone, and were never here whole. Nothing changed, and something is lacking.
    pub known_damage: Vec<DamagedName>,
}

/// Findings about files. Paths are relative to the vault; lists are in manifest order or sorted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FilesReport {
    /// Rows whose file was looked at.
    pub checked: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Files whose bytes are not those of their row.
    pub damaged: Vec<DamagedFile>,
    /// Rows without a file.
    pub missing: Vec<MissingFile>,
    /// Files (or links) under `files/` without a row.
    pub unlisted: Vec<String>,
    /// Files whose row was changed, lost or made up: it does not agree with its event in the chain.
    pub altered_rows: Vec<String>,
    /// Whole files that somebody could write to. A warning: copying a vault may lose the read-only bit.
    pub writable: Vec<String>,
}

/// A file whose bytes are not those of its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedFile {
    /// Path relative to the vault.
    pub file: String,
    /// Sequence of the row.
    pub sequence: u64,
    /// Hash in the row.
    pub expected_sha256: Sha256Hex,
    /// Hash of the bytes on disk; `None` if they could not be read.
    pub found_sha256: Option<Sha256Hex>,
    /// Size in the row.
    pub expected_bytes: u64,
    /// Bytes that could be read.
    pub found_bytes: u64,
    /// What is wrong, in words.
    pub reason: String,
}

/// A row without a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingFile {
    /// Path relative to the vault.
    pub file: String,
    /// Sequence of the row.
    pub sequence: u64,
    /// Hash in the row.
    pub expected_sha256: Sha256Hex,
}

impl VerifyReport {
    /// Nothing was found that is worse than a lost read-only bit.
    pub fn is_ok(&self) -> bool {
        let files = &self.files;
        self.chain.ok
            && self.quarantine.is_ok()
            && files.damaged.is_empty()
            && files.missing.is_empty()
            && files.unlisted.is_empty()
            && files.altered_rows.is_empty()
    }
}

/// The part of a row that re-reading needs.
struct Row {
    sequence: u64,
    path: String,
    sha256: Sha256Hex,
    size_bytes: u64,
}

/// What a worker tells the caller's thread.
enum Told {
    Bytes(u64),
    Damaged(DamagedFile),
    Missing(MissingFile),
    Writable(u64, String),
}

impl Archive {
    /// Re-reads every file with `threads` threads and walks the chain. `progress` is called on the caller's thread with
    /// the bytes read so far.
    ///
    /// # Errors
    /// Only what keeps the ledger or the folders from being read; damage is in the report, not an error.
    pub fn verify(&self, progress: &dyn Fn(u64), threads: usize) -> Result<VerifyReport, ArchiveError> {
        self.verify_part(Part { part: 1, of: 1 }, progress, threads)
    }

    /// As [`Archive::verify`], reading the bytes of one part of the files only.
    ///
    /// # Errors
    /// As [`Archive::verify`].
    pub fn verify_part(
        &self,
        part: Part,
        progress: &dyn Fn(u64),
        threads: usize,
    ) -> Result<VerifyReport, ArchiveError> {
        // A connection of its own: walking a long chain must not hold up a writer in this process.
        let ledger = Ledger::open_reader(&self.inner.root.join(DATABASE))?;
        let rows = ledger.read(rows)?;
        let altered_rows = ledger.read(altered_rows)?;
        let chain = ledger.read(chain::walk)?;
        let mut files = self.read_files(&rows, part, progress, threads);
        files.altered_rows = altered_rows;
        files.unlisted = self.unlisted(&ledger)?;
        let known_damage = self.names_never_whole()?;
        let read_bytes = files.bytes;
        let quarantine = self.read_quarantine(&ledger, part, &|bytes| progress(read_bytes + bytes))?;
        Ok(VerifyReport { files, chain, quarantine, known_damage })
    }

    /// Walks the chain alone.
    ///
    /// # Errors
    /// What keeps the ledger from being read.
    pub fn verify_chain(&self) -> Result<ChainReport, ArchiveError> {
        Ledger::open_reader(&self.inner.root.join(DATABASE))?.read(chain::walk)
    }

    fn read_files(&self, rows: &[Row], part: Part, progress: &dyn Fn(u64), threads: usize) -> FilesReport {
        let of = part.of.max(1);
        let chosen: Vec<&Row> = rows.iter().filter(|row| row.sequence % of == part.part % of).collect();
        let mut report = FilesReport { checked: chosen.len() as u64, ..FilesReport::default() };
        let mut writable = Vec::new();
        let next = AtomicUsize::new(0);
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..threads.clamp(1, chosen.len().max(1)) {
                let (tell, next, chosen) = (tell.clone(), &next, &chosen);
                scope.spawn(move || {
                    let mut buffer = vec![0; READ_BUFFER_BYTES];
                    while let Some(row) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                        read_one(self.inner.disk.as_ref(), &self.inner.root, row, &mut buffer, &tell);
                    }
                });
            }
            drop(tell);
            for word in told {
                match word {
                    Told::Bytes(count) => {
                        report.bytes += count;
                        progress(report.bytes);
                    }
                    Told::Damaged(damaged) => report.damaged.push(damaged),
                    Told::Missing(missing) => report.missing.push(missing),
                    Told::Writable(sequence, path) => writable.push((sequence, path)),
                }
            }
        });
        report.damaged.sort_by_key(|damaged| damaged.sequence);
        report.missing.sort_by_key(|missing| missing.sequence);
        writable.sort();
        report.writable = writable.into_iter().map(|(_, path)| path).collect();
        report
    }

    /// Everything under `files/` that is no folder and has no row.
    fn unlisted(&self, ledger: &Ledger) -> Result<Vec<String>, ArchiveError> {
        let root = &self.inner.root;
        let mut strays = Vec::new();
        let mut folders = vec![root.join(FILES)];
        while let Some(folder) = folders.pop() {
            let entries = self.inner.disk.list(&folder);
            for entry in entries.map_err(|source| ArchiveError::from_io(&folder, None, source))? {
                if entry.kind == EntryKind::Folder {
                    folders.push(entry.path);
                    continue;
                }
                let path = ledger_path(root, &entry.path);
                if !ledger.has_path(&path)? {
                    strays.push(path);
                }
            }
        }
        // A writer may have committed the row after the file was seen.
        let mut unlisted = Vec::new();
        for path in strays {
            if !ledger.has_path(&path)? {
                unlisted.push(path);
            }
        }
        unlisted.sort();
        Ok(unlisted)
    }
}

fn read_one(disk: &dyn Disk, root: &Path, row: &Row, buffer: &mut [u8], tell: &Sender<Told>) {
    let place = layout::in_vault(root, &row.path);
    let mut found_bytes = 0;
    let outcome = disk.metadata(&place).and_then(|found| {
        let Some(found) = found else { return Ok(None) };
        if found.kind != EntryKind::File {
            return Err(std::io::Error::other("it is no regular file"));
        }
        let mut file = disk.open(&place)?;
        let mut hasher = Sha256::new();
        loop {
            let count = match std::io::Read::read(&mut file, buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(&buffer[..count]);
            found_bytes += count as u64;
            send(tell, Told::Bytes(count as u64));
        }
        Ok(Some((Sha256Hex(hasher.finalize().into()), found.read_only)))
    });
    let damaged = |found_sha256, reason: String| {
        Told::Damaged(DamagedFile {
            file: row.path.clone(),
            sequence: row.sequence,
            expected_sha256: row.sha256,
            found_sha256,
            expected_bytes: row.size_bytes,
            found_bytes,
            reason,
        })
    };
    match outcome {
        Ok(None) => send(
            tell,
            Told::Missing(MissingFile { file: row.path.clone(), sequence: row.sequence, expected_sha256: row.sha256 }),
        ),
        Ok(Some((sha256, _))) if sha256 != row.sha256 || found_bytes != row.size_bytes => {
            let reason = match found_bytes == row.size_bytes {
                true => "its bytes changed".to_owned(),
                false => format!("it has {found_bytes} bytes instead of {}", row.size_bytes),
            };
            send(tell, damaged(Some(sha256), reason));
        }
        Ok(Some((_, read_only))) => {
            if !read_only {
                send(tell, Told::Writable(row.sequence, row.path.clone()));
            }
        }
        Err(error) => send(tell, damaged(None, format!("it could not be read: {error}"))),
    }
}

fn send(tell: &Sender<Told>, word: Told) {
    // The receiver lives until every sender is gone; if it panicked, the scope passes the panic on.
    let _ = tell.send(word);
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare("SELECT sequence, path, sha256, size_bytes FROM files ORDER BY sequence")?;
    let rows = statement.query_map([], |row| {
        Ok(Row {
            sequence: row.get(0)?,
            path: row.get(1)?,
            sha256: chain::hash_column(row, 2)?,
            size_bytes: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// Paths of rows that do not agree with the event that published them, and of publishing events without a row.
pub(super) fn altered_rows(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut altered = Vec::new();
    let mut statement = connection.prepare(
        "SELECT f.sequence, f.stream, f.name, f.version, f.path, f.window_start_ms, f.window_end_ms, f.sha256, \
         f.size_bytes, f.container, f.inflated_bytes, f.stored_at_ms, f.provenance, e.kind, e.time_ms, e.payload \
         FROM files f LEFT JOIN events e ON e.seq = f.event_seq ORDER BY f.sequence",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let path: String = row.get(4)?;
        let payload: Option<String> = row.get(15)?;
        let event: Value = payload.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let kind: Option<String> = row.get(13)?;
        let provenance: String = row.get(12)?;
        let agrees = matches!(kind.as_deref(), Some("fetched" | "imported"))
            && event["sequence"] == row.get::<_, i64>(0)?
            && event["stream"] == row.get::<_, String>(1)?
            && event["name"] == row.get::<_, String>(2)?
            && event["version"] == row.get::<_, i64>(3)?
            && event["path"] == path
            && event["window"]["start_ms"].as_i64() == row.get(5)?
            && event["window"]["end_ms"].as_i64() == row.get(6)?
            && event["sha256"] == row.get::<_, String>(7)?
            && event["size_bytes"] == row.get::<_, i64>(8)?
            && event["container"] == row.get::<_, String>(9)?
            && event["inflated_bytes"] == row.get::<_, i64>(10)?
            && row.get::<_, Option<i64>>(14)? == Some(row.get(11)?)
            && chain::canonical_json(&event["provenance"]) == provenance;
        if !agrees {
            altered.push(path);
        }
    }
    let mut statement = connection.prepare(
        "SELECT e.payload FROM events e LEFT JOIN files f ON f.event_seq = e.seq \
         WHERE e.kind IN ('fetched', 'imported') AND f.sequence IS NULL ORDER BY e.seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let event: Value = serde_json::from_str(&row.get::<_, String>(0)?).unwrap_or_default();
        altered.push(event["path"].as_str().unwrap_or("(a row whose event cannot be read)").to_owned());
    }
    Ok(altered)
}

pub(super) fn ledger_path(root: &Path, place: &Path) -> String {
    let inside = place.strip_prefix(root).unwrap_or(place);
    let parts: Vec<_> = inside.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}
