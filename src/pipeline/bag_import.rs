//! Bag → archive: validated as a whole first, then its files, with what the sender's ledger says of them.
//!
//! A bag that chatvault made brings its rows back in their old order, under their stream, name and window, with the
//! provenance of the first receipt; what is new is a hand-over. Of any other bag the files are imported like files on
//! disk. A bag with anything wrong in it gives nothing.

use super::bag_ledger::{self, BagRow};
use super::importing::{ImportReport, import_files, of_one_file, problem};
use super::indexing::IndexRun;
use super::{RunError, Step, Watcher};
use crate::archive::{
    Archive, ArchiveError, ArchivedFile, Arrival, Handover, Provenance, Published, SenderRow, Sha256Hex,
};
use crate::bag::{Invalid, Limits, ValidBag, validate};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What became of a bag.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BagReport {
    /// The folder.
    pub path: String,
    /// SHA-256 of its payload manifest; the sender's `exported` event names the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<Sha256Hex>,
    /// Its `External-Identifier`, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// Account of the vault it was made from; `None` for a bag of another program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// It is of another account than this vault; its conversations are indexed under that.
    pub other_account: bool,
    /// Files of its payload.
    pub files: u64,
    /// Files whose event nothing ties to the head of the sender's chain: it may have been made for the bag.
    pub untied: u64,
    /// Why nothing was taken from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedBag>,
}

/// Everything that is wrong with a bag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RefusedBag {
    /// The first problems, each a sentence.
    pub problems: Vec<String>,
    /// How many there are beyond them.
    pub more: u64,
}

/// Longest identifier of a bag that is kept, in characters.
const IDENTIFIER: usize = 200;

/// A valid bag that files come out of.
pub(super) struct BagOrigin<'b> {
    bag: &'b ValidBag,
    identifier: Option<String>,
}

impl<'b> BagOrigin<'b> {
    fn of(bag: &'b ValidBag) -> BagOrigin<'b> {
        let identifier = bag.label("External-Identifier").map(|text| text.chars().take(IDENTIFIER).collect());
        BagOrigin { bag, identifier }
    }

    /// The hand-over of the file at `place`.
    pub(super) fn handover(&self, place: &Path, sender: Option<SenderRow>) -> Handover {
        Handover {
            origin: format!("import:{}", place.display()),
            bag: self.bag.manifest_sha256,
            identifier: self.identifier.clone(),
            sender,
            program: concat!("chatvault ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// The hash that the file at `place` had when the bag was validated.
    pub(super) fn sha256_at(&self, place: &Path) -> Option<Sha256Hex> {
        let inside = place.strip_prefix(&self.bag.folder).ok()?;
        let parts: Option<Vec<&str>> = inside.components().map(|part| part.as_os_str().to_str()).collect();
        self.bag.payload.get(&parts?.join("/")).map(|file| file.sha256)
    }
}

/// Validates a bag and takes its files in.
///
/// # Errors
/// A failing archive or index. What is wrong with the bag or with a file of it is in the reports.
pub(super) fn import_bag(
    archive: &Archive,
    folder: &Path,
    run: &mut IndexRun<'_>,
    watcher: Watcher<'_>,
    report: &mut ImportReport,
) -> Result<BagReport, RunError> {
    let mut outcome = BagReport { path: folder.display().to_string(), ..BagReport::default() };
    let told = |bytes| watcher(Step::Validated { bytes });
    let bag = match validate(folder, &Limits::default(), &told) {
        Ok(bag) => bag,
        Err(Invalid { problems, more }) => {
            outcome.refused = Some(RefusedBag { problems, more });
            return Ok(outcome);
        }
    };
    let origin = BagOrigin::of(&bag);
    outcome.manifest_sha256 = Some(bag.manifest_sha256);
    outcome.identifier.clone_from(&origin.identifier);
    outcome.files = bag.payload.len() as u64;
    let ledger = match bag_ledger::read(&bag) {
        Ok(ledger) => ledger,
        Err(refusal) => {
            let problems = vec![format!("its files are as listed, but its ledger does not hold: {refusal}")];
            outcome.refused = Some(RefusedBag { problems, more: 0 });
            return Ok(outcome);
        }
    };
    let Some(ledger) = ledger else {
        let files: Vec<(PathBuf, u64)> =
            bag.payload.iter().map(|(path, file)| (bag.place(path), file.size_bytes)).collect();
        watcher(Step::Ahead { files: files.len() as u64, bytes: files.iter().map(|(_, bytes)| bytes).sum() });
        import_files(archive, &files, Some(&origin), run, watcher, report)?;
        return Ok(outcome);
    };
    let note = ledger.note;
    (outcome.files, outcome.untied) = (note.files, note.untied);
    outcome.other_account = note.account_id != archive.account_id();
    watcher(Step::Ahead { files: note.files, bytes: note.bytes });
    let rows = match bag_ledger::rows(&bag) {
        Ok(rows) => rows,
        Err(refusal) => {
            report.failed.push(problem(folder, refusal.to_string()));
            return Ok(outcome);
        }
    };
    // One by one, in the sender's order: versions of a name must not change places. Indexing keeps all cores busy.
    let mut failure = None;
    let published = rows.map_while(|row| {
        let taken = match row {
            Ok(row) => take(archive, &origin, row, &note, watcher, report),
            Err(refusal) => {
                report.failed.push(problem(folder, refusal.to_string()));
                Ok(None)
            }
        };
        taken.map_err(|error| failure = Some(error)).ok()
    });
    run.index_stream(published.flatten())?;
    run.commit()?;
    outcome.account_id = Some(note.account_id);
    failure.map_or(Ok(outcome), |error| Err(error.into()))
}

/// Publishes a file; gives its row if it is new.
fn take(
    archive: &Archive,
    origin: &BagOrigin<'_>,
    row: BagRow,
    note: &bag_ledger::ExportNote,
    watcher: Watcher<'_>,
    report: &mut ImportReport,
) -> Result<Option<ArchivedFile>, ArchiveError> {
    let BagRow { payload, row } = row;
    let place = origin.bag.place(&payload);
    let mut provenance: Provenance = match serde_json::from_value(row.provenance) {
        Ok(provenance) => provenance,
        Err(error) => {
            report.failed.push(problem(&place, format!("its provenance cannot be read: {error}")));
            return Ok(None);
        }
    };
    let sender = SenderRow {
        account_id: note.account_id.clone(),
        sequence: row.sequence,
        path: row.path,
        stored_at_ms: row.stored_at_ms,
        event_seq: row.event_seq,
        head: note.head,
    };
    provenance.custody.push(origin.handover(&place, Some(sender)));
    let arrival = Arrival { window: row.window, expected_bytes: Some(row.size_bytes), provenance };
    // The hash of the validated bytes: a file that changed since then is not taken.
    let expected = origin.sha256_at(&place).or(Some(row.sha256));
    match archive.import_checked(&row.stream, &row.name, &place, expected, arrival) {
        Ok(published) => {
            watcher(Step::Archived { bytes: row.size_bytes });
            report.count(&published);
            Ok(match published {
                Published::New(file) | Published::NewVersion(file) => Some(file),
                Published::Already(_) => None,
            })
        }
        Err(error) => {
            report.failed.push(of_one_file(&place, error)?);
            Ok(None)
        }
    }
}
