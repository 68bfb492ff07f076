//! Figures over everything that matches: how long conversations took, how many messages each role wrote.

use super::facets::{FacetCount, FacetValue};
use crate::conversation::{Conversation, Role, StoredConversation};
use crate::index::stored_conversation;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tantivy::schema::{Field, Value as _};
use tantivy::{DocId, SegmentReader, TantivyDocument, TantivyError};

/// Lengths of time, in whole seconds (rounded down), over the conversations that have one.
///
/// A percentile is a value that occurs: the smallest that at least so many of a hundred conversations do not exceed
/// (nearest rank). None is interpolated or estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Conversations that have a length.
    pub count: u64,
    /// Conversations that have none.
    pub without: u64,
    /// Shortest.
    pub min_s: i64,
    /// Half of them took no longer.
    pub p50_s: i64,
    /// Ninety of a hundred took no longer.
    pub p90_s: i64,
    /// Ninety-nine of a hundred took no longer.
    pub p99_s: i64,
    /// Longest.
    pub max_s: i64,
}

impl Lengths {
    /// Reads the counts of a length ([`super::facets::Facet::Duration`], [`super::facets::Facet::Queue`]), ascending as
    /// they come. `None` where no conversation has one.
    pub fn of(counts: &[FacetCount]) -> Option<Lengths> {
        let mut without = 0;
        let mut lengths: Vec<(i64, u64)> = Vec::with_capacity(counts.len());
        for entry in counts {
            match &entry.value {
                Some(FacetValue::Number(seconds)) => lengths.push((*seconds, entry.count)),
                _ => without += entry.count,
            }
        }
        let count: u64 = lengths.iter().map(|(_, count)| count).sum();
        let (min_s, max_s) = (lengths.first()?.0, lengths.last()?.0);
        let percentile = |percent: u64| {
            // In 128 bits, so that no count is too large for a hundredfold.
            let rank = (u128::from(count) * u128::from(percent)).div_ceil(100).max(1);
            let mut seen = 0_u128;
            let found = lengths.iter().find(|(_, count)| {
                seen += u128::from(*count);
                seen >= rank
            });
            found.map_or(max_s, |(seconds, _)| *seconds)
        };
        let (p50_s, p90_s, p99_s) = (percentile(50), percentile(90), percentile(99));
        Some(Lengths { count, without, min_s, p50_s, p90_s, p99_s, max_s })
    }
}

/// Transcripts that are in memory at once, per thread.
const READ_AT_A_TIME: usize = 64;

/// Documents of one segment whose messages are counted by role; four bytes for each until they are read.
pub(super) struct RoleCounts {
    reader: SegmentReader,
    stored: Field,
    docs: Vec<DocId>,
}

impl RoleCounts {
    pub(super) fn new(reader: SegmentReader, stored: Field) -> RoleCounts {
        RoleCounts { reader, stored, docs: Vec::new() }
    }

    pub(super) fn add(&mut self, doc: DocId) {
        self.docs.push(doc);
    }

    /// Reads the transcripts, on all cores.
    ///
    /// # Errors
    /// When the index is damaged.
    pub(super) fn read(mut self) -> tantivy::Result<BTreeMap<Role, u64>> {
        // In order, neighbours share a block of the document store.
        self.docs.sort_unstable();
        let parts = self.docs.par_chunks(READ_AT_A_TIME).map(|docs| {
            let store = self.reader.get_store_reader(1)?;
            let mut counts: BTreeMap<Role, u64> = BTreeMap::new();
            for doc in docs {
                let document: TantivyDocument = store.get(*doc)?;
                let bytes = document.get_first(self.stored).and_then(|value| value.as_bytes());
                let stored = bytes.and_then(|bytes| stored_conversation(bytes).ok());
                let stored = stored.ok_or_else(|| {
                    TantivyError::InternalError("a conversation of the index cannot be read".to_owned())
                })?;
                for message in &view(&stored).messages {
                    *counts.entry(message.role).or_default() += 1;
                }
            }
            Ok(counts)
        });
        parts.try_reduce(BTreeMap::new, |mut all, part| {
            for (role, count) in part {
                *all.entry(role).or_default() += count;
            }
            Ok(all)
        })
    }
}

/// The view people read, without a copy where there is one version only.
fn view(stored: &StoredConversation) -> Cow<'_, Conversation> {
    match stored.revisions.as_slice() {
        [only] => Cow::Borrowed(&only.content),
        _ => Cow::Owned(stored.merged()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(lengths: &[i64]) -> Vec<FacetCount> {
        let mut by_value: BTreeMap<i64, u64> = BTreeMap::new();
        lengths.iter().for_each(|length| *by_value.entry(*length).or_default() += 1);
        let known = by_value.into_iter().map(|(value, count)| (Some(FacetValue::Number(value)), count));
        known.chain([(None, 3)]).map(|(value, count)| FacetCount { value, count }).collect()
    }

    /// The definition, word by word: the smallest value that at least `percent` of a hundred do not exceed.
    fn naive(sorted: &[i64], percent: usize) -> i64 {
        let enough =
            |value: &&i64| sorted.iter().filter(|other| other <= value).count() * 100 >= percent * sorted.len();
        *sorted.iter().find(enough).expect("the largest is never exceeded")
    }

    #[test]
    fn percentiles_are_values_that_occur() {
        for length in 1..200_i64 {
            let mut lengths: Vec<i64> = (0..length).map(|n| n * 7919 % 101).collect();
            lengths.sort_unstable();
            let found = Lengths::of(&counts(&lengths)).expect("there are some");
            assert_eq!((found.count, found.without), (length as u64, 3));
            assert_eq!((found.min_s, found.max_s), (lengths[0], lengths[lengths.len() - 1]));
            for (found, percent) in [(found.p50_s, 50), (found.p90_s, 90), (found.p99_s, 99)] {
                assert_eq!(found, naive(&lengths, percent), "{length} values, p{percent}");
            }
        }
        assert_eq!(Lengths::of(&counts(&[])), None);
    }
}
