//! The Domain API (CSDS): account and service name → host.
//!
//! Data Access has no service name, so its host is configuration (region or `[endpoints] data_access`). The look-up is
//! made all the same, beside the first listing: an unknown account or another region is the likeliest cause of a 401,
//! and the Domain API tells both without keys. Its failure stops nothing. Other APIs take their hosts from
//! [`DomainCheck::host_of`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::error::Fault;
use super::http::Http;
use super::source::ApiRequest;

/// Where the Domain API is, unless `[endpoints] csds` says otherwise.
pub(super) const DEFAULT_BASE: &str = "https://api.liveperson.net";

/// The whole look-up may take this long; it is a diagnosis, not a need.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the Domain API said about the account.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum DomainCheck {
    /// It was not asked: an endpoint is configured, but none for the Domain API.
    #[default]
    NotAsked,
    /// Service name → host name, as answered.
    Services(BTreeMap<String, String>),
    /// 401: no such account.
    UnknownAccount,
    /// No usable answer, and why.
    Failed(String),
}

impl DomainCheck {
    /// The host name of a service; names are case-sensitive.
    pub fn host_of(&self, service: &str) -> Option<&str> {
        match self {
            DomainCheck::Services(services) => services.get(service).map(String::as_str),
            _ => None,
        }
    }

    /// The region most hosts of the account name (`va`, `lo`, `sy`), if they agree in majority.
    pub fn region(&self) -> Option<&'static str> {
        let DomainCheck::Services(services) = self else { return None };
        let count = |region: &str| {
            let in_region = |host: &&String| {
                let label = host.split('.').next().unwrap_or_default();
                label == region || label.strip_prefix(region).is_some_and(|rest| rest.starts_with('-'))
            };
            services.values().filter(in_region).count()
        };
        ["va", "lo", "sy"].into_iter().find(|region| count(region) * 2 > services.len())
    }
}

/// The request for all services of an account.
fn request(base: &Url, account_id: &str) -> ApiRequest {
    let mut url = base.clone();
    let prefix = base.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{prefix}/api/account/{account_id}/service/baseURI.json"));
    url.set_query(Some("version=1.0"));
    ApiRequest { url, accept: "application/json", json: None }
}

/// Asks once, unsigned, without retries.
pub(super) async fn look_up(http: &Http, base: &Url, account_id: &str) -> DomainCheck {
    let ask = async {
        let reply = http.send_unsigned(&request(base, account_id)).await?;
        reply.into_answer(1 << 20).await
    };
    let answer = match tokio::time::timeout(PATIENCE, ask).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(Fault::Answer { reason, .. })) => return DomainCheck::Failed(http.redact(&reason)),
        Ok(Err(_)) => return DomainCheck::Failed("interrupted".to_owned()),
        Err(_) => return DomainCheck::Failed(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    match answer.status {
        200 => read_services(&answer.body)
            .map_or_else(|| DomainCheck::Failed("the answer is no list of services".to_owned()), DomainCheck::Services),
        401 => DomainCheck::UnknownAccount,
        _ => DomainCheck::Failed(http.redact(&super::source::status_problem(&answer).reason)),
    }
}

/// Reads both shapes: one object (a single service) or `baseURIs` (a list). Entries that do not fit are left out;
/// `None` if the body has neither shape.
fn read_services(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let entries = match value.get("baseURIs") {
        Some(Value::Array(entries)) => entries.as_slice(),
        Some(entry @ Value::Object(_)) => std::slice::from_ref(entry),
        Some(_) => return None,
        None if value.get("baseURI").is_some() => std::slice::from_ref(&value),
        None => return None,
    };
    let text = |entry: &Value, key: &str| Some(entry.get(key)?.as_str()?.to_owned());
    Some(entries.iter().filter_map(|entry| Some((text(entry, "service")?, text(entry, "baseURI")?))).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_read() {
        let list = br#"{"baseURIs":[
            {"service":"msgHist","account":"1","baseURI":"lo.msghist.liveperson.net"},
            {"service":"broken"}, 7,
            {"service":"rtbf","account":"1","baseURI":"lo-a.rtbf.liveperson.net"}]}"#;
        let check = DomainCheck::Services(read_services(list).unwrap());
        assert_eq!(check.host_of("msgHist"), Some("lo.msghist.liveperson.net"));
        assert_eq!(check.host_of("msghist"), None);
        assert_eq!(check.host_of("broken"), None);
        assert_eq!(check.region(), Some("lo"));

        let single = br#"{"service":"msgHist","account":"1","baseURI":"va.msghist.liveperson.net"}"#;
        let check = DomainCheck::Services(read_services(single).unwrap());
        assert_eq!((check.host_of("msgHist"), check.region()), (Some("va.msghist.liveperson.net"), Some("va")));

        let single_in_list = br#"{"baseURIs":{"service":"a","baseURI":"valley.example.org"}}"#;
        let check = DomainCheck::Services(read_services(single_in_list).unwrap());
        assert_eq!((check.host_of("a"), check.region()), (Some("valley.example.org"), None));
    }

    #[test]
    fn anything_else_is_no_answer() {
        for body in ["", "<html>", "{}", "[]", "3", r#"{"baseURIs":"x"}"#] {
            assert_eq!(read_services(body.as_bytes()), None, "{body}");
        }
        assert_eq!(read_services(br#"{"baseURIs":[]}"#), Some(BTreeMap::new()));
        assert_eq!(DomainCheck::Services(BTreeMap::new()).region(), None);
    }

    #[test]
    fn the_request_is_the_documented_one() {
        let base = Url::parse(DEFAULT_BASE).unwrap();
        assert_eq!(
            request(&base, "40112233").url.as_str(),
            "https://api.liveperson.net/api/account/40112233/service/baseURI.json?version=1.0"
        );
    }
}
