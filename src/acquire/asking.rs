//! One call of a query API: sent, received whole, and put into the archive as it came.
//!
//! Shared by what follows conversations (`follow.rs`) and what polls figures (`polling.rs`). Nothing is understood here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::archive::{AnswerSegment, ApiAnswer, Published};

use super::engine::{Engine, join};
use super::error::Fault;
use super::http::{LISTING_LIMIT_BYTES, printable};
use super::source::{Answer, ApiRequest};
use super::token::Authorizer;

/// A segment that blocking threads append to.
pub(super) type SharedSegment = Arc<Mutex<AnswerSegment>>;

/// An answer, with what the archive keeps beside its body.
pub(super) struct Received {
    pub(super) answer: Answer,
    pub(super) retry_after: Option<Duration>,
    /// The server's `Date` minus our clock.
    pub(super) clock_offset_ms: Option<i64>,
    /// Where it came from, without secrets.
    url: String,
    /// The headers that matter.
    response: BTreeMap<String, String>,
}

/// Makes one call, once. Any status is an answer.
pub(super) async fn receive(engine: &Engine, authorizer: &Authorizer, request: &ApiRequest) -> Result<Received, Fault> {
    let reply = engine.unless_ended(engine.call(authorizer, request)).await??;
    let retry_after = reply.retry_after();
    let (url, clock_offset_ms) = (printable(&reply.url), reply.clock_offset_ms);
    let kept = ["date", "content-type"].into_iter();
    let response = kept.filter_map(|name| Some((name.to_owned(), reply.header(name)?))).collect();
    let answer = engine.unless_ended(reply.into_answer(LISTING_LIMIT_BYTES)).await??;
    Ok(Received { answer, retry_after, clock_offset_ms, url, response })
}

/// Appends an answer to a segment and makes it durable. Gives the file of a segment that became large.
pub(super) async fn keep(
    segment: &SharedSegment,
    (stream, call): (&'static str, &'static str),
    request: &ApiRequest,
    received: Received,
    received_ms: i64,
) -> Result<Option<Published>, Fault> {
    let segment = Arc::clone(segment);
    let method = if request.json.is_some() { "POST" } else { "GET" };
    let request_body = request.json.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let appended = tokio::task::spawn_blocking(move || {
        lock(&segment).append(&ApiAnswer {
            stream,
            call,
            method,
            url: &received.url,
            request_body: &request_body,
            status: received.answer.status,
            response: &received.response,
            received_ms,
            clock_offset_ms: received.clock_offset_ms,
            body: &received.answer.body,
        })
    });
    join(appended).await.map_err(Fault::Archive)
}

/// A panic elsewhere leaves a segment usable: its file ends with a whole line, or the next run cuts it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
