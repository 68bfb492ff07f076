//! Which query APIs a run follows, where each is, and what it is authorised with.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use url::Url;

use crate::archive::{Archive, ArchivedFile, Sha256Hex};

use super::asking::lock;
use super::auth::OAuth1Keys;
use super::domain::DomainCheck;
use super::engine::{Engine, Stop};
use super::error::{Problem, ProblemKind};
use super::follow::Follow;
use super::history::HistoryApi;
use super::http::Http;
use super::passes::Schedule;
use super::polling::Memory;
use super::report::StreamReport;
use super::settings::{AcquireSettings, HistoryChoice, StreamMode};
use super::source::ApiRequest;
use super::token::Authorizer;

/// Polls and follows every query API of the settings, one after the other. Figures come first: they are few calls, and
/// LivePerson forgets them soonest.
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
    match super::engine::blocking(archive, Archive::seal_left_over).await {
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
    let mut reports = super::polling::poll_all(engine, settings, domain, archive, published).await;
    for choice in &settings.histories {
        if engine.is_ending() {
            break;
        }
        let report = follow_one(engine, settings, domain, archive, published, *choice).await;
        reports.push((choice.api.stream().to_owned(), report));
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
            let mut report = StreamReport { skipped: choice.mode == StreamMode::Auto, ..StreamReport::default() };
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
    };
    let mut report = follow.run(published).await;
    for problem in report.problems.iter_mut().filter(|problem| problem.kind == ProblemKind::Unauthorized) {
        problem.reason = format!("{}; check {}", problem.reason, authorizer.variables().join(", "));
    }
    if choice.mode == StreamMode::Auto
        && report.listing_calls == 0
        && report.problems.iter().any(|problem| is_refusal(problem.kind))
    {
        report = StreamReport { skipped: true, ..StreamReport::default() };
    }
    report
}

/// What means, in an optional stream, that it is not for these keys.
pub(super) fn is_refusal(kind: ProblemKind) -> bool {
    matches!(kind, ProblemKind::Forbidden | ProblemKind::Gone | ProblemKind::Unauthorized)
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
