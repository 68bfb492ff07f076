//! Facets for scripts and for people: labels beside codes, names beside ids, shares, bars.

use super::chart::{Glyphs, Row, left_out, lines};
use super::exit::Failure;
use super::histogram;
use super::output::{printable, width};
use chatvault::index::Reader;
use chatvault::search::facets::{Facet, FacetCount, FacetValue};
use chatvault::search::field::{end_reason_label, start_reason_label};
use chatvault::search::names::name_of;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

/// Facets, as they come with an answer.
type Facets = [(Facet, Vec<FacetCount>)];

/// Days of the week, Monday first.
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Every value of every facet: `value`, `label` where it has one, `count`, and the `share` of the conversations counted.
pub(super) fn json(facets: &Facets, total: u64, reader: &Reader) -> Result<Value, Failure> {
    let mut all = Map::new();
    for (facet, counts) in facets {
        let mut entries = Vec::with_capacity(counts.len());
        for entry in counts {
            entries.push(entry_json(*facet, entry, total, reader)?);
        }
        all.insert(facet.name().into(), Value::Array(entries));
    }
    Ok(Value::Object(all))
}

fn entry_json(facet: Facet, entry: &FacetCount, total: u64, reader: &Reader) -> Result<Value, Failure> {
    let value = match &entry.value {
        None => Value::Null,
        Some(FacetValue::Number(number)) => json!(number),
        Some(FacetValue::Text(text)) => json!(text),
    };
    let mut fields = Map::new();
    fields.insert("value".into(), value);
    if let Some(label) = label(facet, entry, reader)? {
        fields.insert("label".into(), json!(label));
    }
    fields.insert("count".into(), json!(entry.count));
    fields.insert("share".into(), json!(if total == 0 { 0.0 } else { entry.count as f64 / total as f64 }));
    Ok(Value::Object(fields))
}

/// What people call a value: the label of a code, the name of an id, a day of the week.
fn label(facet: Facet, entry: &FacetCount, reader: &Reader) -> Result<Option<String>, Failure> {
    Ok(match (facet, &entry.value) {
        (Facet::EndReason, Some(FacetValue::Number(code))) => end_reason_label(*code).map(str::to_owned),
        (Facet::StartReason, Some(FacetValue::Number(code))) => start_reason_label(*code).map(str::to_owned),
        (Facet::Weekday, Some(FacetValue::Number(day))) => {
            usize::try_from(day - 1).ok().and_then(|day| WEEKDAYS.get(day)).map(|day| (*day).to_owned())
        }
        (Facet::HourOfDay, Some(FacetValue::Number(hour))) => Some(format!("{hour:02}:00")),
        // The score ends at 100.
        (Facet::Mcs, Some(FacetValue::Number(100))) => Some("100".to_owned()),
        (Facet::Mcs, Some(FacetValue::Number(tens))) => Some(format!("{tens}-{}", tens.saturating_add(9))),
        (Facet::Agent | Facet::Skill, Some(FacetValue::Text(id))) => name_of(reader, facet, id)?,
        _ => None,
    })
}

/// Charts, one below the other. At most `top` values of a facet without an order of its own; what is left out is told.
pub(super) fn print(
    facets: &Facets,
    total: u64,
    top: Option<usize>,
    reader: &Reader,
    tz: &TimeZone,
) -> Result<(), Failure> {
    for (facet, counts) in facets {
        let zone = tz.iana_name().unwrap_or("local time");
        let heading = match facet {
            Facet::Hour | Facet::Day | Facet::Week | Facet::Month | Facet::HourOfDay | Facet::Weekday => {
                format!("{} ({zone})", facet.name())
            }
            _ if facet.has_many() => format!("{} (a conversation may have several)", facet.name()),
            _ => facet.name().to_owned(),
        };
        outln!("{}", printable(&heading));
        let rows = rows(*facet, counts, top, reader, tz)?;
        lines(&rows, total, width(), Glyphs::of_locale()).iter().for_each(|line| outln!("{line}"));
    }
    Ok(())
}

fn rows(
    facet: Facet,
    counts: &[FacetCount],
    top: Option<usize>,
    reader: &Reader,
    tz: &TimeZone,
) -> Result<Vec<Row>, Failure> {
    match facet {
        Facet::Hour | Facet::Day | Facet::Week | Facet::Month => return Ok(histogram::rows(facet, counts, tz)),
        Facet::HourOfDay => return cycle(facet, 0..=23, counts, reader),
        Facet::Weekday => return cycle(facet, 1..=7, counts, reader),
        _ => {}
    }
    let values = counts.iter().filter(|entry| entry.value.is_some()).count();
    let shown = if facet.is_ordered() { values } else { top.unwrap_or(values).min(values) };
    let mut rows = Vec::with_capacity(shown + 2);
    for entry in &counts[..shown] {
        rows.push(bar(facet, entry, reader)?);
    }
    if shown < values {
        let counts = counts[shown..values].iter().map(|entry| entry.count).sum();
        rows.push(left_out(values - shown, counts));
    }
    // Those without a value come last, and are never left out.
    for entry in &counts[values..] {
        rows.push(bar(facet, entry, reader)?);
    }
    Ok(rows)
}

/// A row for each value that there can be, whether or not some conversation has it.
fn cycle(
    facet: Facet,
    values: std::ops::RangeInclusive<i64>,
    counts: &[FacetCount],
    reader: &Reader,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for value in values.clone() {
        let value = Some(FacetValue::Number(value));
        let count = counts.iter().find(|entry| entry.value == value).map_or(0, |entry| entry.count);
        rows.push(bar(facet, &FacetCount { value, count }, reader)?);
    }
    let is_outside =
        |entry: &&FacetCount| !matches!(entry.value, Some(FacetValue::Number(value)) if values.contains(&value));
    for entry in counts.iter().filter(is_outside) {
        rows.push(bar(facet, entry, reader)?);
    }
    Ok(rows)
}

fn bar(facet: Facet, entry: &FacetCount, reader: &Reader) -> Result<Row, Failure> {
    let label = label(facet, entry, reader)?;
    let value = match &entry.value {
        None => "(none)".to_owned(),
        Some(FacetValue::Number(number)) => number.to_string(),
        Some(FacetValue::Text(text)) => printable(text).into_owned(),
    };
    let text = match (facet, label) {
        // The label says all of these.
        (Facet::Weekday | Facet::HourOfDay | Facet::Mcs, Some(label)) => label,
        (_, Some(label)) => format!("{value} {}", printable(&label)),
        (_, None) => value,
    };
    Ok(Row::Bar(text, entry.count))
}
