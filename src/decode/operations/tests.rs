//! Answers as the documentation prints them → points.
#![allow(clippy::unwrap_used)]

use super::*;
use std::fmt::Write as _;

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
/// 13:29:00 of some day.
const NOW: i64 = 1_718_013_600_000 - 1_718_013_600_000 % (24 * HOUR) + 13 * HOUR + 29 * MINUTE;

fn line(call: &str, query: &str, body: &str) -> String {
    format!(
        r#"{{"type":"api-answer","format":1,"stream":"s","call":"{call}","received_ms":{NOW},"status":200,"clock_offset_ms":null,"response":{{}},"body_sha256":"00","request":{{"method":"GET","url":"https://lo.example/{call}?{query}","body":null}},"body":{body}}}"#
    )
}

/// Every point as `kind start..end (minutes after midnight) skill/agent/group/state/reason/section metric=value`.
fn read(text: &str) -> (Vec<String>, FigureReport) {
    let day = NOW - 13 * HOUR - 29 * MINUTE;
    let mut found = Vec::new();
    let report = figures(Cursor::new(text.to_owned()), "40112233", DecodeLimits::default(), &mut |figure| {
        if let Figure::Point { span, dimensions: d, metric, value, .. } = figure {
            let minute = |at_ms: i64| (at_ms - day) as f64 / MINUTE as f64;
            let mut said = format!("{} {}..{}", span.kind.name(), minute(span.start_ms), minute(span.end_ms));
            for dimension in [&d.skill, &d.agent, &d.group, &d.state, &d.reason] {
                write!(said, " {}", dimension.as_deref().unwrap_or("·")).unwrap();
            }
            write!(said, " {}", d.section.map_or("·", Section::name)).unwrap();
            write!(said, " {metric}={value:?}").unwrap();
            found.push(said);
        }
        true
    });
    (found, report.unwrap())
}

/// Points of a body, each shortened by what all have in common.
#[track_caller]
fn check(call: &str, query: &str, body: &str, expected: &[&str]) {
    let (found, report) = read(&line(call, query, body));
    assert_eq!(report.problems.total(), 0, "{:?}", report.problems);
    assert_eq!(report.answers, 1);
    assert_eq!(found, expected, "{call}?{query}");
    // The same in the other envelope, on several lines, and in base64.
    let wrapped = format!("{{\"meta\":{{\"responseCode\":200}},\n\"body\":{body}}}");
    let encoded =
        line(call, query, "0").replace("\"body\":0", &format!("\"body_base64\":\"{}\"", STANDARD.encode(&wrapped)));
    assert_eq!(read(&encoded).0, expected, "wrapped {call}?{query}");
}

/// 13:29 rounded up, less some intervals of five minutes.
fn stamp(back: i64) -> i64 {
    NOW + MINUTE - back * 5 * MINUTE
}

#[test]
fn end_stamped_intervals_are_rounded_to_buckets() {
    let (newest, oldest) = (stamp(0), stamp(1));
    let body = format!(
        r#"{{"metricsByIntervals":[{{"timestamp":{newest},"metricsData":{{"skillsMetrics":{{"12":{{"enteredQEng":4,"minQueueSize":-1}}}},"metricsTotals":{{"enteredQEng":4}}}}}},
        {{"timestamp":{oldest},"metricsTotal":{{"enteredQEng":1}}}}],"metricsTotals":{{"enteredQEng":5,"currentQueueSize":2}}}}"#
    )
    .replace('\n', "");
    check(
        "queuehealth",
        "timeframe=7&interval=5&skillIds=all",
        &body,
        &[
            "interval 805..810 12 · · · · · enteredQEng=Number(4.0)",
            "interval 805..810 · · · · · · enteredQEng=Number(4.0)",
            "interval 800..805 · · · · · · enteredQEng=Number(1.0)",
            "window 800..805 · · · · · · enteredQEng=Number(5.0)",
            "snapshot 809..809 · · · · · · currentQueueSize=Number(2.0)",
        ],
    );
}

#[test]
fn start_stamped_intervals_are_as_they_were_asked_for() {
    let (from, to) = (NOW - 8 * MINUTE, NOW - 3 * MINUTE);
    let body = format!(r#"{{"metricsByIntervals":[{{"timestamp":{from},"skillsMetrics":{{"7":{{"a":1}}}}}}]}}"#);
    check("msgskillsegments", "timeframe=10&interval=5", &body, &["interval 801..806 7 · · · · · a=Number(1.0)"]);
    let whole = r#"{"timeframeSummary":{"skillsMetrics":{},"metricsTotal":{"unassignedConversations":6}}}"#;
    let query = format!("v=2&fromMillis={from}&toMillis={to}");
    check("msgqueuehealth", &query, whole, &["window 801..806 · · · · · · unassignedConversations=Number(6.0)"]);
}

#[test]
fn the_first_interval_of_agentactivity_holds_the_rest_only() {
    let body = format!(
        r#"{{"metricsByIntervals":[{{"timestamp":{},"metricsData":{{"agentsMetrics":{{"metricsPerAgent":{{"71":[{{"id":2,"name":"Online","value":{{"total":180}}}},{{"reasons":[{{"id":"88","value":{{"total":5}}}}],"id":4,"name":"Away","value":{{"total":9}}}},{{"id":-1,"name":"Logged in","value":{{"total":189}}}},{{"id":9,"name":"Lunch","value":{{"total":1}}}}]}},"metricsTotals":[]}}}}}}]}}"#,
        stamp(1)
    );
    let head = "interval 802..805 · 71 ·";
    let expected = [
        format!("{head} online · · total=Number(180.0)"),
        format!("{head} away · · total=Number(9.0)"),
        format!("{head} away 88 · total=Number(5.0)"),
        format!("{head} logged-in · · total=Number(189.0)"),
        format!("{head} lunch · · total=Number(1.0)"),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check("agentactivity", "timeframe=7&interval=5&agentIds=all", &body, &expected);
}

#[test]
fn totals_say_which_grouping_they_close() {
    let body = r#"{"skillsMetricsPerAgent":{"metricsPerSkill":{"12":{"metricsPerAgent":{"71":{"n":2}},"metricsTotals":{"n":3}}},"metricsTotals":{"n":4}},"agentsMetrics":{"metricsPerAgent":{"71":{"n":5}},"metricsTotals":{"n":0}}}"#;
    let head = "window 800..805";
    let expected = [
        format!("{head} 12 71 · · · · n=Number(2.0)"),
        format!("{head} 12 · · · · · n=Number(3.0)"),
        format!("{head} · · · · · skills n=Number(4.0)"),
        format!("{head} · 71 · · · · n=Number(5.0)"),
        format!("{head} · · · · · agents n=Number(0.0)"),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check("msgconversation", "timeframe=7&v=1", body, &expected);
    // The table's name for the same wrapper.
    check("msgconversation", "timeframe=7&v=1", &body.replace("skillsMetricsPerAgent", "skillsMetrics"), &expected);
}

#[test]
fn states_now_are_snapshots() {
    check(
        "queuestate",
        "v=2",
        r#"{"skills":{"12":{"currentQueueSize":1},"99":{"currentQueueSize":-1}},"totals":{"currentQueueSize":1}}"#,
        &[
            "snapshot 809..809 12 · · · · · currentQueueSize=Number(1.0)",
            "snapshot 809..809 · · · · · · currentQueueSize=Number(1.0)",
        ],
    );
    let ewt = format!(
        r#"{{"estimatedWaitTimeResponse":[{{"skillId":2411,"estimatedWaitTime":35,"timestamp":{}}},{{"skillId":2412,"estimatedWaitTime":-1,"timestamp":{NOW}}}]}}"#,
        NOW - MINUTE
    );
    check("ewt", "skills=1", &ewt, &["snapshot 808..808 2411 · · · · · estimatedWaitTime=Number(35.0)"]);
    let agents = r#"{"_metadata":{"count":1},"accountID":"40112233","agentStatusRecords":[{"agentId":"71","currentStatusStartTimeL":5,"currentStatusStartTime":"x","agentLoginName":"007","agentSkills":[{"skillId":"3","skillName":"Orders"}],"agentGroupId":-1,"currentStatus":"BACK_SOON","currentStatusReason":"88","load":40}]}"#;
    let head = "snapshot 809..809";
    let expected = [
        format!("{head} · 71 -1 back-soon 88 · currentStatusStartTimeL=Number(5.0)"),
        format!("{head} · 71 -1 back-soon 88 · agentLoginName=Text(\"007\")"),
        format!("{head} 3 71 -1 back-soon 88 · agentSkills=Text(\"Orders\")"),
        format!("{head} · 71 -1 back-soon 88 · load=Number(40.0)"),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check("agent-view/status", "limit=50&offset=0", agents, &expected);
}

#[test]
fn what_is_not_known_is_kept_by_its_path() {
    check(
        "sla",
        "timeframe=5",
        r#"{"slaDataRange":{"15":{"chats":2}},"newThing":[{"deep":{"x":true}},7],"note":"NA"}"#,
        &[
            "window 800..805 · · · · · · slaDataRange.15.chats=Number(2.0)",
            "window 800..805 · · · · · · newThing[0].deep.x=Number(1.0)",
            "window 800..805 · · · · · · newThing[1]=Number(7.0)",
        ],
    );
    check("brandnew", "v=9", r#"{"metricsTotals":{"x":1}}"#, &["snapshot 809..809 · · · · · · x=Number(1.0)"]);
}

#[test]
fn what_cannot_be_read_is_counted_and_stops_nothing() {
    let good = line("queuestate", "v=2", r#"{"totals":{"currentQueueSize":1}}"#);
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    for (bad, kind) in [
        (line("queuehealth", "timeframe=5", "[1,2]"), ProblemKind::OddValue),
        (line("queuehealth", "timeframe=5", &deep), ProblemKind::OddValue),
        (
            line("brandnew", "interval=5", &format!(r#"{{"metricsByIntervals":[{{"timestamp":{NOW},"a":1}}]}}"#)),
            ProblemKind::BrokenRecord,
        ),
        (
            line("queuehealth", "timeframe=5&interval=5", r#"{"metricsByIntervals":[{"timestamp":5,"a":1}]}"#),
            ProblemKind::BrokenRecord,
        ),
        (line("queuehealth", "timeframe=5", r#"{"metricsTotals":{"a":tru}}"#), ProblemKind::BrokenRecord),
        (line("queuehealth", "timeframe=5", r#"{"a":tru}"#), ProblemKind::BrokenRecord),
        (r#"{"dataType":"Engagement"}"#.to_owned(), ProblemKind::NotIndexed),
    ] {
        let (found, report) = read(&format!("{bad}\n{good}\n"));
        assert_eq!(found, ["snapshot 809..809 · · · · · · currentQueueSize=Number(1.0)"], "{bad}");
        assert_eq!(report.problems.counts.get(&kind), Some(&1), "{bad}: {:?}", report.problems);
    }
    let refused =
        line("queuehealth", "timeframe=5", r#"{"metricsTotals":{"a":1}}"#).replace("\"status\":200", "\"status\":403");
    let (found, report) = read(&format!("{refused}\n{good}"));
    assert_eq!((found.len(), report.answers, report.refused), (1, 2, 1));
    let (_, cut) = read(&good[..good.len() - 9]);
    assert_eq!(cut.problems.counts.get(&ProblemKind::CutShort), Some(&1));
}
