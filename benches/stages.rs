//! `cargo bench --bench stages`: each stage on its own, on a fixed seed. `hot_paths.rs` has their inner loops, and `chatvault bench` measures
//! the whole, beside what the machine allows.

use chatvault::acquire::{self, AcquireSettings, Cancel, Endpoints, OAuth1Keys, Secret};
use chatvault::archive::{Archive, Clock, RealDisk};
use chatvault::conversation::{Revision, StoredConversation};
use chatvault::decode::{DecodeLimits, FileContext, decode_file};
use chatvault::index::tokenizer::{fold_words, words};
use chatvault::index::{Reader, Writer, WriterOptions};
use chatvault::pipeline::{self, RunOptions, index_home};
use chatvault::search::parse::{ParseOptions, parse_located};
use chatvault::search::{SearchRequest, search};
use chatvault::simulator::{
    self, BodyOptions, Credentials, FormMix, SimulatorConfig, World, WorldConfig, write_corpus, write_json,
};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use jiff::tz::TimeZone;
use std::io::Cursor;
use std::sync::{Arc, LazyLock};

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    divan::main();
}

fn world(forms: FormMix) -> WorldConfig {
    WorldConfig { conversations: 4000, hours: 24, parts_per_hour: 1, forms, ..WorldConfig::default() }
}

/// One account's files, unpacked: (gzip bytes, JSON bytes).
fn files(forms: FormMix) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temp folder");
    write_corpus(folder.path(), &world(forms), BodyOptions::default()).expect("the corpus is written");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder.path()).expect("readable").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

fn decode_all(files: &[Vec<u8>], sink: &mut dyn FnMut(Revision) -> bool) -> u64 {
    let context = FileContext {
        path: "files/x".into(),
        sha256: "0".repeat(64),
        window_start_ms: Some(0),
        account_id: "40112233".into(),
        salvaged: None,
    };
    files
        .iter()
        .map(|file| decode_file(Cursor::new(file), &context, DecodeLimits::default(), sink).expect("memory").json_bytes)
        .sum()
}

static LINES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| files(FormMix::NdjsonOnly));
static DOCUMENTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| files(FormMix::SingleDocument));

/// The usual form: one record a line.
#[divan::bench]
fn decode_lines(bencher: Bencher) {
    let bytes = decode_all(&LINES, &mut |_| true);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| decode_all(&LINES, &mut |_| true));
}

/// The documented form: one document a file.
#[divan::bench]
fn decode_documents(bencher: Bencher) {
    let bytes = decode_all(&DOCUMENTS, &mut |_| true);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| decode_all(&DOCUMENTS, &mut |_| true));
}

fn texts() -> Vec<String> {
    let mut texts = Vec::new();
    decode_all(&LINES, &mut |revision| {
        texts.extend(revision.content.messages.into_iter().map(|message| message.text));
        true
    });
    texts
}

/// All transcripts through the tokenizer.
#[divan::bench]
fn tokenize(bencher: Bencher) {
    let texts = texts();
    let bytes: usize = texts.iter().map(String::len).sum();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        let mut count = 0;
        for text in &texts {
            let mut reader = words(text);
            while reader.next_word().is_some() {
                count += 1;
            }
        }
        count
    });
}

/// Conversations in memory → committed index.
#[divan::bench(sample_count = 10)]
fn index(bencher: Bencher) {
    let mut ready: Vec<StoredConversation> = Vec::new();
    let bytes = decode_all(&LINES, &mut |revision| {
        ready.push(StoredConversation { revisions: vec![revision] });
        true
    });
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| (tempfile::tempdir().expect("a temp folder"), ready.clone()))
        .bench_local_values(|(folder, ready)| {
            let mut writer =
                Writer::open(folder.path(), Arc::new(RealDisk), WriterOptions::default()).expect("a new index");
            for stored in ready {
                for revision in stored.revisions {
                    writer.add(revision).expect("added");
                }
            }
            writer.commit(1).expect("committed");
            writer.finish().expect("finished");
            folder
        });
}

/// The account over HTTP into a fresh archive: signing, listing, streaming, hashing, checking, fsync.
#[divan::bench(sample_count = 10)]
fn acquire_over_loopback(bencher: Bencher) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let config = SimulatorConfig { world: world(FormMix::NdjsonOnly), ..SimulatorConfig::default() };
    let simulator = runtime.block_on(simulator::start(config)).expect("a port");
    let url = |text: String| text.parse().expect("a URL");
    let endpoints = Endpoints {
        csds: None,
        data_access: Some(url(simulator.base_url())),
        data_access_files: vec![url(simulator.download_base_url())],
        services: Default::default(),
    };
    let demo = Credentials::default();
    let keys = OAuth1Keys {
        app_key: Secret::new(demo.app_key),
        app_secret: Secret::new(demo.app_secret),
        access_token: Secret::new(demo.access_token),
        access_token_secret: Secret::new(demo.access_token_secret),
    };
    let mut settings = AcquireSettings::new("40112233", "va", keys, &endpoints).expect("settings that work");
    settings.clock = Clock::Fixed(Arc::new(std::sync::atomic::AtomicI64::new(simulator.now_ms())));
    settings.requests_per_second = 100_000.0;
    let bytes: usize = LINES.iter().map(Vec::len).sum();
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| tempfile::tempdir().expect("a temp folder"))
        .bench_local_values(|folder| {
            let archive = Archive::create(&folder.path().join("vault"), "40112233", Arc::new(RealDisk), Clock::System)
                .expect("a new vault");
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1024);
            let report = runtime
                .block_on(acquire::sync(&settings, archive, Arc::new(|_| ()), sender, Cancel::never()))
                .expect("a sync");
            assert!(report.is_complete());
            receiver.close();
            folder
        });
}

/// A vault of 4,000 conversations, made once.
static VAULT: LazyLock<(tempfile::TempDir, Reader)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temp folder");
    let corpus = folder.path().join("corpus");
    write_corpus(&corpus, &world(FormMix::Mixed), BodyOptions::default()).expect("the corpus is written");
    let vault = folder.path().join("vault");
    let archive = Archive::create(&vault, "40112233", Arc::new(RealDisk), Clock::System).expect("a new vault");
    pipeline::import(&archive, &[corpus], RunOptions::default(), &|_| ()).expect("an import");
    let reader = Reader::open(&index_home(&vault)).expect("an index");
    (folder, reader)
});

/// Top 20 with highlights and the exact count.
#[divan::bench(args = [
    "refund", "\"my order\"", "consumer:cancel", "refund*", "refnd~1", "/ref(und|und?ed)/", "cancel w/5 order",
    "refund turns/2 sorry", "transfers:>=1 queue:>60s", "*",
])]
fn search_top_20(bencher: Bencher, query: &str) {
    let reader = &VAULT.1;
    let request = SearchRequest {
        query: parse_located(query, &ParseOptions::utc(0)).expect("a good query"),
        text: query.to_owned(),
        sort: None,
        reverse: false,
        limit: Some(20),
        facets: Vec::new(),
        tz: TimeZone::UTC,
    };
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let answer = search(reader, &request).expect("an answer");
        (0..answer.hits.len()).map(|at| answer.hits.load(reader, at, 3).expect("a hit").snippets.len()).sum::<usize>()
    });
}

/// The simulated account's own encoder, without compression, on one thread.
#[divan::bench]
fn generate(bencher: Bencher) {
    let account = World::new(world(FormMix::NdjsonOnly)).expect("a possible account");
    let write = || -> u64 {
        account.files().map(|file| write_json(&account, &file, &mut std::io::sink()).expect("a sink").json_bytes).sum()
    };
    bencher.counter(BytesCount::new(write())).bench_local(write);
}

/// Query text → tree.
#[divan::bench]
fn parse(bencher: Bencher) {
    let text =
        "(consumer:\"cancel my order\" OR refund* w/5 account) -system:transferred start:2026-01..2026-02 mcs:<50";
    bencher.bench_local(|| parse_located(text, &ParseOptions::utc(0)).expect("a good query"));
}

/// Folding of words that need more than ASCII.
#[divan::bench]
fn fold(bencher: Bencher) {
    bencher.bench_local(|| fold_words("Crème brûlée à la Straße, 退款到账 и возврат средств"));
}
