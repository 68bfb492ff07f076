//! Bodies of data files: records in the file's form, compressed into one or several gzip members.
//!
//! A body is written conversation by conversation, so memory does not depend on the size of the
//! file. The same file always gives the same bytes.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use thiserror::Error;

use super::calendar::{FileForm, FileSpec};
use super::wire::Encoder;
use super::world::World;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyOptions {
    /// Level of compression, 0 to 9.
    pub gzip_level: u32,
    /// Puts one record no reader can use among the good ones.
    pub broken_record: bool,
    /// Cuts the JSON off within the last record; the gzip stream stays whole.
    pub cut_json: bool,
}

impl Default for BodyOptions {
    fn default() -> Self {
        Self {
            gzip_level: 6,
            broken_record: false,
            cut_json: false,
        }
    }
}

/// The body could not be written to its destination.
#[derive(Debug, Error)]
#[error("cannot write a simulated file")]
pub struct BodyError(#[from] pub(super) io::Error);

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BodySize {
    /// Bytes of JSON before compression.
    pub json_bytes: u64,
    /// Conversation records.
    pub conversation_records: u64,
}

/// Writes one whole file, compressed.
///
/// # Errors
/// [`BodyError`] when `out` refuses bytes.
pub fn write_file(
    world: &World,
    file: &FileSpec,
    options: BodyOptions,
    out: &mut impl Write,
) -> Result<BodySize, BodyError> {
    let total = world.conversation_records_in(file);
    let members = u64::from(file.members).min(total).max(1);
    let level = Compression::new(options.gzip_level.min(9));
    let mut records = Records::new(world, file, total, options);
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut size = BodySize {
        json_bytes: 0,
        conversation_records: total,
    };
    for member in 0..members {
        let mut gzip = GzEncoder::new(&mut *out, level);
        let share_end = total * (member + 1) / members;
        while records.next < share_end {
            buffer.clear();
            records.write_next(&mut buffer);
            size.json_bytes += buffer.len() as u64;
            gzip.write_all(&buffer)?;
        }
        gzip.finish()?;
    }
    out.flush()?;
    Ok(size)
}

/// Writes one whole file as plain JSON: for benchmarks of what comes after decompression.
///
/// # Errors
/// [`BodyError`] when `out` refuses bytes.
pub fn write_json(
    world: &World,
    file: &FileSpec,
    out: &mut impl Write,
) -> Result<BodySize, BodyError> {
    let total = world.conversation_records_in(file);
    let mut records = Records::new(world, file, total, BodyOptions::default());
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut size = BodySize {
        json_bytes: 0,
        conversation_records: total,
    };
    while records.next < total {
        buffer.clear();
        records.write_next(&mut buffer);
        size.json_bytes += buffer.len() as u64;
        out.write_all(&buffer)?;
    }
    Ok(size)
}

/// The records of one file, one after another.
struct Records<'a> {
    world: &'a World,
    file: &'a FileSpec,
    encoder: Encoder<'a>,
    retold: Vec<u64>,
    options: BodyOptions,
    next: u64,
    total: u64,
    compact: Vec<u8>,
}

impl<'a> Records<'a> {
    fn new(world: &'a World, file: &'a FileSpec, total: u64, options: BodyOptions) -> Self {
        Self {
            world,
            file,
            encoder: Encoder::new(world, file),
            retold: world.retold_in(file).collect(),
            options,
            next: 0,
            total,
            compact: Vec::new(),
        }
    }

    fn write_next(&mut self, out: &mut Vec<u8>) {
        let (place, form) = (self.next, self.file.form);
        self.next += 1;
        let fresh = self.file.conversations.end - self.file.conversations.start;
        let plan = match place.checked_sub(fresh) {
            None => self
                .world
                .plan(self.file.conversations.start + place, false),
            Some(later) => self.world.plan(self.retold[later as usize], true),
        };
        let last = self.next == self.total;
        self.compact.clear();
        let compact = &mut self.compact;
        if !form.is_document() {
            let window = plan.quirks >> 31 == 0;
            let (start_ms, end_ms) = match window {
                true => (self.file.start_ms, self.file.end_ms),
                false => (plan.start_ms, plan.end_ms),
            };
            self.encoder.open(form, start_ms, end_ms, compact);
            self.encoder.conversation(&plan, compact);
            Encoder::close(form, compact);
            compact.push(b'\n');
        } else {
            if place == 0 {
                self.encoder
                    .open(form, self.file.start_ms, self.file.end_ms, compact);
            } else {
                compact.push(b',');
            }
            self.encoder.conversation(&plan, compact);
            if last {
                Encoder::close(form, compact);
                compact.push(b'\n');
            }
        }
        self.spoil(place, last);
        if form == FileForm::PrettyDocument {
            let depth = if place == 0 { 0 } else { 2 };
            indent(&self.compact, depth, out);
        } else {
            out.extend_from_slice(&self.compact);
        }
    }

    /// Applies the wished damage to the record just made.
    fn spoil(&mut self, place: u64, last: bool) {
        if self.options.broken_record && place == self.total / 2 {
            if self.file.form.is_document() {
                let nonsense = br#"{"body":{"com.liveperson.dataaccess.EngagementData":{"header":null,"engagements":17}}},"#;
                let insert_at = if place == 0 { self.first_element() } else { 1 };
                self.compact
                    .splice(insert_at..insert_at, nonsense.iter().copied());
            } else {
                let mut broken = self.compact[..self.compact.len() * 2 / 3].to_vec();
                broken.retain(|&byte| byte != b'\n');
                broken.push(b'\n');
                self.compact.splice(0..0, broken);
            }
        }
        if self.options.cut_json && last {
            self.compact.truncate(self.compact.len() / 2);
        }
    }

    /// Where the first element of `recordCollection` starts in the opening chunk of a document.
    fn first_element(&self) -> usize {
        const MARK: &[u8] = b"\"recordCollection\":[";
        let found = self
            .compact
            .windows(MARK.len())
            .position(|window| window == MARK);
        found.map_or(0, |place| place + MARK.len())
    }
}

/// Indents compact JSON by four spaces a level, starting `depth` levels deep.
fn indent(compact: &[u8], depth: usize, out: &mut Vec<u8>) {
    let mut depth = depth;
    let mut in_string = false;
    let mut escaped = false;
    for (place, &byte) in compact.iter().enumerate() {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                let empty = matches!(compact.get(place + 1), Some(b'}' | b']'));
                depth += 1;
                if !empty {
                    new_line(depth, out);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                let empty = place > 0 && matches!(compact[place - 1], b'{' | b'[');
                if !empty {
                    new_line(depth, out);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(depth, out);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_string = byte == b'"';
                out.push(byte);
            }
        }
    }
}

fn new_line(depth: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.resize(out.len() + 4 * depth, b' ');
}
