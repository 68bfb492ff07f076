//! Which hosts get a request: the rule of the contract, as a pure function.
//!
//! A signed request tells its receiver a valid signature of ours, so an address that a listing or a redirect names is
//! used only if its host (name and port) is a configured one or, over https, lies under `liveperson.net`. Plain http
//! is for loopback, and only where loopback is what the user configured (the simulator).

use std::fmt;

use url::{Host, Url};

/// Why an address is not requested. `Display` is a sentence part for reports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostRefusal {
    /// Neither http nor https.
    #[error("its scheme is {0:?}, not https")]
    Scheme(String),
    /// The address carries a user name or password, the usual disguise of a foreign host.
    #[error("it carries a user name before the host {0}")]
    UserInfo(String),
    /// http to a host that is not loopback.
    #[error("plain http is accepted for loopback only, not for {0}")]
    PlainHttp(String),
    /// The host is neither configured nor LivePerson's.
    #[error("its host {0} is neither configured nor under liveperson.net")]
    Foreign(String),
}

/// The hosts that may be asked. Made once per run from the configured endpoints.
#[derive(Clone, Debug)]
pub struct HostRule {
    configured: Vec<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl HostRule {
    /// Checks each configured endpoint (scheme, no user name, http for loopback only) and remembers its origin.
    pub fn new<'a>(configured: impl IntoIterator<Item = &'a Url>) -> Result<HostRule, HostRefusal> {
        let mut origins = Vec::new();
        for url in configured {
            check_form(url)?;
            origins.push(Origin::of(url));
        }
        Ok(HostRule { configured: origins })
    }

    /// Whether `url` may be requested.
    pub fn check(&self, url: &Url) -> Result<(), HostRefusal> {
        check_form(url)?;
        if self.configured.contains(&Origin::of(url)) {
            return Ok(());
        }
        if url.scheme() == "https" && is_under_liveperson(url) {
            return Ok(());
        }
        Err(HostRefusal::Foreign(shown_host(url)))
    }
}

impl Origin {
    fn of(url: &Url) -> Origin {
        Origin {
            scheme: url.scheme().to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default(),
        }
    }
}

/// True for `localhost`, 127.0.0.0/8 and ::1. No name is looked up.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn check_form(url: &Url) -> Result<(), HostRefusal> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(HostRefusal::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HostRefusal::UserInfo(shown_host(url)));
    }
    if url.scheme() == "http" && !is_loopback(url) {
        return Err(HostRefusal::PlainHttp(shown_host(url)));
    }
    Ok(())
}

/// The boundary is a label: `evilliveperson.net` and `liveperson.net.evil.com` are others. `Url` has lower-cased the
/// name and turned homographs into `xn--` labels, and a trailing dot makes the comparison fail, which is wanted.
fn is_under_liveperson(url: &Url) -> bool {
    matches!(url.host(), Some(Host::Domain(name)) if name.ends_with(".liveperson.net"))
}

/// Host and port for a message, control characters escaped and long names cut.
fn shown_host(url: &Url) -> String {
    struct Shown<'a>(&'a Url);
    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let host = self.0.host_str().unwrap_or("(none)");
            for character in host.chars().take(100) {
                write!(f, "{}", character.escape_debug())?;
            }
            self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
        }
    }
    Shown(url).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn check(configured: &[&str], asked: &[(&str, bool)]) {
        let configured: Vec<Url> = configured.iter().map(|text| url(text)).collect();
        let rule = HostRule::new(&configured).unwrap();
        for (text, allowed) in asked {
            assert_eq!(rule.check(&url(text)).is_ok(), *allowed, "{text}: {:?}", rule.check(&url(text)));
        }
    }

    #[test]
    fn liveperson_over_https() {
        check(
            &["https://va.da.liveperson.net"],
            &[
                ("https://va.da.liveperson.net/f", true),
                ("https://va-a.da.liveperson.net/f", true),
                ("https://VA-A.DA.LivePerson.NET/f", true),
                ("https://va-a.da.liveperson.net:443/f", true),
                ("http://va.da.liveperson.net/f", false),
                ("http://va-a.da.liveperson.net/f", false),
                ("https://liveperson.net.evil.com/f", false),
                ("https://va.da.liveperson.net.evil.com/f", false),
                ("https://evilliveperson.net/f", false),
                ("https://va.da.liveperson.net@evil.com/f", false),
                ("https://va.da.liveperson.net:x@evil.com/f", false),
                ("https://evil.com/va.da.liveperson.net", false),
                ("https://evil.com?.liveperson.net", false),
                ("https://evil.com#.liveperson.net", false),
                (r"https://evil.com\.liveperson.net/f", false),
                ("https://user@va.da.liveperson.net/f", false),
                ("https://va.da.liveperson.net./f", false),
                ("https://liveperson.net./f", false),
                ("https://va.da.l\u{456}veperson.net/f", false), // Cyrillic і
                ("https://xn--lveperson-k2a.net/f", false),
                ("https://169.254.169.254/latest", false),
                ("https://[::1]/f", false),
                ("http://[::1]:9090/f", false),
                ("http://127.0.0.1:9090/f", false),
                ("http://localhost/f", false),
                ("ftp://va.da.liveperson.net/f", false),
                ("file:///etc/passwd", false),
                ("data:text/plain,x", false),
            ],
        );
    }

    #[test]
    fn loopback_only_as_configured() {
        check(
            &["http://127.0.0.1:9090", "http://localhost:9091"],
            &[
                ("http://127.0.0.1:9090/f", true),
                ("http://localhost:9091/f", true),
                ("http://LOCALHOST:9091/f", true),
                ("http://127.0.0.1:9091/f", false),
                ("http://localhost:9090/f", false),
                ("http://localhost:22/f", false),
                ("http://127.0.0.1/f", false),
                ("https://127.0.0.1:9090/f", false),
                ("http://2130706433:9090/f", true), // the same address, spelled as one number
                ("http://localhost.evil.com:9091/f", false),
                ("http://evil.com:9090/f", false),
                ("https://va-a.da.liveperson.net/f", true),
            ],
        );
    }

    #[test]
    fn ipv6_loopback_can_be_configured() {
        check(&["http://[::1]:9090"], &[("http://[::1]:9090/f", true), ("http://[::ffff:127.0.0.1]:9090/f", false)]);
    }

    #[test]
    fn a_configured_https_host_is_not_downgraded() {
        check(
            &["https://proxy.example.org:8443"],
            &[
                ("https://proxy.example.org:8443/f", true),
                ("https://proxy.example.org/f", false),
                ("http://proxy.example.org:8443/f", false),
            ],
        );
    }

    #[test]
    fn configured_endpoints_are_checked_too() {
        for (text, expected) in [
            ("http://da.example.org", HostRefusal::PlainHttp("da.example.org".into())),
            ("http://10.0.0.1:80/x", HostRefusal::PlainHttp("10.0.0.1".into())),
            ("https://me:pw@da.example.org", HostRefusal::UserInfo("da.example.org".into())),
            ("ftp://da.example.org", HostRefusal::Scheme("ftp".into())),
        ] {
            assert_eq!(HostRule::new([&url(text)]).unwrap_err(), expected);
        }
    }
}
