//! The fields of the index: what can be searched, sorted and counted.
//!
//! A line of a transcript is indexed once, in the field of who said it; a search over everybody asks all five. That costs
//! ingest nothing (each word is still indexed once) and answers "who said it" exactly. Only what is displayed is in
//! the document store: the conversation with its revisions, in one compact value.

use super::tokenizer::TOKENIZER;
use crate::conversation::Role;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
};

/// Changes whenever the fields, the tokenizer or the stored form change: an index of another version is rebuilt.
pub const SCHEMA_VERSION: u32 = 6;

/// Handles of all fields. The names are those of the query language where it has one.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    /// `<account>:<id>`, or file hash and record ordinal: the key of upserts.
    pub key: Field,
    /// Conversation id alone.
    pub id: Field,
    /// Transcript text by speaker, in the order of [`Role::ALL`].
    pub text: [Field; 5],
    /// Start, epoch milliseconds.
    pub start: Field,
    /// End, epoch milliseconds.
    pub end: Field,
    /// Milliseconds from start to end.
    pub duration: Field,
    /// Milliseconds in the first queue.
    pub queue: Field,
    /// Code.
    pub end_reason: Field,
    /// Who closed a messaging conversation, in lower case.
    pub closed_by: Field,
    /// Code.
    pub start_reason: Field,
    /// Meaningful Connection Score.
    pub mcs: Field,
    /// Customer satisfaction.
    pub csat: Field,
    /// Net Promoter Score.
    pub nps: Field,
    /// Number of transfers.
    pub transfers: Field,
    /// Codes of the transfers.
    pub transfer_reason: Field,
    /// Number of messages.
    pub messages: Field,
    /// Distinct revisions.
    pub revisions: Field,
    /// Archive records this document accounts for.
    pub records: Field,
    /// Of these, records whose version no check sum speaks for.
    pub unproven: Field,
    /// Whether the visitor wrote a line.
    pub interactive: Field,
    /// Skill ids the conversation ever had.
    pub skill: Field,
    /// Names of those skills, as words.
    pub skill_name: Field,
    /// Agent ids the conversation ever had.
    pub agent_id: Field,
    /// Nicknames, full names and login names of the agents, as words.
    pub agent_name: Field,
    /// Ids and names of campaign and engagement, as words.
    pub campaign: Field,
    /// Messaging consumers.
    pub consumer_id: Field,
    /// Site visitor.
    pub visitor_id: Field,
    /// Site visit.
    pub visit_id: Field,
    /// Questions and answers of surveys, as words.
    pub survey: Field,
    /// Summary, as words.
    pub summary: Field,
    /// Names and labels of intents, as words.
    pub intent: Field,
    /// Words of all engagement attributes.
    pub sde: Field,
    /// The same words by path, see `attributes.rs`.
    pub sde_word: Field,
    /// Numbers of engagement attributes by path, see `attributes.rs`.
    pub sde_number: Field,
    /// `chat` or `messaging`, else the received value in lower case; `survey` and `web-session` where it is no conversation.
    pub kind: Field,
    /// Received value in lower case.
    pub device: Field,
    /// Received value in lower case.
    pub origin: Field,
    /// `open` or `closed`.
    pub status: Field,
    /// `data-access`, …
    pub source: Field,
    /// `transfer`, `form`, `link`, `revision`, …: what the conversation has.
    pub has: Field,
    /// Paths of the files whose records here came encrypted, opened or not: what is read again with another key is looked up by it.
    pub encrypted_in: Field,
    /// The conversation as stored, see `document.rs`.
    pub stored: Field,
}

impl Fields {
    /// The text field of a role.
    pub fn text_of(&self, role: Role) -> Field {
        let at = Role::ALL.iter().position(|known| *known == role).expect("every role is in ALL");
        self.text[at]
    }
}

/// Builds the schema and the handles.
pub fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let words = TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(TOKENIZER)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions),
    );
    let countable_name = STRING | FAST;
    let fields = Fields {
        key: builder.add_text_field("key", STRING | FAST),
        id: builder.add_text_field("id", STRING),
        text: Role::ALL.map(|role| builder.add_text_field(role.name(), words.clone())),
        start: builder.add_i64_field("start", FAST),
        end: builder.add_i64_field("end", FAST),
        duration: builder.add_i64_field("duration", FAST),
        queue: builder.add_i64_field("queue", FAST),
        end_reason: builder.add_i64_field("end_reason", FAST),
        closed_by: builder.add_text_field("closed_by", STRING),
        start_reason: builder.add_i64_field("start_reason", FAST),
        mcs: builder.add_f64_field("mcs", FAST),
        csat: builder.add_f64_field("csat", FAST),
        nps: builder.add_f64_field("nps", FAST),
        transfers: builder.add_u64_field("transfers", FAST),
        transfer_reason: builder.add_text_field("transfer_reason", STRING),
        messages: builder.add_u64_field("messages", FAST),
        revisions: builder.add_u64_field("revisions", FAST),
        records: builder.add_u64_field("records", FAST),
        unproven: builder.add_u64_field("unproven", FAST),
        interactive: builder.add_bool_field("interactive", INDEXED),
        skill: builder.add_text_field("skill", countable_name.clone()),
        skill_name: builder.add_text_field("skill_name", words.clone()),
        agent_id: builder.add_text_field("agent_id", countable_name.clone()),
        agent_name: builder.add_text_field("agent_name", words.clone()),
        campaign: builder.add_text_field("campaign", words.clone()),
        consumer_id: builder.add_text_field("consumer_id", STRING),
        visitor_id: builder.add_text_field("visitor_id", STRING),
        visit_id: builder.add_text_field("visit_id", STRING),
        survey: builder.add_text_field("survey", words.clone()),
        summary: builder.add_text_field("summary", words.clone()),
        intent: builder.add_text_field("intent", words.clone()),
        sde: builder.add_text_field("sde", words),
        sde_word: builder.add_text_field("sde_word", STRING),
        sde_number: builder.add_text_field("sde_number", STRING),
        kind: builder.add_text_field("type", countable_name.clone()),
        device: builder.add_text_field("device", countable_name.clone()),
        origin: builder.add_text_field("origin", STRING),
        status: builder.add_text_field("status", STRING),
        source: builder.add_text_field("source", countable_name),
        has: builder.add_text_field("has", STRING),
        encrypted_in: builder.add_text_field("encrypted_in", STRING),
        stored: builder.add_bytes_field("stored", STORED),
    };
    (builder.build(), fields)
}
