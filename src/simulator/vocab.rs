//! The word stock: embedded sentence lists, parsed once into templates.
//!
//! `data/vocab/*.txt` hold hand-written invented sentences per language, part of a conversation
//! and topic; `names.txt` holds names and syllables. From the syllables a long tail of surnames,
//! towns and brands is composed, so that a large account has many thousand distinct words.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::dice::{Zipf, mix};

/// Topics in the order of the account's skills.
pub(super) const TOPICS: [&str; 12] = [
    "orders",
    "billing",
    "delivery",
    "technical",
    "returns",
    "account",
    "travel",
    "sales",
    "complaints",
    "loyalty",
    "insurance",
    "vip",
];

/// Languages with their share of conversations in permille.
pub(super) const LANGUAGE_SHARES: [u32; 12] = [755, 55, 50, 40, 25, 15, 15, 10, 10, 5, 12, 8];

/// Languages of the conversations, ISO 639-1, with their share in permille.
pub const LANGUAGES: [(&str, u32); 12] = {
    const CODES: [&str; 12] = ["en", "de", "es", "fr", "tr", "ja", "zh", "ko", "ar", "he", "ru", "hi"];
    let mut languages = [("", 0); 12];
    let mut at = 0;
    while at < 12 {
        languages[at] = (CODES[at], LANGUAGE_SHARES[at]);
        at += 1;
    }
    languages
};

/// Languages that are written from right to left, as indexes of the shares.
pub(super) const RIGHT_TO_LEFT: [usize; 2] = [8, 9];

/// Languages without spaces between sentences, as indexes of the shares.
pub(super) const WITHOUT_SPACES: [usize; 2] = [5, 6];

const SOURCES: [&str; 12] = [
    include_str!("../../data/vocab/en.txt"),
    include_str!("../../data/vocab/de.txt"),
    include_str!("../../data/vocab/es.txt"),
    include_str!("../../data/vocab/fr.txt"),
    include_str!("../../data/vocab/tr.txt"),
    include_str!("../../data/vocab/ja.txt"),
    include_str!("../../data/vocab/zh.txt"),
    include_str!("../../data/vocab/ko.txt"),
    include_str!("../../data/vocab/ar.txt"),
    include_str!("../../data/vocab/he.txt"),
    include_str!("../../data/vocab/ru.txt"),
    include_str!("../../data/vocab/hi.txt"),
];
const NAMES: &str = include_str!("../../data/vocab/names.txt");

const COMPOSED_SURNAMES: u64 = 3_000;
const COMPOSED_TOWNS: u64 = 1_500;
const COMPOSED_BRANDS: u64 = 2_500;

/// Parts of a conversation; each has its own sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    VisitorOpen,
    AgentOpen,
    Welcome,
    Transfer,
    BotOpen,
    BotAsk,
    VisitorAck,
    AgentAck,
    VisitorClose,
    AgentClose,
    VisitorFiller,
    AgentFiller,
    Comment,
    Link,
    Problem,
    Ask,
    Answer,
    Explain,
    Resolve,
}

const PART_NAMES: [&str; 19] = [
    "visitor.open",
    "agent.open",
    "welcome",
    "transfer",
    "bot.open",
    "bot.ask",
    "visitor.ack",
    "agent.ack",
    "visitor.close",
    "agent.close",
    "visitor.filler",
    "agent.filler",
    "comment",
    "link",
    "problem",
    "ask",
    "answer",
    "explain",
    "resolve",
];

/// Words that are drawn anew, by Zipf rank, each time a slot names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordList {
    Noun,
    Adj,
    Verb,
    Adv,
    Person,
    Colour,
    Article,
    Street,
    Month,
    Weekday,
    When,
    Emoji,
    First,
    Last,
    City,
    Brand,
}

const WORD_LISTS: [(&str, WordList); 16] = [
    ("noun", WordList::Noun),
    ("adj", WordList::Adj),
    ("verb", WordList::Verb),
    ("adv", WordList::Adv),
    ("person", WordList::Person),
    ("colour", WordList::Colour),
    ("article", WordList::Article),
    ("street", WordList::Street),
    ("month", WordList::Month),
    ("weekday", WordList::Weekday),
    ("when", WordList::When),
    ("emoji", WordList::Emoji),
    ("first", WordList::First),
    ("lastname", WordList::Last),
    ("place", WordList::City),
    ("brand", WordList::Brand),
];

/// A piece of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// Literal text.
    Text(&'static str),
    /// A word from a list.
    Word(WordList),
    /// A value by name: order number, amount, date and the like.
    Value(&'static str),
}

/// A sentence with slots.
pub(super) type Template = Vec<Piece>;

/// One word list with its frequencies.
#[derive(Debug)]
pub(super) struct Words {
    /// The words by rank.
    pub(super) words: Vec<String>,
    /// Their frequencies.
    pub(super) zipf: Zipf,
}

/// The whole stock.
#[derive(Debug)]
pub(super) struct Stock {
    sentences: Vec<HashMap<String, Vec<Template>>>,
    words: Vec<Words>,
    /// Nicknames of the account's agents.
    pub(super) agents: Vec<String>,
}

impl Stock {
    /// The stock, parsed at the first call.
    pub(super) fn shared() -> &'static Self {
        static STOCK: OnceLock<Stock> = OnceLock::new();
        STOCK.get_or_init(Self::parse)
    }

    /// Sentences of a part that fit the language and topic; English where a language has none.
    pub(super) fn sentences(&self, language: usize, part: Part, topic: Option<usize>) -> &[Template] {
        let name = PART_NAMES[part as usize];
        for source in [language, 0] {
            let by_part = &self.sentences[source];
            let topical = topic.and_then(|topic| by_part.get(&format!("{name}.{}", TOPICS[topic])));
            if let Some(found) = topical.or_else(|| by_part.get(name)) {
                return found;
            }
        }
        &[]
    }

    /// A word list.
    pub(super) fn words(&self, list: WordList) -> &Words {
        &self.words[list as usize]
    }

    fn parse() -> Self {
        let english = sections(SOURCES[0]);
        let names = sections(NAMES);
        let listed = |source: &HashMap<&'static str, Vec<&'static str>>, name: &str| {
            source.get(name).map(|lines| split_words(lines)).unwrap_or_default()
        };
        let spaced = |name: &str| {
            let words = listed(&english, &format!("word.{name}"));
            words.iter().map(|word| word.replace('-', " ")).collect::<Vec<_>>()
        };
        let syllables =
            Syllables { onset: listed(&names, "onset"), vowel: listed(&names, "vowel"), coda: listed(&names, "coda") };
        let words = WORD_LISTS.iter().map(|&(name, list)| {
            let words = match list {
                WordList::First => listed(&names, "first"),
                WordList::Last => {
                    let known = listed(&names, "last");
                    syllables.extend(known, 1, COMPOSED_SURNAMES, &listed(&names, "surnameend"))
                }
                WordList::City => {
                    let known = listed(&names, "city");
                    syllables.extend(known, 2, COMPOSED_TOWNS, &listed(&names, "townend"))
                }
                WordList::Brand => syllables.extend(Vec::new(), 3, COMPOSED_BRANDS, &listed(&names, "brandend")),
                _ => spaced(name),
            };
            Words { zipf: Zipf::new(words.len()), words }
        });
        Self {
            words: words.collect(),
            agents: listed(&names, "agent"),
            sentences: SOURCES.iter().map(|source| templates(source)).collect(),
        }
    }
}

/// Syllables that compose invented names.
struct Syllables {
    onset: Vec<String>,
    vowel: Vec<String>,
    coda: Vec<String>,
}

impl Syllables {
    /// `known` first, then `count` composed names with one of the endings.
    fn extend(&self, mut known: Vec<String>, stream: u64, count: u64, endings: &[String]) -> Vec<String> {
        known.extend((0..count).map(|rank| self.compose(mix(0, stream, rank), endings)));
        known
    }

    fn compose(&self, mut hash: u64, endings: &[String]) -> String {
        let mut take = |list: &[String]| {
            let size = list.len().max(1) as u64;
            let choice = hash % size;
            hash /= size;
            list.get(choice as usize).cloned().unwrap_or_default()
        };
        let mut name = take(&self.onset);
        name.push_str(&take(&self.vowel));
        name.push_str(&take(&self.coda));
        if take(&self.onset).len() > 1 {
            name.push_str(&take(&self.vowel));
            name.push_str(&take(&self.onset));
        }
        name.push_str(&take(endings));
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect()
    }
}

fn split_words(lines: &[&str]) -> Vec<String> {
    lines.iter().flat_map(|line| line.split_whitespace()).map(str::to_owned).collect()
}

/// The lines of a stock file under their section names.
fn sections(source: &'static str) -> HashMap<&'static str, Vec<&'static str>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    let mut current = "";
    for line in source.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name;
        } else if !line.is_empty() && !line.starts_with('#') {
            found.entry(current).or_default().push(line);
        }
    }
    found
}

fn templates(source: &'static str) -> HashMap<String, Vec<Template>> {
    let sections = sections(source).into_iter();
    let sentences = sections.filter(|(name, _)| !name.starts_with("word."));
    let compiled = sentences.map(|(name, lines)| (name.to_owned(), lines.into_iter().map(compile).collect()));
    compiled.collect()
}

/// Splits `Hi {name}` into its pieces.
fn compile(line: &'static str) -> Template {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some((before, slot, after)) = next_slot(rest) {
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        let word = WORD_LISTS.iter().find(|(name, _)| *name == slot);
        pieces.push(word.map_or(Piece::Value(slot), |&(_, list)| Piece::Word(list)));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

fn next_slot(text: &'static str) -> Option<(&'static str, &'static str, &'static str)> {
    let (before, rest) = text.split_once('{')?;
    let (slot, after) = rest.split_once('}')?;
    Some((before, slot, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_sentences_in_english_and_every_topic_a_problem() {
        let stock = Stock::shared();
        for name in PART_NAMES {
            assert!(stock.sentences[0].contains_key(name), "{name}");
        }
        for topic in TOPICS {
            for part in ["problem", "ask", "answer", "explain", "resolve"] {
                let name = format!("{part}.{topic}");
                assert!(stock.sentences[0].contains_key(&name), "{name}");
            }
        }
    }

    #[test]
    fn every_list_has_words_in_the_order_of_the_enum() {
        for (index, (name, list)) in WORD_LISTS.iter().enumerate() {
            assert_eq!(*list as usize, index);
            assert!(!Stock::shared().words(*list).words.is_empty(), "{name}");
        }
    }
}
