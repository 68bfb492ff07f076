//! What a file is, by its first bytes, and its text.
//!
//! Names lie (`.zip` in the documentation, `.gz` on the wire, neither in a listing), so only content decides: gzip with
//! any number of members, zip, an Avro container, OpenPGP, or plain text.

use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Read, Seek};

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

/// One text inside a file, opened.
pub(super) struct Opened<'a> {
    /// What the text itself starts like once unpacked.
    pub(super) container: Container,
    /// The unpacked bytes.
    pub(super) bytes: Box<dyn BufRead + 'a>,
}

/// Unpacks gzip layers (a gzip inside a gzip too) until something else comes out.
pub(super) fn open<'a>(reader: impl Read + 'a) -> io::Result<Opened<'a>> {
    let mut bytes: Box<dyn BufRead + 'a> = Box::new(BufReader::with_capacity(READ_AHEAD, reader));
    for _ in 0..MAX_LAYERS {
        let container = container_of(bytes.fill_buf()?);
        if container != Container::Gzip {
            return Ok(Opened { container, bytes });
        }
        bytes = Box::new(BufReader::with_capacity(2 * READ_AHEAD, MultiGzDecoder::new(bytes)));
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {MAX_LAYERS} layers of gzip")))
}

/// Layers of compression followed before a file counts as damaged: an archive has one, a mistake two.
const MAX_LAYERS: usize = 4;

/// Calls `each` with every entry of a zip file, by index; entry names are never used as paths. An entry that cannot be
/// opened (an unknown method, a password) costs only itself: `each` is told why.
pub(super) fn for_each_zip_entry<R: Read + Seek>(
    file: R,
    each: &mut dyn FnMut(io::Result<&mut dyn Read>),
) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(file).map_err(zip_error)?;
    for index in 0..archive.len() {
        match archive.by_index(index) {
            Ok(mut entry) if entry.is_file() => each(Ok(&mut entry)),
            Ok(_) => {}
            Err(error) => each(Err(zip_error(error))),
        }
    }
    Ok(())
}

fn zip_error(error: zip::result::ZipError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
