//! What the ledger is told of files that were in the index before, in an order that a run may be broken off in anywhere.
//!
//! Index and ledger cannot change in one step. What the ledger says of such a file is therefore taken back before the index changes
//! and said anew behind it. In between the file counts as one that could not be read, so that the next run, whatever keys
//! it has, reads it again and says what is so then.

use crate::archive::{Archive, ArchiveError, Contents, EncryptedFile};
use std::collections::BTreeSet;

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
            // What the keys gave in the index that is going says nothing of the one that comes.
            if let Some(row) = row.filter(|row| !row.tried.is_empty()) {
                archive.record_encrypted(&EncryptedFile { tried: BTreeSet::new(), ..row.clone() })?;
            }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{RunOptions, import};
    use super::*;
    use crate::archive::{Clock, RealDisk};
    use std::sync::Arc;

    #[test]
    fn between_the_two_a_file_counts_as_unread_and_every_key_as_untried() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(&folder.path().join("vault"), "1", Arc::new(RealDisk), Clock::System).unwrap();
        let file = folder.path().join("x.json");
        let record = r#"{"recordCollection":[{"body":{"com.liveperson.dataaccess.EngagementData":{"engagements":[{"conversationId":"c"}]}}}]}"#;
        std::fs::write(&file, record).unwrap();
        import(&archive, &[file], RunOptions::default(), &|_| {}).unwrap();
        let set = |id: &str| BTreeSet::from([id.to_owned()]);
        let waits = EncryptedFile { sequence: 1, records: 1, key_ids: set("A"), tried: set("B") };
        archive.record_encrypted(&waits).unwrap();
        let before = archive.contents_of(1).unwrap().unwrap();

        // Nothing is news: nothing is taken back.
        let note = |contents, waiting| Note { sequence: 1, path: "x".into(), contents, waiting };
        take_back(&archive, &[note(before, Waiting::For(waits.clone()))]).unwrap();
        assert_eq!(archive.contents_of(1).unwrap(), Some(before));
        assert_eq!(archive.encrypted_files().unwrap(), std::slice::from_ref(&waits));

        let after = Contents { conversations: 7, ..before };
        take_back(&archive, &[note(after, Waiting::Over)]).unwrap();
        assert_eq!(archive.unread_files().unwrap().len(), 1);
        assert_eq!(archive.contents_of(1).unwrap().unwrap().conversations, before.conversations);
        assert_eq!(archive.encrypted_files().unwrap(), [EncryptedFile { tried: BTreeSet::new(), ..waits }]);
        settle(&archive, vec![note(after, Waiting::Over)]).unwrap();
        assert_eq!(archive.contents_of(1).unwrap(), Some(after));
        assert_eq!(archive.encrypted_files().unwrap(), []);
    }
}
