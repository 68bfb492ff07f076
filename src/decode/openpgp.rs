//! OpenPGP: the keys at hand, and messages opened with them.
//!
//! Keys are unlocked once, when the ring is made: unlocking is slow on purpose, and a file may hold thousands of messages.
//! The key of a message is chosen by the key ids that it names; a recipient who is not named is tried with every key.
//! Signatures are not verified: whose key signed is not known here, and the archive proves the bytes in its own way. Where
//! a message has an integrity check (MDC, AEAD), it decides; old messages without one are opened too.
//!
//! The library's readers panic when one goes on after an error, so every call into them stands behind a wall: a hostile
//! message costs itself and nothing else.

use super::armor;
use pgp::composed::{DecryptionOptions, Deserializable, Esk, Message, SignedSecretKey, TheRing};
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::types::{KeyDetails, Password, PkeskVersion, Seipdv1ReadMode};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Layers (encryption, compression, signature) inside a message that are followed.
const MAX_LAYERS: usize = 8;

/// Recipients of a message whose session keys are tried. Each costs a private-key operation.
const MAX_RECIPIENTS: usize = 32;

/// Private keys for opening messages. Prints key ids, never keys.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<SignedSecretKey>,
    open: BTreeSet<String>,
    locked: BTreeSet<String>,
}

/// Why a text gives no key ring. Never holds a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Neither an armored private key nor a binary one.
    #[error("it holds no OpenPGP private key")]
    NoPrivateKey,
    /// An armored block that is not a key, or a damaged one.
    #[error("private key number {0} in it is damaged, or of a kind that is not supported")]
    Damaged(usize),
}

impl Keyring {
    /// A ring without keys: it opens nothing.
    pub fn empty() -> Keyring {
        Keyring::default()
    }

    /// Reads private keys, armored (several may follow one another) or binary, and unlocks them. A key that the passphrase
    /// does not unlock stays in the ring as locked.
    ///
    /// # Errors
    /// Where a key cannot be read.
    pub fn read(text: &[u8], passphrase: Option<&str>) -> Result<Keyring, KeyringError> {
        let binary = match text.first() {
            Some(first) if first & 0x80 != 0 => vec![Some(text.to_owned())],
            _ => {
                let text = String::from_utf8_lossy(text);
                armor::private_keys(&text).into_iter().map(|block| block.packets).collect()
            }
        };
        let password = passphrase.map_or_else(Password::empty, Password::from);
        let mut ring = Keyring::empty();
        for (at, packets) in binary.into_iter().enumerate() {
            let damaged = KeyringError::Damaged(at + 1);
            let keys = packets.and_then(|packets| parse_keys(&packets)).ok_or(damaged)?;
            keys.into_iter().for_each(|key| ring.add(key, &password));
        }
        if ring.keys.is_empty() { Err(KeyringError::NoPrivateKey) } else { Ok(ring) }
    }

    fn add(&mut self, mut key: SignedSecretKey, password: &Password) {
        // The primary key may be a stub without its secret half; the subkeys are then still good.
        let _ = key.primary_key.remove_password(password);
        self.note(&key.primary_key, key.primary_key.secret_params().is_encrypted());
        for subkey in &mut key.secret_subkeys {
            let _ = subkey.key.remove_password(password);
            self.note(&subkey.key, subkey.key.secret_params().is_encrypted());
        }
        self.keys.push(key);
    }

    fn note(&mut self, key: &impl KeyDetails, is_locked: bool) {
        let ids = if is_locked { &mut self.locked } else { &mut self.open };
        ids.insert(key.legacy_key_id().to_string().to_uppercase());
    }

    /// Ids of the keys that can be used, 16 upper-case hex digits each.
    pub fn open_ids(&self) -> &BTreeSet<String> {
        &self.open
    }

    /// Ids of the keys that the passphrase did not unlock.
    pub fn locked_ids(&self) -> &BTreeSet<String> {
        &self.locked
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Opens a whole message that lies in memory.
    pub(super) fn open(&self, packets: &[u8], max_bytes: usize) -> Opened {
        let mut key_ids = Vec::new();
        let outcome = walled(|| {
            let mode = Seipdv1ReadMode::CheckFirst { max_message_size: max_bytes.saturating_add(1 << 16) };
            let message = self.unlock(packets, mode, &mut key_ids)?;
            let mut clear = Vec::new();
            let limit = max_bytes as u64 + 1;
            // Signed contents are read through the signature's reader, which ends only with the message.
            message.take(limit).read_to_end(&mut clear).map_err(|_| Sealed::Damaged("its contents are damaged"))?;
            if clear.len() > max_bytes { Err(Sealed::TooLarge) } else { Ok(clear) }
        });
        Opened { key_ids, outcome }
    }

    /// Opens a message of any length. What is read comes before the integrity check at its end, which then is an error of
    /// the reader: as with gzip, everything up to the damage has been handed over.
    pub(super) fn open_stream<'m>(&self, source: impl BufRead + fmt::Debug + Send + 'm) -> OpenedStream<'m> {
        let mut key_ids = Vec::new();
        let outcome = walled(|| {
            let message = self.unlock(source, Seipdv1ReadMode::Streaming, &mut key_ids)?;
            Ok(Clear(Some(message)))
        });
        OpenedStream { key_ids, outcome }
    }

    /// Takes layer after layer off, until the contents are there. `key_ids`: whom the message names.
    fn unlock<'m>(
        &self,
        source: impl BufRead + fmt::Debug + Send + 'm,
        mode: Seipdv1ReadMode,
        key_ids: &mut Vec<String>,
    ) -> Result<Message<'m>, Sealed> {
        let no_message = |_| Sealed::Damaged("it is not an OpenPGP message, or a damaged one");
        let mut message = Message::from_bytes(source).map_err(no_message)?;
        for _ in 0..MAX_LAYERS {
            message = match message {
                Message::Literal { .. } => return Ok(message),
                Message::Compressed { .. } => message.decompress().map_err(no_message)?,
                Message::Signed { .. } => {
                    let message = message.decompress().map_err(no_message)?;
                    return match message.literal_data_header() {
                        Some(_) => Ok(message),
                        None => Err(Sealed::Unsupported("a signed message that holds no plain contents")),
                    };
                }
                Message::Encrypted { ref esk, .. } => {
                    let named = recipients(esk);
                    key_ids.extend(named.iter().cloned());
                    key_ids.sort();
                    key_ids.dedup();
                    self.choose(esk.len(), &named)?;
                    self.decrypt(message, mode)?
                }
            };
        }
        Err(Sealed::Unsupported("a message inside a message inside a message"))
    }

    /// Says beforehand what cannot succeed, so that the reason is known.
    fn choose(&self, session_keys: usize, named: &[String]) -> Result<(), Sealed> {
        if named.is_empty() {
            return Err(Sealed::Unsupported("it is encrypted with a password, not for a key"));
        }
        if session_keys > MAX_RECIPIENTS {
            return Err(Sealed::Unsupported("it has too many recipients"));
        }
        let is_anonymous = named.iter().any(|id| id == ANONYMOUS);
        if named.iter().any(|id| self.open.contains(id)) || (is_anonymous && !self.open.is_empty()) {
            return Ok(());
        }
        let is_locked = named.iter().any(|id| self.locked.contains(id)) || (is_anonymous && !self.locked.is_empty());
        Err(if is_locked { Sealed::Locked } else { Sealed::NoKey })
    }

    /// Whether all session keys for the keys at hand are of an algorithm that the library does not open.
    fn has_no_method(&self, session_keys: &[Esk]) -> bool {
        let mut algorithms = session_keys
            .iter()
            .filter(|key| recipients(std::slice::from_ref(key)).iter().any(|id| self.open.contains(id)))
            .filter_map(|key| match key {
                Esk::PublicKeyEncryptedSessionKey(key) => key.algorithm().ok(),
                Esk::SymKeyEncryptedSessionKey(_) => None,
            })
            .peekable();
        algorithms.peek().is_some() && algorithms.all(|algorithm| !is_opened_here(algorithm))
    }

    fn decrypt<'m>(&self, message: Message<'m>, mode: Seipdv1ReadMode) -> Result<Message<'m>, Sealed> {
        let is_for_named = match &message {
            Message::Encrypted { esk, .. } => recipients(esk).iter().any(|id| self.open.contains(id)),
            _ => false,
        };
        // The library takes such a session key for one that does not fit.
        let is_unsupported = match &message {
            Message::Encrypted { esk, .. } => self.has_no_method(esk),
            _ => false,
        };
        let ring = TheRing {
            secret_keys: self.keys.iter().collect(),
            // Without an integrity check, and GnuPG's own AEAD: neither is what one would send today, both are in archives.
            decrypt_options: DecryptionOptions::new().enable_legacy().enable_gnupg_aead().set_seipdv1_read_mode(mode),
            ..TheRing::default()
        };
        match message.decrypt_the_ring(ring, true) {
            Ok((message, _)) => Ok(message),
            Err(pgp::errors::Error::MissingKey) if !is_for_named => Err(Sealed::NoKey),
            Err(pgp::errors::Error::MissingKey) if is_unsupported => Err(Sealed::Unsupported(
                "unsupported algorithm: its session key is encrypted with one that is not read here",
            )),
            Err(pgp::errors::Error::MissingKey) => Err(Sealed::Damaged("its session key is damaged")),
            Err(pgp::errors::Error::Unsupported { .. } | pgp::errors::Error::Unimplemented { .. }) => {
                Err(Sealed::Unsupported("it uses a method that is not supported"))
            }
            Err(_) => Err(Sealed::Damaged("its encrypted part is damaged")),
        }
    }
}

fn is_opened_here(algorithm: PublicKeyAlgorithm) -> bool {
    use PublicKeyAlgorithm::{ECDH, RSA, RSAEncrypt, X448, X25519};
    matches!(algorithm, RSA | RSAEncrypt | ECDH | X25519 | X448)
}

/// Key id of a recipient who is not named.
pub const ANONYMOUS: &str = "0000000000000000";

/// The key ids that a message names, each once.
fn recipients(session_keys: &[Esk]) -> Vec<String> {
    let mut ids = Vec::new();
    for key in session_keys {
        let Esk::PublicKeyEncryptedSessionKey(key) = key else { continue };
        let id = match key.version() {
            PkeskVersion::V3 => key.id().ok().map(ToString::to_string),
            // Of a version 6 fingerprint, the key id is the first eight bytes; of a version 4 one, the last.
            PkeskVersion::V6 => key.fingerprint().ok().map(|fingerprint| match fingerprint.map(ToString::to_string) {
                None => ANONYMOUS.to_owned(),
                Some(hex) if hex.len() == 40 => hex[24..].to_owned(),
                Some(hex) => hex.get(..16).unwrap_or(ANONYMOUS).to_owned(),
            }),
            PkeskVersion::Other(_) => None,
        };
        ids.extend(id.map(|id| id.to_uppercase()).filter(|id| !ids.contains(id)));
    }
    ids
}

fn parse_keys(packets: &[u8]) -> Option<Vec<SignedSecretKey>> {
    catch_unwind(|| {
        let keys: Vec<SignedSecretKey> =
            SignedSecretKey::from_bytes_many(packets).ok()?.collect::<Result<_, _>>().ok()?;
        (!keys.is_empty()).then_some(keys)
    })
    .ok()
    .flatten()
}

fn walled<T>(work: impl FnOnce() -> Result<T, Sealed>) -> Result<T, Sealed> {
    // What the work leaves half done is dropped unseen, so nothing broken can be met afterwards.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Sealed::Damaged("it breaks the OpenPGP reader")))
}

/// A message, opened or not, and whom it names.
#[derive(Debug)]
pub(super) struct Opened {
    /// 16 upper-case hex digits each, sorted.
    pub(super) key_ids: Vec<String>,
    pub(super) outcome: Result<Vec<u8>, Sealed>,
}

/// As [`Opened`], with the contents still to be read.
pub(super) struct OpenedStream<'m> {
    pub(super) key_ids: Vec<String>,
    pub(super) outcome: Result<Clear<'m>, Sealed>,
}

/// Why a message stays closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// None of its keys is at hand.
    NoKey,
    /// A key is at hand, and the passphrase is missing or wrong.
    Locked,
    /// Not readable with any key.
    Damaged(&'static str),
    /// Well-formed, and beyond this version.
    Unsupported(&'static str),
    /// More clear text than the limit.
    TooLarge,
}

impl Sealed {
    /// Whether a key or a passphrase would help.
    pub(super) fn wants_key(self) -> bool {
        matches!(self, Sealed::NoKey | Sealed::Locked)
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sealed::NoKey => f.write_str("no key for it is at hand"),
            Sealed::Locked => f.write_str("the passphrase of its key is missing or wrong"),
            Sealed::Damaged(reason) | Sealed::Unsupported(reason) => f.write_str(reason),
            Sealed::TooLarge => f.write_str("its clear text is too large"),
        }
    }
}

/// The clear text of a message as a stream; ends with an error where the message is damaged.
#[derive(Debug)]
pub(super) struct Clear<'m>(Option<Message<'m>>);

impl Read for Clear<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let damaged = |reason: &str| {
            io::Error::new(io::ErrorKind::InvalidData, format!("the OpenPGP message is damaged ({reason})"))
        };
        // Taken out meanwhile: a reader that has failed once is never touched again.
        let Some(mut message) = self.0.take() else { return Err(damaged("reading it has failed before")) };
        match catch_unwind(AssertUnwindSafe(|| message.read(buffer).map(|read| (read, message)))) {
            Ok(Ok((read, message))) => {
                self.0 = Some(message);
                Ok(read)
            }
            Ok(Err(error)) => Err(damaged(&error.to_string())),
            Err(_) => Err(damaged("it breaks the OpenPGP reader")),
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("open", &self.open).field("locked", &self.locked).finish_non_exhaustive()
    }
}
