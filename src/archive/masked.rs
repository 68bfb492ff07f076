//! What the source has erased: records in which LivePerson's mask stands where personal data stood.
//!
//! The archive does not look for the mask; whoever reads the records tells it. Each masked record becomes one event of the chain, so
//! that nobody can later say that the erasure was not known. No personal data stands in it: an id, and a place in a file.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Archive;
use super::chain::{self, EventKind};
use super::entry::Sha256Hex;
use super::error::ArchiveError;

/// One record in which something is masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedRecord {
    /// Account of the record.
    pub account_id: String,
    /// The conversation; `None` where the record names none.
    pub conversation_id: Option<String>,
    /// SHA-256 of the file that holds it.
    pub sha256: Sha256Hex,
    /// Zero-based ordinal of the record in that file.
    pub record: u64,
    /// When the source said so, epoch milliseconds: when it answered, or the start of the file's window.
    pub said_ms: i64,
}

/// The event of a masked record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskedEvent {
    /// Its place in the chain.
    pub seq: u64,
    /// When it was recorded, epoch milliseconds.
    pub time_ms: i64,
}

/// The events of all masked records that are known.
#[derive(Debug, Default)]
pub struct MaskedRecords(HashMap<Sha256Hex, MaskedEvent>);

impl MaskedRecords {
    /// The event of a record. Several conversations may share a record's ordinal where they came encrypted as one.
    pub fn event_of(&self, sha256: &Sha256Hex, record: u64, conversation_id: Option<&str>) -> Option<MaskedEvent> {
        self.0.get(&identity(sha256, record, conversation_id)).copied()
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Archive {
    /// Appends a `masked` event for each record, all in one transaction. The caller leaves out what
    /// [`Archive::masked_records`] has already.
    ///
    /// # Errors
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors.
    pub fn record_masked(&self, found: &[MaskedRecord]) -> Result<(), ArchiveError> {
        let by = self.by();
        self.writer()?.write(|transaction| {
            for masked in found {
                let payload = json!({
                    "account_id": masked.account_id, "conversation_id": masked.conversation_id,
                    "sha256": masked.sha256.to_string(), "record": masked.record, "said_ms": masked.said_ms,
                });
                chain::append(transaction, by.now_ms, by.actor, EventKind::Masked, &payload)?;
            }
            Ok(())
        })
    }

    /// Every masked record that has its event. Memory: some 60 bytes for each.
    ///
    /// # Errors
    /// Ledger errors.
    pub fn masked_records(&self) -> Result<MaskedRecords, ArchiveError> {
        self.ledger().read(|connection| {
            let mut known = HashMap::new();
            let mut statement =
                connection.prepare_cached("SELECT seq, time_ms, payload FROM events WHERE kind = ?1 ORDER BY seq")?;
            let mut rows = statement.query([EventKind::Masked.as_str()])?;
            while let Some(row) = rows.next()? {
                let event = MaskedEvent { seq: row.get(0)?, time_ms: row.get(1)? };
                let payload: Value = serde_json::from_str(row.get_ref(2)?.as_str()?).unwrap_or_default();
                // One that a later program wrote in another way names no record here.
                let sha256 = payload["sha256"].as_str().and_then(|text| text.parse::<Sha256Hex>().ok());
                if let (Some(sha256), Some(record)) = (sha256, payload["record"].as_u64()) {
                    known.entry(identity(&sha256, record, payload["conversation_id"].as_str())).or_insert(event);
                }
            }
            Ok(MaskedRecords(known))
        })
    }
}

/// One short name for a record's place and its conversation, whatever the length of the id.
fn identity(sha256: &Sha256Hex, record: u64, conversation_id: Option<&str>) -> Sha256Hex {
    Sha256Hex::of(format!("{sha256}\n{record}\n{}", conversation_id.unwrap_or_default()).as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::super::RealDisk;
    use super::super::tests::clock;
    use super::*;

    #[test]
    fn a_masked_record_is_known_by_its_place_and_its_conversation() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(folder.path(), "1", Arc::new(RealDisk), clock()).unwrap();
        assert!(archive.masked_records().unwrap().is_empty());
        let sha256 = Sha256Hex::of(b"file");
        let record = |id: Option<&str>, record| MaskedRecord {
            account_id: "1".into(),
            conversation_id: id.map(str::to_owned),
            sha256,
            record,
            said_ms: 5,
        };
        archive.record_masked(&[record(Some("a"), 0), record(None, 3)]).unwrap();
        let known = archive.masked_records().unwrap();
        assert_eq!(known.len(), 2);
        assert_eq!(known.event_of(&sha256, 0, Some("a")).unwrap().seq, 2);
        assert_eq!(known.event_of(&sha256, 3, None).unwrap().seq, 3);
        for (ordinal, id) in [(0, None), (0, Some("b")), (1, Some("a")), (3, Some("a"))] {
            assert_eq!(known.event_of(&sha256, ordinal, id), None, "{ordinal} {id:?}");
        }
        let event = archive.events_after(1, 1).unwrap().remove(0);
        assert_eq!(
            event.payload,
            format!(r#"{{"account_id":"1","conversation_id":"a","record":0,"said_ms":5,"sha256":"{sha256}"}}"#)
        );
        assert!(archive.verify(&|_| {}, 1).unwrap().chain.ok);
    }
}
