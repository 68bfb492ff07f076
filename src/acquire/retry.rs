//! When a failed call is made again: LivePerson's retry policy (reference, auth.md section 5) as a pure state machine.
//!
//! 4xx never; 429 after at least a second, growing, or as `Retry-After` says; 5xx and broken connections three times
//! after 5, 10 and 15 seconds, then after long pauses that double, within a budget. [`Circuit`] ends a run in which
//! nothing works any more. Nobody sleeps here: the waits are handed out.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::error::ProblemKind;

/// Waits and counts. [`RetryPolicy::default`] is what LivePerson recommends.
#[derive(Clone, PartialEq, Debug)]
pub struct RetryPolicy {
    /// Waits before the first retries after a 5xx, a broken connection or no progress: 5, 10, 15 s.
    pub quick: Vec<Duration>,
    /// First long pause after those, doubled each time: 2 min.
    pub long_first: Duration,
    /// How many long pauses: 2.
    pub long_pauses: u32,
    /// Wait after the first 429 of an item, doubled each time: 1 s.
    pub rate_limited_first: Duration,
    /// Longest wait after a 429 that names no time itself: 60 s.
    pub rate_limited_longest: Duration,
    /// How many 429 one item may get before the run gives up: 10.
    pub rate_limited_tries: u32,
    /// Longest `Retry-After` that is waited for; a longer one counts as giving up: 10 min.
    pub retry_after_longest: Duration,
    /// Sum of all waits for one item, without jitter: 15 min.
    pub retry_budget: Duration,
    /// How often a body that failed the archive's checks is fetched again: 2.
    pub damaged_retries: u32,
    /// Up to this share is added to each wait at random, so that callers do not march in step: 0.1.
    pub jitter: f64,
    /// Whether a call that got no byte for the no-progress timeout is made again at all: true.
    pub retry_silence: bool,
    /// After this many 429 in a row, over all items, the run gives up: 30.
    pub rate_limited_in_a_row: u32,
    /// After this many items in a row were given up because the server failed, each further item gets one try only,
    /// until one works: 3. So a dead server costs no hours, and a few dead files do not cost the others.
    pub single_try_after: u32,
    /// After this many such items in a row the run gives up: 30.
    pub outages_in_a_row: u32,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            quick: [5, 10, 15].map(Duration::from_secs).to_vec(),
            long_first: Duration::from_secs(120),
            long_pauses: 2,
            rate_limited_first: Duration::from_secs(1),
            rate_limited_longest: Duration::from_secs(60),
            rate_limited_tries: 10,
            retry_after_longest: Duration::from_secs(600),
            retry_budget: Duration::from_secs(900),
            damaged_retries: 2,
            retry_silence: true,
            jitter: 0.1,
            rate_limited_in_a_row: 30,
            single_try_after: 3,
            outages_in_a_row: 30,
        }
    }
}

impl RetryPolicy {
    /// The same counts without any wait, and no giving up on a long `Retry-After`: for tests.
    pub fn instant() -> RetryPolicy {
        RetryPolicy {
            quick: vec![Duration::ZERO; 3],
            long_first: Duration::ZERO,
            rate_limited_first: Duration::ZERO,
            rate_limited_longest: Duration::ZERO,
            retry_after_longest: Duration::ZERO,
            jitter: 0.0,
            ..RetryPolicy::default()
        }
    }

    /// For the rounds of a watch: two quick tries more, of three seconds in all, and none after silence. The next round comes
    /// anyway, cursors hold, and what is slow must not hold up the other streams. What 429 asks for is waited for shortly.
    pub fn of_rounds(&self) -> RetryPolicy {
        let seconds = Duration::from_secs;
        RetryPolicy {
            quick: self.quick.iter().zip([1, 2]).map(|(wait, most)| (*wait).min(seconds(most))).collect(),
            long_pauses: 0,
            rate_limited_tries: self.rate_limited_tries.min(4),
            retry_after_longest: self.retry_after_longest.min(seconds(5)),
            retry_silence: false,
            ..self.clone()
        }
    }

    /// The same without long pauses: for the first call of a run, so that a wrong host is told within half a minute.
    pub(super) fn quick_only(&self) -> RetryPolicy {
        RetryPolicy { long_pauses: 0, ..self.clone() }
    }
}

/// What follows a failure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Next {
    /// Try again after this time.
    Wait(Duration),
    /// Report the item and go on.
    GiveUp,
}

/// The failures of one item so far.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    policy: &'a RetryPolicy,
    failures: u32,
    rate_limited: u32,
    damaged: u32,
    waited: Duration,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(policy: &'a RetryPolicy) -> Attempts<'a> {
        Attempts { policy, failures: 0, rate_limited: 0, damaged: 0, waited: Duration::ZERO }
    }

    /// The calls made so far, all of them failures.
    pub(super) fn made(&self) -> u32 {
        self.failures + self.rate_limited + self.damaged
    }

    /// Notes one more failure. `chance` in 0..1 sets the jitter.
    pub(super) fn failed(&mut self, kind: ProblemKind, retry_after: Option<Duration>, chance: f64) -> Next {
        let wait = match kind {
            ProblemKind::NoProgress if !self.policy.retry_silence => {
                self.failures += 1;
                None
            }
            ProblemKind::Server | ProblemKind::Network | ProblemKind::NoProgress | ProblemKind::PartialResult => {
                self.failures += 1;
                self.server_wait(true).map(|wait| self.at_least(wait, retry_after))
            }
            // Pages of a gateway or a broken answer: worth the quick retries, not minutes of waiting.
            ProblemKind::Html
            | ProblemKind::TruncatedJson
            | ProblemKind::NotJson
            | ProblemKind::Xml
            | ProblemKind::NotAFile => {
                self.failures += 1;
                self.server_wait(false)
            }
            ProblemKind::Damaged => {
                self.damaged += 1;
                let retry = usize::try_from(self.damaged - 1).unwrap_or(usize::MAX);
                (self.damaged <= self.policy.damaged_retries)
                    .then(|| self.policy.quick.get(retry).or(self.policy.quick.last()).copied().unwrap_or_default())
            }
            ProblemKind::RateLimited => {
                self.rate_limited += 1;
                self.rate_limited_wait(retry_after)
            }
            _ => {
                self.failures += 1;
                None
            }
        };
        let Some(wait) = wait else { return Next::GiveUp };
        self.waited = self.waited.saturating_add(wait);
        if self.waited > self.policy.retry_budget {
            return Next::GiveUp;
        }
        Next::Wait(wait.mul_f64(1.0 + self.policy.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0)))
    }

    fn server_wait(&self, with_long_pauses: bool) -> Option<Duration> {
        let retry = usize::try_from(self.failures - 1).unwrap_or(usize::MAX);
        if let Some(wait) = self.policy.quick.get(retry) {
            return Some(*wait);
        }
        let long = u32::try_from(retry - self.policy.quick.len()).unwrap_or(u32::MAX);
        (with_long_pauses && long < self.policy.long_pauses)
            .then(|| self.policy.long_first.saturating_mul(2_u32.saturating_pow(long)))
    }

    fn rate_limited_wait(&self, retry_after: Option<Duration>) -> Option<Duration> {
        let policy = self.policy;
        if self.rate_limited >= policy.rate_limited_tries {
            return None;
        }
        if retry_after.is_some_and(|asked| asked > policy.retry_after_longest && !policy.retry_after_longest.is_zero())
        {
            return None;
        }
        let grown = policy.rate_limited_first.saturating_mul(2_u32.saturating_pow(self.rate_limited - 1));
        Some(self.at_least(grown.min(policy.rate_limited_longest), retry_after))
    }

    /// `wait`, or what the server asked for if that is longer, within what the policy waits for at all.
    fn at_least(&self, wait: Duration, retry_after: Option<Duration>) -> Duration {
        wait.max(retry_after.unwrap_or_default().min(self.policy.retry_after_longest))
    }
}

/// Why a run ends before its work list does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trip {
    /// 429 without end.
    RateLimited { in_a_row: u32 },
    /// The server fails item after item.
    Outage,
    /// The keys stopped working.
    Unauthorized,
}

/// Counts what happens in a row over all items of a run; any success starts the counts again.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    rate_limited: AtomicU32,
    outages: AtomicU32,
    unauthorized: AtomicU32,
}

impl Circuit {
    /// Refusals (401) in a row that mean the keys are dead, and not one odd file.
    const UNAUTHORIZED_IN_A_ROW: u32 = 3;

    /// An answer that worked.
    pub(super) fn worked(&self) {
        for count in [&self.rate_limited, &self.outages, &self.unauthorized] {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the server has failed so often in a row that waiting for it item by item has no sense.
    pub(super) fn only_one_try(&self, policy: &RetryPolicy) -> bool {
        self.outages.load(Ordering::Relaxed) >= policy.single_try_after
    }

    /// One call failed; `gave_up` if its item was given up with it.
    pub(super) fn failed(&self, kind: ProblemKind, gave_up: bool, policy: &RetryPolicy) -> Option<Trip> {
        let one_more = |count: &AtomicU32| count.fetch_add(1, Ordering::Relaxed) + 1;
        match kind {
            ProblemKind::RateLimited => {
                let in_a_row = one_more(&self.rate_limited);
                // An item that was told 429 until its patience ran out speaks for the others.
                (gave_up || in_a_row >= policy.rate_limited_in_a_row).then_some(Trip::RateLimited { in_a_row })
            }
            kind if gave_up && is_server_failure(kind) => {
                (one_more(&self.outages) >= policy.outages_in_a_row).then_some(Trip::Outage)
            }
            ProblemKind::Unauthorized => {
                (one_more(&self.unauthorized) >= Circuit::UNAUTHORIZED_IN_A_ROW).then_some(Trip::Unauthorized)
            }
            _ => None,
        }
    }
}

/// Failures of the server or the way to it, as opposed to refusals and to damage in one file.
pub(super) fn is_server_failure(kind: ProblemKind) -> bool {
    use ProblemKind::{Html, Network, NoProgress, NotAFile, NotJson, Server, TruncatedJson, Xml};
    matches!(kind, Server | Network | NoProgress | Html | Xml | NotJson | TruncatedJson | NotAFile)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seconds(policy: &RetryPolicy, kind: ProblemKind, retry_after: Option<u64>) -> Vec<u64> {
        let mut attempts = Attempts::new(policy);
        let mut waits = Vec::new();
        while let Next::Wait(wait) = attempts.failed(kind, retry_after.map(Duration::from_secs), 0.0) {
            waits.push(wait.as_secs());
            assert!(waits.len() < 100);
        }
        assert_eq!(attempts.made() as usize, waits.len() + 1);
        waits
    }

    #[test]
    fn waits_are_those_of_the_policy() {
        let policy = RetryPolicy::default();
        for (kind, retry_after, expected) in [
            (ProblemKind::Server, None, vec![5, 10, 15, 120, 240]),
            (ProblemKind::Network, None, vec![5, 10, 15, 120, 240]),
            (ProblemKind::NoProgress, None, vec![5, 10, 15, 120, 240]),
            (ProblemKind::Server, Some(7), vec![7, 10, 15, 120, 240]),
            (ProblemKind::RateLimited, None, vec![1, 2, 4, 8, 16, 32, 60, 60, 60]),
            (ProblemKind::RateLimited, Some(20), vec![20, 20, 20, 20, 20, 32, 60, 60, 60]),
            (ProblemKind::RateLimited, Some(0), vec![1, 2, 4, 8, 16, 32, 60, 60, 60]),
            (ProblemKind::RateLimited, Some(601), vec![]),
            (ProblemKind::RateLimited, Some(400), vec![400, 400]),
            (ProblemKind::Html, None, vec![5, 10, 15]),
            (ProblemKind::TruncatedJson, None, vec![5, 10, 15]),
            (ProblemKind::NotAFile, None, vec![5, 10, 15]),
            (ProblemKind::Damaged, None, vec![5, 10]),
            (ProblemKind::Unauthorized, None, vec![]),
            (ProblemKind::Forbidden, None, vec![]),
            (ProblemKind::Gone, None, vec![]),
            (ProblemKind::Rejected, None, vec![]),
            (ProblemKind::OtherAccount, None, vec![]),
        ] {
            assert_eq!(seconds(&policy, kind, retry_after), expected, "{kind:?} {retry_after:?}");
        }
    }

    #[test]
    fn a_budget_ends_it_earlier() {
        let policy = RetryPolicy { retry_budget: Duration::from_secs(29), ..RetryPolicy::default() };
        assert_eq!(seconds(&policy, ProblemKind::Server, None), [5, 10]);
        assert_eq!(seconds(&RetryPolicy::default().quick_only(), ProblemKind::Server, None), [5, 10, 15]);
    }

    #[test]
    fn a_round_of_a_watch_waits_some_seconds_at_most() {
        let policy = RetryPolicy::default().of_rounds();
        assert_eq!(seconds(&policy, ProblemKind::Server, None), [1, 2]);
        assert_eq!(seconds(&policy, ProblemKind::Server, Some(60)), [5, 5]);
        assert_eq!(seconds(&policy, ProblemKind::Html, None), [1, 2]);
        assert_eq!(seconds(&policy, ProblemKind::NoProgress, None), [0; 0]);
        assert_eq!(seconds(&policy, ProblemKind::RateLimited, None), [1, 2, 4]);
        assert_eq!(seconds(&RetryPolicy::instant().of_rounds(), ProblemKind::Server, None), [0, 0]);
    }

    #[test]
    fn instant_keeps_the_counts() {
        let policy = RetryPolicy::instant();
        assert_eq!(seconds(&policy, ProblemKind::Server, Some(99)), [0; 5]);
        assert_eq!(seconds(&policy, ProblemKind::RateLimited, Some(9999)), [0; 9]);
        assert_eq!(seconds(&policy, ProblemKind::Damaged, None), [0; 2]);
    }

    #[test]
    fn jitter_only_adds() {
        let policy = RetryPolicy::default();
        for chance in [0.0, 0.5, 0.999, 7.0, -1.0] {
            let Next::Wait(wait) = Attempts::new(&policy).failed(ProblemKind::Server, None, chance) else {
                panic!("the first failure is retried")
            };
            assert!((5.0..=5.5).contains(&wait.as_secs_f64()), "{wait:?}");
        }
    }

    #[test]
    fn the_circuit_counts_what_happens_in_a_row() {
        let policy = RetryPolicy::default();
        let circuit = Circuit::default();
        for _ in 0..29 {
            assert_eq!(circuit.failed(ProblemKind::RateLimited, false, &policy), None);
        }
        circuit.worked();
        for _ in 0..29 {
            assert_eq!(circuit.failed(ProblemKind::RateLimited, false, &policy), None);
        }
        let trip = circuit.failed(ProblemKind::RateLimited, false, &policy);
        assert_eq!(trip, Some(Trip::RateLimited { in_a_row: 30 }));

        for _ in 0..100 {
            assert_eq!(circuit.failed(ProblemKind::Server, false, &policy), None);
        }
        for given_up in 1..30 {
            assert_eq!(circuit.failed(ProblemKind::Server, true, &policy), None);
            assert_eq!(circuit.only_one_try(&policy), given_up >= 3);
        }
        assert_eq!(circuit.failed(ProblemKind::NoProgress, true, &policy), Some(Trip::Outage));
        circuit.worked();
        assert!(!circuit.only_one_try(&policy));

        assert_eq!(circuit.failed(ProblemKind::Unauthorized, true, &policy), None);
        assert_eq!(circuit.failed(ProblemKind::Gone, true, &policy), None);
        assert_eq!(circuit.failed(ProblemKind::Unauthorized, true, &policy), None);
        assert_eq!(circuit.failed(ProblemKind::Unauthorized, true, &policy), Some(Trip::Unauthorized));
    }
}
