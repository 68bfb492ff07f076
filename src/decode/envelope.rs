//! Walks the envelopes of a text: one JSON object per line, objects back to back, pretty-printed, or one document that
//! holds everything.
//!
//! A line that is a whole record is parsed as it stands, which is the fast way and the usual one. Anything else goes the
//! careful way: the envelope is walked and each conversation framed on its own, so that a document of any size
//! passes through and a broken conversation costs only itself.

use super::avro_json::{Broken, Pull, is_text};
use super::data_access::{self, Contents, Envelope, Header};
use super::parts::Form;
use super::problem::ProblemKind;
use super::repair::repaired;
use super::sealed::has_armor;
use super::text::{Fault, Text};
use super::{Decoder, Raw, answers, supplements};
use std::io::BufRead;

/// Longest line that is parsed as it stands.
const MAX_LINE: usize = 4 << 20;

/// Longest line that is mended as a whole.
const MAX_MENDED_LINE: usize = 256 << 10;

/// What to do about a record above the limit.
const RAISE: &str = "raise max_record_bytes under [limits] and run `chatvault index --rebuild` to read it";

/// Deepest nesting of union wrappers around the lists of an envelope.
const MAX_WRAPPERS: u8 = 8;

pub(super) fn read<'a>(source: Box<dyn BufRead + 'a>, decoder: &mut Decoder<'_, '_>) {
    let mut text = Text::new(source, decoder.limits.max_record_bytes);
    while !decoder.stopped {
        text.forget();
        text.skip_between_values();
        let Some(first) = text.peek() else { break };
        if first == b'"' && read_sealed_record(&mut text, decoder) {
            continue;
        }
        if first != b'{' {
            decoder.broken(ProblemKind::BrokenRecord, text.offset(), "not a JSON object");
            text.resynchronise();
            continue;
        }
        if answers::is_ahead(&mut text) {
            answers::read(&mut text, decoder);
            continue;
        }
        let whole_line = text.line_length(MAX_LINE.min(decoder.limits.max_record_bytes));
        let finished = whole_line.is_some_and(|length| read_line(&mut text, length, decoder));
        if !finished && !supplements::read_whole(&mut text, decoder) {
            read_carefully(&mut text, decoder);
        }
    }
    decoder.report.json_bytes += text.offset();
    if let Some(error) = text.damage.take() {
        decoder.unreadable(text.offset(), &error);
    }
}

/// Takes a string that is a whole record, encrypted; `false` if it is none.
fn read_sealed_record(text: &mut Text<'_>, decoder: &mut Decoder<'_, '_>) -> bool {
    match text.frame() {
        Ok((at, json)) if has_armor(json) => {
            decoder.report.records += 1;
            let raw = Raw { json, offset: Some(at) };
            decoder.sealed_part(json, &Envelope::default(), &Header::default(), at, &raw);
            true
        }
        _ => false,
    }
}

/// Parses the value at the start of a line; `false` if it must be read carefully.
fn read_line(text: &mut Text<'_>, length: usize, decoder: &mut Decoder<'_, '_>) -> bool {
    let base = text.offset();
    let line = &text.unread()[..length];
    let mut pull = Pull::new(line);
    match data_access::read_value(&mut pull) {
        Ok(contents) => {
            let consumed = pull.at();
            let value = &line[..consumed];
            // Where something is encrypted, the clear text decides what is odd.
            if !pull.odd.is_empty() && !has_armor(value) {
                data_access::note_odd(&pull, decoder.ordinal, base, &mut decoder.report.problems);
            }
            emit_all(contents, base, value, None, decoder);
            text.advance(consumed);
            true
        }
        Err(broken) if broken.cut => false,
        Err(_) => {
            // A long line may hold many records: each is mended by itself, on the careful way.
            if line.len() > MAX_MENDED_LINE {
                return false;
            }
            let Some(mended) = repaired(line) else { return false };
            let mut pull = Pull::new(&mended);
            let Ok(contents) = data_access::read_value(&mut pull) else { return false };
            // What follows the value on the same line is only known in the mended text, so it must be nothing.
            if !mended[pull.at()..].trim_ascii().is_empty() {
                return false;
            }
            decoder.note(ProblemKind::Repaired, base, "invalid text was replaced for reading");
            emit_all(contents, base, &mended, Some(line.trim_ascii_end()), decoder);
            text.advance(length);
            true
        }
    }
}

/// `value` is what was parsed; `original` what the file holds, where that was mended first.
pub(super) fn emit_all(
    contents: Contents<'_>,
    base: u64,
    value: &[u8],
    original: Option<&[u8]>,
    decoder: &mut Decoder<'_, '_>,
) {
    decoder.report.records += 1;
    decoder.report.meet_schema(contents.envelope.schema_version.as_deref());
    note_other_bodies(contents.other_bodies, contents.found.is_empty(), &contents.envelope, base, decoder);
    decoder.emit_all(contents, base, value, original);
}

fn note_other_bodies(bodies: u64, nothing_else: bool, envelope: &Envelope, at: u64, decoder: &mut Decoder<'_, '_>) {
    let kind = envelope.data_type.as_deref().unwrap_or("no known kind");
    if bodies > 0 || (nothing_else && envelope.data_type.as_deref() != Some("Engagement")) {
        decoder.note(
            ProblemKind::NotIndexed,
            at,
            format!("a record of {} is archived but not searchable", super::short(kind)),
        );
    }
}

/// Walks one top-level value, framing each conversation on its own.
fn read_carefully(text: &mut Text<'_>, decoder: &mut Decoder<'_, '_>) {
    decoder.report.records += 1;
    let (start, first_ordinal) = (text.offset(), decoder.ordinal);
    let mut document = Document { envelope: Envelope::default(), other_bodies: 0, decoder };
    let outcome = document.value(text);
    let Document { envelope, other_bodies, decoder } = document;
    let nothing_else = outcome.is_ok() && decoder.ordinal == first_ordinal;
    decoder.report.meet_schema(envelope.schema_version.as_deref());
    note_other_bodies(other_bodies, nothing_else, &envelope, start, decoder);
    after_fault(outcome, start, text, decoder);
}

/// Counts what kept a value that began at `start` from being read, and goes to where the next may begin.
pub(super) fn after_fault(outcome: Walk, start: u64, text: &mut Text<'_>, decoder: &mut Decoder<'_, '_>) {
    match outcome {
        Ok(()) => {}
        Err(Fault::Cut) => {
            let end = text.offset();
            // The rest may have been taken for a string that a cut left open: what starts inside it is read again.
            text.go_back(start + 1);
            text.resynchronise();
            if text.peek().is_some() {
                decoder.broken(ProblemKind::BrokenRecord, end, "the record is cut and another begins");
            } else {
                decoder.broken(ProblemKind::CutShort, end, "the file ends inside a record");
            }
        }
        Err(Fault::Syntax(at, reason)) => {
            decoder.broken(ProblemKind::BrokenRecord, at, reason);
            text.go_back(start + 1);
            text.resynchronise();
        }
        Err(Fault::TooLarge(bytes)) => {
            decoder.broken(ProblemKind::TooLarge, start, format!("{bytes} bytes; {RAISE}"));
            text.resynchronise();
        }
    }
}

struct Document<'d, 'a, 's> {
    envelope: Envelope,
    other_bodies: u64,
    decoder: &'d mut Decoder<'a, 's>,
}

pub(super) type Walk = Result<(), Fault>;

impl Document<'_, '_, '_> {
    fn value(&mut self, text: &mut Text<'_>) -> Walk {
        object(text, &mut |text, key| match key {
            "metaData" => {
                let envelope = &mut self.envelope;
                small(text, |pull| data_access::read_meta_data(pull, envelope))
            }
            "dataType" => {
                let envelope = &mut self.envelope;
                small(text, |pull| {
                    envelope.data_type = pull.text()?;
                    Ok(())
                })
            }
            "recordCollection" => {
                if is_string(text) {
                    return self.sealed(text, &Header::default());
                }
                list(text, 0, &mut |text| {
                    if is_string(text) {
                        return self.sealed(text, &Header::default());
                    }
                    object(text, &mut |text, key| match key {
                        "body" => self.body(text),
                        _ => text.skip_value(),
                    })
                })
            }
            _ => text.skip_value(),
        })
    }

    /// A string where something with a structure belongs: that structure, encrypted, or nothing.
    fn sealed(&mut self, text: &mut Text<'_>, header: &Header) -> Walk {
        let (at, json) = text.frame()?;
        if has_armor(json) {
            self.decoder.sealed_part(json, &self.envelope, header, at, &Raw { json, offset: Some(at) });
        }
        text.forget();
        Ok(())
    }

    fn body(&mut self, text: &mut Text<'_>) -> Walk {
        if is_string(text) {
            return self.sealed(text, &Header::default());
        }
        let mut header = Header::default();
        let mut has_engagements = false;
        self.body_fields(text, 0, &mut header, &mut has_engagements)?;
        if !has_engagements {
            self.other_bodies += 1;
        }
        Ok(())
    }

    fn body_fields(&mut self, text: &mut Text<'_>, depth: u8, header: &mut Header, seen: &mut bool) -> Walk {
        object(text, &mut |text, key| match key {
            "header" => small(text, |pull| {
                *header = data_access::read_header(pull)?;
                Ok(())
            }),
            "engagements" => {
                *seen = true;
                if is_string(text) {
                    return self.sealed(text, header);
                }
                list(text, 0, &mut |text| self.conversation(text, header))
            }
            branch if branch.starts_with("com.liveperson.") && depth < MAX_WRAPPERS => {
                self.body_fields(text, depth + 1, header, seen)
            }
            _ => text.skip_value(),
        })
    }

    fn conversation(&mut self, text: &mut Text<'_>, header: &Header) -> Walk {
        if is_string(text) {
            return self.sealed(text, header);
        }
        let (at, json) = match text.frame() {
            Ok(framed) => framed,
            Err(Fault::TooLarge(bytes)) => {
                let at = text.offset().saturating_sub(bytes);
                self.decoder.broken(ProblemKind::TooLarge, at, format!("a conversation of {bytes} bytes; {RAISE}"));
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        if json.is_empty() {
            return Err(Fault::Syntax(at, "expected a conversation"));
        }
        let mut pull = Pull::new(json);
        let mut read = data_access::read_conversation(&mut pull);
        let mended;
        let mut legible = json;
        if read.is_err()
            && let Some(copy) = repaired(json)
        {
            mended = copy;
            pull = Pull::new(&mended);
            read = data_access::read_conversation(&mut pull);
            if read.is_ok() {
                legible = &mended;
                self.decoder.note(ProblemKind::Repaired, at, "invalid text was replaced for reading");
            }
        }
        match read {
            Ok(Some(mut conversation)) => {
                header.put_into(&mut conversation);
                conversation.account_id = self.envelope.account_id.clone().unwrap_or_default();
                if has_armor(json) {
                    conversation = self.decoder.opened(legible, conversation, Form::Engagement, at);
                } else {
                    data_access::note_odd(&pull, self.decoder.ordinal, at, &mut self.decoder.report.problems);
                }
                self.decoder.emit(conversation, &self.envelope, at, &Raw { json, offset: Some(at) });
            }
            Ok(None) => {}
            Err(Broken { at: inside, .. }) if swallows_record(json) => {
                return Err(Fault::Syntax(at + inside as u64, "the record is cut and another begins"));
            }
            Err(Broken { at: inside, reason, .. }) => {
                self.decoder.broken(ProblemKind::BrokenRecord, at + inside as u64, reason);
            }
        }
        text.forget();
        Ok(())
    }
}

/// Whether the value that starts here is a string, bare or in a union wrapper.
fn is_string(text: &mut Text<'_>) -> bool {
    text.skip_space();
    match text.peek() {
        Some(b'"') => true,
        // A wrapper shows itself in its first bytes.
        Some(b'{') => {
            text.look_ahead();
            is_text(text.unread())
        }
        _ => false,
    }
}

/// Whether the text of a broken value holds the start of another record: a string that a cut left open ends at any quote.
fn swallows_record(json: &[u8]) -> bool {
    memchr::memchr_iter(b'{', json).skip(1).any(|at| super::text::has_first_key(&json[at + 1..]))
}

/// Reads a small value of the envelope; one that is broken is passed over, it only loses itself.
pub(super) fn small(text: &mut Text<'_>, read: impl FnOnce(&mut Pull<'_>) -> Result<(), Broken>) -> Walk {
    let (at, json) = text.frame()?;
    read(&mut Pull::new(json)).map_err(|broken| Fault::Syntax(at + broken.at as u64, "a broken envelope"))
}

/// Walks an object, with the reader at each value in turn.
pub(super) fn object(text: &mut Text<'_>, field: &mut dyn FnMut(&mut Text<'_>, &str) -> Walk) -> Walk {
    text.skip_space();
    if text.peek() == Some(b'n') {
        return text.skip_value();
    }
    text.expect(b'{', "expected an object")?;
    text.skip_space();
    if text.peek() == Some(b'}') {
        text.advance(1);
        return Ok(());
    }
    loop {
        text.skip_space();
        if text.peek() != Some(b'"') {
            return Err(if text.peek().is_none() {
                Fault::Cut
            } else {
                Fault::Syntax(text.offset(), "expected a field name")
            });
        }
        let key = {
            let (_, raw) = text.frame()?;
            // Names that matter are plain ASCII; an escaped or invalid one matches none.
            std::str::from_utf8(&raw[1..raw.len() - 1]).unwrap_or_default().to_owned()
        };
        text.skip_space();
        text.expect(b':', "expected a colon")?;
        text.skip_space();
        refuse_record(text)?;
        field(text, &key)?;
        text.forget();
        text.skip_space();
        if !another_follows(text, b'}', "expected a comma or the end of an object")? {
            return Ok(());
        }
    }
}

/// Takes the comma before the next part, or the `end` of the whole.
fn another_follows(text: &mut Text<'_>, end: u8, expected: &'static str) -> Result<bool, Fault> {
    let is_comma = match text.peek() {
        Some(b',') => true,
        Some(byte) if byte == end => false,
        Some(_) => return Err(Fault::Syntax(text.offset(), expected)),
        None => return Err(Fault::Cut),
    };
    text.advance(1);
    Ok(is_comma)
}

/// A record where a part of one should be: the record around it was cut.
fn refuse_record(text: &mut Text<'_>) -> Walk {
    if text.is_at_record() { Err(Fault::Syntax(text.offset(), "another record begins")) } else { Ok(()) }
}

/// Walks a list, bare or wrapped in `{"array": …}`, with the reader at each element in turn.
pub(super) fn list(text: &mut Text<'_>, depth: u8, item: &mut dyn FnMut(&mut Text<'_>) -> Walk) -> Walk {
    text.skip_space();
    match text.peek() {
        Some(b'[') => {}
        Some(b'{') if depth < MAX_WRAPPERS => {
            return object(text, &mut |text, key| {
                if key == "array" { list(text, depth + 1, item) } else { text.skip_value() }
            });
        }
        _ => return text.skip_value(),
    }
    text.advance(1);
    text.skip_space();
    if text.peek() == Some(b']') {
        text.advance(1);
        return Ok(());
    }
    loop {
        text.skip_space();
        refuse_record(text)?;
        item(text)?;
        text.forget();
        text.skip_space();
        if !another_follows(text, b']', "expected a comma or the end of a list")? {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::decode::{DecodeLimits, FileContext, FileReport, ProblemKind, decode_file};
    use std::io::Cursor;

    fn record(id: u32) -> String {
        format!(
            r#"{{"dataType":"Engagement","recordCollection":[{{"body":{{"engagements":[{{"conversationId":"{id}","transcripts":[{{"text":"line of {id}"}}]}}]}}}}]}}"#
        )
    }

    /// Ids read from a text, and the report.
    fn read(text: &str) -> (Vec<String>, FileReport) {
        let context = FileContext {
            path: "f".into(),
            sha256: "0".into(),
            window_start_ms: None,
            account_id: "1".into(),
            salvaged: None,
        };
        let mut ids = Vec::new();
        let report = decode_file(Cursor::new(text.as_bytes()), &context, DecodeLimits::default(), &mut |revision| {
            ids.extend(revision.content.conversation_id);
            true
        })
        .expect("memory is readable");
        (ids, report)
    }

    /// Exports that were put together have a byte-order mark before each part; none of them is a record.
    #[test]
    fn a_byte_order_mark_before_any_record_is_no_record() {
        for separator in ["\n\u{feff}", "\u{feff}", "\r\n\u{feff}\u{feff}\n"] {
            let text = format!("\u{feff}{}{separator}{}{separator}{}", record(1), record(2), record(3));
            let (ids, report) = read(&text);
            assert_eq!(ids, ["1", "2", "3"], "{separator:?}");
            assert_eq!(report.problems.total(), 0, "{separator:?}: {:?}", report.problems);
            let raw = crate::decode::locate_record(Cursor::new(text.as_bytes()), 1, DecodeLimits::default());
            let raw = raw.expect("memory is readable").expect("the second record has the ordinal 1");
            assert_eq!(raw.conversation_id.as_deref(), Some("2"), "{separator:?}");
            assert_eq!(raw.offset, text.find(&record(2)).map(|at| at as u64), "{separator:?}");
        }
    }

    /// A record cut at any byte costs only itself, however the records stand side by side.
    #[test]
    fn a_cut_record_costs_only_itself() {
        let whole = record(2);
        for separator in ["\n", "", " ", ","] {
            for cut in 1..whole.len() {
                let text = [record(1), whole[..cut].to_owned(), record(3), record(4)].join(separator);
                let (ids, report) = read(&text);
                let found: Vec<&str> = ids.iter().map(String::as_str).filter(|id| *id != "2").collect();
                assert_eq!(found, ["1", "3", "4"], "{separator:?} {cut}: {text}");
                assert_eq!(report.problems.counts.get(&ProblemKind::BrokenRecord), Some(&1), "{separator:?} {cut}");
            }
        }
    }
}
