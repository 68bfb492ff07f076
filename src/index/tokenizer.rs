//! Words: what a transcript is cut into, for the index, the matcher and the query alike.
//!
//! A word follows Unicode's rules (UAX 29), folded: lower case, accents and width gone, `ß` as `ss`. Beyond those rules:
//! * a word with inner punctuation (`example.org`, `ERR_204`, `l'annulation`) is also found by its parts, which share its
//!   position, so phrases and distances still count words;
//! * a sentence border without a space (`refund.Please`) is one word, and the second half another word behind it;
//! * a host (`shop.example.org`) also by what it belongs to (`example.org`);
//! * Chinese, Japanese kana, Korean and Thai give one word per character as a reader sees it, so that any substring is a
//!   phrase, and a Latin word with a Korean ending is found without it;
//! * emoji are words; skin tones and presentation selectors are folded away;
//! * no word is dropped for its length: what exceeds [`MAX_WORD_BYTES`] is cut into pieces that follow each other.
//!
//! Messages are joined by [`MESSAGE_END`], which moves the position so far that no phrase crosses it.

pub use super::fold::fold;
use super::fold::{is_apostrophe, is_emoji, is_unspaced};
use super::pieces::{MAX_TAILED_BYTES, head, is_joint, is_part_worth_finding, next_tail, trimmed};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_segmentation::UnicodeSegmentation;

/// Stands between the messages of one speaker in an indexed text. An ASCII control character, so that it costs the fast
/// path nothing; [`words`] treats it as a gap wherever it occurs.
pub const MESSAGE_END: char = '\u{1e}';

/// Positions skipped between two messages.
pub const MESSAGE_GAP: usize = 16;

/// Longest word kept in one piece, bytes. Tantivy itself drops what exceeds 65,530.
pub const MAX_WORD_BYTES: usize = 4096;

/// Longest stretch without ASCII white space that is cut into words at once, so that memory stays bounded.
const MAX_RUN_BYTES: usize = 64 * 1024;

/// Name under which the tokenizer is registered with an index.
pub const TOKENIZER: &str = "chatvault";

/// One word, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'w> {
    /// Folded text: what queries are compared with.
    pub text: &'w str,
    /// Byte range in the text it was read from.
    pub start: usize,
    /// End of the byte range, exclusive.
    pub end: usize,
    /// Ordinal among the words of the text; parts share their word's.
    pub position: usize,
    /// Whether it is a part of the word at that position, not the word itself.
    pub is_part: bool,
}

/// Reads the words of `text`, in order; a word comes before its parts.
pub fn words(text: &str) -> Words<'_> {
    words_between(text, Borders::AsWritten)
}

fn words_between(text: &str, borders: Borders) -> Words<'_> {
    let (folded, queue) = (String::new(), Vec::new());
    Words { text, borders, at: 0, position: 0, folded, parts: None, tails: None, queue, queued: 0 }
}

/// The whole words of `text`, folded, without parts: what a query term is compared with.
pub fn fold_words(text: &str) -> Vec<String> {
    fold_words_between(text, Borders::Nowhere)
}

/// As [`fold_words`], with what follows a border as a word behind the whole one.
pub fn fold_words_between(text: &str, borders: Borders) -> Vec<String> {
    let mut reader = words_between(text, borders);
    let mut folded = Vec::new();
    while let Some(word) = reader.next_word() {
        if !word.is_part {
            folded.push(word.text.to_owned());
        }
    }
    folded
}

/// A lending reader of words; see [`words`].
#[derive(Debug)]
pub struct Words<'t> {
    text: &'t str,
    borders: Borders,
    at: usize,
    position: usize,
    folded: String,
    /// Parts of the last ASCII word still to be given: byte range of the rest, and whether short parts are left out.
    parts: Option<(usize, usize)>,
    /// Likewise of its tails (`example.org` of `shop.example.org`).
    tails: Option<(usize, usize)>,
    /// Words of a run that holds more than ASCII: folded text, byte range, position, is_part.
    queue: Vec<(String, usize, usize, usize, bool)>,
    queued: usize,
}

const SPACE: u8 = 0;
const WORD: u8 = 1;
const BEYOND_ASCII: u8 = 2;

/// Class of each byte: what starts a word, what may not be judged here, and the rest.
const CLASS: [u8; 256] = {
    let mut class = [SPACE; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte >= 128 {
            class[byte] = BEYOND_ASCII;
        } else if (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_' {
            class[byte] = WORD;
        }
        byte += 1;
    }
    class
};

/// Where sentences end within a word: a full stop between a lower-case and an upper-case letter ("refund.Please").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Borders {
    /// As the letters say: what texts are read with.
    AsWritten,
    /// Nowhere: a word is one word, whatever its letters.
    Nowhere,
    /// At every full stop between letters.
    Everywhere,
}

impl Borders {
    fn is_border(self, before: char, after: char) -> bool {
        match self {
            Borders::AsWritten => before.is_lowercase() && after.is_uppercase(),
            Borders::Nowhere => false,
            Borders::Everywhere => before.is_alphabetic() && after.is_alphabetic(),
        }
    }
}

impl<'t> Words<'t> {
    /// The next word or part, or `None` at the end.
    pub fn next_word(&mut self) -> Option<Word<'_>> {
        if self.queued < self.queue.len() {
            return self.next_queued();
        }
        if let Some((start, end)) = self.parts {
            if let Some((from, to)) = self.next_part(start, end) {
                self.parts = Some((to, end));
                self.folded.clear();
                self.folded.push_str(&self.text[from..to]);
                self.folded.make_ascii_lowercase();
                return Some(Word {
                    text: &self.folded,
                    start: from,
                    end: to,
                    position: self.position - 1,
                    is_part: true,
                });
            }
            self.parts = None;
        }
        if let Some((start, end)) = self.tails {
            if let Some(from) = next_tail(&self.text[start..end]).map(|at| start + at) {
                self.tails = Some((from, end));
                self.folded.clear();
                self.folded.push_str(&self.text[from..end]);
                self.folded.make_ascii_lowercase();
                return Some(Word { text: &self.folded, start: from, end, position: self.position - 1, is_part: true });
            }
            self.tails = None;
        }
        let bytes = self.text.as_bytes();
        loop {
            let byte = *bytes.get(self.at)?;
            match CLASS[byte as usize] {
                SPACE => {
                    if byte == MESSAGE_END as u8 {
                        self.position += MESSAGE_GAP;
                    }
                    self.at += 1;
                }
                WORD => match self.ascii_word() {
                    AsciiWord::Found { start, end, has_joint } => {
                        self.folded.clear();
                        self.folded.push_str(&self.text[start..end]);
                        self.folded.make_ascii_lowercase();
                        self.parts = has_joint.then_some((start, end));
                        self.tails = self.parts.filter(|_| end - start <= MAX_TAILED_BYTES);
                        self.at = end;
                        self.position += 1;
                        return Some(Word {
                            text: &self.folded,
                            start,
                            end,
                            position: self.position - 1,
                            is_part: false,
                        });
                    }
                    AsciiWord::Rare { start, end } => {
                        self.queue.clear();
                        self.queued = 0;
                        self.queue_word(start, &self.text[start..end]);
                        self.at = end;
                        return self.next_queued();
                    }
                    AsciiWord::NotAWord { end } => self.at = end,
                    AsciiWord::BeyondAscii => {
                        self.read_run();
                        if !self.queue.is_empty() {
                            return self.next_queued();
                        }
                    }
                },
                _ => {
                    self.read_run();
                    if !self.queue.is_empty() {
                        return self.next_queued();
                    }
                }
            }
        }
    }

    fn next_queued(&mut self) -> Option<Word<'_>> {
        let (text, start, end, position, is_part) = &self.queue[self.queued];
        self.queued += 1;
        Some(Word { text, start: *start, end: *end, position: *position, is_part: *is_part })
    }

    /// The next part of the ASCII word whose unread rest is `start..end`.
    fn next_part(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let bytes = self.text.as_bytes();
        let is_joint = |byte: u8| !byte.is_ascii_alphanumeric();
        let mut from = start;
        while from < end {
            if is_joint(bytes[from]) {
                from += 1;
                continue;
            }
            let to = (from..end).find(|&at| is_joint(bytes[at])).unwrap_or(end);
            let before = from.checked_sub(1).and_then(|at| bytes.get(at)) == Some(&b'\'');
            let behind = to < end && bytes[to] == b'\'';
            if is_part_worth_finding(&self.text[from..to], before || behind) {
                return Some((from, to));
            }
            from = to;
        }
        None
    }

    /// The word that starts here, by the ASCII part of UAX 29: letters, digits and `_` join; `.` and `'` join between
    /// two letters or two digits; `,` and `;` between two digits.
    fn ascii_word(&self) -> AsciiWord {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let longest = (start + MAX_WORD_BYTES).min(bytes.len());
        let mut end = start;
        let mut has_joint = false;
        let mut has_letter_or_digit = false;
        let mut has_border = false;
        let mut joints = 0;
        while end < longest {
            let byte = bytes[end];
            match CLASS[byte as usize] {
                WORD => {
                    has_joint |= byte == b'_';
                    joints += usize::from(byte == b'_');
                    has_letter_or_digit |= byte != b'_';
                    end += 1;
                }
                BEYOND_ASCII => return AsciiWord::BeyondAscii,
                _ => {
                    let Some(&next) = bytes.get(end + 1) else { break };
                    if !matches!(byte, b'.' | b'\'' | b',' | b';') {
                        break;
                    }
                    if next >= 128 {
                        return AsciiWord::BeyondAscii;
                    }
                    let before = bytes[end - 1];
                    let letters = before.is_ascii_alphabetic() && next.is_ascii_alphabetic();
                    let digits = before.is_ascii_digit() && next.is_ascii_digit();
                    if !(digits || letters && matches!(byte, b'.' | b'\'')) {
                        break;
                    }
                    has_joint = true;
                    has_border |= byte == b'.' && self.borders.is_border(before.into(), next.into());
                    joints += 1;
                    end += 1;
                }
            }
        }
        if !has_letter_or_digit {
            AsciiWord::NotAWord { end }
        } else if has_border || joints > 1 && head(&self.text[start..end]).is_some() {
            AsciiWord::Rare { start, end }
        } else {
            AsciiWord::Found { start, end, has_joint }
        }
    }

    /// Queues the words from here to the next ASCII white space, by the full rules.
    fn read_run(&mut self) {
        self.queue.clear();
        self.queued = 0;
        let start = self.at;
        let bytes = self.text.as_bytes();
        let longest = bytes.len().min(start + MAX_RUN_BYTES);
        let end = (start..longest).find(|&at| bytes[at] <= b' ').unwrap_or(longest);
        let end = (end..=bytes.len()).find(|&at| self.text.is_char_boundary(at)).unwrap_or(bytes.len());
        self.at = end;
        for (offset, segment) in self.text[start..end].split_word_bound_indices() {
            if segment.contains(char::is_alphanumeric) || segment.contains(is_emoji) {
                self.queue_segment(start + offset, segment);
            }
        }
    }

    fn queue_segment(&mut self, start: usize, segment: &str) {
        if !segment.chars().any(is_unspaced) {
            return self.queue_pieces(start, segment);
        }
        // Clusters keep a voicing mark with its kana, and the jamo of a syllable together.
        let mut run = 0;
        for (offset, cluster) in segment.grapheme_indices(true) {
            if cluster.starts_with(is_unspaced) {
                self.queue_spaced(start + run, &segment[run..offset]);
                self.queue_word(start + offset, cluster);
                run = offset + cluster.len();
            }
        }
        self.queue_spaced(start + run, &segment[run..]);
    }

    /// What stands between characters that are words of their own: letters and digits, less what joined them to those.
    fn queue_spaced(&mut self, start: usize, run: &str) {
        let word = run.trim_start_matches(is_joint);
        let start = start + (run.len() - word.len());
        let word = word.trim_end_matches(is_joint);
        if word.contains(char::is_alphanumeric) {
            self.queue_pieces(start, word);
        }
    }

    fn queue_pieces(&mut self, start: usize, word: &str) {
        let mut rest = word;
        let mut at = start;
        while rest.len() > MAX_WORD_BYTES {
            let cut = (0..=MAX_WORD_BYTES).rev().find(|&cut| rest.is_char_boundary(cut)).unwrap_or(rest.len());
            self.queue_word(at, &rest[..cut]);
            at += cut;
            rest = &rest[cut..];
        }
        self.queue_word(at, rest);
    }

    fn queue_word(&mut self, start: usize, word: &str) {
        let (start, word) = trimmed(start, word);
        let folded = fold(word);
        if folded.is_empty() {
            return;
        }
        self.queue.push((folded, start, start + word.len(), self.position, false));
        let borders = self.borders;
        let mut pieces = word.match_indices('.').map(|(at, _)| at).filter(|&at| {
            let (before, after) = (word[..at].chars().next_back(), word[at + 1..].chars().next());
            before.zip(after).is_some_and(|(before, after)| borders.is_border(before, after))
        });
        match pieces.next() {
            None => self.queue_parts(start, word),
            Some(first) => {
                self.queue_tails(start, word);
                self.queue_part(start, &word[..first]);
                self.queue_parts(start, &word[..first]);
                let mut from = first + 1;
                for to in pieces.chain([word.len()]) {
                    self.position += 1;
                    let (at, piece) = (start + from, &word[from..to]);
                    self.queue.push((fold(piece), at, at + piece.len(), self.position, false));
                    self.queue_parts(at, piece);
                    from = to + 1;
                }
            }
        }
        self.position += 1;
    }

    /// What a word without borders is found by besides itself.
    fn queue_parts(&mut self, start: usize, word: &str) {
        if !word.contains(is_joint) {
            return;
        }
        let mut from = 0;
        for (joint, c) in word.char_indices().filter(|&(_, c)| is_joint(c)).chain([(word.len(), ' ')]) {
            let part = &word[from..joint];
            let before = word[..from].chars().next_back().is_some_and(is_apostrophe);
            if is_part_worth_finding(part, before || is_apostrophe(c)) && part.len() < word.len() {
                self.queue_part(start + from, part);
            }
            from = (joint + c.len_utf8()).min(word.len());
        }
        if let Some(head) = head(word) {
            self.queue_part(start, head);
        }
        self.queue_tails(start, word);
    }

    fn queue_tails(&mut self, start: usize, word: &str) {
        let mut at = if word.len() > MAX_TAILED_BYTES { word.len() } else { 0 };
        while let Some(tail) = next_tail(&word[at..]) {
            at += tail;
            self.queue_part(start + at, &word[at..]);
        }
    }

    fn queue_part(&mut self, start: usize, part: &str) {
        let (start, part) = trimmed(start, part);
        let folded = fold(part);
        if !folded.is_empty() {
            self.queue.push((folded, start, start + part.len(), self.position, true));
        }
    }
}

enum AsciiWord {
    Found {
        start: usize,
        end: usize,
        has_joint: bool,
    },
    /// Found by more than its parts.
    Rare {
        start: usize,
        end: usize,
    },
    NotAWord {
        end: usize,
    },
    BeyondAscii,
}

/// The same words, as tantivy wants them.
#[derive(Clone, Default)]
pub struct ChatTokenizer {
    token: Token,
}

impl Tokenizer for ChatTokenizer {
    type TokenStream<'a> = ChatTokenStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> ChatTokenStream<'a> {
        self.token.reset();
        ChatTokenStream { words: words(text), token: &mut self.token }
    }
}

/// Stream of a [`ChatTokenizer`].
pub struct ChatTokenStream<'a> {
    words: Words<'a>,
    token: &'a mut Token,
}

impl TokenStream for ChatTokenStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next_word() else { return false };
        self.token.text.clear();
        self.token.text.push_str(word.text);
        self.token.offset_from = word.start;
        self.token.offset_to = word.end;
        self.token.position = word.position;
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
