//! `search --digest` and `search --prove`: one number for a result, and the result held against the raw files.

use super::args::Search;
use super::exit::{Exit, Failure};
use super::keys::Keys;
use super::limits::Limits;
use super::output::{Output, counted, number, printable};
use chatvault::archive::Archive;
use chatvault::index::Reader;
use chatvault::pipeline::{self, Difference, Proof, ScanOptions, Side};
use chatvault::search::{Digest, SearchRequest, digest};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Instant;

/// Differences and files that a terminal gets one by one; `--ndjson` has every difference.
const SHOWN: usize = 50;

/// Differences that one document holds.
const LISTED: usize = 100_000;

pub(super) fn run(
    args: &Search,
    vault: &Path,
    archive: &Archive,
    reader: &Reader,
    request: &SearchRequest,
    head: Value,
    output: &Output,
) -> Result<Exit, Failure> {
    let mut document = match head {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    document.remove("next");
    if args.digest {
        let found = digest(reader, request)?;
        let ledger = ledger_head(archive, reader)?;
        if !output.for_machines() {
            print_digest(&found, &ledger);
        }
        document.insert("digest".into(), digest_json(&found, ledger));
    }
    let mut exit = Exit::Complete;
    if args.prove {
        let keys = Keys::of_environment();
        let decode = Limits::of_vault(vault)?.decode();
        let options = ScanOptions { decode, keys: keys.shared(), ..ScanOptions::default() };
        let started = Instant::now();
        let mut listed: Vec<Difference> = Vec::new();
        let mut unlisted = 0_u64;
        let mut failed = None;
        let proof = pipeline::prove(archive, reader, request, &options, &mut |difference| {
            if output.ndjson {
                failed = failed.take().or(output.document(difference_json(&difference, true), "difference").err());
            } else if listed.len() < if output.json { LISTED } else { SHOWN } {
                listed.push(difference);
            } else {
                unlisted += 1;
            }
        })?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        exit = exit_of(&proof, keys.problem().is_some());
        if output.for_machines() {
            let elapsed_s = started.elapsed().as_secs_f64();
            document.insert("prove".into(), proof_json(&proof, &listed, unlisted, elapsed_s, keys.problem()));
        } else {
            print_proof(&proof, &listed, unlisted, keys.problem(), started.elapsed().as_secs_f64());
        }
    }
    if output.for_machines() {
        output.document(Value::Object(document), "summary")?;
    }
    Ok(exit)
}

fn exit_of(proof: &Proof, has_no_key: bool) -> Exit {
    if !proof.agrees() {
        Exit::NotVerified
    } else if proof.counts.unreadable > 0 {
        Exit::SomeFailed
    } else if proof.counts.closed > 0 || has_no_key {
        Exit::Key
    } else {
        Exit::Complete
    }
}

/// The event of the audit chain that published the last file which the index holds.
fn ledger_head(archive: &Archive, reader: &Reader) -> Result<Value, Failure> {
    let files = reader.checkpoint().sequence;
    let last = archive.files_after(files.saturating_sub(1))?.into_iter().find(|file| file.sequence == files);
    let event = match &last {
        Some(file) => archive.event_of_file(&file.path)?,
        None => None,
    };
    let event = match event {
        Some(event) => archive.events_after(event.saturating_sub(1), 1)?.into_iter().next(),
        None => None,
    };
    Ok(json!({
        "files": files,
        "event": event.as_ref().map(|event| event.seq),
        "hash": event.as_ref().map(|event| event.hash.to_string()),
    }))
}

fn digest_json(found: &Digest, ledger: Value) -> Value {
    json!({
        "sha256": found.sha256,
        "count": found.count,
        "query": found.query,
        "ledger": ledger,
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn print_digest(found: &Digest, ledger: &Value) {
    outln!("sha256   {}", found.sha256);
    outln!("keys     {}", found.count);
    outln!("query    {}", printable(&found.query));
    match (ledger["event"].as_u64(), ledger["hash"].as_str()) {
        (Some(event), Some(hash)) => outln!("ledger   {} files, event {event} {hash}", ledger["files"]),
        _ => outln!("ledger   {} files", ledger["files"]),
    }
    outln!("version  chatvault {}", env!("CARGO_PKG_VERSION"));
}

fn difference_json(difference: &Difference, with_side: bool) -> Value {
    let mut value = json!({
        "key": difference.key,
        "conversation_id": difference.conversation_id,
        "file": difference.file,
        "record": difference.record,
    });
    if with_side {
        value["side"] = json!(side(difference.side));
    }
    value
}

fn side(side: Side) -> &'static str {
    match side {
        Side::MissingInIndex => "missing_in_index",
        Side::NotInScan => "not_in_scan",
    }
}

fn proof_json(proof: &Proof, listed: &[Difference], unlisted: u64, elapsed_s: f64, key_problem: Option<&str>) -> Value {
    let of = |wanted: Side| -> Vec<Value> {
        let here = listed.iter().filter(|difference| difference.side == wanted);
        here.map(|difference| difference_json(difference, false)).collect()
    };
    let counts = &proof.counts;
    json!({
        "scanned_files": counts.files,
        "scanned_records": counts.records,
        "scanned_conversations": proof.conversations,
        "records_in_archive": counts.records + counts.unreadable,
        "proven_records": counts.records.saturating_sub(counts.closed),
        "closed_records": counts.closed,
        "unreadable_records": counts.unreadable,
        "unread_files": counts.unread,
        "more_unread_files": counts.more_unread,
        "files_behind": proof.files_behind,
        "index": proof.index,
        "scan": proof.scan,
        "missing_in_index": of(Side::MissingInIndex),
        "not_in_scan": of(Side::NotInScan),
        "missing_in_index_count": proof.missing_in_index,
        "not_in_scan_count": proof.not_in_scan,
        "differences_not_listed": unlisted,
        "recall": proof.recall(),
        "precision": proof.precision(),
        "agrees": proof.agrees(),
        "shares": proof.shares,
        "key_problem": key_problem,
        "elapsed_s": elapsed_s,
    })
}

fn print_proof(proof: &Proof, listed: &[Difference], unlisted: u64, key_problem: Option<&str>, elapsed_s: f64) {
    let counts = &proof.counts;
    for difference in listed {
        outln!(
            "{:16}  {}  {} record {}",
            side(difference.side),
            printable(difference.conversation_id.as_deref().unwrap_or(&difference.key)),
            printable(&difference.file),
            difference.record
        );
    }
    if unlisted > 0 {
        outln!("{} not shown; --ndjson lists all", counted(unlisted, "further difference"));
    }
    outln!("the index finds     {:>12}", number(proof.index));
    outln!("the raw files say   {:>12}", number(proof.scan));
    outln!("recall              {:>12}", share(proof.recall()));
    outln!("precision           {:>12}", share(proof.precision()));
    outln!(
        "proved over {} of {} records: {} in {} ({elapsed_s:.1} s)",
        number(counts.records.saturating_sub(counts.closed)),
        number(counts.records + counts.unreadable),
        counted(proof.conversations, "conversation"),
        counted(counts.files, "file")
    );
    for file in counts.unread.iter().take(SHOWN) {
        let what = match (file.unreadable, file.closed) {
            (0, closed) => format!("{} closed", number(closed)),
            (unreadable, 0) => format!("{} unreadable", number(unreadable)),
            (unreadable, closed) => format!("{} unreadable, {} closed", number(unreadable), number(closed)),
        };
        outln!("  not proved: {}: {what}: {}", printable(&file.file), printable(&file.reason));
    }
    let more = counts.unread.len().saturating_sub(SHOWN) as u64 + counts.more_unread;
    if more > 0 {
        outln!("  not proved: {}; --json names them", counted(more, "further file"));
    }
    if let Some(problem) = key_problem {
        outln!("  no PGP key: {}", printable(problem));
    }
    if !proof.agrees() {
        let cure = match proof.files_behind {
            0 => "chatvault index --rebuild",
            _ => "chatvault index",
        };
        outln!("THE INDEX DIFFERS from the archive: run `{cure}`, then this again");
    }
}

/// Every digit that tells it from 1.
fn share(part: f64) -> String {
    if part >= 1.0 { "1".to_owned() } else { format!("{part:.6}") }
}
