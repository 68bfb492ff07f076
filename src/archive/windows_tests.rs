//! The states of an hour, as tables: what was listed when, what is here, what time it is, and the word that follows.

use std::time::Duration;

use super::coverage::{EntryState, LedgerEntry, Listing, ListingKind};
use super::entry::Window;
use super::windows::{Coverage, CoverageRules, HOUR_MS, WindowCounts, WindowState};
use EntryState::{Damaged as Broken, Fetched as Here, Listed as Seen, Missing as Gone};
use WindowState::{Damaged, Empty, Expired, Fetched, Listed, Missing, Sealed};

/// The hour that the tables are about starts here, on the hour.
const START: i64 = 1_718_010_000_000;
const END: i64 = START + HOUR_MS;
const DUE: i64 = END + 8 * HOUR_MS;
const EXPIRY: i64 = END + 720 * HOUR_MS;

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}

fn rules(now_ms: i64) -> CoverageRules {
    CoverageRules { now_ms, start: hours(720), seal_after: hours(8), retention: hours(720) }
}

/// A listing of the day around the hour, by its number, made at `listed_ms`.
fn listing(id: i64, listed_ms: i64) -> Listing {
    Listing {
        id,
        asked: Window { start_ms: START - 12 * HOUR_MS, end_ms: START + 12 * HOUR_MS },
        listed_ms,
        outcome: ListingKind::Files,
        names: 0,
        refused: 0,
        names_sha256: None,
    }
}

/// A listing of the days before.
fn earlier() -> Listing {
    Listing { asked: Window { start_ms: START - 72 * HOUR_MS, end_ms: START - 24 * HOUR_MS }, ..listing(1, START) }
}

fn failed(id: i64, listed_ms: i64) -> Listing {
    Listing { outcome: ListingKind::Failed("status 503".into()), ..listing(id, listed_ms) }
}

/// A name of the hour, shown by the listings `first..=last`.
fn name(first: i64, last: i64, state: EntryState) -> LedgerEntry {
    LedgerEntry {
        name: format!("n{first}"),
        window: Some(Window { start_ms: START, end_ms: END }),
        first_listed_ms: Some(0),
        last_listed_ms: Some(0),
        first_listing: Some(first),
        last_listing: Some(last),
        state,
    }
}

fn imported(state: EntryState) -> LedgerEntry {
    LedgerEntry { first_listing: None, last_listing: None, ..name(0, 0, state) }
}

#[track_caller]
fn state(listings: &[Listing], entries: &[LedgerEntry], now_ms: i64) -> Option<WindowState> {
    let coverage = Coverage::of(listings, entries, &rules(now_ms));
    coverage.windows.iter().find(|window| window.window.is_some_and(|hour| hour.start_ms == START)).map(|w| w.state)
}

#[test]
fn an_hour_without_a_name() {
    for (listings, now_ms, expected, why) in [
        (vec![], DUE - 1, None, "not due, never asked: nothing need be known"),
        (vec![], DUE, Some(Missing), "due and never asked"),
        (vec![], EXPIRY - 1, Some(Missing), "LivePerson still has it"),
        (vec![], EXPIRY, None, "nobody ever wanted it"),
        (vec![earlier()], EXPIRY, Some(Expired), "wanted, never listed, too late"),
        (vec![listing(1, DUE - 1)], DUE - 1, Some(Listed), "nothing yet, and nothing due"),
        (vec![listing(1, DUE - 1)], DUE, Some(Missing), "asked too early, due now"),
        (vec![listing(1, DUE - 1)], EXPIRY, Some(Expired), "asked too early, never again"),
        (vec![listing(1, DUE)], DUE, Some(Listed), "once is no confirmation"),
        (vec![listing(1, DUE)], EXPIRY, Some(Listed), "seen empty when due; nothing was lost as far as anybody knows"),
        (vec![listing(1, DUE - 2), listing(2, DUE - 1)], DUE - 1, Some(Listed), "twice, but too early"),
        (vec![listing(1, END), listing(2, DUE - 1)], DUE, Some(Missing), "twice, but too early, and due now"),
        (vec![listing(1, END), listing(2, DUE)], DUE, Some(Empty), "the later one is old enough"),
        (vec![listing(1, DUE), listing(2, DUE)], EXPIRY, Some(Empty), "confirmed for good"),
        (vec![failed(1, DUE)], DUE, Some(Missing), "failed is not empty"),
        (vec![failed(1, END)], END, Some(Missing), "asked in vain shows at once"),
        (vec![failed(1, DUE), failed(2, DUE)], DUE, Some(Missing), "two failures agree on nothing"),
        (vec![failed(1, DUE), listing(2, DUE)], DUE, Some(Listed), "one answer is one answer"),
        (vec![listing(1, END), failed(2, DUE), listing(3, DUE)], DUE, Some(Empty), "a failure takes nothing away"),
    ] {
        assert_eq!(state(&listings, &[], now_ms), expected, "{why}");
    }
}

#[test]
fn an_hour_with_names() {
    let both = [listing(1, END), listing(2, DUE)];
    for (listings, entries, now_ms, expected, why) in [
        (&both[..1], vec![name(1, 1, Seen)], END, Listed, "seen, not fetched"),
        (&both[..1], vec![name(1, 1, Here)], END, Fetched, "fetched, seen once"),
        (&both[..1], vec![name(1, 1, Here)], EXPIRY, Fetched, "nothing more to be had"),
        (&both[..], vec![name(1, 2, Here)], DUE, Sealed, "two agree"),
        (&both[..], vec![name(1, 2, Here)], EXPIRY, Sealed, "for good"),
        (&both[..], vec![name(1, 2, Seen)], DUE, Listed, "two agree, but it is not here"),
        (&both[..], vec![name(1, 2, Here), name(1, 2, Seen)], DUE, Listed, "one of two is not here"),
        (&both[..], vec![name(1, 2, Here), name(2, 2, Here)], DUE, Fetched, "the second shows one more"),
        (&both[..], vec![name(1, 1, Here)], DUE, Fetched, "the second shows one less"),
        (&both[..], vec![name(1, 2, Here), name(1, 1, Here)], DUE, Fetched, "the second shows one of two"),
        (&both[..], vec![name(1, 2, Broken)], DUE, Damaged, "damaged"),
        (&both[..], vec![name(1, 2, Broken), name(1, 2, Gone)], DUE, Missing, "gone outweighs damaged"),
        (&both[..], vec![name(1, 2, Broken), name(1, 2, Seen)], DUE, Damaged, "damaged outweighs not fetched"),
        (&both[..], vec![name(1, 2, Seen)], EXPIRY - 1, Listed, "the last moment"),
        (&both[..], vec![name(1, 2, Seen)], EXPIRY, Expired, "never fetched, too late"),
        (&both[..], vec![name(1, 2, Broken)], EXPIRY, Expired, "nothing whole came, too late"),
        (&both[..], vec![name(1, 2, EntryState::Expired)], DUE, Expired, "the ledger says so itself"),
        (&[], vec![imported(Here)], DUE, Fetched, "imported counts as fetched"),
        (&both[..], vec![imported(Here)], DUE, Sealed, "imported, and LivePerson has nothing else"),
        (&both[..], vec![imported(Broken)], DUE, Damaged, "a damaged import is lacking, listed or not"),
        (&[], vec![imported(Broken)], END, Damaged, "and before anybody was asked"),
        (&[], vec![imported(Gone)], EXPIRY, Expired, "and when LivePerson has deleted it"),
    ] {
        assert_eq!(state(listings, &entries, now_ms), Some(expected), "{why}");
    }
}

#[test]
fn a_late_file_opens_a_sealed_hour_until_two_listings_agree_again() {
    let at = |id| listing(id, DUE + id);
    let listings: Vec<Listing> = (1..=5).map(at).collect();
    let (old, late) = (|last| name(1, last, Here), |last, state| name(3, last, state));
    assert_eq!(state(&listings[..2], &[old(2)], DUE + 2), Some(Sealed));
    assert_eq!(state(&listings[..3], &[old(3), late(3, Seen)], DUE + 3), Some(Listed));
    assert_eq!(state(&listings[..3], &[old(3), late(3, Here)], DUE + 3), Some(Fetched));
    assert_eq!(state(&listings[..4], &[old(4), late(4, Here)], DUE + 4), Some(Sealed));
    // LivePerson deletes: a later listing shows less. What was agreed stays agreed.
    assert_eq!(state(&listings, &[old(4), late(4, Here)], DUE + 5), Some(Sealed));
}

#[test]
fn a_listing_vouches_only_with_an_hour_on_either_side() {
    let asked = |from_hours: i64, to_ms: i64| {
        let asked = Window { start_ms: START + from_hours * HOUR_MS, end_ms: END + to_ms };
        let listings = [1, 2].map(|id| Listing { asked, ..listing(id, DUE) });
        state(&listings, &[], DUE)
    };
    assert_eq!(asked(-1, HOUR_MS), Some(Empty));
    assert_eq!(asked(-1, HOUR_MS - 1), Some(Missing), "the hour after is not asked for whole");
    assert_eq!(asked(0, HOUR_MS), Some(Missing), "nor the hour before");
    assert_eq!(asked(2, 9 * HOUR_MS), Some(Missing));
    assert_eq!(asked(1, 0), Some(Missing), "an empty range vouches for nothing");
}

#[test]
fn a_listing_with_refused_entries_proves_no_emptiness_and_seals_nothing() {
    let odd = |id| Listing { refused: 1, ..listing(id, DUE) };
    assert_eq!(state(&[odd(1), odd(2)], &[], DUE), Some(Missing), "one of the refused could be of this hour");
    assert_eq!(state(&[odd(1), odd(2)], &[name(1, 2, Here)], DUE), Some(Fetched));
    assert_eq!(state(&[odd(1), listing(2, DUE), listing(3, DUE)], &[name(1, 3, Here)], DUE), Some(Sealed));
}

#[test]
fn the_reach_is_what_is_wanted_and_what_was_ever_asked_for() {
    let short = CoverageRules { start: hours(5), ..rules(DUE) };
    let coverage = Coverage::of(&[], &[], &short);
    assert_eq!((coverage.asked, coverage.answered), (false, false));
    assert_eq!(coverage.reach, Window { start_ms: DUE - 5 * HOUR_MS, end_ms: DUE });
    assert_eq!(coverage.windows, [], "nothing in there is due");

    // A run of long ago reaches further back than `start` does now: its hours and all since are wanted.
    let month_later = CoverageRules { now_ms: DUE + 1000 * HOUR_MS, ..short };
    let coverage = Coverage::of(&[listing(1, DUE)], &[], &month_later);
    assert_eq!(coverage.reach.start_ms, START - 11 * HOUR_MS, "without the hour that was there for its neighbour");
    let counts = WindowCounts::of(&coverage.windows);
    assert_eq!(counts.listed + counts.missing + counts.expired + 8, 1000 + 9 + 11, "each hour once, but the newest");
    assert!(counts.expired > 200 && counts.missing > 600 && counts.listed > 10, "{counts:?}");

    let only_failed = Coverage::of(&[failed(1, DUE)], &[], &short);
    assert_eq!((only_failed.asked, only_failed.answered), (true, false));
    // A file from before the reach is shown, and nothing is missing around it.
    let old = LedgerEntry { window: Some(Window { start_ms: HOUR_MS, end_ms: 2 * HOUR_MS }), ..imported(Here) };
    let with_import = Coverage::of(&[], &[old], &short);
    assert_eq!(with_import.windows.len(), 1);
    assert_eq!(with_import.windows[0].state, Fetched);
}

#[test]
fn a_name_without_a_window_is_a_hole_and_keeps_every_hour_open() {
    let listings = [listing(1, END), listing(2, DUE)];
    let nowhere = |state| LedgerEntry { window: None, ..name(1, 2, state) };
    let coverage = Coverage::of(&listings, &[name(1, 2, Here), nowhere(Seen)], &rules(DUE));
    let last = coverage.windows.last().unwrap();
    assert_eq!((last.window, last.state, last.expires_ms, last.is_hole()), (None, Listed, None, true));
    assert_eq!(coverage.settled(), []);
    let coverage = Coverage::of(&listings, &[name(1, 2, Here), nowhere(Here)], &rules(DUE));
    assert!(coverage.settled().contains(&Window { start_ms: START, end_ms: END }));
    assert!(coverage.windows.iter().all(|window| window.window.is_some()));
}

#[test]
fn holes_are_what_is_not_here() {
    let listings = [listing(1, END), listing(2, DUE)];
    for (state, entry, is_hole) in
        [(Listed, Seen, true), (Damaged, Broken, true), (Missing, Gone, true), (Sealed, Here, false)]
    {
        let coverage = Coverage::of(&listings, &[name(1, 2, entry)], &rules(DUE));
        let hour = coverage.windows.iter().find(|window| window.names > 0).unwrap();
        assert_eq!((hour.state, hour.is_hole(), hour.is_settled()), (state, is_hole, state == Sealed));
        assert_eq!(hour.expires_ms, Some(EXPIRY));
    }
    let unconfirmed = Coverage::of(&[listing(1, DUE)], &[], &rules(DUE));
    let hour = unconfirmed.windows.iter().find(|window| window.window.unwrap().start_ms == START).unwrap();
    assert_eq!((hour.state, hour.is_hole()), (Listed, false), "an hour seen empty once waits, and is no hole");
}

proptest::proptest! {
    /// Knowing more of LivePerson's silence never makes a settled hour worse, and time alone never settles one.
    #[test]
    fn settled_stays_settled(
        listed in proptest::collection::vec((0_i64..40, proptest::bool::ANY), 0..8),
        names in proptest::collection::vec((1_i64..8, 0_i64..8), 0..3),
        later in 0_i64..2000,
    ) {
        let listings: Vec<Listing> = (1..).zip(&listed).map(|(id, (hour, works))| {
            let listed_ms = END + hour * HOUR_MS;
            if *works { listing(id, listed_ms) } else { failed(id, listed_ms) }
        }).collect();
        let entries: Vec<LedgerEntry> =
            names.iter().map(|(first, more)| name(*first, first + more, Here)).collect();
        let now_ms = END + 40 * HOUR_MS;
        let now = state(&listings, &entries, now_ms);
        let then = state(&listings, &entries, now_ms + later * HOUR_MS);
        let is_settled = |state| matches!(state, Some(Sealed | Empty));
        proptest::prop_assert_eq!(is_settled(now), is_settled(then));
        let mut more = listings.clone();
        more.push(listing(100, now_ms));
        if is_settled(now) {
            proptest::prop_assert_eq!(state(&more, &entries, now_ms), now);
        }
        proptest::prop_assert!(!is_settled(now) || listings.len() >= 2);
    }
}
