//! Tests of the simulator as a whole: the account against its truth, and the server over HTTP.

#![allow(clippy::unwrap_used)]

mod account;
mod history;
mod http;
mod lab;
mod messaging;
mod operations;
mod tokens;

use super::*;

/// A small account with quirks turned up so that each occurs.
fn small(conversations: u64) -> WorldConfig {
    WorldConfig { conversations, revised_permille: 30, id_less_per_million: 4_000, ..WorldConfig::default() }
}
