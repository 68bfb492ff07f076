//! What is known to be wrong, and the proof of it: names that are not here whole, and the bytes in `quarantine/`, which are
//! re-read like the files.
//!
//! Quarantined bytes are evidence: salvage files refer to them, and nobody can get them again. A row may be without its bytes where
//! other rows hold the same ones.

use std::collections::HashSet;

use rusqlite::Connection;
use serde::Serialize;

use super::Archive;
use super::coverage::EntryState;
use super::disk::EntryKind;
use super::entry::{Sha256Hex, Window};
use super::error::ArchiveError;
use super::layout;
use super::ledger::{Ledger, window_columns};
use super::verify::Part;

/// A name of the source that is known to be damaged or gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedName {
    /// Its stream.
    pub stream: String,
    /// The name.
    pub name: String,
    /// The window it stands for, where known.
    pub window: Option<Window>,
    /// `damaged` or `missing`.
    pub state: &'static str,
    /// Whether a listing ever showed it. What was not listed came by an import.
    pub listed: bool,
    /// Whether the manifest has a row of it: then it was here whole once.
    pub published: bool,
    /// Where the bytes that came last are kept, if they are.
    pub quarantined_as: Option<String>,
}

/// What re-reading `quarantine/` found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QuarantineReport {
    /// Rows that were looked at.
    pub checked: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Rows whose bytes are gone or altered, by path.
    pub lost: Vec<LostEvidence>,
}

/// Quarantined bytes that are not what they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostEvidence {
    /// Path relative to the vault, starting with `quarantine/`.
    pub file: String,
    /// Stream in the row.
    pub stream: String,
    /// Name in the row.
    pub name: String,
    /// Hash in the row; `None` for what could not be read when it was set aside.
    pub expected_sha256: Option<Sha256Hex>,
    /// What is wrong, in words.
    pub reason: String,
    /// It is gone, and the name is here whole: nothing depends on it any more.
    pub superseded: bool,
}

struct Row {
    path: String,
    stream: String,
    name: String,
    sha256: Option<Sha256Hex>,
    size_bytes: u64,
    is_published: bool,
}

impl QuarantineReport {
    /// Nothing is lost that anything depends on.
    pub fn is_ok(&self) -> bool {
        self.lost.iter().all(|lost| lost.superseded)
    }
}

impl Archive {
    /// Every name that is known to be damaged or gone, by stream and window.
    ///
    /// # Errors
    /// Ledger errors.
    pub fn damaged_names(&self) -> Result<Vec<DamagedName>, ArchiveError> {
        self.ledger().read(damaged_names)
    }

    /// Those of them that were never here whole: no file of the archive holds what they held.
    ///
    /// # Errors
    /// Ledger errors.
    pub fn names_never_whole(&self) -> Result<Vec<DamagedName>, ArchiveError> {
        let mut names = self.damaged_names()?;
        names.retain(|name| !name.published);
        Ok(names)
    }

    /// Re-reads one part of the quarantined bytes; `progress` gets the bytes read so far.
    pub(super) fn read_quarantine(
        &self,
        ledger: &Ledger,
        part: Part,
        progress: &dyn Fn(u64),
    ) -> Result<QuarantineReport, ArchiveError> {
        let rows = ledger.read(rows)?;
        let mut report = QuarantineReport::default();
        let mut intact: HashSet<Sha256Hex> = HashSet::new();
        let of = part.of.max(1);
        for (row, number) in rows.iter().zip(1_u64..) {
            if number % of != part.part % of {
                continue;
            }
            report.checked += 1;
            match self.evidence_fault(row) {
                Ok(()) => {
                    report.bytes += row.size_bytes;
                    intact.extend(row.sha256);
                    progress(report.bytes);
                }
                Err((reason, is_gone)) => report.lost.push(LostEvidence {
                    file: row.path.clone(),
                    stream: row.stream.clone(),
                    name: row.name.clone(),
                    expected_sha256: row.sha256,
                    reason,
                    superseded: is_gone && row.is_published,
                }),
            }
        }
        // The same bytes may have come again and lie elsewhere, in another part too.
        let is_elsewhere = |lost: &LostEvidence| {
            lost.expected_sha256.is_some_and(|sha256| {
                let same = |row: &&Row| row.sha256 == Some(sha256) && row.path != lost.file;
                intact.contains(&sha256) || rows.iter().filter(same).any(|row| self.evidence_fault(row).is_ok())
            })
        };
        report.lost.retain(|lost| !is_elsewhere(lost));
        Ok(report)
    }

    /// What is wrong with a row's bytes, and whether they are gone.
    fn evidence_fault(&self, row: &Row) -> Result<(), (String, bool)> {
        let place = layout::in_vault(&self.inner.root, &row.path);
        let unreadable = |error: std::io::Error| (format!("it could not be read: {error}"), false);
        let found = self.inner.disk.metadata(&place).map_err(unreadable)?;
        let Some(found) = found else { return Err(("the quarantined bytes are gone".to_owned(), true)) };
        // Folders and what could not be read had no hash from the beginning.
        let Some(sha256) = row.sha256 else { return Ok(()) };
        if found.kind != EntryKind::File {
            return Err(("it is no regular file".to_owned(), false));
        }
        match self.hash_at(&place).map_err(unreadable)? == sha256 {
            true => Ok(()),
            false => Err(("the quarantined bytes changed".to_owned(), false)),
        }
    }
}

fn damaged_names(connection: &Connection) -> rusqlite::Result<Vec<DamagedName>> {
    let mut statement = connection.prepare_cached(
        "SELECT e.stream, e.name, e.window_start_ms, e.window_end_ms, e.state, e.first_listing IS NOT NULL, \
         EXISTS (SELECT 1 FROM files f WHERE f.stream = e.stream AND f.name = e.name), \
         (SELECT q.path FROM quarantine q WHERE q.stream = e.stream AND q.name = e.name ORDER BY q.event_seq DESC LIMIT 1) \
         FROM entries e WHERE e.state IN ('damaged', 'missing') ORDER BY e.stream, e.window_start_ms, e.name",
    )?;
    let names = statement.query_map([], |row| {
        let is_missing = row.get::<_, String>(4)? == EntryState::Missing.as_str();
        Ok(DamagedName {
            stream: row.get(0)?,
            name: row.get(1)?,
            window: window_columns(row, 2)?,
            state: if is_missing { EntryState::Missing } else { EntryState::Damaged }.as_str(),
            listed: row.get(5)?,
            published: row.get(6)?,
            quarantined_as: row.get(7)?,
        })
    })?;
    names.collect()
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(
        "SELECT q.path, q.stream, q.name, q.sha256, q.size_bytes, \
         EXISTS (SELECT 1 FROM files f WHERE f.stream = q.stream AND f.name = q.name) FROM quarantine q ORDER BY q.path",
    )?;
    let rows = statement.query_map([], |row| {
        let hash: Option<String> = row.get(3)?;
        Ok(Row {
            path: row.get(0)?,
            stream: row.get(1)?,
            name: row.get(2)?,
            // A hash that is none cannot be that of any bytes, so it is kept as one that nothing has.
            sha256: hash.map(|text| text.parse().unwrap_or(Sha256Hex([0; 32]))),
            size_bytes: row.get(4)?,
            is_published: row.get(5)?,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::super::check::tests::gzip;
    use super::super::tests::{Lab, NAME, STREAM, overwrite, publish};
    use super::*;

    fn quarantined(lab: &Lab, name: &str, body: &[u8]) -> String {
        match publish(&lab.archive, name, body).unwrap_err() {
            ArchiveError::Damaged { quarantined_as, .. } => quarantined_as,
            other => panic!("{other}"),
        }
    }

    fn lost(lab: &Lab) -> Vec<(String, bool)> {
        let report = lab.verify();
        assert_eq!(report.is_ok(), report.quarantine.is_ok(), "{report:?}");
        report.quarantine.lost.into_iter().map(|lost| (lost.file, lost.superseded)).collect()
    }

    #[test]
    fn quarantined_bytes_are_evidence() {
        let lab = Lab::new();
        let whole = gzip(b"the content of a file");
        let cut = &whole[..whole.len() - 5];
        let path = quarantined(&lab, NAME, cut);
        let report = lab.verify();
        assert!(report.is_ok() && report.quarantine.lost.is_empty());
        assert_eq!((report.quarantine.checked, report.quarantine.bytes), (1, cut.len() as u64));
        assert_eq!(report.known_damage.len(), 1);
        let known = &report.known_damage[0];
        assert_eq!((known.stream.as_str(), known.name.as_str(), known.state), (STREAM, NAME, "damaged"));
        assert_eq!((known.listed, known.published, known.quarantined_as.as_deref()), (false, false, Some(&*path)));

        // Altered, with the same length; then the same bytes come again: they are kept once more.
        let mut altered = cut.to_vec();
        altered[12] ^= 1;
        overwrite(&lab.root().join(&path), &altered);
        assert_eq!(lost(&lab), [(path.clone(), false)]);
        let second = quarantined(&lab, NAME, cut);
        assert_ne!(second, path);
        assert_eq!(lost(&lab), []);

        // Gone: it matters until the name is here whole.
        fs::remove_file(lab.root().join(&path)).unwrap();
        fs::remove_file(lab.root().join(&second)).unwrap();
        assert_eq!(lost(&lab), [(path.clone(), false), (second.clone(), false)]);
        publish(&lab.archive, NAME, &whole).unwrap();
        assert_eq!(lost(&lab), [(path, true), (second, true)]);
        assert!(lab.verify().is_ok() && lab.verify().known_damage.is_empty());
    }

    #[test]
    fn parts_of_the_quarantine_add_up() {
        let lab = Lab::new();
        for number in 0..5_u8 {
            let body = gzip(&[number; 30]);
            quarantined(&lab, &format!("{number}.gz"), &body[..body.len() - 1]);
        }
        let parts = [1, 2, 3].map(|part| lab.archive.verify_part(Part { part, of: 3 }, &|_| {}, 1).unwrap());
        assert_eq!(parts.each_ref().map(|report| report.quarantine.checked).iter().sum::<u64>(), 5);
    }
}
