//! Bearer tokens: OAuth 2.0 client credentials (Sentinel, version 2) and the login service (reference, auth.md).
//!
//! A token is asked for when the first call needs it, renewed a minute before it ends, and asked for once more when a call is
//! answered with 401. A login session is kept alive with its csrf token every few minutes and ended with a logout. Tokens
//! are secrets: they are never printed, and words of a server that repeat one are redacted.

use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;

use super::auth::Secret;
use super::error::{Fault, ProblemKind};
use super::http::{Http, Private};
use super::source::{Answer, status_problem};

/// Client credentials of an installed application.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// `CHATVAULT_CLIENT_ID`.
    pub id: Secret,
    /// `CHATVAULT_CLIENT_SECRET`.
    pub secret: Secret,
}

/// A user's login.
#[derive(Clone, Debug)]
pub struct LoginCredentials {
    /// `CHATVAULT_USERNAME`.
    pub username: Secret,
    /// `CHATVAULT_PASSWORD`.
    pub password: Secret,
}

/// Lifetime where neither the answer nor the token tells one (the documented token lives an hour).
const ASSUMED_LIFE: Duration = Duration::from_secs(3600);
/// A token is renewed this long before its end.
const RENEW_EARLY: Duration = Duration::from_secs(60);
/// A login session wants a refresh every 3 to 5 minutes.
const REFRESH_EVERY: Duration = Duration::from_secs(4 * 60);
/// Answers of these services are small.
const ANSWER_LIMIT_BYTES: usize = 4 << 20;

/// What a request is authorised with.
#[derive(Clone, Debug)]
pub(super) enum Authorization {
    /// Nothing.
    None,
    /// A signature with the account's API key.
    Keys,
    /// A token.
    Bearer(Secret),
}

/// How the calls of one API are authorised, and the session that this takes.
pub(super) struct Authorizer {
    how: How,
    session: Mutex<Option<Session>>,
}

enum How {
    Keys,
    Client { credentials: ClientCredentials, token_url: Url },
    Login { credentials: LoginCredentials, base: Url },
}

struct Session {
    bearer: Secret,
    ends: Instant,
    /// Of a login.
    login: Option<LoginSession>,
}

struct LoginSession {
    csrf: Secret,
    cookie: Secret,
    refresh_at: Instant,
}

impl Authorizer {
    pub(super) fn keys() -> Authorizer {
        Authorizer { how: How::Keys, session: Mutex::new(None) }
    }

    /// `sentinel` is scheme and host of the token server.
    pub(super) fn client(credentials: ClientCredentials, sentinel: &Url, account_id: &str) -> Authorizer {
        let mut token_url = sentinel.clone();
        token_url.set_path(&format!("{}/sentinel/api/v2/account/{account_id}/app/token", path_of(sentinel)));
        Authorizer { how: How::Client { credentials, token_url }, session: Mutex::new(None) }
    }

    /// `agent_vep` is scheme and host of the login service.
    pub(super) fn login(credentials: LoginCredentials, agent_vep: &Url, account_id: &str) -> Authorizer {
        let mut base = agent_vep.clone();
        base.set_path(&format!("{}/api/account/{account_id}/", path_of(agent_vep)));
        Authorizer { how: How::Login { credentials, base }, session: Mutex::new(None) }
    }

    /// The environment variables to check when it is refused.
    pub(super) fn variables(&self) -> &'static [&'static str] {
        match self.how {
            How::Keys => &super::auth::OAuth1Keys::VARIABLES,
            How::Client { .. } => &["CHATVAULT_CLIENT_ID", "CHATVAULT_CLIENT_SECRET"],
            How::Login { .. } => &["CHATVAULT_USERNAME", "CHATVAULT_PASSWORD"],
        }
    }

    /// What the next request carries. Asks for a token where there is none that lasts.
    pub(super) async fn authorization(&self, http: &Http) -> Result<Authorization, Fault> {
        if matches!(self.how, How::Keys) {
            return Ok(Authorization::Keys);
        }
        // Held while a token is fetched: the calls that wait for it then share it.
        let mut session = self.session.lock().await;
        if let Some(known) = session.as_mut().filter(|known| known.ends > Instant::now())
            && self.keep_alive(http, known).await
        {
            return Ok(Authorization::Bearer(known.bearer.clone()));
        }
        let fresh = self.begin(http).await?;
        let bearer = fresh.bearer.clone();
        http.hide(&bearer);
        *session = Some(fresh);
        Ok(Authorization::Bearer(bearer))
    }

    /// A call with `used` was answered with 401. True if another token is worth one more call.
    pub(super) async fn refused(&self, used: &Authorization) -> bool {
        let Authorization::Bearer(used) = used else { return false };
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|known| known.bearer.same(used)) {
            *session = None;
        }
        true
    }

    /// Ends a login session. Its failure harms nobody: the session ends by itself.
    pub(super) async fn close(&self, http: &Http) {
        let session = self.session.lock().await.take();
        if let (How::Login { base, .. }, Some(Session { login: Some(login), .. })) = (&self.how, session) {
            let _ = self.with_csrf(http, base, "logout", &login).await;
        }
    }

    async fn begin(&self, http: &Http) -> Result<Session, Fault> {
        match &self.how {
            How::Keys => unreachable!("keys need no session"),
            How::Client { credentials, token_url } => {
                http.hide(&credentials.secret);
                let form: String = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("client_id", credentials.id.expose())
                    .append_pair("client_secret", credentials.secret.expose())
                    .append_pair("grant_type", "client_credentials")
                    .finish();
                let private = Private {
                    content_type: "application/x-www-form-urlencoded",
                    body: Secret::new(form),
                    cookie: None,
                };
                let reply = http.send_private(token_url, &private).await?;
                token_session(&reply.into_answer(ANSWER_LIMIT_BYTES).await?)
            }
            How::Login { credentials, base } => {
                http.hide(&credentials.password);
                let body = json!({
                    "username": credentials.username.expose(), "password": credentials.password.expose(),
                });
                let private =
                    Private { content_type: "application/json", body: Secret::new(body.to_string()), cookie: None };
                let mut url = joined(base, "login");
                url.set_query(Some("v=1.3"));
                let reply = http.send_private(&url, &private).await?;
                let cookie = reply.session_cookie();
                login_session(&reply.into_answer(ANSWER_LIMIT_BYTES).await?, cookie)
            }
        }
    }

    /// Refreshes a login that has not been refreshed for some minutes. False: it is over.
    async fn keep_alive(&self, http: &Http, session: &mut Session) -> bool {
        let (How::Login { base, .. }, Some(login)) = (&self.how, session.login.as_mut()) else { return true };
        if login.refresh_at > Instant::now() {
            return true;
        }
        let refreshed = self.with_csrf(http, base, "refresh", login).await;
        login.refresh_at = Instant::now() + REFRESH_EVERY;
        matches!(refreshed, Ok(200..=299))
    }

    async fn with_csrf(&self, http: &Http, base: &Url, call: &str, login: &LoginSession) -> Result<u16, Fault> {
        let body = json!({ "csrf": login.csrf.expose() }).to_string();
        let private =
            Private { content_type: "application/json", body: Secret::new(body), cookie: Some(login.cookie.clone()) };
        Ok(http.send_private(&joined(base, call), &private).await?.status())
    }
}

fn path_of(base: &Url) -> &str {
    base.path().trim_end_matches('/')
}

fn joined(base: &Url, call: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{call}", base.path()));
    url
}

/// RFC 6749 answers 400 or 401 with `invalid_client`; both mean that the credentials are no good, and so does 403. A 404 says
/// nothing about any API: none was asked.
fn refused(answer: &Answer) -> Fault {
    let problem = status_problem(answer);
    let kind = match answer.status {
        400 | 401 | 403 => ProblemKind::Unauthorized,
        404 | 410 => ProblemKind::Rejected,
        _ => problem.kind,
    };
    Fault::of(kind, problem.reason)
}

fn token_session(answer: &Answer) -> Result<Session, Fault> {
    if answer.status != 200 {
        return Err(refused(answer));
    }
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(token) = value["access_token"].as_str().filter(|token| !token.is_empty()) else {
        return Err(Fault::of(ProblemKind::UnexpectedShape, "the answer of the token server holds no access_token"));
    };
    let told = value["expires_in"].as_u64().or_else(|| value["expires_in"].as_str()?.parse().ok());
    let life = told.or_else(|| life_of_jwt(token)).map_or(ASSUMED_LIFE, Duration::from_secs);
    Ok(Session { bearer: Secret::new(token), ends: end_of(life), login: None })
}

fn login_session(answer: &Answer, cookie: Option<Secret>) -> Result<Session, Fault> {
    if answer.status != 200 {
        return Err(refused(answer));
    }
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty()).map(Secret::new);
    let Some(bearer) = text("bearer") else {
        return Err(Fault::of(ProblemKind::UnexpectedShape, "the answer of the login service holds no bearer"));
    };
    // Milliseconds, as a string, spelt with a small l.
    let life_ms = value["sessionTTl"].as_u64().or_else(|| value["sessionTTl"].as_str()?.parse().ok());
    let life = life_ms.map_or(ASSUMED_LIFE, Duration::from_millis);
    let login = text("csrf").zip(cookie).map(|(csrf, cookie)| LoginSession {
        csrf,
        cookie,
        refresh_at: Instant::now() + REFRESH_EVERY,
    });
    Ok(Session { bearer, ends: end_of(life), login })
}

/// A minute early, but never more than half its life.
fn end_of(life: Duration) -> Instant {
    let life = life.min(Duration::from_secs(7 * 24 * 3600));
    Instant::now() + life - RENEW_EARLY.min(life / 2)
}

/// `exp` − `iat` of a JSON web token, seconds: a difference, so that a wrong clock on this machine does not matter.
fn life_of_jwt(token: &str) -> Option<u64> {
    let claims = token.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims["exp"].as_u64()?.checked_sub(claims["iat"].as_u64()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, content_type: None, body: body.as_bytes().to_vec() }
    }

    fn life(session: &Session) -> u64 {
        session.ends.saturating_duration_since(Instant::now()).as_secs_f64().round() as u64
    }

    #[test]
    fn the_life_of_a_token_is_told_or_read_or_assumed() {
        let told = token_session(&answer(200, r#"{"access_token":"a.b.c","expires_in":600}"#)).unwrap();
        assert_eq!(life(&told), 540);
        // {"exp":1718013600,"iat":1718010000}
        let token = "x.eyJleHAiOjE3MTgwMTM2MDAsImlhdCI6MTcxODAxMDAwMH0.y";
        let read = token_session(&answer(200, &format!(r#"{{"access_token":"{token}"}}"#))).unwrap();
        assert_eq!(life(&read), 3540);
        assert_eq!(life(&token_session(&answer(200, r#"{"access_token":"opaque"}"#)).unwrap()), 3540);
        assert_eq!(life(&token_session(&answer(200, r#"{"access_token":"t","expires_in":"10"}"#)).unwrap()), 5);
    }

    #[test]
    fn refusals_and_odd_answers_are_faults() {
        for (status, body, kind) in [
            (401, r#"{"error":"invalid_client"}"#, ProblemKind::Unauthorized),
            (400, "", ProblemKind::Unauthorized),
            (403, "", ProblemKind::Unauthorized),
            (404, "", ProblemKind::Rejected),
            (503, "<html>", ProblemKind::Server),
            (429, "", ProblemKind::RateLimited),
            (200, "<html>", ProblemKind::UnexpectedShape),
        ] {
            let Err(Fault::Answer { kind: found, .. }) = token_session(&answer(status, body)) else { panic!("{body}") };
            assert_eq!(found, kind, "{status} {body}");
            assert!(login_session(&answer(status, body), None).is_err());
        }
    }

    #[test]
    fn a_login_without_csrf_or_cookie_still_serves() {
        let body = r#"{"bearer":"b","csrf":"c","sessionTTl":"28800000"}"#;
        let session = login_session(&answer(200, body), Some(Secret::new("s"))).unwrap();
        assert!(session.login.is_some());
        assert_eq!(life(&session), 28_740);
        assert!(login_session(&answer(200, body), None).unwrap().login.is_none());
    }
}
