//! What an index holds already of the encrypted records of files that are read again.
//!
//! Keys come and go. A record that is read again with fewer keys than before must not take the place of what was opened then,
//! and must not stand beside it either.

use crate::conversation::Revision;
use std::collections::HashMap;

/// By file, by ordinal.
pub type Held = HashMap<String, HeldFile>;

/// The encrypted records of one file, by ordinal.
pub type HeldFile = HashMap<u64, HeldRecord>;

/// What stands in the index for one encrypted record of a file. An encrypted part may hold many conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldRecord {
    /// Conversations that it gave.
    pub conversations: u64,
    /// Whether something of it is not opened.
    pub is_closed: bool,
    /// Account and id of the conversation; the last one's where there are several.
    id: Option<(String, String)>,
}

impl HeldRecord {
    pub(super) fn note(&mut self, revision: &Revision) {
        let content = &revision.content;
        self.conversations += 1;
        self.is_closed |= content.unreadable_messages() > 0;
        self.id = content.conversation_id.clone().map(|id| (content.account_id.clone(), id));
    }

    /// Whether the index says all that `revision` says, the same record read again. One that is to go in and lacks its id, because
    /// the id came encrypted, is given the one it had.
    pub fn covers(&self, revision: &mut Revision) -> bool {
        let content = &mut revision.content;
        if !self.is_closed || content.is_stand_in() {
            return true;
        }
        if let (None, 1, Some((account, id))) = (&content.conversation_id, self.conversations, &self.id) {
            content.account_id.clone_from(account);
            content.conversation_id = Some(id.clone());
        }
        false
    }
}
