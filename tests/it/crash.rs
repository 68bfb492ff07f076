//! `kill -9` at any moment of a sync loses nothing and leaves nothing behind.

use crate::support::{Lab, ids, is_long, reader, world};
use chatvault::simulator::{Fault, Rule, Script, Target};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

const QUERIES: [&str; 8] = ["*", "refund", "agent:sorry", "\"my order\"", "mcs:<50", "my w/3 order", "ord*", "-order"];

fn answers(vault: &Path) -> Vec<BTreeSet<String>> {
    let reader = reader(vault);
    QUERIES.iter().map(|query| ids(&reader, query)).collect()
}

#[test]
fn killed_at_any_moment_and_run_again() {
    let slow = Rule::always(Target::Download(String::new()), Fault::Delay(Duration::from_millis(40)));
    let lab = Lab::new(world(150, 18), Script { rules: vec![slow], late: Vec::new() });
    let truth = lab.simulator.world().truth();

    let started = Instant::now();
    let (undisturbed, run) = lab.synced();
    let whole = started.elapsed();
    run.exits(0);
    let (files, found) = (undisturbed.files(), answers(&undisturbed.path()));
    assert_eq!(files.len() as u64, truth.files);

    let rounds: u32 = if is_long() { 100 } else { 10 };
    let mut killed_amid = 0;
    for round in 0..rounds {
        let vault = lab.vault();
        let started = Instant::now();
        let mut child = vault.command(&["--json", "sync"]).spawn().unwrap();
        // Spread over the time that an undisturbed run takes; any moment must do.
        let moment = whole * (2 * round + 1) / (2 * rounds);
        while started.elapsed() < moment && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        let was_killed = child.wait().unwrap().code().is_none();
        killed_amid += u32::from(was_killed);

        // What is there already is whole: nothing half-written stands under files/.
        let left = vault.files();
        assert!(left.iter().all(|(path, hash)| files.get(path) == Some(hash)), "round {round}: {left:#?}");

        let report = vault.json(&["sync"], 0);
        let stream = &report["streams"]["data-access/engagement"];
        assert_eq!(stream["failed"], 0);
        assert_eq!(stream["downloaded"].as_u64().unwrap() + stream["already"].as_u64().unwrap(), truth.files);
        assert_eq!(vault.files(), files, "round {round}: the same files");
        assert_eq!(answers(&vault.path()), found, "round {round}: the same answers");
        assert_eq!(reader(&vault.path()).record_count().unwrap(), truth.conversation_records, "round {round}");
        assert!(vault.names_in("tmp").is_empty(), "round {round}: {:?}", vault.names_in("tmp"));
        assert!(vault.names_in("quarantine").is_empty(), "round {round}: {:?}", vault.names_in("quarantine"));
        assert_eq!(vault.json(&["verify"], 0)["ok"], true, "round {round}");
    }
    assert!(killed_amid * 2 >= rounds, "only {killed_amid} of {rounds} runs were killed before their end");
}

#[test]
fn killed_while_the_index_is_rebuilt() {
    let lab = Lab::new(world(150, 18), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let found = answers(&vault.path());
    let started = Instant::now();
    vault.json(&["index", "--rebuild"], 0);
    let whole = started.elapsed();
    for round in 0..4_u32 {
        let mut child = vault.command(&["index", "--rebuild"]).spawn().unwrap();
        std::thread::sleep(whole * (2 * round + 1) / 8);
        child.kill().unwrap();
        child.wait().unwrap();
        // The old index or the new one, never half of either.
        assert_eq!(answers(&vault.path()), found, "round {round}");
    }
    vault.json(&["index", "--rebuild"], 0);
    assert_eq!(answers(&vault.path()), found);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
    let kept = vault.names_in("index");
    assert!(kept.len() <= 3, "no old index is left over: {kept:?}");
}
