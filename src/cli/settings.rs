//! Settings of a run: flag, environment, `vault.toml`, default, in this order; secrets from the environment only.
//!
//! An unknown key in `vault.toml` is an error that names the nearest known one: a setting that is spelt wrong and silently
//! ignored is how archives end up with holes.

use super::exit::{Exit, Failure};
use super::limits::{self, Limits};
use chatvault::acquire::{
    AcquireSettings, ClientCredentials, DataType, Endpoints, HistoryApi, HistoryChoice, LoginCredentials, OAuth1Keys,
    OperationsApi, OperationsChoice, RetryPolicy, Secret, StreamChoice, StreamMode,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::{Table, Value};
use url::Url;

mod template;

pub(crate) use template::template;

/// Name of the settings file of a vault.
pub(crate) const FILE: &str = "vault.toml";

/// What `vault.toml` and the environment say.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) account_id: String,
    pub(crate) region: String,
    pub(crate) streams: Vec<(String, String)>,
    pub(crate) start: Duration,
    pub(crate) seal_after: Duration,
    pub(crate) relist: Duration,
    pub(crate) connections: usize,
    pub(crate) requests_per_second: f64,
    pub(crate) endpoints: Vec<(String, Vec<Url>)>,
    pub(crate) limits: Limits,
}

/// Every key of `vault.toml`; `*` stands for the names listed beside it.
const SECTIONS: [(&str, &[&str]); 5] = [
    ("account", &["id", "region"]),
    ("streams", &STREAMS),
    ("sync", &["start", "connections", "requests_per_second", "seal_after", "relist"]),
    ("limits", &limits::KEYS),
    ("endpoints", &ENDPOINTS),
];

const STREAMS: [&str; 9] = [
    "data-access/engagement",
    "data-access/agent-activity",
    "data-access/web-session",
    "data-access/survey",
    "messaging-interactions",
    "engagement-history",
    "operational-realtime",
    "messaging-operations",
    "agent-metrics",
];

const ENDPOINTS: [&str; 9] = [
    "csds",
    "data_access",
    "data_access_files",
    "msgHist",
    "engHistDomain",
    "leDataReporting",
    "msgEwtAPI",
    "sentinel",
    "agentVep",
];

/// Settings that one value answers, with their variable and what they are without one.
const ORIGINS: [(&str, &str, &str, &str); 11] = [
    ("account", "id", "CHATVAULT_ACCOUNT", ""),
    ("account", "region", "CHATVAULT_REGION", "va"),
    ("sync", "start", "CHATVAULT_START", "30d"),
    ("sync", "seal_after", "CHATVAULT_SEAL_AFTER", "8h"),
    ("sync", "relist", "CHATVAULT_RELIST", "48h"),
    ("sync", "connections", "CHATVAULT_CONNECTIONS", "4"),
    ("sync", "requests_per_second", "CHATVAULT_REQUESTS_PER_SECOND", "5"),
    ("limits", "max_inflate_ratio", "CHATVAULT_MAX_INFLATE_RATIO", "1000"),
    ("limits", "max_inflated_bytes", "CHATVAULT_MAX_INFLATED_BYTES", "256GiB"),
    ("limits", "max_record_bytes", "CHATVAULT_MAX_RECORD_BYTES", "32MiB"),
    ("limits", "memory", "CHATVAULT_MEMORY", "1GiB"),
];

/// Where each setting comes from: name, value, `vault.toml`, the variable, or `default`. Nothing secret is among them.
pub(crate) fn origins(vault: &Path) -> Result<Vec<(String, String, String)>, Failure> {
    let text = std::fs::read_to_string(vault.join(FILE))?;
    let table: Table = text.parse().unwrap_or_default();
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let in_file = |section: &str, key: &str| Some(shown(table.get(section)?.as_table()?.get(key)?));
    let mut origins = Vec::new();
    for (section, key, variable, default) in ORIGINS {
        let set = std::env::var(variable).ok().filter(|value| !value.is_empty());
        let (value, origin) = match (set, in_file(section, key)) {
            (Some(value), _) => (value, variable),
            (None, Some(value)) => (value, FILE),
            (None, None) => (default.to_owned(), "default"),
        };
        origins.push((format!("[{section}] {key}"), value, origin.to_owned()));
    }
    for section in ["streams", "endpoints"] {
        for (key, value) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
            origins.push((format!("[{section}] {key}"), shown(value), FILE.to_owned()));
        }
    }
    Ok(origins)
}

/// The vault to work on: `--vault` (or `CHATVAULT_VAULT`), else the nearest parent folder that holds a `vault.toml`.
pub(crate) fn find_vault(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let here = std::env::current_dir()?;
    here.ancestors().find(|folder| folder.join(FILE).is_file()).map(Path::to_owned).ok_or_else(|| {
        Failure::new(
            Exit::NoVault,
            format!("no vault here: neither {} nor a folder above it holds a {FILE}", here.display()),
        )
        .hint("name one with --vault DIR, or make one with `chatvault init DIR --account ID`")
    })
}

impl Settings {
    /// Reads the settings of a vault.
    pub(crate) fn of_vault(vault: &Path) -> Result<Settings, Failure> {
        let path = vault.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let failure =
                    Failure::new(Exit::NoVault, format!("no vault in {}: it holds no {FILE}", vault.display()));
                return Err(failure.hint(format!("make one with `chatvault init {} --account ID`", vault.display())));
            }
            Err(error) => return Err(Failure::new(Exit::Failed, format!("{}: {error}", path.display()))),
        };
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            Failure::usage(format!("{} is not valid TOML: {}", path.display(), error.message()))
                .hint(position_hint(&text, error.span().map(|span| span.start)))
        })?;
        Settings::of_table(&table, &|name| std::env::var(name).ok()).map_err(|failure| failure.in_file(&path))
    }

    fn of_table(table: &Table, environment: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Failure> {
        refuse_unknown(table)?;
        let read = |section: &str, key: &str, variable: &str| -> Option<(Value, String)> {
            if let Some(value) = environment(variable).filter(|value| !value.is_empty()) {
                return Some((Value::String(value), variable.to_owned()));
            }
            let value = table.get(section)?.as_table()?.get(key)?;
            Some((value.clone(), format!("[{section}] {key}")))
        };
        // With what the value is called where it stands.
        let named = |section: &str, key: &str, variable: &str| -> Result<Option<(String, String)>, Failure> {
            match read(section, key, variable) {
                None => Ok(None),
                Some((Value::String(text), name)) => Ok(Some((text, name))),
                Some((Value::Integer(number), name)) => Ok(Some((number.to_string(), name))),
                Some((_, name)) => Err(Failure::usage(format!("{name} must be a text in quotes"))),
            }
        };
        let text = |section: &str, key: &str, variable: &str| -> Result<Option<String>, Failure> {
            Ok(named(section, key, variable)?.map(|(text, _)| text))
        };
        let time = |key: &str, variable: &str, usual: &str| -> Result<Duration, Failure> {
            let value = named("sync", key, variable)?;
            let (text, name) = value.unwrap_or_else(|| (usual.to_owned(), key.to_owned()));
            duration(&text).map_err(|failure| failure.within(&name))
        };
        let number = |section: &str, key: &str, variable: &str| -> Result<Option<f64>, Failure> {
            let Some((value, name)) = read(section, key, variable) else { return Ok(None) };
            let number = match &value {
                Value::Integer(number) => Some(*number as f64),
                Value::Float(number) => Some(*number),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            number.map(Some).ok_or_else(|| Failure::usage(format!("{name} must be a number")))
        };

        let account_id = text("account", "id", "CHATVAULT_ACCOUNT")?
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Failure::usage("[account] id is missing; it is your LivePerson account number"))?;
        let region = text("account", "region", "CHATVAULT_REGION")?.unwrap_or_else(|| "va".into());
        let connections = number("sync", "connections", "CHATVAULT_CONNECTIONS")?.unwrap_or(4.0);
        if connections.fract() != 0.0 || !(1.0..=64.0).contains(&connections) {
            let name = read("sync", "connections", "CHATVAULT_CONNECTIONS").map_or_else(String::new, |(_, name)| name);
            return Err(Failure::usage(format!("{name} is {connections}; it is a whole number from 1 to 64")));
        }
        let requests_per_second =
            number("sync", "requests_per_second", "CHATVAULT_REQUESTS_PER_SECOND")?.unwrap_or(5.0);
        Ok(Settings {
            account_id,
            region,
            streams: streams(table)?,
            start: time("start", "CHATVAULT_START", "30d")?,
            seal_after: time("seal_after", "CHATVAULT_SEAL_AFTER", "8h")?,
            relist: time("relist", "CHATVAULT_RELIST", "48h")?,
            connections: connections as usize,
            requests_per_second,
            endpoints: endpoints(table)?,
            limits: Limits::read(|key, variable| named("limits", key, variable))?,
        })
    }

    /// What acquire needs, with the keys of the environment.
    pub(crate) fn acquire(&self) -> Result<AcquireSettings, Failure> {
        self.acquire_with(keys_of_environment()?)
    }

    /// As [`Settings::acquire`], with given keys.
    pub(crate) fn acquire_with(&self, keys: OAuth1Keys) -> Result<AcquireSettings, Failure> {
        let named = |name: &str| self.endpoints.iter().find(|(known, _)| known == name).map(|(_, urls)| urls.clone());
        let one = |name: &str| named(name).and_then(|urls| urls.into_iter().next());
        let services = &ENDPOINTS[3..];
        let endpoints = Endpoints {
            csds: one("csds"),
            data_access: one("data_access"),
            data_access_files: named("data_access_files").unwrap_or_default(),
            services: services.iter().filter_map(|name| Some(((*name).to_owned(), one(name)?))).collect(),
        };
        let mut settings = AcquireSettings::new(&self.account_id, &self.region, keys, &endpoints)?;
        settings.start = self.start;
        settings.seal_after = self.seal_after;
        settings.listing.overlap = self.relist;
        settings.connections = self.connections;
        settings.requests_per_second = self.requests_per_second;
        if std::env::var("CHATVAULT_RETRY_WAITS").is_ok_and(|waits| waits == "none") && self.is_on_loopback() {
            settings.retry = RetryPolicy::instant();
        }
        (settings.client, settings.login) = (client_credentials()?, login_credentials()?);
        settings.streams = Vec::new();
        for (name, word) in self.wanted_streams() {
            let mode = if word == "auto" { StreamMode::Auto } else { StreamMode::On };
            // Every name that may stand there is one of these.
            if let Some(data_type) = DataType::of_stream(name) {
                settings.streams.push(StreamChoice { data_type, mode });
            } else if let Some(api) = HistoryApi::of_stream(name) {
                settings.histories.push(HistoryChoice { api, mode });
            } else if let Some(api) = OperationsApi::of_stream(name) {
                settings.operations.push(OperationsChoice { api, mode, intervals: true, states: true });
            }
        }
        if settings.streams.is_empty() && settings.histories.is_empty() && settings.operations.is_empty() {
            return Err(
                Failure::usage("no stream is on").hint("set \"data-access/engagement\" = \"on\" under [streams]")
            );
        }
        Ok(settings)
    }

    /// The streams that are on or auto, each with that word.
    pub(crate) fn wanted_streams(&self) -> impl Iterator<Item = (&str, &str)> {
        self.streams.iter().filter(|(_, mode)| mode != "off").map(|(name, mode)| (name.as_str(), mode.as_str()))
    }

    /// Whether every request goes to this machine: then nobody is harmed by a client that does not wait between
    /// retries, which is what the tests want from `CHATVAULT_RETRY_WAITS=none`.
    fn is_on_loopback(&self) -> bool {
        let urls = || self.endpoints.iter().flat_map(|(_, urls)| urls);
        let is_named = self.endpoints.iter().any(|(name, _)| name == "data_access");
        is_named && urls().all(|url| matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")))
    }
}

impl Failure {
    /// Names the file; what begins with the name of a variable is a value of the environment, not of the file.
    fn in_file(self, path: &Path) -> Failure {
        let is_of_environment = self.message.starts_with("CHATVAULT_");
        if is_of_environment { self } else { self.within(&path.display().to_string()) }
    }

    pub(super) fn within(self, name: &str) -> Failure {
        Failure { message: format!("{name}: {}", self.message), ..self }
    }
}

fn refuse_unknown(table: &Table) -> Result<(), Failure> {
    let unknown = |name: &str, known: &mut dyn Iterator<Item = &'static str>| {
        let nearest = known.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
        let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
        let failure = Failure::usage(format!("unknown key `{shown}`"));
        match nearest {
            Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
            None => failure,
        }
    };
    for (section, content) in table {
        let Some((_, keys)) = SECTIONS.iter().find(|(known, _)| known == section) else {
            return Err(unknown(section, &mut SECTIONS.iter().map(|(name, _)| *name)));
        };
        let Some(content) = content.as_table() else {
            return Err(Failure::usage(format!("`{section}` must be a section: [{section}]")));
        };
        for key in content.keys() {
            if !keys.contains(&key.as_str()) {
                return Err(unknown(key, &mut keys.iter().copied()).within(&format!("[{section}]")));
            }
        }
    }
    Ok(())
}

fn streams(table: &Table) -> Result<Vec<(String, String)>, Failure> {
    let mut streams = Vec::new();
    let section = table.get("streams").and_then(Value::as_table);
    for name in STREAMS {
        let default = if name == "data-access/engagement" { "on" } else { "off" };
        let mode = match section.and_then(|section| section.get(name)) {
            None => default,
            Some(Value::String(mode)) if ["on", "off", "auto"].contains(&mode.as_str()) => mode,
            Some(_) => return Err(Failure::usage(format!("[streams] \"{name}\" must be \"on\", \"off\" or \"auto\""))),
        };
        streams.push((name.to_owned(), mode.to_owned()));
    }
    Ok(streams)
}

fn endpoints(table: &Table) -> Result<Vec<(String, Vec<Url>)>, Failure> {
    let mut endpoints = Vec::new();
    let Some(section) = table.get("endpoints").and_then(Value::as_table) else { return Ok(endpoints) };
    for (name, value) in section {
        let texts: Vec<&str> = match value {
            Value::String(text) => vec![text],
            Value::Array(items) if items.iter().all(Value::is_str) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut urls = Vec::new();
        for text in &texts {
            let url = Url::parse(text)
                .map_err(|error| Failure::usage(format!("[endpoints] {name} is not a base URL ({error})")))?;
            urls.push(url);
        }
        if urls.is_empty() {
            return Err(Failure::usage(format!(
                "[endpoints] {name} must be a base URL such as \"https://va.da.liveperson.net\""
            )));
        }
        endpoints.push((name.clone(), urls));
    }
    Ok(endpoints)
}

/// Reads `250ms`, `60s`, `10m`, `8h`, `30d`; a number alone is refused, its unit would be a guess.
pub(crate) fn duration(text: &str) -> Result<Duration, Failure> {
    let digits = text.trim().find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.trim().split_at(digits);
    let unit_ms: u64 = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => 0,
    };
    let milliseconds = count.parse::<u64>().ok().and_then(|count| count.checked_mul(unit_ms));
    match milliseconds.filter(|_| unit_ms > 0) {
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => {
            Err(Failure::usage(format!("{text:?} is not a duration"))
                .hint("write a number and a unit: 60s, 10m, 8h, 30d"))
        }
    }
}

/// Reads the OAuth 1.0 keys, each from its variable or from the file that `<NAME>_FILE` names.
fn keys_of_environment() -> Result<OAuth1Keys, Failure> {
    Ok(OAuth1Keys {
        app_key: secret("CHATVAULT_APP_KEY")?,
        app_secret: secret("CHATVAULT_APP_SECRET")?,
        access_token: secret("CHATVAULT_ACCESS_TOKEN")?,
        access_token_secret: secret("CHATVAULT_ACCESS_TOKEN_SECRET")?,
    })
}

/// Why a run left a stream out, as far as can be seen from here.
pub(crate) fn why_skipped(stream: &str) -> &'static str {
    let has_key = keys_of_environment().is_ok_and(|keys| keys.missing().is_empty());
    let wants_key = DataType::of_stream(stream).is_some()
        || OperationsApi::of_stream(stream).is_some_and(OperationsApi::has_intervals);
    if wants_key && !has_key { "it takes an API key only, and none is set" } else { "not enabled for these keys" }
}

/// Client credentials of the environment; both values or none.
fn client_credentials() -> Result<Option<ClientCredentials>, Failure> {
    let (id, secret) = (secret("CHATVAULT_CLIENT_ID")?, secret("CHATVAULT_CLIENT_SECRET")?);
    both(("CHATVAULT_CLIENT_ID", &id), ("CHATVAULT_CLIENT_SECRET", &secret))?;
    Ok((!id.is_empty()).then_some(ClientCredentials { id, secret }))
}

/// A login of the environment; both values or none.
fn login_credentials() -> Result<Option<LoginCredentials>, Failure> {
    let (username, password) = (secret("CHATVAULT_USERNAME")?, secret("CHATVAULT_PASSWORD")?);
    both(("CHATVAULT_USERNAME", &username), ("CHATVAULT_PASSWORD", &password))?;
    Ok((!username.is_empty()).then_some(LoginCredentials { username, password }))
}

fn both(first: (&str, &Secret), second: (&str, &Secret)) -> Result<(), Failure> {
    let (set, missing) = match (first.1.is_empty(), second.1.is_empty()) {
        (true, false) => (second.0, first.0),
        (false, true) => (first.0, second.0),
        _ => return Ok(()),
    };
    Err(Failure::new(Exit::Unauthorised, format!("{set} is set, but {missing} is not")))
}

fn secret(name: &str) -> Result<Secret, Failure> {
    if let Ok(value) = std::env::var(name) {
        return Ok(Secret::new(value.trim()));
    }
    let Some(path) = std::env::var_os(format!("{name}_FILE")) else { return Ok(Secret::new("")) };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(Exit::Unauthorised, format!("{name}_FILE: {}: {error}", Path::new(&path).display()))
    })?;
    Ok(Secret::new(text.trim()))
}

fn position_hint(text: &str, at: Option<usize>) -> String {
    let before = &text[..at.unwrap_or(0).min(text.len())];
    format!("see line {}", before.bytes().filter(|byte| *byte == b'\n').count() + 1)
}

#[cfg(test)]
mod tests;
