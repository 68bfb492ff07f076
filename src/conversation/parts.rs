//! How the lists of two versions become one: which element of the newer is which of the older.
//!
//! Each rule says by what two elements are the same. The newer one wins then, filled up with what only the older said;
//! an older element without its like is kept.

use super::{AgentProfile, Campaign, MASK, Message, Transfer, flattened, is_encrypted_marker, sde_event};
use std::collections::HashMap;

/// The newer transfers, plus the older record's that it no longer has. A transfer is the same when it happened at the same
/// moment; what only the older record said of it is kept.
pub(super) fn merge_transfers(older: Vec<Transfer>, newer: Vec<Transfer>) -> Vec<Transfer> {
    let mut merged = newer;
    for old in older {
        match merged.iter_mut().find(|new| new.time_ms == old.time_ms && old.time_ms.is_some() || **new == old) {
            Some(new) => {
                new.skill_id = new.skill_id.take().or(old.skill_id);
                new.target_skill_id = new.target_skill_id.take().or(old.target_skill_id);
                new.agent_id = new.agent_id.take().or(old.agent_id);
                new.target_agent_id = new.target_agent_id.take().or(old.target_agent_id);
                new.reason = new.reason.or(old.reason);
                new.reason_name = new.reason_name.take().or(old.reason_name);
                new.queue_start_ms = new.queue_start_ms.or(old.queue_start_ms);
                new.queue_end_ms = new.queue_end_ms.or(old.queue_end_ms);
                new.interactive = new.interactive.or(old.interactive);
            }
            None => merged.push(old),
        }
    }
    merged.sort_by_key(|transfer| transfer.time_ms);
    merged
}

/// The newer transcript, plus the older one's lines that it no longer has, at their place in time.
///
/// A line is the same when its id is. Where one side has no id (two sources of one chat), the time and the text decide, or
/// the time and the speaker where the newer text is LivePerson's mask or only one side could be opened. The clear text is
/// what is kept then: a revision that came for a key that is not at hand hides nothing that another one says.
pub(super) fn merge_messages(older: Vec<Message>, newer: Vec<Message>) -> Vec<Message> {
    let mut merged = newer;
    let mut lost = Vec::new();
    {
        let mut by_id: HashMap<&str, usize> = HashMap::new();
        let mut by_time: HashMap<Option<i64>, Vec<usize>> = HashMap::new();
        for (at, message) in merged.iter().enumerate() {
            if let Some(id) = message.message_id.as_deref() {
                by_id.entry(id).or_insert(at);
            }
            // A hostile record may put all of its lines into one millisecond: only the first are compared.
            let same_time = by_time.entry(message.time_ms).or_default();
            if same_time.len() < MAX_SAME_TIME {
                same_time.push(at);
            }
        }
        let mut taken = vec![false; merged.len()];
        let mut known: Vec<(usize, Message)> = Vec::new();
        // What reads the same goes first, so that a hidden line does not take the partner of another.
        let mut find = |old: &Message, is_same: &dyn Fn(&Message, &Message) -> bool| {
            let by_own_id = old.message_id.as_deref().and_then(|id| by_id.get(id)).copied();
            let found = by_own_id.or_else(|| {
                let same_time = by_time.get(&old.time_ms).into_iter().flatten();
                same_time.copied().find(|at| !taken[*at] && is_same(old, &merged[*at]))
            });
            found.inspect(|at| taken[*at] = true)
        };
        let mut left = Vec::new();
        for old in older {
            match find(&old, &reads_the_same) {
                Some(at) => known.push((at, old)),
                None => left.push(old),
            }
        }
        for old in left {
            match find(&old, &is_hidden_line) {
                Some(at) => known.push((at, old)),
                None => lost.push(old),
            }
        }
        for (at, old) in known {
            fill(&mut merged[at], old);
        }
    }
    if lost.is_empty() { merged } else { interleave(merged, lost) }
}

/// Puts each lost line before the first line that is later than it; one without a time goes to the end.
fn interleave(lines: Vec<Message>, lost: Vec<Message>) -> Vec<Message> {
    let mut latest: Option<i64> = None;
    let latest_until: Vec<Option<i64>> = lines
        .iter()
        .map(|line| {
            latest = latest.max(line.time_ms);
            latest
        })
        .collect();
    let mut placed: Vec<(usize, Message)> = lost
        .into_iter()
        .map(|line| {
            let at =
                line.time_ms.map_or(lines.len(), |time| latest_until.partition_point(|until| *until <= Some(time)));
            (at, line)
        })
        .collect();
    placed.sort_by_key(|(at, line)| (*at, line.time_ms.unwrap_or(i64::MAX)));
    let mut placed = placed.into_iter().peekable();
    let mut merged = Vec::with_capacity(lines.len() + placed.len());
    for (at, line) in lines.into_iter().enumerate() {
        while let Some((_, lost)) = placed.next_if(|(place, _)| *place <= at) {
            merged.push(lost);
        }
        merged.push(line);
    }
    merged.extend(placed.map(|(_, lost)| lost));
    merged
}

/// Lines of one millisecond that an older line without a partner by id is compared with.
const MAX_SAME_TIME: usize = 64;

/// Whether two lines of the same moment are one by their text, where their ids cannot say.
fn reads_the_same(old: &Message, new: &Message) -> bool {
    lacks_an_id(old, new) && old.text == new.text
}

/// Whether two lines of the same moment are one of which one side hides the text: masked, or not opened.
fn is_hidden_line(old: &Message, new: &Message) -> bool {
    if !lacks_an_id(old, new) || old.time_ms.is_none() {
        return false;
    }
    if old.role == new.role && new.text.trim() == MASK {
        return true;
    }
    // The writer's name may be encrypted as well.
    let may_be_same_writer = old.by == new.by || old.by.is_empty() || new.by.is_empty() || old.role == new.role;
    is_closed(old) != is_closed(new) && may_be_same_writer
}

fn lacks_an_id(old: &Message, new: &Message) -> bool {
    old.message_id.is_none() || new.message_id.is_none()
}

fn is_closed(line: &Message) -> bool {
    is_encrypted_marker(&line.text)
}

/// What only the older record said of a line.
fn fill(new: &mut Message, old: Message) {
    if is_closed(new) && !is_closed(&old) {
        new.text = old.text;
        // A closed line may not say who wrote it; the opened one does.
        new.role = old.role;
    }
    if new.by.is_empty() {
        new.by = old.by;
    }
    if new.kind.is_empty() {
        new.kind = old.kind;
    }
    new.time_ms = new.time_ms.or(old.time_ms);
    new.mcs = new.mcs.or(old.mcs);
    for (new, old) in [
        (&mut new.content_format, old.content_format),
        (&mut new.control_type, old.control_type),
        (&mut new.message_id, old.message_id),
        (&mut new.dialog_id, old.dialog_id),
        (&mut new.agent_id, old.agent_id),
    ] {
        if new.is_none() {
            *new = old;
        }
    }
    // Not behind a mask: what was deleted must not come back through the older record.
    if new.attachment.is_none() && new.text.trim() != MASK {
        new.attachment = old.attachment;
    }
}

/// The newer events, plus the older ones that are not among them.
///
/// A list search gives only some of a conversation's events, and `v=1` gives strings where `v=2` gives types, so events
/// are compared by kind, times and values as text. A masked event takes the place of the one it hides.
pub(super) fn merge_sdes(older: Vec<String>, newer: Vec<String>) -> Vec<String> {
    let mut merged = newer;
    let count = merged.len();
    for old in older {
        let known = &merged[..count];
        if !known.contains(&old) && !known.iter().any(|new| is_same_sde(&old, new)) {
            merged.push(old);
        }
    }
    merged
}

/// Whether two events (JSON text) are one, received twice.
pub(super) fn is_same_sde(old: &str, new: &str) -> bool {
    let (Some(old), Some(new_event)) = (sde_event(old), sde_event(new)) else { return false };
    let known = old.server_ms.is_some() || old.original_ms.is_some();
    if !known
        || (&old.kind, old.server_ms, old.original_ms) != (&new_event.kind, new_event.server_ms, new_event.original_ms)
    {
        return false;
    }
    if new_event.values.iter().any(|value| value.text == MASK) {
        return true;
    }
    let sorted = |mut values: Vec<super::SdeValue>| {
        values.sort();
        values
    };
    sorted(old.values) == sorted(new_event.values)
}

/// The newer surveys, plus the older ones. A survey with the same ids is the same one, later answered.
pub(super) fn merge_surveys(older: Vec<String>, newer: Vec<String>) -> Vec<String> {
    let mut merged = newer;
    let keys: Vec<(Option<Vec<String>>, usize)> = merged
        .iter()
        // A survey that was only viewed says less than one that was answered, whichever came later.
        .map(|survey| (survey_key(survey), if survey.contains(MASK) { usize::MAX } else { flattened(survey).len() }))
        .collect();
    for old in older {
        let key = survey_key(&old);
        let is_answered = |(new, said): &(Option<Vec<String>>, usize)| *new == key && *said >= flattened(&old).len();
        let known = merged.contains(&old) || (key.is_some() && keys.iter().any(is_answered));
        if !known {
            merged.push(old);
        }
    }
    merged
}

/// What identifies a survey, or an answer of one; `None` where nothing does.
fn survey_key(json: &str) -> Option<Vec<String>> {
    const IDS: [&[&str]; 3] = [&["surveyId", "surveyID", "id"], &["questionId", "questionID"], &["dialogId"]];
    const KINDS: [&[&str]; 2] = [&["surveyType", "source", "type"], &["acSurveyId"]];
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let value = |names: &&[&str]| names.iter().find_map(|name| fields.get(*name)).map(|value| value.to_string());
    value(&IDS[0])?;
    Some(IDS.iter().chain(&KINDS).map(|names| value(names).unwrap_or_default()).collect())
}

/// The newer profiles, filled up from the older ones.
pub(super) fn merge_profiles(older: Vec<AgentProfile>, newer: Vec<AgentProfile>) -> Vec<AgentProfile> {
    let mut merged = newer;
    for old in older {
        match merged.iter_mut().find(|profile| profile.id == old.id) {
            Some(profile) => profile.learn(&old),
            None => merged.push(old),
        }
    }
    merged
}

/// Names by id; a renamed skill is found by both names.
pub(super) fn merge_names(older: Vec<(String, String)>, newer: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut merged = newer;
    for old in older {
        if !merged.contains(&old) {
            merged.push(old);
        }
    }
    merged
}

/// The newer elements, plus the older ones whose id is not among them.
pub(super) fn merge_by<T>(older: Vec<T>, newer: Vec<T>, id: impl Fn(&T) -> &String) -> Vec<T> {
    let mut merged = newer;
    for old in older {
        if !merged.iter().any(|new| id(new) == id(&old)) {
            merged.push(old);
        }
    }
    merged
}

/// The newer campaign, filled up from the older one where both are the same.
pub(super) fn merge_campaign(older: Option<Campaign>, newer: Option<Campaign>) -> Option<Campaign> {
    let (Some(older), Some(mut newer)) = (older.clone(), newer.clone()) else { return newer.or(older) };
    let is_other = older.campaign_id.is_some() && newer.campaign_id.is_some() && older.campaign_id != newer.campaign_id;
    if is_other {
        return Some(newer);
    }
    newer.campaign_id = newer.campaign_id.or(older.campaign_id);
    newer.engagement_id = newer.engagement_id.or(older.engagement_id);
    newer.campaign_name = newer.campaign_name.or(older.campaign_name);
    newer.engagement_name = newer.engagement_name.or(older.engagement_name);
    for (name, value) in older.unknown {
        if !newer.unknown.iter().any(|(known, _)| *known == name) {
            newer.unknown.push((name, value));
        }
    }
    newer.unknown.sort();
    Some(newer)
}
