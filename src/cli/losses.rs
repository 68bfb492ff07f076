//! Figures that are lost, in words and for machines: what nobody asked LivePerson for within 24 hours.

use super::output::{json_time, readable_time};
use chatvault::acquire::LostFigures;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// One loss, as a line.
pub(super) fn told(lost: &LostFigures) -> String {
    let [from, to] = [lost.window.start_ms, lost.window.end_ms].map(|ms| readable_time(ms, &TimeZone::UTC));
    format!("LOST {}: {from} to {to} UTC; nobody asked for it within the 24 hours that LivePerson has it", lost.call)
}

/// One loss, with its times as RFC 3339.
pub(super) fn to_json(lost: &LostFigures) -> Value {
    let time = |ms| json_time(Some(ms));
    json!({ "call": lost.call, "start": time(lost.window.start_ms), "end": time(lost.window.end_ms) })
}

/// Seconds that are lost over all methods.
pub(super) fn seconds(lost: &[LostFigures]) -> i64 {
    lost.iter().map(|lost| (lost.window.end_ms - lost.window.start_ms) / 1000).sum()
}
