//! Tree → text that parses back to the same tree, with every mixed operator in parentheses.
//!
//! A text that would be read as something else bare (`AND`, `a:b`) is quoted: the same meaning, though then the tree
//! read back holds a phrase. [`Resolved`] prints times as UTC instants, for records that outlive the time zone setting.

use std::fmt::{self, Display, Formatter, Write};

use super::field::{Field, Kind, Prefix, Scope};
use super::lex;
use super::pattern;
use super::query::{
    AttributeRange, Condition, Near, Operand, Place, Query, Range, Side, Test, TextPattern, TextQuery, TimeRange,
};
use super::stem::Language;
use super::value::{UNITS, attribute_range, is_known, looks_inexact};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print(self, f, false)
    }
}

impl Query {
    /// Prints like `Display`, but with every time as the UTC instants it was resolved to.
    pub fn resolved(&self) -> Resolved<'_> {
        Resolved(self)
    }
}

/// See [`Query::resolved`]. It parses to a query of the same meaning in any time zone, at any later time.
#[derive(Clone, Copy, Debug)]
pub struct Resolved<'a>(&'a Query);

impl Display for Resolved<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print(self.0, f, true)
    }
}

/// How deep the printed query is nested, as the parser counts: parentheses and NOTs.
pub(super) fn nesting(query: &Query) -> usize {
    let part = |query: &Query| {
        usize::from(matches!(query, Query::And(_) | Query::Or(_) | Query::Near(_) | Query::Turns(_))) + nesting(query)
    };
    match query {
        Query::And(parts) | Query::Or(parts) => parts.iter().map(part).max().unwrap_or(0),
        Query::Not(inner) => 1 + part(inner),
        Query::Near(near) => near_nesting(near),
        Query::Turns(turns) => side_nesting(&turns.left).max(side_nesting(&turns.right)),
        Query::All | Query::Text(_) | Query::Meta(_) | Query::Attribute(_) => 0,
    }
}

fn near_nesting(near: &Near) -> usize {
    side_nesting(&near.left).max(side_nesting(&near.right))
}

fn side_nesting(side: &Side) -> usize {
    let place = |place: &Place| match place {
        Place::Text(_) => 0,
        Place::Near(near) => 1 + near_nesting(near),
    };
    let operand =
        |operand: &Operand| usize::from(operand.any_of.len() > 1) + operand.any_of.iter().map(place).max().unwrap_or(0);
    usize::from(side.all_of.len() > 1) + side.all_of.iter().map(operand).max().unwrap_or(0)
}

fn print(query: &Query, f: &mut Formatter<'_>, resolved: bool) -> fmt::Result {
    match query {
        Query::All => f.write_char('*'),
        Query::And(parts) => chain(parts, " AND ", f, resolved),
        Query::Or(parts) => chain(parts, " OR ", f, resolved),
        Query::Not(part) => {
            f.write_str("NOT ")?;
            part_of(part, f, resolved)
        }
        Query::Text(text) => write!(f, "{text}"),
        Query::Near(near) => write!(f, "{near}"),
        Query::Turns(turns) => write!(f, "{} turns/{} {}", turns.left, turns.distance, turns.right),
        Query::Meta(condition) => condition_text(condition, f, resolved),
        Query::Attribute(AttributeRange { path, range }) => {
            // A bare number would be a word.
            let equal = if matches!(range, Range::Exactly(_)) { "=" } else { "" };
            write!(f, "sde.{path}:{equal}{}", range_text(range, f64::to_string))
        }
    }
}

fn chain(parts: &[Query], operator: &str, f: &mut Formatter<'_>, resolved: bool) -> fmt::Result {
    for (ordinal, part) in parts.iter().enumerate() {
        if ordinal > 0 {
            f.write_str(operator)?;
        }
        part_of(part, f, resolved)?;
    }
    Ok(())
}

/// A part of a larger query: in parentheses unless it cannot be misread.
fn part_of(query: &Query, f: &mut Formatter<'_>, resolved: bool) -> fmt::Result {
    match query {
        Query::And(_) | Query::Or(_) | Query::Near(_) | Query::Turns(_) => {
            f.write_char('(')?;
            print(query, f, resolved)?;
            f.write_char(')')
        }
        _ => print(query, f, resolved),
    }
}

impl Display for TextQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.scope != Scope::Anywhere {
            write!(f, "{}:", Prefix::Scope(self.scope.clone()).name())?;
        }
        if let (Scope::Sde(_), TextPattern::Word(word)) = (&self.scope, &self.pattern)
            && attribute_range(word) != Ok(None)
        {
            return f.write_str(&pattern::quote(word));
        }
        let prefix = (self.scope != Scope::Anywhere).then(|| Prefix::Scope(self.scope.clone()));
        f.write_str(&pattern_text(&self.pattern, prefix.as_ref()))
    }
}

impl Display for Near {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let not = if self.absent { "NOT " } else { "" };
        let operator = if self.ordered { "pre" } else { "w" };
        write!(f, "{} {not}{operator}/{} {}", self.left, self.distance, self.right)
    }
}

impl Display for Side {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        joined(&self.all_of, " AND ", f)
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        joined(&self.any_of, " OR ", f)
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Place::Text(text) => write!(f, "{text}"),
            Place::Near(near) => write!(f, "({near})"),
        }
    }
}

/// One as it is, several in parentheses.
fn joined<T: Display>(parts: &[T], operator: &str, f: &mut Formatter<'_>) -> fmt::Result {
    if let [one] = parts {
        return write!(f, "{one}");
    }
    f.write_char('(')?;
    for (ordinal, part) in parts.iter().enumerate() {
        write!(f, "{}{part}", if ordinal > 0 { operator } else { "" })?;
    }
    f.write_char(')')
}

fn pattern_text(text: &TextPattern, prefix: Option<&Prefix>) -> String {
    match text {
        TextPattern::Any => "*".to_owned(),
        TextPattern::Word(word) | TextPattern::Wildcard(word) => {
            if lex::is_bare_word(word, prefix) && pattern::bare(word).as_ref() == Ok(text) {
                word.clone()
            } else {
                pattern::quote(word)
            }
        }
        TextPattern::Phrase(phrase) => pattern::quote(phrase),
        TextPattern::Fuzzy { word, distance, kept: 0 } => format!("{word}~{distance}"),
        TextPattern::Fuzzy { word, distance, kept } => format!("{word}~{distance}+{kept}"),
        TextPattern::Stem { word, language: Language::English } => format!("stem:{word}"),
        TextPattern::Stem { word, language } => format!("stem.{}:{word}", language.code()),
        TextPattern::Number { low, high } => format!("number:{low}..{high}"),
        TextPattern::Regex(expression) => slashed(expression),
    }
}

fn slashed(expression: &str) -> String {
    let mut text = String::from("/");
    let mut escaped = false;
    for c in expression.chars() {
        if c == '/' && !escaped {
            text.push('\\');
        }
        escaped = c == '\\' && !escaped;
        text.push(c);
    }
    text.push('/');
    text
}

fn condition_text(condition: &Condition, f: &mut Formatter<'_>, resolved: bool) -> fmt::Result {
    let Condition { field, test } = condition;
    if let Test::Time(range) = test
        && resolved
    {
        return write!(f, "{}:{}", field.name(), instants(range));
    }
    let value = match test {
        Test::Any => "*".to_owned(),
        Test::Is(value) => value_text(*field, value),
        Test::Matches(text) => pattern_text(text, Some(&Prefix::Field(*field))),
        Test::Code(code) => code_text(*field, *code),
        Test::Time(range) => value_text(*field, &range.typed),
        Test::Duration(range) => range_text(range, |ms| duration_text(*ms)),
        Test::Number(range) => range_text(range, f64::to_string),
        Test::Flag(flag) => flag.to_string(),
    };
    write!(f, "{}:{value}", field.name())
}

/// A value bare where it reads back as itself, else quoted.
fn value_text(field: Field, value: &str) -> String {
    let inexact =
        matches!(field.kind(), Kind::Id | Kind::Keyword) && (value.contains(',') || looks_inexact(value).is_some());
    let is_new = matches!(field.kind(), Kind::Choice(_)) && !is_known(field, value);
    if !inexact && !is_new && lex::is_bare_word(value, Some(&Prefix::Field(field))) {
        return value.to_owned();
    }
    pattern::quote(value)
}

fn code_text(field: Field, code: i64) -> String {
    match field.kind() {
        Kind::Code(labels) => labels.iter().find(|known| known.code == code).map(|known| known.name.to_owned()),
        _ => None,
    }
    .unwrap_or_else(|| code.to_string())
}

fn range_text<T>(range: &Range<T>, text: impl Fn(&T) -> String) -> String {
    match range {
        Range::Exactly(x) => text(x),
        Range::Between(low, high) => format!("{}..{}", text(low), text(high)),
        Range::AtLeast(x) => format!(">={}", text(x)),
        Range::MoreThan(x) => format!(">{}", text(x)),
        Range::AtMost(x) => format!("<={}", text(x)),
        Range::LessThan(x) => format!("<{}", text(x)),
    }
}

/// 5400000 is `1h30m`.
fn duration_text(ms: i64) -> String {
    if ms <= 0 {
        return "0s".to_owned();
    }
    let mut rest = ms;
    let mut text = String::new();
    for (unit, size) in UNITS {
        let count = rest / size;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            rest %= size;
        }
    }
    text
}

/// The interval with both ends inside it, as the language writes ranges.
fn instants(range: &TimeRange) -> String {
    let instant = |ms: i64| match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => format!("{at:.3}"),
        Err(_) => ms.to_string(),
    };
    match (range.from_ms, range.to_ms) {
        (Some(from), Some(to)) => format!("{}..{}", instant(from), instant(to.saturating_sub(1))),
        (Some(from), None) => format!(">={}", instant(from)),
        (None, Some(to)) => format!("<{}", instant(to)),
        (None, None) => "*".to_owned(),
    }
}
