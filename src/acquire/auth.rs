//! OAuth 1.0 (HMAC-SHA1, `Authorization` header): LivePerson's API keys.
//!
//! Follows OAuth Core 1.0 section 9 and RFC 5849 section 3. What is signed is what is sent: the host and port of the
//! URL itself, and every query parameter. A retry, a redirect and a download each get a signature of their own with a
//! new nonce and a new timestamp. Secrets have no `Display`, their `Debug` is `[secret]`, and [`OAuth1Keys::redact`]
//! takes them out of words that a server sent.

use std::fmt;

use base64::Engine as _;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use url::Url;

/// A text that must not be printed. It has no `Display`; `Debug` prints `[secret]`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the text as it stands; white space around it (a trailing newline of a key file) is removed.
    pub fn new(text: impl AsRef<str>) -> Secret {
        Secret(text.as_ref().trim().to_owned())
    }

    /// True when nothing is left after trimming: the setting was there, but empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text itself, for the one place that sends it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn same(&self, other: &Secret) -> bool {
        self.0 == other.0
    }

    /// `text` with every occurrence replaced by `[secret]`.
    pub(super) fn redact(&self, text: &str) -> String {
        // A value of one or two characters would tear the text apart, and is no key.
        if self.0.len() > 2 { text.replace(&self.0, "[secret]") } else { text.to_owned() }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The four values of a LivePerson API key (Campaign Builder → Data Sources → API).
#[derive(Clone, Debug)]
pub struct OAuth1Keys {
    /// `CHATVAULT_APP_KEY`: the consumer key.
    pub app_key: Secret,
    /// `CHATVAULT_APP_SECRET`: the consumer secret.
    pub app_secret: Secret,
    /// `CHATVAULT_ACCESS_TOKEN`: the token.
    pub access_token: Secret,
    /// `CHATVAULT_ACCESS_TOKEN_SECRET`: the token secret.
    pub access_token_secret: Secret,
}

impl OAuth1Keys {
    /// The environment variables that hold the keys, in the order of the fields; named in error messages.
    pub const VARIABLES: [&'static str; 4] =
        ["CHATVAULT_APP_KEY", "CHATVAULT_APP_SECRET", "CHATVAULT_ACCESS_TOKEN", "CHATVAULT_ACCESS_TOKEN_SECRET"];

    /// The key that a simulated account accepts.
    #[cfg(test)]
    pub(crate) fn of_simulator(credentials: &crate::simulator::Credentials) -> OAuth1Keys {
        OAuth1Keys {
            app_key: Secret::new(&credentials.app_key),
            app_secret: Secret::new(&credentials.app_secret),
            access_token: Secret::new(&credentials.access_token),
            access_token_secret: Secret::new(&credentials.access_token_secret),
        }
    }

    /// The variables whose value is empty: these keys cannot sign anything.
    pub fn missing(&self) -> Vec<&'static str> {
        let values = self.values();
        OAuth1Keys::VARIABLES
            .into_iter()
            .zip(values)
            .filter(|(_, value)| value.is_empty())
            .map(|(name, _)| name)
            .collect()
    }

    /// `text` with every occurrence of one of the four values replaced by `[secret]`. Error bodies may echo a key.
    pub fn redact(&self, text: &str) -> String {
        self.values().iter().fold(text.to_owned(), |text, value| value.redact(&text))
    }

    /// The value of the `Authorization` header for one request. `nonce` must never have been used before with the
    /// same timestamp; [`new_nonce`] makes one.
    pub(super) fn authorization(&self, method: &str, url: &Url, timestamp_s: i64, nonce: &str) -> String {
        let timestamp = timestamp_s.to_string();
        let mut oauth = vec![
            ("oauth_consumer_key", self.app_key.expose()),
            ("oauth_token", self.access_token.expose()),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", timestamp.as_str()),
            ("oauth_nonce", nonce),
            ("oauth_version", "1.0"),
        ];
        let base = base_string(method, url, &oauth);
        let signature = sign(&base, self.app_secret.expose(), self.access_token_secret.expose());
        oauth.push(("oauth_signature", signature.as_str()));
        let fields: Vec<String> = oauth.iter().map(|(name, value)| format!("{name}=\"{}\"", encode(value))).collect();
        format!("OAuth {}", fields.join(", "))
    }

    fn values(&self) -> [&Secret; 4] {
        [&self.app_key, &self.app_secret, &self.access_token, &self.access_token_secret]
    }
}

/// A fresh nonce: 128 random bits as 32 hex digits.
pub(super) fn new_nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The signature base string: `METHOD&enc(scheme://host[:port]/path)&enc(sorted parameters)`. The port appears only
/// when it is not the default of the scheme; a fragment never does.
fn base_string(method: &str, url: &Url, oauth: &[(&str, &str)]) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let address = format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());

    let mut parameters: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (encode(&name), encode(&value))).collect();
    parameters.extend(oauth.iter().map(|(name, value)| (encode(name), encode(value))));
    // Sorted by the encoded name, then by the encoded value (RFC 5849, 3.4.1.3.2).
    parameters.sort();
    let joined: Vec<String> = parameters.into_iter().map(|(name, value)| format!("{name}={value}")).collect();

    format!("{}&{}&{}", method.to_ascii_uppercase(), encode(&address), encode(&joined.join("&")))
}

fn sign(base: &str, app_secret: &str, token_secret: &str) -> String {
    let key = format!("{}&{}", encode(app_secret), encode(token_secret));
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(base.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

/// RFC 3986 percent-encoding: everything but the unreserved characters, upper-case hex.
fn encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => {
                encoded.push('%');
                encoded.push(char::from(HEX[usize::from(byte >> 4)]));
                encoded.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    encoded
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn keys(app_key: &str, app_secret: &str, token: &str, token_secret: &str) -> OAuth1Keys {
        OAuth1Keys {
            app_key: Secret::new(app_key),
            app_secret: Secret::new(app_secret),
            access_token: Secret::new(token),
            access_token_secret: Secret::new(token_secret),
        }
    }

    fn awkward_keys() -> OAuth1Keys {
        keys(
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "app&secret/with+signs",
            "aa11bb22cc33dd44ee55ff6600778899",
            "token secret%",
        )
    }

    fn signature_of(header: &str) -> String {
        let start = header.find("oauth_signature=\"").expect("signed") + "oauth_signature=\"".len();
        header[start..].split('"').next().expect("quoted").to_owned()
    }

    #[test]
    fn signs_the_example_of_oauth_core_appendix_a() {
        let keys = keys("dpf43f3p2l4k3l03", "kd94hf93k423kf44", "nnch734d00sl2jdk", "pfkkdhi9sl3r4s00");
        let url = Url::parse("http://photos.example.net/photos?file=vacation.jpg&size=original").unwrap();
        let oauth = [
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_token", "nnch734d00sl2jdk"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "1191242096"),
            ("oauth_nonce", "kllo9940pd9333jh"),
            ("oauth_version", "1.0"),
        ];
        // Base string of appendix A.5.1.
        assert_eq!(
            base_string("GET", &url, &oauth),
            "GET&http%3A%2F%2Fphotos.example.net%2Fphotos&file%3Dvacation.jpg%26oauth_consumer_key%3Ddpf43f3p2l4k3l03\
             %26oauth_nonce%3Dkllo9940pd9333jh%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D1191242096\
             %26oauth_token%3Dnnch734d00sl2jdk%26oauth_version%3D1.0%26size%3Doriginal"
        );
        // Signature of appendix A.5.2: tR3+Ty81lMeYAr/Fid0kMTYa/WM=
        let header = keys.authorization("GET", &url, 1_191_242_096, "kllo9940pd9333jh");
        assert_eq!(signature_of(&header), "tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D");
    }

    /// Made with the PyPI package oauthlib 4.0.1:
    /// `Client(app_key, app_secret, token, token_secret, nonce=…, timestamp=…).sign(url)`.
    #[test]
    fn agrees_with_an_independent_implementation() {
        let cases = [
            (
                "https://va.da.liveperson.net/data_access_le/account/40112233/le/engagement\
                 ?startTime=1718010000000&endTime=1718013600000",
                "siCJKgjbrkrT7mouUo7oQO6s6CA%3D",
            ),
            // A port, an escaped path, `:` and `,` in values, non-ASCII, `+` for a space, an empty and a repeated name.
            (
                "http://127.0.0.1:9090/x/y%20z?sort=start%3Adesc&skillIds=4%2C15&b=%C3%A9+1&a=&a=2",
                "nj4zFZP5dpJ10W%2B9LyuyaY6rdA8%3D",
            ),
        ];
        for (url, expected) in cases {
            let url = Url::parse(url).unwrap();
            let header = awkward_keys().authorization("GET", &url, 1_718_010_000, "6f1b2c3d0a0b4c4d8e8f1a2b3c4d5e6f");
            assert_eq!(signature_of(&header), expected, "{url}");
        }
    }

    #[test]
    fn default_ports_and_fragments_are_not_signed_and_hosts_are_lower_case() {
        let spelled = Url::parse("HTTPS://VA.da.LivePerson.net:443/a#part").unwrap();
        assert_eq!(base_string("get", &spelled, &[]), "GET&https%3A%2F%2Fva.da.liveperson.net%2Fa&");
        let other_port = Url::parse("https://va.da.liveperson.net:8443/a").unwrap();
        assert_eq!(base_string("GET", &other_port, &[]), "GET&https%3A%2F%2Fva.da.liveperson.net%3A8443%2Fa&");
    }

    #[test]
    fn the_host_is_part_of_the_signature() {
        let header = |url: &str| {
            signature_of(&awkward_keys().authorization("GET", &Url::parse(url).unwrap(), 1_718_010_000, "n"))
        };
        assert_ne!(header("https://va.da.liveperson.net/f"), header("https://va-a.da.liveperson.net/f"));
    }

    #[test]
    fn nonces_differ() {
        let nonces: std::collections::HashSet<String> = (0..1000).map(|_| new_nonce()).collect();
        assert_eq!(nonces.len(), 1000);
        assert!(nonces.iter().all(|nonce| nonce.len() == 32));
    }

    #[test]
    fn secrets_do_not_print() {
        let printed = format!("{:?} {:#?}", awkward_keys(), Secret::new("hush"));
        for value in ["0f1e2d3c", "app&secret", "aa11bb22", "token secret", "hush"] {
            assert!(!printed.contains(value), "{printed}");
        }
        assert!(printed.contains("[secret]"));
    }

    #[test]
    fn keys_echoed_by_a_server_are_taken_out() {
        let said = awkward_keys().redact("unknown key 0f1e2d3c4b5a69788796a5b4c3d2e1f0 (app&secret/with+signs)");
        assert_eq!(said, "unknown key [secret] ([secret])");
    }

    #[test]
    fn empty_keys_are_named() {
        let keys = keys("a", " ", "b", "\n");
        assert_eq!(keys.missing(), ["CHATVAULT_APP_SECRET", "CHATVAULT_ACCESS_TOKEN_SECRET"]);
    }

    #[test]
    fn only_unreserved_characters_stay_as_they_are() {
        assert_eq!(encode("aZ09-._~"), "aZ09-._~");
        assert_eq!(encode("a b+c%&=/:,é*'()!"), "a%20b%2Bc%25%26%3D%2F%3A%2C%C3%A9%2A%27%28%29%21");
    }
}
