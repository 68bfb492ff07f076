//! One number for a whole result, so that a production can be repeated years later and compared.

use super::run::{SearchError, SearchRequest, for_each_key};
use crate::index::Reader;
use sha2::{Digest as _, Sha256};

/// What a query finds, in one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// SHA-256, 64 hex digits, of the keys: each followed by a line feed, sorted bytewise, in UTF-8.
    pub sha256: String,
    /// Number of keys.
    pub count: u64,
    /// The query in the form that the program reads it in, every time as UTC: typed again, it means the same in any time zone.
    pub query: String,
}

/// The digest of what a request finds, whatever its order and limit.
///
/// # Errors
/// As [`search`](super::search).
pub fn digest(reader: &Reader, request: &SearchRequest) -> Result<Digest, SearchError> {
    let (mut hasher, mut count) = (Sha256::new(), 0);
    for_each_key(reader, request, &mut |key| {
        hasher.update(key.as_bytes());
        hasher.update(b"\n");
        count += 1;
    })?;
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Digest { sha256, count, query: request.query.query.resolved().to_string() })
}
