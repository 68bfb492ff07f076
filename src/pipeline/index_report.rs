//! What a run of the indexer has to say: counts by stream, problems by file, and what waits for a key.

use super::RunError;
use crate::archive::Archive;
use crate::decode::{ANONYMOUS, Keyring, Problems};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Problems of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileProblems {
    /// Path inside the vault.
    pub file: String,
    /// What went wrong in it.
    #[serde(flatten)]
    pub problems: Problems,
}

/// What the files of one stream held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamCounts {
    /// Top-level values.
    pub records: u64,
    /// Conversation records.
    pub conversations: u64,
}

/// What salvage files held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SalvageCounts {
    /// Salvage files, one for each damaged file.
    pub files: u64,
    /// Conversation records in them.
    pub records: u64,
}

/// What went into the index.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IndexReport {
    /// Files read.
    pub files: u64,
    /// Top-level values in them.
    pub records: u64,
    /// Conversation records in them.
    pub conversations: u64,
    /// Bytes of JSON after unpacking.
    pub json_bytes: u64,
    /// Of those, what salvage files held: `records` counts conversations, `files` damaged files.
    pub salvaged: SalvageCounts,
    /// The same, by stream.
    pub streams: BTreeMap<String, StreamCounts>,
    /// Problems of all files, counted.
    pub problems: Problems,
    /// The first files that had any, with located examples.
    pub files_with_problems: Vec<FileProblems>,
    /// What the files of this run hold that no key at hand opens.
    pub encrypted: EncryptedCounts,
    /// Revisions with LivePerson's mask that the audit chain got an event for in this run.
    pub masked: u64,
}

/// Records that wait for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EncryptedCounts {
    /// Records.
    pub records: u64,
    /// Keys that their messages name, 16 upper-case hex digits each; zeros: a recipient who is not named.
    pub key_ids: BTreeSet<String>,
    /// Those of the keys that are at hand and locked: the passphrase is missing or wrong.
    pub locked: BTreeSet<String>,
}

impl EncryptedCounts {
    /// What waits in the whole archive.
    ///
    /// # Errors
    /// A failing archive.
    pub fn of_archive(archive: &Archive, keys: &Keyring) -> Result<EncryptedCounts, RunError> {
        let mut counts = EncryptedCounts::default();
        for file in archive.encrypted_files()? {
            counts.add(file.records, &file.key_ids, keys);
        }
        Ok(counts)
    }

    pub(super) fn add(&mut self, records: u64, key_ids: &BTreeSet<String>, keys: &Keyring) {
        self.records += records;
        self.key_ids.extend(key_ids.iter().cloned());
        let names_nobody = key_ids.contains(ANONYMOUS);
        self.locked.extend(keys.locked_ids().iter().filter(|id| names_nobody || key_ids.contains(*id)).cloned());
    }
}

/// Files whose problems are kept one by one in a report.
pub(super) const MAX_FILES_WITH_PROBLEMS: usize = 100;

impl IndexReport {
    /// Records and files that could not be read.
    pub fn failures(&self) -> u64 {
        self.problems.failures()
    }
}
