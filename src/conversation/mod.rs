//! The one model: what a chat or messaging conversation is, whoever delivered it.
//!
//! * Takes: nothing; decode fills it in.
//! * Gives: [`Conversation`], its parts, [`Revision`] and the merge rule.
//! * Promises: pure values; identifiers are strings and never lose a digit; times are epoch milliseconds, UTC.
//! * Never: reads a file, a clock or the network.
//! * Start reading at: [`Conversation`], then [`merge()`].

mod columns;
mod details;
mod encryption;
mod entity;
mod merge;
mod message;
mod parts;
mod plain;
mod sde;
mod views;

pub use details::{AgentProfile, Campaign, Consumer, Dialog, Intent, Supplement, Transfer};
pub use encryption::{DAMAGED_MARKER, Encryption, UNSUPPORTED_MARKER, encrypted_marker, is_encrypted_marker};
pub use merge::{Record, Revision, StoredConversation, merge};
pub use message::{MASK, Message, Role};
pub use plain::{PlainText, plain_text};
pub use sde::{SdeEvent, SdeValue, as_number, flattened, sde_event};

use serde::{Deserialize, Serialize};

/// One conversation as one record (or the merge of several) described it.
///
/// Every field may be missing on the wire; `None` means "not said", which is not the same as empty.
/// Field meanings are those of the Data Access `Conversation` record; other sources map onto it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Account number as LivePerson prints it.
    pub account_id: String,
    /// `None` for the records that came without one (a LivePerson defect before June 2017).
    pub conversation_id: Option<String>,
    /// `LIVE_CHAT` or `MESSAGING`, as received.
    pub kind: Option<String>,
    /// What the record adds to a conversation, where it is none itself. The merge with a conversation has none.
    pub supplement: Option<Supplement>,
    /// `OPEN` or `CLOSE`. Data Access only ever delivers closed ones.
    pub status: Option<String>,
    /// When the consumer entered the queue.
    pub start_ms: Option<i64>,
    /// When the consumer was connected.
    pub interaction_start_ms: Option<i64>,
    /// When the conversation ended.
    pub end_ms: Option<i64>,
    /// Start of the first wait in the queue.
    pub queue_start_ms: Option<i64>,
    /// End of the first wait in the queue.
    pub queue_end_ms: Option<i64>,
    /// Code; the search language has the labels.
    pub end_reason: Option<i64>,
    /// Who closed it (messaging): `AGENT`, `CONSUMER` or `SYSTEM`, as received.
    pub closed_by: Option<String>,
    /// Code; LivePerson's own lists clash, so the number is what is kept.
    pub start_reason: Option<i64>,
    /// Whether the visitor wrote at least one line.
    pub interactive: Option<bool>,
    /// Channel of origin, such as `Web`.
    pub origin: Option<String>,
    /// `DESKTOP`, `TABLET`, `MOBILE` or `NA`.
    pub device: Option<String>,
    /// Messaging consumer.
    pub consumer_id: Option<String>,
    /// Site visitor; often the empty string for chats.
    pub visitor_id: Option<String>,
    /// Site visit (session) of the visitor.
    pub visit_id: Option<String>,
    /// Context of the visit.
    pub context_id: Option<String>,
    /// Last agent.
    pub agent_id: Option<String>,
    /// Last skill.
    pub skill_id: Option<String>,
    /// Every skill the conversation had, in order of appearance.
    pub skills: Vec<String>,
    /// Campaign that led to the conversation.
    pub campaign: Option<Campaign>,
    /// Title of the page it started from.
    pub start_page: Option<String>,
    /// Address of the page it started from.
    pub start_url: Option<String>,
    /// Meaningful Connection Score.
    pub mcs: Option<f64>,
    /// Customer satisfaction, where the source has one.
    pub csat: Option<f64>,
    /// Net Promoter Score, where the source has one.
    pub nps: Option<f64>,
    /// Transcript in the order received.
    #[serde(with = "columns")]
    pub messages: Vec<Message>,
    /// Hand-overs between agents and skills.
    pub transfers: Vec<Transfer>,
    /// Secure forms; LivePerson documents no fields, so each is kept as JSON text.
    pub secure_forms: Vec<String>,
    /// Engagement attributes (SDEs), each as JSON text, as received.
    pub attributes: Vec<String>,
    /// Survey answers joined to the conversation, each as JSON text.
    pub surveys: Vec<String>,
    /// What the source knows of the agents beside the transcript.
    pub agent_profiles: Vec<AgentProfile>,
    /// Names of skills: (id, name).
    pub skill_names: Vec<(String, String)>,
    /// The people who asked, where the source tells who they are.
    pub consumers: Vec<Consumer>,
    /// Parts of a messaging conversation: the talk itself, the survey behind it.
    pub dialogs: Vec<Dialog>,
    /// Summary, by agent or machine.
    pub summary: Option<String>,
    /// What a machine took the consumer to want.
    pub intents: Vec<Intent>,
    /// The source says that this answer was cut; fetch it by id.
    pub is_partial: bool,
    /// Some value was replaced by LivePerson's mask ([`MASK`]): personal data was deleted upstream.
    pub is_masked: bool,
    /// Fields of the record that this version has no name for: (name, JSON text), sorted by name.
    pub unknown: Vec<(String, String)>,
    /// What came encrypted; `None` where nothing did.
    pub encrypted: Option<Encryption>,
}

/// An agent that took part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent<'a> {
    /// LivePerson's id; `"0"` (no agent) never appears.
    pub id: &'a str,
    /// Nickname on the transcript, where a line of theirs shows it.
    pub name: Option<&'a str>,
}

impl Conversation {
    /// Wait in the first queue, milliseconds.
    pub fn queue_ms(&self) -> Option<i64> {
        Some(self.queue_end_ms?.saturating_sub(self.queue_start_ms?))
    }

    /// From entering the queue to the end, milliseconds.
    pub fn duration_ms(&self) -> Option<i64> {
        Some(self.end_ms?.saturating_sub(self.start_ms?))
    }

    /// When the conversation itself was closed, epoch milliseconds: the end of its main dialog. The end that LivePerson tells
    /// of a messaging conversation ([`Conversation::end_ms`]) moves on with the survey behind it. Without such a dialog, the end.
    pub fn closed_ms(&self) -> Option<i64> {
        let is_main = |kind: &Option<String>| kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("MAIN"));
        let main = self.dialogs.iter().filter(|dialog| is_main(&dialog.kind));
        main.filter_map(|dialog| dialog.end_ms).max().or(self.end_ms)
    }

    /// Every agent the conversation ever had: those who wrote a line, the last one, and both sides of each
    /// transfer, in order of appearance.
    pub fn agents<'a>(&'a self) -> Vec<Agent<'a>> {
        let mut agents: Vec<Agent<'a>> = Vec::new();
        let mut meet = |id: Option<&'a str>, name: Option<&'a str>| {
            let Some(id) = id.filter(|id| !id.is_empty() && *id != "0") else { return };
            match agents.iter_mut().find(|agent| agent.id == id) {
                Some(known) => known.name = known.name.or(name),
                None => agents.push(Agent { id, name }),
            }
        };
        for message in &self.messages {
            if matches!(message.role, Role::Agent | Role::Bot | Role::Note) {
                meet(message.agent_id.as_deref(), Some(message.by.as_str()).filter(|by| !by.is_empty()));
            }
        }
        for profile in &self.agent_profiles {
            meet(Some(&profile.id), profile.name());
        }
        for transfer in &self.transfers {
            meet(transfer.agent_id.as_deref(), None);
            meet(transfer.target_agent_id.as_deref(), None);
        }
        meet(self.agent_id.as_deref(), None);
        agents
    }

    /// Every name the conversation knows its agents by: on the transcript, and those of their profiles.
    pub fn agent_names(&self) -> Vec<&str> {
        self.names_of(&self.agents())
    }

    /// As [`Conversation::agent_names`], for [`Conversation::agents`] that are known already.
    pub fn names_of<'a>(&'a self, agents: &[Agent<'a>]) -> Vec<&'a str> {
        let mut names: Vec<&str> = agents.iter().filter_map(|agent| agent.name).collect();
        let profiles = self.agent_profiles.iter();
        for name in profiles.flat_map(|p| [&p.nickname, &p.full_name, &p.login_name]).flatten() {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// The engagement attributes, readable; those that are no JSON are left out.
    pub fn sdes(&self) -> Vec<SdeEvent> {
        self.attributes.iter().filter_map(|attribute| sde_event(attribute)).collect()
    }

    /// Questions and answers of the surveys, as `survey:` looks for them.
    pub fn survey_texts(&self) -> Vec<String> {
        const TEXTS: [&str; 7] = ["question", "answer", "questionText", "displayName", "value", "values", "surveyName"];
        let values = self.surveys.iter().flat_map(|survey| flattened(survey));
        let is_text = |path: &str| path.rsplit('.').next().is_some_and(|last| TEXTS.contains(&last));
        let mut texts: Vec<String> = Vec::new();
        for value in values.filter(|value| is_text(&value.path)) {
            // The value stands beside the list of values in chat surveys.
            if texts.last() != Some(&value.text) {
                texts.push(value.text);
            }
        }
        texts
    }

    /// Every skill the conversation ever had: the record's list, the last one, and both sides of each transfer.
    pub fn all_skills(&self) -> Vec<&str> {
        let transferred =
            self.transfers.iter().flat_map(|transfer| [&transfer.skill_id, &transfer.target_skill_id]).flatten();
        let mut skills: Vec<&str> = Vec::new();
        for skill in self.skills.iter().chain(&self.skill_id).chain(transferred) {
            // -1 stands for "no skill" (reference, trap 15).
            if !skill.is_empty() && skill != "-1" && !skills.contains(&skill.as_str()) {
                skills.push(skill);
            }
        }
        skills
    }
}
