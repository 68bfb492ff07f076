//! `gaps`: the coverage ledger's holes, most urgent first, with the time left before LivePerson deletes the files.
//!
//! Reads the ledger only: no network, no change. People see neighbouring hours of one state as one range; machines get
//! every hour.

use super::args::{Gaps, GapsAction};
use super::exit::{Exit, Failure};
use super::output::{Output, Style, counted, json_time, number, printable, readable_duration};
use super::{losses, open, settings, sync};
use chatvault::acquire::{HistoryApi, OperationsApi, RETENTION, followed_until, lost_figures, polled_until};
use chatvault::archive::{
    Acceptance, Archive, Clock, Coverage, CoverageRules, WindowCounts, WindowCoverage, WindowState,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const HOUR_MS: i64 = 3_600_000;
/// A hole with less time left than this is marked.
const SOON_MS: i64 = 3 * 24 * HOUR_MS;

mod accept;
mod figures;

/// Neighbouring hours of one stream in one state.
struct Range<'s> {
    stream: &'s str,
    first: WindowCoverage,
    end_ms: i64,
    hours: u64,
    unfetched: u64,
}

/// All streams that can be judged, and a sentence on each that cannot.
struct Ledger {
    windows: Vec<(String, WindowCoverage)>,
    acceptances: Vec<Acceptance>,
    remarks: Vec<String>,
    /// Streams whose hours are all known.
    judged: BTreeSet<String>,
}

pub(crate) fn run(args: &Gaps, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    if let Some(GapsAction::Accept(accept)) = &args.action {
        return accept::run(accept, vault, output);
    }
    let settings = settings::Settings::of_vault(vault)?;
    let archive = open(vault)?;
    sync::check_same_account(&settings.account_id, &archive)?;
    let now_ms = Clock::System.now_ms();
    let ledger = read(&archive, &settings, now_ms)?;
    let holes = ledger.windows.iter().filter(|(_, window)| window.is_hole()).count();

    let mut shown: Vec<&(String, WindowCoverage)> =
        ledger.windows.iter().filter(|(_, window)| args.all || window.is_hole() || window.accepted.is_some()).collect();
    shown.sort_by_key(|(stream, window)| (urgency(window, now_ms), window.window, stream.as_str(), window.state));
    ledger.remarks.iter().for_each(|remark| output.note(remark));
    if output.ndjson {
        for (stream, window) in shown {
            output.document(ledger.to_json(stream, window, now_ms), "window")?;
        }
    } else if output.json {
        let windows: Vec<Value> = shown.iter().map(|(stream, window)| ledger.to_json(stream, window, now_ms)).collect();
        output.document(json!({ "windows": windows }), "gaps")?;
    } else {
        for range in ranges(&shown, now_ms) {
            let acceptance = ledger.acceptance(&range.first);
            print(&range, acceptance, now_ms, output);
        }
        outln!("{}", verdict(&ledger, now_ms, output));
    }
    Ok(if holes > 0 { Exit::Gaps } else { Exit::Complete })
}

fn read(archive: &Archive, settings: &settings::Settings, now_ms: i64) -> Result<Ledger, Failure> {
    let mut ledger =
        Ledger { windows: Vec::new(), acceptances: Vec::new(), remarks: Vec::new(), judged: BTreeSet::new() };
    let rules = CoverageRules { now_ms, start: settings.start, seal_after: settings.seal_after, retention: RETENTION };
    for (stream, mode) in settings.wanted_streams() {
        if let Some(api) = HistoryApi::of_stream(stream) {
            let remark = match followed_until(archive, api)? {
                Some(until_ms) => {
                    format!("{stream}: it has no hours; followed up to {} without a hole", short_time(until_ms))
                }
                None => format!("{stream}: never asked yet; nothing is known about what LivePerson has"),
            };
            ledger.remarks.push(remark);
            continue;
        }
        if let Some(api) = OperationsApi::of_stream(stream) {
            ledger.remarks.extend(remarks(archive, api)?);
            let holes = figures::holes(archive, api, now_ms)?;
            ledger.windows.extend(holes.windows);
            ledger.acceptances.extend(holes.acceptances);
            continue;
        }
        let coverage = archive.coverage_of(stream, &rules)?;
        if !coverage.asked {
            ledger.remarks.push(format!("{stream}: no listing yet; nothing is known about what LivePerson has"));
        } else if !coverage.answered && mode == "auto" {
            ledger.remarks.push(format!("{stream}: no listing was answered yet; it may not be enabled for these keys"));
        } else {
            ledger.judged.insert(stream.to_owned());
            ledger.add(stream, coverage);
        }
    }
    ledger.add_known_damage(archive, &rules)?;
    Ok(ledger)
}

/// What is known of an API of figures, in words.
fn remarks(archive: &Archive, api: OperationsApi) -> Result<Vec<String>, Failure> {
    let stream = api.stream();
    let remark = match polled_until(archive, api)? {
        Some(until_ms) => format!("{stream}: figures archived up to {}", short_time(until_ms)),
        None if api.has_intervals() => format!("{stream}: no answer yet; it may not be enabled for these keys"),
        None => format!("{stream}: tells only how things are now; what was not asked for cannot be had"),
    };
    let lost = lost_figures(archive, api)?;
    Ok(std::iter::once(remark).chain(lost.iter().map(|lost| format!("{stream}: {}", losses::told(lost)))).collect())
}

impl Ledger {
    fn add(&mut self, stream: &str, coverage: Coverage) {
        self.acceptances.extend(coverage.acceptances);
        self.windows.extend(coverage.windows.into_iter().map(|window| (stream.to_owned(), window)));
    }

    /// Streams that cannot be judged, or are not wanted: what LivePerson has is not known, but what came damaged or is gone is known
    /// to be lacking.
    fn add_known_damage(&mut self, archive: &Archive, rules: &CoverageRules) -> Result<(), Failure> {
        let damaged = archive.damaged_names()?;
        let mut streams: Vec<&str> = damaged.iter().map(|name| name.stream.as_str()).collect();
        streams.dedup();
        for stream in streams.into_iter().filter(|stream| !self.judged.contains(*stream)).collect::<Vec<_>>() {
            let mut coverage = archive.coverage_of(stream, rules)?;
            coverage.windows.retain(|window| window.unfetched > 0);
            self.add(stream, coverage);
        }
        let undated = damaged.iter().filter(|name| name.window.is_none() && !name.listed).count() as u64;
        if undated > 0 {
            let files = counted(undated, "damaged file");
            self.remarks.push(format!("{files} of no known hour, and never listed: `chatvault verify` names them"));
        }
        Ok(())
    }

    fn acceptance(&self, window: &WindowCoverage) -> Option<&Acceptance> {
        self.acceptances.iter().find(|acceptance| Some(acceptance.seq) == window.accepted)
    }

    /// As [`to_json`], with the acceptance where there is one.
    fn to_json(&self, stream: &str, window: &WindowCoverage, now_ms: i64) -> Value {
        let mut value = to_json(stream, window, now_ms);
        if let Some(acceptance) = self.acceptance(window) {
            value["accepted"] = json!({
                "reason": acceptance.reason, "by": acceptance.actor, "time": json_time(Some(acceptance.time_ms)),
                "event": acceptance.seq,
            });
        }
        value
    }
}

/// What can still be had comes first, then what is lost, then what is no hole.
fn urgency(window: &WindowCoverage, now_ms: i64) -> u8 {
    match (window.is_hole(), time_left(window, now_ms)) {
        (true, Some(1..) | None) => 0,
        (true, Some(_)) => 1,
        (false, _) => 2,
    }
}

/// Milliseconds until LivePerson deletes the hour's files, 0 when it has; `None` where the hour is not known.
fn time_left(window: &WindowCoverage, now_ms: i64) -> Option<i64> {
    window.expires_ms.map(|expires_ms| expires_ms.saturating_sub(now_ms).max(0))
}

fn to_json(stream: &str, window: &WindowCoverage, now_ms: i64) -> Value {
    json!({
        "stream": stream,
        "start": json_time(window.window.map(|window| window.start_ms)),
        "end": json_time(window.window.map(|window| window.end_ms)),
        "state": window.state.as_str(),
        "expires_in_s": time_left(window, now_ms).map(|left_ms| left_ms / 1000),
    })
}

/// Joins neighbours of one stream, state and urgency; `shown` is sorted by time within an urgency.
fn ranges<'s>(shown: &[&'s (String, WindowCoverage)], now_ms: i64) -> Vec<Range<'s>> {
    let mut ranges: Vec<Range<'s>> = Vec::new();
    for (stream, window) in shown {
        let hour = window.window.map_or((0, 0), |hour| (hour.start_ms, hour.end_ms));
        let joins = |range: &&mut Range<'_>| {
            window.window.is_some()
                && range.first.window.is_some()
                && range.stream == stream
                && range.end_ms == hour.0
                && range.first.state == window.state
                && range.first.accepted == window.accepted
                && urgency(&range.first, now_ms) == urgency(window, now_ms)
        };
        // Streams alternate hour by hour, so the range to go on with need not be the last one.
        match ranges.iter_mut().rev().take(16).find(joins) {
            Some(range) => {
                range.end_ms = hour.1;
                range.hours += 1;
                range.unfetched += window.unfetched;
            }
            None => {
                ranges.push(Range { stream, first: *window, end_ms: hour.1, hours: 1, unfetched: window.unfetched })
            }
        }
    }
    ranges
}

fn print(range: &Range<'_>, acceptance: Option<&Acceptance>, now_ms: i64, output: &Output) {
    let time = match range.first.window {
        Some(first) => format!("{} to {}", short_time(first.start_ms), short_time(range.end_ms)),
        None => "at a time that its name does not tell".to_owned(),
    };
    let word = if acceptance.is_some() { "accepted" } else { range.first.state.as_str() };
    let state = format!("{word:<8}");
    let state = match (range.first.is_hole(), range.first.state) {
        (true, _) => output.styled(Style::Bad, &state),
        (false, WindowState::Sealed | WindowState::Empty) => output.styled(Style::Good, &state),
        _ => state.as_str().into(),
    };
    let hours = if range.first.window.is_some() { counted(range.hours, "hour") } else { String::new() };
    let files = match range.unfetched {
        0 if range.first.state == WindowState::Listed => "no file so far".to_owned(),
        0 => String::new(),
        files => format!("{} not here", counted(files, "file")),
    };
    let left = match time_left(&range.first, now_ms) {
        _ if !range.first.is_hole() => String::new(),
        Some(0) if figures::method_of(range.stream).is_some() => "forgotten by LivePerson".to_owned(),
        Some(0) => "deleted by LivePerson".to_owned(),
        Some(left_ms) if left_ms < SOON_MS => format!("deleted in {}, soon", readable_duration(left_ms)),
        Some(left_ms) => format!("deleted in {}", readable_duration(left_ms)),
        None => String::new(),
    };
    let accepted = acceptance.map_or_else(String::new, |acceptance| {
        let (actor, reason) = (printable(&acceptance.actor), printable(&acceptance.reason));
        format!("accepted by {actor} on {}: {reason}", short_time(acceptance.time_ms))
    });
    let parts =
        [hours, files, left, accepted].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
    outln!("{state}  {time}  {}  {parts}", range.stream);
}

/// The last line: whether there are holes, how many, and what to type.
fn verdict(ledger: &Ledger, now_ms: i64, output: &Output) -> String {
    if ledger.judged.is_empty() && ledger.windows.is_empty() {
        return "no listing yet; nothing is known about what LivePerson has: run `chatvault sync`".to_owned();
    }
    let (holes, others): (Vec<&WindowCoverage>, Vec<&WindowCoverage>) =
        ledger.windows.iter().map(|(_, window)| window).partition(|window| window.is_hole());
    let said = |windows: Vec<&WindowCoverage>| {
        let counts = WindowCounts::of(windows).present();
        let told = |(state, count): &(WindowState, u64)| match state {
            WindowState::Expired if holes.is_empty() => format!("{} accepted as lost", number(*count)),
            WindowState::Listed if holes.is_empty() => format!("{} without a file so far", number(*count)),
            _ => format!("{} {state}", number(*count)),
        };
        counts.iter().map(told).collect::<Vec<_>>().join(", ")
    };
    if holes.is_empty() {
        let unconfirmed =
            others.iter().filter(|window| !window.is_settled() && window.accepted.is_none()).count() as u64;
        let hint = match unconfirmed {
            0 => String::new(),
            count => format!("; {} not sealed yet, the next syncs see to it", counted(count, "hour")),
        };
        let known = if others.is_empty() { "no hour is due yet".to_owned() } else { said(others) };
        return output.styled(Style::Good, &format!("no gaps: {known}{hint}")).into_owned();
    }
    let count = counted(holes.len() as u64, "hour");
    let next = holes.iter().filter_map(|window| time_left(window, now_ms)).filter(|left_ms| *left_ms > 0).min();
    let soon = holes.iter().filter_map(|window| time_left(window, now_ms));
    let soon = soon.filter(|left_ms| (1..SOON_MS).contains(left_ms)).count() as u64;
    let mut line = format!("GAPS in {count}: {}", said(holes.clone()));
    if soon > 0 {
        line += &format!("; {} deleted within 3 days", counted(soon, "hour"));
    }
    line += &match next {
        Some(left_ms) => format!("; the first in {}: run `chatvault sync`", readable_duration(left_ms)),
        None if holes.iter().all(|window| window.state == WindowState::Expired) => {
            "; LivePerson has them no more: `chatvault gaps accept` records that this is known".to_owned()
        }
        None => "; run `chatvault sync`".to_owned(),
    };
    output.styled(Style::Bad, &line).into_owned()
}

/// `2016-07-25 17:00`, UTC.
fn short_time(epoch_ms: i64) -> String {
    match Timestamp::from_millisecond(epoch_ms) {
        Ok(instant) => instant.strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => format!("{epoch_ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatvault::archive::Window;

    fn hour(hour: i64, state: WindowState, unfetched: u64) -> (String, WindowCoverage) {
        let window = Window { start_ms: hour * HOUR_MS, end_ms: (hour + 1) * HOUR_MS };
        let expires_ms = Some(window.end_ms + 720 * HOUR_MS);
        (
            "s".into(),
            WindowCoverage { window: Some(window), state, names: unfetched, unfetched, expires_ms, accepted: None },
        )
    }

    #[test]
    fn neighbours_of_one_state_are_one_range() {
        use WindowState::*;
        let windows =
            [hour(1, Missing, 0), hour(2, Missing, 0), hour(3, Listed, 2), hour(4, Listed, 1), hour(6, Listed, 1)];
        let now_ms = 10 * HOUR_MS;
        let shown: Vec<&(String, WindowCoverage)> = windows.iter().collect();
        let ranges = ranges(&shown, now_ms);
        let told: Vec<(u64, u64)> = ranges.iter().map(|range| (range.hours, range.unfetched)).collect();
        assert_eq!(told, [(2, 0), (2, 3), (1, 1)]);
    }

    #[test]
    fn what_can_still_be_had_comes_before_what_is_lost() {
        let now_ms = 723 * HOUR_MS;
        let (_, lost) = hour(1, WindowState::Expired, 1);
        let (_, open) = hour(5, WindowState::Listed, 1);
        let (_, sealed) = hour(0, WindowState::Sealed, 0);
        let order = [&open, &lost, &sealed].map(|window| urgency(window, now_ms));
        assert_eq!(order, [0, 1, 2]);
        assert_eq!(to_json("s", &lost, now_ms)["expires_in_s"], 0);
        assert_eq!(to_json("s", &open, now_ms)["expires_in_s"], 3 * 3600);
        assert_eq!(to_json("s", &open, now_ms)["start"], "1970-01-01T05:00:00.000Z");
    }
}
