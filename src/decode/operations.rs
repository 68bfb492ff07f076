//! Archived answers of the operational APIs → figures: Operational Realtime, Messaging Operations, Agent Metrics.
//!
//! A line is walked like an answer of a history API: its intervals and agents are framed one by one, so an answer of any size
//! passes through a bounded buffer. What a `timestamp` means and how LivePerson rounds is in `frame.rs`, the shapes of the
//! bodies in `walk.rs` (reference `operational.md`). A metric or a container that this version does not know is kept under
//! its JSON path; what cannot be placed in time is counted as a problem.

mod asked;
mod frame;
mod walk;

use super::avro_json::Broken;
use super::container::{self, Budget, Container, container_of};
use super::envelope::{Walk, list, object, small};
use super::fields::Fields;
use super::text::{Fault, Text};
use super::{DecodeLimits, ProblemKind, Problems, read_up_to, short};
use asked::Asked;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frame::Frame;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

/// What a figure's time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanKind {
    /// One of the intervals of an answer.
    Interval,
    /// The whole window of an answer.
    Window,
    /// A state at an instant.
    Snapshot,
}

impl SpanKind {
    /// Name in output.
    pub fn name(self) -> &'static str {
        match self {
            SpanKind::Interval => "interval",
            SpanKind::Window => "window",
            SpanKind::Snapshot => "snapshot",
        }
    }
}

/// The time that figures speak of, half-open, epoch milliseconds of LivePerson's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// What it is.
    pub kind: SpanKind,
    /// First millisecond inside.
    pub start_ms: i64,
    /// First millisecond after; the start again for a snapshot.
    pub end_ms: i64,
}

/// Whom a figure is about. All absent: everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dimensions {
    /// Skill id.
    pub skill: Option<String>,
    /// Agent id.
    pub agent: Option<String>,
    /// Agent group id.
    pub group: Option<String>,
    /// State of an agent: `online`, `back-soon`, `away`, `logged-in` (all of them), or as LivePerson says it, in lower case.
    pub state: Option<String>,
    /// Reason of the state, LivePerson's id.
    pub reason: Option<String>,
    /// Of a total: the grouping that it closes; LivePerson may count each differently.
    pub section: Option<Section>,
}

/// A grouping that has a total of its own. Where there are several totals, the lesser one is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `skillsMetricsPerAgent`
    Skills,
    /// `agentsMetrics`
    Agents,
}

impl Section {
    /// Name in output.
    pub fn name(self) -> &'static str {
        match self {
            Section::Skills => "skills",
            Section::Agents => "agents",
        }
    }
}

/// A figure's value. `-1` and LivePerson's other words for "no data" are no value and never get here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FigureValue<'f> {
    /// A number; its unit is the metric's.
    Number(f64),
    /// A text, such as an agent's name.
    Text(&'f str),
}

/// What is known of an answer before its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerHead {
    /// `operational-realtime`, `messaging-operations` or `agent-metrics`.
    pub stream: String,
    /// Path behind the account, such as `queuehealth`.
    pub call: String,
    /// When it was answered by LivePerson's clock, epoch milliseconds. Up to a second too early: a `Date` header has no
    /// fractions.
    pub answered_ms: i64,
    /// An interval that ends later was not over.
    pub known_until_ms: i64,
    /// HTTP status.
    pub status: i64,
    /// Whether intervals were asked for; the whole window beside them says the same again.
    pub has_intervals: bool,
    /// Place of the first record of a page; 0 for whole answers and first pages.
    pub offset: u64,
}

/// What a file of answers gives, in its order.
#[derive(Clone, Copy, Debug)]
pub enum Figure<'f> {
    /// An answer begins. One with a status other than 200 has no figures.
    Answer(&'f AnswerHead),
    /// The answer that came last is of this other account, not of the one asked about: nothing of it counts.
    OtherAccount(&'f AnswerHead, &'f str),
    /// The answer speaks of this time, with figures or without.
    Span(&'f AnswerHead, Span),
    /// One figure.
    Point {
        /// Its answer.
        head: &'f AnswerHead,
        /// Its time.
        span: Span,
        /// Whom it is about.
        dimensions: &'f Dimensions,
        /// LivePerson's name; the JSON path where this version does not know the container.
        metric: &'f str,
        /// The value.
        value: FigureValue<'f>,
    },
}

/// What a file of answers held.
#[derive(Clone, Debug, Default)]
pub struct FigureReport {
    /// Answers.
    pub answers: u64,
    /// Of them, with another status than 200.
    pub refused: u64,
    /// Points handed over.
    pub points: u64,
    /// Metrics that said "no data" (`-1` and the like).
    pub absent: u64,
    /// What went wrong, and where.
    pub problems: Problems,
}

/// Reads every figure of a file that is about `account`; `sink` gives `false` to stop. Answers that name another account in
/// the address of their request or in their body are counted as [`ProblemKind::OtherAccount`].
///
/// # Errors
/// Only when the file cannot be read from disk at all; damage is in the report.
pub fn figures<R: Read + Seek>(
    mut file: R,
    account: &str,
    limits: DecodeLimits,
    sink: &mut dyn FnMut(Figure<'_>) -> bool,
) -> io::Result<FigureReport> {
    let mut magic = [0u8; 4];
    let length = read_up_to(&mut file, &mut magic)?;
    let budget = Budget::new(&limits, file.seek(SeekFrom::End(0))?);
    file.rewind()?;
    let mut reader = Figures { account, limits, sink, stopped: false, report: FigureReport::default() };
    if container_of(&magic[..length]) == Container::Zip {
        let outcome = container::for_each_zip_entry(file, &budget, &mut |entry| match entry {
            Ok(entry) => reader.stream(entry, &budget),
            Err(error) => reader.note(kind_of(&error), 0, error.to_string()),
        });
        if let Err(error) = outcome {
            reader.note(kind_of(&error), 0, error.to_string());
        }
    } else {
        reader.stream(file, &budget);
    }
    Ok(reader.report)
}

/// What a reader that gave up means.
fn kind_of(error: &io::Error) -> ProblemKind {
    if container::is_bomb(error) { ProblemKind::DecompressionBomb } else { ProblemKind::of_read(error) }
}

struct Figures<'s> {
    account: &'s str,
    limits: DecodeLimits,
    sink: &'s mut dyn FnMut(Figure<'_>) -> bool,
    stopped: bool,
    report: FigureReport,
}

impl Figures<'_> {
    fn note(&mut self, kind: ProblemKind, byte: u64, detail: impl Into<String>) {
        self.report.problems.add(kind, self.report.answers, byte, detail);
    }

    fn hand_over(&mut self, figure: Figure<'_>) {
        if !self.stopped {
            self.stopped = !(self.sink)(figure);
        }
    }

    fn stream(&mut self, reader: impl Read, budget: &Budget) {
        let opened = match container::open(reader, budget) {
            Ok(opened) => opened,
            Err(error) => return self.note(kind_of(&error), 0, error.to_string()),
        };
        if opened.container != Container::Plain {
            return self.note(ProblemKind::DamagedContainer, 0, "figures are read from text only");
        }
        let mut text = Text::new(opened.bytes, self.limits.max_record_bytes);
        while !self.stopped {
            text.forget();
            text.skip_between_values();
            if text.peek().is_none() {
                break;
            }
            let start = text.offset();
            let mut line =
                Line { head: AnswerHead::default(), received: None, frame: None, is_foreign: false, reader: self };
            let outcome = line.value(&mut text);
            if !line.is_foreign && line.frame.is_none() && outcome.is_ok() {
                self.note(ProblemKind::NotIndexed, start, "no archived answer of an operational API");
            }
            match outcome {
                Ok(()) => {}
                Err(Fault::Cut) => {
                    self.note(ProblemKind::CutShort, start, "the file ends inside an answer");
                    break;
                }
                Err(Fault::TooLarge(bytes)) => {
                    let detail = format!("{bytes} bytes in one part; raise max_record_bytes under [limits]");
                    self.note(ProblemKind::TooLarge, start, detail);
                    next_line(&mut text);
                }
                Err(Fault::Syntax(at, reason)) => {
                    self.note(ProblemKind::BrokenRecord, at, reason);
                    next_line(&mut text);
                }
            }
        }
        if let Some(error) = text.damage.take() {
            self.note(kind_of(&error), text.offset(), error.to_string());
        }
    }
}

/// Answers stand one on a line, so a broken one costs no other.
fn next_line(text: &mut Text<'_>) {
    loop {
        match memchr::memchr(b'\n', text.unread()) {
            Some(at) => return text.advance(at + 1),
            None => {
                let length = text.unread().len();
                text.advance(length);
                text.forget();
                if !text.fill() {
                    return;
                }
            }
        }
    }
}

/// Times as the archive wrote them.
#[derive(Clone, Copy, Default)]
struct Received {
    at_ms: i64,
    clock_offset_ms: i64,
}

/// An archived answer on its way through.
struct Line<'r, 's> {
    head: AnswerHead,
    received: Option<Received>,
    /// Known from the request on.
    frame: Option<Frame>,
    /// It names another account.
    is_foreign: bool,
    reader: &'r mut Figures<'s>,
}

impl Line<'_, '_> {
    fn value(&mut self, text: &mut Text<'_>) -> Walk {
        let mut asked = Asked::default();
        object(text, &mut |text, key| match key {
            "stream" => small(text, |pull| {
                self.head.stream = pull.text()?.unwrap_or_default();
                Ok(())
            }),
            "call" => small(text, |pull| {
                self.head.call = pull.text()?.unwrap_or_default().trim_matches('/').to_owned();
                Ok(())
            }),
            "status" => small(text, |pull| {
                self.head.status = pull.integer()?.unwrap_or_default();
                Ok(())
            }),
            "received_ms" => small(text, |pull| {
                self.received = pull.integer()?.map(|at_ms| Received {
                    at_ms,
                    clock_offset_ms: self.received.unwrap_or_default().clock_offset_ms,
                });
                Ok(())
            }),
            "clock_offset_ms" => small(text, |pull| {
                let offset_ms = pull.integer()?.unwrap_or_default();
                if let Some(received) = &mut self.received {
                    received.clock_offset_ms = offset_ms;
                }
                Ok(())
            }),
            "request" => {
                let (at, json) = text.frame()?;
                asked = Asked::of(json).map_err(|broken| Fault::Syntax(at + broken.at as u64, "a broken request"))?;
                Ok(())
            }
            "body" if self.begins(text.offset(), &asked) => self.body(text, 0),
            "body_base64" if self.begins(text.offset(), &asked) => self.encoded(text),
            _ => text.skip_value(),
        })
    }

    /// Whether the body is to be read. The format puts everything that it takes to place figures in time before the body.
    fn begins(&mut self, at: u64, asked: &Asked) -> bool {
        let Some(received) = self.received.filter(|_| !self.head.call.is_empty()) else { return false };
        self.reader.report.answers += 1;
        if let Some(account) = asked.account.as_deref().filter(|account| *account != self.reader.account) {
            self.foreign(at, account);
            return false;
        }
        // A clock that is a day off is no clock.
        let is_odd = received.clock_offset_ms.unsigned_abs() > frame::DAY_MS as u64;
        let offset_ms = if is_odd { 0 } else { received.clock_offset_ms };
        self.head.answered_ms = received.at_ms.saturating_add(offset_ms);
        self.head.offset = asked.whole("offset").unwrap_or_default().unsigned_abs();
        let frame = Frame::new(&self.head.call, self.head.answered_ms, |name| asked.whole(name));
        self.head.has_intervals = frame.has_intervals();
        self.head.known_until_ms = frame.known_until_ms();
        self.frame = Some(frame);
        if is_odd {
            self.reader.note(ProblemKind::OddValue, at, "a clock offset of more than a day; it was left out");
        }
        self.reader.hand_over(Figure::Answer(&self.head));
        self.reader.report.refused += u64::from(self.head.status != 200);
        self.head.status == 200
    }

    fn foreign(&mut self, at: u64, account: &str) {
        self.is_foreign = true;
        self.reader.note(ProblemKind::OtherAccount, at, format!("answer of account {}", short(account)));
    }

    /// The account that a body names.
    fn account(&mut self, text: &mut Text<'_>) -> Walk {
        let (at, json) = text.frame()?;
        let named = match serde_json::from_slice(json) {
            Ok(serde_json::Value::String(named)) => named,
            Ok(serde_json::Value::Number(named)) => named.to_string(),
            _ => return Ok(()),
        };
        if named != self.reader.account {
            self.foreign(at, &named);
            self.reader.hand_over(Figure::OtherAccount(&self.head, &named));
        }
        Ok(())
    }

    fn encoded(&mut self, text: &mut Text<'_>) -> Walk {
        let (at, json) = text.frame()?;
        let encoded = json.strip_prefix(b"\"").and_then(|json| json.strip_suffix(b"\""));
        let Some(bytes) = encoded.and_then(|encoded| STANDARD.decode(encoded).ok()) else {
            self.reader.note(ProblemKind::BrokenRecord, at, "the body of an answer is not base64");
            return Ok(());
        };
        let mut inner = Text::new(Box::new(Cursor::new(bytes)), self.reader.limits.max_record_bytes);
        inner.skip_space();
        let (kind, reason) = match self.body(&mut inner, 0) {
            Ok(()) => return Ok(()),
            Err(Fault::Cut) => (ProblemKind::CutShort, "the body of an answer is cut".to_owned()),
            Err(Fault::Syntax(_, reason)) => (ProblemKind::BrokenRecord, reason.to_owned()),
            Err(Fault::TooLarge(bytes)) => (ProblemKind::TooLarge, format!("{bytes} bytes in one part")),
        };
        // The line around the body is whole, whatever the body is.
        self.reader.note(kind, at, reason);
        Ok(())
    }

    fn body(&mut self, text: &mut Text<'_>, depth: u8) -> Walk {
        text.skip_space();
        if text.peek() != Some(b'{') {
            self.reader.note(ProblemKind::OddValue, text.offset(), "the body of an answer is not an object");
            return text.skip_value();
        }
        let Some(frame) = self.frame.clone() else { return text.skip_value() };
        let whole = frame.whole();
        if depth == 0 {
            self.reader.hand_over(Figure::Span(&self.head, whole));
        }
        object(text, &mut |text, key| match key {
            "meta" => text.skip_value(),
            _ if self.is_foreign => text.skip_value(),
            "accountID" | "accountId" => self.account(text),
            "_metadata" => {
                let (at, json) = text.frame()?;
                if memchr::memmem::find(json, b"\"partialResult\":true").is_some() {
                    self.reader.note(ProblemKind::OddValue, at, "LivePerson calls this answer partial");
                }
                Ok(())
            }
            "body" if depth == 0 => self.body(text, 1),
            "metricsByIntervals" => list(text, 0, &mut |text| self.interval(text, &frame)),
            "agentStatusRecords" => list(text, 0, &mut |text| {
                let (at, json) = text.frame()?;
                self.points(at, whole, |walk| walk.agent_record(json));
                Ok(())
            }),
            "estimatedWaitTimeResponse" => list(text, 0, &mut |text| self.wait_time(text, whole)),
            _ => {
                let (at, json) = text.frame()?;
                self.points(at, whole, |walk| walk.entry(key, json));
                Ok(())
            }
        })
    }

    fn interval(&mut self, text: &mut Text<'_>, frame: &Frame) -> Walk {
        let (at, json) = text.frame()?;
        let timestamp = Fields::of(json).and_then(|mut fields| fields.whole(&["timestamp"]));
        let span = match timestamp {
            Ok(Some(timestamp)) => frame.interval(timestamp),
            Ok(None) => Err("an interval without a timestamp".to_owned()),
            Err(broken) => Err(broken.reason),
        };
        match span {
            Ok(span) => {
                self.reader.hand_over(Figure::Span(&self.head, span));
                self.points(at, span, |walk| walk.interval(json));
            }
            Err(reason) => self.reader.note(ProblemKind::BrokenRecord, at, reason),
        }
        Ok(())
    }

    fn wait_time(&mut self, text: &mut Text<'_>, whole: Span) -> Walk {
        let (at, json) = text.frame()?;
        let asked = Fields::of(json).and_then(|mut fields| fields.whole(&["timestamp"])).ok().flatten();
        let is_near = |at_ms: &i64| frame::is_near(*at_ms, self.head.answered_ms);
        let at_ms = asked.filter(is_near).unwrap_or(whole.start_ms);
        let span = Span { kind: SpanKind::Snapshot, start_ms: at_ms, end_ms: at_ms };
        self.reader.hand_over(Figure::Span(&self.head, span));
        self.points(at, span, |walk| walk.wait_time(json));
        Ok(())
    }

    /// Hands over what `read` finds in a framed part that begins at `at`.
    fn points(&mut self, at: u64, span: Span, read: impl FnOnce(&mut walk::Walker<'_>) -> Result<(), Broken>) {
        let (head, reader) = (&self.head, &mut *self.reader);
        let (mut points, mut absent, mut odd) = (0, 0, None);
        let mut take = |found: walk::Found<'_>| match found {
            walk::Found::Absent => absent += 1,
            walk::Found::Odd(reason) => odd = Some(reason),
            walk::Found::Point { dimensions, metric, value } => {
                points += 1;
                // What is so now stands beside the whole window, and is no figure of it.
                let is_now = span.kind == SpanKind::Window && metric.starts_with("current");
                let now = Span { kind: SpanKind::Snapshot, start_ms: head.answered_ms, end_ms: head.answered_ms };
                let span = if is_now { now } else { span };
                reader.hand_over(Figure::Point { head, span, dimensions, metric, value });
            }
        };
        let outcome = read(&mut walk::Walker::new(&mut take));
        reader.report.points += points;
        reader.report.absent += absent;
        if let Some(reason) = odd {
            reader.note(ProblemKind::OddValue, at, reason);
        }
        if let Err(broken) = outcome {
            reader.note(ProblemKind::BrokenRecord, at + broken.at as u64, short(&broken.reason));
        }
    }
}

#[cfg(test)]
#[path = "operations/tests.rs"]
mod tests;
