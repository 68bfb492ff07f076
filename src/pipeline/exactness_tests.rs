//! Brute force: random queries from the whole grammar, put to the index and to every conversation of the raw files.
//!
//! The corpus comes from the simulated account over HTTP: files of Data Access with conversations told twice, messaging
//! conversations with attributes and surveys that grow between two syncs, and the Engagement History of the same chats. A usual
//! run is small; `CHATVAULT_LONG=1` asks 5,000 queries of 50,000 conversations (best with `--release`, with `--nocapture`
//! for the figures). `CHATVAULT_EXACT=QUERIES,CONVERSATIONS` sets other sizes.

use super::raw_scan::{Share, scan};
use super::*;
use crate::acquire::{Endpoints, HistoryApi, HistoryChoice, OAuth1Keys, RetryPolicy, StreamMode};
use crate::archive::{Clock, RealDisk};
use crate::conversation::StoredConversation;
use crate::search::arbitrary;
use crate::search::field::Field;
use crate::search::parse::{ParseOptions, parse_located};
use crate::search::query::{Place, Query, Side, Test, TextPattern, TextQuery};
use crate::search::{Matcher, SearchError, SearchRequest, View, digest, for_each_key, search};
use crate::simulator::{self, MessagingConfig, Simulator, SimulatorConfig, WorldConfig};
use jiff::tz::TimeZone;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

const DAY_MS: i64 = 24 * 3_600_000;

/// A vault made from an account by two syncs, two days apart.
struct Corpus {
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
    _simulator: Simulator,
    archive: Archive,
    reader: Reader,
}

fn corpus(conversations: u64) -> Corpus {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = WorldConfig {
        conversations: conversations * 3 / 5,
        hours: if conversations > 1000 { 240 } else { 24 },
        parts_per_hour: 1,
        revised_permille: 150,
        id_less_per_million: 5_000,
        ..WorldConfig::default()
    };
    let messaging = MessagingConfig { conversations: conversations * 2 / 5, days: 12, ..MessagingConfig::default() };
    let config =
        SimulatorConfig { world, messaging, max_result_window: 1_000_000, gzip_level: 1, ..SimulatorConfig::default() };
    let simulator = runtime.block_on(simulator::start(config.clone())).unwrap();
    let clock = Arc::new(AtomicI64::new(simulator.now_ms()));
    let base: url::Url = simulator.base_url().parse().unwrap();
    let services = ["msgHist", "engHistDomain", "sentinel", "agentVep"];
    let endpoints = Endpoints {
        csds: None,
        data_access: Some(base.clone()),
        data_access_files: vec![simulator.download_base_url().parse().unwrap()],
        services: services.into_iter().map(|name| (name.to_owned(), base.clone())).collect(),
    };
    let keys = OAuth1Keys::of_simulator(&config.credentials);
    let mut settings = AcquireSettings::new("40112233", "va", keys, &endpoints).unwrap();
    let apis = [HistoryApi::Messaging, HistoryApi::Engagement];
    settings.histories = apis.map(|api| HistoryChoice { api, mode: StreamMode::On }).into();
    settings.clock = Clock::Fixed(Arc::clone(&clock));
    settings.requests_per_second = 1e6;
    settings.retry = RetryPolicy::instant();
    let folder = tempfile::tempdir().unwrap();
    let time = settings.clock.clone();
    let archive = Archive::create(&folder.path().join("vault"), "40112233", Arc::new(RealDisk), time).unwrap();
    for _ in 0..2 {
        let quiet: ProgressSink = Arc::new(|_| {});
        let options = RunOptions::default();
        let report = sync(&runtime, &settings, &archive, options, quiet, &|_| {}, Cancel::never()).unwrap();
        assert!(report.acquired.is_complete() && report.index_failure.is_none(), "{:?}", report.index_failure);
        let now_ms = clock.fetch_add(2 * DAY_MS, Ordering::SeqCst) + 2 * DAY_MS;
        simulator.set_now_ms(now_ms);
    }
    let reader = Reader::open(&index_home(archive.root())).unwrap();
    Corpus { _folder: folder, _runtime: runtime, _simulator: simulator, archive, reader }
}

/// What occurs in the corpus, so that queries find something.
#[derive(Default)]
struct Pool {
    words: Vec<String>,
    ids: BTreeMap<&'static str, Vec<String>>,
    times: Vec<i64>,
}

fn pool(reader: &Reader) -> Pool {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut ids: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    let mut times = BTreeSet::new();
    let mut seen = 0;
    let each = &mut |stored: StoredConversation| {
        seen += 1;
        if seen > 3000 {
            return;
        }
        let c = stored.merged();
        for message in &c.messages {
            for word in message.text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1) {
                *counts.entry(word.to_owned()).or_default() += 1;
            }
        }
        let mut put = |name, id: Option<&str>| {
            ids.entry(name).or_default().extend(id.map(str::to_owned));
        };
        put("id", c.conversation_id.as_deref());
        put("consumer_id", c.consumer_id.as_deref());
        put("visitor_id", c.visitor_id.as_deref());
        put("visit_id", c.visit_id.as_deref());
        c.all_skills().iter().for_each(|skill| put("skill", Some(skill)));
        c.agents().iter().for_each(|agent| put("agent_id", Some(agent.id)));
        times.extend(c.start_ms.into_iter().chain(c.end_ms));
    };
    reader.for_each(each).unwrap();
    let mut words: Vec<(u64, String)> = counts.into_iter().map(|(word, count)| (count, word)).collect();
    words.sort_by(|a, b| b.cmp(a));
    // Frequent words and rare ones.
    let words = words.into_iter().enumerate().filter(|(rank, _)| *rank < 200 || rank % 41 == 0);
    Pool {
        words: words.map(|(_, (_, word))| word).collect(),
        ids: ids.into_iter().map(|(name, ids)| (name, ids.into_iter().collect())).collect(),
        times: times.into_iter().collect(),
    }
}

impl Pool {
    fn fill(&self, query: &mut Query, dice: &mut ChaCha8Rng) {
        match query {
            Query::And(parts) | Query::Or(parts) => parts.iter_mut().for_each(|part| self.fill(part, dice)),
            Query::Not(part) => self.fill(part, dice),
            Query::Text(text) => self.fill_text(text, dice),
            Query::Near(near) => [&mut near.left, &mut near.right].into_iter().for_each(|side| self.side(side, dice)),
            Query::Turns(turns) => {
                [&mut turns.left, &mut turns.right].into_iter().for_each(|side| self.side(side, dice));
            }
            Query::Meta(condition) => match &mut condition.test {
                Test::Is(value) if dice.random_bool(0.7) => {
                    if let Some(known) = self.ids.get(condition.field.name()).and_then(|ids| ids.choose(dice)) {
                        value.clone_from(known);
                    }
                }
                Test::Time(range) if dice.random_bool(0.8) && !self.times.is_empty() => {
                    let [a, b] = [0, 1].map(|_| *self.times.choose(dice).unwrap());
                    range.typed = match dice.random_range(0..4) {
                        0 => format!(">{a}"),
                        1 => format!("<={a}"),
                        2 => a.to_string(),
                        _ => format!("{}..{}", a.min(b), a.max(b)),
                    };
                }
                Test::Matches(pattern) if condition.field != Field::Campaign => self.pattern(pattern, dice),
                _ => {}
            },
            Query::All | Query::Attribute(_) => {}
        }
    }

    fn side(&self, side: &mut Side, dice: &mut ChaCha8Rng) {
        for place in side.all_of.iter_mut().flat_map(|operand| &mut operand.any_of) {
            match place {
                Place::Text(text) => self.fill_text(text, dice),
                Place::Near(near) => {
                    [&mut near.left, &mut near.right].into_iter().for_each(|side| self.side(side, dice));
                }
            }
        }
    }

    fn fill_text(&self, text: &mut TextQuery, dice: &mut ChaCha8Rng) {
        self.pattern(&mut text.pattern, dice);
    }

    fn pattern(&self, pattern: &mut TextPattern, dice: &mut ChaCha8Rng) {
        if dice.random_bool(0.1) {
            return;
        }
        let word = |dice: &mut ChaCha8Rng| self.words.choose(dice).unwrap().clone();
        let cut = |word: &str| word.chars().take(3).collect::<String>();
        match pattern {
            TextPattern::Word(text) => *text = word(dice),
            TextPattern::Phrase(text) => *text = format!("{} {}", word(dice), word(dice)),
            TextPattern::Wildcard(text) => *text = format!("{}*", cut(&word(dice))),
            TextPattern::Fuzzy { word: text, .. } => *text = word(dice),
            TextPattern::Regex(text) => *text = format!("{}.+", regex::escape(&cut(&word(dice)))),
            TextPattern::Stem { word: text, .. } => *text = word(dice),
            TextPattern::Any | TextPattern::Number { .. } => {}
        }
    }
}

/// Queries that the program answers, each of its own.
fn queries(reader: &Reader, count: usize) -> Vec<SearchRequest> {
    let pool = pool(reader);
    let dice = &mut ChaCha8Rng::seed_from_u64(5_000);
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    let grammar = arbitrary::query();
    let mut texts = BTreeSet::new();
    let mut requests = Vec::new();
    while requests.len() < count {
        let mut tree = grammar.new_tree(&mut runner).unwrap().current();
        pool.fill(&mut tree, dice);
        let text = tree.to_string();
        let Ok(query) = parse_located(&text, &arbitrary::options()) else { continue };
        if !texts.insert(text.clone()) {
            continue;
        }
        let (sort, limit) = (None, Some(0));
        let request = SearchRequest { query, text, sort, reverse: false, limit, facets: Vec::new(), tz: TimeZone::UTC };
        match search(reader, &request) {
            // A regular expression that is none.
            Err(SearchError::Query(_)) => {}
            answer => {
                answer.unwrap();
                requests.push(request);
            }
        }
    }
    requests
}

fn sizes() -> (usize, u64) {
    if let Ok(sizes) = std::env::var("CHATVAULT_EXACT") {
        let (queries, conversations) = sizes.split_once(',').unwrap();
        return (queries.parse().unwrap(), conversations.parse().unwrap());
    }
    if std::env::var_os("CHATVAULT_LONG").is_some() { (5_000, 50_000) } else { (60, 60) }
}

/// Conversations whose transcripts are in memory at a time.
const AT_A_TIME: u64 = 4_000;

#[test]
fn the_index_answers_as_a_scan_of_the_raw_files_does() {
    let (count, conversations) = sizes();
    let started = Instant::now();
    let corpus = corpus(conversations);
    let expected = corpus.reader.document_count();
    eprintln!("{expected} documents after {:.0?}", started.elapsed());
    let requests = queries(&corpus.reader, count);
    let matchers: Vec<Matcher> = requests.iter().map(|request| Matcher::new(&request.query.query)).collect();
    eprintln!("{count} queries after {:.0?}", started.elapsed());

    let files = corpus.archive.files_after(0).unwrap();
    let options = ScanOptions::default();
    // By query, a bit for each conversation; by conversation, its key.
    let words = (expected as usize * 2).div_ceil(64);
    let found: Vec<Vec<AtomicU64>> = requests.iter().map(|_| (0..words).map(|_| AtomicU64::new(0)).collect()).collect();
    let mut ordinals: HashMap<String, usize> = HashMap::new();
    let mut shares = vec![Share::ALL];
    while expected / shares.len() as u64 > AT_A_TIME {
        shares = shares.into_iter().flat_map(Share::halves).collect();
    }
    for share in shares {
        let read = Mutex::new(Vec::new());
        let scanned = scan(&corpus.archive, &files, &options, share, &|key, stored| {
            read.lock().unwrap().push((key.to_owned(), View::held(stored)));
            Ok(0)
        });
        assert!(scanned.unwrap().is_some());
        let read = read.into_inner().unwrap();
        let first = ordinals.len();
        ordinals.extend(read.iter().enumerate().map(|(at, (key, _))| (key.clone(), first + at)));
        assert_eq!(ordinals.len(), first + read.len(), "each conversation once");
        matchers.par_iter().zip(&found).for_each(|(matcher, bits)| {
            for (at, (_, transcript)) in read.iter().enumerate() {
                if matcher.finds(transcript) {
                    let ordinal = first + at;
                    bits[ordinal / 64].fetch_or(1 << (ordinal % 64), Ordering::Relaxed);
                }
            }
        });
        eprintln!("{} of {expected} conversations after {:.0?}", ordinals.len(), started.elapsed());
    }
    assert_eq!(ordinals.len() as u64, expected, "the raw files hold what the index holds");

    let compared = requests.par_iter().zip(&found).map(|(request, bits)| {
        let mut left: Vec<u64> = bits.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        let total: u64 = left.iter().map(|word| u64::from(word.count_ones())).sum();
        let mut differences = Vec::new();
        for_each_key(&corpus.reader, request, &mut |key| match ordinals.get(key) {
            Some(at) if left[at / 64] >> (at % 64) & 1 == 1 => left[at / 64] &= !(1 << (at % 64)),
            _ => differences.push(format!("index only: {key}")),
        })
        .unwrap();
        let missed: u64 = left.iter().map(|word| u64::from(word.count_ones())).sum();
        assert!(
            differences.is_empty() && missed == 0,
            "{}\n{} in the index only, {missed} in the files only {differences:?}",
            request.text,
            differences.len()
        );
        u64::from(total > 0 && total < expected)
    });
    let telling: u64 = compared.sum();
    eprintln!("{count} queries, 0 differences, {telling} find some and not all, {:.0?}", started.elapsed());
    assert!(telling * 4 > count as u64, "only {telling} of {count} queries tell anything");
}

/// The memory bound changes how often the files are read, and nothing else.
#[test]
fn a_proof_in_many_shares_is_the_same_proof() {
    let corpus = corpus(40);
    let request = |text: &str| SearchRequest {
        query: parse_located(text, &ParseOptions::utc(1_790_000_000_000)).unwrap(),
        text: text.to_owned(),
        sort: None,
        reverse: false,
        limit: Some(0),
        facets: Vec::new(),
        tz: TimeZone::UTC,
    };
    for text in ["order OR has:revision"] {
        let asked = request(text);
        let proofs = [256 << 20, 150_000].map(|max_bytes| {
            let options = ScanOptions { max_bytes, ..ScanOptions::default() };
            let mut differences = Vec::new();
            let each = &mut |difference| differences.push(difference);
            let proof = prove(&corpus.archive, &corpus.reader, &asked, &options, each).unwrap();
            assert_eq!(differences, [], "{text}, {max_bytes}");
            proof
        });
        assert_eq!(proofs[0].shares, 1);
        assert!(proofs[1].shares > 1, "{proofs:?}");
        for proof in &proofs {
            let answer = search(&corpus.reader, &asked).unwrap();
            assert_eq!((proof.index, proof.scan, proof.agrees()), (answer.total, answer.total, true), "{text}");
            assert_eq!(proof.conversations, corpus.reader.document_count());
            assert_eq!(proof.counts, proofs[0].counts);
            assert_eq!((proof.recall(), proof.precision()), (1.0, 1.0));
        }
        assert!(proofs[0].scan > 0, "{text}");
        assert_eq!(digest(&corpus.reader, &asked).unwrap().count, proofs[0].scan);
    }
}
