//! The generated corpus: the simulated account's files, and the account itself, which serves them to `sync`.

use super::child::Account;
use super::{Exit, Failure};
use chatvault::simulator::{
    BodyOptions, LANGUAGES, MessagingConfig, Simulator, SimulatorConfig, WorldConfig, start, write_corpus,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Bytes of JSON of a conversation record of the simulated account, on average.
const RECORD_BYTES: u64 = 9_600;

/// Hours that the account spans.
pub(super) const HOURS: u32 = 48;

/// Conversations after which an hour is split: some 15 MB of JSON, as in the files that LivePerson makes for a large account.
const CONVERSATIONS_PER_FILE: u64 = 2_000;

/// Room that is needed whatever the corpus.
const LEAST_ROOM_BYTES: u64 = 64 << 20;

/// A corpus that is to be written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Generated {
    conversations: u64,
    seed: u64,
}

/// The account of a corpus, running.
pub(super) struct Served {
    pub(super) simulator: Simulator,
    pub(super) address: Account,
}

/// Bytes that a benchmark writes at the same time: archive, index, and a second index aside. Measured: an index takes a quarter of the
/// JSON, and as much again while segments are merged.
pub(super) fn room_for(raw_bytes: u64, json_bytes: u64) -> u64 {
    raw_bytes + json_bytes + LEAST_ROOM_BYTES
}

/// Languages of every generated corpus, with their share in permille.
pub(super) fn languages() -> Vec<(&'static str, u32)> {
    LANGUAGES.to_vec()
}

impl Generated {
    pub(super) fn of_bytes(json_bytes: u64, seed: u64) -> Generated {
        Generated { conversations: (json_bytes / RECORD_BYTES).max(1), seed }
    }

    pub(super) fn of_conversations(conversations: u64, seed: u64) -> Generated {
        Generated { conversations, seed }
    }

    /// Bytes that it and its benchmark take at most, about.
    pub(super) fn room(&self) -> u64 {
        let json_bytes = self.conversations.saturating_mul(RECORD_BYTES);
        // It is compressed to a sixth, once here and once in a vault.
        let raw_bytes = json_bytes / 6;
        raw_bytes.saturating_add(room_for(raw_bytes, json_bytes))
    }

    fn world(&self) -> WorldConfig {
        WorldConfig {
            seed: self.seed,
            conversations: self.conversations,
            hours: HOURS,
            parts_per_hour: 1,
            conversations_per_part: CONVERSATIONS_PER_FILE,
            ..WorldConfig::default()
        }
    }

    /// Writes the files into a folder that does not exist yet.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let written = write_corpus(folder, &self.world(), BodyOptions::default());
        written.map(drop).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
    }

    /// Starts the account that the files are of. It reads them from the folder: making them anew would be measured too.
    pub(super) fn serve(&self, runtime: &tokio::runtime::Runtime, folder: &Path) -> Result<Served, Failure> {
        let config = SimulatorConfig {
            world: self.world(),
            messaging: MessagingConfig { conversations: 0, ..MessagingConfig::default() },
            ready_files: Some(folder.to_owned()),
            ..SimulatorConfig::default()
        };
        let simulator =
            runtime.block_on(start(config)).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let address = Account {
            account_id: self.world().account_id,
            api: simulator.base_url(),
            downloads: simulator.download_base_url(),
            now_ms: simulator.now_ms(),
        };
        Ok(Served { simulator, address })
    }
}
