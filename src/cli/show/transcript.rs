//! The transcript as people read it: when, in which role, who, what; a line of its own for each new day.
//!
//! The columns of the frame (time and role) hold the program's own words alone. Foreign text stands behind them and is indented
//! by as much on every further line, so that no message can look like another one.

use super::super::output::{Style, counted, date_and_clock};
use super::super::paragraph::Paragraph;
use super::View;
use super::page::Page;
use super::structured::Attached;
use super::timeline::{Entry, Event, LABEL_WIDTH, timeline};
use chatvault::conversation::{MASK, Message, Role, SdeValue, flattened, is_encrypted_marker, plain_text};
use chatvault::search::highlight::merged_ranges;
use std::collections::HashSet;
use std::ops::Range;

/// Columns of a time of day.
const TIME_WIDTH: usize = 8;

/// Columns before the text.
const FRAME_WIDTH: usize = TIME_WIDTH + 2 + LABEL_WIDTH + 2;

/// Fields of an attachment that are printed.
const FIELDS_SHOWN: usize = 12;

/// Lines that some check sum speaks for, where there are others.
type Proven<'c> = Option<HashSet<(Option<i64>, &'c str)>>;

pub(super) fn print(view: &View<'_>, page: &mut Page<'_>) {
    let entries = timeline(view.c);
    let shown = match view.around {
        Some(around) => entries_around(&entries, around),
        None => 0..entries.len(),
    };
    let proven = proven(view);
    elided(&entries[..shown.start], page);
    let mut day = String::new();
    for entry in &entries[shown.clone()] {
        let time_ms = match entry {
            Entry::Message(_, message) => message.time_ms,
            Entry::Event(event) => event.time_ms,
        };
        let time = time_ms.and_then(|ms| date_and_clock(ms, view.tz));
        let clock = match time {
            Some((date, clock)) => {
                if date != day {
                    page.own(Style::Dim, &format!("── {date} ──"));
                    day = date;
                }
                clock
            }
            None => "--:--:--".to_owned(),
        };
        match entry {
            Entry::Message(index, message) => print_message(*index, message, &clock, &proven, view, page),
            Entry::Event(event) => print_event(event, &clock, page),
        }
    }
    elided(&entries[shown.end..], page);
}

/// The entries from `context` messages before one to as many after it, with what happened between them. What came before
/// the first message belongs to it, what came after the last one to that.
fn entries_around(entries: &[Entry<'_>], around: super::Part) -> Range<usize> {
    let place_of =
        |wanted: usize| entries.iter().position(|entry| matches!(entry, Entry::Message(index, _) if *index == wanted));
    let from = match around.message.saturating_sub(around.context) {
        0 => 0,
        first => place_of(first).unwrap_or(0),
    };
    let behind = around.message.saturating_add(around.context).saturating_add(1);
    // Up to the next message, without what happened just before that.
    let to = match place_of(behind) {
        Some(next) => {
            let is_message = |entry: &Entry<'_>| matches!(entry, Entry::Message(..));
            entries[..next].iter().rposition(is_message).map_or(next, |last| last + 1)
        }
        None => entries.len(),
    };
    from..to
}

/// Says what is not printed: how many messages, which, and what else.
fn elided(entries: &[Entry<'_>], page: &mut Page<'_>) {
    let mut indices = entries.iter().filter_map(|entry| match entry {
        Entry::Message(index, _) => Some(*index),
        Entry::Event(_) => None,
    });
    let events = entries.len() - indices.clone().count();
    let messages = indices.next().map(|first| match indices.clone().next_back() {
        Some(last) => format!("{} (m{first} to m{last})", counted((indices.count() + 1) as u64, "message")),
        None => format!("1 message (m{first})"),
    });
    let events = (events > 0).then(|| counted(events as u64, "event"));
    let said: Vec<String> = messages.into_iter().chain(events).collect();
    if !said.is_empty() {
        page.own(Style::Dim, &format!("… {} …", said.join(" and ")));
    }
}

fn print_event(event: &Event, clock: &str, page: &mut Page<'_>) {
    let frame = format!("{clock}  {:LABEL_WIDTH$}  ", event.label);
    let text = Paragraph::default().foreign(Some(Style::Dim), event.text.as_str());
    page.hanging(&frame, Some(Style::Dim), FRAME_WIDTH, &text);
}

fn print_message(
    index: usize,
    message: &Message,
    clock: &str,
    proven: &Proven<'_>,
    view: &View<'_>,
    page: &mut Page<'_>,
) {
    let label = format!("{:LABEL_WIDTH$}", message.role.name());
    let speaker = match message.role {
        Role::Consumer => Style::Consumer,
        Role::Agent | Role::Bot => Style::Agent,
        Role::System | Role::Note => Style::Dim,
    };
    let frame = format!("{}  {}  ", page.styled(Style::Dim, clock), page.styled(speaker, &label));
    let mut line = Paragraph::default();
    let has_name = message.role != Role::System && !message.by.is_empty();
    if has_name {
        line = line.foreign(Some(speaker), message.by.as_str()).own(None, ": ");
    }
    let attached = Attached::of(message);
    let text = plain_text(message);
    let replies = attached.replies_in(&text);
    let marks = marks(message, &attached, replies.is_some(), proven, view);
    for mark in &marks {
        line = line.own(Some(mark.style()), format!("[{}] ", mark.word()));
    }
    let style = match message.role {
        _ if marks.iter().any(|mark| matches!(mark, Mark::Deleted | Mark::Encrypted)) => Some(Style::Bad),
        Role::System => Some(Style::Dim),
        _ => None,
    };
    let hits = view.found.map_or_else(Vec::new, |(_, found)| merged_ranges(found.of_message(index)));
    let held = held(message, &attached, &text);
    if text.is_empty() && held.is_none() {
        line = line.own(Some(Style::Dim), "(no text)");
    }
    let gap = if text.is_empty() { "" } else { " " };
    line = match replies {
        Some(replies) => with_replies(line, style, &text, &replies, &hits),
        None => line.marked(style, &*text, hits),
    };
    if let Some(held) = held {
        line = line.own(None, gap).foreign(Some(Style::Dim), held);
    }
    page.hanging(&frame, None, FRAME_WIDTH, &line);
}

/// The text with its quick replies on a line of their own.
fn with_replies<'t>(
    mut line: Paragraph<'t>,
    style: Option<Style>,
    text: &'t str,
    replies: &[Range<usize>],
    hits: &[Range<usize>],
) -> Paragraph<'t> {
    let stretch = |line: Paragraph<'t>, range: Range<usize>| {
        let is_here = |hit: &&Range<usize>| hit.start < range.end && range.start < hit.end;
        let here = hits.iter().filter(is_here).map(|hit| {
            let end = hit.end.min(range.end) - range.start;
            hit.start.saturating_sub(range.start)..end
        });
        let here = here.collect();
        line.marked(style, &text[range], here)
    };
    let (first, last) = (replies.first().map_or(0, |first| first.start), replies.last().map_or(0, |last| last.end));
    // Line feeds stand between them and what is around.
    if first > 0 {
        line = stretch(line, 0..first - 1).own(None, "\n");
    }
    line = line.own(Some(Mark::Replies.style()), format!("[{}] ", Mark::Replies.word()));
    for (at, reply) in replies.iter().enumerate() {
        if at > 0 {
            line = line.own(Some(Style::Dim), " | ");
        }
        line = stretch(line, reply.clone());
    }
    if last < text.len() {
        line = stretch(line.own(None, "\n"), last + 1..text.len());
    }
    line
}

/// What a reader must know of a line beside its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Note,
    Unproven,
    Deleted,
    Encrypted,
    File,
    Link,
    Rich,
    Replies,
    Form,
    Attached,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Mark::Note => "note",
            Mark::Unproven => "unproven",
            Mark::Deleted => "deleted",
            Mark::Encrypted => "encrypted",
            Mark::File => "file",
            Mark::Link => "link",
            Mark::Rich => "rich content",
            Mark::Replies => "quick replies",
            Mark::Form => "secure form",
            Mark::Attached => "attachment",
        }
    }

    fn style(self) -> Style {
        match self {
            Mark::Unproven | Mark::Deleted | Mark::Encrypted => Style::Bad,
            _ => Style::Dim,
        }
    }
}

fn marks(
    message: &Message,
    attached: &Attached,
    replies_stand_apart: bool,
    proven: &Proven<'_>,
    view: &View<'_>,
) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut note = |is_so: bool, mark: Mark| {
        if is_so {
            marks.push(mark);
        }
    };
    note(message.role == Role::Note, Mark::Note);
    let is_proven = proven.as_ref().is_none_or(|lines| lines.contains(&(message.time_ms, message.text.as_str())));
    note(!is_proven, Mark::Unproven);
    // What a consumer types to look like LivePerson's mark is only taken for it where there is one.
    note(view.c.is_masked && message.text.contains(MASK), Mark::Deleted);
    note(view.c.unreadable_messages() > 0 && is_encrypted_marker(&message.text), Mark::Encrypted);
    let format = message.content_format.as_deref().unwrap_or(&message.kind).to_ascii_uppercase();
    let what = match format.as_str() {
        "HOSTED_FILE" | "FILE" | "IMAGE" => Some(Mark::File),
        "LINK" => Some(Mark::Link),
        _ if message.kind == "3" => Some(Mark::Link),
        _ if format.contains("RICH") || attached.has_rich_content => Some(Mark::Rich),
        _ if format.contains("QUICK") && attached.quick_replies.is_empty() => Some(Mark::Rich),
        _ if format.contains("FORM") => Some(Mark::Form),
        // Chat lines name no format; what they carry tells it.
        _ => (!attached.others.is_empty()).then(|| {
            let fields: Vec<SdeValue> = attached.others.iter().flat_map(|other| flattened(other)).collect();
            let has = |names: &[&str]| fields.iter().any(|field| names.contains(&name_of(field)));
            match () {
                () if has(&["relativePath", "fileSize"]) => Mark::File,
                () if has(&["url", "externalFileLink"]) => Mark::Link,
                () => Mark::Attached,
            }
        }),
    };
    marks.extend(what);
    if !attached.quick_replies.is_empty() && !replies_stand_apart {
        marks.push(Mark::Replies);
    }
    marks
}

/// What a file or link says of itself beside the line's text. The structure of rich content is only looks: its words and
/// targets are the text already.
fn held(message: &Message, attached: &Attached, text: &str) -> Option<String> {
    let format = message.content_format.as_deref().unwrap_or(&message.kind).to_ascii_uppercase();
    if format.contains("RICH") || format.contains("QUICK") {
        return None;
    }
    let fields: Vec<SdeValue> = attached.others.iter().flat_map(|other| flattened(other)).collect();
    let known: HashSet<&str> = text.lines().collect();
    let new: Vec<String> = fields
        .iter()
        .filter(|field| !field.text.is_empty() && !known.contains(field.text.as_str()))
        .map(|field| format!("{}={}", name_of(field), field.text))
        .collect();
    let more = new.len().saturating_sub(FIELDS_SHOWN);
    let mut said = new.iter().take(FIELDS_SHOWN).cloned().collect::<Vec<_>>().join(" ");
    if more > 0 {
        said.push_str(&format!(" … {more} more, see --json"));
    }
    Some(said).filter(|said| !said.is_empty())
}

/// The last part of a field's path.
fn name_of(field: &SdeValue) -> &str {
    field.path.rsplit('.').next().unwrap_or(&field.path)
}

/// The lines of the proven versions, where some version is not proven.
fn proven<'c>(view: &View<'c>) -> Proven<'c> {
    if view.stored.revisions.iter().all(|revision| !revision.is_unproven()) {
        return None;
    }
    let proven = view.stored.revisions.iter().filter(|revision| !revision.is_unproven());
    let lines = proven.flat_map(|revision| &revision.content.messages);
    Some(lines.map(|message| (message.time_ms, message.text.as_str())).collect())
}
