//! The pieces of one word by which it is found besides itself.

use super::fold::{is_apostrophe, is_invisible};

/// Punctuation at which a word has parts.
pub(super) fn is_joint(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | ':' | '_') || is_apostrophe(c)
}

/// Whether a piece of a word is worth finding by itself. Behind or before an apostrophe single letters are endings ("it's",
/// "I'm", "l'") that nobody seeks. Digits are no endings ("1'250").
pub(super) fn is_part_worth_finding(part: &str, at_apostrophe: bool) -> bool {
    !part.is_empty() && (!at_apostrophe || part.chars().nth(1).is_some() || part.chars().all(|c| c.is_ascii_digit()))
}

/// A word without what nobody sees at its ends, and without the letter that is an apostrophe (U+02BC) there.
pub(super) fn trimmed(start: usize, word: &str) -> (usize, &str) {
    let is_edge = |c: char| is_invisible(c) || c == '\u{02bc}';
    let rest = word.trim_start_matches(is_edge);
    (start + (word.len() - rest.len()), rest.trim_end_matches(is_edge))
}

/// What a word of several pieces is also found by: without its `'s` (`o'brien's`), and a number without its decimals where
/// another sign parts its thousands (`1,250.00`). A head of one piece is a part anyway.
pub(super) fn head(word: &str) -> Option<&str> {
    let (at, joint) = word.char_indices().rev().find(|&(_, c)| is_joint(c))?;
    let (head, ending) = (&word[..at], &word[at + joint.len_utf8()..]);
    let parted = head.chars().find(|&c| is_joint(c))?;
    let genitive = is_apostrophe(joint) && ending.eq_ignore_ascii_case("s");
    let decimals = matches!(joint, '.' | ',')
        && joint != parted
        && word.chars().all(|c| c.is_numeric() || c == joint && !head.contains(joint) || c == parted);
    (genitive || decimals).then_some(head)
}

/// Longest word that is found by its tails, bytes: as long as a host's name.
pub(super) const MAX_TAILED_BYTES: usize = 256;

/// The most labels of a tail, so that a word of a hundred labels is not indexed a hundred times.
const MAX_TAIL_LABELS: usize = 8;

/// Where the next tail of a word begins: behind a full stop, before a letter, with another full stop to come. The parent
/// of a host, whose single parts are found anyway.
pub(super) fn next_tail(word: &str) -> Option<usize> {
    let stops = word.rmatch_indices('.').take(MAX_TAIL_LABELS).skip(1).map(|(at, _)| at + 1);
    stops.filter(|&at| word[at..].starts_with(char::is_alphabetic)).last()
}
