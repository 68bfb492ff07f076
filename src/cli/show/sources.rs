//! `show --sources`: which source said what, where they differ.

use super::super::exit::{Exit, Failure};
use super::super::output::{Output, Style, printable, readable_time};
use super::document;
use chatvault::archive::Archive;
use chatvault::conversation::{Conversation, Message, StoredConversation, plain_text};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

/// Fields that differ by nature, or are compared line by line below.
const NOT_COMPARED: [&str; 6] = ["sources", "provenance", "messages", "sde_values", "revisions", "key"];

pub(super) fn run(
    archive: &Archive,
    stored: &StoredConversation,
    tz: &TimeZone,
    output: &Output,
) -> Result<Exit, Failure> {
    let mut said: Vec<(&str, Conversation, Map<String, Value>)> = Vec::new();
    for source in stored.sources() {
        let Some(conversation) = stored.merged_of(source) else { continue };
        let fields = match document(archive, stored, &conversation)? {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        said.push((source, conversation, fields));
    }
    let names: Vec<String> = said.first().map(|(.., fields)| fields.keys().cloned().collect()).unwrap_or_default();
    let differing = names.into_iter().filter(|name| !NOT_COMPARED.contains(&name.as_str())).filter(|name| {
        let first = said.first().and_then(|(.., fields)| fields.get(name));
        said.iter().any(|(.., fields)| fields.get(name) != first)
    });
    let differing: Vec<String> = differing.collect();
    if output.for_machines() {
        let fields: Map<String, Value> = differing
            .iter()
            .map(|name| {
                let values = said.iter().map(|(source, _, fields)| ((*source).to_owned(), fields[name].clone()));
                (name.clone(), Value::Object(values.collect()))
            })
            .collect();
        let messages: Map<String, Value> = said
            .iter()
            .map(|(source, conversation, _)| {
                let only = only_here(source, conversation, &said);
                let texts: Vec<&str> = only.iter().map(|message| message.text.as_str()).collect();
                ((*source).to_owned(), json!({ "count": conversation.messages.len(), "only_here": texts }))
            })
            .collect();
        let sources: Vec<&str> = said.iter().map(|(source, ..)| *source).collect();
        let document = json!({ "key": stored.key(), "sources": sources, "differing": fields, "messages": messages });
        output.document(document, "sources")?;
        return Ok(Exit::Complete);
    }
    outln!("{}", output.styled(Style::Bold, &printable(&stored.key())));
    if said.len() < 2 {
        outln!("one source: {}", said.first().map_or("none", |(source, ..)| *source));
        return Ok(Exit::Complete);
    }
    for name in &differing {
        outln!("{name}");
        for (source, _, fields) in &said {
            let value = fields.get(name).filter(|value| !value.is_null());
            let value = value.map_or("(not said)".to_owned(), Value::to_string);
            outln!("  {}  {}", output.styled(Style::Dim, &format!("{source:24}")), printable(&value));
        }
    }
    outln!("messages");
    for (source, conversation, _) in &said {
        let only = only_here(source, conversation, &said);
        let count = format!("{} lines, {} only here", conversation.messages.len(), only.len());
        outln!("  {}  {count}", output.styled(Style::Dim, &format!("{source:24}")));
        for message in only {
            let time = message.time_ms.map_or("no time".to_owned(), |ms| readable_time(ms, tz));
            outln!("      {time}  {}", printable(&plain_text(message)));
        }
    }
    Ok(Exit::Complete)
}

/// Lines that no other source has, by time and text.
fn only_here<'c>(
    source: &str,
    conversation: &'c Conversation,
    said: &[(&str, Conversation, Map<String, Value>)],
) -> Vec<&'c Message> {
    let others: std::collections::HashSet<(Option<i64>, &str)> = said
        .iter()
        .filter(|(other, ..)| *other != source)
        .flat_map(|(_, other, _)| other.messages.iter().map(|message| (message.time_ms, message.text.as_str())))
        .collect();
    let is_only = |message: &&Message| !others.contains(&(message.time_ms, message.text.as_str()));
    conversation.messages.iter().filter(is_only).collect()
}
