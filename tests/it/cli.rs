//! The command line as people and scripts meet it: help, errors, exit codes, pipes, and nothing hostile on a terminal.

use crate::support::{Lab, Run, Vault, program, temp_folder, world};
use chatvault::simulator::Script;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};

const COMMANDS: [&str; 20] = [
    "demo",
    "init",
    "doctor",
    "plan",
    "sync",
    "watch",
    "import",
    "gaps",
    "index",
    "search",
    "show",
    "stats",
    "export",
    "verify",
    "repair",
    "audit",
    "bench",
    "simulate",
    "completions",
    "man",
];

fn run(arguments: &[&str]) -> Run {
    Run::of(program().args(arguments).output().unwrap())
}

#[test]
fn help_lists_what_is_built_and_nothing_else() {
    let help = run(&["--help"]).exits(0).stdout;
    let section = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let listed: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert_eq!(listed, COMMANDS);
    for command in COMMANDS {
        let help = run(&[command, "--help"]).exits(0).stdout;
        assert!(help.contains("Usage:"), "{command}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{command}: {help}");
    }
    for later in ["serve", "push", "hold"] {
        let refused = run(&[later]).exits(2);
        assert!(refused.stderr.contains(later));
    }
    assert!(run(&["--version"]).exits(0).stdout.starts_with("chatvault "));
    run(&[]).exits(2);
    run(&["search"]).exits(2);
    run(&["--json", "--ndjson", "stats"]).exits(2);
}

#[test]
fn completions_and_the_manual_come_from_the_parser() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]).exits(0).stdout;
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
    let page = run(&["man"]).exits(0).stdout;
    assert!(page.contains(".TH chatvault") && page.contains("rebuild") || page.contains("index"));
}

/// A vault with one conversation whose every text wants to take the terminal over.
fn hostile() -> Vault {
    let vault = Vault::new("75555851");
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J refund \u{202e}txet\u{2066} \u{9b}31m \r hidden <script>alert(1)</script>";
    let record = json!({ "dataType": "Engagement", "metaData": { "accountId": "75555851" }, "recordCollection": [ { "body": {
        "engagements": [ {
            "conversationId": "evil\u{1b}[31m1", "conversationStartTime": 1_467_853_200_000_i64, "type": "LIVE_CHAT\u{1b}",
            "conversationEndTime": 1_467_853_260_000_i64, "agentId": "9\u{1b}1", "skills": ["3\u{1b}[1m"],
            "startPage": evil, "sourceDevice": "DESK\u{1b}TOP", "sourceOrigin": evil,
            "transfers": [ { "timestamp": 1_467_853_210_000_i64, "skillId": evil, "agentId": evil, "targetSkillId": evil } ],
            "transcripts": [
                { "text": evil, "type": "0", "by": evil, "timestamp": 1_467_853_201_000_i64 },
                { "text": format!("<p>{evil}</p>"), "type": "4", "by": evil, "agentId": "9\u{1b}1" },
                { "text": evil, "type": "2", "by": "info" },
                { "text": evil, "type": "5", "by": evil, "agentId": "9\u{1b}1" }
            ] } ] } } ] });
    let folder = temp_folder();
    let path = folder.path().join("evil.json");
    fs::write(&path, format!("{record}\n")).unwrap();
    vault.run(&["import", &path.to_string_lossy()]).exits(0);
    vault
}

#[test]
fn transcripts_cannot_reach_the_terminal() {
    let vault = hostile();
    let hit = vault.json(&["search", "refund"], 0)["hits"][0].clone();
    let id = hit["key"].as_str().unwrap().to_owned();
    assert!(hit["snippets"][0]["html"].as_str().unwrap().contains("&lt;script&gt;"));
    for arguments in [
        &["search", "refund"][..],
        &["search", "refund", "--facets", "agent,skill,device,type"],
        &["show", &id],
        &["show", &id, "--revisions"],
        &["stats"],
        &["verify"],
        &["index", "--rebuild"],
        &["-vv", "search", "*"],
        &["search", "x\u{1b}[31m:y"],
        &["show", "no\u{1b}[31m"],
        &["--json", "search", "refund"],
        &["--json", "show", &id],
        &["--ndjson", "search", "refund"],
    ] {
        let shown = vault.run(arguments);
        let all = shown.all();
        let risky =
            |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        // JSON escapes control characters by itself; the marks that turn text around are data there.
        let is_json = arguments[0].starts_with("--");
        let found =
            all.chars().find(|c| if is_json { c.is_control() && *c < '\u{80}' && *c != '\n' } else { risky(*c) });
        assert_eq!(found, None, "{arguments:?}: {all:?}");
        assert!(!all.contains("\u{1b}"), "{arguments:?}");
    }
    // Asked for as LivePerson sent it: the bytes, as they are.
    let raw = vault.run(&["show", &id, "--raw"]).exits(0);
    let value: Value = serde_json::from_str(raw.stdout.lines().next().unwrap()).unwrap();
    assert!(value.to_string().contains("refund"));
}

#[test]
fn colour_only_where_it_is_wanted() {
    let vault = hostile();
    let colour = |arguments: &[&str], no_color: Option<&str>| {
        let mut command = vault.command(arguments);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        Run::of(command.output().unwrap()).all().contains('\u{1b}')
    };
    assert!(!colour(&["search", "refund"], None), "a pipe gets no colour");
    assert!(!colour(&["--color", "auto", "search", "refund"], Some("1")));
    assert!(!colour(&["--color", "never", "search", "refund"], None));
    assert!(colour(&["--color", "always", "search", "refund"], None));
    assert!(colour(&["--color", "always", "search", "refund"], Some("1")), "a flag is stronger than the environment");
}

#[test]
fn errors_are_objects_for_scripts() {
    let vault = hostile();
    let nowhere = temp_folder();
    let nowhere = nowhere.path().to_string_lossy().into_owned();
    for (arguments, code) in [
        (&["--json", "show", "1"][..], 1),
        (&["--json", "search", "colour:red"], 2),
        (&["--ndjson", "search", "(("], 2),
        (&["--json", "--vault", &nowhere, "sync"], 10),
        (&["--json", "search", "--limit", "many", "x"], 2),
        (&["--json", "search", "--facets", "shoes", "x"], 2),
        (&["--json", "search", "--tz", "Mars/Olympus", "x"], 2),
        (&["--json", "verify", "--read-data-subset", "3/2"], 2),
    ] {
        let run = if arguments.contains(&"--vault") { run(arguments) } else { vault.run(arguments) };
        let error = run.json();
        assert_eq!(run.code, Some(code), "{arguments:?}");
        assert_eq!(error["exit_code"], code, "{arguments:?}");
        assert!(!error["error"].as_str().unwrap().is_empty(), "{arguments:?}");
        assert_eq!(error["schema_version"], 1);
        assert!(run.stderr.is_empty(), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let lab = Lab::new(world(150, 12), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let id = vault.json(&["search", "*", "--limit", "1"], 0)["hits"][0]["conversation_id"].as_str().unwrap().to_owned();
    for arguments in [
        &["search", "*", "--limit", "all"][..],
        &["--json", "search", "*", "--limit", "all"],
        &["--ndjson", "search", "*", "--limit", "all"],
        &["show", &id],
        &["show", &id, "--raw"],
        &["stats"],
        &["--json", "verify"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut child = vault.command(arguments).spawn().unwrap();
        let mut first = String::new();
        // Reads a line and goes away, as `head -1` does.
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        // 0 where everything was written before the reader went.
        assert!(matches!(output.status.code(), Some(0 | 141)), "{arguments:?}: {:?} {said}", output.status);
        assert!(!said.contains("error"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_demo_tells_the_whole_story() {
    let folder = temp_folder();
    let vault = folder.path().join("demo");
    let demo = Run::of(program().arg("--vault").arg(&vault).args(["demo", "--conversations", "60"]).output().unwrap());
    let demo = demo.exits(0);
    assert!(demo.stdout.contains("none is missing") && demo.stdout.contains("Done in"), "{}", demo.stdout);
    let run = Run::of(program().current_dir(&vault).args(["--json", "search", "*", "--limit", "0"]).output().unwrap());
    assert_eq!(run.exits(0).json()["total"]["value"], 60, "the vault is found from inside it");
}

#[test]
fn a_simulated_account_can_be_written_and_imported() {
    let folder = temp_folder();
    let account = folder.path().join("account");
    let write = program().args(["simulate", "--conversations", "50", "--hours", "8", "--write"]).arg(&account).output();
    Run::of(write.unwrap()).exits(0);
    let vault = Vault::new("40112233");
    let report = vault.json(&["import", &account.to_string_lossy()], 0);
    assert_eq!(report["import"]["failed"], json!([]));
    assert_eq!(vault.json(&["search", "*", "--limit", "0"], 0)["total"]["value"], 50);
    let again = vault.json(&["import", &account.to_string_lossy()], 0);
    assert_eq!(again["import"]["imported"], 0);
    assert_eq!(again["import"]["already"], report["import"]["imported"]);
}

#[test]
fn an_impossible_simulated_account_is_wrong_usage() {
    let many = program().args(["simulate", "--port", "0", "--messaging", "99999999999999999"]).output().unwrap();
    let many = Run::of(many).exits(2);
    assert!(many.stderr.contains("2^40") && !many.stderr.contains("--port"), "{}", many.stderr);
}

#[test]
fn a_simulated_account_is_served_with_its_query_apis() {
    let mut server = program().args(["--json", "simulate", "--port", "0", "--messaging", "300"]).spawn().unwrap();
    let mut said = serde_json::Deserializer::from_reader(server.stdout.take().unwrap()).into_iter::<Value>();
    let account = said.next().unwrap().unwrap();
    let address = account["base_url"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let started = account["messaging_conversations"].as_u64().unwrap();
    assert!((200..300).contains(&started), "{started}: some start later");
    let form = "client_id=demo-client-id&client_secret=demo-client-secret&grant_type=client_credentials";
    let mut connection = std::net::TcpStream::connect(&address).unwrap();
    write!(
        connection,
        "POST /sentinel/api/v2/account/40112233/app/token HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"access_token\""), "{answer}");
}
