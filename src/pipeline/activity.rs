//! Agent activity of the archive → time in each state, per agent. Computed from the files when asked for; no index.
//!
//! Files are read in parallel. Events are kept as small columns, without texts, and no more of them than
//! [`ActivityOptions::max_events`] at a time: where there are more, the agents are taken in several passes.
//! An event that came in several files (a session written twice) counts once.

use super::{EncryptedCounts, RunError};
use crate::archive::{Archive, ArchivedFile};
use crate::decode::{AgentEvent, DecodeLimits, EncryptedRecords, Keyring, ProblemKind, Problems, agent_events};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The stream whose files are read.
pub const AGENT_ACTIVITY: &str = "data-access/agent-activity";

/// Bounds of the computation.
#[derive(Clone, Copy, Debug)]
pub struct ActivityOptions {
    /// Of decoding.
    pub decode: DecodeLimits,
    /// Events in memory at a time; one takes 40 bytes.
    pub max_events: usize,
}

impl Default for ActivityOptions {
    fn default() -> Self {
        // 200 MB: a year of a thousand agents is about five million events.
        ActivityOptions { decode: DecodeLimits::default(), max_events: 5_000_000 }
    }
}

/// Milliseconds in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateTimes {
    /// Ready for chats.
    pub online_ms: i64,
    /// Finishing, not taking new ones.
    pub back_soon_ms: i64,
    /// Away.
    pub away_ms: i64,
    /// Logged in, yet offline.
    pub offline_ms: i64,
    /// Everything else: LivePerson said "unknown" or "irrelevant", or a code that is not in its list.
    pub other_ms: i64,
}

/// One agent's sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentTimes {
    /// LivePerson's id.
    pub agent_id: String,
    /// The latest name.
    pub name: Option<String>,
    /// Distinct sessions.
    pub sessions: u64,
    /// Distinct events.
    pub events: u64,
    /// Time in each state, between the first and the last event of each session.
    pub states: StateTimes,
    /// Of that, time with at least one chat.
    pub in_chat_ms: i64,
}

/// The whole summary.
#[derive(Clone, Debug, Default)]
pub struct ActivitySummary {
    /// Files read.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Events in them; the agents' own counts leave out what came twice.
    pub events: u64,
    /// One row per agent, by id.
    pub agents: Vec<AgentTimes>,
    /// What waits for a key.
    pub encrypted: EncryptedCounts,
    /// What could not be read.
    pub problems: Problems,
}

/// One event without its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    agent: u64,
    session: u64,
    time_ms: i64,
    kind: i8,
    previous: i8,
    state: i8,
    has_chats: bool,
}

/// What one pass over the files gave.
#[derive(Default)]
struct Pass {
    rows: Vec<Row>,
    /// Of each agent's hash: its id, and its name with the time it was last seen.
    names: BTreeMap<u64, (String, Option<(i64, String)>)>,
    records: u64,
    events: u64,
    encrypted: EncryptedRecords,
    problems: Problems,
}

/// Sums the archive's agent activity up; what came encrypted is opened with the keys at hand.
///
/// # Errors
/// A failing ledger. A file that cannot be read is in the report.
pub fn agent_activity(
    archive: &Archive,
    options: ActivityOptions,
    keys: &Keyring,
) -> Result<ActivitySummary, RunError> {
    let mut files = archive.files_after(0)?;
    files.retain(|file| file.stream == AGENT_ACTIVITY);
    let mut parts = 1;
    loop {
        if let Some(summary) = summarise(archive, &files, options, keys, parts) {
            return Ok(summary);
        }
        parts *= 2;
    }
}

/// Takes the agents in this many parts, one after the other; `None`: one of them has too many events.
fn summarise(
    archive: &Archive,
    files: &[ArchivedFile],
    options: ActivityOptions,
    keys: &Keyring,
    parts: u64,
) -> Option<ActivitySummary> {
    let mut summary = ActivitySummary { files: files.len() as u64, ..ActivitySummary::default() };
    for part in 0..parts {
        let pass = read_pass(archive, files, options, keys, (part, parts))?;
        // Every pass reads every file, so each knows these.
        (summary.records, summary.events) = (pass.records, pass.events);
        summary.problems = pass.problems.clone();
        summary.encrypted = EncryptedCounts::default();
        summary.encrypted.add(pass.encrypted.records, &pass.encrypted.key_ids, keys);
        summary.agents.extend(sums(pass));
    }
    summary.agents.sort_by(|a, b| a.agent_id.cmp(&b.agent_id));
    Some(summary)
}

/// Reads the events of one part of the agents; `None`: there are too many.
fn read_pass(
    archive: &Archive,
    files: &[ArchivedFile],
    options: ActivityOptions,
    keys: &Keyring,
    (part, parts): (u64, u64),
) -> Option<Pass> {
    let share = options.max_events / rayon::current_num_threads().max(1);
    // One agent's events cannot be parted: with so many parts each agent is as good as alone.
    let is_bounded = parts < 1 << 10;
    files
        .par_iter()
        .map(|file| read_file(archive, file, options.decode, keys, (part, parts)))
        .try_fold(Pass::default, |pass, one| joined(pass, one, is_bounded.then_some(share.max(1))))
        .try_reduce(Pass::default, |a, b| joined(a, b, is_bounded.then_some(options.max_events.max(1))))
}

fn joined(mut a: Pass, b: Pass, limit: Option<usize>) -> Option<Pass> {
    a.rows.extend(b.rows);
    if limit.is_some_and(|limit| a.rows.len() > limit) {
        // What came twice may be all that is too much.
        a.rows.sort_unstable();
        a.rows.dedup();
        if limit.is_some_and(|limit| a.rows.len() > limit) {
            return None;
        }
    }
    for (agent, (id, name)) in b.names {
        let known = a.names.entry(agent).or_insert((id, None));
        if name.as_ref().map(|(time, _)| time) > known.1.as_ref().map(|(time, _)| time) {
            known.1 = name;
        }
    }
    a.records += b.records;
    a.events += b.events;
    a.encrypted.records += b.encrypted.records;
    a.encrypted.key_ids.extend(b.encrypted.key_ids);
    a.problems.add_counts(&b.problems);
    Some(a)
}

fn read_file(
    archive: &Archive,
    file: &ArchivedFile,
    limits: DecodeLimits,
    keys: &Keyring,
    (part, parts): (u64, u64),
) -> Pass {
    let mut pass = Pass::default();
    let mut take = |event: AgentEvent| {
        let agent = hash(&event.agent_id);
        if agent % parts != part {
            return true;
        }
        pass.rows.push(Row {
            agent,
            session: hash(&event.session_id),
            time_ms: event.time_ms,
            kind: code(event.kind),
            previous: code(event.previous_state),
            state: code(event.state),
            has_chats: event.chats > 0,
        });
        let known = pass.names.entry(agent).or_insert_with(|| (event.agent_id, None));
        if let Some(name) = event.name
            && known.1.as_ref().is_none_or(|(time, _)| event.time_ms > *time)
        {
            known.1 = Some((event.time_ms, name));
        }
        true
    };
    let opened = archive.open_file(file).map_err(|error| error.to_string());
    let read = opened.and_then(|bytes| agent_events(bytes, limits, keys, &mut take).map_err(|error| error.to_string()));
    match read {
        Ok(report) => {
            (pass.records, pass.events, pass.problems) = (report.records, report.events, report.problems);
            pass.encrypted = report.encrypted;
        }
        Err(reason) => pass.problems.add(ProblemKind::Unreadable, 0, 0, reason),
    }
    pass
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Codes are small; a number that is none stands for "unknown".
fn code(number: i64) -> i8 {
    i8::try_from(number).unwrap_or(-1)
}

fn sums(mut pass: Pass) -> Vec<AgentTimes> {
    // By agent, session, time; equal rows are one event that came twice.
    pass.rows.sort_unstable();
    pass.rows.dedup();
    let names = &pass.names;
    let of_agent = |rows: &[Row]| {
        let (id, name) = names.get(&rows[0].agent).cloned().unwrap_or_default();
        let mut times = AgentTimes { agent_id: id, name: name.map(|(_, name)| name), ..AgentTimes::default() };
        times.events = rows.len() as u64;
        for session in rows.chunk_by(|a, b| a.session == b.session) {
            times.sessions += 1;
            session.windows(2).for_each(|pair| times.add(&pair[0], &pair[1]));
        }
        times
    };
    pass.rows.chunk_by(|a, b| a.agent == b.agent).map(of_agent).collect()
}

/// `type` of a logout.
const LOGOUT: i8 = 4;

impl AgentTimes {
    /// Adds the time from one event of a session to the next.
    fn add(&mut self, from: &Row, to: &Row) {
        // Between a logout and what follows it the agent was not there.
        if from.kind == LOGOUT {
            return;
        }
        let length = to.time_ms.saturating_sub(from.time_ms);
        // A login says "irrelevant": the next event knows what the state was until then.
        let state = if from.state > 0 { from.state } else { to.previous };
        let sum = match state {
            1 => &mut self.states.offline_ms,
            2 => &mut self.states.online_ms,
            3 => &mut self.states.back_soon_ms,
            4 => &mut self.states.away_ms,
            _ => &mut self.states.other_ms,
        };
        *sum = sum.saturating_add(length);
        if from.has_chats {
            self.in_chat_ms = self.in_chat_ms.saturating_add(length);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::archive::{Arrival, Clock, RealDisk};
    use std::sync::Arc;

    fn line(agent: u32, session: &str, events: &[(i64, i64, i64, i64)]) -> String {
        let events: Vec<String> = events
            .iter()
            .map(|(time, kind, state, previous)| {
                format!(
                    r#"{{"agentID":{agent},"type":{kind},"state":{state},"timestamp":{time},"prevState":{previous},"concurrentEng":{},"agentNickname":"A{agent}"}}"#,
                    i64::from(*kind == 1)
                )
            })
            .collect();
        format!(
            r#"{{"dataType":"AgentActivity","recordCollection":[{{"body":{{"header":{{"agentSessionId":"{session}"}},"agentSessionsData":[{}]}}}}]}}"#,
            events.join(",")
        )
    }

    #[test]
    fn times_add_up_once_whatever_the_passes() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(&folder.path().join("vault"), "1", Arc::new(RealDisk), Clock::System).unwrap();
        // Login, online from 1000, in chat from 3000, away from 6000, logout at 7000; and the next day.
        let first =
            line(71, "s1", &[(500, 3, 0, 1), (1000, 0, 2, 1), (3000, 1, 2, 2), (6000, 0, 4, 2), (7000, 4, 0, 4)]);
        let second = line(71, "s2", &[(90_000, 3, 0, 1), (90_400, 4, 0, 3)]);
        let other = line(8, "s3", &[(1, 3, 2, 0), (11, 4, 0, 2)]);
        for (name, text) in [("a", format!("{first}\n{other}\n")), ("b", format!("{first}\n{second}\nbroken\n"))] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let arrival = Arrival::default();
            archive.import_copy(AGENT_ACTIVITY, name, &path, arrival).unwrap();
        }
        let expected = StateTimes { online_ms: 5000, away_ms: 1000, offline_ms: 500, back_soon_ms: 400, other_ms: 0 };
        for max_events in [1_000_000, 16] {
            let options = ActivityOptions { max_events, ..ActivityOptions::default() };
            let summary = agent_activity(&archive, options, &Keyring::empty()).unwrap();
            assert_eq!((summary.files, summary.events, summary.problems.failures()), (2, 14, 1), "{summary:?}");
            let [agent, other] = [&summary.agents[0], &summary.agents[1]];
            assert_eq!((agent.agent_id.as_str(), agent.name.as_deref()), ("71", Some("A71")));
            assert_eq!((agent.sessions, agent.events, agent.in_chat_ms), (2, 7, 3000));
            assert_eq!(agent.states, expected, "{max_events}");
            assert_eq!((other.agent_id.as_str(), other.states.online_ms), ("8", 10));
        }
    }
}
