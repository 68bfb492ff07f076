//! Stop at every disk operation of a whole sync, forget what was not synced, open again, finish: golden state.
//!
//! One simulated account on loopback; its files are downloaded, published, decoded and indexed on a disk that goes wrong
//! at operation N. Operations are those of the archive's files, of the index's files, and the commits of the ledger.
//! Downloads and indexing run side by side, so operation N is not the same in every run; over all N every kind of moment
//! is met. At each N the power goes, in four ways of losing what was not synced, and separately N fails once with "disk
//! full" and once with an I/O error. After each: nothing acknowledged is lost, nothing half stands under `files/`, the
//! index tells no conversation twice and none that is not there; a further sync ends in the same files and answers as an undisturbed one.
//!
//! A usual run takes one of the six faults at each N, in turn; `CHATVAULT_LONG=1` takes all six.

use super::*;
use crate::acquire::{Endpoints, OAuth1Keys, RetryPolicy};
use crate::archive::disk::EntryKind;
use crate::archive::faulty::{Fault, FaultyDisk, Unsynced};
use crate::archive::{Clock, Disk, RealDisk};
use crate::index::WriterOptions;
use crate::search::parse::{ParseOptions, parse_located};
use crate::search::{SearchRequest, search};
use crate::simulator::{self, Simulator, SimulatorConfig, WorldConfig};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;
use url::Url;

const QUERIES: [&str; 6] = ["*", "order", "agent:sorry", "my w/3 order", "ord*", "-order"];
const FAULTS: [Wrong; 6] = [
    Wrong::Power(Unsynced::Lost),
    Wrong::Power(Unsynced::BytesLost),
    Wrong::Power(Unsynced::Torn),
    Wrong::Power(Unsynced::Kept),
    Wrong::Error(ErrorKind::StorageFull),
    Wrong::Error(ErrorKind::Other),
];

/// What goes wrong at the chosen operation.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Power(Unsynced),
    Error(ErrorKind),
}

/// An account, and what it takes to sync it.
struct Lab {
    runtime: tokio::runtime::Runtime,
    simulator: Simulator,
    settings: AcquireSettings,
}

/// What a vault holds: its files by path, and the keys that each query finds.
#[derive(Debug, PartialEq)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    answers: Vec<BTreeSet<String>>,
    records: u64,
}

impl Lab {
    fn new() -> Lab {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let world = WorldConfig {
            conversations: 24,
            hours: 3,
            parts_per_hour: 1,
            revised_permille: 200,
            ..WorldConfig::default()
        };
        let config = SimulatorConfig { world, ..SimulatorConfig::default() };
        let simulator = runtime.block_on(simulator::start(config.clone())).unwrap();
        let keys = OAuth1Keys::of_simulator(&config.credentials);
        let url = |text: &str| Url::parse(text).unwrap();
        let endpoints = Endpoints {
            csds: None,
            data_access: Some(url(&simulator.base_url())),
            data_access_files: vec![url(&simulator.download_base_url())],
            services: BTreeMap::new(),
        };
        let mut settings = AcquireSettings::new("40112233", "va", keys, &endpoints).unwrap();
        settings.clock = Clock::Fixed(Arc::new(AtomicI64::new(simulator.now_ms())));
        settings.start = Duration::from_secs(24 * 3600);
        settings.connections = 2;
        settings.requests_per_second = 10_000.0;
        settings.retry = RetryPolicy::instant();
        Lab { runtime, simulator, settings }
    }

    fn vault(&self) -> tempfile::TempDir {
        // In memory where the system has such a place: the twin decides what is durable, so real syncs only cost time here.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        drop(Archive::create(folder.path(), "40112233", Arc::new(RealDisk), self.settings.clock.clone()).unwrap());
        folder
    }

    fn sync(&self, vault: &Path, disk: Arc<dyn Disk>) -> Result<SyncReport, RunError> {
        let archive = Archive::open_for_writing(vault, disk, self.settings.clock.clone())?;
        let writer = WriterOptions { memory_bytes: 16 << 20, threads: 1 };
        let options = RunOptions { writer, decoders: 1, ..RunOptions::default() };
        sync(&self.runtime, &self.settings, &archive, options, Arc::new(|_| {}), &|_| {}, Cancel::never())
    }

    fn open(&self, vault: &Path) -> Archive {
        Archive::open(vault, Arc::new(RealDisk), self.settings.clock.clone()).unwrap()
    }
}

fn files(vault: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![vault.join("files")];
    while let Some(folder) = folders.pop() {
        for entry in RealDisk.list(&folder).unwrap() {
            match entry.kind {
                EntryKind::Folder => folders.push(entry.path),
                _ => {
                    let path = entry.path.strip_prefix(vault).unwrap().to_string_lossy().replace('\\', "/");
                    files.insert(path, std::fs::read(&entry.path).unwrap());
                }
            }
        }
    }
    files
}

fn answers(reader: &Reader) -> Vec<BTreeSet<String>> {
    let found = QUERIES.iter().map(|text| {
        let query = parse_located(text, &ParseOptions::utc(1_790_000_000_000)).unwrap();
        let request = SearchRequest {
            query,
            text: (*text).to_owned(),
            sort: None,
            reverse: false,
            limit: None,
            facets: Vec::new(),
            tz: TimeZone::UTC,
        };
        let answer = search(reader, &request).unwrap();
        let keys: Vec<String> =
            (0..answer.hits.len()).map(|at| answer.hits.load(reader, at, 0).unwrap().stored.key()).collect();
        let distinct: BTreeSet<String> = keys.iter().cloned().collect();
        assert_eq!(
            (distinct.len(), keys.len() as u64),
            (keys.len(), answer.total),
            "{text}: a conversation is there twice"
        );
        distinct
    });
    found.collect()
}

fn state(lab: &Lab, vault: &Path) -> State {
    let reader = Reader::open(&index_home(vault)).unwrap();
    let covered = coverage(&lab.open(vault), &reader).unwrap();
    assert!(covered.complete, "{covered:?}");
    State { files: files(vault), answers: answers(&reader), records: reader.record_count().unwrap() }
}

/// What must hold right after the crash, before anything is mended.
fn assert_nothing_is_lost(lab: &Lab, vault: &Path, golden: &State, what: &str) {
    let archive = lab.open(vault);
    let report = archive.verify(&|_| {}, 1).unwrap();
    let found = &report.files;
    assert!(report.chain.ok && found.damaged.is_empty() && found.missing.is_empty(), "{what}: {report:?}");
    assert!(found.altered_rows.is_empty(), "{what}: {report:?}");
    for (path, bytes) in files(vault) {
        assert_eq!(golden.files.get(&path), Some(&bytes), "{what}: {path} is no whole file");
    }
    match Reader::open(&index_home(vault)) {
        Ok(reader) => {
            for (found, all) in answers(&reader).iter().zip(&golden.answers) {
                assert!(found.len() <= all.len(), "{what}: {found:?} of {all:?}");
            }
        }
        Err(IndexError::Missing(_)) => {}
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn a_sync_stopped_at_any_operation_ends_golden() {
    let lab = Lab::new();
    let vault = lab.vault();
    let counting = FaultyDisk::new(0, Fault::PowerCut);
    let report = lab.sync(vault.path(), Arc::new(counting.clone())).unwrap();
    assert!(report.acquired.is_complete() && report.index_failure.is_none(), "{report:?}");
    let operations = counting.operations();
    let golden = state(&lab, vault.path());
    let truth = lab.simulator.world().truth();
    let (schemas, data): (Vec<&String>, Vec<&String>) =
        golden.files.keys().partition(|path| path.starts_with("files/data-access/schema/"));
    assert!(schemas.len() >= 2, "{schemas:?}");
    assert_eq!((data.len() as u64, golden.records), (truth.files, truth.conversation_records));
    assert!(operations > 150, "{operations}");

    let all = std::env::var("CHATVAULT_LONG").is_ok_and(|value| value == "1");
    let (mut met, mut runs) = (0, 0);
    for at in 1..=operations {
        for (turn, wrong) in FAULTS.into_iter().enumerate() {
            if !all && at % FAULTS.len() as u64 != turn as u64 {
                continue;
            }
            let what = format!("{wrong:?} at {at} of {operations}");
            let fault = match wrong {
                Wrong::Power(_) => Fault::PowerCut,
                Wrong::Error(kind) => Fault::Error(kind),
            };
            let (vault, disk) = (lab.vault(), FaultyDisk::new(at, fault));
            let outcome = lab.sync(vault.path(), Arc::new(disk.clone()));
            runs += 1;
            met += u64::from(disk.operations() >= at);
            if let Wrong::Power(unsynced) = wrong {
                disk.power_cut(unsynced);
            }
            let what = format!("{what}, {outcome:?}");
            assert_nothing_is_lost(&lab, vault.path(), &golden, &what);
            let report = lab.sync(vault.path(), Arc::new(RealDisk)).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(report.acquired.is_complete() && report.index_failure.is_none(), "{what}: {report:?}");
            assert!(state(&lab, vault.path()) == golden, "{what}: another end");
            assert!(RealDisk.list(&vault.path().join("tmp")).unwrap().is_empty(), "{what}: tmp was not swept");
            let verified = lab.open(vault.path()).verify(&|_| {}, 1).unwrap();
            assert!(verified.is_ok(), "{what}: {verified:?}");
        }
    }
    println!("{runs} runs of {operations} operations, {met} with their fault met: all ended golden");
    assert!(met * 10 >= runs * 9, "only {met} of {runs} runs met their fault");
}
