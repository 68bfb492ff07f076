//! A series → a table: per method and metric one figure for each five minutes, hour or day, and one for all of it.
//!
//! What can be added is added. Rates and averages are computed again from their sums and counts where all of the
//! intervals have both; every other figure is shown as the least and the greatest of its intervals. An average of averages
//! is never computed: it would be wrong wherever the counts differ.

use super::series::{SeriesPoint, SeriesSpan};
use crate::decode::{Dimensions, FigureValue, Section, SpanKind};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit, ZonedRound};
use std::collections::BTreeMap;

/// Stretches of time that a table has at most.
const MAX_BUCKETS: usize = 20_000;
/// Figures that a table holds at most; one takes about 80 bytes.
const MAX_CELLS: usize = 2_000_000;

/// Length of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Five minutes: LivePerson's own.
    FiveMinutes,
    /// An hour of the time zone.
    Hour,
    /// A day of the time zone.
    Day,
}

/// How times are put together.
#[derive(Clone, Debug)]
pub struct Bucketing {
    /// Length.
    pub step: Step,
    /// Zone of hours and days.
    pub tz: TimeZone,
}

impl Bucketing {
    /// The stretch that an instant lies in, half-open, epoch milliseconds.
    pub fn bucket(&self, at_ms: i64) -> (i64, i64) {
        const FIVE_MS: i64 = 300_000;
        let five = at_ms.saturating_sub(at_ms.rem_euclid(FIVE_MS));
        let five = (five, five.saturating_add(FIVE_MS));
        let Ok(instant) = Timestamp::from_millisecond(at_ms) else { return five };
        let zoned = instant.to_zoned(self.tz.clone());
        let ends = match self.step {
            Step::FiveMinutes => return five,
            Step::Hour => zoned
                .round(ZonedRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Trunc))
                .map(|start| (start.timestamp(), start.timestamp() + jiff::SignedDuration::from_hours(1))),
            Step::Day => zoned.start_of_day().and_then(|start| Ok((start.timestamp(), start.tomorrow()?.timestamp()))),
        };
        ends.map_or(five, |(start, end)| (start.as_millisecond(), end.as_millisecond()))
    }
}

/// How the figures of several intervals become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Added.
    Sum,
    /// `factor` times the sum of one metric by that of another.
    Ratio {
        /// Metric above the line.
        above: &'static str,
        /// Metric below it.
        below: &'static str,
        /// What the quotient is multiplied with.
        factor: f64,
    },
    /// The least.
    Least,
    /// The greatest.
    Greatest,
    /// The least and the greatest, side by side.
    Range,
}

impl Rule {
    /// Name in output.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Sum => "sum",
            Rule::Ratio { .. } => "ratio",
            Rule::Least => "least",
            Rule::Greatest => "greatest",
            Rule::Range => "range",
        }
    }

    /// The rule of a metric: of a kind of time, because states at an instant are never added.
    pub fn of(kind: SpanKind, metric: &str) -> Rule {
        if kind == SpanKind::Snapshot {
            return Rule::Range;
        }
        if let Some((_, above, below, factor)) = RATIOS.iter().find(|(name, ..)| *name == metric) {
            return Rule::Ratio { above, below, factor: *factor };
        }
        let is_histogram = metric.starts_with("slaDataRange.") && metric.ends_with(".chats");
        match metric {
            _ if SUMS.contains(&metric) || is_histogram => Rule::Sum,
            "minQueueSize" | "minAvailableSlots" => Rule::Least,
            "maxQueueSize"
            | "maxAvailableSlots"
            | "maxWaitTimeForAgentAssignment"
            | "maxWaitTimeForAgentAssignment_AfterTransferFromAgent" => Rule::Greatest,
            _ => Rule::Range,
        }
    }
}

/// Metrics that count or sum what happened in an interval.
const SUMS: [&str; 44] = [
    "enteredQEng",
    "connectedEng",
    "abandonedEng",
    "totalTimeToAnswer",
    "totalTimeToAbandon",
    "queueSizeSum",
    "queueSizeCount",
    "availableSlotsSum",
    "availableSlotsCount",
    "totalInteractiveChats",
    "totalNonInteractiveChats",
    "totalHandlingTime",
    "nonInteractiveTotalHandlingTime",
    "connectedEngagements",
    "total",
    "chatting",
    "notChatting",
    "chattingInMaxConcurrency",
    "resolvedConversations_byCCP",
    "resolvedConversations_byConsumer",
    "resolvedConversations_bySystem",
    "totalResolvedConversations",
    "totalHandlingTime_resolvedConversations",
    "totalHandlingTime_resolvedConversations_byCCP",
    "totalHandlingTime_resolvedConversations_byConsumer",
    "totalHandlingTime_resolvedConversations_bySystem",
    "csat_score1_answers",
    "csat_score2_answers",
    "csat_score3_answers",
    "csat_score4_answers",
    "csat_score5_answers",
    "total_answers",
    "positive_answers",
    "totalSkillConversationSegments",
    "skillSegmentsAbandonedByConsumers",
    "skillSegmentsAbandonedByConsumersInQueue",
    "skillSegmentsWithNonResponsiveConsumers",
    "skillSegmentsWithNonResponsiveAgents",
    "interactiveSkillSegments",
    "totalAgentConversationSegments",
    "interactiveAgentSegments",
    "agentSegmentsAbandonedByConsumers",
    "agentSegmentsWithNonResponsiveConsumers",
    "agentSegmentsWithNonResponsiveAgents",
];

/// Rate or average, the sums that it is the quotient of, and a factor (reference `operational.md`).
const RATIOS: [(&str, &str, &str, f64); 9] = [
    ("avgTimeToAnswer", "totalTimeToAnswer", "connectedEng", 1.0),
    ("avgTimeToAbandon", "totalTimeToAbandon", "abandonedEng", 1.0),
    ("averageQueueSize", "queueSizeSum", "queueSizeCount", 1.0),
    ("averageAvailableSlots", "availableSlotsSum", "availableSlotsCount", 1.0),
    ("avgTime_resolvedConversations", "totalHandlingTime_resolvedConversations", "totalResolvedConversations", 1.0),
    (
        "avgTime_resolvedConversations_byCCP",
        "totalHandlingTime_resolvedConversations_byCCP",
        "resolvedConversations_byCCP",
        1.0,
    ),
    (
        "avgTime_resolvedConversations_byConsumer",
        "totalHandlingTime_resolvedConversations_byConsumer",
        "resolvedConversations_byConsumer",
        1.0,
    ),
    (
        "avgTime_resolvedConversations_bySystem",
        "totalHandlingTime_resolvedConversations_bySystem",
        "resolvedConversations_bySystem",
        1.0,
    ),
    ("csat_score", "positive_answers", "total_answers", 100.0),
];

/// Abandoned by abandoned and connected: its divisor is no metric of its own.
const ABANDONMENT: &str = "abandonmentRate";

/// A figure of a stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figure {
    /// By its rule; `None` where only a range is true.
    pub value: Option<f64>,
    /// Least of its intervals.
    pub least: f64,
    /// Greatest of its intervals.
    pub greatest: f64,
    /// Intervals with data.
    pub intervals: u64,
}

/// One metric of a table.
#[derive(Clone, Debug)]
pub struct MetricRow {
    /// LivePerson's name; an agent's state stands in front: `online.total`.
    pub metric: String,
    /// How it was put together.
    pub rule: Rule,
    /// Of everything.
    pub whole: Figure,
    /// One per stretch; `None`: no data.
    pub figures: Vec<Option<Figure>>,
}

/// One method's table.
#[derive(Clone, Debug)]
pub struct CallTable {
    /// Method.
    pub call: String,
    /// What its times are.
    pub kind: SpanKind,
    /// All stretches from the first to the last with data, half-open, epoch milliseconds.
    pub buckets: Vec<(i64, i64)>,
    /// Milliseconds of each stretch for which there are figures; of snapshots their number.
    pub covered: Vec<i64>,
    /// Stretches with a time that was not over when last asked for.
    pub open: Vec<bool>,
    /// The metrics, by name.
    pub metrics: Vec<MetricRow>,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TableError {
    /// Too long for its step.
    #[error("a table of more than {MAX_BUCKETS} rows or {MAX_CELLS} figures")]
    TooLarge,
}

/// Takes a series and puts it together.
pub struct SeriesTable {
    bucketing: Bucketing,
    skill: Option<String>,
    agent: Option<String>,
    calls: BTreeMap<(String, SpanKind), Call>,
    cells: usize,
    is_too_large: bool,
    last_bucket: (i64, i64),
}

#[derive(Default)]
struct Call {
    buckets: BTreeMap<i64, Bucket>,
    metrics: BTreeMap<String, Metric>,
    /// Section of the totals of the time at hand: of several groupings' totals one counts.
    section: Option<(i64, Option<Section>)>,
}

#[derive(Default)]
struct Bucket {
    end_ms: i64,
    covered: i64,
    is_open: bool,
}

struct Metric {
    name: String,
    cells: BTreeMap<i64, Cell>,
}

#[derive(Clone, Copy)]
struct Cell {
    sum: f64,
    least: f64,
    greatest: f64,
    intervals: u64,
}

impl SeriesTable {
    /// Of one skill or agent, or of the totals.
    pub fn new(bucketing: Bucketing, skill: Option<String>, agent: Option<String>) -> SeriesTable {
        let calls = BTreeMap::new();
        SeriesTable { bucketing, skill, agent, calls, cells: 0, is_too_large: false, last_bucket: (0, 0) }
    }

    /// Takes what [`series`](super::series()) hands over.
    pub fn take(&mut self, span: &SeriesSpan<'_>, point: Option<&SeriesPoint<'_>>) {
        if self.is_too_large {
            return;
        }
        let time = span.span;
        if !(self.last_bucket.0..self.last_bucket.1).contains(&time.start_ms) {
            self.last_bucket = self.bucketing.bucket(time.start_ms);
        }
        let (start_ms, end_ms) = self.last_bucket;
        let call = self.calls.entry((span.call.to_owned(), time.kind)).or_default();
        let Some(point) = point else {
            let bucket = call.buckets.entry(start_ms).or_default();
            bucket.end_ms = end_ms;
            bucket.covered += if time.kind == SpanKind::Snapshot { 1 } else { time.end_ms - time.start_ms };
            bucket.is_open |= span.is_open;
            self.is_too_large |= call.buckets.len() > MAX_BUCKETS;
            return;
        };
        if !is_of(span.call, point.dimensions, self.skill.as_deref(), self.agent.as_deref()) {
            return;
        }
        let FigureValue::Number(value) = point.value else { return };
        if point.dimensions.skill.is_none() && point.dimensions.agent.is_none() {
            // Points come by dimensions, so the preferred section, which is the lesser, comes first.
            match &call.section {
                Some((at_ms, section)) if *at_ms == time.start_ms && *section != point.dimensions.section => return,
                _ => call.section = Some((time.start_ms, point.dimensions.section)),
            }
        }
        let label = label(span.call, point.dimensions, point.metric);
        let metric = call
            .metrics
            .entry(label)
            .or_insert_with(|| Metric { name: point.metric.to_owned(), cells: BTreeMap::new() });
        let cell = metric.cells.entry(start_ms).or_insert_with(|| {
            self.cells += 1;
            Cell { sum: 0.0, least: f64::INFINITY, greatest: f64::NEG_INFINITY, intervals: 0 }
        });
        cell.add(value);
        self.is_too_large |= self.cells > MAX_CELLS;
    }

    /// The tables, by method.
    ///
    /// # Errors
    /// [`TableError::TooLarge`].
    pub fn finish(self) -> Result<Vec<CallTable>, TableError> {
        let mut tables = Vec::new();
        for ((name, kind), call) in self.calls {
            let Some((&first_ms, _)) = call.buckets.first_key_value() else { continue };
            let last_ms = call.buckets.last_key_value().map_or(first_ms, |(start_ms, _)| *start_ms);
            let mut buckets = Vec::new();
            let mut at = self.bucketing.bucket(first_ms);
            // Those without data too, or holes would not show.
            while at.0 <= last_ms {
                if buckets.len() == MAX_BUCKETS {
                    return Err(TableError::TooLarge);
                }
                buckets.push(at);
                at = self.bucketing.bucket(at.1);
            }
            let of = |start_ms: &i64| call.buckets.get(start_ms);
            let covered = buckets.iter().map(|(start_ms, _)| of(start_ms).map_or(0, |bucket| bucket.covered)).collect();
            let open = buckets.iter().map(|(start_ms, _)| of(start_ms).is_some_and(|bucket| bucket.is_open)).collect();
            let metrics =
                call.metrics.iter().map(|(label, metric)| row(kind, label, metric, &call, &buckets)).collect();
            tables.push(CallTable { call: name, kind, buckets, covered, open, metrics });
        }
        if self.is_too_large { Err(TableError::TooLarge) } else { Ok(tables) }
    }
}

/// Whether a point is one of those that were asked for: of this skill and agent, or a total.
pub(super) fn is_of(call: &str, dimensions: &Dimensions, skill: Option<&str>, agent: Option<&str>) -> bool {
    // LivePerson gives no totals here, so the sum over the agents is shown.
    let is_summed = call == "agentactivity" && agent.is_none();
    dimensions.group.as_ref().is_none_or(|_| call.starts_with("agent-view/"))
        && dimensions.skill.as_deref() == skill
        && (is_summed || dimensions.agent.as_deref() == agent)
}

/// A metric's name with the state that it is of, where a method has states.
pub(super) fn label(call: &str, dimensions: &Dimensions, metric: &str) -> String {
    match (&dimensions.state, &dimensions.reason) {
        // An agent's load is one series, whatever the state.
        _ if call.starts_with("agent-view/") => metric.to_owned(),
        (Some(state), Some(reason)) => format!("{state}.{reason}.{metric}"),
        (Some(state), None) => format!("{state}.{metric}"),
        _ => metric.to_owned(),
    }
}

fn row(kind: SpanKind, label: &str, metric: &Metric, call: &Call, buckets: &[(i64, i64)]) -> MetricRow {
    let rule = rule_of(kind, label, metric);
    let sum_of = |name: &str| call.metrics.get(name);
    let all = |cells: &BTreeMap<i64, Cell>| cells.values().copied().reduce(Cell::and);
    let at = |name: &str, start_ms: Option<i64>| -> Option<Cell> {
        let cells = &sum_of(name)?.cells;
        start_ms.map_or_else(|| all(cells), |start_ms| cells.get(&start_ms).copied())
    };
    let figure = |cell: Cell, start_ms: Option<i64>| {
        let value = match rule {
            Rule::Sum => Some(cell.sum),
            Rule::Least => Some(cell.least),
            Rule::Greatest => Some(cell.greatest),
            Rule::Ratio { above, below, factor } => match (at(above, start_ms), at(below, start_ms)) {
                // Of the same intervals, or the quotient would mix what does not belong together.
                (Some(above), Some(below))
                    if above.intervals == below.intervals && cell.intervals <= below.intervals =>
                {
                    let below = if metric.name == ABANDONMENT { above.sum + below.sum } else { below.sum };
                    // Nothing to divide by: what LivePerson says of that, where it always says the same.
                    if below > 0.0 { Some(factor * above.sum / below) } else { cell.alone() }
                }
                _ => cell.alone(),
            },
            Rule::Range => cell.alone(),
        };
        Figure { value, least: cell.least, greatest: cell.greatest, intervals: cell.intervals }
    };
    let whole = all(&metric.cells).map(|cell| figure(cell, None)).unwrap_or_default();
    let figures =
        buckets.iter().map(|(start_ms, _)| metric.cells.get(start_ms).map(|cell| figure(*cell, Some(*start_ms))));
    MetricRow { metric: label.to_owned(), rule, whole, figures: figures.collect() }
}

fn rule_of(kind: SpanKind, label: &str, metric: &Metric) -> Rule {
    if kind != SpanKind::Snapshot && label == ABANDONMENT {
        return Rule::Ratio { above: "abandonedEng", below: "connectedEng", factor: 1.0 };
    }
    Rule::of(kind, &metric.name)
}

impl Cell {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
        self.intervals += 1;
    }

    fn and(self, other: Cell) -> Cell {
        Cell {
            sum: self.sum + other.sum,
            least: self.least.min(other.least),
            greatest: self.greatest.max(other.greatest),
            intervals: self.intervals + other.intervals,
        }
    }

    /// The value where there is only one.
    fn alone(&self) -> Option<f64> {
        (self.least == self.greatest).then_some(self.least)
    }
}

#[cfg(test)]
#[path = "series_table_tests.rs"]
mod tests;
