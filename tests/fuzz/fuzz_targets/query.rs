//! Any text as a query, in either syntax: a tree that prints and parses back to itself in our own, or complaints that
//! point into the text.
#![no_main]

use chatvault::search::parse::{ParseOptions, parse};
use chatvault::search::syntax::Syntax;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|typed: &str| {
    let options = ParseOptions::utc(1_700_000_000_000);
    for syntax in [Syntax::Chatvault, Syntax::Dtsearch] {
        match syntax.parse_located(typed, &options) {
            Ok(located) => {
                let printed = located.query.to_string();
                assert_eq!(parse(&printed, &options).ok().as_ref(), Some(&located.query), "printed as {printed:?}");
            }
            Err(error) => {
                assert!(!error.complaints.is_empty() && !error.to_string().is_empty());
                for complaint in &error.complaints {
                    assert!(typed.get(complaint.start..complaint.end).is_some(), "{complaint:?}");
                }
            }
        }
    }
});
