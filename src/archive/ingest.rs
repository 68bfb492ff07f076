//! From bytes to a published file: draft, check, sync, place, row.
//!
//! The order is the promise. Bytes are hashed while they are written to `tmp/`; length and container are checked by
//! reading them back; then they are made read-only and synced, renamed into place, the folders synced, and only then
//! is the row committed. Whatever stops in between leaves either a temp file (swept) or a whole file without a row
//! (taken in by the next publish of the same bytes). Checks and syncs of several threads run side by side; only
//! placing is one at a time.

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sha2::{Digest, Sha256};

use super::Archive;
use super::check::{self, CheckError, Container, Damage, GoodPrefix, Whole};
use super::disk::{Disk, DiskFile};
use super::entry::{ArchivedFile, Arrival, Published, Sha256Hex};
use super::error::ArchiveError;
use super::kept::{Hashed, KeptText};
use super::layout::{self, CheckedName, CheckedStream, TEMP};

const WRITE_BUFFER_BYTES: usize = 256 * 1024;
const COPY_BUFFER_BYTES: usize = 1024 * 1024;

/// A body being received: a file under `tmp/` that is counted and hashed while written. Dropping it removes the file.
pub struct Draft {
    temp: TempFile,
    writer: BufWriter<Box<dyn DiskFile>>,
    hasher: Sha256,
    stream: CheckedStream,
    name: CheckedName,
    size_bytes: u64,
    broken: bool,
}

/// A file under `tmp/` that is removed when nobody moved it away.
pub(super) struct TempFile {
    disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
    /// Set by whoever renamed it.
    pub(super) moved: bool,
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.moved {
            // What cannot be removed now is swept when the next writer opens the vault.
            let _ = self.disk.remove(&self.path);
        }
    }
}

/// A draft that is closed: its bytes are on disk, its hash is known.
pub(super) struct Body {
    pub(super) temp: TempFile,
    pub(super) stream: CheckedStream,
    pub(super) name: CheckedName,
    pub(super) sha256: Sha256Hex,
    pub(super) size_bytes: u64,
}

/// A file that was checked and synced and waits for its place. Dropping it removes the bytes, as if they never came.
pub struct Prepared(Verdict);

#[allow(clippy::large_enum_variant)] // a handful at a time
enum Verdict {
    Already(ArchivedFile),
    Whole(Body, Whole, Arrival, Option<KeptText>),
    Damaged(Body, String, Option<GoodPrefix>, Arrival),
}

impl Draft {
    /// Bytes written so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// SHA-256 of the bytes written so far.
    pub fn sha256(&self) -> Sha256Hex {
        Sha256Hex(self.hasher.clone().finalize().into())
    }

    /// Appends `bytes`; the same as [`Write::write_all`] with an error that says what to do.
    ///
    /// # Errors
    /// [`DiskFull`](ArchiveError::DiskFull) and other disk errors. The draft cannot be published afterwards.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let needed = Some(self.size_bytes + bytes.len() as u64);
        self.write_all(bytes).map_err(|source| ArchiveError::from_io(&self.temp.path, needed, source))
    }

    /// Writes out the buffer and gives the open file back.
    fn close(mut self) -> Result<(Body, Box<dyn DiskFile>), ArchiveError> {
        if self.broken {
            return Err(ArchiveError::BrokenDraft {
                stream: self.stream.as_str().to_owned(),
                name: self.name.as_str().to_owned(),
            });
        }
        let flushed = self.writer.flush();
        flushed.map_err(|source| ArchiveError::from_io(&self.temp.path, Some(self.size_bytes), source))?;
        let (file, _) = self.writer.into_parts();
        let body = Body {
            temp: self.temp,
            stream: self.stream,
            name: self.name,
            sha256: Sha256Hex(self.hasher.finalize().into()),
            size_bytes: self.size_bytes,
        };
        Ok((body, file))
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.writer.write(bytes) {
            Ok(count) => {
                self.hasher.update(&bytes[..count]);
                self.size_bytes += count as u64;
                Ok(count)
            }
            Err(error) => {
                self.broken |= error.kind() != io::ErrorKind::Interrupted;
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.writer.flush();
        self.broken |= flushed.is_err();
        flushed
    }
}

impl Archive {
    /// Opens a temp file under `tmp/` for the body of `name`; it is counted and hashed while written.
    ///
    /// # Errors
    /// [`UnsafeName`](ArchiveError::UnsafeName), [`ReadOnly`](ArchiveError::ReadOnly) on a reader, disk errors.
    pub fn draft(&self, stream: &str, name: &str) -> Result<Draft, ArchiveError> {
        let (stream, name) = (layout::checked_stream(stream)?, layout::checked_name(name)?);
        if !self.is_writer() {
            return Err(ArchiveError::ReadOnly { path: self.inner.root.clone() });
        }
        let number = self.inner.temp_files.fetch_add(1, Ordering::Relaxed);
        let path = self.inner.root.join(TEMP).join(format!("{}-{number}.part", std::process::id()));
        let disk = Arc::clone(&self.inner.disk);
        let file = disk.create_new(&path).map_err(|source| ArchiveError::from_io(&path, None, source))?;
        Ok(Draft {
            temp: TempFile { disk, path, moved: false },
            writer: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
            hasher: Sha256::new(),
            stream,
            name,
            size_bytes: 0,
            broken: false,
        })
    }

    /// Publishes a draft: checks, fsync, rename, fsync of the folders, row and event.
    ///
    /// # Errors
    /// [`Damaged`](ArchiveError::Damaged): the length is not the expected one or the container is not whole; the bytes
    /// are in `quarantine/` and the event is recorded. [`DiskFull`](ArchiveError::DiskFull) and other disk errors:
    /// nothing was published, the temp file is gone.
    pub fn publish(&self, draft: Draft, arrival: Arrival) -> Result<Published, ArchiveError> {
        self.settle(self.prepare(draft, arrival)?)
    }

    /// The half of [`Archive::publish`] that several threads may do side by side: checks and syncs. What it gives is
    /// published by [`Archive::settle`], in the order of those calls.
    ///
    /// # Errors
    /// Disk errors; the temp file is gone. Damage is an error of [`Archive::settle`].
    pub fn prepare(&self, draft: Draft, arrival: Arrival) -> Result<Prepared, ArchiveError> {
        if let Some(window) = arrival.window {
            layout::check_window(window)?;
        }
        let (body, mut file) = draft.close()?;
        if let Some(known) = self.held(&body, arrival.reread)? {
            return Ok(Prepared(Verdict::Already(known)));
        }
        let checked = self.check(&body, arrival.expected_bytes);
        let disk_error = |source| ArchiveError::from_io(&body.temp.path, Some(body.size_bytes), source);
        // Read-only first, so that the one sync makes bytes and permissions durable together.
        if !matches!(checked, Err(CheckError::Io(_))) {
            self.inner.disk.set_read_only(&body.temp.path).map_err(disk_error)?;
            file.sync().map_err(disk_error)?;
        }
        drop(file);
        match checked {
            Ok((whole, text)) => Ok(Prepared(Verdict::Whole(body, whole, arrival, text))),
            Err(CheckError::Io(source)) => Err(disk_error(source)),
            Err(CheckError::Damaged { reason, prefix }) => {
                Ok(Prepared(Verdict::Damaged(body, reason, prefix, arrival)))
            }
            Err(CheckError::Bomb(reason)) => Ok(Prepared(Verdict::Damaged(body, reason, None, arrival))),
        }
    }

    /// Gives what was prepared its place and its row.
    ///
    /// # Errors
    /// As [`Archive::publish`].
    pub fn settle(&self, prepared: Prepared) -> Result<Published, ArchiveError> {
        match prepared.0 {
            Verdict::Already(known) => Ok(Published::Already(known)),
            Verdict::Whole(body, whole, arrival, text) => {
                let published = self.place(body, whole, &arrival)?;
                if let Published::New(file) | Published::NewVersion(file) = &published {
                    self.inner.kept.put(file.sequence, text);
                }
                Ok(published)
            }
            Verdict::Damaged(body, reason, prefix, arrival) => self.quarantine(body, reason, prefix, arrival),
        }
    }

    /// Copies the file `source` into the archive. A file whose name and size are known is hashed first, and not
    /// copied if its bytes are known too. The source is only read.
    ///
    /// # Errors
    /// As [`Archive::draft`] and [`Archive::publish`]; [`Io`](ArchiveError::Io) with the source's path if it cannot be read.
    pub fn import_copy(
        &self,
        stream: &str,
        name: &str,
        source: &Path,
        arrival: Arrival,
    ) -> Result<Published, ArchiveError> {
        self.settle(self.prepare_copy(stream, name, source, None, arrival)?)
    }

    /// As [`Archive::import_copy`] up to the point where [`Archive::settle`] takes over, for a file whose bytes were
    /// vouched for (`expected`): others are not taken.
    ///
    /// # Errors
    /// As [`Archive::prepare`]; [`Io`](ArchiveError::Io) with the source's path if it has other bytes by now.
    pub fn prepare_copy(
        &self,
        stream: &str,
        name: &str,
        source: &Path,
        expected: Option<Sha256Hex>,
        arrival: Arrival,
    ) -> Result<Prepared, ArchiveError> {
        let unreadable = |error| ArchiveError::from_io(source, None, error);
        let (checked_stream, checked_name) = (layout::checked_stream(stream)?, layout::checked_name(name)?);
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        let size_bytes = std::fs::metadata(source).map_err(unreadable)?.len();
        let known = self.ledger().versions(checked_stream.as_str(), checked_name.as_str())?;
        if known.iter().any(|file| file.size_bytes == size_bytes) {
            let sha256 = hash_of(std::fs::File::open(source).map_err(unreadable)?, &mut buffer).map_err(unreadable)?;
            if let Some(same) = known.into_iter().find(|file| file.sha256 == sha256)
                && self.is_intact(&same, arrival.reread)?
            {
                self.note_fetched(&same)?;
                return Ok(Prepared(Verdict::Already(same)));
            }
        }
        let mut draft = self.draft(stream, name)?;
        let mut input = std::fs::File::open(source).map_err(unreadable)?;
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => draft.append(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        if expected.is_some_and(|expected| expected != draft.sha256()) {
            return Err(unreadable(io::Error::other("its bytes changed after they were checked")));
        }
        self.prepare(draft, arrival)
    }

    /// The row with exactly these bytes under this name, if its file lies where it should.
    fn held(&self, body: &Body, reread: bool) -> Result<Option<ArchivedFile>, ArchiveError> {
        let known = self.ledger().versions(body.stream.as_str(), body.name.as_str())?;
        match known.into_iter().find(|file| file.sha256 == body.sha256) {
            Some(same) if self.is_intact(&same, reread)? => {
                self.note_fetched(&same)?;
                Ok(Some(same))
            }
            _ => Ok(None),
        }
    }

    /// The text of a file that was published a moment ago, if it was kept; given once.
    pub fn take_text(&self, file: &ArchivedFile) -> Option<KeptText> {
        self.inner.kept.take(file.sequence)
    }

    /// Bounds what is kept of published files until [`Archive::take_text`], all together. 0 keeps nothing.
    pub fn keep_texts(&self, limit_bytes: usize) {
        self.inner.kept.limit(limit_bytes);
    }

    /// Reads the body back from disk: its container, and its length; and its text, where there is room.
    fn check(&self, body: &Body, expected_bytes: Option<u64>) -> Result<(Whole, Option<KeptText>), CheckError> {
        let file = self.inner.disk.open(&body.temp.path).map_err(CheckError::Io)?;
        let on_disk = file.metadata().map_err(CheckError::Io)?.len();
        if on_disk != body.size_bytes {
            let told = format!("{} bytes were written, {on_disk} are on disk", body.size_bytes);
            return Err(CheckError::Io(io::Error::other(told)));
        }
        let mut text = self.inner.kept.begin();
        let mut file = Hashed::new(file);
        let checked = check::check_keeping(&mut file, body.name.as_str(), &self.limits, Some(&mut text));
        let is_wrong = |expected: &u64| *expected != body.size_bytes;
        let Some(expected) = expected_bytes.filter(is_wrong) else {
            let whole = checked?;
            // What is indexed are the bytes that are recorded, not what a disk made of them.
            if whole.container != Container::Gzip || file.sha256() != body.sha256 {
                text.give_up();
            }
            return Ok((whole, text.finished()));
        };
        // A wrong length is damage whatever the container says; but that tells how much of it can be read.
        let reason = format!("{} bytes came, {expected} were announced", body.size_bytes);
        match checked {
            Ok(Whole { container: Container::Gzip, inflated_bytes }) if inflated_bytes > 0 => {
                let prefix = GoodPrefix {
                    damage: Damage::Cut,
                    at_byte: body.size_bytes,
                    good_bytes: inflated_bytes,
                    proven_bytes: inflated_bytes,
                };
                Err(CheckError::Damaged { reason, prefix: Some(prefix) })
            }
            Ok(_) => Err(CheckError::Damaged { reason, prefix: None }),
            Err(CheckError::Damaged { prefix, .. }) => Err(CheckError::Damaged { reason, prefix }),
            Err(error) => Err(error),
        }
    }
}

/// SHA-256 of everything in `file`, read through `buffer`.
pub(super) fn hash_of(mut file: impl Read, buffer: &mut [u8]) -> io::Result<Sha256Hex> {
    let mut hasher = Sha256::new();
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(Sha256Hex(hasher.finalize().into())),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
