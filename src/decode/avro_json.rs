//! Avro's JSON encoding, read tolerantly.
//!
//! The encoding wraps a union value in a one-key object whose key names the branch: `{"string": "x"}`. LivePerson's
//! files wrap some values in one schema version and leave them bare in the next (reference `data-access.md`,
//! section 5), so every reader here takes both, at any place, and null, missing, mistyped and unknown fields too.
//! Numbers are handed over as text before they are converted: an identifier never passes through a float.

use jiter::{Jiter, JiterError, JsonErrorType, Peek};
use std::ops::Range;

/// Wrappers inside wrappers that are followed before a value counts as odd; real data nests one deep.
const MAX_WRAPPERS: u8 = 8;

/// A pull reader over one JSON value that lies in memory.
pub(super) struct Pull<'j> {
    data: &'j [u8],
    jiter: Jiter<'j>,
    wrappers: u8,
    /// Values whose type did not fit, as (byte offset, what was expected).
    pub(super) odd: Vec<(usize, &'static str)>,
}

/// A syntax error: byte offset and reason.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) at: usize,
    pub(super) reason: String,
    /// The text ended inside the value.
    pub(super) cut: bool,
}

impl From<JiterError> for Broken {
    fn from(error: JiterError) -> Broken {
        let (reason, cut) = match &error.error_type {
            jiter::JiterErrorType::JsonError(kind) => (
                kind.to_string(),
                matches!(
                    kind,
                    JsonErrorType::EofWhileParsingList
                        | JsonErrorType::EofWhileParsingObject
                        | JsonErrorType::EofWhileParsingString
                        | JsonErrorType::EofWhileParsingValue
                ),
            ),
            other => (format!("{other:?}"), false),
        };
        Broken { at: error.index, reason, cut }
    }
}

type Result<T> = std::result::Result<T, Broken>;

/// Whether an object with this first key is a union wrapper and not a record.
pub(super) fn is_branch(key: &str) -> bool {
    matches!(key, "string" | "long" | "int" | "double" | "float" | "boolean" | "array" | "map" | "bytes")
        || key.starts_with("com.liveperson.")
}

impl<'j> Pull<'j> {
    pub(super) fn new(data: &'j [u8]) -> Pull<'j> {
        Pull { data, jiter: Jiter::new(data), wrappers: 0, odd: Vec::new() }
    }

    /// Offset of the next unread byte.
    pub(super) fn at(&self) -> usize {
        self.jiter.current_index()
    }

    /// The next value as JSON text, unread.
    pub(super) fn raw(&mut self) -> Result<&'j [u8]> {
        self.jiter.peek()?;
        let start = self.jiter.current_index();
        self.jiter.next_skip()?;
        Ok(self.jiter.slice_to_current(start))
    }

    /// The next value as JSON text; `None` for null.
    pub(super) fn json(&mut self) -> Result<Option<String>> {
        let raw = self.raw()?;
        Ok((raw != b"null").then(|| String::from_utf8_lossy(raw).into_owned()))
    }

    /// Takes the next value if it is a text, bare or wrapped, that holds an armored message: its place. Where something
    /// with a structure belongs, such a text is that structure, encrypted.
    pub(super) fn sealed(&mut self) -> Result<Option<Range<usize>>> {
        self.jiter.peek()?;
        let start = self.jiter.current_index();
        let rest = &self.data[start..];
        if !is_text(rest) {
            return Ok(None);
        }
        let mut ahead = Jiter::new(rest);
        if ahead.next_skip().is_err() || !super::sealed::has_armor(&rest[..ahead.current_index()]) {
            return Ok(None);
        }
        self.jiter.next_skip()?;
        Ok(Some(start..self.jiter.current_index()))
    }

    fn odd(&mut self, expected: &'static str) {
        // A file of nothing but odd values must not fill the memory with them.
        if self.odd.len() < 64 {
            self.odd.push((self.jiter.current_index(), expected));
        }
    }

    /// With the reader at an object: reads the wrapped value with `inner` if it is a union wrapper, else passes it over.
    fn unwrap_object<T>(
        &mut self,
        expected: &'static str,
        inner: impl FnOnce(&mut Self) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let branch = self.jiter.known_object()?.map(is_branch);
        let value = match branch {
            None => return Ok(None),
            Some(true) if self.wrappers < MAX_WRAPPERS => {
                self.wrappers += 1;
                let value = inner(self);
                self.wrappers -= 1;
                value?
            }
            Some(_) => {
                self.odd(expected);
                self.jiter.next_skip()?;
                None
            }
        };
        self.rest_of_object()?;
        Ok(value)
    }

    fn rest_of_object(&mut self) -> Result<()> {
        while self.jiter.next_key()?.is_some() {
            self.jiter.next_skip()?;
        }
        Ok(())
    }

    /// A string; numbers and booleans are taken by their digits and names.
    pub(super) fn text(&mut self) -> Result<Option<String>> {
        let peek = self.jiter.peek()?;
        match peek {
            Peek::String => Ok(Some(self.jiter.known_str()?.to_owned())),
            Peek::Null => self.null(),
            Peek::True | Peek::False => Ok(Some(self.jiter.known_bool(peek)?.to_string())),
            Peek::Object => self.unwrap_object("a string", Self::text),
            Peek::Array => self.skip_odd("a string"),
            _ => Ok(Some(self.digits()?.to_owned())),
        }
    }

    /// A whole number, also from a string of digits or a float without a fraction.
    pub(super) fn integer(&mut self) -> Result<Option<i64>> {
        match self.jiter.peek()? {
            Peek::Null => self.null(),
            Peek::Object => self.unwrap_object("a whole number", Self::integer),
            Peek::String => {
                let parsed = parse_integer(self.jiter.known_str()?);
                Ok(self.or_odd(parsed, "a whole number"))
            }
            Peek::True | Peek::False | Peek::Array => self.skip_odd("a whole number"),
            _ => {
                let parsed = parse_integer(self.digits()?);
                Ok(self.or_odd(parsed, "a whole number"))
            }
        }
    }

    /// A number.
    pub(super) fn number(&mut self) -> Result<Option<f64>> {
        match self.jiter.peek()? {
            Peek::Null => self.null(),
            Peek::Object => self.unwrap_object("a number", Self::number),
            Peek::String => {
                let parsed = self.jiter.known_str()?.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                Ok(self.or_odd(parsed, "a number"))
            }
            Peek::True | Peek::False | Peek::Array => self.skip_odd("a number"),
            _ => {
                let parsed = self.digits()?.parse::<f64>().ok().filter(|number| number.is_finite());
                Ok(self.or_odd(parsed, "a number"))
            }
        }
    }

    /// A boolean, also from `"true"` and `"false"`.
    pub(super) fn boolean(&mut self) -> Result<Option<bool>> {
        let peek = self.jiter.peek()?;
        match peek {
            Peek::True | Peek::False => Ok(Some(self.jiter.known_bool(peek)?)),
            Peek::Null => self.null(),
            Peek::Object => self.unwrap_object("true or false", Self::boolean),
            Peek::String => {
                let parsed = self.jiter.known_str()?.parse().ok();
                Ok(self.or_odd(parsed, "true or false"))
            }
            _ => self.skip_odd("true or false"),
        }
    }

    /// Calls `item` at each element of an array. A lone value where an array belongs counts as its only element.
    pub(super) fn array(&mut self, item: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        match self.jiter.peek()? {
            Peek::Null => self.null::<()>().map(drop),
            Peek::Array => {
                let mut next = self.jiter.known_array()?;
                while next.is_some() {
                    item(self)?;
                    next = self.jiter.array_step()?;
                }
                Ok(())
            }
            Peek::Object => self.unwrap_object("a list", |pull| pull.array(item).map(Some)).map(drop),
            _ => item(self),
        }
    }

    /// Reads a record: `name` turns a key into what `field` is then called with, with the reader at the value.
    ///
    /// Gives whether there was a record at all.
    pub(super) fn record<K>(
        &mut self,
        name: &dyn Fn(&str) -> K,
        field: &mut dyn FnMut(&mut Self, K) -> Result<()>,
    ) -> Result<bool> {
        match self.jiter.peek()? {
            Peek::Null => return self.null::<()>().map(|_| false),
            Peek::Object => {}
            _ => return self.skip_odd::<()>("an object").map(|_| false),
        }
        let Some(key) = self.jiter.known_object()? else { return Ok(true) };
        if is_branch(key) && self.wrappers < MAX_WRAPPERS {
            self.wrappers += 1;
            let found = self.record(name, field);
            self.wrappers -= 1;
            let found = found?;
            self.rest_of_object()?;
            return Ok(found);
        }
        let mut key = name(key);
        loop {
            // A record's own fields may be wrapped again, so the count starts anew inside.
            let outer = std::mem::take(&mut self.wrappers);
            let read = field(self, key);
            self.wrappers = outer;
            read?;
            match self.jiter.next_key()? {
                Some(next) => key = name(next),
                None => return Ok(true),
            }
        }
    }

    /// Passes the next value over.
    pub(super) fn skip(&mut self) -> Result<()> {
        Ok(self.jiter.next_skip()?)
    }

    fn null<T>(&mut self) -> Result<Option<T>> {
        self.jiter.known_null()?;
        Ok(None)
    }

    fn skip_odd<T>(&mut self, expected: &'static str) -> Result<Option<T>> {
        self.odd(expected);
        self.jiter.next_skip()?;
        Ok(None)
    }

    fn digits(&mut self) -> Result<&str> {
        let peek = self.jiter.peek()?;
        let at = self.jiter.current_index();
        let bytes = self.jiter.known_number_bytes(peek)?;
        std::str::from_utf8(bytes).map_err(|_| Broken { at, reason: "invalid number".into(), cut: false })
    }

    fn or_odd<T>(&mut self, parsed: Option<T>, expected: &'static str) -> Option<T> {
        if parsed.is_none() {
            self.odd(expected);
        }
        parsed
    }
}

/// Whether JSON starts with a string, bare or in one union wrapper.
pub(super) fn is_text(json: &[u8]) -> bool {
    let json = json.trim_ascii_start();
    json.starts_with(b"\"") || first_field(json).is_some_and(|(key, value)| is_branch(key) && value.starts_with(b"\""))
}

/// Whether JSON starts with a list, bare or in its union wrapper.
pub(super) fn is_list(json: &[u8]) -> bool {
    let json = json.trim_ascii_start();
    json.starts_with(b"[") || first_field(json).is_some_and(|(key, _)| key == "array")
}

/// Longest first key that is looked at, bytes.
const LONGEST_BRANCH: usize = 128;

/// First key of an object, and what stands behind its colon.
fn first_field(json: &[u8]) -> Option<(&str, &[u8])> {
    let key = json.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = key.iter().take(LONGEST_BRANCH).position(|byte| *byte == b'"')?;
    let value = key[end + 1..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    Some((std::str::from_utf8(&key[..end]).ok()?, value))
}

fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(integer) = text.parse() {
        return Some(integer);
    }
    let float: f64 = text.parse().ok()?;
    // Beyond 2^53 a float no longer names one integer.
    (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then_some(float as i64)
}
