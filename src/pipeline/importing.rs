//! Files already on disk → archive: which ones, under what name, and what becomes of those that cannot be taken.
//!
//! Content decides what a file is; its name only says which hour it covers. Links are not followed: an archive must not
//! take in what somebody else pointed it at. A folder with a `bagit.txt` is a bag, and goes its own way (`bag_import.rs`).

use super::bag_import::{self, BagOrigin, BagReport};
use super::indexing::IndexRun;
use super::{RunError, Step, Watcher};
use crate::archive::naming::stream_and_window;
use crate::archive::{Archive, ArchiveError, Arrival, Provenance, Published, SCHEMA_STREAM};
use crate::bag::is_bag;
use crate::decode::{Container, container_of};
use flate2::bufread::MultiGzDecoder;
use rayon::prelude::*;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What became of the paths that were named.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportReport {
    /// Files taken into the archive.
    pub imported: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that the archive holds already, byte for byte.
    pub already: u64,
    /// Files that the archive had lost or held damaged; their bytes were put back.
    pub restored: u64,
    /// Files kept beside an earlier version of the same name.
    pub new_versions: u64,
    /// Damaged files of which a part could be read, newly in this run; they stand under `failed` too.
    pub salvaged: u64,
    /// Files that are no LivePerson data; they were left alone.
    pub skipped: Vec<ImportProblem>,
    /// Files that should have been taken and could not be.
    pub failed: Vec<ImportProblem>,
    /// Bags that were found, taken or refused as a whole.
    pub bags: Vec<BagReport>,
}

impl ImportReport {
    /// Counts a file that the archive took, or had.
    pub(super) fn count(&mut self, published: &Published) {
        match published {
            Published::Already(_) => self.already += 1,
            Published::Restored(_) => self.restored += 1,
            Published::New(file) | Published::NewVersion(file) => {
                self.imported += 1;
                self.bytes += file.size_bytes;
                self.new_versions += u64::from(matches!(published, Published::NewVersion(_)));
            }
        }
    }
}

/// A file that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportProblem {
    /// Path as given or found.
    pub path: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// What kind of LivePerson data a file holds, by its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportedKind {
    /// Records of a known kind; the stream they belong to.
    Stream(&'static str),
    /// LivePerson data whose kind cannot be seen without a key or a full parse.
    Unknown,
}

pub(super) struct Found {
    pub(super) files: Vec<(PathBuf, u64)>,
    pub(super) bags: Vec<PathBuf>,
    pub(super) failed: Vec<ImportProblem>,
    skipped: Vec<ImportProblem>,
}

impl Found {
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// What an import of some paths would take in.
#[derive(Clone, Debug, Default)]
pub struct Recognised {
    /// Files with LivePerson data, in the order of an import.
    pub files: Vec<PathBuf>,
    /// Bags, which an import takes as a whole.
    pub bags: Vec<PathBuf>,
    /// Everything else, and why.
    pub others: Vec<ImportProblem>,
}

/// Looks at paths as [`super::import`] does, and takes nothing.
pub fn recognise_paths(paths: &[PathBuf]) -> Recognised {
    let found = find(paths);
    let mut recognised = Recognised { files: Vec::new(), bags: found.bags, others: found.failed };
    recognised.others.extend(found.skipped);
    for (path, _) in found.files {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            recognised.others.push(problem(&path, NO_NAME));
            continue;
        };
        match File::open(&path).and_then(|file| recognise(file, name)) {
            Ok(Some(_)) => recognised.files.push(path),
            Ok(None) => recognised.others.push(problem(&path, NO_RECORDS)),
            Err(error) => recognised.others.push(problem(&path, error.to_string())),
        }
    }
    recognised
}

const NO_NAME: &str = "its name is not valid UTF-8; rename it to import it";
const NO_RECORDS: &str = "it holds no LivePerson records";

pub(super) fn problem(path: &Path, reason: impl Into<String>) -> ImportProblem {
    ImportProblem { path: path.display().to_string(), reason: reason.into() }
}

/// All regular files and bags under the paths, in order of their names.
pub(super) fn find(paths: &[PathBuf]) -> Found {
    let mut found = Found { files: Vec::new(), bags: Vec::new(), failed: Vec::new(), skipped: Vec::new() };
    let mut ahead: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    while let Some(path) = ahead.pop() {
        // What the user names is meant, also through a link; what merely lies in a folder is not followed.
        let metadata = if paths.contains(&path) { fs::metadata(&path) } else { fs::symlink_metadata(&path) };
        match metadata {
            Err(error) => found.failed.push(problem(&path, error.to_string())),
            Ok(metadata) if metadata.is_symlink() => {
                found.skipped.push(problem(&path, "a symbolic link; name the file itself to import it"));
            }
            Ok(metadata) if metadata.is_dir() && is_bag(&path) => found.bags.push(path),
            Ok(metadata) if metadata.is_dir() => match fs::read_dir(&path) {
                Ok(entries) => {
                    let mut inside: Vec<PathBuf> = Vec::new();
                    for entry in entries {
                        match entry {
                            Ok(entry) => inside.push(entry.path()),
                            Err(error) => found.failed.push(problem(&path, error.to_string())),
                        }
                    }
                    // A stack: the first comes last.
                    inside.sort_by(|a, b| b.cmp(a));
                    ahead.extend(inside);
                }
                Err(error) => found.failed.push(problem(&path, error.to_string())),
            },
            Ok(metadata) if metadata.is_file() => found.files.push((path, metadata.len())),
            Ok(_) => found.skipped.push(problem(&path, "neither a file nor a folder")),
        }
    }
    found
}

/// What one file came to.
#[allow(clippy::large_enum_variant)] // one per file, never in bulk
enum Outcome {
    Taken(Published),
    Skipped(ImportProblem),
    Failed(ImportProblem),
    /// Damaged; what could be read of it was published as a file of its own.
    Salvaged(ImportProblem, Published),
}

/// Takes the files in and indexes each as soon as it is published, on all cores, in rounds.
pub(super) fn import_all(
    archive: &Archive,
    found: Found,
    run: &mut IndexRun<'_>,
    watcher: Watcher<'_>,
) -> Result<ImportReport, RunError> {
    let mut report = ImportReport { failed: found.failed, skipped: found.skipped, ..ImportReport::default() };
    for bag in &found.bags {
        let outcome = bag_import::import_bag(archive, bag, run, watcher, &mut report)?;
        report.bags.push(outcome);
    }
    import_files(archive, &found.files, None, run, watcher, &mut report)?;
    Ok(report)
}

/// Ordinary files, or the payload of a bag that another program made.
pub(super) fn import_files(
    archive: &Archive,
    files: &[(PathBuf, u64)],
    bag: Option<&BagOrigin<'_>>,
    run: &mut IndexRun<'_>,
    watcher: Watcher<'_>,
    report: &mut ImportReport,
) -> Result<(), RunError> {
    for round in rounds(files, run.round_bytes()) {
        let outcomes: Vec<(Outcome, Option<_>)> = round
            .par_iter()
            .with_max_len(1)
            .map(|(path, bytes)| -> Result<_, RunError> {
                let outcome = import_file(archive, path, bag)?;
                watcher(Step::Archived { bytes: *bytes });
                let indexed = match &outcome {
                    Outcome::Taken(Published::New(file) | Published::NewVersion(file))
                    | Outcome::Salvaged(_, Published::New(file) | Published::NewVersion(file)) => {
                        Some(run.index_one(file.clone())?)
                    }
                    _ => None,
                };
                Ok((outcome, indexed))
            })
            .collect::<Result<_, _>>()?;
        let mut indexed = Vec::new();
        for (outcome, file) in outcomes {
            indexed.extend(file);
            match outcome {
                Outcome::Taken(published) => report.count(&published),
                Outcome::Skipped(problem) => report.skipped.push(problem),
                Outcome::Failed(problem) => report.failed.push(problem),
                Outcome::Salvaged(problem, published) => {
                    report.salvaged += u64::from(!matches!(published, Published::Already(_)));
                    report.failed.push(problem);
                }
            }
        }
        run.absorb(indexed)?;
        run.commit()?;
    }
    Ok(())
}

fn rounds(files: &[(PathBuf, u64)], round_bytes: u64) -> Vec<&[(PathBuf, u64)]> {
    let mut rounds = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, (_, size)) in files.iter().enumerate() {
        bytes += size;
        if bytes >= round_bytes {
            rounds.push(&files[start..=at]);
            (start, bytes) = (at + 1, 0);
        }
    }
    if start < files.len() {
        rounds.push(&files[start..]);
    }
    rounds
}

fn import_file(archive: &Archive, path: &Path, bag: Option<&BagOrigin<'_>>) -> Result<Outcome, RunError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(Outcome::Failed(problem(path, NO_NAME)));
    };
    let kind = match File::open(path).and_then(|file| recognise(file, name)) {
        Ok(Some(kind)) => kind,
        Ok(None) => return Ok(Outcome::Skipped(problem(path, NO_RECORDS))),
        Err(error) => return Ok(Outcome::Failed(problem(path, error.to_string()))),
    };
    let (named_stream, window) = stream_and_window(name);
    let stream = match kind {
        ImportedKind::Stream(stream) => stream,
        ImportedKind::Unknown => named_stream.unwrap_or("imported"),
    };
    let provenance = Provenance {
        origin: format!("import:{}", path.display()),
        program: concat!("chatvault ", env!("CARGO_PKG_VERSION")).into(),
        custody: bag.map(|bag| bag.handover(path, None)).into_iter().collect(),
        ..Provenance::default()
    };
    // The copy may be here to mend what is damaged, so "held already" must be looked at and not believed.
    let arrival = Arrival { window, expected_bytes: None, provenance, reread: true };
    let expected = bag.and_then(|bag| bag.sha256_at(path));
    let prepared = archive.prepare_copy(stream, name, path, expected, arrival);
    match prepared.and_then(|prepared| archive.settle(prepared)) {
        Ok(published) => Ok(Outcome::Taken(published)),
        Err(error @ ArchiveError::UnsafeName { .. }) => {
            Ok(Outcome::Failed(problem(path, format!("{error}; rename the file to import it"))))
        }
        Err(ref error @ ArchiveError::Damaged { salvageable: Some(ref salvageable), .. }) => {
            let salvaged = archive.salvage(salvageable)?;
            let reason = format!("{error}; what could be read of it is kept as {}", salvaged.file().path);
            Ok(Outcome::Salvaged(problem(path, reason), salvaged))
        }
        Err(error) => Ok(Outcome::Failed(of_one_file(path, error)?)),
    }
}

/// One bad file stops no other: what is wrong with it. A disk that is full or a ledger that fails stops them all.
pub(super) fn of_one_file(path: &Path, error: ArchiveError) -> Result<ImportProblem, ArchiveError> {
    match error {
        ArchiveError::UnsafeName { .. } | ArchiveError::Damaged { .. } | ArchiveError::BadWindow { .. } => {
            Ok(problem(path, error.to_string()))
        }
        ArchiveError::Io { path: at, source } if at == path => Ok(problem(path, source.to_string())),
        ArchiveError::PermissionDenied { path: at } if at == path => Ok(problem(path, "permission denied")),
        error => Err(error),
    }
}

/// Bytes of unpacked text in which a record must show itself.
const LOOK_AHEAD: u64 = 64 * 1024;

/// Whether a file holds LivePerson data, by its content. `None`: it does not. Damaged and encrypted files count as data:
/// they must be kept and reported, not passed over.
pub(super) fn recognise(file: File, name: &str) -> std::io::Result<Option<ImportedKind>> {
    let mut reader = BufReader::with_capacity(16 * 1024, file);
    let start = reader.fill_buf()?;
    if start.is_empty() {
        return Ok(Some(ImportedKind::Unknown));
    }
    let is_armored = start.starts_with(b"-----BEGIN PGP MESSAGE");
    match container_of(start) {
        // Armored keys often lie beside what they open. What is archived stays for ever, and a private key must not.
        Container::OpenPgp if !is_armored && start.starts_with(b"-----BEGIN PGP ") => Ok(None),
        // The first byte of a binary message says little, so its name must agree.
        Container::OpenPgp if is_armored || named(name, &["pgp", "gpg", "asc"]) => Ok(Some(ImportedKind::Unknown)),
        Container::Zip => recognise_zip(reader),
        _ => Ok(match look_ahead(reader) {
            Some(text) => kind_of(&text, name),
            // Compressed and damaged from the start: the archive's own check keeps and reports it.
            None => Some(ImportedKind::Unknown),
        }),
    }
}

/// The first unpacked bytes, through gzip in gzip too; `None` where nothing can be unpacked.
fn look_ahead(reader: impl BufRead) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let read = reader.take(LOOK_AHEAD).read_to_end(&mut text);
    for _ in 0..MAX_LAYERS {
        if container_of(&text) != Container::Gzip {
            break;
        }
        let mut inner = Vec::new();
        // The packed bytes end with the look-ahead, so an error behind the first bytes says nothing.
        let read = MultiGzDecoder::new(text.as_slice()).take(LOOK_AHEAD).read_to_end(&mut inner);
        if read.is_err() && inner.is_empty() {
            return None;
        }
        text = inner;
    }
    (read.is_ok() || !text.is_empty()).then_some(text)
}

/// Layers of gzip that are looked through; decoding follows as many.
const MAX_LAYERS: usize = 4;

/// Entries of a zip file that are looked into.
const LOOK_INTO: usize = 8;

fn recognise_zip(reader: BufReader<File>) -> std::io::Result<Option<ImportedKind>> {
    let Ok(mut archive) = zip::ZipArchive::new(reader) else {
        // No directory at its end: cut short, or no zip at all. Kept and reported.
        return Ok(Some(ImportedKind::Unknown));
    };
    for index in 0..archive.len().min(LOOK_INTO) {
        let Ok(entry) = archive.by_index(index) else { continue };
        let name = entry.name().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let found = look_ahead(BufReader::new(entry)).and_then(|text| kind_of(&text, &name));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn named(name: &str, endings: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn kind_of(text: &[u8], name: &str) -> Option<ImportedKind> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let holds = |needle: &str| memchr::memmem::find(text, needle.as_bytes()).is_some();
    if holds("-----BEGIN PGP MESSAGE") {
        return Some(ImportedKind::Unknown);
    }
    let start = text.trim_ascii_start();
    if start.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) && stream_and_window(name).0.is_some() {
        return Some(ImportedKind::Unknown);
    }
    // A first record that is cut at its head must not hide those behind it; a page about the format is still no data.
    let is_data = start.starts_with(b"{")
        || start.starts_with(b"[")
        || container_of(text) == Container::AvroContainer
        || named(name, &["gz", "json", "ndjson", "jsonl", "avro", "avsc"])
        || stream_and_window(name).0.is_some();
    if is_data && let Some(stream) = stream_of_answers(text) {
        return Some(ImportedKind::Stream(stream));
    }
    if is_schema(start) {
        return Some(ImportedKind::Stream(SCHEMA_STREAM));
    }
    let names_records = holds("\"recordCollection\"") || holds("com.liveperson.dataaccess");
    if !is_data || !names_records {
        return None;
    }
    let streams = [
        ("EngagementData", "data-access/engagement"),
        ("AgentActivityData", "data-access/agent-activity"),
        ("SurveyData", "data-access/survey"),
        ("WebSession", "data-access/web-session"),
    ];
    let stream = streams.iter().find(|(branch, _)| holds(branch));
    Some(stream.map_or(ImportedKind::Unknown, |(_, stream)| ImportedKind::Stream(stream)))
}

/// Whether a text is a schema of Data Access: it names the fields that records have, and has none of their values.
fn is_schema(start: &[u8]) -> bool {
    let has_key = |key: &str, value: &str| {
        let mut places = memchr::memmem::find_iter(start, key.as_bytes());
        places.any(|at| {
            let behind = start[at + key.len()..].trim_ascii_start();
            behind.strip_prefix(b":").is_some_and(|rest| rest.trim_ascii_start().starts_with(value.as_bytes()))
        })
    };
    let is_theirs = memchr::memmem::find(start, b"com.liveperson.dataaccess").is_some();
    let is_avro = has_key("\"type\"", "\"record\"") && has_key("\"fields\"", "[");
    start.starts_with(b"{") && is_theirs && is_avro && !has_key("\"recordCollection\"", "")
}

/// The stream of archived API answers, or of a bare answer of a history API.
fn stream_of_answers(text: &[u8]) -> Option<&'static str> {
    const STREAMS: [&str; 5] = [
        "messaging-interactions",
        "engagement-history",
        "operational-realtime",
        "messaging-operations",
        "agent-metrics",
    ];
    let finds = |needle: &str| memchr::memmem::find(text, needle.as_bytes()).is_some();
    if finds("\"type\":\"api-answer\"") {
        return STREAMS.into_iter().find(|stream| finds(&format!("\"stream\":\"{stream}\"")));
    }
    let bodies = [("\"conversationHistoryRecords\"", STREAMS[0]), ("\"interactionHistoryRecords\"", STREAMS[1])];
    bodies.into_iter().find(|(key, _)| finds(key)).map(|(_, stream)| stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_no_data() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kind = |first_line: &str| {
            let path = folder.path().join("x.asc");
            fs::write(&path, first_line).expect("written");
            recognise(File::open(&path).expect("there"), "x.asc").expect("readable")
        };
        assert_eq!(kind("-----BEGIN PGP MESSAGE-----\n"), Some(ImportedKind::Unknown));
        assert_eq!(kind("-----BEGIN PGP PRIVATE KEY BLOCK-----\n"), None);
        assert_eq!(kind("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), None);
    }

    #[test]
    fn content_tells_the_kind() {
        let engagement = br#"{"recordCollection":[{"body":{"com.liveperson.dataaccess.EngagementData":{}}}]}"#;
        assert_eq!(kind_of(engagement, "x"), Some(ImportedKind::Stream("data-access/engagement")));
        let answer = br#"{"type":"api-answer","format":1,"stream":"engagement-history","call":"interactions/search"}"#;
        assert_eq!(kind_of(answer, "x"), Some(ImportedKind::Stream("engagement-history")));
        let schema = br#"{ "type" : "record", "namespace": "com.liveperson.dataaccess", "name": "R", "fields": [{"name": "recordCollection", "type": "EngagementData"}]}"#;
        assert_eq!(kind_of(schema, "engagement.avsc"), Some(ImportedKind::Stream(SCHEMA_STREAM)));
        let says_so = br#"{"recordCollection":[{"body":{"com.liveperson.dataaccess.EngagementData":{"a":{"type":"record","fields":[]}}}}]}"#;
        assert_eq!(kind_of(says_so, "x"), Some(ImportedKind::Stream("data-access/engagement")));
        let body = br#"{"_metadata":{"count":0},"conversationHistoryRecords":[]}"#;
        assert_eq!(kind_of(body, "x"), Some(ImportedKind::Stream("messaging-interactions")));
        assert_eq!(kind_of(br#"{"name":"package.json"}"#, "package.json"), None);
        assert_eq!(
            kind_of(b"# Notes\nThe `recordCollection` holds com.liveperson.dataaccess records", "README.md"),
            None
        );
        assert_eq!(kind_of(b"-----BEGIN PGP MESSAGE-----", "x"), Some(ImportedKind::Unknown));
    }
}
