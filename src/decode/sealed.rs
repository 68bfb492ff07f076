//! Encrypted strings inside a record → the record as it reads in clear.
//!
//! Which fields an account has encrypted is documented nowhere, so every string is looked at. A string that is opened is put
//! back in its place, rightly escaped, and the record is then read as any other: numbers and times in encrypted strings
//! are taken by their digits. Where something with a structure belongs, clear text that is JSON takes its place. What
//! stays closed leaves a marker in a line of the transcript and nothing in any other field: base64 is no word, and a marker
//! is no id.

use super::armor::{self, BEGIN_MESSAGE};
use super::avro_json::{is_branch, is_text};
use super::openpgp::{Keyring, Sealed};
use super::problem::ProblemKind;
use super::repair::repaired;
use crate::conversation::{DAMAGED_MARKER, Encryption, UNSUPPORTED_MARKER, encrypted_marker};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Messages inside messages that are opened.
const MAX_DEPTH: u8 = 2;

/// Clear bytes for each encrypted byte beyond which a message is a decompression bomb: anybody who chats can write one, and
/// what it comes to would lie in the index. Transcripts reach ten.
const MAX_EXPANSION: usize = 64;

/// Clear bytes that any message may come to, if its record may.
const SMALLEST_LIMIT: usize = 4 << 20;

/// Whether bytes hold an armored message. The one question that is asked of every record, so it must cost nothing.
pub(super) fn has_armor(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, BEGIN_MESSAGE.as_bytes()).is_some()
}

/// Opens the strings of one record, and counts.
pub(super) struct Opener<'k> {
    keys: &'k Keyring,
    /// Clear text that the record may still come to, bytes.
    budget: usize,
    depth: u8,
    /// What was found.
    pub(super) encryption: Encryption,
    /// Keys of the messages that want one, and why the first of them stayed closed.
    pub(super) wanted_ids: BTreeSet<String>,
    wants: Option<Sealed>,
    /// Why the first message stayed closed that no key would open.
    broken: Option<Sealed>,
}

/// What belongs in a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// The text of a line: a marker stands for what stays closed.
    Text,
    /// A line of the transcript.
    Line,
    /// A record or a list.
    Structure,
    /// Anything else: an id, a time, a name.
    Leaf,
}

fn slot_of(key: &str, outer: Slot) -> Slot {
    match key {
        "text" => Slot::Text,
        "transcripts" => Slot::Line,
        "transfers" | "campaignData" | "secureForms" | "skills" | "mcs" | "fileData" | "linkData" => Slot::Structure,
        // Of surveys and web sessions.
        "surveys"
        | "contents"
        | "engagementAttributes"
        | "navigationData"
        | "achievedGoals"
        | "eligibilityData"
        | "impressions" => Slot::Structure,
        // Of agent activity.
        "recordCollection" | "body" | "agentSessionsData" => Slot::Structure,
        // Of archived answers.
        "info" | "campaign" | "dialogs" | "interactions" | "sdes" | "unAuthSdes" | "events" | "messageRecords"
        | "messageData" | "msg" | "transcript" | "lines" => Slot::Structure,
        wrapper if is_branch(wrapper) => outer,
        _ => Slot::Leaf,
    }
}

impl<'k> Opener<'k> {
    /// `max_bytes`: clear text of all messages of the record together.
    pub(super) fn new(keys: &'k Keyring, max_bytes: usize) -> Opener<'k> {
        Opener {
            keys,
            budget: max_bytes,
            depth: 0,
            encryption: Encryption::default(),
            wanted_ids: BTreeSet::new(),
            wants: None,
            broken: None,
        }
    }

    /// The record in clear, as far as it can be opened.
    pub(super) fn record(&mut self, json: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(json.len());
        // Of each open bracket: what belongs inside, and whether it is a list.
        let mut around: Vec<(Slot, bool)> = Vec::new();
        let mut slot = Slot::Leaf;
        let mut at = 0;
        while at < json.len() {
            let byte = json[at];
            if byte != b'"' {
                match byte {
                    b'{' | b'[' => around.push((slot, byte == b'[')),
                    b'}' | b']' => drop(around.pop()),
                    b',' => {
                        if let Some((of_list, true)) = around.last() {
                            slot = *of_list;
                        }
                    }
                    _ => {}
                }
                out.push(byte);
                at += 1;
                continue;
            }
            let end = string_end(json, at);
            let token = &json[at..end];
            at = end;
            let is_key = json[at..].trim_ascii_start().starts_with(b":");
            if is_key && let Some((outer, false)) = around.last() {
                slot = slot_of(std::str::from_utf8(&token[1..token.len() - 1]).unwrap_or_default(), *outer);
                out.extend_from_slice(token);
            } else {
                out.extend_from_slice(&self.string(token, slot));
            }
        }
        out
    }

    /// A string of the record, quotes included, as it reads in clear.
    fn string<'t>(&mut self, token: &'t [u8], slot: Slot) -> Cow<'t, [u8]> {
        if !has_armor(token) {
            return Cow::Borrowed(token);
        }
        let before = self.encryption.unreadable;
        let clear = match unescaped(token) {
            Some(text) => match self.text(&text) {
                Some(clear) => clear,
                None => return Cow::Borrowed(token),
            },
            None => self.damaged("the string that it stands in cannot be read"),
        };
        let is_closed = self.encryption.unreadable > before;
        let quoted = |text: &str| serde_json::to_vec(text).unwrap_or_else(|_| b"null".to_vec());
        let as_json = |clear: &str| is_json(clear).then(|| clear.as_bytes().to_vec());
        Cow::Owned(match slot {
            Slot::Text => wrapped_text(&clear).unwrap_or_else(|| quoted(&clear)),
            Slot::Line if is_closed => line(&clear),
            Slot::Line => as_json(&clear).unwrap_or_else(|| line(&clear)),
            _ if is_closed => b"null".to_vec(),
            Slot::Structure => as_json(&clear).unwrap_or_else(|| quoted(&clear)),
            Slot::Leaf => wrapped_text(&clear).unwrap_or_else(|| quoted(&clear)),
        })
    }

    /// A text with each of its messages replaced by its clear text, or by a marker. `None`: it holds none.
    pub(super) fn text(&mut self, text: &str) -> Option<String> {
        let blocks = armor::messages(text);
        if blocks.is_empty() {
            return None;
        }
        // The key that a message was made for may stand beside it; it is no part of what was said.
        let keys = armor::public_keys(text);
        let around = |from: usize, to: usize| -> String {
            let mut left = String::new();
            let mut at = from;
            for key in keys.iter().filter(|key| key.start >= from && key.end <= to) {
                left.push_str(&text[at..key.start]);
                at = key.end;
            }
            left + &text[at..to]
        };
        let mut out = String::new();
        let mut at = 0;
        for block in blocks {
            let before = around(at, block.place.start);
            // White space at either end belongs to the armor.
            out.push_str(if at == 0 && is_blank(&before) { "" } else { &before });
            at = block.place.end;
            match block.packets {
                Some(packets) => out.push_str(&self.message(&packets)),
                None => out.push_str(&self.damaged("its ASCII armor is damaged")),
            }
        }
        let after = around(at, text.len());
        out.push_str(if is_blank(&after) { "" } else { &after });
        Some(out)
    }

    fn damaged(&mut self, reason: &'static str) -> String {
        self.encryption.unreadable += 1;
        self.broken.get_or_insert(Sealed::Damaged(reason));
        DAMAGED_MARKER.to_owned()
    }

    fn message(&mut self, packets: &[u8]) -> String {
        let expanded = packets.len().saturating_mul(MAX_EXPANSION).max(SMALLEST_LIMIT);
        let opened = self.keys.open(packets, self.budget.min(expanded));
        self.encryption.add(&Encryption { key_ids: opened.key_ids.clone(), ..Encryption::default() });
        match opened.outcome {
            Ok(clear) => {
                self.budget -= clear.len().min(self.budget);
                self.encryption.opened += 1;
                let clear =
                    String::from_utf8(clear).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned());
                if self.depth >= MAX_DEPTH || !has_armor(clear.as_bytes()) {
                    return clear;
                }
                self.depth += 1;
                let inner = match is_json(&clear) {
                    true => String::from_utf8(self.record(clear.as_bytes())).ok(),
                    false => self.text(&clear),
                };
                self.depth -= 1;
                inner.unwrap_or(clear)
            }
            Err(sealed) => {
                self.encryption.unreadable += 1;
                if sealed.wants_key() {
                    self.wanted_ids.extend(opened.key_ids.iter().cloned());
                    self.wants.get_or_insert(sealed);
                    encrypted_marker(&opened.key_ids)
                } else {
                    self.broken.get_or_insert(sealed);
                    let marker =
                        if matches!(sealed, Sealed::Unsupported(_)) { UNSUPPORTED_MARKER } else { DAMAGED_MARKER };
                    marker.to_owned()
                }
            }
        }
    }

    /// A field by itself, outside the record. `None` where it stays closed.
    pub(super) fn leaf(&mut self, field: &mut Option<String>) {
        let Some(text) = field.as_deref().filter(|text| has_armor(text.as_bytes())) else { return };
        let before = self.encryption.unreadable;
        if let Some(clear) = self.text(text) {
            *field = (self.encryption.unreadable == before).then_some(clear);
        }
    }

    /// What is to be reported of the record: kinds and reasons.
    pub(super) fn problems(&self) -> Vec<(ProblemKind, String)> {
        let mut problems = Vec::new();
        if let Some(sealed) = self.wants {
            let marker = encrypted_marker(&self.wanted_ids.iter().cloned().collect::<Vec<_>>());
            problems.push((ProblemKind::Encrypted, format!("{}: {sealed}", marker.trim_matches(['[', ']']))));
        }
        if let Some(sealed) = self.broken {
            let kind = if sealed == Sealed::TooLarge { ProblemKind::TooLarge } else { ProblemKind::BrokenRecord };
            problems.push((kind, format!("an OpenPGP message in it cannot be opened: {sealed}")));
        }
        problems
    }

    /// Whether something stayed closed that a key would open.
    pub(super) fn wants_key(&self) -> bool {
        self.wants.is_some()
    }
}

/// The text of a JSON string, bare or in a union wrapper.
pub(super) fn unescaped_value(json: &[u8]) -> Option<String> {
    let string = if json.starts_with(b"{") {
        let colon = memchr::memchr(b':', json)?;
        let start = colon + memchr::memchr(b'"', &json[colon..])?;
        &json[start..string_end(json, start)]
    } else {
        json
    };
    unescaped(string)
}

fn unescaped(token: &[u8]) -> Option<String> {
    serde_json::from_slice(token).ok().or_else(|| serde_json::from_slice(&repaired(token)?).ok())
}

/// Index behind the string that starts at `start`.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        at += found;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// Nothing but white space, also where its escapes were escaped once more.
fn is_blank(text: &str) -> bool {
    text.replace("\\r", "").replace("\\n", "").trim().is_empty()
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Clear text that is a string in its union wrapper; any other object is what somebody wrote.
fn wrapped_text(clear: &str) -> Option<Vec<u8>> {
    let is_wrapper = clear.trim_start().starts_with('{') && is_text(clear.as_bytes()) && is_json(clear);
    is_wrapper.then(|| clear.as_bytes().to_vec())
}

fn line(text: &str) -> Vec<u8> {
    serde_json::json!({ "text": text }).to_string().into_bytes()
}
