//! Puts conversations into the index, and merges those that came in several records.
//!
//! A round adds documents without ever asking whether a conversation is known: a first load must not pay for look-ups
//! of keys that cannot exist. At its end the keys that stand in more than one document are found in the term
//! dictionary, their revisions are merged, and one document replaces them. A crash in between leaves a checkpoint
//! that says so, and the next round finishes the work; indexing the same file again changes nothing.

use super::checkpoint::Checkpoint;
use super::directory::FirstFailure;
use super::document::{document, stored_conversation};
use super::error::IndexError;
use super::held::Held;
use super::home;
use super::schema::Fields;
use crate::archive::Disk;
use crate::conversation::{Revision, StoredConversation};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tantivy::indexer::NoMergePolicy;
use tantivy::merge_policy::{LogMergePolicy, MergePolicy};
use tantivy::schema::{Field, IndexRecordOption, Value};
use tantivy::termdict::TermMerger;
use tantivy::{DocAddress, DocSet, Index, IndexWriter, Searcher, SegmentReader, TERMINATED, TantivyDocument, Term};

/// Bounds of a writer.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Memory of all indexing threads together, bytes.
    pub memory_bytes: usize,
    /// Indexing threads.
    pub threads: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8));
        // Measured: 64 to 128 MB a thread is enough; more only costs memory.
        WriterOptions { memory_bytes: threads * (96 << 20), threads }
    }
}

/// New keys remembered between commits; beyond this the whole dictionary is asked, which is then cheaper.
const REMEMBERED_KEYS: usize = 20_000;

/// Segments after which a finished run merges some.
const MAX_SEGMENTS: usize = 12;

/// Where an index lies, and whether searches already use it.
struct Place {
    home: PathBuf,
    folder: PathBuf,
    in_use: bool,
    disk: Arc<dyn Disk>,
}

/// The single writer of an index.
pub struct Writer {
    place: Place,
    index: Index,
    fields: Fields,
    failure: FirstFailure,
    writer: IndexWriter,
    checkpoint: Checkpoint,
    /// Keys added since the last commit; `None` once there are too many.
    new_keys: Mutex<Option<BTreeSet<String>>>,
}

impl Writer {
    /// Opens the index at `home` (the vault's `index/` folder), creating it where there is none.
    ///
    /// # Errors
    /// [`IndexError::OtherVersion`] and [`IndexError::Damaged`] call for [`Writer::rebuild`].
    pub fn open(home: &Path, disk: Arc<dyn Disk>, options: WriterOptions) -> Result<Writer, IndexError> {
        if let Some(folder) = home::current(home)? {
            home::remove_others(home, &folder, disk.as_ref());
            let opened = home::open(&folder, Arc::clone(&disk))?;
            let checkpoint = Checkpoint::from_payload(opened.0.load_metas()?.payload.as_deref())?;
            return Writer::start(
                Place { home: home.to_owned(), folder, in_use: true, disk },
                opened,
                checkpoint,
                options,
            );
        }
        let folder = home::new_generation(home, disk.as_ref())?;
        let opened = home::create(&folder, Arc::clone(&disk))?;
        home::switch_to(home, &folder, disk.as_ref())?;
        let place = Place { home: home.to_owned(), folder, in_use: true, disk };
        Writer::start(place, opened, Checkpoint::start(), options)
    }

    /// Starts a new, empty index aside; [`Writer::finish`] puts it in the place of the old one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn rebuild(home: &Path, disk: Arc<dyn Disk>, options: WriterOptions) -> Result<Writer, IndexError> {
        let folder = home::new_generation(home, disk.as_ref())?;
        let opened = home::create(&folder, Arc::clone(&disk))?;
        let place = Place { home: home.to_owned(), folder, in_use: false, disk };
        Writer::start(place, opened, Checkpoint::start(), options)
    }

    fn start(
        place: Place,
        (index, fields, failure): (Index, Fields, FirstFailure),
        checkpoint: Checkpoint,
        options: WriterOptions,
    ) -> Result<Writer, IndexError> {
        // Tantivy wants at least 15 MB a thread.
        let threads = options.threads.clamp(1, (options.memory_bytes / (16 << 20)).max(1));
        let writer = index.writer_with_num_threads(threads, options.memory_bytes.max(16 << 20))?;
        // Merges during a load halve its throughput (measured); `finish` merges what is worth it.
        writer.set_merge_policy(Box::new(NoMergePolicy));
        let new_keys = Mutex::new(Some(BTreeSet::new()));
        Ok(Writer { place, index, fields, failure, writer, checkpoint, new_keys })
    }

    /// Last archive file that is in the index.
    pub fn sequence(&self) -> u64 {
        self.checkpoint.sequence
    }

    /// Whether searches use it; a rebuilt one is not in use before [`Writer::finish`].
    pub fn is_in_use(&self) -> bool {
        self.place.in_use
    }

    /// Adds one record. May be called from several threads; blocks while the indexing threads are busy.
    ///
    /// # Errors
    /// When an indexing thread has died, which a full disk brings about.
    pub fn add(&self, revision: Revision) -> Result<(), IndexError> {
        let stored = StoredConversation { revisions: vec![revision] };
        let mut new_keys = self.new_keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(keys) = new_keys.as_mut() {
            keys.insert(stored.key());
            if keys.len() > REMEMBERED_KEYS {
                *new_keys = None;
            }
        }
        drop(new_keys);
        self.writer.add_document(document(&self.fields, &stored)).map_err(|error| self.explained(error))?;
        Ok(())
    }

    /// What is there of the encrypted records of `files`, which are about to be added again, read with other keys. Takes out what
    /// only stands for records that are closed, or has no id because that is: their keys may be others when they are
    /// added again. All else stays, so that what was opened once stays open. Seen only with the next commit, as all
    /// that is added meanwhile.
    ///
    /// # Errors
    /// When the index is damaged or the disk refuses.
    pub fn hold(&self, files: &HashSet<&str>) -> Result<Held, IndexError> {
        let reader = self.index.reader_builder().reload_policy(tantivy::ReloadPolicy::Manual).try_into()?;
        let searcher = reader.searcher();
        let mut keys = BTreeSet::new();
        for file in files {
            for address in documents_of(&searcher, self.fields.encrypted_in, super::document::name(file))? {
                keys.insert(load(&searcher, &self.fields, address)?.key());
            }
        }
        let mut held = Held::new();
        for key in keys {
            let name = super::document::name(&key);
            // All of them: a run that was broken off may have left more than one.
            let mut revisions = Vec::new();
            for address in documents_of(&searcher, self.fields.key, name)? {
                revisions.extend(load(&searcher, &self.fields, address)?.revisions);
            }
            let mut left = StoredConversation::from_revisions(revisions).revisions;
            let mut is_less = false;
            for revision in &mut left {
                if revision.content.conversation_id.is_none() && revision.content.unreadable_messages() > 0 {
                    let before = revision.records.len();
                    revision.records.retain(|record| !files.contains(record.file.as_str()));
                    is_less |= revision.records.len() < before;
                } else if revision.content.encrypted.is_some() {
                    for record in revision.records.iter().filter(|record| files.contains(record.file.as_str())) {
                        held.entry(record.file.clone()).or_default().entry(record.record).or_default().note(revision);
                    }
                }
            }
            if !is_less {
                continue;
            }
            left.retain(|revision| !revision.records.is_empty());
            self.writer.delete_term(Term::from_field_text(self.fields.key, name));
            if !left.is_empty() {
                let stored = StoredConversation::from_revisions(left);
                self.writer.add_document(document(&self.fields, &stored)).map_err(|error| self.explained(error))?;
            }
        }
        Ok(held)
    }

    /// Records of a file of which something is closed in the last commit, and the keys that their messages name.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn closed_records(&self, file: &str) -> Result<(u64, BTreeSet<String>), IndexError> {
        let reader = self.index.reader_builder().reload_policy(tantivy::ReloadPolicy::Manual).try_into()?;
        let searcher: Searcher = reader.searcher();
        let (mut ordinals, mut key_ids) = (BTreeSet::new(), BTreeSet::new());
        for address in documents_of(&searcher, self.fields.encrypted_in, super::document::name(file))? {
            for revision in load(&searcher, &self.fields, address)?.revisions {
                let closed = revision.content.encrypted.filter(|found| found.unreadable > 0);
                let mut here = revision.records.iter().filter(|record| record.file == file).peekable();
                if let (Some(found), true) = (closed, here.peek().is_some()) {
                    ordinals.extend(here.map(|record| record.record));
                    key_ids.extend(found.key_ids);
                }
            }
        }
        Ok((ordinals.len() as u64, key_ids))
    }

    /// Tantivy says of a worker thread only that it died; the folder knows which write failed.
    fn explained(&self, error: tantivy::TantivyError) -> IndexError {
        self.failure.error().map_or_else(|| error.into(), IndexError::Io)
    }

    /// Makes everything added so far visible, as the state after archive file `sequence`.
    ///
    /// # Errors
    /// When the disk refuses; the index is then as it was after the commit before.
    pub fn commit(&mut self, sequence: u64) -> Result<(), IndexError> {
        let unmerged = Checkpoint { merged: false, ..self.checkpoint };
        self.write_commit(unmerged)?;
        self.merge_revisions()?;
        self.checkpoint = Checkpoint { sequence, merged: true, ..self.checkpoint };
        self.write_commit(self.checkpoint)
    }

    fn write_commit(&mut self, checkpoint: Checkpoint) -> Result<(), IndexError> {
        let committed = self.writer.prepare_commit().and_then(|mut commit| {
            commit.set_payload(&checkpoint.to_payload());
            commit.commit()
        });
        committed.map(drop).map_err(|error| self.explained(error))
    }

    /// Replaces the documents of each conversation that has more than one by their merge.
    fn merge_revisions(&mut self) -> Result<(), IndexError> {
        let new_keys = {
            let mut slot = self.new_keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            slot.replace(BTreeSet::new())
        };
        let reader = self.index.reader_builder().reload_policy(tantivy::ReloadPolicy::Manual).try_into()?;
        let searcher = reader.searcher();
        let merge = |key: &str, addresses: &[DocAddress]| -> Result<(), IndexError> {
            let mut revisions = Vec::new();
            for address in addresses {
                revisions.extend(load(&searcher, &self.fields, *address)?.revisions);
            }
            let stored = StoredConversation::from_revisions(revisions);
            self.writer.delete_term(Term::from_field_text(self.fields.key, key));
            self.writer.add_document(document(&self.fields, &stored))?;
            Ok(())
        };
        match new_keys.filter(|_| self.checkpoint.merged) {
            Some(keys) => {
                for key in keys {
                    let key = super::document::name(&key);
                    let addresses = documents_of(&searcher, self.fields.key, key)?;
                    if addresses.len() > 1 {
                        merge(key, &addresses)?;
                    }
                }
                Ok(())
            }
            None => for_each_duplicate(&searcher, &self.fields, merge),
        }
    }

    /// Ends the run: merges segments where there are many, and puts a rebuilt index into use.
    ///
    /// # Errors
    /// When the disk refuses. A rebuilt index is then not put into use.
    pub fn finish(mut self) -> Result<(), IndexError> {
        self.merge_segments()?;
        self.writer.garbage_collect_files().wait()?;
        self.writer.wait_merging_threads()?;
        if !self.place.in_use {
            home::switch_to(&self.place.home, &self.place.folder, self.place.disk.as_ref())?;
        }
        Ok(())
    }

    fn merge_segments(&mut self) -> Result<(), IndexError> {
        let mut policy = LogMergePolicy::default();
        policy.set_min_num_segments(MAX_SEGMENTS / 2);
        policy.set_del_docs_ratio_before_merge(0.2);
        loop {
            let segments = self.index.searchable_segment_metas()?;
            if segments.len() <= MAX_SEGMENTS {
                return Ok(());
            }
            let candidates = policy.compute_merge_candidates(&segments);
            if candidates.is_empty() {
                return Ok(());
            }
            for candidate in candidates {
                self.writer.merge(&candidate.0).wait()?;
            }
        }
    }
}

/// Reads the stored value of a document.
pub(super) fn load(
    searcher: &Searcher,
    fields: &Fields,
    address: DocAddress,
) -> Result<StoredConversation, IndexError> {
    let document: TantivyDocument = searcher.doc(address)?;
    let bytes = document.get_first(fields.stored).and_then(|value| value.as_bytes()).unwrap_or_default();
    stored_conversation(bytes).map_err(|error| IndexError::Damaged(format!("a stored conversation: {error}")))
}

/// The live documents that have a name in a field.
pub(super) fn documents_of(searcher: &Searcher, field: Field, name: &str) -> Result<Vec<DocAddress>, IndexError> {
    let term = Term::from_field_text(field, name);
    let mut found = Vec::new();
    for (ordinal, segment) in searcher.segment_readers().iter().enumerate() {
        let inverted = segment.inverted_index(field)?;
        if let Some(info) = inverted.get_term_info(&term)? {
            add_live(segment, ordinal, &inverted, &info, &mut found)?;
        }
    }
    Ok(found)
}

fn add_live(
    segment: &SegmentReader,
    ordinal: usize,
    inverted: &tantivy::InvertedIndexReader,
    info: &tantivy::postings::TermInfo,
    found: &mut Vec<DocAddress>,
) -> Result<(), IndexError> {
    let mut postings = inverted.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
    while postings.doc() != TERMINATED {
        if segment.alive_bitset().is_none_or(|alive| alive.is_alive(postings.doc())) {
            found.push(DocAddress::new(ordinal as u32, postings.doc()));
        }
        postings.advance();
    }
    Ok(())
}

/// Walks the keys of all segments side by side and calls `each` for those with more than one live document.
pub(super) fn for_each_duplicate(
    searcher: &Searcher,
    fields: &Fields,
    mut each: impl FnMut(&str, &[DocAddress]) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let segments = searcher.segment_readers();
    let inverted: Vec<_> =
        segments.iter().map(|segment| segment.inverted_index(fields.key)).collect::<Result<_, _>>()?;
    let streams = inverted.iter().map(|index| index.terms().stream()).collect::<Result<_, _>>()?;
    let mut keys = TermMerger::new(streams);
    let mut addresses = Vec::new();
    while keys.advance() {
        let occurrences: Vec<_> = keys.current_segment_ords_and_term_infos().collect();
        if let [(_, only)] = occurrences.as_slice()
            && only.doc_freq == 1
        {
            continue;
        }
        addresses.clear();
        for (ordinal, info) in &occurrences {
            add_live(&segments[*ordinal], *ordinal, &inverted[*ordinal], info, &mut addresses)?;
        }
        if addresses.len() > 1 {
            each(&String::from_utf8_lossy(keys.key()), &addresses)?;
        }
    }
    Ok(())
}
