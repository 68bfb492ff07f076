//! The coverage ledger's arithmetic: from listings, entries and the present time to one state per stream and hour.
//!
//! Pure: the same rows and the same time give the same states, and nothing is stored. The hours are UTC hours; a name
//! belongs to the hour that its window starts in. Three terms carry the rest:
//!
//! * A listing **vouches** for an hour when it was answered, refused none of the entries that it showed, and its range
//!   holds the hour before, the hour itself and the hour after. Neither whether LivePerson's bounds are inclusive nor
//!   whether a file's start, end or making is compared with them is documented; with an hour on both sides it does not matter.
//! * An hour is **due** `seal_after` past its end. Before that a file that is not there yet is no news.
//! * An hour is **agreed** when two vouching listings tell the same names: none of its names is newer than the first of the two,
//!   all are still there in the second, and the second was made when the hour was due. A name that vanishes later
//!   (LivePerson deletes) takes nothing away; a name that turns up later does, until two further listings agree on it.
//!
//! FORMAT.md has the table of states. Entries that no listing ever showed (imports) count too: what came damaged of an hour is
//! lacking, whoever brought it. Only without an hour they do not: they could be of any.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::acceptance::Acceptance;
use super::coverage::{EntryState, LedgerEntry, Listing, ListingKind};
use super::entry::Window;

/// The unit of coverage. Data Access makes its files by the hour.
pub const HOUR_MS: i64 = 3_600_000;

/// What the arithmetic is told beside the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoverageRules {
    /// The present, epoch milliseconds.
    pub now_ms: i64,
    /// How far back is wanted from now; what was ever asked for is wanted too.
    pub start: Duration,
    /// An hour is due this long after its end.
    pub seal_after: Duration,
    /// The source deletes a file this long after the end of its hour.
    pub retention: Duration,
}

/// What is known of one hour. The words are those of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowState {
    /// Names were listed and not all fetched; or nothing was listed and that is not confirmed yet.
    Listed,
    /// Every known name is here; two listings do not agree yet.
    Fetched,
    /// Every known name is here and the hour is agreed.
    Sealed,
    /// No name, and the hour is agreed.
    Empty,
    /// Due and nobody vouches for it, or asked for in vain, or a name is gone.
    Missing,
    /// A name came damaged and waits to be fetched again.
    Damaged,
    /// A hole that the source cannot fill any more.
    Expired,
}

/// One hour of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowCoverage {
    /// The hour; `None` for listed names whose window nobody knows, taken together.
    pub window: Option<Window>,
    /// Its state.
    pub state: WindowState,
    /// Names known.
    pub names: u64,
    /// Of these, listed and not here.
    pub unfetched: u64,
    /// When the source deletes its files, epoch milliseconds; `None` where the window is not known.
    pub expires_ms: Option<i64>,
    /// The event by which somebody accepted that it is lost, see [`Acceptance`]; then it is no hole.
    pub accepted: Option<u64>,
}

/// How many hours are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WindowCounts {
    /// [`WindowState::Listed`].
    pub listed: u64,
    /// [`WindowState::Fetched`].
    pub fetched: u64,
    /// [`WindowState::Sealed`].
    pub sealed: u64,
    /// [`WindowState::Empty`].
    pub empty: u64,
    /// [`WindowState::Missing`].
    pub missing: u64,
    /// [`WindowState::Damaged`].
    pub damaged: u64,
    /// [`WindowState::Expired`].
    pub expired: u64,
}

/// The coverage of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// What is wanted: from the first hour that was ever asked for, or `start` back, to now.
    pub reach: Window,
    /// Every hour of the reach that is due or of which anything is known, and every hour with a file; oldest first.
    /// Names without a window come last.
    pub windows: Vec<WindowCoverage>,
    /// Whether the source was ever asked.
    pub asked: bool,
    /// Whether it ever answered.
    pub answered: bool,
    /// What was accepted as lost, oldest first.
    pub acceptances: Vec<Acceptance>,
}

/// What the rows say of one hour.
#[derive(Clone, Copy)]
struct Facts {
    names: u64,
    unfetched: u64,
    worst: Option<WindowState>,
    /// The listing that showed the newest name first, 0 without names.
    newest_name: i64,
    /// The last listing up to which every name was still shown.
    last_whole: i64,
    vouched: bool,
    vouched_when_due: bool,
    told_once: bool,
    agreed: bool,
    asked_in_vain: bool,
}

impl WindowState {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            WindowState::Listed => "listed",
            WindowState::Fetched => "fetched",
            WindowState::Sealed => "sealed",
            WindowState::Empty => "empty",
            WindowState::Missing => "missing",
            WindowState::Damaged => "damaged",
            WindowState::Expired => "expired",
        }
    }
}

impl fmt::Display for WindowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl WindowCoverage {
    /// Whether something that the source has, or may have, is not here, and nobody accepted that.
    pub fn is_hole(&self) -> bool {
        if self.accepted.is_some() {
            return false;
        }
        match self.state {
            WindowState::Missing | WindowState::Damaged | WindowState::Expired => true,
            WindowState::Listed => self.unfetched > 0,
            WindowState::Fetched | WindowState::Sealed | WindowState::Empty => false,
        }
    }

    /// Whether nothing is left to ask: sealed or confirmed empty.
    pub fn is_settled(&self) -> bool {
        matches!(self.state, WindowState::Sealed | WindowState::Empty)
    }
}

impl WindowCounts {
    /// Counts the hours.
    pub fn of<'w>(windows: impl IntoIterator<Item = &'w WindowCoverage>) -> WindowCounts {
        let mut counts = WindowCounts::default();
        for window in windows {
            *counts.slot(window.state) += 1;
        }
        counts
    }

    fn slot(&mut self, state: WindowState) -> &mut u64 {
        match state {
            WindowState::Listed => &mut self.listed,
            WindowState::Fetched => &mut self.fetched,
            WindowState::Sealed => &mut self.sealed,
            WindowState::Empty => &mut self.empty,
            WindowState::Missing => &mut self.missing,
            WindowState::Damaged => &mut self.damaged,
            WindowState::Expired => &mut self.expired,
        }
    }

    /// The states that occur, with their counts, in the order of a window's life.
    pub fn present(&self) -> Vec<(WindowState, u64)> {
        use WindowState::*;
        let mut counts = *self;
        let all = [Sealed, Empty, Fetched, Listed, Missing, Damaged, Expired].map(|state| (state, *counts.slot(state)));
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

impl Coverage {
    /// Computes the states. `listings` and `entries` are those of one stream, the listings in the order of their ids
    /// and read no later than the entries.
    pub fn of(listings: &[Listing], entries: &[LedgerEntry], rules: &CoverageRules) -> Coverage {
        let wanted_ms = rules.now_ms.saturating_sub(millis(rules.start.min(rules.retention)));
        // The hour at either edge of a range is asked for the sake of its neighbour only.
        let asked_ms = listings.iter().map(|listing| listing.asked.start_ms.saturating_add(HOUR_MS)).min();
        let start_ms = hour_of(asked_ms.map_or(wanted_ms, |asked_ms| asked_ms.min(wanted_ms)));
        let reach = Window { start_ms, end_ms: rules.now_ms.max(start_ms) };

        let mut hours: BTreeMap<i64, Facts> = BTreeMap::new();
        let mut hour_ms = start_ms;
        while hour_ms.saturating_add(HOUR_MS) <= reach.end_ms {
            hours.insert(hour_ms, Facts::default());
            hour_ms += HOUR_MS;
        }
        let mut undated = Facts::default();
        for entry in entries {
            let facts = match entry.window {
                Some(window) => hours.entry(hour_of(window.start_ms)).or_default(),
                None if entry.first_listing.is_none() => continue,
                None => &mut undated,
            };
            facts.add(entry);
        }
        for listing in listings {
            let first_ms = listing.asked.start_ms.saturating_add(2 * HOUR_MS - 1);
            let range = hour_of(first_ms)..=listing.asked.end_ms.saturating_sub(2 * HOUR_MS);
            if range.start() > range.end() {
                continue;
            }
            for (start_ms, facts) in hours.range_mut(range) {
                facts.hear(listing, due_ms(*start_ms, rules));
            }
        }

        let mut windows: Vec<WindowCoverage> =
            hours.iter().filter_map(|(start_ms, facts)| facts.judge(*start_ms, rules)).collect();
        if undated.unfetched > 0 {
            windows.push(WindowCoverage {
                window: None,
                state: undated.worst.unwrap_or(WindowState::Listed),
                names: undated.names,
                unfetched: undated.unfetched,
                expires_ms: None,
                accepted: None,
            });
        }
        let answered = listings.iter().any(|listing| !matches!(listing.outcome, ListingKind::Failed(_)));
        Coverage { reach, windows, asked: !listings.is_empty(), answered, acceptances: Vec::new() }
    }

    /// The hours that need no further look. None while a listed name without a window is not here: it could be
    /// anywhere.
    pub fn settled(&self) -> Vec<Window> {
        if self.windows.iter().any(|window| window.window.is_none()) {
            return Vec::new();
        }
        self.windows.iter().filter(|window| window.is_settled()).filter_map(|window| window.window).collect()
    }
}

impl Default for Facts {
    fn default() -> Facts {
        Facts {
            names: 0,
            unfetched: 0,
            worst: None,
            newest_name: 0,
            last_whole: i64::MAX,
            vouched: false,
            vouched_when_due: false,
            told_once: false,
            agreed: false,
            asked_in_vain: false,
        }
    }
}

impl Facts {
    fn add(&mut self, entry: &LedgerEntry) {
        self.names += 1;
        self.newest_name = self.newest_name.max(entry.first_listing.unwrap_or(0));
        self.last_whole = self.last_whole.min(entry.last_listing.unwrap_or(i64::MAX));
        let state = match entry.state {
            EntryState::Fetched => return,
            EntryState::Listed => WindowState::Listed,
            EntryState::Damaged => WindowState::Damaged,
            EntryState::Missing => WindowState::Missing,
            EntryState::Expired => WindowState::Expired,
        };
        self.unfetched += 1;
        // A name that is gone outweighs one that is damaged, and that one a name not fetched yet.
        let weight = |state| match state {
            WindowState::Expired => 3,
            WindowState::Missing => 2,
            WindowState::Damaged => 1,
            _ => 0,
        };
        self.worst = self.worst.into_iter().chain([state]).max_by_key(|state| weight(*state));
    }

    /// Takes in a listing whose range holds the hour and its neighbours; listings come in the order of their ids.
    fn hear(&mut self, listing: &Listing, due_ms: i64) {
        if matches!(listing.outcome, ListingKind::Failed(_)) || listing.refused > 0 {
            self.asked_in_vain = true;
            return;
        }
        let when_due = listing.listed_ms >= due_ms;
        self.vouched = true;
        self.vouched_when_due |= when_due;
        if (self.newest_name..=self.last_whole).contains(&listing.id) {
            self.agreed |= self.told_once && when_due;
            self.told_once = true;
        }
    }

    /// The state; `None` for an hour of which nothing is known and nothing need be known yet.
    fn judge(&self, start_ms: i64, rules: &CoverageRules) -> Option<WindowCoverage> {
        let window = Window { start_ms, end_ms: start_ms.saturating_add(HOUR_MS) };
        let expires_ms = window.end_ms.saturating_add(millis(rules.retention));
        let is_past = expires_ms <= rules.now_ms;
        let is_due = is_past || due_ms(start_ms, rules) <= rules.now_ms;
        let hole = |state| if is_past { WindowState::Expired } else { state };
        let state = if let Some(worst) = self.worst {
            hole(worst)
        } else if self.names > 0 {
            if self.agreed { WindowState::Sealed } else { WindowState::Fetched }
        } else if self.agreed {
            WindowState::Empty
        } else if self.vouched_when_due {
            WindowState::Listed
        } else if is_due {
            hole(WindowState::Missing)
        } else if self.vouched {
            WindowState::Listed
        } else if self.asked_in_vain {
            WindowState::Missing
        } else {
            return None;
        };
        Some(WindowCoverage {
            window: Some(window),
            state,
            names: self.names,
            unfetched: self.unfetched,
            expires_ms: Some(expires_ms),
            accepted: None,
        })
    }
}

fn due_ms(start_ms: i64, rules: &CoverageRules) -> i64 {
    start_ms.saturating_add(HOUR_MS).saturating_add(millis(rules.seal_after))
}

/// The start of the UTC hour that holds an instant.
fn hour_of(ms: i64) -> i64 {
    ms.div_euclid(HOUR_MS).saturating_mul(HOUR_MS)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
