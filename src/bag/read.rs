//! Validation of a bag, whole or not at all: declaration, completeness both ways, every checksum, `Payload-Oxum`.
//!
//! Stricter than the RFC where a receiver must be: links are not followed, `fetch.txt` is refused (nothing is fetched),
//! names that differ only in Unicode normalisation are one name. Everything that is wrong is collected, so that the
//! sender hears all of it at once.

use super::checksum::{Algorithm, Checksums};
use super::line::{Line, is_payload, quoted, read_line};
use super::{BAGIT_TXT, DATA, tags};
use crate::archive::Sha256Hex;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use unicode_normalization::UnicodeNormalization;

/// What a bag may cost at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files of the payload; each takes some hundred bytes of memory.
    pub files: usize,
    /// Length of a line of a manifest, bytes.
    pub line_bytes: u64,
    /// Size of `bagit.txt` and `bag-info.txt`, bytes.
    pub tag_bytes: u64,
    /// Folders inside folders.
    pub depth: usize,
    /// Problems that are kept word by word.
    pub problems: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { files: 2_000_000, line_bytes: 32 * 1024, tag_bytes: 1 << 20, depth: 64, problems: 20 }
    }
}

/// A folder that is no valid bag, and everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The first problems, each a sentence.
    pub problems: Vec<String>,
    /// How many there are beyond them.
    pub more: u64,
}

/// A file of the payload whose bytes were held against every manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadFile {
    /// SHA-256 of the bytes read, whichever algorithms the manifests use.
    pub sha256: Sha256Hex,
    /// Bytes read.
    pub size_bytes: u64,
}

/// A bag that holds what it says.
#[derive(Clone, Debug)]
pub struct ValidBag {
    /// The folder, as given.
    pub folder: PathBuf,
    /// SHA-256 of the payload manifest (of the SHA-256 one, where there are several): names the payload as a whole.
    pub manifest_sha256: Sha256Hex,
    /// `bag-info.txt`, in order.
    pub info: Vec<(String, String)>,
    /// By path in the bag (`data/…`), as it is on disk.
    pub payload: BTreeMap<String, PayloadFile>,
}

impl ValidBag {
    /// Where a file of the payload lies.
    pub fn place(&self, path: &str) -> PathBuf {
        place(&self.folder, path)
    }

    /// The first value of a label of `bag-info.txt`.
    pub fn label(&self, label: &str) -> Option<&str> {
        self.info.iter().find(|(name, _)| name.eq_ignore_ascii_case(label)).map(|(_, value)| value.as_str())
    }
}

/// Does this folder declare itself a bag?
pub fn is_bag(folder: &Path) -> bool {
    folder.join(BAGIT_TXT).symlink_metadata().is_ok_and(|found| found.is_file())
}

/// Reads and checks all of a bag. `told` hears of every piece of payload that was read, from several threads.
///
/// # Errors
/// Everything that is wrong.
pub fn validate(folder: &Path, limits: &Limits, told: &(dyn Fn(u64) + Sync)) -> Result<ValidBag, Invalid> {
    let findings = Findings { limits: *limits, told: Mutex::new(Invalid { problems: Vec::new(), more: 0 }) };
    let bag = examine(folder, &findings, told);
    let invalid = findings.told.into_inner().unwrap_or_else(PoisonError::into_inner);
    match bag {
        Some(bag) if invalid.problems.is_empty() => Ok(bag),
        _ => Err(invalid),
    }
}

struct Findings {
    limits: Limits,
    told: Mutex<Invalid>,
}

impl Findings {
    fn add(&self, problem: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.problems.len() < self.limits.problems {
            told.problems.push(problem);
        } else {
            told.more += 1;
        }
    }

    /// The value; an error is added.
    fn or_add<T>(&self, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|problem| self.add(problem)).ok()
    }

    /// Nothing wrong so far?
    fn is_empty(&self) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).problems.is_empty()
    }
}

/// `manifest-sha256.txt` and what its name says.
struct Manifest {
    name: String,
    /// `None`: not known here; its paths count, its checksums cannot be computed.
    algorithm: Option<Algorithm>,
    of_tags: bool,
}

/// A file that lies under `data/`, and what the manifests say of it.
struct Found {
    path: String,
    size_bytes: u64,
    expected: Vec<(Algorithm, Box<[u8]>)>,
    /// Manifests that list it, by their position.
    listed: Vec<usize>,
}

fn examine(folder: &Path, findings: &Findings, told: &(dyn Fn(u64) + Sync)) -> Option<ValidBag> {
    let declared = text(&folder.join(BAGIT_TXT), findings).and_then(|text| tags::declaration(&text));
    let version = findings.or_add(declared)?;
    if folder.join("fetch.txt").symlink_metadata().is_ok() {
        findings.add("it has a fetch.txt: parts of it lie elsewhere, and nothing is fetched here".to_owned());
    }
    let manifests = manifests_in(folder, findings);
    let payload_manifests: Vec<&Manifest> = manifests.iter().filter(|manifest| !manifest.of_tags).collect();
    if payload_manifests.iter().all(|manifest| manifest.algorithm.is_none()) {
        let unknown: Vec<&str> = payload_manifests.iter().map(|manifest| manifest.name.as_str()).collect();
        findings.add(match unknown[..] {
            [] => "it has no payload manifest (manifest-sha256.txt or the like)".to_owned(),
            _ => format!("no checksum of its manifests can be computed here: {}", unknown.join(", ")),
        });
        return None;
    }
    let mut payload = walk(folder, findings)?;
    for (at, manifest) in payload_manifests.iter().enumerate() {
        list_payload(folder, manifest, at, version, &mut payload, findings);
    }
    complete(&payload, &payload_manifests, version, findings);
    check_tags(folder, &manifests, version, findings);
    let info = read_info(folder, &payload, findings)?;
    // The cheap half has failed: reading gigabytes would not make it better.
    if !findings.is_empty() {
        return None;
    }
    let found: Vec<&Found> = payload.values().collect();
    let payload: BTreeMap<String, PayloadFile> =
        found.par_iter().with_max_len(1).filter_map(|found| check_payload(folder, found, findings, told)).collect();
    let first = payload_manifests.iter().find(|manifest| manifest.algorithm == Some(Algorithm::Sha256));
    let first = folder.join(&first.or(payload_manifests.first())?.name);
    let hashed = File::open(&first).and_then(|file| Checksums::of(file, &[], &|_| ()));
    let manifest_sha256 = findings.or_add(hashed.map_err(|error| format!("{}: {error}", first.display())))?.sha256;
    Some(ValidBag { folder: folder.to_owned(), manifest_sha256, info, payload })
}

fn place(folder: &Path, path: &str) -> PathBuf {
    let mut place = folder.to_owned();
    place.extend(path.split('/'));
    place
}

/// A small text file of the bag.
fn text(path: &Path, findings: &Findings) -> Result<String, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let failed = |error: io::Error| format!("{name} cannot be read: {error}");
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(findings.limits.tag_bytes + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > findings.limits.tag_bytes {
        return Err(format!("{name} is longer than {} bytes", findings.limits.tag_bytes));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8"))?;
    // A carriage return alone ends a line too.
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}

fn manifests_in(folder: &Path, findings: &Findings) -> Vec<Manifest> {
    let mut manifests = Vec::new();
    let entries = findings.or_add(fs::read_dir(folder).map_err(|error| error.to_string()));
    for entry in entries.into_iter().flatten() {
        let Some(entry) = findings.or_add(entry.map_err(|error| error.to_string())) else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        let (of_tags, rest) = match (name.strip_prefix("tagmanifest-"), name.strip_prefix("manifest-")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => continue,
        };
        let Some(algorithm) = rest.strip_suffix(".txt").map(Algorithm::named) else { continue };
        match entry.file_type() {
            Ok(kind) if kind.is_file() => manifests.push(Manifest { name, algorithm, of_tags }),
            _ => findings.add(format!("{name} is no regular file")),
        }
    }
    manifests.sort_by(|a, b| a.name.cmp(&b.name));
    manifests
}

/// Every file under `data/`, by its path in Unicode normal form C.
fn walk(folder: &Path, findings: &Findings) -> Option<BTreeMap<String, Found>> {
    let data = folder.join(DATA);
    if !data.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        findings.add("it has no folder data/".to_owned());
        return None;
    }
    let mut payload = BTreeMap::new();
    let mut ahead = vec![(data, DATA.to_owned(), 0)];
    while let Some((place, path, depth)) = ahead.pop() {
        if depth > findings.limits.depth || payload.len() > findings.limits.files {
            let Limits { files, depth, .. } = findings.limits;
            findings.add(format!("it has more than {files} files, or more than {depth} folders inside one another"));
            return None;
        }
        let entries = findings.or_add(fs::read_dir(&place).map_err(|error| format!("{path}: {error}")));
        for entry in entries.into_iter().flatten() {
            let Some(entry) = findings.or_add(entry.map_err(|error| format!("{path}: {error}"))) else { continue };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                findings.add(format!("a name in {} is not UTF-8: {name:?}", quoted(&path)));
                continue;
            };
            let path = format!("{path}/{name}");
            match entry.metadata() {
                Ok(found) if found.is_dir() => ahead.push((entry.path(), path, depth + 1)),
                Ok(found) if found.is_file() => {
                    let key: String = path.nfc().collect();
                    let found = Found { path, size_bytes: found.len(), expected: Vec::new(), listed: Vec::new() };
                    if let Some(twin) = payload.insert(key, found) {
                        findings.add(format!("{} is there twice, in two spellings", quoted(&twin.path)));
                    }
                }
                Ok(_) => findings.add(format!("{} is a link or no regular file", quoted(&path))),
                Err(error) => findings.add(format!("{}: {error}", quoted(&path))),
            }
        }
    }
    Some(payload)
}

/// Calls `each` for the lines of a manifest with their number.
fn for_each_line(
    folder: &Path,
    manifest: &Manifest,
    version: (u32, u32),
    findings: &Findings,
    each: &mut dyn FnMut(Line),
) {
    let name = &manifest.name;
    let length = manifest.algorithm.map(Algorithm::length);
    let file = File::open(folder.join(name)).map_err(|error| format!("{name} cannot be read: {error}"));
    let Some(file) = findings.or_add(file) else { return };
    let mut reader = BufReader::new(file);
    let (mut bytes, mut number) = (Vec::new(), 0_u64);
    loop {
        bytes.clear();
        let most = findings.limits.line_bytes;
        match reader.by_ref().take(most + 1).read_until(b'\n', &mut bytes) {
            Ok(0) => return,
            Ok(count) if count as u64 > most => {
                return findings.add(format!("line {} of {name} is longer than {most} bytes", number + 1));
            }
            Ok(_) => {}
            Err(error) => return findings.add(format!("{name} cannot be read: {error}")),
        }
        let Ok(lines) = std::str::from_utf8(&bytes) else {
            return findings.add(format!("line {} of {name} is not UTF-8", number + 1));
        };
        // A carriage return alone ends a line too; inside a path it is encoded.
        for line in lines.split(['\r', '\n']) {
            number += u64::from(!line.is_empty());
            if number == 1 && line.starts_with('\u{feff}') {
                return findings.add(format!("{name} begins with a byte-order mark"));
            }
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match read_line(line, length, version >= (1, 0)) {
                Ok(line) => each(line),
                Err(reason) => findings.add(format!("line {number} of {name}: {reason}")),
            }
        }
    }
}

/// Notes what a payload manifest says.
fn list_payload(
    folder: &Path,
    manifest: &Manifest,
    at: usize,
    version: (u32, u32),
    payload: &mut BTreeMap<String, Found>,
    findings: &Findings,
) {
    let name = &manifest.name;
    for_each_line(folder, manifest, version, findings, &mut |Line { checksum, path }| {
        if !is_payload(&path) {
            return findings.add(format!("{name} lists {}, which is not under data/", quoted(&path)));
        }
        let Some(found) = payload.get_mut(&path.nfc().collect::<String>()) else {
            return findings.add(format!("{} is missing; {name} lists it", quoted(&path)));
        };
        if found.listed.contains(&at) {
            return findings.add(format!("{name} lists {} twice", quoted(&path)));
        }
        found.listed.push(at);
        if let Some(algorithm) = manifest.algorithm {
            found.expected.push((algorithm, checksum));
        }
    });
}

/// Every file must be listed: from 1.0 on in every payload manifest, before that in one, and in one that can be checked.
fn complete(payload: &BTreeMap<String, Found>, manifests: &[&Manifest], version: (u32, u32), findings: &Findings) {
    for found in payload.values() {
        if found.expected.is_empty() {
            findings.add(format!("{} is in no manifest that can be checked", quoted(&found.path)));
        } else if version >= (1, 0) {
            for (_, manifest) in manifests.iter().enumerate().filter(|(at, _)| !found.listed.contains(at)) {
                findings.add(format!("{} is not in {}", quoted(&found.path), manifest.name));
            }
        }
    }
}

/// Holds every tag file that a tag manifest lists against its checksum.
fn check_tags(folder: &Path, manifests: &[Manifest], version: (u32, u32), findings: &Findings) {
    for manifest in manifests.iter().filter(|manifest| manifest.of_tags) {
        let name = &manifest.name;
        let mut listed = BTreeSet::new();
        for_each_line(folder, manifest, version, findings, &mut |Line { checksum, path }| {
            if is_payload(&path) {
                return findings.add(format!("{name} lists {}, which belongs to the payload", quoted(&path)));
            }
            if listed.len() > findings.limits.files || !listed.insert(path.clone()) {
                return findings.add(format!("{name} lists {} twice, or too many files", quoted(&path)));
            }
            let is_right = tag_checksums(folder, &path, manifest.algorithm).map(|found| match manifest.algorithm {
                Some(algorithm) => found.holds(algorithm, &checksum),
                None => true,
            });
            match is_right {
                Ok(true) => {}
                Ok(false) => findings.add(format!("{} does not have the checksum in {name}", quoted(&path))),
                Err(reason) => findings.add(format!("{}, which {name} lists, {reason}", quoted(&path))),
            }
        });
        let unlisted = manifests.iter().filter(|other| !other.of_tags && !listed.contains(&other.name));
        for other in unlisted.filter(|_| version >= (1, 0)) {
            findings.add(format!("{name} does not list {}", other.name));
        }
    }
}

fn tag_checksums(folder: &Path, path: &str, algorithm: Option<Algorithm>) -> Result<Checksums, String> {
    let mut place = folder.to_owned();
    for part in path.split('/') {
        place.push(part);
        let found = place.symlink_metadata().map_err(|_| "is missing".to_owned())?;
        if !found.is_dir() && !found.is_file() {
            return Err("is a link or no regular file".to_owned());
        }
    }
    let wanted: Vec<Algorithm> = algorithm.into_iter().collect();
    File::open(&place)
        .and_then(|file| Checksums::of(file, &wanted, &|_| ()))
        .map_err(|error| format!("cannot be read: {error}"))
}

/// `bag-info.txt`, with its `Payload-Oxum` held against what is there.
fn read_info(folder: &Path, payload: &BTreeMap<String, Found>, findings: &Findings) -> Option<Vec<(String, String)>> {
    let path = folder.join("bag-info.txt");
    if path.symlink_metadata().is_err() {
        return Some(Vec::new());
    }
    let fields = findings.or_add(text(&path, findings).and_then(|text| tags::info(&text)))?;
    let values: Vec<&str> = tags::values(&fields, "Payload-Oxum").collect();
    let (octets, files) = (payload.values().map(|found| found.size_bytes).sum::<u64>(), payload.len() as u64);
    match values[..] {
        [] => {}
        [value] if tags::oxum(value) == Some((octets, files)) => {}
        [value] => {
            let said = quoted(value);
            findings.add(format!("its Payload-Oxum is {said}, but {octets}.{files} (octets.files) are there"));
        }
        _ => findings.add("bag-info.txt has more than one Payload-Oxum".to_owned()),
    }
    Some(fields)
}

fn check_payload(
    folder: &Path,
    found: &Found,
    findings: &Findings,
    told: &(dyn Fn(u64) + Sync),
) -> Option<(String, PayloadFile)> {
    let wanted: Vec<Algorithm> = found.expected.iter().map(|(algorithm, _)| *algorithm).collect();
    let checksums = File::open(place(folder, &found.path)).and_then(|file| Checksums::of(file, &wanted, &|n| told(n)));
    let checksums = findings.or_add(checksums.map_err(|error| format!("{}: {error}", quoted(&found.path))))?;
    for (algorithm, expected) in &found.expected {
        if !checksums.holds(*algorithm, expected) {
            let (path, name) = (quoted(&found.path), algorithm.name());
            findings.add(format!("{path} does not have the {name} checksum of its manifest"));
        }
    }
    Some((found.path.clone(), PayloadFile { sha256: checksums.sha256, size_bytes: checksums.bytes }))
}
