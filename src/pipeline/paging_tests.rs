//! Pages and windows of hits: together they are every hit, each once, in every order, over several segments.

use crate::archive::RealDisk;
use crate::conversation::{Conversation, Message, Record, Revision, Role};
use crate::index::{Reader, Writer, WriterOptions};
use crate::search::parse::{ParseOptions, parse_located};
use crate::search::{Cursor, SearchRequest, Sort, search, search_after};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::sync::Arc;

const CONVERSATIONS: u64 = 41;
const COMMITS: u64 = 5;

/// Few distinct values, and none for some: most hits are equal by what is sorted by.
fn conversation(at: u64) -> Conversation {
    let some = |of: u64, value: i64| (!at.is_multiple_of(of)).then_some(value);
    let message = |line: u64| Message {
        time_ms: Some(line as i64),
        role: Role::Consumer,
        text: "refund ".repeat((at % 3 + 1) as usize),
        ..Message::default()
    };
    Conversation {
        account_id: "1".into(),
        // Neighbours by key lie in different segments.
        conversation_id: Some(format!("{:03}", at * 29 % CONVERSATIONS)),
        start_ms: some(7, 1_500_000_000_000 + (at % 4) as i64),
        end_ms: some(5, 1_500_000_100_000 + (at % 3) as i64),
        end_reason: some(4, 200 + (at % 3) as i64),
        start_reason: some(3, (at % 2) as i64),
        mcs: some(6, (at % 5) as i64).map(|mcs| mcs as f64),
        nps: some(2, (at % 7) as i64).map(|nps| nps as f64),
        messages: (0..at % 4 + 1).map(message).collect(),
        ..Conversation::default()
    }
}

fn index() -> (tempfile::TempDir, Reader) {
    let folder = tempfile::tempdir().unwrap();
    let options = WriterOptions { memory_bytes: 32 << 20, threads: 1 };
    let mut writer = Writer::open(folder.path(), Arc::new(RealDisk), options).unwrap();
    for commit in 0..COMMITS {
        for at in (0..CONVERSATIONS).filter(|at| at % COMMITS == commit) {
            let record = Record { file: "f".into(), sha256: "0".repeat(64), record: at, unproven: false };
            let source = "data-access".to_owned();
            writer.add(Revision { age_ms: 1, source, records: vec![record], content: conversation(at) }).unwrap();
        }
        writer.commit(commit + 1).unwrap();
    }
    drop(writer);
    let reader = Reader::open(folder.path()).unwrap();
    assert!(reader.searcher().segment_readers().len() >= 3, "several segments");
    (folder, reader)
}

fn request(sort: Sort, reverse: bool, limit: Option<usize>) -> SearchRequest {
    let text = "refund";
    SearchRequest {
        query: parse_located(text, &ParseOptions { tz: TimeZone::UTC, now_ms: 0 }).unwrap(),
        text: text.into(),
        sort: Some(sort),
        reverse,
        limit,
        facets: Vec::new(),
        tz: TimeZone::UTC,
    }
}

#[test]
fn pages_and_windows_are_every_hit_once_in_every_order() {
    let (_folder, reader) = index();
    for (sort, name) in Sort::ALL {
        for reverse in [false, true] {
            let keys_within = |window: usize| -> Vec<String> {
                let hits = search(&reader, &request(sort, reverse, None)).unwrap().hits.with_window(window);
                (0..hits.len()).map(|at| hits.load(&reader, at, 0).unwrap().stored.key()).collect()
            };
            let whole = keys_within(1 << 14);
            let distinct: BTreeSet<&String> = whole.iter().collect();
            assert_eq!((whole.len(), distinct.len()), (41, 41), "{name}, reverse {reverse}");
            if sort == Sort::Key {
                let sorted: Vec<String> = distinct.into_iter().cloned().collect();
                let expected = if reverse { sorted.into_iter().rev().collect() } else { sorted };
                assert_eq!(whole, expected, "reverse {reverse}");
            }
            for size in [1, 2, 3, 7, 40, 41] {
                assert_eq!(keys_within(size), whole, "{name}, reverse {reverse}, in windows of {size}");
                let mut paged = Vec::new();
                let mut cursor: Option<Cursor> = None;
                loop {
                    let answer = search_after(&reader, &request(sort, reverse, Some(size)), cursor.as_ref()).unwrap();
                    let keys = (0..answer.hits.len()).map(|at| answer.hits.load(&reader, at, 0).unwrap().stored.key());
                    paged.extend(keys);
                    cursor = answer.hits.next(&reader, 0).unwrap();
                    if cursor.is_none() || paged.len() > whole.len() {
                        break;
                    }
                }
                assert_eq!(paged, whole, "{name}, reverse {reverse}, in pages of {size}");
            }
        }
    }
}
