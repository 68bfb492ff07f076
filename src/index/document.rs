//! A stored conversation ↔ a document of the index.
//!
//! The document store holds the revisions themselves (postcard, one value), so a conversation can be shown, verified and
//! merged with a later revision without going back to the archive.

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
        (fields.duration, c.duration_ms()),
        (fields.queue, c.queue_ms()),
        (fields.end_reason, c.end_reason),
        (fields.start_reason, c.start_reason),
    ] {
        if let Some(value) = value {
            d.add_i64(field, value);
        }
    }
    for (field, value) in [(fields.mcs, c.mcs), (fields.csat, c.csat)] {
        if let Some(value) = value {
            d.add_f64(field, value);
        }
    }
    d.add_u64(fields.transfers, c.transfers.len() as u64);
    d.add_u64(fields.messages, c.messages.len() as u64);
    d.add_u64(fields.revisions, stored.version_count() as u64);
    d.add_u64(fields.records, stored.record_count());
    d.add_u64(fields.unproven, stored.unproven_count());
    for reason in c.transfers.iter().filter_map(|transfer| transfer.reason) {
        d.add_text(fields.transfer_reason, reason.to_string());
    }
    if let Some(interactive) = c.interactive {
        d.add_bool(fields.interactive, interactive);
    }

    for skill in c.all_skills() {
        d.add_text(fields.skill, name(skill));
    }
    let mut nicknames = String::new();
    for agent in c.agents() {
        d.add_text(fields.agent_id, name(agent.id));
        if let Some(nickname) = agent.name {
            nicknames.push_str(nickname);
            nicknames.push(MESSAGE_END);
        }
    }
    if !nicknames.is_empty() {
        d.add_text(fields.agent_name, nicknames);
    }
    if let Some(campaign) = &c.campaign {
        let ids = [&campaign.campaign_id, &campaign.engagement_id].into_iter().flatten();
        d.add_text(fields.campaign, ids.fold(String::new(), |ids, id| ids + id + MESSAGE_END.encode_utf8(&mut [0; 4])));
    }
    add_name(&mut d, fields.consumer_id, c.consumer_id.as_deref());
    add_name(&mut d, fields.visitor_id, c.visitor_id.as_deref());
    if let Some(kind) = &c.kind {
        d.add_text(fields.kind, name(&kind_name(kind)));
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
    for presence in presences(c, stored.version_count()) {
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
pub fn presences(c: &Conversation, revisions: usize) -> Vec<&'static str> {
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
    note(revisions > 1, "revision");
    found
}

fn has_link(message: &crate::conversation::Message) -> bool {
    message.kind == "3" || ["http://", "https://", "www."].iter().any(|start| message.text.contains(start))
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
