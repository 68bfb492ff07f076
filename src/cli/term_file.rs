//! What a term report reads and writes: the list, from a file or from stdin, and the cells of its CSV.

use super::exit::Failure;
use super::output::printable;
use chatvault::search::term_list::{MOST_BYTES, TermLine, term_lines};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::path::Path;

/// Whether the list comes from stdin; a file of that name is `./-`.
fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// The lines of the file, or of stdin, and the SHA-256 of its bytes.
pub(super) fn read_list(file: &Path) -> Result<(Vec<TermLine>, String), Failure> {
    let name = if is_stdin(file) { "stdin".to_owned() } else { file.display().to_string() };
    let named = |why: &dyn std::fmt::Display| Failure::usage(format!("{name}: {why}"));
    let mut bytes = Vec::new();
    let read = match is_stdin(file) {
        true => io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|opened| opened.take(MOST_BYTES + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|error| named(&error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(named(&format!("larger than {MOST_BYTES} bytes; is it a list of queries?")));
    }
    let lines = term_lines(&bytes).map_err(|why| Failure::usage(format!("{name} {why}")))?;
    let hex = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((lines, hex))
}

/// A cell that no spreadsheet takes for a formula: what begins like one gets an apostrophe in front. On a terminal (`is_shown`)
/// control characters are escapes; in a file every character stands as it is.
pub(super) fn cell(text: &str, is_shown: bool) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_shown { printable(text).into_owned() } else { text.to_owned() };
    if is_formula { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_character_and_a_file_every_one() {
        assert_eq!(cell("a\u{1b}[2J\u{202e}b", true), "a\\u{1b}[2J\\u{202e}b");
        assert_eq!(cell("a\u{1b}[2J\u{202e}b", false), "a\u{1b}[2J\u{202e}b");
        assert_eq!((cell("=1+1", true), cell("-a", false)), ("'=1+1".to_owned(), "'-a".to_owned()));
    }
}
