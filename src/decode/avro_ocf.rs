//! Avro object container files → the same records, through `apache-avro`.
//!
//! An object is turned into JSON text and read by the same code as everything else: one decoder decides what a field
//! means. Union branches come out bare, which the tolerant reader takes as well as wrapped.

use super::avro_json::Pull;
use super::data_access;
use super::problem::ProblemKind;
use super::sealed::has_armor;
use super::{Decoder, Raw};
use apache_avro::types::Value;
use std::io::BufRead;

pub(super) fn read<'a>(source: Box<dyn BufRead + 'a>, decoder: &mut Decoder<'_, '_>) {
    let reader = match apache_avro::Reader::new(source) {
        Ok(reader) => reader,
        Err(error) => return decoder.note(ProblemKind::DamagedContainer, 0, error.to_string()),
    };
    for object in reader {
        if decoder.stopped {
            return;
        }
        match object {
            Ok(value) => {
                decoder.report.records += 1;
                read_object(&value, decoder);
            }
            // The container's blocks are length-prefixed: behind a broken one nothing can be trusted.
            Err(error) => return decoder.note(ProblemKind::DamagedContainer, 0, error.to_string()),
        }
    }
}

fn read_object(value: &Value, decoder: &mut Decoder<'_, '_>) {
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
        Value::Map(fields) => push_object(fields.iter(), out),
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
