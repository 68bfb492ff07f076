//! The archive's promises, tested through its public face. Crash tests are in `crash_tests.rs`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::check::tests::gzip;
use super::*;

pub(super) const STREAM: &str = "data-access/engagement";
pub(super) const NAME: &str = "Engagement.1467853200000.1467856800000.part-00000-0.gz";
pub(super) const WINDOW: Window = Window { start_ms: 1_467_853_200_000, end_ms: 1_467_856_800_000 };
pub(super) const FOLDER: &str = "files/data-access/engagement/2016/07/07";
const NOW_MS: i64 = 1_700_000_000_000;

pub(super) fn clock() -> Clock {
    Clock::Fixed(Arc::new(AtomicI64::new(NOW_MS)))
}

pub(super) fn arrival() -> Arrival {
    let provenance = Provenance { origin: "https://x.liveperson.net/f".into(), ..Provenance::default() };
    Arrival { window: Some(WINDOW), provenance, ..Arrival::default() }
}

pub(super) fn publish(archive: &Archive, name: &str, body: &[u8]) -> Result<Published, ArchiveError> {
    let mut draft = archive.draft(STREAM, name)?;
    draft.append(body)?;
    archive.publish(draft, arrival())
}

pub(super) struct Lab {
    folder: TempDir,
    pub(super) archive: Archive,
}

impl Lab {
    pub(super) fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(&folder.path().join("v"), "75555851", Arc::new(RealDisk), clock()).unwrap();
        Lab { folder, archive }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("v")
    }

    /// The ledger is lost, then `change` happens, then the ledger is made anew.
    pub(super) fn rebuilt(self, change: impl FnOnce(&Path)) -> Lab {
        let Lab { folder, archive } = self;
        drop(archive);
        let root = folder.path().join("v");
        for ending in ["vault.db", "vault.db-wal", "vault.db-shm"] {
            let _ = fs::remove_file(root.join(ending));
        }
        change(&root);
        let (archive, _) = Archive::rebuild(&root, "75555851", Arc::new(RealDisk), clock()).unwrap();
        Lab { folder, archive }
    }

    pub(super) fn reopen(self) -> Lab {
        let Lab { folder, archive } = self;
        drop(archive);
        let root = folder.path().join("v");
        let archive = Archive::open_for_writing(&root, Arc::new(RealDisk), clock()).unwrap();
        Lab { folder, archive }
    }

    pub(super) fn raw(&self) -> Connection {
        Connection::open(self.root().join("vault.db")).unwrap()
    }

    pub(super) fn kinds(&self) -> Vec<String> {
        self.archive.events_after(0, 1000).unwrap().into_iter().map(|event| event.kind).collect()
    }

    pub(super) fn verify(&self) -> VerifyReport {
        self.archive.verify(&|_| {}, 2).unwrap()
    }

    /// Names in a folder of the vault.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = RealDisk.list(&self.root().join(folder)).unwrap();
        entries.iter().map(|entry| file_name(&entry.path)).collect()
    }
}

/// Overwrites a published file, as damage or malice would.
pub(super) fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    RealDisk.set_read_only(path).unwrap();
}

#[test]
fn a_published_file_has_its_bytes_its_place_its_row_and_its_event() {
    let lab = Lab::new();
    let body = gzip(b"{\"a\":1}\n");
    let Published::New(file) = publish(&lab.archive, NAME, &body).unwrap() else { panic!("not new") };
    assert_eq!(file.sequence, 1);
    assert_eq!(file.path, format!("{FOLDER}/{NAME}"));
    assert_eq!((file.version, file.size_bytes, file.stored_at_ms), (1, body.len() as u64, NOW_MS));
    assert_eq!(file.sha256, Sha256Hex::of(&body));
    let place = lab.root().join(&file.path);
    assert_eq!(fs::read(&place).unwrap(), body);
    assert!(fs::metadata(&place).unwrap().permissions().readonly());
    assert_eq!(lab.names("tmp"), Vec::<String>::new());
    assert_eq!(lab.kinds(), ["created", "fetched"]);
    assert_eq!(lab.archive.files_after(0).unwrap(), std::slice::from_ref(&file));
    assert_eq!(lab.archive.files_after(1).unwrap(), []);
    assert_eq!(lab.archive.last_sequence().unwrap(), 1);
    assert_eq!(lab.archive.names_in(STREAM).unwrap()[NAME], file);
    assert_eq!(lab.archive.file_by_sha256(&file.sha256).unwrap(), Some(file.clone()));
    assert!(lab.verify().is_ok());
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut lab.archive.open_file(&file).unwrap(), &mut read).unwrap();
    assert_eq!(read, body);
}

#[test]
fn the_same_bytes_change_nothing_and_other_bytes_are_a_new_version() {
    let lab = Lab::new();
    let (first, second) = (gzip(b"first"), gzip(b"second"));
    publish(&lab.archive, NAME, &first).unwrap();
    let before = lab.archive.chain_head().unwrap();
    assert!(matches!(publish(&lab.archive, NAME, &first).unwrap(), Published::Already(file) if file.version == 1));
    assert_eq!(lab.archive.chain_head().unwrap(), before);

    let Published::NewVersion(file) = publish(&lab.archive, NAME, &second).unwrap() else { panic!("not a version") };
    assert_eq!((file.sequence, file.version), (2, 2));
    assert_eq!(file.path, format!("{FOLDER}/Engagement.1467853200000.1467856800000.part-00000-0.v2.gz"));
    assert!(matches!(publish(&lab.archive, NAME, &first).unwrap(), Published::Already(file) if file.version == 1));
    assert_eq!(lab.archive.names_in(STREAM).unwrap()[NAME].version, 2);
    assert_eq!(fs::read(lab.root().join(format!("{FOLDER}/{NAME}"))).unwrap(), first);
    assert!(lab.verify().is_ok());
    assert_eq!(lab.names("tmp"), Vec::<String>::new());
}

#[test]
fn names_that_some_disk_takes_for_one_get_different_paths() {
    let lab = Lab::new();
    publish(&lab.archive, "a.gz", &gzip(b"1")).unwrap();
    publish(&lab.archive, "a.v2.gz", &gzip(b"2")).unwrap();
    publish(&lab.archive, "A.gz", &gzip(b"3")).unwrap();
    publish(&lab.archive, "a.gz", &gzip(b"4")).unwrap();
    let paths: Vec<_> = lab.archive.files_after(0).unwrap().into_iter().map(|file| (file.path, file.version)).collect();
    let expected = [("a.gz", 1), ("a.v2.gz", 1), ("A.v3.gz", 1), ("a.v4.gz", 2)];
    assert_eq!(paths, expected.map(|(name, version)| (format!("{FOLDER}/{name}"), version)));
    assert!(lab.verify().is_ok());
}

#[test]
fn a_damaged_body_goes_to_quarantine_and_can_be_fetched_again() {
    let lab = Lab::new();
    let body = gzip(&b"some content ".repeat(1000));
    let cut = &body[..body.len() - 3];
    let ArchiveError::Damaged { quarantined_as, reason, .. } = publish(&lab.archive, NAME, cut).unwrap_err() else {
        panic!("not damaged")
    };
    assert!(reason.contains("cut"), "{reason}");
    assert_eq!(fs::read(lab.root().join(&quarantined_as)).unwrap(), cut);
    assert!(lab.archive.events_after(1, 1).unwrap()[0].payload.contains(&Sha256Hex::of(cut).to_string()));
    assert!(quarantined_as.starts_with("quarantine/20231114T221320Z-1-Engagement"), "{quarantined_as}");
    assert_eq!(lab.kinds(), ["created", "quarantined"]);
    assert_eq!(lab.archive.entries_in(STREAM).unwrap()[0].state, EntryState::Damaged);
    assert_eq!(lab.archive.last_sequence().unwrap(), 0);

    // The same damage again is one more event, not one more file.
    publish(&lab.archive, NAME, cut).unwrap_err();
    assert_eq!(lab.names("quarantine").len(), 1);
    assert_eq!(lab.kinds().len(), 3);

    publish(&lab.archive, NAME, &body).unwrap();
    assert_eq!(lab.archive.entries_in(STREAM).unwrap()[0].state, EntryState::Fetched);
    publish(&lab.archive, NAME, b"").unwrap_err();
    assert_eq!(lab.archive.entries_in(STREAM).unwrap()[0].state, EntryState::Fetched);
    assert!(lab.verify().is_ok());
    assert_eq!(lab.names("tmp"), Vec::<String>::new());
}

#[test]
fn a_wrong_length_is_damage() {
    let lab = Lab::new();
    let mut draft = lab.archive.draft(STREAM, "x.json").unwrap();
    draft.write_all(b"{}").unwrap();
    let expected = Arrival { expected_bytes: Some(3), ..arrival() };
    let error = lab.archive.publish(draft, expected).unwrap_err();
    assert!(error.to_string().contains("2 bytes came, 3 were announced"), "{error}");
    assert!(error.help().contains("chatvault sync"));
}

#[test]
fn a_dropped_draft_leaves_nothing_and_a_writer_sweeps_what_a_dead_one_left() {
    let lab = Lab::new();
    let mut draft = lab.archive.draft(STREAM, NAME).unwrap();
    draft.append(&[0; 1_000_000]).unwrap();
    assert_eq!(lab.names("tmp").len(), 1);
    drop(draft);
    assert_eq!(lab.names("tmp").len(), 0);
    fs::write(lab.root().join("tmp/123-0.part"), "half").unwrap();
    assert_eq!(lab.reopen().names("tmp").len(), 0);
}

#[test]
fn an_orphan_with_the_same_bytes_is_adopted() {
    let lab = Lab::new();
    let body = gzip(b"x");
    fs::create_dir_all(lab.root().join(FOLDER)).unwrap();
    fs::write(lab.root().join(format!("{FOLDER}/{NAME}")), &body).unwrap();
    assert_eq!(lab.verify().files.unlisted, [format!("{FOLDER}/{NAME}")]);
    assert!(!lab.verify().is_ok());
    let Published::New(file) = publish(&lab.archive, NAME, &body).unwrap() else { panic!("not new") };
    assert_eq!(file.path, format!("{FOLDER}/{NAME}"));
    assert!(lab.verify().is_ok());
    assert!(lab.verify().files.writable.is_empty());
    assert!(lab.archive.events_after(1, 1).unwrap()[0].payload.contains("\"adopted\":true"));
    assert_eq!(lab.names("quarantine").len() + lab.names("tmp").len(), 0);
}

#[test]
fn an_orphan_with_other_bytes_goes_to_quarantine() {
    let lab = Lab::new();
    fs::create_dir_all(lab.root().join(FOLDER)).unwrap();
    fs::write(lab.root().join(format!("{FOLDER}/{NAME}")), "half a fi").unwrap();
    let Published::New(file) = publish(&lab.archive, NAME, &gzip(b"x")).unwrap() else { panic!("not new") };
    assert_eq!(file.path, format!("{FOLDER}/{NAME}"));
    assert_eq!(lab.kinds(), ["created", "quarantined", "fetched"]);
    let kept = lab.names("quarantine");
    assert_eq!(fs::read(lab.root().join("quarantine").join(&kept[0])).unwrap(), b"half a fi");
    assert_eq!(lab.archive.entries_in(STREAM).unwrap()[0].state, EntryState::Fetched);
    assert!(lab.verify().is_ok());
}

#[test]
fn a_lost_or_cut_file_is_put_back_when_its_bytes_come_again() {
    let lab = Lab::new();
    let body = gzip(b"x");
    let file = publish(&lab.archive, NAME, &body).unwrap().file().clone();
    let place = lab.root().join(&file.path);
    fs::remove_file(&place).unwrap();
    assert_eq!(lab.verify().files.missing.len(), 1);
    assert!(matches!(publish(&lab.archive, NAME, &body).unwrap(), Published::Restored(_)));
    assert!(lab.verify().is_ok());
    overwrite(&place, b"cut");
    assert!(matches!(publish(&lab.archive, NAME, &body).unwrap(), Published::Restored(_)));
    assert!(lab.verify().is_ok());
    assert_eq!(lab.kinds(), ["created", "fetched", "restored", "quarantined", "restored"]);
}

#[test]
fn names_that_could_leave_the_vault_are_refused() {
    let lab = Lab::new();
    for name in ["../x", "/x", "a/b", "a\0", "", "..", &"x".repeat(4000)] {
        assert!(matches!(lab.archive.draft(STREAM, name), Err(ArchiveError::UnsafeName { .. })));
        let outcome = ListingOutcome::Files { names: vec![name.into()] };
        assert!(lab.archive.record_listing(STREAM, WINDOW, &outcome).is_err());
    }
    assert!(matches!(lab.archive.draft("../s", NAME), Err(ArchiveError::UnsafeName { .. })));
    assert_eq!(lab.kinds(), ["created"]);
}

#[test]
fn one_writer_many_readers() {
    let lab = Lab::new();
    publish(&lab.archive, NAME, &gzip(b"x")).unwrap();
    let second = Archive::open_for_writing(&lab.root(), Arc::new(RealDisk), clock());
    assert!(matches!(second, Err(ArchiveError::Locked { .. })));
    let reader = Archive::open(&lab.root(), Arc::new(RealDisk), clock()).unwrap();
    assert_eq!(reader.last_sequence().unwrap(), 1);
    publish(&lab.archive, NAME, &gzip(b"y")).unwrap();
    assert_eq!(reader.last_sequence().unwrap(), 2, "a reader sees what the writer commits");
    assert!(reader.verify(&|_| {}, 1).unwrap().is_ok());
    assert!(matches!(reader.draft(STREAM, NAME), Err(ArchiveError::ReadOnly { .. })));
    assert!(matches!(reader.record_event(EventKind::Verified, json!({})), Err(ArchiveError::ReadOnly { .. })));
    assert_eq!(reader.account_id(), "75555851");
    lab.reopen();
}

#[test]
fn create_refuses_what_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let create = |root: &Path| Archive::create(root, "1", Arc::new(RealDisk), clock());
    let foreign = folder.path().join("foreign");
    fs::create_dir_all(foreign.join("files/x")).unwrap();
    assert!(matches!(create(&foreign), Err(ArchiveError::FolderNotEmpty { found, .. }) if found == "files/x"));
    assert!(foreign.join("files/x").exists());
    fs::write(foreign.join("a.txt"), "mine").unwrap();
    assert!(matches!(create(&foreign), Err(ArchiveError::FolderNotEmpty { .. })));
    assert!(matches!(Archive::open(&foreign, Arc::new(RealDisk), clock()), Err(ArchiveError::NotAVault { .. })));
    assert!(matches!(
        Archive::open_for_writing(&foreign, Arc::new(RealDisk), clock()),
        Err(ArchiveError::NotAVault { .. })
    ));
    assert!(!foreign.join("vault.lock").exists());

    let own = folder.path().join("own");
    fs::create_dir_all(own.join("tmp")).unwrap();
    fs::write(own.join("vault.toml"), "").unwrap();
    fs::write(own.join("tmp/vault.db.new"), "interrupted").unwrap();
    drop(create(&own).unwrap());
    assert!(matches!(create(&own), Err(ArchiveError::AlreadyAVault { .. })));
}

#[test]
fn listings_and_entries_tell_what_was_seen_when() {
    let ms = Arc::new(AtomicI64::new(1000));
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::create(folder.path(), "1", Arc::new(RealDisk), Clock::Fixed(Arc::clone(&ms))).unwrap();
    let listed = |name: &str| ListedFile {
        stream: STREAM.into(),
        name: name.into(),
        window: Some(WINDOW),
        href: "https://x/".into(),
    };
    archive.record_listed(STREAM, WINDOW, &[listed("a.gz"), listed("b.gz")]).unwrap();
    ms.store(2000, Ordering::SeqCst);
    let names = vec!["b.gz".to_owned(), "a.gz".to_owned(), "a.gz".to_owned()];
    archive.record_listing(STREAM, WINDOW, &ListingOutcome::Files { names }).unwrap();
    archive.record_listing(STREAM, WINDOW, &ListingOutcome::Empty).unwrap();
    archive.record_listing(STREAM, WINDOW, &ListingOutcome::Failed { reason: "HTML".into() }).unwrap();
    publish(&archive, "a.gz", &gzip(b"a")).unwrap();

    let listings = archive.listings_in(STREAM).unwrap();
    assert_eq!(listings[0].names_sha256, listings[1].names_sha256, "two listings that agree");
    assert_eq!((listings[1].names, listings[1].listed_ms), (2, 2000));
    assert_eq!(listings[2].outcome, ListingKind::Empty);
    assert_eq!(listings[3].outcome, ListingKind::Failed("HTML".into()));
    assert_eq!(listings[3].names_sha256, None);
    let entries = archive.entries_in(STREAM).unwrap();
    assert_eq!(entries[0].state, EntryState::Fetched);
    assert_eq!(
        entries[1],
        LedgerEntry {
            name: "b.gz".into(),
            window: Some(WINDOW),
            first_listed_ms: Some(1000),
            last_listed_ms: Some(2000),
            first_listing: Some(1),
            last_listing: Some(2),
            state: EntryState::Listed
        }
    );
    let events = archive.events_after(1, 2).unwrap();
    assert!(events[0].payload.contains(r#""new_names":["a.gz","b.gz"]"#), "{}", events[0].payload);
    assert!(events[1].payload.contains(r#""new_names":[]"#));
    assert!(archive.verify(&|_| {}, 1).unwrap().is_ok());
}

#[test]
fn contents_are_summed_and_the_last_word_counts() {
    let lab = Lab::new();
    publish(&lab.archive, "a", b"a").unwrap();
    publish(&lab.archive, "b", b"b").unwrap();
    let contents = |records| Contents { records, conversations: 1, problems: 2 };
    lab.archive.record_contents(1, &contents(7)).unwrap();
    lab.archive.record_contents(2, &contents(5)).unwrap();
    lab.archive.record_contents(1, &contents(3)).unwrap();
    assert_eq!(lab.archive.contents_total().unwrap(), Contents { records: 8, conversations: 2, problems: 4 });
    assert_eq!(lab.archive.contents_of(1).unwrap(), Some(contents(3)));
    assert!(lab.archive.record_contents(3, &contents(1)).is_err(), "no such file");
}

#[test]
fn an_import_copies_once() {
    let lab = Lab::new();
    let source = lab.folder.path().join("chats.json");
    fs::write(&source, "{\"a\":1}").unwrap();
    let import = || {
        let provenance = Provenance { origin: "import:chats.json".into(), ..Provenance::default() };
        lab.archive.import_copy("import", "chats.json", &source, Arrival { provenance, ..Arrival::default() })
    };
    let Published::New(file) = import().unwrap() else { panic!("not new") };
    assert_eq!(file.path, "files/import/undated/chats.json");
    assert!(matches!(import().unwrap(), Published::Already(_)));
    fs::write(&source, "{\"a\":2}").unwrap();
    assert!(matches!(import().unwrap(), Published::NewVersion(_)), "same size, other bytes");
    assert_eq!(lab.kinds(), ["created", "imported", "imported"]);
    fs::remove_file(&source).unwrap();
    assert!(import().unwrap_err().to_string().contains("chats.json"));
}

#[test]
fn several_threads_publish_side_by_side() {
    let lab = Lab::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let archive = lab.archive.clone().with_actor("tester");
            scope.spawn(move || {
                for number in 0..8 {
                    let body = gzip(format!("{thread} {number}").as_bytes());
                    // Half of the names are shared by all threads: versions must not collide.
                    let name =
                        if number % 2 == 0 { format!("shared-{number}.gz") } else { format!("{thread}-{number}.gz") };
                    publish(&archive, &name, &body).unwrap();
                }
            });
        }
    });
    let files = lab.archive.files_after(0).unwrap();
    assert_eq!(files.iter().map(|file| file.sequence).collect::<Vec<_>>(), (1..=32).collect::<Vec<_>>());
    assert_eq!(files.iter().filter(|file| file.version == 4).count(), 4);
    assert!(lab.verify().is_ok());
    assert_eq!(lab.archive.events_after(1, 1).unwrap()[0].actor, "tester");
}

#[test]
fn bytes_that_were_written_only_in_part_are_never_published() {
    let lab = Lab::new();
    let mut draft = lab.archive.draft(STREAM, NAME).unwrap();
    draft.append(&gzip(b"x")).unwrap();
    draft.flush().unwrap();
    // A failing disk may lose what it was given; here somebody cuts the file behind our back.
    fs::write(lab.root().join("tmp").join(&lab.names("tmp")[0]), "short").unwrap();
    let error = lab.archive.publish(draft, arrival()).unwrap_err();
    assert!(error.to_string().contains("are on disk"), "{error}");
    assert_eq!(lab.kinds(), ["created"]);
    assert_eq!(lab.names("tmp").len(), 0);
}
