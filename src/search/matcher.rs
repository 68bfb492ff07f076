//! Decides exactly whether a conversation matches, from its transcript alone, and which words made it match.
//!
//! It knows the whole language and asks no index. The index must agree with it: that is what the property tests and
//! `--prove` compare.

use super::compile::{hidden, roles_of};
use super::field::{Field, Scope};
use super::query::{AttributeRange, Condition, Operand, Query as Tree, Test, TextPattern, TextQuery};
use super::transcript::{Line, lines};
use super::words::{WordPattern, WordSequence};
use crate::conversation::{Conversation, Role, SdeValue, StoredConversation, Supplement};
use crate::index::{consumers, intents, presences, type_name};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::Range;

/// Some bytes of a message's plain text that belong to the hit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Highlight {
    /// Index of the message.
    pub message: usize,
    /// First byte in its plain text.
    pub start: usize,
    /// End of the range, exclusive.
    pub end: usize,
}

/// A query, ready to be put to conversations.
pub struct Matcher {
    root: Node,
    hidden: Vec<Supplement>,
}

enum Node {
    All,
    Nothing,
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Text(Wanted),
    Attribute(Option<String>, WordSequence),
    AttributeRange(AttributeRange),
    Near { left: Vec<Wanted>, right: Vec<Wanted>, distance: usize, ordered: bool },
    Turns { left: Vec<Wanted>, right: Vec<Wanted>, distance: usize },
    Meta(Condition),
}

/// A text and the speakers it may come from.
struct Wanted {
    roles: &'static [Role],
    words: WordSequence,
}

/// One place where a text stands.
#[derive(Clone)]
struct Occurrence {
    line: usize,
    /// Positions of its first and last word.
    first: usize,
    last: usize,
    ranges: Vec<Range<usize>>,
}

impl Matcher {
    /// Prepares a query.
    pub fn new(tree: &Tree) -> Matcher {
        Matcher { root: node(tree), hidden: hidden(tree) }
    }

    /// As [`Matcher::new`], for records that are no conversation too, whatever the query names.
    pub(super) fn of_everything(tree: &Tree) -> Matcher {
        Matcher { root: node(tree), hidden: Vec::new() }
    }

    /// Whether the conversation matches.
    pub fn matches(&self, stored: &StoredConversation) -> bool {
        let merged = stored.merged();
        let is_hidden = merged.supplement.is_some_and(|supplement| self.hidden.contains(&supplement));
        !is_hidden && self.root.holds(&View::of(stored, &merged))
    }

    /// Whether the query holds for a record of whatever kind that was cut into words already.
    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        self.root.holds(view)
    }

    /// The places that made the conversation match, each once, in order: message, first byte and end of a word or a
    /// phrase. Each side of a proximity is a place of its own.
    pub(super) fn places(&self, view: &View<'_>) -> BTreeSet<(usize, usize, usize)> {
        let mut found = BTreeSet::new();
        self.root.collect(view, &mut |place| {
            if let (Some(first), Some(last)) = (place.ranges.first(), place.ranges.last()) {
                found.insert((place.line, first.start, last.end));
            }
        });
        found
    }

    /// The words that made the conversation match, in order; `merged` is the view the message indices count in.
    pub fn highlights(&self, stored: &StoredConversation, merged: &Conversation) -> Vec<Highlight> {
        let view = View::of(stored, merged);
        let mut found = BTreeSet::new();
        self.root.collect(&view, &mut |place| place.collect(&mut found));
        found.into_iter().collect()
    }
}

fn node(tree: &Tree) -> Node {
    match tree {
        Tree::All => Node::All,
        Tree::And(parts) => Node::And(parts.iter().map(node).collect()),
        Tree::Or(parts) => Node::Or(parts.iter().map(node).collect()),
        Tree::Not(inner) => Node::Not(Box::new(node(inner))),
        Tree::Text(TextQuery { scope: Scope::Sde(path), pattern }) => {
            WordSequence::of(pattern).map_or(Node::Nothing, |words| Node::Attribute(path.clone(), words))
        }
        Tree::Attribute(range) => Node::AttributeRange(range.clone()),
        Tree::Text(text) => wanted(text).map_or(Node::Nothing, Node::Text),
        Tree::Near(near) => Node::Near {
            left: operand(&near.left),
            right: operand(&near.right),
            distance: near.distance as usize,
            ordered: near.ordered,
        },
        Tree::Turns(turns) => {
            Node::Turns { left: operand(&turns.left), right: operand(&turns.right), distance: turns.distance as usize }
        }
        Tree::Meta(condition) => Node::Meta(condition.clone()),
        // Refused before a matcher is made: what it stands for is not known here.
        Tree::Saved(_) => Node::Nothing,
    }
}

fn wanted(text: &super::query::TextQuery) -> Option<Wanted> {
    Some(Wanted { roles: roles_of(&text.scope), words: WordSequence::of(&text.pattern).ok()? })
}

fn operand(operand: &Operand) -> Vec<Wanted> {
    operand.any_of.iter().filter_map(wanted).collect()
}

/// A conversation with its lines cut into words, for any number of queries.
pub(super) struct View<'v> {
    conversation: &'v Conversation,
    stored: &'v StoredConversation,
    lines: Vec<Line>,
    /// Engagement attributes; only a query that asks for them pays for reading them.
    attributes: OnceCell<Vec<(SdeValue, Line)>>,
}

impl<'v> View<'v> {
    pub(super) fn of(stored: &'v StoredConversation, conversation: &'v Conversation) -> View<'v> {
        View { conversation, stored, lines: lines(conversation), attributes: OnceCell::new() }
    }

    fn attributes(&self) -> &[(SdeValue, Line)] {
        self.attributes.get_or_init(|| {
            let values = self.conversation.sdes().into_iter().flat_map(|event| event.values);
            values
                .map(|value| {
                    let line = Line::of(Role::System, &value.text);
                    (value, line)
                })
                .collect()
        })
    }

    /// Whether some attribute, at `path` or below it, holds the words.
    fn has_attribute(&self, path: Option<&str>, words: &WordSequence) -> bool {
        let here = self.attributes().iter().filter(|(value, _)| path.is_none_or(|path| value.is_under(path)));
        here.into_iter().any(|(_, line)| is_in_line(words, line))
    }
}

impl Node {
    fn holds(&self, view: &View<'_>) -> bool {
        match self {
            Node::All => true,
            Node::Nothing => false,
            Node::And(parts) => parts.iter().all(|part| part.holds(view)),
            Node::Or(parts) => parts.iter().any(|part| part.holds(view)),
            Node::Not(inner) => !inner.holds(view),
            Node::Text(wanted) => wanted.is_in(&view.lines),
            Node::Attribute(path, words) => view.has_attribute(path.as_deref(), words),
            Node::AttributeRange(AttributeRange { path, range }) => {
                let here = view.attributes().iter().filter(|(value, _)| value.is_under(path));
                here.filter_map(|(value, _)| value.number()).any(|number| range.contains(number))
            }
            Node::Near { .. } | Node::Turns { .. } => !self.partnered(view, true).is_empty(),
            Node::Meta(condition) => holds_for(condition, view),
        }
    }

    /// Calls `each` with every place that made the conversation match; some may come twice.
    fn collect(&self, view: &View<'_>, each: &mut dyn FnMut(&Occurrence)) {
        match self {
            // Attributes are in no message, so they mark none.
            Node::All | Node::Nothing | Node::Not(_) | Node::Meta(_) => {}
            Node::Attribute(..) | Node::AttributeRange(_) => {}
            Node::And(parts) => {
                if self.holds(view) {
                    parts.iter().for_each(|part| part.collect(view, each));
                }
            }
            Node::Or(parts) => {
                parts.iter().filter(|part| part.holds(view)).for_each(|part| part.collect(view, each));
            }
            Node::Text(wanted) => wanted.occurrences(&view.lines).iter().for_each(each),
            Node::Near { .. } | Node::Turns { .. } => {
                self.partnered(view, false).iter().for_each(each);
            }
        }
    }

    /// The places of both sides that have a partner near enough; only the first of them where that settles it.
    fn partnered(&self, view: &View<'_>, only_first: bool) -> Vec<Occurrence> {
        let (left, right) = match self {
            Node::Near { left, right, .. } | Node::Turns { left, right, .. } => (left, right),
            _ => return Vec::new(),
        };
        let places = |side: &[Wanted]| -> Vec<Occurrence> {
            let mut places: Vec<Occurrence> = side.iter().flat_map(|wanted| wanted.occurrences(&view.lines)).collect();
            places.sort_by_key(|place| (place.line, place.first));
            places
        };
        let (left, right) = (places(left), places(right));
        let mut found = Vec::new();
        for (side, other, is_left) in [(&left, &right, true), (&right, &left, false)] {
            // Longest place of the other side, in words: how far before a place its start may lie.
            let longest = other.iter().map(|place| place.last - place.first).max().unwrap_or(0);
            for place in side {
                if self.has_partner(place, other, longest, is_left) {
                    found.push(place.clone());
                    if only_first {
                        return found;
                    }
                }
            }
        }
        found
    }

    /// Looks only at the places within reach: a line that repeats a word a million times must not cost its square.
    fn has_partner(&self, place: &Occurrence, others: &[Occurrence], longest: usize, place_is_left: bool) -> bool {
        match self {
            Node::Near { distance, ordered, .. } => {
                let nearest = place.first.saturating_sub(distance + longest);
                let from = others.partition_point(|other| (other.line, other.first) < (place.line, nearest));
                others[from..]
                    .iter()
                    .take_while(|other| other.line == place.line && other.first <= place.last.saturating_add(*distance))
                    .any(|other| {
                        let (a, b) = if place_is_left { (place, other) } else { (other, place) };
                        near(a, b, *distance, *ordered)
                    })
            }
            Node::Turns { distance, .. } => {
                let from = others.partition_point(|other| other.line + distance < place.line);
                others[from..]
                    .iter()
                    .take_while(|other| other.line <= place.line.saturating_add(*distance))
                    // Two places, not one twice.
                    .any(|other| other.line != place.line || other.ranges != place.ranges)
            }
            _ => false,
        }
    }
}

/// Whether two places in one line are at most `distance` words apart. Adjacent is 1; a place is not near itself.
fn near(a: &Occurrence, b: &Occurrence, distance: usize, ordered: bool) -> bool {
    if a.last < b.first {
        b.first - a.last <= distance
    } else if b.last < a.first {
        !ordered && a.first - b.last <= distance
    } else {
        false
    }
}

impl Occurrence {
    fn collect(&self, found: &mut BTreeSet<Highlight>) {
        for range in &self.ranges {
            found.insert(Highlight { message: self.line, start: range.start, end: range.end });
        }
    }
}

impl Wanted {
    fn is_in(&self, lines: &[Line]) -> bool {
        lines.iter().filter(|line| self.roles.contains(&line.role)).any(|line| is_in_line(&self.words, line))
    }

    fn occurrences(&self, lines: &[Line]) -> Vec<Occurrence> {
        let mut places: Vec<Occurrence> = Vec::new();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| self.roles.contains(&line.role)) {
            for word in line.words() {
                let rest = match &self.words {
                    WordSequence::AnyWord => Some(Vec::new()),
                    WordSequence::Words(words) if words[0].matches(word.folded) => {
                        rest_follows(&words[1..], line, word.position)
                    }
                    WordSequence::Words(_) => None,
                };
                let Some(mut ranges) = rest else { continue };
                let last = word.position + ranges.len();
                ranges.insert(0, word.range.clone());
                // A word and a part of it are one place.
                let same = |place: &Occurrence| place.line == index && place.first == word.position;
                if !places.last().is_some_and(same) {
                    places.push(Occurrence { line: index, first: word.position, last, ranges });
                }
            }
        }
        places
    }
}

/// Whether the words stand in a line.
fn is_in_line(words: &WordSequence, line: &Line) -> bool {
    match words {
        WordSequence::AnyWord => line.words().next().is_some(),
        WordSequence::Words(words) => line
            .words()
            .any(|word| words[0].matches(word.folded) && rest_follows(&words[1..], line, word.position).is_some()),
    }
}

/// Byte ranges of the words behind `position`, if each is as wanted.
fn rest_follows(wanted: &[WordPattern], line: &Line, position: usize) -> Option<Vec<Range<usize>>> {
    wanted
        .iter()
        .zip(position + 1..)
        .map(|(pattern, at)| line.words_at(at).find(|word| pattern.matches(word.folded)).map(|word| word.range))
        .collect()
}

fn holds_for(condition: &Condition, view: &View<'_>) -> bool {
    let c = view.conversation;
    let test = &condition.test;
    let is = |value: Option<&str>| match test {
        Test::Any => value.is_some_and(|value| !value.is_empty()),
        Test::Is(wanted) => value.is_some_and(|value| value.eq(wanted)),
        _ => false,
    };
    let is_folded = |value: Option<&str>| match test {
        Test::Is(wanted) => value.is_some_and(|value| value.to_lowercase() == wanted.to_lowercase()),
        _ => is(value),
    };
    let whole = |value: Option<i64>| match test {
        Test::Any => value.is_some(),
        Test::Code(code) => value == Some(*code),
        Test::Time(interval) => value.is_some_and(|value| interval.contains(value)),
        Test::Duration(lengths) => value.is_some_and(|value| lengths.contains(value)),
        _ => false,
    };
    let number = |value: Option<f64>| match test {
        Test::Any => value.is_some(),
        Test::Number(wanted) => value.is_some_and(|value| wanted.contains(value)),
        _ => false,
    };
    let named = |value: Option<&str>| match test {
        Test::Any => value.is_some_and(has_word),
        Test::Matches(pattern) => value.is_some_and(|value| name_matches(pattern, value)),
        _ => false,
    };
    match condition.field {
        Field::Id => is(c.conversation_id.as_deref()),
        Field::ConsumerId => consumers(c).any(|id| is(Some(id))),
        Field::VisitId => is(c.visit_id.as_deref()),
        Field::VisitorId => is(c.visitor_id.as_deref()),
        Field::AgentId => c.agents().iter().any(|agent| is(Some(agent.id))),
        Field::AgentName => c.agent_names().iter().any(|name| named(Some(name))),
        Field::Skill => c.all_skills().iter().any(|skill| is(Some(skill))),
        Field::SkillName => c.skill_names.iter().any(|(_, name)| named(Some(name))),
        Field::Campaign => c.campaign.iter().flat_map(|campaign| campaign.searchable()).any(|text| named(Some(text))),
        Field::Survey => c.survey_texts().iter().any(|text| named(Some(text))),
        Field::Summary => named(c.summary.as_deref()),
        Field::Intent => intents(c).any(|text| named(Some(text))),
        Field::Start => whole(c.start_ms),
        Field::End => whole(c.end_ms),
        Field::Duration => whole(c.duration_ms()),
        Field::Queue => whole(c.queue_ms()),
        Field::EndReason => match test {
            Test::Is(_) => is_folded(c.closed_by.as_deref()),
            Test::Any => c.end_reason.is_some() || is(c.closed_by.as_deref()),
            _ => whole(c.end_reason),
        },
        Field::StartReason => whole(c.start_reason),
        Field::Mcs => number(c.mcs),
        Field::Csat => number(c.csat),
        Field::Nps => number(c.nps),
        Field::Transfers => number(Some(c.transfers.len() as f64)),
        Field::TransferReason => {
            c.transfers.iter().filter_map(|transfer| transfer.reason_text()).any(|reason| is_folded(Some(&reason)))
        }
        Field::Type => is(type_name(c).as_deref()),
        Field::Device => is_folded(c.device.as_deref()),
        Field::Origin => is_folded(c.origin.as_deref()),
        Field::Status => is(c.status.as_deref().map(crate::index::status_name).as_deref()),
        Field::Interactive => match test {
            Test::Flag(wanted) => c.interactive == Some(*wanted),
            _ => c.interactive.is_some(),
        },
        Field::Source => view.stored.revisions.iter().any(|revision| is(Some(&revision.source))),
        Field::Has => match test {
            Test::Is(wanted) => presences(c, view.stored.was_revised()).contains(&wanted.as_str()),
            _ => !presences(c, view.stored.was_revised()).is_empty(),
        },
    }
}

fn has_word(value: &str) -> bool {
    crate::index::tokenizer::words(value).next_word().is_some()
}

fn name_matches(pattern: &TextPattern, value: &str) -> bool {
    let Ok(words) = WordSequence::of(pattern) else { return false };
    let line = Line::of(Role::System, value);
    Wanted { roles: &[Role::System], words }.is_in(&[line])
}
