//! One text as typed → a [`TextPattern`], or the reason why not. Used for transcript text and for names.
//!
//! Between quotes everything is literal, so that quoting is the cure for every sign that means something elsewhere.
//! A wildcard between quotes would then be dropped without a word; it is refused, `\*` and `\?` being the signs
//! themselves. Only a `*` that touches a word, or a `?` inside one, looks like a wildcard: `"are you sure?"` is fine.

use super::complaint::Fault;
use super::query::TextPattern;
use super::stem::word_form;
use crate::index::tokenizer::fold_words;

/// Quotation marks that open a phrase. A plain `"` is closed by `"` only, the others by any of these.
pub(super) const QUOTES: &[char] = &['"', '“', '”', '„', '‟', '«', '»'];

/// Whether a text can be found at all: punctuation alone is in no index. Emoji and symbols are left to the index.
pub(super) fn searchable(text: &str) -> bool {
    text.chars().any(|c| {
        let punctuation = c.is_ascii_punctuation()
            || matches!(c, '¡' | '¿' | '«' | '»' | '·' | '§' | '¶' | '´' | '¨' | '¯' | '¸')
            || matches!(c, '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}');
        // Among the signs of CJK are letters and numerals: 々 〇 〡.
        let punctuation = punctuation && !c.is_alphanumeric();
        !punctuation && !c.is_whitespace() && !c.is_control()
    })
}

/// The text as a literal between quotes, parsing back to exactly this text.
pub(super) fn quote(text: &str) -> String {
    let signs: Vec<char> = text.chars().collect();
    let mut quoted = String::from("\"");
    for (at, &c) in signs.iter().enumerate() {
        if c == '"' || c == '\\' || looks_like_wildcard(&signs, at) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn looks_like_wildcard(signs: &[char], at: usize) -> bool {
    let word = |at: Option<usize>| at.and_then(|at| signs.get(at)).is_some_and(|c| c.is_alphanumeric());
    let (before, after) = (word(at.checked_sub(1)), word(Some(at + 1)));
    match signs[at] {
        '*' => before || after,
        '?' => before && after,
        _ => false,
    }
}

/// Resolves the escapes of a quoted text: `\"`, `\\`, `\*`, `\?`. Other backslashes are themselves (`C:\new`).
pub(super) fn unescape(raw: &str) -> String {
    pieces(raw).into_iter().map(|(c, _)| c).collect()
}

/// The characters meant, and whether each was escaped.
fn pieces(raw: &str) -> Vec<(char, bool)> {
    let mut pieces = Vec::with_capacity(raw.len());
    let mut signs = raw.chars().peekable();
    while let Some(c) = signs.next() {
        let escaped = signs.peek().copied().filter(|next| matches!(next, '\\' | '*' | '?') || QUOTES.contains(next));
        match escaped {
            Some(next) if c == '\\' => {
                signs.next();
                pieces.push((next, true));
            }
            _ => pieces.push((c, false)),
        }
    }
    pieces
}

/// What stands between quotes, escapes not yet resolved.
pub(super) fn quoted(raw: &str) -> Result<TextPattern, Fault> {
    let pieces = pieces(raw);
    let signs: Vec<char> = pieces.iter().map(|(c, _)| *c).collect();
    let text: String = signs.iter().collect();
    if !searchable(&text) {
        return Err(Fault::new(format!("the phrase \"{text}\" holds no letter or digit, so it can match nothing")));
    }
    // An address in quotes keeps its `?`, as one without quotes does.
    let mut in_address = Vec::with_capacity(signs.len());
    for word in text.split_inclusive(char::is_whitespace) {
        in_address.resize(in_address.len() + word.chars().count(), is_address(word));
    }
    let is_wildcard = |at: usize| looks_like_wildcard(&signs, at) && !(signs[at] == '?' && in_address[at]);
    let wildcard = (0..signs.len()).find(|&at| !pieces[at].1 && is_wildcard(at));
    if let Some(at) = wildcard {
        let sign = signs[at];
        let words: Vec<&str> = text.split_whitespace().collect();
        let fault = Fault::new(format!(
            "`{sign}` between quotes is not a wildcard; put the words outside with pre/1 between them, or write `\\{sign}` for the sign itself"
        ));
        return Err(match words[..] {
            [one] if bare(one).is_ok() => fault.cured_by(one),
            [one, two] if bare(one).is_ok() && bare(two).is_ok() => fault.cured_by(format!("({one} pre/1 {two})")),
            _ => fault.cured_by(quote(&text)),
        });
    }
    Ok(TextPattern::Phrase(text))
}

/// What stands between slashes, `\/` already resolved.
pub(super) fn regex(expression: &str) -> Result<TextPattern, Fault> {
    if expression.is_empty() {
        return Err(Fault::new(
            "`//` is an empty regular expression; to search the text `//`, add a word and quote it",
        ));
    }
    if expression.contains(char::is_whitespace) {
        return Err(Fault::new(
            "a regular expression matches one whole word, so one with a space in it can match nothing; put pre/1 between two of them",
        ));
    }
    Ok(TextPattern::Regex(expression.to_owned()))
}

/// Whether the text is an address (`https://…`), in which `?` is itself.
pub(super) fn is_address(typed: &str) -> bool {
    typed.contains("://")
}

/// A word without quotes, with its wildcards and `~n`, or `stem:word`.
pub(super) fn bare(typed: &str) -> Result<TextPattern, Fault> {
    if let Some(form) = word_form(typed) {
        return form;
    }
    if typed.contains('\\') {
        return Err(
            Fault::new("a backslash has a meaning only inside quotes and /…/; quote the text").cured_by(quote(typed))
        );
    }
    if let Some((word, power)) = typed.rsplit_once('^')
        && !word.is_empty()
        && is_decimal(power)
    {
        return Err(Fault::new(format!(
            "boosting (`^{power}`) is not part of the language: a conversation matches or it does not"
        ))
        .cured_by(word));
    }
    if let Some((word, letters)) = typed.rsplit_once('~')
        && !word.is_empty()
        && (letters.is_empty() || is_decimal(&letters.replacen('+', "", 1)))
    {
        return fuzzy(word, letters);
    }
    if !searchable(typed) {
        return Err(no_letters(typed));
    }
    if typed.contains('*') || typed.contains('?') && !is_address(typed) {
        return Ok(TextPattern::Wildcard(typed.to_owned()));
    }
    if typed.contains('%') && typed.chars().all(|c| c == '%' || c.is_alphabetic()) && !typed.ends_with('%') {
        let word = typed.replace('%', "");
        let distance = (typed.len() - word.len()).min(2);
        return Err(Fault::new(format!(
            "`%` is fuzzy search in dtSearch; here it is `{word}~{distance}`; to search the text `{typed}`, quote it"
        ))
        .cured_by(format!("{word}~{distance}")));
    }
    Ok(TextPattern::Word(typed.to_owned()))
}

fn no_letters(typed: &str) -> Fault {
    if typed.contains(['*', '?']) {
        return Fault::new(format!(
            "`{typed}` has no letter or digit beside its wildcards; `*` alone matches every conversation"
        ));
    }
    Fault::new(format!("`{typed}` holds no letter or digit, so it can match nothing; leave it out"))
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn fuzzy(word: &str, letters: &str) -> Result<TextPattern, Fault> {
    if word.ends_with('~') {
        let (low, high) = (word.trim_end_matches('~'), letters);
        let cure = format!("number:{low}..{high}");
        let fault = Fault::new(format!("`{low}~~{high}` is dtSearch's range of numbers; here it is `{cure}`"));
        return Err(if matches!(word_form(&cure), Some(Ok(_))) { fault.cured_by(cure) } else { fault });
    }
    if !searchable(word) {
        return Err(no_letters(word));
    }
    if word.contains(['*', '?']) {
        return Err(Fault::new("a word is either fuzzy (`~1`) or has wildcards, not both").cured_by(word));
    }
    let (letters, kept) = letters.split_once('+').unwrap_or((letters, "0"));
    let Some(kept) = kept.parse().ok().filter(|kept| *kept <= word.chars().count()) else {
        let message = format!("`+{kept}` is how many letters at the beginning have to stand; `{word}` has fewer");
        return Err(Fault::new(message).cured_by(format!("{word}~{letters}")));
    };
    let is_too_short = |distance| fold_words(word).into_iter().find(|piece| piece.chars().count() <= distance);
    match letters {
        "1" | "2" => {
            let distance = if letters == "1" { 1 } else { 2 };
            match is_too_short(usize::from(distance)) {
                None => Ok(TextPattern::Fuzzy { word: word.to_owned(), distance, kept }),
                Some(short) => {
                    let fault = Fault::new(format!(
                        "`~{letters}` on `{short}` would match every word of that length: a fuzzy word has to be longer than the letters that may differ"
                    ));
                    Err(fault.cured_by(if bare(word).is_ok() { word.to_owned() } else { quote(word) }))
                }
            }
        }
        // Lucene reads `~` as two letters, dtSearch as stemming: guessing would be wrong for one of them.
        "" => Err(Fault::new(format!(
            "`~` needs the number of letters that may differ, 1 or 2; for word endings write `{word}*`"
        ))
        .cured_by(format!("{word}~1"))),
        "0" => Err(Fault::new("`~0` allows no difference at all; write the word alone").cured_by(word)),
        _ => {
            Err(Fault::new(format!("`~{letters}` is too far: 1 or 2 letters may differ")).cured_by(format!("{word}~2")))
        }
    }
}
