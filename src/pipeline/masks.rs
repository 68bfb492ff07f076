//! What LivePerson has erased upstream, written into the audit chain.
//!
//! The index knows which conversations carry LivePerson's mask; the chain has one event for each masked revision. The index is committed
//! first, and this compares both sides behind it, so a run that dies in between is made good by the next one, and what was
//! archived before there were such events gets them too. A rebuilt index finds the same revisions and adds nothing.

use super::{RunError, index_home};
use crate::archive::{Archive, MaskedRecord, MaskedRecords, Sha256Hex};
use crate::conversation::{Revision, StoredConversation};
use crate::index::Reader;

/// Events of one transaction.
const BATCH: usize = 500;

/// One masked revision, and its event where there is one.
#[derive(Debug)]
pub struct MaskedRevision<'s> {
    /// The revision.
    pub revision: &'s Revision,
    /// Sequence and time (epoch milliseconds) of its event.
    pub event: Option<(u64, i64)>,
}

/// The revisions of a conversation that carry the mask, oldest first.
pub fn masked_revisions<'s>(stored: &'s StoredConversation, known: &MaskedRecords) -> Vec<MaskedRevision<'s>> {
    let masked = stored.revisions.iter().filter(|revision| revision.content.is_masked);
    masked
        .map(|revision| {
            let id = revision.content.conversation_id.as_deref();
            // The same content may have come again since, in a file that sorts before: any of its records speaks for it.
            let events = revision.records.iter().filter_map(|record| {
                let sha256 = record.sha256.parse::<Sha256Hex>().ok()?;
                known.event_of(&sha256, record.record, id)
            });
            let event = events.map(|event| (event.seq, event.time_ms)).min();
            MaskedRevision { revision, event }
        })
        .collect()
}

/// Appends an event for each masked revision of the index that has none. Gives how many that were.
pub(super) fn record(archive: &Archive) -> Result<u64, RunError> {
    let reader = Reader::open(&index_home(archive.root()))?;
    let masked = reader.documents_with("masked")?;
    // The usual case: nothing was ever erased, and the chain need not be read.
    if masked.is_empty() {
        return Ok(0);
    }
    let known = archive.masked_records()?;
    let (mut found, mut recorded) = (Vec::new(), 0);
    for address in masked {
        let stored = reader.load(address)?;
        let news = masked_revisions(&stored, &known).into_iter().filter(|masked| masked.event.is_none());
        found.extend(news.filter_map(|masked| of_revision(masked.revision)));
        if found.len() >= BATCH {
            recorded += append(archive, &mut found)?;
        }
    }
    Ok(recorded + append(archive, &mut found)?)
}

/// The order of the index is that of its segments; events are better read in that of the erasures.
fn append(archive: &Archive, found: &mut Vec<MaskedRecord>) -> Result<u64, RunError> {
    found.sort_by_key(|masked| (masked.said_ms, masked.record));
    if !found.is_empty() {
        archive.record_masked(found)?;
    }
    Ok(found.drain(..).count() as u64)
}

fn of_revision(revision: &Revision) -> Option<MaskedRecord> {
    let first = revision.records.first()?;
    Some(MaskedRecord {
        account_id: revision.content.account_id.clone(),
        conversation_id: revision.content.conversation_id.clone(),
        sha256: first.sha256.parse().ok()?,
        record: first.record,
        said_ms: revision.age_ms,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::indexing::IndexRun;
    use super::super::{RunOptions, bring_up, import, rebuild};
    use super::*;
    use crate::archive::{Arrival, Clock, EventKind, Provenance, RealDisk, Window};
    use crate::conversation::MASK;
    use std::sync::Arc;

    const HOUR_MS: i64 = 3_600_000;

    fn vault() -> (tempfile::TempDir, Archive) {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(&folder.path().join("vault"), "1", Arc::new(RealDisk), Clock::System).unwrap();
        (folder, archive)
    }

    /// An hour's file in which each conversation says one line.
    fn publish(archive: &Archive, hour: i64, lines: &[(&str, &str)]) {
        let records = lines.iter().map(|(id, text)| {
            format!(
                r#"{{"recordCollection":[{{"body":{{"com.liveperson.dataaccess.EngagementData":{{"engagements":[{{"conversationId":"{id}","transcripts":[{{"text":"{text}","timestamp":5,"by":"Visitor","type":"1"}}]}}]}}}}}}]}}"#
            )
        });
        let start_ms = 1_718_010_000_000 + hour * HOUR_MS;
        let window = Window { start_ms, end_ms: start_ms + HOUR_MS };
        let mut draft = archive.draft("data-access/engagement", &format!("{hour}.json")).unwrap();
        draft.append(records.collect::<Vec<_>>().join("\n").as_bytes()).unwrap();
        let provenance = Provenance { origin: "https://example.org".into(), ..Provenance::default() };
        archive.publish(draft, Arrival { window: Some(window), provenance, ..Arrival::default() }).unwrap();
    }

    fn events(archive: &Archive) -> Vec<(String, u64)> {
        let events = archive.events_after(0, 1000).unwrap().into_iter();
        let masked = events.filter(|event| event.kind == EventKind::Masked.as_str());
        masked
            .map(|event| {
                let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
                (payload["conversation_id"].as_str().unwrap_or("none").to_owned(), payload["record"].as_u64().unwrap())
            })
            .collect()
    }

    fn bring(archive: &Archive, is_later_round: bool) -> u64 {
        let options = RunOptions { is_later_round, ..RunOptions::default() };
        bring_up(archive, options, &|_| {}).unwrap().masked
    }

    #[test]
    fn one_event_for_each_masked_revision_and_no_more() {
        let (folder, archive) = vault();
        publish(&archive, 0, &[("a", "my name is Ada"), ("b", "hello"), ("", "nameless")]);
        assert_eq!(bring(&archive, false), 0);
        publish(&archive, 1, &[("b", "hello"), ("a", MASK)]);
        assert_eq!((bring(&archive, false), events(&archive)), (1, vec![("a".to_owned(), 1)]));
        // The same revision again, in an hour before: its record sorts first, and the event is the same.
        publish(&archive, -5, &[("a", MASK)]);
        assert_eq!(bring(&archive, false), 0);
        assert_eq!(rebuild(&archive, RunOptions::default(), &|_| {}).unwrap().masked, 0);
        // Another revision: more is masked now.
        publish(&archive, 2, &[("a", &format!("{MASK} {MASK}")), ("", MASK)]);
        assert_eq!(bring(&archive, true), 2, "a later round looks where it saw a mask");
        assert_eq!(events(&archive), [("a".to_owned(), 1), ("a".to_owned(), 0), ("none".to_owned(), 1)]);
        assert_eq!(
            import(&archive, &[folder.path().join("none")], RunOptions::default(), &|_| {}).unwrap().1.masked,
            0
        );
    }

    /// The state that a run leaves which dies behind its commit, and that of an archive older than these events.
    #[test]
    fn a_committed_index_without_events_gets_them_with_the_next_run() {
        let (_folder, archive) = vault();
        publish(&archive, 0, &[("a", MASK), ("b", MASK)]);
        let mut run = IndexRun::start(&archive, RunOptions::default(), &|_| {}).unwrap();
        run.catch_up().unwrap();
        drop(run);
        assert_eq!(events(&archive), []);
        assert_eq!(bring(&archive, true), 0, "the same process has looked before");
        assert_eq!(bring(&archive, false), 2);
        assert_eq!(bring(&archive, false), 0);
        let mut found = events(&archive);
        found.sort();
        assert_eq!(found, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
    }

    #[test]
    fn an_event_holds_nothing_of_the_text() {
        let (_folder, archive) = vault();
        publish(&archive, 0, &[("a", &format!("Ada {MASK}"))]);
        assert_eq!(bring(&archive, false), 1);
        let event = archive.events_after(0, 1000).unwrap().pop().unwrap();
        let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        let names: Vec<&str> = payload.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["account_id", "conversation_id", "record", "said_ms", "sha256"]);
        assert!(!event.payload.contains("Ada"));
    }
}
