//! API answers on their way into the archive: a line per answer in an open segment, sealed as a gzip file under `files/`.
//!
//! An API that is asked and not downloaded has no files; its answers are the record. Each is appended to a segment under
//! `open/` and synced before anybody interprets it. A segment is sealed when it is large or its run ends: compressed,
//! published like any other file, and only then removed from `open/`. A crash leaves an open segment, perhaps with a cut last
//! line; whoever opens the vault next seals its whole lines. Sealing is deterministic, so that doing it twice changes nothing.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use flate2::{Compression, GzBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Archive;
use super::disk::{DiskFile, EntryKind};
use super::entry::{Arrival, Provenance, Published, Sha256Hex, Window};
use super::error::ArchiveError;
use super::layout::{self, OPEN};

/// Bytes of lines after which a segment is sealed: some megabytes compressed.
const SEAL_AT_BYTES: u64 = 32 << 20;
/// Longest line that is read back; an answer is at most 64 MiB, and base64 adds a third.
const LINE_MAX_BYTES: u64 = 160 << 20;

/// One answer of an API, as it was received.
#[derive(Clone, Debug)]
pub struct ApiAnswer<'a> {
    /// Stream, such as `messaging-interactions`.
    pub stream: &'a str,
    /// The path behind the account, such as `conversations/search`.
    pub call: &'a str,
    /// `GET` or `POST`.
    pub method: &'a str,
    /// Address without secrets.
    pub url: &'a str,
    /// JSON body of the request; null without one. Holds no secret.
    pub request_body: &'a Value,
    /// HTTP status.
    pub status: u16,
    /// Headers that matter: date, content-type …
    pub response: &'a BTreeMap<String, String>,
    /// When it was received, epoch milliseconds.
    pub received_ms: i64,
    /// The server's `Date` minus the local clock.
    pub clock_offset_ms: Option<i64>,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

impl ApiAnswer<'_> {
    /// The line of the archive, with its line feed. The body stands in it verbatim where it is one JSON value without a line
    /// break, as `body`; else as `body_base64`. Either is the last key, `type` the first, and `body_sha256` is over the bytes
    /// as received.
    pub fn to_line(&self) -> Vec<u8> {
        // Field by field: a map would be written in the order of its names, and what tells the line apart belongs first. The
        // request goes last, because it may be long.
        let fields: [(&str, Value); 10] = [
            ("type", "api-answer".into()),
            ("format", 1.into()),
            ("stream", self.stream.into()),
            ("call", self.call.into()),
            ("received_ms", self.received_ms.into()),
            ("status", self.status.into()),
            ("clock_offset_ms", self.clock_offset_ms.into()),
            ("response", json!(self.response)),
            ("body_sha256", Sha256Hex::of(self.body).to_string().into()),
            ("request", json!({ "method": self.method, "url": self.url, "body": self.request_body })),
        ];
        let mut line = Vec::with_capacity(self.body.len() + 1024);
        for (name, value) in fields {
            line.push(if line.is_empty() { b'{' } else { b',' });
            line.extend_from_slice(format!("\"{name}\":{value}").as_bytes());
        }
        let is_one_line = !self.body.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
        if is_one_line && serde_json::from_slice::<serde::de::IgnoredAny>(self.body).is_ok() {
            line.extend_from_slice(b",\"body\":");
            line.extend_from_slice(self.body);
        } else {
            line.extend_from_slice(b",\"body_base64\":\"");
            line.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(self.body).as_bytes());
            line.push(b'"');
        }
        line.extend_from_slice(b"}\n");
        line
    }
}

/// The part of a line that sealing needs.
#[derive(Deserialize)]
struct LineHead {
    received_ms: i64,
    request: LineRequest,
}

#[derive(Deserialize)]
struct LineRequest {
    url: String,
}

/// A segment that takes the answers of one stream. Dropping it without [`AnswerSegment::seal`] leaves it open; the next
/// [`Archive::seal_left_over`] finds it.
pub struct AnswerSegment {
    archive: Archive,
    stream: String,
    open: Option<OpenFile>,
}

struct OpenFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    size_bytes: u64,
}

impl AnswerSegment {
    /// Appends an answer and makes it durable. A segment that became large is sealed: then the file is given.
    ///
    /// # Errors
    /// Disk errors and those of [`Archive::publish`]. An answer that was not made durable must not be counted as received.
    pub fn append(&mut self, answer: &ApiAnswer<'_>) -> Result<Option<Published>, ArchiveError> {
        let line = answer.to_line();
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(self.archive.create_segment(&self.stream, answer.received_ms)?),
        };
        let needed = Some(open.size_bytes + line.len() as u64);
        let written = open.file.write_all(&line).and_then(|()| open.file.sync());
        written.map_err(|source| ArchiveError::from_io(&open.path, needed, source))?;
        open.size_bytes += line.len() as u64;
        if open.size_bytes < SEAL_AT_BYTES { Ok(None) } else { self.seal() }
    }

    /// Closes the segment and publishes what it holds; `None` if it holds nothing.
    ///
    /// # Errors
    /// Disk errors and those of [`Archive::publish`]. The segment stays open on disk then.
    pub fn seal(&mut self) -> Result<Option<Published>, ArchiveError> {
        let Some(open) = self.open.take() else { return Ok(None) };
        drop(open.file);
        self.archive.seal_segment(&self.stream, &open.path)
    }
}

impl Archive {
    /// A segment for the answers of a stream; its file is made with the first answer.
    ///
    /// # Errors
    /// [`UnsafeName`](ArchiveError::UnsafeName), [`ReadOnly`](ArchiveError::ReadOnly).
    pub fn answers(&self, stream: &str) -> Result<AnswerSegment, ArchiveError> {
        let stream = layout::checked_stream(stream)?;
        if !self.is_writer() {
            return Err(ArchiveError::ReadOnly { path: self.root().to_path_buf() });
        }
        Ok(AnswerSegment { archive: self.clone(), stream: stream.as_str().to_owned(), open: None })
    }

    /// Seals the segments that a run which died has left open. A cut last line is an answer that was never acknowledged; it
    /// is left out, and its length stands in the provenance.
    ///
    /// # Errors
    /// Disk errors and those of [`Archive::publish`].
    pub fn seal_left_over(&self) -> Result<Vec<Published>, ArchiveError> {
        let folder = self.root().join(OPEN);
        let entries = self.disk().list(&folder).map_err(|source| ArchiveError::from_io(&folder, None, source))?;
        let mut sealed = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::File) {
            if let Some(stream) = stream_of(&entry.path) {
                sealed.extend(self.seal_segment(&stream, &entry.path)?);
            }
        }
        Ok(sealed)
    }

    fn create_segment(&self, stream: &str, first_ms: i64) -> Result<OpenFile, ArchiveError> {
        let (disk, folder) = (self.disk(), self.root().join(OPEN));
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| ArchiveError::from_io(&path, None, source)
        };
        disk.create_dir(&folder).and_then(|()| disk.sync_dir(self.root())).map_err(failed(&folder))?;
        let mut number = 0;
        loop {
            let path = folder.join(format!("{}@{first_ms}-{number}.ndjson", stream.replace('/', "+")));
            match disk.create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                outcome => {
                    let file = outcome.map_err(failed(&path))?;
                    disk.sync_dir(&folder).map_err(failed(&folder))?;
                    return Ok(OpenFile { file, path, size_bytes: 0 });
                }
            }
        }
    }

    /// Publishes the whole lines of an open segment, then removes it.
    fn seal_segment(&self, stream: &str, path: &Path) -> Result<Option<Published>, ArchiveError> {
        let disk = self.disk();
        let failed = |source| ArchiveError::from_io(path, None, source);
        let name = sealed_name(path);
        let measured = disk.open(path).and_then(measure).map_err(failed)?;
        if measured.is_broken {
            let source = io::Error::new(io::ErrorKind::InvalidData, "a line of the open segment is no API answer");
            return Err(failed(source));
        }
        let published = match measured.lines {
            None => None,
            Some(lines) => {
                let mut draft = self.draft(stream, &name)?;
                let whole = disk.open(path).map_err(failed)?.take(lines.bytes);
                // No time and no system in the header: the same lines are the same bytes.
                let mut encoder = GzBuilder::new().operating_system(255).write(&mut draft, Compression::new(6));
                let copied = io::copy(&mut BufReader::with_capacity(1 << 20, whole), &mut encoder);
                copied.and_then(|_| encoder.finish().map(drop)).map_err(failed)?;
                let mut response = BTreeMap::from([("answers".to_owned(), lines.count.to_string())]);
                if lines.cut_bytes > 0 {
                    response.insert("cut_bytes".to_owned(), lines.cut_bytes.to_string());
                }
                let provenance = Provenance {
                    origin: lines.origin,
                    response,
                    program: concat!("chatvault ", env!("CARGO_PKG_VERSION")).to_owned(),
                    ..Provenance::default()
                };
                Some(self.publish(draft, Arrival { window: Some(lines.window), provenance, ..Arrival::default() })?)
            }
        };
        disk.remove(path).and_then(|()| disk.sync_dir(&self.root().join(OPEN))).map_err(failed)?;
        Ok(published)
    }
}

/// What is in an open segment.
pub(super) struct Measured {
    /// `None`: no whole line.
    pub(super) lines: Option<Lines>,
    /// A line is no API answer; it was not read any further.
    pub(super) is_broken: bool,
}

/// What the whole lines of a segment come to.
pub(super) struct Lines {
    pub(super) bytes: u64,
    count: u64,
    /// Bytes behind the last line feed.
    cut_bytes: u64,
    /// First to last answer.
    pub(super) window: Window,
    /// Where the first answer came from, without its query.
    origin: String,
}

pub(super) fn measure(segment: impl Read) -> io::Result<Measured> {
    let mut reader = BufReader::with_capacity(1 << 20, segment);
    let mut lines: Option<Lines> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut reader).take(LINE_MAX_BYTES).read_until(b'\n', &mut line)? as u64;
        if line.last() != Some(&b'\n') {
            if let Some(lines) = &mut lines {
                lines.cut_bytes = length;
            }
            return Ok(Measured { lines, is_broken: false });
        }
        let Ok(head) = serde_json::from_slice::<LineHead>(&line) else {
            return Ok(Measured { lines, is_broken: true });
        };
        match &mut lines {
            Some(lines) => {
                lines.bytes += length;
                lines.count += 1;
                lines.window.end_ms = lines.window.end_ms.max(head.received_ms + 1);
            }
            None => {
                let origin = head.request.url.split('?').next().unwrap_or_default().to_owned();
                let window = Window { start_ms: head.received_ms, end_ms: head.received_ms + 1 };
                lines = Some(Lines { bytes: length, count: 1, cut_bytes: 0, window, origin });
            }
        }
    }
}

/// Name of the file that an open segment becomes.
pub(super) fn sealed_name(path: &Path) -> String {
    let name = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.split_once('@'));
    format!("answers.{}.ndjson.gz", name.map_or("0", |(_, moment)| moment))
}

pub(super) fn stream_of(path: &Path) -> Option<String> {
    let (stream, _) = path.file_stem()?.to_str()?.split_once('@')?;
    Some(stream.replace('+', "/"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::super::RealDisk;
    use super::super::tests::clock;
    use super::*;

    fn vault() -> (tempfile::TempDir, Archive) {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(folder.path(), "1", Arc::new(RealDisk), clock()).unwrap();
        (folder, archive)
    }

    fn answer<'a>(body: &'a [u8], response: &'a BTreeMap<String, String>, received_ms: i64) -> ApiAnswer<'a> {
        ApiAnswer {
            stream: "messaging-interactions",
            call: "conversations/search",
            method: "POST",
            url: "https://lo.msghist.liveperson.net/a?limit=100",
            request_body: &Value::Null,
            status: 200,
            response,
            received_ms,
            clock_offset_ms: None,
            body,
        }
    }

    fn text_of(archive: &Archive, published: &Published) -> String {
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(archive.open_file(published.file()).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn answers_become_lines_of_one_file() {
        let (_folder, archive) = vault();
        let none = BTreeMap::new();
        let mut segment = archive.answers("messaging-interactions").unwrap();
        assert!(segment.seal().unwrap().is_none(), "nothing to seal");
        let bodies: [&[u8]; 4] = [b"{\"a\": 1.0}", b"{\n}", b"<html>", &[0xff, 0xfe]];
        for (at, body) in bodies.iter().enumerate() {
            assert!(segment.append(&answer(body, &none, 1_700_000_000_000 + at as i64)).unwrap().is_none());
        }
        let published = segment.seal().unwrap().unwrap();
        assert_eq!(published.file().path, "files/messaging-interactions/2023/11/14/answers.1700000000000-0.ndjson.gz");
        assert_eq!(published.file().provenance.origin, "https://lo.msghist.liveperson.net/a");
        let text = text_of(&archive, &published);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert!(text.lines().all(|line| line.starts_with(r#"{"type":"api-answer","format":1,"stream":"#)), "{text}");
        assert!(text.lines().next().unwrap().ends_with(",\"body\":{\"a\": 1.0}}"), "verbatim: {text}");
        for (line, body) in lines.iter().zip(bodies) {
            assert_eq!(line["body_sha256"], Sha256Hex::of(body).to_string());
        }
        assert_eq!(lines[1]["body_base64"], "ewp9");
        assert!(archive.disk().list(&archive.root().join(OPEN)).unwrap().is_empty());
    }

    #[test]
    fn what_a_dead_run_left_is_sealed_without_the_cut_line() {
        let (_folder, archive) = vault();
        let none = BTreeMap::new();
        let mut segment = archive.answers("messaging-interactions").unwrap();
        segment.append(&answer(b"{\"n\":1}", &none, 1_700_000_000_000)).unwrap();
        segment.append(&answer(b"{\"n\":2}", &none, 1_700_000_000_500)).unwrap();
        let path = segment.open.as_ref().unwrap().path.clone();
        drop(segment);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"type\":\"api-answer\",\"half");
        std::fs::write(&path, &bytes).unwrap();
        let sealed = archive.seal_left_over().unwrap();
        assert_eq!(sealed.len(), 1);
        assert_eq!(sealed[0].file().provenance.response["cut_bytes"], "26");
        assert_eq!(text_of(&archive, &sealed[0]).lines().count(), 2);
        // Died between publishing and removing: the same lines again change nothing.
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(archive.seal_left_over().unwrap()[..], [Published::Already(_)]));
        assert!(!path.exists());
        // A segment with nothing but a cut line holds nothing.
        std::fs::write(&path, b"{\"ty").unwrap();
        assert!(archive.seal_left_over().unwrap().is_empty() && !path.exists());
    }
}
