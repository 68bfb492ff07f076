//! The file of the saved searches of a vault, `searches.toml`: read whole, changed by one process at a time, put in place
//! whole or not at all.

use crate::search::saved::{SavedError, SavedSearches};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Name of the file inside the vault.
pub const SAVED_SEARCHES: &str = "searches.toml";

/// Locked while the file is changed. The lock is the operating system's and dies with the process; the file stays, empty.
/// It is not the vault's own lock, so that a search can be saved while `watch` runs.
const LOCK: &str = "searches.toml.lock";

/// Largest file that is read, bytes.
const MOST_BYTES: u64 = 4 << 20;

/// Why saved searches could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SavedFileError {
    /// The file, or what was to be done to it.
    #[error("{}: {error}", .path.display())]
    Saved {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SavedError,
    },
    /// The disk.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

/// The saved searches of a vault; none where there is no file.
///
/// # Errors
/// A file that cannot be read, or is not one.
pub fn saved_searches(vault: &Path) -> Result<SavedSearches, SavedFileError> {
    let path = vault.join(SAVED_SEARCHES);
    let text = read(&path).map_err(|error| SavedFileError::Io { path: path.clone(), error })?;
    SavedSearches::read(&text).map_err(|error| SavedFileError::Saved { path, error })
}

/// Changes the file: `edit` gets its text (empty where there is none) and gives the new one.
///
/// # Errors
/// As [`saved_searches`], and what `edit` says; the file is then as it was.
pub fn change_saved_searches(
    vault: &Path,
    edit: impl FnOnce(&str) -> Result<String, SavedError>,
) -> Result<(), SavedFileError> {
    let path = vault.join(SAVED_SEARCHES);
    let io = |error| SavedFileError::Io { path: path.clone(), error };
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(vault.join(LOCK)).map_err(io)?;
    // Whoever holds it is done in a moment.
    lock.lock().map_err(io)?;
    let text = read(&path).map_err(io)?;
    let changed = edit(&text).map_err(|error| SavedFileError::Saved { path: path.clone(), error })?;
    replace(vault, &path, &changed).map_err(io)
}

fn read(path: &Path) -> io::Result<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {MOST_BYTES} bytes")));
    }
    Ok(text)
}

/// Temp file, fsync, rename, fsync of the folder: a crash leaves the old file or the new one.
fn replace(vault: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(vault)?;
    file.write_all(text.as_bytes())?;
    // A temp file is the owner's alone; what takes the place of a file keeps that file's permissions.
    if let Ok(before) = std::fs::metadata(path) {
        file.as_file().set_permissions(before.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    if cfg!(unix) {
        File::open(vault)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::search::saved::{SavedSearch, with, without};
    use crate::search::syntax::Syntax;

    #[test]
    fn nobody_s_change_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(saved_searches(folder.path()).unwrap().iter().len(), 0);
        std::thread::scope(|scope| {
            for at in 0..16 {
                let folder = folder.path();
                scope.spawn(move || {
                    let added = SavedSearch {
                        name: format!("n{at}"),
                        query: "refund".into(),
                        syntax: Syntax::default().name().into(),
                        tz: "UTC".into(),
                        created: String::new(),
                        note: None,
                    };
                    change_saved_searches(folder, |text| with(text, &added)).unwrap();
                });
            }
        });
        assert_eq!(saved_searches(folder.path()).unwrap().iter().len(), 16);
        assert!(change_saved_searches(folder.path(), |text| without(text, "gone")).is_err());
        assert_eq!(saved_searches(folder.path()).unwrap().iter().len(), 16);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}
