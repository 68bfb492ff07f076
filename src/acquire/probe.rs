//! The smallest call of each API: does it answer, for these keys, at this host? For `doctor`.

use std::time::{Duration, Instant};

use crate::archive::Window;

use super::apis;
use super::data_access::{self, DataAccess};
use super::domain::DomainCheck;
use super::engine::Engine;
use super::error::{Fault, ProblemKind};
use super::heard;
use super::history::{Filter, STEP_MS};
use super::http::{LISTING_LIMIT_BYTES, Reply};
use super::polling;
use super::settings::{AcquireSettings, StreamMode};
use super::source::{AnswerProblem, Source};

/// What one API answered.
#[derive(Debug)]
pub struct ApiProbe {
    /// Stream, such as `data-access/engagement`.
    pub stream: String,
    /// Host that was asked; empty where none is known.
    pub host: String,
    /// Whether the stream is wanted in any case (`on`) or if it may be had (`auto`).
    pub mode: StreamMode,
    /// How long the answer took.
    pub took: Duration,
    /// What is wrong, if something is.
    pub problem: Option<(ProblemKind, String)>,
    /// The environment variables that the call was authorised with.
    pub variables: Vec<&'static str>,
}

/// What all of them answered, and what else was seen on the way.
#[derive(Debug)]
pub struct ProbeReport {
    /// One per stream that is on or auto.
    pub apis: Vec<ApiProbe>,
    /// What the Domain API said about the account.
    pub domain: DomainCheck,
    /// The server's clock minus ours, milliseconds, as last seen (whole seconds).
    pub clock_offset_ms: Option<i64>,
}

/// Makes one call per API, without retries.
pub(super) async fn probe_all(engine: &Engine, settings: &AcquireSettings, domain: DomainCheck) -> ProbeReport {
    let now_ms = settings.clock.now_ms();
    let mut probes = Vec::new();
    for choice in &settings.streams {
        let source = DataAccess::new(choice.data_type, &settings.account_id, &settings.data_access);
        let request = source.first(Window { start_ms: now_ms - 3_600_000, end_ms: now_ms });
        let begun = Instant::now();
        let missing = settings.keys.missing();
        let outcome = if missing.is_empty() {
            match engine.http.send(&request).await {
                Ok(reply) => read(reply, |answer| source.read(&request, answer).map(drop)).await,
                Err(fault) => Err(fault),
            }
        } else {
            Err(Fault::of(ProblemKind::NoService, data_access::without_key(&missing)))
        };
        probes.push(ApiProbe {
            stream: source.stream().to_owned(),
            host: settings.data_access.host_str().unwrap_or_default().to_owned(),
            mode: choice.mode,
            took: begun.elapsed(),
            problem: told(engine, outcome),
            variables: super::OAuth1Keys::VARIABLES.to_vec(),
        });
    }
    for choice in &settings.histories {
        let (api, begun) = (choice.api, Instant::now());
        let mut probe = ApiProbe {
            stream: api.stream().to_owned(),
            host: String::new(),
            mode: choice.mode,
            took: Duration::ZERO,
            problem: None,
            variables: Vec::new(),
        };
        match apis::place_of(api, settings, &domain) {
            Err(reason) => probe.problem = Some((ProblemKind::NoService, reason)),
            Ok((base, authorizer)) => {
                probe.host = base.host_str().unwrap_or_default().to_owned();
                probe.variables = authorizer.variables().to_vec();
                let window = Window { start_ms: now_ms - STEP_MS, end_ms: now_ms };
                let request = api.search(&base, &settings.account_id, window, Filter::All, 0);
                let outcome = match engine.call(&authorizer, &request).await {
                    Ok(reply) => read(reply, |answer| api.read(answer).map(drop)).await,
                    Err(fault) => Err(fault),
                };
                probe.problem = told(engine, outcome);
            }
        }
        probe.took = begun.elapsed();
        probes.push(probe);
    }
    for choice in &settings.operations {
        let (api, begun) = (choice.api, Instant::now());
        let mut probe = ApiProbe {
            stream: api.stream().to_owned(),
            host: String::new(),
            mode: choice.mode,
            took: Duration::ZERO,
            problem: None,
            variables: Vec::new(),
        };
        // The first method needs no permission of its own.
        let method = &api.methods()[0];
        match polling::place_of(api, method, settings, &domain) {
            Err(reason) => probe.problem = Some((ProblemKind::NoService, reason)),
            Ok((base, authorizer)) => {
                probe.host = base.host_str().unwrap_or_default().to_owned();
                probe.variables = authorizer.variables().to_vec();
                let request = method.request(&base, &settings.account_id, method.smallest());
                let outcome = match engine.call(&authorizer, &request).await {
                    Ok(reply) => read(reply, |answer| heard::read(answer).map(drop)).await,
                    Err(fault) => Err(fault),
                };
                probe.problem = told(engine, outcome);
            }
        }
        probe.took = begun.elapsed();
        probes.push(probe);
    }
    ProbeReport { apis: probes, domain, clock_offset_ms: engine.http.clock_offset_ms() }
}

async fn read(
    reply: Reply,
    understand: impl Fn(&super::source::Answer) -> Result<(), AnswerProblem>,
) -> Result<(), Fault> {
    let answer = reply.into_answer(LISTING_LIMIT_BYTES).await?;
    understand(&answer).map_err(|problem| Fault::of(problem.kind, problem.reason))
}

fn told(engine: &Engine, outcome: Result<(), Fault>) -> Option<(ProblemKind, String)> {
    match outcome {
        Ok(()) => None,
        Err(Fault::Answer { kind, reason, .. }) => Some((kind, engine.http.redact(&reason))),
        Err(Fault::Archive(error)) => Some((ProblemKind::Archive, error.to_string())),
        Err(Fault::Cancelled) => Some((ProblemKind::NoProgress, "interrupted".to_owned())),
    }
}
