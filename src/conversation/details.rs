//! The smaller parts of a conversation: who took part, how it was handed over, what was made of it.

use serde::{Deserialize, Serialize};

/// What kind of record only adds to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Supplement {
    /// A Data Access survey; it names its conversation, or stands alone where it names none.
    Survey,
    /// A Data Access web session; it names a visit, never a conversation.
    WebSession,
}

impl Supplement {
    /// The name `type:` finds it by where no conversation has joined it.
    pub fn name(self) -> &'static str {
        match self {
            Supplement::Survey => "survey",
            Supplement::WebSession => "web-session",
        }
    }
}

/// Campaign that led to a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// Campaign.
    pub campaign_id: Option<String>,
    /// Engagement of the campaign.
    pub engagement_id: Option<String>,
    /// Name of the campaign.
    pub campaign_name: Option<String>,
    /// Name of the engagement.
    pub engagement_name: Option<String>,
    /// Whatever else the source says of it: (name, JSON text), sorted by name.
    pub unknown: Vec<(String, String)>,
}

impl Campaign {
    /// What `campaign:` looks in: ids and names.
    pub fn searchable(&self) -> impl Iterator<Item = &str> {
        [&self.campaign_id, &self.engagement_id, &self.campaign_name, &self.engagement_name]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

/// One hand-over to another agent or skill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// When, epoch milliseconds.
    pub time_ms: Option<i64>,
    /// Skill it left.
    pub skill_id: Option<String>,
    /// Skill it went to.
    pub target_skill_id: Option<String>,
    /// Agent it left.
    pub agent_id: Option<String>,
    /// Agent it went to.
    pub target_agent_id: Option<String>,
    /// Code (chat); LivePerson publishes no list.
    pub reason: Option<i64>,
    /// Name of the reason (messaging): `Skill`, `back2Q`, …
    pub reason_name: Option<String>,
    /// Start of the wait inside the transfer.
    pub queue_start_ms: Option<i64>,
    /// End of the wait inside the transfer.
    pub queue_end_ms: Option<i64>,
    /// Whether the visitor wrote a line in the part that ended here.
    pub interactive: Option<bool>,
}

impl Transfer {
    /// The reason as `transfer_reason:` compares it: the name, else the code.
    pub fn reason_text(&self) -> Option<String> {
        self.reason_name.clone().or_else(|| self.reason.map(|code| code.to_string()))
    }
}

/// What a source knows of an agent beside the transcript.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProfile {
    /// LivePerson's id.
    pub id: String,
    /// Name on the transcript.
    pub nickname: Option<String>,
    /// Full name.
    pub full_name: Option<String>,
    /// Name the agent logs in with.
    pub login_name: Option<String>,
    /// `Human`, `Bot` or `System`, as received.
    pub user_type: Option<String>,
}

impl AgentProfile {
    /// The name people know the agent by.
    pub fn name(&self) -> Option<&str> {
        self.nickname.as_deref().or(self.full_name.as_deref()).or(self.login_name.as_deref())
    }

    /// Takes over what `other` knows and this one does not.
    pub fn learn(&mut self, other: &AgentProfile) {
        for (mine, theirs) in [
            (&mut self.nickname, &other.nickname),
            (&mut self.full_name, &other.full_name),
            (&mut self.login_name, &other.login_name),
            (&mut self.user_type, &other.user_type),
        ] {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
    }
}

/// A consumer as the source describes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// LivePerson's id of the participant.
    pub id: String,
    /// Name as shown.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
}

/// A part of a messaging conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// LivePerson's id; that of the main dialog is the conversation's.
    pub dialog_id: String,
    /// `MAIN`, `POST_SURVEY`, …
    pub kind: Option<String>,
    /// `MESSAGING`, `COBROWSE`, …
    pub channel: Option<String>,
    /// `OPEN` or `CLOSE`.
    pub status: Option<String>,
    /// Start, epoch milliseconds.
    pub start_ms: Option<i64>,
    /// End, epoch milliseconds.
    pub end_ms: Option<i64>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// Its skill.
    pub skill_id: Option<String>,
}

/// What a machine took the consumer to want.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// LivePerson's id of the intent.
    pub name: String,
    /// Label as people read it.
    pub label: Option<String>,
    /// How sure it was, 0 to 1.
    pub score: Option<f64>,
    /// The message it was read from.
    pub message_id: Option<String>,
}
