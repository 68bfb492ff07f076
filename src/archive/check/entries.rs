//! Every entry of a zip archive is read, and its CRC-32 compared.

use std::io::{self, BufReader, Read, Seek};

use zip::ZipArchive;
use zip::result::ZipError;

use super::{BUFFER_BYTES, CheckError, Meter};

pub(super) fn check_zip(file: impl Read + Seek, meter: &mut Meter) -> Result<(), CheckError> {
    let mut archive = ZipArchive::new(BufReader::with_capacity(BUFFER_BYTES, file)).map_err(zip_error)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    for index in 0..archive.len() {
        // What is encrypted or packed in a way that we cannot read has no check; it is kept as it is.
        let mut entry = match archive.by_index(index) {
            Ok(entry) => entry,
            Err(ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_)) => continue,
            Err(error) => return Err(zip_error(error)),
        };
        loop {
            match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => meter.add(count)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(CheckError::damaged(format!("zip entry {index} is corrupt ({error})")));
                }
            }
        }
    }
    Ok(())
}

fn zip_error(error: ZipError) -> CheckError {
    match error {
        ZipError::Io(error) if error.raw_os_error().is_some() => CheckError::Io(error),
        error => CheckError::damaged(format!("the zip archive is corrupt ({error})")),
    }
}
