//! The wiring: how stages are put together into sync, import, reindexing and export. Each run is one readable function.
//!
//! * Takes: an archive open for writing, settings, a callback for progress.
//! * Gives: files in the archive, conversations in the index, and a report of both.
//! * Promises: the archive comes first; an index that failed or fell behind is brought up from the archive next time.
//! * Never: indexes a byte that is not published, or keeps more in memory than its bounded queues.
//! * Start reading at: [`sync`], [`import`], [`bring_up`], [`repair::repair`].

mod activity;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod agreement_tests;
mod bag_export;
mod bag_import;
mod bag_ledger;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod crash_tests;
mod diagnosis;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod exactness_tests;
mod importing;
mod index_report;
mod indexing;
mod masks;
mod notes;
mod options;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod paging_tests;
mod prove;
mod raw_scan;
pub mod repair;
mod saved;
mod schemas;
mod series;
mod series_agents;
mod series_drill;
mod series_export;
mod series_table;
mod watching;

pub use activity::{AGENT_ACTIVITY, ActivityOptions, ActivitySummary, AgentTimes, StateTimes, agent_activity};
pub use bag_export::{BagExport, BagExportError, BagRequest, BagSelection, export_bag};
pub use bag_import::{BagReport, RefusedBag};
pub use importing::{ImportProblem, ImportReport, ImportedKind, Recognised, recognise_paths};
pub use index_report::{EncryptedCounts, FileProblems, IndexReport, SalvageCounts, StreamCounts};
pub use masks::{MaskedRevision, masked_revisions};
pub use options::{DEFAULT_MEMORY_BYTES, LEAST_MEMORY_BYTES, RunOptions};
pub use prove::{Difference, Proof, ProveError, Side, prove};
pub use raw_scan::{ScanCounts, ScanOptions, UnreadFile};
pub use saved::{SAVED_SEARCHES, SavedFileError, change_saved_searches, saved_searches};
pub use series::{
    AnswerPlace, CallReport, Hole, OPERATIONS, SeriesFilter, SeriesOptions, SeriesPoint, SeriesReport, SeriesSink,
    SeriesSpan, series,
};
pub use series_agents::{AgentHistory, AgentsView};
pub use series_drill::{Among, DrillCall, DrillFigure, DrillQuery, drill_down};
pub use series_export::{SeriesExport, SeriesExportError, SeriesFormat, export_series};
pub use series_table::{
    Bucketing, CallTable, Figure as TableFigure, MetricRow, Rule, SeriesTable, Step as TableStep, TableError,
};
pub use watching::{Paces, Round, watch};

use crate::acquire::{self, AcquireError, AcquireReport, AcquireSettings, Cancel, ProgressSink};
use crate::archive::{Archive, ArchiveError, ArchivedFile};
use crate::index::{IndexError, Reader, Writer};
use indexing::IndexRun;
use std::path::{Path, PathBuf};

/// Progress of a run, for a display. Called from several threads.
#[derive(Clone, Debug)]
pub enum Step {
    /// A number of files is ahead.
    Ahead {
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A file went into the archive, or was there already.
    Archived {
        /// Size, bytes.
        bytes: u64,
    },
    /// A file went into the index.
    Indexed {
        /// Size on disk, bytes.
        bytes: u64,
        /// Conversation records in it.
        conversations: u64,
    },
    /// A piece of an archived file was copied out of the vault.
    Copied {
        /// Its bytes.
        bytes: u64,
    },
    /// A piece of a bag's payload was read and hashed.
    Validated {
        /// Its bytes.
        bytes: u64,
    },
    /// The index is being written out.
    Committing,
}

/// Receives progress.
pub type Watcher<'w> = &'w (dyn Fn(Step) + Sync);

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The archive refuses.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The index refuses. The archive is whole; the index can be brought up later.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// LivePerson cannot be asked.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
}

/// Folder of the index of a vault.
pub fn index_home(vault: &Path) -> PathBuf {
    vault.join("index")
}

/// What a sync did.
#[derive(Debug, Default)]
pub struct SyncReport {
    /// Archive side.
    pub acquired: AcquireReport,
    /// Index side.
    pub indexed: IndexReport,
    /// Why the index could not be brought up. The archive side is whole all the same.
    pub index_failure: Option<RunError>,
}

/// LivePerson → archive → index. Files are indexed while others are still being downloaded; the schemas that their records name
/// come behind them.
///
/// The archive comes first: whatever is wrong with the index, everything new is archived, because LivePerson deletes it.
///
/// # Errors
/// Only what kept the archive side from beginning; everything else is in the report.
pub fn sync(
    runtime: &tokio::runtime::Runtime,
    settings: &AcquireSettings,
    archive: &Archive,
    options: RunOptions,
    acquire_progress: ProgressSink,
    watcher: Watcher<'_>,
    cancel: Cancel,
) -> Result<SyncReport, RunError> {
    // Rows only, and room for a month of them: a slow indexer must not hold up a download.
    let (published, mut arriving) = tokio::sync::mpsc::channel::<ArchivedFile>(1 << 16);
    let (later, more_progress, end) = (options.clone(), acquire_progress.clone(), cancel.clone());
    let (acquired, indexed) = std::thread::scope(|scope| {
        // The receiver moves into the thread: an indexer that fails drops it, and downloads go on without one.
        let indexing = scope.spawn(move || -> Result<IndexReport, RunError> {
            let mut run = IndexRun::start(archive, options, watcher)?;
            // What an earlier run archived but did not index goes first: it is on disk already.
            run.catch_up()?;
            run.index_stream(std::iter::from_fn(|| arriving.blocking_recv()))?;
            run.catch_up()?;
            run.finish()
        });
        let acquired = runtime.block_on(acquire::sync(settings, archive.clone(), acquire_progress, published, cancel));
        (acquired, indexing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let acquired = acquired?;
    let mut report = match indexed {
        Ok(indexed) => SyncReport { acquired, indexed, index_failure: None },
        Err(failure) => SyncReport { acquired, indexed: IndexReport::default(), index_failure: Some(failure) },
    };
    schemas::fetch(runtime, settings, archive, later, more_progress, watcher, end, &mut report);
    Ok(report)
}

/// Files and folders already on disk → archive → index.
///
/// # Errors
/// A failing archive or index. A file that cannot be taken is in the report, and stops no other.
pub fn import(
    archive: &Archive,
    paths: &[PathBuf],
    options: RunOptions,
    watcher: Watcher<'_>,
) -> Result<(ImportReport, IndexReport), RunError> {
    let found = importing::find(paths);
    watcher(Step::Ahead { files: found.files.len() as u64, bytes: found.bytes() });
    let mut run = IndexRun::start(archive, options, watcher)?;
    run.catch_up()?;
    let report = importing::import_all(archive, found, &mut run, watcher)?;
    Ok((report, run.finish()?))
}

/// Archive → index: everything that the index does not hold yet.
///
/// # Errors
/// A failing archive or index.
pub fn bring_up(archive: &Archive, options: RunOptions, watcher: Watcher<'_>) -> Result<IndexReport, RunError> {
    let mut run = IndexRun::start(archive, options, watcher)?;
    run.catch_up()?;
    run.finish()
}

/// Archive → a new index, made aside and put in the place of the old one when it is complete.
///
/// # Errors
/// A failing archive or index. The old index stays in use then.
pub fn rebuild(archive: &Archive, options: RunOptions, watcher: Watcher<'_>) -> Result<IndexReport, RunError> {
    let writer = Writer::rebuild(&index_home(archive.root()), archive.disk(), options.writer)?;
    let mut run = IndexRun::with_writer(archive, writer, options, watcher)?;
    run.catch_up()?;
    run.finish()
}

/// How far the index covers the archive, counted on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Conversation records that decoding found in the archive's files.
    pub archived_records: u64,
    /// Conversation records that the index's documents account for.
    pub indexed_records: u64,
    /// Files that the index has not seen yet.
    pub files_behind: u64,
    /// Records and files of the archive that could not be read, so that no search finds them.
    pub unreadable: u64,
    /// Records that no key at hand has opened, or not wholly: they are found by what was not encrypted.
    pub encrypted: u64,
    /// Records in the index whose version no check sum speaks for: they were salvaged from damaged files.
    pub unproven: u64,
    /// Names of the source whose bytes came damaged and never whole, or are gone.
    pub damaged_names: u64,
    /// Both counts agree, no file is behind, nothing was unreadable, nothing waits for a key, nothing is unproven, and no name
    /// is known to be damaged.
    pub complete: bool,
}

impl Coverage {
    /// Whether the index holds everything that could be read.
    pub fn index_is_up(&self) -> bool {
        self.files_behind == 0 && self.archived_records == self.indexed_records
    }
}

/// Counts both sides.
///
/// # Errors
/// A failing archive or index.
pub fn coverage(archive: &Archive, reader: &Reader) -> Result<Coverage, RunError> {
    let contents = archive.contents_total()?;
    let (archived_records, unreadable) = (contents.conversations, contents.problems);
    let indexed_records = reader.record_count()?;
    let files_behind = archive.last_sequence()?.saturating_sub(reader.checkpoint().sequence);
    let agrees = files_behind == 0 && archived_records == indexed_records && reader.checkpoint().merged;
    let encrypted = archive.encrypted_files()?.iter().map(|file| file.records).sum();
    let unproven = reader.unproven_count()?;
    let damaged_names = archive.names_never_whole()?.len() as u64;
    let complete = agrees && unreadable == 0 && encrypted == 0 && unproven == 0 && damaged_names == 0;
    Ok(Coverage {
        archived_records,
        indexed_records,
        files_behind,
        unreadable,
        encrypted,
        unproven,
        damaged_names,
        complete,
    })
}
