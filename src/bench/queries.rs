//! A mix of questions of every kind, made of words that the files hold, and how long each takes.
//!
//! Every question is answered as `search` answers it: exact count, top 20, highlights in each. Latencies are those of a warm index; a cold
//! page cache takes rights that a user has not.

use super::error::BenchError;
use super::slices::decode;
use crate::conversation::plain_text;
use crate::index::Reader;
use crate::index::tokenizer::words;
use crate::pipeline::index_home;
use crate::search::complaint::QueryError;
use crate::search::facets::Facet;
use crate::search::parse::{ParseOptions, parse_located};
use crate::search::{SearchError, SearchRequest, search};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Messages that the words are taken from.
const MESSAGES: usize = 5_000;

/// Words (and pairs) that are counted; beyond them new ones are not.
const MAX_COUNTED: usize = 50_000;

/// Hits that are loaded with their highlights, and snippets of each.
const HITS: usize = 20;
const SNIPPETS: usize = 3;

/// Most and fewest times that a question is asked in a round, and the time after which the fewest are enough.
const MOST_SAMPLES: usize = 100;
const FEWEST_SAMPLES: usize = 5;
const PATIENCE: Duration = Duration::from_millis(400);

/// Times that the program is started in a round.
const PROCESSES: usize = 10;

/// What a process is asked to count by, besides.
const FACETS: [Facet; 4] = [Facet::Skill, Facet::Agent, Facet::EndReason, Facet::Day];

/// Words to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryWords {
    /// The most frequent word of four letters or more.
    pub common: String,
    /// A less frequent one.
    pub other: String,
    /// Two words that often follow each other.
    pub phrase: (String, String),
}

impl Default for QueryWords {
    fn default() -> QueryWords {
        QueryWords { common: "order".into(), other: "refund".into(), phrase: ("thank".into(), "you".into()) }
    }
}

/// How long one question took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryTimes {
    /// What kind of question.
    pub kind: String,
    /// Its text.
    pub query: String,
    /// Conversations that match, where they were counted.
    pub hits: Option<u64>,
    /// Times that it was asked.
    pub samples: usize,
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds; the longest where it was asked less than a hundred times.
    pub p99_ms: f64,
}

/// Words of the first messages. Only such that no query language takes for anything else: ASCII letters.
pub(super) fn words_of(files: &[PathBuf]) -> Result<QueryWords, BenchError> {
    let mut counted: HashMap<String, u64> = HashMap::new();
    let mut pairs: HashMap<(String, String), u64> = HashMap::new();
    let mut messages = 0;
    for file in files {
        decode(file, &mut |revision| {
            for message in &revision.content.messages {
                messages += 1;
                count_words(&plain_text(message), &mut counted, &mut pairs);
            }
            messages < MESSAGES
        })?;
        if messages >= MESSAGES {
            break;
        }
    }
    let mut ranked: Vec<(String, u64)> = counted.into_iter().collect();
    // By frequency, then by name: equal files give equal words.
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut words = QueryWords::default();
    if let Some((common, _)) = ranked.first() {
        words.common.clone_from(common);
        words.other.clone_from(&ranked[(ranked.len() - 1).min(20)].0);
    }
    let best = pairs.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
    if let Some((pair, _)) = best {
        words.phrase = pair;
    }
    Ok(words)
}

fn count_words(text: &str, counted: &mut HashMap<String, u64>, pairs: &mut HashMap<(String, String), u64>) {
    let mut reader = words(text);
    let mut before: Option<String> = None;
    while let Some(word) = reader.next_word() {
        if word.is_part {
            continue;
        }
        let is_plain = (4..=12).contains(&word.text.len()) && word.text.bytes().all(|byte| byte.is_ascii_lowercase());
        let this = is_plain.then(|| word.text.to_owned());
        if let Some(this) = &this {
            add(counted, this.clone());
            if let Some(before) = before {
                add(pairs, (before, this.clone()));
            }
        }
        before = this;
    }
}

fn add<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u64>, key: K) {
    if counts.len() < MAX_COUNTED || counts.contains_key(&key) {
        *counts.entry(key).or_default() += 1;
    }
}

/// Kind, text and facets of each question.
fn mix(words: &QueryWords) -> Vec<(&'static str, String, &'static [Facet])> {
    let QueryWords { common, other, phrase: (first, second) } = words;
    let start = &other[..other.len().min(3)];
    // All words have four letters or more: one lost is still a word.
    let misspelt = &other[..other.len() - 1];
    vec![
        ("word", other.clone(), &[]),
        ("phrase", format!("\"{first} {second}\""), &[]),
        ("boolean", format!("({common} OR {first}) -{other}"), &[]),
        ("field range", "transfers:>=1 duration:>5m".into(), &[]),
        ("wildcard", format!("{start}*"), &[]),
        ("fuzzy", format!("{misspelt}~1"), &[]),
        ("proximity", format!("{first} w/5 {second}"), &[]),
        ("turns", format!("{common} turns/2 {first}"), &[]),
        ("regex", format!("/{start}[a-z]+/"), &[]),
        ("SDE", format!("sde:{common}"), &[]),
        ("word, 4 facets", common.clone(), &FACETS),
        ("all, 4 facets", "*".into(), &FACETS),
    ]
}

/// Asks the index of a vault, in this process.
pub(super) fn in_process(vault: &Path, words: &QueryWords) -> Result<Vec<QueryTimes>, BenchError> {
    let reader = Reader::open(&index_home(vault))?;
    mix(words).into_iter().map(|(kind, text, facets)| ask(&reader, kind, text, facets)).collect()
}

fn ask(reader: &Reader, kind: &str, text: String, facets: &[Facet]) -> Result<QueryTimes, BenchError> {
    let mut hits = 0;
    let mut once = || -> Result<Duration, BenchError> {
        let asked = Instant::now();
        let query =
            parse_located(&text, &ParseOptions::utc(0)).map_err(|error: QueryError| SearchError::from(error))?;
        let request = SearchRequest {
            query,
            text: text.clone(),
            sort: None,
            reverse: false,
            limit: Some(HITS),
            facets: facets.to_vec(),
            tz: TimeZone::UTC,
        };
        let answer = search(reader, &request)?;
        for at in 0..answer.hits.len() {
            std::hint::black_box(answer.hits.load(reader, at, SNIPPETS)?);
        }
        hits = answer.total;
        Ok(asked.elapsed())
    };
    // The first one reads pages of the index that nobody has read yet.
    once()?;
    let mut times = Vec::new();
    let mut spent = Duration::ZERO;
    while times.len() < FEWEST_SAMPLES || (times.len() < MOST_SAMPLES && spent < PATIENCE) {
        let time = once()?;
        spent += time;
        times.push(time);
    }
    Ok(summary(kind, text, Some(hits), times))
}

/// Starts `program search` again and again: from the start of the process to its end, output included.
pub(super) fn as_process(program: &Path, vault: &Path, words: &QueryWords) -> Result<QueryTimes, BenchError> {
    let facets: Vec<&str> = FACETS.iter().map(|facet| facet.name()).collect();
    let mut times = Vec::new();
    for round in 0..=PROCESSES {
        let asked = Instant::now();
        let ended = Command::new(program)
            .arg("--vault")
            .arg(vault)
            .args(["--quiet", "search", &words.common, "--facets", &facets.join(",")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(BenchError::file(program))?;
        if !ended.success() {
            return Err(BenchError::Process(format!("`chatvault search` ended with {ended}")));
        }
        if round > 0 {
            times.push(asked.elapsed());
        }
    }
    Ok(summary("search as a process", words.common.clone(), None, times))
}

fn summary(kind: &str, query: String, hits: Option<u64>, mut times: Vec<Duration>) -> QueryTimes {
    times.sort_unstable();
    let at = |share: f64| {
        let rank = (times.len() as f64 * share).ceil() as usize;
        times[rank.clamp(1, times.len()) - 1].as_secs_f64() * 1e3
    };
    QueryTimes { kind: kind.to_owned(), query, hits, samples: times.len(), p50_ms: at(0.5), p99_ms: at(0.99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_good_whatever_the_words() {
        for words in [QueryWords::default(), QueryWords { common: "aaaa".into(), ..QueryWords::default() }] {
            for (kind, text, _) in mix(&words) {
                assert!(parse_located(&text, &ParseOptions::utc(0)).is_ok(), "{kind}: {text}");
            }
        }
    }

    #[test]
    fn percentiles_are_ranks() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let hundred = summary("k", "q".into(), Some(3), times);
        assert_eq!((hundred.p50_ms, hundred.p99_ms, hundred.samples), (50.0, 99.0, 100));
        let one = summary("k", "q".into(), Some(3), vec![Duration::from_millis(7)]);
        assert_eq!((one.p50_ms, one.p99_ms), (7.0, 7.0));
    }

    #[test]
    fn words_are_taken_where_there_are_any() {
        let (mut counted, mut pairs) = (HashMap::new(), HashMap::new());
        count_words("Thank you, where is that order? that order, 退款 that's", &mut counted, &mut pairs);
        assert_eq!(counted.get("order"), Some(&2));
        assert_eq!(pairs.get(&("that".to_owned(), "order".to_owned())), Some(&2));
        assert!(!counted.contains_key("you") && !counted.contains_key("that's"));
        assert_eq!(words_of(&[]).expect("no file"), QueryWords::default());
    }
}
