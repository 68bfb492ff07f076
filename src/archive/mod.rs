//! archive: immutable raw files and the ledger; the seam between online and offline.
//!
//! * Takes: bytes with a stream, a name and a provenance; listings; events.
//! * Gives: `ArchivedFile`s in the order they were committed, their bytes, and the proof that nothing changed.
//! * Promises: a published file is whole, durable and never changes; a crash loses nothing published (FORMAT.md).
//! * Never: looks inside a record, talks to a network, overwrites or deletes what it published.
//! * Start reading at: `Archive::publish` in `ingest.rs`, then `FORMAT.md`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

mod acceptance;
pub mod anchor;
pub mod answers;
pub mod chain;
pub mod check;
pub mod coverage;
pub mod disk;
mod encrypted;
pub mod entry;
pub mod error;
pub mod evidence;
pub mod extract;
mod former;
pub mod ingest;
pub mod kept;
pub mod layout;
mod ledger;
mod lock;
mod masked;
pub mod mend;
pub mod naming;
mod open_answers;
mod place;
pub mod proof;
pub mod rebuild;
mod salvage;
mod schema;
mod schemas;
mod set_aside;
pub mod tree;
pub mod verify;
pub mod windows;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod crash_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod extract_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod faulty;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod mend_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod proof_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod verify_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod windows_tests;

pub use acceptance::{Acceptance, AcceptedWindow};
pub use anchor::{Head, HeadCheck, Rebuilt};
pub use answers::{AnswerSegment, ApiAnswer};
pub use chain::{ChainReport, Event, EventKind};
pub use check::{CheckLimits, Damage, GoodPrefix};
pub use coverage::{EntryState, LedgerEntry, Listing, ListingKind};
pub use disk::{Disk, RealDisk};
pub use entry::{
    ArchivedFile, Arrival, Clock, Contents, EncryptedFile, Handover, ListedFile, ListingOutcome, Provenance, Published,
    Salvage, SenderRow, Sha256Hex, Window,
};
pub use error::ArchiveError;
pub use evidence::{DamagedName, LostEvidence, QuarantineReport};
pub use extract::{Extract, ExtractCheck, FileRow, Scope};
pub use ingest::{Draft, Prepared};
pub use masked::{MaskedEvent, MaskedRecord, MaskedRecords};
pub use mend::Stray;
pub use open_answers::{OpenAnswers, OpenAnswersReader};
pub use proof::{Proof, ProvenEvent, ProvenRecord, Refusal};
pub use rebuild::{LedgerState, RebuildReport};
pub use salvage::Salvageable;
pub use schema::{APPLICATION_ID, FORMAT, SCHEMA};
pub use schemas::{LATEST_SCHEMA, SCHEMA_STREAM, SchemaVersion, is_schema_version, schema_name};
pub use verify::{DamagedFile, FilesReport, MissingFile, Part, VerifyReport};
pub use windows::{Coverage, CoverageRules, WindowCounts, WindowCoverage, WindowState};

use coverage::Seen;
use ledger::{By, Ledger};
use lock::VaultLock;

/// Who acts, unless [`Archive::with_actor`] says otherwise.
const DEFAULT_ACTOR: &str = "chatvault";

/// A vault's archive: cheap to clone, usable from many threads. One writer per vault (lock file), many readers.
#[derive(Clone)]
pub struct Archive {
    inner: Arc<Inner>,
    actor: Arc<str>,
    limits: CheckLimits,
}

struct Inner {
    root: PathBuf,
    account_id: String,
    disk: Arc<dyn Disk>,
    clock: Clock,
    ledger: Mutex<Ledger>,
    /// Held while a checked, synced file gets its place and its row. Guards the folders known to be durable.
    placing: Mutex<HashSet<PathBuf>>,
    temp_files: AtomicU64,
    kept: kept::KeptTexts,
    /// `None` in a reader.
    lock: Option<VaultLock>,
}

impl Archive {
    /// Makes a vault in `root` (folder, sub-folders, `vault.db`) and opens it for writing. The folder may exist if it
    /// holds nothing but a `vault.toml` and what an interrupted `create` left.
    ///
    /// # Errors
    /// [`AlreadyAVault`](ArchiveError::AlreadyAVault), [`FolderNotEmpty`](ArchiveError::FolderNotEmpty),
    /// [`Locked`](ArchiveError::Locked), disk errors.
    pub fn create(root: &Path, account_id: &str, disk: Arc<dyn Disk>, clock: Clock) -> Result<Archive, ArchiveError> {
        std::fs::create_dir_all(root).map_err(|source| ArchiveError::from_io(root, None, source))?;
        refuse_foreign_folder(root, disk.as_ref())?;
        let lock = VaultLock::take(root, clock.now_ms())?;
        refuse_foreign_folder(root, disk.as_ref())?;
        for folder in [layout::FILES, layout::TEMP, layout::INDEX, layout::QUARANTINE] {
            let path = root.join(folder);
            disk.create_dir(&path).map_err(|source| ArchiveError::from_io(&path, None, source))?;
        }
        sweep(root, disk.as_ref())?;
        let (draft, database) = (root.join(layout::TEMP).join("vault.db.new"), root.join(layout::DATABASE));
        schema::build(&draft, account_id, DEFAULT_ACTOR, clock.now_ms())?;
        disk.rename_new(&draft, &database)
            .and_then(|()| disk.sync_dir(root))
            .map_err(|source| ArchiveError::from_io(&database, None, source))?;
        let ledger = Ledger::open_writer(&database, Arc::clone(&disk))?;
        Archive::assemble(root, ledger, disk, clock, Some(lock))
    }

    /// Opens a vault read-only, without a lock; works while a writer works, and on a read-only file system.
    ///
    /// # Errors
    /// [`NotAVault`](ArchiveError::NotAVault), [`NewerFormat`](ArchiveError::NewerFormat), disk errors.
    pub fn open(root: &Path, disk: Arc<dyn Disk>, clock: Clock) -> Result<Archive, ArchiveError> {
        let database = database_in(root, disk.as_ref())?;
        let ledger = Ledger::open_reader(&database)?;
        Archive::assemble(root, ledger, disk, clock, None)
    }

    /// Opens a vault for writing: takes the lock and sweeps `tmp/`.
    ///
    /// # Errors
    /// [`Locked`](ArchiveError::Locked) while another process (or handle) writes, and those of [`Archive::open`].
    pub fn open_for_writing(root: &Path, disk: Arc<dyn Disk>, clock: Clock) -> Result<Archive, ArchiveError> {
        let database = database_in(root, disk.as_ref())?;
        let lock = VaultLock::take(root, clock.now_ms())?;
        let ledger = Ledger::open_writer(&database, Arc::clone(&disk))?;
        sweep(root, disk.as_ref())?;
        Archive::assemble(root, ledger, disk, clock, Some(lock))
    }

    fn assemble(
        root: &Path,
        ledger: Ledger,
        disk: Arc<dyn Disk>,
        clock: Clock,
        lock: Option<VaultLock>,
    ) -> Result<Archive, ArchiveError> {
        let account_id = ledger.meta("account_id")?.ok_or_else(|| ArchiveError::LedgerDamaged {
            path: root.join(layout::DATABASE),
            what: "the table meta names no account".to_owned(),
        })?;
        let inner = Inner {
            root: root.to_path_buf(),
            account_id,
            disk,
            clock,
            ledger: Mutex::new(ledger),
            placing: Mutex::new(HashSet::new()),
            temp_files: AtomicU64::new(0),
            kept: kept::KeptTexts::new(),
            lock,
        };
        Ok(Archive { inner: Arc::new(inner), actor: DEFAULT_ACTOR.into(), limits: CheckLimits::default() })
    }

    /// The same archive, writing its events in the name of `actor`.
    #[must_use]
    pub fn with_actor(self, actor: &str) -> Archive {
        Archive { actor: actor.into(), ..self }
    }

    /// The same archive with other bounds on what a container may inflate to.
    #[must_use]
    pub fn with_check_limits(self, limits: CheckLimits) -> Archive {
        Archive { limits, ..self }
    }

    /// The vault's folder, as given.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The disk that the archive works on; the index is written through the same one.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.inner.disk)
    }

    /// The LivePerson account that the vault was made for.
    pub fn account_id(&self) -> &str {
        &self.inner.account_id
    }

    /// Does this handle hold the vault's lock?
    pub fn is_writer(&self) -> bool {
        self.inner.lock.is_some()
    }

    /// The present time of this archive's clock, epoch milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.inner.clock.now_ms()
    }

    /// Records what a listing call came to: a listing, its names, and an event, in one transaction.
    /// Where the windows of the names are known, [`Archive::record_listed`] keeps them too.
    ///
    /// # Errors
    /// [`UnsafeName`](ArchiveError::UnsafeName), [`ReadOnly`](ArchiveError::ReadOnly), ledger errors.
    pub fn record_listing(&self, stream: &str, asked: Window, outcome: &ListingOutcome) -> Result<(), ArchiveError> {
        self.writer()?.add_listing(self.by(), stream, asked, &Seen::of_outcome(outcome), 0)
    }

    /// Records a listing that showed `files`, with their windows. All must belong to `stream`.
    ///
    /// # Errors
    /// As [`Archive::record_listing`].
    pub fn record_listed(&self, stream: &str, asked: Window, files: &[ListedFile]) -> Result<(), ArchiveError> {
        self.record_partly_listed(stream, asked, files, 0)
    }

    /// As [`Archive::record_listed`], for a listing that showed `refused` further entries that could not be taken for
    /// names: it proves nothing about what is not there.
    ///
    /// # Errors
    /// As [`Archive::record_listing`].
    pub fn record_partly_listed(
        &self,
        stream: &str,
        asked: Window,
        files: &[ListedFile],
        refused: u64,
    ) -> Result<(), ArchiveError> {
        if let Some(stray) = files.iter().find(|file| file.stream != stream) {
            let reason = format!("it belongs to stream {}, not to {stream}", stray.stream);
            return Err(ArchiveError::UnsafeName { name: stray.name.clone(), reason });
        }
        self.writer()?.add_listing(self.by(), stream, asked, &Seen::of_files(files), refused)
    }

    /// Records that an API was asked for everything that it has in `asked`, and told of `ids` (conversations, figures). What it
    /// means to be in the window is the stream's own affair. Such ids are no files: none of them can be missing.
    ///
    /// # Errors
    /// As [`Archive::record_listing`].
    pub fn record_followed(&self, stream: &str, asked: Window, ids: &BTreeSet<String>) -> Result<(), ArchiveError> {
        self.writer()?.add_listing(self.by(), stream, asked, &Seen::Ids(ids), 0)
    }

    /// Appends an event to the audit chain.
    ///
    /// # Errors
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors.
    pub fn record_event(&self, kind: EventKind, payload: Value) -> Result<(), ArchiveError> {
        self.writer()?.add_event(self.by(), kind, &payload)
    }

    /// Records what decoding found in the file `sequence`; the last word counts.
    ///
    /// # Errors
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors (also for a sequence that does not exist).
    pub fn record_contents(&self, sequence: u64, contents: &Contents) -> Result<(), ArchiveError> {
        self.writer()?.set_contents(sequence, contents)
    }

    /// The sum over all files.
    ///
    /// # Errors
    /// Ledger errors, as for all that follow.
    pub fn contents_total(&self) -> Result<Contents, ArchiveError> {
        self.ledger().contents_total()
    }

    /// What decoding found in one file; `None` if it was not decoded yet.
    pub fn contents_of(&self, sequence: u64) -> Result<Option<Contents>, ArchiveError> {
        self.ledger().contents_of(sequence)
    }

    /// Files in which decoding met problems, each with what it found.
    pub fn files_with_problems(&self) -> Result<Vec<(ArchivedFile, Contents)>, ArchiveError> {
        let sequences = self.ledger().sequences_with_problems()?;
        let mut found = Vec::new();
        for (sequence, contents) in sequences {
            found.extend(self.ledger().file_at(sequence)?.map(|file| (file, contents)));
        }
        Ok(found)
    }

    /// Names of the source already published in this stream, each with its latest version; no salvage files.
    pub fn names_in(&self, stream: &str) -> Result<HashMap<String, ArchivedFile>, ArchiveError> {
        self.ledger().names_in(stream)
    }

    /// As [`Archive::names_in`], without those whose latest version is known to be gone from the disk or damaged there.
    pub fn names_held(&self, stream: &str) -> Result<HashMap<String, ArchivedFile>, ArchiveError> {
        let mut held = self.names_in(stream)?;
        for entry in self.entries_in(stream)?.iter().filter(|entry| entry.state != EntryState::Fetched) {
            held.remove(&entry.name);
        }
        Ok(held)
    }

    /// Files committed after `sequence`, ascending; 0 gives all.
    pub fn files_after(&self, sequence: u64) -> Result<Vec<ArchivedFile>, ArchiveError> {
        self.ledger().files_after(sequence)
    }

    /// Files of which nothing is known but problems: they could not be read when they were last tried.
    pub fn unread_files(&self) -> Result<Vec<ArchivedFile>, ArchiveError> {
        self.ledger().unread_files()
    }

    /// The sequence of the last file; 0 in an empty vault.
    pub fn last_sequence(&self) -> Result<u64, ArchiveError> {
        self.ledger().last_sequence()
    }

    /// The first file with these bytes.
    pub fn file_by_sha256(&self, sha256: &Sha256Hex) -> Result<Option<ArchivedFile>, ArchiveError> {
        self.ledger().file_by_sha256(sha256)
    }

    /// The file at a path of the vault, such as `files/…`.
    pub fn file_by_path(&self, path: &str) -> Result<Option<ArchivedFile>, ArchiveError> {
        self.ledger().file_by_path(path)
    }

    /// What is known of every name of a stream, by window.
    pub fn entries_in(&self, stream: &str) -> Result<Vec<LedgerEntry>, ArchiveError> {
        self.ledger().entries_in(stream)
    }

    /// Every listing call of a stream, oldest first.
    pub fn listings_in(&self, stream: &str) -> Result<Vec<Listing>, ArchiveError> {
        self.ledger().listings_in(stream)
    }

    /// The state of every hour of a stream, see [`windows`].
    pub fn coverage_of(&self, stream: &str, rules: &CoverageRules) -> Result<Coverage, ArchiveError> {
        // Listings first: a listing of another process that comes in between must not vouch for names not read.
        let listings = self.listings_in(stream)?;
        let entries = self.entries_in(stream)?;
        let mut coverage = Coverage::of(&listings, &entries, rules);
        coverage.accept(self.acceptances_in(stream)?, &entries);
        Ok(coverage)
    }

    /// Up to `limit` events after `seq`, ascending.
    pub fn events_after(&self, seq: u64, limit: u64) -> Result<Vec<Event>, ArchiveError> {
        self.ledger().read(|connection| chain::events_after(connection, seq, limit))
    }

    /// Sequence and hash of the last event: what to write down elsewhere.
    pub fn chain_head(&self) -> Result<Option<(u64, Sha256Hex)>, ArchiveError> {
        self.ledger().read(chain::last)
    }

    /// Opens a published file for reading. Its bytes are not compared with the manifest; [`Archive::verify`] does that.
    ///
    /// # Errors
    /// [`Io`](ArchiveError::Io) with the path if it is gone.
    pub fn open_file(&self, file: &ArchivedFile) -> Result<File, ArchiveError> {
        self.open_path(&file.path)
    }

    /// As [`Archive::open_file`], by the path in the manifest.
    ///
    /// # Errors
    /// [`Io`](ArchiveError::Io) with the path if it is gone.
    pub fn open_path(&self, path: &str) -> Result<File, ArchiveError> {
        let path = layout::in_vault(&self.inner.root, path);
        self.inner.disk.open(&path).map_err(|source| ArchiveError::from_io(&path, None, source))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A thread that panicked inside left no half transaction behind: SQLite rolled it back.
        self.inner.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Ledger>, ArchiveError> {
        match self.inner.lock {
            Some(_) => Ok(self.ledger()),
            None => Err(ArchiveError::ReadOnly { path: self.inner.root.clone() }),
        }
    }

    fn by(&self) -> By<'_> {
        By { actor: &self.actor, now_ms: self.inner.clock.now_ms() }
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("root", &self.inner.root).field("writer", &self.is_writer()).finish()
    }
}

fn database_in(root: &Path, disk: &dyn Disk) -> Result<PathBuf, ArchiveError> {
    let database = root.join(layout::DATABASE);
    match disk.metadata(&database) {
        Ok(Some(_)) => Ok(database),
        Ok(None) if rebuild::has_files(root, disk) => Err(ArchiveError::LedgerLost { path: root.to_path_buf() }),
        Ok(None) => Err(ArchiveError::NotAVault { path: root.to_path_buf() }),
        Err(source) if source.kind() == std::io::ErrorKind::NotADirectory => {
            Err(ArchiveError::NotAVault { path: root.to_path_buf() })
        }
        Err(source) => Err(ArchiveError::from_io(&database, None, source)),
    }
}

/// Passes an empty folder, one with a `vault.toml`, and what an interrupted `create` left behind.
fn refuse_foreign_folder(root: &Path, disk: &dyn Disk) -> Result<(), ArchiveError> {
    let list = |path: &Path| disk.list(path).map_err(|source| ArchiveError::from_io(path, None, source));
    let refused = |found: String| ArchiveError::FolderNotEmpty { path: root.to_path_buf(), found };
    if disk.metadata(&root.join(layout::DATABASE)).is_ok_and(|found| found.is_some()) {
        return Err(ArchiveError::AlreadyAVault { path: root.to_path_buf() });
    }
    for entry in list(root)? {
        let name = file_name(&entry.path);
        match name.as_str() {
            layout::SETTINGS | layout::LOCK => {}
            layout::FILES | layout::INDEX | layout::QUARANTINE | layout::TEMP => {
                let ours = |inner: &disk::Entry| file_name(&inner.path).starts_with("vault.db.new");
                if let Some(foreign) = list(&entry.path)?.iter().find(|inner| !ours(inner)) {
                    return Err(refused(format!("{name}/{}", file_name(&foreign.path))));
                }
            }
            _ => return Err(refused(name)),
        }
    }
    Ok(())
}

/// Removes the downloads that a dead writer left in `tmp/`. Only under the vault's lock.
fn sweep(root: &Path, disk: &dyn Disk) -> Result<(), ArchiveError> {
    let temp = root.join(layout::TEMP);
    let failed = |source| ArchiveError::from_io(&temp, None, source);
    disk.create_dir(&temp).map_err(failed)?;
    for entry in disk.list(&temp).map_err(failed)? {
        if entry.kind == disk::EntryKind::File {
            disk.remove(&entry.path).map_err(|source| ArchiveError::from_io(&entry.path, None, source))?;
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
