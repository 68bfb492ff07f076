//! Engagement attributes in the index: their words anywhere, their words by path, their numbers by path.
//!
//! A term of the two path fields is the path in lower case, a NUL, and the folded word or the number in a form that sorts as
//! numbers do. So a path, everything below it, and a range of numbers are each one stretch of the term dictionary.
//! A conversation without attributes adds nothing here.

use super::document::name;
use super::schema::Fields;
use super::tokenizer::{MESSAGE_END, words};
use crate::conversation::Conversation;
use std::collections::BTreeSet;
use tantivy::TantivyDocument;

/// Ends the path in a term. Paths hold no control characters.
pub const PATH_END: char = '\0';

/// Adds the attributes of a conversation to its document.
pub(super) fn add(d: &mut TantivyDocument, fields: &Fields, c: &Conversation) {
    if c.attributes.is_empty() {
        return;
    }
    let mut text = String::new();
    let (mut by_path, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for value in c.sdes().into_iter().flat_map(|event| event.values) {
        if !text.is_empty() {
            text.push(MESSAGE_END);
        }
        text.push_str(&value.text);
        let path = value.path.to_lowercase();
        let mut reader = words(&value.text);
        while let Some(word) = reader.next_word() {
            by_path.insert(format!("{path}{PATH_END}{}", word.text));
        }
        numbers.extend(value.number().map(|number| format!("{path}{PATH_END}{}", number_key(number))));
    }
    if !text.is_empty() {
        d.add_text(fields.sde, text);
    }
    for term in by_path {
        d.add_text(fields.sde_word, name(&term));
    }
    for term in numbers {
        d.add_text(fields.sde_number, name(&term));
    }
}

/// A number as 16 hex digits that sort as the numbers do. Both zeros are one.
pub fn number_key(number: f64) -> String {
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    // Negative numbers sort the other way round, and before the positive ones.
    let sortable = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    format!("{sortable:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_numbers_do() {
        let numbers =
            [f64::MIN, -1e9, -2.5, -1.0, -f64::MIN_POSITIVE, 0.0, f64::MIN_POSITIVE, 0.5, 1.0, 31.5, f64::MAX];
        let keys: Vec<String> = numbers.iter().map(|number| number_key(*number)).collect();
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!(number_key(-0.0), number_key(0.0));
    }
}
