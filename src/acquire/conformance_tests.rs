//! One suite over every stream: whatever the API, all that the account has arrives once, whole, and faults on the way cost calls and
//! nothing else. A further API is one more row of [`rows`].
//!
//! What is peculiar to one API stands with it: listings in `tests.rs`, searches in `follow_tests.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use serde_json::Value;

use super::tests::Lab;
use super::*;
use crate::archive::{Clock, EventKind};
use crate::simulator::{Fault, MessagingConfig, Rule, SimulatorConfig, Target, WorldConfig};

/// One stream.
#[derive(Clone, Copy)]
struct Row {
    stream: &'static str,
    /// The calls that tell what there is.
    asks: fn() -> Target,
    /// The calls that bring it.
    brings: fn() -> Target,
    /// Makes the stream the only one of a run.
    choose: fn(&mut AcquireSettings, StreamMode),
    /// Names or ids of all that the account has at the present time.
    truth: fn(&Lab) -> BTreeSet<String>,
    /// Those of them that the archive holds whole.
    archived: fn(&Lab) -> BTreeSet<String>,
}

/// A stream of hourly files.
macro_rules! data_access {
    ($data_type:expr, $prefix:literal) => {
        Row {
            stream: $data_type.stream(),
            asks: || Target::Listing,
            brings: || Target::Download(String::new()),
            choose: |settings, mode| {
                settings.streams = vec![StreamChoice { data_type: $data_type, mode }];
                settings.histories = Vec::new();
            },
            truth: |lab| lab.true_names().iter().map(|name| name.replace("Engagement", $prefix)).collect(),
            archived: |lab| lab.archive.names_in($data_type.stream()).unwrap().into_keys().collect(),
        }
    };
}

/// Every stream that can be acquired.
fn rows() -> Vec<Row> {
    vec![
        data_access!(DataType::Engagement, "Engagement"),
        data_access!(DataType::AgentActivity, "Agent"),
        data_access!(DataType::Survey, "Survey"),
        data_access!(DataType::WebSession, "WebSession"),
        Row {
            stream: HistoryApi::Messaging.stream(),
            asks: || Target::MessagingSearch,
            brings: || Target::MessagingById,
            choose: |settings, mode| follow(settings, HistoryApi::Messaging, mode),
            truth: |lab| lab.simulator.messaging().truth(lab.simulator.now_ms()).map(|truth| truth.id).collect(),
            archived: |lab| ids_in(lab, HistoryApi::Messaging, "conversationHistoryRecords", "conversationId"),
        },
        Row {
            stream: HistoryApi::Engagement.stream(),
            asks: || Target::HistorySearch,
            brings: || Target::HistorySearch,
            choose: |settings, mode| follow(settings, HistoryApi::Engagement, mode),
            truth: |lab| {
                let world = lab.simulator.world();
                let all = 0..world.config().conversations;
                all.filter_map(|index| world.engagement(index, lab.simulator.now_ms())).map(|chat| chat.id).collect()
            },
            archived: |lab| ids_in(lab, HistoryApi::Engagement, "interactionHistoryRecords", "engagementId"),
        },
    ]
}

fn follow(settings: &mut AcquireSettings, api: HistoryApi, mode: StreamMode) {
    settings.streams = Vec::new();
    settings.histories = vec![HistoryChoice { api, mode }];
}

/// Ids of the records of which some archived answer is not cut short.
fn ids_in(lab: &Lab, api: HistoryApi, list: &str, id: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in lab.archive.files_after(0).unwrap().into_iter().filter(|file| file.stream == api.stream()) {
        let mut text = String::new();
        let bytes = lab.archive.open_file(&file).unwrap();
        flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        for line in text.lines() {
            let answer: Value = serde_json::from_str(line).unwrap();
            for record in answer["body"][list].as_array().unwrap() {
                if record["info"]["isPartial"] != true {
                    found.insert(record["info"][id].as_str().unwrap().to_owned());
                }
            }
        }
    }
    found
}

impl Row {
    /// The calls that a fault may hit, each once.
    fn targets(&self) -> Vec<Target> {
        let mut targets = vec![(self.asks)(), (self.brings)()];
        targets.dedup();
        targets
    }

    async fn lab(&self, rules: Vec<Rule>) -> Lab {
        self.lab_with(rules, |_| ()).await
    }

    /// An account with all streams, more of each than one page holds, and a vault that wants this one.
    async fn lab_with(&self, rules: Vec<Rule>, change: impl FnOnce(&mut SimulatorConfig)) -> Lab {
        let mut lab = Lab::with(|config| {
            config.world = WorldConfig { conversations: 140, hours: 24, ..WorldConfig::default() };
            config.messaging =
                MessagingConfig { conversations: 140, days: 2, days_ahead: 0, ..MessagingConfig::default() };
            config.other_data_types = true;
            config.script.rules = rules;
            change(config);
        })
        .await;
        (self.choose)(&mut lab.settings, StreamMode::On);
        lab
    }

    #[track_caller]
    fn assert_all_is_here(&self, lab: &Lab, what: &str) {
        let (truth, archived) = ((self.truth)(lab), (self.archived)(lab));
        assert!(truth.len() > 20, "{}: {}", self.stream, truth.len());
        let missing: Vec<_> = truth.difference(&archived).collect();
        assert!(
            missing.is_empty(),
            "{}, {what}: {} of {} missing: {missing:?}",
            self.stream,
            missing.len(),
            truth.len()
        );
        assert!(archived.is_subset(&truth), "{}, {what}: more than there is", self.stream);
        self.assert_nothing_is_left_over(lab, what);
    }

    /// No half download, no open segment; the chain and every file are whole.
    #[track_caller]
    fn assert_nothing_is_left_over(&self, lab: &Lab, what: &str) {
        assert_eq!((lab.files_under("tmp"), lab.files_under("open")), (0, 0), "{}, {what}", self.stream);
        let verified = lab.archive.verify(&|_| {}, 1).unwrap();
        assert!(verified.is_ok(), "{}, {what}: {verified:?}", self.stream);
    }
}

async fn synced(lab: &Lab) -> AcquireReport {
    lab.try_sync().await.unwrap().0
}

#[test]
fn every_stream_has_a_row() {
    let rows: BTreeSet<&str> = rows().iter().map(|row| row.stream).collect();
    let data_types = DataType::ALL.into_iter().map(DataType::stream);
    let all: BTreeSet<&str> = data_types.chain(HistoryApi::ALL.into_iter().map(HistoryApi::stream)).collect();
    assert_eq!(rows, all);
}

#[tokio::test]
async fn all_pages_arrive_and_what_is_here_is_not_archived_again() {
    for row in rows() {
        let lab = row.lab(vec![]).await;
        let report = synced(&lab).await;
        let stream = &report.streams[row.stream];
        assert!(report.is_complete() && stream.failed == 0, "{report:?}");
        assert!(stream.listing_calls >= 3, "{}: {} calls is no paging", row.stream, stream.listing_calls);
        row.assert_all_is_here(&lab, "first run");
        let files = lab.archive.last_sequence().unwrap();
        assert_eq!(stream.downloaded, files, "{}", row.stream);

        // Each question reaches back over what was asked before. What comes is the same, so no file is.
        let again = synced(&lab).await;
        assert!(again.is_complete(), "{again:?}");
        let stream = &again.streams[row.stream];
        assert!(stream.listing_calls > 0, "{}", row.stream);
        let is_file_stream = DataType::of_stream(row.stream).is_some();
        assert!(!is_file_stream || (stream.already > 0 && lab.archive.last_sequence().unwrap() == files), "{stream:?}");
        row.assert_all_is_here(&lab, "second run");
    }
}

#[tokio::test]
async fn an_empty_account_is_no_failure() {
    for row in rows() {
        let mut lab = row.lab(vec![]).await;
        // A time before there was anything.
        let then = 1_600_000_000_000;
        lab.simulator.set_now_ms(then);
        lab.settings.clock = Clock::Fixed(Arc::new(AtomicI64::new(then)));
        let report = synced(&lab).await;
        assert!(report.is_complete(), "{report:?}");
        let stream = &report.streams[row.stream];
        assert_eq!((stream.listed, stream.downloaded, stream.problems.len()), (0, 0, 0), "{}", row.stream);
        assert!(stream.listing_calls > 0, "{}: it was asked", row.stream);
        let failed = |listing: &crate::archive::Listing| {
            matches!(listing.outcome, crate::archive::ListingKind::Failed(_) | crate::archive::ListingKind::Files)
        };
        assert!(!lab.archive.listings_in(row.stream).unwrap().iter().any(failed), "{}", row.stream);
        assert_eq!(lab.archive.last_sequence().unwrap(), 0);
        row.assert_nothing_is_left_over(&lab, "empty");
    }
}

/// What a few more calls make good, wherever it happens.
#[tokio::test]
async fn faults_that_patience_overcomes() {
    for fault in [Fault::Status(503), Fault::Status(429), Fault::Html200, Fault::CutBody, Fault::WrongLength] {
        for row in rows() {
            for target in row.targets() {
                let what = format!("{fault:?} at {target:?}");
                let lab = row.lab(vec![Rule { target, skip: 1, every: 3, times: 4, fault: fault.clone() }]).await;
                let report = synced(&lab).await;
                assert!(report.is_complete(), "{}, {what}: {:?}", row.stream, report.streams);
                row.assert_all_is_here(&lab, &what);
                assert_eq!(lab.simulator.requests().refused, 0, "each retry had a nonce of its own");
            }
        }
    }
}

/// The bytes of a container are damaged, or a JSON answer ends too early.
#[tokio::test]
async fn damaged_bodies_are_asked_for_again() {
    for row in rows() {
        let faults = match DataType::of_stream(row.stream) {
            Some(_) => vec![Fault::TruncatedGzip, Fault::CorruptGzip, Fault::EmptyFile],
            None => vec![Fault::TruncatedJson],
        };
        for fault in faults {
            let what = format!("{fault:?}");
            let lab = row.lab(vec![Rule { target: (row.brings)(), skip: 1, every: 3, times: 4, fault }]).await;
            let report = synced(&lab).await;
            assert!(report.is_complete(), "{}, {what}: {:?}", row.stream, report.streams);
            row.assert_all_is_here(&lab, &what);
        }
    }
}

#[tokio::test]
async fn keys_that_are_refused_midway_end_the_run_and_the_next_goes_on() {
    for row in rows() {
        for target in row.targets() {
            let what = format!("401 at {target:?}");
            let rule = Rule { target, skip: 1, every: 1, times: 3, fault: Fault::Status(401) };
            let lab = row.lab(vec![rule]).await;
            let report = synced(&lab).await;
            assert!(!report.is_complete(), "{}, {what}: {report:?}", row.stream);
            row.assert_nothing_is_left_over(&lab, &what);
            // What came before stays, and is not taken for all. Keys that are refused at the first call end a run at once.
            let mut complete = false;
            for _ in 0..4 {
                complete = complete || lab.try_sync().await.is_ok_and(|(report, _)| report.is_complete());
            }
            assert!(complete, "{}, {what}", row.stream);
            row.assert_all_is_here(&lab, &what);
        }
    }
}

#[tokio::test]
async fn rate_limits_without_end_are_not_asked_without_end() {
    for row in rows() {
        let lab = row.lab(vec![Rule { skip: 1, ..Rule::always((row.asks)(), Fault::Status(429)) }]).await;
        let before = lab.simulator.requests();
        let report = synced(&lab).await;
        assert!(!report.is_complete(), "{}: {report:?}", row.stream);
        let after = lab.simulator.requests();
        let asked = |counts: &crate::simulator::RequestCounts| {
            counts.listing + counts.messaging_search + counts.history_search + counts.download
        };
        assert!(asked(&after) - asked(&before) < 150, "{}: {after:?}", row.stream);
        row.assert_nothing_is_left_over(&lab, "429");
    }
}

#[tokio::test]
async fn a_stream_that_is_not_for_these_keys_is_skipped_or_told() {
    for row in rows() {
        for (mode, is_skipped) in [(StreamMode::Auto, true), (StreamMode::On, false)] {
            let mut lab = row.lab(vec![Rule::always((row.asks)(), Fault::Status(403))]).await;
            (row.choose)(&mut lab.settings, mode);
            match lab.try_sync().await {
                Ok((report, _)) => {
                    let stream = &report.streams[row.stream];
                    assert_eq!((stream.skipped, report.is_complete()), (is_skipped, is_skipped), "{report:?}");
                }
                // Data Access, where nothing else is wanted: the run never began.
                Err(error) => assert!(matches!(error, AcquireError::Forbidden { .. }), "{}: {error:?}", row.stream),
            }
            assert_eq!(lab.archive.last_sequence().unwrap(), 0);
            row.assert_nothing_is_left_over(&lab, "403");
        }
    }
}

#[tokio::test]
async fn no_key_or_token_is_in_what_is_kept() {
    for row in rows() {
        let lab = row.lab(vec![]).await;
        synced(&lab).await;
        let events = lab.archive.events_after(0, 10_000).unwrap();
        let fetched = events.iter().filter(|event| event.kind == EventKind::Fetched.as_str()).count();
        assert_eq!(fetched as u64, lab.archive.last_sequence().unwrap());
        let kept: BTreeMap<u64, String> = events.into_iter().map(|event| (event.seq, event.payload)).collect();
        let credentials = SimulatorConfig::default().credentials;
        for secret in [&credentials.app_secret, &credentials.access_token_secret, &credentials.access_token] {
            assert!(kept.values().all(|payload| !payload.contains(secret.as_str())), "{}", row.stream);
        }
    }
}
