//! Files of agent activity that are OpenPGP messages as a whole → what is in them.
//!
//! A message that is no larger than a record may be lies in memory, a larger one waits in a temporary file, still encrypted.
//! Clear text is never on a disk.

use super::agent_activity::{Activity, kind_of};
use super::armor;
use super::container::{Budget, Container, container_of};
use super::openpgp::{OpenedStream, Sealed};
use super::parts::{Capped, MAX_EXPANSION, MAX_FILE_MESSAGE, MAX_ZIP, SMALLEST_LIMIT};
use super::problem::ProblemKind;
use crate::conversation::encrypted_marker;
use pgp::armor::Dearmor;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};

impl Activity<'_> {
    /// A file, or an entry of one, that is one message or several in ASCII armor.
    pub(super) fn openpgp(&mut self, mut bytes: Box<dyn BufRead + '_>) {
        if self.is_inside {
            return self.note(ProblemKind::BrokenRecord, 0, "an OpenPGP message inside another is not opened");
        }
        let mut start = Vec::new();
        let limit = self.limits.max_record_bytes as u64;
        if let Err(error) = bytes.by_ref().take(limit.saturating_add(1)).read_to_end(&mut start) {
            return self.note(kind_of(&error), start.len() as u64, error.to_string());
        }
        let is_armored = start.first().is_some_and(|first| first & 0x80 == 0);
        if start.len() as u64 > limit {
            return self.large_message(&start, bytes, is_armored);
        }
        if !is_armored {
            return self.message(Cursor::new(&start[..]), start.len() as u64, 0);
        }
        let text: String = start.iter().map(|byte| if byte.is_ascii() { *byte as char } else { '?' }).collect();
        let blocks = armor::messages(&text);
        if blocks.is_empty() {
            self.note(ProblemKind::BrokenRecord, 0, "an armored OpenPGP file without a readable message");
        }
        for block in blocks {
            let at = block.place.start as u64;
            match block.packets {
                _ if self.stopped => return,
                Some(packets) => self.message(Cursor::new(&packets[..]), packets.len() as u64, at),
                None => self.note(ProblemKind::BrokenRecord, at, "the ASCII armor of an OpenPGP message is damaged"),
            }
        }
    }

    fn large_message(&mut self, start: &[u8], rest: Box<dyn BufRead + '_>, is_armored: bool) {
        let spool = || -> io::Result<(std::fs::File, u64)> {
            let mut file = tempfile::tempfile()?;
            let length = io::copy(&mut start.chain(rest).take(MAX_FILE_MESSAGE + 1), &mut file)?;
            file.rewind()?;
            Ok((file, length))
        };
        let (file, length) = match spool() {
            Ok((_, length)) if length > MAX_FILE_MESSAGE => {
                let detail = format!("an OpenPGP message of over {MAX_FILE_MESSAGE} bytes");
                return self.note(ProblemKind::TooLarge, 0, detail);
            }
            Ok(spooled) => spooled,
            Err(error) => return self.note(kind_of(&error), 0, error.to_string()),
        };
        let file = BufReader::with_capacity(256 * 1024, file);
        if !is_armored {
            return self.message(file, length, 0);
        }
        let mut dearmor = Dearmor::new(file);
        match dearmor.read_header() {
            Ok(()) => self.message(BufReader::new(dearmor), length, 0),
            Err(_) => self.note(ProblemKind::BrokenRecord, 0, "the ASCII armor of the file is damaged"),
        }
    }

    /// One message of `length` bytes that begins at `at`.
    fn message(&mut self, source: impl BufRead + std::fmt::Debug + Send, length: u64, at: u64) {
        let OpenedStream { key_ids, outcome } = self.keys.open_stream(source);
        match outcome {
            Ok(clear) => {
                let left = length.saturating_mul(MAX_EXPANSION).max(SMALLEST_LIMIT);
                let outer = std::mem::replace(&mut self.is_inside, true);
                self.clear_file(Capped { clear, left }, length);
                self.is_inside = outer;
            }
            Err(sealed) if sealed.wants_key() => {
                let marker = encrypted_marker(&key_ids);
                self.note(ProblemKind::Encrypted, at, format!("{}: {sealed}", marker.trim_matches(['[', ']'])));
                self.report.records += 1;
                self.report.encrypted.add(key_ids.into_iter());
            }
            Err(sealed) => {
                let kind = if sealed == Sealed::TooLarge { ProblemKind::TooLarge } else { ProblemKind::BrokenRecord };
                self.note(kind, at, format!("the OpenPGP message cannot be opened: {sealed}"));
            }
        }
    }

    fn clear_file(&mut self, clear: Capped<'_>, length: u64) {
        let budget = Budget::new(&self.limits, length);
        let mut clear = BufReader::with_capacity(128 * 1024, clear);
        let is_zip = match clear.fill_buf() {
            Ok(start) => container_of(start) == Container::Zip,
            Err(error) => return self.note(kind_of(&error), 0, error.to_string()),
        };
        if !is_zip {
            return self.stream(clear, &budget);
        }
        let mut zip = Vec::new();
        let outcome = match clear.take(MAX_ZIP + 1).read_to_end(&mut zip) {
            Ok(length) if length as u64 > MAX_ZIP => {
                let detail = format!("a zip file of over {MAX_ZIP} bytes inside an OpenPGP message");
                return self.note(ProblemKind::TooLarge, 0, detail);
            }
            Ok(_) => self.file(Cursor::new(zip), &budget),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            self.note(kind_of(&error), 0, error.to_string());
        }
    }
}
