//! What of a conversation came encrypted, and the marker that stands in the transcript for what no key has opened.

use super::{Conversation, Role};
use serde::{Deserialize, Serialize};

/// OpenPGP messages that stood in the records of a conversation. Counted over all its revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Keys that the messages name, each 16 upper-case hex digits, sorted. All zeros: a recipient who is not named.
    pub key_ids: Vec<String>,
    /// Messages whose clear text is in the conversation.
    pub opened: u64,
    /// Messages whose clear text is not: no key for them, a locked key, or damage.
    pub unreadable: u64,
}

impl Encryption {
    /// Adds what another part or revision had.
    pub fn add(&mut self, other: &Encryption) {
        self.opened = self.opened.saturating_add(other.opened);
        self.unreadable = self.unreadable.saturating_add(other.unreadable);
        self.key_ids.extend_from_slice(&other.key_ids);
        self.key_ids.sort();
        self.key_ids.dedup();
    }
}

/// First words of a marker.
pub(super) const OPENING: &str = "[encrypted for ";

/// What stands in a transcript for a message that is damaged.
pub const DAMAGED_MARKER: &str = "[damaged OpenPGP message]";

/// What stands in a transcript for a message that this version cannot open, whatever the key.
pub const UNSUPPORTED_MARKER: &str = "[OpenPGP message of an unsupported kind]";

/// What stands in a transcript for a message that could not be opened: `[encrypted for key 0x89ABCDEF01234567]`.
pub fn encrypted_marker(key_ids: &[String]) -> String {
    let mut named: Vec<String> =
        key_ids.iter().filter(|id| id.bytes().any(|digit| digit != b'0')).map(|id| format!("0x{id}")).collect();
    // Messages name one or two keys; more would only make a line that nobody reads.
    let more = named.len().saturating_sub(3);
    named.truncate(3);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    match named.as_slice() {
        [] => format!("{OPENING}a key that is not named]"),
        [only] => format!("{OPENING}key {only}]"),
        several => format!("{OPENING}keys {}]", several.join(", ")),
    }
}

/// Whether a text is a marker and nothing else.
pub fn is_encrypted_marker(text: &str) -> bool {
    text == DAMAGED_MARKER || text == UNSUPPORTED_MARKER || (text.starts_with(OPENING) && text.ends_with(']'))
}

impl Conversation {
    /// Messages of which this conversation shows only a marker, or nothing.
    pub fn unreadable_messages(&self) -> u64 {
        self.encrypted.as_ref().map_or(0, |encrypted| encrypted.unreadable)
    }

    /// Whether this only stands for an encrypted part of a file, of which nothing is known but its keys.
    pub fn is_stand_in(&self) -> bool {
        let is_one_marker = match self.messages.as_slice() {
            [only] => only.role == Role::System && is_encrypted_marker(&only.text),
            _ => false,
        };
        is_one_marker && self.conversation_id.is_none() && self.unreadable_messages() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_name_keys_and_are_known_again() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let zeros = "0".repeat(16);
        assert_eq!(encrypted_marker(&ids(&["89ABCDEF01234567"])), "[encrypted for key 0x89ABCDEF01234567]");
        assert_eq!(encrypted_marker(&ids(&["A", "B"])), "[encrypted for keys 0xA, 0xB]");
        assert_eq!(encrypted_marker(&ids(&["A", "B", "C", "D", "E"])), "[encrypted for keys 0xA, 0xB, 0xC, 2 more]");
        assert_eq!(encrypted_marker(&ids(&[&zeros])), "[encrypted for a key that is not named]");
        for text in [encrypted_marker(&ids(&["A"])), DAMAGED_MARKER.to_owned(), UNSUPPORTED_MARKER.to_owned()] {
            assert!(is_encrypted_marker(&text));
        }
        assert!(!is_encrypted_marker("is it [encrypted for key 0xA]"));
    }
}
