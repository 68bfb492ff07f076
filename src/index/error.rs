//! What can go wrong with the index, by what the caller does next.

use std::path::PathBuf;

/// Errors of the index. The archive is never at risk: whatever happens here, `chatvault index --rebuild` mends it.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is no index yet.
    #[error("there is no index at {}; run `chatvault index`", .0.display())]
    Missing(PathBuf),
    /// The index was written by another version of the program.
    #[error("the index has format {found}, this program writes {known}; run `chatvault index --rebuild`")]
    OtherVersion {
        /// Format found in the index.
        found: u32,
        /// Format of this program.
        known: u32,
    },
    /// The files of the index are damaged.
    #[error("the index is damaged ({0}); run `chatvault index --rebuild`")]
    Damaged(String),
    /// The disk is full or refuses.
    #[error("cannot write the index: {0}")]
    Io(#[from] std::io::Error),
    /// Anything tantivy reports that is none of the above.
    #[error("the search engine failed: {0}; if it stays, run `chatvault index --rebuild`")]
    Engine(tantivy::TantivyError),
}

impl From<tantivy::TantivyError> for IndexError {
    fn from(error: tantivy::TantivyError) -> IndexError {
        use tantivy::TantivyError::{DataCorruption, IncompatibleIndex, IoError};
        match error {
            IoError(error) => IndexError::Io(std::io::Error::new(error.kind(), error.to_string())),
            DataCorruption(corruption) => IndexError::Damaged(format!("{corruption:?}")),
            IncompatibleIndex(reason) => IndexError::Damaged(format!("{reason:?}")),
            other => IndexError::Engine(other),
        }
    }
}
