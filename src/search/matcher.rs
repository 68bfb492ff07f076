//! Decides exactly whether a conversation matches, from its transcript alone, and which words made it match.
//!
//! It knows the whole language and asks no index. The index must agree with it: that is what the property tests and
//! `--prove` compare.

use super::compile::hidden;
use super::field::{Field, Scope};
use super::places::{Occurrence, Proximity, Reach, Wanted, is_in_line};
use super::query::{AttributeRange, Condition, Query as Tree, Test, TextPattern, TextQuery};
use super::transcript::{Line, Transcript};
use super::words::WordSequence;
use crate::conversation::{Conversation, Role, SdeValue, StoredConversation, Supplement};
use crate::index::{consumers, intents, presences, type_name};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::OnceLock;

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
    reads_raw: bool,
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
    Proximity(Proximity),
    Meta(Condition),
}

impl Matcher {
    /// Prepares a query.
    pub fn new(tree: &Tree) -> Matcher {
        Matcher { root: node(tree), hidden: hidden(tree), reads_raw: reads_raw(tree) }
    }

    /// As [`Matcher::new`], for records that are no conversation too, whatever the query names.
    pub(super) fn of_everything(tree: &Tree) -> Matcher {
        Matcher { hidden: Vec::new(), ..Matcher::new(tree) }
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

    /// The places that made the conversation match, each once, in order: message, whether the bytes count in the line as
    /// received, first byte and end. A word and a phrase are one, each side of a proximity is one, and so is the stretch
    /// of a proximity inside another.
    pub(super) fn places(&self, view: &View<'_>) -> BTreeSet<(usize, bool, usize, usize)> {
        let mut found = BTreeSet::new();
        self.root.collect(view, &mut |place| {
            // In a line without tags both readings are one.
            let raw = place.raw && view.transcript.has_markup(place.line);
            let first = place.ranges().map(|range| range.start).min();
            if let (Some(first), Some(last)) = (first, place.ranges().map(|range| range.end).max()) {
                found.insert((place.line, raw, first, last));
            }
        });
        found
    }

    /// As [`Matcher::matches`], of a conversation that is held for many queries.
    #[cfg(test)]
    pub(crate) fn finds(&self, view: &View<'_>) -> bool {
        let supplement = view.transcript.conversation().supplement;
        let is_hidden = supplement.is_some_and(|supplement| self.hidden.contains(&supplement));
        !is_hidden && self.root.holds(view)
    }

    /// The words that made the conversation match, in order; `merged` is the view the message indices count in.
    pub fn highlights(&self, stored: &StoredConversation, merged: &Conversation) -> Vec<Highlight> {
        let view = View::of(stored, merged);
        let mut found = BTreeSet::new();
        self.root.collect(&view, &mut |place| {
            // In a line without tags the text as received is what people read.
            if !place.raw || !view.transcript.has_markup(place.line) {
                mark(place, &mut found);
            }
        });
        found.into_iter().collect()
    }

    /// Whether the query asks for lines as they were received, so that [`Matcher::raw_highlights`] can find any.
    pub fn reads_raw(&self) -> bool {
        self.reads_raw
    }

    /// The words of `raw:` that stand in HTML lines, in order: byte ranges of the text as received.
    pub fn raw_highlights(&self, stored: &StoredConversation, merged: &Conversation) -> Vec<Highlight> {
        let view = View::of(stored, merged);
        let mut found = BTreeSet::new();
        self.root.collect(&view, &mut |place| {
            if place.raw && view.transcript.has_markup(place.line) {
                mark(place, &mut found);
            }
        });
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
        Tree::Text(text) => Wanted::of(text).map_or(Node::Nothing, Node::Text),
        Tree::Near(near) => Node::Proximity(Proximity::near(near)),
        Tree::Turns(turns) => {
            let reach = Reach::Turns { distance: turns.distance as usize };
            Node::Proximity(Proximity::new(&turns.left, &turns.right, reach))
        }
        Tree::Meta(condition) => Node::Meta(condition.clone()),
        // Refused before a matcher is made: what it stands for is not known here.
        Tree::Saved(_) => Node::Nothing,
    }
}

fn reads_raw(tree: &Tree) -> bool {
    let is_raw = |text: &TextQuery| text.scope == Scope::Raw;
    match tree {
        Tree::And(parts) | Tree::Or(parts) => parts.iter().any(reads_raw),
        Tree::Not(inner) => reads_raw(inner),
        Tree::Text(text) => is_raw(text),
        Tree::Near(near) => [near.left.texts(), near.right.texts()].concat().into_iter().any(is_raw),
        Tree::Turns(turns) => [turns.left.texts(), turns.right.texts()].concat().into_iter().any(is_raw),
        Tree::All | Tree::Meta(_) | Tree::Attribute(_) | Tree::Saved(_) => false,
    }
}

fn mark(place: &Occurrence, found: &mut BTreeSet<Highlight>) {
    for range in place.ranges() {
        found.insert(Highlight { message: place.line, start: range.start, end: range.end });
    }
}

/// A conversation with its lines cut into words once, for any number of queries.
pub(crate) struct View<'v> {
    stored: Cow<'v, StoredConversation>,
    transcript: Transcript<'v>,
    /// Engagement attributes; only a query that asks for them pays for reading them.
    attributes: OnceLock<Vec<(SdeValue, Line)>>,
}

#[cfg(test)]
impl View<'static> {
    pub(crate) fn held(stored: StoredConversation) -> View<'static> {
        let transcript = Transcript::of(Cow::Owned(stored.merged()));
        View { stored: Cow::Owned(stored), transcript, attributes: OnceLock::new() }
    }
}

impl<'v> View<'v> {
    pub(super) fn of(stored: &'v StoredConversation, conversation: &'v Conversation) -> View<'v> {
        let transcript = Transcript::of(Cow::Borrowed(conversation));
        View { stored: Cow::Borrowed(stored), transcript, attributes: OnceLock::new() }
    }

    fn attributes(&self) -> &[(SdeValue, Line)] {
        self.attributes.get_or_init(|| {
            let values = self.transcript.conversation().sdes().into_iter().flat_map(|event| event.values);
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
            Node::Text(wanted) => wanted.is_in(&view.transcript),
            Node::Attribute(path, words) => view.has_attribute(path.as_deref(), words),
            Node::AttributeRange(AttributeRange { path, range }) => {
                let here = view.attributes().iter().filter(|(value, _)| value.is_under(path));
                here.filter_map(|(value, _)| value.number()).any(|number| range.contains(number))
            }
            Node::Proximity(proximity) => proximity.holds(&view.transcript),
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
            Node::Text(wanted) => wanted.occurrences(&view.transcript).iter().for_each(each),
            Node::Proximity(proximity) => proximity.collect(&view.transcript).iter().for_each(each),
        }
    }
}

fn holds_for(condition: &Condition, view: &View<'_>) -> bool {
    let c = view.transcript.conversation();
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
        Field::Closed => whole(c.closed_ms()),
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
        Field::Messages => number(Some(c.messages.len() as f64)),
        Field::Revisions => number(Some(view.stored.version_count() as f64)),
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
    is_in_line(&words, &line)
}
