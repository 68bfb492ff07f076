//! What `show` and its neighbours say of hits, quick replies, surveys and of what they leave out: one meaning everywhere, and
//! nothing left out without a word.

use crate::support::{Lab, Run, Vault, program, temp_folder, world};
use chatvault::conversation::{Role, flattened};
use chatvault::simulator::{MessagingConfig, Script, SimulatorConfig};
use serde_json::{Value, json};
use std::fs;

const START: i64 = 1_717_230_600_000;

/// The body of a record with one chat.
fn chat(id: &str, visitor: &str, lines: &[&str]) -> Value {
    let transcripts: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(at, text)| {
            let kind = if text.starts_with('<') { "4" } else { "0" };
            json!({ "timestamp": START + at as i64 * 1000, "type": kind, "by": "Visitor", "agentId": "0", "text": text })
        })
        .collect();
    let engagement = json!({ "conversationId": id, "type": "LIVE_CHAT", "conversationStartTime": START,
        "conversationEndTime": START + 60_000, "transcripts": transcripts });
    json!({ "body": { "header": { "visitorId": visitor }, "engagements": [engagement] } })
}

fn vault_of(files: &[(&str, String)]) -> Vault {
    let vault = Vault::new("40112233");
    let folder = temp_folder();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    vault.run(&["import", &folder.path().to_string_lossy()]).exits(0);
    vault
}

fn chats(bodies: &[Value]) -> (&'static str, String) {
    let record =
        json!({ "dataType": "Engagement", "metaData": { "accountId": "40112233" }, "recordCollection": bodies });
    ("chats.json", format!("{record}\n"))
}

fn refunds() -> Vault {
    vault_of(&[chats(&[
        chat("900", "", &["one refund two refund", "refund refund refund", "no more", "Ünïcode 退款 refund"]),
        chat(
            "901",
            "",
            &["a", "<p>your <a href=\"https://x.example/refund\">label</a></p>", "money back, money soon back"],
        ),
        chat("902", "", &["parcel", "parcel", "parcel", "parcel parcel", "parcel"]),
    ])])
}

#[test]
fn hits_are_what_a_term_report_counts() {
    let vault = refunds();
    let folder = temp_folder();
    let list = folder.path().join("terms.txt");
    for (id, query) in [
        ("900", "refund"),
        ("900", "\"refund refund\""),
        ("900", "one w/3 two"),
        ("900", "refund OR refund* OR \"refund refund\""),
        ("900", "refund -elephant"),
        ("901", "raw:href"),
        ("901", "money w/3 back"),
        ("902", "parcel"),
    ] {
        fs::write(&list, format!("id:{id} ({query})\n")).unwrap();
        let report = vault.json(&["search", "--term-report", &list.to_string_lossy()], 0);
        let term = &report["terms"][0];
        assert!(term["hits"].as_u64().unwrap() > 0, "{query}: {report:#}");
        let shown = vault.json(&["show", id, "--query", query], 0);
        assert_eq!(shown["hit_count"], term["hits"], "{query}");
        assert_eq!(shown["hits"].as_array().unwrap().len() as u64, term["messages"].as_u64().unwrap(), "{query}");
        let said = |count: &Value, what: &str| match count.as_u64().unwrap() {
            1 => format!("1 {what}"),
            more => format!("{more} {what}s"),
        };
        let text = vault.run(&["show", id, "--query", query]).exits(0).stdout;
        let heading = format!("{} in {}: m", said(&term["hits"], "hit"), said(&term["messages"], "message"));
        assert!(text.contains(&heading), "{heading}\n{text}");
    }
    let text = vault.run(&["show", "900", "--query", "refund"]).exits(0).stdout;
    assert!(text.contains("6 hits in 3 messages: m0 m1 m3\n"), "{text}");
    let none = vault.json(&["show", "900", "--query", "elephant"], 0);
    assert_eq!((&none["hit_count"], &none["hits"], &none["matches"]), (&json!(0), &json!([]), &json!(false)));
}

#[test]
fn around_counts_messages_with_hits() {
    let vault = refunds();
    let message =
        |nth: &str| vault.json(&["show", "900", "--query", "refund", "--around", nth], 0)["around"]["message"].clone();
    assert_eq!([message("1"), message("2"), message("3")], [json!(0), json!(1), json!(3)]);
    let refused = vault.run(&["show", "900", "--query", "refund", "--around", "4"]).exits(2).stderr;
    assert!(refused.contains("3 messages have hits of the query"), "{refused}");
    let refused = vault.run(&["show", "900", "--around", "4"]).exits(2).stderr;
    assert!(refused.contains("messages with hits"), "{refused}");
    let help = vault.run(&["show", "--help"]).exits(0).stdout;
    assert!(help.contains("Nth message with hits"), "{help}");
}

#[test]
fn highlights_count_bytes_and_characters() {
    let vault = refunds();
    let shown = vault.json(&["show", "900", "--query", "refund"], 0);
    let highlights = shown["highlights"].as_array().unwrap();
    assert_eq!(highlights.len(), 6);
    for highlight in highlights {
        let place = |name: &str| highlight[name].as_u64().unwrap() as usize;
        let text = shown["messages"][place("message")]["text"].as_str().unwrap();
        assert_eq!(&text[place("start")..place("end")], "refund", "{highlight}");
        let characters: Vec<char> = text.chars().collect();
        assert_eq!(
            characters[place("start_char")..place("end_char")].iter().collect::<String>(),
            "refund",
            "{highlight}"
        );
    }
    assert_eq!((&highlights[5]["start"], &highlights[5]["start_char"]), (&json!(17), &json!(11)));
    let help = vault.run(&["show", "--help"]).exits(0).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("count UTF-8 bytes") && help.contains("Unicode code points"), "{help}");
}

#[test]
fn a_part_is_a_part_for_scripts_too() {
    let vault = refunds();
    let whole = vault.json(&["show", "900", "--query", "refund"], 0);
    for (context, expected) in [("0", vec![1]), ("1", vec![0, 1, 2]), ("99", vec![0, 1, 2, 3])] {
        let part = vault.json(&["show", "900", "--query", "refund", "--around", "m1", "--context", context], 0);
        let indices: Vec<u64> =
            part["messages"].as_array().unwrap().iter().map(|message| message["index"].as_u64().unwrap()).collect();
        assert_eq!(indices, expected);
        let here = |highlight: &&Value| expected.contains(&highlight["message"].as_u64().unwrap());
        let of_these: Vec<&Value> = whole["highlights"].as_array().unwrap().iter().filter(here).collect();
        assert_eq!(part["highlights"].as_array().unwrap().iter().collect::<Vec<_>>(), of_these);
        for field in ["hits", "hit_count", "message_count", "matches"] {
            assert_eq!(part[field], whole[field], "{field}");
        }
    }
    let one = vault.json(&["show", "900", "--around", "m1", "--context", "0"], 0);
    assert_eq!(one["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn lines_with_hits_that_no_snippet_shows_are_told() {
    let vault = refunds();
    let text = vault.run(&["search", "parcel"]).exits(0).stdout;
    assert!(text.ends_with("\n    … and 2 more lines with hits\n"), "{text}");
    let text = vault.run(&["search", "parcel id:902 OR money"]).exits(0).stdout;
    assert_eq!(text.matches("more line").count(), 1, "{text}");
    let text = vault.run(&["search", "refund id:900"]).exits(0).stdout;
    assert!(text.contains("refund") && !text.contains("more line"), "{text}");
    // A line whose words and whose tags both have hits is one line.
    let text = vault.run(&["search", "raw:href label"]).exits(0).stdout;
    assert!(text.contains("href") && !text.contains("more line"), "{text}");
}

#[test]
fn web_sessions_that_are_not_listed_are_told() {
    let session = |visitor: &str, visit: usize, time: i64| {
        let body = json!({ "header": { "visitId": format!("visit-{visitor}-{visit}"), "visitorId": visitor, "contextId": null },
            "engagementAttributes": [ { "timestamp": time, "data": { "customerId": "C-1" } } ] });
        let record = json!({ "dataType": "WebSession", "metaData": { "accountId": "40112233" }, "recordCollection": [ { "body": body } ] });
        format!("{record}\n")
    };
    let mut sessions = String::new();
    for (visitor, count, time) in [("few", 50, START), ("more", 51, START), ("regular", 2001, START - 86_400_000)] {
        (0..count).for_each(|visit| sessions.push_str(&session(visitor, visit, time + visit as i64)));
    }
    let conversations = ["few", "more", "regular", "nobody"].map(|visitor| chat(visitor, visitor, &["hello"]));
    let vault = vault_of(&[chats(&conversations), ("WebSession.json", sessions)]);
    for (id, listed, complete) in [("few", 50, true), ("more", 50, false), ("regular", 0, false), ("nobody", 0, true)] {
        let shown = vault.json(&["show", id], 0);
        assert_eq!(shown["web_sessions"].as_array().unwrap().len(), listed, "{id}");
        assert_eq!(shown["web_sessions_complete"], complete, "{id}");
    }
}

#[test]
fn a_query_is_explained_without_a_vault() {
    let folder = temp_folder();
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.current_dir(folder.path()).args(arguments);
        Run::of(command.output().unwrap())
    };
    let text = run(&["search", "--explain", "refund agent:sorry"]).exits(0).stdout;
    assert!(text.contains("understood as: "), "{text}");
    let explained = run(&["--json", "search", "--explain", "--syntax", "dtsearch", "refund policy"]).exits(0).json();
    assert_eq!(explained["query_normalised"], "\"refund policy\"");
    run(&["search", "--explain", "(refund"]).exits(2);
    // What is saved is saved in a vault.
    let needs = run(&["search", "--explain", "saved:counsel"]);
    assert_ne!(needs.code, Some(0));
    assert!(needs.stderr.contains("no vault here"), "{}", needs.stderr);
    assert_ne!(run(&["search", "refund"]).code, Some(0));
}

/// A synced account with messaging.
fn messaging() -> Vault {
    let messaging = MessagingConfig { conversations: 150, days: 3, days_ahead: 1, ..MessagingConfig::default() };
    let lab = Lab::with(SimulatorConfig { world: world(20, 6), messaging, ..Lab::config() });
    let vault = lab.history_vault("10d");
    vault.run(&["sync"]).exits(0);
    vault
}

#[test]
fn quick_replies_surveys_and_rich_content_read_as_people_saw_them() {
    let vault = messaging();
    let mut all = Vec::new();
    crate::support::reader(&vault.path()).for_each(&mut |stored| all.push(stored.merged())).unwrap();
    let (mut offered, mut unanswered) = (0, 0);
    for c in all.iter().filter(|c| c.supplement.is_none()) {
        let quick: Vec<Vec<String>> = c
            .messages
            .iter()
            .filter(|message| message.role != Role::Note)
            .filter_map(|message| titles(message.attachment.as_deref()?))
            .collect();
        let not_filled = c.surveys.iter().filter(|survey| survey.contains("\"NOT_FILLED\"")).collect::<Vec<_>>();
        if (quick.is_empty() || offered > 15) && (not_filled.is_empty() || unanswered > 5) {
            continue;
        }
        let id = c.conversation_id.as_deref().unwrap();
        let text = vault.run(&["show", id]).exits(0).stdout;
        // Replies with line feeds and the like come on several lines, escaped.
        let is_plain =
            |title: &String| title.chars().all(|c| c.is_ascii_graphic() || c == ' ') && title.trim() == title;
        for titles in quick.iter().filter(|titles| titles.iter().all(is_plain)) {
            let line = format!("[quick replies] {}\n", titles.join(" | "));
            assert!(text.contains(&line), "{line}\n{text}");
            offered += 1;
        }
        for survey in not_filled {
            let kind = flattened(survey).into_iter().find(|field| field.path == "surveyType").unwrap().text;
            assert!(text.contains(&format!("survey        {kind} · not filled\n")), "{text}");
            unanswered += 1;
        }
        for structure in ["itemsPerRow", "publishText", "\"elements\"", "[attachment]"] {
            assert!(!text.contains(structure), "{structure}\n{text}");
        }
    }
    assert!(offered > 5 && unanswered > 2, "{offered} {unanswered}");
    // A word that is found in a reply is marked there.
    let reply = all.iter().find_map(|c| {
        let message = c.messages.iter().find(|message| message.attachment.as_deref().and_then(titles).is_some())?;
        let first = titles(message.attachment.as_deref()?)?.remove(0);
        let is_plain = first.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
        is_plain.then_some((c.conversation_id.clone()?, first))
    });
    let (id, title) = reply.unwrap();
    let text = vault.run(&["--color", "always", "show", &id, "--query", &format!("\"{title}\"")]).exits(0).stdout;
    let mut lines = text.lines().filter(|line| line.contains("[quick replies]"));
    assert!(lines.any(|line| line.contains("\u{1b}[1;33m")), "{text:?}");
}

/// Titles of the quick replies in an attachment.
fn titles(attachment: &str) -> Option<Vec<String>> {
    let attachment: Value = serde_json::from_str(attachment).ok()?;
    let content: Value = serde_json::from_str(attachment["content"].as_str()?).ok()?;
    let replies = content["replies"].as_array()?;
    Some(replies.iter().map(|reply| reply["title"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn agents_of_a_term_report_have_names() {
    let (vault, run) = Lab::new(world(120, 20), Script::default()).synced();
    run.exits(0);
    let labels = vault.json(&["search", "*", "--limit", "0", "--facets", "agent"], 0)["facets"]["agent"].clone();
    let label = |id: &Value| {
        let entry = labels.as_array().unwrap().iter().find(|entry| entry["value"] == *id).unwrap();
        entry.get("label").cloned().unwrap_or(Value::Null)
    };
    let folder = temp_folder();
    let list = folder.path().join("terms.txt");
    fs::write(&list, "*\norder\n").unwrap();
    let list = list.to_string_lossy();
    let report = vault.json(&["search", "--term-report", &list], 0);
    let by_agent = report["terms"][0]["by_agent"].as_array().unwrap();
    assert!(by_agent.iter().filter(|entry| entry["label"].is_string()).count() > 2, "{by_agent:?}");
    for entry in by_agent.iter().chain(report["union"]["by_agent"].as_array().unwrap()) {
        assert_eq!(entry.get("label").cloned().unwrap_or(Value::Null), label(&entry["value"]), "{entry}");
    }
    assert!(report["terms"][0]["by_month"].as_array().unwrap().iter().all(|entry| entry.get("label").is_none()));
    let csv = vault.run(&["search", "--term-report", &list, "--by", "agent", "--format", "csv"]).exits(0).stdout;
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(rows.headers().unwrap(), vec!["line", "name", "query", "agent", "agent_name", "conversations"]);
    for row in rows.records().map(Result::unwrap).filter(|row| &row[3] != "(none)") {
        assert_eq!(&row[4], label(&json!(row[3])).as_str().unwrap_or_default(), "{row:?}");
    }
    let table = vault.run(&["search", "--term-report", &list, "--by", "agent"]).exits(0).stdout;
    let named = by_agent.iter().find_map(|entry| entry["label"].as_str()).unwrap();
    assert!(table.lines().next().unwrap().contains("agent_name") && table.contains(named), "{table}");
}
