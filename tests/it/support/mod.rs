//! The laboratory: a temporary vault, a simulated account on loopback ports, and our real binary.

mod lab;
mod vault;

pub(crate) use lab::{Lab, world};
pub(crate) use vault::{Run, Vault, files_of, ids, keys, program, reader, temp_folder};

/// Whether the long versions of the tests are wanted (before a release).
pub(crate) fn is_long() -> bool {
    std::env::var("CHATVAULT_LONG").is_ok_and(|value| value == "1")
}
