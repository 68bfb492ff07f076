//! The two syntaxes a query can be typed in. Both give the same tree, and every tree prints in our own.

use super::complaint::QueryError;
use super::dtsearch;
use super::parse::{self, Located, ParseOptions};

/// How a query is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syntax {
    /// Our own: words side by side are ANDed.
    #[default]
    Chatvault,
    /// dtSearch's, in which term lists from counsel come: words side by side are a phrase.
    Dtsearch,
}

impl Syntax {
    /// The name it is asked for by.
    pub fn name(self) -> &'static str {
        match self {
            Syntax::Chatvault => "chatvault",
            Syntax::Dtsearch => "dtsearch",
        }
    }

    /// Reads a query and keeps the positions of its leaves, which are those of the typed text in either syntax.
    ///
    /// # Errors
    /// Everything found wrong with it, at most twenty complaints, in the order of their positions.
    pub fn parse_located(self, text: &str, options: &ParseOptions) -> Result<Located, QueryError> {
        match self {
            Syntax::Chatvault => parse::parse_located(text, options),
            Syntax::Dtsearch => dtsearch::parse_located(text, options),
        }
    }
}
