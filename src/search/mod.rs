//! Takes: the text of a query, a time zone, the present moment.
//! Gives: a `query::Query` tree, or complaints that point at the position and name the cure.
//! Promises: nothing typed is dropped; a printed tree parses back to itself; no input panics or overflows the stack.
//! Never: reads a file, knows the index, guesses what an unknown form meant.
//! Start reading at: `query`, then `parse`.

pub mod complaint;
pub mod field;
pub mod parse;
pub mod query;

mod foreign;
mod lex;
mod pattern;
mod print;
mod proximity;
mod time;
mod value;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod language_tests;
