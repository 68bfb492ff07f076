//! The seam to one LivePerson API, pure: the next request to make, how to read the answer.
//!
//! A `Source` does no I/O and knows no clock, no keys and no retries, so that each API is a set of functions from
//! values to values. The driver (`listing.rs`) sends, signs, retries and follows [`Reading::next`] until it is `None`;
//! paged APIs answer one page per reading, Data Access answers all at once.

use std::time::Duration;

use url::Url;

use crate::archive::{ListedFile, Window};

use super::error::ProblemKind;

/// One stream of one LivePerson API.
pub trait Source: Send + Sync {
    /// The stream's name in settings, archive paths and reports, such as `data-access/engagement`.
    fn stream(&self) -> &str;

    /// How far back LivePerson keeps this stream; nothing older is asked for.
    fn reach(&self) -> Duration;

    /// The first request for a window (half-open, UTC epoch milliseconds).
    fn first(&self, window: Window) -> ApiRequest;

    /// What an answer to `asked` says. Any status, any body: never panics, and never takes a failure for an empty
    /// window.
    fn read(&self, asked: &ApiRequest, answer: &Answer) -> Result<Reading, AnswerProblem>;
}

/// A request before it is signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiRequest {
    /// Full address with its query.
    pub url: Url,
    /// Value of the `Accept` header.
    pub accept: &'static str,
    /// JSON body: `Some` makes it a POST, `None` a GET.
    pub json: Option<String>,
}

/// An answer as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, if it came.
    pub content_type: Option<String>,
    /// Body as received, at most the driver's limit.
    pub body: Vec<u8>,
}

/// What a good answer says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Files to fetch, each name once, in the order of the answer. Empty: LivePerson has nothing for this window.
    pub files: Vec<ListedFile>,
    /// Entries that will not be fetched.
    pub refused: Vec<RefusedEntry>,
    /// The next page's request, if there is one.
    pub next: Option<ApiRequest>,
}

/// An entry of a listing that is reported and recorded, but never fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedEntry {
    /// The name as `shown` prints it.
    pub name: String,
    /// [`ProblemKind::RefusedName`] or [`ProblemKind::RefusedHost`].
    pub kind: ProblemKind,
    /// Why.
    pub reason: String,
}

/// Why an answer could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnswerProblem {
    /// What kind.
    pub kind: ProblemKind,
    /// One sentence part; holds at most `words` of the server's body.
    pub reason: String,
}

impl AnswerProblem {
    pub(super) fn new(kind: ProblemKind, reason: impl Into<String>) -> AnswerProblem {
        AnswerProblem { kind, reason: reason.into() }
    }
}

/// The problem that a status other than 200 stands for, with the server's words.
pub(super) fn status_problem(answer: &Answer) -> AnswerProblem {
    let kind = match answer.status {
        401 => ProblemKind::Unauthorized,
        403 => ProblemKind::Forbidden,
        404 | 410 => ProblemKind::Gone,
        429 => ProblemKind::RateLimited,
        // A 2xx or 3xx without the meaning of 200 is no answer to these calls.
        500.. => ProblemKind::Server,
        _ => ProblemKind::Rejected,
    };
    let words = words(&answer.body);
    let reason = if words.is_empty() {
        format!("status {}", answer.status)
    } else {
        format!("status {}: {words}", answer.status)
    };
    AnswerProblem { kind, reason }
}

/// The server's words for a message: the `error.message` of a JSON body, else its text without markup; white space
/// folded, control characters escaped, at most 160 characters. Keys are redacted later, by who knows them.
pub(super) fn words(body: &[u8]) -> String {
    let head = &body[..body.len().min(16 * 1024)];
    let json: Option<serde_json::Value> = serde_json::from_slice(head).ok();
    let message = json.as_ref().and_then(|value| {
        let error = value.get("error")?;
        error.get("message").unwrap_or(error).as_str()
    });
    let text = match message {
        Some(message) => message.to_owned(),
        None => without_markup(&String::from_utf8_lossy(head)),
    };
    let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shorten(&folded, 160)
}

/// A hostile or long text for a message: control characters escaped, at most 80 characters, its length told if cut.
pub(super) fn shown(text: &str) -> String {
    let length = text.chars().count();
    if length <= 80 { shorten(text, 80) } else { format!("{} ({length} characters)", shorten(text, 60)) }
}

fn shorten(text: &str, limit: usize) -> String {
    let mut short = String::new();
    for character in text.chars().take(limit) {
        // Escapes what would move a terminal's cursor or reorder a line (bidi overrides), keeps letters of any script.
        let hidden = character.is_control()
            || matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if hidden { short.extend(character.escape_unicode()) } else { short.push(character) }
    }
    if text.chars().nth(limit).is_some() {
        short.push('…');
    }
    short
}

/// Text outside `<…>`, and outside script and style elements, well enough for one line of a message.
fn without_markup(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        plain.push_str(&rest[..open]);
        plain.push(' ');
        let tag = &rest[open..];
        let skip_to = ["script", "style"].iter().find_map(|name| {
            let is_it = tag.get(1..=name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            is_it.then(|| tag.find(&format!("</{name}")).unwrap_or(tag.len()))
        });
        let tag = &tag[skip_to.unwrap_or(0)..];
        rest = tag.find('>').map_or("", |close| &tag[close + 1..]);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_come_from_json_or_text() {
        for (body, expected) in [
            (r#"{"error":{"time":"Jun 10","message":"Unauthorized","internalCode":0}}"#, "Unauthorized"),
            (r#"{"error":"invalid_client"}"#, "invalid_client"),
            ("<html><head><style>p{}</style><title>502</title></head><p>Bad\n\n gateway</p>", "502 Bad gateway"),
            ("", ""),
            ("<", ""),
            ("<script", ""),
            ("plain\u{1b}[31m red\0", "plain\\u{1b}[31m red\\u{0}"),
        ] {
            assert_eq!(words(body.as_bytes()), expected, "{body:?}");
        }
        assert_eq!(words(&[0xff; 1000]).chars().count(), 161);
    }

    #[test]
    fn long_names_are_cut_and_counted() {
        let printed = shown(&"x".repeat(4000));
        assert!(printed.len() < 100 && printed.ends_with("(4000 characters)"), "{printed}");
        assert_eq!(shown("a\u{202e}b\0"), "a\\u{202e}b\\u{0}");
        assert_eq!(shown("日本語"), "日本語");
    }

    #[test]
    fn statuses_have_kinds() {
        for (status, kind) in [
            (204, ProblemKind::Rejected),
            (400, ProblemKind::Rejected),
            (401, ProblemKind::Unauthorized),
            (403, ProblemKind::Forbidden),
            (404, ProblemKind::Gone),
            (410, ProblemKind::Gone),
            (429, ProblemKind::RateLimited),
            (500, ProblemKind::Server),
            (503, ProblemKind::Server),
        ] {
            let answer = Answer { status, content_type: None, body: b"why".to_vec() };
            assert_eq!(status_problem(&answer), AnswerProblem::new(kind, format!("status {status}: why")));
        }
    }
}
