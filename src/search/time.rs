//! Points in time as people type them, each meaning an interval: a day is the whole day, a millisecond one millisecond.
//!
//! Accepted: `2016`, `2016-07`, `2016-07-01`, `2016-07-01T10`, `…T10:30`, `…T10:30:05`, `…05.123`, each from the hour on
//! with an offset or without (then in the parser's time zone; a space instead of `T` inside quotes), 11 to 15 digits as
//! epoch milliseconds, `now`, `today`, `yesterday`, and `-7d` (that long ago).
//! Where clocks go back, a local time means both of its occurrences: a search that has to be complete includes both.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use super::complaint::Fault;
use super::parse::ParseOptions;
use super::query::TimeRange;
use super::value::{Comparison, duration, split_comparison};

/// A half-open interval in epoch milliseconds.
type Interval = (i64, i64);

/// The year 1000: printed as UTC, earlier years could lose the four digits that they are typed with.
const EARLIEST_MS: i64 = -30_610_224_000_000;

/// Resolves everything that may stand after `start:` or `end:`.
pub(super) fn time_range(typed: &str, options: &ParseOptions) -> Result<TimeRange, Fault> {
    let made = |from_ms, to_ms| TimeRange { typed: typed.to_owned(), from_ms, to_ms };
    Ok(match split_comparison(typed)? {
        Comparison::Equal(point) => {
            let (from, to) = resolve(point, options)?;
            made(Some(from), Some(to))
        }
        Comparison::More(point) => made(Some(resolve(point, options)?.1), None),
        Comparison::MoreOrEqual(point) => made(Some(resolve(point, options)?.0), None),
        Comparison::Less(point) => made(None, Some(resolve(point, options)?.0)),
        Comparison::LessOrEqual(point) => made(None, Some(resolve(point, options)?.1)),
        Comparison::Between(low, high) => {
            let (from, to) = (resolve(low, options)?.0, resolve(high, options)?.1);
            if from >= to {
                return Err(Fault::new(format!("the range `{typed}` ends before it begins, so nothing can match"))
                    .cured_by(format!("{high}..{low}")));
            }
            made(Some(from), Some(to))
        }
    })
}

fn resolve(point: &str, options: &ParseOptions) -> Result<Interval, Fault> {
    let unknown = || {
        Fault::new(format!(
            "`{point}` is not a time; write 2016, 2016-07, 2016-07-25, 2016-07-25T17:54, 2016-07-25T17:54:41Z or epoch milliseconds"
        ))
    };
    let point = point.trim();
    match point.to_ascii_lowercase().as_str() {
        "now" => return Ok((options.now_ms, options.now_ms.saturating_add(1))),
        "today" => return day(today(options)?, &options.tz),
        "yesterday" => {
            let yesterday = today(options)?.yesterday().map_err(|_| unknown())?;
            return day(yesterday, &options.tz);
        }
        _ => {}
    }
    if let Some(ago) = point.strip_prefix('-').filter(|ago| ago.ends_with(|c: char| c.is_ascii_alphabetic())) {
        let at = options.now_ms.saturating_sub(duration(ago)?);
        let early = || Fault::new(format!("`{point}` is longer ago than can be searched"));
        return if at < EARLIEST_MS { Err(early()) } else { Ok((at, at.saturating_add(1))) };
    }
    if point.len() > 4 && point.bytes().all(|b| b.is_ascii_digit()) {
        return digits(point);
    }
    if let Some(fault) = foreign_date(point) {
        return Err(fault);
    }
    let (first, last, zone) = civil(point).ok_or_else(unknown)?;
    let zone = zone.unwrap_or_else(|| options.tz.clone());
    between(first, last, &zone)
}

/// A run of digits that is not a year: epoch milliseconds, or something too unclear to guess.
fn digits(point: &str) -> Result<Interval, Fault> {
    match point.len() {
        11..=15 => {
            let ms: i64 = point.parse().map_err(|_| Fault::new(format!("`{point}` is not a time")))?;
            Ok((ms, ms + 1))
        }
        10 => Err(Fault::new(format!("`{point}` looks like epoch seconds; times as numbers are epoch milliseconds"))
            .cured_by(format!("{point}000"))),
        8 => Err(Fault::new(format!("`{point}` has no dashes; dates are year-month-day")).cured_by(format!(
            "{}-{}-{}",
            &point[..4],
            &point[4..6],
            &point[6..]
        ))),
        _ => Err(Fault::new(format!("`{point}` is not a time; a year has 4 digits, epoch milliseconds have 11 to 15"))),
    }
}

/// `25/07/2016`, `25.07.2016`: refused, because 07/08 means two things; corrected where it can only mean one.
fn foreign_date(point: &str) -> Option<Fault> {
    let separator = point.chars().find(|c| matches!(c, '/' | '.'))?;
    let numbers: Vec<u16> = point.split(separator).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let fault = Fault::new(format!("`{point}` can be read in more than one way; dates are year-month-day"));
    Some(match numbers[..] {
        [day @ 13..=31, month @ 1..=12, year @ 1000..=9999] | [month @ 1..=12, day @ 13..=31, year @ 1000..=9999] => {
            fault.cured_by(format!("{year:04}-{month:02}-{day:02}"))
        }
        [year @ 1000..=9999, month @ 1..=12, day @ 1..=31] => fault.cured_by(format!("{year:04}-{month:02}-{day:02}")),
        _ => fault,
    })
}

/// Cuts a fixed-width number off the front.
fn take(rest: &mut &str, width: usize) -> Option<i16> {
    let part = rest.get(..width).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?;
    *rest = &rest[width..];
    part.parse().ok()
}

fn take_small(rest: &mut &str) -> Option<i8> {
    take(rest, 2)?.try_into().ok()
}

/// First and last millisecond of the year, month … millisecond, and the zone if one is written.
fn civil(point: &str) -> Option<(DateTime, DateTime, Option<TimeZone>)> {
    const MS: i32 = 1_000_000;
    let mut rest = point;
    let year = take(&mut rest, 4).filter(|year| *year >= 1001)?;
    if rest.is_empty() {
        let first = Date::new(year, 1, 1).ok()?;
        return Some((first.at(0, 0, 0, 0), Date::new(year, 12, 31).ok()?.at(23, 59, 59, 999 * MS), None));
    }
    rest = rest.strip_prefix('-')?;
    let month = take_small(&mut rest)?;
    let first = Date::new(year, month, 1).ok()?;
    if rest.is_empty() {
        return Some((first.at(0, 0, 0, 0), first.last_of_month().at(23, 59, 59, 999 * MS), None));
    }
    rest = rest.strip_prefix('-')?;
    let date = Date::new(year, month, take_small(&mut rest)?).ok()?;
    if rest.is_empty() {
        return Some((date.at(0, 0, 0, 0), date.at(23, 59, 59, 999 * MS), None));
    }
    rest = rest.strip_prefix(['T', 't', ' '])?;
    let hour = take_small(&mut rest)?;
    let (mut minutes, mut seconds, mut nanos) = ((0, 59), (0, 59), (0, 999 * MS));
    if let Some(after) = rest.strip_prefix(':') {
        rest = after;
        let minute = take_small(&mut rest)?;
        minutes = (minute, minute);
        if let Some(after) = rest.strip_prefix(':') {
            rest = after;
            let second = take_small(&mut rest)?;
            seconds = (second, second);
            if let Some(after) = rest.strip_prefix('.') {
                nanos = fraction(after, &mut rest)?;
            }
        }
    }
    let zone = if rest.is_empty() { None } else { Some(TimeZone::fixed(offset(rest)?)) };
    let time =
        |minute, second, nano| DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, nano).ok();
    Some((time(minutes.0, seconds.0, nanos.0)?, time(minutes.1, seconds.1, nanos.1)?, zone))
}

/// The milliseconds a decimal fraction covers, in nanoseconds: `.1` is 100 to 199 ms. Finer digits lie inside one.
fn fraction<'a>(text: &'a str, rest: &mut &'a str) -> Option<(i32, i32)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    *rest = &text[length..];
    let kept = &text[..length.min(3)];
    let value: i32 = kept.parse().ok()?;
    let (scale, span) = match kept.len() {
        1 => (100, 100),
        2 => (10, 10),
        _ => (1, 1),
    };
    let first_ms = value * scale;
    Some((first_ms * 1_000_000, (first_ms + span - 1) * 1_000_000))
}

fn offset(text: &str) -> Option<Offset> {
    if text.eq_ignore_ascii_case("z") {
        return Some(Offset::UTC);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut rest = &text[1..];
    let hours = i32::from(take_small(&mut rest)?);
    rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes = if rest.is_empty() { 0 } else { i32::from(take_small(&mut rest)?) };
    if !rest.is_empty() || hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

fn today(options: &ParseOptions) -> Result<Date, Fault> {
    let now = jiff::Timestamp::from_millisecond(options.now_ms)
        .map_err(|_| Fault::new("the present time given to the parser is out of range"))?;
    Ok(options.tz.to_datetime(now).date())
}

fn day(date: Date, zone: &TimeZone) -> Result<Interval, Fault> {
    between(date.at(0, 0, 0, 0), date.at(23, 59, 59, 999_000_000), zone)
}

/// The end is taken from the last millisecond, not from the next unit: 01:59 before clocks go back ends where the
/// first 02:00 begins, not where the second does.
fn between(first: DateTime, last: DateTime, zone: &TimeZone) -> Result<Interval, Fault> {
    let outside = |_| Fault::new(format!("{first} lies outside the years that can be searched"));
    let from = zone.to_ambiguous_timestamp(first).compatible().map_err(outside)?;
    let to = zone.to_ambiguous_timestamp(last).later().map_err(outside)?;
    Ok((from.as_millisecond(), to.as_millisecond() + 1))
}
