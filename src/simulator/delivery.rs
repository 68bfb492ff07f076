//! Sends bodies: whole, streamed, or damaged the way the script wants.
//!
//! Small files are made once, kept in a short cache and sent with their length. Large ones flow from
//! a blocking task through a bounded channel, so that a file of any size needs little memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::mpsc;

use super::body::{BodyOptions, write_file};
use super::calendar::FileSpec;
use super::script::Fault;
use super::world::World;

/// Bytes of compressed files kept for repeated downloads.
const CACHED_BYTES: usize = 48 * 1024 * 1024;
const CHUNK_BYTES: usize = 128 * 1024;
const CHUNKS_IN_FLIGHT: usize = 4;
/// Pause that lets the first half of a body leave before the connection breaks.
const BEFORE_CUT: Duration = Duration::from_millis(25);

/// Recently made files, oldest first.
#[derive(Debug, Default)]
pub(super) struct FileCache(Mutex<VecDeque<(FileSpec, BodyOptions, Bytes)>>);

impl FileCache {
    fn find(&self, file: &FileSpec, options: BodyOptions) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(spec, made, _)| spec == file && *made == options);
        found.map(|(_, _, bytes)| bytes.clone())
    }

    fn keep(&self, file: FileSpec, options: BodyOptions, bytes: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((file, options, bytes));
        let mut total: usize = kept.iter().map(|(_, _, bytes)| bytes.len()).sum();
        while total > CACHED_BYTES {
            let Some((_, _, dropped)) = kept.pop_front() else {
                break;
            };
            total -= dropped.len();
        }
    }
}

/// How files are made.
#[derive(Debug, Clone)]
pub(super) struct Making {
    /// Level of compression, 0 to 9.
    pub(super) gzip_level: u32,
    /// Files with more records are streamed.
    pub(super) records_in_memory: u64,
    /// Where files lie ready that no fault shall damage.
    pub(super) ready_files: Option<PathBuf>,
}

/// Answers a download.
pub(super) async fn file(
    world: &Arc<World>,
    cache: &FileCache,
    file: FileSpec,
    making: &Making,
    faults: &[Fault],
) -> Response {
    if let (Some(folder), []) = (&making.ready_files, faults) {
        return match tokio::fs::read(folder.join(file.name())).await {
            Ok(bytes) => whole(StatusCode::OK, "application/gzip", Bytes::from(bytes), faults),
            Err(error) => failed(&error),
        };
    }
    let options = BodyOptions {
        gzip_level: making.gzip_level,
        broken_record: faults.contains(&Fault::BrokenRecord),
        cut_json: faults.contains(&Fault::TruncatedJson),
    };
    let damaged = faults.iter().any(damages_bytes);
    if !damaged && world.conversation_records_in(&file) > making.records_in_memory {
        return streamed(Arc::clone(world), file, options);
    }
    let bytes = match cache.find(&file, options) {
        Some(bytes) => bytes,
        None => match made(Arc::clone(world), file.clone(), options).await {
            Ok(bytes) => {
                cache.keep(file, options, bytes.clone());
                bytes
            }
            Err(error) => return failed(&error),
        },
    };
    whole(StatusCode::OK, "application/gzip", bytes, faults)
}

/// Sends bytes with their length, unless a fault says otherwise.
pub(super) fn whole(status: StatusCode, content_type: &'static str, bytes: Bytes, faults: &[Fault]) -> Response {
    let mut bytes = bytes;
    let mut promised = None;
    let mut interruption = None;
    for fault in faults {
        match fault {
            Fault::EmptyFile => bytes = Bytes::new(),
            Fault::TruncatedGzip => bytes = bytes.slice(..bytes.len() / 2),
            Fault::TruncatedJson if content_type == "application/json" => {
                bytes = bytes.slice(..bytes.len() / 2);
            }
            Fault::CorruptGzip => bytes = corrupt(&bytes),
            Fault::WrongLength => {
                promised = Some(bytes.len() + 100);
                interruption = Some(Interruption::Short);
            }
            Fault::CutBody => interruption = Some(Interruption::Cut),
            Fault::Stall(pause) => interruption = Some(Interruption::Pause(*pause)),
            _ => {}
        }
    }
    let length = promised.unwrap_or(bytes.len());
    let body = match interruption {
        Some(interruption) => interrupted(bytes, interruption),
        None => Body::from(bytes),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn damages_bytes(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::CutBody
            | Fault::WrongLength
            | Fault::Stall(_)
            | Fault::TruncatedGzip
            | Fault::CorruptGzip
            | Fault::EmptyFile
    )
}

/// Changes one byte in the middle.
fn corrupt(bytes: &Bytes) -> Bytes {
    let mut changed = bytes.to_vec();
    let middle = changed.len() / 2;
    if let Some(byte) = changed.get_mut(middle) {
        *byte ^= 0x55;
    }
    Bytes::from(changed)
}

#[derive(Clone, Copy)]
enum Interruption {
    Cut,
    Pause(Duration),
    Short,
}

/// Half of the bytes, then what the interruption says; `Short` ends after all of them.
fn interrupted(bytes: Bytes, interruption: Interruption) -> Body {
    let half = bytes.len() / 2;
    let halves = stream::unfold(0, move |step| {
        let bytes = bytes.clone();
        async move {
            match (step, interruption) {
                (0, Interruption::Short) => Some((Ok(bytes), 1)),
                (1, Interruption::Short) => {
                    tokio::time::sleep(BEFORE_CUT).await;
                    None
                }
                (0, _) => Some((Ok(bytes.slice(..half)), 1)),
                (1, Interruption::Cut) => {
                    tokio::time::sleep(BEFORE_CUT).await;
                    Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), 2))
                }
                (1, Interruption::Pause(pause)) => {
                    tokio::time::sleep(pause).await;
                    Some((Ok(bytes.slice(half..)), 2))
                }
                _ => None,
            }
        }
    });
    Body::from_stream(halves)
}

async fn made(world: Arc<World>, file: FileSpec, options: BodyOptions) -> io::Result<Bytes> {
    let making = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        write_file(&world, &file, options, &mut bytes).map_err(io::Error::other)?;
        Ok(Bytes::from(bytes))
    });
    making.await.map_err(io::Error::other)?
}

fn failed(error: &io::Error) -> Response {
    let text = Bytes::from(error.to_string());
    whole(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", text, &[])
}

fn streamed(world: Arc<World>, file: FileSpec, options: BodyOptions) -> Response {
    let (sender, mut receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    tokio::task::spawn_blocking(move || {
        let mut writer = ChannelWriter { sender, chunk: Vec::with_capacity(CHUNK_BYTES) };
        // A client that went away ends the writing; the connection is gone, nobody to tell.
        let _ = write_file(&world, &file, options, &mut writer);
    });
    let chunks = stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut response = Response::new(Body::from_stream(chunks));
    let content_type = HeaderValue::from_static("application/gzip");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// Passes written bytes on in chunks; blocks while the channel is full.
struct ChannelWriter {
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
    chunk: Vec<u8>,
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        let sent = self.sender.blocking_send(Ok(Bytes::from(chunk)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
