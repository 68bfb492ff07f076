//! What `quarantine/` and the names of salvage files still tell when the ledger that explained them is lost.
//!
//! Every body in quarantine gets its row back, a salvage file stays one, and the name that it was salvaged of is damaged again.
//! Salvage file and body are brought together by the digits of the hash in the name; how far the body can be read is found
//! out anew. Only reads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rusqlite::Transaction;

use super::check::{self, CheckError, CheckLimits, Container, Damage, GoodPrefix, Whole};
use super::coverage::mark_damaged;
use super::disk::{Disk, EntryKind};
use super::entry::{Salvage, Sha256Hex, Window};
use super::error::ArchiveError;
use super::ingest::hash_of;
use super::layout::{self, DATABASE, NAME_MAX_BYTES, QUARANTINE};
use super::ledger::{By, NewQuarantine, insert_quarantine};
use super::mend::{REBUILT, from_disk};
use super::naming::{listed_name, stream_and_window};
use super::place::QUARANTINE_NAME_BYTES;
use super::verify::ledger_path;

const HASH_BUFFER_BYTES: usize = 256 * 1024;
const HASH_DIGITS: usize = 8;

/// A file under `quarantine/`.
struct Body {
    path: String,
    /// The name that it was received under, where the path still holds all of it.
    name: Option<String>,
    sha256: Option<Sha256Hex>,
    size_bytes: u64,
    /// What is wrong with its container, if anything is.
    objection: Option<String>,
    /// How far it can be read. A whole gzip file can be read to its end, and is salvaged only if fewer bytes came than were
    /// announced.
    prefix: Option<GoodPrefix>,
}

/// Everything under `quarantine/`.
#[derive(Default)]
pub(super) struct Evidence {
    bodies: Vec<Body>,
    /// Places in `bodies` of those that can be read in part, by the first digits of their hash.
    by_digits: HashMap<String, usize>,
}

/// A salvage file as its row tells it.
pub(super) struct SalvageRow<'a> {
    pub(super) stream: &'a str,
    pub(super) name: &'a str,
    pub(super) window: Option<Window>,
}

impl Evidence {
    /// Reads the whole of `quarantine/`, on all cores.
    ///
    /// # Errors
    /// What keeps the folder from being listed. A body that cannot be read gets a row without a hash.
    pub(super) fn read(root: &Path, disk: &dyn Disk) -> Result<Evidence, ArchiveError> {
        let folder = root.join(QUARANTINE);
        let entries = disk.list(&folder).map_err(|source| ArchiveError::from_io(&folder, None, source))?;
        let places: Vec<PathBuf> =
            entries.into_iter().filter(|entry| entry.kind == EntryKind::File).map(|entry| entry.path).collect();
        let bodies: Vec<Body> = places.par_iter().map(|place| Body::read(root, disk, place)).collect();
        let readable = bodies.iter().enumerate().filter(|(_, body)| body.prefix.is_some());
        let by_digits = readable.filter_map(|(at, body)| Some((body.digits()?, at))).collect();
        Ok(Evidence { bodies, by_digits })
    }

    /// How a file that has the name of a salvage file came to be; `None` for any other name. Where its body is not in quarantine any
    /// more nothing is known but that much, so nothing in it counts as proven.
    pub(super) fn salvage_of(&self, name: &str, whole: &Whole) -> Option<Salvage> {
        let (_, digits) = salvaged_name(name)?;
        let of_these = self.by_digits.get(digits).and_then(|at| self.bodies.get(*at));
        Some(match of_these.and_then(|body| Some((body, body.sha256?, body.prefix?))) {
            Some((body, sha256, prefix)) => Salvage {
                quarantined_as: Some(body.path.clone()),
                sha256: Some(sha256),
                damage: prefix.damage,
                damaged_at_byte: Some(prefix.at_byte),
                good_bytes: prefix.good_bytes,
                proven_bytes: prefix.proven_bytes,
            },
            None => Salvage {
                quarantined_as: None,
                sha256: None,
                damage: Damage::Corrupt,
                damaged_at_byte: None,
                good_bytes: whole.inflated_bytes,
                proven_bytes: 0,
            },
        })
    }

    /// Rows of the quarantine, and the state of every name that is known to have come damaged and is not here whole. To be called
    /// when the manifest has its rows.
    pub(super) fn insert(
        &self,
        transaction: &Transaction<'_>,
        by: By<'_>,
        salvaged: &[SalvageRow<'_>],
    ) -> rusqlite::Result<()> {
        let provenance = from_disk(REBUILT);
        let names = salvaged.iter().filter_map(|row| Some((salvaged_name(row.name)?, row)));
        let by_digits: HashMap<&str, (&str, &SalvageRow<'_>)> =
            names.map(|((base, digits), row)| (digits, (base, row))).collect();
        for body in &self.bodies {
            let digits = body.digits();
            let (base, of_body) = digits.and_then(|digits| by_digits.get(digits.as_str()).copied()).unzip();
            let name = body.name.as_deref().or(base);
            let (listed_stream, window) = name.map_or((None, None), stream_and_window);
            let listed_stream =
                listed_stream.filter(|stream| name.is_some_and(|name| listed_name(name, stream).is_ok()));
            let stream = of_body.map(|row| row.stream).or(listed_stream);
            let is_damaged = body.objection.is_some() || of_body.is_some();
            let objection = body.objection.as_deref().unwrap_or("its container is whole");
            let reason = format!("found here when vault.db was rebuilt; {objection}");
            let row = NewQuarantine {
                stream: stream.unwrap_or_default(),
                name: name.unwrap_or("(not known)"),
                path: &body.path,
                window: of_body.map_or(window, |row| row.window),
                sha256: body.sha256,
                size_bytes: body.size_bytes,
                reason: &reason,
                // Only what came damaged from somewhere says something of its name; a stray does not.
                provenance: stream.filter(|_| is_damaged).map(|_| &provenance),
                prefix: body.prefix.filter(|_| is_damaged),
            };
            insert_quarantine(transaction, by, &row)?;
        }
        for row in salvaged {
            // A long name was cut in front of the ending: what is left of it is no name.
            if let Some((base, _)) = salvaged_name(row.name).filter(|_| row.name.len() + 4 <= NAME_MAX_BYTES) {
                mark_damaged(transaction, row.stream, base, row.window)?;
            }
        }
        Ok(())
    }
}

impl Body {
    fn read(root: &Path, disk: &dyn Disk, place: &Path) -> Body {
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        let path = ledger_path(root, place);
        let size_bytes = disk.metadata(place).ok().flatten().map_or(0, |found| found.size_bytes);
        let sha256 = disk.open(place).and_then(|file| hash_of(file, &mut buffer)).ok();
        let name = received_name(&path).map(str::to_owned);
        let checked = match disk.open(place) {
            // The usual limits: a bomb may be why it lies here.
            Ok(file) => check::check(file, name.as_deref().unwrap_or_default(), &CheckLimits::default()),
            Err(source) => Err(CheckError::Io(source)),
        };
        let is_database = name.as_deref().is_some_and(|name| name.starts_with(DATABASE));
        let (objection, prefix) = match checked {
            _ if is_database => (None, None),
            Ok(Whole { container: Container::Gzip, inflated_bytes }) => {
                let (damage, at_byte) = (Damage::Cut, size_bytes);
                let prefix = GoodPrefix { damage, at_byte, good_bytes: inflated_bytes, proven_bytes: inflated_bytes };
                (None, Some(prefix))
            }
            Ok(_) => (None, None),
            Err(CheckError::Damaged { reason, prefix }) => (Some(reason), prefix),
            Err(CheckError::Bomb(reason)) => (Some(reason), None),
            Err(CheckError::Io(source)) => (Some(format!("it cannot be read: {source}")), None),
        };
        Body { path, name, sha256, size_bytes, objection, prefix }
    }

    /// What stands of its hash in the name of its salvage file.
    fn digits(&self) -> Option<String> {
        let mut text = self.sha256?.to_string();
        text.truncate(HASH_DIGITS);
        Some(text)
    }
}

/// Name of the damaged file, and the first digits of its hash, of [`layout::salvage_name`]'s names.
pub(super) fn salvaged_name(name: &str) -> Option<(&str, &str)> {
    let (base, digits) = name.strip_suffix(".gz")?.rsplit_once(".salvaged-")?;
    let is_hash = digits.len() == HASH_DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_hash && !base.is_empty()).then_some((base, digits))
}

/// The name in `quarantine/<YYYYMMDD>T<hhmmss>Z-<number>-<name>`.
fn received_name(path: &str) -> Option<&str> {
    let mut parts = path.strip_prefix(QUARANTINE)?.strip_prefix('/')?.splitn(3, '-');
    let (time, number, name) = (parts.next()?, parts.next()?, parts.next()?);
    let is_time = time.len() == 16 && time.as_bytes()[8] == b'T' && time.ends_with('Z');
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    // Longer ones may have been cut, by up to three bytes more than needed.
    let is_all = name.len() + 3 < QUARANTINE_NAME_BYTES;
    (is_time && is_number && is_all && layout::checked_name(name).is_ok()).then_some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::check::tests::gzip;
    use super::super::tests::{Lab, NAME, STREAM, publish};
    use super::super::*;
    use super::*;
    use std::fs;

    #[test]
    fn names_are_read_back() {
        assert_eq!(salvaged_name("x.gz.salvaged-0123abcd.gz"), Some(("x.gz", "0123abcd")));
        for other in
            ["x.gz", "x.salvaged-0123abcd", "x.salvaged-0123ABCD.gz", ".salvaged-0123abcd.gz", "x.salvaged-1.gz"]
        {
            assert_eq!(salvaged_name(other), None, "{other}");
        }
        assert_eq!(received_name("quarantine/20200101T000000Z-12-a-b.gz"), Some("a-b.gz"));
        for other in ["quarantine/a", "quarantine/20200101T000000Z-x-a", "quarantine/20200101-1-a"] {
            assert_eq!(received_name(other), None, "{other}");
        }
    }

    fn damaged(lab: &Lab, name: &str, body: &[u8]) -> Published {
        let ArchiveError::Damaged { salvageable, .. } = publish(&lab.archive, name, body).unwrap_err() else {
            panic!("not damaged")
        };
        lab.archive.salvage(&salvageable.unwrap()).unwrap()
    }

    #[test]
    fn a_rebuilt_ledger_knows_salvage_files_and_damaged_names() {
        let lab = Lab::new();
        let other = NAME.replace("part-00000", "part-00001");
        let body = [gzip(b"first member\n"), gzip(&b"second member\n".repeat(99))].concat();
        let found = damaged(&lab, NAME, &body[..body.len() - 9]).file().clone();
        let forgotten = damaged(&lab, &other, &[&body[..], &gzip(b"third")[..12]].concat()).file().clone();
        let quarantined = |salvage: &Provenance| salvage.salvage.clone().unwrap().quarantined_as.unwrap();
        let (kept, gone) = (quarantined(&found.provenance), quarantined(&forgotten.provenance));

        let lab = lab.rebuilt(|root| fs::remove_file(root.join(&gone)).unwrap());
        let archive = &lab.archive;
        let files = archive.files_after(0).unwrap();
        assert_eq!(files.len(), 2);
        for (file, former) in files.iter().zip([&found, &forgotten]) {
            let (salvage, before) = (file.provenance.salvage.clone(), former.provenance.salvage.clone());
            assert_eq!((&file.path, file.window), (&former.path, former.window));
            match former == &found {
                true => assert_eq!(salvage, before),
                false => assert_eq!(
                    salvage.map(|s| (s.quarantined_as, s.sha256, s.proven_bytes, s.damage)),
                    Some((None, None, 0, Damage::Corrupt))
                ),
            }
        }
        let entries = archive.entries_in(STREAM).unwrap();
        let states: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.state)).collect();
        assert_eq!(states, [(NAME, EntryState::Damaged), (other.as_str(), EntryState::Damaged)]);
        assert!(entries.iter().all(|entry| entry.window == found.window && found.window.is_some()));
        assert!(archive.names_in(STREAM).unwrap().is_empty(), "no name of the source is here");
        // The row of the quarantine is back: the same damage is neither kept nor salvaged again.
        let ArchiveError::Damaged { quarantined_as, salvageable, .. } =
            publish(archive, NAME, &body[..body.len() - 9]).unwrap_err()
        else {
            panic!("not damaged")
        };
        assert_eq!(quarantined_as, kept);
        assert_eq!(archive.salvage(&salvageable.unwrap()).unwrap(), Published::Already(files[0].clone()));
        // The whole file has the last word.
        publish(archive, NAME, &body).unwrap();
        assert_eq!(archive.entries_in(STREAM).unwrap()[0].state, EntryState::Fetched);
        assert!(archive.verify(&|_| {}, 1).unwrap().is_ok());
    }
}
