//! One signed request and its answer. The only place that opens connections.
//!
//! Each request waits for its turn, passes the host rule, is signed for the host it goes to, and follows at most five
//! redirects itself, each checked and signed again. Bodies come as sent: nothing is decompressed on the way. Retries
//! are not made here.

use std::error::Error as _;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use crate::archive::Clock;

use super::auth::{OAuth1Keys, Secret, new_nonce};
use super::error::{Fault, ProblemKind};
use super::host::{HostRule, is_loopback};
use super::rate_limit::Pace;
use super::source::{Answer, ApiRequest};
use super::token::Authorization;

/// Name and version as sent in `User-Agent`.
pub(super) const USER_AGENT: &str = concat!("chatvault/", env!("CARGO_PKG_VERSION"));

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: u32 = 5;

/// Longest body of a listing: about 100,000 entries. Downloads have no limit, they are streamed.
pub(super) const LISTING_LIMIT_BYTES: usize = 64 << 20;

/// The client of a run.
pub(super) struct Http {
    /// For hosts outside: the system's proxy settings apply.
    outside: Client,
    /// For loopback: never through a proxy.
    loopback: Client,
    rule: HostRule,
    keys: OAuth1Keys,
    pub(super) pace: Pace,
    no_progress: Duration,
    requests: AtomicU64,
    clock_offset_ms: std::sync::Mutex<Option<i64>>,
    /// Tokens that were handed to us, to be taken out of a server's words.
    hidden: std::sync::Mutex<Vec<Secret>>,
}

/// A request whose body is a secret: it is sent once, to one address, and to no address that a redirect names.
pub(super) struct Private {
    pub(super) content_type: &'static str,
    pub(super) body: Secret,
    /// Value of `Cookie`.
    pub(super) cookie: Option<Secret>,
}

/// An answer whose body has not been read. Holds its connection's permit until it is dropped.
pub(super) struct Reply {
    response: Response,
    /// Where the answer came from, after redirects.
    pub(super) url: Url,
    /// The server's `Date` minus our clock; the header counts whole seconds.
    pub(super) clock_offset_ms: Option<i64>,
    no_progress: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Http {
    pub(super) fn new(rule: HostRule, keys: OAuth1Keys, pace: Pace, no_progress: Duration) -> Result<Http, String> {
        install_crypto();
        let client = |direct: bool| {
            let builder = Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(Policy::none())
                // Features of other crates must not switch on what changes the bytes.
                .no_gzip()
                .no_brotli()
                .no_deflate()
                .no_zstd()
                .referer(false);
            let builder = if direct { builder.no_proxy() } else { builder };
            builder.build().map_err(|error| format!("the HTTP client cannot be made: {}", root_cause(&error)))
        };
        Ok(Http {
            outside: client(false)?,
            loopback: client(true)?,
            rule,
            keys,
            pace,
            no_progress,
            requests: AtomicU64::new(0),
            clock_offset_ms: std::sync::Mutex::new(None),
            hidden: std::sync::Mutex::new(Vec::new()),
        })
    }

    /// Requests sent so far, redirects and retries included.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The server's clock minus ours, as last seen.
    pub(super) fn clock_offset_ms(&self) -> Option<i64> {
        *self.clock_offset_ms.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn rule(&self) -> &HostRule {
        &self.rule
    }

    /// Takes keys and tokens out of words that a server sent.
    pub(super) fn redact(&self, text: &str) -> String {
        let hidden = self.hidden.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        hidden.iter().fold(self.keys.redact(text), |text, secret| secret.redact(&text))
    }

    /// Remembers a secret for [`Http::redact`]. Of tokens only the last ones are kept.
    pub(super) fn hide(&self, secret: &Secret) {
        const KEPT: usize = 16;
        let mut hidden = self.hidden.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if hidden.len() == KEPT {
            hidden.remove(0);
        }
        hidden.push(secret.clone());
    }

    /// Sends a secret body. Any status is an answer, a redirect too.
    pub(super) async fn send_private(&self, url: &Url, private: &Private) -> Result<Reply, Fault> {
        self.rule.check(url).map_err(|refusal| Fault::of(ProblemKind::RefusedHost, refusal.to_string()))?;
        self.hide(&private.body);
        let permit = self.pace.turn().await;
        let sensitive = |secret: &Secret| {
            let mut value = HeaderValue::try_from(secret.expose())
                .map_err(|_| Fault::of(ProblemKind::Rejected, "a cookie makes no valid header"))?;
            value.set_sensitive(true);
            Ok::<_, Fault>(value)
        };
        let mut builder = self
            .client_for(url)
            .post(url.clone())
            .header(header::CONTENT_TYPE, private.content_type)
            .header(header::ACCEPT, "application/json")
            .body(private.body.expose().to_owned());
        if let Some(cookie) = &private.cookie {
            builder = builder.header(header::COOKIE, sensitive(cookie)?);
        }
        self.receive(url, builder, permit).await
    }

    fn client_for(&self, url: &Url) -> &Client {
        if is_loopback(url) { &self.loopback } else { &self.outside }
    }

    /// Sends one request, signed, and follows redirects. Any status is an answer.
    pub(super) async fn send(&self, request: &ApiRequest) -> Result<Reply, Fault> {
        self.send_as(request, &Authorization::Keys).await
    }

    /// The same without `Authorization`, for services that take none (Domain API).
    pub(super) async fn send_unsigned(&self, request: &ApiRequest) -> Result<Reply, Fault> {
        self.send_as(request, &Authorization::None).await
    }

    /// The same with what the API at hand takes.
    pub(super) async fn send_as(&self, request: &ApiRequest, with: &Authorization) -> Result<Reply, Fault> {
        let mut url = request.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            self.rule.check(&url).map_err(|refusal| Fault::of(ProblemKind::RefusedHost, refusal.to_string()))?;
            let reply = self.send_once(&url, request, with).await?;
            if !is_redirect(reply.response.status()) {
                return Ok(reply);
            }
            let target = reply.header("location").and_then(|target| url.join(&target).ok());
            url = target.ok_or_else(|| Fault::of(ProblemKind::Redirect, "a redirect without a usable Location"))?;
            // The fragment of a Location is for browsers.
            url.set_fragment(None);
        }
        Err(Fault::of(ProblemKind::Redirect, format!("more than {MOST_REDIRECTS} redirects")))
    }

    async fn send_once(&self, url: &Url, request: &ApiRequest, with: &Authorization) -> Result<Reply, Fault> {
        let permit = self.pace.turn().await;
        let client = self.client_for(url);
        let mut builder = match &request.json {
            None => client.get(url.clone()),
            Some(json) => client.post(url.clone()).header(header::CONTENT_TYPE, "application/json").body(json.clone()),
        };
        builder = builder.header(header::ACCEPT, request.accept);
        let authorization = match with {
            Authorization::None => None,
            Authorization::Bearer(token) => Some(format!("Bearer {}", token.expose())),
            // Signed after the wait for the turn, so that the timestamp is that of the sending; always the machine's
            // clock, whatever clock the windows are made of.
            Authorization::Keys => {
                let method = if request.json.is_some() { "POST" } else { "GET" };
                let timestamp_s = Clock::System.now_ms().div_euclid(1000);
                Some(self.keys.authorization(method, url, timestamp_s, &new_nonce()))
            }
        };
        if let Some(text) = authorization {
            let mut value = HeaderValue::try_from(text)
                .map_err(|_| Fault::of(ProblemKind::Rejected, "the keys make no valid header"))?;
            value.set_sensitive(true);
            builder = builder.header(header::AUTHORIZATION, value);
        }
        self.receive(url, builder, permit).await
    }

    async fn receive(&self, url: &Url, request: RequestBuilder, permit: OwnedSemaphorePermit) -> Result<Reply, Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let response = match tokio::time::timeout(self.no_progress, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(network_fault(error)),
            Err(_) => return Err(self.no_progress_fault()),
        };
        let clock_offset_ms = header_text(response.headers(), "date")
            .and_then(|date| http_date_ms(&date))
            .map(|date_ms| date_ms - Clock::System.now_ms());
        if clock_offset_ms.is_some() {
            *self.clock_offset_ms.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = clock_offset_ms;
        }
        Ok(Reply { response, url: url.clone(), clock_offset_ms, no_progress: self.no_progress, _permit: permit })
    }

    fn no_progress_fault(&self) -> Fault {
        no_progress_fault(self.no_progress)
    }
}

impl Reply {
    /// HTTP status.
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header's text without control characters, at most 300 characters; `None` if absent.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        header_text(self.response.headers(), name)
    }

    /// The session cookie of a login, as it is to be sent back.
    pub(super) fn session_cookie(&self) -> Option<Secret> {
        let set = self.response.headers().get_all(header::SET_COOKIE);
        let pairs = set.iter().filter_map(|value| value.to_str().ok()?.split(';').next());
        pairs.map(str::trim).find(|pair| pair.starts_with("Session_id=")).map(Secret::new)
    }

    /// `Content-Length` as announced.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header("content-length").and_then(|text| text.trim().parse().ok())
    }

    /// What `Retry-After` asks for: seconds, or a date (compared with the server's own `Date`).
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?;
        if let Ok(seconds) = text.trim().parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let now_ms = self.header("date").and_then(|date| http_date_ms(&date))?;
        let wait_ms = http_date_ms(&text)? - now_ms;
        Some(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))
    }

    /// The next piece of the body; `None` at its end. Waits at most the no-progress timeout.
    pub(super) async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + Send + 'static + use<>>, Fault> {
        match tokio::time::timeout(self.no_progress, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(network_fault(error)),
            Err(_) => Err(no_progress_fault(self.no_progress)),
        }
    }

    /// The whole body, if it stays within `limit` bytes.
    pub(super) async fn into_answer(mut self, limit: usize) -> Result<Answer, Fault> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.as_ref().len() > limit {
                return Err(Fault::of(ProblemKind::TooLarge, format!("the answer is larger than {limit} bytes")));
            }
            body.extend_from_slice(chunk.as_ref());
        }
        Ok(Answer { status: self.status(), content_type: self.header("content-type"), body })
    }

    /// The first bytes of the body, for the server's words in a message; a broken body is no further failure.
    pub(super) async fn into_head(mut self) -> Answer {
        let mut body = Vec::new();
        while body.len() < 16 * 1024 {
            match self.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(chunk.as_ref()),
                Ok(None) | Err(_) => break,
            }
        }
        Answer { status: self.status(), content_type: self.header("content-type"), body }
    }
}

/// The address for reports and provenance: no user name, no fragment, and of the query only values that are known to
/// be no secret.
pub(super) fn printable(url: &Url) -> String {
    const HARMLESS: [&str; 19] = [
        "startTime",
        "endTime",
        "schemaId",
        "v",
        "version",
        "offset",
        "limit",
        "sort",
        "source",
        // Of figures: what an answer means depends on them.
        "timeframe",
        "interval",
        "fromMillis",
        "toMillis",
        "skillIds",
        "agentIds",
        "skills",
        "userType",
        "metrics",
        "overdueConversations",
    ];
    let mut clean = url.clone();
    clean.set_fragment(None);
    // Both fail only for addresses without a host, which the host rule has refused.
    let _ = clean.set_username("");
    let _ = clean.set_password(None);
    if url.query().is_some() {
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(name, value)| {
                let value = if HARMLESS.contains(&&*name) { value.into_owned() } else { "[removed]".to_owned() };
                (name.into_owned(), value)
            })
            .collect();
        clean.query_pairs_mut().clear().extend_pairs(pairs);
    }
    clean.into()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as epoch milliseconds.
fn http_date_ms(text: &str) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser.parse_timestamp(text.trim()).ok().map(jiff::Timestamp::as_millisecond)
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).chars().filter(|c| !c.is_control()).take(300).collect())
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn no_progress_fault(limit: Duration) -> Fault {
    Fault::of(ProblemKind::NoProgress, format!("no byte came for {} s", limit.as_secs_f64()))
}

/// The address is taken out of the error: its query is not ours to print.
fn network_fault(error: reqwest::Error) -> Fault {
    let error = error.without_url();
    let what = if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "the connection timed out"
    } else if error.is_body() || error.is_decode() {
        "the connection broke in the middle of the body"
    } else {
        "the request failed"
    };
    Fault::of(ProblemKind::Network, format!("{what}: {}", root_cause(&error)))
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = if error.source().is_none() { error.to_string() } else { cause.to_string() };
    super::source::words(text.as_bytes())
}

/// rustls is built without a default provider, so that exactly one is linked: ring.
fn install_crypto() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // An error means that the embedding program has installed its own, which is its right.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "http_tests.rs"]
mod tests;
