//! A regular expression of the query → what one folded word has to look like, or why no word ever does.

use super::words::WordPattern;
use crate::index::tokenizer::fold;
use regex::Regex;

/// Longest compiled regular expression, bytes: a hostile one must not take the memory.
const MAX_EXPRESSION_BYTES: usize = 1 << 20;

/// A regular expression on one whole word. Errors are sentences for the user.
pub(super) fn regular_expression(expression: &str) -> Result<WordPattern, String> {
    // By itself first: what is not balanced would otherwise break out of the anchors around it.
    compiled(expression)?;
    refuse_impossible(expression)?;
    // Words are folded, so the letters of the expression must be too; escapes such as \W must not, and classes cannot.
    let mut folded = String::with_capacity(expression.len());
    let mut literal = String::new();
    let (mut escaped, mut in_class) = (false, false);
    for c in expression.chars() {
        if escaped && matches!(c, 'p' | 'P') {
            return Err(
                "Unicode classes (\\p) are not supported: words are compared in lower case, without accents".into()
            );
        }
        if in_class && !c.is_ascii() {
            return Err(format!(
                "`{c}` inside [ ] is not supported: words are compared without accents; write (a|b) instead"
            ));
        }
        in_class = match c {
            '[' if !escaped => true,
            ']' if !escaped => false,
            _ => in_class,
        };
        if escaped || c == '\\' {
            folded.push_str(&fold(&std::mem::take(&mut literal)));
            folded.push(c);
            escaped = !escaped;
        } else {
            literal.push(c);
        }
    }
    folded.push_str(&fold(&literal));
    let expression = compiled(&format!("^(?:{folded})$"))?;
    Ok(WordPattern::Matching { expression, prefix: String::new() })
}

/// Compiles within the bound of memory.
pub(super) fn compiled(expression: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(expression).size_limit(MAX_EXPRESSION_BYTES).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large; use fewer repetitions".into(),
        other => format!("not a regular expression: {}", other.to_string().lines().last().unwrap_or_default()),
    })
}

/// Refuses what can match no word at all, so that nobody takes the empty answer for a fact.
fn refuse_impossible(expression: &str) -> Result<(), String> {
    if expression.contains("[:upper:]") {
        return Err("`[:upper:]` can match nothing: words are compared in lower case; write [:alpha:]".into());
    }
    let signs: Vec<char> = expression.chars().collect();
    let (mut at, mut depth, mut in_class) = (0, 0_usize, false);
    let mut never = None;
    while let Some(&c) = signs.get(at) {
        let next = signs.get(at + 1).copied();
        match c {
            '\\' => {
                if let Some(letter @ ('x' | 'u' | 'U')) = next {
                    return Err(format!(
                        "character codes (\\{letter}) are not supported: words are compared folded; write the character itself"
                    ));
                }
                let is_gap = next.is_some_and(|next| next == 's' || ends_words(next));
                if is_gap && depth == 0 && !in_class && !is_optional(&signs[(at + 2).min(signs.len())..]) {
                    never = never.or(next.map(|next| if next == 's' { "\\s".into() } else { next.to_string() }));
                }
                at += 1;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            _ if in_class => {}
            // One of two branches may match although the other cannot.
            '|' if depth == 0 => return Ok(()),
            '(' => {
                depth += 1;
                if next == Some('?') {
                    while signs.get(at).is_some_and(|c| !matches!(c, ':' | ')' | '>')) {
                        at += 1;
                    }
                    if signs.get(at) == Some(&')') {
                        depth -= 1;
                    }
                }
            }
            ')' => depth = depth.saturating_sub(1),
            '{' => at += signs[at..].iter().position(|c| *c == '}').unwrap_or(0),
            literal if depth == 0 && ends_words(literal) && !is_optional(&signs[at + 1..]) => {
                never = never.or(Some(literal.to_string()));
            }
            _ => {}
        }
        at += 1;
    }
    match never {
        Some(sign) => Err(format!(
            "`{sign}` stands in no word, so this can match nothing: a regular expression matches one whole word; put pre/1 between two of them"
        )),
        None => Ok(()),
    }
}

/// Signs at which every word ends. The signs of expressions are not among them.
fn ends_words(c: char) -> bool {
    matches!(c, '-' | '@' | '#' | '/' | '&' | '%' | '!' | '~' | '=' | '<' | '>' | '`')
}

fn is_optional(rest: &[char]) -> bool {
    matches!(rest, ['?' | '*', ..] | ['{', '0', ..] | ['{', ',', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_word_can_match_is_refused_by_name() {
        for (expression, words) in [
            (r"\d{4}-\d{4}", "`-` stands in no word"),
            (r"a\-b", "`-` stands in no word"),
            (r"(?i-u:x)#", "`#` stands in no word"),
            (r"a\sb", "`\\s` stands in no word"),
            ("[[:upper:]]+", "`[:upper:]` can match nothing"),
            (r"\x41", "character codes (\\x)"),
            (r"[\u{41}]", "character codes (\\u)"),
        ] {
            let error = regular_expression(expression).map(|_| expression).expect_err(expression);
            assert!(error.starts_with(words), "{expression}: {error}");
        }
    }

    #[test]
    fn what_some_word_matches_is_not() {
        for (expression, word) in [
            ("a-?b", "ab"),
            ("a-{0,1}b", "ab"),
            ("(a-)?b", "b"),
            ("a-b|ab", "ab"),
            ("[a-c]{2}", "ab"),
            (r"(?i-u:x)y", "xy"),
            (r"\d+\.\d{2}", "12.50"),
            (r"[\d\-]+", "12"),
            (r"o'brien", "o'brien"),
        ] {
            assert!(regular_expression(expression).unwrap().matches(word), "{expression}");
        }
    }
}
