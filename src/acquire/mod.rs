//! Takes: settings with keys and hosts, an open archive, a signal to end.
//! Gives: files published in the archive, each told on a channel; a report; the plan without doing it.
//! Promises: every listed file is published, held already, or named with the reason why not; one bad item stops no other.
//! Never: interprets conversations, prints a secret, asks a host that the host rule refuses, changes a published file.
//! Start reading at: [`sync`], then `listing.rs` and `download.rs`; `source.rs` is the seam for further APIs.

mod apis;
mod asking;
mod auth;
mod data_access;
mod domain;
mod download;
mod engine;
mod error;
mod follow;
mod heard;
mod history;
mod host;
mod http;
mod intervals;
mod listing;
mod memory;
mod operations;
mod passes;
mod plan;
mod polled;
mod polling;
mod probe;
mod questions;
mod rate_limit;
mod refetch;
mod report;
mod retry;
mod schemas;
mod settings;
mod source;
mod token;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use crate::archive::{Archive, ArchiveError, ArchivedFile, CoverageRules, ListedFile, Published, Window, WindowCounts};

pub use apis::Sessions;
pub use auth::{OAuth1Keys, Secret};
pub use data_access::{DataAccess, DataType, RETENTION};
pub use domain::DomainCheck;
pub use error::{AcquireError, Problem, ProblemKind};
pub use history::HistoryApi;
pub use host::{HostRefusal, HostRule};
pub use operations::OperationsApi;
pub use passes::followed_until;
pub use plan::{ListingPlan, WorkList, wanted, work_list};
pub use polled::{MethodAsked, asked_of, figure_cursors, lost_figures, polled_until};
pub use probe::{ApiProbe, ProbeReport};
pub use refetch::{LostFile, expires_ms, refetch};
pub use report::{
    AcquireEvent, AcquireReport, Cancel, CancelHandle, LostFigures, PlanReport, PlannedFile, PlannedQuestion,
    ProgressSink, StreamPlan, StreamReport,
};
pub use retry::RetryPolicy;
pub use schemas::{SchemaReport, schemas};
pub use settings::{AcquireSettings, Endpoints, HistoryChoice, OperationsChoice, StreamChoice, StreamMode};
pub use source::{Answer, AnswerProblem, ApiRequest, Reading, RefusedEntry, Source};
pub use token::{ClientCredentials, LoginCredentials};

use engine::{Engine, Stop, blocking};
use http::Http;
use listing::Listed;
use rate_limit::Pace;
use retry::Trip;

/// Brings everything new from every stream of `settings` into `archive`; incremental and resumable by itself.
///
/// Each published file is sent to `published` (the send waits while the receiver is full; a closed receiver is no
/// error). Memory is bounded by `connections`, whatever the size of the files.
///
/// # Errors
/// Only what kept the run from beginning: bad settings, refused keys, nobody at the host. What ends a run after it has
/// begun is in [`AcquireReport::stopped`] or [`AcquireReport::interrupted`], beside what was achieved.
pub async fn sync(
    settings: &AcquireSettings,
    archive: Archive,
    progress: ProgressSink,
    published: mpsc::Sender<ArchivedFile>,
    cancel: Cancel,
) -> Result<AcquireReport, AcquireError> {
    run(settings, archive, Scope::Everything, progress, published, cancel).await
}

/// What of all that LivePerson has a run is about.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// Whatever is listed and not held.
    Everything,
    /// These names alone, and the hours that they lie in.
    Only(&'a [LostFile]),
}

/// Lists, subtracts, downloads.
async fn run(
    settings: &AcquireSettings,
    archive: Archive,
    scope: Scope<'_>,
    progress: ProgressSink,
    published: mpsc::Sender<ArchivedFile>,
    cancel: Cancel,
) -> Result<AcquireReport, AcquireError> {
    let engine = begin(settings, progress, cancel)?;
    let (domain, found) = tokio::join!(domain_check(&engine, settings), find(&engine, settings, &archive, scope, true));
    let found = match found {
        Ok(found) => found,
        Err(stop) => return Err(stop.into_error(settings, &engine.http, &domain)),
    };

    let mut streams: BTreeMap<String, StreamReport> = BTreeMap::new();
    let mut fetch = Vec::new();
    let mut estimated_bytes = None;
    for stream in found {
        estimated_bytes = match (estimated_bytes, stream.estimated_bytes()) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        let report = streams.entry(stream.name).or_default();
        report.listed = stream.work.already + count(stream.work.fetch.len());
        report.already = stream.work.already;
        report.listing_calls = stream.calls;
        report.skipped = stream.skipped;
        stream.problems.into_iter().for_each(|problem| report.note(problem));
        fetch.extend(stream.work.fetch);
    }
    // Most urgent first over all streams: what LivePerson deletes next.
    plan::sort_by_urgency(&mut fetch);
    let already = streams.values().map(|report| report.already).sum();
    engine.tell(AcquireEvent::Planned { fetch: count(fetch.len()), already, estimated_bytes });

    let (followed, ()) = tokio::join!(
        apis::follow_all(&engine, settings, &domain, &archive, &published),
        download_all(&engine, settings, &archive, fetch, &published, &mut streams),
    );
    streams.extend(followed);

    let unauthorised = apis::nothing_authorised(settings, &domain, &streams);
    if !settings.keep_sessions {
        settings.sessions.close(&engine.http).await;
    }
    let mut report = AcquireReport {
        streams,
        interrupted: engine.is_interrupted(),
        stopped: None,
        requests: engine.http.requests(),
        clock_offset_ms: engine.http.clock_offset_ms(),
        domain,
    };
    let stopped = engine.take_stop().map(|stop| stop.into_error(settings, &engine.http, &report.domain));
    report.stopped = stopped.or(unauthorised);
    Ok(report)
}

/// Asks each API of `settings` once, for as little as it gives, without retries; changes nothing.
///
/// # Errors
/// [`AcquireError::Configuration`]. What the APIs answer is in the report.
pub async fn probe(settings: &AcquireSettings) -> Result<ProbeReport, AcquireError> {
    // What lacks a key is a line of the report like all others, as long as there is something to ask with.
    let mut checked = settings.clone();
    if settings.client.is_some() || settings.login.is_some() {
        checked.streams.iter_mut().for_each(|choice| choice.mode = StreamMode::Auto);
    }
    let engine = begin(&checked, Arc::new(|_| {}), Cancel::never())?;
    let domain = domain_check(&engine, settings).await;
    let report = probe::probe_all(&engine, settings, domain).await;
    settings.sessions.close(&engine.http).await;
    Ok(report)
}

/// Ends what runs with [`AcquireSettings::keep_sessions`] have left open: sessions at LivePerson, whose end may fail and harms
/// nobody then, and segments of answers. Gives the number of files that were published.
///
/// # Errors
/// Those of publishing. The answers are safe then, and the next run publishes them.
pub async fn end_sessions(settings: &AcquireSettings) -> Result<usize, ArchiveError> {
    let sealed = polling::seal_all(settings).await;
    if let Ok(engine) = begin(settings, Arc::new(|_| {}), Cancel::never()) {
        settings.sessions.close(&engine.http).await;
    }
    sealed
}

/// What [`sync`] would do. Makes the listing calls and changes nothing, neither here nor there.
///
/// # Errors
/// As [`sync`].
pub async fn plan(
    settings: &AcquireSettings,
    archive: Archive,
    progress: ProgressSink,
    cancel: Cancel,
) -> Result<PlanReport, AcquireError> {
    let engine = begin(settings, progress, cancel)?;
    let (domain, found) =
        tokio::join!(domain_check(&engine, settings), find(&engine, settings, &archive, Scope::Everything, false));
    let found = match found {
        Ok(found) => found,
        Err(stop) => return Err(stop.into_error(settings, &engine.http, &domain)),
    };
    let mut streams: BTreeMap<String, StreamPlan> =
        found.into_iter().map(|stream| (stream.name.clone(), stream.into_plan())).collect();
    let asked = settings.clone();
    streams.extend(blocking(&archive, move |archive| questions::planned(archive, &asked)).await?);
    let stopped = engine.take_stop().map(|stop| stop.into_error(settings, &engine.http, &domain));
    Ok(PlanReport { streams, interrupted: engine.is_interrupted(), stopped, domain })
}

fn begin(settings: &AcquireSettings, progress: ProgressSink, cancel: Cancel) -> Result<Engine, AcquireError> {
    let rule = settings.check()?;
    let pace = Pace::new(settings.requests_per_second, settings.connections).map_err(AcquireError::Configuration)?;
    let http = Http::new(rule, settings.keys.clone(), pace, settings.no_progress_timeout)
        .map_err(AcquireError::Configuration)?;
    Ok(Engine::new(http, settings.retry.clone(), progress, cancel))
}

async fn domain_check(engine: &Engine, settings: &AcquireSettings) -> DomainCheck {
    match &settings.domain_api {
        Some(base) => {
            let look_up = domain::look_up(&engine.http, base, &settings.account_id);
            engine.unless_ended(look_up).await.unwrap_or_default()
        }
        None => DomainCheck::NotAsked,
    }
}

/// One stream after listing: what there is, what is to be fetched.
struct Found {
    name: String,
    wanted: Window,
    windows: WindowCounts,
    work: WorkList,
    calls: u64,
    skipped: bool,
    problems: Vec<Problem>,
    mean_bytes: Option<u64>,
}

/// Lists every stream, one after the other. `record` writes the listings into the ledger.
async fn find(
    engine: &Engine,
    settings: &AcquireSettings,
    archive: &Archive,
    scope: Scope<'_>,
    record: bool,
) -> Result<Vec<Found>, Stop> {
    let mut found: Vec<Found> = Vec::new();
    let mut forbidden: Vec<Problem> = Vec::new();
    for choice in &settings.streams {
        let source = DataAccess::new(choice.data_type, &settings.account_id, &settings.data_access);
        let rules = CoverageRules {
            now_ms: settings.clock.now_ms(),
            start: settings.start,
            seal_after: settings.seal_after,
            retention: source.reach(),
        };
        let stream = source.stream().to_owned();
        let known =
            blocking(archive, move |archive| archive.coverage_of(&stream, &rules)).await.map_err(Stop::Archive)?;
        let (wanted, calls) = match scope {
            Scope::Everything => {
                let wanted = plan::wanted(rules.now_ms, known.reach, source.reach());
                (wanted, settings.listing.calls(wanted, &known.settled()))
            }
            Scope::Only(lost) => refetch::calls(lost, settings, source.stream(), &rules),
        };
        // It is left out, unless it has answered before: then the key is what is lacking.
        let missing = settings.keys.missing();
        if !missing.is_empty() {
            let (stream, skipped) = (source.stream().to_owned(), !known.answered);
            let reason = data_access::without_key(&missing);
            let (name, kind) = ("API key".to_owned(), ProblemKind::NoService);
            let problem = Problem { stream: stream.clone(), name, kind, reason, attempts: 0 };
            found.push(Found {
                name: stream,
                wanted,
                windows: WindowCounts::of(&known.windows),
                work: WorkList::default(),
                calls: 0,
                skipped,
                problems: if skipped { Vec::new() } else { vec![problem] },
                mean_bytes: None,
            });
            continue;
        }
        let recorder = record.then_some(archive);
        let is_first = found.is_empty();
        let Listed { mut files, mut problems, calls } =
            listing::list(engine, &source, &calls, settings.connections, is_first, recorder).await;

        // One listing tells whether the keys are any good; nothing else is worth trying without them.
        if let Some(problem) = problems.iter().find(|problem| problem.kind == ProblemKind::Unauthorized)
            && calls == 0
            && found.iter().all(|earlier| earlier.calls == 0)
        {
            return Err(Stop::Trip { trip: Trip::Unauthorized, reason: problem.reason.clone() });
        }
        // Nobody there, or an archive that takes nothing: the run never began.
        if calls == 0
            && is_first
            && let Some(stop) = engine.take_stop()
        {
            return Err(stop);
        }
        let is_refused = |problem: &Problem| matches!(problem.kind, ProblemKind::Forbidden | ProblemKind::Gone);
        let was_refused = calls == 0 && problems.iter().any(is_refused);
        let skipped = was_refused && choice.mode == StreamMode::Auto && !known.answered;
        forbidden.extend(problems.iter().filter(|problem| problem.kind == ProblemKind::Forbidden).cloned());
        if skipped {
            problems.clear();
        }

        if let Scope::Only(lost) = scope {
            files.retain(|file| lost.iter().any(|lost| lost.name == file.name && lost.stream == file.stream));
        }
        let held = {
            let stream = source.stream().to_owned();
            blocking(archive, move |archive| archive.names_held(&stream)).await.map_err(Stop::Archive)?
        };
        found.push(Found {
            name: source.stream().to_owned(),
            wanted,
            windows: WindowCounts::of(&known.windows),
            mean_bytes: mean_bytes(&held),
            work: plan::work_list(files, &held),
            calls,
            skipped,
            problems,
        });
        if engine.is_ending() {
            break;
        }
    }
    let nothing_allowed = !found.is_empty() && found.iter().all(|stream| stream.calls == 0) && !forbidden.is_empty();
    if nothing_allowed && forbidden.len() == found.len() {
        let streams: Vec<&str> = forbidden.iter().map(|problem| problem.stream.as_str()).collect();
        return Err(Stop::Refused(AcquireError::Forbidden {
            api: "Data Access API",
            stream: streams.join(", "),
            said: forbidden[0].reason.clone(),
        }));
    }
    Ok(found)
}

/// Downloads the work list. Twice as many files as connections are in hand, because a file that is being checked and
/// fsynced needs no connection.
async fn download_all(
    engine: &Engine,
    settings: &AcquireSettings,
    archive: &Archive,
    fetch: Vec<ListedFile>,
    published: &mpsc::Sender<ArchivedFile>,
    streams: &mut BTreeMap<String, StreamReport>,
) {
    let mut done = std::pin::pin!(
        futures_util::stream::iter(fetch)
            .map(|file| async move {
                let fetched = download::fetch(engine, archive, &file).await;
                (file, fetched)
            })
            .buffer_unordered(settings.connections * 2)
    );
    while let Some((file, fetched)) = done.next().await {
        let report = streams.entry(file.stream.clone()).or_default();
        if let Some(Published::New(row) | Published::NewVersion(row)) = fetched.salvaged {
            report.salvaged += 1;
            let _ = engine.unless_ended(published.send(row)).await;
        }
        match fetched.outcome {
            Ok(outcome) => {
                let bytes = outcome.file().size_bytes;
                let (stream, name) = (file.stream, file.name);
                engine.tell(AcquireEvent::Finished { stream, name, bytes });
                match outcome {
                    Published::New(row) | Published::NewVersion(row) => {
                        report.downloaded += 1;
                        report.bytes += bytes;
                        // A receiver that is gone catches up from the ledger.
                        let _ = engine.unless_ended(published.send(row)).await;
                    }
                    Published::Already(_) => report.already += 1,
                    // The index knows its row already; what it made of it is looked at by the repair.
                    Published::Restored(_) => {
                        report.downloaded += 1;
                        report.bytes += bytes;
                        report.restored += 1;
                    }
                }
            }
            Err(given_up) => {
                if let Some(problem) = given_up.problem(&file.stream, &file.name) {
                    engine.tell(AcquireEvent::Failed(problem.clone()));
                    report.note(problem);
                }
            }
        }
    }
    // Downloads end in any order; reports are read by people and compared by tests.
    for report in streams.values_mut() {
        report.problems.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

impl Found {
    fn estimated_bytes(&self) -> Option<u64> {
        Some(self.mean_bytes? * count(self.work.fetch.len()))
    }

    fn into_plan(self) -> StreamPlan {
        let estimated_bytes = self.estimated_bytes();
        let retention_ms = i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX);
        let planned = |file: ListedFile| PlannedFile {
            expires_at_ms: file.window.map(|window| window.end_ms.saturating_add(retention_ms)),
            name: file.name,
            window: file.window,
        };
        StreamPlan {
            wanted: Some(self.wanted),
            windows: self.windows,
            listing_calls: self.calls,
            already: self.work.already,
            fetch: self.work.fetch.into_iter().map(planned).collect(),
            estimated_bytes,
            skipped: self.skipped,
            problems: self.problems,
            questions: Vec::new(),
            lost: Vec::new(),
        }
    }
}

fn mean_bytes(held: &HashMap<String, ArchivedFile>) -> Option<u64> {
    let total: u64 = held.values().map(|file| file.size_bytes).sum();
    total.checked_div(count(held.len()))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod conformance_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod coverage_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod follow_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod polling_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
