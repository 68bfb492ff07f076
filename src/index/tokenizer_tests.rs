//! Texts and the words they are cut into.

use super::*;
use proptest::prelude::*;

/// Words as `text@position`, parts as `+text@position`.
#[track_caller]
fn check(text: &str, expected: &str) {
    let mut reader = words(text);
    let mut found = Vec::new();
    while let Some(word) = reader.next_word() {
        let plus = if word.is_part { "+" } else { "" };
        found.push(format!("{plus}{}@{}", word.text, word.position));
    }
    assert_eq!(found.join(" "), expected);
}

#[test]
fn words_of_english() {
    check("Where is my Order?", "where@0 is@1 my@2 order@3");
    check("I'm sure, it's John's", "i'm@0 sure@1 it's@2 +it@2 john's@3 +john@3");
    check(
        "3.50 and 1,234.56, 5;6 a,b",
        "3.50@0 +3@0 +50@0 and@1 1,234.56@2 +1@2 +234@2 +56@2 +1,234@2 5;6@3 +5@3 +6@3 a@4 b@5",
    );
    check("... --- ___ '", "");
}

#[test]
fn identifiers_are_found_whole_and_by_part() {
    check("ERR-204 ERR_204", "err@0 204@1 err_204@2 +err@2 +204@2");
    check("anna.m@example.org", "anna.m@0 +anna@0 +m@0 example.org@1 +example@1 +org@1");
    check("1Z999AA10123456784", "1z999aa10123456784@0");
    check(
        "https://shop.example.org/a?b=5",
        "https@0 shop.example.org@1 +shop@1 +example@1 +org@1 +example.org@1 a@2 b@3 5@4",
    );
}

#[test]
fn accents_width_and_case_fold() {
    check("Crème BRÛLÉE", "creme@0 brulee@1");
    check("Straße STRASSE", "strasse@0 strasse@1");
    check("İstanbul ılık", "istanbul@0 ilik@1");
    check("ＡＢＣ１２３", "abc123@0");
    check("cafe\u{301}", "cafe@0");
    check("Ærø Łódź", "aero@0 lodz@1");
    check("l’annulation", "l'annulation@0 +annulation@0");
}

#[test]
fn scripts_without_spaces_and_others() {
    check("退款到账", "退@0 款@1 到@2 账@3");
    check(
        "カード です",
        "カ@0 ー@1 ト\u{3099}@2 て\u{3099}@3 す@4".replace("ト\u{3099}", "ド").replace("て\u{3099}", "で").as_str(),
    );
    check("환불 해주세요", "환@0 불@1 해@2 주@3 세@4 요@5");
    check("שָׁלוֹם", "שלום@0");
    check("مَرْحَبًا أهلا", "مرحبا@0 اهلا@1");
    check("धन्यवाद", "धन्यवाद@0");
}

#[test]
fn emoji_are_words() {
    check("great 👍🏽 ❤️!", "great@0 👍@1 ❤@2");
}

#[test]
fn cjk_is_cut_into_what_readers_see_as_characters() {
    // Half width, with a voicing mark; taken apart; joined to Latin letters.
    check("ﾊﾞｯｸﾞ", "バ@0 ッ@1 グ@2");
    check("ハ\u{3099}ック\u{3099}", "バ@0 ッ@1 グ@2");
    check("iPhone은 a_カ_1 3개월", "iphone@0 은@1 a@2 カ@3 1@4 3@5 개@6 월@7");
    check("\u{1112}\u{116a}\u{11ab}불", "환@0 불@1");
    check("ㅋㅋ", "ᄏ@0 ᄏ@1");
    check(
        "www.bücher.example.org",
        "www.bucher.example.org@0 +www@0 +bucher@0 +example@0 +org@0 +bucher.example.org@0 +example.org@0",
    );
}

#[test]
fn letters_of_other_scripts_fold_as_they_are_typed() {
    check("ٱلموقع مدرسة کتاب ۱۲۳ ١٢٣", "الموقع@0 مدرسه@1 كتاب@2 123@3 123@4");
    check("мой ёлка Йод мои", "мой@0 елка@1 йод@2 мои@3");
    check("1'250", "1'250@0 +1@0 +250@0");
    check("⏰ ⌚", "⏰@0 ⌚@1");
}

#[test]
fn what_nobody_sees_is_no_part_of_a_word() {
    for c in "\u{200e}\u{200f}\u{202a}\u{202e}\u{2060}\u{2064}\u{2066}\u{2069}\u{61c}\u{feff}\u{180e}\u{ad}".chars() {
        check(&format!("{c}49{c} 1234567{c} {c}re{c}fund{c} שלום{c} {c}退{c}"), "49@0 1234567@1 refund@2 שלום@3 退@4");
        let text = format!("{c}refund{c}");
        let range = words(&text).next_word().map(|word| word.start..word.end);
        assert_eq!(range.and_then(|range| text.get(range)), Some("refund"));
    }
}

#[test]
fn a_border_of_sentences_parts_words() {
    check("my refund.Please hurry", "my@0 refund.please@1 +refund@1 please@2 hurry@3");
    check("sir.Three.Four é", "sir.three.four@0 +three.four@0 +sir@0 three@1 four@2 e@3");
    check("é.Été", "e.ete@0 +e@0 ete@1");
    check("example.org U.S.A", "example.org@0 +example@0 +org@0 u.s.a@1 +u@1 +s@1 +a@1 +s.a@1");
    assert_eq!(fold_words("Example.Org is"), ["example.org", "is"]);
    assert_eq!(fold_words_between("refund.please now", Borders::Everywhere), ["refund.please", "please", "now"]);
}

#[test]
fn pieces_beside_an_apostrophe() {
    check("j'ai O'Brien's", "j'ai@0 +ai@0 o'brien's@1 +brien@1 +o'brien@1");
    check("j‘ai jʼai jʼ", "j'ai@0 +ai@0 j'ai@1 +ai@1 j@2");
    check("דו״ח דו\"ח ג׳ירפה", "דו\"ח@0 דו\"ח@1 ג'ירפה@2 +ירפה@2");
}

#[test]
fn numbers_without_their_decimals() {
    check("1,250.00", "1,250.00@0 +1@0 +250@0 +00@0 +1,250@0");
    check("1.250.000,50", "1.250.000,50@0 +1@0 +250@0 +000@0 +50@0 +1.250.000@0");
    check("1'250.50", "1'250.50@0 +1@0 +250@0 +50@0 +1'250@0");
}

#[test]
fn a_long_dotted_word_is_indexed_a_few_times() {
    let count = |text: &str| {
        let (mut reader, mut bytes) = (words(text), 0);
        while let Some(word) = reader.next_word() {
            bytes += word.text.len();
        }
        bytes
    };
    for label in ["a.", "é."] {
        let text = label.repeat(200_000);
        assert!(count(&text) < 4 * text.len(), "{}", count(&text));
        let text = format!("{}a ", label.repeat(60)).repeat(1_000);
        assert!(count(&text) < 4 * text.len(), "{}", count(&text));
    }
}

#[test]
fn messages_are_far_apart() {
    check("a\u{1e}b", "a@0 b@17");
    check("é\u{1e}b", "e@0 b@17");
}

#[test]
fn long_words_are_kept_in_pieces() {
    let long = "x".repeat(MAX_WORD_BYTES + 10);
    assert_eq!(fold_words(&long).iter().map(String::len).collect::<Vec<_>>(), [MAX_WORD_BYTES, 10]);
    let long = "é".repeat(MAX_WORD_BYTES);
    assert_eq!(fold_words(&long).len(), 2);
}

proptest! {
    /// The fast path for ASCII is only a fast path: on ASCII text the full rules give the same words. (Colons apart:
    /// the rules join `a:b`, which nobody who searches expects.)
    #[test]
    fn ascii_words_follow_uax_29(text in "[ -9;-~]{0,60}") {
        let slow: Vec<String> = text.split_word_bounds()
            .filter(|segment| segment.contains(char::is_alphanumeric))
            .map(|segment| segment.to_ascii_lowercase()).collect();
        prop_assert_eq!(fold_words(&text), slow);
    }

    /// Offsets are on character boundaries, inside the text, and words do not overlap.
    #[test]
    fn offsets_are_sound(text in "\\PC{0,60}") {
        let mut reader = words(&text);
        let mut end = 0;
        while let Some(word) = reader.next_word() {
            prop_assert!(text.get(word.start..word.end).is_some_and(|slice| !slice.is_empty()));
            if !word.is_part {
                let is_behind_border = text[..word.start].ends_with('.') && word.end <= end;
                prop_assert!(word.start >= end || is_behind_border);
                end = end.max(word.end);
            }
        }
    }
}
