//! Finds out what a request asks for, checks it and chooses the answer.
//!
//! Order of the checks: rate limit, script, method, signature or bearer, account, parameters. The
//! Domain API and the token services need neither; Data Access and the operations want a signature;
//! the history APIs take either.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::{Map, Value};

use super::answer;
use super::calendar::FileSpec;
use super::delivery::{FileCache, Making, file, whole};
use super::history;
use super::messaging::{MessagingWorld, figures, search};
use super::oauth::{SignedRequest, Verifier, percent_decode};
use super::operations;
use super::others::{self, DataType};
use super::request::{Asked, Refusal, Reply, object, parameter};
use super::script::{Appears, Fault, RequestKind, Stage};
use super::server::{ClockCell, Counters, wall_ms};
use super::tokens::{TokenError, Tokens};
use super::world::World;

/// Age at which files are deleted.
pub const RETENTION_MS: i64 = 30 * 24 * 3_600_000;
const SECOND: Duration = Duration::from_secs(1);
const JSON: &str = "application/json";
/// Longest body of a request.
const LONGEST_BODY: usize = 256 * 1024;
const PAGE: &[u8] =
    b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We will be back soon</h1></body></html>";
const XML: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><dataAccessFiles id=\"0\"/>";

/// Which port a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Api,
    Download,
}

/// Everything the answers need.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: Arc<World>,
    pub(super) api_host: String,
    pub(super) download_origin: String,
    pub(super) downloads_at_api: bool,
    pub(super) evil_names: Vec<String>,
    pub(super) stage: Stage,
    pub(super) verifier: Mutex<Verifier>,
    pub(super) tokens: Mutex<Tokens>,
    pub(super) messaging: Arc<MessagingWorld>,
    pub(super) max_result_window: u32,
    pub(super) agents_per_page: u32,
    pub(super) clock: ClockCell,
    pub(super) counters: Counters,
    pub(super) cache: FileCache,
    pub(super) recent: Mutex<VecDeque<Instant>>,
    pub(super) rate_limit_per_second: Option<u32>,
    pub(super) job_delay_ms: i64,
    pub(super) other_data_types: bool,
    pub(super) making: Making,
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    Service(Option<String>),
    Base,
    Schema,
    Listing(DataType),
    File(String),
    Token,
    Login,
    Refresh,
    Logout,
    MessagingSearch,
    MessagingById,
    HistorySearch,
    Operations(operations::Method),
    Agents,
    AgentsSummary,
}

/// What a request must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Nothing,
    Signature,
    SignatureOrBearer,
}

impl Wish {
    fn kind(&self) -> RequestKind {
        match self {
            Self::Service(_) => RequestKind::Domain,
            Self::Base | Self::Schema => RequestKind::Resource,
            Self::Listing(_) => RequestKind::Listing,
            Self::File(_) => RequestKind::Download,
            Self::Token => RequestKind::Token,
            Self::Login | Self::Refresh | Self::Logout => RequestKind::Login,
            Self::MessagingSearch => RequestKind::MessagingSearch,
            Self::MessagingById => RequestKind::MessagingById,
            Self::HistorySearch => RequestKind::HistorySearch,
            Self::Operations(_) => RequestKind::Operations,
            Self::Agents | Self::AgentsSummary => RequestKind::AgentMetrics,
        }
    }

    fn access(&self) -> Access {
        match self.kind() {
            RequestKind::Domain | RequestKind::Token | RequestKind::Login => Access::Nothing,
            RequestKind::Resource | RequestKind::Listing | RequestKind::Download | RequestKind::Operations => {
                Access::Signature
            }
            _ => Access::SignatureOrBearer,
        }
    }

    fn allows(&self, method: &Method) -> bool {
        match self {
            Self::Operations(figures) => method == Method::GET || figures.takes_post() && method == Method::POST,
            _ => match self.kind() {
                RequestKind::Domain | RequestKind::Resource | RequestKind::Listing | RequestKind::Download => {
                    method == Method::GET
                }
                _ => method == Method::POST,
            },
        }
    }
}

/// Answers one request.
pub(super) async fn answer(shared: &Shared, door: Door, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some((account, wish)) = wish(parts.uri.path()) else {
        shared.counters.unknown.fetch_add(1, Ordering::Relaxed);
        return shared.error(404, "Not found");
    };
    shared.counters.count(wish.kind());
    if shared.too_fast() {
        return shared.error(429, "Too many requests");
    }
    let name = match &wish {
        Wish::File(name) => name,
        Wish::Operations(_) => parts.uri.path().rsplit('/').next().unwrap_or_default(),
        _ => "",
    };
    let faults = shared.stage.faults(wish.kind(), name);
    if faults.contains(&Fault::ExpireTokens) {
        shared.tokens.lock().unwrap_or_else(PoisonError::into_inner).revoke_all();
    }
    if let Some(response) = shared.early_fault(&faults).await {
        return response;
    }
    if !wish.allows(&parts.method) {
        return shared.error(405, &format!("{} is not allowed", parts.method));
    }
    if let Err(message) = shared.check_access(wish.access(), &parts.method, &parts.uri, &parts.headers) {
        shared.counters.refused.fetch_add(1, Ordering::Relaxed);
        return shared.error(401, &message);
    }
    let query = parts.uri.query().unwrap_or("");
    let own_account = &shared.world.config().account_id;
    match wish {
        Wish::Service(service) => shared.domain(&account, service.as_deref(), query, &faults),
        _ if account != *own_account && wish.access() == Access::Nothing => shared.error(401, "Invalid account"),
        _ if account != *own_account => shared.error(403, "The key or token does not belong to this account"),
        Wish::Base => {
            let base = answer::base_resource(own_account, &shared.download_origin);
            json(StatusCode::OK, &base, &faults)
        }
        Wish::Schema => shared.schema(query, &faults),
        Wish::Listing(data_type) if !shared.has(data_type) => shared.error(404, "Not found"),
        Wish::Listing(data_type) => shared.listing(data_type, query, &faults),
        Wish::File(name) => shared.download(door, &name, &faults).await,
        wish => match to_bytes(body, LONGEST_BODY).await {
            Ok(body) if wish.access() == Access::Nothing => {
                shared.token_service(&wish, query, &parts.headers, &body, &faults)
            }
            Ok(body) => shared.post(wish, parts.uri.path(), query, body, faults).await,
            Err(_) => shared.error(413, "The body is too long or broken"),
        },
    }
}

/// Account and wish of a path; none for an unknown one.
fn wish(path: &str) -> Option<(String, Wish)> {
    let decoded: Option<Vec<String>> = path.split('/').skip(1).map(percent_decode).collect();
    let decoded = decoded?;
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let (account, wish) = match parts[..] {
        ["api", "account", account, "service", "baseURI.json" | "baseURI"] => (account, Wish::Service(None)),
        ["api", "account", account, "service", name, "baseURI.json" | "baseURI"] => {
            (account, Wish::Service(Some(name.to_owned())))
        }
        ["data_access_le", "account", account, "le"] => (account, Wish::Base),
        ["data_access_le", "account", account, "le", "schema"] => (account, Wish::Schema),
        ["data_access_le", "account", account, "le", data_type] => {
            (account, Wish::Listing(DataType::of_path(data_type)?))
        }
        ["data_access_le", "account", account, "le", data_type, name] => {
            DataType::of_path(data_type)?;
            (account, Wish::File(name.to_owned()))
        }
        ["sentinel", "api", "v2", "account", account, "app", "token"] => (account, Wish::Token),
        ["api", "account", account, "login"] => (account, Wish::Login),
        ["api", "account", account, "refresh"] => (account, Wish::Refresh),
        ["api", "account", account, "logout"] => (account, Wish::Logout),
        ["messaging_history", "api", "account", account, "conversations", "search"] => (account, Wish::MessagingSearch),
        ["messaging_history", "api", "account", account, "conversations", "conversation", "search"] => {
            (account, Wish::MessagingById)
        }
        ["interaction_history", "api", "account", account, "interactions", "search"] => (account, Wish::HistorySearch),
        ["messaging_history", "api", "account", account, "agent-view", "status" | "list"] => (account, Wish::Agents),
        ["messaging_history", "api", "account", account, "agent-view", "summary"] => (account, Wish::AgentsSummary),
        ["operations", "api", "account", account, ref method @ ..] => {
            (account, Wish::Operations(operations::Method::of(method)?))
        }
        ["lp-messaging-ewt-app", "api", "account", account, "ewt"] => {
            (account, Wish::Operations(operations::Method::EstimatedWait))
        }
        _ => return None,
    };
    Some((account.to_owned(), wish))
}

impl Shared {
    fn error(&self, status: u16, message: &str) -> Response {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json(status, &answer::error(status.as_u16(), message, self.clock.now_ms()), &[])
    }

    fn too_fast(&self) -> bool {
        let Some(limit) = self.rate_limit_per_second else {
            return false;
        };
        let now = Instant::now();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|&earlier| now.duration_since(earlier) >= SECOND) {
            recent.pop_front();
        }
        if recent.len() >= limit as usize {
            return true;
        }
        recent.push_back(now);
        false
    }

    /// Waits, and answers at once, if the script says so.
    async fn early_fault(&self, faults: &[Fault]) -> Option<Response> {
        for fault in faults {
            match fault {
                Fault::Delay(pause) => tokio::time::sleep(*pause).await,
                Fault::Status(status) => {
                    return Some(self.error(*status, "This answer was scripted"));
                }
                Fault::Html200 => {
                    let page = Bytes::from_static(PAGE);
                    return Some(whole(StatusCode::OK, "text/html; charset=utf-8", page, &[]));
                }
                Fault::Xml200 => {
                    let xml = Bytes::from_static(XML);
                    return Some(whole(StatusCode::OK, "application/xml", xml, &[]));
                }
                _ => {}
            }
        }
        None
    }

    fn check_access(&self, access: Access, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = text(header::AUTHORIZATION);
        let bearer = authorization.and_then(|value| value.strip_prefix("Bearer "));
        match (access, bearer) {
            (Access::Nothing, _) => return Ok(()),
            (Access::SignatureOrBearer, Some(bearer)) => {
                let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                return tokens.check(bearer, wall_ms()).map_err(|refusal| format!("Unauthorized: {refusal}"));
            }
            _ => {}
        }
        let host = text(header::HOST).ok_or("no Host header")?;
        let request = SignedRequest {
            method: method.as_str(),
            origin: &format!("http://{host}"),
            path: uri.path(),
            query: uri.query().unwrap_or(""),
            authorization,
        };
        let mut verifier = self.verifier.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = verifier.verify(request, wall_ms() / 1000);
        verdict.map_err(|refusal| format!("Unauthorized: {refusal}"))
    }

    /// Answers a request that may have a body.
    async fn post(&self, wish: Wish, path: &str, query: &str, body: Bytes, faults: Vec<Fault>) -> Response {
        let asked = Asked {
            query: query.to_owned(),
            body,
            address: format!("http://{}{path}", self.api_host),
            now_ms: self.clock.now_ms(),
            window: self.max_result_window,
            faults: faults.clone(),
        };
        let (world, messaging) = (Arc::clone(&self.world), Arc::clone(&self.messaging));
        let agents_per_page = self.agents_per_page;
        // A search may walk through three months of conversations.
        let searching = tokio::task::spawn_blocking(move || match wish {
            Wish::MessagingSearch => search::search(&messaging, &asked),
            Wish::MessagingById => search::by_id(&messaging, &asked),
            Wish::HistorySearch => history::search(&world, &asked),
            Wish::Agents => figures::agents(&messaging, &asked, agents_per_page),
            Wish::AgentsSummary => figures::agents_summary(&messaging, &asked),
            Wish::Operations(method) => {
                let body = if asked.body.is_empty() { Map::new() } else { object(&asked.body)? };
                let parameters = operations::Parameters::new(&asked.query, body);
                operations::answer(method, &world, &messaging, &parameters, asked.now_ms).map(Reply::Found)
            }
            _ => Err(Refusal { status: 404, message: "Not found".to_owned() }),
        });
        match searching.await {
            Ok(Ok(Reply::Found(found))) => json(StatusCode::OK, &found, &faults),
            Ok(Ok(Reply::NoContent)) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Ok(Err(Refusal { status, message })) => self.error(status, &message),
            Err(_) => self.error(500, "The search ended unexpectedly"),
        }
    }

    /// Sentinel's token, login, refresh and logout.
    fn token_service(&self, wish: &Wish, query: &str, headers: &HeaderMap, body: &[u8], faults: &[Fault]) -> Response {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = wall_ms();
        let cookies = text(header::COOKIE);
        let outcome = match wish {
            Wish::Token => {
                let with_expires_in = !faults.contains(&Fault::WithoutExpiresIn);
                let answer = tokens.client_token(text(header::CONTENT_TYPE), body, with_expires_in, now_ms);
                answer.map(|answer| json(StatusCode::OK, &answer, faults))
            }
            Wish::Login if parameter(query, "v").as_deref() != Some("1.3") => {
                return self.error(400, "The parameter v must be 1.3");
            }
            Wish::Login => tokens.login(body, &self.api_host, now_ms).map(|(answer, cookie)| {
                let mut response = json(StatusCode::OK, &answer, faults);
                if let Ok(cookie) = HeaderValue::from_str(&format!("Session_id={cookie}; Path=/; HttpOnly")) {
                    response.headers_mut().insert(header::SET_COOKIE, cookie);
                }
                response
            }),
            Wish::Refresh => {
                tokens.refresh(cookies, body, now_ms).map(|()| whole(StatusCode::OK, JSON, Bytes::new(), faults))
            }
            _ => tokens.logout(cookies, body, now_ms).map(|()| whole(StatusCode::OK, JSON, Bytes::new(), faults)),
        };
        outcome.unwrap_or_else(|error| self.token_error(&error))
    }

    fn token_error(&self, error: &TokenError) -> Response {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = match error.oauth_error {
            Some(word) => serde_json::json!({ "error": word, "error_description": error.message }),
            None => {
                let mut body = answer::error(error.status, error.message, self.clock.now_ms());
                body["error"]["internalCode"] = error.internal_code.into();
                body
            }
        };
        json(status, &body, &[])
    }

    fn domain(&self, account: &str, name: Option<&str>, query: &str, faults: &[Fault]) -> Response {
        if account != self.world.config().account_id {
            return self.error(401, "Invalid account");
        }
        let host = &self.api_host;
        let known = answer::SERVICES.into_iter();
        let body = match name {
            None => {
                let wanted = parameter(query, "services");
                let wanted: Option<Vec<&str>> = wanted.as_deref().map(|all| all.split(',').collect());
                let chosen = known.filter(|known| wanted.as_ref().is_none_or(|all| all.contains(known)));
                answer::services(chosen, account, host)
            }
            Some(name) if !known.clone().any(|known| known == name) => {
                return self.error(404, "Unknown service");
            }
            Some(name) if faults.contains(&Fault::DomainList) => answer::services([name].into_iter(), account, host),
            Some(name) => answer::service(name, account, host),
        };
        json(StatusCode::OK, &body, faults)
    }

    fn schema(&self, query: &str, faults: &[Fault]) -> Response {
        match parameter(query, "schemaId").as_deref() {
            Some(id @ ("latest" | "1.0.0.22" | "1.0.0.35")) => json(StatusCode::OK, &answer::schema(id), faults),
            Some(_) => self.error(404, "Unknown schema"),
            None => self.error(400, "schemaId is required"),
        }
    }

    /// Files whose generating window **starts** within `startTime <= start < endTime`.
    ///
    /// The documentation leaves inclusion open; half open is our choice. When the conversations
    /// happened plays no part.
    fn listing(&self, data_type: DataType, query: &str, faults: &[Fault]) -> Response {
        let time = |name| parameter(query, name).and_then(|value| value.parse::<i64>().ok());
        let (Some(from_ms), Some(to_ms)) = (time("startTime"), time("endTime")) else {
            return self.error(400, "startTime and endTime must be numbers of milliseconds");
        };
        if from_ms > to_ms {
            return self.error(400, "startTime is after endTime");
        }
        let files = self.world.files_between(from_ms, to_ms);
        let files: Vec<FileSpec> = files.filter(|file| self.exists(file, data_type)).collect();
        self.counters.listings_answered.fetch_add(1, Ordering::Relaxed);
        if files.is_empty() {
            return self.error(404, "No Available Files");
        }
        let account = &self.world.config().account_id;
        let listing = answer::listing(account, &self.download_origin, data_type, &files, faults);
        json(StatusCode::OK, &listing, faults)
    }

    async fn download(&self, door: Door, name: &str, faults: &[Fault]) -> Response {
        if door == Door::Api && !self.downloads_at_api {
            return self.error(404, "Files are at the address the listing names");
        }
        let evil = self.evil_names.iter().any(|evil| evil == name);
        let (data_type, of_hour) = DataType::of_name(name).unwrap_or_else(|| (DataType::Engagement, name.to_owned()));
        let found = match evil {
            true => self.world.files().next(),
            false => self.world.file_named(&of_hour).filter(|file| self.has(data_type) && self.exists(file, data_type)),
        };
        match found {
            Some(spec) if data_type != DataType::Engagement => {
                match others::bytes(&self.world, &spec, data_type, self.making.gzip_level) {
                    Ok(bytes) => whole(StatusCode::OK, "application/gzip", Bytes::from(bytes), faults),
                    Err(error) => self.error(500, &error.to_string()),
                }
            }
            Some(spec) => file(&self.world, &self.cache, spec, &self.making, faults).await,
            None => self.error(404, "No such file"),
        }
    }

    fn has(&self, data_type: DataType) -> bool {
        data_type == DataType::Engagement || self.other_data_types
    }

    /// True when the file was generated already, is not late and has not expired.
    fn exists(&self, file: &FileSpec, data_type: DataType) -> bool {
        let age_ms = self.clock.now_ms() - file.end_ms - self.job_delay_ms;
        let answered = self.counters.listings_answered.load(Ordering::Relaxed);
        let name = data_type.name_of(file);
        let mut late = self.stage.late.iter().filter(|late| name.contains(&late.name_contains));
        let awaited = late.any(|late| match late.appears {
            Appears::AfterListings(count) => answered < count,
            Appears::At(instant_ms) => self.clock.now_ms() < instant_ms,
        });
        (0..RETENTION_MS).contains(&age_ms) && !awaited
    }
}

fn json(status: StatusCode, value: &Value, faults: &[Fault]) -> Response {
    whole(status, JSON, Bytes::from(value.to_string()), faults)
}
