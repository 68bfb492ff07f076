//! Operational figures: what LivePerson forgets after a day is in the archive, whatever happened on the way.

use crate::support::{Lab, Run, Vault, world};
use chatvault::archive::{Archive, Clock, RealDisk, Window};
use chatvault::simulator::{Fault, MessagingConfig, Rule, Script, SimulatorConfig, Target};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

const STREAMS: [&str; 3] = ["operational-realtime", "messaging-operations", "agent-metrics"];
/// Calls of a first round: the wait time is asked for when a skill is known, as it is here.
const ALL_CALLS: u64 = 14;
/// Calls of a round in which nothing new is final.
const STATES: u64 = 5;

fn lab(rules: Vec<Rule>) -> Lab {
    let messaging = MessagingConfig { conversations: 400, days: 3, ..MessagingConfig::default() };
    let script = Script { rules, late: vec![] };
    Lab::with(SimulatorConfig { world: world(400, 30), messaging, script, ..Lab::config() })
}

fn calls(lab: &Lab) -> u64 {
    let requests = lab.simulator.requests();
    requests.operations + requests.agent_metrics
}

/// Every archived answer: how often each method was answered.
fn archived(vault: &Vault) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for path in vault.files().into_keys().filter(|path| STREAMS.iter().any(|stream| path.starts_with(stream))) {
        let bytes = std::fs::File::open(vault.path().join("files").join(&path)).unwrap();
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["status"], 200, "{line}");
            *found.entry(line["call"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    found
}

fn is_whole(vault: &Vault) {
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
    assert!(!vault.path().join("open").exists() || vault.names_in("open").is_empty());
}

#[test]
fn a_sync_brings_a_day_and_the_next_one_asks_for_what_is_new() {
    let lab = lab(vec![]);
    let vault = lab.figures_vault("on");
    let plan = vault.run(&["plan"]).exits(0).stdout;
    assert!(plan.contains("messaging-operations: at least 6 calls") && plan.contains("  queuehealth: "), "{plan}");
    assert_eq!(calls(&lab), 0, "a plan asks nothing");

    let report = vault.json(&["sync"], 0);
    for stream in STREAMS {
        let stream = &report["streams"][stream];
        assert_eq!((&stream["failed"], &stream["downloaded"]), (&0.into(), &1.into()), "{report:#}");
        assert!(stream.get("lost").is_none());
    }
    assert_eq!((calls(&lab), archived(&vault).len() as u64), (ALL_CALLS, ALL_CALLS));
    is_whole(&vault);

    // Five minutes may have passed between the two, but never an hour.
    let before = calls(&lab);
    vault.run(&["sync"]).exits(0);
    let more = calls(&lab) - before;
    assert!((STATES..=STATES + 7).contains(&more), "{more}");
    assert_eq!(archived(&vault)["queuestate"], 2);
    assert_eq!(archived(&vault)["sla"], 1);
    let status = vault.json(&["watch", "--status"], 0);
    for stream in status["streams"].as_array().unwrap() {
        assert!(stream["answered_s"].as_i64().is_some_and(|seconds| seconds < 3600), "{status}");
        assert!(stream["failing"].as_array().unwrap().is_empty() && stream["lost"].as_array().unwrap().is_empty());
        assert_eq!(stream["complete_until"].is_null(), stream["stream"] == "agent-metrics", "{status}");
    }
    let gaps = vault.run(&["gaps"]).exits(0);
    assert!(gaps.all().contains("messaging-operations: figures archived up to"), "{}", gaps.all());
    vault.run(&["index", "--rebuild"]).exits(0);
    is_whole(&vault);
}

#[test]
fn faults_on_the_way_cost_calls_and_nothing_else() {
    let rules = vec![
        Rule::every(3, Target::Operations, Fault::CutBody),
        Rule::every(5, Target::Operations, Fault::Status(503)),
        Rule::every(7, Target::Operations, Fault::Status(429)),
        Rule::once(Target::AgentMetrics, Fault::TruncatedJson),
    ];
    let lab = lab(rules);
    let vault = lab.figures_vault("on");
    vault.run(&["sync"]).exits(0);
    assert_eq!(archived(&vault).len() as u64, ALL_CALLS);
    is_whole(&vault);
}

#[test]
fn a_storm_of_429_keeps_what_came_before_it() {
    // The fifth call is the first state; from then on there is nothing but 429.
    let lab = lab(vec![Rule { target: Target::Operations, skip: 4, every: 1, times: 12, fault: Fault::Status(429) }]);
    let vault = lab.figures_vault("on");
    vault.run(&["sync"]).exits(7);
    assert_eq!(
        archived(&vault).into_keys().collect::<Vec<_>>(),
        ["agentactivity", "engactivity", "queuehealth", "sla"]
    );
    vault.run(&["sync"]).exits(0);
    assert_eq!(archived(&vault).len() as u64, ALL_CALLS);
    is_whole(&vault);
}

/// What `init` writes is "auto" for nearly everything: an account without these APIs must not notice.
#[test]
fn an_account_without_these_apis_is_left_alone() {
    for status in [403, 404] {
        let targets = [Target::Operations, Target::AgentMetrics, Target::MessagingSearch, Target::HistorySearch];
        let lab = lab(targets.into_iter().map(|target| Rule::always(target, Fault::Status(status))).collect());
        let vault = lab.vault();
        let fresh = Vault::new(lab.account());
        let path = fresh.path().join("vault.toml");
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(written.matches("= \"auto\"").count(), 7, "{written}");
        let api = lab.simulator.base_url();
        let endpoints = ["msgHist", "engHistDomain", "leDataReporting", "msgEwtAPI"];
        let endpoints = endpoints.map(|name| format!("{name} = \"{api}\"\n")).concat();
        let (_, lead) = lab.settings().split_once("[endpoints]\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        std::fs::write(&path, format!("{written}[endpoints]\n{lead}{endpoints}")).unwrap();
        for round in 1..=2 {
            let run = fresh.run(&["sync"]).exits(0);
            let requests = lab.simulator.requests();
            let asked =
                [requests.operations, requests.agent_metrics, requests.messaging_search, requests.history_search];
            assert_eq!(asked, [2 * round, round, round, round], "{status}: {}", run.all());
            assert!(run.stderr.contains("agent-metrics: not enabled for these keys; skipped"), "{}", run.stderr);
        }
        let here = fresh.run(&["watch", "--status"]).exits(0).stdout;
        assert!(!here.contains("FAILING") && here.contains("never"), "{here}");
        vault.run(&["sync"]).exits(0);
        assert_eq!(vault.files().len(), fresh.files().len(), "the files come all the same");
    }
}

#[test]
fn a_pause_longer_than_a_day_is_told_wherever_one_looks() {
    let lab = lab(vec![]);
    let vault = lab.figures_vault("on");
    // As a run would have left the ledger that ended thirty hours ago.
    let now_ms = Clock::System.now_ms();
    let end_ms = now_ms.div_euclid(300_000) * 300_000 - 30 * 3_600_000;
    let archive = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
    let window = Window { start_ms: end_ms - 3_600_000, end_ms };
    archive.record_followed("operational-realtime/queuehealth", window, &["an answer".to_owned()].into()).unwrap();
    drop(archive);

    // Before anybody asks again: what is forgotten, what will be soon, and what a sync can still have.
    let plan = vault.run(&["plan"]).exits(0);
    assert!(plan.stdout.contains("LOST queuehealth: "), "{}", plan.stdout);
    let gaps = vault.json(&["gaps"], 8);
    let states = |gaps: &Value, state: &str| {
        let windows = gaps["windows"].as_array().unwrap();
        let of_state = windows.iter().filter(|window| window["state"] == state && window.get("accepted").is_none());
        of_state.inspect(|window| assert_eq!(window["stream"], "operational-realtime/queuehealth")).count()
    };
    assert!((6..=8).contains(&states(&gaps, "expired")) && states(&gaps, "missing") >= 24, "{gaps:#}");
    let left = |window: &Value| window["expires_in_s"].as_i64().unwrap();
    assert!(gaps["windows"].as_array().unwrap().iter().any(|window| (1..=3600).contains(&left(window))), "{gaps:#}");

    let run = vault.run(&["sync"]).exits(0);
    assert!(run.stdout.contains("LOST queuehealth: "), "{}", run.stdout);
    assert!(run.stdout.contains("figures are lost") && !run.stdout.contains("complete ("), "{}", run.stdout);
    let status = vault.json(&["watch", "--status"], 0);
    let lost = &status["streams"].as_array().unwrap().iter().find(|one| one["stream"] == STREAMS[0]).unwrap()["lost"];
    assert_eq!(lost.as_array().unwrap().len(), 1, "{status}");
    let time = |name: &str| lost[0][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!((lost[0]["call"].as_str(), time("start")), (Some("queuehealth"), end_ms));
    assert!((time("end") - (now_ms - 24 * 3_600_000)).abs() < 900_000, "{lost}");
    let gaps = vault.json(&["gaps"], 8);
    assert!((6..=8).contains(&states(&gaps, "expired")) && states(&gaps, "missing") == 0, "{gaps:#}");
    assert!(!vault.run(&["gaps"]).exits(8).stdout.contains("no gaps"));
    for command in [&["plan"][..], &["watch", "--status"], &["gaps"]] {
        assert!(vault.run(command).all().contains("LOST queuehealth: "), "{command:?}");
    }
    let hours = format!("{}..{}", lost[0]["start"].as_str().unwrap(), lost[0]["end"].as_str().unwrap());
    let accept = ["gaps", "accept", "operational-realtime/queuehealth", &hours, "--reason", "outage"];
    vault.run(&accept).exits(0);
    let gaps = vault.json(&["gaps"], 0);
    assert_eq!(states(&gaps, "expired"), 0, "{gaps:#}");
    assert!(gaps["windows"].as_array().unwrap().iter().any(|window| window["accepted"]["reason"] == "outage"));
    let again = vault.json(&["sync"], 0);
    assert!(again["streams"][STREAMS[0]].get("lost").is_none(), "told once by sync, kept by the ledger");
    is_whole(&vault);
}

#[test]
fn doctor_tries_each_api_with_one_call() {
    let healthy = lab(vec![]);
    let vault = healthy.figures_vault("on");
    let document = vault.json(&["doctor"], 0);
    let state = |document: &Value, name: &str| {
        let checks = document["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == name).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert!(STREAMS.iter().all(|stream| state(&document, stream) == "ok"), "{document}");
    assert_eq!(calls(&healthy), 3);
    assert!(vault.files().is_empty());

    for (mode, code, expected) in [("on", 6, "bad"), ("auto", 0, "note")] {
        let lab = lab(vec![Rule::always(Target::Operations, Fault::Status(403))]);
        let document = lab.figures_vault(mode).json(&["doctor"], code);
        assert_eq!(state(&document, STREAMS[1]), expected, "{document}");
        assert_eq!(state(&document, STREAMS[2]), "ok", "{document}");
    }
}

/// A running `watch`; killed if the test fails.
struct Watch(Child);

impl Watch {
    fn start(vault: &Vault) -> Watch {
        let metrics = vault.path().join("figures.prom");
        let _ = std::fs::remove_file(&metrics);
        let watch =
            Watch(vault.command(&["watch", "--every", "1s", "--metrics", metrics.to_str().unwrap()]).spawn().unwrap());
        // Only against waiting for ever; written after the first round.
        let deadline = Instant::now() + Duration::from_secs(600);
        while !metrics.exists() {
            assert!(Instant::now() < deadline, "no round ended");
            std::thread::sleep(Duration::from_millis(50));
        }
        watch
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn end(mut self) -> Run {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let (out, err) = (self.0.stdout.take().unwrap(), self.0.stderr.take().unwrap());
        let stderr = std::thread::spawn(move || std::io::read_to_string(err).unwrap());
        let stdout = std::io::read_to_string(out).unwrap();
        Run { code: self.0.wait().unwrap().code(), stdout, stderr: stderr.join().unwrap() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_watch_ends_with_whole_files_and_a_killed_one_is_finished_by_the_next_run() {
    let lab = lab(vec![]);
    let vault = lab.figures_vault("on");
    let watch = Watch::start(&vault);
    assert!(archived(&vault).is_empty() && vault.names_in("open").len() == 3, "a file an hour, not one a round");
    let metrics = std::fs::read_to_string(vault.path().join("figures.prom")).unwrap();
    for stream in STREAMS {
        let answered = format!("chatvault_stream_answered_timestamp_seconds{{stream=\"{stream}\"}} ");
        assert!(metrics.contains(&answered), "{metrics}");
        assert!(metrics.contains(&format!("chatvault_stream_lost_seconds{{stream=\"{stream}\"}} 0")), "{metrics}");
    }
    watch.end().exits(0);
    assert_eq!(archived(&vault).len() as u64, ALL_CALLS);
    is_whole(&vault);

    // A killed watch leaves its segments open. The next run publishes them, even if it is about something else.
    let before = archived(&vault)["queuestate"];
    Watch::start(&vault).kill();
    assert_eq!(vault.names_in("open").len(), 3);
    let settings = vault.path().join("vault.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let files_only = text.replace("= \"on\"", "= \"off\"").replace("engagement\" = \"off\"", "engagement\" = \"on\"");
    std::fs::write(&settings, files_only).unwrap();
    vault.run(&["sync"]).exits(0);
    assert!(archived(&vault)["queuestate"] > before);
    is_whole(&vault);
}

/// A second signal ends a process at once, perhaps between publishing a file and indexing it.
#[test]
fn an_index_that_is_behind_is_caught_up_by_the_next_run_of_any_kind() {
    let lab = lab(vec![]);
    let vault = lab.figures_vault("on");
    vault.run(&["sync"]).exits(0);
    let settings = vault.path().join("vault.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace("engagement\" = \"off\"", "engagement\" = \"on\"")).unwrap();
    let (index, aside) = (vault.path().join("index"), vault.path().join("aside"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    copy(&index, &aside);
    vault.run(&["sync"]).exits(0);
    let wanted = vault.json(&["search", "*", "--limit", "1"], 0)["total"].clone();
    std::fs::remove_dir_all(&index).unwrap();
    std::fs::rename(&aside, &index).unwrap();
    assert_eq!(vault.json(&["verify"], 9)["index"]["ok"], false);

    let import = crate::support::temp_folder();
    std::fs::write(import.path().join("nothing.txt"), "nothing").unwrap();
    let import = import.path().to_str().unwrap().to_owned();
    for way in ["sync", "watch", "import", "index", "repair"] {
        let behind = vault.copy();
        match way {
            "watch" => drop(Watch::start(&behind).end().exits(0)),
            "import" => drop(behind.run(&["import", &import])),
            "repair" => drop(behind.run(&["repair", "--execute", "--offline"])),
            _ => drop(behind.run(&[way]).exits(0)),
        }
        assert_eq!(behind.json(&["search", "*", "--limit", "1"], 0)["total"], wanted, "{way}");
        assert_eq!(behind.json(&["verify"], 0)["ok"], true, "{way}");
    }
}
