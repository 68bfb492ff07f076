//! What `show` says of a conversation beside its transcript: people, dialogs, surveys, summary, intents, attributes.

use super::super::exit::Failure;
use super::super::output::{json_time, readable_time};
use super::header::row;
use super::page::Page;
use chatvault::conversation::{Campaign, Conversation, SdeEvent, StoredConversation, flattened, sde_event};
use chatvault::index::Reader;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

/// Web sessions listed with a conversation.
const MAX_SESSIONS: usize = 50;

/// Adds the fields that are not the contract's oldest; all of them may be null or empty.
pub(super) fn add(fields: &mut Map<String, Value>, stored: &StoredConversation, c: &Conversation) {
    let as_json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    let attributes = c.attributes.iter().filter_map(|attribute| {
        let event = sde_event(attribute)?;
        Some(json!({
            "kind": event.kind,
            "first_seen_time": json_time(stored.sde_first_seen_ms(attribute)),
            "time": json_time(event.original_ms.or(event.server_ms)),
            "authenticated": event.is_authenticated,
            "values": event.values.iter().map(|value| json!({ "path": value.path, "value": value.text })).collect::<Vec<_>>(),
        }))
    });
    let dialogs = c.dialogs.iter().map(|dialog| {
        json!({
            "dialog_id": dialog.dialog_id, "type": dialog.kind, "channel": dialog.channel, "status": dialog.status,
            "start_time": json_time(dialog.start_ms), "end_time": json_time(dialog.end_ms),
            "closed_by": dialog.closed_by, "skill_id": dialog.skill_id,
        })
    });
    let skill_names: Map<String, Value> = c.skill_names.iter().map(|(id, name)| (id.clone(), json!(name))).collect();
    let other: Map<String, Value> = c.unknown.iter().map(|(name, text)| (name.clone(), as_json(text))).collect();
    for (name, value) in [
        ("sde_values", attributes.collect()),
        ("dialogs", dialogs.collect()),
        ("skill_names", Value::Object(skill_names)),
        ("agent_profiles", json!(c.agent_profiles)),
        ("consumers", json!(c.consumers)),
        ("intents", json!(c.intents)),
        ("summary", json!(c.summary)),
        ("partial", json!(c.is_partial)),
        ("other_fields", Value::Object(other)),
    ] {
        fields.insert(name.into(), value);
    }
}

/// The campaign with whatever else its source says of it.
pub(super) fn campaign(campaign: &Campaign) -> Value {
    let as_json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    let mut fields: Map<String, Value> =
        campaign.unknown.iter().map(|(name, text)| (name.clone(), as_json(text))).collect();
    for (name, value) in [
        ("campaign_id", &campaign.campaign_id),
        ("engagement_id", &campaign.engagement_id),
        ("campaign_name", &campaign.campaign_name),
        ("engagement_name", &campaign.engagement_name),
    ] {
        fields.insert(name.into(), json!(value));
    }
    Value::Object(fields)
}

/// Adds the web sessions of the same visit, or of the same visitor at the same time: the reference has no other tie. What
/// is not listed for its number is told.
pub(super) fn add_sessions(fields: &mut Map<String, Value>, reader: &Reader, c: &Conversation) -> Result<(), Failure> {
    let (found, is_all) = match c.supplement {
        Some(_) => (Vec::new(), true),
        None => reader.web_sessions_of(c, MAX_SESSIONS)?,
    };
    let sessions = found.iter().map(|stored| {
        let session = stored.merged();
        json!({
            "key": stored.key(), "visit_id": session.visit_id, "visitor_id": session.visitor_id,
            "start_time": json_time(session.start_ms), "end_time": json_time(session.end_ms),
        })
    });
    fields.insert("web_sessions".into(), sessions.collect());
    fields.insert("web_sessions_complete".into(), json!(is_all));
    Ok(())
}

/// What a survey says; where nobody has said anything, which one it is and how it stands.
fn survey_line(survey: &str) -> String {
    let texts = Conversation { surveys: vec![survey.to_owned()], ..Conversation::default() }.survey_texts();
    if texts.iter().any(|text| !text.is_empty()) {
        return texts.join(" · ");
    }
    let fields = flattened(survey);
    let value = |names: &[&str]| {
        let found = fields.iter().find(|field| names.contains(&field.path.as_str()) && !field.text.is_empty());
        found.map(|field| field.text.clone())
    };
    let kind = value(&["surveyType", "source"]).or_else(|| value(&["type"]).map(|code| format!("type {code}")));
    let status = value(&["surveyStatus", "status"]).map(|status| status.to_lowercase().replace('_', " "));
    let said = kind.into_iter().chain([status.unwrap_or_else(|| "no answers".to_owned())]);
    said.collect::<Vec<String>>().join(" · ")
}

/// Prints them for people.
pub(super) fn print(stored: &StoredConversation, c: &Conversation, tz: &TimeZone, page: &mut Page<'_>) {
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    lines.extend(c.summary.as_ref().map(|summary| ("summary", summary.clone())));
    for intent in &c.intents {
        let label = intent.label.as_ref().unwrap_or(&intent.name);
        lines.push(("intent", label.clone()));
    }
    for survey in &c.surveys {
        lines.push(("survey", survey_line(survey)));
    }
    for form in &c.secure_forms {
        let fields: Vec<String> =
            flattened(form).iter().map(|field| format!("{}={}", field.path, field.text)).collect();
        lines.push(("secure form", if fields.is_empty() { form.clone() } else { fields.join(" ") }));
    }
    for attribute in &c.attributes {
        let Some(SdeEvent { kind, values, .. }) = sde_event(attribute) else { continue };
        let seen = stored.sde_first_seen_ms(attribute).map(|ms| readable_time(ms, tz)).unwrap_or_default();
        let values: Vec<String> = values
            .iter()
            .map(|value| {
                let path =
                    value.path.strip_prefix(&kind).map_or(value.path.as_str(), |rest| rest.trim_start_matches('.'));
                format!("{path}={}", value.text)
            })
            .collect();
        lines.push(("attribute", format!("{kind}, first seen {seen}: {}", values.join(" "))));
    }
    if let Some(first) = stored.revisions.iter().find(|revision| revision.content.is_masked) {
        let when = readable_time(first.age_ms, tz);
        let text = format!("LivePerson has deleted personal data; first seen {when}; earlier revisions: --revisions");
        lines.push(("masked", text));
    }
    if !lines.is_empty() {
        page.empty_line();
    }
    for (name, text) in lines {
        row(page, name, text, None);
    }
}
