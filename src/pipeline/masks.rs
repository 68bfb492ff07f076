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
            archive.record_masked(&found)?;
            recorded += found.len() as u64;
            found.clear();
        }
    }
    if !found.is_empty() {
        archive.record_masked(&found)?;
        recorded += found.len() as u64;
    }
    Ok(recorded)
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
