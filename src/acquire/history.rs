//! The two history APIs, pure: what to ask, and what an answer says about itself. Messaging Interactions for
//! conversations, Engagement History for chats (reference, messaging-interactions.md and engagement-history.md).
//!
//! Only what following needs is read here: ids, counts, and whether a record is whole. The records themselves are read
//! by `decode`, from the archive.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::archive::Window;

use super::error::ProblemKind;
use super::source::{Answer, AnswerProblem, ApiRequest, status_problem};

/// Records of one page, the most that either API gives.
pub(super) const PAGE: u64 = 100;
/// Ids of one call by id.
pub(super) const IDS_PER_CALL: usize = 100;
/// Both APIs round times to ten minutes.
pub(super) const STEP_MS: i64 = 600_000;
const DAY: u64 = 24 * 3600;
/// Name of the caller, at most twenty characters.
const CALLER: &str = "chatvault";

/// What is asked for of a conversation: a list replaces the defaults, so all stand here.
const CONTENT: [&str; 23] = [
    "campaign",
    "messageRecords",
    "agentParticipants",
    "agentParticipantsLeave",
    "agentParticipantsActive",
    "consumerParticipants",
    "transfers",
    "interactions",
    "messageScores",
    "messageStatuses",
    "conversationSurveys",
    "coBrowseSessions",
    "summary",
    "sdes",
    "unAuthSdes",
    "monitoring",
    "dialogs",
    "responseTime",
    "skillChanges",
    "intents",
    "uniqueIntents",
    "latestAgentSurvey",
    "previouslySubmittedAgentSurveys",
];

/// One of the two APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HistoryApi {
    /// Messaging Interactions: open and closed conversations.
    Messaging,
    /// Engagement History: closed chats.
    Engagement,
}

/// What a search selects by, beside the start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Nothing else.
    All,
    /// Changed since, epoch milliseconds. Messaging only.
    UpdatedSince(i64),
    /// Ended in this window. Messaging only.
    Ended(Window),
}

/// What an answer says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Records that match the search, over all pages.
    pub(super) count: u64,
    /// The records of this page.
    pub(super) records: Vec<RecordHead>,
}

/// What following needs of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub(super) id: String,
    /// The answer does not hold all of it; a call by id does.
    pub(super) wants_id_call: bool,
}

impl HistoryApi {
    /// All of them.
    pub const ALL: [HistoryApi; 2] = [HistoryApi::Messaging, HistoryApi::Engagement];

    /// The stream's name.
    pub fn stream(self) -> &'static str {
        match self {
            HistoryApi::Messaging => "messaging-interactions",
            HistoryApi::Engagement => "engagement-history",
        }
    }

    /// The API of a stream.
    pub fn of_stream(stream: &str) -> Option<HistoryApi> {
        HistoryApi::ALL.into_iter().find(|api| api.stream() == stream)
    }

    /// Its name in the Domain API and under `[endpoints]`.
    pub fn service(self) -> &'static str {
        match self {
            HistoryApi::Messaging => "msgHist",
            HistoryApi::Engagement => "engHistDomain",
        }
    }

    /// As its documentation calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            HistoryApi::Messaging => "Messaging Interactions API",
            HistoryApi::Engagement => "Engagement History API",
        }
    }

    /// How far back LivePerson keeps conversations: 13 months.
    pub fn reach(self) -> Duration {
        Duration::from_secs(13 * 30 * DAY)
    }

    /// Longest range of start times in one search: three months (here 89 days), one month (here 28 days).
    pub(super) fn longest(self) -> Duration {
        match self {
            HistoryApi::Messaging => Duration::from_secs(89 * DAY),
            HistoryApi::Engagement => Duration::from_secs(28 * DAY),
        }
    }

    /// The call's name in the archive: the path behind the account.
    pub(super) fn search_call(self) -> &'static str {
        match self {
            HistoryApi::Messaging => "conversations/search",
            HistoryApi::Engagement => "interactions/search",
        }
    }

    /// Likewise for a call by id.
    pub(super) fn by_id_call(self) -> &'static str {
        match self {
            HistoryApi::Messaging => "conversations/conversation/search",
            HistoryApi::Engagement => "interactions/search",
        }
    }

    /// Ids that one call by id takes.
    pub(super) fn ids_per_call(self) -> usize {
        match self {
            HistoryApi::Messaging => IDS_PER_CALL,
            HistoryApi::Engagement => 1,
        }
    }

    /// A page of the conversations that started in `start` (half-open; the API rounds outwards to ten minutes).
    pub(super) fn search(self, base: &Url, account_id: &str, start: Window, filter: Filter, offset: u64) -> ApiRequest {
        let range = |window: Window| json!({ "from": window.start_ms, "to": window.end_ms - 1 });
        let mut body = json!({ "start": range(start) });
        if self == HistoryApi::Messaging {
            body["status"] = json!(["OPEN", "CLOSE"]);
            body["contentToRetrieve"] = json!(CONTENT);
            match filter {
                Filter::All => {}
                Filter::UpdatedSince(from_ms) => body["latestUpdateTime"] = json!({ "from": from_ms }),
                Filter::Ended(window) => body["end"] = range(window),
            }
        }
        self.request(base, account_id, self.search_call(), offset, &body)
    }

    /// All there is of some conversations.
    pub(super) fn by_ids(self, base: &Url, account_id: &str, ids: &[String], now_ms: i64) -> ApiRequest {
        let body = match self {
            HistoryApi::Messaging => json!({ "conversationIds": ids, "contentToRetrieve": CONTENT }),
            // The limits of time are documented as ignored with an id, and `start` as required.
            HistoryApi::Engagement => {
                let start = json!({ "from": now_ms - 27 * 86_400_000, "to": now_ms });
                json!({ "start": start, "engagementId": ids.first() })
            }
        };
        self.request(base, account_id, self.by_id_call(), 0, &body)
    }

    fn request(self, base: &Url, account_id: &str, call: &str, offset: u64, body: &Value) -> ApiRequest {
        let mut url = base.clone();
        let prefix = base.path().trim_end_matches('/').to_owned();
        let root = match self {
            HistoryApi::Messaging => "messaging_history",
            HistoryApi::Engagement => "interaction_history",
        };
        url.set_path(&format!("{prefix}/{root}/api/account/{account_id}/{call}"));
        url.query_pairs_mut()
            .append_pair("limit", &PAGE.to_string())
            .append_pair("offset", &offset.to_string())
            .append_pair("sort", "start:asc")
            .append_pair("source", CALLER);
        if self == HistoryApi::Messaging {
            // Version 2 gives unauthenticated SDEs too, and values in their own types.
            url.query_pairs_mut().append_pair("v", "2");
        }
        ApiRequest { url, accept: "application/json", json: Some(body.to_string()) }
    }

    /// Reads an answer. Any status, any body.
    pub(super) fn read(self, answer: &Answer) -> Result<Page, AnswerProblem> {
        match answer.status {
            200 => {}
            204 => return Ok(Page::default()),
            _ => return Err(status_problem(answer)),
        }
        if answer.body.trim_ascii_start().first() == Some(&b'<') {
            return Err(AnswerProblem::new(ProblemKind::Html, "the answer is a web page"));
        }
        let read: Body = serde_json::from_slice(&answer.body).map_err(|error| {
            let kind = if error.is_eof() { ProblemKind::TruncatedJson } else { ProblemKind::NotJson };
            AnswerProblem::new(kind, format!("the answer cannot be read: {error}"))
        })?;
        if truth(&read.metadata["shardsStatusResult"]["partialResult"]) {
            let told = "the server could not ask all of its parts (partialResult): the page is incomplete";
            return Err(AnswerProblem::new(ProblemKind::PartialResult, told));
        }
        let records = match self {
            HistoryApi::Messaging => read.conversations,
            HistoryApi::Engagement => read.interactions,
        };
        let Some(records) = records else {
            return Err(AnswerProblem::new(ProblemKind::UnexpectedShape, "the answer holds no list of records"));
        };
        let heads: Option<Vec<RecordHead>> = records.iter().map(|record| self.head(record)).collect();
        let Some(records) = heads else {
            return Err(AnswerProblem::new(ProblemKind::UnexpectedShape, "a record of the answer has no id"));
        };
        let count = number(&read.metadata["count"]).unwrap_or(records.len() as u64);
        Ok(Page { count, records })
    }

    fn head(self, record: &Record) -> Option<RecordHead> {
        let info = &record.info;
        let id = match self {
            HistoryApi::Messaging => text(&info["conversationId"])?,
            HistoryApi::Engagement => text(&info["engagementId"])?,
        };
        let has_events = |sdes: &Value| sdes["events"].as_array().is_some_and(|events| !events.is_empty());
        let is_partial = truth(&info["isPartial"]);
        // A search gives of a conversation's SDEs mostly the last only; of a chat's all.
        let sdes_are_partial =
            self == HistoryApi::Messaging && (has_events(&record.sdes) || has_events(&record.unauthenticated));
        Some(RecordHead { id, wants_id_call: is_partial || sdes_are_partial })
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "_metadata", default)]
    metadata: Value,
    #[serde(rename = "conversationHistoryRecords")]
    conversations: Option<Vec<Record>>,
    #[serde(rename = "interactionHistoryRecords")]
    interactions: Option<Vec<Record>>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    info: Value,
    #[serde(default)]
    sdes: Value,
    #[serde(rename = "unAuthSdes", default)]
    unauthenticated: Value,
}

fn truth(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str() == Some("true"))
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() && !matches!(text.as_str(), "undefined" | "null") => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BASE: &str = "https://lo.msghist.liveperson.net";

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, content_type: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_search_asks_for_everything_there_is_of_each_conversation() {
        let base = Url::parse(BASE).unwrap();
        let window = Window { start_ms: 1_717_200_000_000, end_ms: 1_717_286_400_000 };
        let request = HistoryApi::Messaging.search(&base, "40112233", window, Filter::UpdatedSince(7), 200);
        assert_eq!(
            request.url.as_str(),
            "https://lo.msghist.liveperson.net/messaging_history/api/account/40112233/conversations/search\
             ?limit=100&offset=200&sort=start%3Aasc&source=chatvault&v=2"
        );
        let body: Value = serde_json::from_str(request.json.as_deref().unwrap()).unwrap();
        // Bounds are included: the last millisecond of a half-open window.
        assert_eq!(body["start"], json!({ "from": 1_717_200_000_000_i64, "to": 1_717_286_399_999_i64 }));
        assert_eq!(body["latestUpdateTime"], json!({ "from": 7 }));
        assert_eq!(body["status"], json!(["OPEN", "CLOSE"]));
        assert_eq!(body["contentToRetrieve"].as_array().unwrap().len(), 23);
        let ended = HistoryApi::Messaging.search(&base, "1", window, Filter::Ended(window), 0);
        assert!(ended.json.unwrap().contains(r#""end":{"from":1717200000000,"to":1717286399999}"#));
        let chats = HistoryApi::Engagement.search(&base, "1", window, Filter::All, 0);
        assert_eq!(chats.url.path(), "/interaction_history/api/account/1/interactions/search");
        // `interactive: true` would leave out chats in which the visitor wrote nothing.
        assert_eq!(chats.json.unwrap(), r#"{"start":{"from":1717200000000,"to":1717286399999}}"#);
    }

    #[test]
    fn a_page_tells_its_count_and_what_wants_a_second_look() {
        let body = r#"{"_metadata":{"count":"231","shardsStatusResult":{"partialResult":false}},
            "conversationHistoryRecords":[
              {"info":{"conversationId":"a","isPartial":false},"sdes":{"events":[]}},
              {"info":{"conversationId":"b","isPartial":true}},
              {"info":{"conversationId":4711,"isPartial":"false"},"unAuthSdes":{"events":[{}]}}]}"#;
        let page = HistoryApi::Messaging.read(&answer(200, body)).unwrap();
        assert_eq!(page.count, 231);
        let found: Vec<_> = page.records.iter().map(|head| (head.id.as_str(), head.wants_id_call)).collect();
        assert_eq!(found, [("a", false), ("b", true), ("4711", true)]);
        assert_eq!(HistoryApi::Messaging.read(&answer(204, "")).unwrap(), Page::default());
    }

    #[test]
    fn what_proves_nothing_is_a_problem() {
        let partial = r#"{"_metadata":{"count":3,"shardsStatusResult":{"partialResult":true}},
            "conversationHistoryRecords":[]}"#;
        for (status, body, kind) in [
            (200, partial, ProblemKind::PartialResult),
            (200, r#"{"_metadata":{"count":0}}"#, ProblemKind::UnexpectedShape),
            (200, r#"{"conversationHistoryRecords":[{"info":{}}]}"#, ProblemKind::UnexpectedShape),
            (200, r#"{"conversationHistoryRecords":[{"#, ProblemKind::TruncatedJson),
            (200, "<html>", ProblemKind::Html),
            (200, "nothing", ProblemKind::NotJson),
            (401, "", ProblemKind::Unauthorized),
            (503, "", ProblemKind::Server),
        ] {
            assert_eq!(HistoryApi::Messaging.read(&answer(status, body)).unwrap_err().kind, kind, "{body}");
        }
    }
}
