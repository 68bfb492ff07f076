//! Archived answers of the history APIs: one test per trap of the reference. All text is invented.

use super::{DecodeLimits, FileContext, FileReport, ProblemKind, decode_file, locate_record};
use crate::conversation::{Conversation, MASK, Revision, Role, StoredConversation, Supplement};
use base64::Engine as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::io::Cursor;

fn decode(text: impl AsRef<[u8]>) -> (Vec<Revision>, FileReport) {
    let context = FileContext {
        salvaged: None,
        path: "files/messaging-interactions/2026/11/20/a.ndjson.gz".into(),
        sha256: "0".repeat(64),
        window_start_ms: Some(1),
        account_id: "40112233".into(),
    };
    let mut found = Vec::new();
    let report = decode_file(Cursor::new(text.as_ref()), &context, DecodeLimits::default(), &mut |revision| {
        found.push(revision);
        true
    })
    .unwrap();
    assert_eq!(report.conversations, found.len() as u64);
    (found, report)
}

/// A line of the archive around a body that is one line of JSON.
fn line(stream: &str, received_ms: i64, body: &str) -> String {
    format!(
        r#"{{"type":"api-answer","format":1,"stream":"{stream}","call":"conversations/search","received_ms":{received_ms},"request":{{"method":"POST","url":"https://lo.msghist.liveperson.net/x?v=2","body":{{"start":{{"from":1}}}}}},"status":200,"response":{{"date":"x"}},"clock_offset_ms":1,"body_sha256":"{}","body":{body}}}"#,
        "0".repeat(64)
    ) + "\n"
}

fn messaging(received_ms: i64, records: &[Value]) -> String {
    let body = json!({ "_metadata": { "count": records.len() }, "conversationHistoryRecords": records });
    line("messaging-interactions", received_ms, &body.to_string())
}

fn only(record: Value) -> Conversation {
    let (mut found, report) = decode(messaging(5, &[record]));
    assert_eq!((found.len(), report.problems.total()), (1, 0), "{report:?}");
    found.remove(0).content
}

fn sample() -> Value {
    json!({
        "info": {
            "conversationId": "conv-1", "brandId": "40112233", "status": "CLOSE",
            "startTimeL": 1_790_000_000_000_i64, "startTime": "2026-09-21 14:13:20.000+0000",
            "endTimeL": 1_790_000_600_000_i64, "duration": 600_000, "csatRate": 4, "mcs": 61, "closeReason": "CONSUMER",
            "source": "APP", "device": "MOBILE", "latestSkillId": 77, "latestSkillName": "Late parcels",
            "latestAgentId": "9001", "latestAgentNickname": "Tove", "latestAgentFullName": "Tove Berg", "isPartial": false,
            "language": "nb-NO", "browser": "undefined", "ipAddress": "198.51.100.7"
        },
        "campaign": { "campaignId": "555", "campaignName": "Autumn help", "lobId": 12, "goalName": "NA" },
        "agentParticipants": [
            { "agentId": "9001", "agentNickname": "Tove", "agentFullName": "Tove Berg", "userType": "1", "userTypeName": "Human" },
            { "agentId": 9100, "agentNickname": "Helper", "userType": "2" },
            { "agentId": "9200", "agentNickname": "Router", "userTypeName": "System" }
        ],
        "consumerParticipants": [
            { "participantId": "c-1", "firstName": "Ada", "lastName": "undefined", "email": "ada@example.org", "phone": "0" }
        ],
        "messageRecords": [
            { "type": "TEXT_PLAIN", "messageData": { "msg": { "text": "where is my parcel" } }, "messageId": "m:0",
              "seq": 0, "dialogId": "conv-1", "participantId": "c-1", "timeL": 1_790_000_001_000_i64, "audience": "ALL", "sentBy": "Consumer" },
            { "type": "TEXT_PLAIN", "messageData": { "msg": { "text": "pick one" },
                "quickReplies": { "content": "{\"type\":\"quickReplies\",\"replies\":[{\"type\":\"button\",\"title\":\"Track it\",\"click\":{\"actions\":[{\"type\":\"publishText\",\"text\":\"Track it\"}]}}]}" } },
              "messageId": "m:1", "participantId": "9100", "timeL": 1_790_000_002_000_i64, "sentBy": "Agent" },
            { "type": "RICH_CONTENT", "messageData": { "richContent": { "content": "{\"type\":\"vertical\",\"elements\":[{\"type\":\"button\",\"title\":\"Open map\",\"click\":{\"actions\":[{\"type\":\"link\",\"uri\":\"https://map.example.org/42\"}]}}]}" } },
              "messageId": "m:2", "participantId": "9001", "timeL": 1_790_000_003_000_i64, "sentBy": "agent" },
            { "type": "TEXT_PLAIN", "messageData": { "msg": { "text": "difficult one" } }, "messageId": "m:3",
              "participantId": "9001", "timeL": 1_790_000_004_000_i64, "sentBy": "Agent", "audience": "AGENTS_AND_MANAGERS" },
            { "type": "HOSTED_FILE", "messageData": { "file": { "relativePath": "/v1/pic_07.JPG", "fileType": "JPG", "caption": "the box", "preview": "iVBORw0KGgo=" } },
              "messageId": "m:4", "participantId": "c-1", "timeL": 1_790_000_005_000_i64, "sentBy": "Consumer" },
            { "type": "SECURE_FORM_INVITATION", "messageData": { "secureForm": { "formId": "f1", "formName": "Card number" } },
              "messageId": "m:5", "participantId": "9001", "timeL": 1_790_000_006_000_i64, "sentBy": "Agent" },
            { "type": "TEXT_PLAIN", "messageData": { "msg": { "text": "joined" } }, "messageId": "m:6",
              "participantId": "9200", "timeL": -1, "time": "2026-09-21 14:13:27.000+0000", "sentBy": "Agent" }
        ],
        "messageScores": [ { "messageId": "m:0", "mcs": 47, "messageRawScore": 0 } ],
        "messageStatuses": [ { "messageId": "m:0", "messageDeliveryStatus": "READ" } ],
        "transfers": [ { "timeL": 1_790_000_001_500_i64, "assignedAgentId": "null", "targetSkillId": 77, "targetSkillName": "Late parcels",
            "sourceSkillId": -1, "sourceSkillName": "Unassigned", "sourceAgentId": "9100", "reason": "Skill" } ],
        "interactions": [ { "assignedAgentId": "9001", "assignedAgentLoginName": "tove@example.org", "interactionTimeL": 1_790_000_002_500_i64 } ],
        "dialogs": [ { "dialogId": "conv-1", "dialogType": "MAIN", "status": "CLOSE", "skillId": "77", "startTimeL": 1_790_000_000_000_i64 } ],
        "conversationSurveys": [ { "surveyType": "PostSurvey", "surveyId": "s1", "surveyData": [
            { "question": "Would you tell a friend?", "answer": "9", "questionType": "nps" },
            { "question": "What was good?", "answer": "swift help", "questionType": "custom" } ] } ],
        "summary": { "text": "Parcel late, refunded", "lastUpdatedTime": 1 },
        "intents": [ { "messageId": "m:0", "selectedClassification": { "intentName": "i-1", "intentLabel": "track order", "confidenceScore": 0.91 } } ],
        "sdes": { "events": [ { "customerInfo": { "serverTimeStamp": "5", "customerInfo": { "customerId": "C-9" } }, "sdeType": "CUSTOMER_INFO" } ] },
        "unAuthSdes": { "events": [ { "cartStatus": { "serverTimeStamp": 6, "total": 31.5 }, "isAuthenticated": false } ] },
        "monitoring": { "country": "Norway" }
    })
}

#[test]
fn a_messaging_record_becomes_a_conversation() {
    let c = only(sample());
    assert_eq!((c.kind.as_deref(), c.status.as_deref()), (Some("MESSAGING"), Some("CLOSE")));
    assert_eq!((c.conversation_id.as_deref(), c.account_id.as_str()), (Some("conv-1"), "40112233"));
    assert_eq!((c.start_ms, c.end_ms), (Some(1_790_000_000_000), Some(1_790_000_600_000)));
    assert_eq!(c.interaction_start_ms, Some(1_790_000_002_500));
    assert_eq!((c.mcs, c.csat, c.nps, c.closed_by.as_deref()), (Some(61.0), Some(4.0), Some(9.0), Some("CONSUMER")));
    assert_eq!((c.origin.as_deref(), c.device.as_deref(), c.interactive), (Some("APP"), Some("MOBILE"), Some(true)));
    assert_eq!((c.consumer_id.as_deref(), c.agent_id.as_deref()), (Some("c-1"), Some("9001")));
    assert_eq!(c.all_skills(), ["77"]);
    assert_eq!(c.skill_names, [("77".to_owned(), "Late parcels".to_owned())], "-1 is no skill");
    let campaign = c.campaign.as_ref().unwrap();
    assert_eq!(campaign.searchable().collect::<Vec<_>>(), ["555", "Autumn help"]);
    assert_eq!(campaign.unknown, [("lobId".to_owned(), "12".to_owned())]);
    assert_eq!(c.consumers[0].name.as_deref(), Some("Ada"));
    assert_eq!((c.consumers[0].email.as_deref(), c.consumers[0].phone.as_deref()), (Some("ada@example.org"), None));
    assert!(c.agent_names().contains(&"Tove Berg") && c.agent_names().contains(&"tove@example.org"));
    let transfer = &c.transfers[0];
    assert_eq!((transfer.target_agent_id.as_deref(), transfer.skill_id.as_deref()), (None, None));
    assert_eq!((transfer.reason_text().as_deref(), transfer.target_skill_id.as_deref()), (Some("Skill"), Some("77")));
    assert_eq!(
        (c.summary.as_deref(), c.intents[0].label.as_deref()),
        (Some("Parcel late, refunded"), Some("track order"))
    );
    assert!(c.survey_texts().contains(&"swift help".to_owned()));
    assert_eq!((c.attributes.len(), c.dialogs.len(), c.secure_forms.len()), (2, 1, 1));
    let unknown: Vec<&str> = c.unknown.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        unknown,
        ["info.ipAddress", "info.language", "monitoring"],
        "no receipts, no running duration, no sentinel"
    );
}

#[test]
fn lines_are_told_by_who_wrote_them() {
    let c = only(sample());
    let lines: Vec<(Role, &str, &str)> = c.messages.iter().map(|m| (m.role, m.by.as_str(), m.text.as_str())).collect();
    assert_eq!(
        lines,
        [
            (Role::Consumer, "Ada", "where is my parcel"),
            (Role::Bot, "Helper", "pick one\nTrack it"),
            (Role::Agent, "Tove", "Open map\nhttps://map.example.org/42"),
            (Role::Note, "Tove", "difficult one"),
            (Role::Consumer, "Ada", "the box\n/v1/pic_07.JPG"),
            (Role::Agent, "Tove", "Card number"),
            (Role::System, "Router", "joined"),
        ]
    );
    assert_eq!((c.messages[0].mcs, c.messages[0].agent_id.as_deref()), (Some(47.0), None));
    assert!(c.messages[1].attachment.as_deref().unwrap().contains("publishText"), "the raw content is kept");
    assert!(!c.messages[4].attachment.as_deref().unwrap().contains("preview"));
    assert_eq!(c.messages[6].time_ms, Some(1_790_000_007_000), "the text time where the number is -1");
}

/// The bot that asks the survey is in no list of participants.
#[test]
fn a_bot_that_is_no_participant_is_told_by_its_lines() {
    let mut record = sample();
    let said = |sent_by: &str, context: Value| {
        json!({ "type": "TEXT_PLAIN", "messageData": { "msg": { "text": "How did we do?" } }, "participantId": "9300",
            "sentBy": sent_by, "audience": "ALL", "contextData": context })
    };
    let response = json!({ "structuredMetadata": [ { "botResponse": { "intents": [] } } ] });
    let reason = json!({ "structuredMetadata": [ { "actionReason": { "reason": "x" } } ] });
    record["messageRecords"] = json!([
        said("Agent", response.clone()),
        said("Agent", reason),
        said("Consumer", response),
        said("Agent", Value::Null)
    ]);
    let roles: Vec<Role> = only(record).messages.iter().map(|line| line.role).collect();
    assert_eq!(roles, [Role::Bot, Role::Agent, Role::Consumer, Role::Agent]);
}

#[test]
fn other_spellings_are_the_same_conversation() {
    let mut other = sample();
    let object = other.as_object_mut().unwrap();
    for (from, to) in [("messageRecords", "messagesRecords"), ("consumerParticipants", "consumerParticipant")] {
        let list = object.remove(from).unwrap();
        object.insert(to.into(), list);
    }
    let info = object["info"].as_object_mut().unwrap();
    info.remove("csatRate");
    info.insert("csat".into(), json!("4"));
    info.insert("latestAgentId".into(), json!(9001));
    info.insert("latestSkillId".into(), json!("77"));
    info.insert("startTimeL".into(), json!("1790000000000"));
    info.insert("mcs".into(), json!("61"));
    assert_eq!(only(other), only(sample()));
}

#[test]
fn an_open_conversation_has_no_end() {
    let c = only(json!({ "info": { "conversationId": "o", "status": "OPEN", "startTimeL": 7, "endTime": "undefined",
        "endTimeL": -1, "duration": 12345, "closeReason": "undefined", "latestAgentId": "null", "latestSkillId": -1, "csat": -1 } }));
    assert_eq!((c.status.as_deref(), c.end_ms, c.closed_by, c.agent_id), (Some("OPEN"), None, None, None));
    assert_eq!((c.csat, c.skill_id, c.unknown.len(), c.interactive), (None, None, 0, None));
}

/// A list answer is partial; what it had is not lost to a fuller one, nor the fuller one's to a later list.
#[test]
fn partial_answers_and_full_ones_fold_into_one() {
    let mut partial = sample();
    partial["info"]["isPartial"] = json!(true);
    partial["messageRecords"].as_array_mut().unwrap().truncate(2);
    partial["sdes"] = json!({ "events": [ { "lead": { "serverTimeStamp": "3", "lead": { "topic": "old" } } } ] });
    let mut reopened = partial.clone();
    reopened["info"]["status"] = json!("OPEN");
    let text = messaging(10, &[partial.clone()]) + &messaging(20, &[sample()]) + &messaging(30, &[partial]);
    let (found, _) = decode(text + &messaging(40, &[sample()]) + &messaging(50, &[reopened]));
    assert_eq!(found.iter().map(|revision| revision.age_ms).collect::<Vec<_>>(), [10, 20, 30, 40, 50]);
    let stored = StoredConversation::from_revisions(found);
    assert_eq!((stored.revisions.len(), stored.record_count()), (3, 5), "the same content again is no revision");
    let merged = stored.merged();
    assert_eq!((merged.messages.len(), merged.attributes.len(), merged.is_partial), (7, 3, false));
    assert_eq!(merged.status.as_deref(), Some("OPEN"), "the latest answer wins");
    assert_eq!(stored.sde_first_seen_ms(&merged.attributes[0]), Some(10));
    let first_full = merged.attributes.iter().find(|attribute| attribute.contains("C-9")).unwrap();
    assert_eq!(stored.sde_first_seen_ms(first_full), Some(20));
}

#[test]
fn each_conversation_is_a_record_with_its_place() {
    let records: Vec<Value> = (0..100)
        .map(|at| json!({ "info": { "conversationId": format!("c{at}") }, "pad": "x".repeat(60_000) }))
        .collect();
    let body =
        json!({ "shardsStatusResult": { "partialResult": true }, "conversationHistoryRecords": records }).to_string();
    // Beyond the longest line that is read at once.
    assert!(body.len() > 5 << 20);
    let text = line("messaging-interactions", 1, "{}")
        + &line("messaging-interactions", 2, &body)
        + &messaging(3, &[sample()]);
    let (found, report) = decode(&text);
    assert_eq!((found.len(), report.records), (101, 3));
    assert_eq!(report.problems.counts.get(&ProblemKind::OddValue), Some(&1), "an answer without records is told");
    for (at, revision) in found.iter().enumerate().step_by(25) {
        assert_eq!(revision.records[0].record, at as u64);
        let raw = locate_record(Cursor::new(text.as_bytes()), at as u64, DecodeLimits::default()).unwrap().unwrap();
        assert_eq!(raw.conversation_id, revision.content.conversation_id);
        let offset = raw.offset.unwrap() as usize;
        assert_eq!(&text.as_bytes()[offset..offset + raw.json.len()], raw.json);
        let json: Value = serde_json::from_slice(&raw.json).unwrap();
        assert_eq!(json["info"]["conversationId"].as_str(), revision.content.conversation_id.as_deref());
    }
}

/// A request by id names a hundred conversations; the keys before the body may stand in any order.
#[test]
fn a_long_request_hides_no_answer() {
    let head = json!({ "type": "api-answer", "format": 1, "stream": "messaging-interactions", "received_ms": 1, "status": 200,
        "request": { "body": { "conversationIds": vec!["9f0e7c52-7a1b-4d0e-9c35-2f7f0a6bd001"; 20_000] } }, "call": "by-id" });
    let head = head.to_string();
    assert!(head.find("api-answer").unwrap() > 700_000, "sorted by name");
    let body = json!({ "conversationHistoryRecords": [sample()] });
    let (found, report) = decode(format!("{},\"body\":{body}}}\n", head.strip_suffix('}').unwrap()));
    assert_eq!((found.len(), report.problems.total()), (1, 0), "{report:?}");
}

#[test]
fn a_body_in_base64_and_a_bare_body_are_read() {
    let body = json!({ "conversationHistoryRecords": [sample()] });
    let pretty = format!("{body:#}");
    let encoded = base64::engine::general_purpose::STANDARD.encode(&pretty);
    let head = line("messaging-interactions", 9, "0").replace("\"body\":0", &format!("\"body_base64\":\"{encoded}\""));
    let (found, report) = decode(head.clone() + &messaging(10, &[sample()]));
    assert_eq!((found.len(), report.problems.total()), (2, 0));
    assert_eq!((&found[0].content, found[0].age_ms), (&found[1].content, 9));
    assert_eq!(locate_record(Cursor::new(head.as_bytes()), 0, DecodeLimits::default()).unwrap().unwrap().offset, None);
    for bare in [pretty, body.to_string()] {
        assert_eq!(decode(bare).0[0].content, found[1].content);
    }
    for (broken, kind) in
        [("%%%", ProblemKind::BrokenRecord), ("eyJjb252ZXJzYXRpb25IaXN0b3J5UmVjb3JkcyI6W3s=", ProblemKind::CutShort)]
    {
        let head =
            line("messaging-interactions", 9, "0").replace("\"body\":0", &format!("\"body_base64\":\"{broken}\""));
        let (found, report) = decode(head + &messaging(10, &[sample()]));
        assert_eq!((found.len(), report.problems.counts.get(&kind)), (1, Some(&1)), "{report:?}");
    }
}

#[test]
fn a_broken_conversation_costs_only_itself() {
    let good = |id: &str| {
        json!({ "info": { "conversationId": id }, "messageRecords": [{ "messageData": { "msg": { "text": id } }, "sentBy": "Consumer" }] }).to_string()
    };
    let half_emoji = good("b").replace("\"text\":\"b\"", r#""text":"b \ud83d""#);
    let body = format!(
        "{{\"conversationHistoryRecords\":[{},{{\"info\":tru}},null,7,{half_emoji},{}]}}",
        good("a"),
        good("c")
    );
    let (found, report) = decode(line("messaging-interactions", 1, &body) + &messaging(2, &[sample()]));
    let ids: Vec<_> = found.iter().map(|revision| revision.content.conversation_id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "c", "conv-1"]);
    assert_eq!(found[1].content.messages[0].text, "b \u{fffd}");
    assert_eq!(report.problems.counts[&ProblemKind::BrokenRecord], 2);
    // A line that is cut keeps what stands before the cut, and the next line.
    let cut = line("messaging-interactions", 1, &body);
    let cut = &cut[..cut.find("half").unwrap_or(cut.len() - 60)];
    let (found, report) = decode(format!("{cut}\n{}", messaging(2, &[sample()])));
    assert_eq!(found.last().unwrap().content.conversation_id.as_deref(), Some("conv-1"));
    assert!(found.len() >= 2 && report.problems.failures() >= 1, "{report:?}");
}

/// Ids as numbers, and beyond what a float can hold, keep every digit.
#[test]
fn ids_keep_their_digits() {
    let body = r#"{"conversationHistoryRecords":[{"info":{"conversationId":123456789012345678901234567890,"latestSkillId":18446744073709551617}}]}"#;
    let (found, _) = decode(line("messaging-interactions", 1, body));
    assert_eq!(found[0].content.conversation_id.as_deref(), Some("123456789012345678901234567890"));
    assert_eq!(found[0].content.skill_id.as_deref(), Some("18446744073709551617"));
}

#[test]
fn a_chat_of_both_sources_is_one_conversation() {
    let history = json!({ "interactionHistoryRecords": [ {
        "info": { "engagementId": "40112233-77", "accountId": "40112233", "startTimeL": 1_790_000_030_000_i64,
            "chatRequestedTimeL": 1_790_000_000_000_i64, "endTimeL": 1_790_000_600_000_i64, "visitorId": "v1", "agentId": "71",
            "agentNickName": "Mio", "agentFullname": "Mio Sato", "skillId": 12, "skillName": "Returns desk", "startReason": "1",
            "endReason": "210", "chatMCS": 52, "isInteractive": true, "chatDataEnriched": false, "agentGroupId": -1 },
        "transcript": { "lines": [
            { "timeL": 1_790_000_031_000_i64, "text": "it broke", "by": "Visitor", "source": "visitor", "textType": "plain", "agentId": 0, "lineSeq": "2" },
            { "timeL": 1_790_000_032_000_i64, "json": { "type": "vertical", "elements": [ { "type": "text", "text": "Return label" } ] },
              "by": "Mio", "source": "agent", "textType": "rich-content", "agentId": 71, "lineSeq": "3" },
            { "timeL": 1_790_000_033_000_i64, "text": "<b>angry</b>", "by": "Mio", "source": "agent", "subType": "ONLY_TO_REP", "textType": "html", "agentId": 71 } ] },
        "lineScores": [ { "lineSeq": "2", "mcs": 48 } ],
        "visitorInfo": { "device": "DESKTOP", "country": "Norway", "browser": "" },
        "surveys": { "preChat": [], "postChat": [ { "displayName": "How was it?", "value": "Fine", "values": ["Fine"], "questionID": 5, "surveyID": 3 } ] },
        "sdes": { "events": [ { "purchase": { "total": "31.5", "orderId": "O-1", "serverTimeStamp": "4", "cart": { "total": null } } } ] }
    } ] });
    let chat = json!({ "dataType": "Engagement", "metaData": { "accountId": "40112233" }, "recordCollection": [ { "body": { "engagements": [ {
        "type": "LIVE_CHAT", "conversationId": "40112233-77", "conversationStartTime": 1_790_000_000_000_i64, "endReasonId": 205, "startReasonId": 2,
        "transcripts": [ { "text": "it broke", "timestamp": 1_790_000_031_000_i64, "by": "Visitor", "type": "0", "messageId": "abc" } ],
        "transfers": [ { "timestamp": 1_790_000_040_000_i64, "skillId": 12, "targetSkillId": 15 } ] } ] } } ] });
    let (found, report) =
        decode(format!("{chat}\n{}", line("engagement-history", 1_790_000_900_000, &history.to_string())));
    assert_eq!((found.len(), report.problems.total()), (2, 0), "{report:?}");
    assert_eq!(
        found.iter().map(|revision| revision.source.as_str()).collect::<Vec<_>>(),
        ["data-access", "engagement-history"]
    );
    let stored = StoredConversation::from_revisions(found);
    assert!(!stored.was_revised(), "two sources are no revision of each other");
    let c = stored.merged();
    assert_eq!((c.end_reason, c.start_reason), (Some(210), Some(2)), "the codes of start reasons are not mixed");
    assert!(c.unknown.contains(&("info.startReason".to_owned(), "\"1\"".to_owned())));
    assert_eq!((c.transfers.len(), c.queue_ms(), c.mcs), (1, Some(30_000), Some(52.0)));
    let texts: Vec<(Role, &str)> = c.messages.iter().map(|m| (m.role, m.text.as_str())).collect();
    assert_eq!(texts, [(Role::Consumer, "it broke"), (Role::Agent, "Return label"), (Role::Note, "<b>angry</b>")]);
    assert_eq!((c.messages[0].message_id.as_deref(), c.messages[0].mcs), (Some("abc"), Some(48.0)));
    assert!(c.messages[2].is_html());
    assert_eq!(stored.merged_of("data-access").unwrap().end_reason, Some(205));
}

#[test]
fn surveys_join_and_web_sessions_stand_alone() {
    let header = json!({ "com.liveperson.dataaccess.VisitorHeader": { "visitId": { "string": "V.1" }, "visitorId": { "string": "v1" }, "contextId": null } });
    let survey = json!({ "dataType": { "com.liveperson.dataaccess.DataTypeEnum": "Survey" }, "metaData": { "accountId": { "string": "40112233" } },
        "recordCollection": { "array": [ { "body": { "com.liveperson.dataaccess.SurveyData": { "header": header, "surveys": { "array": [
            { "id": { "long": 9 }, "type": { "int": 2 }, "viewTime": null, "conversationId": { "string": "40112233-77" }, "contents": { "array": [
                { "question": { "string": "All well?" }, "answer": { "string": "mostly yes" }, "answerSubmitTime": { "long": 1_790_000_700_000_i64 } } ] } },
            { "id": { "long": 8 }, "type": { "int": 4 }, "viewTime": { "long": 1_790_000_000_001_i64 }, "conversationId": null, "contents": null } ] } } } } ] } });
    let session = json!({ "dataType": "WebSession", "metaData": { "accountId": "40112233", "startTime": 1_790_000_000_000_i64, "endTime": null },
        "recordCollection": [
            { "body": { "com.liveperson.dataaccess.WebSessionEngAttrsData": { "header": header, "engagementAttributes": { "array": [
                { "timestamp": { "long": 5 }, "data": { "com.liveperson.dataaccess.CustomerInfo": { "customerId": { "string": "C-9" } } } } ] } } } },
            { "body": { "com.liveperson.dataaccess.WebSessionNavigationData": { "header": header, "navigationData": { "array": [
                { "timestamp": { "long": 1_790_000_050_000_i64 }, "url": { "string": "https://shop.example.org/" } } ] } } } } ] });
    for text in [format!("{survey}\n{session}\n"), format!("{survey:#}\n{session:#}\n")] {
        let (found, report) = decode(&text);
        assert_eq!((found.len(), report.problems.total()), (3, 0), "{report:?}");
        let [joined, alone, session] = [&found[0].content, &found[1].content, &found[2].content];
        assert_eq!(
            (joined.supplement, joined.conversation_id.as_deref()),
            (Some(Supplement::Survey), Some("40112233-77"))
        );
        assert_eq!(joined.survey_texts(), ["mostly yes", "All well?"], "in the order of the record");
        assert_eq!((alone.conversation_id.as_deref(), alone.start_ms), (None, Some(1_790_000_000_001)));
        assert_eq!(session.supplement, Some(Supplement::WebSession));
        assert_eq!((session.start_ms, session.end_ms), (Some(1_790_000_000_000), Some(1_790_000_050_000)));
        assert_eq!(session.start_url.as_deref(), Some("https://shop.example.org/"));
        assert_eq!(session.sdes()[0].values[0].path, "customerInfo.customerId");
        let key = StoredConversation::from_revisions(vec![found[2].clone()]).key();
        assert_eq!(key, "40112233:web-session:V.1");
        for (ordinal, needle) in [(0, "mostly yes"), (1, "1790000000001"), (2, "navigationData")] {
            let raw = locate_record(Cursor::new(text.as_bytes()), ordinal, DecodeLimits::default()).unwrap().unwrap();
            let offset = raw.offset.unwrap() as usize;
            assert_eq!(&text.as_bytes()[offset..offset + raw.json.len()], raw.json);
            assert!(String::from_utf8_lossy(&raw.json).contains(needle), "{ordinal}");
        }
    }
}

#[test]
fn an_upstream_erasure_is_marked_and_takes_the_text() {
    let mut masked = sample();
    for message in masked["messageRecords"].as_array_mut().unwrap() {
        message["messageData"] = json!({ "msg": { "text": MASK } });
    }
    masked["sdes"]["events"][0]["customerInfo"]["customerInfo"]["customerId"] = json!(MASK);
    let (found, _) = decode(messaging(1, &[sample()]) + &messaging(2, &[masked]));
    assert_eq!(found.iter().map(|revision| revision.content.is_masked).collect::<Vec<_>>(), [false, true]);
    let stored = StoredConversation::from_revisions(found);
    let merged = stored.merged();
    assert!(merged.is_masked && merged.messages.len() == 7);
    assert!(merged.messages.iter().all(|message| message.text == MASK && message.attachment.is_none()));
    assert!(!merged.attributes.iter().any(|attribute| attribute.contains("C-9")));
    assert_eq!(stored.revisions[0].content.messages[0].text, "where is my parcel", "the earlier revision stays");
}

#[test]
fn figures_are_no_conversations_and_no_problem() {
    let (found, report) =
        decode(line("operational-realtime", 1, r#"{"metricsTotal":{"value":1}}"#) + &line("agent-metrics", 2, "[]"));
    assert_eq!((found.len(), report.records, report.problems.total()), (0, 2, 0), "{report:?}");
}

#[test]
fn no_change_to_an_answer_panics() {
    let valid = (messaging(1, &[sample()]) + &line("engagement-history", 2, r#"{"interactionHistoryRecords":[{"info":{"engagementId":"1"},"transcript":{"lines":[{"timeL":1,"text":"x","json":{"a":1}}]},"surveys":{"preChat":[{}]},"sdes":{"events":[{"lead":{}}]}}]}"#)).into_bytes();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5_u8), 1..6);
    TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() })
        .run(&changes, |changes| {
            let mut bytes = valid.clone();
            for (place, value, how) in changes {
                let at = place.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
                match how {
                    0 => bytes[at] = value,
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes.insert(at, value),
                    3 => bytes[at] = b"{}[]\",:0"[usize::from(value % 8)],
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    bytes.push(b'{');
                }
            }
            let (found, _) = decode(&bytes);
            let stored = (!found.is_empty()).then(|| StoredConversation::from_revisions(found));
            stored.map(|stored| (stored.merged().sdes(), stored.merged().survey_texts(), stored.key()));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
