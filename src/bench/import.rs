//! Runs that fill a vault in the scratch folder: what is measured is exactly what the commands do.

use super::error::BenchError;
use super::job::{ACCOUNT, Job, Sample};
use super::machine::{Lap, Stopwatch, peak_memory_bytes};
use crate::archive::{Archive, Clock, RealDisk};
use crate::pipeline::{self, IndexReport, RunOptions, Step, Watcher, index_home};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What a vault takes on disk, bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// The archived files.
    pub archive_bytes: u64,
    /// `vault.db`: rows, listings and the audit chain.
    pub ledger_bytes: u64,
    /// The index.
    pub index_bytes: u64,
    /// The index by kind of file: `term`, `pos`, `idx`, `fast`, `store`, `fieldnorm` …
    pub index_by_kind: BTreeMap<String, u64>,
}

/// Where the vault of a job lies.
pub(super) fn vault(job: &Job) -> PathBuf {
    job.scratch.join("vault")
}

/// Makes a vault and measures `run`, which fills it: `import`, or a `sync` that the caller has set up.
///
/// # Errors
/// What `run` fails with, a vault that cannot be made, and records that were not read: a benchmark of half the work is none.
pub fn measured_into_vault(
    job: &Job,
    account_id: &str,
    run: &dyn Fn(&Archive, Watcher<'_>) -> Result<IndexReport, BenchError>,
) -> Result<Sample, BenchError> {
    let root = vault(job);
    let archive = Archive::create(&root, account_id, Arc::new(RealDisk), Clock::System)?;
    let mut watch = Stopwatch::new();
    let commits = Mutex::new(Commits { since: None, watch: Stopwatch::new() });
    let locked = || commits.lock().unwrap_or_else(PoisonError::into_inner);
    let watcher = |step: Step| locked().note(&step);
    let report = watch.time(|| run(&archive, &watcher))?;
    locked().end();
    let commit = locked().watch.clone();
    let sizes = sizes(&root)?;
    Ok(Sample {
        wall_s: watch.wall_s(),
        cpu_s: watch.cpu_s(),
        peak_memory_bytes: peak_memory_bytes(),
        conversations: report.conversations,
        commit_wall_s: Some(commit.wall_s()),
        commit_cpu_s: commit.cpu_s(),
        sizes: Some(sizes),
    })
}

pub(super) fn import(job: &Job) -> Result<Sample, BenchError> {
    measured_into_vault(job, ACCOUNT, &|archive, watcher| {
        let (imported, indexed) = pipeline::import(archive, &job.files, RunOptions::default(), watcher)?;
        match imported.failed.first().or(imported.skipped.first()) {
            Some(problem) => Err(BenchError::Process(format!("{}: {}", problem.path, problem.reason))),
            None => Ok(indexed),
        }
    })
}

pub(super) fn rebuild(job: &Job) -> Result<Sample, BenchError> {
    let archive = Archive::open_for_writing(&vault(job), Arc::new(RealDisk), Clock::System)?;
    let mut watch = Stopwatch::new();
    let report = watch.time(|| pipeline::rebuild(&archive, RunOptions::default(), &|_| ()))?;
    Ok(Sample { conversations: report.conversations, ..Sample::of(&watch) })
}

pub(super) fn verify(job: &Job) -> Result<Sample, BenchError> {
    let archive = Archive::open(&vault(job), Arc::new(RealDisk), Clock::System)?;
    let mut watch = Stopwatch::new();
    let report = watch.time(|| archive.verify(&|_| (), job.threads))?;
    match report.is_ok() {
        true => Ok(Sample::of(&watch)),
        false => Err(BenchError::Process("the vault of the benchmark was changed while it ran".into())),
    }
}

/// Time between "the index is being written out" and whatever comes next.
struct Commits {
    since: Option<Lap>,
    watch: Stopwatch,
}

impl Commits {
    fn note(&mut self, step: &Step) {
        match step {
            Step::Committing => self.since = self.since.take().or_else(|| Some(Lap::start())),
            _ => self.end(),
        }
    }

    fn end(&mut self) {
        if let Some(lap) = self.since.take() {
            self.watch.add(&lap);
        }
    }
}

fn sizes(vault: &Path) -> Result<Sizes, BenchError> {
    let mut sizes = Sizes::default();
    for (path, bytes) in files_under(vault)? {
        let inside = path.strip_prefix(vault).unwrap_or(&path);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if inside.starts_with("files") {
            sizes.archive_bytes += bytes;
        } else if name.starts_with("vault.db") {
            sizes.ledger_bytes += bytes;
        } else if path.starts_with(index_home(vault)) {
            sizes.index_bytes += bytes;
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or("other");
            *sizes.index_by_kind.entry(kind.to_owned()).or_default() += bytes;
        }
    }
    Ok(sizes)
}

fn files_under(folder: &Path) -> Result<Vec<(PathBuf, u64)>, BenchError> {
    let mut found = Vec::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(&folder).map_err(BenchError::file(&folder))? {
            let entry = entry.map_err(BenchError::file(&folder))?;
            let metadata = entry.metadata().map_err(BenchError::file(&entry.path()))?;
            if metadata.is_dir() { ahead.push(entry.path()) } else { found.push((entry.path(), metadata.len())) }
        }
    }
    Ok(found)
}
