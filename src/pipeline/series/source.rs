//! Where answers lie: files of the manifest, and segments that are still being written.

use super::AnswerPlace;
use crate::archive::{Archive, ArchiveError, ArchivedFile, OpenAnswers, Window};

/// One of them.
pub(super) enum Source {
    Sealed(Box<ArchivedFile>),
    Open(OpenAnswers),
}

impl Source {
    /// Those of a stream: the files in the order of the manifest, then the open segments by name.
    pub(super) fn all(archive: &Archive, stream: &str) -> Result<Vec<Source>, ArchiveError> {
        // First what may vanish: a segment that is sealed in between is in both, and its file is taken.
        let mut open = archive.open_answers(stream)?;
        let mut files = archive.files_after(0)?;
        files.retain(|file| file.stream == stream);
        open.retain(|open| !files.iter().any(|file| file.name == open.name));
        let files = files.into_iter().map(|file| Source::Sealed(Box::new(file)));
        Ok(files.chain(open.into_iter().map(Source::Open)).collect())
    }

    pub(super) fn window(&self) -> Option<Window> {
        match self {
            Source::Sealed(file) => file.window,
            Source::Open(open) => Some(open.window),
        }
    }

    pub(super) fn path(&self) -> &str {
        match self {
            Source::Sealed(file) => &file.path,
            Source::Open(open) => &open.path,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Source::Open(_))
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Source::Open(open) if open.is_broken)
    }

    pub(super) fn place(&self, answered_ms: i64) -> AnswerPlace {
        let sha256 = match self {
            Source::Sealed(file) => Some(file.sha256.to_string()),
            Source::Open(_) => None,
        };
        AnswerPlace { answered_ms, file: self.path().to_owned(), sha256 }
    }
}
