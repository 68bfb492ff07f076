//! PGP keys of a run, from the environment; and what is said where they do not do.
//!
//! A key that is missing, wrong or locked stops nothing: what can be archived and read is, and the exit code says the rest.

use super::exit::Exit;
use super::limits::Limits;
use super::open_index;
use super::output::{counted, printable};
use chatvault::decode::{ANONYMOUS, Keyring};
use chatvault::pipeline::{EncryptedCounts, RunOptions};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const KEY: &str = "CHATVAULT_PGP_KEY";
const PASSPHRASE: &str = "CHATVAULT_PGP_PASSPHRASE";

/// The keys at hand.
pub(super) struct Keys {
    ring: Arc<Keyring>,
    /// Why what the environment names gives no keys.
    problem: Option<String>,
}

impl Keys {
    /// Reads them. What cannot be read is remembered, and said at the end.
    pub(super) fn of_environment() -> Keys {
        match Keys::read() {
            Ok(ring) => Keys { ring: Arc::new(ring), problem: None },
            Err(problem) => Keys { ring: Arc::new(Keyring::empty()), problem: Some(problem) },
        }
    }

    /// No keys, and no need of any.
    pub(super) fn none() -> Keys {
        Keys { ring: Arc::new(Keyring::empty()), problem: None }
    }

    fn read() -> Result<Keyring, String> {
        let Some((key, name)) = variable(KEY)? else { return Ok(Keyring::empty()) };
        let passphrase = match variable(PASSPHRASE)? {
            None => None,
            Some((bytes, name)) => Some(String::from_utf8(bytes).map_err(|_| format!("{name} is not valid UTF-8"))?),
        };
        // A file ends with a line break that is no part of what somebody chose.
        let passphrase = passphrase.as_deref().map(|text| text.trim_end_matches(['\r', '\n']));
        Keyring::read(&key, passphrase).map_err(|error| format!("{name}: {error}"))
    }

    /// The options of a run with these keys.
    pub(super) fn options(&self, limits: Limits) -> RunOptions {
        RunOptions { keys: Arc::clone(&self.ring), ..limits.run_options() }
    }

    /// The keys, for several threads.
    pub(super) fn shared(&self) -> Arc<Keyring> {
        Arc::clone(&self.ring)
    }

    pub(super) fn ring(&self) -> &Keyring {
        &self.ring
    }

    /// The exit code of a run that else would end with `otherwise`.
    pub(super) fn exit(&self, waiting: &EncryptedCounts, otherwise: Exit) -> Exit {
        let is_short = waiting.records > 0 || self.problem.is_some();
        if is_short && otherwise == Exit::Complete { Exit::Key } else { otherwise }
    }

    /// Says what waits, for which keys, and what to type next.
    pub(super) fn print(&self, waiting: &EncryptedCounts) {
        if let Some(problem) = &self.problem {
            outln!("  no PGP key: {}", printable(problem));
        }
        if waiting.records == 0 {
            return;
        }
        let verb = if waiting.records == 1 { "waits" } else { "wait" };
        let keys: Vec<String> = waiting.key_ids.iter().map(|id| readable(id)).collect();
        let keys = shortened(keys);
        outln!("encrypted: {} {verb} for {keys}", counted(waiting.records, "record"));
        if waiting.locked.is_empty() {
            outln!("  set {KEY} (or {KEY}_FILE) to the private key, and {PASSPHRASE} if it has one;");
        } else {
            let locked = shortened(waiting.locked.iter().map(|id| readable(id)).collect());
            outln!("  {locked}: locked, because {PASSPHRASE} (or {PASSPHRASE}_FILE) is missing or wrong; set it;");
        }
        outln!("  then run `chatvault index`. Until then `has:encrypted` finds the records by what is not encrypted.");
    }

    /// What waits and for which keys, on one line, with what to set.
    pub(super) fn waiting_line(&self, waiting: &EncryptedCounts) -> Option<String> {
        let problem = self.problem.as_ref().map(|problem| format!("no PGP key: {}; ", printable(problem)));
        let problem = problem.unwrap_or_default();
        if waiting.records == 0 {
            return (!problem.is_empty()).then(|| problem.trim_end_matches("; ").to_owned());
        }
        let verb = if waiting.records == 1 { "waits" } else { "wait" };
        let wanted = shortened(waiting.key_ids.iter().map(|id| readable(id)).collect());
        let advice = if waiting.locked.is_empty() {
            format!("set {KEY} (or {KEY}_FILE) to the private key, and {PASSPHRASE} if it has one, and ask again")
        } else {
            let locked = shortened(waiting.locked.iter().map(|id| readable(id)).collect());
            format!("{locked} is locked: set {PASSPHRASE} (or {PASSPHRASE}_FILE) and ask again")
        };
        Some(
            format!("{problem}{} encrypted: it {verb} for {wanted}; {advice}", counted(waiting.records, "record"))
                .replace(" it wait ", " they wait "),
        )
    }

    /// What a run that makes the index anew would close again, for want of a key.
    pub(super) fn warning(&self, vault: &Path) -> Option<String> {
        if !self.ring.open_ids().is_empty() {
            return None;
        }
        let what = match open_index(vault).map(|reader| reader.holds_encrypted()) {
            Ok(Ok(false)) => return None,
            Ok(Ok(true)) => "records came encrypted",
            // Nobody can ask an index that is gone.
            Ok(Err(_)) | Err(_) => "if records came encrypted",
        };
        let why = self.problem.as_ref().map(|problem| format!(" ({})", printable(problem))).unwrap_or_default();
        Some(format!(
            "{what}, and no PGP key is at hand{why}: in an index that is made anew they are closed again; \
             set {KEY} (or {KEY}_FILE) first"
        ))
    }

    /// Why what the environment names gives no keys.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    pub(super) fn problem_json(&self) -> Value {
        json!(self.problem)
    }
}

fn readable(id: &str) -> String {
    if id == ANONYMOUS { "a key that is not named".to_owned() } else { format!("key 0x{id}") }
}

fn shortened(mut names: Vec<String>) -> String {
    const SHOWN: usize = 8;
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// The value of a variable, or of the file that `<NAME>_FILE` names, and which of the two it was.
fn variable(name: &str) -> Result<Option<(Vec<u8>, String)>, String> {
    if let Ok(value) = std::env::var(name) {
        return Ok((!value.trim().is_empty()).then(|| (value.into_bytes(), name.to_owned())));
    }
    let name = format!("{name}_FILE");
    let Some(path) = std::env::var_os(&name).filter(|path| !path.is_empty()) else { return Ok(None) };
    let bytes = std::fs::read(&path).map_err(|error| format!("{name}: {}: {error}", Path::new(&path).display()))?;
    Ok(Some((bytes, name)))
}
