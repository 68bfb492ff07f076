//! Fields of a JSON object of the history APIs, taken by name: tolerant of order, spelling, type and sentinels.
//!
//! LivePerson writes "unknown" as `"undefined"`, the string `"null"`, `"NA"`, `-1` or an empty string, ids as strings or
//! numbers, and each time twice: as text, and as a number under the name with an `L` (reference README, traps 14 and
//! 15). What nobody takes is left in [`Fields::rest`], so that an unknown field is kept and not dropped.

use super::avro_json::{Broken, Pull};
use jiff::Timestamp;

type Result<T> = std::result::Result<T, Broken>;

/// The fields of one object that have not been taken yet, as (name, JSON text).
#[derive(Debug, Default)]
pub(super) struct Fields<'j>(Vec<(String, &'j [u8])>);

impl<'j> Fields<'j> {
    /// Reads an object. Anything else, null too, gives no fields.
    pub(super) fn of(json: &'j [u8]) -> Result<Fields<'j>> {
        let mut fields = Vec::new();
        Pull::new(json).record(&str::to_owned, &mut |pull, name| {
            fields.push((name, pull.raw()?));
            Ok(())
        })?;
        Ok(Fields(fields))
    }

    /// Whether the object has nothing (left).
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the field of the first of these names that is there and not null.
    pub(super) fn take(&mut self, names: &[&str]) -> Option<&'j [u8]> {
        let mut found = None;
        for name in names {
            // All spellings go, or the second would come back as an unknown field. Of a name that is there twice the last
            // counts, as in most parsers.
            while let Some(at) = self.0.iter().rposition(|(known, _)| known == name) {
                let (_, json) = self.0.remove(at);
                if found.is_none() && json != b"null" {
                    found = Some(json);
                }
            }
        }
        found
    }

    /// An object.
    pub(super) fn object(&mut self, names: &[&str]) -> Result<Fields<'j>> {
        self.take(names).map_or(Ok(Fields::default()), Fields::of)
    }

    /// The elements of a list; a lone value counts as a list of one.
    pub(super) fn list(&mut self, names: &[&str]) -> Result<Vec<&'j [u8]>> {
        let mut items = Vec::new();
        if let Some(json) = self.take(names) {
            Pull::new(json).array(&mut |pull| {
                items.push(pull.raw()?);
                Ok(())
            })?;
        }
        Ok(items)
    }

    /// Text or number, whatever it says; `None` for null, absent and empty.
    pub(super) fn any_text(&mut self, names: &[&str]) -> Result<Option<String>> {
        let text = self.take(names).map_or(Ok(None), |json| Pull::new(json).text())?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// A lone value as [`Fields::text`] reads a field.
    pub(super) fn lone(json: &[u8]) -> Result<Option<String>> {
        Ok(Pull::new(json).text()?.filter(|text| !is_sentinel(text)))
    }

    /// Text or number, unless it is a sentinel for "unknown".
    pub(super) fn text(&mut self, names: &[&str]) -> Result<Option<String>> {
        Ok(self.any_text(names)?.filter(|text| !is_sentinel(text)))
    }

    /// An id: as [`Fields::text`], and neither `-1` nor `0`.
    pub(super) fn id(&mut self, names: &[&str]) -> Result<Option<String>> {
        Ok(self.text(names)?.filter(|id| id != "-1" && id != "0"))
    }

    /// A whole number, also from a string.
    pub(super) fn whole(&mut self, names: &[&str]) -> Result<Option<i64>> {
        Ok(self.text(names)?.and_then(|text| text.trim().parse().ok()))
    }

    /// A number that is not negative (`-1` stands for "none"), also from a string.
    pub(super) fn score(&mut self, names: &[&str]) -> Result<Option<f64>> {
        let number = self.text(names)?.and_then(|text| text.trim().parse::<f64>().ok());
        Ok(number.filter(|number| number.is_finite() && *number >= 0.0))
    }

    /// A boolean, also from a string.
    pub(super) fn flag(&mut self, names: &[&str]) -> Result<Option<bool>> {
        Ok(self.text(names)?.and_then(|text| text.to_ascii_lowercase().parse().ok()))
    }

    /// A time, epoch milliseconds: the number under `nameL`, else the text under `name`.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<i64>> {
        let number = self.text(&[&format!("{name}L")])?.and_then(|text| text.trim().parse::<i64>().ok());
        let text = self.text(&[name])?.and_then(|text| time_of(&text));
        Ok(number.filter(|time| *time > 0).or(text))
    }

    /// JSON text of a field as received.
    pub(super) fn json(&mut self, names: &[&str]) -> Option<String> {
        self.take(names).map(text_of)
    }

    /// What nobody took and says something, under `prefix`, sorted by name.
    pub(super) fn rest(self, prefix: &str) -> Vec<(String, String)> {
        let says_nothing = |json: &[u8]| {
            matches!(json, b"null" | b"\"\"" | b"-1" | b"\"-1\"" | b"[]" | b"{}")
                || json
                    .strip_prefix(b"\"")
                    .and_then(|json| json.strip_suffix(b"\""))
                    .is_some_and(|text| std::str::from_utf8(text).is_ok_and(is_sentinel))
        };
        let mut rest: Vec<(String, String)> = self
            .0
            .into_iter()
            .filter(|(_, json)| !says_nothing(json))
            .map(|(name, json)| (format!("{prefix}{name}"), text_of(json)))
            .collect();
        rest.sort();
        rest
    }
}

/// JSON as text, on one line: the same answer pretty-printed is no other content. Invalid UTF-8 was mended before, or the
/// record would not have been read.
pub(super) fn text_of(json: &[u8]) -> String {
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        return String::from_utf8_lossy(json).into_owned();
    }
    let mut compact = Vec::with_capacity(json.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for &byte in json {
        if in_string || !byte.is_ascii_whitespace() {
            compact.push(byte);
        }
        in_string = if byte == b'"' && !is_escaped { !in_string } else { in_string };
        is_escaped = in_string && byte == b'\\' && !is_escaped;
    }
    String::from_utf8_lossy(&compact).into_owned()
}

/// Texts that stand for "unknown".
fn is_sentinel(text: &str) -> bool {
    matches!(text, "" | "undefined" | "null" | "NA")
}

/// `2024-06-01 08:30:12.345+0000`, or with a `T`, or epoch milliseconds as digits.
pub(super) fn time_of(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|time| *time > 0);
    }
    const FORMS: [&str; 4] =
        ["%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%:z"];
    let spelled = text.strip_suffix('Z').map_or_else(|| text.to_owned(), |text| format!("{text}+0000"));
    FORMS.iter().find_map(|form| Timestamp::strptime(form, &spelled).ok()).map(|time| time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields<'_> {
        Fields::of(json.as_bytes()).expect("an object")
    }

    #[test]
    fn sentinels_are_no_values() {
        for json in [r#"{"a":"undefined"}"#, r#"{"a":"null"}"#, r#"{"a":"NA"}"#, r#"{"a":""}"#, r#"{"a":null}"#, "{}"] {
            assert_eq!(fields(json).text(&["a"]).expect("read"), None, "{json}");
        }
        assert_eq!(fields(r#"{"a":-1}"#).id(&["a"]).expect("read"), None);
        assert_eq!(fields(r#"{"a":"-1"}"#).score(&["a"]).expect("read"), None);
        assert_eq!(
            fields(r#"{"a":18446744073709551617}"#).id(&["a"]).expect("read").as_deref(),
            Some("18446744073709551617")
        );
        assert!(fields(r#"{"a":"undefined","b":-1,"c":[]}"#).rest("").is_empty());
    }

    #[test]
    fn either_spelling_is_read_and_both_are_taken() {
        let mut both = fields(r#"{"csatRate":4,"csat":null,"other":true}"#);
        assert_eq!(both.score(&["csat", "csatRate"]).expect("read"), Some(4.0));
        assert_eq!(both.rest("info."), [("info.other".to_owned(), "true".to_owned())]);
    }

    #[test]
    fn white_space_is_no_content() {
        assert_eq!(text_of(b"{ \n \"a b\" : [ 1,\r\n \"q\\\" {\\\\\" ] }"), "{\"a b\":[1,\"q\\\" {\\\\\"]}");
    }

    #[test]
    fn times_come_as_numbers_and_as_text() {
        let wanted = Some(1_717_230_612_345);
        for json in [
            r#"{"timeL":1717230612345,"time":"undefined"}"#,
            r#"{"timeL":"1717230612345"}"#,
            r#"{"timeL":-1,"time":"2024-06-01 08:30:12.345+0000"}"#,
            r#"{"time":"2024-06-01T10:30:12.345+0200"}"#,
            r#"{"time":"2024-06-01T08:30:12.345+00:00"}"#,
            r#"{"time":"2024-06-01T08:30:12.345Z"}"#,
        ] {
            assert_eq!(fields(json).time("time").expect("read"), wanted, "{json}");
        }
        assert_eq!(fields(r#"{"timeL":-1,"time":"undefined"}"#).time("time").expect("read"), None);
    }
}
