//! Values after a metadata field: comparisons, numbers, durations, codes, choices.
//!
//! Every function takes the value exactly as typed and gives a test, or a fault with the corrected value. A duration is
//! `1h30m`, `250ms`, `2d`, or a bare number of seconds. Numbers and durations compare exactly: `duration:10m` is ten
//! minutes to the millisecond, `duration:10m..11m` is what people mostly want.

use super::complaint::Fault;
use super::field::{CLOSED_BY, Choice, CodeLabel, Field, Kind, nearest};
use super::parse::ParseOptions;
use super::pattern;
use super::query::{Range, Test};
use super::time::time_range;

/// Units of a duration, longest first, in milliseconds.
pub(super) const UNITS: &[(&str, i64)] =
    &[("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads the value of a metadata field. A quoted value is never a wildcard and may hold spaces.
pub(super) fn test(field: Field, typed: &str, quoted: bool, options: &ParseOptions) -> Result<Test, Fault> {
    if typed.trim().is_empty() {
        return Err(
            Fault::new(format!("`{}:` has an empty value; for any value at all write `*`", field.name())).cured_by("*")
        );
    }
    if typed == "*" && !quoted {
        return Ok(Test::Any);
    }
    match field.kind() {
        Kind::Words => {
            let pattern = if quoted { pattern::quoted(typed)? } else { pattern::bare(typed)? };
            Ok(Test::Matches(pattern))
        }
        Kind::Id | Kind::Keyword => {
            if !quoted {
                refuse_inexact(field, typed)?;
            }
            Ok(Test::Is(typed.to_owned()))
        }
        Kind::Time => refuse_list(field, typed).and_then(|()| time_range(typed, options)).map(Test::Time),
        Kind::Duration => refuse_list(field, typed).and_then(|()| compared(typed, duration)).map(Test::Duration),
        Kind::Number => refuse_list(field, typed).and_then(|()| compared(typed, number)).map(Test::Number),
        Kind::Code(labels) => code(field, labels, typed),
        Kind::Choice(choices) => {
            if let Some(name) = find(choices, typed) {
                return Ok(Test::Is(name.to_owned()));
            }
            if quoted && is_open(field) {
                return Ok(Test::Is(typed.to_lowercase()));
            }
            refuse_list(field, typed)?;
            let names = choices.iter().flat_map(|c| std::iter::once(c.name).chain(c.also.iter().copied()));
            let mut fault = unknown(field, typed, names);
            if is_open(field) {
                fault.message.push_str("; if LivePerson sends it all the same, quote it");
            }
            Err(fault)
        }
        Kind::Flag => match typed.to_ascii_lowercase().as_str() {
            "true" | "yes" => Ok(Test::Flag(true)),
            "false" | "no" => Ok(Test::Flag(false)),
            _ => Err(Fault::new(format!("`{}:` is `true` or `false`, not `{typed}`", field.name()))),
        },
    }
}

/// Whether LivePerson may send values that are in no list of ours: every enumeration of theirs is open.
fn is_open(field: Field) -> bool {
    matches!(field, Field::Type | Field::Device | Field::Status)
}

/// Whether the value is one of the field's list, as printed.
pub(super) fn is_known(field: Field, value: &str) -> bool {
    matches!(field.kind(), Kind::Choice(choices) if find(choices, value) == Some(value))
}

fn refuse_list(field: Field, typed: &str) -> Result<(), Fault> {
    if !typed.contains(',') {
        return Ok(());
    }
    let values: Vec<&str> = typed.split(',').map(str::trim).filter(|value| !value.is_empty()).collect();
    Err(Fault::new(format!(
        "`{}:{typed}` holds a comma; several values are written with OR in parentheses",
        field.name()
    ))
    .cured_by(format!("({})", values.join(" OR "))))
}

/// Ids and keywords are compared whole; anything that looks like another wish is refused unless quoted.
fn refuse_inexact(field: Field, typed: &str) -> Result<(), Fault> {
    refuse_list(field, typed)?;
    let name = field.name();
    let quoted = pattern::quote(typed);
    let Some(why) = looks_inexact(typed) else {
        return Ok(());
    };
    Err(Fault::new(format!("`{name}:` {why}; if `{typed}` is the value itself, quote it")).cured_by(quoted))
}

/// Why a bare value would be taken for something else than a whole one, if it would.
pub(super) fn looks_inexact(typed: &str) -> Option<&'static str> {
    if typed.contains(['*', '?']) {
        return Some("is compared whole, so it takes no wildcard");
    }
    if typed.starts_with(['<', '>', '=', '≥', '≤']) || typed.contains("..") {
        return Some("is compared whole, so it takes no comparison or range");
    }
    let slashed = typed.len() > 2 && typed.starts_with('/') && typed.ends_with('/');
    slashed.then_some("is compared whole, so it takes no regular expression")
}

fn find(choices: &'static [Choice], typed: &str) -> Option<&'static str> {
    let lower = typed.to_ascii_lowercase();
    choices.iter().find(|choice| choice.name == lower || choice.also.contains(&lower.as_str())).map(|c| c.name)
}

fn code(field: Field, labels: &'static [CodeLabel], typed: &str) -> Result<Test, Fault> {
    refuse_list(field, typed)?;
    if let Ok(code) = typed.parse::<i64>() {
        return Ok(Test::Code(code));
    }
    let lower = typed.to_lowercase().replace(['_', ' '], "-");
    if let Some(known) = labels.iter().find(|known| known.name == lower) {
        return Ok(Test::Code(known.code));
    }
    let messaging = if field == Field::EndReason { CLOSED_BY } else { &[] };
    if let Some(name) = find(messaging, typed) {
        return Ok(Test::Is(name.to_owned()));
    }
    let names = labels.iter().map(|known| known.name).chain(messaging.iter().map(|choice| choice.name));
    Err(unknown(field, typed, names))
}

/// "Is not a value of this field", with the nearest one, or all of them where none is near.
fn unknown(field: Field, typed: &str, names: impl Iterator<Item = &'static str> + Clone) -> Fault {
    let what = format!("`{typed}` is not a value of `{}:`", field.name());
    match nearest(typed, names.clone()) {
        Some(near) => Fault::new(format!("{what}; did you mean `{near}`?")).cured_by(near),
        None => Fault::new(format!("{what}; it is one of: {}", names.collect::<Vec<_>>().join(", "))),
    }
}

/// How a value is compared, with the points still as typed.
pub(super) enum Comparison<'a> {
    Equal(&'a str),
    More(&'a str),
    MoreOrEqual(&'a str),
    Less(&'a str),
    LessOrEqual(&'a str),
    /// Both ends belong to it.
    Between(&'a str, &'a str),
}

/// Takes `>`, `>=`, `<`, `<=`, `=`, `a..b`, `a..`, `..b` apart.
pub(super) fn split_comparison(typed: &str) -> Result<Comparison<'_>, Fault> {
    const SIGNS: &[&str] = &[">=", "<=", "≥", "≤", ">", "<", "="];
    for swapped in ["=>", "=<", "=="] {
        if let Some(point) = typed.strip_prefix(swapped) {
            let right = match swapped {
                "=>" => ">=",
                "=<" => "<=",
                _ => "=",
            };
            return Err(Fault::new(format!("`{swapped}` is written `{right}`")).cured_by(format!("{right}{point}")));
        }
    }
    if let Some(sign) = SIGNS.iter().find(|sign| typed.starts_with(**sign)) {
        let point = typed[sign.len()..].trim();
        if point.is_empty() {
            return Err(Fault::new(format!(
                "`{sign}` has no value after it; they are written without a space: `{sign}2`"
            )));
        }
        if point.contains("..") {
            return Err(Fault::new(format!("`{typed}` mixes `{sign}` and a range; use one of them")).cured_by(point));
        }
        return Ok(match *sign {
            ">=" | "≥" => Comparison::MoreOrEqual(point),
            "<=" | "≤" => Comparison::LessOrEqual(point),
            ">" => Comparison::More(point),
            "<" => Comparison::Less(point),
            _ => Comparison::Equal(point),
        });
    }
    match typed.split_once("..").map(|(low, high)| (low.trim(), high.trim())) {
        None => Ok(Comparison::Equal(typed)),
        Some(("", "")) => {
            Err(Fault::new("`..` has no end on either side; for any value at all write `*`").cured_by("*"))
        }
        Some((low, "")) => Ok(Comparison::MoreOrEqual(low)),
        Some(("", high)) => Ok(Comparison::LessOrEqual(high)),
        Some((low, high)) => Ok(Comparison::Between(low, high)),
    }
}

fn compared<T: PartialOrd + Copy>(typed: &str, read: impl Fn(&str) -> Result<T, Fault>) -> Result<Range<T>, Fault> {
    Ok(match split_comparison(typed)? {
        Comparison::Equal(point) => Range::Exactly(read(point)?),
        Comparison::More(point) => Range::MoreThan(read(point)?),
        Comparison::MoreOrEqual(point) => Range::AtLeast(read(point)?),
        Comparison::Less(point) => Range::LessThan(read(point)?),
        Comparison::LessOrEqual(point) => Range::AtMost(read(point)?),
        Comparison::Between(low, high) => {
            let (from, to) = (read(low)?, read(high)?);
            if from > to {
                return Err(Fault::new(format!("the range `{typed}` ends before it begins, so nothing can match"))
                    .cured_by(format!("{high}..{low}")));
            }
            Range::Between(from, to)
        }
    })
}

/// A comparison or range of numbers after `sde.<path>:`. `None`: it is text.
pub(super) fn attribute_range(typed: &str) -> Result<Option<Range<f64>>, Fault> {
    if typed.starts_with(['<', '>', '=', '≥', '≤']) {
        return compared(typed, number).map(Some);
    }
    // `1..5` is a range; `a..b` and `...` are text like any other.
    let is_end = |end: &str| end.is_empty() || number(end).is_ok();
    match typed.split_once("..") {
        Some((low, high)) if (low, high) != ("", "") && is_end(low) && is_end(high) => {
            compared(typed, number).map(Some)
        }
        _ => Ok(None),
    }
}

/// An integer or decimal, at most 15 significant digits: more would be rounded without a word.
fn number(typed: &str) -> Result<f64, Fault> {
    let not_a_number = || Fault::new(format!("`{typed}` is not a number; write 3, -2 or 4.5"));
    let digits = typed.strip_prefix('-').unwrap_or(typed);
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(decimals) {
        return Err(not_a_number());
    }
    if whole.len() + decimals.len() > 16 {
        return Err(Fault::new(format!("`{typed}` has more digits than a number can keep exactly")));
    }
    let value: f64 = typed.parse().map_err(|_| not_a_number())?;
    // -0 and 0 are the same number; printing has to agree.
    Ok(if value == 0.0 { 0.0 } else { value })
}

/// A duration in milliseconds.
pub(super) fn duration(typed: &str) -> Result<i64, Fault> {
    let not_one = || {
        Fault::new(format!("`{typed}` is not a duration; write 90s, 10m, 2h, 1d, 1h30m, 250ms, or a number of seconds"))
    };
    let too_long = || Fault::new(format!("`{typed}` is longer than can be counted"));
    let mut rest = typed;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, after) = rest.split_at(length);
        if count.is_empty() {
            return Err(not_one());
        }
        let count: i64 = count.parse().map_err(|_| too_long())?;
        let length = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(length);
        let unit = match unit.to_ascii_lowercase().as_str() {
            "" if rest.len() == typed.len() && after.is_empty() => 1_000,
            "min" => 60_000,
            name => UNITS.iter().find(|(known, _)| *known == name).map(|(_, ms)| *ms).ok_or_else(not_one)?,
        };
        total = count.checked_mul(unit).and_then(|ms| total.checked_add(ms)).ok_or_else(too_long)?;
        rest = after;
    }
    if typed.is_empty() { Err(not_one()) } else { Ok(total) }
}
