//! The pace of a run: requests per second, evenly spaced, and requests at the same time.
//!
//! LivePerson asks to avoid bursts, and its limit is on concurrent requests (reference, auth.md section 5), so there
//! is no bucket to save up in: each request takes the next free slot. [`Pace::hold`] moves all slots after a 429.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Each download in flight has a blocking thread that writes it; the runtime has 512 for everybody.
const MOST_CONNECTIONS: usize = 64;

/// Shared by every request of a run.
#[derive(Debug)]
pub(super) struct Pace {
    slots: Mutex<Slots>,
    connections: Arc<Semaphore>,
}

/// When requests may start; pure.
#[derive(Debug)]
struct Slots {
    interval: Duration,
    next: Instant,
}

impl Slots {
    /// The slot for a request that asks at `now`.
    fn take(&mut self, now: Instant) -> Instant {
        let slot = self.next.max(now);
        self.next = slot + self.interval;
        slot
    }
}

impl Pace {
    /// `requests_per_second` must be finite and above zero, `connections` at least one; else the reason comes back.
    pub(super) fn new(requests_per_second: f64, connections: usize) -> Result<Pace, String> {
        if !requests_per_second.is_finite() || requests_per_second <= 0.0 {
            return Err(format!("requests_per_second is {requests_per_second}, it must be above 0"));
        }
        if connections == 0 || connections > MOST_CONNECTIONS {
            return Err(format!("connections is {connections}, it must be between 1 and {MOST_CONNECTIONS}"));
        }
        // An hour between requests is as slow as it gets; tiny rates would overflow the clock.
        let interval = Duration::from_secs_f64((1.0 / requests_per_second).min(3600.0));
        let slots = Mutex::new(Slots { interval, next: Instant::now() });
        Ok(Pace { slots, connections: Arc::new(Semaphore::new(connections)) })
    }

    /// Waits for a free connection, then for the next slot. Keep the permit until the body has been read.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.connections).acquire_owned().await.expect("the semaphore is never closed");
        let slot = self.slots().take(Instant::now());
        tokio::time::sleep_until(slot).await;
        permit
    }

    /// No request takes a slot before `pause` has passed: the server said 429 to one of us. Requests that hold their
    /// slot already, fewer than there are connections, still go out.
    pub(super) fn hold(&self, pause: Duration) {
        let mut slots = self.slots();
        slots.next = slots.next.max(Instant::now() + pause);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn requests_are_evenly_spaced_without_bursts() {
        let start = Instant::now();
        let interval = Duration::from_millis(200);
        let mut slots = Slots { interval, next: start };
        // A long idle time does not save up slots.
        let idle = start + Duration::from_secs(60);
        for turn in 0..10_u32 {
            assert_eq!(slots.take(idle), idle + interval * turn);
        }
        let later = idle + Duration::from_secs(60);
        assert_eq!(slots.take(later), later);
    }

    #[tokio::test]
    async fn no_more_connections_than_allowed() {
        let pace = Pace::new(10_000.0, 2).unwrap();
        let first = pace.turn().await;
        let _second = pace.turn().await;
        assert!(pace.turn().now_or_never().is_none());
        drop(first);
        drop(pace.turn().await);
    }

    #[test]
    fn a_hold_is_for_everybody() {
        let pace = Pace::new(10_000.0, 2).unwrap();
        let start = Instant::now();
        pace.hold(Duration::from_secs(30));
        pace.hold(Duration::from_secs(3));
        assert!(pace.slots().take(start) >= start + Duration::from_secs(30), "the longer hold stays");
    }

    #[test]
    fn impossible_settings_are_named() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Pace::new(rate, 4).unwrap_err().starts_with("requests_per_second"));
        }
        for connections in [0, 65] {
            assert!(Pace::new(5.0, connections).unwrap_err().starts_with("connections"));
        }
        assert!(Pace::new(1e-300, 1).is_ok());
    }
}
