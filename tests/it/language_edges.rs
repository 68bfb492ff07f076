//! The labelled set again: what stands at the edges of words, and what is refused.

use super::language::{finds, found, marks, message, stored};
use chatvault::search::Matcher;
use chatvault::search::parse::ParseOptions;
use chatvault::search::syntax::Syntax;

#[test]
fn invisible_characters_are_in_no_word() {
    finds("שלום", "hebrew invisible");
    finds("שלום\u{200e}", "hebrew invisible");
    finds("44207946000", "invisible");
    finds("7946000", "invisible");
    finds("rebatex", "invisible");
    finds("voucher", "invisible");
    finds("\"20 7946000\"", "invisible");
}

#[test]
fn a_sentence_border_without_a_space_parts_words() {
    finds("\"discount thanks\"", "glued");
    finds("\"no discount.Thanks for\"", "glued");
    finds("\"no discount.thanks for\"", "glued");
    finds("discount.thanks", "glued");
    finds("discount.Thanks", "glued");
    finds("\"thanks for\"", "glued");
    finds("\"bye now\"", "glued");
    finds("discount w/1 thanks", "glued");
    finds("discount pre/2 for", "glued");
    finds("acme.test", "host-in-capitals");
    finds("Acme.Test", "host-in-capitals");
    finds("\"see acme.test and\"", "host-in-capitals");
    finds("\"Acme.Test twice\"", "host-in-capitals");
    marks("my discount.Thanks", "discount w/1 thanks", "my [discount].[Thanks]");
}

#[test]
fn wildcards_beside_digits() {
    for typed in
        ["192.168.*", "192.168.1.?", "*.1.5", "192.*.1.5", "1?2.168.1.5", "1?.50", "10.06.*", "*.06.2026", "3,?50.00"]
    {
        finds(typed, "network");
    }
    finds("192.169.*", "");
    for typed in ["192.168.=.=", "==.06.2026", "3,===.00"] {
        assert_eq!(found(Syntax::Dtsearch, typed).unwrap().into_iter().collect::<Vec<_>>(), ["network"], "{typed}");
    }
    finds("example.*", "address identifiers");
    finds("shop.*", "address");
}

#[test]
fn pieces_beside_an_apostrophe() {
    finds("ai", "apostrophes");
    finds("it w/1 ok", "apostrophes");
    finds("o'malley", "apostrophes");
    finds("O’Malley's", "apostrophes");
    finds("malley", "apostrophes");
    finds("\"דו\\\"ח\"", "apostrophes");
    finds("דו״ח", "apostrophes");
    finds("3,250", "network");
}

#[test]
fn digits_glued_to_letters() {
    finds("5500000000000004", "card-glued card-of-another");
    finds("5500-0000-0000-0004", "card-glued card-of-another");
    finds("\"5500 0000 0000 0004\"", "");
    finds("654321", "card-glued");
    finds("10123456784", "identifiers");
    finds("550000000000", "card-glued");
    finds("999999", "");
    finds("2016/07/25", "amounts");
    marks("nr123456 and 123456", "123456", "[nr123456] and [123456]");
    marks("Card4111 1111 ok", "41111111", "[Card4111] [1111] ok");
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_cure() {
    let refuses = |query: &str, words: &str, cure: &str| {
        let error = found(Syntax::Chatvault, query).unwrap_err();
        assert!(error.contains(words) && error.contains(cure), "{error}");
        if !cure.is_empty() {
            found(Syntax::Chatvault, cure).unwrap_or_else(|error| panic!("{error}"));
        }
    };
    refuses("退款~1", "`~1` on `退` would match every word", "退款");
    refuses("e-mail~1", "`~1` on `e` would match every word", "e-mail");
    refuses("to~2", "`~2` on `to` would match every word", "to");
    refuses("has:sde.x.y:", "`has:` takes the name without its colon", "has:sde.x.y");
    refuses("/\\d{4}-\\d{4}/", "`-` stands in no word", "");
    refuses("/[[:upper:]]+/", "`[:upper:]` can match nothing", "");
    finds("\"https://shop.example.org/track?order=5512#top\"", "address");
    finds("https://shop.example.org/track?order=5512#top", "address");
}

#[test]
fn a_long_line_with_many_hits_is_read_once() {
    let line = format!("<p>{}</p>", "refund <b>x</b> ".repeat(20_000));
    let stored = stored("x", vec![message("4", &line)]);
    let merged = stored.merged();
    let query = Syntax::Chatvault.parse_located("raw:refund", &ParseOptions::utc(0)).unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(Matcher::new(&query.query).raw_highlights(&stored, &merged).len(), 20_000);
    // Once per hit it was minutes.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
