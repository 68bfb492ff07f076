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
    /// Most hours that one call is made for. Wide ranges were slow at LivePerson, so the default is a day; at least
    /// one hour.
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
    /// The fewest listing calls for `wanted`, oldest first. `settled` are windows that need no further look (sealed or
    /// confirmed empty in the ledger, in any order); they are passed over unless they lie in the overlap, or between
    /// two hours of one call.
    ///
    /// Each call also asks for the hour before and the hour after those it is made for, because whether LivePerson's bounds
    /// are inclusive, and whether a file's start, end or making is compared with them, is not documented. The hour
    /// that is running rides along with the call before it.
    pub fn calls(&self, wanted: Window, settled: &[Window]) -> Vec<Window> {
        let chunk_ms = millis(self.chunk).max(HOUR_MS);
        let overlap_from = wanted.end_ms.saturating_sub(millis(self.overlap));
        let settled = merged(settled);
        let mut calls: Vec<Window> = Vec::new();
        // The hours that the last call is made for.
        let mut current: Option<Window> = None;
        let mut start_ms = wanted.start_ms;
        while start_ms < wanted.end_ms {
            let hour_end_ms = start_ms.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS);
            let hour = Window { start_ms, end_ms: hour_end_ms.min(wanted.end_ms) };
            start_ms = hour.end_ms;
            if hour.end_ms <= overlap_from && covered(hour, &settled) {
                continue;
            }
            let is_running = hour_end_ms > wanted.end_ms;
            current = match current {
                Some(call) if hour.end_ms.saturating_sub(call.start_ms) <= chunk_ms => {
                    Some(Window { end_ms: hour.end_ms, ..call })
                }
                Some(call) if is_running && call.end_ms == hour.start_ms => {
                    Some(Window { end_ms: hour.end_ms, ..call })
                }
                finished => {
                    calls.extend(finished);
                    Some(hour)
                }
            };
        }
        calls.extend(current);
        let widened = calls.into_iter().map(|call| Window {
            start_ms: call.start_ms.saturating_sub(HOUR_MS),
            end_ms: call.end_ms.saturating_add(HOUR_MS).min(wanted.end_ms),
        });
        widened.collect()
    }
}

impl ListingPlan {
    /// The calls for `hours` alone, as far as they lie in `wanted`.
    pub(super) fn calls_for(&self, wanted: Window, hours: &[Window]) -> Vec<Window> {
        let mut others = Vec::new();
        let mut from_ms = wanted.start_ms;
        for hour in merged(hours) {
            others.push(Window { start_ms: from_ms, end_ms: hour.start_ms });
            from_ms = from_ms.max(hour.end_ms);
        }
        others.push(Window { start_ms: from_ms, end_ms: wanted.end_ms });
        ListingPlan { overlap: Duration::ZERO, ..*self }.calls(wanted, &others)
    }
}

/// The range to ask for: what is wanted by the ledger, as far as LivePerson still has it. The start is cut down to a
/// whole hour, which may reach less than an hour further back.
pub fn wanted(now_ms: i64, ledger: Window, reach: Duration) -> Window {
    let oldest_ms = now_ms.saturating_sub(millis(reach)).div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
    Window { start_ms: ledger.start_ms.max(oldest_ms).min(now_ms), end_ms: now_ms }
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

/// The windows in order, neighbours joined.
fn merged(windows: &[Window]) -> Vec<Window> {
    let mut sorted: Vec<Window> = windows.iter().filter(|window| window.start_ms < window.end_ms).copied().collect();
    sorted.sort();
    let mut merged: Vec<Window> = Vec::new();
    for window in sorted {
        match merged.last_mut() {
            Some(last) if window.start_ms <= last.end_ms => last.end_ms = last.end_ms.max(window.end_ms),
            _ => merged.push(window),
        }
    }
    merged
}

/// Whether one of the [`merged`] windows covers `asked`.
fn covered(asked: Window, merged: &[Window]) -> bool {
    let after = merged.partition_point(|window| window.start_ms <= asked.start_ms);
    after > 0 && merged[after - 1].end_ms >= asked.end_ms
}

/// A duration as milliseconds; the longest that fit, where they do not.
pub(super) fn millis(duration: Duration) -> i64 {
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

    fn last(back: Duration) -> Window {
        let ledger = Window { start_ms: (NOW - millis(back)).div_euclid(HOUR_MS) * HOUR_MS, end_ms: NOW };
        wanted(NOW, ledger, days(30))
    }

    /// The hours that a call is made for.
    fn core(call: Window) -> (i64, i64) {
        (call.start_ms + HOUR_MS, (call.end_ms - HOUR_MS).max(call.start_ms + HOUR_MS))
    }

    #[test]
    fn the_range_is_limited_by_what_liveperson_keeps() {
        let month = last(days(30));
        assert_eq!(month.end_ms, NOW);
        assert_eq!(last(days(400)), month);
        let back = NOW - month.start_ms;
        assert!((30 * DAY_MS..30 * DAY_MS + HOUR_MS).contains(&back));
        assert_eq!(month.start_ms % HOUR_MS, 0);
        let odd = Window { start_ms: i64::MIN, end_ms: 0 };
        assert_eq!(wanted(0, odd, Duration::MAX).end_ms, 0);
        assert_eq!(wanted(0, Window { start_ms: 7, end_ms: 7 }, days(1)), Window { start_ms: 0, end_ms: 0 });
    }

    #[test]
    fn the_fewest_calls_cover_everything_with_an_hour_on_either_side() {
        let wanted = last(days(30));
        let calls = ListingPlan::default().calls(wanted, &[]);
        assert_eq!(calls.len(), 30, "the running hour rides along");
        assert_eq!(calls[0].start_ms, wanted.start_ms - HOUR_MS);
        assert_eq!(calls[calls.len() - 1].end_ms, wanted.end_ms);
        for pair in calls.windows(2) {
            assert_eq!(core(pair[1]).0, pair[0].end_ms - HOUR_MS);
            assert!(pair[0].end_ms < pair[1].end_ms);
        }
    }

    #[test]
    fn settled_windows_are_left_out_except_in_the_overlap() {
        let wanted = last(days(30));
        let all = ListingPlan::default().calls(wanted, &[]);
        let left = ListingPlan::default().calls(wanted, &[wanted]);
        assert_eq!(left.len(), 2, "two days of overlap");
        assert!(left.iter().all(|call| call.end_ms > NOW - 2 * DAY_MS));
        // One unsettled hour in the middle is one call, three hours long.
        let hole = wanted.start_ms + 5 * DAY_MS;
        let settled = [
            Window { start_ms: hole + HOUR_MS, end_ms: wanted.end_ms },
            Window { start_ms: wanted.start_ms, end_ms: hole },
        ];
        let with_hole = ListingPlan::default().calls(wanted, &settled);
        assert_eq!(with_hole[0], Window { start_ms: hole - HOUR_MS, end_ms: hole + 2 * HOUR_MS });
        assert_eq!(with_hole[1..], left);
        // Two of them within a day are one call; a day apart they are two.
        for (apart, calls) in [(2, 1), (23, 1), (24, 2), (100, 2)] {
            let second = hole + apart * HOUR_MS;
            let settled = [
                Window { start_ms: wanted.start_ms, end_ms: hole },
                Window { start_ms: hole + HOUR_MS, end_ms: second },
                Window { start_ms: second + HOUR_MS, end_ms: wanted.end_ms },
            ];
            assert_eq!(ListingPlan::default().calls(wanted, &settled).len(), left.len() + calls, "{apart}");
        }
        let touching =
            [Window { start_ms: hole, end_ms: wanted.end_ms }, Window { start_ms: wanted.start_ms, end_ms: hole }];
        assert_eq!(ListingPlan::default().calls(wanted, &touching), left);
        let no_overlap = ListingPlan { overlap: Duration::ZERO, ..ListingPlan::default() };
        assert_eq!(no_overlap.calls(wanted, &[wanted]), []);
        assert_eq!(ListingPlan { overlap: Duration::MAX, ..no_overlap }.calls(wanted, &[wanted]), all);
    }

    #[test]
    fn single_hours_are_asked_for_alone() {
        let wanted = last(days(30));
        let hour =
            |at: i64| Window { start_ms: wanted.start_ms + at * HOUR_MS, end_ms: wanted.start_ms + (at + 1) * HOUR_MS };
        let calls = ListingPlan::default().calls_for(wanted, &[hour(100), hour(5), hour(6), hour(-50)]);
        let told: Vec<(i64, i64)> = calls.iter().map(|call| core(*call)).collect();
        assert_eq!(told, [(hour(5).start_ms, hour(6).end_ms), (hour(100).start_ms, hour(100).end_ms)]);
        assert_eq!(ListingPlan::default().calls_for(wanted, &[]), []);
    }

    #[test]
    fn odd_chunks_and_empty_ranges() {
        let tiny = ListingPlan { chunk: Duration::ZERO, overlap: Duration::ZERO };
        let day = Window { start_ms: 0, end_ms: DAY_MS };
        assert_eq!(tiny.calls(day, &[]).len(), 24);
        let whole = ListingPlan { chunk: Duration::MAX, overlap: Duration::ZERO };
        assert_eq!(whole.calls(day, &[]), [Window { start_ms: -HOUR_MS, end_ms: DAY_MS }]);
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
            let calls = plan.calls(wanted, &settled);
            for pair in calls.windows(2) {
                proptest::prop_assert!(core(pair[0]).1 <= core(pair[1]).0, "no hour is asked for twice");
            }
            // An hour at the edge of a call is there for its neighbour only; the newest hour has no later one.
            let mut known: Vec<Window> =
                calls.iter().map(|call| Window { start_ms: core(*call).0, end_ms: call.end_ms - HOUR_MS }).collect();
            known.extend(&settled);
            known.push(Window { start_ms: wanted.end_ms - HOUR_MS, end_ms: wanted.end_ms });
            proptest::prop_assert!(covered(wanted, &merged(&known)));
        }
    }
}
