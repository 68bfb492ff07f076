//! Upstream erasure: what LivePerson has masked is recorded once in the audit chain, and `audit masked` says where the archive still
//! holds the text.

use crate::support::{Lab, Vault, temp_folder, world};
use chatvault::archive::{self, Archive, Arrival, RealDisk};
use chatvault::conversation::MASK;
use chatvault::simulator::{Clock, MessagingConfig, Script, SimulatorConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ACCOUNT: &str = "40112233";

/// A file of an hour: one line for each conversation.
fn hour(folder: &Path, number: i64, lines: &[(&str, &str)]) -> PathBuf {
    let start_ms = 1_718_010_000_000 + number * 3_600_000;
    let path = folder.join(format!("Engagement.{start_ms}.{}.part-00000-0.json", start_ms + 3_600_000));
    let records = lines.iter().map(|(id, text)| {
        let conversation = json!({
            "conversationId": id, "conversationStartTime": start_ms, "conversationEndTime": start_ms + 60_000,
            "transcripts": [{ "text": text, "timestamp": start_ms, "by": "Visitor", "type": "1" }],
        });
        let body = json!({ "com.liveperson.dataaccess.EngagementData": { "engagements": [conversation] } });
        json!({
            "dataType": "Engagement", "metaData": { "accountId": ACCOUNT, "schemaVersion": "1.0.0.35" },
            "recordCollection": [{ "body": body }],
        })
        .to_string()
    });
    std::fs::write(&path, records.collect::<Vec<_>>().join("\n")).unwrap();
    path
}

#[track_caller]
fn import(vault: &Vault, path: &Path) -> Value {
    vault.json(&["import", path.to_str().unwrap()], 0)
}

fn events(vault: &Vault) -> Value {
    vault.json(&["audit", "list", "--kind", "masked", "--limit", "all"], 0)
}

#[test]
fn a_masked_conversation_is_listed_with_the_files_that_hold_its_text() {
    let folder = temp_folder();
    let vault = Vault::new(ACCOUNT);
    import(&vault, &hour(folder.path(), 0, &[("c-1", "my name is Ada Quimby"), ("c-2", "hello")]));
    let none = vault.json(&["audit", "masked"], 0);
    assert_eq!((&none["total"], &none["conversations"]), (&json!(0), &json!([])));

    let masked = hour(folder.path(), 5, &[("c-3", "other"), ("c-1", MASK), ("c-4", MASK)]);
    import(&vault, &masked);
    let report = vault.json(&["audit", "masked"], 0);
    assert_eq!((&report["total"], &report["held"], &report["unrecorded"]), (&json!(2), &json!(1), &json!(0)));
    let first = &report["conversations"][0];
    assert_eq!(
        (&first["conversation_id"], &first["masked_since"]),
        (&json!("c-1"), &json!("2024-06-10T14:00:00.000Z"))
    );
    let name = |version: &Value| {
        let record = &version["records"][0];
        let file = record["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (file, record["record"].as_u64().unwrap())
    };
    assert_eq!(first["held"].as_array().unwrap().len(), 1);
    assert_eq!(name(&first["held"][0]), ("Engagement.1718010000000.1718013600000.part-00000-0.json".to_owned(), 0));
    assert_eq!(name(&first["masked"][0]), ("Engagement.1718028000000.1718031600000.part-00000-0.json".to_owned(), 1));
    let second = &report["conversations"][1];
    assert_eq!((&second["conversation_id"], second["held"].as_array().unwrap().len()), (&json!("c-4"), 0));

    // Each has its event, which says where and no more.
    let listed = events(&vault);
    assert_eq!(listed["total"], 2, "{listed}");
    let event = &listed["events"][0];
    assert_eq!(event["seq"], first["masked"][0]["event"]);
    assert_eq!(event["payload"]["sha256"], first["masked"][0]["records"][0]["sha256"]);
    assert!(event["summary"].as_str().unwrap().starts_with("conversation c-1: "), "{event}");
    assert!(!listed.to_string().contains("Quimby"));

    // For people, and only those of which something is left.
    let text = vault.run(&["audit", "masked", "--held"]).exits(0).stdout;
    assert!(text.contains("c-1") && !text.contains("c-4") && text.contains("held "), "{text}");
    assert!(text.contains("1 conversation masked by LivePerson; the archive still holds the text of 1"), "{text}");
    assert!(!text.contains("Quimby"), "{text}");
    let lines = vault.run(&["--ndjson", "audit", "masked"]).exits(0).stdout;
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.lines().all(|line| line.contains(r#""type":"masked""#)), "{lines}");
}

#[test]
fn nothing_is_recorded_twice() {
    let folder = temp_folder();
    let vault = Vault::new(ACCOUNT);
    import(&vault, &hour(folder.path(), 0, &[("c-1", "text")]));
    let masked = hour(folder.path(), 5, &[("c-1", MASK)]);
    assert_eq!(import(&vault, &masked)["index"]["masked"], 1);
    for again in [&["import", masked.to_str().unwrap()][..], &["index"], &["index", "--rebuild"]] {
        vault.run(again).exits(0);
        assert_eq!(events(&vault)["total"], 1, "{again:?}");
    }
    // An index that was lost, as of an archive that comes from elsewhere, changes nothing either.
    std::fs::remove_dir_all(vault.path().join("index")).unwrap();
    vault.run(&["index"]).exits(0);
    assert_eq!(events(&vault)["total"], 1);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

/// The list is of the index; while that is behind it says so.
#[test]
fn what_is_not_known_yet_is_said() {
    let folder = temp_folder();
    let vault = Vault::new(ACCOUNT);
    let missing = vault.run(&["audit", "masked"]).exits(1);
    assert!(missing.stderr.contains("chatvault index"), "{}", missing.stderr);
    import(&vault, &hour(folder.path(), 0, &[("c-1", MASK)]));
    let head = vault.json(&["audit", "head"], 0);
    let late = hour(folder.path(), 1, &[("c-2", MASK)]);
    let archive = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), archive::Clock::System).unwrap();
    archive.import_copy("data-access/engagement", "late.json", &late, Arrival::default()).unwrap();
    drop(archive);
    let run = vault.run(&["audit", "masked"]).exits(0);
    assert!(run.stderr.contains("1 archived file not indexed yet"), "{}", run.stderr);
    assert!(run.stdout.contains("1 conversation masked"), "{}", run.stdout);
    let seq = |head: &Value| head["seq"].as_u64().unwrap();
    assert_eq!(seq(&vault.json(&["audit", "head"], 0)), seq(&head) + 1, "a list writes nothing; the copy did");
    vault.run(&["index"]).exits(0);
    assert_eq!(events(&vault)["total"], 2);
}

#[test]
fn an_account_that_has_erased_everything_is_recorded_by_one_sync() {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let messaging = MessagingConfig {
        conversations: 120,
        days: 29,
        days_ahead: 0,
        erased_permille: 1000,
        ..MessagingConfig::default()
    };
    let lab = Lab::with(SimulatorConfig {
        world: world(20, 4),
        messaging,
        clock: Clock::Fixed(now_ms),
        script: Script::default(),
        ..Lab::config()
    });
    let vault = lab.history_vault("30d");
    let report = vault.json(&["sync"], 0);
    let recorded = report["index"]["masked"].as_u64().unwrap();
    let found = vault.json(&["search", "has:masked", "--count"], 0)["total"]["value"].as_u64().unwrap();
    let listed = vault.json(&["audit", "masked"], 0);
    assert!(recorded > 20 && recorded >= found, "{recorded} events, {found} conversations");
    assert_eq!((listed["total"].as_u64(), listed["unrecorded"].as_u64()), (Some(found), Some(0)));
    assert_eq!(events(&vault)["total"], recorded);
    assert_eq!(vault.json(&["sync"], 0)["index"]["masked"], 0);
}
