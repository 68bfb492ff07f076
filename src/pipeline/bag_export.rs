//! Archive → bag: the files of a search, or all of them, with the part of the ledger that is theirs.
//!
//! The same archive and the same query give the same payload, byte for byte: the head is that of the archive, not of the
//! moment, and files come in the order of the ledger. Only `bag-info.txt` carries a date.

use super::bag_ledger::{self, BagRow, ExportNote, payload_path};
use super::{Step, Watcher};
use crate::archive::{Archive, ArchiveError, ExtractCheck, FileRow, Head, Refusal, Scope};
use crate::bag::{BagError, BagWriter, FinishedBag, Written};
use crate::index::{IndexError, Reader};
use crate::search::SearchAnswer;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Rows read, copied and listed at a time.
const PAGE: u64 = 512;

/// Which files go into the bag.
pub enum BagSelection<'s> {
    /// Every published file, with the whole audit chain.
    Archive,
    /// Every file that holds a record of a hit.
    Hits(&'s Reader, &'s SearchAnswer),
}

/// What to put into a bag, and where.
pub struct BagRequest<'r> {
    /// The bag's folder: not there yet, or empty.
    pub out: &'r Path,
    /// The files.
    pub selection: BagSelection<'r>,
    /// The query as it was typed.
    pub query: &'r str,
    /// `Source-Organization` of the bag, where known.
    pub organization: Option<&'r str>,
    /// `Bagging-Date`, as `2026-11-20`.
    pub date: &'r str,
}

/// A bag that is whole and does not have its name yet: [`FinishedBag::publish`] gives it.
pub struct BagExport {
    /// The bag.
    pub bag: FinishedBag,
    /// Archived files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Conversations that match; `None` where everything was asked for.
    pub conversations: Option<u64>,
    /// The head of the chain that its events lead to.
    pub head: Head,
    /// Files whose event nothing ties to the head.
    pub untied: u64,
    /// Files whose name was changed in the bag.
    pub renamed: u64,
}

/// Why there is no bag.
#[derive(Debug, thiserror::Error)]
pub enum BagExportError {
    /// There is no file to put into it.
    #[error("nothing to export: {0}")]
    Nothing(&'static str),
    /// An archived file or the ledger is not as it was: nothing damaged is handed over.
    #[error("{0}; no bag was made")]
    Damaged(String),
    /// The bag cannot be written.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// The archive refuses.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The index refuses.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<Refusal> for BagExportError {
    fn from(refusal: Refusal) -> BagExportError {
        BagExportError::Damaged(format!("the ledger does not hold: {refusal}"))
    }
}

/// Builds a bag. `anchor` is asked to record an anchor where a choice of files needs a newer one; it may fail to.
/// `go_on` is asked between pieces.
///
/// # Errors
/// Every error leaves nothing behind.
pub fn export_bag(
    archive: &Archive,
    request: &BagRequest<'_>,
    watcher: Watcher<'_>,
    anchor: &dyn Fn(),
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<BagExport, BagExportError> {
    let mut writer = BagWriter::create(request.out)?;
    let (scope, wanted, conversations) = match request.selection {
        BagSelection::Archive => (Scope::Archive, None, None),
        BagSelection::Hits(reader, answer) => {
            let paths = write_hits(&mut writer, reader, answer, go_on)?;
            (Scope::Files, Some(paths), Some(answer.total))
        }
    };
    // Whatever comes while we work stays out: the head of the whole archive is taken before its rows are read.
    let before = if scope == Scope::Archive { archive.lasting_head()? } else { None };
    let chosen = Chosen { archive, wanted, last_event: before.map(|head| head.seq) };
    let plan = chosen.plan()?;
    let head = match scope {
        Scope::Archive => before,
        Scope::Files => head_behind(archive, plan.last_event, anchor)?,
    };
    let head = head.ok_or_else(|| BagExportError::Damaged("the audit chain is empty".to_owned()))?;
    watcher(Step::Ahead { files: plan.files, bytes: plan.bytes });
    let renamed = copy_files(&mut writer, &chosen, watcher, go_on)?;
    let untied = write_events(&mut writer, &chosen, scope, &head)?;
    let note = ExportNote {
        schema_version: 1,
        kind: ExportNote::kind(),
        account_id: archive.account_id().to_owned(),
        query: request.query.to_owned(),
        scope,
        conversations,
        files: plan.files,
        bytes: plan.bytes,
        untied,
        head,
        program: concat!("chatvault ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    writer.add(bag_ledger::EXPORT, &pretty(&json!(note)))?;
    let head_document = json!({
        "schema_version": 1, "type": "anchor", "account_id": archive.account_id(), "seq": head.seq, "hash": head.hash,
    });
    writer.add(bag_ledger::HEAD, &pretty(&head_document))?;
    writer.add(bag_ledger::READ_ME, bag_ledger::READ_ME_TEXT.as_bytes())?;
    writer.add(bag_ledger::CHECKER, bag_ledger::CHECKER_TEXT.as_bytes())?;
    let size = format!("{:.1} MB", writer.so_far().1 as f64 / 1e6);
    let bag = writer.finish(&tag_info(request, &note), &size)?;
    let ExportNote { files, bytes, conversations, .. } = note;
    Ok(BagExport { bag, files, bytes, conversations, head, untied, renamed })
}

fn tag_info(request: &BagRequest<'_>, note: &ExportNote) -> Vec<(&'static str, String)> {
    let mut info = Vec::new();
    info.extend(request.organization.map(|name| ("Source-Organization", name.to_owned())));
    info.extend([
        ("Bagging-Date", request.date.to_owned()),
        ("Bag-Software-Agent", note.program.clone()),
        ("External-Description", "LivePerson data as received, with its ledger; see data/ledger/README.txt".to_owned()),
        (
            "External-Identifier",
            format!("chatvault account {} event {} {}", note.account_id, note.head.seq, note.head.hash),
        ),
    ]);
    info
}

/// Writes the hits; gives the paths of the files that hold them.
fn write_hits(
    writer: &mut BagWriter,
    reader: &Reader,
    answer: &SearchAnswer,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<BTreeSet<String>, BagExportError> {
    let mut file = writer.begin(bag_ledger::HITS)?;
    let mut paths = BTreeSet::new();
    for at in 0..answer.hits.len() {
        if !go_on() {
            return Err(BagError::Interrupted.into());
        }
        let hit = answer.hits.load(reader, at, 0)?;
        let records = hit.stored.revisions.iter().flat_map(|revision| &revision.records);
        let mut places = Vec::new();
        for record in records {
            places.push(json!({ "file": record.file, "record": record.record, "sha256": record.sha256 }));
            if !paths.contains(&record.file) {
                paths.insert(record.file.clone());
            }
        }
        let line = json!({
            "key": hit.stored.key(), "conversation_id": hit.merged.conversation_id, "start_ms": hit.merged.start_ms,
            "records": places,
        });
        append_line(&line, |bytes| file.append(bytes))?;
    }
    writer.list(&file.close()?)?;
    if paths.is_empty() {
        return Err(BagExportError::Nothing("no conversation matches the query"));
    }
    Ok(paths)
}

fn pretty(document: &Value) -> Vec<u8> {
    format!("{document:#}\n").into_bytes()
}

fn append_line<E>(document: &Value, append: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E> {
    append(format!("{document}\n").as_bytes())
}

/// The head for a choice of files: the newest anchor, and a new one if that does not lie behind all of them.
fn head_behind(archive: &Archive, last_event: u64, anchor: &dyn Fn()) -> Result<Option<Head>, ArchiveError> {
    let newest = archive.newest_anchor()?;
    if newest.is_some_and(|newest| newest.seq > last_event) {
        return Ok(newest);
    }
    anchor();
    let newest = archive.newest_anchor()?;
    Ok(match newest {
        Some(newest) => Some(newest),
        None => archive.chain_head()?.map(|(seq, hash)| Head { seq, hash }),
    })
}

/// The rows that go into the bag, read page by page.
struct Chosen<'c> {
    archive: &'c Archive,
    /// Paths in the vault; `None` for all.
    wanted: Option<BTreeSet<String>>,
    /// Rows of later events are left out.
    last_event: Option<u64>,
}

#[derive(Default)]
struct Plan {
    files: u64,
    bytes: u64,
    last_event: u64,
}

impl Chosen<'_> {
    fn for_each_page(
        &self,
        each: &mut dyn FnMut(&[FileRow]) -> Result<(), BagExportError>,
    ) -> Result<(), BagExportError> {
        let mut sequence = 0;
        loop {
            let mut page = self.archive.rows_after(sequence, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            sequence = last.sequence;
            page.retain(|row| {
                self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&row.path))
                    && self.last_event.is_none_or(|last| row.event_seq <= last)
            });
            each(&page)?;
        }
    }

    fn plan(&self) -> Result<Plan, BagExportError> {
        let mut plan = Plan::default();
        self.for_each_page(&mut |page| {
            plan.files += page.len() as u64;
            plan.bytes += page.iter().map(|row| row.size_bytes).sum::<u64>();
            plan.last_event = page.last().map_or(plan.last_event, |row| row.event_seq);
            Ok(())
        })?;
        let unknown = self.wanted.as_ref().map_or(0, |wanted| wanted.len() as u64 - plan.files);
        if unknown > 0 {
            let message = format!("{unknown} of the files that the index names are not in the ledger");
            return Err(BagExportError::Damaged(message));
        }
        if plan.files == 0 {
            return Err(BagExportError::Nothing("the archive holds no file"));
        }
        Ok(plan)
    }
}

/// Copies and lists the files; gives the number of those that got another name.
fn copy_files(
    writer: &mut BagWriter,
    chosen: &Chosen<'_>,
    watcher: Watcher<'_>,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<u64, BagExportError> {
    let mut rows = writer.begin(bag_ledger::FILES)?;
    let mut renamed = 0;
    chosen.for_each_page(&mut |page| {
        let copied: Vec<Written> = page
            .par_iter()
            .with_max_len(1)
            .map(|row| copy(writer, chosen.archive, row, watcher, go_on))
            .collect::<Result<_, _>>()?;
        for (row, written) in page.iter().zip(&copied) {
            writer.list(written)?;
            renamed += u64::from(!written.path.ends_with(&row.path));
            let row = BagRow { payload: written.path.clone(), row: row.clone() };
            append_line(&json!(row), |bytes| rows.append(bytes))?;
        }
        Ok(())
    })?;
    writer.list(&rows.close()?)?;
    Ok(renamed)
}

fn copy(
    writer: &BagWriter,
    archive: &Archive,
    row: &FileRow,
    watcher: Watcher<'_>,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<Written, BagExportError> {
    let damaged = |reason: String| BagExportError::Damaged(format!("{}: {reason}", row.path));
    let source = archive.open_path(&row.path).map_err(|error| match error {
        ArchiveError::Io { source, .. } => damaged(source.to_string()),
        error => error.into(),
    })?;
    let told = |bytes| {
        watcher(Step::Copied { bytes });
        go_on()
    };
    let written = writer.copy(&payload_path(row), source, Some(row.stored_at_ms), &told);
    let written = written.map_err(|error| match error {
        BagError::Source { source, .. } => damaged(source.to_string()),
        error => error.into(),
    })?;
    if written.sha256 != row.sha256 || written.size_bytes != row.size_bytes {
        return Err(damaged(format!("its bytes are not those that were archived (SHA-256 {})", row.sha256)));
    }
    Ok(written)
}

/// Writes the events, checking them on the way; gives the number of files that nothing ties to the head.
fn write_events(writer: &mut BagWriter, chosen: &Chosen<'_>, scope: Scope, head: &Head) -> Result<u64, BagExportError> {
    let archive = chosen.archive;
    let mut file = writer.begin(bag_ledger::EVENTS)?;
    let mut check = ExtractCheck::new(scope, *head);
    let mut write = |proven| {
        check.take(&proven)?;
        let mut row = json!(proven);
        row["schema_version"] = json!(1);
        row["type"] = json!("event");
        append_line(&row, |bytes| file.append(bytes)).map_err(BagExportError::from)
    };
    match scope {
        Scope::Archive => archive.extract_chain(head, &mut write)?,
        Scope::Files => {
            let mut seqs = Vec::new();
            chosen.for_each_page(&mut |page| {
                seqs.extend(page.iter().map(|row| row.event_seq));
                Ok(())
            })?;
            // An anchor, if the head is one; else nothing can be tied.
            let anchor = archive.newest_anchor()?.filter(|newest| newest == head);
            archive.extract_events(seqs.into_iter().map(Ok), anchor.as_ref(), &mut write)?
        }
    };
    let untied = check.finish()?;
    writer.list(&file.close()?)?;
    Ok(untied)
}
