//! Bags (BagIt, RFC 8493): folders of files with lists of their checksums, as archivists hand them over.
//!
//! * Takes: files and texts with their places; or a folder that claims to be a bag.
//! * Gives: a bag that appears under its name whole or not at all; or the payload of a bag that was validated as a whole.
//! * Promises: every byte is hashed on its way; nothing of a bag is given out before all of it was checked.
//! * Never: knows what the files mean, follows a link, leaves the bag's folder, fetches anything.
//! * Start reading at: [`BagWriter::create`], [`validate`], then `line.rs` for the form of a manifest.

mod checksum;
mod line;
mod read;
mod tags;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod write;

pub use line::{is_safe_to_write, list_line};
pub use read::{Invalid, Limits, PayloadFile, ValidBag, is_bag, validate};
pub use write::{BagError, BagWriter, FinishedBag, TagInfo, Written};

/// The declaration every bag opens with.
pub const BAGIT_TXT: &str = "bagit.txt";
/// The folder of the payload.
pub const DATA: &str = "data";
