//! What a file is, by its first bytes, and its text.
//!
//! Names lie (`.zip` in the documentation, `.gz` on the wire, neither in a listing), so only content decides: gzip with
//! any number of members, zip, an Avro container, OpenPGP, or plain text.

use super::DecodeLimits;
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::rc::Rc;

/// Bytes read from disk at a time.
const READ_AHEAD: usize = 128 * 1024;

/// A container format, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `1f 8b`, one or more members.
    Gzip,
    /// `50 4b`.
    Zip,
    /// `Obj\x01`: an Avro object container file.
    AvroContainer,
    /// ASCII armor or a binary OpenPGP message.
    OpenPgp,
    /// Anything else: text.
    Plain,
}

/// Tells a container by its first bytes (four are enough, except for ASCII armor, which takes 15).
pub fn container_of(start: &[u8]) -> Container {
    match start {
        [0x1f, 0x8b, ..] => Container::Gzip,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Container::Zip,
        [b'O', b'b', b'j', 1, ..] => Container::AvroContainer,
        _ if start.starts_with(b"-----BEGIN PGP ") => Container::OpenPgp,
        // Old- and new-format packet headers of a public-key encrypted session key, the first packet of a message.
        [0x84 | 0x85 | 0x86 | 0xc1, ..] => Container::OpenPgp,
        _ => Container::Plain,
    }
}

/// How much the layers of one file may inflate to, all together; shared by its readers.
#[derive(Clone)]
pub(super) struct Budget {
    left_bytes: Rc<Cell<u64>>,
}

/// The error of a reader that went beyond the budget.
#[derive(Debug, thiserror::Error)]
#[error(
    "its layers inflate to more than the limits allow; if it is no decompression bomb, raise max_inflate_ratio or \
         max_inflated_bytes under [limits] and run `chatvault index --rebuild`"
)]
struct Bomb;

impl Budget {
    /// For a file of this size.
    pub(super) fn new(limits: &DecodeLimits, file_bytes: u64) -> Budget {
        let by_ratio = file_bytes.saturating_mul(limits.max_inflate_ratio).max(limits.ratio_from_bytes);
        Budget { left_bytes: Rc::new(Cell::new(by_ratio.min(limits.max_inflated_bytes))) }
    }

    /// Counts bytes that came out of a layer; an error that [`is_bomb`] knows when they are too many.
    pub(super) fn take(&self, bytes: u64) -> io::Result<()> {
        let left = self.left_bytes.get();
        self.left_bytes.set(left.saturating_sub(bytes));
        if bytes > left { Err(io::Error::other(Bomb)) } else { Ok(()) }
    }
}

/// Whether reading ended because of the budget.
pub(super) fn is_bomb(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Bomb>())
}

/// Takes what it reads from the budget.
struct Metered<R> {
    inner: R,
    budget: Budget,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.budget.take(count as u64)?;
        Ok(count)
    }
}

/// One text inside a file, opened.
pub(super) struct Opened<'a> {
    /// What the text itself starts like once unpacked.
    pub(super) container: Container,
    /// Layers of gzip that were taken off.
    pub(super) layers: usize,
    /// The unpacked bytes.
    pub(super) bytes: Box<dyn BufRead + 'a>,
}

/// Unpacks gzip layers (a gzip inside a gzip too) until something else comes out.
pub(super) fn open<'a>(reader: impl Read + 'a, budget: &Budget) -> io::Result<Opened<'a>> {
    let mut bytes: Box<dyn BufRead + 'a> = Box::new(BufReader::with_capacity(READ_AHEAD, reader));
    for layers in 0..MAX_LAYERS {
        // A first read may give a single byte, which tells nothing.
        let mut start = Vec::with_capacity(START_BYTES);
        (&mut bytes).take(START_BYTES as u64).read_to_end(&mut start)?;
        let container = container_of(&start);
        bytes = Box::new(io::Cursor::new(start).chain(bytes));
        if container != Container::Gzip {
            return Ok(Opened { container, layers, bytes });
        }
        let inflated = Metered { inner: MultiGzDecoder::new(bytes), budget: budget.clone() };
        bytes = Box::new(BufReader::with_capacity(2 * READ_AHEAD, inflated));
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {MAX_LAYERS} layers of gzip")))
}

/// Bytes that tell any container.
const START_BYTES: usize = 15;

/// Layers of compression followed before a file counts as damaged: an archive has one, a mistake two.
const MAX_LAYERS: usize = 4;

/// Calls `each` with every entry of a zip file, by index; entry names are never used as paths. An entry that cannot be
/// opened (an unknown method, a password) costs only itself: `each` is told why.
pub(super) fn for_each_zip_entry<R: Read + Seek>(
    file: R,
    budget: &Budget,
    each: &mut dyn FnMut(io::Result<&mut dyn Read>),
) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(file).map_err(zip_error)?;
    for index in 0..archive.len() {
        match archive.by_index(index) {
            Ok(entry) if entry.is_file() => each(Ok(&mut Metered { inner: entry, budget: budget.clone() })),
            Ok(_) => {}
            Err(error) => each(Err(zip_error(error))),
        }
    }
    Ok(())
}

fn zip_error(error: zip::result::ZipError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
