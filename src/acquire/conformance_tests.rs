//! One suite over every stream: whatever the API, all that the account has arrives once, whole, and faults on the way cost calls and
//! nothing else. A further API is one more row of [`rows`]; where a kind of stream must be expected to do something else,
//! [`Kind`](rows::Kind) says what and why.
//!
//! What is peculiar to one API stands with it: listings in `tests.rs`, searches in `follow_tests.rs`, figures in
//! `polling_tests.rs`.

mod figures;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use rows::{Row, rows};

use super::tests::Lab;
use super::*;
use crate::archive::{EventKind, Listing, ListingKind};
use crate::simulator::{Fault, MessagingConfig, Rule, SimulatorConfig, Target, WorldConfig};

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
            config.agents_per_page = 4;
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
        assert!(truth.len() > 10, "{}: {}", self.stream, truth.len());
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
    let histories = HistoryApi::ALL.into_iter().map(HistoryApi::stream);
    let operations = OperationsApi::ALL.into_iter().map(OperationsApi::stream);
    let all: BTreeSet<&str> = data_types.chain(histories).chain(operations).collect();
    assert_eq!((rows, all.len()), (all, 9));
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
        let now_ms = lab.clock.fetch_add(row.kind.pause_ms(), Ordering::SeqCst) + row.kind.pause_ms();
        lab.simulator.set_now_ms(now_ms);
        let again = synced(&lab).await;
        assert!(again.is_complete(), "{again:?}");
        let stream = &again.streams[row.stream];
        assert!(stream.listing_calls > 0, "{}", row.stream);
        let is_known = stream.already > 0 && lab.archive.last_sequence().unwrap() == files;
        assert!(is_known || !row.kind.has_names(), "{stream:?}");
        row.assert_all_is_here(&lab, "second run");
    }
}

#[tokio::test]
async fn an_empty_account_is_no_failure() {
    for row in rows() {
        let lab = row.lab(vec![]).await;
        // A time before there was anything.
        let then = 1_600_000_000_000;
        lab.simulator.set_now_ms(then);
        lab.clock.store(then, Ordering::SeqCst);
        let report = synced(&lab).await;
        assert!(report.is_complete(), "{report:?}");
        let stream = &report.streams[row.stream];
        assert!(stream.listing_calls > 0 && stream.problems.is_empty(), "{}: it was asked", row.stream);
        let tells = row.kind.tells_of_nothing();
        let (listed, files) = if tells { (stream.listing_calls, 1) } else { (0, 0) };
        assert_eq!((stream.listed, stream.downloaded), (listed, files), "{}", row.stream);
        assert_eq!(lab.archive.last_sequence().unwrap(), files);
        let truth = if tells { (row.truth)(&lab) } else { BTreeSet::new() };
        assert_eq!((row.archived)(&lab), truth, "{}", row.stream);
        for name in (row.ledger)() {
            let listings = lab.archive.listings_in(&name).unwrap();
            // Waiting times are asked of skills, and here is none.
            assert!(!listings.is_empty() || name.ends_with("/ewt"), "{name}");
            let is_wrong = |listing: &Listing| match &listing.outcome {
                ListingKind::Files => !tells,
                ListingKind::Empty => tells,
                ListingKind::Failed(_) => true,
            };
            assert!(!listings.iter().any(is_wrong), "{name}: {listings:?}");
        }
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
        for fault in row.kind.damages() {
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
            counts.listing
                + counts.messaging_search
                + counts.history_search
                + counts.download
                + counts.operations
                + counts.agent_metrics
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
