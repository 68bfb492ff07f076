//! Verifies OAuth 1.0 HMAC-SHA1 signatures, written from OAuth Core 1.0 section 9.
//!
//! Every signed route passes here first. The verifier answers with the check that failed, so that a
//! client author sees why. Nonces are remembered for the tolerated clock difference only.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use thiserror::Error;

/// Tolerated difference between the client's clock and ours, seconds.
pub const CLOCK_TOLERANCE_S: i64 = 300;
/// Most nonces remembered at a time; the oldest give way.
const NONCES_KEPT: usize = 200_000;

/// The four values of an API key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Consumer key.
    pub app_key: String,
    /// Consumer secret.
    pub app_secret: String,
    /// Token.
    pub access_token: String,
    /// Token secret.
    pub access_token_secret: String,
}

impl Default for Credentials {
    /// The documented values of the demo account. They guard nothing.
    fn default() -> Self {
        Self {
            app_key: "demo-app-key".to_owned(),
            app_secret: "demo-app-secret".to_owned(),
            access_token: "demo-access-token".to_owned(),
            access_token_secret: "demo-access-token-secret".to_owned(),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credentials(…)")
    }
}

/// The check a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No `Authorization: OAuth …` header.
    #[error("no OAuth Authorization header")]
    NoHeader,
    /// A parameter is missing, doubled or not percent-encoded properly.
    #[error("parameter {0} is missing or malformed")]
    Parameter(&'static str),
    /// Unknown consumer key.
    #[error("unknown oauth_consumer_key")]
    ConsumerKey,
    /// Unknown token.
    #[error("unknown oauth_token")]
    Token,
    /// Another method than HMAC-SHA1.
    #[error("oauth_signature_method is not HMAC-SHA1")]
    Method,
    /// Another version than 1.0.
    #[error("oauth_version is not 1.0")]
    Version,
    /// The time is too far from ours.
    #[error("oauth_timestamp is more than 300 seconds away")]
    Timestamp,
    /// The nonce was used before.
    #[error("oauth_nonce was used before")]
    Nonce,
    /// The signature does not fit the request.
    #[error("oauth_signature does not fit this request")]
    Signature,
}

/// What is signed of a request.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// Method in capitals.
    pub method: &'a str,
    /// Scheme, host and port as the client names them, without a path: `http://127.0.0.1:9090`.
    pub origin: &'a str,
    /// Path as sent, still percent-encoded.
    pub path: &'a str,
    /// Query as sent, without the question mark.
    pub query: &'a str,
    /// Value of the `Authorization` header.
    pub authorization: Option<&'a str>,
}

/// Remembers nonces and knows the keys.
#[derive(Debug)]
pub struct Verifier {
    credentials: Credentials,
    seen: HashSet<String>,
    order: VecDeque<(i64, String)>,
}

impl Verifier {
    /// A verifier that accepts one API key.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            seen: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Checks one request at `now_s`, epoch seconds.
    ///
    /// # Errors
    /// [`Refusal`] names the first check that failed.
    pub fn verify(&mut self, request: SignedRequest<'_>, now_s: i64) -> Result<(), Refusal> {
        let header = request.authorization.ok_or(Refusal::NoHeader)?;
        let oauth = parse_header(header)?;
        let field = |name: &'static str| {
            let mut values = oauth.iter().filter(|(key, _)| key == name);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Ok(value.as_str()),
                _ => Err(Refusal::Parameter(name)),
            }
        };
        check(
            field("oauth_consumer_key")? == self.credentials.app_key,
            Refusal::ConsumerKey,
        )?;
        check(
            field("oauth_token")? == self.credentials.access_token,
            Refusal::Token,
        )?;
        check(
            field("oauth_signature_method")? == "HMAC-SHA1",
            Refusal::Method,
        )?;
        if oauth.iter().any(|(key, _)| key == "oauth_version") {
            check(field("oauth_version")? == "1.0", Refusal::Version)?;
        }
        let sent_s: i64 = field("oauth_timestamp")?
            .parse()
            .map_err(|_| Refusal::Timestamp)?;
        check(
            sent_s.abs_diff(now_s) <= CLOCK_TOLERANCE_S.unsigned_abs(),
            Refusal::Timestamp,
        )?;
        let nonce = field("oauth_nonce")?;
        check(!nonce.is_empty(), Refusal::Parameter("oauth_nonce"))?;
        let wanted = signature(
            &base_string(request, &oauth)?,
            &self.credentials.app_secret,
            &self.credentials.access_token_secret,
        );
        check(field("oauth_signature")? == wanted, Refusal::Signature)?;
        self.remember(sent_s, format!("{sent_s} {nonce}"), now_s)
    }

    fn remember(&mut self, sent_s: i64, nonce: String, now_s: i64) -> Result<(), Refusal> {
        while let Some((old_s, _)) = self.order.front()
            && (*old_s < now_s - 2 * CLOCK_TOLERANCE_S || self.order.len() >= NONCES_KEPT)
        {
            if let Some((_, old)) = self.order.pop_front() {
                self.seen.remove(&old);
            }
        }
        check(self.seen.insert(nonce.clone()), Refusal::Nonce)?;
        self.order.push_back((sent_s, nonce));
        Ok(())
    }
}

fn check(holds: bool, refusal: Refusal) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(refusal) }
}

/// Splits `OAuth k="v", …` and decodes keys and values.
fn parse_header(header: &str) -> Result<Vec<(String, String)>, Refusal> {
    let (scheme, rest) = header.split_once(' ').ok_or(Refusal::NoHeader)?;
    check(scheme.eq_ignore_ascii_case("OAuth"), Refusal::NoHeader)?;
    let mut pairs = Vec::new();
    for pair in rest
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair
            .split_once('=')
            .ok_or(Refusal::Parameter("of the header"))?;
        let value = value
            .trim()
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        let value = value.ok_or(Refusal::Parameter("of the header"))?;
        let decoded = percent_decode(key.trim()).zip(percent_decode(value));
        pairs.push(decoded.ok_or(Refusal::Parameter("of the header"))?);
    }
    Ok(pairs)
}

/// The signature base string of section 9.1.
fn base_string(request: SignedRequest<'_>, oauth: &[(String, String)]) -> Result<String, Refusal> {
    let signed = oauth
        .iter()
        .filter(|(key, _)| key != "oauth_signature" && key != "realm");
    let mut parameters: Vec<(String, String)> = signed
        .map(|(key, value)| (percent_encode(key), percent_encode(value)))
        .collect();
    for pair in request.query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent_decode(&text.replace('+', " "));
        let pair = decode(key)
            .zip(decode(value))
            .ok_or(Refusal::Parameter("of the query"))?;
        parameters.push((percent_encode(&pair.0), percent_encode(&pair.1)));
    }
    parameters.sort();
    let joined: Vec<String> = parameters
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let url = format!("{}{}", request.origin.to_ascii_lowercase(), request.path);
    Ok([request.method, &url, &joined.join("&")]
        .map(percent_encode)
        .join("&"))
}

fn signature(base: &str, secret: &str, token_secret: &str) -> String {
    let key = format!(
        "{}&{}",
        percent_encode(secret),
        percent_encode(token_secret)
    );
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes any key length");
    mac.update(base.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// RFC 3986: everything but letters, digits and `-._~` becomes `%XX`.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The opposite; none for a broken escape or bytes that are not UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(rest.next())? * 16 + digit(rest.next())?;
            bytes.push(value as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_191_242_096;
    /// The worked example of OAuth Core 1.0, appendix A.5.
    const HEADER: &str = "OAuth realm=\"http://photos.example.net/\", \
        oauth_consumer_key=\"dpf43f3p2l4k3l03\", oauth_token=\"nnch734d00sl2jdk\", \
        oauth_signature_method=\"HMAC-SHA1\", \
        oauth_signature=\"tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D\", \
        oauth_timestamp=\"1191242096\", oauth_nonce=\"kllo9940pd9333jh\", oauth_version=\"1.0\"";

    fn request(header: &str) -> SignedRequest<'_> {
        SignedRequest {
            method: "GET",
            origin: "http://photos.example.net",
            path: "/photos",
            query: "file=vacation.jpg&size=original",
            authorization: Some(header),
        }
    }

    fn verifier() -> Verifier {
        Verifier::new(Credentials {
            app_key: "dpf43f3p2l4k3l03".to_owned(),
            app_secret: "kd94hf93k423kf44".to_owned(),
            access_token: "nnch734d00sl2jdk".to_owned(),
            access_token_secret: "pfkkdhi9sl3r4s00".to_owned(),
        })
    }

    #[test]
    fn the_example_of_the_standard_is_accepted_once() {
        let mut verifier = verifier();
        assert_eq!(verifier.verify(request(HEADER), NOW_S), Ok(()));
        assert_eq!(verifier.verify(request(HEADER), NOW_S), Err(Refusal::Nonce));
    }

    #[test]
    fn each_failed_check_has_its_name() {
        let refused = |from: &str, to: &str, now_s| {
            verifier()
                .verify(request(&HEADER.replace(from, to)), now_s)
                .unwrap_err()
        };
        assert_eq!(refused("dpf43", "xxx", NOW_S), Refusal::ConsumerKey);
        assert_eq!(refused("nnch7", "xxx", NOW_S), Refusal::Token);
        assert_eq!(refused("HMAC-SHA1", "PLAINTEXT", NOW_S), Refusal::Method);
        assert_eq!(refused("\"1.0\"", "\"2.0\"", NOW_S), Refusal::Version);
        assert_eq!(refused("tR3", "tR4", NOW_S), Refusal::Signature);
        assert_eq!(refused("", "", NOW_S + 301), Refusal::Timestamp);
        assert_eq!(
            refused("oauth_nonce", "nonce", NOW_S),
            Refusal::Parameter("oauth_nonce")
        );
        assert_eq!(refused("OAuth ", "Bearer ", NOW_S), Refusal::NoHeader);
    }

    #[test]
    fn a_changed_query_or_host_does_not_fit() {
        let mut other = request(HEADER);
        other.query = "file=vacation.jpg&size=small";
        assert_eq!(verifier().verify(other, NOW_S), Err(Refusal::Signature));
        other = request(HEADER);
        other.origin = "http://photos.example.net:8080";
        assert_eq!(verifier().verify(other, NOW_S), Err(Refusal::Signature));
    }
}
