//! Names and places: which names may become paths, and where a file lies inside the vault.
//!
//! A name from a listing is hostile until [`checked_name`] has passed it. It is never altered: what cannot be kept
//! exactly as listed is refused, so that the name in the ledger, on disk and at LivePerson are one string.
//! Paths in the ledger are relative to the vault and use `/` on every system.

use std::path::{Path, PathBuf};

use unicode_normalization::is_nfc;

use super::entry::{Sha256Hex, Window};
use super::error::ArchiveError;

/// SQLite: manifest, coverage ledger, audit chain.
pub const DATABASE: &str = "vault.db";
/// Held by the one writer.
pub const LOCK: &str = "vault.lock";
/// Bytes exactly as received.
pub const FILES: &str = "files";
/// Downloads in flight; swept when a writer opens the vault.
pub const TEMP: &str = "tmp";
/// Segments of API answers that are being written; made when first needed.
pub const OPEN: &str = "open";
/// The search index; not the archive's, but made with the vault.
pub const INDEX: &str = "index";
/// Damaged or refused bytes, kept for inspection.
pub const QUARANTINE: &str = "quarantine";
/// The user's settings; not the archive's, but allowed to lie in a folder before it becomes a vault.
pub const SETTINGS: &str = "vault.toml";

/// Longest name in bytes; file systems end at 255, and a later version of the name needs room for `.v4294967295`.
pub const NAME_MAX_BYTES: usize = 240;

/// A file name that may become the last part of a path on every system we run on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckedName(String);

impl CheckedName {
    /// The name, unchanged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A stream name, `/`-separated, that may become folders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckedStream(String);

impl CheckedStream {
    /// The stream, unchanged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Passes a name that is one plain path component on Linux, macOS and Windows.
///
/// # Errors
/// [`ArchiveError::UnsafeName`] with the reason: empty, too long, `/`, `\`, NUL or another control character,
/// invisible direction marks, a leading dot (so also `.` and `..`), a trailing dot or space, characters or device
/// names that Windows reserves, text that is not in Unicode NFC (macOS would change it).
pub fn checked_name(name: &str) -> Result<CheckedName, ArchiveError> {
    match objection(name) {
        None => Ok(CheckedName(name.to_owned())),
        Some(reason) => Err(ArchiveError::UnsafeName { name: name.to_owned(), reason }),
    }
}

/// Passes a stream of one to four parts of lower-case ASCII letters, digits, `-` and `_`.
///
/// # Errors
/// [`ArchiveError::UnsafeName`].
pub fn checked_stream(stream: &str) -> Result<CheckedStream, ArchiveError> {
    let refused = |reason: &str| ArchiveError::UnsafeName { name: stream.to_owned(), reason: reason.to_owned() };
    if stream.split('/').count() > 4 || stream.len() > 120 {
        return Err(refused("a stream has at most four parts and 120 bytes"));
    }
    for part in stream.split('/') {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if part.is_empty() || !part.bytes().all(plain) {
            return Err(refused("the parts of a stream are lower-case letters, digits, '-' and '_'"));
        }
        if let Some(reason) = objection(part) {
            return Err(refused(&reason));
        }
    }
    Ok(CheckedStream(stream.to_owned()))
}

/// The path of a file, relative to the vault: `files/<stream>/<YYYY>/<MM>/<DD>/<name>` by the UTC day of the window's
/// start, `files/<stream>/undated/<name>` without a window. From version 2 on the name carries it: `….v2.gz`.
///
/// # Errors
/// [`ArchiveError::BadWindow`].
pub fn file_path(
    stream: &CheckedStream,
    name: &CheckedName,
    window: Option<Window>,
    version: u32,
) -> Result<String, ArchiveError> {
    let folder = match window {
        Some(window) => day_folder(window)?,
        None => "undated".to_owned(),
    };
    Ok(format!("{FILES}/{}/{folder}/{}", stream.as_str(), versioned_name(name.as_str(), version)))
}

/// `Engagement….part-00000-0.gz` in version 2 is `Engagement….part-00000-0.v2.gz`: the number goes before the last
/// extension. A name whose last dot is not followed by one to eight ASCII letters and digits has no extension, and
/// the number goes to its end.
pub fn versioned_name(name: &str, version: u32) -> String {
    if version <= 1 {
        return name.to_owned();
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && looks_like_extension(extension) => {
            format!("{stem}.v{version}.{extension}")
        }
        _ => format!("{name}.v{version}"),
    }
}

/// The name of the salvage file of `name`, made of damaged bytes with this hash: `….gz.salvaged-<8 hex digits>.gz`. No listing
/// can show such a name. A very long one is cut, so that the result is still a name.
pub fn salvage_name(name: &str, damaged: &Sha256Hex) -> String {
    let hash = damaged.to_string();
    let ending = format!(".salvaged-{}.gz", &hash[..8]);
    let mut end = name.len().min(NAME_MAX_BYTES - ending.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &name[..end])
}

/// One key for all paths that some file system would take for the same file (macOS and Windows fold case).
pub fn path_key(path: &str) -> String {
    path.to_lowercase()
}

/// The absolute place of a ledger path.
pub fn in_vault(root: &Path, path: &str) -> PathBuf {
    let mut place = root.to_path_buf();
    place.extend(path.split('/'));
    place
}

/// Refuses a window that is empty, turned round, or outside the years 1970 to 9999.
///
/// # Errors
/// [`ArchiveError::BadWindow`].
pub fn check_window(window: Window) -> Result<(), ArchiveError> {
    /// 10000-01-01T00:00:00Z.
    const YEAR_10000_MS: i64 = 253_402_300_800_000;
    let Window { start_ms, end_ms } = window;
    let refused = |reason| Err(ArchiveError::BadWindow { start_ms, end_ms, reason });
    if end_ms <= start_ms {
        return refused("its end is not after its start");
    }
    if start_ms < 0 || end_ms > YEAR_10000_MS {
        return refused("it lies outside the years 1970 to 9999");
    }
    Ok(())
}

fn day_folder(window: Window) -> Result<String, ArchiveError> {
    check_window(window)?;
    let out_of_range = |_| ArchiveError::BadWindow {
        start_ms: window.start_ms,
        end_ms: window.end_ms,
        reason: "its start is not a date",
    };
    let start = jiff::Timestamp::from_millisecond(window.start_ms).map_err(out_of_range)?;
    Ok(start.strftime("%Y/%m/%d").to_string())
}

fn looks_like_extension(text: &str) -> bool {
    (1..=8).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn objection(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".into());
    }
    if name.len() > NAME_MAX_BYTES {
        return Some(format!("it has {} bytes; at most {NAME_MAX_BYTES} fit a file system", name.len()));
    }
    if name.starts_with('.') {
        return Some("it begins with a dot".into());
    }
    if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        return Some("it begins or ends with a space, or ends with a dot".into());
    }
    if let Some(bad) = name.chars().find(|&c| forbidden(c)) {
        return Some(format!("it holds the character U+{:04X}", u32::from(bad)));
    }
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    if is_windows_device(stem) {
        return Some(format!("{stem} is a device name on Windows"));
    }
    if !is_nfc(name) {
        return Some("it is not in Unicode normal form C".into());
    }
    None
}

fn forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*')
        // Zero-width space, direction marks, line separators, byte-order mark: invisible, and they forge listings.
        // The joiners U+200C and U+200D stay allowed: Persian, Hindi and emoji need them.
        || matches!(c, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

fn is_windows_device(stem: &str) -> bool {
    let upper = stem.to_ascii_uppercase();
    if matches!(upper.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$") {
        return true;
    }
    let numbered = upper.strip_prefix("COM").or_else(|| upper.strip_prefix("LPT"));
    matches!(numbered, Some("0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LISTED: &str = "Engagement.1467853200000.1467856800000.part-00000-0.gz";

    fn path(stream: &str, name: &str, window: Option<Window>, version: u32) -> String {
        file_path(&checked_stream(stream).unwrap(), &checked_name(name).unwrap(), window, version).unwrap()
    }

    #[test]
    fn a_file_lies_under_the_utc_day_of_its_window() {
        let window = Some(Window { start_ms: 1_467_853_200_000, end_ms: 1_467_856_800_000 });
        let stream = "data-access/engagement";
        assert_eq!(path(stream, LISTED, window, 1), format!("files/data-access/engagement/2016/07/07/{LISTED}"));
        assert_eq!(
            path(stream, LISTED, window, 2),
            "files/data-access/engagement/2016/07/07/Engagement.1467853200000.1467856800000.part-00000-0.v2.gz"
        );
        assert_eq!(path("import", "chats.json", None, 1), "files/import/undated/chats.json");
    }

    #[test]
    fn midnight_utc_belongs_to_the_new_day() {
        let day = |start_ms| day_folder(Window { start_ms, end_ms: start_ms + 1 }).unwrap();
        assert_eq!(day(1_467_849_599_999), "2016/07/06");
        assert_eq!(day(1_467_849_600_000), "2016/07/07");
        assert_eq!(day(0), "1970/01/01");
    }

    #[test]
    fn the_version_goes_before_the_extension() {
        let cases = [
            ("a.gz", "a.v2.gz"),
            ("a.ndjson.gz", "a.ndjson.v2.gz"),
            ("part-00000-0", "part-00000-0.v2"),
            ("Engagement.1467853200000", "Engagement.1467853200000.v2"),
            ("a.1", "a.1.v2"),
            ("a b.long-extension", "a b.long-extension.v2"),
        ];
        for (name, expected) in cases {
            assert_eq!(versioned_name(name, 2), expected);
            assert_eq!(versioned_name(name, 1), name);
        }
    }

    #[test]
    fn unsafe_names_are_refused() {
        let long = "x".repeat(4000);
        let refused = [
            "",
            ".",
            "..",
            ".hidden",
            "../a",
            "a/b",
            "/etc/passwd",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\u{7f}b",
            "a:b",
            "a|b",
            "a?b",
            "a*b",
            "a\"b",
            "a<b",
            "con",
            "NUL.gz",
            "Com1.txt",
            "lpt9",
            "a.",
            "a ",
            " a",
            "e\u{301}.gz",
            "a\u{202e}zg.b",
            &long,
        ];
        for name in refused {
            let error = checked_name(name).unwrap_err();
            assert!(matches!(error, ArchiveError::UnsafeName { .. }), "{name:?}: {error}");
        }
        for name in [LISTED, "part-00000-0", "Größe é.json", "会话.gz", "a..b", "common.gz", "COM10.gz", "a b (1).zip"]
        {
            assert_eq!(checked_name(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn unsafe_streams_are_refused() {
        for stream in ["", "/", "a/", "/a", "a//b", "..", "a/../b", "A", "a b", "a/b/c/d/e", "con", "a/nul"] {
            assert!(checked_stream(stream).is_err(), "{stream:?}");
        }
        for stream in ["data-access/engagement", "messaging-interactions", "import"] {
            assert_eq!(checked_stream(stream).unwrap().as_str(), stream);
        }
    }

    #[test]
    fn a_window_must_have_a_length_and_a_date() {
        for (start_ms, end_ms) in [(5, 5), (6, 5), (-1, 5), (0, i64::MAX), (i64::MIN, 0)] {
            assert!(check_window(Window { start_ms, end_ms }).is_err(), "{start_ms}..{end_ms}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_passed_name_is_one_plain_path_component(name in "\\PC{0,40}|[./\\\\a-z\\x00-\\x20]{0,12}") {
            if let Ok(checked) = checked_name(&name) {
                let parts: Vec<_> = Path::new(checked.as_str()).components().collect();
                proptest::prop_assert!(matches!(parts[..], [std::path::Component::Normal(_)]));
                proptest::prop_assert!(versioned_name(&name, u32::MAX).len() <= 255);
            }
        }
    }
}
