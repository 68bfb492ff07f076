//! Operations and Agent Metrics over HTTP: figures that add up to the account.

use serde_json::{Value, json};

use super::lab::{Lab, json, message};
use super::*;

const BASE: &str = "/operations/api/account/40112233";
const WAIT: &str = "/lp-messaging-ewt-app/api/account/40112233/ewt";
const AGENTS: &str = "/messaging_history/api/account/40112233/agent-view";
const HOUR: i64 = 3_600_000;

async fn lab() -> Lab {
    let messaging = MessagingConfig { conversations: 1_500, ..MessagingConfig::default() };
    let lab = Lab::new(SimulatorConfig { world: small(1_500), messaging, ..SimulatorConfig::default() }).await;
    // In the middle of a Friday.
    lab.simulator.set_now_ms(lab.simulator.world().config().end_ms - 60 * HOUR + 777_777);
    lab
}

async fn get(lab: &Lab, path: &str) -> Value {
    let response = lab.get(&format!("{}{BASE}/{path}", lab.simulator.base_url())).await;
    assert_eq!(response.status(), 200, "{path}");
    json(response).await
}

/// The window of `hours` until now in buckets of five minutes, cut at now.
fn window(lab: &Lab, hours: i64) -> std::ops::RangeInclusive<i64> {
    let now_ms = lab.simulator.now_ms();
    let from_ms = now_ms - hours * HOUR;
    from_ms - from_ms.rem_euclid(300_000)..=now_ms
}

fn sum(found: &Value, name: &str) -> i64 {
    let intervals = found["metricsByIntervals"].as_array().unwrap();
    intervals.iter().map(|interval| interval["metricsData"]["metricsTotals"][name].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn queues_of_chats_add_up_to_the_account() {
    let lab = lab().await;
    let found = get(&lab, "queuehealth?timeframe=360&interval=60&v=1&skillIds=all").await;
    let window = window(&lab, 6);
    let chats = || lab.simulator.world().conversations().filter(|chat| !chat.messaging);
    let entered = chats().filter(|chat| window.contains(&chat.start_ms)).count() as i64;
    let waits = chats().filter(|chat| window.contains(&chat.connect_ms));
    let waited_s: i64 = waits.map(|chat| (chat.connect_ms - chat.start_ms) / 1000).sum();
    let totals = &found["metricsTotals"];
    assert!(entered > 20, "{entered}");
    assert_eq!(totals["enteredQEng"], entered);
    assert_eq!(totals["totalTimeToAnswer"], waited_s);
    for name in ["enteredQEng", "connectedEng", "totalTimeToAnswer", "queueSizeSum", "queueSizeCount"] {
        assert_eq!(sum(&found, name), totals[name].as_i64().unwrap(), "{name}");
    }
    assert!(totals["queueSizeSum"].as_i64() > Some(0) && totals["maxQueueSize"].as_i64() >= Some(1));
    let skills = found["skillsMetrics"].as_object().unwrap();
    let by_skill: i64 = skills.values().map(|metrics| metrics["enteredQEng"].as_i64().unwrap()).sum();
    assert_eq!(by_skill, entered);
    let stamps: Vec<i64> =
        found["metricsByIntervals"].as_array().unwrap().iter().map(|one| one["timestamp"].as_i64().unwrap()).collect();
    assert!(stamps[0] - lab.simulator.now_ms() < 300_000 && stamps[0] > lab.simulator.now_ms());
    assert!(stamps.windows(2).all(|pair| pair[0] - pair[1] == HOUR) && stamps.len() == 7);
    let wrapped = get(&lab, "queuehealth?timeframe=360").await;
    assert_eq!(wrapped["body"]["metricsTotals"]["enteredQEng"], entered);
    assert!(wrapped["body"].get("skillsMetrics").is_none());
}

#[tokio::test]
async fn engagements_and_agents_add_up() {
    let lab = lab().await;
    let found = get(&lab, "engactivity?timeframe=360&interval=120&v=1&skillIds=all&agentIds=all").await;
    let totals = found["skillsMetricsPerAgent"]["metricsTotals"].clone();
    assert_eq!(totals, found["agentsMetrics"]["metricsTotals"]);
    let window = window(&lab, 6);
    let chats = lab.simulator.world().conversations().filter(|chat| !chat.messaging);
    let connected: Vec<_> = chats.filter(|chat| window.contains(&chat.connect_ms)).collect();
    assert_eq!(totals["connectedEngagements"], connected.len());
    let agents = found["agentsMetrics"]["metricsPerAgent"].as_object().unwrap();
    let agent = agents.iter().max_by_key(|(_, counts)| counts["totalHandlingTime"].as_i64()).unwrap().0;
    let post = json!({ "timeframe": "360", "v": "1", "agentIds": agent });
    let states = json(lab.post(&format!("{BASE}/agentactivity"), &post).await).await;
    let states = states["agentsMetrics"]["metricsPerAgent"][agent].as_array().unwrap().clone();
    let total = |id: i64| states.iter().find(|state| state["id"] == id).unwrap()["value"]["total"].as_i64().unwrap();
    assert_eq!(total(2) + total(3) + total(4), total(-1));
    assert!((6 * 3_600..6 * 3_600 + 600).contains(&total(-1)), "{}", total(-1));
    assert!(states[0]["value"]["chatting"].as_i64() > Some(0));
    let second = get(&lab, &format!("agentactivity?timeframe=360&v=2&agentIds={agent}")).await;
    assert_eq!(second["body"]["agentsMetrics"]["metricsPerAgent"][agent], json!(states));
}

#[tokio::test]
async fn messaging_figures_add_up_to_the_conversations() {
    let lab = lab().await;
    let (world, now_ms) = (lab.simulator.messaging(), lab.simulator.now_ms());
    let window = window(&lab, 24);
    let found = get(&lab, "msgconversation?timeframe=1440&interval=720&v=1").await;
    let closed = world.truth(now_ms).filter(|one| one.close_ms.is_some_and(|at_ms| window.contains(&at_ms))).count();
    assert!(closed > 10);
    assert_eq!(found["metricsTotals"]["totalResolvedConversations"], closed);
    assert_eq!(sum(&found, "totalResolvedConversations"), closed as i64);
    let csat = get(&lab, "msgcsatdistribution?timeframe=1440&v=1").await["metricsTotals"].clone();
    let scores: i64 = (1..=5).map(|score| csat[format!("csat_score{score}_answers")].as_i64().unwrap()).sum();
    assert!(scores > 0 && csat["total_answers"] == scores);
    let (day, hour) = (now_ms - 24 * HOUR, now_ms - HOUR);
    for query in [
        "msgqueuehealth?timeframe=1440&v=1&interval=360".to_owned(),
        format!("msgqueuehealth?v=2&fromMillis={day}&toMillis={now_ms}"),
    ] {
        let health = get(&lab, &query).await;
        let total = &health["timeframeSummary"]["metricsTotal"];
        assert!(total["maxWaitTimeForAgentAssignment"].as_i64() > Some(0), "{health}");
        let parts = [&total["actionableConversations"], &total["notActionableConversations"]];
        let parts: i64 = parts.iter().map(|part| part.as_i64().unwrap()).sum();
        assert_eq!(total["unassignedConversations"], parts);
    }
    let health = get(&lab, "msgqueuehealth?timeframe=60&v=1&interval=30").await;
    let stamps = health["metricsByIntervals"].as_array().unwrap();
    assert_eq!(stamps[1]["timestamp"].as_i64(), Some(hour), "the start of the interval, not rounded");
    let current = get(&lab, "msgqueuehealth/current/?v=1").await;
    assert_eq!(current["metricsTotal"]["time"], now_ms);
    assert!(get(&lab, "msgqueuehealth/current/?v=1&breakdown=false").await.get("skillsMetrics").is_none());
}

#[tokio::test]
async fn agents_have_the_open_conversations() {
    let lab = lab().await;
    let list = json(lab.post(&format!("{AGENTS}/list"), &json!({})).await).await;
    let records = list["agentStatusRecords"].as_array().unwrap();
    assert_eq!(list["_metadata"]["count"], records.len());
    let open = |record: &Value| record["openAssignedConversations"].as_i64().unwrap();
    let summary = json(lab.post(&format!("{AGENTS}/summary"), &json!({})).await).await;
    let assigned: i64 = records.iter().map(open).sum();
    assert_eq!(summary["summaryResults"]["openAssignedConversations"], assigned);
    let now_ms = lab.simulator.now_ms();
    let all_open = lab.simulator.messaging().truth(now_ms).filter(|one| one.status == "OPEN").count() as i64;
    assert!(assigned > 0 && assigned <= all_open);
    let first = &records[0]["agentId"];
    let one = json(lab.post(&format!("{AGENTS}/status"), &json!({ "agentIds": [first] })).await).await;
    assert_eq!(one["agentStatusRecords"], json!([records[0]]));
    assert_eq!(lab.simulator.requests().agent_metrics, 3);
}

#[tokio::test]
async fn waits_and_answers_of_chats_add_up() {
    let lab = lab().await;
    let now_ms = lab.simulator.now_ms();
    let queue = get(&lab, "queuehealth?timeframe=720&v=1").await;
    let sla = get(&lab, "sla?timeframe=720&v=1").await;
    let shares = sla["slaDataRange"].as_object().unwrap();
    let chats: i64 = shares.values().map(|share| share["chats"].as_i64().unwrap()).sum();
    assert!(chats > 20);
    assert_eq!(queue["metricsTotals"]["connectedEng"], chats);
    assert_eq!(shares.len(), 7);
    assert!((shares["120"]["accumulated"].as_f64().unwrap() - 1.0).abs() < 1e-9);

    let waiting = |at_ms: i64| {
        let chats = lab.simulator.world().conversations().filter(move |chat| !chat.messaging);
        chats.filter(|chat| chat.start_ms <= at_ms && at_ms < chat.connect_ms).count()
    };
    // An instant at which somebody waits.
    let busy_ms = (0..3600).map(|second| now_ms - second * 1000).find(|at_ms| waiting(*at_ms) > 0).unwrap();
    lab.simulator.set_now_ms(busy_ms);
    let state = get(&lab, "queuestate?v=2").await;
    assert_eq!(state["totals"]["currentQueueSize"], waiting(busy_ms));
    assert!(state["totals"]["currentMaxWaitTimeInQueue"].as_i64() > Some(0));
    assert!(get(&lab, "queuestate?v=1").await["totals"].get("currentMaxWaitTimeInQueue").is_none());
    assert_eq!(get(&lab, "queuestate?v=1&skillIds=4").await["skills"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn segments_of_messaging_add_up() {
    let lab = lab().await;
    let total = |body: &Value, name: &str| body["metricsTotal"][name].as_i64().unwrap();
    let name = "totalSkillConversationSegments";
    let skills = get(&lab, "msgskillsegments?timeframe=1440&v=1&interval=60").await;
    let intervals = skills["metricsByIntervals"].as_array().unwrap();
    let sum: i64 = intervals.iter().map(|interval| total(interval, name)).sum();
    assert!(sum > 20 && intervals.len() == 24);
    assert_eq!(total(&skills["timeframeSummary"], name), sum);
    let by_skill = skills["timeframeSummary"]["skillsMetrics"].as_object().unwrap();
    assert_eq!(by_skill.values().map(|metrics| metrics[name].as_i64().unwrap()).sum::<i64>(), sum);

    let name = "totalAgentConversationSegments";
    let mut by_kind = Vec::new();
    for kind in ["human", "bot", "all"] {
        let query = format!("msgagentsegments?timeframe=1440&v=1&interval=60&agentIds=all&userType={kind}");
        let agents = get(&lab, &query).await;
        let intervals = agents["metricsByIntervals"].as_array().unwrap();
        let sum: i64 = intervals.iter().map(|interval| total(&interval["metricsData"], name)).sum();
        assert_eq!(total(&agents["timeframeSummary"], name), sum, "{kind}");
        by_kind.push(sum);
    }
    assert!(by_kind[0] > 10 && by_kind[1] > 0, "{by_kind:?}");
    assert_eq!(by_kind[0] + by_kind[1], by_kind[2]);
    let now_ms = lab.simulator.now_ms();
    let (from_ms, until_ms) = (now_ms - 2 * HOUR, now_ms);
    let query = format!("msgqueuehealth?v=2&fromMillis={from_ms}&toMillis={until_ms}&interval=5");
    let stamps = get(&lab, &query).await["metricsByIntervals"].as_array().unwrap().len();
    assert_eq!(stamps, 24);
    let waits = json(lab.get(&format!("{}{WAIT}?skills=4,7&v=1", lab.simulator.base_url())).await).await;
    let waits = waits["estimatedWaitTimeResponse"].as_array().unwrap();
    // Far fewer assignments an hour than an estimate takes.
    assert_eq!(waits.iter().map(|wait| wait["estimatedWaitTime"].as_i64()).collect::<Vec<_>>(), [Some(-1); 2]);
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let lab = lab().await;
    let base = lab.simulator.base_url();
    for query in [
        "queuehealth?v=1",
        "queuehealth?timeframe=1441&v=1",
        "engactivity?timeframe=60&interval=7&v=1",
        "engactivity?timeframe=60",
        "agentactivity?timeframe=60&v=1",
        "msgqueuehealth?v=2",
        "queuestate",
        "queuestate?v=3",
        "sla?v=1",
        "sla?v=1&timeframe=60&histogram=0,7",
        "sla?v=1&timeframe=60&groupIds=3",
        "msgskillsegments?v=1&timeframe=60&interval=7",
        "msgskillsegments?v=1&timeframe=60&userType=robot",
        "msgagentsegments?timeframe=60",
    ] {
        assert_eq!(message(lab.get(&format!("{base}{BASE}/{query}")).await).await.0, 400, "{query}");
    }
    let now_ms = lab.simulator.now_ms();
    let odd = format!("msgqueuehealth?v=2&fromMillis={}&toMillis={now_ms}&interval=5", now_ms - 601_000);
    assert_eq!(message(lab.get(&format!("{base}{BASE}/{odd}")).await).await.0, 400, "no divisor");
    for query in ["", "?skills=", "?skills=x", &format!("?skills={}", vec!["4"; 301].join(","))] {
        assert_eq!(message(lab.get(&format!("{base}{WAIT}{query}")).await).await.0, 400, "{query}");
    }
    assert_eq!(lab.get(&format!("{base}{BASE}/nothing")).await.status(), 404);
    assert_eq!(lab.post(&format!("{BASE}/queuehealth"), &json!({})).await.status(), 405);
    assert_eq!(lab.post(&format!("{AGENTS}/list?limit=2501"), &json!({})).await.status(), 400);
    assert_eq!(lab.post(&format!("{AGENTS}/list"), &json!({ "agentGroupIds": ["1"] })).await.status(), 400);
    let unsigned = lab.client.get(format!("{base}{BASE}/queuehealth?timeframe=60&v=1"));
    assert_eq!(unsigned.header("Authorization", "Bearer x").send().await.unwrap().status(), 401);
}
