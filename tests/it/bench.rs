//! `bench`: figures that can be read, saved and compared; nothing of the user's is changed, nothing is left behind.
//!
//! No test here measures time: a figure is looked at for being there, never for its size.

use crate::support::{Run, files_of, program, temp_folder};
use chatvault::simulator::{BodyOptions, WorldConfig, write_corpus};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const STAGES: [&str; 13] = [
    "read",
    "inflate",
    "parse",
    "decode",
    "tokenise",
    "document",
    "index",
    "index-default",
    "import",
    "commit",
    "rebuild",
    "verify",
    "sync",
];

fn bench(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments).arg("--dir").arg(dir);
    command
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

fn stage<'r>(report: &'r Value, name: &str) -> &'r Value {
    report["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap()
}

#[test]
fn a_generated_corpus_is_measured_saved_and_compared() {
    let (dir, kept) = (temp_folder(), temp_folder());
    let saved = kept.path().join("figures.json");
    let save = saved.to_string_lossy().into_owned();
    let arguments = ["--json", "bench", "--size", "1MB", "--seed", "7", "--rounds", "1", "--save", &save];
    let run = Run::of(bench(dir.path(), &arguments).output().unwrap()).exits(0);
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    let document = run.json();
    let report = &document["bench"];
    assert_eq!(document["schema_version"], 1);
    assert_eq!(report["corpus"]["seed"], 7);
    assert_eq!(report["corpus"]["left_out"], json!([]));
    assert_eq!(report["corpus"]["languages"].as_object().unwrap().len(), 12);
    let json_bytes = report["corpus"]["json_bytes"].as_f64().unwrap();
    assert!((0.6e6..1.6e6).contains(&json_bytes), "about what was asked for: {json_bytes}");

    let names: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, STAGES);
    for name in STAGES {
        let stage = stage(report, name);
        assert_eq!(stage["not_measured"], Value::Null, "{name}");
        for figure in ["mb_per_s", "conversations_per_s", "wall_s", "floor_share"] {
            let spread = &stage[figure];
            let median = spread["median"].as_f64().unwrap();
            assert!(median > 0.0, "{name}: {figure}");
            assert!(spread["min"].as_f64().unwrap() <= median && median <= spread["max"].as_f64().unwrap());
        }
        // Too little CPU to measure is null; a zero would be a lie.
        assert_ne!(stage["cpu_s_per_gb"]["median"].as_f64(), Some(0.0), "{name}");
    }
    #[cfg(target_os = "linux")]
    assert!(report["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    assert!(report["floor"]["mb_per_s"]["median"].as_f64().unwrap() > 0.0);
    for ratio in ["import_to_floor", "import_to_raw_default_tokenizer", "sync_to_import", "rebuild_to_import"] {
        assert!(report["ratios"][ratio]["median"].as_f64().unwrap() > 0.0, "{ratio}");
    }
    assert_eq!(report["disk"]["archive_bytes"], report["corpus"]["raw_bytes"]);
    assert!(report["disk"]["index_by_kind"]["store"].as_u64().unwrap() > 0);
    let queries = report["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 13);
    assert!(queries.iter().any(|query| query["kind"] == "turns" && query["hits"].as_u64().unwrap() > 0));
    assert!(queries.iter().all(|query| query["p50_ms"]["median"].as_f64() <= query["p99_ms"]["median"].as_f64()));
    assert!(is_empty(dir.path()), "nothing is left");
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&saved).unwrap()).unwrap(), document);

    // A figure that nobody can reach, in a file that is otherwise this one.
    let mut doctored = document.clone();
    let fast = json!({ "median": 9e9, "min": 8e9, "max": 1e10 });
    let import = doctored["bench"]["stages"].as_array_mut().unwrap().iter_mut().find(|s| s["stage"] == "import");
    import.unwrap()["mb_per_s"] = fast;
    doctored["bench"]["rounds"] = json!(3);
    let other = kept.path().join("doctored.json");
    fs::write(&other, doctored.to_string()).unwrap();
    let other = other.to_string_lossy().into_owned();
    let arguments = ["bench", "--size", "1MB", "--seed", "7", "--rounds", "1", "--compare", &other];
    let compared = Run::of(bench(dir.path(), &[&["--json"], &arguments[..]].concat()).output().unwrap()).exits(0);
    let figures = compared.json()["compare"]["figures"].clone();
    let import = figures.as_array().unwrap().iter().find(|figure| figure["figure"] == "import, end to end").unwrap();
    assert_eq!(import["verdict"], "not-comparable", "one round says nothing");
    assert!(import["ratio"].as_f64().unwrap() < 0.001);
    assert!(!compared.json()["compare"]["doubts"].to_string().contains("other files"), "equal seeds give equal bytes");
    // Nothing is measured for a verdict that there cannot be.
    let refused = [&arguments[..], &["--fail-below", "0.001"]].concat();
    let refused = Run::of(bench(dir.path(), &refused).output().unwrap()).exits(2);
    assert!(refused.stderr.contains("not comparable: 1 of 3 rounds"), "{}", refused.all());
    let failed =
        ["bench", "--size", "1MB", "--seed", "7", "--rounds", "3", "--compare", &other, "--fail-below", "0.001"];
    let failed = Run::of(bench(dir.path(), &failed).output().unwrap()).exits(1);
    assert!(failed.stdout.contains("WORSE") && failed.stderr.contains("import, end to end"), "{}", failed.all());
    let elsewhere =
        ["bench", "--size", "1MB", "--seed", "8", "--rounds", "3", "--compare", &other, "--fail-below", "0.9"];
    let elsewhere = Run::of(bench(dir.path(), &elsewhere).output().unwrap()).exits(2);
    assert!(elsewhere.stdout.contains("not comparable") && !elsewhere.stdout.contains("WORSE"), "{}", elsewhere.stdout);
    assert!(elsewhere.stderr.contains("nothing is said about --fail-below 0.9"), "{}", elsewhere.stderr);
    assert!(is_empty(dir.path()));
}

#[test]
fn files_of_the_user_are_only_read_and_what_cannot_be_measured_is_named() {
    let (dir, home) = (temp_folder(), temp_folder());
    let world = WorldConfig { conversations: 80, hours: 6, ..WorldConfig::default() };
    let written = write_corpus(&home.path().join("hours"), &world, BodyOptions::default()).unwrap();
    let whole = fs::read_dir(home.path().join("hours")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(whole).unwrap();
    fs::write(home.path().join("cut.gz"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(home.path().join("notes.txt"), "nothing of LivePerson's").unwrap();
    fs::write(home.path().join("empty.json"), "").unwrap();
    let before = files_of(home.path());
    let modified = |folder: &Path| fs::metadata(folder).unwrap().modified().unwrap();
    let (touched, path) = (modified(home.path()), home.path().to_string_lossy().into_owned());

    let run = Run::of(bench(dir.path(), &["--json", "bench", &path, "--rounds", "1"]).output().unwrap()).exits(0);
    let report = run.json()["bench"].clone();
    assert_eq!(files_of(home.path()), before);
    assert_eq!(modified(home.path()), touched, "no file was made beside them");
    assert_eq!(report["corpus"]["files"], written.files);
    assert_eq!(report["corpus"]["conversations"], written.conversation_records);
    assert_eq!(report["corpus"]["json_bytes"], written.json_bytes);
    let left_out = report["corpus"]["left_out"].to_string();
    assert_eq!(report["corpus"]["left_out_count"], 3, "{left_out}");
    assert!(["cut.gz", "notes.txt", "empty.json"].iter().all(|name| left_out.contains(name)), "{left_out}");
    assert!(stage(&report, "sync")["not_measured"].as_str().unwrap().contains("account"));
    assert_eq!(stage(&report, "sync")["mb_per_s"], Value::Null);
    assert!(
        report["queries"].as_array().unwrap().iter().all(|query| query["query"] == Value::Null),
        "their words stay"
    );
    assert!(report["command"].as_str().unwrap().contains(&path));
    assert!(is_empty(dir.path()));
}

#[test]
fn it_fits_the_terminal() {
    let dir = temp_folder();
    for columns in [60, 100] {
        let mut command = bench(dir.path(), &["bench", "--size", "1MB", "--rounds", "1"]);
        // A vault of the user's is nobody's business here, in the processes of the stages neither.
        command.env("COLUMNS", columns.to_string()).env("CHATVAULT_VAULT", "/nowhere");
        let run = Run::of(command.output().unwrap()).exits(0);
        assert!(!run.stdout.contains('\u{1b}'), "a pipe gets no colour");
        let table =
            run.stdout.lines().skip_while(|line| !line.starts_with("stage ")).take_while(|line| !line.is_empty());
        let table: Vec<&str> = table.collect();
        assert_eq!(table.len(), 15, "{}", run.stdout);
        assert!(table[..14].iter().all(|line| line.chars().count() <= columns), "{}", run.stdout);
        for said in ["floor ", "import ÷ floor", "repeat: chatvault bench --size 1MB --seed 1", "without optimisation"]
        {
            let is_expected = said != "without optimisation" || cfg!(debug_assertions);
            assert_eq!(run.stdout.contains(said), is_expected, "{said}: {}", run.stdout);
        }
    }
}

#[test]
fn a_growing_corpus_gives_a_row_for_each_size() {
    let dir = temp_folder();
    let run = Run::of(bench(dir.path(), &["--json", "bench", "--growth", "40,80"]).output().unwrap()).exits(0);
    let rows = run.json()["growth"].clone();
    let conversations: Vec<u64> =
        rows.as_array().unwrap().iter().map(|row| row["corpus"]["conversations"].as_u64().unwrap()).collect();
    assert!(conversations[0] >= 40 && conversations[1] >= 80 && conversations.len() == 2, "{conversations:?}");
    assert!(rows[1]["import"]["mb_per_s"]["median"].as_f64().unwrap() > 0.0);
    assert!(rows[1]["index_to_json"].as_f64().unwrap() > 0.0);
    assert_eq!(rows[1]["queries"].as_array().unwrap().len(), 13);
    assert!(is_empty(dir.path()));
}

#[test]
fn wrong_usage_shows_before_the_long_run() {
    let (dir, kept) = (temp_folder(), temp_folder());
    let report = kept.path().join("other.json");
    fs::write(&report, "{\"schema_version\":1,\"bench\":{\"stages\":[{\"mb_per_s\":\"fast\"}]}}").unwrap();
    let report = report.to_string_lossy().into_owned();
    let nowhere = kept.path().join("no/such/folder/x.json").to_string_lossy().into_owned();
    for arguments in [
        &["bench", "--size", "many"][..],
        &["bench", "--size", "999999"],
        &["bench", "--size", "1MB", "--rounds", "0"],
        &["bench", "--growth", "10q"],
        &["bench", "--size", "1MB", "/etc/hostname"],
        &["bench", "/no/such/path"],
        &["bench", "--fail-below", "0.9"],
        &["bench", "--compare", &report, "--fail-below", "-1"],
        &["bench", "--compare", &report],
        &["bench", "--compare", "/no/such/file"],
        &["bench", "--save", &nowhere],
        &["bench", "/etc/hostname"],
    ] {
        let refused = Run::of(bench(dir.path(), arguments).output().unwrap()).exits(2);
        assert!(refused.stderr.contains("error:"), "{arguments:?}: {}", refused.stderr);
        assert!(is_empty(dir.path()), "{arguments:?}");
    }
    let other = kept.path().join("tickets.json");
    fs::write(&other, r#"{"tickets":[{"id":1,"text":"no conversation"},{"id":2}]}"#).unwrap();
    let run = Run::of(bench(dir.path(), &["bench", &other.to_string_lossy()]).output().unwrap()).exits(2);
    assert!(run.stderr.contains("no LivePerson records"), "{}", run.stderr);
    let large = Run::of(bench(dir.path(), &["bench", "--size", "900000TB"]).output().unwrap()).exits(1);
    assert!(large.stderr.contains("are free") && large.stderr.contains("--dir"), "{}", large.stderr);
    assert!(is_empty(dir.path()));
}

/// Ctrl-C goes to the whole foreground group on a terminal, and `kill` to one process: this is the harder one.
#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing() {
    // While the corpus is made, and while a stage runs in a vault.
    for (signal, moment) in [("-INT", "corpus"), ("-TERM", "work/import/vault")] {
        let dir = temp_folder();
        let child = bench(dir.path(), &["bench", "--size", "3MB"]).spawn().unwrap();
        let started = Instant::now();
        let is_there = || {
            let inside = fs::read_dir(dir.path()).unwrap().next();
            inside.is_some_and(|folder| folder.unwrap().path().join(moment).exists())
        };
        while !is_there() {
            assert!(started.elapsed() < Duration::from_secs(300));
            std::thread::sleep(Duration::from_millis(5));
        }
        let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output();
        let run = Run::of(output.unwrap()).exits(130);
        assert!(run.stderr.contains("interrupted"), "{}", run.all());
        assert!(is_empty(dir.path()), "{signal}");
    }
}
