//! Messaging Interactions records → conversations.
//!
//! Field names are those of reference `messaging-interactions.md`, section 7, in every spelling of its tables and samples.
//! Delivery receipts (`messageStatuses`) and the running duration of an open conversation are not taken: they change
//! without the conversation changing, and the archive keeps them.

use super::avro_json::Broken;
use super::fields::{Fields, text_of};
use super::messaging_lines::{Line, read_line};
use crate::conversation::{AgentProfile, Campaign, Consumer, Conversation, Dialog, Intent, Role, Transfer};
use std::collections::HashMap;

type Result<T> = std::result::Result<T, Broken>;

/// The people of a conversation by id, as its lines name them.
#[derive(Debug, Default)]
pub(super) struct People {
    agents: Vec<AgentProfile>,
    at: HashMap<String, usize>,
    pub(super) consumers: Vec<Consumer>,
}

impl People {
    /// Adds what a list says of an agent.
    fn meet(&mut self, profile: AgentProfile) {
        match self.at.get(&profile.id) {
            Some(at) => self.agents[*at].learn(&profile),
            None => {
                self.at.insert(profile.id.clone(), self.agents.len());
                self.agents.push(profile);
            }
        }
    }

    pub(super) fn agent(&self, id: &str) -> Option<&AgentProfile> {
        self.at.get(id).map(|at| &self.agents[*at])
    }

    /// Reads an agent whose fields begin with `prefix` (`agent`, `assignedAgent`, `sourceAgent`, `latestAgent`).
    fn read(&mut self, fields: &mut Fields<'_>, prefix: &str) -> Result<Option<String>> {
        let name = |part: &str| format!("{prefix}{part}");
        let id = fields.id(&[&name("Id")])?;
        let profile = AgentProfile {
            id: id.clone().unwrap_or_default(),
            nickname: fields.text(&[&name("Nickname"), &name("NickName")])?,
            full_name: fields.text(&[&name("FullName"), &name("Fullname")])?,
            login_name: fields.text(&[&name("LoginName")])?,
            user_type: None,
        };
        if id.is_some() {
            self.meet(profile);
        }
        Ok(id)
    }
}

/// Names of skills as the record tells them.
#[derive(Debug, Default)]
struct Skills {
    ids: Vec<String>,
    names: Vec<(String, String)>,
}

impl Skills {
    /// Takes a skill's id and name out of `fields`.
    fn read(&mut self, fields: &mut Fields<'_>, id: &str, name: &str) -> Result<Option<String>> {
        let (id, name) = (fields.id(&[id])?, fields.text(&[name])?);
        if let Some(id) = &id {
            if !self.ids.contains(id) {
                self.ids.push(id.clone());
            }
            let named = name.map(|name| (id.clone(), name));
            self.names.extend(named.filter(|named| !self.names.contains(named)));
        }
        Ok(id)
    }
}

/// Reads one element of `conversationHistoryRecords`.
pub(super) fn read_conversation(json: &[u8]) -> Result<Conversation> {
    let mut record = Fields::of(json)?;
    let mut c = Conversation { kind: Some("MESSAGING".into()), ..Conversation::default() };
    let (mut people, mut skills) = (People::default(), Skills::default());

    for list in ["agentParticipants", "agentParticipantsActive", "agentParticipantsLeave"] {
        for agent in record.list(&[list])? {
            read_agent(agent, &mut people)?;
        }
    }
    for consumer in record.list(&["consumerParticipants", "consumerParticipant"])? {
        read_consumer(consumer, &mut people)?;
    }
    for interaction in record.list(&["interactions"])? {
        let mut fields = Fields::of(interaction)?;
        people.read(&mut fields, "assignedAgent")?;
        let time = fields.time("interactionTime")?;
        c.interaction_start_ms = [c.interaction_start_ms, time].into_iter().flatten().min();
    }
    for dialog in record.list(&["dialogs"])? {
        c.dialogs.extend(read_dialog(dialog, &mut skills)?);
    }
    for transfer in record.list(&["transfers"])? {
        c.transfers.push(read_transfer(transfer, &mut people, &mut skills)?);
    }
    c.transfers.sort_by_key(|transfer| transfer.time_ms);
    read_info(record.object(&["info"])?, &mut c, &mut people, &mut skills)?;
    c.campaign = read_campaign(record.object(&["campaign"])?)?;
    read_lines(&mut record, &mut c, &people)?;
    read_opinions(&mut record, &mut c)?;
    for events in ["sdes", "unAuthSdes"] {
        c.attributes.extend(record.object(&[events])?.list(&["events"])?.into_iter().map(text_of));
    }
    record.take(&["messageStatuses"]);

    c.consumer_id = people.consumers.first().map(|consumer| consumer.id.clone());
    c.consumers = people.consumers;
    c.agent_profiles = people.agents;
    c.skills = skills.ids;
    c.skill_names = skills.names;
    c.unknown.extend(record.rest(""));
    c.unknown.sort();
    Ok(c)
}

fn read_info(mut info: Fields<'_>, c: &mut Conversation, people: &mut People, skills: &mut Skills) -> Result<()> {
    c.conversation_id = info.text(&["conversationId", "convId"])?;
    c.account_id = info.text(&["brandId"])?.unwrap_or_default();
    c.status = info.text(&["status"])?;
    c.start_ms = info.time("startTime")?;
    c.end_ms = info.time("endTime")?;
    c.closed_by = info.text(&["closeReason"])?;
    c.csat = info.score(&["csat", "csatRate"])?;
    c.nps = info.score(&["nps"])?;
    c.mcs = info.score(&["mcs"])?;
    c.origin = info.text(&["source"])?;
    // "NA" is a device like any other in the language.
    c.device = info.any_text(&["device"])?.filter(|device| device != "undefined" && device != "null");
    c.is_partial = info.flag(&["isPartial"])?.unwrap_or(false);
    c.skill_id = skills.read(&mut info, "latestSkillId", "latestSkillName")?;
    c.agent_id = people.read(&mut info, "latestAgent")?;
    // Up to the moment of the answer while the conversation is open: no fact about it.
    info.take(&["duration"]);
    c.unknown.extend(info.rest("info."));
    Ok(())
}

fn read_agent(json: &[u8], people: &mut People) -> Result<()> {
    let mut fields = Fields::of(json)?;
    let kind = match fields.text(&["userTypeName"])? {
        Some(name) => Some(name),
        None => fields.text(&["userType"])?.map(|code| match code.as_str() {
            "0" => "System".to_owned(),
            "1" => "Human".to_owned(),
            "2" => "Bot".to_owned(),
            _ => code,
        }),
    };
    if let Some(id) = people.read(&mut fields, "agent")? {
        people.meet(AgentProfile { id, user_type: kind, ..AgentProfile::default() });
    }
    Ok(())
}

fn read_consumer(json: &[u8], people: &mut People) -> Result<()> {
    let mut fields = Fields::of(json)?;
    let Some(id) = fields.id(&["participantId"])? else { return Ok(()) };
    let names = [fields.text(&["firstName"])?, fields.text(&["lastName"])?];
    let full: Vec<String> = names.into_iter().flatten().collect();
    let name = if full.is_empty() { fields.text(&["consumerName"])? } else { Some(full.join(" ")) };
    let consumer = Consumer { id, name, email: fields.text(&["email"])?, phone: fields.id(&["phone"])? };
    match people.consumers.iter_mut().find(|known| known.id == consumer.id) {
        // A consumer joins each dialog anew.
        Some(known) => {
            known.name = known.name.take().or(consumer.name);
            known.email = known.email.take().or(consumer.email);
            known.phone = known.phone.take().or(consumer.phone);
        }
        None => people.consumers.push(consumer),
    }
    Ok(())
}

fn read_dialog(json: &[u8], skills: &mut Skills) -> Result<Option<Dialog>> {
    let mut fields = Fields::of(json)?;
    let Some(dialog_id) = fields.text(&["dialogId"])? else { return Ok(None) };
    Ok(Some(Dialog {
        dialog_id,
        kind: fields.text(&["dialogType"])?,
        channel: fields.text(&["dialogChannelType", "channelType"])?,
        status: fields.text(&["status", "state"])?,
        start_ms: fields.time("startTime")?,
        end_ms: fields.time("endTime")?,
        closed_by: fields.text(&["closeReason", "closedBy"])?,
        skill_id: skills.read(&mut fields, "skillId", "skillName")?,
    }))
}

fn read_transfer(json: &[u8], people: &mut People, skills: &mut Skills) -> Result<Transfer> {
    let mut fields = Fields::of(json)?;
    Ok(Transfer {
        time_ms: fields.time("time")?,
        skill_id: skills.read(&mut fields, "sourceSkillId", "sourceSkillName")?,
        target_skill_id: skills.read(&mut fields, "targetSkillId", "targetSkillName")?,
        agent_id: people.read(&mut fields, "sourceAgent")?,
        target_agent_id: people.read(&mut fields, "assignedAgent")?,
        reason_name: fields.text(&["reason"])?,
        ..Transfer::default()
    })
}

/// The campaign of either history API; one without any id or name is none.
pub(super) fn read_campaign(mut fields: Fields<'_>) -> Result<Option<Campaign>> {
    let mut campaign = Campaign {
        campaign_id: fields.id(&["campaignId"])?,
        engagement_id: fields.id(&["campaignEngagementId"])?,
        campaign_name: fields.text(&["campaignName"])?,
        engagement_name: fields.text(&["campaignEngagementName"])?,
        unknown: Vec::new(),
    };
    campaign.unknown = fields.rest("");
    Ok((campaign != Campaign::default()).then_some(campaign))
}

fn read_lines(record: &mut Fields<'_>, c: &mut Conversation, people: &People) -> Result<()> {
    let mut scores: HashMap<String, f64> = HashMap::new();
    for score in record.list(&["messageScores"])? {
        let mut fields = Fields::of(score)?;
        if let (Some(id), Some(mcs)) = (fields.text(&["messageId"])?, fields.score(&["mcs"])?) {
            scores.insert(id, mcs);
        }
    }
    let lines = record.list(&["messageRecords", "messagesRecords"])?;
    for json in &lines {
        let Line { mut message, secure_form } = read_line(json, people)?;
        message.mcs = message.message_id.as_ref().and_then(|id| scores.get(id)).copied();
        c.secure_forms.extend(secure_form);
        c.messages.push(message);
    }
    // Dialogs may follow one another in the list although their lines do not in time.
    if c.messages.iter().all(|message| message.time_ms.is_some()) {
        c.messages.sort_by_key(|message| message.time_ms);
    }
    // Without lines (not asked for) nothing is known about who wrote.
    if !lines.is_empty() {
        c.interactive = Some(c.messages.iter().any(|message| message.role == Role::Consumer));
    }
    Ok(())
}

/// Surveys, summary, intents: what was thought of the conversation.
fn read_opinions(record: &mut Fields<'_>, c: &mut Conversation) -> Result<()> {
    for survey in record.list(&["conversationSurveys"])? {
        for answer in Fields::of(survey)?.list(&["surveyData"])? {
            let mut fields = Fields::of(answer)?;
            let kind = fields.text(&["questionType"])?.map(|kind| kind.to_ascii_lowercase());
            let score = fields.score(&["answer"])?;
            match kind.as_deref() {
                Some("csat") => c.csat = c.csat.or(score),
                Some("nps") => c.nps = c.nps.or(score),
                _ => {}
            }
        }
        c.surveys.push(text_of(survey));
    }
    c.surveys.extend(record.json(&["latestAgentSurvey"]).filter(|survey| survey != "{}"));
    c.surveys.extend(record.list(&["previouslySubmittedAgentSurveys"])?.into_iter().map(text_of));
    c.summary = record.object(&["summary"])?.text(&["text"])?;
    for json in record.list(&["intents"])? {
        let mut outer = Fields::of(json)?;
        let message_id = outer.text(&["messageId"])?;
        let mut fields = outer.object(&["selectedClassification"])?;
        let (name, label) = (fields.text(&["intentName"])?, fields.text(&["intentLabel"])?);
        let score = fields.score(&["confidenceScore"])?;
        if let Some(name) = name.or_else(|| label.clone()) {
            c.intents.push(Intent { name, label, score, message_id });
        }
    }
    for json in record.list(&["uniqueIntents"])? {
        let mut fields = Fields::of(json)?;
        let (name, label) = (fields.text(&["intentName"])?, fields.text(&["intentLabel"])?);
        if let Some(name) = name.or_else(|| label.clone())
            && !c.intents.iter().any(|known| known.name == name)
        {
            c.intents.push(Intent { name, label, ..Intent::default() });
        }
    }
    Ok(())
}
