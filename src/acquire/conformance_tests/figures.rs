//! What the polled APIs have, and what of it the archive holds: written down from the reference, not from the methods' own list.
//!
//! A figure has a name: `<call>@<end of its five minutes>` where LivePerson forgets it after a day, `<call>` where it is how
//! things are now, `<call>/<agent>` for each agent of a list. That the numbers are right is for `polling_tests.rs`.

use std::collections::BTreeSet;
use std::io::Read as _;

use serde_json::Value;

use crate::acquire::OperationsApi;
use crate::acquire::tests::Lab;
use crate::archive::Window;

const MINUTE_MS: i64 = 60_000;
const STEP_MS: i64 = 5 * MINUTE_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// What the answers of a method tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// Intervals, named by their ends. One may grow for five minutes more.
    Ends,
    /// Intervals, named by their starts, which may lie anywhere. One may grow for five minutes more.
    Starts,
    /// One stretch of time until now, rounded outwards to five minutes.
    Stretch,
    /// How things are now.
    Now,
    /// The same of each skill that other answers have named.
    NowOfSkills,
    /// How the agents are now, on pages.
    Agents,
}

fn calls(api: OperationsApi) -> &'static [(&'static str, Tells)] {
    match api {
        OperationsApi::Realtime => &[
            ("queuehealth", Tells::Ends),
            ("engactivity", Tells::Ends),
            ("agentactivity", Tells::Ends),
            ("sla", Tells::Stretch),
            ("queuestate", Tells::Now),
        ],
        OperationsApi::Messaging => &[
            ("msgconversation", Tells::Ends),
            ("msgqueuehealth", Tells::Starts),
            ("msgskillsegments", Tells::Starts),
            ("msgagentsegments", Tells::Starts),
            ("msgcsatdistribution", Tells::Stretch),
            ("msgqueuehealth/current", Tells::Now),
            ("ewt", Tells::NowOfSkills),
        ],
        OperationsApi::Agents => &[("agent-view/summary", Tells::Now), ("agent-view/status", Tells::Agents)],
    }
}

/// Names under which the ledger has what became of the questions.
pub(super) fn ledger(api: OperationsApi) -> Vec<String> {
    calls(api).iter().map(|(call, _)| format!("{}/{call}", api.stream())).collect()
}

/// Everything that is final at the present time, and everything of this moment.
pub(super) fn truth(lab: &Lab, api: OperationsApi) -> BTreeSet<String> {
    let now_ms = lab.simulator.now_ms();
    let mut names = BTreeSet::new();
    for (call, tells) in calls(api) {
        let settles_ms = match tells {
            Tells::Ends | Tells::Starts => STEP_MS,
            Tells::Stretch => 0,
            // No answer names a skill of an account in which nothing ever happened.
            Tells::NowOfSkills if lab.simulator.messaging().started(now_ms).is_empty() => continue,
            Tells::Now | Tells::NowOfSkills | Tells::Agents => {
                names.insert((*call).to_owned());
                if *tells == Tells::Agents {
                    let agents = lab.simulator.messaging().busy_agents(now_ms);
                    names.extend(agents.into_iter().map(|agent| format!("{call}/{agent}")));
                }
                continue;
            }
        };
        let mut start_ms = first_ms(now_ms);
        while start_ms + STEP_MS < now_ms - settles_ms {
            names.insert(named(call, start_ms));
            start_ms += STEP_MS;
        }
    }
    names
}

/// What the ledger says is here for good and the answers hold, and what the answers of this moment tell. What the ledger says
/// and no answer holds, or says twice, has a name that is in no truth.
pub(super) fn archived(lab: &Lab, api: OperationsApi) -> BTreeSet<String> {
    let now_ms = lab.simulator.now_ms();
    let lines = lines(lab, api);
    let mut names = BTreeSet::new();
    for (call, tells) in calls(api) {
        let answers: Vec<&Value> = lines.iter().filter(|line| line["call"] == *call).collect();
        if matches!(tells, Tells::Now | Tells::NowOfSkills | Tells::Agents) {
            for answer in answers.into_iter().filter(|answer| answer["received_ms"] == now_ms) {
                names.insert((*call).to_owned());
                let agents = answer["body"]["agentStatusRecords"].as_array().into_iter().flatten();
                names.extend(agents.map(|agent| format!("{call}/{}", agent["agentId"].as_str().unwrap())));
            }
            continue;
        }
        let mut held: Vec<Window> = answers.into_iter().flat_map(|answer| finals(answer, *tells)).collect();
        held.sort_by_key(|window| window.start_ms);
        for window in answered(lab, &format!("{}/{call}", api.stream())) {
            // The oldest interval is forgotten while the question is under way, or it is cut: it is in no truth.
            let mut start_ms = window.start_ms.max(first_ms(now_ms));
            while start_ms < window.end_ms {
                let name = named(call, start_ms);
                if !is_within(&held, start_ms) {
                    names.insert(format!("{name}, in no answer"));
                } else if !names.insert(name.clone()) {
                    names.insert(format!("{name}, twice"));
                }
                start_ms += STEP_MS;
            }
        }
    }
    names
}

/// Start of the oldest interval that is there whole, however long a question takes.
fn first_ms(now_ms: i64) -> i64 {
    (now_ms - DAY_MS).div_euclid(STEP_MS) * STEP_MS + 2 * STEP_MS
}

fn named(call: &str, start_ms: i64) -> String {
    format!("{call}@{}", start_ms + STEP_MS)
}

fn answered(lab: &Lab, name: &str) -> Vec<Window> {
    let listings = lab.archive.listings_in(name).unwrap().into_iter();
    listings.filter(|listing| listing.is_answered()).map(|listing| listing.asked).collect()
}

/// Every archived answer of a stream.
fn lines(lab: &Lab, api: OperationsApi) -> Vec<Value> {
    let mut lines = Vec::new();
    for file in lab.archive.files_after(0).unwrap().into_iter().filter(|file| file.stream == api.stream()) {
        let mut text = String::new();
        let bytes = lab.archive.open_file(&file).unwrap();
        flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

/// The times of which an answer holds figures that do not change any more.
fn finals(answer: &Value, tells: Tells) -> Vec<Window> {
    let received_ms = answer["received_ms"].as_i64().unwrap();
    if tells == Tells::Stretch {
        let minutes: i64 = parameter(answer, "timeframe").unwrap();
        let start_ms = (received_ms - minutes * MINUTE_MS).div_euclid(STEP_MS) * STEP_MS;
        return vec![Window { start_ms, end_ms: received_ms }];
    }
    assert_eq!(parameter(answer, "interval"), Some(5), "{answer}");
    let intervals = answer["body"]["metricsByIntervals"].as_array().unwrap().iter();
    let windows = intervals.map(|interval| {
        let at_ms = interval["timestamp"].as_i64().unwrap();
        let start_ms = if tells == Tells::Ends { at_ms - STEP_MS } else { at_ms };
        Window { start_ms, end_ms: start_ms + STEP_MS }
    });
    windows.filter(|window| window.end_ms <= received_ms - STEP_MS).collect()
}

fn parameter(answer: &Value, name: &str) -> Option<i64> {
    let url = url::Url::parse(answer["request"]["url"].as_str()?).ok()?;
    url.query_pairs().find(|(key, _)| key == name)?.1.parse().ok()
}

/// Whether the five minutes from an instant on are held, by one of `held` or by several that adjoin. `held` is sorted.
fn is_within(held: &[Window], start_ms: i64) -> bool {
    let mut until_ms = start_ms;
    for window in held.iter().filter(|window| window.end_ms > start_ms) {
        if window.start_ms > until_ms || until_ms >= start_ms + STEP_MS {
            break;
        }
        until_ms = until_ms.max(window.end_ms);
    }
    until_ms >= start_ms + STEP_MS
}
