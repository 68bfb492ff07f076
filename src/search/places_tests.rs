//! Proximity held against its definition, written down once more without any cleverness: all places, all pairs.

use super::arbitrary;
use super::matcher::Matcher;
use super::parse::parse;
use super::query::{Near, Operand, Place, Query, Side, TextPattern};
use crate::conversation::{Conversation, Message, Record, Revision, StoredConversation};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;

/// The positions that make a place.
type Spot = BTreeSet<usize>;

fn ends(spot: &Spot) -> (usize, usize) {
    (*spot.first().unwrap(), *spot.last().unwrap())
}

/// Words between two places, adjacent being 1; 0 where they reach into each other.
fn gap(a: &Spot, b: &Spot) -> usize {
    let ((a_first, a_last), (b_first, b_last)) = (ends(a), ends(b));
    if a_last < b_first { b_first - a_last } else { a_first.saturating_sub(b_last) }
}

fn is_near(left: &Spot, right: &Spot, near: &Near) -> bool {
    let before = ends(left).1 < ends(right).0;
    (before || !near.ordered) && left.is_disjoint(right) && gap(left, right) <= near.distance as usize
}

fn spots_of(operand: &Operand, line: &[&str]) -> BTreeSet<Spot> {
    let of = |place: &Place| -> BTreeSet<Spot> {
        match place {
            Place::Text(text) => {
                let (TextPattern::Word(typed) | TextPattern::Phrase(typed)) = &text.pattern else { unreachable!() };
                let words: Vec<&str> = typed.split(' ').collect();
                (0..line.len())
                    .filter(|at| line[*at..].starts_with(&words))
                    .map(|at| (at..at + words.len()).collect())
                    .collect()
            }
            Place::Near(near) => stretches(near, line),
        }
    };
    operand.any_of.iter().flat_map(of).collect()
}

/// From a place of one side to the nearest before, behind and around it on the other.
fn stretches(near: &Near, line: &[&str]) -> BTreeSet<Spot> {
    let [left, right] = [&near.left, &near.right].map(|side| spots_of(&side.all_of[0], line));
    if near.absent {
        return free(near, &left, &right);
    }
    let mut found = BTreeSet::new();
    for (side, others, is_left) in [(&left, &right, true), (&right, &left, false)] {
        for spot in side {
            let before = others.iter().filter(|other| ends(other).1 < ends(spot).0).max_by_key(|other| ends(other).1);
            let behind = others.iter().filter(|other| ends(other).0 > ends(spot).1).min_by_key(|other| ends(other).0);
            let around: Vec<&Spot> =
                others.iter().filter(|other| gap(other, spot) == 0 && other.is_disjoint(spot)).collect();
            for other in before.into_iter().chain(behind).chain(around) {
                if if is_left { is_near(spot, other, near) } else { is_near(other, spot, near) } {
                    found.insert(spot.union(other).copied().collect());
                }
            }
        }
    }
    found
}

fn free(near: &Near, left: &BTreeSet<Spot>, right: &BTreeSet<Spot>) -> BTreeSet<Spot> {
    let is_close = |spot: &Spot, other: &Spot| {
        let before = ends(spot).1 < ends(other).0;
        let overlaps = ends(spot).1 >= ends(other).0 && ends(other).1 >= ends(spot).0;
        spot != other && (overlaps || (before || !near.ordered) && gap(spot, other) <= near.distance as usize)
    };
    left.iter().filter(|spot| !right.iter().any(|other| is_close(spot, other))).cloned().collect()
}

fn holds(near: &Near, line: &[&str]) -> bool {
    let spots = |side: &Side| side.all_of.iter().map(|operand| spots_of(operand, line)).collect::<Vec<_>>();
    let (left, right) = (spots(&near.left), spots(&near.right));
    if near.absent {
        return !free(near, &left[0], &right[0]).is_empty();
    }
    if left.len() == 1 {
        left[0].iter().any(|spot| right.iter().all(|group| group.iter().any(|other| is_near(spot, other, near))))
    } else {
        right[0].iter().any(|spot| left.iter().all(|group| group.iter().any(|other| is_near(other, spot, near))))
    }
}

/// `(a OR "b c")`, `(a w/2 b)`, `(a AND b)` over few words, so that they meet often.
fn side(depth: u32) -> BoxedStrategy<String> {
    let text = prop_oneof![4 => "[a-d]", 1 => "\"[a-d] [a-d]\""].boxed();
    let either = (text.clone(), text.clone()).prop_map(|(x, y)| format!("({x} OR {y})"));
    if depth == 0 {
        return prop_oneof![3 => text, 1 => either].boxed();
    }
    let both = (text.clone(), text.clone()).prop_map(|(x, y)| format!("({x} AND {y})"));
    let inner = near(depth - 1);
    let pair = inner.clone().prop_map(|near| format!("({near})"));
    let among = (text.clone(), inner).prop_map(|(text, near)| format!("({text} OR ({near}))"));
    prop_oneof![3 => text, 1 => either, 2 => both, 4 => pair, 1 => among].boxed()
}

fn near(depth: u32) -> BoxedStrategy<String> {
    (side(depth), side(0), prop::sample::select(&["w", "pre", "NOT w", "NOT pre"][..]), 1..5_u32, any::<bool>())
        .prop_map(|(one, other, sign, distance, swap)| {
            let (left, right) = if swap { (other, one) } else { (one, other) };
            format!("{left} {sign}/{distance} {right}")
        })
        .boxed()
}

#[test]
fn the_matcher_agrees_with_the_definition() {
    let cases = if std::env::var_os("CHATVAULT_LONG").is_some() { 500_000 } else { 5_000 };
    let told = std::cell::Cell::new([0_u32, 0]);
    TestRunner::new(Config { cases, max_local_rejects: u32::MAX, failure_persistence: None, ..Config::default() })
        .run(&(near(2), prop::collection::vec("[a-e]", 1..12)), |(typed, line)| {
            // What cannot stand on a side is refused; `language_tests.rs` has the reasons.
            let Ok(Query::Near(near)) = parse(&typed, &arbitrary::options()) else { return Ok(()) };
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            let expected = holds(&near, &words);
            let message = Message { text: words.join(" "), ..Message::default() };
            let content = Conversation { messages: vec![message], ..Conversation::default() };
            let record = Record { file: "f".into(), sha256: "0".into(), record: 0, unproven: false };
            let stored = StoredConversation {
                revisions: vec![Revision { age_ms: 1, source: "x".into(), records: vec![record], content }],
            };
            let matcher = Matcher::new(&Query::Near(near));
            prop_assert_eq!(matcher.matches(&stored), expected, "{} in {:?}", typed, words);
            let is_marked = !matcher.highlights(&stored, &stored.merged()).is_empty();
            prop_assert_eq!(is_marked, expected, "marks of {} in {:?}", typed, words);
            let mut seen = told.get();
            seen[usize::from(expected)] += 1;
            told.set(seen);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let [misses, hits] = told.get();
    assert!(misses * 8 > cases && hits * 8 > cases, "{misses} misses, {hits} hits");
}
