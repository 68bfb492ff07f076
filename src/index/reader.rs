//! Opens the index for search: one consistent state, its checkpoint, and the way to a stored conversation.

use super::checkpoint::Checkpoint;
use super::error::IndexError;
use super::home;
use super::schema::Fields;
use super::writer::{documents_of, for_each_duplicate, load};
use crate::conversation::{Conversation, StoredConversation, Supplement};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tantivy::schema::Field;
use tantivy::{DocAddress, DocId, Index, Searcher};

/// Documents of one visitor that are looked through for the visit of a conversation.
const MAX_VISITS: usize = 2000;

/// One committed state of the index.
pub struct Reader {
    index: Index,
    fields: Fields,
    searcher: Searcher,
    checkpoint: Checkpoint,
    superseded: BTreeSet<DocAddress>,
    /// See `statistics.rs`: what was counted once holds as long as the reader does.
    words: Mutex<HashMap<Field, u64>>,
}

impl Reader {
    /// Opens the index of a vault (`home` is its `index/` folder).
    ///
    /// # Errors
    /// [`IndexError::Missing`] where there is none; [`IndexError::OtherVersion`] and [`IndexError::Damaged`] call for a rebuild.
    pub fn open(home: &Path) -> Result<Reader, IndexError> {
        let named = || home::current(home)?.ok_or_else(|| IndexError::Missing(home.to_owned()));
        let mut folder = named()?;
        loop {
            match Reader::open_folder(&folder) {
                Ok(reader) => return Ok(reader),
                // A rebuild may have put another generation in its place meanwhile, and removed this one.
                Err(error) => match named()? {
                    newer if newer != folder => folder = newer,
                    _ => return Err(error),
                },
            }
        }
    }

    /// A state without documents, of no folder: what a vault says in which nothing was archived yet.
    ///
    /// # Errors
    /// None that is known; the engine's own.
    pub fn of_nothing() -> Result<Reader, IndexError> {
        let (index, fields) = home::in_memory()?;
        let searcher = index.reader_builder().reload_policy(tantivy::ReloadPolicy::Manual).try_into()?.searcher();
        let (checkpoint, superseded, words) = (Checkpoint::start(), BTreeSet::new(), Mutex::default());
        Ok(Reader { index, fields, searcher, checkpoint, superseded, words })
    }

    fn open_folder(folder: &Path) -> Result<Reader, IndexError> {
        let (index, fields) = home::open_to_read(folder)?;
        let checkpoint = Checkpoint::from_payload(index.load_metas()?.payload.as_deref())?;
        let searcher = index.reader_builder().reload_policy(tantivy::ReloadPolicy::Manual).try_into()?.searcher();
        let mut superseded = BTreeSet::new();
        if !checkpoint.merged {
            // An indexing run is between its two commits, or was killed there: of each conversation that stands in
            // several documents only the latest is shown, so that no count is ever too high.
            for_each_duplicate(&searcher, &fields, |_, addresses| {
                let mut aged = Vec::new();
                for address in addresses {
                    let stored = load(&searcher, &fields, *address)?;
                    let age = stored.revisions.last().map(|revision| (revision.age_ms, revision.records.clone()));
                    aged.push((age, *address));
                }
                aged.sort();
                aged.pop();
                superseded.extend(aged.into_iter().map(|(_, address)| address));
                Ok(())
            })?;
        }
        Ok(Reader { index, fields, searcher, checkpoint, superseded, words: Mutex::default() })
    }

    /// Handles of the fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The state that is searched.
    pub fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// The index itself, for its tokenizers and schema.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What the state holds.
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Documents that a newer one replaces although they are still there; empty but for the middle of a run.
    pub fn superseded(&self) -> &BTreeSet<DocAddress> {
        &self.superseded
    }

    pub(super) fn is_superseded(&self, segment: usize, doc: DocId) -> bool {
        self.superseded.contains(&DocAddress::new(segment as u32, doc))
    }

    pub(super) fn known_words(&self, field: Field) -> Option<u64> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).get(&field).copied()
    }

    pub(super) fn remember_words(&self, field: Field, words: u64) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).insert(field, words);
    }

    /// Live conversations.
    pub fn document_count(&self) -> u64 {
        self.searcher.num_docs() - self.superseded.len() as u64
    }

    /// Archive records that the live conversations account for.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn record_count(&self) -> Result<u64, IndexError> {
        self.sum("records")
    }

    /// Of these, records whose version no check sum speaks for.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn unproven_count(&self) -> Result<u64, IndexError> {
        self.sum("unproven")
    }

    /// The sum of a counting field over the live documents.
    fn sum(&self, field: &str) -> Result<u64, IndexError> {
        let mut sum = 0;
        for segment in self.searcher.segment_readers() {
            let column = segment.fast_fields().u64(field)?.first_or_default_col(0);
            sum += segment.doc_ids_alive().map(|doc| column.get_val(doc)).sum::<u64>();
        }
        Ok(sum)
    }

    /// Whether records of it came encrypted, opened or not.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn holds_encrypted(&self) -> Result<bool, IndexError> {
        for segment in self.searcher.segment_readers() {
            if segment.inverted_index(self.fields.encrypted_in)?.terms().num_terms() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The conversation at an address.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn load(&self, address: DocAddress) -> Result<StoredConversation, IndexError> {
        load(&self.searcher, &self.fields, address)
    }

    /// Calls `each` with every live conversation, in no particular order.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn for_each(&self, each: &mut dyn FnMut(StoredConversation)) -> Result<(), IndexError> {
        for (ordinal, segment) in self.searcher.segment_readers().iter().enumerate() {
            for doc in segment.doc_ids_alive() {
                let address = DocAddress::new(ordinal as u32, doc);
                if !self.superseded.contains(&address) {
                    each(self.load(address)?);
                }
            }
        }
        Ok(())
    }

    /// Addresses of the live conversations of which `has:` would find `presence`, in no particular order.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn documents_with(&self, presence: &str) -> Result<Vec<DocAddress>, IndexError> {
        let mut addresses = documents_of(&self.searcher, self.fields.has, presence)?;
        addresses.retain(|address| !self.superseded.contains(address));
        Ok(addresses)
    }

    /// The conversations with an id, of whatever account.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn find_id(&self, id: &str) -> Result<Vec<StoredConversation>, IndexError> {
        let addresses = documents_of(&self.searcher, self.fields.id, super::document::name(id))?;
        addresses
            .iter()
            .filter(|address| !self.superseded.contains(address))
            .map(|address| self.load(*address))
            .collect()
    }

    /// Web sessions that a conversation belongs to: of its visit, or of its visitor while it lasted. At most `limit`, and
    /// no more than 2,000 visits are looked through; whether that was all of them comes with it.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn web_sessions_of(
        &self,
        c: &Conversation,
        limit: usize,
    ) -> Result<(Vec<StoredConversation>, bool), IndexError> {
        let mut addresses = BTreeSet::new();
        for (field, value) in [(self.fields.visit_id, &c.visit_id), (self.fields.visitor_id, &c.visitor_id)] {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                addresses.extend(documents_of(&self.searcher, field, super::document::name(value))?);
            }
        }
        let mut found = Vec::new();
        let mut is_all = true;
        // A visitor may have come a thousand times: the visits are looked through, and no more than a few are kept.
        let visible = addresses.into_iter().filter(|address| !self.superseded.contains(address));
        for (looked_through, address) in visible.enumerate() {
            if looked_through == MAX_VISITS {
                is_all = false;
                break;
            }
            let stored = self.load(address)?;
            let session = stored.merged();
            let is_same_visit = session.visit_id.is_some() && session.visit_id == c.visit_id;
            let overlaps =
                match (session.start_ms, session.end_ms.or(session.start_ms), c.start_ms, c.end_ms.or(c.start_ms)) {
                    (Some(from), Some(to), Some(start), Some(end)) => from <= end && start <= to,
                    _ => false,
                };
            if session.supplement == Some(Supplement::WebSession) && (is_same_visit || overlaps) {
                if found.len() == limit {
                    is_all = false;
                    break;
                }
                found.push(stored);
            }
        }
        Ok((found, is_all))
    }

    /// The conversation with a key (`<account>:<id>`, or file hash `#` ordinal).
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn find(&self, key: &str) -> Result<Option<StoredConversation>, IndexError> {
        let addresses = documents_of(&self.searcher, self.fields.key, key)?;
        addresses
            .iter()
            .rfind(|address| !self.superseded.contains(address))
            .map(|address| self.load(*address))
            .transpose()
    }
}
