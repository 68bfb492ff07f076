//! Raw tantivy on documents that lie ready in memory: the other half of the floor.
//!
//! One single-segment writer per thread: no queue, no commit, no merge, no look-up; what the library cannot do without. A segment
//! is closed where an ordinary writer of the same memory would close it. Schema and store settings are the product's own.

use super::error::BenchError;
use super::machine::Stopwatch;
use crate::index::schema::schema;
use crate::index::tokenizer::{ChatTokenizer, TOKENIZER};
use crate::index::{WriterOptions, index_settings};
use std::fs;
use std::path::{Path, PathBuf};
use tantivy::directory::MmapDirectory;
use tantivy::indexer::SingleSegmentIndexWriter;
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};
use tantivy::{Index, TantivyDocument};

/// Memory that an ordinary writer keeps free in its last block before it closes a segment.
const MARGIN_BYTES: usize = 1 << 20;

/// What cuts the texts into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// The product's tokenizer.
    Ours,
    /// Tantivy's own: split at what is no letter or digit, lower case. It finds less.
    Default,
}

/// An index that only ever grows, in a scratch folder.
pub(super) struct RawIndex {
    folder: PathBuf,
    tokenizers: TokenizerManager,
    /// Of one thread, bytes.
    memory_bytes: usize,
    lanes: Vec<Option<SingleSegmentIndexWriter>>,
}

impl RawIndex {
    /// A new one in a folder that does not exist yet.
    pub(super) fn create(folder: &Path, threads: usize, words: Words) -> Result<RawIndex, BenchError> {
        let tokenizers = TokenizerManager::default();
        let analyzer = match words {
            Words::Ours => TextAnalyzer::from(ChatTokenizer::default()),
            Words::Default => tokenizers.get("default").unwrap_or_default(),
        };
        tokenizers.register(TOKENIZER, analyzer);
        let usual = WriterOptions::default();
        fs::create_dir_all(folder).map_err(BenchError::file(folder))?;
        Ok(RawIndex {
            folder: folder.to_owned(),
            tokenizers,
            memory_bytes: usual.memory_bytes / usual.threads.max(1),
            lanes: (0..threads.max(1)).map(|_| None).collect(),
        })
    }

    /// Adds documents, each part on a thread of its own, and measures it.
    pub(super) fn add(&mut self, parts: Vec<Vec<TantivyDocument>>, watch: &mut Stopwatch) -> Result<(), BenchError> {
        let (folder, tokenizers, memory_bytes) = (&self.folder, &self.tokenizers, self.memory_bytes);
        watch.time(|| {
            std::thread::scope(|scope| {
                let workers: Vec<_> = self
                    .lanes
                    .iter_mut()
                    .zip(parts)
                    .enumerate()
                    .map(|(number, (lane, part))| {
                        scope.spawn(move || -> Result<(), BenchError> {
                            for document in part {
                                let mut writer = match lane.take() {
                                    Some(writer) => writer,
                                    None => segment(folder, number, tokenizers, memory_bytes)?,
                                };
                                writer.add_document(document)?;
                                if writer.mem_usage() + MARGIN_BYTES < memory_bytes {
                                    *lane = Some(writer);
                                } else {
                                    writer.finalize()?;
                                }
                            }
                            Ok(())
                        })
                    })
                    .collect();
                join_all(workers)
            })
        })
    }

    /// Closes the last segments, measured as well, and removes everything, unmeasured.
    pub(super) fn finish(mut self, watch: &mut Stopwatch) -> Result<(), BenchError> {
        watch.time(|| {
            std::thread::scope(|scope| {
                let lanes = self.lanes.iter_mut().filter_map(Option::take);
                let workers: Vec<_> = lanes
                    .map(|writer| scope.spawn(move || -> Result<(), BenchError> { Ok(writer.finalize().map(drop)?) }))
                    .collect();
                join_all(workers)
            })
        })?;
        fs::remove_dir_all(&self.folder).map_err(BenchError::file(&self.folder))
    }
}

fn join_all(workers: Vec<std::thread::ScopedJoinHandle<'_, Result<(), BenchError>>>) -> Result<(), BenchError> {
    workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// A writer of one segment, in a folder of its own.
fn segment(
    folder: &Path,
    lane: usize,
    tokenizers: &TokenizerManager,
    memory_bytes: usize,
) -> Result<SingleSegmentIndexWriter, BenchError> {
    let place = tempfile::Builder::new().prefix(&format!("{lane}-")).tempdir_in(folder);
    let place = place.map_err(BenchError::file(folder))?.keep();
    let directory = MmapDirectory::open(&place).map_err(tantivy::TantivyError::from)?;
    let (schema, _) = schema();
    let builder = Index::builder().schema(schema).settings(index_settings()).tokenizers(tokenizers.clone());
    Ok(builder.single_segment_index_writer(directory, memory_bytes)?)
}
