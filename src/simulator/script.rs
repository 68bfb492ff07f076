//! Faults and timing: what goes wrong, at which request, how often.
//!
//! A script is a list of rules. The simulator counts the requests each rule matches and applies the
//! rule's fault to the ones it names, so a test knows beforehand which request fails and how.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Which requests a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Any request.
    Any,
    /// Domain API look-ups.
    Domain,
    /// Base resource and schema.
    Resource,
    /// Listings of files.
    Listing,
    /// Downloads of files whose name contains this text; empty for all.
    Download(String),
    /// Requests to the authorization server for a token.
    Token,
    /// Login, refresh and logout.
    Login,
    /// Searches of messaging conversations.
    MessagingSearch,
    /// Messaging conversations by id.
    MessagingById,
    /// Searches of chats in the Engagement History.
    HistorySearch,
    /// Operational Realtime and Messaging Operations.
    Operations,
    /// Those of them that ask this method, the last part of its path, such as `queuehealth`.
    OperationsMethod(String),
    /// Agent Metrics.
    AgentMetrics,
}

/// Kind of a request, as counted and matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Domain API.
    Domain,
    /// Base resource or schema.
    Resource,
    /// Listing.
    Listing,
    /// Download.
    Download,
    /// Token of the authorization server.
    Token,
    /// Login, refresh or logout.
    Login,
    /// Search of messaging conversations.
    MessagingSearch,
    /// Messaging conversations by id.
    MessagingById,
    /// Search of chats.
    HistorySearch,
    /// Operational Realtime or Messaging Operations.
    Operations,
    /// Agent Metrics.
    AgentMetrics,
}

impl RequestKind {
    /// Number of kinds.
    pub(super) const COUNT: usize = 11;
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An error status with the login-style body.
    Status(u16),
    /// A web page with status 200.
    Html200,
    /// XML with status 200.
    Xml200,
    /// The answer waits this long before it starts.
    Delay(Duration),
    /// The right `Content-Length`, but the connection closes after half of the body.
    CutBody,
    /// `Content-Length` promises 100 bytes more than come.
    WrongLength,
    /// Sends half of the body, stops for this long, then sends the rest.
    Stall(Duration),
    /// The body ends early with a matching `Content-Length`: a gzip stream without its end.
    TruncatedGzip,
    /// One byte in the middle is changed.
    CorruptGzip,
    /// A body of no bytes.
    EmptyFile,
    /// The JSON ends within its last record (downloads) or in the middle (other answers).
    TruncatedJson,
    /// One unusable record among the good ones (downloads).
    BrokenRecord,
    /// The listing names another account.
    OtherAccount(String),
    /// The listing has an additional file of this name.
    EvilName(String),
    /// The listing has an additional file whose address is this.
    ForeignHost(String),
    /// A single service is answered in the list form (Domain API).
    DomainList,
    /// An additional listing entry repeats the first one.
    RepeatedEntry,
    /// Ends every bearer token and login session before the request is looked at.
    ExpireTokens,
    /// A token answer without `expires_in`.
    WithoutExpiresIn,
    /// `partialResult: true` with status 200: a third of the matches is missing, from `count` too (searches).
    PartialResult,
    /// The first match is not there yet, and `count` is lower by one. The next page has it: the pages shift (searches).
    NotYet,
    /// No key with the list of records (searches).
    WithoutRecords,
    /// 204 without a body where nothing matches, in place of a `count` of 0 (searches).
    NoContent,
}

/// One rule: of the requests that match, `skip` pass, then every `every`-th is hit, `times` times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which requests are counted.
    pub target: Target,
    /// How many of them pass first.
    pub skip: u64,
    /// After that every how many-th is hit; 1 hits each.
    pub every: u64,
    /// How often it hits; `u64::MAX` for ever.
    pub times: u64,
    /// What goes wrong.
    pub fault: Fault,
}

impl Rule {
    /// Hits the next matching request, once.
    #[must_use]
    pub fn once(target: Target, fault: Fault) -> Self {
        Self { target, skip: 0, every: 1, times: 1, fault }
    }

    /// Hits each matching request.
    #[must_use]
    pub fn always(target: Target, fault: Fault) -> Self {
        Self { target, skip: 0, every: 1, times: u64::MAX, fault }
    }

    /// Hits every `every`-th matching request.
    #[must_use]
    pub fn every(every: u64, target: Target, fault: Fault) -> Self {
        let every = every.max(1);
        Self { target, skip: every - 1, every, times: u64::MAX, fault }
    }
}

/// When a file that comes late can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appears {
    /// After that many listings were answered.
    AfterListings(u64),
    /// From this simulated instant on, epoch milliseconds.
    At(i64),
}

/// Files that appear later than their hour says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateFiles {
    /// Text contained in the names, such as `part-00001`.
    pub name_contains: String,
    /// When they can be seen.
    pub appears: Appears,
}

/// Everything that deviates from a well-behaved account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// Faults, in order.
    pub rules: Vec<Rule>,
    /// Late files.
    pub late: Vec<LateFiles>,
}

impl Script {
    /// Names of the presets.
    pub const NAMES: [&str; 4] = ["clean", "flaky", "hostile", "late"];

    /// A preset; none for an unknown name.
    ///
    /// `clean` has no faults; `flaky` has those a patient client overcomes; `hostile` adds
    /// damaged and malicious content; `late` lets second parts appear after three listings.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "clean" => Some(Self::default()),
            "flaky" => Some(Self { rules: flaky(), late: Vec::new() }),
            "hostile" => Some(Self { rules: hostile(), late: Vec::new() }),
            "late" => Some(Self { rules: Vec::new(), late: vec![second_parts_late()] }),
            _ => None,
        }
    }

    /// Names that the script puts into listings; they can be downloaded.
    pub(super) fn evil_names(&self) -> Vec<String> {
        let names = self.rules.iter().filter_map(|rule| match &rule.fault {
            Fault::EvilName(name) => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }
}

fn second_parts_late() -> LateFiles {
    LateFiles { name_contains: "part-00001".to_owned(), appears: Appears::AfterListings(3) }
}

fn any_file() -> Target {
    Target::Download(String::new())
}

fn flaky() -> Vec<Rule> {
    vec![
        Rule::once(Target::Domain, Fault::DomainList),
        Rule::once(Target::Listing, Fault::Status(503)),
        Rule::every(4, Target::Listing, Fault::Status(429)),
        Rule::every(7, any_file(), Fault::Status(500)),
        Rule::every(11, any_file(), Fault::CutBody),
        Rule::every(13, any_file(), Fault::Status(429)),
        Rule::every(17, any_file(), Fault::TruncatedGzip),
        Rule::every(19, any_file(), Fault::Delay(Duration::from_millis(400))),
        Rule::every(23, any_file(), Fault::WrongLength),
        Rule::once(Target::Token, Fault::WithoutExpiresIn),
        Rule::once(Target::MessagingSearch, Fault::Status(503)),
        Rule::every(3, Target::MessagingSearch, Fault::PartialResult),
        Rule::every(5, Target::MessagingSearch, Fault::NotYet),
        Rule::every(7, Target::MessagingSearch, Fault::Status(429)),
        Rule::every(11, Target::MessagingSearch, Fault::CutBody),
        Rule { times: 1, ..Rule::every(6, Target::MessagingSearch, Fault::ExpireTokens) },
        Rule::always(Target::MessagingSearch, Fault::NoContent),
        Rule::every(4, Target::MessagingById, Fault::Status(500)),
        Rule::every(5, Target::MessagingById, Fault::PartialResult),
        Rule::every(3, Target::HistorySearch, Fault::PartialResult),
        Rule::every(5, Target::HistorySearch, Fault::Status(500)),
        Rule::every(4, Target::Operations, Fault::Status(429)),
    ]
}

fn hostile() -> Vec<Rule> {
    let mut rules = flaky();
    rules.extend([
        Rule::every(2, Target::Listing, Fault::EvilName("../../etc/evil.gz".to_owned())),
        Rule::every(3, Target::Listing, Fault::EvilName("a".repeat(4_000))),
        Rule::every(3, Target::Listing, Fault::EvilName("Engagement.\0.gz".to_owned())),
        Rule::every(2, Target::Listing, Fault::ForeignHost("http://192.0.2.1/x.gz".to_owned())),
        Rule::every(5, Target::Listing, Fault::Html200),
        Rule::every(6, Target::Listing, Fault::OtherAccount("99999999".to_owned())),
        Rule::every(8, Target::Listing, Fault::TruncatedJson),
        Rule::every(9, any_file(), Fault::CorruptGzip),
        Rule::every(10, any_file(), Fault::BrokenRecord),
        Rule::every(12, any_file(), Fault::Html200),
        Rule::every(14, any_file(), Fault::EmptyFile),
        Rule::every(16, any_file(), Fault::Stall(Duration::from_secs(2))),
        Rule::every(8, Target::MessagingSearch, Fault::Html200),
        Rule::every(9, Target::MessagingSearch, Fault::WithoutRecords),
        Rule::every(13, Target::MessagingSearch, Fault::TruncatedJson),
        Rule::every(7, Target::MessagingById, Fault::TruncatedJson),
        Rule::every(7, Target::HistorySearch, Fault::Html200),
    ]);
    rules
}

/// A script with its counters.
#[derive(Debug)]
pub(super) struct Stage {
    rules: Vec<(Rule, AtomicU64)>,
    pub(super) late: Vec<LateFiles>,
}

impl Stage {
    pub(super) fn new(script: Script) -> Self {
        let rules = script.rules.into_iter().map(|rule| (rule, AtomicU64::new(0)));
        Self { rules: rules.collect(), late: script.late }
    }

    /// Counts a request and gives the faults that hit it, in the order of the script.
    pub(super) fn faults(&self, kind: RequestKind, name: &str) -> Vec<Fault> {
        let mut hits = Vec::new();
        for (rule, seen) in &self.rules {
            let matches = match &rule.target {
                Target::Any => true,
                Target::Domain => kind == RequestKind::Domain,
                Target::Resource => kind == RequestKind::Resource,
                Target::Listing => kind == RequestKind::Listing,
                Target::Download(part) => kind == RequestKind::Download && name.contains(part),
                Target::Token => kind == RequestKind::Token,
                Target::Login => kind == RequestKind::Login,
                Target::MessagingSearch => kind == RequestKind::MessagingSearch,
                Target::MessagingById => kind == RequestKind::MessagingById,
                Target::HistorySearch => kind == RequestKind::HistorySearch,
                Target::Operations => kind == RequestKind::Operations,
                Target::OperationsMethod(method) => kind == RequestKind::Operations && name == method,
                Target::AgentMetrics => kind == RequestKind::AgentMetrics,
            };
            if !matches {
                continue;
            }
            let number = seen.fetch_add(1, Ordering::Relaxed);
            let every = rule.every.max(1);
            let due = number.checked_sub(rule.skip).filter(|after| after % every == 0);
            if due.is_some_and(|after| after / every < rule.times) {
                hits.push(rule.fault.clone());
            }
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_hits_the_requests_it_names() {
        let rule = Rule { skip: 1, every: 2, times: 2, ..Rule::once(Target::Listing, Fault::Html200) };
        let stage = Stage::new(Script { rules: vec![rule], late: Vec::new() });
        let mut hits = Vec::new();
        for _ in 0..7 {
            assert!(stage.faults(RequestKind::Download, "x").is_empty());
            hits.push(stage.faults(RequestKind::Listing, "").len());
        }
        assert_eq!(hits, [0, 1, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn presets_have_names() {
        assert!(Script::NAMES.into_iter().all(|name| Script::by_name(name).is_some()));
        assert!(Script::by_name("other").is_none());
    }
}
