//! Snapshots of the agents → who was in which state how long, and who went away.
//!
//! LivePerson lists logged-in agents only, so an agent who is not in a later list has logged out (or was never seen): the
//! time until the next list counts as `absent`, from when the agent was first seen. A state lasts from one list to the next, at most
//! `MAX_GAP_MS`: what was between two lists farther apart nobody knows.

use super::series::{SeriesPoint, SeriesSpan};
use crate::decode::FigureValue;
use std::collections::BTreeMap;

/// The call whose snapshots are read.
const STATUS: &str = "agent-view/status";
/// A state is taken to last at most so long behind its list: ten polls at the usual pace.
const MAX_GAP_MS: i64 = 600_000;
/// Agents that are kept; LivePerson lists at most 2,500 on a page.
const MAX_AGENTS: usize = 200_000;

/// One agent's history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentHistory {
    /// LivePerson's id.
    pub agent_id: String,
    /// The latest name.
    pub name: Option<String>,
    /// Lists that hold the agent.
    pub lists: u64,
    /// First list with the agent, epoch milliseconds.
    pub first_seen_ms: i64,
    /// Last list with the agent.
    pub last_seen_ms: i64,
    /// Whether the last list of all holds the agent.
    pub is_listed: bool,
    /// The latest state, as LivePerson says it, in lower case.
    pub state: Option<String>,
    /// Reason of the latest state.
    pub reason: Option<String>,
    /// Since when, by LivePerson.
    pub state_since_ms: Option<i64>,
    /// Milliseconds in each state.
    pub states_ms: BTreeMap<String, i64>,
    /// Milliseconds not listed since first seen.
    pub absent_ms: i64,
    /// Least, greatest and latest load, percent.
    pub load: Option<(f64, f64, f64)>,
    /// Latest number of open assigned conversations.
    pub open_conversations: Option<f64>,
}

/// All agents of a stretch of time.
#[derive(Debug, Default)]
pub struct AgentsView {
    /// Lists (a list of several pages is one).
    pub lists: u64,
    /// First and last list, epoch milliseconds.
    pub range_ms: Option<(i64, i64)>,
    /// Milliseconds between lists that were too far apart to say anything of.
    pub unknown_ms: i64,
    /// Records of agents that did not fit.
    pub left_out: u64,
    agents: BTreeMap<String, Tracked>,
    /// Milliseconds that the lists speak of so far.
    known_ms: i64,
    /// Agents of the list at hand.
    listed: Vec<String>,
}

#[derive(Debug, Default)]
struct Tracked {
    history: AgentHistory,
    /// `known_ms` when first seen.
    known_before_ms: i64,
    /// Number of the last list with this agent.
    list: u64,
}

impl AgentsView {
    /// Takes what [`series`](super::series()) hands over.
    pub fn take(&mut self, span: &SeriesSpan<'_>, point: Option<&SeriesPoint<'_>>) {
        if span.call != STATUS {
            return;
        }
        let at_ms = span.span.start_ms;
        let Some(point) = point else {
            // Later pages belong to the list that their first page began.
            if span.offset == 0 || self.lists == 0 {
                self.next_list(at_ms);
            }
            return;
        };
        let Some(agent_id) = &point.dimensions.agent else { return };
        if !self.agents.contains_key(agent_id) && self.agents.len() == MAX_AGENTS {
            self.left_out += 1;
            return;
        }
        let tracked = self.agents.entry(agent_id.clone()).or_insert_with(|| Tracked {
            history: AgentHistory { agent_id: agent_id.clone(), first_seen_ms: at_ms, ..AgentHistory::default() },
            known_before_ms: self.known_ms,
            list: 0,
        });
        let history = &mut tracked.history;
        if tracked.list != self.lists {
            tracked.list = self.lists;
            history.lists += 1;
            history.last_seen_ms = at_ms;
            history.state.clone_from(&point.dimensions.state);
            history.reason.clone_from(&point.dimensions.reason);
            self.listed.push(agent_id.clone());
        }
        match (point.metric, point.value) {
            ("agentName", FigureValue::Text(name)) => history.name = Some(name.to_owned()),
            ("agentNickname", FigureValue::Text(name)) if history.name.is_none() => {
                history.name = Some(name.to_owned())
            }
            ("currentStatusStartTimeL", FigureValue::Number(ms)) => history.state_since_ms = Some(ms as i64),
            ("openAssignedConversations", FigureValue::Number(count)) => history.open_conversations = Some(count),
            ("load", FigureValue::Number(load)) => {
                let (least, greatest, _) = history.load.unwrap_or((load, load, load));
                history.load = Some((least.min(load), greatest.max(load), load));
            }
            _ => {}
        }
    }

    fn next_list(&mut self, at_ms: i64) {
        let (first_ms, last_ms) = self.range_ms.unwrap_or((at_ms, at_ms));
        let gap_ms = (at_ms - last_ms).max(0);
        let lasted_ms = gap_ms.min(MAX_GAP_MS);
        for agent_id in self.listed.drain(..) {
            if let Some(Tracked { history, .. }) = self.agents.get_mut(&agent_id) {
                let state = history.state.clone().unwrap_or_else(|| "unknown".to_owned());
                *history.states_ms.entry(state).or_default() += lasted_ms;
            }
        }
        self.known_ms += lasted_ms;
        self.unknown_ms += gap_ms - lasted_ms;
        self.range_ms = Some((first_ms, at_ms.max(last_ms)));
        self.lists += 1;
    }

    /// The agents, by id.
    pub fn agents(&self) -> Vec<AgentHistory> {
        let finished = |tracked: &Tracked| {
            let mut history = tracked.history.clone();
            let in_states: i64 = history.states_ms.values().sum();
            history.absent_ms = (self.known_ms - tracked.known_before_ms - in_states).max(0);
            history.is_listed = tracked.list == self.lists;
            history
        };
        self.agents.values().map(finished).collect()
    }
}
