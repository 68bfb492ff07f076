//! A conversation as it went: messages in the order received, and between them, at their time, what else happened.

use super::super::output::readable_duration;
use chatvault::conversation::{Conversation, Message, Transfer};
use chatvault::search::field::{end_reason_label, start_reason_label};
use std::collections::HashMap;

/// One thing that happened.
pub(super) enum Entry<'c> {
    /// A message and its index.
    Message(usize, &'c Message),
    /// A fact of the record, in words that hold foreign text.
    Event(Event),
}

/// What happened beside the messages.
pub(super) struct Event {
    /// When, epoch milliseconds.
    pub(super) time_ms: Option<i64>,
    /// What kind it is: at most eight letters, see [`LABEL_WIDTH`].
    pub(super) label: &'static str,
    /// What is known of it.
    pub(super) text: String,
}

/// Columns of the longest label: `consumer`, `transfer`.
pub(super) const LABEL_WIDTH: usize = 8;

/// Everything that happened. Messages keep their order, even where their times go back; an event stands before the first
/// message that is not earlier, one without a time behind all that have one. A start comes first, an end last.
pub(super) fn timeline(c: &Conversation) -> Vec<Entry<'_>> {
    let mut events = events(c);
    // Stable: at the same moment the order is that of the list.
    events.sort_by_key(|event| event.time_ms.unwrap_or(i64::MAX));
    let mut events = events.into_iter().peekable();
    let mut entries: Vec<Entry<'_>> = Vec::with_capacity(c.messages.len() + 4);
    entries.extend(start(c).map(Entry::Event));
    for (index, message) in c.messages.iter().enumerate() {
        if let Some(time) = message.time_ms {
            while let Some(event) = events.next_if(|event| event.time_ms.is_some_and(|at| at <= time)) {
                entries.push(Entry::Event(event));
            }
        }
        entries.push(Entry::Message(index, message));
    }
    entries.extend(events.map(Entry::Event));
    entries.extend(end(c).map(Entry::Event));
    entries
}

fn start(c: &Conversation) -> Option<Event> {
    let time_ms = Some(c.start_ms?);
    let reason = c.start_reason.map(|code| match start_reason_label(code) {
        Some(label) => label.to_lowercase(),
        None => format!("start reason {code}"),
    });
    Some(Event { time_ms, label: "start", text: reason.unwrap_or_else(|| "the conversation starts".to_owned()) })
}

fn end(c: &Conversation) -> Option<Event> {
    let time_ms = Some(c.end_ms?);
    let mut said: Vec<String> = Vec::new();
    said.extend(c.end_reason.map(|code| match end_reason_label(code) {
        Some(label) => label.to_lowercase(),
        None => format!("end reason {code}"),
    }));
    said.extend(c.closed_by.as_ref().map(|by| format!("closed by {}", by.to_lowercase())));
    let text = if said.is_empty() { "the conversation ends".to_owned() } else { said.join(", ") };
    Some(Event { time_ms, label: "end", text })
}

fn events(c: &Conversation) -> Vec<Event> {
    let mut events = Vec::new();
    if let (Some(waited), Some(ended)) = (c.queue_ms(), c.queue_end_ms) {
        let text = format!("waited {}", readable_duration(waited));
        events.push(Event { time_ms: Some(ended), label: "queue", text });
    }
    let names = Names::of(c);
    events.extend(c.transfers.iter().map(|transfer| Event {
        time_ms: transfer.time_ms,
        label: "transfer",
        text: transfer_text(transfer, &names),
    }));
    events
}

fn transfer_text(transfer: &Transfer, names: &Names<'_>) -> String {
    let side = |agent: &Option<String>, skill: &Option<String>| {
        let known = |id: &&String| !matches!(id.as_str(), "" | "0" | "-1");
        let agent = agent.as_ref().filter(known).map(|id| format!("agent {}", names.agent(id)));
        let skill = skill.as_ref().filter(known).map(|id| format!("skill {}", names.skill(id)));
        let said: Vec<String> = agent.into_iter().chain(skill).collect();
        if said.is_empty() { "not said".to_owned() } else { said.join(", ") }
    };
    let mut text = format!(
        "{} → {}",
        side(&transfer.agent_id, &transfer.skill_id),
        side(&transfer.target_agent_id, &transfer.target_skill_id)
    );
    if let Some(reason) = transfer.reason_text() {
        text.push_str(&format!(" · reason {reason}"));
    }
    if let (Some(from), Some(to)) = (transfer.queue_start_ms, transfer.queue_end_ms) {
        text.push_str(&format!(" · {} in the queue", readable_duration(to.saturating_sub(from))));
    }
    if transfer.interactive == Some(false) {
        text.push_str(" · the visitor had written nothing");
    }
    text
}

/// The names of a conversation's agents and skills, by id: looked up once for any number of transfers.
pub(super) struct Names<'c> {
    agents: HashMap<&'c str, &'c str>,
    skills: HashMap<&'c str, &'c str>,
}

impl<'c> Names<'c> {
    pub(super) fn of(c: &'c Conversation) -> Names<'c> {
        let agents = c.agents().into_iter().filter_map(|agent| Some((agent.id, agent.name?))).collect();
        let skills = c.skill_names.iter().rev().map(|(id, name)| (id.as_str(), name.as_str())).collect();
        Names { agents, skills }
    }

    /// `Anna (4711)`, or the id alone.
    pub(super) fn agent(&self, id: &str) -> String {
        named(self.agents.get(id).copied(), id)
    }

    /// `Returns desk (12)`, or the id alone.
    pub(super) fn skill(&self, id: &str) -> String {
        named(self.skills.get(id).copied(), id)
    }
}

/// `Anna (4711)`, or what there is of it.
pub(super) fn named(name: Option<&str>, id: &str) -> String {
    match name.filter(|name| !name.is_empty()) {
        Some(name) if id.is_empty() => name.to_owned(),
        Some(name) => format!("{name} ({id})"),
        None => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time_ms: Option<i64>) -> Message {
        Message { time_ms, ..Message::default() }
    }

    #[test]
    fn events_stand_at_their_time_and_messages_keep_their_order() {
        let transfer = |time_ms| Transfer { time_ms, ..Transfer::default() };
        let c = Conversation {
            start_ms: Some(10),
            end_ms: Some(12),
            queue_start_ms: Some(10),
            queue_end_ms: Some(20),
            messages: vec![at(Some(30)), at(None), at(Some(15)), at(Some(50))],
            transfers: vec![transfer(Some(40)), transfer(None), transfer(Some(60))],
            ..Conversation::default()
        };
        let said: Vec<String> = timeline(&c)
            .iter()
            .map(|entry| match entry {
                Entry::Message(index, _) => format!("m{index}"),
                Entry::Event(event) => format!("{} {:?}", event.label, event.time_ms.unwrap_or(-1)),
            })
            .collect();
        let expected =
            ["start 10", "queue 20", "m0", "m1", "m2", "transfer 40", "m3", "transfer 60", "transfer -1", "end 12"];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_transfer_names_both_sides_and_says_why() {
        let c = Conversation { skill_names: vec![("3".into(), "Sales".into())], ..Conversation::default() };
        let transfer = Transfer {
            agent_id: Some("0".into()),
            skill_id: Some("3".into()),
            target_agent_id: Some("4711".into()),
            reason: Some(7),
            queue_start_ms: Some(0),
            queue_end_ms: Some(12_000),
            ..Transfer::default()
        };
        let text = "skill Sales (3) → agent 4711 · reason 7 · 12s in the queue";
        assert_eq!(transfer_text(&transfer, &Names::of(&c)), text);
        assert_eq!(transfer_text(&Transfer::default(), &Names::of(&c)), "not said → not said");
    }
}
