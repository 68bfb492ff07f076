//! x

/// Immutable raw files and the ledger that proves them complete and unchanged.
pub mod archive;
