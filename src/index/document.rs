//! A stored conversation ↔ a document of the index.
//!
//! The document store holds the revisions themselves (postcard, one value), so a conversation can be shown, verified and
//! merged with a later revision without going back to the archive.

use super::attributes;
use super::schema::Fields;
use super::tokenizer::MESSAGE_END;
use crate::conversation::{Conversation, Role, StoredConversation, plain_text};
use std::borrow::Cow;
use tantivy::TantivyDocument;

/// Longest term kept in one piece; tantivy drops longer ones without a word, so ids are cut here instead.
const MAX_NAME_BYTES: usize = 32 * 1024;

/// Builds the document of a conversation.
pub fn document(fields: &Fields, stored: &StoredConversation) -> TantivyDocument {
    let merged = match stored.revisions.as_slice() {
        [only] => Cow::Borrowed(&only.content),
        _ => Cow::Owned(stored.merged()),
    };
    let c = merged.as_ref();
    let mut d = TantivyDocument::default();
    d.add_text(fields.key, name(&stored.key()));
    add_name(&mut d, fields.id, c.conversation_id.as_deref());
    add_transcript(&mut d, fields, c);

    for (field, value) in [
        (fields.start, c.start_ms),
        (fields.end, c.end_ms),
        (fields.closed, c.closed_ms()),
        (fields.duration, c.duration_ms()),
        (fields.queue, c.queue_ms()),
        (fields.end_reason, c.end_reason),
        (fields.start_reason, c.start_reason),
    ] {
        if let Some(value) = value {
            d.add_i64(field, value);
        }
    }
    for (field, value) in [(fields.mcs, c.mcs), (fields.csat, c.csat), (fields.nps, c.nps)] {
        if let Some(value) = value {
            d.add_f64(field, value);
        }
    }
    d.add_u64(fields.transfers, c.transfers.len() as u64);
    d.add_u64(fields.messages, c.messages.len() as u64);
    d.add_u64(fields.revisions, stored.version_count() as u64);
    d.add_u64(fields.records, stored.record_count());
    d.add_u64(fields.unproven, stored.unproven_count());
    for reason in c.transfers.iter().filter_map(|transfer| transfer.reason_text()) {
        d.add_text(fields.transfer_reason, name(&reason.to_lowercase()));
    }
    if let Some(by) = c.closed_by.as_deref().filter(|by| !by.is_empty()) {
        d.add_text(fields.closed_by, name(&by.to_lowercase()));
    }
    if let Some(interactive) = c.interactive {
        d.add_bool(fields.interactive, interactive);
    }

    for skill in c.all_skills() {
        d.add_text(fields.skill, name(skill));
    }
    let agents = c.agents();
    for agent in &agents {
        d.add_text(fields.agent_id, name(agent.id));
    }
    add_texts(&mut d, fields.agent_name, c.names_of(&agents).into_iter());
    add_texts(&mut d, fields.skill_name, c.skill_names.iter().map(|(_, name)| name.as_str()));
    add_texts(&mut d, fields.campaign, c.campaign.iter().flat_map(|campaign| campaign.searchable()));
    if !c.surveys.is_empty() {
        add_texts(&mut d, fields.survey, c.survey_texts().iter().map(String::as_str));
    }
    add_texts(&mut d, fields.summary, c.summary.as_deref().into_iter());
    add_texts(&mut d, fields.intent, intents(c));
    attributes::add(&mut d, fields, c);
    for id in consumers(c) {
        add_name(&mut d, fields.consumer_id, Some(id));
    }
    add_name(&mut d, fields.visitor_id, c.visitor_id.as_deref());
    add_name(&mut d, fields.visit_id, c.visit_id.as_deref());
    if let Some(kind) = type_name(c) {
        d.add_text(fields.kind, name(&kind));
    }
    if let Some(status) = c.status.as_deref().filter(|status| !status.is_empty()) {
        d.add_text(fields.status, name(&status_name(status)));
    }
    for (field, value) in [(fields.device, &c.device), (fields.origin, &c.origin)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            d.add_text(field, name(&value.to_lowercase()));
        }
    }
    let mut sources: Vec<&str> = stored.revisions.iter().map(|revision| revision.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        d.add_text(fields.source, source);
    }
    for presence in presences(c, stored.was_revised()) {
        d.add_text(fields.has, presence);
    }
    let mut encrypted_files: Vec<&str> = stored
        .revisions
        .iter()
        .filter(|revision| revision.content.encrypted.is_some())
        .flat_map(|revision| revision.records.iter().map(|record| record.file.as_str()))
        .collect();
    encrypted_files.sort_unstable();
    encrypted_files.dedup();
    for file in encrypted_files {
        d.add_text(fields.encrypted_in, name(file));
    }
    let bytes = postcard::to_stdvec(stored).expect("plain data always serialises to memory");
    d.add_bytes(fields.stored, &bytes);
    d
}

/// Reads the stored value of a document back.
///
/// # Errors
/// When the value was written by another version of the schema.
pub fn stored_conversation(bytes: &[u8]) -> Result<StoredConversation, postcard::Error> {
    postcard::from_bytes(bytes)
}

/// The searchable type: that of the conversation, or what the record is instead of one.
pub fn type_name(c: &Conversation) -> Option<String> {
    match c.supplement {
        Some(supplement) => Some(supplement.name().to_owned()),
        None => c.kind.as_deref().map(kind_name),
    }
}

/// Ids of everybody who asked.
pub fn consumers(c: &Conversation) -> impl Iterator<Item = &str> {
    let also = c.consumers.iter().map(|consumer| consumer.id.as_str());
    let also = also.filter(|id| c.consumer_id.as_deref() != Some(*id));
    c.consumer_id.as_deref().into_iter().chain(also)
}

/// Names and labels of the intents.
pub fn intents(c: &Conversation) -> impl Iterator<Item = &str> {
    c.intents.iter().flat_map(|intent| std::iter::once(intent.name.as_str()).chain(intent.label.as_deref()))
}

/// The searchable name of a conversation type: LivePerson writes `LIVE_CHAT`, people type `chat`.
pub fn kind_name(kind: &str) -> String {
    match kind {
        "LIVE_CHAT" => "chat".into(),
        other => other.to_lowercase(),
    }
}

/// The searchable name of a status: LivePerson writes `CLOSE`.
pub fn status_name(status: &str) -> String {
    match status {
        "CLOSE" => "closed".into(),
        other => other.to_lowercase(),
    }
}

/// What `has:` finds. `encrypted`: what came so and is not opened.
pub fn presences(c: &Conversation, was_revised: bool) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut note = |present: bool, name: &'static str| {
        if present {
            found.push(name);
        }
    };
    note(!c.transfers.is_empty(), "transfer");
    note(!c.attributes.is_empty(), "sde");
    note(!c.secure_forms.is_empty(), "form");
    note(c.messages.iter().any(has_link), "link");
    note(c.unreadable_messages() > 0, "encrypted");
    note(was_revised, "revision");
    note(c.is_masked, "masked");
    note(!c.surveys.is_empty(), "survey");
    note(c.messages.iter().any(|m| m.content_format.as_deref() == Some("HOSTED_FILE")), "file");
    found
}

fn has_link(message: &crate::conversation::Message) -> bool {
    let is_link = message.kind == "3" || message.content_format.as_deref() == Some("LINK");
    is_link || ["http://", "https://", "www."].iter().any(|start| message.text.contains(start))
}

/// Adds each speaker's lines as one text, so that positions run on inside a message and never into the next.
fn add_transcript(d: &mut TantivyDocument, fields: &Fields, c: &Conversation) {
    for role in Role::ALL {
        let length: usize =
            c.messages.iter().filter(|message| message.role == role).map(|message| message.text.len() + 1).sum();
        if length == 0 {
            continue;
        }
        let mut text = String::with_capacity(length);
        for message in c.messages.iter().filter(|message| message.role == role) {
            if !text.is_empty() {
                text.push(MESSAGE_END);
            }
            text.push_str(&plain_text(message));
        }
        d.add_text(fields.text_of(role), text);
    }
}

/// Adds texts to a field of words, each by itself: no phrase crosses from one to the next.
fn add_texts<'t>(d: &mut TantivyDocument, field: tantivy::schema::Field, texts: impl Iterator<Item = &'t str>) {
    let mut joined = String::new();
    for text in texts {
        if !joined.is_empty() {
            joined.push(MESSAGE_END);
        }
        joined.push_str(text);
    }
    if !joined.is_empty() {
        d.add_text(field, joined);
    }
}

fn add_name(d: &mut TantivyDocument, field: tantivy::schema::Field, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        d.add_text(field, name(value));
    }
}

/// A name short enough to be a term. Cutting one keeps it findable by the same cut; dropping it would not.
pub fn name(value: &str) -> &str {
    let mut end = value.len().min(MAX_NAME_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}
