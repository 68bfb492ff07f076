//! `doctor`: one line per thing that may be wrong, with its cure, and an exit code that says what to mend first.

use crate::support::{Lab, Vault, world};
use chatvault::simulator::{Fault, Rule, Script, Target};
use serde_json::Value;
use std::fs;

fn states(document: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    document["checks"].as_array().unwrap().iter().map(|check| (text(&check["check"]), text(&check["state"]))).collect()
}

fn state_of(document: &Value, check: &str) -> String {
    states(document).into_iter().find(|(name, _)| name == check).map(|(_, state)| state).unwrap()
}

fn cure_of(document: &Value, check: &str) -> String {
    let checks = document["checks"].as_array().unwrap();
    checks.iter().find(|found| found["check"] == check).unwrap()["cure"].as_str().unwrap().to_owned()
}

const DATA_ACCESS: &str = "data-access/engagement";

fn doctor(vault: &Vault, code: i32, change: &[(&str, &str)]) -> Value {
    let mut command = vault.command(&["--json", "doctor"]);
    command.envs(change.iter().copied());
    crate::support::Run::of(command.output().unwrap()).exits(code).json()
}

#[test]
fn a_healthy_vault_is_told_where_each_setting_comes_from() {
    let lab = Lab::new(world(20, 6), Script::default());
    let vault = lab.vault();
    let document = doctor(&vault, 0, &[("CHATVAULT_CONNECTIONS", "2")]);
    assert_eq!(state_of(&document, DATA_ACCESS), "ok");
    assert_eq!(state_of(&document, "clock"), "ok");
    let settings = document["settings"].as_array().unwrap();
    let from = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap()["from"].clone();
    assert_eq!(from("[account] id"), "vault.toml");
    assert_eq!(from("[sync] connections"), "CHATVAULT_CONNECTIONS");
    assert!(vault.files().is_empty(), "nothing is fetched");
}

#[test]
fn each_trouble_has_its_cure_and_exit_code() {
    let lab = Lab::new(world(20, 6), Script::default());
    let vault = lab.vault();
    let wrong = doctor(&vault, 6, &[("CHATVAULT_APP_SECRET", "a-wrong-secret")]);
    assert!(cure_of(&wrong, DATA_ACCESS).contains("CHATVAULT_APP_SECRET"));
    assert!(!wrong.to_string().contains("a-wrong-secret"));

    let none = doctor(&vault, 2, &[("CHATVAULT_APP_KEY", "")]);
    assert_eq!(state_of(&none, "credentials"), "bad");

    let nonsense = doctor(&vault, 12, &[("CHATVAULT_PGP_KEY", "not a key")]);
    assert_eq!(state_of(&nonsense, "PGP keys"), "bad");

    for (fault, code, cure) in [(Fault::Status(403), 6, "permission"), (Fault::Status(503), 5, "network")] {
        let lab = Lab::new(world(20, 6), Script { rules: vec![Rule::always(Target::Listing, fault)], late: vec![] });
        let document = doctor(&lab.vault(), code, &[]);
        assert!(cure_of(&document, DATA_ACCESS).contains(cure), "{document}");
    }

    let settings = fs::read_to_string(vault.path().join("vault.toml")).unwrap();
    let nowhere = settings.replace(&lab.simulator.base_url(), "http://127.0.0.1:9");
    fs::write(vault.path().join("vault.toml"), nowhere).unwrap();
    let unreachable = doctor(&vault, 5, &[]);
    assert!(cure_of(&unreachable, DATA_ACCESS).contains("network"));
}
