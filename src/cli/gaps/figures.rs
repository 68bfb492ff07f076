//! Figures as hours: what is lost, and what LivePerson will soon have forgotten. A method counts as a stream of its own.

use super::super::exit::Failure;
use super::HOUR_MS;
use chatvault::acquire::{OperationsApi, figure_cursors, lost_figures};
use chatvault::archive::{Acceptance, Archive, Window, WindowCoverage, WindowState};

/// LivePerson has figures for so long.
const KEPT_MS: i64 = 24 * HOUR_MS;
/// Figures that nobody has asked for since this long are at risk; whatever asks does so every hour at least.
const AT_RISK_MS: i64 = 18 * HOUR_MS;

/// The API and the method of a name such as `operational-realtime/queuehealth`.
pub(super) fn method_of(stream: &str) -> Option<(OperationsApi, &str)> {
    let (api, call) = stream.split_once('/')?;
    Some((OperationsApi::of_stream(api)?, call))
}

/// What is lacking of an API.
#[derive(Default)]
pub(super) struct Holes {
    /// Each cut into hours, with the name under which it is listed.
    pub(super) windows: Vec<(String, WindowCoverage)>,
    /// What was accepted of them.
    pub(super) acceptances: Vec<Acceptance>,
}

/// The holes in the figures of an API.
pub(super) fn holes(archive: &Archive, api: OperationsApi, now_ms: i64) -> Result<Holes, Failure> {
    let forgotten_ms = now_ms - KEPT_MS;
    let mut found: Vec<(&str, Window)> =
        lost_figures(archive, api)?.into_iter().map(|lost| (lost.call, lost.window)).collect();
    for (call, cursor) in figure_cursors(archive, api)? {
        if cursor < now_ms - AT_RISK_MS {
            found.push((call, Window { start_ms: cursor, end_ms: forgotten_ms }));
            found.push((call, Window { start_ms: cursor.max(forgotten_ms), end_ms: now_ms }));
        }
    }
    let mut holes = Holes::default();
    let mut calls: Vec<&str> = found.iter().map(|(call, _)| *call).collect();
    calls.sort_unstable();
    calls.dedup();
    for call in calls {
        let stream = format!("{}/{call}", api.stream());
        let accepted = archive.acceptances_in(&stream)?;
        for (_, window) in found.iter().filter(|(of, _)| *of == call) {
            for hour in hours(*window) {
                holes.windows.push((stream.clone(), judged(hour, forgotten_ms, &accepted)));
            }
        }
        holes.acceptances.extend(accepted);
    }
    Ok(holes)
}

fn judged(hour: Window, forgotten_ms: i64, acceptances: &[Acceptance]) -> WindowCoverage {
    let is_lost = hour.end_ms <= forgotten_ms;
    let covers = |acceptance: &&Acceptance| {
        acceptance.windows.iter().any(|range| range.start_ms <= hour.start_ms && hour.end_ms <= range.end_ms)
    };
    let accepted = acceptances.iter().rev().filter(|_| is_lost).find(covers);
    WindowCoverage {
        window: Some(hour),
        state: if is_lost { WindowState::Expired } else { WindowState::Missing },
        names: 0,
        unfetched: 0,
        // The first of its figures goes first.
        expires_ms: Some(hour.start_ms + KEPT_MS),
        accepted: accepted.map(|acceptance| acceptance.seq),
    }
}

/// A window cut at full hours; empty where it is.
fn hours(window: Window) -> Vec<Window> {
    let mut hours = Vec::new();
    let mut start_ms = window.start_ms;
    while start_ms < window.end_ms {
        let end_ms = ((start_ms.div_euclid(HOUR_MS) + 1) * HOUR_MS).min(window.end_ms);
        hours.push(Window { start_ms, end_ms });
        start_ms = end_ms;
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_cut_at_full_hours_and_judged() {
        let window = |start_ms, end_ms| Window { start_ms, end_ms };
        assert_eq!(hours(window(5, 5)), []);
        let cut = hours(window(HOUR_MS - 7, 2 * HOUR_MS + 9));
        let expected =
            [window(HOUR_MS - 7, HOUR_MS), window(HOUR_MS, 2 * HOUR_MS), window(2 * HOUR_MS, 2 * HOUR_MS + 9)];
        assert_eq!(cut, expected);
        let [lost, at_risk] = [cut[1], cut[2]].map(|hour| judged(hour, 2 * HOUR_MS, &[]));
        assert_eq!((lost.state, at_risk.state), (WindowState::Expired, WindowState::Missing));
        assert!(lost.is_hole() && at_risk.is_hole());
        assert_eq!(at_risk.expires_ms, Some(26 * HOUR_MS));
    }
}
