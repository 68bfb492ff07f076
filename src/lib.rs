//! x
/// A simulated LivePerson account over loopback HTTP: an independent witness for tests and demos.
pub mod simulator;
