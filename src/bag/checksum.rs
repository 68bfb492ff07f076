//! The checksum algorithms of manifests. Whatever a manifest uses, SHA-256 is computed too: it is what the archive goes by.

use crate::archive::Sha256Hex;
use pgp::crypto::hash::HashAlgorithm;
use sha2::digest::DynDigest;
use std::io::{self, Read};

/// An algorithm that a manifest's name may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// By the name in `manifest-<name>.txt`.
    pub(super) fn named(name: &str) -> Option<Algorithm> {
        Some(match name.to_ascii_lowercase().as_str() {
            "md5" => Algorithm::Md5,
            "sha1" => Algorithm::Sha1,
            "sha224" => Algorithm::Sha224,
            "sha256" => Algorithm::Sha256,
            "sha384" => Algorithm::Sha384,
            "sha512" => Algorithm::Sha512,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "md5",
            Algorithm::Sha1 => "sha1",
            Algorithm::Sha224 => "sha224",
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha384 => "sha384",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Length of a checksum in bytes.
    pub(super) fn length(self) -> usize {
        match self {
            Algorithm::Md5 => 16,
            Algorithm::Sha1 => 20,
            Algorithm::Sha224 => 28,
            Algorithm::Sha256 => 32,
            Algorithm::Sha384 => 48,
            Algorithm::Sha512 => 64,
        }
    }

    fn hasher(self) -> io::Result<Box<dyn DynDigest + Send>> {
        Ok(match self {
            Algorithm::Md5 => HashAlgorithm::Md5.new_hasher().map_err(io::Error::other)?,
            Algorithm::Sha1 => Box::<sha1::Sha1>::default(),
            Algorithm::Sha224 => Box::<sha2::Sha224>::default(),
            Algorithm::Sha256 => Box::<sha2::Sha256>::default(),
            Algorithm::Sha384 => Box::<sha2::Sha384>::default(),
            Algorithm::Sha512 => Box::<sha2::Sha512>::default(),
        })
    }
}

/// What reading a file once gave.
pub(super) struct Checksums {
    pub(super) sha256: Sha256Hex,
    pub(super) bytes: u64,
    of: Vec<(Algorithm, Box<[u8]>)>,
}

impl Checksums {
    /// Reads everything, computing SHA-256 and `wanted` in one pass; `told` hears of each piece.
    pub(super) fn of(mut file: impl Read, wanted: &[Algorithm], told: &dyn Fn(u64)) -> io::Result<Checksums> {
        let mut algorithms: Vec<Algorithm> = wanted.to_vec();
        algorithms.push(Algorithm::Sha256);
        algorithms.sort_unstable();
        algorithms.dedup();
        let mut hashers: Vec<_> =
            algorithms.iter().map(|algorithm| algorithm.hasher()).collect::<io::Result<Vec<_>>>()?;
        let mut buffer = vec![0; 256 * 1024];
        let mut bytes = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hashers.iter_mut().for_each(|hasher| hasher.update(&buffer[..count]));
                    bytes += count as u64;
                    told(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let of: Vec<_> = algorithms.into_iter().zip(hashers.into_iter().map(|hasher| hasher.finalize())).collect();
        let sha256 = of.iter().find(|(algorithm, _)| *algorithm == Algorithm::Sha256);
        let sha256 = sha256.and_then(|(_, digest)| <[u8; 32]>::try_from(digest.as_ref()).ok());
        let sha256 = sha256.ok_or_else(|| io::Error::other("no SHA-256"))?;
        Ok(Checksums { sha256: Sha256Hex(sha256), bytes, of })
    }

    /// Whether the algorithm, if it was wanted, gave exactly this.
    pub(super) fn holds(&self, algorithm: Algorithm, expected: &[u8]) -> bool {
        self.of.iter().any(|(of, digest)| *of == algorithm && digest.as_ref() == expected)
    }
}
