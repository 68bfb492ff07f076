//! A search: candidates from the index, the matcher's word where the index cannot give it, order, counts, hits.

use super::compile::{Compiled, compile, hidden, unsupported};
use super::complaint::QueryError;
use super::cursor::{Cursor, CursorError};
use super::facets::{Facet, FacetCollector, FacetCount, readable};
use super::found::Found;
use super::highlight::{Snippet, raw_snippets, snippets};
use super::keys;
use super::matcher::Matcher;
use super::order::{Order, Place, Placed, Sort};
use super::parse::Located;
use super::query::Query as Tree;
use super::ranking::Ranking;
use super::sample::{self, Sample, SampleRequest};
use crate::conversation::{Conversation, StoredConversation};
use crate::index::{IndexError, Reader};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, Term};

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

/// The hits, and what it takes to show them. They are found a stretch at a time and loaded one by one, so that any number
/// can be printed: asked for in order, a million of them cost no more memory than a few thousand.
pub struct Hits {
    found: Found,
    order: Order,
    query: Tree,
    /// Where the page before ended.
    after: Option<Place>,
    len: usize,
    /// Hits behind `after`; `len` of them are given.
    left: u64,
    /// Hits found in one walk.
    window_len: usize,
    window: Mutex<Window>,
    matcher: Matcher,
}

/// The hits from `start` on that are at hand.
#[derive(Default)]
struct Window {
    start: usize,
    placed: Vec<Placed>,
    last: Option<Place>,
}

/// Hits that are found in one walk over all. Larger ones cost memory, smaller ones more walks: each goes over every hit.
const WINDOW: usize = 1 << 14;

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
    /// Messages with hits that no snippet shows; 0 where no snippets were asked for.
    pub more_lines: usize,
}

/// Why a search failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The query cannot be answered.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The cursor does not belong to the request.
    #[error(transparent)]
    Cursor(#[from] CursorError),
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
    search_after(reader, request, None)
}

/// As [`search`], with the hits behind a cursor. Totals and facets are those of all that match.
///
/// # Errors
/// As [`search`]; [`SearchError::Cursor`] where the cursor is that of another query or order.
pub fn search_after(
    reader: &Reader,
    request: &SearchRequest,
    cursor: Option<&Cursor>,
) -> Result<SearchAnswer, SearchError> {
    let asked = Asked::of(reader, request)?;
    if let Some(cursor) = cursor {
        cursor.check(&request.query.query, asked.sort, request.reverse)?;
    }
    let found = asked.found(reader)?;
    asked.answer(reader, found, cursor)
}

/// Answers a request from a random sample of what it finds: totals, facets and hits are those of the sample.
///
/// # Errors
/// As [`search`].
pub fn search_sample(
    reader: &Reader,
    request: &SearchRequest,
    wanted: &SampleRequest,
) -> Result<(SearchAnswer, Sample), SearchError> {
    let asked = Asked::of(reader, request)?;
    let (found, left_out) = asked.found(reader)?;
    let (drawn, sample) = sample::draw(reader, found, wanted)?;
    Ok((asked.answer(reader, (drawn, left_out), None)?, sample))
}

/// Whether this version answers every form of a query; [`search`] asks by itself.
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

/// Calls `each` with the key of every conversation that matches, bytewise ascending, whatever the request's order and limit.
///
/// # Errors
/// As [`search`].
pub fn for_each_key(reader: &Reader, request: &SearchRequest, each: &mut dyn FnMut(&str)) -> Result<(), SearchError> {
    let found = found(reader, request)?;
    Ok(keys::for_each_key(reader, &found, &mut |key, _| each(&String::from_utf8_lossy(key)))?)
}

/// What a request finds, whatever its order and limit.
pub(super) fn found(reader: &Reader, request: &SearchRequest) -> Result<Found, SearchError> {
    Ok(Asked::of(reader, request)?.found(reader)?.0)
}

/// A request, ready to be put to the index.
struct Asked<'r> {
    request: &'r SearchRequest,
    matcher: Matcher,
    candidates: Box<dyn Query>,
    exact: bool,
    sort: Sort,
}

impl<'r> Asked<'r> {
    fn of(reader: &Reader, request: &'r SearchRequest) -> Result<Asked<'r>, QueryError> {
        check(&request.query, &request.text)?;
        let tree = &request.query.query;
        let Compiled { candidates, exact, ranks } = compile(tree, reader.fields());
        let sort = request.sort.unwrap_or(if ranks { Sort::Relevance } else { Sort::Start });
        Ok(Asked { request, matcher: Matcher::new(tree), candidates, exact, sort })
    }

    /// What matches, and how many records that are no conversation do too and are left out.
    fn found(&self, reader: &Reader) -> Result<(Found, u64), SearchError> {
        let tree = &self.request.query.query;
        let proven =
            |found: Found, matcher: &Matcher| if self.exact { Ok(found) } else { found.verified(reader, matcher) };
        let candidates = Found::of(reader, &*self.candidates)?;
        let (found, left_out) = match hidden_documents(reader, tree)? {
            None => (candidates, 0),
            Some(others) => {
                let others = Found::of(reader, &*others)?;
                let left_out = proven(candidates.clone().and(&others), &Matcher::of_everything(tree))?.len();
                (candidates.without(&others), left_out)
            }
        };
        Ok((proven(found, &self.matcher)?, left_out))
    }

    fn answer(
        self,
        reader: &Reader,
        (found, left_out): (Found, u64),
        cursor: Option<&Cursor>,
    ) -> Result<SearchAnswer, SearchError> {
        let Asked { request, matcher, sort, .. } = self;
        let total = found.len();
        let counts = if request.facets.is_empty() { Vec::new() } else { counted(reader, &found, &request.facets)? };
        let facets = request.facets.iter().zip(counts);
        let facets = facets.map(|(facet, counts)| (*facet, readable(*facet, counts, &request.tz))).collect();
        let hits = Hits::of(reader, request, found, sort, cursor, matcher)?;
        Ok(SearchAnswer { total, left_out, facets, hits })
    }
}

/// Counts all asked facets over what was found.
fn counted(reader: &Reader, found: &Found, facets: &[Facet]) -> tantivy::Result<Vec<super::facets::Counts>> {
    let collector = FacetCollector { facets, fields: *reader.fields() };
    let mut counts = Vec::new();
    for (ordinal, segment) in reader.searcher().segment_readers().iter().enumerate() {
        let mut child = collector.for_segment(ordinal as u32, segment)?;
        found.in_segment(ordinal).for_each(|doc| child.collect(doc, 0.0));
        counts.push(child.harvest());
    }
    collector.merge_fruits(counts)
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

impl Hits {
    fn of(
        reader: &Reader,
        request: &SearchRequest,
        found: Found,
        sort: Sort,
        cursor: Option<&Cursor>,
        matcher: Matcher,
    ) -> Result<Hits, SearchError> {
        let query = request.query.query.clone();
        let ranking = match sort {
            Sort::Relevance => {
                let frozen = cursor.map(|cursor| cursor.statistics.as_slice());
                Some(Ranking::of(reader, &query, frozen)?.ok_or(CursorError::Unreadable)?)
            }
            _ => None,
        };
        let order = Order { sort, reverse: request.reverse, ranking };
        let after = cursor.map(|cursor| cursor.place.clone());
        let left = if request.limit == Some(0) { 0 } else { order.count(reader, &found, after.as_ref())? };
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(request.limit.unwrap_or(usize::MAX));
        Ok(Hits { found, order, query, after, len, left, window_len: WINDOW, window: Mutex::default(), matcher })
    }

    /// These hits, found so many at a time: the walk from window to window on a corpus of a few.
    #[cfg(test)]
    pub(crate) fn with_window(self, window_len: usize) -> Hits {
        Hits { window_len, ..self }
    }

    /// Number of hits to load.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The order of the hits.
    pub fn sort(&self) -> Sort {
        self.order.sort
    }

    /// Where the next page begins; `None` where these are the last hits. `now_ms`: the moment that the query was parsed at.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn next(&self, reader: &Reader, now_ms: i64) -> Result<Option<Cursor>, IndexError> {
        if self.len as u64 >= self.left || self.len == 0 {
            return Ok(None);
        }
        let window = self.window_with(reader, self.len - 1)?;
        let statistics = self.order.ranking.as_ref().map_or(&[][..], |ranking| ranking.numbers());
        let cursor = |place: &Place| {
            Cursor::new(&self.query, self.order.sort, self.order.reverse, now_ms, place.clone(), statistics)
        };
        Ok(window.last.as_ref().map(cursor))
    }

    /// The window that holds the hit `at`. Asked for in order, each is found once.
    fn window_with(&self, reader: &Reader, at: usize) -> Result<MutexGuard<'_, Window>, IndexError> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if at < window.start {
            *window = Window::default();
        }
        while at >= window.start + window.placed.len() {
            let start = window.start + window.placed.len();
            let after = window.last.as_ref().or(self.after.as_ref());
            let wanted = self.window_len.min(self.len.saturating_sub(start));
            let (placed, last) = self.order.page(reader, &self.found, after, wanted)?;
            if placed.is_empty() {
                return Err(IndexError::Damaged(format!("hit {at} of {} is not there", self.len)));
            }
            *window = Window { start, placed, last };
        }
        Ok(window)
    }

    fn address(&self, reader: &Reader, at: usize) -> Result<(Option<f32>, DocAddress), IndexError> {
        let window = self.window_with(reader, at)?;
        let placed = &window.placed[at - window.start];
        Ok((self.order.score(placed), placed.address))
    }

    /// Loads a hit with at most `max_snippets` snippets. Best in order: see [`Hits`].
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn load(&self, reader: &Reader, at: usize, max_snippets: usize) -> Result<Hit, IndexError> {
        let (score, address) = self.address(reader, at)?;
        let stored = reader.load(address)?;
        let merged = stored.merged();
        let mut found = Vec::new();
        let mut more_lines = 0;
        if max_snippets > 0 {
            let mut highlights = self.matcher.highlights(&stored, &merged);
            found = snippets(&merged, &highlights, max_snippets);
            if self.matcher.reads_raw() {
                let raw = self.matcher.raw_highlights(&stored, &merged);
                found.extend(raw_snippets(&merged, &raw, max_snippets - found.len()));
                highlights.extend(raw);
            }
            let lines: BTreeSet<usize> = highlights.iter().map(|highlight| highlight.message).collect();
            let shown: BTreeSet<usize> = found.iter().map(|snippet| snippet.message).collect();
            more_lines = lines.len().saturating_sub(shown.len());
        }
        Ok(Hit { stored, merged, score, snippets: found, more_lines })
    }
}
