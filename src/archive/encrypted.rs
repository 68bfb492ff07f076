//! What the ledger remembers of files that wait for keys.

use super::entry::EncryptedFile;
use super::{Archive, ArchiveError};

impl Archive {
    /// Records that a file waits for keys.
    ///
    /// # Errors
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors (also for a sequence that does not exist).
    pub fn record_encrypted(&self, file: &EncryptedFile) -> Result<(), ArchiveError> {
        self.writer()?.set_encrypted(file)
    }

    /// Records that files wait for keys no longer.
    ///
    /// # Errors
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors.
    pub fn forget_encrypted(&self, sequences: &[u64]) -> Result<(), ArchiveError> {
        self.writer()?.remove_encrypted(sequences)
    }

    /// The files that wait for keys, ascending.
    pub fn encrypted_files(&self) -> Result<Vec<EncryptedFile>, ArchiveError> {
        self.ledger().encrypted_files()
    }
}
