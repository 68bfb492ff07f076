//! The schemas of Data Access: which versions the records name, which of them are here, and when they were asked for.
//!
//! A schema is a file of its own stream, without a window. The memory is the coverage ledger's: a version that was met is a listed name,
//! one that is here a fetched one, and each question that brought nothing is a failed listing of that version.

use std::collections::BTreeSet;

use super::Archive;
use super::coverage::ListingKind;
use super::entry::{ListingOutcome, Window};
use super::error::ArchiveError;

/// The stream of the schemas.
pub const SCHEMA_STREAM: &str = "data-access/schema";
/// What LivePerson calls the newest one.
pub const LATEST_SCHEMA: &str = "latest";

/// Longest version that is taken for one.
const LONGEST: usize = 32;
/// Versions that are remembered. LivePerson has made some forty in ten years; a file may name as many as it likes.
const MOST: usize = 500;

/// What is known of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// As in `metaData.schemaVersion`, or [`LATEST_SCHEMA`].
    pub version: String,
    /// The source's own bytes are here. An import alone does not count, unless the source gave the same since.
    pub is_held: bool,
    /// When the source was last asked for it and answered, epoch milliseconds.
    pub asked_ms: Option<i64>,
    /// Why that brought nothing, if it did not.
    pub failed: Option<String>,
}

/// Whether a text can be a version's number: it becomes a file name and a parameter of an address.
pub fn is_schema_version(text: &str) -> bool {
    text.len() <= LONGEST
        && text.starts_with(|c: char| c.is_ascii_digit())
        && !text.ends_with('.')
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'.'))
}

/// The name under which a version is archived.
pub fn schema_name(version: &str) -> String {
    format!("{version}.json")
}

impl Archive {
    /// Remembers that records of the archive name these versions. What is no version, and what is known already, changes nothing.
    ///
    /// # Errors
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors.
    pub fn record_schema_versions(&self, met: &BTreeSet<String>) -> Result<(), ArchiveError> {
        let known: BTreeSet<String> = self.entries_in(SCHEMA_STREAM)?.into_iter().map(|entry| entry.name).collect();
        let room = MOST.saturating_sub(known.len());
        let met = met.iter().filter(|version| is_schema_version(version)).map(|version| schema_name(version));
        let names: Vec<String> = met.filter(|name| !known.contains(name)).take(room).collect();
        if names.is_empty() {
            return Ok(());
        }
        self.record_listing(SCHEMA_STREAM, self.moment(), &ListingOutcome::Files { names })
    }

    /// Every version that was met, and [`LATEST_SCHEMA`].
    ///
    /// # Errors
    /// Ledger errors.
    pub fn schema_versions(&self) -> Result<Vec<SchemaVersion>, ArchiveError> {
        let entries = self.entries_in(SCHEMA_STREAM)?;
        let met = entries.iter().filter_map(|entry| entry.name.strip_suffix(".json"));
        let mut versions: BTreeSet<&str> = met.filter(|version| is_schema_version(version)).collect();
        versions.insert(LATEST_SCHEMA);
        versions.into_iter().map(|version| self.schema_version(version)).collect()
    }

    fn schema_version(&self, version: &str) -> Result<SchemaVersion, ArchiveError> {
        let name = schema_name(version);
        let came = self.ledger().versions(SCHEMA_STREAM, &name)?;
        let is_theirs = came.iter().any(|file| !file.provenance.origin.starts_with("import:"));
        let last = self.listings_in(&question(version))?.pop();
        // An import may have brought the very bytes that the source then gave.
        let is_confirmed = last.as_ref().is_some_and(|last| !matches!(last.outcome, ListingKind::Failed(_)));
        let is_here = is_theirs || (is_confirmed && !came.is_empty());
        Ok(SchemaVersion {
            version: version.to_owned(),
            is_held: is_here && !self.ledger().is_doubted(SCHEMA_STREAM, &name)?,
            asked_ms: last.as_ref().map(|listing| listing.listed_ms),
            failed: last.and_then(|listing| match listing.outcome {
                ListingKind::Failed(reason) => Some(reason),
                _ => None,
            }),
        })
    }

    /// Remembers that the source was asked for a version and answered: with the schema, or with a refusal and why.
    ///
    /// # Errors
    /// [`ReadOnly`](ArchiveError::ReadOnly), ledger errors.
    pub fn record_schema_asked(&self, version: &str, refused: Option<&str>) -> Result<(), ArchiveError> {
        let stream = question(version);
        match refused {
            None => self.record_followed(&stream, self.moment(), &BTreeSet::from([version.to_owned()])),
            Some(reason) => {
                let failed = ListingOutcome::Failed { reason: reason.to_owned() };
                self.record_listing(&stream, self.moment(), &failed)
            }
        }
    }

    /// A schema is asked for as it is now; the ledger wants a range.
    fn moment(&self) -> Window {
        let now_ms = self.now_ms().max(0);
        Window { start_ms: now_ms, end_ms: now_ms.saturating_add(1) }
    }
}

/// The name of a question in the ledger: stream names hold no dots, versions no hyphens.
fn question(version: &str) -> String {
    format!("{SCHEMA_STREAM}/{}", version.replace('.', "-"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::clock;
    use super::super::{Arrival, Provenance, Published, RealDisk};
    use super::*;

    fn set(versions: &[&str]) -> BTreeSet<String> {
        versions.iter().map(|version| (*version).to_owned()).collect()
    }

    #[test]
    fn only_numbers_are_versions() {
        for version in ["1", "1.0.0.35", "2b.1"] {
            assert!(is_schema_version(version), "{version}");
        }
        for text in ["", "latest", "../1", "1/2", "1.", ".1", "1 0", "1-0", "1.0A", "٣", &"1".repeat(33)] {
            assert!(!is_schema_version(text), "{text}");
        }
    }

    #[test]
    fn a_version_is_met_asked_for_and_held() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::create(folder.path(), "1", Arc::new(RealDisk), clock()).unwrap();
        archive.record_schema_versions(&set(&["1.0.0.35", "../x", "latest"])).unwrap();
        let events = archive.chain_head().unwrap();
        archive.record_schema_versions(&set(&["1.0.0.35"])).unwrap();
        assert_eq!(archive.chain_head().unwrap(), events, "what is known changes nothing");
        let versions = |archive: &Archive| -> Vec<(String, bool, bool, bool)> {
            let all = archive.schema_versions().unwrap().into_iter();
            all.map(|one| (one.version, one.is_held, one.asked_ms.is_some(), one.failed.is_some())).collect()
        };
        let row = |version: &str, held, asked, failed| (version.to_owned(), held, asked, failed);
        assert_eq!(versions(&archive), [row("1.0.0.35", false, false, false), row("latest", false, false, false)]);

        archive.record_schema_asked("1.0.0.35", Some("status 404")).unwrap();
        assert_eq!(versions(&archive)[0], row("1.0.0.35", false, true, true));
        let publish = |origin: &str, text: &str| {
            let mut draft = archive.draft(SCHEMA_STREAM, &schema_name("1.0.0.35")).unwrap();
            draft.append(text.as_bytes()).unwrap();
            let provenance = Provenance { origin: origin.to_owned(), ..Provenance::default() };
            archive.publish(draft, Arrival { provenance, ..Arrival::default() }).unwrap()
        };
        publish("import:/tmp/1.0.0.35.json", "{}");
        assert!(!versions(&archive)[0].1, "what somebody imported is not the source's word");
        // The source gives the same bytes: they are here already.
        assert!(matches!(publish("https://va.da.liveperson.net/schema", "{}"), Published::Already(_)));
        assert!(!versions(&archive)[0].1, "a refusal was its last word");
        archive.record_schema_asked("1.0.0.35", None).unwrap();
        assert!(versions(&archive)[0].1);
        let published = publish("https://va.da.liveperson.net/schema", "{\"type\":\"record\"}");
        assert_eq!(published.file().path, "files/data-access/schema/undated/1.0.0.35.v2.json");
        archive.record_schema_asked("1.0.0.35", None).unwrap();
        assert_eq!(versions(&archive)[0], row("1.0.0.35", true, true, false));
    }
}
