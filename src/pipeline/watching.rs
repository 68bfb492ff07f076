//! `sync` for ever: each stream at its own pace, one process, a clean end.
//!
//! A round syncs the streams that are due and makes their conversations searchable before the next begins. So that what is slow
//! holds itself up and nothing else, a round tries a failing call again for some seconds only, waits for a silent API for ten,
//! and leaves the rest of a failing API to the next round. When LivePerson does not answer or answers 429 without end, all streams pause, twice as
//! long each time; after some rounds like that the run gives up with the reason, and whoever supervises it decides.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{RunError, RunOptions, SyncReport, Watcher, bring_up, sync};
use crate::acquire::{self, AcquireError, AcquireReport, AcquireSettings, Cancel, HistoryApi, ProgressSink};
use crate::archive::Archive;

/// How often the streams are asked, and when to give up.
#[derive(Clone, Debug)]
pub struct Paces {
    /// Messaging Interactions: its delay is up to a minute.
    pub messaging: Duration,
    /// Engagement History: 99.5 % of chats are there after five minutes.
    pub engagement: Duration,
    /// Data Access: hourly files, with hours of delay.
    pub data_access: Duration,
    /// Figures per interval, of Operational Realtime and Messaging Operations: they are of five minutes, and a round is made
    /// shortly after each full five minutes. A method of which nothing new is final costs no call: seven methods, at most one
    /// call each per five minutes, and two more an hour for figures of one stretch of time.
    pub intervals: Duration,
    /// States (queues now, waiting times, agents now): five calls a round, more only for a waiting time of more than 300
    /// skills or more than 2500 agents. LivePerson makes them anew every ten seconds; more often is never asked.
    pub states: Duration,
    /// First pause after a round that found LivePerson unable; doubled each time, up to half an hour.
    pub first_pause: Duration,
    /// Such rounds in a row after which the run gives up.
    pub give_up_after: u32,
}

impl Default for Paces {
    fn default() -> Paces {
        Paces {
            messaging: Duration::from_secs(30),
            engagement: Duration::from_secs(300),
            data_access: Duration::from_secs(900),
            intervals: Duration::from_secs(300),
            states: Duration::from_secs(60),
            first_pause: Duration::from_secs(60),
            give_up_after: 6,
        }
    }
}

/// How often the Domain API is asked again.
const DOMAIN_EVERY: Duration = Duration::from_secs(24 * 3600);
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);
/// States do not change more often.
const SHORTEST_STATES: Duration = Duration::from_secs(10);
/// After a full step, before its figures are asked for: clocks differ, and figures take ten seconds to show.
const BEHIND_STEP: Duration = Duration::from_secs(15);
/// A stream that is not for these keys is tried again so often.
const SKIPPED_EVERY: Duration = Duration::from_secs(3600);

/// Streams that are due together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Messaging,
    Engagement,
    DataAccess,
    Intervals,
    States,
}

/// What one round did.
#[derive(Debug)]
pub struct Round {
    /// The streams that were due.
    pub streams: Vec<String>,
    /// What came of it; `Err` where LivePerson could not be asked and it will be tried again.
    pub outcome: Result<SyncReport, AcquireError>,
    /// How long it took.
    pub elapsed: Duration,
    /// Rounds in a row that found LivePerson unable.
    pub failures: u32,
}

/// Runs until `cancel`, or until going on is pointless. `each` hears of every round; nothing runs meanwhile.
///
/// # Errors
/// A failing archive; keys or settings that are refused; LivePerson unable for too many rounds in a row.
#[allow(clippy::too_many_arguments)] // those of `sync`, and two
pub fn watch(
    runtime: &tokio::runtime::Runtime,
    settings: &AcquireSettings,
    archive: &Archive,
    options: RunOptions,
    paces: &Paces,
    acquire_progress: &ProgressSink,
    watcher: Watcher<'_>,
    cancel: &Cancel,
    each: &mut dyn FnMut(&Round),
) -> Result<(), RunError> {
    let retry = settings.retry.of_rounds();
    let mut settings = AcquireSettings { keep_sessions: true, retry, ..settings.clone() };
    let outcome =
        rounds(runtime, &mut settings, archive, options.clone(), paces, acquire_progress, watcher, cancel, each);
    // What was kept open between the rounds becomes files now, and the index is told of them.
    let sealed = runtime.block_on(acquire::end_sessions(&settings));
    outcome?;
    if sealed? > 0 {
        bring_up(archive, options, watcher)?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)] // as above
fn rounds(
    runtime: &tokio::runtime::Runtime,
    settings: &mut AcquireSettings,
    archive: &Archive,
    mut options: RunOptions,
    paces: &Paces,
    acquire_progress: &ProgressSink,
    watcher: Watcher<'_>,
    cancel: &Cancel,
    each: &mut dyn FnMut(&Round),
) -> Result<(), RunError> {
    let domain_api = settings.domain_api.clone();
    let mut domain_asked = std::time::Instant::now();
    let mut due: BTreeMap<Group, std::time::Instant> =
        groups(settings).into_iter().map(|group| (group, std::time::Instant::now())).collect();
    let mut failures = 0;
    while !cancel.is_cancelled() {
        let now = std::time::Instant::now();
        let ready: Vec<Group> = due.iter().filter(|(_, at)| **at <= now).map(|(group, _)| *group).collect();
        if ready.is_empty() {
            let next = due.values().min().copied().unwrap_or(now);
            runtime.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(next.saturating_duration_since(now)) => {}
                    () = cancel.cancelled() => {}
                }
            });
            continue;
        }
        // Hosts hardly ever move; once a day is enough to notice.
        if domain_asked.elapsed() > DOMAIN_EVERY {
            settings.domain_api.clone_from(&domain_api);
            domain_asked = std::time::Instant::now();
        }
        let round_settings = only(settings, &ready);
        let outcome =
            sync(runtime, &round_settings, archive, options.clone(), acquire_progress.clone(), watcher, cancel.clone());
        let (outcome, unable) = match outcome {
            Ok(report) => {
                settings.remember(&report.acquired.domain);
                let unable = report.acquired.stopped.as_ref().is_some_and(is_passing);
                options.is_later_round |= report.index_failure.is_none();
                (Ok(report), unable)
            }
            Err(RunError::Acquire(error)) if is_passing(&error) => (Err(error), true),
            Err(error) => return Err(error),
        };
        failures = if unable { failures + 1 } else { 0 };
        let skipped: Vec<Group> = match &outcome {
            Ok(report) => ready.iter().filter(|group| is_skipped(**group, &report.acquired)).copied().collect(),
            Err(_) => Vec::new(),
        };
        let round = Round { streams: names(&round_settings), outcome, elapsed: now.elapsed(), failures };
        each(&round);
        match round.outcome {
            Err(error) if failures >= paces.give_up_after => return Err(error.into()),
            Ok(SyncReport { acquired, .. })
                if acquired
                    .stopped
                    .as_ref()
                    .is_some_and(|error| !is_passing(error) || failures >= paces.give_up_after) =>
            {
                return acquired.stopped.map_or(Ok(()), |error| Err(error.into()));
            }
            _ => {}
        }
        let pause = paces.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
        for group in ready {
            let pause = if skipped.contains(&group) { SKIPPED_EVERY } else { paces.after(group, wall_now()) };
            due.insert(group, now + pause);
        }
        if failures > 0 {
            let resume = std::time::Instant::now() + pause;
            due.values_mut().for_each(|at| *at = (*at).max(resume));
        }
    }
    Ok(())
}

impl Paces {
    fn of(&self, group: Group) -> Duration {
        match group {
            Group::Messaging => self.messaging,
            Group::Engagement => self.engagement,
            Group::DataAccess => self.data_access,
            Group::Intervals => self.intervals,
            Group::States => self.states.max(SHORTEST_STATES),
        }
    }

    /// How long after a round that began at `wall`, time since the epoch, the next one is due.
    fn after(&self, group: Group, wall: Duration) -> Duration {
        let pace = self.of(group);
        if group != Group::Intervals || pace.is_zero() {
            return pace;
        }
        let behind = BEHIND_STEP.min(pace / 4);
        let into_step_ms = wall.saturating_sub(behind).as_millis() % pace.as_millis().max(1);
        pace - Duration::from_millis(u64::try_from(into_step_ms).unwrap_or(0)).min(pace)
    }
}

fn wall_now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// Whether a history API was asked and is not for these keys. (The others note that themselves.)
fn is_skipped(group: Group, report: &AcquireReport) -> bool {
    let mut of_group = HistoryApi::ALL.into_iter().filter(|api| group_of(*api) == group);
    of_group.any(|api| report.streams.get(api.stream()).is_some_and(|stream| stream.skipped))
}

/// What may be over by itself, as opposed to refused keys, bad settings or a full disk.
fn is_passing(error: &AcquireError) -> bool {
    matches!(error, AcquireError::RateLimited { .. } | AcquireError::Unavailable { .. })
}

fn group_of(api: HistoryApi) -> Group {
    match api {
        HistoryApi::Messaging => Group::Messaging,
        HistoryApi::Engagement => Group::Engagement,
    }
}

fn groups(settings: &AcquireSettings) -> Vec<Group> {
    let histories = settings.histories.iter().map(|choice| group_of(choice.api));
    let has_intervals = settings.operations.iter().any(|choice| choice.api.has_intervals());
    histories
        .chain((!settings.streams.is_empty()).then_some(Group::DataAccess))
        .chain(has_intervals.then_some(Group::Intervals))
        .chain((!settings.operations.is_empty()).then_some(Group::States))
        .collect()
}

fn only(settings: &AcquireSettings, ready: &[Group]) -> AcquireSettings {
    let mut round = settings.clone();
    if !ready.contains(&Group::DataAccess) {
        round.streams.clear();
    }
    round.histories.retain(|choice| ready.contains(&group_of(choice.api)));
    for choice in &mut round.operations {
        choice.intervals &= ready.contains(&Group::Intervals);
        choice.states &= ready.contains(&Group::States);
    }
    round.operations.retain(|choice| choice.states || choice.intervals && choice.api.has_intervals());
    round
}

fn names(settings: &AcquireSettings) -> Vec<String> {
    let files = settings.streams.iter().map(|choice| choice.data_type.stream().to_owned());
    let histories = settings.histories.iter().map(|choice| choice.api.stream().to_owned());
    files.chain(histories).chain(settings.operations.iter().map(|choice| choice.api.stream().to_owned())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_asked_for_shortly_after_each_step() {
        let paces = Paces::default();
        for (second, expected) in [(0, 15), (14, 1), (15, 300), (16, 299), (314, 1), (150, 165)] {
            let wall = Duration::from_secs(1_700_000_100 + second);
            assert_eq!(paces.after(Group::Intervals, wall), Duration::from_secs(expected), "{second}");
        }
        let often = Paces { intervals: Duration::from_secs(1), states: Duration::from_secs(1), ..Paces::default() };
        assert!(often.after(Group::Intervals, Duration::from_millis(1_700_000_100_700)) <= Duration::from_secs(1));
        assert_eq!(often.after(Group::States, Duration::ZERO), SHORTEST_STATES);
    }
}
