//! One measurement, and what it gives. Each is made in a process of its own.
//!
//! That way CPU seconds and peak memory are the stage's own without asking the kernel to reset anything, no stage profits from
//! what another left in the allocator, and a stage that dies takes only itself. Starting the process is not measured.

use super::error::BenchError;
use super::import;
use super::machine::{Stopwatch, peak_memory_bytes};
use super::plain::{each, inflate, minimal_parse, read};
use super::queries::{self, QueryTimes, QueryWords};
use super::raw::{RawIndex, Words};
use super::slices::{decode, in_slices};
use super::survey::{self, Survey};
use crate::conversation::{Revision, StoredConversation};
use crate::index::document;
use crate::index::schema::schema;
use crate::index::tokenizer::words;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Account of the vaults that files of unknown accounts are imported into.
pub(super) const ACCOUNT: &str = "1";

/// A part of the way from files to answers that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The files as they lie on disk, from the page cache where they fit.
    Read,
    /// Read and inflated.
    Inflate,
    /// Inflated, and ids and texts parsed: the first half of the floor.
    Parse,
    /// Inflated and decoded: everything that a conversation holds.
    Decode,
    /// Texts in memory cut into folded words.
    Tokenise,
    /// Conversations in memory made documents.
    Document,
    /// Ready documents into raw tantivy, with the product's tokenizer: the second half of the floor.
    Index,
    /// The same with tantivy's default tokenizer.
    IndexDefault,
    /// `import`: files to a committed, searchable index.
    Import,
    /// The part of the import in which the index is written out and merged.
    Commit,
    /// `index --rebuild`.
    Rebuild,
    /// `verify`.
    Verify,
    /// `sync` from an account on loopback.
    Sync,
}

impl Stage {
    /// All, in the order of the data.
    pub const ALL: [Stage; 13] = [
        Stage::Read,
        Stage::Inflate,
        Stage::Parse,
        Stage::Decode,
        Stage::Tokenise,
        Stage::Document,
        Stage::Index,
        Stage::IndexDefault,
        Stage::Import,
        Stage::Commit,
        Stage::Rebuild,
        Stage::Verify,
        Stage::Sync,
    ];

    /// In a few words, for a table.
    pub fn title(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Inflate => "inflate",
            Stage::Parse => "inflate, minimal parse",
            Stage::Decode => "inflate, decode",
            Stage::Tokenise => "tokenise",
            Stage::Document => "build documents",
            Stage::Index => "raw tantivy",
            Stage::IndexDefault => "… default tokenizer",
            Stage::Import => "import, end to end",
            Stage::Commit => "… of it commit, merge",
            Stage::Rebuild => "index --rebuild",
            Stage::Verify => "verify",
            Stage::Sync => "sync over loopback",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Look through all files: what they hold, and which cannot be measured.
    Survey,
    /// Measure a stage. [`Stage::Sync`] needs a network, and [`measured_into_vault`](super::measured_into_vault).
    Stage(Stage),
    /// Ask the vault's index in this process.
    Queries(QueryWords),
    /// Run `PROGRAM search` on the vault, again and again.
    SearchProcess {
        /// The program.
        program: PathBuf,
        /// What to ask.
        words: QueryWords,
    },
}

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// What to do.
    pub work: Work,
    /// The files.
    pub files: Vec<PathBuf>,
    /// A folder of the benchmark's own; the vault of [`Stage::Import`] stays in it for those that need one.
    pub scratch: PathBuf,
    /// Threads.
    pub threads: usize,
}

/// What a measurement gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Of [`Work::Survey`].
    Survey(Survey),
    /// Of [`Work::Stage`].
    Sample(Sample),
    /// Of [`Work::Queries`] and [`Work::SearchProcess`].
    Queries(Vec<QueryTimes>),
}

/// One round of one stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds that passed.
    pub wall_s: f64,
    /// CPU seconds of all threads; `None` where they are not known or below 0.1 s.
    pub cpu_s: Option<f64>,
    /// Highest memory of the process, what was prepared for the stage included.
    pub peak_memory_bytes: Option<u64>,
    /// Conversation records that were handled, where the stage counts them.
    pub conversations: u64,
    /// Seconds in which the index was written out and merged; of runs that fill a vault.
    pub commit_wall_s: Option<f64>,
    /// CPU seconds of the same.
    pub commit_cpu_s: Option<f64>,
    /// What the vault takes on disk; of runs that fill one.
    pub sizes: Option<super::Sizes>,
}

impl Sample {
    pub(super) fn of(watch: &Stopwatch) -> Sample {
        Sample {
            wall_s: watch.wall_s(),
            cpu_s: watch.cpu_s(),
            peak_memory_bytes: peak_memory_bytes(),
            ..Sample::default()
        }
    }
}

/// Does a job in this process. Run each job in a new one: peak memory is that of the process.
///
/// # Errors
/// Whatever the stage fails with; [`Stage::Sync`] and [`Stage::Commit`] are no jobs of their own here.
pub fn perform(job: &Job) -> Result<Answer, BenchError> {
    match &job.work {
        Work::Survey => survey::survey(&job.files, job.threads).map(Answer::Survey),
        Work::Stage(stage) => sample(*stage, job).map(Answer::Sample),
        Work::Queries(words) => queries::in_process(&import::vault(job), words).map(Answer::Queries),
        Work::SearchProcess { program, words } => {
            queries::as_process(program, &import::vault(job), words).map(|times| Answer::Queries(vec![times]))
        }
    }
}

fn sample(stage: Stage, job: &Job) -> Result<Sample, BenchError> {
    let mut watch = Stopwatch::new();
    let (files, threads) = (job.files.as_slice(), job.threads);
    match stage {
        Stage::Read => watch.time(|| each(files, threads, &read))?,
        Stage::Inflate => watch.time(|| each(files, threads, &inflate))?,
        Stage::Parse => watch.time(|| each(files, threads, &|path| minimal_parse(path).map(drop)))?,
        Stage::Decode => watch.time(|| each(files, threads, &|path| decode(path, &mut |_| true).map(drop)))?,
        Stage::Tokenise => in_slices(files, threads, &texts_of, &mut |parts| {
            watch.time(|| on_threads(parts, &|text: String| count_words(&text)));
            Ok(())
        })?,
        Stage::Document => {
            let (_, fields) = schema();
            in_slices(files, threads, &stored_of, &mut |parts| {
                // Dropped as they are made: what is measured must not depend on how much memory a slice may take.
                watch.time(|| on_threads(parts, &|stored| document(&fields, &stored).len()));
                Ok(())
            })?;
        }
        Stage::Index => raw_index(job, Words::Ours, &mut watch)?,
        Stage::IndexDefault => raw_index(job, Words::Default, &mut watch)?,
        Stage::Import => return import::import(job),
        Stage::Rebuild => return import::rebuild(job),
        Stage::Verify => return import::verify(job),
        Stage::Commit | Stage::Sync => {
            return Err(BenchError::Process(format!("{:?} is not measured by itself", stage.title())));
        }
    }
    Ok(Sample::of(&watch))
}

fn raw_index(job: &Job, words: Words, watch: &mut Stopwatch) -> Result<(), BenchError> {
    let (_, fields) = schema();
    let mut index = RawIndex::create(&job.scratch.join("raw"), job.threads, words)?;
    let ready = |revision| {
        let (stored, bytes) = stored_of(revision);
        (document(&fields, &stored), bytes)
    };
    in_slices(&job.files, job.threads, &ready, &mut |parts| index.add(parts, watch))?;
    index.finish(watch)
}

/// Each part on a thread of its own.
fn on_threads<T: Send>(parts: Vec<Vec<T>>, work: &(dyn Fn(T) -> usize + Sync)) {
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(move || {
                for item in part {
                    std::hint::black_box(work(item));
                }
            });
        }
    });
}

fn count_words(text: &str) -> usize {
    let mut reader = words(text);
    let mut count = 0;
    while reader.next_word().is_some() {
        count += 1;
    }
    count
}

/// All that was said in a conversation, as one text.
fn texts_of(revision: Revision) -> (String, usize) {
    let mut text = String::new();
    for message in &revision.content.messages {
        text.push_str(&crate::conversation::plain_text(message));
        text.push(crate::index::tokenizer::MESSAGE_END);
    }
    let bytes = text.len();
    (text, bytes)
}

/// Bytes that a conversation takes besides its texts, and that each message takes: rough, and rather too many.
const CONVERSATION_BYTES: usize = 2048;
const MESSAGE_BYTES: usize = 512;

fn stored_of(revision: Revision) -> (StoredConversation, usize) {
    let texts: usize = revision.content.messages.iter().map(|message| message.text.len() + MESSAGE_BYTES).sum();
    // A document holds each text twice: to be indexed, and to be shown.
    (StoredConversation { revisions: vec![revision] }, CONVERSATION_BYTES + 2 * texts)
}
