//! A window over a stream of JSON text that grows to one record and no further.
//!
//! It knows just enough JSON to find where a value ends: strings, escapes and brackets. It also knows the tell-tale
//! of a record that was cut: a new `{` at a place where no value may begin.

use std::io::BufRead;

/// Why a value could not be framed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The text ended inside the value.
    Cut,
    /// The text is not JSON at this offset in the file.
    Syntax(u64, &'static str),
    /// The value is larger than the limit; it has been passed over, and the reader is behind it.
    TooLarge(u64),
}

/// Deepest nesting of a value; real records stay below thirty.
const MAX_DEPTH: usize = 1024;

/// First keys of a record, by which the start of one is told from the middle of another.
const FIRST_KEYS: [&[u8]; 3] = [b"\"dataType\"", b"\"metaData\"", b"\"recordCollection\""];

/// Bytes behind a `{` in which a first key must show itself; white space may stand before it.
const LOOK_AHEAD: usize = 512;

/// Bytes asked of the source at a time.
const CHUNK: usize = 256 * 1024;

/// A buffered view of the text; `position` moves forward, [`Text::forget`] gives memory back.
pub(super) struct Text<'a> {
    source: Box<dyn BufRead + 'a>,
    buffer: Vec<u8>,
    position: usize,
    /// Offset in the file of `buffer[0]`.
    base: u64,
    ended: bool,
    /// Why the source ended early, if it did: a damaged container.
    pub(super) damage: Option<std::io::Error>,
    max_value_bytes: usize,
    /// Offset in the file of the next newline, where it is known.
    newline: Option<u64>,
    /// Offset in the file up to which newlines have been looked for.
    searched: u64,
}

impl<'a> Text<'a> {
    pub(super) fn new(source: Box<dyn BufRead + 'a>, max_value_bytes: usize) -> Text<'a> {
        Text {
            source,
            buffer: Vec::new(),
            position: 0,
            base: 0,
            ended: false,
            damage: None,
            max_value_bytes,
            newline: None,
            searched: 0,
        }
    }

    /// Offset in the file of the next unread byte.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.position as u64
    }

    /// Unread bytes that are in memory.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.position..]
    }

    /// Moves forward over bytes in memory.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.position += bytes;
    }

    /// Gives back the memory of what has been read. Only between values: it moves the buffer.
    pub(super) fn forget(&mut self) {
        // Moving the rest costs as much as it is long, so wait until it is the smaller part.
        if self.position > CHUNK && self.position * 2 > self.buffer.len() {
            self.buffer.drain(..self.position);
            self.base += self.position as u64;
            self.position = 0;
        }
    }

    /// Brings more bytes into memory; `false` at the end of the text.
    pub(super) fn fill(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let mut added = 0;
        while added < CHUNK {
            match self.source.fill_buf() {
                Ok([]) => {
                    self.ended = true;
                    break;
                }
                Ok(bytes) => {
                    self.buffer.extend_from_slice(bytes);
                    let length = bytes.len();
                    added += length;
                    self.source.consume(length);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.damage = Some(error);
                    self.ended = true;
                    break;
                }
            }
        }
        added > 0
    }

    /// The next byte without moving.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            if let Some(&byte) = self.buffer.get(self.position) {
                return Some(byte);
            }
            // All read: start a fresh buffer, so that a gigabyte of white space costs nothing.
            self.base += self.position as u64;
            self.position = 0;
            self.buffer.clear();
            if !self.fill() {
                return None;
            }
        }
    }

    /// Brings the next bytes into memory, as many as tell what a value starts like.
    pub(super) fn look_ahead(&mut self) {
        while self.unread().len() < LOOK_AHEAD && self.fill() {}
    }

    /// Length of the current line (without its newline), if it is in memory or can be brought there within `limit` bytes.
    /// The last line needs no newline. What was searched once is not searched again: many records may share a line.
    pub(super) fn line_length(&mut self, limit: usize) -> Option<usize> {
        loop {
            if let Some(newline) = self.newline.filter(|newline| *newline >= self.offset()) {
                return Some((newline - self.offset()) as usize);
            }
            let from = self.searched.max(self.offset());
            let start = (from - self.base) as usize;
            let found = memchr::memchr(b'\n', &self.buffer[start..]);
            self.newline = found.map(|at| from + at as u64);
            self.searched = self.newline.unwrap_or(self.base + self.buffer.len() as u64);
            if self.newline.is_some() {
                continue;
            }
            if self.unread().len() > limit {
                return None;
            }
            if !self.fill() {
                return Some(self.unread().len());
            }
        }
    }

    /// Passes over white space, and at the top level over what may stand between values: commas, the brackets of an
    /// enclosing list, NUL padding, and byte-order marks: files that were put together from several have one before each.
    pub(super) fn skip_between_values(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']' | 0 => self.position += 1,
                0xef => {
                    while self.unread().len() < 3 && self.fill() {}
                    if !self.unread().starts_with(b"\xef\xbb\xbf") {
                        return;
                    }
                    self.position += 3;
                }
                _ => return,
            }
            self.forget();
        }
    }

    /// Passes over white space.
    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.position += 1;
        }
    }

    /// Takes `wanted`, or says that something else stands there.
    pub(super) fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), Fault> {
        match self.peek() {
            Some(byte) if byte == wanted => {
                self.position += 1;
                Ok(())
            }
            Some(_) => Err(Fault::Syntax(self.offset(), what)),
            None => Err(Fault::Cut),
        }
    }

    /// Takes the value that starts here: its length in bytes, which are then the first of `unread`-before-the-call;
    /// use [`Text::frame`] to get at them. Values beyond the limit are passed over without being kept.
    fn scan(&mut self, keep: bool) -> Result<usize, Fault> {
        let start = self.offset();
        let mut at = self.position;
        let mut open: Vec<u8> = Vec::new();
        // The last byte that was not white space, outside strings.
        let mut last = b':';
        loop {
            if at >= self.buffer.len() {
                let too_large = at - self.position > self.max_value_bytes;
                if !keep || too_large {
                    self.base += at as u64;
                    self.buffer.clear();
                    self.position = 0;
                    at = 0;
                }
                if !self.fill() {
                    // A bare number or name may be the last thing in the text.
                    if open.is_empty() && last != b':' {
                        break;
                    }
                    self.position = self.buffer.len();
                    return Err(Fault::Cut);
                }
            }
            let byte = self.buffer[at];
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    // A bare number, true, false or null ends at white space.
                    if open.is_empty() && !matches!(last, b':') {
                        break;
                    }
                    at += 1;
                    continue;
                }
                b'"' => at = self.string_end(at)?,
                b'{' | b'[' => {
                    let value_may_start = match last {
                        b':' | b'[' => true,
                        b',' => open.last() == Some(&b'['),
                        _ => false,
                    };
                    if !value_may_start {
                        self.position = at;
                        return Err(Fault::Syntax(self.offset(), "a new value starts where none may"));
                    }
                    while byte == b'{' && self.buffer.len() - at < LOOK_AHEAD && self.fill() {}
                    if byte == b'{' && at > self.position && has_first_key(&self.buffer[at + 1..]) {
                        self.position = at;
                        return Err(Fault::Syntax(self.offset(), "another record begins"));
                    }
                    if open.len() == MAX_DEPTH {
                        self.position = at;
                        return Err(Fault::Syntax(self.offset(), "nested too deeply"));
                    }
                    open.push(byte);
                    at += 1;
                }
                b'}' | b']' => {
                    let opener = if byte == b'}' { b'{' } else { b'[' };
                    if open.is_empty() {
                        // The end of the enclosing value ends a bare number.
                        break;
                    }
                    if open.pop() != Some(opener) {
                        self.position = at;
                        return Err(Fault::Syntax(self.offset(), "brackets do not match"));
                    }
                    at += 1;
                }
                b',' if open.is_empty() => break,
                _ => {
                    at += 1;
                    last = byte;
                    continue;
                }
            }
            last = byte;
            if open.is_empty() && matches!(byte, b'"' | b'}' | b']') {
                break;
            }
        }
        let length = self.base + at as u64 - start;
        if self.base > start || length as usize > self.max_value_bytes {
            self.position = at;
            return if keep { Err(Fault::TooLarge(length)) } else { Ok(0) };
        }
        Ok(at - self.position)
    }

    /// Index behind the string that starts at `at`, bringing in bytes as needed.
    fn string_end(&mut self, start: usize) -> Result<usize, Fault> {
        let mut at = start + 1;
        loop {
            match memchr::memchr3(b'"', b'\\', b'\n', &self.buffer[at.min(self.buffer.len())..]) {
                Some(found) => {
                    at += found;
                    match self.buffer[at] {
                        b'"' => return Ok(at + 1),
                        b'\\' => at += 2,
                        _ => {
                            self.position = at;
                            return Err(Fault::Syntax(self.offset(), "a line break inside a string"));
                        }
                    }
                }
                None => {
                    at = at.max(self.buffer.len());
                    if at - self.position > self.max_value_bytes {
                        // Longer than any value may be: keep counting, not the bytes.
                        let keep_from = self.buffer.len();
                        self.base += keep_from as u64;
                        self.buffer.clear();
                        at -= keep_from;
                        self.position = 0;
                    }
                    if !self.fill() {
                        self.position = self.buffer.len();
                        return Err(Fault::Cut);
                    }
                }
            }
        }
    }

    /// Takes the value that starts here and gives its offset in the file and its bytes.
    pub(super) fn frame(&mut self) -> Result<(u64, &[u8]), Fault> {
        let offset = self.offset();
        let length = self.scan(true)?;
        let start = self.position;
        self.position += length;
        Ok((offset, &self.buffer[start..start + length]))
    }

    /// Passes over the value that starts here, whatever its size.
    pub(super) fn skip_value(&mut self) -> Result<(), Fault> {
        let length = self.scan(false)?;
        self.position += length;
        Ok(())
    }

    /// Goes back to `offset`, or as near to it as the memory still reaches.
    pub(super) fn go_back(&mut self, offset: u64) {
        self.position =
            usize::try_from(offset.saturating_sub(self.base)).map_or(self.position, |at| at.min(self.position));
    }

    /// Whether another record starts here, told by its first key. Records do not nest: the one around it was cut.
    pub(super) fn is_at_record(&mut self) -> bool {
        self.peek() == Some(b'{') && {
            while self.unread().len() < LOOK_AHEAD && self.fill() {}
            has_first_key(&self.unread()[1..])
        }
    }

    /// After a fault: goes to where the next record starts, which is a `{` at the start of a line, or one before a first key
    /// of a record.
    pub(super) fn resynchronise(&mut self) {
        loop {
            match memchr::memchr(b'{', self.unread()) {
                Some(at) => {
                    self.position += at;
                    if self.starts_record() {
                        return;
                    }
                    self.position += 1;
                }
                None => {
                    // The byte before a `{` decides too, so one stays.
                    self.position = self.buffer.len();
                    let last = self.buffer.last().copied();
                    if self.peek().is_none() {
                        return;
                    }
                    if last == Some(b'\n') && self.peek() == Some(b'{') {
                        return;
                    }
                }
            }
        }
    }

    /// Whether the `{` here is at the start of a line, or stands before a first key of a record.
    fn starts_record(&mut self) -> bool {
        (self.position > 0 && self.buffer[self.position - 1] == b'\n') || self.is_at_record()
    }
}

/// Whether what follows a `{` is a first key of a record.
pub(super) fn has_first_key(inside: &[u8]) -> bool {
    let inside = inside.trim_ascii_start();
    FIRST_KEYS.iter().any(|key| inside.starts_with(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> Text<'static> {
        // A reader that hands out few bytes at a time finds every boundary mistake.
        let bytes = std::io::Cursor::new(input.as_bytes().to_vec());
        Text::new(Box::new(std::io::BufReader::with_capacity(3, bytes)), 1 << 20)
    }

    #[test]
    fn frames_values_of_every_kind() {
        let mut t = text(r#"{"a":[1,{"b":"}\""}]} "x" 12 null"#);
        for expected in [r#"{"a":[1,{"b":"}\""}]}"#, r#""x""#, "12", "null"] {
            t.skip_space();
            assert_eq!(t.frame().map(|(_, bytes)| bytes.to_vec()), Ok(expected.as_bytes().to_vec()));
        }
    }

    #[test]
    fn a_cut_record_ends_where_the_next_begins() {
        let mut t = text("{\"a\":1,\n{\"b\":2}\n");
        assert!(matches!(t.frame(), Err(Fault::Syntax(8, _))));
        t.resynchronise();
        assert_eq!(t.frame().map(|(offset, bytes)| (offset, bytes.to_vec())), Ok((8, b"{\"b\":2}".to_vec())));
    }

    #[test]
    fn a_string_cut_at_the_line_end_is_found() {
        let mut t = text("{\"a\":\"cut\n{\"b\":2}");
        assert!(matches!(t.frame(), Err(Fault::Syntax(9, _))));
        t.resynchronise();
        assert_eq!(t.frame().map(|(_, bytes)| bytes.to_vec()), Ok(b"{\"b\":2}".to_vec()));
    }

    #[test]
    fn records_that_share_a_line_are_told_by_their_first_key() {
        let mut t = text(r#"[{"dataType":1,{"a":{"x":2}},{ "metaData":3}]"#);
        t.skip_between_values();
        assert!(matches!(t.frame(), Err(Fault::Syntax(15, _))));
        t.resynchronise();
        assert_eq!(t.frame().map(|(_, bytes)| bytes.to_vec()), Ok(br#"{ "metaData":3}"#.to_vec()));
    }

    #[test]
    fn many_values_on_one_line_are_searched_for_its_end_once() {
        let mut t = text(&r#"{"a":1}"#.repeat(50_000));
        let mut values = 0;
        while t.peek().is_some() {
            assert!(t.line_length(1 << 20).is_some());
            t.frame().expect("a value");
            t.forget();
            values += 1;
        }
        assert_eq!(values, 50_000);
    }

    #[test]
    fn nesting_costs_no_memory() {
        let mut t = text(&"[".repeat(10 * MAX_DEPTH));
        assert!(matches!(t.frame(), Err(Fault::Syntax(_, "nested too deeply"))));
    }

    #[test]
    fn a_value_beyond_the_limit_is_passed_over() {
        let long = "x".repeat(3 * CHUNK);
        let input = format!("{{\"a\":\"{long}\"}}\n{{\"b\":2}}");
        let bytes = std::io::Cursor::new(input.into_bytes());
        let mut t = Text::new(Box::new(bytes), 1000);
        assert_eq!(t.frame().map(drop), Err(Fault::TooLarge(3 * CHUNK as u64 + 8)));
        t.skip_space();
        assert_eq!(t.frame().map(|(_, bytes)| bytes.to_vec()), Ok(b"{\"b\":2}".to_vec()));
        assert!(t.buffer.capacity() < 4 * CHUNK);
    }
}
