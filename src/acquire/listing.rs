//! Asks LivePerson what there is: every listing call of the plan, retried, recorded, checked against the host rule.
//!
//! The first call of a run is made alone: refused keys, a wrong host or a foreign account are told after one request
//! and not after thirty. The others run side by side within the connection limit.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use serde_json::json;
use url::Url;

use crate::archive::{Archive, ArchiveError, EventKind, ListedFile, ListingOutcome, Window};

use super::engine::{Engine, GivenUp, Stop, blocking};
use super::error::{Fault, Problem, ProblemKind};
use super::http::LISTING_LIMIT_BYTES;
use super::report::AcquireEvent;
use super::retry::RetryPolicy;
use super::source::{Reading, RefusedEntry, Source};

/// No API of LivePerson needs more pages for one window; a server that always names a next one must not hold us.
const MOST_PAGES: u32 = 100_000;

/// What listing one stream came to.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Files that may be fetched; a name may come twice.
    pub(super) files: Vec<ListedFile>,
    /// Failed calls and refused entries.
    pub(super) problems: Vec<Problem>,
    /// Calls that were answered.
    pub(super) calls: u64,
}

/// An answer that could be read.
struct Answered {
    /// `refused` includes those of `elsewhere`.
    reading: Reading,
    /// Files whose address the host rule refuses.
    elsewhere: Vec<ListedFile>,
}

/// How a call ended that was not simply answered or failed.
enum Verdict {
    GoOn,
    /// The other calls of this stream would end alike.
    AbandonStream,
}

/// Lists one stream. `is_first` for the first stream of the run. `archive` takes the record of each call; `None`
/// leaves no trace (plan).
pub(super) async fn list(
    engine: &Engine,
    source: &dyn Source,
    calls: &[Window],
    connections: usize,
    is_first: bool,
    archive: Option<&Archive>,
) -> Listed {
    let mut listed = Listed::default();
    let Some((first, others)) = calls.split_first() else { return listed };
    let mut seen_refusals = HashSet::new();

    let quick = engine.policy.quick_only();
    let outcome = list_window(engine, source, *first, &quick, archive).await;
    if is_first
        && let Err(GivenUp::Failed { kind: ProblemKind::Network | ProblemKind::NoProgress, reason, .. }) = &outcome
    {
        engine.stop(Stop::Unreachable { reason: reason.clone() });
    }
    let verdict = take(engine, source, *first, outcome, &mut listed, &mut seen_refusals);
    tell(engine, source, *first, &listed, 1, calls.len());

    if matches!(verdict, Verdict::GoOn) {
        let mut answers = std::pin::pin!(
            futures_util::stream::iter(others.to_vec())
                .map(
                    |window| async move { (window, list_window(engine, source, window, &engine.policy, archive).await) }
                )
                .buffered(connections)
        );
        let mut done = 1;
        while let Some((window, outcome)) = answers.next().await {
            take(engine, source, window, outcome, &mut listed, &mut seen_refusals);
            done += 1;
            tell(engine, source, window, &listed, done, calls.len());
        }
    }
    if let Some(archive) = archive {
        record_refusals(engine, source.stream(), &listed.problems, archive).await;
    }
    listed
}

fn tell(engine: &Engine, source: &dyn Source, asked: Window, listed: &Listed, done: usize, of: usize) {
    let files = u64::try_from(listed.files.len()).unwrap_or(u64::MAX);
    engine.tell(AcquireEvent::Listed { stream: source.stream().to_owned(), asked, files, done, of });
}

/// Adds one call's outcome to the stream's.
fn take(
    engine: &Engine,
    source: &dyn Source,
    window: Window,
    outcome: Result<Reading, GivenUp>,
    listed: &mut Listed,
    seen_refusals: &mut HashSet<String>,
) -> Verdict {
    let stream = source.stream();
    let reading = match outcome {
        Ok(reading) => reading,
        Err(given_up) => {
            let Some(problem) = given_up.problem(stream, &window_name(window)) else { return Verdict::GoOn };
            let is_about_us = problem.kind.is_about_us();
            listed.problems.push(problem);
            return if is_about_us { Verdict::AbandonStream } else { Verdict::GoOn };
        }
    };
    listed.calls += 1;
    listed.files.extend(reading.files);
    for RefusedEntry { name, kind, reason } in reading.refused {
        // Neighbouring windows overlap: one entry is one refusal.
        if seen_refusals.insert(format!("{name}\n{reason}")) {
            let problem = Problem { stream: stream.to_owned(), name, kind, reason, attempts: 0 };
            engine.tell(AcquireEvent::Failed(problem.clone()));
            listed.problems.push(problem);
        }
    }
    Verdict::GoOn
}

/// One listing call with its retries and pages, recorded in the ledger whatever it came to.
async fn list_window(
    engine: &Engine,
    source: &dyn Source,
    window: Window,
    policy: &RetryPolicy,
    archive: Option<&Archive>,
) -> Result<Reading, GivenUp> {
    let name = window_name(window);
    let outcome = engine.with_retries(&name, policy, || ask(engine, source, window)).await;
    if let Some(archive) = archive
        && let Err(error) = record(archive, source.stream(), window, &outcome).await
    {
        engine.stop(Stop::Archive(error));
    }
    if let Err(GivenUp::Failed { kind, reason, attempts }) = &outcome {
        let (stream, name) = (source.stream().to_owned(), name);
        let problem = Problem { stream, name, kind: *kind, reason: reason.clone(), attempts: *attempts };
        engine.tell(AcquireEvent::Failed(problem));
    }
    outcome.map(|answered| answered.reading)
}

/// Writes into the ledger what a call came to. A call that was interrupted says nothing about its window.
async fn record(
    archive: &Archive,
    stream: &str,
    asked: Window,
    outcome: &Result<Answered, GivenUp>,
) -> Result<(), ArchiveError> {
    let stream = stream.to_owned();
    match outcome {
        Err(GivenUp::Ended) => Ok(()),
        Err(GivenUp::Failed { reason, .. }) => {
            let failed = ListingOutcome::Failed { reason: reason.clone() };
            blocking(archive, move |archive| archive.record_listing(&stream, asked, &failed)).await
        }
        Ok(Answered { reading, elsewhere }) if reading.files.len() + reading.refused.len() + elsewhere.len() == 0 => {
            blocking(archive, move |archive| archive.record_listing(&stream, asked, &ListingOutcome::Empty)).await
        }
        Ok(Answered { reading, elsewhere }) => {
            // A file behind a refused address is listed all the same: it is a hole until somebody sees to it.
            let files = [reading.files.as_slice(), elsewhere].concat();
            let refused = u64::try_from(reading.refused.len().saturating_sub(elsewhere.len())).unwrap_or(u64::MAX);
            blocking(archive, move |archive| archive.record_partly_listed(&stream, asked, &files, refused)).await
        }
    }
}

/// All pages of one window, once.
async fn ask(engine: &Engine, source: &dyn Source, window: Window) -> Result<Answered, Fault> {
    let mut whole = Reading::default();
    let mut elsewhere = Vec::new();
    let mut request = source.first(window);
    for _ in 0..MOST_PAGES {
        let call = async {
            let reply = engine.http.send(&request).await?;
            let retry_after = reply.retry_after();
            Ok((reply.into_answer(LISTING_LIMIT_BYTES).await?, retry_after))
        };
        let (answer, retry_after) = engine.unless_ended(call).await??;
        let reading = source.read(&request, &answer).map_err(|problem| Fault::Answer {
            kind: problem.kind,
            reason: problem.reason,
            retry_after,
        })?;
        let (allowed, refused, refused_files) = apply_host_rule(engine, reading.files);
        elsewhere.extend(refused_files);
        whole.files.extend(allowed);
        whole.refused.extend(reading.refused);
        whole.refused.extend(refused);
        match reading.next {
            None => return Ok(Answered { reading: whole, elsewhere }),
            Some(next) => request = next,
        }
    }
    Err(Fault::of(ProblemKind::UnexpectedShape, format!("more than {MOST_PAGES} pages")))
}

/// Files that may be fetched, the others as entries for the report, and the others as files for the ledger.
fn apply_host_rule(engine: &Engine, files: Vec<ListedFile>) -> (Vec<ListedFile>, Vec<RefusedEntry>, Vec<ListedFile>) {
    let mut allowed = Vec::new();
    let mut refused = Vec::new();
    let mut elsewhere = Vec::new();
    for file in files {
        let objection = match Url::parse(&file.href) {
            Ok(url) => engine.http.rule().check(&url).err().map(|refusal| refusal.to_string()),
            Err(error) => Some(format!("its address cannot be read: {error}")),
        };
        match objection {
            None => allowed.push(file),
            Some(reason) => {
                refused.push(RefusedEntry { name: file.name.clone(), kind: ProblemKind::RefusedHost, reason });
                elsewhere.push(file);
            }
        }
    }
    (allowed, refused, elsewhere)
}

async fn record_refusals(engine: &Engine, stream: &str, problems: &[Problem], archive: &Archive) {
    for problem in problems.iter().filter(|problem| problem.attempts == 0) {
        let payload = json!({ "stream": stream, "name": problem.name, "kind": problem.kind, "reason": problem.reason });
        let written = blocking(archive, move |archive| archive.record_event(EventKind::Refused, payload)).await;
        if let Err(error) = written {
            engine.stop(Stop::Archive(error));
            return;
        }
    }
}

/// A window as it appears in reports: `2024-06-10T09:00:00Z/2024-06-11T00:00:00Z`.
pub(super) fn window_name(window: Window) -> String {
    let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string());
    format!("{}/{}", time(window.start_ms), time(window.end_ms))
}
