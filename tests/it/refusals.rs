//! Keys that are wrong, or may no more: never taken for an account that has not got these APIs.

use crate::support::{Lab, Run, Vault, keys, world};
use chatvault::simulator::{
    ClientCredentials, Credentials, Fault, MessagingConfig, Rule, Script, SimulatorConfig, Target,
};

const QUERIES: [Target; 4] = [Target::Operations, Target::AgentMetrics, Target::MessagingSearch, Target::HistorySearch];
const STREAMS: [&str; 5] =
    ["operational-realtime", "messaging-operations", "agent-metrics", "messaging-interactions", "engagement-history"];

fn lab(rules: Vec<Rule>) -> Lab {
    let messaging = MessagingConfig { conversations: 60, days: 3, ..MessagingConfig::default() };
    let script = Script { rules, late: vec![] };
    Lab::with(SimulatorConfig { world: world(60, 12), messaging, script, ..Lab::config() })
}

/// A vault of the five query APIs, in "auto" as `init` writes them.
fn queries_vault(lab: &Lab) -> Vault {
    let vault = lab.figures_vault("auto");
    let path = vault.path().join("vault.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let histories = "\"messaging-interactions\" = \"auto\"\n\"engagement-history\" = \"auto\"\n";
    let host = format!("engHistDomain = \"{}\"\nmsgHist", lab.simulator.base_url());
    std::fs::write(&path, text.replace("msgHist", &host) + histories).unwrap();
    vault
}

#[test]
fn a_wrong_secret_is_told_and_no_stream_is_called_not_enabled() {
    let lab = lab(vec![]);
    let vault = queries_vault(&lab);
    let wrong = Credentials { access_token_secret: "another-secret".to_owned(), ..keys() };
    let run = lab.sync_with(&vault, &wrong).exits(6);
    assert!(!run.all().contains("skipped") && !run.stdout.contains("complete ("), "{}", run.all());
    assert!(run.stderr.contains("CHATVAULT_ACCESS_TOKEN_SECRET"), "{}", run.stderr);
    let status = vault.json(&["watch", "--status"], 0);
    for stream in status["streams"].as_array().unwrap() {
        assert_eq!(stream["is_failing"], true, "{status:#}");
    }
    assert_eq!(vault.run(&["watch", "--status"]).stdout.matches("FAILING").count(), STREAMS.len());
    vault.run(&["sync"]).exits(0);
    assert!(!vault.run(&["watch", "--status"]).stdout.contains("FAILING"));
}

#[test]
fn permissions_that_are_taken_away_are_told() {
    for status in [403, 404] {
        let vault = {
            let lab = lab(vec![]);
            let vault = queries_vault(&lab);
            vault.run(&["sync"]).exits(0);
            vault
        };
        let refusing = lab(QUERIES.map(|target| Rule::always(target, Fault::Status(status))).into());
        let here = std::fs::read_to_string(queries_vault(&refusing).path().join("vault.toml")).unwrap();
        std::fs::write(vault.path().join("vault.toml"), here).unwrap();
        let run = vault.run(&["sync"]).exits(3);
        assert!(!run.all().contains("skipped"), "{status}: {}", run.all());
        let status = vault.json(&["watch", "--status"], 0);
        for name in STREAMS {
            let stream = status["streams"].as_array().unwrap().iter().find(|stream| stream["stream"] == name).unwrap();
            assert_eq!(stream["is_failing"], true, "{status:#}");
        }
    }
}

/// Client credentials open conversations, chats and agents now; what takes an API key alone is left out of "auto".
#[test]
fn without_an_api_key_the_other_streams_come() {
    let lab = lab(vec![]);
    let vault = lab.history_vault("2d");
    let path = vault.path().join("vault.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let with = |files: &str| {
        let section = format!("[streams]\n\"data-access/engagement\" = \"{files}\"\n");
        std::fs::write(&path, text.replace("[streams]\n", &section)).unwrap();
    };
    let client = ClientCredentials::default();
    let run = |arguments: &[&str]| {
        let mut command = vault.command(arguments);
        for name in ["APP_KEY", "APP_SECRET", "ACCESS_TOKEN", "ACCESS_TOKEN_SECRET"] {
            command.env_remove(format!("CHATVAULT_{name}"));
        }
        command.env("CHATVAULT_CLIENT_ID", &client.client_id).env("CHATVAULT_CLIENT_SECRET", &client.client_secret);
        Run::of(command.output().unwrap())
    };
    with("auto");
    let plan = run(&["plan"]).exits(0);
    assert!(plan.stdout.contains("data-access/engagement: it takes an API key only"), "{}", plan.stdout);
    let sync = run(&["sync"]).exits(0);
    assert!(sync.stderr.contains("data-access/engagement: it takes an API key only"), "{}", sync.stderr);
    assert!(vault.files().keys().any(|file| file.starts_with("messaging-interactions/")), "{}", sync.all());
    let doctor = run(&["doctor"]).exits(0);
    assert!(doctor.stdout.contains("note  data-access/engagement"), "{}", doctor.stdout);

    with("on");
    for command in ["plan", "sync"] {
        let refused = run(&[command]).exits(2);
        let told = ["CHATVAULT_APP_KEY", "\"auto\"", "CHATVAULT_CLIENT_ID", "CHATVAULT_USERNAME"];
        assert!(told.iter().all(|name| refused.stderr.contains(name)), "{}", refused.stderr);
    }
    let doctor = run(&["doctor"]).exits(2);
    assert!(doctor.stdout.contains("BAD   data-access/engagement"), "{}", doctor.stdout);
    assert!(doctor.stdout.contains("ok    messaging-interactions"), "{}", doctor.stdout);

    // What has answered before is missed.
    vault.run(&["sync"]).exits(0);
    with("auto");
    assert!(run(&["sync"]).exits(3).stdout.contains("no_service"));
}

/// What a question reaches to is not yet known of: nobody can say before the end of its ten minutes what they will bring.
#[test]
fn nothing_is_called_followed_that_has_not_happened() {
    let lab = lab(vec![]);
    let vault = queries_vault(&lab);
    for _ in 0..2 {
        vault.run(&["sync"]).exits(0);
        let status = vault.json(&["watch", "--status"], 0);
        let now_ms = jiff::Timestamp::now().as_millisecond();
        for stream in status["streams"].as_array().unwrap() {
            if let Some(until) = stream["complete_until"].as_str() {
                let until: jiff::Timestamp = until.parse().unwrap();
                assert!(until.as_millisecond() <= now_ms, "{status:#}");
            }
        }
    }
}
