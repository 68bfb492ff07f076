//! Operational Realtime: queues, engagements and agents of the chats.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Cell, Frame, Parameters, Stamp, add, by_skill_and_agent, mean};
use crate::simulator::dice::mix;
use crate::simulator::plan::{Plan, SKILLS, Speaker, agent_number};
use crate::simulator::request::Refusal;
use crate::simulator::world::World;

/// A chat that counts in a day closes at most so long after the day.
const LONGEST_CHAT_MS: i64 = 72 * 3_600_000;
/// The queue is looked at this often.
const TICK_MS: i64 = 10_000;
const STATE_STREAM: u64 = 91;
/// An agent's state changes at most this often.
const STATE_MS: i64 = 300_000;
const AWAY_REASON: &str = "880030010";

/// Chats that may have an event in the frame, up to `now_ms`.
fn chats<'a>(world: &'a World, frame: &Frame) -> impl Iterator<Item = Plan> + 'a {
    let numbers = world.closing(frame.from_ms, frame.to_ms + LONGEST_CHAT_MS);
    numbers.map(|index| world.plan(index, false)).filter(|plan| !plan.messaging)
}

/// `GET /queuehealth`.
pub(super) fn queue_health(world: &World, parameters: &Parameters, now_ms: i64) -> Result<Value, Refusal> {
    let frame = Frame::new(parameters, Stamp::End, now_ms)?;
    let wanted = parameters.wanted("skillIds");
    // Entered, connected, seconds to the answer.
    let mut counts = vec![[[0_i64; 3]; SKILLS.len()]; frame.slots() + 1];
    let ticks = ((frame.to_ms - frame.from_ms) / TICK_MS) as usize;
    let mut queues = vec![[0_u32; SKILLS.len()]; ticks];
    let mut current = [0_i64; SKILLS.len()];
    for plan in chats(world, &frame) {
        let skill = plan.topic();
        if plan.start_ms <= now_ms {
            frame.cells(plan.start_ms).for_each(|cell| counts[cell][skill][0] += 1);
        }
        if plan.connect_ms <= now_ms {
            let waited_s = (plan.connect_ms - plan.start_ms) / 1000;
            frame.cells(plan.connect_ms).for_each(|cell| add(&mut counts[cell][skill], &[0, 1, waited_s]));
        }
        current[skill] += i64::from(plan.start_ms <= now_ms && now_ms < plan.connect_ms);
        let tick = |at_ms: i64| ((at_ms.min(now_ms) - frame.from_ms + TICK_MS - 1).max(0) / TICK_MS) as usize;
        let until = tick(plan.connect_ms).min(ticks);
        queues.get_mut(tick(plan.start_ms)..until).unwrap_or_default().iter_mut().for_each(|queue| queue[skill] += 1);
    }
    let cells = counts.iter().enumerate().map(|(cell, counts)| {
        let is_whole = cell == frame.slots();
        let (from_ms, to_ms) = frame.span(cell);
        // What lies ahead of now was not looked at.
        let place = |at_ms: i64| ((at_ms.min(now_ms) - frame.from_ms).max(0) / TICK_MS) as usize;
        let looked_at = &queues[place(from_ms)..place(to_ms)];
        let metrics = |skills: &[usize]| {
            let mut sum = [0; 3];
            skills.iter().for_each(|&skill| add(&mut sum, &counts[skill]));
            let sizes = looked_at.iter().map(|queue| skills.iter().map(|&skill| i64::from(queue[skill])).sum::<i64>());
            let now = is_whole.then(|| skills.iter().map(|&skill| current[skill]).sum());
            queue_metrics(sum, &sizes.collect::<Vec<_>>(), now)
        };
        let asked = |skill: &usize| wanted.as_ref().is_none_or(|wanted| wanted.holds(&SKILLS[*skill].0.to_string()));
        let skills: Vec<usize> = (0..SKILLS.len()).filter(asked).collect();
        let mut body = json!({ "metricsTotals": metrics(&skills) });
        if wanted.is_some() {
            let with_data = skills.iter().filter(|&&skill| counts[skill] != [0; 3]);
            let rows = with_data.map(|&skill| (SKILLS[skill].0.to_string(), metrics(&[skill])));
            body["skillsMetrics"] = Value::Object(rows.collect());
        }
        body
    });
    Ok(frame.answer(cells.collect()))
}

/// Nobody abandons in this account: every chat of its files was connected.
fn queue_metrics([entered, connected, to_answer]: [i64; 3], sizes: &[i64], now: Option<i64>) -> Value {
    let (sum, count) = (sizes.iter().sum::<i64>(), sizes.len() as i64);
    json!({
        "enteredQEng": entered, "connectedEng": connected, "abandonedEng": 0, "abandonmentRate": 0.0,
        "totalTimeToAnswer": to_answer, "avgTimeToAnswer": mean(to_answer, connected),
        "totalTimeToAbandon": 0, "avgTimeToAbandon": 0,
        "minQueueSize": sizes.iter().min().copied().unwrap_or(-1), "maxQueueSize": sizes.iter().max().copied().unwrap_or(-1),
        "averageQueueSize": if count == 0 { -1.0 } else { mean(sum, count) }, "queueSizeSum": sum, "queueSizeCount": count,
        "minAvailableSlots": -1, "maxAvailableSlots": -1, "averageAvailableSlots": -1, "availableSlotsSum": 0,
        "availableSlotsCount": 0, "currentQueueSize": now.unwrap_or(-1), "currentAvailableSlots": -1,
    })
}

/// `GET /queuestate`: who waits at this instant. Slots are not known to the account.
pub(super) fn queue_state(world: &World, parameters: &Parameters, now_ms: i64) -> Result<Value, Refusal> {
    let with_wait = match parameters.text("v").as_deref() {
        Some("1") => false,
        Some("2") => true,
        _ => return Err(Refusal::bad("v must be 1 or 2")),
    };
    let wanted = parameters.wanted("skillIds");
    let asked = |skill: usize| wanted.as_ref().is_none_or(|wanted| wanted.holds(&SKILLS[skill].0.to_string()));
    // Number, and the longest wait.
    let mut queues = [[0_i64, -1]; SKILLS.len()];
    for plan in chats(world, &Frame::between(now_ms - LONGEST_CHAT_MS, now_ms)) {
        if plan.start_ms <= now_ms && now_ms < plan.connect_ms {
            let [waiting, longest_ms] = &mut queues[plan.topic()];
            (*waiting, *longest_ms) = (*waiting + 1, (*longest_ms).max(now_ms - plan.start_ms));
        }
    }
    let state = |[waiting, longest_ms]: [i64; 2]| {
        let mut state = json!({ "currentAvailableSlots": -1, "currentQueueSize": waiting });
        if with_wait {
            state["currentMaxWaitTimeInQueue"] = json!(longest_ms);
        }
        state
    };
    let shown = || queues.iter().enumerate().filter(|(skill, _)| asked(*skill));
    let rows: Map<String, Value> = shown().map(|(skill, queue)| (SKILLS[skill].0.to_string(), state(*queue))).collect();
    let total = shown().fold([0, -1], |[waiting, longest], (_, queue)| [waiting + queue[0], longest.max(queue[1])]);
    Ok(json!({ "skills": rows, "totals": state(total) }))
}

/// `GET /sla`: within how many seconds the chats of the window were connected.
pub(super) fn sla(world: &World, parameters: &Parameters, now_ms: i64) -> Result<Value, Refusal> {
    let frame = Frame::new(parameters, Stamp::End, now_ms)?;
    if parameters.text("groupIds").is_some_and(|groups| groups != "all") {
        return Err(Refusal::bad("the account has no agent groups to ask for"));
    }
    let wanted = parameters.wanted("skillIds");
    let histogram = parameters.text("histogram").unwrap_or_else(|| "0,15,30,45,60,90,120".to_owned());
    let bounds: Option<Vec<i64>> = histogram.split(',').map(|bound| bound.trim().parse().ok()).collect();
    let bounds = bounds.filter(|bounds| bounds.iter().all(|bound| *bound >= 0 && bound % 5 == 0));
    let mut bounds = bounds.ok_or_else(|| Refusal::bad("histogram must be numbers of seconds, multiples of 5"))?;
    bounds.push(0);
    bounds.sort_unstable();
    bounds.dedup();
    let mut counts = vec![0_i64; bounds.len()];
    for plan in chats(world, &frame) {
        let is_asked = wanted.as_ref().is_none_or(|wanted| wanted.holds(&SKILLS[plan.topic()].0.to_string()));
        let inside = plan.connect_ms <= now_ms && frame.cells(plan.connect_ms).next().is_some();
        if is_asked && inside {
            let waited_s = (plan.connect_ms - plan.start_ms) / 1000;
            counts[bounds.partition_point(|bound| *bound <= waited_s) - 1] += 1;
        }
    }
    let all = counts.iter().sum();
    let mut so_far = 0;
    let rows = bounds.iter().zip(&counts).map(|(bound, &chats)| {
        so_far += chats;
        let shares = json!({
            "accumulated": mean(so_far, all), "percentageFromTotal": mean(chats, all), "chats": chats,
        });
        (bound.to_string(), shares)
    });
    Ok(json!({ "slaDataRange": rows.collect::<Map<String, Value>>() }))
}

/// `GET /engactivity`.
pub(super) fn engagement_activity(world: &World, parameters: &Parameters, now_ms: i64) -> Result<Value, Refusal> {
    let frame = Frame::new(parameters, Stamp::End, now_ms)?;
    let mut cells: Vec<Cell<5>> = vec![BTreeMap::new(); frame.slots() + 1];
    for plan in chats(world, &frame) {
        let skill = plan.skills.last().map_or(-1, |&skill| SKILLS[skill].0).to_string();
        let key = (skill, agent_number(Speaker::Agent(plan.agent)).to_string());
        let mut count = |at_ms: i64, counts: [i64; 5]| {
            if at_ms <= now_ms {
                frame.cells(at_ms).for_each(|cell| add(cells[cell].entry(key.clone()).or_insert([0; 5]), &counts));
            }
        };
        let handled_s = (plan.end_ms - plan.connect_ms) / 1000;
        let (talked, quiet) = (i64::from(plan.interactive), i64::from(!plan.interactive));
        count(plan.end_ms, [talked, quiet, talked * handled_s, quiet * handled_s, 0]);
        count(plan.connect_ms, [0, 0, 0, 0, 1]);
    }
    let render = |[talked, quiet, handled_s, quiet_s, connected]: [i64; 5]| {
        json!({
            "totalInteractiveChats": talked, "totalNonInteractiveChats": quiet, "totalHandlingTime": handled_s,
            "nonInteractiveTotalHandlingTime": quiet_s, "connectedEngagements": connected,
        })
    };
    Ok(frame.answer(cells.iter().map(|cell| by_skill_and_agent(cell, parameters, &render)).collect()))
}

/// `GET` or `POST /agentactivity`.
///
/// Whoever has a chat is online; the rest of the time falls by chance, five minutes at a time.
pub(super) fn agent_activity(world: &World, parameters: &Parameters, now_ms: i64) -> Result<Value, Refusal> {
    let frame = Frame::new(parameters, Stamp::End, now_ms)?;
    let wanted = parameters.wanted("agentIds").ok_or_else(|| Refusal::bad("agentIds is required"))?;
    let steps = ((frame.to_ms - frame.from_ms) / STATE_MS) as usize;
    // Milliseconds with a chat, per agent and step.
    let mut chatting: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for plan in chats(world, &frame) {
        let agent = agent_number(Speaker::Agent(plan.agent)).to_string();
        if !wanted.holds(&agent) {
            continue;
        }
        let busy = chatting.entry(agent).or_insert_with(|| vec![0; steps]);
        let end_ms = plan.end_ms.min(now_ms);
        for (step, busy) in busy.iter_mut().enumerate() {
            let start_ms = frame.from_ms + step as i64 * STATE_MS;
            let overlap_ms = end_ms.min(start_ms + STATE_MS) - plan.connect_ms.max(start_ms);
            *busy = (*busy + overlap_ms.max(0)).min(STATE_MS);
        }
    }
    let bodies = (0..=frame.slots()).map(|cell| {
        let (from_ms, to_ms) = frame.span(cell);
        let agents = chatting.iter().map(|(agent, busy)| {
            let steps =
                busy.iter().enumerate().map(|(step, &busy_ms)| (frame.from_ms + step as i64 * STATE_MS, busy_ms));
            let own = steps.filter(|(start_ms, _)| (from_ms..to_ms).contains(start_ms) && *start_ms < now_ms);
            (agent.clone(), states(world.config().seed, agent, own, now_ms))
        });
        // Beside intervals the whole frame is empty, as in the documentation's sample.
        let rows: Map<String, Value> = match cell == frame.slots() && cell > 0 {
            true => Map::new(),
            false => agents.collect(),
        };
        json!({ "agentsMetrics": { "metricsPerAgent": rows, "metricsTotals": [] } })
    });
    Ok(frame.answer(bodies.collect()))
}

fn states(seed: u64, agent: &str, steps: impl Iterator<Item = (i64, i64)>, now_ms: i64) -> Value {
    // Online, back soon, away: total and chatting seconds.
    let mut sums = [[0_i64; 2]; 3];
    let number = agent.parse().unwrap_or(0);
    for (start_ms, busy_ms) in steps {
        let length_ms = STATE_MS.min(now_ms - start_ms);
        let state = match mix(seed ^ number, STATE_STREAM, start_ms as u64) % 10 {
            _ if busy_ms > 0 => 0,
            0 => 1,
            1 | 2 => 2,
            _ => 0,
        };
        add(&mut sums[state], &[length_ms / 1000, busy_ms / 1000]);
    }
    let value = |[total, chatting]: [i64; 2]| {
        json!({
            "total": total, "chatting": chatting, "notChatting": total - chatting, "chattingInMaxConcurrency": 0,
        })
    };
    let mut all = [0; 2];
    sums.iter().for_each(|sum| add(&mut all, sum));
    json!([
        { "id": 2, "name": "Online", "value": value(sums[0]) },
        { "id": 3, "name": "Back in 5", "value": value(sums[1]) },
        { "reasons": [{ "id": AWAY_REASON, "value": value(sums[2]) }], "id": 4, "name": "Away", "value": value(sums[2]) },
        { "id": -1, "name": "Logged in", "value": value(all) },
    ])
}
