//! Following the history APIs of the simulated account: nothing missed while conversations begin, change and close, with
//! faults on the way, and few calls where nothing happens.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::*;
use crate::archive::{Clock, RealDisk};
use crate::simulator::{self, Fault, MessagingConfig, Rule, Simulator, SimulatorConfig, Target, WorldConfig};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const MESSAGING: &str = "messaging-interactions";
const CHATS: &str = "engagement-history";

struct Lab {
    simulator: Simulator,
    _folder: tempfile::TempDir,
    archive: Archive,
    settings: AcquireSettings,
    clock: Arc<AtomicI64>,
}

impl Lab {
    async fn new(api: HistoryApi, rules: Vec<Rule>, change: impl FnOnce(&mut SimulatorConfig)) -> Lab {
        let messaging = MessagingConfig { conversations: 300, days: 10, days_ahead: 30, ..MessagingConfig::default() };
        let world = WorldConfig { conversations: 80, hours: 48, ..WorldConfig::default() };
        let mut config = SimulatorConfig { world, messaging, ..SimulatorConfig::default() };
        config.script.rules = rules;
        change(&mut config);
        let simulator = simulator::start(config.clone()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(simulator.now_ms()));
        let time = Clock::Fixed(Arc::clone(&clock));
        let archive = Archive::create(&folder.path().join("v"), "40112233", Arc::new(RealDisk), time.clone()).unwrap();
        let keys = OAuth1Keys::of_simulator(&config.credentials);
        let base = Url::parse(&simulator.base_url()).unwrap();
        let services = ["msgHist", "engHistDomain", "sentinel", "agentVep"];
        let endpoints = Endpoints {
            csds: None,
            data_access: Some(base.clone()),
            data_access_files: Vec::new(),
            services: services.into_iter().map(|name| (name.to_owned(), base.clone())).collect(),
        };
        let mut settings = AcquireSettings::new("40112233", "va", keys, &endpoints).unwrap();
        settings.streams = Vec::new();
        settings.histories = vec![HistoryChoice { api, mode: StreamMode::On }];
        settings.clock = time;
        settings.start = Duration::from_secs(30 * 24 * 3600);
        settings.requests_per_second = 10_000.0;
        settings.retry = RetryPolicy::instant();
        Lab { simulator, _folder: folder, archive, settings, clock }
    }

    async fn sync(&self) -> AcquireReport {
        self.sync_until(Cancel::never()).await.unwrap()
    }

    async fn sync_until(&self, cancel: Cancel) -> Result<AcquireReport, AcquireError> {
        let (sender, mut receiver) = mpsc::channel(1000);
        let report = sync(&self.settings, self.archive.clone(), Arc::new(|_| {}), sender, cancel).await?;
        while receiver.recv().await.is_some() {}
        Ok(report)
    }

    fn pass(&self, ms: i64) {
        let now_ms = self.clock.fetch_add(ms, Ordering::SeqCst) + ms;
        self.simulator.set_now_ms(now_ms);
    }

    /// Keys of another kind than the API key.
    fn without_key(&mut self) {
        let none = || Secret::new("");
        self.settings.keys =
            OAuth1Keys { app_key: none(), app_secret: none(), access_token: none(), access_token_secret: none() };
    }

    /// Every answer of a stream, in the order received.
    fn answers(&self, stream: &str) -> Vec<Value> {
        let mut lines = Vec::new();
        for file in self.archive.files_after(0).unwrap().into_iter().filter(|file| file.stream == stream) {
            let mut text = String::new();
            let bytes = self.archive.open_file(&file).unwrap();
            flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
            lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        lines
    }

    /// The conversations as the archive knows them: of each the last record, but those by id rather than a cut list's.
    fn archived(&self) -> BTreeMap<String, Value> {
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        for answer in self.answers(MESSAGING) {
            let is_list = answer["call"] == "conversations/search";
            for record in answer["body"]["conversationHistoryRecords"].as_array().unwrap() {
                let id = record["info"]["conversationId"].as_str().unwrap().to_owned();
                let is_cut = record["info"]["isPartial"] == true
                    || ["sdes", "unAuthSdes"].iter().any(|kind| !events(record, kind).is_empty());
                if !(is_list && is_cut) {
                    known.insert(id, record.clone());
                }
            }
        }
        known
    }

    /// Holds what is archived against the truth of this moment.
    fn assert_all_is_here(&self, what: &str) {
        let known = self.archived();
        let truth: Vec<_> = self.simulator.messaging().truth(self.simulator.now_ms()).collect();
        assert!(truth.len() > 20, "{}", truth.len());
        let missing: Vec<&str> =
            truth.iter().map(|truth| truth.id.as_str()).filter(|id| !known.contains_key(*id)).collect();
        assert!(missing.is_empty(), "{what}: {missing:?} are not here");
        for truth in &truth {
            let record = &known[&truth.id];
            assert_eq!(record["info"]["status"], truth.status, "{what}: {}", truth.id);
            let messages = record["messageRecords"].as_array().map_or(0, Vec::len);
            assert_eq!(messages, truth.messages.len(), "{what}: messages of {}", truth.id);
            let sdes = events(record, "sdes").len() + events(record, "unAuthSdes").len();
            assert_eq!(sdes, truth.sdes.len(), "{what}: SDEs of {}", truth.id);
            // Spelt as in the table or as in the sample.
            let info = &record["info"];
            let csat = info["csatRate"].as_u64().or_else(|| info["csat"].as_u64());
            assert_eq!(csat, truth.csat.map(u64::from), "{what}: {}", truth.id);
        }
    }
}

fn events<'v>(record: &'v Value, kind: &str) -> &'v [Value] {
    record[kind]["events"].as_array().map_or(&[], Vec::as_slice)
}

fn count_calls(lab: &Lab) -> u64 {
    let requests = lab.simulator.requests();
    requests.messaging_search + requests.messaging_by_id
}

#[tokio::test]
async fn all_there_is_comes_whole_and_an_unchanged_account_costs_a_call() {
    let lab = Lab::new(HistoryApi::Messaging, vec![], |_| ()).await;
    let report = lab.sync().await;
    assert!(report.is_complete(), "{report:?}");
    lab.assert_all_is_here("first sync");
    let stream = &report.streams[MESSAGING];
    assert_eq!(stream.downloaded, 1, "one segment");
    assert_eq!(stream.listed as usize, lab.simulator.messaging().truth(lab.simulator.now_ms()).count());
    assert!(lab.archive.disk().list(&lab.archive.root().join("open")).unwrap().is_empty());

    let before = count_calls(&lab);
    let report = lab.sync().await;
    assert!(report.is_complete(), "{report:?}");
    let calls = count_calls(&lab) - before;
    assert!(
        (1..=2).contains(&calls),
        "{calls}: the backfill is done; one search for what changed, one call for its SDEs"
    );
    // Eleven minutes in which nothing changes are one search.
    let quiet = Lab::new(HistoryApi::Messaging, vec![], |config| config.messaging.days_ahead = 0).await;
    quiet.pass(60 * DAY_MS);
    quiet.sync().await;
    let before = count_calls(&quiet);
    quiet.pass(11 * MINUTE_MS);
    assert!(quiet.sync().await.is_complete());
    assert_eq!(count_calls(&quiet) - before, 1);
}

#[tokio::test]
async fn changes_are_followed_wherever_they_show() {
    let lab = Lab::new(HistoryApi::Messaging, vec![], |config| config.messaging.unannounced_permille = 0).await;
    lab.sync().await;
    for (round, step) in
        [2 * MINUTE_MS, 30 * MINUTE_MS, 3 * HOUR_MS, HOUR_MS, DAY_MS, 2 * DAY_MS].into_iter().enumerate()
    {
        lab.pass(step);
        let report = lab.sync().await;
        assert!(report.is_complete(), "{report:?}");
        lab.assert_all_is_here(&format!("round {round}"));
    }
}

/// Search windows are whole steps of ten minutes; what changes inside the first one must not wait for its end.
#[tokio::test]
async fn changes_within_the_first_minutes_are_followed() {
    let lab = Lab::new(HistoryApi::Messaging, vec![], |config| {
        config.messaging.unannounced_permille = 0;
        config.messaging.conversations = 1500;
        config.messaging.days = 2;
        config.messaging.days_ahead = 1;
    })
    .await;
    let count = || {
        let truth = lab.simulator.messaging().truth(lab.simulator.now_ms());
        truth.map(|conversation| conversation.messages.len() + conversation.sdes.len()).sum::<usize>()
    };
    lab.sync().await;
    let begun = lab.simulator.now_ms().div_euclid(10 * MINUTE_MS);
    for round in 0..3 {
        let before = count();
        lab.pass(MINUTE_MS);
        assert_eq!(lab.simulator.now_ms().div_euclid(10 * MINUTE_MS), begun, "the same step");
        assert!(count() > before, "something happens in each minute");
        assert!(lab.sync().await.is_complete());
        lab.assert_all_is_here(&format!("minute {round}"));
    }
}

/// Late changes that do not move the update time are found by the later looks.
#[tokio::test]
async fn changes_that_are_not_announced_are_found_by_looking_again() {
    let lab = Lab::new(HistoryApi::Messaging, vec![], |config| {
        config.messaging.unannounced_permille = 1000;
        config.messaging.erased_permille = 0;
        config.messaging.days_ahead = 0;
    })
    .await;
    lab.sync().await;
    for _ in 0..70 {
        lab.pass(12 * HOUR_MS);
        assert!(lab.sync().await.is_complete());
    }
    lab.assert_all_is_here("after the last look");
}

#[tokio::test]
async fn a_large_account_is_cut_into_searches_that_hold() {
    let lab = Lab::new(HistoryApi::Messaging, vec![], |config| {
        config.messaging.conversations = 4000;
        config.messaging.days = 3;
        config.messaging.days_ahead = 0;
        config.max_result_window = 1100;
    })
    .await;
    let report = lab.sync().await;
    assert!(report.is_complete(), "{report:?}");
    let ids: BTreeSet<String> = lab.archived().into_keys().collect();
    assert_eq!(ids.len(), 4000);
    let pages = lab.answers(MESSAGING).len() as u64;
    assert!(pages < 140, "{pages} answers for 4000 conversations");
}

#[tokio::test]
async fn answers_that_are_not_whole_cost_calls_and_nothing_else() {
    for (fault, target) in [
        (Fault::PartialResult, Target::MessagingSearch),
        (Fault::NotYet, Target::MessagingSearch),
        (Fault::WithoutRecords, Target::MessagingSearch),
    ] {
        let what = format!("{fault:?}");
        let is_shape = fault == Fault::WithoutRecords;
        let rule = Rule { target, skip: 1, every: 2, times: 2, fault };
        // More than one page: a count that moves shows only there.
        let lab = Lab::new(HistoryApi::Messaging, vec![rule], |config| config.messaging.conversations = 900).await;
        let report = lab.sync().await;
        // An answer of a shape that nobody knows is not asked for again in the same run.
        if is_shape {
            assert!(!report.is_complete(), "{what}");
            lab.sync().await;
            lab.sync().await;
        } else {
            assert!(report.is_complete(), "{what}: {report:?}");
        }
        lab.assert_all_is_here(&what);
    }
}

#[tokio::test]
async fn a_server_that_never_answers_whole_blocks_the_cursor() {
    let always = Rule::always(Target::MessagingSearch, Fault::PartialResult);
    let lab = Lab::new(HistoryApi::Messaging, vec![always], |_| ()).await;
    let report = lab.sync().await;
    let stream = &report.streams[MESSAGING];
    assert_eq!(stream.problems[0].kind, ProblemKind::PartialResult);
    assert!(!lab.answers(MESSAGING).is_empty(), "what came is archived all the same");
    assert!(
        lab.archive
            .listings_in("messaging-interactions/backfill")
            .unwrap()
            .iter()
            .all(|listing| { matches!(listing.outcome, crate::archive::ListingKind::Failed(_)) })
    );
}

#[tokio::test]
async fn tokens_are_asked_for_once_and_renewed_when_they_end() {
    let mut lab = Lab::new(
        HistoryApi::Messaging,
        vec![Rule { target: Target::MessagingSearch, skip: 2, every: 1, times: 1, fault: Fault::ExpireTokens }],
        |_| (),
    )
    .await;
    lab.without_key();
    let client = simulator::SimulatorConfig::default().tokens.client;
    let (id, secret) = (Secret::new(&client.client_id), Secret::new(&client.client_secret));
    lab.settings.client = Some(ClientCredentials { id, secret });
    let report = lab.sync().await;
    assert!(report.is_complete(), "{report:?}");
    lab.assert_all_is_here("client credentials");
    assert_eq!(lab.simulator.requests().token, 2, "one at first, one after the 401");

    lab.settings.client =
        Some(ClientCredentials { id: Secret::new(&client.client_id), secret: Secret::new("wrong-secret") });
    lab.settings.sessions = Sessions::default();
    lab.pass(HOUR_MS);
    let report = lab.sync().await;
    let problem = &report.streams[MESSAGING].problems[0];
    assert_eq!(problem.kind, ProblemKind::Unauthorized);
    assert!(
        problem.reason.contains("CHATVAULT_CLIENT_SECRET") && !problem.reason.contains("wrong-secret"),
        "{problem:?}"
    );
}

/// An optional API that was answered once is enabled: a refusal is a failure from then on.
#[tokio::test]
async fn an_optional_api_that_is_refused_after_it_answered_fails() {
    for api in HistoryApi::ALL {
        let mut lab = Lab::new(api, vec![], |_| ()).await;
        lab.settings.histories[0].mode = StreamMode::Auto;
        assert!(lab.sync().await.is_complete());
        lab.pass(HOUR_MS);
        // The same account at a host that refuses.
        let refused = Lab::new(
            api,
            vec![
                Rule::always(Target::MessagingSearch, Fault::Status(403)),
                Rule::always(Target::HistorySearch, Fault::Status(403)),
            ],
            |_| (),
        )
        .await;
        lab.settings.services.clone_from(&refused.settings.services);
        lab.settings.data_access.clone_from(&refused.settings.data_access);
        lab.settings.sessions = Sessions::default();
        let report = lab.sync().await;
        let stream = &report.streams[api.stream()];
        assert!(!stream.skipped && stream.failed == 1, "{report:?}");
        let schedule = passes::Schedule { api, start: Duration::ZERO, now_ms: 0 };
        let mut last = schedule.streams().into_iter().flat_map(|name| lab.archive.listings_in(&name).unwrap());
        assert!(last.any(|listing| !listing.is_answered()), "{}", api.stream());
    }
}

#[tokio::test]
async fn a_login_is_ended_with_a_logout() {
    let mut lab = Lab::new(HistoryApi::Messaging, vec![], |_| ()).await;
    lab.without_key();
    let user = simulator::SimulatorConfig::default().tokens.user;
    lab.settings.login =
        Some(LoginCredentials { username: Secret::new(&user.username), password: Secret::new(&user.password) });
    let report = lab.sync().await;
    assert!(report.is_complete(), "{report:?}");
    lab.assert_all_is_here("login");
    assert_eq!(lab.simulator.requests().login, 2, "login and logout");
}

#[tokio::test]
async fn an_interrupted_backfill_goes_on_where_it_was() {
    let slow = Rule::always(Target::MessagingSearch, Fault::Delay(Duration::from_millis(30)));
    let lab = Lab::new(HistoryApi::Messaging, vec![slow], |_| ()).await;
    for _ in 0..4 {
        let (handle, cancel) = Cancel::pair();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(70)).await;
            handle.cancel();
        });
        lab.sync_until(cancel).await.unwrap();
        lab.pass(20 * MINUTE_MS);
    }
    let report = lab.sync().await;
    assert!(report.is_complete(), "{report:?}");
    lab.assert_all_is_here("in the end");
}

#[tokio::test]
async fn chats_are_fetched_again_until_they_are_enriched() {
    let lab = Lab::new(HistoryApi::Engagement, vec![], |_| ()).await;
    let report = lab.sync().await;
    assert!(report.is_complete(), "{report:?}");
    for _ in 0..6 {
        lab.pass(HOUR_MS);
        assert!(lab.sync().await.is_complete());
    }
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    for answer in lab.answers(CHATS) {
        for record in answer["body"]["interactionHistoryRecords"].as_array().unwrap() {
            let id = record["info"]["engagementId"].as_str().unwrap().to_owned();
            *known.entry(id).or_default() |= record["info"]["chatDataEnriched"] == true;
        }
    }
    assert!(known.len() > 50, "{}", known.len());
    let plain: Vec<_> = known.iter().filter(|(_, enriched)| !**enriched).collect();
    assert!(plain.is_empty(), "{plain:?}");
}
