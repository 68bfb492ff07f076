//! Query text → the conversations that match, exactly.
//!
//! * Takes: the text of a query, a time zone, the present moment; an index to ask.
//! * Gives: a [`query::Query`] tree, or complaints that point at the position; exact counts, hits, facets, highlights.
//! * Promises: nothing typed is dropped; no cap is silent; index and matcher agree; no input panics.
//! * Never: guesses what an unknown form meant, or counts a candidate that the matcher has not confirmed.
//! * Start reading at: [`query`], then `compile.rs` (what the index answers) and `matcher.rs` (what it cannot).

mod attributes;
mod bits;
mod compile;
pub mod complaint;
mod expand;
pub mod facets;
pub mod field;
mod foreign;
pub mod highlight;
mod keys;
mod lex;
mod matcher;
pub mod parse;
mod pattern;
mod print;
mod proximity;
pub mod query;
mod run;
pub mod sample;
pub mod saved;
pub mod term_list;
pub mod terms;
mod time;
mod transcript;
mod value;
mod words;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod language_tests;
#[cfg(test)]
mod property_tests;

pub use matcher::{Highlight, Matcher};
pub use run::{Hit, Hits, SearchAnswer, SearchError, SearchRequest, Sort, check, search, search_sample};
