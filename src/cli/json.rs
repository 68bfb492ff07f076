//! JSON that does no harm where it is looked at: on a terminal, in an editor, in a diff.

/// JSON text in which every character that a terminal obeys, or that reorders or hides what stands beside it, is a `\u` escape: the
/// controls U+007F to U+009F, the marks of direction, and the line separators. It says the same to every reader of JSON.
///
/// Outside of strings JSON has none of these characters, so the text need not be parsed.
pub(super) fn harmless(json: String) -> String {
    if !json.contains(is_harmful) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match is_harmful(c) {
            // All of them are below U+10000: four digits.
            true => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => safe.push(c),
        }
    }
    safe
}

fn is_harmful(c: char) -> bool {
    matches!(c,
        '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn it_says_the_same_and_moves_no_cursor() {
        let text = "a\u{9b}31mb \u{7f}\u{85}\u{200f}\u{202e}c\u{2069}\u{2028} \u{1b}[0m é 退款 \\u202e 👩\u{200d}👧";
        let document = json!({ text: [text] });
        for written in [document.to_string(), format!("{document:#}")] {
            let safe = harmless(written);
            assert!(!safe.contains(|c: char| is_harmful(c) || c.is_control() && c != '\n'), "{safe:?}");
            assert!(safe.contains(r"\u009b31mb") && safe.contains("退款") && safe.contains("👩\u{200d}👧"), "{safe:?}");
            assert_eq!(serde_json::from_str::<Value>(&safe).expect("still JSON"), document);
        }
        assert_eq!(harmless("{\"a\": 1}".to_owned()), "{\"a\": 1}");
    }
}
