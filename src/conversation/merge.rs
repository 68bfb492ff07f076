//! Revisions of one conversation, and how they become one.
//!
//! LivePerson sends a conversation again when it has grown or was mended. Every distinct version is kept; the view
//! that people search and read is their merge: the later one wins field by field, and nothing that only an earlier one
//! said is lost. The order of revisions depends on what they are, never on the order in which they were indexed.

use super::{Conversation, Supplement, parts, views};
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
    /// When the source answered, else the start of the window of the file it came in, else the record's own end; epoch
    /// milliseconds. The age that orders revisions.
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

    /// Distinct versions of the conversation itself: surveys and web sessions add to it and are none.
    pub fn version_count(&self) -> usize {
        self.versions().count().max(1)
    }

    /// Versions of the conversation itself. A record that says less than another one, only because no key for it is at hand, is
    /// none.
    fn versions(&self) -> impl Iterator<Item = &Revision> {
        self.revisions.iter().filter(|revision| {
            let says_less = || {
                self.revisions
                    .iter()
                    .any(|other| other.source == revision.source && views::says_less(&revision.content, &other.content))
            };
            revision.content.supplement.is_none() && (revision.content.unreadable_messages() == 0 || !says_less())
        })
    }

    /// Whether one source sent the conversation more than once, with other content.
    pub fn was_revised(&self) -> bool {
        self.versions()
            .enumerate()
            .any(|(at, one)| self.versions().skip(at + 1).any(|other| other.source == one.source))
    }

    /// What one source alone says, oldest first within it; `None` where it says nothing.
    pub fn merged_of(&self, source: &str) -> Option<Conversation> {
        let mut of_source = self.revisions.iter().filter(|revision| revision.source == source).peekable();
        of_source.peek()?;
        Some(merge(of_source.map(|revision| &revision.content)))
    }

    /// Sources that said something, in the order in which they first did.
    pub fn sources(&self) -> Vec<&str> {
        let mut sources: Vec<&str> = Vec::new();
        for revision in &self.revisions {
            if !sources.contains(&revision.source.as_str()) {
                sources.push(&revision.source);
            }
        }
        sources
    }

    /// When an engagement attribute of the merged view was first received: the age of the oldest revision that had it.
    pub fn sde_first_seen_ms(&self, attribute: &str) -> Option<i64> {
        let is_same = |known: &String| known == attribute || parts::is_same_sde(known, attribute);
        let first = self.revisions.iter().find(|revision| revision.content.attributes.iter().any(is_same));
        first.map(|revision| revision.age_ms)
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

    /// `<account>:<id>`; `<account>:web-session:<visit>` for a web session; file hash and record ordinal where there is no id.
    pub fn key(&self) -> String {
        let first = &self.revisions[0];
        let visit = first.content.visit_id.as_deref().filter(|visit| !visit.is_empty());
        match (&first.content.conversation_id, first.content.supplement, visit) {
            (Some(id), ..) => format!("{}:{}", first.content.account_id, id),
            (None, Some(Supplement::WebSession), Some(visit)) => {
                format!("{}:web-session:{visit}", first.content.account_id)
            }
            _ => format!("{}#{}", first.records[0].sha256, first.records[0].record),
        }
    }
}

/// Merges versions given oldest first: later wins, nothing is lost from the earlier.
///
/// What only adds to a conversation (a survey) counts as the oldest, whenever it came: its times are not the conversation's.
pub fn merge<'a>(versions: impl IntoIterator<Item = &'a Conversation>) -> Conversation {
    let (supplements, whole): (Vec<_>, Vec<_>) = versions.into_iter().partition(|version| version.supplement.is_some());
    let mut versions = supplements.into_iter().chain(whole);
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
        supplement: older.supplement.and(newer.supplement),
        status: said(newer.status, older.status),
        start_ms: newer.start_ms.or(older.start_ms),
        interaction_start_ms: newer.interaction_start_ms.or(older.interaction_start_ms),
        end_ms: newer.end_ms.or(older.end_ms),
        queue_start_ms: newer.queue_start_ms.or(older.queue_start_ms),
        queue_end_ms: newer.queue_end_ms.or(older.queue_end_ms),
        end_reason: newer.end_reason.or(older.end_reason),
        closed_by: said(newer.closed_by, older.closed_by),
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
        campaign: parts::merge_campaign(older.campaign, newer.campaign),
        start_page: said(newer.start_page, older.start_page),
        start_url: said(newer.start_url, older.start_url),
        mcs: newer.mcs.or(older.mcs),
        csat: newer.csat.or(older.csat),
        nps: newer.nps.or(older.nps),
        messages: parts::merge_messages(older.messages, newer.messages),
        transfers: parts::merge_transfers(older.transfers, newer.transfers),
        secure_forms: union(newer.secure_forms, older.secure_forms),
        attributes: parts::merge_sdes(older.attributes, newer.attributes),
        surveys: parts::merge_surveys(older.surveys, newer.surveys),
        agent_profiles: parts::merge_profiles(older.agent_profiles, newer.agent_profiles),
        skill_names: parts::merge_names(older.skill_names, newer.skill_names),
        consumers: parts::merge_by(older.consumers, newer.consumers, |consumer| &consumer.id),
        dialogs: parts::merge_by(older.dialogs, newer.dialogs, |dialog| &dialog.dialog_id),
        summary: said(newer.summary, older.summary),
        intents: union(newer.intents, older.intents),
        is_partial: older.is_partial && newer.is_partial,
        is_masked: older.is_masked || newer.is_masked,
        unknown,
        encrypted,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Encryption, MASK, Message, Role};
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

    /// Lines of one moment: what reads the same belongs together, and a closed line gets what is left, not what is another's.
    #[test]
    fn closed_lines_take_the_clear_text_of_their_own() {
        let said =
            |text: &str| Message { time_ms: Some(5), by: "Visitor".into(), text: text.into(), ..Message::default() };
        let marker = "[encrypted for key 0x89ABCDEF01234567]";
        let closed = conversation(vec![said(marker), said("second")]);
        let open = conversation(vec![said("first"), said("second")]);
        let both = conversation(vec![said(marker), said(marker)]);
        for (older, newer) in [(&closed, &open), (&open, &closed), (&open, &both), (&both, &open)] {
            let texts: Vec<String> = merge([older, newer]).messages.into_iter().map(|line| line.text).collect();
            assert_eq!(texts, ["first", "second"]);
        }
        // By their id, whoever the closed line says that it is from.
        let mut named = line("a", 5, marker);
        named.by = "x".into();
        let clear = Message { role: Role::Agent, ..line("a", 5, "hello") };
        let merged = merge([&conversation(vec![clear]), &conversation(vec![named])]).messages;
        assert_eq!((merged.len(), merged[0].text.as_str(), merged[0].role), (1, "hello", Role::Agent));
    }

    #[test]
    fn keys_name_the_conversation_or_the_record() {
        let with_id = StoredConversation::from_revisions(vec![revision(1, 0, conversation(vec![]))]);
        assert_eq!(with_id.key(), "1:c");
        let mut without = conversation(vec![]);
        without.conversation_id = None;
        assert_eq!(StoredConversation::from_revisions(vec![revision(1, 4, without)]).key(), "00#4");
    }

    /// Two sources of one chat: lines without an id are the same by time, and keep what only one source says of them.
    #[test]
    fn sources_are_joined_line_by_line() {
        let mut first = line("a", 1, "my parcel is late");
        first.role = Role::Consumer;
        let mut again = Message { message_id: None, by: "Visitor".into(), mcs: Some(48.0), ..first.clone() };
        let mut joined = merge([&conversation(vec![first.clone()]), &conversation(vec![again.clone()])]);
        assert_eq!(joined.messages.len(), 1);
        let only = joined.messages.remove(0);
        assert_eq!((only.message_id.as_deref(), only.mcs, only.by.as_str()), (Some("a"), Some(48.0), "Visitor"));
        // LivePerson's mask takes the place of the line it hides, not a place beside it.
        again.text = MASK.into();
        let masked = merge([&conversation(vec![first]), &conversation(vec![again])]);
        assert_eq!(masked.messages.len(), 1);
        assert_eq!(masked.messages[0].text, MASK);
    }

    #[test]
    fn attributes_and_surveys_come_to_one_of_each() {
        let sde = |id: &str, total: &str| format!(r#"{{"purchase":{{"serverTimeStamp":{id},"total":{total}}}}}"#);
        let survey = |status: &str| format!(r#"{{"surveyId":"7","surveyType":"CSAT","surveyStatus":"{status}"}}"#);
        let mut older = conversation(vec![]);
        older.attributes = vec![sde("\"1\"", "\"31.5\""), sde("2", "4")];
        older.surveys = vec![survey("PENDING")];
        let mut newer = conversation(vec![]);
        // The same event with types (v=2), and an answered survey.
        newer.attributes = vec![sde("1", "31.5")];
        newer.surveys = vec![survey("FILLED")];
        let merged = merge([&older, &newer]);
        assert_eq!(merged.attributes, [sde("1", "31.5"), sde("2", "4")]);
        assert_eq!(merged.surveys, [survey("FILLED")]);
        newer.attributes = vec![sde("1", "32")];
        assert_eq!(merge([&older, &newer]).attributes.len(), 3, "another value is another event");
        newer.attributes = vec![sde("1", &format!("{MASK:?}"))];
        assert_eq!(merge([&older, &newer]).attributes.len(), 2, "a masked event takes the place of the one it hides");
    }

    #[test]
    fn a_survey_is_no_version_of_its_conversation() {
        let of = |supplement, age| {
            let mut content = conversation(vec![]);
            content.supplement = supplement;
            content.start_ms = supplement.is_none().then_some(age);
            revision(age, age as u64, content)
        };
        let stored = StoredConversation::from_revisions(vec![of(None, 1), of(Some(Supplement::Survey), 2)]);
        assert_eq!((stored.version_count(), stored.was_revised(), stored.merged().supplement), (1, false, None));
        let stored = StoredConversation::from_revisions(vec![of(None, 1), of(None, 3)]);
        assert_eq!((stored.version_count(), stored.was_revised()), (2, true));
    }
}
