//! Data Access records → conversations.
//!
//! Field names are those of reference `data-access.md`, section 7, in every spelling it gives. Fields this version does
//! not know are kept as JSON text, so that nothing an answer holds is invisible.

use super::avro_json::{Broken, Pull};
use super::problem::{ProblemKind, Problems};
use crate::conversation::{Campaign, Conversation, Message, Role, Supplement, Transfer};
use std::ops::Range;

type Result<T> = std::result::Result<T, Broken>;

/// Envelope of a record: who it belongs to and what kind it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Envelope {
    pub(super) account_id: Option<String>,
    pub(super) data_type: Option<String>,
    pub(super) schema_version: Option<String>,
    pub(super) start_ms: Option<i64>,
    pub(super) end_ms: Option<i64>,
    /// Where it came from; Data Access unless an answer says otherwise.
    pub(super) source: Option<&'static str>,
    /// When the source answered; Data Access files have the start of their window instead.
    pub(super) age_ms: Option<i64>,
}

/// Visitor ids that precede the engagements of one body.
#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    visit_id: Option<String>,
    visitor_id: Option<String>,
    context_id: Option<String>,
}

/// What one top-level value held.
#[derive(Debug, Default)]
pub(super) struct Contents<'j> {
    pub(super) envelope: Envelope,
    /// Conversations, and encrypted parts, with the place of each in the value.
    pub(super) found: Vec<(Range<usize>, Found)>,
    /// Bodies that hold no engagements, until `supplements.rs` has looked at them.
    pub(super) others: Vec<OtherBody<'j>>,
    /// Bodies of kinds that are not searched (agent activity).
    pub(super) other_bodies: u64,
}

/// What stands where conversations are.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // nearly all are conversations
pub(super) enum Found {
    Conversation(Conversation),
    /// A text with an armored message where a conversation, or something that holds conversations, belongs.
    Sealed(Header),
}

impl Found {
    /// What it is read from again once it is clear. `place`: where it stands in `value`.
    pub(super) fn text_in<'v>(&self, place: Range<usize>, value: &'v [u8]) -> &'v [u8] {
        match self {
            // Several bodies make it up, so only the whole is JSON.
            Found::Conversation(found) if found.supplement == Some(Supplement::WebSession) => value,
            _ => &value[place],
        }
    }
}

/// A body that holds no engagements.
#[derive(Debug)]
pub(super) struct OtherBody<'j> {
    pub(super) header: Header,
    pub(super) payloads: Vec<Payload<'j>>,
    /// Where it stands in the value.
    pub(super) place: Range<usize>,
}

/// A field of such a body beside its header.
#[derive(Debug)]
pub(super) struct Payload<'j> {
    pub(super) name: String,
    pub(super) json: &'j [u8],
    /// Offset of `json` in the value.
    pub(super) at: usize,
}

/// Reads a whole top-level value.
pub(super) fn read_value<'j>(pull: &mut Pull<'j>) -> Result<Contents<'j>> {
    let mut contents = Contents::default();
    pull.record(&str::to_owned, &mut |pull, key: String| match key.as_str() {
        "dataType" => set(pull.text(), &mut contents.envelope.data_type),
        "metaData" => read_meta_data(pull, &mut contents.envelope),
        "recordCollection" => {
            let first = contents.found.len();
            match pull.sealed()? {
                Some(place) => contents.found.push((place, Found::Sealed(Header::default()))),
                None => pull.array(&mut |pull| read_element(pull, &mut contents))?,
            }
            // Of a field that is there twice the last one counts, but none behind the records: the careful way has handed
            // them over by then.
            if let Some(account_id) = &contents.envelope.account_id {
                for (_, found) in &mut contents.found[first..] {
                    if let Found::Conversation(conversation) = found {
                        conversation.account_id.clone_from(account_id);
                    }
                }
            }
            Ok(())
        }
        _ => pull.skip(),
    })?;
    super::supplements::add(&mut contents)?;
    for (_, found) in &mut contents.found {
        if let Found::Conversation(conversation) = found
            && conversation.account_id.is_empty()
        {
            conversation.account_id = contents.envelope.account_id.clone().unwrap_or_default();
        }
    }
    Ok(contents)
}

fn set<T>(value: Result<Option<T>>, into: &mut Option<T>) -> Result<()> {
    *into = value?;
    Ok(())
}

pub(super) fn read_meta_data(pull: &mut Pull<'_>, envelope: &mut Envelope) -> Result<()> {
    enum Key {
        Account,
        Schema,
        Start,
        End,
        Other,
    }
    let name = |key: &str| match key {
        "accountId" => Key::Account,
        "schemaVersion" => Key::Schema,
        "startTime" => Key::Start,
        "endTime" => Key::End,
        _ => Key::Other,
    };
    pull.record(&name, &mut |pull, key| match key {
        Key::Account => set(pull.text(), &mut envelope.account_id),
        Key::Schema => set(pull.text(), &mut envelope.schema_version),
        Key::Start => set(pull.integer(), &mut envelope.start_ms),
        Key::End => set(pull.integer(), &mut envelope.end_ms),
        Key::Other => pull.skip(),
    })
    .map(drop)
}

/// An element of `recordCollection`: `{ "body": { "<branch>": { header, engagements } } }`.
pub(super) fn read_element<'j>(pull: &mut Pull<'j>, contents: &mut Contents<'j>) -> Result<()> {
    if let Some(place) = pull.sealed()? {
        contents.found.push((place, Found::Sealed(Header::default())));
        return Ok(());
    }
    pull.record(&|key: &str| key == "body", &mut |pull, is_body| {
        if is_body { read_body(pull, contents) } else { pull.skip() }
    })
    .map(drop)
}

pub(super) fn read_body<'j>(pull: &mut Pull<'j>, contents: &mut Contents<'j>) -> Result<()> {
    if let Some(place) = pull.sealed()? {
        contents.found.push((place, Found::Sealed(Header::default())));
        return Ok(());
    }
    enum Key {
        Header,
        Engagements,
        Other(String),
    }
    let name = |key: &str| match key {
        "header" => Key::Header,
        "engagements" => Key::Engagements,
        other => Key::Other(other.to_owned()),
    };
    let first = contents.found.len();
    let start = pull.at();
    let mut header: Option<Header> = None;
    let mut has_engagements = false;
    let mut payloads = Vec::new();
    // Each conversation takes the last header in front of it; one behind it speaks only if none did before.
    pull.record(&name, &mut |pull, key| match key {
        Key::Header => {
            let read = read_header(pull)?;
            if header.is_none() {
                contents.found[first..].iter_mut().for_each(|(_, found)| read.put_into_found(found));
            }
            header = Some(read);
            Ok(())
        }
        Key::Engagements => {
            has_engagements = true;
            let from = contents.found.len();
            pull.array(&mut |pull| {
                if let Some(place) = pull.sealed()? {
                    contents.found.push((place, Found::Sealed(Header::default())));
                    return Ok(());
                }
                let at = pull.at();
                if let Some(conversation) = read_conversation(pull)? {
                    contents.found.push((at..pull.at(), Found::Conversation(conversation)));
                }
                Ok(())
            })?;
            if let Some(header) = &header {
                contents.found[from..].iter_mut().for_each(|(_, found)| header.put_into_found(found));
            }
            Ok(())
        }
        Key::Other(name) => {
            let json = pull.raw()?;
            payloads.push(Payload { name, json, at: pull.at() - json.len() });
            Ok(())
        }
    })?;
    if !has_engagements {
        contents.others.push(OtherBody { header: header.unwrap_or_default(), payloads, place: start..pull.at() });
        return Ok(());
    }
    Ok(())
}

pub(super) fn read_header(pull: &mut Pull<'_>) -> Result<Header> {
    let mut header = Header::default();
    pull.record(&str::to_owned, &mut |pull, key: String| match key.as_str() {
        "visitId" => set(pull.text(), &mut header.visit_id),
        "visitorId" => set(pull.text(), &mut header.visitor_id),
        "contextId" => set(pull.text(), &mut header.context_id),
        _ => pull.skip(),
    })?;
    Ok(header)
}

impl Header {
    fn put_into_found(&self, found: &mut Found) {
        match found {
            Found::Conversation(conversation) => self.put_into(conversation),
            Found::Sealed(of_body) => of_body.clone_from(self),
        }
    }

    pub(super) fn put_into(&self, conversation: &mut Conversation) {
        conversation.visit_id.clone_from(&self.visit_id);
        conversation.visitor_id.clone_from(&self.visitor_id);
        conversation.context_id.clone_from(&self.context_id);
    }

    /// Takes what it does not say from another.
    pub(super) fn complete(&mut self, other: &Header) {
        self.visit_id = self.visit_id.take().or_else(|| other.visit_id.clone());
        self.visitor_id = self.visitor_id.take().or_else(|| other.visitor_id.clone());
        self.context_id = self.context_id.take().or_else(|| other.context_id.clone());
    }

    /// Its ids, for a look at whether they came encrypted.
    pub(super) fn ids_mut(&mut self) -> [&mut Option<String>; 3] {
        [&mut self.visit_id, &mut self.visitor_id, &mut self.context_id]
    }

    /// The header that a conversation was given.
    pub(super) fn of(conversation: &Conversation) -> Header {
        Header {
            visit_id: conversation.visit_id.clone(),
            visitor_id: conversation.visitor_id.clone(),
            context_id: conversation.context_id.clone(),
        }
    }
}

enum Field {
    Kind,
    Id,
    Start,
    InteractionStart,
    End,
    QueueStart,
    QueueEnd,
    Consumer,
    Interactive,
    Origin,
    Device,
    EndReason,
    StartReason,
    Campaign,
    Agent,
    Skill,
    Skills,
    StartPage,
    StartUrl,
    Transcripts,
    Transfers,
    SecureForms,
    Mcs,
    Unknown(String),
}

fn field(key: &str) -> Field {
    match key {
        "type" => Field::Kind,
        "conversationId" => Field::Id,
        "conversationStartTime" => Field::Start,
        "interactionStartTime" => Field::InteractionStart,
        "conversationEndTime" => Field::End,
        "queueStartTime" => Field::QueueStart,
        "queueEndTime" => Field::QueueEnd,
        "consumerId" => Field::Consumer,
        "isInteractive" => Field::Interactive,
        "sourceOrigin" => Field::Origin,
        "sourceDevice" => Field::Device,
        "endReasonId" | "EndReasonId" => Field::EndReason,
        "startReasonId" | "StartReasonId" => Field::StartReason,
        "campaignData" => Field::Campaign,
        "agentId" | "agentID" => Field::Agent,
        "skillId" | "skillID" => Field::Skill,
        "skills" => Field::Skills,
        "startPage" => Field::StartPage,
        "startUrl" => Field::StartUrl,
        "transcripts" => Field::Transcripts,
        "transfers" => Field::Transfers,
        "secureForms" => Field::SecureForms,
        "mcs" => Field::Mcs,
        other => Field::Unknown(other.to_owned()),
    }
}

/// One element of `engagements`. `None` for null.
pub(super) fn read_conversation(pull: &mut Pull<'_>) -> Result<Option<Conversation>> {
    // Data Access holds sessions that are over (reference, section 1).
    let mut c = Conversation { status: Some("CLOSE".into()), ..Conversation::default() };
    let found = pull.record(&field, &mut |pull, key| {
        match key {
            Field::Kind => c.kind = pull.text()?,
            Field::Id => c.conversation_id = pull.text()?.filter(|id| !id.is_empty()),
            Field::Start => c.start_ms = pull.integer()?,
            Field::InteractionStart => c.interaction_start_ms = pull.integer()?,
            Field::End => c.end_ms = pull.integer()?,
            Field::QueueStart => c.queue_start_ms = pull.integer()?,
            Field::QueueEnd => c.queue_end_ms = pull.integer()?,
            Field::Consumer => c.consumer_id = pull.text()?,
            Field::Interactive => c.interactive = pull.boolean()?,
            Field::Origin => c.origin = pull.text()?,
            Field::Device => c.device = pull.text()?,
            Field::EndReason => c.end_reason = pull.integer()?,
            Field::StartReason => c.start_reason = pull.integer()?,
            Field::Campaign => c.campaign = read_campaign(pull)?,
            Field::Agent => c.agent_id = pull.text()?.filter(|id| id != "0"),
            Field::Skill => c.skill_id = pull.text()?,
            Field::Skills => pull.array(&mut |pull| {
                c.skills.extend(pull.text()?);
                Ok(())
            })?,
            Field::StartPage => c.start_page = pull.text()?,
            Field::StartUrl => c.start_url = pull.text()?,
            Field::Transcripts => pull.array(&mut |pull| {
                c.messages.extend(read_message(pull)?);
                Ok(())
            })?,
            Field::Transfers => pull.array(&mut |pull| {
                c.transfers.extend(read_transfer(pull)?);
                Ok(())
            })?,
            Field::SecureForms => pull.array(&mut |pull| {
                c.secure_forms.extend(pull.json()?);
                Ok(())
            })?,
            Field::Mcs => c.mcs = read_mcs(pull)?,
            Field::Unknown(name) => {
                if let Some(json) = pull.json()? {
                    c.unknown.push((name, json));
                }
            }
        }
        Ok(())
    })?;
    c.unknown.sort();
    Ok(found.then_some(c))
}

fn read_campaign(pull: &mut Pull<'_>) -> Result<Option<Campaign>> {
    let mut campaign = Campaign::default();
    let found = pull.record(&str::to_owned, &mut |pull, key: String| match key.as_str() {
        "campaignId" => set(pull.text(), &mut campaign.campaign_id),
        "campaignEngagementId" => set(pull.text(), &mut campaign.engagement_id),
        _ => pull.skip(),
    })?;
    Ok(found.then_some(campaign))
}

fn read_message(pull: &mut Pull<'_>) -> Result<Option<Message>> {
    enum Key {
        Text,
        Time,
        By,
        Kind,
        Control,
        Agent,
        Format,
        Id,
        Dialog,
        Attachment,
        Mcs,
        Other,
    }
    let name = |key: &str| match key {
        "text" => Key::Text,
        "timestamp" => Key::Time,
        "by" => Key::By,
        "type" => Key::Kind,
        "controlType" => Key::Control,
        "agentId" | "agentID" => Key::Agent,
        "contentFormat" => Key::Format,
        "messageId" => Key::Id,
        "dialogId" => Key::Dialog,
        "fileData" | "linkData" => Key::Attachment,
        "mcs" => Key::Mcs,
        _ => Key::Other,
    };
    let mut m = Message::default();
    let found = pull.record(&name, &mut |pull, key| {
        match key {
            Key::Text => m.text = pull.text()?.unwrap_or_default(),
            Key::Time => m.time_ms = pull.integer()?,
            Key::By => m.by = pull.text()?.unwrap_or_default(),
            Key::Kind => m.kind = pull.text()?.unwrap_or_default(),
            Key::Control => m.control_type = pull.text()?,
            Key::Agent => m.agent_id = pull.text()?.filter(|id| id != "0"),
            Key::Format => m.content_format = pull.text()?,
            Key::Id => m.message_id = pull.text()?,
            Key::Dialog => m.dialog_id = pull.text()?,
            Key::Attachment => m.attachment = pull.json()?.or(m.attachment.take()),
            Key::Mcs => m.mcs = read_mcs(pull)?,
            Key::Other => pull.skip()?,
        }
        Ok(())
    })?;
    m.role = Role::of_line(&m.kind, &m.by, m.agent_id.as_deref());
    Ok(found.then_some(m))
}

fn read_transfer(pull: &mut Pull<'_>) -> Result<Option<Transfer>> {
    let mut t = Transfer::default();
    let found = pull.record(&str::to_owned, &mut |pull, key: String| {
        match key.as_str() {
            // Typed string in the documentation, long everywhere else.
            "timestamp" => t.time_ms = pull.integer()?,
            "skillId" | "skillID" => t.skill_id = pull.text()?,
            "targetSkillId" | "targetSkillID" => t.target_skill_id = pull.text()?,
            "agentId" | "agentID" => t.agent_id = pull.text()?.filter(|id| id != "0"),
            "targetAgentId" | "targetAgentID" => t.target_agent_id = pull.text()?.filter(|id| id != "0"),
            "reason" => t.reason = pull.integer()?,
            "queueStartTime" => t.queue_start_ms = pull.integer()?,
            "queueEndTime" => t.queue_end_ms = pull.integer()?,
            "isInteractive" => t.interactive = pull.boolean()?,
            _ => pull.skip()?,
        }
        Ok(())
    })?;
    Ok(found.then_some(t))
}

/// MCS has no published fields: a bare number is taken, and a record's `mcs`. `-1` stands for "none".
fn read_mcs(pull: &mut Pull<'_>) -> Result<Option<f64>> {
    let raw = pull.raw()?;
    let mut score = None;
    if raw.starts_with(b"{") {
        let mut inner = Pull::new(raw);
        inner.record(&|key: &str| key == "mcs" || key == "mcsScore", &mut |pull, is_score| {
            if is_score { set(pull.number(), &mut score) } else { pull.skip() }
        })?;
        if score.is_none() {
            // `{"int": 44}`: a wrapped bare number.
            score = Pull::new(raw).number()?;
        }
    } else {
        score = Pull::new(raw).number()?;
    }
    Ok(score.filter(|score| *score >= 0.0))
}

/// Counts what `pull` found odd, at `base` bytes into the file.
pub(super) fn note_odd(pull: &Pull<'_>, record: u64, base: u64, problems: &mut Problems) {
    for (at, expected) in &pull.odd {
        problems.add(ProblemKind::OddValue, record, base + *at as u64, format!("expected {expected}"));
    }
}
