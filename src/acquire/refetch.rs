//! Files that the archive has lost, asked for again by name.
//!
//! The same way as a sync, only narrower: the hours in which the names lie are listed, so that the address is LivePerson's own
//! word of today, and those names alone are downloaded. Whether the bytes are the lost ones is the archive's to find out:
//! the same bytes go back to their place, others become a new version.

use tokio::sync::mpsc;

use crate::archive::{Archive, ArchivedFile, CoverageRules, Window};

use super::data_access::{DataType, RETENTION};
use super::error::AcquireError;
use super::plan;
use super::report::{AcquireReport, Cancel, ProgressSink};
use super::settings::{AcquireSettings, StreamChoice, StreamMode};
use super::{Scope, run};

/// A published file whose bytes are gone or damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostFile {
    /// Stream, such as `data-access/engagement`.
    pub stream: String,
    /// Name as listed.
    pub name: String,
    /// Its window; without one nobody knows where to look.
    pub window: Window,
}

impl LostFile {
    /// The file, if LivePerson may still have it: it belongs to an API that we can ask, and is not past its retention.
    pub fn of(file: &ArchivedFile, now_ms: i64) -> Option<LostFile> {
        let window = file.window?;
        DataType::of_stream(&file.stream)?;
        (expires_ms(window) > now_ms).then(|| LostFile { stream: file.stream.clone(), name: file.name.clone(), window })
    }
}

/// When LivePerson deletes a file of this window at the earliest, epoch milliseconds.
pub fn expires_ms(window: Window) -> i64 {
    window.end_ms.saturating_add(i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX))
}

/// Fetches `lost` again, as far as LivePerson still lists them. Names that the ledger does not hold for lost (see
/// [`Archive::note_condition`]) are not downloaded.
///
/// # Errors
/// As [`sync`](super::sync).
pub async fn refetch(
    settings: &AcquireSettings,
    archive: Archive,
    lost: &[LostFile],
    progress: ProgressSink,
    published: mpsc::Sender<ArchivedFile>,
    cancel: Cancel,
) -> Result<AcquireReport, AcquireError> {
    // What is wanted back is asked for whether its stream is switched on or not.
    let has = |data_type: &DataType| lost.iter().any(|file| file.stream == data_type.stream());
    let streams = DataType::ALL.into_iter().filter(has);
    let streams = streams.map(|data_type| StreamChoice { data_type, mode: StreamMode::On }).collect();
    let settings = AcquireSettings { streams, operations: Vec::new(), ..settings.clone() };
    run(&settings, archive, Scope::Only(lost), progress, published, cancel).await
}

/// The range in which the lost files of a stream can lie, and the listing calls that show them.
pub(super) fn calls(
    lost: &[LostFile],
    settings: &AcquireSettings,
    stream: &str,
    rules: &CoverageRules,
) -> (Window, Vec<Window>) {
    let all = Window { start_ms: i64::MIN, end_ms: rules.now_ms };
    let wanted = plan::wanted(rules.now_ms, all, rules.retention);
    let hours: Vec<Window> = lost.iter().filter(|file| file.stream == stream).map(|file| file.window).collect();
    (wanted, settings.listing.calls_for(wanted, &hours))
}
