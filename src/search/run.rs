//! A search: candidates from the index, the matcher's word where the index cannot give it, order, counts, hits.

use super::compile::{Compiled, compile, hidden, unsupported};
use super::complaint::QueryError;
use super::expand::{DocumentSet, Gathered};
use super::facets::{Facet, FacetCollector, FacetCount, readable};
use super::highlight::{Snippet, snippets};
use super::matcher::Matcher;
use super::parse::Located;
use super::query::Query as Tree;
use super::sample::{self, Sample, SampleRequest};
use crate::conversation::{Conversation, StoredConversation};
use crate::index::{IndexError, Reader};
use jiff::tz::TimeZone;
use rayon::prelude::*;
use std::collections::BTreeSet;
use tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue, SortByString};
use tantivy::collector::{Count, DocSetCollector, TopDocs};
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, Order, Term};

/// What hits are ordered by; the key of the conversation breaks ties, so the order is the same after any rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// A question to the index.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// What to find.
    pub query: Located,
    /// Text of the query, for errors.
    pub text: String,
    /// `None`: relevance where the query has words, else start.
    pub sort: Option<Sort>,
    /// Reverses the order.
    pub reverse: bool,
    /// Hits wanted; `None` for all.
    pub limit: Option<usize>,
    /// What to count.
    pub facets: Vec<Facet>,
    /// Zone of the days and months of facets.
    pub tz: TimeZone,
}

/// The answer.
pub struct SearchAnswer {
    /// Conversations that match; always exact.
    pub total: u64,
    /// Records that are no conversation (surveys without one, web sessions) and match too, but whose type the query does
    /// not name, so that they are not among the hits.
    pub left_out: u64,
    /// Counts per asked facet, in the order asked.
    pub facets: Vec<(Facet, Vec<FacetCount>)>,
    /// The hits, in order; load each with [`Hits::load`].
    pub hits: Hits,
}

/// Addresses of the hits, and what it takes to show them. Hits are loaded one by one, so that any number can be printed.
pub struct Hits {
    addresses: Vec<(Option<f32>, DocAddress)>,
    matcher: Matcher,
}

/// One hit, loaded.
pub struct Hit {
    /// All revisions.
    pub stored: StoredConversation,
    /// The view people read.
    pub merged: Conversation,
    /// How well it matches; only where hits are ranked.
    pub score: Option<f32>,
    /// Where it matches.
    pub snippets: Vec<Snippet>,
}

/// Why a search failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The query cannot be answered.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl From<tantivy::TantivyError> for SearchError {
    fn from(error: tantivy::TantivyError) -> SearchError {
        SearchError::Index(error.into())
    }
}

/// Answers a request.
///
/// # Errors
/// [`SearchError::Query`] names every form that this version does not answer; none is dropped.
pub fn search(reader: &Reader, request: &SearchRequest) -> Result<SearchAnswer, SearchError> {
    Ok(search_sample(reader, request, None)?.0)
}

/// Whether this version answers every form of a query; [`search()`] asks by itself.
///
/// # Errors
/// Every form that it does not answer, by name.
pub fn check(query: &Located, text: &str) -> Result<(), QueryError> {
    let refused = unsupported(query);
    if refused.is_empty() {
        return Ok(());
    }
    Err(QueryError { query: text.to_owned(), complaints: refused, more: 0 })
}

/// Answers a request from a random sample of what it finds: totals, facets and hits are those of the sample.
///
/// # Errors
/// As [`search()`].
pub fn search_sample(
    reader: &Reader,
    request: &SearchRequest,
    wanted: Option<&SampleRequest>,
) -> Result<(SearchAnswer, Option<Sample>), SearchError> {
    check(&request.query, &request.text)?;
    let tree = &request.query.query;
    let matcher = Matcher::new(tree);
    let Compiled { candidates, exact, ranks } = compile(tree, reader.fields());
    let candidates = without_superseded(reader, candidates);
    let others = hidden_documents(reader, tree)?;
    let left_out = match &others {
        None => 0,
        Some(others) => {
            let both = vec![(Occur::Must, candidates.box_clone()), (Occur::Must, others.box_clone())];
            let both: Box<dyn Query> = Box::new(BooleanQuery::new(both));
            let seen = Matcher::of_everything(tree);
            let found = if exact { both } else { verified(reader, &seen, both)? };
            reader.searcher().search(&found, &Count)? as u64
        }
    };
    let visible = without(candidates, others);
    let query = if exact { visible } else { verified(reader, &matcher, visible)? };
    let (query, sample) = match wanted {
        None => (query, None),
        Some(wanted) => {
            let (query, sample) = sample::draw(reader, query, wanted)?;
            (query, Some(sample))
        }
    };

    let sort = request.sort.unwrap_or(if ranks { Sort::Relevance } else { Sort::Start });
    let facets = FacetCollector { facets: &request.facets, fields: *reader.fields() };
    let searcher = reader.searcher();
    let (total, counts) = searcher.search(&query, &(Count, facets))?;
    let limit = request.limit.unwrap_or(usize::MAX).min(total);
    let addresses = if limit == 0 { Vec::new() } else { ordered(reader, &*query, sort, request.reverse, limit)? };
    let facets =
        request.facets.iter().zip(counts).map(|(facet, counts)| (*facet, readable(*facet, counts, &request.tz)));
    let hits = Hits { addresses, matcher };
    Ok((SearchAnswer { total: total as u64, left_out, facets: facets.collect(), hits }, sample))
}

pub(super) fn without_superseded(reader: &Reader, query: Box<dyn Query>) -> Box<dyn Query> {
    if reader.superseded().is_empty() {
        return query;
    }
    let hidden = DocumentSet::new(reader.searcher(), reader.superseded());
    Box::new(BooleanQuery::new(vec![(Occur::Must, query), (Occur::MustNot, Box::new(hidden))]))
}

/// The documents that a query does not show because it does not name their type. An index without any pays nothing.
fn hidden_documents(reader: &Reader, tree: &Tree) -> Result<Option<Box<dyn Query>>, SearchError> {
    let mut clauses: Vec<(Occur, Box<dyn Query>)> = Vec::new();
    for supplement in hidden(tree) {
        let term = Term::from_field_text(reader.fields().kind, supplement.name());
        if reader.searcher().doc_freq(&term)? > 0 {
            clauses.push((Occur::Should, Box::new(TermQuery::new(term, IndexRecordOption::Basic))));
        }
    }
    Ok((!clauses.is_empty()).then(|| Box::new(BooleanQuery::new(clauses)) as Box<dyn Query>))
}

fn without(query: Box<dyn Query>, others: Option<Box<dyn Query>>) -> Box<dyn Query> {
    let Some(others) = others else { return query };
    let others: Box<dyn Query> = Box::new(Gathered(others.into()));
    Box::new(BooleanQuery::new(vec![(Occur::Must, query), (Occur::MustNot, others)]))
}

/// Puts every candidate to the matcher, on all cores, and keeps those that hold. Ranking stays the candidates'.
pub(super) fn verified(
    reader: &Reader,
    matcher: &Matcher,
    candidates: Box<dyn Query>,
) -> Result<Box<dyn Query>, SearchError> {
    let mut addresses: Vec<DocAddress> = reader.searcher().search(&candidates, &DocSetCollector)?.into_iter().collect();
    // In order, neighbours share a block of the document store.
    addresses.sort_unstable();
    let found: BTreeSet<DocAddress> = addresses
        .par_chunks(256)
        .map(|chunk| {
            let mut found = Vec::new();
            for address in chunk {
                if matcher.matches(&reader.load(*address)?) {
                    found.push(*address);
                }
            }
            Ok(found)
        })
        .collect::<Result<Vec<_>, IndexError>>()?
        .into_iter()
        .flatten()
        .collect();
    let found = DocumentSet::new(reader.searcher(), &found);
    Ok(Box::new(BooleanQuery::new(vec![(Occur::Must, candidates), (Occur::Must, Box::new(found))])))
}

fn ordered(
    reader: &Reader,
    query: &dyn Query,
    sort: Sort,
    reverse: bool,
    limit: usize,
) -> Result<Vec<(Option<f32>, DocAddress)>, SearchError> {
    let searcher = reader.searcher();
    let order = if reverse { Order::Asc } else { Order::Desc };
    let key = || (SortByString::for_field("key"), Order::Asc);
    let top = TopDocs::with_limit(limit);
    fn plain<K>(found: Vec<(K, DocAddress)>) -> Vec<(Option<f32>, DocAddress)> {
        found.into_iter().map(|(_, address)| (None, address)).collect()
    }
    let by_time = |field: &str| (SortByStaticFastValue::<i64>::for_field(field), order);
    Ok(match sort {
        Sort::Relevance => {
            let found = searcher.search(query, &top.order_by(((SortBySimilarityScore, order), key())))?;
            found.into_iter().map(|((score, _), address)| (Some(score), address)).collect()
        }
        Sort::Start => plain(searcher.search(query, &top.order_by((by_time("start"), key())))?),
        Sort::End => plain(searcher.search(query, &top.order_by((by_time("end"), key())))?),
        Sort::Duration => plain(searcher.search(query, &top.order_by((by_time("duration"), key())))?),
        Sort::Mcs => {
            let mcs = (SortByStaticFastValue::<f64>::for_field("mcs"), order);
            plain(searcher.search(query, &top.order_by((mcs, key())))?)
        }
        Sort::Transfers => {
            let transfers = (SortByStaticFastValue::<u64>::for_field("transfers"), order);
            plain(searcher.search(query, &top.order_by((transfers, key())))?)
        }
    })
}

impl Hits {
    /// Number of hits to load.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Loads a hit with at most `max_snippets` snippets.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn load(&self, reader: &Reader, at: usize, max_snippets: usize) -> Result<Hit, IndexError> {
        let (score, address) = self.addresses[at];
        let stored = reader.load(address)?;
        let merged = stored.merged();
        let highlights = if max_snippets == 0 { Vec::new() } else { self.matcher.highlights(&stored, &merged) };
        let snippets = snippets(&merged, &highlights, max_snippets);
        Ok(Hit { stored, merged, score, snippets })
    }
}
