//! x

/// LivePerson → archive: everything new, once, and the only code that talks to LivePerson.
pub mod acquire;
/// Immutable raw files and the ledger that proves them complete and unchanged.
pub mod archive;
/// A simulated LivePerson account over loopback HTTP: an independent witness for tests and demos.
pub mod simulator;
