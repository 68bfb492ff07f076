//! Rows in columns that fit the terminal.

use super::output::{Output, Style, number, printable, width};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A text is not cut to fewer columns than this, even where the row is then too wide.
const NARROWEST: usize = 6;

/// Prints a table. Columns named in `texts` stand to the left, are made safe for a terminal and give way where the row is too
/// wide; all others are figures.
pub(super) fn print(head: &[&str], texts: &[&str], rows: &[Vec<String>], output: &Output) {
    let cell = |(column, cell): (usize, &String)| match cell.parse() {
        Ok(figure) if !texts.contains(&head[column]) => number(figure),
        _ => printable(cell).into_owned(),
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().enumerate().map(cell).collect()).collect();
    // A column in which nothing stands is left out: most lists have no names.
    let is_used = |column: &usize| rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.is_empty()));
    let columns: Vec<usize> = (0..head.len()).filter(is_used).collect();
    let wide = |column: usize| {
        let widest = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0);
        widest.max(head[column].width())
    };
    let mut widths: Vec<usize> = columns.iter().map(|column| wide(*column)).collect();
    let gaps = 2 * columns.len().saturating_sub(1);
    // The widest text gives way until the row fits.
    while widths.iter().sum::<usize>() + gaps > width() {
        let texts = columns.iter().enumerate().filter(|(_, column)| texts.contains(&head[**column]));
        let widest = texts.map(|(at, _)| at).max_by_key(|at| widths[*at]).filter(|at| widths[*at] > NARROWEST);
        let Some(at) = widest else { break };
        widths[at] -= 1;
    }
    let line = |of: &dyn Fn(usize) -> String| {
        let cells = columns.iter().zip(&widths).map(|(column, width)| {
            let text = shortened(&of(*column), *width);
            let blank = " ".repeat(width.saturating_sub(text.width()));
            if texts.contains(&head[*column]) { format!("{text}{blank}") } else { format!("{blank}{text}") }
        });
        cells.collect::<Vec<String>>().join("  ").trim_end().to_owned()
    };
    outln!("{}", output.styled(Style::Bold, &line(&|column| head[column].to_owned())));
    for row in &rows {
        outln!("{}", line(&|column| row.get(column).cloned().unwrap_or_default()));
    }
}

/// At most so many columns of a text, with a sign where it was cut.
fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_is_cut_with_a_sign() {
        assert_eq!(shortened("refund", 6), "refund");
        assert_eq!(shortened("refunds", 6), "refun…");
        assert_eq!(shortened("退款退款", 6), "退款…");
    }
}
