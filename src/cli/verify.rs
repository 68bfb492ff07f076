//! `verify`: re-reads the archive and says whether it is what it was, and whether the index covers it.
//!
//! That it was re-read, and what came of it, is an event of the audit chain if the vault can be written to at that moment; then
//! the ledger also knows from now on which names are lost, so that `gaps` shows them and `sync` fetches them.

use super::args::Verify;
use super::audit::record;
use super::exit::{Exit, Failure};
use super::findings::{Finding, Kind, findings};
use super::output::{Output, Style, bytes, counted, number, printable};
use super::{open, settings};
use chatvault::archive::layout::DATABASE;
use chatvault::archive::rebuild::examine;
use chatvault::archive::{LedgerState, Part, RealDisk, VerifyReport};
use chatvault::index::Reader;
use chatvault::pipeline::index_home;
use chatvault::pipeline::repair::{IndexState, index_state};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

pub(crate) fn run(args: &Verify, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let settings = settings_of(vault)?;
    let part = args.read_data_subset.as_deref().map_or(Ok(Part { part: 1, of: 1 }), part)?;
    let objection = match examine(vault, &RealDisk)? {
        LedgerState::Unreadable(reason) => Some(format!("vault.db is unreadable: {reason}")),
        // Opening it says what a lost one means.
        LedgerState::Whole | LedgerState::Lost => None,
    };
    if let Some(reason) = &settings {
        output.note(&format!("the archive does not need vault.toml, but `sync` does: {reason}"));
    }
    // As much as such a database still gives is worth a look at the files.
    match (reread(part, vault, objection.as_deref(), settings.is_some(), output), objection) {
        (Err(_), Some(reason)) => say_unreadable(reason, output),
        (outcome, _) => outcome.map_err(not_verified),
    }
}

/// Why `vault.toml` cannot be used. Without it and without a database there is no vault.
fn settings_of(vault: &Path) -> Result<Option<String>, Failure> {
    match settings::Settings::of_vault(vault) {
        Ok(_) => Ok(None),
        Err(failure) if failure.exit == Exit::NoVault && !vault.join(DATABASE).exists() => Err(failure),
        Err(failure) if failure.exit == Exit::NoVault => Ok(Some("it is missing".to_owned())),
        Err(failure) => Ok(Some(failure.message)),
    }
}

/// A vault that cannot be read is one that is not verified.
fn not_verified(failure: Failure) -> Failure {
    let exit = if failure.exit == Exit::Failed { Exit::NotVerified } else { failure.exit };
    Failure { exit, ..failure }
}

fn say_unreadable(reason: String, output: &Output) -> Result<Exit, Failure> {
    let finding = Finding { kind: Kind::Database, file: None, what: reason };
    if output.for_machines() {
        let document = json!({ "ok": false, "findings": [finding.to_json(&[])], "recorded": false });
        output.document(document, "verify")?;
    } else {
        outln!("  DATABASE {}", printable(&finding.what));
        outln!("    {}; next: {}", finding.kind.severity().name(), finding.kind.next());
        outln!("{}", output.styled(Style::Bad, "NOT verified"));
    }
    Ok(Exit::NotVerified)
}

fn reread(
    part: Part,
    vault: &Path,
    objection: Option<&str>,
    lacks_settings: bool,
    output: &Output,
) -> Result<Exit, Failure> {
    let archive = open(vault)?;
    let started = Instant::now();
    let bar = match output.progress {
        super::output::ProgressStyle::Bar => {
            let total = archive.files_after(0)?.iter().map(|file| file.size_bytes).sum::<u64>() / part.of;
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
        }
        _ => ProgressBar::hidden(),
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let report = archive.verify_part(part, &|done| bar.set_position(done), threads)?;
    bar.finish_and_clear();
    let index = index_state(&archive)?;
    let ok = report.is_ok() && index.ok && objection.is_none();
    let affected = Affected::of(vault, &report);
    let mut found = findings(&report, index.reason.as_deref(), index.ok);
    let of_database = objection.map(|what| Finding { kind: Kind::Database, file: None, what: what.to_owned() });
    found.splice(0..0, of_database);
    let recorded = match objection {
        None => record_verified(vault, &report, part, &index, ok),
        Some(_) => Err("nothing is written to a damaged database".to_owned()),
    };
    if output.for_machines() {
        let mut document = to_json(&report, &index, &affected, ok);
        document["findings"] = found.iter().map(|finding| finding.to_json(affected.of_finding(finding))).collect();
        document["settings"] = json!(if lacks_settings { "missing" } else { "present" });
        document["recorded"] = json!(recorded.is_ok());
        document["not_recorded"] = json!(recorded.err());
        output.document(document, "verify")?;
    } else {
        print(&report, &index, ok, started.elapsed().as_secs_f64(), output, &found, &affected);
        if let Err(reason) = recorded {
            output.note(&format!("not recorded in the audit chain: {reason}"));
        }
    }
    Ok(if ok { Exit::Complete } else { Exit::NotVerified })
}

/// Appends a `verified` event. Says why not where the vault is locked, read-only or broken: that fails no verification.
fn record_verified(
    vault: &Path,
    report: &VerifyReport,
    part: Part,
    index: &IndexState,
    ok: bool,
) -> Result<(), String> {
    if !report.chain.ok {
        return Err("nothing is added to a broken chain".to_owned());
    }
    let files = &report.files;
    let payload = json!({
        "ok": ok,
        "part": format!("{}/{}", part.part, part.of),
        "files": {
            "checked": files.checked, "bytes": files.bytes, "damaged": files.damaged.len(), "missing": files.missing.len(),
            "unlisted": files.unlisted.len(), "altered_rows": files.altered_rows.len(), "writable": files.writable.len(),
        },
        "chain": { "rows": report.chain.rows, "head": report.chain.head },
        "quarantine": { "checked": report.quarantine.checked, "lost": report.quarantine.lost.len() },
        "known_damage": report.known_damage.len(),
        "index": { "documents": index.documents, "records": index.records, "expected": index.expected, "ok": index.ok },
    });
    record(vault, |archive| archive.note_condition(report, part, Some(&payload)))
}

fn part(text: &str) -> Result<Part, Failure> {
    let parsed =
        text.split_once('/').and_then(|(part, of)| Some(Part { part: part.parse().ok()?, of: of.parse().ok()? }));
    parsed.filter(|part| part.of > 0 && (1..=part.of).contains(&part.part)).ok_or_else(|| {
        Failure::usage(format!("--read-data-subset {text:?} is not a part"))
            .hint("write n/m, such as 1/7: the first of seven parts")
    })
}

/// The conversations that lie in damaged or missing files, as far as the index knows them.
pub(super) struct Affected(Vec<(String, Vec<String>)>);

impl Affected {
    pub(super) fn of(vault: &Path, report: &VerifyReport) -> Affected {
        let hit: Vec<String> = report
            .files
            .damaged
            .iter()
            .map(|file| file.file.clone())
            .chain(report.files.missing.iter().map(|file| file.file.clone()))
            .collect();
        Affected::of_files(vault, hit)
    }

    /// Those in these files, paths relative to the vault.
    pub(super) fn of_files(vault: &Path, hit: Vec<String>) -> Affected {
        let mut affected: Vec<(String, Vec<String>)> = hit.into_iter().map(|file| (file, Vec::new())).collect();
        if affected.is_empty() {
            return Affected(affected);
        }
        let Ok(reader) = Reader::open(&index_home(vault)) else { return Affected(affected) };
        // Rare and slow on purpose: every stored conversation knows its files, and no field of the index does.
        let _ = reader.for_each(&mut |stored| {
            for record in stored.revisions.iter().flat_map(|revision| &revision.records) {
                if let Some((_, ids)) = affected.iter_mut().find(|(file, _)| *file == record.file) {
                    ids.push(stored.merged().conversation_id.unwrap_or_else(|| stored.key()));
                }
            }
        });
        for (_, ids) in &mut affected {
            ids.sort();
            ids.dedup();
        }
        Affected(affected)
    }

    /// Together with those of other files.
    pub(super) fn with(mut self, other: Affected) -> Affected {
        self.0.extend(other.0);
        self
    }

    pub(super) fn of_finding(&self, finding: &Finding) -> &[String] {
        finding.file.as_deref().map_or(&[], |file| self.in_file(file))
    }

    fn in_file(&self, file: &str) -> &[String] {
        self.0.iter().find(|(known, _)| known == file).map_or(&[], |(_, ids)| ids)
    }
}

pub(super) fn to_json(report: &VerifyReport, index: &IndexState, affected: &Affected, ok: bool) -> Value {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    for kind in [Kind::Damaged, Kind::Missing] {
        for entry in value["files"][kind.name()].as_array_mut().into_iter().flatten() {
            let ids = json!(affected.in_file(entry["file"].as_str().unwrap_or_default()));
            entry["conversations"] = ids;
            entry["severity"] = json!(kind.severity().name());
            entry["next"] = json!(kind.next());
        }
    }
    value["index"] = json!(index);
    value["ok"] = json!(ok);
    value
}

fn print(
    report: &VerifyReport,
    index: &IndexState,
    ok: bool,
    elapsed_s: f64,
    output: &Output,
    found: &[Finding],
    affected: &Affected,
) {
    let files = &report.files;
    let rate = files.bytes as f64 / 1e6 / elapsed_s.max(0.001);
    outln!("{} read ({}, {rate:.0} MB/s)", counted(files.checked, "file"), bytes(files.bytes));
    if report.quarantine.checked > 0 {
        let (pieces, size) = (counted(report.quarantine.checked, "piece"), bytes(report.quarantine.bytes));
        outln!("{pieces} of evidence in quarantine/ read ({size})");
    }
    if report.chain.ok {
        outln!("audit chain: {} rows, unbroken", number(report.chain.rows));
    }
    outln!(
        "index: {} for {} of {} archived records",
        counted(index.documents, "conversation"),
        number(index.records),
        number(index.expected)
    );
    // The cure is the same for all of a kind: it stands once, under the last of them.
    for (at, finding) in found.iter().enumerate() {
        let hit = match affected.of_finding(finding) {
            [] => String::new(),
            ids => format!("; {} hit, such as {}", counted(ids.len() as u64, "conversation"), ids[0]),
        };
        let file = finding.file.as_deref().map(|file| format!(" {file}:")).unwrap_or_default();
        let kind = finding.kind.name().replace('_', " ").to_uppercase();
        outln!("  {kind}{} {}", printable(&file), printable(&format!("{}{hit}", finding.what)));
        if found.get(at + 1).is_none_or(|next| next.kind != finding.kind) {
            outln!("    {}; next: {}", finding.kind.severity().name(), finding.kind.next());
        }
    }
    let known = report.known_damage.len() as u64;
    let verdict = match (ok, known) {
        (true, 0) => output.styled(Style::Good, "verified: unchanged and complete in itself").into_owned(),
        (true, _) => {
            let told =
                format!("verified: unchanged, but {} known to be damaged, see the notes above", counted(known, "name"));
            output.styled(Style::Good, &told).into_owned()
        }
        (false, _) => output.styled(Style::Bad, "NOT verified").into_owned(),
    };
    outln!("{verdict} ({elapsed_s:.1} s)");
}
