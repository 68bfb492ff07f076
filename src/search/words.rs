//! A text pattern of the query → what each word has to look like.
//!
//! Index, matcher and highlights all decide through [`WordPattern::matches`], so they cannot disagree about what a
//! wildcard or a fuzzy word finds.

use super::expression::{compiled, regular_expression};
use super::pattern::is_address;
use super::query::TextPattern;
use super::stem::Stem;
use crate::index::tokenizer::{Borders, fold, fold_words, fold_words_between};
use regex::Regex;

/// A sequence of adjacent words (a single one, mostly).
#[derive(Clone, Debug)]
pub(super) enum WordSequence {
    /// Any word at all.
    AnyWord,
    /// One of these readings, each of words at adjacent positions; at least one, and none is empty.
    Words(Vec<Vec<WordPattern>>),
    /// These digits, in one word or in several groups of digits that follow each other. Only in transcripts.
    Digits(String),
}

/// What one word has to look like.
#[derive(Clone, Debug)]
pub(super) enum WordPattern {
    /// Equal, folded.
    Exactly(String),
    /// The whole word matches; every match starts with `prefix`.
    Matching { expression: Regex, prefix: String },
    /// At most `distance` letters changed, added, lost or swapped; every match starts with `prefix`.
    Like { word: String, distance: u8, prefix: String },
    /// Has this stem.
    Stemmed(Stem),
    /// Digits only, of a value in this range.
    Number { low: u64, high: u64 },
    /// Digits at an end of the word that can be this part of a run of digits.
    Digits { run: String, part: RunPart },
}

/// Which part of a run of digits a word holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum RunPart {
    /// All of it, at its beginning or end (`nr123456`).
    Whole,
    /// Its first digits, at its end (`Card4111 1111`).
    First,
    /// Its last digits, at its beginning.
    Last,
}

/// The digits a folded word begins with.
pub(super) fn leading_digits(word: &str) -> &str {
    &word[..word.bytes().take_while(u8::is_ascii_digit).count()]
}

/// The digits a folded word ends with.
pub(super) fn trailing_digits(word: &str) -> &str {
    &word[word.len() - word.bytes().rev().take_while(u8::is_ascii_digit).count()..]
}

impl WordPattern {
    /// Whether a folded word is meant.
    pub(super) fn matches(&self, word: &str) -> bool {
        match self {
            WordPattern::Exactly(wanted) => wanted == word,
            WordPattern::Matching { expression, prefix } => {
                word.starts_with(prefix.as_str()) && expression.is_match(word)
            }
            WordPattern::Like { word: wanted, distance, prefix } => {
                // A letter has at most four bytes: far-off lengths need no look at the letters.
                word.starts_with(prefix.as_str())
                    && word.len().abs_diff(wanted.len()) <= 4 * usize::from(*distance)
                    && strsim::osa_distance(word, wanted) <= usize::from(*distance)
            }
            WordPattern::Stemmed(stem) => stem.matches(word),
            WordPattern::Number { low, high } => {
                word.bytes().all(|byte| byte.is_ascii_digit())
                    && word.parse().is_ok_and(|number: u64| (*low..=*high).contains(&number))
            }
            WordPattern::Digits { run, part } => {
                let (leading, trailing) = (leading_digits(word), trailing_digits(word));
                match part {
                    RunPart::Whole => leading == run || trailing == run,
                    RunPart::First => !trailing.is_empty() && run.starts_with(trailing),
                    RunPart::Last => !leading.is_empty() && run.ends_with(leading),
                }
            }
        }
    }

    /// What every match starts with; may be empty.
    pub(super) fn prefix(&self) -> &str {
        match self {
            WordPattern::Exactly(word) => word,
            WordPattern::Matching { prefix, .. } => prefix,
            WordPattern::Like { prefix, .. } => prefix,
            WordPattern::Stemmed(stem) => stem.prefix(),
            WordPattern::Number { .. } | WordPattern::Digits { .. } => "",
        }
    }
}

/// Stand-ins for `*` and `?` while a pattern is cut into words: letters (of the Yi script), so that they stay inside the word.
const STAR: char = '\u{a000}';
const ONE: char = '\u{a001}';

/// The same as digits (of the Vai script): a text is cut otherwise beside a digit (`192.168.1.5`) than beside a letter.
const STAR_DIGIT: char = '\u{a620}';
const ONE_DIGIT: char = '\u{a621}';

impl WordSequence {
    /// Reads a pattern. Errors are sentences for the user.
    pub(super) fn of(pattern: &TextPattern) -> Result<WordSequence, String> {
        let mut readings = match pattern {
            TextPattern::Any => return Ok(WordSequence::AnyWord),
            TextPattern::Word(text) | TextPattern::Phrase(text) => literal_readings(text),
            TextPattern::Wildcard(text) => wildcard_readings(text)?,
            TextPattern::Fuzzy { word, distance, kept } => vec![fuzzy_words(word, *distance, *kept)?],
            TextPattern::Stem { word, language } => {
                vec![fold_words(word).iter().map(|word| WordPattern::Stemmed(Stem::of(word, *language))).collect()]
            }
            TextPattern::Number { low, high } => vec![vec![WordPattern::Number { low: *low, high: *high }]],
            TextPattern::Regex(expression) => vec![vec![regular_expression(expression)?]],
        };
        readings.retain(|words| !words.is_empty());
        if readings.is_empty() {
            return Err("this holds nothing that counts as a word, so it can match nothing".into());
        }
        Ok(WordSequence::Words(readings))
    }

    /// As [`WordSequence::of`], for the lines of a transcript: digits are found there however they were spaced.
    pub(super) fn in_transcript(pattern: &TextPattern) -> Result<WordSequence, String> {
        let words = WordSequence::of(pattern)?;
        let run = match pattern {
            TextPattern::Word(text) => digit_run(text),
            _ => None,
        };
        Ok(run.map_or(words, WordSequence::Digits))
    }
}

/// Digits in a row that are looked for in groups too: from six, because shorter ones are mostly amounts and dates, up to
/// forty, because each digit more is another two words to look up.
const DIGIT_RUN: std::ops::RangeInclusive<usize> = 6..=40;

/// The digits of a word that holds nothing else but hyphens and slashes.
fn digit_run(text: &str) -> Option<String> {
    let is_sign = |c: char| matches!(c, '-' | '/' | '+');
    let parted = text.chars().all(|c| c.is_alphanumeric() || is_sign(c));
    let words = fold_words(text);
    let run = if parted || words.len() == 1 { words.concat() } else { return None };
    (DIGIT_RUN.contains(&run.len()) && run.bytes().all(|byte| byte.is_ascii_digit())).then_some(run)
}

/// The words of a text. In a phrase a word may hold the border of two sentences, whoever left out the space there.
fn literal_readings(text: &str) -> Vec<Vec<WordPattern>> {
    let mut readings = vec![fold_words(text)];
    if readings[0].len() > 1 {
        readings.extend([Borders::AsWritten, Borders::Everywhere].map(|borders| fold_words_between(text, borders)));
        readings.sort_unstable_by_key(Vec::len);
        readings.dedup();
    }
    readings.into_iter().map(|words| words.into_iter().map(WordPattern::Exactly).collect()).collect()
}

fn fuzzy_words(word: &str, distance: u8, kept: usize) -> Result<Vec<WordPattern>, String> {
    let mut words = fold_words(word);
    if kept == 0 {
        let any = |word| WordPattern::Like { word, distance, prefix: String::new() };
        return Ok(words.into_iter().map(any).collect());
    }
    let prefix = fold(&word.chars().take(kept).collect::<String>());
    match (words.pop(), words.is_empty()) {
        (Some(word), true) if word.starts_with(&prefix) => Ok(vec![WordPattern::Like { word, distance, prefix }]),
        _ => Err("a fuzzy word whose first letters have to stand is a single word; this is several".into()),
    }
}

/// A pattern cut as a text is whose wildcards stand for letters, and as one in which they stand for digits.
fn wildcard_readings(text: &str) -> Result<Vec<Vec<WordPattern>>, String> {
    let cut = |star: char, one: char| {
        let marked = text.chars().map(|c| match c {
            '*' => star,
            '?' if !is_address(text) => one,
            other => other,
        });
        fold_words(&marked.collect::<String>())
    };
    let of_letters = cut(STAR, ONE);
    let as_letters = |word: String| word.replace(STAR_DIGIT, "\u{a000}").replace(ONE_DIGIT, "\u{a001}");
    let of_digits: Vec<String> = cut(STAR_DIGIT, ONE_DIGIT).into_iter().map(as_letters).collect();
    if of_letters == of_digits {
        return Ok(vec![wildcard_words(without_lone_stars(of_letters), ".*")?]);
    }
    Ok(vec![wildcard_words(of_digits, "\\d.*")?, wildcard_words(of_letters, "\\D.*")?])
}

fn is_lone_star(word: &str) -> bool {
    word.chars().all(|c| c == STAR)
}

/// In scripts without spaces a wildcard at the edge stands alone: the neighbouring character decides.
fn without_lone_stars(mut words: Vec<String>) -> Vec<String> {
    while words.len() > 1 && words.last().is_some_and(|word| is_lone_star(word)) {
        words.pop();
    }
    while words.len() > 1 && words.first().is_some_and(|word| is_lone_star(word)) {
        words.remove(0);
    }
    words
}

/// `lone` is what a star that is a word of its own stands for.
fn wildcard_words(words: Vec<String>, lone: &str) -> Result<Vec<WordPattern>, String> {
    let pattern = |word: String| {
        let Some(first_wildcard) = word.find([STAR, ONE]) else { return Ok(WordPattern::Exactly(word)) };
        let prefix = word[..first_wildcard].to_owned();
        let mut expression = String::from("^(?s:");
        if is_lone_star(&word) {
            expression.push_str(lone);
        } else {
            for c in word.chars() {
                match c {
                    STAR => expression.push_str(".*"),
                    ONE => expression.push('.'),
                    literal => expression.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4]))),
                }
            }
        }
        expression.push_str(")$");
        Ok(WordPattern::Matching { expression: compiled(&expression)?, prefix })
    };
    words.into_iter().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: TextPattern, word: &str, expected: bool) {
        let Ok(WordSequence::Words(readings)) = WordSequence::of(&pattern) else { panic!("{pattern:?}") };
        let found = readings.iter().any(|words| words.len() == 1 && words[0].matches(word));
        assert_eq!(found, expected, "{pattern:?} {word}");
    }

    #[test]
    fn wildcards() {
        let wildcard = |text: &str| TextPattern::Wildcard(text.into());
        check(wildcard("Cappuc*"), "cappuccino", true);
        check(wildcard("cappuc*"), "cappuc", true);
        check(wildcard("*ccino"), "cappuccino", true);
        check(wildcard("ref?nd"), "refund", true);
        check(wildcard("ref?nd"), "refnd", false);
        check(wildcard("a.*"), "a.b", true);
        check(wildcard("a.*"), "acb", false);
        check(wildcard("CRÈ*"), "creme", true);
        for pattern in ["192.168.*", "192.168.1.?", "*.1.5", "192.*.5", "*92.168.1.?", "1?2.168.1.5"] {
            check(wildcard(pattern), "192.168.1.5", true);
            check(wildcard(pattern), "192.168", false);
        }
        check(wildcard("1,?50.00"), "1,250.00", true);
    }

    #[test]
    fn wildcards_over_several_words() {
        let readings = |text: &str| match WordSequence::of(&TextPattern::Wildcard(text.into())) {
            Ok(WordSequence::Words(readings)) => readings,
            other => panic!("{other:?}"),
        };
        let words = &readings("ERR-2*")[0];
        assert!(words[0].matches("err") && words[1].matches("204") && !words[1].matches("304"));
        assert_eq!(readings("退*").iter().map(Vec::len).collect::<Vec<_>>(), [1]);
        assert_eq!(readings("192.168.*").iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn fuzzy_counts_letters() {
        let fuzzy = |distance| TextPattern::Fuzzy { word: "refnd".into(), distance, kept: 0 };
        let kept = TextPattern::Fuzzy { word: "banana".into(), distance: 1, kept: 2 };
        check(kept.clone(), "batana", true);
        check(kept.clone(), "bxnana", false);
        check(fuzzy(1), "refund", true);
        check(fuzzy(1), "refunds", false);
        check(fuzzy(2), "refunds", true);
        check(fuzzy(1), "rfend", true);
        check(fuzzy(1), "rfnd", true);
        check(fuzzy(1), "rfed", false);
    }

    #[test]
    fn regular_expressions_match_whole_words() {
        let regex = |text: &str| TextPattern::Regex(text.into());
        check(regex("ref(und|und?ed)"), "refunded", true);
        check(regex("ref"), "refund", false);
        check(regex(r"\d{4,}"), "123456", true);
        check(regex("STRASSE"), "strasse", true);
        for refused in ["(", "foo)|(bar", "[À-Ö]offee", r"\p{Lu}x", "(?x: a # b"] {
            assert!(WordSequence::of(&regex(refused)).is_err(), "{refused}");
        }
        assert!(WordSequence::of(&regex("((a{1000}){1000}){1000}")).is_err());
    }
}
