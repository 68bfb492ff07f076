//! A proof of one conversation that needs neither the vault nor this program: which bytes it came in, the event that
//! published them, and what ties that event to a head of the chain. FORMAT.md describes the document.
//!
//! Every event of a proof is tied to a later one: to its neighbour by `prev_hash`, or to an `anchored` event by a path
//! through the hash tree. The last one is the head. Checking needs SHA-256 and nothing else.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Archive;
use super::anchor::{Head, claimed_tree, for_each_hash};
use super::chain::{self, Event, EventKind, canonical_json, preimage};
use super::entry::Sha256Hex;
use super::error::ArchiveError;
use super::tree::{Step, Tree, climb};

/// The document. Its JSON has one more field, `seal`; see [`Proof::to_json`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Always 1.
    pub schema_version: u32,
    /// Always [`Proof::KIND`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Account of the vault.
    pub account_id: String,
    /// The conversation, where it has an id.
    pub conversation_id: Option<String>,
    /// The conversation's key in the vault.
    pub key: String,
    /// When the proof was made, epoch milliseconds.
    pub made_ms: i64,
    /// Program that made it.
    pub program: String,
    /// Every record of the conversation, in archive order.
    pub records: Vec<ProvenRecord>,
    /// Events by ascending sequence: those that published the files, and what ties them to the head.
    pub events: Vec<ProvenEvent>,
    /// The last of the events: to be compared with a head that was written down elsewhere.
    pub head: Head,
}

/// One record: which file, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenRecord {
    /// Path of the file inside the vault.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: Sha256Hex,
    /// Size of the file.
    pub size_bytes: u64,
    /// Zero-based ordinal of the conversation record in the file.
    pub record: u64,
    /// Where its JSON begins in the inflated file; `None` where the file does not hold it as one piece of text.
    pub offset: Option<u64>,
    /// Length of its JSON.
    pub record_bytes: u64,
    /// SHA-256 of its JSON.
    pub record_sha256: Sha256Hex,
    /// Sequence of the event that published the file.
    pub event: u64,
}

/// One event, and its path to an anchor where its successor is not in the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenEvent {
    /// The row of the chain, as it stands.
    #[serde(flatten)]
    pub event: Event,
    /// The way to an `anchored` event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreePath>,
}

/// A way through the hash tree whose root an `anchored` event holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreePath {
    /// Sequence of the `anchored` event.
    pub anchor: u64,
    /// Siblings from the leaf upwards.
    pub path: Vec<Step>,
}

/// Why a proof is not accepted, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

pub(super) fn need(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal(otherwise())) }
}

impl Archive {
    /// Sequence of the event that published the file at `path`.
    ///
    /// # Errors
    /// Ledger errors.
    pub fn event_of_file(&self, path: &str) -> Result<Option<u64>, ArchiveError> {
        self.ledger().read(|connection| {
            let mut statement = connection.prepare_cached("SELECT event_seq FROM files WHERE path = ?1")?;
            statement.query_row([path], |row| row.get(0)).optional()
        })
    }

    /// The head that a proof ends at unless told otherwise: the newest anchor behind `event`, else the end of the chain.
    ///
    /// # Errors
    /// Ledger errors.
    pub fn natural_head(&self, event: u64) -> Result<Option<u64>, ArchiveError> {
        self.ledger().read(|connection| {
            let end = chain::last(connection)?.map(|(seq, _)| seq);
            Ok(newest_anchor(connection, u64::MAX)?.map(|anchor| anchor.seq).filter(|seq| *seq > event).or(end))
        })
    }

    /// The events that tie the events `wanted` to the event `head`, ascending, with the head as the last one.
    /// Empty if there is no such head or a wanted event comes after it.
    ///
    /// # Errors
    /// Ledger errors.
    pub fn ties(&self, wanted: &[u64], head: u64) -> Result<Vec<ProvenEvent>, ArchiveError> {
        self.ledger().read(|connection| ties(connection, wanted, head))
    }
}

pub(super) fn newest_anchor(connection: &Connection, last: u64) -> rusqlite::Result<Option<Event>> {
    let last = last.min(i64::MAX as u64);
    Ok(chain::last_of_kind(connection, EventKind::Anchored, last)?.filter(|event| claimed_tree(event).is_some()))
}

fn ties(connection: &Connection, wanted: &[u64], head: u64) -> rusqlite::Result<Vec<ProvenEvent>> {
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let known = chain::last(connection)?.is_some_and(|(last, _)| head <= last);
    let (Some(&first), true) = (wanted.first(), known && wanted.iter().all(|seq| *seq <= head)) else {
        return Ok(Vec::new());
    };
    let anchor = newest_anchor(connection, head)?.filter(|anchor| first < anchor.seq);
    let mut events = Vec::new();
    if let Some(anchor) = &anchor {
        for seq in wanted.iter().take_while(|seq| **seq < anchor.seq) {
            let mut tree = Tree::wanting(*seq);
            for_each_hash(connection, anchor.seq - 1, |hash| tree.push(&hash))?;
            let path = tree.root_and_path().map(|(_, path)| path).unwrap_or_default();
            let Some(event) = chain::event(connection, *seq)? else { return Ok(Vec::new()) };
            events.push(ProvenEvent { event, tree: Some(TreePath { anchor: anchor.seq, path }) });
        }
    }
    let from = anchor.map_or(first, |anchor| anchor.seq);
    let linked = chain::events_after(connection, from - 1, head - from + 1)?;
    events.extend(linked.into_iter().map(|event| ProvenEvent { event, tree: None }));
    Ok(events)
}

impl Proof {
    /// The `type` of the document.
    pub const KIND: &'static str = "proof";

    /// The document with its seal: SHA-256 over the canonical JSON of all other fields. The seal shows slips and careless
    /// changes; what stands against careful ones are the head and the file.
    pub fn to_json(&self) -> Value {
        let mut value = json!(self);
        let seal = seal_of(&value);
        value["seal"] = json!(seal);
        value
    }

    /// Reads a document and its seal.
    ///
    /// # Errors
    /// Why it is no proof, or not as it was made.
    pub fn from_json(mut value: Value) -> Result<Proof, Refusal> {
        let seal = value.as_object_mut().and_then(|fields| fields.remove("seal"));
        need(value["type"] == Proof::KIND && value["schema_version"] == 1, || {
            "the document is not a proof of this format".to_owned()
        })?;
        need(seal == Some(json!(seal_of(&value))), || "the document is not as it was sealed".to_owned())?;
        serde_json::from_value(value).map_err(|error| Refusal(format!("the document is not a proof: {error}")))
    }

    /// Recomputes everything that the document holds.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(&self) -> Result<(), Refusal> {
        let mut events = BTreeMap::new();
        for proven in &self.events {
            let repeated = events.insert(proven.event.seq, proven).is_some();
            need(!repeated, || format!("event {} is there twice", proven.event.seq))?;
        }
        let last = events.keys().next_back().copied();
        for proven in &self.events {
            check_hash(&proven.event)?;
            check_tie(proven, &events, last)?;
        }
        let end = last.and_then(|seq| events.get(&seq)).map(|proven| (proven.event.seq, proven.event.hash));
        need(end == Some((self.head.seq, self.head.hash)), || "the events do not end at the head".to_owned())?;
        need(!self.records.is_empty(), || "no record is proven".to_owned())?;
        self.records.iter().try_for_each(|record| check_record(record, &events))
    }

    /// Is this head one of the events that the proof holds?
    pub fn passes(&self, hash: &Sha256Hex) -> bool {
        self.events.iter().any(|proven| proven.event.hash == *hash)
    }
}

fn seal_of(value: &Value) -> Sha256Hex {
    Sha256Hex::of(canonical_json(value).as_bytes())
}

pub(super) fn check_hash(event: &Event) -> Result<(), Refusal> {
    let seq = event.seq;
    // A line feed inside a field could pass for the border between two.
    let one_line = [&event.actor, &event.kind, &event.payload].iter().all(|field| !field.contains('\n'));
    let text = preimage(seq, event.time_ms, &event.actor, &event.kind, &event.payload, &event.prev_hash);
    need(one_line && Sha256Hex::of(text.as_bytes()) == event.hash, || format!("event {seq} does not have its hash"))
}

fn check_tie(proven: &ProvenEvent, events: &BTreeMap<u64, &ProvenEvent>, last: Option<u64>) -> Result<(), Refusal> {
    let event = &proven.event;
    let Some(tree) = &proven.tree else {
        let next = event.seq.checked_add(1).and_then(|seq| events.get(&seq));
        let follows = next.is_some_and(|next| next.event.prev_hash == event.hash);
        return need(follows || last == Some(event.seq), || format!("event {} is tied to no later one", event.seq));
    };
    let claimed = events.get(&tree.anchor).and_then(|anchor| claimed_tree(&anchor.event));
    let leads_there = claimed.is_some_and(|(covered, root)| {
        event.seq <= covered && covered < tree.anchor && climb(&event.hash, &tree.path) == root
    });
    need(leads_there, || format!("event {} is not in the tree of anchor {}", event.seq, tree.anchor))
}

fn check_record(record: &ProvenRecord, events: &BTreeMap<u64, &ProvenEvent>) -> Result<(), Refusal> {
    let event = events.get(&record.event).map(|proven| &proven.event);
    let publishes = event.is_some_and(|event| {
        let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
        [EventKind::Fetched.as_str(), EventKind::Imported.as_str()].contains(&event.kind.as_str())
            && payload["path"] == record.file
            && payload["sha256"] == json!(record.sha256)
            && payload["size_bytes"] == record.size_bytes
    });
    need(publishes, || format!("event {} did not publish {} with these bytes", record.event, record.file))
}
