//! Messages of a messaging conversation → lines of a transcript: who wrote, and what a reader sees.
//!
//! Text comes under `msg`; files, links, secure forms, rich content and quick replies beside it, the last two as JSON inside
//! a string. What is not text is kept raw as the line's attachment, and what can be read of it is the line's text.

use super::avro_json::Broken;
use super::fields::{Fields, text_of};
use super::messaging::People;
use super::rich_content::visible_text;
use crate::conversation::{Message, Role};
use serde_json::Value;

type Result<T> = std::result::Result<T, Broken>;

/// A line, and the secure form that it carries.
pub(super) struct Line {
    pub(super) message: Message,
    pub(super) secure_form: Option<String>,
}

/// Reads one element of `messageRecords`.
pub(super) fn read_line(json: &[u8], people: &People) -> Result<Line> {
    let mut fields = Fields::of(json)?;
    let kind = fields.text(&["type"])?.unwrap_or_default();
    let writer = fields.text(&["participantId"])?;
    let sent_by = fields.text(&["sentBy"])?.unwrap_or_default();
    let audience = fields.text(&["audience"])?;
    let is_note = audience.is_some_and(|audience| audience.to_ascii_uppercase().starts_with("AGENTS"));
    let answers_as_bot = is_bot_response(&mut fields)?;
    let role = if is_note { Role::Note } else { role_of(&sent_by, writer.as_deref(), answers_as_bot, people) };
    let by = match &writer {
        Some(id) if role == Role::Consumer => {
            people.consumers.iter().find(|c| c.id == *id).and_then(|c| c.name.clone())
        }
        Some(id) => people.agent(id).and_then(|agent| agent.name()).map(str::to_owned),
        None => None,
    };
    let mut message = Message {
        time_ms: fields.time("time")?,
        by: by.unwrap_or(sent_by),
        role,
        content_format: Some(kind.clone()).filter(|kind| !kind.is_empty()),
        kind,
        message_id: fields.text(&["messageId"])?,
        dialog_id: fields.text(&["dialogId"])?,
        agent_id: writer.filter(|_| role != Role::Consumer),
        ..Message::default()
    };
    let secure_form = read_data(&mut fields, &mut message)?;
    Ok(Line { message, secure_form })
}

/// Whether the line says of itself that a bot made it (`contextData`).
fn is_bot_response(fields: &mut Fields<'_>) -> Result<bool> {
    for metadata in fields.object(&["contextData"])?.list(&["structuredMetadata"])? {
        if Fields::of(metadata)?.take(&["botResponse"]).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Who wrote a line. The type of the participant says more than `sentBy`, which calls a bot an agent. The bot of a survey is
/// no participant; its lines tell it.
fn role_of(sent_by: &str, writer: Option<&str>, answers_as_bot: bool, people: &People) -> Role {
    let agent = writer.and_then(|id| people.agent(id));
    let kind = agent.and_then(|agent| agent.user_type.as_deref()).unwrap_or_default().to_ascii_lowercase();
    let sent_by = sent_by.to_ascii_lowercase();
    match (kind.as_str(), sent_by.as_str()) {
        (_, "consumer") => Role::Consumer,
        ("bot", _) | (_, "bot") => Role::Bot,
        ("system", _) | (_, "system" | "controller") => Role::System,
        ("", "agent" | "") if answers_as_bot => Role::Bot,
        (_, "agent" | "manager") => Role::Agent,
        _ if agent.is_some() => Role::Agent,
        _ => Role::Consumer,
    }
}

/// Takes `messageData` into the line; gives the secure form in it.
fn read_data(fields: &mut Fields<'_>, message: &mut Message) -> Result<Option<String>> {
    let Some(json) = fields.take(&["messageData"]) else { return Ok(None) };
    let mut data = Fields::of(json)?;
    let mut texts: Vec<String> = Vec::new();
    let mut raw: Vec<String> = Vec::new();
    if let Some(text) = data.take(&["msg"]) {
        texts.extend(if text.starts_with(b"{") { Fields::of(text)?.any_text(&["text"])? } else { one(text)? });
    }
    for name in ["richContent", "quickReplies"] {
        if let Some(json) = data.take(&[name]) {
            raw.push(text_of(json));
            let mut fields = Fields::of(json)?;
            let content = fields.take(&["content"]).unwrap_or(json);
            match visible_text(content) {
                Some(text) => texts.push(text),
                // Cut or broken inside its string: what is there is better found than lost.
                None => texts.extend(one(content)?),
            }
        }
    }
    for (name, wanted) in [
        ("file", &["caption", "relativePath"][..]),
        ("link", &["caption", "externalFileLink", "url"]),
        ("image", &["caption", "relativePath", "url"]),
    ] {
        if let Some(json) = data.take(&[name]) {
            let mut fields = Fields::of(json)?;
            for field in wanted {
                texts.extend(fields.text(&[field])?);
            }
            raw.push(without_preview(json));
        }
    }
    let mut secure_form = None;
    if let Some(json) = data.take(&["secureForm", "secureFormInvitation", "secureFormSubmit"]) {
        texts.extend(Fields::of(json)?.text(&["formName"])?);
        secure_form = Some(text_of(json));
    }
    // A variant that no page documents: its visible texts count, and the whole of it is kept.
    for (_, json) in data.rest("") {
        texts.extend(visible_text(json.as_bytes()).filter(|text| !text.is_empty()));
        raw.push(json);
    }
    texts.retain(|text| !text.is_empty());
    message.text = texts.join("\n");
    message.attachment = match raw.len() {
        0 => None,
        1 => raw.pop(),
        _ => Some(format!("[{}]", raw.join(","))),
    };
    Ok(secure_form)
}

fn one(json: &[u8]) -> Result<Option<String>> {
    super::avro_json::Pull::new(json).text()
}

/// A file without the picture that only an answer by id carries: it is in the archive, and would make a revision of its own.
fn without_preview(json: &[u8]) -> String {
    match serde_json::from_slice(json) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("preview");
            Value::Object(fields).to_string()
        }
        _ => text_of(json),
    }
}
