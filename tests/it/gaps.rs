//! `gaps`: what is not here is named, most urgent first; what is here, or not LivePerson's to give, is no gap.

use crate::support::{Lab, Vault, world};
use chatvault::simulator::{Fault, HOUR_MS, Rule, Script, Target};
use serde_json::Value;
use std::collections::BTreeSet;

fn windows(gaps: &Value) -> &Vec<Value> {
    assert_eq!(gaps["schema_version"], 1);
    gaps["windows"].as_array().unwrap()
}

fn states(gaps: &Value) -> BTreeSet<&str> {
    windows(gaps).iter().map(|window| window["state"].as_str().unwrap()).collect()
}

#[test]
fn a_vault_without_a_listing_says_that_nothing_is_known() {
    let lab = Lab::new(world(50, 6), Script::default());
    let vault = lab.vault();
    let run = vault.run(&["gaps"]).exits(0);
    assert!(run.stdout.contains("nothing is known about what LivePerson has"), "{}", run.all());
    assert_eq!(windows(&vault.json(&["gaps"], 0)), &Vec::<Value>::new());

    // Files that were imported tell nothing about what LivePerson has.
    let (synced, run) = lab.synced();
    run.exits(0);
    vault.run(&["import", synced.path().join("files").to_str().unwrap()]).exits(0);
    let run = vault.run(&["gaps", "--all"]).exits(0);
    assert!(run.stdout.contains("no listing yet"), "{}", run.all());
}

#[test]
fn after_a_sync_there_are_no_gaps_and_the_second_seals() {
    let lab = Lab::new(world(300, 48), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let requests = lab.simulator.requests();
    let run = vault.run(&["gaps"]).exits(0);
    assert!(run.stdout.starts_with("no gaps: ") && run.stdout.lines().count() == 1, "{}", run.all());
    assert_eq!(windows(&vault.json(&["gaps"], 0)), &Vec::<Value>::new());
    let all = vault.json(&["gaps", "--all"], 0);
    assert!(!states(&all).contains("sealed") && states(&all).contains("fetched"), "{:?}", states(&all));
    assert_eq!(lab.simulator.requests(), requests, "the ledger is read, nobody is asked");

    vault.json(&["sync"], 0);
    let all = vault.json(&["gaps", "--all"], 0);
    assert!(states(&all).contains("sealed"), "{:?}", states(&all));
    let first = &windows(&all)[0];
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert!(first["start"].as_str().unwrap() < first["end"].as_str().unwrap());
    assert!((27 * 86_400..31 * 86_400).contains(&first["expires_in_s"].as_i64().unwrap()), "{first}");
    let text = vault.run(&["gaps", "--all"]).exits(0).stdout;
    assert!(text.lines().count() < windows(&all).len() / 2, "neighbours are joined:\n{text}");
}

#[test]
fn a_damaged_file_is_a_gap_with_its_time_left_until_the_next_sync() {
    let world = world(300, 24);
    let name = |hours: i64| format!("Engagement.{}.", world.end_ms - hours * HOUR_MS);
    let broken =
        |hours| Rule { target: Target::Download(name(hours)), skip: 0, every: 1, times: 12, fault: Fault::CorruptGzip };
    let lab = Lab::new(world.clone(), Script { rules: vec![broken(5), broken(20)], late: Vec::new() });
    let hit: BTreeSet<i64> = lab.simulator.world().files().map(|file| file.start_ms).collect();
    assert!([5, 20].iter().all(|hours| hit.contains(&(world.end_ms - hours * HOUR_MS))), "choose hours with files");
    let (vault, run) = lab.synced();
    run.exits(3);
    let gaps = vault.json(&["gaps"], 8);
    assert_eq!(states(&gaps), BTreeSet::from(["damaged"]));
    let left: Vec<i64> = windows(&gaps).iter().map(|window| window["expires_in_s"].as_i64().unwrap()).collect();
    assert_eq!(left.len(), 2);
    assert_eq!(left[1] - left[0], 15 * 3600, "the most urgent first");
    let text = vault.run(&["gaps"]).exits(8).stdout;
    assert!(text.contains("damaged") && text.contains("deleted in 29d"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("GAPS in 2 hours: 2 damaged"), "{text}");
    let lines = vault.run(&["--ndjson", "gaps"]).exits(8).stdout;
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.lines().all(|line| line.contains("\"type\":\"window\"")), "{lines}");

    for _ in 0..4 {
        vault.run(&["sync"]);
    }
    vault.json(&["gaps"], 0);
}

#[test]
fn hours_that_no_listing_was_answered_for_are_missing() {
    // One call to find the keys good, and the other call of the two days fails for good.
    let rule = Rule { target: Target::Listing, skip: 1, every: 1, times: 4, fault: Fault::Html200 };
    let lab = Lab::new(world(100, 12), Script { rules: vec![rule], late: Vec::new() });
    let (vault, run) = lab.synced();
    run.exits(3);
    let gaps = vault.json(&["gaps"], 8);
    assert_eq!(states(&gaps), BTreeSet::from(["missing"]));
    assert!(windows(&gaps).len() >= 20, "{}", windows(&gaps).len());
    let text = vault.run(&["gaps"]).exits(8).stdout;
    assert_eq!(text.lines().count(), 2, "one range and the verdict:\n{text}");
    vault.json(&["sync"], 0);
    vault.json(&["gaps"], 0);
}

#[test]
fn settings_that_the_ledger_needs_are_checked() {
    let lab = Lab::new(world(20, 3), Script::default());
    let vault: Vault = lab.vault();
    let path = vault.path().join("vault.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, settings.replace("[sync]\n", "[sync]\nrelist = \"soon\"\n")).unwrap();
    let run = vault.run(&["gaps"]).exits(2);
    assert!(run.stderr.contains("[sync] relist"), "{}", run.stderr);
    std::fs::write(&path, settings.replace("[sync]\n", "[sync]\nrelist = \"6h\"\nseal_after = \"31d\"\n")).unwrap();
    let run = vault.run(&["sync"]).exits(2);
    assert!(run.stderr.contains("seal_after"), "{}", run.stderr);
}
