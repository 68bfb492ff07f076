//! One file from LivePerson into the archive, streamed.
//!
//! The network side hands pieces over a bounded channel to a blocking thread that owns the draft, so a slow disk slows
//! the download and nothing else, and memory stays at a few pieces per connection. Bytes that are neither gzip nor zip
//! never reach the archive; a length or trailer that does not fit is the archive's to judge (it quarantines).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;
use url::Url;

use crate::archive::{Archive, ArchiveError, Arrival, ListedFile, Provenance, Published, Salvageable};

use super::engine::{Engine, GivenUp, Stop, blocking, join};
use super::error::{Fault, ProblemKind};
use super::http::{Reply, USER_AGENT, printable};
use super::report::AcquireEvent;
use super::source::{ApiRequest, status_problem, words};

/// Bytes gathered before they are handed to the writer.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that may wait for the disk.
const PIECES_WAITING: usize = 4;
/// LivePerson documents no type for the files.
const ACCEPT: &str = "*/*";

/// What came of one file.
pub(super) struct Fetched {
    pub(super) outcome: Result<Published, GivenUp>,
    /// Of a file that only came damaged: what could be read of it.
    pub(super) salvaged: Option<Published>,
}

/// Of the damaged bodies of one file the one of which most can be read.
type Best = Mutex<Option<Box<Salvageable>>>;

/// Fetches and publishes one file, with retries. Nothing of a failed attempt stays under `files/` or `tmp/`. Only when all attempts
/// are made is anything salvaged: the next one may bring the whole file.
pub(super) async fn fetch(engine: &Engine, archive: &Archive, file: &ListedFile) -> Fetched {
    let best = Best::default();
    let outcome = engine.with_retries(&file.name, &engine.policy, || attempt(engine, archive, file, &best)).await;
    let best = best.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (Err(GivenUp::Failed { kind, reason, attempts }), Some(best)) = (&outcome, best) else {
        return Fetched { outcome, salvaged: None };
    };
    match blocking(archive, move |archive| archive.salvage(&best)).await {
        Ok(salvaged) => {
            let reason = format!("{reason}; what could be read of it is kept as {}", salvaged.file().path);
            let outcome = Err(GivenUp::Failed { kind: *kind, reason, attempts: *attempts });
            Fetched { outcome, salvaged: Some(salvaged) }
        }
        Err(error) => {
            engine.stop(Stop::Archive(error));
            Fetched { outcome, salvaged: None }
        }
    }
}

async fn attempt(engine: &Engine, archive: &Archive, file: &ListedFile, best: &Best) -> Result<Published, Fault> {
    let url = Url::parse(&file.href)
        .map_err(|error| Fault::of(ProblemKind::RefusedHost, format!("its address cannot be read: {error}")))?;
    let request = ApiRequest { url, accept: ACCEPT, json: None };
    let mut reply = engine.unless_ended(engine.http.send(&request)).await??;
    if reply.status() != 200 {
        let retry_after = reply.retry_after();
        let problem = status_problem(&engine.unless_ended(reply.into_head()).await?);
        return Err(Fault::Answer { kind: problem.kind, reason: problem.reason, retry_after });
    }
    let expected_bytes = reply.content_length();
    let arrival =
        Arrival { window: file.window, expected_bytes, provenance: provenance(&reply, ACCEPT), reread: false };
    let (stream, name) = (file.stream.clone(), file.name.clone());
    engine.tell(AcquireEvent::Started { stream, name, expected_bytes });

    let mut piece = Vec::new();
    let mut at_end = false;
    while piece.len() < 4 && !at_end {
        at_end = !receive(engine, &mut reply, &mut piece).await?;
    }
    // An empty body goes to the archive, which keeps the evidence.
    if !piece.is_empty() && !is_container(&piece) {
        return Err(Fault::of(ProblemKind::NotAFile, not_a_file(&reply, &piece)));
    }

    let (pieces, for_writer) = mpsc::channel(PIECES_WAITING);
    let writer = tokio::task::spawn_blocking({
        let (archive, stream, name) = (archive.clone(), file.stream.clone(), file.name.clone());
        move || write(&archive, &stream, &name, for_writer)
    });
    let received = pass_on(engine, reply, piece, at_end, &pieces).await;
    if received.is_ok() {
        // Fails only if the writer has failed; its own result says why.
        let _ = pieces.send(Piece::End(Box::new(arrival))).await;
    }
    drop(pieces);
    // Waited for in every case, so that no draft outlives the run, and a publication that has begun is counted.
    let written = join(writer).await;
    match (received, written) {
        (_, Err(error)) => Err(archive_fault(error, best)),
        (Err(fault), Ok(_)) => Err(fault),
        (Ok(()), Ok(Some(published))) => Ok(published),
        (Ok(()), Ok(None)) => Err(Fault::Cancelled),
    }
}

/// Reads one chunk into `piece`; false at the end of the body.
async fn receive(engine: &Engine, reply: &mut Reply, piece: &mut Vec<u8>) -> Result<bool, Fault> {
    let Some(chunk) = engine.unless_ended(reply.chunk()).await?? else { return Ok(false) };
    let chunk = chunk.as_ref();
    engine.tell(AcquireEvent::Received { bytes: u64::try_from(chunk.len()).unwrap_or(u64::MAX) });
    piece.extend_from_slice(chunk);
    Ok(true)
}

/// The body, piece by piece, to the writer. The connection is free when this returns, before the file is fsynced.
async fn pass_on(
    engine: &Engine,
    mut reply: Reply,
    mut piece: Vec<u8>,
    mut at_end: bool,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), Fault> {
    loop {
        while piece.len() < PIECE_BYTES && !at_end {
            at_end = !receive(engine, &mut reply, &mut piece).await?;
        }
        if !piece.is_empty() {
            let full = std::mem::take(&mut piece);
            if engine.unless_ended(pieces.send(Piece::Bytes(full))).await?.is_err() {
                // The writer is gone; its result says why.
                return Ok(());
            }
        }
        if at_end {
            return Ok(());
        }
    }
}

/// What travels to the writer. Without an `End` the draft is dropped, whatever came before.
enum Piece {
    Bytes(Vec<u8>),
    End(Box<Arrival>),
}

/// Runs on a blocking thread: owns the draft from its first byte to its publication.
fn write(
    archive: &Archive,
    stream: &str,
    name: &str,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<Option<Published>, ArchiveError> {
    let mut draft = archive.draft(stream, name)?;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => draft.append(&bytes)?,
            Piece::End(arrival) => return archive.publish(draft, *arrival).map(Some),
        }
    }
    Ok(None)
}

/// Damage and refusals concern this file alone; anything else would hit the next file too.
fn archive_fault(error: ArchiveError, best: &Best) -> Fault {
    match error {
        ArchiveError::Damaged { reason, quarantined_as, salvageable, .. } => {
            let mut best = best.lock().unwrap_or_else(PoisonError::into_inner);
            let readable = |found: &Option<Box<Salvageable>>| found.as_ref().map(|found| found.prefix.good_bytes);
            if readable(&salvageable) > readable(&best) {
                *best = salvageable;
            }
            Fault::of(ProblemKind::Damaged, format!("{reason}; kept as {quarantined_as}"))
        }
        error @ (ArchiveError::UnsafeName { .. } | ArchiveError::BadWindow { .. }) => {
            Fault::of(ProblemKind::Archive, error.to_string())
        }
        error => Fault::Archive(error),
    }
}

fn is_container(head: &[u8]) -> bool {
    head.starts_with(b"\x1f\x8b") || head.starts_with(b"PK")
}

fn not_a_file(reply: &Reply, head: &[u8]) -> String {
    let declared = reply.header("content-type").map(|text| format!(" ({text})")).unwrap_or_default();
    let is_text = head.iter().take(64).all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
    let said = if is_text { format!(": {}", words(head)) } else { String::new() };
    format!("the body is neither gzip nor zip{declared}{said}")
}

/// Where the bytes came from; no header that carries a secret.
pub(super) fn provenance(reply: &Reply, accept: &str) -> Provenance {
    const KEPT: [&str; 8] = [
        "content-type",
        "content-length",
        "content-encoding",
        "content-md5",
        "etag",
        "last-modified",
        "date",
        "server",
    ];
    let mut response = BTreeMap::from([("status".to_owned(), reply.status().to_string())]);
    for name in KEPT {
        if let Some(value) = reply.header(name) {
            response.insert(name.to_owned(), value);
        }
    }
    let request = [("accept", accept), ("user-agent", USER_AGENT)];
    Provenance {
        origin: printable(&reply.url),
        request: request.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        response,
        clock_offset_ms: reply.clock_offset_ms,
        program: format!("chatvault {}", env!("CARGO_PKG_VERSION")),
        custody: Vec::new(),
        salvage: None,
    }
}
