//! Rich content and quick replies: what a reader saw of them, apart from the JSON that says how they looked.
//!
//! The line names no format of its own for quick replies: they hang on a line of plain text. What hangs there tells it.

use chatvault::conversation::Message;
use chatvault::decode::visible_texts;
use serde_json::Value;
use std::ops::Range;

/// What hangs on a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attached {
    /// There is rich content: cards, lists, buttons.
    pub(super) has_rich_content: bool,
    /// What each group of quick replies offers, in order.
    pub(super) quick_replies: Vec<Vec<String>>,
    /// Whatever else there is (files, links, what no page documents), as JSON.
    pub(super) others: Vec<String>,
}

enum Kind {
    RichContent,
    QuickReplies,
}

impl Attached {
    /// Reads what hangs on a line.
    pub(super) fn of(message: &Message) -> Attached {
        let Some(json) = message.attachment.as_deref() else { return Attached::default() };
        let parts = match serde_json::from_str(json) {
            Ok(Value::Array(parts)) => parts,
            Ok(part) => vec![part],
            Err(_) => return Attached { others: vec![json.to_owned()], ..Attached::default() },
        };
        let mut attached = Attached::default();
        let is_only = parts.len() == 1;
        for part in parts {
            match structure(&part) {
                Some((Kind::RichContent, _)) => attached.has_rich_content = true,
                Some((Kind::QuickReplies, texts)) => attached.quick_replies.push(texts),
                // As received: its fields keep their order.
                None if is_only => attached.others.push(json.to_owned()),
                None => attached.others.push(part.to_string()),
            }
        }
        attached
    }

    /// Where the first group of quick replies stands in the line's text, one range for each reply; `None` where there is
    /// none, or where its words do not stand in the text as they came.
    pub(super) fn replies_in(&self, text: &str) -> Option<Vec<Range<usize>>> {
        let replies = self.quick_replies.first()?;
        let block = replies.join("\n");
        if block.is_empty() {
            return None;
        }
        let is_whole = |at: &usize| {
            let (before, behind) = (&text[..*at], &text[*at + block.len()..]);
            (before.is_empty() || before.ends_with('\n')) && (behind.is_empty() || behind.starts_with('\n'))
        };
        // The question stands before them, and may be the same words.
        let mut at = text.rmatch_indices(&block).map(|(at, _)| at).find(is_whole)?;
        let ranges = replies.iter().map(|reply| {
            let range = at..at + reply.len();
            at = range.end + 1;
            range
        });
        Some(ranges.collect())
    }
}

/// The kind of a structure and the texts that people see of it; `None` for what is no structure.
fn structure(part: &Value) -> Option<(Kind, Vec<String>)> {
    let inside = part.get("content").unwrap_or(part);
    let opened: Value = match inside {
        Value::String(json) => serde_json::from_str(json).ok()?,
        other => other.clone(),
    };
    let kind = opened.get("type").and_then(Value::as_str).unwrap_or_default();
    let has_list = |name: &str| opened.get(name).is_some_and(Value::is_array);
    let kind = match () {
        () if kind.eq_ignore_ascii_case("quickReplies") || has_list("replies") => Kind::QuickReplies,
        () if has_list("elements") || (opened.is_object() && inside.is_string()) => Kind::RichContent,
        () => return None,
    };
    Some((kind, visible_texts(opened.to_string().as_bytes()).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attached(attachment: &Value) -> Attached {
        Attached::of(&Message { attachment: Some(attachment.to_string()), ..Message::default() })
    }

    fn replies(titles: &[&str]) -> Value {
        let replies: Vec<Value> = titles
            .iter()
            .map(|title| json!({ "type": "button", "title": title, "click": { "actions": [ { "type": "publishText", "text": title } ] } }))
            .collect();
        json!({ "content": json!({ "type": "quickReplies", "itemsPerRow": 2, "replies": replies }).to_string() })
    }

    #[test]
    fn quick_replies_are_found_in_the_text() {
        let yes_no = attached(&replies(&["Yes", "No"]));
        assert_eq!(yes_no.quick_replies, [["Yes", "No"]]);
        assert!(yes_no.others.is_empty() && !yes_no.has_rich_content);
        assert_eq!(yes_no.replies_in("Right?\nYes\nNo"), Some(vec![7..10, 11..13]));
        assert_eq!(yes_no.replies_in("Yes\nNo"), Some(vec![0..3, 4..6]));
        assert_eq!(yes_no.replies_in("Yes\nNo\nYes\nNo"), Some(vec![7..10, 11..13]));
        assert_eq!(yes_no.replies_in("Yes\nNo\na caption"), Some(vec![0..3, 4..6]));
        for other in ["", "Yes", "Oh Yes\nNo", "Yes\nNope", "** LP deleted data **"] {
            assert_eq!(yes_no.replies_in(other), None, "{other}");
        }
        assert_eq!(attached(&replies(&[])).replies_in(""), None);
    }

    #[test]
    fn each_part_is_told_from_the_others() {
        let card = json!({ "content": json!({ "type": "vertical", "elements": [ { "type": "text", "text": "Hi" } ] }).to_string() });
        let file = json!({ "relativePath": "a/b.pdf", "fileType": "PDF" });
        let both = attached(&json!([card, replies(&["A"]), file]));
        assert!(both.has_rich_content);
        assert_eq!((both.quick_replies, both.others), (vec![vec!["A".to_owned()]], vec![file.to_string()]));
        let chat = attached(&json!({ "type": "vertical", "elements": [] }));
        assert!(chat.has_rich_content && chat.others.is_empty());
        for plain in [json!({ "content": "just words" }), json!({ "content": 5 }), json!("text"), json!({ "url": "x" })]
        {
            assert_eq!(attached(&plain), Attached { others: vec![plain.to_string()], ..Attached::default() });
        }
        let cut = Message { attachment: Some(r#"{"content":"{"#.into()), ..Message::default() };
        assert_eq!(Attached::of(&cut).others, [r#"{"content":"{"#]);
    }
}
