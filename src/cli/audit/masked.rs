//! `audit masked`: which conversations LivePerson has masked, since when, and where the archive still holds what is gone there.
//!
//! LivePerson replaces personal data that somebody had deleted by a mask. The archive keeps what came before, so whoever has to answer
//! a request for erasure needs to know which files still hold the text.

use super::super::exit::{Exit, Failure};
use super::super::output::{Output, Style, counted, json_time, printable, readable_time};
use super::super::{open, open_index};
use chatvault::archive::MaskedRecords;
use chatvault::conversation::{Revision, StoredConversation};
use chatvault::index::Reader;
use chatvault::pipeline::masked_revisions;
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Args, Debug)]
pub(crate) struct Masked {
    /// Only conversations of which an archived version still holds the text
    #[arg(long)]
    held: bool,
}

pub(super) fn run(args: &Masked, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let archive = open(vault)?;
    let reader = open_index(vault)?;
    let known = archive.masked_records()?;
    // In the order of the erasures; a conversation is loaded again when its turn comes, so that none has to be kept.
    let mut order = BTreeMap::new();
    for address in reader.documents_with("masked")? {
        let stored = reader.load(address)?;
        let is_held = unmasked(&stored).next().is_some();
        let since = stored.revisions.iter().find(|revision| revision.content.is_masked).map(|first| first.age_ms);
        if is_held || !args.held {
            order.insert((since, stored.key()), address);
        }
    }
    let (mut held, mut unrecorded) = (0, 0);
    let mut documents = Vec::new();
    for address in order.values() {
        let stored = reader.load(*address)?;
        held += u64::from(unmasked(&stored).next().is_some());
        let lacks = masked_revisions(&stored, &known).iter().any(|masked| masked.event.is_none());
        unrecorded += u64::from(lacks);
        if output.ndjson {
            output.document(to_json(&stored, &known), "masked")?;
        } else if output.json {
            documents.push(to_json(&stored, &known));
        } else {
            print(&stored, &known, output);
        }
    }
    let total = order.len() as u64;
    if output.json {
        let document = json!({ "total": total, "held": held, "unrecorded": unrecorded, "conversations": documents });
        output.document(document, "masked")?;
    } else if !output.ndjson {
        let masked = counted(total, "conversation");
        outln!("{masked} masked by LivePerson; the archive still holds the text of {held}");
    }
    if unrecorded > 0 {
        output.note(&format!(
            "{} not in the audit chain yet; `chatvault index` writes the events",
            counted(unrecorded, "conversation")
        ));
    }
    note_behind(&archive, &reader, output)?;
    Ok(Exit::Complete)
}

/// A list that cannot be complete says so.
fn note_behind(archive: &chatvault::archive::Archive, reader: &Reader, output: &Output) -> Result<(), Failure> {
    let behind = archive.last_sequence()?.saturating_sub(reader.checkpoint().sequence);
    if behind > 0 {
        let files = counted(behind, "archived file");
        output.note(&format!("{files} not indexed yet, so not looked at; run `chatvault index`"));
    }
    Ok(())
}

/// The versions without a mask. What surveys and web sessions add is among them: it may name a person too.
fn unmasked(stored: &StoredConversation) -> impl Iterator<Item = &Revision> {
    stored.revisions.iter().filter(|revision| !revision.content.is_masked)
}

fn to_json(stored: &StoredConversation, known: &MaskedRecords) -> Value {
    let masked = masked_revisions(stored, known);
    let first = masked.first().map(|first| first.revision);
    let versions = masked.iter().map(|masked| {
        let mut value = version(masked.revision);
        value["event"] = json!(masked.event.map(|(seq, _)| seq));
        value["recorded"] = json!(json_time(masked.event.map(|(_, time_ms)| time_ms)));
        value
    });
    json!({
        "account_id": first.map(|first| &first.content.account_id),
        "conversation_id": first.and_then(|first| first.content.conversation_id.as_ref()),
        "key": stored.key(),
        "masked_since": json_time(first.map(|first| first.age_ms)),
        "masked": versions.collect::<Vec<_>>(),
        "held": unmasked(stored).map(version).collect::<Vec<_>>(),
    })
}

fn version(revision: &Revision) -> Value {
    json!({
        "revision_time": json_time(Some(revision.age_ms)), "source": revision.source,
        "records": revision.records.iter().map(|record| {
            json!({ "file": record.file, "sha256": record.sha256, "record": record.record })
        }).collect::<Vec<_>>(),
    })
}

fn print(stored: &StoredConversation, known: &MaskedRecords, output: &Output) {
    let masked = masked_revisions(stored, known);
    let Some(first) = masked.first() else { return };
    let name = first.revision.content.conversation_id.clone().unwrap_or_else(|| stored.key());
    let since = readable_time(first.revision.age_ms, &TimeZone::UTC);
    let event = match first.event {
        Some((seq, _)) => format!("event {seq}"),
        None => "no event yet".to_owned(),
    };
    outln!("{}  masked since {since}, {event}", output.styled(Style::Bold, &printable(&name)));
    for masked in &masked {
        places("masked", masked.revision, output);
    }
    for revision in unmasked(stored) {
        places("held", revision, output);
    }
}

fn places(word: &str, revision: &Revision, output: &Output) {
    for record in &revision.records {
        outln!(
            "  {}  {}  {}, record {}",
            output.styled(Style::Dim, &format!("{word:<6}")),
            readable_time(revision.age_ms, &TimeZone::UTC),
            printable(&record.file),
            record.record
        );
    }
}
