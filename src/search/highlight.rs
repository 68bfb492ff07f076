//! Snippets: a few lines of a hit around the words that made it one.

use super::matcher::Highlight;
use crate::conversation::{Conversation, Message, PlainText, Role, plain_text};
use std::borrow::Cow;
use std::ops::Range;

/// A stretch of one message with the words that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// Index of the message.
    pub message: usize,
    /// Who wrote it, as printed.
    pub by: String,
    /// Who wrote it.
    pub role: Role,
    /// The stretch of plain text; `…` marks where it was cut.
    pub text: String,
    /// Byte ranges in `text`, in order, not overlapping.
    pub marks: Vec<Range<usize>>,
}

/// Characters shown around the first match of a message.
const CONTEXT: usize = 70;

/// At most `limit` snippets, in the order of the transcript.
pub fn snippets(conversation: &Conversation, highlights: &[Highlight], limit: usize) -> Vec<Snippet> {
    cut(conversation, highlights, limit, plain_text)
}

/// As [`snippets`], of the text as received, with its tags: for [`super::Matcher::raw_highlights`].
pub fn raw_snippets(conversation: &Conversation, highlights: &[Highlight], limit: usize) -> Vec<Snippet> {
    cut(conversation, highlights, limit, |message| Cow::Borrowed(&message.text))
}

fn cut(
    conversation: &Conversation,
    highlights: &[Highlight],
    limit: usize,
    text_of: impl Fn(&Message) -> PlainText<'_>,
) -> Vec<Snippet> {
    let mut found: Vec<Snippet> = Vec::new();
    let mut rest = highlights;
    while let Some(first) = rest.first() {
        let of_message = rest.iter().take_while(|highlight| highlight.message == first.message).count();
        if found.len() == limit {
            break;
        }
        if let Some(message) = conversation.messages.get(first.message) {
            let (text, marks) = excerpt(&text_of(message), &rest[..of_message]);
            found.push(Snippet { message: first.message, by: message.by.clone(), role: message.role, text, marks });
        }
        rest = &rest[of_message..];
    }
    found
}

/// Ranges of one message, merged where they touch or overlap (a word and its part).
pub fn merged_ranges(highlights: &[Highlight]) -> Vec<Range<usize>> {
    let mut merged: Vec<Range<usize>> = Vec::new();
    for highlight in highlights {
        match merged.last_mut() {
            Some(last) if highlight.start < last.end => last.end = last.end.max(highlight.end),
            _ => merged.push(highlight.start..highlight.end),
        }
    }
    merged
}

fn excerpt(text: &str, highlights: &[Highlight]) -> (String, Vec<Range<usize>>) {
    let ranges = merged_ranges(highlights);
    let first = ranges[0].start;
    let start = text[..first].char_indices().rev().nth(CONTEXT).map_or(0, |(at, _)| word_start(text, at));
    let end = text[first..].char_indices().nth(2 * CONTEXT).map_or(text.len(), |(at, _)| first + at);
    // A match is shown whole, however long.
    let end = ranges.iter().filter(|range| range.start < end).map(|range| range.end).fold(end, usize::max);
    let mut shown = String::with_capacity(end - start + 6);
    if start > 0 {
        shown.push('…');
    }
    let shift = shown.len();
    shown.push_str(&text[start..end]);
    if end < text.len() {
        shown.push('…');
    }
    let marks = ranges
        .into_iter()
        .filter(|range| range.end <= end)
        .map(|range| range.start - start + shift..range.end - start + shift)
        .collect();
    (shown, marks)
}

/// Moves a cut to the next space within a few characters, so that it does not split a word.
fn word_start(text: &str, at: usize) -> usize {
    text[at..]
        .char_indices()
        .take(20)
        .find(|(_, c)| c.is_whitespace())
        .map_or(at, |(space, c)| at + space + c.len_utf8())
}

/// The snippet as HTML: everything escaped, matches in `<mark>`.
pub fn html(snippet: &Snippet) -> String {
    let mut html = String::with_capacity(snippet.text.len() + 32);
    let mut at = 0;
    for mark in &snippet.marks {
        escape(&snippet.text[at..mark.start], &mut html);
        html.push_str("<mark>");
        escape(&snippet.text[mark.clone()], &mut html);
        html.push_str("</mark>");
        at = mark.end;
    }
    escape(&snippet.text[at..], &mut html);
    html
}

fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            control if control.is_control() && control != '\n' => html.push('\u{fffd}'),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(text: &str) -> Conversation {
        let message = Message { text: text.into(), by: "Visitor".into(), ..Message::default() };
        Conversation { messages: vec![message], ..Conversation::default() }
    }

    #[test]
    fn marks_exactly_the_words() {
        let c = conversation("my <refund> & more");
        let found = snippets(&c, &[Highlight { message: 0, start: 4, end: 10 }], 3);
        assert_eq!(html(&found[0]), "my &lt;<mark>refund</mark>&gt; &amp; more");
    }

    #[test]
    fn long_lines_are_cut_around_the_match() {
        let text = format!("{} needle {}", "hay ".repeat(100), "straw ".repeat(100));
        let at = text.find("needle").expect("it is there");
        let found = snippets(&conversation(&text), &[Highlight { message: 0, start: at, end: at + 6 }], 3);
        assert!(found[0].text.starts_with('…') && found[0].text.ends_with('…') && found[0].text.chars().count() < 230);
        assert_eq!(&found[0].text[found[0].marks[0].clone()], "needle");
    }

    #[test]
    fn a_word_and_its_part_are_one_mark() {
        let highlights = [
            Highlight { message: 0, start: 0, end: 3 },
            Highlight { message: 0, start: 0, end: 7 },
            Highlight { message: 0, start: 8, end: 9 },
        ];
        assert_eq!(merged_ranges(&highlights), [0..7, 8..9]);
    }
}
