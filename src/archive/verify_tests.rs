//! What `verify` must see: every damage to files, rows and chain.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::check::tests::gzip;
use super::tests::{FOLDER, Lab, overwrite, publish};
use super::*;

#[test]
fn verify_finds_each_kind_of_damage() {
    let lab = Lab::new();
    let names = ["changed.gz", "cut.gz", "gone.gz", "folder.gz", "writable.gz", "good.gz"];
    for name in names {
        publish(&lab.archive, name, &gzip(name.as_bytes())).unwrap();
    }
    let place = |name: &str| lab.root().join(FOLDER).join(name);
    let mut bytes = fs::read(place("changed.gz")).unwrap();
    bytes[12] ^= 1;
    overwrite(&place("changed.gz"), &bytes);
    overwrite(&place("cut.gz"), b"cut");
    fs::remove_file(place("gone.gz")).unwrap();
    fs::remove_file(place("folder.gz")).unwrap();
    fs::create_dir(place("folder.gz")).unwrap();
    let bytes = fs::read(place("writable.gz")).unwrap();
    fs::remove_file(place("writable.gz")).unwrap();
    fs::write(place("writable.gz"), bytes).unwrap();
    fs::write(lab.root().join("files/stray"), "x").unwrap();

    let seen = std::cell::Cell::new(0);
    let report = lab.archive.verify(&|bytes| seen.set(bytes), 3).unwrap();
    let found: Vec<_> =
        report.files.damaged.iter().map(|d| (file_name(Path::new(&d.file)), d.found_sha256.is_some())).collect();
    assert_eq!(found, [("changed.gz".into(), true), ("cut.gz".into(), true), ("folder.gz".into(), false)]);
    assert_eq!(report.files.missing[0].file, format!("{FOLDER}/gone.gz"));
    assert_eq!(report.files.unlisted, ["files/stray"]);
    assert_eq!(report.files.writable, [format!("{FOLDER}/writable.gz")]);
    assert_eq!(report.files.checked, 6);
    assert!(report.files.altered_rows.is_empty() && report.chain.ok && !report.is_ok());
    assert_eq!(seen.get(), report.files.bytes + report.quarantine.bytes);

    let json = serde_json::to_value(&report).unwrap();
    assert!(json["files"]["damaged"][0]["expected_sha256"].as_str().unwrap().len() == 64);
    assert_eq!(json["chain"]["broken_at"], serde_json::Value::Null);
}

#[test]
fn verify_reads_a_part_when_asked() {
    let lab = Lab::new();
    for name in ["a", "b", "c", "d", "e"] {
        publish(&lab.archive, name, name.as_bytes()).unwrap();
    }
    let parts = [1, 2, 3].map(|part| lab.archive.verify_part(Part { part, of: 3 }, &|_| {}, 2).unwrap());
    assert_eq!(parts.each_ref().map(|report| report.files.checked), [2, 2, 1]);
    assert!(parts.iter().all(VerifyReport::is_ok));
}

#[test]
fn a_forged_row_does_not_agree_with_the_chain() {
    let lab = Lab::new();
    for name in ["a", "b", "c"] {
        publish(&lab.archive, name, name.as_bytes()).unwrap();
    }
    // Somebody with a shell changes bytes, row and all, and drops a row.
    overwrite(&lab.root().join(FOLDER).join("b"), b"B");
    let forged = Sha256Hex::of(b"B");
    lab.raw()
        .execute_batch(&format!(
            "DROP TRIGGER files_never_change; DROP TRIGGER files_never_vanish; \
             UPDATE files SET sha256 = '{forged}' WHERE name = 'b'; DELETE FROM files WHERE name = 'c'"
        ))
        .unwrap();
    let report = lab.verify();
    assert!(report.files.damaged.is_empty());
    assert_eq!(report.files.altered_rows, [format!("{FOLDER}/b"), format!("{FOLDER}/c")]);
    assert!(!report.is_ok());
}

#[test]
fn every_tampering_with_the_chain_is_seen() {
    for (statement, broken_at) in [
        ("UPDATE events SET payload = '{}' WHERE seq = 3", 3),
        ("UPDATE events SET actor = 'nobody' WHERE seq = 2", 2),
        ("UPDATE events SET time_ms = time_ms + 1 WHERE seq = 4", 4),
        ("UPDATE events SET kind = 'erased' WHERE seq = 4", 4),
        ("UPDATE events SET hash = printf('%064d', 7) WHERE seq = 2", 2),
        ("DELETE FROM events WHERE seq = 3", 3),
        ("DELETE FROM events WHERE seq = 1", 1),
        ("DELETE FROM events", 1),
    ] {
        let lab = Lab::new();
        for number in 0..3 {
            lab.archive.record_event(EventKind::Searched, json!({ "query": number })).unwrap();
        }
        let head = lab.archive.chain_head().unwrap().unwrap();
        let chain = lab.verify().chain;
        assert_eq!((chain.rows, chain.ok, chain.head, chain.broken_at), (4, true, Some(head.1.to_string()), None));
        lab.raw()
            .execute_batch(
                "PRAGMA foreign_keys = OFF; DROP TRIGGER events_never_change; DROP TRIGGER events_never_vanish",
            )
            .unwrap();
        lab.raw().execute_batch(statement).unwrap();
        assert_eq!(lab.verify().chain.broken_at, Some(broken_at), "{statement}");
    }
}
