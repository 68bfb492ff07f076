//! The coverage side of `vault.db`: what was asked of a source, what it listed, and what became of each name.
//!
//! Facts only: which listing saw which name when, and whether its bytes are here. Whether a window is sealed, missing
//! or about to expire is arithmetic over these rows and the present time (`windows.rs`), so a changed rule needs no
//! changed history.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, Transaction, params};
use serde_json::json;

use super::chain::{self, EventKind};
use super::entry::{ListedFile, ListingOutcome, Sha256Hex, Window};
use super::error::ArchiveError;
use super::layout::{check_window, checked_name, checked_stream};
use super::ledger::{By, Ledger, window_columns, window_json};

/// What is known of one listed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Name as listed.
    pub name: String,
    /// The window the name stands for, where known.
    pub window: Option<Window>,
    /// When a listing first showed it, epoch milliseconds; `None` for a file that was never listed (imports).
    pub first_listed_ms: Option<i64>,
    /// When a listing last showed it.
    pub last_listed_ms: Option<i64>,
    /// The first listing that showed it ([`Listing::id`]).
    pub first_listing: Option<i64>,
    /// The last listing that showed it.
    pub last_listing: Option<i64>,
    /// Whether its bytes are here.
    pub state: EntryState,
}

/// What became of a listed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryState {
    /// Seen in a listing, bytes not here yet.
    Listed,
    /// Published.
    Fetched,
    /// What came was damaged; it waits to be fetched again.
    Damaged,
    /// Gone from the source before it was fetched, or gone from the disk.
    Missing,
    /// Past the source's retention, never fetched.
    Expired,
}

/// One question to a source and its outcome, without the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Its number; later listings have higher ones.
    pub id: i64,
    /// The range that was asked for.
    pub asked: Window,
    /// When, epoch milliseconds.
    pub listed_ms: i64,
    /// What it came to.
    pub outcome: ListingKind,
    /// How many different names it showed.
    pub names: u64,
    /// How many further entries it showed that could not be taken for names. Such a listing tells what is there, and
    /// proves nothing about what is not.
    pub refused: u64,
    /// SHA-256 over the sorted names, each followed by a line feed; equal for listings that agree.
    pub names_sha256: Option<Sha256Hex>,
}

/// The outcome of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListingKind {
    /// It showed files.
    Files,
    /// The source said that there is nothing.
    Empty,
    /// No usable answer, and why.
    Failed(String),
}

impl Listing {
    /// Whether there was a usable answer, if only that there is nothing.
    pub fn is_answered(&self) -> bool {
        !matches!(self.outcome, ListingKind::Failed(_))
    }
}

impl EntryState {
    /// The word in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryState::Listed => "listed",
            EntryState::Fetched => "fetched",
            EntryState::Damaged => "damaged",
            EntryState::Missing => "missing",
            EntryState::Expired => "expired",
        }
    }

    fn parse(word: &str) -> Option<EntryState> {
        use EntryState::*;
        [Listed, Fetched, Damaged, Missing, Expired].into_iter().find(|state| state.as_str() == word)
    }
}

/// Names and windows of a listing, checked, or the reason why there are none.
pub(crate) enum Seen<'a> {
    Files(Vec<(&'a str, Option<Window>)>),
    /// Things that are no files; counted and hashed, not kept.
    Ids(&'a BTreeSet<String>),
    Empty,
    Failed(&'a str),
}

impl<'a> Seen<'a> {
    pub(crate) fn of_outcome(outcome: &'a ListingOutcome) -> Seen<'a> {
        match outcome {
            ListingOutcome::Files { names } => Seen::Files(names.iter().map(|name| (name.as_str(), None)).collect()),
            ListingOutcome::Empty => Seen::Empty,
            ListingOutcome::Failed { reason } => Seen::Failed(reason),
        }
    }

    pub(crate) fn of_files(files: &'a [ListedFile]) -> Seen<'a> {
        Seen::Files(files.iter().map(|file| (file.name.as_str(), file.window)).collect())
    }
}

impl Ledger {
    /// Listing, entries and event in one transaction.
    pub(crate) fn add_listing(
        &mut self,
        by: By<'_>,
        stream: &str,
        asked: Window,
        seen: &Seen<'_>,
        refused: u64,
    ) -> Result<(), ArchiveError> {
        checked_stream(stream)?;
        check_window(asked)?;
        let (outcome, files, reason) = match seen {
            Seen::Files(files) => ("files", files.as_slice(), None),
            Seen::Ids(ids) => (if ids.is_empty() { "empty" } else { "files" }, &[][..], None),
            Seen::Empty => ("empty", &[][..], None),
            Seen::Failed(reason) => ("failed", &[][..], Some(*reason)),
        };
        for (name, window) in files {
            checked_name(name)?;
            window.map_or(Ok(()), check_window)?;
        }
        let names: BTreeSet<&str> = match seen {
            Seen::Ids(ids) => ids.iter().map(String::as_str).collect(),
            _ => files.iter().map(|(name, _)| *name).collect(),
        };
        let names_sha256 = (outcome != "failed").then(|| hash_of_names(&names).to_string());
        self.write(|transaction| {
            let mut new_names: Vec<&str> = Vec::new();
            let mut known = transaction.prepare_cached(
                "SELECT 1 FROM entries WHERE stream = ?1 AND name = ?2 AND first_listed_ms IS NOT NULL",
            )?;
            let kept = if matches!(seen, Seen::Ids(_)) { &BTreeSet::new() } else { &names };
            for name in kept {
                if !known.exists(params![stream, name])? {
                    new_names.push(name);
                }
            }
            let payload = json!({
                "stream": stream, "asked": window_json(Some(asked)), "outcome": outcome, "names": names.len(),
                "names_sha256": names_sha256, "new_names": new_names, "refused": refused, "reason": reason,
            });
            let event = chain::append(transaction, by.now_ms, by.actor, EventKind::Listed, &payload)?;
            transaction
                .prepare_cached(
                    "INSERT INTO listings (stream, asked_start_ms, asked_end_ms, listed_ms, outcome, names, \
                     names_sha256, refused, reason, event_seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    stream,
                    asked.start_ms,
                    asked.end_ms,
                    by.now_ms,
                    outcome,
                    names.len() as u64,
                    names_sha256,
                    refused,
                    reason,
                    event.seq
                ])?;
            let listing = transaction.last_insert_rowid();
            let mut upsert = transaction.prepare_cached(
                "INSERT INTO entries (stream, name, window_start_ms, window_end_ms, first_listed_ms, last_listed_ms, \
                 first_listing, last_listing, state) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?6, 'listed') \
                 ON CONFLICT (stream, name) DO UPDATE SET \
                   window_start_ms = coalesce(window_start_ms, ?3), window_end_ms = coalesce(window_end_ms, ?4), \
                   first_listed_ms = coalesce(first_listed_ms, ?5), last_listed_ms = ?5, \
                   first_listing = coalesce(first_listing, ?6), last_listing = ?6, \
                   state = CASE WHEN state IN ('missing', 'expired') THEN 'listed' ELSE state END",
            )?;
            for (name, window) in files {
                let (start, end) = (window.map(|w| w.start_ms), window.map(|w| w.end_ms));
                upsert.execute(params![stream, name, start, end, by.now_ms, listing])?;
            }
            Ok(())
        })
    }

    pub(crate) fn entries_in(&self, stream: &str) -> Result<Vec<LedgerEntry>, ArchiveError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, window_start_ms, window_end_ms, first_listed_ms, last_listed_ms, first_listing, \
                 last_listing, state FROM entries WHERE stream = ?1 ORDER BY window_start_ms, name",
            )?;
            statement.query_map([stream], entry_row)?.collect()
        })
    }

    pub(crate) fn listings_in(&self, stream: &str) -> Result<Vec<Listing>, ArchiveError> {
        self.read(|connection| listings(connection, stream))
    }
}

/// Notes that the bytes of a name are here.
pub(crate) fn mark_fetched(
    transaction: &Transaction<'_>,
    stream: &str,
    name: &str,
    window: Option<Window>,
) -> rusqlite::Result<()> {
    mark(transaction, stream, name, window, "fetched", "'fetched'")
}

/// Notes that what came was damaged, unless good bytes are here already.
pub(crate) fn mark_damaged(
    transaction: &Transaction<'_>,
    stream: &str,
    name: &str,
    window: Option<Window>,
) -> rusqlite::Result<()> {
    mark(transaction, stream, name, window, "damaged", "CASE WHEN state = 'fetched' THEN state ELSE 'damaged' END")
}

/// Notes what became of the bytes of a name, whatever was known before.
pub(crate) fn mark_state(
    transaction: &Transaction<'_>,
    stream: &str,
    name: &str,
    state: EntryState,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE entries SET state = ?3 WHERE stream = ?1 AND name = ?2")?
        .execute(params![stream, name, state.as_str()])
        .map(|_| ())
}

fn mark(
    transaction: &Transaction<'_>,
    stream: &str,
    name: &str,
    window: Option<Window>,
    first_state: &str,
    next_state: &str,
) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO entries (stream, name, window_start_ms, window_end_ms, state) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (stream, name) DO UPDATE SET window_start_ms = coalesce(window_start_ms, ?3), \
         window_end_ms = coalesce(window_end_ms, ?4), state = {next_state}"
    );
    let (start, end) = (window.map(|w| w.start_ms), window.map(|w| w.end_ms));
    transaction.prepare_cached(&sql)?.execute(params![stream, name, start, end, first_state])?;
    Ok(())
}

fn hash_of_names(sorted: &BTreeSet<&str>) -> Sha256Hex {
    let text: String = sorted.iter().flat_map(|name| [name, "\n"]).collect();
    Sha256Hex::of(text.as_bytes())
}

fn entry_row(row: &Row<'_>) -> rusqlite::Result<LedgerEntry> {
    let word: String = row.get(7)?;
    Ok(LedgerEntry {
        name: row.get(0)?,
        window: window_columns(row, 1)?,
        first_listed_ms: row.get(3)?,
        last_listed_ms: row.get(4)?,
        first_listing: row.get(5)?,
        last_listing: row.get(6)?,
        state: EntryState::parse(&word).ok_or_else(|| unknown_word(7, &word))?,
    })
}

fn listings(connection: &Connection, stream: &str) -> rusqlite::Result<Vec<Listing>> {
    let mut statement = connection.prepare_cached(
        "SELECT asked_start_ms, asked_end_ms, listed_ms, outcome, names, names_sha256, reason, id, \
         refused FROM listings WHERE stream = ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([stream], |row| {
        let word: String = row.get(3)?;
        let hash: Option<String> = row.get(5)?;
        Ok(Listing {
            id: row.get(7)?,
            asked: Window { start_ms: row.get(0)?, end_ms: row.get(1)? },
            listed_ms: row.get(2)?,
            outcome: match word.as_str() {
                "files" => ListingKind::Files,
                "empty" => ListingKind::Empty,
                "failed" => ListingKind::Failed(row.get::<_, Option<String>>(6)?.unwrap_or_default()),
                _ => return Err(unknown_word(3, &word)),
            },
            names: row.get(4)?,
            refused: row.get(8)?,
            names_sha256: hash.map(|text| text.parse().map_err(|_| unknown_word(5, &text))).transpose()?,
        })
    })?;
    rows.collect()
}

fn unknown_word(column: usize, word: &str) -> rusqlite::Error {
    let told = format!("unknown word {word:?}").into();
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, told)
}
