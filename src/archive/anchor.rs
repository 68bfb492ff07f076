//! A head of the chain, written down to be kept elsewhere, and the comparison with it later.
//!
//! Anchoring appends an `anchored` event that holds the head before it and the root of the hash tree over every event up
//! to there; what is written down is the head after it. A proof that ends at that head needs no other event, however
//! long the chain is. [`Archive::verify`] recomputes the roots.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chain::{self, Event, EventKind};
use super::entry::Sha256Hex;
use super::error::ArchiveError;
use super::tree::Tree;
use super::{Archive, ChainReport};

/// A place in the chain. Whoever knows it can tell whether anything up to there was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Sequence of the event.
    pub seq: u64,
    /// Its hash.
    pub hash: Sha256Hex,
}

/// What the chain of today says about a head that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadCheck {
    /// The chain, recomputed from its first row.
    pub chain: ChainReport,
    /// Hash that the row with the head's sequence has now; `None` if there is no such row.
    pub found: Option<Sha256Hex>,
    /// The row is there with that hash, and nothing up to it was changed.
    pub ok: bool,
    /// That the chain began anew, if its first event says so.
    pub rebuilt: Option<Rebuilt>,
}

/// What the first event of a chain tells of the lost one that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// When the ledger was made anew, epoch milliseconds.
    pub time_ms: i64,
    /// The last event up to which the former chain could be read unbroken; `None` where nothing of it could be read.
    pub former: Option<Head>,
}

impl Archive {
    /// Appends an `anchored` event and gives the head that it makes: what to write down.
    ///
    /// # Errors
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors.
    pub fn anchor(&self) -> Result<Head, ArchiveError> {
        let by = self.by();
        self.writer()?.write(|transaction| {
            let mut tree = Tree::default();
            for_each_hash(transaction, u64::MAX, |hash| tree.push(&hash))?;
            let before = chain::last(transaction)?.map(|(seq, hash)| Head { seq, hash });
            let payload = json!({ "head": before, "tree": tree.root() });
            let event = chain::append(transaction, by.now_ms, by.actor, EventKind::Anchored, &payload)?;
            Ok(Head { seq: event.seq, hash: event.hash })
        })
    }

    /// Recomputes the chain and looks for a head that was written down.
    ///
    /// # Errors
    /// Only what keeps the ledger from being read.
    pub fn check_head(&self, head: &Head) -> Result<HeadCheck, ArchiveError> {
        let (chain, found, first) = self.ledger().read(|connection| {
            let found = chain::event(connection, head.seq)?.map(|event| event.hash);
            Ok((chain::walk(connection)?, found, chain::event(connection, 1)?))
        })?;
        let unchanged_up_to_it = chain.broken_at.is_none_or(|broken| broken > head.seq);
        let ok = found == Some(head.hash) && unchanged_up_to_it;
        // A chain whose first row was changed tells nothing.
        let first = first.filter(|_| chain.broken_at != Some(1));
        Ok(HeadCheck { chain, found, ok, rebuilt: first.as_ref().and_then(rebuilt) })
    }
}

fn rebuilt(first: &Event) -> Option<Rebuilt> {
    let payload: Value = serde_json::from_str(&first.payload).ok()?;
    let told = payload.get("rebuilt")?;
    let former = serde_json::from_value(told["former_chain"].clone()).unwrap_or_default();
    Some(Rebuilt { time_ms: told["time_ms"].as_i64()?, former })
}

/// The root that an `anchored` event claims, and the last event under it. `None` for one without a tree.
pub(super) fn claimed_tree(event: &Event) -> Option<(u64, Sha256Hex)> {
    if event.kind != EventKind::Anchored.as_str() {
        return None;
    }
    let payload: Value = serde_json::from_str(&event.payload).ok()?;
    let root = payload["tree"].as_str()?.parse().ok()?;
    Some((payload["head"]["seq"].as_u64()?, root))
}

/// Calls `with` for the hash of every event up to `last`, in order.
pub(super) fn for_each_hash(
    connection: &Connection,
    last: u64,
    mut with: impl FnMut(Sha256Hex),
) -> rusqlite::Result<()> {
    let last = i64::try_from(last).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached("SELECT hash FROM events WHERE seq <= ?1 ORDER BY seq")?;
    let mut rows = statement.query([last])?;
    while let Some(row) = rows.next()? {
        with(chain::hash_column(row, 0)?);
    }
    Ok(())
}
