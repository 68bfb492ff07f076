//! Query text → tokens with their byte positions.
//!
//! Signs mean different things after a metadata field (`mcs:-5`, `start:10:30`) than in text (`-word`), so the lexer
//! knows which field a value or a parenthesis belongs to. Whatever is complained about here leaves a
//! [`Token::Bad`] in its place so that the rest is still checked; `foreign.rs` holds the forms of other languages.
//!
//! What is text although it holds a colon: anything with `://`, well-known schemes (`mailto:`), and whatever does not
//! look like a name before the colon (`10:30`, `:-)`).

use std::ops::Range;

use super::complaint::Complaints;
use super::field::{Field, Kind, Prefix, Scope, names, nearest};
use super::pattern::{QUOTES, quote};
use super::stem::is_word_form;

/// Schemes of addresses without `//` that people paste.
const SCHEMES: &[&str] = &["mailto", "tel", "sms", "urn", "callto"];

/// One piece of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    And,
    Or,
    /// `NOT` or `-`.
    Not,
    Near {
        ordered: bool,
        distance: u32,
    },
    Turns {
        distance: u32,
    },
    /// `name:`; what it applies to follows directly.
    Prefix(Prefix),
    /// Bare text: a word, or a value.
    Word(String),
    /// Between quotes, escapes not yet resolved.
    Quoted(String),
    /// Between slashes, `\/` resolved.
    Regex(String),
    /// Already complained about; stands for an operand.
    Bad,
}

pub(super) type Spanned = (Token, Range<usize>);

/// Cuts the query into tokens.
pub(super) fn lex(complaints: &mut Complaints<'_>) -> Vec<Spanned> {
    let text = complaints.query;
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), groups: Vec::new(), complaints };
    while lexer.step() {}
    lexer.tokens
}

/// Whether the text, printed bare after this prefix, is read back as one word or value.
pub(super) fn is_bare_word(word: &str, prefix: Option<&Prefix>) -> bool {
    let head = prefix.map_or(String::new(), |prefix| format!("{}:", prefix.name()));
    let printed = format!("{head}{word}");
    let mut complaints = Complaints::about(&printed);
    let tokens = lex(&mut complaints);
    let last = tokens.len() == usize::from(prefix.is_some()) + 1;
    last && complaints.is_empty() && matches!(tokens.last(), Some((Token::Word(read), _)) if read == word)
}

pub(super) struct Lexer<'a, 'q> {
    pub(super) text: &'q str,
    pub(super) at: usize,
    tokens: Vec<Spanned>,
    /// For each open parenthesis the metadata field whose values stand inside, if any.
    groups: Vec<Option<Field>>,
    pub(super) complaints: &'a mut Complaints<'q>,
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}')
}

fn ends_word(c: char) -> bool {
    is_space(c) || c == '(' || c == ')' || QUOTES.contains(&c)
}

impl<'q> Lexer<'_, 'q> {
    /// Reads one token; false at the end.
    fn step(&mut self) -> bool {
        let (field, direct) = self.field();
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else {
            if direct {
                self.no_value();
            }
            return false;
        };
        if direct && (is_space(first) || first == ')') {
            self.no_value();
        } else if is_space(first) {
            self.at += first.len_utf8();
        } else if first == '(' {
            self.groups.push(field);
            self.token(Token::Open, 1);
        } else if first == ')' {
            self.groups.pop();
            self.token(Token::Close, 1);
        } else if QUOTES.contains(&first) {
            self.quoted(first);
        } else if direct && matches!(first, '[' | '{') && (field.is_some() || rest.contains(" TO ")) {
            self.bracket_range(rest, field.is_some());
        } else if let Some(field) = field {
            self.value(field, direct);
        } else if first == '/' {
            self.regex();
        } else if direct {
            self.text_value();
        } else {
            self.text_start(first);
        }
        true
    }

    /// The metadata field the next value belongs to, and whether a prefix stands directly before.
    fn field(&self) -> (Option<Field>, bool) {
        match self.tokens.last() {
            Some((Token::Prefix(prefix), span)) if span.end == self.at => match prefix {
                Prefix::Field(field) if !prefix.takes_text() => (Some(*field), true),
                _ => (None, true),
            },
            _ => (self.groups.last().copied().flatten(), false),
        }
    }

    pub(super) fn token(&mut self, token: Token, length: usize) {
        self.tokens.push((token, self.at..self.at + length));
        self.at += length;
    }

    /// Complains about the next `length` bytes and goes on after them.
    pub(super) fn refuse(&mut self, length: usize, message: impl Into<String>, replacement: Option<&str>) {
        self.complaints.add(self.at..self.at + length, message, replacement);
        self.token(Token::Bad, length);
    }

    fn no_value(&mut self) {
        let Some((Token::Prefix(prefix), span)) = self.tokens.last().cloned() else {
            return;
        };
        let after = &self.text[span.end..];
        let value = after.trim_start_matches(is_space);
        let name = prefix.name();
        if value.is_empty() || value.starts_with(')') {
            self.complaints.add(
                span,
                format!("`{name}:` has no value; to search the word `{name}`, leave out the colon"),
                Some(&name),
            );
        } else {
            let gap = span.end..span.end + (after.len() - value.len());
            let message = format!("`{name}:` is followed by a space; field and value are written together");
            self.complaints.add_with_edit(span, message, Some((gap, "")));
        }
        let end = self.at;
        self.tokens.push((Token::Bad, end..end));
    }

    fn quoted(&mut self, opening: char) {
        let start = self.at;
        let body = start + opening.len_utf8();
        if self.touches_text() {
            let message = "a quote directly after a word; put a space before it, or `\\` if it belongs to a phrase";
            let spaced = format!(" {opening}");
            self.complaints.add(start..body, message, Some(&spaced));
        }
        let mut escaped = false;
        for (offset, c) in self.text[body..].char_indices() {
            let closing = if opening == '"' { c == '"' } else { QUOTES.contains(&c) };
            if escaped || !closing {
                escaped = c == '\\' && !escaped;
                continue;
            }
            let raw = self.text[body..body + offset].to_owned();
            self.token(Token::Quoted(raw), body + offset + c.len_utf8() - start);
            self.after_quoted(start);
            return;
        }
        let mended = format!("{}\"", &self.text[start..]);
        let message = format!("the quote `{opening}` is never closed; inside a phrase write `\\{opening}`");
        self.complaints.add_with_edit(start..body, message, Some((start..self.text.len(), &mended)));
        self.token(Token::Bad, self.text.len() - start);
    }

    fn touches_text(&self) -> bool {
        matches!(self.tokens.last(), Some((Token::Word(_) | Token::Quoted(_) | Token::Regex(_), span)) if span.end == self.at)
    }

    pub(super) fn rest_of_word(&self) -> &'q str {
        let rest = &self.text[self.at..];
        &rest[..rest.find(ends_word).unwrap_or(rest.len())]
    }

    fn regex(&mut self) {
        let start = self.at;
        let mut expression = String::new();
        let mut escaped = false;
        for (offset, c) in self.text[start + 1..].char_indices() {
            if c == '/' && !escaped {
                let length = offset + 2;
                self.token(Token::Regex(expression), length);
                self.after_regex(start);
                return;
            }
            if c == '/' {
                expression.pop();
            }
            expression.push(c);
            escaped = c == '\\' && !escaped;
        }
        let word = self.rest_of_word();
        let quoted = quote(word);
        let message =
            "a regular expression begins with `/` and is never closed by another `/`; to search a path, quote it";
        self.refuse(word.len(), message, Some(&quoted));
    }

    fn after_regex(&mut self, start: usize) {
        let tail = self.rest_of_word();
        if tail.is_empty() {
            return;
        }
        let whole = start..self.at + tail.len();
        let quoted = quote(&self.text[whole.clone()]);
        let message =
            "text directly after a regular expression `/…/`; case is ignored anyway, and a path has to be quoted";
        self.complaints.add(whole, message, Some(&quoted));
        self.at += tail.len();
    }

    /// A value of a metadata field, or an operator between values in its parentheses.
    fn value(&mut self, field: Field, direct: bool) {
        let negatable = !direct && !matches!(field.kind(), Kind::Number | Kind::Time);
        if negatable && self.text[self.at..].starts_with('-') {
            return self.token(Token::Not, 1);
        }
        let word = self.rest_of_word();
        if !direct {
            match word {
                "AND" => return self.token(Token::And, word.len()),
                "OR" => return self.token(Token::Or, word.len()),
                "NOT" => return self.token(Token::Not, word.len()),
                _ => {}
            }
            let nested = word.split_once(':').is_some_and(|(name, _)| Prefix::named(name).is_some());
            if self.refuse_joint(word) || (nested && self.prefix(word)) {
                return;
            }
        }
        self.token(Token::Word(word.to_owned()), word.len());
    }

    /// A word directly after `consumer:` and its like.
    fn text_value(&mut self) {
        let word = self.rest_of_word();
        if matches!(word, "AND" | "OR" | "NOT") {
            return self.refuse(
                word.len(),
                format!("`{word}` is an operator; to search the word, quote it"),
                Some(&quote(word)),
            );
        }
        let is_range = |tokens: &[Spanned]| {
            let is_path = matches!(tokens.last(), Some((Token::Prefix(Prefix::Scope(Scope::Sde(Some(_)))), _)));
            is_path && matches!(super::value::attribute_range(word), Ok(Some(_)))
        };
        if word.len() > 1 && word.starts_with(['-', '+']) && !is_range(&self.tokens) {
            let sign = &word[..1];
            let message = format!("`{sign}` stands before the field, not after the colon");
            return self.refuse(word.len(), message, Some(&word[1..]));
        }
        self.token(Token::Word(word.to_owned()), word.len());
    }

    fn text_start(&mut self, first: char) {
        // Signs come before the rest of the word is looked at: a run of them has to stay linear.
        let follows = self.text[self.at + first.len_utf8()..].chars().next();
        let operand_follows = follows.is_some_and(|c| !is_space(c) && c != ')');
        if first == '-' && operand_follows {
            return self.token(Token::Not, 1);
        }
        if operand_follows && self.refuse_sign(first) {
            return;
        }
        let word = self.rest_of_word();
        let length = word.len();
        match word {
            "AND" => return self.token(Token::And, length),
            "OR" => return self.token(Token::Or, length),
            "NOT" => return self.token(Token::Not, length),
            _ => {}
        }
        if self.refuse_joint(word) || self.proximity(word) || self.prefix(word) {
            return;
        }
        if let Some((at, name)) = comparison_without_colon(word) {
            let cure = format!("{name}:{}", &word[at..]);
            let message = format!("`{word}` has no colon; did you mean `{cure}`? To search the text, quote it");
            return self.refuse(length, message, Some(&cure));
        }
        self.token(Token::Word(word.to_owned()), length);
    }

    /// `name:` at the start of a word. False where the colon belongs to the text.
    fn prefix(&mut self, word: &str) -> bool {
        let Some((name, value)) = word.split_once(':') else {
            return false;
        };
        let sde = name.len() > 4 && name.is_char_boundary(4) && name[..4].eq_ignore_ascii_case("sde.");
        let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            // `example.org:8080` is text, `sdes.customerInfo.id:7` a slip.
            || name.split_once('.').is_some_and(|(first, _)| strsim::levenshtein(&first.to_lowercase(), "sde") <= 1);
        if value.starts_with("//") || SCHEMES.contains(&name.to_ascii_lowercase().as_str()) || !(identifier || sde) {
            return false;
        }
        if let Some(prefix) = Prefix::named(name) {
            self.token(Token::Prefix(prefix), name.len() + 1);
            return true;
        }
        if is_word_form(name) {
            // The form belongs to the word, so that `consumer:stem:refund` is one too.
            if value.is_empty() {
                let name = name.to_owned();
                let message =
                    format!("`{name}:` takes one word directly behind the colon, without quotes or parentheses");
                self.refuse(word.len(), message, None);
                return true;
            }
            return false;
        }
        let quoted = quote(word);
        let whole = self.at..self.at + word.len();
        let (meant, cure) = match nearest(name, names()) {
            Some(near) => (format!("; did you mean `{near}:`?"), format!("{near}:{value}")),
            None => (".".to_owned(), quoted.clone()),
        };
        let message = format!("`{name}:` is not a field{meant} To search the text `{word}`, quote it: {quoted}");
        // The caret goes under the name; the cure replaces the whole word.
        self.complaints.add_with_edit(self.at..self.at + name.len() + 1, message, Some((whole, &cure)));
        if value.is_empty() {
            // `agnt:"…"`, `agnt:(…)`: what follows is checked as text.
            self.at += word.len();
            if self.text[self.at..].starts_with(|c| is_space(c) || c == ')') || self.at == self.text.len() {
                self.tokens.push((Token::Bad, self.at..self.at));
            }
        } else {
            self.token(Token::Bad, word.len());
        }
        true
    }
}

/// `mcs<50`: where the sign stands, and the field's name.
fn comparison_without_colon(word: &str) -> Option<(usize, String)> {
    let at = word.find(['<', '>', '='])?;
    match Prefix::named(&word[..at])? {
        Prefix::Field(field) if !matches!(field.kind(), Kind::Id | Kind::Words) => Some((at, field.name().to_owned())),
        _ => None,
    }
}
