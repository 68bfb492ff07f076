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
mod cursor;
mod digest;
mod doubt;
pub mod dtsearch;
mod expand;
mod expression;
pub mod facets;
pub mod field;
pub mod figures;
mod foreign;
mod found;
pub mod highlight;
mod keys;
mod lex;
mod matcher;
pub mod names;
mod order;
pub mod parse;
mod pattern;
mod places;
mod print;
mod proximity;
pub mod query;
mod ranking;
mod run;
pub mod sample;
pub mod saved;
pub mod stem;
pub mod syntax;
pub mod term_list;
pub mod terms;
mod time;
mod transcript;
mod value;
mod within;
mod words;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod language_tests;
#[cfg(test)]
mod places_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod suggestion_tests;

pub use cursor::{Cursor, CursorError};
pub use digest::{Digest, digest};
pub use doubt::doubts;
#[cfg(test)]
pub(crate) use matcher::View;
pub use matcher::{Highlight, Matcher};
pub use order::Sort;
pub use run::{
    Hit, Hits, SearchAnswer, SearchError, SearchRequest, check, for_each_key, search, search_after, search_sample,
};
pub use within::{Within, within};
