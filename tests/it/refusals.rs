//! Keys that are wrong, or may no more: never taken for an account that has not got these APIs.

use crate::support::{Lab, Vault, keys, world};
use chatvault::simulator::{Credentials, Fault, MessagingConfig, Rule, Script, SimulatorConfig, Target};

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
