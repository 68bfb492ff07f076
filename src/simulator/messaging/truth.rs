//! What is true of a messaging conversation at an instant: what a reader should find.

use super::plan::{Plan, REASONS};
use super::talk::{Role, Talk, role};
use super::{MessagingWorld, sde};
use crate::simulator::plan::SKILLS;

/// One messaging conversation at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthMessaging {
    /// Its number in the account.
    pub index: u64,
    /// Its id, a UUID.
    pub id: String,
    /// Start, epoch milliseconds.
    pub start_ms: i64,
    /// Close without regard to the survey, epoch milliseconds; none while it is open.
    pub close_ms: Option<i64>,
    /// `OPEN` or `CLOSE`.
    pub status: &'static str,
    /// What `latestUpdateTime` is compared with, epoch milliseconds.
    pub latest_update_ms: i64,
    /// The last change of any kind, epoch milliseconds; later than the former after an unannounced one.
    pub latest_change_ms: i64,
    /// All messages so far, those of the survey dialog included.
    pub messages: Vec<TruthTurn>,
    /// All engagement attributes so far, of both kinds.
    pub sdes: Vec<TruthSde>,
    /// Satisfaction, 1 to 5, once the survey is filled.
    pub csat: Option<u32>,
    /// Meaningful conversation score, 0 to 100; it runs until some time after the close.
    pub mcs: Option<u32>,
    /// Skills of the hand-overs so far and their reason: from (none out of a bot), to, reason.
    pub transfers: Vec<(Option<i64>, i64, &'static str)>,
    /// Number of the latest skill; none while nobody was assigned.
    pub skill: Option<i64>,
    /// The summary, once it is written.
    pub summary: Option<String>,
    /// True once LivePerson has deleted the personal data; texts are the mask then.
    pub erased: bool,
    /// True when list searches cut the messages.
    pub cut: bool,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthTurn {
    /// Its id.
    pub message_id: String,
    /// Who wrote it.
    pub role: Role,
    /// Epoch milliseconds.
    pub at_ms: i64,
    /// LivePerson's content type, such as `TEXT_PLAIN`.
    pub content_type: &'static str,
    /// Every text a reader can see, in order; HTML as sent.
    pub texts: Vec<String>,
}

/// One engagement attribute event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthSde {
    /// Server time, epoch milliseconds.
    pub at_ms: i64,
    /// False for those that only version 2 of the API shows.
    pub authenticated: bool,
    /// Paths such as `customerInfo.customerId`, and values as text.
    pub values: Vec<(String, String)>,
}

pub(super) fn of(world: &MessagingWorld, plan: &Plan, now_ms: i64) -> TruthMessaging {
    let talk = Talk::new(world, plan, now_ms);
    let id = world.id_of(plan.index);
    let open = plan.is_open(now_ms);
    let messages = talk.messages.iter().map(|(turn, content)| TruthTurn {
        message_id: message_id(&id, turn.in_survey, turn.seq),
        role: role(turn),
        at_ms: turn.at_ms,
        content_type: content.type_name(),
        texts: content.texts(),
    });
    let sdes = sde::of(world, plan, &talk, now_ms).into_iter().map(|event| TruthSde {
        at_ms: event.at_ms,
        authenticated: event.authenticated,
        values: event.values(),
    });
    let moved = plan.transfers.iter().filter(|moved| moved.at_ms <= now_ms);
    let transfers = moved
        .map(|moved| (moved.from_skill.map(|skill| SKILLS[skill].0), SKILLS[moved.to_skill].0, REASONS[moved.reason]));
    let survey = plan.survey.filter(|survey| survey.end_ms <= now_ms);
    TruthMessaging {
        index: plan.index,
        start_ms: plan.start_ms,
        close_ms: (!open).then_some(plan.close_ms),
        status: if open { "OPEN" } else { "CLOSE" },
        latest_update_ms: plan.latest_update_ms(now_ms),
        latest_change_ms: plan.latest_change_ms(now_ms),
        messages: messages.collect(),
        sdes: sdes.collect(),
        csat: survey.and_then(|survey| survey.csat),
        mcs: plan.mcs_at(now_ms),
        transfers: transfers.collect(),
        skill: plan.skill(now_ms).map(|skill| SKILLS[skill].0),
        summary: plan.afterwards.summary_ms.filter(|&at_ms| at_ms <= now_ms).map(|_| talk.summary.clone()),
        erased: plan.is_erased(now_ms),
        cut: plan.cut,
        id,
    }
}

/// Id of a dialog: the main one has that of the conversation.
pub(super) fn dialog_id(conversation: &str, in_survey: bool) -> String {
    // The version digit tells the two apart and keeps the look of a UUID.
    if in_survey { format!("{}5{}", &conversation[..14], &conversation[15..]) } else { conversation.to_owned() }
}

/// Id of a message.
pub(super) fn message_id(conversation: &str, in_survey: bool, seq: u64) -> String {
    format!("ms::dialog:{}::msg:{seq}", dialog_id(conversation, in_survey))
}
