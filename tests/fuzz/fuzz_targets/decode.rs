//! Any bytes as a file of the archive: containers, envelopes, Avro. Never a panic; what is counted is what was handed over; every
//! record can be located again, and its JSON lies where it is said to lie.
#![no_main]

use chatvault::decode::{Container, DecodeLimits, FileContext, Salvaged, container_of, decode_file, locate_record};
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let mut context = FileContext {
        path: "files/x".into(),
        sha256: "0".repeat(64),
        window_start_ms: Some(0),
        account_id: "1".into(),
        salvaged: None,
    };
    // The second limit is small, so that the ways around a large record are taken too.
    for max_record_bytes in [1 << 20, 96] {
        let mut ordinals = Vec::new();
        let limits = DecodeLimits { max_record_bytes, ..DecodeLimits::default() };
        let report = decode_file(Cursor::new(bytes), &context, limits, &mut |revision| {
            ordinals.extend(revision.records.iter().map(|record| record.record));
            true
        })
        .expect("memory can be read");
        assert_eq!(report.conversations, ordinals.len() as u64);
        assert!(ordinals.is_sorted_by(|a, b| a < b), "{ordinals:?}");
    }
    let salvaged = Salvaged { proven_bytes: bytes.len() as u64 / 2, readable_bytes: bytes.len() as u64, is_corrupt: bytes.len() % 2 == 1 };
    let mut records = 0;
    context.salvaged = Some(salvaged);
    let mut count = |_| {
        records += 1;
        true
    };
    let report =
        decode_file(Cursor::new(bytes), &context, DecodeLimits::default(), &mut count).expect("memory can be read");
    assert_eq!(report.conversations, records);
    context.salvaged = None;

    let mut first = None;
    let mut sink = |revision: chatvault::conversation::Revision| {
        first = Some((revision.records[0].record, revision.content.conversation_id));
        false
    };
    decode_file(Cursor::new(bytes), &context, DecodeLimits::default(), &mut sink).expect("memory can be read");
    if let Some((ordinal, id)) = first {
        let raw = locate_record(Cursor::new(bytes), ordinal, DecodeLimits::default())
            .expect("memory can be read")
            .expect("it was there before");
        assert_eq!(raw.conversation_id, id);
        if let (Some(offset), Container::Plain) = (raw.offset, container_of(bytes)) {
            assert!(bytes[offset as usize..].starts_with(&raw.json));
        }
    }
});
