//! The folder of an index, as tantivy sees it.
//!
//! What is written goes through the archive's [`Disk`], so that the crash tests can stop an indexing run at each of its
//! operations; what is read is mapped into memory by tantivy's own directory. Files get the modes of the user's umask:
//! tantivy's own way makes two of them private, and then nobody else can search a shared vault.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::Directory;
use tantivy::directory::error::{DeleteError, LockError, OpenDirectoryError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite, WatchCallback, WatchHandle,
    WritePtr,
};

use crate::archive::disk::{Disk, DiskFile};

/// An index folder open for writing.
#[derive(Clone)]
pub(super) struct DiskDirectory {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    reading: MmapDirectory,
    /// The first write that failed: tantivy's threads only say that they died.
    failure: FirstFailure,
}

/// The first failure of a write, kept for the message.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstFailure(Arc<Mutex<Option<(ErrorKind, String)>>>);

impl FirstFailure {
    fn keep<T>(&self, path: &Path, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome
            && error.kind() != ErrorKind::NotFound
        {
            let told = (error.kind(), format!("{}: {error}", path.display()));
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(told);
        }
        outcome
    }

    /// The failure as an error of its own, if there was one.
    pub(super) fn error(&self) -> Option<io::Error> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|(kind, text)| io::Error::new(*kind, text.clone()))
    }
}

impl DiskDirectory {
    pub(super) fn open(folder: &Path, disk: Arc<dyn Disk>) -> Result<DiskDirectory, OpenDirectoryError> {
        let reading = MmapDirectory::open(folder)?;
        Ok(DiskDirectory { folder: folder.to_owned(), disk, reading, failure: FirstFailure::default() })
    }

    pub(super) fn failure(&self) -> FirstFailure {
        self.failure.clone()
    }
}

impl fmt::Debug for DiskDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskDirectory").field("folder", &self.folder).finish_non_exhaustive()
    }
}

struct DiskWriter {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    failure: FirstFailure,
}

impl Write for DiskWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.failure.keep(&self.path, self.file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl TerminatingWrite for DiskWriter {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.failure.keep(&self.path, self.file.flush().and_then(|()| self.file.sync()))
    }
}

impl Directory for DiskDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.reading.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.disk.remove(&self.folder.join(path)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.to_owned()),
            _ => DeleteError::IoError { io_error: Arc::new(error), filepath: path.to_owned() },
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.reading.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let full = self.folder.join(path);
        let file = self.failure.keep(&full, self.disk.create_new(&full)).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => OpenWriteError::FileAlreadyExists(path.to_owned()),
            _ => OpenWriteError::wrap_io_error(error, path.to_owned()),
        })?;
        Ok(BufWriter::new(Box::new(DiskWriter { file, path: full, failure: self.failure.clone() })))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.reading.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        self.failure.keep(path, write_atomically(self.disk.as_ref(), &self.folder.join(path), data))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.failure.keep(&self.folder, self.disk.sync_dir(&self.folder))
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.reading.watch(callback)
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.reading.acquire_lock(lock)
    }
}

/// Writes a file whole or not at all: aside, synced, renamed over the old one. The folder still has to be synced.
pub(super) fn write_atomically(disk: &dyn Disk, path: &Path, data: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    // Left by a run that died: nobody else writes here, the vault's lock sees to that.
    match disk.remove(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = disk.create_new(&aside)?;
    file.write_all(data)?;
    file.sync()?;
    drop(file);
    disk.replace(&aside, path)
}

/// An index folder of which only reading is asked. Tantivy takes a lock file while it opens segments, so that a writer does
/// not collect them meanwhile; where that file cannot be made nobody of this user is writing, and none is needed.
#[derive(Clone, Debug)]
pub(super) struct ReadableDirectory(pub(super) MmapDirectory);

impl Directory for ReadableDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.0.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.0.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.0.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.0.open_write(path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.0.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        self.0.atomic_write(path, data)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.sync_directory()
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.0.watch(callback)
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        match self.0.acquire_lock(lock) {
            Err(LockError::IoError(error))
                if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                Ok(DirectoryLock::from(Box::new(())))
            }
            outcome => outcome,
        }
    }
}
