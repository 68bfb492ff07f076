//! Raw bytes → conversations.
//!
//! * Takes: a file of the archive: Data Access records in any container and envelope, or archived answers of the history
//!   APIs; the PGP keys at hand.
//! * Gives: one [`Revision`] per conversation record, to a callback, and a [`FileReport`].
//! * Promises: streams in bounded memory; a bad record never stops a file; every problem is counted and located.
//! * Never: trusts a file name, recurses with the input, or changes a byte of the archive.
//! * Start reading at: [`decode_file`], then `envelope.rs` (Data Access) and `answers.rs` (the history APIs).

mod agent_activity;
mod agent_sealed;
mod answers;
mod armor;
mod avro_json;
mod avro_ocf;
mod avro_schema;
mod container;
mod data_access;
mod engagement_history;
mod envelope;
mod fields;
mod messaging;
mod messaging_lines;
mod openpgp;
mod operations;
mod parts;
mod problem;
mod repair;
mod rich_content;
mod sealed;
mod supplements;
mod text;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod answers_tests;

pub use agent_activity::{ActivityReport, AgentEvent, agent_events};
pub use container::{Container, container_of};
pub use openpgp::{ANONYMOUS, Keyring, KeyringError};
pub use operations::{AnswerHead, Dimensions, Figure, FigureReport, FigureValue, Section, Span, SpanKind, figures};
pub use problem::{Problem, ProblemKind, Problems};
pub use rich_content::visible_texts;

use crate::archive::is_schema_version;
use crate::conversation::{Conversation, Encryption, MASK, Record, Revision};
use container::Budget;
use data_access::{Contents, Envelope, Found};
use parts::Form;
use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom};

/// What decode must know of a file besides its bytes.
#[derive(Clone, Debug)]
pub struct FileContext {
    /// Path inside the vault; goes into each record's provenance.
    pub path: String,
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
    /// Start of the file's window, epoch milliseconds; orders revisions.
    pub window_start_ms: Option<i64>,
    /// Account of the vault; used where a record does not name its own.
    pub account_id: String,
    /// For a salvage file: where the known damage is.
    pub salvaged: Option<Salvaged>,
}

/// What is known of the text of a salvage file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// Bytes of the text that a check sum speaks for.
    pub proven_bytes: u64,
    /// Bytes of the text.
    pub readable_bytes: u64,
    /// Behind them bytes may be wrong, not only missing: the first thing that is not as it should be ends the reading, and what is
    /// read gives way to another record of the same window that says otherwise.
    pub is_corrupt: bool,
}

/// Bounds that keep memory independent of the input.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// Largest single record, bytes of JSON. Larger ones are passed over and reported.
    pub max_record_bytes: usize,
    /// Bytes that all layers of a file may inflate to, per byte of the file.
    pub max_inflate_ratio: u64,
    /// The ratio is looked at only above this many bytes.
    pub ratio_from_bytes: u64,
    /// Bytes that all layers of a file may inflate to, whatever its size.
    pub max_inflated_bytes: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        // A transcript of this size has a quarter of a million lines; real ones stay below one megabyte.
        DecodeLimits {
            max_record_bytes: 32 << 20,
            max_inflate_ratio: 1000,
            ratio_from_bytes: 64 << 20,
            max_inflated_bytes: 256 << 30,
        }
    }
}

/// What a file held.
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// Top-level JSON values (or Avro objects).
    pub records: u64,
    /// Conversation records handed over.
    pub conversations: u64,
    /// Bytes of JSON after unpacking.
    pub json_bytes: u64,
    /// What went wrong, and where.
    pub problems: Problems,
    /// Records that no key at hand opens, or not wholly.
    pub encrypted: EncryptedRecords,
    /// Versions of the Data Access schema that records name, at most [`MOST_SCHEMAS`]; only what can be one.
    pub schema_versions: BTreeSet<String>,
}

/// Schema versions that are kept of one file. A file of LivePerson has one.
pub const MOST_SCHEMAS: usize = 16;

impl FileReport {
    fn meet_schema(&mut self, version: Option<&str>) {
        if let Some(version) = version
            && self.schema_versions.len() < MOST_SCHEMAS
            && !self.schema_versions.contains(version)
            && is_schema_version(version)
        {
            self.schema_versions.insert(version.to_owned());
        }
    }
}

/// Records that wait for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncryptedRecords {
    /// Records with at least one message that wants a key.
    pub records: u64,
    /// The keys that these messages name, 16 upper-case hex digits each; [`ANONYMOUS`] where one names nobody.
    pub key_ids: BTreeSet<String>,
}

impl EncryptedRecords {
    fn add(&mut self, key_ids: impl Iterator<Item = String>) {
        self.records += 1;
        self.key_ids.extend(key_ids);
    }
}

/// Receives each conversation record as soon as it is read. Gives `false` to stop.
pub type Sink<'s> = dyn FnMut(Revision) -> bool + 's;

/// Reads every conversation record of a file. What is encrypted stays closed.
///
/// Damage is not an error: it is in the report, and all that precedes it has been handed over.
///
/// # Errors
/// Only when the file cannot be read from disk at all.
pub fn decode_file<R: Read + Seek>(
    file: R,
    context: &FileContext,
    limits: DecodeLimits,
    sink: &mut Sink<'_>,
) -> io::Result<FileReport> {
    decode_with_keys(file, context, limits, &Keyring::empty(), sink)
}

/// As [`decode_file`], opening OpenPGP messages with the keys at hand.
///
/// # Errors
/// As [`decode_file`].
pub fn decode_with_keys<R: Read + Seek>(
    file: R,
    context: &FileContext,
    limits: DecodeLimits,
    keys: &Keyring,
    sink: &mut Sink<'_>,
) -> io::Result<FileReport> {
    decode_again(file, context, limits, keys, &|_| false, sink)
}

/// As [`decode_with_keys`], of a file that was read before. `is_open` says of an ordinal whether all of that record is open already:
/// it is handed over as always, but waits for no key.
///
/// # Errors
/// As [`decode_file`].
pub fn decode_again<R: Read + Seek>(
    mut file: R,
    context: &FileContext,
    limits: DecodeLimits,
    keys: &Keyring,
    is_open: &dyn Fn(u64) -> bool,
    sink: &mut Sink<'_>,
) -> io::Result<FileReport> {
    let file_bytes = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut decoder = Decoder::new(context, limits, file_bytes, sink);
    decoder.keys = Some(keys);
    decoder.is_open = is_open;
    decoder.file(file)?;
    Ok(decoder.report)
}

/// One conversation record as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Its JSON: the whole line, or its part of a document.
    pub json: Vec<u8>,
    /// Where the JSON begins in the inflated file (in a zip: in its entry); `None` where the file does not hold it as it is
    /// here, because it is binary or was mended for reading.
    pub offset: Option<u64>,
    /// The conversation it names.
    pub conversation_id: Option<String>,
}

/// The JSON of one conversation record, as it stands in the file: the whole line, or its part of a document.
///
/// # Errors
/// Only when the file cannot be read from disk at all. `None`: the file has no such record.
pub fn raw_record<R: Read + Seek>(file: R, record: u64, limits: DecodeLimits) -> io::Result<Option<Vec<u8>>> {
    Ok(locate_record(file, record, limits)?.map(|raw| raw.json))
}

/// As [`raw_record`], with its place in the file and the conversation it names.
///
/// # Errors
/// As [`raw_record`].
pub fn locate_record<R: Read + Seek>(mut file: R, record: u64, limits: DecodeLimits) -> io::Result<Option<RawRecord>> {
    let context = FileContext {
        path: String::new(),
        sha256: String::new(),
        window_start_ms: None,
        account_id: String::new(),
        salvaged: None,
    };
    let file_bytes = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut sink = |revision: Revision| revision.records[0].record < record;
    let mut decoder = Decoder::new(&context, limits, file_bytes, &mut sink);
    decoder.wanted = Some(record);
    decoder.file(file)?;
    Ok(decoder.raw)
}

/// Bytes that tell a container.
const MAGIC_BYTES: usize = 4;

fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// The state of one file: report, ordinals and the way out.
struct Decoder<'d, 's> {
    context: &'d FileContext,
    limits: DecodeLimits,
    /// Size of the file on disk.
    file_bytes: u64,
    report: FileReport,
    /// Ordinal of the next conversation record; broken ones count too, so that ordinals stay put.
    ordinal: u64,
    sink: &'d mut Sink<'s>,
    stopped: bool,
    /// Keys at hand; none where only places are looked for.
    keys: Option<&'d Keyring>,
    /// Ordinals of records that were opened before; see [`decode_again`].
    is_open: &'d dyn Fn(u64) -> bool,
    /// The encrypted part that is being read: everything in it has its ordinal.
    part: Option<Encryption>,
    /// Layers of gzip around the text that is being read.
    layers: usize,
    /// Ordinal of the record whose JSON is to be kept, and the record.
    wanted: Option<u64>,
    raw: Option<RawRecord>,
}

/// A record's bytes on their way to the sink.
struct Raw<'r> {
    json: &'r [u8],
    /// As in [`RawRecord`].
    offset: Option<u64>,
}

impl<'d, 's> Decoder<'d, 's> {
    fn new(context: &'d FileContext, limits: DecodeLimits, file_bytes: u64, sink: &'d mut Sink<'s>) -> Self {
        let report = FileReport::default();
        let (keys, part, wanted, raw) = (None, None, None, None);
        Decoder {
            context,
            limits,
            file_bytes,
            report,
            ordinal: 0,
            sink,
            stopped: false,
            keys,
            is_open: &|_| false,
            part,
            layers: 0,
            wanted,
            raw,
        }
    }

    fn file(&mut self, mut file: impl Read + Seek) -> io::Result<()> {
        let mut magic = [0u8; MAGIC_BYTES];
        let length = read_up_to(&mut file, &mut magic)?;
        file.rewind()?;
        let budget = Budget::new(&self.limits, self.file_bytes);
        if container_of(&magic[..length]) != Container::Zip {
            self.stream(file, &budget);
            return Ok(());
        }
        let outcome = container::for_each_zip_entry(file, &budget, &mut |entry| match entry {
            Ok(entry) => self.stream(entry, &budget),
            Err(error) => self.unreadable(0, &error),
        });
        if let Err(error) = outcome {
            self.unreadable(0, &error);
        }
        Ok(())
    }

    fn stream(&mut self, reader: impl Read, budget: &Budget) {
        match container::open(reader, budget) {
            Ok(opened) => {
                self.layers = opened.layers;
                match opened.container {
                    Container::AvroContainer => avro_ocf::read(opened.bytes, budget, self),
                    Container::OpenPgp => self.openpgp(opened.bytes),
                    Container::Zip => {
                        self.note(ProblemKind::DamagedContainer, 0, "a zip file inside gzip is not read");
                    }
                    Container::Gzip | Container::Plain => envelope::read(opened.bytes, self),
                }
            }
            Err(error) => self.unreadable(0, &error),
        }
    }

    fn note(&mut self, kind: ProblemKind, byte: u64, detail: impl Into<String>) {
        use ProblemKind::{BrokenRecord, CutShort, EndsInDamage, Repaired, TooLarge};
        let unproven = self.context.salvaged.filter(|salvaged| byte >= salvaged.proven_bytes);
        let kind = match (unproven, kind) {
            (Some(_), CutShort) => EndsInDamage,
            (Some(Salvaged { is_corrupt: true, .. }), BrokenRecord | TooLarge | Repaired) => {
                self.stopped = true;
                EndsInDamage
            }
            _ => kind,
        };
        self.report.problems.add(kind, self.ordinal, byte, detail);
    }

    /// Hands over what a value held. `base`: where it begins in the file; `original`: what the file holds, where that was
    /// mended before it was parsed.
    fn emit_all(&mut self, contents: Contents<'_>, base: u64, value: &[u8], original: Option<&[u8]>) {
        let is_armored = sealed::has_armor(value);
        let is_alone = contents.found.len() == 1;
        for (place, found) in contents.found {
            let byte = base + place.start as u64;
            // A value with one conversation is the record; of one with several, the conversation is.
            let (json, offset) = match (is_alone, original) {
                (true, _) => (original.unwrap_or(value), Some(base)),
                (false, None) => (&value[place.clone()], Some(byte)),
                // Mending moves bytes, so where a part of it lies in the file is not known.
                (false, Some(_)) => (&value[place.clone()], None),
            };
            let raw = Raw { json, offset };
            let part = found.text_in(place, value);
            self.emit_found(found, part, &contents.envelope, byte, &raw, is_armored);
        }
    }

    /// Hands over what was read from `part` of a value, opened where the value `is_armored`.
    fn emit_found(
        &mut self,
        found: Found,
        part: &[u8],
        envelope: &Envelope,
        byte: u64,
        raw: &Raw<'_>,
        is_armored: bool,
    ) {
        match found {
            Found::Conversation(conversation) if is_armored => {
                let form = Form::of(&conversation);
                let conversation = self.opened(part, conversation, form, byte);
                self.emit(conversation, envelope, byte, raw);
            }
            Found::Conversation(conversation) => self.emit(conversation, envelope, byte, raw),
            Found::Sealed(header) => self.sealed_part(part, envelope, &header, byte, raw),
        }
    }

    /// The reader of a container gave up.
    fn unreadable(&mut self, byte: u64, error: &io::Error) {
        let is_bomb = container::is_bomb(error);
        let kind = if is_bomb { ProblemKind::DecompressionBomb } else { ProblemKind::of_read(error) };
        let detail = error.to_string();
        self.note(kind, byte, if is_bomb { detail } else { printable(&detail) });
    }

    /// A container that does not hold what it says.
    fn damaged(&mut self, detail: &str) {
        self.note(ProblemKind::DamagedContainer, 0, printable(detail));
    }

    /// Hands a conversation over, with its place in the archive.
    fn emit(&mut self, mut content: Conversation, envelope: &Envelope, byte: u64, raw: &Raw<'_>) {
        if self.stopped {
            return;
        }
        if self.wanted == Some(self.ordinal) {
            let conversation_id = content.conversation_id.clone();
            self.raw = Some(RawRecord { json: raw.json.to_owned(), offset: raw.offset, conversation_id });
        }
        if content.account_id.is_empty() {
            content.account_id.clone_from(&self.context.account_id);
        }
        if content.account_id != self.context.account_id && !self.context.account_id.is_empty() {
            self.note(ProblemKind::OtherAccount, byte, format!("record of account {}", short(&content.account_id)));
        }
        let is_closed_part =
            content.conversation_id.is_none() && content.end_ms.is_none() && content.encrypted.is_some();
        // A survey may be nobody's, and a web session has no conversation.
        if content.conversation_id.is_none() && content.supplement.is_none() && !is_closed_part {
            self.note(ProblemKind::NoConversationId, byte, "the record has no conversationId");
        }
        content.is_masked = memchr::memmem::find(raw.json, MASK.as_bytes()).is_some();
        let mut age_ms =
            envelope.age_ms.or(self.context.window_start_ms).or(envelope.end_ms).or(content.end_ms).unwrap_or(0);
        let unproven = self.is_unproven(raw);
        if unproven && self.context.salvaged.is_some_and(|salvaged| salvaged.is_corrupt) {
            age_ms = age_ms.saturating_sub(1);
        }
        let record = Record {
            file: self.context.path.clone(),
            sha256: self.context.sha256.clone(),
            record: self.ordinal,
            unproven,
        };
        match &self.part {
            Some(found) => content.encrypted.get_or_insert_default().add(found),
            None => self.ordinal += 1,
        }
        self.report.conversations += 1;
        let revision = Revision {
            age_ms,
            source: envelope.source.unwrap_or("data-access").into(),
            records: vec![record],
            content,
        };
        self.stopped = !(self.sink)(revision);
    }

    /// Whether a record ends behind the part of a salvage file that a check sum speaks for.
    fn is_unproven(&self, raw: &Raw<'_>) -> bool {
        let Some(salvaged) = self.context.salvaged else { return false };
        match raw.offset {
            Some(start) if self.layers <= 1 => start + raw.json.len() as u64 > salvaged.proven_bytes,
            // Where it stands in the text that was salvaged is not known, so it is taken to stand in the worse part.
            _ => salvaged.proven_bytes < salvaged.readable_bytes,
        }
    }

    fn broken(&mut self, kind: ProblemKind, byte: u64, detail: impl Into<String>) {
        self.note(kind, byte, detail);
        self.ordinal += u64::from(self.part.is_none());
    }
}

/// A hostile value, short enough for a message and without control characters.
fn short(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_default).collect()
}

/// A library's message: it may quote what it read.
fn printable(message: &str) -> String {
    message.chars().take(160).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
