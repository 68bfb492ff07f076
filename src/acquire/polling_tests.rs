//! Polling the figures of the simulated account: every interval here once it was final, with faults on the way, after pauses and
//! refusals, and few calls where nothing is due.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::*;
use crate::archive::{Clock, ListingKind, RealDisk};
use crate::simulator::{self, Fault, MessagingConfig, Rule, Simulator, SimulatorConfig, Target, WorldConfig};

const MINUTE_MS: i64 = 60_000;
const STEP_MS: i64 = 5 * MINUTE_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const REALTIME: &str = "operational-realtime";
const MESSAGING: &str = "messaging-operations";
const AGENTS: &str = "agent-metrics";

struct Lab {
    simulator: Simulator,
    folder: tempfile::TempDir,
    archive: Archive,
    settings: AcquireSettings,
    clock: Arc<AtomicI64>,
}

impl Lab {
    /// The account is in the middle of its files, so that there are chats before and after.
    async fn new(rules: Vec<Rule>, mode: StreamMode) -> Lab {
        let messaging = MessagingConfig { conversations: 2500, days: 8, days_ahead: 2, ..MessagingConfig::default() };
        let world = WorldConfig { conversations: 2500, hours: 140, ..WorldConfig::default() };
        let mut config = SimulatorConfig { world, messaging, ..SimulatorConfig::default() };
        config.script.rules = rules;
        let simulator = simulator::start(config.clone()).await.unwrap();
        simulator.set_now_ms(config.world.end_ms - 90 * HOUR_MS + 123_456);
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(simulator.now_ms()));
        let time = Clock::Fixed(Arc::clone(&clock));
        let archive = Archive::create(&folder.path().join("v"), "40112233", Arc::new(RealDisk), time.clone()).unwrap();
        let keys = OAuth1Keys::of_simulator(&config.credentials);
        let base = Url::parse(&simulator.base_url()).unwrap();
        let services = ["msgHist", "leDataReporting", "msgEwtAPI"];
        let endpoints = Endpoints {
            csds: None,
            data_access: Some(base.clone()),
            data_access_files: Vec::new(),
            services: services.into_iter().map(|name| (name.to_owned(), base.clone())).collect(),
        };
        let mut settings = AcquireSettings::new("40112233", "va", keys, &endpoints).unwrap();
        settings.streams = Vec::new();
        let choice = |api| OperationsChoice { api, mode, intervals: true, states: true };
        settings.operations = OperationsApi::ALL.map(choice).into();
        settings.clock = time;
        settings.requests_per_second = 10_000.0;
        settings.retry = RetryPolicy::instant();
        Lab { simulator, folder, archive, settings, clock }
    }

    async fn sync(&self) -> AcquireReport {
        self.sync_until(Cancel::never()).await
    }

    /// As another process would: nothing but the ledger is remembered.
    async fn sync_anew(&mut self) -> AcquireReport {
        self.settings.sessions = Sessions::default();
        self.sync().await
    }

    async fn sync_until(&self, cancel: Cancel) -> AcquireReport {
        let (sender, mut receiver) = mpsc::channel(1000);
        let report = sync(&self.settings, self.archive.clone(), Arc::new(|_| {}), sender, cancel).await.unwrap();
        while receiver.recv().await.is_some() {}
        report
    }

    fn pass(&self, ms: i64) {
        let now_ms = self.clock.fetch_add(ms, Ordering::SeqCst) + ms;
        self.simulator.set_now_ms(now_ms);
    }

    fn now_ms(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Every archived answer of a method, in the order received.
    fn answers(&self, stream: &str, call: &str) -> Vec<Value> {
        let mut lines = Vec::new();
        for file in self.archive.files_after(0).unwrap().into_iter().filter(|file| file.stream == stream) {
            let mut text = String::new();
            let bytes = self.archive.open_file(&file).unwrap();
            flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
            lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        lines.retain(|line| line["call"] == call && line["stream"] == stream);
        lines.sort_by_key(|line| line["received_ms"].as_i64());
        lines
    }

    /// The windows over which a method's cursor moved. They must adjoin.
    fn windows(&self, name: &str) -> Window {
        let answered: Vec<Window> = self
            .archive
            .listings_in(name)
            .unwrap()
            .into_iter()
            .filter(|listing| listing.is_answered())
            .map(|listing| listing.asked)
            .collect();
        let adjoin = answered.windows(2).all(|pair| pair[0].end_ms == pair[1].start_ms);
        assert!(adjoin && !answered.is_empty(), "{name}: {answered:?}");
        Window { start_ms: answered[0].start_ms, end_ms: answered[answered.len() - 1].end_ms }
    }

    /// Interval → figures, of the last answer that has it. `is_end`: the timestamp is an interval's end.
    fn intervals(&self, stream: &str, call: &str, is_end: bool) -> BTreeMap<i64, Value> {
        let mut known = BTreeMap::new();
        for answer in self.answers(stream, call) {
            for interval in answer["body"]["metricsByIntervals"].as_array().unwrap() {
                let at_ms = interval["timestamp"].as_i64().unwrap() - if is_end { STEP_MS } else { 0 };
                known.insert(at_ms, interval["metricsData"].clone());
            }
        }
        known
    }
}

fn steps(window: Window) -> impl Iterator<Item = i64> {
    (window.start_ms..window.end_ms).step_by(STEP_MS as usize)
}

fn faults() -> Vec<Rule> {
    let target = || Target::Operations;
    vec![
        Rule::every(7, target(), Fault::Status(429)),
        Rule::every(11, target(), Fault::CutBody),
        Rule::every(13, target(), Fault::TruncatedJson),
        Rule::every(17, target(), Fault::Html200),
        Rule::every(23, target(), Fault::Status(503)),
        Rule::every(3, Target::AgentMetrics, Fault::CutBody),
    ]
}

#[tokio::test]
async fn a_day_of_figures_is_here_whole() {
    let mut lab = Lab::new(faults(), StreamMode::On).await;
    let begun_ms = lab.now_ms();
    // Minutes apart, hours apart, at odd moments; every round is a process of its own.
    for minutes in [0, 5, 6, 1, 61, 17, 240, 59, 600, 3, 333, 125] {
        lab.pass(minutes * MINUTE_MS + 7_777);
        let report = lab.sync_anew().await;
        assert!(report.is_complete(), "{report:?}");
        assert!(report.streams.values().all(|stream| stream.lost.is_empty()), "{report:?}");
    }
    assert!(lab.now_ms() - begun_ms > DAY_MS);

    // What the account knows of each interval is what the archive says of it.
    let window = lab.windows("operational-realtime/queuehealth");
    assert!(window.start_ms <= begun_ms - DAY_MS + 2 * STEP_MS && window.end_ms > lab.now_ms() - 3 * STEP_MS);
    let mut entered: BTreeMap<i64, i64> = BTreeMap::new();
    for chat in lab.simulator.world().conversations().filter(|chat| !chat.messaging) {
        *entered.entry(chat.start_ms.div_euclid(STEP_MS) * STEP_MS).or_default() += 1;
    }
    let known = lab.intervals(REALTIME, "queuehealth", true);
    for at_ms in steps(window) {
        let told = known[&at_ms]["metricsTotals"]["enteredQEng"].as_i64().unwrap();
        assert_eq!(told, entered.get(&at_ms).copied().unwrap_or(0), "entered at {at_ms}");
    }
    let window = lab.windows("messaging-operations/msgconversation");
    let mut closed: BTreeMap<i64, i64> = BTreeMap::new();
    for conversation in lab.simulator.messaging().truth(lab.now_ms()) {
        if let Some(close_ms) = conversation.close_ms {
            *closed.entry(close_ms.div_euclid(STEP_MS) * STEP_MS).or_default() += 1;
        }
    }
    let known = lab.intervals(MESSAGING, "msgconversation", true);
    for at_ms in steps(window) {
        let metrics = &known[&at_ms]["skillsMetricsPerAgent"]["metricsTotals"];
        let told = metrics["totalResolvedConversations"].as_i64().unwrap();
        assert_eq!(told, closed.get(&at_ms).copied().unwrap_or(0), "closed at {at_ms}");
    }
    assert!(entered.values().sum::<i64>() > 500 && closed.values().sum::<i64>() > 100);

    for (name, call, is_end) in [
        ("operational-realtime/engactivity", "engactivity", true),
        ("operational-realtime/agentactivity", "agentactivity", true),
    ] {
        let known = lab.intervals(REALTIME, call, is_end);
        assert!(steps(lab.windows(name)).all(|at_ms| known.contains_key(&at_ms)), "{call}");
    }
    let known = lab.intervals(MESSAGING, "msgqueuehealth", false);
    assert!(steps(lab.windows("messaging-operations/msgqueuehealth")).all(|at_ms| known.contains_key(&at_ms)));
    // Anchored at the request: together they leave no instant out.
    for call in ["msgskillsegments", "msgagentsegments"] {
        let window = lab.windows(&format!("messaging-operations/{call}"));
        let mut until_ms = window.start_ms;
        for at_ms in lab.intervals_of_anchored(call) {
            if at_ms <= until_ms {
                until_ms = until_ms.max(at_ms + STEP_MS);
            }
        }
        assert!(until_ms >= window.end_ms, "{call}: a hole at {until_ms}");
    }
    // Stretches of time adjoin, and their questions say so.
    for (name, stream, call) in [
        ("operational-realtime/sla", REALTIME, "sla"),
        ("messaging-operations/msgcsatdistribution", MESSAGING, "msgcsatdistribution"),
    ] {
        lab.windows(name);
        let answers = lab.answers(stream, call);
        assert!(answers.len() > 4 && answers.len() < 11, "{call}: {}", answers.len());
        assert!(answers.iter().all(|answer| answer["request"]["url"].as_str().unwrap().contains("timeframe=")));
    }
    assert!(lab.archive.disk().list(&lab.archive.root().join("open")).unwrap().is_empty());
}

impl Lab {
    fn intervals_of_anchored(&self, call: &str) -> BTreeSet<i64> {
        let answers = self.answers(MESSAGING, call);
        let intervals = answers.iter().flat_map(|answer| answer["body"]["metricsByIntervals"].as_array().unwrap());
        intervals.map(|interval| interval["timestamp"].as_i64().unwrap()).collect()
    }
}

#[tokio::test]
async fn every_state_is_archived_and_waiting_times_are_asked_for_known_skills() {
    let lab = Lab::new(vec![], StreamMode::On).await;
    for round in 1..=3 {
        let report = lab.sync().await;
        assert!(report.is_complete(), "{report:?}");
        for (stream, call) in [
            (REALTIME, "queuestate"),
            (MESSAGING, "msgqueuehealth/current"),
            (MESSAGING, "ewt"),
            (AGENTS, "agent-view/status"),
            (AGENTS, "agent-view/summary"),
        ] {
            assert_eq!(lab.answers(stream, call).len(), round, "{call}");
        }
        lab.pass(MINUTE_MS);
    }
    let waits = &lab.answers(MESSAGING, "ewt")[0];
    assert!(!waits["body"]["estimatedWaitTimeResponse"].as_array().unwrap().is_empty());
    let agents = &lab.answers(AGENTS, "agent-view/status")[0];
    assert_eq!(agents["request"]["method"], "POST");
    assert!(agents["request"]["url"].as_str().unwrap().ends_with("/agent-view/status?offset=0&limit=2500"));
    // A minute later nothing new is final: the intervals were asked for once.
    assert_eq!(lab.answers(REALTIME, "queuehealth").len(), 1);
    let noted = lab.archive.listings_in("agent-metrics/agent-view/status").unwrap();
    assert_eq!(noted.len(), 1, "the ledger is told every five minutes");
}

#[tokio::test]
async fn a_stream_that_is_not_for_the_keys_costs_a_call_and_no_word() {
    for status in [403, 404] {
        let refuse = |target| Rule::always(target, Fault::Status(status));
        let rules = vec![refuse(Target::Operations), refuse(Target::AgentMetrics)];
        let mut lab = Lab::new(rules, StreamMode::Auto).await;
        for round in 1..=3 {
            let report = lab.sync_anew().await;
            assert!(report.is_complete() && report.stopped.is_none(), "{report:?}");
            assert!(report.streams.values().all(|stream| stream.skipped && stream.problems.is_empty()), "{report:?}");
            let requests = lab.simulator.requests();
            assert_eq!((requests.operations, requests.agent_metrics), (2 * round, round), "{status}");
        }
        // In a watch it is not even asked again within the hour.
        lab.sync().await;
        assert_eq!(lab.simulator.requests().operations, 6);
        lab.pass(HOUR_MS);
        lab.sync().await;
        assert_eq!(lab.simulator.requests().operations, 8);
    }
    let rules = vec![Rule::always(Target::Operations, Fault::Status(403))];
    let report = Lab::new(rules, StreamMode::On).await.sync().await;
    let problems = &report.streams[MESSAGING].problems;
    assert!(!report.is_complete() && report.stopped.is_none());
    // No answer named a skill, so waiting times were not asked for.
    assert_eq!(problems.len(), 6, "{problems:?}");
    assert!(report.streams[AGENTS].problems.is_empty());
}

/// What was answered once was for the keys: that it is not any more is a failure, and stands in the ledger.
#[tokio::test]
async fn a_refusal_of_what_was_answered_before_is_a_failure() {
    for status in [401, 403, 404] {
        let refuse = |target, skip| Rule { target, skip, every: 1, times: 1000, fault: Fault::Status(status) };
        // The first round makes eleven calls to the one and two to the other.
        let rules = vec![refuse(Target::Operations, 12), refuse(Target::AgentMetrics, 2)];
        let mut lab = Lab::new(rules, StreamMode::Auto).await;
        assert!(lab.sync_anew().await.is_complete());
        assert_eq!(lab.simulator.requests().operations, 12);
        lab.pass(2 * HOUR_MS);
        let report = lab.sync_anew().await;
        assert!(!report.is_complete(), "{status}: {report:?}");
        for api in OperationsApi::ALL {
            let stream = &report.streams[api.stream()];
            assert!(!stream.skipped && stream.failed > 0, "{status}: {report:?}");
            let failing = asked_of(&lab.archive, api).unwrap();
            let failing = failing.iter().filter(|method| method.failed_ms > method.answered_ms).count() as u64;
            assert_eq!(failing, stream.failed, "{status}: {}", api.stream());
        }
        assert_eq!(report.stopped.is_some(), status == 401, "{report:?}");
    }
}

/// A 401 says that the keys are no good, and never that a stream is not enabled.
#[tokio::test]
async fn keys_that_are_refused_everywhere_end_the_run() {
    let refuse = |target| Rule::always(target, Fault::Status(401));
    let rules = vec![refuse(Target::Operations), refuse(Target::AgentMetrics)];
    let lab = Lab::new(rules, StreamMode::Auto).await;
    let report = lab.sync().await;
    let Some(AcquireError::Unauthorized { variables, .. }) = &report.stopped else { panic!("{report:?}") };
    assert_eq!(**variables, OAuth1Keys::VARIABLES);
    assert!(report.streams.values().all(|stream| !stream.skipped && stream.failed == 1), "{report:?}");

    // Where one API answers, the run goes on, and the others fail.
    let report = Lab::new(vec![refuse(Target::AgentMetrics)], StreamMode::Auto).await.sync().await;
    assert!(report.stopped.is_none() && !report.is_complete(), "{report:?}");
    assert_eq!(report.streams[AGENTS].problems[0].kind, ProblemKind::Unauthorized);
}

#[tokio::test]
async fn a_method_that_is_refused_stops_no_other() {
    // The seventh call to the operations: queues of messaging.
    let refused = Rule { target: Target::Operations, skip: 6, every: 1000, times: 1, fault: Fault::Status(403) };
    let lab = Lab::new(vec![refused.clone()], StreamMode::Auto).await;
    let report = lab.sync().await;
    assert!(report.is_complete() && !report.streams[MESSAGING].skipped, "{report:?}");
    assert!(lab.answers(MESSAGING, "msgqueuehealth").is_empty());
    for call in ["msgconversation", "msgskillsegments", "msgagentsegments", "msgcsatdistribution", "ewt"] {
        assert_eq!(lab.answers(MESSAGING, call).len(), 1, "{call}");
    }
    let report = Lab::new(vec![refused], StreamMode::On).await.sync().await;
    let problems = &report.streams[MESSAGING].problems;
    assert_eq!((problems.len(), problems[0].name.as_str()), (1, "msgqueuehealth"));
}

#[tokio::test]
async fn what_a_pause_loses_is_told_and_kept_in_the_ledger() {
    let mut lab = Lab::new(vec![], StreamMode::On).await;
    lab.sync().await;
    let until_ms = lab.windows("operational-realtime/queuehealth").end_ms;
    lab.pass(30 * HOUR_MS);
    let report = lab.sync_anew().await;
    assert!(report.is_complete(), "a loss is no failure of this run: {report:?}");
    for (stream, api, methods) in [(REALTIME, OperationsApi::Realtime, 4), (MESSAGING, OperationsApi::Messaging, 5)] {
        let lost = &report.streams[stream].lost;
        assert_eq!(lost.len(), methods, "{lost:?}");
        assert_eq!(*lost, lost_figures(&lab.archive, api).unwrap(), "the ledger says what the report says");
    }
    let lost = report.streams[REALTIME].lost[0].clone();
    assert_eq!((lost.call, lost.window.start_ms), ("queuehealth", until_ms));
    assert!((lab.now_ms() - DAY_MS - lost.window.end_ms).abs() <= STEP_MS, "{lost:?}");
    let reason = &lab.archive.listings_in("operational-realtime/queuehealth/lost").unwrap()[0].outcome;
    assert!(matches!(reason, ListingKind::Failed(reason) if reason.contains("24 hours")), "{reason:?}");
    assert!(polled_until(&lab.archive, OperationsApi::Realtime).unwrap() > Some(lab.now_ms() - 2 * HOUR_MS));
    assert!(lost_figures(&lab.archive, OperationsApi::Agents).unwrap().is_empty());

    lab.pass(20 * MINUTE_MS);
    let report = lab.sync_anew().await;
    assert!(report.streams.values().all(|stream| stream.lost.is_empty()), "told once: {report:?}");
}

/// What fails holds itself up, and nothing else: neither conversations nor the other figures.
#[tokio::test]
async fn in_a_watch_a_failing_method_holds_up_no_other() {
    let broken = |target| Rule::always(target, Fault::Status(500));
    let mut lab = Lab::new(vec![broken(Target::OperationsMethod("queuehealth".to_owned()))], StreamMode::On).await;
    (lab.settings.keep_sessions, lab.settings.retry) = (true, RetryPolicy::instant().of_rounds());
    lab.settings.histories = vec![HistoryChoice { api: HistoryApi::Messaging, mode: StreamMode::On }];
    lab.settings.start = Duration::from_secs(24 * 3600);
    for round in 1..=6 {
        let searches = lab.simulator.requests().messaging_search;
        let report = lab.sync().await;
        assert!(report.stopped.is_none(), "{report:?}");
        assert!(lab.simulator.requests().messaging_search > searches, "round {round}");
        let stream = &report.streams[REALTIME];
        assert_eq!((stream.failed, stream.problems[0].attempts), (1, 3), "{stream:?}");
        assert_eq!(stream.problems[0].name, "queuehealth");
        assert_eq!(report.streams[MESSAGING].failed, 0);
        lab.pass(STEP_MS);
    }
    end_sessions(&lab.settings).await.unwrap();
    // The first round ended with the failure; all others ask for everything else first.
    assert_eq!(lab.answers(REALTIME, "queuestate").len(), 5);
    assert_eq!(lab.answers(MESSAGING, "msgqueuehealth/current").len(), 6);
    assert!(lab.answers(REALTIME, "queuehealth").is_empty());

    // An API of which nothing works costs three requests a round.
    let mut lab = Lab::new(vec![broken(Target::AgentMetrics)], StreamMode::On).await;
    (lab.settings.keep_sessions, lab.settings.retry) = (true, RetryPolicy::instant().of_rounds());
    for round in 1..=3 {
        assert_eq!(lab.sync().await.streams[REALTIME].failed, 0);
        assert_eq!(lab.simulator.requests().agent_metrics, 3 * round);
    }
}

#[tokio::test]
async fn a_watch_makes_a_file_an_hour_and_leaves_none_open() {
    let mut lab = Lab::new(vec![], StreamMode::On).await;
    lab.settings.keep_sessions = true;
    lab.settings.operations.retain(|choice| choice.api == OperationsApi::Agents);
    let open = |lab: &Lab| lab.archive.disk().list(&lab.archive.root().join("open")).unwrap().len();
    for _ in 0..60 {
        assert_eq!(lab.sync().await.streams[AGENTS].downloaded, 0);
        assert_eq!(open(&lab), 1);
        lab.pass(MINUTE_MS);
    }
    let report = lab.sync().await;
    assert_eq!((report.streams[AGENTS].downloaded, open(&lab)), (1, 0));
    assert_eq!(lab.answers(AGENTS, "agent-view/status").len(), 61);
    assert_eq!(lab.archive.listings_in("agent-metrics/agent-view/status").unwrap().len(), 13);
    lab.pass(MINUTE_MS);
    lab.sync().await;
    assert_eq!(end_sessions(&lab.settings).await.unwrap(), 1);
    assert_eq!(open(&lab), 0);
    assert_eq!(lab.answers(AGENTS, "agent-view/status").len(), 62);
}

#[tokio::test]
async fn what_a_dead_watch_left_open_is_published_by_any_run() {
    let mut lab = Lab::new(vec![], StreamMode::On).await;
    lab.settings.keep_sessions = true;
    lab.sync().await;
    assert!(lab.archive.files_after(0).unwrap().is_empty());
    // The process is gone, and so is what it remembered; the next run is about files only.
    (lab.settings.sessions, lab.settings.keep_sessions) = (Sessions::default(), false);
    lab.settings.operations = Vec::new();
    lab.settings.streams = vec![StreamChoice { data_type: DataType::Engagement, mode: StreamMode::On }];
    lab.settings.start = Duration::from_secs(3600);
    lab.settings.allowed = vec![Url::parse(&lab.simulator.download_base_url()).unwrap()];
    lab.sync().await;
    let streams: BTreeSet<String> = lab.archive.files_after(0).unwrap().into_iter().map(|file| file.stream).collect();
    assert!([REALTIME, MESSAGING, AGENTS].iter().all(|stream| streams.contains(*stream)), "{streams:?}");
    assert_eq!(lab.answers(REALTIME, "queuehealth").len(), 1);
    drop(lab.folder);
}

#[tokio::test]
async fn a_storm_of_429_ends_the_run_and_loses_nothing() {
    let mut lab = Lab::new(
        vec![Rule { target: Target::Operations, skip: 4, every: 1, times: 40, fault: Fault::Status(429) }],
        StreamMode::On,
    )
    .await;
    let report = lab.sync_anew().await;
    assert!(matches!(report.stopped, Some(AcquireError::RateLimited { .. })), "{report:?}");
    assert_eq!(lab.answers(REALTIME, "queuehealth").len(), 1, "what was answered before is published");
    for _ in 0..10 {
        lab.pass(STEP_MS);
        if lab.sync_anew().await.is_complete() {
            break;
        }
    }
    for call in ["queuehealth", "engactivity", "agentactivity", "sla"] {
        lab.windows(&format!("operational-realtime/{call}"));
    }
    assert!(
        lab.archive.listings_in("messaging-operations/msgqueuehealth").unwrap().iter().any(|one| one.is_answered())
    );
}

#[tokio::test]
async fn the_plan_says_what_would_be_asked_and_asks_nothing() {
    let mut lab = Lab::new(vec![], StreamMode::On).await;
    lab.settings.histories = vec![HistoryChoice { api: HistoryApi::Messaging, mode: StreamMode::On }];
    let ask = async |lab: &Lab| {
        let progress: ProgressSink = Arc::new(|_| {});
        plan(&lab.settings, lab.archive.clone(), progress, Cancel::never()).await.unwrap()
    };
    let first = ask(&lab).await;
    let questions = &first.streams[REALTIME].questions;
    assert_eq!(questions.iter().map(|question| question.name.as_str()).collect::<Vec<_>>().len(), 5);
    let day = questions[0].window.unwrap();
    assert!(day.end_ms - day.start_ms >= DAY_MS - 3 * STEP_MS && day.end_ms <= lab.now_ms());
    let history = &first.streams["messaging-interactions"].questions;
    assert_eq!(history[0].name, "messaging-interactions/backfill");
    assert!(history[0].least_calls >= 4 && history[0].least_calls < 10, "{history:?}");
    assert_eq!((lab.simulator.requests().operations, lab.simulator.requests().messaging_search), (0, 0));

    lab.settings.histories.clear();
    lab.sync().await;
    let next = ask(&lab).await;
    let named: Vec<&str> = next.streams[REALTIME].questions.iter().map(|question| question.name.as_str()).collect();
    assert_eq!(named, ["queuestate"], "nothing else is due");
}
