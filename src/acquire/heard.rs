//! What acquisition hears in an answer about operations: whether it is one, whether there is more, which skills it names.
//!
//! An answer may be 64 MiB long, so it is walked through and nothing else of it is kept.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::error::ProblemKind;
use super::source::{Answer, AnswerProblem, status_problem};

/// Skills that are remembered; an account has hundreds.
pub(super) const MOST_SKILLS: usize = 3000;

/// What acquisition needs of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Records of this page of a list.
    pub(super) records: u64,
    /// Records of the whole list.
    pub(super) count: Option<u64>,
    /// Skills that it has figures of.
    pub(super) skills: BTreeSet<String>,
    is_partial: bool,
    response_code: Option<u64>,
    has_figures: bool,
}

/// Reads an answer. Any status, any body; bare bodies and those in `{ meta, body }`.
pub(super) fn read(answer: &Answer) -> Result<Heard, AnswerProblem> {
    if answer.status != 200 {
        return Err(status_problem(answer));
    }
    match answer.body.trim_ascii_start().first() {
        Some(b'{') => {}
        Some(b'<') => return Err(AnswerProblem::new(ProblemKind::Html, "the answer is a web page")),
        None => return Err(AnswerProblem::new(ProblemKind::TruncatedJson, "the answer is empty")),
        Some(_) => return Err(AnswerProblem::new(ProblemKind::NotJson, "the answer is no JSON object")),
    }
    let mut heard = Heard::default();
    let mut json = serde_json::Deserializer::from_slice(&answer.body);
    let read = Walk { heard: &mut heard, under: Under::Other }.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| {
        let kind = if error.is_eof() { ProblemKind::TruncatedJson } else { ProblemKind::NotJson };
        AnswerProblem::new(kind, format!("the answer cannot be read: {error}"))
    })?;
    match heard.response_code {
        Some(200) | None => {}
        // The envelope says what the status did not.
        Some(code) => {
            let status = u16::try_from(code).unwrap_or(500);
            return Err(status_problem(&Answer { status, content_type: None, body: Vec::new() }));
        }
    }
    if heard.is_partial {
        let told = "the server could not ask all of its parts (partialResult): the answer is incomplete";
        return Err(AnswerProblem::new(ProblemKind::PartialResult, told));
    }
    if !heard.has_figures {
        return Err(AnswerProblem::new(ProblemKind::UnexpectedShape, "the answer holds no figures"));
    }
    Ok(heard)
}

/// What a value stands under.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    Skills,
    Records,
    Count,
    ResponseCode,
    PartialResult,
    Other,
}

impl Under {
    fn of(key: &str) -> Under {
        match key {
            "skillsMetrics" | "metricsPerSkill" => Under::Skills,
            "agentStatusRecords" => Under::Records,
            "count" => Under::Count,
            "responseCode" => Under::ResponseCode,
            "partialResult" => Under::PartialResult,
            _ => Under::Other,
        }
    }
}

/// A key without which an answer is none.
fn is_figures(key: &str) -> bool {
    matches!(
        key,
        "metricsByIntervals"
            | "metricsTotals"
            | "metricsTotal"
            | "timeframeSummary"
            | "skillsMetrics"
            | "skillsMetricsPerAgent"
            | "agentsMetrics"
            | "metricsPerSkill"
            | "skills"
            | "totals"
            | "slaDataRange"
            | "estimatedWaitTimeResponse"
            | "agentStatusRecords"
            | "summaryResults"
    )
}

/// Walks through a value.
struct Walk<'h> {
    heard: &'h mut Heard,
    under: Under,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.heard.has_figures |= is_figures(&key);
            let under = Under::of(&key);
            let is_id = (1..=20).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_digit());
            if self.under == Under::Skills && is_id && self.heard.skills.len() < MOST_SKILLS {
                self.heard.skills.insert(key);
            }
            map.next_value_seed(Walk { heard: self.heard, under })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut length = 0;
        while list.next_element_seed(Walk { heard: self.heard, under: Under::Other })?.is_some() {
            length += 1;
        }
        if self.under == Under::Records {
            self.heard.records = length;
        }
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.heard.is_partial |= self.under == Under::PartialResult && value;
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.heard.is_partial |= self.under == Under::PartialResult && value == "true";
        let number = value.trim().parse().ok();
        match self.under {
            Under::Count => self.heard.count = number,
            Under::ResponseCode => self.heard.response_code = number,
            _ => {}
        }
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        match self.under {
            Under::Count => self.heard.count = Some(value),
            Under::ResponseCode => self.heard.response_code = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn heard(body: &str) -> Result<Heard, ProblemKind> {
        let answer = Answer { status: 200, content_type: None, body: body.as_bytes().to_vec() };
        read(&answer).map_err(|problem| problem.kind)
    }

    #[test]
    fn bare_and_wrapped_answers_are_heard() {
        let bare = r#"{"skillsMetrics":{"12":{"x":1},"odd":{}},"metricsTotals":{}}"#;
        let wrapped = format!(r#"{{"meta":{{"responseCode":200}},"body":{bare}}}"#);
        for body in [bare.to_owned(), wrapped] {
            assert_eq!(heard(&body).unwrap().skills, ["12".to_owned()].into());
        }
        let deep = r#"{"skillsMetricsPerAgent":{"metricsPerSkill":{"7":{"metricsPerAgent":{"900":{}}}}}}"#;
        assert_eq!(heard(deep).unwrap().skills, ["7".to_owned()].into());
        let page = r#"{"_metadata":{"count":"3","shardsStatusResult":{"partialResult":false}},
            "agentStatusRecords":[{"agentSkills":[{},{}]},{}]}"#;
        let page = heard(page).unwrap();
        assert_eq!((page.records, page.count), (2, Some(3)));
    }

    #[test]
    fn what_proves_nothing_is_a_problem() {
        for (body, kind) in [
            ("", ProblemKind::TruncatedJson),
            ("<html>", ProblemKind::Html),
            ("[]", ProblemKind::NotJson),
            ("nothing", ProblemKind::NotJson),
            (r#"{"metricsTotals":{"#, ProblemKind::TruncatedJson),
            (r#"{"metricsTotals":{}} x"#, ProblemKind::NotJson),
            (r#"{"error":"no"}"#, ProblemKind::UnexpectedShape),
            (r#"{"meta":{"responseCode":429}}"#, ProblemKind::RateLimited),
            (r#"{"meta":{"responseCode":99999}}"#, ProblemKind::Server),
            (r#"{"agentStatusRecords":[],"partialResult":"true"}"#, ProblemKind::PartialResult),
        ] {
            assert_eq!(heard(body).unwrap_err(), kind, "{body}");
        }
        assert!(heard(&format!("{}{}", r#"{"totals":"#, "[".repeat(5000))).is_err(), "too deep is no panic");
        let refused = Answer { status: 403, content_type: None, body: Vec::new() };
        assert_eq!(read(&refused).unwrap_err().kind, ProblemKind::Forbidden);
    }
}
