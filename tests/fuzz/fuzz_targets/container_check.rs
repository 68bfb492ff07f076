//! Any bytes as a body on its way into the archive: whole, or damaged in words.
#![no_main]

use chatvault::archive::check::{CheckError, CheckLimits, check};
use libfuzzer_sys::fuzz_target;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let limits = CheckLimits { max_ratio: 100, ratio_from_bytes: 64 << 10, max_inflated_bytes: 1 << 20 };
    match check(Cursor::new(bytes), "x.gz", &limits) {
        Ok(whole) => assert!(whole.inflated_bytes <= limits.max_inflated_bytes.max(bytes.len() as u64)),
        Err(CheckError::Damaged { reason, prefix }) => {
            assert!(!reason.is_empty());
            if let Some(prefix) = prefix {
                assert!(prefix.good_bytes > 0 && prefix.proven_bytes <= prefix.good_bytes);
                assert!(prefix.at_byte <= bytes.len() as u64);
                // The limits hold for what is salvaged too.
                assert!(prefix.good_bytes <= limits.max_inflated_bytes, "{prefix:?}");
            }
        }
        Err(CheckError::Bomb(reason)) => assert!(reason.contains("[limits]")),
        Err(CheckError::Io(error)) => panic!("{error}"),
    }
});
