//! Where the index lies on disk, and how a new one replaces it.
//!
//! `index/` holds one folder per generation and a small file `CURRENT` that names the one in use. A rebuild writes a new
//! generation aside and then replaces `CURRENT` by rename, so at every moment there is one complete index or none, and
//! a process that is searching the old one is not disturbed.

use super::directory::{DiskDirectory, FirstFailure, ReadableDirectory, write_atomically};
use super::error::IndexError;
use super::schema::{Fields, schema};
use super::tokenizer::{ChatTokenizer, TOKENIZER};
use crate::archive::disk::{Disk, EntryKind};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::directory::MmapDirectory;
use tantivy::schema::Schema;
use tantivy::store::{Compressor, ZstdCompressor};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{Index, IndexSettings};

const CURRENT: &str = "CURRENT";

/// Folder of the generation in use, or `None` where there is no index yet.
///
/// # Errors
/// [`IndexError::Damaged`] where `CURRENT` names something that is not a generation.
pub(super) fn current(home: &Path) -> Result<Option<PathBuf>, IndexError> {
    let named = match fs::read_to_string(home.join(CURRENT)) {
        Ok(named) => named,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let generation = named.trim();
    if !is_generation(generation) {
        return Err(IndexError::Damaged("the file index/CURRENT does not name a generation".into()));
    }
    Ok(Some(home.join(generation)))
}

fn is_generation(name: &str) -> bool {
    name.strip_prefix('g').is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Makes the folder of a new generation; it is not in use until [`switch_to`].
pub(super) fn new_generation(home: &Path, disk: &dyn Disk) -> Result<PathBuf, IndexError> {
    disk.create_dir(home)?;
    let highest = generations(home, disk)?.into_iter().filter_map(|(_, number)| number).max().unwrap_or(0);
    let folder = home.join(format!("g{}", highest + 1));
    disk.create_dir(&folder)?;
    Ok(folder)
}

/// Puts a generation into use and removes all others.
pub(super) fn switch_to(home: &Path, generation: &Path, disk: &dyn Disk) -> Result<(), IndexError> {
    let name = generation.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // The generation's own name first: the pointer must not survive a power cut that its target does not.
    disk.sync_dir(home)?;
    write_atomically(disk, &home.join(CURRENT), name.as_bytes())?;
    disk.sync_dir(home)?;
    remove_others(home, generation, disk);
    Ok(())
}

/// Removes what rebuilds that were broken off have left. Best effort: a folder that another process still reads
/// cannot be removed everywhere, and goes next time.
pub(super) fn remove_others(home: &Path, keep: &Path, disk: &dyn Disk) {
    let found = generations(home, disk).unwrap_or_default();
    for (path, _) in found.into_iter().filter(|(path, _)| path != keep) {
        let files = disk.list(&path).unwrap_or_default();
        for file in files {
            let _ = disk.remove(&file.path);
        }
        let _ = disk.remove_dir(&path);
    }
}

/// The folders of all generations, with their numbers.
fn generations(home: &Path, disk: &dyn Disk) -> std::io::Result<Vec<(PathBuf, Option<u64>)>> {
    let folders = disk.list(home)?.into_iter().filter(|entry| entry.kind == EntryKind::Folder);
    let named = folders.filter_map(|entry| {
        let name = entry.path.file_name()?.to_str().filter(|name| is_generation(name))?;
        let number = name[1..].parse().ok();
        Some((entry.path, number))
    });
    Ok(named.collect())
}

/// How every index stores its documents.
pub fn index_settings() -> IndexSettings {
    IndexSettings {
        // The stored transcripts are most of an index. Measured: zstd takes a quarter off them.
        docstore_compression: Compressor::Zstd(ZstdCompressor::default()),
        // Measured: 64 KiB blocks load 5 % faster than 16 KiB and take 4 % less disk.
        docstore_blocksize: 64 * 1024,
        ..IndexSettings::default()
    }
}

/// Creates an empty index in an empty folder.
pub(super) fn create(folder: &Path, disk: Arc<dyn Disk>) -> Result<(Index, Fields, FirstFailure), IndexError> {
    let (schema, fields) = schema();
    let directory = writable(folder, disk)?;
    let failure = directory.failure();
    let index = Index::builder().schema(schema).settings(index_settings()).open_or_create(directory)?;
    register(&index);
    Ok((index, fields, failure))
}

/// An empty index that lies in no folder.
pub(super) fn in_memory() -> Result<(Index, Fields), IndexError> {
    let (schema, fields) = schema();
    let index = Index::builder().schema(schema).settings(index_settings()).create_in_ram()?;
    register(&index);
    Ok((index, fields))
}

fn writable(folder: &Path, disk: Arc<dyn Disk>) -> Result<DiskDirectory, IndexError> {
    DiskDirectory::open(folder, disk).map_err(|error| IndexError::Damaged(error.to_string()))
}

/// Opens an index for search, also where nothing may be written: on a read-only file system, or as another user.
pub(super) fn open_to_read(folder: &Path) -> Result<(Index, Fields), IndexError> {
    let directory = MmapDirectory::open(folder).map_err(|error| IndexError::Damaged(error.to_string()))?;
    checked(Index::open(ReadableDirectory(directory))?)
}

/// Opens an index for writing.
pub(super) fn open(folder: &Path, disk: Arc<dyn Disk>) -> Result<(Index, Fields, FirstFailure), IndexError> {
    let directory = writable(folder, disk)?;
    let failure = directory.failure();
    let (index, fields) = checked(Index::open(directory)?)?;
    Ok((index, fields, failure))
}

fn checked(index: Index) -> Result<(Index, Fields), IndexError> {
    let (schema, fields) = schema();
    if !same_fields(&index.schema(), &schema) {
        return Err(IndexError::OtherVersion { found: 0, known: super::schema::SCHEMA_VERSION });
    }
    register(&index);
    Ok((index, fields))
}

fn same_fields(found: &Schema, known: &Schema) -> bool {
    serde_json::to_value(found).ok() == serde_json::to_value(known).ok()
}

fn register(index: &Index) {
    index.tokenizers().register(TOKENIZER, TextAnalyzer::from(ChatTokenizer::default()));
}
