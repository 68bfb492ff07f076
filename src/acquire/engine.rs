//! What all calls of a run share: the client, the retry loop, the circuit, progress, and the signal to end.
//!
//! A run ends early for one of three reasons: the user interrupts, the circuit trips, the archive cannot take more.
//! The first reason is kept; every call in flight then returns [`Fault::Cancelled`] at its next await.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::archive::{Archive, ArchiveError};

use super::auth::OAuth1Keys;
use super::domain::DomainCheck;
use super::error::{AcquireError, Fault, Problem, ProblemKind};
use super::host::is_loopback;
use super::http::{Http, Reply};
use super::report::{AcquireEvent, Cancel, CancelHandle, ProgressSink};
use super::retry::{Attempts, Circuit, Next, RetryPolicy, Trip};
use super::settings::AcquireSettings;
use super::source::ApiRequest;
use super::token::Authorizer;

/// Shared by reference; one per run.
pub(super) struct Engine {
    pub(super) http: Http,
    pub(super) policy: RetryPolicy,
    circuit: Circuit,
    progress: ProgressSink,
    user: Cancel,
    stop: CancelHandle,
    stopped: Cancel,
    why: Mutex<Option<Stop>>,
}

/// Why the run ends early, if not by the user's wish.
#[derive(Debug)]
pub(super) enum Stop {
    /// The circuit, with the failure that tripped it.
    Trip { trip: Trip, reason: String },
    /// The first request of the run found nobody there.
    Unreachable { reason: String },
    /// The archive cannot take more.
    Archive(ArchiveError),
    /// Nothing else is worth trying; the error is ready.
    Refused(AcquireError),
}

/// Why an item has no result.
#[derive(Debug)]
pub(super) enum GivenUp {
    /// It failed, after so many calls.
    Failed { kind: ProblemKind, reason: String, attempts: u32 },
    /// The run is ending; nothing is known against the item.
    Ended,
}

impl Stop {
    /// The error that says it, with what is known about the cause.
    pub(super) fn into_error(self, settings: &AcquireSettings, http: &Http, domain: &DomainCheck) -> AcquireError {
        match self {
            Stop::Trip { trip: Trip::RateLimited { in_a_row }, .. } => AcquireError::RateLimited { in_a_row },
            Stop::Trip { trip: Trip::Outage, reason } | Stop::Unreachable { reason } => {
                AcquireError::Unavailable { reason }
            }
            Stop::Trip { trip: Trip::Unauthorized, reason } => AcquireError::Unauthorized {
                api: "Data Access API",
                account: settings.account_id.clone(),
                variables: &OAuth1Keys::VARIABLES,
                said: reason,
                hints: hints(settings, http.clock_offset_ms(), domain),
            },
            Stop::Archive(error) => AcquireError::Archive(error),
            Stop::Refused(error) => error,
        }
    }
}

/// The likely causes of a 401 that can be seen from here, one sentence each.
fn hints(settings: &AcquireSettings, clock_offset_ms: Option<i64>, domain: &DomainCheck) -> Vec<String> {
    let mut hints = Vec::new();
    if *domain == DomainCheck::UnknownAccount {
        hints.push(format!("LivePerson's Domain API knows no account {}: check [account] id", settings.account_id));
    }
    if let Some(region) = domain.region()
        && !settings.data_access.host_str().is_some_and(|host| host.starts_with(region))
        && !is_loopback(&settings.data_access)
    {
        hints.push(format!("the account's services are in region {region}: check [account] region"));
    }
    if let Some(offset_s) = clock_offset_ms.map(|ms| ms / 1000).filter(|offset_s| offset_s.abs() > 60) {
        let direction = if offset_s > 0 { "behind" } else { "ahead of" };
        hints.push(format!(
            "this machine's clock is {} s {direction} the server's, and signatures carry the time",
            offset_s.abs()
        ));
    }
    hints
}

impl GivenUp {
    /// The problem to report, if the item itself failed.
    pub(super) fn problem(self, stream: &str, name: &str) -> Option<Problem> {
        match self {
            GivenUp::Ended => None,
            GivenUp::Failed { kind, reason, attempts } => {
                Some(Problem { stream: stream.to_owned(), name: name.to_owned(), kind, reason, attempts })
            }
        }
    }
}

impl Engine {
    pub(super) fn new(http: Http, policy: RetryPolicy, progress: ProgressSink, user: Cancel) -> Engine {
        let (stop, stopped) = Cancel::pair();
        Engine { http, policy, circuit: Circuit::default(), progress, user, stop, stopped, why: Mutex::new(None) }
    }

    pub(super) fn tell(&self, event: AcquireEvent) {
        (self.progress)(event);
    }

    /// Ends the run; the first reason stays.
    pub(super) fn stop(&self, why: Stop) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.stop.cancel();
    }

    /// Why the run was ended, if it was; asked once, at its end.
    pub(super) fn take_stop(&self) -> Option<Stop> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.user.is_cancelled() || self.stopped.is_cancelled()
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.user.is_cancelled()
    }

    /// Sends a request with what the API at hand takes. A token that is refused is replaced once, and the request made again:
    /// all of our requests only ask, so that is safe.
    pub(super) async fn call(&self, authorizer: &Authorizer, request: &ApiRequest) -> Result<Reply, Fault> {
        let with = authorizer.authorization(&self.http).await?;
        let reply = self.http.send_as(request, &with).await?;
        if reply.status() != 401 || !authorizer.refused(&with).await {
            return Ok(reply);
        }
        // Its connection is free for the token's sake.
        drop(reply);
        let with = authorizer.authorization(&self.http).await?;
        self.http.send_as(request, &with).await
    }

    /// Runs `work` unless the run ends first; then `work` is dropped, so it must be safe to drop.
    pub(super) async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Result<T, Fault> {
        tokio::select! {
            biased;
            () = self.user.cancelled() => Err(Fault::Cancelled),
            () = self.stopped.cancelled() => Err(Fault::Cancelled),
            done = work => Ok(done),
        }
    }

    /// Calls until it works, the policy gives up, or the run ends. `call` notices the end itself.
    pub(super) async fn with_retries<T, F>(
        &self,
        name: &str,
        policy: &RetryPolicy,
        call: impl Fn() -> F,
    ) -> Result<T, GivenUp>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        self.retrying(name, policy, true, call).await
    }

    /// The same for an API that the keys may not be meant for: its refusals say nothing about the others.
    pub(super) async fn with_retries_of_api<T, F>(
        &self,
        name: &str,
        policy: &RetryPolicy,
        call: impl Fn() -> F,
    ) -> Result<T, GivenUp>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        self.retrying(name, policy, false, call).await
    }

    async fn retrying<T, F>(
        &self,
        name: &str,
        policy: &RetryPolicy,
        speaks_for_keys: bool,
        call: impl Fn() -> F,
    ) -> Result<T, GivenUp>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut attempts = Attempts::new(policy);
        loop {
            if self.is_ending() {
                return Err(GivenUp::Ended);
            }
            let (kind, reason, retry_after) = match call().await {
                Ok(done) => {
                    self.circuit.worked();
                    return Ok(done);
                }
                Err(Fault::Cancelled) => return Err(GivenUp::Ended),
                Err(Fault::Archive(error)) => {
                    self.stop(Stop::Archive(error));
                    return Err(GivenUp::Ended);
                }
                Err(Fault::Answer { kind, reason, retry_after }) => (kind, self.http.redact(&reason), retry_after),
            };
            let mut next = attempts.failed(kind, retry_after, rand::random());
            if super::retry::is_server_failure(kind) && self.circuit.only_one_try(policy) {
                next = Next::GiveUp;
            }
            if (speaks_for_keys || kind != ProblemKind::Unauthorized)
                && let Some(trip) = self.circuit.failed(kind, next == Next::GiveUp, policy)
            {
                self.stop(Stop::Trip { trip, reason: reason.clone() });
                next = Next::GiveUp;
            }
            let Next::Wait(pause) = next else {
                return Err(GivenUp::Failed { kind, reason, attempts: attempts.made() });
            };
            if kind == ProblemKind::RateLimited {
                self.http.pace.hold(pause);
            }
            self.tell(AcquireEvent::Waiting { name: name.to_owned(), reason, pause, attempts: attempts.made() });
            if self.pause(pause).await.is_err() {
                return Err(GivenUp::Ended);
            }
        }
    }

    async fn pause(&self, pause: Duration) -> Result<(), Fault> {
        self.unless_ended(tokio::time::sleep(pause)).await
    }
}

/// Runs one short call of the archive on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    archive: &Archive,
    call: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    let archive = archive.clone();
    join(tokio::task::spawn_blocking(move || call(&archive))).await
}

/// The result of a blocking thread. A panic there is a bug, and goes on here.
pub(super) async fn join<T>(handle: tokio::task::JoinHandle<T>) -> T {
    match handle.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => unreachable!("blocking tasks are never aborted: {error}"),
        },
    }
}
