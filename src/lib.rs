//! Archive every LivePerson conversation before it is deleted, prove the bytes unchanged, search them offline.
//!
//! The modules are listed in the order in which data flows through them; imports point the other way. `ARCHITECTURE.md`
//! has the table of who may import whom, and a test that holds it.

pub mod acquire;
pub mod archive;
pub mod bag;
pub mod bench;
pub mod conversation;
pub mod decode;
pub mod index;
pub mod pipeline;
pub mod search;
pub mod simulator;
