//! `sync`: everything once, nothing twice, nothing changed; the index can be thrown away.

use crate::support::{Lab, Vault, files_of, ids, reader, world};
use chatvault::simulator::{Appears, FileForm, FormMix, HOUR_MS, LateFiles, Script, SimulatorConfig, WorldConfig};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt as _;

const STREAM: &str = "data-access/engagement";

/// Fifty queries of every kind; most find something in any account, some nothing on purpose.
fn fifty_queries(lab: &Lab) -> Vec<String> {
    let middle = lab.simulator.world().config().end_ms - 6 * HOUR_MS;
    let some = lab.simulator.world().conversation(7);
    let mut queries: Vec<String> = [
        "*",
        "refund",
        "order",
        "the",
        "thanks",
        "consumer:refund",
        "agent:sorry",
        "agent:order consumer:order",
        "system:chat",
        "note:*",
        "bot:*",
        "\"my order\"",
        "\"thank you\"",
        "refund OR cancel",
        "refund AND NOT order",
        "-order",
        "NOT (order OR refund)",
        "(delivery OR order) consumer:help",
        "ref*",
        "ord?r",
        "refnd~1",
        "delivry~2",
        "/ord(er|ers)/",
        "/[0-9]{6,}/",
        "my w/3 order",
        "my pre/2 order",
        "order turns/2 sorry",
        "consumer:order turns/1 agent:order",
        "skill:3",
        "agent_name:*",
        "end_reason:205",
        "end_reason:visitor-disconnected",
        "start_reason:0",
        "mcs:<50",
        "mcs:50..80",
        "mcs:*",
        "transfers:>=1",
        "transfers:0",
        "duration:>10m",
        "queue:>60s",
        "type:messaging",
        "type:chat",
        "device:mobile",
        "has:transfer",
        "has:revision",
        "interactive:false",
        "source:data-access",
        "xyzzynothing",
    ]
    .map(str::to_owned)
    .into();
    queries.push(format!("start:<{middle}"));
    queries.push(format!("id:{}", some.id.unwrap()));
    assert_eq!(queries.len(), 50);
    queries
}

fn answers(vault: &Vault, queries: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let reader = reader(&vault.path());
    queries.iter().map(|query| (query.clone(), ids(&reader, query))).collect()
}

/// Every file of the vault but the ledger and its lock, which a sync writes its listings into.
fn bytes_that_stay(vault: &Vault) -> BTreeMap<String, String> {
    let mut files = files_of(&vault.path());
    files.retain(|path, _| !path.starts_with("vault.db") && path != "vault.lock");
    files
}

#[test]
fn everything_arrives_once_and_nothing_changes_afterwards() {
    let lab = Lab::new(world(300, 24), Script::default());
    let truth = lab.simulator.world().truth();
    let (vault, first) = lab.synced();
    let first = first.exits(0).json();
    let stream = &first["streams"][STREAM];
    assert_eq!(stream["listed"], truth.files);
    assert_eq!(stream["downloaded"], truth.files);
    assert_eq!(stream["already"], 0);
    assert_eq!(stream["failed"], 0);
    assert_eq!(stream["problems"], Value::Array(Vec::new()));
    assert_eq!(stream["conversations"], truth.conversation_records);
    assert_eq!(stream["records"], truth.records);
    let requests = lab.simulator.requests();
    assert_eq!(requests.download, truth.files, "no file is fetched twice");
    assert_eq!(requests.refused, 0, "every request is signed as LivePerson wants it");
    assert_eq!(requests.unknown, 0);

    // The index holds exactly the conversations that the account has.
    let index = reader(&vault.path());
    assert_eq!(index.document_count(), truth.conversations);
    assert_eq!(index.record_count().unwrap(), truth.conversation_records);
    let found = ids(&index, "*");
    for conversation in lab.simulator.world().conversations() {
        if let Some(id) = conversation.id {
            assert!(found.contains(&format!("{}:{id}", lab.account())), "{id} is missing");
        }
    }
    drop(index);

    // The bytes on disk are the bytes that were served.
    assert_eq!(vault.files().len() as u64, truth.files);
    for path in vault.files().keys() {
        let mode = std::fs::metadata(vault.path().join("files").join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444, "{path} is read-only");
    }
    assert!(vault.names_in("tmp").is_empty());
    assert!(vault.names_in("quarantine").is_empty());

    let before = bytes_that_stay(&vault);
    let second = vault.json(&["sync"], 0);
    let again = lab.simulator.requests();
    assert_eq!(second["streams"][STREAM]["downloaded"], 0);
    assert_eq!(second["streams"][STREAM]["already"], truth.files);
    assert_eq!(second["streams"][STREAM]["bytes"], 0);
    assert_eq!(again.download, requests.download, "a second sync makes listing calls only");
    assert!(again.listing > requests.listing);
    assert_eq!(bytes_that_stay(&vault), before, "a second sync changes no byte");

    let verified = vault.json(&["verify"], 0);
    assert_eq!(verified["ok"], true);
    assert_eq!(verified["files"]["checked"], vault.all_files().len() as u64, "schemas too");
    assert_eq!(vault.files().len() as u64, truth.files);
}

#[test]
fn a_rebuilt_index_gives_the_same_answers() {
    let lab = Lab::new(world(300, 24), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let queries = fifty_queries(&lab);
    let before = answers(&vault, &queries);
    let silent = before.values().filter(|found| found.is_empty()).count();
    assert!(silent < 10, "{silent} of 50 queries find nothing, so they compare nothing: {before:#?}");

    std::fs::remove_dir_all(vault.path().join("index")).unwrap();
    assert_eq!(vault.json(&["verify"], 9)["index"]["ok"], false, "a lost index is seen");
    let without = vault.run(&["search", "refund"]).exits(1);
    assert!(without.stderr.contains("chatvault index"), "the cure is named: {}", without.stderr);
    vault.json(&["index", "--rebuild"], 0);
    assert_eq!(answers(&vault, &queries), before);

    // Also where the old index is there, and twice.
    vault.json(&["index", "--rebuild"], 0);
    vault.json(&["index", "--rebuild"], 0);
    assert_eq!(answers(&vault, &queries), before);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

#[test]
fn a_late_file_comes_with_the_next_sync() {
    let world = world(300, 24);
    let late_from = world.end_ms + 10 * HOUR_MS;
    let late = LateFiles { name_contains: "part-00001".into(), appears: Appears::At(late_from) };
    let lab = Lab::new(world, Script { rules: Vec::new(), late: vec![late] });
    let truth = lab.simulator.world().truth();
    let late_files = lab.simulator.world().files().filter(|file| file.part == 1).count() as u64;
    assert!(late_files > 0);
    let (vault, first) = lab.synced();
    assert_eq!(first.exits(0).json()["streams"][STREAM]["downloaded"], truth.files - late_files);
    let before = vault.files();

    lab.simulator.set_now_ms(late_from);
    let second = vault.json(&["sync"], 0);
    assert_eq!(second["streams"][STREAM]["downloaded"], late_files);
    let after = vault.files();
    assert!(before.iter().all(|(path, hash)| after.get(path) == Some(hash)));
    assert_eq!(reader(&vault.path()).document_count(), truth.conversations);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

/// One account in three layouts, on one host and on two: the same conversations every time.
#[test]
fn every_layout_and_host_gives_the_same_conversations() {
    let mut seen: HashMap<String, BTreeSet<String>> = HashMap::new();
    let mut forms = BTreeSet::new();
    for (mix, separate, host) in [
        (FormMix::Mixed, true, "127.0.0.1"),
        (FormMix::NdjsonOnly, false, "127.0.0.1"),
        (FormMix::SingleDocument, true, "localhost"),
    ] {
        let config = SimulatorConfig {
            world: WorldConfig { forms: mix, id_less_per_million: 0, ..world(200, 30) },
            separate_download_host: separate,
            download_host: host.into(),
            ..Lab::config()
        };
        let lab = Lab::with(config);
        assert_eq!(separate, lab.simulator.base_url() != lab.simulator.download_base_url());
        forms.extend(lab.simulator.world().files().map(|file| match file.form {
            FileForm::WrappedLines => "wrapped",
            FileForm::BareLines => "bare",
            FileForm::Document => "document",
            FileForm::PrettyDocument => "pretty",
        }));
        let (vault, run) = lab.synced();
        run.exits(0);
        for query in ["*", "refund", "agent:order", "mcs:<60", "transfers:>=1", "my w/4 order"] {
            let found = ids(&reader(&vault.path()), query);
            let known = seen.entry(query.to_owned()).or_insert_with(|| found.clone());
            assert_eq!(*known, found, "{mix:?}: {query}");
        }
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), ["bare", "document", "pretty", "wrapped"]);
    assert_eq!(seen["*"].len(), 200);
}

#[test]
fn a_plan_changes_nothing() {
    let lab = Lab::new(world(100, 12), Script::default());
    let truth = lab.simulator.world().truth();
    let vault = lab.vault();
    let before = files_of(&vault.path());
    let plan = vault.json(&["plan"], 0);
    assert_eq!(plan["streams"][STREAM]["fetch"].as_array().unwrap().len() as u64, truth.files);
    assert_eq!(lab.simulator.requests().download, 0);
    let after = files_of(&vault.path());
    let changed: Vec<&String> = after.keys().filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.iter().all(|path| path.starts_with("vault.db-")), "{changed:?}");
    assert!(before.keys().all(|path| after.contains_key(path)));

    vault.json(&["sync"], 0);
    let plan = vault.json(&["plan"], 0);
    assert_eq!(plan["streams"][STREAM]["fetch"], Value::Array(Vec::new()));
    assert_eq!(plan["streams"][STREAM]["already"], truth.files);
}

/// The patient client's day: every fault that passes by itself, and nothing is missing at the end.
#[test]
fn faults_that_pass_cost_nothing() {
    let lab = Lab::new(world(300, 24), Script::by_name("flaky").unwrap());
    let truth = lab.simulator.world().truth();
    let (vault, mut run) = lab.synced();
    // A file that stayed damaged is reported, and comes with the next sync.
    for _ in 0..4 {
        if run.code == Some(0) {
            break;
        }
        run.exits(3);
        run = vault.run(&["--json", "sync"]);
    }
    run.exits(0);
    let index = reader(&vault.path());
    assert_eq!(index.document_count(), truth.conversations);
    assert_eq!(index.record_count().unwrap(), truth.conversation_records);
    assert_eq!(vault.files().len() as u64, truth.files);
    assert!(vault.names_in("tmp").is_empty());
    assert!(!vault.names_in("quarantine").is_empty(), "what was damaged is kept");
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

/// LivePerson deletes, the index can be made again: whatever is wrong with the index, everything new is archived.
#[test]
fn the_archive_comes_first_whatever_the_index_does() {
    let lab = Lab::new(world(60, 12), Script::default());
    let (golden, _) = lab.synced();

    // An index that is damaged is made anew without a word from the user.
    let damaged = lab.vault();
    std::fs::create_dir_all(damaged.path().join("index")).unwrap();
    std::fs::write(damaged.path().join("index/CURRENT"), "junk").unwrap();
    damaged.run(&["sync", "--requests-per-second", "1000"]).exits(0);
    assert_eq!(damaged.files(), golden.files());
    assert_eq!(ids(&reader(&damaged.path()), "*"), ids(&reader(&golden.path()), "*"));

    // One that cannot be made at all is an error, behind an archive that is whole.
    let blocked = lab.vault();
    std::fs::remove_dir_all(blocked.path().join("index")).unwrap();
    std::fs::write(blocked.path().join("index"), "no folder").unwrap();
    let run = blocked.run(&["sync", "--requests-per-second", "1000"]).exits(1);
    assert!(run.all().contains("archived, but not indexed"), "{}", run.all());
    assert_eq!(blocked.files(), golden.files());
}

/// A file that is gone stops no other, is named, and does not count as covered.
#[test]
fn a_file_that_is_gone_stops_no_other() {
    let lab = Lab::new(world(60, 12), Script::default());
    let (vault, _) = lab.synced();
    let all = vault.json(&["search", "*", "--count"], 0)["total"]["value"].as_u64().unwrap();
    let gone = vault.files().keys().next().unwrap().clone();
    std::fs::remove_file(vault.path().join("files").join(&gone)).unwrap();
    let rebuilt = vault.json(&["index", "--rebuild"], 3);
    assert_eq!(rebuilt["index"]["problems"]["counts"]["unreadable"], 1);
    let after = vault.json(&["search", "*", "--count"], 0);
    assert!((1..all).contains(&after["total"]["value"].as_u64().unwrap()));
    assert_eq!(after["coverage"]["complete"], false);
    assert!(after["coverage"]["indexed_records"].as_u64() < after["coverage"]["archived_records"].as_u64());
}
