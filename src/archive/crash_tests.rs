//! Stop at every disk operation of a publish sequence, forget what was not synced, open again, finish: golden state.
//!
//! The sequence makes folders, a new file, the same bytes, a new version, a damaged body, what is salvaged of
//! it, and an orphan's adoption. For
//! every operation N the power goes there (in four ways of losing what was not synced), and separately N fails once
//! with "disk full" and once with an I/O error. After each: no published file is lost, no half file lies under
//! `files/`, and running the sequence again ends in the same files as an undisturbed run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use super::check::tests::gzip;
use super::faulty::{Fault, FaultyDisk, Unsynced};
use super::tests::{clock, publish};
use super::*;

/// Path under `files/` → bytes.
pub(super) type Tree = BTreeMap<String, Vec<u8>>;

/// What was acknowledged.
type Acknowledged = Vec<ArchivedFile>;

/// Cut in its trailer: all of the content can be read, and nothing proves it.
fn damaged() -> Vec<u8> {
    let mut body = gzip(b"damaged");
    body.truncate(body.len() - 3);
    body
}

/// The whole sequence; stops at the first error that is not the damage it asks for.
fn sequence(archive: &Archive, acknowledged: &mut Acknowledged) -> Result<(), ArchiveError> {
    let bodies = [
        ("a.gz", gzip(b"first")),
        ("b.gz", gzip(b"other")),
        ("a.gz", gzip(b"first")),
        ("a.gz", gzip(b"second")),
        ("cut.gz", damaged()),
        ("c.json", b"{}".to_vec()),
    ];
    for (name, body) in bodies {
        match publish(archive, name, &body) {
            Ok(published) => acknowledged.push(published.file().clone()),
            Err(ArchiveError::Damaged { salvageable: Some(found), .. }) if name == "cut.gz" => {
                acknowledged.push(archive.salvage(&found)?.file().clone());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.join("files")];
    while let Some(folder) = folders.pop() {
        for entry in RealDisk.list(&folder).unwrap() {
            match entry.kind {
                disk::EntryKind::Folder => folders.push(entry.path),
                _ => {
                    let path = entry.path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                    tree.insert(path, fs::read(&entry.path).unwrap());
                }
            }
        }
    }
    tree
}

/// In memory where the system has such a place: the twin decides what is durable, so real syncs only cost time here.
pub(super) fn fast_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(folder) = tempfile::tempdir_in(memory)
    {
        return folder;
    }
    tempfile::tempdir().unwrap()
}

/// Runs the sequence in a new vault on a disk with a fault; gives the folder and what was acknowledged.
fn disturbed(disk: &FaultyDisk) -> (tempfile::TempDir, Acknowledged, Result<(), ArchiveError>) {
    let folder = fast_folder();
    drop(Archive::create(folder.path(), "1", Arc::new(RealDisk), clock()).unwrap());
    let mut acknowledged = Vec::new();
    let outcome = Archive::open_for_writing(folder.path(), Arc::new(disk.clone()), clock())
        .and_then(|archive| sequence(&archive, &mut acknowledged));
    (folder, acknowledged, outcome)
}

/// The invariants after a crash, then the golden end.
fn must_end_golden(root: &Path, acknowledged: &Acknowledged, golden: &Tree, what: &str) {
    let archive = Archive::open_for_writing(root, Arc::new(RealDisk), clock()).unwrap();
    let report = archive.verify(&|_| {}, 1).unwrap();
    assert!(
        report.chain.ok && report.files.damaged.is_empty() && report.files.missing.is_empty(),
        "{what}: {report:?}"
    );
    assert!(report.files.altered_rows.is_empty(), "{what}");
    for path in &report.files.unlisted {
        assert_eq!(tree(root).get(path), golden.get(path), "{what}: {path} is an orphan, but not whole");
    }
    let listed = archive.files_after(0).unwrap();
    for file in acknowledged {
        assert!(listed.contains(file), "{what}: {} was acknowledged and is lost", file.path);
    }
    assert!(RealDisk.list(&root.join("tmp")).unwrap().is_empty(), "{what}: tmp was not swept");
    sequence(&archive, &mut Vec::new()).unwrap();
    assert!(archive.verify(&|_| {}, 1).unwrap().is_ok(), "{what}");
    assert_eq!(&tree(root), golden, "{what}");
}

fn golden() -> (Tree, u64) {
    let disk = FaultyDisk::new(0, Fault::PowerCut);
    let (folder, acknowledged, outcome) = disturbed(&disk);
    outcome.unwrap();
    let operations = disk.operations();
    let golden = tree(folder.path());
    assert_eq!(golden.len(), 5);
    assert!(golden.keys().any(|path| path.contains("cut.gz.salvaged-")), "{golden:?}");
    must_end_golden(folder.path(), &acknowledged, &golden, "undisturbed");
    (golden, operations)
}

#[test]
fn a_power_cut_at_any_operation_ends_golden() {
    let (golden, operations) = golden();
    assert!(operations > 70, "{operations}");
    for at in 1..=operations {
        for unsynced in [Unsynced::Lost, Unsynced::BytesLost, Unsynced::Torn, Unsynced::Kept] {
            let disk = FaultyDisk::new(at, Fault::PowerCut);
            let (folder, acknowledged, outcome) = disturbed(&disk);
            disk.power_cut(unsynced);
            // What fails only in cleaning up is not told to the caller.
            let what = format!("power cut at {at} of {operations}, unsynced {unsynced:?}, {outcome:?}");
            must_end_golden(folder.path(), &acknowledged, &golden, &what);
        }
    }
}

/// A killed process leaves names that a later power cut may still take: whoever comes next must sync them anew.
#[test]
fn a_kill_then_a_rerun_then_a_power_cut_ends_golden() {
    let (golden, operations) = golden();
    for at in 1..=operations {
        let disk = FaultyDisk::new(at, Fault::PowerCut);
        let (folder, mut acknowledged, _) = disturbed(&disk);
        disk.restart_after_kill();
        let archive = Archive::open_for_writing(folder.path(), Arc::new(disk.clone()), clock()).unwrap();
        sequence(&archive, &mut acknowledged).unwrap();
        drop(archive);
        disk.power_cut(Unsynced::Lost);
        must_end_golden(folder.path(), &acknowledged, &golden, &format!("killed at {at} of {operations}"));
    }
}

#[test]
fn an_error_at_any_operation_ends_golden() {
    let (golden, operations) = golden();
    for at in 1..=operations {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            let disk = FaultyDisk::new(at, Fault::Error(kind));
            let (folder, acknowledged, outcome) = disturbed(&disk);
            let what = format!("{kind:?} at {at} of {operations}, {outcome:?}");
            if let (Err(error), io::ErrorKind::StorageFull) = (&outcome, kind) {
                assert!(matches!(error, ArchiveError::DiskFull { .. }), "{what}");
            }
            must_end_golden(folder.path(), &acknowledged, &golden, &what);
        }
    }
}

#[test]
fn the_twin_does_lose_what_was_not_synced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let disk = FaultyDisk::new(0, Fault::PowerCut);
    let write = |name: &str, sync: bool| {
        let mut file = disk.create_new(&path(name)).unwrap();
        file.write_all(b"1234").unwrap();
        if sync {
            file.sync().unwrap();
        }
    };
    write("synced", true);
    write("not-synced", false);
    disk.sync_dir(folder.path()).unwrap();
    disk.rename_new(&path("synced"), &path("renamed")).unwrap();
    write("no-name", true);
    disk.power_cut(Unsynced::Lost);
    assert_eq!(fs::read(path("synced")).unwrap(), b"1234");
    assert_eq!(fs::read(path("not-synced")).unwrap(), b"");
    assert!(!path("renamed").exists() && !path("no-name").exists());
}
