//! Foreign text set into lines: no wider than asked, its control characters escaped, its hits marked, and a right-to-left text
//! kept inside its own place.
//!
//! Widths are those of the terminal's columns: a CJK character takes two, a combining mark none, and what people see as one
//! character (a grapheme cluster) is never torn apart.

use super::output::{Output, Style, has_right_to_left, isolated, printable};
use std::borrow::Cow;
use std::ops::Range;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Pieces of text that are set one behind the other.
#[derive(Default)]
pub(super) struct Paragraph<'t> {
    pieces: Vec<Piece<'t>>,
}

struct Piece<'t> {
    style: Option<Style>,
    text: Cow<'t, str>,
    /// Byte ranges that are shown as hits, in order, not overlapping.
    hits: Vec<Range<usize>>,
    /// From outside: it must not mingle with what stands beside it.
    is_foreign: bool,
}

/// The smallest part that is moved to another line.
struct Cell {
    text: String,
    width: usize,
    style: Option<Style>,
    /// The foreign piece it belongs to.
    piece: Option<usize>,
    is_space: bool,
}

impl<'t> Paragraph<'t> {
    /// The program's own words.
    pub(super) fn own(mut self, style: Option<Style>, text: impl Into<Cow<'t, str>>) -> Self {
        self.pieces.push(Piece { style, text: text.into(), hits: Vec::new(), is_foreign: false });
        self
    }

    /// Text from outside.
    pub(super) fn foreign(self, style: Option<Style>, text: impl Into<Cow<'t, str>>) -> Self {
        self.marked(style, text, Vec::new())
    }

    /// Text from outside with hits (byte ranges, in order, not overlapping).
    pub(super) fn marked(
        mut self,
        style: Option<Style>,
        text: impl Into<Cow<'t, str>>,
        hits: Vec<Range<usize>>,
    ) -> Self {
        self.pieces.push(Piece { style, text: text.into(), hits, is_foreign: true });
        self
    }

    /// The lines, at most `width` columns wide; without a width, one for each line of the text. Never empty.
    pub(super) fn lines(&self, width: Option<usize>, output: &Output) -> Vec<String> {
        let mut setter = Setter { width, output, line: Vec::new(), columns: 0, lines: Vec::new() };
        for (at, piece) in self.pieces.iter().enumerate() {
            piece.set(at, &mut setter);
        }
        setter.end_line();
        setter.lines
    }
}

impl Piece<'_> {
    fn set(&self, at: usize, setter: &mut Setter<'_>) {
        let mut hits = self.hits.iter().peekable();
        let mut is_first = self.is_foreign;
        let mut set = |start: usize, text: &str, setter: &mut Setter<'_>| {
            if matches!(text, "\n" | "\r\n") {
                setter.end_line();
                is_first = self.is_foreign;
                return;
            }
            while hits.next_if(|hit| hit.end <= start).is_some() {}
            let is_hit = hits.peek().is_some_and(|hit| hit.start <= start);
            let mut shown = printable(text).into_owned();
            // A mark without a letter would sit on the frame's own character.
            if is_first && shown.starts_with(is_combining_mark) {
                shown.insert(0, '\u{25cc}');
            }
            is_first = false;
            let style = if is_hit { Some(Style::Hit) } else { self.style };
            let piece = self.is_foreign.then_some(at);
            setter.push(Cell { width: shown.width(), is_space: shown == " ", text: shown, style, piece });
        };
        if setter.width.is_some() {
            self.text.grapheme_indices(true).for_each(|(start, grapheme)| set(start, grapheme, setter));
            return;
        }
        // Nothing is moved, so a stretch of one style is one part.
        let mut start = 0;
        let mut ends: Vec<usize> = self.hits.iter().flat_map(|hit| [hit.start, hit.end]).collect();
        ends.extend(self.text.match_indices('\n').flat_map(|(at, _)| [at, at + 1]));
        ends.push(self.text.len());
        ends.sort_unstable();
        for end in ends {
            if start < end {
                set(start, &self.text[start..end], setter);
                start = end;
            }
        }
    }
}

struct Setter<'o> {
    width: Option<usize>,
    output: &'o Output,
    line: Vec<Cell>,
    columns: usize,
    lines: Vec<String>,
}

impl Setter<'_> {
    fn push(&mut self, cell: Cell) {
        while let Some(width) = self.width.filter(|width| !self.line.is_empty() && self.columns + cell.width > *width) {
            let _ = width;
            if cell.is_space {
                // The end of the line does what the space does.
                self.end_line();
                return;
            }
            let at = self.last_break(&cell).unwrap_or(self.line.len());
            let rest = self.line.split_off(at);
            while self.line.last().is_some_and(|last| last.is_space) {
                self.line.pop();
            }
            self.end_line();
            self.columns = rest.iter().map(|cell| cell.width).sum();
            self.line = rest;
        }
        self.columns += cell.width;
        self.line.push(cell);
    }

    /// The last place where the line may be broken before `next`: behind a space, and on both sides of a wide character.
    fn last_break(&self, next: &Cell) -> Option<usize> {
        let may_break = |before: &Cell, after: &Cell| before.is_space || is_wide(before) || is_wide(after);
        if self.line.last().is_some_and(|last| may_break(last, next)) {
            return Some(self.line.len());
        }
        (1..self.line.len()).rev().find(|at| may_break(&self.line[at - 1], &self.line[*at]))
    }

    fn end_line(&mut self) {
        let mut set = String::new();
        for of_piece in self.line.chunk_by(|a, b| a.piece == b.piece) {
            let mut styled = String::new();
            for run in of_piece.chunk_by(|a, b| a.style.map(Style::code) == b.style.map(Style::code)) {
                let text: String = run.iter().map(|cell| cell.text.as_str()).collect();
                match run[0].style {
                    Some(style) => styled.push_str(&self.output.styled(style, &text)),
                    None => styled.push_str(&text),
                }
            }
            let is_foreign = of_piece[0].piece.is_some();
            if is_foreign && of_piece.iter().any(|cell| has_right_to_left(&cell.text)) {
                set.push_str(&isolated(&styled));
            } else {
                set.push_str(&styled);
            }
        }
        self.lines.push(set);
        self.line.clear();
        self.columns = 0;
    }
}

fn is_wide(cell: &Cell) -> bool {
    // An escape such as \u{1b} is wider than two, and stays with its word.
    cell.width == 2 && cell.text.chars().next().is_some_and(|c| !c.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Output {
        Output::plain()
    }

    #[track_caller]
    fn check(text: &str, width: usize, expected: &[&str]) {
        assert_eq!(Paragraph::default().foreign(None, text).lines(Some(width), &plain()), expected);
    }

    #[test]
    fn lines_break_between_words_and_no_wider() {
        check("one two three", 7, &["one two", "three"]);
        check("one two three", 8, &["one two", "three"]);
        check("one  two", 4, &["one ", "two"]);
        check("abcdefghij", 4, &["abcd", "efgh", "ij"]);
        check("go abcdefghij", 4, &["go", "abcd", "efgh", "ij"]);
        check("a\n\nb\r\nc", 10, &["a", "", "b", "c"]);
        check("", 10, &[""]);
    }

    #[test]
    fn columns_are_counted_as_a_terminal_does() {
        check("退款申请已经提交", 6, &["退款申", "请已经", "提交"]);
        check("退款申请", 5, &["退款", "申请"]);
        check("cafe\u{301} cafe\u{301}", 4, &["cafe\u{301}", "cafe\u{301}"]);
        // A family is one character of two columns, and is not torn into its members.
        check("👨‍👩‍👧👨‍👩‍👧", 3, &["👨‍👩‍👧", "👨‍👩‍👧"]);
        check("a\u{1b}b", 4, &["a", "\\u{1b}", "b"]);
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        let text = "word 退款 e\u{301}e\u{301} 👍🏽 שלום \u{202e}x\u{7f} https://example.org/a/very/long/path 0123456789"
            .repeat(9);
        for width in 8..90 {
            for line in Paragraph::default().foreign(None, text.as_str()).lines(Some(width), &plain()) {
                assert!(line.width() <= width, "{width}: {line:?} is {}", line.width());
            }
        }
    }

    #[test]
    fn a_right_to_left_text_stays_in_its_place() {
        let lines = Paragraph::default().own(None, "12:00 ").foreign(None, "שלום world").lines(None, &plain());
        assert_eq!(lines, ["12:00 \u{2068}שלום world\u{2069}"]);
        // On each of its lines, and only where it is needed.
        let lines = Paragraph::default().foreign(None, "שלום שלום abc").lines(Some(5), &plain());
        assert_eq!(lines, ["\u{2068}שלום\u{2069}", "\u{2068}שלום\u{2069}", "abc"]);
    }

    #[test]
    fn a_mark_without_a_letter_does_not_touch_the_frame() {
        check("\u{301}abc", 10, &["◌\u{301}abc"]);
        check("a\n\u{301}b", 10, &["a", "◌\u{301}b"]);
    }

    #[test]
    fn hits_are_marked_across_lines_and_styles_end_with_them() {
        let output = Output { colour: true, ..plain() };
        let text = "my lost order";
        for (width, expected) in [
            (None, vec!["my \u{1b}[1;33mlost order\u{1b}[0m"]),
            (Some(8), vec!["my \u{1b}[1;33mlost\u{1b}[0m", "\u{1b}[1;33morder\u{1b}[0m"]),
        ] {
            let hits: Vec<Range<usize>> = std::iter::once(3..13).collect();
            assert_eq!(Paragraph::default().marked(None, text, hits).lines(width, &output), expected);
        }
    }
}
