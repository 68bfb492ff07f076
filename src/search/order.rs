//! The order of hits, and pages of it.
//!
//! A hit's place is the value that is sorted by and then the key of its conversation: no two hits share one, and it does not
//! depend on where in the index they lie. A page is found by one walk over the set of hits that keeps the best so many of
//! those behind a place, so memory holds a page, whatever the number of hits.

use super::found::Found;
use super::ranking::{Ranking, SegmentRanking};
use crate::index::{IndexError, Reader};
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use tantivy::columnar::{Column, MonotonicallyMappableToU64, StrColumn};
use tantivy::{DocAddress, DocId, SegmentReader};

/// What hits are ordered by. The largest value comes first unless the order is reversed, what has no value comes last in
/// either direction, and the key of the conversation, ascending, decides between equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    /// Best match first.
    Relevance,
    /// Latest start first.
    Start,
    /// Latest end first.
    End,
    /// Highest MCS first.
    Mcs,
    /// Longest first.
    Duration,
    /// Most transfers first.
    Transfers,
    /// Longest wait in the first queue first.
    Queue,
    /// Highest customer satisfaction first.
    Csat,
    /// Highest Net Promoter Score first.
    Nps,
    /// Most messages first.
    Messages,
    /// Most versions first.
    Revisions,
    /// Highest code first.
    EndReason,
    /// Highest code first.
    StartReason,
    /// By key, bytewise; the only one that begins with the smallest.
    Key,
    /// Latest close first.
    Closed,
}

impl Sort {
    /// All of them, with the names they are asked for by.
    pub const ALL: [(Sort, &'static str); 15] = [
        (Sort::Relevance, "relevance"),
        (Sort::Start, "start"),
        (Sort::End, "end"),
        (Sort::Closed, "closed"),
        (Sort::Mcs, "mcs"),
        (Sort::Duration, "duration"),
        (Sort::Transfers, "transfers"),
        (Sort::Queue, "queue"),
        (Sort::Csat, "csat"),
        (Sort::Nps, "nps"),
        (Sort::Messages, "messages"),
        (Sort::Revisions, "revisions"),
        (Sort::EndReason, "end_reason"),
        (Sort::StartReason, "start_reason"),
        (Sort::Key, "key"),
    ];

    /// The name it is asked for by.
    pub fn name(self) -> &'static str {
        Sort::ALL.iter().find(|(sort, _)| *sort == self).map_or("", |(_, name)| name)
    }
}

/// Where a hit stands by the value that is sorted by: smaller comes first, what has no value comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Rank {
    is_missing: bool,
    value: u64,
}

/// Where a hit stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) rank: Rank,
    pub(super) key: String,
}

/// A hit of a page.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) address: DocAddress,
    rank: Rank,
    /// Its key, where it had to be compared.
    key: String,
}

/// An order, ready to be walked in.
pub(super) struct Order {
    pub(super) sort: Sort,
    pub(super) reverse: bool,
    /// For [`Sort::Relevance`].
    pub(super) ranking: Option<Ranking>,
}

/// A hit of one segment. `tie`: the ordinal of its key, so that smaller comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    rank: Rank,
    tie: u64,
    doc: DocId,
}

enum Values {
    Whole(Column<i64>),
    Count(Column<u64>),
    Float(Column<f64>),
    Scores(SegmentRanking),
    None,
}

/// One segment in an order.
struct Segment {
    values: Values,
    keys: StrColumn,
}

impl Order {
    fn key_falls(&self) -> bool {
        self.sort == Sort::Key && self.reverse
    }

    fn rank(&self, value: Option<u64>) -> Rank {
        match value {
            None => Rank { is_missing: true, value: 0 },
            Some(value) => Rank { is_missing: false, value: if self.reverse { value } else { !value } },
        }
    }

    /// The score that a rank stands for.
    pub(super) fn score(&self, placed: &Placed) -> Option<f32> {
        let bits = if self.reverse { placed.rank.value } else { !placed.rank.value };
        self.ranking.as_ref().map(|_| f32::from_bits(bits as u32))
    }

    fn segment(&self, reader: &SegmentReader) -> Result<Segment, IndexError> {
        let fast = reader.fast_fields();
        let values = match self.sort {
            Sort::Relevance => match &self.ranking {
                Some(ranking) => Values::Scores(ranking.of_segment(reader)?),
                None => Values::None,
            },
            Sort::Start
            | Sort::End
            | Sort::Closed
            | Sort::Duration
            | Sort::Queue
            | Sort::EndReason
            | Sort::StartReason => Values::Whole(fast.i64(self.sort.name())?),
            Sort::Mcs | Sort::Csat | Sort::Nps => Values::Float(fast.f64(self.sort.name())?),
            Sort::Transfers | Sort::Messages | Sort::Revisions => Values::Count(fast.u64(self.sort.name())?),
            Sort::Key => Values::None,
        };
        let keys = fast.str("key")?;
        let keys = keys.ok_or_else(|| IndexError::Damaged("a part of the index has no keys".into()))?;
        Ok(Segment { values, keys })
    }

    /// Calls `each` with the hits of a segment that stand behind `after`.
    fn walk(
        &self,
        reader: &Reader,
        found: &Found,
        ordinal: usize,
        after: Option<&Place>,
        mut each: impl FnMut(Row),
    ) -> Result<(), IndexError> {
        let mut docs = found.in_segment(ordinal).peekable();
        if docs.peek().is_none() {
            return Ok(());
        }
        let mut segment = self.segment(reader.searcher().segment_reader(ordinal as u32))?;
        let after =
            after.map(|place| Ok::<_, IndexError>((place.rank, self.first_tie(&segment, place)?))).transpose()?;
        for doc in docs {
            let rank = self.rank(segment.values.of(doc));
            let key = segment.keys.ords().first(doc).unwrap_or_default();
            let tie = if self.key_falls() { !key } else { key };
            let is_behind = |(last, first_tie): (Rank, Option<u64>)| {
                rank > last || rank == last && first_tie.is_some_and(|first| tie >= first)
            };
            if after.is_none_or(is_behind) {
                each(Row { rank, tie, doc });
            }
        }
        Ok(())
    }

    /// The smallest tie in a segment that stands behind a place's key; `None` where every key stands before it, or is it.
    fn first_tie(&self, segment: &Segment, place: &Place) -> Result<Option<u64>, IndexError> {
        let key = place.key.as_bytes();
        let from = if self.key_falls() { Bound::Included(key) } else { Bound::Excluded(key) };
        let (first, _) = segment.keys.dictionary().term_bounds_to_ord(from, Bound::Unbounded)?;
        let first = match first {
            Bound::Included(ordinal) => ordinal,
            Bound::Excluded(ordinal) => ordinal.saturating_add(1),
            Bound::Unbounded => 0,
        };
        // Where keys fall, those behind are the ones below `first`, and the tie of `first - 1` is the smallest of them.
        Ok(if self.key_falls() { first.checked_sub(1).map(|last| !last) } else { Some(first) })
    }

    /// Hits behind a place.
    pub(super) fn count(&self, reader: &Reader, found: &Found, after: Option<&Place>) -> Result<u64, IndexError> {
        if after.is_none() {
            return Ok(found.len());
        }
        let mut count = 0;
        for ordinal in 0..reader.searcher().segment_readers().len() {
            self.walk(reader, found, ordinal, after, |_| count += 1)?;
        }
        Ok(count)
    }

    /// The first `limit` hits behind a place, in order, and the place of the last one.
    pub(super) fn page(
        &self,
        reader: &Reader,
        found: &Found,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<(Vec<Placed>, Option<Place>), IndexError> {
        let mut best: Vec<(Rank, u32, u64, DocId)> = Vec::new();
        for ordinal in 0..reader.searcher().segment_readers().len() {
            let mut rows: Vec<Row> = Vec::new();
            let mut worst: Option<Row> = None;
            self.walk(reader, found, ordinal, after, |row| {
                if worst.is_some_and(|worst| row >= worst) {
                    return;
                }
                rows.push(row);
                // Twice the page before it is cut: a cut costs as much as it throws away.
                if limit > 0 && rows.len() >= limit.saturating_mul(2) {
                    let (_, at, _) = rows.select_nth_unstable(limit - 1);
                    worst = Some(*at);
                    rows.truncate(limit);
                }
            })?;
            if rows.len() > limit && limit > 0 {
                rows.select_nth_unstable(limit - 1);
                rows.truncate(limit);
            }
            best.extend(rows.into_iter().map(|row| (row.rank, ordinal as u32, row.tie, row.doc)));
        }
        if limit == 0 {
            return Ok((Vec::new(), None));
        }
        best.sort_unstable();
        let mut page: Vec<Placed> = Vec::with_capacity(limit.min(best.len()));
        // Of equal rank, and from several segments: only the keys themselves can say.
        for equals in best.chunk_by(|a, b| a.0 == b.0) {
            let must_compare = equals.first().map(|row| row.1) != equals.last().map(|row| row.1);
            let mut placed = self.placed(reader, equals, must_compare)?;
            if must_compare {
                placed.sort_by(|a, b| if self.key_falls() { b.key.cmp(&a.key) } else { a.key.cmp(&b.key) });
            }
            page.append(&mut placed);
            if page.len() >= limit {
                break;
            }
        }
        page.truncate(limit);
        let last = match page.last() {
            None => None,
            Some(last) => {
                let key = match last.key.is_empty() {
                    true => self.key_of(reader, last.address)?,
                    false => last.key.clone(),
                };
                Some(Place { rank: last.rank, key })
            }
        };
        Ok((page, last))
    }

    /// Rows of equal rank, by segment and tie, with their keys where they are wanted.
    fn placed(
        &self,
        reader: &Reader,
        rows: &[(Rank, u32, u64, DocId)],
        with_keys: bool,
    ) -> Result<Vec<Placed>, IndexError> {
        let mut placed = Vec::with_capacity(rows.len());
        for rows in rows.chunk_by(|a, b| a.1 == b.1) {
            let from = placed.len();
            placed.extend(rows.iter().map(|(rank, segment, _, doc)| Placed {
                address: DocAddress::new(*segment, *doc),
                rank: *rank,
                key: String::new(),
            }));
            if !with_keys {
                continue;
            }
            let fast = reader.searcher().segment_reader(rows[0].1).fast_fields().str("key")?;
            let Some(keys) = fast else { continue };
            // Ties rise; ordinals do so unless keys fall.
            let mut ordinals: Vec<u64> = rows.iter().map(|row| if self.key_falls() { !row.2 } else { row.2 }).collect();
            if self.key_falls() {
                ordinals.reverse();
            }
            let mut found = Vec::with_capacity(ordinals.len());
            keys.dictionary().sorted_ords_to_term_cb(&ordinals, |key| {
                found.push(String::from_utf8_lossy(key).into_owned());
            })?;
            if self.key_falls() {
                found.reverse();
            }
            for (placed, key) in placed[from..].iter_mut().zip(found) {
                placed.key = key;
            }
        }
        Ok(placed)
    }

    fn key_of(&self, reader: &Reader, address: DocAddress) -> Result<String, IndexError> {
        let keys = reader.searcher().segment_reader(address.segment_ord).fast_fields().str("key")?;
        let mut key = String::new();
        if let Some(keys) = keys
            && let Some(ordinal) = keys.ords().first(address.doc_id)
        {
            keys.ord_to_str(ordinal, &mut key)?;
        }
        Ok(key)
    }
}

impl Values {
    /// The value of a document as a number that sorts as the values do.
    fn of(&mut self, doc: DocId) -> Option<u64> {
        match self {
            Values::Whole(column) => column.first(doc).map(MonotonicallyMappableToU64::to_u64),
            Values::Count(column) => column.first(doc),
            Values::Float(column) => column.first(doc).map(MonotonicallyMappableToU64::to_u64),
            // No score is negative, so its bits sort as it does.
            Values::Scores(scores) => Some(u64::from(scores.score(doc).to_bits())),
            Values::None => Some(0),
        }
    }
}
