//! One pass over the files of a stream: the points of a stretch of time as small rows, their texts once each.

use super::choose::SpanFact;
use super::source::Source;
use super::{SeriesFilter, SeriesOptions};
use crate::archive::Archive;
use crate::decode::{AnswerHead, Dimensions, Figure, FigureValue, ProblemKind, Problems, Span, SpanKind, figures};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// An answer speaks of what lies at most so far back (see decode's `frame.rs`), a day for clock offsets included.
pub(super) const REACH_BACK_MS: i64 = 5 * 86_400_000;
/// And at most so far ahead: a rounded interval of a day, and a clock offset.
pub(super) const REACH_AHEAD_MS: i64 = 2 * 86_400_000;

/// What a kept text costs beside its bytes.
const TEXT_BYTES: usize = 48;

/// Which points a pass takes: those of a stretch, of one of several parts of all dimensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) part: u64,
    pub(super) parts: u64,
}

impl Share {
    fn holds(&self, at_ms: i64) -> bool {
        (self.from_ms..self.to_ms).contains(&at_ms)
    }

    fn may_hold(&self, source: &Source) -> bool {
        source.window().is_none_or(|window| {
            window.start_ms.saturating_sub(REACH_BACK_MS) < self.to_ms
                && window.end_ms.saturating_add(REACH_AHEAD_MS) > self.from_ms
        })
    }
}

/// A point without its texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) call: u64,
    pub(super) span: Span,
    pub(super) dimensions: u64,
    pub(super) metric: u64,
    pub(super) answered_ms: i64,
    /// Bits of a number, or a text's hash.
    value: u64,
    /// Place of the file among the stream's.
    pub(super) file: u32,
    /// Ordinal of the answer in its file.
    pub(super) line: u32,
    /// Ordinal of the point in its answer.
    pub(super) place: u32,
    is_text: bool,
}

/// The latest answer that speaks of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    answered_ms: i64,
    file: u32,
    known_until_ms: i64,
    offset: u64,
}

/// What is known of a method's answers.
#[derive(Clone, Debug, Default)]
pub(super) struct CallFacts {
    pub(super) answers: u64,
    pub(super) refused: u64,
    pub(super) beside_intervals: u64,
    pub(super) first: Option<(i64, u32)>,
    pub(super) last: Option<(i64, u32)>,
}

impl CallFacts {
    fn add(&mut self, other: CallFacts) {
        self.answers += other.answers;
        self.refused += other.refused;
        self.beside_intervals += other.beside_intervals;
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.into_iter().chain(other.last).max();
    }
}

/// What one pass gave.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) rows: Vec<Row>,
    spans: BTreeMap<(u64, Span), Told>,
    texts: HashMap<u64, Box<str>>,
    named: HashMap<u64, Dimensions>,
    /// Bytes of both.
    text_bytes: usize,
    pub(super) calls: BTreeMap<String, CallFacts>,
    call_names: BTreeMap<String, u64>,
    pub(super) absent: u64,
    pub(super) too_many: u64,
    pub(super) problems: Problems,
}

impl Pass {
    /// Everything that grows, in points.
    fn size(&self) -> usize {
        self.rows.len() + self.spans.len() + self.named.len() + self.text_bytes / 64
    }

    pub(super) fn sort(&mut self) {
        let order: HashMap<u64, usize> = self.call_names.values().enumerate().map(|(at, id)| (*id, at)).collect();
        self.rows.par_sort_unstable_by_key(|row| {
            let call = order.get(&row.call).copied().unwrap_or_default();
            (call, row.span, row.dimensions, row.answered_ms, row.file, row.line, row.place)
        });
    }

    pub(super) fn calls_by_name(&self) -> impl Iterator<Item = (u64, &str)> {
        self.call_names.iter().map(|(name, id)| (*id, name.as_str()))
    }

    /// Times of a method that begin in a stretch, in order.
    pub(super) fn spans_of(&self, call: u64, kind: SpanKind, from_ms: i64, to_ms: i64) -> Vec<SpanFact> {
        let at = |start_ms: i64| (call, Span { kind, start_ms, end_ms: i64::MIN });
        let found = self.spans.range(at(from_ms)..at(to_ms));
        let fact = |((_, span), told): (&(u64, Span), &Told)| SpanFact {
            span: *span,
            answered_ms: told.answered_ms,
            known_until_ms: told.known_until_ms,
            offset: told.offset,
        };
        found.map(fact).collect()
    }

    pub(super) fn dimensions(&self, id: u64) -> &Dimensions {
        const NOBODY: &Dimensions =
            &Dimensions { skill: None, agent: None, group: None, state: None, reason: None, section: None };
        self.named.get(&id).unwrap_or(NOBODY)
    }

    pub(super) fn text(&self, id: u64) -> &str {
        self.texts.get(&id).map_or("", |text| text)
    }

    pub(super) fn value(&self, row: &Row) -> FigureValue<'_> {
        if row.is_text {
            FigureValue::Text(self.text(row.value))
        } else {
            FigureValue::Number(f64::from_bits(row.value))
        }
    }

    fn keep_text(&mut self, text: &str) -> u64 {
        let id = hash(text);
        if let std::collections::hash_map::Entry::Vacant(place) = self.texts.entry(id) {
            self.text_bytes += text.len() + TEXT_BYTES;
            place.insert(text.into());
        }
        id
    }

    fn keep_dimensions(&mut self, id: u64, dimensions: &Dimensions) {
        if let std::collections::hash_map::Entry::Vacant(place) = self.named.entry(id) {
            let texts =
                [&dimensions.skill, &dimensions.agent, &dimensions.group, &dimensions.state, &dimensions.reason];
            self.text_bytes += 160 + texts.iter().filter_map(|text| text.as_ref()).map(String::len).sum::<usize>();
            place.insert(dimensions.clone());
        }
    }

    fn keep_span(&mut self, call: u64, span: Span, told: Told) {
        let known = self.spans.entry((call, span)).or_insert(told);
        if told > *known {
            *known = told;
        }
    }

    fn join(&mut self, other: Pass) {
        self.rows.extend(other.rows);
        for ((call, span), told) in other.spans {
            self.keep_span(call, span, told);
        }
        for (id, text) in other.texts {
            if let std::collections::hash_map::Entry::Vacant(place) = self.texts.entry(id) {
                self.text_bytes += text.len() + TEXT_BYTES;
                place.insert(text);
            }
        }
        for (id, dimensions) in &other.named {
            self.keep_dimensions(*id, dimensions);
        }
        for (call, facts) in other.calls {
            self.calls.entry(call).or_default().add(facts);
        }
        self.call_names.extend(other.call_names);
        self.absent += other.absent;
        self.too_many += other.too_many;
        let mut examples = other.problems.examples.clone();
        self.problems.add_counts(&other.problems);
        examples.truncate((Problems::EXAMPLES as usize * 4).saturating_sub(self.problems.examples.len()));
        self.problems.examples.append(&mut examples);
    }
}

/// Reads what a share holds; `None`: more than fits.
pub(super) fn pass(
    archive: &Archive,
    sources: &[Source],
    filter: &SeriesFilter,
    options: SeriesOptions,
    share: Share,
) -> Option<Pass> {
    let limit = options.max_points.max(1);
    let each = (limit / rayon::current_num_threads().max(1)).max(1);
    // One time of one agent cannot be parted; with so many parts each is as good as alone, and what is too much is counted.
    let must_fit = share.parts < 1 << 10;
    let joined = |mut a: Pass, b: Pass, limit: usize| {
        a.join(b);
        (!must_fit || a.size() <= limit).then_some(a)
    };
    let places: Vec<usize> = (0..sources.len()).filter(|at| share.may_hold(&sources[*at])).collect();
    places
        .into_par_iter()
        .map(|at| {
            let (file, pass) = (at as u32, Pass::default());
            let reader = FileReader { filter, share, file, limit: each, must_fit, pass, pending: None };
            reader.read(archive, &sources[at], options)
        })
        .try_fold(Pass::default, |pass, one| joined(pass, one?, each))
        .try_reduce(Pass::default, |a, b| joined(a, b, limit))
}

struct FileReader<'f> {
    filter: &'f SeriesFilter,
    share: Share,
    file: u32,
    limit: usize,
    must_fit: bool,
    pass: Pass,
    pending: Option<Pending>,
}

/// What an answer said so far. Which account it is of may stand at its end, so it counts once it is over.
struct Pending {
    /// `None` where it is counted in another stretch.
    counted: Option<(String, CallFacts)>,
    spans: Vec<(u64, Span, Told)>,
    /// Rows before it.
    rows_before: usize,
}

impl FileReader<'_> {
    fn read(mut self, archive: &Archive, source: &Source, options: SeriesOptions) -> Option<Pass> {
        let (mut line, mut place, mut is_full) = (0_u32, 0_u32, false);
        // What the file says of itself is counted in the stretch that its first answer falls into, and once.
        let is_own = self.share.part == 0 && source.window().is_none_or(|window| self.share.holds(window.start_ms));
        let mut last = None;
        let mut take = |figure: Figure<'_>| {
            match figure {
                Figure::Answer(head) => {
                    self.settle();
                    (line, place) = (line.saturating_add(1), 0);
                    self.answer(head, is_own);
                }
                Figure::OtherAccount(..) => self.take_back(),
                Figure::Span(head, span) => self.span(head, span),
                Figure::Point { head, span, dimensions, metric, value } => {
                    place = place.saturating_add(1);
                    if last != Some((line, span)) {
                        self.span(head, span);
                        last = Some((line, span));
                    }
                    let row = Place { line, place };
                    self.point(head, span, dimensions, metric, value, row);
                }
            }
            is_full = self.must_fit && self.size() > self.limit;
            !is_full
        };
        let (account, limits) = (archive.account_id(), options.decode);
        let read = match source {
            Source::Sealed(file) => match archive.open_file(file) {
                Ok(bytes) => figures(bytes, account, limits, &mut take).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
            Source::Open(open) => figures(open.reader(), account, limits, &mut take).map_err(|error| error.to_string()),
        };
        if is_full {
            return None;
        }
        self.settle();
        match read {
            Ok(report) if is_own => {
                self.pass.absent = report.absent;
                self.pass.problems = report.problems;
                if source.is_broken() {
                    let reason = format!("a line of {} is no API answer; what follows it is not read", source.path());
                    self.pass.problems.add(ProblemKind::BrokenRecord, 0, 0, reason);
                }
            }
            Ok(_) => {}
            Err(reason) if is_own => self.pass.problems.add(ProblemKind::Unreadable, 0, 0, reason),
            Err(_) => {}
        }
        Some(self.pass)
    }

    fn answer(&mut self, head: &AnswerHead, is_own: bool) {
        if !self.filter.wants_call(&head.call) {
            return;
        }
        let is_answered = head.status == 200;
        let place = is_answered.then_some((head.answered_ms, self.file));
        let facts = CallFacts {
            answers: 1,
            refused: u64::from(!is_answered),
            beside_intervals: u64::from(is_answered && head.has_intervals),
            first: place,
            last: place,
        };
        self.pass.call_names.entry(head.call.clone()).or_insert_with(|| hash(&head.call));
        let rows_before = self.pass.rows.len();
        let counted = is_own.then(|| (head.call.clone(), facts));
        self.pending = Some(Pending { counted, spans: Vec::new(), rows_before });
    }

    /// The answer is over: it counts.
    fn settle(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        if let Some((call, facts)) = pending.counted {
            self.pass.calls.entry(call).or_default().add(facts);
        }
        for (call, span, told) in pending.spans {
            self.pass.keep_span(call, span, told);
        }
    }

    /// The answer is of another account: nothing of it counts.
    fn take_back(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.pass.rows.truncate(pending.rows_before);
        }
    }

    fn size(&self) -> usize {
        self.pass.size() + self.pending.as_ref().map_or(0, |pending| pending.spans.len())
    }

    /// The whole window beside its intervals says the same again: it is no time of its own.
    fn is_wanted(&self, head: &AnswerHead, span: Span) -> bool {
        self.filter.wants_call(&head.call)
            && self.share.holds(span.start_ms)
            && !(head.has_intervals && span.kind == SpanKind::Window)
    }

    fn span(&mut self, head: &AnswerHead, span: Span) {
        if !self.is_wanted(head, span) {
            return;
        }
        let pending = self.pending.as_ref().map_or(0, |pending| pending.spans.len());
        if self.pass.spans.len() + pending >= self.limit.max(1 << 10) && !self.must_fit {
            self.pass.too_many += 1;
            return;
        }
        let AnswerHead { answered_ms, known_until_ms, offset, .. } = *head;
        let told = Told { answered_ms, file: self.file, known_until_ms, offset };
        if let Some(pending) = &mut self.pending {
            // Points name their time again and again.
            let last = pending.spans.last();
            if last.is_none_or(|(_, known, _)| *known != span) {
                pending.spans.push((hash(&head.call), span, told));
            }
        }
    }

    fn point(
        &mut self,
        head: &AnswerHead,
        span: Span,
        dimensions: &Dimensions,
        metric: &str,
        value: FigureValue<'_>,
        at: Place,
    ) {
        if !self.is_wanted(head, span) || !self.filter.wants_time(span.start_ms) || !self.filter.wants(dimensions) {
            return;
        }
        let id = hash(dimensions);
        if id % self.share.parts != self.share.part {
            return;
        }
        if !self.must_fit && self.pass.size() > self.limit {
            self.pass.too_many += 1;
            return;
        }
        self.pass.keep_dimensions(id, dimensions);
        let (value, is_text) = match value {
            FigureValue::Number(number) => (number.to_bits(), false),
            FigureValue::Text(text) => (self.pass.keep_text(text), true),
        };
        let metric = self.pass.keep_text(metric);
        self.pass.rows.push(Row {
            call: hash(&head.call),
            span,
            dimensions: id,
            metric,
            answered_ms: head.answered_ms,
            value,
            file: self.file,
            line: at.line,
            place: at.place,
            is_text,
        });
    }
}

#[derive(Clone, Copy)]
struct Place {
    line: u32,
    place: u32,
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
