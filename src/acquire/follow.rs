//! Follows a history API: asks for what is new or changed, archives each answer before it is believed, and moves the cursor
//! only over what was answered whole.
//!
//! What is asked for in which order, the passes, is in `passes.rs`.
//!
//! A search is cut in halves until its count is small. The count must be the same before and after paging and equal the
//! number of different ids, else the search is made again, and then cut. Nothing is taken from an answer but ids and flags.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use url::Url;

use crate::archive::{AnswerSegment, Archive, ArchiveError, ArchivedFile, Listing, ListingOutcome, Published, Window};

use super::apis::{Sessions, is_refusal};
use super::asking::{keep, lock, receive};
use super::engine::{Engine, GivenUp, Stop, blocking, join};
use super::error::{Fault, ProblemKind};
use super::history::{Filter, HistoryApi, Page, STEP_MS};
use super::listing::window_name;
use super::memory::in_time;
use super::passes::{Axis, Pass, Schedule, floor, halves};
use super::plan::millis;
use super::report::{AcquireEvent, StreamReport};
use super::settings::StreamMode;
use super::source::{ApiRequest, shown};
use super::token::Authorizer;

/// A search with more matches is cut in halves: far below the ten thousand that a search engine serves at most.
const MOST_PER_SEARCH: u64 = 1000;
/// How often a search whose count changed while it was paged is made again before it is cut.
const TRIES: u32 = 3;

/// What a stream of this kind is acquired with.
pub(super) struct Follow<'r> {
    pub(super) engine: &'r Engine,
    pub(super) api: HistoryApi,
    /// Scheme and host.
    pub(super) base: Url,
    pub(super) account_id: &'r str,
    pub(super) authorizer: &'r Authorizer,
    pub(super) sessions: &'r Sessions,
    pub(super) archive: &'r Archive,
    /// What is due, and when.
    pub(super) schedule: Schedule,
    /// What a refusal means.
    pub(super) mode: StreamMode,
    /// This is a round of a watch.
    pub(super) is_round: bool,
    /// Whether the ledger holds an answer of any pass; false until the passes are known.
    pub(super) was_answered: AtomicBool,
}

/// What one search or pass came to.
#[derive(Default)]
struct Found {
    ids: BTreeSet<String>,
    /// Of these, the ones that want a call by id.
    incomplete: BTreeSet<String>,
}

/// A page that was asked for.
struct Asked {
    page: Page,
    /// It is byte for byte the one that came to the same question last time.
    is_repeated: bool,
}

/// How one search ended.
enum Searched {
    Whole(Found),
    /// Too many matches for one search.
    TooMany,
    /// The count did not hold still.
    Changed {
        counted: u64,
        found: u64,
    },
}

impl Follow<'_> {
    /// Everything that is due, in order: what is new first, then what may have been completed.
    pub(super) async fn run(&self, published: &mpsc::Sender<ArchivedFile>) -> StreamReport {
        let mut report = StreamReport::default();
        let segment = match self.archive.answers(self.api.stream()) {
            Ok(segment) => Arc::new(Mutex::new(segment)),
            Err(error) => {
                self.engine.stop(Stop::Archive(error));
                return report;
            }
        };
        match self.passes().await {
            Ok((mut begun, passes)) => {
                for pass in passes {
                    let is_over = self.engine.is_ending();
                    if is_over || !self.follow(&pass, &mut begun, &segment, &mut report, published).await {
                        break;
                    }
                }
            }
            Err(error) => self.engine.stop(Stop::Archive(error)),
        }
        let sealing = tokio::task::spawn_blocking(move || lock(&segment).seal());
        self.take_sealed(join(sealing).await, &mut report, published).await;
        report
    }

    /// One pass. False: the others would end alike.
    async fn follow(
        &self,
        pass: &Pass,
        begun: &mut Option<Window>,
        segment: &Arc<Mutex<AnswerSegment>>,
        report: &mut StreamReport,
        published: &mpsc::Sender<ArchivedFile>,
    ) -> bool {
        for part in self.schedule.parts(pass) {
            let outcome = self.part(pass, part, segment, report, published).await;
            if outcome.is_err() {
                // A page may have been remembered whose calls by id were never made.
                self.sessions.forget_answers();
            }
            let recorded = match begun.take_if(|_| outcome.is_ok()) {
                Some(begun) => self.record_beginning(begun).await,
                None => Ok(()),
            };
            let recorded = match recorded {
                Ok(()) => self.record(pass, part, &outcome).await,
                failed => failed,
            };
            if let Err(error) = recorded {
                self.engine.stop(Stop::Archive(error));
                return false;
            }
            match outcome {
                Ok(found) => report.listed += found.ids.len() as u64,
                Err(given_up) => {
                    let Some(problem) = given_up.problem(self.api.stream(), &window_name(part)) else { return false };
                    let is_about_us = problem.kind.is_about_us();
                    self.engine.tell(AcquireEvent::Failed(problem.clone()));
                    report.note(problem);
                    // The cursor stays before the hole, so nothing behind it can be recorded in this pass.
                    return !is_about_us;
                }
            }
        }
        true
    }

    async fn part(
        &self,
        pass: &Pass,
        part: Window,
        segment: &Arc<Mutex<AnswerSegment>>,
        report: &mut StreamReport,
        published: &mpsc::Sender<ArchivedFile>,
    ) -> Result<Found, GivenUp> {
        let (filter, starts) = match pass.axis {
            Axis::Start => (Filter::All, part),
            Axis::Update => (Filter::UpdatedSince(part.start_ms), self.schedule.startable(part.end_ms)),
            Axis::UpdateOfOld => (Filter::UpdatedSince(part.start_ms), self.schedule.long_open(part.end_ms)),
            Axis::End => (Filter::Ended(part), self.schedule.startable(part.end_ms)),
        };
        let longest_ms = millis(self.api.longest());
        let mut ahead: Vec<Window> = Vec::new();
        let mut start_ms = starts.start_ms;
        while start_ms < starts.end_ms {
            let end_ms = starts.end_ms.min(start_ms + longest_ms);
            ahead.push(Window { start_ms, end_ms });
            start_ms = end_ms;
        }
        ahead.reverse();
        let mut whole = Found::default();
        let mut tries = 0;
        while let Some(window) = ahead.pop() {
            let halves = halves(window);
            let searched = self.search(window, filter, halves.is_some(), segment, report, published).await?;
            if matches!(searched, Searched::Changed { .. }) {
                // The same pages come again, and nothing was asked for by id yet.
                self.sessions.forget_answers();
            }
            match (searched, halves) {
                (Searched::Whole(found), _) => {
                    tries = 0;
                    whole.ids.extend(found.ids);
                    whole.incomplete.extend(found.incomplete);
                }
                (Searched::TooMany, Some((earlier, later))) => ahead.extend([later, earlier]),
                (Searched::Changed { .. }, _) if tries + 1 < TRIES => {
                    tries += 1;
                    ahead.push(window);
                }
                (Searched::Changed { .. }, Some((earlier, later))) => {
                    tries = 0;
                    ahead.extend([later, earlier]);
                }
                (Searched::Changed { counted, found }, None) => {
                    let reason = format!("{counted} conversations were announced and {found} came, {TRIES} times");
                    return Err(GivenUp::Failed { kind: ProblemKind::Unsteady, reason, attempts: TRIES });
                }
                (Searched::TooMany, None) => {
                    let reason = "more conversations began within ten minutes than the API hands out".to_owned();
                    return Err(GivenUp::Failed { kind: ProblemKind::TooLarge, reason, attempts: 1 });
                }
            }
        }
        self.complete(&whole.incomplete, segment, report, published).await?;
        Ok(whole)
    }

    /// All pages of one search.
    async fn search(
        &self,
        starts: Window,
        filter: Filter,
        may_be_cut: bool,
        segment: &Arc<Mutex<AnswerSegment>>,
        report: &mut StreamReport,
        published: &mpsc::Sender<ArchivedFile>,
    ) -> Result<Searched, GivenUp> {
        let name = window_name(starts);
        let mut found = Found::default();
        let (mut offset, mut first_count) = (0, None);
        loop {
            let request = self.api.search(&self.base, self.account_id, starts, filter, offset);
            let Asked { page, is_repeated } =
                self.ask(&name, self.api.search_call(), &request, segment, report, published).await?;
            let counted = *first_count.get_or_insert(page.count);
            if counted > MOST_PER_SEARCH && may_be_cut {
                return Ok(Searched::TooMany);
            }
            offset += page.records.len() as u64;
            let is_last = page.records.is_empty() || offset >= page.count;
            for head in page.records {
                // What was asked for by id after the same page came last time has not changed since.
                if head.wants_id_call && !is_repeated {
                    found.incomplete.insert(head.id.clone());
                }
                found.ids.insert(head.id);
            }
            if is_last {
                let came = found.ids.len() as u64;
                let holds = page.count == counted && came == counted;
                return Ok(if holds { Searched::Whole(found) } else { Searched::Changed { counted, found: came } });
            }
        }
    }

    /// Asks by id for what a search cuts short.
    async fn complete(
        &self,
        ids: &BTreeSet<String>,
        segment: &Arc<Mutex<AnswerSegment>>,
        report: &mut StreamReport,
        published: &mpsc::Sender<ArchivedFile>,
    ) -> Result<(), GivenUp> {
        let ids: Vec<String> = ids.iter().cloned().collect();
        for chunk in ids.chunks(self.api.ids_per_call()) {
            let request = self.api.by_ids(&self.base, self.account_id, chunk, self.schedule.now_ms);
            let name = format!("{} and {} more by id", shown(&chunk[0]), chunk.len() - 1);
            self.ask(&name, self.api.by_id_call(), &request, segment, report, published).await?;
        }
        Ok(())
    }

    /// One call with its retries: archived as received, then read.
    async fn ask(
        &self,
        name: &str,
        call: &'static str,
        request: &ApiRequest,
        segment: &Arc<Mutex<AnswerSegment>>,
        report: &mut StreamReport,
        published: &mpsc::Sender<ArchivedFile>,
    ) -> Result<Asked, GivenUp> {
        let sealed = Mutex::new(Vec::new());
        let page = self
            .engine
            .with_retries_of_api(name, &self.engine.policy, || async {
                let asking = receive(self.engine, self.authorizer, request);
                let received = in_time(self.sessions, self.is_round, self.api.stream(), asking).await?;
                let retry_after = received.retry_after;
                let answer = &received.answer;
                let read = self.api.read(answer);
                // An answer without records is the ledger's to note; errors are told and not kept.
                let holds_records = match &read {
                    Ok(page) => !page.records.is_empty(),
                    Err(problem) => problem.kind == ProblemKind::PartialResult,
                };
                let is_repeated = holds_records && read.is_ok() && self.sessions.is_repeated(request, &answer.body);
                if holds_records && !is_repeated {
                    let received_ms = self.archive.now_ms();
                    let file = keep(segment, (self.api.stream(), call), request, received, received_ms).await?;
                    lock(&sealed).extend(file);
                }
                read.map(|page| Asked { page, is_repeated }).map_err(|problem| Fault::Answer {
                    kind: problem.kind,
                    reason: problem.reason,
                    retry_after,
                })
            })
            .await;
        for file in sealed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.take_sealed(Ok(Some(file)), report, published).await;
        }
        report.listing_calls += u64::from(page.is_ok());
        page
    }

    async fn take_sealed(
        &self,
        sealed: Result<Option<Published>, ArchiveError>,
        report: &mut StreamReport,
        published: &mpsc::Sender<ArchivedFile>,
    ) {
        match sealed {
            Ok(Some(Published::New(row) | Published::NewVersion(row))) => {
                report.downloaded += 1;
                report.bytes += row.size_bytes;
                let _ = self.engine.unless_ended(published.send(row)).await;
            }
            Ok(_) => {}
            Err(error) => self.engine.stop(Stop::Archive(error)),
        }
    }

    async fn record(&self, pass: &Pass, part: Window, outcome: &Result<Found, GivenUp>) -> Result<(), ArchiveError> {
        let stream = pass.stream.clone();
        match outcome {
            Ok(found) => {
                let ids = found.ids.clone();
                blocking(self.archive, move |archive| archive.record_followed(&stream, part, &ids)).await
            }
            // A stream that is not for these keys has no history of failures; one that was answered once has.
            Err(GivenUp::Failed { kind, .. })
                if self.mode == StreamMode::Auto && is_refusal(*kind) && !self.was_answered.load(Ordering::Relaxed) =>
            {
                Ok(())
            }
            Err(GivenUp::Failed { reason, .. }) => {
                let failed = ListingOutcome::Failed { reason: reason.clone() };
                blocking(self.archive, move |archive| archive.record_listing(&stream, part, &failed)).await
            }
            Err(GivenUp::Ended) => Ok(()),
        }
    }

    /// Writes down from when on changes are followed; what is older is the backfill's. That moment was fixed before the first
    /// question, so no change falls between the two; it is written with the first answer, because an API that refuses is not
    /// followed.
    async fn record_beginning(&self, begun: Window) -> Result<(), ArchiveError> {
        let stream = self.api.stream();
        blocking(self.archive, move |archive| archive.record_followed(stream, begun, &BTreeSet::new())).await
    }

    /// What is due now, and where following begins if it never has.
    async fn passes(&self) -> Result<(Option<Window>, Vec<Pass>), ArchiveError> {
        let names = self.schedule.streams();
        let listings = blocking(self.archive, move |archive| {
            names.into_iter().map(|name| Ok((name.clone(), archive.listings_in(&name)?))).collect()
        });
        let listings: BTreeMap<String, Vec<Listing>> = listings.await?;
        self.was_answered.store(listings.values().flatten().any(Listing::is_answered), Ordering::Relaxed);
        match listings[self.api.stream()].first() {
            Some(first) => Ok((None, self.schedule.due(first.asked.end_ms, &listings))),
            None => {
                let now_ms = floor(self.schedule.now_ms);
                let begun = Window { start_ms: now_ms - STEP_MS, end_ms: now_ms };
                Ok((Some(begun), self.schedule.due(now_ms, &listings)))
            }
        }
    }
}
