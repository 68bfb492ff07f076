//! Texts of files that were just published, for whoever reads them next in the same process.
//!
//! Publishing inflates a gzip file to see that it is whole. Indexing it a moment later would inflate it once more, which
//! costs a tenth of an import (measured). So the check keeps what came out, as long as all that is kept stays below a
//! bound, and only where the bytes that were read back had the hash that is recorded. A text that was not kept is read
//! from `files/` as ever; nothing depends on it.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::entry::Sha256Hex;

/// Bytes of texts that are kept at a time, unless set otherwise: a few hourly files.
const DEFAULT_LIMIT_BYTES: usize = 128 << 20;
/// A text grows by its own size, but by no less than this.
const GROWTH_BYTES: usize = 1 << 20;

/// The texts that are kept, by the sequence of their file.
#[derive(Debug)]
pub(super) struct KeptTexts {
    budget: Arc<Budget>,
    texts: Mutex<VecDeque<(u64, KeptText)>>,
}

#[derive(Debug)]
struct Budget {
    limit_bytes: AtomicUsize,
    used_bytes: AtomicUsize,
}

impl Budget {
    fn reserve(&self, bytes: usize) -> bool {
        let limit = self.limit_bytes.load(Ordering::Relaxed);
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit);
        self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

/// The inflated text of a published file. Its bytes come from those whose hash is in the manifest.
#[derive(Debug)]
pub struct KeptText {
    bytes: Vec<u8>,
    reserved_bytes: usize,
    budget: Arc<Budget>,
    /// It did not fit, or is no text.
    is_given_up: bool,
}

impl Drop for KeptText {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.reserved_bytes, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for KeptText {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl KeptTexts {
    pub(super) fn new() -> KeptTexts {
        let (limit_bytes, used_bytes) = (AtomicUsize::new(DEFAULT_LIMIT_BYTES), AtomicUsize::new(0));
        KeptTexts { budget: Arc::new(Budget { limit_bytes, used_bytes }), texts: Mutex::default() }
    }

    /// Changes the bound; what is kept already stays.
    pub(super) fn limit(&self, bytes: usize) {
        self.budget.limit_bytes.store(bytes, Ordering::Relaxed);
    }

    /// A text to be filled while a file is checked.
    pub(super) fn begin(&self) -> KeptText {
        KeptText { bytes: Vec::new(), reserved_bytes: 0, budget: Arc::clone(&self.budget), is_given_up: false }
    }

    pub(super) fn put(&self, sequence: u64, text: Option<KeptText>) {
        if let Some(text) = text {
            self.texts.lock().unwrap_or_else(PoisonError::into_inner).push_back((sequence, text));
        }
    }

    pub(super) fn take(&self, sequence: u64) -> Option<KeptText> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let at = texts.iter().position(|(known, _)| *known == sequence)?;
        texts.remove(at).map(|(_, text)| text)
    }
}

impl KeptText {
    /// Appends what was inflated, or gives the text up where there is no room for it.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.is_given_up {
            return;
        }
        let missing = (self.bytes.len() + bytes.len()).saturating_sub(self.bytes.capacity());
        if missing > 0 {
            let growth = missing.max(self.bytes.capacity()).max(GROWTH_BYTES);
            if !self.budget.reserve(growth) {
                self.give_up();
                return;
            }
            self.reserved_bytes += growth;
            self.bytes.reserve_exact(self.bytes.capacity() - self.bytes.len() + growth);
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn give_up(&mut self) {
        self.is_given_up = true;
        self.bytes = Vec::new();
        let freed = std::mem::take(&mut self.reserved_bytes);
        self.budget.used_bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    /// All of the text, if it fitted and is JSON by its first byte: other containers are decoded from the file.
    pub(super) fn finished(self) -> Option<KeptText> {
        let first = self.bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        (!self.is_given_up && matches!(first, Some(b'{' | b'['))).then_some(self)
    }
}

/// Hashes what is read from the start to the end; going back to the start begins anew.
pub(super) struct Hashed<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read + Seek> Hashed<R> {
    pub(super) fn new(inner: R) -> Hashed<R> {
        Hashed { inner, hasher: Sha256::new() }
    }

    pub(super) fn sha256(self) -> Sha256Hex {
        Sha256Hex(self.hasher.finalize().into())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

impl<R: Seek> Seek for Hashed<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.hasher = Sha256::new();
        self.inner.seek(to)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_within_the_bound_and_are_given_once() {
        let kept = KeptTexts::new();
        kept.limit(3 << 20);
        let text = |start: &str, length: usize| {
            let mut text = kept.begin();
            text.append(start.as_bytes());
            for _ in 0..length / 1000 {
                text.append(&[b' '; 1000]);
            }
            text.finished()
        };
        assert!(text("{", 4 << 20).is_none(), "too long");
        assert!(text("<html>", 10).is_none() && text("\u{1f}\u{8b}", 10).is_none(), "no JSON");
        let one = text(" \n{", 900_000);
        assert_eq!(one.as_ref().map(|text| text.as_ref().len()), Some(900_003));
        kept.put(7, one);
        assert!(text("{", 2_500_000).is_none(), "what is kept counts");
        assert!(kept.take(8).is_none());
        assert_eq!(kept.take(7).unwrap().as_ref().len(), 900_003);
        assert!(kept.take(7).is_none());
        assert_eq!(kept.budget.used_bytes.load(Ordering::Relaxed), 0);
        assert!(text("{", 900_000).is_some());
    }
}
