//! `import`: files and folders already on disk, through the same path as `sync`.

use super::args::Import;
use super::exit::{Exit, Failure};
use super::output::{Output, bytes, counted, number, printable};
use super::progress::Progress;
use super::{open_for_writing, settings};
use chatvault::pipeline::{self, IndexReport};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

pub(crate) fn run(args: &Import, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    // Settings that cannot be read mean that this is not the vault somebody thinks it is.
    let limits = settings::Settings::of_vault(vault)?.limits;
    let archive = limits.on(open_for_writing(vault)?);
    let started = Instant::now();
    let progress = Progress::new(output, "import");
    let watcher = |step| progress.step(step);
    let outcome = pipeline::import(&archive, &args.paths, limits.run_options(), &watcher);
    progress.done();
    let (imported, indexed) = outcome?;
    let elapsed_s = started.elapsed().as_secs_f64();
    let failed = !imported.failed.is_empty() || indexed.failures() > 0;
    if output.for_machines() {
        output.document(json!({ "import": imported, "index": indexed, "elapsed_s": elapsed_s }), "import")?;
    } else {
        outln!(
            "{} imported ({}), {} already here, {} skipped, {} failed",
            counted(imported.imported, "file"),
            bytes(imported.bytes),
            number(imported.already),
            number(imported.skipped.len() as u64),
            number(imported.failed.len() as u64),
        );
        if imported.new_versions > 0 {
            outln!("  {} kept beside an earlier version of the same name", counted(imported.new_versions, "file"));
        }
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
        let rate = indexed.json_bytes as f64 / 1e6 / elapsed_s.max(0.001);
        let verdict = if failed { "finished, but some items failed" } else { "complete" };
        outln!("{verdict} ({elapsed_s:.1} s, {rate:.0} MB of JSON a second)");
    }
    Ok(if failed { Exit::SomeFailed } else { Exit::Complete })
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
            "  {} salvaged from {}; they end where the damage begins",
            counted(report.salvaged.records, "record"),
            counted(report.salvaged.files, "damaged file"),
        );
    }
    for (kind, count) in &report.problems.counts {
        let level = if kind.is_failure() { "problem" } else { "note" };
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
