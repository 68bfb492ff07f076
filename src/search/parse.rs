//! Query text → tree, or every complaint that can be made about it.
//!
//! Operators bind in this order, tightest first: `NOT` and `-`; then `w/n`, `pre/n`, `turns/n`; then `AND`, written or
//! implied by a space; then `OR`. So `a OR b c` is `a OR (b AND c)`; the printed tree shows it with parentheses.
//! `AND`, `OR`, `NOT` are operators in capitals only. Proximity stands between texts, see `proximity.rs`; it is never
//! chained without parentheses and never reaches metadata.
//! Nesting is limited to [`DEEPEST`]; the length of a query is not.

use std::ops::Range;

use jiff::tz::TimeZone;

use super::complaint::{Complaints, Fault, QueryError};
use super::field::{Field, Kind, Prefix, Scope};
use super::lex::{Spanned, Token, lex};
use super::pattern;
use super::print::nesting;
use super::proximity::Joint;
use super::query::{AttributeRange, Condition, Query, Test, TextPattern, TextQuery};
use super::value;

/// Parentheses and NOTs inside one another, at most.
pub const DEEPEST: usize = 100;

/// What the meaning of a query depends on besides its text.
#[derive(Clone, Debug)]
pub struct ParseOptions {
    /// Times without an offset are local to this zone.
    pub tz: TimeZone,
    /// The present, epoch milliseconds; what `now`, `today` and `-7d` are counted from.
    pub now_ms: i64,
}

impl ParseOptions {
    /// Times in UTC.
    pub fn utc(now_ms: i64) -> ParseOptions {
        ParseOptions { tz: TimeZone::UTC, now_ms }
    }
}

/// A parsed query that remembers where its leaves were typed, for complaints of later steps.
#[derive(Clone, Debug)]
pub struct Located {
    /// The tree.
    pub query: Query,
    leaves: Vec<(Query, Range<usize>)>,
}

impl Located {
    pub(super) fn new(query: Query, leaves: Vec<(Query, Range<usize>)>) -> Located {
        Located { query, leaves }
    }

    /// Byte span of the first text, proximity or condition in the query that equals `part`.
    pub fn span_of(&self, part: &Query) -> Option<Range<usize>> {
        self.leaves.iter().find(|(leaf, _)| leaf == part).map(|(_, span)| span.clone())
    }

    /// The same positions for a query in which everything saved was put in its place.
    pub(super) fn expanded(self, query: Query) -> Located {
        let leaves = self.leaves.into_iter().filter(|(leaf, _)| !matches!(leaf, Query::Saved(_))).collect();
        Located { query, leaves }
    }

    /// Every text, proximity, condition and saved search with its byte span; the sides of a proximity come before it.
    pub fn leaves(&self) -> &[(Query, Range<usize>)] {
        &self.leaves
    }
}

/// Reads a query.
///
/// # Errors
/// Everything found wrong with it, at most twenty complaints, in the order of their positions.
pub fn parse(text: &str, options: &ParseOptions) -> Result<Query, QueryError> {
    parse_located(text, options).map(|located| located.query)
}

/// Reads a query and keeps the positions of its leaves.
///
/// # Errors
/// As [`parse`].
pub fn parse_located(text: &str, options: &ParseOptions) -> Result<Located, QueryError> {
    read(text, options).map_err(|complaints| complaints.into_error(|mended| read(mended, options).is_ok()))
}

fn read<'q>(text: &'q str, options: &ParseOptions) -> Result<Located, Complaints<'q>> {
    let mut complaints = Complaints::about(text);
    let tokens = lex(&mut complaints);
    if tokens.is_empty() && complaints.is_empty() {
        complaints.add(0..text.len(), "the query is empty; `*` matches every conversation", Some("*"));
    }
    let mut parser = Parser { tokens, next: 0, depth: 0, leaves: Vec::new(), options, complaints };
    let query = parser.whole();
    refuse_unprintable(&query, &mut parser.complaints);
    if parser.complaints.is_empty() { Ok(Located { query, leaves: parser.leaves }) } else { Err(parser.complaints) }
}

/// Every query is recorded as it is printed, with all its parentheses, and has to read back from that.
pub(super) fn refuse_unprintable(query: &Query, complaints: &mut Complaints<'_>) {
    if complaints.is_empty() && nesting(query) > DEEPEST {
        let message = format!(
            "written with all its parentheses this is nested more than {DEEPEST} deep; make it flatter, or two queries"
        );
        complaints.add(0..complaints.query.len(), message, None);
    }
}

/// What is said of `consumer:(saved:NAME)`.
pub(super) fn saved_is_no_value(outer: &Prefix) -> String {
    format!("a saved search is no value of `{}:`; write it outside", outer.name())
}

/// A part of the query with where it stands.
pub(super) type Part = (Query, Range<usize>);

pub(super) struct Parser<'a, 'q> {
    tokens: Vec<Spanned>,
    next: usize,
    depth: usize,
    leaves: Vec<Part>,
    options: &'a ParseOptions,
    pub(super) complaints: Complaints<'q>,
}

impl Parser<'_, '_> {
    fn whole(&mut self) -> Query {
        if self.tokens.is_empty() {
            return Query::All;
        }
        let (query, _) = self.or(None);
        while let Some((Token::Close, span)) = self.peek() {
            self.complaints.add(span, "`)` has no `(` before it; to search the sign's text, quote it", Some(""));
            self.next += 1;
            if self.peek().is_some_and(|(token, _)| token != Token::Close) {
                self.or(None);
            }
        }
        query
    }

    fn peek(&self) -> Option<Spanned> {
        self.tokens.get(self.next).cloned()
    }

    fn peek_is(&self, wanted: &Token) -> bool {
        self.tokens.get(self.next).is_some_and(|(token, _)| token == wanted)
    }

    /// Where the query goes on, or ends.
    fn here(&self) -> Range<usize> {
        let end = self.complaints.query.len();
        self.tokens.get(self.next).map_or(end..end, |(_, span)| span.clone())
    }

    pub(super) fn source(&self, span: Range<usize>) -> String {
        self.complaints.query.get(span).unwrap_or_default().to_owned()
    }

    fn or(&mut self, group: Option<&Prefix>) -> Part {
        let (first, mut span) = self.and(group);
        let mut parts = vec![first];
        while self.peek_is(&Token::Or) {
            self.next += 1;
            let (part, at) = self.and(group);
            span.end = at.end;
            parts.push(part);
        }
        (Query::or(parts), span)
    }

    fn and(&mut self, group: Option<&Prefix>) -> Part {
        let (first, mut span) = self.near(group);
        let mut parts = vec![first];
        loop {
            match self.tokens.get(self.next) {
                None | Some((Token::Close | Token::Or, _)) => break,
                Some((Token::And, _)) => self.next += 1,
                // `skill:(3 4)`: people mean either; `end_reason:(205 101)` could never match as AND.
                Some((Token::Word(_) | Token::Quoted(_), at)) if group.is_some_and(|prefix| !prefix.takes_text()) => {
                    let at = at.clone();
                    let cure = format!("OR {}", self.source(at.clone()));
                    let message = "values in parentheses need AND or OR between them";
                    self.complaints.add(at, message, Some(&cure));
                }
                Some(_) => {}
            }
            let (part, at) = self.near(group);
            span.end = at.end;
            parts.push(part);
        }
        (Query::and(parts), span)
    }

    fn near(&mut self, group: Option<&Prefix>) -> Part {
        let left = self.unary(group);
        let Some((joint, at)) = self.joint() else { return left };
        let right = self.unary(group);
        if let Some((Token::Near { .. } | Token::Turns { .. }, again)) = self.peek() {
            let middle = self.source(right.1.clone());
            let cure = format!("AND {middle} {}", self.source(again.clone()));
            let message = "proximity cannot be chained, because it is not clear what the distance is counted from; join two with AND";
            self.complaints.add_with_edit(again.clone(), message, Some((again, &cure)));
            while let Some((Token::Near { .. } | Token::Turns { .. }, _)) = self.peek() {
                self.next += 1;
                self.unary(group);
            }
            return (Query::All, left.1.start..right.1.end);
        }
        let span = left.1.start..right.1.end;
        let query = self.proximity(joint, at, left, right);
        if query != Query::All {
            self.leaves.push((query.clone(), span.clone()));
        }
        (query, span)
    }

    /// `w/n`, `turns/n`, `NOT w/n`, if one stands here.
    fn joint(&mut self) -> Option<(Joint, Range<usize>)> {
        let (token, at) = self.peek()?;
        if let Some(joint) = token.joint(false) {
            self.next += 1;
            return Some((joint, at));
        }
        let (operator, end) = self.tokens.get(self.next + 1)?;
        let not = token == Token::Not && self.source(at.clone()) == "NOT";
        let joint = operator.joint(true).filter(|_| not)?;
        let span = at.start..end.end;
        self.next += 2;
        Some((joint, span))
    }

    /// `NOT x`, or something that stands for itself.
    fn unary(&mut self, group: Option<&Prefix>) -> Part {
        let Some((Token::Not, at)) = self.peek() else {
            return self.primary(group);
        };
        self.next += 1;
        if let Some((Token::Near { .. } | Token::Turns { .. }, operator)) = self.peek() {
            let sign = self.source(at.start..operator.end);
            let message = match self.tokens.get(self.next) {
                Some((Token::Turns { .. }, _)) => "`NOT turns/n` is not part of the language; `a AND NOT (a turns/n b)` leaves out conversations where both are close".to_owned(),
                _ => format!("`{sign}` has nothing before it to join; write `a NOT w/5 b`"),
            };
            self.complaints.add(at.start..operator.end, message, None);
            self.next += 1;
            let (_, end) = self.unary(group);
            return (Query::All, at.start..end.end);
        }
        if self.too_deep(&at) {
            return (Query::All, at);
        }
        self.depth += 1;
        let (inner, span) = self.unary(group);
        self.depth -= 1;
        (Query::Not(Box::new(inner)), at.start..span.end)
    }

    /// Complains once about nesting, and skips the rest of the query.
    fn too_deep(&mut self, at: &Range<usize>) -> bool {
        if self.depth < DEEPEST {
            return false;
        }
        let message = format!("parentheses and NOTs are nested more than {DEEPEST} deep here");
        self.complaints.add(at.clone(), message, None);
        self.next = self.tokens.len();
        true
    }

    fn primary(&mut self, group: Option<&Prefix>) -> Part {
        let before = self.next.checked_sub(1).and_then(|last| self.tokens.get(last)).cloned();
        let Some((token, span)) = self.peek() else {
            return self.missing(before);
        };
        self.next += 1;
        match token {
            Token::Close => {
                self.next -= 1;
                self.missing(before)
            }
            Token::And | Token::Or | Token::Near { .. } | Token::Turns { .. } => {
                let sign = self.source(span.clone());
                let message = format!("`{sign}` has nothing before it to join; to search the word, quote it");
                self.complaints.add(span.clone(), message, Some(""));
                // Not recursive: a thousand stray ORs are a thousand turns of the callers' loops.
                let end_follows = matches!(self.tokens.get(self.next), None | Some((Token::Close, _)));
                if !end_follows && matches!(self.tokens.get(self.next), Some((Token::Word(_) | Token::Quoted(_), _))) {
                    return self.primary(group);
                }
                (Query::All, span)
            }
            Token::Open => self.group(span, group),
            Token::Prefix(prefix) => self.prefixed(prefix, span, group),
            Token::Saved(name) => {
                if let Some(outer) = group {
                    self.complaints.add(span.clone(), saved_is_no_value(outer), None);
                }
                let query = Query::Saved(name);
                self.leaves.push((query.clone(), span.clone()));
                (query, span)
            }
            Token::Bad => (Query::All, span),
            Token::Not => (Query::All, span), // `unary` reads them; kept total rather than unreachable.
            Token::Word(_) | Token::Quoted(_) | Token::Regex(_) => {
                let query = self.leaf(&token, &span, group, span.start);
                (query, span)
            }
        }
    }

    /// An operand is missing after `before`, at the end or before `)`.
    fn missing(&mut self, before: Option<Spanned>) -> Part {
        let here = self.here();
        let here = here.start..here.start;
        match before {
            Some((Token::Open, open)) => {
                let close = self.here();
                let empty = open.start..close.end;
                let message = if self.peek_is(&Token::Close) {
                    "nothing stands between the parentheses"
                } else {
                    "`(` is never closed, and nothing follows it"
                };
                self.complaints.add(empty, message, Some(""));
            }
            Some((Token::Bad, _)) | None => {}
            Some((_, operator)) => {
                let sign = self.source(operator.clone());
                let message = format!("`{sign}` has nothing after it; to search the word, quote it");
                self.complaints.add(operator, message, Some(""));
            }
        }
        (Query::All, here)
    }

    /// Up to the closing parenthesis of one that was just read.
    fn group(&mut self, open: Range<usize>, group: Option<&Prefix>) -> Part {
        if self.too_deep(&open) {
            return (Query::All, open);
        }
        self.depth += 1;
        let (query, inner) = self.or(group);
        self.depth -= 1;
        if let Some((Token::Close, close)) = self.peek() {
            self.next += 1;
            return (query, open.start..close.end);
        }
        if self.depth < DEEPEST && self.complaints.is_empty() {
            let end = self.complaints.query.len();
            let message = "`(` is never closed";
            self.complaints.add_with_edit(open.clone(), message, Some((end..end, ")")));
        }
        (query, open.start..inner.end.max(open.end))
    }

    fn prefixed(&mut self, prefix: Prefix, span: Range<usize>, group: Option<&Prefix>) -> Part {
        let name = prefix.name();
        if let Some(outer) = group {
            let message =
                format!("`{name}:` stands inside the parentheses of `{}:`; a field cannot hold another", outer.name());
            self.complaints.add(span.clone(), message, None);
        }
        let Some((token, at)) = self.peek() else {
            return (Query::All, span);
        };
        match token {
            Token::Open => {
                self.next += 1;
                let (query, end) = self.group(at, Some(&prefix));
                (query, span.start..end.end)
            }
            Token::Word(_) | Token::Quoted(_) | Token::Regex(_) => {
                self.next += 1;
                let query = self.leaf(&token, &at, Some(&prefix), span.start);
                (query, span.start..at.end)
            }
            Token::Bad => {
                self.next += 1;
                (Query::All, span.start..at.end)
            }
            _ => (Query::All, span),
        }
    }

    /// A single text or condition. `start` is where its prefix begins, if it has one directly before it.
    fn leaf(&mut self, token: &Token, span: &Range<usize>, prefix: Option<&Prefix>, start: usize) -> Query {
        let made = match prefix {
            Some(Prefix::Field(field)) if !(matches!(token, Token::Regex(_)) && field.kind() == Kind::Words) => {
                let test = match token {
                    Token::Word(typed) if *field == Field::Has => match presence(typed) {
                        Some(query) => {
                            self.leaves.push((query.clone(), start..span.end));
                            return query;
                        }
                        None => match typed.strip_suffix(':').filter(|name| presence(name).is_some()) {
                            Some(name) => {
                                Err(Fault::new(format!("`has:` takes the name without its colon: has:{name}"))
                                    .cured_by(name))
                            }
                            None => value::test(*field, typed, false, self.options),
                        },
                    },
                    Token::Quoted(raw) if field.kind() == Kind::Words => value::test(*field, raw, true, self.options),
                    Token::Quoted(raw) => value::test(*field, &pattern::unescape(raw), true, self.options),
                    Token::Word(typed) => value::test(*field, typed, false, self.options),
                    _ => Err(Fault::new(format!("`{}:` takes no regular expression", field.name()))),
                };
                test.map(|test| Query::Meta(Condition { field: *field, test }))
            }
            Some(Prefix::Scope(Scope::Sde(path))) if attribute_range_of(token) != Ok(None) => attribute_range_of(token)
                .and_then(|range| match (path, range) {
                    (Some(path), Some(range)) => Ok(Query::Attribute(AttributeRange { path: path.clone(), range })),
                    _ => Err(Fault::new(
                        "numbers are compared by path: write `sde.cartStatus.total:>100`; to search the text, quote it",
                    )),
                }),
            _ => {
                let text = match token {
                    Token::Quoted(raw) => pattern::quoted(raw),
                    Token::Regex(expression) => pattern::regex(expression),
                    Token::Word(typed) if typed == "*" => Ok(TextPattern::Any),
                    Token::Word(typed) => pattern::bare(typed),
                    _ => Ok(TextPattern::Any),
                };
                text.map(|pattern| match prefix {
                    Some(Prefix::Field(field)) => {
                        Query::Meta(Condition { field: *field, test: Test::Matches(pattern) })
                    }
                    Some(Prefix::Scope(scope)) => Query::Text(TextQuery { scope: scope.clone(), pattern }),
                    None if pattern == TextPattern::Any => Query::All,
                    None => Query::Text(TextQuery { scope: Scope::Anywhere, pattern }),
                })
            }
        };
        match made {
            Ok(Query::All) => Query::All,
            Ok(query) => {
                self.leaves.push((query.clone(), start..span.end));
                query
            }
            Err(fault) => {
                self.complaints.fault(span.clone(), &fault);
                Query::All
            }
        }
    }
}

/// `has:summary`: the value of a field or the words of a speaker, whatever they are. `None`: no name of one, or one that
/// every conversation has.
pub(super) fn presence(typed: &str) -> Option<Query> {
    if matches!(Field::Has.kind(), Kind::Choice(choices) if choices.iter().any(|choice| choice.name == typed)) {
        return None;
    }
    match Prefix::named(typed)? {
        Prefix::Scope(Scope::Raw)
        | Prefix::Field(Field::Has | Field::Transfers | Field::Messages | Field::Revisions) => None,
        Prefix::Scope(scope) => Some(Query::Text(TextQuery { scope, pattern: TextPattern::Any })),
        Prefix::Field(field) => Some(Query::Meta(Condition { field, test: Test::Any })),
    }
}

/// The range of numbers that a bare value after `sde.<path>:` is, if it is one.
fn attribute_range_of(token: &Token) -> Result<Option<super::query::Range<f64>>, Fault> {
    match token {
        Token::Word(typed) => value::attribute_range(typed),
        _ => Ok(None),
    }
}
