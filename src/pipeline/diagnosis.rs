//! The half of a repair that only reads: what is wrong with a vault, and what could be done about each finding.

use super::importing::{ImportedKind, recognise};
use super::repair::{Diagnosis, IndexState, Mending, Remedy, Trouble};
use super::{RunError, Step, Watcher, coverage, index_home};
use crate::acquire::{self, LostFile};
use crate::archive::naming::PathIdentity;
use crate::archive::{Archive, ArchiveError, Stray, VerifyReport, layout};
use crate::decode::{DecodeLimits, FileContext, decode_file};
use crate::index::{IndexError, Reader};
use std::collections::HashSet;

/// Reads the vault and says what can be done. Changes nothing. `may_fetch`: LivePerson may be asked; `now_ms` says what it
/// may still have.
///
/// # Errors
/// What keeps the ledger or the folders from being read.
pub fn diagnose(archive: &Archive, may_fetch: bool, now_ms: i64, watcher: Watcher<'_>) -> Result<Diagnosis, RunError> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let report = archive.verify(&|bytes| watcher(Step::Archived { bytes }), threads)?;
    let mut index = index_state(archive)?;
    if index.ok && has_stale_files(archive, &report)? {
        index.ok = false;
        index.reason = Some("files that are whole were damaged or gone when it was made".to_owned());
    }
    let mut mendings = Vec::new();
    let mut add = |trouble, file: Option<&str>, remedy| {
        mendings.push(Mending { trouble, file: file.map(str::to_owned), remedy, done: None, outcome: None });
    };
    let by_force = || Remedy::None { reason: "vault.db was changed by force; it needs a person and a backup".into() };
    let files = &report.files;
    let is_trusted = |path: &str| report.chain.ok && !files.altered_rows.iter().any(|altered| altered == path);
    let copies = if report.chain.ok { archive.copies_of_lost(&report)? } else { Default::default() };
    let damaged = files.damaged.iter().map(|file| (Trouble::Damaged, &file.file));
    for (trouble, path) in damaged.chain(files.missing.iter().map(|file| (Trouble::Missing, &file.file))) {
        let remedy = match copies.get(path) {
            _ if !is_trusted(path) => by_force(),
            Some(from) => Remedy::PutBack { from: from.clone() },
            None => fetch_remedy(archive, path, may_fetch, now_ms)?,
        };
        add(trouble, Some(path), remedy);
    }
    files.altered_rows.iter().for_each(|path| add(Trouble::AlteredRow, Some(path), by_force()));
    if !report.chain.ok {
        add(Trouble::Chain, None, by_force());
    }
    for path in &files.unlisted {
        let remedy = if report.chain.ok { stray_remedy(archive, path, &report)?.0 } else { by_force() };
        add(Trouble::Unlisted, Some(path), remedy);
    }
    if !index.ok {
        add(Trouble::Index, None, Remedy::MendIndex);
    }
    let kept_once = "damaged bytes are kept once; only a backup, or an import of the same damaged file, has them again";
    for lost in report.quarantine.lost.iter().filter(|lost| !lost.superseded) {
        add(Trouble::Evidence, Some(&lost.file), Remedy::None { reason: kept_once.to_owned() });
    }
    files.writable.iter().for_each(|path| add(Trouble::Writable, Some(path), Remedy::MakeReadOnly));
    Ok(Diagnosis { report, index, mendings })
}

/// How the index stands against the archive.
///
/// # Errors
/// A failing archive; what is wrong with the index is in the answer.
pub fn index_state(archive: &Archive) -> Result<IndexState, RunError> {
    let expected = archive.contents_total()?.conversations;
    let without = |reason: String| IndexState { expected, reason: Some(reason), ..IndexState::default() };
    let reader = match Reader::open(&index_home(archive.root())) {
        Ok(reader) => reader,
        // A vault without files needs no index.
        Err(IndexError::Missing(_)) if archive.last_sequence()? == 0 => {
            return Ok(IndexState { expected, ok: true, ..IndexState::default() });
        }
        Err(error) => return Ok(without(error.to_string())),
    };
    let covered = match coverage(archive, &reader) {
        Ok(covered) => covered,
        Err(error) => return Ok(without(error.to_string())),
    };
    let ok = covered.index_is_up();
    let reason = (!ok).then(|| {
        let files = if covered.files_behind == 1 { "file" } else { "files" };
        format!(
            "it covers {} of {} records, {} {files} behind",
            covered.indexed_records, covered.archived_records, covered.files_behind
        )
    });
    Ok(IndexState { documents: reader.document_count(), records: covered.indexed_records, expected, ok, reason })
}

fn fetch_remedy(archive: &Archive, path: &str, may_fetch: bool, now_ms: i64) -> Result<Remedy, ArchiveError> {
    let none = |reason: &str| Remedy::None { reason: reason.to_owned() };
    let Some(file) = archive.file_by_path(path)? else { return Ok(none("its row is gone")) };
    let latest = archive.latest_version(&file)?;
    Ok(match LostFile::of(&file, now_ms) {
        _ if latest > file.version => {
            none("LivePerson gives only the latest version of a name, and this is an earlier one")
        }
        Some(_) if !may_fetch => none("LivePerson may still have it, but is not asked (--offline)"),
        Some(lost) => Remedy::Fetch { expires_ms: acquire::expires_ms(lost.window) },
        None => none("LivePerson does not have it any more, or never had it"),
    })
}

/// What is to be done with a stray, and what it is if it can become a row.
pub(super) fn stray_remedy(
    archive: &Archive,
    path: &str,
    report: &VerifyReport,
) -> Result<(Remedy, Option<PathIdentity>), ArchiveError> {
    Ok(match archive.judge_stray(path, report)? {
        Stray::Untouchable(reason) => (Remedy::None { reason }, None),
        Stray::Foreign(reason) => (Remedy::SetAside { reason }, None),
        Stray::Damaged(identity, reason) => (Remedy::Salvage { reason }, Some(identity)),
        Stray::Adoptable(identity) => match is_data(archive, path, &identity) {
            Ok(true) => (Remedy::Adopt, Some(identity)),
            Ok(false) => (Remedy::SetAside { reason: "it holds no LivePerson records of its stream".into() }, None),
            Err(error) => (Remedy::None { reason: format!("it cannot be read: {error}") }, None),
        },
    })
}

/// Whether a whole file holds records of the stream in whose folder it lies.
fn is_data(archive: &Archive, path: &str, identity: &PathIdentity) -> std::io::Result<bool> {
    let place = layout::in_vault(archive.root(), path);
    match recognise(std::fs::File::open(&place)?, &identity.name)? {
        None => return Ok(false),
        Some(ImportedKind::Stream(stream)) if stream != identity.stream => return Ok(false),
        Some(_) => {}
    }
    let context = FileContext {
        salvaged: None,
        path: path.to_owned(),
        sha256: String::new(),
        window_start_ms: identity.window.map(|window| window.start_ms),
        account_id: archive.account_id().to_owned(),
    };
    // The first record is enough.
    let report = decode_file(std::fs::File::open(&place)?, &context, DecodeLimits::default(), &mut |_| false)?;
    Ok(report.records > 0)
}

/// Whether a file holds more than the index was told: one that was damaged or gone when it was indexed, and is whole again. Only
/// files in which decoding met problems are read.
pub(super) fn has_stale_files(archive: &Archive, report: &VerifyReport) -> Result<bool, ArchiveError> {
    let files = &report.files;
    let damaged = files.damaged.iter().map(|file| file.file.as_str());
    let lost: HashSet<&str> = damaged.chain(files.missing.iter().map(|file| file.file.as_str())).collect();
    for (file, contents) in archive.files_with_problems()? {
        if lost.contains(file.path.as_str()) {
            continue;
        }
        let context = FileContext {
            salvaged: None,
            path: file.path.clone(),
            sha256: file.sha256.to_string(),
            window_start_ms: file.window.map(|window| window.start_ms),
            account_id: archive.account_id().to_owned(),
        };
        let Ok(bytes) = archive.open_file(&file) else { continue };
        let Ok(found) = decode_file(bytes, &context, DecodeLimits::default(), &mut |_| true) else { continue };
        if found.problems.failures() < contents.problems {
            return Ok(true);
        }
    }
    Ok(false)
}
