//! What the rounds of a watch know of each other, beside the ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use super::apis::Sessions;
use super::asking::{SharedSegment, lock};
use super::error::{Fault, ProblemKind};

/// What the rounds of a watch know of each other.
#[derive(Default)]
pub(super) struct Memory {
    /// Segments that stay open between rounds, with the time of their first answer.
    pub(super) segments: BTreeMap<&'static str, (SharedSegment, i64)>,
    /// Ledger name of a method → its cursor.
    pub(super) cursors: HashMap<String, i64>,
    /// Ledger name of a method or stream → when it may be asked again.
    pub(super) refused: HashMap<String, i64>,
    /// Ledger name of a state → when it was last noted.
    pub(super) noted: HashMap<String, i64>,
    /// Skills that answers have named.
    pub(super) skills: BTreeSet<String>,
    /// Stream → the place of the method that the next round begins with, after one has failed.
    pub(super) turns: HashMap<&'static str, usize>,
    /// Stream → how many calls in a row it did not answer in time.
    silences: HashMap<&'static str, u32>,
    /// Some API has answered: the keys are good for something.
    pub(super) was_authorised: bool,
}

impl Memory {
    /// Whether a segment is open, which must not be taken for one that a dead run has left.
    pub(super) fn holds_segments(&self) -> bool {
        !self.segments.is_empty()
    }
}

/// A call of a round of a watch is given up after this long, but for one in [`PATIENT`] after silence: an answer that always
/// takes longer must come some time.
const IN_A_ROUND: Duration = Duration::from_secs(10);
/// Of so many calls to a silent API one may take the whole no-progress timeout.
const PATIENT: u32 = 4;

/// Runs one call of a stream, within what a round of a watch has for it. `call` must be safe to drop.
pub(super) async fn in_time<T>(
    sessions: &Sessions,
    keep_sessions: bool,
    stream: &'static str,
    call: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    if keep_sessions { bounded(&sessions.memory, IN_A_ROUND, stream, call).await } else { call.await }
}

async fn bounded<T>(
    memory: &Mutex<Memory>,
    most: Duration,
    stream: &'static str,
    call: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let silences = lock(memory).silences.get(stream).copied().unwrap_or(0);
    let outcome = if silences % PATIENT == PATIENT - 1 {
        call.await
    } else {
        tokio::time::timeout(most, call).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s, for which a round of watch waits", most.as_secs());
            Err(Fault::of(ProblemKind::NoProgress, reason))
        })
    };
    let mut memory = lock(memory);
    match &outcome {
        Err(Fault::Answer { kind: ProblemKind::NoProgress, .. }) => *memory.silences.entry(stream).or_default() += 1,
        _ => drop(memory.silences.remove(stream)),
    }
    outcome
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_api_costs_seconds_and_one_that_is_slow_is_heard_some_time() {
        let memory = Mutex::new(Memory::default());
        let most = Duration::from_millis(20);
        let mut heard = Vec::new();
        for _ in 0..8 {
            let slow = async {
                tokio::time::sleep(most * 10).await;
                Ok(7)
            };
            heard.push(bounded(&memory, most, "s", slow).await.ok());
        }
        assert_eq!(heard, [None, None, None, Some(7), None, None, None, Some(7)]);
        // What never answers is as silent after the long wait as before.
        for _ in 0..9 {
            let silent = async { Err::<(), _>(Fault::of(ProblemKind::NoProgress, "silence")) };
            assert!(bounded(&memory, most, "t", silent).await.is_err());
        }
        assert_eq!(lock(&memory).silences["t"], 9);
        assert!(bounded(&memory, most, "t", async { Ok(()) }).await.is_ok());
        assert!(lock(&memory).silences.is_empty());
    }
}
