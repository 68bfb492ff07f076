//! x

/// Turns what a reviewer types into an exact question that the index and the matcher answer.
pub mod search;
