//! Forms of other search languages that this one does not have (Lucene, dtSearch, web search), recognised while
//! lexing so that each is refused by its own name with what to write instead, never dropped and never taken for text.

use super::lex::{Lexer, Token};
use super::pattern::{QUOTES, searchable};

impl Lexer<'_, '_> {
    /// `&&`, `||` between operands: complains, but goes on as if the right operator stood there.
    pub(super) fn refuse_joint(&mut self, word: &str) -> bool {
        let (name, token) = match word {
            "&&" | "&" => ("AND", Token::And),
            "||" | "|" => ("OR", Token::Or),
            _ => return false,
        };
        let message = format!("`{word}` is not an operator here; write {name}");
        self.complaints.add(self.at..self.at + word.len(), message, Some(name));
        self.token(token, word.len());
        true
    }

    /// `!a`, `+a`, and the dashes that word processors make of a minus. Something follows directly.
    pub(super) fn refuse_sign(&mut self, sign: char) -> bool {
        if !matches!(sign, '!' | '+' | '–' | '—' | '−') {
            return false;
        }
        let rest = &self.text[self.at..];
        let after = rest.trim_start_matches(sign);
        let run = rest.len() - after.len();
        // `!!!` and `+1-555-1234` are not operators, whatever else they are.
        let next = after.chars().next().filter(|c| !c.is_whitespace() && *c != ')');
        let (message, replacement) = match (sign, next) {
            (_, None) => return false,
            ('+', Some(digit)) if digit.is_ascii_digit() => return false,
            ('+', _) => ("`+` is not needed: every word has to be there anyway".to_owned(), ""),
            ('!', _) => ("`!` is not an operator here; write NOT".to_owned(), "NOT "),
            _ => (format!("`{sign}` is a dash; to leave something out write a plain minus"), "-"),
        };
        self.complaints.add(self.at..self.at + run, message, Some(replacement));
        self.at += run;
        true
    }

    /// What other languages hang on a phrase: slop, boost, the second half of a range.
    pub(super) fn after_quoted(&mut self, start: usize) {
        let tail = self.rest_of_word();
        if tail.is_empty() {
            return;
        }
        let length = tail.len();
        let phrase = self.text[start..self.at].to_owned();
        let whole = start..self.at + length;
        if let Some(slop) = tail.strip_prefix('~') {
            let words: Vec<&str> = phrase.trim_matches(QUOTES).split_whitespace().collect();
            let cure = match (&words[..], slop.parse::<u32>()) {
                ([first, second], Ok(slop)) => Some(format!("({first} w/{} {second})", slop.saturating_add(1))),
                _ => None,
            };
            let message =
                "`~` after a phrase (slop) is not part of the language; write w/n (any order) or pre/n (in order)";
            self.complaints.add(whole, message, cure.as_deref());
        } else if tail.starts_with('^') {
            let message = "boosting (`^`) is not part of the language: a conversation matches or it does not";
            self.complaints.add(whole, message, Some(&phrase));
        } else if tail.starts_with("..") {
            let message = "a range with a quoted end is quoted as a whole: \"2016-07-01 10:00..2016-07-01 11:00\"";
            self.complaints.add(whole, message, None);
        } else if searchable(tail) {
            let message = "a word directly after a quote; put a space between them";
            let spaced = format!("{phrase} {tail}");
            self.complaints.add(whole, message, Some(&spaced));
        } else {
            let message = format!("`{tail}` after the quote means nothing here");
            self.complaints.add(whole, message, Some(&phrase));
        }
        self.at += length;
    }

    /// `start:[2016 TO 2017]`, the range of Lucene.
    pub(super) fn bracket_range(&mut self, rest: &str, ranges: bool) {
        let length = rest.find([']', '}']).map_or(self.rest_of_word().len(), |end| end + 1);
        let inside = rest[1..length].trim_end_matches([']', '}']);
        let ends: Vec<&str> = inside.split_whitespace().collect();
        let cure = match ends[..] {
            [low, "TO", high] if ranges => {
                Some(format!("{low}..{high}").replace('*', "")).filter(|range| range != "..")
            }
            _ => None,
        };
        let message = "`[a TO b]` is not part of the language; a range is written a..b, an open one >=a or <b";
        self.refuse(length, message, cure.as_deref());
    }

    /// `w/5`, `pre/3`, `turns/2`, and the spellings of other languages.
    pub(super) fn proximity(&mut self, word: &str) -> bool {
        let length = word.len();
        if matches!(word, "NEAR" | "ADJ" | "SAME" | "WITHIN") {
            let message = format!("`{word}` needs a distance; write w/5 (any order) or pre/5 (in order)");
            self.refuse_near(length, message, "w/5");
            return true;
        }
        let Some((name, distance)) = word.split_once('/') else {
            return false;
        };
        let name = name.to_ascii_lowercase();
        let ours = matches!(name.as_str(), "w" | "pre" | "turns");
        let digits = !distance.is_empty() && distance.bytes().all(|b| b.is_ascii_digit());
        let foreign = match name.as_str() {
            "near" | "n" | "within" | "adj" | "onear" | "p" | "post" => digits,
            _ => false,
        };
        if foreign {
            let cure = if matches!(name.as_str(), "onear" | "p") { "pre" } else { "w" };
            let message = match name.as_str() {
                "post" => "`post/n` is not part of the language; swap the two sides and write pre/n".to_owned(),
                _ => format!("`{word}` is not an operator here; write {cure}/{distance}"),
            };
            self.refuse_near(length, message, &format!("{cure}/{distance}"));
            return true;
        }
        if !ours {
            return false;
        }
        if !digits {
            let (message, cure) = match distance.to_ascii_lowercase().as_str() {
                "s" => ("`w/s` (same sentence) is not part of the language; write a number of words: w/15", "w/15"),
                "p" | "par" => (
                    "`w/p` (same paragraph) is not part of the language; for the same message write turns/0",
                    "turns/0",
                ),
                "" => ("the distance is missing; write it without a space: w/5, pre/5, turns/5", "w/5"),
                _ => ("the distance has to be a number: w/5, pre/5, turns/5; to search the text, quote it", "w/5"),
            };
            self.refuse_near(length, message, cure);
            return true;
        }
        match distance.parse::<u32>() {
            Err(_) => self.refuse_near(length, format!("`{distance}` is too far to count"), &format!("{name}/1000")),
            Ok(0) if name != "turns" => {
                let message =
                    "two words cannot stand in one place; adjacent words are w/1, the same message is turns/0";
                self.refuse_near(length, message, &format!("{name}/1"));
            }
            Ok(distance) if name == "turns" => self.token(Token::Turns { distance }, length),
            Ok(distance) => self.token(Token::Near { ordered: name == "pre", distance }, length),
        }
        true
    }

    /// Complains about a proximity operator, and goes on as if a right one stood there.
    fn refuse_near(&mut self, length: usize, message: impl Into<String>, replacement: &str) {
        self.complaints.add(self.at..self.at + length, message, Some(replacement));
        self.token(Token::Near { ordered: false, distance: 1 }, length);
    }
}
