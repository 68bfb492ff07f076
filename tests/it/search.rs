//! Search: the index agrees with a naive scan of the truth, and with our own matcher on every stored conversation.

use crate::support::{Lab, Vault, ids, is_long, reader, world};
use chatvault::conversation::{StoredConversation, plain_text};
use chatvault::index::Reader;
use chatvault::search::Matcher;
use chatvault::search::parse::{ParseOptions, parse};
use chatvault::simulator::{Script, TruthConversation, WorldConfig};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::OnceLock;
use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

/// One archived account, shared by the tests of this file, and what is true about it.
struct Archived {
    vault: Vault,
    reader: Reader,
    truth: Vec<TruthConversation>,
    naive: Vec<Naive>,
}

fn archived() -> &'static Archived {
    static ARCHIVED: OnceLock<Archived> = OnceLock::new();
    ARCHIVED.get_or_init(|| {
        let config = WorldConfig { seed: 7, id_less_per_million: 0, revised_permille: 30, ..world(520, 36) };
        let lab = Lab::new(config, Script::default());
        let (vault, run) = lab.synced();
        run.exits(0);
        let truth: Vec<TruthConversation> = lab.simulator.world().conversations().collect();
        let naive = truth.iter().map(Naive::of).collect();
        Archived { reader: reader(&vault.path()), vault, truth, naive }
    })
}

/// A conversation as the naive scan sees it: its lines cut into words by a few lines of code of its own.
struct Naive {
    /// Speaker, and its words by position: all forms a word may be found by.
    lines: Vec<(&'static str, Vec<Vec<String>>)>,
}

/// Case and accents gone, by the book; the Turkish i without a dot is an i.
fn plain(word: &str) -> String {
    let bare: String = word.nfkd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)).collect();
    bare.to_lowercase().replace('ı', "i")
}

fn visible(message: &chatvault::simulator::TruthMessage) -> String {
    if message.role != '4' {
        return message.text.clone();
    }
    // The simulator's HTML is simple: tags without angle brackets inside, five entities.
    let mut text = String::new();
    let mut in_tag = false;
    for c in message.text.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                text.push(' ');
            }
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    let entities = [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text, |text, (entity, c)| text.replace(entity, c))
}

impl Naive {
    fn of(conversation: &TruthConversation) -> Naive {
        let lines = conversation.messages.iter().map(|message| {
            let speaker = match message.role {
                '0' => "consumer",
                '2' => "system",
                '5' => "note",
                _ => "agent",
            };
            let text = visible(message);
            let words = text.split_word_bounds().filter(|piece| piece.chars().any(is_wordlike));
            let forms = words.map(|word| {
                let mut forms = vec![plain(word)];
                let is_joint = |c: char| !c.is_alphanumeric();
                for (at, part) in word.split(is_joint).scan(0, |from, part| {
                    let at = *from;
                    *from += part.len() + word[at + part.len()..].chars().next().map_or(0, char::len_utf8);
                    Some((at, part))
                }) {
                    // Beside an apostrophe, what is shorter than three letters is an ending ("it's", "s'il"), not a word.
                    let neighbours = [word[..at].chars().next_back(), word[at + part.len()..].chars().next()];
                    let at_apostrophe = neighbours.iter().flatten().any(|c| matches!(c, '\'' | '’'));
                    if !at_apostrophe || part.chars().count() > 2 {
                        forms.push(plain(part));
                    }
                }
                forms
            });
            (speaker, forms.collect())
        });
        Naive { lines: lines.collect() }
    }

    fn has(&self, speaker: Option<&str>, words: &[String]) -> bool {
        self.lines.iter().filter(|(by, _)| speaker.is_none_or(|speaker| speaker == *by)).any(|(_, line)| {
            line.windows(words.len()).any(|window| window.iter().zip(words).all(|(forms, word)| forms.contains(word)))
        })
    }
}

/// Letters and digits, and the signs that are words of their own.
fn is_wordlike(c: char) -> bool {
    c.is_alphanumeric() || matches!(c as u32, 0x2600..=0x27bf | 0x1f000..=0x1faff)
}

/// A random question: its text, and what a naive scan says.
enum Asked {
    Words(Option<&'static str>, Vec<String>),
    Mcs(u32, u32),
    Transfers(usize),
    Skill(i64),
    EndReason(i64),
    Start(i64, i64),
    Messaging(bool),
    Longer(i64),
    Not(Box<Asked>),
    And(Vec<Asked>),
    Or(Vec<Asked>),
}

const SPEAKERS: [&str; 4] = ["consumer", "agent", "system", "note"];

impl Asked {
    fn random(dice: &mut ChaCha8Rng, truth: &[TruthConversation], depth: u32) -> Asked {
        if depth > 0 && dice.random_bool(0.5) {
            let count = dice.random_range(2..4);
            let parts = |dice: &mut ChaCha8Rng| (0..count).map(|_| Asked::random(dice, truth, depth - 1)).collect();
            return match dice.random_range(0..3) {
                0 => Asked::And(parts(dice)),
                1 => Asked::Or(parts(dice)),
                _ => Asked::Not(Box::new(Asked::random(dice, truth, depth - 1))),
            };
        }
        let some = truth.choose(dice).unwrap();
        match dice.random_range(0..14) {
            0 => Asked::Mcs(dice.random_range(0..60), dice.random_range(60..=100)),
            1 => Asked::Transfers(dice.random_range(0..3)),
            2 => Asked::Skill(*some.skills.choose(dice).unwrap()),
            3 => Asked::EndReason(some.end_reason),
            4 => Asked::Start(some.start_ms, some.start_ms + dice.random_range(0..20_000_000)),
            5 => Asked::Messaging(dice.random()),
            6 => Asked::Longer((some.end_ms - some.start_ms) / 1000),
            _ => {
                let speaker = dice.random_bool(0.4).then(|| *SPEAKERS.choose(dice).unwrap());
                Asked::Words(speaker, some_words(dice, some))
            }
        }
    }

    fn text(&self) -> String {
        let all = |parts: &[Asked], joint: &str| {
            let parts: Vec<String> = parts.iter().map(Asked::text).collect();
            format!("({})", parts.join(joint))
        };
        match self {
            Asked::Words(speaker, words) => {
                let scope = speaker.map(|speaker| format!("{speaker}:")).unwrap_or_default();
                if words.len() == 1 {
                    format!("{scope}{}", words[0])
                } else {
                    format!("{scope}\"{}\"", words.join(" "))
                }
            }
            Asked::Mcs(low, high) => format!("mcs:{low}..{high}"),
            Asked::Transfers(count) => format!("transfers:>={count}"),
            Asked::Skill(skill) => format!("skill:{skill}"),
            Asked::EndReason(code) => format!("end_reason:{code}"),
            Asked::Start(from_ms, to_ms) => format!("(start:>={from_ms} start:<={to_ms})"),
            Asked::Messaging(messaging) => format!("type:{}", if *messaging { "messaging" } else { "chat" }),
            Asked::Longer(seconds) => format!("duration:>{seconds}s"),
            Asked::Not(part) => format!("NOT {}", part.text()),
            Asked::And(parts) => all(parts, " AND "),
            Asked::Or(parts) => all(parts, " OR "),
        }
    }

    fn holds(&self, truth: &TruthConversation, naive: &Naive) -> bool {
        match self {
            Asked::Words(speaker, words) => naive.has(*speaker, words),
            Asked::Mcs(low, high) => truth.mcs.is_some_and(|mcs| (*low..=*high).contains(&mcs)),
            Asked::Transfers(count) => truth.transfers.len() >= *count,
            Asked::Skill(skill) => truth.skills.contains(skill),
            Asked::EndReason(code) => truth.end_reason == *code,
            Asked::Start(from_ms, to_ms) => (*from_ms..=*to_ms).contains(&truth.start_ms),
            Asked::Messaging(messaging) => truth.messaging == *messaging,
            Asked::Longer(seconds) => truth.end_ms - truth.start_ms > seconds * 1000,
            Asked::Not(part) => !part.holds(truth, naive),
            Asked::And(parts) => parts.iter().all(|part| part.holds(truth, naive)),
            Asked::Or(parts) => parts.iter().any(|part| part.holds(truth, naive)),
        }
    }
}

/// One to three neighbouring ASCII words of a conversation.
fn some_words(dice: &mut ChaCha8Rng, conversation: &TruthConversation) -> Vec<String> {
    let is_plain = |word: &str| {
        let reserved = ["and", "or", "not"];
        word.len() > 1
            && word.bytes().all(|byte| byte.is_ascii_alphabetic())
            && !reserved.contains(&&*word.to_lowercase())
    };
    for _ in 0..50 {
        let message = conversation.messages.choose(dice).unwrap();
        let words: Vec<&str> = message.text.split(' ').collect();
        let count = *[1, 1, 1, 2, 2, 3].choose(dice).unwrap();
        if let Some(chosen) = words.windows(count).collect::<Vec<_>>().choose(dice)
            && chosen.iter().all(|word| is_plain(word))
        {
            return chosen.iter().map(|word| word.to_lowercase()).collect();
        }
    }
    vec!["refund".to_owned()]
}

#[test]
fn the_index_agrees_with_a_naive_scan_of_the_truth() {
    let Archived { reader, truth, naive, .. } = archived();
    let dice = &mut ChaCha8Rng::seed_from_u64(20_261_120);
    let rounds = if is_long() { 10_000 } else { 300 };
    let asked: Vec<Asked> = (0..rounds).map(|_| Asked::random(dice, truth, 2)).collect();
    let check = |asked: &Asked| {
        let text = asked.text();
        let found = ids(reader, &text);
        let expected: BTreeSet<String> = truth
            .iter()
            .zip(naive)
            .filter(|(conversation, naive)| asked.holds(conversation, naive))
            .map(|(conversation, _)| format!("40112233:{}", conversation.id.as_ref().unwrap()))
            .collect();
        let (more, fewer): (Vec<_>, Vec<_>) =
            (found.difference(&expected).collect(), expected.difference(&found).collect());
        assert!(more.is_empty() && fewer.is_empty(), "{text}\nfound too much: {more:?}\nnot found: {fewer:?}");
        usize::from(!expected.is_empty() && expected.len() < truth.len())
    };
    let telling: usize = asked.par_iter().map(check).sum();
    assert!(telling * 2 > rounds, "only {telling} of {rounds} queries tell anything");
}

/// Words of the corpus in every form that the language has.
fn random_text(dice: &mut ChaCha8Rng, words: &[String]) -> String {
    let word = words.choose(dice).unwrap().as_str();
    let letters: Vec<char> = word.chars().collect();
    let at = dice.random_range(0..letters.len());
    let cut = |to: usize| letters[..to].iter().collect::<String>();
    let rest = |from: usize| letters[from..].iter().collect::<String>();
    match dice.random_range(0..10) {
        0 => format!("{}*", cut(at.max(1))),
        1 => format!("{}?{}", cut(at), rest(at + 1)),
        2 => format!("*{}", rest(at.min(letters.len() - 1))),
        3 if letters.len() > 3 => format!("{}{}~1", cut(at), rest(at + 1)),
        4 if letters.len() > 5 => format!("{word}~2"),
        5 => format!("/{}.?{}/", regex::escape(&cut(at)), regex::escape(&rest(at + 1))),
        6 => format!("/({}|{})s?/", regex::escape(word), regex::escape(words.choose(dice).unwrap())),
        7 => format!("\"{word} {}\"", words.choose(dice).unwrap()),
        _ => word.to_owned(),
    }
}

fn random_tree(dice: &mut ChaCha8Rng, words: &[String], depth: u32) -> String {
    if depth > 0 && dice.random_bool(0.4) {
        let [left, right] = [0, 1].map(|_| random_tree(dice, words, depth - 1));
        return match dice.random_range(0..3) {
            0 => format!("({left} AND {right})"),
            1 => format!("({left} OR {right})"),
            _ => format!("NOT ({left} OR {right})"),
        };
    }
    let scope = ["", "", "consumer:", "agent:", "system:", "note:"].choose(dice).unwrap().to_string();
    let side = |dice: &mut ChaCha8Rng| match dice.random_bool(0.3) {
        true => format!("({} OR {})", random_text(dice, words), random_text(dice, words)),
        false => random_text(dice, words),
    };
    match dice.random_range(0..10) {
        0 | 1 => format!("({} w/{} {})", side(dice), dice.random_range(1..12), side(dice)),
        2 => format!("({} pre/{} {})", side(dice), dice.random_range(1..12), side(dice)),
        3 | 4 => {
            let [left, right] = [0, 1].map(|_| ["", "consumer:", "agent:"].choose(dice).unwrap());
            let [a, b] = [0, 1].map(|_| words.choose(dice).unwrap());
            format!("({left}{a} turns/{} {right}{b})", dice.random_range(0..6))
        }
        5 => ["mcs:<50", "transfers:>=1", "has:revision", "type:messaging", "queue:>60s", "agent_name:*", "mcs:*"]
            .choose(dice)
            .unwrap()
            .to_string(),
        _ => format!("{scope}{}", random_text(dice, words)),
    }
}

#[test]
fn the_index_agrees_with_the_matcher() {
    let Archived { reader, .. } = archived();
    let mut stored: Vec<StoredConversation> = Vec::new();
    reader.for_each(&mut |conversation| stored.push(conversation)).unwrap();
    assert!(stored.len() >= 500);
    // Frequent words and rare ones, of every script.
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for message in stored.iter().flat_map(|stored| stored.merged().messages) {
        for word in plain_text(&message).unicode_words() {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    let reserved: HashSet<&str> = ["and", "or", "not"].into();
    let is_usable = |word: &str| word.chars().all(char::is_alphanumeric) && !reserved.contains(word);
    let mut by_count: Vec<(u64, String)> =
        counts.into_iter().filter(|(word, _)| is_usable(word)).map(|(word, count)| (count, word)).collect();
    by_count.sort_by(|a, b| b.cmp(a));
    let ranks = (0..by_count.len()).filter(|rank| *rank < 150 || rank % 37 == 0);
    let words: Vec<String> = ranks.map(|rank| by_count[rank].1.clone()).collect();

    let dice = &mut ChaCha8Rng::seed_from_u64(1_911);
    let rounds = if is_long() { 20_000 } else { 300 };
    let options = ParseOptions::utc(1_790_000_000_000);
    let queries: Vec<String> = std::iter::repeat_with(|| random_tree(dice, &words, 2))
        .filter(|text| parse(text, &options).is_ok())
        .take(rounds)
        .collect();
    let telling: usize = queries
        .par_iter()
        .map(|text| {
            let matcher = Matcher::new(&parse(text, &options).unwrap());
            let expected: BTreeSet<String> =
                stored.iter().filter(|stored| matcher.matches(stored)).map(StoredConversation::key).collect();
            let found = ids(reader, text);
            let more: Vec<_> = found.difference(&expected).collect();
            let fewer: Vec<_> = expected.difference(&found).collect();
            assert!(
                more.is_empty() && fewer.is_empty(),
                "{text}\nthe index finds also: {more:?}\nand misses: {fewer:?}"
            );
            usize::from(!expected.is_empty() && expected.len() < stored.len())
        })
        .sum();
    assert!(telling * 2 > rounds, "only {telling} of {rounds} queries tell anything");
}

#[test]
fn facets_add_up() {
    let Archived { vault, truth, .. } = archived();
    let answer = vault.json(
        &[
            "search",
            "*",
            "--limit",
            "0",
            "--facets",
            "end_reason,start_reason,skill,agent,device,type,source,transfers,mcs,hour,day,week,month",
        ],
        0,
    );
    let facets = answer["facets"].as_object().unwrap();
    assert_eq!(facets.len(), 13);
    let counts = |name: &str| -> BTreeMap<String, u64> {
        let entries = facets[name].as_array().unwrap().iter();
        entries.map(|entry| (entry["value"].to_string(), entry["count"].as_u64().unwrap())).collect()
    };
    for (name, _) in facets {
        let sum: u64 = counts(name).values().sum();
        if ["skill", "agent"].contains(&name.as_str()) {
            assert!(sum >= truth.len() as u64, "{name}: {sum}");
        } else {
            assert_eq!(sum, truth.len() as u64, "{name}: each conversation counts once");
        }
    }
    let tally = |of: &dyn Fn(&TruthConversation) -> Vec<String>| {
        let mut tally: BTreeMap<String, u64> = BTreeMap::new();
        for value in truth.iter().flat_map(of) {
            *tally.entry(value).or_default() += 1;
        }
        tally
    };
    assert_eq!(counts("end_reason"), tally(&|c| vec![c.end_reason.to_string()]));
    assert_eq!(counts("transfers"), tally(&|c| vec![c.transfers.len().to_string()]));
    assert_eq!(counts("mcs"), tally(&|c| vec![c.mcs.map_or("null".into(), |mcs| (mcs / 10 * 10).to_string())]));
    let skills = |c: &TruthConversation| {
        c.skills.iter().map(|skill| format!("\"{skill}\"")).collect::<BTreeSet<_>>().into_iter().collect()
    };
    assert_eq!(counts("skill"), tally(&skills));
    let day = |c: &TruthConversation| {
        vec![jiff::Timestamp::from_millisecond(c.start_ms).unwrap().strftime("\"%Y-%m-%d\"").to_string()]
    };
    assert_eq!(counts("day"), tally(&day));
    // A facet of a query is the query with the facet's value.
    let answer = vault.json(&["search", "order", "--limit", "0", "--facets", "end_reason"], 0);
    for entry in answer["facets"]["end_reason"].as_array().unwrap() {
        let narrowed = vault.json(&["search", "--count", &format!("order end_reason:{}", entry["value"])], 0);
        assert_eq!(narrowed["total"]["value"], entry["count"]);
    }
}

#[test]
fn forms_that_are_not_built_are_refused_by_name() {
    let Archived { vault, .. } = archived();
    for (query, named) in [
        ("sde:>100", "sde.cartStatus.total:>100"),
        ("sde.cartStatus.total:>many", "many"),
        ("refund w/3 sde:gold", "w/3"),
        ("refund NEAR/3 order", "NEAR"),
        ("refund && order", "&&"),
        ("colour:red", "colour"),
        ("(refund", "("),
        ("refund~3", "~3"),
        ("/(/", "/(/"),
        ("mcs:good", "good"),
        ("start:yesteryear", "yesteryear"),
        ("", "query"),
    ] {
        let run = vault.run(&["search", query]).exits(2);
        assert!(run.stderr.contains(named), "{query}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{query}: {}", run.stdout);
        let json = vault.json(&["search", query], 2);
        assert_eq!(json["exit_code"], 2);
        assert!(json["error"].as_str().unwrap().contains(named), "{query}: {json:#}");
    }
}

#[test]
fn both_syntaxes_ask_the_same_and_show_how_they_are_understood() {
    let Archived { vault, .. } = archived();
    for (dtsearch, ours) in [
        ("thank you", "\"thank you\""),
        ("refund~ and not consumer:cancel*", "stem:refund AND NOT consumer:cancel*"),
        ("(refund or cancel*) w/6 order", "(refund OR cancel*) w/6 order"),
        ("agent contains sorry and mcs:<80", "agent:sorry AND mcs:<80"),
    ] {
        let explained = vault.json(&["search", "--syntax", "dtsearch", "--explain", dtsearch], 0);
        assert_eq!((&explained["query"], &explained["syntax"]), (&Value::from(dtsearch), &Value::from("dtsearch")));
        assert_eq!(explained["query_normalised"], ours);
        let counted = vault.json(&["search", "--syntax", "dtsearch", "--count", dtsearch], 0);
        assert_eq!(counted["query_normalised"], ours);
        assert!(counted["total"]["value"].as_u64().unwrap() > 0, "{dtsearch}");
        assert_eq!(counted["total"], vault.json(&["search", "--count", ours], 0)["total"]);
        let stats = vault.json(&["stats", "--syntax", "dtsearch", "--query", dtsearch], 0);
        assert_eq!(stats["conversations"], counted["total"]["value"]);
    }
    let run = vault.run(&["search", "--syntax", "dtsearch", "--explain", "refund* policy"]).exits(0);
    assert_eq!(run.stdout, "typed (dtsearch): refund* policy\nunderstood as: refund* pre/1 \"policy\"\n");
    // Positions are those of the typed text.
    let run = vault.run(&["search", "--syntax", "dtsearch", "refund w/5 xlastword"]).exits(2);
    assert!(run.stderr.contains("query, character 12: `xlastword`"), "{}", run.stderr);
}

#[test]
fn highlights_mark_the_words_and_nothing_else() {
    let Archived { vault, .. } = archived();
    let expected: [(&str, &[&str]); 5] = [
        ("refund", &["refund"]),
        ("ord?r", &["order"]),
        ("\"thank you\"", &["thank", "you", "thank you"]),
        ("consumer:order", &["order"]),
        ("refund OR cancel", &["refund", "cancel"]),
    ];
    for (query, words) in expected {
        let answer = vault.json(&["search", query, "--limit", "all"], 0);
        let hits = answer["hits"].as_array().unwrap();
        assert!(!hits.is_empty(), "{query}");
        for hit in hits {
            let snippets = hit["snippets"].as_array().unwrap();
            assert!(!snippets.is_empty(), "{query}: {hit:#}");
            for snippet in snippets {
                let html = snippet["html"].as_str().unwrap();
                let marked: Vec<&str> =
                    html.split("<mark>").skip(1).map(|rest| rest.split("</mark>").next().unwrap()).collect();
                assert!(!marked.is_empty());
                for mark in marked {
                    assert!(words.contains(&plain(mark).as_str()), "{query} marks {mark:?} in {html}");
                }
                let without = html.replace("<mark>", "").replace("</mark>", "");
                assert!(!without.contains(['<', '>']), "nothing else is a tag: {html}");
                if query.starts_with("consumer:") {
                    assert_eq!(snippet["role"], "consumer");
                }
            }
        }
    }
    // What is found by time has no words to mark.
    let answer = vault.json(&["search", "mcs:<50", "--limit", "3"], 0);
    assert!(answer["hits"].as_array().unwrap().iter().all(|hit| hit["snippets"] == Value::Array(Vec::new())));
}

/// Keys of an object, sorted.
fn keys_of(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
fn has_keys(value: &Value, wanted: &str) {
    let found = keys_of(value);
    let missing: Vec<&str> = wanted.split_whitespace().filter(|key| !found.contains(key)).collect();
    assert!(missing.is_empty(), "missing {missing:?} in {found:?}");
}

const HIT: &str = "account_id conversation_id key type status start_time interaction_start_time end_time end_reason \
    start_reason skills agents consumer_id visitor_id mcs csat transfer_count message_count sources revisions";

#[test]
fn json_has_the_shapes_of_the_contract() {
    let Archived { vault, .. } = archived();
    let answer = vault.json(&["search", "refund", "--facets", "end_reason"], 0);
    has_keys(&answer, "schema_version query total coverage facets hits");
    assert_eq!(answer["schema_version"], 1);
    assert_eq!(answer["query"], "refund");
    assert_eq!(answer["total"]["exact"], true);
    has_keys(&answer["coverage"], "archived_records indexed_records complete");
    assert_eq!(answer["coverage"]["complete"], true);
    has_keys(&answer["facets"]["end_reason"][0], "value label count");
    let hit = &answer["hits"][0];
    has_keys(hit, HIT);
    has_keys(hit, "score snippets");
    has_keys(&hit["end_reason"], "id label");
    has_keys(&hit["agents"][0], "id name");
    has_keys(&hit["snippets"][0], "message by role html");
    assert!(hit["conversation_id"].is_string(), "ids are strings");
    assert!(hit["skills"][0].is_u64(), "{hit:#}");
    let start = hit["start_time"].as_str().unwrap();
    assert!(start.len() == 24 && start.ends_with('Z'), "{start}");

    let transferred = vault.json(&["search", "transfers:>=1 mcs:*", "--limit", "1"], 0);
    let id = transferred["hits"][0]["conversation_id"].as_str().unwrap();
    let shown = vault.json(&["show", id], 0);
    has_keys(&shown, HIT);
    has_keys(&shown, "schema_version messages transfers sdes surveys campaign secure_forms provenance");
    has_keys(&shown["messages"][0], "index time by role type text content_format message_id dialog_id agent_id");
    has_keys(
        &shown["transfers"][0],
        "time skill_id target_skill_id agent_id target_agent_id reason queue_start_time queue_end_time",
    );
    has_keys(&shown["provenance"][0], "file sha256 record");

    let synced = vault.json(&["search", "--count", "*"], 0);
    has_keys(&synced, "total coverage");
    let verified = vault.json(&["verify"], 0);
    has_keys(&verified, "schema_version files chain index ok");
    has_keys(&verified["files"], "checked bytes damaged missing unlisted");
    has_keys(&verified["chain"], "rows ok head broken_at");
    has_keys(&verified["index"], "documents expected ok");

    // A stream: one object a line, each with its type.
    let stream = vault.run(&["--ndjson", "search", "refund", "--limit", "2"]).exits(0);
    let lines: Vec<Value> = stream.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["type"], "summary");
    assert!(lines.len() == 3 && lines[1..].iter().all(|line| line["type"] == "hit" && line["schema_version"] == 1));
}

#[test]
fn every_hit_can_be_shown_raw_and_in_order() {
    let Archived { vault, truth, .. } = archived();
    for conversation in truth.iter().step_by(97) {
        let id = conversation.id.as_ref().unwrap();
        let shown = vault.json(&["show", id], 0);
        let texts: Vec<&str> =
            shown["messages"].as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap()).collect();
        let expected: Vec<&str> = conversation.messages.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts, expected, "{id}");
        let raw = vault.run(&["show", id, "--raw"]).exits(0);
        let last: Value = serde_json::from_str(raw.stdout.lines().last().unwrap()).unwrap();
        assert!(last.to_string().contains(id));
    }
    for (sort, key) in [("start", "start_time"), ("end", "end_time"), ("transfers", "transfer_count")] {
        let answer = vault.json(&["search", "*", "--sort", sort, "--limit", "all"], 0);
        let values: Vec<&Value> = answer["hits"].as_array().unwrap().iter().map(|hit| &hit[key]).collect();
        let falls = |pair: &[&Value]| match (pair[0].as_str(), pair[1].as_str()) {
            (Some(a), Some(b)) => a >= b,
            _ => pair[0].as_u64() >= pair[1].as_u64(),
        };
        assert_eq!(values.len(), truth.len());
        assert!(values.windows(2).all(falls), "{sort}");
        let reversed = vault.json(&["search", "*", "--sort", sort, "-r", "--limit", "1"], 0);
        assert_eq!(&reversed["hits"][0][key], *values.last().unwrap());
    }
    vault.run(&["show", "no-such-id"]).exits(1);
}
