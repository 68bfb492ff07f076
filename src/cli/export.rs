//! `export`: what a search finds, or everything, in a form that others take.

use super::args::Export;
use super::exit::{Exit, Failure};
use super::output::{Output, bytes, counted, number, time_zone};
use super::progress::Progress;
use super::search::{coverage_json, request_in, warn_if_incomplete};
use super::{audit, now_ms, open, open_index, runtime, shell_path};
use chatvault::archive::{Archive, EventKind};
use chatvault::pipeline::{self, BagExport, BagRequest, BagSelection, Coverage};
use chatvault::search::search;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Formats of the command line, and whether they are built.
const FORMATS: [(&str, bool); 8] = [
    ("bagit", true),
    ("jsonl", false),
    ("csv", false),
    ("html", false),
    ("eml", false),
    ("rsmf", false),
    ("dat", false),
    ("parquet", false),
];

pub(crate) fn run(args: &Export, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    if let Some(stream) = &args.stream {
        return super::series_export::run(stream, args, vault, output);
    }
    // Not left to clap: what is required but conflicts with the query is not asked for by it.
    refuse_times(args)?;
    if args.out == Path::new("-") {
        return Err(Failure::usage("a bag is a folder and cannot go to stdout").hint("name a new folder with --out"));
    }
    check_format(&args.format)?;
    let query = args.query.join(" ");
    let archive = open(vault)?;
    refuse_inside(&args.out, vault)?;
    let date = jiff::Timestamp::from_millisecond(now_ms()).unwrap_or_default().strftime("%Y-%m-%d").to_string();
    let make = |selection| {
        let organization = args.organization.as_deref();
        build(&archive, &BagRequest { out: &args.out, selection, query: &query, organization, date: &date }, output)
    };
    let mut normalised = "*".to_owned();
    let (built, coverage) = if query.trim() == "*" {
        (make(BagSelection::Archive)?, None)
    } else {
        let reader = open_index(vault)?;
        let mut wanted = request_in(args.syntax, &query, &time_zone(&args.tz)?, vault)?;
        wanted.limit = None;
        // By time and key, so that the same answer is always in the same order.
        wanted.sort = Some(chatvault::search::Sort::Start);
        normalised = wanted.query.query.resolved().to_string();
        let answer = search(&reader, &wanted)?;
        let coverage = pipeline::coverage(&archive, &reader)?;
        (make(BagSelection::Hits(&reader, &answer))?, Some(coverage))
    };
    finish(built, coverage, (&query, &normalised), args, &archive, output)
}

fn check_format(format: &str) -> Result<(), Failure> {
    let built = FORMATS.iter().filter(|(_, is_built)| *is_built).map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match FORMATS.iter().find(|(name, _)| *name == format) {
        Some((_, true)) => Ok(()),
        Some((name, false)) => {
            Err(Failure::usage(format!("the format {name} is not built yet")).hint(format!("built: {built}")))
        }
        None => Err(Failure::usage(format!("{format:?} is not a format of export")).hint(format!("built: {built}"))),
    }
}

/// A part of the time cannot be chosen beside a query: a bag that held more than was asked for would disclose too much.
fn refuse_times(args: &Export) -> Result<(), Failure> {
    for (option, value, bound) in [("--from", &args.from, "TIME.."), ("--to", &args.to, "..TIME")] {
        if value.is_some() {
            return Err(Failure::usage(format!("{option} is for --stream, the history of figures"))
                .hint(format!("put the time into the query: 'start:{bound}'")));
        }
    }
    Ok(())
}

/// A bag inside the vault would be a stray there.
pub(super) fn refuse_inside(out: &Path, vault: &Path) -> Result<(), Failure> {
    let above = out.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let above = above.canonicalize().map_err(|error| {
        Failure::usage(format!("{}: {error}", above.display())).hint("--out names a new folder in one that exists")
    })?;
    if vault.canonicalize().is_ok_and(|vault| above.starts_with(vault)) {
        return Err(Failure::usage(format!("{} lies inside the vault", out.display()))
            .hint("name a folder outside it with --out"));
    }
    Ok(())
}

/// Builds the bag; Ctrl-C ends it with nothing left, a second one at once.
fn build(archive: &Archive, request: &BagRequest<'_>, output: &Output) -> Result<BagExport, Failure> {
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    let runtime = runtime()?;
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(Exit::Interrupted as i32);
        }
    });
    let progress = Progress::new(output, "export");
    let watcher = |step| progress.step(step);
    // Where it cannot be recorded, the result says that files are not tied to a head.
    let anchor = || drop(audit::record(archive.root(), |archive| archive.anchor().map(|_| ())));
    let built = pipeline::export_bag(archive, request, &watcher, &anchor, &|| !stopped.load(Ordering::Relaxed));
    progress.done();
    runtime.shutdown_background();
    Ok(built?)
}

fn finish(
    built: BagExport,
    coverage: Option<Coverage>,
    (query, normalised): (&str, &str),
    args: &Export,
    archive: &Archive,
    output: &Output,
) -> Result<Exit, Failure> {
    let BagExport { bag, files, bytes: size, conversations, head, untied, renamed } = built;
    let manifest_sha256 = bag.manifest_sha256;
    let event = json!({
        "format": args.format, "query": query, "query_normalised": normalised, "files": files, "bytes": size,
        "conversations": conversations,
        "manifest_sha256": manifest_sha256, "head": head,
    });
    // Before the bag has its name: one that is there without an event would be worse than the other way round.
    let not_recorded = audit::record(archive.root(), |archive| archive.record_event(EventKind::Exported, event)).err();
    bag.publish()?;
    if output.for_machines() {
        let document = json!({
            "format": args.format, "query": query, "out": args.out, "files": files, "bytes": size,
            "conversations": conversations, "manifest_sha256": manifest_sha256, "head": head, "untied": untied,
            "renamed": renamed, "recorded": not_recorded.is_none(), "not_recorded": not_recorded,
            "coverage": coverage.map_or(Value::Null, coverage_json),
        });
        output.document(document, "export")?;
    } else {
        let out = args.out.display();
        outln!("{} ({}) in {out}", counted(files, "file"), bytes(size));
        if let Some(conversations) = conversations {
            outln!(
                "  {} {} the query; files go whole, so their neighbours are in it too",
                counted(conversations, "conversation"),
                if conversations == 1 { "matches" } else { "match" },
            );
        }
        outln!("  payload manifest SHA-256 {manifest_sha256}");
        outln!("  head of the audit chain {} {}", head.seq, head.hash);
        if renamed > 0 {
            outln!("  {} under data/renamed/: validators read a % in names differently", counted(renamed, "file"));
        }
        output.note(&format!("check it with `bagit.py --validate {}`", shell_path(&args.out)));
    }
    if untied > 0 && !output.for_machines() {
        output.note(&format!(
            "{} of the files came after the last anchor, and none could be recorded: nothing in the bag ties them to the \
             chain; export again when the vault can be written to",
            number(untied)
        ));
    }
    if let Some(reason) = not_recorded.filter(|_| !output.for_machines()) {
        output.note(&format!("not recorded in the chain: {reason}"));
    }
    coverage.into_iter().for_each(warn_if_incomplete);
    Ok(Exit::Complete)
}
