//! Errors and exit codes: the only place where one becomes the other.
//!
//! An error tells what happened and why, and a hint tells the next command to type.

use chatvault::acquire::AcquireError;
use chatvault::archive::ArchiveError;
use chatvault::bag::BagError;
use chatvault::index::IndexError;
use chatvault::pipeline::{BagExportError, ProveError, RunError, SavedFileError};
use chatvault::search::saved::SavedError;
use chatvault::search::{CursorError, SearchError};
use std::fmt;

/// The exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Complete.
    Complete = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage, bad query, bad configuration.
    Usage = 2,
    /// Finished, but some items failed.
    SomeFailed = 3,
    /// Temporary: try again.
    Temporary = 5,
    /// Not authorised.
    Unauthorised = 6,
    /// Gave up on rate limits.
    RateLimits = 7,
    /// Hours are missing, damaged or not fetched.
    Gaps = 8,
    /// Verification failed.
    NotVerified = 9,
    /// No vault here.
    NoVault = 10,
    /// Vault locked by another process.
    Locked = 11,
    /// A PGP key is missing, wrong or locked; everything else was done.
    Key = 12,
    /// Interrupted; state saved.
    Interrupted = 130,
    /// Whoever read our output went away, as `head` does: what a program killed by SIGPIPE ends with.
    ReaderGone = 141,
}

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), hints: Vec::new() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Failure {
        Failure::new(of_archive(&error), error.to_string()).hint(error.help())
    }
}

fn of_archive(error: &ArchiveError) -> Exit {
    match error {
        ArchiveError::NotAVault { .. } => Exit::NoVault,
        ArchiveError::LedgerLost { .. } | ArchiveError::Altered { .. } => Exit::NotVerified,
        ArchiveError::Locked { .. } => Exit::Locked,
        ArchiveError::AlreadyAVault { .. } | ArchiveError::FolderNotEmpty { .. } | ArchiveError::BadWindow { .. } => {
            Exit::Usage
        }
        _ => Exit::Failed,
    }
}

/// The exit code of a run that acquire ended.
pub(crate) fn of_acquire(error: &AcquireError) -> Exit {
    match error {
        AcquireError::Configuration(_) | AcquireError::NoApiKey { .. } => Exit::Usage,
        AcquireError::Unauthorized { .. } | AcquireError::Forbidden { .. } => Exit::Unauthorised,
        AcquireError::RateLimited { .. } => Exit::RateLimits,
        AcquireError::Unavailable { .. } => Exit::Temporary,
        AcquireError::Archive(error) => of_archive(error),
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Failure {
        let failure = Failure::new(Exit::Failed, error.to_string());
        match error {
            IndexError::Io(ref error) if error.kind() == std::io::ErrorKind::StorageFull => {
                failure.hint("what was archived is safe; free some space and run `chatvault index`")
            }
            IndexError::Io(_) => failure.hint("what was archived is safe; mend this and run `chatvault index`"),
            _ => failure,
        }
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Failure {
        let exit = of_acquire(&error);
        let hints = error.hints();
        match error {
            AcquireError::Archive(error) => error.into(),
            error => Failure { exit, message: error.to_string(), hints },
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        match error {
            RunError::Archive(error) => error.into(),
            RunError::Index(error) => error.into(),
            RunError::Acquire(error) => error.into(),
        }
    }
}

impl From<BagError> for Failure {
    fn from(error: BagError) -> Failure {
        let message = error.to_string();
        match error {
            BagError::Taken { .. } => Failure::usage(message).hint("name another folder with --out"),
            BagError::Interrupted => Failure::new(Exit::Interrupted, message).hint("run the same command again"),
            BagError::DiskFull { .. } => {
                Failure::new(Exit::Failed, message).hint("free some space, or name a folder on another disk with --out")
            }
            _ => Failure::new(Exit::Failed, message).hint("check the folder that --out names, and its disk"),
        }
    }
}

impl From<BagExportError> for Failure {
    fn from(error: BagExportError) -> Failure {
        match error {
            BagExportError::Bag(error) => error.into(),
            BagExportError::Archive(error) => error.into(),
            BagExportError::Index(error) => error.into(),
            BagExportError::Nothing(_) => Failure::new(Exit::Failed, error.to_string())
                .hint("no bag was made; see `chatvault search QUERY --count`"),
            BagExportError::Damaged(_) => {
                Failure::new(Exit::NotVerified, error.to_string()).hint("run `chatvault verify`")
            }
        }
    }
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Failure {
        match error {
            SearchError::Query(error) => Failure::usage(error.to_string()),
            SearchError::Cursor(error) => error.into(),
            SearchError::Index(error) => error.into(),
        }
    }
}

impl From<SavedFileError> for Failure {
    fn from(error: SavedFileError) -> Failure {
        let message = error.to_string();
        let error = match error {
            SavedFileError::Io { .. } => return Failure::new(Exit::Failed, message),
            // What was asked for says enough; the file is no part of it.
            SavedFileError::Saved { error, .. } => error,
        };
        match error {
            SavedError::Unknown(_) => Failure::usage(error.to_string()).hint("`chatvault saved` lists them"),
            SavedError::Taken(_) => Failure::usage(error.to_string()).hint("--replace takes its place"),
            SavedError::BadName(_) => Failure::usage(error.to_string()),
            SavedError::InUse { .. } => Failure::usage(error.to_string()).hint("remove or replace these first"),
            SavedError::Query(error) => error.into(),
            SavedError::NotRemovable(_) => Failure::usage(message),
            SavedError::LaterFormat(_) => Failure::usage(message).hint("use the program that wrote it, or a later one"),
            SavedError::Malformed(_) => Failure::usage(message).hint("mend it by hand, or move it away"),
        }
    }
}

impl From<CursorError> for Failure {
    fn from(error: CursorError) -> Failure {
        let hint = "run the query without --after for its first page; each page tells the cursor of the next";
        Failure::usage(error.to_string()).hint(hint)
    }
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Failure {
        match error {
            ProveError::Run(error) => error.into(),
            ProveError::Search(error) => error.into(),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            super::stdout::end(&error);
        }
        Failure::new(Exit::Failed, error.to_string())
    }
}

impl From<chatvault::search::complaint::QueryError> for Failure {
    fn from(error: chatvault::search::complaint::QueryError) -> Failure {
        Failure::usage(error.to_string())
    }
}
