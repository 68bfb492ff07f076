//! `stats --stream --json`: the shape that scripts read.
//!
//! ```text
//! { "stream", "by": "5m"|"hour"|"day", "tz", "from", "to", "call", "skill", "agent",      (null: everything, the totals)
//!   "files", "open_segments": those that are still being written, "other_account": answers of other accounts, which do not
//!   count, "other_accounts": the first of these, "answers", "refused", "unreadable", "absent", "left_out",
//!   "overlaps": number of times that overlap kept ones and do not count,
//!   "holes": { "count", "total_ms", "list": [ { "call", "kind", "start", "end", "because" } ] },
//!   "coverage": { "first": { "time", "file", "open", "sha256" (not while open) }, "last": { … } },                 (null without answers)
//!   "calls": [ { "call", "answers", "refused", "intervals", "windows", "snapshots", "open", "overlaps", "points",
//!                "said_again", "points_overlapping", "beside_intervals", "holes": {…}, "coverage": {…},
//!                "tables": [ { "kind", "buckets": [ { "start", "end", "covered_ms" | "snapshots", "open" } ],
//!                              "metrics": [ { "metric", "rule", "whole": FIGURE, "figures": [ FIGURE | null ] } ] } ] } ],
//!   "agents": { "lists", "first", "last", "unknown_ms", "left_out", "list": [ … ] } }       (agent-metrics only, else null)
//! ```
//!
//! A FIGURE is `{ "value", "least", "greatest", "intervals" }`; `value` is null where only the range is true. `because` is `nothing-archived`
//! or `overlapping-times`. Times are RFC 3339, durations milliseconds; the units of metrics are LivePerson's.

use super::output::json_time;
use super::series_advice;
use chatvault::decode::{ProblemKind, SpanKind};
use chatvault::pipeline::{
    AgentHistory, AgentsView, AnswerPlace, CallReport, CallTable, Hole, MetricRow, SeriesFilter, SeriesReport,
    TableFigure,
};
use serde_json::{Value, json};

/// Everything that the document says.
pub(super) struct Whole<'w> {
    pub(super) stream: &'w str,
    pub(super) by: &'w str,
    pub(super) tz: &'w str,
    pub(super) filter: &'w SeriesFilter,
    pub(super) report: &'w SeriesReport,
    pub(super) tables: &'w [CallTable],
    pub(super) agents: &'w AgentsView,
}

pub(super) fn document(whole: &Whole<'_>) -> Value {
    let (report, filter) = (whole.report, whole.filter);
    let sum = |of: fn(&CallReport) -> u64| report.calls.values().map(of).sum::<u64>();
    let holes = report.calls.iter().flat_map(|(call, report)| {
        report.holes.iter().map(move |found| {
            let mut hole = hole(found);
            hole["call"] = json!(call);
            hole
        })
    });
    let places = || report.calls.values().filter_map(|call| call.coverage.as_ref());
    let first = places().map(|(first, _)| first).min_by_key(|place| place.answered_ms);
    let last = places().map(|(_, last)| last).max_by_key(|place| place.answered_ms);
    let calls = report.calls.iter().map(|(call, report)| {
        let tables = whole.tables.iter().filter(|table| table.call == *call).map(table);
        let mut value = call_json(report);
        value["call"] = json!(call);
        value["tables"] = tables.collect();
        value
    });
    json!({
        "stream": whole.stream, "by": whole.by, "tz": whole.tz,
        "from": json_time(filter.from_ms), "to": json_time(filter.to_ms),
        "call": filter.call, "skill": filter.skill, "agent": filter.agent,
        "files": report.files, "open_segments": report.open_segments,
        "other_account": report.problems.counts.get(&ProblemKind::OtherAccount).unwrap_or(&0),
        "other_accounts": series_advice::named(report), "answers": sum(|call| call.answers), "refused": sum(|call| call.refused),
        "unreadable": report.problems.failures(), "problems": report.problems.counts, "absent": report.absent,
        "left_out": report.too_many, "overlaps": sum(|call| call.overlaps),
        "holes": {
            "count": sum(|call| call.hole_count),
            "total_ms": report.calls.values().map(|call| call.hole_ms).sum::<i64>(),
            "list": holes.collect::<Vec<Value>>(),
        },
        "coverage": coverage(first, last),
        "calls": calls.collect::<Vec<Value>>(),
        "agents": agents(whole.agents),
    })
}

fn call_json(report: &CallReport) -> Value {
    let (first, last) = report.coverage.as_ref().map(|(first, last)| (first, last)).unzip();
    json!({
        "answers": report.answers, "refused": report.refused, "intervals": report.intervals, "windows": report.windows,
        "snapshots": report.snapshots, "open": report.open, "overlaps": report.overlaps, "points": report.points,
        "said_again": report.said_again, "points_overlapping": report.points_overlapping,
        "beside_intervals": report.beside_intervals,
        "holes": {
            "count": report.hole_count, "total_ms": report.hole_ms,
            "list": report.holes.iter().map(hole).collect::<Vec<Value>>(),
        },
        "coverage": coverage(first, last),
    })
}

fn coverage(first: Option<&AnswerPlace>, last: Option<&AnswerPlace>) -> Value {
    let place = |place: &AnswerPlace| json!({ "time": json_time(Some(place.answered_ms)), "file": place.file, "open": place.sha256.is_none() });
    let place = |of: &AnswerPlace| {
        let mut place = place(of);
        if let Some(sha256) = &of.sha256 {
            place["sha256"] = json!(sha256);
        }
        place
    };
    first.zip(last).map_or(Value::Null, |(first, last)| json!({ "first": place(first), "last": place(last) }))
}

fn hole(hole: &Hole) -> Value {
    json!({
        "kind": hole.kind.name(), "start": json_time(Some(hole.start_ms)), "end": json_time(Some(hole.end_ms)),
        "because": if hole.is_overlap { "overlapping-times" } else { "nothing-archived" },
    })
}

fn table(table: &CallTable) -> Value {
    let covered = if table.kind == SpanKind::Snapshot { "snapshots" } else { "covered_ms" };
    let buckets = table.buckets.iter().zip(table.covered.iter().zip(&table.open)).map(|((start_ms, end_ms), (length, open))| {
        json!({ "start": json_time(Some(*start_ms)), "end": json_time(Some(*end_ms)), covered: length, "open": open })
    });
    let metric = |row: &MetricRow| {
        json!({
            "metric": row.metric, "rule": row.rule.name(), "whole": figure(&row.whole),
            "figures": row.figures.iter().map(|one| one.as_ref().map_or(Value::Null, figure)).collect::<Vec<Value>>(),
        })
    };
    json!({
        "kind": table.kind.name(),
        "buckets": buckets.collect::<Vec<Value>>(),
        "metrics": table.metrics.iter().map(metric).collect::<Vec<Value>>(),
    })
}

fn figure(of: &TableFigure) -> Value {
    json!({ "value": of.value, "least": of.least, "greatest": of.greatest, "intervals": of.intervals })
}

fn agents(view: &AgentsView) -> Value {
    let Some((first_ms, last_ms)) = view.range_ms else { return Value::Null };
    let agent = |agent: &AgentHistory| {
        let (least, greatest, latest) = match agent.load {
            Some((least, greatest, latest)) => (Some(least), Some(greatest), Some(latest)),
            None => (None, None, None),
        };
        json!({
            "agent_id": agent.agent_id, "name": agent.name, "lists": agent.lists,
            "first_seen": json_time(Some(agent.first_seen_ms)), "last_seen": json_time(Some(agent.last_seen_ms)),
            "state": if agent.is_listed { json!(agent.state) } else { json!("offline") },
            "last_state": agent.state, "reason": agent.reason, "state_since": json_time(agent.state_since_ms),
            "states_ms": agent.states_ms, "absent_ms": agent.absent_ms,
            "load": { "least": least, "greatest": greatest, "latest": latest },
            "open_conversations": agent.open_conversations,
        })
    };
    json!({
        "lists": view.lists, "first": json_time(Some(first_ms)), "last": json_time(Some(last_ms)),
        "unknown_ms": view.unknown_ms, "left_out": view.left_out,
        "list": view.agents().iter().map(agent).collect::<Vec<Value>>(),
    })
}
