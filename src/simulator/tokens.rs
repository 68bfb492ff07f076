//! Bearer tokens: the authorization server (Sentinel) and the login service (agentVep).
//!
//! Sentinel's tokens are JWT-shaped and checked by their own content, so no table of them is kept;
//! revoking is a number below which a token no longer counts. Login sessions are few and are kept.
//! Lives are measured by the computer's clock, because a client compares `exp` with its own.

use std::collections::VecDeque;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use thiserror::Error;

use super::dice::mix;
use super::oauth::{Credentials, percent_decode};

/// The scope that Messaging Interactions asks for.
const SCOPE: &str = "data.services.external.msghist";
/// Most sessions remembered; the oldest give way.
const SESSIONS_KEPT: usize = 256;
const SECRET_STREAM: u64 = 71;
const COOKIE_STREAM: u64 = 72;
const CSRF_STREAM: u64 = 73;
const BEARER_STREAM: u64 = 74;

/// The client id and secret of an application installed in the account (OAuth 2.0).
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCredentials {
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
}

impl Default for ClientCredentials {
    /// The documented values of the demo account. They guard nothing.
    fn default() -> Self {
        Self { client_id: "demo-client-id".to_owned(), client_secret: "demo-client-secret".to_owned() }
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientCredentials(…)")
    }
}

/// Name and password of a user of the account.
#[derive(Clone, PartialEq, Eq)]
pub struct UserCredentials {
    /// Login name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl Default for UserCredentials {
    /// The documented values of the demo account. They guard nothing.
    fn default() -> Self {
        Self { username: "demo-user".to_owned(), password: "demo-password".to_owned() }
    }
}

impl fmt::Debug for UserCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UserCredentials(…)")
    }
}

/// Who may have a token, and how long it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// The application that Sentinel knows.
    pub client: ClientCredentials,
    /// The user that the login service knows.
    pub user: UserCredentials,
    /// Life of a Sentinel token in whole seconds.
    pub token_life_s: u32,
    /// Longest life of a login session, milliseconds.
    pub session_life_ms: i64,
    /// A session that is not refreshed for this long ends, milliseconds.
    pub session_idle_ms: i64,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            client: ClientCredentials::default(),
            user: UserCredentials::default(),
            token_life_s: 3_600,
            session_life_ms: 28_800_000,
            session_idle_ms: 330_000,
        }
    }
}

/// A bearer that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum BearerRefusal {
    #[error("the bearer token is not one of this account")]
    Unknown,
    #[error("the bearer token has expired")]
    Expired,
    #[error("the bearer token was revoked")]
    Revoked,
}

/// A status other than 200 of the token services, with its body.
#[derive(Debug)]
pub(super) struct TokenError {
    pub(super) status: u16,
    /// The error word of RFC 6749, or none where the login service answers.
    pub(super) oauth_error: Option<&'static str>,
    pub(super) message: &'static str,
    /// The login family's internal code.
    pub(super) internal_code: u32,
}

impl TokenError {
    fn oauth(status: u16, error: &'static str, message: &'static str) -> Self {
        Self { status, oauth_error: Some(error), message, internal_code: 0 }
    }

    fn login(status: u16, message: &'static str, internal_code: u32) -> Self {
        Self { status, oauth_error: None, message, internal_code }
    }
}

#[derive(Debug)]
struct Session {
    cookie: String,
    csrf: String,
    bearer: String,
    opened_ms: i64,
    refreshed_ms: i64,
}

/// Issues and checks tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    config: TokenConfig,
    api_key: Credentials,
    account: String,
    seed: u64,
    issued: u64,
    revoked_up_to: u64,
    sessions: VecDeque<Session>,
}

impl Tokens {
    pub(super) fn new(config: TokenConfig, api_key: Credentials, account: &str, seed: u64) -> Self {
        let account = account.to_owned();
        Self { config, api_key, account, seed, issued: 0, revoked_up_to: 0, sessions: VecDeque::new() }
    }

    /// Ends every token and session issued so far.
    pub(super) fn revoke_all(&mut self) {
        self.revoked_up_to = self.issued;
        self.sessions.clear();
    }

    /// Sentinel's answer to a form with client credentials.
    pub(super) fn client_token(
        &mut self,
        content_type: Option<&str>,
        form: &[u8],
        with_expires_in: bool,
        now_ms: i64,
    ) -> Result<Value, TokenError> {
        let is_form = content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if !is_form {
            return Err(TokenError::oauth(400, "invalid_request", "The body must be a form"));
        }
        let field = |name: &str| form_field(form, name);
        let (Some(id), Some(secret)) = (field("client_id"), field("client_secret")) else {
            return Err(TokenError::oauth(400, "invalid_request", "client_id and client_secret are required"));
        };
        if field("grant_type").as_deref() != Some("client_credentials") {
            return Err(TokenError::oauth(400, "unsupported_grant_type", "grant_type must be client_credentials"));
        }
        let known = &self.config.client;
        if id != known.client_id || secret != known.client_secret {
            return Err(TokenError::oauth(401, "invalid_client", "Client authentication failed"));
        }
        self.issued += 1;
        let issued_s = now_ms / 1000;
        let claims = json!({
            "aud": format!("le{}", self.account), "azp": id, "scope": SCOPE, "iss": "Sentinel",
            "iat": issued_s, "exp": issued_s + i64::from(self.config.token_life_s), "jti": self.issued,
        });
        let mut answer = json!({ "access_token": self.jwt(&claims), "token_type": "Bearer" });
        if with_expires_in {
            answer["expires_in"] = json!(self.config.token_life_s);
        }
        Ok(answer)
    }

    /// The login service's answer and the value of its `Session_id` cookie.
    ///
    /// Takes a user's password, an API key, or client credentials in the key's first two fields.
    pub(super) fn login(&mut self, body: &[u8], host: &str, now_ms: i64) -> Result<(Value, String), TokenError> {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let field = |name: &str| body.get(name).and_then(Value::as_str);
        let Some(username) = field("username") else {
            return Err(TokenError::login(400, "username is required", 1));
        };
        let key = &self.api_key;
        let client = &self.config.client;
        let by_password = field("password") == Some(&self.config.user.password);
        let by_key = field("appKey") == Some(&key.app_key)
            && field("secret") == Some(&key.app_secret)
            && field("accessToken") == Some(&key.access_token)
            && field("accessTokenSecret") == Some(&key.access_token_secret);
        let by_client = field("appKey") == Some(&client.client_id) && field("secret") == Some(&client.client_secret);
        if username != self.config.user.username || !(by_password || by_key || by_client) {
            return Err(TokenError::login(401, "Wrong user name or password", 2));
        }
        self.issued += 1;
        let session = Session {
            cookie: self.hex(COOKIE_STREAM),
            csrf: self.hex(CSRF_STREAM),
            bearer: self.hex(BEARER_STREAM),
            opened_ms: now_ms,
            refreshed_ms: now_ms,
        };
        let base_uris: Vec<Value> = super::answer::SERVICES
            .iter()
            .map(|service| json!({ "account": self.account, "baseURI": host, "service": service }))
            .collect();
        let answer = json!({
            "csrf": session.csrf, "wsuk": "511009988776655443",
            "config": {
                "loginName": username, "userId": "2200114410", "userPrivileges": [100, 101, 1730],
                "serverCurrentTime": now_ms, "timeDiff": 0, "serverTimeZoneName": "Europe/London",
                "serverTimeGMTDiff": 0, "isLPA": false, "isAdmin": true, "accountTimeZoneId": "Europe/London",
            },
            "csdsCollectionResponse": { "baseURIs": base_uris },
            "accountData": { "agentGroupsData": {
                "items": [{ "id": -1, "deleted": false, "name": "Main Group" }], "revision": 1,
            }},
            "sessionTTl": self.config.session_life_ms.to_string(),
            "bearer": session.bearer,
        });
        let cookie = session.cookie.clone();
        if self.sessions.len() >= SESSIONS_KEPT {
            self.sessions.pop_front();
        }
        self.sessions.push_back(session);
        Ok((answer, cookie))
    }

    /// Keeps a session alive.
    pub(super) fn refresh(&mut self, cookies: Option<&str>, body: &[u8], now_ms: i64) -> Result<(), TokenError> {
        let place = self.session(cookies, body, now_ms)?;
        self.sessions[place].refreshed_ms = now_ms;
        Ok(())
    }

    /// Ends a session; its bearer is void afterwards.
    pub(super) fn logout(&mut self, cookies: Option<&str>, body: &[u8], now_ms: i64) -> Result<(), TokenError> {
        let place = self.session(cookies, body, now_ms)?;
        self.sessions.remove(place);
        Ok(())
    }

    /// Checks the value behind `Bearer`.
    pub(super) fn check(&self, bearer: &str, now_ms: i64) -> Result<(), BearerRefusal> {
        if let Some(session) = self.sessions.iter().find(|session| session.bearer == bearer) {
            return if self.is_alive(session, now_ms) { Ok(()) } else { Err(BearerRefusal::Expired) };
        }
        let (signed, signature) = bearer.rsplit_once('.').ok_or(BearerRefusal::Unknown)?;
        if signature != self.sign(signed) {
            return Err(BearerRefusal::Unknown);
        }
        let payload = signed.split_once('.').map_or("", |(_, payload)| payload);
        let claims = URL_SAFE_NO_PAD.decode(payload).map_err(|_| BearerRefusal::Unknown)?;
        let claims: Value = serde_json::from_slice(&claims).map_err(|_| BearerRefusal::Unknown)?;
        if claims["jti"].as_u64().is_none_or(|number| number <= self.revoked_up_to) {
            return Err(BearerRefusal::Revoked);
        }
        let expires_ms = claims["exp"].as_i64().unwrap_or(0).saturating_mul(1000);
        if now_ms < expires_ms { Ok(()) } else { Err(BearerRefusal::Expired) }
    }

    fn is_alive(&self, session: &Session, now_ms: i64) -> bool {
        now_ms - session.opened_ms < self.config.session_life_ms
            && now_ms - session.refreshed_ms < self.config.session_idle_ms
    }

    /// The place of the session that cookie and csrf name together.
    fn session(&self, cookies: Option<&str>, body: &[u8], now_ms: i64) -> Result<usize, TokenError> {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let pairs = cookies.unwrap_or("").split(';').filter_map(|pair| pair.trim().split_once('='));
        let cookie = pairs.filter(|(name, _)| *name == "Session_id").map(|(_, value)| value).next();
        let found = self.sessions.iter().position(|session| Some(session.cookie.as_str()) == cookie);
        let place = found.filter(|&place| self.is_alive(&self.sessions[place], now_ms)).ok_or(TokenError::login(
            401,
            "No such session",
            11,
        ))?;
        if body.get("csrf").and_then(Value::as_str) != Some(&self.sessions[place].csrf) {
            return Err(TokenError::login(401, "CSRF token invalid! It is the one of the login answer", 10));
        }
        Ok(place)
    }

    fn jwt(&self, claims: &Value) -> String {
        let header = json!({ "alg": "HS256", "kid": "demo" });
        let coded = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = coded.join(".");
        format!("{signed}.{}", self.sign(&signed))
    }

    fn sign(&self, text: &str) -> String {
        let key = mix(self.seed, SECRET_STREAM, 0).to_le_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes any key length");
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// 64 hexadecimal digits, others for each stream and each issue.
    fn hex(&self, stream: u64) -> String {
        let words = (0..4).map(|word| mix(self.seed, stream, self.issued * 4 + word));
        words.map(|word| format!("{word:016x}")).collect()
    }
}

fn form_field(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    percent_decode(&value.replace('+', " "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
    const GOOD: &[u8] = b"client_id=demo-client-id&client_secret=demo-client-secret&grant_type=client_credentials";

    fn tokens() -> Tokens {
        Tokens::new(TokenConfig::default(), Credentials::default(), "40112233", 1)
    }

    #[test]
    fn a_token_says_when_it_ends_and_ends_then() {
        let mut tokens = tokens();
        let answer = tokens.client_token(FORM, GOOD, true, 5_000_500).unwrap();
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3_600)));
        let token = answer["access_token"].as_str().unwrap();
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(5_000), Some(8_600)));
        assert_eq!(tokens.check(token, 8_599_999), Ok(()));
        assert_eq!(tokens.check(token, 8_600_000), Err(BearerRefusal::Expired));
        let forged = token.replace('.', ".e30.").replacen(".e30.", ".", 1);
        assert_eq!(tokens.check(&forged, 5_000_500), Err(BearerRefusal::Unknown));
        tokens.revoke_all();
        assert_eq!(tokens.check(token, 5_000_500), Err(BearerRefusal::Revoked));
        let silent = tokens.client_token(FORM, GOOD, false, 0).unwrap();
        assert!(silent.get("expires_in").is_none());
        assert_eq!(tokens.check(silent["access_token"].as_str().unwrap(), 1), Ok(()));
    }

    #[test]
    fn wrong_requests_for_a_token_have_the_words_of_the_standard() {
        let mut tokens = tokens();
        let mut refused = |kind, body: &[u8]| {
            let error = tokens.client_token(kind, body, true, 0).unwrap_err();
            (error.status, error.oauth_error.unwrap())
        };
        assert_eq!(refused(Some("application/json"), GOOD), (400, "invalid_request"));
        assert_eq!(refused(FORM, b"client_id=x&grant_type=client_credentials"), (400, "invalid_request"));
        let other = b"client_id=demo-client-id&client_secret=demo-client-secret&grant_type=password";
        assert_eq!(refused(FORM, other), (400, "unsupported_grant_type"));
        let wrong = b"client_id=demo-client-id&client_secret=x&grant_type=client_credentials";
        assert_eq!(refused(FORM, wrong), (401, "invalid_client"));
    }

    #[test]
    fn a_session_lives_while_it_is_refreshed_and_eight_hours_at_most() {
        let mut tokens = tokens();
        let login = br#"{"username":"demo-user","password":"demo-password"}"#;
        let (answer, cookie) = tokens.login(login, "127.0.0.1:1", 0).unwrap();
        let bearer = answer["bearer"].as_str().unwrap().to_owned();
        let body = json!({ "csrf": answer["csrf"] }).to_string();
        let cookies = format!("a=b; Session_id={cookie}");
        assert_eq!(tokens.check(&bearer, 329_999), Ok(()));
        assert_eq!(tokens.check(&bearer, 330_000), Err(BearerRefusal::Expired));
        for minute in (4..480).step_by(4) {
            tokens.refresh(Some(&cookies), body.as_bytes(), minute * 60_000).unwrap();
        }
        assert_eq!(tokens.check(&bearer, 28_799_999), Ok(()));
        assert_eq!(tokens.check(&bearer, 28_800_000), Err(BearerRefusal::Expired));
        let wrong = tokens.refresh(Some(&cookies), b"{}", 28_799_000).unwrap_err();
        assert_eq!((wrong.status, wrong.internal_code), (401, 10));
        tokens.logout(Some(&cookies), body.as_bytes(), 28_799_000).unwrap();
        assert_eq!(tokens.check(&bearer, 28_799_001), Err(BearerRefusal::Unknown));
    }
}
