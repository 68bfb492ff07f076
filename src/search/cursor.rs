//! A cursor: where a page ended, in a word that can be handed to the next call.
//!
//! It names the last hit by its place in the order, not by a count, so a list can be read page by page while the archive
//! grows. It carries what else the order follows from (the moment that `today` was resolved at, the statistics of the
//! scores) and a hash of the query, so that it is never used with another one. Scripts must not look inside.

use super::order::{Place, Sort};
use super::query::Query;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// First letters of every cursor of this form.
const FORM: &str = "c1-";

/// Bytes of the check sum at the end: a cursor that lost a letter on the clipboard is told from one of another query.
const CHECK_BYTES: usize = 4;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    query: [u8; 16],
    pub(super) sort: Sort,
    pub(super) reverse: bool,
    now_ms: i64,
    pub(super) place: Place,
    pub(super) statistics: Vec<u64>,
}

/// Why a cursor is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is none.
    #[error("this is no cursor, or not the whole of one: a cursor is what `next` of the page before holds")]
    Unreadable,
    /// It belongs to another query.
    #[error("this cursor belongs to another query than {query:?}: a cursor continues the query that gave it")]
    OtherQuery {
        /// The query as resolved.
        query: String,
    },
    /// It belongs to another order.
    #[error("this cursor belongs to the order `{found}`, not to `{wanted}`: ask with the same --sort and --reverse")]
    OtherSort {
        /// Its own.
        found: String,
        /// The one asked for.
        wanted: String,
    },
}

impl Cursor {
    pub(super) fn new(
        query: &Query,
        sort: Sort,
        reverse: bool,
        now_ms: i64,
        place: Place,
        statistics: &[u64],
    ) -> Cursor {
        Cursor { query: hash(query), sort, reverse, now_ms, place, statistics: statistics.to_vec() }
    }

    /// Reads a cursor as it was printed.
    ///
    /// # Errors
    /// [`CursorError::Unreadable`].
    pub fn parse(text: &str) -> Result<Cursor, CursorError> {
        let bytes = text.trim().strip_prefix(FORM).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let bytes = bytes.ok_or(CursorError::Unreadable)?;
        let at = bytes.len().checked_sub(CHECK_BYTES).ok_or(CursorError::Unreadable)?;
        let (content, check) = bytes.split_at(at);
        if Sha256::digest(content)[..CHECK_BYTES] != *check {
            return Err(CursorError::Unreadable);
        }
        postcard::from_bytes(content).map_err(|_| CursorError::Unreadable)
    }

    /// When the first page was asked for, epoch milliseconds: what `today` means in the query stays what it was.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Whether it may go on with a query in an order.
    pub(super) fn check(&self, query: &Query, sort: Sort, reverse: bool) -> Result<(), CursorError> {
        if self.query != hash(query) {
            return Err(CursorError::OtherQuery { query: query.resolved().to_string() });
        }
        if (self.sort, self.reverse) != (sort, reverse) {
            let name = |sort: Sort, reverse: bool| {
                if reverse { format!("{}, reversed", sort.name()) } else { sort.name().to_owned() }
            };
            return Err(CursorError::OtherSort { found: name(self.sort, self.reverse), wanted: name(sort, reverse) });
        }
        Ok(())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = postcard::to_stdvec(self).map_err(|_| fmt::Error)?;
        let check = Sha256::digest(&bytes);
        bytes.extend_from_slice(&check[..CHECK_BYTES]);
        write!(f, "{FORM}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Half a SHA-256 of the query with every time resolved: the same typed in two time zones is two queries.
fn hash(query: &Query) -> [u8; 16] {
    let digest = Sha256::digest(query.resolved().to_string());
    std::array::from_fn(|at| digest[at])
}
