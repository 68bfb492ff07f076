//! `repair`: what is lost comes back or is named, nothing is deleted, and a dry run changes nothing.

use crate::support::{Lab, Run, Vault, files_of, ids, keys, reader, world};
use chatvault::archive::{Archive, Clock, ListedFile, ListingOutcome, RealDisk, Window};
use chatvault::simulator::{Fault, HOUR_MS, Rule, Script, Target};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

const STREAM: &str = "data-access/engagement";
const QUERIES: [&str; 8] = ["*", "refund", "agent:sorry", "\"my order\"", "mcs:<50", "my w/3 order", "ord*", "-order"];

fn lab() -> (Lab, Vault) {
    let lab = Lab::new(world(150, 12), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    (lab, vault)
}

fn answers(vault: &Vault) -> Vec<BTreeSet<String>> {
    let reader = reader(&vault.path());
    QUERIES.iter().map(|query| ids(&reader, query)).collect()
}

/// Everything in the vault but what SQLite makes beside a database that is merely read.
fn everything(vault: &Vault) -> BTreeMap<String, String> {
    let mut all = files_of(&vault.path());
    all.retain(|path, _| !path.starts_with("vault.db-"));
    all
}

/// The same by what it says: the rows of the database instead of its bytes, which a checkpoint moves about, and without the lock
/// file's note of the last holder.
fn content(vault: &Vault) -> BTreeMap<String, String> {
    let mut all = everything(vault);
    all.remove("vault.lock");
    let connection = rusqlite::Connection::open(vault.path().join("vault.db")).unwrap();
    let rows = |sql: &str| -> String {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let text = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
            (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at).map(|value| format!("{value:?} "))).collect()
        };
        statement.query_map([], text).unwrap().map(Result::unwrap).collect()
    };
    let said: String = ["events", "files", "entries", "listings", "quarantine", "contents"]
        .iter()
        .map(|table| rows(&format!("SELECT * FROM {table} ORDER BY 1, 2")))
        .collect();
    all.insert("vault.db".to_owned(), said);
    all
}

#[track_caller]
fn same(now: &BTreeMap<String, String>, before: &BTreeMap<String, String>, what: &str) {
    let paths: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
    let changed: Vec<&&String> = paths.iter().filter(|path| now.get(**path) != before.get(**path)).collect();
    assert!(changed.is_empty(), "{what}: {changed:?}");
}

/// Paths under the vault of all archived files, sorted.
fn archived(vault: &Vault) -> Vec<String> {
    vault.files().into_keys().map(|path| format!("files/{path}")).collect()
}

fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    let mut permissions = fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions).unwrap();
}

fn overwrite_new(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    overwrite(path, |_| ());
}

/// Changes one byte; the size stays.
fn damage(vault: &Vault, file: &str) -> PathBuf {
    let path = vault.path().join(file);
    overwrite(&path, |bytes| bytes[30] ^= 0x55);
    path
}

fn kinds(vault: &Vault) -> Vec<String> {
    let events = vault.run(&["audit", "export"]).exits(0).stdout;
    events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect()
}

fn actions(report: &Value) -> BTreeSet<String> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["repair"]["action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_whole_vault_needs_nothing_and_gets_nothing() {
    let (lab, vault) = lab();
    let requests = lab.simulator.requests();
    vault.run(&["verify"]).exits(0);
    let before = content(&vault);
    for arguments in [&["repair"][..], &["repair", "--dry-run"], &["repair", "--execute"], &["repair", "--execute"]] {
        let run = vault.run(arguments).exits(0);
        assert!(run.stdout.contains("nothing to mend"), "{}", run.all());
        same(&content(&vault), &before, &format!("{arguments:?}"));
    }
    assert_eq!(lab.simulator.requests(), requests, "nobody is asked where nothing is wrong");
    vault.run(&["repair", "--execute", "--dry-run"]).exits(2);
}

#[test]
fn damaged_and_missing_files_come_back_from_liveperson() {
    let (_lab, vault) = lab();
    let (whole, found) = (vault.files(), answers(&vault));
    let files = archived(&vault);
    let damaged = damage(&vault, &files[0]);
    let damaged_bytes = fs::read(&damaged).unwrap();
    fs::remove_file(vault.path().join(&files[1])).unwrap();
    overwrite(&vault.path().join(&files[2]), |bytes| bytes.truncate(20));

    let before = everything(&vault);
    let dry = vault.json(&["repair"], 9);
    same(&everything(&vault), &before, "a dry run changes nothing");
    assert_eq!((dry["executed"].as_bool(), dry["ok"].as_bool()), (Some(false), Some(false)));
    assert_eq!(actions(&dry), BTreeSet::from(["fetch".to_owned()]));
    assert!(dry["findings"][0]["repair"]["done"].is_null());

    let done = vault.json(&["repair", "--execute"], 0);
    assert_eq!((done["ok"].as_bool(), done["findings"].as_array().unwrap().len()), (Some(true), 3));
    assert!(done["findings"].as_array().unwrap().iter().all(|finding| finding["repair"]["done"] == true), "{done:#}");
    assert_eq!(vault.files(), whole);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
    assert_eq!(answers(&vault), found);
    vault.json(&["gaps"], 0);
    // The damaged bytes are kept, and what was done stands in the chain.
    let kept: Vec<String> = vault.names_in("quarantine");
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.iter().any(|name| fs::read(vault.path().join("quarantine").join(name)).unwrap() == damaged_bytes));
    let kinds = kinds(&vault);
    let count = |kind: &str| kinds.iter().filter(|known| *known == kind).count();
    assert_eq!((count("restored"), count("quarantined"), count("repaired")), (3, 2, 1), "{kinds:?}");

    vault.run(&["verify"]).exits(0);
    let settled = content(&vault);
    vault.run(&["repair", "--execute"]).exits(0);
    same(&content(&vault), &settled, "a second repair changes nothing");
}

#[test]
fn what_verify_finds_lost_is_a_gap_and_sync_fetches_it() {
    let (_lab, vault) = lab();
    let (whole, files) = (vault.files(), archived(&vault));
    damage(&vault, &files[0]);
    fs::remove_file(vault.path().join(&files[3])).unwrap();
    vault.json(&["gaps"], 0);
    vault.json(&["verify"], 9);
    let gaps = vault.json(&["gaps"], 8);
    let states: BTreeSet<&str> =
        gaps["windows"].as_array().unwrap().iter().map(|window| window["state"].as_str().unwrap()).collect();
    assert_eq!(states, BTreeSet::from(["damaged", "missing"]));
    let report = vault.json(&["sync"], 0);
    assert_eq!(report["streams"][STREAM]["restored"], 2);
    assert_eq!(vault.files(), whole);
    vault.json(&["gaps"], 0);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

#[test]
fn a_file_put_back_by_hand_is_no_gap_any_more() {
    let (_lab, vault) = lab();
    let path = vault.path().join(&archived(&vault)[0]);
    let aside = vault.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    vault.json(&["verify"], 9);
    vault.json(&["gaps"], 8);
    fs::rename(&aside, &path).unwrap();
    vault.json(&["verify"], 0);
    vault.json(&["gaps"], 0);
}

#[test]
fn a_copy_in_the_vault_is_enough() {
    let (lab, vault) = lab();
    let (whole, files) = (vault.files(), archived(&vault));
    // One copy among the strays, one in quarantine, both under other names.
    fs::copy(vault.path().join(&files[0]), vault.path().join("files/a-copy")).unwrap();
    fs::copy(vault.path().join(&files[1]), vault.path().join("quarantine/20260101T000000Z-1-copy")).unwrap();
    damage(&vault, &files[0]);
    fs::remove_file(vault.path().join(&files[1])).unwrap();
    let downloads = lab.simulator.requests().download;
    let dry = vault.json(&["repair", "--offline"], 9);
    assert_eq!(actions(&dry), BTreeSet::from(["put_back".to_owned(), "set_aside".to_owned()]));
    vault.json(&["repair", "--execute", "--offline"], 0);
    assert_eq!(vault.files(), whole);
    assert_eq!(lab.simulator.requests().download, downloads);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

#[test]
fn without_liveperson_the_damage_is_left_in_place_and_import_mends_it() {
    let (_lab, vault) = lab();
    let whole = vault.files();
    let files = archived(&vault);
    let backup = vault.copy();
    let broken = damage(&vault, &files[0]);
    let bytes = fs::read(&broken).unwrap();
    let run = vault.run(&["repair", "--execute", "--offline"]).exits(9);
    assert!(
        run.stdout.contains("is not asked (--offline)") && run.stdout.contains("chatvault import COPY"),
        "{}",
        run.all()
    );
    assert_eq!(fs::read(&broken).unwrap(), bytes);
    // The copy of a backup, same name, same size as the damaged one.
    let copy = backup.path().join(&files[0]);
    let report = vault.json(&["import", copy.to_str().unwrap()], 0);
    assert_eq!((&report["import"]["restored"], &report["import"]["already"]), (&1.into(), &0.into()));
    assert_eq!(vault.files(), whole);
    vault.json(&["repair"], 0);
}

#[test]
fn liveperson_has_other_bytes_now() {
    let (lab, vault) = lab();
    let files = archived(&vault);
    let path = vault.path().join(&files[0]);
    fs::remove_file(&path).unwrap();
    drop(lab);
    // The same account, whose compression differs: the same name with other bytes.
    let config = chatvault::simulator::SimulatorConfig { world: world(150, 12), gzip_level: 9, ..Lab::config() };
    let other = Lab::with(config);
    fs::write(vault.path().join("vault.toml"), other.settings()).unwrap();
    let run = vault.run(&["repair", "--execute"]).exits(9);
    assert!(run.stdout.contains("other bytes now; they are kept as version 2"), "{}", run.all());
    assert!(!path.exists());
    let left = vault.json(&["verify"], 9);
    assert_eq!(left["files"]["missing"].as_array().unwrap().len(), 1);
    let again = vault.run(&["repair"]).exits(9);
    assert!(again.stdout.contains("gives only the latest version"), "{}", again.all());
}

#[test]
fn liveperson_refuses_or_is_not_there() {
    let (lab, vault) = lab();
    let files = archived(&vault);
    fs::remove_file(vault.path().join(&files[0])).unwrap();
    fs::write(vault.path().join("files/stray.txt"), "not ours").unwrap();
    drop(lab);
    let with = |rules: Vec<Rule>| {
        let lab = Lab::new(world(150, 12), Script { rules, late: Vec::new() });
        fs::write(vault.path().join("vault.toml"), lab.settings()).unwrap();
        lab
    };
    let gone = with(vec![Rule::always(Target::Download(String::new()), Fault::Status(404))]);
    let run = vault.run(&["repair", "--execute"]).exits(9);
    assert!(run.stdout.contains("LivePerson could not give it: status 404"), "{}", run.all());
    assert!(!vault.path().join("files/stray.txt").exists(), "what needs no network is mended all the same");
    drop(gone);
    let broken = with(vec![Rule::always(Target::Any, Fault::Status(503))]);
    let code = vault.run(&["repair", "--execute"]).code;
    assert!(matches!(code, Some(5 | 9)), "{code:?}");
    drop(broken);
    let run = vault.run(&["repair", "--execute"]).exits(5);
    assert!(run.stdout.contains("LivePerson could not be asked"), "{}", run.all());
    let refused = with(Vec::new());
    let mut command = vault.command(&["repair", "--execute"]);
    command.env("CHATVAULT_APP_SECRET", "wrong");
    let run = Run::of(command.output().unwrap()).exits(6);
    assert!(!run.all().contains(&keys().app_key), "{}", run.all());
    vault.run(&["repair", "--execute"]).exits(0);
    drop(refused);
}

#[test]
fn strays_are_taken_in_or_set_aside() {
    let (_lab, vault) = lab();
    let (files, all) = (archived(&vault), vault.all_files().len() as u64);
    let other = Lab::new(world(20, 3), Script::default());
    let (elsewhere, run) = other.synced();
    run.exits(0);
    // A file of the archive's own making, whose row never came (another account's hour has another name or other bytes).
    let (name, taken) = elsewhere
        .files()
        .into_keys()
        .map(|path| (format!("files/{path}"), elsewhere.path().join("files").join(&path)))
        .find_map(|(path, source)| {
            let path = if files.contains(&path) { path.replace(".gz", ".v2.gz") } else { path };
            (!files.contains(&path)).then_some((path, source))
        })
        .unwrap();
    fs::create_dir_all(vault.path().join(&name).parent().unwrap()).unwrap();
    fs::copy(&taken, vault.path().join(&name)).unwrap();
    let day = Path::new(&files[0]).parent().unwrap();
    let cut = day.join("Engagement.1467853200000.1467856800000.part-00000-0.gz");
    fs::write(vault.path().join(&cut), b"\x1f\x8b\x08cut").unwrap();
    fs::create_dir_all(vault.path().join("files/import/undated")).unwrap();
    fs::write(vault.path().join("files/import/undated/notes.json"), "{\"a\":1}").unwrap();
    fs::write(vault.path().join("files/.DS_Store"), "x").unwrap();

    let before = everything(&vault);
    let dry = vault.json(&["repair"], 9);
    same(&everything(&vault), &before, "a dry run changes nothing");
    assert_eq!(actions(&dry), BTreeSet::from(["adopt".to_owned(), "set_aside".to_owned()]));
    vault.json(&["repair", "--execute"], 0);
    assert_eq!(vault.names_in("quarantine").len(), 3);
    let events = vault.run(&["audit", "export"]).exits(0).stdout;
    assert!(events.contains("adopted by repair; where it came from is not known"));
    let verified = vault.json(&["verify"], 0);
    assert_eq!(verified["files"]["checked"], all + 1);
    assert_eq!(verified["index"]["ok"], true);
}

#[cfg(unix)]
#[test]
fn links_are_never_followed() {
    let (_lab, vault) = lab();
    let outside = vault.path().parent().unwrap().join("outside");
    fs::write(&outside, "secret").unwrap();
    std::os::unix::fs::symlink(&outside, vault.path().join("files/link")).unwrap();
    let run = vault.run(&["repair", "--execute"]).exits(9);
    assert!(run.stdout.contains("a link or a special file"), "{}", run.all());
    assert!(vault.path().join("files/link").is_symlink() && vault.names_in("quarantine").is_empty());
    assert_eq!(fs::read(&outside).unwrap(), b"secret");
}

#[test]
fn a_changed_row_or_chain_is_never_a_reason_to_touch_a_file() {
    let (_lab, vault) = lab();
    let files = archived(&vault);
    let connection = rusqlite::Connection::open(vault.path().join("vault.db")).unwrap();
    connection
        .execute_batch(&format!(
            "DROP TRIGGER files_never_change; UPDATE files SET sha256 = printf('%064d', 7) WHERE path = '{}';",
            files[0]
        ))
        .unwrap();
    drop(connection);
    let (whole, downloads) = (vault.files(), kinds(&vault).len());
    let run = vault.run(&["repair", "--execute"]).exits(9);
    assert!(run.stdout.contains("ALTERED ROW") && run.stdout.contains("changed by force"), "{}", run.all());
    assert_eq!(vault.files(), whole);
    assert_eq!(kinds(&vault).len(), downloads, "nothing was done, nothing is recorded");
    let connection = rusqlite::Connection::open(vault.path().join("vault.db")).unwrap();
    connection.execute_batch("DROP TRIGGER events_never_change; UPDATE events SET actor = 'x' WHERE seq = 3").unwrap();
    drop(connection);
    fs::remove_file(vault.path().join(&files[2])).unwrap();
    let before = kinds(&vault).len();
    let run = vault.run(&["repair", "--execute"]).exits(9);
    assert!(run.stdout.contains("CHAIN the audit chain is broken at row 3"), "{}", run.all());
    assert_eq!(kinds(&vault).len(), before, "nothing is added to a broken chain");
}

#[test]
fn an_index_that_is_gone_or_broken_is_made_anew_and_write_permissions_go() {
    let (_lab, vault) = lab();
    let found = answers(&vault);
    fs::remove_dir_all(vault.path().join("index")).unwrap();
    vault.json(&["repair"], 9);
    vault.json(&["repair", "--execute"], 0);
    assert_eq!(answers(&vault), found);
    fs::write(vault.path().join("index/CURRENT"), "nonsense").unwrap();
    vault.json(&["repair", "--execute"], 0);
    assert_eq!(answers(&vault), found);
    let path = vault.path().join(&archived(&vault)[0]);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    let dry = vault.json(&["repair"], 9);
    assert_eq!(actions(&dry), BTreeSet::from(["make_read_only".to_owned()]));
    vault.json(&["repair", "--execute"], 0);
    assert!(fs::metadata(&path).unwrap().permissions().readonly());
}

#[test]
fn an_index_made_while_a_file_was_gone_is_mended_when_it_is_back() {
    let (_lab, vault) = lab();
    let found = answers(&vault);
    let path = vault.path().join(&archived(&vault)[0]);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    vault.run(&["index", "--rebuild"]).exits(3);
    assert_ne!(answers(&vault), found);
    // Sync puts the bytes back, and what could not be read is read again in the same run.
    vault.json(&["verify"], 9);
    vault.run(&["sync"]).exits(0);
    assert_eq!(answers(&vault), found);
    vault.json(&["repair"], 0);
    // Put back by hand, it is left to the next run or to the repair.
    fs::remove_file(&path).unwrap();
    vault.run(&["index", "--rebuild"]).exits(3);
    fs::write(&path, &bytes).unwrap();
    vault.json(&["repair", "--execute"], 0);
    assert_eq!(answers(&vault), found);
    fs::remove_file(&path).unwrap();
    vault.run(&["index", "--rebuild"]).exits(3);
    overwrite_new(&path, &bytes);
    let dry = vault.json(&["repair"], 9);
    assert_eq!(actions(&dry), BTreeSet::from(["mend_index".to_owned()]));
    vault.json(&["repair", "--execute"], 0);
    assert_eq!(answers(&vault), found);
    vault.json(&["repair"], 0);
}

/// Bytes that are not those that were archived never reach the index; they are named, and read again once they are back.
#[test]
fn forged_bytes_are_not_indexed() {
    let vault = Vault::new("75555851");
    let folder = crate::support::temp_folder();
    let source = folder.path().join("records.json");
    let record = |id: &str| {
        format!(
            "{{\"recordCollection\":[{{\"body\":{{\"com.liveperson.dataaccess.EngagementData\":{{\"engagements\":[\
             {{\"conversationId\":\"{id}\",\"transcripts\":[{{\"text\":\"genuine words\"}}]}}]}}}}}}],\
             \"recordCount\":1}}\n"
        )
    };
    fs::write(&source, record("1") + &record("2")).unwrap();
    let import = |vault: &Vault| vault.run(&["import", &source.to_string_lossy()]);
    let count = |query: &str| vault.run(&["search", query, "--count"]).exits(0).stdout.trim().to_owned();
    import(&vault).exits(0);
    assert_eq!(count("genuine"), "2");
    let path = vault.path().join(&archived(&vault)[0]);
    let mends: [fn(&Vault, &Path, &Path); 2] = [
        |vault, source, _| drop(vault.run(&["import", &source.to_string_lossy()])),
        |vault, source, path| {
            overwrite(path, |bytes| *bytes = fs::read(source).unwrap());
            vault.run(&["index"]).exits(0);
        },
    ];
    for mend in mends {
        overwrite(&path, |bytes| *bytes = String::from_utf8_lossy(bytes).replace("genuine", "forged!").into_bytes());
        let raw = vault.run(&["show", "1", "--raw"]).exits(9);
        assert!(raw.stderr.contains("not as it was archived") && raw.stdout.is_empty(), "{}", raw.all());
        let run = vault.run(&["index", "--rebuild"]).exits(3);
        assert!(run.all().contains(&archived(&vault)[0]) && run.all().contains("SHA-256"), "{}", run.all());
        assert_eq!((count("forged"), count("genuine")), ("0".to_owned(), "0".to_owned()));
        // Still so: named again, by each run.
        vault.run(&["index"]).exits(3);
        vault.run(&["verify"]).exits(9);
        mend(&vault, &source, &path);
        assert_eq!((count("forged"), count("genuine")), ("0".to_owned(), "2".to_owned()));
        vault.run(&["verify"]).exits(0);
        vault.run(&["index"]).exits(0);
    }
}

#[test]
fn a_locked_vault_is_left_alone() {
    let (_lab, vault) = lab();
    let writer = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
    vault.run(&["repair"]).exits(0);
    vault.run(&["repair", "--execute"]).exits(11);
    drop(writer);
    vault.run(&["repair", "--execute"]).exits(0);
}

/// Does it to the database at the path.
type Loss = fn(&Path);

/// Ways to lose a database.
fn ways() -> [(&'static str, Loss); 4] {
    [
        ("lost", |database| {
            fs::remove_file(database).unwrap();
        }),
        ("zeros", |database| overwrite(database, |bytes| bytes.fill(0))),
        ("truncated", |database| overwrite(database, |bytes| bytes.truncate(bytes.len() * 2 / 3))),
        ("empty", |database| overwrite(database, Vec::clear)),
    ]
}

/// Folds SQLite's log into the database, so that there is one file to lose.
fn fold_log(vault: &Vault) {
    let connection = rusqlite::Connection::open(vault.path().join("vault.db")).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

#[test]
fn a_lost_database_is_rebuilt_and_gives_the_same_answers() {
    let (_lab, original) = lab();
    let (whole, found) = (original.all_files(), answers(&original));
    fold_log(&original);
    for (way, lose) in ways() {
        let vault = original.copy();
        let path = vault.path();
        lose(&path.join("vault.db"));
        let code = vault.run(&["search", "refund"]).code;
        assert!(code != Some(0) || way != "lost", "{way}");
        let before = everything(&vault);
        let dry = vault.json(&["repair"], 9);
        assert_ne!(dry["database"]["state"], "whole", "{way}");
        same(&everything(&vault), &before, &format!("{way}: a dry run changes nothing"));
        let done = vault.json(&["repair", "--execute", "--offline"], 0);
        assert_eq!(done["database"]["state"], "rebuilt", "{way}");
        assert_eq!(done["database"]["rebuilt"]["rows"], whole.len() as u64, "{way}");
        assert_eq!(vault.all_files(), whole, "{way}");
        assert_eq!(answers(&vault), found, "{way}: the same answers");
        let verified = vault.json(&["verify"], 0);
        assert_eq!(
            (&verified["ok"], &verified["files"]["checked"]),
            (&true.into(), &(whole.len() as u64).into()),
            "{way}"
        );
        // The old one is kept, and the first event says what cannot be known.
        let kept = vault.names_in("quarantine");
        assert_eq!(kept.iter().any(|name| name.ends_with("-vault.db")), way != "lost", "{way}: {kept:?}");
        let events = vault.run(&["audit", "export"]).exits(0).stdout;
        let first: Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
        assert_eq!(first["kind"], "created");
        assert!(first["payload"].as_str().unwrap().contains("the earlier audit chain"), "{way}: {first}");
        let (tmp, now) = (vault.names_in("tmp"), content(&vault));
        assert!(tmp.is_empty(), "{way}: {tmp:?}");
        vault.json(&["repair", "--execute", "--offline"], 0);
        same(&content(&vault), &now, &format!("{way}: a second repair changes nothing"));
        // Life goes on: LivePerson is listed anew, and nothing is fetched twice.
        let report = vault.json(&["sync"], 0);
        assert_eq!(report["streams"][STREAM]["downloaded"], 0, "{way}");
        vault.json(&["gaps"], 0);
    }
}

#[test]
fn rows_that_can_still_be_read_keep_provenance_and_times() {
    let lab = Lab::new(world(3000, 48), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    fold_log(&vault);
    let database = vault.path().join("vault.db");
    let provenance_of = |vault: &Vault| -> BTreeMap<String, (String, i64)> {
        let connection = rusqlite::Connection::open(vault.path().join("vault.db")).unwrap();
        let mut statement = connection.prepare("SELECT path, provenance, stored_at_ms FROM files").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let before = provenance_of(&vault);
    // One page in the middle of the events is lost, so the chain cannot be taken over.
    let connection = rusqlite::Connection::open(&database).unwrap();
    let root: u64 =
        connection.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'files'", [], |row| row.get(0)).unwrap();
    let page_bytes: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(connection);
    let at = usize::try_from((root - 1) * page_bytes).unwrap();
    overwrite(&database, |bytes| bytes[at..at + usize::try_from(page_bytes).unwrap()].fill(0));
    // What is lost beside it is not forgotten: its row is evidence.
    let (files, all) = (archived(&vault), vault.all_files().len() as u64);
    fs::remove_file(vault.path().join(&files[5])).unwrap();
    let done = vault.json(&["repair", "--execute", "--offline"], 9);
    let rebuilt = &done["database"]["rebuilt"];
    assert_eq!(rebuilt["copied_whole"], false);
    assert_eq!(rebuilt["recovered"], all - 1, "the events tell what the manifest cannot: {rebuilt}");
    assert_eq!(
        (&rebuilt["recovered_without_bytes"], &done["files"]["missing"][0]["file"]),
        (&1.into(), &files[5].as_str().into())
    );
    assert_eq!(provenance_of(&vault), before);
    vault.json(&["repair", "--execute"], 0);
}

#[test]
fn a_database_whose_rows_are_whole_keeps_its_chain() {
    let (_lab, vault) = lab();
    fold_log(&vault);
    let head = vault.run(&["audit", "head"]).exits(0).stdout;
    let anchor = vault.path().join("head.json");
    vault.run(&["audit", "anchor", "--out", anchor.to_str().unwrap()]).exits(0);
    fold_log(&vault);
    let database = vault.path().join("vault.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'files_by_sha256'";
    let root: u64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    let page_bytes: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(connection);
    let at = usize::try_from((root - 1) * page_bytes).unwrap();
    overwrite(&database, |bytes| bytes[at..at + 64].fill(0));
    assert_eq!(vault.json(&["repair"], 9)["database"]["state"], "unreadable");
    let done = vault.json(&["repair", "--execute"], 0);
    assert_eq!(done["database"]["rebuilt"]["copied_whole"], true);
    vault.run(&["audit", "check", anchor.to_str().unwrap()]).exits(0);
    assert!(!head.is_empty());
    vault.json(&["gaps"], 0);
}

#[test]
fn rows_that_wait_for_keys_are_copied_with_the_others_and_a_lost_header_loses_no_row() {
    let (_lab, vault) = lab();
    vault.run(&["audit", "anchor", "--out", vault.path().join("head.json").to_str().unwrap()]).exits(0);
    fold_log(&vault);
    let database = vault.path().join("vault.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch("INSERT INTO encrypted VALUES (2, 3, '0123456789ABCDEF', '')").unwrap();
    drop(connection);
    fold_log(&vault);
    overwrite(&database, |bytes| bytes[..100].fill(0));
    assert_eq!(vault.json(&["repair"], 9)["database"]["state"], "unreadable");
    let done = vault.json(&["repair", "--execute", "--offline"], 0);
    assert_eq!(done["database"]["rebuilt"]["copied_whole"], true, "{done:#}");
    let connection = rusqlite::Connection::open(&database).unwrap();
    let waiting: (i64, i64, String) = connection
        .query_row("SELECT sequence, records, key_ids FROM encrypted", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(waiting, (2, 3, "0123456789ABCDEF".to_owned()));
    vault.run(&["audit", "check", vault.path().join("head.json").to_str().unwrap()]).exits(0);
}

/// A vault that a file with a damaged body was imported into, beside a whole one: what is wrong with it may never be forgotten.
#[test]
fn a_damaged_file_is_no_less_damaged_when_the_database_is_lost_too() {
    let (lab, vault) = lab();
    let files = archived(&vault);
    let name = files[0].rsplit('/').next().unwrap().to_owned();
    overwrite(&vault.path().join(&files[0]), |bytes| bytes.truncate(bytes.len() - 9));
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(vault.path().join(format!("vault.db{ending}")));
    }
    let done = vault.json(&["repair", "--execute", "--offline"], 9);
    assert_eq!(done["ok"], false);
    let finding = &done["findings"][0];
    assert_eq!((&finding["file"], &finding["repair"]["action"]), (&files[0].as_str().into(), &"salvage".into()));
    assert_eq!(finding["repair"]["done"], false);
    assert!(!finding["conversations"].as_array().unwrap().is_empty(), "the old index knows them: {finding:#}");
    let outcome = finding["repair"]["outcome"].as_str().unwrap();
    assert!(outcome.contains(".salvaged-"), "{outcome}");
    let archive = Archive::open(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
    let entries = archive.entries_in(STREAM).unwrap();
    let entry = entries.iter().find(|entry| entry.name == name).unwrap();
    assert_eq!(entry.state.as_str(), "damaged");
    assert!(entry.window.is_some());
    drop(archive);
    assert!(archived(&vault).iter().any(|path| outcome.contains(path.as_str())), "{outcome}");
    // A copy of the whole file ends it.
    vault.json(&["sync"], 0);
    let archive = Archive::open(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
    let entries = archive.entries_in(STREAM).unwrap();
    assert!(entries.iter().all(|entry| entry.state.as_str() == "fetched"));
    drop(lab);
}

#[test]
fn a_database_that_sqlite_calls_broken_is_not_verified() {
    let (_lab, vault) = lab();
    fold_log(&vault);
    let database = vault.path().join("vault.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'quarantine_by_sha256'";
    let root: u64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    let page_bytes: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(connection);
    let at = usize::try_from((root - 1) * page_bytes).unwrap();
    overwrite(&database, |bytes| bytes[at..at + 64].fill(0xee));
    let told = vault.json(&["verify"], 9);
    assert_eq!((&told["ok"], &told["findings"][0]["kind"]), (&false.into(), &"database".into()), "{told:#}");
    // What can still be read was read.
    assert!(told["files"]["checked"].as_u64() > Some(0), "{told:#}");
    let run = vault.run(&["verify"]).exits(9);
    assert!(run.stdout.contains("chatvault repair"), "{}", run.all());
    overwrite(&database, |bytes| bytes.fill(0));
    assert_eq!(vault.json(&["verify"], 9)["findings"][0]["kind"], "database");
}

#[test]
fn settings_that_cannot_be_used_stop_neither_verify_nor_repair() {
    let (_lab, vault) = lab();
    let path = vault.path().join("vault.toml");
    let good = fs::read_to_string(&path).unwrap();
    for cut in ["[account]\nid = \"75", "[accou", "# nothing\n"] {
        fs::write(&path, cut).unwrap();
        let run = vault.run(&["verify"]).exits(0);
        assert!(run.stderr.contains("vault.toml"), "{}", run.all());
        assert_eq!(vault.json(&["repair"], 9)["settings"], "unusable");
        let run = vault.run(&["repair", "--execute"]).exits(9);
        assert!(run.stdout.contains("mend it by hand"), "{}", run.all());
        assert_eq!(fs::read_to_string(&path).unwrap(), cut, "what a person wrote stays");
    }
    for blank in ["", "\n", "\0\0\0"] {
        fs::write(&path, blank).unwrap();
        vault.run(&["verify"]).exits(0);
        assert_eq!(vault.json(&["repair"], 9)["settings"], "missing");
        vault.json(&["repair", "--execute"], 0);
        assert!(fs::read_to_string(&path).unwrap().contains("[account]"), "{blank:?}");
    }
    fs::write(&path, good).unwrap();
    vault.json(&["verify"], 0);
}

#[test]
fn an_anchor_of_a_chain_that_was_rebuilt_is_refused_by_that_name() {
    let (_lab, vault) = lab();
    let anchor = vault.path().join("head.json");
    vault.run(&["audit", "anchor", "--out", anchor.to_str().unwrap()]).exits(0);
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(vault.path().join(format!("vault.db{ending}")));
    }
    let run = vault.run(&["repair", "--execute", "--offline"]).exits(0);
    assert!(!run.stdout.contains("INDEX"), "{}", run.all());
    let run = vault.run(&["audit", "check", anchor.to_str().unwrap()]).exits(9);
    assert!(run.stdout.contains("vault.db was rebuilt at"), "{}", run.all());
}

#[test]
fn settings_that_are_lost_need_the_account() {
    let (lab, vault) = lab();
    fs::remove_file(vault.path().join("vault.toml")).unwrap();
    let dry = vault.json(&["repair"], 9);
    assert_eq!(dry["settings"], "missing");
    fs::remove_file(vault.path().join("vault.db")).unwrap();
    let run = vault.run(&["repair"]).exits(2);
    assert!(run.stderr.contains("--account ID"), "{}", run.all());
    vault.json(&["repair", "--execute", "--account", lab.account()], 0);
    assert!(vault.path().join("vault.toml").is_file());
    vault.json(&["verify"], 0);
    // Another account's number is not believed.
    vault.run(&["repair", "--account", "1"]).exits(2);
    vault.run(&["repair", "--account", "../x"]).exits(2);
}

#[test]
fn killed_while_the_database_is_rebuilt() {
    let (_lab, original) = lab();
    let (whole, found) = (original.files(), answers(&original));
    fold_log(&original);
    for (way, lose) in ways().into_iter().take(3) {
        for round in 0..4_u64 {
            let vault = original.copy();
            lose(&vault.path().join("vault.db"));
            let mut child = vault.command(&["repair", "--execute", "--offline"]).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2 + 15 * round));
            child.kill().unwrap();
            child.wait().unwrap();
            vault.json(&["repair", "--execute", "--offline"], 0);
            assert_eq!(vault.files(), whole, "{way} {round}");
            assert_eq!(answers(&vault), found, "{way} {round}");
            assert_eq!(vault.json(&["verify"], 0)["ok"], true, "{way} {round}");
        }
    }
}

/// A vault whose ledger was last written 40 days ago: one hour with a file that never came, the hours about it unknown.
fn old_ledger(vault: &Vault) -> i64 {
    let now_ms = Clock::System.now_ms();
    let then_ms = (now_ms - 40 * 24 * HOUR_MS).div_euclid(HOUR_MS) * HOUR_MS;
    let clock = Clock::Fixed(Arc::new(AtomicI64::new(then_ms)));
    let archive = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), clock).unwrap();
    let window = Window { start_ms: then_ms - 3 * HOUR_MS, end_ms: then_ms - 2 * HOUR_MS };
    let asked = Window { start_ms: then_ms - 6 * HOUR_MS, end_ms: then_ms };
    let name = format!("Engagement.{}.{}.part-00000-0.gz", window.start_ms, window.end_ms);
    let listed = ListedFile { stream: STREAM.into(), name, window: Some(window), href: String::new() };
    archive.record_listed(STREAM, asked, &[listed]).unwrap();
    window.start_ms
}

fn time(epoch_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(epoch_ms).unwrap().to_string()
}

#[test]
fn an_expired_hour_can_be_accepted_with_a_reason() {
    let lab = Lab::new(world(50, 6), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    let start_ms = old_ledger(&vault);
    // Everything between then and the first listing of today is unknown; what lies before the last 30 days is expired.
    let gaps = vault.json(&["gaps"], 8);
    let of = |gaps: &Value, at: &str| {
        gaps["windows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|window| window["start"].as_str().unwrap().starts_with(at))
            .cloned()
    };
    let hour = &time(start_ms)[..16];
    assert_eq!(of(&gaps, hour).unwrap()["state"], "expired");

    let one = format!("{}..{}", time(start_ms), time(start_ms + HOUR_MS));
    let too_far = format!("{}..{}", time(start_ms), time(Clock::System.now_ms() / HOUR_MS * HOUR_MS));
    vault.run(&["gaps", "accept", STREAM, &one]).exits(2);
    vault.run(&["gaps", "accept", STREAM, &one, "--reason", " "]).exits(2);
    vault.run(&["gaps", "accept", "elsewhere", &one, "--reason", "x"]).exits(2);
    vault.run(&["gaps", "accept", STREAM, "yesterday", "--reason", "x"]).exits(2);
    let run = vault.run(&["gaps", "accept", STREAM, &too_far, "--reason", "x"]).exits(2);
    assert!(run.stderr.contains("may still have it"), "{}", run.all());
    let before = kinds(&vault).len();
    let accepted =
        vault.json(&["gaps", "accept", STREAM, &one, "--reason", "outage \u{1b}[31m4711", "--by", "A. Auditor"], 0);
    assert_eq!((&accepted["hours"], &accepted["by"]), (&1.into(), &"A. Auditor".into()));
    assert_eq!(kinds(&vault)[before..], ["acknowledged"]);
    let gaps = vault.json(&["gaps"], 8);
    let told = of(&gaps, hour).unwrap();
    assert_eq!((&told["state"], &told["accepted"]["by"]), (&"expired".into(), &"A. Auditor".into()), "{told}");
    let text = vault.run(&["gaps"]).exits(8).stdout;
    assert!(text.contains("accepted by A. Auditor") && !text.contains('\u{1b}'), "{text}");
    let run = vault.run(&["gaps", "accept", STREAM, &one, "--reason", "again"]).exits(2);
    assert!(run.stderr.contains("nothing to accept"), "{}", run.all());

    // A file of that hour that turns up later counts.
    let archive = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
    let window = Window { start_ms, end_ms: start_ms + HOUR_MS };
    let late = ListedFile {
        stream: STREAM.into(),
        name: format!("Engagement.{}.{}.part-00001-0.gz", window.start_ms, window.end_ms),
        window: Some(window),
        href: String::new(),
    };
    archive.record_listed(STREAM, window, &[late]).unwrap();
    drop(archive);
    assert!(of(&vault.json(&["gaps"], 8), hour).unwrap()["accepted"].is_null());
    vault.json(&["gaps", "accept", STREAM, &one, "--reason", "that one too"], 0);
    assert_eq!(of(&vault.json(&["gaps"], 8), hour).unwrap()["accepted"]["reason"], "that one too");
}

#[test]
fn when_every_gap_is_accepted_there_is_none() {
    let lab = Lab::new(world(20, 3), Script::default());
    let vault = lab.vault();
    // Asked once, long ago: everything between is either expired or still to be had.
    let now_ms = Clock::System.now_ms();
    let then_ms = (now_ms - 33 * 24 * HOUR_MS).div_euclid(HOUR_MS) * HOUR_MS;
    let clock = Clock::Fixed(Arc::new(AtomicI64::new(then_ms)));
    let archive = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), clock).unwrap();
    let failed = ListingOutcome::Failed { reason: "no answer".into() };
    archive.record_listing(STREAM, Window { start_ms: then_ms - 4 * HOUR_MS, end_ms: then_ms }, &failed).unwrap();
    drop(archive);
    vault.run(&["--json", "sync"]).exits(0);
    let gaps = vault.json(&["gaps"], 8);
    let expired: Vec<&Value> =
        gaps["windows"].as_array().unwrap().iter().filter(|window| window["state"] == "expired").collect();
    assert_eq!(expired.len(), gaps["windows"].as_array().unwrap().len(), "a sync leaves nothing but what is deleted");
    let first = expired[0]["start"].as_str().unwrap();
    let last = expired[expired.len() - 1]["end"].as_str().unwrap();
    vault.json(&["gaps", "accept", STREAM, &format!("{first}..{last}"), "--reason", "before we came"], 0);
    let run = vault.run(&["gaps"]).exits(0);
    assert!(run.stdout.contains("no gaps") && run.stdout.contains("accepted as lost"), "{}", run.all());
    let accepted = vault.json(&["gaps"], 0);
    assert!(
        accepted["windows"].as_array().unwrap().iter().all(|window| window["accepted"]["reason"] == "before we came")
    );
}
