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
        let is_of_these = |salvage: &Salvage| salvage.sha256 == found.sha256;
        if let Some(same) = known.into_iter().find(|file| file.provenance.salvage.as_ref().is_some_and(is_of_these))
            && self.is_on_disk(&same)?
        {
            return Ok(Published::Already(same));
        }
        let draft = self.draft(&found.stream, &name)?;
        // No time and no system in the header: the same damage gives the same bytes. Loosely packed: it is for reading.
        let mut packed = GzBuilder::new().operating_system(255).write(draft, Compression::fast());
        self.inflate_prefix(found, &mut packed)?;
        let draft = packed.finish().map_err(|source| self.draft_failed(source))?;
        let salvage = Salvage {
            quarantined_as: found.quarantined_as.clone(),
            sha256: found.sha256,
            damaged_at_byte: found.prefix.at_byte,
            good_bytes: found.prefix.good_bytes,
            proven_bytes: found.prefix.proven_bytes,
        };
        let arrival = Arrival {
            window: found.window,
            expected_bytes: None,
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
