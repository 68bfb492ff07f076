//! Which figures are due, and what an answer covers: the cursors of the polled methods, as pure arithmetic.
//!
//! A cursor is the instant up to which a method's figures are archived without a hole, on full five minutes. It moves over
//! intervals that cannot change any more, so the next answer brings again what was still open in this one: each interval is
//! archived at least once when it was final, and lies in the ledger exactly once. LivePerson counts minutes back from **its**
//! present, which is known from here within seconds only; where that matters the worse case is taken.

use super::operations::{Grid, Kind, Question};
use crate::archive::Window;

pub(super) const MINUTE_MS: i64 = 60_000;
/// Intervals and buckets are of five minutes.
pub(super) const STEP_MS: i64 = 5 * MINUTE_MS;
/// LivePerson has these figures for 24 hours.
pub(super) const REACH_MS: i64 = 24 * 60 * MINUTE_MS;
/// The figures reach up to the last five minutes: before that an interval that has ended may still grow.
const SETTLED_MS: i64 = STEP_MS;
/// A question may wait so long for its turn.
const SLACK_MS: i64 = MINUTE_MS;
/// Figures of one stretch are asked for an hour at a time. Its last five minutes hold the seconds after them too, and what
/// came late into them is lost; the fewer ends, the better.
const LEAST_SPAN_MS: i64 = 60 * MINUTE_MS;
/// The server's `Date` counts whole seconds, and the way takes time.
const DOUBT_MS: i64 = 2_000;

/// The server's present, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerTime {
    pub(super) earliest_ms: i64,
    pub(super) latest_ms: i64,
}

impl ServerTime {
    /// `offset_ms`: the server's clock minus ours, where known.
    pub(super) fn of(local_ms: i64, offset_ms: Option<i64>) -> ServerTime {
        let server_ms = local_ms.saturating_add(offset_ms.unwrap_or(0));
        ServerTime { earliest_ms: server_ms.saturating_sub(DOUBT_MS), latest_ms: server_ms.saturating_add(DOUBT_MS) }
    }
}

/// What to ask a method whose figures are archived up to `cursor`; `None`: nothing new is final yet. `interval` is five
/// minutes, or a multiple (a divisor of a day) where an answer in such small ones would be too large. Not for states.
pub(super) fn due(kind: Kind, cursor: Option<i64>, now: ServerTime, interval: i64) -> Option<Question<'static>> {
    let step_ms = interval.max(5) * MINUTE_MS;
    let settled_ms = floor(now.earliest_ms - SETTLED_MS);
    let oldest_ms = now.latest_ms + SLACK_MS - REACH_MS;
    match kind {
        Kind::State => None,
        Kind::Intervals(_) if cursor.is_some_and(|cursor| cursor >= settled_ms) => None,
        Kind::Intervals(Grid::Between) => {
            let start_ms = cursor.unwrap_or(i64::MIN).max(ceiling(oldest_ms));
            // What would be too large is asked for in parts, not in larger intervals.
            let end_ms = floor(now.earliest_ms).min(start_ms + REACH_MS / step_ms * STEP_MS);
            (start_ms < end_ms).then_some(Question::Between(Window { start_ms, end_ms }, 5))
        }
        Kind::Intervals(_) => {
            let back_ms = cursor.map_or(REACH_MS, |cursor| now.latest_ms + SLACK_MS - cursor);
            let steps = (back_ms.clamp(1, REACH_MS) + step_ms - 1) / step_ms;
            Some(Question::Back { minutes: steps * step_ms / MINUTE_MS, interval: Some(interval) })
        }
        Kind::Span => {
            let back_ms = cursor.map_or(REACH_MS, |cursor| floor(now.earliest_ms) - cursor);
            let minutes = back_ms.min(REACH_MS) / MINUTE_MS;
            (back_ms >= LEAST_SPAN_MS).then_some(Question::Back { minutes, interval: None })
        }
    }
}

/// The final figures that the answer to `question` holds: from where it reaches back to, up to where it cannot change. On full
/// five minutes; empty where nothing is certain. `sent` is when the question went out, `received` when the answer was here.
pub(super) fn covered(kind: Kind, question: Question<'_>, sent: ServerTime, received: ServerTime) -> Window {
    let settled_ms = floor(sent.earliest_ms - SETTLED_MS);
    match (question, kind) {
        (Question::Between(window, _), _) => {
            Window { start_ms: window.start_ms, end_ms: window.end_ms.min(settled_ms) }
        }
        (Question::Back { minutes, .. }, kind) => {
            let start_ms = received.latest_ms - minutes * MINUTE_MS;
            let is_rounded = matches!(kind, Kind::Span | Kind::Intervals(Grid::Rounded));
            let end_ms = if kind == Kind::Span { floor(sent.earliest_ms) } else { settled_ms };
            Window { start_ms: if is_rounded { floor(start_ms) } else { ceiling(start_ms) }, end_ms }
        }
        (Question::Now { .. } | Question::Skills(_), _) => Window { start_ms: settled_ms, end_ms: settled_ms },
    }
}

/// What an answer means for the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moves {
    /// Over this window, which begins at the cursor.
    Over(Window),
    /// Over this window; what lies between the cursor and it is gone for ever.
    WithLoss { lost: Window, over: Window },
    /// Not: the answer does not reach back to the cursor, and a further question would.
    NotYet,
    /// Not: nothing new was final.
    Nowhere,
}

/// How an answer that holds `covered` moves the cursor. `at_most`: no question reaches further back.
pub(super) fn moved(cursor: Option<i64>, covered: Window, at_most: bool) -> Moves {
    let from_ms = cursor.unwrap_or(covered.start_ms);
    if covered.end_ms <= from_ms.max(covered.start_ms) {
        return if covered.start_ms > from_ms && !at_most { Moves::NotYet } else { Moves::Nowhere };
    }
    let over = Window { start_ms: from_ms.max(covered.start_ms), end_ms: covered.end_ms };
    match covered.start_ms > from_ms {
        false => Moves::Over(over),
        true if at_most => Moves::WithLoss { lost: Window { start_ms: from_ms, end_ms: covered.start_ms }, over },
        true => Moves::NotYet,
    }
}

/// Whether no question of this kind reaches further back than this one.
pub(super) fn is_longest(question: Question<'_>, now: ServerTime) -> bool {
    match question {
        Question::Back { minutes, .. } => minutes * MINUTE_MS >= REACH_MS,
        Question::Between(window, _) => window.start_ms <= ceiling(now.latest_ms + SLACK_MS - REACH_MS),
        Question::Now { .. } | Question::Skills(_) => true,
    }
}

pub(super) fn floor(ms: i64) -> i64 {
    ms.div_euclid(STEP_MS) * STEP_MS
}

fn ceiling(ms: i64) -> i64 {
    floor(ms.saturating_add(STEP_MS - 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// On full five minutes.
    const BEGIN_MS: i64 = 1_700_000_100_000;
    const KINDS: [Kind; 5] = [
        Kind::Intervals(Grid::Rounded),
        Kind::Intervals(Grid::Cut),
        Kind::Intervals(Grid::Between),
        Kind::Intervals(Grid::Anchored),
        Kind::Span,
    ];

    /// A server as the reference describes it: the stretch of time that an answer at an instant holds whole.
    fn holds(kind: Kind, question: Question<'_>, at_ms: i64) -> (i64, i64) {
        match (question, kind) {
            (Question::Between(window, _), _) => (window.start_ms, window.end_ms.min(at_ms)),
            (Question::Back { minutes, .. }, Kind::Span | Kind::Intervals(Grid::Rounded)) => {
                (floor(at_ms - minutes * MINUTE_MS), at_ms)
            }
            (Question::Back { minutes, .. }, _) => (at_ms - minutes * MINUTE_MS, at_ms),
            _ => unreachable!("no state is asked for"),
        }
    }

    struct Run {
        cursor: Option<i64>,
        questions: u32,
        lost: Vec<Window>,
        over: Vec<Window>,
        /// Interval → how often it came whole and final.
        came: BTreeMap<i64, u32>,
    }

    impl Run {
        fn new() -> Run {
            Run { cursor: None, questions: 0, lost: vec![], over: vec![], came: BTreeMap::new() }
        }

        /// One round at a local time; the server's clock is `skew_ms` ahead, the way takes `way_ms`.
        fn round(&mut self, kind: Kind, local_ms: i64, skew_ms: i64, way_ms: i64, known: bool) {
            let mut offset = known.then_some(skew_ms / 1000 * 1000);
            for attempt in 0.. {
                assert!(attempt < 3, "{kind:?} at {local_ms}: asked again and again");
                // Time goes on while an answer is under way.
                let sent_ms = local_ms + attempt * way_ms;
                let Some(question) = due(kind, self.cursor, ServerTime::of(sent_ms, offset), 5) else { return };
                self.questions += 1;
                let at_ms = sent_ms + skew_ms + way_ms / 2;
                offset = Some(at_ms / 1000 * 1000 - (sent_ms + way_ms));
                if let Question::Back { minutes, interval } = question {
                    assert!((5..=1440).contains(&minutes) && minutes % 5 == 0, "{question:?}");
                    assert_eq!(interval.is_some(), kind != Kind::Span);
                }
                // Which clock the server has is known from the calls before.
                if let (Question::Between(window, _), true) = (question, known) {
                    assert!(window.start_ms >= at_ms - REACH_MS && window.end_ms <= at_ms, "{question:?} at {at_ms}");
                }
                let (sent, received) = (ServerTime::of(sent_ms, offset), ServerTime::of(sent_ms + way_ms, offset));
                let covered = covered(kind, question, sent, received);
                let (from_ms, to_ms) = holds(kind, question, at_ms);
                if covered.start_ms < covered.end_ms {
                    assert!(from_ms <= covered.start_ms, "{kind:?}: said to hold more than it does");
                    let settled_ms = if kind == Kind::Span { to_ms } else { to_ms.min(at_ms - SETTLED_MS) };
                    assert!(covered.end_ms <= settled_ms, "{kind:?}: said to be final too early");
                }
                match moved(self.cursor, covered, is_longest(question, sent)) {
                    Moves::NotYet => continue,
                    Moves::Nowhere => return,
                    Moves::WithLoss { lost, over } => {
                        self.lost.push(lost);
                        self.take(over);
                    }
                    Moves::Over(over) => self.take(over),
                }
                return;
            }
        }

        fn take(&mut self, over: Window) {
            assert!(over.start_ms < over.end_ms && over.start_ms % STEP_MS == 0 && over.end_ms % STEP_MS == 0);
            let mut start_ms = over.start_ms;
            while start_ms < over.end_ms {
                *self.came.entry(start_ms).or_default() += 1;
                start_ms += STEP_MS;
            }
            self.over.push(over);
            self.cursor = Some(over.end_ms);
        }

        fn assert_whole(&self, kind: Kind, from_ms: i64, to_ms: i64) {
            let mut start_ms = from_ms;
            while start_ms < to_ms {
                let lost = self.lost.iter().any(|lost| (lost.start_ms..lost.end_ms).contains(&start_ms));
                let times = self.came.get(&start_ms).copied().unwrap_or(0);
                assert_eq!(times, u32::from(!lost), "{kind:?}: the interval at {start_ms}");
                start_ms += STEP_MS;
            }
        }
    }

    #[test]
    fn every_interval_of_a_day_is_counted_once() {
        for kind in KINDS {
            // Rounds at odd times, early and late, clocks that are off by minutes, slow answers.
            for (pace_ms, skew_ms, way_ms) in [
                (STEP_MS, 0, 100),
                (STEP_MS, 0, 59_000),
                (61_000, 217_300, 900),
                (17 * MINUTE_MS + 333, -400_000, 3_000),
                (7 * 60 * MINUTE_MS, 7_200_000, 100),
                (23 * 60 * MINUTE_MS, -1_500, 20_000),
            ] {
                let mut run = Run::new();
                let mut now_ms = BEGIN_MS + 12_345;
                // Bounds of our own choice need the server's clock; that method is never the first call of a run.
                run.round(kind, now_ms, skew_ms, way_ms, kind == Kind::Intervals(Grid::Between));
                let first = run.over[0];
                let whole_day = first.end_ms - first.start_ms;
                assert!(whole_day >= REACH_MS - 3 * STEP_MS, "{kind:?}: the first run brings {whole_day} ms");
                while now_ms < BEGIN_MS + 2 * REACH_MS {
                    now_ms += pace_ms;
                    run.round(kind, now_ms, skew_ms, way_ms, true);
                }
                assert!(run.lost.is_empty(), "{kind:?} {pace_ms}: {:?}", run.lost);
                run.assert_whole(kind, first.start_ms, run.cursor.unwrap());
                let behind_ms = now_ms + skew_ms - run.cursor.unwrap();
                let most = if kind == Kind::Span { LEAST_SPAN_MS } else { 2 * STEP_MS };
                assert!(behind_ms < pace_ms + most + STEP_MS, "{kind:?} {pace_ms}: {behind_ms} ms behind");
            }
        }
    }

    #[test]
    fn a_long_pause_loses_what_it_must_and_says_so() {
        for kind in KINDS {
            let mut run = Run::new();
            run.round(kind, BEGIN_MS + 7_000, 0, 100, true);
            let before = run.cursor.unwrap();
            let after_ms = BEGIN_MS + 30 * 60 * MINUTE_MS + 77_000;
            run.round(kind, after_ms, 0, 100, true);
            assert_eq!(run.lost.len(), 1, "{kind:?}");
            assert_eq!(run.lost[0].start_ms, before);
            let reach_ms = after_ms - run.lost[0].end_ms;
            assert!((REACH_MS - 2 * STEP_MS..REACH_MS + STEP_MS).contains(&reach_ms), "{kind:?}: {reach_ms}");
            run.assert_whole(kind, run.over[0].start_ms, run.cursor.unwrap());
        }
    }

    #[test]
    fn nothing_is_asked_before_something_is_final() {
        for kind in KINDS {
            let mut run = Run::new();
            run.round(kind, BEGIN_MS + 7_000, 0, 100, true);
            for later in [0, 1_000, 100_000, 280_000] {
                run.round(kind, BEGIN_MS + 7_000 + later, 0, 100, true);
            }
            assert_eq!(run.questions, 1, "{kind:?}");
            run.round(kind, BEGIN_MS + STEP_MS + 7_000, 0, 100, true);
            assert_eq!(run.questions, if kind == Kind::Span { 1 } else { 2 }, "{kind:?}");
        }
    }

    #[test]
    fn stretches_meet() {
        let mut run = Run::new();
        for minutes in [0, 61, 130, 260] {
            run.round(Kind::Span, BEGIN_MS + minutes * MINUTE_MS + 9_000, 0, 100, true);
        }
        assert_eq!(run.over.len(), 4);
        assert!(run.over.windows(2).all(|pair| pair[0].end_ms == pair[1].start_ms), "{:?}", run.over);
    }

    #[test]
    fn what_is_too_large_is_asked_for_in_larger_intervals_or_in_parts() {
        let now = ServerTime::of(BEGIN_MS + 7_000, None);
        for interval in [5, 30, 120] {
            for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Span) {
                for cursor in [None, Some(BEGIN_MS - 3 * 60 * MINUTE_MS), Some(BEGIN_MS - 3 * REACH_MS)] {
                    match due(kind, cursor, now, interval).unwrap() {
                        Question::Back { minutes, .. } => assert!(minutes <= 1440 && minutes % interval == 0),
                        Question::Between(window, of) => {
                            let most_ms = REACH_MS / interval * 5;
                            assert!(window.end_ms - window.start_ms <= most_ms && of == 5, "{window:?}");
                            assert!(
                                cursor
                                    .is_none_or(|cursor| window.start_ms <= cursor.max(BEGIN_MS - REACH_MS + STEP_MS))
                            );
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }
}
