//! Making a bag: built in a folder beside its place, renamed when it is whole.
//!
//! Every file is hashed while it is written and synced before the bag gets its name. Whatever stops the work (an error, a
//! full disk, Ctrl-C) removes the folder; a power cut leaves it under a name that says `partial`.

use super::line::{is_safe_to_write, list_line};
use super::{BAGIT_TXT, DATA};
use crate::archive::Sha256Hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const COPY_BUFFER_BYTES: usize = 256 * 1024;
const MANIFEST: &str = "manifest-sha256.txt";

/// Why no bag was made. Nothing is left under its name.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    /// Something lies where the bag is to be.
    #[error("{} is there already and is no empty folder; nothing is overwritten", path.display())]
    Taken {
        /// The place.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk is full: {} could not be written; nothing is left of the bag", path.display())]
    DiskFull {
        /// The file that did not fit.
        path: PathBuf,
    },
    /// The caller wanted to stop.
    #[error("interrupted; nothing is left of the bag")]
    Interrupted,
    /// A name that not every validator reads alike.
    #[error(
        "the name {path:?} cannot go into a bag: it holds a percent sign, a control character or white space at its end"
    )]
    UnsafeName {
        /// Path in the bag.
        path: String,
    },
    /// The bytes to be copied could not be read.
    #[error("{path}: {source}")]
    Source {
        /// Path in the bag.
        path: String,
        /// The operating system's own words.
        source: io::Error,
    },
    /// Any other input or output error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's own words.
        source: io::Error,
    },
}

fn failed(path: &Path, source: io::Error) -> BagError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BagError::DiskFull { path },
        _ => BagError::Io { path, source },
    }
}

/// Labels and values of `bag-info.txt` that only the caller knows, in order. `Payload-Oxum` and `Bag-Size` are added.
pub type TagInfo = Vec<(&'static str, String)>;

/// A file of the payload, written and synced, to be listed with [`BagWriter::list`].
#[derive(Clone, Debug)]
pub struct Written {
    /// Path in the bag, starting with `data/`.
    pub path: String,
    /// Of the bytes that were written.
    pub sha256: Sha256Hex,
    /// Bytes written.
    pub size_bytes: u64,
}

/// A folder that is removed unless it is renamed into its place.
struct Partial {
    folder: PathBuf,
    target: PathBuf,
    done: bool,
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be removed is named `partial`; there is nobody left to tell.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A bag being made.
pub struct BagWriter {
    // Before the guard, so that it is closed when the folder goes.
    manifest: Hashed,
    partial: Partial,
    folders: Mutex<BTreeSet<PathBuf>>,
    bytes: u64,
    files: u64,
}

/// A file that is hashed while it is written.
struct Hashed {
    file: BufWriter<File>,
    place: PathBuf,
    hasher: Sha256,
    bytes: u64,
}

impl Hashed {
    fn create(place: PathBuf) -> Result<Hashed, BagError> {
        let file = OpenOptions::new().write(true).create_new(true).open(&place);
        let file = file.map_err(|error| failed(&place, error))?;
        Ok(Hashed { file: BufWriter::with_capacity(COPY_BUFFER_BYTES, file), place, hasher: Sha256::new(), bytes: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), BagError> {
        self.file.write_all(bytes).map_err(|error| failed(&self.place, error))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Flushes and syncs; gives the hash and the size.
    fn close(mut self, modified_ms: Option<i64>) -> Result<(Sha256Hex, u64), BagError> {
        let place = &self.place;
        self.file.flush().map_err(|error| failed(place, error))?;
        if let Some(modified) = modified_ms.and_then(|ms| u64::try_from(ms).ok()) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(modified);
            // A file system that keeps no such times loses nothing that the ledger does not say.
            let _ = self.file.get_ref().set_modified(time);
        }
        self.file.get_ref().sync_all().map_err(|error| failed(place, error))?;
        Ok((Sha256Hex(self.hasher.finalize().into()), self.bytes))
    }
}

/// A file of the payload that the caller writes piece by piece.
pub struct PayloadWriter {
    hashed: Hashed,
    path: String,
}

impl PayloadWriter {
    /// Appends.
    ///
    /// # Errors
    /// Disk errors.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), BagError> {
        self.hashed.append(bytes)
    }

    /// Syncs the file; to be handed to [`BagWriter::list`].
    ///
    /// # Errors
    /// Disk errors.
    pub fn close(self) -> Result<Written, BagError> {
        let (sha256, size_bytes) = self.hashed.close(None)?;
        Ok(Written { path: self.path, sha256, size_bytes })
    }
}

impl BagWriter {
    /// Begins a bag that will be `target`: a folder that does not exist yet or is empty, in a folder that exists.
    ///
    /// # Errors
    /// [`BagError::Taken`], disk errors.
    pub fn create(target: &Path) -> Result<BagWriter, BagError> {
        check_target(target)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = target.with_file_name(format!("{name}.partial-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| failed(&folder, error))?;
        let partial = Partial { folder, target: target.to_owned(), done: false };
        let data = partial.folder.join(DATA);
        fs::create_dir(&data).map_err(|error| failed(&data, error))?;
        let manifest = Hashed::create(partial.folder.join(MANIFEST))?;
        Ok(BagWriter { manifest, partial, folders: Mutex::new([data].into()), bytes: 0, files: 0 })
    }

    /// Where a payload path lies, its folders made.
    fn place(&self, path: &str) -> Result<PathBuf, BagError> {
        if !is_safe_to_write(path) {
            return Err(BagError::UnsafeName { path: path.to_owned() });
        }
        let mut place = self.partial.folder.clone();
        place.extend(path.split('/'));
        let folder = place.parent().unwrap_or(&self.partial.folder);
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if !folders.contains(folder) {
            fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
            let above = folder.ancestors().take_while(|above| *above != self.partial.folder);
            folders.extend(above.map(Path::to_owned));
        }
        Ok(place)
    }

    /// Copies `source` to `path` (`data/…`), hashing; read-only and dated `modified_ms` at the end. Of several threads at
    /// once. `told` hears of each piece and says whether to go on.
    ///
    /// # Errors
    /// [`BagError::Source`] where the source cannot be read, [`BagError::Interrupted`], disk errors.
    pub fn copy(
        &self,
        path: &str,
        mut source: impl Read,
        modified_ms: Option<i64>,
        told: &dyn Fn(u64) -> bool,
    ) -> Result<Written, BagError> {
        let mut hashed = Hashed::create(self.place(path)?)?;
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hashed.append(&buffer[..count])?;
                    if !told(count as u64) {
                        return Err(BagError::Interrupted);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(BagError::Source { path: path.to_owned(), source }),
            }
        }
        let place = hashed.place.clone();
        let (sha256, size_bytes) = hashed.close(modified_ms)?;
        set_read_only(&place)?;
        Ok(Written { path: path.to_owned(), sha256, size_bytes })
    }

    /// Begins a file of the payload that is written piece by piece.
    ///
    /// # Errors
    /// Disk errors.
    pub fn begin(&self, path: &str) -> Result<PayloadWriter, BagError> {
        Ok(PayloadWriter { hashed: Hashed::create(self.place(path)?)?, path: path.to_owned() })
    }

    /// Writes a small file of the payload, and lists it.
    ///
    /// # Errors
    /// Disk errors.
    pub fn add(&mut self, path: &str, content: &[u8]) -> Result<(), BagError> {
        let mut file = self.begin(path)?;
        file.append(content)?;
        let written = file.close()?;
        self.list(&written)
    }

    /// Takes a written file into the manifest. The order of the calls is that of the lines.
    ///
    /// # Errors
    /// Disk errors.
    pub fn list(&mut self, written: &Written) -> Result<(), BagError> {
        self.bytes += written.size_bytes;
        self.files += 1;
        self.manifest.append(list_line(&written.sha256.to_string(), &written.path).as_bytes())
    }

    /// Files and bytes listed so far.
    pub fn so_far(&self) -> (u64, u64) {
        (self.files, self.bytes)
    }

    /// Writes the tag files and syncs the folders. The bag is whole, but does not have its name yet.
    ///
    /// # Errors
    /// Disk errors.
    pub fn finish(self, info: &TagInfo, size_for_people: &str) -> Result<FinishedBag, BagError> {
        let BagWriter { manifest, partial, folders, bytes, files } = self;
        let folder = partial.folder.clone();
        let (manifest_sha256, _) = manifest.close(None)?;
        let mut tags = vec![(MANIFEST, manifest_sha256)];
        let mut tag = |name: &'static str, text: &str| {
            let mut file = Hashed::create(folder.join(name))?;
            file.append(text.as_bytes())?;
            tags.push((name, file.close(None)?.0));
            Ok(())
        };
        tag(BAGIT_TXT, "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")?;
        let own = [("Bag-Size", size_for_people.to_owned()), ("Payload-Oxum", format!("{bytes}.{files}"))];
        let lines = info.iter().chain(&own).map(|(label, value)| format!("{label}: {}\n", one_line(value)));
        tag("bag-info.txt", &lines.collect::<String>())?;
        let lines: String = tags.iter().map(|(name, sha256)| list_line(&sha256.to_string(), name)).collect();
        let mut last = Hashed::create(folder.join("tagmanifest-sha256.txt"))?;
        last.append(lines.as_bytes())?;
        last.close(None)?;
        let folders = folders.into_inner().unwrap_or_else(PoisonError::into_inner);
        for inside in folders.iter().chain([&folder]) {
            sync_folder(inside).map_err(|error| failed(inside, error))?;
        }
        Ok(FinishedBag { manifest_sha256, bytes, files, partial })
    }
}

/// A whole bag under a provisional name.
pub struct FinishedBag {
    /// SHA-256 of `manifest-sha256.txt`: names the payload as a whole.
    pub manifest_sha256: Sha256Hex,
    /// Bytes of the payload.
    pub bytes: u64,
    /// Files of the payload.
    pub files: u64,
    partial: Partial,
}

impl FinishedBag {
    /// Gives the bag its name.
    ///
    /// # Errors
    /// [`BagError::Taken`] if something has come to lie there meanwhile; disk errors.
    pub fn publish(mut self) -> Result<(), BagError> {
        let target = &self.partial.target;
        if check_target(target)? {
            fs::remove_dir(target).map_err(|error| failed(target, error))?;
        }
        fs::rename(&self.partial.folder, target).map_err(|error| failed(target, error))?;
        self.partial.done = true;
        let above = target.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(above).map_err(|error| failed(above, error))
    }
}

/// Whether an empty folder lies there; anything else that does is an error.
fn check_target(target: &Path) -> Result<bool, BagError> {
    let taken = || BagError::Taken { path: target.to_owned() };
    match target.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && target.file_name().is_some() => Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(target, error)),
        Ok(found) if found.is_dir() && target.file_name().is_some() => {
            let mut inside = fs::read_dir(target).map_err(|error| failed(target, error))?;
            if inside.next().is_some() { Err(taken()) } else { Ok(true) }
        }
        _ => Err(taken()),
    }
}

/// A value that stays on its line, whatever it holds.
fn one_line(value: &str) -> String {
    value
        .split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn set_read_only(place: &Path) -> Result<(), BagError> {
    let mut permissions = fs::metadata(place).map_err(|error| failed(place, error))?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(place, permissions).map_err(|error| failed(place, error))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        // Some network file systems know no fsync of a folder; then there is nothing to wait for.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        outcome => outcome,
    }
}
