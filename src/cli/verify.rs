//! `verify`: re-reads the archive and says whether it is what it was, and whether the index covers it.

use super::args::Verify;
use super::exit::{Exit, Failure};
use super::output::{Output, Style, bytes, counted, number};
use super::{open, settings};
use chatvault::archive::{Archive, Part, VerifyReport};
use chatvault::index::{IndexError, Reader};
use chatvault::pipeline::{self, index_home};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// The index's side of a verification.
struct IndexState {
    documents: u64,
    records: u64,
    expected: u64,
    ok: bool,
    reason: Option<String>,
}

pub(crate) fn run(args: &Verify, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    settings::Settings::of_vault(vault)?;
    let archive = open(vault)?;
    let part = args.read_data_subset.as_deref().map_or(Ok(Part { part: 1, of: 1 }), part)?;
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
    let index = index_state(&archive, vault)?;
    let ok = report.is_ok() && index.ok;
    let affected = Affected::of(vault, &report);
    if output.for_machines() {
        output.document(to_json(&report, &index, &affected, ok), "verify")?;
    } else {
        print(&report, &index, &affected, ok, started.elapsed().as_secs_f64(), output);
    }
    Ok(if ok { Exit::Complete } else { Exit::NotVerified })
}

fn part(text: &str) -> Result<Part, Failure> {
    let parsed =
        text.split_once('/').and_then(|(part, of)| Some(Part { part: part.parse().ok()?, of: of.parse().ok()? }));
    parsed.filter(|part| part.of > 0 && (1..=part.of).contains(&part.part)).ok_or_else(|| {
        Failure::usage(format!("--read-data-subset {text:?} is not a part"))
            .hint("write n/m, such as 1/7: the first of seven parts")
    })
}

fn index_state(archive: &Archive, vault: &Path) -> Result<IndexState, Failure> {
    let expected = archive.contents_total()?.conversations;
    let without = |reason: String| IndexState { documents: 0, records: 0, expected, ok: false, reason: Some(reason) };
    let reader = match Reader::open(&index_home(vault)) {
        Ok(reader) => reader,
        // A vault without files needs no index.
        Err(IndexError::Missing(_)) if archive.last_sequence()? == 0 => {
            return Ok(IndexState { documents: 0, records: 0, expected, ok: true, reason: None });
        }
        Err(error) => return Ok(without(error.to_string())),
    };
    let coverage = match pipeline::coverage(archive, &reader) {
        Ok(coverage) => coverage,
        Err(error) => return Ok(without(error.to_string())),
    };
    let reason = (!coverage.index_is_up()).then(|| {
        format!(
            "it covers {} of {} records, {} behind; run `chatvault index`",
            coverage.indexed_records,
            coverage.archived_records,
            counted(coverage.files_behind, "file")
        )
    });
    Ok(IndexState {
        documents: reader.document_count(),
        records: coverage.indexed_records,
        expected,
        ok: coverage.index_is_up(),
        reason,
    })
}

/// The conversations that lie in damaged or missing files, as far as the index knows them.
struct Affected(Vec<(String, Vec<String>)>);

impl Affected {
    fn of(vault: &Path, report: &VerifyReport) -> Affected {
        let hit: Vec<String> = report
            .files
            .damaged
            .iter()
            .map(|file| file.file.clone())
            .chain(report.files.missing.iter().map(|file| file.file.clone()))
            .collect();
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

    fn in_file(&self, file: &str) -> &[String] {
        self.0.iter().find(|(known, _)| known == file).map_or(&[], |(_, ids)| ids)
    }
}

fn to_json(report: &VerifyReport, index: &IndexState, affected: &Affected, ok: bool) -> Value {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    for list in ["damaged", "missing"] {
        for entry in value["files"][list].as_array_mut().into_iter().flatten() {
            let ids = json!(affected.in_file(entry["file"].as_str().unwrap_or_default()));
            entry["conversations"] = ids;
        }
    }
    value["index"] = json!({
        "documents": index.documents,
        "records": index.records,
        "expected": index.expected,
        "ok": index.ok,
        "reason": index.reason,
    });
    value["ok"] = json!(ok);
    value
}

fn print(report: &VerifyReport, index: &IndexState, affected: &Affected, ok: bool, elapsed_s: f64, output: &Output) {
    let files = &report.files;
    let rate = files.bytes as f64 / 1e6 / elapsed_s.max(0.001);
    outln!("{} read ({}, {rate:.0} MB/s)", counted(files.checked, "file"), bytes(files.bytes));
    let conversations = |file: &str| match affected.in_file(file) {
        [] => String::new(),
        ids => format!("; {} hit, such as {}", counted(ids.len() as u64, "conversation"), ids[0]),
    };
    for file in &files.damaged {
        outln!("  DAMAGED {}: {}{}", file.file, file.reason, conversations(&file.file));
    }
    for file in &files.missing {
        outln!("  MISSING {}{}", file.file, conversations(&file.file));
    }
    for file in &files.unlisted {
        outln!("  UNLISTED {}: no row of the ledger names it", super::output::printable(file));
    }
    for file in &files.altered_rows {
        outln!(
            "  ALTERED ROW {}: the ledger's row does not agree with the audit chain",
            super::output::printable(file)
        );
    }
    for file in &files.writable {
        outln!("  note: {file} is not read-only");
    }
    let chain = &report.chain;
    match (chain.ok, &chain.broken_at) {
        (true, _) => outln!("audit chain: {} rows, unbroken", number(chain.rows)),
        (false, Some(at)) => outln!("  BROKEN audit chain at row {at} of {}", number(chain.rows)),
        (false, None) => outln!("  BROKEN audit chain"),
    }
    outln!(
        "index: {} for {} of {} archived records",
        counted(index.documents, "conversation"),
        number(index.records),
        number(index.expected)
    );
    if let Some(reason) = &index.reason {
        outln!("  INDEX: {reason}");
    }
    if !files.damaged.is_empty() || !files.missing.is_empty() {
        outln!("next: `chatvault sync` fetches what LivePerson still has; keep this vault and its backups as they are");
    }
    let verdict = if ok {
        output.styled(Style::Good, "verified: unchanged and complete in itself")
    } else {
        output.styled(Style::Bad, "NOT verified")
    };
    outln!("{verdict} ({elapsed_s:.1} s)");
}
