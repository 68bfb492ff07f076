//! `stats`: counts and charts over all conversations, or those that match a query.

use super::args::Stats;
use super::chart::share;
use super::choices::Unit;
use super::exit::{Exit, Failure};
use super::output::{Output, Style, counted, number, readable_duration, time_zone};
use super::search::{coverage_json, request_in, warn_if_incomplete};
use super::{activity, facets, histogram, open, open_index_or_none, series};
use chatvault::conversation::Role;
use chatvault::index::Reader;
use chatvault::pipeline;
use chatvault::search::facets::{Facet, FacetCount, FacetValue};
use chatvault::search::figures::Lengths;
use chatvault::search::{SearchAnswer, SearchRequest, search};
use serde_json::{Map, Value, json};
use std::path::Path;

/// What is charted besides time, in this order.
const CHARTS: [Facet; 10] = [
    Facet::EndReason,
    Facet::ClosedBy,
    Facet::Transfers,
    Facet::Mcs,
    Facet::Csat,
    Facet::Skill,
    Facet::Agent,
    Facet::Device,
    Facet::Type,
    Facet::Status,
];

/// Units of time, finest first.
const UNITS: [Facet; 4] = [Facet::Hour, Facet::Day, Facet::Week, Facet::Month];

/// Conversations whose transcripts are read without being asked for it. Measured: 8,000 took half a second of processor time in a
/// debug build, so these take seconds.
const READ_UNASKED: u64 = 100_000;

/// The figures of an answer.
struct Figures {
    duration: Option<Lengths>,
    queue: Option<Lengths>,
    /// Messages by role, in the order of the roles; `None` where they were not counted.
    messages: Option<Vec<(&'static str, u64)>>,
}

pub(crate) fn run(args: &Stats, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    if let Some(stream) = &args.stream {
        if !pipeline::OPERATIONS.contains(&stream.as_str()) {
            return activity::run(stream, args, vault, output);
        }
        return series::run(stream, args, vault, output);
    }
    if args.by == Unit::FiveMinutes {
        return Err(Failure::usage("--by 5m is for the figures of an operational stream (--stream)").hint("--by hour"));
    }
    let archive = open(vault)?;
    let reader = open_index_or_none(&archive, vault, output)?;
    let tz = time_zone(&args.tz)?;
    let mut request = request_in(args.syntax, &args.query, &tz, vault)?;
    let normalised = request.query.query.to_string();
    request.limit = Some(0);
    request.facets = UNITS.into_iter().chain(CHARTS).chain([Facet::Duration, Facet::Queue]).collect();
    let answer = search(&reader, &request)?;
    let counts = |facet: Facet| -> &[FacetCount] {
        answer.facets.iter().find(|(counted, _)| *counted == facet).map_or(&[], |(_, counts)| counts)
    };
    let figures = Figures {
        duration: Lengths::of(counts(Facet::Duration)),
        queue: Lengths::of(counts(Facet::Queue)),
        messages: if args.messages || answer.total <= READ_UNASKED { Some(messages(&reader, request)?) } else { None },
    };
    let unit = match args.by {
        Unit::Auto => histogram::unit_of(counts(Facet::Day)),
        Unit::FiveMinutes | Unit::Hour => Facet::Hour,
        Unit::Day => Facet::Day,
        Unit::Week => Facet::Week,
        Unit::Month => Facet::Month,
    };
    let coverage = pipeline::coverage(&archive, &reader)?;
    let with_days = |unit: Facet| -> Vec<(Facet, Vec<FacetCount>)> {
        let charts = answer.facets.iter().filter(|(facet, _)| CHARTS.contains(facet)).cloned();
        std::iter::once((unit, counts(unit).to_vec())).chain(charts).collect()
    };
    if output.for_machines() {
        let mut shown = with_days(Facet::Day);
        if unit != Facet::Day {
            shown.push((unit, counts(unit).to_vec()));
        }
        let mut document = json!({
            "query": args.query,
            "query_normalised": normalised,
            "tz": args.tz,
            "conversations": answer.total,
            "coverage": coverage_json(coverage),
            "by": unit.name(),
            "facets": facets::json(&shown, answer.total, &reader)?,
        });
        if let Some(fields) = document.as_object_mut() {
            fields.extend(figures_json(&figures));
        }
        output.document(document, "stats")?;
        return Ok(Exit::Complete);
    }
    print_figures(&answer, &figures, output);
    let mut charts = with_days(unit);
    // A chart of nothing but "(none)" tells nobody anything.
    charts.retain(|(_, counts)| counts.iter().any(|entry| entry.value.is_some()));
    facets::print(&charts, answer.total, args.top.0, &reader, &tz)?;
    warn_if_incomplete(coverage);
    Ok(Exit::Complete)
}

/// Messages of all that match, by role.
fn messages(reader: &Reader, request: SearchRequest) -> Result<Vec<(&'static str, u64)>, Failure> {
    let answer = search(reader, &SearchRequest { facets: vec![Facet::Messages], ..request })?;
    let counts = answer.facets.first().map_or(&[][..], |(_, counts)| counts.as_slice());
    let of_role = |role: Role| {
        let value = Some(FacetValue::Text(role.name().to_owned()));
        (role.name(), counts.iter().find(|entry| entry.value == value).map_or(0, |entry| entry.count))
    };
    Ok(Role::ALL.into_iter().map(of_role).collect())
}

fn figures_json(figures: &Figures) -> Map<String, Value> {
    let lengths = |lengths: &Option<Lengths>| match lengths {
        None => Value::Null,
        Some(l) => json!({
            "count": l.count, "without": l.without, "min": l.min_s, "p50": l.p50_s, "p90": l.p90_s, "p99": l.p99_s,
            "max": l.max_s,
        }),
    };
    let messages = match &figures.messages {
        None => Value::Null,
        Some(by_role) => {
            let total: u64 = by_role.iter().map(|(_, count)| count).sum();
            let mut fields: Map<String, Value> = Map::new();
            fields.insert("total".into(), json!(total));
            fields.extend(by_role.iter().map(|(role, count)| ((*role).to_owned(), json!(count))));
            Value::Object(fields)
        }
    };
    [
        ("duration_s".to_owned(), lengths(&figures.duration)),
        ("queue_s".to_owned(), lengths(&figures.queue)),
        ("messages".to_owned(), messages),
    ]
    .into_iter()
    .collect()
}

fn print_figures(answer: &SearchAnswer, figures: &Figures, output: &Output) {
    outln!("{}", output.styled(Style::Bold, &counted(answer.total, "conversation")));
    match &figures.messages {
        Some(by_role) => {
            let total: u64 = by_role.iter().map(|(_, count)| count).sum();
            let written = by_role.iter().filter(|(_, count)| *count > 0);
            let parts: Vec<String> =
                written.map(|(role, count)| format!("{role} {} ({})", number(*count), share(*count, total))).collect();
            outln!("{}", counted(total, "message"));
            parts.iter().for_each(|part| outln!("  {part}"));
        }
        None => output.note("messages by role are not counted over so many conversations; --messages does"),
    }
    if figures.duration.is_none() && figures.queue.is_none() {
        return;
    }
    let row = |name: &str, of: &dyn Fn(&Lengths) -> String| {
        let cell = |lengths: &Option<Lengths>| lengths.as_ref().map_or("-".to_owned(), of);
        outln!("  {name:7} {:>12} {:>12}", cell(&figures.duration), cell(&figures.queue));
    };
    let length = |seconds: i64| readable_duration(seconds.saturating_mul(1000));
    outln!("{:9} {:>12} {:>12}", "lengths", "duration", "queue");
    row("p50", &|lengths| length(lengths.p50_s));
    row("p90", &|lengths| length(lengths.p90_s));
    row("p99", &|lengths| length(lengths.p99_s));
    row("longest", &|lengths| length(lengths.max_s));
    row("known", &|lengths| number(lengths.count));
}
