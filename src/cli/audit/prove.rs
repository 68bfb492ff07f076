//! `audit prove` makes a proof of a conversation, `audit check` accepts or refuses one without the vault.

use super::super::exit::{Exit, Failure};
use super::super::limits::{Limits, MAX_RECORD_BYTES};
use super::super::output::{Output, Style, bytes, counted, json_time, printable};
use super::super::{now_ms, open, open_index, show};
use super::{anchor, on, write_document};
use chatvault::archive::{Archive, Proof, ProvenRecord, Refusal, Sha256Hex};
use chatvault::conversation::Record;
use chatvault::decode::{DecodeLimits, locate_record};
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub(crate) struct Prove {
    /// Conversation id, or a hit's key
    #[arg(value_name = "ID")]
    id: String,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// End at this event, one that was written down [default: the newest anchor behind the records, else the last event]
    #[arg(long, value_name = "SEQ")]
    head: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// A proof, or an anchor
    #[arg(value_name = "FILE")]
    document: PathBuf,
    /// An archived file that the proof names: its bytes and the record in it are checked too; can be repeated
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// A head that was written down: its hash must be among the events of the proof
    #[arg(long, value_name = "HASH")]
    head: Option<Sha256Hex>,
}

pub(super) fn run(args: &Prove, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let archive = open(vault)?;
    let limits = Limits::of_vault(vault)?.decode();
    let stored = show::find(&archive, &open_index(vault)?, &args.id)?;
    let mut records = Vec::new();
    // The id as the bytes give it: one that came encrypted is not in them for whoever checks the proof.
    let mut conversation_id = None;
    for record in stored.revisions.iter().flat_map(|revision| &revision.records) {
        let (record, id) = proven(&archive, record, limits)?;
        records.push(record);
        conversation_id = conversation_id.or(id);
    }
    let wanted: Vec<u64> = records.iter().map(|record| record.event).collect();
    let newest = wanted.iter().copied().max().unwrap_or(1);
    let head = match args.head {
        Some(head) => head,
        None => archive.natural_head(newest)?.unwrap_or(newest),
    };
    let events = archive.ties(&wanted, head)?;
    let end = events.last().map(|last| chatvault::archive::Head { seq: last.event.seq, hash: last.event.hash });
    let Some(end) = end else {
        return Err(Failure::usage(format!("event {head} cannot be the head of this proof"))
            .hint(format!("name one from {newest} on that `chatvault audit list` shows")));
    };
    let proof = Proof {
        schema_version: 1,
        kind: Proof::KIND.to_owned(),
        account_id: archive.account_id().to_owned(),
        conversation_id,
        key: stored.key(),
        made_ms: now_ms(),
        program: concat!("chatvault ", env!("CARGO_PKG_VERSION")).to_owned(),
        records,
        events,
        head: end,
    };
    proof.check().map_err(|refusal| not_proven(format!("the audit chain gives no proof: {refusal}")))?;
    let length = write_document(&proof.to_json(), args.out.as_deref())?;
    output.note(&format!(
        "{} in {}, tied by {} to head {} {}",
        counted(proof.records.len() as u64, "record"),
        bytes(length as u64),
        counted(proof.events.len() as u64, "event"),
        end.seq,
        end.hash
    ));
    let is_long = proof.events.len() > proof.records.len() + 20;
    if is_long {
        output.note(
            "every later event is in the proof; after `chatvault audit anchor` a new one needs a few hashes instead",
        );
    }
    Ok(Exit::Complete)
}

/// Reads the record's file as a whole: nothing is proven that does not hold now.
fn proven(archive: &Archive, record: &Record, limits: DecodeLimits) -> Result<(ProvenRecord, Option<String>), Failure> {
    let shown = printable(&record.file);
    let (file, event) = match (archive.file_by_path(&record.file)?, archive.event_of_file(&record.file)?) {
        (Some(file), Some(event)) if file.sha256.to_string() == record.sha256 => (file, event),
        _ => return Err(not_proven(format!("{shown} is not in the ledger as the index knows it"))),
    };
    if sha256_of(archive.open_file(&file)?)? != file.sha256 {
        return Err(not_proven(format!("the bytes of {shown} are not those that were archived")));
    }
    let raw = locate_record(BufReader::new(archive.open_file(&file)?), record.record, limits)?
        .ok_or_else(|| not_proven(format!("{shown} has no record {}", record.record)))?;
    let proven = ProvenRecord {
        file: file.path,
        sha256: file.sha256,
        size_bytes: file.size_bytes,
        record: record.record,
        offset: raw.offset,
        record_bytes: raw.json.len() as u64,
        record_sha256: Sha256Hex::of(&raw.json),
        event,
    };
    Ok((proven, raw.conversation_id))
}

fn not_proven(message: String) -> Failure {
    Failure::new(Exit::NotVerified, message).hint("run `chatvault verify`")
}

/// Checks a proof or an anchor.
pub(super) fn check(
    args: &Check,
    vault: &dyn Fn() -> Result<PathBuf, Failure>,
    output: &Output,
) -> Result<Exit, Failure> {
    let text = std::fs::read(&args.document).map_err(|error| on(&args.document, &error))?;
    let document: Value = serde_json::from_slice(&text).unwrap_or_default();
    if document["type"] == anchor::KIND {
        if !args.file.is_empty() || args.head.is_some() {
            return Err(Failure::usage("--file and --head go with a proof; this is an anchor"));
        }
        return anchor::check(&document, &vault()?, output);
    }
    let checked = Proof::from_json(document).and_then(|proof| proof.check().map(|()| proof));
    let outcome = match checked {
        Ok(proof) => look_at_files(&proof, args)?.map(|seen| (proof, seen)),
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok((proof, seen)) => accepted(&proof, &seen, args, output),
        Err(refusal) => {
            if output.for_machines() {
                output.document(json!({ "kind": Proof::KIND, "ok": false, "reason": refusal.0 }), "check")?;
            } else {
                outln!("{}: {}", output.styled(Style::Bad, "REFUSED"), printable(&refusal.0));
            }
            Ok(Exit::NotVerified)
        }
    }
}

/// Which of the proof's records were found in the files at hand, by position. The outer error is that a file cannot be read.
fn look_at_files(proof: &Proof, args: &Check) -> Result<Result<Vec<bool>, Refusal>, Failure> {
    let mut seen = vec![false; proof.records.len()];
    if args.head.is_some_and(|head| !proof.passes(&head)) {
        return Ok(Err(Refusal("the head that was written down is not among its events".to_owned())));
    }
    for path in &args.file {
        let open = || File::open(path).map_err(|error| on(path, &error));
        let sha256 = sha256_of(open()?).map_err(|error| on(path, &error))?;
        let shown = path.display();
        let named: Vec<usize> = (0..seen.len()).filter(|at| proof.records[*at].sha256 == sha256).collect();
        if named.is_empty() {
            return Ok(Err(Refusal(format!("{shown} has SHA-256 {sha256}, which the proof does not name"))));
        }
        for at in named {
            let record = &proof.records[at];
            // As large as the record is said to be: what the vault's own limits were is not known here.
            let usual = DecodeLimits::default();
            let said = usize::try_from(record.record_bytes).unwrap_or(usize::MAX);
            let limits =
                DecodeLimits { max_record_bytes: said.clamp(usual.max_record_bytes, MAX_RECORD_BYTES), ..usual };
            let found =
                locate_record(BufReader::new(open()?), record.record, limits).map_err(|error| on(path, &error))?;
            let is_it = found.is_some_and(|raw| {
                Sha256Hex::of(&raw.json) == record.record_sha256
                    && raw.json.len() as u64 == record.record_bytes
                    && raw.offset == record.offset
                    && raw.conversation_id == proof.conversation_id
            });
            if !is_it {
                return Ok(Err(Refusal(format!("record {} of {shown} is not the one proven", record.record))));
            }
            seen[at] = true;
        }
    }
    Ok(Ok(seen))
}

fn accepted(proof: &Proof, seen: &[bool], args: &Check, output: &Output) -> Result<Exit, Failure> {
    let published = |event: u64| {
        let found = proof.events.iter().find(|proven| proven.event.seq == event);
        json_time(found.map(|proven| proven.event.time_ms))
    };
    if output.for_machines() {
        let records = proof.records.iter().zip(seen).map(|(record, seen)| {
            let mut value = json!(record);
            value["archived_time"] = published(record.event);
            value["bytes_checked"] = json!(seen);
            value
        });
        let document = json!({
            "kind": Proof::KIND, "ok": true, "account_id": proof.account_id, "conversation_id": proof.conversation_id,
            "key": proof.key, "head": proof.head, "head_compared": args.head.is_some(),
            "records": records.collect::<Vec<_>>(),
        });
        output.document(document, "check")?;
        return Ok(Exit::Complete);
    }
    outln!("{}: conversation {}", output.styled(Style::Good, "accepted"), printable(&proof.key));
    for (record, seen) in proof.records.iter().zip(seen) {
        let place = format!("record {} of {}", record.record, record.file);
        let time = published(record.event);
        let bytes = if *seen { "; its bytes are these" } else { "; its bytes were not looked at (--file)" };
        outln!("  {}, archived {}{bytes}", printable(&place), time.as_str().unwrap_or("at no time"));
        outln!("  file SHA-256 {}", record.sha256);
    }
    outln!("  head {} {}", proof.head.seq, proof.head.hash);
    match args.head {
        Some(head) => outln!("  passes through the head that was written down, {head}"),
        None => outln!("  compare this head with one that was written down elsewhere: `chatvault audit anchor`"),
    }
    Ok(Exit::Complete)
}

fn sha256_of(mut file: File) -> std::io::Result<Sha256Hex> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Sha256Hex(hasher.finalize().into())),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
