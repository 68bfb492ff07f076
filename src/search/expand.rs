//! Queries tantivy does not have: every word that a predicate accepts, without a cap; and the documents of another
//! query, gathered.

use super::words::WordPattern;
use std::sync::Arc;
use tantivy::query::{BitSetDocSet, ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, DocSet, Score, SegmentReader, TERMINATED};

/// Documents in whose `field` some word matches `pattern` (`None`: any word). Never capped: all matching words count.
#[derive(Clone, Debug)]
pub(super) struct ExpandedWords {
    pub(super) field: Field,
    pub(super) pattern: Option<Arc<WordPattern>>,
}

impl Query for ExpandedWords {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for ExpandedWords {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = BitSet::with_max_value(reader.max_doc());
        let inverted = reader.inverted_index(self.field)?;
        let prefix = self.pattern.as_ref().map_or("", |pattern| pattern.prefix()).as_bytes();
        let mut words = inverted.terms().range().ge(prefix).into_stream()?;
        while words.advance() {
            if !words.key().starts_with(prefix) {
                break;
            }
            let is_meant = match &self.pattern {
                Some(pattern) => std::str::from_utf8(words.key()).is_ok_and(|word| pattern.matches(word)),
                None => true,
            };
            if is_meant {
                let mut postings = inverted.read_postings_from_terminfo(words.value(), IndexRecordOption::Basic)?;
                while postings.doc() != TERMINATED {
                    found.insert(postings.doc());
                    postings.advance();
                }
            }
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(found), boost)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        explain(self, reader, doc)
    }
}

/// The documents of another query, gathered into a set. Scores nothing.
///
/// Tantivy asks what is excluded by seeking, also backwards and in parts that an earlier question left unaligned, which
/// its phrases, ranges and intersections do not bear (0.27: failed debug assertions). A set bears any question.
#[derive(Clone, Debug)]
pub(super) struct Gathered(pub(super) Arc<dyn Query>);

impl Query for Gathered {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let unscored = match scoring {
            EnableScoring::Enabled { searcher, .. } => EnableScoring::disabled_from_searcher(searcher),
            disabled @ EnableScoring::Disabled { .. } => disabled,
        };
        Ok(Box::new(GatheredWeight(self.0.weight(unscored)?)))
    }
}

struct GatheredWeight(Box<dyn Weight>);

impl Weight for GatheredWeight {
    fn scorer(&self, reader: &SegmentReader, _: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = BitSet::with_max_value(reader.max_doc());
        let mut scorer = self.0.scorer(reader, 1.0)?;
        while scorer.doc() != TERMINATED {
            found.insert(scorer.doc());
            scorer.advance();
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(found), 0.0)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        explain(self, reader, doc)
    }
}

fn explain(weight: &dyn Weight, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
    let mut scorer = weight.scorer(reader, 1.0)?;
    let found = scorer.seek(doc) == doc;
    Ok(Explanation::new("in the set", if found { 1.0 } else { 0.0 }))
}
