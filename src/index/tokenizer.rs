//! Words: what a transcript is cut into, for the index, the matcher and the query alike.
//!
//! A word follows Unicode's rules (UAX 29), folded: lower case, accents and width gone, `ß` as `ss`. Beyond those rules:
//! * a word with inner punctuation (`example.org`, `ERR_204`, `l'annulation`) is also found by its parts, which share its
//!   position, so phrases and distances still count words;
//! * a host (`shop.example.org`) also by what it belongs to (`example.org`);
//! * Chinese, Japanese kana, Korean and Thai give one word per character as a reader sees it, so that any substring is a
//!   phrase, and a Latin word with a Korean ending is found without it;
//! * emoji are words; skin tones and presentation selectors are folded away;
//! * no word is dropped for its length: what exceeds [`MAX_WORD_BYTES`] is cut into pieces that follow each other.
//!
//! Messages are joined by [`MESSAGE_END`], which moves the position so far that no phrase crosses it.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_normalization::UnicodeNormalization;
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
    Words { text, at: 0, position: 0, folded: String::new(), parts: None, tails: None, queue: Vec::new(), queued: 0 }
}

/// The whole words of `text`, folded, without parts: what a query term is compared with.
pub fn fold_words(text: &str) -> Vec<String> {
    let mut reader = words(text);
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

/// Punctuation at which a word has parts.
fn is_joint(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | ':' | '_') || is_apostrophe(c)
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{ff07}')
}

/// Whether a piece of a word is worth finding by itself. Behind or before an apostrophe short pieces are endings ("it's",
/// "I'm", "l'"): indexing them costs one word in twenty and finds nothing anyone seeks. Digits are no endings ("1'250").
fn is_part_worth_finding(part: &str, at_apostrophe: bool) -> bool {
    !part.is_empty() && (!at_apostrophe || part.chars().nth(2).is_some() || part.chars().all(|c| c.is_ascii_digit()))
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
                        self.tails = self.parts;
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
        while end < longest {
            let byte = bytes[end];
            match CLASS[byte as usize] {
                WORD => {
                    has_joint |= byte == b'_';
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
                    end += 1;
                }
            }
        }
        if has_letter_or_digit { AsciiWord::Found { start, end, has_joint } } else { AsciiWord::NotAWord { end } }
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
        let folded = fold(word);
        if folded.is_empty() {
            return;
        }
        self.queue.push((folded, start, start + word.len(), self.position, false));
        if word.contains(is_joint) {
            let mut from = 0;
            for (joint, c) in word.char_indices().filter(|&(_, c)| is_joint(c)).chain([(word.len(), ' ')]) {
                let part = &word[from..joint];
                let before = word[..from].chars().next_back().is_some_and(is_apostrophe);
                if is_part_worth_finding(part, before || is_apostrophe(c)) && part.len() < word.len() {
                    self.queue.push((fold(part), start + from, start + joint, self.position, true));
                }
                from = (joint + c.len_utf8()).min(word.len());
            }
            let mut at = 0;
            while let Some(tail) = next_tail(&word[at..]) {
                at += tail;
                self.queue.push((fold(&word[at..]), start + at, start + word.len(), self.position, true));
            }
        }
        self.position += 1;
    }
}

/// Where the next tail of a word begins: behind a full stop, before a letter, with another full stop to come. The parent
/// of a host, whose single parts are found anyway.
fn next_tail(word: &str) -> Option<usize> {
    let mut stops = word.match_indices('.').map(|(at, _)| at + 1).peekable();
    while let Some(at) = stops.next() {
        stops.peek()?;
        if word[at..].starts_with(char::is_alphabetic) {
            return Some(at);
        }
    }
    None
}

enum AsciiWord {
    Found { start: usize, end: usize, has_joint: bool },
    NotAWord { end: usize },
    BeyondAscii,
}

/// Katakana and Hangul: UAX 29 makes words of their runs, which readers do not.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{30a0}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9f}' // katakana
        | '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{a960}'..='\u{a97f}' // jamo
        | '\u{ac00}'..='\u{d7ff}' | '\u{ffa0}'..='\u{ffdc}' // Hangul syllables, jamo of half width
    )
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{203c}' | '\u{2049}'
        | '\u{231a}'..='\u{231b}' | '\u{2328}' | '\u{23cf}' | '\u{23e9}'..='\u{23fa}')
}

/// Marks that are accents in the eyes of someone who searches. Vowel signs of Indic scripts and the voicing marks of kana
/// are not: without them it is another word.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036f}'                                  // combining diacritical marks
        | '\u{0591}'..='\u{05bd}' | '\u{05bf}' | '\u{05c1}'..='\u{05c7}' // Hebrew points
        | '\u{0610}'..='\u{061a}' | '\u{0640}' | '\u{064b}'..='\u{065f}' | '\u{0670}' // Arabic marks, tatweel
        | '\u{06d6}'..='\u{06ed}'
        | '\u{200c}' | '\u{200d}' | '\u{00ad}'                   // joiners, soft hyphen
        | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}'    // presentation selectors, skin tones
    )
}

/// Folds a word: compatibility forms, case, accents. The same for index, matcher and query.
pub fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(word.len());
    // Lower case before and after: U+0130 (İ) decomposes only once it is lower case, and some letters only decompose
    // into capitals.
    for c in word.nfkd().flat_map(char::to_lowercase).nfkd() {
        if is_accent(c) {
            // й and ў are letters of their own.
            if c == '\u{0306}' && folded.ends_with(['и', 'у']) {
                folded.push(c);
            }
            continue;
        }
        for c in c.to_lowercase() {
            push_folded(&mut folded, c);
        }
    }
    if folded.is_ascii() { folded } else { folded.nfc().collect() }
}

fn push_folded(folded: &mut String, c: char) {
    match c {
        'ß' => folded.push_str("ss"),
        'ı' => folded.push('i'),
        'ς' => folded.push('σ'),
        'ø' => folded.push('o'),
        'đ' | 'ð' => folded.push('d'),
        'ł' => folded.push('l'),
        'æ' => folded.push_str("ae"),
        'œ' => folded.push_str("oe"),
        'þ' => folded.push_str("th"),
        '\u{2019}' => folded.push('\''),
        // Arabic as it is typed: the other alef, both keyboards' yeh and kaf, teh marbuta.
        'ٱ' => folded.push('ا'),
        'ى' | 'ی' => folded.push('ي'),
        'ک' => folded.push('ك'),
        'ة' => folded.push('ه'),
        // Digits of Arabic, Persian and Hindi.
        '\u{0660}'..='\u{0669}' => push_digit(folded, c, 0x0660),
        '\u{06f0}'..='\u{06f9}' => push_digit(folded, c, 0x06f0),
        '\u{0966}'..='\u{096f}' => push_digit(folded, c, 0x0966),
        // Hangul and kana were taken apart by the decomposition; the caller puts them together again.
        other => folded.push(other),
    }
}

fn push_digit(folded: &mut String, c: char, zero: u32) {
    folded.extend(char::from_digit((c as u32).saturating_sub(zero), 10));
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
