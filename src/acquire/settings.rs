//! What a run needs to know, already resolved: no file and no environment is read here.
//!
//! [`AcquireSettings::new`] gives the defaults of the contract (section 2); the caller overwrites fields. What cannot
//! work is named by [`AcquireSettings::check`] before the first request.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use crate::archive::Clock;

use super::apis::Sessions;
use super::auth::OAuth1Keys;
use super::data_access::{DataAccess, DataType, RETENTION};
use super::domain::{DEFAULT_BASE, DomainCheck};
use super::error::AcquireError;
use super::history::HistoryApi;
use super::host::{HostRule, is_loopback};
use super::operations::OperationsApi;
use super::plan::ListingPlan;
use super::retry::RetryPolicy;
use super::source::shown;
use super::token::{ClientCredentials, LoginCredentials};

/// `[endpoints]` of `vault.toml`, as far as this module uses it.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// `csds`: the Domain API itself.
    pub csds: Option<Url>,
    /// `data_access`: where listings are asked for, instead of the region's host.
    pub data_access: Option<Url>,
    /// Bases of the other services by their name in the Domain API: `msgHist`, `engHistDomain`, `leDataReporting`,
    /// `msgEwtAPI`, `sentinel`, `agentVep`.
    pub services: BTreeMap<String, Url>,
    /// `data_access_files`: further hosts (name and port) that listings may name for downloads. Hosts under
    /// `liveperson.net` need no entry; the simulator's second host does.
    pub data_access_files: Vec<Url>,
}

/// Whether a stream that the keys may not read is a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamMode {
    /// `on`: a refusal (403, 404) is reported as a failure.
    On,
    /// `auto`: a refusal means that the stream is not for these keys, and is skipped.
    Auto,
}

/// One stream to acquire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamChoice {
    /// The data type.
    pub data_type: DataType,
    /// What a refusal means.
    pub mode: StreamMode,
}

/// A history API to follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryChoice {
    /// Which.
    pub api: HistoryApi,
    /// What a refusal means.
    pub mode: StreamMode,
}

/// An API of operational figures to poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationsChoice {
    /// Which.
    pub api: OperationsApi,
    /// What a refusal means.
    pub mode: StreamMode,
    /// Whether this run asks for what is told per interval or stretch of time, as far as it is due.
    pub intervals: bool,
    /// Whether this run asks how things are now.
    pub states: bool,
}

/// Everything a run is told. All durations are limits or waits of this run; nothing is read from elsewhere.
#[derive(Clone, Debug)]
pub struct AcquireSettings {
    /// LivePerson account number: letters and digits.
    pub account_id: String,
    /// Scheme and host of the Data Access listings.
    pub data_access: Url,
    /// The Domain API; `None` leaves its look-up out.
    pub domain_api: Option<Url>,
    /// Further hosts that may be asked for files, see [`Endpoints::data_access_files`].
    pub allowed: Vec<Url>,
    /// Configured bases of other services, see [`Endpoints::services`]; the Domain API is asked for the rest.
    pub services: BTreeMap<String, Url>,
    /// The API key. May be empty where no stream needs it.
    pub keys: OAuth1Keys,
    /// Client credentials, used for the APIs that take them where there is no API key.
    pub client: Option<ClientCredentials>,
    /// A user's login, the last resort.
    pub login: Option<LoginCredentials>,
    /// Tokens that several runs share. A run ends its session itself unless `keep_sessions` is set.
    pub sessions: Sessions,
    /// For a caller that runs again soon, and calls [`end_sessions`](super::end_sessions) at last.
    pub keep_sessions: bool,
    /// The history APIs to follow; default: none.
    pub histories: Vec<HistoryChoice>,
    /// The APIs of operational figures to poll; default: none.
    pub operations: Vec<OperationsChoice>,
    /// What to acquire; default: `data-access/engagement`, on.
    pub streams: Vec<StreamChoice>,
    /// How far back the first run asks; at most what LivePerson keeps. Later runs go on where the ledger ends, however
    /// long ago that was. Default: 30 days.
    pub start: Duration,
    /// An hour is sealed when a listing made this long after its end agrees with one before; less than LivePerson's
    /// retention. LivePerson has 99.5 % of an hour's files within 6 hours. Default: 8 hours.
    pub seal_after: Duration,
    /// How the range is cut into listing calls.
    pub listing: ListingPlan,
    /// Requests at the same time, 1 to 64. Default: 4.
    pub connections: usize,
    /// Evenly spaced requests per second, above 0. Default: 5.
    pub requests_per_second: f64,
    /// A connection on which no byte comes for this long is given up. Default: 60 s.
    pub no_progress_timeout: Duration,
    /// When to try again.
    pub retry: RetryPolicy,
    /// The time that windows end at (a simulated account may live in another year). Default: the machine's clock, which
    /// is also what signatures carry in any case.
    pub clock: Clock,
}

impl AcquireSettings {
    /// The defaults for an account in a region (`va`, `lo`, `sy`).
    ///
    /// # Errors
    /// [`AcquireError::Configuration`] for an unknown region without a `data_access` endpoint.
    pub fn new(
        account_id: &str,
        region: &str,
        keys: OAuth1Keys,
        endpoints: &Endpoints,
    ) -> Result<AcquireSettings, AcquireError> {
        let data_access = match &endpoints.data_access {
            Some(url) => url.clone(),
            None => DataAccess::host_of_region(region).ok_or_else(|| {
                AcquireError::Configuration(format!("[account] region is {:?}; it is va, lo or sy", shown(region)))
            })?,
        };
        // An account behind a configured endpoint need not exist at api.liveperson.net, so that is not asked about it.
        let domain_api = match (&endpoints.csds, &endpoints.data_access) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(Url::parse(DEFAULT_BASE).expect("a constant that parses")),
        };
        Ok(AcquireSettings {
            account_id: account_id.to_owned(),
            data_access,
            domain_api,
            allowed: endpoints.data_access_files.clone(),
            services: endpoints.services.clone(),
            keys,
            client: None,
            login: None,
            sessions: Sessions::default(),
            keep_sessions: false,
            histories: Vec::new(),
            operations: Vec::new(),
            streams: vec![StreamChoice { data_type: DataType::Engagement, mode: StreamMode::On }],
            start: RETENTION,
            seal_after: Duration::from_secs(8 * 3600),
            listing: ListingPlan::default(),
            connections: 4,
            requests_per_second: 5.0,
            no_progress_timeout: Duration::from_secs(60),
            retry: RetryPolicy::default(),
            clock: Clock::System,
        })
    }

    /// Takes over what the Domain API said, so that a further run need not ask it again.
    pub fn remember(&mut self, domain: &DomainCheck) {
        let DomainCheck::Services(services) = domain else { return };
        // What is remembered counts as configured, so only LivePerson's own hosts may be.
        let Ok(rule) = HostRule::new([]) else { return };
        for (service, host) in services {
            if let Ok(base) = Url::parse(&format!("https://{host}"))
                && rule.check(&base).is_ok()
            {
                self.services.entry(service.clone()).or_insert(base);
            }
        }
        self.domain_api = None;
    }

    /// Names the first setting that cannot work; gives the host rule that follows from the endpoints.
    pub(super) fn check(&self) -> Result<HostRule, AcquireError> {
        let wrong = |text: String| Err(AcquireError::Configuration(text));
        if self.account_id.is_empty() || !self.account_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return wrong(format!("[account] id is {:?}; it is a LivePerson account number", shown(&self.account_id)));
        }
        let missing = self.keys.missing();
        // Data Access takes nothing else, so "auto" leaves it out; half a key is a mistake in any case.
        let is_on = self.streams.iter().any(|choice| choice.mode == StreamMode::On);
        let is_needed = is_on || (self.client.is_none() && self.login.is_none());
        if !missing.is_empty() && (is_needed || missing.len() < OAuth1Keys::VARIABLES.len()) {
            return Err(AcquireError::NoApiKey { missing });
        }
        if self.no_progress_timeout.is_zero() {
            return wrong("the no-progress timeout is 0".to_owned());
        }
        if self.seal_after >= RETENTION {
            return wrong("[sync] seal_after is 30 days or more; LivePerson has deleted the files by then".to_owned());
        }
        let configured = [&self.data_access].into_iter().chain(&self.domain_api).chain(&self.allowed);
        let configured = configured.chain(self.services.values());
        for url in configured.clone() {
            HostRule::new([url])
                .map_err(|refusal| AcquireError::Configuration(format!("an endpoint is refused: {refusal}")))?;
        }
        // Loopback stands for the simulator. A real listing host that could hand out loopback addresses would let a
        // listing reach into this machine.
        if !is_loopback(&self.data_access) && self.allowed.iter().any(is_loopback) {
            return wrong("data_access_files names loopback, but data_access does not".to_owned());
        }
        HostRule::new(configured).map_err(|refusal| AcquireError::Configuration(refusal.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::auth::Secret;
    use super::*;

    fn keys() -> OAuth1Keys {
        let secret = |text: &str| Secret::new(text);
        OAuth1Keys {
            app_key: secret("app-key-value"),
            app_secret: secret("app-secret-value"),
            access_token: secret("token-value"),
            access_token_secret: secret("token-secret-value"),
        }
    }

    fn complaint(change: impl FnOnce(&mut AcquireSettings)) -> String {
        let mut settings = AcquireSettings::new("40112233", "va", keys(), &Endpoints::default()).unwrap();
        change(&mut settings);
        match settings.check() {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn defaults_work_and_print_no_secret() {
        let settings = AcquireSettings::new("40112233", "lo", keys(), &Endpoints::default()).unwrap();
        assert!(settings.check().is_ok());
        assert_eq!(settings.data_access.as_str(), "https://lo.da.liveperson.net/");
        assert_eq!(settings.domain_api.as_ref().map(Url::as_str), Some("https://api.liveperson.net/"));
        assert!(!format!("{settings:?}").contains("-value"));
    }

    #[test]
    fn a_configured_endpoint_keeps_the_account_from_the_real_domain_api() {
        let endpoints =
            Endpoints { data_access: Some(Url::parse("http://127.0.0.1:9").unwrap()), ..Endpoints::default() };
        let settings = AcquireSettings::new("1", "nowhere", keys(), &endpoints).unwrap();
        assert_eq!(settings.domain_api, None);
    }

    #[test]
    fn what_cannot_work_is_named() {
        assert!(AcquireSettings::new("1", "us", keys(), &Endpoints::default()).unwrap_err().to_string().contains("us"));
        let url = |text: &str| Url::parse(text).unwrap();
        assert_eq!(complaint(|_| ()), "fine");
        for id in ["", "../x", "4 0", "1/2"] {
            assert!(complaint(|settings| settings.account_id = id.into()).contains("[account] id"), "{id}");
        }
        assert!(complaint(|settings| settings.keys.app_secret = Secret::new("")).contains("CHATVAULT_APP_SECRET"));
        let without_key = |settings: &mut AcquireSettings, mode| {
            let none = || Secret::new("");
            settings.keys =
                OAuth1Keys { app_key: none(), app_secret: none(), access_token: none(), access_token_secret: none() };
            settings.client = Some(ClientCredentials { id: Secret::new("id"), secret: Secret::new("secret") });
            settings.streams[0].mode = mode;
        };
        assert_eq!(complaint(|settings| without_key(settings, StreamMode::Auto)), "fine");
        assert!(complaint(|settings| without_key(settings, StreamMode::On)).contains("CHATVAULT_APP_KEY"));
        assert!(complaint(|settings| settings.data_access = url("http://da.example.org")).contains("plain http"));
        assert!(complaint(|settings| settings.allowed = vec![url("http://127.0.0.1:22")]).contains("loopback"));
        assert!(complaint(|settings| settings.seal_after = RETENTION).contains("seal_after"));
        assert!(complaint(|settings| settings.no_progress_timeout = Duration::ZERO).contains("no-progress"));
    }
}
