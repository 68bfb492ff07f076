//! The part of a vault's ledger that travels in its bags, under `data/ledger/`: what is written there and how it is
//! checked before a file of the bag is taken.
//!
//! `export.json` says what was asked for, `files.ndjson` has a row per file, `events.ndjson` the events, `head.json` the
//! head they lead to (an anchor that `chatvault audit check` compares with the vault), `hits.ndjson` the conversations
//! that were searched for. FORMAT.md describes them.

use crate::archive::{ExtractCheck, FileRow, Head, ProvenEvent, Refusal, Scope};
use crate::bag::{ValidBag, is_safe_to_write};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

/// The folder, in the bag.
pub(super) const FOLDER: &str = "data/ledger/";
pub(super) const EXPORT: &str = "data/ledger/export.json";
pub(super) const FILES: &str = "data/ledger/files.ndjson";
pub(super) const EVENTS: &str = "data/ledger/events.ndjson";
pub(super) const HEAD: &str = "data/ledger/head.json";
pub(super) const HITS: &str = "data/ledger/hits.ndjson";
pub(super) const READ_ME: &str = "data/ledger/README.txt";
pub(super) const CHECKER: &str = "data/ledger/check_bag.py";

/// The text beside the ledger, for whoever receives the bag.
pub(super) const READ_ME_TEXT: &str = include_str!("../../data/bag-readme.txt");
/// Checks the ledger of a bag without this program.
pub(super) const CHECKER_TEXT: &str = include_str!("../../data/check_bag.py");

/// The `type` of `export.json`.
const KIND: &str = "bag";
/// Longest line of `files.ndjson` and `events.ndjson`; a row with its provenance has some 2 kB.
const LINE_BYTES: u64 = 1 << 20;

/// `export.json`: what the bag holds, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExportNote {
    pub(super) schema_version: u32,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) account_id: String,
    /// As it was typed.
    pub(super) query: String,
    pub(super) scope: Scope,
    /// Conversations that match, where the query was not for everything.
    pub(super) conversations: Option<u64>,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Files whose event nothing ties to the head.
    pub(super) untied: u64,
    pub(super) head: Head,
    pub(super) program: String,
}

impl ExportNote {
    pub(super) fn kind() -> String {
        KIND.to_owned()
    }
}

/// A line of `files.ndjson`: the row, and where the file lies in the bag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BagRow {
    /// Path in the bag.
    pub(super) payload: String,
    #[serde(flatten)]
    pub(super) row: FileRow,
}

/// `data/` and the path inside the vault; a name that not every validator reads alike gets another one.
pub(super) fn payload_path(row: &FileRow) -> String {
    if is_safe_to_write(&row.path) {
        return format!("data/{}", row.path);
    }
    let safe = |c: char| if is_safe_to_write(&format!("{c}.")) { c } else { '_' };
    let name: String = row.name.trim_end().chars().map(safe).collect();
    format!("data/renamed/{}-{name}", row.sequence)
}

/// The ledger of a bag, consistent in itself and with the payload.
pub(super) struct BagLedger {
    pub(super) note: ExportNote,
}

/// The ledger in a bag; `None` for a bag of another program.
///
/// # Errors
/// What does not hold. The bag must not be imported then: its ledger says something that its files or events deny.
pub(super) fn read(bag: &ValidBag) -> Result<Option<BagLedger>, Refusal> {
    if !bag.payload.contains_key(EXPORT) {
        return Ok(None);
    }
    let mut text = Vec::new();
    let read = File::open(bag.place(EXPORT)).and_then(|file| file.take(LINE_BYTES).read_to_end(&mut text));
    read.map_err(|error| refusal(EXPORT, error))?;
    let note = match serde_json::from_slice::<ExportNote>(&text) {
        Ok(note) if note.kind == KIND && note.schema_version == 1 => note,
        // Another program may have a file of this name.
        Err(_) if !bag.payload.contains_key(FILES) => return Ok(None),
        Ok(_) => return Err(Refusal(format!("{EXPORT} is of another version; use a newer chatvault"))),
        Err(error) => return Err(refusal(EXPORT, error)),
    };
    check(bag, &note)?;
    Ok(Some(BagLedger { note }))
}

/// Walks rows and events side by side; both are in the order of the chain. Memory is one of each.
fn check(bag: &ValidBag, note: &ExportNote) -> Result<(), Refusal> {
    let mut events = lines::<ProvenEvent>(bag, EVENTS)?;
    let mut extract = ExtractCheck::new(note.scope, note.head);
    let (mut files, mut bytes, mut last) = (0, 0, 0);
    for row in lines::<BagRow>(bag, FILES)? {
        let BagRow { payload, row } = row?;
        let held = bag.payload.get(&payload).filter(|_| !payload.starts_with(FOLDER));
        if held.is_none_or(|held| held.sha256 != row.sha256 || held.size_bytes != row.size_bytes) {
            return Err(Refusal(format!("{FILES} names {payload:?}, which is not in the bag with these bytes")));
        }
        // So no file is named twice: each has a sequence of its own, and the place that its row gives it.
        if row.sequence <= last || payload != payload_path(&row) {
            return Err(Refusal(format!("{FILES} names {payload:?} out of its order or place")));
        }
        last = row.sequence;
        loop {
            let proven = events.next().ok_or_else(|| Refusal(format!("{EVENTS} lacks event {}", row.event_seq)))??;
            extract.take(&proven)?;
            if proven.event.seq >= row.event_seq {
                row.agrees_with(&proven.event)?;
                break;
            }
        }
        files += 1;
        bytes += row.size_bytes;
    }
    for proven in events {
        extract.take(&proven?)?;
    }
    let untied = extract.finish()?;
    if (files, bytes, untied) != (note.files, note.bytes, note.untied) {
        return Err(Refusal(format!("{EXPORT} does not count what {FILES} and {EVENTS} hold")));
    }
    let unlisted = bag.payload.keys().filter(|path| !path.starts_with(FOLDER)).count() as u64;
    if unlisted != files {
        return Err(Refusal(format!("the bag holds {unlisted} files, {FILES} names {files}")));
    }
    Ok(())
}

/// The rows, in their order; [`read`] must have passed the bag.
pub(super) fn rows(bag: &ValidBag) -> Result<impl Iterator<Item = Result<BagRow, Refusal>> + use<>, Refusal> {
    lines(bag, FILES)
}

fn refusal(path: &str, error: impl std::fmt::Display) -> Refusal {
    Refusal(format!("{path}: {error}"))
}

/// One JSON document a line.
fn lines<T: DeserializeOwned>(
    bag: &ValidBag,
    path: &'static str,
) -> Result<impl Iterator<Item = Result<T, Refusal>> + use<T>, Refusal> {
    let file = File::open(bag.place(path)).map_err(|error| refusal(path, error))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    Ok(std::iter::from_fn(move || {
        line.clear();
        match reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_slice(&line).map_err(|error| refusal(path, error))),
            Err(error) => Some(Err(refusal(path, error))),
        }
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_risky_name_gets_another_place() {
        let row = |name: &str| -> FileRow {
            serde_json::from_value(serde_json::json!({
                "sequence": 7, "stream": "imported", "name": name, "version": 1, "window": null, "container": "gzip",
                "path": format!("files/imported/undated/{name}"), "sha256": "0".repeat(64), "size_bytes": 1,
                "inflated_bytes": 1, "stored_at_ms": 1, "provenance": {}, "event_seq": 2,
            }))
            .unwrap()
        };
        assert_eq!(payload_path(&row("a b 退款.gz")), "data/files/imported/undated/a b 退款.gz");
        assert_eq!(payload_path(&row("50% off.gz")), "data/renamed/7-50_ off.gz");
        assert_eq!(payload_path(&row("a\u{3000}")), "data/renamed/7-a");
    }
}
