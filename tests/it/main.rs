//! The promises of chatvault, held against the real binary and a simulated account. One file per promise.
#![allow(clippy::unwrap_used)]

mod audit;
mod bad_input;
mod bagit;
mod cli;
mod crash;
mod day;
mod decode;
mod doctor;
mod gaps;
mod history;
mod hostile;
mod layering;
mod messaging;
mod openpgp;
mod repair;
mod salvage;
mod search;
mod support;
mod sync;
mod terms;
mod witness;
