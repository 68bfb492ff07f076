//! Search that can prove itself: scans of the raw files, digests, pages, and one order whatever the index went through.

use crate::support::{Lab, Run, Vault, is_long, temp_folder, world};
use chatvault::simulator::{BodyOptions, Script, WorldConfig, write_corpus};
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

const ACCOUNT: &str = "40112233";

/// Files of an account in which a third of the conversations are told twice.
fn corpus() -> &'static (TempDir, Vec<PathBuf>) {
    static CORPUS: OnceLock<(TempDir, Vec<PathBuf>)> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let folder = temp_folder();
        let world = WorldConfig {
            seed: 21,
            conversations: 240,
            hours: 8,
            parts_per_hour: 2,
            revised_permille: 330,
            id_less_per_million: 30_000,
            ..WorldConfig::default()
        };
        write_corpus(folder.path(), &world, BodyOptions::default()).unwrap();
        let mut files: Vec<PathBuf> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 8);
        (folder, files)
    })
}

/// A vault into which the files came in the given pieces, one import after the other.
#[track_caller]
fn imported<'f>(pieces: impl IntoIterator<Item = &'f [PathBuf]>) -> Vault {
    let vault = Vault::new(ACCOUNT);
    for piece in pieces {
        import(&vault, piece);
    }
    vault
}

#[track_caller]
fn import(vault: &Vault, files: &[PathBuf]) {
    let mut command = vault.command(&["import"]);
    Run::of(command.args(files).output().unwrap()).exits(0);
}

/// Everything that every order prints, byte by byte.
#[track_caller]
fn everything(vault: &Vault) -> Vec<(String, String)> {
    let sorts = [
        "relevance",
        "start",
        "end",
        "mcs",
        "duration",
        "transfers",
        "queue",
        "csat",
        "nps",
        "messages",
        "revisions",
        "end_reason",
        "start_reason",
        "key",
    ];
    let mut printed = Vec::new();
    for sort in sorts {
        for reverse in [&[][..], &["-r"]] {
            let query = "order OR refund* OR \"thank you\" OR -has:transfer";
            let arguments = [&["--ndjson", "search", query, "--limit", "all", "--sort", sort][..], reverse].concat();
            printed.push((arguments.join(" "), vault.run(&arguments).exits(0).stdout));
        }
    }
    printed
}

#[track_caller]
fn same(left: &[(String, String)], right: &[(String, String)], what: &str) {
    for ((arguments, left), (_, right)) in left.iter().zip(right) {
        for (at, (a, b)) in left.lines().zip(right.lines()).enumerate() {
            assert_eq!(a, b, "{what}: {arguments}, line {at}");
        }
        assert_eq!(left.len(), right.len(), "{what}: {arguments}");
    }
}

#[test]
fn one_archive_has_one_order_whatever_its_index_went_through() {
    let (_, files) = corpus();
    let at_once = imported([&files[..]]);
    let golden = everything(&at_once);
    assert!(golden.iter().all(|(_, printed)| printed.lines().count() > 150));
    let distinct: BTreeSet<&String> = golden.iter().map(|(_, printed)| printed).collect();
    assert!(distinct.len() > 12, "orders differ from one another: {}", distinct.len());
    let digest = at_once.json(&["search", "order", "--digest"], 0)["digest"].clone();

    at_once.run(&["index", "--rebuild"]).exits(0);
    same(&golden, &everything(&at_once), "rebuilt");
    let dice = &mut ChaCha8Rng::seed_from_u64(4);
    let rounds = if is_long() { 12 } else { 3 };
    for round in 0..rounds {
        let mut shuffled = files.clone();
        shuffled.shuffle(dice);
        // One commit for each file, and then larger ones.
        let size = [1, 3, 7][round % 3];
        let vault = imported(shuffled.chunks(size));
        same(&golden, &everything(&vault), &format!("in pieces of {size}"));
        let again = vault.json(&["search", "order", "--digest"], 0)["digest"].clone();
        assert_eq!((&again["sha256"], &again["count"]), (&digest["sha256"], &digest["count"]));
        vault.run(&["index", "--rebuild"]).exits(0);
        same(&golden, &everything(&vault), "in pieces and rebuilt");
        assert_eq!(vault.json(&["search", "order", "--digest"], 0)["digest"]["sha256"], digest["sha256"]);
    }
}

fn hits(page: &Value) -> Vec<String> {
    page["hits"].as_array().unwrap().iter().map(|hit| hit["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_digest_is_the_hash_of_the_sorted_keys() {
    let (_, files) = corpus();
    let vault = imported([&files[..]]);
    for query in ["*", "order", "consumer:refund start:>2020", "nosuchword"] {
        let mut keys = hits(&vault.json(&["search", query, "--limit", "all"], 0));
        keys.sort();
        let text: String = keys.iter().map(|key| format!("{key}\n")).collect();
        let expected: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = vault.json(&["search", query, "--digest"], 0);
        let digest = &answer["digest"];
        assert_eq!((&digest["sha256"], &digest["count"]), (&json!(expected), &json!(keys.len())), "{query}");
        assert_eq!(digest["version"], env!("CARGO_PKG_VERSION"));
        let event = digest["ledger"]["event"].as_u64().unwrap();
        assert_eq!(digest["ledger"]["files"].as_u64().unwrap(), files.len() as u64);
        assert_eq!(digest["ledger"]["hash"].as_str().unwrap().len(), 64, "event {event}");
        // Typed again, the query that it names means the same.
        let named = digest["query"].as_str().unwrap();
        let again = vault.json(&["search", named, "--digest", "--tz", "Asia/Tokyo"], 0);
        assert_eq!(again["digest"]["sha256"], digest["sha256"], "{named}");
        let text = vault.run(&["search", query, "--digest"]).exits(0).stdout;
        assert!(text.contains(&expected) && text.contains(named), "{text}");
    }
}

#[test]
fn pages_go_on_where_the_last_one_ended_while_the_archive_grows() {
    let (_, files) = corpus();
    let half = files.len() / 2;
    let dice = &mut ChaCha8Rng::seed_from_u64(9);
    for sort in ["relevance", "start", "mcs", "transfers", "key"] {
        for reverse in [&[][..], &["-r"]] {
            let query = "order OR refund OR thank*";
            let vault = imported([&files[..half]]);
            let asked = [&["search", query, "--sort", sort][..], reverse].concat();
            let before: BTreeSet<String> =
                hits(&vault.json(&[&asked[..], &["--limit", "all"]].concat(), 0)).into_iter().collect();
            // Only what holds still can be promised: a conversation that is told again may move.
            let still: BTreeSet<String> = {
                let grown = imported([files.as_slice()]);
                let moved = grown.json(&["search", "has:revision", "--limit", "all"], 0);
                let moved: BTreeSet<String> = hits(&moved).into_iter().collect();
                before.difference(&moved).cloned().collect()
            };
            assert!(still.len() > 40 && before.len() > still.len(), "{} {}", still.len(), before.len());
            let mut found: Vec<String> = Vec::new();
            let mut cursor: Option<String> = None;
            let mut ahead: Vec<&PathBuf> = files[half..].iter().collect();
            loop {
                let size = dice.random_range(5..15).to_string();
                let mut arguments = [&asked[..], &["--limit", &size]].concat();
                if let Some(cursor) = &cursor {
                    arguments.extend(["--after", cursor]);
                }
                let page = vault.json(&arguments, 0);
                found.extend(hits(&page));
                if let Some(file) = ahead.pop() {
                    import(&vault, std::slice::from_ref(file));
                }
                match page["next"].as_str() {
                    Some(next) => cursor = Some(next.to_owned()),
                    None => break,
                }
            }
            let distinct: BTreeSet<&String> = found.iter().filter(|key| still.contains(*key)).collect();
            let times = found.iter().filter(|key| still.contains(*key)).count();
            assert_eq!(times, distinct.len(), "{sort} {reverse:?}: a hit came twice");
            assert_eq!(distinct.len(), still.len(), "{sort} {reverse:?}: a hit is lost");
        }
    }
}

#[test]
fn pages_together_are_the_whole_list() {
    let (_, files) = corpus();
    let vault = imported(files.chunks(3));
    for sort in ["relevance", "start", "end", "csat", "messages", "revisions", "end_reason", "key"] {
        for reverse in [&[][..], &["-r"]] {
            let asked = [&["search", "order OR account", "--sort", sort][..], reverse].concat();
            let whole = vault.json(&[&asked[..], &["--limit", "all"]].concat(), 0);
            assert_eq!(whole["next"], Value::Null);
            let mut pages = Vec::new();
            let mut cursor = String::new();
            loop {
                let mut arguments = [&asked[..], &["--limit", "17"]].concat();
                if !cursor.is_empty() {
                    arguments.extend(["--after", &cursor]);
                }
                let page = vault.json(&arguments, 0);
                assert_eq!(page["total"], whole["total"], "a page's total is that of all hits");
                pages.extend(page["hits"].as_array().unwrap().clone());
                let Some(next) = page["next"].as_str() else { break };
                next.clone_into(&mut cursor);
            }
            assert_eq!(&pages, whole["hits"].as_array().unwrap(), "{sort} {reverse:?}");
        }
    }
    // For people: the command of the next page, which can be typed as it stands.
    let text = vault.run(&["search", "--limit", "2", "--", "order's OR -refund"]).exits(0);
    assert!(text.stderr.contains(" --after c1-"), "{}", text.stderr);
    let line = text.stderr.lines().find_map(|line| line.strip_prefix("next page: chatvault ")).unwrap().to_owned();
    let program = env!("CARGO_BIN_EXE_chatvault");
    let output = std::process::Command::new("sh").arg("-c").arg(format!("'{program}' {line}")).output().unwrap();
    let second = Run::of(output).exits(0);
    assert!(!second.stdout.is_empty() && second.stdout != text.stdout);
    let stream = vault.run(&["--ndjson", "search", "order", "--limit", "2"]).exits(0).stdout;
    let summary: Value = serde_json::from_str(stream.lines().next().unwrap()).unwrap();
    assert!(summary["next"].is_string(), "{summary}");
}

#[test]
fn a_cursor_is_refused_by_name_for_anything_else() {
    let (_, files) = corpus();
    let vault = imported([&files[..]]);
    let page = vault.json(&["search", "order start:>-3650d", "--sort", "start", "--limit", "3"], 0);
    let cursor = page["next"].as_str().unwrap();
    // What `-3650d` means stays what it was.
    let next = ["search", "order start:>-3650d", "--sort", "start", "--limit", "3", "--after", cursor];
    let second = vault.json(&next, 0);
    assert!(hits(&page).iter().all(|key| !hits(&second).contains(key)));
    for (arguments, named) in [
        (vec!["search", "refund", "--sort", "start", "--after", cursor], "another query"),
        (vec!["search", "order start:>-3651d", "--sort", "start", "--after", cursor], "another query"),
        (vec!["search", "order start:>-3650d", "--sort", "mcs", "--after", cursor], "`start`, not to `mcs`"),
        (vec!["search", "order start:>-3650d", "--sort", "start", "-r", "--after", cursor], "reversed"),
        (vec!["search", "order start:>-3650d", "--after", cursor], "not to `relevance`"),
        (vec!["search", "order start:>-3650d", "--after", "c1-AAAA"], "no cursor"),
        (vec!["search", "order start:>-3650d", "--after", &cursor[..cursor.len() - 1]], "not the whole"),
        (vec!["search", "order start:>-3650d", "--after", ""], "no cursor"),
    ] {
        let run = vault.run(&arguments).exits(2);
        assert!(run.stderr.contains(named) && run.stderr.contains("without --after"), "{arguments:?}: {}", run.stderr);
        assert!(run.stdout.is_empty());
    }
    // Any other letter in it is noticed.
    let dice = &mut ChaCha8Rng::seed_from_u64(3);
    for _ in 0..20 {
        let mut bytes = cursor.as_bytes().to_vec();
        let at = dice.random_range(3..bytes.len() - 1);
        bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
        let changed = String::from_utf8(bytes).unwrap();
        vault.run(&["search", "order start:>-3650d", "--sort", "start", "--after", &changed]).exits(2);
    }
}

/// What the field of a hit is worth to an order; `None` where it has none.
fn value(hit: &Value, sort: &str) -> Option<f64> {
    let time = |name: &str| {
        let text = hit[name].as_str()?;
        Some(text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64)
    };
    match sort {
        "start" => time("start_time"),
        "end" => time("end_time"),
        "duration" => Some(time("end_time")? - time("start_time")?),
        "mcs" | "csat" | "nps" => hit[sort].as_f64(),
        "transfers" => hit["transfer_count"].as_f64(),
        "messages" => hit["message_count"].as_f64(),
        "revisions" => hit["revisions"].as_f64(),
        "end_reason" | "start_reason" => hit[sort]["id"].as_f64(),
        _ => panic!("{sort}"),
    }
}

#[test]
fn what_has_no_value_comes_last_in_both_directions() {
    let lab = Lab::new(WorldConfig { seed: 3, ..world(150, 12) }, Script::default());
    let vault = lab.history_vault("30d");
    vault.run(&["sync"]).exits(0);
    let mut with_gaps = 0;
    for sort in [
        "start",
        "end",
        "duration",
        "mcs",
        "csat",
        "nps",
        "transfers",
        "messages",
        "revisions",
        "end_reason",
        "start_reason",
    ] {
        for reverse in [false, true] {
            let mut arguments = vec!["search", "*", "--limit", "all", "--sort", sort];
            arguments.extend(reverse.then_some("-r"));
            let answer = vault.json(&arguments, 0);
            let hits = answer["hits"].as_array().unwrap();
            let values: Vec<Option<f64>> = hits.iter().map(|hit| value(hit, sort)).collect();
            let known = values.iter().take_while(|value| value.is_some()).count();
            assert!(values[known..].iter().all(Option::is_none), "{sort}: what has none comes last");
            with_gaps += usize::from(known > 0 && known < values.len());
            let is_ordered = |pair: &[Value]| {
                let (a, b) = (value(&pair[0], sort), value(&pair[1], sort));
                let keys = [0, 1].map(|at| pair[at]["key"].as_str().unwrap());
                a == b && keys[0] < keys[1] || if reverse { a < b } else { a > b }
            };
            assert!(hits[..known].windows(2).all(is_ordered), "{sort} {reverse}");
        }
    }
    assert!(with_gaps >= 4, "some of these have no value: {with_gaps}");
}

fn folder_of(vault: &Vault, name: &str) -> PathBuf {
    vault.path().join(name)
}

fn replace_folder(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn a_proof_finds_what_the_index_lacks_and_what_it_has_too_many() {
    let (_, files) = corpus();
    let less = imported([&files[..files.len() - 1]]);
    let more = imported([&files[..]]);
    for query in ["*", "order", "order w/5 my", "has:revision", "NOT order", "revisionless OR mcs:<50"] {
        let answer = more.json(&["search", query, "--prove"], 0);
        let (proof, total) = (&answer["prove"], &answer["total"]["value"]);
        assert_eq!((&proof["index"], &proof["scan"]), (total, total), "{query}");
        assert_eq!((&proof["recall"], &proof["precision"]), (&json!(1.0), &json!(1.0)));
        assert_eq!((&proof["missing_in_index"], &proof["not_in_scan"]), (&json!([]), &json!([])));
        assert_eq!(proof["scanned_records"], answer["coverage"]["archived_records"]);
        assert_eq!(proof["proven_records"], proof["records_in_archive"]);
        assert!(proof["elapsed_s"].is_f64() && answer["hits"].is_null());
    }
    let all = |vault: &Vault| -> BTreeSet<String> {
        hits(&vault.json(&["search", "*", "--limit", "all"], 0)).into_iter().collect()
    };
    let (few, many) = (all(&less), all(&more));
    let lacking: Vec<&String> = many.difference(&few).collect();
    assert!(!lacking.is_empty());
    let keys = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    };

    // The index of the smaller archive under the larger one, and the other way round.
    let lame = more.copy();
    replace_folder(&folder_of(&less, "index"), &folder_of(&lame, "index"));
    let answer = lame.json(&["search", "*", "--prove"], 9);
    let proof = &answer["prove"];
    assert_eq!(keys(&proof["missing_in_index"]), lacking.iter().map(|key| (*key).clone()).collect::<Vec<_>>());
    assert_eq!(keys(&proof["not_in_scan"]), [""; 0]);
    assert_eq!(proof["recall"].as_f64().unwrap(), few.len() as f64 / many.len() as f64);
    assert_eq!((&proof["precision"], &proof["files_behind"]), (&json!(1.0), &json!(1)));
    let first = &proof["missing_in_index"][0];
    let last_file = files[files.len() - 1].file_name().unwrap().to_str().unwrap();
    assert!(first["file"].as_str().unwrap().ends_with(last_file), "{first}");
    assert!(first["record"].is_u64());
    let text = lame.run(&["search", "*", "--prove"]).exits(9);
    assert!(text.stdout.contains("missing_in_index") && text.stdout.contains("chatvault index`"), "{}", text.stdout);
    let stream = lame.run(&["--ndjson", "search", "*", "--prove"]).exits(9).stdout;
    let differences = stream.lines().filter(|line| line.contains("\"type\":\"difference\"")).count();
    assert_eq!(differences, lacking.len());

    let fat = less.copy();
    replace_folder(&folder_of(&more, "index"), &folder_of(&fat, "index"));
    let answer = fat.json(&["search", "*", "--prove"], 9);
    assert_eq!(keys(&answer["prove"]["not_in_scan"]), lacking.iter().map(|key| (*key).clone()).collect::<Vec<_>>());
    assert_eq!(answer["prove"]["recall"], 1.0);
    assert!(answer["prove"]["precision"].as_f64().unwrap() < 1.0);
}

#[test]
fn what_a_proof_could_not_read_is_counted_and_named() {
    let (_, files) = corpus();
    let vault = imported([&files[..]]);
    let before = vault.json(&["search", "*", "--prove"], 0);
    let names = vault.files();
    let (path, _) = names.iter().next().unwrap();
    let damaged = vault.path().join("files").join(path);
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, bytes).unwrap();
    // The index still has what the file held; the files do not say so any more.
    let answer = vault.json(&["search", "*", "--prove"], 9);
    let proof = &answer["prove"];
    let unread = &proof["unread_files"][0];
    assert!(unread["file"].as_str().unwrap().ends_with(path.as_str()), "{unread}");
    let lost = unread["unreadable"].as_u64().unwrap();
    assert!(lost > 1, "the ledger knows how many: {unread}");
    assert_eq!(proof["unreadable_records"].as_u64(), Some(lost));
    assert_eq!(proof["records_in_archive"], before["prove"]["records_in_archive"]);
    let text = vault.run(&["search", "*", "--prove"]).exits(9).stdout;
    assert!(text.contains("not proved: files/") && text.contains("proved over"), "{text}");
    // Of what matches nothing in that file, nothing differs.
    vault.json(&["search", "nosuchword", "--prove"], 3);
}
