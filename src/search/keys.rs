//! The keys of found conversations, in byte order, whatever segments they lie in.
//!
//! The key column keeps its values sorted, so the order costs one bit a document and no list of keys.

use super::bits::Bits;
use super::found::Found;
use crate::index::{IndexError, Reader};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tantivy::{DocId, SegmentReader};

/// Where a key stands: the segment, and the key's ordinal in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPlace {
    pub(super) segment: usize,
    pub(super) ordinal: u32,
}

/// Documents among `documents` whose key's ordinal is one of `wanted`.
pub(super) fn documents_with(segment: &SegmentReader, documents: &Bits, wanted: &Bits) -> tantivy::Result<Bits> {
    let mut found = Bits::none(segment.max_doc());
    let Some(column) = segment.fast_fields().str("key")? else { return Ok(found) };
    let is_wanted = |doc: &DocId| column.term_ords(*doc).filter_map(ordinal_of).any(|ordinal| wanted.contains(ordinal));
    documents.iter().filter(is_wanted).for_each(|doc| found.insert(doc));
    Ok(found)
}

/// Ordinals of keys are fewer than documents, which tantivy counts in 32 bits.
fn ordinal_of(ordinal: u64) -> Option<u32> {
    u32::try_from(ordinal).ok()
}

/// Calls `each` with the key of every document that was found, in byte order.
pub(super) fn for_each_key(
    reader: &Reader,
    found: &Found,
    each: &mut dyn FnMut(&[u8], KeyPlace),
) -> Result<(), IndexError> {
    let mut columns = Vec::new();
    for (segment, documents) in reader.searcher().segment_readers().iter().zip(&found.segments) {
        let Some(column) = segment.fast_fields().str("key")? else {
            if documents.count() > 0 {
                return Err(IndexError::Damaged("a part of the index has no keys".into()));
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
