//! The account: same seed same bytes, files add up to the truth, texts look like language.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use flate2::read::MultiGzDecoder;
use serde_json::{Deserializer, Value};

use super::*;

fn bytes_of(world: &World, file: &FileSpec) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_file(world, file, BodyOptions::default(), &mut bytes).unwrap();
    bytes
}

fn json_of(bytes: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut json).unwrap();
    json
}

/// Conversations of one top-level value, in either form of the envelope.
fn conversations(record: &Value) -> Vec<&Value> {
    let collection = &record["recordCollection"];
    let records = collection.as_array().or_else(|| collection["array"].as_array()).unwrap();
    records
        .iter()
        .map(|record| {
            &record["body"]["com.liveperson.dataaccess.EngagementData"]["engagements"]["array"][0]
                ["com.liveperson.dataaccess.Conversation"]
        })
        .collect()
}

#[test]
fn equal_seeds_give_equal_bytes_and_others_differ() {
    let first = World::new(small(300)).unwrap();
    let second = World::new(small(300)).unwrap();
    let other = World::new(WorldConfig { seed: 2, ..small(300) }).unwrap();
    let files: Vec<_> = first.files().collect();
    assert_eq!(files, second.files().collect::<Vec<_>>());
    for file in files.iter().take(5) {
        assert_eq!(bytes_of(&first, file), bytes_of(&second, file));
    }
    assert_ne!(first.conversation(0).messages, other.conversation(0).messages);
}

#[test]
fn files_add_up_to_the_truth() {
    let world = World::new(small(1_500)).unwrap();
    let truth = world.truth();
    let mut latest: HashMap<String, (usize, usize)> = HashMap::new();
    let (mut records, mut told, mut without_id, mut id_less_messages) = (0, 0, 0, 0);
    for file in world.files() {
        let json = json_of(&bytes_of(&world, &file));
        let mut values = 0;
        for record in Deserializer::from_slice(&json).into_iter::<Value>() {
            let record = record.unwrap();
            values += 1;
            assert_eq!(record["recordCollection"].is_array(), file.form != FileForm::WrappedLines);
            for conversation in conversations(&record) {
                told += 1;
                let lines = conversation["transcripts"]["array"].as_array().unwrap().len();
                let moves = conversation["transfers"]["array"].as_array().map_or(0, Vec::len);
                let end_ms = conversation["conversationEndTime"]["long"].as_i64().unwrap();
                assert!((file.start_ms..file.end_ms).contains(&end_ms));
                match conversation["conversationId"]["string"].as_str() {
                    Some(id) => {
                        let longer = latest.get(id).is_none_or(|&(known, _)| known < lines);
                        assert!(longer, "a later telling has more messages");
                        latest.insert(id.to_owned(), (lines, moves));
                    }
                    None => {
                        without_id += 1;
                        id_less_messages += lines;
                    }
                }
            }
        }
        assert_eq!(values, world.records_in(&file));
        records += values;
    }
    assert_eq!(truth.files, world.files().count() as u64);
    assert_eq!(truth.records, records);
    assert_eq!(truth.conversation_records, told);
    assert_eq!(truth.conversations, latest.len() as u64 + without_id);
    let messages = latest.values().map(|(lines, _)| lines).sum::<usize>() + id_less_messages;
    assert_eq!(truth.messages, messages as u64);
    assert!(told > truth.conversations && without_id > 0);
}

#[test]
fn the_wire_says_what_the_truth_says() {
    let world = World::new(WorldConfig { revised_permille: 0, ..small(200) }).unwrap();
    let mut expected = world.conversations();
    for file in world.files() {
        let json = json_of(&bytes_of(&world, &file));
        for record in Deserializer::from_slice(&json).into_iter::<Value>() {
            for found in conversations(&record.unwrap()) {
                let truth = expected.next().unwrap();
                assert_eq!(found["conversationId"]["string"].as_str(), truth.id.as_deref());
                assert_eq!(found["endReasonId"]["int"].as_i64(), Some(truth.end_reason));
                let skills = found["skills"]["array"].as_array().unwrap();
                let skills: Vec<_> = skills.iter().filter_map(Value::as_i64).collect();
                assert_eq!(skills, truth.skills);
                assert_eq!(found["mcs"].is_null(), truth.mcs.is_none());
                let lines = found["transcripts"]["array"].as_array().unwrap();
                assert_eq!(lines.len(), truth.messages.len());
                for (line, message) in lines.iter().zip(&truth.messages) {
                    assert_eq!(line["text"]["string"].as_str(), Some(message.text.as_str()));
                    assert_eq!(line["by"]["string"].as_str(), Some(message.by.as_str()));
                    assert_eq!(line["type"]["string"], message.role.to_string());
                    assert_eq!(line["timestamp"]["long"].as_i64(), Some(message.at_ms));
                }
            }
        }
    }
    assert!(expected.next().is_none());
}

#[test]
fn words_have_natural_frequencies() {
    let world = World::new(small(2_000)).unwrap();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for conversation in world.conversations() {
        for message in conversation.messages.iter().filter(|message| message.role != '4') {
            assert!(!message.text.is_empty() && !message.text.contains(['{', '}']));
            let words = message.text.split(|letter: char| !letter.is_alphanumeric());
            for word in words.filter(|word| !word.is_empty()) {
                *counts.entry(word.to_lowercase()).or_default() += 1;
            }
        }
    }
    let mut by_count: Vec<u64> = counts.values().copied().collect();
    by_count.sort_unstable_by(|left, right| right.cmp(left));
    let total: u64 = by_count.iter().sum();
    let share = by_count[0] * 1000 / total;
    assert!((20..90).contains(&share), "top word has {share} permille");
    let alphabetic = counts.keys().filter(|word| word.chars().all(char::is_alphabetic)).count();
    assert!(alphabetic > 3_000, "{alphabetic} distinct words");
    assert!(by_count[0] > 4 * by_count[30] && by_count[30] > 4 * by_count[1_000]);
}

#[test]
fn every_kind_of_line_and_field_occurs() {
    let world = World::new(small(2_000)).unwrap();
    let mut roles = HashSet::new();
    let (mut lines, mut bot_lines, mut quiet, mut messaging, mut moved, mut longest) = (0_u64, 0_u64, 0, 0, [0; 4], 0);
    for conversation in world.conversations() {
        longest = longest.max(conversation.messages.len());
        roles.extend(conversation.messages.iter().map(|message| message.role));
        lines += conversation.messages.len() as u64;
        let by_bot = conversation.messages.iter().filter(|line| BOTS.contains(&&*line.by));
        bot_lines += by_bot.count() as u64;
        quiet += u64::from(conversation.messages.iter().all(|line| line.role != '0'));
        messaging += u64::from(conversation.messaging);
        moved[conversation.transfers.len()] += 1;
        assert!(conversation.messages.is_sorted_by_key(|message| message.at_ms));
        assert!(conversation.start_ms <= conversation.connect_ms);
        assert!(conversation.connect_ms <= conversation.end_ms);
    }
    assert_eq!(roles, HashSet::from(['0', '1', '2', '3', '4', '5']));
    assert!((15..60).contains(&(bot_lines * 1000 / lines)), "{bot_lines} of {lines} by bots");
    assert!((20..300).contains(&quiet) && (150..350).contains(&messaging));
    assert!(moved[1] > 50 && moved[2] > 5, "{moved:?}");
    assert!((100..=240).contains(&longest) && (10..22).contains(&(lines / 2_000)));
}

#[test]
fn lines_have_the_size_of_real_records() {
    let world = World::new(WorldConfig { forms: FormMix::NdjsonOnly, ..small(1_000) }).unwrap();
    let (mut json_bytes, mut records) = (0, 0);
    for file in world.files() {
        let size = write_json(&world, &file, &mut std::io::sink()).unwrap();
        json_bytes += size.json_bytes;
        records += size.conversation_records;
    }
    let mean = json_bytes / records;
    assert!((6_000..10_000).contains(&mean), "{mean} bytes a record");
}

#[test]
fn files_are_found_by_name_with_and_without_the_ending() {
    let world = World::new(small(500)).unwrap();
    for file in world.files() {
        let name = file.name();
        assert_eq!(world.file_named(&name).as_ref(), Some(&file));
        assert_eq!(world.file_named(name.trim_end_matches(".gz")).as_ref(), Some(&file));
    }
    assert_eq!(world.file_named("Engagement.1.2.part-00000-0.gz"), None);
    assert_eq!(world.file_named("../x"), None);
}

#[test]
fn damage_is_where_it_was_ordered() {
    let world = World::new(small(400)).unwrap();
    for file in world.files() {
        let options = BodyOptions { broken_record: true, ..BodyOptions::default() };
        let mut bytes = Vec::new();
        write_file(&world, &file, options, &mut bytes).unwrap();
        let json = String::from_utf8_lossy(&json_of(&bytes)).into_owned();
        if file.form.is_document() {
            let record: Value = serde_json::from_str(&json).unwrap();
            let broken = conversations(&record).into_iter().filter(|found| found.is_null());
            assert_eq!(broken.count(), 1);
        } else {
            let parsed = json.lines().filter(|line| serde_json::from_str::<Value>(line).is_err());
            assert_eq!(parsed.count(), 1);
        }
    }
}

#[test]
fn a_corpus_on_disk_is_the_same_account() {
    let folder = tempfile::tempdir().unwrap();
    let config = small(100);
    let summary = write_corpus(folder.path(), &config, BodyOptions::default()).unwrap();
    let world = World::new(config).unwrap();
    assert_eq!(summary.files, world.truth().files);
    assert_eq!(summary.conversation_records, world.truth().conversation_records);
    for file in world.files() {
        let on_disk = std::fs::read(folder.path().join(file.name())).unwrap();
        assert_eq!(on_disk, bytes_of(&world, &file));
    }
}

#[test]
fn impossible_accounts_are_refused() {
    let refused = |config: WorldConfig| World::new(config).unwrap_err();
    assert_eq!(refused(WorldConfig { hours: 721, ..small(1) }), WorldError::Hours(721));
    assert_eq!(refused(WorldConfig { end_ms: 1_772_409_600_001, ..small(1) }), WorldError::End(1_772_409_600_001));
    let account = WorldConfig { account_id: "4x".to_owned(), ..small(1) };
    assert_eq!(refused(account), WorldError::Account("4x".to_owned()));
}
