//! Places: where a synced body ends up, one at a time, under `files/` or under `quarantine/`.
//!
//! Everything here runs under the `placing` lock of the one writer, so looking for a free path and taking it is one
//! step. A folder counts as durable only after this process has synced the folder above it: one that a killed
//! process made may not have reached the disk.

use std::collections::HashSet;
use std::fs::File;
use std::io::Seek;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use serde_json::json;

use super::Archive;
use super::check::{GoodPrefix, Whole};
use super::disk::EntryKind;
use super::entry::{ArchivedFile, Arrival, Published, Sha256Hex, Window};
use super::error::ArchiveError;
use super::ingest::{Body, TempFile, hash_of};
use super::layout::{self, CheckedName, CheckedStream, QUARANTINE};
use super::ledger::{NewFile, NewQuarantine};
use super::salvage::Salvageable;

const HASH_BUFFER_BYTES: usize = 256 * 1024;
/// Names in quarantine keep at most this much of the listed name; a time and a number go before it.
pub(super) const QUARANTINE_NAME_BYTES: usize = 180;

/// Folders whose own entry has been synced by this process.
pub(super) type DurableFolders<'a> = MutexGuard<'a, HashSet<PathBuf>>;

impl Archive {
    /// Gives a checked and synced body its place and its row.
    pub(super) fn place(&self, mut body: Body, whole: Whole, arrival: &Arrival) -> Result<Published, ArchiveError> {
        let mut folders = self.placing();
        let (stream, name) = (body.stream.as_str(), body.name.as_str());
        let known = self.ledger().versions(stream, name)?;
        if let Some(same) = known.iter().find(|file| file.sha256 == body.sha256) {
            if self.is_intact(same, arrival.reread)? {
                self.note_fetched(same)?;
                return Ok(Published::Already(same.clone()));
            }
            let is_latest = known.last().is_some_and(|last| last.sequence == same.sequence);
            self.restore(&mut body.temp, same, is_latest, &mut folders)?;
            return Ok(Published::Restored(same.clone()));
        }
        let version = known.last().map_or(1, |last| last.version + 1);
        let path = self.free_path(&body.stream, &body.name, arrival.window, version)?;
        let adopted = self.take_orphan(&path, &body, &mut folders)?;
        if !adopted {
            self.move_to(&mut body.temp, &path, &mut folders)?;
        }
        let row = NewFile {
            stream,
            name,
            path: &path,
            version,
            window: arrival.window,
            sha256: body.sha256,
            size_bytes: body.size_bytes,
            whole,
            adopted,
            provenance: &arrival.provenance,
            recovered: None,
        };
        // If this fails the file stays as an orphan, whole and synced. Removing it would be the greater risk: a commit
        // that reported an error may still be found in the log after a crash, and a row must never lack its file.
        let file = self.ledger().add_file(self.by(), &row)?;
        Ok(if known.is_empty() { Published::New(file) } else { Published::NewVersion(file) })
    }

    /// Keeps a damaged body under `quarantine/` and records it; the same bytes are kept once. Always an error:
    /// [`ArchiveError::Damaged`], or why the bytes could not be kept.
    pub(super) fn quarantine(
        &self,
        mut body: Body,
        reason: String,
        prefix: Option<GoodPrefix>,
        arrival: Arrival,
    ) -> Result<Published, ArchiveError> {
        let mut folders = self.placing();
        let path = match self.quarantined_already(&body.sha256)? {
            Some(path) => path,
            None => {
                let path = self.free_quarantine_path(body.name.as_str())?;
                self.move_to(&mut body.temp, &path, &mut folders)?;
                path
            }
        };
        self.ledger().add_quarantine(
            self.by(),
            &NewQuarantine {
                stream: body.stream.as_str(),
                name: body.name.as_str(),
                path: &path,
                window: arrival.window,
                sha256: Some(body.sha256),
                size_bytes: body.size_bytes,
                reason: &reason,
                provenance: Some(&arrival.provenance),
                prefix,
            },
        )?;
        let (stream, name) = (body.stream.as_str().to_owned(), body.name.as_str().to_owned());
        // Of a name that is here whole nothing needs saving, and nothing that is not proven may stand beside it.
        let is_whole_here = !self.ledger().versions(&stream, &name)?.is_empty();
        let salvageable = prefix.filter(|_| !is_whole_here).map(|prefix| {
            Box::new(Salvageable {
                stream: stream.clone(),
                name: name.clone(),
                window: arrival.window,
                provenance: arrival.provenance,
                quarantined_as: path.clone(),
                sha256: body.sha256,
                prefix,
            })
        });
        Err(ArchiveError::Damaged {
            stream,
            name,
            quarantined_as: path,
            reason,
            size_bytes: body.size_bytes,
            salvageable,
        })
    }

    /// Does the row's file lie where it should? Its size is compared; its bytes too where `reread` asks for it, or where the
    /// ledger knows that something is wrong with this name.
    pub(super) fn is_intact(&self, file: &ArchivedFile, reread: bool) -> Result<bool, ArchiveError> {
        if !self.has_file(&file.path, file.size_bytes)? {
            return Ok(false);
        }
        if !reread && !self.ledger().is_doubted(&file.stream, &file.name)? {
            return Ok(true);
        }
        // Bytes that cannot be read are not there.
        Ok(self.hash_at(&layout::in_vault(&self.inner.root, &file.path)).is_ok_and(|sha256| sha256 == file.sha256))
    }

    /// SHA-256 of the file at `place`.
    pub(super) fn hash_at(&self, place: &Path) -> std::io::Result<Sha256Hex> {
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        self.inner.disk.open(place).and_then(|file| hash_of(file, &mut buffer))
    }

    /// As [`Archive::open_file`], with every byte compared with the manifest before the first is handed out: what is taken from
    /// here is what was archived. Reads the file as a whole.
    ///
    /// # Errors
    /// [`Altered`](ArchiveError::Altered); [`Io`](ArchiveError::Io) with the path if it is gone or cannot be read.
    pub fn open_proven(&self, file: &ArchivedFile) -> Result<File, ArchiveError> {
        let failed = |source| ArchiveError::from_io(Path::new(&file.path), None, source);
        let mut opened = self.open_file(file)?;
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        if hash_of(&opened, &mut buffer).map_err(failed)? != file.sha256 {
            return Err(ArchiveError::Altered { path: file.path.clone() });
        }
        opened.rewind().map_err(failed)?;
        Ok(opened)
    }

    pub(super) fn has_file(&self, path: &str, size_bytes: u64) -> Result<bool, ArchiveError> {
        let place = layout::in_vault(&self.inner.root, path);
        let found = self.inner.disk.metadata(&place).map_err(|source| ArchiveError::from_io(&place, None, source))?;
        Ok(found.is_some_and(|found| found.kind == EntryKind::File && found.size_bytes == size_bytes))
    }

    pub(super) fn placing(&self) -> DurableFolders<'_> {
        self.inner.placing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the bytes of a published file back that is gone or damaged. The damaged bytes go to quarantine first, so a crash
    /// in between leaves a row without a file, which the next run puts back in the same way.
    fn restore(
        &self,
        temp: &mut TempFile,
        file: &ArchivedFile,
        is_latest: bool,
        folders: &mut DurableFolders<'_>,
    ) -> Result<(), ArchiveError> {
        let place = layout::in_vault(&self.inner.root, &file.path);
        let reason = "the bytes of a published file had changed; good ones took their place";
        self.quarantine_stray(&place, &file.stream, &file.name, reason, folders)?;
        self.move_to(temp, &file.path, folders)?;
        let payload = json!({
            "sequence": file.sequence, "path": file.path, "sha256": file.sha256.to_string(),
            "size_bytes": file.size_bytes,
        });
        self.ledger().add_restored(self.by(), file, is_latest, &payload)
    }

    /// The path for a version; the next number up if another name's file already has that path, or one that differs
    /// from it only in case (`X.v2.gz` may be a listed name).
    fn free_path(
        &self,
        stream: &CheckedStream,
        name: &CheckedName,
        window: Option<Window>,
        version: u32,
    ) -> Result<String, ArchiveError> {
        let mut number = version;
        loop {
            let path = layout::file_path(stream, name, window, number)?;
            if !self.ledger().knows_path(&path)? {
                return Ok(path);
            }
            number += 1;
        }
    }

    /// Deals with a file that lies in the place without a row: a crash came between rename and commit, or a stranger
    /// put it there. The same bytes are adopted (`true`); others go to quarantine and the place is free (`false`).
    fn take_orphan(&self, path: &str, body: &Body, folders: &mut DurableFolders<'_>) -> Result<bool, ArchiveError> {
        let (disk, place) = (self.inner.disk.as_ref(), layout::in_vault(&self.inner.root, path));
        let failed = |source| ArchiveError::from_io(&place, Some(body.size_bytes), source);
        if self.has_file(path, body.size_bytes)? && self.hash_at(&place).map_err(failed)? == body.sha256 {
            // A crash leaves it synced; a stranger may not have.
            disk.set_read_only(&place).and_then(|()| disk.sync_file(&place)).map_err(failed)?;
            self.make_durable(&place, folders)?;
            return Ok(true);
        }
        let reason = "a file without a row lay in the place of another";
        self.quarantine_stray(&place, body.stream.as_str(), body.name.as_str(), reason, folders)?;
        Ok(false)
    }

    /// Moves whatever lies at `place` to quarantine; nothing there is fine.
    pub(super) fn quarantine_stray(
        &self,
        place: &Path,
        stream: &str,
        name: &str,
        reason: &str,
        folders: &mut DurableFolders<'_>,
    ) -> Result<(), ArchiveError> {
        let row = NewQuarantine {
            stream,
            name,
            path: "",
            window: None,
            sha256: None,
            size_bytes: 0,
            reason,
            provenance: None,
            prefix: None,
        };
        self.quarantine_at(place, row, folders).map(|_| ())
    }

    /// As [`Archive::quarantine_stray`], with all that is known of the bytes; path, hash and size are found out here. Gives the path
    /// and the hash; `None` where nothing lies at `place`.
    pub(super) fn quarantine_at(
        &self,
        place: &Path,
        row: NewQuarantine<'_>,
        folders: &mut DurableFolders<'_>,
    ) -> Result<Option<(String, Option<Sha256Hex>)>, ArchiveError> {
        let disk = self.inner.disk.as_ref();
        let failed = |source| ArchiveError::from_io(place, None, source);
        let Some(found) = disk.metadata(place).map_err(failed)? else { return Ok(None) };
        let sha256 = match found.kind {
            // Moving needs no reading: a file that cannot be read is kept too, without a hash.
            EntryKind::File => self.hash_at(place).ok(),
            EntryKind::Folder | EntryKind::Other => None,
        };
        let path = self.free_quarantine_path(row.name)?;
        let target = layout::in_vault(&self.inner.root, &path);
        self.make_folders(&target, folders)?;
        disk.rename_new(place, &target).map_err(failed)?;
        self.make_durable(&target, folders)?;
        let row = NewQuarantine { path: &path, sha256, size_bytes: found.size_bytes, ..row };
        self.ledger().add_quarantine(self.by(), &row)?;
        Ok(Some((path, sha256)))
    }

    fn quarantined_already(&self, sha256: &Sha256Hex) -> Result<Option<String>, ArchiveError> {
        let known = self.ledger().quarantined(sha256)?;
        for (path, size_bytes) in known {
            // Read again: what was altered there since is no evidence of these bytes.
            let place = layout::in_vault(&self.inner.root, &path);
            if self.has_file(&path, size_bytes)? && self.hash_at(&place).is_ok_and(|found| found == *sha256) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// `quarantine/<UTC time>-<number>-<name, cut>`, not taken.
    fn free_quarantine_path(&self, name: &str) -> Result<String, ArchiveError> {
        // A stray may have any name; only one that the archive would take stands in a path.
        let name = layout::checked_name(name).map_or("stray", |_| name);
        let mut end = name.len().min(QUARANTINE_NAME_BYTES);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let time = jiff::Timestamp::from_millisecond(self.inner.clock.now_ms()).unwrap_or_default();
        let time = time.strftime("%Y%m%dT%H%M%SZ");
        let mut number = 1_u64;
        loop {
            let path = format!("{QUARANTINE}/{time}-{number}-{}", &name[..end]);
            let place = layout::in_vault(&self.inner.root, &path);
            let found = self.inner.disk.metadata(&place);
            if found.map_err(|source| ArchiveError::from_io(&place, None, source))?.is_none() {
                return Ok(path);
            }
            number += 1;
        }
    }

    /// Renames a synced temp file to a free ledger path and makes the new name durable.
    fn move_to(&self, temp: &mut TempFile, path: &str, folders: &mut DurableFolders<'_>) -> Result<(), ArchiveError> {
        let place = layout::in_vault(&self.inner.root, path);
        self.make_folders(&place, folders)?;
        self.inner.disk.rename_new(&temp.path, &place).map_err(|source| ArchiveError::from_io(&place, None, source))?;
        temp.moved = true;
        self.make_durable(&place, folders)
    }

    /// Makes the folders above `place` that this process has not yet seen durable.
    fn make_folders(&self, place: &Path, folders: &mut DurableFolders<'_>) -> Result<(), ArchiveError> {
        let (disk, root) = (self.inner.disk.as_ref(), self.inner.root.as_path());
        let above: Vec<&Path> = place.ancestors().skip(1).take_while(|folder| *folder != root).collect();
        for folder in above.into_iter().rev() {
            if folders.contains(folder) {
                continue;
            }
            let parent = folder.parent().unwrap_or(root);
            disk.create_dir(folder)
                .and_then(|()| disk.sync_dir(parent))
                .map_err(|source| ArchiveError::from_io(folder, None, source))?;
            folders.insert(folder.to_path_buf());
        }
        Ok(())
    }

    /// Syncs the folder that holds `place`, and those above it where needed.
    pub(super) fn make_durable(&self, place: &Path, folders: &mut DurableFolders<'_>) -> Result<(), ArchiveError> {
        self.make_folders(place, folders)?;
        let folder = place.parent().unwrap_or(&self.inner.root);
        self.inner.disk.sync_dir(folder).map_err(|source| ArchiveError::from_io(folder, None, source))
    }
}
