//! Local mending: what is lost is noted, what lies elsewhere in the vault is put back, strays are taken in or set aside.
//!
//! Nothing is deleted and nothing is overwritten: damaged bytes and strays move to `quarantine/`, each with its row and
//! event, and good bytes go through [`Archive::publish`] like any others. Each step is whole in itself, so a run that died
//! anywhere is finished by the next one. Rows that do not agree with the chain are never a reason to touch a file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use rusqlite::{Transaction, params};
use serde_json::Value;

use super::chain::{self, EventKind};
use super::check::{self, CheckError, GoodPrefix, Whole};
use super::coverage::{self, EntryState};
use super::disk::EntryKind;
use super::entry::{ArchivedFile, Arrival, Provenance, Published, Sha256Hex};
use super::error::ArchiveError;
use super::layout::{self, QUARANTINE};
use super::ledger::{NewFile, NewQuarantine};
use super::naming::PathIdentity;
use super::verify::{Part, VerifyReport};
use super::{Archive, MissingFile, Salvageable};

/// Provenance of a stray that was taken in.
pub const ADOPTED: &str = "adopted by repair; where it came from is not known";
/// Provenance of a file whose row was lost with the ledger.
pub const REBUILT: &str = "rebuilt from files/; where it came from is not known";
/// Provenance of a file that was found damaged, without a row.
pub const FOUND_DAMAGED: &str = "found damaged by repair; where it came from is not known";
/// Origins that are no download: their rows are published by an `imported` event.
pub(crate) const FROM_DISK: [&str; 3] = [ADOPTED, REBUILT, FOUND_DAMAGED];

/// What is wrong with a container, whether that is damage (and no bomb), and how far it can be read.
type Objection = (String, bool, Option<GoodPrefix>);

const COPY_BUFFER_BYTES: usize = 1024 * 1024;

/// A file under `files/` without a row, and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stray {
    /// Its path, its container and the rows of its name agree: it may become a row, if its content is data too.
    Adoptable(PathIdentity),
    /// It lies where a file of the archive would, but its container is broken, and how. Its bytes belong into the quarantine, and its
    /// name is damaged.
    Damaged(PathIdentity, String),
    /// It cannot be a file of the archive, and why; its place is the quarantine.
    Foreign(String),
    /// It is left where it is, and why: a link, a special file, or something whose row was removed by force.
    Untouchable(String),
}

impl Archive {
    /// Writes into the ledger what re-reading found: a name whose latest version is gone or damaged is `missing` or
    /// `damaged` until its bytes are back, so that `gaps` shows it and `sync` fetches it; one that was found whole is
    /// `fetched` again. With an event of the kind `verified` where there is a payload, in one transaction.
    ///
    /// # Errors
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors.
    pub fn note_condition(
        &self,
        report: &VerifyReport,
        part: Part,
        verified: Option<&Value>,
    ) -> Result<(), ArchiveError> {
        let damaged = report.files.damaged.iter().map(|file| (file.sequence, EntryState::Damaged));
        let missing = report.files.missing.iter().map(|file| (file.sequence, EntryState::Missing));
        let bad: HashMap<u64, EntryState> = damaged.chain(missing).collect();
        let by = self.by();
        self.writer()?.write(|transaction| {
            if let Some(payload) = verified {
                chain::append(transaction, by.now_ms, by.actor, EventKind::Verified, payload)?;
            }
            note_entries(transaction, &bad, part)
        })
    }

    /// Puts the name of an intact file back to `fetched`. Nothing is written where nothing is wrong.
    pub(super) fn note_fetched(&self, file: &ArchivedFile) -> Result<(), ArchiveError> {
        let (stream, name) = (file.stream.as_str(), file.name.as_str());
        if !self.is_writer() || !self.ledger().is_doubted(stream, name)? {
            return Ok(());
        }
        let latest = self.ledger().versions(stream, name)?.pop();
        if latest.is_none_or(|latest| latest.sequence != file.sequence) {
            return Ok(());
        }
        self.writer()?.write(|transaction| coverage::mark_state(transaction, stream, name, EntryState::Fetched))
    }

    /// Where in this vault the bytes of damaged and missing files lie all the same: row's path → path of a whole copy, under
    /// another name or version, among the strays, or in `quarantine/`. Only files of the right size are read.
    ///
    /// # Errors
    /// What keeps the ledger or the folders from being read.
    pub fn copies_of_lost(&self, report: &VerifyReport) -> Result<BTreeMap<String, String>, ArchiveError> {
        let mut wanted: HashMap<Sha256Hex, Vec<ArchivedFile>> = HashMap::new();
        for path in lost(report) {
            if let Some(file) = self.file_by_path(path)? {
                wanted.entry(file.sha256).or_default().push(file);
            }
        }
        let mut copies = BTreeMap::new();
        if wanted.is_empty() {
            return Ok(copies);
        }
        let all_lost: HashSet<&str> = lost(report).collect();
        for (sha256, files) in &wanted {
            let same = self.ledger().files_with(sha256)?;
            if let Some(source) = same.iter().find(|other| !all_lost.contains(other.path.as_str())) {
                copies.extend(files.iter().map(|file| (file.path.clone(), source.path.clone())));
            }
        }
        let quarantine = self.inner.root.join(QUARANTINE);
        let kept = self.inner.disk.list(&quarantine);
        let kept = kept.map_err(|source| ArchiveError::from_io(&quarantine, None, source))?;
        let kept = kept.iter().filter(|entry| entry.kind == EntryKind::File).filter_map(|entry| {
            entry.path.file_name().and_then(|name| name.to_str()).map(|name| format!("{QUARANTINE}/{name}"))
        });
        for path in report.files.unlisted.iter().cloned().chain(kept) {
            let place = layout::in_vault(&self.inner.root, &path);
            let Ok(Some(found)) = self.inner.disk.metadata(&place) else { continue };
            let has_size =
                |file: &ArchivedFile| file.size_bytes == found.size_bytes && !copies.contains_key(&file.path);
            if found.kind != EntryKind::File || !wanted.values().flatten().any(has_size) {
                continue;
            }
            let Ok(sha256) = self.hash_at(&place) else { continue };
            for file in wanted.get(&sha256).into_iter().flatten() {
                copies.entry(file.path.clone()).or_insert_with(|| path.clone());
            }
        }
        Ok(copies)
    }

    /// Puts the bytes of a published file back from a copy inside the vault; `false` if the copy does not hold them.
    /// The copy stays where it is. What lay at the row's path goes to quarantine.
    ///
    /// # Errors
    /// Those of [`Archive::publish`].
    pub fn put_back(&self, file: &ArchivedFile, from: &str) -> Result<bool, ArchiveError> {
        let place = layout::in_vault(&self.inner.root, from);
        let unreadable = |source| ArchiveError::from_io(&place, None, source);
        let mut input = self.inner.disk.open(&place).map_err(unreadable)?;
        let mut draft = self.draft(&file.stream, &file.name)?;
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => draft.append(&buffer[..count])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        // Other bytes would become a new version of the name.
        if draft.sha256() != file.sha256 {
            return Ok(false);
        }
        let arrival = Arrival { window: file.window, reread: true, ..Arrival::default() };
        let published = self.publish(draft, arrival)?;
        Ok(matches!(published, Published::Already(_) | Published::Restored(_)))
    }

    /// Whether the bytes at a row's path are those of the row. Reads them.
    ///
    /// # Errors
    /// What keeps the place from being looked at.
    pub fn is_whole(&self, file: &ArchivedFile) -> Result<bool, ArchiveError> {
        self.is_intact(file, true)
    }

    /// The latest version of a file's name.
    ///
    /// # Errors
    /// Ledger errors.
    pub fn latest_version(&self, file: &ArchivedFile) -> Result<u32, ArchiveError> {
        let versions = self.ledger().versions(&file.stream, &file.name)?;
        Ok(versions.last().map_or(file.version, |last| last.version))
    }

    /// What a path that [`Archive::verify`] found unlisted is. Only reads.
    ///
    /// # Errors
    /// What keeps the ledger or the disk from being read.
    pub fn judge_stray(&self, path: &str, report: &VerifyReport) -> Result<Stray, ArchiveError> {
        if report.files.altered_rows.iter().any(|altered| altered == path) {
            return Ok(Stray::Untouchable("the audit chain says that it had a row; that was removed by force".into()));
        }
        let place = layout::in_vault(&self.inner.root, path);
        let failed = |source| ArchiveError::from_io(&place, None, source);
        match self.inner.disk.metadata(&place).map_err(failed)?.map(|found| found.kind) {
            Some(EntryKind::File) => {}
            Some(_) => return Ok(Stray::Untouchable("a link or a special file; it is not followed".into())),
            None => return Ok(Stray::Untouchable("its name is no text that can be written down".into())),
        }
        let knows = |path: &str| self.ledger().has_path(path).unwrap_or(false);
        let lies = |path: &str| {
            let place = layout::in_vault(&self.inner.root, path);
            self.inner.disk.metadata(&place).is_ok_and(|found| found.is_some())
        };
        let Some(identity) = PathIdentity::of(path, |first| knows(first) || lies(first)) else {
            return Ok(Stray::Foreign("its path is none that the archive gives".into()));
        };
        if !identity.is_exact {
            return Ok(Stray::Foreign("its name belongs into another folder".into()));
        }
        if self.ledger().knows_path(path)? {
            return Ok(Stray::Foreign("its path differs from that of an archived file only in case".into()));
        }
        // Before its version is compared: of a name all of whose files are damaged, no row tells the next one.
        if let Err((reason, is_damage, _)) = self.checked(&identity.name, path)? {
            return Ok(if is_damage { Stray::Damaged(identity, reason) } else { Stray::Foreign(reason) });
        }
        let known = self.ledger().versions(&identity.stream, &identity.name)?;
        let sha256 = self.hash_at(&place).map_err(failed)?;
        if let Some(same) = known.iter().find(|file| file.sha256 == sha256) {
            return Ok(Stray::Foreign(format!("it holds the same bytes as {}", same.path)));
        }
        let next = known.last().map_or(1, |last| last.version + 1);
        if identity.version != next {
            return Ok(Stray::Foreign(format!("it would be version {}; the next one is {next}", identity.version)));
        }
        Ok(Stray::Adoptable(identity))
    }

    /// Makes an [`Stray::Adoptable`] file a row of the manifest: read-only, synced, checked, hashed as it lies.
    ///
    /// # Errors
    /// [`Damaged`](ArchiveError::Damaged) if it is not whole any more; ledger and disk errors.
    pub fn adopt(&self, path: &str, identity: &PathIdentity) -> Result<ArchivedFile, ArchiveError> {
        let mut folders = self.placing();
        let place = layout::in_vault(&self.inner.root, path);
        let failed = |source| ArchiveError::from_io(&place, None, source);
        let disk = self.inner.disk.as_ref();
        disk.set_read_only(&place).and_then(|()| disk.sync_file(&place)).map_err(failed)?;
        self.make_durable(&place, &mut folders)?;
        let sha256 = self.hash_at(&place).map_err(failed)?;
        let size_bytes = disk.metadata(&place).map_err(failed)?.map_or(0, |found| found.size_bytes);
        let whole = self.checked(&identity.name, path)?.map_err(|(reason, ..)| ArchiveError::Damaged {
            stream: identity.stream.clone(),
            name: identity.name.clone(),
            quarantined_as: path.to_owned(),
            reason,
            size_bytes,
            salvageable: None,
        })?;
        let provenance = from_disk(ADOPTED);
        let row = NewFile {
            stream: &identity.stream,
            name: &identity.name,
            path,
            version: identity.version,
            window: identity.window,
            sha256,
            size_bytes,
            whole,
            adopted: true,
            provenance: &provenance,
            recovered: None,
        };
        self.writer()?.add_file(self.by(), &row)
    }

    /// Moves a stray to quarantine, with row and event. Only regular files are moved.
    ///
    /// # Errors
    /// Ledger and disk errors.
    pub fn set_aside(&self, path: &str, reason: &str) -> Result<(), ArchiveError> {
        drop(self.writer()?);
        let mut folders = self.placing();
        let place = layout::in_vault(&self.inner.root, path);
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let stream = PathIdentity::of(path, |_| false).map(|identity| identity.stream).unwrap_or_default();
        let reason = format!("it lay at {path} without a row: {reason}");
        self.quarantine_stray(&place, &stream, name, &reason, &mut folders)
    }

    /// Moves a [`Stray::Damaged`] file to quarantine, with row and event, and marks its name as damaged, unless it is here whole. Gives
    /// what can be read of it, for [`Archive::salvage`].
    ///
    /// # Errors
    /// Ledger and disk errors.
    pub fn set_damaged_aside(&self, path: &str, identity: &PathIdentity) -> Result<Option<Salvageable>, ArchiveError> {
        drop(self.writer()?);
        let Err((reason, _, prefix)) = self.checked(&identity.name, path)? else { return Ok(None) };
        let mut folders = self.placing();
        let place = layout::in_vault(&self.inner.root, path);
        let reason = format!("it lay at {path} without a row: {reason}");
        let provenance = from_disk(FOUND_DAMAGED);
        let row = NewQuarantine {
            stream: &identity.stream,
            name: &identity.name,
            path: "",
            window: identity.window,
            sha256: None,
            size_bytes: 0,
            reason: &reason,
            provenance: Some(&provenance),
            prefix,
        };
        let kept = self.quarantine_at(&place, row, &mut folders)?;
        // As for a body that comes damaged: nothing that is not proven stands beside a whole file.
        let is_whole_here = !self.ledger().versions(&identity.stream, &identity.name)?.is_empty();
        let Some((quarantined_as, Some(sha256))) = kept.filter(|_| !is_whole_here) else { return Ok(None) };
        Ok(prefix.map(|prefix| Salvageable {
            stream: identity.stream.clone(),
            name: identity.name.clone(),
            window: identity.window,
            provenance,
            quarantined_as,
            sha256,
            prefix,
        }))
    }

    /// Takes the write permissions of files away that lost their read-only bit.
    ///
    /// # Errors
    /// Disk errors.
    pub fn make_read_only(&self, path: &str) -> Result<(), ArchiveError> {
        drop(self.writer()?);
        let place = layout::in_vault(&self.inner.root, path);
        let failed = |source| ArchiveError::from_io(&place, None, source);
        self.inner.disk.set_read_only(&place).and_then(|()| self.inner.disk.sync_file(&place)).map_err(failed)
    }

    /// The container check of a file as it lies.
    fn checked(&self, name: &str, path: &str) -> Result<Result<Whole, Objection>, ArchiveError> {
        let place = layout::in_vault(&self.inner.root, path);
        let failed = |source| ArchiveError::from_io(&place, None, source);
        match check::check(self.inner.disk.open(&place).map_err(failed)?, name, &self.limits) {
            Ok(whole) => Ok(Ok(whole)),
            Err(CheckError::Damaged { reason, prefix }) => Ok(Err((reason, true, prefix))),
            Err(CheckError::Bomb(reason)) => Ok(Err((reason, false, None))),
            Err(CheckError::Io(source)) => Err(failed(source)),
        }
    }
}

/// A provenance that says that nothing is known.
pub(crate) fn from_disk(origin: &str) -> Provenance {
    let program = concat!("chatvault ", env!("CARGO_PKG_VERSION")).to_owned();
    Provenance { origin: origin.to_owned(), program, ..Provenance::default() }
}

/// Paths of damaged and missing files whose row can be trusted.
pub fn lost(report: &VerifyReport) -> impl Iterator<Item = &str> {
    let altered: HashSet<&str> = report.files.altered_rows.iter().map(String::as_str).collect();
    let damaged = report.files.damaged.iter().map(|file| file.file.as_str());
    let missing = report.files.missing.iter().map(|MissingFile { file, .. }| file.as_str());
    damaged.chain(missing).filter(move |path| !altered.contains(path))
}

/// The states of the names whose latest version was looked at.
fn note_entries(transaction: &Transaction<'_>, bad: &HashMap<u64, EntryState>, part: Part) -> rusqlite::Result<()> {
    let mut changes: Vec<(String, String, EntryState)> = Vec::new();
    let mut latest = transaction.prepare_cached(
        "SELECT f.stream, f.name FROM files f WHERE f.sequence = ?1 AND NOT EXISTS \
         (SELECT 1 FROM files l WHERE l.stream = f.stream AND l.name = f.name AND l.version > f.version)",
    )?;
    for (sequence, state) in bad {
        let mut rows = latest.query(params![sequence])?;
        if let Some(row) = rows.next()? {
            changes.push((row.get(0)?, row.get(1)?, *state));
        }
    }
    let mut doubted = transaction.prepare_cached(
        "SELECT e.stream, e.name, (SELECT f.sequence FROM files f WHERE f.stream = e.stream AND f.name = e.name \
         ORDER BY f.version DESC LIMIT 1) AS latest FROM entries e WHERE e.state <> 'fetched' AND latest IS NOT NULL",
    )?;
    let mut rows = doubted.query([])?;
    while let Some(row) = rows.next()? {
        let sequence: u64 = row.get(2)?;
        let was_read = sequence % part.of.max(1) == part.part % part.of.max(1);
        if was_read && !bad.contains_key(&sequence) {
            changes.push((row.get(0)?, row.get(1)?, EntryState::Fetched));
        }
    }
    drop(rows);
    changes.iter().try_for_each(|(stream, name, state)| coverage::mark_state(transaction, stream, name, *state))
}
