//! `export --stream`: the history of an operational stream as one file, a row per figure.

use super::args::Export;
use super::exit::{Exit, Failure};
use super::export::refuse_inside;
use super::output::{Output, bytes, counted, time_zone};
use super::series::{ended, options, times};
use super::{audit, open, series_advice};
use chatvault::archive::EventKind;
use chatvault::decode::ProblemKind;
use chatvault::pipeline::{OPERATIONS, SeriesExportError, SeriesFormat, export_series};
use serde_json::json;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

pub(super) fn run(stream: &str, args: &Export, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let format = match args.format.as_str() {
        "csv" => SeriesFormat::Csv,
        "parquet" => SeriesFormat::Parquet,
        other => {
            return Err(Failure::usage(format!("{other:?} is not a format of figures"))
                .hint("with --stream it is --format csv or --format parquet"));
        }
    };
    if !OPERATIONS.contains(&stream) {
        return Err(Failure::usage(format!("--stream {stream:?} has no history of figures"))
            .hint(format!("these have: {}", OPERATIONS.join(", "))));
    }
    let archive = open(vault)?;
    let to_stdout = args.out == Path::new("-");
    if to_stdout && (format == SeriesFormat::Parquet || output.for_machines()) {
        return Err(Failure::usage("--out - is for csv, without --json: one thing can go to stdout")
            .hint("name a file with --out"));
    }
    // Whole before a byte of it goes out, so that a reader never takes a part for the whole.
    let waiting = to_stdout.then(tempfile::tempdir).transpose().map_err(|error| {
        Failure::new(Exit::Failed, format!("no temporary folder: {error}")).hint("name a file with --out")
    })?;
    let out = waiting.as_ref().map_or(args.out.clone(), |folder| folder.path().join("figures.csv"));
    if !to_stdout {
        refuse_inside(&args.out, vault)?;
    }
    let filter = times(args.from.as_deref(), args.to.as_deref(), &time_zone(&args.tz)?)?;
    let made = match export_series(&archive, stream, &filter, options(vault)?, format, &out) {
        Err(SeriesExportError::Nothing { stream, report }) => {
            ended(&report);
            return Err(series_advice::nothing(&stream, &filter, &report, vault));
        }
        outcome => outcome?,
    };
    let event = json!({ "format": args.format, "stream": stream, "rows": made.rows, "bytes": made.bytes });
    let not_recorded = audit::record(archive.root(), |archive| archive.record_event(EventKind::Exported, event)).err();
    if output.for_machines() {
        let document = json!({
            "format": args.format, "stream": stream, "out": args.out, "rows": made.rows, "bytes": made.bytes,
            "files": made.report.files, "open_segments": made.report.open_segments,
            "other_account": made.report.problems.counts.get(&ProblemKind::OtherAccount).unwrap_or(&0),
            "other_accounts": series_advice::named(&made.report), "unreadable": made.report.problems.failures(), "left_out": made.report.too_many,
            "recorded": not_recorded.is_none(), "not_recorded": not_recorded,
        });
        output.document(document, "export")?;
    } else if to_stdout {
        let copied = File::open(&out).and_then(|mut file| io::copy(&mut file, &mut io::stdout().lock()).map(drop));
        if let Err(error) = copied.and_then(|()| io::stdout().lock().flush()) {
            super::stdout::end(&error);
        }
        output.note(&format!("{} ({})", counted(made.rows, "row"), bytes(made.bytes)));
        if let Some(reason) = not_recorded {
            output.note(&format!("not recorded in the chain: {reason}"));
        }
    } else {
        outln!("{} ({}) in {}", counted(made.rows, "row"), bytes(made.bytes), args.out.display());
        if let Some(reason) = not_recorded {
            output.note(&format!("not recorded in the chain: {reason}"));
        }
    }
    Ok(ended(&made.report))
}

impl From<SeriesExportError> for Failure {
    fn from(error: SeriesExportError) -> Failure {
        let message = error.to_string();
        match error {
            SeriesExportError::Run(error) => error.into(),
            SeriesExportError::Nothing { .. } => Failure::new(Exit::Failed, message),
            SeriesExportError::Taken(_) => Failure::usage(message).hint("name another file with --out"),
            SeriesExportError::Write { .. } => {
                Failure::new(Exit::Failed, message).hint("check the folder that --out names, and its disk")
            }
        }
    }
}
