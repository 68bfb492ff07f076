//! The file of a term report: one query a line, as counsel sends it.

/// Largest file, bytes.
pub const MOST_BYTES: u64 = 16 << 20;

/// Most terms of one report.
pub const MOST_TERMS: usize = 5_000;

/// One line that holds a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermLine {
    /// Line in the file, from 1.
    pub line: usize,
    /// What stands before the tab, if there is one.
    pub name: Option<String>,
    /// The query, or why the line cannot be read.
    pub query: Result<String, String>,
}

/// Cuts a file into its lines. Blank lines and lines that begin with `#` are left out; a byte-order mark and both kinds of
/// line ends are understood; what stands before the first tab of a line is the name of its query.
///
/// # Errors
/// A sentence, where the file is no text in UTF-8, or holds no query or too many.
pub fn term_lines(bytes: &[u8]) -> Result<Vec<TermLine>, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is in UTF-16; save it as UTF-8 (in Excel: \"CSV UTF-8\" or \"Unicode text\" converted)".into());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut terms = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if terms.len() == MOST_TERMS {
            return Err(format!("holds more than {MOST_TERMS} queries; split it into several files"));
        }
        // The tab is looked for before blanks are cut away: an empty name is no name.
        let (name, query) = match text.split_once('\t') {
            Some((name, query)) => (Some(name.trim()).filter(|name| !name.is_empty()), query.trim()),
            None => (None, trimmed),
        };
        let query = match std::str::from_utf8(line) {
            Ok(_) => Ok(query.to_owned()),
            Err(error) => {
                Err(format!("byte {} of the line is no UTF-8; save the file as UTF-8", error.valid_up_to() + 1))
            }
        };
        terms.push(TermLine { line: at + 1, name: name.map(str::to_owned), query });
    }
    if terms.is_empty() {
        return Err("holds no query; write one a line, `#` begins a comment".into());
    }
    Ok(terms)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_people_write_them() {
        let file = b"\xef\xbb\xbfrefund\r\n\n# a comment\n  # another\nQ1\t\"cancel my account\" w/5 x \r\n\tno name\n  b\xe9b\xe9\n last";
        let lines = term_lines(file).unwrap();
        let of = |line, name: Option<&str>, query: &str| TermLine {
            line,
            name: name.map(str::to_owned),
            query: Ok(query.to_owned()),
        };
        assert_eq!(lines[0], of(1, None, "refund"));
        assert_eq!(lines[1], of(5, Some("Q1"), "\"cancel my account\" w/5 x"));
        assert_eq!(lines[2], of(6, None, "no name"));
        assert_eq!(lines[3].line, 7);
        assert!(lines[3].query.as_ref().unwrap_err().contains("byte 4"));
        assert_eq!(lines[4], of(8, None, "last"));
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(term_lines(b"\xff\xfer\0e\0").unwrap_err().contains("UTF-16"));
        assert!(term_lines(b"\n# only\n").unwrap_err().contains("no query"));
        assert!(term_lines(&b"x\n".repeat(MOST_TERMS)).is_ok());
        assert!(term_lines(&b"x\n".repeat(MOST_TERMS + 1)).unwrap_err().contains("5000"));
    }
}
