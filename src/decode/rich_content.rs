//! Structured content (rich messages, quick replies): the texts a reader sees and the places its links lead to.
//!
//! It comes as JSON inside a string (messaging) or as an object (chat). Only the words become searchable text; the raw
//! JSON stays with the message.

use serde_json::Value;

/// Fields whose strings a reader sees.
const VISIBLE: [&str; 10] =
    ["text", "title", "label", "caption", "tooltip", "alt", "subtitle", "description", "placeholder", "header"];

/// Fields whose strings are where a link leads.
const TARGETS: [&str; 5] = ["uri", "url", "href", "externalFileLink", "relativePath"];

/// The visible texts and link targets of `json`, each once, in the order of the elements, one a line. `None`: it is not JSON.
///
/// A string that holds JSON again is opened once.
pub(super) fn visible_text(json: &[u8]) -> Option<String> {
    Some(visible_texts(json)?.join("\n"))
}

/// As the line's text has them, one by one: the visible texts and link targets of rich content or quick replies (JSON, or a
/// string that holds it), each once, in the order of the elements. `None`: it is not JSON.
pub fn visible_texts(json: &[u8]) -> Option<Vec<String>> {
    let mut value: Value = serde_json::from_slice(json).ok()?;
    if let Value::String(inner) = &value {
        value = serde_json::from_str(inner).ok()?;
    }
    let mut found: Vec<String> = Vec::new();
    // serde_json refuses what is nested more than 128 deep, so the recursion is bounded.
    collect(&value, "", &mut found);
    Some(found)
}

fn collect(value: &Value, name: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let is_wanted = VISIBLE.contains(&name) || TARGETS.contains(&name);
            // A button says what it is called, what it publishes and what its tooltip is: mostly the same.
            if is_wanted && !text.is_empty() && !found.iter().rev().take(16).any(|known| known == text) {
                found.push(text.clone());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, name, found)),
        Value::Object(fields) => {
            // What an element says comes before what is inside it and where it leads.
            let is_inner = |value: &Value| matches!(value, Value::Object(_) | Value::Array(_));
            let (inner, own): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, value)| is_inner(value));
            let (visible, rest): (Vec<_>, Vec<_>) =
                own.into_iter().partition(|(name, _)| VISIBLE.contains(&name.as_str()));
            for (name, value) in visible.into_iter().chain(rest).chain(inner) {
                collect(value, name, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_targets_are_read_and_the_rest_is_not() {
        let card = r#"{"type":"vertical","tag":"button","elements":[
            {"type":"text","text":"Where is it?","style":{"color":"red"}},
            {"type":"image","url":"https://cdn.example.org/map.png","caption":"A map","tooltip":"A map"},
            {"type":"button","title":"Track","click":{"metadata":[{"id":"m1"}],
             "actions":[{"type":"link","uri":"https://shop.example.org/track"},{"type":"publishText","text":"Track"}]}}]}"#;
        let text = visible_text(card.as_bytes()).expect("JSON");
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            ["Where is it?", "A map", "https://cdn.example.org/map.png", "Track", "https://shop.example.org/track"]
        );
        let in_string = serde_json::to_vec(card).expect("JSON");
        assert_eq!(visible_text(&in_string), Some(text));
    }

    #[test]
    fn what_is_no_json_is_told() {
        assert_eq!(visible_text(b"\"just words\""), None);
        assert_eq!(visible_text("[".repeat(100_000).as_bytes()), None);
    }
}
