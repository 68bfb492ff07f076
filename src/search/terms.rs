//! A term report: many queries over the same conversations in one pass, each counted by itself and all together.
//!
//! Every query becomes one bit a conversation, segment by segment. What the index answers exactly costs no transcript;
//! where the matcher has to decide, or words are to be counted, a transcript is loaded and cut into words once, for all
//! queries that want it. Memory: one bit a query and conversation of a segment, and one bit a conversation of the whole.

use super::bits::Bits;
use super::compile::{compile, hidden};
use super::digest;
use super::facets::{Counts, Facet, FacetCollector, FacetCount, readable};
use super::field::Scope;
use super::found::{Found, found_by};
use super::matcher::{Matcher, View};
use super::parse::Located;
use super::query::{Query as Tree, TextQuery};
use super::run::SearchError;
use crate::conversation::Supplement;
use crate::index::{IndexError, Reader};
use jiff::tz::TimeZone;
use rayon::prelude::*;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::query::{EnableScoring, Query, TermQuery, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, DocId, SegmentReader, Term};

/// Queries up to which every pair of them is compared.
pub const MOST_COMPARED: usize = 200;

/// Transcripts that are worked on at the same time, and by one thread in a row.
const BATCH: usize = 8192;
const CHUNK: usize = 64;

/// What is counted for each query: conversations by agent and by month.
const FAMILIES: [Facet; 2] = [Facet::Agent, Facet::Month];

/// Many queries, each checked by [`super::check`], put to the same conversations.
#[derive(Clone, Debug)]
pub struct TermRequest {
    /// Only the conversations that this finds are searched; `*` for all.
    pub scope: Located,
    /// The queries.
    pub terms: Vec<Located>,
    /// Zone of the months.
    pub tz: TimeZone,
}

/// Conversations by agent and by month. One conversation may have several agents, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// Ids of agents, most conversations first.
    pub by_agent: Vec<FacetCount>,
    /// Months of the start, in order.
    pub by_month: Vec<FacetCount>,
}

/// What the words of a query hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextHits {
    /// Messages with at least one hit.
    pub messages: u64,
    /// Words and phrases that made a conversation match: a phrase is one, each side of a proximity is one.
    pub hits: u64,
}

/// The figures of one query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TermCounts {
    /// Conversations that it finds.
    pub conversations: u64,
    /// Of these, conversations that no other query of the list finds.
    pub unique: u64,
    /// What its words hit; `None` for a query without words of messages.
    pub text: Option<TextHits>,
    /// Its conversations by agent and month.
    pub families: Families,
}

/// The figures of a list of queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermReport {
    /// Conversations searched: those in the scope, and records of other kinds where a query names their kind.
    pub searched: u64,
    /// By query, in the order asked.
    pub terms: Vec<TermCounts>,
    /// Conversations that at least one query finds.
    pub found: u64,
    /// These by agent and month.
    pub families: Families,
    /// Conversations by the number of queries that find them; `[0]` are those that none finds.
    pub by_query_count: Vec<u64>,
    /// Conversations that two queries have in common, for each pair; the diagonal is each query's own count. `None` for
    /// more than [`MOST_COMPARED`] queries.
    pub overlap: Option<Vec<Vec<u64>>>,
    /// SHA-256 of the keys of `found`, sorted by bytes, each with a line feed behind it; hex.
    pub digest: String,
}

/// A query, ready for every segment.
struct Prepared {
    candidates: Box<dyn Weight>,
    exact: bool,
    has_words: bool,
    matcher: Matcher,
    hides: Vec<Supplement>,
}

/// What is added up over the segments.
struct Sums {
    terms: Vec<TermCounts>,
    families: Vec<Vec<Vec<Counts>>>,
    all_families: Vec<Vec<Counts>>,
    by_query_count: Vec<u64>,
    overlap: Option<Vec<Vec<u64>>>,
}

/// Counts all queries.
///
/// # Errors
/// [`SearchError::Query`] where the scope is not answered by this version; otherwise a damaged index.
pub fn term_report(reader: &Reader, request: &TermRequest) -> Result<TermReport, SearchError> {
    let scope = &request.scope.query;
    let in_scope = scope_of(reader, scope)?;
    let prepared = request.terms.iter().map(|term| prepare(reader, scope, &term.query));
    let prepared = prepared.collect::<Result<Vec<Prepared>, SearchError>>()?;
    // Records of other kinds count as searched where the scope or some query names their kind.
    let mut unseen = hidden(scope);
    unseen.retain(|supplement| prepared.iter().all(|term| term.hides.contains(supplement)));

    let count = prepared.len();
    let mut sums = Sums {
        terms: vec![TermCounts::default(); count],
        families: vec![Vec::new(); count],
        all_families: Vec::new(),
        by_query_count: vec![0; count + 1],
        overlap: (count <= MOST_COMPARED).then(|| vec![vec![0; count]; count]),
    };
    for (sum, term) in sums.terms.iter_mut().zip(&prepared) {
        sum.text = term.has_words.then(TextHits::default);
    }
    let mut union = Vec::new();
    for (ordinal, (segment, mut searched)) in
        reader.searcher().segment_readers().iter().zip(in_scope.segments).enumerate()
    {
        let kinds = kinds(reader, ordinal, segment)?;
        let mut found = candidates(reader, &prepared, ordinal, segment, &searched, &kinds)?;
        let ordinal = ordinal as u32;
        decide(reader, ordinal, &prepared, &mut found, &mut sums)?;
        kinds.iter().filter(|(kind, _)| unseen.contains(kind)).for_each(|(_, these)| searched.take_away(these));
        union.push(add_up(reader, ordinal, segment, &searched, &found, &mut sums)?);
    }
    finish(reader, request, sums, &Found { segments: union })
}

fn finish(reader: &Reader, request: &TermRequest, sums: Sums, union: &Found) -> Result<TermReport, SearchError> {
    let collector = FacetCollector { facets: &FAMILIES, fields: *reader.fields() };
    let readable = |fruits: Vec<Vec<Counts>>| -> tantivy::Result<Families> {
        let mut counts = collector.merge_fruits(fruits)?.into_iter();
        let mut of = |facet| readable(facet, counts.next().unwrap_or_default(), &request.tz);
        Ok(Families { by_agent: of(Facet::Agent), by_month: of(Facet::Month) })
    };
    let mut terms = sums.terms;
    for (term, fruits) in terms.iter_mut().zip(sums.families) {
        term.families = readable(fruits)?;
    }
    Ok(TermReport {
        searched: sums.by_query_count.iter().sum(),
        terms,
        found: sums.by_query_count.iter().skip(1).sum(),
        families: readable(sums.all_families)?,
        by_query_count: sums.by_query_count,
        overlap: sums.overlap,
        digest: digest::of_keys(reader, union)?.0,
    })
}

/// Exactly what is in the scope, whatever kind of record it is.
fn scope_of(reader: &Reader, scope: &Tree) -> Result<Found, SearchError> {
    let compiled = compile(scope, reader.fields());
    let candidates = Found::of(reader, &*compiled.candidates)?;
    match compiled.exact {
        true => Ok(candidates),
        false => Ok(candidates.verified(reader, &Matcher::of_everything(scope))?),
    }
}

fn prepare(reader: &Reader, scope: &Tree, tree: &Tree) -> Result<Prepared, SearchError> {
    let compiled = compile(tree, reader.fields());
    let mut hides = hidden(tree);
    hides.retain(|supplement| hidden(scope).contains(supplement));
    Ok(Prepared {
        candidates: compiled.candidates.weight(EnableScoring::disabled_from_searcher(reader.searcher()))?,
        exact: compiled.exact,
        has_words: has_words(tree),
        matcher: Matcher::of_everything(tree),
        hides,
    })
}

/// Whether a query has words that stand in messages: what it leaves out is in none.
fn has_words(tree: &Tree) -> bool {
    match tree {
        Tree::And(parts) | Tree::Or(parts) => parts.iter().any(has_words),
        Tree::Text(TextQuery { scope, .. }) => !matches!(scope, Scope::Sde(_)),
        Tree::Near(_) | Tree::Turns(_) => true,
        Tree::All | Tree::Not(_) | Tree::Meta(_) | Tree::Attribute(_) | Tree::Saved(_) => false,
    }
}

/// The records of a segment that are no conversations, by kind.
fn kinds(reader: &Reader, ordinal: usize, segment: &SegmentReader) -> Result<Vec<(Supplement, Bits)>, SearchError> {
    let mut kinds = Vec::new();
    for kind in [Supplement::Survey, Supplement::WebSession] {
        let term = Term::from_field_text(reader.fields().kind, kind.name());
        let query = TermQuery::new(term, IndexRecordOption::Basic);
        let weight = query.weight(EnableScoring::disabled_from_searcher(reader.searcher()))?;
        kinds.push((kind, found_by(reader, &*weight, ordinal, segment)?));
    }
    Ok(kinds)
}

/// What each query may find in a segment; never too few.
fn candidates(
    reader: &Reader,
    prepared: &[Prepared],
    ordinal: usize,
    segment: &SegmentReader,
    in_scope: &Bits,
    kinds: &[(Supplement, Bits)],
) -> Result<Vec<Bits>, SearchError> {
    prepared
        .par_iter()
        .map(|term| {
            let mut found = found_by(reader, &*term.candidates, ordinal, segment)?;
            found.keep(in_scope);
            kinds.iter().filter(|(kind, _)| term.hides.contains(kind)).for_each(|(_, these)| found.take_away(these));
            Ok(found)
        })
        .collect()
}

/// What one thread found in some transcripts.
struct Decided {
    text: Vec<TextHits>,
    /// Query and document, where the matcher said no.
    rejected: Vec<(usize, DocId)>,
}

/// Puts the candidates to the matcher where the index cannot decide, and counts hits where there are words. Every
/// transcript is loaded and cut into words once.
fn decide(
    reader: &Reader,
    ordinal: u32,
    prepared: &[Prepared],
    found: &mut [Bits],
    sums: &mut Sums,
) -> Result<(), SearchError> {
    let wanting: Vec<usize> =
        (0..prepared.len()).filter(|at| prepared[*at].has_words || !prepared[*at].exact).collect();
    let Some(first) = wanting.first() else { return Ok(()) };
    let mut needed = found[*first].clone();
    wanting.iter().for_each(|at| needed.add(&found[*at]));
    let mut documents = needed.iter();
    loop {
        let batch: Vec<DocId> = documents.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let decided = batch.par_chunks(CHUNK).map(|chunk| of_chunk(reader, ordinal, prepared, &wanting, found, chunk));
        let decided = decided.collect::<Result<Vec<Decided>, IndexError>>()?;
        for Decided { text, rejected } in decided {
            for (sum, more) in sums.terms.iter_mut().zip(text) {
                if let Some(sum) = &mut sum.text {
                    sum.messages += more.messages;
                    sum.hits += more.hits;
                }
            }
            rejected.into_iter().for_each(|(at, doc)| found[at].remove(doc));
        }
    }
}

fn of_chunk(
    reader: &Reader,
    ordinal: u32,
    prepared: &[Prepared],
    wanting: &[usize],
    found: &[Bits],
    chunk: &[DocId],
) -> Result<Decided, IndexError> {
    let mut decided = Decided { text: vec![TextHits::default(); prepared.len()], rejected: Vec::new() };
    for doc in chunk {
        let stored = reader.load(DocAddress::new(ordinal, *doc))?;
        let merged = stored.merged();
        let view = View::of(&stored, &merged);
        for at in wanting.iter().copied().filter(|at| found[*at].contains(*doc)) {
            let term = &prepared[at];
            if !term.exact && !term.matcher.holds(&view) {
                decided.rejected.push((at, *doc));
            } else if term.has_words {
                let mut last_message = None;
                for (message, ..) in term.matcher.places(&view) {
                    decided.text[at].hits += 1;
                    decided.text[at].messages += u64::from(last_message != Some(message));
                    last_message = Some(message);
                }
            }
        }
    }
    Ok(decided)
}

/// Adds a segment to the sums; gives what at least one query finds in it.
fn add_up(
    reader: &Reader,
    ordinal: u32,
    segment: &SegmentReader,
    searched: &Bits,
    found: &[Bits],
    sums: &mut Sums,
) -> Result<Bits, SearchError> {
    let mut union = Bits::none(segment.max_doc());
    let mut by_several = union.clone();
    for these in found {
        let mut again = union.clone();
        again.keep(these);
        by_several.add(&again);
        union.add(these);
    }
    let collector = FacetCollector { facets: &FAMILIES, fields: *reader.fields() };
    let families = |documents: &Bits| -> tantivy::Result<Vec<Counts>> {
        let mut counts = collector.for_segment(ordinal, segment)?;
        documents.iter().for_each(|doc| counts.collect(doc, 0.0));
        Ok(counts.harvest())
    };
    let counted = found.par_iter().map(|these| {
        let mut alone = these.clone();
        alone.take_away(&by_several);
        Ok((these.count(), alone.count(), families(these)?))
    });
    let counted = counted.collect::<tantivy::Result<Vec<_>>>()?;
    for (at, (conversations, unique, families)) in counted.into_iter().enumerate() {
        sums.terms[at].conversations += conversations;
        sums.terms[at].unique += unique;
        sums.families[at].push(families);
    }
    sums.all_families.push(families(&union)?);
    for (at, word) in searched.words().iter().enumerate() {
        let mut queries = [0_usize; 64];
        for these in found {
            let mut rest = these.words()[at];
            while rest != 0 {
                queries[rest.trailing_zeros() as usize] += 1;
                rest &= rest - 1;
            }
        }
        let of_this = |bit: &usize| word >> bit & 1 == 1;
        (0..64).filter(of_this).for_each(|bit| sums.by_query_count[queries[bit]] += 1);
    }
    if let Some(overlap) = &mut sums.overlap {
        overlap.par_iter_mut().enumerate().for_each(|(a, row)| {
            row.iter_mut().zip(found).for_each(|(sum, these)| *sum += found[a].common(these));
        });
    }
    Ok(union)
}
