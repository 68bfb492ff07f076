//! When figures were counted: what a method's `timestamp` means, and how LivePerson rounds a window.
//!
//! The methods contradict each other (reference `operational.md`, section 1): some stamp an interval with its end and round
//! everything to buckets of five minutes, some with its start and count from the instant of the request.

use super::{Span, SpanKind};

const MINUTE_MS: i64 = 60_000;
/// Methods with buckets aggregate so many milliseconds.
const BUCKET_MS: i64 = 5 * MINUTE_MS;
/// A day.
pub(super) const DAY_MS: i64 = 1440 * MINUTE_MS;
/// The longest that any method looks back is 72 hours; one more day for what clocks do.
const FARTHEST_BACK_MS: i64 = 4 * DAY_MS;

/// What a method's time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// Intervals are stamped with their end; windows are rounded to buckets.
    EndStamped,
    /// The same, but the start of the window is not rounded.
    EndStampedFromRequest,
    /// Intervals are stamped with their start, counted from the request.
    StartStamped,
    /// The state now.
    Now,
    /// Not in the documentation.
    Unknown,
}

fn method_of(call: &str) -> Method {
    match call {
        "queuehealth" | "engactivity" | "msgconversation" | "msgcsatdistribution" | "sla" => Method::EndStamped,
        "agentactivity" => Method::EndStampedFromRequest,
        "msgqueuehealth" | "msgskillsegments" | "msgagentsegments" => Method::StartStamped,
        "queuestate" | "msgqueuehealth/current" | "msgqueuehealthbygroup/current" | "ewt" => Method::Now,
        _ if call.starts_with("agent-view/") => Method::Now,
        _ => Method::Unknown,
    }
}

/// The time that an answer speaks of.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    method: Method,
    answered_ms: i64,
    /// Length of an interval, where intervals were asked for.
    step_ms: Option<i64>,
    from_ms: i64,
    to_ms: i64,
    /// The request named a window, so an interval may end after the answer.
    is_named: bool,
}

impl Frame {
    /// `asked` gives a parameter of the request.
    pub(super) fn new(call: &str, answered_ms: i64, asked: impl Fn(&str) -> Option<i64>) -> Frame {
        let method = method_of(call);
        let minutes = |name: &str| asked(name).map(|minutes| minutes.min(1 << 20) * MINUTE_MS);
        let step_ms = minutes("interval").filter(|step_ms| *step_ms > 0);
        let (from_ms, to_ms, is_named) = match (asked("fromMillis"), asked("toMillis"), minutes("timeframe")) {
            (Some(from_ms), Some(to_ms), _) if from_ms < to_ms => (from_ms, to_ms, true),
            (.., Some(length_ms)) => (answered_ms.saturating_sub(length_ms), answered_ms, false),
            _ => (answered_ms, answered_ms, false),
        };
        let is_rounded = method == Method::EndStamped && !is_named;
        let from_ms = if is_rounded { from_ms - from_ms.rem_euclid(BUCKET_MS) } else { from_ms };
        // Windows that are asked for one after the other adjoin so. What an unfinished bucket holds already is in the figures
        // too: seconds, where it was asked for shortly after full five minutes.
        let full_ms = to_ms - to_ms.rem_euclid(BUCKET_MS);
        let to_ms = if is_rounded && full_ms > from_ms { full_ms } else { to_ms };
        Frame { method, answered_ms, step_ms, from_ms, to_ms, is_named }
    }

    /// Whether intervals were asked for.
    pub(super) fn has_intervals(&self) -> bool {
        self.step_ms.is_some() && self.method != Method::Now
    }

    /// Up to where the answer knows everything: an interval that ends later was not over.
    pub(super) fn known_until_ms(&self) -> i64 {
        // The newest interval of such a method ends with the request, by a clock that is known to a second only.
        let ends_now = self.method == Method::StartStamped && !self.is_named;
        self.answered_ms.saturating_add(if ends_now { 2_000 } else { 0 })
    }

    /// The whole answer: its window up to the last full bucket, or the instant.
    pub(super) fn whole(&self) -> Span {
        if self.method == Method::Now || self.from_ms >= self.to_ms {
            return Span { kind: SpanKind::Snapshot, start_ms: self.answered_ms, end_ms: self.answered_ms };
        }
        Span { kind: SpanKind::Window, start_ms: self.from_ms, end_ms: self.to_ms }
    }

    /// The interval with this timestamp, or why there is none.
    pub(super) fn interval(&self, timestamp_ms: i64) -> Result<Span, String> {
        if !is_near(timestamp_ms, self.answered_ms) {
            return Err(format!("an interval stamped {timestamp_ms}, which is not near its answer"));
        }
        let Some(step_ms) = self.step_ms else {
            return Err("intervals in an answer whose request names no length of intervals".to_owned());
        };
        let (start_ms, end_ms) = match self.method {
            // The earliest one holds the rest of the window only.
            Method::EndStamped | Method::EndStampedFromRequest => {
                ((timestamp_ms - step_ms).max(self.from_ms), timestamp_ms)
            }
            Method::StartStamped if self.is_named => (timestamp_ms, (timestamp_ms + step_ms).min(self.to_ms)),
            Method::StartStamped => (timestamp_ms, timestamp_ms + step_ms),
            Method::Now | Method::Unknown => {
                return Err("intervals of a method whose stamps are not documented".to_owned());
            }
        };
        match start_ms < end_ms {
            true => Ok(Span { kind: SpanKind::Interval, start_ms, end_ms }),
            false => Err(format!("an interval stamped {timestamp_ms}, which lies outside its answer's window")),
        }
    }
}

/// Whether figures of this time can stand in an answer of that one.
pub(super) fn is_near(at_ms: i64, answered_ms: i64) -> bool {
    (answered_ms.saturating_sub(FARTHEST_BACK_MS)..=answered_ms.saturating_add(DAY_MS)).contains(&at_ms)
}
