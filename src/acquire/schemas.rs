//! The schemas of Data Access, asked for by version: those that records of the archive name, and the latest.
//!
//! What a record means is written in its schema, and LivePerson promises to keep none of them. Which versions were met stands in the
//! ledger; this module asks for what is not here, archives the answer as it came, and remembers the question. A number is
//! asked for until it is here, once a day at most where LivePerson refuses it; the latest once a day.

use crate::archive::{
    Archive, ArchiveError, Arrival, LATEST_SCHEMA, Provenance, Published, SCHEMA_STREAM, SchemaVersion, schema_name,
};

use super::data_access::schema_request;
use super::download::provenance;
use super::engine::{Engine, GivenUp, Stop, blocking, join};
use super::error::{AcquireError, Fault, ProblemKind};
use super::http::LISTING_LIMIT_BYTES;
use super::report::{AcquireEvent, Cancel, ProgressSink, StreamReport};
use super::settings::AcquireSettings;
use super::source::{Answer, AnswerProblem, status_problem};
use super::{begin, domain::DomainCheck};

/// How long an answer, or a refusal, is good.
const AGAIN_MS: i64 = 24 * 3_600_000;
/// Questions of one run; LivePerson had four versions in two years.
const MOST_PER_RUN: usize = 32;

/// What asking for schemas came to.
#[derive(Debug, Default)]
pub struct SchemaReport {
    /// As for any stream: `listed` counts the versions asked for. A version that LivePerson does not give is no failure.
    pub stream: StreamReport,
    /// Requests sent.
    pub requests: u64,
    /// The user interrupted.
    pub interrupted: bool,
}

/// Asks for every schema that is due; `None` if none is. The index hears of new files from the ledger.
///
/// # Errors
/// Settings that cannot work, and a failing archive. What LivePerson answers is in the report.
pub async fn schemas(
    settings: &AcquireSettings,
    archive: &Archive,
    progress: ProgressSink,
    cancel: Cancel,
) -> Result<Option<SchemaReport>, AcquireError> {
    let now_ms = settings.clock.now_ms();
    let known = blocking(archive, Archive::schema_versions).await?;
    let due: Vec<SchemaVersion> = known.into_iter().filter(|known| is_due(known, now_ms)).take(MOST_PER_RUN).collect();
    if due.is_empty() {
        return Ok(None);
    }
    let engine = begin(settings, progress, cancel)?;
    let mut report = SchemaReport::default();
    for SchemaVersion { version, .. } in due {
        let outcome = ask(&engine, settings, archive, &version).await;
        report.stream.listed += u64::from(!matches!(outcome, Err(GivenUp::Ended)));
        if let Some(refused) = take(&engine, &version, outcome, &mut report.stream) {
            let recorded =
                blocking(archive, move |archive| archive.record_schema_asked(&version, refused.as_deref())).await;
            if let Err(error) = recorded {
                engine.stop(Stop::Archive(error));
            }
        }
        if engine.is_ending() {
            break;
        }
    }
    report.requests = engine.http.requests();
    report.interrupted = engine.is_interrupted();
    match engine.take_stop() {
        Some(Stop::Archive(error)) => Err(error.into()),
        // What else ends a run is in the report, as the problem that brought it about.
        Some(stop @ Stop::Trip { .. }) => {
            let error = stop.into_error(settings, &engine.http, &DomainCheck::NotAsked);
            if report.stream.problems.is_empty() { Err(error) } else { Ok(Some(report)) }
        }
        _ => Ok(Some(report)),
    }
}

fn is_due(known: &SchemaVersion, now_ms: i64) -> bool {
    let is_old = known.asked_ms.is_none_or(|asked_ms| now_ms.saturating_sub(asked_ms) >= AGAIN_MS);
    // A clock that was set back must not silence the question for ever.
    let is_ahead = known.asked_ms.is_some_and(|asked_ms| asked_ms > now_ms.saturating_add(AGAIN_MS));
    let is_wanted = known.version == LATEST_SCHEMA || !known.is_held;
    // One that was here and is lost is asked for at once.
    let is_lost = is_wanted && !known.is_held && known.asked_ms.is_some() && known.failed.is_none();
    is_wanted && (is_old || is_ahead || is_lost)
}

/// Adds an outcome to the report. `Some`: LivePerson has answered, and this is why it gave nothing, if it did not.
fn take(
    engine: &Engine,
    version: &str,
    outcome: Result<Published, GivenUp>,
    report: &mut StreamReport,
) -> Option<Option<String>> {
    let given_up = match outcome {
        Ok(Published::New(row) | Published::NewVersion(row)) => {
            report.downloaded += 1;
            report.bytes += row.size_bytes;
            return Some(None);
        }
        Ok(Published::Restored(row)) => {
            report.downloaded += 1;
            report.bytes += row.size_bytes;
            report.restored += 1;
            return Some(None);
        }
        Ok(Published::Already(_)) => {
            report.already += 1;
            return Some(None);
        }
        Err(given_up) => given_up,
    };
    let problem = given_up.problem(SCHEMA_STREAM, version)?;
    use ProblemKind::{Forbidden, Gone, Network, NoProgress, RateLimited, Rejected, Server, Unauthorized};
    let reason = problem.reason.clone();
    match problem.kind {
        // It has none for us: no failure, and a day's rest.
        Gone | Forbidden | Rejected => Some(Some(reason)),
        // No answer to the question: the next run asks again.
        Network | NoProgress | RateLimited | Server | Unauthorized => {
            engine.tell(AcquireEvent::Failed(problem.clone()));
            report.note(problem);
            None
        }
        _ => {
            engine.tell(AcquireEvent::Failed(problem.clone()));
            report.note(problem);
            Some(Some(reason))
        }
    }
}

/// One version, with retries, published as it came.
async fn ask(
    engine: &Engine,
    settings: &AcquireSettings,
    archive: &Archive,
    version: &str,
) -> Result<Published, GivenUp> {
    let request = schema_request(&settings.data_access, &settings.account_id, version);
    let name = format!("schema {version}");
    // Nothing hangs on it today, so the long pauses are left to the next run.
    engine
        .with_retries(&name, &engine.policy.quick_only(), || async {
            let reply = engine.unless_ended(engine.http.send(&request)).await??;
            let retry_after = reply.retry_after();
            let expected_bytes = reply.content_length();
            let provenance = provenance(&reply, request.accept);
            let answer = engine.unless_ended(reply.into_answer(LISTING_LIMIT_BYTES)).await??;
            read(&answer).map_err(|problem| Fault::Answer {
                kind: problem.kind,
                reason: problem.reason,
                retry_after,
            })?;
            let (archive, version) = (archive.clone(), version.to_owned());
            let publishing = tokio::task::spawn_blocking(move || {
                publish(&archive, &version, &answer.body, expected_bytes, provenance)
            });
            join(publishing).await.map_err(Fault::Archive)
        })
        .await
}

/// Whether an answer is a schema. Its shape is documented nowhere, so any JSON that holds something is taken as it is.
fn read(answer: &Answer) -> Result<(), AnswerProblem> {
    if answer.status != 200 {
        return Err(status_problem(answer));
    }
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body).trim_ascii();
    if body.first() == Some(&b'<') {
        return Err(AnswerProblem::new(ProblemKind::Html, "a web page or XML came in the place of a schema"));
    }
    if !matches!(body.first(), Some(b'{' | b'[' | b'"')) {
        return Err(AnswerProblem::new(ProblemKind::NotJson, "the schema is no JSON object, list or name"));
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(body).map(drop).map_err(|error| {
        let kind = if error.is_eof() { ProblemKind::TruncatedJson } else { ProblemKind::NotJson };
        AnswerProblem::new(kind, format!("the schema is no JSON: {error}"))
    })
}

fn publish(
    archive: &Archive,
    version: &str,
    body: &[u8],
    expected_bytes: Option<u64>,
    provenance: Provenance,
) -> Result<Published, ArchiveError> {
    let mut draft = archive.draft(SCHEMA_STREAM, &schema_name(version))?;
    draft.append(body)?;
    archive.publish(draft, Arrival { window: None, expected_bytes, provenance, reread: false })
}
