//! The documents that a query finds: one bit for each document of the index.
//!
//! Counts, facets and pages all come from this set, so that they cannot disagree, and a million hits cost 125 kB.

use super::bits::{Bits, numbers};
use super::matcher::Matcher;
use crate::index::{IndexError, Reader};
use rayon::prelude::*;
use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::{DocAddress, DocId, SegmentReader};

/// Words of the set that one thread puts to the matcher at a time: neighbours share a block of the document store.
const VERIFIED_AT_A_TIME: usize = 4;

/// A set of documents of one reader.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// By segment.
    pub(super) segments: Vec<Bits>,
}

/// The live documents of one segment that a query finds.
pub(super) fn found_by(
    reader: &Reader,
    weight: &dyn Weight,
    ordinal: usize,
    segment: &SegmentReader,
) -> tantivy::Result<Bits> {
    let mut found = Bits::none(segment.max_doc());
    weight.for_each_no_score(segment, &mut |docs: &[DocId]| {
        docs.iter().filter(|doc| reader.is_live(segment, ordinal, **doc)).for_each(|doc| found.insert(*doc));
    })?;
    Ok(found)
}

impl Found {
    /// The live documents that a query finds.
    pub(super) fn of(reader: &Reader, query: &dyn Query) -> Result<Found, IndexError> {
        let searcher = reader.searcher();
        let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
        let segments = searcher.segment_readers().par_iter().enumerate();
        let segments = segments.map(|(ordinal, segment)| found_by(reader, &*weight, ordinal, segment));
        Ok(Found { segments: segments.collect::<tantivy::Result<_>>()? })
    }

    /// Documents in the set.
    pub(super) fn len(&self) -> u64 {
        self.segments.iter().map(Bits::count).sum()
    }

    /// Those that are in `other` too.
    pub(super) fn and(mut self, other: &Found) -> Found {
        self.segments.iter_mut().zip(&other.segments).for_each(|(mine, theirs)| mine.keep(theirs));
        self
    }

    /// Those that are not in `other`.
    pub(super) fn without(mut self, other: &Found) -> Found {
        self.segments.iter_mut().zip(&other.segments).for_each(|(mine, theirs)| mine.take_away(theirs));
        self
    }

    /// Puts every document to the matcher, on all cores, and keeps those that hold.
    pub(super) fn verified(mut self, reader: &Reader, matcher: &Matcher) -> Result<Found, IndexError> {
        for (segment, bits) in self.segments.iter_mut().enumerate() {
            bits.words_mut().par_chunks_mut(VERIFIED_AT_A_TIME).enumerate().try_for_each(|(chunk, words)| {
                let first = (chunk * VERIFIED_AT_A_TIME) as u32 * u64::BITS;
                let candidates: Vec<DocId> = numbers(words).collect();
                for doc in candidates {
                    let address = DocAddress::new(segment as u32, first + doc);
                    if !matcher.matches(&reader.load(address)?) {
                        words[(doc / u64::BITS) as usize] &= !(1 << (doc % u64::BITS));
                    }
                }
                Ok::<_, IndexError>(())
            })?;
        }
        Ok(self)
    }

    /// The documents of one segment, ascending.
    pub(super) fn in_segment(&self, segment: usize) -> impl Iterator<Item = DocId> + '_ {
        self.segments[segment].iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_documents() {
        let set = |documents: &[u32]| {
            let mut bits = Bits::none(192);
            documents.iter().for_each(|doc| bits.insert(*doc));
            Found { segments: vec![bits, Bits::none(0)] }
        };
        let (a, b) = (set(&[0, 63, 133]), set(&[0, 64, 65, 66]));
        assert_eq!(a.in_segment(0).collect::<Vec<_>>(), [0, 63, 133]);
        assert_eq!((a.len(), a.clone().and(&b).len(), a.without(&b).len()), (3, 1, 2));
    }
}
