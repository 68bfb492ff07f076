//! The characters HTML has names and numbers for, decoded as browsers do.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Every name of the HTML standard with its code points, hexadecimal. The old names stand there without their semicolon too.
static NAMES: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let row = |row: &'static str| {
        let (name, code_points) = row.split_once(' ')?;
        let character = |code| u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        Some((name, code_points.split(' ').filter_map(character).collect()))
    };
    include_str!("entities.txt").lines().filter_map(row).collect()
});

/// Bytes of the longest name, with its semicolon.
const LONGEST: usize = 32;

/// What `&#128;` to `&#159;` mean: nobody who writes `&#146;` means a control character.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Decodes the entity at the start of `text`, which begins with `&`: appends it to `decoded` and gives its length in bytes.
/// Only the first bytes are looked at, so that a long line of `&` stays linear.
pub(super) fn decode(text: &str, decoded: &mut String) -> Option<usize> {
    let name = text.strip_prefix('&')?;
    if let Some(number) = name.strip_prefix('#') {
        let (hex, radix) = match number.strip_prefix(['x', 'X']) {
            Some(hex) => (hex, 16),
            None => (number, 10),
        };
        let digits = hex.bytes().take(LONGEST).take_while(|byte| char::from(*byte).is_digit(radix)).count();
        let code = u32::from_str_radix(&hex[..digits], radix).ok()?;
        decoded.push(match code {
            0x80..=0x9f => *WINDOWS_1252.get(code as usize - 0x80)?,
            _ => char::from_u32(code)?,
        });
        let end = text.len() - hex.len() + digits;
        return Some(end + usize::from(text[end..].starts_with(';')));
    }
    let length = name.bytes().take(LONGEST).take_while(u8::is_ascii_alphanumeric).count();
    let closed = usize::from(name[length..].starts_with(';'));
    let length = (length + closed).min(LONGEST);
    // The longest name counts: `&notin;` before `&not`.
    let (end, meant) = (2..=length).rev().find_map(|end| NAMES.get(&name[..end]).map(|meant| (end, meant)))?;
    match meant.as_str() {
        "\u{a0}" => decoded.push(' '),
        meant => decoded.push_str(meant),
    }
    Some(1 + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, length: usize) {
        let mut decoded = String::new();
        assert_eq!((decode(text, &mut decoded), decoded.as_str()), (Some(length), expected), "{text}");
    }

    #[test]
    fn names_and_numbers_as_in_browsers() {
        check("&eacute;t", "é", 8);
        check("&eacutet", "é", 7);
        check("&notin;", "∉", 7);
        check("&notit;", "¬", 4);
        check("&euro;", "€", 6);
        check("&Omega;", "Ω", 7);
        check("&rarr;", "→", 6);
        check("&hellip;", "…", 8);
        check("&ccaron;", "č", 8);
        check("&nbsp;", " ", 6);
        check("&shy;b", "\u{ad}", 5);
        check("&NotEqualTilde;", "≂\u{338}", 15);
        check("&CounterClockwiseContourIntegral;", "∳", 33);
        check("&#146;s", "’", 6);
        check("&#233t", "é", 5);
        check("&#xE9;", "é", 6);
    }

    #[test]
    fn what_is_none_stays() {
        for text in ["&", "&;", "&euro", "&bogus;", "&#;", "&#x;", "&#xD800;", "&#99999999999;", "&é", "&\u{e000};"] {
            let mut decoded = String::new();
            assert_eq!((decode(text, &mut decoded), decoded.as_str()), (None, ""), "{text}");
        }
    }

    #[test]
    fn the_table_is_whole() {
        assert_eq!(NAMES.len(), 2231);
        assert_eq!(NAMES.keys().map(|name| name.len()).max(), Some(LONGEST));
        assert!(NAMES.values().all(|text| !text.is_empty()));
    }
}
