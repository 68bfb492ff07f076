//! The keys of found conversations, in byte order, whatever segments they lie in.
//!
//! The key column keeps its values sorted, so the order costs one bit a document and no list of keys.

use super::bits::Bits;
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write;
use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::{DocId, DocSet, Searcher, SegmentReader, TERMINATED, TantivyError};

/// Where a key stands: the segment, and the key's ordinal in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPlace {
    pub(super) segment: usize,
    pub(super) ordinal: u32,
}

/// The live documents of a segment that a query finds.
pub(super) fn found_by(weight: &dyn Weight, segment: &SegmentReader) -> tantivy::Result<Bits> {
    let mut found = Bits::none(segment.max_doc());
    let mut scorer = weight.scorer(segment, 1.0)?;
    let mut doc = scorer.doc();
    while doc != TERMINATED {
        if !segment.is_deleted(doc) {
            found.insert(doc);
        }
        doc = scorer.advance();
    }
    Ok(found)
}

/// The live documents that a query finds, segment by segment.
pub(super) fn found_in_all(query: &dyn Query, searcher: &Searcher) -> tantivy::Result<Vec<Bits>> {
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
    searcher.segment_readers().iter().map(|segment| found_by(&*weight, segment)).collect()
}

/// Documents among `documents` whose key's ordinal is one of `wanted`.
pub(super) fn documents_with(segment: &SegmentReader, documents: &Bits, wanted: &Bits) -> tantivy::Result<Vec<DocId>> {
    let Some(column) = segment.fast_fields().str("key")? else { return Ok(Vec::new()) };
    let is_wanted = |doc: &DocId| column.term_ords(*doc).filter_map(ordinal_of).any(|ordinal| wanted.contains(ordinal));
    Ok(documents.iter().filter(is_wanted).collect())
}

/// Ordinals of keys are fewer than documents, which tantivy counts in 32 bits.
fn ordinal_of(ordinal: u64) -> Option<u32> {
    u32::try_from(ordinal).ok()
}

/// Calls `each` with the key of every document in `documents` (one set a segment), in byte order.
pub(super) fn for_each_key(
    searcher: &Searcher,
    documents: &[Bits],
    each: &mut dyn FnMut(&[u8], KeyPlace),
) -> tantivy::Result<()> {
    let mut columns = Vec::new();
    for (segment, documents) in searcher.segment_readers().iter().zip(documents) {
        let Some(column) = segment.fast_fields().str("key")? else {
            if documents.count() > 0 {
                return Err(TantivyError::InternalError("the index holds documents without keys".into()));
            }
            columns.push(None);
            continue;
        };
        let mut wanted = Bits::none(u32::try_from(column.num_terms()).unwrap_or(u32::MAX));
        for ordinal in documents.iter().flat_map(|doc| column.term_ords(doc)).filter_map(ordinal_of) {
            wanted.insert(ordinal);
        }
        columns.push(Some((column, wanted)));
    }
    let mut streams = Vec::new();
    for column in &columns {
        streams.push(match column {
            Some((column, wanted)) => Some((column.dictionary().stream()?, wanted)),
            None => None,
        });
    }
    // The next key of each segment; the smallest of them is the next of all.
    let mut next: BinaryHeap<Reverse<(Vec<u8>, usize, u32)>> = BinaryHeap::new();
    let mut pull = |segment: usize, mut key: Vec<u8>, next: &mut BinaryHeap<_>| {
        let Some((stream, wanted)) = &mut streams[segment] else { return };
        while stream.advance() {
            if let Some(ordinal) = ordinal_of(stream.term_ord()).filter(|ordinal| wanted.contains(*ordinal)) {
                key.clear();
                key.extend_from_slice(stream.key());
                next.push(Reverse((key, segment, ordinal)));
                return;
            }
        }
    };
    for segment in 0..columns.len() {
        pull(segment, Vec::new(), &mut next);
    }
    while let Some(Reverse((key, segment, ordinal))) = next.pop() {
        each(&key, KeyPlace { segment, ordinal });
        pull(segment, key, &mut next);
    }
    Ok(())
}

/// SHA-256 of the keys, each with a line feed behind it, in byte order: 64 lower-case hex digits. Two answers with the
/// same digest hold the same conversations.
pub(super) fn digest(searcher: &Searcher, documents: &[Bits]) -> tantivy::Result<String> {
    let mut hash = Sha256::new();
    for_each_key(searcher, documents, &mut |key, _| {
        hash.update(key);
        hash.update(b"\n");
    })?;
    Ok(hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}
