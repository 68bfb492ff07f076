//! Avro object container files → the same records, through `apache-avro`.
//!
//! An object is turned into JSON text and read by the same code as everything else: one decoder decides what a field
//! means. Union branches come out bare, which the tolerant reader takes as well as wrapped.

use super::avro_json::Pull;
use super::container::Budget;
use super::data_access;
use super::problem::ProblemKind;
use super::sealed::has_armor;
use super::{Decoder, Raw, avro_schema};
use apache_avro::types::Value;
use std::io::BufRead;

/// The library holds a block in memory, and its values take more of it than their bytes do: a block, packed and unpacked, may
/// have this part of `max_record_bytes`. Real ones have some ten kilobytes.
const BLOCK_SHARE: usize = 8;

pub(super) fn read<'a>(source: Box<dyn BufRead + 'a>, budget: &Budget, decoder: &mut Decoder<'_, '_>) {
    // One bound for the whole process, by the library's design: the first word counts.
    apache_avro::util::max_allocation_bytes(decoder.limits.max_record_bytes / BLOCK_SHARE);
    // The library's messages may quote values, so only those about the header, which has none of a record, are passed on.
    let mut reader = match apache_avro::Reader::new(source) {
        Ok(reader) => reader,
        Err(error) => return decoder.damaged(&error.to_string()),
    };
    if let Some(objection) = avro_schema::objection(reader.writer_schema(), decoder.limits.max_record_bytes) {
        return decoder.damaged(objection);
    }
    let mut objects: u64 = 0;
    loop {
        let object = reader.next();
        objects += 1;
        match object {
            _ if decoder.stopped => return,
            None => return,
            Some(Ok(value)) => {
                decoder.report.records += 1;
                // The container has a compression of its own, which is a layer like any other.
                let unpacked = read_object(&value, decoder);
                if let Err(error) = budget.take(unpacked) {
                    return decoder.unreadable(0, &error);
                }
            }
            // The container's blocks are length-prefixed: behind a broken one nothing can be trusted.
            Some(Err(_)) => {
                return decoder.damaged(&format!(
                    "object {objects} of the Avro container cannot be decoded, or its block is too large"
                ));
            }
        }
        // A block says how many objects it holds, and at its end the library makes up empty ones: without a bound, for ever.
        if objects > decoder.file_bytes.max(1 << 16) {
            return decoder.damaged("the Avro container claims more objects than it has bytes");
        }
    }
}

/// Gives the bytes of JSON that the object came to.
fn read_object(value: &Value, decoder: &mut Decoder<'_, '_>) -> u64 {
    let mut json = Vec::new();
    write_json(value, &mut json);
    decoder.report.json_bytes += json.len() as u64;
    let mut pull = Pull::new(&json);
    match data_access::read_value(&mut pull) {
        Ok(contents) => {
            data_access::note_odd(&pull, decoder.ordinal, 0, &mut decoder.report.problems);
            if contents.found.is_empty() {
                decoder.note(ProblemKind::NotIndexed, 0, "an Avro object that is not an engagement");
            }
            let is_armored = has_armor(&json);
            let raw = Raw { json: &json, offset: None };
            for (place, found) in contents.found {
                let part = found.text_in(place, &json);
                decoder.emit_found(found, part, &contents.envelope, 0, &raw, is_armored);
            }
        }
        Err(broken) => decoder.broken(ProblemKind::BrokenRecord, 0, broken.reason),
    }
    json.len() as u64
}

fn write_json(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Int(number) | Value::Date(number) | Value::TimeMillis(number) => push(number, out),
        Value::Long(number)
        | Value::TimeMicros(number)
        | Value::TimestampMillis(number)
        | Value::TimestampMicros(number)
        | Value::TimestampNanos(number)
        | Value::LocalTimestampMillis(number)
        | Value::LocalTimestampMicros(number)
        | Value::LocalTimestampNanos(number) => push(number, out),
        Value::Float(number) if number.is_finite() => push(number, out),
        Value::Double(number) if number.is_finite() => push(number, out),
        Value::Float(_) | Value::Double(_) => out.extend_from_slice(b"null"),
        Value::String(text) | Value::Enum(_, text) => push_text(text, out),
        Value::Uuid(uuid) => push_text(&uuid.to_string(), out),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => push_text(&String::from_utf8_lossy(bytes), out),
        Value::Union(_, inner) => write_json(inner, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json(item, out);
            }
            out.push(b']');
        }
        Value::Record(fields) => push_object(fields.iter().map(|(name, field)| (name, field)), out),
        // In the order of their names: the library's map has another order each time, and the same file must read the same.
        Value::Map(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            push_object(fields.into_iter(), out);
        }
        Value::Decimal(_) | Value::BigDecimal(_) | Value::Duration(_) => out.extend_from_slice(b"null"),
    }
}

fn push_object<'v>(fields: impl Iterator<Item = (&'v String, &'v Value)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, field)) in fields.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(name, out);
        out.push(b':');
        write_json(field, out);
    }
    out.push(b'}');
}

fn push(number: &impl std::fmt::Display, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing to memory does not fail");
}
