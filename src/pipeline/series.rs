//! The history of operational figures: archived answers → one series without double counting. No index; read when asked for.
//!
//! Answers overlap on purpose. Per method, time and whom it is about the latest answer counts, because it knew most. Times that
//! overlap without being equal cannot be added, so `choose.rs` keeps a part of them and says what it left out. Files are
//! read in parallel, a stretch of days at a time, and no more points are in memory than [`SeriesOptions::max_points`]; what
//! comes out is in the order of methods and times within each stretch.

mod choose;
mod read;
mod source;

use super::RunError;
use crate::archive::Archive;
use crate::decode::{DecodeLimits, Dimensions, FigureValue, Problems, Span, SpanKind};
use choose::{Chosen, Taken, choose};
use read::{Pass, Row};
use source::Source;
use std::collections::BTreeMap;

/// The streams that have a history of figures.
pub const OPERATIONS: [&str; 3] = ["operational-realtime", "messaging-operations", "agent-metrics"];

const DAY_MS: i64 = 86_400_000;
/// Holes that a report names one by one; it counts all.
const MAX_HOLES: usize = 2_000;

/// Bounds of the computation.
#[derive(Clone, Copy, Debug)]
pub struct SeriesOptions {
    /// Of decoding.
    pub decode: DecodeLimits,
    /// Points in memory at a time; one takes 80 bytes, names come on top and count as points.
    pub max_points: usize,
}

impl Default for SeriesOptions {
    fn default() -> Self {
        SeriesOptions { decode: DecodeLimits::default(), max_points: 3_000_000 }
    }
}

/// What of a stream is wanted.
#[derive(Clone, Debug, Default)]
pub struct SeriesFilter {
    /// Times that begin here or later, epoch milliseconds.
    pub from_ms: Option<i64>,
    /// Times that begin before this.
    pub to_ms: Option<i64>,
    /// Of this method only, such as `queuehealth`.
    pub call: Option<String>,
    /// Points about this skill only.
    pub skill: Option<String>,
    /// Points about this agent only.
    pub agent: Option<String>,
}

impl SeriesFilter {
    fn wants_time(&self, at_ms: i64) -> bool {
        self.from_ms.is_none_or(|from_ms| at_ms >= from_ms) && self.to_ms.is_none_or(|to_ms| at_ms < to_ms)
    }

    fn wants_call(&self, call: &str) -> bool {
        self.call.as_ref().is_none_or(|wanted| wanted == call)
    }

    fn wants(&self, dimensions: &Dimensions) -> bool {
        let is = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        is(&self.skill, &dimensions.skill) && is(&self.agent, &dimensions.agent)
    }
}

/// A time that counts, with or without figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesSpan<'s> {
    /// Method.
    pub call: &'s str,
    /// The time.
    pub span: Span,
    /// It was not over when its latest answer came, so its figures are not final.
    pub is_open: bool,
    /// When its latest answer came, by LivePerson's clock.
    pub answered_ms: i64,
    /// Place of the answer's first record: above 0 on later pages of a list.
    pub offset: u64,
}

/// A figure that counts.
#[derive(Clone, Copy, Debug)]
pub struct SeriesPoint<'s> {
    /// Whom it is about.
    pub dimensions: &'s Dimensions,
    /// LivePerson's name of it.
    pub metric: &'s str,
    /// The value.
    pub value: FigureValue<'s>,
    /// When its answer came; earlier than the time's latest answer where that says nothing of these dimensions.
    pub answered_ms: i64,
}

/// Receives the series: each time once, then its points by dimensions and metric.
pub type SeriesSink<'s> = dyn FnMut(&SeriesSpan<'_>, Option<&SeriesPoint<'_>>) + 's;

/// Time between two kept times of a method for which there are no figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Interval or window.
    pub kind: SpanKind,
    /// First millisecond without.
    pub start_ms: i64,
    /// First millisecond with figures again.
    pub end_ms: i64,
    /// Something was archived for a part of it, but only in times that overlap others and could not be counted too.
    pub is_overlap: bool,
}

/// An archived answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerPlace {
    /// When it came, by LivePerson's clock.
    pub answered_ms: i64,
    /// Path of its file in the vault.
    pub file: String,
    /// SHA-256 of that file; `None` while it is still being written.
    pub sha256: Option<String>,
}

/// What a method's answers came to.
#[derive(Clone, Debug, Default)]
pub struct CallReport {
    /// Answers, refused ones included.
    pub answers: u64,
    /// Answers with another status than 200.
    pub refused: u64,
    /// First and last answer with figures.
    pub coverage: Option<(AnswerPlace, AnswerPlace)>,
    /// Intervals that count.
    pub intervals: u64,
    /// Windows that count.
    pub windows: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Of the intervals and windows, those that were not over when last asked for.
    pub open: u64,
    /// Intervals and windows that overlap kept ones and do not count.
    pub overlaps: u64,
    /// Answers whose whole window stands beside its intervals; it says the same again and is not counted.
    pub beside_intervals: u64,
    /// Points that count.
    pub points: u64,
    /// Points that a later answer said again.
    pub said_again: u64,
    /// Points of times that do not count.
    pub points_overlapping: u64,
    /// All holes between the first and the last kept time.
    pub hole_count: u64,
    /// Their length together, milliseconds.
    pub hole_ms: i64,
    /// The first of them.
    pub holes: Vec<Hole>,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct SeriesReport {
    /// Files of the stream.
    pub files: u64,
    /// Segments that are still being written.
    pub open_segments: u64,
    /// By method.
    pub calls: BTreeMap<String, CallReport>,
    /// Metrics that said "no data".
    pub absent: u64,
    /// Points that could not be taken because one instant has more than the bound.
    pub too_many: u64,
    /// What could not be read.
    pub problems: Problems,
}

/// Reads the series of a stream out of the archive.
///
/// # Errors
/// A failing ledger. A file that cannot be read is in the report.
pub fn series(
    archive: &Archive,
    stream: &str,
    filter: &SeriesFilter,
    options: SeriesOptions,
    sink: &mut SeriesSink<'_>,
) -> Result<SeriesReport, RunError> {
    let sources = Source::all(archive, stream)?;
    let open_segments = sources.iter().filter(|source| source.is_open()).count() as u64;
    let files = sources.len() as u64 - open_segments;
    let mut run = Run {
        archive,
        sources: &sources,
        filter,
        options,
        sink,
        report: SeriesReport { files, open_segments, ..SeriesReport::default() },
        taken: BTreeMap::new(),
    };
    if let Some((from_ms, to_ms)) = bounds(&sources, filter) {
        run.stretch(from_ms, to_ms);
    }
    Ok(run.report)
}

/// Whole UTC days that may hold points; `None` without files.
fn bounds(sources: &[Source], filter: &SeriesFilter) -> Option<(i64, i64)> {
    // A file that came without a window may hold answers of any time since LivePerson exists.
    let windows = || {
        sources
            .iter()
            .map(|source| source.window().map_or((820_454_400_000, 4_102_444_800_000), |w| (w.start_ms, w.end_ms)))
    };
    let first = windows().map(|(start_ms, _)| start_ms).min()?.saturating_sub(read::REACH_BACK_MS);
    let last = windows().map(|(_, end_ms)| end_ms).max()?.saturating_add(read::REACH_AHEAD_MS);
    // A day more: what was kept before decides on what overlaps it, and a hole may have begun there.
    let from_ms = first.max(filter.from_ms.map_or(i64::MIN, |from_ms| from_ms.saturating_sub(DAY_MS)));
    let to_ms = last.min(filter.to_ms.unwrap_or(i64::MAX));
    let from_ms = from_ms.saturating_sub(from_ms.rem_euclid(DAY_MS));
    let to_ms = to_ms.saturating_add((DAY_MS - to_ms.rem_euclid(DAY_MS)) % DAY_MS);
    (from_ms < to_ms).then_some((from_ms, to_ms))
}

struct Run<'r, 's> {
    archive: &'r Archive,
    sources: &'r [Source],
    filter: &'r SeriesFilter,
    options: SeriesOptions,
    sink: &'r mut SeriesSink<'s>,
    report: SeriesReport,
    /// Per method and kind: how far kept times reach.
    taken: BTreeMap<(String, SpanKind), i64>,
}

impl Run<'_, '_> {
    /// Takes a stretch of whole days, in halves where it has too many points, and a day in parts by dimensions.
    fn stretch(&mut self, from_ms: i64, to_ms: i64) {
        if let Some(pass) = self.read(from_ms, to_ms, 0, 1) {
            return self.settle(pass, from_ms, to_ms, true);
        }
        let days = (to_ms - from_ms) / DAY_MS;
        if days > 1 {
            let middle_ms = from_ms + days / 2 * DAY_MS;
            self.stretch(from_ms, middle_ms);
            return self.stretch(middle_ms, to_ms);
        }
        let mut parts = 2;
        loop {
            // Reading decides whether the parts are small enough before any of them goes out.
            if (0..parts).all(|part| self.read(from_ms, to_ms, part, parts).is_some()) {
                break;
            }
            parts *= 2;
        }
        let taken = self.taken.clone();
        for part in 0..parts {
            // Each part sees all times of the day and chooses the same ones.
            self.taken.clone_from(&taken);
            if let Some(pass) = self.read(from_ms, to_ms, part, parts) {
                self.settle(pass, from_ms, to_ms, part == 0);
            }
        }
    }

    fn read(&self, from_ms: i64, to_ms: i64, part: u64, parts: u64) -> Option<Pass> {
        read::pass(self.archive, self.sources, self.filter, self.options, read::Share { from_ms, to_ms, part, parts })
    }

    /// Chooses the times of a stretch day by day and hands them over. `is_first`: the first pass over this stretch, which
    /// alone counts what every pass sees.
    fn settle(&mut self, mut pass: Pass, from_ms: i64, to_ms: i64, is_first: bool) {
        if is_first {
            self.count(&mut pass);
        }
        pass.sort();
        let mut day_ms = from_ms;
        let mut rows = std::mem::take(&mut pass.rows);
        // By day first: the choice of one day must not depend on how many are in memory.
        rows.sort_by_key(|row| row.span.start_ms.div_euclid(DAY_MS));
        let mut ahead = rows.as_mut_slice();
        while day_ms < to_ms {
            let length = ahead.partition_point(|row| row.span.start_ms < day_ms + DAY_MS);
            let (day, rest) = ahead.split_at_mut(length);
            self.day(&pass, day, day_ms, is_first);
            ahead = rest;
            day_ms += DAY_MS;
        }
    }

    fn count(&mut self, pass: &mut Pass) {
        for (call, facts) in std::mem::take(&mut pass.calls) {
            let report = self.report.calls.entry(call).or_default();
            report.answers += facts.answers;
            report.refused += facts.refused;
            report.beside_intervals += facts.beside_intervals;
            let place = |(answered_ms, file): (i64, u32)| self.sources[file as usize].place(answered_ms);
            if let (Some(first), Some(last)) = (facts.first.map(place), facts.last.map(place)) {
                let (known_first, known_last) = report.coverage.take().unwrap_or_else(|| (first.clone(), last.clone()));
                let is_earlier = first.answered_ms < known_first.answered_ms;
                let is_later = last.answered_ms >= known_last.answered_ms;
                report.coverage =
                    Some((if is_earlier { first } else { known_first }, if is_later { last } else { known_last }));
            }
        }
        self.report.absent += pass.absent;
        self.report.too_many += pass.too_many;
        self.report.problems.add_counts(&pass.problems);
        let room = Problems::EXAMPLES as usize * 4;
        let examples = pass.problems.examples.drain(..);
        self.report.problems.examples.extend(examples.take(room.saturating_sub(self.report.problems.examples.len())));
    }

    fn day(&mut self, pass: &Pass, rows: &mut [Row], day_ms: i64, is_first: bool) {
        let mut rows = rows;
        for (call_id, call) in pass.calls_by_name() {
            for kind in [SpanKind::Interval, SpanKind::Window, SpanKind::Snapshot] {
                let spans = pass.spans_of(call_id, kind, day_ms, day_ms + DAY_MS);
                let place = (call.to_owned(), kind);
                let taken = Taken { until_ms: self.taken.get(&place).copied() };
                let Chosen { kept, left_out, holes } = choose(kind, &spans, taken);
                if let Some(last) = kept.last() {
                    self.taken.insert(place, spans[*last].span.end_ms);
                }
                let mut report = self.report.calls.remove(call).unwrap_or_default();
                if is_first {
                    report.overlaps += left_out;
                    holes.into_iter().for_each(|hole| report.add_hole(self.filter, hole));
                }
                let is_of = |row: &Row| row.call == call_id && row.span.kind == kind;
                let own = take_run(&mut rows, is_of);
                let mut groups = own.chunk_by_mut(|a, b| a.span == b.span).peekable();
                let mut kept = kept
                    .iter()
                    .map(|at| &spans[*at])
                    .filter(|fact| self.filter.wants_time(fact.span.start_ms))
                    .peekable();
                // Both are in the order of times; a group without its time among the kept is left out.
                loop {
                    match (groups.peek().map(|group| group[0].span), kept.peek().map(|fact| fact.span)) {
                        (Some(group), fact) if fact.is_none_or(|fact| group < fact) => {
                            let length = groups.next().map_or(0, |group| group.len());
                            report.points_overlapping += length as u64;
                        }
                        (group, Some(_)) => {
                            let Some(fact) = kept.next() else { break };
                            let span = SeriesSpan {
                                call,
                                span: fact.span,
                                // A state at an instant is never over, and never goes on.
                                is_open: kind != SpanKind::Snapshot && fact.span.end_ms > fact.known_until_ms,
                                answered_ms: fact.answered_ms,
                                offset: fact.offset,
                            };
                            report.add_span(&span, is_first);
                            if is_first {
                                (self.sink)(&span, None);
                            }
                            if group == Some(fact.span)
                                && let Some(group) = groups.next()
                            {
                                hand_over(pass, &span, group, &mut report, self.sink);
                            }
                        }
                        _ => break,
                    }
                }
                self.report.calls.insert(call.to_owned(), report);
            }
        }
    }
}

/// Takes the rows in front that belong together.
fn take_run<'r>(rows: &mut &'r mut [Row], is_of: impl Fn(&Row) -> bool) -> &'r mut [Row] {
    let length = rows.iter().take_while(|row| is_of(row)).count();
    let (run, rest) = std::mem::take(rows).split_at_mut(length);
    *rows = rest;
    run
}

/// Hands the points of one time over: of each dimensions those of the latest answer.
fn hand_over(pass: &Pass, span: &SeriesSpan<'_>, rows: &mut [Row], report: &mut CallReport, sink: &mut SeriesSink<'_>) {
    let mut winners: Vec<(&Dimensions, &str, Row)> = Vec::new();
    for of_one in rows.chunk_by(|a, b| a.dimensions == b.dimensions) {
        let latest = of_one.iter().map(|row| (row.answered_ms, row.file, row.line)).max();
        for row in of_one.iter().filter(|row| Some((row.answered_ms, row.file, row.line)) == latest) {
            winners.push((pass.dimensions(row.dimensions), pass.text(row.metric), *row));
        }
        report.said_again += of_one.len() as u64;
    }
    // One name twice in one answer: a JSON object with a key twice, of which the last counts.
    winners.sort_by(|a, b| (a.0, a.1, a.2.place).cmp(&(b.0, b.1, b.2.place)));
    let is_last = |at: usize| winners.get(at + 1).is_none_or(|next| (next.0, next.1) != (winners[at].0, winners[at].1));
    for (at, (dimensions, metric, row)) in winners.iter().enumerate() {
        if !is_last(at) {
            continue;
        }
        report.points += 1;
        report.said_again = report.said_again.saturating_sub(1);
        let value = pass.value(row);
        sink(span, Some(&SeriesPoint { dimensions, metric, value, answered_ms: row.answered_ms }));
    }
}

impl CallReport {
    /// Counts the part of a hole that is wanted.
    fn add_hole(&mut self, filter: &SeriesFilter, hole: Hole) {
        let start_ms = hole.start_ms.max(filter.from_ms.unwrap_or(i64::MIN));
        let end_ms = hole.end_ms.min(filter.to_ms.unwrap_or(i64::MAX));
        if start_ms >= end_ms {
            return;
        }
        self.hole_count += 1;
        self.hole_ms += end_ms - start_ms;
        if self.holes.len() < MAX_HOLES {
            self.holes.push(Hole { start_ms, end_ms, ..hole });
        }
    }

    fn add_span(&mut self, span: &SeriesSpan<'_>, is_first: bool) {
        if !is_first {
            return;
        }
        let count = match span.span.kind {
            SpanKind::Interval => &mut self.intervals,
            SpanKind::Window => &mut self.windows,
            SpanKind::Snapshot => &mut self.snapshots,
        };
        *count += 1;
        self.open += u64::from(span.is_open);
    }
}

#[cfg(test)]
#[path = "series/tests.rs"]
mod tests;
