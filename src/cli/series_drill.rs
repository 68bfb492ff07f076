//! `stats --stream S --at TIME`: the figures of a moment beside what the index finds of them.
//!
//! With `--json`: `{ "stream", "at", "skill", "agent", "coverage" (of the index, as in search), "calls": [ { "call", "kind", "start", "end",
//! "open", "answered", "figures": [ { "metric", "value", "query", "found", "agrees", "differs", "none" } ] } ] }`; `query`, `found`, `agrees`
//! and `differs` (the rule by which the numbers may differ) are null where no query exists, and `none` says why.

use super::args::{Search, Stats};
use super::exit::{Exit, Failure};
use super::output::{Output, Style, json_time, number, printable, readable_time};
use super::search::{coverage_json, request, warn_if_incomplete};
use super::series::{figure, time};
use super::{open_index, search as search_command};
use chatvault::archive::Archive;
use chatvault::decode::SpanKind;
use chatvault::index::Reader;
use chatvault::pipeline::{self, Among, DrillCall, DrillFigure, DrillQuery, SeriesFilter, SeriesOptions, drill_down};
use chatvault::search::search;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// What is asked for.
pub(super) struct Request<'r> {
    pub(super) stream: &'r str,
    pub(super) at: &'r str,
    pub(super) args: &'r Stats,
    pub(super) filter: SeriesFilter,
    pub(super) tz: TimeZone,
    pub(super) vault: &'r Path,
}

pub(super) fn run(
    archive: &Archive,
    request: &Request<'_>,
    options: SeriesOptions,
    output: &Output,
) -> Result<Exit, Failure> {
    let (at_ms, _) = time("--at", request.at, &request.tz)?;
    // Whether there is an index is asked once it is needed: that there are no figures is said first.
    let reader = open_index(request.vault);
    let among = match &reader {
        Ok(reader) => among(reader, request.vault)?,
        Err(_) => Among::Everything,
    };
    let calls = drill_down(archive, request.stream, at_ms, &request.filter, options, among)?;
    if calls.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            format!("no archived figures of {} hold {}", request.stream, request.at),
        )
        .hint(format!("`chatvault stats --stream {}` shows what is there, and its holes", request.stream)));
    }
    let reader = reader?;
    if let Some(metric) = &request.args.figures.conversations {
        return conversations(&calls, metric, &reader, request, output);
    }
    let coverage = pipeline::coverage(archive, &reader)?;
    let mut shown = Vec::new();
    for call in &calls {
        let found: Vec<Option<u64>> =
            call.figures.iter().map(|figure| count(&reader, figure, request.vault)).collect::<Result<_, Failure>>()?;
        if output.for_machines() {
            shown.push(call_json(call, &found));
        } else {
            print(call, &found, &request.tz, output);
        }
    }
    if output.for_machines() {
        let document = json!({
            "stream": request.stream, "at": json_time(Some(at_ms)), "skill": request.filter.skill,
            "agent": request.filter.agent, "coverage": coverage_json(coverage), "calls": shown,
        });
        output.document(document, "figures")?;
    }
    warn_if_incomplete(coverage);
    Ok(Exit::Complete)
}

/// Whether records of messaging must be told apart by where they came from.
fn among(reader: &Reader, vault: &Path) -> Result<Among, Failure> {
    for query in Among::QUERIES {
        if total(reader, query, vault)? == 0 {
            return Ok(Among::Everything);
        }
    }
    Ok(Among::Interactions)
}

fn total(reader: &Reader, query: &str, vault: &Path) -> Result<u64, Failure> {
    let mut wanted = request(query, &TimeZone::UTC, vault)?;
    wanted.limit = Some(0);
    Ok(search(reader, &wanted)?.total)
}

/// What the index finds for a figure; `None` where there is no query.
fn count(reader: &Reader, figure: &DrillFigure, vault: &Path) -> Result<Option<u64>, Failure> {
    let Ok(query) = &figure.query else { return Ok(None) };
    Ok(Some(total(reader, &query.text, vault)?))
}

/// Why the numbers of a figure differ.
fn rule(query: &DrillQuery) -> &str {
    if query.differs.is_empty() {
        "the figure should be what the query finds; look at `chatvault gaps` for files that are not here"
    } else {
        &query.differs
    }
}

fn agrees(value: f64, found: u64) -> bool {
    value == found as f64
}

fn call_json(call: &DrillCall, found: &[Option<u64>]) -> Value {
    let figures = call.figures.iter().zip(found).map(|(figure, found)| {
        let query = figure.query.as_ref().ok();
        let differs = query.map(|query| query.differs.as_str()).filter(|differs| !differs.is_empty());
        json!({
            "metric": figure.metric, "value": figure.value, "query": query.map(|query| &query.text), "found": found,
            "agrees": found.map(|found| agrees(figure.value, found)), "differs": differs,
            "none": figure.query.as_ref().err(),
        })
    });
    json!({
        "call": call.call, "kind": call.span.kind.name(), "start": json_time(Some(call.span.start_ms)),
        "end": json_time(Some(call.span.end_ms)), "open": call.is_open, "answered": json_time(Some(call.answered_ms)),
        "figures": figures.collect::<Vec<Value>>(),
    })
}

fn print(call: &DrillCall, found: &[Option<u64>], tz: &TimeZone, output: &Output) {
    let time = match call.span.kind {
        SpanKind::Snapshot => format!("at {}", readable_time(call.span.start_ms, tz)),
        _ => format!("{} to {}", readable_time(call.span.start_ms, tz), readable_time(call.span.end_ms, tz)),
    };
    let open = if call.is_open { ", not over when last asked for" } else { "" };
    outln!("{}  {time}{open}", output.styled(Style::Bold, &printable(&call.call)));
    let width = call.figures.iter().map(|figure| printable(&figure.metric).chars().count()).max().unwrap_or(0).min(56);
    let mut rules = BTreeSet::new();
    let mut nothing = BTreeSet::new();
    for (one, found) in call.figures.iter().zip(found) {
        let name = printable(&one.metric);
        let value = figure(one.value);
        match (&one.query, found) {
            (Ok(query), Some(found)) => {
                let sign = if agrees(one.value, *found) { "=" } else { "!" };
                outln!("  {name:width$} {value:>12} {sign} {:>6} found  {}", number(*found), query.text);
                if !agrees(one.value, *found) {
                    rules.insert(rule(query));
                }
            }
            (Err(why), _) => {
                outln!("  {name:width$} {value:>12}   no query");
                nothing.insert(*why);
            }
            (Ok(_), None) => {}
        }
    }
    for rule in rules {
        outln!("  ! {rule}");
    }
    for why in nothing {
        output.note(&format!("  no query: {why}"));
    }
}

fn conversations(
    calls: &[DrillCall],
    metric: &str,
    reader: &Reader,
    request: &Request<'_>,
    output: &Output,
) -> Result<Exit, Failure> {
    let of_metric = || calls.iter().flat_map(|call| &call.figures).filter(|figure| figure.metric == metric);
    let Some(figure) = of_metric().find(|figure| figure.query.is_ok()).or_else(|| of_metric().next()) else {
        let mut known: Vec<&str> = calls
            .iter()
            .flat_map(|call| &call.figures)
            .filter(|figure| figure.query.is_ok())
            .map(|figure| figure.metric.as_str())
            .collect();
        known.dedup();
        return Err(Failure::usage(format!("no figure {metric:?} at this moment"))
            .hint(format!("with conversations: {}", known.join(", "))));
    };
    let query = match &figure.query {
        Ok(query) => query,
        Err(why) => return Err(Failure::usage(format!("{metric} has no conversations: {why}"))),
    };
    let found = total(reader, &query.text, request.vault)?;
    let value = super::series::figure(figure.value);
    output.note(&format!("LivePerson says {value}, found {}: {}", number(found), query.text));
    if !agrees(figure.value, found) {
        output.note(&format!("! {}", rule(query)));
    }
    let search = Search::all(query.text.clone(), request.args.tz.clone());
    search_command::run(&search, request.vault, output)
}
