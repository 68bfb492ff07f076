//! Bounds of a run, and how a bound on memory is divided among its parts.

use crate::decode::{DecodeLimits, Keyring};
use crate::index::WriterOptions;
use std::sync::Arc;

/// Bounds of a run, and the keys it has.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Of the index writer.
    pub writer: WriterOptions,
    /// Of decoding.
    pub decode: DecodeLimits,
    /// Private keys for what came encrypted.
    pub keys: Arc<Keyring>,
    /// Threads that read and decode files.
    pub decoders: usize,
    /// Bytes of inflated text that are kept between publishing a file and indexing it, all together.
    pub text_bytes: usize,
    /// Bytes of archive files after which a long run commits, so that a crash does not cost all of it.
    pub round_bytes: u64,
    /// This process has compared index and audit chain already (see `masks.rs`); only what comes now can be news.
    pub is_later_round: bool,
}

/// Memory of a run unless it is told otherwise, bytes.
pub const DEFAULT_MEMORY_BYTES: u64 = 1 << 30;

/// The least that a run can be told to do with: two indexing threads, a file's text, and the program itself.
pub const LEAST_MEMORY_BYTES: u64 = 128 << 20;

impl Default for RunOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(16));
        let options = RunOptions {
            writer: WriterOptions::default(),
            decode: DecodeLimits::default(),
            keys: Arc::new(Keyring::empty()),
            decoders: cores,
            text_bytes: 0,
            // About 6 GB of JSON: commits are rare enough to cost nothing, and half a minute of work at most is lost.
            round_bytes: 1 << 30,
            is_later_round: false,
        };
        options.within(DEFAULT_MEMORY_BYTES)
    }
}

impl RunOptions {
    /// The same run within `memory_bytes`: a quarter for the indexing threads, as far as more of it makes them faster, an
    /// eighth for texts. The rest is for what is decoded at the moment, buffers, merges and the program itself. A record
    /// larger than that, up to the limit on records, comes on top.
    #[must_use]
    pub fn within(mut self, memory_bytes: u64) -> RunOptions {
        let memory_bytes = usize::try_from(memory_bytes.max(LEAST_MEMORY_BYTES)).unwrap_or(usize::MAX);
        let usual = WriterOptions::default();
        // The writer takes fewer threads by itself where there is not enough for all.
        self.writer = WriterOptions { memory_bytes: usual.memory_bytes.min(memory_bytes / 4), threads: usual.threads };
        self.text_bytes = (memory_bytes / 8).min(256 << 20);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_divided_and_has_an_end_below() {
        let parts = |memory: u64| {
            let options = RunOptions::default().within(memory);
            (options.writer.memory_bytes, options.text_bytes)
        };
        assert_eq!(parts(256 << 20), (64 << 20, 32 << 20));
        assert_eq!(parts(1), parts(LEAST_MEMORY_BYTES));
        assert_eq!(parts(1 << 50).0, WriterOptions::default().memory_bytes);
        assert_eq!(RunOptions::default().text_bytes, 128 << 20);
    }
}
