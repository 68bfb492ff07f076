//! The stored form of a transcript: its messages by column.
//!
//! Names, kinds and formats repeat from line to line, times grow by little, and some columns are empty in most conversations.
//! Side by side they cost almost nothing once compressed, where line by line each costs a few bytes. Measured on 190 MB of
//! simulated chats: see `benches/hot_paths.rs`, document store.

use super::message::{Message, Role};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::collections::HashMap;

/// Values beyond which a table is looked up by hash: most have one or two, and a hostile one a million.
const LOOKED_THROUGH: usize = 16;

#[derive(Serialize)]
struct Written<'m> {
    /// Differences to the last known time.
    times: Vec<Option<i64>>,
    roles: Vec<Role>,
    names: Words<'m>,
    kinds: Words<'m>,
    formats: Words<'m>,
    controls: Words<'m>,
    dialogs: Words<'m>,
    agents: Words<'m>,
    /// Empty where no message has one; so are the next two.
    scores: Vec<Option<f64>>,
    ids: Vec<Option<&'m str>>,
    attachments: Vec<Option<&'m str>>,
    texts: Vec<&'m str>,
}

/// A column of few distinct values.
#[derive(Serialize, Default)]
struct Words<'m> {
    table: Vec<&'m str>,
    /// For each message 0, or the place in the table and one. Empty where all are 0.
    rows: Vec<u32>,
}

#[derive(Deserialize)]
struct Read {
    times: Vec<Option<i64>>,
    roles: Vec<Role>,
    names: ReadWords,
    kinds: ReadWords,
    formats: ReadWords,
    controls: ReadWords,
    dialogs: ReadWords,
    agents: ReadWords,
    scores: Vec<Option<f64>>,
    ids: Vec<Option<String>>,
    attachments: Vec<Option<String>>,
    texts: Vec<String>,
}

#[derive(Deserialize)]
struct ReadWords {
    table: Vec<String>,
    rows: Vec<u32>,
}

pub(super) fn serialize<S: Serializer>(messages: &[Message], serializer: S) -> Result<S::Ok, S::Error> {
    // What people read and compare is line by line.
    if serializer.is_human_readable() {
        return messages.serialize(serializer);
    }
    let mut last = 0_i64;
    let times = messages.iter().map(|message| {
        message.time_ms.map(|time| {
            let grown = time.wrapping_sub(last);
            last = time;
            grown
        })
    });
    Written {
        times: times.collect(),
        roles: messages.iter().map(|message| message.role).collect(),
        names: words(messages.iter().map(|message| Some(message.by.as_str()))),
        kinds: words(messages.iter().map(|message| Some(message.kind.as_str()))),
        formats: words(messages.iter().map(|message| message.content_format.as_deref())),
        controls: words(messages.iter().map(|message| message.control_type.as_deref())),
        dialogs: words(messages.iter().map(|message| message.dialog_id.as_deref())),
        agents: words(messages.iter().map(|message| message.agent_id.as_deref())),
        scores: unless_empty(messages.iter().map(|message| message.mcs)),
        ids: unless_empty(messages.iter().map(|message| message.message_id.as_deref())),
        attachments: unless_empty(messages.iter().map(|message| message.attachment.as_deref())),
        texts: messages.iter().map(|message| message.text.as_str()).collect(),
    }
    .serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Message>, D::Error> {
    if deserializer.is_human_readable() {
        return Vec::deserialize(deserializer);
    }
    let read = Read::deserialize(deserializer)?;
    let count = read.texts.len();
    let damaged = || D::Error::custom("the columns of a transcript do not fit each other");
    if read.times.len() != count || read.roles.len() != count {
        return Err(damaged());
    }
    let mut names = read.names.into_column(count).ok_or_else(damaged)?;
    let mut kinds = read.kinds.into_column(count).ok_or_else(damaged)?;
    let mut formats = read.formats.into_column(count).ok_or_else(damaged)?;
    let mut controls = read.controls.into_column(count).ok_or_else(damaged)?;
    let mut dialogs = read.dialogs.into_column(count).ok_or_else(damaged)?;
    let mut agents = read.agents.into_column(count).ok_or_else(damaged)?;
    let mut scores = filled(read.scores, count).ok_or_else(damaged)?;
    let mut ids = filled(read.ids, count).ok_or_else(damaged)?;
    let mut attachments = filled(read.attachments, count).ok_or_else(damaged)?;
    let mut last = 0_i64;
    let rows = read.times.into_iter().zip(read.roles).zip(read.texts);
    Ok(rows
        .map(|((time, role), text)| Message {
            time_ms: time.map(|grown| {
                last = last.wrapping_add(grown);
                last
            }),
            by: names.next().flatten().unwrap_or_default(),
            role,
            kind: kinds.next().flatten().unwrap_or_default(),
            text,
            content_format: formats.next().flatten(),
            control_type: controls.next().flatten(),
            message_id: ids.next().flatten(),
            dialog_id: dialogs.next().flatten(),
            agent_id: agents.next().flatten(),
            mcs: scores.next().flatten(),
            attachment: attachments.next().flatten(),
        })
        .collect())
}

fn words<'m>(values: impl Iterator<Item = Option<&'m str>>) -> Words<'m> {
    let mut words = Words::default();
    let mut places: HashMap<&str, u32> = HashMap::new();
    for value in values {
        let row = value.map_or(0, |value| {
            let known = if words.table.len() <= LOOKED_THROUGH {
                words.table.iter().position(|known| *known == value).map(|at| at as u32 + 1)
            } else {
                places.get(value).copied()
            };
            known.unwrap_or_else(|| {
                words.table.push(value);
                let row = words.table.len() as u32;
                if words.table.len() == LOOKED_THROUGH + 1 {
                    places.extend(words.table.iter().zip(1..).map(|(value, row)| (*value, row)));
                }
                if words.table.len() > LOOKED_THROUGH {
                    places.insert(value, row);
                }
                row
            })
        });
        words.rows.push(row);
    }
    if words.table.is_empty() {
        words.rows.clear();
    }
    words
}

fn unless_empty<T>(values: impl Iterator<Item = Option<T>>) -> Vec<Option<T>> {
    let values: Vec<Option<T>> = values.collect();
    if values.iter().all(Option::is_none) { Vec::new() } else { values }
}

/// A column with one value a message; `None` where it has another number of them.
fn filled<T>(values: Vec<Option<T>>, count: usize) -> Option<std::vec::IntoIter<Option<T>>> {
    match values.len() {
        0 => Some((0..count).map(|_| None).collect::<Vec<_>>().into_iter()),
        length => (length == count).then(|| values.into_iter()),
    }
}

impl ReadWords {
    fn into_column(self, count: usize) -> Option<std::vec::IntoIter<Option<String>>> {
        let ReadWords { table, rows } = self;
        let value = |row: u32| match row {
            0 => Some(None),
            row => table.get(row as usize - 1).cloned().map(Some),
        };
        filled(rows.into_iter().map(value).collect::<Option<Vec<_>>>()?, count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Conversation;
    use super::*;
    use proptest::prelude::*;

    fn message() -> impl Strategy<Value = Message> {
        let word =
            || prop::option::of(prop::sample::select(&["", "a", "b", "TEXT_PLAIN", "x"][..]).prop_map(String::from));
        let own = || prop::option::of("[a-z]{0,4}");
        let first = (any::<Option<i64>>(), "[a-zé]{0,3}", 0..5_usize, word(), any::<String>());
        (first, word(), own(), own(), own(), prop::option::of(-9.0..9.0_f64), own()).prop_map(
            |((time_ms, by, role, kind, text), content_format, message_id, dialog_id, agent_id, mcs, attachment)| {
                Message {
                    time_ms,
                    by,
                    role: Role::ALL[role],
                    kind: kind.unwrap_or_default(),
                    text,
                    control_type: content_format.clone(),
                    content_format,
                    message_id,
                    dialog_id,
                    agent_id,
                    mcs,
                    attachment,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(messages in prop::collection::vec(message(), 0..60)) {
            let conversation = Conversation { messages, ..Conversation::default() };
            let bytes = postcard::to_stdvec(&conversation).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Conversation>(&bytes).unwrap(), conversation);
        }
    }

    #[test]
    fn columns_that_do_not_fit_are_refused() {
        let messages = vec![Message { text: "one".into(), ..Message::default() }; 2];
        let conversation = Conversation { messages, ..Conversation::default() };
        let bytes = postcard::to_stdvec(&conversation).unwrap();
        let refused = (0..bytes.len()).filter(|at| {
            let mut damaged = bytes.clone();
            damaged[*at] ^= 1;
            postcard::from_bytes::<Conversation>(&damaged).is_err()
        });
        assert!(refused.count() > 10);
    }
}
