//! Archived API answers: one line per answer, with its request, the answer's bytes last.
//!
//! A line may hold a hundred conversations and be megabytes long, so it is walked and each conversation framed on its own: it
//! is a record with its own ordinal and place. A body that could not stand in a line as it came (pretty-printed, not JSON,
//! not UTF-8) is there in base64; its records have no place in the file. A body saved without its request is read too.
//!
//! An answer that LivePerson calls partial is read like any other: what it has is true, and what it lacks comes with a
//! later one.

use super::avro_json::Broken;
use super::data_access::{Envelope, Header};
use super::envelope::{Walk, after_fault, list, object, small};
use super::parts::Form;
use super::problem::ProblemKind;
use super::repair::repaired;
use super::sealed::has_armor;
use super::text::{Fault, Text};
use super::{Decoder, Raw, engagement_history, messaging};
use crate::conversation::Conversation;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::io::Cursor;

/// Bytes in which an answer shows itself.
const LOOK_AHEAD: usize = 4096;

/// As above, where the keys are in another order: a request by id is long.
const LONG_LOOK_AHEAD: usize = 1 << 20;

/// Other first keys of an answer.
const ANSWER_KEYS: [&str; 8] = [
    "\"body_sha256\"",
    "\"call\"",
    "\"clock_offset_ms\"",
    "\"format\"",
    "\"received_ms\"",
    "\"request\"",
    "\"response\"",
    "\"stream\"",
];

/// First keys of what is no answer: the usual case, decided at once.
const RECORD_KEYS: [&str; 3] = ["\"dataType\"", "\"metaData\"", "\"recordCollection\""];

/// First keys of a body that was saved without its request.
const BODY_KEYS: [&str; 3] = ["\"_metadata\"", "\"conversationHistoryRecords\"", "\"interactionHistoryRecords\""];

/// Whether the `{` here begins an archived answer, or a bare one.
pub(super) fn is_ahead(text: &mut Text<'_>) -> bool {
    let ahead = ahead_of(text, LOOK_AHEAD);
    let begins_with = |keys: &[&str]| keys.iter().any(|key| ahead.starts_with(key.as_bytes()));
    if begins_with(&RECORD_KEYS) {
        return false;
    }
    // The format puts the type first; whoever sorts the keys before the body is understood too.
    let ahead = if begins_with(&ANSWER_KEYS) { ahead_of(text, LONG_LOOK_AHEAD) } else { ahead };
    let says_so = |needle: &[u8]| memchr::memmem::find(ahead, needle).is_some();
    if says_so(b"\"type\":\"api-answer\"") || says_so(b"\"type\": \"api-answer\"") {
        return true;
    }
    BODY_KEYS.iter().any(|key| ahead.starts_with(key.as_bytes()))
}

/// What is inside the `{` here, as far as it is looked at.
fn ahead_of<'t>(text: &'t mut Text<'_>, bytes: usize) -> &'t [u8] {
    while text.unread().len() < bytes && text.fill() {}
    let ahead = text.unread();
    ahead[..ahead.len().min(bytes)].strip_prefix(b"{").unwrap_or_default().trim_ascii_start()
}

/// Reads the answer that begins here.
pub(super) fn read(text: &mut Text<'_>, decoder: &mut Decoder<'_, '_>) {
    decoder.report.records += 1;
    let start = text.offset();
    let mut answer = Answer::of(decoder);
    let outcome = answer.value(text);
    let lacks_records = answer.lacks_records();
    if outcome.is_ok() && lacks_records {
        decoder.note(ProblemKind::OddValue, start, "an answer of a history API without a list of records");
    }
    after_fault(outcome, start, text, decoder);
}

/// An answer on its way through.
struct Answer<'d, 'a, 's> {
    envelope: Envelope,
    stream: Option<String>,
    status: Option<i64>,
    has_body: bool,
    has_records: bool,
    /// The body lies in the file in another form.
    is_encoded: bool,
    decoder: &'d mut Decoder<'a, 's>,
}

/// Reads one record of an answer.
pub(super) type Reader = fn(&[u8]) -> Result<Conversation, Broken>;

/// How the records of a history API are read.
pub(super) fn reader_of(source: &str) -> Option<Reader> {
    match source {
        MESSAGING => Some(messaging::read_conversation),
        ENGAGEMENT => Some(engagement_history::read_conversation),
        _ => None,
    }
}

/// Sources as the query language names them.
const MESSAGING: &str = "messaging-interactions";
const ENGAGEMENT: &str = "engagement-history";

impl<'d, 'a, 's> Answer<'d, 'a, 's> {
    fn of(decoder: &'d mut Decoder<'a, 's>) -> Self {
        let envelope = Envelope::default();
        Answer { envelope, stream: None, status: None, has_body: false, has_records: false, is_encoded: false, decoder }
    }

    fn lacks_records(&self) -> bool {
        let is_history = matches!(self.stream.as_deref(), Some(MESSAGING | ENGAGEMENT));
        // 204 is "no content"; anything but 200 is no answer.
        is_history && self.has_body && !self.has_records && self.status.is_none_or(|status| status == 200)
    }

    fn value(&mut self, text: &mut Text<'_>) -> Walk {
        object(text, &mut |text, key| match key {
            "stream" => small(text, |pull| {
                self.stream = pull.text()?;
                Ok(())
            }),
            "status" => small(text, |pull| {
                self.status = pull.integer()?;
                Ok(())
            }),
            "received_ms" => small(text, |pull| {
                self.envelope.age_ms = pull.integer()?;
                Ok(())
            }),
            "body" => self.body(text),
            "body_base64" => self.encoded(text),
            _ => self.field(text, key),
        })
    }

    fn body(&mut self, text: &mut Text<'_>) -> Walk {
        text.skip_space();
        if text.peek() != Some(b'{') {
            return text.skip_value();
        }
        self.has_body = true;
        object(text, &mut |text, key| self.field(text, key))
    }

    /// A field of the body.
    fn field(&mut self, text: &mut Text<'_>, key: &str) -> Walk {
        let (source, reader): (_, Reader) = match key {
            "conversationHistoryRecords" => (MESSAGING, messaging::read_conversation),
            "interactionHistoryRecords" => (ENGAGEMENT, engagement_history::read_conversation),
            _ => return text.skip_value(),
        };
        self.has_records = true;
        self.envelope.source = Some(source);
        list(text, 0, &mut |text| self.record(text, reader))
    }

    fn encoded(&mut self, text: &mut Text<'_>) -> Walk {
        let (at, json) = text.frame()?;
        let encoded = json.strip_prefix(b"\"").and_then(|json| json.strip_suffix(b"\""));
        let Some(bytes) = encoded.and_then(|encoded| STANDARD.decode(encoded).ok()) else {
            self.decoder.broken(ProblemKind::BrokenRecord, at, "the body of an answer is not base64");
            return Ok(());
        };
        self.is_encoded = true;
        let mut inner = Text::new(Box::new(Cursor::new(bytes)), self.decoder.limits.max_record_bytes);
        inner.skip_between_values();
        if inner.peek().is_none() {
            return Ok(());
        }
        // The line around the body is whole, whatever the body is: the next line is read as usual.
        match self.body(&mut inner) {
            Ok(()) => {}
            Err(Fault::Cut) => {
                self.decoder.broken(ProblemKind::CutShort, at, "the body of an answer ends inside a record")
            }
            Err(Fault::Syntax(_, reason)) => self.decoder.broken(ProblemKind::BrokenRecord, at, reason),
            Err(Fault::TooLarge(bytes)) => self.decoder.broken(ProblemKind::TooLarge, at, format!("{bytes} bytes")),
        }
        Ok(())
    }

    fn record(&mut self, text: &mut Text<'_>, reader: Reader) -> Walk {
        let (at, json) = match text.frame() {
            Ok(framed) => framed,
            Err(Fault::TooLarge(bytes)) => {
                let at = text.offset().saturating_sub(bytes);
                self.decoder.broken(ProblemKind::TooLarge, at, format!("a conversation of {bytes} bytes"));
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        match json.first() {
            Some(b'{') => {}
            Some(b'n') => return Ok(()),
            Some(b'"') if has_armor(json) => {
                let raw = Raw { json, offset: (!self.is_encoded).then_some(at) };
                self.decoder.sealed_part(json, &self.envelope, &Header::default(), at, &raw);
                return Ok(());
            }
            Some(_) => {
                self.decoder.broken(ProblemKind::BrokenRecord, at, "not a JSON object");
                return Ok(());
            }
            None => return Err(Fault::Syntax(at, "expected a conversation")),
        }
        let mut read = reader(json);
        let mut legible = Cow::Borrowed(json);
        if read.is_err()
            && let Some(mended) = repaired(json)
        {
            read = reader(&mended);
            if read.is_ok() {
                legible = Cow::Owned(mended);
                self.decoder.note(ProblemKind::Repaired, at, "invalid text was replaced for reading");
            }
        }
        match read {
            Ok(mut conversation) => {
                if has_armor(json) {
                    conversation = self.decoder.opened(&legible, conversation, Form::Answer(reader), at);
                }
                let raw = Raw { json, offset: (!self.is_encoded).then_some(at) };
                self.decoder.emit(conversation, &self.envelope, at, &raw);
            }
            Err(Broken { at: inside, reason, .. }) => {
                self.decoder.broken(ProblemKind::BrokenRecord, at + inside as u64, reason);
            }
        }
        Ok(())
    }
}
