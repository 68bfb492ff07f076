//! Counts by value over everything that matches: end reason, skill, agent, day …
//!
//! Counts are exact: every matching conversation is visited, none is sampled, no list is cut before it is counted.

use super::figures::RoleCounts;
use crate::index::schema::Fields;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, HashMap};
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, DocSet as _, Score, SegmentOrdinal, SegmentReader, TERMINATED, TantivyError};

/// What to count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Facet {
    /// Code of the end reason.
    EndReason,
    /// Code of the start reason.
    StartReason,
    /// Every skill the conversation had.
    Skill,
    /// Every agent the conversation had, by id.
    Agent,
    /// Device.
    Device,
    /// Chat or messaging.
    Type,
    /// API the record came from.
    Source,
    /// Number of transfers.
    Transfers,
    /// Meaningful Connection Score in tens: `40` is 40 to 49.
    Mcs,
    /// Customer satisfaction, whole: `4` is 4 to 4.99.
    Csat,
    /// Open or closed.
    Status,
    /// Who closed a messaging conversation.
    ClosedBy,
    /// Channel of origin.
    Origin,
    /// Hour the conversation started in.
    Hour,
    /// Day the conversation started on.
    Day,
    /// Monday of the week the conversation started in.
    Week,
    /// Month the conversation started in.
    Month,
    /// Hour of the day it started in, 0 to 23.
    HourOfDay,
    /// Day of the week it started on: 1 is Monday, 7 is Sunday.
    Weekday,
    /// Whole seconds from start to end. A figure: [`super::figures::Lengths`] reads it, `--facets` does not know it.
    Duration,
    /// Whole seconds in the first queue. A figure too.
    Queue,
    /// Messages by the name of their role; counts messages, not conversations, and reads every transcript. A figure too.
    Messages,
}

impl Facet {
    /// All facets that people ask for, with the names they are asked for by. The figures are not among them.
    pub const ALL: [(Facet, &'static str); 19] = [
        (Facet::EndReason, "end_reason"),
        (Facet::StartReason, "start_reason"),
        (Facet::Skill, "skill"),
        (Facet::Agent, "agent"),
        (Facet::Device, "device"),
        (Facet::Type, "type"),
        (Facet::Source, "source"),
        (Facet::Transfers, "transfers"),
        (Facet::Mcs, "mcs"),
        (Facet::Csat, "csat"),
        (Facet::Status, "status"),
        (Facet::ClosedBy, "closed_by"),
        (Facet::Origin, "origin"),
        (Facet::Hour, "hour"),
        (Facet::Day, "day"),
        (Facet::Week, "week"),
        (Facet::Month, "month"),
        (Facet::HourOfDay, "hour_of_day"),
        (Facet::Weekday, "weekday"),
    ];

    /// The name it is asked for by.
    pub fn name(self) -> &'static str {
        Facet::ALL.iter().find(|(facet, _)| *facet == self).map_or("", |(_, name)| name)
    }

    /// Whether its values have an order of their own, so that they are shown in it and not by count.
    pub fn is_ordered(self) -> bool {
        use Facet::{Csat, Day, Duration, Hour, HourOfDay, Mcs, Month, Queue, Transfers, Week, Weekday};
        matches!(self, Hour | Day | Week | Month | HourOfDay | Weekday | Mcs | Csat | Transfers | Duration | Queue)
    }

    /// Whether a conversation may have several of its values, so that the shares add up to more than the whole.
    pub fn has_many(self) -> bool {
        matches!(self, Facet::Skill | Facet::Agent | Facet::Source)
    }
}

/// One value and how many conversations have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetCount {
    /// The value; `None` counts the conversations that have none.
    pub value: Option<FacetValue>,
    /// Conversations.
    pub count: u64,
}

/// A value of a facet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FacetValue {
    /// A code or a number.
    Number(i64),
    /// An id, a name, or a date (`2016-07-25`, `2016-07-25T17:00`, `2016-07`).
    Text(String),
}

/// Counts all asked facets in one pass.
pub(super) struct FacetCollector<'f> {
    pub(super) facets: &'f [Facet],
    pub(super) fields: Fields,
}

/// Start times are counted in quarters of an hour, the finest offset a time zone has, and put into days afterwards.
const QUARTER_MS: i64 = 15 * 60 * 1000;

/// Lengths are counted by whole seconds, which is how they are shown. Rounding down keeps their order, so a percentile of the
/// seconds is the seconds of the percentile; and a day has only so many of them, however many conversations there are.
const SECOND_MS: i64 = 1000;

/// Raw counts: by number, by text, and those without.
#[derive(Default, Clone)]
pub(super) struct Counts {
    numbers: HashMap<i64, u64>,
    texts: HashMap<String, u64>,
    without: u64,
    /// Why a part could not be counted.
    failed: Option<TantivyError>,
}

pub(super) enum Segment {
    Number {
        column: Column<i64>,
        counts: Counts,
        divisor: i64,
    },
    Count {
        column: Column<u64>,
        counts: Counts,
    },
    Float {
        column: Column<f64>,
        counts: Counts,
        divisor: f64,
    },
    /// A field without a column, one value at most: which term each document has, plus one; 0 for none.
    Posted {
        terms: Vec<String>,
        term_of: Vec<u32>,
        by_term: Vec<u64>,
    },
    Messages(Box<RoleCounts>),
    Text {
        column: Option<StrColumn>,
        by_ordinal: Vec<u64>,
        without: u64,
    },
}

pub(super) struct FacetSegment(Vec<Segment>);

impl Collector for FacetCollector<'_> {
    type Fruit = Vec<Counts>;
    type Child = FacetSegment;

    fn for_segment(&self, _: SegmentOrdinal, reader: &SegmentReader) -> tantivy::Result<FacetSegment> {
        let schema = reader.schema();
        let fast = reader.fast_fields();
        let number = |field, divisor| -> tantivy::Result<Segment> {
            Ok(Segment::Number { column: fast.i64(schema.get_field_name(field))?, counts: Counts::default(), divisor })
        };
        let float = |field, divisor| -> tantivy::Result<Segment> {
            Ok(Segment::Float { column: fast.f64(schema.get_field_name(field))?, counts: Counts::default(), divisor })
        };
        let text = |field| -> tantivy::Result<Segment> {
            let column = fast.str(schema.get_field_name(field))?;
            let terms = column.as_ref().map_or(0, |column| column.num_terms());
            Ok(Segment::Text { column, by_ordinal: vec![0; terms], without: 0 })
        };
        let f = &self.fields;
        let segments = self.facets.iter().map(|facet| match facet {
            Facet::EndReason => number(f.end_reason, 1),
            Facet::StartReason => number(f.start_reason, 1),
            Facet::Skill => text(f.skill),
            Facet::Agent => text(f.agent_id),
            Facet::Device => text(f.device),
            Facet::Type => text(f.kind),
            Facet::Source => text(f.source),
            Facet::Transfers => {
                let column = fast.u64(schema.get_field_name(f.transfers))?;
                Ok(Segment::Count { column, counts: Counts::default() })
            }
            Facet::Mcs => float(f.mcs, 10.0),
            Facet::Csat => float(f.csat, 1.0),
            Facet::Status => posted(reader, f.status),
            Facet::ClosedBy => posted(reader, f.closed_by),
            Facet::Origin => posted(reader, f.origin),
            Facet::Hour | Facet::Day | Facet::Week | Facet::Month | Facet::HourOfDay | Facet::Weekday => {
                number(f.start, QUARTER_MS)
            }
            Facet::Duration => number(f.duration, SECOND_MS),
            Facet::Queue => number(f.queue, SECOND_MS),
            Facet::Messages => Ok(Segment::Messages(Box::new(RoleCounts::new(reader.clone(), f.stored)))),
        });
        Ok(FacetSegment(segments.collect::<tantivy::Result<_>>()?))
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, fruits: Vec<Vec<Counts>>) -> tantivy::Result<Vec<Counts>> {
        let mut merged = vec![Counts::default(); self.facets.len()];
        for fruit in fruits {
            for (into, from) in merged.iter_mut().zip(fruit) {
                if let Some(error) = from.failed {
                    return Err(error);
                }
                into.without += from.without;
                for (value, count) in from.numbers {
                    *into.numbers.entry(value).or_default() += count;
                }
                for (value, count) in from.texts {
                    *into.texts.entry(value).or_default() += count;
                }
            }
        }
        Ok(merged)
    }
}

impl SegmentCollector for FacetSegment {
    type Fruit = Vec<Counts>;

    fn collect(&mut self, doc: DocId, _: Score) {
        for segment in &mut self.0 {
            match segment {
                Segment::Number { column, counts, divisor } => match column.first(doc) {
                    Some(value) => *counts.numbers.entry(value.div_euclid(*divisor)).or_default() += 1,
                    None => counts.without += 1,
                },
                Segment::Count { column, counts } => match column.first(doc) {
                    Some(value) => *counts.numbers.entry(value as i64).or_default() += 1,
                    None => counts.without += 1,
                },
                Segment::Float { column, counts, divisor } => match column.first(doc) {
                    Some(value) => {
                        let floor = (value / *divisor).floor() * *divisor;
                        *counts.numbers.entry(floor as i64).or_default() += 1;
                    }
                    None => counts.without += 1,
                },
                Segment::Posted { term_of, by_term, .. } => by_term[term_of[doc as usize] as usize] += 1,
                Segment::Messages(counts) => counts.add(doc),
                Segment::Text { column, by_ordinal, without } => {
                    let mut has_value = false;
                    for ordinal in column.iter().flat_map(|column| column.term_ords(doc)) {
                        by_ordinal[ordinal as usize] += 1;
                        has_value = true;
                    }
                    *without += u64::from(!has_value);
                }
            }
        }
    }

    fn harvest(self) -> Vec<Counts> {
        self.0
            .into_iter()
            .map(|segment| match segment {
                Segment::Number { counts, .. } | Segment::Count { counts, .. } | Segment::Float { counts, .. } => {
                    counts
                }
                Segment::Posted { terms, by_term, .. } => {
                    let texts = terms.into_iter().zip(by_term.iter().skip(1).copied()).filter(|(_, count)| *count > 0);
                    Counts { texts: texts.collect(), without: by_term[0], ..Counts::default() }
                }
                Segment::Messages(counts) => match counts.read() {
                    Ok(by_role) => Counts {
                        texts: by_role.into_iter().map(|(role, count)| (role.name().to_owned(), count)).collect(),
                        ..Counts::default()
                    },
                    Err(error) => Counts { failed: Some(error), ..Counts::default() },
                },
                Segment::Text { column, by_ordinal, without } => {
                    let mut counts = Counts { without, ..Counts::default() };
                    let Some(column) = column else { return counts };
                    for (ordinal, count) in by_ordinal.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                        let mut value = String::new();
                        // An ordinal the column itself gave; a damaged file shows as an empty name, not as a panic.
                        let _ = column.ord_to_str(ordinal as u64, &mut value);
                        *counts.texts.entry(value).or_default() += count;
                    }
                    counts
                }
            })
            .collect()
    }
}

/// Reads which document has which term of a field, from the postings.
fn posted(reader: &SegmentReader, field: Field) -> tantivy::Result<Segment> {
    let index = reader.inverted_index(field)?;
    let mut term_of = vec![0_u32; reader.max_doc() as usize];
    let mut terms = Vec::new();
    let mut stream = index.terms().stream()?;
    while stream.advance() {
        terms.push(String::from_utf8_lossy(stream.key()).into_owned());
        let mut postings = index.read_postings_from_terminfo(stream.value(), IndexRecordOption::Basic)?;
        while postings.doc() != TERMINATED {
            term_of[postings.doc() as usize] = terms.len() as u32;
            postings.advance();
        }
    }
    let by_term = vec![0; terms.len() + 1];
    Ok(Segment::Posted { terms, term_of, by_term })
}

/// Counts with the values people read, by count (largest first) or, where values have an order, in it.
pub(super) fn readable(facet: Facet, counts: Counts, tz: &TimeZone) -> Vec<FacetCount> {
    let mut by_value: BTreeMap<FacetValue, u64> = BTreeMap::new();
    for (number, count) in counts.numbers {
        let value = match facet {
            Facet::Hour | Facet::Day | Facet::Week | Facet::Month => {
                FacetValue::Text(date_of(facet, number.saturating_mul(QUARTER_MS), tz))
            }
            Facet::HourOfDay | Facet::Weekday => match clock_of(facet, number.saturating_mul(QUARTER_MS), tz) {
                Some(value) => FacetValue::Number(value),
                None => FacetValue::Text(format!("{} ms", number.saturating_mul(QUARTER_MS))),
            },
            _ => FacetValue::Number(number),
        };
        *by_value.entry(value).or_default() += count;
    }
    for (text, count) in counts.texts {
        *by_value.entry(FacetValue::Text(text)).or_default() += count;
    }
    let mut readable: Vec<FacetCount> =
        by_value.into_iter().map(|(value, count)| FacetCount { value: Some(value), count }).collect();
    if !facet.is_ordered() {
        // Stable: equal counts stay in the order of their values.
        readable.sort_by_key(|entry| std::cmp::Reverse(entry.count));
    }
    if counts.without > 0 {
        readable.push(FacetCount { value: None, count: counts.without });
    }
    readable
}

fn date_of(facet: Facet, epoch_ms: i64, tz: &TimeZone) -> String {
    let Ok(instant) = Timestamp::from_millisecond(epoch_ms) else { return format!("{epoch_ms} ms") };
    let local = instant.to_zoned(tz.clone());
    match facet {
        Facet::Hour => local.strftime("%Y-%m-%dT%H:00").to_string(),
        Facet::Month => local.strftime("%Y-%m").to_string(),
        Facet::Week => {
            let days_since_monday = i64::from(local.weekday().to_monday_zero_offset());
            let monday = local.date().checked_sub(jiff::Span::new().days(days_since_monday));
            monday.map_or_else(|_| local.date().to_string(), |monday| monday.to_string())
        }
        _ => local.date().to_string(),
    }
}

/// Hour of the day or day of the week; `None` beyond the calendar.
fn clock_of(facet: Facet, epoch_ms: i64, tz: &TimeZone) -> Option<i64> {
    let local = Timestamp::from_millisecond(epoch_ms).ok()?.to_zoned(tz.clone());
    Some(match facet {
        Facet::HourOfDay => i64::from(local.hour()),
        _ => i64::from(local.weekday().to_monday_one_offset()),
    })
}
