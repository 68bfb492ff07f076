//! The query tree: what a query means, before anything is known about an index.
//!
//! Text stays as the user typed it: `ERR-204` is one [`TextPattern::Word`] although the index holds two words; the
//! compile step splits it and searches the parts as a phrase. Times, durations, numbers and codes are resolved here.
//!
//! Normal form, which the parser keeps and [`Query::and`] / [`Query::or`] produce: `And` and `Or` have two or more
//! children, none of the same kind as the parent. `Display` prints a query that parses back to the same tree.

use std::ops::Bound;

use super::field::{Field, Scope};
use super::stem::Language;

/// A whole query, or a part of one. It is about one conversation: the conversation matches or does not.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// `*`: every conversation.
    All,
    /// Every part holds, anywhere in the conversation.
    And(Vec<Query>),
    /// At least one part holds.
    Or(Vec<Query>),
    /// The part does not hold.
    Not(Box<Query>),
    /// Some message (or attribute) holds this text.
    Text(TextQuery),
    /// `w/n`, `pre/n`: texts close together inside one message; `NOT w/n`: one that is far from the other.
    Near(Near),
    /// `turns/n`: two texts in messages close together.
    Turns(Turns),
    /// A fact about the conversation itself: a time, an id, an outcome.
    Meta(Condition),
    /// `sde.cartStatus.total:>100`: a number among the engagement attributes.
    Attribute(AttributeRange),
}

impl Query {
    /// All of `parts`, in normal form. No parts at all is [`Query::All`].
    pub fn and(parts: Vec<Query>) -> Query {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Query::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Query::All,
            1 => flat.swap_remove(0),
            _ => Query::And(flat),
        }
    }

    /// Any of `parts`, in normal form. No parts at all is "nothing matches": `NOT *`.
    pub fn or(parts: Vec<Query>) -> Query {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Query::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Query::Not(Box::new(Query::All)),
            1 => flat.swap_remove(0),
            _ => Query::Or(flat),
        }
    }
}

/// One text, and where it has to stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TextQuery {
    /// Whose words, or which attribute.
    pub scope: Scope,
    /// The words themselves.
    pub pattern: TextPattern,
}

/// What the text has to look like. Case and accents never matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TextPattern {
    /// `consumer:*`: any text at all in the scope. Never with [`Scope::Anywhere`]; that is [`Query::All`].
    Any,
    /// As typed, without quotes or wildcards. May hold several Unicode words (`ERR-204`): then they are a phrase.
    Word(String),
    /// The text between quotes, escapes resolved. Always literal: the parser refuses wildcards in it.
    Phrase(String),
    /// As typed, holding `*` (any number of characters, also none) or `?` (exactly one).
    Wildcard(String),
    /// `word~1`: at most `distance` letters changed, added, lost or swapped.
    Fuzzy {
        /// The word as typed, without `~n`.
        word: String,
        /// 1 or 2.
        distance: u8,
        /// `word~1+2`: so many letters at its beginning have to stand as they are. 0 where none do.
        kept: usize,
    },
    /// `stem:word`, `stem.de:word`: every word with the same stem.
    Stem {
        /// As typed; one word.
        word: String,
        /// Whose endings are taken off.
        language: Language,
    },
    /// `number:12..24`: a word of digits whose value lies between the two, both included.
    Number {
        /// The lower end.
        low: u64,
        /// The upper end, not below the lower.
        high: u64,
    },
    /// `/…/`: a regular expression that has to match one whole word. Not yet known to be valid.
    Regex(String),
}

/// Something that has places in messages: what a proximity is counted between.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A word, a phrase, a pattern. Its place is the words that it matches.
    Text(TextQuery),
    /// `(a w/3 b)`. Its place is a stretch: from an `a` to the nearest `b` before or behind it, or from a `b` to the
    /// nearest `a`, the two included. Of `(a NOT w/3 b)` it is the `a`. Never with AND on a side.
    Near(Box<Near>),
}

/// Alternatives: any one of these. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    /// In the order typed.
    pub any_of: Vec<Place>,
}

impl Operand {
    /// One text alone.
    pub fn text(text: TextQuery) -> Operand {
        Operand { any_of: vec![Place::Text(text)] }
    }
}

/// One side of a proximity: every one of these has to be near the other side. Never empty, and more than one on one side
/// at most: `(a AND b) w/5 c` is a `c` with an `a` within five words of it, and a `b` too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Side {
    /// In the order typed.
    pub all_of: Vec<Operand>,
}

impl Side {
    /// Alternatives alone, without AND.
    pub fn of(operand: Operand) -> Side {
        Side { all_of: vec![operand] }
    }

    /// Every text in it, at any depth.
    pub fn texts(&self) -> Vec<&TextQuery> {
        let places = self.all_of.iter().flat_map(|operand| &operand.any_of);
        places
            .flat_map(|place| match place {
                Place::Text(text) => vec![text],
                Place::Near(near) => [near.left.texts(), near.right.texts()].concat(),
            })
            .collect()
    }
}

/// `left w/n right` (either order) or `left pre/n right` (left first), inside one message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Near {
    /// The side typed first.
    pub left: Side,
    /// The side typed second.
    pub right: Side,
    /// In words; adjacent words are 1 apart. At least 1.
    pub distance: u32,
    /// `pre/n`: left comes before right.
    pub ordered: bool,
    /// `NOT w/n`, `NOT pre/n`: a place of the left side without any of the right one so near, or overlapping it. Neither
    /// side has AND then.
    pub absent: bool,
}

/// `left turns/n right`: in messages at most n apart, in either order, whoever speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Turns {
    /// The side typed first.
    pub left: Side,
    /// The side typed second.
    pub right: Side,
    /// In messages; 0 is the same message.
    pub distance: u32,
}

/// Some engagement attribute at a path, or below it, is a number of this range.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeRange {
    /// As typed; case does not matter.
    pub path: String,
    /// Never NaN or infinite when it comes from the parser.
    pub range: Range<f64>,
}

/// A test of one field of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Which field.
    pub field: Field,
    /// What it has to be.
    pub test: Test,
}

/// What a field has to be. Which tests a field takes follows from its [`super::field::Kind`].
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `csat:*`: the field has any value.
    Any,
    /// Equal as a whole string: ids exactly as typed, choices by their canonical name, other keywords as typed
    /// (compared without regard to case).
    Is(String),
    /// Words of a name: agent, skill, campaign.
    Matches(TextPattern),
    /// A code of an enumeration, as LivePerson stores it.
    Code(i64),
    /// Inside an interval of time.
    Time(TimeRange),
    /// A duration in milliseconds.
    Duration(Range<i64>),
    /// A number. Never NaN or infinite when it comes from the parser.
    Number(Range<f64>),
    /// Yes or no.
    Flag(bool),
}

/// A time as typed, and the half-open interval it means: `from_ms <= t < to_ms`, epoch milliseconds, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// What stood after the colon: `2016-07`, `>2016-07`, `2016-07-01..`.
    pub typed: String,
    /// First millisecond inside; `None` is open.
    pub from_ms: Option<i64>,
    /// First millisecond after; `None` is open.
    pub to_ms: Option<i64>,
}

impl TimeRange {
    /// Whether the instant lies inside.
    pub fn contains(&self, epoch_ms: i64) -> bool {
        self.from_ms.is_none_or(|from| from <= epoch_ms) && self.to_ms.is_none_or(|to| epoch_ms < to)
    }
}

/// The comparisons a number or duration can be put to. Both ends of `Between` belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range<T> {
    /// `5` or `=5`
    Exactly(T),
    /// `1..5`
    Between(T, T),
    /// `>=5` or `5..`
    AtLeast(T),
    /// `>5`
    MoreThan(T),
    /// `<=5` or `..5`
    AtMost(T),
    /// `<5`
    LessThan(T),
}

impl<T: PartialOrd + Copy> Range<T> {
    /// Whether the value lies inside.
    pub fn contains(&self, value: T) -> bool {
        match *self {
            Range::Exactly(x) => value == x,
            Range::Between(low, high) => low <= value && value <= high,
            Range::AtLeast(x) => value >= x,
            Range::MoreThan(x) => value > x,
            Range::AtMost(x) => value <= x,
            Range::LessThan(x) => value < x,
        }
    }

    /// Lower and upper bound, as range queries want them.
    pub fn bounds(&self) -> (Bound<T>, Bound<T>) {
        match *self {
            Range::Exactly(x) => (Bound::Included(x), Bound::Included(x)),
            Range::Between(low, high) => (Bound::Included(low), Bound::Included(high)),
            Range::AtLeast(x) => (Bound::Included(x), Bound::Unbounded),
            Range::MoreThan(x) => (Bound::Excluded(x), Bound::Unbounded),
            Range::AtMost(x) => (Bound::Unbounded, Bound::Included(x)),
            Range::LessThan(x) => (Bound::Unbounded, Bound::Excluded(x)),
        }
    }
}
