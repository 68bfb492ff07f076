//! `show`: one conversation as people read it, or exactly as LivePerson sent it.

mod details;
mod sources;

use super::args::Show;
use super::exit::{Exit, Failure};
use super::limits::Limits;
use super::output::{Output, Style, json_time, printable, readable_duration, readable_time, time_zone};
use super::{hit, open, open_index};
use chatvault::archive::{Archive, ArchivedFile};
use chatvault::conversation::{Conversation, Record, Revision, Role, StoredConversation, plain_text};
use chatvault::decode::{DecodeLimits, raw_record};
use chatvault::index::Reader;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
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
    if args.revisions {
        for revision in &stored.revisions {
            let single = StoredConversation { revisions: vec![revision.clone()] };
            if output.for_machines() {
                output.document(document(&archive, &single, &revision.content)?, "revision")?;
            } else {
                let places: Vec<String> =
                    revision.records.iter().map(|record| format!("{} record {}", record.file, record.record)).collect();
                outln!("{}", output.styled(Style::Bold, &format!("revision from {}", places.join(", "))));
                print_transcript(&single, &revision.content, &tz, output);
                outln!();
            }
        }
        return Ok(Exit::Complete);
    }
    let merged = stored.merged();
    if output.for_machines() {
        let mut document = document(&archive, &stored, &merged)?;
        if let Some(fields) = document.as_object_mut() {
            fields.insert("web_sessions".into(), details::sessions(&reader, &merged)?);
        }
        output.document(document, "conversation")?;
    } else {
        print_transcript(&stored, &merged, &tz, output);
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

fn print_transcript(stored: &StoredConversation, c: &Conversation, tz: &TimeZone, output: &Output) {
    hit::print(stored, c, &[], tz, output);
    let mut facts = Vec::new();
    facts.extend(c.kind.clone());
    facts.extend(c.device.clone());
    facts.extend(c.queue_ms().map(|ms| format!("{} in the queue", readable_duration(ms))));
    facts.extend(c.start_url.clone());
    if stored.version_count() > 1 {
        facts.push(format!("{} revisions", stored.version_count()));
    }
    let sources = stored.sources();
    if sources != ["data-access"] {
        facts.push(sources.join(" + "));
    }
    if let Some(encrypted) = &c.encrypted {
        let came = format!("{} encrypted messages", encrypted.opened + encrypted.unreadable);
        facts.push(match encrypted.unreadable {
            0 => came,
            closed => format!("{came}, {closed} not opened"),
        });
    }
    outln!("{}", output.styled(Style::Dim, &printable(&facts.join(" · "))));
    outln!();
    let mut transfers = c.transfers.iter().peekable();
    for message in &c.messages {
        while let Some(transfer) = transfers.next_if(|t| t.time_ms.is_some() && t.time_ms <= message.time_ms) {
            print_transfer(transfer, tz, output);
        }
        let time = message.time_ms.map_or("--:--:--".to_owned(), |ms| readable_time(ms, tz)[11..].to_owned());
        let text = plain_text(message);
        let who = hit::speaker(message.role, &message.by, output);
        let text = printable(&text);
        let text = if message.role == Role::System { output.styled(Style::Dim, &text) } else { text };
        outln!("{}  {who}: {text}", output.styled(Style::Dim, &time));
    }
    for transfer in transfers {
        print_transfer(transfer, tz, output);
    }
    details::print(stored, c, tz, output);
    outln!();
    for record in stored.revisions.iter().flat_map(|revision| &revision.records) {
        let place = format!("{} · record {} · SHA-256 {}", record.file, record.record, record.sha256);
        outln!("{}", output.styled(Style::Dim, &place));
        if record.unproven {
            outln!("{}", output.styled(Style::Bad, UNPROVEN));
        }
    }
}

fn print_transfer(transfer: &chatvault::conversation::Transfer, tz: &TimeZone, output: &Output) {
    let time = transfer.time_ms.map_or("--:--:--".to_owned(), |ms| readable_time(ms, tz)[11..].to_owned());
    let side = |agent: &Option<String>, skill: &Option<String>| {
        let agent = agent.as_ref().map(|agent| format!("agent {agent}"));
        let skill = skill.as_ref().map(|skill| format!("skill {skill}"));
        agent.into_iter().chain(skill).collect::<Vec<_>>().join(", ")
    };
    let mut line = format!(
        "── transfer: {} → {}",
        side(&transfer.agent_id, &transfer.skill_id),
        side(&transfer.target_agent_id, &transfer.target_skill_id)
    );
    if let (Some(from), Some(to)) = (transfer.queue_start_ms, transfer.queue_end_ms) {
        line.push_str(&format!(", {} in the queue", readable_duration(to - from)));
    }
    outln!("{}  {}", output.styled(Style::Dim, &time), output.styled(Style::Dim, &printable(&line)));
}
