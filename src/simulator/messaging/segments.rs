//! Messaging Operations by segments: the times in which one skill, or one agent, had a conversation; and waiting times.
//!
//! The reference names the figures and not when a segment counts. Here it counts at the instant at which it ends: when somebody
//! else takes over, or when the conversation closes. Nothing is made up: what the account does not know is `-1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::MessagingWorld;
use super::figures::plans;
use super::plan::Plan;
use super::talk::agent_id;
use crate::simulator::operations::{Frame, Parameters, Stamp, mean};
use crate::simulator::plan::{SKILLS, Speaker};
use crate::simulator::request::Refusal;

const HOUR_MS: i64 = 3_600_000;
/// Most skills that can be asked about at once.
const MOST_SKILLS: usize = 300;
/// Assignments per hour and skill below which no waiting time is estimated.
const LEAST_ASSIGNMENTS: i64 = 120;

/// A time in which a conversation was with one skill, or one agent.
#[derive(Debug, Clone, Copy)]
struct Segment {
    skill: usize,
    speaker: Speaker,
    from_ms: i64,
    end_ms: i64,
    /// Who closed the conversation, if that ended it.
    closed_by: Option<&'static str>,
    first_message_ms: Option<i64>,
    agent_messages: i64,
    consumer_messages: i64,
    after_transfer: bool,
}

impl Segment {
    fn is_interactive(&self) -> bool {
        self.agent_messages > 0 && self.consumer_messages > 0
    }
}

/// Sums over segments.
#[derive(Debug, Default, Clone)]
struct Sums {
    segments: i64,
    by_consumer: i64,
    silent_consumer: i64,
    silent_agent: i64,
    interactive: i64,
    messages: i64,
    duration_ms: i64,
    /// Number and sum of the times to the first message: of conversations that were new, and after a transfer.
    first_new: [i64; 2],
    first_moved: [i64; 2],
}

impl Sums {
    fn add(&mut self, segment: &Segment) {
        self.segments += 1;
        self.by_consumer += i64::from(segment.closed_by == Some("CONSUMER"));
        self.silent_consumer += i64::from(segment.closed_by == Some("SYSTEM"));
        self.silent_agent += i64::from(segment.agent_messages == 0);
        self.interactive += i64::from(segment.is_interactive());
        self.messages += segment.agent_messages;
        self.duration_ms += segment.end_ms - segment.from_ms;
        if let Some(first_ms) = segment.first_message_ms {
            let firsts = if segment.after_transfer { &mut self.first_moved } else { &mut self.first_new };
            (firsts[0], firsts[1]) = (firsts[0] + 1, firsts[1] + first_ms - segment.from_ms);
        }
    }

    fn first(&self) -> [i64; 2] {
        [self.first_new[0] + self.first_moved[0], self.first_new[1] + self.first_moved[1]]
    }

    fn of_skill(&self) -> Value {
        json!({
            "totalSkillConversationSegments": self.segments, "skillSegmentsAbandonedByConsumers": self.by_consumer,
            // Nobody leaves while waiting in this account.
            "skillSegmentsAbandonedByConsumersInQueue": 0,
            "skillSegmentsWithNonResponsiveConsumers": self.silent_consumer,
            "skillSegmentsWithNonResponsiveAgents": self.silent_agent, "interactiveSkillSegments": self.interactive,
            "avgTimetoFirstAgentMessageFromAgentAssignment": or_none(self.first()),
        })
    }

    fn of_agent(&self) -> Value {
        json!({
            "totalAgentConversationSegments": self.segments,
            "avgAgentMessagesinAgentSegment": mean(self.messages, self.segments),
            "avgAgentSegmentDuration": mean(self.duration_ms, self.segments), "interactiveAgentSegments": self.interactive,
            "agentSegmentsAbandonedByConsumers": self.by_consumer,
            "agentSegmentsWithNonResponsiveConsumers": self.silent_consumer,
            "agentSegmentsWithNonResponsiveAgents": self.silent_agent,
            "avgTimetoFirstAgentMessageFromAgentAssignment": or_none(self.first()),
            "avgTimetoFirstAgentMessageFromAgentAssignment_AfterTransfer": or_none(self.first_moved),
            "avgTimetoFirstAgentMessageFromAgentAssignment_NewConversation": or_none(self.first_new),
            "avgTimeToResponseFromAgentAssignment": -1,
        })
    }
}

fn or_none([count, sum]: [i64; 2]) -> f64 {
    if count == 0 { -1.0 } else { mean(sum, count) }
}

/// One segment per assignment, of those that have ended.
fn by_agent(plan: &Plan, now_ms: i64) -> Vec<Segment> {
    let segments = plan.assignments.iter().map(|held| {
        let closes = held.until_ms.is_none_or(|until_ms| until_ms >= plan.close_ms);
        let end_ms = if closes { plan.close_ms } else { held.until_ms.unwrap_or(plan.close_ms) };
        let inside = |at_ms: i64| (held.from_ms..=end_ms).contains(&at_ms);
        let spoken = |speaker: Speaker| {
            plan.turns.iter().filter(|turn| !turn.in_survey && turn.speaker == speaker && inside(turn.at_ms)).count()
                as i64
        };
        Segment {
            skill: held.skill,
            speaker: held.speaker,
            from_ms: held.from_ms,
            end_ms,
            closed_by: closes.then_some(plan.closed_by),
            first_message_ms: held.first_message_ms,
            agent_messages: spoken(held.speaker),
            consumer_messages: spoken(Speaker::Visitor),
            after_transfer: plan.transfers.iter().any(|moved| moved.at_ms <= held.from_ms),
        }
    });
    segments.filter(|segment| segment.end_ms <= now_ms).collect()
}

/// Neighbours of one skill are one segment.
fn by_skill(segments: Vec<Segment>) -> Vec<Segment> {
    let mut joined: Vec<Segment> = Vec::new();
    for segment in segments {
        match joined.last_mut().filter(|last| last.skill == segment.skill) {
            Some(last) => {
                last.end_ms = segment.end_ms;
                last.closed_by = segment.closed_by;
                last.agent_messages += segment.agent_messages;
                last.consumer_messages += segment.consumer_messages;
                last.first_message_ms = last.first_message_ms.or(segment.first_message_ms);
            }
            None => joined.push(segment),
        }
    }
    joined
}

/// Which agents are meant.
fn is_meant(parameters: &Parameters) -> Result<impl Fn(&Segment) -> bool + use<>, Refusal> {
    let kind = parameters.text("userType").unwrap_or_else(|| "all".to_owned());
    if !["human", "bot", "all"].contains(&kind.as_str()) {
        return Err(Refusal::bad(format!("userType must be human, bot or all, not {kind:?}")));
    }
    Ok(move |segment: &Segment| match kind.as_str() {
        "human" => matches!(segment.speaker, Speaker::Agent(_)),
        "bot" => matches!(segment.speaker, Speaker::Bot(_)),
        _ => true,
    })
}

/// `GET /msgskillsegments`.
pub(in crate::simulator) fn skill_segments(
    world: &MessagingWorld,
    parameters: &Parameters,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let frame = Frame::new(parameters, Stamp::Start, now_ms)?;
    let (meant, wanted) = (is_meant(parameters)?, parameters.wanted("skillIds"));
    let mut cells: Vec<BTreeMap<usize, Sums>> = vec![BTreeMap::new(); frame.slots() + 1];
    for plan in plans(world, frame.from_ms, now_ms) {
        let segments = by_agent(&plan, now_ms).into_iter().filter(&meant).collect();
        for segment in by_skill(segments) {
            let is_asked = wanted.as_ref().is_none_or(|wanted| wanted.holds(&SKILLS[segment.skill].0.to_string()));
            for cell in frame.cells(segment.end_ms).filter(|_| is_asked) {
                cells[cell].entry(segment.skill).or_default().add(&segment);
            }
        }
    }
    let bodies = cells.iter().map(|cell| {
        let rows = cell.iter().map(|(skill, sums)| (SKILLS[*skill].0.to_string(), sums.of_skill()));
        json!({ "skillsMetrics": rows.collect::<Map<_, _>>(), "metricsTotal": total(cell.values()).of_skill() })
    });
    let mut bodies: Vec<Value> = bodies.collect();
    let mut answer = json!({ "timeframeSummary": bodies.pop() });
    if !bodies.is_empty() {
        // The sample has the figures of an interval beside its timestamp.
        answer["metricsByIntervals"] = frame.bare_intervals(bodies);
    }
    Ok(answer)
}

/// `GET /msgagentsegments`.
pub(in crate::simulator) fn agent_segments(
    world: &MessagingWorld,
    parameters: &Parameters,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let frame = Frame::new(parameters, Stamp::Start, now_ms)?;
    let meant = is_meant(parameters)?;
    if parameters.text("groupIds").is_some_and(|groups| groups != "all") {
        return Err(Refusal::bad("the account has no agent groups to ask for"));
    }
    let (skills, agents) = (parameters.wanted("skillIds"), parameters.wanted("agentIds"));
    let mut cells: Vec<BTreeMap<(usize, String), Sums>> = vec![BTreeMap::new(); frame.slots() + 1];
    for plan in plans(world, frame.from_ms, now_ms) {
        for segment in by_agent(&plan, now_ms).iter().filter(|segment| meant(segment)) {
            let agent = agent_id(segment.speaker);
            let is_asked = skills.as_ref().is_none_or(|wanted| wanted.holds(&SKILLS[segment.skill].0.to_string()))
                && agents.as_ref().is_none_or(|wanted| wanted.holds(&agent));
            for cell in frame.cells(segment.end_ms).filter(|_| is_asked) {
                cells[cell].entry((segment.skill, agent.clone())).or_default().add(segment);
            }
        }
    }
    let mut bodies: Vec<Value> = cells.iter().map(agents_of_skills).collect();
    let whole = bodies.pop().unwrap_or_default();
    if bodies.is_empty() {
        return Ok(whole);
    }
    Ok(json!({ "metricsByIntervals": frame.intervals(bodies), "timeframeSummary": whole }))
}

fn agents_of_skills(cell: &BTreeMap<(usize, String), Sums>) -> Value {
    let mut per_skill: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut per_agent: BTreeMap<&str, Vec<&Sums>> = BTreeMap::new();
    for ((skill, agent), sums) in cell {
        per_skill.entry(SKILLS[*skill].0.to_string()).or_default().insert(agent.clone(), sums.of_agent());
        per_agent.entry(agent).or_default().push(sums);
    }
    let skills = per_skill.into_iter().map(|(skill, agents)| (skill, json!({ "metricsPerAgent": agents })));
    let agents = per_agent.into_iter().map(|(agent, sums)| (agent.to_owned(), total(sums.into_iter()).of_agent()));
    json!({
        "metricsPerSkill": skills.collect::<Map<_, _>>(),
        "agentsMetrics": { "metricsPerAgent": agents.collect::<Map<_, _>>() },
        "metricsTotal": total(cell.values()).of_agent(),
    })
}

fn total<'s>(all: impl Iterator<Item = &'s Sums>) -> Sums {
    all.fold(Sums::default(), |sum, one| Sums {
        segments: sum.segments + one.segments,
        by_consumer: sum.by_consumer + one.by_consumer,
        silent_consumer: sum.silent_consumer + one.silent_consumer,
        silent_agent: sum.silent_agent + one.silent_agent,
        interactive: sum.interactive + one.interactive,
        messages: sum.messages + one.messages,
        duration_ms: sum.duration_ms + one.duration_ms,
        first_new: [sum.first_new[0] + one.first_new[0], sum.first_new[1] + one.first_new[1]],
        first_moved: [sum.first_moved[0] + one.first_moved[0], sum.first_moved[1] + one.first_moved[1]],
    })
}

/// `GET …/ewt`: the mean wait of the last hour's assignments, where there were enough of them.
pub(in crate::simulator) fn estimated_wait(
    world: &MessagingWorld,
    parameters: &Parameters,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let asked = parameters.text("skills").filter(|skills| !skills.is_empty());
    let asked = asked.ok_or_else(|| Refusal::bad("skills is required"))?;
    let asked: Vec<&str> = asked.split(',').collect();
    if asked.len() > MOST_SKILLS {
        return Err(Refusal::bad(format!("at most {MOST_SKILLS} skills")));
    }
    // Number and sum of the waits, by skill.
    let mut waits: BTreeMap<i64, [i64; 2]> = BTreeMap::new();
    for plan in plans(world, now_ms - HOUR_MS, now_ms) {
        for held in plan.assignments.iter().filter(|held| (now_ms - HOUR_MS..=now_ms).contains(&held.from_ms)) {
            let since_ms = plan.waits_since(held.from_ms - 1).unwrap_or(held.from_ms);
            let wait = waits.entry(SKILLS[held.skill].0).or_default();
            (wait[0], wait[1]) = (wait[0] + 1, wait[1] + held.from_ms - since_ms);
        }
    }
    let times = asked.into_iter().map(|skill| {
        let id: i64 = skill.parse().map_err(|_| Refusal::bad(format!("{skill:?} is no skill")))?;
        let wait_s = match waits.get(&id) {
            Some([count, sum_ms]) if *count >= LEAST_ASSIGNMENTS => sum_ms / count / 1000,
            _ => -1,
        };
        Ok(json!({ "skillId": id, "estimatedWaitTime": wait_s, "timestamp": now_ms }))
    });
    Ok(json!({ "estimatedWaitTimeResponse": times.collect::<Result<Vec<_>, Refusal>>()? }))
}
