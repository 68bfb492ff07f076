//! The schemas of Data Access: every version that records name, and the latest, lies in the archive as LivePerson sent it.

use crate::support::{Lab, Run, Vault, temp_folder, world};
use chatvault::simulator::{Fault, FileForm, Rule, Script, Target};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const STREAM: &str = "data-access/schema";

fn folder(vault: &Vault) -> PathBuf {
    vault.path().join("files").join(STREAM).join("undated")
}

fn names(vault: &Vault) -> Vec<String> {
    if folder(vault).exists() { vault.names_in(&format!("files/{STREAM}/undated")) } else { Vec::new() }
}

/// The versions that the account's files name.
fn versions(lab: &Lab) -> BTreeSet<&'static str> {
    let forms = lab.simulator.world().files().map(|file| file.form);
    forms.map(|form| if form == FileForm::WrappedLines { "1.0.0.35" } else { "1.0.0.22" }).collect()
}

/// A file of records that name these versions.
fn records(folder: &Path, versions: &[&str]) -> PathBuf {
    let path = folder.join("Engagement.1718010000000.1718013600000.part-00000-0.json");
    let line = |version: &&str| {
        let body =
            json!({ "com.liveperson.dataaccess.EngagementData": { "engagements": [{ "conversationId": version }] } });
        let meta = json!({ "accountId": "40112233", "schemaVersion": version });
        json!({ "dataType": "Engagement", "metaData": meta, "recordCollection": [{ "body": body }] }).to_string()
    };
    fs::write(&path, versions.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    path
}

fn asked(lab: &Lab) -> u64 {
    lab.simulator.requests().resource
}

#[test]
fn every_version_that_was_met_is_here_once_asked() {
    let lab = Lab::new(world(60, 30), Script::default());
    let (vault, run) = lab.synced();
    let report = run.exits(0).json();
    let met = versions(&lab);
    assert_eq!(met.len(), 2, "the account speaks in two versions");
    assert_eq!(names(&vault), ["1.0.0.22.json", "1.0.0.35.json", "latest.json"]);
    let stream = &report["streams"][STREAM];
    assert_eq!((&stream["listed"], &stream["downloaded"], &stream["failed"]), (&json!(3), &json!(3), &json!(0)));
    for name in names(&vault) {
        let schema: Value = serde_json::from_slice(&fs::read(folder(&vault).join(&name)).unwrap()).unwrap();
        let version = name.strip_suffix(".json").unwrap();
        assert_eq!(schema["doc"], format!("Simulated schema, version {version}"), "as LivePerson sent it");
    }
    // Published like any file: with provenance and no key, counted, indexed, verified.
    let fetched = vault.json(&["audit", "list", "--kind", "fetched", "--limit", "all"], 0);
    let event = fetched["events"].as_array().unwrap().iter().find(|event| event["payload"]["name"] == "latest.json");
    let provenance = event.unwrap()["payload"]["provenance"].to_string();
    assert!(provenance.contains("schemaId=latest") && !provenance.contains("oauth"), "{provenance}");
    let verified = vault.json(&["verify"], 0);
    assert_eq!(verified["files"]["checked"], vault.all_files().len());
    assert_eq!(report["index"]["problems"]["counts"], json!({}), "{report}");
    let gaps = vault.run(&["--json", "gaps", "--all"]).json().to_string();
    assert!(!gaps.contains(STREAM), "{gaps}");

    let before = (asked(&lab), vault.all_files());
    assert_eq!(vault.json(&["sync"], 0)["streams"].get(STREAM), None);
    assert_eq!((asked(&lab), vault.all_files()), before, "each is asked for once");
    vault.run(&["index", "--rebuild"]).exits(0);
    vault.json(&["sync"], 0);
    assert_eq!((asked(&lab), vault.all_files()), before);

    // A lost one is asked for again, and goes back to its place.
    fs::remove_file(folder(&vault).join("1.0.0.35.json")).unwrap();
    vault.run(&["verify"]).exits(9);
    assert_eq!(vault.json(&["sync"], 0)["streams"][STREAM]["restored"], 1);
    vault.run(&["verify"]).exits(0);
    assert_eq!(vault.all_files(), before.1);
}

#[test]
fn what_liveperson_does_not_give_is_remembered_and_no_failure() {
    let lab = Lab::new(world(20, 4), Script::default());
    let vault = lab.vault();
    let inbox = temp_folder();
    let hostile = ["1.0.0.4", "9.9", "../../etc/passwd", "latest", "1/2", "", "1?x=y", &"1".repeat(500)];
    vault.run(&["import", records(inbox.path(), &hostile).to_str().unwrap()]).exits(0);
    let report = vault.json(&["sync"], 0);
    let stream = &report["streams"][STREAM];
    assert_eq!((&stream["failed"], &stream["problems"]), (&json!(0), &json!([])), "{report}");
    assert_eq!(stream["listed"], 2 + versions(&lab).len() + 1, "what cannot be a version is not asked for");
    assert!(names(&vault).iter().all(|name| !name.starts_with("1.0.0.4.") && !name.starts_with("9.9")));
    let listed = vault.json(&["audit", "list", "--kind", "listed", "--limit", "all"], 0);
    let refused = |event: &&Value| event["payload"]["stream"] == "data-access/schema/1-0-0-4";
    let event = listed["events"].as_array().unwrap().iter().find(refused).unwrap();
    assert!(event["payload"]["reason"].as_str().unwrap().contains("404"), "{event}");
    let before = asked(&lab);
    vault.json(&["sync"], 0);
    assert_eq!(asked(&lab), before, "not before tomorrow");
}

#[test]
fn a_server_that_fails_is_asked_again_by_the_next_sync() {
    for (fault, code) in [(Fault::Status(503), 3), (Fault::Html200, 3), (Fault::Status(403), 0), (Fault::CutBody, 3)] {
        let lab =
            Lab::new(world(20, 4), Script { rules: vec![Rule::always(Target::Resource, fault.clone())], late: vec![] });
        let (vault, run) = lab.synced();
        run.exits(code);
        assert_eq!(names(&vault), Vec::<String>::new(), "{fault:?}");
        assert_eq!(vault.names_in("tmp"), Vec::<String>::new());
        vault.run(&["verify"]).exits(0);
        let before = asked(&lab);
        vault.run(&["sync"]);
        let is_no_answer = matches!(fault, Fault::Status(503) | Fault::CutBody);
        assert_eq!(asked(&lab) > before, is_no_answer, "{fault:?}");
    }
}

#[test]
fn a_schema_file_can_be_imported() {
    let lab = Lab::new(world(20, 4), Script::default());
    let (given, run) = lab.synced();
    run.exits(0);
    let inbox = temp_folder();
    let schema: Value = serde_json::from_slice(&fs::read(folder(&given).join("latest.json")).unwrap()).unwrap();
    let path = inbox.path().join("engagement.avsc");
    // Pretty-printed, as people keep them.
    fs::write(&path, serde_json::to_string_pretty(&schema).unwrap()).unwrap();
    let vault = Vault::new("40112233");
    let Run { stdout, .. } = vault.run(&["--json", "import", path.to_str().unwrap()]).exits(0);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["import"]["imported"], 1, "{report}");
    assert_eq!(names(&vault), ["engagement.avsc"]);
    assert_eq!(report["index"]["problems"]["counts"], json!({}), "{report}");
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
    assert_eq!(vault.json(&["search", "*", "--count"], 0)["total"]["value"], 0);
}
