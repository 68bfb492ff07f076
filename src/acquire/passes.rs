//! When a history API is to be asked for what: passes and their cursors, as pure arithmetic over the ledger's listings.
//!
//! A **pass** is one way of looking at the API that has a cursor of its own, kept in the ledger as the listings of a stream of
//! its name. The first passes bring what there is (`backfill`, by start time) and what changes (by update time, or by start
//! time for chats). The others look once more at conversations that ended some time ago: surveys, scores, summaries and SDEs
//! come late, and not all of them are known to move the update time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::archive::{Archive, ArchiveError, Listing, Window};

use super::history::{HistoryApi, STEP_MS};
use super::plan::millis;

/// Updates are asked for from this long before the last time: they take up to a minute to show, and times are rounded.
const OVERLAP_MS: i64 = 20 * 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What the passes of a run depend on, beside the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) api: HistoryApi,
    /// How far back the first run asks.
    pub(super) start: Duration,
    pub(super) now_ms: i64,
}

/// One way of looking, with its cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// Under which its listings stand in the ledger.
    pub(super) stream: String,
    /// The times that it covers in this run: of the starts, updates or ends of conversations.
    pub(super) window: Window,
    pub(super) axis: Axis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Start,
    Update,
    UpdateOfOld,
    End,
}

impl Schedule {
    /// The parts of a pass that have a record of their own. A long range of start times is one part a week, so that a
    /// backfill which is interrupted goes on where it was; a range of updates is known only when all of it was asked for.
    pub(super) fn parts(self, pass: &Pass) -> Vec<Window> {
        if matches!(pass.axis, Axis::Update | Axis::UpdateOfOld) {
            return vec![pass.window];
        }
        let mut parts = Vec::new();
        let mut start_ms = pass.window.start_ms;
        while start_ms < pass.window.end_ms {
            let end_ms = ((start_ms.div_euclid(DAY_MS) + 7) * DAY_MS).min(pass.window.end_ms);
            parts.push(Window { start_ms, end_ms });
            start_ms = end_ms;
        }
        parts
    }

    /// The start times of conversations that may change or end: the last three months, which one search can span.
    pub(super) fn startable(self, end_ms: i64) -> Window {
        // A day less than one search can span, because the end is rounded up.
        let start_ms = floor(self.now_ms.saturating_sub(millis(self.api.longest()) - DAY_MS));
        Window { start_ms: start_ms.min(end_ms - STEP_MS), end_ms }
    }

    /// The start times before those, as far back as this archive began to ask: conversations that stay open for long.
    pub(super) fn long_open(self, end_ms: i64) -> Window {
        let start_ms = floor(self.now_ms.saturating_sub(millis(self.start.min(self.api.reach()))));
        Window { start_ms, end_ms: self.startable(end_ms).start_ms }
    }

    /// `begun_ms` is when following began.
    pub(super) fn due(self, begun_ms: i64, listings: &BTreeMap<String, Vec<Listing>>) -> Vec<Pass> {
        let now_ms = ceiling(self.now_ms);
        let is_messaging = self.api == HistoryApi::Messaging;
        let back_ms = millis(self.start.min(self.api.reach()));
        let oldest = floor(begun_ms.saturating_sub(back_ms));
        let mut passes = Vec::new();

        // Chats have no update time: their backfill goes on for ever, and is what brings the new ones.
        // Following began in the middle of a step of ten minutes; what started in that step is part of what there was.
        let (until, again) = if is_messaging { (begun_ms + STEP_MS, 0) } else { (now_ms, LONG_CHAT_MS) };
        let since = cursor(&listings[&self.backfill()]).map_or(oldest, |cursor| cursor - again);
        if since < until {
            let window = Window { start_ms: since, end_ms: until };
            passes.push(Pass { stream: self.backfill(), window, axis: Axis::Start });
        }
        // In the very first run the backfill has just brought everything.
        if is_messaging && !listings[self.api.stream()].is_empty() {
            let since = cursor(&listings[self.api.stream()]).unwrap_or(begun_ms) - OVERLAP_MS;
            let window = Window { start_ms: floor(since), end_ms: now_ms };
            passes.push(Pass { stream: self.api.stream().to_owned(), window, axis: Axis::Update });
        }
        for (name, lag_ms, least_ms) in LOOKS {
            let stream = self.named(name);
            let since = cursor(&listings[&stream]).unwrap_or_else(|| floor(begun_ms - lag_ms));
            let window = Window { start_ms: since, end_ms: floor(self.now_ms - lag_ms) };
            let axis = if is_messaging { Axis::End } else { Axis::Start };
            if window.end_ms - window.start_ms >= least_ms {
                passes.push(Pass { stream, window, axis });
            }
        }
        let since = cursor(&listings[&self.named(LONG_OPEN)]).unwrap_or(begun_ms) - OVERLAP_MS;
        if is_messaging && now_ms - since > DAY_MS && self.long_open(now_ms).start_ms < self.long_open(now_ms).end_ms {
            let window = Window { start_ms: floor(since), end_ms: now_ms };
            passes.push(Pass { stream: self.named(LONG_OPEN), window, axis: Axis::UpdateOfOld });
        }
        passes
    }

    /// All streams of the ledger that passes are kept under.
    pub(super) fn streams(self) -> Vec<String> {
        let looks = LOOKS.iter().map(|(name, ..)| self.named(name));
        [self.api.stream().to_owned(), self.backfill(), self.named(LONG_OPEN)].into_iter().chain(looks).collect()
    }

    pub(super) fn backfill(self) -> String {
        self.named(BACKFILL)
    }

    fn named(self, pass: &str) -> String {
        format!("{}/{pass}", self.api.stream())
    }
}

/// The later looks: name, how long after, and how much must be due for a call to be worth it. Enrichment and SDEs are there
/// within two hours, surveys within a day; masking and late corrections come any time, two weeks catch most.
const LOOKS: [(&str, i64, i64); 3] =
    [("after-3h", 3 * HOUR_MS, HOUR_MS), ("after-27h", 27 * HOUR_MS, 6 * HOUR_MS), ("after-15d", 15 * DAY_MS, DAY_MS)];

/// What there was before following began.
const BACKFILL: &str = "backfill";
/// The daily look at conversations that began more than three months ago.
const LONG_OPEN: &str = "long-open";
/// Chats are listed when they have ended; most take less than this.
const LONG_CHAT_MS: i64 = 2 * HOUR_MS;

/// Up to where the listings of a pass reach without a hole.
fn cursor(listings: &[Listing]) -> Option<i64> {
    reached(listings.iter().filter(|listing| listing.is_answered()).map(|listing| listing.asked).collect())
}

/// Up to where windows reach without a hole, from the first on.
pub(super) fn reached(mut windows: Vec<Window>) -> Option<i64> {
    windows.sort();
    let mut reached = windows.first()?.end_ms;
    for window in windows {
        if window.start_ms <= reached {
            reached = reached.max(window.end_ms);
        }
    }
    Some(reached)
}

/// Up to when a history API has been followed without a hole, epoch milliseconds: everything that it told of changes until
/// then is archived. Questions reach to the next full ten minutes, answers to the moment at which they were given. `None` before
/// the first run.
///
/// # Errors
/// Ledger errors.
pub fn followed_until(archive: &Archive, api: HistoryApi) -> Result<Option<i64>, ArchiveError> {
    let main = match api {
        HistoryApi::Messaging => api.stream().to_owned(),
        HistoryApi::Engagement => format!("{}/{BACKFILL}", api.stream()),
    };
    Ok(known_until(archive.listings_in(&main)?))
}

/// The cursor of listings, each of which knows nothing of what came after it.
fn known_until(mut listings: Vec<Listing>) -> Option<i64> {
    for listing in &mut listings {
        listing.asked.end_ms = listing.asked.end_ms.min(listing.listed_ms.max(listing.asked.start_ms));
    }
    cursor(&listings)
}

/// Two parts that meet on a step of ten minutes; `None` for what is one step or less.
pub(super) fn halves(window: Window) -> Option<(Window, Window)> {
    let middle = floor(window.start_ms + (window.end_ms - window.start_ms) / 2);
    let middle = if middle <= window.start_ms { ceiling(window.start_ms + 1) } else { middle };
    (middle < window.end_ms).then_some((Window { end_ms: middle, ..window }, Window { start_ms: middle, ..window }))
}

pub(super) fn floor(ms: i64) -> i64 {
    ms.div_euclid(STEP_MS) * STEP_MS
}

fn ceiling(ms: i64) -> i64 {
    floor(ms + STEP_MS - 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::archive::ListingKind;

    fn listing(start_ms: i64, end_ms: i64, outcome: ListingKind) -> Listing {
        let asked = Window { start_ms, end_ms };
        Listing { id: 1, asked, listed_ms: 0, outcome, names: 0, refused: 0, names_sha256: None }
    }

    #[test]
    fn a_cursor_stops_before_a_hole() {
        let failed = || ListingKind::Failed("no".to_owned());
        assert_eq!(cursor(&[]), None);
        assert_eq!(cursor(&[listing(0, 10, failed())]), None);
        let listings = [
            listing(0, 10, ListingKind::Empty),
            listing(20, 30, ListingKind::Files),
            listing(10, 20, failed()),
            listing(5, 12, ListingKind::Files),
        ];
        assert_eq!(cursor(&listings), Some(12));
    }

    #[test]
    fn nothing_is_known_of_the_time_after_an_answer() {
        let answered =
            |start_ms, end_ms, listed_ms| Listing { listed_ms, ..listing(start_ms, end_ms, ListingKind::Files) };
        assert_eq!(known_until(vec![]), None);
        assert_eq!(known_until(vec![answered(0, 10, 99)]), Some(10));
        assert_eq!(known_until(vec![answered(0, 10, 99), answered(10, 120, 113)]), Some(113));
        // The next question begins before the end of the last one, so the clipped ends leave no hole.
        assert_eq!(known_until(vec![answered(0, 120, 113), answered(100, 130, 124)]), Some(124));
        assert_eq!(known_until(vec![answered(50, 120, 13)]), Some(50), "a clock that was wrong");
    }

    #[test]
    fn the_first_run_reaches_to_the_present_moment() {
        for into_step_ms in [0, 1, STEP_MS / 2, STEP_MS - 1] {
            let now_ms = 1_700_000_400_000 + into_step_ms;
            let start = Duration::from_secs(3 * 24 * 3600);
            let schedule = Schedule { api: HistoryApi::Messaging, start, now_ms };
            let none = schedule.streams().into_iter().map(|stream| (stream, Vec::new())).collect();
            let passes = schedule.due(floor(now_ms), &none);
            assert_eq!(passes.len(), 1, "{passes:?}");
            assert!(passes[0].window.end_ms > now_ms, "{passes:?}");
            assert!(passes[0].window.start_ms <= now_ms - millis(start), "{passes:?}");
        }
    }

    #[test]
    fn halves_meet_on_ten_minutes() {
        let window = |start_ms, end_ms| Window { start_ms, end_ms };
        assert_eq!(halves(window(0, STEP_MS)), None);
        assert_eq!(halves(window(0, 2 * STEP_MS)), Some((window(0, STEP_MS), window(STEP_MS, 2 * STEP_MS))));
        assert_eq!(halves(window(5, STEP_MS + 5)), Some((window(5, STEP_MS), window(STEP_MS, STEP_MS + 5))));
        let mut ahead = vec![window(7, 7 + 89 * DAY_MS)];
        let (mut smallest, mut covered) = (0, 0);
        while let Some(next) = ahead.pop() {
            match halves(next) {
                Some((a, b)) => {
                    assert_eq!((a.start_ms, a.end_ms, b.end_ms), (next.start_ms, b.start_ms, next.end_ms));
                    ahead.extend([b, a]);
                }
                None => {
                    smallest += 1;
                    covered += next.end_ms - next.start_ms;
                }
            }
        }
        assert_eq!((covered, smallest), (89 * DAY_MS, 89 * 144 + 1));
    }
}
