//! Why a measurement failed. A failed stage ends the benchmark: a table with holes would be compared as if it were whole.

use crate::archive::ArchiveError;
use crate::index::IndexError;
use crate::pipeline::RunError;
use crate::search::SearchError;
use std::path::{Path, PathBuf};

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The archive of the scratch folder refuses.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The index of the scratch folder refuses.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A run refuses.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A query cannot be answered.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// Tantivy refuses.
    #[error("the index library: {0}")]
    Tantivy(#[from] tantivy::TantivyError),
    /// The process that a stage ran in failed, or said something else than was asked.
    #[error("{0}")]
    Process(String),
    /// Nothing is left to measure.
    #[error("no LivePerson records: none of these files holds a conversation that can be measured")]
    Nothing,
    /// The benchmark would fill the disk.
    #[error("the benchmark needs about {} MB in {}, and {} MB are free there", needed_bytes / 1_000_000, folder.display(), free_bytes / 1_000_000)]
    NoRoom {
        /// Where it would write.
        folder: PathBuf,
        /// What it would write, bytes.
        needed_bytes: u64,
        /// What is free, bytes.
        free_bytes: u64,
    },
    /// Somebody ended it.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> BenchError {
        let path = path.to_owned();
        move |source| BenchError::File { path, source }
    }
}
