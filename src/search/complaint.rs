//! What is wrong with a query, said so that a person can mend it: where, what, why, and the corrected query.
//!
//! Positions are byte offsets into the query as typed (scripts slice with them); [`Complaint::column`] counts
//! characters for people. The rendering never prints a control character of the query and never a line that is
//! longer than a terminal, however long the query is.

use std::fmt;
use std::ops::Range;

use unicode_width::UnicodeWidthChar;

/// More complaints than this help nobody; the rest are counted in [`QueryError::more`].
const MOST_COMPLAINTS: usize = 20;
/// Columns of the query shown before and after the start of a complaint.
const CONTEXT_COLUMNS: usize = 56;

/// One thing wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// First byte of the part complained about.
    pub start: usize,
    /// One past its last byte; equal to `start` where something is missing.
    pub end: usize,
    /// What is wrong and why.
    pub message: String,
    /// The whole query with this one fault mended or, where that is not enough, with all of them. It is a query that can be read;
    /// `None` where neither is one.
    pub suggestion: Option<String>,
}

impl Complaint {
    /// The 1-based character at which the part begins.
    pub fn column(&self, query: &str) -> usize {
        query.get(..self.start).unwrap_or(query).chars().count() + 1
    }
}

/// A query that was refused. Never without a complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The query as typed.
    pub query: String,
    /// In the order of their positions.
    pub complaints: Vec<Complaint>,
    /// Complaints that were left out after the first twenty.
    pub more: usize,
}

impl std::error::Error for QueryError {}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (ordinal, complaint) in self.complaints.iter().enumerate() {
            if ordinal > 0 {
                writeln!(f)?;
            }
            writeln!(f, "query, character {}: {}", complaint.column(&self.query), complaint.message)?;
            let (line, before, under) = excerpt(&self.query, complaint.start, complaint.end);
            writeln!(f, "  {line}")?;
            write!(f, "  {}{}", " ".repeat(before), "^".repeat(under))?;
            let next = self.complaints.get(ordinal + 1).and_then(|next| next.suggestion.as_ref());
            // What mends several at once is said below the last of them.
            if let Some(suggestion) = complaint.suggestion.as_ref().filter(|cure| next != Some(cure)) {
                write!(f, "\n  try: {}", visible(suggestion))?;
            }
        }
        if self.more > 0 {
            write!(f, "\n… and {} more", self.more)?;
        }
        Ok(())
    }
}

/// The part of the query around a complaint, the columns before the caret and the columns under it.
fn excerpt(query: &str, start: usize, end: usize) -> (String, usize, usize) {
    let mut shown = String::new();
    let (mut before, mut under) = (0, 0);
    let head = query.get(..start).unwrap_or("");
    let mut kept = Vec::new();
    let mut columns = 0;
    for c in head.chars().rev() {
        columns += width(plain(c));
        if columns > CONTEXT_COLUMNS {
            kept.push('…');
            break;
        }
        kept.push(plain(c));
    }
    for c in kept.into_iter().rev() {
        before += width(c);
        shown.push(c);
    }
    columns = 0;
    for (at, c) in query.char_indices().skip_while(|(at, _)| *at < start) {
        columns += width(plain(c));
        if columns > CONTEXT_COLUMNS {
            shown.push('…');
            break;
        }
        if at < end {
            under += width(plain(c));
        }
        shown.push(plain(c));
    }
    (shown, before, under.max(1))
}

/// The text with everything replaced that could disturb a terminal.
fn visible(text: &str) -> String {
    text.chars().map(plain).collect()
}

/// Control characters and invisible direction marks are shown as a dot.
fn plain(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => '·',
        _ if c.is_control() => '·',
        _ => c,
    }
}

fn width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// A fault in one value; the replacement is for the value alone.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) replacement: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), replacement: None }
    }

    pub(super) fn cured_by(mut self, replacement: impl Into<String>) -> Fault {
        self.replacement = Some(replacement.into());
        self
    }
}

/// Complaints being collected about one query.
pub(super) struct Complaints<'q> {
    pub(super) query: &'q str,
    list: Vec<(Complaint, Option<Edit>)>,
    more: usize,
}

/// A text that mends a fault when it is put in the place of a span.
type Edit = (Range<usize>, String);

/// The query with some faults mended; `None` where that leaves nothing, or where two of them are mended in one place.
fn mended<'e>(query: &str, edits: impl IntoIterator<Item = &'e Edit>) -> Option<String> {
    let mut edits: Vec<&Edit> = edits.into_iter().collect();
    edits.sort_by_key(|(place, _)| (place.start, place.end));
    let (mut text, mut from) = (String::with_capacity(query.len() + 16), 0);
    for (place, replacement) in edits {
        text.push_str(query.get(from..place.start)?);
        text.push_str(replacement);
        from = place.end;
    }
    text.push_str(query.get(from..)?);
    Some(text.trim().to_owned()).filter(|mended| !mended.is_empty())
}

impl<'q> Complaints<'q> {
    pub(super) fn about(query: &'q str) -> Complaints<'q> {
        Complaints { query, list: Vec::new(), more: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a complaint about `span`; `replacement` mends it when put in the place of `span`.
    pub(super) fn add(&mut self, span: Range<usize>, message: impl Into<String>, replacement: Option<&str>) {
        let edit = replacement.map(|text| (span.clone(), text));
        self.add_with_edit(span, message, edit);
    }

    /// Adds a complaint about `span` that is mended by putting a text in the place of another span.
    pub(super) fn add_with_edit(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        edit: Option<(Range<usize>, &str)>,
    ) {
        // Each suggestion is a copy of the query that is read again, so the list has to be short.
        if self.list.len() >= MOST_COMPLAINTS {
            self.more += 1;
            return;
        }
        let complaint = Complaint { start: span.start, end: span.end, message: message.into(), suggestion: None };
        self.list.push((complaint, edit.map(|(place, text)| (place, text.to_owned()))));
    }

    pub(super) fn fault(&mut self, span: Range<usize>, fault: &Fault) {
        self.add(span, fault.message.clone(), fault.replacement.as_deref());
    }

    /// The error, with suggestions that are queries themselves. `reads`: whether a text is one.
    pub(super) fn into_error(self, reads: impl Fn(&str) -> bool) -> QueryError {
        let Complaints { query, list, more } = self;
        let is_query = |text: &String| reads(text);
        let edits: Option<Vec<&Edit>> = list.iter().map(|(_, edit)| edit.as_ref()).collect();
        // With faults that nobody can mend there is no cure for the whole.
        let all = edits.filter(|edits| more == 0 && edits.len() > 1);
        let all = all.and_then(|edits| mended(query, edits)).filter(is_query);
        let cured = |(complaint, edit): &(Complaint, Option<Edit>)| {
            let alone = edit.as_ref().and_then(|edit| mended(query, [edit])).filter(is_query);
            let suggestion = alone.or_else(|| all.clone());
            Complaint { suggestion, ..complaint.clone() }
        };
        let mut complaints: Vec<Complaint> = list.iter().map(cured).collect();
        complaints.sort_by_key(|complaint| (complaint.start, complaint.end));
        QueryError { query: query.to_owned(), complaints, more }
    }
}
