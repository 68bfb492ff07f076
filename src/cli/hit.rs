//! A conversation as JSON and as text: one shape for `search`, `show` and the demo.

use super::output::{
    Output, Style, counted, has_right_to_left, isolated, json_time, printable, readable_duration, readable_time,
};
use chatvault::conversation::{Conversation, Role, StoredConversation};
use chatvault::search::Hit;
use chatvault::search::field::{end_reason_label, start_reason_label};
use chatvault::search::highlight::{Snippet, html};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

/// The fields of a hit (contract, section 4).
pub(super) fn fields(stored: &StoredConversation, c: &Conversation) -> Map<String, Value> {
    let agents: Vec<Value> = c.agents().iter().map(|agent| json!({ "id": agent.id, "name": agent.name })).collect();
    // Skill ids are numbers in the contract's sample; one that is no number stays a string rather than lose a digit.
    let skills: Vec<Value> = c
        .all_skills()
        .iter()
        .map(|skill| {
            skill.parse::<u64>().ok().filter(|n| n.to_string() == **skill).map_or_else(|| json!(skill), |n| json!(n))
        })
        .collect();
    let reason = |code: Option<i64>, label: fn(i64) -> Option<&'static str>| {
        code.map_or(Value::Null, |code| json!({ "id": code, "label": label(code) }))
    };
    let value = json!({
        "key": stored.key(),
        "account_id": c.account_id,
        "conversation_id": c.conversation_id,
        "type": c.kind.as_deref().or(c.supplement.map(|supplement| supplement.name())),
        "status": c.status,
        "start_time": json_time(c.start_ms),
        "interaction_start_time": json_time(c.interaction_start_ms),
        "end_time": json_time(c.end_ms),
        "end_reason": reason(c.end_reason, end_reason_label),
        "start_reason": reason(c.start_reason, start_reason_label),
        "skills": skills,
        "agents": agents,
        "consumer_id": c.consumer_id,
        "visitor_id": c.visitor_id,
        "mcs": c.mcs.map(number),
        "csat": c.csat.map(number),
        "transfer_count": c.transfers.len(),
        "message_count": c.messages.len(),
        "sources": stored.sources(),
        "revisions": stored.version_count(),
        "closed_by": c.closed_by,
        "nps": c.nps.map(number),
        "masked": c.is_masked,
    });
    let mut fields = match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    if let Some(encrypted) = &c.encrypted {
        fields.insert("encrypted".into(), json!(encrypted));
    }
    if stored.unproven_count() > 0 {
        fields.insert("unproven".into(), json!(true));
    }
    fields
}

/// A score as an integer where it is one: `44`, not `44.0`.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

/// Snippets as in the contract.
pub(super) fn snippets(snippets: &[Snippet]) -> Value {
    snippets
        .iter()
        .map(|snippet| {
            json!({ "message": snippet.message, "by": snippet.by, "role": snippet.role.name(), "html": html(snippet) })
        })
        .collect()
}

/// Two or more lines for people: what it is, and where it matches.
pub(super) fn print(hit: &Hit, tz: &TimeZone, output: &Output) {
    let (stored, c) = (&hit.stored, &hit.merged);
    let start = c.start_ms.map_or("no start time".to_owned(), |ms| readable_time(ms, tz));
    let mut facts = vec![start];
    facts.extend(c.duration_ms().map(readable_duration));
    facts.extend(c.end_reason.map(|code| match end_reason_label(code) {
        Some(label) => label.to_lowercase(),
        None => format!("end reason {code}"),
    }));
    facts.extend(c.closed_by.as_ref().map(|by| format!("closed by {}", by.to_lowercase())));
    facts.extend(c.supplement.map(|supplement| format!("a {}, no conversation", supplement.name())));
    facts.extend(c.is_masked.then(|| "personal data deleted by LivePerson".to_owned()));
    let named = |skill: &&str| c.skill_names.iter().find(|(id, _)| id == skill).map(|(_, name)| name.as_str());
    let skills: Vec<&str> = c.all_skills().iter().map(|skill| named(skill).unwrap_or(skill)).collect();
    if !skills.is_empty() {
        facts.push(format!("skill {}", skills.join(", ")));
    }
    facts.extend(c.agents().iter().find_map(|agent| agent.name).map(|name| format!("agent {name}")));
    facts.extend(c.mcs.map(|mcs| format!("MCS {mcs}")));
    if !c.transfers.is_empty() {
        let plural = if c.transfers.len() == 1 { "" } else { "s" };
        facts.push(format!("{} transfer{plural}", c.transfers.len()));
    }
    if stored.unproven_count() > 0 {
        facts.push("UNPROVEN".to_owned());
    }
    // What is no conversation is shown by its key: a survey's id is its conversation's.
    let id = c.conversation_id.clone().filter(|_| c.supplement.is_none()).unwrap_or_else(|| stored.key());
    outln!("{}  {}", output.styled(Style::Bold, &printable(&id)), printable(&facts.join(" · ")));
    for snippet in &hit.snippets {
        let mut line = String::new();
        let mut at = 0;
        for mark in &snippet.marks {
            line.push_str(&printable(&snippet.text[at..mark.start]));
            line.push_str(&output.styled(Style::Hit, &printable(&snippet.text[mark.clone()])));
            at = mark.end;
        }
        line.push_str(&printable(&snippet.text[at..]));
        if has_right_to_left(&snippet.text) {
            line = isolated(&line);
        }
        outln!("    {}: {line}", speaker(snippet.role, &snippet.by, output));
    }
    if hit.more_lines > 0 {
        let more = counted(hit.more_lines as u64, "more line");
        outln!("    {}", output.styled(Style::Dim, &format!("… and {more} with hits")));
    }
}

/// Who speaks, marked by role in word and colour.
fn speaker(role: Role, by: &str, output: &Output) -> String {
    let name = match role {
        Role::System => "system".to_owned(),
        Role::Note => format!("{by} (note)"),
        Role::Bot => format!("{by} (bot)"),
        Role::Consumer | Role::Agent if by.is_empty() => role.name().to_owned(),
        Role::Consumer | Role::Agent => by.to_owned(),
    };
    let style = match role {
        Role::Consumer => Style::Consumer,
        Role::Agent | Role::Bot => Style::Agent,
        Role::System | Role::Note => Style::Dim,
    };
    output.styled(style, &printable(&name)).into_owned()
}
