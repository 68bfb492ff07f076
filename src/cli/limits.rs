//! `[limits]`: what a hostile file may cost. Used by every command that archives, indexes or shows files.

use super::exit::Failure;
use super::settings::{self, Settings};
use chatvault::archive::{Archive, CheckLimits};
use chatvault::decode::DecodeLimits;
use chatvault::pipeline::{DEFAULT_MEMORY_BYTES, LEAST_MEMORY_BYTES, RunOptions};
use std::path::Path;

/// Keys of the section.
pub(super) const KEYS: [&str; 4] = ["max_inflate_ratio", "max_inflated_bytes", "max_record_bytes", "memory"];

/// Beyond what any machine has.
const MOST_MEMORY_BYTES: u64 = 1 << 50;

/// The largest record that any setting allows.
pub(super) const MAX_RECORD_BYTES: usize = 1 << 30;

/// Bounds on what a file may inflate to, and on one record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Inflated bytes per byte of the file, where it inflates to more than 64 MiB.
    pub(crate) max_inflate_ratio: u64,
    /// Inflated bytes of one file.
    pub(crate) max_inflated_bytes: u64,
    /// Bytes of JSON of one record. Each decoding thread may hold one such record in memory.
    pub(crate) max_record_bytes: usize,
    /// Memory of a run that indexes, bytes.
    pub(crate) memory_bytes: u64,
}

/// `--memory` of the commands that index.
#[derive(clap::Args, Debug)]
pub(crate) struct Memory {
    /// Memory to work within, such as 256MiB or 256M (K, M, G count by 1024, MB and GB by 1000); 128MiB at least [default: as in vault.toml, else 1GiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
}

impl Limits {
    /// Those of a vault that is only read: a copy without its `vault.toml` can be read too.
    pub(super) fn of_vault(vault: &Path) -> Result<Limits, Failure> {
        match vault.join(settings::FILE).exists() {
            true => Ok(Settings::of_vault(vault)?.limits),
            false => Limits::read(|_, _| Ok(None)),
        }
    }

    /// Reads the section through `text`, which gives the value of a key from the environment or the file, as text, and what it is
    /// called there.
    pub(super) fn read(
        text: impl Fn(&str, &str) -> Result<Option<(String, String)>, Failure>,
    ) -> Result<Limits, Failure> {
        let usual = DecodeLimits::default();
        let value = |key: &str, usual: u64, from: u64, to: u64| -> Result<u64, Failure> {
            let variable = format!("CHATVAULT_{}", key.to_ascii_uppercase());
            let Some((text, name)) = text(key, &variable)? else { return Ok(usual) };
            let size = size(&text).map_err(|failure| failure.within(&name))?;
            if (from..=to).contains(&size) {
                return Ok(size);
            }
            Err(Failure::usage(format!("{name} is {size}; it is a number from {from} to {to}")))
        };
        let record = value("max_record_bytes", usual.max_record_bytes as u64, 64 << 10, MAX_RECORD_BYTES as u64)?;
        Ok(Limits {
            max_inflate_ratio: value("max_inflate_ratio", usual.max_inflate_ratio, 1, 1 << 30)?,
            max_inflated_bytes: value("max_inflated_bytes", usual.max_inflated_bytes, 1 << 10, 1 << 50)?,
            max_record_bytes: usize::try_from(record).unwrap_or(usual.max_record_bytes),
            memory_bytes: value("memory", DEFAULT_MEMORY_BYTES, LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES)?,
        })
    }

    /// With what the command line says of memory.
    pub(crate) fn with(self, memory: &Memory) -> Result<Limits, Failure> {
        let Some(text) = &memory.memory else { return Ok(self) };
        let memory_bytes = size(text).map_err(|failure| failure.within("--memory"))?;
        if !(LEAST_MEMORY_BYTES..=MOST_MEMORY_BYTES).contains(&memory_bytes) {
            return Err(Failure::usage(format!("--memory {text}: it has to be 128MiB or more")));
        }
        Ok(Limits { memory_bytes, ..self })
    }

    /// The archive, checking within these limits.
    pub(crate) fn on(self, archive: Archive) -> Archive {
        let usual = CheckLimits::default();
        archive.with_check_limits(CheckLimits {
            max_ratio: self.max_inflate_ratio,
            max_inflated_bytes: self.max_inflated_bytes,
            ..usual
        })
    }

    /// For reading files of the archive.
    pub(crate) fn decode(self) -> DecodeLimits {
        DecodeLimits {
            max_record_bytes: self.max_record_bytes,
            max_inflate_ratio: self.max_inflate_ratio,
            max_inflated_bytes: self.max_inflated_bytes,
            ..DecodeLimits::default()
        }
    }

    /// For a run of the indexer.
    pub(crate) fn run_options(self) -> RunOptions {
        RunOptions { decode: self.decode(), ..RunOptions::default() }.within(self.memory_bytes)
    }
}

/// Reads `1000`, `500MB`, `2GiB`, `256M`: a number, and a unit of 1000 or (with `i`, or a letter alone, as other tools have it)
/// of 1024.
pub(super) fn size(text: &str) -> Result<u64, Failure> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => 0,
    };
    let bytes = count.parse::<u64>().ok().and_then(|count| count.checked_mul(factor));
    bytes.filter(|_| factor > 0).ok_or_else(|| {
        Failure::usage(format!("{text:?} is no size"))
            .hint("write a number, or one with a unit: 500MB, 256GB, 32MiB (or 32M, which is the same)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("1000", 1000),
            ("256GB", 256_000_000_000),
            ("32 MiB", 32 << 20),
            ("1tib", 1 << 40),
            ("64K", 64 << 10),
            ("256M", 256 << 20),
            ("1g", 1 << 30),
            ("1 T", 1 << 40),
        ] {
            assert_eq!(size(text).expect(text), bytes);
        }
        for wrong in ["", "GB", "1.5GB", "-1", "1XB", "99999999999TB", "1KI", "1Mi", "M", "18446744073709551616"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
