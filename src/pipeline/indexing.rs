//! Published files → index, on all cores, in rounds.
//!
//! A round ends with a commit whose checkpoint says "everything up to this file". Files may arrive in any order; the
//! checkpoint only ever moves over files that are in, and what is missing behind it is caught up from the ledger.

use super::{RunError, Step, Watcher, index_home};
use crate::archive::{Archive, ArchivedFile, Contents, Damage, EncryptedFile};
use crate::decode::{
    ANONYMOUS, DecodeLimits, FileContext, FileReport, Keyring, ProblemKind, Problems, Salvaged, decode_with_keys,
};
use crate::index::{IndexError, Writer, WriterOptions};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Bounds of a run, and the keys it has.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Of the index writer.
    pub writer: WriterOptions,
    /// Of decoding.
    pub decode: DecodeLimits,
    /// Private keys for what came encrypted.
    pub keys: Arc<Keyring>,
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
            keys: Arc::new(Keyring::empty()),
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
    /// What the files of this run hold that no key at hand opens.
    pub encrypted: EncryptedCounts,
}

/// Records that wait for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EncryptedCounts {
    /// Records.
    pub records: u64,
    /// Keys that their messages name, 16 upper-case hex digits each; zeros: a recipient who is not named.
    pub key_ids: BTreeSet<String>,
    /// Those of the keys that are at hand and locked: the passphrase is missing or wrong.
    pub locked: BTreeSet<String>,
}

impl EncryptedCounts {
    /// What waits in the whole archive.
    ///
    /// # Errors
    /// A failing archive.
    pub fn of_archive(archive: &Archive, keys: &Keyring) -> Result<EncryptedCounts, RunError> {
        let mut counts = EncryptedCounts::default();
        for file in archive.encrypted_files()? {
            counts.add(file.records, &file.key_ids, keys);
        }
        Ok(counts)
    }

    fn add(&mut self, records: u64, key_ids: &BTreeSet<String>, keys: &Keyring) {
        self.records += records;
        self.key_ids.extend(key_ids.iter().cloned());
        let names_nobody = key_ids.contains(ANONYMOUS);
        self.locked.extend(keys.locked_ids().iter().filter(|id| names_nobody || key_ids.contains(*id)).cloned());
    }
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
    /// Files that could not be read before were tried again.
    retried: bool,
    report: IndexReport,
    /// Files that waited for keys when the run began, by sequence; taken out once they are read again.
    waiting: HashMap<u64, EncryptedFile>,
    /// Files that wait no longer. The ledger is told last: a run that dies before leaves them to the next one.
    opened: Vec<u64>,
}

/// What decoding one file gave.
pub(super) struct Decoded {
    file: ArchivedFile,
    report: FileReport,
}

impl<'r> IndexRun<'r> {
    pub(super) fn start(archive: &'r Archive, options: RunOptions, watcher: Watcher<'r>) -> Result<Self, RunError> {
        let home = index_home(archive.root());
        let writer = match Writer::open(&home, archive.disk(), options.writer) {
            // An index that is damaged or of another version holds nothing that the archive does not: a new one takes its place.
            Err(IndexError::Damaged(_) | IndexError::OtherVersion { .. }) => {
                Writer::rebuild(&home, archive.disk(), options.writer)?
            }
            opened => opened?,
        };
        IndexRun::with_writer(archive, writer, options, watcher)
    }

    pub(super) fn with_writer(
        archive: &'r Archive,
        writer: Writer,
        options: RunOptions,
        watcher: Watcher<'r>,
    ) -> Result<Self, RunError> {
        let (done, report, opened) = (HashSet::new(), IndexReport::default(), Vec::new());
        let waiting = archive.encrypted_files()?.into_iter().map(|file| (file.sequence, file)).collect();
        Ok(IndexRun {
            archive,
            writer,
            options,
            watcher,
            done,
            uncommitted: false,
            retried: false,
            report,
            waiting,
            opened,
        })
    }

    /// Reads the files again that a key at hand can open and could not before.
    fn open_again(&mut self) -> Result<(), RunError> {
        let open = self.options.keys.open_ids();
        let may_open = |file: &EncryptedFile| {
            // A recipient who is not named is worth a try with every key that was not tried yet.
            !file.key_ids.is_disjoint(open) || (file.key_ids.contains(ANONYMOUS) && !open.is_subset(&file.tried))
        };
        let in_index = self.writer.sequence();
        let sequences: HashSet<u64> = self
            .waiting
            .values()
            .filter(|file| file.sequence <= in_index && may_open(file))
            .map(|file| file.sequence)
            .collect();
        if sequences.is_empty() {
            return Ok(());
        }
        let mut files = self.archive.files_after(0)?;
        files.retain(|file| sequences.contains(&file.sequence));
        (self.watcher)(Step::Ahead {
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.size_bytes).sum(),
        });
        // In rounds, as everything: what is taken out and what takes its place become visible together.
        let mut files = files.into_iter().peekable();
        while files.peek().is_some() {
            let mut bytes = 0;
            let mut round = Vec::new();
            while bytes < self.options.round_bytes
                && let Some(file) = files.next()
            {
                bytes += file.size_bytes;
                round.push(file);
            }
            let paths: HashSet<&str> = round.iter().map(|file| file.path.as_str()).collect();
            self.writer.forget_closed(&paths)?;
            drop(paths);
            self.uncommitted = true;
            let decoded = index_round(self.archive, &self.writer, &self.options, self.watcher, round.into_iter())?;
            self.absorb(decoded)?;
            self.commit()?;
        }
        Ok(())
    }

    /// Indexes every published file that is not in yet, and those that a new key opens, and commits.
    pub(super) fn catch_up(&mut self) -> Result<(), RunError> {
        self.open_again()?;
        let mut missing = self.archive.files_after(self.writer.sequence())?;
        if !std::mem::replace(&mut self.retried, true) {
            // A disk that failed for a moment must not cost a file for ever.
            let known = self.writer.sequence();
            missing.extend(self.archive.unread_files()?.into_iter().filter(|file| file.sequence <= known));
        }
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
            let decoded = index_round(self.archive, &self.writer, &self.options, self.watcher, round)?;
            self.absorb(decoded)?;
            if ended {
                return Ok(());
            }
            self.commit()?;
        }
    }

    /// Decodes one file that was just published, on the calling thread. Pair with [`IndexRun::absorb`].
    pub(super) fn index_one(&self, file: ArchivedFile) -> Result<Decoded, RunError> {
        index_file(self.archive, &self.writer, &self.options, self.watcher, file)
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
        let contents = match report.problems.counts.contains_key(&ProblemKind::Unreadable) {
            true => Contents { records: 0, ..contents },
            false => contents,
        };
        let contents = known
            .filter(|known| known.conversations >= contents.conversations)
            .map_or(contents, |known| Contents { conversations: known.conversations, ..contents });
        // Before the commit: a count without documents shows as "index behind", documents without a count as nothing.
        self.archive.record_contents(file.sequence, &contents)?;
        self.note_encrypted(file.sequence, &report, is_damaged)?;
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

    fn note_encrypted(&mut self, sequence: u64, report: &FileReport, is_damaged: bool) -> Result<(), RunError> {
        let waited = self.waiting.remove(&sequence).is_some();
        let found = &report.encrypted;
        if found.records > 0 {
            self.report.encrypted.add(found.records, &found.key_ids, &self.options.keys);
            // Before the commit: a file that is said to wait and does not is only read once more.
            self.archive.record_encrypted(&EncryptedFile {
                sequence,
                records: found.records,
                key_ids: found.key_ids.clone(),
                tried: self.options.keys.open_ids().clone(),
            })?;
        } else if waited && !is_damaged {
            self.opened.push(sequence);
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
    pub(super) fn finish(mut self) -> Result<IndexReport, RunError> {
        self.writer.finish()?;
        if !self.opened.is_empty() {
            self.archive.forget_encrypted(&self.opened)?;
        }
        self.report.files_with_problems.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(self.report)
    }
}

/// Decodes the files on several threads; each feeds the writer, which blocks when its own threads are busy.
fn index_round(
    archive: &Archive,
    writer: &Writer,
    options: &RunOptions,
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
    options: &RunOptions,
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
            readable_bytes: salvage.good_bytes,
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
    let decoded = opened.and_then(|bytes| {
        decode_with_keys(bytes, &context, options.decode, &options.keys, &mut sink).map_err(|error| error.to_string())
    });
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
