//! What can go wrong in the archive, one variant per thing the caller does next.
//!
//! `Display` says what happened and why; [`ArchiveError::help`] says what to type next. Paths are shown as the
//! caller gave them. No variant can carry a secret: the archive never sees one.

use std::io;
use std::path::{Path, PathBuf};

use super::salvage::Salvageable;

/// Every error of the archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The folder holds no `vault.db`, or one that another program made. The program exits 10.
    #[error("no vault in {}: it holds no vault.db of chatvault", path.display())]
    NotAVault {
        /// The folder that was looked at.
        path: PathBuf,
    },
    /// The folder holds archived files, but its `vault.db` is gone.
    #[error("the ledger of {} is lost: files/ holds archived files, and there is no vault.db", path.display())]
    LedgerLost {
        /// The folder that was looked at.
        path: PathBuf,
    },
    /// `create` was asked for a folder that is a vault already.
    #[error("{} is a vault already", path.display())]
    AlreadyAVault {
        /// The vault.
        path: PathBuf,
    },
    /// `create` was asked for a folder that holds something else.
    #[error("{} is not empty: it holds {found:?}, which is not part of a new vault", path.display())]
    FolderNotEmpty {
        /// The folder.
        path: PathBuf,
        /// The first foreign entry found in it.
        found: String,
    },
    /// Another process writes to this vault. The program exits 11.
    #[error("the vault {} is locked by {}", path.display(), holder(*pid))]
    Locked {
        /// The vault.
        path: PathBuf,
        /// Process id written in `vault.lock`; `None` when it could not be read (Windows hides a locked file's bytes).
        pid: Option<u32>,
        /// When that process took the lock, epoch milliseconds.
        since_ms: Option<i64>,
    },
    /// A stream or file name that must not become a path.
    #[error("the name {} is refused: {reason}", shown(name))]
    UnsafeName {
        /// The name as it came.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A window whose end is not after its start, or that lies outside the years 1970 to 9999.
    #[error("the window {start_ms}..{end_ms} (epoch milliseconds) is refused: {reason}")]
    BadWindow {
        /// Start, epoch milliseconds.
        start_ms: i64,
        /// End, epoch milliseconds, exclusive.
        end_ms: i64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file system is full. Nothing was half-published.
    #[error("the disk is full: {} could not be written{}", path.display(), wanted(*needed))]
    DiskFull {
        /// The file that did not fit.
        path: PathBuf,
        /// Bytes that were to be written, where known.
        needed: Option<u64>,
    },
    /// A change was asked of a vault that was opened read-only, or that lies on a read-only file system.
    #[error("{} cannot be changed: it was opened read-only, or its file system is read-only", path.display())]
    ReadOnly {
        /// The vault or file.
        path: PathBuf,
    },
    /// The operating system refused access.
    #[error("permission denied: {}", path.display())]
    PermissionDenied {
        /// The file or folder.
        path: PathBuf,
    },
    /// The bytes did not pass the checks. They are kept under `quarantine/` and the event is in the audit chain.
    #[error("{stream}: {} is damaged ({reason}); its {size_bytes} bytes are kept as {quarantined_as}", shown(name))]
    Damaged {
        /// Stream of the file.
        stream: String,
        /// Name of the file as listed.
        name: String,
        /// Where the bytes are now: path relative to the vault, starting with `quarantine/`.
        quarantined_as: String,
        /// What is wrong with them.
        reason: String,
        /// Bytes received.
        size_bytes: u64,
        /// What can be saved of them: hand it to [`Archive::salvage`](super::Archive::salvage).
        salvageable: Option<Box<Salvageable>>,
    },
    /// A published file holds other bytes than were archived. Nothing of it was used. The program exits 9.
    #[error(
        "{path} is not as it was archived: its SHA-256 differs, so nothing of it is used; `chatvault verify` and `chatvault repair` deal with it"
    )]
    Altered {
        /// The file, relative to the vault.
        path: String,
    },
    /// A draft whose writing failed was handed to `publish` all the same. Its temp file is gone.
    #[error("{stream}: {} was not stored: writing it failed half-way", shown(name))]
    BrokenDraft {
        /// Stream of the file.
        stream: String,
        /// Name of the file.
        name: String,
    },
    /// SQLite reported a problem with `vault.db`.
    #[error("the ledger {} failed: {source}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// The ledger holds something that this program never writes.
    #[error("the ledger {} is inconsistent: {what}", path.display())]
    LedgerDamaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Any other input or output error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's own words.
        source: io::Error,
    },
    /// The vault was made by a newer program.
    #[error("{} has vault format {found}; this program knows formats up to {known}", path.display())]
    NewerFormat {
        /// The database file.
        path: PathBuf,
        /// Format found.
        found: i64,
        /// Newest format this program reads.
        known: i64,
    },
}

impl ArchiveError {
    /// Sorts an input or output error on `path` by what the caller can do about it.
    /// `needed` is the number of bytes that were to be written, where known.
    pub fn from_io(path: &Path, needed: Option<u64>, source: io::Error) -> ArchiveError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ArchiveError::DiskFull { path, needed },
            io::ErrorKind::PermissionDenied => ArchiveError::PermissionDenied { path },
            io::ErrorKind::ReadOnlyFilesystem => ArchiveError::ReadOnly { path },
            _ => ArchiveError::Io { path, source },
        }
    }

    /// Sorts an SQLite error on the database `path` by what the caller can do about it.
    pub(crate) fn from_database(path: &Path, source: rusqlite::Error) -> ArchiveError {
        use rusqlite::ErrorCode;
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => ArchiveError::DiskFull { path, needed: None },
            Some(ErrorCode::ReadOnly) => ArchiveError::ReadOnly { path },
            Some(ErrorCode::PermissionDenied) => ArchiveError::PermissionDenied { path },
            _ => ArchiveError::Database { path, source },
        }
    }

    /// What to do next, as one sentence for a hint line; names the command to type where there is one.
    pub fn help(&self) -> String {
        match self {
            ArchiveError::NotAVault { path } => format!(
                "make one with `chatvault init {} --account ID`, or name another folder with --vault",
                path.display()
            ),
            ArchiveError::LedgerLost { path } => format!(
                "put vault.db back from a backup; without one, `chatvault --vault {} repair` says what can be rebuilt from files/",
                path.display()
            ),
            ArchiveError::AlreadyAVault { path } => {
                format!("use it as it is: `chatvault --vault {} sync`", path.display())
            }
            ArchiveError::FolderNotEmpty { path, .. } => format!(
                "name a new or an empty folder, for example `chatvault init {}`",
                path.join("vault").display()
            ),
            ArchiveError::Locked { .. } => {
                "wait until it has finished, or stop it; the lock goes when that process ends, so nothing needs deleting"
                    .to_owned()
            }
            ArchiveError::UnsafeName { .. } => {
                "nothing was stored under it; if the name came from LivePerson, keep the listing and report it".to_owned()
            }
            ArchiveError::BadWindow { .. } => "give a range whose end is after its start".to_owned(),
            ArchiveError::DiskFull { .. } => {
                "free some space and run the same command again; it goes on where it stopped".to_owned()
            }
            ArchiveError::ReadOnly { .. } => "run the command on a writable copy of the vault".to_owned(),
            ArchiveError::PermissionDenied { path } => format!(
                "run as the user who owns {}, or correct its permissions",
                path.display()
            ),
            ArchiveError::Damaged { .. } => {
                "run `chatvault sync` again: the file is fetched anew while LivePerson still has it".to_owned()
            }
            ArchiveError::Altered { .. } => {
                "run `chatvault verify`; `chatvault repair` says what can be mended, and `chatvault import COPY` puts the bytes back"
                    .to_owned()
            }
            ArchiveError::BrokenDraft { .. } => "run the same command again".to_owned(),
            ArchiveError::Database { .. } | ArchiveError::LedgerDamaged { .. } => {
                "put vault.db back from a backup; without one, `chatvault repair` says what can be rebuilt. The files themselves lie \
                 untouched under files/"
                    .to_owned()
            }
            ArchiveError::Io { source, .. } if source.kind() == io::ErrorKind::CrossesDevices => {
                "files/, tmp/ and quarantine/ must lie on one file system: remove the link or the mount".to_owned()
            }
            ArchiveError::Io { .. } => "check the disk and its mount, then run the same command again".to_owned(),
            ArchiveError::NewerFormat { .. } => "use the newer chatvault that made this vault".to_owned(),
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

fn wanted(needed: Option<u64>) -> String {
    needed.map(|bytes| format!(" ({bytes} bytes)")).unwrap_or_default()
}

/// A name from outside, safe to print: quoted, control characters escaped, at most 80 characters.
fn shown(name: &str) -> String {
    const LONGEST: usize = 80;
    if name.chars().count() <= LONGEST {
        return format!("{name:?}");
    }
    let head: String = name.chars().take(LONGEST).collect();
    format!("{head:?}… ({} bytes)", name.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_to_do_next() {
        let path = Path::new("v/tmp/x");
        let full = ArchiveError::from_io(path, Some(7), io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.to_string(), "the disk is full: v/tmp/x could not be written (7 bytes)");
        assert!(full.help().contains("free some space"));
        let denied = ArchiveError::from_io(path, None, io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(matches!(denied, ArchiveError::PermissionDenied { .. }));
    }

    #[test]
    fn a_long_or_hostile_name_is_shown_short_and_escaped() {
        let error = ArchiveError::UnsafeName { name: "\u{1b}[31m".repeat(1000), reason: "control".into() };
        let text = error.to_string();
        assert!(text.len() < 1000, "{}", text.len());
        assert!(!text.contains('\u{1b}'));
    }
}
