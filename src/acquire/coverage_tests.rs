//! Runs over days of a simulated account with a moved clock: what is listed again, what is not, and what `gaps` would say.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::tests::Lab;
use super::*;
use crate::archive::{Coverage, CoverageRules, Window, WindowCounts, WindowState};
use crate::simulator::{Appears, Fault, LateFiles, Rule, Script, Target};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const STREAM: &str = "data-access/engagement";

/// An account of `hours` hours, both clocks at `now_hours` after its end.
async fn lab(hours: u32, now_hours: i64, script: Script) -> Lab {
    let lab = Lab::with(|config| {
        config.world.hours = hours;
        config.world.conversations = 200;
        config.script = script;
    })
    .await;
    set_hours_after_end(&lab, now_hours);
    lab
}

/// Five minutes past the hour, as a job of cron would be.
fn set_hours_after_end(lab: &Lab, hours: i64) {
    let now_ms = lab.simulator.world().config().end_ms + hours * HOUR_MS + 300_000;
    lab.simulator.set_now_ms(now_ms);
    lab.clock.store(now_ms, Ordering::SeqCst);
}

/// Listing calls of one sync.
async fn calls(lab: &Lab) -> u64 {
    let before = lab.simulator.requests().listing;
    lab.sync().await;
    lab.simulator.requests().listing - before
}

fn coverage(lab: &Lab) -> Coverage {
    let rules = CoverageRules {
        now_ms: lab.settings.clock.now_ms(),
        start: lab.settings.start,
        seal_after: lab.settings.seal_after,
        retention: RETENTION,
    };
    lab.archive.coverage_of(STREAM, &rules).unwrap()
}

fn counts(lab: &Lab) -> WindowCounts {
    WindowCounts::of(&coverage(lab).windows)
}

fn holes(lab: &Lab) -> usize {
    coverage(lab).windows.iter().filter(|window| window.is_hole()).count()
}

fn state_of(lab: &Lab, window: Window) -> WindowState {
    coverage(lab).windows.iter().find(|known| known.window == Some(window)).unwrap().state
}

#[tokio::test]
async fn each_sync_makes_the_fewest_listing_calls() {
    let mut lab = lab(120, 0, Script::default()).await;
    lab.settings.start = RETENTION;
    assert_eq!(calls(&lab).await, 30, "30 days, a day each");
    assert_eq!(holes(&lab), 0, "{:?}", counts(&lab));
    assert_eq!(calls(&lab).await, 30, "nothing was confirmed yet");
    let sealed = counts(&lab);
    assert!(sealed.sealed >= 50 && sealed.empty >= 590 && sealed.sealed + sealed.empty >= 710, "{sealed:?}");
    assert_eq!(calls(&lab).await, 2, "the trailing two days");
    set_hours_after_end(&lab, 1);
    assert_eq!(calls(&lab).await, 2, "an hour later");
    lab.settings.listing.overlap = Duration::ZERO;
    assert_eq!(calls(&lab).await, 1, "without the trailing range, the hours that are not sealed");

    // A pause of three days: these, and the hours that were not sealed before.
    lab.settings.listing = ListingPlan::default();
    set_hours_after_end(&lab, 72);
    assert_eq!(calls(&lab).await, 4);
    assert_eq!(holes(&lab), 0);
    assert_eq!(calls(&lab).await, 3, "the three days are confirmed");
    assert_eq!(calls(&lab).await, 2);
    lab.assert_everything_is_here();
}

#[tokio::test]
async fn a_pause_longer_than_start_is_caught_up() {
    let mut lab = lab(200, -150, Script::default()).await;
    lab.settings.start = Duration::from_secs(24 * 3600);
    lab.sync().await;
    set_hours_after_end(&lab, 0);
    assert!(holes(&lab) > 130, "hours that nobody asked for: {:?}", counts(&lab));
    let (stream, _) = lab.sync().await;
    assert_eq!(stream.failed, 0);
    assert_eq!(holes(&lab), 0);
    let from_ms = lab.simulator.world().config().end_ms - 174 * HOUR_MS;
    let wanted: std::collections::BTreeSet<String> =
        lab.simulator.world().files().filter(|file| file.start_ms >= from_ms).map(|file| file.name()).collect();
    assert!(wanted.is_subset(&lab.archived_names()));
}

#[tokio::test]
async fn a_plan_makes_the_calls_of_a_sync_and_tells_the_states() {
    let lab = lab(60, 0, Script::default()).await;
    for expected in [3, 3, 2] {
        let planned = plan(&lab.settings, lab.archive.clone(), lab.sink(), Cancel::never()).await.unwrap();
        let stream = &planned.streams[STREAM];
        assert_eq!(stream.listing_calls, expected);
        assert_eq!(stream.windows, counts(&lab));
        assert_eq!(calls(&lab).await, expected);
    }
    assert!(counts(&lab).sealed > 0);
}

#[tokio::test]
async fn a_late_file_is_taken_by_the_trailing_range_and_its_hour_sealed_again() {
    let end_ms = crate::simulator::WorldConfig::default().end_ms;
    let window = Window { start_ms: end_ms - HOUR_MS, end_ms };
    let part = format!("{}.{}.part-00000", window.start_ms, window.end_ms);
    let late = LateFiles { name_contains: part, appears: Appears::At(end_ms + 30 * HOUR_MS) };
    let lab = lab(12, 20, Script { rules: vec![], late: vec![late] }).await;
    for _ in 0..2 {
        lab.sync().await;
    }
    let before = state_of(&lab, window);
    assert!(matches!(before, WindowState::Empty | WindowState::Sealed), "{before}");
    set_hours_after_end(&lab, 31);
    let (stream, _) = lab.sync().await;
    assert_eq!(stream.downloaded, 1);
    assert_eq!(state_of(&lab, window), WindowState::Fetched);
    lab.sync().await;
    assert_eq!(state_of(&lab, window), WindowState::Sealed);
    lab.assert_everything_is_here();
}

#[tokio::test]
async fn a_failed_listing_is_a_gap_and_no_available_files_is_none() {
    // The account has 12 hours; of the three days that are asked for, the first call is of the emptiest.
    let rule = Rule { target: Target::Listing, skip: 1, every: 1, times: 4, fault: Fault::Html200 };
    let mut lab = lab(12, 0, Script { rules: vec![rule], late: vec![] }).await;
    lab.settings.connections = 1;
    let (stream, _) = lab.sync().await;
    assert_eq!(stream.failed, 1);
    let first = counts(&lab);
    assert_eq!((first.missing, first.empty), (24, 0), "{first:?}");
    assert!(first.listed >= 24, "the answered day is seen empty once: {first:?}");
    lab.sync().await;
    let second = counts(&lab);
    assert_eq!((holes(&lab), second.missing), (0, 0), "{second:?}");
    assert!(second.empty >= 24, "confirmed by two answers: {second:?}");
    lab.sync().await;
    assert!(counts(&lab).empty >= 48);
}

#[tokio::test]
async fn a_damaged_file_is_a_gap_until_the_next_sync() {
    let file = Lab::new(vec![]).await.true_names().first().unwrap().clone();
    let rule = Rule { target: Target::Download(file), skip: 0, every: 1, times: 3, fault: Fault::CorruptGzip };
    let lab = Lab::new(vec![rule]).await;
    lab.sync().await;
    assert_eq!((counts(&lab).damaged, holes(&lab)), (1, 1));
    lab.sync().await;
    assert_eq!((counts(&lab).damaged, holes(&lab)), (0, 0));
}

#[tokio::test]
async fn what_was_not_fetched_in_time_is_expired_for_ever() {
    let file = Lab::new(vec![]).await.true_names().first().unwrap().clone();
    let lab = Lab::new(vec![Rule::always(Target::Download(file), Fault::Status(404))]).await;
    lab.sync().await;
    let hole = *coverage(&lab).windows.iter().find(|window| window.is_hole()).unwrap();
    assert_eq!((hole.state, hole.unfetched), (WindowState::Listed, 1));
    let hole_ms = hole.window.unwrap().end_ms;
    assert_eq!(hole.expires_ms, Some(hole_ms + 30 * DAY_MS));
    let in_hours = |ms: i64| (ms - lab.simulator.world().config().end_ms).div_euclid(HOUR_MS);
    set_hours_after_end(&lab, in_hours(hole_ms + 30 * DAY_MS) - 1);
    assert_eq!(state_of(&lab, hole.window.unwrap()), WindowState::Listed);
    set_hours_after_end(&lab, in_hours(hole_ms + 30 * DAY_MS));
    assert_eq!(state_of(&lab, hole.window.unwrap()), WindowState::Expired);
    lab.sync().await;
    assert_eq!(state_of(&lab, hole.window.unwrap()), WindowState::Expired);
    assert!(counts(&lab).missing == 0, "the rest was caught up: {:?}", counts(&lab));
}

#[tokio::test]
async fn a_file_behind_a_refused_host_is_a_gap() {
    let foreign = "https://evilliveperson.net/x.gz".to_owned();
    let rule = Rule { target: Target::Listing, skip: 0, every: 1, times: u64::MAX, fault: Fault::ForeignHost(foreign) };
    let lab = Lab::new(vec![rule]).await;
    lab.sync().await;
    let open: Vec<String> = (lab.archive.entries_in(STREAM).unwrap().into_iter())
        .filter(|entry| entry.state == crate::archive::EntryState::Listed)
        .map(|entry| entry.name)
        .collect();
    assert_eq!((open.len(), holes(&lab)), (1, 1), "{open:?}");
}
