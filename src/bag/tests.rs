//! A bag that was written is valid; anything changed in it is found, and so is what the format forbids.

use super::*;
use crate::archive::Sha256Hex;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

fn written(folder: &Path) -> (PathBuf, Sha256Hex) {
    let target = folder.join("bag");
    let mut writer = BagWriter::create(&target).unwrap();
    for (path, bytes) in [("data/a b.txt", &b"one"[..]), ("data/deep/er/\u{e9}.gz", b"two"), ("data/empty", b"")] {
        let copied = writer.copy(path, bytes, Some(1_000_000), &|_| true).unwrap();
        writer.list(&copied).unwrap();
    }
    writer.add("data/ledger.txt", b"three").unwrap();
    assert_eq!(writer.so_far(), (4, 11));
    let bag = writer.finish(&vec![("Source-Organization", "A\n b\u{7}".into())], "11 B").unwrap();
    let sha256 = bag.manifest_sha256;
    assert!(!target.exists(), "no bag before it is whole");
    bag.publish().unwrap();
    (target, sha256)
}

fn check(bag: &Path) -> Result<ValidBag, Invalid> {
    validate(bag, &Limits::default(), &|_| ())
}

#[track_caller]
fn refused(bag: &Path, because: &str) {
    let invalid = check(bag).unwrap_err();
    assert!(invalid.problems.iter().any(|problem| problem.contains(because)), "{because}: {invalid:?}");
}

#[test]
fn what_is_written_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let (bag, sha256) = written(folder.path());
    let bytes = AtomicU64::new(0);
    let valid = validate(&bag, &Limits::default(), &|count| {
        bytes.fetch_add(count, Ordering::Relaxed);
    });
    let valid = valid.unwrap();
    assert_eq!((bytes.into_inner(), valid.manifest_sha256, valid.payload.len()), (11, sha256, 4));
    assert_eq!(valid.payload["data/a b.txt"].sha256, Sha256Hex::of(b"one"));
    assert_eq!(valid.label("source-organization"), Some("A b"));
    assert_eq!(valid.label("Payload-Oxum"), Some("11.4"));
    assert!(is_bag(&bag) && !is_bag(folder.path()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn whatever_is_changed_is_found() {
    type Change = fn(&Path);
    let edit = |path: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replace(from, to)).unwrap();
    };
    let changes: [(&str, Change); 9] = [
        ("checksum of its manifest", |bag| fs::write(bag.join("data/ledger.txt"), "thrEe").unwrap()),
        ("Payload-Oxum", |bag| fs::write(bag.join("data/ledger.txt"), "four").unwrap()),
        ("missing", |bag| fs::remove_file(bag.join("data/ledger.txt")).unwrap()),
        ("is in no manifest", |bag| fs::write(bag.join("data/new"), "").unwrap()),
        ("tagmanifest-sha256.txt", |bag| fs::write(bag.join("bag-info.txt"), "A: b\n").unwrap()),
        ("fetch.txt", |bag| fs::write(bag.join("fetch.txt"), "").unwrap()),
        ("no folder data/", |bag| fs::remove_dir_all(bag.join("data")).unwrap()),
        ("no payload manifest", |bag| fs::remove_file(bag.join("manifest-sha256.txt")).unwrap()),
        ("bagit.txt", |bag| fs::write(bag.join("bagit.txt"), "BagIt-Version: 7.0\n").unwrap()),
    ];
    for (because, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        let (bag, _) = written(folder.path());
        change(&bag);
        refused(&bag, because);
    }
    for (from, to, because) in [
        ("data/ledger.txt", "data/../../etc/passwd", "leads out"),
        ("data/ledger.txt", "/etc/passwd", "absolute"),
        ("data/ledger.txt", "bagit.txt", "not under data/"),
        ("data/ledger.txt", "data/empty", "twice"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (bag, _) = written(folder.path());
        edit(&bag.join("manifest-sha256.txt"), from, to);
        refused(&bag, because);
        refused(&bag, "does not have the checksum in tagmanifest-sha256.txt");
    }
    let folder = tempfile::tempdir().unwrap();
    let (bag, _) = written(folder.path());
    edit(&bag.join("tagmanifest-sha256.txt"), "  bagit.txt", "  ../bagit.txt");
    refused(&bag, "leads out");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (bag, _) = written(folder.path());
    fs::rename(bag.join("data/ledger.txt"), folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), bag.join("data/ledger.txt")).unwrap();
    refused(&bag, "is a link");
    fs::remove_file(bag.join("data/ledger.txt")).unwrap();
    fs::rename(folder.path().join("elsewhere"), bag.join("data/ledger.txt")).unwrap();
    check(&bag).unwrap();
    fs::rename(bag.join("bag-info.txt"), folder.path().join("info")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("info"), bag.join("bag-info.txt")).unwrap();
    refused(&bag, "is a link");
}

#[test]
fn from_1_0_on_every_manifest_lists_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let (bag, _) = written(folder.path());
    fs::remove_file(bag.join("tagmanifest-sha256.txt")).unwrap();
    let md5 = "f97c5d29941bfb1b2fdab0874906ab82  data/a b.txt\n";
    fs::write(bag.join("manifest-md5.txt"), md5).unwrap();
    refused(&bag, "is not in manifest-md5.txt");
    fs::write(bag.join("bagit.txt"), "BagIt-Version: 0.97\nTag-File-Character-Encoding: UTF-8\n").unwrap();
    check(&bag).unwrap();
    fs::write(bag.join("manifest-md5.txt"), md5.replace('f', "e")).unwrap();
    refused(&bag, "md5 checksum");
    fs::write(bag.join("manifest-md5.txt"), "\u{feff}").unwrap();
    refused(&bag, "byte-order mark");
    fs::rename(bag.join("manifest-sha256.txt"), bag.join("manifest-blake9.txt")).unwrap();
    fs::remove_file(bag.join("manifest-md5.txt")).unwrap();
    refused(&bag, "can be computed here: manifest-blake9.txt");
}

#[test]
fn an_empty_payload_is_a_bag() {
    let folder = tempfile::tempdir().unwrap();
    let bag = folder.path().join("bag");
    BagWriter::create(&bag).unwrap().finish(&Vec::new(), "0 B").unwrap().publish().unwrap();
    assert!(check(&bag).unwrap().payload.is_empty());
}

#[test]
fn nothing_is_overwritten_and_nothing_half_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("bag");
    fs::create_dir(&target).unwrap();
    let writer = BagWriter::create(&target).unwrap();
    let stopped = writer.copy("data/x", &b"bytes"[..], None, &|_| false).unwrap_err();
    assert!(matches!(stopped, BagError::Interrupted));
    assert!(matches!(writer.copy("data/50%", &b""[..], None, &|_| true), Err(BagError::UnsafeName { .. })));
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the empty folder");
    let finished = BagWriter::create(&target).unwrap().finish(&Vec::new(), "").unwrap();
    fs::write(target.join("mine"), "x").unwrap();
    assert!(matches!(finished.publish(), Err(BagError::Taken { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(matches!(BagWriter::create(&target), Err(BagError::Taken { .. })));
    assert!(matches!(BagWriter::create(&target.join("mine")), Err(BagError::Taken { .. })));
    assert!(BagWriter::create(&folder.path().join("none/bag")).is_err());
}

#[test]
fn a_hostile_bag_costs_little() {
    let folder = tempfile::tempdir().unwrap();
    let (bag, _) = written(folder.path());
    let tight = Limits { files: 2, line_bytes: 80, depth: 2, problems: 3, ..Limits::default() };
    let invalid = validate(&bag, &tight, &|_| ()).unwrap_err();
    assert!(invalid.problems[0].contains("more than 2 files"), "{invalid:?}");
    fs::write(bag.join("manifest-sha256.txt"), "x".repeat(1 << 20)).unwrap();
    refused(&bag, "is longer than");
    let lines = format!("{}  data/none\n", "0".repeat(64)).repeat(1000);
    fs::write(bag.join("manifest-sha256.txt"), lines).unwrap();
    let invalid = check(&bag).unwrap_err();
    assert!(invalid.problems.len() == 20 && invalid.more > 900, "{invalid:?}");
}
