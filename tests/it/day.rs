//! A day of an account whose conversations begin, change and close, asked every few minutes while everything goes wrong that can: in the
//! end each conversation is here once, with all that it came to.

use crate::support::{Lab, is_long, reader, temp_folder, world};
use chatvault::acquire::{
    AcquireSettings, Cancel, ClientCredentials, Endpoints, HistoryApi, HistoryChoice, OAuth1Keys, RetryPolicy, Secret,
    StreamMode,
};
use chatvault::archive::{Archive, Clock as ArchiveClock, RealDisk};
use chatvault::conversation::StoredConversation;
use chatvault::pipeline::{self, RunOptions};
use chatvault::simulator::{Clock, Fault, MessagingConfig, Rule, Script, SimulatorConfig, Target};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use url::Url;

const MINUTE_MS: i64 = 60_000;

/// 429 storms, partial answers, pages that shift, tokens that end, bodies that are cut: often, on every call.
fn faults() -> Script {
    let storm = |skip, target| Rule { target, skip, every: 1, times: 4, fault: Fault::Status(429) };
    let rules = vec![
        storm(20, Target::MessagingSearch),
        storm(90, Target::MessagingSearch),
        storm(15, Target::MessagingById),
        storm(40, Target::HistorySearch),
        Rule::every(7, Target::MessagingSearch, Fault::PartialResult),
        Rule::every(11, Target::MessagingSearch, Fault::NotYet),
        Rule::every(13, Target::MessagingSearch, Fault::CutBody),
        Rule::every(17, Target::MessagingById, Fault::TruncatedJson),
        Rule::every(19, Target::HistorySearch, Fault::PartialResult),
        Rule::every(23, Target::Any, Fault::ExpireTokens),
        Rule::every(29, Target::HistorySearch, Fault::Status(503)),
        Rule::every(31, Target::MessagingById, Fault::Html200),
    ];
    Script { rules, late: Vec::new() }
}

#[test]
fn a_day_of_faults_costs_calls_and_nothing_else() {
    let (conversations, step_minutes) = if is_long() { (6_000, 5) } else { (600, 60) };
    let messaging = MessagingConfig {
        conversations,
        days: 1,
        days_ahead: 1,
        unannounced_permille: 0,
        erased_permille: 0,
        ..MessagingConfig::default()
    };
    let begun = world(60, 12).end_ms;
    let lab = Lab::with(SimulatorConfig {
        world: world(60, 12),
        messaging,
        clock: Clock::Fixed(begun),
        script: faults(),
        ..Lab::config()
    });
    let folder = temp_folder();
    let clock = Arc::new(AtomicI64::new(begun));
    let time = ArchiveClock::Fixed(Arc::clone(&clock));
    let vault = folder.path().join("vault");
    let archive = Archive::create(&vault, lab.account(), Arc::new(RealDisk), time.clone()).unwrap();
    let settings = settings(&lab, time);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut rounds, mut failed_rounds) = (0, 0);
    let mut round = || {
        let progress = Arc::new(|_| ());
        let options = RunOptions::default();
        let report =
            pipeline::sync(&runtime, &settings, &archive, options, progress, &|_| (), Cancel::never()).unwrap();
        assert!(report.acquired.stopped.is_none(), "{:?}", report.acquired.stopped);
        rounds += 1;
        failed_rounds += u64::from(!report.acquired.is_complete());
        report.acquired.is_complete()
    };
    round();
    for _ in 0..24 * 60 / step_minutes {
        let now_ms = clock.fetch_add(step_minutes * MINUTE_MS, Ordering::SeqCst) + step_minutes * MINUTE_MS;
        lab.simulator.set_now_ms(now_ms);
        round();
    }
    // A round that met a fault too often leaves its window to the next.
    assert!((0..5).any(|_| round()), "the last rounds do not come through");

    let now_ms = clock.load(Ordering::SeqCst);
    let mut here: BTreeMap<String, StoredConversation> = BTreeMap::new();
    let reader = reader(&vault);
    reader
        .for_each(&mut |stored| {
            if let Some(id) = stored.merged().conversation_id
                && stored.revisions.iter().any(|revision| revision.source == "messaging-interactions")
            {
                assert!(here.insert(id.clone(), stored).is_none(), "{id} is here twice");
            }
        })
        .unwrap();
    let truth: Vec<_> = lab.simulator.messaging().truth(now_ms).collect();
    assert_eq!(here.len(), truth.len(), "conversations");
    let mut attributes = 0;
    for expected in &truth {
        let stored = here.get(&expected.id).unwrap_or_else(|| panic!("{} is not here", expected.id));
        let merged = stored.merged();
        assert_eq!(merged.messages.len(), expected.messages.len(), "messages of {}", expected.id);
        assert_eq!(merged.attributes.len(), expected.sdes.len(), "attributes of {}", expected.id);
        assert_eq!(merged.csat, expected.csat.map(f64::from), "{}", expected.id);
        assert_eq!(merged.status.as_deref(), Some(expected.status), "{}", expected.id);
        attributes += expected.sdes.len();
    }
    let requests = lab.simulator.requests();
    let calls = requests.messaging_search + requests.messaging_by_id;
    println!(
        "{} conversations, {attributes} attribute events; {rounds} rounds, {failed_rounds} of them with a stream that was \
         given up until the next; {calls} messaging calls ({:.2} a conversation, {:.2} a round), {} of the history of chats",
        truth.len(),
        calls as f64 / truth.len() as f64,
        calls as f64 / rounds as f64,
        requests.history_search,
    );
}

fn settings(lab: &Lab, clock: ArchiveClock) -> AcquireSettings {
    // Bearer tokens, which can end; without an API key they are what is used.
    let none = || Secret::new("");
    let keys = OAuth1Keys { app_key: none(), app_secret: none(), access_token: none(), access_token_secret: none() };
    let base = Url::parse(&lab.simulator.base_url()).unwrap();
    let services = ["msgHist", "engHistDomain", "sentinel", "agentVep"];
    let endpoints = Endpoints {
        csds: None,
        data_access: Some(base.clone()),
        data_access_files: Vec::new(),
        services: services.into_iter().map(|name| (name.to_owned(), base.clone())).collect(),
    };
    let mut settings = AcquireSettings::new(lab.account(), "va", keys, &endpoints).unwrap();
    let client = SimulatorConfig::default().tokens.client;
    settings.client =
        Some(ClientCredentials { id: Secret::new(&client.client_id), secret: Secret::new(&client.client_secret) });
    settings.streams = Vec::new();
    settings.histories = HistoryApi::ALL.into_iter().map(|api| HistoryChoice { api, mode: StreamMode::On }).collect();
    settings.clock = clock;
    settings.start = Duration::from_secs(2 * 24 * 3600);
    settings.requests_per_second = 10_000.0;
    settings.retry = RetryPolicy::instant();
    settings
}
