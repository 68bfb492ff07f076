//! Bad input: each is told clearly, changes the exit code, and costs nothing that is good.

use crate::support::{Lab, Run, Vault, keys, program, reader, temp_folder, world};
use chatvault::simulator::{Credentials, Fault, FileSpec, Rule, Script, SimulatorConfig, Target, WorldConfig};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const STREAM: &str = "data-access/engagement";

fn script(rules: impl IntoIterator<Item = Rule>) -> Script {
    Script { rules: rules.into_iter().collect(), late: Vec::new() }
}

fn times(times: u64, target: Target, fault: Fault) -> Rule {
    Rule { times, ..Rule::once(target, fault) }
}

/// An account whose files are all in lines, and one of its files with at least three records.
fn account() -> (WorldConfig, FileSpec) {
    let config = WorldConfig { forms: chatvault::simulator::FormMix::NdjsonOnly, ..world(100, 12) };
    let layout = chatvault::simulator::World::new(config.clone()).unwrap();
    let file = layout.files().find(|file| layout.conversation_records_in(file) >= 3).unwrap();
    (config, file)
}

fn problems(report: &Value) -> Vec<(String, String)> {
    let problems = report["streams"][STREAM]["problems"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    problems.iter().map(|problem| (text(&problem["kind"]), text(&problem["name"]))).collect()
}

#[test]
fn wrong_credentials_name_the_keys() {
    let lab = Lab::new(world(30, 4), Script::default());
    let wrong = Credentials { app_secret: "not-the-secret".into(), ..keys() };
    let vault = lab.vault();
    let run = lab.sync_with(&vault, &wrong).exits(6);
    for name in ["CHATVAULT_APP_KEY", "CHATVAULT_APP_SECRET", "CHATVAULT_ACCESS_TOKEN", "CHATVAULT_ACCESS_TOKEN_SECRET"]
    {
        assert!(run.stderr.contains(name), "{name} in {}", run.stderr);
    }
    assert!(run.stderr.contains("hint: "), "{}", run.stderr);
    assert!(!run.all().contains("not-the-secret"));
    let mut command = vault.command(&["--json", "sync"]);
    command.env("CHATVAULT_APP_SECRET", "not-the-secret");
    let told = Run::of(command.output().unwrap()).exits(6).json();
    assert_eq!(told["exit_code"], 6);
    assert!(told["error"].as_str().unwrap().contains("CHATVAULT_APP_SECRET"), "{told:#}");
    assert_eq!(lab.simulator.requests().download, 0);
    assert!(lab.simulator.requests().listing <= 2, "refused keys are tried once, not thirty times");

    // None at all: no request is needed to know.
    let mut command = vault.command(&["sync"]);
    command.env_remove("CHATVAULT_ACCESS_TOKEN");
    let run = Run::of(command.output().unwrap());
    assert!(matches!(run.code, Some(2 | 6)), "{run:?}");
    assert!(run.stderr.contains("CHATVAULT_ACCESS_TOKEN"), "{}", run.stderr);

    // A file instead of the variable; a file that is not there is named.
    let folder = temp_folder();
    let path = folder.path().join("token");
    let mut command = vault.command(&["sync"]);
    command.env_remove("CHATVAULT_ACCESS_TOKEN").env("CHATVAULT_ACCESS_TOKEN_FILE", &path);
    let run = Run::of(command.output().unwrap()).exits(6);
    assert!(run.stderr.contains("CHATVAULT_ACCESS_TOKEN_FILE") && run.stderr.contains("token"), "{}", run.stderr);
    fs::write(&path, format!("{}\n", keys().access_token)).unwrap();
    Run::of(command.output().unwrap()).exits(0);
}

#[test]
fn listings_that_are_none() {
    for (fault, kind) in [
        (Fault::Html200, "html"),
        (Fault::Xml200, "xml"),
        (Fault::TruncatedJson, "truncated_json"),
        (Fault::OtherAccount("99999999".into()), "other_account"),
    ] {
        let lab = Lab::new(world(30, 4), script([Rule::always(Target::Listing, fault)]));
        let vault = lab.vault();
        let report = vault.json(&["sync"], 3);
        let found = problems(&report);
        assert!(!found.is_empty() && found.iter().all(|(found, _)| found == kind), "{kind}: {found:?}");
        assert_eq!(lab.simulator.requests().download, 0, "{kind}");
        assert!(vault.files().is_empty(), "{kind}");
        assert_eq!(vault.json(&["verify"], 0)["ok"], true);
        let run = vault.run(&["sync"]).exits(3);
        assert!(run.stdout.contains("failed"), "{}", run.stdout);
    }
    // One bad answer among good ones: asked again, and nothing is missing.
    for fault in [Fault::Html200, Fault::TruncatedJson] {
        let lab = Lab::new(world(30, 4), script([Rule::once(Target::Listing, fault)]));
        let (_vault, run) = lab.synced();
        run.exits(0);
    }
}

#[test]
fn hostile_names_never_reach_the_disk() {
    let names = [
        "../../etc/evil.gz",
        "..",
        "a/b.gz",
        "a\\b.gz",
        "/etc/passwd",
        "Engagement.\0.gz",
        "Engagement.1467853200000.1467856800000.part-00000-0.gz\0",
        "Engagement.1467853200000.1467856800000.part-00000-0.gz/../../x",
        "\u{1b}[31mred\u{202e}.gz",
        "",
    ]
    .map(str::to_owned);
    let long = "a".repeat(4_000);
    let rules = names.iter().chain([&long]).map(|name| Rule::always(Target::Listing, Fault::EvilName(name.clone())));
    let lab = Lab::new(world(100, 12), script(rules));
    let truth = lab.simulator.world().truth();
    let vault = lab.vault();
    let report = vault.json(&["sync"], 3);
    let stream = &report["streams"][STREAM];
    assert_eq!(stream["refused"], 11, "{report:#}");
    assert_eq!(stream["failed"], 0);
    assert_eq!(stream["downloaded"], truth.files, "the good ones come");
    let found = problems(&report);
    assert!(found.iter().all(|(kind, _)| kind == "refused_name"), "{found:?}");
    assert!(found.iter().all(|(_, name)| !name.contains(char::is_control) && name.len() < 500), "{found:?}");
    assert_eq!(lab.simulator.requests().download, truth.files, "a refused name is never requested");

    // Nothing beside the vault, nothing strange inside.
    let parent = vault.path().parent().unwrap().to_owned();
    assert_eq!(fs::read_dir(parent).unwrap().count(), 1);
    assert!(vault.files().keys().all(|path| path.contains("/Engagement.") && !path.contains("..")));
    let people = vault.run(&["sync"]).exits(3);
    assert!(!people.all().contains(['\0', '\u{1b}', '\u{202e}']), "{}", people.stdout);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

#[test]
fn damaged_downloads_are_kept_aside_and_fetched_again() {
    for fault in [Fault::TruncatedGzip, Fault::CorruptGzip, Fault::EmptyFile, Fault::WrongLength, Fault::CutBody] {
        let (config, file) = account();
        let is_network = matches!(fault, Fault::WrongLength | Fault::CutBody);
        // As often as one run tries.
        let tries = if is_network { 6 } else { 3 };
        let lab = Lab::new(config, script([times(tries, Target::Download(file.name()), fault.clone())]));
        let truth = lab.simulator.world().truth();
        let vault = lab.vault();
        let report = vault.json(&["sync"], 3);
        let stream = &report["streams"][STREAM];
        assert_eq!(stream["failed"], 1, "{fault:?}: {report:#}");
        assert_eq!(stream["downloaded"], truth.files - 1, "{fault:?}: one bad file stops no other");
        let found = problems(&report);
        assert_eq!(found[0].1, file.name());
        assert!(!vault.files().keys().any(|path| path.ends_with(&file.name())));
        if !is_network {
            assert_eq!(found[0].0, "damaged", "{fault:?}");
            let kept = vault.names_in("quarantine");
            assert!(kept.iter().any(|name| name.ends_with(&file.name())), "{fault:?}: {kept:?}");
        }
        assert!(vault.names_in("tmp").is_empty(), "{fault:?}");
        assert_eq!(vault.json(&["verify"], 0)["ok"], true, "what is there is whole");

        let report = vault.json(&["sync"], 0);
        assert_eq!(report["streams"][STREAM]["downloaded"], 1, "{fault:?}: {report:#}");
        let whole = vault.files().into_keys().filter(|path| !path.contains(".salvaged-"));
        assert_eq!(whole.count() as u64, truth.files);
        assert_eq!(reader(&vault.path()).document_count(), truth.conversations, "{fault:?}");
    }
}

#[test]
fn one_broken_record_hides_no_other() {
    let (config, file) = account();
    let lab = Lab::new(config, script([Rule::always(Target::Download(file.name()), Fault::BrokenRecord)]));
    let truth = lab.simulator.world().truth();
    let vault = lab.vault();
    let report = vault.json(&["sync"], 3);
    assert_eq!(report["streams"][STREAM]["failed"], 0, "the file itself is whole");
    assert_eq!(report["index"]["problems"]["counts"]["broken-record"], 1, "{report:#}");
    let of_file = report["index"]["files_with_problems"].as_array().unwrap();
    let of_file: Vec<&Value> =
        of_file.iter().filter(|entry| entry["file"].as_str().unwrap().ends_with(&file.name())).collect();
    let broken = of_file[0]["examples"].as_array().unwrap();
    let broken: Vec<&Value> = broken.iter().filter(|problem| problem["kind"] == "broken-record").collect();
    assert_eq!(broken.len(), 1);

    // The place is where the damage is: that line, and no other, is no JSON.
    let path = vault.path().join(of_file[0]["file"].as_str().unwrap());
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(fs::File::open(path).unwrap()), &mut text)
        .unwrap();
    let (record, byte) = (broken[0]["record"].as_u64().unwrap(), broken[0]["byte"].as_u64().unwrap());
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let bad: Vec<usize> = (0..lines.len()).filter(|at| serde_json::from_slice::<Value>(lines[*at]).is_err()).collect();
    assert_eq!(bad, [record as usize]);
    let start = lines[bad[0]].as_ptr() as usize - text.as_ptr() as usize;
    // Of a record that is cut, the first byte that cannot be is the one behind the line feed.
    let extent = start as u64..=(start + lines[bad[0]].len() + 1) as u64;
    assert!(extent.contains(&byte), "byte {byte} lies in {extent:?}");

    let index = reader(&vault.path());
    let known = index.record_count().unwrap();
    // The simulator adds an unusable record; it takes away none.
    assert_eq!(known, truth.conversation_records, "all good ones are searchable");
    let people = vault.run(&["index", "--rebuild"]).exits(3);
    assert!(people.stdout.contains("broken-record: files/") && people.stdout.contains("byte"), "{}", people.stdout);
}

#[test]
fn imported_files_are_judged_by_content() {
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    };
    let nothing = file("empty.json", b"");
    let photo = file("photo.gz", b"\x89PNG\r\n\x1a\nnothing to read here");
    let page = file("page.json", b"<html><body>login</body></html>");
    let cut = file("cut.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb]);
    let missing = folder.path().join("missing.gz").to_string_lossy().into_owned();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.json")).unwrap();
    let link = folder.path().join("link.json").to_string_lossy().into_owned();
    let report = vault.json(&["import", &nothing, &photo, &page, &cut, &missing, &link], 3);
    assert_eq!(report["import"]["imported"], 0, "{report:#}");
    let listed = |list: &str| report["import"][list].as_array().unwrap().len();
    assert_eq!((listed("skipped"), listed("failed")), (3, 3), "{report:#}");
    assert!(vault.files().is_empty());
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

#[test]
fn a_folder_that_is_no_vault() {
    let folder = temp_folder();
    for command in [
        &["sync"][..],
        &["plan"],
        &["search", "x"],
        &["show", "1"],
        &["stats"],
        &["verify"],
        &["index"],
        &["import", "/"],
    ] {
        let run = Run::of(program().arg("--vault").arg(folder.path()).args(command).output().unwrap()).exits(10);
        assert!(run.stderr.contains("chatvault init"), "{command:?} names the cure: {}", run.stderr);
        let run = Run::of(program().current_dir(folder.path()).args(command).output().unwrap()).exits(10);
        assert!(run.stderr.contains("no vault"), "{command:?}: {}", run.stderr);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made there");
    let run = Run::of(program().args(["init", "--account", "1"]).arg(folder.path().join("v")).output().unwrap());
    run.exits(0);
    let run = Run::of(program().args(["init", "--account", "1"]).arg(folder.path().join("v")).output().unwrap());
    run.exits(2);
}

#[test]
fn a_second_writer_waits_for_nobody() {
    let slow = Rule::always(Target::Download(String::new()), Fault::Delay(Duration::from_secs(60)));
    let lab = Lab::new(world(30, 4), script([slow]));
    let vault = lab.vault();
    let mut first = vault.command(&["sync"]).spawn().unwrap();
    let started = Instant::now();
    while lab.simulator.requests().download == 0 {
        assert!(started.elapsed() < Duration::from_secs(30) && first.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    for command in [&["sync"][..], &["index"], &["index", "--rebuild"], &["import", "/dev/null"]] {
        let run = vault.run(command).exits(11);
        assert!(run.stderr.contains(&first.id().to_string()), "{command:?} names the holder: {}", run.stderr);
    }
    // Readers are not kept out.
    vault.run(&["verify"]).exits(0);
    vault.run(&["plan"]).exits(0);
    first.kill().unwrap();
    first.wait().unwrap();
    // A lock dies with its holder.
    vault.run(&["index"]).exits(0);
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

/// A small memory file system, unmounted at the end.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn new(size: &str) -> Option<SmallDisk> {
        let disk = SmallDisk { folder: temp_folder() };
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(disk.folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(disk)
    }

    fn grow(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(self.folder.path());
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).output();
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half() {
    let config = SimulatorConfig { world: world(400, 12), gzip_level: 0, ..Lab::config() };
    let lab = Lab::with(config);
    let truth = lab.simulator.world().truth();
    let Some(disk) = SmallDisk::new("1200k") else {
        println!("SKIPPED: a full disk needs a small file system, and mounting a tmpfs is not permitted here");
        return;
    };
    let path = disk.folder.path().join("vault");
    let with = |arguments: &[&str]| Run::of(program().arg("--vault").arg(&path).args(arguments).output().unwrap());
    Run::of(program().arg("init").arg(&path).args(["--account", lab.account()]).output().unwrap()).exits(0);
    fs::write(path.join("vault.toml"), lab.settings()).unwrap();
    let run = with(&["sync"]).exits(1);
    let told = run.stderr.to_lowercase();
    assert!(told.contains("full") || told.contains("no space"), "{}", run.stderr);
    assert!(told.contains("hint"), "the cure is named: {}", run.stderr);
    let left = crate::support::files_of(&path.join("files"));
    assert!((left.len() as u64) < truth.files, "the disk was not full after all");

    disk.grow("200m");
    with(&["sync"]).exits(0);
    let verified = with(&["--json", "verify"]).exits(0).json();
    let files = crate::support::files_of(&path.join("files"));
    assert_eq!(verified["files"]["checked"], files.len());
    assert!(files.len() as u64 >= truth.files);
    let after = crate::support::files_of(&path.join("files"));
    assert!(left.iter().all(|(path, hash)| after.get(path) == Some(hash)), "what was published had been whole");
    assert_eq!(reader(&path).document_count(), truth.conversations);
    assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
}

/// Runs our binary as somebody who may not write everywhere; `None` where that cannot be done.
fn as_nobody(arguments: &[&str], vault: &Path) -> Option<Run> {
    let settled = program();
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(settled.get_program());
        command
    } else {
        Command::new(settled.get_program())
    };
    for (name, value) in settled.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.arg("--vault").arg(vault).args(arguments);
    let run = Run::of(command.output().ok()?);
    // 126, 127: setpriv is not there, or nobody may not run the binary.
    (!matches!(run.code, Some(126 | 127)) && !run.stderr.contains("setpriv")).then_some(run)
}

#[test]
fn a_folder_that_cannot_be_written() {
    let lab = Lab::new(world(30, 4), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let parent = vault.path().parent().unwrap().to_owned();
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o755)).unwrap();
    if !is_root() {
        for folder in ["", "files", "tmp", "index"] {
            fs::set_permissions(vault.path().join(folder), fs::Permissions::from_mode(0o555)).unwrap();
        }
        fs::set_permissions(vault.path().join("vault.lock"), fs::Permissions::from_mode(0o444)).unwrap();
    }
    // The index keeps some files to its owner; here the other user may read all and write nothing.
    assert!(Command::new("chmod").arg("-R").arg("a+rX").arg(vault.path()).status().unwrap().success());
    let before = crate::support::files_of(&vault.path());
    let Some(run) = as_nobody(&["--version"], &vault.path()).filter(|run| run.code == Some(0)) else {
        println!("SKIPPED: cannot run the binary as another user here (setpriv, or the way to the build folder)");
        return;
    };
    assert!(run.stdout.contains("chatvault"));
    for command in [&["sync"][..], &["index", "--rebuild"], &["repair", "--execute"]] {
        let run = as_nobody(command, &vault.path()).unwrap().exits(1);
        let told = run.stderr.to_lowercase();
        assert!(told.contains("permission denied") || told.contains("not permitted"), "{command:?}: {}", run.stderr);
        assert!(run.stderr.contains("vault"), "{command:?} names the place: {}", run.stderr);
    }
    // Reading needs no permission to write.
    as_nobody(&["search", "*"], &vault.path()).unwrap().exits(0);
    as_nobody(&["repair"], &vault.path()).unwrap().exits(0);
    let init = as_nobody(&["init", &parent.join("new").to_string_lossy(), "--account", "1"], &vault.path()).unwrap();
    if is_root() {
        assert!(init.exits(1).stderr.to_lowercase().contains("permission denied"));
    }
    assert_eq!(crate::support::files_of(&vault.path()), before, "nothing changed");
    for folder in ["", "files", "tmp", "index"] {
        fs::set_permissions(vault.path().join(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn settings_that_are_spelt_wrong() {
    let vault = Vault::new("75555851");
    let path = vault.path().join("vault.toml");
    let good = fs::read_to_string(&path).unwrap();
    for (bad, shown) in [
        (good.replace("connections =", "conections ="), ["conections", "connections"]),
        (good.replace("[sync]", "[synch]"), ["synch", "sync"]),
        (good.replace("data-access/engagement", "data-acces/engagement"), ["data-acces/", "data-access/engagement"]),
        (good.replace("\"30d\"", "\"soon\""), ["soon", "30d"]),
        (good.replace("id = ", "id "), ["not valid TOML", "line"]),
    ] {
        assert_ne!(bad, good);
        fs::write(&path, bad).unwrap();
        // Reading the evidence needs no settings: it goes on, and says so.
        let run = vault.run(&["verify"]).exits(0);
        assert!(run.stderr.contains("vault.toml"), "{}", run.stderr);
        for command in [&["sync"][..], &["plan"], &["index"]] {
            let run = vault.run(command).exits(2);
            assert!(shown.iter().all(|word| run.stderr.contains(word)), "{command:?} {shown:?}: {}", run.stderr);
            assert!(run.stderr.contains("vault.toml"), "{}", run.stderr);
        }
        let json = vault.json(&["sync"], 2);
        assert_eq!(json["exit_code"], 2);
        assert!(json["error"].as_str().unwrap().contains("vault.toml"));
    }
    // Another account's settings would mix two archives.
    fs::write(&path, good.replace("75555851", "11111111")).unwrap();
    let run = vault.run(&["sync"]).exits(2);
    assert!(run.stderr.contains("75555851") && run.stderr.contains("11111111"), "{}", run.stderr);
}

#[test]
fn foreign_hosts_get_no_request() {
    for (address, shown) in [
        ("http://192.0.2.1/x.gz", "192.0.2.1"),
        ("https://evilliveperson.net/x.gz", "evilliveperson.net"),
        ("https://x@evil.example/liveperson.net/x.gz", "evil.example"),
        ("file:///etc/passwd", "file"),
    ] {
        let lab =
            Lab::new(world(30, 4), script([Rule::always(Target::Listing, Fault::ForeignHost(address.to_owned()))]));
        let report = lab.vault().json(&["sync"], 3);
        let found = problems(&report);
        assert_eq!(found.len(), 1, "{address}: {report:#}");
        assert_eq!(found[0].0, "refused_host", "{address}");
        let reasons = report["streams"][STREAM]["problems"].to_string();
        assert!(reasons.contains(shown), "{address}: {reasons}");
        assert_eq!(report["streams"][STREAM]["downloaded"], lab.simulator.world().truth().files, "{address}");
    }

    let lab = Lab::new(world(30, 4), Script::default());
    let vault = lab.vault();
    // An endpoint of somebody else over plain http is refused before any request.
    let settings = lab.settings().replace(&lab.simulator.base_url(), "http://chat.example.org");
    fs::write(vault.path().join("vault.toml"), settings).unwrap();
    let run = vault.run(&["sync"]).exits(2);
    assert!(run.stderr.contains("http"), "{}", run.stderr);
}

#[test]
fn a_storm_of_429_ends_the_run() {
    let lab = Lab::new(world(100, 12), script([Rule::always(Target::Download(String::new()), Fault::Status(429))]));
    let vault = lab.vault();
    let run = vault.run(&["sync"]).exits(7);
    assert!(run.stderr.contains("rate limit"), "{}", run.stderr);
    assert!(run.stderr.contains("requests_per_second"), "the cure is named: {}", run.stderr);
    assert!(vault.names_in("tmp").is_empty() && vault.files().is_empty());
    assert!(lab.simulator.requests().download < 100, "it does give up");
    let lab = Lab::new(world(100, 12), script([Rule::always(Target::Listing, Fault::Status(429))]));
    lab.vault().run(&["sync"]).exits(7);
}

#[test]
fn a_server_that_fails_is_temporary() {
    let lab = Lab::new(world(100, 12), Script::default());
    let vault = lab.vault();
    let dead = lab.settings();
    drop(lab);
    fs::write(vault.path().join("vault.toml"), dead).unwrap();
    let run = vault.run(&["sync"]).exits(5);
    assert!(!run.stderr.is_empty());
}

#[test]
fn secrets_stay_secret() {
    let lab = Lab::new(world(60, 8), Script::by_name("flaky").unwrap());
    let vault = lab.vault();
    let mut printed = String::new();
    for arguments in
        [&["-vv", "sync"][..], &["--json", "sync"], &["-vv", "--progress", "json", "plan"], &["verify"], &["stats"]]
    {
        printed.push_str(&vault.run(arguments).all());
    }
    // Also where the server refuses, and repeats what it was sent.
    let refused = Credentials { access_token: format!("{}x", keys().access_token), ..keys() };
    printed.push_str(&lab.sync_with(&vault, &refused).exits(6).all());
    let keys = keys();
    let secrets = [&keys.app_key, &keys.app_secret, &keys.access_token, &keys.access_token_secret];
    for secret in secrets {
        assert!(!printed.contains(secret.as_str()), "{secret} was printed");
    }
    let mut ahead = vec![vault.path()];
    let mut looked = 0;
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                ahead.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            looked += 1;
            for secret in secrets {
                let is_in = memchr::memmem::find(&bytes, secret.as_bytes()).is_some();
                assert!(!is_in, "{secret} in {}", path.display());
            }
        }
    }
    assert!(looked > 10);
}
