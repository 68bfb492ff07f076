//! One writer per vault: an operating-system lock on `vault.lock`.
//!
//! The lock belongs to the open file, so it dies with the process however that ends: no stale lock can be left
//! behind and nothing ever needs deleting. The text inside (process id, time) is for the message only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::error::ArchiveError;
use super::layout::LOCK;

/// Held for as long as the value lives.
#[derive(Debug)]
pub(crate) struct VaultLock {
    _file: File,
}

impl VaultLock {
    /// Takes the lock of the vault in `root` without waiting.
    ///
    /// # Errors
    /// [`ArchiveError::Locked`] with the holder's process id; otherwise why `vault.lock` could not be opened.
    pub(crate) fn take(root: &Path, now_ms: i64) -> Result<VaultLock, ArchiveError> {
        let path = root.join(LOCK);
        let io_error = |source| ArchiveError::from_io(&path, None, source);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = (&mut file).take(200).read_to_string(&mut text);
                return Err(ArchiveError::Locked {
                    path: root.to_path_buf(),
                    pid: field(&text, "pid"),
                    since_ms: field(&text, "since_ms"),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(source)),
        }
        // Only for the message to the next comer; not being able to write it takes nothing from the lock.
        let note = format!("pid={}\nsince_ms={now_ms}\n", std::process::id());
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
        Ok(VaultLock { _file: file })
    }
}

fn field<T: std::str::FromStr>(text: &str, key: &str) -> Option<T> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_second_taker_learns_who_holds_it_and_gets_it_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let first = VaultLock::take(folder.path(), 42).unwrap();
        match VaultLock::take(folder.path(), 43).unwrap_err() {
            ArchiveError::Locked { pid, since_ms, .. } if cfg!(unix) => {
                assert_eq!((pid, since_ms), (Some(std::process::id()), Some(42)));
            }
            ArchiveError::Locked { .. } => {}
            other => panic!("{other}"),
        }
        drop(first);
        VaultLock::take(folder.path(), 44).unwrap();
    }

    #[test]
    fn a_lock_file_left_by_a_dead_process_does_not_lock() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LOCK), "pid=999999999\nsince_ms=1\n").unwrap();
        VaultLock::take(folder.path(), 2).unwrap();
    }
}
