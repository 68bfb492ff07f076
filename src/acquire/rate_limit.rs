//! The pace of a run: requests per second, evenly spaced, and requests at the same time.
//!
//! LivePerson asks to avoid bursts, and its limit is on concurrent requests (reference, auth.md section 5), so there
//! is no bucket to save up in: each request takes the next free slot. [`Pace::hold`] moves all slots after a 429.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Each download in flight has a blocking thread that writes it; the runtime has 512 for everybody.
const MOST_CONNECTIONS: usize = 64;

/// Shared by every request of a run.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next_slot: Mutex<Instant>,
    connections: Arc<Semaphore>,
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
        Ok(Pace { interval, next_slot: Mutex::new(Instant::now()), connections: Arc::new(Semaphore::new(connections)) })
    }

    /// Waits for a free connection, then for the next slot. Keep the permit until the body has been read.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.connections).acquire_owned().await.expect("the semaphore is never closed");
        let slot = {
            let mut next_slot = self.next_slot.lock().await;
            let slot = (*next_slot).max(Instant::now());
            *next_slot = slot + self.interval;
            slot
        };
        tokio::time::sleep_until(slot).await;
        permit
    }

    /// Nobody starts a request for `pause`, counted from now: the server said 429 to one of us.
    pub(super) async fn hold(&self, pause: Duration) {
        let mut next_slot = self.next_slot.lock().await;
        *next_slot = (*next_slot).max(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_are_evenly_spaced_without_bursts() {
        let pace = Pace::new(5.0, 8).unwrap();
        // A long idle time does not save up slots.
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        for turn in 0..11_u32 {
            drop(pace.turn().await);
            // Tokio's timers count in milliseconds.
            let late = start.elapsed().abs_diff(Duration::from_millis(200) * turn);
            assert!(late <= Duration::from_millis(1), "turn {turn}: {:?}", start.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_connections_than_allowed() {
        let pace = Arc::new(Pace::new(1000.0, 2).unwrap());
        let first = pace.turn().await;
        let _second = pace.turn().await;
        assert!(tokio::time::timeout(Duration::from_secs(10), pace.turn()).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(Duration::from_secs(10), pace.turn()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_is_for_everybody() {
        let pace = Pace::new(1000.0, 2).unwrap();
        pace.hold(Duration::from_secs(3)).await;
        let start = Instant::now();
        drop(pace.turn().await);
        assert!(start.elapsed() >= Duration::from_secs(3));
    }

    #[test]
    fn impossible_settings_are_named() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Pace::new(rate, 4).unwrap_err().starts_with("requests_per_second"));
        }
        assert!(Pace::new(5.0, 0).unwrap_err().starts_with("connections"));
        assert!(Pace::new(1e-300, 1).is_ok());
    }
}
