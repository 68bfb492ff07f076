//! Mending and rebuilding on a disk that stops at every operation: no byte is lost, good or damaged, and whoever comes next
//! finishes it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::check::tests::gzip;
use super::crash_tests::{Tree, fast_folder, tree};
use super::faulty::{Fault, FaultyDisk, Unsynced};
use super::rebuild::examine;
use super::tests::{FOLDER, STREAM, clock, publish};
use super::*;

const WHOLE: Part = Part { part: 1, of: 1 };

fn name(number: u32) -> String {
    format!("Engagement.1467853200000.1467856800000.part-{number:05}-0.gz")
}

fn path(number: u32) -> String {
    format!("{FOLDER}/{}", name(number))
}

/// Takes the place of a file, whatever its permissions.
fn overwrite(place: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(place);
    fs::write(place, bytes).unwrap();
}

/// Every body that the scene holds, good and damaged; none may ever be lost.
fn bodies() -> [Vec<u8>; 5] {
    let good = gzip(b"first");
    let mut damaged = good.clone();
    damaged[12] ^= 0x10;
    [good, gzip(b"second"), gzip(b"an orphan, whole"), b"a stranger's".to_vec(), damaged]
}

/// A vault with a damaged file, a missing one, copies of both in quarantine, an orphan and a stranger's file.
fn scene() -> tempfile::TempDir {
    let folder = fast_folder();
    let root = folder.path();
    let archive = Archive::create(root, "1", Arc::new(RealDisk), clock()).unwrap();
    let [good, second, orphan, strange, damaged] = bodies();
    publish(&archive, &name(0), &good).unwrap();
    publish(&archive, &name(1), &second).unwrap();
    overwrite(&root.join(path(0)), &damaged);
    fs::remove_file(root.join(path(1))).unwrap();
    overwrite(&root.join("quarantine/20200101T000000Z-1-a"), &good);
    overwrite(&root.join("quarantine/20200101T000000Z-1-b"), &second);
    overwrite(&root.join(path(2)), &orphan);
    overwrite(&root.join("files/stranger"), &strange);
    folder
}

/// All that the archive's half of a repair does.
fn mend(archive: &Archive) -> Result<(), ArchiveError> {
    let report = archive.verify(&|_| {}, 1)?;
    archive.note_condition(&report, WHOLE, None)?;
    for (lost, from) in archive.copies_of_lost(&report)? {
        if let Some(file) = archive.file_by_path(&lost)? {
            archive.put_back(&file, &from)?;
        }
    }
    for path in &report.files.unlisted {
        match archive.judge_stray(path, &report)? {
            Stray::Adoptable(identity) => archive.adopt(path, &identity).map(|_| ())?,
            Stray::Foreign(reason) => archive.set_aside(path, &reason)?,
            Stray::Damaged(identity, _) => archive
                .set_damaged_aside(path, &identity)?
                .map_or(Ok(()), |salvageable| archive.salvage(&salvageable).map(|_| ()))?,
            Stray::Untouchable(reason) => panic!("{path}: {reason}"),
        }
    }
    for path in &archive.verify(&|_| {}, 1)?.files.writable {
        archive.make_read_only(path)?;
    }
    Ok(())
}

fn disturbed(disk: &FaultyDisk) -> (tempfile::TempDir, Result<(), ArchiveError>) {
    let folder = scene();
    let outcome =
        Archive::open_for_writing(folder.path(), Arc::new(disk.clone()), clock()).and_then(|archive| mend(&archive));
    (folder, outcome)
}

fn must_hold_all_bytes(root: &Path, what: &str) {
    let mut held: Vec<Vec<u8>> = tree(root).into_values().collect();
    for entry in RealDisk.list(&root.join("quarantine")).unwrap() {
        held.push(fs::read(entry.path).unwrap());
    }
    for (at, body) in bodies().iter().enumerate() {
        assert!(held.contains(body), "{what}: body {at} is lost");
    }
}

fn must_end_mended(root: &Path, golden: &Tree, what: &str) {
    must_hold_all_bytes(root, what);
    let archive = Archive::open_for_writing(root, Arc::new(RealDisk), clock()).unwrap();
    let report = archive.verify(&|_| {}, 1).unwrap();
    assert!(report.chain.ok && report.files.altered_rows.is_empty(), "{what}: {report:?}");
    mend(&archive).unwrap();
    let report = archive.verify(&|_| {}, 1).unwrap();
    assert!(report.is_ok() && report.files.writable.is_empty(), "{what}: {report:?}");
    assert_eq!(&tree(root), golden, "{what}");
    must_hold_all_bytes(root, what);
    let entries = archive.entries_in(STREAM).unwrap();
    assert!(entries.iter().all(|entry| entry.state == EntryState::Fetched), "{what}: {entries:?}");
}

fn golden() -> (Tree, u64) {
    let disk = FaultyDisk::new(0, Fault::PowerCut);
    let (folder, outcome) = disturbed(&disk);
    outcome.unwrap();
    let operations = disk.operations();
    let [good, second, orphan, ..] = bodies();
    let golden: Tree = [(path(0), good), (path(1), second), (path(2), orphan)].into();
    must_end_mended(folder.path(), &golden, "undisturbed");
    (golden, operations)
}

#[test]
fn mending_may_stop_anywhere() {
    let (golden, operations) = golden();
    assert!(operations > 60, "{operations}");
    for at in 1..=operations {
        for unsynced in [Unsynced::Lost, Unsynced::BytesLost, Unsynced::Torn, Unsynced::Kept] {
            let disk = FaultyDisk::new(at, Fault::PowerCut);
            let (folder, outcome) = disturbed(&disk);
            disk.power_cut(unsynced);
            must_end_mended(folder.path(), &golden, &format!("power cut at {at}, {unsynced:?}, {outcome:?}"));
        }
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            let disk = FaultyDisk::new(at, Fault::Error(kind));
            let (folder, outcome) = disturbed(&disk);
            must_hold_all_bytes(folder.path(), &format!("{kind:?} at {at}, {outcome:?}"));
        }
    }
}

/// What becomes of the database before it is rebuilt.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Gone,
    Cut,
    Zeros,
}

fn without_database(loss: Loss) -> (tempfile::TempDir, Tree, Option<Vec<u8>>) {
    let folder = fast_folder();
    let root = folder.path();
    let archive = Archive::create(root, "1", Arc::new(RealDisk), clock()).unwrap();
    for number in 0..3 {
        publish(&archive, &name(number), &gzip(format!("body {number}").as_bytes())).unwrap();
    }
    publish(&archive, &name(1), &gzip(b"second version")).unwrap();
    drop(archive);
    let database = root.join("vault.db");
    let bytes = fs::read(&database).unwrap();
    let left = match loss {
        Loss::Gone => None,
        Loss::Cut => Some(bytes[..bytes.len() / 2].to_vec()),
        Loss::Zeros => Some(vec![0; bytes.len()]),
    };
    fs::remove_file(&database).unwrap();
    if let Some(left) = &left {
        fs::write(&database, left).unwrap();
    }
    let files = tree(root);
    (folder, files, left)
}

fn rebuild_if_needed(root: &Path, disk: Arc<dyn Disk>) -> Result<Archive, ArchiveError> {
    match examine(root, disk.as_ref())? {
        LedgerState::Whole => Archive::open_for_writing(root, disk, clock()),
        LedgerState::Lost | LedgerState::Unreadable(_) => {
            Archive::rebuild(root, "1", disk, clock()).map(|(archive, _)| archive)
        }
    }
}

#[test]
fn rebuilding_may_stop_anywhere() {
    for loss in [Loss::Gone, Loss::Cut, Loss::Zeros] {
        let counting = FaultyDisk::new(0, Fault::PowerCut);
        let (folder, ..) = without_database(loss);
        drop(rebuild_if_needed(folder.path(), Arc::new(counting.clone())).unwrap());
        let operations = counting.operations();
        assert!(operations > 20, "{operations}");
        for at in 1..=operations {
            for unsynced in [Unsynced::Lost, Unsynced::Kept] {
                let disk = FaultyDisk::new(at, Fault::PowerCut);
                let (folder, files, left) = without_database(loss);
                let root = folder.path();
                let stopped = rebuild_if_needed(root, Arc::new(disk.clone())).err();
                disk.power_cut(unsynced);
                let what = format!("{loss:?}, power cut at {at} of {operations}, {unsynced:?}, {stopped:?}");
                assert_eq!(tree(root), files, "{what}");
                let archive =
                    rebuild_if_needed(root, Arc::new(RealDisk)).unwrap_or_else(|error| panic!("{what}: {error}"));
                let report = archive.verify(&|_| {}, 1).unwrap();
                assert!(report.is_ok() && report.files.checked == 4, "{what}: {report:?}");
                assert_eq!(archive.names_in(STREAM).unwrap()[&name(1)].version, 2, "{what}");
                let kept = RealDisk.list(&root.join("quarantine")).unwrap();
                let holds = |bytes: &Vec<u8>| kept.iter().any(|entry| fs::read(&entry.path).unwrap() == *bytes);
                assert!(left.as_ref().is_none_or(holds), "{what}: the old database is lost");
                assert!(RealDisk.list(&root.join("tmp")).unwrap().is_empty(), "{what}");
            }
        }
    }
}

#[test]
fn a_full_disk_while_the_old_database_is_copied_is_said_and_changes_nothing() {
    let mut full = 0;
    for at in 1..60 {
        let (folder, files, left) = without_database(Loss::Cut);
        let root = folder.path();
        let disk = FaultyDisk::new(at, Fault::Error(io::ErrorKind::StorageFull));
        let Err(error) = rebuild_if_needed(root, Arc::new(disk)) else { continue };
        if matches!(&error, ArchiveError::DiskFull { path, .. } if path.ends_with("tmp/vault.db.old")) {
            full += 1;
            assert_eq!(fs::read(root.join("vault.db")).ok(), left, "{at}");
        }
        assert_eq!(tree(root), files, "{at}: {error}");
        drop(rebuild_if_needed(root, Arc::new(RealDisk)).unwrap());
    }
    assert!(full > 1, "the copy never met the disk");
}

#[test]
fn a_database_that_is_good_is_never_taken_for_lost() {
    let folder = fast_folder();
    let archive = Archive::create(folder.path(), "1", Arc::new(RealDisk), clock()).unwrap();
    publish(&archive, &name(0), &gzip(b"x")).unwrap();
    assert_eq!(examine(folder.path(), &RealDisk).unwrap(), LedgerState::Whole, "while a writer works");
    drop(archive);
    assert_eq!(examine(folder.path(), &RealDisk).unwrap(), LedgerState::Whole);
    let raw = rusqlite::Connection::open(folder.path().join("vault.db")).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(examine(folder.path(), &RealDisk), Err(ArchiveError::NewerFormat { .. })));
    let empty = fast_folder();
    assert!(matches!(examine(empty.path(), &RealDisk), Err(ArchiveError::NotAVault { .. })));
    assert!(matches!(examine(&empty.path().join("none"), &RealDisk), Err(ArchiveError::NotAVault { .. })));
}

#[test]
fn an_earlier_version_that_is_lost_does_not_send_sync_for_the_latest() {
    let folder = fast_folder();
    let archive = Archive::create(folder.path(), "1", Arc::new(RealDisk), clock()).unwrap();
    publish(&archive, &name(0), &gzip(b"first")).unwrap();
    publish(&archive, &name(0), &gzip(b"second")).unwrap();
    fs::remove_file(folder.path().join(path(0))).unwrap();
    let report = archive.verify(&|_| {}, 1).unwrap();
    archive.note_condition(&report, WHOLE, None).unwrap();
    assert_eq!(archive.names_held(STREAM).unwrap().len(), 1);
    // Nor does putting the earlier one back hide that the latest is lost.
    fs::remove_file(folder.path().join(path(0).replace(".gz", ".v2.gz"))).unwrap();
    let report = archive.verify(&|_| {}, 1).unwrap();
    archive.note_condition(&report, WHOLE, None).unwrap();
    assert!(archive.names_held(STREAM).unwrap().is_empty());
    assert!(matches!(publish(&archive, &name(0), &gzip(b"first")).unwrap(), Published::Restored(_)));
    assert!(archive.names_held(STREAM).unwrap().is_empty());
    assert!(matches!(publish(&archive, &name(0), &gzip(b"second")).unwrap(), Published::Restored(_)));
    assert_eq!(archive.names_held(STREAM).unwrap().len(), 1);
    // A part that was not read says nothing of its files.
    let nothing = archive.verify_part(Part { part: 2, of: 2 }, &|_| {}, 1).unwrap();
    archive.note_condition(&nothing, Part { part: 2, of: 2 }, None).unwrap();
    assert_eq!(archive.names_held(STREAM).unwrap().len(), 1);
}
