//! What a sync would ask the query APIs, as the ledger and the time tell: for `plan`, without a call.

use std::collections::BTreeMap;

use crate::archive::{Archive, ArchiveError, Listing, Window};

use super::history::HistoryApi;
use super::passes::{Axis, Pass, Schedule, floor};
use super::plan::millis;
use super::polled;
use super::report::{PlannedQuestion, StreamPlan};
use super::settings::AcquireSettings;

/// The plan of each stream that is asked and not downloaded.
pub(super) fn planned(
    archive: &Archive,
    settings: &AcquireSettings,
) -> Result<BTreeMap<String, StreamPlan>, ArchiveError> {
    let mut plans = BTreeMap::new();
    let of = |questions| StreamPlan { questions, ..StreamPlan::default() };
    for choice in &settings.histories {
        let schedule = Schedule { api: choice.api, start: settings.start, now_ms: settings.clock.now_ms() };
        plans.insert(choice.api.stream().to_owned(), of(of_history(archive, schedule)?));
    }
    for choice in &settings.operations {
        let mut plan = of(polled::questions(archive, settings, choice.api)?);
        plan.lost = polled::lost_figures(archive, choice.api)?;
        plan.lost.extend(polled::losses_ahead(archive, choice.api, settings.clock.now_ms())?);
        plans.insert(choice.api.stream().to_owned(), plan);
    }
    Ok(plans)
}

fn of_history(archive: &Archive, schedule: Schedule) -> Result<Vec<PlannedQuestion>, ArchiveError> {
    let mut listings: BTreeMap<String, Vec<Listing>> = BTreeMap::new();
    for name in schedule.streams() {
        let known = archive.listings_in(&name)?;
        listings.insert(name, known);
    }
    let begun_ms = listings[schedule.api.stream()].first().map_or(floor(schedule.now_ms), |first| first.asked.end_ms);
    let passes = schedule.due(begun_ms, &listings).into_iter();
    Ok(passes
        .map(|pass| {
            let least_calls = least_calls(schedule, &pass);
            PlannedQuestion { name: pass.stream, window: Some(pass.window), least_calls }
        })
        .collect())
}

/// Each part of a pass is one search at least, and no search spans more start times than the API takes.
fn least_calls(schedule: Schedule, pass: &Pass) -> u64 {
    let longest_ms = millis(HistoryApi::longest(schedule.api));
    let searches = |part: &Window| {
        let starts = match pass.axis {
            Axis::Start => *part,
            Axis::Update | Axis::End => schedule.startable(part.end_ms),
            Axis::UpdateOfOld => schedule.long_open(part.end_ms),
        };
        let searches = (starts.end_ms - starts.start_ms + longest_ms - 1) / longest_ms;
        u64::try_from(searches).unwrap_or(0)
    };
    schedule.parts(pass).iter().map(searches).sum()
}
