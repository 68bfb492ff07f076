//! A running account and a client with its own small signer, for the tests over HTTP.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use hmac::{Hmac, Mac};
use reqwest::{Client, Response};
use serde_json::Value;
use sha1::Sha1;

use super::*;

pub(super) const LISTING: &str = "/data_access_le/account/40112233/le/engagement";

/// A client with its own small signer.
pub(super) struct Lab {
    pub(super) simulator: Simulator,
    pub(super) client: Client,
}

static NONCE: AtomicU64 = AtomicU64::new(1);

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let coded =
        text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    coded.collect()
}

pub(super) fn sign(method: &str, url: &str, nonce: &str) -> String {
    let keys = Credentials::default();
    let now_s = crate::simulator::server::wall_ms() / 1000;
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let oauth = [
        ("oauth_consumer_key", keys.app_key.clone()),
        ("oauth_nonce", nonce.to_owned()),
        ("oauth_signature_method", "HMAC-SHA1".to_owned()),
        ("oauth_timestamp", now_s.to_string()),
        ("oauth_token", keys.access_token.clone()),
        ("oauth_version", "1.0".to_owned()),
    ];
    let mut pairs: Vec<String> = oauth.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
    // What is sent as `sort=start:asc` is signed as `sort=start%3Aasc`.
    pairs.extend(
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.replace(':', "%3A").replace(',', "%2C")),
    );
    pairs.sort();
    let base = format!("{method}&{}&{}", encode(address), encode(&pairs.join("&")));
    let key = format!("{}&{}", keys.app_secret, keys.access_token_secret);
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(base.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let shown = oauth.iter().map(|(k, v)| format!("{k}=\"{}\"", encode(v)));
    let shown: Vec<String> = shown.collect();
    format!("OAuth {}, oauth_signature=\"{}\"", shown.join(", "), encode(&signature))
}

impl Lab {
    pub(super) async fn new(config: SimulatorConfig) -> Self {
        // The tests speak plain HTTP, but the client wants a TLS provider at its making.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { simulator: start(config).await.unwrap(), client }
    }

    pub(super) async fn with_rules(rules: Vec<Rule>) -> Self {
        let script = Script { rules, late: Vec::new() };
        Self::new(SimulatorConfig { world: small(60), script, ..SimulatorConfig::default() }).await
    }

    pub(super) async fn get(&self, url: &str) -> Response {
        let nonce = NONCE.fetch_add(1, Ordering::Relaxed).to_string();
        let header = sign("GET", url, &nonce);
        self.client.get(url).header("Authorization", header).send().await.unwrap()
    }

    /// A signed request with a JSON body, which is no part of the signature.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Response {
        let url = format!("{}{path}", self.simulator.base_url());
        let nonce = NONCE.fetch_add(1, Ordering::Relaxed).to_string();
        let request = self.client.post(&url).header("Authorization", sign("POST", &url, &nonce));
        request.header("Content-Type", "application/json").body(body.to_string()).send().await.unwrap()
    }

    /// The same with a bearer.
    pub(super) async fn post_as(&self, bearer: &str, path: &str, body: &Value) -> Response {
        let url = format!("{}{path}", self.simulator.base_url());
        let request = self.client.post(&url).header("Authorization", format!("Bearer {bearer}"));
        request.header("Content-Type", "application/json").body(body.to_string()).send().await.unwrap()
    }

    pub(super) async fn list(&self, from_ms: i64, to_ms: i64) -> Response {
        let base = self.simulator.base_url();
        self.get(&format!("{base}{LISTING}?startTime={from_ms}&endTime={to_ms}")).await
    }

    pub(super) async fn list_all(&self) -> Response {
        self.list(0, 9_999_999_999_999).await
    }

    pub(super) fn first_file(&self) -> (FileSpec, String) {
        let file = self.simulator.world().files().next().unwrap();
        let url = format!("{}{LISTING}/{}", self.simulator.download_base_url(), file.name());
        (file, url)
    }

    pub(super) fn bytes_of(&self, file: &FileSpec) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_file(self.simulator.world(), file, BodyOptions::default(), &mut bytes).unwrap();
        bytes
    }
}

pub(super) async fn json(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

pub(super) async fn message(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = json(response).await;
    (status, body["error"]["message"].as_str().unwrap().to_owned())
}
