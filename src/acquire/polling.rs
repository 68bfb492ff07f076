//! Polls the APIs whose figures LivePerson forgets after a day: each answer is archived before it is believed, and a method's
//! cursor moves only over figures that are final.
//!
//! What is due and what an answer covers is arithmetic (`intervals.rs`). One call at a time, and the fewest that leave no hole:
//! an interval method costs one call per five minutes at most, a stretch of time one an hour, a state one per round. A method
//! that is refused stops no other. What could not be asked for in time is written into the ledger as lost, and told.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use url::Url;

use crate::archive::{Archive, ArchiveError, ArchivedFile, ListingOutcome, Published, Sha256Hex, Window};

use super::apis::{base_of, is_refusal};
use super::asking::{Received, SharedSegment, keep, lock, receive};
use super::data_access::without_key;
use super::domain::DomainCheck;
use super::engine::{Engine, GivenUp, Stop, blocking, join};
use super::error::{Fault, Problem, ProblemKind};
use super::heard::{Heard, MOST_SKILLS, read};
use super::intervals::{MINUTE_MS, Moves, ServerTime, covered, due, is_longest, moved};
use super::listing::window_name;
use super::memory::in_time;
use super::operations::{AGENTS_PER_PAGE, INTERVALS, Kind, Method, OperationsApi, Question, SKILLS_PER_CALL};
use super::polled::{MethodAsked, asked_of, cursor_of, losses_of, name_of};
use super::report::{AcquireEvent, LostFigures, StreamReport};
use super::retry::is_server_failure;
use super::settings::{AcquireSettings, OperationsChoice, StreamMode};
use super::source::{AnswerProblem, ApiRequest};
use super::token::Authorizer;

/// A method that was refused is asked again after this long.
const REFUSED_MS: i64 = 60 * MINUTE_MS;
/// That a state was asked for stands in the ledger so often; every answer is archived.
const NOTED_MS: i64 = 5 * MINUTE_MS;
/// A segment is sealed after this long: a file an hour and stream, and not one per round.
const SEAL_MS: i64 = 60 * MINUTE_MS;
/// Questions of one method in one round.
const MOST_QUESTIONS: u32 = 40;
/// Pages of one list; a server that always has a next one must not hold us.
const MOST_PAGES: u64 = 1000;

/// Where a method is, and what its calls are authorised with; or the reason why one of them is not known.
pub(super) fn place_of(
    api: OperationsApi,
    method: &Method,
    settings: &AcquireSettings,
    domain: &DomainCheck,
) -> Result<(Url, Arc<Authorizer>), String> {
    let base = base_of(method.service, settings, domain)?;
    if !api.wants_api_key() {
        return Ok((base, settings.sessions.authorizer(settings, domain)?));
    }
    let missing = settings.keys.missing();
    if !missing.is_empty() {
        return Err(without_key(&missing));
    }
    Ok((base, Arc::new(Authorizer::keys())))
}

/// Polls every API of the settings once, one call after the other.
pub(super) async fn poll_all(
    engine: &Engine,
    settings: &AcquireSettings,
    domain: &DomainCheck,
    archive: &Archive,
    published: &mpsc::Sender<ArchivedFile>,
) -> Vec<(String, StreamReport)> {
    let mut reports = Vec::new();
    for choice in &settings.operations {
        if engine.is_ending() {
            break;
        }
        let poll = Poll { engine, settings, domain, archive, published, choice: *choice };
        reports.push((choice.api.stream().to_owned(), poll.run().await));
    }
    reports
}

/// Publishes what is still open. Gives the number of files.
///
/// # Errors
/// Those of sealing; the next run seals what this one could not.
pub(super) async fn seal_all(settings: &AcquireSettings) -> Result<usize, ArchiveError> {
    let segments = std::mem::take(&mut lock(&settings.sessions.memory).segments);
    let mut sealed = 0;
    for (segment, _) in segments.into_values() {
        let published = join(tokio::task::spawn_blocking(move || lock(&segment).seal())).await?;
        sealed += usize::from(published.is_some());
    }
    Ok(sealed)
}

/// One stream in one round.
struct Poll<'r> {
    engine: &'r Engine,
    settings: &'r AcquireSettings,
    domain: &'r DomainCheck,
    archive: &'r Archive,
    published: &'r mpsc::Sender<ArchivedFile>,
    choice: OperationsChoice,
}

/// How a method's questions ended.
enum Ended {
    /// Answered, or nothing was due.
    Well,
    /// One failed; the window that it was about.
    Badly(Option<Window>, GivenUp),
}

/// An answer that could be read, and is archived.
struct Answered {
    heard: Heard,
    received_ms: i64,
    /// The server's clock minus ours.
    offset_ms: Option<i64>,
    sha256: Sha256Hex,
}

impl Poll<'_> {
    async fn run(&self) -> StreamReport {
        let (api, mode) = (self.choice.api, self.choice.mode);
        let mut report = StreamReport::default();
        let now_ms = self.settings.clock.now_ms();
        let is_optional = mode == StreamMode::Auto;
        if self.is_refused(api.stream(), now_ms) {
            return StreamReport { skipped: true, ..report };
        }
        // After a failure the round goes on behind it, so that one method that always fails starves no other.
        let methods = api.methods();
        let begin = lock(&self.settings.sessions.memory).turns.remove(api.stream()).unwrap_or(0);
        for place in (0..methods.len()).map(|place| (begin + place) % methods.len()) {
            let method = &methods[place];
            let name = name_of(api, method);
            let is_wanted = if method.kind == Kind::State { self.choice.states } else { self.choice.intervals };
            if self.engine.is_ending() || !is_wanted || self.is_refused(&name, now_ms) {
                continue;
            }
            let (base, authorizer) = match place_of(api, method, self.settings, self.domain) {
                Ok(found) => found,
                Err(_) if is_optional && !self.was_ever_answered(Some(method)).await => continue,
                Err(reason) => {
                    let (stream, name) = (api.stream().to_owned(), method.call.to_owned());
                    let problem = Problem { stream, name, kind: ProblemKind::NoService, reason, attempts: 0 };
                    self.note_failure(&name_of(api, method), None, &problem).await;
                    report.note(problem);
                    continue;
                }
            };
            let call = Call { poll: self, method, name: &name, base: &base, authorizer: &authorizer };
            let Ended::Badly(window, given_up) = call.run(&mut report).await else { continue };
            let Some(mut problem) = given_up.problem(api.stream(), method.call) else { break };
            if is_refusal(problem.kind) && is_optional && !self.was_ever_answered(Some(method)).await {
                lock(&self.settings.sessions.memory).refused.insert(name.clone(), now_ms + REFUSED_MS);
                // The first method needs no permission of its own: where it is refused and never was answered, all are.
                if place == 0 && !self.was_ever_answered(None).await {
                    lock(&self.settings.sessions.memory).refused.insert(api.stream().to_owned(), now_ms + REFUSED_MS);
                    return StreamReport { skipped: true, ..StreamReport::default() };
                }
                continue;
            }
            if problem.kind == ProblemKind::Unauthorized {
                problem.reason = format!("{}; check {}", problem.reason, authorizer.variables().join(", "));
            }
            self.note_failure(&name, window, &problem).await;
            self.engine.tell(AcquireEvent::Failed(problem.clone()));
            let mut ends_all = problem.kind == ProblemKind::Unauthorized;
            // In a watch the rest of a failing API waits for the next round, and the other streams do not wait for it.
            if self.settings.keep_sessions && is_server_failure(problem.kind) {
                lock(&self.settings.sessions.memory).turns.insert(api.stream(), (place + 1) % methods.len());
                ends_all = true;
            }
            report.note(problem);
            if ends_all {
                break;
            }
        }
        report.skipped = report.listing_calls == 0 && report.problems.is_empty() && self.is_nowhere();
        self.seal(&mut report).await;
        report
    }

    /// An optional stream none of whose methods has a place.
    fn is_nowhere(&self) -> bool {
        let api = self.choice.api;
        let mut methods = api.methods().iter();
        methods.all(|method| place_of(api, method, self.settings, self.domain).is_err())
    }

    fn is_refused(&self, name: &str, now_ms: i64) -> bool {
        lock(&self.settings.sessions.memory).refused.get(name).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Whether the ledger holds an answer of a method, or of any. A ledger that cannot be read ends the run.
    async fn was_ever_answered(&self, method: Option<&Method>) -> bool {
        let (api, call) = (self.choice.api, method.map(|method| method.call));
        let found = blocking(self.archive, move |archive| asked_of(archive, api)).await;
        let is_meant = |known: &MethodAsked| call.is_none_or(|call| known.call == call) && known.answered_ms.is_some();
        found.map(|found| found.iter().any(is_meant)).unwrap_or_else(|error| {
            self.engine.stop(Stop::Archive(error));
            true
        })
    }

    async fn note_failure(&self, name: &str, window: Option<Window>, problem: &Problem) {
        let now_ms = self.archive.now_ms();
        let window = window.unwrap_or(Window { start_ms: now_ms, end_ms: now_ms + 1 });
        let (name, failed) = (name.to_owned(), ListingOutcome::Failed { reason: problem.reason.clone() });
        let noted = blocking(self.archive, move |archive| archive.record_listing(&name, window, &failed)).await;
        if let Err(error) = noted {
            self.engine.stop(Stop::Archive(error));
        }
    }

    /// The segment of the stream, begun if there is none.
    fn segment(&self, now_ms: i64) -> Result<SharedSegment, Fault> {
        let stream = self.choice.api.stream();
        let mut memory = lock(&self.settings.sessions.memory);
        if let Some((segment, _)) = memory.segments.get(stream) {
            return Ok(Arc::clone(segment));
        }
        let segment = Arc::new(Mutex::new(self.archive.answers(stream).map_err(Fault::Archive)?));
        memory.segments.insert(stream, (Arc::clone(&segment), now_ms));
        Ok(segment)
    }

    /// Seals at the end of a run, and in a watch when an hour is over.
    async fn seal(&self, report: &mut StreamReport) {
        let stream = self.choice.api.stream();
        let now_ms = self.archive.now_ms();
        let due = {
            let mut memory = lock(&self.settings.sessions.memory);
            let is_due = |begun_ms: i64| !self.settings.keep_sessions || !(0..SEAL_MS).contains(&(now_ms - begun_ms));
            match memory.segments.get(stream) {
                Some((_, begun_ms)) if is_due(*begun_ms) => memory.segments.remove(stream),
                _ => None,
            }
        };
        let Some((segment, _)) = due else { return };
        match join(tokio::task::spawn_blocking(move || lock(&segment).seal())).await {
            Ok(sealed) => self.take_sealed(sealed, report).await,
            Err(error) => self.engine.stop(Stop::Archive(error)),
        }
    }

    async fn take_sealed(&self, sealed: Option<Published>, report: &mut StreamReport) {
        if let Some(Published::New(row) | Published::NewVersion(row)) = sealed {
            report.downloaded += 1;
            report.bytes += row.size_bytes;
            let _ = self.engine.unless_ended(self.published.send(row)).await;
        }
    }
}

/// One method in one round.
struct Call<'c> {
    poll: &'c Poll<'c>,
    method: &'static Method,
    /// In the ledger.
    name: &'c str,
    base: &'c Url,
    authorizer: &'c Authorizer,
}

impl Call<'_> {
    async fn run(&self, report: &mut StreamReport) -> Ended {
        let outcome = match self.method.kind {
            Kind::State if self.method.wants_skills() => self.waits(report).await,
            Kind::State => self.state(report).await,
            _ => return self.figures(report).await,
        };
        match outcome {
            Ok(()) => Ended::Well,
            Err(given_up) => Ended::Badly(None, given_up),
        }
    }

    /// Asks for what is final and not here, until nothing is.
    async fn figures(&self, report: &mut StreamReport) -> Ended {
        let mut cursor = match self.cursor().await {
            Ok(cursor) => cursor,
            Err(given_up) => return Ended::Badly(None, given_up),
        };
        let mut offset_ms = self.poll.engine.http.clock_offset_ms();
        let mut interval = 0;
        for _ in 0..MOST_QUESTIONS {
            let now = || ServerTime::of(self.poll.settings.clock.now_ms(), offset_ms);
            // Nothing is here that has not happened yet: a clock was wrong when that was written.
            let known = cursor.filter(|cursor| *cursor <= now().latest_ms);
            let Some(question) = due(self.method.kind, known, now(), INTERVALS[interval]) else { return Ended::Well };
            let at_most = is_longest(question, now());
            let sent_ms = self.poll.settings.clock.now_ms();
            let answered = match self.ask(question, report).await {
                Err(GivenUp::Failed { kind: ProblemKind::TooLarge, .. })
                    if interval + 1 < INTERVALS.len() && self.method.kind != Kind::Span =>
                {
                    interval += 1;
                    let told = format!(
                        "{}: the answer is too large; asked for in intervals of {} minutes, or in parts",
                        self.name, INTERVALS[interval]
                    );
                    self.poll.engine.tell(AcquireEvent::Remark(told));
                    continue;
                }
                Err(given_up) => {
                    let time = |at: ServerTime| covered(self.method.kind, question, at, at);
                    let window = Some(time(now())).filter(|window| window.start_ms < window.end_ms);
                    return Ended::Badly(window, given_up);
                }
                Ok(answered) => answered,
            };
            offset_ms = answered.offset_ms.or(offset_ms);
            let sent = ServerTime::of(sent_ms, offset_ms);
            let received = ServerTime::of(answered.received_ms, offset_ms);
            let (lost, over) = match moved(known, covered(self.method.kind, question, sent, received), at_most) {
                Moves::NotYet => continue,
                Moves::Nowhere => return Ended::Well,
                Moves::Over(over) => (None, over),
                Moves::WithLoss { lost, over } => (Some(lost), over),
            };
            if let Err(given_up) = self.advance(lost, over, answered.sha256, report).await {
                return Ended::Badly(Some(over), given_up);
            }
            cursor = Some(over.end_ms);
        }
        let reason = format!("{MOST_QUESTIONS} questions did not bring all that was due; is the clock jumping?");
        Ended::Badly(None, GivenUp::Failed { kind: ProblemKind::Unsteady, reason, attempts: MOST_QUESTIONS })
    }

    /// How things are now, on as many pages as it takes.
    async fn state(&self, report: &mut StreamReport) -> Result<(), GivenUp> {
        let mut offset = 0;
        for _ in 0..MOST_PAGES {
            let answered = self.ask(Question::Now { offset }, report).await?;
            offset += answered.heard.records;
            let is_last = match answered.heard.count {
                Some(count) => offset >= count,
                None => answered.heard.records < AGENTS_PER_PAGE,
            };
            if !self.method.is_paged() || answered.heard.records == 0 || is_last {
                return self.note(answered.received_ms, answered.sha256).await;
            }
        }
        let reason = format!("more than {MOST_PAGES} pages");
        Err(GivenUp::Failed { kind: ProblemKind::UnexpectedShape, reason, attempts: 1 })
    }

    /// Waiting times of the skills that other answers have named: no answer lists an account's skills.
    async fn waits(&self, report: &mut StreamReport) -> Result<(), GivenUp> {
        let skills: Vec<String> = lock(&self.poll.settings.sessions.memory).skills.iter().cloned().collect();
        for some in skills.chunks(SKILLS_PER_CALL) {
            let answered = self.ask(Question::Skills(some), report).await?;
            self.note(answered.received_ms, answered.sha256).await?;
        }
        Ok(())
    }

    /// One call with its retries: archived as received, then read.
    async fn ask(&self, question: Question<'_>, report: &mut StreamReport) -> Result<Answered, GivenUp> {
        let Poll { engine, archive, .. } = *self.poll;
        let stream = self.poll.choice.api.stream();
        let request = self.method.request(self.base, &self.poll.settings.account_id, question);
        let sealed = Mutex::new(Vec::new());
        let name = format!("{stream}/{}", self.method.call);
        let answered = engine
            .with_retries_of_api(&name, &engine.policy, || async {
                let call = receive(engine, self.authorizer, &request);
                let settings = self.poll.settings;
                let received = in_time(&settings.sessions, settings.keep_sessions, stream, call).await?;
                let (retry_after, offset_ms) = (received.retry_after, received.clock_offset_ms);
                let received_ms = archive.now_ms();
                let sha256 = Sha256Hex::of(&received.answer.body);
                let read = read(&received.answer);
                // Errors are told and not kept; what is true as far as it goes is.
                if read.as_ref().map_or_else(is_worth_keeping, |_| true) {
                    let file = self.keep(&request, received, received_ms).await?;
                    lock(&sealed).extend(file);
                }
                let heard =
                    read.map_err(|problem| Fault::Answer { kind: problem.kind, reason: problem.reason, retry_after })?;
                Ok(Answered { heard, received_ms, offset_ms, sha256 })
            })
            .await;
        for file in sealed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            self.poll.take_sealed(Some(file), report).await;
        }
        if let Ok(answered) = &answered {
            report.listing_calls += 1;
            report.listed += 1;
            if self.poll.choice.api == OperationsApi::Messaging {
                let skills = &mut lock(&self.poll.settings.sessions.memory).skills;
                let room = MOST_SKILLS.saturating_sub(skills.len());
                skills.extend(answered.heard.skills.iter().take(room).cloned());
            }
        }
        answered
    }

    async fn keep(
        &self,
        request: &ApiRequest,
        received: Received,
        received_ms: i64,
    ) -> Result<Option<Published>, Fault> {
        let names = (self.poll.choice.api.stream(), self.method.call);
        let file = keep(&self.poll.segment(received_ms)?, names, request, received, received_ms).await?;
        if file.is_some() {
            // It was sealed for its size; the next answer begins a new one.
            lock(&self.poll.settings.sessions.memory).segments.remove(names.0);
        }
        Ok(file)
    }

    async fn cursor(&self) -> Result<Option<i64>, GivenUp> {
        if let Some(cursor) = lock(&self.poll.settings.sessions.memory).cursors.get(self.name) {
            return Ok(Some(*cursor));
        }
        let name = self.name.to_owned();
        self.of_ledger(move |archive| cursor_of(archive, &name)).await
    }

    /// Writes down what an answer brought, and what was lost before it.
    async fn advance(
        &self,
        lost: Option<Window>,
        over: Window,
        sha256: Sha256Hex,
        report: &mut StreamReport,
    ) -> Result<(), GivenUp> {
        let name = self.name.to_owned();
        self.of_ledger(move |archive| {
            if let Some(lost) = lost {
                let reason = "nobody asked for these figures while LivePerson had them, which is 24 hours".to_owned();
                archive.record_listing(&losses_of(&name), lost, &ListingOutcome::Failed { reason })?;
            }
            // The answer is the one thing that came; its hash ties the window to a line of the archive.
            archive.record_followed(&name, over, &[sha256.to_string()].into())
        })
        .await?;
        lock(&self.poll.settings.sessions.memory).cursors.insert(self.name.to_owned(), over.end_ms);
        if let Some(window) = lost {
            let told = format!("{}: {} is lost: nobody asked for it within 24 hours", self.name, window_name(window));
            self.poll.engine.tell(AcquireEvent::Remark(told));
            report.lost.push(LostFigures { call: self.method.call, window });
        }
        Ok(())
    }

    /// Writes down that a state was told, unless that was done minutes ago.
    async fn note(&self, received_ms: i64, sha256: Sha256Hex) -> Result<(), GivenUp> {
        let last_ms = lock(&self.poll.settings.sessions.memory).noted.get(self.name).copied();
        if last_ms.is_some_and(|last_ms| (0..NOTED_MS).contains(&(received_ms - last_ms))) {
            return Ok(());
        }
        let (name, moment) = (self.name.to_owned(), Window { start_ms: received_ms, end_ms: received_ms + 1 });
        self.of_ledger(move |archive| archive.record_followed(&name, moment, &[sha256.to_string()].into())).await?;
        lock(&self.poll.settings.sessions.memory).noted.insert(self.name.to_owned(), received_ms);
        Ok(())
    }

    /// A failing ledger ends the run.
    async fn of_ledger<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, GivenUp> {
        blocking(self.poll.archive, work).await.map_err(|error| {
            self.poll.engine.stop(Stop::Archive(error));
            GivenUp::Ended
        })
    }
}

/// Whether an answer that cannot be taken at its word is archived all the same: it holds figures, if not all.
fn is_worth_keeping(problem: &AnswerProblem) -> bool {
    matches!(problem.kind, ProblemKind::PartialResult | ProblemKind::UnexpectedShape)
}
