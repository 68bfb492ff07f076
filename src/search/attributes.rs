//! Attributes by path: the documents that have some word, or some number of a range, at a path or below it.
//!
//! The dictionary is sorted by path, so the paths below one are found by skipping from each to the next; how many values a
//! path has does not matter for that. Exact for single words and for ranges, never capped.

use super::query::Range;
use super::words::WordPattern;
use crate::index::{PATH_END, number_key};
use std::ops::Bound;
use std::sync::Arc;
use tantivy::postings::TermInfo;
use tantivy::query::{BitSetDocSet, ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, DocSet, InvertedIndexReader, Score, SegmentReader, TERMINATED};

/// What has to stand at the path.
#[derive(Clone, Debug)]
pub(super) enum AtPath {
    /// Any word.
    AnyWord,
    /// A word that the pattern accepts.
    Word(Arc<WordPattern>),
    /// A number in this range; an end is `None` where it is open.
    Number(Bound<f64>, Bound<f64>),
}

impl AtPath {
    pub(super) fn range(range: &Range<f64>) -> AtPath {
        let (low, high) = range.bounds();
        AtPath::Number(low, high)
    }
}

/// Documents that have it.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    /// The field of words by path, or of numbers by path.
    pub(super) field: Field,
    /// In lower case.
    pub(super) path: String,
    pub(super) wanted: AtPath,
}

impl Query for Attributes {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for Attributes {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = BitSet::with_max_value(reader.max_doc());
        let inverted = reader.inverted_index(self.field)?;
        for path in self.paths(&inverted)? {
            self.collect(&inverted, &path, &mut found)?;
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(found), boost)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(reader, 1.0)?;
        let found = scorer.seek(doc) == doc;
        Ok(Explanation::new("has it at the path", if found { 1.0 } else { 0.0 }))
    }
}

impl Attributes {
    /// The path and all paths below it that this segment has, each with its end sign.
    fn paths(&self, inverted: &InvertedIndexReader) -> tantivy::Result<Vec<Vec<u8>>> {
        let wanted = self.path.as_bytes();
        let mut paths = Vec::new();
        let mut from = wanted.to_vec();
        loop {
            let mut terms = inverted.terms().range().ge(&from).into_stream()?;
            if !terms.advance() || !terms.key().starts_with(wanted) {
                return Ok(paths);
            }
            // A term that was cut for its length lost its end, and nothing in it can be asked for.
            let end = memchr::memchr(PATH_END as u8, terms.key()).unwrap_or(terms.key().len());
            let path = &terms.key()[..end];
            if matches!(path.get(wanted.len()), None | Some(b'.')) && end < terms.key().len() {
                paths.push(terms.key()[..=end].to_vec());
            }
            // The next path begins behind every word of this one.
            from = [path, &[PATH_END as u8 + 1]].concat();
        }
    }

    fn collect(&self, inverted: &InvertedIndexReader, path: &[u8], found: &mut BitSet) -> tantivy::Result<()> {
        let mut add = |info: &TermInfo| -> tantivy::Result<()> {
            let mut postings = inverted.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
            while postings.doc() != TERMINATED {
                found.insert(postings.doc());
                postings.advance();
            }
            Ok(())
        };
        let key = |rest: &str| [path, rest.as_bytes()].concat();
        let (low, high) = match &self.wanted {
            AtPath::Word(pattern) => match pattern.as_ref() {
                WordPattern::Exactly(word) => {
                    return inverted.terms().get(key(word))?.map_or(Ok(()), |info| add(&info));
                }
                pattern => (Bound::Included(key(pattern.prefix())), Bound::Unbounded),
            },
            AtPath::AnyWord => (Bound::Included(key("")), Bound::Unbounded),
            AtPath::Number(low, high) => {
                let bound = |number: &f64| key(&number_key(*number));
                (low.as_ref().map(bound), high.as_ref().map(bound))
            }
        };
        let mut range = inverted.terms().range();
        range = match &low {
            Bound::Included(low) => range.ge(low),
            Bound::Excluded(low) => range.gt(low),
            Bound::Unbounded => range.ge(path),
        };
        range = match &high {
            Bound::Included(high) => range.le(high),
            Bound::Excluded(high) => range.lt(high),
            Bound::Unbounded => range,
        };
        let mut terms = range.into_stream()?;
        while terms.advance() {
            let Some(rest) = terms.key().strip_prefix(path) else { break };
            let is_meant = match &self.wanted {
                AtPath::AnyWord | AtPath::Number(..) => true,
                AtPath::Word(pattern) => {
                    if !rest.starts_with(pattern.prefix().as_bytes()) {
                        break;
                    }
                    std::str::from_utf8(rest).is_ok_and(|word| pattern.matches(word))
                }
            };
            if is_meant {
                add(terms.value())?;
            }
        }
        Ok(())
    }
}
