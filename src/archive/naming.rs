//! What a file's name says: stream and window of Data Access names, and name and version of a path under `files/`.
//!
//! The one home of these rules, so that a listing, an import and a repair read a name alike. A name says only what LivePerson
//! put into it; whether the content agrees is for others to find out.

use super::entry::Window;
use super::layout::{self, FILES, checked_name, checked_stream};

/// A name longer than this is no Data Access name, and no file name on common file systems.
const LONGEST_NAME: usize = 200;

/// Prefix of the names and stream of each Data Access data type.
const PREFIXES: [(&str, &str); 4] = [
    ("Agent", "data-access/agent-activity"),
    ("WebSession", "data-access/web-session"),
    ("Engagement", "data-access/engagement"),
    ("Survey", "data-access/survey"),
];

/// Reads `<Prefix>.<startMillis>.<endMillis>.…` leniently: the stream that the prefix stands for, and the window if both
/// instants are there and in order. Other names say nothing.
pub fn stream_and_window(name: &str) -> (Option<&'static str>, Option<Window>) {
    let mut parts = name.split('.');
    let prefix = parts.next();
    let Some((_, stream)) = PREFIXES.iter().find(|(known, _)| Some(*known) == prefix) else { return (None, None) };
    (Some(stream), window(parts.next(), parts.next()))
}

/// Checks a listed name against `<Prefix>.<13 digits>.<13 digits>.part-<5 digits>-<digits>[.gz]` of its stream and gives the
/// name under which the file is archived, with the window that it tells (none if its start is not before its end).
///
/// `@name` may lack `.gz` where the same file carries it another time, so `.gz` is appended: a file has one identity
/// however it is listed. As the form holds letters, digits, dots and hyphens only, a name that passes is a safe file
/// name: no separator, no `..`, no NUL, not over-long.
///
/// # Errors
/// What is wrong with the name, as part of a sentence.
pub fn listed_name(listed: &str, stream: &str) -> Result<(String, Option<Window>), String> {
    if listed.len() > LONGEST_NAME {
        return Err(format!("its name is longer than {LONGEST_NAME} bytes"));
    }
    let prefix = PREFIXES.iter().find(|(_, known)| *known == stream).map_or("", |(prefix, _)| prefix);
    let form = || format!("its name is not of the form {prefix}.<start>.<end>.part-<number>-<number>.gz");
    let bare = listed.strip_suffix(".gz").unwrap_or(listed);
    let parts: Vec<&str> = bare.split('.').collect();
    let [found_prefix, start, end, part] = parts[..] else { return Err(form()) };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let part_is_right = part
        .strip_prefix("part-")
        .and_then(|numbers| numbers.split_once('-'))
        .is_some_and(|(number, attempt)| number.len() == 5 && digits(number) && digits(attempt));
    let times_are_right = [start, end].iter().all(|time| time.len() == 13 && digits(time));
    if found_prefix != prefix || !part_is_right || !times_are_right {
        return Err(form());
    }
    Ok((format!("{bare}.gz"), window(Some(start), Some(end))))
}

fn window(start: Option<&str>, end: Option<&str>) -> Option<Window> {
    let instant = |text: Option<&str>| text.filter(|text| text.len() == 13)?.parse::<i64>().ok();
    let (start_ms, end_ms) = (instant(start)?, instant(end)?);
    (start_ms < end_ms).then_some(Window { start_ms, end_ms })
}

/// What a path under `files/` says of the file that lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathIdentity {
    /// The folders between `files/` and the day.
    pub stream: String,
    /// The name without the number of its version.
    pub name: String,
    /// The number in the path: 1 where it carries none.
    pub version: u32,
    /// The window in the name; `None` where the name tells none.
    pub window: Option<Window>,
    /// Whether [`layout::file_path`] makes this very path of the other fields. It does not where the window came from
    /// elsewhere than the name, or where somebody moved the file.
    pub is_exact: bool,
}

impl PathIdentity {
    /// Reads `files/<stream>/<YYYY>/<MM>/<DD>/<file>` or `files/<stream>/undated/<file>`. `None` for any other path, and for
    /// names that the archive refuses.
    ///
    /// A number such as `.v2` counts as the version only in names that Data Access gives, whose form has no room for it;
    /// `has_first_version` answers for all others whether the name without the number is known.
    pub fn of(path: &str, has_first_version: impl Fn(&str) -> bool) -> Option<PathIdentity> {
        let inside = path.strip_prefix(FILES)?.strip_prefix('/')?;
        let (folders, file) = inside.rsplit_once('/')?;
        let stream = match folders.strip_suffix("/undated") {
            Some(stream) => stream,
            None => stream_of_dated(folders)?,
        };
        let (checked, _) = (checked_stream(stream).ok()?, checked_name(file).ok()?);
        let (name, version) = match split_version(file) {
            Some((name, version)) if listed_name(&name, stream).is_ok() => (name, version),
            Some((name, version)) if has_first_version(&format!("{FILES}/{folders}/{name}")) => (name, version),
            _ => (file.to_owned(), 1),
        };
        let window = stream_and_window(&name).1.filter(|window| layout::check_window(*window).is_ok());
        let made = layout::file_path(&checked, &checked_name(&name).ok()?, window, version);
        let is_exact = made.is_ok_and(|made| made == path);
        Some(PathIdentity { stream: stream.to_owned(), name, version, window, is_exact })
    }
}

/// The stream before `/YYYY/MM/DD`.
fn stream_of_dated(folders: &str) -> Option<&str> {
    let mut parts = folders.rsplitn(4, '/');
    for digits in [2, 2, 4] {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    parts.next()
}

/// Takes the number of a later version out of a file's name; the opposite of [`layout::versioned_name`].
fn split_version(file: &str) -> Option<(String, u32)> {
    let number = |text: &str| {
        let version = text.strip_prefix('v')?.parse::<u32>().ok().filter(|version| *version >= 2)?;
        (format!("v{version}") == text).then_some(version)
    };
    let (head, last) = file.rsplit_once('.')?;
    let (name, version) = match number(last) {
        Some(version) => (head.to_owned(), version),
        None => {
            let (stem, middle) = head.rsplit_once('.')?;
            (format!("{stem}.{last}"), number(middle)?)
        }
    };
    (layout::versioned_name(&name, version) == file).then_some((name, version))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LISTED: &str = "Engagement.1467853200000.1467856800000.part-00000-0.gz";
    const WINDOW: Window = Window { start_ms: 1_467_853_200_000, end_ms: 1_467_856_800_000 };

    #[test]
    fn names_tell_the_window_and_nothing_else() {
        assert_eq!(stream_and_window(LISTED), (Some("data-access/engagement"), Some(WINDOW)));
        assert_eq!(stream_and_window("Engagement.2.1.gz"), (Some("data-access/engagement"), None));
        assert_eq!(stream_and_window("notes.json"), (None, None));
        assert_eq!(stream_and_window(""), (None, None));
    }

    #[test]
    fn a_listed_name_has_the_form_of_its_stream() {
        let bare = LISTED.strip_suffix(".gz").unwrap();
        for listed in [LISTED, bare] {
            assert_eq!(listed_name(listed, "data-access/engagement"), Ok((LISTED.to_owned(), Some(WINDOW))));
        }
        assert!(listed_name(LISTED, "data-access/survey").is_err());
        assert!(listed_name(LISTED, "elsewhere").is_err());
    }

    #[test]
    fn a_path_is_read_back_to_what_made_it() {
        let never = |_: &str| false;
        for (stream, name, window) in [
            ("data-access/engagement", LISTED, Some(WINDOW)),
            ("import", "chats.json", None),
            ("a/b/c", "part-00000-0", None),
        ] {
            for version in [1, 2, 17] {
                let (checked, plain) = (checked_stream(stream).unwrap(), checked_name(name).unwrap());
                let path = layout::file_path(&checked, &plain, window, version).unwrap();
                let known = |path: &str| path.ends_with(name);
                let read = PathIdentity::of(&path, known).unwrap();
                assert_eq!((read.stream.as_str(), read.name.as_str(), read.version), (stream, name, version), "{path}");
                assert_eq!((read.window, read.is_exact), (window, true), "{path}");
            }
        }
        // Without a first version the number is part of a stranger's name, but never of LivePerson's.
        let stranger = PathIdentity::of("files/import/undated/chats.v2.json", never).unwrap();
        assert_eq!((stranger.name.as_str(), stranger.version), ("chats.v2.json", 1));
        let theirs = LISTED.replace(".gz", ".v2.gz");
        let theirs = format!("files/data-access/engagement/2016/07/07/{theirs}");
        assert_eq!(PathIdentity::of(&theirs, never).unwrap().version, 2);
    }

    #[test]
    fn a_path_that_the_archive_never_makes_has_no_identity() {
        let moved = format!("files/data-access/engagement/2016/07/08/{LISTED}");
        assert!(!PathIdentity::of(&moved, |_| false).unwrap().is_exact, "another day than the name's");
        let elsewhere = format!("quarantine/{LISTED}");
        for path in [
            "files/x.gz",
            "files/",
            "files",
            "files/undated/x.gz",
            "files/2016/07/07/x.gz",
            "files/s/2016/7/07/x.gz",
            "files/s/undated/.DS_Store",
            "files/S/undated/x",
            "files/../undated/x",
            elsewhere.as_str(),
        ] {
            assert_eq!(PathIdentity::of(path, |_| true), None, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path in "(files/)?[a-z0-9./v]{0,40}|\\PC{0,40}") {
            let _ = PathIdentity::of(&path, |_| true);
        }
    }
}
