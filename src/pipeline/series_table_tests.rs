//! Rules of putting figures together, and agents that come and go.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::decode::Span;
use crate::pipeline::AgentsView;

const FIVE: i64 = 300_000;
/// A full hour.
const HOUR: i64 = 1_790_035_200_000;

fn span(call: &str, kind: SpanKind, start_ms: i64, length_ms: i64) -> SeriesSpan<'_> {
    let span = Span { kind, start_ms, end_ms: start_ms + length_ms };
    SeriesSpan { call, span, is_open: false, answered_ms: start_ms + length_ms, offset: 0 }
}

fn table(step: Step) -> SeriesTable {
    SeriesTable::new(Bucketing { step, tz: TimeZone::UTC }, None, None)
}

fn take(table: &mut SeriesTable, span: &SeriesSpan<'_>, points: &[(&str, f64)]) {
    table.take(span, None);
    for (metric, value) in points {
        let (dimensions, value) = (Dimensions::default(), FigureValue::Number(*value));
        table.take(span, Some(&SeriesPoint { dimensions: &dimensions, metric, value, answered_ms: 0 }));
    }
}

fn row<'t>(tables: &'t [CallTable], metric: &str) -> &'t MetricRow {
    tables[0].metrics.iter().find(|row| row.metric == metric).unwrap()
}

#[test]
fn averages_come_from_sums_and_never_from_averages() {
    let mut hour = table(Step::Hour);
    let interval = |at: i64| span("queuehealth", SpanKind::Interval, HOUR + at * FIVE, FIVE);
    take(
        &mut hour,
        &interval(0),
        &[
            ("connectedEng", 1.0),
            ("abandonedEng", 1.0),
            ("abandonmentRate", 0.5),
            ("totalTimeToAnswer", 100.0),
            ("avgTimeToAnswer", 100.0),
            ("maxQueueSize", 3.0),
            ("avgOfMystery", 2.0),
        ],
    );
    take(
        &mut hour,
        &interval(1),
        &[
            ("connectedEng", 9.0),
            ("abandonedEng", 0.0),
            ("abandonmentRate", 0.0),
            ("totalTimeToAnswer", 90.0),
            ("avgTimeToAnswer", 10.0),
            ("maxQueueSize", 1.0),
            ("avgOfMystery", 6.0),
        ],
    );
    // The next hour holds nothing, the third says nothing of the sums.
    take(&mut hour, &interval(25), &[("avgTimeToAnswer", 7.0)]);
    let tables = hour.finish().unwrap();
    assert_eq!(tables[0].buckets.len(), 3);
    assert_eq!(tables[0].covered, [2 * FIVE, 0, FIVE]);
    let average = row(&tables, "avgTimeToAnswer");
    assert_eq!(average.figures[0].unwrap().value, Some(19.0), "190 s for 10, not the mean of 100 and 10");
    assert_eq!(average.figures[1], None);
    assert_eq!(average.figures[2].unwrap().value, Some(7.0));
    assert_eq!((average.whole.value, average.whole.least, average.whole.greatest), (None, 7.0, 100.0));
    assert_eq!(row(&tables, "abandonmentRate").whole.value, Some(1.0 / 11.0));
    assert_eq!(row(&tables, "connectedEng").whole.value, Some(10.0));
    assert_eq!(row(&tables, "maxQueueSize").whole.value, Some(3.0));
    let mystery = row(&tables, "avgOfMystery");
    assert_eq!((mystery.rule, mystery.whole.value, mystery.whole.least), (Rule::Range, None, 2.0));
}

#[test]
fn one_total_of_several_groupings_counts() {
    let mut day = table(Step::Day);
    let time = span("msgconversation", SpanKind::Interval, HOUR, FIVE);
    day.take(&time, None);
    for (section, value) in [(Some(Section::Skills), 8.0), (Some(Section::Agents), 0.0)] {
        let dimensions = Dimensions { section, ..Dimensions::default() };
        let (metric, value) = ("totalResolvedConversations", FigureValue::Number(value));
        day.take(&time, Some(&SeriesPoint { dimensions: &dimensions, metric, value, answered_ms: 0 }));
    }
    assert_eq!(row(&day.finish().unwrap(), "totalResolvedConversations").whole.value, Some(8.0));
}

#[test]
fn states_at_an_instant_are_never_added() {
    let mut hour = table(Step::Hour);
    for (at, size) in [(0, 4.0), (60_000, 6.0)] {
        take(
            &mut hour,
            &span("queuestate", SpanKind::Snapshot, HOUR + at, 0),
            &[("currentQueueSize", size), ("total", 1.0)],
        );
    }
    let tables = hour.finish().unwrap();
    let size = row(&tables, "currentQueueSize").whole;
    assert_eq!((size.value, size.least, size.greatest, size.intervals), (None, 4.0, 6.0, 2));
    assert_eq!(row(&tables, "total").rule, Rule::Range);
    assert_eq!(tables[0].covered, [2]);
}

#[test]
fn days_are_those_of_the_zone_and_too_many_are_refused() {
    let berlin = Bucketing { step: Step::Day, tz: TimeZone::get("Europe/Berlin").unwrap() };
    // The day on which clocks go back has 25 hours.
    let (start_ms, end_ms) = berlin.bucket(1_792_900_000_000);
    assert_eq!((end_ms - start_ms) / 3_600_000, 25);
    assert_eq!(berlin.bucket(end_ms).0, end_ms);
    let mut five = table(Step::FiveMinutes);
    take(&mut five, &span("a", SpanKind::Interval, HOUR, FIVE), &[("n", 1.0)]);
    take(&mut five, &span("a", SpanKind::Interval, HOUR + 20_001 * FIVE, FIVE), &[("n", 1.0)]);
    assert_eq!(five.finish().unwrap_err(), TableError::TooLarge);
}

#[test]
fn agents_who_are_not_listed_are_gone() {
    let mut view = AgentsView::default();
    let mut list = |minute: i64, agents: &[(&str, &str)]| {
        let time = span("agent-view/status", SpanKind::Snapshot, HOUR + minute * 60_000, 0);
        view.take(&time, None);
        for (agent, state) in agents {
            let dimensions =
                Dimensions { agent: Some((*agent).into()), state: Some((*state).into()), ..Dimensions::default() };
            let value = FigureValue::Number(40.0);
            view.take(&time, Some(&SeriesPoint { dimensions: &dimensions, metric: "load", value, answered_ms: 0 }));
        }
    };
    list(0, &[("71", "online")]);
    list(1, &[("71", "away"), ("72", "online")]);
    list(3, &[("72", "online")]);
    // Nothing is known of most of this pause.
    list(60, &[("72", "online")]);
    assert_eq!((view.lists, view.unknown_ms), (4, 47 * 60_000));
    let agents = view.agents();
    let [gone, there] = [&agents[0], &agents[1]];
    assert_eq!(gone.states_ms, BTreeMap::from([("away".into(), 120_000), ("online".into(), 60_000)]));
    assert_eq!((gone.is_listed, gone.absent_ms, gone.last_seen_ms), (false, 600_000, HOUR + 60_000));
    assert_eq!((there.is_listed, there.absent_ms, there.lists, there.load), (true, 0, 3, Some((40.0, 40.0, 40.0))));
    assert_eq!(there.states_ms["online"], 120_000 + 600_000);
}
