//! Operational Realtime, Messaging Operations and Agent Metrics, pure: their methods, and what to ask them (reference,
//! operational.md).
//!
//! These APIs hold figures of the last 24 hours, or of this moment. The figures are read by `decode`, from the archive; what
//! acquisition needs of an answer is in `heard.rs`.

use url::Url;

use crate::archive::Window;

use super::source::ApiRequest;

/// Agents of one page, the most that the API gives.
pub(super) const AGENTS_PER_PAGE: u64 = 2500;
/// Skills of one call for waiting times.
pub(super) const SKILLS_PER_CALL: usize = 300;
/// Minutes of the intervals that are asked for; the larger ones where the answer in smaller ones would be too large.
pub(super) const INTERVALS: [i64; 3] = [5, 30, 120];

/// One of the three APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperationsApi {
    /// Operational Realtime: queues, engagements and agents of chats.
    Realtime,
    /// Messaging Operations, with the estimated wait time.
    Messaging,
    /// Agent Metrics: who is logged in, in which state, with which load.
    Agents,
}

/// One method of an API.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// The call's name in the archive: the path behind the account.
    pub(super) call: &'static str,
    pub(super) kind: Kind,
    /// Name in the Domain API and under `[endpoints]`.
    pub(super) service: &'static str,
    /// Where it is, before the account.
    root: &'static str,
    /// Parameters that never change.
    fixed: &'static [(&'static str, &'static str)],
}

/// What a method tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Figures per interval of five minutes.
    Intervals(Grid),
    /// Figures of one stretch of time until now.
    Span,
    /// How things are now.
    State,
}

/// Where the intervals of a method lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grid {
    /// On full five minutes, and a timeframe is rounded outwards to them.
    Rounded,
    /// On full five minutes, but the earliest interval holds what the timeframe leaves of it.
    Cut,
    /// Between two instants of our choice.
    Between,
    /// Anchored at the instant of the request.
    Anchored,
}

/// What is asked for, in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question<'q> {
    /// The minutes before now, in intervals of so many minutes.
    Back { minutes: i64, interval: Option<i64> },
    /// A time, in intervals of so many minutes.
    Between(Window, i64),
    /// Now; of a list the part from a place on.
    Now { offset: u64 },
    /// Now, for these skills.
    Skills(&'q [String]),
}

const OPERATIONS: &str = "operations";
const HISTORY: &str = "messaging_history";
const REPORTING: &str = "leDataReporting";
const V1: (&str, &str) = ("v", "1");
const SKILLS: (&str, &str) = ("skillIds", "all");
const AGENTS: (&str, &str) = ("agentIds", "all");
/// Without it only conversations of human agents may be meant.
const EVERYBODY: (&str, &str) = ("userType", "all");

/// The first of each API needs no permission of its own: where it is refused, all are.
const REALTIME: [Method; 5] = [
    Method::of("queuehealth", Kind::Intervals(Grid::Rounded), &[V1, SKILLS]),
    Method::of("engactivity", Kind::Intervals(Grid::Rounded), &[V1, SKILLS, AGENTS]),
    Method::of("agentactivity", Kind::Intervals(Grid::Cut), &[V1, AGENTS]),
    Method::of("sla", Kind::Span, &[V1]),
    // The second version adds how long the first in the queue has waited.
    Method::of("queuestate", Kind::State, &[("v", "2"), SKILLS]),
];

const MESSAGING: [Method; 7] = [
    Method::of("msgconversation", Kind::Intervals(Grid::Rounded), &[V1, SKILLS, AGENTS]),
    // The first version anchors its intervals at the request; the second takes the bounds that it is given.
    Method::of("msgqueuehealth", Kind::Intervals(Grid::Between), &[("v", "2"), SKILLS]),
    Method::of("msgskillsegments", Kind::Intervals(Grid::Anchored), &[V1, SKILLS, EVERYBODY]),
    Method::of("msgagentsegments", Kind::Intervals(Grid::Anchored), &[V1, SKILLS, AGENTS, EVERYBODY]),
    Method::of("msgcsatdistribution", Kind::Span, &[V1, SKILLS, AGENTS]),
    Method::of(
        "msgqueuehealth/current",
        Kind::State,
        &[V1, SKILLS, ("metrics", "all"), ("overdueConversations", "true")],
    ),
    Method { service: "msgEwtAPI", root: "lp-messaging-ewt-app", ..Method::of(WAIT, Kind::State, &[V1]) },
];

const AGENT_VIEW: [Method; 2] = [
    Method { service: "msgHist", root: HISTORY, ..Method::of("agent-view/summary", Kind::State, &[]) },
    Method { service: "msgHist", root: HISTORY, ..Method::of(LIST, Kind::State, &[]) },
];

const WAIT: &str = "ewt";
const LIST: &str = "agent-view/status";

impl OperationsApi {
    /// All of them.
    pub const ALL: [OperationsApi; 3] = [OperationsApi::Realtime, OperationsApi::Messaging, OperationsApi::Agents];

    /// The stream's name.
    pub fn stream(self) -> &'static str {
        match self {
            OperationsApi::Realtime => "operational-realtime",
            OperationsApi::Messaging => "messaging-operations",
            OperationsApi::Agents => "agent-metrics",
        }
    }

    /// The API of a stream.
    pub fn of_stream(stream: &str) -> Option<OperationsApi> {
        OperationsApi::ALL.into_iter().find(|api| api.stream() == stream)
    }

    /// Its methods, in the order in which they are asked.
    pub(super) fn methods(self) -> &'static [Method] {
        match self {
            OperationsApi::Realtime => &REALTIME,
            OperationsApi::Messaging => &MESSAGING,
            OperationsApi::Agents => &AGENT_VIEW,
        }
    }

    /// Whether it takes an API key and nothing else.
    pub(super) fn wants_api_key(self) -> bool {
        self != OperationsApi::Agents
    }

    /// Whether this API has intervals or stretches of time, that is, figures that can be lost.
    pub fn has_intervals(self) -> bool {
        self.methods().iter().any(|method| method.kind != Kind::State)
    }
}

impl Method {
    const fn of(call: &'static str, kind: Kind, fixed: &'static [(&'static str, &'static str)]) -> Method {
        Method { call, kind, service: REPORTING, root: OPERATIONS, fixed }
    }

    /// Whether it must be told which skills are meant.
    pub(super) fn wants_skills(&self) -> bool {
        self.call == WAIT
    }

    /// Whether its answers have pages.
    pub(super) fn is_paged(&self) -> bool {
        self.call == LIST
    }

    /// The request for `question`.
    pub(super) fn request(&self, base: &Url, account_id: &str, question: Question<'_>) -> ApiRequest {
        let mut url = base.clone();
        let prefix = base.path().trim_end_matches('/').to_owned();
        // The current queue wants a slash before its parameters.
        let slash = if self.call == "msgqueuehealth/current" { "/" } else { "" };
        url.set_path(&format!("{prefix}/{}/api/account/{account_id}/{}{slash}", self.root, self.call));
        let mut query: Vec<(&str, String)> =
            self.fixed.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        match question {
            Question::Back { minutes, interval } => {
                query.push(("timeframe", minutes.to_string()));
                query.extend(interval.map(|minutes| ("interval", minutes.to_string())));
            }
            Question::Between(window, interval) => {
                query.push(("fromMillis", window.start_ms.to_string()));
                query.push(("toMillis", window.end_ms.to_string()));
                query.push(("interval", interval.to_string()));
            }
            Question::Now { offset } if self.is_paged() => {
                query.push(("offset", offset.to_string()));
                query.push(("limit", AGENTS_PER_PAGE.to_string()));
            }
            Question::Now { .. } => {}
            Question::Skills(skills) => query.push(("skills", skills.join(","))),
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        // An object is required where nothing is filtered, too.
        let json = (self.root == HISTORY).then(|| "{}".to_owned());
        ApiRequest { url, accept: "application/json", json }
    }

    /// The smallest question, to see whether the method answers at all.
    pub(super) fn smallest(&self) -> Question<'static> {
        match self.kind {
            Kind::State => Question::Now { offset: 0 },
            Kind::Intervals(_) | Kind::Span => Question::Back { minutes: 5, interval: None },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn method(api: OperationsApi, call: &str) -> &'static Method {
        api.methods().iter().find(|method| method.call == call).unwrap()
    }

    #[test]
    fn requests_are_those_of_the_reference() {
        let base = Url::parse("https://lo.data.liveperson.net").unwrap();
        let url = |api, call, question| method(api, call).request(&base, "40112233", question);
        let back = Question::Back { minutes: 15, interval: Some(5) };
        use OperationsApi::{Agents, Messaging, Realtime};
        assert_eq!(
            url(Realtime, "agentactivity", back).url.as_str(),
            "https://lo.data.liveperson.net/operations/api/account/40112233/agentactivity\
             ?v=1&agentIds=all&timeframe=15&interval=5"
        );
        let between = Question::Between(Window { start_ms: 300_000, end_ms: 900_000 }, 5);
        assert_eq!(
            url(Messaging, "msgqueuehealth", between).url.query().unwrap(),
            "v=2&skillIds=all&fromMillis=300000&toMillis=900000&interval=5"
        );
        let now = Question::Now { offset: 0 };
        assert!(url(Messaging, "msgqueuehealth/current", now).url.path().ends_with("/msgqueuehealth/current/"));
        let skills = ["4".to_owned(), "15".to_owned()];
        assert_eq!(
            url(Messaging, "ewt", Question::Skills(&skills)).url.as_str(),
            "https://lo.data.liveperson.net/lp-messaging-ewt-app/api/account/40112233/ewt?v=1&skills=4%2C15"
        );
        let agents = url(Agents, "agent-view/status", Question::Now { offset: 2500 });
        assert_eq!(
            agents.url.as_str(),
            "https://lo.data.liveperson.net/messaging_history/api/account/40112233/agent-view/status\
             ?offset=2500&limit=2500"
        );
        assert_eq!(agents.json.as_deref(), Some("{}"));
        assert_eq!(url(Agents, "agent-view/summary", now).url.query(), None);
        assert_eq!(url(Realtime, "queuestate", now).json, None);
    }

    #[test]
    fn names_are_fixed() {
        let calls: Vec<&str> =
            OperationsApi::ALL.iter().flat_map(|api| api.methods()).map(|method| method.call).collect();
        assert_eq!(
            calls,
            [
                "queuehealth",
                "engactivity",
                "agentactivity",
                "sla",
                "queuestate",
                "msgconversation",
                "msgqueuehealth",
                "msgskillsegments",
                "msgagentsegments",
                "msgcsatdistribution",
                "msgqueuehealth/current",
                "ewt",
                "agent-view/summary",
                "agent-view/status",
            ]
        );
        for api in OperationsApi::ALL {
            assert_eq!(OperationsApi::of_stream(api.stream()), Some(api));
        }
    }
}
