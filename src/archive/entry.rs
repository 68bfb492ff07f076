//! The parcels that cross the archive's border: windows, hashes, provenance, archived files, outcomes.
//!
//! Plain data without behaviour that touches a disk. Times are epoch milliseconds UTC, ranges are half-open,
//! sizes are bytes as received (compressed where the source compressed them).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::anchor::Head;
use super::check::Damage;

/// Half-open UTC window in epoch milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Window {
    /// First millisecond inside.
    pub start_ms: i64,
    /// First millisecond after.
    pub end_ms: i64,
}

/// SHA-256 of the bytes as received. `Display` is 64 lower-case hex digits; serde uses the same text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Hex(
    /// The 32 bytes of the digest.
    pub [u8; 32],
);

/// Where bytes came from. Never holds a secret. Stored as canonical JSON in the file's row and in the audit event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// URL without query secrets, or `import:` followed by the path as the user gave it.
    pub origin: String,
    /// Request headers that matter (`accept` …), never `authorization` or `cookie`.
    pub request: BTreeMap<String, String>,
    /// What came back: status, content-type, content-length, etag, last-modified, date …
    pub response: BTreeMap<String, String>,
    /// The server's `Date` minus the local clock at receipt, milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Program that received the bytes, such as `chatvault 0.1.0`.
    pub program: String,
    /// Set for a salvage file: these are not the bytes that came, but what could be read of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salvage: Option<Salvage>,
    /// How the bytes came here if not from their source: every hand-over since, oldest first. The fields above then
    /// still tell of the first receipt. Left out of the JSON where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custody: Vec<Handover>,
}

/// One hand-over: the bytes came out of a bag (BagIt, RFC 8493) that had been validated as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// `import:` followed by the path of the file in the bag, as the user gave it.
    pub origin: String,
    /// SHA-256 of the bag's payload manifest; the sender's `exported` event names the same.
    pub bag: Sha256Hex,
    /// `External-Identifier` of the bag, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// What the sender's ledger said of the file; absent where the bag came from another program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<SenderRow>,
    /// Program that took the bytes out of the bag.
    pub program: String,
}

/// A file as it stood in the ledger of the vault that handed it over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderRow {
    /// Account of that vault.
    pub account_id: String,
    /// Its row.
    pub sequence: u64,
    /// Its path inside that vault.
    pub path: String,
    /// When it was committed there, epoch milliseconds.
    pub stored_at_ms: i64,
    /// The event that published it there.
    pub event_seq: u64,
    /// The head of that vault's chain that came with it.
    pub head: Head,
}

/// Of which damaged bytes a salvage file was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salvage {
    /// Where the damaged bytes are kept: path relative to the vault, starting with `quarantine/`. `None`, as in the fields below,
    /// where the ledger was lost together with these bytes; nothing then counts as proven.
    pub quarantined_as: Option<String>,
    /// Their SHA-256.
    pub sha256: Option<Sha256Hex>,
    /// How the readable part ends.
    pub damage: Damage,
    /// Offset in them at which reading failed; of a corrupt file the damage lies somewhere before it.
    pub damaged_at_byte: Option<u64>,
    /// Inflated bytes that can be read: the content of the salvage file. Of a corrupt file not all of them need be right.
    pub good_bytes: u64,
    /// Those of them whose check sum was compared; the others came out without an error, and nothing else speaks for them.
    pub proven_bytes: u64,
}

/// A published file: one row of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedFile {
    /// 1, 2, 3 … in the order the rows were committed; the index's checkpoint.
    pub sequence: u64,
    /// Stream, such as `data-access/engagement`.
    pub stream: String,
    /// Name as listed; a name that cannot be kept as it is was refused.
    pub name: String,
    /// Relative to the vault, `/`-separated, starts with `files/`.
    pub path: String,
    /// 1, 2 …: the same name with other bytes.
    pub version: u32,
    /// The window the file stands for, where the source has windows.
    pub window: Option<Window>,
    /// SHA-256 of the bytes as received.
    pub sha256: Sha256Hex,
    /// Size as received.
    pub size_bytes: u64,
    /// When the row was committed, epoch milliseconds.
    pub stored_at_ms: i64,
    /// Where the bytes came from.
    pub provenance: Provenance,
}

/// One entry of a listing as LivePerson showed it, after the name passed [`checked_name`](super::layout::checked_name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Stream, such as `data-access/engagement`.
    pub stream: String,
    /// Name as listed.
    pub name: String,
    /// The window in the name, where there is one.
    pub window: Option<Window>,
    /// Where to fetch it.
    pub href: String,
}

/// What a listing call came to. Empty is told apart from failed: only the source's own word makes a range empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListingOutcome {
    /// The names that were listed.
    Files {
        /// Names as listed, in any order.
        names: Vec<String>,
    },
    /// The source said that there is nothing in this range.
    Empty,
    /// No usable answer.
    Failed {
        /// Why, in words without secrets.
        reason: String,
    },
}

/// Outcome of handing bytes to the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// The first bytes under that name.
    New(ArchivedFile),
    /// Same name, other bytes: kept beside the old ones.
    NewVersion(ArchivedFile),
    /// Same bytes under that name: nothing changed.
    Already(ArchivedFile),
    /// Same bytes under that name, whose file was gone or damaged: it has been put back. The row is the old one.
    Restored(ArchivedFile),
}

impl Published {
    /// The row, whatever the outcome.
    pub fn file(&self) -> &ArchivedFile {
        match self {
            Published::New(file)
            | Published::NewVersion(file)
            | Published::Already(file)
            | Published::Restored(file) => file,
        }
    }
}

/// What the caller knows about a body when it hands it over.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// The window the file stands for; decides its folder.
    pub window: Option<Window>,
    /// Length that the source promised (`Content-Length`); any other length is damage.
    pub expected_bytes: Option<u64>,
    /// Where the bytes came from.
    pub provenance: Provenance,
    /// Whether the bytes on disk are read again before a body counts as held already. They are in any case where the
    /// ledger knows of damage. Default: the size is enough.
    pub reread: bool,
}

/// What decoding found in a file, or in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Records, whether they could be read or not. 0 beside problems: the file could not be read to its end, and will be
    /// tried again.
    pub records: u64,
    /// Records that became conversations.
    pub conversations: u64,
    /// Problems met.
    pub problems: u64,
}

/// A file with records that no key at hand has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedFile {
    /// Of the file.
    pub sequence: u64,
    /// Records that wait for a key; at least one.
    pub records: u64,
    /// Keys that their messages name.
    pub key_ids: BTreeSet<String>,
    /// Keys that were at hand when the file was last read.
    pub tried: BTreeSet<String>,
}

/// Where the time comes from. A fixed clock is set by its owner and never moves by itself.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Epoch milliseconds held by the caller (tests).
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// Now, epoch milliseconds UTC.
    pub fn now_ms(&self) -> i64 {
        match self {
            Clock::System => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
            },
            Clock::Fixed(ms) => ms.load(Ordering::SeqCst),
        }
    }
}

impl Sha256Hex {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Sha256Hex {
        use sha2::{Digest, Sha256};
        Sha256Hex(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256: expected 64 hex digits")]
pub struct NotSha256;

impl FromStr for Sha256Hex {
    type Err = NotSha256;

    fn from_str(text: &str) -> Result<Sha256Hex, NotSha256> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(NotSha256);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Sha256Hex(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, NotSha256> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(NotSha256),
    }
}

impl Serialize for Sha256Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Sha256Hex, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_hex_digits_both_ways() {
        let hash = Sha256Hex::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        assert_eq!(text.to_uppercase().parse(), Ok(hash));
        assert_eq!(serde_json::to_string(&hash).unwrap(), format!("\"{text}\""));
        for wrong in ["", "ab", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(wrong.parse::<Sha256Hex>(), Err(NotSha256), "{wrong}");
        }
    }
}
