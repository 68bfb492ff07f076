//! Is a container whole? Reads a body back from disk before it is published.
//!
//! The kind is found by magic bytes, never by name. gzip: every member is inflated, its CRC-32 and length compared,
//! and nothing may follow the last one. zip: every entry is read and its CRC-32 compared. Anything else has no check
//! sum of its own and passes. Memory is one buffer, whatever the size; what inflates beyond [`CheckLimits`] is
//! refused as a decompression bomb. Of a damaged gzip file it is told how far it can be read;
//! where the damage itself lies, the check sum at the end does not tell.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use super::kept::KeptText;
use flate2::bufread::GzDecoder;
use serde::{Deserialize, Serialize};

mod entries;

pub(super) const BUFFER_BYTES: usize = 128 * 1024;

/// Bounds on what a container may inflate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckLimits {
    /// Inflated bytes per byte received. gzip cannot pass 1,032; chats are near 7.
    pub max_ratio: u64,
    /// The ratio is looked at only above this many inflated bytes: small files may be anything.
    pub ratio_from_bytes: u64,
    /// Inflated bytes of one file.
    pub max_inflated_bytes: u64,
}

impl Default for CheckLimits {
    fn default() -> CheckLimits {
        CheckLimits { max_ratio: 1000, ratio_from_bytes: 64 << 20, max_inflated_bytes: 256 << 30 }
    }
}

/// What a body turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// One or more gzip members.
    Gzip,
    /// A zip archive.
    Zip,
    /// No container that we know.
    Plain,
}

impl Container {
    /// The word used in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Container::Gzip => "gzip",
            Container::Zip => "zip",
            Container::Plain => "plain",
        }
    }
}

/// A whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// What it is.
    pub container: Container,
    /// Bytes after inflating all of it; the size itself for [`Container::Plain`].
    pub inflated_bytes: u64,
}

/// How the readable part of a damaged file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Damage {
    /// The bytes end too soon; what is there may be right.
    Cut,
    /// Bytes are wrong, and those from which nothing came out need not be the first.
    Corrupt,
}

/// What can still be read of a gzip file: everything in front of the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoodPrefix {
    /// How it ends.
    pub damage: Damage,
    /// Offset in the received bytes at which reading failed. The first wrong byte of a corrupt file lies before it, anywhere.
    pub at_byte: u64,
    /// Inflated bytes that come out before that: those that can be read, not those that are right. In front of a corrupt place (not
    /// of a cut) the last one may be missing.
    pub good_bytes: u64,
    /// Those of them that stand in members whose CRC-32 and length were compared. The others came out without an error, and
    /// nothing else speaks for them.
    pub proven_bytes: u64,
}

/// Why a body cannot be published, or why it could not be read.
#[derive(Debug)]
pub enum CheckError {
    /// The bytes are damaged.
    Damaged {
        /// What is wrong, and where.
        reason: String,
        /// What can be saved; `None` if nothing can, or if the body is a bomb.
        prefix: Option<GoodPrefix>,
    },
    /// The body inflates beyond the limits: which one, and the setting that raises it.
    Bomb(String),
    /// The disk could not be read.
    Io(io::Error),
}

impl CheckError {
    fn damaged(reason: impl Into<String>) -> CheckError {
        CheckError::Damaged { reason: reason.into(), prefix: None }
    }
}

/// Checks the body in `file` (at its start, open for reading). `name` matters only for one trap: a web page that was
/// served with status 200 under the name of a gzip file.
///
/// # Errors
/// [`CheckError::Damaged`] for an empty body, a cut or corrupt container, trailing bytes, a web page;
/// [`CheckError::Bomb`] for what inflates beyond `limits`.
pub fn check(file: impl Read + Seek, name: &str, limits: &CheckLimits) -> Result<Whole, CheckError> {
    check_keeping(file, name, limits, None)
}

/// As [`check`]; the text of a gzip file goes into `text`, if one is given.
pub(super) fn check_keeping(
    mut file: impl Read + Seek,
    name: &str,
    limits: &CheckLimits,
    mut text: Option<&mut KeptText>,
) -> Result<Whole, CheckError> {
    let size_bytes = file.seek(SeekFrom::End(0)).map_err(CheckError::Io)?;
    file.rewind().map_err(CheckError::Io)?;
    if size_bytes == 0 {
        return Err(CheckError::damaged("empty body"));
    }
    let mut head = Vec::with_capacity(16);
    (&mut file).take(16).read_to_end(&mut head).map_err(CheckError::Io)?;
    file.rewind().map_err(CheckError::Io)?;

    let mut meter = Meter { limits: *limits, received_bytes: size_bytes, inflated_bytes: 0 };
    let container = container_of(&head);
    match container {
        Container::Gzip => {
            let mut keep = |bytes: &[u8]| text.as_mut().into_iter().for_each(|text| text.append(bytes));
            check_gzip(file, &mut meter, &mut keep)?;
        }
        Container::Zip => entries::check_zip(file, &mut meter)?,
        Container::Plain if is_page_posing_as_gzip(&head, name) => {
            return Err(CheckError::damaged("a web page or XML text where the name promises gzip"));
        }
        Container::Plain => meter.inflated_bytes = size_bytes,
    }
    Ok(Whole { container, inflated_bytes: meter.inflated_bytes })
}

/// The kind of container that begins with `head` (at least 4 bytes, if the file has them).
pub fn container_of(head: &[u8]) -> Container {
    match head {
        [0x1f, 0x8b, ..] => Container::Gzip,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Container::Zip,
        _ => Container::Plain,
    }
}

/// Adds up inflated bytes and stops at the limits.
struct Meter {
    limits: CheckLimits,
    received_bytes: u64,
    inflated_bytes: u64,
}

impl Meter {
    fn add(&mut self, bytes: usize) -> Result<(), CheckError> {
        self.inflated_bytes += bytes as u64;
        let CheckLimits { max_ratio, ratio_from_bytes, max_inflated_bytes } = self.limits;
        if self.inflated_bytes > max_inflated_bytes {
            return Err(CheckError::Bomb(format!(
                "it inflates to more than {max_inflated_bytes} bytes; if it is no decompression bomb, raise \
                 max_inflated_bytes under [limits] and run the same command again"
            )));
        }
        let allowed = self.received_bytes.saturating_mul(max_ratio);
        if self.inflated_bytes > ratio_from_bytes && self.inflated_bytes > allowed {
            return Err(CheckError::Bomb(format!(
                "it inflates to more than {max_ratio} times its size; if it is no decompression bomb, raise \
                 max_inflate_ratio under [limits] and run the same command again"
            )));
        }
        Ok(())
    }
}

/// Counts what was read and remembers the disk's own errors, which must not pass for damage.
struct Counted<R> {
    inner: R,
    read_bytes: u64,
    disk_error: Option<io::Error>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(count) => {
                self.read_bytes += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let told = io::Error::from(error.kind());
                self.disk_error = Some(error);
                Err(told)
            }
        }
    }
}

fn check_gzip(mut file: impl Read + Seek, meter: &mut Meter, keep: &mut dyn FnMut(&[u8])) -> Result<(), CheckError> {
    let mut inflation = Inflation::default();
    let outcome = inflate(&mut file, &mut inflation, u64::MAX, &mut |bytes| {
        keep(bytes);
        meter.add(bytes.len())
    });
    if !matches!(outcome, Err(CheckError::Damaged { .. })) {
        return outcome;
    }
    // A read that fails may have lost what it had inflated so far. The second time the end is read byte by byte.
    let large_reads = inflation.total_bytes.saturating_sub(BUFFER_BYTES as u64);
    (inflation, meter.inflated_bytes) = (Inflation::default(), 0);
    file.rewind().map_err(CheckError::Io)?;
    inflate(&mut file, &mut inflation, large_reads, &mut |bytes| meter.add(bytes.len()))
}

/// How far inflating has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inflation {
    /// Bytes that came out.
    pub(super) total_bytes: u64,
    /// Those in members that were compared with their check sum.
    pub(super) proven_bytes: u64,
}

/// Inflates every member of a gzip file, in large reads up to `large_reads` inflated bytes and byte by byte behind them. `each`
/// gets what comes out, and may end it with an error.
pub(super) fn inflate(
    file: impl Read,
    inflation: &mut Inflation,
    large_reads: u64,
    each: &mut dyn FnMut(&[u8]) -> Result<(), CheckError>,
) -> Result<(), CheckError> {
    let counted = Counted { inner: file, read_bytes: 0, disk_error: None };
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, counted);
    let mut buffer = vec![0; BUFFER_BYTES];
    let failed = loop {
        match reader.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break error,
        }
        let mut member = GzDecoder::new(&mut reader);
        let outcome = loop {
            let ahead = large_reads.saturating_sub(inflation.total_bytes).max(1);
            let length = usize::try_from(ahead).map_or(BUFFER_BYTES, |ahead| ahead.min(BUFFER_BYTES));
            match member.read(&mut buffer[..length]) {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    inflation.total_bytes += count as u64;
                    each(&buffer[..count])?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        match outcome {
            // The end of a member is reached only if its check sum and its length are right.
            Ok(()) => inflation.proven_bytes = inflation.total_bytes,
            Err(error) => break error,
        }
    };
    if let Some(disk_error) = reader.get_mut().disk_error.take() {
        return Err(CheckError::Io(disk_error));
    }
    let at_byte = reader.get_ref().read_bytes - reader.buffer().len() as u64;
    let is_cut = failed.kind() == io::ErrorKind::UnexpectedEof;
    let prefix = GoodPrefix {
        damage: if is_cut { Damage::Cut } else { Damage::Corrupt },
        at_byte,
        good_bytes: inflation.total_bytes,
        proven_bytes: inflation.proven_bytes,
    };
    let reason = gzip_damage(&failed, prefix);
    Err(CheckError::Damaged { reason, prefix: Some(prefix).filter(|good| good.good_bytes > 0) })
}

fn gzip_damage(error: &io::Error, prefix: GoodPrefix) -> String {
    let GoodPrefix { damage, at_byte, good_bytes, proven_bytes } = prefix;
    let proven = format!("{proven_bytes} of them proven by a check sum");
    match damage {
        Damage::Cut => {
            format!("the gzip stream is cut at byte {at_byte}, after {good_bytes} readable bytes of content, {proven}")
        }
        // Inflating may go on for long behind a wrong byte; often only the check sum at the very end tells.
        Damage::Corrupt => format!(
            "the gzip stream is corrupt ({error}): the damage lies somewhere before byte {at_byte}; {good_bytes} bytes of \
             content can be read, {proven}, and the others may be altered"
        ),
    }
}

fn is_page_posing_as_gzip(head: &[u8], name: &str) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    first == Some(&b'<') && name.to_ascii_lowercase().ends_with(".gz")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    /// `content` as one gzip member.
    pub(in crate::archive) fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn outcome_within(body: &[u8], name: &str, limits: &CheckLimits) -> Result<Whole, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(body).unwrap();
        file.rewind().unwrap();
        check(file, name, limits).map_err(|error| match error {
            CheckError::Damaged { reason, .. } | CheckError::Bomb(reason) => reason,
            CheckError::Io(error) => panic!("{error}"),
        })
    }

    fn outcome(body: &[u8]) -> Result<Whole, String> {
        outcome_within(body, "x.gz", &CheckLimits::default())
    }

    fn zipped() -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, text) in [("a.json", "{\"a\":1}"), ("b.json", "{\"b\":2}")] {
            writer.start_file(name, stored).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn all_members_of_a_good_gzip_count() {
        let body = [gzip(b"one\n"), gzip(b""), gzip(&[b'x'; 300_000])].concat();
        assert_eq!(outcome(&body), Ok(Whole { container: Container::Gzip, inflated_bytes: 300_004 }));
    }

    #[test]
    fn a_gzip_cut_anywhere_is_damaged() {
        let body = [gzip(b"the first member"), gzip(b"the second member")].concat();
        let border = gzip(b"the first member").len();
        for cut in 2..body.len() {
            let whole = outcome(&body[..cut]).is_ok();
            assert_eq!(whole, cut == border, "cut at {cut} of {}", body.len());
        }
        assert!(outcome(&body[..body.len() - 1]).unwrap_err().contains("cut at byte"));
    }

    #[test]
    fn a_wrong_checksum_or_length_is_damaged() {
        let good = gzip(&b"some content, long enough to be deflated, to be deflated".repeat(50));
        for from_end in 1..=8 {
            let mut body = good.clone();
            let place = body.len() - from_end;
            body[place] ^= 1;
            assert!(outcome(&body).unwrap_err().contains("corrupt"), "byte {from_end} from the end");
        }
    }

    #[test]
    fn bytes_after_the_last_member_are_damage() {
        for trailing in [&b"x"[..], b"\0", &[0; 512], b"<html>", &[0x1f, 0x8b]] {
            let body = [&gzip(b"content")[..], trailing].concat();
            assert!(outcome(&body).is_err(), "{trailing:?}");
        }
    }

    #[test]
    fn bombs_are_refused_by_ratio_and_by_size() {
        let body = gzip(&vec![0; 4 << 20]);
        let limits = CheckLimits { max_ratio: 100, ratio_from_bytes: 1 << 20, max_inflated_bytes: 1 << 30 };
        assert!(outcome_within(&body, "x.gz", &limits).unwrap_err().contains("100 times"));
        let limits = CheckLimits { max_ratio: 10_000, max_inflated_bytes: 1 << 20, ..limits };
        assert!(outcome_within(&body, "x.gz", &limits).unwrap_err().contains("1048576 bytes"));
        assert!(outcome(&body).is_ok(), "small files may be anything");
    }

    #[test]
    fn the_good_part_is_told_to_the_byte() {
        let text: String = (0..40_000).map(|number| format!("{{\"line\":{}}}\n", number * number)).collect();
        let (first, second) = (gzip(b"whole member\n"), gzip(text.as_bytes()));
        let good = |body: &[u8]| match check(io::Cursor::new(body), "x.gz", &CheckLimits::default()) {
            Err(CheckError::Damaged { prefix, .. }) => prefix,
            other => panic!("{other:?}"),
        };
        for cut in [11, 300, second.len() / 2, second.len() - 9, second.len() - 1] {
            let body = [&first[..], &second[..cut]].concat();
            let prefix = good(&body).unwrap();
            assert_eq!((prefix.at_byte, prefix.proven_bytes), (body.len() as u64, 13), "{cut}");
            // zlib holds nothing back: a cut inside the trailer has all of the content.
            assert!(cut < second.len() - 8 || prefix.good_bytes == 13 + text.len() as u64, "{cut}");
        }
        let mut body = [&first[..], &second[..]].concat();
        let last = body.len() - 5;
        body[last] ^= 1;
        let whole = GoodPrefix {
            damage: Damage::Corrupt,
            at_byte: body.len() as u64,
            good_bytes: 13 + text.len() as u64,
            proven_bytes: 13,
        };
        assert_eq!(good(&body), Some(whole), "content whose check sum is wrong comes out, and is not proven");
        // A reserved block type in the middle: the decoder looks at it before it hands out the byte in front of it.
        let blocks = stored_blocks(&[b"one\n", b"two\n"], 7);
        assert_eq!(good(&blocks).map(|good| good.good_bytes), Some(7));
        assert_eq!(good(&gzip(b"x")[..9]), None, "nothing came out");
    }

    /// A gzip file of stored blocks that ends in the first byte of a block, so that any error place can be made.
    fn stored_blocks(blocks: &[&[u8]], then: u8) -> Vec<u8> {
        let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        for block in blocks {
            let length = block.len() as u16;
            body.push(0);
            body.extend(length.to_le_bytes());
            body.extend((!length).to_le_bytes());
            body.extend(*block);
        }
        body.extend([then; 20]);
        body
    }

    #[test]
    fn every_entry_of_a_zip_is_read() {
        let good = zipped();
        assert_eq!(outcome(&good), Ok(Whole { container: Container::Zip, inflated_bytes: 14 }));
        let mut bad = good.clone();
        let place = bad.windows(7).position(|bytes| bytes == b"{\"b\":2}").unwrap();
        bad[place + 5] = b'3';
        assert!(outcome(&bad).unwrap_err().contains("zip entry 1"));
        assert!(outcome(&good[..good.len() / 2]).unwrap_err().contains("zip archive is corrupt"));
    }

    #[test]
    fn other_bytes_pass_but_an_empty_body_or_a_web_page_does_not() {
        assert_eq!(outcome(b"{}"), Ok(Whole { container: Container::Plain, inflated_bytes: 2 }));
        assert!(outcome(b"x").is_ok());
        assert_eq!(outcome(b""), Err("empty body".to_owned()));
        assert!(outcome(b"\xef\xbb\xbf \n<!DOCTYPE html>").unwrap_err().contains("web page"));
        assert!(outcome_within(b"<html>", "page.xml", &CheckLimits::default()).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(kind in 0..3_usize, noise in proptest::collection::vec(0..=255_u8, 0..200)) {
            let head: &[u8] = [&b""[..], &[0x1f, 0x8b, 8], b"PK\x03\x04"][kind];
            let _ = outcome(&[head, &noise].concat());
        }
    }
}
