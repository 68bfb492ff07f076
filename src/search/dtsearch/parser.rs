//! Tokens → tree.
//!
//! `not` binds tightest, then `w/n` and `pre/n`, then `and` or `or`, of which one kind stands at a level. A phrase with
//! patterns in it becomes `(a* pre/1 b)`, which means the same.

use super::super::complaint::{Complaints, Fault, QueryError};
use super::super::field::{Field, Kind, Prefix, Scope};
use super::super::lex::is_bare_word;
use super::super::parse::{DEEPEST, Located, ParseOptions, presence, refuse_unprintable, saved_is_no_value};
use super::super::pattern;
use super::super::proximity::{self, Joint, join};
use super::super::query::{AttributeRange, Condition, Query, Test, TextPattern, TextQuery};
use super::super::value;
use super::lexer::{Spanned, Token, lex};
use super::word::{Atom, atoms, signed};
use std::ops::Range;

/// Reads a query in dtSearch's syntax and keeps the positions of its leaves.
///
/// # Errors
/// Everything found wrong with it, at most twenty complaints, in the order of their positions.
pub fn parse_located(text: &str, options: &ParseOptions) -> Result<Located, QueryError> {
    read(text, options).map_err(|complaints| complaints.into_error(|mended| read(mended, options).is_ok()))
}

fn read<'q>(text: &'q str, options: &ParseOptions) -> Result<Located, Complaints<'q>> {
    let mut complaints = Complaints::about(text);
    let tokens = lex(&mut complaints);
    if tokens.is_empty() && complaints.is_empty() {
        complaints.add(0..text.len(), "the query is empty; `*` matches every conversation", Some("*"));
    }
    if matches!(&tokens[..], [(Token::Word(star), _)] if star == "*") {
        return Ok(Located::new(Query::All, Vec::new()));
    }
    let mut parser = Parser { tokens, next: 0, depth: 0, leaves: Vec::new(), options, complaints };
    let query = if parser.tokens.is_empty() { Query::All } else { parser.whole() };
    refuse_unprintable(&query, &mut parser.complaints);
    if parser.complaints.is_empty() { Ok(Located::new(query, parser.leaves)) } else { Err(parser.complaints) }
}

type Part = (Query, Range<usize>);

struct Parser<'a, 'q> {
    tokens: Vec<Spanned>,
    next: usize,
    depth: usize,
    leaves: Vec<Part>,
    options: &'a ParseOptions,
    complaints: Complaints<'q>,
}

impl Parser<'_, '_> {
    fn whole(&mut self) -> Query {
        let (query, _) = self.expression(None);
        while let Some((Token::Close, span)) = self.peek() {
            self.complaints.add(span, "`)` has no `(` before it", Some(""));
            self.next += 1;
            if self.peek().is_some_and(|(token, _)| token != Token::Close) {
                self.expression(None);
            }
        }
        query
    }

    fn peek(&self) -> Option<Spanned> {
        self.tokens.get(self.next).cloned()
    }

    fn source(&self, span: Range<usize>) -> String {
        self.complaints.query.get(span).unwrap_or_default().to_owned()
    }

    /// Parts joined by `and`, or by `or`.
    fn expression(&mut self, group: Option<&Prefix>) -> Part {
        let (first, mut span, mut has_joint) = self.near(group);
        let mut parts = vec![first];
        let mut connector: Option<Token> = None;
        while let Some((token, at)) = self.peek() {
            match token {
                Token::Close => break,
                Token::And | Token::Or => {
                    self.next += 1;
                    let word = self.source(at.clone()).to_lowercase();
                    let so_far = self.source(span.clone());
                    if connector.as_ref().is_some_and(|known| *known != token) {
                        let message = format!(
                            "`{word}` beside the other connector: `and` and `or` side by side are read in either way; put one part in parentheses"
                        );
                        let cure = format!("({so_far})");
                        self.complaints.add_with_edit(at, message, Some((span.clone(), &cure)));
                    }
                    connector = Some(token);
                }
                // `a not b`: dtSearch reads it as `a and not b`.
                Token::Not if connector.as_ref().is_none_or(|known| *known == Token::And) => {
                    connector = Some(Token::And);
                }
                _ => {
                    let next = self.source(at.clone());
                    let message = format!(
                        "`{next}` follows without a connector; words side by side are a phrase, anything else needs and, or, w/n"
                    );
                    let cure = format!("and {next}");
                    self.complaints.add(at, message, Some(&cure));
                    if connector.is_none() {
                        connector = Some(Token::And);
                    }
                }
            }
            let (part, end, joint) = self.near(group);
            has_joint |= joint;
            span.end = end.end.max(span.end);
            parts.push(part);
        }
        if connector == Some(Token::Or) && has_joint {
            let message =
                "`or` and a distance side by side are read in either way; put `(a or b)` or `(a w/5 b)` in parentheses";
            self.complaints.add(span.clone(), message, None);
        }
        let query = if connector == Some(Token::Or) { Query::or(parts) } else { Query::and(parts) };
        (query, span)
    }

    /// Two sides and a distance between them, or one part alone; and whether there was a distance.
    fn near(&mut self, group: Option<&Prefix>) -> (Query, Range<usize>, bool) {
        let left = self.unary(group);
        let Some((joint, sign)) = self.joint() else { return (left.0, left.1, false) };
        let right = self.unary(group);
        let span = left.1.start..right.1.end.max(left.1.end);
        if let Some((_, again)) = self.joint() {
            let message = "distances cannot be chained, because it is not clear what is counted from; put the first two in parentheses";
            let cure = format!("({})", self.source(span.clone()));
            self.complaints.add_with_edit(again, message, Some((span.clone(), &cure)));
            self.unary(group);
            while self.joint().is_some() {
                self.unary(group);
            }
            return (Query::All, span, true);
        }
        if !self.complaints.is_empty() {
            return (Query::All, span, true);
        }
        match join(joint, &self.source(sign), &left.0, &right.0) {
            Ok(query) => {
                self.leaves.push((query.clone(), span.clone()));
                (query, span, true)
            }
            Err(unfit) => {
                let place = match unfit.at {
                    proximity::Fault::Left => left.1,
                    proximity::Fault::Right => right.1,
                    proximity::Fault::Both => span.clone(),
                };
                self.complaints.add(place, unfit.message, None);
                (Query::All, span, true)
            }
        }
    }

    /// `w/n`, `pre/n`, `not w/n`, if one stands here.
    fn joint(&mut self) -> Option<(Joint, Range<usize>)> {
        let (token, at) = self.peek()?;
        let (absent, operator, end) = match (&token, self.tokens.get(self.next + 1)) {
            (Token::Not, Some((operator, end))) => (true, operator.clone(), end.end),
            _ => (false, token.clone(), at.end),
        };
        let Token::Near { ordered, distance } = operator else { return None };
        self.next += if absent { 2 } else { 1 };
        Some((Joint::Near { distance, ordered, absent }, at.start..end))
    }

    fn unary(&mut self, group: Option<&Prefix>) -> Part {
        let Some((Token::Not, at)) = self.peek() else { return self.primary(group) };
        self.next += 1;
        if self.too_deep(&at) {
            return (Query::All, at);
        }
        self.depth += 1;
        let (inner, span) = self.unary(group);
        self.depth -= 1;
        (Query::Not(Box::new(inner)), at.start..span.end.max(at.end))
    }

    /// Complains once about nesting, and skips the rest of the query.
    fn too_deep(&mut self, at: &Range<usize>) -> bool {
        if self.depth < DEEPEST {
            return false;
        }
        let message = format!("parentheses and nots are nested more than {DEEPEST} deep here");
        self.complaints.add(at.clone(), message, None);
        self.next = self.tokens.len();
        true
    }

    fn primary(&mut self, group: Option<&Prefix>) -> Part {
        let Some((token, span)) = self.peek() else {
            let end = self.complaints.query.len();
            return self.missing(end..end);
        };
        match token {
            Token::Close => self.missing(span.start..span.start),
            Token::And | Token::Or | Token::Near { .. } => {
                let sign = self.source(span.clone());
                let message = format!("`{sign}` has nothing before it to join; to search the word, quote it");
                self.complaints.add(span.clone(), message, Some(""));
                // Operators are taken by the callers' loops; one that begins a part is taken here.
                self.next += 1;
                (Query::All, span)
            }
            Token::Not => self.unary(group),
            Token::Open => {
                self.next += 1;
                self.group(span, group)
            }
            Token::Prefix(prefix) => {
                self.next += 1;
                self.prefixed(&prefix, span, group)
            }
            Token::Saved(name) => {
                self.next += 1;
                if let Some(outer) = group {
                    self.complaints.add(span.clone(), saved_is_no_value(outer), None);
                }
                let query = Query::Saved(name);
                self.leaves.push((query.clone(), span.clone()));
                (query, span)
            }
            Token::Bad => {
                self.next += 1;
                (Query::All, span)
            }
            Token::Word(_) | Token::Quoted(_) | Token::Value(_) => self.words(group, span.start),
        }
    }

    /// An operand is missing at the end or before `)`.
    fn missing(&mut self, here: Range<usize>) -> Part {
        let before = self.next.checked_sub(1).and_then(|last| self.tokens.get(last)).cloned();
        match before {
            Some((Token::Open, open)) => {
                self.complaints.add(open, "nothing stands between the parentheses", None);
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

    fn group(&mut self, open: Range<usize>, group: Option<&Prefix>) -> Part {
        if self.too_deep(&open) {
            return (Query::All, open);
        }
        self.depth += 1;
        let (query, inner) = self.expression(group);
        self.depth -= 1;
        if let Some((Token::Close, close)) = self.peek() {
            self.next += 1;
            return (query, open.start..close.end);
        }
        if self.complaints.is_empty() {
            let end = self.complaints.query.len();
            self.complaints.add_with_edit(open.clone(), "`(` is never closed", Some((end..end, ")")));
        }
        (query, open.start..inner.end.max(open.end))
    }

    fn prefixed(&mut self, prefix: &Prefix, span: Range<usize>, group: Option<&Prefix>) -> Part {
        if let Some(outer) = group {
            let message = format!(
                "`{}` stands inside the parentheses of `{}`; a field cannot hold another",
                prefix.name(),
                outer.name()
            );
            self.complaints.add(span.clone(), message, None);
        }
        match self.peek() {
            Some((Token::Open, open)) => {
                self.next += 1;
                let (query, end) = self.group(open, Some(prefix));
                (query, span.start..end.end)
            }
            Some((Token::Word(_) | Token::Quoted(_) | Token::Value(_), _)) => self.words(Some(prefix), span.start),
            Some((Token::Saved(_), _)) => self.primary(Some(prefix)),
            Some((Token::Bad, at)) => {
                self.next += 1;
                (Query::All, span.start..at.end)
            }
            _ => self.missing(span.end..span.end),
        }
    }

    /// Words and quotes side by side: a phrase; or one value of a field.
    fn words(&mut self, prefix: Option<&Prefix>, start: usize) -> Part {
        if let Some(Prefix::Field(field)) = prefix
            && field.kind() != Kind::Words
        {
            return self.value(*field, start);
        }
        let mut found: Vec<(Atom, bool)> = Vec::new();
        let mut end = start;
        while let Some((token @ (Token::Word(_) | Token::Quoted(_) | Token::Value(_)), span)) = self.peek() {
            self.next += 1;
            end = span.end;
            let (text, is_quoted) = match &token {
                Token::Quoted(text) => (text, true),
                Token::Word(text) | Token::Value(text) => (text, false),
                _ => continue,
            };
            if let (Token::Value(typed), Some(Prefix::Scope(Scope::Sde(path)))) = (&token, prefix)
                && let Some(part) = self.attribute(path.as_deref(), typed, start..end)
            {
                return part;
            }
            if is_quoted && !pattern::searchable(text) {
                let message = format!("the phrase \"{text}\" holds no letter or digit, so it can match nothing");
                self.complaints.add(span.clone(), message, Some(""));
            }
            for word in text.split_whitespace() {
                // Inside quotes punctuation between words is nothing to complain about.
                let is_sign = is_quoted && !pattern::searchable(word) && !word.contains('=');
                match if is_sign { Ok(Vec::new()) } else { atoms(word, is_quoted) } {
                    Ok(atoms) => found.extend(atoms.into_iter().map(|atom| (atom, is_quoted))),
                    Err(fault) if is_quoted => self.complaints.add(span.clone(), fault.message, None),
                    Err(fault) => {
                        let before = self.next.checked_sub(2).and_then(|before| self.tokens.get(before));
                        let is_operand = matches!(before, Some((Token::Word(_) | Token::Quoted(_) | Token::Close, _)));
                        // `apple -pear`: without the `and` the cure would be a phrase.
                        let is_signed = word.starts_with(['-', '+']) && fault.replacement == Some(signed(word));
                        let fault = if is_operand && is_signed {
                            Fault { replacement: fault.replacement.map(|cure| format!("and {cure}")), ..fault }
                        } else {
                            fault
                        };
                        self.complaints.fault(span.clone(), &fault);
                    }
                }
            }
            if matches!(token, Token::Value(_)) {
                break;
            }
        }
        let span = start..end;
        if !self.complaints.is_empty() || found.is_empty() {
            return (Query::All, span);
        }
        match phrase(found, prefix) {
            Ok(parts) if parts.len() > DEEPEST => {
                let message = format!("a phrase with wildcards or other signs has at most {DEEPEST} of them");
                self.complaints.add(span.clone(), message, None);
                (Query::All, span)
            }
            Ok(parts) => (self.sequence(parts, prefix, &span), span),
            Err(message) => {
                self.complaints.add(span.clone(), message, None);
                (Query::All, span)
            }
        }
    }

    /// Patterns that follow each other.
    fn sequence(&mut self, mut parts: Vec<TextPattern>, prefix: Option<&Prefix>, span: &Range<usize>) -> Query {
        let first = parts.remove(0);
        let scope = match prefix {
            Some(Prefix::Field(field)) => {
                let query = Query::Meta(Condition { field: *field, test: Test::Matches(first) });
                self.leaves.push((query.clone(), span.clone()));
                return query;
            }
            Some(Prefix::Scope(scope)) => scope.clone(),
            None => Scope::Anywhere,
        };
        let text = |pattern| Query::Text(TextQuery { scope: scope.clone(), pattern });
        let mut query = text(first);
        self.leaves.push((query.clone(), span.clone()));
        for part in parts {
            let right = text(part);
            self.leaves.push((right.clone(), span.clone()));
            let adjacent = Joint::Near { distance: 1, ordered: true, absent: false };
            match join(adjacent, "pre/1", &query, &right) {
                Ok(joined) => query = joined,
                Err(unfit) => {
                    self.complaints.add(span.clone(), unfit.message, None);
                    return Query::All;
                }
            }
        }
        query
    }

    /// A value of a field that is no text.
    fn value(&mut self, field: Field, start: usize) -> Part {
        let Some((token, span)) = self.peek() else { return (Query::All, start..start) };
        self.next += 1;
        let made = match &token {
            Token::Word(typed) | Token::Value(typed) => match presence(typed).filter(|_| field == Field::Has) {
                Some(query) => Ok(query),
                None => {
                    value::test(field, typed, false, self.options).map(|test| Query::Meta(Condition { field, test }))
                }
            },
            Token::Quoted(typed) => {
                value::test(field, typed, true, self.options).map(|test| Query::Meta(Condition { field, test }))
            }
            _ => Err(Fault::new("a value is missing here")),
        };
        let whole = start..span.end;
        match made {
            Ok(query) => {
                self.leaves.push((query.clone(), whole.clone()));
                (query, whole)
            }
            Err(fault) => {
                self.complaints.fault(span, &Fault { replacement: None, ..fault });
                (Query::All, whole)
            }
        }
    }

    /// `sde.cartStatus.total:>100`. `None`: the value is text.
    fn attribute(&mut self, path: Option<&str>, typed: &str, span: Range<usize>) -> Option<Part> {
        let query = match (value::attribute_range(typed), path) {
            (Ok(None), _) if typed == "*" => {
                let scope = Scope::Sde(path.map(str::to_owned));
                Query::Text(TextQuery { scope, pattern: TextPattern::Any })
            }
            (Ok(None), _) => return None,
            (Ok(Some(range)), Some(path)) => Query::Attribute(AttributeRange { path: path.to_owned(), range }),
            (Ok(Some(_)), None) => {
                let message = "numbers are compared by path: write `sde.cartStatus.total:>100`";
                self.complaints.add(span.clone(), message, None);
                return Some((Query::All, span));
            }
            (Err(fault), _) => {
                self.complaints.fault(span.clone(), &Fault { replacement: None, ..fault });
                return Some((Query::All, span));
            }
        };
        self.leaves.push((query.clone(), span.clone()));
        Some((query, span))
    }
}

/// Neighbouring literals become one phrase; patterns stay by themselves.
fn phrase(found: Vec<(Atom, bool)>, prefix: Option<&Prefix>) -> Result<Vec<TextPattern>, String> {
    if let [(Atom::Literal(word), false)] = &found[..]
        && is_bare_word(word, prefix)
        && pattern::bare(word).as_ref() == Ok(&TextPattern::Word(word.clone()))
        && !matches!(prefix, Some(Prefix::Scope(Scope::Sde(_))) if value::attribute_range(word) != Ok(None))
    {
        return Ok(vec![TextPattern::Word(word.clone())]);
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let is_one = found.len() == 1;
    for (atom, _) in found {
        match atom {
            Atom::Literal(word) => {
                if !literal.is_empty() {
                    literal.push(' ');
                }
                literal.push_str(&word);
            }
            Atom::Pattern(pattern) => {
                if !literal.is_empty() {
                    parts.push(TextPattern::Phrase(std::mem::take(&mut literal)));
                }
                check_printable(&pattern, prefix)?;
                parts.push(pattern);
            }
        }
    }
    if !literal.is_empty() {
        parts.push(TextPattern::Phrase(literal));
    }
    match prefix {
        Some(Prefix::Field(_) | Prefix::Scope(Scope::Sde(_))) if parts.len() > 1 && !is_one => {
            Err("a phrase with wildcards or other signs is found in messages only; join the words with and".into())
        }
        _ => Ok(parts),
    }
}

/// A pattern has to read back in our own syntax, in which it is shown and recorded.
fn check_printable(pattern: &TextPattern, prefix: Option<&Prefix>) -> Result<(), String> {
    match pattern {
        TextPattern::Wildcard(word) | TextPattern::Fuzzy { word, .. } | TextPattern::Stem { word, .. }
            if !is_bare_word(word, prefix)
                || matches!(prefix, Some(Prefix::Scope(Scope::Sde(_))) if value::attribute_range(word) != Ok(None)) =>
        {
            Err(format!(
                "`{word}` holds signs that cannot stand in a word with wildcards; search its letters and digits"
            ))
        }
        _ => Ok(()),
    }
}
