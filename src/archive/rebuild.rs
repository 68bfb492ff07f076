//! A new `vault.db` where the old one is lost or unreadable: from `files/`, and from what the old one still tells.
//!
//! The new database is built and synced under `tmp/`; then the old one moves to `quarantine/` with its log, then the new one is
//! renamed into its place. A crash before the last step leaves no `vault.db`, or the old one: the next run does it all
//! again and finds the old one wherever it is. Nothing under `files/` is changed, moved or judged here: what gets no row is
//! unlisted afterwards, and `mend.rs` deals with it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::iter::Either;
use rayon::prelude::*;
use rusqlite::ErrorCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::chain::{self, EventKind};
use super::check::{self, Whole};
use super::coverage::{EntryState, mark_state};
use super::disk::{Disk, EntryKind};
use super::entry::{Clock, Provenance, Sha256Hex, Window};
use super::error::ArchiveError;
use super::former::{self, FormerRow, Salvaged};
use super::ingest::hash_of;
use super::layout::{self, DATABASE, FILES, QUARANTINE, TEMP};
use super::ledger::{By, NewFile, NewQuarantine, insert_file};
use super::lock::VaultLock;
use super::mend::{REBUILT, from_disk};
use super::naming::PathIdentity;
use super::set_aside::{Evidence, SalvageRow};
use super::verify::ledger_path;
use super::{Archive, CheckLimits, DEFAULT_ACTOR, schema};

const HASH_BUFFER_BYTES: usize = 256 * 1024;

/// What no rebuild can bring back.
pub const UNKNOWN: [&str; 6] = [
    "what LivePerson listed, and when; so also which hours are complete",
    "the earlier audit chain and its anchors",
    "legal holds, tags and accepted gaps",
    "why bytes in quarantine/ were put there",
    "where files without a recovered row came from, and when they were received",
    "whether these files were changed before the rebuild; an anchor, a proof or a backup can say so",
];

/// The condition of a vault's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerState {
    /// It can be used.
    Whole,
    /// There is none, but there are archived files.
    Lost,
    /// It cannot be used, and why.
    Unreadable(String),
}

/// What a rebuild did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RebuildReport {
    /// Every row of the old database could be read and its chain holds: it was copied, and nothing is unknown.
    pub copied_whole: bool,
    /// Rows in the new manifest.
    pub rows: u64,
    /// Of these, rows of the old database that agree with their file.
    pub recovered: u64,
    /// Rows of the old database whose file is gone or has other bytes. They are kept as evidence and show as missing or
    /// damaged.
    pub recovered_without_bytes: u64,
    /// Files under `files/` whose container is broken and of which no row tells anything: repair sets them aside.
    pub damaged: Vec<String>,
    /// Where the old database is now, relative to the vault.
    pub old_database: Vec<String>,
}

/// A regular file under `files/` as it lies.
struct FoundFile {
    path: String,
    size_bytes: u64,
    sha256: Sha256Hex,
    whole: Whole,
}

/// A row about to be written.
struct PlannedRow {
    stream: String,
    name: String,
    version: u32,
    path: String,
    window: Option<Window>,
    sha256: Sha256Hex,
    size_bytes: u64,
    whole: Whole,
    stored_at_ms: i64,
    provenance: Provenance,
    recovered: bool,
    /// Set where the bytes of the row are not there.
    lost: Option<EntryState>,
}

/// Looks at the database of a vault without changing anything.
///
/// # Errors
/// [`NotAVault`](ArchiveError::NotAVault) where there is neither a database nor an archived file,
/// [`NewerFormat`](ArchiveError::NewerFormat), and whatever keeps a good database from being read (permissions).
pub fn examine(root: &Path, disk: &dyn Disk) -> Result<LedgerState, ArchiveError> {
    let database = root.join(DATABASE);
    match disk.metadata(&database) {
        Ok(Some(_)) => {}
        Ok(None) if has_files(root, disk) => return Ok(LedgerState::Lost),
        Ok(None) => return Err(ArchiveError::NotAVault { path: root.to_path_buf() }),
        Err(source) if source.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(ArchiveError::NotAVault { path: root.to_path_buf() });
        }
        Err(source) => return Err(ArchiveError::from_io(&database, None, source)),
    }
    let unreadable = |error: ArchiveError| match error {
        ArchiveError::Database { source, .. } if is_damage(&source) => Ok(LedgerState::Unreadable(source.to_string())),
        ArchiveError::NotAVault { .. } => {
            Ok(LedgerState::Unreadable("it is empty, or the database of another program".to_owned()))
        }
        error => Err(error),
    };
    let connection = match schema::open_reader(&database) {
        Ok(connection) => connection,
        Err(error) => return unreadable(error),
    };
    let account = || {
        let named = "SELECT count(*) FROM meta WHERE key = 'account_id'";
        connection.query_row(named, [], |row| row.get::<_, i64>(0))
    };
    let objection = schema::has_integrity(&connection).and_then(|found| match found {
        None if account()? == 0 => Ok(Some("it names no account".to_owned())),
        found => Ok(found),
    });
    match objection {
        Ok(None) => Ok(LedgerState::Whole),
        Ok(Some(reason)) => Ok(LedgerState::Unreadable(reason)),
        Err(source) => unreadable(ArchiveError::from_database(&database, source)),
    }
}

/// Whether something lies under `files/`, beside something else that only a vault has: many programs have a folder of that name.
pub(super) fn has_files(root: &Path, disk: &dyn Disk) -> bool {
    let is_there = |name: &str| disk.metadata(&root.join(name)).is_ok_and(|found| found.is_some());
    let is_vault = [layout::SETTINGS, layout::LOCK, QUARANTINE].into_iter().any(is_there);
    is_vault && disk.list(&root.join(FILES)).is_ok_and(|entries| !entries.is_empty())
}

fn is_damage(error: &rusqlite::Error) -> bool {
    // The ledger's own texts that cannot be read as what they should be are damage as well.
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) | None)
        || matches!(error, rusqlite::Error::SqliteFailure(failure, _)
            if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ)
}

impl Archive {
    /// Makes a new `vault.db` for a vault whose own [`examine`] found lost or unreadable, and opens it for writing.
    ///
    /// # Errors
    /// [`Locked`](ArchiveError::Locked); [`LedgerDamaged`](ArchiveError::LedgerDamaged) where the old database names another
    /// account; ledger and disk errors. The old database is then where it was, or in `quarantine/`.
    pub fn rebuild(
        root: &Path,
        account_id: &str,
        disk: Arc<dyn Disk>,
        clock: Clock,
    ) -> Result<(Archive, RebuildReport), ArchiveError> {
        let lock = VaultLock::take(root, clock.now_ms())?;
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| ArchiveError::from_io(&path, None, source)
        };
        for folder in [FILES, TEMP, layout::INDEX, QUARANTINE] {
            let path = root.join(folder);
            disk.create_dir(&path).map_err(failed(&path))?;
        }
        super::sweep(root, disk.as_ref())?;
        let database = root.join(DATABASE);
        let old = former_database(root, disk.as_ref())?;
        let copy = root.join(TEMP).join("vault.db.old");
        if let Some(old) = &old {
            copy_database(disk.as_ref(), old, &copy)?;
            former::mend_header(&copy).map_err(failed(&copy))?;
        }
        let draft = root.join(TEMP).join("vault.db.new");
        let copied_whole = old.is_some() && former::copy_whole(&copy, &draft)?;
        let mut report = RebuildReport { copied_whole, ..RebuildReport::default() };
        if !report.copied_whole {
            let salvaged = if old.is_some() { Salvaged::read(&copy) } else { Salvaged::default() };
            if let Some(other) = salvaged.account_id.as_deref().filter(|other| *other != account_id) {
                let what = format!("it was made for account {other}, not for {account_id}");
                return Err(ArchiveError::LedgerDamaged { path: database, what });
            }
            let evidence = Evidence::read(root, disk.as_ref())?;
            let (found, broken) = found_files(root, disk.as_ref())?;
            let now_ms = clock.now_ms();
            // Rows of a database that was set aside earlier say nothing of what became of their files since.
            let keeps_lost = old.as_deref() == Some(database.as_path());
            let rows = planned_rows(found, &salvaged, &evidence, keeps_lost, now_ms);
            report.recovered = rows.iter().filter(|row| row.recovered && row.lost.is_none()).count() as u64;
            report.recovered_without_bytes = rows.iter().filter(|row| row.lost.is_some()).count() as u64;
            let known: HashSet<&str> = rows.iter().map(|row| row.path.as_str()).collect();
            report.damaged = broken.into_iter().filter(|path| !known.contains(path.as_str())).collect();
            let created = created_payload(account_id, now_ms, &report, rows.len(), &salvaged, old.is_some());
            schema::build_with(&draft, account_id, now_ms, |transaction| {
                chain::append(transaction, now_ms, DEFAULT_ACTOR, EventKind::Created, &created)?;
                rows.iter().try_for_each(|row| insert(transaction, row))?;
                let salvaged = rows.iter().filter(|row| row.provenance.salvage.is_some());
                let salvaged: Vec<SalvageRow<'_>> = salvaged.map(PlannedRow::as_salvage).collect();
                evidence.insert(transaction, By { actor: DEFAULT_ACTOR, now_ms }, &salvaged)
            })?;
        }
        schema::discard(&copy);
        report.old_database = set_old_aside(root, disk.as_ref(), &clock)?;
        disk.rename_new(&draft, &database).and_then(|()| disk.sync_dir(root)).map_err(failed(&database))?;
        let ledger = super::Ledger::open_writer(&database, Arc::clone(&disk))?;
        let archive = Archive::assemble(root, ledger, disk, clock, Some(lock))?;
        archive.record_rebuilt(&report)?;
        report.rows = archive.last_sequence()?;
        Ok((archive, report))
    }

    /// Rows of the quarantine for the old database, and what was done where the chain could not say it in its first event.
    fn record_rebuilt(&self, report: &RebuildReport) -> Result<(), ArchiveError> {
        for path in &report.old_database {
            let place = layout::in_vault(&self.inner.root, path);
            let found = self.inner.disk.metadata(&place);
            let found = found.map_err(|source| ArchiveError::from_io(&place, None, source))?;
            let size_bytes = found.map_or(0, |found| found.size_bytes);
            let row = NewQuarantine {
                stream: "vault.db",
                name: path.rsplit('-').next().unwrap_or(path),
                path,
                window: None,
                sha256: self.hash_at(&place).ok(),
                size_bytes,
                prefix: None,
                reason: "an unreadable vault.db, or its log",
                provenance: None,
            };
            self.writer()?.add_quarantine(self.by(), &row)?;
        }
        let payload = json!({ "what": "vault.db", "copied_whole": report.copied_whole, "old": report.old_database });
        self.record_event(EventKind::Repaired, payload)
    }
}

/// The old database: in its place, or the newest one that a run set aside before it died.
fn former_database(root: &Path, disk: &dyn Disk) -> Result<Option<PathBuf>, ArchiveError> {
    let database = root.join(DATABASE);
    let failed = |source| ArchiveError::from_io(&database, None, source);
    if disk.metadata(&database).map_err(failed)?.is_some_and(|found| found.kind == EntryKind::File) {
        return Ok(Some(database));
    }
    let kept = disk.list(&root.join(QUARANTINE)).map_err(failed)?;
    let is_database = |path: &Path| path.to_string_lossy().ends_with(&format!("-{DATABASE}"));
    Ok(kept.into_iter().filter(|entry| entry.kind == EntryKind::File && is_database(&entry.path)).map(|e| e.path).max())
}

/// A copy with its log, on which SQLite may work. A log that a dead run left behind alone belongs to it too.
fn copy_database(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), ArchiveError> {
    let root = from.parent().and_then(Path::parent).unwrap_or(from);
    let left_behind = schema::beside(&root.join(DATABASE), "-wal");
    for ending in ["", "-wal"] {
        let mut source = schema::beside(from, ending);
        if ending == "-wal" && !is_file(disk, &source)? && from.file_name().is_none_or(|name| name != DATABASE) {
            source.clone_from(&left_behind);
        }
        if is_file(disk, &source)? {
            let target = schema::beside(to, ending);
            let mut input = disk.open(&source).map_err(|error| ArchiveError::from_io(&source, None, error))?;
            let mut output = disk.create_new(&target).map_err(|error| ArchiveError::from_io(&target, None, error))?;
            std::io::copy(&mut input, &mut output).map_err(|error| {
                let is_full = error.kind() == std::io::ErrorKind::StorageFull;
                ArchiveError::from_io(if is_full { &target } else { &source }, None, error)
            })?;
        }
    }
    Ok(())
}

fn is_file(disk: &dyn Disk, place: &Path) -> Result<bool, ArchiveError> {
    let found = disk.metadata(place).map_err(|source| ArchiveError::from_io(place, None, source))?;
    Ok(found.is_some_and(|found| found.kind == EntryKind::File))
}

/// Moves the old database, then its log, to quarantine under one prefix, so that they still belong together there.
fn set_old_aside(root: &Path, disk: &dyn Disk, clock: &Clock) -> Result<Vec<String>, ArchiveError> {
    let time = jiff::Timestamp::from_millisecond(clock.now_ms()).unwrap_or_default();
    let time = time.strftime("%Y%m%dT%H%M%SZ");
    let (database, quarantine) = (root.join(DATABASE), root.join(QUARANTINE));
    let failed = |source| ArchiveError::from_io(&database, None, source);
    let is_there = |place: &Path| disk.metadata(place).map(|found| found.is_some());
    let mut number = 1_u64;
    let prefix = loop {
        let prefix = quarantine.join(format!("{time}-{number}-{DATABASE}"));
        let mut taken = false;
        for ending in ["", "-wal", "-shm", "-journal"] {
            taken |= is_there(&schema::beside(&prefix, ending)).map_err(failed)?;
        }
        if !taken {
            break prefix;
        }
        number += 1;
    };
    let mut moved = Vec::new();
    // A log must never meet the new database: SQLite would take it for its own.
    for ending in ["", "-wal", "-shm", "-journal"] {
        let (from, to) = (schema::beside(&database, ending), schema::beside(&prefix, ending));
        if is_there(&from).map_err(failed)? {
            disk.rename_new(&from, &to).map_err(failed)?;
            moved.push(ledger_path(root, &to));
        }
    }
    disk.sync_dir(&quarantine).and_then(|()| disk.sync_dir(root)).map_err(failed)?;
    Ok(moved)
}

/// Every whole regular file under `files/`, read once for its hash and once for its container, on all cores; and the paths of those
/// that are not whole.
fn found_files(root: &Path, disk: &dyn Disk) -> Result<(Vec<FoundFile>, Vec<String>), ArchiveError> {
    let mut places = Vec::new();
    let mut folders = vec![root.join(FILES)];
    while let Some(folder) = folders.pop() {
        let entries = disk.list(&folder).map_err(|source| ArchiveError::from_io(&folder, None, source))?;
        for entry in entries {
            match entry.kind {
                EntryKind::Folder => folders.push(entry.path),
                EntryKind::File => places.push(entry.path),
                EntryKind::Other => {}
            }
        }
    }
    let read_whole = |place: &PathBuf, path: String| -> Option<FoundFile> {
        let name = place.file_name()?.to_str()?;
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        let sha256 = hash_of(disk.open(place).ok()?, &mut buffer).ok()?;
        let size_bytes = disk.metadata(place).ok()??.size_bytes;
        // What is not whole was never published so, and gets no row. How much it inflates to was judged when it was published.
        let limits = CheckLimits { max_ratio: u64::MAX, max_inflated_bytes: u64::MAX, ..CheckLimits::default() };
        let whole = check::check(disk.open(place).ok()?, name, &limits).ok()?;
        Some(FoundFile { path, size_bytes, sha256, whole })
    };
    Ok(places.par_iter().partition_map(|place| {
        let path = ledger_path(root, place);
        match read_whole(place, path.clone()) {
            Some(found) => Either::Left(found),
            None => Either::Right(path),
        }
    }))
}

/// The rows of the new manifest, ordered by window, name and version.
fn planned_rows(
    found: Vec<FoundFile>,
    salvaged: &Salvaged,
    evidence: &Evidence,
    keeps_lost: bool,
    now_ms: i64,
) -> Vec<PlannedRow> {
    let paths: HashSet<&str> = found.iter().map(|file| file.path.as_str()).collect();
    let mut rows: Vec<PlannedRow> = Vec::new();
    let mut by_path: HashMap<&str, &FoundFile> = HashMap::new();
    for file in &found {
        by_path.insert(&file.path, file);
    }
    for former in salvaged.rows.values() {
        let state = match by_path.get(former.path.as_str()) {
            Some(file) if file.sha256 == former.sha256 => None,
            Some(_) => Some(EntryState::Damaged),
            None => Some(EntryState::Missing),
        };
        if state.is_none() || keeps_lost {
            rows.push(PlannedRow::of_former(former, state));
        }
    }
    let recovered: HashSet<String> = rows.iter().map(|row| row.path.clone()).collect();
    for file in found.iter().filter(|file| !recovered.contains(&file.path)) {
        if let Some(identity) = PathIdentity::of(&file.path, |first| paths.contains(first)) {
            let salvage = evidence.salvage_of(&identity.name, &file.whole);
            rows.push(PlannedRow {
                stream: identity.stream,
                name: identity.name,
                version: identity.version,
                path: file.path.clone(),
                window: identity.window,
                sha256: file.sha256,
                size_bytes: file.size_bytes,
                whole: file.whole,
                stored_at_ms: now_ms,
                provenance: Provenance { salvage, ..from_disk(REBUILT) },
                recovered: false,
                lost: None,
            });
        }
    }
    // Recovered rows first among equals: where two claim one version, the one that is known keeps it.
    rows.sort_by(|a, b| {
        let key = |row: &PlannedRow| (row.window, row.stream.clone(), row.name.clone(), row.version, !row.recovered);
        key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
    });
    without_collisions(rows)
}

/// Takes out what the manifest's keys do not admit: a second path that differs in case only, the same bytes under one name.
/// Those files stay where they are, unlisted. A version that is taken becomes the next free one.
fn without_collisions(rows: Vec<PlannedRow>) -> Vec<PlannedRow> {
    let (mut keys, mut bytes) = (HashSet::new(), HashSet::new());
    let mut versions: BTreeMap<(String, String), HashSet<u32>> = BTreeMap::new();
    let mut kept = Vec::with_capacity(rows.len());
    for mut row in rows {
        let name = (row.stream.clone(), row.name.clone());
        if !keys.insert(layout::path_key(&row.path)) || !bytes.insert((name.clone(), row.sha256)) {
            continue;
        }
        let taken = versions.entry(name).or_default();
        while !taken.insert(row.version) {
            row.version += 1;
        }
        kept.push(row);
    }
    kept
}

impl PlannedRow {
    fn of_former(former: &FormerRow, lost: Option<EntryState>) -> PlannedRow {
        PlannedRow {
            stream: former.stream.clone(),
            name: former.name.clone(),
            version: former.version,
            path: former.path.clone(),
            window: former.window,
            sha256: former.sha256,
            size_bytes: former.size_bytes,
            whole: Whole { container: former.container, inflated_bytes: former.inflated_bytes },
            stored_at_ms: former.stored_at_ms,
            provenance: former.provenance.clone(),
            recovered: true,
            lost,
        }
    }

    fn as_salvage(&self) -> SalvageRow<'_> {
        SalvageRow { stream: &self.stream, name: &self.name, window: self.window }
    }
}

fn insert(transaction: &rusqlite::Transaction<'_>, row: &PlannedRow) -> rusqlite::Result<()> {
    // The event that publishes a recovered row carries the time at which its bytes were first published.
    let by = By { actor: DEFAULT_ACTOR, now_ms: row.stored_at_ms };
    let file = NewFile {
        stream: &row.stream,
        name: &row.name,
        path: &row.path,
        version: row.version,
        window: row.window,
        sha256: row.sha256,
        size_bytes: row.size_bytes,
        whole: row.whole,
        adopted: true,
        provenance: &row.provenance,
        recovered: row.recovered.then(|| json!("row and time of the former vault.db, taken over by repair")),
    };
    insert_file(transaction, by, &file)?;
    match row.lost {
        Some(state) => mark_state(transaction, &row.stream, &row.name, state),
        None => Ok(()),
    }
}

fn created_payload(
    account_id: &str,
    now_ms: i64,
    report: &RebuildReport,
    rows: usize,
    salvaged: &Salvaged,
    had_database: bool,
) -> Value {
    json!({
        "account_id": account_id,
        "format": schema::FORMAT,
        "rebuilt": {
            "time_ms": now_ms,
            "from": if had_database { "files/ and what could be read of the former vault.db" } else { "files/" },
            "rows": rows,
            "recovered": report.recovered,
            "recovered_without_bytes": report.recovered_without_bytes,
            "former_chain": former::former_chain(salvaged),
            "unknown": UNKNOWN,
        },
    })
}
