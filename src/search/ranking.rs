//! How well a conversation matches: BM25 of every word of the query that it holds.
//!
//! The score of a conversation is a function of its words, the query and the statistics of the live documents. It depends on no
//! segment, no deleted document and no order of adding: terms are summed in the order of the query, as f64, one document
//! at a time. Statistics can be frozen into a cursor, so that the pages of one list do not move while the archive grows.

use super::compile::roles_of;
use super::expand::ExpandedWords;
use super::field::Scope;
use super::query::{Query as Tree, Side, TextPattern, TextQuery};
use super::words::{WordPattern, WordSequence};
use crate::conversation::Role;
use crate::index::schema::Fields;
use crate::index::{IndexError, Reader};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tantivy::query::{Bm25StatisticsProvider, EnableScoring, PhraseQuery, Query, Scorer, TermQuery, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, SegmentReader, Term};

/// A part of a query that adds to the score.
enum Leaf {
    /// One word, or several at adjacent positions.
    Words(Vec<Term>),
    /// Any of the words of a pattern: they add 1, however many there are.
    Pattern(ExpandedWords),
}

/// The words of a query, ready to score.
pub(super) struct Ranking {
    weights: Vec<Box<dyn Weight>>,
    numbers: Vec<u64>,
}

/// The scorers of one segment.
pub(super) struct SegmentRanking(Vec<Box<dyn Scorer>>);

impl Ranking {
    /// Prepares the words of a query. `frozen`: [`Ranking::numbers`] of an earlier page; `None` where they are not of this query.
    pub(super) fn of(reader: &Reader, tree: &Tree, frozen: Option<&[u64]>) -> Result<Option<Ranking>, IndexError> {
        let mut leaves = Vec::new();
        collect(tree, reader.fields(), &mut leaves);
        let Some(statistics) = Statistics::of(reader, &leaves, frozen)? else { return Ok(None) };
        let searcher = reader.searcher();
        let scoring = || EnableScoring::enabled_from_statistics_provider(&statistics, searcher);
        let weights = leaves.into_iter().map(|leaf| match leaf {
            Leaf::Words(mut terms) if terms.len() == 1 => {
                TermQuery::new(terms.remove(0), IndexRecordOption::WithFreqs).weight(scoring())
            }
            Leaf::Words(terms) => PhraseQuery::new(terms).weight(scoring()),
            Leaf::Pattern(pattern) => pattern.weight(scoring()),
        });
        Ok(Some(Ranking { weights: weights.collect::<tantivy::Result<_>>()?, numbers: statistics.numbers }))
    }

    /// The statistics that the scores follow from.
    pub(super) fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    pub(super) fn of_segment(&self, segment: &SegmentReader) -> tantivy::Result<SegmentRanking> {
        Ok(SegmentRanking(self.weights.iter().map(|weight| weight.scorer(segment, 1.0)).collect::<Result<_, _>>()?))
    }
}

impl SegmentRanking {
    /// The score of a document; documents must be asked for in ascending order.
    pub(super) fn score(&mut self, doc: DocId) -> f32 {
        let mut sum = 0.0;
        for scorer in &mut self.0 {
            if scorer.doc() < doc {
                scorer.seek(doc);
            }
            if scorer.doc() == doc {
                sum += f64::from(scorer.score());
            }
        }
        sum as f32
    }
}

/// The words that make a conversation match, in the order of the query; what is excluded adds nothing.
fn collect(tree: &Tree, fields: &Fields, leaves: &mut Vec<Leaf>) {
    match tree {
        Tree::And(parts) | Tree::Or(parts) => parts.iter().for_each(|part| collect(part, fields, leaves)),
        Tree::Text(text) => collect_text(text, fields, leaves),
        Tree::Near(near) => {
            collect_side(&near.left, fields, leaves);
            // What must not be near makes nothing match.
            if !near.absent {
                collect_side(&near.right, fields, leaves);
            }
        }
        Tree::Turns(turns) => {
            collect_side(&turns.left, fields, leaves);
            collect_side(&turns.right, fields, leaves);
        }
        Tree::All | Tree::Not(_) | Tree::Meta(_) | Tree::Attribute(_) | Tree::Saved(_) => {}
    }
}

fn collect_side(side: &Side, fields: &Fields, leaves: &mut Vec<Leaf>) {
    side.texts().into_iter().for_each(|text| collect_text(text, fields, leaves));
}

fn collect_text(text: &TextQuery, fields: &Fields, leaves: &mut Vec<Leaf>) {
    match &text.scope {
        Scope::Sde(None) => leaves.extend(leaf(&text.pattern, fields.sde)),
        // No field has these words by themselves.
        Scope::Sde(Some(_)) | Scope::Raw => {}
        scope => {
            let roles: &[Role] = roles_of(scope);
            leaves.extend(roles.iter().filter_map(|role| leaf(&text.pattern, fields.text_of(*role))));
        }
    }
}

fn leaf(pattern: &TextPattern, field: Field) -> Option<Leaf> {
    let Ok(WordSequence::Words(readings)) = WordSequence::of(pattern) else { return None };
    let words = readings.into_iter().next()?;
    let term = |word: &WordPattern| match word {
        WordPattern::Exactly(word) => Some(Term::from_field_text(field, word)),
        _ => None,
    };
    match (words.iter().map(term).collect::<Option<Vec<_>>>(), words.as_slice()) {
        (Some(terms), _) => Some(Leaf::Words(terms)),
        (None, [only]) => Some(Leaf::Pattern(ExpandedWords { field, pattern: Some(Arc::new(only.clone())) })),
        (None, _) => None,
    }
}

/// Counts over the live documents.
struct Statistics {
    documents: u64,
    words: BTreeMap<Field, u64>,
    frequencies: HashMap<Term, u64>,
    /// The same, in one row: documents, then each field's words, then each term's documents, as the query names them.
    numbers: Vec<u64>,
}

impl Statistics {
    fn of(reader: &Reader, leaves: &[Leaf], frozen: Option<&[u64]>) -> Result<Option<Statistics>, IndexError> {
        let mut terms: Vec<&Term> = Vec::new();
        let mut known = std::collections::HashSet::new();
        for leaf in leaves {
            if let Leaf::Words(words) = leaf {
                terms.extend(words.iter().filter(|term| known.insert(*term)));
            }
        }
        let mut fields: Vec<Field> = terms.iter().map(|term| term.field()).collect();
        fields.sort_unstable();
        fields.dedup();
        let numbers = match frozen {
            Some(numbers) => numbers.to_vec(),
            None => {
                let mut numbers = vec![reader.document_count()];
                for field in &fields {
                    numbers.push(reader.live_words(*field)?);
                }
                for term in &terms {
                    numbers.push(reader.live_doc_freq(term)?);
                }
                numbers
            }
        };
        if numbers.len() != 1 + fields.len() + terms.len() {
            return Ok(None);
        }
        // Tantivy panics where a term is in more documents than there are, and frozen numbers come from outside.
        let documents = numbers[0].max(1);
        let (words, frequencies) = numbers[1..].split_at(fields.len());
        Ok(Some(Statistics {
            documents,
            words: fields.into_iter().zip(words.iter().map(|words| (*words).max(1))).collect(),
            frequencies: terms
                .into_iter()
                .cloned()
                .zip(frequencies.iter().map(|found| (*found).min(documents)))
                .collect(),
            numbers,
        }))
    }
}

impl Bm25StatisticsProvider for Statistics {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        Ok(self.words.get(&field).copied().unwrap_or(1))
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.documents)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        Ok(self.frequencies.get(term).copied().unwrap_or(0))
    }
}
