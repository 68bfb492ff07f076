//! A page: lines set to the width of the terminal, gathered so that a pager can have them.

use super::super::output::{Output, Style};
use super::super::paragraph::Paragraph;

/// Narrowest column that text is set in, however far it is indented.
const NARROWEST: usize = 20;

/// Columns before the further lines of a text that begins at the left edge.
const CONTINUED: usize = 4;

/// Lines that wait to be printed.
pub(super) struct Page<'o> {
    output: &'o Output,
    width: Option<usize>,
    text: String,
}

impl<'o> Page<'o> {
    /// An empty page; without a width nothing is wrapped.
    pub(super) fn new(output: &'o Output, width: Option<usize>) -> Page<'o> {
        Page { output, width, text: String::new() }
    }

    pub(super) fn empty_line(&mut self) {
        self.text.push('\n');
    }

    /// The program's own words, on a line of their own.
    pub(super) fn own(&mut self, style: Style, text: &str) {
        self.hanging("", None, 0, &Paragraph::default().own(Some(style), text));
    }

    /// Foreign text on lines of its own. It stands at the left edge with its first line alone: the next one could be made to
    /// look like a line of the frame.
    pub(super) fn foreign(&mut self, paragraph: &Paragraph<'_>) {
        self.hanging("", None, CONTINUED, paragraph);
    }

    /// A paragraph behind `first` (the program's own words, `columns` wide) and, from its second line on, behind as much
    /// space: whatever the text holds, it never reaches the column of the frame.
    pub(super) fn hanging(&mut self, first: &str, style: Option<Style>, columns: usize, paragraph: &Paragraph<'_>) {
        let width = self.width.map(|width| width.saturating_sub(columns).max(NARROWEST));
        for (at, line) in paragraph.lines(width, self.output).into_iter().enumerate() {
            match (at, style) {
                (0, Some(style)) => self.text.push_str(&self.output.styled(style, first)),
                (0, None) => self.text.push_str(first),
                _ if line.is_empty() => {}
                _ => self.text.extend(std::iter::repeat_n(' ', columns)),
            }
            self.text.push_str(&line);
            // An empty text leaves the frame's own spaces at the end.
            self.text.truncate(self.text.trim_end_matches(' ').len());
            self.text.push('\n');
        }
    }

    /// A style of the output, for a frame that has several.
    pub(super) fn styled(&self, style: Style, text: &str) -> String {
        self.output.styled(style, text).into_owned()
    }

    /// Everything.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
