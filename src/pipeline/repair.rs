//! Mending a vault: what re-reading found, what can be done about each finding, and doing it.
//!
//! Local means come first (a copy of the bytes elsewhere in the vault), then LivePerson, then the index; at the end the whole
//! vault is read again, because only that says what is mended. Where the chain or a row was changed by force nothing that
//! rests on it is touched.

use super::diagnosis::{has_stale_files, stray_remedy};
use super::{RunError, RunOptions, Watcher, bring_up, rebuild};

pub use super::diagnosis::{diagnose, index_state};
use crate::acquire::{self, AcquireError, AcquireReport, AcquireSettings, Cancel, LostFile, ProgressSink};
use crate::archive::naming::PathIdentity;
use crate::archive::{Archive, ArchiveError, ArchivedFile, EventKind, Part, VerifyReport, mend};
use serde::Serialize;
use serde_json::json;
use std::collections::{HashMap, HashSet};

/// All of the files.
const WHOLE: Part = Part { part: 1, of: 1 };

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// A published file's bytes changed.
    Damaged,
    /// A published file is gone.
    Missing,
    /// A file without a row.
    Unlisted,
    /// A row or the chain was changed by force.
    AlteredRow,
    /// See [`Trouble::AlteredRow`]; no file is named.
    Chain,
    /// The index does not cover the archive.
    Index,
    /// A published file that somebody could write to.
    Writable,
    /// Bytes in `quarantine/` are gone or altered.
    Evidence,
}

/// What is done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Remedy {
    /// The same bytes lie elsewhere in the vault.
    PutBack {
        /// Where, relative to the vault.
        from: String,
    },
    /// LivePerson may still have it.
    Fetch {
        /// When it is deleted there at the earliest, epoch milliseconds.
        expires_ms: i64,
    },
    /// It becomes a row.
    Adopt,
    /// It moves to `quarantine/`.
    SetAside {
        /// Why it cannot be a row.
        reason: String,
    },
    /// It moves to `quarantine/`, its name counts as damaged, and what can be read of it becomes a file of its own. What is lost of
    /// it stays lost, so this is never `done`.
    Salvage {
        /// What is wrong with it.
        reason: String,
    },
    /// It loses its write permissions.
    MakeReadOnly,
    /// The index is brought up, or made anew.
    MendIndex,
    /// Nothing that this program can do.
    None {
        /// Why not.
        reason: String,
    },
}

/// One finding and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mending {
    /// What is wrong.
    pub trouble: Trouble,
    /// With which file, relative to the vault.
    pub file: Option<String>,
    /// What is done about it.
    #[serde(flatten)]
    pub remedy: Remedy,
    /// After the repair: whether it is mended. `None` in a dry run.
    pub done: Option<bool>,
    /// What came of it, where there is something to say.
    pub outcome: Option<String>,
}

/// The index's side of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IndexState {
    /// Conversations in it.
    pub documents: u64,
    /// Conversation records that they account for.
    pub records: u64,
    /// Conversation records in the archive.
    pub expected: u64,
    /// Both agree.
    pub ok: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// What is wrong with a vault, and what would be done about it.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What re-reading found.
    pub report: VerifyReport,
    /// The index.
    pub index: IndexState,
    /// One entry per finding, the worst first.
    pub mendings: Vec<Mending>,
}

/// How LivePerson is asked.
pub struct Asking<'a> {
    /// Where the requests run.
    pub runtime: &'a tokio::runtime::Runtime,
    /// Hosts, keys, limits.
    pub settings: &'a AcquireSettings,
    /// Receives progress.
    pub progress: ProgressSink,
    /// Ends the run.
    pub cancel: Cancel,
}

/// What a repair did.
#[derive(Debug)]
pub struct RepairReport {
    /// What was found first, with what became of each finding.
    pub before: Diagnosis,
    /// What is left; the same as before where nothing was done.
    pub after: Diagnosis,
    /// What LivePerson was asked.
    pub acquired: Option<AcquireReport>,
    /// Why it could not be asked. Everything else was done all the same.
    pub acquire_failure: Option<AcquireError>,
    /// Why the index could not be mended.
    pub index_failure: Option<RunError>,
}

impl RepairReport {
    /// Every finding is mended, and none came to light.
    pub fn is_mended(&self) -> bool {
        self.after.is_clean() && self.before.mendings.iter().all(|mending| mending.done != Some(false))
    }
}

impl Diagnosis {
    /// Nothing is wrong, not even a lost read-only bit.
    pub fn is_clean(&self) -> bool {
        self.mendings.is_empty()
    }

    /// As `verify` judges it.
    pub fn is_ok(&self) -> bool {
        self.report.is_ok() && self.index.ok
    }
}

/// Does what [`diagnose`] says, and reads everything again. `fresh_index`: the index is made anew whatever it holds, because the
/// numbers of the files changed (a rebuilt ledger).
///
/// # Errors
/// A failing archive. What LivePerson or the index refuse is in the report, beside what was done all the same.
pub fn repair(
    archive: &Archive,
    asking: Option<Asking<'_>>,
    fresh_index: bool,
    now_ms: i64,
    options: RunOptions,
    watcher: Watcher<'_>,
) -> Result<RepairReport, RunError> {
    let mut before = diagnose(archive, asking.is_some(), now_ms, watcher)?;
    if fresh_index {
        // That the old index does not fit the new numbers is no finding.
        before.mendings.retain(|mending| mending.trouble != Trouble::Index);
    }
    if before.is_clean() && !fresh_index {
        // What was lost once may have been put back by hand.
        archive.note_condition(&before.report, WHOLE, None)?;
        let after = before.clone();
        return Ok(RepairReport { before, after, acquired: None, acquire_failure: None, index_failure: None });
    }
    let versions = versions_of(archive, &before)?;
    let (mut acquired, mut acquire_failure, mut index_failure) = (None, None, None);
    if before.report.chain.ok {
        // From here on `sync` would fetch what is lost, and a download is compared with the bytes on disk.
        archive.note_condition(&before.report, WHOLE, None)?;
        mend_locally(archive, &mut before)?;
        let lost = lost_files(archive, &before, now_ms)?;
        if let Some(asking) = asking.filter(|_| !lost.is_empty()) {
            match fetch(archive, &lost, asking) {
                Ok(report) => acquired = Some(report),
                Err(failure) => acquire_failure = Some(failure),
            }
        }
    }
    let wanted = if fresh_index { IndexWanted::Anew } else { index_wanted(archive, &before)? };
    if let Err(failure) = mend_index(archive, wanted, &before.report, options, watcher) {
        index_failure = Some(failure);
    }
    let mut after = diagnose(archive, false, now_ms, &|_| ())?;
    settle(archive, &mut before, &after, &versions, acquired.as_ref())?;
    if before.report.chain.ok {
        archive.note_condition(&after.report, WHOLE, None)?;
        record(archive, &before, &after)?;
        after.report.chain = archive.verify_chain()?;
    }
    Ok(RepairReport { before, after, acquired, acquire_failure, index_failure })
}

/// Everything that needs no network and no index. A file that resists stops no other.
fn mend_locally(archive: &Archive, before: &mut Diagnosis) -> Result<(), ArchiveError> {
    let report = &before.report;
    for mending in &mut before.mendings {
        let Some(path) = mending.file.clone() else { continue };
        let outcome = match &mending.remedy {
            Remedy::PutBack { from } => match archive.file_by_path(&path)? {
                Some(file) => archive.put_back(&file, from).map(|is_back| {
                    if !is_back {
                        mending.outcome = Some("the copy does not hold its bytes any more".to_owned());
                    }
                }),
                None => Ok(()),
            },
            // Judged again: what was mended before it may have changed its case.
            Remedy::Adopt | Remedy::SetAside { .. } | Remedy::Salvage { .. } => {
                let (remedy, identity) = stray_remedy(archive, &path, report)?;
                mending.remedy = remedy;
                match (&mending.remedy, identity) {
                    (Remedy::Adopt, Some(identity)) => archive.adopt(&path, &identity).map(|_| ()),
                    (Remedy::SetAside { reason }, _) => archive.set_aside(&path, reason),
                    (Remedy::Salvage { .. }, Some(identity)) => salvage(archive, &path, &identity)
                        .map(|kept| mending.outcome = Some(said_of_salvage(&identity.name, kept.as_deref()))),
                    _ => Ok(()),
                }
            }
            Remedy::MakeReadOnly => archive.make_read_only(&path),
            Remedy::Fetch { .. } | Remedy::MendIndex | Remedy::None { .. } => Ok(()),
        };
        match outcome {
            Ok(()) => {}
            // What concerns the disk or the ledger as a whole would hit the next file too.
            Err(
                error @ (ArchiveError::DiskFull { .. } | ArchiveError::ReadOnly { .. } | ArchiveError::Database { .. }),
            ) => return Err(error),
            Err(error) => mending.outcome = Some(error.to_string()),
        }
    }
    Ok(())
}

/// Sets a damaged file aside; the path of what could be read of it.
fn salvage(archive: &Archive, path: &str, identity: &PathIdentity) -> Result<Option<String>, ArchiveError> {
    let Some(salvageable) = archive.set_damaged_aside(path, identity)? else { return Ok(None) };
    Ok(Some(archive.salvage(&salvageable)?.file().path.clone()))
}

fn said_of_salvage(name: &str, kept: Option<&str>) -> String {
    let kept = kept.map_or("nothing of it can be read".to_owned(), |path| format!("what can be read of it is {path}"));
    format!("moved to quarantine/; {kept}; {name} counts as damaged until it comes whole")
}

/// What is still lost after local mending, as far as LivePerson may have it.
fn lost_files(archive: &Archive, before: &Diagnosis, now_ms: i64) -> Result<Vec<LostFile>, ArchiveError> {
    let mut lost = Vec::new();
    for mending in &before.mendings {
        let wants = match mending.remedy {
            Remedy::Fetch { .. } => true,
            Remedy::PutBack { .. } => mending.outcome.is_some(),
            _ => false,
        };
        if let (true, Some(path)) = (wants, &mending.file)
            && let Some(file) = archive.file_by_path(path)?
        {
            lost.extend(LostFile::of(&file, now_ms));
        }
    }
    Ok(lost)
}

fn fetch(archive: &Archive, lost: &[LostFile], asking: Asking<'_>) -> Result<AcquireReport, AcquireError> {
    // New versions are indexed from the ledger afterwards; the channel only has to be there.
    let (published, arriving) = tokio::sync::mpsc::channel::<ArchivedFile>(lost.len().max(1));
    drop(arriving);
    let Asking { runtime, settings, progress, cancel } = asking;
    runtime.block_on(acquire::refetch(settings, archive.clone(), lost, progress, published, cancel))
}

/// What the index needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IndexWanted {
    /// To be brought up; made anew if that does not do.
    Up,
    /// To be brought up. It lacks what is still lost, and making it anew could only lose more.
    AsFarAsItGoes,
    /// To be made anew.
    Anew,
}

/// An index may hold something else of a healed file than its bytes say, where it was read in part.
fn index_wanted(archive: &Archive, before: &Diagnosis) -> Result<IndexWanted, ArchiveError> {
    let mut wanted = IndexWanted::Up;
    for mending in &before.mendings {
        let is_lost = matches!(mending.trouble, Trouble::Damaged | Trouble::Missing);
        let (true, Some(path)) = (is_lost, &mending.file) else { continue };
        let Some(file) = archive.file_by_path(path)? else { continue };
        // One that was not read at all is simply read again; of one that was read in part, the index may hold what it should not.
        let contents = archive.contents_of(file.sequence)?;
        let was_read_in_part = contents.is_some_and(|contents| contents.problems > 0 && contents.records > 0);
        if !archive.is_whole(&file)? {
            wanted = IndexWanted::AsFarAsItGoes;
        } else if was_read_in_part {
            return Ok(IndexWanted::Anew);
        }
    }
    Ok(wanted)
}

fn mend_index(
    archive: &Archive,
    wanted: IndexWanted,
    report: &VerifyReport,
    options: RunOptions,
    watcher: Watcher<'_>,
) -> Result<(), RunError> {
    if wanted != IndexWanted::Anew {
        // Also where the counts agree: files that could not be read are tried again.
        let brought_up = bring_up(archive, options.clone(), watcher);
        let is_whole = || Ok::<_, RunError>(index_state(archive)?.ok && !has_stale_files(archive, report)?);
        let does = brought_up.is_ok() && (wanted == IndexWanted::AsFarAsItGoes || is_whole()?);
        if does {
            return Ok(());
        }
    }
    rebuild(archive, options, watcher).map(|_| ())
}

/// The latest version of every lost name, before anything is fetched.
fn versions_of(archive: &Archive, before: &Diagnosis) -> Result<HashMap<String, u32>, ArchiveError> {
    let mut versions = HashMap::new();
    for path in mend::lost(&before.report) {
        if let Some(file) = archive.file_by_path(path)? {
            versions.insert(path.to_owned(), archive.latest_version(&file)?);
        }
    }
    Ok(versions)
}

/// Writes down what became of each finding, by what reading everything again found.
fn settle(
    archive: &Archive,
    before: &mut Diagnosis,
    after: &Diagnosis,
    versions: &HashMap<String, u32>,
    acquired: Option<&AcquireReport>,
) -> Result<(), ArchiveError> {
    // A damaged file that went missing, or the other way round, is not mended.
    let key = |mending: &Mending| match mending.trouble {
        Trouble::Missing => (Trouble::Damaged, mending.file.clone()),
        trouble => (trouble, mending.file.clone()),
    };
    let left: HashSet<_> = after.mendings.iter().map(key).collect();
    for mending in &mut before.mendings {
        let is_lost_for_good = matches!(mending.remedy, Remedy::Salvage { .. });
        let done = !left.contains(&key(mending)) && !is_lost_for_good;
        mending.done = Some(done);
        if done {
            mending.outcome = None;
            continue;
        }
        let (Remedy::Fetch { .. }, Some(path)) = (&mending.remedy, &mending.file) else { continue };
        let Some(file) = archive.file_by_path(path)? else { continue };
        let problem = acquired.iter().flat_map(|report| report.streams.get(&file.stream));
        let problem = problem.flat_map(|stream| &stream.problems).find(|problem| problem.name == file.name);
        let latest = archive.latest_version(&file)?;
        mending.outcome = if versions.get(path).is_some_and(|before| *before < latest) {
            Some(format!(
                "LivePerson has other bytes now; they are kept as version {latest}, the lost ones are not there"
            ))
        } else if let Some(problem) = problem {
            Some(format!("LivePerson could not give it: {}", problem.reason))
        } else if acquired.is_some_and(|report| report.stopped.is_none() && !report.interrupted) {
            Some("LivePerson does not list it any more".to_owned())
        } else {
            Some("LivePerson could not be asked".to_owned())
        };
    }
    Ok(())
}

/// One `repaired` event with what was done; the single moves have events of their own.
fn record(archive: &Archive, before: &Diagnosis, after: &Diagnosis) -> Result<(), ArchiveError> {
    let done: Vec<&Mending> = before.mendings.iter().filter(|mending| mending.done == Some(true)).collect();
    if done.is_empty() {
        return Ok(());
    }
    let count = |trouble| done.iter().filter(|mending| mending.trouble == trouble).count();
    let payload = json!({
        "what": "vault",
        "mended": {
            "damaged": count(Trouble::Damaged), "missing": count(Trouble::Missing), "unlisted": count(Trouble::Unlisted),
            "writable": count(Trouble::Writable), "index": count(Trouble::Index),
        },
        "left": after.mendings.len(),
    });
    archive.record_event(EventKind::Repaired, payload)
}
