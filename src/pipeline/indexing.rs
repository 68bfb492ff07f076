//! Published files → index, on all cores, in rounds.
//!
//! A round ends with a commit whose checkpoint says "everything up to this file". Files may arrive in any order; the
//! checkpoint only ever moves over files that are in, and what is missing behind it is caught up from the ledger.

use super::index_report::{FileProblems, IndexReport, MAX_FILES_WITH_PROBLEMS};
use super::notes::{self, Note, Waiting};
use super::options::RunOptions;
use super::{RunError, Step, Watcher, index_home, masks};
use crate::archive::{Archive, ArchivedFile, Contents, Damage, EncryptedFile, SCHEMA_STREAM};
use crate::conversation::Revision;
use crate::decode::{ANONYMOUS, FileContext, FileReport, ProblemKind, Salvaged, decode_again};
use crate::index::{Held, HeldFile, IndexError, Writer};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

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
    /// Files that waited for keys when the run began, by sequence; taken out once they are read again.
    waiting: HashMap<u64, EncryptedFile>,
    /// What the ledger is told once the index says so, too.
    notes: Vec<Note>,
    /// Files that were read in this run, and whether they could be.
    read: HashMap<u64, bool>,
    /// A record with LivePerson's mask went in.
    saw_mask: bool,
    /// Schema versions that the ledger was told of in this run.
    schemas: BTreeSet<String>,
}

/// What decoding one file gave.
pub(super) struct Decoded {
    file: ArchivedFile,
    report: FileReport,
    /// One of its records carries LivePerson's mask.
    is_masked: bool,
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
        archive.keep_texts(options.text_bytes);
        let waiting = archive.encrypted_files()?.into_iter().map(|file| (file.sequence, file)).collect();
        Ok(IndexRun {
            archive,
            writer,
            options,
            watcher,
            done: HashSet::new(),
            uncommitted: false,
            report: IndexReport::default(),
            waiting,
            notes: Vec::new(),
            read: HashMap::new(),
            saw_mask: false,
            schemas: BTreeSet::new(),
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
        self.read_again(files)
    }

    /// Reads the files again that could not be read before: a disk that failed for a moment, or a file that was put back since, must
    /// not cost it for ever.
    fn retry_unread(&mut self) -> Result<(), RunError> {
        let mut files = self.archive.unread_files()?;
        files.retain(|file| file.sequence <= self.writer.sequence());
        let mut again = Vec::new();
        for file in files {
            let is_worth_it = match self.read.get(&file.sequence) {
                None => true,
                // It may have been put back meanwhile.
                Some(false) => self.archive.is_whole(&file)?,
                Some(true) => false,
            };
            again.extend(is_worth_it.then_some(file));
        }
        self.read_again(again)
    }

    /// Reads files that are in the index, or may be. What was opened in them stays open.
    fn read_again(&mut self, files: Vec<ArchivedFile>) -> Result<(), RunError> {
        if files.is_empty() {
            return Ok(());
        }
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
            let held = self.writer.hold(&paths)?;
            drop(paths);
            self.uncommitted = true;
            let decoded = self.round(&held, round.into_iter())?;
            self.absorb(decoded)?;
            self.commit()?;
        }
        Ok(())
    }

    /// Indexes every published file that is not in yet, and those that a new key opens, and commits.
    pub(super) fn catch_up(&mut self) -> Result<(), RunError> {
        self.open_again()?;
        let mut missing = self.archive.files_after(self.writer.sequence())?;
        missing.retain(|file| !self.done.contains(&file.sequence));
        if missing.is_empty() && !self.uncommitted {
            return Ok(());
        }
        // A run that was broken off may have left some of what it read in the index.
        let mut again = Vec::new();
        if self.writer.is_in_use() {
            let mut new = Vec::with_capacity(missing.len());
            for file in missing {
                let is_known = self.archive.contents_of(file.sequence)?.is_some();
                if is_known { again.push(file) } else { new.push(file) }
            }
            missing = new;
        }
        self.read_again(again)?;
        let bytes = missing.iter().map(|file| file.size_bytes).sum();
        (self.watcher)(Step::Ahead { files: missing.len() as u64, bytes });
        self.index_in_rounds(missing.into_iter())?;
        self.commit()
    }

    /// Indexes files as they are published, on all cores. One that was published while the ledger was being caught up comes
    /// by both ways, and counts once.
    pub(super) fn index_stream(&mut self, files: impl Iterator<Item = ArchivedFile>) -> Result<(), RunError> {
        let known = self.writer.sequence();
        let in_already = self.done.clone();
        let is_in = |file: &ArchivedFile| file.sequence <= known || in_already.contains(&file.sequence);
        self.index_in_rounds(files.filter(|file| !is_in(file)))
    }

    fn index_in_rounds(&mut self, mut files: impl Iterator<Item = ArchivedFile>) -> Result<(), RunError> {
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
            let decoded = self.round(&Held::new(), round)?;
            self.absorb(decoded)?;
            if ended {
                return Ok(());
            }
            self.commit()?;
        }
    }

    /// Decodes one file that was just published, on the calling thread. Pair with [`IndexRun::absorb`].
    pub(super) fn index_one(&self, file: ArchivedFile) -> Result<Decoded, RunError> {
        index_file(self.archive, &self.writer, &self.options, self.watcher, file, None)
    }

    fn round(&self, held: &Held, files: impl Iterator<Item = ArchivedFile>) -> Result<Vec<Decoded>, RunError> {
        index_round(self.archive, &self.writer, &self.options, self.watcher, held, files)
    }

    /// Takes note of files that [`IndexRun::index_one`] has put in.
    pub(super) fn absorb(&mut self, files: Vec<Decoded>) -> Result<(), RunError> {
        self.uncommitted |= !files.is_empty();
        files.into_iter().try_for_each(|file| self.note(file))
    }

    fn note(&mut self, decoded: Decoded) -> Result<(), RunError> {
        let Decoded { file, report, is_masked } = decoded;
        self.saw_mask |= is_masked;
        if !report.schema_versions.is_subset(&self.schemas) {
            // Before the commit: a version that the ledger has not heard of would never be asked for.
            self.archive.record_schema_versions(&report.schema_versions)?;
            self.schemas.extend(report.schema_versions.iter().cloned());
        }
        let contents = Contents {
            records: report.records,
            conversations: report.conversations,
            problems: report.problems.failures(),
        };
        // What a file held before it was damaged stays what it should hold: counted against the index, it shows the loss.
        let is_unread = report.problems.counts.contains_key(&ProblemKind::Unreadable);
        let is_damaged = is_unread || report.problems.counts.contains_key(&ProblemKind::DamagedContainer);
        let told = self.archive.contents_of(file.sequence)?;
        let known = if is_damaged { told } else { None };
        let contents = if is_unread { Contents { records: 0, ..contents } } else { contents };
        let contents = known
            .filter(|known| known.conversations >= contents.conversations)
            .map_or(contents, |known| Contents { conversations: known.conversations, ..contents });
        let waiting = self.waiting_after(file.sequence, &report, is_damaged);
        let note = Note { sequence: file.sequence, path: file.path.clone(), contents, waiting };
        let is_new = told.is_none() && self.writer.is_in_use();
        if let (Waiting::For(waits), true) = (&note.waiting, is_new || !self.writer.is_in_use()) {
            self.report.encrypted.add(waits.records, &waits.key_ids, &self.options.keys);
        }
        if is_new {
            // New to the index, so before the commit: the checkpoint does not hold it yet, and a run that dies leaves it to the
            // next one. A count without documents shows as "index behind", documents without a count as nothing.
            notes::tell(self.archive, &note)?;
        } else {
            self.notes.push(note);
        }
        self.read.insert(file.sequence, !is_unread);
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

    fn waiting_after(&mut self, sequence: u64, report: &FileReport, is_damaged: bool) -> Waiting {
        let before = self.waiting.remove(&sequence);
        let found = &report.encrypted;
        if found.records == 0 {
            return if is_damaged || before.is_none() { Waiting::Unchanged } else { Waiting::Over };
        }
        let mut tried = self.options.keys.open_ids().clone();
        // What a key has opened in an index stays open in it, so that it need not be tried again.
        if self.writer.is_in_use() {
            tried.extend(before.into_iter().flat_map(|before| before.tried));
        }
        Waiting::For(EncryptedFile { sequence, records: found.records, key_ids: found.key_ids.clone(), tried })
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
        if self.writer.is_in_use() {
            notes::take_back(self.archive, &self.notes)?;
        }
        self.writer.commit(sequence)?;
        self.uncommitted = false;
        if self.writer.is_in_use() {
            self.look_what_waits()?;
            notes::settle(self.archive, std::mem::take(&mut self.notes))?;
        }
        Ok(())
    }

    /// What a file that was read again waits for is what is closed in the index: an earlier key may have opened what this run's keys
    /// do not.
    fn look_what_waits(&mut self) -> Result<(), RunError> {
        for note in &mut self.notes {
            let Waiting::For(waits) = &mut note.waiting else { continue };
            let (closed, key_ids) = self.writer.closed_records(&note.path)?;
            waits.records = waits.records.min(closed);
            waits.key_ids.retain(|id| key_ids.contains(id));
            if waits.records == 0 || waits.key_ids.is_empty() {
                note.waiting = Waiting::Over;
            } else {
                self.report.encrypted.add(waits.records, &waits.key_ids, &self.options.keys);
            }
        }
        Ok(())
    }

    /// Ends the run; everything must be committed.
    pub(super) fn finish(mut self) -> Result<IndexReport, RunError> {
        if self.writer.is_in_use() {
            self.retry_unread()?;
        }
        // Those of an index that was made anew: it is put into use here.
        notes::take_back(self.archive, &self.notes)?;
        self.writer.finish()?;
        notes::settle(self.archive, self.notes)?;
        if self.saw_mask || !self.options.is_later_round {
            self.report.masked = masks::record(self.archive)?;
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
    held: &Held,
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
                        let known = held.get(&file.path);
                        let decoded = index_file(archive, writer, options, watcher, file, known)?;
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

/// What decoding must know of a file.
pub(super) fn file_context(archive: &Archive, file: &ArchivedFile) -> FileContext {
    FileContext {
        path: file.path.clone(),
        sha256: file.sha256.to_string(),
        window_start_ms: file.window.map(|window| window.start_ms),
        account_id: archive.account_id().to_owned(),
        salvaged: file.provenance.salvage.as_ref().map(|salvage| Salvaged {
            proven_bytes: salvage.proven_bytes,
            readable_bytes: salvage.good_bytes,
            is_corrupt: salvage.damage == Damage::Corrupt,
        }),
    }
}

fn index_file(
    archive: &Archive,
    writer: &Writer,
    options: &RunOptions,
    watcher: Watcher<'_>,
    file: ArchivedFile,
    held: Option<&HeldFile>,
) -> Result<Decoded, RunError> {
    let context = file_context(archive, &file);
    let mut failed = None;
    let mut is_masked = false;
    let held_record = |ordinal: u64| held.and_then(|held| held.get(&ordinal));
    let is_open = |ordinal| held_record(ordinal).is_some_and(|record| !record.is_closed);
    // Records of which all is in already, and how often they came.
    let (mut kept, mut passed_over) = (HashSet::new(), 0);
    let mut sink = |mut revision: Revision| {
        let ordinal = revision.records[0].record;
        is_masked |= revision.content.is_masked;
        if held_record(ordinal).is_some_and(|record| record.covers(&mut revision)) {
            kept.insert(ordinal);
            passed_over += 1;
            return true;
        }
        match writer.add(revision) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        }
    };
    // Only what was archived is indexed: `show` puts the archived SHA-256 under it.
    let decoded = match archive.take_text(&file) {
        Some(text) => decode_again(Cursor::new(text), &context, options.decode, &options.keys, &is_open, &mut sink)
            .map_err(|error| error.to_string()),
        None => archive.open_proven(&file).map_err(|error| error.to_string()).and_then(|bytes| {
            decode_again(bytes, &context, options.decode, &options.keys, &is_open, &mut sink)
                .map_err(|error| error.to_string())
        }),
    };
    // A file that is gone stops no other; it is named, and `verify` and `repair` deal with it.
    let mut report = decoded.unwrap_or_else(|reason| {
        let mut report = FileReport::default();
        report.problems.add(ProblemKind::Unreadable, 0, 0, reason);
        report
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let held_conversations: u64 =
        kept.iter().filter_map(|ordinal| held_record(*ordinal)).map(|record| record.conversations).sum();
    report.conversations = report.conversations + held_conversations - passed_over;
    watcher(Step::Indexed { bytes: file.size_bytes, conversations: report.conversations });
    if file.stream == SCHEMA_STREAM && report.conversations == 0 {
        report.problems.forget_all_but_damage();
    }
    Ok(Decoded { file, report, is_masked })
}
