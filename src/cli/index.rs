//! `index`: brings the index up to the archive, or makes it anew.

use super::args::Index;
use super::exit::{Exit, Failure};
use super::keys::Keys;
use super::output::Output;
use super::progress::Progress;
use super::{import, open_for_writing, open_index, settings};
use chatvault::pipeline::{self, EncryptedCounts};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

pub(crate) fn run(args: &Index, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let limits = settings::Settings::of_vault(vault)?.limits.with(&args.memory)?;
    let archive = open_for_writing(vault)?;
    let keys = Keys::of_environment();
    let started = Instant::now();
    let progress = Progress::new(output, "index");
    let watcher = |step| progress.step(step);
    let run = if args.rebuild { pipeline::rebuild } else { pipeline::bring_up };
    let outcome = run(&archive, keys.options(limits), &watcher);
    progress.done();
    let report = outcome?;
    let reader = open_index(vault)?;
    let coverage = pipeline::coverage(&archive, &reader)?;
    // All that waits, not only what this run met: this is the command that a key is supplied with.
    let waiting = EncryptedCounts::of_archive(&archive, keys.ring())?;
    let exit = keys.exit(&waiting, if report.failures() > 0 { Exit::SomeFailed } else { Exit::Complete });
    let elapsed_s = started.elapsed().as_secs_f64();
    if output.for_machines() {
        let coverage = super::search::coverage_json(coverage);
        let documents = reader.document_count();
        let document = json!({
            "index": report, "documents": documents, "coverage": coverage, "encrypted": waiting,
            "key_problem": keys.problem_json(), "elapsed_s": elapsed_s,
        });
        output.document(document, "index")?;
    } else {
        import::print_index(&report, output);
        outln!(
            "the index holds {} conversations for {} of {} archived records ({elapsed_s:.1} s)",
            reader.document_count(),
            coverage.indexed_records,
            coverage.archived_records
        );
        keys.print(&waiting);
    }
    Ok(exit)
}
