//! What reaches the terminal: data on stdout, everything else on stderr, colours only where they are wanted, and no
//! control character of a transcript ever.

use super::args::{Global, ProgressWhen, When};
use super::exit::Failure;
use super::json::harmless;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// How to print, settled once per run.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) ndjson: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    pub(crate) colour: bool,
    /// Charts in ASCII: the terminal is not one of UTF-8, or `--color never`.
    pub(crate) ascii: bool,
    pub(crate) progress: ProgressStyle,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressStyle {
    /// Not at all.
    None,
    /// A bar.
    Bar,
    /// JSON objects on stderr.
    Json,
}

impl Output {
    pub(crate) fn of(global: &Global) -> Output {
        let wants_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = match global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => io::stdout().is_terminal() && wants_colour,
        };
        let progress = match global.progress {
            ProgressWhen::Never => ProgressStyle::None,
            ProgressWhen::Json => ProgressStyle::Json,
            ProgressWhen::Always => ProgressStyle::Bar,
            ProgressWhen::Auto if io::stderr().is_terminal() && !global.quiet => ProgressStyle::Bar,
            ProgressWhen::Auto => ProgressStyle::None,
        };
        Output {
            json: global.json,
            ndjson: global.ndjson,
            quiet: global.quiet,
            verbose: global.verbose,
            colour,
            ascii: matches!(global.color, When::Never) || !speaks_utf8(),
            progress,
        }
    }

    /// No colour, no progress: for tests of what is printed.
    #[cfg(test)]
    pub(crate) fn plain() -> Output {
        Output {
            json: false,
            ndjson: false,
            quiet: false,
            verbose: 0,
            colour: false,
            ascii: false,
            progress: ProgressStyle::None,
        }
    }

    /// Whether a script reads stdout.
    pub(crate) fn for_machines(&self) -> bool {
        self.json || self.ndjson
    }

    /// A line for people that is not data: stderr, unless quiet.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    /// One JSON document, or one line of a stream.
    pub(crate) fn document(&self, mut value: Value, kind: &str) -> Result<(), Failure> {
        if let Some(object) = value.as_object_mut() {
            object.insert("schema_version".into(), json!(1));
            if self.ndjson {
                object.insert("type".into(), json!(kind));
            }
        }
        let text = if self.ndjson { serde_json::to_string(&value) } else { serde_json::to_string_pretty(&value) };
        let text = harmless(text.map_err(io::Error::from)?);
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }

    /// The error, on stderr for people, on stdout for machines too.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.for_machines() {
            let error = json!({ "error": failure.message, "hints": failure.hints, "exit_code": failure.exit as u8 });
            // Nothing is left to do if stdout is gone.
            let _ = self.document(error, "error");
            return;
        }
        let (bold, plain) =
            if io::stderr().is_terminal() && self.colour { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
        eprintln!("{bold}error:{plain} {}", printable_lines(&failure.message));
        for hint in &failure.hints {
            eprintln!("  hint: {}", printable(hint));
        }
    }

    /// Wraps text in a style.
    pub(crate) fn styled<'t>(&self, style: Style, text: &'t str) -> Cow<'t, str> {
        if !self.colour || text.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()))
    }
}

/// Whether the locale is one of UTF-8, by the variables that decide it. Windows has none of them and is taken to be.
fn speaks_utf8() -> bool {
    let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    let is_utf8 = |locale: String| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    };
    locale.map_or(cfg!(windows), is_utf8)
}

/// A style of the terminal; never the only sign of anything.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Bold,
    Dim,
    Hit,
    Consumer,
    Agent,
    Good,
    Bad,
}

impl Style {
    /// The parameters of the escape sequence that begins it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Hit => "1;33",
            Style::Consumer => "36",
            Style::Agent => "32",
            Style::Good => "32",
            Style::Bad => "31",
        }
    }
}

/// Text from outside, safe on a terminal and on one line: control characters and the marks that reorder text are shown
/// as escapes, line breaks as a sign.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, false)
}

/// As [`printable`], with line breaks kept.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, true)
}

fn escaped(text: &str, keep_lines: bool) -> Cow<'_, str> {
    let is_risky = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    if !text.contains(is_risky) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if keep_lines => safe.push('\n'),
            '\n' => safe.push('⏎'),
            '\r' => {}
            '\t' => safe.push(' '),
            c if is_risky(c) => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Whether a text holds letters or marks that run from right to left (Hebrew, Arabic and their kin).
pub(crate) fn has_right_to_left(text: &str) -> bool {
    text.chars().any(|c| {
        matches!(c,
            '\u{590}'..='\u{8ff}' | '\u{200e}' | '\u{200f}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
    })
}

/// A text in marks that keep its direction to itself (first strong isolate): what stands beside it is not reordered. Its own
/// marks of that kind have been escaped by [`printable`], so it cannot end the isolation.
pub(crate) fn isolated(text: &str) -> String {
    format!("\u{2068}{text}\u{2069}")
}

/// Columns of the terminal, 40 to 160; 100 where there is none.
pub(crate) fn width() -> usize {
    let columns = named_width().or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)));
    columns.unwrap_or(100).clamp(40, 160)
}

/// Columns that text is set in, 40 to 160; `None` where stdout is no terminal and COLUMNS names no width: `grep` finds a phrase
/// only in a line that is whole.
pub(crate) fn text_width() -> Option<usize> {
    let is_known = io::stdout().is_terminal() || named_width().is_some();
    is_known.then(width)
}

fn named_width() -> Option<usize> {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok())
}

/// `1.2 GB`, in powers of ten.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `1,234,567`.
pub(crate) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 file`, `2 files`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", number(count))
}

/// RFC 3339 with milliseconds, UTC, as in JSON. `null` for an instant beyond the calendar.
pub(crate) fn json_time(epoch_ms: Option<i64>) -> Value {
    match epoch_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()) {
        Some(instant) => json!(instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()),
        None => Value::Null,
    }
}

/// `2016-07-25 17:54:41` in a zone.
pub(crate) fn readable_time(epoch_ms: i64, tz: &TimeZone) -> String {
    match Timestamp::from_millisecond(epoch_ms) {
        Ok(instant) => instant.to_zoned(tz.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("{epoch_ms} ms"),
    }
}

/// `3d 04h`, `1h 02m`, `3m 05s`, `7s`.
pub(crate) fn readable_duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    if seconds >= 48 * 3600 {
        return format!("{}d {:02}h", seconds / 86_400, seconds / 3600 % 24);
    }
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

/// Date and time of day in a zone: `2016-07-25`, `17:54:41`. `None` beyond the calendar.
pub(crate) fn date_and_clock(epoch_ms: i64, tz: &TimeZone) -> Option<(String, String)> {
    let local = Timestamp::from_millisecond(epoch_ms).ok()?.to_zoned(tz.clone());
    Some((local.strftime("%Y-%m-%d").to_string(), local.strftime("%H:%M:%S").to_string()))
}

/// A time zone by its name.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, Failure> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        Failure::usage(format!("{name:?} is not a time zone")).hint("use a name such as Europe/Berlin, or UTC")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcripts_cannot_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\r\nc\u{202e}d"), "a\\u{1b}[31mb⏎c\\u{202e}d");
        assert_eq!(printable("plain é 退款 👍"), "plain é 退款 👍");
        assert_eq!(printable_lines("a\nb"), "a\nb");
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234_567), "1.2 MB");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(readable_duration(3_725_000), "1h 02m");
        assert_eq!(readable_duration(49 * 3_600_000), "2d 01h");
        assert_eq!(json_time(Some(1_469_469_281_856)), json!("2016-07-25T17:54:41.856Z"));
        assert_eq!(json_time(Some(i64::MAX)), Value::Null);
    }
}
