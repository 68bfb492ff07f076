//! Every conversation of the archive, put together from the raw files alone. The index is not asked for anything.
//!
//! Records of one conversation lie in several files: revisions, surveys, what another API says of it. A first reading
//! counts how many records each conversation has; in the second, one with a single record is done when it is read, and the
//! others are kept until their last record came. So memory holds eight bytes for each record, and the conversations that
//! are waiting for a part of them. Where that is more than [`ScanOptions::max_bytes`], the conversations are taken in
//! several parts, by a hash of their keys, one part after the other.

use super::RunError;
use super::indexing::file_context;
use crate::archive::{Archive, ArchivedFile};
use crate::conversation::{Revision, StoredConversation};
use crate::decode::{DecodeLimits, FileReport, Keyring, ProblemKind, decode_with_keys};
use crate::index::name;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bounds of a scan, and its keys.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Of decoding.
    pub decode: DecodeLimits,
    /// Private keys for what came encrypted: those that the index was made with.
    pub keys: Arc<Keyring>,
    /// Bytes of counts and waiting conversations in memory at a time. A smaller number costs more readings.
    pub max_bytes: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        // Some sixteen million records in one share, where few have others beside them.
        ScanOptions { decode: DecodeLimits::default(), keys: Arc::new(Keyring::empty()), max_bytes: 256 << 20 }
    }
}

/// What a file holds that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadFile {
    /// Path inside the vault; the name alone, where no whole file of it was ever received.
    pub file: String,
    /// Records that could not be read; at least 1 where nobody knows how many there are.
    pub unreadable: u64,
    /// Records that no key at hand opens, or not wholly.
    pub closed: u64,
    /// Why.
    pub reason: String,
}

/// Files that are named one by one.
const NAMED: usize = 10_000;

/// What a reading of all files came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Files read.
    pub files: u64,
    /// Conversation records in them that were read, closed ones included.
    pub records: u64,
    /// Records that no key at hand opens, or not wholly.
    pub closed: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Where those are, by path; the first ten thousand files.
    pub unread: Vec<UnreadFile>,
    /// Further files.
    pub more_unread: u64,
}

/// Some of the conversations: those whose hash leaves `part` when it is divided by `parts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) part: u64,
    pub(super) parts: u64,
}

/// Parts beyond which a conversation is as good as alone, so that another part would bring nothing.
const MOST_PARTS: u64 = 1 << 10;

impl Share {
    pub(super) const ALL: Share = Share { part: 0, parts: 1 };

    /// Whether a conversation belongs to it.
    pub(super) fn holds(self, key: &str) -> bool {
        hash(key) % self.parts == self.part
    }

    /// The same conversations in two shares.
    pub(super) fn halves(self) -> [Share; 2] {
        [self.part, self.part + self.parts].map(|part| Share { part, parts: self.parts * 2 })
    }
}

/// Memory in use, against its bound.
struct Budget {
    used: AtomicUsize,
    /// It was exceeded once: a file may have been left in the middle, so what is given back later mends nothing.
    spent: AtomicBool,
    limit: usize,
}

impl Budget {
    fn take(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > self.limit {
            self.spent.store(true, Ordering::Relaxed);
        }
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }
}

/// What a map entry, its vectors and the allocator take beside the bytes in them.
const OVERHEAD: usize = 160;

/// Receives a conversation with its key; gives the bytes that it keeps of it in memory.
pub(super) type Each<'e> = dyn Fn(&str, StoredConversation) -> Result<usize, RunError> + Sync + 'e;

/// Calls `each`, on several threads, with every conversation of a share. `None`: the memory does not suffice, and some of the
/// conversations have been handed over already.
pub(super) fn scan(
    archive: &Archive,
    files: &[ArchivedFile],
    options: &ScanOptions,
    share: Share,
    each: &Each<'_>,
) -> Result<Option<ScanCounts>, RunError> {
    let limit = if share.parts >= MOST_PARTS { usize::MAX } else { options.max_bytes };
    let budget = Budget { used: AtomicUsize::new(0), spent: AtomicBool::new(false), limit };
    let Some(repeated) = repeated(archive, files, options, share, &budget) else { return Ok(None) };
    let waiting = Mutex::new(HashMap::<u64, Vec<Vec<u8>>>::new());
    let read = files.par_iter().map(|file| {
        let mut failed = None;
        let report = read(archive, file, options, &mut |revision| {
            let taken = take(revision, share, &repeated, &waiting, &budget, each);
            let goes_on = taken.is_ok() && !budget.is_spent();
            failed = failed.take().or(taken.err());
            goes_on
        });
        failed.map_or(Ok((file, report)), Err)
    });
    let reports: Vec<(&ArchivedFile, FileReport)> = read.collect::<Result<_, RunError>>()?;
    if budget.is_spent() {
        return Ok(None);
    }
    // A file that could be read at first and not again.
    for records in waiting.into_inner().unwrap_or_else(PoisonError::into_inner).into_values() {
        hand_over(records, each)?;
    }
    counts(archive, reports).map(Some)
}

/// Hashes of the keys in a share that have more than one record, with how many. `None`: they are too many.
fn repeated(
    archive: &Archive,
    files: &[ArchivedFile],
    options: &ScanOptions,
    share: Share,
    budget: &Budget,
) -> Option<HashMap<u64, usize>> {
    let all = Mutex::new(Vec::new());
    files.par_iter().for_each(|file| {
        let mut hashes = Vec::new();
        read(archive, file, options, &mut |revision| {
            let (key, _) = keyed(revision);
            if share.holds(name(&key)) {
                hashes.push(hash(name(&key)));
                budget.take(size_of::<u64>());
            }
            !budget.is_spent()
        });
        all.lock().unwrap_or_else(PoisonError::into_inner).append(&mut hashes);
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    if budget.is_spent() {
        return None;
    }
    all.par_sort_unstable();
    let groups = all.chunk_by(|a, b| a == b).filter(|group| group.len() > 1);
    let repeated: HashMap<u64, usize> = groups.map(|group| (group[0], group.len())).collect();
    budget.give_back(all.len() * size_of::<u64>());
    budget.take(repeated.len() * size_of::<(u64, usize)>() * 2);
    Some(repeated)
}

fn take(
    revision: Revision,
    share: Share,
    repeated: &HashMap<u64, usize>,
    waiting: &Mutex<HashMap<u64, Vec<Vec<u8>>>>,
    budget: &Budget,
    each: &Each<'_>,
) -> Result<(), RunError> {
    let (key, stored) = keyed(revision);
    if !share.holds(name(&key)) {
        return Ok(());
    }
    let hash = hash(name(&key));
    let Some(records) = repeated.get(&hash) else {
        budget.take(each(name(&key), stored)?);
        return Ok(());
    };
    // As bytes: a conversation in memory takes several times as much.
    let bytes = postcard::to_stdvec(&stored.revisions[0]).unwrap_or_default();
    budget.take(bytes.len() + OVERHEAD);
    let complete = {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let known = waiting.entry(hash).or_default();
        known.push(bytes);
        if known.len() == *records { waiting.remove(&hash) } else { None }
    };
    if let Some(records) = complete {
        let bytes: usize = records.iter().map(|bytes| bytes.len() + OVERHEAD).sum();
        budget.take(hand_over(records, each)?);
        budget.give_back(bytes);
    }
    Ok(())
}

/// Folds the records of one hash, as the index does: one conversation, or several whose hashes are the same by chance.
fn hand_over(records: Vec<Vec<u8>>, each: &Each<'_>) -> Result<usize, RunError> {
    let mut by_key: HashMap<String, Vec<Revision>> = HashMap::new();
    for bytes in records {
        // They were written a moment ago, by the same program.
        if let Ok(revision) = postcard::from_bytes::<Revision>(&bytes) {
            let (key, mut stored) = keyed(revision);
            by_key.entry(name(&key).to_owned()).or_default().append(&mut stored.revisions);
        }
    }
    let mut kept = 0;
    for (key, revisions) in by_key {
        kept += each(&key, StoredConversation::from_revisions(revisions))?;
    }
    Ok(kept)
}

fn keyed(revision: Revision) -> (String, StoredConversation) {
    let stored = StoredConversation { revisions: vec![revision] };
    (stored.key(), stored)
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Reads a file; one that cannot be read says so in its report.
fn read(
    archive: &Archive,
    file: &ArchivedFile,
    options: &ScanOptions,
    sink: &mut dyn FnMut(Revision) -> bool,
) -> FileReport {
    let opened = archive.open_proven(file).map_err(|error| error.to_string());
    let read = opened.and_then(|bytes| {
        let context = file_context(archive, file);
        decode_with_keys(bytes, &context, options.decode, &options.keys, sink).map_err(|error| error.to_string())
    });
    read.unwrap_or_else(|reason| {
        let mut report = FileReport::default();
        report.problems.add(ProblemKind::Unreadable, 0, 0, reason);
        report
    })
}

fn counts(archive: &Archive, reports: Vec<(&ArchivedFile, FileReport)>) -> Result<ScanCounts, RunError> {
    let mut counts = ScanCounts { files: reports.len() as u64, ..ScanCounts::default() };
    let mut unread = Vec::new();
    for (file, report) in reports {
        counts.records += report.conversations;
        let mut unreadable = report.problems.failures();
        if unreadable > 0 {
            // What it held when it could be read, says the ledger.
            let known = archive.contents_of(file.sequence)?.map_or(0, |known| known.conversations);
            unreadable = unreadable.max(known.saturating_sub(report.conversations));
        }
        let closed = report.encrypted.records;
        if unreadable + closed > 0 {
            let example = report.problems.examples.iter().find(|problem| problem.kind.is_failure());
            let reason = example.map_or("encrypted, and no key at hand opens it".to_owned(), |problem| {
                format!("{}: {}", problem.kind, problem.detail)
            });
            unread.push(UnreadFile { file: file.path.clone(), unreadable, closed, reason });
        }
    }
    for lost in archive.names_never_whole()? {
        let reason = "was never received whole; see `chatvault verify`".to_owned();
        unread.push(UnreadFile { file: lost.name, unreadable: 1, closed: 0, reason });
    }
    counts.closed = unread.iter().map(|file| file.closed).sum();
    counts.unreadable = unread.iter().map(|file| file.unreadable).sum();
    counts.more_unread = unread.len().saturating_sub(NAMED) as u64;
    unread.sort_by(|a, b| a.file.cmp(&b.file));
    unread.truncate(NAMED);
    counts.unread = unread;
    Ok(counts)
}
