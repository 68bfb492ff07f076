//! Encrypted parts of a file: whole records, lists of records, and files that are one message.
//!
//! An encrypted part is one record with one ordinal, whether it can be opened or not and whatever is inside: ordinals name
//! places in the archive, and must not depend on which keys are at hand. All conversations inside carry its ordinal.
//! Where it stays closed, a conversation without an id stands for it, so that it is counted and found.

use super::answers::{self, Reader};
use super::armor::{self, BEGIN_MESSAGE};
use super::avro_json::{Broken, Pull, is_list};
use super::container::Budget;
use super::data_access::{self, Contents, Envelope, Found, Header};
use super::openpgp::{Clear, Keyring, OpenedStream, Sealed};
use super::problem::ProblemKind;
use super::sealed::{Opener, has_armor, unescaped_value};
use super::{Container, Decoder, Raw, container_of, supplements};
use crate::conversation::{Conversation, DAMAGED_MARKER, Encryption, Message, Role, Supplement, encrypted_marker};
use pgp::armor::Dearmor;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::ops::Range;

/// A whole-file message that is larger than a record may be waits in a temporary file, still encrypted. Largest, bytes.
pub(super) const MAX_FILE_MESSAGE: u64 = 64 << 30;

/// Clear bytes for each encrypted byte beyond which a message is a decompression bomb; deflate reaches 1032.
pub(super) const MAX_EXPANSION: u64 = 1100;

/// Clear bytes that any message may come to.
pub(super) const SMALLEST_LIMIT: u64 = 64 << 20;

/// Largest zip file inside a message: it must lie in memory, because its clear text must not lie on a disk.
pub(super) const MAX_ZIP: u64 = 256 << 20;

/// What a text is that holds a conversation: how it is read again once it is clear.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// An element of `engagements`.
    Engagement,
    /// An element of `surveys`.
    Survey,
    /// A whole value whose bodies are one web session.
    WebSession,
    /// A record of an archived answer.
    Answer(Reader),
}

impl Form {
    /// What Data Access wrote the conversation as.
    pub(super) fn of(conversation: &Conversation) -> Form {
        match conversation.supplement {
            Some(Supplement::Survey) => Form::Survey,
            Some(Supplement::WebSession) => Form::WebSession,
            None => Form::Engagement,
        }
    }
}

impl Decoder<'_, '_> {
    /// A conversation that was read from JSON with armor in it: as it reads in clear.
    pub(super) fn opened(&mut self, json: &[u8], closed: Conversation, form: Form, byte: u64) -> Conversation {
        let keys = self.keys.unwrap_or(&NO_KEYS);
        let mut opener = Opener::new(keys, self.limits.max_record_bytes);
        let clear = opener.record(json);
        let Some(mut conversation) = self.read_again(&clear, form, byte) else {
            // What is put in is valid where what was there was valid, so this is not met; base64 is no text all the same.
            let mut closed = closed;
            for line in closed.messages.iter_mut().filter(|line| has_armor(line.text.as_bytes())) {
                DAMAGED_MARKER.clone_into(&mut line.text);
            }
            return closed;
        };
        // The ids of a body's header stand outside of an engagement or survey.
        if matches!(form, Form::Engagement | Form::Survey) {
            let mut header = Header::of(&closed);
            header.ids_mut().into_iter().for_each(|id| opener.leaf(id));
            header.put_into(&mut conversation);
            conversation.account_id = closed.account_id;
        }
        self.account_for(&opener, byte);
        let found = &opener.encryption;
        conversation.encrypted = (found.opened + found.unreadable > 0).then(|| found.clone());
        conversation
    }

    fn read_again(&mut self, clear: &[u8], form: Form, byte: u64) -> Option<Conversation> {
        let mut pull = Pull::new(clear);
        let read = match form {
            Form::Engagement => data_access::read_conversation(&mut pull),
            Form::Survey => supplements::read_survey(clear),
            Form::WebSession => supplements::read_session(clear),
            Form::Answer(read) => read(clear).map(Some),
        };
        let conversation = read.ok()??;
        data_access::note_odd(&pull, self.ordinal, byte, &mut self.report.problems);
        Some(conversation)
    }

    fn account_for(&mut self, opener: &Opener<'_>, byte: u64) {
        let is_open = (self.is_open)(self.ordinal);
        for (kind, detail) in opener.problems() {
            if !(is_open && kind.wants_key()) {
                self.note(kind, byte, detail);
            }
        }
        if opener.wants_key() && !is_open {
            self.report.encrypted.add(opener.wanted_ids.iter().cloned());
        }
    }

    /// An encrypted text where a conversation, or something that holds conversations, belongs.
    pub(super) fn sealed_part(&mut self, json: &[u8], envelope: &Envelope, header: &Header, byte: u64, raw: &Raw<'_>) {
        let keys = self.keys.unwrap_or(&NO_KEYS);
        let mut opener = Opener::new(keys, self.limits.max_record_bytes);
        let text = unescaped_value(json).unwrap_or_default();
        let clear = opener.text(&text).unwrap_or_default();
        self.account_for(&opener, byte);
        let found = opener.encryption.clone();
        if opener.wants_key() {
            return self.closed_part(found, envelope, header, byte, raw);
        }
        if found.unreadable > 0 {
            // Counted by its reason already.
            self.ordinal += 1;
            return;
        }
        self.report.json_bytes += clear.len() as u64;
        self.inside(found, |decoder| match read_part(clear.as_bytes(), envelope) {
            Ok(contents) => decoder.emit_part(contents, envelope, header, clear.as_bytes(), byte),
            Err(broken) => decoder.broken(ProblemKind::BrokenRecord, byte, format!("encrypted: {}", broken.reason)),
        });
    }

    fn emit_part(&mut self, mut contents: Contents<'_>, outer: &Envelope, header: &Header, clear: &[u8], byte: u64) {
        let envelope = &mut contents.envelope;
        envelope.account_id = envelope.account_id.take().or_else(|| outer.account_id.clone());
        envelope.end_ms = envelope.end_ms.or(outer.end_ms);
        let nothing = contents.found.is_empty();
        if nothing || contents.other_bodies > 0 {
            self.note(ProblemKind::NotIndexed, byte, "an encrypted part that holds no conversation");
        }
        for (place, found) in contents.found {
            // A part inside a part was opened with it, or stays closed with its reason counted.
            let Found::Conversation(mut conversation) = found else { continue };
            let mut of_body = Header::of(&conversation);
            of_body.complete(header);
            of_body.put_into(&mut conversation);
            if conversation.account_id.is_empty() {
                conversation.account_id = contents.envelope.account_id.clone().unwrap_or_default();
            }
            let json = &clear[place];
            self.emit(conversation, &contents.envelope, byte, &Raw { json, offset: None });
        }
    }

    /// Reads what is inside a part: everything emitted meanwhile carries the part's ordinal.
    fn inside(&mut self, found: Encryption, read: impl FnOnce(&mut Self)) {
        let outer = self.part.replace(found);
        read(self);
        self.part = outer;
        if self.part.is_none() {
            self.ordinal += 1;
        }
    }

    /// Stands in for a part that no key opens.
    fn closed_part(&mut self, found: Encryption, envelope: &Envelope, header: &Header, byte: u64, raw: &Raw<'_>) {
        let text = encrypted_marker(&found.key_ids);
        let mut content = Conversation {
            account_id: envelope.account_id.clone().unwrap_or_default(),
            messages: vec![Message { role: Role::System, text, ..Message::default() }],
            encrypted: Some(found),
            ..Conversation::default()
        };
        let mut header = header.clone();
        header.ids_mut().into_iter().for_each(|id| drop(id.take_if(|id| has_armor(id.as_bytes()))));
        header.put_into(&mut content);
        self.emit(content, envelope, byte, raw);
    }

    /// A file that is OpenPGP as a whole: one message, or armored messages one after another.
    pub(super) fn openpgp(&mut self, mut bytes: Box<dyn BufRead + '_>) {
        if self.part.is_some() {
            return self.note(ProblemKind::BrokenRecord, 0, "an OpenPGP message inside another is not opened");
        }
        let mut start = Vec::new();
        let limit = self.limits.max_record_bytes as u64;
        let read = bytes.by_ref().take(limit + 1).read_to_end(&mut start);
        if let Err(error) = read {
            return self.broken(ProblemKind::DamagedContainer, start.len() as u64, error.to_string());
        }
        let is_whole = start.len() as u64 <= limit;
        let is_armored = start.first().is_some_and(|first| first & 0x80 == 0);
        match (is_armored, is_whole) {
            (true, true) => self.armored_file(&start),
            (false, true) => {
                let place = 0..start.len();
                self.file_message(&start, place, Cursor::new(&start[..]), start.len() as u64);
            }
            (_, false) => self.large_file(&start, bytes, is_armored),
        }
    }

    fn armored_file(&mut self, file: &[u8]) {
        // Armor is ASCII; what is not ASCII in between changes no place by being replaced with one byte.
        let text: String = file.iter().map(|byte| if byte.is_ascii() { *byte as char } else { '?' }).collect();
        let blocks = armor::messages(&text);
        if blocks.is_empty() {
            let kind = if text.contains(BEGIN_MESSAGE) { ProblemKind::BrokenRecord } else { ProblemKind::NotIndexed };
            return self.broken(kind, 0, "an armored OpenPGP file without a readable message");
        }
        for block in blocks {
            if self.stopped {
                return;
            }
            let at = block.place.start as u64;
            match block.packets {
                Some(packets) => {
                    let length = packets.len() as u64;
                    self.file_message(file, block.place, Cursor::new(&packets[..]), length);
                }
                None => self.broken(ProblemKind::BrokenRecord, at, "the ASCII armor of an OpenPGP message is damaged"),
            }
        }
    }

    fn large_file(&mut self, start: &[u8], rest: Box<dyn BufRead + '_>, is_armored: bool) {
        let spool = || -> io::Result<(std::fs::File, u64)> {
            let mut file = tempfile::tempfile()?;
            let length = io::copy(&mut start.chain(rest).take(MAX_FILE_MESSAGE + 1), &mut file)?;
            file.rewind()?;
            Ok((file, length))
        };
        let (file, length) = match spool() {
            Ok((_, length)) if length > MAX_FILE_MESSAGE => {
                return self.broken(
                    ProblemKind::TooLarge,
                    0,
                    format!("an OpenPGP message of over {MAX_FILE_MESSAGE} bytes"),
                );
            }
            Ok(spooled) => spooled,
            Err(error) => return self.broken(ProblemKind::DamagedContainer, 0, error.to_string()),
        };
        let file = BufReader::with_capacity(256 * 1024, file);
        // Its bytes are not at hand as one piece, so it cannot be shown raw.
        if !is_armored {
            return self.file_message(&[], 0..0, file, length);
        }
        let mut dearmor = Dearmor::new(file);
        match dearmor.read_header() {
            Ok(()) => self.file_message(&[], 0..0, BufReader::new(dearmor), length),
            Err(_) => self.broken(ProblemKind::BrokenRecord, 0, "the ASCII armor of the file is damaged"),
        }
    }

    /// A message of a file that is nothing else. `place`: where it stands in the file.
    fn file_message(
        &mut self,
        file: &[u8],
        place: Range<usize>,
        source: impl BufRead + std::fmt::Debug + Send,
        length: u64,
    ) {
        let byte = place.start as u64;
        let keys = self.keys.unwrap_or(&NO_KEYS);
        let OpenedStream { key_ids, outcome } = keys.open_stream(source);
        let mut found = Encryption { key_ids, opened: 1, unreadable: 0 };
        match outcome {
            // Too large to lie in memory as one piece: there is nothing raw to give.
            _ if self.wanted.is_some() && file.is_empty() => self.ordinal += 1,
            // Whoever asks for raw bytes wants the message.
            _ if self.wanted.is_some() => {
                let raw = Raw { json: &file[place], offset: (!file.is_empty()).then_some(byte) };
                self.closed_part(found, &Envelope::default(), &Header::default(), byte, &raw);
            }
            Ok(clear) => {
                let limit = length.saturating_mul(MAX_EXPANSION).max(SMALLEST_LIMIT);
                self.inside(found, |decoder| decoder.clear_file(Capped { clear, left: limit }));
            }
            Err(sealed) if sealed.wants_key() => {
                (found.opened, found.unreadable) = (0, 1);
                if !(self.is_open)(self.ordinal) {
                    let marker = encrypted_marker(&found.key_ids);
                    self.note(ProblemKind::Encrypted, byte, format!("{}: {sealed}", marker.trim_matches(['[', ']'])));
                    self.report.encrypted.add(found.key_ids.iter().cloned());
                }
                let raw = Raw { json: &file[place], offset: (!file.is_empty()).then_some(byte) };
                self.closed_part(found, &Envelope::default(), &Header::default(), byte, &raw);
            }
            Err(sealed) => {
                let kind = if sealed == Sealed::TooLarge { ProblemKind::TooLarge } else { ProblemKind::BrokenRecord };
                self.broken(kind, byte, format!("the OpenPGP message cannot be opened: {sealed}"));
            }
        }
    }

    fn clear_file(&mut self, clear: Capped<'_>) {
        let mut clear = BufReader::with_capacity(128 * 1024, clear);
        let container = match clear.fill_buf() {
            Ok(start) => container_of(start),
            Err(error) => return self.note(ProblemKind::DamagedContainer, 0, error.to_string()),
        };
        if container != Container::Zip {
            let budget = Budget::new(&self.limits, self.file_bytes);
            return self.stream(clear, &budget);
        }
        let mut zip = Vec::new();
        match clear.take(MAX_ZIP + 1).read_to_end(&mut zip) {
            Ok(length) if length as u64 > MAX_ZIP => {
                self.note(
                    ProblemKind::TooLarge,
                    0,
                    format!("a zip file of over {MAX_ZIP} bytes inside an OpenPGP message"),
                );
            }
            Ok(_) => {
                if let Err(error) = self.file(Cursor::new(zip)) {
                    self.unreadable(0, &error);
                }
            }
            Err(error) => self.note(ProblemKind::DamagedContainer, 0, error.to_string()),
        }
    }
}

/// Reads what came out of an encrypted part: a whole value, an element of its collection, a body, a conversation, a survey,
/// a record of an answer, or a list of any of these. Their first keys tell them apart. `outer`: of what it stood in.
fn read_part<'j>(json: &'j [u8], outer: &Envelope) -> Result<Contents<'j>, Broken> {
    let mut contents = Contents { envelope: outer.clone(), ..Contents::default() };
    let mut pull = Pull::new(json);
    if !is_list(json) {
        let raw = pull.raw()?;
        read_of_part(raw, pull.at() - raw.len(), &mut contents)?;
        return Ok(contents);
    }
    pull.array(&mut |pull| {
        let raw = pull.raw()?;
        read_of_part(raw, pull.at() - raw.len(), &mut contents)
    })?;
    Ok(contents)
}

/// `base`: where `raw` begins in the text that it is a part of.
fn read_of_part<'j>(raw: &'j [u8], base: usize, contents: &mut Contents<'j>) -> Result<(), Broken> {
    let mut keys = Vec::new();
    Pull::new(raw).record(&str::to_owned, &mut |pull, key: String| {
        keys.push(key);
        pull.skip()
    })?;
    let has = |known: &[&str]| keys.iter().any(|key| known.contains(&key.as_str()));
    let first = contents.found.len();
    let mut pull = Pull::new(raw);
    let mut only = None;
    if let Some(read) = contents.envelope.source.and_then(answers::reader_of) {
        only = (!keys.is_empty()).then(|| read(raw)).transpose()?;
    } else if has(&["recordCollection", "dataType", "metaData"]) {
        let value = data_access::read_value(&mut pull)?;
        contents.envelope = value.envelope;
        contents.found.extend(value.found);
        contents.other_bodies += value.other_bodies;
    } else if has(&["body"]) {
        data_access::read_element(&mut pull, contents)?;
        supplements::add(contents)?;
    } else if has(&["engagements", "header", "surveys"]) || has(&supplements::WEB_SESSION) {
        data_access::read_body(&mut pull, contents)?;
        supplements::add(contents)?;
    } else if has(&["contents", "viewTime"]) {
        only = supplements::read_survey(raw)?;
    } else {
        only = data_access::read_conversation(&mut pull)?;
    }
    contents.found.extend(only.map(|conversation| (0..raw.len(), Found::Conversation(conversation))));
    for (place, _) in &mut contents.found[first..] {
        *place = place.start + base..place.end + base;
    }
    Ok(())
}

/// Opens nothing; stands in where no keys were given.
static NO_KEYS: std::sync::LazyLock<Keyring> = std::sync::LazyLock::new(Keyring::empty);

/// Clear text up to a limit; more is an error.
pub(super) struct Capped<'m> {
    pub(super) clear: Clear<'m>,
    pub(super) left: u64,
}

impl Read for Capped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.clear.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the OpenPGP message is a decompression bomb"))?;
        Ok(read)
    }
}
