//! What the files hold: sizes, conversations, scripts; and words to ask for. Also warms the page cache, as every file is read.
//!
//! Text in other scripts is slower to fold and to cut into words than ASCII, so a figure without these shares says little.

use super::error::BenchError;
use super::plain::{Unparsed, each, minimal_parse};
use super::queries::{QueryWords, words_of};
use super::slices::decode;
use crate::conversation::Revision;
use crate::decode::{Container, ProblemKind, container_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What was found in all files together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Survey {
    /// Files that are measured, in the order given.
    pub files: Vec<PathBuf>,
    /// Their size on disk, bytes.
    pub raw_bytes: u64,
    /// Their size as text, bytes.
    pub json_bytes: u64,
    /// Conversation records in them.
    pub conversations: u64,
    /// Bytes of text that the minimal parse of the floor passes over: it makes the floor look faster than it is.
    pub unparsed_bytes: Unparsed,
    /// What the texts are like.
    pub text: TextStatistics,
    /// Files that are not measured.
    pub left_out: Vec<LeftOut>,
    /// Words that occur, for the query mix.
    pub words: QueryWords,
}

/// A file that is not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Path as given or found.
    pub path: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// What the texts of a corpus are like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TextStatistics {
    /// Messages.
    pub messages: u64,
    /// Bytes of their texts.
    pub text_bytes: u64,
    /// Share of these bytes that are ASCII, 0 to 1.
    pub ascii_share: f64,
    /// Conversations by the script of most of their letters: `ascii` is Latin without a single accent, `accents` Latin with one.
    pub scripts: BTreeMap<String, u64>,
}

/// What one file gave.
#[derive(Default)]
struct Found {
    raw_bytes: u64,
    json_bytes: u64,
    conversations: u64,
    unparsed: Unparsed,
    messages: u64,
    text_bytes: u64,
    ascii_bytes: u64,
    scripts: BTreeMap<&'static str, u64>,
    /// Why it is left out.
    refused: Option<String>,
}

pub(super) fn survey(files: &[PathBuf], threads: usize) -> Result<Survey, BenchError> {
    let found = Mutex::new(BTreeMap::new());
    each(files, threads, &|path| {
        let looked = look(path).unwrap_or_else(|error| Found { refused: Some(error.to_string()), ..Found::default() });
        found.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), looked);
        Ok(())
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut survey = Survey::default();
    let mut ascii_bytes = 0;
    for path in files {
        // A path that was named twice is one file.
        let Some(looked) = found.remove(path) else { continue };
        if let Some(reason) = looked.refused {
            survey.left_out.push(LeftOut { path: path.display().to_string(), reason });
            continue;
        }
        survey.files.push(path.clone());
        survey.raw_bytes += looked.raw_bytes;
        survey.json_bytes += looked.json_bytes;
        survey.conversations += looked.conversations;
        survey.unparsed_bytes += looked.unparsed;
        survey.text.messages += looked.messages;
        survey.text.text_bytes += looked.text_bytes;
        ascii_bytes += looked.ascii_bytes;
        for (script, count) in looked.scripts {
            *survey.text.scripts.entry(script.to_owned()).or_default() += count;
        }
    }
    survey.text.ascii_share = ascii_bytes as f64 / survey.text.text_bytes.max(1) as f64;
    survey.words = words_of(&survey.files)?;
    Ok(survey)
}

fn look(path: &Path) -> Result<Found, BenchError> {
    let mut found = Found { raw_bytes: fs::metadata(path).map_err(BenchError::file(path))?.len(), ..Found::default() };
    let mut start = Vec::new();
    let file = File::open(path).map_err(BenchError::file(path))?;
    file.take(15).read_to_end(&mut start).map_err(BenchError::file(path))?;
    let refused = match container_of(&start) {
        Container::AvroContainer => Some("an Avro container; the floor is defined for JSON"),
        Container::OpenPgp => Some("it is encrypted; the floor is defined for JSON"),
        _ => None,
    };
    if let Some(reason) = refused {
        found.refused = Some(reason.to_owned());
        return Ok(found);
    }
    let report = decode(path, &mut |revision| {
        found.count(&revision);
        true
    })?;
    let damage = [ProblemKind::DamagedContainer, ProblemKind::Unreadable, ProblemKind::DecompressionBomb];
    if let Some(kind) = damage.into_iter().find(|kind| report.problems.counts.contains_key(kind)) {
        found.refused = Some(format!("{}; `chatvault import` keeps and reports it", kind.name()));
        return Ok(found);
    }
    if report.json_bytes == 0 {
        found.refused = Some("it is empty".to_owned());
        return Ok(found);
    }
    found.unparsed = minimal_parse(path)?;
    (found.json_bytes, found.conversations) = (report.json_bytes, report.conversations);
    Ok(found)
}

impl Found {
    fn count(&mut self, revision: &Revision) {
        let mut letters: BTreeMap<&'static str, u64> = BTreeMap::new();
        for message in &revision.content.messages {
            self.messages += 1;
            self.text_bytes += message.text.len() as u64;
            for c in message.text.chars() {
                self.ascii_bytes += u64::from(c.is_ascii());
                if c.is_alphabetic() {
                    *letters.entry(script_of(c)).or_default() += 1;
                }
            }
        }
        // Accented letters are few in any Latin text: one of them makes it that.
        if let (Some(plain), Some(accented)) = (letters.get("ascii").copied(), letters.get("accents").copied()) {
            letters.remove("ascii");
            letters.insert("accents", plain + accented);
        }
        let script = letters.into_iter().max_by_key(|(_, count)| *count).map_or("none", |(script, _)| script);
        *self.scripts.entry(script).or_default() += 1;
    }
}

/// The script of a letter, as far as the tokenizer treats it differently.
fn script_of(c: char) -> &'static str {
    match c {
        '\0'..='\u{7f}' => "ascii",
        '\u{80}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => "accents",
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => "greek",
        '\u{400}'..='\u{52f}' => "cyrillic",
        '\u{590}'..='\u{5ff}' => "hebrew",
        '\u{600}'..='\u{77f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' => "arabic",
        '\u{900}'..='\u{dff}' => "indic",
        '\u{e00}'..='\u{e7f}' => "thai",
        '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7af}' => "hangul",
        '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' => "kana",
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{2ebef}' => "han",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Conversation, Message};

    #[test]
    fn a_conversation_has_the_script_of_most_of_its_letters() {
        let script = |text: &str| {
            let messages = vec![Message { text: text.to_owned(), ..Message::default() }];
            let content = Conversation { messages, ..Conversation::default() };
            let mut found = Found::default();
            found.count(&Revision { age_ms: 0, source: String::new(), records: Vec::new(), content });
            found.scripts.into_keys().next().expect("one conversation")
        };
        assert_eq!(script("where is my order 42"), "ascii");
        assert_eq!(script("Wo ist meine Rücksendung"), "accents");
        assert_eq!(script("где мой заказ ABC"), "cyrillic");
        assert_eq!(script("退款到账了吗 OK"), "han");
        assert_eq!(script("12 :-)"), "none");
    }

    #[test]
    fn files_that_cannot_be_measured_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).expect("written");
            path
        };
        let record = br#"{"recordCollection":[{"body":{"engagements":[{"conversationId":"7"}]}}]}"#;
        let good = at("good.json", record);
        let files = [
            good.clone(),
            good.clone(),
            at("cut.gz", &[0x1f, 0x8b, 8, 0]),
            at("empty.json", b""),
            at("secret.pgp", b"-----BEGIN PGP MESSAGE-----\n"),
            folder.path().join("gone"),
        ];
        let survey = survey(&files, 2).expect("surveyed");
        assert_eq!(survey.files, [good]);
        assert_eq!((survey.json_bytes, survey.raw_bytes), (record.len() as u64, record.len() as u64));
        let reasons: Vec<&str> = survey.left_out.iter().map(|left| left.reason.as_str()).collect();
        assert_eq!(reasons.len(), 4, "{reasons:?}");
        assert!(reasons[0].starts_with("damaged-container"), "{reasons:?}");
        assert!(reasons[1].contains("empty") && reasons[2].contains("encrypted"), "{reasons:?}");
    }
}
