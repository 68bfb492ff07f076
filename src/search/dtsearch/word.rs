//! One word of dtSearch with its signs → a pattern, or a literal to be joined with its neighbours to a phrase.

use super::super::complaint::Fault;
use super::super::pattern::{self, is_address, searchable};
use super::super::query::TextPattern;
use super::super::stem::word_form;
use crate::index::tokenizer::fold_words;

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Atom {
    /// As typed, without signs.
    Literal(String),
    /// With signs.
    Pattern(TextPattern),
}

/// The most `%` a word may have: what our own fuzzy search goes to.
const MOST_DIFFERENCES: usize = 2;

/// Reads one word. Several atoms where it is cut at punctuation (`ERR-===`).
pub(super) fn atoms(typed: &str, is_quoted: bool) -> Result<Vec<Atom>, Fault> {
    if is_address(typed) {
        return Ok(vec![Atom::Literal(typed.to_owned())]);
    }
    if let Some(expression) = typed.strip_prefix("##") {
        return Ok(vec![Atom::Pattern(pattern::regex(expression)?)]);
    }
    refuse_unbuilt(typed, is_quoted)?;
    if let Some((low, high)) = typed.split_once("~~") {
        let number = word_form(&format!("number:{low}..{high}"));
        return match number {
            Some(Ok(number)) => Ok(vec![Atom::Pattern(number)]),
            _ => Err(Fault::new(format!(
                "`{typed}` is a range of whole numbers, 12~~24: at most 18 digits, the smaller one first"
            ))),
        };
    }
    let signs: Vec<char> = ['*', '?', '=', '%', '~'].into_iter().filter(|sign| typed.contains(*sign)).collect();
    if let Some(word) = typed.strip_suffix('~') {
        if signs.len() > 1 || fold_words(word).len() != 1 {
            return Err(Fault::new(format!(
                "`{typed}`: stemming (`~`) takes one plain word, without wildcards or other signs"
            ))
            .cured_by(typed.trim_end_matches('~')));
        }
        return pattern(&format!("stem:{word}"), typed);
    }
    if signs.contains(&'%') {
        return fuzzy(typed, signs.len());
    }
    if signs.contains(&'=') {
        return digits(typed);
    }
    if signs.contains(&'*') || signs.contains(&'?') {
        return pattern(typed, typed);
    }
    if !searchable(typed) {
        return Err(Fault::new(format!("`{typed}` holds no letter or digit, so it can match nothing; leave it out"))
            .cured_by(""));
    }
    Ok(vec![Atom::Literal(typed.to_owned())])
}

/// `-pear` and `+pear` as operators; what stands before them decides whether an `and` belongs there.
pub(super) fn signed(typed: &str) -> String {
    match typed.strip_prefix('-') {
        Some(word) => format!("not {word}"),
        None => typed.trim_start_matches('+').to_owned(),
    }
}

/// What dtSearch has and this does not, and what other languages write.
fn refuse_unbuilt(typed: &str, is_quoted: bool) -> Result<(), Fault> {
    let bare = |sign: char| typed.trim_matches(sign).to_owned();
    if typed.starts_with('#') && typed.len() > 1 {
        return Err(Fault::new("`#` (sounds like) is not built; write the spellings with or, or a fuzzy word: sm%ith")
            .cured_by(bare('#')));
    }
    if typed.ends_with('&') && searchable(typed) {
        return Err(Fault::new("`&` (synonyms) is not built: there is no thesaurus; write the words with or")
            .cured_by(bare('&')));
    }
    let mut signs = typed.chars();
    if let (Some(sign @ ('-' | '+')), Some(next), false) = (signs.next(), signs.next(), is_quoted)
        && next.is_alphabetic()
    {
        let cure = if sign == '-' { "and not word" } else { "and word" };
        return Err(Fault::new(format!("`{sign}` belongs to dtSearch's \"any words\" search; write `{cure}`"))
            .cured_by(signed(typed)));
    }
    if let Some((word, letters)) = typed.rsplit_once('~')
        && !word.ends_with('~')
        && !letters.is_empty()
        && letters.bytes().all(|b| b.is_ascii_digit())
        && searchable(word)
    {
        let first: String = word.chars().take(1).collect();
        let cure = format!("{first}%{}", &word[first.len()..]);
        return Err(Fault::new(format!("`~{letters}` is our own syntax; in dtSearch `~` is stemming and `%` fuzzy"))
            .cured_by(cure));
    }
    if let Some((word, power)) = typed.rsplit_once('^')
        && !word.is_empty()
        && power.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(Fault::new(format!("`^{power}` is no sign of dtSearch; a conversation matches or it does not"))
            .cured_by(word));
    }
    Ok(())
}

/// A pattern of our own syntax, whose faults are told in terms of what was typed.
fn pattern(ours: &str, typed: &str) -> Result<Vec<Atom>, Fault> {
    match pattern::bare(ours) {
        Ok(pattern) => Ok(vec![Atom::Pattern(pattern)]),
        Err(fault) if ours == typed => Err(Fault { replacement: None, ..fault }),
        Err(_) => Err(Fault::new(format!("`{typed}` holds signs that do not go together"))),
    }
}

fn fuzzy(typed: &str, kinds: usize) -> Result<Vec<Atom>, Fault> {
    let word = typed.replace('%', "");
    let differences = typed.len() - word.len();
    if kinds > 1 || fold_words(&word).len() != 1 || typed.contains('\\') {
        return Err(
            Fault::new(format!("`{typed}`: a fuzzy word (`%`) is one plain word, without other signs")).cured_by(word)
        );
    }
    if !word.contains(char::is_alphabetic) {
        return Err(Fault::new(format!(
            "`%` makes a word fuzzy, and `{word}` has no letters; the percent sign itself is not searched"
        ))
        .cured_by(word));
    }
    if fold_words(&word).iter().any(|folded| folded.chars().count() <= differences) {
        return Err(Fault::new(format!(
            "`{typed}` would match every word of that length: a fuzzy word has to be longer than the letters that may differ"
        ))
        .cured_by(word));
    }
    if differences > MOST_DIFFERENCES {
        let mut fewer = typed.to_owned();
        for _ in MOST_DIFFERENCES..differences {
            fewer = match fewer.rfind('%') {
                Some(at) => [&fewer[..at], &fewer[at + 1..]].concat(),
                None => fewer,
            };
        }
        return Err(Fault::new(format!(
            "`{typed}` allows {differences} differences; at most {MOST_DIFFERENCES} are built"
        ))
        .cured_by(fewer));
    }
    let kept = typed.split('%').next().map_or(0, |head| head.chars().count());
    let kept = if kept > 0 { format!("+{kept}") } else { String::new() };
    pattern(&format!("{word}~{differences}{kept}"), typed)
}

/// `N===`: a digit for each `=`. Cut at punctuation, as the words of a transcript are.
fn digits(typed: &str) -> Result<Vec<Atom>, Fault> {
    let is_sign = |c: char| matches!(c, '=' | '*' | '?');
    // Stops and commas between digits are inside a word there: 192.168.1.===.
    let is_number = typed.chars().all(|c| c.is_ascii_digit() || is_sign(c) || matches!(c, '.' | ','));
    let is_gap = |c: char| !c.is_alphanumeric() && !is_sign(c) && !is_number;
    let typed = typed.trim_matches(['.', ',']);
    let pieces = typed.split(is_gap).filter(|piece| !piece.is_empty());
    let mut atoms = Vec::new();
    for piece in pieces {
        if !piece.contains('=') {
            atoms.push(match piece.contains(is_sign) {
                true => Atom::Pattern(pattern::bare(piece)?),
                false => Atom::Literal(piece.to_owned()),
            });
            continue;
        }
        let mut expression = String::new();
        for c in piece.chars() {
            match c {
                '=' => expression.push_str("\\d"),
                '*' => expression.push_str(".*"),
                '?' => expression.push('.'),
                letter => expression.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
            }
        }
        atoms.push(Atom::Pattern(pattern::regex(&expression)?));
    }
    Ok(atoms)
}
