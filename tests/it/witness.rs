//! Independent witnesses: other people's tools, and the Python of `FORMAT.md`, agree with us about an archive.

use crate::support::{Lab, Vault, world};
use chatvault::simulator::Script;
use std::path::Path;
use std::process::Command;

fn archived() -> (Lab, Vault) {
    let lab = Lab::new(world(80, 12), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    // So that the chain has more than one day's events.
    vault.run(&["sync"]).exits(0);
    (lab, vault)
}

/// Standard output of somebody else's program; `None`, told, where it is not installed.
fn witness(command: &mut Command) -> Option<String> {
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED: {:?} is not installed", command.get_program());
            None
        }
        Err(error) => panic!("{command:?}: {error}"),
    }
}

fn sqlite(vault: &Vault, query: &str) -> Option<String> {
    witness(Command::new("sqlite3").arg(vault.path().join("vault.db")).arg(query))
}

#[test]
fn gzip_finds_every_file_whole() {
    let (_lab, vault) = archived();
    let files: Vec<_> = vault.files().into_keys().map(|path| vault.path().join("files").join(path)).collect();
    assert!(files.len() > 5);
    witness(Command::new("gzip").arg("-t").args(files));
}

#[test]
fn sha256sum_and_sqlite_agree_with_the_manifest() {
    let (lab, vault) = archived();
    let Some(manifest) = sqlite(&vault, "SELECT sha256 || '  ' || path FROM files") else { return };
    let named = |line: &&str| !line.contains("files/data-access/schema/");
    assert_eq!(manifest.lines().filter(named).count() as u64, lab.simulator.world().truth().files);
    let list = vault.path().join("tmp").join("manifest.sha256");
    std::fs::write(&list, &manifest).unwrap();
    let said = witness(Command::new("sha256sum").arg("--check").arg(&list).current_dir(vault.path()));
    if let Some(said) = said {
        assert_eq!(said.lines().filter(|line| line.ends_with(": OK")).count(), manifest.lines().count());
    }
    assert_eq!(sqlite(&vault, "PRAGMA integrity_check").unwrap().trim(), "ok");
    assert_eq!(sqlite(&vault, "PRAGMA user_version").unwrap().trim(), "2");
    // What decoding counted is what the account says.
    let counted = sqlite(&vault, "SELECT sum(conversations) FROM contents").unwrap();
    assert_eq!(counted.trim(), lab.simulator.world().truth().conversation_records.to_string());
}

/// The Python that stands in `FORMAT.md`, as it stands there.
fn python_of_format() -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/archive/FORMAT.md")).unwrap();
    let script = page.split("```python\n").nth(1).expect("FORMAT.md has the script").split("```").next().unwrap();
    assert!(script.contains("hashlib.sha256"));
    script.to_owned()
}

#[test]
fn python_recomputes_the_chain() {
    let (_lab, vault) = archived();
    let script = python_of_format();
    let database = vault.path().join("vault.db");
    let Some(said) = witness(Command::new("python3").arg("-c").arg(&script).arg(&database)) else { return };
    let chain = vault.json(&["verify"], 0)["chain"].clone();
    assert_eq!(said.trim(), format!("{} rows, head {}", chain["rows"], chain["head"].as_str().unwrap()));

    // A change that our triggers would refuse, made by somebody who dropped them.
    let forged = "DROP TRIGGER events_never_change; UPDATE events SET actor = 'nobody' WHERE seq = 3";
    let Some(_) = sqlite(&vault, forged) else { return };
    let output = Command::new("python3").arg("-c").arg(&script).arg(&database).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "broken at 3");
    let verified = vault.json(&["verify"], 9);
    assert_eq!((&verified["chain"]["ok"], &verified["chain"]["broken_at"]), (&false.into(), &3.into()));
}

#[test]
fn the_chain_refuses_changes() {
    let (_lab, vault) = archived();
    if sqlite(&vault, "SELECT 1").is_none() {
        return;
    }
    for change in [
        "UPDATE events SET actor = 'x' WHERE seq = 1",
        "DELETE FROM events WHERE seq = 1",
        "DELETE FROM files",
        "UPDATE files SET sha256 = printf('%064d', 0)",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE seq = 1",
    ] {
        let output = Command::new("sqlite3").arg(vault.path().join("vault.db")).arg(change).output().unwrap();
        assert!(!output.status.success(), "{change} was let through");
    }
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

/// Damage on disk is found, named with the conversations in it, and mended by the next sync where that is possible.
#[test]
fn damage_is_found_and_named() {
    let (lab, vault) = archived();
    let path = vault.files().into_keys().next().unwrap();
    let place = vault.path().join("files").join(&path);
    let good = std::fs::read(&place).unwrap();
    let mut bytes = good.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, &bytes).unwrap();
    let verified = vault.json(&["verify"], 9);
    let damaged = &verified["files"]["damaged"][0];
    assert_eq!(damaged["file"], format!("files/{path}"));
    assert_ne!(damaged["expected_sha256"], damaged["found_sha256"]);
    assert!(!damaged["conversations"].as_array().unwrap().is_empty());
    assert_eq!(verified["ok"], false);

    std::fs::remove_file(&place).unwrap();
    let verified = vault.json(&["verify"], 9);
    assert_eq!(verified["files"]["missing"][0]["file"], format!("files/{path}"));
    assert!(!verified["files"]["missing"][0]["conversations"].as_array().unwrap().is_empty());

    std::fs::write(&place, &good).unwrap();
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
    std::fs::write(vault.path().join("files/stray.gz"), "stray").unwrap();
    assert_eq!(vault.json(&["verify"], 9)["files"]["unlisted"], serde_json::json!(["files/stray.gz"]));
    drop(lab);
}
