//! What to ask for and what to fetch, as pure arithmetic over windows and names.
//!
//! Windows wanted − windows the ledger holds for good = listing calls; files listed − files published = work list.
//! LivePerson deletes a file 30 days after it made it, so the oldest comes first in both.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::archive::{ListedFile, Window};

const HOUR_MS: i64 = 3_600_000;

/// How a range is cut into listing calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListingPlan {
    /// Longest range of one call. Wide ranges were slow at LivePerson, so the default is a day; at least one hour.
    pub chunk: Duration,
    /// The trailing part that is listed again although the ledger holds it: late files turn up there. 48 hours.
    pub overlap: Duration,
}

impl Default for ListingPlan {
    fn default() -> ListingPlan {
        ListingPlan { chunk: Duration::from_secs(24 * 3600), overlap: Duration::from_secs(48 * 3600) }
    }
}

impl ListingPlan {
    /// The listing calls for `wanted`, oldest first. `settled` are windows that need no further look (sealed or
    /// confirmed empty in the ledger, in any order); a call is left out only if they cover all of it and it ends
    /// before the overlap. Neighbouring calls share one hour, because whether LivePerson's bounds are inclusive, and
    /// whether a file's start or end is compared with them, is not documented.
    pub fn calls(&self, wanted: Window, settled: &[Window]) -> Vec<Window> {
        let chunk_ms = millis(self.chunk).max(HOUR_MS);
        let overlap_from = wanted.end_ms.saturating_sub(millis(self.overlap));
        let mut calls = Vec::new();
        let mut start_ms = wanted.start_ms;
        while start_ms < wanted.end_ms {
            // Cut at multiples of the chunk, so that the same range is cut in the same way the next hour.
            let next_cut = start_ms.div_euclid(chunk_ms).saturating_add(1).saturating_mul(chunk_ms);
            let end_ms = next_cut.min(wanted.end_ms);
            let is_settled = end_ms <= overlap_from && covered(Window { start_ms, end_ms }, settled);
            if !is_settled {
                calls.push(Window { start_ms: (start_ms - HOUR_MS).max(wanted.start_ms), end_ms });
            }
            start_ms = end_ms;
        }
        calls
    }
}

/// The range to ask for: from `start` back (at most `reach`) to now. The start is cut down to a whole hour, which may
/// reach less than an hour further back.
pub fn wanted(now_ms: i64, start: Duration, reach: Duration) -> Window {
    let back_ms = millis(start.min(reach));
    let start_ms = now_ms.saturating_sub(back_ms).div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
    Window { start_ms, end_ms: now_ms }
}

/// Listed files split by what is to be done, duplicates removed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WorkList {
    /// Files to fetch, most urgent first: oldest window, then name. Files without a window come first of all.
    pub fetch: Vec<ListedFile>,
    /// Files that the archive holds.
    pub already: u64,
}

/// What of `listed` the archive lacks; `published` has a key per published name of the stream.
pub fn work_list<V>(listed: impl IntoIterator<Item = ListedFile>, published: &HashMap<String, V>) -> WorkList {
    let mut work = WorkList::default();
    let mut seen = HashSet::new();
    for file in listed {
        if !seen.insert(file.name.clone()) {
            continue;
        }
        if published.contains_key(&file.name) {
            work.already += 1;
        } else {
            work.fetch.push(file);
        }
    }
    sort_by_urgency(&mut work.fetch);
    work
}

/// Oldest first, across streams too.
pub(super) fn sort_by_urgency(files: &mut [ListedFile]) {
    files.sort_by(|a, b| (a.window, &a.stream, &a.name).cmp(&(b.window, &b.stream, &b.name)));
}

/// Whether `settled` windows together cover `asked`.
fn covered(asked: Window, settled: &[Window]) -> bool {
    let mut windows: Vec<&Window> = settled.iter().filter(|window| window.start_ms < window.end_ms).collect();
    windows.sort();
    let mut covered_to = asked.start_ms;
    for window in windows {
        if window.start_ms > covered_to {
            break;
        }
        covered_to = covered_to.max(window.end_ms);
    }
    covered_to >= asked.end_ms
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * HOUR_MS;
    const NOW: i64 = 1_718_010_000_000 + 1_234_567;

    fn file(name: &str, start_ms: i64) -> ListedFile {
        ListedFile {
            stream: "s".into(),
            name: name.into(),
            window: Some(Window { start_ms, end_ms: start_ms + HOUR_MS }),
            href: String::new(),
        }
    }

    fn days(count: u64) -> Duration {
        Duration::from_secs(count * 24 * 3600)
    }

    #[test]
    fn the_range_is_limited_by_what_liveperson_keeps() {
        let month = wanted(NOW, days(400), days(30));
        assert_eq!(month.end_ms, NOW);
        assert_eq!(month, wanted(NOW, days(30), days(30)));
        let back = NOW - month.start_ms;
        assert!((30 * DAY_MS..30 * DAY_MS + HOUR_MS).contains(&back));
        assert_eq!(month.start_ms % HOUR_MS, 0);
        assert_eq!(wanted(0, Duration::MAX, Duration::MAX).end_ms, 0);
    }

    #[test]
    fn calls_cover_everything_and_overlap_by_an_hour() {
        let wanted = wanted(NOW, days(30), days(30));
        let calls = ListingPlan::default().calls(wanted, &[]);
        assert!((30..=32).contains(&calls.len()), "{}", calls.len());
        assert_eq!(calls[0].start_ms, wanted.start_ms);
        assert_eq!(calls[calls.len() - 1].end_ms, wanted.end_ms);
        for pair in calls.windows(2) {
            assert_eq!(pair[1].start_ms, pair[0].end_ms - HOUR_MS);
            assert!(pair[0].end_ms < pair[1].end_ms);
        }
    }

    #[test]
    fn settled_windows_are_left_out_except_in_the_overlap() {
        let wanted = wanted(NOW, days(30), days(30));
        let all = ListingPlan::default().calls(wanted, &[]);
        let left = ListingPlan::default().calls(wanted, &[wanted]);
        // Two days of overlap, cut at day borders.
        assert!((2..=4).contains(&left.len()), "{left:?}");
        assert!(left.iter().all(|call| call.end_ms > NOW - 2 * DAY_MS));
        // One unsettled hour in the middle brings its day back.
        let hole = wanted.start_ms + 5 * DAY_MS;
        let settled = [
            Window { start_ms: hole + HOUR_MS, end_ms: wanted.end_ms },
            Window { start_ms: wanted.start_ms, end_ms: hole },
        ];
        assert_eq!(ListingPlan::default().calls(wanted, &settled).len(), left.len() + 1);
        let touching =
            [Window { start_ms: hole, end_ms: wanted.end_ms }, Window { start_ms: wanted.start_ms, end_ms: hole }];
        assert_eq!(ListingPlan::default().calls(wanted, &touching), left);
        let no_overlap = ListingPlan { overlap: Duration::ZERO, ..ListingPlan::default() };
        assert_eq!(no_overlap.calls(wanted, &[wanted]), []);
        assert_eq!(ListingPlan { overlap: Duration::MAX, ..no_overlap }.calls(wanted, &[wanted]), all);
    }

    #[test]
    fn odd_chunks_and_empty_ranges() {
        let tiny = ListingPlan { chunk: Duration::ZERO, overlap: Duration::ZERO };
        let day = Window { start_ms: 0, end_ms: DAY_MS };
        assert_eq!(tiny.calls(day, &[]).len(), 24);
        let whole = ListingPlan { chunk: Duration::MAX, overlap: Duration::ZERO };
        assert_eq!(whole.calls(day, &[]), [day]);
        assert_eq!(whole.calls(Window { start_ms: 5, end_ms: 5 }, &[]), []);
    }

    #[test]
    fn what_the_archive_lacks_oldest_first() {
        let listed = [file("c", 3), file("a", 9), file("b", 3), file("c", 3), file("held", 1)];
        let held = HashMap::from([("held".to_owned(), ()), ("other".to_owned(), ())]);
        let work = work_list(listed, &held);
        let names: Vec<&str> = work.fetch.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "a"]);
        assert_eq!(work.already, 1);
    }

    proptest::proptest! {
        #[test]
        fn every_moment_is_either_asked_for_or_settled(
            settled in proptest::collection::vec((0_i64..600, 1_i64..200), 0..8),
            chunk_hours in 1_u64..100,
            overlap_hours in 0_u64..100,
        ) {
            let wanted = Window { start_ms: 0, end_ms: 600 * HOUR_MS };
            let settled: Vec<Window> = settled
                .into_iter()
                .map(|(start, length)| Window { start_ms: start * HOUR_MS, end_ms: (start + length) * HOUR_MS })
                .collect();
            let plan = ListingPlan {
                chunk: Duration::from_secs(chunk_hours * 3600),
                overlap: Duration::from_secs(overlap_hours * 3600),
            };
            let mut known = plan.calls(wanted, &settled);
            known.extend(&settled);
            proptest::prop_assert!(covered(wanted, &known));
        }
    }
}
