//! `gaps accept`: records that hours which LivePerson has deleted are known to be lost, with who says so and why.

use super::super::args::GapsAccept;
use super::super::exit::{Exit, Failure};
use super::super::output::{Output, counted, json_time, printable};
use super::super::{open_for_writing, settings, sync};
use super::{HOUR_MS, figures, short_time};
use chatvault::acquire::{DataType, RETENTION};
use chatvault::archive::{AcceptedWindow, Clock, CoverageRules, LedgerEntry, Window, WindowCoverage, WindowState};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::json;
use std::path::Path;

/// Longest reason, in characters: it stands in the chain for ever.
const REASON: usize = 1000;

pub(super) fn run(args: &GapsAccept, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let settings = settings::Settings::of_vault(vault)?;
    let method = figures::method_of(&args.stream);
    if DataType::of_stream(&args.stream).is_none() && method.is_none() {
        return Err(Failure::usage(format!("{:?} is no stream with a ledger", args.stream)).hint(
            "`chatvault gaps` names the streams; such as data-access/engagement or operational-realtime/queuehealth",
        ));
    }
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON {
        return Err(Failure::usage(format!("--reason must have 1 to {REASON} characters")));
    }
    let range = range(&args.hours)?;
    let actor = args.by.clone().or_else(user).unwrap_or_else(|| "unknown".to_owned());
    let archive = open_for_writing(vault)?.with_actor(&actor);
    sync::check_same_account(&settings.account_id, &archive)?;
    let rules = CoverageRules {
        now_ms: Clock::System.now_ms(),
        start: settings.start,
        seal_after: settings.seal_after,
        retention: RETENTION,
    };
    let windows = match method {
        Some((api, _)) => {
            let mut windows = figures::holes(&archive, api, rules.now_ms)?.windows;
            windows.retain(|(stream, _)| *stream == args.stream);
            Some(windows.into_iter().map(|(_, window)| window).collect())
        }
        None => {
            let coverage = archive.coverage_of(&args.stream, &rules)?;
            coverage.asked.then_some(coverage.windows)
        }
    };
    let Some(windows): Option<Vec<WindowCoverage>> = windows else {
        return Err(Failure::usage(format!("{}: no listing yet; nothing is known to be lost", args.stream))
            .hint("run `chatvault sync`"));
    };
    let inside = |window: &&WindowCoverage| {
        window.window.is_some_and(|hour| range.start_ms <= hour.start_ms && hour.end_ms <= range.end_ms)
    };
    let hours: Vec<&WindowCoverage> = windows.iter().filter(inside).collect();
    if let Some(open) = hours.iter().find(|window| window.is_hole() && window.state != WindowState::Expired) {
        let at = open.window.map_or_else(String::new, |hour| short_time(hour.start_ms));
        let message = format!("{at} is {}: LivePerson may still have it, so it cannot be accepted as lost", open.state);
        return Err(Failure::usage(message).hint("run `chatvault sync`; name a shorter range for what is expired"));
    }
    let expired: Vec<&WindowCoverage> = hours.into_iter().filter(|window| window.is_hole()).collect();
    if expired.is_empty() {
        return Err(Failure::usage("no hour of this range is an expired gap; there is nothing to accept")
            .hint("`chatvault gaps` lists them"));
    }
    let windows = joined(&expired, &archive.entries_in(&args.stream)?);
    archive.accept_gaps(&args.stream, &windows, reason)?;
    let hours = expired.len() as u64;
    if output.for_machines() {
        let windows: Vec<_> = windows
            .iter()
            .map(|range| json!({ "start": json_time(Some(range.start_ms)), "end": json_time(Some(range.end_ms)), "names": range.names }))
            .collect();
        let document =
            json!({ "stream": args.stream, "by": actor, "reason": reason, "hours": hours, "windows": windows });
        output.document(document, "accepted")?;
    } else {
        outln!("{} of {} accepted as lost by {}:", counted(hours, "hour"), args.stream, printable(&actor));
        for range in &windows {
            let files = match range.names.len() as u64 {
                0 => String::new(),
                files => format!("  {}", counted(files, "listed file")),
            };
            outln!("  {} to {}{files}", short_time(range.start_ms), short_time(range.end_ms));
        }
        outln!("recorded in the audit chain; `chatvault audit list --kind acknowledged` shows it");
    }
    Ok(Exit::Complete)
}

/// Neighbouring hours as one range.
fn joined(expired: &[&WindowCoverage], entries: &[LedgerEntry]) -> Vec<AcceptedWindow> {
    let mut joined: Vec<AcceptedWindow> = Vec::new();
    for coverage in expired {
        let Some(hour) = coverage.window else { continue };
        let next = AcceptedWindow::of(hour, coverage, entries);
        match joined.last_mut() {
            Some(last) if last.end_ms == next.start_ms => {
                last.end_ms = next.end_ms;
                last.names.extend(next.names);
            }
            _ => joined.push(next),
        }
    }
    joined
}

/// `START..END`, half-open; a day at the end, or alone, is meant whole.
fn range(text: &str) -> Result<Window, Failure> {
    let wrong = || {
        Failure::usage(format!("{text:?} is no range of hours"))
            .hint("write START..END in UTC, such as 2026-10-01T05:00Z..2026-10-01T09:00Z, or a day: 2026-10-01")
    };
    let (start, end) = text.split_once("..").unwrap_or((text, text));
    let start_ms = instant(start, false).ok_or_else(wrong)?;
    let end_ms = instant(end, true).ok_or_else(wrong)?;
    if start_ms >= end_ms || (!text.contains("..") && end_ms - start_ms < HOUR_MS) {
        return Err(wrong());
    }
    Ok(Window { start_ms, end_ms })
}

/// A day, an hour (`2026-10-01T05`) or an instant, UTC unless it says otherwise.
fn instant(text: &str, is_end: bool) -> Option<i64> {
    let text = text.trim();
    let of = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond());
    if let (10, Ok(day)) = (text.len(), text.parse::<Date>()) {
        let day = if is_end { day.tomorrow().ok()? } else { day };
        return of(day.to_datetime(jiff::civil::Time::midnight()));
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let bare = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let bare = if bare.len() == 13 { format!("{bare}:00") } else { bare.to_owned() };
    of(bare.parse::<DateTime>().ok().filter(|_| bare.len() >= 16)?)
}

/// The name under which this program runs.
fn user() -> Option<String> {
    ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_people_write_them() {
        let day = 1_790_812_800_000; // 2026-10-01T00:00:00Z
        for (text, start_h, end_h) in [
            ("2026-10-01", 0, 24),
            ("2026-10-01..2026-10-02", 0, 48),
            ("2026-10-01T05..2026-10-01T09", 5, 9),
            ("2026-10-01T05:00..2026-10-01T09:00Z", 5, 9),
            ("2026-10-01 05:00..2026-10-01 09:00", 5, 9),
            ("2026-10-01T05:00:00Z..2026-10-02", 5, 48),
            ("2026-10-01T05:00:00+02:00..2026-10-01T09Z", 3, 9),
        ] {
            let window = Window { start_ms: day + start_h * HOUR_MS, end_ms: day + end_h * HOUR_MS };
            assert_eq!(range(text).unwrap(), window, "{text}");
        }
        for text in ["", "..", "2026", "soon..later", "2026-10-02..2026-10-01", "2026-10-01T05", "2026-10-01..", "5..9"]
        {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
