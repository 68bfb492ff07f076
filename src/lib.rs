//! Archive every LivePerson conversation before it is deleted, prove the bytes unchanged, search them offline.
//!
//! The modules are listed in the order in which data flows through them; imports point the other way.

/// The one model: conversation, message, transfer, revision merge.
pub mod conversation;

/// Raw bytes → conversations.
pub mod decode;

/// Conversations → a searchable index that can be rebuilt at any time.
pub mod index;
