//! Engagement History records → conversations.
//!
//! Field names are those of reference `engagement-history.md`, section 4. A chat has the same id here and in Data Access, so
//! both become one conversation. Two things are kept apart: start reasons, whose codes mean something else here than
//! there, and the sequence counters of one visit.

use super::avro_json::Broken;
use super::fields::{Fields, text_of};
use super::messaging::read_campaign;
use super::rich_content::visible_text;
use crate::conversation::{AgentProfile, Conversation, Message, Role};
use std::collections::HashMap;

type Result<T> = std::result::Result<T, Broken>;

/// Reads one element of `interactionHistoryRecords`.
pub(super) fn read_conversation(json: &[u8]) -> Result<Conversation> {
    let mut record = Fields::of(json)?;
    // The API has closed chats only (reference, section 1).
    let mut c =
        Conversation { kind: Some("LIVE_CHAT".into()), status: Some("CLOSE".into()), ..Conversation::default() };
    read_info(record.object(&["info"])?, &mut c)?;
    c.campaign = read_campaign(record.object(&["campaign"])?)?;
    let mut visitor = record.object(&["visitorInfo"])?;
    c.device = visitor.any_text(&["device"])?.filter(|device| device != "undefined" && device != "null");
    c.unknown.extend(visitor.rest("visitorInfo."));
    read_lines(&mut record, &mut c)?;
    let mut surveys = record.object(&["surveys"])?;
    for list in ["preChat", "postChat", "operator"] {
        c.surveys.extend(surveys.list(&[list])?.into_iter().map(text_of));
    }
    c.attributes.extend(record.object(&["sdes"])?.list(&["events"])?.into_iter().map(text_of));
    c.unknown.extend(record.rest(""));
    c.unknown.sort();
    Ok(c)
}

fn read_info(mut info: Fields<'_>, c: &mut Conversation) -> Result<()> {
    c.conversation_id = info.text(&["engagementId"])?;
    c.account_id = info.text(&["accountId"])?.unwrap_or_default();
    // Data Access counts from entering the queue; `startTime` is the connection here.
    let connected = info.time("startTime")?;
    let requested = info.time("chatRequestedTime")?;
    c.start_ms = requested.or(connected);
    c.interaction_start_ms = connected;
    c.end_ms = info.time("endTime")?;
    if requested.is_some() && connected.is_some() {
        (c.queue_start_ms, c.queue_end_ms) = (requested, connected);
    }
    c.visitor_id = info.text(&["visitorId"])?;
    let is_interactive = [info.flag(&["isInteractive"])?, info.flag(&["interactive"])?];
    c.interactive = is_interactive.into_iter().flatten().next();
    c.end_reason = info.whole(&["endReason"])?;
    let start_reason = info.text(&["startReason"])?;
    match start_reason.as_deref() {
        // The one code that means the same in both lists.
        Some("0") => c.start_reason = Some(0),
        Some(code) => c.unknown.push(("info.startReason".into(), serde_json::Value::from(code).to_string())),
        None => {}
    }
    c.mcs = info.score(&["chatMCS"])?;
    c.start_page = info.text(&["chatStartPage"])?;
    c.start_url = info.text(&["chatStartUrl"])?;
    c.is_partial = info.flag(&["isPartial"])?.unwrap_or(false);
    c.agent_id = info.id(&["agentId"])?;
    if let Some(id) = c.agent_id.clone() {
        c.agent_profiles.push(AgentProfile {
            id,
            nickname: info.text(&["agentNickName", "agentName", "agentNickname"])?,
            full_name: info.text(&["agentFullName", "agentFullname"])?,
            login_name: info.text(&["agentLoginName"])?,
            user_type: None,
        });
    }
    c.skill_id = info.id(&["skillId"])?;
    c.skills = c.skill_id.iter().cloned().collect();
    if let (Some(id), Some(name)) = (&c.skill_id, info.text(&["skillName"])?) {
        c.skill_names.push((id.clone(), name));
    }
    // Said by the times already.
    info.take(&["duration"]);
    c.unknown.extend(info.rest("info."));
    Ok(())
}

fn read_lines(record: &mut Fields<'_>, c: &mut Conversation) -> Result<()> {
    let mut scores: HashMap<String, f64> = HashMap::new();
    for score in record.list(&["lineScores"])? {
        let mut fields = Fields::of(score)?;
        if let (Some(line), Some(mcs)) = (fields.text(&["lineSeq"])?, fields.score(&["mcs"])?) {
            scores.insert(line, mcs);
        }
    }
    for json in record.object(&["transcript"])?.list(&["lines"])? {
        let mut fields = Fields::of(json)?;
        let by = fields.text(&["by"])?.unwrap_or_default();
        let agent_id = fields.id(&["agentId"])?;
        let is_note = fields.text(&["subType"])?.as_deref() == Some("ONLY_TO_REP");
        let role = match fields.text(&["source"])?.map(|source| source.to_ascii_lowercase()).as_deref() {
            _ if is_note => Role::Note,
            Some("visitor") => Role::Consumer,
            Some("agent") => Role::Agent,
            Some("system") => Role::System,
            // A missing or new source: `info` and the agent's id decide, as in Data Access.
            _ => Role::of_line("", &by, agent_id.as_deref()),
        };
        let format = fields.text(&["textType"])?;
        let mut message = Message {
            time_ms: fields.time("time")?,
            by,
            role,
            text: fields.any_text(&["text"])?.unwrap_or_default(),
            control_type: fields.text(&["controlType"])?,
            agent_id,
            ..Message::default()
        };
        message.content_format = Some(match format.as_deref() {
            Some("html") => "TEXT_HTML".to_owned(),
            Some("plain") | None => "TEXT_PLAIN".to_owned(),
            Some("url") => "LINK".to_owned(),
            Some("rich-content") => "RICH_CONTENT".to_owned(),
            Some(other) => other.to_owned(),
        });
        if let Some(json) = fields.take(&["json"]) {
            let visible = visible_text(json).unwrap_or_default();
            let texts: Vec<String> = [std::mem::take(&mut message.text), visible].into();
            message.text = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
            message.attachment = Some(text_of(json));
        }
        message.mcs = fields.text(&["lineSeq"])?.and_then(|line| scores.get(&line).copied());
        c.messages.push(message);
    }
    Ok(())
}
