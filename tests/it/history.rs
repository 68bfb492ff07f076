//! The history APIs' answers, surveys, web sessions and agent activity: from files to answers, as a user types it.

use crate::support::{Vault, temp_folder};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::Path;

const ACCOUNT: &str = "40112233";
const MASK: &str = "** LP deleted data **";

fn answer(stream: &str, received_ms: i64, body: &Value) -> String {
    let head = json!({ "type": "api-answer", "format": 1, "stream": stream, "call": "conversations/search", "received_ms": received_ms,
        "request": { "method": "POST", "url": "https://lo.msghist.liveperson.net/x?v=2" }, "status": 200 });
    // `body` is the last key of the format; serde_json would sort it to the front.
    let head = head.to_string();
    format!("{},\"body\":{body}}}\n", head.strip_suffix('}').unwrap())
}

/// A messaging conversation; `texts` are lines of the consumer and the agent in turn.
fn messaging(id: &str, start_ms: i64, texts: &[&str]) -> Value {
    let lines = texts.iter().enumerate().map(|(at, text)| {
        let (writer, sent_by) = if at % 2 == 0 { ("con-1", "Consumer") } else { ("9001", "Agent") };
        json!({ "type": "TEXT_PLAIN", "messageData": { "msg": { "text": text } }, "messageId": format!("{id}:{at}"),
            "participantId": writer, "timeL": start_ms + at as i64 * 1000, "sentBy": sent_by, "audience": "ALL" })
    });
    json!({
        "info": { "conversationId": id, "brandId": ACCOUNT, "status": "CLOSE", "startTimeL": start_ms, "endTimeL": start_ms + 60_000,
            "closeReason": "CONSUMER", "csatRate": 5, "latestSkillId": 77, "latestSkillName": "Late parcels",
            "latestAgentId": "9001", "latestAgentNickname": "Tove", "latestAgentFullName": "Tove Berg" },
        "messageRecords": lines.collect::<Vec<_>>(),
        "consumerParticipants": [ { "participantId": "con-1", "firstName": "Ada" } ],
        "summary": { "text": "lamp arrived broken" },
        "sdes": { "events": [ { "customerInfo": { "serverTimeStamp": "5", "customerInfo": { "customerId": "138766AC", "customerStatus": "gold" } } } ] },
        "unAuthSdes": { "events": [ { "cartStatus": { "serverTimeStamp": 6, "total": 250.75 }, "isAuthenticated": false } ] }
    })
}

fn data_access(kind: &str, branch: &str, body: Value) -> String {
    let record = json!({ "dataType": { "com.liveperson.dataaccess.DataTypeEnum": kind }, "metaData": { "accountId": { "string": ACCOUNT } },
        "recordCollection": [ { "body": { format!("com.liveperson.dataaccess.{branch}"): body } } ] });
    format!("{record}\n")
}

fn put(folder: &Path, name: &str, text: &str) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    fs::write(folder.join(name), encoder.finish().unwrap()).unwrap();
}

/// A vault with one of everything.
fn vault() -> Vault {
    let start = 1_790_000_000_000_i64;
    let folder = temp_folder();
    let path = folder.path();
    let first = messaging("msg-1", start, &["my lamp is broken", "so sorry", "please refund it"]);
    let mut masked = messaging("msg-2", start, &[MASK, MASK]);
    masked["summary"]["text"] = json!(MASK);
    let early = json!({ "shardsStatusResult": { "partialResult": true }, "conversationHistoryRecords": [
        first.clone(), messaging("msg-2", start, &["the secret number is 4711", "thanks"]) ] });
    let late = json!({ "conversationHistoryRecords": [first, masked] });
    let text = answer("messaging-interactions", start + 100_000, &early)
        + &answer("messaging-interactions", start + 200_000, &late);
    put(path, "answers.ndjson.gz", &text);
    let header = json!({ "visitId": { "string": "V1.00" }, "visitorId": { "string": "vis-1" }, "contextId": null });
    let chat = data_access(
        "Engagement",
        "EngagementData",
        json!({ "engagements": [ { "type": "LIVE_CHAT", "conversationId": "chat-1",
        "conversationStartTime": start, "conversationEndTime": start + 50_000, "endReasonId": 205,
        "transcripts": [ { "text": "hello there", "timestamp": start + 1, "type": "0", "by": "Visitor", "messageId": "x" } ] } ] }),
    );
    put(path, "Engagement.1790000000000.1790003600000.part-00000-0.gz", &chat);
    let history = json!({ "interactionHistoryRecords": [ { "info": { "engagementId": "chat-1", "accountId": ACCOUNT, "startTimeL": start,
        "endTimeL": start + 50_000, "endReason": "210", "visitorId": "vis-1", "skillId": 12, "skillName": "Returns desk" },
        "transcript": { "lines": [ { "timeL": start + 1, "text": "hello there", "by": "Visitor", "source": "visitor" },
            { "timeL": start + 2, "text": "bye now", "by": "Mio", "source": "agent", "agentId": 71 } ] } } ] });
    put(path, "history.ndjson.gz", &answer("engagement-history", start + 300_000, &history));
    let survey = |id: Value, answer: &str| {
        json!({ "id": { "long": 9 }, "type": { "int": 2 }, "conversationId": id, "contents": { "array": [
        { "question": { "string": "How was it?" }, "answer": { "string": answer } } ] } })
    };
    put(
        path,
        "Survey.1790000000000.1790003600000.part-00000-0.gz",
        &data_access(
            "Survey",
            "SurveyData",
            json!({ "header": header, "surveys": { "array": [survey(json!({ "string": "chat-1" }), "splendid"), survey(Value::Null, "lonely")] } }),
        ),
    );
    put(
        path,
        "WebSession.1790000000000.1790003600000.part-00000-0.gz",
        &data_access(
            "WebSession",
            "WebSessionEngAttrsData",
            json!({ "header": header, "engagementAttributes": { "array": [ { "timestamp": { "long": start + 5 },
            "data": { "com.liveperson.dataaccess.CustomerInfo": { "customerId": { "string": "138766AC" } } } } ] } }),
        ),
    );
    let event = |time: i64, kind: i64, state: i64, previous: i64| {
        json!({ "agentID": { "long": 71 }, "type": { "long": kind },
        "state": { "long": state }, "timestamp": { "long": start + time }, "prevState": { "long": previous }, "agentNickname": { "string": "Mio" } })
    };
    put(
        path,
        "Agent.1790000000000.1790003600000.part-00000-0.gz",
        &data_access(
            "AgentActivity",
            "AgentActivityData",
            json!({ "header": { "agentSessionId": { "string": "s" } }, "agentSessionsData": { "array": [
            event(0, 3, 0, 1), event(1000, 0, 2, 1), event(61_000, 0, 4, 2), event(91_000, 4, 0, 4) ] } }),
        ),
    );
    let vault = Vault::new(ACCOUNT);
    let report = vault.json(&["import", &path.to_string_lossy()], 0);
    assert_eq!(report["import"]["imported"], 6, "{report:#}");
    vault
}

#[test]
fn everything_that_came_is_found() {
    let vault = vault();
    let found = |query: &str| -> Vec<String> {
        let answer = vault.json(&["search", query, "--limit", "all"], 0);
        assert_eq!(answer["coverage"]["complete"], true, "{query}");
        let mut keys: Vec<String> =
            answer["hits"].as_array().unwrap().iter().map(|hit| hit["key"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys.iter().map(|key| key.replace("40112233:", "")).collect()
    };
    for (query, expected) in [
        ("*", &["chat-1", "msg-1", "msg-2"][..]),
        ("consumer:\"please refund\"", &["msg-1"]),
        ("type:messaging", &["msg-1", "msg-2"]),
        ("source:messaging-interactions status:closed", &["msg-1", "msg-2"]),
        ("source:engagement-history source:data-access", &["chat-1"]),
        ("skill_name:parcels", &["msg-1", "msg-2"]),
        ("skill_name:\"returns desk\"", &["chat-1"]),
        ("agent_name:berg", &["msg-1", "msg-2"]),
        ("end_reason:consumer csat:5", &["msg-1", "msg-2"]),
        ("end_reason:210", &["chat-1"]),
        ("summary:lamp", &["msg-1"]),
        ("survey:splendid", &["chat-1"]),
        ("has:survey", &["chat-1"]),
        ("sde.customerInfo.customerId:138766AC", &["msg-1", "msg-2"]),
        ("sde:\"gold\" has:sde", &["msg-1", "msg-2"]),
        ("sde.cartStatus.total:>250", &["msg-1", "msg-2"]),
        ("sde.cartStatus.total:>251", &[]),
        ("has:masked", &["msg-2"]),
        // What LivePerson deleted is no longer found by its words.
        ("4711", &[]),
        ("has:revision", &["msg-2"]),
        ("type:web-session sde:138766AC", &["web-session:V1.00"]),
        ("type:web-session visit_id:V1.00", &["web-session:V1.00"]),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
    // What is left out is counted, also where the matcher has to decide.
    for (query, left_out) in
        [("*", 2), ("sde.customerInfo.customerId:138766AC", 1), ("survey:lonely", 1), ("lamp", 0), ("type:survey", 0)]
    {
        let answer = vault.json(&["search", query, "--count"], 0);
        assert_eq!(answer["not_conversations"], left_out, "{query}");
    }
    let noted = vault.run(&["search", "sde:138766AC", "--count"]).exits(0);
    assert!(noted.stderr.contains("type:web-session"), "{}", noted.stderr);
    let lonely = found("type:survey survey:lonely");
    assert!(lonely.len() == 1 && lonely[0].ends_with("#1"), "{lonely:?}");
    assert_eq!(
        vault.json(&["show", vault.json(&["search", "type:survey"], 0)["hits"][0]["key"].as_str().unwrap()], 0)["type"],
        "survey"
    );
}

#[test]
fn a_conversation_is_shown_with_what_its_sources_said() {
    let vault = vault();
    let shown = vault.json(&["show", "chat-1"], 0);
    assert_eq!(shown["sources"], json!(["data-access", "engagement-history"]));
    assert_eq!((&shown["revisions"], &shown["message_count"]), (&json!(2), &json!(2)));
    assert_eq!(shown["surveys"].as_array().unwrap().len(), 1);
    assert_eq!(shown["skill_names"]["12"], "Returns desk");
    assert_eq!(shown["web_sessions"][0]["key"], "40112233:web-session:V1.00");
    assert_eq!(shown["campaign"], Value::Null);
    assert_eq!(shown["web_sessions"].as_array().unwrap().len(), 1);
    let differing = vault.json(&["show", "chat-1", "--sources"], 0);
    let reasons = &differing["differing"]["end_reason"];
    assert_eq!((&reasons["data-access"]["id"], &reasons["engagement-history"]["id"]), (&json!(205), &json!(210)));
    assert_eq!(differing["differing"].get("account_id"), None, "what is the same is not printed");
    assert_eq!(differing["messages"]["engagement-history"]["only_here"], json!(["bye now"]));
    let text = vault.run(&["show", "chat-1", "--sources"]).exits(0).stdout;
    assert!(text.contains("end_reason") && text.contains("205") && text.contains("bye now"), "{text}");

    let message = vault.json(&["show", "msg-1"], 0);
    assert_eq!(message["sde_values"][0]["first_seen_time"], "2026-09-21T14:15:00.000Z");
    assert_eq!(message["sdes"].as_array().unwrap().len(), 2);
    assert_eq!((&message["revisions"], &message["closed_by"]), (&json!(1), &json!("CONSUMER")));
    assert_eq!(message["provenance"].as_array().unwrap().len(), 2, "received twice, one version");
    let text = vault.run(&["show", "msg-1"]).exits(0).stdout;
    assert!(text.contains("customerId=138766AC") && text.contains("first seen 2026-09-21"), "{text}");
}

#[test]
fn an_upstream_erasure_keeps_the_earlier_revision() {
    let vault = vault();
    let shown = vault.json(&["show", "msg-2"], 0);
    assert_eq!((&shown["masked"], &shown["revisions"]), (&json!(true), &json!(2)));
    assert!(shown["messages"].as_array().unwrap().iter().all(|message| message["text"] == MASK));
    let masked: Vec<&Value> = shown["provenance"].as_array().unwrap().iter().map(|record| &record["masked"]).collect();
    assert_eq!(masked, [false, true]);
    let revisions = vault.json(&["show", "msg-2", "--revisions"], 0);
    assert!(revisions.to_string().contains("4711"));
    assert!(vault.run(&["show", "msg-2"]).exits(0).stdout.contains("LivePerson has deleted personal data"));
}

/// A record of an answer is proven like any other: its bytes lie in the file where the proof says.
#[test]
fn a_record_of_an_answer_can_be_proven() {
    let vault = vault();
    let raw = vault.run(&["show", "msg-1", "--raw"]).exits(0).stdout;
    for line in raw.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["info"]["conversationId"], "msg-1");
    }
    let proof = vault.path().join("proof.json");
    vault.run(&["audit", "prove", "msg-1", "--out", &proof.to_string_lossy()]).exits(0);
    let document: Value = serde_json::from_str(&fs::read_to_string(&proof).unwrap()).unwrap();
    let records = document["records"].as_array().unwrap();
    assert_eq!((records.len(), &records[1]["record"]), (2, &json!(2)));
    let file = vault.path().join(records[0]["file"].as_str().unwrap());
    let checked = vault.run(&["audit", "check", &proof.to_string_lossy(), "--file", &file.to_string_lossy()]).exits(0);
    assert!(checked.stdout.contains("accepted"), "{}", checked.stdout);
}

#[test]
fn agents_states_add_up() {
    let vault = vault();
    let summary = vault.json(&["stats", "--stream", "data-access/agent-activity"], 0);
    assert_eq!((&summary["files"], &summary["events"]), (&json!(1), &json!(4)));
    let agent = &summary["agents"][0];
    assert_eq!((&agent["agent_id"], &agent["name"], &agent["sessions"]), (&json!("71"), &json!("Mio"), &json!(1)));
    assert_eq!(
        (&agent["online_ms"], &agent["away_ms"], &agent["offline_ms"]),
        (&json!(60_000), &json!(30_000), &json!(1000))
    );
    let text = vault.run(&["stats", "--stream", "data-access/agent-activity"]).exits(0).stdout;
    assert!(text.contains("71 Mio") && text.contains("1m 00s"), "{text}");
    let refused = vault.run(&["stats", "--stream", "data-access/engagement"]).exits(2);
    assert!(refused.stderr.contains("data-access/agent-activity"), "{}", refused.stderr);
}

/// The archive alone brings everything back.
#[test]
fn a_rebuilt_index_says_the_same() {
    let vault = vault();
    let all = |vault: &Vault| vault.json(&["search", "* OR type:survey OR type:web-session", "--limit", "all"], 0);
    let before = all(&vault);
    assert_eq!(before["total"]["value"], 5);
    vault.run(&["index", "--rebuild"]).exits(0);
    assert_eq!(all(&vault), before);
    vault.run(&["verify"]).exits(0);
}
