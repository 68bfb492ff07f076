//! Salvage: what could be read of a damaged gzip file becomes a file of its own, through the ordinary publish path.
//!
//! The damaged bytes lie in quarantine, whole and as received, before anything is salvaged. The salvage file holds what
//! inflates in front of the damage, packed anew, under a name that no listing can show; its provenance says of which
//! bytes it was made, where they are damaged, and for how much of it a check sum speaks. It is no name of the source: in the
//! coverage ledger the damaged name stays damaged, and is fetched again. The same damage salvaged twice changes nothing,
//! so a crash between the two steps costs nothing either.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};

use super::Archive;
use super::check::{BUFFER_BYTES, CheckError, CheckLimits, GoodPrefix, Inflation, inflate};
use super::entry::{Arrival, Provenance, Published, Salvage, Sha256Hex, Window};
use super::error::ArchiveError;
use super::layout;

/// A damaged body in quarantine of which something can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvageable {
    /// Stream of the damaged file.
    pub stream: String,
    /// Its name as listed.
    pub name: String,
    /// The window it stands for.
    pub window: Option<Window>,
    /// Where the damaged bytes came from.
    pub provenance: Provenance,
    /// Where they are kept: path relative to the vault, starting with `quarantine/`.
    pub quarantined_as: String,
    /// Their SHA-256.
    pub sha256: Sha256Hex,
    /// How far they can be read.
    pub prefix: GoodPrefix,
}

impl Archive {
    /// Publishes what can be read of a damaged file, in the same stream and window.
    ///
    /// # Errors
    /// As [`Archive::publish`]; [`Io`](ArchiveError::Io) with the quarantined file's path if it is not as it was.
    pub fn salvage(&self, found: &Salvageable) -> Result<Published, ArchiveError> {
        let name = layout::salvage_name(&found.name, &found.sha256);
        // By the damaged bytes, not by the packed ones: another version of the compressor may pack them otherwise.
        let known = self.ledger().versions(&found.stream, &name)?;
        let is_of_these = |salvage: &Salvage| salvage.sha256 == Some(found.sha256);
        if let Some(same) = known.into_iter().find(|file| file.provenance.salvage.as_ref().is_some_and(is_of_these))
            && self.is_intact(&same, false)?
        {
            return Ok(Published::Already(same));
        }
        let draft = self.draft(&found.stream, &name)?;
        // No time and no system in the header: the same damage gives the same bytes. Loosely packed: it is for reading.
        let mut packed = GzBuilder::new().operating_system(255).write(draft, Compression::fast());
        self.inflate_prefix(found, &mut packed)?;
        let draft = packed.finish().map_err(|source| self.draft_failed(source))?;
        let salvage = Salvage {
            quarantined_as: Some(found.quarantined_as.clone()),
            sha256: Some(found.sha256),
            damage: found.prefix.damage,
            damaged_at_byte: Some(found.prefix.at_byte),
            good_bytes: found.prefix.good_bytes,
            proven_bytes: found.prefix.proven_bytes,
        };
        let arrival = Arrival {
            window: found.window,
            expected_bytes: None,
            reread: false,
            provenance: Provenance { salvage: Some(salvage), ..found.provenance.clone() },
        };
        // The content passed the limits when it was checked; packed anew its ratio is another, and ours.
        let limits = CheckLimits { max_ratio: u64::MAX, ..self.limits };
        self.clone().with_check_limits(limits).publish(draft, arrival)
    }

    /// Writes the good part, and nothing behind it, to `out`.
    fn inflate_prefix(&self, found: &Salvageable, out: &mut impl Write) -> Result<(), ArchiveError> {
        let path = layout::in_vault(&self.inner.root, &found.quarantined_as);
        let file = self.inner.disk.open(&path).map_err(|source| ArchiveError::from_io(&path, None, source))?;
        let good_bytes = found.prefix.good_bytes;
        let mut written_bytes = 0;
        let mut failed = None;
        let mut keep = |bytes: &[u8]| {
            let wanted = usize::try_from(good_bytes - written_bytes).map_or(bytes.len(), |left| left.min(bytes.len()));
            let written = out.write_all(&bytes[..wanted]);
            written_bytes += wanted as u64;
            failed = written.err();
            match failed.is_some() || written_bytes == good_bytes {
                true => Err(CheckError::Io(io::Error::from(io::ErrorKind::Interrupted))),
                false => Ok(()),
            }
        };
        // The last bytes before the damage come out only one by one, see `check`.
        let large_reads = good_bytes.saturating_sub(BUFFER_BYTES as u64);
        let outcome = inflate(file, &mut Inflation::default(), large_reads, &mut keep);
        match (failed, outcome) {
            (Some(source), _) => Err(self.draft_failed(source)),
            _ if written_bytes == good_bytes => Ok(()),
            (None, Err(CheckError::Io(source))) => Err(ArchiveError::from_io(&path, None, source)),
            (None, _) => {
                let told = format!("{written_bytes} bytes came out of it where {good_bytes} were found before");
                Err(ArchiveError::Io { path, source: io::Error::new(io::ErrorKind::InvalidData, told) })
            }
        }
    }

    fn draft_failed(&self, source: io::Error) -> ArchiveError {
        ArchiveError::from_io(&self.inner.root.join(layout::TEMP), None, source)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::check::tests::gzip;
    use super::super::tests::{Lab, NAME, STREAM, publish};
    use super::super::{ArchivedFile, Damage, EntryState};
    use super::*;
    use std::io::Read as _;

    fn damaged(archive: &Archive, body: &[u8]) -> Option<Box<Salvageable>> {
        match publish(archive, NAME, body).unwrap_err() {
            ArchiveError::Damaged { salvageable, .. } => salvageable,
            other => panic!("{other}"),
        }
    }

    fn content(lab: &Lab, file: &ArchivedFile) -> Vec<u8> {
        let mut content = Vec::new();
        flate2::read::MultiGzDecoder::new(lab.archive.open_file(file).unwrap()).read_to_end(&mut content).unwrap();
        content
    }

    /// Text that does not pack well, so that every cut leaves something else.
    fn text() -> Vec<u8> {
        (0..30_000_u64).flat_map(|n| format!("{}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes()).collect()
    }

    #[test]
    fn what_stands_before_the_damage_is_published_and_says_so() {
        let lab = Lab::new();
        let (first, second) = (gzip(b"first member\n"), gzip(&text()));
        let body = [&first[..], &second[..second.len() / 2]].concat();
        let found = damaged(&lab.archive, &body).unwrap();
        let Published::New(file) = lab.archive.salvage(&found).unwrap() else { panic!("not new") };
        let expected = [&b"first member\n"[..], &text()].concat();
        let content = content(&lab, &file);
        assert!(content.len() > 100_000 && expected.starts_with(&content), "{}", content.len());
        assert_eq!(file.name, format!("{NAME}.salvaged-{}.gz", &found.sha256.to_string()[..8]));
        assert_eq!((file.stream.as_str(), file.window), (STREAM, found.window));
        let told = file.provenance.salvage.clone().unwrap();
        assert_eq!((told.damage, told.damaged_at_byte), (Damage::Cut, Some(body.len() as u64)));
        assert_eq!((told.good_bytes, told.proven_bytes), (content.len() as u64, 13));
        assert!(told.quarantined_as.unwrap().starts_with("quarantine/"));
        assert_eq!(told.sha256, Some(Sha256Hex::of(&body)));
        // It is no name of the source: what is damaged stays a gap.
        let entries = lab.archive.entries_in(STREAM).unwrap();
        assert_eq!(
            entries.iter().map(|entry| (entry.name.as_str(), entry.state)).collect::<Vec<_>>(),
            [(NAME, EntryState::Damaged)]
        );

        // Again: one more event of the quarantine, and no other change.
        let again = damaged(&lab.archive, &body).unwrap();
        assert_eq!(lab.archive.salvage(&again).unwrap(), Published::Already(file.clone()));
        assert_eq!(lab.archive.files_after(0).unwrap(), [file]);
        assert_eq!(lab.kinds(), ["created", "quarantined", "fetched", "quarantined"]);
        assert!(lab.verify().is_ok());
        assert!(lab.names("tmp").is_empty());

        // Once the name is here whole, a damaged copy of it has nothing to add.
        publish(&lab.archive, NAME, &[first, second].concat()).unwrap();
        assert_eq!(damaged(&lab.archive, &body[..body.len() - 9]), None);
        let entries = lab.archive.entries_in(STREAM).unwrap();
        assert_eq!((entries.len(), entries[0].state), (1, EntryState::Fetched));
    }

    #[test]
    fn damage_anywhere_gives_a_prefix_or_nothing() {
        let lab = Lab::new();
        let text = text();
        let good = gzip(&text);
        for at in (0..good.len()).step_by(good.len() / 40) {
            let mut body = good.clone();
            body[at] ^= 0x55;
            let outcome = publish(&lab.archive, &format!("{at}.gz"), &body);
            // The time and the system in a header are not covered by anything.
            let Err(error) = outcome else { continue };
            let ArchiveError::Damaged { salvageable, .. } = error else { continue };
            let Some(found) = salvageable else { continue };
            let file = lab.archive.salvage(&found).unwrap().file().clone();
            let content = content(&lab, &file);
            assert_eq!(content.len() as u64, found.prefix.good_bytes, "{at}");
            // In front of the changed byte everything is right; packed text is never longer than unpacked text.
            let right = content.iter().zip(&text).take_while(|(a, b)| a == b).count();
            assert!(right + 100 >= at, "{at}: {right}");
        }
        assert!(lab.archive.last_sequence().unwrap() > 20);
        assert!(lab.verify().is_ok());
    }

    #[test]
    fn a_very_long_name_still_has_a_salvage_file() {
        let lab = Lab::new();
        let name = "é".repeat(120);
        let body = gzip(b"content");
        let ArchiveError::Damaged { salvageable: Some(found), .. } =
            publish(&lab.archive, &name, &body[..body.len() - 1]).unwrap_err()
        else {
            panic!("nothing to salvage")
        };
        let file = lab.archive.salvage(&found).unwrap().file().clone();
        assert!(file.name.len() <= layout::NAME_MAX_BYTES && file.name.contains("é.salvaged-"), "{}", file.name);
    }
}
