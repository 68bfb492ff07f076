//! The seam to the file system, narrow enough for a faulty twin.
//!
//! Every operation that publishing, quarantining, sweeping and writing an index need, and no other. A test puts a disk behind
//! it that stops at operation N and forgets what was not synced (`faulty.rs`). SQLite's own files and the lock file do
//! not go through here: the one has crash tests of its own and only asks before a commit, the other holds nothing.
//!
//! What an implementation promises: after [`DiskFile::sync`] the bytes survive a power cut; after
//! [`Disk::sync_dir`] the names in that folder do. Nothing else survives for certain, in any order.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file open for writing.
pub trait DiskFile: Write + Send + Sync {
    /// Makes bytes, length and permissions durable.
    ///
    /// # Errors
    /// The device's own; after one, nothing is known about the bytes and the file must be thrown away.
    fn sync(&mut self) -> io::Result<()>;
}

/// What lies in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The full path.
    pub path: PathBuf,
    /// File, folder, or anything else.
    pub kind: EntryKind,
}

/// Kinds of entries; a link is never followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link, socket, device …
    Other,
}

/// What is known of a path without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// File, folder, or anything else; a link is not followed.
    pub kind: EntryKind,
    /// Size in bytes.
    pub size_bytes: u64,
    /// No permission bit lets anybody write.
    pub read_only: bool,
}

/// The operations of the archive on files and folders.
pub trait Disk: Send + Sync {
    /// Opens a new file for writing; an existing one is an error.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// What lies at `path`; `None` if nothing does. Links are not followed.
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>>;
    /// Takes every write permission away.
    fn set_read_only(&self, path: &Path) -> io::Result<()>;
    /// Makes the bytes of a file durable that somebody else wrote.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Moves a file to a name that must be free (`AlreadyExists` otherwise), on the same file system.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a file over another one, which vanishes; on the same file system, in one step.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes one folder; an existing one is fine.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable. Does nothing where the system has no such call.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file, read-only or not.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Asked before each transaction of the ledger is committed, which SQLite then makes durable by itself. A twin stops
    /// here; the real disk has nothing to say.
    ///
    /// # Errors
    /// The transaction is rolled back.
    fn before_commit(&self) -> io::Result<()> {
        Ok(())
    }
    /// What lies directly in a folder, sorted by name. Empty if there is no such folder.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        match fs::symlink_metadata(path) {
            Ok(found) => Ok(Some(Metadata {
                kind: kind_of(found.file_type()),
                size_bytes: found.len(),
                read_only: found.permissions().readonly(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        #[cfg(unix)]
        let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o444);
        #[cfg(not(unix))]
        let read_only = {
            let mut permissions = fs::metadata(path)?.permissions();
            permissions.set_readonly(true);
            permissions
        };
        fs::set_permissions(path, read_only)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        match File::open(path)?.sync_all() {
            // Windows syncs only through a handle that may write, and a read-only file gives none.
            Err(error) if cfg!(windows) && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            outcome => outcome,
        }
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        // Not atomic against a stranger who makes `to` in between; the vault's lock keeps our own writers away.
        if self.metadata(to)?.is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", to.display())));
        }
        fs::rename(from, to)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            outcome => outcome,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if !cfg!(unix) {
            return Ok(());
        }
        match File::open(path)?.sync_all() {
            // Some network file systems know no fsync of a folder (EINVAL, ENOTSUP); then there is nothing to wait for.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            outcome => outcome,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // Windows refuses to remove a read-only file.
        #[cfg(windows)]
        {
            let mut permissions = fs::symlink_metadata(path)?.permissions();
            #[expect(clippy::permissions_set_readonly_false, reason = "the file is removed in the next line")]
            permissions.set_readonly(false);
            fs::set_permissions(path, permissions)?;
        }
        fs::remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let found = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            outcome => outcome?,
        };
        let mut entries = Vec::new();
        for entry in found {
            let entry = entry?;
            entries.push(Entry { path: entry.path(), kind: kind_of(entry.file_type()?) });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }
}

fn kind_of(kind: fs::FileType) -> EntryKind {
    if kind.is_file() {
        EntryKind::File
    } else if kind.is_dir() {
        EntryKind::Folder
    } else {
        EntryKind::Other
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        let error = RealDisk.rename_new(&from, &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"old");
        assert_eq!(fs::read(&from).unwrap(), b"new");
    }

    #[test]
    fn a_read_only_file_can_be_moved_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        RealDisk.create_new(&from).unwrap().write_all(b"x").unwrap();
        assert!(RealDisk.create_new(&from).is_err());
        RealDisk.set_read_only(&from).unwrap();
        RealDisk.rename_new(&from, &to).unwrap();
        let found = RealDisk.metadata(&to).unwrap().unwrap();
        assert_eq!(found, Metadata { kind: EntryKind::File, size_bytes: 1, read_only: true });
        RealDisk.remove(&to).unwrap();
        assert_eq!(RealDisk.metadata(&to).unwrap(), None);
        assert_eq!(RealDisk.list(&folder.path().join("none")).unwrap(), []);
    }
}
