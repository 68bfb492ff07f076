//! Salvage: of a cut or corrupt file every whole record before the damage is found; what is lost stays a gap until it comes whole.

use crate::support::{Lab, Vault, ids, reader, temp_folder, world};
use chatvault::simulator::{Fault, FileSpec, FormMix, Rule, Script, Target, World, WorldConfig};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;

const STREAM: &str = "data-access/engagement";
const NAME: &str = "Engagement.1467853200000.1467856800000.part-00000-0.gz";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One record a line. The text does not pack well, so that a cut has records before and behind it.
fn line(number: u64) -> String {
    let noise: Vec<String> =
        (1..40_u64).map(|at| format!("{:x}", (number * 64 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let text = format!("refund {}", noise.join(" "));
    let value = json!({ "dataType": "Engagement", "metaData": { "accountId": "75555851" }, "recordCollection": [ { "body": {
        "engagements": [ { "conversationId": format!("c{number}"), "transcripts": [ { "text": text, "type": "0" } ] } ] } } ] });
    format!("{value}\n")
}

fn lines(numbers: std::ops::Range<u64>) -> Vec<u8> {
    numbers.map(line).collect::<String>().into_bytes()
}

fn salvage_files(vault: &Vault) -> Vec<String> {
    vault.files().into_keys().filter(|path| path.contains(".salvaged-")).collect()
}

#[test]
fn a_cut_import_gives_its_records_up_to_the_cut() {
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    let path = folder.path().join(NAME);
    let path = path.to_str().unwrap();
    let whole = gzip(&lines(0..100));
    fs::write(path, &whole[..whole.len() * 6 / 10]).unwrap();

    let report = vault.json(&["import", path], 3);
    let (import, index) = (&report["import"], &report["index"]);
    assert_eq!((&import["imported"], &import["salvaged"]), (&json!(0), &json!(1)), "{report:#}");
    let salvaged = index["salvaged"]["records"].as_u64().unwrap();
    assert!((50..75).contains(&salvaged), "{salvaged} of 100 records from 60 of 100 bytes");
    assert_eq!(index["problems"]["counts"]["ends-in-damage"], 1, "{index:#}");
    let reason = import["failed"][0]["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("cut at byte {}", whole.len() * 6 / 10)), "{reason}");
    assert!(reason.contains("quarantine/") && reason.contains(".salvaged-"), "{reason}");
    assert!(reason.contains("0 of them proven by a check sum"), "{reason}");
    let kept = vault.names_in("quarantine");
    let quarantined = fs::read(vault.path().join("quarantine").join(&kept[0])).unwrap();
    assert_eq!((kept.len(), quarantined.as_slice()), (1, &whole[..whole.len() * 6 / 10]), "as received");
    let found = ids(&reader(&vault.path()), "refund");
    assert_eq!(found.len() as u64, salvaged);
    assert!(
        (0..salvaged).all(|number| found.contains(&format!("75555851:c{number}"))),
        "the first ones, without a hole"
    );
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
    let shown = vault.json(&["show", "c0"], 0);
    let provenance = &shown["provenance"][0];
    assert_eq!(provenance["salvage"]["quarantined_as"], json!(format!("quarantine/{}", kept[0])), "{provenance:#}");
    assert_eq!(provenance["salvage"]["damage"], "cut");

    // The same again changes nothing; people are told what there is.
    let before = vault.files();
    let run = vault.run(&["import", path]).exits(3);
    assert!(run.stdout.contains("what could be read of it is kept as files/"), "{}", run.stdout);
    assert_eq!(vault.files(), before);

    // A new index finds the same.
    vault.json(&["index", "--rebuild"], 0);
    assert_eq!(ids(&reader(&vault.path()), "refund"), found);

    // A proof of a salvaged record stands.
    let proof = folder.path().join("proof.json");
    let proof = proof.to_str().unwrap();
    vault.run(&["audit", "prove", "c0", "--out", proof]).exits(0);
    vault
        .run(&[
            "audit",
            "check",
            proof,
            "--file",
            vault.path().join(format!("files/{}", salvage_files(&vault)[0])).to_str().unwrap(),
        ])
        .exits(0);

    // The whole file comes: nothing is there twice, and no conversation has a second version.
    fs::write(path, &whole).unwrap();
    let report = vault.json(&["import", path], 0);
    assert_eq!(report["import"]["imported"], 1, "{report:#}");
    let index = reader(&vault.path());
    assert_eq!(index.document_count(), 100);
    assert_eq!(ids(&index, "refund").len(), 100);
    assert_eq!(ids(&index, "has:revision").len(), 0);
    let coverage = vault.json(&["search", "refund"], 0)["coverage"].clone();
    assert_eq!(coverage["complete"], true, "{coverage:#}");
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

#[test]
fn members_with_a_check_sum_are_proven_and_a_corrupt_one_ends_the_reading() {
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    let path = folder.path().join(NAME);
    let (first, mut second) = (gzip(&lines(0..10)), gzip(&lines(10..60)));
    let middle = second.len() / 2;
    second[middle..middle + 40].fill(0xff);
    fs::write(&path, [&first[..], &second, &gzip(&lines(60..70))].concat()).unwrap();
    let run = vault.run(&["import", path.to_str().unwrap()]).exits(3);
    assert!(run.stdout.contains(&format!("{} of them proven by a check sum", lines(0..10).len())), "{}", run.stdout);
    assert!(run.stdout.contains("salvaged from 1 damaged file"), "{}", run.stdout);
    let found = ids(&reader(&vault.path()), "*");
    assert!((20..=36).contains(&found.len()), "{}", found.len());
    assert!((0..found.len()).all(|number| found.contains(&format!("75555851:c{number}"))), "{found:?}");
    assert_eq!(vault.json(&["show", "c0"], 0)["provenance"][0]["salvage"]["damage"], "corrupt");
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

/// An account whose files are all in lines, and one of its files with many records.
fn account() -> (WorldConfig, FileSpec) {
    let config = WorldConfig { forms: FormMix::NdjsonOnly, ..world(200, 6) };
    let layout = World::new(config.clone()).unwrap();
    let file = layout.files().max_by_key(|file| layout.conversation_records_in(file)).unwrap();
    (config, file)
}

#[test]
fn a_sync_salvages_once_and_fetches_again() {
    for fault in [Fault::TruncatedGzip, Fault::CorruptGzip] {
        let (config, file) = account();
        let always = Rule { times: 3, ..Rule::once(Target::Download(file.name()), fault.clone()) };
        let lab = Lab::new(config, Script { rules: vec![always], late: Vec::new() });
        let truth = lab.simulator.world().truth();
        let vault = lab.vault();
        let report = vault.json(&["sync"], 3);
        let stream = &report["streams"][STREAM];
        assert_eq!((&stream["failed"], &stream["salvaged"]), (&json!(1), &json!(1)), "{fault:?}: {report:#}");
        let reason = stream["problems"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(".salvaged-") && reason.contains("quarantine/"), "{reason}");
        assert_eq!(salvage_files(&vault).len(), 1, "{fault:?}: once for all attempts");
        let salvaged = report["index"]["salvaged"]["records"].as_u64().unwrap();
        assert!(salvaged > 0, "{fault:?}: {report:#}");
        assert_eq!(vault.json(&["verify"], 0)["ok"], true, "{fault:?}");
        let gaps = vault.json(&["gaps"], 8);
        let damaged: Vec<&Value> =
            gaps["windows"].as_array().unwrap().iter().filter(|window| window["state"] == "damaged").collect();
        assert_eq!(damaged.len(), 1, "{fault:?}: what was salvaged fills no gap: {gaps:#}");

        // It comes whole: as if nothing had been.
        let report = vault.json(&["sync"], 0);
        assert_eq!(report["streams"][STREAM]["downloaded"], 1, "{fault:?}: {report:#}");
        let index = reader(&vault.path());
        assert_eq!(index.document_count(), truth.conversations, "{fault:?}");
        assert_eq!(vault.json(&["verify"], 0)["ok"], true, "{fault:?}");
        vault.json(&["index", "--rebuild"], 0);
        assert_eq!(reader(&vault.path()).document_count(), truth.conversations, "{fault:?}");
    }
}

/// Inflating goes on behind a wrong byte, and what comes out can be altered text in records that look right.
#[test]
fn what_no_check_sum_speaks_for_is_marked_wherever_it_is_shown() {
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    let path = folder.path().join(NAME);
    let mut second = gzip(&lines(10..60));
    let middle = second.len() / 2;
    second[middle] ^= 0x41;
    fs::write(&path, [&gzip(&lines(0..10))[..], &second].concat()).unwrap();
    let report = vault.json(&["import", path.to_str().unwrap()], 3);
    let reason = report["import"]["failed"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("the damage lies somewhere before byte") && reason.contains("may be altered"), "{reason}");

    let answer = vault.json(&["search", "*", "--limit", "all"], 0);
    let hits = answer["hits"].as_array().unwrap();
    assert!(hits.len() > 15, "{} conversations", hits.len());
    for hit in hits {
        let number = hit["conversation_id"].as_str().unwrap()[1..].parse::<u64>().unwrap_or(u64::MAX);
        let expected = if number < 10 { Value::Null } else { json!(true) };
        assert_eq!(hit["unproven"], expected, "{hit}");
    }
    let coverage = &answer["coverage"];
    assert_eq!((&coverage["complete"], &coverage["damaged_names"]), (&json!(false), &json!(1)), "{coverage:#}");
    assert_eq!(coverage["unproven"], json!(hits.len() - 10), "{coverage:#}");
    assert_eq!(vault.json(&["stats"], 0)["coverage"], *coverage);
    let run = vault.run(&["search", "c15 OR id:c15"]).exits(0);
    assert!(run.stdout.contains("UNPROVEN") && run.stderr.contains("never received whole"), "{}", run.all());
    let shown = vault.json(&["show", "c15"], 0);
    assert_eq!((&shown["unproven"], &shown["provenance"][0]["unproven"]), (&json!(true), &json!(true)), "{shown:#}");
    let run = vault.run(&["show", "c15"]).exits(0);
    assert!(run.stdout.contains("no check sum speaks for this record"), "{}", run.all());
    assert!(run.stdout.contains("[unproven]"), "{}", run.all());
    let shown = vault.json(&["show", "c3"], 0);
    assert!(shown.get("unproven").is_none() && shown["provenance"][0].get("unproven").is_none(), "{shown:#}");
    assert!(!vault.run(&["show", "c3"]).exits(0).stdout.to_uppercase().contains("UNPROVEN"));
}

/// A damaged file that nobody ever listed is lacking all the same, and its bytes in quarantine are looked after.
#[test]
fn known_damage_is_a_gap_and_its_evidence_is_verified() {
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    let path = folder.path().join(NAME);
    let path = path.to_str().unwrap();
    let whole = gzip(&lines(0..20));
    fs::write(path, &whole[..whole.len() / 2]).unwrap();
    vault.json(&["import", path], 3);

    let gaps = vault.json(&["gaps"], 8);
    let windows = gaps["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 1, "{gaps:#}");
    assert_eq!((&windows[0]["state"], &windows[0]["start"]), (&json!("expired"), &json!("2016-07-07T01:00:00.000Z")));
    let verified = vault.json(&["verify"], 0);
    let known = &verified["known_damage"][0];
    assert_eq!((&known["name"], &known["state"]), (&json!(NAME), &json!("damaged")), "{verified:#}");
    let finding = &verified["findings"][0];
    assert_eq!((&finding["kind"], &finding["severity"]), (&json!("known_damage"), &json!("note")), "{verified:#}");
    let run = vault.run(&["verify"]).exits(0);
    assert!(run.stdout.contains("1 name known to be damaged") && !run.stdout.contains("complete"), "{}", run.all());
    assert_eq!(vault.json(&["search", "*"], 0)["coverage"]["complete"], false);

    // The evidence is gone.
    let kept = vault.path().join("quarantine").join(&vault.names_in("quarantine")[0]);
    fs::remove_file(&kept).unwrap();
    let verified = vault.json(&["verify"], 9);
    assert_eq!(verified["findings"][0]["kind"], "evidence", "{verified:#}");
    assert_eq!(verified["findings"][0]["severity"], "critical", "{verified:#}");
    let run = vault.run(&["repair", "--offline"]);
    assert!(run.code != Some(0) && run.stdout.contains("kept once"), "it cannot be mended: {}", run.all());
    // The same damaged file again brings it back; the whole one ends it all.
    vault.json(&["import", path], 3);
    assert_eq!(vault.json(&["verify"], 0)["quarantine"]["lost"], json!([]));
    fs::write(path, &whole).unwrap();
    vault.json(&["import", path], 0);
    let verified = vault.json(&["verify"], 0);
    assert_eq!((&verified["known_damage"], &verified["findings"]), (&json!([]), &json!([])), "{verified:#}");
    vault.json(&["gaps"], 0);
    assert_eq!(vault.json(&["search", "*"], 0)["coverage"]["complete"], true);
}
