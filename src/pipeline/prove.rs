//! A search that proves itself: the same query, put to the raw files and to the index, and their answers compared.
//!
//! The scan takes nothing from the index: it decodes the archived files, folds the records of each conversation, and asks the
//! matcher. What the two answers share is the decoder, the fold and the reading of the query; what is proven is that the
//! index holds every conversation, none too many, in its last state, and that it finds what the matcher finds.

use super::RunError;
use super::raw_scan::{ScanCounts, ScanOptions, Share, scan};
use crate::archive::Archive;
use crate::conversation::StoredConversation;
use crate::index::Reader;
use crate::search::{Matcher, SearchError, SearchRequest, for_each_key};
use std::cmp::Ordering;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::sync::{Mutex, PoisonError};

/// Which of the two answers lacks a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The raw files have it, and the index does not find it.
    MissingInIndex,
    /// The index finds it, and the raw files do not say so.
    NotInScan,
}

/// A conversation that only one of the two found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Who lacks it.
    pub side: Side,
    /// Its key.
    pub key: String,
    /// Its id, where it has one.
    pub conversation_id: Option<String>,
    /// File of its latest version, inside the vault.
    pub file: String,
    /// Ordinal of the record in that file.
    pub record: u64,
}

/// What the comparison came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proof {
    /// What was read, and what could not be.
    pub counts: ScanCounts,
    /// Conversations that the raw files came to, those that do not match included.
    pub conversations: u64,
    /// Conversations that the index finds.
    pub index: u64,
    /// Conversations that the scan finds.
    pub scan: u64,
    /// Of those of the scan, how many the index lacks.
    pub missing_in_index: u64,
    /// Of those of the index, how many the scan lacks.
    pub not_in_scan: u64,
    /// Archived files that the index has not seen yet.
    pub files_behind: u64,
    /// Shares that the conversations were taken in, each with two readings of all files.
    pub shares: u64,
}

impl Proof {
    /// Both found the same.
    pub fn agrees(&self) -> bool {
        self.missing_in_index == 0 && self.not_in_scan == 0
    }

    /// Of what the scan finds, the part that the index finds; 1 where the scan finds nothing.
    pub fn recall(&self) -> f64 {
        part(self.scan - self.missing_in_index, self.scan)
    }

    /// Of what the index finds, the part that the scan finds; 1 where the index finds nothing.
    pub fn precision(&self) -> f64 {
        part(self.index - self.not_in_scan, self.index)
    }
}

fn part(of: u64, all: u64) -> f64 {
    if all == 0 { 1.0 } else { of as f64 / all as f64 }
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The archive cannot be read, or the index.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The index does not answer.
    #[error(transparent)]
    Search(#[from] SearchError),
}

/// A conversation that the scan found.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    key: String,
    id: Option<String>,
    file: String,
    record: u64,
}

/// Bytes that the ledger's count of records lets expect for each: its hash, and some hits.
const BYTES_A_RECORD: u64 = 16;

/// Scans the archive and compares. `each` gets every difference, in no particular order.
///
/// # Errors
/// A failing archive or index, and a query that this version does not answer. A file that cannot be read is in the report.
pub fn prove(
    archive: &Archive,
    reader: &Reader,
    request: &SearchRequest,
    options: &ScanOptions,
    each: &mut dyn FnMut(Difference),
) -> Result<Proof, ProveError> {
    let files = archive.files_after(0).map_err(RunError::from)?;
    let matcher = Matcher::new(&request.query.query);
    let sequence = reader.checkpoint().sequence;
    let behind = files.iter().filter(|file| file.sequence > sequence).count() as u64;
    let mut proof = Proof { files_behind: behind, ..Proof::default() };
    let mut shares = expected_shares(archive, options)?;
    while let Some(share) = shares.pop() {
        let (found, seen) = (Mutex::new(Vec::new()), AtomicU64::new(0));
        let counts = scan(archive, &files, options, share, &|key, stored| {
            seen.fetch_add(1, Atomic::Relaxed);
            let Some(hit) = matched(&matcher, key, &stored) else { return Ok(0) };
            let bytes = 2 * hit.key.len() + hit.file.len() + size_of::<Match>();
            found.lock().unwrap_or_else(PoisonError::into_inner).push(hit);
            Ok(bytes)
        })?;
        let Some(counts) = counts else {
            shares.extend(share.halves());
            continue;
        };
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_unstable();
        proof.conversations += seen.into_inner();
        proof.scan += found.len() as u64;
        proof.counts = counts;
        proof.shares += 1;
        compare(reader, request, share, found, &mut proof, each)?;
    }
    Ok(proof)
}

/// As many shares as the ledger lets expect.
fn expected_shares(archive: &Archive, options: &ScanOptions) -> Result<Vec<Share>, ProveError> {
    let records = archive.contents_total().map_err(RunError::from)?.conversations;
    let limit = options.max_bytes.max(1 << 12) as u64;
    let mut shares = vec![Share::ALL];
    while records * BYTES_A_RECORD / shares.len() as u64 > limit {
        shares = shares.into_iter().flat_map(Share::halves).collect();
    }
    Ok(shares)
}

fn matched(matcher: &Matcher, key: &str, stored: &StoredConversation) -> Option<Match> {
    matcher.matches(stored).then(|| {
        let latest = &stored.revisions[stored.revisions.len() - 1];
        let record = &latest.records[0];
        Match {
            key: key.to_owned(),
            id: latest.content.conversation_id.clone(),
            file: record.file.clone(),
            record: record.record,
        }
    })
}

/// Walks both answers side by side: each is sorted by key.
fn compare(
    reader: &Reader,
    request: &SearchRequest,
    share: Share,
    found: Vec<Match>,
    proof: &mut Proof,
    each: &mut dyn FnMut(Difference),
) -> Result<(), ProveError> {
    let mut found = found.into_iter().peekable();
    let mut damaged = None;
    let missing = |hit: Match, proof: &mut Proof, each: &mut dyn FnMut(Difference)| {
        proof.missing_in_index += 1;
        let Match { key, id, file, record } = hit;
        each(Difference { side: Side::MissingInIndex, key, conversation_id: id, file, record });
    };
    for_each_key(reader, request, &mut |key| {
        if !share.holds(key) {
            return;
        }
        proof.index += 1;
        while let Some(hit) = found.next_if(|hit| hit.key.as_str() < key) {
            missing(hit, proof, each);
        }
        if found.peek().map(|hit| hit.key.as_str().cmp(key)) == Some(Ordering::Equal) {
            found.next();
            return;
        }
        proof.not_in_scan += 1;
        let mut difference = Difference {
            side: Side::NotInScan,
            key: key.to_owned(),
            conversation_id: None,
            file: String::new(),
            record: 0,
        };
        match reader.find(key) {
            Ok(stored) => {
                if let Some(latest) = stored.as_ref().and_then(|stored| stored.revisions.last()) {
                    difference.conversation_id.clone_from(&latest.content.conversation_id);
                    difference.file.clone_from(&latest.records[0].file);
                    difference.record = latest.records[0].record;
                }
            }
            Err(error) => damaged = Some(error),
        }
        each(difference);
    })?;
    for hit in found {
        missing(hit, proof, each);
    }
    damaged.map_or(Ok(()), |error| Err(RunError::from(error).into()))
}
