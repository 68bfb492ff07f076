//! `watch`: sync for ever, each stream at its own pace; and how fresh each stream is.

use super::args::Watch;
use super::exit::{Exit, Failure};
use super::output::{Output, bytes, counted, json_time, printable};
use super::progress::Progress;
use super::{losses, open, open_for_writing, runtime, settings, sync};
use chatvault::acquire::{
    Cancel, DataType, HistoryApi, LostFigures, MethodAsked, OperationsApi, asked_of, followed_until, lost_figures,
    polled_until,
};
use chatvault::archive::{Archive, Clock, ListingKind};
use chatvault::pipeline::{self, Paces, Round};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the rounds of this process came to, for the metrics.
#[derive(Default)]
struct Totals {
    rounds: u64,
    failed_rounds: u64,
    files: u64,
    bytes: u64,
    requests: u64,
}

pub(crate) fn run(args: &Watch, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let settings = settings::Settings::of_vault(vault)?;
    if args.status {
        return status(&settings, &open(vault)?, output);
    }
    let archive = settings.limits.on(open_for_writing(vault)?);
    sync::check_same_account(&settings.account_id, &archive)?;
    let acquire = settings.acquire()?;
    let mut paces = Paces::default();
    if let Some(every) = &args.every {
        let every = settings::duration(every)?;
        paces =
            Paces { messaging: every, engagement: every, data_access: every, intervals: every, states: every, ..paces };
    }
    let runtime = runtime()?;
    let (handle, cancel) = Cancel::pair();
    let terminated = Arc::new(AtomicBool::new(false));
    let ending = runtime.spawn({
        let terminated = Arc::clone(&terminated);
        async move {
            sync::interrupted(&terminated).await;
            handle.cancel();
            sync::interrupted(&terminated).await;
            std::process::exit(Exit::Interrupted as i32);
        }
    });
    let progress = Progress::new(output, "watch");
    let watcher = |step| progress.step(step);
    let mut totals = Totals::default();
    let mut complaint = None;
    let mut each = |round: &Round| {
        totals.add(round);
        say(round, output);
        if let Some(path) = &args.metrics {
            let written = metrics(&settings, &archive, &totals).and_then(|text| write_whole(path, &text));
            if let Err(error) = written {
                complaint.get_or_insert_with(|| {
                    output.note(&format!("{}: the metrics cannot be written: {error}", path.display()));
                });
            }
        }
    };
    let options = super::keys::Keys::of_environment().options(settings.limits.with(&args.memory)?);
    let sink = progress.sink();
    let outcome = pipeline::watch(&runtime, &acquire, &archive, options, &paces, &sink, &watcher, &cancel, &mut each);
    progress.done();
    ending.abort();
    outcome?;
    // A supervisor that asks for the end gets a clean one; Ctrl-C is an interruption like anywhere else.
    Ok(if terminated.load(Ordering::Relaxed) { Exit::Complete } else { Exit::Interrupted })
}

impl Totals {
    fn add(&mut self, round: &Round) {
        self.rounds += 1;
        self.failed_rounds += u64::from(round.failures > 0);
        if let Ok(report) = &round.outcome {
            self.requests += report.acquired.requests;
            for stream in report.acquired.streams.values() {
                self.files += stream.downloaded;
                self.bytes += stream.bytes;
            }
        }
    }
}

/// One line for a round that brought something or failed; a quiet account stays quiet.
fn say(round: &Round, output: &Output) {
    if output.for_machines() {
        let line = match &round.outcome {
            Ok(report) => {
                let mut value = sync::to_json(report, round.elapsed.as_secs_f64());
                value["failures"] = json!(round.failures);
                value
            }
            Err(error) => json!({ "error": error.to_string(), "failures": round.failures, "streams": round.streams }),
        };
        // A reader that is gone ends the process when the line is written.
        let _ = output.document(line, "round");
        return;
    }
    match &round.outcome {
        Err(error) => output.note(&format!("{}: {error}; trying again", round.streams.join(", "))),
        Ok(report) => {
            for (name, stream) in &report.acquired.streams {
                if stream.downloaded > 0 {
                    let conversations = report.indexed.streams.get(name).map_or(0, |counts| counts.conversations);
                    outln!(
                        "{name}: {} ({}), {}, {:.1} s",
                        counted(stream.downloaded, "file"),
                        bytes(stream.bytes),
                        counted(conversations, "record"),
                        round.elapsed.as_secs_f64()
                    );
                }
                for lost in &stream.lost {
                    output.note(&format!("{name}: {}", losses::told(lost)));
                }
                for problem in &stream.problems {
                    output.note(&format!("{name}: {}: {}", printable(&problem.name), printable(&problem.reason)));
                }
            }
            if let Some(stopped) = &report.acquired.stopped {
                output.note(&format!("{stopped}; trying again"));
            }
            if let Some(failure) = &report.index_failure {
                output.note(&format!("archived, but not indexed: {failure}"));
            }
        }
    }
}

/// How fresh one stream is, as the ledger tells.
#[derive(Default)]
struct Freshness {
    stream: String,
    /// `auto`: it need not be for these keys.
    is_optional: bool,
    answered_ms: Option<i64>,
    failed_ms: Option<i64>,
    stored_ms: Option<i64>,
    /// Up to when everything is here that can be; of streams that are followed or polled.
    complete_ms: Option<i64>,
    /// Methods whose last call failed.
    failing: Vec<&'static str>,
    lost: Vec<LostFigures>,
}

impl Freshness {
    fn is_failing(&self) -> bool {
        !self.failing.is_empty() || (self.failed_ms > self.answered_ms && !self.may_be_off())
    }

    /// Nothing says that it is enabled. The ledger of files notes refusals too; that of the other APIs notes none that may mean
    /// just this, so a failure there is one.
    fn may_be_off(&self) -> bool {
        let is_files = DataType::of_stream(&self.stream).is_some();
        self.is_optional && self.answered_ms.is_none() && (is_files || self.failed_ms.is_none())
    }

    /// Of an API with several methods: answered when one of them was, failing when one of them is.
    fn take_methods(&mut self, archive: &Archive, api: OperationsApi) -> Result<(), Failure> {
        for MethodAsked { call, answered_ms, failed_ms } in asked_of(archive, api)? {
            self.answered_ms = self.answered_ms.max(answered_ms);
            if failed_ms > answered_ms {
                self.failing.push(call);
                self.failed_ms = self.failed_ms.max(failed_ms);
            }
        }
        self.complete_ms = polled_until(archive, api)?;
        self.lost = lost_figures(archive, api)?;
        Ok(())
    }
}

fn freshness(settings: &settings::Settings, archive: &Archive) -> Result<Vec<Freshness>, Failure> {
    let mut found = Vec::new();
    for (stream, mode) in settings.wanted_streams() {
        // The main pass of a history API, and what brings its new ones, stand under two names.
        let names = match HistoryApi::of_stream(stream) {
            Some(api) => vec![stream.to_owned(), format!("{}/backfill", api.stream())],
            None if OperationsApi::of_stream(stream).is_some() => Vec::new(),
            None => vec![stream.to_owned()],
        };
        let mut fresh = Freshness { stream: stream.to_owned(), is_optional: mode == "auto", ..Freshness::default() };
        for name in names {
            for listing in archive.listings_in(&name)? {
                let slot = match listing.outcome {
                    ListingKind::Failed(_) => &mut fresh.failed_ms,
                    _ => &mut fresh.answered_ms,
                };
                *slot = (*slot).max(Some(listing.listed_ms));
            }
        }
        if let Some(api) = OperationsApi::of_stream(stream) {
            fresh.take_methods(archive, api)?;
        } else if let Some(api) = HistoryApi::of_stream(stream) {
            fresh.complete_ms = followed_until(archive, api)?;
        }
        fresh.stored_ms = archive.names_in(stream)?.values().map(|file| file.stored_at_ms).max();
        // What a running watch has not sealed yet is archived already.
        let newest = archive.open_answers(stream)?.iter().map(|open| open.window.end_ms - 1).max();
        fresh.stored_ms = fresh.stored_ms.max(newest);
        found.push(fresh);
    }
    Ok(found)
}

fn status(settings: &settings::Settings, archive: &Archive, output: &Output) -> Result<Exit, Failure> {
    let now_ms = Clock::System.now_ms();
    let found = freshness(settings, archive)?;
    let age = |ms: Option<i64>| ms.map(|ms| (now_ms - ms).max(0) / 1000);
    if output.for_machines() {
        let streams: Vec<Value> = found
            .iter()
            .map(|fresh| {
                json!({
                    "stream": fresh.stream, "answered_s": age(fresh.answered_ms), "failed_s": age(fresh.failed_ms),
                    "new_data_s": age(fresh.stored_ms), "complete_until": json_time(fresh.complete_ms),
                    "is_failing": fresh.is_failing(), "failing": fresh.failing, "lost": fresh.lost.iter().map(losses::to_json).collect::<Vec<_>>(),
                })
            })
            .collect();
        output.document(json!({ "streams": streams }), "status")?;
        return Ok(Exit::Complete);
    }
    for fresh in found {
        let ago = |ms| age(ms).map_or("never".to_owned(), |seconds| format!("{} ago", span(seconds)));
        let mark = match (fresh.is_failing(), fresh.failing.as_slice()) {
            (_, []) if fresh.may_be_off() => "  it may not be enabled for these keys".to_owned(),
            (false, _) => String::new(),
            (true, []) if fresh.answered_ms.is_none() => "  FAILING, never answered".to_owned(),
            (true, []) => "  FAILING since its last answer".to_owned(),
            (true, calls) => format!("  FAILING: {}", calls.join(", ")),
        };
        outln!(
            "{:28} answered {:>12}, new data {:>12}{mark}",
            fresh.stream,
            ago(fresh.answered_ms),
            ago(fresh.stored_ms)
        );
        for lost in &fresh.lost {
            outln!("{:28} {}", "", losses::told(lost));
        }
    }
    Ok(Exit::Complete)
}

fn span(seconds: i64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Prometheus text format.
fn metrics(settings: &settings::Settings, archive: &Archive, totals: &Totals) -> std::io::Result<String> {
    use std::fmt::Write as _;
    let found = freshness(settings, archive).map_err(|failure| std::io::Error::other(failure.message))?;
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, values: &[(String, f64)]| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# HELP chatvault_{name} {help}\n# TYPE chatvault_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "chatvault_{name}{labels} {value}");
        }
    };
    let by_stream = |pick: &dyn Fn(&Freshness) -> Option<i64>| -> Vec<(String, f64)> {
        let values = found.iter().filter_map(|fresh| Some((format!("{{stream=\"{}\"}}", fresh.stream), pick(fresh)?)));
        values.map(|(labels, ms)| (labels, ms as f64 / 1000.0)).collect()
    };
    let help = "When LivePerson last answered about this stream, epoch seconds.";
    family("stream_answered_timestamp_seconds", "gauge", help, &by_stream(&|fresh| fresh.answered_ms));
    let help = "When a file of this stream was last archived, epoch seconds.";
    family("stream_stored_timestamp_seconds", "gauge", help, &by_stream(&|fresh| fresh.stored_ms));
    let help = "Up to when the stream is archived without a hole, losses apart, epoch seconds.";
    family("stream_complete_timestamp_seconds", "gauge", help, &by_stream(&|fresh| fresh.complete_ms));
    let help = "Figures that LivePerson had forgotten before anybody asked, seconds over all methods.";
    let lost = |fresh: &Freshness| OperationsApi::of_stream(&fresh.stream).map(|_| losses::seconds(&fresh.lost) * 1000);
    family("stream_lost_seconds", "gauge", help, &by_stream(&lost));
    let help = "Methods of this stream whose last call failed; a stream without methods counts as one.";
    let failing = |fresh: &Freshness| {
        i64::try_from(fresh.failing.len().max(usize::from(fresh.is_failing()))).ok().map(|count| count * 1000)
    };
    family("stream_failing_methods", "gauge", help, &by_stream(&failing));
    let plain = |value: u64| vec![(String::new(), value as f64)];
    family("rounds_total", "counter", "Rounds of this process.", &plain(totals.rounds));
    family("rounds_failed_total", "counter", "Rounds that found LivePerson unable.", &plain(totals.failed_rounds));
    family("files_total", "counter", "Files archived by this process.", &plain(totals.files));
    family("bytes_total", "counter", "Their bytes.", &plain(totals.bytes));
    family("requests_total", "counter", "Requests sent by this process.", &plain(totals.requests));
    Ok(text)
}

/// A scraper never sees half a file.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    #[cfg(unix)]
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
