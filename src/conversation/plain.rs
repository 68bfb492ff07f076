//! The words of an HTML line, with the way back to the bytes they came from.
//!
//! Tags are not words, entities are characters, and a block-level tag separates words. Search, highlights and the
//! transcript view all read the same [`PlainText`], so a word is found exactly where it is seen.

use super::{Message, entity};
use std::borrow::Cow;

/// Text a reader sees. Borrowed where the line was plain already.
pub type PlainText<'a> = Cow<'a, str>;

/// The line as a reader sees it: HTML lines without tags, others unchanged.
pub fn plain_text(message: &Message) -> PlainText<'_> {
    if message.is_html() && message.text.contains(['<', '&']) {
        Cow::Owned(strip_html(&message.text))
    } else {
        Cow::Borrowed(&message.text)
    }
}

/// Tags that do not separate words: `un<b>believ</b>able` is one word.
const INLINE: [&str; 15] =
    ["a", "abbr", "b", "em", "font", "i", "mark", "s", "small", "span", "strong", "sub", "sup", "u", "wbr"];

fn strip_html(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    // Once no '>' is left no tag can follow: a long line of '<' must not be searched to its end at each.
    let mut tags_may_follow = true;
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('&') {
            match entity::decode(rest, &mut text) {
                Some(length) => rest = &rest[length..],
                None => {
                    text.push('&');
                    rest = &rest[1..];
                }
            }
            continue;
        }
        match tags_may_follow.then(|| tag(rest)).flatten() {
            Some(Tag { name, length, hides_until }) => {
                if !INLINE.iter().any(|inline| name.eq_ignore_ascii_case(inline)) && !text.ends_with([' ', '\n']) {
                    text.push(' ');
                }
                rest = &rest[length..];
                if let Some(closing) = hides_until {
                    let end = find_ignore_case(rest, closing).unwrap_or(rest.len());
                    rest = &rest[end..];
                }
            }
            // "5 < 6" in an HTML line: not a tag, so a character.
            None => {
                tags_may_follow = tags_may_follow && rest.contains('>');
                text.push('<');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text.trim().to_owned()
}

/// Characters within which the quotes of a tag are honoured; a longer tag ends at its first `>`.
const MAX_QUOTED_TAG: usize = 4096;

struct Tag<'a> {
    name: &'a str,
    length: usize,
    hides_until: Option<&'static str>,
}

fn tag(html: &str) -> Option<Tag<'_>> {
    if let Some(comment) = html.strip_prefix("<!--") {
        // As browsers end one: `-->`, `--!>`, and at once by `<!-->` and `<!--->`.
        let at_once = [">", "->"].into_iter().find(|end| comment.starts_with(end)).map(str::len);
        let end_at = |at: usize| {
            ["-->", "--!>"].into_iter().find(|end| comment[at..].starts_with(end)).map(|end| at + end.len())
        };
        let later = || comment.match_indices('-').find_map(|(at, _)| end_at(at));
        let length = at_once.or_else(later).map_or(html.len(), |end| end + 4);
        return Some(Tag { name: "!--", length, hides_until: None });
    }
    let body = html[1..].strip_prefix('/').unwrap_or(&html[1..]);
    let name_length = body.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(body.len());
    let name = &body[..name_length];
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let mut quote = None;
    let end = html.char_indices().take(MAX_QUOTED_TAG).find(|&(_, c)| match quote {
        Some(open) => {
            if c == open {
                quote = None;
            }
            false
        }
        None if c == '"' || c == '\'' => {
            quote = Some(c);
            false
        }
        None => c == '>',
    });
    // An unclosed quote or tag: fall back to the first '>', else treat the '<' as text.
    let length = end.map(|(at, _)| at + 1).or_else(|| html.find('>').map(|at| at + 1))?;
    let opens = !html.starts_with("</");
    let hides_until = match name {
        _ if opens && name.eq_ignore_ascii_case("script") => Some("</script"),
        _ if opens && name.eq_ignore_ascii_case("style") => Some("</style"),
        _ => None,
    };
    Some(Tag { name, length, hides_until })
}

fn find_ignore_case(text: &str, wanted: &str) -> Option<usize> {
    text.char_indices()
        .map(|(at, _)| at)
        .find(|&at| text.get(at..at + wanted.len()).is_some_and(|candidate| candidate.eq_ignore_ascii_case(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: &str) {
        let message = Message { kind: "4".into(), text: html.into(), ..Message::default() };
        assert_eq!(plain_text(&message), expected);
    }

    #[test]
    fn tags_are_not_words() {
        check("<p>Your <b>refund</b> is on its way</p>", "Your refund is on its way");
        check("one<br/>two", "one two");
        check("un<b>believ</b>able", "unbelievable");
        check(r#"<a href="https://x.example/?a>b">here</a>"#, "here");
        check("<script>alert('refund')</script>done", "done");
        check("a <!-- refund --> b", "a  b");
        check("<p>foo<!-->refundish</p>", "foo refundish");
        check("foo<!--->refundish", "foo refundish");
        check("foo<!--x--!>refundish<!-- y ---><!---->z<!-- -> hidden", "foo refundish z");
    }

    #[test]
    fn entities_are_characters() {
        check("Fish &amp; chips &#233;t&#xe9;", "Fish & chips été");
        check("caf&eacute; a&shy;b &euro;5 it&#146;s", "café a\u{ad}b €5 it’s");
        check("&bogus; & &#xD800;", "&bogus; & &#xD800;");
    }

    #[test]
    fn what_only_looks_like_a_tag_stays() {
        check("5 < 6 and <3", "5 < 6 and <3");
        check("a <b", "a <b");
    }

    #[test]
    fn plain_lines_are_untouched() {
        let message = Message { kind: "0".into(), text: "<b>bold</b>".into(), ..Message::default() };
        assert_eq!(plain_text(&message), "<b>bold</b>");
    }
}
