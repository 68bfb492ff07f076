//! The promises of chatvault, held against the real binary and a simulated account. One file per promise.
#![allow(clippy::unwrap_used)]

mod attributes;
mod audit;
mod bad_input;
mod bagit;
mod bench;
mod cli;
mod crash;
mod day;
mod decode;
mod doctor;
mod exact;
mod gaps;
mod history;
mod hostile;
mod language;
mod layering;
mod masked;
mod messaging;
mod oauth;
mod openpgp;
mod operations;
mod reading;
mod refusals;
mod repair;
mod salvage;
mod saved;
mod schemas;
mod search;
mod series;
mod support;
mod sync;
mod systemd;
mod terms;
mod witness;
