//! `cargo bench --bench hot_paths`: the inner loops that decide what ingest costs, each beside the choices it was made from.
//!
//! Everything lies in memory and nothing touches the network, so that one change shows. `cargo test --bench hot_paths` runs each once.

use chatvault::archive::RealDisk;
use chatvault::bench::minimal_parse;
use chatvault::conversation::{Revision, StoredConversation};
use chatvault::decode::{DecodeLimits, FileContext, decode_file};
use chatvault::index::schema::schema;
use chatvault::index::tokenizer::{ChatTokenizer, TOKENIZER, words};
use chatvault::index::{Writer, WriterOptions, document, index_settings};
use chatvault::simulator::{BodyOptions, FormMix, WorldConfig, write_corpus};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use tantivy::directory::RamDirectory;
use tantivy::store::{Compressor, ZstdCompressor};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};
use tantivy::{Index, IndexSettings, TantivyDocument};

fn main() {
    divan::main();
}

/// An account's files; the folder lives as long as the program.
struct Account {
    _folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
    files: Vec<Vec<u8>>,
    json_bytes: u64,
}

static ACCOUNT: LazyLock<Account> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temp folder");
    let world = WorldConfig {
        conversations: 3000,
        hours: 12,
        parts_per_hour: 1,
        forms: FormMix::NdjsonOnly,
        ..WorldConfig::default()
    };
    let written = write_corpus(folder.path(), &world, BodyOptions::default()).expect("the corpus is written");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder.path()).expect("readable").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let files = paths.iter().map(|path| std::fs::read(path).expect("readable")).collect();
    Account { _folder: folder, paths, files, json_bytes: written.json_bytes }
});

static REVISIONS: LazyLock<Vec<Revision>> = LazyLock::new(|| {
    let context = FileContext {
        path: "files/x".into(),
        sha256: "0".repeat(64),
        window_start_ms: Some(0),
        account_id: "40112233".into(),
        salvaged: None,
    };
    let mut revisions = Vec::new();
    for file in &ACCOUNT.files {
        let mut sink = |revision| {
            revisions.push(revision);
            true
        };
        decode_file(Cursor::new(file), &context, DecodeLimits::default(), &mut sink).expect("memory");
    }
    revisions
});

fn stored() -> Vec<StoredConversation> {
    REVISIONS.iter().map(|revision| StoredConversation { revisions: vec![revision.clone()] }).collect()
}

mod inflate {
    use super::*;

    /// As decode does it: through a reader, 256 KiB at a time.
    #[divan::bench(args = [16, 64, 256, 1024])]
    fn reader(bencher: Bencher, kib: usize) {
        bencher.counter(BytesCount::new(ACCOUNT.json_bytes)).bench_local(|| {
            let mut buffer = vec![0; kib << 10];
            for file in &ACCOUNT.files {
                let mut text = MultiGzDecoder::new(file.as_slice());
                while text.read(&mut buffer).expect("a whole file") > 0 {
                    divan::black_box(&buffer);
                }
            }
        });
    }

    /// The backend alone, without check sums: what no reader can be faster than.
    #[divan::bench]
    fn backend(bencher: Bencher) {
        bencher.counter(BytesCount::new(ACCOUNT.json_bytes)).bench_local(|| {
            let mut buffer = vec![0; 256 << 10];
            for file in &ACCOUNT.files {
                let mut member = file.as_slice();
                // A header without name or comment has 10 bytes; a trailer has 8.
                while member.len() > 18 {
                    let mut inflate = Decompress::new(false);
                    let body = &member[10..];
                    loop {
                        let read = inflate.total_in() as usize;
                        let status = inflate.decompress(&body[read..], &mut buffer, FlushDecompress::None);
                        if status.expect("a whole file") == Status::StreamEnd {
                            break;
                        }
                    }
                    member = &body[inflate.total_in() as usize + 8..];
                }
            }
        });
    }
}

/// Inflating and a minimal typed parse: the first half of the floor.
#[divan::bench]
fn inflate_and_minimal_parse(bencher: Bencher) {
    bencher
        .counter(BytesCount::new(ACCOUNT.json_bytes))
        .bench_local(|| ACCOUNT.paths.iter().map(|path| minimal_parse(path).expect("a whole file")).sum::<u64>());
}

/// The same sentence, where folding has nothing to do, where it has, and where words are characters.
#[divan::bench(args = ["ascii", "accents", "cyrillic", "chinese", "kana", "hindi", "emoji", "urls"])]
fn tokenize(bencher: Bencher, script: &str) {
    let sentence = match script {
        "ascii" => "Hello, I still have not received my order from last week; can you check it please? ",
        "accents" => "Bonjour, où en est ma réclamation déposée à Nîmes ? Später wäre es schön, größer zu denken. ",
        "cyrillic" => "Здравствуйте, я до сих пор не получил свой заказ, проверьте, пожалуйста, ещё раз. ",
        "chinese" => "您好,我上周的订单还没有收到,请帮我查一下退款是否到账,谢谢。",
        "kana" => "こんにちは。先週の注文がまだ届いていません。キャンセルできますか。",
        "hindi" => "नमस्ते, मुझे पिछले हफ्ते का ऑर्डर अभी तक नहीं मिला है, कृपया जाँच करें। ",
        "emoji" => "great 👍🏽 thanks 😀 so much ❤️ bye 👋 ",
        _ => "see https://www.example.org/orders/4711?ref=mail_2 or write to first.last@mail.example.org now ",
    };
    let text = sentence.repeat(64 * 1024 / sentence.len());
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        let mut reader = words(&text);
        let mut count = 0;
        while let Some(word) = reader.next_word() {
            count += word.text.len();
        }
        count
    });
}

/// Tantivy's own tokenizer on ASCII: what ours is measured by.
#[divan::bench]
fn tokenize_ascii_by_default(bencher: Bencher) {
    let sentence = "Hello, I still have not received my order from last week; can you check it please? ";
    let text = sentence.repeat(64 * 1024 / sentence.len());
    let mut analyzer = TokenizerManager::default().get("default").expect("tantivy has one");
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        let (mut stream, mut count) = (analyzer.token_stream(&text), 0);
        while stream.advance() {
            count += stream.token().text.len();
        }
        count
    });
}

/// Conversations in memory → documents.
#[divan::bench]
fn build_documents(bencher: Bencher) {
    let (_, fields) = schema();
    let conversations = stored();
    bencher
        .counter(BytesCount::new(ACCOUNT.json_bytes))
        .counter(ItemsCount::new(conversations.len()))
        .bench_local(|| conversations.iter().map(|stored| document(&fields, stored).len()).sum::<usize>());
}

/// How documents are stored, by name.
fn store(name: &str) -> IndexSettings {
    let zstd = |level| Compressor::Zstd(ZstdCompressor { compression_level: Some(level) });
    let (docstore_compression, kib) = match name {
        "none 64k" => (Compressor::None, 64),
        "lz4 16k" => (Compressor::Lz4, 16),
        "lz4 64k" => (Compressor::Lz4, 64),
        "lz4 256k" => (Compressor::Lz4, 256),
        "zstd-1 64k" => (zstd(1), 64),
        "zstd-3 64k" => (zstd(3), 64),
        _ => (zstd(3), 256),
    };
    IndexSettings { docstore_compression, docstore_blocksize: kib << 10, ..index_settings() }
}

/// Ready documents → one segment, in memory, by what the document store does with them. Prints what it takes, too.
#[divan::bench(
    args = ["none 64k", "lz4 16k", "lz4 64k", "lz4 256k", "zstd-1 64k", "zstd-3 64k", "zstd-3 256k"],
    sample_count = 5
)]
fn document_store(bencher: Bencher, name: &str) {
    let (schema, fields) = schema();
    let ready: Vec<TantivyDocument> = stored().iter().map(|stored| document(&fields, stored)).collect();
    let tokenizers = TokenizerManager::default();
    tokenizers.register(TOKENIZER, TextAnalyzer::from(ChatTokenizer::default()));
    let load = |ready: Vec<TantivyDocument>| {
        let builder = Index::builder().schema(schema.clone()).settings(store(name)).tokenizers(tokenizers.clone());
        let mut writer = builder.single_segment_index_writer(RamDirectory::create(), 512 << 20).expect("memory");
        for document in ready {
            writer.add_document(document).expect("memory");
        }
        writer.finalize().expect("memory")
    };
    let index = load(ready.clone());
    let space = index.reader().expect("memory").searcher().space_usage().expect("memory");
    let store_bytes: u64 = space.segments().iter().map(|segment| segment.store().data_usage().get_bytes()).sum();
    println!("{name}: the store takes {:.3} of the JSON", store_bytes as f64 / ACCOUNT.json_bytes as f64);
    bencher.counter(BytesCount::new(ACCOUNT.json_bytes)).with_inputs(|| ready.clone()).bench_local_values(load);
}

/// A load into an empty index, which no key can be in; and the same files again, where every key is known and everything is merged.
#[divan::bench(args = ["first load", "every key known", "one hour into all"], sample_count = 5)]
fn upsert(bencher: Bencher, case: &str) {
    let load = |folder: &tempfile::TempDir, revisions: &[Revision], sequence| {
        let mut writer =
            Writer::open(folder.path(), Arc::new(RealDisk), WriterOptions::default()).expect("a good index");
        for revision in revisions {
            writer.add(revision.clone()).expect("added");
        }
        writer.commit(sequence).expect("committed");
        writer.finish().expect("finished");
    };
    let revisions = match case {
        "one hour into all" => &REVISIONS[..REVISIONS.len() / 12],
        _ => &REVISIONS[..],
    };
    bencher
        .counter(ItemsCount::new(revisions.len()))
        .with_inputs(|| {
            let folder = tempfile::tempdir().expect("a temp folder");
            if case != "first load" {
                load(&folder, &REVISIONS, 1);
            }
            folder
        })
        .bench_local_values(|folder| {
            load(&folder, revisions, 2);
            folder
        });
}
