//! What went wrong while reading a file: counted by kind, located, and never a reason to stop.
//!
//! A report keeps a bounded number of located examples per kind and an exact count of all.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Kinds of problem. The name is what reports print and scripts read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// The compressed file is cut or corrupt; everything before the damage was read.
    DamagedContainer,
    /// A file whose layers inflate beyond the limits; what came before was read.
    DecompressionBomb,
    /// A file of the archive that is gone or cannot be read from disk; `chatvault verify` tells more.
    Unreadable,
    /// A record that is not valid JSON; the records around it were read.
    BrokenRecord,
    /// The file ends inside a record.
    CutShort,
    /// A record larger than the limit; it was passed over.
    TooLarge,
    /// A record, or a part of one, that a key or a passphrase would open. Not a failure: see [`ProblemKind::wants_key`].
    Encrypted,
    /// A record of a kind this version keeps but does not index (agent activity, web session, survey).
    NotIndexed,
    /// A record of another account than the vault's. It is indexed under its own account.
    OtherAccount,
    /// A conversation without an id (a LivePerson defect before June 2017). It is indexed under its place in the archive.
    NoConversationId,
    /// Where a salvage file ends or reads badly because the damage begins; the name that it was salvaged of counts as damaged.
    EndsInDamage,
    /// A field whose value has the wrong type or does not fit; the record was read without it.
    OddValue,
    /// Invalid UTF-8, an unpaired surrogate or a raw control character; replaced for reading, kept in the archive.
    Repaired,
}

impl ProblemKind {
    /// Whether something could not be read, so that a run ends with exit code 3.
    pub fn is_failure(self) -> bool {
        use ProblemKind::*;
        matches!(self, Unreadable | DamagedContainer | DecompressionBomb | BrokenRecord | CutShort | TooLarge)
    }

    /// Whether a key would help, so that a run ends with exit code 12 where nothing failed.
    pub fn wants_key(self) -> bool {
        self == ProblemKind::Encrypted
    }

    /// What a failing read means: the disk's own error says nothing about the bytes, any other is damage in them.
    pub(super) fn of_read(error: &std::io::Error) -> ProblemKind {
        if error.raw_os_error().is_some() { ProblemKind::Unreadable } else { ProblemKind::DamagedContainer }
    }

    /// Stable name, as in JSON.
    pub fn name(self) -> &'static str {
        use ProblemKind::*;
        match self {
            DamagedContainer => "damaged-container",
            DecompressionBomb => "decompression-bomb",
            Unreadable => "unreadable",
            BrokenRecord => "broken-record",
            CutShort => "cut-short",
            TooLarge => "too-large",
            Encrypted => "encrypted",
            NotIndexed => "not-indexed",
            OtherAccount => "other-account",
            NoConversationId => "no-conversation-id",
            EndsInDamage => "ends-in-damage",
            OddValue => "odd-value",
            Repaired => "repaired",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One problem and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// Zero-based ordinal of the conversation record in its file.
    pub record: u64,
    /// Offset in the decompressed text, bytes from its start.
    pub byte: u64,
    /// What exactly, in a short sentence without any transcript text.
    pub detail: String,
}

/// All problems of one file (or, merged, of a run).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// Exact number per kind.
    pub counts: BTreeMap<ProblemKind, u64>,
    /// The first [`Problems::EXAMPLES`] of each kind.
    pub examples: Vec<Problem>,
}

impl Problems {
    /// Located examples kept per kind.
    pub const EXAMPLES: u64 = 20;

    /// Counts one problem; keeps it as an example while there is room.
    pub fn add(&mut self, kind: ProblemKind, record: u64, byte: u64, detail: impl Into<String>) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= Self::EXAMPLES {
            self.examples.push(Problem { kind, record, byte, detail: detail.into() });
        }
    }

    /// Problems that mean something could not be read.
    pub fn failures(&self) -> u64 {
        self.counts.iter().filter(|(kind, _)| kind.is_failure()).map(|(_, count)| count).sum()
    }

    /// All problems, notes included.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Leaves only what is wrong with the file itself: for files that are not meant to hold records.
    pub fn forget_all_but_damage(&mut self) {
        use ProblemKind::{DamagedContainer, DecompressionBomb, EndsInDamage, Unreadable};
        let is_damage = |kind| matches!(kind, Unreadable | DamagedContainer | DecompressionBomb | EndsInDamage);
        self.counts.retain(|kind, _| is_damage(*kind));
        self.examples.retain(|problem| is_damage(problem.kind));
    }

    /// Adds the counts (not the examples) of another report.
    pub fn add_counts(&mut self, other: &Problems) {
        for (kind, count) in &other.counts {
            *self.counts.entry(*kind).or_default() += count;
        }
    }
}
