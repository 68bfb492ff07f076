//! `cargo bench --bench floor [-- MEGABYTES ROUNDS]`: how far an import is from what this machine allows.
//!
//! The floor is the time that the unavoidable work takes: inflating and a minimal typed parse, plus indexing documents
//! that lie ready in memory with the same schema and tokenizer. All stages run in turn, round after round, so that a slow
//! moment of the machine hits all of them; medians are compared, and the spread is shown.

use chatvault::archive::{Archive, Clock, RealDisk};
use chatvault::conversation::{Revision, StoredConversation};
use chatvault::decode::{DecodeLimits, FileContext, decode_file};
use chatvault::index::schema::schema;
use chatvault::index::tokenizer::{ChatTokenizer, TOKENIZER};
use chatvault::index::{WriterOptions, document};
use chatvault::pipeline::{self, RunOptions};
use chatvault::simulator::{BodyOptions, FormMix, WorldConfig, write_corpus};
use flate2::read::MultiGzDecoder;
use jiter::{Jiter, Peek};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Instant;
use tantivy::TantivyDocument;

type Failed = Box<dyn std::error::Error + Send + Sync>;
type Stage<'s> = &'s mut dyn FnMut() -> Result<(), Failed>;

fn main() -> Result<(), Failed> {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let megabytes = numbers.next().unwrap_or(300);
    let rounds = numbers.next().unwrap_or(5) as usize;
    let folder = tempfile::tempdir()?;
    let corpus = folder.path().join("corpus");
    // A record of the simulated account has about 7.6 kB of JSON.
    let world = WorldConfig {
        conversations: megabytes * 131,
        hours: 50,
        parts_per_hour: 1,
        forms: FormMix::NdjsonOnly,
        ..WorldConfig::default()
    };
    let written = write_corpus(&corpus, &world, BodyOptions::default())?;
    let mut files: Vec<PathBuf> =
        fs::read_dir(&corpus)?.map(|entry| Ok(entry?.path())).collect::<Result<_, Failed>>()?;
    files.sort();
    let json_mb = written.json_bytes as f64 / 1e6;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    println!(
        "{} files, {:.0} MB of JSON ({:.0} MB gzip), {} records, {threads} threads, {rounds} rounds",
        written.files,
        json_mb,
        written.compressed_bytes as f64 / 1e6,
        written.conversation_records
    );

    let mut times: [Vec<f64>; 5] = Default::default();
    let mut index_bytes = 0;
    for round in 0..=rounds {
        let mut ready = Some(prepare(&files)?);
        let stages: [(usize, Stage<'_>); 5] = [
            (0, &mut || each(&files, threads, &|path| inflate(path).map(drop))),
            (1, &mut || each(&files, threads, &|path| minimal_parse(&inflate(path)?))),
            (2, &mut || each(&files, threads, &|path| decode(path, &mut |_| true).map(drop))),
            (3, &mut || raw_index(ready.take().unwrap_or_default(), &folder.path().join(format!("raw-{round}")))),
            (4, &mut || {
                let vault = folder.path().join(format!("vault-{round}"));
                import(&corpus, &vault)?;
                index_bytes = size_of(&vault.join("index"))?;
                fs::remove_dir_all(&vault)?;
                Ok(())
            }),
        ];
        for (stage, work) in stages {
            let started = Instant::now();
            work()?;
            // The first round warms the page cache and is not counted.
            if round > 0 {
                times[stage].push(started.elapsed().as_secs_f64());
            }
        }
    }
    let names = [
        "inflate",
        "inflate + minimal parse",
        "inflate + decode",
        "raw tantivy, ready documents",
        "import, end to end",
    ];
    let mut medians = [0.0; 5];
    for ((name, times), median) in names.iter().zip(&mut times).zip(&mut medians) {
        times.sort_by(f64::total_cmp);
        *median = json_mb / times[times.len() / 2];
        let (slow, fast) = (json_mb / times[times.len() - 1], json_mb / times[0]);
        println!("{name:30} {median:7.0} MB/s   ({slow:.0} to {fast:.0})");
    }
    let floor = 1.0 / (1.0 / medians[1] + 1.0 / medians[3]);
    println!("{:30} {floor:7.0} MB/s", "floor");
    println!("import ÷ floor        {:.2}", medians[4] / floor);
    println!("import ÷ raw tantivy  {:.2}", medians[4] / medians[3]);
    println!("index ÷ JSON          {:.3}", index_bytes as f64 / (json_mb * 1e6));
    Ok(())
}

/// Does `work` for every file, on all threads.
fn each(files: &[PathBuf], threads: usize, work: &(dyn Fn(&Path) -> Result<(), Failed> + Sync)) -> Result<(), Failed> {
    let next = Mutex::new(files.iter());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let file = next.lock().expect("no worker panics while it holds this").next();
                        match file {
                            Some(file) => work(file)?,
                            None => return Ok(()),
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker panicked"))
    })
}

fn inflate(path: &Path) -> Result<Vec<u8>, Failed> {
    let mut text = Vec::with_capacity(32 << 20);
    MultiGzDecoder::new(BufReader::with_capacity(1 << 20, File::open(path)?)).read_to_end(&mut text)?;
    Ok(text)
}

/// What a program would parse that wanted nothing but the ids and texts, and passed over the rest.
fn minimal_parse(text: &[u8]) -> Result<(), Failed> {
    let mut bytes = 0;
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        walk(&mut Jiter::new(line), &mut bytes)?;
    }
    std::hint::black_box(bytes);
    Ok(())
}

fn walk(json: &mut Jiter<'_>, bytes: &mut usize) -> Result<(), Failed> {
    const WANTED: [&str; 8] =
        ["recordCollection", "array", "body", "engagements", "conversationId", "transcripts", "text", "string"];
    let failed = |error: jiter::JiterError| format!("{error:?}");
    match json.peek().map_err(failed)? {
        Peek::Object => {
            let is_wanted = |key: &str| WANTED.contains(&key) || key.starts_with("com.liveperson.");
            let mut wanted = json.known_object().map_err(failed)?.map(is_wanted);
            while let Some(is_in) = wanted {
                if is_in {
                    walk(json, bytes)?
                } else {
                    json.next_skip().map_err(failed)?
                }
                wanted = json.next_key().map_err(failed)?.map(is_wanted);
            }
        }
        Peek::Array => {
            let mut next = json.known_array().map_err(failed)?;
            while next.is_some() {
                walk(json, bytes)?;
                next = json.array_step().map_err(failed)?;
            }
        }
        Peek::String => *bytes += json.known_str().map_err(failed)?.len(),
        _ => json.next_skip().map_err(failed)?,
    }
    Ok(())
}

fn decode(path: &Path, sink: &mut dyn FnMut(Revision) -> bool) -> Result<u64, Failed> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let context = FileContext {
        path: format!("files/{name}"),
        sha256: "0".repeat(64),
        window_start_ms: None,
        account_id: "40112233".into(),
        salvaged: None,
    };
    Ok(decode_file(File::open(path)?, &context, DecodeLimits::default(), sink)?.conversations)
}

fn prepare(files: &[PathBuf]) -> Result<Vec<TantivyDocument>, Failed> {
    let (_, fields) = schema();
    let mut ready = Vec::new();
    for file in files {
        decode(file, &mut |revision| {
            ready.push(document(&fields, &StoredConversation { revisions: vec![revision] }));
            true
        })?;
    }
    Ok(ready)
}

/// Documents made beforehand → index, with the writer's defaults and no merges.
fn raw_index(ready: Vec<TantivyDocument>, folder: &Path) -> Result<(), Failed> {
    fs::create_dir_all(folder)?;
    let (schema, _) = schema();
    let index = tantivy::Index::create_in_dir(folder, schema)?;
    index.tokenizers().register(TOKENIZER, tantivy::tokenizer::TextAnalyzer::from(ChatTokenizer::default()));
    let options = WriterOptions::default();
    let mut writer: tantivy::IndexWriter = index.writer_with_num_threads(options.threads, options.memory_bytes)?;
    writer.set_merge_policy(Box::new(tantivy::indexer::NoMergePolicy));
    for document in ready {
        writer.add_document(document)?;
    }
    writer.commit()?;
    drop(writer);
    Ok(fs::remove_dir_all(folder)?)
}

fn import(corpus: &Path, vault: &Path) -> Result<(), Failed> {
    let archive = Archive::create(vault, "40112233", Arc::new(RealDisk), Clock::System)?;
    let (report, _) = pipeline::import(&archive, &[corpus.to_owned()], RunOptions::default(), &|_| ())?;
    if report.failed.is_empty() { Ok(()) } else { Err(format!("{:?}", report.failed).into()) }
}

fn size_of(folder: &Path) -> Result<u64, Failed> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
