//! Holes that somebody accepted: hours that the source cannot fill any more, with who said so, when and why.
//!
//! An acceptance is an event of the chain and nothing else. It names, per range of hours, the files that were known and not
//! here at that time; a file that turns up later is not among them, so its hour counts as a gap again.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chain::{self, EventKind};
use super::coverage::{EntryState, LedgerEntry};
use super::entry::Window;
use super::error::ArchiveError;
use super::layout::{check_window, checked_stream};
use super::windows::{WindowCoverage, WindowState};
use super::{Archive, Coverage};

/// One `acknowledged` event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Its place in the chain.
    pub seq: u64,
    /// When, epoch milliseconds.
    pub time_ms: i64,
    /// Who.
    pub actor: String,
    /// Why, in the words that were given.
    pub reason: String,
    /// For which hours.
    pub windows: Vec<AcceptedWindow>,
}

/// A range of hours that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedWindow {
    /// Start of the first hour.
    pub start_ms: i64,
    /// End of the last one.
    pub end_ms: i64,
    /// Names in these hours that were listed once, or came damaged, and are not here.
    #[serde(default)]
    pub names: BTreeSet<String>,
}

impl Archive {
    /// Accepts hours of a stream as lost for good: one `acknowledged` event.
    ///
    /// # Errors
    /// [`BadWindow`](ArchiveError::BadWindow) for a range that is empty or out of the calendar;
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors.
    pub fn accept_gaps(&self, stream: &str, windows: &[AcceptedWindow], reason: &str) -> Result<(), ArchiveError> {
        checked_stream(stream)?;
        for window in windows {
            check_window(Window { start_ms: window.start_ms, end_ms: window.end_ms })?;
        }
        let payload = json!({ "stream": stream, "windows": windows, "reason": reason });
        self.record_event(EventKind::Acknowledged, payload)
    }

    /// What was accepted for a stream, oldest first.
    ///
    /// # Errors
    /// Ledger errors.
    pub fn acceptances_in(&self, stream: &str) -> Result<Vec<Acceptance>, ArchiveError> {
        self.ledger().read(|connection| acceptances(connection, stream))
    }
}

fn acceptances(connection: &Connection, stream: &str) -> rusqlite::Result<Vec<Acceptance>> {
    let mut found = Vec::new();
    for event in chain::events_of_kind(connection, EventKind::Acknowledged)? {
        let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
        // One that a later program wrote in another way accepts nothing here.
        let Ok(windows) = serde_json::from_value(payload["windows"].clone()) else { continue };
        if payload["stream"] == stream {
            let reason = payload["reason"].as_str().unwrap_or_default().to_owned();
            let (seq, time_ms, actor) = (event.seq, event.time_ms, event.actor);
            found.push(Acceptance { seq, time_ms, actor, reason, windows });
        }
    }
    Ok(found)
}

impl Coverage {
    /// Marks the hours that an acceptance covers. Only what the source cannot fill any more can be accepted.
    pub(super) fn accept(&mut self, acceptances: Vec<Acceptance>, entries: &[LedgerEntry]) {
        for window in self.windows.iter_mut().filter(|_| !acceptances.is_empty()) {
            let lacking = lacking(window, entries);
            let covers =
                |acceptance: &&Acceptance| acceptance.windows.iter().any(|range| range.covers(window, &lacking));
            if window.state == WindowState::Expired {
                window.accepted = acceptances.iter().rev().find(covers).map(|acceptance| acceptance.seq);
            }
        }
        self.acceptances = acceptances;
    }

    /// The acceptance that covers an hour.
    pub fn acceptance_of(&self, window: &WindowCoverage) -> Option<&Acceptance> {
        self.acceptances.iter().find(|acceptance| Some(acceptance.seq) == window.accepted)
    }
}

impl AcceptedWindow {
    /// What there is to accept in an hour: itself, and its names that are not here.
    pub fn of(window: Window, coverage: &WindowCoverage, entries: &[LedgerEntry]) -> AcceptedWindow {
        let names = lacking(coverage, entries).into_iter().map(str::to_owned).collect();
        AcceptedWindow { start_ms: window.start_ms, end_ms: window.end_ms, names }
    }

    fn covers(&self, coverage: &WindowCoverage, lacking: &BTreeSet<&str>) -> bool {
        let is_inside =
            coverage.window.is_some_and(|hour| self.start_ms <= hour.start_ms && hour.end_ms <= self.end_ms);
        is_inside && lacking.iter().all(|name| self.names.contains(*name))
    }
}

/// The names of an hour that count and are not here. `entries` are sorted by their windows.
fn lacking<'e>(coverage: &WindowCoverage, entries: &'e [LedgerEntry]) -> BTreeSet<&'e str> {
    let Some(hour) = coverage.window.filter(|_| coverage.unfetched > 0) else { return BTreeSet::new() };
    let start_of = |entry: &LedgerEntry| entry.window.map(|window| window.start_ms);
    let first = entries.partition_point(|entry| start_of(entry) < Some(hour.start_ms));
    let inside = entries[first..].iter().take_while(|entry| start_of(entry) < Some(hour.end_ms));
    let counts = |entry: &&LedgerEntry| entry.state != EntryState::Fetched;
    inside.filter(counts).map(|entry| entry.name.as_str()).collect()
}
