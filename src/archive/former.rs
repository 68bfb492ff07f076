//! What an unreadable `vault.db` still tells, read from a copy.
//!
//! Two degrees. Where every row can be read and the chain is whole, only SQLite's own structures are broken, and the
//! rows move to a new database with the chain as it was ([`copy_whole`]). Otherwise what rows of the manifest can be read
//! are read, from both ends towards the damage, and what the publishing events tell beside them ([`Salvaged::read`]).

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read, Seek, Write};
use std::path::Path;

use rusqlite::{Connection, Row};
use serde_json::{Value, json};

use super::chain::{self, Event};
use super::check::Container;
use super::entry::{Provenance, Sha256Hex, Window};
use super::error::ArchiveError;
use super::layout;
use super::schema::{self, TABLES, Table};

/// A row of the former manifest.
#[derive(Clone, Debug)]
pub(super) struct FormerRow {
    pub(super) stream: String,
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) path: String,
    pub(super) window: Option<Window>,
    pub(super) sha256: Sha256Hex,
    pub(super) size_bytes: u64,
    pub(super) container: Container,
    pub(super) inflated_bytes: u64,
    pub(super) stored_at_ms: i64,
    pub(super) provenance: Provenance,
}

/// What could be read.
#[derive(Debug, Default)]
pub(super) struct Salvaged {
    /// By path.
    pub(super) rows: BTreeMap<String, FormerRow>,
    pub(super) account_id: Option<String>,
    /// The last event up to which the former chain could be read unbroken: sequence and hash.
    pub(super) chain_to: Option<(u64, Sha256Hex)>,
}

const COLUMNS: &str = "stream, name, version, path, window_start_ms, window_end_ms, sha256, size_bytes, container, \
                       inflated_bytes, stored_at_ms, provenance";
const EVENTS: &str = "SELECT seq, time_ms, actor, kind, payload, prev_hash, hash FROM events ORDER BY seq";

impl Salvaged {
    /// Reads what can be read of the database at `path`, a copy that nobody else uses.
    pub(super) fn read(path: &Path) -> Salvaged {
        let mut salvaged = Salvaged::default();
        let Ok(connection) = schema::open_to_salvage(path) else { return salvaged };
        let account = "SELECT value FROM meta WHERE key = 'account_id'";
        salvaged.account_id = connection.query_row(account, [], |row| row.get(0)).ok();
        for order in ["ASC", "DESC"] {
            let rows = format!("SELECT {COLUMNS} FROM files NOT INDEXED ORDER BY sequence {order}");
            until_damage(&connection, &rows, |row| salvaged.take(former_row(row)));
        }
        let mut before = Some((0, Sha256Hex([0; 32])));
        until_damage(&connection, EVENTS, |row| {
            let Ok(event) = chain::event_row(row) else { return before = None };
            if let Some(row) = row_of_event(&event) {
                salvaged.take(Some(row));
            }
            before = before.filter(|(seq, hash)| follows(&event, *seq, hash)).map(|_| (event.seq, event.hash));
            salvaged.chain_to = before.or(salvaged.chain_to);
        });
        until_damage(&connection, &EVENTS.replace("ORDER BY seq", "ORDER BY seq DESC"), |row| {
            let event = chain::event_row(row).ok();
            salvaged.take(event.as_ref().and_then(row_of_event));
        });
        salvaged
    }

    /// Two accounts of one row that differ speak against each other: neither is believed.
    fn take(&mut self, row: Option<FormerRow>) {
        let Some(row) = row else { return };
        match self.rows.get(&row.path) {
            Some(known) if known.sha256 != row.sha256 => {
                self.rows.remove(&row.path);
            }
            Some(_) => {}
            None => {
                self.rows.insert(row.path.clone(), row);
            }
        }
    }
}

/// Calls `take` for every row until the end or the first page that cannot be read.
fn until_damage(connection: &Connection, sql: &str, mut take: impl FnMut(&Row<'_>)) {
    let Ok(mut statement) = connection.prepare(sql) else { return };
    let Ok(mut rows) = statement.query([]) else { return };
    while let Ok(Some(row)) = rows.next() {
        take(row);
    }
}

fn follows(event: &Event, seq: u64, hash: &Sha256Hex) -> bool {
    let text = chain::preimage(event.seq, event.time_ms, &event.actor, &event.kind, &event.payload, &event.prev_hash);
    event.seq == seq + 1 && event.prev_hash == *hash && Sha256Hex::of(text.as_bytes()) == event.hash
}

fn former_row(row: &Row<'_>) -> Option<FormerRow> {
    let window = row.get::<_, Option<i64>>(4).ok()?.zip(row.get::<_, Option<i64>>(5).ok()?);
    let provenance: String = row.get(11).ok()?;
    let former = FormerRow {
        stream: row.get(0).ok()?,
        name: row.get(1).ok()?,
        version: row.get(2).ok()?,
        path: row.get(3).ok()?,
        window: window.map(|(start_ms, end_ms)| Window { start_ms, end_ms }),
        sha256: chain::hash_column(row, 6).ok()?,
        size_bytes: row.get(7).ok()?,
        container: container(&row.get::<_, String>(8).ok()?)?,
        inflated_bytes: row.get(9).ok()?,
        stored_at_ms: row.get(10).ok()?,
        provenance: serde_json::from_str(&provenance).ok()?,
    };
    former.is_sound().then_some(former)
}

/// The row that a publishing event tells, whole.
fn row_of_event(event: &Event) -> Option<FormerRow> {
    if !matches!(event.kind.as_str(), "fetched" | "imported") {
        return None;
    }
    let payload: Value = serde_json::from_str(&event.payload).ok()?;
    let text = |key: &str| payload[key].as_str().map(str::to_owned);
    let former = FormerRow {
        stream: text("stream")?,
        name: text("name")?,
        version: payload["version"].as_u64()?.try_into().ok()?,
        path: text("path")?,
        window: serde_json::from_value(payload["window"].clone()).ok()?,
        sha256: payload["sha256"].as_str()?.parse().ok()?,
        size_bytes: payload["size_bytes"].as_u64()?,
        container: container(payload["container"].as_str()?)?,
        inflated_bytes: payload["inflated_bytes"].as_u64()?,
        stored_at_ms: event.time_ms,
        provenance: serde_json::from_value(payload["provenance"].clone()).ok()?,
    };
    former.is_sound().then_some(former)
}

impl FormerRow {
    /// Whether the archive could have written it: a damaged page may hold anything.
    fn is_sound(&self) -> bool {
        let names = layout::checked_stream(&self.stream).is_ok() && layout::checked_name(&self.name).is_ok();
        let window = self.window.is_none_or(|window| layout::check_window(window).is_ok());
        let folder = format!("{}/{}/", layout::FILES, self.stream);
        let lies_inside = self
            .path
            .strip_prefix(&folder)
            .is_some_and(|inside| inside.split('/').all(|part| layout::checked_name(part).is_ok() && !part.is_empty()));
        names && window && lies_inside && self.version >= 1 && self.size_bytes >= 1
    }
}

fn container(word: &str) -> Option<Container> {
    [Container::Gzip, Container::Zip, Container::Plain].into_iter().find(|container| container.as_str() == word)
}

/// The first bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The page size of every `vault.db`: SQLite's default, which this program never changes.
const PAGE_BYTES: u16 = 4096;
/// Length of the header that stands in front of the first page's tree.
const HEADER_BYTES: usize = 100;

/// Puts a new header where that of a copied database is lost and the tree of the first page still begins behind it: the header
/// holds nothing that is not known, and every row lies behind it. Whether it holds the rows is for the reader to find out.
///
/// # Errors
/// What keeps the copy from being read or written.
pub(super) fn mend_header(copy: &Path) -> std::io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(copy) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        outcome => outcome?,
    };
    let mut head = Vec::with_capacity(HEADER_BYTES + 1);
    (&mut file).take(HEADER_BYTES as u64 + 1).read_to_end(&mut head)?;
    // 5 and 13: an inner page and a leaf of a table.
    let begins_a_table = matches!(head.get(HEADER_BYTES), Some(5 | 13));
    if head.starts_with(MAGIC) || !begins_a_table {
        return Ok(());
    }
    let pages = u32::try_from(file.metadata()?.len() / u64::from(PAGE_BYTES)).unwrap_or(u32::MAX);
    let log = std::fs::metadata(schema::beside(copy, "-wal")).is_ok_and(|found| found.len() > 0);
    // https://www.sqlite.org/fileformat.html#the_database_header
    let version = if log { 2 } else { 1 };
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend(MAGIC);
    header.extend(PAGE_BYTES.to_be_bytes());
    header.extend([version, version, 0, 64, 32, 32]);
    // Change counter, pages, two fields of the list of free pages, schema cookie, schema format, cache, vacuum.
    [1, pages, 0, 0, 1, 4, 0, 0].iter().for_each(|field: &u32| header.extend(field.to_be_bytes()));
    // UTF-8, the vault's format and mark, and the change counter for which the number of pages holds.
    let (format, mark) = (schema::FORMAT as u32, schema::APPLICATION_ID as u32);
    [1, format, 0, mark].iter().for_each(|field| header.extend(field.to_be_bytes()));
    header.resize(92, 0);
    [1_u32, 3_046_000].iter().for_each(|field| header.extend(field.to_be_bytes()));
    file.rewind()?;
    file.write_all(&header)
}

/// Copies every row of the database at `from` into a new one at `to`. `false`, and nothing left at `to`, where a row cannot be
/// read, the chain does not hold, or a row of the manifest does not agree with it.
pub(super) fn copy_whole(from: &Path, to: &Path) -> Result<bool, ArchiveError> {
    if schema::open_to_salvage(from).and_then(|old| old.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))).is_err()
    {
        return Ok(false);
    }
    let copied = schema::build_from(
        to,
        |connection| {
            connection.execute("ATTACH DATABASE ?1 AS old", [from.to_string_lossy()])?;
            Ok(())
        },
        |transaction| {
            let format: i64 = transaction.query_row("PRAGMA old.user_version", [], |row| row.get(0))?;
            for Table { name, order, since } in TABLES {
                // Only an older format may lack a table: anywhere else its rows are lost, and this fails.
                if since > format && !schema::has_table(transaction, "old", name)? {
                    continue;
                }
                transaction
                    .execute_batch(&format!("INSERT INTO main.{name} SELECT * FROM old.{name} ORDER BY {order}"))?;
            }
            Ok(())
        },
    );
    let is_whole = copied.is_ok()
        && schema::open_reader(to).is_ok_and(|connection| {
            let holds = chain::walk(&connection).is_ok_and(|report| report.ok);
            let agrees = super::verify::altered_rows(&connection).is_ok_and(|altered| altered.is_empty());
            let account = "SELECT 1 FROM meta WHERE key = 'account_id'";
            let named = connection.query_row(account, [], |_| Ok(())).is_ok();
            holds && agrees && named && schema::has_integrity(&connection).is_ok_and(|found| found.is_none())
        });
    if !is_whole {
        schema::discard(to);
        // A full disk is no damage of the old database.
        if let Err(error @ (ArchiveError::DiskFull { .. } | ArchiveError::PermissionDenied { .. })) = copied {
            return Err(error);
        }
    }
    Ok(is_whole)
}

/// What the first event of a rebuilt chain says of the former one.
pub(super) fn former_chain(salvaged: &Salvaged) -> Value {
    salvaged.chain_to.map_or(Value::Null, |(seq, hash)| json!({ "seq": seq, "hash": hash.to_string() }))
}
