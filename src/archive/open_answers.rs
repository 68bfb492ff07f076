//! Open segments, as those see them who only read: the whole lines that are there now.
//!
//! `watch` seals its segments once an hour or so, and until then the answers lie under `open/` only. A segment may grow, be
//! sealed and vanish while it is read, so it is opened once and read up to where its last whole line ended then. What
//! lies there has no row in the manifest and no check sum yet.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use super::Archive;
use super::answers::{Measured, measure, sealed_name, stream_of};
use super::disk::EntryKind;
use super::entry::Window;
use super::error::ArchiveError;
use super::layout::OPEN;

/// The whole lines of an open segment at one moment.
#[derive(Clone, Debug)]
pub struct OpenAnswers {
    /// Path in the vault, such as `open/agent-metrics@1700000000000-0.ndjson`.
    pub path: String,
    /// Name of the file that it becomes.
    pub name: String,
    /// First to last answer.
    pub window: Window,
    /// A line is no API answer: what stands behind it is not read.
    pub is_broken: bool,
    bytes: u64,
    file: Arc<Mutex<File>>,
}

impl OpenAnswers {
    /// Reads the lines from the first one; any number of readers may do so at once.
    pub fn reader(&self) -> OpenAnswersReader {
        OpenAnswersReader { file: Arc::clone(&self.file), at: 0, bytes: self.bytes }
    }
}

/// A reader of whole lines.
#[derive(Debug)]
pub struct OpenAnswersReader {
    file: Arc<Mutex<File>>,
    at: u64,
    bytes: u64,
}

impl Read for OpenAnswersReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        // A position inside a file has no state that a panic could spoil.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.at))?;
        let read = file.read(&mut buffer[..length])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for OpenAnswersReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(distance) => self.bytes.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.at.checked_add_signed(distance),
        };
        self.at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the first byte"))?;
        Ok(self.at)
    }
}

impl Archive {
    /// The open segments of a stream that hold whole lines, by name. One that is sealed meanwhile may be in the manifest as
    /// well, under [`OpenAnswers::name`]: read the manifest after this, so that nothing is missed.
    ///
    /// # Errors
    /// [`Io`](ArchiveError::Io) for a folder or a segment that cannot be read.
    pub fn open_answers(&self, stream: &str) -> Result<Vec<OpenAnswers>, ArchiveError> {
        let folder = self.root().join(OPEN);
        let entries = self.disk().list(&folder).map_err(|source| ArchiveError::from_io(&folder, None, source))?;
        let mut found = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::File) {
            if stream_of(&entry.path).as_deref() != Some(stream) {
                continue;
            }
            let failed = |source| ArchiveError::from_io(&entry.path, None, source);
            let file = match self.disk().open(&entry.path) {
                // Sealed since the folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                outcome => outcome.map_err(failed)?,
            };
            let Measured { lines, is_broken } = measure(&file).map_err(failed)?;
            let Some(lines) = lines else { continue };
            let name = entry.path.file_name().unwrap_or_default().to_string_lossy();
            found.push(OpenAnswers {
                path: format!("{OPEN}/{name}"),
                name: sealed_name(&entry.path),
                window: lines.window,
                is_broken,
                bytes: lines.bytes,
                file: Arc::new(Mutex::new(file)),
            });
        }
        Ok(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::clock;
    use super::super::{ApiAnswer, RealDisk};
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn whole_lines_are_read_and_a_cut_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(folder.path(), "1", Arc::new(RealDisk), clock()).unwrap();
        let mut segment = archive.answers("agent-metrics").unwrap();
        let none = BTreeMap::new();
        let answer = |received_ms| ApiAnswer {
            stream: "agent-metrics",
            call: "agent-view/summary",
            method: "POST",
            url: "https://lo.example/a",
            request_body: &serde_json::Value::Null,
            status: 200,
            response: &none,
            received_ms,
            clock_offset_ms: None,
            body: b"{}",
        };
        for received_ms in [1_700_000_000_000, 1_700_000_000_500] {
            segment.append(&answer(received_ms)).unwrap();
        }
        let [open] = &archive.open_answers("agent-metrics").unwrap()[..] else { panic!("one segment") };
        assert_eq!(open.path, "open/agent-metrics@1700000000000-0.ndjson");
        assert_eq!(open.name, "answers.1700000000000-0.ndjson.gz");
        assert_eq!((open.window.start_ms, open.window.end_ms), (1_700_000_000_000, 1_700_000_000_501));
        assert!(archive.open_answers("operational-realtime").unwrap().is_empty());
        let path = archive.root().join(&open.path);
        let whole = std::fs::read(&path).unwrap();
        // What is written on does not move the end of what was there.
        std::fs::write(&path, [&whole[..], b"{\"type\":\"api-answer\",\"ha"].concat()).unwrap();
        for open in [open.clone(), archive.open_answers("agent-metrics").unwrap().remove(0)] {
            let mut read = Vec::new();
            open.reader().read_to_end(&mut read).unwrap();
            assert!(read == whole && !open.is_broken);
        }
        std::fs::write(&path, [&whole[..], b"oops\n"].concat()).unwrap();
        let broken = archive.open_answers("agent-metrics").unwrap().remove(0);
        assert!(broken.is_broken && broken.bytes == whole.len() as u64);
        // Sealed: the handle still reads what it read before.
        std::fs::write(&path, &whole).unwrap();
        let open = archive.open_answers("agent-metrics").unwrap().remove(0);
        let sealed = segment.seal().unwrap().unwrap();
        assert_eq!(sealed.file().name, open.name);
        let mut read = Vec::new();
        open.reader().read_to_end(&mut read).unwrap();
        assert!(read == whole && archive.open_answers("agent-metrics").unwrap().is_empty());
    }
}
