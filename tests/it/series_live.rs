//! Figures that lie open, belong to another account or are not there at all.

use crate::support::{Vault, temp_folder};
use chatvault::archive::{AnswerSegment, ApiAnswer, Archive, Clock, RealDisk};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

const REALTIME: &str = "operational-realtime";
const AGENTS: &str = "agent-metrics";
const ACCOUNT: &str = "40112233";
const MINUTE: i64 = 60_000;

fn writer(vault: &Vault) -> Archive {
    Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap()
}

/// Appends an answer of queuehealth, whose one interval ended at `at_ms`, or of the agents now.
fn append(
    segment: &mut AnswerSegment,
    stream: &str,
    account: &str,
    at_ms: i64,
    count: u64,
    body_account: Option<&str>,
) {
    let (call, query) = match stream {
        REALTIME => ("queuehealth", "timeframe=5&interval=5&skillIds=all"),
        _ => ("agent-view/summary", ""),
    };
    // What names the account stands behind the figures, as LivePerson writes it.
    let named = body_account.map(|account| format!(", \"accountID\": {account}")).unwrap_or_default();
    let body = match stream {
        REALTIME => format!(
            r#"{{"metricsByIntervals":[{{"timestamp":{at_ms},"metricsData":{{"metricsTotals":{{"enteredQEng":{count}}}}}}}]{named}}}"#
        ),
        _ => format!(r#"{{"summaryResults":{{"numOnlineAgents":{count}}}{named}}}"#),
    };
    let answer = ApiAnswer {
        stream,
        call,
        method: "GET",
        url: &format!("https://lo.example/operations/api/account/{account}/{call}?{query}"),
        request_body: &Value::Null,
        status: 200,
        response: &BTreeMap::new(),
        received_ms: at_ms + 2 * MINUTE + count as i64,
        clock_offset_ms: Some(0),
        body: body.as_bytes(),
    };
    segment.append(&answer).unwrap();
}

/// The last five minutes that were over two minutes ago.
fn step_ms() -> i64 {
    let now_ms = jiff::Timestamp::now().as_millisecond() - 2 * MINUTE;
    now_ms - now_ms % (5 * MINUTE)
}

fn entered(document: &Value) -> Value {
    let call = document["calls"].as_array().unwrap().iter().find(|call| call["call"] == "queuehealth").unwrap();
    let rows = call["tables"][0]["metrics"].as_array().unwrap();
    rows.iter().find(|row| row["metric"] == "enteredQEng").unwrap()["whole"]["value"].clone()
}

#[test]
fn a_time_is_never_left_out_of_an_export_in_silence() {
    let vault = Vault::new(ACCOUNT);
    let folder = temp_folder();
    let out = folder.path().join("bag").to_string_lossy().into_owned();
    for option in ["--from", "--to"] {
        let run = vault.run(&["export", "*", "--format", "bagit", option, "2026-01-01", "--out", &out]).exits(2);
        assert!(run.all().contains(option) && run.all().contains("start:"), "{}", run.all());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn figures_of_another_account_never_enter_the_series() {
    let vault = Vault::new(ACCOUNT);
    let step = step_ms();
    let archive = writer(&vault);
    for stream in [REALTIME, AGENTS] {
        let mut segment = archive.answers(stream).unwrap();
        append(&mut segment, stream, ACCOUNT, step, 7, None);
        append(&mut segment, stream, ACCOUNT, step, 7, Some("40112233"));
        // Later, so each would win.
        append(&mut segment, stream, "99999999", step, 900, None);
        append(&mut segment, stream, ACCOUNT, step, 901, Some("\"88888888\""));
        append(&mut segment, stream, ACCOUNT, step, 902, Some("77777777"));
        segment.seal().unwrap().unwrap();
    }
    drop(archive);
    let shown = vault.json(&["stats", "--stream", REALTIME, "--by", "5m"], 0);
    assert_eq!(entered(&shown), json!(7.0), "{shown:#}");
    assert_eq!((&shown["answers"], &shown["other_account"]), (&json!(2), &json!(3)), "{shown:#}");
    assert_eq!(shown["other_accounts"], json!(["77777777", "88888888", "99999999"]));
    let run = vault.run(&["stats", "--stream", REALTIME]).exits(0);
    assert!(run.stderr.contains("3 answers of another account") && run.stderr.contains("99999999"), "{}", run.stderr);
    let folder = temp_folder();
    for stream in [REALTIME, AGENTS] {
        let out = folder.path().join(stream).to_string_lossy().into_owned();
        let run = vault.run(&["--json", "export", "--stream", stream, "--format", "csv", "--out", &out]).exits(0);
        assert_eq!(run.json()["other_account"], 3, "{}", run.all());
        let text = std::fs::read_to_string(&out).unwrap();
        assert!(text.contains(",7.0,") || text.contains(",7,"), "{text}");
        assert!(["900", "901", "902"].iter().all(|value| !text.contains(&format!(",{value}"))), "{text}");
    }
}

#[test]
fn what_a_running_watch_has_not_sealed_is_there_already() {
    let vault = Vault::new(ACCOUNT);
    let step = step_ms();
    let folder = temp_folder();
    let out = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let nothing = |name: &str| {
        let run = vault.run(&["export", "--stream", REALTIME, "--format", "csv", "--out", &out(name)]).exits(1);
        assert!(!folder.path().join(name).exists());
        run.all()
    };
    let said = nothing("none.csv");
    assert!(said.contains("no answers of operational-realtime") && said.contains("chatvault sync"), "{said}");
    assert!(said.contains("is switched on"), "{said}");

    // As watch does it: the archive stays locked, and the segment open.
    let archive = writer(&vault);
    let mut segment = archive.answers(REALTIME).unwrap();
    append(&mut segment, REALTIME, ACCOUNT, step - 5 * MINUTE, 3, None);
    append(&mut segment, REALTIME, ACCOUNT, step, 4, None);
    let [name] = &vault.names_in("open")[..] else { panic!("one segment") };
    let path = vault.path().join("open").join(name);
    let cut = br#"{"type":"api-answer","format":1,"stream":"operational-realtime","call":"queuehe"#;
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(cut).unwrap();
    let before = std::fs::read(&path).unwrap();

    let shown = vault.json(&["stats", "--stream", REALTIME, "--by", "5m"], 0);
    assert_eq!((entered(&shown), &shown["files"], &shown["open_segments"]), (json!(7.0), &json!(0), &json!(1)));
    let last = &shown["coverage"]["last"];
    assert_eq!((&last["open"], last.get("sha256")), (&json!(true), None), "{shown:#}");
    assert_eq!(last["file"], json!(format!("open/{name}")));
    let run = vault.run(&["stats", "--stream", REALTIME]).exits(0);
    assert!(!run.all().contains("holds no answers"), "{}", run.all());
    vault.run(&["export", "--stream", REALTIME, "--format", "csv", "--out", &out("open.csv")]).exits(0);
    let status = vault.json(&["watch", "--status"], 0);
    let fresh = status["streams"].as_array().unwrap().iter().find(|one| one["stream"] == REALTIME).unwrap().clone();
    assert!(fresh["new_data_s"].as_i64().is_some_and(|seconds| seconds < 600), "{status:#}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "reading changes nothing");

    // Sealed, it says the same.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len((before.len() - cut.len()) as u64).unwrap();
    segment.seal().unwrap().unwrap();
    drop((segment, archive));
    let sealed = vault.json(&["stats", "--stream", REALTIME, "--by", "5m"], 0);
    assert_eq!((&sealed["calls"][0]["tables"], &sealed["open_segments"]), (&shown["calls"][0]["tables"], &json!(0)));
    let last = &sealed["coverage"]["last"];
    assert!(last["open"] == false && last["sha256"].as_str().unwrap().len() == 64, "{sealed:#}");
    vault.run(&["export", "--stream", REALTIME, "--format", "csv", "--out", &out("sealed.csv")]).exits(0);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("open.csv"), read("sealed.csv"));

    // A time in which there is nothing.
    let early = ["export", "--stream", REALTIME, "--to", "2020-01-01", "--format", "csv", "--out", &out("early.csv")];
    let run = vault.run(&early).exits(1);
    assert!(run.all().contains("chatvault stats --stream"), "{}", run.all());
    assert!(!folder.path().join("early.csv").exists());
}

#[test]
fn what_is_not_there_is_said_and_csv_goes_to_stdout() {
    let vault = Vault::new(ACCOUNT);
    let archive = writer(&vault);
    for stream in [REALTIME, AGENTS] {
        let mut segment = archive.answers(stream).unwrap();
        append(&mut segment, stream, ACCOUNT, step_ms(), 7, None);
        segment.seal().unwrap().unwrap();
    }
    drop(archive);
    let run = vault.run(&["stats", "--stream", REALTIME, "--call", "nosuch"]).exits(2);
    assert!(run.all().contains("nosuch") && run.all().contains("queuehealth"), "{}", run.all());
    let nothing = ["stats", "--stream", REALTIME, "--to", "2020-01-01", "--metric", "enteredQEng"];
    let run = vault.run(&nothing).exits(2);
    assert!(run.all().contains("no figure at all") && !run.all().contains("known: \n"), "{}", run.all());
    // What is so now is no interval that could still be open.
    let now = vault.json(&["stats", "--stream", AGENTS, "--by", "hour"], 0);
    let call = &now["calls"][0];
    assert!(call["snapshots"] == 1 && call["open"] == 0, "{call:#}");
    assert_eq!(call["tables"][0]["buckets"][0]["open"], false);

    let folder = temp_folder();
    let out = folder.path().join("a.csv").to_string_lossy().into_owned();
    vault.run(&["export", "--stream", REALTIME, "--format", "csv", "--out", &out]).exits(0);
    let run = vault.run(&["export", "--stream", REALTIME, "--format", "csv", "--out", "-"]).exits(0);
    assert_eq!(run.stdout, std::fs::read_to_string(&out).unwrap());
    for wrong in [
        &["export", "--stream", REALTIME, "--format", "parquet", "--out", "-"][..],
        &["--json", "export", "--stream", REALTIME, "--format", "csv", "--out", "-"],
        &["export", "*", "--format", "bagit", "--out", "-"],
    ] {
        assert!(vault.run(wrong).exits(2).all().contains("stdout"));
    }
}
