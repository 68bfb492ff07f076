//! Conversations over time: a row for each hour, day, week or month, those without any included.

use super::chart::Row;
use super::output::counted;
use chatvault::search::facets::{Facet, FacetCount, FacetValue};
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Empty rows in a row that are printed one by one; more become one remark. A stray record of the year 9999 costs a line, not a
/// million.
const EMPTY_SHOWN: u64 = 31;

/// Hours that are looked at one by one, to leave out those that clocks skip.
const WALKED: u64 = 10_000;

/// The unit that shows a span of days best: hours of a day or two, days of two months, weeks of two years, then months.
pub(super) fn unit_of(days: &[FacetCount]) -> Facet {
    let mut dates = days.iter().filter_map(|entry| match &entry.value {
        Some(FacetValue::Text(text)) => text.parse::<Date>().ok(),
        _ => None,
    });
    let first = dates.next();
    let last = dates.next_back().or(first);
    let days = match (first, last) {
        (Some(first), Some(last)) => days_between(first, last) + 1,
        _ => 0,
    };
    match days {
        0..=2 => Facet::Hour,
        3..=62 => Facet::Day,
        63..=732 => Facet::Week,
        _ => Facet::Month,
    }
}

/// The counts of a facet of time as rows, with its gaps.
pub(super) fn rows(unit: Facet, counts: &[FacetCount], tz: &TimeZone) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut before: Option<DateTime> = None;
    for entry in counts {
        let label = match &entry.value {
            Some(FacetValue::Text(text)) => text.clone(),
            Some(FacetValue::Number(number)) => number.to_string(),
            None => "(no start)".to_owned(),
        };
        let at = moment(unit, &label);
        if let (Some(before), Some(at)) = (before, at) {
            fill(unit, before, at, tz, &mut rows);
        }
        before = at.or(before);
        rows.push(Row::Bar(shown(unit, &label), entry.count));
    }
    rows
}

/// The start of a row, from its label.
fn moment(unit: Facet, label: &str) -> Option<DateTime> {
    match unit {
        Facet::Hour => label.parse().ok(),
        Facet::Month => format!("{label}-01").parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0)),
        _ => label.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0)),
    }
}

/// A label as people read it: with the day of the week where it helps.
fn shown(unit: Facet, label: &str) -> String {
    let date = label.parse::<Date>().ok();
    match (unit, date) {
        (Facet::Day, Some(date)) => date.strftime("%Y-%m-%d %a").to_string(),
        (Facet::Hour, _) => label.replace('T', " "),
        _ => label.to_owned(),
    }
}

/// Rows for what lies between two that have conversations.
fn fill(unit: Facet, before: DateTime, after: DateTime, tz: &TimeZone, rows: &mut Vec<Row>) {
    let missing = if before < after { steps(unit, before, after).saturating_sub(1) } else { 0 };
    if missing == 0 {
        return;
    }
    let exists = |at: &DateTime| unit != Facet::Hour || !is_skipped(tz, *at);
    let walk = || (1..=missing).map_while(|step| after_steps(unit, before, step)).filter(exists);
    if missing <= EMPTY_SHOWN {
        rows.extend(walk().map(|at| Row::Bar(shown(unit, &label(unit, at)), 0)));
        return;
    }
    let empty = if missing <= WALKED { walk().count() as u64 } else { missing };
    rows.push(Row::Remark(format!("… {} …", counted(empty, &format!("empty {}", unit.name())))));
}

/// Whether clocks skip a local time.
fn is_skipped(tz: &TimeZone, at: DateTime) -> bool {
    matches!(tz.to_ambiguous_timestamp(at).offset(), AmbiguousOffset::Gap { .. })
}

fn label(unit: Facet, at: DateTime) -> String {
    match unit {
        Facet::Hour => at.strftime("%Y-%m-%dT%H:00").to_string(),
        Facet::Month => at.strftime("%Y-%m").to_string(),
        _ => at.date().to_string(),
    }
}

fn days_between(first: Date, last: Date) -> u64 {
    // In days alone; two dates of the calendar are never too far apart for that.
    first.until(last).map_or(0, |span| i64::from(span.get_days())).unsigned_abs()
}

/// Steps of the unit from one row to a later one.
fn steps(unit: Facet, before: DateTime, after: DateTime) -> u64 {
    let days = days_between(before.date(), after.date());
    match unit {
        Facet::Hour => {
            let hours = days as i64 * 24 + i64::from(after.hour()) - i64::from(before.hour());
            hours.unsigned_abs()
        }
        Facet::Week => days / 7,
        Facet::Month => {
            let months = |at: DateTime| i64::from(at.year()) * 12 + i64::from(at.month());
            (months(after) - months(before)).unsigned_abs()
        }
        _ => days,
    }
}

fn after_steps(unit: Facet, at: DateTime, steps: u64) -> Option<DateTime> {
    let steps = i64::try_from(steps).ok()?;
    let span = match unit {
        Facet::Hour => steps.hours(),
        Facet::Week => steps.weeks(),
        Facet::Month => steps.months(),
        _ => steps.days(),
    };
    at.checked_add(span).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[&str]) -> Vec<FacetCount> {
        values.iter().map(|text| FacetCount { value: Some(FacetValue::Text((*text).to_owned())), count: 1 }).collect()
    }

    #[track_caller]
    fn check(unit: Facet, zone: &str, values: &[&str], expected: &[&str]) {
        let tz = TimeZone::get(zone).expect("a zone");
        let said = |row: Row| match row {
            Row::Bar(label, count) => format!("{label} {count}"),
            Row::Remark(text) => text,
        };
        let found: Vec<String> = rows(unit, &counts(values), &tz).into_iter().map(said).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn gaps_are_empty_rows() {
        check(
            Facet::Day,
            "UTC",
            &["2016-02-27", "2016-03-01"],
            &["2016-02-27 Sat 1", "2016-02-28 Sun 0", "2016-02-29 Mon 0", "2016-03-01 Tue 1"],
        );
        check(Facet::Week, "UTC", &["2016-12-26", "2017-01-09"], &["2016-12-26 1", "2017-01-02 0", "2017-01-09 1"]);
        check(Facet::Month, "UTC", &["2016-11", "2017-01"], &["2016-11 1", "2016-12 0", "2017-01 1"]);
        check(
            Facet::Day,
            "UTC",
            &["2016-01-01", "2026-01-01"],
            &["2016-01-01 Fri 1", "… 3,652 empty days …", "2026-01-01 Thu 1"],
        );
    }

    #[test]
    fn an_hour_that_clocks_skip_is_not_empty() {
        // 27 March 2016, Berlin: 02:00 does not exist.
        check(
            Facet::Hour,
            "Europe/Berlin",
            &["2016-03-27T00:00", "2016-03-27T04:00"],
            &["2016-03-27 00:00 1", "2016-03-27 01:00 0", "2016-03-27 03:00 0", "2016-03-27 04:00 1"],
        );
        check(
            Facet::Hour,
            "Europe/Berlin",
            &["2016-03-26T00:00", "2016-03-28T00:00"],
            &["2016-03-26 00:00 1", "… 46 empty hours …", "2016-03-28 00:00 1"],
        );
    }

    #[test]
    fn the_unit_follows_the_span() {
        for (values, unit) in [
            (&[][..], Facet::Hour),
            (&["2016-07-01", "2016-07-02"], Facet::Hour),
            (&["2016-07-01", "2016-08-15"], Facet::Day),
            (&["2016-07-01", "2017-08-15"], Facet::Week),
            (&["2016-07-01", "9999-08-15"], Facet::Month),
        ] {
            assert_eq!(unit_of(&counts(values)), unit, "{values:?}");
        }
    }
}
