//! A conversation as the matcher sees it: every line cut into words, once.

use crate::conversation::{Conversation, Message, Role, plain_text};
use crate::index::tokenizer::words;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

/// One line, cut into words.
pub(super) struct Line {
    pub(super) role: Role,
    words: Vec<WordAt>,
    /// Folded words, back to back.
    folded: String,
}

struct WordAt {
    folded: Range<usize>,
    /// Byte range in the line's plain text.
    range: Range<usize>,
    position: usize,
    is_part: bool,
}

/// A word, or a part of one, of a line.
pub(super) struct LineWord<'l> {
    pub(super) folded: &'l str,
    pub(super) range: Range<usize>,
    pub(super) position: usize,
}

impl Line {
    pub(super) fn of(role: Role, text: &str) -> Line {
        let mut folded = String::with_capacity(text.len());
        let mut found = Vec::new();
        let mut reader = words(text);
        while let Some(word) = reader.next_word() {
            let from = folded.len();
            folded.push_str(word.text);
            found.push(WordAt {
                folded: from..folded.len(),
                range: word.start..word.end,
                position: word.position,
                is_part: word.is_part,
            });
        }
        Line { role, words: found, folded }
    }

    /// Words and parts in order of position.
    pub(super) fn words(&self) -> impl Iterator<Item = LineWord<'_>> {
        self.words.iter().map(|word| self.at(word))
    }

    /// Words and parts at one position.
    pub(super) fn words_at(&self, position: usize) -> impl Iterator<Item = LineWord<'_>> {
        let from = self.words.partition_point(|word| word.position < position);
        self.words[from..].iter().take_while(move |word| word.position == position).map(|word| self.at(word))
    }

    /// The smallest pieces, in order: the parts of words that have some, else the words.
    pub(super) fn pieces(&self) -> impl Iterator<Item = LineWord<'_>> {
        let has_parts = |at: usize| self.words.get(at + 1).is_some_and(|next| next.is_part);
        let is_single = |word: &WordAt| !self.folded[word.folded.clone()].contains(['.', ',', ';', ':', '_', '\'']);
        let is_piece = move |at: usize, word: &WordAt| if word.is_part { is_single(word) } else { !has_parts(at) };
        let pieces = self.words.iter().enumerate().filter(move |(at, word)| is_piece(*at, word));
        pieces.map(|(_, word)| self.at(word))
    }

    fn at(&self, word: &WordAt) -> LineWord<'_> {
        LineWord { folded: &self.folded[word.folded.clone()], range: word.range.clone(), position: word.position }
    }
}

/// All lines of a conversation, in order, in both readings.
pub(super) struct Transcript<'c> {
    conversation: Cow<'c, Conversation>,
    plain: Vec<Line>,
    /// Of each line, whether people read something else than was received.
    has_markup: Vec<bool>,
    /// Only a query with `raw:` pays for reading them.
    raw: OnceLock<Vec<Line>>,
}

impl<'c> Transcript<'c> {
    pub(super) fn of(conversation: Cow<'c, Conversation>) -> Transcript<'c> {
        let line = |message: &Message| {
            let text = plain_text(message);
            (Line::of(message.role, &text), matches!(text, Cow::Owned(_)))
        };
        let (plain, has_markup) = conversation.messages.iter().map(line).unzip();
        Transcript { conversation, plain, has_markup, raw: OnceLock::new() }
    }

    /// The conversation itself.
    pub(super) fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// Whether a line holds tags or entities, so that what was received differs from what people read.
    pub(super) fn has_markup(&self, line: usize) -> bool {
        self.has_markup.get(line).copied().unwrap_or(false)
    }

    /// The lines as people read them, or as they were received.
    pub(super) fn lines(&self, raw: bool) -> &[Line] {
        let line = |message: &Message| Line::of(message.role, &message.text);
        if !raw {
            return &self.plain;
        }
        self.raw.get_or_init(|| self.conversation.messages.iter().map(line).collect())
    }
}
