//! The Data Access API: hourly gzip files behind a JSON listing, one stream per data type.
//!
//! Every odd form of a listing that the reference names (data-access.md 4.3) is read; whatever else comes is a named
//! problem, never an empty window. Each entry's name must be a file name of this data type (4.4): other names are
//! refused and reported, because a name becomes a path in the archive.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use crate::archive::layout::check_window;
use crate::archive::naming::listed_name;
use crate::archive::{ListedFile, Window};

use super::error::ProblemKind;
use super::source::{Answer, AnswerProblem, ApiRequest, Reading, RefusedEntry, Source, shown, status_problem};

/// LivePerson deletes a file 30 days after it was created.
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// The four data types of the API.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DataType {
    /// Agents' logins and states.
    AgentActivity,
    /// Chats with their transcripts.
    Engagement,
    /// Survey answers.
    Survey,
    /// Visits to the brand's pages.
    WebSession,
}

impl DataType {
    /// All of them, in the order of the reference.
    pub const ALL: [DataType; 4] =
        [DataType::AgentActivity, DataType::WebSession, DataType::Engagement, DataType::Survey];

    /// Stream name, last part of the listing path.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            DataType::AgentActivity => ("data-access/agent-activity", "agentActivity"),
            DataType::Engagement => ("data-access/engagement", "engagement"),
            DataType::Survey => ("data-access/survey", "survey"),
            DataType::WebSession => ("data-access/web-session", "webSession"),
        }
    }

    /// The stream's name, such as `data-access/engagement`.
    pub const fn stream(self) -> &'static str {
        self.names().0
    }

    /// The data type of a stream; `None` for streams of other APIs.
    pub fn of_stream(stream: &str) -> Option<DataType> {
        DataType::ALL.into_iter().find(|data_type| data_type.stream() == stream)
    }
}

/// One data type of one account at one host.
#[derive(Clone, Debug)]
pub struct DataAccess {
    data_type: DataType,
    account_id: String,
    base: Url,
}

impl DataAccess {
    /// `base` is scheme and host (`https://va.da.liveperson.net`), a path in it is kept as a prefix.
    pub fn new(data_type: DataType, account_id: &str, base: &Url) -> DataAccess {
        DataAccess { data_type, account_id: account_id.to_owned(), base: base.clone() }
    }

    /// The documented host of a region; `None` for a region that does not exist.
    pub fn host_of_region(region: &str) -> Option<Url> {
        // The Domain API has no name for this service, so the host is configuration (data-access.md section 2).
        let host = match region {
            "va" => "https://va.da.liveperson.net",
            "lo" => "https://lo.da.liveperson.net",
            "sy" => "https://sy.da.liveperson.net",
            _ => return None,
        };
        Some(Url::parse(host).expect("three constants that parse"))
    }
}

/// Why nothing can be asked where there is no API key.
pub(super) fn without_key(missing: &[&str]) -> String {
    format!("this API takes an API key only, and these are not set: {}", missing.join(", "))
}

/// Asks for a version of the schema: a number, or `latest`.
pub(super) fn schema_request(base: &Url, account_id: &str, version: &str) -> ApiRequest {
    let mut url = base.clone();
    let prefix = base.path().trim_end_matches('/');
    url.set_path(&format!("{prefix}/data_access_le/account/{account_id}/le/schema"));
    url.query_pairs_mut().clear().append_pair("schemaId", version);
    ApiRequest { url, accept: "application/json", json: None }
}

impl Source for DataAccess {
    fn stream(&self) -> &str {
        self.data_type.stream()
    }

    fn reach(&self) -> Duration {
        RETENTION
    }

    fn first(&self, window: Window) -> ApiRequest {
        let mut url = self.base.clone();
        let path = format!(
            "{}/data_access_le/account/{}/le/{}",
            self.base.path().trim_end_matches('/'),
            self.account_id,
            self.data_type.names().1
        );
        url.set_path(&path);
        url.set_query(Some(&format!("startTime={}&endTime={}", window.start_ms, window.end_ms)));
        // Without `Accept` the answer may be XML.
        ApiRequest { url, accept: "application/json", json: None }
    }

    fn read(&self, asked: &ApiRequest, answer: &Answer) -> Result<Reading, AnswerProblem> {
        // An empty range is an error answer with this phrase; its status and shape are not documented. A refused key
        // is a refused key, whatever else the text says.
        if !matches!(answer.status, 401 | 403 | 429) && says_no_files(answer) {
            return Ok(Reading::default());
        }
        if answer.status != 200 {
            return Err(status_problem(answer));
        }
        let listing = parse(answer)?;
        let listing = match listing.get("dataAccessFiles") {
            Some(Value::Object(listing)) => listing,
            Some(Value::Null) => return Ok(Reading::default()),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(Reading::default()),
            _ => return Err(unexpected("the answer has no dataAccessFiles object")),
        };
        match listing.get("@id") {
            None | Some(Value::Null) => {}
            Some(Value::String(id)) if *id == self.account_id => {}
            Some(Value::Number(id)) if id.to_string() == self.account_id => {}
            Some(other) => {
                let found = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
                return Err(AnswerProblem::new(
                    ProblemKind::OtherAccount,
                    format!("asked for account {}, the listing is of account {}", self.account_id, shown(&found)),
                ));
            }
        }
        match listing.get("file") {
            None | Some(Value::Null) => Ok(Reading::default()),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(Reading::default()),
            Some(Value::Array(entries)) => Ok(self.read_entries(asked, entries)),
            Some(entry @ Value::Object(_)) => Ok(self.read_entries(asked, std::slice::from_ref(entry))),
            Some(_) => Err(unexpected("file is neither a list nor an object")),
        }
    }
}

impl DataAccess {
    fn read_entries(&self, asked: &ApiRequest, entries: &[Value]) -> Reading {
        let mut reading = Reading::default();
        let mut seen = HashSet::new();
        for entry in entries {
            match self.read_entry(asked, entry) {
                Ok(file) => {
                    if seen.insert(file.name.clone()) {
                        reading.files.push(file);
                    }
                }
                Err(reason) => {
                    let name = entry.get("@name").and_then(Value::as_str).unwrap_or("(no name)");
                    reading.refused.push(RefusedEntry { name: shown(name), kind: ProblemKind::RefusedName, reason });
                }
            }
        }
        reading
    }

    fn read_entry(&self, asked: &ApiRequest, entry: &Value) -> Result<ListedFile, String> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let listed = text("@name").ok_or("the entry has no @name")?;
        let (name, in_name) = listed_name(listed, self.stream())?;
        let href = text("@href").ok_or("the entry has no @href")?;
        // An absolute address stays as it is; the host rule is applied to the result before it is used.
        let href = asked.url.join(href).map_err(|error| format!("its @href is no address: {error}"))?;
        let window = in_name.or_else(|| {
            let millis = |key| text(key)?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
            let window = Window { start_ms: millis("@scopeStartDate")?, end_ms: millis("@scopeEndDate")? };
            check_window(window).is_ok().then_some(window)
        });
        Ok(ListedFile { stream: self.stream().to_owned(), name, window, href: href.into() })
    }
}

/// The body as JSON, or what it is instead.
fn parse(answer: &Answer) -> Result<Value, AnswerProblem> {
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body);
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(body.len());
    let body = &body[start..];
    if body.first() == Some(&b'<') {
        let head = String::from_utf8_lossy(&body[..body.len().min(512)]).to_ascii_lowercase();
        let declared = answer.content_type.as_deref().unwrap_or_default().to_ascii_lowercase();
        let is_html = head.contains("<html") || head.contains("<!doctype html") || declared.contains("html");
        return Err(if is_html {
            AnswerProblem::new(ProblemKind::Html, format!("an HTML page came: {}", super::source::words(body)))
        } else {
            AnswerProblem::new(ProblemKind::Xml, "the listing came as XML although JSON was asked for")
        });
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => AnswerProblem::new(
            ProblemKind::TruncatedJson,
            format!("the listing is cut short after {} bytes", answer.body.len()),
        ),
        _ => AnswerProblem::new(ProblemKind::NotJson, format!("the listing is no JSON: {error}")),
    })
}

/// Whether a short answer holds the phrase, and is no listing that happens to contain it.
fn says_no_files(answer: &Answer) -> bool {
    const PHRASE: &[u8] = b"no available files";
    if answer.body.len() > 64 * 1024 || !answer.body.to_ascii_lowercase().windows(PHRASE.len()).any(|w| w == PHRASE) {
        return false;
    }
    answer.status != 200
        || serde_json::from_slice::<Value>(&answer.body).is_ok_and(|value| value.get("error").is_some())
}

fn unexpected(reason: &str) -> AnswerProblem {
    AnswerProblem::new(ProblemKind::UnexpectedShape, reason)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "data_access_tests.rs"]
mod tests;
