//! What the ledger is told of files that were in the index before, in an order that a run may be broken off in anywhere.
//!
//! Index and ledger cannot change in one step. What the ledger says of such a file is therefore taken back before the index changes
//! and said anew behind it. In between the file counts as one that could not be read, so that the next run, whatever keys
//! it has, reads it again and says what is so then.

use crate::archive::{Archive, ArchiveError, Contents, EncryptedFile};

/// What is to be told of one file.
pub(super) struct Note {
    pub(super) sequence: u64,
    /// Inside the vault.
    pub(super) path: String,
    pub(super) contents: Contents,
    pub(super) waiting: Waiting,
}

/// What becomes of a file's row among those that wait for keys.
pub(super) enum Waiting {
    /// As it was: the file could not be read.
    Unchanged,
    /// It waits no longer, if it did.
    Over,
    /// It waits for these.
    For(EncryptedFile),
}

/// Tells the ledger of a file that it has not told of yet.
pub(super) fn tell(archive: &Archive, note: &Note) -> Result<(), ArchiveError> {
    match &note.waiting {
        Waiting::Unchanged => {}
        Waiting::Over => archive.forget_encrypted(&[note.sequence])?,
        Waiting::For(file) => archive.record_encrypted(file)?,
    }
    archive.record_contents(note.sequence, &note.contents)
}

/// Takes back what the ledger says otherwise. Before the index changes.
pub(super) fn take_back(archive: &Archive, notes: &[Note]) -> Result<(), ArchiveError> {
    let waiting = archive.encrypted_files()?;
    for note in notes {
        let known = archive.contents_of(note.sequence)?;
        let row = waiting.binary_search_by_key(&note.sequence, |file| file.sequence).ok().map(|at| &waiting[at]);
        let is_same_row = match (&note.waiting, row) {
            (Waiting::Unchanged, _) | (Waiting::Over, None) => true,
            (Waiting::For(file), Some(row)) => (file.records, &file.key_ids) == (row.records, &row.key_ids),
            _ => false,
        };
        if known != Some(note.contents) || !is_same_row {
            let conversations = known.map_or(0, |known| known.conversations);
            let problems = known.map_or(0, |known| known.problems).max(1);
            archive.record_contents(note.sequence, &Contents { records: 0, conversations, problems })?;
        }
    }
    Ok(())
}

/// Says it anew. Behind the commit, or behind the swap of a rebuilt index.
pub(super) fn settle(archive: &Archive, notes: Vec<Note>) -> Result<(), ArchiveError> {
    let waiting = archive.encrypted_files()?;
    let row = |sequence| waiting.binary_search_by_key(&sequence, |file| file.sequence).ok().map(|at| &waiting[at]);
    let over = |note: &&Note| matches!(note.waiting, Waiting::Over) && row(note.sequence).is_some();
    let over: Vec<u64> = notes.iter().filter(over).map(|note| note.sequence).collect();
    if !over.is_empty() {
        archive.forget_encrypted(&over)?;
    }
    for note in notes {
        if let Waiting::For(file) = &note.waiting
            && row(note.sequence) != Some(file)
        {
            archive.record_encrypted(file)?;
        }
        // Last: until then the file counts as unread.
        if archive.contents_of(note.sequence)? != Some(note.contents) {
            archive.record_contents(note.sequence, &note.contents)?;
        }
    }
    Ok(())
}
