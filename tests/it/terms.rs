//! Term reports, saved searches and samples: every figure counted again here, from the answers of single searches.

use crate::support::{Lab, Run, Vault, reader, temp_folder, world};
use chatvault::conversation::{Role, StoredConversation, plain_text};
use chatvault::search::Matcher;
use chatvault::search::parse::{ParseOptions, parse};
use chatvault::simulator::{Script, WorldConfig};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::OnceLock;

fn vault() -> &'static Vault {
    static VAULT: OnceLock<Vault> = OnceLock::new();
    VAULT.get_or_init(|| {
        let config = WorldConfig { seed: 11, revised_permille: 60, ..world(400, 30) };
        let (vault, run) = Lab::new(config, Script::default()).synced();
        run.exits(0);
        // A second commit, so that there is more than one segment; and a survey that belongs to no conversation.
        let folder = temp_folder();
        let path = folder.path().join("more.json");
        fs::write(&path, more(["w1", "w2"], "wombat")).unwrap();
        fs::write(folder.path().join("survey.json"), lonely_survey()).unwrap();
        vault.run(&["import", &folder.path().to_string_lossy()]).exits(0);
        vault
    })
}

fn lonely_survey() -> String {
    let survey = json!({ "id": 9, "type": 2, "conversationId": null,
        "contents": [ { "question": "How was it?", "answer": "a refund, at last" } ] });
    let record = json!({ "dataType": "Survey", "metaData": { "accountId": "40112233" }, "recordCollection": [ { "body": {
        "header": { "visitId": "V1.00", "visitorId": "vis-1" }, "surveys": [survey] } } ] });
    format!("{record}\n")
}

/// Two conversations of another year; one speaks of things that nobody else does.
fn more(ids: [&str; 2], animal: &str) -> String {
    let engagement = |id: &str, start_ms: i64, text: &str, answer: &str| {
        json!({ "conversationId": id, "conversationStartTime": start_ms, "conversationEndTime": start_ms + 60_000,
            "type": "LIVE_CHAT", "agentId": "9=1+1", "transcripts": [
                { "text": text, "type": "0", "by": "Visitor", "timestamp": start_ms },
                { "text": answer, "type": "4", "by": "Agent", "agentId": "9=1+1" } ] })
    };
    let shouted = animal.to_uppercase();
    let asked = format!("A {animal} ate my parcel, a {shouted}! I want a refund, {animal} refund");
    let answered = format!("<b>{shouted}</b> noted: {animal}'s refund");
    let record = json!({ "dataType": "Engagement", "metaData": { "accountId": "40112233" }, "recordCollection": [ { "body": {
        "engagements": [
            engagement(ids[0], 1_467_853_200_000, &asked, &answered),
            engagement(ids[1], 1_470_000_000_000, "nothing of the kind", "indeed") ] } } ] });
    format!("{record}\n")
}

/// A hit of a single search.
struct Found {
    agents: BTreeSet<Option<String>>,
    month: Option<String>,
}

/// What one search finds by itself, by key.
fn alone(vault: &Vault, query: &str) -> BTreeMap<String, Found> {
    let stream = vault.run(&["--ndjson", "search", "--limit", "all", "--", query]).exits(0).stdout;
    let lines = stream.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let hits = lines.filter(|line| line["type"] == "hit" && line.get("key").is_some());
    hits.map(|hit| {
        let mut agents: BTreeSet<Option<String>> =
            hit["agents"].as_array().unwrap().iter().map(|agent| Some(agent["id"].as_str().unwrap().into())).collect();
        if agents.is_empty() {
            agents.insert(None);
        }
        let month = hit["start_time"].as_str().map(|time| time[..7].to_owned());
        (hit["key"].as_str().unwrap().to_owned(), Found { agents, month })
    })
    .collect()
}

fn keys(found: &BTreeMap<String, Found>) -> BTreeSet<String> {
    found.keys().cloned().collect()
}

fn digest<'k>(keys: impl IntoIterator<Item = &'k String>) -> String {
    let text: String = keys.into_iter().map(|key| format!("{key}\n")).collect();
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(lines: &str) -> (tempfile::TempDir, String) {
    let folder = temp_folder();
    let path = folder.path().join("terms.txt");
    fs::write(&path, lines).unwrap();
    (folder, path.to_string_lossy().into_owned())
}

fn report(vault: &Vault, lines: &str, more: &[&str], code: i32) -> Value {
    let (_folder, path) = list(lines);
    vault.json(&[&["search", "--term-report", &path], more].concat(), code)
}

fn tally<T: Ord>(values: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    let mut tally = BTreeMap::new();
    values.for_each(|value| *tally.entry(value).or_default() += 1);
    tally
}

fn families(value: &Value) -> BTreeMap<Option<String>, u64> {
    let entries = value.as_array().unwrap().iter();
    entries.map(|entry| (entry["value"].as_str().map(str::to_owned), entry["count"].as_u64().unwrap())).collect()
}

/// One of each kind: what the index answers alone, what the matcher must decide, what has no words, what finds nothing.
const TERMS: [&str; 18] = [
    "refund",
    "consumer:refund",
    "\"thank you\"",
    "order w/3 my",
    "my pre/2 order",
    "consumer:refund turns/2 agent:order",
    "ref?nd* OR cancel*",
    "refnd~1",
    "/re(fund|turn)/",
    "-refund",
    "mcs:<50",
    "transfers:>=1 order",
    "has:revision",
    "wombat",
    "wombat w/2 refund",
    "zzyzx",
    "sde:gold OR refund",
    "NOT (order w/3 my)",
];

#[test]
fn every_figure_is_that_of_single_searches() {
    for scope in ["*", "consumer:order", "my w/4 order"] {
        let terms = TERMS.join("\n");
        let scope_argument: &[&str] = if scope == "*" { &[] } else { &[scope] };
        let found = report(vault(), &terms, scope_argument, 0);
        let whole = keys(&alone(vault(), scope));
        let single: Vec<BTreeMap<String, Found>> =
            TERMS.iter().map(|term| alone(vault(), &format!("({scope}) AND ({term})"))).collect();
        assert!(whole.len() > 20 && single.iter().filter(|found| !found.is_empty()).count() > 10, "{scope}");
        let times = tally(single.iter().flat_map(|found| found.keys().cloned()));
        for (at, term) in TERMS.iter().enumerate() {
            let row = &found["terms"][at];
            assert_eq!((row["line"].as_u64(), row["query"].as_str()), (Some(at as u64 + 1), Some(*term)));
            assert_eq!(row["conversations"], single[at].len(), "{scope}: {term}");
            let unique = single[at].keys().filter(|key| times[*key] == 1).count();
            assert_eq!(row["unique"], unique, "{scope}: {term}");
            let agents = tally(single[at].values().flat_map(|found| found.agents.iter().cloned()));
            assert_eq!(families(&row["by_agent"]), agents, "{scope}: {term}");
            let months = tally(single[at].values().map(|found| found.month.clone()));
            assert_eq!(families(&row["by_month"]), months, "{scope}: {term}");
            for (other, others) in single.iter().enumerate() {
                let common = single[at].keys().filter(|key| others.contains_key(*key)).count();
                assert_eq!(
                    found["overlap"]["conversations"][at][other], common,
                    "{scope}: {term} and {}",
                    TERMS[other]
                );
            }
        }
        assert_eq!(found["searched"], whole.len());
        let union: BTreeSet<String> = times.keys().cloned().collect();
        assert!(union.is_subset(&whole));
        assert_eq!(found["union"]["conversations"], union.len());
        assert_eq!(found["union"]["without_hits"], whole.len() - union.len());
        assert_eq!(found["union"]["digest"], digest(&union));
        let mut by_count = tally(times.values().copied());
        by_count.insert(0, (whole.len() - union.len()) as u64);
        by_count.retain(|_, count| *count > 0);
        let printed = found["by_query_count"].as_array().unwrap().iter();
        let printed: BTreeMap<u64, u64> =
            printed.map(|row| (row["queries"].as_u64().unwrap(), row["conversations"].as_u64().unwrap())).collect();
        assert_eq!(printed, by_count);
        assert_eq!(found["coverage"]["complete"], true);
    }
}

#[test]
fn messages_and_hits_are_counted() {
    let mut stored: Vec<StoredConversation> = Vec::new();
    reader(&vault().path()).for_each(&mut |conversation| stored.push(conversation)).unwrap();
    let found = report(vault(), &TERMS.join("\n"), &[], 0);
    for (at, term) in TERMS.iter().enumerate() {
        let row = &found["terms"][at];
        // Messages: those that a highlight stands in.
        let matcher = Matcher::new(&parse(term, &ParseOptions::utc(0)).unwrap());
        let in_messages = |stored: &StoredConversation| {
            let merged = stored.merged();
            let highlights = if matcher.matches(stored) { matcher.highlights(stored, &merged) } else { Vec::new() };
            highlights.iter().map(|highlight| highlight.message).collect::<BTreeSet<usize>>().len()
        };
        let messages: usize = stored.iter().map(in_messages).sum();
        if row["messages"].is_null() {
            assert_eq!((messages, &row["hits"]), (0, &Value::Null), "{term}");
        } else {
            assert_eq!(row["messages"], messages, "{term}");
            assert!(row["hits"].as_u64() >= row["messages"].as_u64(), "{term}");
        }
    }
    let without_words: Vec<&str> =
        (0..TERMS.len()).filter(|at| found["terms"][at]["hits"].is_null()).map(|at| TERMS[at]).collect();
    assert_eq!(without_words, ["-refund", "mcs:<50", "has:revision", "NOT (order w/3 my)"]);
    // Hits of one word: by cutting the lines of consumers at everything that is no letter and no digit.
    for word in ["refund", "order", "wombat"] {
        let row = report(vault(), &format!("consumer:{word}"), &[], 0)["terms"][0].clone();
        let lines = stored.iter().flat_map(|stored| stored.merged().messages);
        let lines = lines.filter(|line| line.role == Role::Consumer).map(|line| plain_text(&line).to_lowercase());
        let counts =
            lines.map(|line| line.split(|c: char| !c.is_alphanumeric()).filter(|piece| *piece == word).count());
        let counts: Vec<usize> = counts.collect();
        assert_eq!(row["hits"], counts.iter().sum::<usize>(), "{word}");
        assert_eq!(row["messages"], counts.iter().filter(|count| **count > 0).count(), "{word}");
    }
    // By hand: the visitor says wombat three times in one line, the agent twice in another.
    let row = |term: &str| report(vault(), term, &[], 0)["terms"][0].clone();
    assert_eq!((&row("wombat")["hits"], &row("wombat")["messages"]), (&json!(5), &json!(2)));
    assert_eq!(row("\"wombat refund\"")["hits"], 2, "a phrase is one hit; `wombat's refund` holds it too");
    assert_eq!(row("wombat OR WOMB?T")["hits"], 5, "a place counts once");
}

#[test]
fn what_is_no_conversation_counts_only_where_its_kind_is_named() {
    let vault = vault();
    let everything = alone(vault, "*").len();
    let surveys = alone(vault, "type:survey").len();
    assert!(surveys >= 1);
    let found = report(vault, "*\nrefund", &[], 0);
    assert_eq!((&found["searched"], &found["union"]["without_hits"]), (&json!(everything), &json!(0)));
    let found = report(vault, "survey:refund\nrefund", &[], 0);
    assert_eq!(found["terms"][0]["conversations"], 0, "a survey without a conversation is found by its type only");
    let found = report(vault, "survey:refund type:survey", &[], 0);
    assert_eq!(found["terms"][0]["conversations"], 1);
    let found = report(vault, "survey:refund", &["type:survey"], 0);
    assert_eq!((&found["searched"], &found["terms"][0]["conversations"]), (&json!(surveys), &json!(1)));
    let found = report(vault, "*\ntype:survey", &[], 0);
    assert_eq!(found["searched"], everything + surveys);
    assert_eq!(found["terms"][1]["conversations"], surveys);
}

#[test]
fn a_line_that_is_wrong_does_not_stop_the_others() {
    let lines = "\u{feff}refund\r\n# the second\r\n\r\nQ 2\tagnt:refund\r\n\"Q3\"\torder w/3 my\r\n/(/\r\n-refund\r\n  refund  \r\n";
    let found = report(vault(), lines, &[], 3);
    let rows = found["terms"].as_array().unwrap();
    let numbers: Vec<u64> = rows.iter().map(|row| row["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 4, 5, 6, 7, 8]);
    assert_eq!(rows[1]["name"], "Q 2");
    assert_eq!(rows[1]["error"]["character"], 1);
    assert_eq!(rows[1]["error"]["suggestion"], "agent:refund");
    assert!(rows[3]["error"]["message"].as_str().unwrap().contains("regular expression"));
    assert_eq!(found["refused_lines"], 2);
    assert_eq!(rows[2]["name"], "\"Q3\"");
    assert_eq!(rows[5]["same_as_line"], 1);
    assert_eq!((&rows[0]["unique"], &rows[5]["unique"]), (&json!(0), &json!(0)));
    assert_eq!(found["overlap"]["lines"], json!([1, 5, 7, 8]));
    assert_eq!(found["file_sha256"], hex(&Sha256::digest(lines)));

    let (_folder, path) = list(lines);
    let run = vault().run(&["search", "--term-report", &path]).exits(3);
    assert!(run.stdout.contains("refused") && run.stderr.contains("line 4: character 1: `agnt:`"), "{}", run.all());
    assert!(run.stderr.contains("line 8 asks the same as line 1"), "{}", run.stderr);
    let stream = vault().run(&["--ndjson", "search", "--term-report", &path]).exits(3).stdout;
    let kinds: Vec<Value> =
        stream.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone()).collect();
    assert_eq!(kinds, ["summary", "term", "term", "term", "term", "term", "term"]);
    // Nothing but wrong lines is a report too, of nothing.
    assert_eq!(report(vault(), "agnt:x\n", &[], 3)["union"]["conversations"], 0);
}

#[test]
fn wrong_usage_is_refused() {
    let (folder, path) = list("refund\n");
    let refused = |arguments: &[&str], named: &str| {
        let run = vault().run(&[&["search"], arguments].concat()).exits(2);
        assert!(run.stderr.contains(named) && run.stdout.is_empty(), "{arguments:?}: {}", run.all());
    };
    let out = folder.path().join("out.csv").to_string_lossy().into_owned();
    refused(&["--term-report", "/no/such/file"], "/no/such/file");
    refused(&["--term-report", &folder.path().to_string_lossy()], &folder.path().to_string_lossy());
    refused(&["--term-report", &path, "--count"], "--count");
    refused(&["--term-report", &path, "--out", &out], "--format csv");
    refused(&["--term-report", &path, "agnt:x"], "agnt");
    refused(&["--term-report", &path, "/(/"], "regular expression");
    refused(&["refund", "--format", "csv"], "--term-report");
    refused(&["refund", "--sample", "0"], "at least one");
    refused(&["refund", "--sample", "5", "--limit", "3"], "--limit");
    refused(&["refund", "--seed", "x"], "--sample");
    refused(&["refund", "--sample", "5", "--seed", "a\nb"], "--seed");
    for (bytes, named) in [(&b"\xff\xfer\0"[..], "UTF-16"), (b"# nothing\n", "no query")] {
        fs::write(&path, bytes).unwrap();
        refused(&["--term-report", &path], named);
    }
    fs::write(&path, "refund\n").unwrap();
    vault().run(&["search", "--term-report", &path, "--format", "csv", "--out", &out]).exits(0);
    refused(&["--term-report", &path, "--format", "csv", "--out", &out], "exists already");
}

/// Rows of a CSV by column.
fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn csv_and_table_say_what_json_says() {
    let lines = "first\trefund\n-refund\nagnt:x\nwith \"quotes\", and a comma\twombat\n=order\n";
    let (folder, path) = list(lines);
    let document = report(vault(), lines, &[], 3);
    let csv = |more: &[&str]| {
        let arguments = [&["search", "--term-report", &path, "--format", "csv"], more].concat();
        rows(&vault().run(&arguments).exits(3).stdout)
    };
    let by_term = csv(&[]);
    assert_eq!(by_term.len(), 5);
    for (row, said) in by_term.iter().zip(document["terms"].as_array().unwrap()) {
        assert_eq!(row["line"], said["line"].to_string());
        for column in ["conversations", "unique", "messages", "hits"] {
            let expected = said.get(column).filter(|value| !value.is_null()).map_or(String::new(), Value::to_string);
            assert_eq!(row[column], expected, "{column} of {row:?}");
        }
        assert_eq!(row["error"].is_empty(), said.get("error").is_none());
    }
    assert_eq!(by_term[3]["name"], "with \"quotes\", and a comma");
    assert_eq!((by_term[1]["query"].as_str(), by_term[4]["query"].as_str()), ("'-refund", "'=order"), "no formula");
    let sum = |rows: &[BTreeMap<String, String>], line: &str| -> u64 {
        rows.iter().filter(|row| row["line"] == line).map(|row| row["conversations"].parse::<u64>().unwrap()).sum()
    };
    assert_eq!(json!(sum(&csv(&["--by", "month"]), "1")), document["terms"][0]["conversations"]);
    let by_agent = csv(&["--by", "agent"]);
    assert_eq!(sum(&by_agent, "1"), families(&document["terms"][0]["by_agent"]).values().sum::<u64>());
    assert!(by_agent.iter().any(|row| row["line"] == "4" && row["agent"] == "9=1+1"));
    let overlap = csv(&["--by", "overlap"]);
    let pair = overlap.iter().find(|row| row["line"] == "1" && row["other_line"] == "4").unwrap();
    assert_eq!((pair["common_conversations"].as_str(), pair["other_query"].as_str()), ("1", "wombat"));
    let out = folder.path().join("out.csv");
    let run = vault().run(&["search", "--term-report", &path, "--format", "csv", "--out", &out.to_string_lossy()]);
    assert!(run.exits(3).stdout.is_empty());
    assert_eq!(rows(&fs::read_to_string(out).unwrap()), by_term);

    let mut command = vault().command(&["search", "--term-report", &path]);
    let run = Run::of(command.env("COLUMNS", "60").output().unwrap()).exits(3);
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 60), "{}", run.stdout);
    let searched = document["searched"].to_string();
    assert!(run.stderr.contains(&format!("{searched} conversations searched")), "{}", run.stderr);
    assert!(run.stderr.contains(document["union"]["digest"].as_str().unwrap()));
}

#[test]
fn many_terms_have_no_overlap_and_say_so() {
    let lines: String = (0..250).map(|at| format!("refund OR word{at}\n")).collect();
    let found = report(vault(), &lines, &[], 0);
    assert_eq!(found["overlap"], Value::Null);
    let refunds = alone(vault(), "refund").len();
    assert_eq!(
        found["by_query_count"].as_array().unwrap().last().unwrap(),
        &json!({ "queries": 250, "conversations": refunds })
    );
    let (_folder, path) = list(&lines);
    vault().run(&["search", "--term-report", &path, "--format", "csv", "--by", "overlap"]).exits(2);
}

#[test]
fn a_rebuild_changes_neither_report_nor_sample() {
    let copy = vault().copy();
    let ask = |vault: &dyn Fn(&[&str]) -> String| {
        let (folder, _) = list("");
        let path = folder.path().join("t");
        fs::write(&path, TERMS.join("\n")).unwrap();
        let report: Value =
            serde_json::from_str(&vault(&["--json", "search", "--term-report", &path.to_string_lossy()])).unwrap();
        let sample = vault(&["--ndjson", "search", "order", "--sample", "20", "--seed", "s", "--sort", "start"]);
        (report["terms"].clone(), report["union"].clone(), sample)
    };
    let before = ask(&|arguments| vault().run(arguments).exits(0).stdout);
    copy.run(&["index", "--rebuild"]).exits(0);
    assert_eq!(ask(&|arguments| copy.run(arguments).exits(0).stdout), before);
}

/// Keys of a sample, in the order printed, and what is said of it.
fn sample(vault: &Vault, arguments: &[&str]) -> (Vec<String>, Value) {
    let stream = vault.run(&[&["--ndjson", "search"], arguments].concat()).exits(0).stdout;
    let lines: Vec<Value> = stream.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys: Vec<String> = lines[1..].iter().map(|hit| hit["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(lines[0]["total"]["value"], keys.len());
    (keys, lines[0]["sample"].clone())
}

#[test]
fn a_sample_is_the_one_that_anybody_draws_from_the_keys() {
    for query in ["*", "order", "order w/3 my", "zzyzx"] {
        let all: Vec<String> = keys(&alone(vault(), query)).into_iter().collect();
        for (seed, size, expected) in
            [("1", "10", 10), ("matter 17 ü", "10%", all.len().div_ceil(10)), ("1", "9999", all.len())]
        {
            let mut ranked = all.clone();
            ranked.sort_by_key(|key| Sha256::digest(format!("{seed}\n{key}")).to_vec());
            let expected: BTreeSet<String> = ranked.into_iter().take(expected.min(all.len())).collect();
            for sort in ["relevance", "start", "duration"] {
                let (drawn, said) = sample(vault(), &[query, "--sample", size, "--seed", seed, "--sort", sort]);
                assert_eq!(drawn.iter().cloned().collect::<BTreeSet<_>>(), expected, "{query} {size} {seed}");
                assert_eq!((&said["size"], &said["population"]), (&json!(expected.len()), &json!(all.len())));
                assert_eq!(said["seed"], seed);
                let stream =
                    vault().run(&["--ndjson", "search", query, "--limit", "all", "--sort", sort]).exits(0).stdout;
                let whole = stream.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
                let order: Vec<String> = whole
                    .map(|hit| hit["key"].as_str().unwrap().to_owned())
                    .filter(|key| expected.contains(key))
                    .collect();
                assert_eq!(drawn, order, "the sample is sorted as the answer is");
            }
        }
    }
    // Facets and counts are those of the sample.
    let found = vault().json(&["search", "*", "--sample", "30", "--facets", "type", "--count"], 0);
    let counts: u64 =
        found["facets"]["type"].as_array().unwrap().iter().map(|entry| entry["count"].as_u64().unwrap()).sum();
    assert_eq!((&found["total"]["value"], counts), (&json!(30), 30));
    let run = vault().run(&["search", "*", "--sample", "30"]).exits(0);
    assert!(run.stderr.contains("random sample: 30 of ") && run.stderr.contains("seed 1"), "{}", run.stderr);
    assert!(run.stderr.contains("percentage points"), "{}", run.stderr);
}

#[test]
fn what_is_outside_the_answer_does_not_change_a_sample() {
    let copy = vault().copy();
    let before = sample(&copy, &["wombat OR mcs:<50", "--sample", "15", "--sort", "start"]);
    let folder = temp_folder();
    let path = folder.path().join("others.json");
    fs::write(&path, more(["v1", "v2"], "numbat")).unwrap();
    let count = copy.json(&["search", "*", "--count"], 0)["total"]["value"].as_u64().unwrap();
    copy.run(&["import", &path.to_string_lossy()]).exits(0);
    let after = copy.json(&["search", "*", "--count"], 0)["total"]["value"].as_u64().unwrap();
    assert_eq!(after, count + 2, "others came in");
    assert_eq!(sample(&copy, &["wombat OR mcs:<50", "--sample", "15", "--sort", "start"]), before);
}

#[test]
fn searches_are_saved_listed_used_and_removed() {
    let copy = vault().copy();
    let run = |arguments: &[&str], code: i32| copy.run(arguments).exits(code);
    run(&["saved"], 0);
    run(&["saved", "add", "money", "refund OR cancel*", "--note", "matter 17\u{1b}[31m"], 0);
    run(&["saved", "add", "near", "saved:money", "order w/3 my"], 0);
    run(&["saved", "add", "tokyo", "start:2016-07-07", "--tz", "Asia/Tokyo"], 0);
    let listed = copy.json(&["saved"], 0);
    let names: Vec<&str> =
        listed["searches"].as_array().unwrap().iter().map(|search| search["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["money", "near", "tokyo"]);
    assert_eq!(listed["searches"][0]["query"], "refund OR cancel*");
    let text = run(&["saved", "list"], 0).stdout;
    assert!(text.contains("refund OR cancel*") && !text.contains('\u{1b}'), "{text}");

    let found = |query: &str| keys(&alone(&copy, query));
    assert_eq!(found("saved:money"), found("refund OR cancel*"));
    assert_eq!(found("saved:near -mcs:<50"), found("(refund OR cancel*) AND (order w/3 my) AND NOT mcs:<50"));
    // 01:00 UTC on the 7th is 10:00 in Tokyo.
    assert_eq!(found("saved:tokyo"), BTreeSet::from(["40112233:w1".to_owned()]));
    run(&["saved", "add", "honolulu", "start:2016-07-07", "--tz", "Pacific/Honolulu"], 0);
    assert_eq!(found("saved:honolulu"), BTreeSet::new(), "the query's zone is its own, not the one asked in");
    let counted = copy.json(&["stats", "--query", "saved:money"], 0);
    assert_eq!(counted["conversations"], found("refund OR cancel*").len());
    let reported = report(&copy, "saved:money\nsaved:gone\n", &[], 3);
    assert_eq!(reported["terms"][0]["conversations"], found("refund OR cancel*").len());
    assert_eq!(reported["terms"][0]["parsed"], "refund OR cancel*");
    assert!(reported["terms"][1]["error"]["message"].as_str().unwrap().contains("`gone`"));

    let refused = |arguments: &[&str], named: &str| {
        let before = fs::read(copy.path().join("searches.toml")).unwrap();
        let run = copy.run(arguments).exits(2);
        assert!(run.stderr.contains(named), "{arguments:?}: {}", run.stderr);
        assert_eq!(fs::read(copy.path().join("searches.toml")).unwrap(), before, "{arguments:?}");
    };
    refused(&["saved", "add", "money", "x"], "--replace");
    refused(&["saved", "add", "a b", "x"], "no name");
    refused(&["saved", "add", "bad", "agnt:x"], "agnt");
    refused(&["saved", "add", "bad", "/(/"], "regular expression");
    refused(&["saved", "add", "bad", "saved:gone"], "gone");
    refused(&["saved", "add", "bad", "x", "--tz", "Mars/Olympus"], "Mars/Olympus");
    refused(&["saved", "add", "money", "--replace", "saved:near"], "near → money → near");
    refused(&["saved", "add", "self", "saved:self"], "self → self");
    refused(&["saved", "remove", "money"], "near");
    refused(&["saved", "remove", "gone"], "gone");
    refused(&["search", "saved:mony"], "saved:money");
    refused(&["search", "refund w/3 saved:money"], "whole conversation");

    run(&["saved", "add", "money", "--replace", "refund"], 0);
    assert_eq!(found("saved:near"), found("refund AND (order w/3 my)"));
    run(&["saved", "remove", "near"], 0);
    run(&["saved", "remove", "money"], 0);
    // The vault is none the worse for the file, and a hostile one is refused by name.
    run(&["verify"], 0);
    fs::write(copy.path().join("searches.toml"), "format = 1\n[searches.x]\nqeury = 1\n").unwrap();
    refused(&["search", "saved:x"], "qeury");
    run(&["search", "refund", "--count"], 0);
    let nowhere = temp_folder();
    let run = Run::of(
        crate::support::program().arg("--vault").arg(nowhere.path()).args(["saved", "add", "a", "b"]).output().unwrap(),
    );
    run.exits(10);
    assert_eq!(fs::read_dir(nowhere.path()).unwrap().count(), 0);
}
