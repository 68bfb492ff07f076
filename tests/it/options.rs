//! No option is taken and ignored, no vault is too young to be asked, and nothing of a transcript reaches a terminal.

use crate::support::{Lab, Run, Vault, temp_folder, world};
use chatvault::simulator::Script;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

fn small() -> Vault {
    let (vault, run) = Lab::new(world(60, 6), Script::default()).synced();
    run.exits(0);
    vault
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let (vault, folder) = (small(), temp_folder());
    let list = folder.path().join("terms.txt");
    fs::write(&list, "order\nrefund\n").unwrap();
    let list = list.to_string_lossy().into_owned();
    for (arguments, named) in [
        (&["order", "--digest", "--limit", "3"][..], "--limit"),
        (&["order", "--digest", "--sort", "start"], "--sort"),
        (&["order", "--digest", "-r"], "--reverse"),
        (&["order", "--prove", "--limit", "3"], "--limit"),
        (&["order", "--prove", "--sort", "start"], "--sort"),
        (&["order", "--prove", "-r"], "--reverse"),
        (&["order", "--digest", "--top", "3"], "--facets"),
        (&["order", "--top", "3"], "--facets"),
        (&["--term-report", &list, "--seed", "x"], "--seed"),
        (&["--term-report", &list, "--sample", "5"], "--sample"),
        (&["order", "--limit", "3", "--seed", "x"], "--seed"),
        (&["order", "--digest", "--seed", "x"], "--seed"),
        (&["order", "--limit", "3", "--by", "agent"], "--by"),
        (&["order", "--count", "--format", "csv"], "--format"),
        (&["order", "--facets", "day", "--out", "x.csv"], "--out"),
        (&["order", "--sample", "5", "--format", "csv"], "--format"),
    ] {
        let run = vault.run(&[&["search"], arguments].concat()).exits(2);
        assert!(run.stderr.contains(named) && run.stdout.is_empty(), "{arguments:?}: {}", run.all());
    }
}

#[test]
fn facets_are_printed_beside_a_count_a_digest_and_a_proof() {
    let vault = small();
    let total = vault.json(&["search", "order", "--count"], 0)["total"]["value"].to_string();
    for mode in ["--count", "--digest", "--prove"] {
        let plain = vault.run(&["search", "order", mode]).exits(0).stdout;
        let with = vault.run(&["search", "order", mode, "--facets", "end_reason,agent", "--top", "1"]).exits(0).stdout;
        assert!(!plain.contains("end_reason"), "{plain}");
        assert!(
            with.contains("end_reason") && with.contains("agent (a conversation") && with.contains(" further"),
            "{with}"
        );
        assert!(with.contains(&total), "{with}");
        let document = vault.json(&["search", "order", mode, "--facets", "end_reason"], 0);
        assert!(!document["facets"]["end_reason"].as_array().unwrap().is_empty(), "{document}");
    }
    assert_eq!(vault.run(&["search", "order", "--count"]).exits(0).stdout, format!("{total}\n"));
}

#[test]
fn a_vault_without_files_holds_no_conversations() {
    let (vault, folder) = (Vault::new("40112233"), temp_folder());
    let list = folder.path().join("terms.txt");
    fs::write(&list, "order\n").unwrap();
    let list = list.to_string_lossy().into_owned();
    let note = "the archive holds no files yet";
    for arguments in [
        &["search", "refund"][..],
        &["search", "*", "--count"],
        &["search", "refund", "--facets", "day,agent"],
        &["search", "refund", "--digest"],
        &["search", "refund", "--prove"],
        &["search", "refund", "--sample", "5"],
        &["search", "--term-report", &list],
        &["stats"],
    ] {
        let run = vault.run(arguments).exits(0);
        assert!(run.stderr.contains(note), "{arguments:?}: {}", run.all());
        let document = vault.json(arguments, 0);
        assert_eq!(document["coverage"]["complete"], true, "{arguments:?}: {document}");
    }
    assert_eq!(vault.run(&["search", "*", "--count"]).exits(0).stdout, "0\n");
    let digest = vault.json(&["search", "*", "--digest"], 0)["digest"].clone();
    let of_nothing: String = Sha256::digest("").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&digest["sha256"], &digest["count"]), (&json!(of_nothing), &json!(0)));
    assert_eq!(vault.json(&["stats"], 0)["conversations"], 0);
    assert_eq!(vault.json(&["search", "--term-report", &list], 0)["terms"][0]["conversations"], 0);
    assert!(!vault.path().join("index").exists() || vault.names_in("index").is_empty(), "asking makes no index");

    // Files without an index are another thing: there an answer of nothing would be wrong.
    let vault = small();
    fs::remove_dir_all(vault.path().join("index")).unwrap();
    for arguments in [&["search", "order"][..], &["search", "order", "--digest"], &["stats"]] {
        let run = vault.run(arguments).exits(1);
        assert!(run.stderr.contains("there is no index"), "{}", run.all());
    }
}

#[test]
fn a_list_of_terms_may_come_from_stdin() {
    let (vault, folder) = (small(), temp_folder());
    let (list, file) = ("order\nname\trefund OR thank*\nconsumer:(\n", folder.path().join("terms.txt"));
    fs::write(&file, list).unwrap();
    let mut command = vault.command(&["--json", "search", "--term-report", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let mut typed = Run::of(child.wait_with_output().unwrap()).exits(3).json();
    let mut named = vault.json(&["search", "--term-report", &file.to_string_lossy()], 3);
    assert_eq!(typed["file"], "-");
    // A cure that is no query itself is none.
    assert_eq!(typed["terms"][2]["error"]["suggestion"], Value::Null);
    for document in [&mut typed, &mut named] {
        document["file"] = Value::Null;
    }
    assert_eq!(typed, named);
}

#[test]
fn sizes_are_read_as_other_tools_have_them_and_a_variable_is_named() {
    let vault = Vault::new("40112233");
    for size in ["256M", "1G", "262144K", "256MiB"] {
        vault.run(&["index", "--memory", size]).exits(0);
    }
    let run = vault.run(&["index", "--memory", "64K"]).exits(2);
    assert!(run.stderr.contains("128MiB or more"), "{}", run.stderr);
    let mut command = vault.command(&["index"]);
    let run = Run::of(command.env("CHATVAULT_MEMORY", "1").output().unwrap()).exits(2);
    assert!(run.stderr.contains("CHATVAULT_MEMORY is 1;") && !run.stderr.contains("vault.toml"), "{}", run.stderr);
}

#[test]
fn no_json_obeys_a_transcript() {
    let (vault, folder) = (Vault::new("40112233"), temp_folder());
    let hostile = "wombat \u{9b}31m \u{85} \u{202e}dlog\u{2069} \u{7f} 退款";
    let record = json!({ "dataType": "Engagement", "metaData": { "accountId": "40112233" }, "recordCollection": [ { "body": {
        "engagements": [ { "conversationId": "c1", "conversationStartTime": 1_467_853_200_000_i64, "type": "LIVE_CHAT",
            "agentId": "7\u{202e}", "transcripts": [ { "text": hostile, "type": "0", "by": "Visitor", "timestamp": 1_467_853_200_000_i64 } ] } ] } } ] });
    let path = folder.path().join("one.json");
    fs::write(&path, format!("{record}\n")).unwrap();
    vault.run(&["import", &path.to_string_lossy()]).exits(0);
    let harmful = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    for arguments in [
        &["search", "wombat \"\u{202e}dlog\"", "--facets", "agent"][..],
        &["search", "wombat", "--count", "--facets", "agent"],
        &["search", "wombat", "--digest", "--facets", "agent"],
        &["show", "c1"],
        &["stats"],
    ] {
        for mode in ["--json", "--ndjson"] {
            let run = vault.run(&[&[mode], arguments].concat()).exits(0);
            assert!(!run.stdout.contains(harmful), "{mode} {arguments:?}: {:?}", run.stdout);
            assert!(run.stdout.contains("\\u202e"), "{mode} {arguments:?}: {}", run.stdout);
        }
    }
    assert_eq!(vault.json(&["show", "c1"], 0)["messages"][0]["text"], hostile, "it says the same");
}
