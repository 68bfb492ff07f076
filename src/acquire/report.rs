//! What a run tells: events while it goes on, a report at its end, and how it is interrupted.
//!
//! Reports are counted per stream; every failure stands in `problems` with its name, reason and attempts, so that
//! nothing is logged and forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::archive::{Window, WindowCounts};

use super::domain::DomainCheck;
use super::error::{AcquireError, Problem};

/// Receives events; called from several tasks, must return quickly.
pub type ProgressSink = Arc<dyn Fn(AcquireEvent) + Send + Sync>;

/// Something that a progress display may want to show.
#[derive(Clone, PartialEq, Debug)]
pub enum AcquireEvent {
    /// One listing call has been answered.
    Listed {
        /// Stream.
        stream: String,
        /// The window that was asked for.
        asked: Window,
        /// Files of this stream listed so far, before duplicates are removed.
        files: u64,
        /// Calls of this stream done so far, failed ones included.
        done: usize,
        /// Calls of this stream in all.
        of: usize,
    },
    /// All listing calls are done; downloads begin.
    Planned {
        /// Files to fetch, over all streams.
        fetch: u64,
        /// Files that the archive holds already.
        already: u64,
        /// Bytes to come, guessed from the mean size of the archive's files; `None` where nothing is known.
        estimated_bytes: Option<u64>,
    },
    /// A download began.
    Started {
        /// Stream.
        stream: String,
        /// File name.
        name: String,
        /// `Content-Length`, if it came.
        expected_bytes: Option<u64>,
    },
    /// Bytes of a download came in; bytes of a failed attempt are counted too.
    Received {
        /// How many since the last event.
        bytes: u64,
    },
    /// A file was published, or proved to be there.
    Finished {
        /// Stream.
        stream: String,
        /// File name.
        name: String,
        /// Size.
        bytes: u64,
    },
    /// An item was given up or refused.
    Failed(Problem),
    /// A call failed and will be made again.
    Waiting {
        /// File name or window.
        name: String,
        /// Why.
        reason: String,
        /// How long.
        pause: Duration,
        /// Calls made so far for this item.
        attempts: u32,
    },
    /// A peculiarity that stops nothing, such as a clock that is off.
    Remark(String),
}

/// What a run did.
#[derive(Debug, Default)]
pub struct AcquireReport {
    /// Per stream, by name.
    pub streams: BTreeMap<String, StreamReport>,
    /// The user interrupted; what was published stays, the rest comes with the next run.
    pub interrupted: bool,
    /// Why the run ended before its work was done, after it had begun. The caller derives the exit code from it.
    pub stopped: Option<AcquireError>,
    /// Requests sent, redirects and retries included.
    pub requests: u64,
    /// The server's clock minus ours, milliseconds, as last seen (whole seconds).
    pub clock_offset_ms: Option<i64>,
    /// What the Domain API said about the account.
    pub domain: DomainCheck,
}

impl AcquireReport {
    /// Figures that this run found lost, seconds over all methods.
    pub fn lost_s(&self) -> i64 {
        let lost = self.streams.values().flat_map(|stream| &stream.lost);
        lost.map(|lost| (lost.window.end_ms - lost.window.start_ms) / 1000).sum()
    }

    /// Nothing failed, nothing was refused, nothing was left undone.
    pub fn is_complete(&self) -> bool {
        !self.interrupted
            && self.stopped.is_none()
            && self.streams.values().all(|stream| stream.failed == 0 && stream.refused == 0)
    }
}

/// What happened to one stream.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StreamReport {
    /// Distinct files that the listings named (refused entries are not among them).
    pub listed: u64,
    /// Files published in this run.
    pub downloaded: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, files that had been published before, and were gone or damaged: their bytes were put back.
    pub restored: u64,
    /// Listed files that the archive held.
    pub already: u64,
    /// Files and listing calls that failed.
    pub failed: u64,
    /// Damaged files of which a part could be read, newly in this run; they count as failed too.
    pub salvaged: u64,
    /// Entries that were refused and never fetched.
    pub refused: u64,
    /// Listing calls that were answered, empty ones included.
    pub listing_calls: u64,
    /// True for an `auto` stream that the keys may not read: nothing was asked further, and it is no failure.
    pub skipped: bool,
    /// Figures that LivePerson had forgotten before this run asked for them. No failure of this run: nobody can bring them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostFigures>,
    /// One entry per failed or refused item.
    pub problems: Vec<Problem>,
}

/// Figures of operations that nobody asked for in the 24 hours for which LivePerson has them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LostFigures {
    /// The method, such as `queuehealth`.
    pub call: &'static str,
    /// The time that they were about.
    pub window: Window,
}

impl StreamReport {
    pub(super) fn note(&mut self, problem: Problem) {
        use super::error::ProblemKind::{RefusedHost, RefusedName};
        let never_fetched = problem.attempts == 0 && matches!(problem.kind, RefusedHost | RefusedName);
        if never_fetched {
            self.refused += 1
        } else {
            self.failed += 1
        }
        self.problems.push(problem);
    }
}

/// What a sync would do.
#[derive(Debug, Default)]
pub struct PlanReport {
    /// Per stream, by name.
    pub streams: BTreeMap<String, StreamPlan>,
    /// The user interrupted the listing.
    pub interrupted: bool,
    /// Why not everything could be listed.
    pub stopped: Option<AcquireError>,
    /// What the Domain API said about the account.
    pub domain: DomainCheck,
}

/// What a sync would do for one stream.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct StreamPlan {
    /// The range that would be asked for.
    pub wanted: Option<Window>,
    /// The ledger's hours by state, as they were before the listing calls of this plan. Sealed and empty hours are
    /// listed again only in the trailing range.
    pub windows: WindowCounts,
    /// Listing calls that were made to find out, and that a sync would make too.
    pub listing_calls: u64,
    /// Files to fetch, most urgent first.
    pub fetch: Vec<PlannedFile>,
    /// Of APIs that are asked and not downloaded: what would be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<PlannedQuestion>,
    /// Figures that are lost: those that the ledger knows, and those that the next sync will find forgotten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostFigures>,
    /// Listed files that the archive holds.
    pub already: u64,
    /// Bytes to come: number of files × mean size of this stream's archived files. Listings carry no sizes, so it is
    /// `None` before the first file.
    pub estimated_bytes: Option<u64>,
    /// See [`StreamReport::skipped`].
    pub skipped: bool,
    /// Failed listing calls and refused entries.
    pub problems: Vec<Problem>,
}

/// What would be asked of an API, as the ledger and the time tell, without a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PlannedQuestion {
    /// Method, or pass of a history API.
    pub name: String,
    /// The time asked for: of starts, updates or ends of conversations, or of figures. `None` for how things are now.
    pub window: Option<Window>,
    /// The least number of calls; how many more there will be depends on how much there is.
    pub least_calls: u64,
}

/// A file that would be fetched.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PlannedFile {
    /// Name as it would be archived.
    pub name: String,
    /// Its window, if the listing tells.
    pub window: Option<Window>,
    /// When LivePerson deletes it, epoch milliseconds: the end of its window + 30 days, at the earliest.
    pub expires_at_ms: Option<i64>,
}

/// Tells a run that the user wants it to end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cancel {
    flag: watch::Receiver<bool>,
    // Keeps the channel of `never` open; an abandoned handle must not look like an interruption.
    _keep: Option<Arc<watch::Sender<bool>>>,
}

/// The other end of [`Cancel`].
#[derive(Debug)]
pub struct CancelHandle(watch::Sender<bool>);

impl CancelHandle {
    /// Interrupts all runs that hold the [`Cancel`].
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// A handle and what it interrupts.
    pub fn pair() -> (CancelHandle, Cancel) {
        let (sender, flag) = watch::channel(false);
        (CancelHandle(sender), Cancel { flag, _keep: None })
    }

    /// Never interrupts.
    pub fn never() -> Cancel {
        let (sender, flag) = watch::channel(false);
        Cancel { flag, _keep: Some(Arc::new(sender)) }
    }

    /// Whether the run is to end.
    pub fn is_cancelled(&self) -> bool {
        *self.flag.borrow()
    }

    /// Returns when the run is to end; never, if the handle was dropped without a word.
    pub async fn cancelled(&self) {
        let mut flag = self.flag.clone();
        if flag.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
