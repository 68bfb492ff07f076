//! The systemd unit of `data/`: systemd takes it, the names in it are those that the program reads, and the exit codes that it does not
//! restart after are those that a restart cannot cure.

use crate::support::{Lab, Run, keys, program, temp_folder, world};
use chatvault::simulator::Script;
use std::process::Command;

const UNIT: &str = include_str!("../../data/chatvault-watch.service");

/// Values of a setting, in the order of the file.
fn values(name: &str) -> Vec<&'static str> {
    UNIT.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

#[test]
fn systemd_takes_the_unit() {
    let folder = temp_folder();
    let unit = folder.path().join("chatvault-watch.service");
    // `verify` wants the program to be there.
    std::fs::write(&unit, UNIT.replace("/usr/local/bin/chatvault", env!("CARGO_BIN_EXE_chatvault"))).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&unit).output();
    match verified {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("chatvault-watch"), "{said}");
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => println!("SKIPPED: no systemd here"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn its_secrets_reach_the_program_as_files() {
    let lab = Lab::new(world(20, 4), Script::default());
    let vault = lab.vault();
    let credentials = temp_folder();
    let secrets = keys();
    for (name, value) in [
        ("app-key", &secrets.app_key),
        ("app-secret", &secrets.app_secret),
        ("access-token", &secrets.access_token),
        ("access-token-secret", &secrets.access_token_secret),
    ] {
        let handed_over = format!("{name}:/etc/chatvault/{name}");
        assert!(values("LoadCredential").contains(&handed_over.as_str()), "{name}");
        std::fs::write(credentials.path().join(name), format!("{value}\n")).unwrap();
    }
    let mut command = program();
    for variable in values("Environment") {
        let (name, value) = variable.split_once('=').unwrap();
        let value = match name {
            "CHATVAULT_VAULT" => vault.path().display().to_string(),
            _ => value.replace("%d", credentials.path().to_str().unwrap()),
        };
        command.env(name, value).env_remove(name.strip_suffix("_FILE").unwrap_or_default());
    }
    Run::of(command.args(["sync"]).output().unwrap()).exits(0);
}

#[test]
fn it_stays_down_after_what_a_restart_cannot_cure() {
    let stays_down: Vec<i32> =
        values("RestartPreventExitStatus")[0].split(' ').map(|code| code.parse().unwrap()).collect();
    assert_eq!((values("Restart"), stays_down), (vec!["on-failure"], vec![2, 6, 10]));
    let folder = temp_folder();
    let watch = |vault: &std::path::Path| {
        let mut command = program();
        command.arg("--vault").arg(vault).arg("watch");
        Run::of(command.output().unwrap())
    };
    watch(folder.path()).exits(10);
    let lab = Lab::new(world(20, 4), Script::default());
    let vault = lab.vault();
    let settings = vault.path().join("vault.toml");
    std::fs::write(&settings, lab.settings().replace("requests_per_second = 1000.0", "requests_per_second = 0.0"))
        .unwrap();
    watch(&vault.path()).exits(2);
    std::fs::write(&settings, lab.settings()).unwrap();
    let mut command = vault.command(&["watch"]);
    command.env("CHATVAULT_APP_SECRET", "wrong");
    Run::of(command.output().unwrap()).exits(6);
}
