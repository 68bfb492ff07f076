//! The rules that both search APIs share: paging, the caller's name, ranges of time.
//!
//! Where the documentation is silent (a limit above the maximum, an unknown filter) the answer is a
//! refusal with its reason, so that nobody takes an unanswered wish for an answer.

use axum::body::Bytes;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Map, Value, json};

use super::oauth::percent_decode;
use super::script::Fault;

/// Bounds of time filters are rounded to this.
pub(super) const BUCKET_MS: i64 = 600_000;
/// Most characters of the parameter `source`.
const LONGEST_SOURCE: usize = 20;
/// Most records a page.
const MOST_RECORDS: u32 = 100;

/// A request to a search.
#[derive(Debug)]
pub(super) struct Asked {
    /// The query as sent.
    pub(super) query: String,
    pub(super) body: Bytes,
    /// The address that links name, without a query.
    pub(super) address: String,
    pub(super) now_ms: i64,
    /// Highest place that can be asked for.
    pub(super) window: u32,
    pub(super) faults: Vec<Fault>,
}

impl Asked {
    /// True when the script wants this fault.
    pub(super) fn has(&self, fault: &Fault) -> bool {
        self.faults.contains(fault)
    }
}

/// A request that is not answered, with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Refusal {
    /// 400 with a reason.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }
}

/// The answer to a search.
#[derive(Debug)]
pub(super) enum Reply {
    /// 204.
    NoContent,
    /// 200 with this body.
    Found(Value),
}

/// Which part of the matches is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// Zero-based place of the first record.
    pub(super) offset: u32,
    /// Most records.
    pub(super) limit: u32,
}

impl Page {
    /// The parameters of a request; `window` is the highest place that can be asked for.
    pub(super) fn new(query: &str, window: u32, most: u32) -> Result<Self, Refusal> {
        let number = |name, usual| match parameter(query, name) {
            None => Ok(usual),
            Some(text) => {
                text.parse::<u32>().map_err(|_| Refusal::bad(format!("{name} must be a number from 0, not {text:?}")))
            }
        };
        let page = Self { offset: number("offset", 0)?, limit: number("limit", 50)? };
        if page.limit == 0 || page.limit > most {
            return Err(Refusal::bad(format!("limit must be 1 to {most}")));
        }
        if u64::from(page.offset) + u64::from(page.limit) > u64::from(window) {
            return Err(Refusal::bad(format!("Result window is too large: offset + limit must be at most {window}")));
        }
        Ok(page)
    }

    /// Page and caller of a history search.
    pub(super) fn of_search(query: &str, window: u32) -> Result<Self, Refusal> {
        source(query)?;
        Self::new(query, window, MOST_RECORDS)
    }

    /// Places of the page in a list of matches.
    pub(super) fn holds(self, place: u64) -> bool {
        (u64::from(self.offset)..u64::from(self.offset) + u64::from(self.limit)).contains(&place)
    }
}

/// Checks the required name of the caller.
pub(super) fn source(query: &str) -> Result<(), Refusal> {
    match parameter(query, "source") {
        Some(name) if (1..=LONGEST_SOURCE).contains(&name.chars().count()) => Ok(()),
        Some(name) if !name.is_empty() => Err(Refusal::bad("source has more than 20 characters")),
        _ => Err(Refusal::bad("source is required")),
    }
}

/// A query parameter, decoded.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
    percent_decode(value)
}

/// The JSON object in a body.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(filters)) => Ok(filters),
        _ => Err(Refusal::bad("The body must be a JSON object")),
    }
}

/// A whole number, which may come as a string.
pub(super) fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Texts of a list; a number counts as its digits.
pub(super) fn texts(filters: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(value) = filters.get(name) else {
        return Ok(None);
    };
    let text =
        |item: &Value| item.as_str().map(str::to_owned).or_else(|| item.as_i64().map(|number| number.to_string()));
    let list: Option<Vec<String>> = value.as_array().and_then(|items| items.iter().map(text).collect());
    list.map(Some).ok_or_else(|| Refusal::bad(format!("{name} must be a list")))
}

/// A range of time as it is answered: rounded, both ends included, epoch milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeRange {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

impl TimeRange {
    /// The range filter `name`, no longer than `months`; `to: -1` stands for now.
    pub(super) fn of(
        filters: &Map<String, Value>,
        name: &str,
        months: i32,
        now_ms: i64,
    ) -> Result<Option<Self>, Refusal> {
        let Some(range) = filters.get(name) else {
            return Ok(None);
        };
        let bound = |key: &str| range.get(key).and_then(whole);
        let (Some(from_ms), Some(to_ms)) = (bound("from"), bound("to")) else {
            return Err(Refusal::bad(format!("{name} needs from and to in epoch milliseconds")));
        };
        let to_ms = if to_ms == -1 { now_ms } else { to_ms };
        if from_ms > to_ms {
            return Err(Refusal::bad(format!("{name}: from is after to")));
        }
        if latest_end(from_ms, months).is_none_or(|latest_ms| to_ms > latest_ms) {
            let unit = if months == 1 { "month" } else { "months" };
            return Err(Refusal::bad(format!("{name}: the longest interval is {months} {unit}")));
        }
        let to_ms = floor(to_ms + BUCKET_MS - 1);
        Ok(Some(Self { from_ms: floor(from_ms), to_ms }))
    }

    pub(super) fn holds(self, instant_ms: i64) -> bool {
        (self.from_ms..=self.to_ms).contains(&instant_ms)
    }
}

/// Rounds down to ten minutes.
pub(super) fn floor(instant_ms: i64) -> i64 {
    instant_ms.saturating_sub(instant_ms.rem_euclid(BUCKET_MS))
}

/// Calendar months after an instant; none where the calendar ends.
fn latest_end(from_ms: i64, months: i32) -> Option<i64> {
    let start = Timestamp::from_millisecond(from_ms).ok()?.to_zoned(TimeZone::UTC);
    let end = start.checked_add(Span::new().months(months)).ok()?;
    Some(end.timestamp().as_millisecond())
}

/// A link of `_metadata`.
pub(super) fn link(rel: &str, address: &str, limit: u32, offset: u64) -> Value {
    json!({ "rel": rel, "href": format!("{address}?limit={limit}&offset={offset}") })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_bounds() {
        let page = |query| Page::of_search(query, 10_000);
        assert_eq!(page("source=LP_Test").unwrap(), Page { offset: 0, limit: 50 });
        assert_eq!(page("source=a&offset=9900&limit=100").unwrap(), Page { offset: 9_900, limit: 100 });
        let bad = ["", "source=", "source=123456789012345678901", "source=a&limit=101", "source=a&limit=0"];
        for query in bad.into_iter().chain(["source=a&offset=-1", "source=a&offset=9901&limit=100"]) {
            assert_eq!(page(query).unwrap_err().status, 400, "{query}");
        }
        assert!(page("source=12345678901234567890").is_ok());
    }

    #[test]
    fn ranges_are_rounded_and_limited() {
        let range =
            |text: &str, months| TimeRange::of(&object(text.as_bytes()).unwrap(), "start", months, 1_900_000_000_000);
        // 2024-06-01 09:05 to 09:25 is answered for 09:00 to 09:30.
        let rounded = range(r#"{"start":{"from":1717232700000,"to":"1717233900000"}}"#, 3).unwrap().unwrap();
        assert_eq!(rounded, TimeRange { from_ms: 1_717_232_400_000, to_ms: 1_717_234_200_000 });
        // 2024-06-01 to 2024-07-01 is one month; a millisecond more is not.
        assert!(range(r#"{"start":{"from":1717200000000,"to":1719792000000}}"#, 1).is_ok());
        assert!(range(r#"{"start":{"from":1717200000000,"to":1719792000001}}"#, 1).is_err());
        assert!(range(r#"{"start":{"from":1717200000000,"to":1719792000001}}"#, 3).is_ok());
        assert!(range(r#"{"start":{"from":5}}"#, 3).is_err());
        assert!(range(r#"{"start":{"from":5,"to":4}}"#, 3).is_err());
        assert!(range(r#"{"start":{"from":-9223372036854775808,"to":9223372036854775807}}"#, 3).is_err());
        assert_eq!(range("{}", 3).unwrap(), None);
        assert_eq!(floor(i64::MIN), i64::MIN);
        let open = range(r#"{"start":{"from":1899999900000,"to":-1}}"#, 3).unwrap().unwrap();
        assert!(open.holds(1_900_000_000_000));
    }
}
