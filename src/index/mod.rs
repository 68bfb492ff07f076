//! Conversations → a tantivy index that can be deleted and rebuilt from the archive.
//!
//! * Takes: revisions from decode, and the archive's sequence numbers.
//! * Gives: a [`Reader`] over one committed state; [`Writer`] to bring it up to the archive.
//! * Promises: one document per conversation and key; documents and checkpoint become visible together; no word is dropped.
//! * Never: is the only place where something is known.
//! * Start reading at: `schema.rs`, then [`Writer`].

mod attributes;
mod checkpoint;
mod directory;
mod document;
mod error;
mod fold;
mod held;
mod home;
mod pieces;
mod reader;
pub mod schema;
mod statistics;
pub mod tokenizer;
mod writer;

pub use attributes::{PATH_END, number_key};
pub use checkpoint::Checkpoint;
pub use document::{
    consumers, document, intents, kind_name, name, presences, status_name, stored_conversation, type_name,
};
pub use error::IndexError;
pub use held::{Held, HeldFile, HeldRecord};
pub use home::index_settings;
pub use reader::Reader;
pub use writer::{Writer, WriterOptions};
