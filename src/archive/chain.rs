//! The audit chain: events that hold the hash of the one before, so that no past event can be changed unseen.
//!
//! Each row's hash is SHA-256 over a text of seven lines (see [`preimage`] and FORMAT.md), simple enough to be
//! recomputed by anybody without this program. SQL triggers refuse UPDATE and DELETE; the chain shows what was done
//! by force. What it cannot show by itself is a tail cut off: write the head down elsewhere and compare.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::anchor::claimed_tree;
use super::entry::Sha256Hex;
use super::tree::Tree;

/// First line of every preimage: names the format of the rest.
const PREIMAGE_HEADER: &str = "chatvault-event-1";

/// What happened. The word in the ledger is [`EventKind::as_str`]; kinds are only ever added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The vault was made; always the first row, and only there.
    Created,
    /// A source was asked what it has.
    Listed,
    /// A file was published after a download.
    Fetched,
    /// A file was published from the user's own disk.
    Imported,
    /// A published file that was missing on disk was put back, bytes unchanged.
    Restored,
    /// Bytes went to `quarantine/`.
    Quarantined,
    /// Something was turned away without keeping bytes: a name, a host, an entry.
    Refused,
    /// The archive was re-read.
    Verified,
    /// Something was mended.
    Repaired,
    /// A search was made where searches are recorded.
    Searched,
    /// Conversations left the vault.
    Exported,
    /// A legal hold was placed.
    Held,
    /// A legal hold was lifted.
    Released,
    /// Something was erased, with a receipt.
    Erased,
    /// The head of the chain was written down elsewhere.
    Anchored,
    /// Hours that cannot be had any more were accepted as lost.
    Acknowledged,
    /// A record shows that the source has erased personal data.
    Masked,
}

impl EventKind {
    /// The word in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Created => "created",
            EventKind::Listed => "listed",
            EventKind::Fetched => "fetched",
            EventKind::Imported => "imported",
            EventKind::Restored => "restored",
            EventKind::Quarantined => "quarantined",
            EventKind::Refused => "refused",
            EventKind::Verified => "verified",
            EventKind::Repaired => "repaired",
            EventKind::Searched => "searched",
            EventKind::Exported => "exported",
            EventKind::Held => "held",
            EventKind::Released => "released",
            EventKind::Erased => "erased",
            EventKind::Anchored => "anchored",
            EventKind::Acknowledged => "acknowledged",
            EventKind::Masked => "masked",
        }
    }
}

/// One row of the chain. Kinds are text here: a newer program may have written some that this one does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// 1, 2, 3 … without gaps.
    pub seq: u64,
    /// Epoch milliseconds UTC, by the clock of the machine that wrote it.
    pub time_ms: i64,
    /// Who acted.
    pub actor: String,
    /// What happened: one of [`EventKind::as_str`].
    pub kind: String,
    /// Canonical JSON, exactly as hashed.
    pub payload: String,
    /// Hash of the row before; 64 zeros in the first.
    pub prev_hash: Sha256Hex,
    /// Hash of this row.
    pub hash: Sha256Hex,
}

/// What walking the whole chain found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// Rows read.
    pub rows: u64,
    /// Every row follows from the one before, and every anchor's tree is that of the rows before it.
    pub ok: bool,
    /// Hash of the last row, as stored; `None` in an empty chain.
    pub head: Option<String>,
    /// The `seq` that the first wrong row has, or should have; `None` if all is well.
    pub broken_at: Option<u64>,
}

/// The text whose SHA-256 is a row's hash: seven lines, each ended by a line feed.
///
/// ```text
/// chatvault-event-1
/// <seq>
/// <time_ms>
/// <actor>
/// <kind>
/// <payload>
/// <prev_hash>
/// ```
/// No field can hold a line feed: canonical JSON escapes it, and the others are cleaned when they are written.
pub fn preimage(seq: u64, time_ms: i64, actor: &str, kind: &str, payload: &str, prev_hash: &Sha256Hex) -> String {
    format!("{PREIMAGE_HEADER}\n{seq}\n{time_ms}\n{actor}\n{kind}\n{payload}\n{prev_hash}\n")
}

/// JSON with keys sorted by code point and without spaces; text is raw UTF-8, escaped only where JSON demands it.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

/// Appends a row. The caller's transaction must have begun IMMEDIATE, so that no other process appends meanwhile.
pub(crate) fn append(
    transaction: &Transaction<'_>,
    time_ms: i64,
    actor: &str,
    kind: EventKind,
    payload: &Value,
) -> rusqlite::Result<Event> {
    let before = last(transaction)?;
    let (seq, prev_hash) = before.map_or((1, Sha256Hex([0; 32])), |(seq, hash)| (seq + 1, hash));
    let actor = one_line(actor);
    let payload = canonical_json(payload);
    let hash = Sha256Hex::of(preimage(seq, time_ms, &actor, kind.as_str(), &payload, &prev_hash).as_bytes());
    transaction
        .prepare_cached(
            "INSERT INTO events (seq, time_ms, actor, kind, payload, prev_hash, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![seq, time_ms, actor, kind.as_str(), payload, prev_hash.to_string(), hash.to_string()])?;
    Ok(Event { seq, time_ms, actor, kind: kind.as_str().to_owned(), payload, prev_hash, hash })
}

/// Sequence and hash of the last row.
pub(crate) fn last(connection: &Connection) -> rusqlite::Result<Option<(u64, Sha256Hex)>> {
    connection
        .prepare_cached("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, hash_column(row, 1)?)))
        .optional()
}

/// Up to `limit` events after `seq`, ascending.
pub(crate) fn events_after(connection: &Connection, seq: u64, limit: u64) -> rusqlite::Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, time_ms, actor, kind, payload, prev_hash, hash FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let rows = statement.query_map(params![seq, limit], event_row)?;
    rows.collect()
}

/// Every event of a kind, ascending. Reads the whole chain's kinds, but only the payloads of those it finds.
pub(crate) fn events_of_kind(connection: &Connection, kind: EventKind) -> rusqlite::Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, time_ms, actor, kind, payload, prev_hash, hash FROM events WHERE kind = ?1 ORDER BY seq",
    )?;
    let rows = statement.query_map([kind.as_str()], event_row)?;
    rows.collect()
}

/// The event `seq`.
pub(crate) fn event(connection: &Connection, seq: u64) -> rusqlite::Result<Option<Event>> {
    let Ok(seq) = i64::try_from(seq) else { return Ok(None) };
    connection
        .prepare_cached("SELECT seq, time_ms, actor, kind, payload, prev_hash, hash FROM events WHERE seq = ?1")?
        .query_row([seq], event_row)
        .optional()
}

/// The last event of a kind up to `last`.
pub(crate) fn last_of_kind(connection: &Connection, kind: EventKind, last: u64) -> rusqlite::Result<Option<Event>> {
    connection
        .prepare_cached(
            "SELECT seq, time_ms, actor, kind, payload, prev_hash, hash FROM events \
             WHERE kind = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(params![kind.as_str(), last], event_row)
        .optional()
}

/// Recomputes every hash from the first row to the last. Memory is one row.
pub(crate) fn walk(connection: &Connection) -> rusqlite::Result<ChainReport> {
    let mut report = ChainReport { rows: 0, ok: true, head: None, broken_at: None };
    let mut expected_prev = Sha256Hex([0; 32]).to_string();
    let mut statement =
        connection.prepare("SELECT seq, time_ms, actor, kind, payload, prev_hash, hash FROM events ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut tree = Tree::default();
    while let Some(row) = rows.next()? {
        let (seq, time_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (actor, kind, payload): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let (prev_hash, hash): (String, String) = (row.get(5)?, row.get(6)?);
        report.rows += 1;
        let in_order = u64::try_from(seq) == Ok(report.rows);
        let first_is_creation = report.rows > 1 || kind == EventKind::Created.as_str();
        let text = format!("{PREIMAGE_HEADER}\n{seq}\n{time_ms}\n{actor}\n{kind}\n{payload}\n{prev_hash}\n");
        let follows = prev_hash == expected_prev && hash == Sha256Hex::of(text.as_bytes()).to_string();
        let holds = in_order && first_is_creation && follows && anchors_truly(row, &tree, report.rows)?;
        if report.broken_at.is_none() && !holds {
            report.broken_at = Some(report.rows);
        }
        if report.broken_at.is_none() {
            tree.push(&hash_column(row, 6)?);
        }
        expected_prev.clone_from(&hash);
        report.head = Some(hash);
    }
    if report.rows == 0 {
        report.broken_at = Some(1);
    }
    report.ok = report.broken_at.is_none();
    Ok(report)
}

/// Does an `anchored` row claim the tree that the rows before it have? Any other row does.
fn anchors_truly(row: &rusqlite::Row<'_>, tree: &Tree, seq: u64) -> rusqlite::Result<bool> {
    if row.get_ref(3)?.as_str() != Ok(EventKind::Anchored.as_str()) {
        return Ok(true);
    }
    let claimed = claimed_tree(&event_row(row)?);
    Ok(claimed.is_none_or(|(covered, root)| covered + 1 == seq && tree.root() == Some(root)))
}

pub(crate) fn event_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        seq: row.get(0)?,
        time_ms: row.get(1)?,
        actor: row.get(2)?,
        kind: row.get(3)?,
        payload: row.get(4)?,
        prev_hash: hash_column(row, 5)?,
        hash: hash_column(row, 6)?,
    })
}

/// A hash stored as hex text.
pub(crate) fn hash_column(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Sha256Hex> {
    let text: String = row.get(index)?;
    text.parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error)))
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            // Sorted here: whether serde_json keeps insertion order depends on features that other crates switch on.
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (position, (key, field)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_canonical(field, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn canonical_json_sorts_keys_and_drops_spaces() {
        let value =
            json!({"b": [1, {"z": null, "a": "é\n"}], "a": {"y": true, "x": 1.5}, "B": 18446744073709551615_u64});
        assert_eq!(
            canonical_json(&value),
            r#"{"B":18446744073709551615,"a":{"x":1.5,"y":true},"b":[1,{"a":"é\n","z":null}]}"#
        );
    }

    #[test]
    fn the_hash_of_a_known_row_never_changes() {
        let text = preimage(1, 1_700_000_000_000, "chatvault", "created", r#"{"a":1}"#, &Sha256Hex([0; 32]));
        assert_eq!(text.lines().count(), 7);
        assert_eq!(
            Sha256Hex::of(text.as_bytes()).to_string(),
            "53213dd1227d422db91409579f3691ead7ecdad64b634ba87238a7590c418eba"
        );
    }
}
