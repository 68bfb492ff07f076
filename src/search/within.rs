//! A query put to one conversation: does it match, and where.

use super::compile::unsupported;
use super::complaint::QueryError;
use super::matcher::{Highlight, Matcher};
use super::parse::Located;
use crate::conversation::{Conversation, StoredConversation};

/// What a query finds in one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Whether the conversation is a hit. One that is only found by its type is, whether or not the query names the type.
    pub matches: bool,
    /// The words that make it one, in order; empty where facts alone do.
    pub highlights: Vec<Highlight>,
}

impl Within {
    /// Indices of the messages that hold such words, ascending.
    pub fn messages(&self) -> Vec<usize> {
        let mut messages: Vec<usize> = self.highlights.iter().map(|highlight| highlight.message).collect();
        messages.dedup();
        messages
    }

    /// The words in one message.
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
    let refused = unsupported(query);
    if !refused.is_empty() {
        return Err(QueryError { query: text.to_owned(), complaints: refused, more: 0 });
    }
    let matcher = Matcher::of_everything(&query.query);
    let matches = matcher.matches(stored);
    let highlights = if matches { matcher.highlights(stored, merged) } else { Vec::new() };
    Ok(Within { matches, highlights })
}
