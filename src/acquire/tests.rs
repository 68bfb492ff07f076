//! Whole runs against the simulator on loopback and the real archive in a temp folder: what is peculiar to Data Access, and to a run
//! as a whole. What every stream must do stands in `conformance_tests.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use url::Url;

use super::*;
use crate::archive::{Clock, EventKind, RealDisk};
use crate::simulator::{self, Fault, LateFiles, Rule, Script, Simulator, SimulatorConfig, Target, WorldConfig};

/// All that has an address of its own.
const SERVICES: [&str; 4] = ["msgHist", "engHistDomain", "leDataReporting", "msgEwtAPI"];

/// A small account, its simulator, a vault, and settings that fit.
pub(super) struct Lab {
    pub(super) simulator: Simulator,
    folder: tempfile::TempDir,
    pub(super) archive: Archive,
    pub(super) settings: AcquireSettings,
    /// The clock of the archive and of the settings.
    pub(super) clock: Arc<AtomicI64>,
    events: Arc<Mutex<Vec<AcquireEvent>>>,
}

impl Lab {
    pub(super) async fn new(rules: Vec<Rule>) -> Lab {
        Lab::with(|config| config.script.rules = rules).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut SimulatorConfig)) -> Lab {
        let world = WorldConfig { conversations: 60, hours: 12, ..WorldConfig::default() };
        let mut config = SimulatorConfig { world, ..SimulatorConfig::default() };
        change(&mut config);
        let simulator = simulator::start(config.clone()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(simulator.now_ms()));
        let time = Clock::Fixed(Arc::clone(&clock));
        let archive =
            Archive::create(&folder.path().join("vault"), "40112233", Arc::new(RealDisk), time.clone()).unwrap();
        let keys = OAuth1Keys::of_simulator(&config.credentials);
        let url = |text: &str| Url::parse(text).unwrap();
        let endpoints = Endpoints {
            csds: Some(url(&simulator.base_url())),
            data_access: Some(url(&simulator.base_url())),
            data_access_files: vec![url(&simulator.download_base_url())],
            services: SERVICES.map(|name| (name.to_owned(), url(&simulator.base_url()))).into(),
        };
        let mut settings = AcquireSettings::new("40112233", "va", keys, &endpoints).unwrap();
        settings.clock = time;
        settings.start = Duration::from_secs(3 * 24 * 3600);
        settings.requests_per_second = 10_000.0;
        settings.retry = RetryPolicy::instant();
        settings.no_progress_timeout = Duration::from_secs(20);
        Lab { simulator, folder, archive, settings, clock, events: Arc::default() }
    }

    pub(super) async fn try_sync(&self) -> Result<(AcquireReport, Vec<ArchivedFile>), AcquireError> {
        self.sync_until(Cancel::never()).await
    }

    async fn sync_until(&self, cancel: Cancel) -> Result<(AcquireReport, Vec<ArchivedFile>), AcquireError> {
        let (sender, mut receiver) = mpsc::channel(1000);
        let report = sync(&self.settings, self.archive.clone(), self.sink(), sender, cancel).await?;
        let mut published = Vec::new();
        while let Some(file) = receiver.recv().await {
            published.push(file);
        }
        Ok((report, published))
    }

    pub(super) async fn sync(&self) -> (StreamReport, AcquireReport) {
        let (report, _) = self.try_sync().await.unwrap();
        (report.streams["data-access/engagement"].clone(), report)
    }

    pub(super) fn sink(&self) -> ProgressSink {
        let events = Arc::clone(&self.events);
        Arc::new(move |event| events.lock().unwrap().push(event))
    }

    pub(super) fn true_names(&self) -> BTreeSet<String> {
        self.simulator.world().files().map(|file| file.name()).collect()
    }

    pub(super) fn archived_names(&self) -> BTreeSet<String> {
        self.archive.names_in("data-access/engagement").unwrap().into_keys().collect()
    }

    pub(super) fn files_under(&self, folder: &str) -> usize {
        fn count(path: &Path) -> usize {
            let entries = std::fs::read_dir(path).map(|entries| entries.flatten().collect()).unwrap_or_else(|_| vec![]);
            entries.iter().map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.folder.path().join("vault").join(folder))
    }

    pub(super) fn assert_everything_is_here(&self) {
        assert_eq!(self.archived_names(), self.true_names());
        assert_eq!(self.files_under("tmp"), 0);
    }
}

fn kinds(report: &StreamReport) -> Vec<ProblemKind> {
    report.problems.iter().map(|problem| problem.kind).collect()
}

fn first_download(lab_names: &BTreeSet<String>) -> Target {
    Target::Download(lab_names.first().unwrap().clone())
}

#[tokio::test]
async fn everything_arrives_once_and_a_second_sync_only_lists() {
    let lab = Lab::new(vec![]).await;
    let (report, published) = lab.try_sync().await.unwrap();
    let stream = &report.streams["data-access/engagement"];
    let files = lab.true_names().len() as u64;
    assert!(files >= 12);
    assert_eq!((stream.listed, stream.downloaded, stream.already, stream.failed), (files, files, 0, 0));
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(published.len() as u64, files);
    assert_eq!(stream.bytes, published.iter().map(|file| file.size_bytes).sum::<u64>());
    assert!(matches!(report.domain, DomainCheck::Services(_)), "{:?}", report.domain);
    lab.assert_everything_is_here();
    let file = &published[0];
    assert!(file.window.is_some());
    let provenance = &file.provenance;
    assert!(provenance.origin.starts_with(&lab.simulator.download_base_url()), "{}", provenance.origin);
    assert_eq!(provenance.response["status"], "200");
    assert!(!format!("{provenance:?}").to_lowercase().contains("oauth"));

    let before = lab.simulator.requests();
    let (report, published) = lab.try_sync().await.unwrap();
    let stream = &report.streams["data-access/engagement"];
    let after = lab.simulator.requests();
    assert_eq!((stream.listed, stream.downloaded, stream.already), (files, 0, files));
    assert_eq!((after.download, published.len()), (before.download, 0));
    assert!(after.listing > before.listing);
    assert_eq!(after.refused, 0);
}

#[tokio::test]
async fn a_run_is_recorded_in_the_audit_chain() {
    let lab = Lab::new(vec![Rule::always(Target::Listing, Fault::EvilName("../evil.gz".into()))]).await;
    lab.sync().await;
    let events = lab.archive.events_after(0, 10_000).unwrap();
    let count = |kind: EventKind| events.iter().filter(|event| event.kind == kind.as_str()).count();
    assert!(count(EventKind::Listed) >= 3);
    assert_eq!(count(EventKind::Fetched), lab.true_names().len());
    assert_eq!(count(EventKind::Refused), 1);
    let told = lab.events.lock().unwrap();
    assert!(told.iter().any(|event| matches!(event, AcquireEvent::Planned { fetch, .. } if *fetch > 0)));
    assert!(told.iter().any(|event| matches!(event, AcquireEvent::Finished { .. })));
}

#[tokio::test]
async fn plan_lists_and_changes_nothing() {
    let lab = Lab::new(vec![]).await;
    let planned = plan(&lab.settings, lab.archive.clone(), lab.sink(), Cancel::never()).await.unwrap();
    let stream = &planned.streams["data-access/engagement"];
    let names: BTreeSet<String> = stream.fetch.iter().map(|file| file.name.clone()).collect();
    assert_eq!((names, stream.already, stream.estimated_bytes), (lab.true_names(), 0, None));
    assert!(stream.fetch.is_sorted_by_key(|file| file.window));
    let first = &stream.fetch[0];
    assert_eq!(first.expires_at_ms.unwrap() - first.window.unwrap().end_ms, 30 * 24 * 3_600_000);
    assert_eq!(lab.simulator.requests().download, 0);
    assert_eq!(lab.archive.events_after(0, 100).unwrap().len(), 1, "only the making of the vault");
    assert_eq!(lab.files_under("files"), 0);

    lab.sync().await;
    let planned = plan(&lab.settings, lab.archive.clone(), lab.sink(), Cancel::never()).await.unwrap();
    let stream = &planned.streams["data-access/engagement"];
    assert_eq!((stream.fetch.len(), stream.already), (0, lab.true_names().len() as u64));
    assert_eq!(stream.estimated_bytes, Some(0));
}

#[tokio::test]
async fn wrong_keys_stop_after_one_call_and_say_what_to_check() {
    let mut lab = Lab::new(vec![]).await;
    lab.settings.keys.access_token_secret = Secret::new("wrong-secret");
    let error = lab.try_sync().await.unwrap_err();
    let told = format!("{error} {:?} {:?}", error, error.hints());
    assert!(matches!(error, AcquireError::Unauthorized { .. }), "{told}");
    assert!(told.contains("CHATVAULT_ACCESS_TOKEN_SECRET") && told.contains("40112233"), "{told}");
    assert!(!told.contains("wrong-secret") && !told.contains("demo-app"), "{told}");
    assert_eq!(lab.simulator.requests().listing, 1);
    assert_eq!(lab.files_under("files"), 0);
}

#[tokio::test]
async fn nobody_at_the_host_is_told_at_once() {
    let mut lab = Lab::new(vec![]).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    lab.settings.data_access = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let error = lab.try_sync().await.unwrap_err();
    assert!(matches!(error, AcquireError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_missing_permission_ends_an_on_stream_and_skips_an_auto_stream() {
    let mut lab = Lab::new(vec![Rule::always(Target::Listing, Fault::Status(403))]).await;
    let error = lab.try_sync().await.unwrap_err();
    assert!(matches!(error, AcquireError::Forbidden { .. }), "{error:?}");

    lab = Lab::new(vec![]).await;
    lab.settings.streams.push(StreamChoice { data_type: DataType::Survey, mode: StreamMode::Auto });
    let (report, _) = lab.try_sync().await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert!(report.streams["data-access/survey"].skipped || report.streams["data-access/survey"].listed == 0);
    lab.assert_everything_is_here();
}

#[tokio::test]
async fn listings_that_are_none_fail_and_keep_the_others() {
    for (fault, kind) in [
        (Fault::Html200, ProblemKind::Html),
        (Fault::Xml200, ProblemKind::Xml),
        (Fault::TruncatedJson, ProblemKind::TruncatedJson),
        (Fault::CutBody, ProblemKind::Network),
    ] {
        // Two listings pass, the third (the day that holds most files) fails with all its retries.
        let tries = if kind == ProblemKind::Network { 6 } else { 4 };
        let rule = Rule { target: Target::Listing, skip: 2, every: 1, times: tries, fault };
        let mut lab = Lab::new(vec![rule]).await;
        lab.settings.connections = 1;
        let (stream, _) = lab.sync().await;
        assert_eq!(kinds(&stream), [kind]);
        assert_eq!((stream.failed, u64::from(stream.problems[0].attempts)), (1, tries));
        assert!(!stream.problems[0].reason.contains('<'), "{:?}", stream.problems);
        let listings = lab.archive.listings_in("data-access/engagement").unwrap();
        let failed =
            |listing: &&crate::archive::Listing| matches!(listing.outcome, crate::archive::ListingKind::Failed(_));
        assert_eq!(listings.iter().filter(failed).count(), 1, "failed is told apart from empty");

        let (stream, _) = lab.sync().await;
        assert_eq!(stream.failed, 0);
        lab.assert_everything_is_here();
    }
}

#[tokio::test]
async fn the_listing_of_another_account_is_refused_whole() {
    let lab = Lab::new(vec![Rule::always(Target::Listing, Fault::OtherAccount("99999999".into()))]).await;
    let (stream, _) = lab.sync().await;
    assert!(kinds(&stream).contains(&ProblemKind::OtherAccount), "{stream:?}");
    assert_eq!((stream.listed, stream.downloaded), (0, 0));
    assert_eq!(lab.simulator.requests().download, 0);
}

#[tokio::test]
async fn evil_names_and_foreign_hosts_are_named_and_never_requested() {
    let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    foreign.set_nonblocking(true).unwrap();
    let evil = ["../../../etc/cron.d/x", "a/b.gz", "nul\0.gz", "..", &"x".repeat(4000)];
    let mut rules: Vec<Rule> =
        evil.iter().map(|name| Rule::always(Target::Listing, Fault::EvilName((*name).to_owned()))).collect();
    for address in [
        format!("http://{}/x.gz", foreign.local_addr().unwrap()),
        "https://va.da.liveperson.net@evil.example/x.gz".to_owned(),
        "https://evilliveperson.net/x.gz".to_owned(),
    ] {
        rules.push(Rule::always(Target::Listing, Fault::ForeignHost(address)));
    }
    let lab = Lab::new(rules).await;
    let (stream, report) = lab.sync().await;
    lab.assert_everything_is_here();
    assert!(!report.is_complete());
    assert_eq!(stream.failed, 0, "{stream:?}");
    assert!(stream.refused >= 5 && stream.refused == stream.problems.len() as u64, "{stream:?}");
    assert!(kinds(&stream).contains(&ProblemKind::RefusedName));
    assert!(kinds(&stream).contains(&ProblemKind::RefusedHost));
    assert!(stream.problems.iter().all(|problem| problem.name.len() < 300 && problem.attempts == 0));
    assert!(foreign.accept().is_err(), "nobody knocked at the foreign host");
}

#[tokio::test]
async fn a_file_that_stays_damaged_is_kept_counted_and_fetched_next_time() {
    for fault in [Fault::TruncatedGzip, Fault::CorruptGzip, Fault::EmptyFile] {
        let names = Lab::new(vec![]).await.true_names();
        let rule = Rule { target: first_download(&names), skip: 0, every: 1, times: 3, fault: fault.clone() };
        let lab = Lab::new(vec![rule]).await;
        let (stream, _) = lab.sync().await;
        assert_eq!(kinds(&stream), [ProblemKind::Damaged], "{fault:?}");
        assert_eq!(stream.problems[0].attempts, 3);
        assert_eq!(stream.problems[0].name, *names.first().unwrap());
        assert_eq!(stream.downloaded as usize, names.len() - 1, "the others are here");
        assert!(lab.files_under("quarantine") >= 1);
        let (stream, _) = lab.sync().await;
        assert_eq!((stream.downloaded, stream.failed), (1, 0));
        lab.assert_everything_is_here();
    }
}

#[tokio::test]
async fn answers_that_are_no_file_are_not_published() {
    let names = Lab::new(vec![]).await.true_names();
    for (fault, kind, attempts) in [
        (Fault::Html200, ProblemKind::NotAFile, 4),
        (Fault::Status(404), ProblemKind::Gone, 1),
        (Fault::Status(403), ProblemKind::Forbidden, 1),
        (Fault::Status(401), ProblemKind::Unauthorized, 1),
        (Fault::Status(500), ProblemKind::Server, 6),
        (Fault::CutBody, ProblemKind::Network, 6),
    ] {
        let lab = Lab::new(vec![Rule::always(first_download(&names), fault)]).await;
        let (stream, report) = lab.sync().await;
        assert_eq!(kinds(&stream), [kind]);
        assert_eq!(stream.problems[0].attempts, attempts);
        assert_eq!((stream.downloaded as usize, stream.failed), (names.len() - 1, 1));
        assert!(report.stopped.is_none());
        assert_eq!((lab.files_under("tmp"), lab.files_under("quarantine")), (0, 0));
    }
}

#[tokio::test]
async fn keys_that_stop_working_end_the_run() {
    let lab = Lab::new(vec![Rule::always(Target::Download(String::new()), Fault::Status(401))]).await;
    let (_, report) = lab.sync().await;
    assert!(matches!(report.stopped, Some(AcquireError::Unauthorized { .. })), "{report:?}");
}

#[tokio::test]
async fn rate_limits_without_end_end_the_run() {
    let lab = Lab::new(vec![Rule::always(Target::Download(String::new()), Fault::Status(429))]).await;
    let (stream, report) = lab.sync().await;
    assert!(matches!(report.stopped, Some(AcquireError::RateLimited { .. })), "{report:?}");
    assert_eq!(stream.downloaded, 0);
    assert!(lab.simulator.requests().download < 60, "{:?}", lab.simulator.requests());
}

#[tokio::test]
async fn a_dead_server_is_not_asked_for_hours() {
    let lab = Lab::with(|config| {
        config.world.hours = 60;
        config.script =
            Script { rules: vec![Rule::always(Target::Download(String::new()), Fault::Status(503))], late: vec![] };
    })
    .await;
    let (_, report) = lab.sync().await;
    assert!(matches!(report.stopped, Some(AcquireError::Unavailable { .. })), "{report:?}");
    assert!(lab.simulator.requests().download < 120, "{:?}", lab.simulator.requests());
}

#[tokio::test]
async fn a_stalled_download_is_given_up_and_made_again() {
    let rule = Rule::once(Target::Download(String::new()), Fault::Stall(Duration::from_secs(600)));
    let mut lab = Lab::new(vec![rule]).await;
    lab.settings.no_progress_timeout = Duration::from_millis(500);
    let (_, report) = lab.sync().await;
    assert!(report.is_complete(), "{report:?}");
    let told = lab.events.lock().unwrap();
    assert!(
        told.iter().any(|event| {
            matches!(event, AcquireEvent::Waiting { reason, .. } if reason.starts_with("no byte came"))
        })
    );
}

#[tokio::test]
async fn a_late_file_is_found_by_the_next_sync() {
    let lab = Lab::with(|config| {
        config.script.late =
            vec![LateFiles { name_contains: "part-00001".into(), appears: simulator::Appears::AfterListings(6) }];
        config.world.parts_per_hour = 3;
    })
    .await;
    let mut missing = usize::MAX;
    for _ in 0..4 {
        let (stream, _) = lab.sync().await;
        assert_eq!(stream.failed, 0);
        missing = lab.true_names().len() - lab.archived_names().len();
    }
    assert_eq!(missing, 0);
}

#[tokio::test]
async fn an_interrupted_run_keeps_what_it_has_and_the_next_finishes() {
    let lab = Lab::new(vec![]).await;
    let (handle, cancel) = Cancel::pair();
    let handle = Arc::new(Mutex::new(Some(handle)));
    let progress: ProgressSink = Arc::new(move |event| {
        if matches!(event, AcquireEvent::Finished { .. })
            && let Some(handle) = handle.lock().unwrap().take()
        {
            handle.cancel();
        }
    });
    let (sender, _receiver) = mpsc::channel(1000);
    let report = sync(&lab.settings, lab.archive.clone(), progress, sender, cancel).await.unwrap();
    assert!(report.interrupted && !report.is_complete());
    let stream = &report.streams["data-access/engagement"];
    assert!(stream.downloaded >= 1 && stream.downloaded < stream.listed, "{stream:?}");
    assert_eq!(stream.failed, 0, "an interruption is no failure of a file");
    assert_eq!(lab.files_under("tmp"), 0);
    assert_eq!(lab.archived_names().len() as u64, stream.downloaded);

    lab.sync().await;
    lab.assert_everything_is_here();

    let (handle, cancel) = Cancel::pair();
    handle.cancel();
    let before = lab.simulator.requests();
    let (report, _) = lab.sync_until(cancel).await.unwrap();
    assert!(report.interrupted);
    assert_eq!(lab.simulator.requests(), before);
}

#[tokio::test]
async fn a_failing_domain_api_stops_nothing() {
    let lab = Lab::new(vec![Rule::always(Target::Domain, Fault::Status(500))]).await;
    let (_, report) = lab.sync().await;
    assert!(report.is_complete() && matches!(report.domain, DomainCheck::Failed(_)), "{report:?}");
    let lab = Lab::new(vec![Rule::always(Target::Domain, Fault::Status(401))]).await;
    assert_eq!(lab.sync().await.1.domain, DomainCheck::UnknownAccount);
    let lab = Lab::new(vec![Rule::always(Target::Domain, Fault::Html200)]).await;
    assert!(matches!(lab.sync().await.1.domain, DomainCheck::Failed(_)));
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_full_stops_nothing() {
    let lab = Lab::new(vec![]).await;
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let report = sync(&lab.settings, lab.archive.clone(), lab.sink(), sender, Cancel::never()).await.unwrap();
    assert!(report.is_complete());
    lab.assert_everything_is_here();
}

#[tokio::test]
async fn bad_settings_are_told_before_the_first_request() {
    let mut lab = Lab::new(vec![]).await;
    lab.settings.requests_per_second = 0.0;
    let error = lab.try_sync().await.unwrap_err();
    assert!(matches!(&error, AcquireError::Configuration(text) if text.contains("requests_per_second")), "{error}");
    assert_eq!(lab.simulator.requests().listing, 0);
}

#[test]
fn runs_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    if false {
        let settings: &AcquireSettings = &unreachable_value();
        is_send(sync(settings, unreachable_value(), unreachable_value(), unreachable_value(), unreachable_value()));
        is_send(plan(settings, unreachable_value(), unreachable_value(), unreachable_value()));
    }
}

fn unreachable_value<T>() -> T {
    unreachable!("only its type matters")
}
