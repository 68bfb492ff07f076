//! A line of a transcript and who said it.
//!
//! The role decides which search field a line belongs to, so it is settled once, here, from what the record says.

use serde::{Deserialize, Serialize};

/// Who wrote a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// The visitor or messaging consumer.
    #[default]
    Consumer,
    /// A human agent.
    Agent,
    /// An automated agent.
    Bot,
    /// LivePerson itself: welcome, transfer and end lines.
    System,
    /// A comment that only agents and managers see.
    Note,
}

impl Role {
    /// All roles, in the order of the search fields.
    pub const ALL: [Role; 5] = [Role::Consumer, Role::Agent, Role::Bot, Role::System, Role::Note];

    /// The search field of this role, also printed in JSON: `consumer`, `agent`, `bot`, `system` or `note`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Consumer => "consumer",
            Role::Agent => "agent",
            Role::Bot => "bot",
            Role::System => "system",
            Role::Note => "note",
        }
    }

    /// The role of a Data Access line. `kind` is the record's `type`: 0 visitor, 1 agent, 2 control, 3 agent URL,
    /// 4 agent HTML, 5 agent comment (reference `data-access.md`, section 7). Where it is missing or new, `by` and
    /// `agent_id` decide, so that a line is never left out of every field.
    pub fn of_line(kind: &str, by: &str, agent_id: Option<&str>) -> Role {
        match kind {
            "0" => Role::Consumer,
            "1" | "3" | "4" => Role::Agent,
            "2" => Role::System,
            "5" => Role::Note,
            _ if by == "info" => Role::System,
            _ if agent_id.is_some_and(|id| !id.is_empty() && id != "0") => Role::Agent,
            _ => Role::Consumer,
        }
    }
}

/// What LivePerson puts in the place of deleted personal data (reference `personal-data-deletion.md`, section 3).
pub const MASK: &str = "** LP deleted data **";

/// One line of a transcript.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// When it was published, epoch milliseconds.
    pub time_ms: Option<i64>,
    /// Name as printed: the visitor's, the agent's nickname, or `info`.
    pub by: String,
    /// Who wrote it.
    pub role: Role,
    /// The record's own `type`, as received.
    pub kind: String,
    /// Text as received; HTML lines still hold their tags, see [`super::plain_text`].
    pub text: String,
    /// The record's `contentFormat`, as received.
    pub content_format: Option<String>,
    /// Kind of predefined content, as received.
    pub control_type: Option<String>,
    /// LivePerson's id of the line.
    pub message_id: Option<String>,
    /// Dialog the line belongs to (messaging).
    pub dialog_id: Option<String>,
    /// Agent who wrote it; `None` where the record says `"0"`.
    pub agent_id: Option<String>,
    /// Meaningful Connection Score after this line.
    pub mcs: Option<f64>,
    /// Attached file or link as JSON text, where there is one.
    pub attachment: Option<String>,
}

impl Message {
    /// Whether the text is HTML, whose tags are not words.
    pub fn is_html(&self) -> bool {
        self.kind == "4"
            || self.content_format.as_deref().is_some_and(|format| {
                format.eq_ignore_ascii_case("TEXT_HTML") || format.eq_ignore_ascii_case("text/html")
            })
    }
}
