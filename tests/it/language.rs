//! Text people really type: a labelled set that is searched through the index, what is highlighted, and every example of
//! the README.

use chatvault::archive::RealDisk;
use chatvault::conversation::{Conversation, Message, Record, Revision, Role, StoredConversation, plain_text};
use chatvault::index::{Reader, Writer, WriterOptions};
use chatvault::search::highlight::{html, merged_ranges, raw_snippets};
use chatvault::search::parse::ParseOptions;
use chatvault::search::syntax::Syntax;
use chatvault::search::{Highlight, Matcher, SearchRequest, search};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

/// Name and text. One conversation each.
const TEXTS: &[(&str, &str)] = &[
    ("french", "Je veux un remboursement immédiat, s'il vous plaît à Évry"),
    ("french-plain", "remboursement immediat a Evry"),
    ("german", "Die Straße heißt Gänseweg, Größe XL"),
    ("german-swiss", "Die STRASSE heisst Gaenseweg"),
    ("turkish", "IŞIK ılık İstanbul'da"),
    ("greek", "Ο λογαριασμός μου, ΛΟΓΑΡΙΑΣΜΟΣ"),
    ("arabic", "أريد إلغاء الطَّلَب مـــن المدرسة رقم ١٢٣٤٥٦"),
    ("arabic-plain", "اريد الغاء الطلب من المدرسه على ٱلموقع"),
    ("hebrew", "שָׁלוֹם, אני רוצה החזר"),
    ("russian", "Мой счёт ещё не пришёл, ёлка"),
    ("russian-plain", "счет еще не пришел, мои деньги"),
    ("chinese", "我要退款到信用卡，订单号ERR204还没到账"),
    ("japanese", "カード決済のキャンセルをお願いします。iPhoneケースです"),
    ("japanese-half", "ｶｰﾄﾞ決済 ｷｬﾝｾﾙ ﾊﾞｯｸﾞ ＡＢＣ１２３"),
    ("japanese-nfd", "バッグとポーチ"),
    ("korean", "환불해주세요 iPhone은 3개월 전에 샀어요"),
    ("thai", "ต้องการขอคืนเงินภายในสามวัน"),
    ("hindi", "मुझे धन्यवाद कहना है"),
    ("emoji", "great 👍🏽 thanks 👨‍👩‍👧 ❤️ 🇩🇪 ⏰ok👏👏"),
    ("identifiers", "code ERR-204 and ERR_205, parcel 1Z999AA10123456784, anna.m@example.org"),
    ("address", "see https://shop.example.org/track?order=5512#top please"),
    ("phone", "call +49 30 1234-567 or (030) 7654321"),
    ("card-spaced", "my card is 4111 1111 1111 1111 ok"),
    ("card-dashed", "my card is 4111-1111-1111-1111 ok"),
    ("card-solid", "my card is 4111111111111111 ok"),
    ("card-dotted", "my card is 4111.1111.1111.1111 ok"),
    ("amounts", "it was 1'250'000 and not 12 or 2400, on 2016-07-25"),
    ("invisible", "שלום\u{200f} call \u{202a}+44 20 7946000\u{202c}, a \u{2068}rebatex\u{2069} and a vou\u{2060}cher"),
    ("glued", "no discount.Thanks for that.Bye now"),
    ("host-in-capitals", "see Acme.Test and acme.test twice"),
    ("network", "host 192.168.1.5 since 10.06.2026, price 12.50 or 3,250.00"),
    ("apostrophes", "j'ai vu O'Malley’s chat, it‘s ok; דו״ח"),
    ("card-glued", "Card5500 0000 0000 0004 nr654321"),
    ("card-of-another", "my card is 5500000000000004"),
    ("inflected", "They refunded both; two refunds, one application, he applies"),
];

pub(crate) fn stored(id: &str, messages: Vec<Message>) -> StoredConversation {
    let content = Conversation { conversation_id: Some(id.into()), messages, ..Conversation::default() };
    let record = Record { file: "f".into(), sha256: "0".into(), record: 0, unproven: false };
    StoredConversation {
        revisions: vec![Revision { age_ms: 1, source: "data-access".into(), records: vec![record], content }],
    }
}

pub(crate) fn message(kind: &str, text: &str) -> Message {
    let role = if kind == "4" { Role::Agent } else { Role::Consumer };
    Message { kind: kind.into(), role, text: text.to_owned(), ..Message::default() }
}

/// As a Mac's file system would write it.
fn decomposed(text: &str) -> String {
    text.nfd().collect()
}

fn reader() -> &'static Reader {
    static INDEX: OnceLock<(tempfile::TempDir, Reader)> = OnceLock::new();
    let (_, reader) = INDEX.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let options = WriterOptions { memory_bytes: 16 << 20, threads: 1 };
        let mut writer = Writer::open(folder.path(), Arc::new(RealDisk), options).unwrap();
        for (id, text) in TEXTS {
            let text = if *id == "japanese-nfd" { decomposed(text) } else { (*text).to_owned() };
            for revision in stored(id, vec![message("0", &text)]).revisions {
                writer.add(revision).unwrap();
            }
        }
        writer.commit(1).unwrap();
        writer.finish().unwrap();
        let reader = Reader::open(folder.path()).unwrap();
        (folder, reader)
    });
    reader
}

pub(crate) fn found(syntax: Syntax, text: &str) -> Result<BTreeSet<String>, String> {
    let query = syntax.parse_located(text, &ParseOptions::utc(1_790_000_000_000)).map_err(|error| error.to_string())?;
    let request = SearchRequest {
        query,
        text: text.to_owned(),
        sort: None,
        reverse: false,
        limit: None,
        facets: Vec::new(),
        tz: TimeZone::UTC,
    };
    let reader = reader();
    let answer = search(reader, &request).map_err(|error| error.to_string())?;
    let id = |at| answer.hits.load(reader, at, 0).unwrap().merged.conversation_id.unwrap();
    Ok((0..answer.hits.len()).map(id).collect())
}

#[track_caller]
pub(crate) fn finds(query: &str, expected: &str) {
    let found = found(Syntax::Chatvault, query).unwrap_or_else(|error| panic!("{error}"));
    let expected: BTreeSet<String> = expected.split_whitespace().map(str::to_owned).collect();
    assert_eq!(found, expected, "{query}");
}

#[test]
fn accents_and_cases_fold_both_ways() {
    finds("immédiat", "french french-plain");
    finds("IMMEDIAT", "french french-plain");
    finds("évry", "french french-plain");
    finds("strasse", "german german-swiss");
    finds("STRAẞE", "german german-swiss");
    finds("heißt", "german german-swiss");
    // ä is found as a, and not as ae: that would find "aerosol" for "ärosol" and is no folding but a guess.
    finds("ganseweg", "german");
    finds("gänseweg", "german");
    finds("gaenseweg", "german-swiss");
    finds("ışık", "turkish");
    finds("isik", "turkish");
    finds("ILIK", "turkish");
    finds("istanbul", "turkish");
    finds("İSTANBUL", "turkish");
    finds("λογαριασμος", "greek");
    finds("ΛΟΓΑΡΙΑΣΜΟΣ", "greek");
    finds("\"λογαριασμοσ μου\"", "greek");
}

#[test]
fn arabic_hebrew_and_cyrillic_as_they_are_typed() {
    finds("الغاء", "arabic arabic-plain");
    finds("إلغاء", "arabic arabic-plain");
    finds("الطلب", "arabic arabic-plain");
    finds("من", "arabic arabic-plain");
    finds("المدرسة", "arabic arabic-plain");
    finds("الموقع", "arabic-plain");
    finds("علي", "arabic-plain");
    finds("123456", "arabic");
    finds("שלום", "hebrew invisible");
    finds("שָׁלוֹם", "hebrew invisible");
    finds("счет", "russian russian-plain");
    finds("счёт", "russian russian-plain");
    finds("елка", "russian");
    // й is a letter of its own: "mine" and "my" are two words.
    finds("мой", "russian");
    finds("мои", "russian-plain");
    finds("धन्यवाद", "hindi");
}

#[test]
fn scripts_without_spaces() {
    finds("退款", "chinese");
    finds("到账", "chinese");
    finds("err204", "chinese");
    finds("订单号ERR204", "chinese");
    finds("款退", "");
    finds("キャンセル", "japanese japanese-half");
    finds("ｷｬﾝｾﾙ", "japanese japanese-half");
    finds("カード", "japanese japanese-half");
    finds("バッグ", "japanese-half japanese-nfd");
    finds("ﾊﾞｯｸﾞ", "japanese-half japanese-nfd");
    finds("ハック", "");
    finds("abc123", "japanese-half");
    finds("iphone", "japanese korean");
    finds("iPhoneケース", "japanese");
    finds("환불", "korean");
    finds("해주", "korean");
    finds("iPhone은", "korean");
    finds("개월", "korean");
    finds("\"3개월\"", "korean");
    finds("คืนเงิน", "thai");
}

/// Every stretch of two or more characters of these texts is found: recall 100 %.
#[test]
fn every_substring_of_cjk_is_found() {
    let (mut asked, mut missed) = (0, Vec::new());
    for (id, text) in TEXTS {
        if !["chinese", "japanese", "japanese-half", "japanese-nfd", "korean", "thai"].contains(id) {
            continue;
        }
        let text = if *id == "japanese-nfd" { decomposed(text) } else { (*text).to_owned() };
        let clusters: Vec<&str> = text.graphemes(true).collect();
        let is_latin = |at: usize| {
            clusters.get(at).is_some_and(|c| {
                c.chars().all(|c| c.is_ascii_alphanumeric() || ('Ａ'..='Ｚ').contains(&c) || ('０'..='９').contains(&c))
            })
        };
        for from in 0..clusters.len() {
            for to in from + 2..=clusters.len().min(from + 9) {
                // Letters and digits are words as usual, so a stretch does not begin or end inside one.
                let cuts = |at: usize| at > 0 && is_latin(at - 1) && is_latin(at);
                let stretch = clusters[from..to].concat();
                let is_text = |c: &&&str| c.chars().any(char::is_alphanumeric);
                if cuts(from) || cuts(to) || clusters[from..to].iter().filter(is_text).count() < 2 {
                    continue;
                }
                asked += 1;
                if !found(Syntax::Chatvault, &format!("\"{stretch}\"")).unwrap().contains(*id) {
                    missed.push(format!("{id}: {stretch}"));
                }
            }
        }
    }
    assert!(asked > 500, "{asked}");
    assert!(missed.is_empty(), "{} of {asked} missed: {missed:?}", missed.len());
}

#[test]
fn emoji_are_words_whatever_their_colour() {
    for typed in ["👍", "👍🏽", "👍🏿", "👨‍👩‍👧", "❤️", "❤", "🇩🇪", "⏰", "\"👏👏\"", "\"ok 👏\""]
    {
        finds(typed, "emoji");
    }
    finds("👎", "");
}

#[test]
fn identifiers_whole_and_by_part() {
    finds("ERR-204", "identifiers");
    finds("err", "identifiers");
    finds("204", "identifiers");
    finds("ERR_205", "identifiers");
    finds("205", "identifiers");
    finds("1z999aa10123456784", "identifiers");
    finds("1Z999*", "identifiers");
    finds("*456784", "identifiers");
    finds("anna.m@example.org", "identifiers");
    finds("anna", "identifiers");
    finds("anna.m", "identifiers");
    finds("example.org", "address identifiers");
    finds("org.example", "");
    finds("example", "address identifiers");
    finds("https://shop.example.org/track?order=5512#top", "address");
    finds("shop.example.org", "address");
    finds("5512", "address");
    finds("shop.example.org/track", "address");
}

#[test]
fn digits_are_found_however_they_were_spaced() {
    finds("4111111111111111", "card-spaced card-dashed card-solid card-dotted");
    // Between quotes digits are one word, and in groups these groups.
    finds("\"4111111111111111\"", "card-solid");
    finds("\"4111 1111 1111 1111\"", "card-spaced card-dashed");
    finds("411111111111", "card-spaced card-dashed card-dotted");
    finds("11111111", "card-spaced card-dashed card-dotted");
    finds("49301234567", "phone");
    finds("1234567", "phone");
    finds("0307654321", "phone");
    finds("+49-30-1234-567", "phone");
    finds("4930123456", "");
    finds("1250000", "amounts");
    finds("20160725", "amounts");
    // Short ones only as they stand.
    finds("12504", "");
    finds("411111", "");
}

#[test]
fn stems_and_numbers_are_asked_for() {
    finds("refund", "");
    finds("stem:refund", "inflected");
    finds("stem:apply", "inflected");
    finds("stem:refunding w/9 stem:applying", "inflected");
    finds("stem.de:Straßen", "german german-swiss");
    finds("number:2000..2500", "amounts network");
    finds("number:13..20 amounts", "");
    assert_eq!(found(Syntax::Dtsearch, "two refund~").unwrap().len(), 1);
    assert_eq!(found(Syntax::Dtsearch, "refund two").unwrap().len(), 0);
    assert_eq!(found(Syntax::Dtsearch, "ERR-=== or 2399~~2401").unwrap().len(), 2);
    assert_eq!(found(Syntax::Dtsearch, "(card and ok) w/9 4111~~4111").unwrap().len(), 3);
}

/// Lines are parted by `|`; one that begins with `<` is HTML. Marks are shown as `[ ]`, per word.
#[track_caller]
pub(crate) fn marks(text: &str, query: &str, expected: &str) {
    let line = |text: &str| message(if text.starts_with('<') { "4" } else { "0" }, text);
    let stored = stored("x", text.split('|').map(line).collect());
    let merged = stored.merged();
    let query = Syntax::Chatvault.parse_located(query, &ParseOptions::utc(0)).unwrap_or_else(|error| panic!("{error}"));
    let matcher = Matcher::new(&query.query);
    let highlights = matcher.highlights(&stored, &merged);
    assert_eq!(matcher.matches(&stored), expected.contains('['), "{text}");
    let shown = merged.messages.iter().enumerate().map(|(index, message)| {
        let of_line: Vec<Highlight> = highlights.iter().filter(|mark| mark.message == index).cloned().collect();
        let plain = plain_text(message);
        let (mut shown, mut at) = (String::new(), 0);
        for range in merged_ranges(&of_line) {
            shown.push_str(&format!("{}[{}]", &plain[at..range.start], &plain[range.clone()]));
            at = range.end;
        }
        shown + &plain[at..]
    });
    assert_eq!(shown.collect::<Vec<_>>().join("|"), expected);
}

#[test]
fn exactly_the_words_that_made_the_hit_are_marked() {
    marks("my refund, a refund", "refund", "my [refund], a [refund]");
    marks("cancel my order, my order", "\"my order\"", "cancel [my] [order], [my] [order]");
    marks("order my order", "\"my order\"", "order [my] [order]");
    marks("refund refunds fund", "refund*", "[refund] [refunds] fund");
    marks("refund rfund rfnd", "refund~1", "[refund] [rfund] rfnd");
    marks("banana bxnana banxna", "banana~1+2", "[banana] bxnana [banxna]");
    marks("he refunded two refunds of the fund", "stem:refund", "he [refunded] two [refunds] of the fund");
    marks("crème brûlée", "BRULEE", "crème [brûlée]");
    marks("Größe und STRASSE", "größe straße", "[Größe] und [STRASSE]");
    marks("我要退款到信用卡", "退款", "我要[退][款]到信用卡");
    marks("ﾊﾞｯｸﾞです", "バッグ", "[ﾊﾞ][ｯ][ｸﾞ]です");
    marks("call 4111 1111 or 41111111", "41111111", "call [4111] [1111] or [41111111]");
    marks("from 12 to 24 or 5", "number:10..20", "from [12] to 24 or 5");
    marks("see example.org now", "example", "see [example].org now");
}

#[test]
fn of_a_proximity_only_satisfied_pairs_are_marked() {
    marks("a x x x b a b", "a w/2 b", "a x x x [b] [a] [b]");
    marks("a b", "b pre/2 a", "a b");
    marks("b a b", "b pre/1 a", "[b] [a] b");
    marks("a|b", "a w/5 b", "a|b");
    marks("a|x|b a", "a turns/0 b", "a|x|[b] [a]");
    marks("a|b|x|b", "a turns/1 b", "[a]|[b]|x|b");
    marks("a b x x x x c a", "(a w/1 b) w/2 c", "a b x x x x c a");
    marks("a b x c x x a", "(a w/1 b) w/2 c", "[a] [b] x [c] x x a");
    marks("a c b", "(a w/2 b) w/1 c", "[a] [c] [b]");
    marks("a c b", "(a pre/2 b) pre/1 c", "a c b");
    marks("a x c x b c", "(a AND b) w/2 c", "[a] x [c] x [b] c");
    marks("a c x x x c b", "(a AND b) w/1 c", "a c x x x c b");
    marks("a b x x a", "a NOT w/2 b", "a b x x [a]");
    marks("full refund, partial refund", "refund NOT w/1 \"full refund\"", "full refund, partial [refund]");
    marks("refund refund", "refund NOT w/1 refund", "refund refund");
    marks("b a x b", "a NOT pre/1 b", "b [a] x b");
    marks("cancels my old order", "(cancel* pre/1 my) w/2 order", "[cancels] [my] old [order]");
    marks("a a", "a w/1 a", "[a] [a]");
    marks("a", "a w/1 a", "a");
}

#[test]
fn html_lines_are_text_and_raw_reads_the_tags() {
    let html_line = "<p>Your <b>refund</b> is <a href=\"https://x.example/refund?id=7\">here</a></p>";
    marks(html_line, "refund", "Your [refund] is here");
    marks(html_line, "href", "Your refund is here");
    marks("<p>un<b>believ</b>able</p>", "unbelievable", "[unbelievable]");
    marks("plain https://x.example/refund", "raw:refund", "plain https://x.example/[refund]");
    let stored = stored("x", vec![message("4", html_line)]);
    let merged = stored.merged();
    for (query, expected) in [
        (
            "raw:\"href=https://x.example\"",
            "<mark>href</mark>=&quot;<mark>https</mark>://<mark>x.example</mark>/refund",
        ),
        ("raw:href w/9 raw:here", "<mark>here</mark>&lt;/a&gt;"),
        ("raw:id=7", "?<mark>id</mark>=<mark>7</mark>"),
    ] {
        let tree = Syntax::Chatvault.parse_located(query, &ParseOptions::utc(0)).unwrap();
        let matcher = Matcher::new(&tree.query);
        assert!(matcher.matches(&stored) && matcher.reads_raw() && matcher.highlights(&stored, &merged).is_empty());
        let snippet = &raw_snippets(&merged, &matcher.raw_highlights(&stored, &merged), 3)[0];
        assert!(html(snippet).contains(expected), "{}", html(snippet));
    }
}

/// The code spans of the second column of a table row.
fn examples(row: &str) -> Vec<String> {
    let cells: Vec<String> = row.replace("\\|", "\u{1}").split('|').map(|cell| cell.replace('\u{1}', "|")).collect();
    let Some(cell) = cells.get(2) else { return Vec::new() };
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The documentation is held to the parser: every example of the tables under "Searching" is a query.
#[test]
fn every_example_of_the_readme_is_a_query() {
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## ").find(|section| section.starts_with("Searching")).unwrap();
    let (mut syntax, mut tried) = (None, 0);
    for line in section.lines() {
        match line.trim_start_matches('|').trim_start() {
            head if head.starts_with("form ") => syntax = Some(Syntax::Chatvault),
            head if head.starts_with("dtsearch ") => syntax = Some(Syntax::Dtsearch),
            _ if !line.starts_with('|') => syntax = None,
            _ => {}
        }
        let Some(syntax) = syntax else { continue };
        for example in examples(line) {
            // `( )` is explained, not an example; a name alone stands for any value.
            let query = if example.ends_with(':') { format!("{example}*") } else { example.clone() };
            if example != "( )" {
                found(syntax, &query).unwrap_or_else(|error| panic!("{line}\n{error}"));
                tried += 1;
            }
        }
    }
    assert!(tried > 60, "only {tried} examples");
}
