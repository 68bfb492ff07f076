//! Query text → tokens with their byte positions. Words keep their signs; `word.rs` reads them.

use super::super::complaint::Complaints;
use super::super::field::{Prefix, Scope, names, nearest};
use super::super::pattern::QUOTES;
use super::super::saved::{NAME_RULE, is_name, is_saved};
use std::ops::Range;

/// One piece of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Near {
        ordered: bool,
        distance: u32,
    },
    /// `name:`, `name::`, `name contains`; what it applies to follows.
    Prefix(Prefix),
    /// A word with its signs.
    Word(String),
    /// What stands directly behind a field that is no text: `start:2016-07`.
    Value(String),
    /// Between quotes.
    Quoted(String),
    /// `saved:NAME`.
    Saved(String),
    /// Already complained about; stands for an operand.
    Bad,
}

pub(super) type Spanned = (Token, Range<usize>);

/// Recognisers, and the filter function, by the name before the parenthesis.
const FUNCTIONS: &[&str] = &["date", "mail", "creditcard", "xfilter"];

pub(super) fn lex(complaints: &mut Complaints<'_>) -> Vec<Spanned> {
    let text = complaints.query;
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), complaints };
    while lexer.step() {}
    lexer.tokens
}

struct Lexer<'a, 'q> {
    text: &'q str,
    at: usize,
    tokens: Vec<Spanned>,
    complaints: &'a mut Complaints<'q>,
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}')
}

fn ends_word(c: char) -> bool {
    is_space(c) || c == '(' || c == ')' || QUOTES.contains(&c)
}

impl Lexer<'_, '_> {
    /// Reads one token; false at the end.
    fn step(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return false };
        if is_space(first) {
            self.at += first.len_utf8();
        } else if first == '(' {
            self.token(Token::Open, 1);
        } else if first == ')' {
            self.token(Token::Close, 1);
        } else if QUOTES.contains(&first) {
            self.quoted(first);
        } else if self.value_follows() {
            let value = self.rest_of_word().to_owned();
            self.token(Token::Value(value.clone()), value.len());
        } else {
            self.word();
        }
        true
    }

    fn token(&mut self, token: Token, length: usize) {
        self.tokens.push((token, self.at..self.at + length));
        self.at += length;
    }

    fn refuse(&mut self, length: usize, message: impl Into<String>, replacement: Option<&str>) {
        self.complaints.add(self.at..self.at + length, message, replacement);
        self.token(Token::Bad, length);
    }

    fn rest_of_word(&self) -> &str {
        let rest = &self.text[self.at..];
        &rest[..rest.find(ends_word).unwrap_or(rest.len())]
    }

    /// Behind a field that takes no text, or an attribute, a sign is part of the value.
    fn value_follows(&self) -> bool {
        match self.tokens.last() {
            Some((Token::Prefix(prefix), _)) => !prefix.takes_text() || matches!(prefix, Prefix::Scope(Scope::Sde(_))),
            _ => false,
        }
    }

    fn quoted(&mut self, opening: char) {
        let start = self.at;
        let body = start + opening.len_utf8();
        let closing = |c: char| if opening == '"' { c == '"' } else { QUOTES.contains(&c) };
        let Some((end, close)) = self.text[body..].char_indices().find(|(_, c)| closing(*c)) else {
            let mended = format!("{}\"", &self.text[start..]);
            let message = format!("the quote `{opening}` is never closed");
            self.complaints.add_with_edit(start..body, message, Some((start..self.text.len(), &mended)));
            return self.token(Token::Bad, self.text.len() - start);
        };
        let inside = self.text[body..body + end].to_owned();
        self.token(Token::Quoted(inside), body + end + close.len_utf8() - start);
        let tail = self.rest_of_word().to_owned();
        if tail.starts_with(['~', '^']) {
            let message = format!("`{tail}` after a phrase is another language's; for a distance write w/5");
            self.complaints.add(self.at..self.at + tail.len(), message, Some(""));
            self.at += tail.len();
        }
    }

    fn word(&mut self) {
        let word = self.rest_of_word().to_owned();
        let length = word.len();
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "and" => return self.token(Token::And, length),
            "or" => return self.token(Token::Or, length),
            "not" => return self.token(Token::Not, length),
            "contains" => return self.contains(length),
            "to" => {
                let message = "`to` is a connector of dtSearch, for ranges, which are written 12~~24 here; to search the word, quote it";
                return self.refuse(length, message, Some("\"to\""));
            }
            "xfirstword" | "xlastword" => {
                let message = format!(
                    "`{lower}` (the beginning or end of a document) is not built: a conversation is many messages; leave it out, or search the first words themselves"
                );
                return self.refuse(length, message, None);
            }
            "andany" => {
                return self.andany(length);
            }
            "&&" | "&" | "||" | "|" => {
                let (name, token) = if lower.starts_with('&') { ("and", Token::And) } else { ("or", Token::Or) };
                self.complaints.add(
                    self.at..self.at + length,
                    format!("`{word}` is not an operator of dtSearch; write {name}"),
                    Some(name),
                );
                return self.token(token, length);
            }
            _ => {}
        }
        if FUNCTIONS.contains(&lower.as_str()) && self.text[self.at + length..].starts_with('(') {
            return self.function(&lower, length);
        }
        if self.proximity(&lower, length) || self.within(&lower) || self.prefix(&word) {
            return;
        }
        self.token(Token::Word(word), length);
    }

    /// `a andany b` finds what `a` finds: the cure leaves out the rest, up to the end of the parentheses.
    fn andany(&mut self, length: usize) {
        let message = "`andany` is not built: it only ranks; leave it out with what follows it";
        let start = self.at;
        let after = &self.text[start + length..];
        let (from, to) = match self.tokens.last() {
            Some((Token::Word(_) | Token::Quoted(_) | Token::Value(_) | Token::Close | Token::Saved(_), before)) => {
                let mut depth = 0_usize;
                let closes = |&(_, c): &(usize, char)| {
                    depth += usize::from(c == '(');
                    let closes = c == ')' && depth == 0;
                    depth = depth.saturating_sub(usize::from(c == ')'));
                    closes
                };
                let end = after.char_indices().find(closes).map_or(after.len(), |(at, _)| at);
                (before.end, start + length + end)
            }
            _ => (start, start + length + (after.len() - after.trim_start_matches(is_space).len())),
        };
        self.complaints.add_with_edit(start..start + length, message, Some((from..to, "")));
        self.token(Token::Bad, length);
    }

    /// `within 5 words of`, as people write it who know no operator.
    fn within(&mut self, lower: &str) -> bool {
        if lower != "within" {
            return false;
        }
        let mut at = self.at + lower.len();
        let mut next = || {
            let rest = &self.text[at..];
            let word = rest.trim_start_matches(is_space);
            let word = &word[..word.find(ends_word).unwrap_or(word.len())];
            at += rest.len() - rest.trim_start_matches(is_space).len() + word.len();
            word.to_ascii_lowercase()
        };
        let (distance, words, of) = (next(), next(), next());
        let is_distance = distance.parse::<u32>().is_ok_and(|distance| distance > 0);
        if !(is_distance && matches!(words.as_str(), "word" | "words") && of == "of") {
            return false;
        }
        let message = format!("`within {distance} words of` is not an operator of dtSearch; write w/{distance}");
        self.complaints.add(self.at..at, message, Some(&format!("w/{distance}")));
        self.token(Token::Near { ordered: false, distance: 1 }, at - self.at);
        true
    }

    /// `date(…)` and its like, up to the closing parenthesis.
    fn function(&mut self, name: &str, length: usize) {
        let rest = &self.text[self.at..];
        let whole = rest.find(')').map_or(length, |end| end + 1);
        let cure = match name {
            "date" => "for when a conversation took place write start:2016-07-01..2016-07-31",
            "mail" => "for one address write it out, for all of a host its name: example.org",
            "creditcard" => "for one number type its digits, which are found however they are spaced",
            _ => "use our fields: start:, skill:, agent_name:",
        };
        self.refuse(whole, format!("`{name}()` (a recogniser) is not built; {cure}"), None);
    }

    fn proximity(&mut self, lower: &str, length: usize) -> bool {
        let Some((name, distance)) = lower.split_once('/') else { return false };
        let digits = distance.bytes().all(|b| b.is_ascii_digit());
        let at = self.at..self.at + length;
        let number = &distance[..distance.bytes().take_while(u8::is_ascii_digit).count()];
        let (message, cure) = match name {
            "" if digits && !distance.is_empty() => {
                (format!("`{lower}` is not an operator of dtSearch; write w{lower}"), format!("w{lower}"))
            }
            "" if matches!(distance, "s" | "p") => {
                let unit = if distance == "s" { "sentence" } else { "paragraph" };
                let words = if distance == "s" { "w/15" } else { "w/50" };
                (format!("`{lower}` (same {unit}) is not built; write a number of words: {words}"), words.to_owned())
            }
            "w" | "pre" if !digits && number.parse::<u32>().is_ok_and(|number| number > 0) => {
                let spaced =
                    format!("{name}/{number} {}", &self.text[at.start + name.len() + 1 + number.len()..at.end]);
                (format!("`{lower}`: a space is missing behind the distance; to search the text, quote it"), spaced)
            }
            "w" | "pre" if distance.is_empty() => {
                ("the distance is missing; write it without a space: w/5".to_owned(), "w/5".to_owned())
            }
            "w" | "pre" if !digits => (
                format!("`{lower}`: the distance has to be a number of words, as in w/5; to search the text, quote it"),
                "w/5".to_owned(),
            ),
            "w" | "pre" => match distance.parse::<u32>() {
                Ok(distance) if distance > 0 => {
                    self.token(Token::Near { ordered: name == "pre", distance }, length);
                    return true;
                }
                Ok(_) => {
                    ("two words cannot stand in one place; adjacent words are w/1".to_owned(), format!("{name}/1"))
                }
                Err(_) => (format!("`{distance}` is too far to count"), format!("{name}/1000")),
            },
            "post" | "near" | "n" | "within" | "adj" | "turns" if digits && !distance.is_empty() => {
                let why = match name {
                    "post" => "swap the two sides and write pre/n",
                    "turns" => "turns/n belongs to our own syntax (--syntax chatvault)",
                    _ => "write w/n, or pre/n for this order",
                };
                (format!("`{name}/n` is not an operator of dtSearch; {why}"), format!("w/{distance}"))
            }
            _ => return false,
        };
        self.complaints.add(at, message, Some(&cure));
        self.token(Token::Near { ordered: false, distance: 1 }, length);
        true
    }

    /// `name contains`: the name was read as a word.
    fn contains(&mut self, length: usize) {
        if let Some((Token::Word(name), span)) = self.tokens.last().cloned() {
            self.tokens.pop();
            if let Some(prefix) = Prefix::named(&name) {
                self.tokens.push((Token::Prefix(prefix), span.start..self.at + length));
                self.at += length;
                return;
            }
            self.unknown(&name, span);
            self.at += length;
            // What follows is checked as text.
            return;
        }
        let message = "`contains` has no field before it; to search the word, quote it";
        self.refuse(length, message, Some("\"contains\""));
    }

    fn unknown(&mut self, name: &str, span: Range<usize>) {
        let near = nearest(name, names());
        let meant = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let message = format!("`{name}` is not a field{meant} The fields are those of our own syntax");
        let place = span.clone();
        self.complaints.add_with_edit(span, message, near.map(|near| (place, near)));
    }

    /// `name::value`, `name:value`, and the weight `word:5`. False where the colon belongs to the text.
    fn prefix(&mut self, word: &str) -> bool {
        let Some((name, value)) = word.split_once(':') else { return false };
        if value.starts_with("//") || !name.contains(|c: char| c.is_alphabetic()) {
            return false;
        }
        if is_saved(name) {
            let saved = value.to_owned();
            if is_name(&saved) {
                self.token(Token::Saved(saved), word.len());
            } else {
                let message = format!("`saved:` is followed by the name of a saved search: {NAME_RULE}");
                self.refuse(word.len(), message, None);
            }
            return true;
        }
        let colons = if value.starts_with(':') { 2 } else { 1 };
        let value = &value[colons - 1..];
        if let Some(prefix) = Prefix::named(name) {
            let direct =
                value.is_empty() && self.text[self.at + word.len()..].starts_with(|c| !is_space(c) && c != ')');
            if value.is_empty() && !direct && colons == 1 {
                let message = format!("`{name}:` is followed by a space; write `{name}:: value` or `{name}:value`");
                self.refuse(word.len(), message, Some(&format!("{name}::")));
                return true;
            }
            self.token(Token::Prefix(prefix), name.len() + colons);
            return true;
        }
        if colons == 1 && !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
            let message = format!(
                "`:{value}` is a weight, which only ranks; a conversation matches or it does not. To search the text `{word}`, quote it"
            );
            self.refuse(word.len(), message, Some(name));
            return true;
        }
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if colons == 1 && (!is_name || value.is_empty() || nearest(name, names()).is_none()) {
            return false;
        }
        self.unknown(name, self.at..self.at + name.len());
        self.token(Token::Bad, word.len());
        true
    }
}
