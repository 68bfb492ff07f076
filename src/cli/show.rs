//! `show`: one conversation as people read it, or exactly as LivePerson sent it.

mod details;
mod header;
mod page;
mod sources;
mod structured;
mod timeline;
mod transcript;

use super::args::Show;
use super::choices::Around;
use super::exit::{Exit, Failure};
use super::limits::Limits;
use super::output::{Output, Style, json_time, printable, text_width, time_zone};
use super::paragraph::Paragraph;
use super::search::request;
use super::{hit, open, open_index, pager};
use chatvault::archive::{Archive, ArchivedFile};
use chatvault::conversation::{Conversation, Message, Record, Revision, StoredConversation, plain_text};
use chatvault::decode::{DecodeLimits, raw_record};
use chatvault::index::Reader;
use chatvault::search::{SearchError, Within, within};
use jiff::tz::TimeZone;
use page::Page;
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::Path;

/// What is said of a record that no check sum speaks for.
const UNPROVEN: &str = "UNPROVEN: salvaged from a damaged file; no check sum speaks for this record, its text may be altered. The \
                        SHA-256 is that of the salvage file.";

pub(crate) fn run(args: &Show, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let archive = open(vault)?;
    let reader = open_index(vault)?;
    let tz = time_zone(&args.tz)?;
    let stored = find(&archive, &reader, &args.id)?;
    if args.sources {
        return sources::run(&archive, &stored, &tz, output);
    }
    if args.raw {
        return print_raw(&archive, &stored, Limits::of_vault(vault)?.decode());
    }
    if args.revisions && output.json {
        let revisions = stored
            .revisions
            .iter()
            .map(|revision| {
                document(&archive, &StoredConversation { revisions: vec![revision.clone()] }, &revision.content)
            })
            .collect::<Result<Vec<Value>, Failure>>()?;
        output.document(json!({ "key": stored.key(), "revisions": revisions }), "revisions")?;
        return Ok(Exit::Complete);
    }
    let mut page = Page::new(output, text_width());
    if args.revisions {
        for revision in &stored.revisions {
            let single = StoredConversation { revisions: vec![revision.clone()] };
            if output.for_machines() {
                output.document(document(&archive, &single, &revision.content)?, "revision")?;
            } else {
                let places: Vec<String> =
                    revision.records.iter().map(|record| format!("{} record {}", record.file, record.record)).collect();
                let heading = Paragraph::default()
                    .own(Some(Style::Bold), "revision from ")
                    .foreign(Some(Style::Bold), places.join(", "));
                page.foreign(&heading);
                let view = View { stored: &single, c: &revision.content, tz: &tz, found: None, around: None };
                print_page(&view, &mut page);
                page.empty_line();
            }
        }
        pager::print(&page.into_text(), !args.no_pager);
        return Ok(Exit::Complete);
    }
    let merged = stored.merged();
    let found = found_by(args, &stored, &merged, &tz, vault)?;
    let around = part(args, found.as_ref(), &merged)?;
    let found = args.query.as_deref().zip(found.as_ref());
    if output.for_machines() {
        let mut document = document(&archive, &stored, &merged)?;
        if let Some(fields) = document.as_object_mut() {
            details::add_sessions(fields, &reader, &merged)?;
            let shown = around.map_or(0..merged.messages.len(), |part| part.range(merged.messages.len()));
            if let Some((query, found)) = found {
                add_found(fields, query, found, &merged, shown.clone());
            }
            if let Some(part) = around {
                fields.insert("around".into(), json!({ "message": part.message, "context": part.context }));
            }
            if let Some(Value::Array(messages)) = fields.get_mut("messages") {
                *messages = messages.drain(shown).collect();
            }
        }
        output.document(document, "conversation")?;
    } else {
        print_page(&View { stored: &stored, c: &merged, tz: &tz, found, around }, &mut page);
        pager::print(&page.into_text(), !args.no_pager);
    }
    Ok(Exit::Complete)
}

/// The conversation with this id, or this key.
pub(super) fn find(archive: &Archive, reader: &Reader, id: &str) -> Result<StoredConversation, Failure> {
    let mut found: Vec<StoredConversation> =
        reader.find(&format!("{}:{id}", archive.account_id()))?.into_iter().collect();
    if found.is_empty() {
        found.extend(reader.find(id)?);
    }
    if found.is_empty() {
        // Records of another account are indexed under it.
        found = reader.find_id(id)?;
    }
    if found.len() > 1 {
        let keys: Vec<String> = found.iter().map(StoredConversation::key).collect();
        let failure = Failure::usage(format!("{} accounts have a conversation {}", found.len(), printable(id)));
        return Err(failure.hint(format!("name one by its key: {}", keys.join(", "))));
    }
    found.pop().ok_or_else(|| {
        Failure::new(Exit::Failed, format!("no conversation {}", printable(id)))
            .hint("search for it by its words or times: `chatvault search QUERY`")
    })
}

/// Prints the record's bytes, one record a line; a terminal gets them with control characters escaped.
fn print_raw(archive: &Archive, stored: &StoredConversation, limits: DecodeLimits) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    for record in stored.revisions.iter().flat_map(|revision| &revision.records) {
        let file = archive.file_by_path(&record.file)?.ok_or_else(|| {
            Failure::new(Exit::Failed, format!("{} is not in the archive", record.file)).hint("run `chatvault verify`")
        })?;
        let bytes = raw_record(archive.open_proven(&file)?, record.record, limits)?.ok_or_else(|| {
            let message = format!("{} no longer holds record {}", record.file, record.record);
            Failure::new(Exit::Failed, message).hint("run `chatvault verify`")
        })?;
        if std::io::stdout().is_terminal() {
            out.write_all(printable(&String::from_utf8_lossy(&bytes)).as_bytes())?;
        } else {
            out.write_all(&bytes)?;
        }
        writeln!(out)?;
    }
    Ok(Exit::Complete)
}

pub(super) fn document(archive: &Archive, stored: &StoredConversation, c: &Conversation) -> Result<Value, Failure> {
    let mut fields = hit::fields(stored, c);
    let messages = c.messages.iter().enumerate().map(|(index, m)| {
        json!({
            "index": index, "time": json_time(m.time_ms), "by": m.by, "role": m.role.name(), "type": m.kind, "text": m.text,
            "content_format": m.content_format, "message_id": m.message_id, "dialog_id": m.dialog_id, "agent_id": m.agent_id,
            "attachment": m.attachment.as_ref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text))),
        })
    });
    let transfers = c.transfers.iter().map(|t| {
        json!({
            "time": json_time(t.time_ms), "skill_id": t.skill_id, "target_skill_id": t.target_skill_id,
            "agent_id": t.agent_id, "target_agent_id": t.target_agent_id,
            "reason": t.reason_name.as_ref().map(|name| json!(name)).or(t.reason.map(|code| json!(code))),
            "queue_start_time": json_time(t.queue_start_ms), "queue_end_time": json_time(t.queue_end_ms),
        })
    });
    let as_received = |texts: &[String]| -> Value {
        texts.iter().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text))).collect()
    };
    let mut provenance = Vec::new();
    for (at, revision) in stored.revisions.iter().enumerate() {
        for record in &revision.records {
            let file = archive.file_by_path(&record.file)?;
            provenance.push(provenance_of(at, revision, record, file.as_ref()));
        }
    }
    for (name, value) in [
        ("messages", messages.collect()),
        ("transfers", transfers.collect()),
        ("sdes", as_received(&c.attributes)),
        ("surveys", as_received(&c.surveys)),
        ("campaign", c.campaign.as_ref().map_or(Value::Null, details::campaign)),
        ("secure_forms", as_received(&c.secure_forms)),
        ("provenance", Value::Array(provenance)),
    ] {
        fields.insert(name.into(), value);
    }
    for (name, value) in [
        ("device", &c.device),
        ("origin", &c.origin),
        ("start_page", &c.start_page),
        ("start_url", &c.start_url),
        ("visit_id", &c.visit_id),
        ("context_id", &c.context_id),
    ] {
        fields.insert(name.into(), json!(value));
    }
    details::add(&mut fields, stored, c);
    fields.insert("interactive".into(), json!(c.interactive));
    fields.insert("queue_start_time".into(), json_time(c.queue_start_ms));
    fields.insert("queue_end_time".into(), json_time(c.queue_end_ms));
    Ok(Value::Object(fields))
}

/// Where a record lies and how its file came here; what only the ledger knows is null if it has lost the file's row.
fn provenance_of(at: usize, revision: &Revision, record: &Record, file: Option<&ArchivedFile>) -> Value {
    let came = file.map(|file| &file.provenance);
    let mut value = json!({
        "source": revision.source, "file": record.file, "sha256": record.sha256, "record": record.record, "revision": at,
        "revision_time": json_time(Some(revision.age_ms)), "masked": revision.content.is_masked,
        "size_bytes": file.map(|file| file.size_bytes),
        "fetched_time": json_time(file.map(|file| file.stored_at_ms)),
        "origin": came.map(|came| &came.origin),
        "request": came.map(|came| &came.request),
        "response": came.map(|came| &came.response),
        "http_date": came.and_then(|came| came.response.get("date")),
        "clock_offset_ms": came.and_then(|came| came.clock_offset_ms),
        "program": came.map(|came| &came.program),
        "custody": came.map(|came| &came.custody),
    });
    // Only where there is some: these are then not the bytes that came.
    if let Some(salvage) = came.and_then(|came| came.salvage.as_ref()) {
        value["salvage"] = json!(salvage);
    }
    if record.unproven {
        value["unproven"] = json!(true);
    }
    value
}

/// A conversation, and how it is to be shown.
#[derive(Clone, Copy)]
struct View<'v> {
    stored: &'v StoredConversation,
    c: &'v Conversation,
    tz: &'v TimeZone,
    /// The query whose words are marked, and what it finds here.
    found: Option<(&'v str, &'v Within)>,
    /// What is shown of it; everything where there is none.
    around: Option<Part>,
}

/// A message and as many on either side.
#[derive(Clone, Copy)]
struct Part {
    /// Index of the message.
    message: usize,
    /// Messages on either side.
    context: usize,
}

impl Part {
    /// Indices of its messages, of so many.
    fn range(self, messages: usize) -> Range<usize> {
        let end = self.message.saturating_add(self.context).saturating_add(1).min(messages);
        self.message.saturating_sub(self.context).min(end)..end
    }
}

fn print_page(view: &View<'_>, page: &mut Page<'_>) {
    header::print(view, page);
    page.empty_line();
    transcript::print(view, page);
    details::print(view.stored, view.c, view.tz, page);
    let records: Vec<&Record> = view.stored.revisions.iter().flat_map(|revision| &revision.records).collect();
    // One record stands above already.
    if records.len() < 2 {
        return;
    }
    page.empty_line();
    for record in records {
        let place = format!("{} · record {} · SHA-256 {}", record.file, record.record, record.sha256);
        page.foreign(&Paragraph::default().foreign(Some(Style::Dim), place));
        if record.unproven {
            page.own(Style::Bad, UNPROVEN);
        }
    }
}

/// What the query of the command line finds in the conversation.
fn found_by(
    args: &Show,
    stored: &StoredConversation,
    c: &Conversation,
    tz: &TimeZone,
    vault: &Path,
) -> Result<Option<Within>, Failure> {
    let Some(text) = &args.query else { return Ok(None) };
    let query = request(text, tz, vault)?.query;
    Ok(Some(within(&query, text, stored, c).map_err(SearchError::from)?))
}

/// The message that `--around` means.
fn part(args: &Show, found: Option<&Within>, c: &Conversation) -> Result<Option<Part>, Failure> {
    let message = match (args.around, found) {
        (None, _) => return Ok(None),
        (Some(Around::Message(index)), _) if index < c.messages.len() => index,
        (Some(Around::Message(index)), _) => {
            let last = match c.messages.len() {
                0 => "it has no messages".to_owned(),
                count => format!("the last one is m{}", count - 1),
            };
            return Err(Failure::usage(format!("the conversation has no message m{index}")).hint(last));
        }
        (Some(Around::WithHits(_)), None) => {
            return Err(Failure::usage("--around with a number counts the messages with hits of a query")
                .hint("add --query QUERY, or name a message by its index: --around m17"));
        }
        (Some(Around::WithHits(nth)), Some(found)) => {
            let messages = found.messages();
            *messages.get(nth - 1).ok_or_else(|| {
                let there = match messages.len() {
                    0 => "no message has".to_owned(),
                    1 => "1 message has".to_owned(),
                    more => format!("{more} messages have"),
                };
                Failure::usage(format!("--around {nth}: {there} hits of the query"))
                    .hint("a message can be named by its index too: --around m17")
            })?
        }
    };
    Ok(Some(Part { message, context: args.context }))
}

/// What the query finds, for scripts: how often, in which messages, and which words of the messages shown.
fn add_found(fields: &mut Map<String, Value>, query: &str, found: &Within, c: &Conversation, shown: Range<usize>) {
    let highlights = shown.filter_map(|index| Some(highlights_of(index, c.messages.get(index)?, found)));
    fields.insert("highlights".into(), highlights.flatten().collect());
    fields.insert("hits".into(), json!(found.messages()));
    fields.insert("hit_count".into(), json!(found.hits.len()));
    fields.insert("matches".into(), json!(found.matches));
    fields.insert("query".into(), json!(query));
}

/// The highlights of a message: stretches of its plain text (an HTML line's without its tags), in bytes and in characters.
fn highlights_of(index: usize, message: &Message, found: &Within) -> Vec<Value> {
    let highlights = found.of_message(index);
    if highlights.is_empty() {
        return Vec::new();
    }
    let text = plain_text(message);
    // They come in the order of their starts, so that the text is counted once.
    let (mut start, mut start_char) = (0, 0);
    let of_text = highlights.iter().filter_map(|highlight| {
        let words = text.get(highlight.start..highlight.end)?;
        start_char += text.get(start..highlight.start)?.chars().count();
        start = highlight.start;
        Some(json!({
            "message": index, "start": start, "end": highlight.end, "start_char": start_char,
            "end_char": start_char + words.chars().count(), "text": words,
        }))
    });
    of_text.collect()
}
