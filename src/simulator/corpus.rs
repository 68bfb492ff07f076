//! Writes a whole account to a folder, for imports, benchmarks and the demo.
//!
//! The same bytes a download gives, without HTTP. Files are made in parallel; each is written
//! conversation by conversation.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thiserror::Error;

use super::body::{BodyError, BodyOptions, write_file};
use super::calendar::FileSpec;
use super::world::{World, WorldConfig, WorldError};

/// What was written to the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CorpusSummary {
    /// Files.
    pub files: u64,
    /// Conversation records, revisions included.
    pub conversation_records: u64,
    /// Bytes of JSON before compression.
    pub json_bytes: u64,
    /// Bytes on disk.
    pub compressed_bytes: u64,
}

/// The corpus could not be written.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// The account is impossible.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A file or the folder could not be made.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes every file of the account into `folder`, which is made if it is missing.
///
/// # Errors
/// [`CorpusError`]; files written before the failure stay.
pub fn write_corpus(
    folder: &Path,
    config: &WorldConfig,
    options: BodyOptions,
) -> Result<CorpusSummary, CorpusError> {
    let world = World::new(config.clone())?;
    fs::create_dir_all(folder).map_err(|source| CorpusError::Write {
        path: folder.to_owned(),
        source,
    })?;
    let files: Vec<FileSpec> = world.files().collect();
    let written = files.par_iter().map(|file| {
        let path = folder.join(file.name());
        let result = write_one(&world, file, options, &path);
        result.map_err(|source| CorpusError::Write { path, source })
    });
    written.try_reduce(CorpusSummary::default, |left, right| {
        Ok(CorpusSummary {
            files: left.files + right.files,
            conversation_records: left.conversation_records + right.conversation_records,
            json_bytes: left.json_bytes + right.json_bytes,
            compressed_bytes: left.compressed_bytes + right.compressed_bytes,
        })
    })
}

fn write_one(
    world: &World,
    file: &FileSpec,
    options: BodyOptions,
    path: &Path,
) -> io::Result<CorpusSummary> {
    let mut out = BufWriter::with_capacity(256 * 1024, File::create(path)?);
    let size = write_file(world, file, options, &mut out).map_err(|BodyError(source)| source)?;
    out.flush()?;
    Ok(CorpusSummary {
        files: 1,
        conversation_records: size.conversation_records,
        json_bytes: size.json_bytes,
        compressed_bytes: out.get_ref().metadata()?.len(),
    })
}
