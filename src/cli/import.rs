//! `import`: files and folders already on disk, through the same path as `sync`.

use super::args::Import;
use super::exit::{Exit, Failure};
use super::keys::Keys;
use super::output::{Output, bytes, counted, number, printable};
use super::progress::Progress;
use super::{open_for_writing, settings};
use chatvault::pipeline::{self, BagReport, IndexReport, RefusedBag};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

pub(crate) fn run(args: &Import, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    // Settings that cannot be read mean that this is not the vault somebody thinks it is.
    let limits = settings::Settings::of_vault(vault)?.limits.with(&args.memory)?;
    let archive = limits.on(open_for_writing(vault)?);
    let keys = Keys::of_environment();
    let started = Instant::now();
    let progress = Progress::new(output, "import");
    let watcher = |step| progress.step(step);
    let outcome = pipeline::import(&archive, &args.paths, keys.options(limits), &watcher);
    progress.done();
    let (imported, indexed) = outcome?;
    let elapsed_s = started.elapsed().as_secs_f64();
    let is_refused = imported.bags.iter().any(|bag| bag.refused.is_some());
    let failed = !imported.failed.is_empty() || indexed.failures() > 0;
    let exit = match (is_refused, failed) {
        // A bag is a promise about bytes that does not hold: worse than a file that could not be read.
        (true, _) => Exit::NotVerified,
        (_, true) => Exit::SomeFailed,
        _ => keys.exit(&indexed.encrypted, Exit::Complete),
    };
    if output.for_machines() {
        let document = json!({
            "import": imported, "index": indexed, "key_problem": keys.problem_json(), "elapsed_s": elapsed_s
        });
        output.document(document, "import")?;
    } else {
        outln!(
            "{} imported ({}), {} already here, {} skipped, {} failed",
            counted(imported.imported, "file"),
            bytes(imported.bytes),
            number(imported.already),
            number(imported.skipped.len() as u64),
            number(imported.failed.len() as u64),
        );
        if imported.restored > 0 {
            outln!("  {} put back that the archive had lost or held damaged", counted(imported.restored, "file"));
        }
        if imported.new_versions > 0 {
            outln!("  {} kept beside an earlier version of the same name", counted(imported.new_versions, "file"));
        }
        imported.bags.iter().for_each(print_bag);
        for problem in &imported.failed {
            outln!("  failed: {}: {}", printable(&problem.path), printable(&problem.reason));
        }
        let shown = if output.verbose > 0 { usize::MAX } else { 5 };
        for problem in imported.skipped.iter().take(shown) {
            outln!("  skipped: {}: {}", printable(&problem.path), printable(&problem.reason));
        }
        if imported.skipped.len() > shown {
            outln!("  … {} more skipped; -v lists them", imported.skipped.len() - shown);
        }
        print_index(&indexed, output);
        keys.print(&indexed.encrypted);
        let rate = indexed.json_bytes as f64 / 1e6 / elapsed_s.max(0.001);
        let verdict = match exit {
            Exit::Complete => "complete",
            Exit::Key => "complete, but for what is encrypted",
            _ => "finished, but some items failed",
        };
        outln!("{verdict} ({elapsed_s:.1} s, {rate:.0} MB of JSON a second)");
    }
    Ok(exit)
}

/// What became of a bag; everything in it comes from outside.
fn print_bag(bag: &BagReport) {
    let path = printable(&bag.path);
    if let Some(RefusedBag { problems, more }) = &bag.refused {
        outln!("  REFUSED: {path} is no valid bag; nothing was taken from it:");
        problems.iter().for_each(|problem| outln!("    {}", printable(problem)));
        if *more > 0 {
            outln!("    … and {} more", number(*more));
        }
        return;
    }
    let of = match &bag.account_id {
        Some(account) => format!("made by chatvault from account {}; its ledger holds", printable(account)),
        None => "made by another program; no provenance beyond its name".to_owned(),
    };
    outln!("  bag {path}: valid, {}, {of}", counted(bag.files, "file"));
    if bag.untied > 0 {
        outln!(
            "    note: nothing ties {} to the head of that ledger; its word for them stands alone",
            counted(bag.untied, "file")
        );
    }
    if bag.other_account {
        outln!("    note: this vault is of another account; its conversations are found under their own");
    }
}

/// The index's half of a report, for people.
pub(super) fn print_index(report: &IndexReport, output: &Output) {
    outln!(
        "indexed {} from {} ({} of JSON)",
        counted(report.conversations, "conversation record"),
        counted(report.files, "file"),
        bytes(report.json_bytes),
    );
    if report.salvaged.files > 0 {
        outln!(
            "  {} salvaged from {}; those that no check sum speaks for are marked UNPROVEN",
            counted(report.salvaged.records, "record"),
            counted(report.salvaged.files, "damaged file"),
        );
    }
    for (kind, count) in &report.problems.counts {
        let level = if kind.is_failure() || kind.wants_key() { "problem" } else { "note" };
        outln!("  {level}: {kind}: {}", number(*count));
    }
    for file in &report.files_with_problems {
        for problem in &file.problems.examples {
            if problem.kind.is_failure() || output.verbose > 0 {
                outln!(
                    "  {}: {}, record {}, byte {}: {}",
                    problem.kind,
                    file.file,
                    problem.record,
                    problem.byte,
                    printable(&problem.detail)
                );
            }
        }
    }
}
