//! Properties of the language: what is printed parses back, and no input panics.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::arbitrary;
use super::complaint::QueryError;
use super::parse::parse;
use super::query::Query;

fn read(typed: &str) -> Result<Query, QueryError> {
    parse(typed, &arbitrary::options())
}

/// Cases: 10,000, or a million with `CHATVAULT_LONG=1`.
fn runner() -> TestRunner {
    let cases = if std::env::var_os("CHATVAULT_LONG").is_some() { 1_000_000 } else { 10_000 };
    // proptest counts filtered values over the whole run and stops at 65,536: a million cases filter more than that.
    TestRunner::new(Config { cases, max_local_rejects: u32::MAX, failure_persistence: None, ..Config::default() })
}

#[test]
fn printed_trees_parse_back() {
    runner()
        .run(&arbitrary::query(), |query| {
            let printed = query.to_string();
            let again = read(&printed).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&again, &query, "{}", printed);
            let resolved = query.resolved().to_string();
            let again = read(&resolved).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(again.resolved().to_string(), resolved);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// What is typed with few parentheses is printed with more; what would then be too deep to read back is refused.
#[test]
fn what_is_accepted_reads_back_however_deep() {
    for (depth, is_good) in [(40, true), (60, false)] {
        let typed = format!("{}a{}", "a OR b (".repeat(depth), ")".repeat(depth));
        let query = read(&typed);
        assert_eq!(query.is_ok(), is_good, "{depth}");
        if let Ok(query) = query {
            assert_eq!(read(&query.to_string()), Ok(query));
        }
    }
    let near = format!("{}a{}", "(".repeat(90), " w/2 b)".repeat(90));
    let query = read(&near).expect("ninety stretches");
    assert_eq!(read(&query.to_string()), Ok(query));
}

#[test]
fn no_input_panics() {
    let signs = "([a-c]|[-+!~^*?/\\\\(){}\\[\\]<>=:.,0-9\"“”  ]|AND |OR |NOT |w/2 |turns/1 |skill:|start:|mcs:|consumer:|é|返){0,24}";
    runner()
        .run(&prop_oneof![any::<String>(), signs], |typed| {
            match read(&typed) {
                Ok(query) => prop_assert_eq!(read(&query.to_string()).ok(), Some(query)),
                Err(error) => {
                    prop_assert!(!error.complaints.is_empty() && !error.to_string().is_empty());
                    for complaint in &error.complaints {
                        prop_assert!(typed.get(complaint.start..complaint.end).is_some());
                    }
                }
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
