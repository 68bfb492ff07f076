//! What can go wrong while acquiring, by what the caller does next.
//!
//! [`AcquireError`] ends a run: nothing could be begun, or going on would be pointless or harmful. [`Problem`] is one
//! item (a listing call, a file, a refused entry) that failed and is reported while the others go on.

use serde::Serialize;

use crate::archive::ArchiveError;

use super::auth::OAuth1Keys;

/// Why a run could not begin, or ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// A setting cannot work (exit 2). The text names the setting and what would be right.
    #[error("bad configuration: {0}")]
    Configuration(String),
    /// A stream that is on takes an API key alone, and its values are not all set (exit 2).
    #[error("bad configuration: these are not set: {} (or NAME_FILE)", .missing.join(", "))]
    NoApiKey {
        /// The variables that are empty.
        missing: Vec<&'static str>,
    },
    /// LivePerson refused the keys with 401 (exit 6).
    #[error("{api} refused the keys of account {account} (401): {}", .variables.join(", "))]
    Unauthorized {
        /// The API that refused, as its documentation calls it.
        api: &'static str,
        /// The account that was asked for.
        account: String,
        /// The environment variables to check.
        variables: &'static [&'static str],
        /// The server's words, shortened, without control characters and without any key; may be empty.
        said: String,
        /// What else is known about the cause: clock skew, unknown account, other region. One sentence each.
        hints: Vec<String>,
    },
    /// The keys are valid, but may not read any of the wanted streams (exit 6).
    #[error("{api} does not permit {stream} to these keys (403)")]
    Forbidden {
        /// The API that refused.
        api: &'static str,
        /// The streams that were refused, comma-separated.
        stream: String,
        /// The server's words, as in `Unauthorized`.
        said: String,
    },
    /// The server kept answering 429 (exit 7).
    #[error("gave up on rate limits: the server answered 429 {in_a_row} times in a row")]
    RateLimited {
        /// Answers 429 without another answer between them.
        in_a_row: u32,
    },
    /// The server could not be reached, or kept failing, for several items one after the other (exit 5).
    #[error("LivePerson does not answer: {reason}")]
    Unavailable {
        /// The last failure, without secrets.
        reason: String,
    },
    /// The archive cannot take more (disk full, database, permissions); nothing half-published was left behind.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl AcquireError {
    /// The sentences a person needs after the error itself: what was said, what to check.
    pub fn hints(&self) -> Vec<String> {
        match self {
            AcquireError::Unauthorized { said, hints, variables, .. } => {
                let mut lines = hints.clone();
                if !said.is_empty() {
                    lines.push(format!("the server said: {said}"));
                }
                if **variables == OAuth1Keys::VARIABLES {
                    let four = "check that all four values belong to one API key and that the key is enabled";
                    lines.push(four.to_owned());
                }
                lines
            }
            AcquireError::Forbidden { said, .. } => {
                let mut lines = vec![
                    "the key needs the permission \"Data Access\", and LivePerson must have enabled the API and this \
                     data type for the account"
                        .to_owned(),
                ];
                if !said.is_empty() {
                    lines.push(format!("the server said: {said}"));
                }
                lines
            }
            AcquireError::RateLimited { .. } => {
                vec!["wait some minutes, or lower [sync] requests_per_second and connections".to_owned()]
            }
            AcquireError::NoApiKey { missing } if missing.len() < OAuth1Keys::VARIABLES.len() => {
                vec!["an API key has four values, and the others are set".to_owned()]
            }
            AcquireError::NoApiKey { .. } => vec![
                "Data Access takes an API key alone; without one set its streams to \"off\" or \"auto\" under [streams]"
                    .to_owned(),
                "conversations, chats and agents now take CHATVAULT_CLIENT_ID and CHATVAULT_CLIENT_SECRET too, or \
                 CHATVAULT_USERNAME and CHATVAULT_PASSWORD"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// The kind of a [`Problem`]; serialised in snake case, as scripts see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// 401.
    Unauthorized,
    /// 403: the key may not, or the data type is not enabled.
    Forbidden,
    /// 404 or 410: the file is no longer (or not) there; LivePerson deletes files after 30 days.
    Gone,
    /// Another 4xx.
    Rejected,
    /// 429 until the patience ran out.
    RateLimited,
    /// 5xx after all retries.
    Server,
    /// The connection failed or broke.
    Network,
    /// Connected, but no byte came for the no-progress timeout.
    NoProgress,
    /// A listing that is an HTML page.
    Html,
    /// A listing in XML.
    Xml,
    /// A listing that ends in the middle.
    TruncatedJson,
    /// A listing that is no JSON for another reason.
    NotJson,
    /// JSON, but not a listing.
    UnexpectedShape,
    /// The listing names another account than the one asked for.
    OtherAccount,
    /// A listing above the size limit.
    TooLarge,
    /// A listed name that is not a Data Access file name of this stream, or is unsafe; never fetched.
    RefusedName,
    /// An address (listed, or from a redirect) that the host rule refuses; never requested.
    RefusedHost,
    /// Too many redirects, or one without a usable target.
    Redirect,
    /// A download answered with something that is neither gzip nor zip (an error page, a JSON error).
    NotAFile,
    /// The body failed the archive's checks; the bytes are in quarantine.
    Damaged,
    /// No host or no credentials for this API.
    NoService,
    /// A search that could not ask all of the server's parts, again and again.
    PartialResult,
    /// The number of conversations that a search announced was not the number that came, again and again.
    Unsteady,
    /// The archive refused this one item.
    Archive,
}

impl ProblemKind {
    /// What lies with the account, the keys or the address: the other calls of the stream would end alike.
    pub(super) fn is_about_us(self) -> bool {
        use ProblemKind::{Forbidden, Gone, OtherAccount, Redirect, RefusedHost, Rejected, Unauthorized};
        matches!(self, Unauthorized | Forbidden | Gone | OtherAccount | Redirect | RefusedHost | Rejected)
    }
}

/// One item that failed or was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// Stream, such as `data-access/engagement`.
    pub stream: String,
    /// File name (shortened and escaped where it is hostile) or the window of a listing call.
    pub name: String,
    /// What kind of failure.
    pub kind: ProblemKind,
    /// One sentence part without secrets and without control characters.
    pub reason: String,
    /// Requests made for this item; 0 for a refused entry.
    pub attempts: u32,
}

/// Why one call failed; inside this module only. `retry.rs` decides what follows.
#[derive(Debug)]
pub(super) enum Fault {
    /// The peer, or the way to it.
    Answer { kind: ProblemKind, reason: String, retry_after: Option<std::time::Duration> },
    /// Our own side; ends the run.
    Archive(ArchiveError),
    /// The user interrupted.
    Cancelled,
}

impl Fault {
    pub(super) fn of(kind: ProblemKind, reason: impl Into<String>) -> Fault {
        Fault::Answer { kind, reason: reason.into(), retry_after: None }
    }
}
