//! Any bytes as a body on its way into the archive: whole, or damaged in words.
#![no_main]

use chatvault::archive::check::{CheckError, CheckLimits, check};
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let limits = CheckLimits { max_ratio: 100, ratio_from_bytes: 64 << 10, max_inflated_bytes: 1 << 20 };
    match check(Cursor::new(bytes), "x.gz", &limits) {
        Ok(whole) => assert!(whole.inflated_bytes <= limits.max_inflated_bytes),
        Err(CheckError::Damaged(reason)) => assert!(!reason.is_empty()),
        Err(CheckError::Io(error)) => panic!("{error}"),
    }
});
