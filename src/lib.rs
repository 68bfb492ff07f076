//! Archive every LivePerson conversation before it is deleted, prove the bytes unchanged, search them offline.
//!
//! The modules are listed in the order in which data flows through them; imports point the other way. `ARCHITECTURE.md`
//! has the table of who may import whom, and a test that holds it.

/// The one model: conversation, message, transfer, revision merge. Everything right of the archive speaks it.
pub mod conversation;

/// Raw bytes → conversations.
pub mod decode;

/// Conversations → a searchable index that can be rebuilt at any time.
pub mod index;

/// A simulated LivePerson account over loopback HTTP: an independent witness for tests and demos.
pub mod simulator;
/// a
pub mod archive;
/// b
pub mod acquire;
/// c
pub mod search;
/// d
pub mod pipeline;
