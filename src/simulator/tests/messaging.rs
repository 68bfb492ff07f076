//! Messaging Interactions over HTTP: each rule of its pages, and the faults.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::lab::{Lab, json, message};
use super::*;
use crate::simulator::messaging::{MASK, Role, TruthMessaging, TruthTurn};

const BASE: &str = "/messaging_history/api/account/40112233/conversations";
const DAY_MS: i64 = 86_400_000;

async fn lab_with(rules: Vec<Rule>, messaging: MessagingConfig) -> Lab {
    let script = Script { rules, late: Vec::new() };
    Lab::new(SimulatorConfig { world: small(5), script, messaging, ..SimulatorConfig::default() }).await
}

async fn lab(rules: Vec<Rule>) -> Lab {
    lab_with(rules, MessagingConfig { conversations: 260, ..MessagingConfig::default() }).await
}

fn truth(lab: &Lab) -> Vec<TruthMessaging> {
    lab.simulator.messaging().truth(lab.simulator.now_ms()).collect()
}

fn all_starts(lab: &Lab) -> Value {
    json!({ "from": lab.simulator.now_ms() - 31 * DAY_MS, "to": -1 })
}

async fn search(lab: &Lab, query: &str, body: &Value) -> Value {
    let response = lab.post(&format!("{BASE}/search?source=LP_Test{query}"), body).await;
    assert_eq!(response.status(), 200, "{query} {body}");
    json(response).await
}

async fn by_ids(lab: &Lab, query: &str, ids: &[String], content: &[&str]) -> Value {
    let body = json!({ "conversationIds": ids, "contentToRetrieve": content });
    let response = lab.post(&format!("{BASE}/conversation/search?source=LP_Test{query}"), &body).await;
    assert_eq!(response.status(), 200);
    json(response).await
}

fn records(found: &Value) -> &Vec<Value> {
    found["conversationHistoryRecords"].as_array().unwrap()
}

fn ids(found: &Value) -> Vec<String> {
    records(found).iter().map(|record| record["info"]["conversationId"].as_str().unwrap().to_owned()).collect()
}

/// Every page, in order.
async fn pages(lab: &Lab, query: &str, body: &Value) -> (u64, Vec<Value>) {
    let mut all = Vec::new();
    loop {
        let found = search(lab, &format!("{query}&limit=100&offset={}", all.len()), body).await;
        let page = records(&found).clone();
        let count = found["_metadata"]["count"].as_u64().unwrap();
        all.extend(page.iter().cloned());
        if page.len() < 100 {
            return (count, all);
        }
    }
}

/// Texts of a message, wherever its variant keeps them; JSON strings are opened.
fn texts(message: &Value) -> Vec<String> {
    let data = &message["messageData"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let inner = |value: &Value| serde_json::from_str::<Value>(value.as_str().unwrap()).unwrap();
    let mut found = Vec::new();
    if !data["msg"].is_null() {
        found.push(text(&data["msg"]["text"]));
    }
    if !data["quickReplies"].is_null() {
        let replies = inner(&data["quickReplies"]["content"]);
        found.extend(replies["replies"].as_array().unwrap().iter().map(|reply| text(&reply["title"])));
    }
    if !data["richContent"].is_null() {
        let elements = inner(&data["richContent"]["content"])["elements"].clone();
        found.extend([text(&elements[0]["text"]), text(&elements[2]["title"])]);
    }
    if !data["file"].is_null() {
        found.push(text(&data["file"]["caption"]));
    }
    if !data["link"].is_null() {
        found.extend([text(&data["link"]["externalFileLink"]), text(&data["link"]["caption"])]);
    }
    if !data["secureForm"].is_null() {
        found.push(text(&data["secureForm"]["formName"]));
    }
    found
}

/// Data of an attribute event, wherever the nesting put them.
fn sde_value(event: &Value, path: &str) -> Value {
    let (name, rest) = path.split_once('.').unwrap();
    let outer = &event[name];
    let mut value = if outer[name].is_object() { &outer[name] } else { outer };
    for key in rest.split('.') {
        if let Some(items) = value.as_array() {
            value = items.first().unwrap();
        }
        value = &value[key];
    }
    value.as_array().map_or(value, |items| &items[0]).clone()
}

#[tokio::test]
async fn the_wire_by_id_says_what_the_truth_says() {
    let lab = lab(Vec::new()).await;
    let truths: BTreeMap<String, TruthMessaging> = truth(&lab).into_iter().map(|one| (one.id.clone(), one)).collect();
    let ids: Vec<String> = truths.keys().cloned().collect();
    let content = ["messageRecords", "messageStatuses", "sdes", "unAuthSdes", "transfers", "summary", "dialogs"];
    let mut seen = 0;
    for hundred in ids.chunks(100) {
        let found = by_ids(&lab, "&v=2", hundred, &content).await;
        for record in records(&found) {
            seen += 1;
            let info = &record["info"];
            let truth = &truths[info["conversationId"].as_str().unwrap()];
            assert_eq!(info["status"], truth.status);
            assert_eq!(info["isPartial"], false);
            assert_eq!(info["mcs"].as_u64(), truth.mcs.map(u64::from));
            let csat = if info["csat"].is_null() { &info["csatRate"] } else { &info["csat"] };
            assert_eq!(csat.as_u64(), truth.csat.map(u64::from));
            let end = (info["conversationEndTime"].as_str().unwrap(), info["conversationEndTimeL"].as_i64().unwrap());
            assert_eq!(end.1, truth.close_ms.unwrap_or(-1));
            assert_eq!(end.0 == "undefined", truth.close_ms.is_none());
            let messages = record["messageRecords"].as_array().unwrap();
            assert_eq!(messages.len(), truth.messages.len());
            for (message, turn) in messages.iter().zip(&truth.messages) {
                assert_eq!(texts(message), turn.texts);
                assert_eq!(message["type"], turn.content_type);
                assert_eq!(message["messageId"], *turn.message_id);
                assert_eq!(message["timeL"], turn.at_ms);
                assert_eq!(message["audience"] == "AGENTS_AND_MANAGERS", turn.role == Role::Note);
                assert_eq!(message["sentBy"] == "Consumer", turn.role == Role::Consumer);
            }
            for status in record["messageStatuses"].as_array().unwrap() {
                let message = messages.iter().find(|message| message["messageId"] == status["messageId"]).unwrap();
                let by_sender = status["messageDeliveryStatus"] == "SENT";
                assert_eq!(status["participantId"] == message["participantId"], by_sender);
                assert!(status["timeL"].as_i64() >= message["timeL"].as_i64());
            }
            let transfers = record["transfers"].as_array().unwrap();
            let reasons: Vec<_> = transfers.iter().map(|moved| moved["reason"].as_str().unwrap()).collect();
            assert_eq!(reasons, truth.transfers.iter().map(|moved| moved.2).collect::<Vec<_>>());
            assert_eq!(record["summary"]["text"].as_str().unwrap(), truth.summary.as_deref().unwrap_or(""));
            for (list, authenticated) in [("sdes", true), ("unAuthSdes", false)] {
                let events = record[list]["events"].as_array().unwrap();
                let expected: Vec<_> = truth.sdes.iter().filter(|sde| sde.authenticated == authenticated).collect();
                assert_eq!(events.len(), expected.len());
                for (event, sde) in events.iter().zip(expected) {
                    assert_eq!(event["serverTimeStamp"].as_i64(), Some(sde.at_ms));
                    assert_eq!(event["isAuthenticated"] == false, !authenticated);
                    let (path, value) = &sde.values[0];
                    let shown = sde_value(event, path);
                    assert_eq!(shown.as_str().map_or_else(|| shown.to_string(), str::to_owned), *value);
                }
            }
        }
    }
    assert_eq!(seen, truths.len());
    assert!(seen > 200);
}

#[tokio::test]
async fn every_kind_occurs() {
    let lab = lab(Vec::new()).await;
    let all = truth(&lab);
    let turns = || all.iter().flat_map(|one| &one.messages);
    let kinds: BTreeSet<&str> = turns().map(|turn| turn.content_type).collect();
    assert_eq!(kinds.len(), 7, "{kinds:?}");
    let roles: BTreeSet<Role> = turns().map(|turn| turn.role).collect();
    assert_eq!(roles.len(), 5);
    let reasons: BTreeSet<&str> = all.iter().flat_map(|one| &one.transfers).map(|moved| moved.2).collect();
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    let paths = all.iter().flat_map(|one| &one.sdes).flat_map(|sde| &sde.values);
    let names: BTreeSet<&str> = paths.map(|(path, _)| path.split('.').next().unwrap()).collect();
    assert_eq!(names.len(), 10, "{names:?}");
    let open = all.iter().filter(|one| one.status == "OPEN").count();
    assert!(open > 3 && open < all.len() / 2, "{open} open");
    assert!(all.iter().any(|one| one.erased) && all.iter().any(|one| one.cut));
    assert!(all.iter().any(|one| one.latest_change_ms > one.latest_update_ms));
    assert!(turns().any(|turn| !turn.texts[0].is_ascii()));
    let world = lab.simulator.messaging();
    assert!(all.iter().all(|one| world.index_of(&one.id) == Some(one.index)));
    assert_eq!(world.index_of("3f0e7c52-7a1b-4d0e-9c35-2f7f0a6bd001"), None);
    assert_eq!(world.index_of("über"), None);
    assert!(all.is_sorted_by_key(|one| one.start_ms));
}

#[tokio::test]
async fn pages_add_up_in_every_order() {
    let lab = lab(Vec::new()).await;
    let body = json!({ "start": all_starts(&lab), "contentToRetrieve": ["summary"] });
    let expected: BTreeSet<String> = truth(&lab).into_iter().map(|one| one.id).collect();
    for sort in ["start:asc", "start:desc", "end:asc", "end:desc"] {
        let (count, all) = pages(&lab, &format!("&sort={sort}"), &body).await;
        let found: BTreeSet<String> =
            all.iter().map(|record| record["info"]["conversationId"].as_str().unwrap().to_owned()).collect();
        assert_eq!((count as usize, &found), (expected.len(), &expected), "{sort}");
        let key = if sort.starts_with("start") { "startTimeL" } else { "endTimeL" };
        let ended = all.iter().map(|record| record["info"][key].as_i64().unwrap()).filter(|&at_ms| at_ms > 0);
        let ended: Vec<i64> = ended.collect();
        let descending = sort.ends_with("desc");
        assert!(ended.is_sorted_by(|left, right| if descending { left >= right } else { left <= right }), "{sort}");
    }
    let usual = search(&lab, "", &body).await;
    assert_eq!(records(&usual).len(), 50);
    assert_eq!(usual["_metadata"]["shardsStatusResult"]["partialResult"], false);
    assert!(usual["_metadata"]["self"]["href"].as_str().unwrap().ends_with("/conversations/search?limit=50&offset=0"));
}

#[tokio::test]
async fn windows_are_rounded_to_ten_minutes() {
    let lab = lab(Vec::new()).await;
    let all = truth(&lab);
    let one = &all[all.len() / 2];
    let bucket_ms = one.start_ms - one.start_ms.rem_euclid(600_000);
    let within = |found: &Value| ids(found).contains(&one.id);
    for (from_ms, to_ms, expected) in [
        (bucket_ms + 599_999, bucket_ms + 599_999, true),
        (bucket_ms + 1, bucket_ms + 1, true),
        (bucket_ms + 600_000, bucket_ms + 700_000, false),
        (bucket_ms - 700_000, bucket_ms - 600_001, false),
    ] {
        let body = json!({ "start": { "from": from_ms.to_string(), "to": to_ms } });
        assert_eq!(within(&search(&lab, "&limit=100", &body).await), expected, "{}", from_ms - bucket_ms);
    }
    let update = one.latest_update_ms - one.latest_update_ms.rem_euclid(600_000);
    for (from_ms, expected) in [(update + 599_999, true), (update + 600_000, false)] {
        let body =
            json!({ "start": { "from": bucket_ms, "to": bucket_ms + 1 }, "latestUpdateTime": { "from": from_ms } });
        assert_eq!(within(&search(&lab, "&limit=100", &body).await), expected);
    }
    for status in ["OPEN", "CLOSE"] {
        let (_, found) = pages(&lab, "", &json!({ "start": all_starts(&lab), "status": [status] })).await;
        assert!(found.iter().all(|record| record["info"]["status"] == status));
        assert_eq!(found.len(), all.iter().filter(|one| one.status == status).count());
    }
    let closed = all.iter().rfind(|one| one.close_ms.is_some()).unwrap();
    let end = json!({ "from": closed.close_ms, "to": closed.close_ms.unwrap() + 100 * 3_600_000 });
    let (_, found) = pages(&lab, "", &json!({ "start": all_starts(&lab), "end": end })).await;
    assert!(found.iter().any(|record| record["info"]["conversationId"] == *closed.id));
    assert!(found.iter().all(|record| record["info"]["endTimeL"].as_i64().unwrap() > 0));
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let lab = lab(Vec::new()).await;
    let start = all_starts(&lab);
    let good = json!({ "start": start });
    let queries = ["", "?source=", "?source=LP_Test_with_more_than", "?source=a&limit=101", "?source=a&offset=-1"];
    let more = ["?source=a&sort=start", "?source=a&sort=mcs:asc", "?source=a&v=3", "?source=a&offset=9901&limit=100"];
    for query in queries.into_iter().chain(more) {
        let response = lab.post(&format!("{BASE}/search{query}"), &good).await;
        assert_eq!(message(response).await.0, 400, "{query}");
    }
    let year = json!({ "from": 0, "to": 365 * DAY_MS });
    for body in [
        json!({}),
        json!([]),
        json!({ "start": { "from": 1 } }),
        json!({ "start": year }),
        json!({ "start": start, "status": ["CLOSED"] }),
        json!({ "start": start, "status": "OPEN" }),
        json!({ "start": start, "latestUpdateTime": {} }),
        json!({ "start": start, "keyword": "refund" }),
    ] {
        let response = lab.post(&format!("{BASE}/search?source=a"), &body).await;
        assert_eq!(message(response).await.0, 400, "{body}");
    }
    let many = vec!["x"; 101];
    for body in [json!({}), json!({ "conversationIds": many })] {
        let response = lab.post(&format!("{BASE}/conversation/search?source=a"), &body).await;
        assert_eq!(message(response).await.0, 400);
    }
    let unknown = by_ids(&lab, "", &["nobody".to_owned()], &["sdes"]).await;
    assert_eq!(unknown["_metadata"]["count"], 0);
}

#[tokio::test]
async fn content_is_what_was_named_or_the_defaults() {
    let lab = lab(Vec::new()).await;
    let keys = |record: &Value| record.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let start = all_starts(&lab);
    let found = search(&lab, "&v=2&limit=100", &json!({ "start": start })).await;
    let named = ["dialogs", "monitoring", "unAuthSdes", "responseTime", "skillChanges", "intents", "uniqueIntents"];
    let named = [&named[..], &["latestAgentSurvey", "previouslySubmittedAgentSurveys"]].concat();
    for record in records(&found) {
        assert_eq!(keys(record).len(), 15);
        assert!(keys(record).contains("sdes") && !named.iter().any(|name| keys(record).contains(*name)));
    }
    let body = json!({ "start": start, "contentToRetrieve": named });
    let found = search(&lab, "&v=2&limit=100", &body).await;
    assert!(records(&found).iter().all(|record| keys(record).len() == 10));
    let first = search(&lab, "&v=1&limit=100", &body).await;
    assert!(records(&first).iter().all(|record| record.get("unAuthSdes").is_none()));
}

#[tokio::test]
async fn lists_tell_less_than_ids() {
    let cut = MessagingConfig { conversations: 200, cut_permille: 400, ..MessagingConfig::default() };
    let lab = lab_with(Vec::new(), cut).await;
    let truths: BTreeMap<String, TruthMessaging> = truth(&lab).into_iter().map(|one| (one.id.clone(), one)).collect();
    let body = json!({ "start": all_starts(&lab), "contentToRetrieve": ["messageRecords", "sdes", "unAuthSdes"] });
    let (_, all) = pages(&lab, "&v=2", &body).await;
    let (mut partial, mut lost) = (Vec::new(), 0);
    for record in &all {
        let truth = &truths[record["info"]["conversationId"].as_str().unwrap()];
        let shown = record["messageRecords"].as_array().unwrap().len();
        if record["info"]["isPartial"] == true {
            partial.push(truth.id.clone());
            assert!(truth.cut && (shown < truth.messages.len() || shown == 1));
        } else {
            assert_eq!(shown, truth.messages.len());
        }
        let auth = truth.sdes.iter().filter(|sde| sde.authenticated);
        let events = record["sdes"]["events"].as_array().unwrap();
        assert_eq!(events.len(), auth.clone().count().min(1));
        assert_eq!(
            events.first().and_then(|event| event["serverTimeStamp"].as_i64()),
            auth.clone().next_back().map(|sde| sde.at_ms)
        );
        lost += usize::from(auth.count() > 1);
    }
    assert!(partial.len() > 20 && lost > 20);
    partial.truncate(100);
    let whole = by_ids(&lab, "&v=1", &partial, &["messageRecords", "sdes"]).await;
    assert_eq!(records(&whole).len(), partial.len());
    for record in records(&whole) {
        let truth = &truths[record["info"]["conversationId"].as_str().unwrap()];
        assert_eq!(record["info"]["isPartial"], false);
        assert_eq!(record["messageRecords"].as_array().unwrap().len(), truth.messages.len());
        for event in record["sdes"]["events"].as_array().unwrap() {
            assert!(event["serverTimeStamp"].is_string(), "version 1 knows strings only");
        }
    }
}

#[tokio::test]
async fn a_conversation_lives_on_after_its_end() {
    let lab = lab_with(Vec::new(), MessagingConfig { conversations: 2_000, ..MessagingConfig::default() }).await;
    let world = lab.simulator.messaging();
    let now_ms = lab.simulator.now_ms();
    let before: BTreeMap<String, TruthMessaging> = truth(&lab).into_iter().map(|one| (one.id.clone(), one)).collect();
    lab.simulator.set_now_ms(now_ms + DAY_MS);
    let after = truth(&lab);
    assert!(after.len() > before.len());
    let changed: Vec<_> = after.iter().filter(|one| before.get(&one.id).is_some_and(|old| old != *one)).collect();
    let learned = |one: &&TruthMessaging| {
        let old = &before[&one.id];
        let late = (one.mcs, one.csat, one.summary.is_some()) != (old.mcs, old.csat, old.summary.is_some());
        old.status == "CLOSE" && late
    };
    assert!(changed.iter().any(learned));
    let body = json!({ "start": all_starts(&lab), "latestUpdateTime": { "from": now_ms } });
    let (_, found) = pages(&lab, "", &body).await;
    let found: BTreeSet<&str> = found.iter().map(|record| record["info"]["conversationId"].as_str().unwrap()).collect();
    let asked_ms = now_ms - now_ms.rem_euclid(600_000);
    for one in after {
        assert_eq!(found.contains(one.id.as_str()), one.latest_update_ms >= asked_ms, "{}", one.id);
    }
    let erased = (0..world.config().conversations)
        .filter_map(|index| world.conversation(index, now_ms + 60 * DAY_MS))
        .find(|one| one.erased && one.close_ms.is_some_and(|at_ms| at_ms < now_ms))
        .unwrap();
    let messages = |at_ms: i64| world.conversation(erased.index, at_ms).unwrap().messages;
    let closed_ms = erased.close_ms.unwrap() + DAY_MS;
    assert!(messages(closed_ms).iter().all(|turn| turn.texts[0] != MASK));
    let masked = |turn: &TruthTurn| turn.texts[0] == MASK || turn.content_type.starts_with("SECURE_FORM");
    assert!(erased.messages.iter().all(masked));
    assert_eq!(messages(closed_ms).len(), erased.messages.len());
}

#[tokio::test]
async fn shards_fail_as_often_as_ordered() {
    let rule = Rule { times: 2, ..Rule::always(Target::MessagingSearch, Fault::PartialResult) };
    let lab = lab(vec![rule]).await;
    let body = json!({ "start": all_starts(&lab), "contentToRetrieve": ["summary"] });
    let mut counts = Vec::new();
    for partial in [true, true, false] {
        let found = search(&lab, "&limit=100", &body).await;
        assert_eq!(found["_metadata"]["shardsStatusResult"]["partialResult"], partial);
        counts.push(found["_metadata"]["count"].as_u64().unwrap());
    }
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0] < counts[2] && counts[2] == truth(&lab).len() as u64);
}

#[tokio::test]
async fn a_newcomer_shifts_the_pages() {
    let lab = lab(vec![Rule::once(Target::MessagingSearch, Fault::NotYet)]).await;
    let body = json!({ "start": all_starts(&lab), "contentToRetrieve": ["summary"] });
    let first = search(&lab, "&sort=start:asc&limit=100", &body).await;
    let second = search(&lab, "&sort=start:asc&limit=100&offset=100", &body).await;
    let count = |found: &Value| found["_metadata"]["count"].as_u64().unwrap();
    assert_eq!(count(&first) + 1, count(&second));
    assert_eq!(ids(&first).last(), ids(&second).first(), "the last of the first page comes again");
    assert!(!ids(&first).contains(&truth(&lab)[0].id));
}

#[tokio::test]
async fn answers_break_as_ordered() {
    let faults = [Fault::Status(429), Fault::Html200, Fault::WithoutRecords, Fault::TruncatedJson, Fault::CutBody];
    let rule = |(place, fault): (usize, &Fault)| Rule {
        skip: place as u64,
        ..Rule::once(Target::MessagingSearch, fault.clone())
    };
    let mut rules: Vec<Rule> = faults.iter().enumerate().map(rule).collect();
    rules.push(Rule { skip: 5, ..Rule::always(Target::MessagingSearch, Fault::NoContent) });
    let lab = lab(rules).await;
    let body = json!({ "start": all_starts(&lab) });
    let ask = async |body: &Value| lab.post(&format!("{BASE}/search?source=a&limit=5"), body).await;
    assert_eq!(ask(&body).await.status(), 429);
    assert!(ask(&body).await.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    let without = json(ask(&body).await).await;
    assert!(without.get("conversationHistoryRecords").is_none() && without["_metadata"]["count"].as_u64() > Some(0));
    assert!(serde_json::from_slice::<Value>(&ask(&body).await.bytes().await.unwrap()).is_err());
    assert!(ask(&body).await.bytes().await.is_err());
    let nothing = json!({ "start": { "from": 0, "to": 1 } });
    assert_eq!(ask(&nothing).await.status(), 204);
    assert_eq!(ask(&body).await.status(), 200);
    assert_eq!(lab.simulator.requests().messaging_search, 7);
}
