//! Statistics of words over the live documents alone, for scores that do not depend on how the index came about.
//!
//! Tantivy's own count deleted documents until their segment is merged, and estimate lengths when it is. Two indexes of
//! one archive would rank differently.

use super::error::IndexError;
use super::reader::Reader;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet, SegmentReader, TERMINATED, Term};

impl Reader {
    /// Live documents that hold a term.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn live_doc_freq(&self, term: &Term) -> Result<u64, IndexError> {
        let mut found = 0;
        for (ordinal, segment) in self.searcher().segment_readers().iter().enumerate() {
            let inverted = segment.inverted_index(term.field())?;
            let Some(info) = inverted.get_term_info(term)? else { continue };
            if segment.alive_bitset().is_none() && self.superseded().is_empty() {
                found += u64::from(info.doc_freq);
                continue;
            }
            let mut postings = inverted.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
            while postings.doc() != TERMINATED {
                found += u64::from(self.is_live(segment, ordinal, postings.doc()));
                postings.advance();
            }
        }
        Ok(found)
    }

    /// Words of a text field in all live documents, each document's count rounded as the index rounds it.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn live_words(&self, field: Field) -> Result<u64, IndexError> {
        if let Some(words) = self.known_words(field) {
            return Ok(words);
        }
        let mut words = 0;
        for (ordinal, segment) in self.searcher().segment_readers().iter().enumerate() {
            let Some(lengths) = segment.fieldnorms_readers().get_field(field)? else { continue };
            for doc in segment.doc_ids_alive() {
                if self.is_live(segment, ordinal, doc) {
                    words += u64::from(lengths.fieldnorm(doc));
                }
            }
        }
        self.remember_words(field, words);
        Ok(words)
    }

    /// Whether a document is neither deleted nor replaced.
    pub fn is_live(&self, segment: &SegmentReader, ordinal: usize, doc: DocId) -> bool {
        let is_there = segment.alive_bitset().is_none_or(|alive| alive.is_alive(doc));
        is_there && (self.superseded().is_empty() || !self.is_superseded(ordinal, doc))
    }
}
