//! Revisions of one conversation, and how they become one.
//!
//! LivePerson sends a conversation again when it has grown or was mended. Every distinct version is kept; the view
//! that people search and read is their merge: the later one wins field by field, and nothing that only an earlier one
//! said is lost. The order of revisions depends on what they are, never on the order in which they were indexed.

use super::{Conversation, Message, Transfer, is_encrypted_marker, views};
use serde::{Deserialize, Serialize};

/// Where one record lies in the archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Path of the file inside the vault.
    pub file: String,
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
    /// Zero-based ordinal of the conversation record in that file.
    pub record: u64,
    /// No check sum speaks for its bytes: it stands in the unproven part of a salvage file, and may have been altered.
    pub unproven: bool,
}

/// One distinct version of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Start of the window of the file it came in (epoch milliseconds), else the record's own end: the age that orders revisions.
    pub age_ms: i64,
    /// `data-access`, `messaging-interactions`, …
    pub source: String,
    /// Every record that carried exactly this content, in archive order. Never empty.
    pub records: Vec<Record>,
    /// What it said.
    pub content: Conversation,
}

/// All that is known of one conversation: its distinct revisions, oldest first. Never empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredConversation {
    /// Distinct versions, oldest first.
    pub revisions: Vec<Revision>,
}

impl Revision {
    /// No check sum speaks for this version: it was never received but in the unproven part of a salvage file.
    pub fn is_unproven(&self) -> bool {
        self.records.iter().all(|record| record.unproven)
    }
}

impl StoredConversation {
    /// Puts revisions in order and folds those with equal content into one. Of a record that was read with one key and with another,
    /// what either opened is kept.
    ///
    /// The result is the same whatever the order of `revisions`, and adding a record that is already in changes nothing.
    pub fn from_revisions(revisions: Vec<Revision>) -> StoredConversation {
        let mut revisions = views::joined(revisions);
        for revision in &mut revisions {
            revision.records.sort();
        }
        revisions.sort_by(|a, b| a.age_ms.cmp(&b.age_ms).then_with(|| a.records.cmp(&b.records)));
        let mut distinct: Vec<Revision> = Vec::with_capacity(revisions.len());
        for revision in revisions {
            match distinct.iter_mut().find(|known| known.content == revision.content && known.source == revision.source)
            {
                Some(known) => {
                    known.records.extend(revision.records);
                    known.records.sort();
                    known.records.dedup();
                }
                None => distinct.push(revision),
            }
        }
        StoredConversation { revisions: distinct }
    }

    /// Number of distinct versions. A record that says less than another one, only because no key for it is at hand, is none.
    pub fn version_count(&self) -> usize {
        let is_version = |revision: &&Revision| {
            revision.content.unreadable_messages() == 0
                || !self
                    .revisions
                    .iter()
                    .any(|other| other.source == revision.source && views::says_less(&revision.content, &other.content))
        };
        self.revisions.iter().filter(is_version).count()
    }

    /// Number of archive records that this conversation accounts for.
    pub fn record_count(&self) -> u64 {
        self.revisions.iter().map(|revision| revision.records.len() as u64).sum()
    }

    /// Number of archive records whose version no check sum speaks for, see [`Revision::is_unproven`].
    pub fn unproven_count(&self) -> u64 {
        let unproven = self.revisions.iter().filter(|revision| revision.is_unproven());
        unproven.map(|revision| revision.records.len() as u64).sum()
    }

    /// The view people search and read.
    pub fn merged(&self) -> Conversation {
        merge(self.revisions.iter().map(|revision| &revision.content))
    }

    /// `<account>:<id>`, or file hash and record ordinal where there is no id.
    pub fn key(&self) -> String {
        let first = &self.revisions[0];
        match &first.content.conversation_id {
            Some(id) => format!("{}:{}", first.content.account_id, id),
            None => format!("{}#{}", first.records[0].sha256, first.records[0].record),
        }
    }
}

/// Merges versions given oldest first: later wins, nothing is lost from the earlier.
pub fn merge<'a>(versions: impl IntoIterator<Item = &'a Conversation>) -> Conversation {
    let mut versions = versions.into_iter();
    let Some(first) = versions.next() else { return Conversation::default() };
    versions.fold(first.clone(), |older, newer| overlay(older, newer.clone()))
}

fn overlay(older: Conversation, newer: Conversation) -> Conversation {
    /// An empty string says less than a value: LivePerson sends `""` for "unknown".
    fn said(newer: Option<String>, older: Option<String>) -> Option<String> {
        match newer {
            Some(text) if text.is_empty() => older.or(Some(text)),
            Some(text) => Some(text),
            None => older,
        }
    }
    fn union<T: PartialEq>(mut newer: Vec<T>, older: Vec<T>) -> Vec<T> {
        for item in older {
            if !newer.contains(&item) {
                newer.push(item);
            }
        }
        newer
    }
    let mut unknown = newer.unknown;
    for (name, value) in older.unknown {
        if !unknown.iter().any(|(known, _)| *known == name) {
            unknown.push((name, value));
        }
    }
    unknown.sort();
    let encrypted = match (older.encrypted, newer.encrypted) {
        (Some(mut older), Some(newer)) => {
            older.add(&newer);
            Some(older)
        }
        (older, newer) => older.or(newer),
    };
    Conversation {
        account_id: if newer.account_id.is_empty() { older.account_id } else { newer.account_id },
        conversation_id: said(newer.conversation_id, older.conversation_id),
        kind: said(newer.kind, older.kind),
        status: said(newer.status, older.status),
        start_ms: newer.start_ms.or(older.start_ms),
        interaction_start_ms: newer.interaction_start_ms.or(older.interaction_start_ms),
        end_ms: newer.end_ms.or(older.end_ms),
        queue_start_ms: newer.queue_start_ms.or(older.queue_start_ms),
        queue_end_ms: newer.queue_end_ms.or(older.queue_end_ms),
        end_reason: newer.end_reason.or(older.end_reason),
        start_reason: newer.start_reason.or(older.start_reason),
        interactive: newer.interactive.or(older.interactive),
        origin: said(newer.origin, older.origin),
        device: said(newer.device, older.device),
        consumer_id: said(newer.consumer_id, older.consumer_id),
        visitor_id: said(newer.visitor_id, older.visitor_id),
        visit_id: said(newer.visit_id, older.visit_id),
        context_id: said(newer.context_id, older.context_id),
        agent_id: said(newer.agent_id, older.agent_id),
        skill_id: said(newer.skill_id, older.skill_id),
        skills: union(newer.skills, older.skills),
        campaign: newer.campaign.or(older.campaign),
        start_page: said(newer.start_page, older.start_page),
        start_url: said(newer.start_url, older.start_url),
        mcs: newer.mcs.or(older.mcs),
        csat: newer.csat.or(older.csat),
        messages: merge_messages(older.messages, newer.messages),
        transfers: merge_transfers(older.transfers, newer.transfers),
        secure_forms: union(newer.secure_forms, older.secure_forms),
        attributes: union(newer.attributes, older.attributes),
        surveys: union(newer.surveys, older.surveys),
        unknown,
        encrypted,
    }
}

/// The newer transfers, plus the older record's that it no longer has. A transfer is the same when it happened at the same
/// moment; what only the older record said of it is kept.
fn merge_transfers(older: Vec<Transfer>, newer: Vec<Transfer>) -> Vec<Transfer> {
    let mut merged = newer;
    for old in older {
        match merged.iter_mut().find(|new| new.time_ms == old.time_ms && old.time_ms.is_some() || **new == old) {
            Some(new) => {
                new.skill_id = new.skill_id.take().or(old.skill_id);
                new.target_skill_id = new.target_skill_id.take().or(old.target_skill_id);
                new.agent_id = new.agent_id.take().or(old.agent_id);
                new.target_agent_id = new.target_agent_id.take().or(old.target_agent_id);
                new.reason = new.reason.or(old.reason);
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
/// A line is the same when its id is, else when time, writer and text are. A line that only one of the two could be
/// opened in is the same too, and its clear text is what is kept: a revision that came for a key that is not at hand hides
/// nothing that another one says.
fn merge_messages(older: Vec<Message>, mut newer: Vec<Message>) -> Vec<Message> {
    let is_closed = |message: &Message| is_encrypted_marker(&message.text);
    let same = |a: &Message, b: &Message| match (&a.message_id, &b.message_id) {
        (Some(a), Some(b)) => a == b,
        // The writer's name may be encrypted as well.
        _ if is_closed(a) != is_closed(b) => {
            a.time_ms.is_some() && a.time_ms == b.time_ms && (a.by == b.by || a.by.is_empty() || b.by.is_empty())
        }
        _ => a.time_ms == b.time_ms && a.by == b.by && a.text == b.text,
    };
    for line in newer.iter_mut().filter(|line| is_closed(line)) {
        if let Some(open) = older.iter().find(|old| !is_closed(old) && same(old, line)) {
            line.text.clone_from(&open.text);
            if line.by.is_empty() {
                line.by.clone_from(&open.by);
            }
        }
    }
    // The usual case: the conversation grew, and the old lines are the first of the new ones.
    if older.len() <= newer.len() && older.iter().zip(&newer).all(|(a, b)| same(a, b)) {
        return newer;
    }
    let lost: Vec<Message> = {
        let known: std::collections::HashSet<&str> = newer.iter().filter_map(|m| m.message_id.as_deref()).collect();
        older
            .into_iter()
            .filter(|old| match old.message_id.as_deref() {
                Some(id) if known.contains(id) => false,
                _ => !newer.iter().any(|new| same(old, new)),
            })
            .collect()
    };
    let mut merged = newer;
    for line in lost {
        let at = match line.time_ms {
            Some(time) => merged.iter().position(|m| m.time_ms.is_some_and(|t| t > time)).unwrap_or(merged.len()),
            None => merged.len(),
        };
        merged.insert(at, line);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::super::Encryption;
    use super::*;

    fn line(id: &str, time_ms: i64, text: &str) -> Message {
        Message { message_id: Some(id.into()), time_ms: Some(time_ms), text: text.into(), ..Message::default() }
    }

    fn revision(age_ms: i64, record: u64, content: Conversation) -> Revision {
        let record = Record { file: "f".into(), sha256: "00".into(), record, unproven: false };
        Revision { age_ms, source: "data-access".into(), records: vec![record], content }
    }

    fn conversation(messages: Vec<Message>) -> Conversation {
        Conversation { account_id: "1".into(), conversation_id: Some("c".into()), messages, ..Conversation::default() }
    }

    #[test]
    fn later_wins_and_nothing_is_lost() {
        let mut older = conversation(vec![line("a", 1, "hi"), line("b", 2, "gone later")]);
        older.mcs = Some(40.0);
        older.start_page = Some("Billing".into());
        older.unknown = vec![("z".into(), "1".into())];
        let mut newer = conversation(vec![line("a", 1, "hi!"), line("c", 3, "bye")]);
        newer.mcs = Some(55.0);
        newer.start_page = Some(String::new());
        let merged = merge([&older, &newer]);
        assert_eq!(merged.mcs, Some(55.0));
        assert_eq!(merged.start_page.as_deref(), Some("Billing"), "an empty string does not erase a value");
        assert_eq!(merged.unknown, older.unknown);
        let texts: Vec<&str> = merged.messages.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(texts, ["hi!", "gone later", "bye"]);
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let one = revision(1, 0, conversation(vec![line("a", 1, "x")]));
        let two = revision(2, 1, conversation(vec![line("a", 1, "x"), line("b", 2, "y")]));
        let three = revision(3, 2, conversation(vec![line("c", 3, "z")]));
        let sorted = StoredConversation::from_revisions(vec![one.clone(), two.clone(), three.clone()]);
        for order in [[&three, &one, &two], [&two, &three, &one], [&one, &three, &two]] {
            assert_eq!(StoredConversation::from_revisions(order.into_iter().cloned().collect()), sorted);
        }
        assert_eq!(sorted.merged().messages.len(), 3);
    }

    #[test]
    fn the_same_record_again_is_no_revision() {
        let first = revision(1, 0, conversation(vec![line("a", 1, "x")]));
        let again = revision(5, 7, first.content.clone());
        let stored = StoredConversation::from_revisions(vec![again.clone(), first, again]);
        assert_eq!(stored.revisions.len(), 1);
        assert_eq!(stored.record_count(), 2);
        assert_eq!(stored.revisions[0].age_ms, 1);
    }

    #[test]
    fn a_version_that_also_came_whole_is_proven() {
        let mut salvaged = revision(1, 0, conversation(vec![line("a", 1, "x")]));
        salvaged.records[0].unproven = true;
        let alone = StoredConversation::from_revisions(vec![salvaged.clone()]);
        assert_eq!((alone.revisions[0].is_unproven(), alone.unproven_count()), (true, 1));
        let whole = revision(2, 1, salvaged.content.clone());
        let both = StoredConversation::from_revisions(vec![salvaged.clone(), whole]);
        assert_eq!((both.revisions.len(), both.unproven_count()), (1, 0), "the same content, and a check sum for it");
        let other = revision(2, 1, conversation(vec![line("a", 1, "y")]));
        let differs = StoredConversation::from_revisions(vec![salvaged, other]);
        assert_eq!((differs.revisions.len(), differs.unproven_count()), (2, 1), "its words are still in the view");
    }

    #[test]
    fn a_revision_that_cannot_be_opened_hides_nothing_that_another_says() {
        let said = |text: &str, unreadable| {
            let line = Message { time_ms: Some(5), by: "Visitor".into(), text: text.into(), ..Message::default() };
            let mut c = conversation(vec![line]);
            let key_ids = vec!["89ABCDEF01234567".to_owned()];
            c.encrypted = Some(Encryption { key_ids, opened: 1 - unreadable, unreadable });
            c
        };
        let (clear, closed) = (said("clear words", 0), said("[encrypted for key 0x89ABCDEF01234567]", 1));
        for merged in [merge([&clear, &closed]), merge([&closed, &clear])] {
            let texts: Vec<&str> = merged.messages.iter().map(|m| m.text.as_str()).collect();
            assert_eq!(texts, ["clear words"]);
            let encrypted = merged.encrypted.expect("both came encrypted");
            assert_eq!((encrypted.opened, encrypted.unreadable, encrypted.key_ids.len()), (1, 1, 1));
        }
        assert_eq!(merge([&closed, &closed]).messages.len(), 1);
    }

    #[test]
    fn keys_name_the_conversation_or_the_record() {
        let with_id = StoredConversation::from_revisions(vec![revision(1, 0, conversation(vec![]))]);
        assert_eq!(with_id.key(), "1:c");
        let mut without = conversation(vec![]);
        without.conversation_id = None;
        assert_eq!(StoredConversation::from_revisions(vec![revision(1, 4, without)]).key(), "00#4");
    }
}
