//! `show`, `stats` and facets as people read them: what stands on the screen, to the character, and that every figure is the
//! one a simple count gives.

use crate::support::{Run, Vault, program, reader, temp_folder};
use chatvault::conversation::{Conversation, StoredConversation};
use chatvault::index::{status_name, type_name};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use unicode_width::UnicodeWidthStr;

const START: i64 = 1_469_469_281_856;
const MASK: &str = "** LP deleted data **";

/// A chat with everything that Data Access has, and texts that want out of their place.
fn chat() -> Value {
    let line = |seconds: i64, kind: &str, by: &str, agent: &str, text: &str| {
        json!({ "timestamp": START + seconds * 1000, "type": kind, "by": by, "agentId": agent, "text": text,
            "messageId": format!("m{seconds}") })
    };
    let mut file = line(200, "0", "Visitor", "0", "");
    file["fileData"] = json!({ "caption": "Rechnung März.pdf", "relativePath": "75/rechnung.pdf", "fileSize": 48_213 });
    json!({ "dataType": "Engagement", "metaData": { "accountId": "75555851" }, "recordCollection": [ { "body": { "engagements": [ {
        "conversationId": "755558514295264942", "type": "LIVE_CHAT", "conversationStartTime": START,
        "interactionStartTime": START + 45_000, "conversationEndTime": START + 23_000_000, "queueStartTime": START,
        "queueEndTime": START + 45_000, "endReasonId": 205, "startReasonId": 0, "agentId": "4712", "skillId": "12",
        "skills": ["3", "12"], "visitorId": "vis-1", "consumerId": "con-9", "sourceDevice": "MOBILE", "sourceOrigin": "Web",
        "startPage": "Returns & refunds", "startUrl": "https://shop.example.org/returns", "mcs": 44,
        "campaignData": { "campaignId": "c-1", "campaignEngagementId": "e-2" },
        "secureForms": [ { "formName": "Card on file", "submitted": true } ],
        "transfers": [
            { "timestamp": START + 120_000, "skillId": "3", "targetSkillId": "12", "agentId": "4711", "targetAgentId": "4712",
              "reason": 2, "queueStartTime": START + 108_000, "queueEndTime": START + 120_000 },
            { "timestamp": START + 21_700_000, "skillId": "12", "targetSkillId": "3\u{1b}[31m", "agentId": "4712" } ],
        "transcripts": [
            line(1, "2", "info", "0", "Thank you for your patience, an agent will be with you shortly."),
            line(46, "1", "Anna", "4711", "Hi, this is Anna. How can I help?"),
            line(60, "0", "Visitor", "0", "I want a refund for order ERR-204, which has been on its way for three weeks now, and nobody at the parcel service knows where it is.\nSecond line of the same message\n\n12:00:00  agent     Anna: a line that only looks like one"),
            line(70, "0", "Visitor", "0", "אני רוצה החזר כספי על הזמנה 204 בבקשה, כבר שלושה שבועות שאני מחכה לחבילה הזאת"),
            line(72, "0", "محمد", "0", "أريد refund الآن"),
            line(75, "0", "Visitor", "0", "我想退款,因为订单已经三个星期没有送到了,快递公司也不知道包裹在哪里,请尽快帮我处理一下退款申请。"),
            line(80, "0", "Visitor", "0", "👍🏽 👨‍👩‍👧 cafe\u{301} \u{301}mark"),
            line(85, "0", "Vis\u{1b}]0;owned\u{7}itor", "0", "\u{1b}[2J\u{9b}31m \u{202e}txet desrever\u{2066} tab\there \u{7f}"),
            line(90, "4", "Anna", "4711", "<p>Your <b>refund</b> &amp; label are <a href=\"https://x.example/\">here</a></p><script>alert(1)</script>"),
            line(95, "3", "Anna", "4711", "https://shop.example.org/returns/a/very/long/path/that/does/not/fit/into/one/line/of/a/narrow/terminal"),
            line(100, "5", "Anna", "4711", "customer is angry, handing over to the returns desk"),
            line(130, "1", "Bruno", "4712", "-----BEGIN PGP MESSAGE-----\n\nhQEMA0damaged\n-----END PGP MESSAGE-----"),
            file,
            line(21_600, "1", "Bruno", "4712", "It is a new day, and your refund is on its way."),
        ] } ] } } ] })
}

/// A messaging conversation with files, rich content and what LivePerson has deleted.
fn messaging() -> String {
    let line = |seconds: i64, who: &str, kind: &str, data: Value| {
        let (participant, by) = match who {
            "consumer" => ("con-1", "Consumer"),
            "bot" => ("9002", "Agent"),
            _ => ("9001", "Agent"),
        };
        let audience = if who == "note" { "AGENTS_AND_MANAGERS" } else { "ALL" };
        json!({ "type": kind, "messageData": data, "messageId": format!("x:{seconds}"), "participantId": participant,
            "timeL": START + seconds * 1000, "sentBy": by, "audience": audience })
    };
    let text = |text: &str| json!({ "msg": { "text": text } });
    let card = json!({ "type": "vertical", "elements": [ { "type": "text", "text": "Where is it?" },
        { "type": "button", "title": "Track", "click": { "actions": [ { "type": "link", "uri": "https://shop.example.org/track" } ] } } ] });
    let record = json!({
        "info": { "conversationId": "msg-1", "brandId": "75555851", "status": "CLOSE", "startTimeL": START, "endTimeL": START + 600_000,
            "closeReason": "CONSUMER", "csatRate": 5, "mcs": 61, "device": "MOBILE", "source": "APP", "latestSkillId": 77,
            "latestSkillName": "Late parcels", "latestAgentId": "9001", "latestAgentNickname": "Tove", "latestAgentFullName": "Tove Berg" },
        "agentParticipants": [ { "agentId": "9002", "agentNickname": "Parcel bot", "userTypeName": "Bot" } ],
        "campaign": { "campaignId": 5, "campaignName": "Summer", "campaignEngagementId": 6, "campaignEngagementName": "Banner" },
        "messageRecords": [
            line(1, "bot", "RICH_CONTENT", json!({ "richContent": { "content": card.to_string() } })),
            line(5, "consumer", "TEXT_PLAIN", text(MASK)),
            line(9, "consumer", "HOSTED_FILE", json!({ "file": { "caption": "broken lamp", "relativePath": "9/lamp.jpg", "fileType": "JPEG" } })),
            line(20, "agent", "LINK", json!({ "link": { "caption": "Return label", "url": "https://shop.example.org/label" } })),
            line(30, "note", "TEXT_PLAIN", text("he has asked three times already")),
            line(40, "agent", "SECURE_FORM_INVITATION", json!({ "secureForm": { "formName": "Bank details", "formId": "77" } })),
        ],
        "transfers": [ { "timeL": START + 15_000, "sourceSkillId": 70, "sourceSkillName": "Front desk", "targetSkillId": 77,
            "targetSkillName": "Late parcels", "sourceAgentId": "9002", "sourceAgentNickname": "Parcel bot", "assignedAgentId": "9001",
            "reason": "Skill" } ],
        "consumerParticipants": [ { "participantId": "con-1", "firstName": "Ada", "lastName": "B", "email": "ada@example.org" } ],
        "summary": { "text": "lamp arrived broken\n17:54:41  agent     forged: a line of no message" },
        "sdes": { "events": [ { "customerInfo": { "serverTimeStamp": "5", "customerInfo": { "customerId": "138766AC", "customerStatus": "gold" } } } ] },
    });
    let head = json!({ "type": "api-answer", "format": 1, "stream": "messaging-interactions", "call": "conversations/search",
        "received_ms": START + 900_000, "request": { "method": "POST", "url": "https://lo.msghist.liveperson.net/x?v=2" }, "status": 200 });
    let body = json!({ "conversationHistoryRecords": [record] });
    format!("{},\"body\":{body}}}\n", head.to_string().strip_suffix('}').unwrap())
}

fn vault() -> Vault {
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    fs::write(folder.path().join("chat.json"), format!("{}\n", chat())).unwrap();
    fs::write(folder.path().join("messaging.ndjson"), messaging()).unwrap();
    // One line is an encrypted message that is damaged; all else is read.
    vault.run(&["import", &folder.path().to_string_lossy()]).exits(3);
    vault
}

/// A run at a width, in a locale that has the bars.
fn run_at(vault: &Vault, width: usize, arguments: &[&str]) -> Run {
    let mut command = vault.command(arguments);
    command.env("COLUMNS", width.to_string()).env("LC_ALL", "C.UTF-8");
    Run::of(command.output().unwrap())
}

/// Compares with `tests/it/snapshots/<name>.txt`. `CHATVAULT_SNAPSHOTS=write` writes it instead: read the difference then.
#[track_caller]
fn matches_snapshot(name: &str, text: &str) {
    // Escape sequences readable, so that a difference can be read.
    let text = text.replace('\u{1b}', "␛").replace('\u{2068}', "⟨").replace('\u{2069}', "⟩");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/snapshots/{name}.txt"));
    if std::env::var("CHATVAULT_SNAPSHOTS").is_ok_and(|value| value == "write") {
        fs::write(&path, &text).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if let Some((at, (is, was))) = text.lines().zip(expected.lines()).enumerate().find(|(_, (is, was))| is != was) {
        panic!("{name}, line {}:\n  is  {is}\n  was {was}\n{text}", at + 1);
    }
    assert_eq!(text, expected, "{name}");
}

/// A text without the colours that we print: what is left of an escape is not ours.
fn without_colours(text: &str) -> String {
    let mut plain = text.to_owned();
    for code in ["0", "1", "2", "1;33", "36", "32", "31"] {
        plain = plain.replace(&format!("\u{1b}[{code}m"), "");
    }
    plain
}

#[test]
fn a_conversation_reads_well_at_every_width() {
    let vault = vault();
    for (name, id) in [("chat", "755558514295264942"), ("messaging", "msg-1")] {
        for width in [60, 120] {
            let mut plain = String::new();
            for colour in ["never", "always"] {
                let arguments = ["--color", colour, "show", id, "--query", "refund* OR track"];
                let run = run_at(&vault, width, &arguments).exits(0);
                assert!(run.stderr.is_empty(), "{}", run.stderr);
                matches_snapshot(&format!("show_{name}_{width}_{colour}"), &run.stdout);
                let seen = without_colours(&run.stdout);
                for line in seen.lines() {
                    assert!(line.width() <= width, "{width}: {line:?}");
                    let balance = line.matches('\u{2068}').count() as i64 - line.matches('\u{2069}').count() as i64;
                    assert_eq!(balance, 0, "{line:?}");
                }
                let risky = |c: char| {
                    (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}' | '\u{2067}')
                };
                assert_eq!(seen.chars().find(|c| risky(*c)), None, "{seen:?}");
                if colour == "never" {
                    plain = seen;
                } else {
                    assert_eq!(seen, plain, "colour changes nothing but the colour");
                    assert_ne!(seen, run.stdout);
                }
            }
        }
    }
    // Without a terminal nothing is wrapped: a phrase can be looked for.
    let piped = vault.run(&["show", "755558514295264942"]).exits(0).stdout;
    assert!(piped.contains("nobody at the parcel service knows where it is."), "{piped}");
}

#[test]
fn every_width_and_every_part_keeps_hostile_text_in_its_place() {
    let vault = vault();
    for width in [1, 40, 41, 59, 77, 100, 160, 9999] {
        for arguments in [
            &["show", "755558514295264942"][..],
            &["show", "755558514295264942", "--revisions"],
            &["show", "755558514295264942", "--query", "txet OR itor", "--around", "1", "--context", "0"],
            &["search", "txet", "--facets", "skill,agent,device,origin,end_reason"],
            &["stats"],
        ] {
            for colour in ["never", "always"] {
                let run = run_at(&vault, width, &[&["--color", colour], arguments].concat()).exits(0);
                let seen = without_colours(&run.all());
                assert_eq!(seen.chars().find(|c| c.is_control() && *c != '\n'), None, "{arguments:?} {seen:?}");
                assert!(!seen.contains(['\u{202e}', '\u{2066}']), "{arguments:?}");
            }
        }
    }
    let forged = run_at(&vault, 60, &["show", "msg-1"]).exits(0).stdout;
    assert!(forged.contains("forged") && !forged.lines().any(|line| line.starts_with("17:54:41  agent")), "{forged}");
    // Only what we print stands in the columns of time and role.
    let shown = run_at(&vault, 60, &["show", "755558514295264942"]).exits(0).stdout;
    let transcript = shown.split("\n\n").nth(1).unwrap();
    let roles = ["consumer", "agent   ", "system  ", "note    ", "transfer", "queue   ", "start   ", "end     "];
    for line in transcript.lines().filter(|line| !line.starts_with("── ")) {
        let is_framed = roles.iter().any(|role| line.get(10..18) == Some(*role)) && line.get(2..3) == Some(":");
        let is_indented = line.starts_with(&" ".repeat(20));
        assert!(is_framed != is_indented, "{line:?}\n{shown}");
    }
    let forged = shown.lines().find(|line| line.contains("a line that only") || line.contains("12:00:00")).unwrap();
    assert!(forged.starts_with(&" ".repeat(20)), "{forged}");
}

#[test]
fn a_part_is_shown_around_a_hit_or_a_message() {
    let vault = vault();
    let id = "755558514295264942";
    let show = |arguments: &[&str]| vault.run(&[&["show", id], arguments].concat());
    let text = show(&["--query", "refund", "--around", "2", "--context", "1"]).exits(0).stdout;
    let messages: Vec<&str> = text
        .lines()
        .filter(|line| line.get(10..18).is_some_and(|role| ["consumer", "agent   ", "note    "].contains(&role)))
        .collect();
    assert_eq!(messages.len(), 3, "{text}");
    assert!(messages[1].contains("أريد") && messages[0].contains("אני") && messages[2].contains("退款"), "{text}");
    assert!(text.contains("… 3 messages (m0 to m2) and 2 events …"), "{text}");
    assert!(text.contains("… 8 messages (m6 to m13) and 3 events …"), "{text}");
    assert!(text.contains("4 hits in 4 messages: m2 m4 m8 m13"), "{text}");
    let same = show(&["--around", "m4", "--context", "1"]).exits(0).stdout;
    assert_eq!(same.lines().filter(|line| messages.contains(line)).count(), 3, "{same}");
    let whole = show(&["--around", "m4", "--context", "99"]).exits(0).stdout;
    assert!(!whole.contains('…') && whole.contains("It is a new day"), "{whole}");
    // The day changes where it does in the zone.
    let tokyo = show(&["--tz", "Asia/Tokyo"]).exits(0).stdout;
    let days: Vec<&str> = tokyo.lines().filter(|line| line.starts_with("──")).collect();
    assert_eq!(days, ["── 2016-07-26 ──"], "{tokyo}");
    assert!(tokyo.contains("02:54:42  system") && tokyo.contains("· Asia/Tokyo ·"), "{tokyo}");
    for (arguments, said) in [
        (&["--around", "1"][..], "--query"),
        (&["--query", "refund", "--around", "5"], "4 messages have hits"),
        (&["--query", "sde:x", "--around", "1"], "no message has hits"),
        (&["--around", "m14"], "m13"),
        (&["--around", "0"], "counted from 1"),
        (&["--around", "x"], "m17"),
        (&["--query", "(refund"], "("),
        (&["--query", "refund", "--raw"], "--raw"),
    ] {
        let run = show(arguments).exits(2);
        assert!(run.stderr.contains(said), "{arguments:?}: {}", run.stderr);
    }
    assert!(show(&["--query", "elephant"]).exits(0).stdout.contains("does not match"));
    assert!(show(&["--query", "mcs:44"]).exits(0).stdout.contains("by facts"));
    // The same for scripts; what was there before is as it was.
    let plain = vault.json(&["show", id], 0);
    let mut found = vault.json(&["show", id, "--query", "refund", "--around", "2"], 0);
    assert_eq!(found["hits"], json!([2, 4, 8, 13]));
    assert_eq!(found["around"], json!({ "message": 4, "context": 5 }));
    let highlights = found["highlights"].as_array().unwrap().clone();
    // The fourth is in m13, which is not shown.
    assert_eq!(highlights.len(), 3);
    assert!(highlights.iter().all(|highlight| highlight["text"] == "refund"));
    // Only the lines around it, and nothing else, is left out.
    let part = found["messages"].as_array().unwrap().clone();
    assert_eq!(part, plain["messages"].as_array().unwrap()[..10]);
    found["messages"] = plain["messages"].clone();
    for added in ["hits", "hit_count", "around", "highlights", "matches", "query"] {
        found.as_object_mut().unwrap().remove(added).unwrap();
    }
    assert_eq!(found, plain);
}

#[test]
fn a_search_says_how_to_read_its_first_hit() {
    let vault = vault();
    let said = vault.run(&["search", "it's OR \"your refund\""]).exits(0).stderr;
    let command = said.lines().find(|line| line.starts_with("to read the first: ")).unwrap_or_else(|| panic!("{said}"));
    // As a shell would read it.
    let command = command.strip_prefix("to read the first: chatvault").unwrap();
    let script = format!("'{}'{command}", env!("CARGO_BIN_EXE_chatvault"));
    if cfg!(unix) {
        let run = Run::of(std::process::Command::new("sh").arg("-c").arg(&script).output().unwrap()).exits(0);
        assert!(run.stdout.contains("755558514295264942") && run.stdout.contains("hits  "), "{}", run.all());
    }
}

/// A vault with a simulated account, chats and messaging.
fn account() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = temp_folder();
    let path = folder.path().join("vault");
    let mut command = program();
    Run::of(command.arg("--vault").arg(&path).args(["demo", "--conversations", "300"]).output().unwrap()).exits(0);
    (folder, path)
}

fn json_of(vault: &Path, arguments: &[&str]) -> Value {
    Run::of(program().arg("--vault").arg(vault).arg("--json").args(arguments).output().unwrap()).exits(0).json()
}

/// Values of a facet, counted the simple way.
fn naive(stored: &StoredConversation, c: &Conversation, facet: &str, tz: &TimeZone) -> BTreeSet<String> {
    let at = c.start_ms.map(|ms| Timestamp::from_millisecond(ms).unwrap().to_zoned(tz.clone()));
    let text = |value: Option<String>| value.filter(|value| !value.is_empty()).map(|value| json!(value).to_string());
    let number = |value: Option<i64>| value.map(|value| value.to_string());
    let one = match facet {
        "end_reason" => number(c.end_reason),
        "start_reason" => number(c.start_reason),
        "closed_by" => text(c.closed_by.as_ref().map(|by| by.to_lowercase())),
        "device" => text(c.device.as_ref().map(|device| device.to_lowercase())),
        "origin" => text(c.origin.as_ref().map(|origin| origin.to_lowercase())),
        "type" => text(type_name(c)),
        "status" => text(c.status.as_deref().map(status_name)),
        "transfers" => number(Some(c.transfers.len() as i64)),
        "mcs" => number(c.mcs.map(|mcs| (mcs / 10.0).floor() as i64 * 10)),
        "csat" => number(c.csat.map(|csat| csat.floor() as i64)),
        "hour" => text(at.map(|at| at.strftime("%Y-%m-%dT%H:00").to_string())),
        "day" => text(at.map(|at| at.date().to_string())),
        "week" => text(at.map(|at| monday_of(at.date()))),
        "month" => text(at.map(|at| at.strftime("%Y-%m").to_string())),
        "hour_of_day" => number(at.map(|at| i64::from(at.hour()))),
        "weekday" => number(at.map(|at| i64::from(at.weekday().to_monday_one_offset()))),
        _ => {
            let many: BTreeSet<String> = match facet {
                "skill" => c.all_skills().into_iter().map(|skill| json!(skill).to_string()).collect(),
                "agent" => c.agents().into_iter().map(|agent| json!(agent.id).to_string()).collect(),
                "source" => stored.sources().into_iter().map(|source| json!(source).to_string()).collect(),
                _ => panic!("{facet}"),
            };
            return if many.is_empty() { BTreeSet::from(["null".to_owned()]) } else { many };
        }
    };
    BTreeSet::from([one.unwrap_or_else(|| "null".to_owned())])
}

/// Steps back a day at a time.
fn monday_of(date: jiff::civil::Date) -> String {
    let mut day = date;
    while day.weekday() != jiff::civil::Weekday::Monday {
        day = day.yesterday().unwrap();
    }
    day.to_string()
}

const FACETS: [&str; 19] = [
    "end_reason",
    "start_reason",
    "closed_by",
    "skill",
    "agent",
    "device",
    "origin",
    "type",
    "status",
    "source",
    "transfers",
    "mcs",
    "csat",
    "hour",
    "day",
    "week",
    "month",
    "hour_of_day",
    "weekday",
];

#[test]
fn facets_are_what_a_simple_count_gives() {
    let (_folder, path) = account();
    let mut all: Vec<StoredConversation> = Vec::new();
    reader(&path).for_each(&mut |stored| all.push(stored)).unwrap();
    all.retain(|stored| stored.merged().supplement.is_none());
    for (query, zone) in
        [("*", "UTC"), ("*", "Asia/Kathmandu"), ("refund", "America/St_Johns"), ("type:messaging", "Europe/Berlin")]
    {
        let tz = TimeZone::get(zone).unwrap();
        let arguments = ["search", query, "--tz", zone, "--limit", "all", "--facets", &FACETS.join(",")];
        let answer = json_of(&path, &arguments);
        let keys: BTreeSet<&str> =
            answer["hits"].as_array().unwrap().iter().map(|hit| hit["key"].as_str().unwrap()).collect();
        assert!(keys.len() > 20, "{query}");
        let total = answer["total"]["value"].as_u64().unwrap();
        let facets = answer["facets"].as_object().unwrap();
        assert_eq!(facets.len(), FACETS.len());
        let mut told = 0;
        for facet in FACETS {
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for stored in all.iter().filter(|stored| keys.contains(stored.key().as_str())) {
                for value in naive(stored, &stored.merged(), facet, &tz) {
                    *expected.entry(value).or_default() += 1;
                }
            }
            told += expected.len();
            let entries = facets[facet].as_array().unwrap();
            let found: BTreeMap<String, u64> =
                entries.iter().map(|entry| (entry["value"].to_string(), entry["count"].as_u64().unwrap())).collect();
            assert_eq!(found.len(), entries.len(), "{facet}: each value once");
            assert_eq!(found, expected, "{query} {zone} {facet}");
            for entry in entries {
                let share = entry["count"].as_u64().unwrap() as f64 / total as f64;
                assert!((entry["share"].as_f64().unwrap() - share).abs() < 1e-9, "{facet}: {entry}");
            }
        }
        assert!(told > 60, "{query}: {told} values tell something");
    }
    // Names beside ids, those that the conversations show.
    let answer = json_of(&path, &["search", "*", "--limit", "0", "--facets", "agent"]);
    let shown = |id: &str| -> BTreeSet<String> {
        let agents = all.iter().map(StoredConversation::merged);
        agents
            .flat_map(|c| {
                c.agents()
                    .iter()
                    .filter(|agent| agent.id == id)
                    .filter_map(|agent| agent.name.map(str::to_owned))
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    let mut named = 0;
    for entry in answer["facets"]["agent"].as_array().unwrap() {
        let Some(id) = entry["value"].as_str() else { continue };
        if let Some(label) = entry["label"].as_str() {
            assert!(shown(id).contains(label), "{entry}");
            named += 1;
        }
    }
    assert!(named > 3, "{answer:#}");
}

#[test]
fn figures_are_what_a_simple_count_gives() {
    let (_folder, path) = account();
    let mut all: Vec<Conversation> = Vec::new();
    reader(&path).for_each(&mut |stored| all.push(stored.merged())).unwrap();
    all.retain(|c| c.supplement.is_none());
    let stats = json_of(&path, &["stats"]);
    assert_eq!(stats["conversations"], all.len());
    for role in ["consumer", "agent", "bot", "system", "note"] {
        let count = all.iter().flat_map(|c| &c.messages).filter(|message| message.role.name() == role).count();
        assert_eq!(stats["messages"][role], count, "{role}");
    }
    assert_eq!(stats["messages"]["total"], all.iter().map(|c| c.messages.len()).sum::<usize>());
    for (name, lengths) in [
        ("duration_s", all.iter().filter_map(Conversation::duration_ms).collect::<Vec<i64>>()),
        ("queue_s", all.iter().filter_map(Conversation::queue_ms).collect()),
    ] {
        let mut lengths = lengths;
        lengths.sort_unstable();
        assert!(lengths.len() > 50);
        // Nearest rank, of the milliseconds.
        let percentile = |percent: usize| lengths[(lengths.len() * percent).div_ceil(100) - 1].div_euclid(1000);
        let found = &stats[name];
        assert_eq!((&found["p50"], &found["p90"]), (&json!(percentile(50)), &json!(percentile(90))), "{name}");
        assert_eq!((&found["p99"], &found["max"]), (&json!(percentile(99)), &json!(percentile(100))), "{name}");
        assert_eq!((&found["count"], &found["without"]), (&json!(lengths.len()), &json!(all.len() - lengths.len())));
    }
    // The days of the chart are all days, those without a conversation too, and its counts add up.
    let chart = |arguments: &[&str]| {
        let mut command = program();
        command.arg("--vault").arg(&path).env("COLUMNS", "80").env("LC_ALL", "C").args(arguments);
        Run::of(command.output().unwrap()).exits(0).stdout
    };
    let text = chart(&["stats", "--by", "day"]);
    let days: Vec<&str> =
        text.lines().skip_while(|line| *line != "day (UTC)").skip(1).take_while(|line| line.starts_with(' ')).collect();
    let first: jiff::civil::Date = days[0].split_whitespace().next().unwrap().parse().unwrap();
    let mut sum = 0;
    for (at, line) in days.iter().enumerate() {
        let mut words = line.split_whitespace();
        let date: jiff::civil::Date = words.next().unwrap().parse().unwrap();
        assert_eq!(date, first.checked_add(jiff::Span::new().days(at as i64)).unwrap(), "{text}");
        sum += words.nth(1).unwrap().replace(',', "").parse::<usize>().unwrap();
    }
    assert_eq!(sum, all.len(), "{text}");
    assert!(text.contains('#') && !text.contains('█'), "the locale C has no blocks: {text}");
    let cut = chart(&["stats", "--top", "2"]);
    assert!(cut.contains("further value") && !chart(&["stats", "--top", "all"]).contains("further value"), "{cut}");
    assert!(cut.lines().all(|line| line.width() <= 80), "{cut}");
    let none = json_of(&path, &["stats", "--query", "zzzzqqq"]);
    assert_eq!(
        (&none["conversations"], &none["duration_s"], &none["messages"]["total"]),
        (&json!(0), &Value::Null, &json!(0))
    );
    chart(&["stats", "--query", "zzzzqqq"]);
}
