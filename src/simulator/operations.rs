//! Operational Realtime and Messaging Operations: figures of the last 24 hours, counted from the account.
//!
//! Nothing is made up: what the account does not have (available slots, agent groups) is `-1` or left
//! out, as the documentation says of missing data. Counting walks through the conversations of the
//! window and keeps one cell per interval, skill and agent.

mod chat;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::messaging::{MessagingWorld, figures, segments};
use super::request::{Refusal, parameter};
use super::world::World;

const MINUTE_MS: i64 = 60_000;
/// Methods with buckets aggregate so many milliseconds.
const BUCKET_MS: i64 = 5 * MINUTE_MS;
const LONGEST_MINUTES: i64 = 1_440;
const SHORTEST_INTERVAL_MINUTES: i64 = 5;

/// Methods under `/operations/api/account/{accountId}/`, and the estimated wait time, which has an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    QueueHealth,
    EngagementActivity,
    AgentActivity,
    QueueState,
    Sla,
    MessagingConversation,
    MessagingQueueHealth,
    MessagingQueueHealthNow,
    MessagingCsat,
    SkillSegments,
    AgentSegments,
    EstimatedWait,
}

impl Method {
    /// The method of the last segments of a path.
    pub(super) fn of(path: &[&str]) -> Option<Self> {
        Some(match path {
            ["queuehealth"] => Self::QueueHealth,
            ["engactivity"] => Self::EngagementActivity,
            ["agentactivity"] => Self::AgentActivity,
            ["queuestate"] => Self::QueueState,
            ["sla"] => Self::Sla,
            ["msgconversation"] => Self::MessagingConversation,
            ["msgqueuehealth"] => Self::MessagingQueueHealth,
            ["msgqueuehealth", "current", ""] => Self::MessagingQueueHealthNow,
            ["msgcsatdistribution"] => Self::MessagingCsat,
            ["msgskillsegments"] => Self::SkillSegments,
            ["msgagentsegments"] => Self::AgentSegments,
            _ => return None,
        })
    }

    /// True for those whose long lists may come in a body.
    pub(super) fn takes_post(self) -> bool {
        matches!(self, Self::AgentActivity | Self::MessagingConversation)
    }
}

/// Parameters, wherever they come from.
#[derive(Debug)]
pub(super) struct Parameters {
    query: String,
    body: Map<String, Value>,
}

impl Parameters {
    pub(super) fn new(query: &str, body: Map<String, Value>) -> Self {
        Self { query: query.to_owned(), body }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        let in_body = self.body.get(name).and_then(|value| value.as_str().map(str::to_owned));
        in_body.or_else(|| parameter(&self.query, name))
    }

    fn minutes(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| Refusal::bad(format!("{name} must be a number of minutes, not {text:?}")))
    }

    /// The ids that are asked for; none when the parameter is absent.
    pub(super) fn wanted(&self, name: &str) -> Option<Wanted> {
        let text = self.text(name)?;
        let ids = (text != "all").then(|| text.split(',').map(str::to_owned).collect());
        Some(Wanted(ids))
    }
}

/// Ids that are asked for, or all.
#[derive(Debug)]
pub(super) struct Wanted(Option<Vec<String>>);

impl Wanted {
    pub(super) fn holds(&self, id: &str) -> bool {
        self.0.as_ref().is_none_or(|ids| ids.iter().any(|known| known == id))
    }
}

/// Which instant of an interval its `timestamp` is: the methods differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// The end, and everything is rounded to buckets of five minutes.
    End,
    /// The start, counted from the instant of the request.
    Start,
}

/// The time that is counted, and its intervals, newest first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    step_ms: Option<i64>,
    stamp: Stamp,
}

impl Frame {
    /// The frame that `timeframe` and `interval` name.
    pub(super) fn new(parameters: &Parameters, stamp: Stamp, now_ms: i64) -> Result<Self, Refusal> {
        let minutes = parameters.minutes("timeframe")?.ok_or_else(|| Refusal::bad("timeframe is required"))?;
        if !(1..=LONGEST_MINUTES).contains(&minutes) {
            return Err(Refusal::bad(format!("timeframe must be 1 to {LONGEST_MINUTES} minutes")));
        }
        let interval = parameters.minutes("interval")?;
        if interval.is_some_and(|step| step < SHORTEST_INTERVAL_MINUTES || step > minutes || minutes % step != 0) {
            return Err(Refusal::bad("interval must be at least 5 minutes and a divisor of timeframe"));
        }
        let from_ms = now_ms - minutes * MINUTE_MS;
        let step_ms = interval.map(|step| step * MINUTE_MS);
        let (from_ms, to_ms) = match stamp {
            Stamp::Start => (from_ms, now_ms),
            Stamp::End => (from_ms - from_ms.rem_euclid(BUCKET_MS), now_ms + (-now_ms).rem_euclid(BUCKET_MS)),
        };
        Ok(Self { from_ms, to_ms, step_ms, stamp })
    }

    /// A frame without intervals.
    pub(super) fn between(from_ms: i64, to_ms: i64) -> Self {
        Self { from_ms, to_ms, step_ms: None, stamp: Stamp::Start }
    }

    /// The same with the intervals that are asked for; they must divide it.
    pub(super) fn in_intervals(self, parameters: &Parameters) -> Result<Self, Refusal> {
        let Some(minutes) = parameters.minutes("interval")? else { return Ok(self) };
        let step_ms = minutes.saturating_mul(MINUTE_MS);
        let length_ms = self.to_ms - self.from_ms;
        if minutes < SHORTEST_INTERVAL_MINUTES || step_ms > length_ms || length_ms % step_ms != 0 {
            return Err(Refusal::bad("interval must be at least 5 minutes and a divisor of the time"));
        }
        Ok(Self { step_ms: Some(step_ms), ..self })
    }

    /// Number of intervals; the earliest one holds the rest.
    pub(super) fn slots(&self) -> usize {
        self.step_ms.map_or(0, |step_ms| ((self.to_ms - self.from_ms + step_ms - 1) / step_ms) as usize)
    }

    /// Places of the cells that count an instant: its interval, and the whole frame at the end.
    pub(super) fn cells(&self, at_ms: i64) -> impl Iterator<Item = usize> + use<> {
        let inside = (self.from_ms..self.to_ms).contains(&at_ms);
        let slot = self.step_ms.map(|step_ms| ((self.to_ms - 1 - at_ms) / step_ms) as usize);
        slot.into_iter().chain([self.slots()]).filter(move |_| inside)
    }

    /// Start and end of a cell, epoch milliseconds.
    pub(super) fn span(&self, cell: usize) -> (i64, i64) {
        match self.step_ms {
            Some(step_ms) if cell < self.slots() => {
                let end_ms = self.to_ms - cell as i64 * step_ms;
                ((end_ms - step_ms).max(self.from_ms), end_ms)
            }
            _ => (self.from_ms, self.to_ms),
        }
    }

    /// The keys of the whole frame beside `metricsByIntervals`, if there are intervals.
    ///
    /// `bodies` holds one object per interval and the whole frame's last.
    pub(super) fn answer(&self, mut bodies: Vec<Value>) -> Value {
        let mut whole = bodies.pop().unwrap_or_else(|| json!({}));
        if self.step_ms.is_some() {
            whole["metricsByIntervals"] = self.intervals(bodies);
        }
        whole
    }

    /// The list of intervals whose figures stand beside the timestamp.
    pub(super) fn bare_intervals(&self, bodies: Vec<Value>) -> Value {
        let intervals = bodies.into_iter().enumerate().map(|(cell, mut body)| {
            body["timestamp"] = json!(self.span(cell).0);
            body
        });
        intervals.collect()
    }

    /// The list of intervals.
    pub(super) fn intervals(&self, bodies: Vec<Value>) -> Value {
        let intervals = bodies.into_iter().enumerate().map(|(cell, body)| {
            let (start_ms, end_ms) = self.span(cell);
            let timestamp = if self.stamp == Stamp::End { end_ms } else { start_ms };
            json!({ "timestamp": timestamp, "metricsData": body })
        });
        intervals.collect()
    }
}

/// Counts per skill and agent of one cell.
pub(super) type Cell<const N: usize> = BTreeMap<(String, String), [i64; N]>;

/// The shape of engactivity and msgconversation: per skill and agent, per agent, and totals.
pub(super) fn by_skill_and_agent<const N: usize>(
    cell: &Cell<N>,
    parameters: &Parameters,
    render: &dyn Fn([i64; N]) -> Value,
) -> Value {
    let (skills, agents) = (parameters.wanted("skillIds"), parameters.wanted("agentIds"));
    let counted = cell.iter().filter(|((skill, agent), _)| {
        skills.as_ref().is_none_or(|wanted| wanted.holds(skill))
            && agents.as_ref().is_none_or(|wanted| wanted.holds(agent))
    });
    let mut totals = [0; N];
    let mut per_skill: BTreeMap<&str, BTreeMap<&str, [i64; N]>> = BTreeMap::new();
    let mut per_agent: BTreeMap<&str, [i64; N]> = BTreeMap::new();
    for ((skill, agent), counts) in counted {
        add(&mut totals, counts);
        per_skill.entry(skill).or_default().insert(agent, *counts);
        add(per_agent.entry(agent).or_insert([0; N]), counts);
    }
    let of_agents = |agents: &BTreeMap<&str, [i64; N]>| {
        let rows = agents.iter().map(|(agent, counts)| ((*agent).to_owned(), render(*counts)));
        let mut sum = [0; N];
        agents.values().for_each(|counts| add(&mut sum, counts));
        json!({ "metricsPerAgent": rows.collect::<Map<String, Value>>(), "metricsTotals": render(sum) })
    };
    if skills.is_none() && agents.is_none() {
        return json!({ "metricsTotals": render(totals) });
    }
    let mut answer = json!({});
    if skills.is_some() {
        let rows = per_skill.iter().map(|(skill, agents)| ((*skill).to_owned(), of_agents(agents)));
        let rows = rows.collect::<Map<String, Value>>();
        answer["skillsMetricsPerAgent"] = json!({ "metricsPerSkill": rows, "metricsTotals": render(totals) });
    }
    if agents.is_some() {
        answer["agentsMetrics"] = of_agents(&per_agent);
    }
    answer
}

pub(super) fn add<const N: usize>(sum: &mut [i64; N], counts: &[i64; N]) {
    for (sum, count) in sum.iter_mut().zip(counts) {
        *sum += count;
    }
}

/// `total / count`, 0 when nothing was counted.
pub(super) fn mean(total: i64, count: i64) -> f64 {
    if count == 0 { 0.0 } else { total as f64 / count as f64 }
}

/// Answers one method.
pub(super) fn answer(
    method: Method,
    world: &World,
    messaging: &MessagingWorld,
    parameters: &Parameters,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let version = parameters.text("v");
    if version.is_none() && !matches!(method, Method::QueueHealth | Method::EstimatedWait) {
        return Err(Refusal::bad("v is required"));
    }
    let body = match method {
        Method::QueueHealth => chat::queue_health(world, parameters, now_ms),
        Method::EngagementActivity => chat::engagement_activity(world, parameters, now_ms),
        Method::AgentActivity => chat::agent_activity(world, parameters, now_ms),
        Method::QueueState => chat::queue_state(world, parameters, now_ms),
        Method::Sla => chat::sla(world, parameters, now_ms),
        Method::SkillSegments => segments::skill_segments(messaging, parameters, now_ms),
        Method::AgentSegments => segments::agent_segments(messaging, parameters, now_ms),
        Method::EstimatedWait => segments::estimated_wait(messaging, parameters, now_ms),
        Method::MessagingConversation => figures::conversations(messaging, parameters, now_ms),
        Method::MessagingQueueHealth => figures::queue_health(messaging, parameters, now_ms),
        Method::MessagingQueueHealthNow => Ok(figures::queue_health_now(messaging, parameters, now_ms)),
        Method::MessagingCsat => figures::csat(messaging, parameters, now_ms),
    }?;
    let wrapped = match method {
        Method::QueueHealth => version.is_none(),
        Method::AgentActivity => version.as_deref() == Some("2"),
        _ => false,
    };
    Ok(if wrapped { json!({ "meta": { "responseCode": 200 }, "body": body }) } else { body })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn frame(query: &str, stamp: Stamp, now_ms: i64) -> Result<Frame, Refusal> {
        Frame::new(&Parameters::new(query, Map::new()), stamp, now_ms)
    }

    #[test]
    fn buckets_cover_more_than_was_asked_for() {
        // 13:29 with seven minutes: 13:20 to 13:30.
        let at = |hour: i64, minute: i64| (hour * 60 + minute) * MINUTE_MS;
        let seven = frame("timeframe=7", Stamp::End, at(13, 29)).unwrap();
        assert_eq!((seven.from_ms, seven.to_ms, seven.slots()), (at(13, 20), at(13, 30), 0));
        let hour = frame("timeframe=60&interval=30", Stamp::End, at(13, 29)).unwrap();
        let spans: Vec<_> = (0..hour.slots()).map(|slot| hour.span(slot)).collect();
        assert_eq!(spans, [(at(13, 0), at(13, 30)), (at(12, 30), at(13, 0)), (at(12, 25), at(12, 30))]);
        assert_eq!(hour.cells(at(12, 29)).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(hour.cells(at(13, 30)).count(), 0);
        let exact = frame("timeframe=60&interval=30", Stamp::Start, at(13, 29)).unwrap();
        assert_eq!((exact.slots(), exact.span(1)), (2, (at(12, 29), at(12, 59))));
    }

    #[test]
    fn wrong_frames_are_refused() {
        for query in ["", "timeframe=0", "timeframe=1441", "timeframe=x", "timeframe=60&interval=4"] {
            assert!(frame(query, Stamp::End, 0).is_err(), "{query}");
        }
        for query in ["timeframe=60&interval=25", "timeframe=60&interval=120", "timeframe=60&interval=0"] {
            assert!(frame(query, Stamp::Start, 0).is_err(), "{query}");
        }
    }
}
