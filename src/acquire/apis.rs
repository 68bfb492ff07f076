//! Which query APIs a run follows, where each is, and what it is authorised with.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use url::Url;

use crate::archive::{Archive, ArchivedFile, Listing, Sha256Hex};

use super::asking::lock;
use super::auth::OAuth1Keys;
use super::domain::DomainCheck;
use super::engine::{Engine, Stop, blocking};
use super::error::{AcquireError, Problem, ProblemKind};
use super::follow::Follow;
use super::history::HistoryApi;
use super::http::Http;
use super::memory::Memory;
use super::passes::Schedule;
use super::report::StreamReport;
use super::settings::{AcquireSettings, HistoryChoice, StreamMode};
use super::source::ApiRequest;
use super::token::Authorizer;

/// Polls and follows every query API of the settings, one after the other. Figures come first: they are few calls, and
/// LivePerson forgets them soonest. In the rounds of a watch conversations come first: they are what is to be here soon, and the
/// figures of a day ago are not at stake.
pub(super) async fn follow_all(
    engine: &Engine,
    settings: &AcquireSettings,
    domain: &DomainCheck,
    archive: &Archive,
    published: &mpsc::Sender<ArchivedFile>,
) -> Vec<(String, StreamReport)> {
    // A segment that a watch holds open is no dead run's.
    if lock(&settings.sessions.memory).holds_segments() {
        return rest(engine, settings, domain, archive, published).await;
    }
    match blocking(archive, Archive::seal_left_over).await {
        Ok(sealed) => {
            for file in sealed {
                let _ = engine.unless_ended(published.send(file.file().clone())).await;
            }
        }
        Err(error) => {
            engine.stop(Stop::Archive(error));
            return Vec::new();
        }
    }
    rest(engine, settings, domain, archive, published).await
}

async fn rest(
    engine: &Engine,
    settings: &AcquireSettings,
    domain: &DomainCheck,
    archive: &Archive,
    published: &mpsc::Sender<ArchivedFile>,
) -> Vec<(String, StreamReport)> {
    let mut reports = Vec::new();
    if !settings.keep_sessions {
        reports.extend(super::polling::poll_all(engine, settings, domain, archive, published).await);
    }
    for choice in &settings.histories {
        if engine.is_ending() {
            break;
        }
        let report = follow_one(engine, settings, domain, archive, published, *choice).await;
        reports.push((choice.api.stream().to_owned(), report));
    }
    if settings.keep_sessions {
        reports.extend(super::polling::poll_all(engine, settings, domain, archive, published).await);
    }
    reports
}

async fn follow_one(
    engine: &Engine,
    settings: &AcquireSettings,
    domain: &DomainCheck,
    archive: &Archive,
    published: &mpsc::Sender<ArchivedFile>,
    choice: HistoryChoice,
) -> StreamReport {
    let api = choice.api;
    let prepared = place_of(api, settings, domain);
    let (base, authorizer) = match prepared {
        Ok(prepared) => prepared,
        Err(reason) => {
            let skipped = choice.mode == StreamMode::Auto && !was_answered(engine, archive, api).await;
            let mut report = StreamReport { skipped, ..StreamReport::default() };
            if !report.skipped {
                let (stream, name) = (api.stream().to_owned(), api.title().to_owned());
                report.note(Problem { stream, name, kind: ProblemKind::NoService, reason, attempts: 0 });
            }
            return report;
        }
    };
    let follow = Follow {
        engine,
        api,
        base,
        account_id: &settings.account_id,
        authorizer: &authorizer,
        sessions: &settings.sessions,
        archive,
        schedule: Schedule { api, start: settings.start, now_ms: settings.clock.now_ms() },
        mode: choice.mode,
        is_round: settings.keep_sessions,
        was_answered: AtomicBool::new(false),
    };
    let mut report = follow.run(published).await;
    for problem in report.problems.iter_mut().filter(|problem| problem.kind == ProblemKind::Unauthorized) {
        problem.reason = format!("{}; check {}", problem.reason, authorizer.variables().join(", "));
    }
    if choice.mode == StreamMode::Auto
        && report.listing_calls == 0
        && report.problems.iter().any(|problem| is_refusal(problem.kind))
        && !was_answered(engine, archive, api).await
    {
        report = StreamReport { skipped: true, ..StreamReport::default() };
    }
    report
}

/// What means, in an optional stream that was never answered, that it is not for these keys. A 401 never does: it says that the
/// keys are no good, and nothing about the stream.
pub(super) fn is_refusal(kind: ProblemKind) -> bool {
    matches!(kind, ProblemKind::Forbidden | ProblemKind::Gone)
}

/// Whether a history API was ever answered, as the ledger tells. A ledger that cannot be read ends the run.
async fn was_answered(engine: &Engine, archive: &Archive, api: HistoryApi) -> bool {
    let names = Schedule { api, start: std::time::Duration::ZERO, now_ms: 0 }.streams();
    let found = blocking(archive, move |archive| {
        for name in names {
            if archive.listings_in(&name)?.iter().any(Listing::is_answered) {
                return Ok(true);
            }
        }
        Ok(false)
    });
    found.await.unwrap_or_else(|error| {
        engine.stop(Stop::Archive(error));
        true
    })
}

/// The error of a run in which nothing could be authorised: a 401, and not one answer of any stream. `None` for all others, and
/// for a round of a watch whose keys have worked before: that goes on, and says which streams fail.
pub(super) fn nothing_authorised(
    settings: &AcquireSettings,
    domain: &DomainCheck,
    streams: &BTreeMap<String, StreamReport>,
) -> Option<AcquireError> {
    let mut memory = lock(&settings.sessions.memory);
    memory.was_authorised |= streams.values().any(|stream| stream.listing_calls > 0 || stream.downloaded > 0);
    if memory.was_authorised {
        return None;
    }
    drop(memory);
    let mut problems = streams.values().flat_map(|stream| &stream.problems);
    let refused = problems.find(|problem| problem.kind == ProblemKind::Unauthorized)?;
    let variables =
        settings.sessions.authorizer(settings, domain).map_or(&OAuth1Keys::VARIABLES[..], |with| with.variables());
    Some(AcquireError::Unauthorized {
        api: "LivePerson",
        account: settings.account_id.clone(),
        variables,
        said: refused.reason.clone(),
        hints: Vec::new(),
    })
}

/// Where an API is, and what its calls are authorised with; or the reason why one of them is not known.
pub(super) fn place_of(
    api: HistoryApi,
    settings: &AcquireSettings,
    domain: &DomainCheck,
) -> Result<(Url, Arc<Authorizer>), String> {
    let base = base_of(api.service(), settings, domain)?;
    Ok((base, settings.sessions.authorizer(settings, domain)?))
}

/// The configured base of a service, else the host that the Domain API names.
pub(super) fn base_of(service: &str, settings: &AcquireSettings, domain: &DomainCheck) -> Result<Url, String> {
    if let Some(base) = settings.services.get(service) {
        return Ok(base.clone());
    }
    match domain.host_of(service) {
        Some(host) => Url::parse(&format!("https://{host}"))
            .map_err(|error| format!("the Domain API names no usable host for {service}: {error}")),
        None => Err(format!("the Domain API names no host for {service}; set [endpoints] {service}")),
    }
}

/// What the rounds of a watch share: a token that was asked for once serves until it ends, and an answer that is byte for
/// byte the one before to the same question is not archived again.
#[derive(Clone, Default)]
pub struct Sessions {
    authorizer: Arc<Mutex<Option<Arc<Authorizer>>>>,
    /// Hash of a request → hash of its last answer.
    answers: Arc<Mutex<HashMap<Sha256Hex, Sha256Hex>>>,
    /// What polling knows.
    pub(super) memory: Arc<Mutex<Memory>>,
}

/// Requests whose last answer is remembered; beyond it all are forgotten, which costs a few answers archived twice.
const REMEMBERED: usize = 10_000;

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// An API key first: it never expires. Then client credentials, then a login.
    pub(super) fn authorizer(
        &self,
        settings: &AcquireSettings,
        domain: &DomainCheck,
    ) -> Result<Arc<Authorizer>, String> {
        let mut known = self.authorizer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(Arc::clone(known));
        }
        let account = &settings.account_id;
        let fresh = if settings.keys.missing().is_empty() {
            Authorizer::keys()
        } else if let Some(credentials) = &settings.client {
            Authorizer::client(credentials.clone(), &base_of("sentinel", settings, domain)?, account)
        } else if let Some(credentials) = &settings.login {
            Authorizer::login(credentials.clone(), &base_of("agentVep", settings, domain)?, account)
        } else {
            return Err(format!("these are not set: {}", OAuth1Keys::VARIABLES.join(", ")));
        };
        Ok(Arc::clone(known.insert(Arc::new(fresh))))
    }

    /// Whether `answer` is the last one to `request` over again. Remembers it if not.
    pub(super) fn is_repeated(&self, request: &ApiRequest, answer: &[u8]) -> bool {
        let question = format!("{}\n{}", request.url, request.json.as_deref().unwrap_or_default());
        let (question, answer) = (Sha256Hex::of(question.as_bytes()), Sha256Hex::of(answer));
        let mut known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(question, answer) == Some(answer)
    }

    /// Forgets an answer that was not archived after all.
    pub(super) fn forget_answers(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Ends a login; a token without one ends by itself.
    pub(super) async fn close(&self, http: &Http) {
        let known = self.authorizer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(known) = known {
            known.close(http).await;
        }
    }
}
