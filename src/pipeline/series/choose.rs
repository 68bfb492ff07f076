//! Times of one method that may overlap → times that can be added up.
//!
//! The rule: of a UTC day's times, those are kept that do not overlap and together cover most; of choices that cover
//! as much, the one with more and so finer times; of those, the one that decides for the earlier time. What began before the last
//! kept time of the day before was over is left out. An open time covers only what had passed when it was answered.

use super::Hole;
use crate::decode::{Span, SpanKind};

/// A time, as its answers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpanFact {
    pub(super) span: Span,
    /// Of the latest answer.
    pub(super) answered_ms: i64,
    /// Up to where that answer knew everything.
    pub(super) known_until_ms: i64,
    pub(super) offset: u64,
}

impl SpanFact {
    fn covers_ms(&self) -> i64 {
        (self.span.end_ms.min(self.known_until_ms) - self.span.start_ms).max(0)
    }
}

/// How far the kept times of earlier days reach.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) until_ms: Option<i64>,
}

/// What was chosen.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Places of the kept times, in order.
    pub(super) kept: Vec<usize>,
    /// Number of the others.
    pub(super) left_out: u64,
    pub(super) holes: Vec<Hole>,
}

/// Chooses among the times of a day, which are in order and distinct.
pub(super) fn choose(kind: SpanKind, spans: &[SpanFact], taken: Taken) -> Chosen {
    if kind == SpanKind::Snapshot {
        // An instant overlaps nothing.
        return Chosen { kept: (0..spans.len()).collect(), ..Chosen::default() };
    }
    let free_from = |at: usize| taken.until_ms.is_none_or(|until_ms| spans[at].span.start_ms >= until_ms);
    // By end; `best[n]` is what the first n of them can cover, and with how many.
    let mut order: Vec<usize> = (0..spans.len()).filter(|at| free_from(*at)).collect();
    order.sort_by_key(|&at| (spans[at].span.end_ms, spans[at].span.start_ms));
    let mut best: Vec<(i64, u32)> = vec![(0, 0)];
    let mut before: Vec<usize> = Vec::with_capacity(order.len());
    for (n, &at) in order.iter().enumerate() {
        let compatible = order[..n].partition_point(|&other| spans[other].span.end_ms <= spans[at].span.start_ms);
        before.push(compatible);
        let with = (best[compatible].0 + spans[at].covers_ms(), best[compatible].1 + 1);
        best.push(with.max(best[n]));
    }
    let mut kept = Vec::new();
    let mut n = order.len();
    while n > 0 {
        // Equal: without the later one.
        if best[n] == best[n - 1] {
            n -= 1;
        } else {
            kept.push(order[n - 1]);
            n = before[n - 1];
        }
    }
    kept.reverse();
    let holes = holes(kind, spans, &kept, taken);
    Chosen { left_out: (spans.len() - kept.len()) as u64, kept, holes }
}

fn holes(kind: SpanKind, spans: &[SpanFact], kept: &[usize], taken: Taken) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut until_ms = taken.until_ms;
    for &at in kept {
        let start_ms = spans[at].span.start_ms;
        if let Some(until_ms) = until_ms.filter(|until_ms| *until_ms < start_ms) {
            let known = |fact: &SpanFact| fact.span.start_ms < start_ms && fact.span.end_ms > until_ms;
            let behind = spans.partition_point(|fact| fact.span.start_ms < start_ms);
            let is_overlap = spans[..behind].iter().rev().take(64).any(known);
            holes.push(Hole { kind, start_ms: until_ms, end_ms: start_ms, is_overlap });
        }
        until_ms = Some(spans[at].span.end_ms);
    }
    holes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(times: &[(i64, i64)]) -> Vec<SpanFact> {
        let mut facts: Vec<SpanFact> = times
            .iter()
            .map(|&(start_ms, end_ms)| SpanFact {
                span: Span { kind: SpanKind::Interval, start_ms, end_ms },
                answered_ms: 1000,
                known_until_ms: 1000,
                offset: 0,
            })
            .collect();
        facts.sort_by_key(|fact| fact.span);
        facts.dedup();
        facts
    }

    /// Kept times, number of the others, holes with whether they are overlaps.
    type Kept = (Vec<(i64, i64)>, u64, Vec<(i64, i64, bool)>);

    fn kept(times: &[(i64, i64)], until_ms: Option<i64>) -> Kept {
        let facts = facts(times);
        let chosen = choose(SpanKind::Interval, &facts, Taken { until_ms });
        let kept = chosen.kept.iter().map(|at| (facts[*at].span.start_ms, facts[*at].span.end_ms)).collect();
        let holes = chosen.holes.iter().map(|hole| (hole.start_ms, hole.end_ms, hole.is_overlap)).collect();
        (kept, chosen.left_out, holes)
    }

    #[test]
    fn the_most_is_covered_and_the_finer_is_kept() {
        assert_eq!(kept(&[(0, 5), (5, 10), (0, 10)], None), (vec![(0, 5), (5, 10)], 1, vec![]));
        // Anchored at each request: three seconds apart.
        assert_eq!(
            kept(&[(0, 50), (50, 100), (53, 103), (103, 153)], None),
            (vec![(0, 50), (50, 100), (103, 153)], 1, vec![(100, 103, true)])
        );
        assert_eq!(kept(&[(0, 5), (20, 25)], None), (vec![(0, 5), (20, 25)], 0, vec![(5, 20, false)]));
        assert_eq!(kept(&[(0, 5), (5, 9)], Some(2)), (vec![(5, 9)], 1, vec![(2, 5, true)]));
        assert_eq!(kept(&[(0, 10), (5, 15)], None), (vec![(0, 10)], 1, vec![]), "the earlier of equals");
        // What was answered at 1000 knows a minute of this only.
        assert_eq!(kept(&[(990, 1200), (900, 1000)], None).0, [(900, 1000)]);
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_nothing_better_is_missed(
            times in proptest::collection::vec((0_i64..30, 1_i64..9), 1..9)
        ) {
            let times: Vec<(i64, i64)> = times.into_iter().map(|(start, length)| (start, start + length)).collect();
            let (found, left_out, _) = kept(&times, None);
            prop_assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{found:?}");
            let distinct = facts(&times);
            prop_assert_eq!(found.len() as u64 + left_out, distinct.len() as u64);
            let covered: i64 = found.iter().map(|(start, end)| end - start).sum();
            for subset in 0_u32..1 << distinct.len() {
                let some: Vec<Span> = distinct.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1).map(|(_, f)| f.span).collect();
                if some.iter().all(|a| some.iter().all(|b| a == b || a.end_ms <= b.start_ms || b.end_ms <= a.start_ms)) {
                    let other: i64 = some.iter().map(|span| span.end_ms - span.start_ms).sum();
                    prop_assert!(other <= covered, "{some:?} covers more than {found:?}");
                }
            }
        }
    }
}
