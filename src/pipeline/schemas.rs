//! The schemas that a sync lacks: fetched behind the files whose records name them.
//!
//! Reading the files shows which versions there are, and writes them into the ledger; acquiring knows no records, and finds them there.

use super::options::RunOptions;
use super::{SyncReport, Watcher, bring_up};
use crate::acquire::{self, AcquireSettings, Cancel, DataType, ProgressSink};
use crate::archive::{Archive, SCHEMA_STREAM};

/// Asks for what is due, if the run before came to an answer of the API.
#[allow(clippy::too_many_arguments)] // those of `sync`, and its report
pub(super) fn fetch(
    runtime: &tokio::runtime::Runtime,
    settings: &AcquireSettings,
    archive: &Archive,
    options: RunOptions,
    acquire_progress: ProgressSink,
    watcher: Watcher<'_>,
    cancel: Cancel,
    report: &mut SyncReport,
) {
    let mut streams = report.acquired.streams.iter();
    let answered = streams.any(|(name, stream)| DataType::of_stream(name).is_some() && stream.listing_calls > 0);
    let is_over = report.acquired.interrupted || report.acquired.stopped.is_some() || report.index_failure.is_some();
    if !answered || is_over {
        return;
    }
    match runtime.block_on(acquire::schemas(settings, archive, acquire_progress, cancel)) {
        Ok(None) => {}
        Ok(Some(found)) => {
            let is_new = found.stream.downloaded > 0;
            report.acquired.requests += found.requests;
            report.acquired.interrupted |= found.interrupted;
            report.acquired.streams.insert(SCHEMA_STREAM.to_owned(), found.stream);
            // Schemas hold nothing to be found, but the index must say that it has seen them.
            let options = RunOptions { is_later_round: true, ..options };
            if is_new && let Err(failure) = bring_up(archive, options, watcher) {
                report.index_failure = Some(failure);
            }
        }
        Err(error) => report.acquired.stopped = Some(error),
    }
}
