//! The index and the matcher give the same answer to random queries over everything a conversation can have:
//! attributes of every nesting, surveys, names, records that are no conversation, several revisions.

use crate::archive::RealDisk;
use crate::conversation::{
    AgentProfile, Campaign, Consumer, Conversation, Intent, MASK, Message, Record, Revision, Role, StoredConversation,
    Supplement, Transfer,
};
use crate::index::{Reader, Writer, WriterOptions};
use crate::search::arbitrary::{self, VOCABULARY};
use crate::search::parse::parse_located;
use crate::search::query::Query;
use crate::search::{Matcher, SearchError, SearchRequest, search};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::sync::Arc;

fn words(dice: &mut ChaCha8Rng) -> String {
    let count = dice.random_range(1..4);
    (0..count).map(|_| *VOCABULARY.choose(dice).unwrap()).collect::<Vec<_>>().join(" ")
}

/// An attribute in one of the shapes of the reference.
fn attribute(dice: &mut ChaCha8Rng) -> String {
    let number = f64::from(dice.random_range(-500..2000)) / 4.0;
    let text = serde_json::Value::from(words(dice));
    let at = dice.random_range(1..9);
    match dice.random_range(0..6) {
        0 => format!(
            r#"{{"cartStatus":{{"serverTimeStamp":{at},"total":{number},"products":[{{"product":{{"name":{text}}}}}]}}}}"#
        ),
        1 => format!(r#"{{"cartStatus":{{"serverTimeStamp":"{at}","total":"{number}","currency":"EUR"}}}}"#),
        2 => format!(
            r#"{{"customerInfo":{{"customerInfo":{{"balance":"{number}","customerId":{text}}}}},"serverTimeStamp":{at}}}"#
        ),
        3 => format!(
            r#"{{"timestamp":{{"long":{at}}},"data":{{"com.liveperson.dataaccess.CustomerInfo":{{"balance":{{"double":{number}}},"customerStatus":{{"string":{text}}}}}}}}}"#
        ),
        4 => format!(r#"{{"purchase":{{"orderId":{text},"cart":{{"numItems":{},"total":null}}}}}}"#, at),
        _ => format!(r#"{{"visitorError":{{"visitorError":{{"message":{text},"level":{at}}}}}}}"#),
    }
}

fn conversation(dice: &mut ChaCha8Rng, id: usize) -> Conversation {
    let some = |dice: &mut ChaCha8Rng| dice.random_bool(0.5).then(|| words(dice));
    let role = |dice: &mut ChaCha8Rng| *Role::ALL.choose(dice).unwrap();
    let mut c = Conversation {
        account_id: "1".into(),
        conversation_id: Some(id.to_string()),
        kind: ["LIVE_CHAT", "MESSAGING"].choose(dice).map(|kind| (*kind).to_owned()),
        supplement: dice.random_bool(0.15).then(|| *[Supplement::Survey, Supplement::WebSession].choose(dice).unwrap()),
        status: Some("CLOSE".into()),
        start_ms: Some(dice.random_range(1_400_000_000_000..1_600_000_000_000)),
        closed_by: dice.random_bool(0.4).then(|| ["AGENT", "CONSUMER"].choose(dice).unwrap().to_string()),
        end_reason: dice.random_bool(0.5).then_some(205),
        mcs: dice.random_bool(0.5).then(|| f64::from(dice.random_range(0..100))),
        nps: dice.random_bool(0.3).then(|| f64::from(dice.random_range(0..11))),
        summary: some(dice),
        ..Conversation::default()
    };
    for line in 0..dice.random_range(0..4) {
        let (role, text) = (role(dice), words(dice));
        let mut message = Message { time_ms: Some(line), role, text, agent_id: Some("7".into()), ..Message::default() };
        if dice.random_bool(0.2) {
            message.kind = "4".into();
            message.text = format!("<p>{}</p><a href=\"https://x.example/{}\">ok</a>", words(dice), words(dice));
        }
        c.messages.push(message);
    }
    if dice.random_bool(0.6) {
        c.attributes = (0..dice.random_range(1..4)).map(|_| attribute(dice)).collect();
    }
    if dice.random_bool(0.4) {
        c.surveys.push(
            serde_json::json!({ "surveyData": [{ "question": words(dice), "answer": words(dice) }] }).to_string(),
        );
        c.skill_names.push((dice.random_range(1..5).to_string(), words(dice)));
        c.consumers.push(Consumer { id: dice.random_range(1..9).to_string(), ..Consumer::default() });
        c.intents.push(Intent { name: words(dice), label: some(dice), ..Intent::default() });
        c.agent_profiles.push(AgentProfile {
            id: "7".into(),
            full_name: some(dice),
            login_name: some(dice),
            ..AgentProfile::default()
        });
        c.campaign = Some(Campaign { campaign_name: some(dice), ..Campaign::default() });
        c.transfers.push(Transfer { reason_name: some(dice), ..Transfer::default() });
    }
    c.is_masked = c.messages.iter().any(|message| message.text == MASK);
    c
}

fn corpus() -> Vec<Revision> {
    let dice = &mut ChaCha8Rng::seed_from_u64(13);
    let mut revisions = Vec::new();
    for id in 0..160 {
        for age_ms in 0..*[1, 1, 2, 3].choose(dice).unwrap() {
            let record =
                Record { file: "f".into(), sha256: "0".repeat(64), record: revisions.len() as u64, unproven: false };
            let source = ["data-access", "messaging-interactions"].choose(dice).unwrap().to_string();
            revisions.push(Revision { age_ms, source, records: vec![record], content: conversation(dice, id) });
        }
    }
    revisions
}

#[test]
fn the_index_agrees_with_the_matcher_on_everything() {
    let folder = tempfile::tempdir().unwrap();
    let options = WriterOptions { memory_bytes: 32 << 20, threads: 1 };
    let mut writer = Writer::open(folder.path(), Arc::new(RealDisk), options).unwrap();
    for revision in corpus() {
        writer.add(revision).unwrap();
    }
    writer.commit(1).unwrap();
    writer.finish().unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    let mut stored: Vec<StoredConversation> = Vec::new();
    reader.for_each(&mut |conversation| stored.push(conversation)).unwrap();
    assert_eq!(stored.len(), 160);

    let cases = if std::env::var_os("CHATVAULT_LONG").is_some() { 20_000 } else { 500 };
    // Attribute queries by themselves, and whatever the language has.
    let queries = prop_oneof![arbitrary::text().prop_map(Query::Text), arbitrary::query()];
    let telling = std::cell::Cell::new(0);
    TestRunner::new(Config { cases, max_local_rejects: u32::MAX, failure_persistence: None, ..Config::default() })
        .run(&queries, |tree| {
            let text = tree.to_string();
            let query = parse_located(&text, &arbitrary::options()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let matcher = Matcher::new(&query.query);
            let request = SearchRequest {
                query,
                text: text.clone(),
                sort: None,
                reverse: false,
                limit: None,
                facets: Vec::new(),
                tz: TimeZone::UTC,
            };
            let answer = match search(&reader, &request) {
                // A regular expression that is none.
                Err(SearchError::Query(_)) => return Ok(()),
                answer => answer.map_err(|error| TestCaseError::fail(error.to_string()))?,
            };
            let keys = |at| answer.hits.load(&reader, at, 0).map(|hit| hit.stored.key());
            let found: BTreeSet<String> = (0..answer.hits.len()).map(|at| keys(at).unwrap()).collect();
            let expected: BTreeSet<String> =
                stored.iter().filter(|stored| matcher.matches(stored)).map(StoredConversation::key).collect();
            prop_assert_eq!(&found, &expected, "{}", text);
            if !expected.is_empty() && expected.len() < stored.len() {
                telling.set(telling.get() + 1);
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(telling.get() * 4 > cases, "only {} of {cases} queries tell anything", telling.get());
}

/// What a person would say of the forms, not only that two parts of the program agree.
#[test]
fn attributes_are_found_by_path_and_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let options = WriterOptions { memory_bytes: 16 << 20, threads: 1 };
    let mut writer = Writer::open(folder.path(), Arc::new(RealDisk), options).unwrap();
    let one = |id: &str, attributes: &[&str], supplement| {
        let attributes = attributes.iter().map(|attribute| (*attribute).to_owned()).collect();
        let content =
            Conversation { conversation_id: Some(id.into()), attributes, supplement, ..Conversation::default() };
        let record = Record { file: "f".into(), sha256: "0".into(), record: 0, unproven: false };
        Revision { age_ms: 1, source: "data-access".into(), records: vec![record], content }
    };
    let customer = |id: &str| {
        format!(r#"{{"customerInfo":{{"customerInfo":{{"customerId":"{id}","customerStatus":"gold tier"}}}}}}"#)
    };
    for revision in [
        one("a", &[&customer("138766AC")], None),
        one("b", &[&customer("12345678901234567890123"), r#"{"cartStatus":{"total":150.5}}"#], None),
        one("c", &[r#"{"cartStatus":{"total":"-20","numItems":"3"}}"#, r#"{"lead":{"lead":{"topic":"gold"}}}"#], None),
        one("d", &[], None),
        one("s", &[&customer("138766AC")], Some(Supplement::WebSession)),
    ] {
        writer.add(revision).unwrap();
    }
    writer.commit(1).unwrap();
    writer.finish().unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    for (text, expected) in [
        ("sde.customerInfo.customerId:138766AC", "a"),
        ("sde.CUSTOMERINFO.customerid:138766ac", "a"),
        ("sde.customerInfo:138766AC", "a"),
        ("sde.customer:138766AC", ""),
        ("sde.customerInfo.customerId:12345678901234567890123", "b"),
        ("sde.customerInfo.customerId:1234567*", "b"),
        ("sde.customerInfo.customerId:/\\d{20,}/", "b"),
        ("sde.customerInfo.customerStatus:\"gold tier\"", "ab"),
        ("sde.customerInfo.customerStatus:\"tier gold\"", ""),
        ("sde:\"gold\"", "abc"),
        ("sde:\"gold tier\"", "ab"),
        ("sde.lead.topic:gold", "c"),
        ("sde.cartStatus.total:>100", "b"),
        ("sde.cartStatus.total:<0", "c"),
        ("sde.cartStatus.total:=150.5", "b"),
        ("sde.cartStatus:-20..3", "c"),
        ("sde.cartStatus.total:150..", "b"),
        ("sde.cartStatus.total:*", "bc"),
        ("sde.cartStatus.numItems:>=3 -sde.lead:gold", ""),
        ("has:sde", "abc"),
        ("-has:sde", "d"),
        ("type:web-session sde:138766AC", "s"),
        ("*", "abcd"),
    ] {
        let query = parse_located(text, &arbitrary::options()).unwrap_or_else(|error| panic!("{error}"));
        let request = SearchRequest {
            query,
            text: text.to_owned(),
            sort: None,
            reverse: false,
            limit: None,
            facets: Vec::new(),
            tz: TimeZone::UTC,
        };
        let answer = search(&reader, &request).unwrap_or_else(|error| panic!("{error}"));
        let mut ids: Vec<String> = (0..answer.hits.len())
            .map(|at| answer.hits.load(&reader, at, 0).unwrap().merged.conversation_id.unwrap())
            .collect();
        ids.sort();
        assert_eq!(ids.concat(), expected, "{text}");
    }
}
