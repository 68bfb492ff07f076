//! A text pattern of the query → what each word has to look like.
//!
//! Index, matcher and highlights all decide through [`WordPattern::matches`], so they cannot disagree about what a
//! wildcard or a fuzzy word finds.

use super::pattern::is_address;
use super::query::TextPattern;
use super::stem::Stem;
use crate::index::tokenizer::{fold, fold_words};
use regex::Regex;

/// A sequence of adjacent words (a single one, mostly).
#[derive(Clone, Debug)]
pub(super) enum WordSequence {
    /// Any word at all.
    AnyWord,
    /// These, at adjacent positions.
    Words(Vec<WordPattern>),
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
        }
    }

    /// What every match starts with; may be empty.
    pub(super) fn prefix(&self) -> &str {
        match self {
            WordPattern::Exactly(word) => word,
            WordPattern::Matching { prefix, .. } => prefix,
            WordPattern::Like { prefix, .. } => prefix,
            WordPattern::Stemmed(stem) => stem.prefix(),
            WordPattern::Number { .. } => "",
        }
    }
}

/// Stand-ins for `*` and `?` while a pattern is cut into words: letters (of the Yi script), so that they stay inside the word.
const STAR: char = '\u{a000}';
const ONE: char = '\u{a001}';

/// Longest compiled regular expression, bytes: a hostile one must not take the memory.
const MAX_EXPRESSION_BYTES: usize = 1 << 20;

impl WordSequence {
    /// Reads a pattern. Errors are sentences for the user.
    pub(super) fn of(pattern: &TextPattern) -> Result<WordSequence, String> {
        let words = match pattern {
            TextPattern::Any => return Ok(WordSequence::AnyWord),
            TextPattern::Word(text) | TextPattern::Phrase(text) => {
                fold_words(text).into_iter().map(WordPattern::Exactly).collect()
            }
            TextPattern::Wildcard(text) => wildcard_words(text)?,
            TextPattern::Fuzzy { word, distance, kept } => fuzzy_words(word, *distance, *kept)?,
            TextPattern::Stem { word, language } => {
                fold_words(word).iter().map(|word| WordPattern::Stemmed(Stem::of(word, *language))).collect()
            }
            TextPattern::Number { low, high } => vec![WordPattern::Number { low: *low, high: *high }],
            TextPattern::Regex(expression) => vec![regular_expression(expression)?],
        };
        if words.is_empty() {
            return Err("this holds nothing that counts as a word, so it can match nothing".into());
        }
        Ok(WordSequence::Words(words))
    }

    /// As [`WordSequence::of`], for the lines of a transcript: a bare run of digits is found there however it was spaced.
    pub(super) fn in_transcript(pattern: &TextPattern) -> Result<WordSequence, String> {
        let words = WordSequence::of(pattern)?;
        match (pattern, &words) {
            (TextPattern::Word(_), WordSequence::Words(one)) => match &one[..] {
                [WordPattern::Exactly(run)] if is_digit_run(run) => Ok(WordSequence::Digits(run.clone())),
                _ => Ok(words),
            },
            _ => Ok(words),
        }
    }
}

/// Digits in a row that are looked for in groups too: from six, because shorter ones are mostly amounts and dates, up to
/// forty, because each digit more is another two words to look up.
const DIGIT_RUN: std::ops::RangeInclusive<usize> = 6..=40;

fn is_digit_run(word: &str) -> bool {
    DIGIT_RUN.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
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

fn wildcard_words(text: &str) -> Result<Vec<WordPattern>, String> {
    let marked: String = text
        .chars()
        .map(|c| match c {
            '*' => STAR,
            '?' if !is_address(text) => ONE,
            other => other,
        })
        .collect();
    let mut words = fold_words(&marked);
    // In scripts without spaces a wildcard at the edge stands alone: the neighbouring character decides.
    let only_star = |word: &String| word.chars().all(|c| c == STAR);
    while words.len() > 1 && words.last().is_some_and(only_star) {
        words.pop();
    }
    while words.len() > 1 && words.first().is_some_and(only_star) {
        words.remove(0);
    }
    words
        .into_iter()
        .map(|word| {
            let Some(first_wildcard) = word.find([STAR, ONE]) else { return Ok(WordPattern::Exactly(word)) };
            let prefix = word[..first_wildcard].to_owned();
            let mut expression = String::from("^(?s:");
            for c in word.chars() {
                match c {
                    STAR => expression.push_str(".*"),
                    ONE => expression.push('.'),
                    literal => expression.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4]))),
                }
            }
            expression.push_str(")$");
            Ok(WordPattern::Matching { expression: compiled(&expression)?, prefix })
        })
        .collect()
}

fn regular_expression(expression: &str) -> Result<WordPattern, String> {
    // By itself first: what is not balanced would otherwise break out of the anchors around it.
    compiled(expression)?;
    // Words are folded, so the letters of the expression must be too; escapes such as \W must not, and classes cannot.
    let mut folded = String::with_capacity(expression.len());
    let mut literal = String::new();
    let (mut escaped, mut in_class) = (false, false);
    for c in expression.chars() {
        if escaped && matches!(c, 'p' | 'P') {
            return Err(
                "Unicode classes (\\p) are not supported: words are compared in lower case, without accents".into()
            );
        }
        if in_class && !c.is_ascii() {
            return Err(format!(
                "`{c}` inside [ ] is not supported: words are compared without accents; write (a|b) instead"
            ));
        }
        in_class = match c {
            '[' if !escaped => true,
            ']' if !escaped => false,
            _ => in_class,
        };
        if escaped || c == '\\' {
            folded.push_str(&fold(&std::mem::take(&mut literal)));
            folded.push(c);
            escaped = !escaped;
        } else {
            literal.push(c);
        }
    }
    folded.push_str(&fold(&literal));
    let expression = compiled(&format!("^(?:{folded})$"))?;
    Ok(WordPattern::Matching { expression, prefix: String::new() })
}

fn compiled(expression: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(expression).size_limit(MAX_EXPRESSION_BYTES).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large; use fewer repetitions".into(),
        other => format!("not a regular expression: {}", other.to_string().lines().last().unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: TextPattern, word: &str, expected: bool) {
        let Ok(WordSequence::Words(words)) = WordSequence::of(&pattern) else { panic!("{pattern:?}") };
        assert_eq!(words.len(), 1, "{words:?}");
        assert_eq!(words[0].matches(word), expected, "{pattern:?} {word}");
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
    }

    #[test]
    fn wildcards_over_several_words() {
        let Ok(WordSequence::Words(words)) = WordSequence::of(&TextPattern::Wildcard("ERR-2*".into())) else {
            panic!()
        };
        assert!(words[0].matches("err") && words[1].matches("204") && !words[1].matches("304"));
        let Ok(WordSequence::Words(words)) = WordSequence::of(&TextPattern::Wildcard("退*".into())) else { panic!() };
        assert_eq!(words.len(), 1);
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
