//! Stems: `stem:refund` finds refunds and refunded. At query time only; the index holds words as they were written.
//!
//! The stemmers are Snowball's. They see words as the index has them, in lower case and without accents, on both sides, so
//! index and matcher agree; a word that differs in its accents only has the same stem. English is the default, another
//! language is named by its code: `stem.de:Erstattung`.

use super::complaint::Fault;
use super::pattern::searchable;
use super::query::TextPattern;
use crate::index::tokenizer::fold_words;
use rust_stemmers::{Algorithm, Stemmer};
use std::fmt;

/// A language with a stemmer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names say it; `LANGUAGES` has the codes.
pub enum Language {
    English,
    Arabic,
    Danish,
    Dutch,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
}

/// Every language with the code it is typed by (ISO 639-1), its stemmer, and whether that leaves the first letter alone.
const LANGUAGES: [(Language, &str, Algorithm, bool); 18] = [
    (Language::English, "en", Algorithm::English, true),
    // Takes articles off the front.
    (Language::Arabic, "ar", Algorithm::Arabic, false),
    (Language::Danish, "da", Algorithm::Danish, true),
    (Language::Dutch, "nl", Algorithm::Dutch, true),
    (Language::Finnish, "fi", Algorithm::Finnish, true),
    (Language::French, "fr", Algorithm::French, true),
    (Language::German, "de", Algorithm::German, true),
    (Language::Greek, "el", Algorithm::Greek, false),
    (Language::Hungarian, "hu", Algorithm::Hungarian, true),
    (Language::Italian, "it", Algorithm::Italian, true),
    (Language::Norwegian, "no", Algorithm::Norwegian, true),
    (Language::Portuguese, "pt", Algorithm::Portuguese, true),
    (Language::Romanian, "ro", Algorithm::Romanian, true),
    (Language::Russian, "ru", Algorithm::Russian, true),
    (Language::Spanish, "es", Algorithm::Spanish, true),
    (Language::Swedish, "sv", Algorithm::Swedish, true),
    // Changes what a word begins with.
    (Language::Tamil, "ta", Algorithm::Tamil, false),
    (Language::Turkish, "tr", Algorithm::Turkish, true),
];

impl Language {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Language> {
        LANGUAGES.iter().map(|(language, ..)| *language)
    }

    /// The code it is typed by.
    pub fn code(self) -> &'static str {
        self.row().1
    }

    fn named(code: &str) -> Option<Language> {
        LANGUAGES.iter().find(|(_, known, ..)| known.eq_ignore_ascii_case(code)).map(|(language, ..)| *language)
    }

    fn row(self) -> &'static (Language, &'static str, Algorithm, bool) {
        // The table holds every variant (tested), so the fallback is never seen.
        LANGUAGES.iter().find(|(language, ..)| *language == self).unwrap_or(&LANGUAGES[0])
    }
}

/// All words with one stem.
#[derive(Clone)]
pub(super) struct Stem {
    language: Language,
    stem: String,
    /// What every such word starts with: the first letter where the stemmer leaves it alone, else nothing.
    prefix: String,
}

impl fmt::Debug for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.language.code(), self.stem)
    }
}

impl Stem {
    /// The stem of a folded word.
    pub(super) fn of(folded: &str, language: Language) -> Stem {
        let (_, _, algorithm, keeps_first) = *language.row();
        let prefix = if keeps_first { folded.chars().take(1).collect() } else { String::new() };
        Stem { language, stem: Stemmer::create(algorithm).stem(folded).into_owned(), prefix }
    }

    /// Whether a folded word has it.
    pub(super) fn matches(&self, folded: &str) -> bool {
        let (_, _, algorithm, _) = *self.language.row();
        folded.starts_with(&self.prefix) && Stemmer::create(algorithm).stem(folded) == self.stem.as_str()
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// `stem`, `stem.de`, `number`: names that stand before a colon and make a pattern of the word behind it.
pub(super) fn is_word_form(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower == "stem" || lower == "number" || lower.starts_with("stem.")
}

/// Reads `stem:word` and `number:1..5`. `None`: it is something else.
pub(super) fn word_form(typed: &str) -> Option<Result<TextPattern, Fault>> {
    let (name, word) = typed.split_once(':').filter(|(name, _)| is_word_form(name))?;
    if name.eq_ignore_ascii_case("number") {
        return Some(number(word));
    }
    let Some((_, code)) = name.split_once('.') else { return Some(stem(word, Language::English)) };
    Some(match Language::named(code) {
        Some(language) => stem(word, language),
        None => {
            let codes: Vec<&str> = LANGUAGES.iter().map(|(_, code, ..)| *code).collect();
            let message = format!("`stem.{code}:` is no language with a stemmer; there are: {}", codes.join(", "));
            Err(Fault::new(message).cured_by(format!("stem:{word}")))
        }
    })
}

fn stem(word: &str, language: Language) -> Result<TextPattern, Fault> {
    if word.is_empty() || !searchable(word) {
        return Err(Fault::new("`stem:` needs a word with a letter directly behind the colon: stem:refund"));
    }
    if word.contains(['*', '?', '~', '\\', '^']) {
        return Err(Fault::new(
            "a word is searched by its stem or has wildcards, not both; `stem:` takes a plain word",
        ));
    }
    if fold_words(word).len() != 1 {
        return Err(Fault::new(format!("`stem:` takes one word; `{word}` is several")));
    }
    Ok(TextPattern::Stem { word: word.to_owned(), language })
}

fn number(typed: &str) -> Result<TextPattern, Fault> {
    let wrong = || Fault::new("`number:` takes whole numbers of at most 18 digits: number:12..24, or number:12");
    let (low, high) = typed.split_once("..").unwrap_or((typed, typed));
    let end = |digits: &str| -> Result<u64, Fault> {
        let sound = (1..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if sound { digits.parse().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    let (low, high) = (end(low)?, end(high)?);
    if low > high {
        return Err(Fault::new(format!("the range `{typed}` ends before it begins, so nothing can match"))
            .cured_by(format!("number:{high}..{low}")));
    }
    Ok(TextPattern::Number { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tokenizer::fold;
    use proptest::prelude::*;

    #[track_caller]
    fn check(language: Language, word: &str, same: &[&str], other: &[&str]) {
        let stem = Stem::of(&fold(word), language);
        for candidate in same {
            assert!(stem.matches(&fold(candidate)), "{word} {candidate} {stem:?}");
        }
        for candidate in other {
            assert!(!stem.matches(&fold(candidate)), "{word} {candidate} {stem:?}");
        }
    }

    #[test]
    fn words_of_one_stem() {
        check(Language::English, "refund", &["refunds", "refunded", "Refunding", "refund"], &["ref", "prefund"]);
        check(Language::English, "apply", &["applies", "applied"], &["apple"]);
        check(Language::German, "Erstattung", &["Erstattungen"], &["erst"]);
        check(Language::German, "Bücher", &["Buch", "buches"], &["buche1"]);
        check(Language::French, "annuler", &["annulé", "annulez"], &["anneau"]);
        check(Language::Spanish, "cancelar", &["cancelado", "cancelamos"], &["canción"]);
        check(Language::Russian, "возврат", &["возврата", "возвраты"], &["вода"]);
    }

    #[test]
    fn the_table_is_whole() {
        for (language, code, ..) in LANGUAGES {
            assert_eq!((language.code(), Language::named(code)), (code, Some(language)));
        }
    }

    #[test]
    fn refusals() {
        for typed in ["stem:", "stem:!!", "stem:a*", "stem:a-b", "stem.xx:a", "number:", "number:5..1", "number:-3"] {
            assert!(matches!(word_form(typed), Some(Err(_))), "{typed}");
        }
        assert!(word_form("steam:a").is_none() && word_form("stem").is_none());
    }

    proptest! {
        /// No word makes a stemmer panic, and a word has its own stem.
        #[test]
        fn stemmers_are_total(word in "\\PC{1,12}|[a-z]{1,12}|[а-я]{1,9}|[ا-ي]{1,9}|[α-ω]{1,9}|[அ-ஹ]{1,9}") {
            for language in Language::all() {
                let folded = fold(&word);
                prop_assert!(Stem::of(&folded, language).matches(&folded));
            }
        }
    }
}
