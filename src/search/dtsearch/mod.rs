//! dtSearch's syntax → the same tree: for term lists from counsel, typed for Relativity and its like.
//!
//! * Words side by side are a phrase; `and`, `or`, `not`, `w/5`, `pre/5`, `not w/5` in any case are operators. Mixing `and`
//!   with `or`, or `or` with `w/5`, needs parentheses: readers disagree on what it means without.
//! * `refund*` `ref?nd` `N===`: wildcards, `=` is a digit. `apply~` is stemming (English). `ba%nana` is fuzzy: as many letters
//!   may differ as there are `%`, those before the first may not. `12~~24` is a number between. `##199[0-9]` is a regular
//!   expression on one word.
//! * `agent contains refund`, `agent:: refund`, `agent:refund`: our fields, by our names. `name:` with a name of ours is a field,
//!   so that a weight (`word:5`) cannot hang on a word that is one.
//! * A distance lies inside one message, as in our own syntax. No word is noise.
//! * Phonic search, synonyms, weights, `xfirstword`, `xlastword` and recognisers are refused by name.
//!
//! Start reading at `parser.rs`; `word.rs` knows the signs inside a word.

mod lexer;
mod parser;
#[cfg(test)]
mod tests;
mod word;

pub use parser::parse_located;
