//! A query put to one conversation: does it match, and where.

use super::complaint::QueryError;
use super::matcher::{Highlight, Matcher, View};
use super::parse::Located;
use super::run::check;
use crate::conversation::{Conversation, StoredConversation};

/// What a query finds in one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Whether the conversation is a hit. One that is only found by its type is, whether or not the query names the type.
    pub matches: bool,
    /// The words that make it one, in order; empty where facts alone do. A phrase is several words.
    pub highlights: Vec<Highlight>,
    /// The message of each hit, ascending; a message with three hits comes three times. A hit is what a term report counts: a
    /// phrase is one, each side of a proximity is one, a place that two alternatives find is one.
    pub hits: Vec<usize>,
}

impl Within {
    /// Indices of the messages with hits, ascending.
    pub fn messages(&self) -> Vec<usize> {
        let mut messages = self.hits.clone();
        messages.dedup();
        messages
    }

    /// The highlights of one message.
    pub fn of_message(&self, message: usize) -> &[Highlight] {
        let from = self.highlights.partition_point(|highlight| highlight.message < message);
        let to = self.highlights.partition_point(|highlight| highlight.message <= message);
        &self.highlights[from..to]
    }
}

/// Puts a query (`text`, parsed) to a conversation; `merged` is the view that message indices count in.
///
/// # Errors
/// Names every form that this version does not answer, as [`search`](super::search()) does.
pub fn within(
    query: &Located,
    text: &str,
    stored: &StoredConversation,
    merged: &Conversation,
) -> Result<Within, QueryError> {
    check(query, text)?;
    let matcher = Matcher::of_everything(&query.query);
    let matches = matcher.matches(stored);
    if !matches {
        return Ok(Within::default());
    }
    let highlights = matcher.highlights(stored, merged);
    let hits = matcher.places(&View::of(stored, merged)).into_iter().map(|(message, ..)| message).collect();
    Ok(Within { matches, highlights, hits })
}
