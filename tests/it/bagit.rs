//! Bags: what `export` writes is accepted by the Library of Congress's `bagit.py`, what was changed is refused by it and by
//! us, and what `import` takes back is what was handed over, with its provenance.
//!
//! `bagit.py` is the independent witness. `./check` installs it; these tests fail without it.

use crate::support::{Lab, Run, Vault, files_of, ids, reader, temp_folder, world};
use chatvault::archive::{Archive, Clock, RealDisk};
use chatvault::simulator::Script;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Python with the `bagit` that `./check` put beside the build, or that the system has.
#[track_caller]
fn python(arguments: &[&str]) -> Run {
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("bagit");
    let mut command = Command::new("python3");
    command.args(arguments).env("PYTHONPATH", &beside).env("PYTHONDONTWRITEBYTECODE", "1");
    let run = Run::of(command.output().expect("python3 is missing: run ./check once"));
    assert!(
        !run.stderr.contains("No module named bagit") && !run.stderr.contains("No module named 'bagit'"),
        "bagit.py is missing: run ./check once, or `python3 -m pip install --target {} bagit==1.9.0`",
        beside.display()
    );
    run
}

/// What `bagit.py --validate` says.
#[track_caller]
fn witness(bag: &Path) -> Run {
    python(&["-m", "bagit", "--validate", &text(bag)])
}

/// What the script in our bags says.
#[track_caller]
fn checker(bag: &Path, heads: &[&str]) -> Run {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/data/check_bag.py");
    python(&[&[script, &text(bag)], heads].concat())
}

/// Lets bagit.py write all manifests anew, as somebody would who changed a bag and wants it to be valid.
#[track_caller]
fn sealed_anew(bag: &Path) {
    let code = "import bagit, sys; bagit.Bag(sys.argv[1]).save(manifests=True)";
    python(&["-c", code, &text(bag)]).exits(0);
    witness(bag).exits(0);
}

#[track_caller]
fn synced() -> (Lab, Vault) {
    let lab = Lab::new(world(120, 10), Script::default());
    let (vault, run) = lab.synced();
    run.exits(0);
    (lab, vault)
}

fn beside(vault: &Vault, name: &str) -> PathBuf {
    vault.path().parent().unwrap().join(name)
}

#[track_caller]
fn export(vault: &Vault, query: &str, name: &str) -> (PathBuf, Value) {
    let out = beside(vault, name);
    let report = vault.json(&["export", query, "--format", "bagit", "--out", &text(&out)], 0);
    (out, report)
}

fn copy_of(bag: &Path, name: &str) -> PathBuf {
    let copy = bag.with_file_name(name);
    assert!(Command::new("cp").arg("-a").arg(bag).arg(&copy).status().unwrap().success());
    copy
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn head_of(vault: &Vault) -> Value {
    vault.json(&["audit", "head"], 0)
}

/// Writes to a read-only file, as a stranger would.
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The first archived file in a bag or a vault.
fn first_file(folder: &Path) -> PathBuf {
    folder.join(files_of(folder).into_keys().find(|path| path.contains("files/") && path.ends_with(".gz")).unwrap())
}

#[test]
fn a_bag_of_everything_is_accepted_and_comes_back() {
    let (lab, vault) = synced();
    let (bag, report) = export(&vault, "*", "bag");
    witness(&bag).exits(0);
    let accepted = checker(&bag, &[]).exits(0);
    assert!(accepted.stdout.contains(", 0 not tied, "), "{}", accepted.stdout);
    assert_eq!(files_of(&bag.join("data/files")), vault.all_files(), "the bytes are the vault's");
    assert_eq!(report["files"], vault.all_files().len());
    assert_eq!((&report["recorded"], &report["untied"], &report["coverage"]), (&json!(true), &json!(0), &Value::Null));

    // The ledger in it is what the vault says of itself.
    let chain = beside(&vault, "chain.ndjson");
    vault.run(&["audit", "export", "--out", &text(&chain)]).exits(0);
    let (ours, theirs) = (lines(&chain), lines(&bag.join("data/ledger/events.ndjson")));
    assert_eq!(ours[..theirs.len()], theirs[..]);
    let exported = &ours[theirs.len()];
    assert_eq!((&exported["kind"], ours.len()), (&json!("exported"), theirs.len() + 1));
    let payload: Value = serde_json::from_str(exported["payload"].as_str().unwrap()).unwrap();
    assert_eq!((&payload["query"], &payload["manifest_sha256"]), (&json!("*"), &report["manifest_sha256"]));
    assert_eq!(files_of(&bag)["manifest-sha256.txt"], report["manifest_sha256"].as_str().unwrap());
    let manifest = fs::read_to_string(bag.join("manifest-sha256.txt")).unwrap();
    for row in lines(&bag.join("data/ledger/files.ndjson")) {
        let line = format!("{}  {}\n", row["sha256"].as_str().unwrap(), row["payload"].as_str().unwrap());
        assert!(manifest.contains(&line), "{line}");
    }
    assert!(vault.run(&["audit"]).exits(0).stdout.contains("for the query *"));

    // Where it came from it changes nothing.
    let before = (head_of(&vault), vault.all_files());
    let again = vault.json(&["import", &text(&bag)], 0);
    assert_eq!((&again["import"]["imported"], &again["import"]["already"]), (&json!(0), &report["files"]));
    assert_eq!((head_of(&vault), vault.all_files()), before);

    // In a new vault it gives the same answers.
    let other = Vault::new(lab.account());
    let taken = other.json(&["import", &text(&bag)], 0);
    assert_eq!(taken["import"]["bags"][0]["account_id"], lab.account());
    assert_eq!(taken["import"]["bags"][0]["other_account"], false);
    assert_eq!(other.json(&["verify"], 0)["ok"], true);
    assert_eq!(other.all_files(), vault.all_files());
    let (here, there) = (reader(&vault.path()), reader(&other.path()));
    for query in
        ["*", "refund", "consumer:cancel", "refund OR cancel -sorry", "cancel w/9 order", "has:transfer", "re*"]
    {
        assert_eq!(ids(&here, query), ids(&there, query), "{query}");
    }
    let id = vault.json(&["search", "*", "--limit", "1"], 0)["hits"][0]["conversation_id"].clone();
    let id = id.as_str().unwrap();
    let (was, is) = (vault.json(&["show", id], 0), other.json(&["show", id], 0));
    for (was, is) in was["provenance"].as_array().unwrap().iter().zip(is["provenance"].as_array().unwrap()) {
        for kept in ["origin", "request", "response", "http_date", "clock_offset_ms", "program", "sha256", "file"] {
            assert_eq!(was[kept], is[kept], "{kept}");
        }
        assert_eq!(was["custody"], json!([]));
        let hand_over = &is["custody"][0];
        assert_eq!(hand_over["bag"], report["manifest_sha256"]);
        assert_eq!(hand_over["sender"]["head"], report["head"]);
        assert_eq!(hand_over["sender"]["path"], was["file"]);
        assert!(hand_over["origin"].as_str().unwrap().starts_with("import:"), "{hand_over}");
    }
    let events = other.json(&["audit", "--kind", "imported", "--limit", "all"], 0);
    assert_eq!(events["total"], report["files"]);
    let rows = lines(&bag.join("data/ledger/files.ndjson"));
    for (event, row) in events["events"].as_array().unwrap().iter().zip(&rows) {
        for kept in ["stream", "name", "version", "window", "path", "sha256"] {
            assert_eq!(event["payload"][kept], row[kept], "the order is the sender's");
        }
    }

    // And from there on, with both stations.
    let (second, _) = export(&other, "*", "bag");
    witness(&second).exits(0);
    checker(&second, &[]).exits(0);
    let third = Vault::new("99");
    let taken = third.json(&["import", &text(&second)], 0);
    assert_eq!(taken["import"]["bags"][0]["other_account"], true);
    assert!(third.run(&["import", &text(&second)]).exits(0).stdout.contains("of another account"));
    let shown = third.json(&["show", id], 0);
    assert_eq!(shown["provenance"][0]["custody"].as_array().unwrap().len(), 2);
    assert_eq!(shown["provenance"][0]["origin"], was["provenance"][0]["origin"]);
    assert_eq!(third.json(&["verify"], 0)["ok"], true);
}

#[test]
fn a_bag_of_a_query_names_no_other_file() {
    let (lab, vault) = synced();
    let (bag, report) = export(&vault, "refund", "bag");
    witness(&bag).exits(0);
    let found = ids(&reader(&vault.path()), "refund");
    let hits = lines(&bag.join("data/ledger/hits.ndjson"));
    let keys: BTreeSet<String> = hits.iter().map(|hit| hit["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(keys, found);
    assert_eq!(report["conversations"], found.len());
    let places: BTreeSet<&str> = hits
        .iter()
        .flat_map(|hit| hit["records"].as_array().unwrap())
        .map(|record| record["file"].as_str().unwrap().strip_prefix("files/").unwrap())
        .collect();
    let inside = files_of(&bag.join("data/files"));
    assert_eq!(inside.keys().map(String::as_str).collect::<BTreeSet<_>>(), places);
    let all = vault.all_files();
    assert!(inside.len() < all.len() && !inside.is_empty(), "{} of {}", inside.len(), all.len());
    // Not a word of the others, in whatever file of the bag.
    let whole: Vec<u8> =
        ["ledger/events.ndjson", "ledger/files.ndjson", "ledger/hits.ndjson", "../manifest-sha256.txt"]
            .iter()
            .flat_map(|name| fs::read(bag.join("data").join(name)).unwrap())
            .collect();
    let whole = String::from_utf8(whole).unwrap();
    for (path, sha256) in all.iter().filter(|(path, _)| !inside.contains_key(*path)) {
        let name = path.rsplit('/').next().unwrap();
        assert!(!whole.contains(name) && !whole.contains(sha256.as_str()), "{path}");
    }
    // Every file is tied to an anchor that the vault knows.
    assert_eq!(report["untied"], 0);
    let head = bag.join("data/ledger/head.json");
    assert_eq!(vault.json(&["audit", "check", &text(&head)], 0)["ok"], true);
    let hash = report["head"]["hash"].as_str().unwrap();
    checker(&bag, &[hash]).exits(0);
    let refused = checker(&bag, &[&"0".repeat(64)]);
    assert!(refused.code != Some(0) && refused.stderr.contains("written down"), "{refused:?}");

    // The same again is the same again, but for the date.
    let (twin, same) = export(&vault, "refund", "twin");
    assert_eq!(same["manifest_sha256"], report["manifest_sha256"]);
    let (mut one, mut two) = (files_of(&bag), files_of(&twin));
    for dated in ["bag-info.txt", "tagmanifest-sha256.txt"] {
        assert!(one.remove(dated).is_some() && two.remove(dated).is_some());
    }
    assert_eq!(one, two);

    let other = Vault::new(lab.account());
    other.json(&["import", &text(&bag)], 0);
    assert_eq!(ids(&reader(&other.path()), "refund"), found);
    assert_eq!(other.json(&["verify"], 0)["ok"], true);
    let people =
        vault.run(&["export", "refund", "--format", "bagit", "--out", &text(&beside(&vault, "third"))]).exits(0);
    assert!(people.stdout.contains("files go whole"), "{}", people.stdout);
}

#[test]
fn whatever_is_changed_is_refused_by_both() {
    let (_lab, vault) = synced();
    let (bag, _) = export(&vault, "*", "bag");
    let head = head_of(&vault);
    let fresh = Vault::new("40112233");
    let untouched = head_of(&fresh);
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("checksum", |bag| {
            let file = first_file(bag);
            let mut bytes = fs::read(&file).unwrap();
            bytes[40] ^= 1;
            overwrite(&file, &bytes);
        }),
        ("missing", |bag| fs::remove_file(first_file(bag)).unwrap()),
        ("is in no manifest", |bag| fs::write(bag.join("data/files/stranger.gz"), "x").unwrap()),
        ("manifest-sha256.txt", |bag| {
            let manifest = bag.join("manifest-sha256.txt");
            let mut bytes = fs::read(&manifest).unwrap();
            bytes[0] = if bytes[0] == b'0' { b'1' } else { b'0' };
            fs::write(&manifest, bytes).unwrap();
        }),
        ("leads out", |bag| {
            let manifest = bag.join("manifest-sha256.txt");
            let mut lines = fs::read_to_string(&manifest).unwrap();
            lines.push_str(&format!("{}  data/../../../../etc/passwd\n", "0".repeat(64)));
            fs::write(&manifest, lines).unwrap();
        }),
        ("Payload-Oxum", |bag| {
            let info = bag.join("bag-info.txt");
            fs::write(&info, fs::read_to_string(&info).unwrap().replace("Payload-Oxum: ", "Payload-Oxum: 1")).unwrap();
        }),
    ];
    for (at, (because, change)) in changes.into_iter().enumerate() {
        let changed = copy_of(&bag, &format!("changed-{at}"));
        change(&changed);
        assert_ne!(witness(&changed).code, Some(0), "{because}");
        for vault in [&vault, &fresh] {
            let refused = vault.run(&["import", &text(&changed)]).exits(9);
            assert!(
                refused.stdout.contains("REFUSED") && refused.stdout.contains(because),
                "{because}: {}",
                refused.stdout
            );
        }
        let report = fresh.json(&["import", &text(&changed)], 9);
        assert!(!report["import"]["bags"][0]["refused"]["problems"].as_array().unwrap().is_empty());
    }
    // A fetch.txt may be honest; what it names is not here all the same.
    let holey = copy_of(&bag, "holey");
    fs::write(holey.join("fetch.txt"), "").unwrap();
    assert!(fresh.run(&["import", &text(&holey)]).exits(9).stdout.contains("fetch.txt"));
    assert_eq!((head_of(&vault), head_of(&fresh)), (head, untouched), "nothing was taken");
    assert!(fresh.all_files().is_empty());
}

/// Who writes all manifests anew has a valid bag. The ledger in it speaks against it.
#[test]
fn a_forged_ledger_is_refused() {
    let (_lab, vault) = synced();
    let forge = |bag: &Path, name: &str, change: &dyn Fn(&str) -> String| {
        let path = bag.join("data/ledger").join(name);
        let before = fs::read_to_string(&path).unwrap();
        let after = change(&before);
        assert_ne!(before, after, "{name}");
        fs::write(&path, after).unwrap();
    };
    let without_line = |at: usize| {
        move |text: &str| {
            let kept = text.lines().enumerate().filter(|(line, _)| *line != at);
            kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
        }
    };
    for (query, name) in [("*", "whole"), ("refund", "some")] {
        let (bag, _) = export(&vault, query, name);
        let fresh = Vault::new("40112233");
        let check = |what: &str, change: &dyn Fn(&Path)| {
            let forged = copy_of(&bag, "forged");
            change(&forged);
            sealed_anew(&forged);
            let ours = fresh.run(&["import", &text(&forged)]).exits(9);
            assert!(ours.stdout.contains("its ledger does not hold"), "{what}: {}", ours.stdout);
            assert_ne!(checker(&forged, &[]).code, Some(0), "{what}");
            fs::remove_dir_all(&forged).unwrap();
        };
        check("origin", &|bag| {
            forge(bag, "files.ndjson", &|text| text.replacen("\"origin\":\"http", "\"origin\":\"xttp", 1))
        });
        check("stored", &|bag| {
            forge(bag, "files.ndjson", &|text| text.replacen("\"stored_at_ms\":1", "\"stored_at_ms\":2", 1))
        });
        check("event", &|bag| {
            forge(bag, "events.ndjson", &|text| text.replacen("\\\"version\\\":1", "\\\"version\\\":2", 1))
        });
        check("row removed", &|bag| forge(bag, "files.ndjson", &without_line(0)));
        check("head", &|bag| {
            forge(bag, "export.json", &|text| text.replacen("\"seq\": ", "\"seq\": 9", 1));
        });
        check("last event removed", &|bag| {
            forge(bag, "events.ndjson", &|text| without_line(text.lines().count() - 1)(text));
        });
        check("file changed with its row", &|bag| {
            let file = first_file(bag);
            let old = files_of(bag)[&text(file.strip_prefix(bag).unwrap())].clone();
            let mut bytes = fs::read(&file).unwrap();
            bytes[9] ^= 1; // the operating system in the header: the content is the same
            overwrite(&file, &bytes);
            let new = files_of(bag)[&text(file.strip_prefix(bag).unwrap())].clone();
            forge(bag, "files.ndjson", &|text| text.replace(&old, &new));
        });
        assert!(fresh.all_files().is_empty());
    }
}

#[test]
fn bags_of_other_programs_are_imported_like_files() {
    let (lab, vault) = synced();
    let many = temp_folder();
    for (name, algorithms) in [("old", vec!["md5"]), ("both", vec!["md5", "sha1"]), ("new", vec!["sha512", "sha384"])] {
        let bag = many.path().join(name);
        fs::create_dir(&bag).unwrap();
        for (path, _) in vault.all_files() {
            let flat = path.rsplit('/').next().unwrap();
            fs::copy(vault.path().join("files").join(&path), bag.join(flat)).unwrap();
        }
        fs::write(bag.join("notes 100%.txt"), "no LivePerson data").unwrap();
        let options: Vec<String> = algorithms.iter().map(|algorithm| format!("--{algorithm}")).collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let place = text(&bag);
        python(&[&["-m", "bagit"], &options[..], &["--external-identifier", "box 7\u{1b}[31m", &place]].concat())
            .exits(0);
        let files = vault.all_files().len() as u64;
        let fresh = Vault::new(lab.account());
        // Also where it lies deeper in what is named.
        let taken = fresh.json(&["import", &text(many.path())], 0);
        assert_eq!((&taken["import"]["imported"], &taken["import"]["failed"]), (&json!(files), &json!([])), "{name}");
        assert_eq!(taken["import"]["bags"][0]["account_id"], Value::Null);
        assert_eq!(
            taken["import"]["skipped"].as_array().unwrap().len(),
            1,
            "the notes: {}",
            taken["import"]["skipped"]
        );
        assert_eq!(ids(&reader(&fresh.path()), "refund"), ids(&reader(&vault.path()), "refund"));
        assert_eq!(fresh.json(&["verify"], 0)["ok"], true);
        let id = fresh.json(&["search", "*", "--limit", "1"], 0)["hits"][0]["conversation_id"].clone();
        let came = fresh.json(&["show", id.as_str().unwrap()], 0)["provenance"][0].clone();
        assert!(came["origin"].as_str().unwrap().starts_with("import:"), "{came}");
        assert_eq!(came["custody"][0]["bag"], taken["import"]["bags"][0]["manifest_sha256"]);
        assert!(came["custody"][0]["sender"].is_null());
        assert!(!fresh.run(&["import", &place]).exits(0).all().contains('\u{1b}'));

        let file = files_of(&bag).into_keys().find(|path| path.ends_with(".gz")).unwrap();
        let mut bytes = fs::read(bag.join(&file)).unwrap();
        bytes[30] ^= 4;
        overwrite(&bag.join(&file), &bytes);
        assert_ne!(witness(&bag).code, Some(0));
        let refused = Vault::new(lab.account());
        // A bad bag stops no other file.
        let beside = vault.path().join("files").join(vault.all_files().keys().next().unwrap());
        let report = refused.json(&["import", &text(&bag), &text(&beside)], 9);
        assert_eq!(report["import"]["imported"], 1, "{name}");
        assert_eq!(refused.all_files().len(), 1);
        fs::remove_dir_all(&bag).unwrap();
    }
}

/// A record that imports take.
fn record(id: &str, words: &str) -> String {
    let record = json!({ "dataType": "Engagement", "metaData": { "accountId": "75555851" }, "recordCollection": [ { "body": {
        "engagements": [ {
            "conversationId": id, "conversationStartTime": 1_467_853_200_000_i64, "type": "LIVE_CHAT",
            "transcripts": [ { "text": words, "type": "0", "by": "Visitor", "timestamp": 1_467_853_201_000_i64 } ] } ] } } ] });
    format!("{record}\n")
}

#[test]
fn names_and_versions_survive() {
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    let names =
        ["50% off.json", "%25.json", "a  b ü 退款.json", "Case.json", "case.json", "~x.json", "$HOME.json", "#.json"];
    for (at, name) in names.iter().enumerate() {
        let path = folder.path().join(at.to_string());
        fs::create_dir(&path).unwrap();
        fs::write(path.join(name), record(&format!("c{at}"), "refund")).unwrap();
        vault.run(&["import", &text(&path.join(name))]).exits(0);
    }
    // Three versions of one name: their order is part of the ledger.
    for version in 0..3 {
        let path = folder.path().join("0").join(names[0]);
        fs::write(&path, record("c0", &format!("refund again {version}"))).unwrap();
        vault.run(&["import", &text(&path)]).exits(0);
    }
    let (bag, report) = export(&vault, "*", "bag");
    witness(&bag).exits(0);
    checker(&bag, &[]).exits(0);
    assert_eq!((&report["files"], &report["renamed"]), (&json!(11), &json!(5)));
    let fresh = Vault::new("75555851");
    fresh.json(&["import", &text(&bag)], 0);
    assert_eq!(fresh.json(&["verify"], 0)["ok"], true);
    assert_eq!(fresh.all_files(), vault.all_files());
    let versions = |vault: &Vault| {
        let archive = Archive::open(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
        let files = archive.files_after(0).unwrap().into_iter();
        files.map(|file| (file.name, file.version, file.path, file.sha256)).collect::<Vec<_>>()
    };
    assert_eq!(versions(&fresh), versions(&vault));
    let found = ids(&reader(&vault.path()), "refund again");
    assert_eq!((found.len(), &ids(&reader(&fresh.path()), "refund again")), (1, &found));
    let shown = |vault: &Vault| vault.json(&["show", "c0", "--revisions"], 0)["revisions"].clone();
    let texts = |revisions: Value| -> Vec<Value> {
        revisions.as_array().unwrap().iter().map(|revision| revision["messages"][0]["text"].clone()).collect()
    };
    assert_eq!(texts(shown(&fresh)), texts(shown(&vault)));
}

#[test]
fn nothing_damaged_is_handed_over() {
    let (_lab, vault) = synced();
    let file = first_file(&vault.path());
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[50] ^= 1;
    overwrite(&file, &bad);
    let out = beside(&vault, "bag");
    let name = text(file.strip_prefix(vault.path()).unwrap());
    let export = ["export", "*", "--format", "bagit", "--out", &text(&out)].map(str::to_owned);
    let export: Vec<&str> = export.iter().map(String::as_str).collect();
    let refused = vault.run(&export).exits(9);
    assert!(refused.stderr.contains(&name) && refused.stderr.contains("chatvault verify"), "{}", refused.stderr);
    fs::remove_file(&file).unwrap();
    assert!(vault.run(&export).exits(9).stderr.contains(&name));
    assert_eq!(names_beside(&vault), ["vault"], "nothing is left");
    assert_eq!(vault.json(&["audit", "--kind", "exported"], 0)["total"], 0);
    fs::write(&file, &good).unwrap();
    vault.run(&export).exits(0);
    assert_eq!(vault.json(&["audit", "--kind", "exported"], 0)["total"], 1);
}

fn names_beside(vault: &Vault) -> Vec<String> {
    let folder = vault.path().parent().unwrap().to_owned();
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn places_and_formats_that_cannot_be_are_refused() {
    let (_lab, vault) = synced();
    let at = |format: &str, out: &Path| vault.run(&["export", "refund", "--format", format, "--out", &text(out)]);
    let free = beside(&vault, "bag");
    for format in ["jsonl", "csv", "html", "eml", "rsmf", "dat", "parquet"] {
        let refused = at(format, &free).exits(2);
        assert!(refused.stderr.contains(&format!("the format {format} is not built yet")), "{}", refused.stderr);
    }
    assert!(at("tar", &free).exits(2).stderr.contains("built: bagit"));
    let full = beside(&vault, "full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "x").unwrap();
    assert!(at("bagit", &full).exits(2).stderr.contains("nothing is overwritten"));
    at("bagit", &full.join("mine")).exits(2);
    at("bagit", &vault.path().join("bag")).exits(2);
    at("bagit", &vault.path().join("files/bag")).exits(2);
    at("bagit", &full.join("none/bag")).exits(2);
    let nothing = vault.run(&["export", "qqqzzzq", "--format", "bagit", "--out", &text(&free)]).exits(1);
    assert!(nothing.stderr.contains("no conversation matches"), "{}", nothing.stderr);
    vault.run(&["export", "agnt:x", "--format", "bagit", "--out", &text(&free)]).exits(2);
    assert_eq!(names_beside(&vault), ["full", "vault"]);
    Vault::new("1").run(&["export", "*", "--format", "bagit", "--out", &text(&free)]).exits(1);
    fs::create_dir(&free).unwrap();
    at("bagit", &free).exits(0);
    witness(&free).exits(0);
}

#[test]
fn a_vault_that_cannot_be_written_to_gives_a_bag_that_says_so() {
    let (lab, vault) = synced();
    let lock = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
    let (bag, report) = export(&vault, "refund", "bag");
    assert_eq!(report["recorded"], false);
    // The last event of the chain may be that of a file: then it is the head itself.
    let (files, untied) = (report["files"].as_u64().unwrap(), report["untied"].as_u64().unwrap());
    assert!(files > 1 && files - untied <= 1, "{report}");
    assert!(report["not_recorded"].as_str().unwrap().contains("locked"), "{report}");
    witness(&bag).exits(0);
    checker(&bag, &[]).exits(0);
    drop(lock);
    Vault::new(lab.account()).json(&["import", &text(&bag)], 0);

    // An anchor in the middle ties what is before it.
    vault.run(&["audit", "anchor"]).exits(0);
    let file = beside(&vault, "late.json");
    fs::write(&file, record("late", "refund refund")).unwrap();
    vault.run(&["import", &text(&file)]).exits(0);
    let lock = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
    let (bag, report) = export(&vault, "refund", "bag2");
    assert_eq!(report["untied"], 1);
    let people =
        vault.run(&["export", "refund", "--format", "bagit", "--out", &text(&beside(&vault, "bag3"))]).exits(0);
    assert!(people.stderr.contains("nothing in the bag ties them"), "{}", people.stderr);
    checker(&bag, &[]).exits(0);
    drop(lock);
    let taken = Vault::new(lab.account()).run(&["import", &text(&bag)]).exits(0);
    assert!(taken.stdout.contains("nothing ties 1 file to the head"), "{}", taken.stdout);
}

#[cfg(unix)]
#[test]
fn a_bag_that_cannot_be_finished_leaves_nothing() {
    let (_lab, vault) = synced();
    let out = beside(&vault, "bag");
    // No file may grow beyond a few kilobytes: what a full disk is to a program.
    let limited = |query: &str| {
        let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
        let mut command = Command::new("bash");
        command.args(["-c", script, "-"]).arg(env!("CARGO_BIN_EXE_chatvault")).arg("--vault").arg(vault.path());
        Run::of(command.args(["export", query, "--format", "bagit", "--out"]).arg(&out).output().unwrap())
    };
    for query in ["*", "refund"] {
        let failed = limited(query).exits(1);
        assert!(failed.stderr.contains("hint"), "{}", failed.stderr);
        assert_eq!(names_beside(&vault), ["vault"]);
    }
}

/// An archived file becomes a pipe: the export waits in the middle of its work until the test has done its deed.
#[cfg(unix)]
fn interrupted(vault: &Vault, signal: &str) -> Option<i32> {
    let file = first_file(&vault.path());
    let good = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let mut run =
        vault.command(&["export", "*", "--format", "bagit", "--out", &text(&beside(vault, "bag"))]).spawn().unwrap();
    // Opens as soon as the export reads from it.
    let mut pipe = fs::OpenOptions::new().write(true).open(&file).unwrap();
    assert_eq!(names_beside(vault).len(), 2, "under another name");
    assert!(Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap().success());
    let until = Instant::now() + Duration::from_secs(60);
    let code = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status.code();
        }
        assert!(Instant::now() < until, "it does not end");
        // Once it is gone nobody reads.
        let _ = pipe.write_all(&good[..16]);
        std::thread::sleep(Duration::from_millis(5));
    };
    overwrite(&file, &good);
    code
}

#[cfg(unix)]
#[test]
fn interrupted_at_any_moment_there_is_no_half_bag() {
    let (_lab, vault) = synced();
    assert_eq!(interrupted(&vault, "-INT"), Some(130));
    assert_eq!(names_beside(&vault), ["vault"], "Ctrl-C cleans up");
    assert_eq!(interrupted(&vault, "-KILL"), None);
    let left = names_beside(&vault);
    assert!(left.len() == 2 && left[0].starts_with("bag.partial-"), "{left:?}");
    let (bag, _) = export(&vault, "*", "bag");
    witness(&bag).exits(0);
}
