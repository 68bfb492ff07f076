//! What `try:` says can be typed: a suggestion is a query in the syntax of the one that it mends.

use super::arbitrary;
use super::syntax::Syntax;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

fn cures(syntax: Syntax, typed: &str) -> Vec<Option<String>> {
    let error = syntax.parse_located(typed, &arbitrary::options()).expect_err(typed);
    error.complaints.into_iter().map(|complaint| complaint.suggestion).collect()
}

#[test]
fn a_suggestion_that_is_no_query_is_left_out() {
    for (typed, cure) in [("consumer:(", None), ("(a OR agnt:x", None), ("(a", Some("(a)")), ("a AND", Some("a"))] {
        assert_eq!(cures(Syntax::Chatvault, typed)[0].as_deref(), cure, "{typed}");
    }
    assert_eq!(cures(Syntax::Chatvault, "mcs:<5O agnt:x"), [None, None], "nobody knows what 5O is");
}

#[test]
fn faults_that_only_go_together_are_mended_together() {
    for (typed, cure) in [("agnt:x w/0 b", "agent:x w/1 b"), ("bad:(", "\"bad:\"")] {
        assert_eq!(cures(Syntax::Chatvault, typed), [Some(cure.to_owned()), Some(cure.to_owned())]);
        let error = Syntax::Chatvault.parse_located(typed, &arbitrary::options()).expect_err(typed);
        assert_eq!(error.to_string().matches("try: ").count(), 1, "{error}");
    }
}

#[test]
fn every_suggestion_is_a_query() {
    const PIECES: [&str; 44] = [
        "a",
        "refund*",
        "*",
        "?",
        "(",
        ")",
        "(",
        ")",
        "\"",
        "“",
        " ",
        " ",
        " ",
        " ",
        "AND",
        "and",
        "or",
        "OR",
        "not",
        "NOT",
        "-",
        "w/5",
        "pre/x",
        "w/0",
        "turns/2",
        "consumer:",
        "agnt:",
        "bad:",
        "mcs:<",
        "start:2026-13",
        "has:nothing",
        "sde.",
        "/re(",
        "~1",
        "~9",
        "number:9..1",
        "stem.xx:",
        "raw:",
        "type:chat",
        "12~~3",
        "saved:",
        "N===",
        "contains",
        "50",
    ];
    let dice = &mut ChaCha8Rng::seed_from_u64(6);
    let (mut refused, mut suggested) = (0, 0);
    for _ in 0..6_000 {
        let typed: String = (0..dice.random_range(1..9)).filter_map(|_| PIECES.choose(dice).copied()).collect();
        for syntax in Syntax::ALL {
            let Err(error) = syntax.parse_located(&typed, &arbitrary::options()) else { continue };
            refused += 1;
            for cure in error.complaints.iter().filter_map(|complaint| complaint.suggestion.as_ref()) {
                suggested += 1;
                let read = syntax.parse_located(cure, &arbitrary::options());
                assert!(read.is_ok(), "{}: {typed} → {cure}: {}", syntax.name(), read.expect_err("refused"));
            }
        }
    }
    assert!(refused > 2000 && suggested > 800, "{refused} refused, {suggested} suggestions");
}
