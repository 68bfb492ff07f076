//! The audit chain as others see it: listed, exported, anchored, and proofs that hold without the vault.

use crate::support::{Lab, Run, Vault, files_of, program, world};
use chatvault::archive::{Archive, Clock, RealDisk, chain::canonical_json};
use chatvault::simulator::Script;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

fn sha(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/check_proof.py")
}

/// The script that is printed in the documents, on the same arguments.
fn python(arguments: &[&str]) -> Run {
    Run::of(Command::new("python3").arg(script()).args(arguments).output().unwrap())
}

/// Our program far from any vault.
fn check(arguments: &[&str]) -> Run {
    Run::of(program().current_dir("/").args(["audit", "check"]).args(arguments).output().unwrap())
}

fn ids_of(lab: &Lab) -> Vec<String> {
    lab.simulator.world().conversations().filter_map(|conversation| conversation.id).collect()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A proof in a file outside the vault, and what `prove` said.
#[track_caller]
fn prove(vault: &Vault, id: &str, name: &str, more: &[&str]) -> (PathBuf, Value) {
    let out = vault.path().parent().unwrap().join(name);
    vault.run(&[&["audit", "prove", id, "--out", &text(&out)], more].concat()).exits(0);
    let proof = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    (out, proof)
}

#[test]
fn events_are_listed_filtered_and_exported() {
    let lab = Lab::new(world(100, 12), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let head = vault.json(&["audit", "head"], 0);
    let all = vault.json(&["audit", "--limit", "all"], 0);
    let rows = all["events"].as_array().unwrap();
    assert_eq!(all["total"], head["seq"]);
    assert_eq!(rows.last().unwrap()["hash"], head["hash"], "newest last");
    let fetched = vault.json(&["audit", "list", "--kind", "fetched", "--limit", "3"], 0);
    assert_eq!(fetched["total"], vault.all_files().len());
    assert_eq!(fetched["events"].as_array().unwrap().len(), 3);
    assert!(fetched["events"][0]["summary"].as_str().unwrap().starts_with("files/data-access/"));
    assert_eq!(vault.json(&["audit", "--actor", "nobody"], 0)["total"], 0);
    assert_eq!(vault.json(&["audit", "--until", "2001-01-01"], 0)["total"], 0);
    assert_eq!(vault.json(&["audit", "--since", "1h"], 0)["total"], head["seq"]);
    vault.run(&["audit", "--since", "soon"]).exits(2);
    let people = vault.run(&["audit", "--limit", "2"]).exits(0);
    assert_eq!(people.stdout.lines().count(), 2);
    assert!(people.stderr.contains("left out"), "{}", people.stderr);
    let stream = vault.run(&["--ndjson", "audit", "--limit", "all"]).exits(0);
    assert_eq!(stream.stdout.lines().count(), rows.len());

    // The export is enough to recompute the chain.
    let export = vault.run(&["audit", "export"]).exits(0);
    let mut previous = "0".repeat(64);
    for (at, line) in export.stdout.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| row[name].as_str().unwrap().to_owned();
        assert_eq!(row["seq"], at + 1);
        assert_eq!(field("prev_hash"), previous);
        let preimage = format!(
            "chatvault-event-1\n{}\n{}\n{}\n{}\n{}\n{}\n",
            row["seq"],
            row["time_ms"],
            field("actor"),
            field("kind"),
            field("payload"),
            field("prev_hash")
        );
        previous = sha(preimage.as_bytes());
        assert_eq!(field("hash"), previous);
    }
    assert_eq!(json!(previous), head["hash"]);
}

#[test]
fn control_characters_of_an_event_do_not_reach_the_terminal() {
    let vault = Vault::new("1");
    let archive = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
    let payload = json!({ "path": "\u{1b}[31mred", "reason": "a\u{202e}b", "size_bytes": 1 });
    archive.record_event(chatvault::archive::EventKind::Quarantined, payload).unwrap();
    drop(archive);
    let shown = vault.run(&["audit"]).exits(0).stdout;
    assert!(shown.contains("\\u{1b}[31mred") && !shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
}

/// Two programs that share no code agree on what is a proof.
#[test]
fn proofs_hold_without_the_vault_and_forged_ones_do_not() {
    let lab = Lab::new(world(200, 24), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let ids = ids_of(&lab);
    let (linked_path, linked) = prove(&vault, &ids[3], "linked.json", &[]);
    let anchor = vault.path().parent().unwrap().join("anchor.json");
    vault.run(&["audit", "anchor", "--out", &text(&anchor)]).exits(0);
    let head: Value = serde_json::from_slice(&std::fs::read(&anchor).unwrap()).unwrap();
    let (small_path, small) = prove(&vault, &ids[3], "small.json", &[]);
    assert_eq!(small["head"]["hash"], head["hash"], "a proof ends at the newest anchor");
    let (length, small_length) = [&linked_path, &small_path].map(|path| std::fs::metadata(path).unwrap().len()).into();
    println!("a proof with all links: {length} bytes; through an anchor: {small_length} bytes");
    assert!(small_length < 12_000 && small_length < length, "{small_length} of {length}");

    for (path, proof) in [(&linked_path, &linked), (&small_path, &small)] {
        let file = text(&vault.path().join(proof["records"][0]["file"].as_str().unwrap()));
        let (path, hash) = (text(path), proof["head"]["hash"].as_str().unwrap().to_owned());
        check(&[&path]).exits(0);
        python(&[&path]).exits(0);
        check(&[&path, "--file", &file, "--head", &hash]).exits(0);
        python(&[&path, &hash, &file]).exits(0);
        check(&[&path, "--head", &"0".repeat(64)]).exits(9);
        python(&[&path, &"0".repeat(64)]).exits(1);

        // File bytes changed: the one bit, and the file of another hour.
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let changed = text(&vault.path().parent().unwrap().join("changed.gz"));
        std::fs::write(&changed, &bytes).unwrap();
        check(&[&path, "--file", &changed]).exits(9);
        python(&[&path, &changed]).exits(1);

        for (what, sealed_again, forged) in forgeries(proof) {
            let forged_path = text(&vault.path().parent().unwrap().join("forged.json"));
            std::fs::write(&forged_path, serde_json::to_vec(&forged).unwrap()).unwrap();
            let ours = check(&[&forged_path]).exits(9);
            assert!(ours.stdout.contains("REFUSED"), "{what} {sealed_again}: {}", ours.all());
            let theirs = python(&[&forged_path]);
            assert_ne!(theirs.code, Some(0), "{what} {sealed_again}: {}", theirs.all());
        }
        // A new ordinal under a new seal: the file itself speaks against it.
        let mut forged = proof.clone();
        forged["records"][0]["record"] = json!(proof["records"][0]["record"].as_u64().unwrap() + 1);
        let forged_path = text(&vault.path().parent().unwrap().join("forged.json"));
        std::fs::write(&forged_path, serde_json::to_vec(&sealed(forged)).unwrap()).unwrap();
        check(&[&forged_path, "--file", &file]).exits(9);
    }
    let refused = check(&["--json", &text(&anchor)]);
    assert_eq!(refused.code, Some(10), "an anchor needs the vault: {}", refused.all());
    std::fs::write(&small_path, "{").unwrap();
    assert_eq!(check(&["--json", &text(&small_path)]).exits(9).json()["ok"], false);
}

fn sealed(mut proof: Value) -> Value {
    proof.as_object_mut().unwrap().remove("seal");
    let seal = sha(canonical_json(&proof).as_bytes());
    proof["seal"] = json!(seal);
    proof
}

/// Every change as it is, and again under a new seal where the seal alone would have shown it.
fn forgeries(good: &Value) -> Vec<(&'static str, bool, Value)> {
    let zeros = "0".repeat(64);
    let mut all = Vec::new();
    let mut forge = |what: &'static str, seals: &[bool], change: &dyn Fn(&mut Value)| {
        let mut forged = good.clone();
        change(&mut forged);
        for seal in seals {
            all.push((what, *seal, if *seal { sealed(forged.clone()) } else { forged.clone() }));
        }
    };
    let both = &[false, true];
    forge("ordinal changed", &[false], &|proof| proof["records"][0]["record"] = json!(12345));
    forge("file hash changed", both, &|proof| proof["records"][0]["sha256"] = json!(zeros));
    forge("size changed", both, &|proof| proof["records"][0]["size_bytes"] = json!(1));
    forge("event hash changed", both, &|proof| proof["events"][0]["hash"] = json!(zeros));
    forge("time changed", both, &|proof| proof["events"][0]["time_ms"] = json!(1));
    forge("head changed", both, &|proof| proof["head"]["hash"] = json!(zeros));
    forge("records removed", both, &|proof| proof["records"] = json!([]));
    forge("last link removed", both, &|proof| drop(proof["events"].as_array_mut().unwrap().pop()));
    forge("payload changed", both, &|proof| {
        let payload = proof["events"][0]["payload"].as_str().unwrap().replace("\"version\":1", "\"version\":2");
        proof["events"][0]["payload"] = json!(payload);
    });
    if good["events"][0]["tree"].is_null() {
        forge("link removed", both, &|proof| drop(proof["events"].as_array_mut().unwrap().remove(1)));
    } else {
        forge("path cut", both, &|proof| {
            proof["events"][0]["tree"]["path"].as_array_mut().unwrap().pop();
        });
    }
    all
}

/// Whatever layout a file has, its records are where the proof says.
#[test]
fn every_conversation_can_be_proven() {
    let lab = Lab::new(world(60, 8), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    vault.run(&["audit", "anchor"]).exits(0);
    for (at, id) in ids_of(&lab).iter().enumerate().take(24) {
        let (path, proof) = prove(&vault, id, &format!("p{at}.json"), &[]);
        let mut files: Vec<String> = proof["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| {
                assert!(record["offset"].is_u64(), "{record}");
                text(&vault.path().join(record["file"].as_str().unwrap()))
            })
            .collect();
        files.dedup();
        let path = text(&path);
        let names: Vec<&str> = files.iter().map(String::as_str).collect();
        python(&[&[path.as_str()], &names[..]].concat()).exits(0);
        let ours: Vec<&str> = names.iter().flat_map(|name| ["--file", name]).collect();
        let accepted = check(&[&["--json", path.as_str()], &ours[..]].concat()).exits(0).json();
        assert!(accepted["records"].as_array().unwrap().iter().all(|record| record["bytes_checked"] == true));
    }
}

#[test]
fn nothing_is_proven_that_does_not_hold() {
    let lab = Lab::new(world(40, 6), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let id = &ids_of(&lab)[0];
    vault.run(&["audit", "prove", "nobody"]).exits(1);
    vault.run(&["audit", "prove", id, "--head", "1"]).exits(2);
    let (_, proof) = prove(&vault, id, "good.json", &[]);
    let file = vault.path().join(proof["records"][0]["file"].as_str().unwrap());
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "other").unwrap();
    let refused = vault.run(&["audit", "prove", id]).exits(9);
    assert!(refused.stderr.contains("chatvault verify"), "{}", refused.stderr);
}

#[test]
fn an_anchor_is_held_until_the_chain_is_cut_or_made_anew() {
    let lab = Lab::new(world(40, 6), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let anchor = text(&vault.path().parent().unwrap().join("anchor.json"));
    vault.run(&["audit", "anchor", "--out", &anchor]).exits(0);
    let anchored = vault.json(&["audit", "--kind", "anchored"], 0);
    assert_eq!(anchored["total"], 1);
    vault.json(&["sync"], 0);
    assert_eq!(vault.json(&["audit", "check", &anchor], 0)["ok"], true);

    let forced = vault.copy();
    let database = rusqlite::Connection::open(forced.path().join("vault.db")).unwrap();
    database.pragma_update(None, "foreign_keys", false).unwrap();
    let seq = anchored["events"][0]["seq"].as_u64().unwrap();
    database.execute_batch("DROP TRIGGER events_never_vanish; DROP TRIGGER events_never_change").unwrap();
    database.execute("DELETE FROM events WHERE seq >= ?1", [seq]).unwrap();
    let cut = forced.json(&["audit", "check", &anchor], 9);
    assert!(cut["reason"].as_str().unwrap().contains("cut off"), "{cut}");

    let forced = vault.copy();
    let database = rusqlite::Connection::open(forced.path().join("vault.db")).unwrap();
    database.execute_batch("DROP TRIGGER events_never_change; UPDATE events SET actor = 'x' WHERE seq = 3").unwrap();
    let changed = forced.json(&["audit", "check", &anchor], 9);
    assert_eq!(changed["reason"], "row 3 was changed");

    let other = Vault::new("99");
    other.run(&["audit", "check", &anchor]).exits(9);
}

#[test]
fn a_verification_is_recorded_where_it_can_be() {
    let lab = Lab::new(world(40, 6), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let before = vault.json(&["audit", "head"], 0);
    assert_eq!(vault.json(&["verify"], 0)["recorded"], true);
    let events = vault.json(&["audit", "--kind", "verified"], 0);
    assert_eq!(events["total"], 1);
    let payload = &events["events"][0]["payload"];
    assert_eq!(payload["chain"]["head"], before["hash"]);
    assert_eq!(payload["files"]["checked"], vault.all_files().len());

    let lock = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
    let locked = vault.json(&["verify"], 0);
    assert_eq!((&locked["ok"], &locked["recorded"]), (&json!(true), &json!(false)));
    assert!(locked["not_recorded"].as_str().unwrap().contains("locked"));
    let people = vault.run(&["verify"]).exits(0);
    assert!(people.stderr.contains("not recorded"), "{}", people.stderr);
    let anchor: Value = vault.run(&["audit", "anchor"]).exits(0).json();
    assert_eq!(anchor["recorded"], false, "a head can be written down all the same");
    drop(lock);
    assert_eq!(vault.json(&["audit", "--kind", "verified"], 0)["total"], 1);
}

#[test]
fn findings_say_how_bad_they_are_and_the_cure_works() {
    let lab = Lab::new(world(60, 8), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let backup = vault.copy();
    let names: Vec<String> = files_of(&vault.path()).into_keys().filter(|path| path.starts_with("files/")).collect();
    let (gone, bad) = (vault.path().join(&names[0]), vault.path().join(&names[1]));
    std::fs::remove_file(&gone).unwrap();
    let mut bytes = std::fs::read(&bad).unwrap();
    bytes[20] ^= 1;
    std::fs::remove_file(&bad).unwrap();
    std::fs::write(&bad, bytes).unwrap();

    let report = vault.json(&["verify"], 9);
    let kinds: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["damaged", "missing"]);
    for finding in report["findings"].as_array().unwrap() {
        assert_eq!(finding["severity"], "critical");
        assert!(finding["next"].as_str().unwrap().contains("chatvault import"), "{finding}");
        assert!(!finding["conversations"].as_array().unwrap().is_empty());
    }
    assert_eq!(report["files"]["damaged"][0]["severity"], "critical");
    let people = vault.run(&["verify"]).exits(9).stdout;
    assert!(people.contains("DAMAGED") && people.contains("critical; next: "), "{people}");

    // What it says to type mends it.
    std::fs::rename(&bad, vault.path().parent().unwrap().join("damaged.gz")).unwrap();
    for name in &names[..2] {
        vault.run(&["import", &text(&backup.path().join(name))]).exits(0);
    }
    assert_eq!(vault.json(&["verify"], 0)["findings"], json!([]));
}

#[test]
fn show_says_where_each_record_came_from() {
    let lab = Lab::new(world(40, 6), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let shown = vault.json(&["show", &ids_of(&lab)[0]], 0);
    for record in shown["provenance"].as_array().unwrap() {
        assert!(record["record"].is_u64() && record["size_bytes"].is_u64() && record["clock_offset_ms"].is_i64());
        assert!(record["origin"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{record}");
        assert!(record["program"].as_str().unwrap().starts_with("chatvault "), "{record}");
        assert!(record["http_date"].as_str().unwrap().ends_with("GMT"), "{record}");
        assert!(record["fetched_time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(record["sha256"], sha(&std::fs::read(vault.path().join(record["file"].as_str().unwrap())).unwrap()));
        let text = record.to_string();
        assert!(!["oauth", "TOKEN", "APPKEY"].iter().any(|secret| text.contains(secret)), "{text}");
    }
}
