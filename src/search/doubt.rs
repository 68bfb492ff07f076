//! What a query says that its author may not have meant: answered as written, and remarked on.

use super::parse::Located;
use super::query::{Query, TextPattern};

/// One sentence for each doubt about a query.
pub fn doubts(located: &Located) -> Vec<String> {
    // `Where is my refund?`: the mark that ends a question is a wildcard here.
    let last = located.leaves().iter().max_by_key(|(_, span)| span.end);
    match last {
        Some((Query::Text(text), _)) => match &text.pattern {
            TextPattern::Wildcard(word) => question(word).into_iter().collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn question(typed: &str) -> Option<String> {
    let word =
        typed.strip_suffix('?').filter(|word| !word.contains(['*', '?']) && word.chars().all(char::is_alphabetic))?;
    Some(format!(
        "`{typed}` is `{word}` and one letter more, because ? stands for one character; to search a sentence, quote it"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::parse::{ParseOptions, parse_located};
    use super::*;

    #[test]
    fn a_question_is_remarked_on() {
        for (typed, count) in [
            ("where is my refund?", 1),
            ("agent:refund?", 1),
            ("\"where is my refund?\"", 0),
            ("refund? please", 0),
            ("ref?nd", 0),
            ("re*nd?", 0),
            ("12?", 0),
        ] {
            let located = parse_located(typed, &ParseOptions::utc(0)).unwrap();
            assert_eq!(doubts(&located).len(), count, "{typed}");
        }
    }
}
