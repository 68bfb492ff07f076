//! Decoding: every form, every container, every damage. What the samples give is written down in `data/golden`.

use chatvault::conversation::Revision;
use chatvault::decode::{DecodeLimits, FileContext, FileReport, ProblemKind, decode_file, raw_record};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

fn decode_with(bytes: &[u8], limits: DecodeLimits) -> (Vec<Revision>, FileReport) {
    let context = FileContext {
        path: "files/sample".into(),
        sha256: "0".repeat(64),
        window_start_ms: None,
        account_id: "75555851".into(),
        salvaged: None,
    };
    let mut found = Vec::new();
    let report = decode_file(Cursor::new(bytes), &context, limits, &mut |revision| {
        found.push(revision);
        true
    })
    .unwrap();
    (found, report)
}

fn decode(bytes: &[u8]) -> (Vec<Revision>, FileReport) {
    decode_with(bytes, DecodeLimits::default())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One line of the usual form.
fn line(id: &str, text: &str) -> Vec<u8> {
    let value = json!({ "dataType": "Engagement", "metaData": { "accountId": "75555851" }, "recordCollection": [ { "body": {
        "engagements": [ { "conversationId": id, "conversationEndTime": 1, "transcripts": [ { "text": text, "type": "0" } ] } ]
    } } ] });
    format!("{value}\n").into_bytes()
}

fn samples() -> Vec<(String, Vec<u8>)> {
    let mut samples: Vec<(String, Vec<u8>)> = fs::read_dir(data().join("samples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "py"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    samples.sort();
    assert!(samples.len() >= 16);
    samples
}

#[test]
fn samples_give_what_is_written_down() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differing = Vec::new();
    for (name, bytes) in samples() {
        let (found, report) = decode(&bytes);
        assert_eq!(report.conversations, found.len() as u64, "{name}");
        let value = json!({
            "records": report.records,
            "conversations": report.conversations,
            "json_bytes": report.json_bytes,
            "problems": report.problems,
            "revisions": found,
        });
        let text = serde_json::to_string_pretty(&value).unwrap() + "\n";
        let path = data().join("golden").join(format!("{name}.json"));
        if update {
            fs::write(&path, &text).unwrap();
        } else if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            differing.push(format!("{name}:\n{text}"));
        }
    }
    assert!(
        differing.is_empty(),
        "data/golden says otherwise; if this is right, run UPDATE_GOLDEN=1 cargo test --test it decode\n{}",
        differing.join("\n")
    );
}

/// What must hold whatever the golden files say.
#[test]
fn samples_are_read_as_a_person_would() {
    let by_name: BTreeMap<String, (Vec<Revision>, FileReport)> =
        samples().into_iter().map(|(name, bytes)| (name, decode(&bytes))).collect();
    let ids = |name: &str| -> Vec<String> {
        by_name[name].0.iter().map(|revision| revision.content.conversation_id.clone().unwrap_or_default()).collect()
    };
    let count = |name: &str, kind: ProblemKind| by_name[name].1.problems.counts.get(&kind).copied().unwrap_or(0);
    assert_eq!(ids("wrapped-nowhere.json"), ["75555851-1"]);
    assert_eq!(ids("wrapped-everywhere.json"), ["75555851-2"]);
    // Wrapped or not, the same fields are read.
    let (bare, wrapped) =
        (&by_name["wrapped-nowhere.json"].0[0].content, &by_name["wrapped-everywhere.json"].0[0].content);
    assert_eq!((bare.end_reason, bare.mcs, &bare.skills), (wrapped.end_reason, wrapped.mcs, &wrapped.skills));
    assert_eq!((bare.messages.len(), &bare.transfers), (wrapped.messages.len(), &wrapped.transfers));
    assert_eq!(wrapped.messages[0].text, "un café, s'il vous plaît");
    assert_eq!(bare.transfers[0].time_ms, Some(1_467_853_230_000));
    assert_eq!(ids("bom-and-pretty.json"), ["75555851-1", "75555851-2"]);
    assert_eq!(ids("back-to-back.json"), ["75555851-1", "75555851-2", "75555851-1"]);
    assert_eq!(ids("document.json"), ["75555851-3", "75555851-4"]);
    assert_eq!(ids("big-ids-as-numbers.json"), ["755558514295264942188888"]);
    assert_eq!(by_name["big-ids-as-numbers.json"].0[0].content.consumer_id.as_deref(), Some("18446744073709551617"));
    assert!(ids("null-everywhere.json").ends_with(&["75555851-5".into(), "75555851-1".into()]));
    assert_eq!(ids("surrogates-and-controls.json"), ["75555851-6", "75555851-7", "75555851-8"]);
    assert!(by_name["surrogates-and-controls.json"].0[0].content.messages[0].text.contains("pair 😀 lone"));
    assert_eq!(count("surrogates-and-controls.json", ProblemKind::Repaired), 3);
    assert_eq!(ids("one-broken-among-good.ndjson"), ["75555851-1", "75555851-9"]);
    let broken = &by_name["one-broken-among-good.ndjson"].1.problems;
    assert_eq!(broken.failures(), 1);
    assert_eq!(broken.examples[0].record, 1);
    assert_eq!(ids("deep.json"), ["75555851-1", "75555851-10"]);
    assert_eq!(ids("twice.gz"), ["75555851-1", "75555851-12"]);
    assert_eq!(ids("gzip-in-gzip.gz"), ["75555851-1"]);
    assert_eq!(ids("two-entries.zip"), ["75555851-1", "75555851-2"]);
    assert_eq!(count("truncated.gz", ProblemKind::DamagedContainer), 1);
    assert_eq!(ids("engagements-null.avro").len(), 6);
    assert_eq!(ids("engagements-null.avro"), ids("engagements-deflate.avro"));
    assert_eq!(by_name["engagements-deflate.avro"].0[0].content.messages[0].text, "from Avro 0: déjà vu 返金");
    assert_eq!(by_name["unknown-fields.json"].0[0].content.unknown[0].0, "newField");
}

/// Ordinals are places: each record's own bytes come back by its number.
#[test]
fn every_record_can_be_fetched_by_its_ordinal() {
    for (name, bytes) in samples() {
        for revision in decode(&bytes).0 {
            let raw = raw_record(Cursor::new(&bytes), revision.records[0].record, DecodeLimits::default()).unwrap();
            let raw = raw.unwrap_or_else(|| panic!("{name}: record {} is gone", revision.records[0].record));
            if let Some(id) = &revision.content.conversation_id {
                assert!(String::from_utf8_lossy(&raw).contains(id.as_str()), "{name}: {id}");
            }
        }
        assert_eq!(raw_record(Cursor::new(&bytes), 1_000_000, DecodeLimits::default()).unwrap(), None, "{name}");
    }
}

#[test]
fn a_record_of_any_size_passes_or_is_passed_over() {
    let long = "lorem ipsum ".repeat(450_000);
    let mut bytes = line("1", "before");
    bytes.extend(line("2", &long));
    bytes.extend(line("3", "after"));
    let (found, report) = decode(&gzip(&bytes));
    assert_eq!(found.len(), 3);
    assert_eq!(found[1].content.messages[0].text, long);
    assert_eq!(report.problems.total(), 0);

    let (found, report) = decode_with(&bytes, DecodeLimits { max_record_bytes: 1 << 20, ..DecodeLimits::default() });
    let ids: Vec<_> = found.iter().map(|revision| revision.content.conversation_id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["1", "3"]);
    assert_eq!(report.problems.counts[&ProblemKind::TooLarge], 1);
}

#[test]
fn a_cut_anywhere_keeps_what_stands_before_it() {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for number in 0..20 {
        bytes.extend(line(&number.to_string(), "some words in a line"));
        ends.push(bytes.len());
    }
    for cut in (0..bytes.len()).step_by(7) {
        let (found, report) = decode(&bytes[..cut]);
        // The line feed after the last record may be missing.
        let whole = ends.iter().filter(|end| **end <= cut + 1).count();
        // A conversation that is whole itself counts, even where the cut hits the brackets that close around it.
        assert!((whole..=whole + 1).contains(&found.len()), "cut at {cut}: {} of {whole}", found.len());
        for revision in &found {
            assert_eq!(revision.content.messages[0].text, "some words in a line", "cut at {cut}");
        }
        let is_clean = cut == 0 || ends.iter().any(|end| *end == cut || *end == cut + 1);
        assert_eq!(report.problems.failures() == 0, is_clean, "cut at {cut}: {:?}", report.problems);
    }
}

fn runner(cases: u32) -> TestRunner {
    let cases = if crate::support::is_long() { cases * 100 } else { cases };
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// Small limits, so that a lie about a length costs nothing.
fn survive(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (found, report) = decode_with(bytes, DecodeLimits { max_record_bytes: 1 << 20, ..DecodeLimits::default() });
    prop_assert_eq!(found.len() as u64, report.conversations);
    let examples = &report.problems.examples;
    prop_assert!(examples.iter().all(|problem| !problem.detail.contains(char::is_control)), "{examples:?}");
    Ok(())
}

#[test]
fn no_bytes_panic() {
    let signs =
        r#"([{}\[\]":,0-9a-c \n]|null|true|"text":|"string":|"array":|"body":|"engagements":|\\ud83d|\\u00){0,60}"#;
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        signs.prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| gzip(&bytes)),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| [b"PK\x03\x04".to_vec(), bytes].concat()),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| [b"Obj\x01".to_vec(), bytes].concat()),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| [b"\x1f\x8b\x08\x00".to_vec(), bytes].concat()),
    ];
    runner(600).run(&bytes, |bytes| survive(&bytes)).unwrap_or_else(|error| panic!("{error}"));
}

/// How the bytes of a valid file are changed.
#[derive(Clone, Copy, Debug)]
enum Change {
    Flip,
    Cut,
    Insert,
    Remove,
    /// A part of it stands there twice.
    Repeat,
    /// A part of another file stands in it.
    Splice,
    /// A part of it is lost, as when a block of a disk is.
    Zero,
}

#[test]
fn no_change_to_a_valid_file_panics() {
    use Change::*;
    let samples: Vec<Vec<u8>> =
        samples().into_iter().filter(|(name, _)| name != "deep.json").map(|(_, bytes)| bytes).collect();
    let how = prop::sample::select(vec![Flip, Cut, Insert, Remove, Repeat, Splice, Zero]);
    let places = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let changes = prop::collection::vec((how, places, any::<u8>()), 1..6);
    let sample = || prop::sample::select(samples.clone());
    runner(500)
        .run(&(sample(), sample(), changes, 0..4_u8), |(mut bytes, other, changes, packed)| {
            for (how, (from, to), value) in changes {
                if bytes.is_empty() {
                    break;
                }
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let part = from.min(to)..from.max(to);
                match how {
                    Flip => bytes[from] = value,
                    Cut => bytes.truncate(from),
                    Insert => bytes.insert(from, value),
                    Remove => drop(bytes.remove(from)),
                    Repeat => {
                        let again = bytes[part].to_vec();
                        bytes.splice(to..to, again);
                    }
                    Splice => drop(bytes.splice(part, other[from.min(other.len())..].iter().copied())),
                    Zero => bytes[part].fill(0),
                }
            }
            survive(&match packed {
                0 => gzip(&bytes),
                1 => gzip(&gzip(&bytes)),
                // A packed file that is cut.
                2 => {
                    let whole = gzip(&bytes);
                    whole[..whole.len() * 2 / 3].to_vec()
                }
                _ => bytes,
            })
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// A problem is counted exactly, and kept as an example only so often.
#[test]
fn a_million_problems_take_no_memory() {
    let bytes = b"{\"dataType\":oops}\n".repeat(5_000);
    let (found, report) = decode(&bytes);
    assert!(found.is_empty());
    assert_eq!(report.problems.counts[&ProblemKind::BrokenRecord], 5_000);
    assert_eq!(report.problems.examples.len(), 20);
    let value: Value = serde_json::to_value(&report.problems).unwrap();
    assert_eq!(
        value["examples"][1],
        json!({
            "kind": "broken-record", "record": 1, "byte": value["examples"][1]["byte"], "detail": value["examples"][1]["detail"]
        })
    );
    assert!((18..36).contains(&value["examples"][1]["byte"].as_u64().unwrap()), "{value}");
}
