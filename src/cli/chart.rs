//! Bar charts that fit the terminal: aligned figures, shares, and bars to an eighth of a column.

use super::output::{counted, has_right_to_left, isolated, number};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// What bars are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyphs {
    /// Unicode blocks, to an eighth of a column.
    Eighths,
    /// `#`, for a terminal that may not show others.
    Ascii,
}

/// A line of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A value, as it is printed (safe for a terminal), and its count.
    Bar(String, u64),
    /// A remark in the place of rows.
    Remark(String),
}

/// Widest bar, in columns: a longer one tells no more.
const LONGEST: usize = 60;

/// Columns before each row.
const INDENT: &str = "  ";

impl Glyphs {
    /// By the locale: the first of LC_ALL, LC_CTYPE and LANG that says something. Windows has no such variables, and shows
    /// Unicode.
    pub(super) fn of_locale() -> Glyphs {
        let named = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).unwrap_or_default());
        let named = named.iter().find(|value| !value.is_empty());
        Glyphs::of(named.map(String::as_str), cfg!(windows))
    }

    fn of(locale: Option<&str>, is_windows: bool) -> Glyphs {
        let is_utf8 = |locale: &str| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        };
        if is_windows || locale.is_some_and(is_utf8) { Glyphs::Eighths } else { Glyphs::Ascii }
    }
}

/// The rows as lines no wider than `width`. Shares are of `total`; bars are relative to the longest.
pub(super) fn lines(rows: &[Row], total: u64, width: usize, glyphs: Glyphs) -> Vec<String> {
    let counts = || rows.iter().filter_map(|row| if let Row::Bar(_, count) = row { Some(*count) } else { None });
    let most = counts().max().unwrap_or(0);
    let figures = number(most).len();
    // Two columns after the label, one after each figure, six for the share, and a bar one can see.
    let for_label = width.saturating_sub(INDENT.len() + 2 + figures + 1 + 6 + 1 + 8).max(8);
    let labels: Vec<String> = rows
        .iter()
        .map(|row| if let Row::Bar(label, _) = row { cut(label, for_label) } else { String::new() })
        .collect();
    let label_width = labels.iter().map(|label| label.width()).max().unwrap_or(0);
    let bar_width = width.saturating_sub(INDENT.len() + label_width + 2 + figures + 1 + 6 + 1).min(LONGEST);
    let line = |(row, label): (&Row, &String)| match row {
        Row::Remark(text) => format!("{INDENT}{text}"),
        Row::Bar(_, count) => {
            let padding = " ".repeat(label_width.saturating_sub(label.width()));
            let label = if has_right_to_left(label) { isolated(label) } else { label.clone() };
            let bar = bar(*count, most, bar_width, glyphs);
            let line =
                format!("{INDENT}{label}{padding}  {:>figures$} {:>6} {bar}", number(*count), share(*count, total));
            line.trim_end().to_owned()
        }
    };
    rows.iter().zip(&labels).map(line).collect()
}

/// `12.3%`; nothing of nothing is no share.
pub(super) fn share(count: u64, total: u64) -> String {
    if total == 0 || count == 0 {
        return String::new();
    }
    let percent = count as f64 * 100.0 / total as f64;
    // Rounded, 99.96 would claim the whole, and 0.01 would claim nothing.
    if count < total && percent > 99.9 {
        ">99.9%".to_owned()
    } else if percent < 0.1 {
        "<0.1%".to_owned()
    } else {
        format!("{percent:.1}%")
    }
}

/// What is said in the place of values that are not printed.
pub(super) fn left_out(values: usize, counts: u64) -> Row {
    Row::Remark(format!(
        "… {} with {} in all; --top all prints them",
        counted(values as u64, "further value"),
        number(counts)
    ))
}

/// Every count that is not zero has a bar that is seen.
fn bar(count: u64, most: u64, width: usize, glyphs: Glyphs) -> String {
    let steps = match glyphs {
        Glyphs::Eighths => 8,
        Glyphs::Ascii => 1,
    };
    // In 128 bits, so that no count overflows.
    let filled = (u128::from(count) * (width * steps) as u128).div_ceil(u128::from(most.max(1))) as usize;
    match glyphs {
        Glyphs::Ascii => "#".repeat(filled),
        Glyphs::Eighths => {
            let mut bar = "█".repeat(filled / 8);
            bar.extend(["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"].get(filled % 8).copied());
            bar
        }
    }
}

/// A label of at most `width` columns; one that was cut ends with `…`.
fn cut(label: &str, width: usize) -> String {
    if label.width() <= width {
        return label.to_owned();
    }
    let mut short = String::new();
    let mut columns = 0;
    for grapheme in label.graphemes(true) {
        columns += grapheme.width();
        if columns + 1 > width {
            break;
        }
        short.push_str(grapheme);
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(counts: &[(&str, u64)]) -> Vec<Row> {
        counts.iter().map(|(label, count)| Row::Bar((*label).to_owned(), *count)).collect()
    }

    #[test]
    fn figures_are_aligned_and_bars_are_in_proportion() {
        let rows = rows(&[("Sales", 1000), ("退款", 470), ("none", 0), ("rare", 1)]);
        assert_eq!(
            lines(&rows, 1501, 40, Glyphs::Eighths),
            [
                "  Sales  1,000  66.6% ██████████████████",
                "  退款     470  31.3% ████████▌",
                "  none       0",
                "  rare       1  <0.1% ▏",
            ]
        );
        assert_eq!(lines(&rows, 1501, 40, Glyphs::Ascii)[1], "  退款     470  31.3% #########");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "a skill with a name that does not end before the terminal does 退款".repeat(2);
        let rows = rows(&[(&long, u64::MAX), ("short", u64::MAX / 3)]);
        for width in 48..170 {
            for glyphs in [Glyphs::Eighths, Glyphs::Ascii] {
                for line in lines(&rows, u64::MAX, width, glyphs) {
                    assert!(line.width() <= width, "{width}: {} {line}", line.width());
                }
            }
        }
    }

    #[test]
    fn shares_never_claim_more_than_they_are() {
        assert_eq!((share(1, 1), share(0, 9), share(0, 0)), ("100.0%".into(), String::new(), String::new()));
        assert_eq!(
            (share(99_999, 100_000), share(1, 100_000), share(1, 3)),
            (">99.9%".into(), "<0.1%".into(), "33.3%".into())
        );
    }

    #[test]
    fn glyphs_follow_the_locale() {
        for utf8 in ["en_US.UTF-8", "C.utf8", "de_DE.utf-8@euro"] {
            assert_eq!(Glyphs::of(Some(utf8), false), Glyphs::Eighths);
        }
        for other in [None, Some("C"), Some("POSIX"), Some("de_DE.ISO-8859-1")] {
            assert_eq!(Glyphs::of(other, false), Glyphs::Ascii);
            assert_eq!(Glyphs::of(other, true), Glyphs::Eighths);
        }
    }
}
