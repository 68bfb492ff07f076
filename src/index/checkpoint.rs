//! What a commit says about itself: the last archive file it holds.
//!
//! The checkpoint is part of tantivy's commit, so documents and checkpoint become visible together or not at all.

use super::error::IndexError;
use super::schema::SCHEMA_VERSION;
use serde::{Deserialize, Serialize};

/// Payload of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// See [`SCHEMA_VERSION`].
    pub version: u32,
    /// Every archive file up to this sequence number is in the index.
    pub sequence: u64,
    /// Whether conversations that came in several records have been merged. `false` only between the two commits of a round.
    pub merged: bool,
}

impl Checkpoint {
    /// An index that holds nothing.
    pub fn start() -> Checkpoint {
        Checkpoint { version: SCHEMA_VERSION, sequence: 0, merged: true }
    }

    /// As written into the commit.
    pub fn to_payload(self) -> String {
        serde_json::to_string(&self).expect("a flat struct always serialises")
    }

    /// As read from a commit; a commit without payload is a new index.
    ///
    /// # Errors
    /// [`IndexError::OtherVersion`] and [`IndexError::Damaged`].
    pub fn from_payload(payload: Option<&str>) -> Result<Checkpoint, IndexError> {
        let Some(payload) = payload else { return Ok(Checkpoint::start()) };
        let checkpoint: Checkpoint =
            serde_json::from_str(payload).map_err(|error| IndexError::Damaged(error.to_string()))?;
        if checkpoint.version != SCHEMA_VERSION {
            return Err(IndexError::OtherVersion { found: checkpoint.version, known: SCHEMA_VERSION });
        }
        Ok(checkpoint)
    }
}
