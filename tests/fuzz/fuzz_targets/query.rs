//! Any text as a query: a tree that prints and parses back to itself, or complaints that point into the text.
#![no_main]

use chatvault::search::parse::{ParseOptions, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|typed: &str| {
    let options = ParseOptions::utc(1_700_000_000_000);
    match parse(typed, &options) {
        Ok(query) => {
            let printed = query.to_string();
            assert_eq!(parse(&printed, &options).ok().as_ref(), Some(&query), "printed as {printed:?}");
        }
        Err(error) => {
            assert!(!error.complaints.is_empty() && !error.to_string().is_empty());
            for complaint in &error.complaints {
                assert!(typed.get(complaint.start..complaint.end).is_some(), "{complaint:?}");
            }
        }
    }
});
