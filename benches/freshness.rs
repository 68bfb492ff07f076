//! `cargo bench --bench freshness [-- EVENTS [EVERY [CONVERSATIONS]]]`: how long after an engagement attribute (SDE) shows in the API a search finds it.
//!
//! The real program watches a busy simulated account that lives in real time; each attribute event's instant is known beforehand.
//! The index is asked ten times a second for the conversation by the attribute's path and value. `EVERY` is watch's `--every`; without it
//! the streams keep their own pace (also with `own`). `CONVERSATIONS` begin over two days. LivePerson itself promises two hours. Late changes that do not move `latestUpdateTime` are
//! switched off: no reader can follow those in near real time.

use chatvault::index::Reader;
use chatvault::search::parse::{ParseOptions, parse_located};
use chatvault::search::{SearchRequest, search};
use chatvault::simulator::{Clock, Credentials, MessagingConfig, Simulator, SimulatorConfig, WorldConfig, start};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// An attribute that will appear.
struct Event {
    at_ms: i64,
    key: String,
    query: String,
}

/// Ends the program whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn main() -> Result<(), Failed> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted: usize = arguments.first().and_then(|number| number.parse().ok()).unwrap_or(500);
    let every = arguments.get(1).filter(|every| *every != "own");
    let conversations = arguments.get(2).and_then(|number| number.parse().ok()).unwrap_or(60_000);
    let messaging = MessagingConfig {
        conversations,
        days: 1,
        days_ahead: 1,
        unannounced_permille: 0,
        erased_permille: 0,
        ..MessagingConfig::default()
    };
    let hour_ms = 3_600_000;
    let world = WorldConfig {
        conversations: 200,
        hours: 6,
        end_ms: now_ms().div_euclid(hour_ms) * hour_ms,
        ..WorldConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let simulator = runtime.block_on(start(SimulatorConfig {
        world,
        messaging,
        clock: Clock::Wall,
        job_delay_ms: 0,
        ..SimulatorConfig::default()
    }))?;
    let folder = tempfile::tempdir()?;
    let vault = folder.path().join("vault");
    let account = simulator.world().config().account_id.clone();
    run(program(&vault).args(["init", "--account", &account]).arg(&vault))?;
    std::fs::write(vault.join("vault.toml"), settings(&simulator, &account))?;
    run(program(&vault).arg("sync"))?;
    println!("first sync done; {} conversations of messaging", simulator.messaging().started(now_ms()).count());

    let before = simulator.requests();
    let mut watch = program(&vault);
    watch.arg("watch").args(every.into_iter().flat_map(|every| ["--every", every]));
    let watching = Running(watch.spawn()?);
    // The first round brings what the first sync left.
    std::thread::sleep(Duration::from_secs(5));
    let begun_ms = now_ms();
    let events = events(&simulator, &account, begun_ms, wanted);
    println!(
        "{} events over the next {} s",
        events.len(),
        events.last().map_or(0, |last| last.at_ms - begun_ms) / 1000
    );
    let mut latencies = observe(&vault, events)?;
    drop(watching);
    let lost = latencies.iter().filter(|latency| latency.is_none()).count();
    latencies.retain(Option::is_some);
    let mut seconds: Vec<f64> = latencies.into_iter().flatten().collect();
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share).round() as usize];
    if !seconds.is_empty() {
        println!(
            "{} events found, {lost} not found within ten minutes; every {}",
            seconds.len(),
            every.map_or("30s (messaging's own pace)", String::as_str)
        );
        println!("p50 {:.1} s, p90 {:.1} s, p99 {:.1} s, most {:.1} s", at(0.5), at(0.9), at(0.99), at(1.0));
    }
    let after = simulator.requests();
    println!(
        "calls meanwhile: {} searches, {} by id",
        after.messaging_search - before.messaging_search,
        after.messaging_by_id - before.messaging_by_id
    );
    if lost > 0 { Err(format!("{lost} events were not found").into()) } else { Ok(()) }
}

/// The next attribute events whose value is rare and new to their conversation.
fn events(simulator: &Simulator, account: &str, from_ms: i64, wanted: usize) -> Vec<Event> {
    let later = from_ms + 3_600_000;
    let messaging = simulator.messaging();
    let mut events = Vec::new();
    for index in messaging.started(later) {
        let Some(conversation) = messaging.conversation(index, later) else { continue };
        let mut known = BTreeSet::new();
        let mut sdes = conversation.sdes.clone();
        sdes.sort_by_key(|event| event.at_ms);
        for event in sdes {
            for (path, value) in &event.values {
                let is_rare = value.len() >= 6 && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if known.insert((path.clone(), value.clone())) && is_rare && event.at_ms > from_ms {
                    events.push(Event {
                        at_ms: event.at_ms,
                        key: format!("{account}:{}", conversation.id),
                        query: format!("id:{} sde.{path}:\"{value}\"", conversation.id),
                    });
                    break;
                }
            }
        }
    }
    events.sort_by_key(|event| event.at_ms);
    events.truncate(wanted);
    events
}

/// Seconds from each event to the first search that found it; none for those that were not found within ten minutes.
fn observe(vault: &Path, events: Vec<Event>) -> Result<Vec<Option<f64>>, Failed> {
    let mut latencies = Vec::with_capacity(events.len());
    let mut ahead = events.into_iter().peekable();
    let mut open: Vec<Event> = Vec::new();
    while ahead.peek().is_some() || !open.is_empty() {
        std::thread::sleep(Duration::from_millis(100));
        while let Some(event) = ahead.next_if(|event| event.at_ms <= now_ms()) {
            open.push(event);
        }
        let reader = Reader::open(&vault.join("index"))?;
        let mut still_open = Vec::with_capacity(open.len());
        for event in open {
            let asked_ms = now_ms();
            if finds(&reader, &event)? {
                latencies.push(Some((asked_ms - event.at_ms) as f64 / 1000.0));
            } else if asked_ms - event.at_ms > 600_000 {
                eprintln!("not found: {}", event.query);
                latencies.push(None);
            } else {
                still_open.push(event);
            }
        }
        open = still_open;
    }
    Ok(latencies)
}

fn finds(reader: &Reader, event: &Event) -> Result<bool, Failed> {
    let query = parse_located(&event.query, &ParseOptions::utc(now_ms()))?;
    let request = SearchRequest {
        query,
        text: event.query.clone(),
        sort: None,
        reverse: false,
        limit: Some(1),
        facets: Vec::new(),
        tz: TimeZone::UTC,
    };
    let answer = search(reader, &request)?;
    Ok(answer.hits.len() == 1 && answer.hits.load(reader, 0, 0)?.stored.key() == event.key)
}

fn program(vault: &Path) -> Command {
    let keys = Credentials::default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatvault"));
    command
        .env("CHATVAULT_VAULT", vault)
        .env("CHATVAULT_APP_KEY", keys.app_key)
        .env("CHATVAULT_APP_SECRET", keys.app_secret)
        .env("CHATVAULT_ACCESS_TOKEN", keys.access_token)
        .env("CHATVAULT_ACCESS_TOKEN_SECRET", keys.access_token_secret)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<(), Failed> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn settings(simulator: &Simulator, account: &str) -> String {
    let (api, downloads) = (simulator.base_url(), simulator.download_base_url());
    let services = ["msgHist", "engHistDomain", "sentinel", "agentVep"].map(|name| format!("{name} = \"{api}\"\n"));
    format!(
        "[account]\nid = \"{account}\"\n[sync]\nstart = \"6h\"\n[endpoints]\ncsds = \"{api}\"\ndata_access = \"{api}\"\n\
         data_access_files = \"{downloads}\"\n{}[streams]\n\"messaging-interactions\" = \"on\"\n\"engagement-history\" = \"on\"\n",
        services.concat()
    )
}
