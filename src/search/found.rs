//! The documents that a query finds: one bit for each document of the index.
//!
//! Counts, facets and pages all come from this set, so that they cannot disagree, and a million hits cost 125 kB.

use super::matcher::Matcher;
use crate::index::{IndexError, Reader};
use rayon::prelude::*;
use tantivy::query::{EnableScoring, Query};
use tantivy::{DocAddress, DocId};

/// Bits of a word of the set.
const BITS: u32 = u64::BITS;

/// Words that one thread puts to the matcher at a time: neighbours share a block of the document store.
const VERIFIED_AT_A_TIME: usize = 4;

/// A set of documents of one reader.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// By segment.
    segments: Vec<Vec<u64>>,
}

impl Found {
    /// The live documents that a query finds.
    pub(super) fn of(reader: &Reader, query: &dyn Query) -> Result<Found, IndexError> {
        let searcher = reader.searcher();
        let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
        let segments = searcher.segment_readers().par_iter().enumerate().map(|(ordinal, segment)| {
            let mut bits = vec![0_u64; (segment.max_doc().div_ceil(BITS)) as usize];
            weight.for_each_no_score(segment, &mut |docs: &[DocId]| {
                for doc in docs.iter().filter(|doc| reader.is_live(segment, ordinal, **doc)) {
                    bits[(doc / BITS) as usize] |= 1 << (doc % BITS);
                }
            })?;
            Ok(bits)
        });
        Ok(Found { segments: segments.collect::<tantivy::Result<_>>()? })
    }

    /// Documents in the set.
    pub(super) fn len(&self) -> u64 {
        self.segments.iter().flatten().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Those that are in `other` too.
    pub(super) fn and(mut self, other: &Found) -> Found {
        self.each_word_with(other, |mine, theirs| mine & theirs);
        self
    }

    /// Those that are not in `other`.
    pub(super) fn without(mut self, other: &Found) -> Found {
        self.each_word_with(other, |mine, theirs| mine & !theirs);
        self
    }

    fn each_word_with(&mut self, other: &Found, joined: impl Fn(u64, u64) -> u64) {
        let words = self.segments.iter_mut().flatten().zip(other.segments.iter().flatten());
        words.for_each(|(mine, theirs)| *mine = joined(*mine, *theirs));
    }

    /// Puts every document to the matcher, on all cores, and keeps those that hold.
    pub(super) fn verified(mut self, reader: &Reader, matcher: &Matcher) -> Result<Found, IndexError> {
        for (segment, bits) in self.segments.iter_mut().enumerate() {
            bits.par_chunks_mut(VERIFIED_AT_A_TIME).enumerate().try_for_each(|(chunk, words)| {
                let first = (chunk * VERIFIED_AT_A_TIME) as u32 * BITS;
                let candidates: Vec<DocId> = documents(words).collect();
                for doc in candidates {
                    let address = DocAddress::new(segment as u32, first + doc);
                    if !matcher.matches(&reader.load(address)?) {
                        words[(doc / BITS) as usize] &= !(1 << (doc % BITS));
                    }
                }
                Ok::<_, IndexError>(())
            })?;
        }
        Ok(self)
    }

    /// The documents of one segment, ascending.
    pub(super) fn in_segment(&self, segment: usize) -> impl Iterator<Item = DocId> + '_ {
        documents(&self.segments[segment])
    }
}

/// Ordinals of the bits that are set.
fn documents(words: &[u64]) -> impl Iterator<Item = u32> + '_ {
    words.iter().zip(0_u32..).flat_map(|(word, at)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros())?;
            left &= left - 1;
            Some(at * BITS + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_documents() {
        let words = [1 | 1 << 63, 0, 1 << 5];
        assert_eq!(documents(&words).collect::<Vec<_>>(), [0, 63, 133]);
        let set = |words: &[u64]| Found { segments: vec![words.to_vec(), Vec::new()] };
        let (a, b) = (set(&words), set(&[1, 7, 0]));
        assert_eq!((a.len(), a.clone().and(&b).len(), a.without(&b).len()), (3, 1, 2));
    }
}
