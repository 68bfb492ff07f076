//! Engagement History over HTTP: the chats of the Data Access files, and the rules of the search.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::lab::{Lab, json, message};
use super::*;
use crate::simulator::TruthEngagement;

const PATH: &str = "/interaction_history/api/account/40112233/interactions/search";
const DAY_MS: i64 = 86_400_000;

fn truths(lab: &Lab) -> BTreeMap<String, TruthEngagement> {
    let (world, now_ms) = (lab.simulator.world(), lab.simulator.now_ms());
    let all = (0..world.config().conversations).filter_map(|index| world.engagement(index, now_ms));
    all.map(|one| (one.id.clone(), one)).collect()
}

fn days(lab: &Lab, days: i64) -> Value {
    let now_ms = lab.simulator.now_ms();
    json!({ "from": now_ms - days * DAY_MS, "to": now_ms })
}

async fn search(lab: &Lab, query: &str, body: &Value) -> Value {
    let response = lab.post(&format!("{PATH}?source=LP_Test{query}"), body).await;
    assert_eq!(response.status(), 200, "{query} {body}");
    json(response).await
}

async fn pages(lab: &Lab, query: &str, body: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let found = search(lab, &format!("{query}&limit=100&offset={}", all.len()), body).await;
        let page = found["interactionHistoryRecords"].as_array().unwrap();
        all.extend(page.iter().cloned());
        let next = &found["_metadata"]["next"]["href"];
        if next.is_null() {
            assert_eq!(found["_metadata"]["count"], all.len());
            return all;
        }
        assert!(next.as_str().unwrap().ends_with(&format!("?limit=100&offset={}", all.len())));
    }
}

async fn lab(rules: Vec<Rule>) -> Lab {
    let script = Script { rules, late: Vec::new() };
    Lab::new(SimulatorConfig { world: small(400), script, ..SimulatorConfig::default() }).await
}

#[tokio::test]
async fn they_are_the_chats_of_the_data_access_files() {
    let lab = lab(Vec::new()).await;
    lab.simulator.set_now_ms(lab.simulator.now_ms() + 2 * DAY_MS);
    let found = pages(&lab, "&sort=start:asc", &json!({ "start": days(&lab, 7), "ended": true })).await;
    let files = lab.simulator.world().conversations();
    let files = files.filter(|chat| !chat.messaging).filter_map(|chat| chat.id.clone().map(|id| (id, chat)));
    let mut files: BTreeMap<String, TruthConversation> = files.collect();
    let starts: Vec<i64> = found.iter().map(|record| record["info"]["startTimeL"].as_i64().unwrap()).collect();
    assert!(starts.is_sorted() && found.len() > 300);
    let mut cut = 0;
    for record in &found {
        let info = &record["info"];
        let chat = files.remove(info["engagementId"].as_str().unwrap()).unwrap();
        assert_eq!(info["startTimeL"], chat.connect_ms);
        assert_eq!(info["chatRequestedTimeL"], chat.start_ms);
        assert_eq!(info["endTimeL"], chat.end_ms);
        assert_eq!(info["skillId"].as_i64(), chat.skills.last().copied());
        assert_eq!(info["endReason"], chat.end_reason.to_string());
        assert_eq!(info["chatMCS"].as_u64(), chat.mcs.map(u64::from));
        assert_eq!(info["chatDataEnriched"], true);
        assert!(record.get("transfers").is_none() && record["sdes"]["events"].as_array().unwrap().len() == 2);
        let mut lines = record["transcript"]["lines"].as_array().unwrap().clone();
        if info["isPartial"] == true {
            cut += 1;
            assert!(lines.len() < chat.messages.len());
            let whole = search(&lab, "", &json!({ "engagementId": info["engagementId"] })).await;
            assert_eq!(whole["_metadata"]["count"], 1);
            let whole = &whole["interactionHistoryRecords"][0];
            assert_eq!(whole["info"]["isPartial"], false);
            lines.clone_from(whole["transcript"]["lines"].as_array().unwrap());
        }
        assert_eq!(lines.len(), chat.messages.len());
        for (line, message) in lines.iter().zip(&chat.messages) {
            assert_eq!(line["text"], *message.text);
            assert_eq!(line["by"], *message.by);
            assert_eq!(line["timeL"], message.at_ms);
            assert_eq!(line["subType"] == "ONLY_TO_REP", message.role == '5');
        }
    }
    assert!((1..40).contains(&cut), "{cut} cut");
    assert!(files.is_empty(), "{} chats are missing", files.len());
}

#[tokio::test]
async fn the_wire_says_what_the_truth_says() {
    let lab = lab(Vec::new()).await;
    let truths = truths(&lab);
    let found = pages(&lab, "", &json!({ "start": days(&lab, 7) })).await;
    assert_eq!(found.len(), truths.len());
    let mut answers = 0;
    for record in &found {
        let truth = &truths[record["info"]["engagementId"].as_str().unwrap()];
        assert_eq!(record["info"]["chatDataEnriched"], truth.enriched);
        let events = record["sdes"]["events"].as_array();
        let customer = events.map(|events| events[0]["customerInfo"]["customerInfo"]["customerId"].clone());
        assert_eq!(customer.as_ref().and_then(Value::as_str), truth.customer_id.as_deref());
        let surveys =
            ["preChat", "postChat", "operator"].map(|name| record["surveys"][name].as_array().unwrap().clone());
        let told: Vec<String> =
            surveys.concat().iter().map(|answer| answer["value"].as_str().unwrap().to_owned()).collect();
        assert_eq!(told, truth.answers);
        answers += told.len();
        let lines = record["transcript"]["lines"].as_array().unwrap();
        let lines = lines.iter().map(|line| line["text"].as_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(lines, truth.lines[..lines.len()]);
        assert_eq!(record["info"]["isPartial"], truth.cut);
        assert_eq!(lines.len() < truth.lines.len(), truth.cut);
    }
    assert!(answers > 50);
    let kinds = found.iter().filter_map(|record| record["sdes"]["events"].as_array()).flatten();
    let kinds: BTreeSet<&String> = kinds.flat_map(|event| event.as_object().unwrap().keys()).collect();
    for kind in ["customerInfo", "personalInfo", "viewProduct", "formFillingError", "purchase"] {
        assert!(kinds.contains(&kind.to_owned()), "{kind}");
    }
}

#[tokio::test]
async fn a_chat_appears_and_is_enriched_later() {
    let lab = lab(Vec::new()).await;
    let chat = truths(&lab).into_values().find(|chat| chat.enriched).unwrap();
    let body = json!({ "engagementId": chat.id, "start": { "from": 0, "to": 1 } });
    let mut seen = Vec::new();
    for after_ms in [-1, 299_999, 300_000, 7_199_999, 7_200_000] {
        lab.simulator.set_now_ms(chat.end_ms + after_ms);
        let found = search(&lab, "", &body).await;
        let record = &found["interactionHistoryRecords"][0];
        seen.push((found["_metadata"]["count"].as_u64().unwrap(), record["info"]["chatDataEnriched"].as_bool()));
        assert_eq!(record.get("sdes").is_some(), after_ms == 7_200_000);
    }
    assert_eq!(seen, [(0, None), (0, None), (1, Some(false)), (1, Some(false)), (1, Some(true))]);
}

#[tokio::test]
async fn wrong_requests_are_refused_and_faults_are_as_ordered() {
    let rules = vec![
        Rule { times: 2, ..Rule::always(Target::HistorySearch, Fault::PartialResult) },
        Rule { skip: 2, ..Rule::once(Target::HistorySearch, Fault::NotYet) },
        Rule { skip: 3, ..Rule::once(Target::HistorySearch, Fault::WithoutRecords) },
        Rule { skip: 4, ..Rule::once(Target::HistorySearch, Fault::NoContent) },
    ];
    let lab = lab(rules).await;
    let body = json!({ "start": days(&lab, 7) });
    let all = truths(&lab).len() as u64;
    let mut counts = Vec::new();
    for partial in [true, true, false] {
        let found = search(&lab, "&sort=duration:desc,start:asc&limit=7", &body).await;
        let shards = &found["_metadata"]["shardsStatusResult"];
        assert_eq!((&shards["partialResult"], &shards["totalShards"]), (&json!(partial), &json!(6)));
        assert_eq!(shards["failureShards"].as_u64() > Some(0), partial);
        counts.push(found["_metadata"]["count"].as_u64().unwrap());
        let durations = found["interactionHistoryRecords"].as_array().unwrap();
        let durations: Vec<i64> = durations.iter().map(|record| record["info"]["duration"].as_i64().unwrap()).collect();
        assert!(durations.is_sorted_by(|left, right| left >= right) && durations.len() == 7);
    }
    assert!(counts[0] < all * 3 / 4 && counts[2] == all - 1, "{counts:?} of {all}");
    assert!(search(&lab, "", &body).await.get("interactionHistoryRecords").is_none());
    let nothing = json!({ "start": { "from": 0, "to": 1 } });
    assert_eq!(lab.post(&format!("{PATH}?source=a"), &nothing).await.status(), 204);
    assert_eq!(search(&lab, "", &nothing).await["_metadata"]["count"], 0);
    let interactive = search(&lab, "", &json!({ "start": days(&lab, 7), "interactive": true })).await;
    assert!(interactive["_metadata"]["count"].as_u64().unwrap() < all);
    for (query, body) in [
        ("", &body),
        ("?source=a&sort=start", &body),
        ("?source=a&sort=mcs:asc", &body),
        ("?source=a", &json!({ "start": days(&lab, 32) })),
        ("?source=a", &json!({})),
        ("?source=a", &json!({ "start": days(&lab, 1), "keyword": "refund" })),
    ] {
        assert_eq!(message(lab.post(&format!("{PATH}{query}"), body).await).await.0, 400, "{query} {body}");
    }
}
