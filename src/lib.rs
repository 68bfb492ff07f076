//! x

/// LivePerson → archive: everything new, once, and the only code that talks to LivePerson.
pub mod acquire;
