//! Bag → archive: validated as a whole first, then its files, with what the sender's ledger says of them.
//!
//! A bag that chatvault made brings its rows back in their old order, under their stream, name and window, with the
//! provenance of the first receipt; what is new is a hand-over. Of any other bag the files are imported like files on
//! disk. A bag with anything wrong in it gives nothing.

use super::bag_ledger::{self, BagRow, ExportNote};
use super::importing::{ImportProblem, ImportReport, import_files, of_one_file, problem};
use super::indexing::IndexRun;
use super::{RunError, Step, Watcher};
use crate::archive::{
    Archive, ArchiveError, ArchivedFile, Arrival, Handover, Prepared, Provenance, Published, Refusal, SenderRow,
    Sha256Hex,
};
use crate::bag::{Invalid, Limits, ValidBag, validate};
use rayon::prelude::*;
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
    let mut failure = None;
    let mut taking = Taking { archive, origin: &origin, note: &note, watcher, report };
    let published = batches(rows).map_while(|batch| taking.take(batch).map_err(|error| failure = Some(error)).ok());
    run.index_stream(published.flatten())?;
    run.commit()?;
    outcome.account_id = Some(note.account_id);
    failure.map_or(Ok(outcome), |error| Err(error.into()))
}

/// Rows that are checked and synced side by side before they get their places.
const BATCH: usize = 64;

fn batches<T>(mut rows: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let batch: Vec<T> = rows.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

/// Rows of a bag on their way into the archive.
struct Taking<'t> {
    archive: &'t Archive,
    origin: &'t BagOrigin<'t>,
    note: &'t ExportNote,
    watcher: Watcher<'t>,
    report: &'t mut ImportReport,
}

impl Taking<'_> {
    /// Publishes a batch; gives the files that are new. They get their places one by one, in the sender's order: versions
    /// of a name must not change places.
    fn take(&mut self, batch: Vec<Result<BagRow, Refusal>>) -> Result<Vec<ArchivedFile>, ArchiveError> {
        let prepared: Vec<_> = batch.into_par_iter().with_max_len(1).map(|row| self.prepare(row)).collect();
        let mut new = Vec::new();
        for outcome in prepared {
            let (place, prepared) = match outcome {
                Ok(prepared) => prepared,
                Err(problem) => {
                    self.report.failed.push(problem);
                    continue;
                }
            };
            match prepared.and_then(|prepared| self.archive.settle(prepared)) {
                Ok(published) => {
                    self.report.count(&published);
                    (self.watcher)(Step::Archived { bytes: published.file().size_bytes });
                    if let Published::New(file) | Published::NewVersion(file) = published {
                        new.push(file);
                    }
                }
                Err(error) => self.report.failed.push(of_one_file(&place, error)?),
            }
        }
        Ok(new)
    }

    /// Where the file lies, and what its bytes came to; the error is that of a row that cannot be read.
    fn prepare(
        &self,
        row: Result<BagRow, Refusal>,
    ) -> Result<(PathBuf, Result<Prepared, ArchiveError>), ImportProblem> {
        let BagRow { payload, row } = row.map_err(|refusal| problem(&self.origin.bag.folder, refusal.to_string()))?;
        let place = self.origin.bag.place(&payload);
        let mut provenance: Provenance = serde_json::from_value(row.provenance)
            .map_err(|error| problem(&place, format!("its provenance cannot be read: {error}")))?;
        let sender = SenderRow {
            account_id: self.note.account_id.clone(),
            sequence: row.sequence,
            path: row.path,
            stored_at_ms: row.stored_at_ms,
            event_seq: row.event_seq,
            head: self.note.head,
        };
        provenance.custody.push(self.origin.handover(&place, Some(sender)));
        // The hash of the validated bytes: a file that changed since then is not taken.
        let expected = self.origin.sha256_at(&place).or(Some(row.sha256));
        let arrival = Arrival { window: row.window, expected_bytes: Some(row.size_bytes), provenance, reread: true };
        let prepared = self.archive.prepare_copy(&row.stream, &row.name, &place, expected, arrival);
        Ok((place, prepared))
    }
}
