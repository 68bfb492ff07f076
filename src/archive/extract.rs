//! A part of the ledger that travels with files: their rows, the events that published them, and what ties these to a
//! head of the chain. Read and written line by line, so that memory does not grow with the number of files.
//!
//! Two scopes. The whole archive takes the whole chain along: every event follows from the one before. A choice of files
//! takes only their own events, each with its path through the hash tree of one anchor: they are tied to the chain
//! without a word about any other file. Files behind the newest anchor are not tied to it; the extract says how many.

use std::fmt::Display;

use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Archive;
use super::anchor::{Head, claimed_tree, for_each_hash};
use super::chain::{self, Event, EventKind, canonical_json, hash_column};
use super::entry::{Sha256Hex, Window};
use super::error::ArchiveError;
use super::ledger::window_columns;
use super::proof::{ProvenEvent, Refusal, TreePath, check_hash, need, newest_anchor};
use super::tree::{FullTree, climb};

/// Events read from the ledger at a time.
const PAGE: u64 = 1000;

/// A row of the manifest with all its columns. `provenance` stays as it stands, so that it can be compared with the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// 1, 2, 3 … in the order the rows were committed.
    pub sequence: u64,
    /// Stream, such as `data-access/engagement`.
    pub stream: String,
    /// Name as listed.
    pub name: String,
    /// 1, 2 …: the same name with other bytes.
    pub version: u32,
    /// Path inside the vault, starting with `files/`.
    pub path: String,
    /// The window the file stands for.
    pub window: Option<Window>,
    /// SHA-256 of the bytes as received.
    pub sha256: Sha256Hex,
    /// Size as received, bytes.
    pub size_bytes: u64,
    /// `gzip`, `zip` or `plain`.
    pub container: String,
    /// What it inflates to, bytes.
    pub inflated_bytes: u64,
    /// When the row was committed, epoch milliseconds.
    pub stored_at_ms: i64,
    /// Where the bytes came from: a [`Provenance`](super::Provenance) as JSON.
    pub provenance: Value,
    /// The event that published it.
    pub event_seq: u64,
}

/// What an extract covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every file, every event up to the head.
    Archive,
    /// Some files and their events.
    Files,
}

/// What [`Archive::extract_events`] gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extract {
    /// Events given.
    pub events: u64,
    /// Publishing events that nothing ties to the head: they come after the newest anchor.
    pub untied: u64,
}

impl Archive {
    /// Up to `limit` rows of the manifest after `sequence`, ascending.
    ///
    /// # Errors
    /// Ledger errors, as for all that follow.
    pub fn rows_after(&self, sequence: u64, limit: u64) -> Result<Vec<FileRow>, ArchiveError> {
        self.ledger().read(|connection| rows_after(connection, sequence, limit))
    }

    /// The last event but for those that only say that somebody looked (`exported`, `verified`, `searched`): the head of an
    /// extract of the whole archive, which is the same as long as the archive is.
    pub fn lasting_head(&self) -> Result<Option<Head>, ArchiveError> {
        self.ledger().read(|connection| {
            connection
                .prepare_cached(
                    "SELECT seq, hash FROM events WHERE kind NOT IN ('exported', 'verified', 'searched') \
                     ORDER BY seq DESC LIMIT 1",
                )?
                .query_row([], |row| Ok(Head { seq: row.get(0)?, hash: hash_column(row, 1)? }))
                .optional()
        })
    }

    /// The newest anchor that a path through its tree can lead to.
    pub fn newest_anchor(&self) -> Result<Option<Head>, ArchiveError> {
        let anchor = self.ledger().read(|connection| newest_anchor(connection, u64::MAX))?;
        Ok(anchor.map(|event| Head { seq: event.seq, hash: event.hash }))
    }

    /// Calls `with` for every event up to `head`.
    pub fn extract_chain<E: From<ArchiveError>>(
        &self,
        head: &Head,
        mut with: impl FnMut(ProvenEvent) -> Result<(), E>,
    ) -> Result<Extract, E> {
        let mut extract = Extract::default();
        while extract.events < head.seq {
            let page = self.events_after(extract.events, PAGE.min(head.seq - extract.events))?;
            if page.is_empty() {
                break;
            }
            for event in page {
                extract.events += 1;
                with(ProvenEvent { event, tree: None })?;
            }
        }
        Ok(extract)
    }

    /// Calls `with` for the events `wanted` (ascending), each with its path to `anchor`, and for the anchor last.
    /// Without an anchor, and for events behind it, there is no path. The tree takes 64 bytes of memory per event of
    /// the chain.
    pub fn extract_events<E: From<ArchiveError>>(
        &self,
        wanted: impl IntoIterator<Item = Result<u64, E>>,
        anchor: Option<&Head>,
        mut with: impl FnMut(ProvenEvent) -> Result<(), E>,
    ) -> Result<Extract, E> {
        let mut hashes = Vec::new();
        if let Some(anchor) = anchor {
            self.ledger().read(|connection| for_each_hash(connection, anchor.seq - 1, |hash| hashes.push(hash)))?;
        }
        let tree = FullTree::over(hashes.into_iter());
        let event_at = |seq: u64| self.ledger().read(|connection| chain::event(connection, seq));
        let mut anchor_ahead = match anchor {
            Some(anchor) => event_at(anchor.seq)?,
            None => None,
        };
        let mut extract = Extract::default();
        for seq in wanted {
            let seq = seq?;
            // In the order of the chain: the anchor comes before what is behind it.
            if let Some(event) = anchor_ahead.take_if(|event| event.seq < seq) {
                extract.events += 1;
                with(ProvenEvent { event, tree: None })?;
            }
            let Some(event) = event_at(seq)? else { continue };
            let path = anchor.and_then(|anchor| Some(TreePath { anchor: anchor.seq, path: tree.path(seq)? }));
            extract.events += 1;
            extract.untied += u64::from(path.is_none());
            with(ProvenEvent { event, tree: path })?;
        }
        if let Some(event) = anchor_ahead {
            extract.events += 1;
            with(ProvenEvent { event, tree: None })?;
        }
        Ok(extract)
    }
}

/// Recomputes an extract as its events come by, in their order. Memory is one event.
#[derive(Debug)]
pub struct ExtractCheck {
    scope: Scope,
    head: Head,
    last: Option<(u64, Sha256Hex)>,
    /// The root that every path led to so far.
    root: Option<Sha256Hex>,
    /// Last leaf that has a path.
    covered: u64,
    head_seen: bool,
    untied: u64,
}

impl ExtractCheck {
    /// The check of an extract that claims to end at `head`.
    pub fn new(scope: Scope, head: Head) -> ExtractCheck {
        ExtractCheck { scope, head, last: None, root: None, covered: 0, head_seen: false, untied: 0 }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// What does not hold.
    pub fn take(&mut self, proven: &ProvenEvent) -> Result<(), Refusal> {
        let event = &proven.event;
        check_hash(event)?;
        let (seq, hash) = self.last.replace((event.seq, event.hash)).unwrap_or((0, Sha256Hex([0; 32])));
        need(event.seq > seq, || format!("event {} comes after event {seq}", event.seq))?;
        if self.scope == Scope::Archive {
            let follows = event.seq == seq + 1 && event.prev_hash == hash;
            return need(follows, || format!("event {} does not follow from event {seq}", event.seq));
        }
        if event.seq == self.head.seq {
            self.head_seen = true;
            need(event.hash == self.head.hash, || "the head is not the event of its number".to_owned())?;
            let claimed = claimed_tree(event);
            let leads_there =
                self.root.is_none_or(|root| claimed.is_some_and(|(last, of)| of == root && self.covered <= last));
            return need(leads_there, || format!("the events are not in the tree of anchor {}", event.seq));
        }
        let Some(tree) = &proven.tree else {
            self.untied += 1;
            return Ok(());
        };
        let root = climb(&event.hash, &tree.path);
        let is_one_tree = tree.anchor == self.head.seq && *self.root.get_or_insert(root) == root && !self.head_seen;
        self.covered = event.seq;
        need(is_one_tree, || format!("event {} is not in the tree of anchor {}", event.seq, self.head.seq))
    }

    /// Ends the check; gives the number of publishing events that nothing ties to the head.
    ///
    /// # Errors
    /// What does not hold.
    pub fn finish(self) -> Result<u64, Refusal> {
        let ends_there = match self.scope {
            Scope::Archive => self.last == Some((self.head.seq, self.head.hash)),
            // Paths without the anchor that they lead to prove nothing.
            Scope::Files => self.head_seen || self.root.is_none(),
        };
        need(ends_there, || "the events do not lead to the head".to_owned())?;
        Ok(self.untied)
    }
}

impl FileRow {
    /// Compares every column with the event that published the row.
    ///
    /// # Errors
    /// The column that differs.
    pub fn agrees_with(&self, event: &Event) -> Result<(), Refusal> {
        let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
        let published = [EventKind::Fetched.as_str(), EventKind::Imported.as_str()].contains(&event.kind.as_str());
        need(published && event.seq == self.event_seq, || self.differs("event_seq"))?;
        need(event.time_ms == self.stored_at_ms, || self.differs("stored_at_ms"))?;
        let columns = json!({
            "sequence": self.sequence, "stream": self.stream, "name": self.name, "version": self.version,
            "path": self.path, "window": self.window, "sha256": self.sha256, "size_bytes": self.size_bytes,
            "container": self.container, "inflated_bytes": self.inflated_bytes, "provenance": self.provenance,
        });
        let columns = columns.as_object().into_iter().flatten();
        for (column, value) in columns {
            need(canonical_json(&payload[column]) == canonical_json(value), || self.differs(column))?;
        }
        Ok(())
    }

    fn differs(&self, column: impl Display) -> String {
        format!("the row of {} does not agree with event {}: {column}", self.path, self.event_seq)
    }
}

fn rows_after(connection: &Connection, sequence: u64, limit: u64) -> rusqlite::Result<Vec<FileRow>> {
    let (sequence, limit) = (i64::try_from(sequence).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
    let mut statement = connection.prepare_cached(
        "SELECT sequence, stream, name, version, path, window_start_ms, window_end_ms, sha256, size_bytes, container, \
         inflated_bytes, stored_at_ms, provenance, event_seq FROM files WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
    )?;
    let rows = statement.query_map([sequence, limit], full_row)?;
    rows.collect()
}

fn full_row(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    let provenance: String = row.get(12)?;
    let unreadable =
        |error| rusqlite::Error::FromSqlConversionFailure(12, rusqlite::types::Type::Text, Box::new(error));
    Ok(FileRow {
        sequence: row.get(0)?,
        stream: row.get(1)?,
        name: row.get(2)?,
        version: row.get(3)?,
        path: row.get(4)?,
        window: window_columns(row, 5)?,
        sha256: hash_column(row, 7)?,
        size_bytes: row.get(8)?,
        container: row.get(9)?,
        inflated_bytes: row.get(10)?,
        stored_at_ms: row.get(11)?,
        provenance: serde_json::from_str(&provenance).map_err(unreadable)?,
        event_seq: row.get(13)?,
    })
}
