//! Messaging Operations and Agent Metrics, counted from the messaging conversations.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::MessagingWorld;
use super::plan::Plan;
use super::record::time_text;
use super::talk::{agent_id, full_name, login_name, nickname};
use crate::simulator::operations::{Cell, Frame, Parameters, Stamp, Wanted, add, by_skill_and_agent, mean};
use crate::simulator::plan::{SKILLS, Speaker};
use crate::simulator::request::{Asked, Page, Refusal, Reply, link, object, texts};

/// Conversations that started longer ago are not looked at: nothing in the account stays open for so long.
const LONGEST_MS: i64 = 92 * 86_400_000;
/// Least `fromMillis` of the second version, before now.
const DAY_MS: i64 = 86_400_000;
/// Waits kept for percentiles, per skill and interval.
const SAMPLE: usize = 4_096;
/// Highest `limit` of a list of agents.
pub(in crate::simulator) const MOST_AGENTS: u32 = 2_500;
const AGENT_FILTERS: [&str; 3] = ["skillIds", "agentIds", "status"];

/// Conversations that may have had an event since `from_ms`.
pub(super) fn plans(world: &MessagingWorld, from_ms: i64, now_ms: i64) -> impl Iterator<Item = Plan> + '_ {
    world.starting(from_ms - LONGEST_MS, now_ms).map(|index| world.plan(index))
}

/// `GET` or `POST /msgconversation`.
pub(in crate::simulator) fn conversations(
    world: &MessagingWorld,
    parameters: &Parameters,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let frame = Frame::new(parameters, Stamp::End, now_ms)?;
    // Number and handling seconds: by agent, by consumer, by system.
    let mut cells: Vec<Cell<6>> = vec![BTreeMap::new(); frame.slots() + 1];
    for plan in plans(world, frame.from_ms, now_ms).filter(|plan| !plan.is_open(now_ms)) {
        let skill = plan.skill(now_ms).map_or(-1, |skill| SKILLS[skill].0).to_string();
        let agent = plan.latest_assignment(now_ms).map_or_else(|| "-1".to_owned(), |held| agent_id(held.speaker));
        let closer = ["AGENT", "CONSUMER", "SYSTEM"].iter().position(|closer| *closer == plan.closed_by).unwrap_or(2);
        let mut counts = [0; 6];
        (counts[closer], counts[closer + 3]) = (1, (plan.close_ms - plan.start_ms) / 1000);
        for cell in frame.cells(plan.close_ms) {
            add(cells[cell].entry((skill.clone(), agent.clone())).or_insert([0; 6]), &counts);
        }
    }
    let render = |[by_agent, by_consumer, by_system, agent_s, consumer_s, system_s]: [i64; 6]| {
        let (all, all_s) = (by_agent + by_consumer + by_system, agent_s + consumer_s + system_s);
        json!({
            "resolvedConversations_byCCP": by_agent, "resolvedConversations_byConsumer": by_consumer,
            "resolvedConversations_bySystem": by_system, "totalResolvedConversations": all,
            "totalHandlingTime_resolvedConversations_byCCP": agent_s,
            "totalHandlingTime_resolvedConversations_byConsumer": consumer_s,
            "totalHandlingTime_resolvedConversations_bySystem": system_s,
            "totalHandlingTime_resolvedConversations": all_s,
            "avgTime_resolvedConversations_byCCP": mean(agent_s, by_agent),
            "avgTime_resolvedConversations_byConsumer": mean(consumer_s, by_consumer),
            "avgTime_resolvedConversations_bySystem": mean(system_s, by_system),
            "avgTime_resolvedConversations": mean(all_s, all),
        })
    };
    Ok(frame.answer(cells.iter().map(|cell| by_skill_and_agent(cell, parameters, &render)).collect()))
}

/// `GET /msgcsatdistribution`.
pub(in crate::simulator) fn csat(
    world: &MessagingWorld,
    parameters: &Parameters,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let frame = Frame::new(parameters, Stamp::End, now_ms)?;
    let mut cells: Vec<Cell<5>> = vec![BTreeMap::new(); frame.slots() + 1];
    for plan in plans(world, frame.from_ms, now_ms) {
        let Some((survey, score)) = plan.survey.and_then(|survey| survey.csat.map(|score| (survey, score))) else {
            continue;
        };
        if survey.end_ms > now_ms {
            continue;
        }
        let skill = plan.skill(now_ms).map_or(-1, |skill| SKILLS[skill].0).to_string();
        let agent = plan.latest_assignment(now_ms).map_or_else(|| "-1".to_owned(), |held| agent_id(held.speaker));
        for cell in frame.cells(survey.end_ms) {
            cells[cell].entry((skill.clone(), agent.clone())).or_insert([0; 5])[score as usize - 1] += 1;
        }
    }
    let render = |scores: [i64; 5]| {
        let (all, positive) = (scores.iter().sum::<i64>(), scores[3] + scores[4]);
        let mut metrics = json!({
            "total_answers": all, "positive_answers": positive, "csat_score": 100.0 * mean(positive, all),
        });
        for (place, count) in scores.iter().enumerate() {
            metrics[format!("csat_score{}_answers", place + 1)] = json!(count);
        }
        metrics
    };
    Ok(frame.answer(cells.iter().map(|cell| by_skill_and_agent(cell, parameters, &render)).collect()))
}

/// Waits that ended: number, sum and maximum of all, and some for percentiles.
#[derive(Debug, Default, Clone)]
struct Waits {
    count: i64,
    sum_ms: i64,
    longest_ms: i64,
    /// The first [`SAMPLE`] of them.
    sample_ms: Vec<i64>,
}

impl Waits {
    fn add(&mut self, wait_ms: i64) {
        self.join(&Self { count: 1, sum_ms: wait_ms, longest_ms: wait_ms, sample_ms: vec![wait_ms] });
    }

    fn join(&mut self, other: &Self) {
        self.count += other.count;
        self.sum_ms += other.sum_ms;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
        let room = SAMPLE.saturating_sub(self.sample_ms.len());
        self.sample_ms.extend(other.sample_ms.iter().take(room));
    }

    fn mean_ms(&self) -> f64 {
        if self.count == 0 { -1.0 } else { mean(self.sum_ms, self.count) }
    }
}

/// What waits at an instant, and how long those waited who were assigned before it.
#[derive(Debug, Default, Clone)]
struct Queue {
    /// Consumer spoke last: all, and those that were handed over before.
    actionable: [i64; 2],
    /// The others, likewise.
    not_actionable: [i64; 2],
    new: Waits,
    moved: Waits,
}

/// `GET /msgqueuehealth`: what waits at the end of each interval, and the waits that ended in it.
pub(in crate::simulator) fn queue_health(
    world: &MessagingWorld,
    parameters: &Parameters,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let instant = |name| parameters.text(name).and_then(|text| text.parse::<i64>().ok());
    let frame = match (parameters.text("v").as_deref(), instant("fromMillis"), instant("toMillis")) {
        (Some("2"), Some(from_ms), Some(to_ms)) if (now_ms - DAY_MS..to_ms).contains(&from_ms) => {
            Frame::between(from_ms, to_ms).in_intervals(parameters)?
        }
        (Some("2"), ..) => {
            return Err(Refusal::bad("fromMillis (at most 24 hours ago) and toMillis are required with v=2"));
        }
        _ => Frame::new(parameters, Stamp::Start, now_ms)?,
    };
    let wanted = parameters.wanted("skillIds");
    let bodies = queues(world, &frame, now_ms).into_iter().map(|cell| queue_body(&cell, wanted.as_ref(), None));
    let mut bodies: Vec<Value> = bodies.collect();
    let whole = bodies.pop().unwrap_or_default();
    let mut answer = json!({ "timeframeSummary": whole });
    if !bodies.is_empty() {
        answer["metricsByIntervals"] = frame.intervals(bodies);
    }
    Ok(answer)
}

/// `GET /msgqueuehealth/current/`.
pub(in crate::simulator) fn queue_health_now(world: &MessagingWorld, parameters: &Parameters, now_ms: i64) -> Value {
    let frame = Frame::between(now_ms - DAY_MS, now_ms);
    let cell = queues(world, &frame, now_ms).pop().unwrap_or_default();
    let mut body = queue_body(&cell, parameters.wanted("skillIds").as_ref(), Some(now_ms));
    if parameters.text("breakdown").as_deref() == Some("false")
        && let Value::Object(body) = &mut body
    {
        body.remove("skillsMetrics");
    }
    body
}

/// The queue of each skill, per interval and for the whole frame at the end.
fn queues(world: &MessagingWorld, frame: &Frame, now_ms: i64) -> Vec<BTreeMap<usize, Queue>> {
    let mut cells: Vec<BTreeMap<usize, Queue>> = vec![BTreeMap::new(); frame.slots() + 1];
    for plan in plans(world, frame.from_ms, now_ms) {
        for (cell, queues) in cells.iter_mut().enumerate() {
            let at_ms = frame.span(cell).1.min(now_ms);
            let skill = plan.skill(at_ms).unwrap_or(plan.topic);
            let waits = plan.start_ms <= at_ms && plan.is_open(at_ms) && plan.waits_since(at_ms).is_some();
            if waits {
                let queue = queues.entry(skill).or_default();
                let last = plan.turns.iter().rfind(|turn| turn.at_ms <= at_ms);
                let consumer = last.is_some_and(|turn| turn.speaker == Speaker::Visitor);
                let moved = plan.transfers.iter().any(|moved| moved.at_ms <= at_ms);
                let counts = if consumer { &mut queue.actionable } else { &mut queue.not_actionable };
                add(counts, &[1, i64::from(moved)]);
            }
        }
        for held in plan.assignments.iter().filter(|held| held.from_ms <= now_ms) {
            let Some(since_ms) = plan.waits_since(held.from_ms - 1) else {
                continue;
            };
            for cell in frame.cells(held.from_ms) {
                let queue = cells[cell].entry(held.skill).or_default();
                let moved = plan.transfers.iter().any(|moved| moved.at_ms <= since_ms);
                let waits = if moved { &mut queue.moved } else { &mut queue.new };
                waits.add(held.from_ms - since_ms);
            }
        }
    }
    cells
}

fn queue_body(cell: &BTreeMap<usize, Queue>, wanted: Option<&Wanted>, time: Option<i64>) -> Value {
    let asked = |skill: &usize| wanted.is_none_or(|wanted| wanted.holds(&SKILLS[*skill].0.to_string()));
    let mut total = Queue::default();
    let mut rows = Map::new();
    for (skill, queue) in cell.iter().filter(|(skill, _)| asked(skill)) {
        rows.insert(SKILLS[*skill].0.to_string(), queue_metrics(queue, time));
        add(&mut total.actionable, &queue.actionable);
        add(&mut total.not_actionable, &queue.not_actionable);
        total.new.join(&queue.new);
        total.moved.join(&queue.moved);
    }
    json!({ "skillsMetrics": rows, "metricsTotal": queue_metrics(&total, time) })
}

fn queue_metrics(queue: &Queue, time: Option<i64>) -> Value {
    let mut all = queue.new.clone();
    all.join(&queue.moved);
    all.sample_ms.sort_unstable();
    let sample = &all.sample_ms;
    let at_share = |percent: usize| sample.get(sample.len() * percent / 100).or(sample.last()).copied().unwrap_or(-1);
    let ([actionable, moved], [not_actionable, others_moved]) = (queue.actionable, queue.not_actionable);
    let mut metrics = json!({
        "unassignedConversations": actionable + not_actionable,
        "actionableConversations": actionable, "notActionableConversations": not_actionable,
        "actionableAndManualSla": 0, "actionableAndDuringTransfer": moved,
        "actionableAndConsumerLastMessage": actionable, "notActionableDuringTransfer": others_moved,
        "notActionableAndManualSla": 0, "unassignedConversationsAndFirstTimeConsumer": 0,
        "avgWaitTimeForAgentAssignment_NewConversation": queue.new.mean_ms(),
        "avgWaitTimeForAgentAssignment_AfterTransfer": queue.moved.mean_ms(),
        "maxWaitTimeForAgentAssignment": if all.count == 0 { -1 } else { all.longest_ms },
        "waitTimeForAgentAssignment_50thPercentile": at_share(50), "waitTimeForAgentAssignment_90thPercentile": at_share(90),
    });
    if let Some(time) = time {
        metrics["time"] = json!(time);
    }
    metrics
}

/// `POST …/agent-view/status` and `/list`: agents with open conversations, by their id.
pub(in crate::simulator) fn agents(world: &MessagingWorld, asked: &Asked, per_page: u32) -> Result<Reply, Refusal> {
    let page = Page::new(&asked.query, asked.window, MOST_AGENTS)?;
    let page = Page { limit: page.limit.min(per_page.max(1)), ..page };
    let body = object(&asked.body)?;
    if let Some(unknown) = body.keys().find(|key| !AGENT_FILTERS.contains(&key.as_str())) {
        return Err(Refusal::bad(format!("the filter {unknown} is not simulated")));
    }
    let (skills, ids, states) = (texts(&body, "skillIds")?, texts(&body, "agentIds")?, texts(&body, "status")?);
    let among =
        |wanted: &Option<Vec<String>>, id: &str| wanted.as_ref().is_none_or(|ids| ids.iter().any(|known| known == id));
    let loads = loads(world, asked.now_ms).into_iter().filter(|(agent, (_, skill))| {
        among(&ids, &agent_id(Speaker::Agent(*agent)))
            && among(&skills, &SKILLS[*skill].0.to_string())
            && among(&states, "ONLINE")
    });
    let loads: Vec<(u32, (i64, usize))> = loads.collect();
    let shown = loads.iter().enumerate().filter(|(place, _)| page.holds(*place as u64)).map(|(_, load)| load);
    let records = shown.map(|&(agent, (open, skill))| agent_record(agent, open, skill, asked.now_ms));
    Ok(Reply::Found(json!({
        "_metadata": {
            "count": loads.len(), "self": link("self", &asked.address, page.limit, u64::from(page.offset)),
            "shardsStatusResult": { "partialResult": false },
        },
        "accountID": world.account, "agentStatusRecords": records.collect::<Vec<_>>(),
    })))
}

/// `POST …/agent-view/summary`.
pub(in crate::simulator) fn agents_summary(world: &MessagingWorld, asked: &Asked) -> Result<Reply, Refusal> {
    object(&asked.body)?;
    let loads = loads(world, asked.now_ms);
    let percent = || loads.values().map(|(open, _)| open * 100 / slots(*open));
    let configured = || loads.values().map(|(open, _)| slots(*open));
    let open: i64 = loads.values().map(|(open, _)| open).sum();
    Ok(Reply::Found(json!({ "accountID": world.account, "summaryResults": {
        "openAssignedConversations": open, "weightedAvgLoad": mean(percent().sum(), loads.len() as i64),
        "minLoad": percent().min().unwrap_or(0), "maxLoad": percent().max().unwrap_or(0),
        "minConfiguredMaxSlots": configured().min().unwrap_or(0),
        "maxConfiguredMaxSlots": configured().max().unwrap_or(0), "numAwayAgents": 0, "numBackSoonAgents": 0,
        "numOnlineAgents": loads.len(),
    }})))
}

/// Open conversations and latest skill of each human agent who has any.
pub(super) fn loads(world: &MessagingWorld, now_ms: i64) -> BTreeMap<u32, (i64, usize)> {
    let mut loads = BTreeMap::new();
    for plan in plans(world, now_ms, now_ms).filter(|plan| plan.is_open(now_ms)) {
        let Some(held) = plan.latest_assignment(now_ms).filter(|_| plan.waits_since(now_ms).is_none()) else {
            continue;
        };
        if let Speaker::Agent(agent) = held.speaker {
            let load = loads.entry(agent).or_insert((0, held.skill));
            *load = (load.0 + 1, held.skill);
        }
    }
    loads
}

/// Slots of an agent, some more than are in use: the account has no figure of its own.
fn slots(open: i64) -> i64 {
    open + open / 4 + 1
}

fn agent_record(agent: u32, open: i64, skill: usize, now_ms: i64) -> Value {
    let speaker = Speaker::Agent(agent);
    let since_ms = now_ms - 900_000;
    json!({
        "agentId": agent_id(speaker), "lastUpdatedTimeL": now_ms, "lastUpdatedTime": time_text(now_ms),
        "currentStatusStartTimeL": since_ms, "currentStatusStartTime": time_text(since_ms),
        "agentName": full_name(speaker), "agentNickname": nickname(speaker), "agentLoginName": login_name(speaker),
        "agentSkills": [{ "skillId": SKILLS[skill].0.to_string(), "skillName": SKILLS[skill].1 }],
        "agentGroupId": -1, "agentGroupName": "Main Group", "currentStatus": "ONLINE",
        "currentStatusDuration": now_ms - since_ms, "load": open * 100 / slots(open), "ringingSlots": 0,
        "configuredMaxSlots": slots(open), "busySlots": open, "openAssignedConversations": open, "intenseConversations": 0,
        "agentPresence": "true", "currentConnectionState": "CONNECTED",
    })
}
