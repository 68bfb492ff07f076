//! Published files → index, on all cores, in rounds.
//!
//! A round ends with a commit whose checkpoint says "everything up to this file". Files may arrive in any order; the
//! checkpoint only ever moves over files that are in, and what is missing behind it is caught up from the ledger.

use super::{RunError, Step, Watcher, index_home};
use crate::archive::{Archive, ArchivedFile, Contents, Damage};
use crate::decode::{DecodeLimits, FileContext, FileReport, ProblemKind, Problems, Salvaged, decode_file};
use crate::index::{IndexError, Writer, WriterOptions};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::PoisonError;

/// Bounds of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Of the index writer.
    pub writer: WriterOptions,
    /// Of decoding.
    pub decode: DecodeLimits,
    /// Threads that read and decode files.
    pub decoders: usize,
    /// Bytes of archive files after which a long run commits, so that a crash does not cost all of it.
    pub round_bytes: u64,
}

impl Default for RunOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(16));
        RunOptions {
            writer: WriterOptions::default(),
            decode: DecodeLimits::default(),
            decoders: cores,
            // About 6 GB of JSON: commits are rare enough to cost nothing, and half a minute of work at most is lost.
            round_bytes: 1 << 30,
        }
    }
}

/// Problems of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileProblems {
    /// Path inside the vault.
    pub file: String,
    /// What went wrong in it.
    #[serde(flatten)]
    pub problems: Problems,
}

/// What the files of one stream held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamCounts {
    /// Top-level values.
    pub records: u64,
    /// Conversation records.
    pub conversations: u64,
}

/// What salvage files held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SalvageCounts {
    /// Salvage files, one for each damaged file.
    pub files: u64,
    /// Conversation records in them.
    pub records: u64,
}

/// What went into the index.
#[derive(Clone, Debug, Default, Serialize)]
pub struct IndexReport {
    /// Files read.
    pub files: u64,
    /// Top-level values in them.
    pub records: u64,
    /// Conversation records in them.
    pub conversations: u64,
    /// Bytes of JSON after unpacking.
    pub json_bytes: u64,
    /// Of those, what salvage files held: `records` counts conversations, `files` damaged files.
    pub salvaged: SalvageCounts,
    /// The same, by stream.
    pub streams: BTreeMap<String, StreamCounts>,
    /// Problems of all files, counted.
    pub problems: Problems,
    /// The first files that had any, with located examples.
    pub files_with_problems: Vec<FileProblems>,
}

/// Files whose problems are kept one by one in a report.
const MAX_FILES_WITH_PROBLEMS: usize = 100;

impl IndexReport {
    /// Records and files that could not be read.
    pub fn failures(&self) -> u64 {
        self.problems.failures()
    }
}

/// One run of the indexer.
pub(super) struct IndexRun<'r> {
    archive: &'r Archive,
    writer: Writer,
    options: RunOptions,
    watcher: Watcher<'r>,
    /// Sequences indexed since the last commit or beyond its checkpoint.
    done: HashSet<u64>,
    uncommitted: bool,
    report: IndexReport,
}

/// What decoding one file gave.
pub(super) struct Decoded {
    file: ArchivedFile,
    report: FileReport,
}

impl<'r> IndexRun<'r> {
    pub(super) fn start(archive: &'r Archive, options: RunOptions, watcher: Watcher<'r>) -> Result<Self, RunError> {
        let home = index_home(archive.root());
        let writer = match Writer::open(&home, options.writer) {
            // An index that is damaged or of another version holds nothing that the archive does not: a new one takes its place.
            Err(IndexError::Damaged(_) | IndexError::OtherVersion { .. }) => Writer::rebuild(&home, options.writer)?,
            opened => opened?,
        };
        Ok(IndexRun::with_writer(archive, writer, options, watcher))
    }

    pub(super) fn with_writer(archive: &'r Archive, writer: Writer, options: RunOptions, watcher: Watcher<'r>) -> Self {
        let (done, report) = (HashSet::new(), IndexReport::default());
        IndexRun { archive, writer, options, watcher, done, uncommitted: false, report }
    }

    /// Indexes every published file that is not in yet, and commits.
    pub(super) fn catch_up(&mut self) -> Result<(), RunError> {
        let mut missing = self.archive.files_after(self.writer.sequence())?;
        missing.retain(|file| !self.done.contains(&file.sequence));
        if missing.is_empty() && !self.uncommitted {
            return Ok(());
        }
        let bytes = missing.iter().map(|file| file.size_bytes).sum();
        (self.watcher)(Step::Ahead { files: missing.len() as u64, bytes });
        self.index_stream(missing.into_iter())?;
        self.commit()
    }

    /// Indexes files as they come, on all cores. A long stream is committed in rounds.
    pub(super) fn index_stream(&mut self, mut files: impl Iterator<Item = ArchivedFile>) -> Result<(), RunError> {
        loop {
            let mut round_bytes = 0;
            let mut ended = true;
            let round = std::iter::from_fn(|| {
                if round_bytes >= self.options.round_bytes {
                    ended = false;
                    return None;
                }
                let file = files.next()?;
                round_bytes += file.size_bytes;
                Some(file)
            });
            let decoded = index_round(self.archive, &self.writer, self.options, self.watcher, round)?;
            self.absorb(decoded)?;
            if ended {
                return Ok(());
            }
            self.commit()?;
        }
    }

    /// Decodes one file that was just published, on the calling thread. Pair with [`IndexRun::absorb`].
    pub(super) fn index_one(&self, file: ArchivedFile) -> Result<Decoded, RunError> {
        index_file(self.archive, &self.writer, self.options, self.watcher, file)
    }

    /// Takes note of files that [`IndexRun::index_one`] has put in.
    pub(super) fn absorb(&mut self, files: Vec<Decoded>) -> Result<(), RunError> {
        self.uncommitted |= !files.is_empty();
        files.into_iter().try_for_each(|file| self.note(file))
    }

    fn note(&mut self, decoded: Decoded) -> Result<(), RunError> {
        let Decoded { file, report } = decoded;
        let contents = Contents {
            records: report.records,
            conversations: report.conversations,
            problems: report.problems.failures(),
        };
        // What a file held before it was damaged stays what it should hold: counted against the index, it shows the loss.
        let is_damaged = [ProblemKind::Unreadable, ProblemKind::DamagedContainer]
            .iter()
            .any(|kind| report.problems.counts.contains_key(kind));
        let known = if is_damaged { self.archive.contents_of(file.sequence)? } else { None };
        let contents = known
            .filter(|known| known.conversations >= contents.conversations)
            .map_or(contents, |known| Contents { problems: contents.problems, ..known });
        // Before the commit: a count without documents shows as "index behind", documents without a count as nothing.
        self.archive.record_contents(file.sequence, &contents)?;
        self.done.insert(file.sequence);
        self.report.files += 1;
        self.report.records += report.records;
        self.report.conversations += report.conversations;
        self.report.json_bytes += report.json_bytes;
        if file.provenance.salvage.is_some() {
            self.report.salvaged.files += 1;
            self.report.salvaged.records += report.conversations;
        }
        let stream = self.report.streams.entry(file.stream).or_default();
        stream.records += report.records;
        stream.conversations += report.conversations;
        self.report.problems.add_counts(&report.problems);
        if report.problems.total() > 0 && self.report.files_with_problems.len() < MAX_FILES_WITH_PROBLEMS {
            self.report.files_with_problems.push(FileProblems { file: file.path, problems: report.problems });
        }
        Ok(())
    }

    /// Bytes of archive files after which to commit.
    pub(super) fn round_bytes(&self) -> u64 {
        self.options.round_bytes
    }

    /// Makes everything indexed so far visible; a round that brought nothing costs nothing.
    pub(super) fn commit(&mut self) -> Result<(), RunError> {
        if !self.uncommitted {
            return Ok(());
        }
        (self.watcher)(Step::Committing);
        // The checkpoint moves over files that are in, and stops before the first that is not.
        let mut sequence = self.writer.sequence();
        while self.done.remove(&(sequence + 1)) {
            sequence += 1;
        }
        self.writer.commit(sequence)?;
        self.uncommitted = false;
        Ok(())
    }

    /// Ends the run; everything must be committed.
    pub(super) fn finish(mut self) -> Result<IndexReport, IndexError> {
        self.writer.finish()?;
        self.report.files_with_problems.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(self.report)
    }
}

/// Decodes the files on several threads; each feeds the writer, which blocks when its own threads are busy.
fn index_round(
    archive: &Archive,
    writer: &Writer,
    options: RunOptions,
    watcher: Watcher<'_>,
    files: impl Iterator<Item = ArchivedFile>,
) -> Result<Vec<Decoded>, RunError> {
    let (give, take) = crossbeam_channel::bounded::<ArchivedFile>(options.decoders);
    let finished = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.decoders.max(1))
            .map(|_| {
                let (take, finished) = (take.clone(), &finished);
                scope.spawn(move || -> Result<(), RunError> {
                    for file in take {
                        let decoded = index_file(archive, writer, options, watcher, file)?;
                        finished.lock().unwrap_or_else(PoisonError::into_inner).push(decoded);
                    }
                    Ok(())
                })
            })
            .collect();
        drop(take);
        for file in files {
            // All workers gone: they have failed, and say why below.
            if give.send(file).is_err() {
                break;
            }
        }
        drop(give);
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let mut finished = finished.into_inner().unwrap_or_else(PoisonError::into_inner);
    finished.sort_by_key(|decoded| decoded.file.sequence);
    Ok(finished)
}

fn index_file(
    archive: &Archive,
    writer: &Writer,
    options: RunOptions,
    watcher: Watcher<'_>,
    file: ArchivedFile,
) -> Result<Decoded, RunError> {
    let context = FileContext {
        path: file.path.clone(),
        sha256: file.sha256.to_string(),
        window_start_ms: file.window.map(|window| window.start_ms),
        account_id: archive.account_id().to_owned(),
        salvaged: file.provenance.salvage.as_ref().map(|salvage| Salvaged {
            proven_bytes: salvage.proven_bytes,
            is_corrupt: salvage.damage == Damage::Corrupt,
        }),
    };
    let mut failed = None;
    let mut sink = |revision| match writer.add(revision) {
        Ok(()) => true,
        Err(error) => {
            failed = Some(error);
            false
        }
    };
    let opened = archive.open_file(&file).map_err(|error| error.to_string());
    let decoded = opened
        .and_then(|bytes| decode_file(bytes, &context, options.decode, &mut sink).map_err(|error| error.to_string()));
    // A file that is gone stops no other; it is named, and `verify` and `repair` deal with it.
    let report = decoded.unwrap_or_else(|reason| {
        let mut report = FileReport::default();
        report.problems.add(ProblemKind::Unreadable, 0, 0, reason);
        report
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    watcher(Step::Indexed { bytes: file.size_bytes, conversations: report.conversations });
    Ok(Decoded { file, report })
}
