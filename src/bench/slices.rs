//! Feeds a stage with what a stage before it makes, without measuring that: in slices, so that memory does not grow with the files.
//!
//! Several lanes read and decode files. When each lane has its share of a slice (or no file left), all of them stand still, and
//! only then the measured work runs, on all cores. A slow lane costs time, never accuracy.

use super::error::BenchError;
use crate::conversation::Revision;
use crate::decode::{DecodeLimits, FileContext, decode_file};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Estimated memory of the items of one slice.
const SLICE_BYTES: usize = 256 << 20;

/// Decodes files into `items` and calls `work` with slice after slice, each divided into one part per thread.
///
/// `make` gives an item and the memory it takes, bytes.
pub(super) fn in_slices<T: Send>(
    files: &[PathBuf],
    threads: usize,
    make: &(dyn Fn(Revision) -> (T, usize) + Sync),
    work: &mut dyn FnMut(Vec<Vec<T>>) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    in_slices_of(SLICE_BYTES, files, threads, make, work)
}

fn in_slices_of<T: Send>(
    slice_bytes: usize,
    files: &[PathBuf],
    threads: usize,
    make: &(dyn Fn(Revision) -> (T, usize) + Sync),
    work: &mut dyn FnMut(Vec<Vec<T>>) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let threads = threads.max(1);
    let next = Mutex::new(files.iter());
    std::thread::scope(|scope| {
        let mut lanes: Vec<Lane<T>> = Vec::new();
        let mut workers = Vec::new();
        for _ in 0..threads {
            let (give, take) = sync_channel(0);
            let (go, may_go) = channel();
            lanes.push(Lane { full: take, go });
            let next = &next;
            workers.push(scope.spawn(move || -> Result<(), BenchError> {
                let mut filling = Filling { items: Vec::new(), bytes: 0, room: slice_bytes / threads };
                loop {
                    let file = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(file) = file else { break };
                    // A receiver that is gone has failed, and says why itself.
                    let mut is_wanted = true;
                    decode(file, &mut |revision| {
                        if filling.add(make(revision)) {
                            is_wanted = give.send(std::mem::take(&mut filling.items)).is_ok() && may_go.recv().is_ok();
                            filling.bytes = 0;
                        }
                        is_wanted
                    })?;
                    if !is_wanted {
                        return Ok(());
                    }
                }
                let _ = give.send(filling.items);
                Ok(())
            }));
        }
        let worked = take_turns(&lanes, threads, work);
        // Lanes that still wait are let go by their channels.
        drop(lanes);
        let lanes_ended = workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        worked.and(lanes_ended)
    })
}

/// The two channels to a lane.
struct Lane<T> {
    full: Receiver<Vec<T>>,
    go: Sender<()>,
}

struct Filling<T> {
    items: Vec<T>,
    bytes: usize,
    room: usize,
}

impl<T> Filling<T> {
    /// Whether it is full.
    fn add(&mut self, (item, bytes): (T, usize)) -> bool {
        self.items.push(item);
        self.bytes += bytes;
        self.bytes >= self.room
    }
}

fn take_turns<T>(
    lanes: &[Lane<T>],
    threads: usize,
    work: &mut dyn FnMut(Vec<Vec<T>>) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    loop {
        // A lane that has ended, well or not, gives nothing.
        let full: Vec<Option<Vec<T>>> = lanes.iter().map(|lane| lane.full.recv().ok()).collect();
        let items: Vec<T> = full.into_iter().flatten().flatten().collect();
        if items.is_empty() {
            return Ok(());
        }
        work(divided(items, threads))?;
        for lane in lanes {
            // A lane that has ended does not hear it.
            let _ = lane.go.send(());
        }
    }
}

/// Equal parts, in order.
fn divided<T>(mut items: Vec<T>, parts: usize) -> Vec<Vec<T>> {
    let share = items.len().div_ceil(parts).max(1);
    let mut divided = Vec::with_capacity(parts);
    while items.len() > share {
        let rest = items.split_off(share);
        divided.push(std::mem::replace(&mut items, rest));
    }
    divided.push(items);
    divided
}

/// Reads the conversations of one of the user's files.
pub(super) fn decode(
    path: &Path,
    sink: &mut dyn FnMut(Revision) -> bool,
) -> Result<crate::decode::FileReport, BenchError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let context = FileContext {
        path: format!("files/{name}"),
        sha256: "0".repeat(64),
        window_start_ms: None,
        account_id: super::job::ACCOUNT.to_owned(),
        salvaged: None,
    };
    let file = File::open(path).map_err(BenchError::file(path))?;
    decode_file(file, &context, DecodeLimits::default(), sink).map_err(BenchError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{BodyOptions, WorldConfig, write_corpus};

    #[test]
    fn every_conversation_comes_once_whatever_the_slices() {
        let folder = tempfile::tempdir().expect("a folder");
        let world = WorldConfig { conversations: 120, hours: 6, ..WorldConfig::default() };
        let written = write_corpus(folder.path(), &world, BodyOptions::default()).expect("written");
        let files: Vec<PathBuf> =
            std::fs::read_dir(folder.path()).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
        for (slice_bytes, threads) in [(1, 1), (1, 3), (20_000, 2), (usize::MAX, 2)] {
            let (mut seen, mut slices) = (Vec::new(), 0);
            let make = |revision: Revision| ((revision.records[0].file.clone(), revision.records[0].record), 1000);
            in_slices_of(slice_bytes, &files, threads, &make, &mut |parts| {
                assert!(parts.len() <= threads);
                slices += 1;
                seen.extend(parts.into_iter().flatten());
                Ok(())
            })
            .expect("measured");
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len() as u64, written.conversation_records, "slices of {slice_bytes}");
            assert_eq!(slices > 1, slice_bytes < usize::MAX);
        }
    }

    #[test]
    fn a_failure_ends_all_lanes() {
        let missing = [PathBuf::from("/nowhere/a"), PathBuf::from("/nowhere/b")];
        let make = |_: Revision| ((), 1);
        assert!(in_slices(&missing, 2, &make, &mut |_| Ok(())).is_err());
        let folder = tempfile::tempdir().expect("a folder");
        let world = WorldConfig { conversations: 40, hours: 3, ..WorldConfig::default() };
        write_corpus(folder.path(), &world, BodyOptions::default()).expect("written");
        let files: Vec<PathBuf> =
            std::fs::read_dir(folder.path()).expect("readable").map(|entry| entry.expect("an entry").path()).collect();
        let failed = in_slices_of(1, &files, 2, &make, &mut |_| Err(BenchError::Nothing));
        assert!(matches!(failed, Err(BenchError::Nothing)));
    }
}
