//! A line of a manifest: a checksum, white space, a path. Which paths we write, and how those of others are read.

use super::DATA;

/// The line of a payload or tag manifest, with its line feed. Only LF, CR and `%` are encoded (RFC 8493, section 2.1.3).
pub fn list_line(checksum: &str, path: &str) -> String {
    let path = path.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    format!("{checksum}  {path}\n")
}

/// Whether every tool reads a name as it is written. Validators disagree about `%` (that of the Library of Congress 1.9.0
/// does not decode `%25`), and strip white space at the end of a line.
pub fn is_safe_to_write(path: &str) -> bool {
    let is_risky = |c: char| c == '%' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    !path.contains(is_risky) && !path.ends_with(char::is_whitespace)
}

/// What a line says; the checksum as bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) checksum: Box<[u8]>,
    pub(super) path: String,
}

/// Reads a line without its end. `length` is that of the algorithm's checksum in bytes, or `None` where the algorithm
/// is not known; `decode_percent` is for bags of version 1.0.
///
/// # Errors
/// Why the line cannot be taken.
pub(super) fn read_line(line: &str, length: Option<usize>, decode_percent: bool) -> Result<Line, String> {
    let line = line.trim_end_matches(['\r', '\n']);
    let (checksum, path) = line.split_once([' ', '\t']).ok_or_else(|| "it is not a checksum and a path".to_owned())?;
    let checksum = bytes_of(checksum).filter(|bytes| length.is_none_or(|length| bytes.len() == length));
    let checksum = checksum.ok_or_else(|| "its checksum is none of this algorithm".to_owned())?;
    // md5sum marks binary mode with an asterisk; that is how many old manifests were made.
    let path = path.trim_start_matches([' ', '\t']);
    let path = path.strip_prefix('*').unwrap_or(path);
    Ok(Line { checksum, path: safe_path(&decoded(path, decode_percent))? })
}

/// `%0A`, `%0D` and, from 1.0 on, `%25`; any other `%` stands for itself.
fn decoded(path: &str, decode_percent: bool) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).map(str::to_ascii_uppercase);
        let character = match code.as_deref() {
            Some("0A") => Some('\n'),
            Some("0D") => Some('\r'),
            Some("25") if decode_percent => Some('%'),
            _ => None,
        };
        text.push(character.unwrap_or('%'));
        rest = &rest[at + if character.is_some() { 3 } else { 1 }..];
    }
    text.push_str(rest);
    text
}

/// The path with `./` at its head taken off; refused if it could lead out of the bag.
fn safe_path(path: &str) -> Result<String, String> {
    let plain = path.trim_start_matches("./");
    let leads_out = |reason: &str| Err(format!("its path {} {reason}", quoted(path)));
    if plain.starts_with('~') || (cfg!(windows) && plain.contains(['\\', ':'])) {
        return leads_out("may lead out of the bag");
    }
    for part in plain.split('/') {
        match part {
            ".." => return leads_out("leads out of the bag"),
            "" => return leads_out("is absolute, empty, or has an empty part"),
            "." => return leads_out("has a part that names nothing"),
            _ if part.contains('\0') => return leads_out("holds a zero byte"),
            _ => {}
        }
    }
    Ok(plain.to_owned())
}

/// Is this a path of the payload?
pub(super) fn is_payload(path: &str) -> bool {
    path.strip_prefix(DATA).is_some_and(|rest| rest.starts_with('/'))
}

/// A path from outside, escaped and cut, for messages.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 160;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn bytes_of(hex: &str) -> Option<Box<[u8]>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_as_it_was() {
        for path in ["data/a b.txt", "data/50%.txt", "data/%25", "data/a\nb\rc%0A", "data/é 退款", "data/%"] {
            let line = list_line("00ff", path);
            assert_eq!(line.matches('\n').count(), 1, "{path:?}");
            let read = read_line(&line, Some(2), true).unwrap();
            assert_eq!((read.path.as_str(), read.checksum.as_ref()), (path, &[0, 255][..]), "{line:?}");
        }
        assert_eq!(read_line("00FF \t *./data/x%25y%0a", Some(2), false).unwrap().path, "data/x%25y\n");
        assert!(is_safe_to_write("data/files/a b 退款.gz"));
        assert!(!["50%.gz", "a\u{a0}", "a\u{85}b"].iter().any(|name| is_safe_to_write(name)));
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for path in ["../x", "data/../../x", "/etc/passwd", "~/x", "data//x", "", "data/./x", "data/\0", ".//etc/x"] {
            assert!(read_line(&format!("00ff  {path}"), Some(2), true).is_err(), "{path:?}");
        }
        for line in ["", "00ff", "00f  data/x", "00fg  data/x", "00ffff  data/x", "é  data/x"] {
            assert!(read_line(line, Some(2), true).is_err(), "{line:?}");
        }
    }
}
