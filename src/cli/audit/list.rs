//! `audit list`: events by kind, actor and time, newest last, each in one line that says what happened.

use super::super::exit::{Exit, Failure};
use super::super::output::{Output, Style, bytes, counted, json_time, number, printable, readable_time};
use super::super::settings::duration;
use super::super::{now_ms, open};
use chatvault::archive::{Archive, Event};
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::Path;

/// Events read from the ledger at a time.
const PAGE: u64 = 1000;
/// Longest summary of an event, in characters.
const SUMMARY: usize = 160;

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only events of this kind, such as fetched, imported, listed, quarantined, refused, verified, anchored, masked
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only events from this time on: 2026-11-20, 2026-11-20T08:00:00Z, or an age such as 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only events before this time; a day is meant whole
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only events of this actor
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Events to print, the newest ones, or `all`
    #[arg(long, value_name = "N", default_value = "50")]
    limit: String,
}

/// What the options come to.
struct Filter<'a> {
    kind: Option<&'a str>,
    actor: Option<&'a str>,
    since_ms: Option<i64>,
    until_ms: Option<i64>,
}

impl Filter<'_> {
    fn takes(&self, event: &Event) -> bool {
        self.kind.is_none_or(|kind| event.kind == kind)
            && self.actor.is_none_or(|actor| event.actor == actor)
            && self.since_ms.is_none_or(|since| event.time_ms >= since)
            && self.until_ms.is_none_or(|until| event.time_ms < until)
    }
}

pub(super) fn run(args: &List, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let now = now_ms();
    let filter = Filter {
        kind: args.kind.as_deref(),
        actor: args.actor.as_deref(),
        since_ms: args.since.as_deref().map(|text| instant(text, now, false)).transpose()?,
        until_ms: args.until.as_deref().map(|text| instant(text, now, true)).transpose()?,
    };
    let limit =
        match args.limit.as_str() {
            "all" => None,
            text => Some(text.parse::<usize>().map_err(|_| {
                Failure::usage(format!("--limit {text:?} is not a number")).hint("write a number, or all")
            })?),
        };
    let archive = open(vault)?;
    let mut total: u64 = 0;
    let mut kept: VecDeque<Event> = VecDeque::new();
    let streams = limit.is_none() && !output.json;
    for_each_event(&archive, &mut |event| {
        if !filter.takes(&event) {
            return Ok(());
        }
        total += 1;
        if streams {
            return print(&event, output);
        }
        kept.push_back(event);
        if limit.is_some_and(|limit| kept.len() > limit) {
            kept.pop_front();
        }
        Ok(())
    })?;
    if output.json {
        let events: Vec<Value> = kept.iter().map(to_json).collect();
        output.document(json!({ "total": total, "events": events }), "events")?;
        return Ok(Exit::Complete);
    }
    kept.iter().try_for_each(|event| print(event, output))?;
    let left_out = if streams { 0 } else { total - kept.len() as u64 };
    if left_out > 0 && !output.ndjson {
        output.note(&format!("{} earlier left out; --limit all prints them", counted(left_out, "event")));
    }
    Ok(Exit::Complete)
}

/// Every event, oldest first; memory is one page.
pub(super) fn for_each_event(
    archive: &Archive,
    with: &mut dyn FnMut(Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut seq = 0;
    loop {
        let page = archive.events_after(seq, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        seq = last.seq;
        page.into_iter().try_for_each(&mut *with)?;
    }
}

fn print(event: &Event, output: &Output) -> Result<(), Failure> {
    if output.ndjson {
        return output.document(to_json(event), "event");
    }
    let payload = serde_json::from_str(&event.payload).unwrap_or_default();
    let summary: String = summary(&event.kind, &payload).unwrap_or_else(|| event.payload.clone());
    let shown: String = summary.chars().take(SUMMARY).collect();
    let more = if shown.len() < summary.len() { "…" } else { "" };
    outln!(
        "{:>7}  {}  {}  {} {}{more}",
        event.seq,
        output.styled(Style::Dim, &readable_time(event.time_ms, &TimeZone::UTC)),
        printable(&event.actor),
        output.styled(Style::Bold, &format!("{:<11}", printable(&event.kind))),
        printable(&shown),
    );
    Ok(())
}

fn to_json(event: &Event) -> Value {
    let payload: Value = serde_json::from_str(&event.payload).unwrap_or_else(|_| json!(event.payload));
    json!({
        "seq": event.seq, "time": json_time(Some(event.time_ms)), "actor": event.actor, "kind": event.kind,
        "summary": summary(&event.kind, &payload), "payload": payload, "hash": event.hash,
    })
}

/// What happened, in a line. `None` for a kind (or a payload) that this program does not know.
fn summary(kind: &str, payload: &Value) -> Option<String> {
    let text = |name: &str| payload[name].as_str().map(str::to_owned);
    let size = || payload["size_bytes"].as_u64().map(bytes);
    let short = |hash: &Value| hash.as_str().and_then(|hash| hash.get(..12)).map(str::to_owned);
    Some(match kind {
        "created" => format!("vault of account {}", text("account_id")?),
        "fetched" | "imported" | "restored" => {
            format!("{} ({}, SHA-256 {}…)", text("path")?, size()?, short(&payload["sha256"])?)
        }
        "listed" => {
            let asked = |side: &str| payload["asked"][side].as_i64().map(|ms| readable_time(ms, &TimeZone::UTC));
            let found = match text("outcome")?.as_str() {
                "files" => counted(payload["names"].as_u64()?, "name"),
                "empty" => "nothing there".to_owned(),
                _ => format!("failed: {}", text("reason").unwrap_or_default()),
            };
            format!("{} {} to {}: {found}", text("stream")?, asked("start_ms")?, asked("end_ms")?)
        }
        "quarantined" => format!("{} ({}): {}", text("path")?, size()?, text("reason")?),
        "verified" => {
            let count = |name: &str| payload["files"][name].as_u64();
            let verdict = if payload["ok"].as_bool()? { "unchanged" } else { "NOT verified" };
            let (checked, read) = (counted(count("checked")?, "file"), bytes(count("bytes")?));
            format!("{checked} ({read}), chain of {} rows: {verdict}", number(payload["chain"]["rows"].as_u64()?))
        }
        "exported" => {
            let size = payload["bytes"].as_u64().map(bytes)?;
            let files = counted(payload["files"].as_u64()?, "file");
            format!("{}: {files} ({size}) for the query {}", text("format")?, text("query")?)
        }
        "anchored" => {
            format!("head {} {}…", payload["head"]["seq"].as_u64()?, short(&payload["head"]["hash"])?)
        }
        "masked" => {
            let what = match text("conversation_id") {
                Some(id) => format!("conversation {id}"),
                None => "a record without an id".to_owned(),
            };
            let place = format!("record {} of SHA-256 {}…", payload["record"].as_u64()?, short(&payload["sha256"])?);
            format!("{what}: LivePerson has deleted personal data ({place})")
        }
        _ => return None,
    })
}

/// An instant as typed: a timestamp with its offset, a UTC day, or an age. `end` puts a day's instant behind it.
fn instant(text: &str, now_ms: i64, end: bool) -> Result<i64, Failure> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.as_millisecond());
    }
    if let Ok(day) = text.parse::<Date>() {
        let day = if end { day.tomorrow().unwrap_or(day) } else { day };
        if let Ok(midnight) = day.to_zoned(TimeZone::UTC) {
            return Ok(midnight.timestamp().as_millisecond());
        }
    }
    match duration(text) {
        Ok(age) => Ok(now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))),
        Err(_) => Err(Failure::usage(format!("{text:?} is not a time"))
            .hint("write a day 2026-11-20, an instant 2026-11-20T08:00:00Z, or an age 7d")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_instants_or_ages() {
        let day = 1_469_404_800_000; // 2016-07-25
        assert_eq!(instant("2016-07-25", 0, false).unwrap(), day);
        assert_eq!(instant("2016-07-25", 0, true).unwrap(), day + 86_400_000);
        assert_eq!(instant("2016-07-25T02:00:00+02:00", 0, true).unwrap(), day);
        assert_eq!(instant("8h", day, false).unwrap(), day - 8 * 3_600_000);
        assert_eq!(instant("yesterday", 0, false).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn an_event_of_a_newer_program_is_shown_as_it_is() {
        assert_eq!(summary("levitated", &json!({ "height": 3 })), None);
        assert_eq!(summary("fetched", &json!({ "path": 3 })), None);
        assert_eq!(summary("created", &json!({ "account_id": "1" })).unwrap(), "vault of account 1");
    }
}
