//! The history of operational figures: what the simulated account answered over a day, archived as received, is told once,
//! agrees with its conversations in the index, and goes out in files that others read.

use crate::support::{Lab, Vault, ids, keys, reader, temp_folder, world};
use base64::Engine as _;
use chatvault::archive::{ApiAnswer, Archive, Clock as VaultClock, RealDisk};
use chatvault::pipeline::{Among, SeriesFilter, SeriesOptions, drill_down};
use chatvault::simulator::{Clock, MessagingConfig, Script, SimulatorConfig, WorldConfig};
use hmac::{Hmac, Mac};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use serde_json::{Value, json};
use sha1::Sha1;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
const REALTIME: &str = "operational-realtime";
const MESSAGING: &str = "messaging-operations";
const AGENTS: &str = "agent-metrics";

/// What is asked at each poll: stream, call, query; a POST where it begins with `agent-view`.
const CALLS: [(&str, &str, &str); 8] = [
    (REALTIME, "queuehealth", "timeframe=60&interval=5&v=1&skillIds=all"),
    (REALTIME, "engactivity", "timeframe=60&interval=5&v=1&skillIds=all&agentIds=all"),
    (REALTIME, "agentactivity", "timeframe=60&interval=5&v=1&agentIds=all"),
    (MESSAGING, "msgconversation", "timeframe=60&interval=5&v=1&skillIds=all&agentIds=all"),
    (MESSAGING, "msgcsatdistribution", "timeframe=60&interval=5&v=1&skillIds=all&agentIds=all"),
    (MESSAGING, "msgqueuehealth/current", "v=1"),
    (AGENTS, "agent-view/status", "limit=2500&offset=0"),
    (AGENTS, "agent-view/summary", ""),
];

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// An OAuth 1.0 header, by a signer of the test's own.
fn sign(method: &str, url: &str) -> String {
    static NONCE: AtomicU64 = AtomicU64::new(1);
    let keys = keys();
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let oauth = [
        ("oauth_consumer_key", keys.app_key.clone()),
        ("oauth_nonce", format!("series{}", NONCE.fetch_add(1, Ordering::Relaxed))),
        ("oauth_signature_method", "HMAC-SHA1".to_owned()),
        ("oauth_timestamp", (jiff::Timestamp::now().as_second()).to_string()),
        ("oauth_token", keys.access_token.clone()),
        ("oauth_version", "1.0".to_owned()),
    ];
    let mut pairs: Vec<String> = oauth.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.extend(query.split('&').filter(|pair| !pair.is_empty()).map(str::to_owned));
    pairs.sort();
    let base = format!("{method}&{}&{}", encode(address), encode(&pairs.join("&")));
    let key = format!("{}&{}", keys.app_secret, keys.access_token_secret);
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(base.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let shown: Vec<String> = oauth.iter().map(|(name, value)| format!("{name}=\"{}\"", encode(value))).collect();
    format!("OAuth {}, oauth_signature=\"{}\"", shown.join(", "), encode(&signature))
}

/// Asks the account at these moments and archives every answer as received.
fn poll(lab: &Lab, vault: &Vault, moments: impl Iterator<Item = i64>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let archive = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), VaultClock::System).unwrap();
    let mut segments = [REALTIME, MESSAGING, AGENTS].map(|stream| (stream, archive.answers(stream).unwrap()));
    for at_ms in moments {
        lab.simulator.set_now_ms(at_ms);
        for (stream, call, query) in CALLS {
            let (api, account) = (lab.simulator.base_url(), lab.account());
            let is_post = call.starts_with("agent-view");
            let base = if is_post { "messaging_history" } else { "operations" };
            let slash = if call.ends_with("/current") { "/" } else { "" };
            let mark = if query.is_empty() { "" } else { "?" };
            let url = format!("{api}/{base}/api/account/{account}/{call}{slash}{mark}{query}");
            let request = if is_post {
                client.post(&url).header("Content-Type", "application/json").body("{}")
            } else {
                client.get(&url)
            };
            let method = if is_post { "POST" } else { "GET" };
            let body = runtime.block_on(async {
                let response = request.header("Authorization", sign(method, &url)).send().await.unwrap();
                assert_eq!(response.status(), 200, "{url}");
                response.bytes().await.unwrap()
            });
            let answer = ApiAnswer {
                stream,
                call,
                method,
                url: &url,
                request_body: &if is_post { json!({}) } else { Value::Null },
                status: 200,
                response: &BTreeMap::new(),
                // The archive's clock is two minutes slow, and knows it.
                received_ms: at_ms - 2 * MINUTE,
                clock_offset_ms: Some(2 * MINUTE),
                body: &body,
            };
            let (_, segment) = segments.iter_mut().find(|(name, _)| *name == stream).unwrap();
            segment.append(&answer).unwrap();
        }
    }
    for (_, segment) in &mut segments {
        segment.seal().unwrap().unwrap();
    }
}

struct Polled {
    lab: Lab,
    vault: Vault,
    /// First and last poll; in between, a pause of two hours.
    range_ms: (i64, i64),
}

/// One day of one account: making it takes longest.
#[test]
fn a_day_is_told_once_charted_exported_and_led_to_its_conversations() {
    let polled = polled();
    figures_agree_with_the_conversations_in_the_index(&polled);
    a_figure_leads_to_its_conversations(&polled);
    tables_and_charts_fit_and_show_holes(&polled);
    exports_are_read_back_whole(&polled);
}

/// An account that was polled every 33 minutes for twelve hours, and synced at the end.
fn polled() -> Polled {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let messaging = MessagingConfig { conversations: 900, days: 3, days_ahead: 1, ..MessagingConfig::default() };
    let lab = Lab::with(SimulatorConfig {
        // A revised record may end later than it was counted.
        world: WorldConfig { revised_permille: 0, ..world(600, 20) },
        messaging,
        clock: Clock::Fixed(now_ms),
        script: Script::default(),
        ..Lab::config()
    });
    let vault = lab.history_vault("4d");
    let first_ms = now_ms - 14 * HOUR;
    let pause = first_ms + 5 * HOUR..first_ms + 8 * HOUR;
    let moments: Vec<i64> =
        (0..25).map(|at| first_ms + at * 33 * MINUTE).filter(|at_ms| !pause.contains(at_ms)).collect();
    poll(&lab, &vault, moments.iter().copied());
    lab.simulator.set_now_ms(now_ms);
    vault.json(&["sync"], 0);
    Polled { lab, vault, range_ms: (moments[0], moments[moments.len() - 1]) }
}

fn call<'d>(document: &'d Value, name: &str) -> &'d Value {
    document["calls"]
        .as_array()
        .unwrap()
        .iter()
        .find(|call| call["call"] == name)
        .unwrap_or_else(|| panic!("{name}: {document}"))
}

/// A metric's figure of each step that has one, and is over: (start, end, value), epoch milliseconds.
fn steps(document: &Value, name: &str, metric: &str) -> Vec<(i64, i64, f64)> {
    let table = &call(document, name)["tables"][0];
    let row = table["metrics"].as_array().unwrap().iter().find(|row| row["metric"] == metric).unwrap();
    let ms = |time: &Value| time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let buckets = table["buckets"].as_array().unwrap().iter().zip(row["figures"].as_array().unwrap());
    buckets
        .filter(|(bucket, figure)| !figure.is_null() && bucket["open"] == false)
        .map(|(bucket, figure)| (ms(&bucket["start"]), ms(&bucket["end"]), figure["value"].as_f64().unwrap()))
        .collect()
}

/// Holds every step's figure against what a query finds in the same time; gives the sum.
#[track_caller]
fn agrees(vault: &Vault, document: &Value, call: &str, metric: &str, what: &str, field: &str) -> f64 {
    let reader = reader(&vault.path());
    let steps = steps(document, call, metric);
    assert!(steps.len() > 100, "{call}: {}", steps.len());
    for (start_ms, end_ms, value) in &steps {
        let query = format!("{what} {field}:{start_ms}..{}", end_ms - 1);
        assert_eq!(ids(&reader, &query).len() as f64, *value, "{call}.{metric}: {query}");
    }
    steps.iter().map(|(.., value)| value).sum()
}

fn figures_agree_with_the_conversations_in_the_index(polled: &Polled) {
    let Polled { lab, vault, range_ms } = polled;
    let realtime = vault.json(&["stats", "--stream", REALTIME, "--by", "5m"], 0);
    let queued = call(&realtime, "queuehealth");
    assert!(queued["said_again"].as_u64() > Some(0), "answers overlap: {queued}");
    // A window rounded down to buckets begins up to 65 minutes before its poll.
    let hole = &queued["holes"]["list"].as_array().unwrap()[..];
    assert!(hole.len() == 1 && hole[0]["because"] == "nothing-archived", "{hole:?}");
    assert_eq!(queued["overlaps"], 0);
    assert_eq!(realtime["coverage"]["first"]["time"], json!(time(range_ms.0)));
    assert_eq!(realtime["coverage"]["last"]["time"], json!(time(range_ms.1)));
    assert!(agrees(vault, &realtime, "queuehealth", "enteredQEng", "type:chat", "start") > 20.0);
    assert!(
        agrees(vault, &realtime, "engactivity", "totalInteractiveChats", "type:chat interactive:true", "end") > 20.0
    );
    agrees(vault, &realtime, "engactivity", "totalNonInteractiveChats", "type:chat interactive:false", "end");

    let messaging = vault.json(&["stats", "--stream", MESSAGING, "--by", "5m"], 0);
    for score in 1..=5 {
        let (metric, what) = (format!("csat_score{score}_answers"), format!("type:messaging csat:{score}"));
        agrees(vault, &messaging, "msgcsatdistribution", &metric, &what, "end");
    }
    // LivePerson counts a conversation when its main dialog closes; the end that it tells moves with the survey.
    let closes: BTreeMap<String, i64> = lab
        .simulator
        .messaging()
        .truth(lab.simulator.now_ms())
        .filter_map(|one| Some((one.id, one.close_ms?)))
        .collect();
    let archive = Archive::open(&vault.path(), Arc::new(RealDisk), VaultClock::System).unwrap();
    let filter = SeriesFilter { call: Some("msgconversation".to_owned()), ..SeriesFilter::default() };
    let reader = reader(&vault.path());
    let (mut intervals, mut parted, mut busiest) = (0, 0, (0.0, 0));
    for (start_ms, end_ms, value) in steps(&messaging, "msgconversation", "totalResolvedConversations") {
        let inside: BTreeSet<String> = closes
            .iter()
            .filter(|(_, at)| (start_ms..end_ms).contains(at))
            .map(|(id, _)| format!("{}:{id}", lab.account()))
            .collect();
        assert_eq!(inside.len() as f64, value, "{start_ms}");
        if value == 0.0 {
            continue;
        }
        let at_ms = start_ms + MINUTE;
        let calls =
            drill_down(&archive, MESSAGING, at_ms, &filter, SeriesOptions::default(), Among::Interactions).unwrap();
        let total = calls[0].figures.iter().find(|one| one.metric == "totalResolvedConversations").unwrap();
        let query = &total.query.as_ref().unwrap().text;
        assert_eq!(ids(&reader, query), inside, "{query}");
        parted += u64::from(ids(&reader, &query.replace("closed:2", "end:2")) != inside);
        intervals += 1;
        if value > busiest.0 {
            busiest = (value, at_ms);
        }
    }
    assert!(intervals > 20 && parted > 0, "{intervals} {parted}: no survey moved an end, so nothing is proved");
    // What is printed is the same query, because Data Access has messaging conversations of its own here.
    let printed = vault.json(&["stats", "--stream", MESSAGING, "--at", &time(busiest.1)], 0);
    let figures = call(&printed, "msgconversation")["figures"].as_array().unwrap().clone();
    let total = figures.iter().find(|one| one["metric"] == "totalResolvedConversations").unwrap();
    assert!(total["agrees"] == true && total["found"].as_f64() == Some(busiest.0), "{total}");
    assert!(total["query"].as_str().unwrap().contains("source:messaging-interactions"), "{total}");
    let newest = ["search", "type:messaging has:survey", "--sort", "closed", "--limit", "1"];
    let newest = vault.json(&newest, 0)["hits"][0]["conversation_id"].as_str().unwrap().to_owned();
    let with_survey = ids(&reader, "has:survey");
    let surveyed = |id: &str| with_survey.contains(&format!("{}:{id}", lab.account()));
    let latest = closes.iter().filter(|(id, _)| surveyed(id)).max_by_key(|(_, at)| **at).unwrap();
    assert_eq!(closes[&newest], *latest.1);
}

fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).unwrap().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn a_figure_leads_to_its_conversations(polled: &Polled) {
    let Polled { vault, range_ms, .. } = polled;
    // The busiest closed interval.
    let realtime = vault.json(&["stats", "--stream", REALTIME, "--by", "5m"], 0);
    let entered = steps(&realtime, "queuehealth", "enteredQEng");
    let (start_ms, _, value) = *entered.iter().max_by(|a, b| a.2.total_cmp(&b.2)).unwrap();
    let at = time(start_ms + 1234);
    let moment = vault.json(&["stats", "--stream", REALTIME, "--at", &at], 0);
    let figure = |document: &Value, name: &str, metric: &str| -> Value {
        let figures = call(document, name)["figures"].as_array().unwrap().clone();
        figures.into_iter().find(|figure| figure["metric"] == metric).unwrap_or_else(|| panic!("{metric}: {document}"))
    };
    let queued = figure(&moment, "queuehealth", "enteredQEng");
    assert_eq!(
        (queued["value"].as_f64(), &queued["found"], &queued["agrees"]),
        (Some(value), &json!(value as u64), &json!(true))
    );
    let rate = figure(&moment, "queuehealth", "abandonmentRate");
    assert!(rate["query"].is_null() && rate["found"].is_null() && !rate["none"].as_str().unwrap().is_empty());
    // The query is one that a user can type, and the hits are its hits.
    let typed = vault.json(&["search", queued["query"].as_str().unwrap(), "--count"], 0);
    assert_eq!(typed["total"]["value"], queued["found"]);
    let hits = vault.json(&["stats", "--stream", REALTIME, "--at", &at, "--conversations", "enteredQEng"], 0);
    assert_eq!(hits["hits"].as_array().unwrap().len() as f64, value);
    let text = vault.run(&["stats", "--stream", REALTIME, "--at", &at]).exits(0);
    assert!(text.stdout.contains("found  type:chat start:") && text.stdout.contains("no query"), "{}", text.stdout);

    // Of one skill: never fewer than LivePerson says, because a conversation may have had several.
    // It may have moved on to skills that have no figures of this moment.
    let skills: BTreeSet<String> = hits["hits"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|hit| hit["skills"].as_array().unwrap())
        .map(Value::to_string)
        .collect();
    let of_skill = |skill: &String| {
        let one = vault.json(&["stats", "--stream", REALTIME, "--at", &at, "--skill", skill], 0);
        let figures = call(&one, "queuehealth")["figures"].as_array().unwrap().clone();
        figures.into_iter().find(|figure| figure["metric"] == "enteredQEng").map(|queued| (skill.clone(), queued))
    };
    let (skill, queued) = skills.iter().find_map(of_skill).unwrap_or_else(|| panic!("{skills:?}: {moment}"));
    assert!(queued["found"].as_f64() >= queued["value"].as_f64() && queued["value"].as_f64() > Some(0.0), "{queued}");
    assert!(queued["query"].as_str().unwrap().ends_with(&format!("skill:{skill}")));

    let now = vault.json(&["stats", "--stream", AGENTS, "--at", &time(range_ms.1)], 0);
    let open = figure(&now, "agent-view/summary", "openAssignedConversations");
    assert!(open["found"].as_f64() >= open["value"].as_f64() && open["value"].as_f64() > Some(0.0), "{open}");

    // Inside the pause there is nothing, and that is said.
    let hole = &call(&realtime, "queuehealth")["holes"]["list"][0]["start"];
    let inside = hole.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond() + HOUR;
    // A figure that is not what is found: the conversations come with the rule that the figures come with.
    let (latest, figure_of) = (time(range_ms.1), "openAssignedConversations");
    let table = vault.run(&["stats", "--stream", AGENTS, "--at", &latest]).exits(0);
    let rule = table.stdout.lines().find_map(|line| line.trim_start().strip_prefix("! ")).unwrap().to_owned();
    let listed = vault.run(&["stats", "--stream", AGENTS, "--at", &latest, "--conversations", figure_of]).exits(0);
    assert!(listed.all().contains(&rule), "{rule}: {}", listed.all());
    let nothing = vault.run(&["--json", "stats", "--stream", REALTIME, "--at", &time(inside)]).exits(1);
    assert!(nothing.json()["error"].as_str().unwrap().contains("no archived figures"), "{}", nothing.stdout);
    for wrong in [
        &["stats", "--stream", REALTIME, "--at", "yesteryear"][..],
        &["stats", "--stream", REALTIME, "--at", &at, "--conversations", "abandonmentRate"],
        &["stats", "--stream", REALTIME, "--at", &at, "--conversations", "shoes"],
        &["stats", "--stream", REALTIME, "--metric", "shoes"],
        &["stats", "--stream", REALTIME, "--from", "2026-02-02", "--to", "2026-02-01"],
        &["stats", "--stream", "data-access/agent-activity", "--by", "day"],
        &["stats", "--by", "5m"],
        &["stats", "--stream", REALTIME, "--by", "week"],
    ] {
        vault.run(wrong).exits(2);
    }
}

fn tables_and_charts_fit_and_show_holes(polled: &Polled) {
    let Polled { vault, .. } = polled;
    for (columns, utf8) in [("80", true), ("120", false)] {
        for stream in [REALTIME, MESSAGING, AGENTS] {
            let mut command = vault.command(&["stats", "--stream", stream]);
            command.env("COLUMNS", columns).env("LC_ALL", if utf8 { "C.UTF-8" } else { "C" });
            let run = crate::support::Run::of(command.output().unwrap()).exits(0);
            assert_eq!(run.stdout.contains(['█', '▁', '·']), utf8, "{}", run.stdout);
            let longest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap();
            let width: usize = columns.parse().unwrap();
            assert!(longest <= width, "{longest}: {}", run.stdout);
        }
    }
    let mut command = vault.command(&[
        "stats",
        "--stream",
        REALTIME,
        "--by",
        "5m",
        "--call",
        "queuehealth",
        "--metric",
        "enteredQEng",
    ]);
    let run = crate::support::Run::of(command.env("LC_ALL", "C.UTF-8").output().unwrap()).exits(0);
    assert!(run.stdout.lines().any(|line| line.ends_with(" hole")) && run.stdout.contains('█'), "{}", run.stdout);
    let agents = vault.json(&["stats", "--stream", AGENTS], 0);
    let list = agents["agents"]["list"].as_array().unwrap();
    assert!(list.iter().any(|agent| agent["state"] == "offline" && agent["absent_ms"].as_i64() > Some(0)), "{agents}");
    assert!(list.iter().any(|agent| agent["state"] == "online"));
    // The sum of a day is the sum of its five minutes, an average is that of its sums.
    let by = |by: &str| vault.json(&["stats", "--stream", REALTIME, "--by", by, "--call", "queuehealth"], 0);
    let (fine, coarse) = (by("5m"), by("day"));
    let whole = |document: &Value, metric: &str| {
        let rows = call(document, "queuehealth")["tables"][0]["metrics"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["metric"] == metric).unwrap()["whole"]["value"].as_f64().unwrap()
    };
    for metric in ["enteredQEng", "connectedEng", "totalTimeToAnswer", "avgTimeToAnswer"] {
        assert_eq!(whole(&fine, metric), whole(&coarse, metric), "{metric}");
    }
    let expected = whole(&fine, "totalTimeToAnswer") / whole(&fine, "connectedEng");
    assert_eq!(whole(&fine, "avgTimeToAnswer"), expected);
}

fn exports_are_read_back_whole(polled: &Polled) {
    let Polled { vault, .. } = polled;
    let folder = temp_folder();
    let mut totals = BTreeMap::new();
    for stream in [REALTIME, MESSAGING, AGENTS] {
        let out = |format: &str| folder.path().join(format!("{stream}.{format}")).to_string_lossy().into_owned();
        let (csv_path, parquet_path) = (out("csv"), out("parquet"));
        let report = vault.json(&["export", "--stream", stream, "--format", "csv", "--out", &csv_path], 0);
        vault.json(&["export", "--stream", stream, "--format", "parquet", "--out", &parquet_path], 0);
        let mut reader = csv::Reader::from_path(&csv_path).unwrap();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len() as u64, report["rows"].as_u64().unwrap());
        let file = SerializedFileReader::new(std::fs::File::open(&parquet_path).unwrap()).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), rows.len() as i64);
        for (row, cells) in file.get_row_iter(None).unwrap().map(Result::unwrap).zip(&rows) {
            for (column, cell) in [(0, &cells[0]), (1, &cells[1]), (13, &cells[13])] {
                assert_eq!(row.get_string(column).unwrap(), cell);
            }
            let start = cells[3].parse::<jiff::Timestamp>().unwrap().as_millisecond();
            assert_eq!(row.get_timestamp_millis(3).unwrap(), start);
            assert_eq!(row.get_bool(5).unwrap().to_string(), cells[5]);
            assert_eq!(row.get_string(7).map_or("", String::as_str), &cells[7]);
            match cells[14].parse::<f64>() {
                Ok(value) => assert_eq!(row.get_double(14).unwrap(), value),
                Err(_) => assert!(row.get_double(14).is_err() && !cells[15].is_empty(), "{cells:?}"),
            }
            if &cells[1] == "queuehealth"
                && &cells[2] == "interval"
                && cells[7].is_empty()
                && &cells[13] == "enteredQEng"
            {
                *totals.entry("entered").or_insert(0.0) += cells[14].parse::<f64>().unwrap();
            }
        }
        // A file that is there is never written over, and nothing else is left behind.
        vault.run(&["export", "--stream", stream, "--format", "csv", "--out", &csv_path]).exits(2);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
    let table = vault.json(&["stats", "--stream", REALTIME, "--by", "day", "--call", "queuehealth"], 0);
    let rows = call(&table, "queuehealth")["tables"][0]["metrics"].as_array().unwrap();
    let entered = rows.iter().find(|row| row["metric"] == "enteredQEng").unwrap();
    assert_eq!(entered["whole"]["value"].as_f64(), totals.get("entered").copied());
    let list = vault.json(&["audit", "list", "--kind", "exported"], 0);
    assert!(list.to_string().contains("parquet"), "{list}");
    let inside = vault.path().join("x.csv").to_string_lossy().into_owned();
    for (stream, format, out) in
        [(REALTIME, "bagit", "/x"), ("data-access/engagement", "csv", "/x"), (REALTIME, "csv", &inside)]
    {
        vault.run(&["export", "--stream", stream, "--format", format, "--out", out]).exits(2);
    }
    vault.run(&["export", "--format", "csv", "--out", "x"]).exits(2);
}

#[test]
fn foreign_figures_cannot_reach_a_terminal_or_a_spreadsheet() {
    let vault = Vault::new("40112233");
    let evil = "=cmd|' /C calc'!A0\u{1b}[31m\u{202e}";
    let now_ms = jiff::Timestamp::now().as_millisecond();
    {
        let archive = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), VaultClock::System).unwrap();
        let mut segment = archive.answers(AGENTS).unwrap();
        let record = json!({ "agentStatusRecords": [ { "agentId": evil, "agentName": evil, "currentStatus": evil, "load": 4 } ] });
        let summary = json!({ "summaryResults": { evil: 3 } });
        for (call, body) in [
            ("agent-view/status", record.to_string()),
            ("agent-view/summary", summary.to_string()),
            ("agent-view/\u{1b}[31m", "{\"x\":1,\"y\":tru}".to_owned()),
        ] {
            let answer = ApiAnswer {
                stream: AGENTS,
                call,
                method: "POST",
                url: "https://lo.example/a",
                request_body: &Value::Null,
                status: 200,
                response: &BTreeMap::new(),
                received_ms: now_ms,
                clock_offset_ms: None,
                body: body.as_bytes(),
            };
            segment.append(&answer).unwrap();
        }
        segment.seal().unwrap().unwrap();
    }
    for arguments in [&["stats", "--stream", AGENTS][..], &["stats", "--stream", AGENTS, "--metric", evil]] {
        // One body is no JSON: counted, and said with the exit code.
        let run = vault.run(arguments).exits(3);
        assert!(!run.all().contains(['\u{1b}', '\u{202e}']), "{:?}", run.all());
        assert!(run.stdout.contains("=cmd"), "{}", run.stdout);
    }
    let folder = temp_folder();
    let out = folder.path().join("a.csv").to_string_lossy().into_owned();
    vault.run(&["export", "--stream", AGENTS, "--format", "csv", "--out", &out]).exits(3);
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.contains("'=cmd") && !text.contains(",=cmd") && !text.contains("\"=cmd"), "{text}");
}
