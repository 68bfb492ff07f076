//! From a figure to its conversations: the query that finds them, where there is one.
//!
//! LivePerson gives numbers only. Each metric that counts conversations is mapped to a query of ours, with the rule by which the
//! two numbers may differ; of every other metric it is said why there is no query.

use super::RunError;
use super::series::{SeriesFilter, SeriesOptions, SeriesPoint, SeriesSpan, series};
use super::series_table::{is_of, label};
use crate::archive::Archive;
use crate::decode::{FigureValue, Span, SpanKind};
use std::collections::BTreeMap;

/// A snapshot stands for the time after it, at most so long.
const SNAPSHOT_MS: i64 = 900_000;
/// Windows are a day long at most.
const FARTHEST_MS: i64 = 90_000_000;

/// A query of the search language that finds a figure's conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillQuery {
    /// As typed after `chatvault search`.
    pub text: String,
    /// Why its count may differ from the figure; empty where it should not.
    pub differs: String,
}

/// A figure of an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct DrillFigure {
    /// LivePerson's name, an agent's state in front.
    pub metric: String,
    /// LivePerson's number.
    pub value: f64,
    /// The query, or why there is none.
    pub query: Result<DrillQuery, &'static str>,
}

/// A method's figures at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct DrillCall {
    /// Method.
    pub call: String,
    /// The time that holds the moment; for a snapshot the last one before it.
    pub span: Span,
    /// It was not over when last asked for.
    pub is_open: bool,
    /// When the answer came.
    pub answered_ms: i64,
    /// The figures, by metric.
    pub figures: Vec<DrillFigure>,
}

/// Which conversations of messaging a query is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// All that are archived.
    Everything,
    /// Those of Messaging Interactions: Data Access has records of its own of type messaging, which the figures of
    /// messaging do not count.
    Interactions,
}

impl Among {
    /// The query for records that only [`Among::Interactions`] tells apart, and what must be there for that.
    pub const QUERIES: [&'static str; 2] =
        ["type:messaging -source:messaging-interactions", "type:messaging source:messaging-interactions"];

    fn messaging(self) -> &'static str {
        match self {
            Among::Everything => "type:messaging",
            Among::Interactions => "type:messaging source:messaging-interactions",
        }
    }
}

/// The figures of a moment, of one skill or agent or of all.
///
/// # Errors
/// A failing ledger.
pub fn drill_down(
    archive: &Archive,
    stream: &str,
    at_ms: i64,
    about: &SeriesFilter,
    options: SeriesOptions,
    among: Among,
) -> Result<Vec<DrillCall>, RunError> {
    let filter = SeriesFilter {
        from_ms: Some(at_ms.saturating_sub(FARTHEST_MS)),
        to_ms: Some(at_ms.saturating_add(1)),
        agent: about.agent.clone(),
        skill: about.skill.clone(),
        call: about.call.clone(),
    };
    let mut found: BTreeMap<(String, SpanKind), (DrillCall, BTreeMap<String, f64>)> = BTreeMap::new();
    let mut take = |span: &SeriesSpan<'_>, point: Option<&SeriesPoint<'_>>| {
        let time = span.span;
        let holds = match time.kind {
            SpanKind::Snapshot => time.start_ms <= at_ms && at_ms - time.start_ms <= SNAPSHOT_MS,
            SpanKind::Interval | SpanKind::Window => (time.start_ms..time.end_ms).contains(&at_ms),
        };
        if !holds {
            return;
        }
        let key = (span.call.to_owned(), time.kind);
        let fresh = || {
            let (is_open, answered_ms) = (span.is_open, span.answered_ms);
            let call = DrillCall { call: span.call.to_owned(), span: time, is_open, answered_ms, figures: Vec::new() };
            (call, BTreeMap::new())
        };
        let (call, figures) = found.entry(key).or_insert_with(fresh);
        if time.start_ms > call.span.start_ms {
            (*call, *figures) = fresh();
        }
        let Some(point) = point else { return };
        if !is_of(span.call, point.dimensions, about.skill.as_deref(), about.agent.as_deref()) {
            return;
        }
        if let FigureValue::Number(value) = point.value {
            let label = label(span.call, point.dimensions, point.metric);
            if span.call == "agentactivity" && about.agent.is_none() {
                // Seconds of all agents together: LivePerson gives no total.
                *figures.entry(label).or_default() += value;
            } else {
                // Totals of several groupings: the first is taken, as in tables.
                figures.entry(label).or_insert(value);
            }
        }
    };
    series(archive, stream, &filter, options, &mut take)?;
    let with_queries = |(mut call, figures): (DrillCall, BTreeMap<String, f64>)| {
        let figure = |(metric, value): (String, f64)| {
            let query = query_of(&call.call, &metric, about, call.span, among);
            DrillFigure { metric, value, query }
        };
        call.figures = figures.into_iter().map(figure).collect();
        call
    };
    Ok(found.into_values().map(with_queries).collect())
}

/// The query that finds a metric's conversations.
fn query_of(
    call: &str,
    metric: &str,
    about: &SeriesFilter,
    span: Span,
    among: Among,
) -> Result<DrillQuery, &'static str> {
    const CLOSES: &str = "LivePerson counts a conversation when its main dialog closes; the query finds it by that moment, as it was told \
        last: one that was told of only in part, or that opened again, may have another one";
    const CSAT: &str = "LivePerson counts a score when it is given; the query finds it by the conversation's end, which \
        moves with the survey; a window without intervals also holds what its last, unfinished five minutes had already";
    const REVISED: &str =
        "a record that LivePerson told again later (has:revision) may have another end than the one that was counted";
    let messaging = among.messaging();
    let closes = |what: &str| (format!("{messaging} {what} {}", within("closed", span)), CLOSES.to_owned());
    let ends = |what: &str, differs: &str| (format!("{what} {}", within("end", span)), differs.to_owned());
    let (text, differs) = match (call, metric) {
        ("queuehealth", "enteredQEng") => (
            format!("type:chat {}", within("start", span)),
            "LivePerson counts every chat that enters a queue, also those abandoned there and those sent back to one; the query finds the \
             archived chats that began"
                .to_owned(),
        ),
        ("queuehealth", "connectedEng") => return Err("the moment an agent connects is no field of the query language"),
        ("queuehealth", "abandonedEng") => return Err("chats abandoned in the queue are not told apart in the archive"),
        ("engactivity", "totalInteractiveChats") => ends("type:chat interactive:true", REVISED),
        ("engactivity", "totalNonInteractiveChats") => {
            ends("type:chat interactive:false", "LivePerson counts abandoned chats too, which the archive may not hold")
        }
        ("engactivity", "connectedEngagements") => {
            return Err("the moment an agent connects is no field of the query language");
        }
        ("msgconversation", "totalResolvedConversations") => closes("status:closed"),
        ("msgconversation", "resolvedConversations_byCCP") => closes("end_reason:agent"),
        ("msgconversation", "resolvedConversations_byConsumer") => closes("end_reason:consumer"),
        ("msgconversation", "resolvedConversations_bySystem") => closes("end_reason:system"),
        ("msgcsatdistribution", "total_answers") => ends(&format!("{messaging} csat:1..5"), CSAT),
        ("msgcsatdistribution", "positive_answers") => ends(&format!("{messaging} csat:4..5"), CSAT),
        ("msgcsatdistribution", score) if score.starts_with("csat_score") && score.ends_with("_answers") => {
            let score = score.trim_start_matches("csat_score").trim_end_matches("_answers");
            if !matches!(score, "1" | "2" | "3" | "4" | "5") {
                return Err("not a score that LivePerson documents");
            }
            ends(&format!("{messaging} csat:{score}"), CSAT)
        }
        ("agent-view/status" | "agent-view/summary", "openAssignedConversations") => (
            format!("{messaging} start:..{0} -end:..{0}", span.start_ms),
            "the query finds every conversation that was open at this moment, those that waited for an agent too, and closed ones that opened again".to_owned(),
        ),
        _ => return Err("counts no conversations that a query can name: a time, a rate, a state or a part of a conversation"),
    };
    with_ids(text, differs, about)
}

/// Adds skill and agent.
fn with_ids(mut text: String, differs: String, about: &SeriesFilter) -> Result<DrillQuery, &'static str> {
    let mut rules = vec![differs];
    for (field, id, rule) in [
        (
            "skill",
            &about.skill,
            "skill: finds every conversation that ever had the skill, LivePerson counts by one skill of it",
        ),
        (
            "agent_id",
            &about.agent,
            "agent_id: finds every conversation that the agent ever had, LivePerson counts by one agent of it",
        ),
    ] {
        let Some(id) = id else { continue };
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err("an id that cannot be typed in a query");
        }
        text = format!("{text} {field}:{id}");
        rules.push(rule.to_owned());
    }
    rules.retain(|rule| !rule.is_empty());
    Ok(DrillQuery { text, differs: rules.join("; ") })
}

/// `end:2026-11-20T10:05Z..2026-11-20T10:09Z`: minutes are meant whole; milliseconds where the time has any.
fn within(field: &str, span: Span) -> String {
    const MINUTE_MS: i64 = 60_000;
    let minute = |at_ms: i64| {
        let instant = jiff::Timestamp::from_millisecond(at_ms).ok().filter(|_| at_ms.rem_euclid(MINUTE_MS) == 0)?;
        Some(instant.strftime("%Y-%m-%dT%H:%MZ").to_string())
    };
    match (minute(span.start_ms), minute(span.end_ms - MINUTE_MS)) {
        (Some(first), Some(last)) => format!("{field}:{first}..{last}"),
        _ => format!("{field}:{}..{}", span.start_ms, span.end_ms - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::parse::{ParseOptions, parse_located};

    fn about(skill: Option<&str>, agent: Option<&str>) -> SeriesFilter {
        SeriesFilter { skill: skill.map(str::to_owned), agent: agent.map(str::to_owned), ..SeriesFilter::default() }
    }

    const FIVE: Span = Span { kind: SpanKind::Interval, start_ms: 1_790_000_100_000, end_ms: 1_790_000_400_000 };

    #[test]
    fn every_query_is_one_of_the_language() {
        for (call, metric) in [
            ("queuehealth", "enteredQEng"),
            ("engactivity", "totalInteractiveChats"),
            ("engactivity", "totalNonInteractiveChats"),
            ("msgconversation", "totalResolvedConversations"),
            ("msgconversation", "resolvedConversations_byCCP"),
            ("msgconversation", "resolvedConversations_byConsumer"),
            ("msgconversation", "resolvedConversations_bySystem"),
            ("msgcsatdistribution", "csat_score3_answers"),
            ("msgcsatdistribution", "total_answers"),
            ("msgcsatdistribution", "positive_answers"),
            ("agent-view/summary", "openAssignedConversations"),
        ] {
            let odd = Span { start_ms: FIVE.start_ms + 1, ..FIVE };
            for (span, among) in [(FIVE, Among::Everything), (odd, Among::Interactions)] {
                let query = query_of(call, metric, &about(Some("12"), Some("71")), span, among).expect(metric);
                let parsed = parse_located(&query.text, &ParseOptions::utc(1_790_000_000_000));
                assert!(parsed.is_ok(), "{}: {:?}", query.text, parsed.err());
                assert!(query.text.ends_with("skill:12 agent_id:71"), "{}", query.text);
            }
        }
    }

    #[test]
    fn whole_minutes_are_written_as_such() {
        let query =
            query_of("msgconversation", "totalResolvedConversations", &about(None, None), FIVE, Among::Everything)
                .expect("mapped");
        assert_eq!(query.text, "type:messaging status:closed closed:2026-09-21T14:15Z..2026-09-21T14:19Z");
        assert!(query_of("queuehealth", "avgTimeToAnswer", &about(None, None), FIVE, Among::Everything).is_err());
        assert!(query_of("queuehealth", "enteredQEng", &about(Some("1 OR 2"), None), FIVE, Among::Everything).is_err());
        assert!(
            query_of("msgcsatdistribution", "csat_score9_answers", &about(None, None), FIVE, Among::Everything)
                .is_err()
        );
    }
}
