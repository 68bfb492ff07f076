//! The language as a table: every form of the contract with what it is read as, every refusal with its words.
//!
//! `reads(typed, printed)`: the printed tree shows precedence and resolved labels. `refuses(typed, place, words, cure)`:
//! the complaint's span covers `place`, its message begins with `words`, and a cure is itself a query we accept.

use jiff::tz::TimeZone;

use super::arbitrary;
use super::complaint::QueryError;
use super::field::{FIELDS, Field, Kind, end_reason_label};
use super::parse::{DEEPEST, ParseOptions, parse, parse_located};
use super::query::{Condition, Query, Range, Test};

fn read(typed: &str) -> Result<Query, QueryError> {
    parse(typed, &arbitrary::options())
}

#[track_caller]
fn good(typed: &str) -> Query {
    read(typed).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn reads(typed: &str, printed: &str) {
    let query = good(typed);
    assert_eq!(query.to_string(), printed);
    assert_eq!(good(printed), query, "printed again");
}

#[track_caller]
fn refuses(typed: &str, place: &str, words: &str, cure: &str) {
    let error = read(typed).expect_err(typed);
    let complaint = &error.complaints[0];
    assert_eq!(&typed[complaint.start..complaint.end], place, "{error}");
    assert!(complaint.message.starts_with(words), "{}", complaint.message);
    assert_eq!(complaint.suggestion.as_deref().unwrap_or(""), cure, "{error}");
    if !cure.is_empty() {
        good(cure);
    }
}

#[track_caller]
fn condition(typed: &str) -> Test {
    match good(typed) {
        Query::Meta(Condition { test, .. }) => test,
        other => panic!("{other:?}"),
    }
}

#[test]
fn words_and_boolean() {
    reads("*", "*");
    reads("refund", "refund");
    reads("\"cancel my account\"", "\"cancel my account\"");
    reads("“cancel my account”", "\"cancel my account\"");
    reads("„Konto löschen“", "\"Konto löschen\"");
    reads("«bonjour»", "\"bonjour\"");
    reads(r#""say \"no\" now""#, r#""say \"no\" now""#);
    reads(r#""C:\new""#, r#""C:\\new""#);
    reads("\"are you sure?\"", "\"are you sure?\"");
    reads("a b", "a AND b");
    reads("a AND b", "a AND b");
    reads("a and b or not c", "a AND and AND b AND or AND not AND c");
    reads("a OR b c", "a OR (b AND c)");
    reads("(a OR b) c", "(a OR b) AND c");
    reads("a AND (b AND (c d))", "a AND b AND c AND d");
    reads("-a", "NOT a");
    reads("a -b", "a AND NOT b");
    reads("a NOT (b OR c)", "a AND NOT (b OR c)");
    reads("NOT NOT a", "NOT NOT a");
    reads("-(a b)", "NOT (a AND b)");
}

#[test]
fn text_that_only_looks_special() {
    for typed in [
        "https://x.y/z?q",
        "10:30",
        ":-D",
        "anna.m@example.org",
        "ERR-204",
        "mailto:a@b",
        "example.org:8080",
        "and/or",
        "+1-555-1234",
        "don't",
        "#hash",
        "100%",
        "a~b",
        "n/a",
        "👍",
        "返金",
        "größe:3",
    ] {
        let query = good(typed);
        assert!(matches!(query, Query::Text(_)), "{typed}: {query:?}");
        assert_eq!(query.to_string(), typed);
    }
}

#[test]
fn patterns() {
    reads("refund*", "refund*");
    reads("*fund", "*fund");
    reads("ref?nd", "ref?nd");
    reads("refnd~1 refnd~2", "refnd~1 AND refnd~2");
    reads("refund~1+3", "refund~1+3");
    reads("stem:refund", "stem:refund");
    reads("stem.DE:Erstattung", "stem.de:Erstattung");
    reads("consumer:stem:refund agent:number:12..24", "consumer:stem:refund AND agent:number:12..24");
    reads("Stem.en:refund w/3 number:5", "stem:refund w/3 number:5..5");
    reads("raw:\"href=https://x.example\"", "raw:\"href=https://x.example\"");
    reads("/ref(und|und?ed)/", "/ref(und|und?ed)/");
    reads(r"/a\/b\d/", r"/a\/b\d/");
    reads("consumer:/re.*/ x", "consumer:/re.*/ AND x");
}

#[test]
fn speakers() {
    reads("consumer:refund", "consumer:refund");
    reads("Agent:\"best I can do\"", "agent:\"best I can do\"");
    reads("bot:a system:b note:*", "bot:a AND system:b AND note:*");
    reads("consumer:(a OR \"b c\")", "consumer:a OR consumer:\"b c\"");
    reads("consumer:(a -b)", "consumer:a AND NOT consumer:b");
    reads("sde:\"gold\"", "sde:\"gold\"");
    reads("sde.customerInfo.customerId:138766AC", "sde.customerInfo.customerId:138766AC");
    reads("-consumer:a", "NOT consumer:a");
}

#[test]
fn proximity() {
    reads("cancel w/5 account", "cancel w/5 account");
    reads("cancel PRE/3 account", "cancel pre/3 account");
    reads("refund turns/2 manager", "refund turns/2 manager");
    reads("refund turns/0 manager", "refund turns/0 manager");
    reads("a b w/5 c d", "a AND (b w/5 c) AND d");
    reads("(a OR \"b c\") w/5 d*", "(a OR \"b c\") w/5 d*");
    reads("consumer:(a w/5 b)", "consumer:a w/5 consumer:b");
    reads("consumer:a turns/1 agent:b", "consumer:a turns/1 agent:b");
    reads("NOT (a w/5 b)", "NOT (a w/5 b)");
    reads("a w/2 b OR c", "(a w/2 b) OR c");
    reads("a NOT w/20 b", "a NOT w/20 b");
    reads("a NOT pre/2 \"b c\" d", "(a NOT pre/2 \"b c\") AND d");
    reads("(a w/3 b) w/10 c", "(a w/3 b) w/10 c");
    reads("(a b) w/5 (c OR d)", "(a AND b) w/5 (c OR d)");
    reads("c w/5 ((a OR b) d)", "c w/5 ((a OR b) AND d)");
    reads("(a OR (b w/2 c)) pre/5 d", "(a OR (b w/2 c)) pre/5 d");
    reads("(a* pre/1 b) w/5 (c* pre/1 d)", "(a* pre/1 b) w/5 (c* pre/1 d)");
    reads("(a AND b) turns/2 c", "(a AND b) turns/2 c");
}

#[test]
fn metadata() {
    for same in [
        "id:755558514295264942",
        "consumer_id:a-b",
        "visitor_id:x",
        "agent_id:1",
        "agent_name:\"Anna M\"",
        "agent_name:ann*",
        "skill:3",
        "skill_name:Sales",
        "campaign:7",
        "start:2016-07-01..2016-07-31",
        "start:>2016-07",
        "end:2016..",
        "duration:>10m",
        "queue:>1m",
        "mcs:<50",
        "mcs:-5",
        "csat:1..2",
        "csat:4.5",
        "transfers:>=2",
        "transfer_reason:106",
        "type:messaging",
        "device:mobile",
        "origin:web",
        "status:open",
        "interactive:false",
        "source:data-access",
        "has:transfer",
        "has:sde",
        "has:form",
        "has:link",
        "has:encrypted",
        "has:revision",
        "messages:>10",
        "revisions:>=2",
        "csat:*",
        "start:>-7d",
        "start_reason:transfer-failed",
        "end_reason:999",
    ] {
        reads(same, same);
    }
    reads("queue:>60s", "queue:>1m");
    reads("end_reason:205", "end_reason:visitor-disconnected");
    reads("end_reason:\"Visitor disconnected\"", "end_reason:visitor-disconnected");
    reads("status:CLOSE type:LIVE_CHAT", "status:closed AND type:chat");
    reads("device:\"Kiosk\" status:\"CLOSE\"", "device:\"kiosk\" AND status:closed");
    reads("conversation_id:1", "id:1");
    reads("skill:(3 OR 4)", "skill:3 OR skill:4");
    reads("has:summary has:note has:csat", "summary:* AND note:* AND csat:*");
    reads("has:sde.cartStatus.total", "sde.cartStatus.total:*");
    reads("mcs:(-5 OR >90)", "mcs:-5 OR mcs:>90");
}

#[test]
fn ids_lose_nothing() {
    let id = "0000755558514295264942755558514295264942";
    assert_eq!(condition(&format!("id:{id}")), Test::Is(id.to_owned()));
    assert_eq!(condition("id:\"a*b,c\""), Test::Is("a*b,c".to_owned()));
}

#[test]
fn durations_and_numbers() {
    for (typed, ms) in
        [("10m", 600_000), ("60", 60_000), ("1h30m", 5_400_000), ("250ms", 250), ("2d", 172_800_000), ("0", 0)]
    {
        assert_eq!(condition(&format!("duration:>{typed}")), Test::Duration(Range::MoreThan(ms)), "{typed}");
    }
    assert_eq!(condition("csat:..2"), Test::Number(Range::AtMost(2.0)));
    assert_eq!(condition("csat:=2"), Test::Number(Range::Exactly(2.0)));
    assert_eq!(condition("mcs:-3..4.5"), Test::Number(Range::Between(-3.0, 4.5)));
    assert!(Range::Between(1, 2).contains(2) && !Range::MoreThan(2).contains(2));
}

/// The interval of a time, as UTC text.
#[track_caller]
fn interval(typed: &str, zone: &TimeZone) -> String {
    let options = ParseOptions { tz: zone.clone(), now_ms: 1_469_469_281_856 };
    let query = parse(&format!("start:{typed}"), &options).unwrap_or_else(|error| panic!("{error}"));
    let Query::Meta(Condition { test: Test::Time(range), .. }) = query else { panic!("not a time") };
    let show = |ms: Option<i64>| {
        ms.map_or(String::new(), |ms| jiff::Timestamp::from_millisecond(ms).expect("in range").to_string())
    };
    format!("{} {}", show(range.from_ms), show(range.to_ms))
}

#[test]
fn times_are_meant_whole() {
    let utc = |typed| interval(typed, &TimeZone::UTC);
    assert_eq!(utc("2016"), "2016-01-01T00:00:00Z 2017-01-01T00:00:00Z");
    assert_eq!(utc("2016-02"), "2016-02-01T00:00:00Z 2016-03-01T00:00:00Z");
    assert_eq!(utc("2016-07-25"), "2016-07-25T00:00:00Z 2016-07-26T00:00:00Z");
    assert_eq!(utc("2016-07-25T17"), "2016-07-25T17:00:00Z 2016-07-25T18:00:00Z");
    assert_eq!(utc("2016-07-25T17:54"), "2016-07-25T17:54:00Z 2016-07-25T17:55:00Z");
    assert_eq!(utc("2016-07-25T17:54:41Z"), "2016-07-25T17:54:41Z 2016-07-25T17:54:42Z");
    assert_eq!(utc("2016-07-25T17:54:41.856+02:00"), "2016-07-25T15:54:41.856Z 2016-07-25T15:54:41.857Z");
    assert_eq!(utc("1469469281856"), "2016-07-25T17:54:41.856Z 2016-07-25T17:54:41.857Z");
    assert_eq!(utc("\"2016-07-25 17:54\""), "2016-07-25T17:54:00Z 2016-07-25T17:55:00Z");
    assert_eq!(utc("..2016-07-31"), " 2016-08-01T00:00:00Z");
    assert_eq!(utc("2016.."), "2016-01-01T00:00:00Z ");
    assert_eq!(utc(">2016-07"), "2016-08-01T00:00:00Z ");
    assert_eq!(utc(">=2016-07"), "2016-07-01T00:00:00Z ");
    assert_eq!(utc("<2016-07"), " 2016-07-01T00:00:00Z");
    assert_eq!(utc("<=2016-07"), " 2016-08-01T00:00:00Z");
    assert_eq!(utc("2016-07-01..2016-07-31"), "2016-07-01T00:00:00Z 2016-08-01T00:00:00Z");
    assert_eq!(utc("today"), "2016-07-25T00:00:00Z 2016-07-26T00:00:00Z");
    assert_eq!(utc("yesterday"), "2016-07-24T00:00:00Z 2016-07-25T00:00:00Z");
    assert_eq!(utc(">=-7d"), "2016-07-18T17:54:41.856Z ");
}

#[test]
fn local_times_where_clocks_change() {
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a valid rule");
    assert_eq!(interval("2016-10-30", &berlin), "2016-10-29T22:00:00Z 2016-10-30T23:00:00Z");
    assert_eq!(interval("2016-03-27", &berlin), "2016-03-26T23:00:00Z 2016-03-27T22:00:00Z");
    // 02:30 comes twice: both belong. 01:59 comes once and ends before the first 02:00.
    assert_eq!(interval("2016-10-30T02:30", &berlin), "2016-10-30T00:30:00Z 2016-10-30T01:31:00Z");
    assert_eq!(interval("2016-10-30T01:59", &berlin), "2016-10-29T23:59:00Z 2016-10-30T00:00:00Z");
}

#[test]
fn resolved_text_means_the_same_anywhere() {
    let tokyo = ParseOptions { tz: TimeZone::fixed(jiff::tz::offset(9)), now_ms: 1_469_469_281_856 };
    let query = parse("a start:2016-07-25 end:>=yesterday", &tokyo).expect("good");
    assert_eq!(
        query.resolved().to_string(),
        "a AND start:2016-07-24T15:00:00.000Z..2016-07-25T14:59:59.999Z AND end:>=2016-07-24T15:00:00.000Z"
    );
}

#[test]
fn refused_words() {
    refuses(
        "a agnt:refund",
        "agnt:",
        "`agnt:` is not a field; did you mean `agent:`? To search the text `agnt:refund`, quote it",
        "a agent:refund",
    );
    refuses("zzzqqq:x", "zzzqqq:", "`zzzqqq:` is not a field.", "\"zzzqqq:x\"");
    refuses("sdes.a.b:7", "sdes.a.b:", "`sdes.a.b:` is not a field", "\"sdes.a.b:7\"");
    refuses("consumer: refund", "consumer:", "`consumer:` is followed by a space", "consumer:refund");
    refuses("a skill:", "skill:", "`skill:` has no value", "a skill");
    refuses("consumer:-a", "-a", "`-` stands before the field", "consumer:a");
    refuses("consumer:AND", "AND", "`AND` is an operator", "consumer:\"AND\"");
    refuses("mcs<50", "mcs<50", "`mcs<50` has no colon; did you mean `mcs:<50`?", "mcs:<50");
    refuses("a !!!", "!!!", "`!!!` holds no letter or digit", "");
    refuses("\"...\"", "\"...\"", "the phrase \"...\" holds no letter or digit", "");
    refuses("\"\"", "\"\"", "the phrase \"\" holds no letter or digit", "");
    refuses("**", "**", "`**` has no letter or digit beside its wildcards", "");
    refuses("refund~", "refund~", "`~` needs the number of letters", "refund~1");
    refuses("refund~0", "refund~0", "`~0` allows no difference", "refund");
    refuses("refund~1+9", "refund~1+9", "`+9` is how many letters", "refund~1");
    refuses("stem:\"a b\"", "stem:", "`stem:` takes one word directly", "");
    refuses("stem:(a OR b)", "stem:", "`stem:` takes one word directly", "");
    refuses("stem:a-b", "stem:a-b", "`stem:` takes one word", "");
    refuses("stem.xx:a", "stem.xx:a", "`stem.xx:` is no language", "stem:a");
    refuses("number:x", "number:x", "`number:` takes whole numbers", "");
    refuses("refund~3", "refund~3", "`~3` is too far", "refund~2");
    refuses("ref*~1", "ref*~1", "a word is either fuzzy", "ref*");
    refuses("12~~24", "12~~24", "`12~~24` is dtSearch's range of numbers; here it is `number:12..24`", "number:12..24");
    refuses("ba%nana", "ba%nana", "`%` is fuzzy search in dtSearch; here it is `banana~1`", "banana~1");
    refuses(r"a\*b", r"a\*b", "a backslash has a meaning only inside quotes", r#""a\\\*b""#);
    refuses(
        "\"cancel* account\"",
        "\"cancel* account\"",
        "`*` between quotes is not a wildcard",
        "(cancel* pre/1 account)",
    );
    refuses("\"ref?nd\"", "\"ref?nd\"", "`?` between quotes is not a wildcard", "ref?nd");
    refuses("//", "//", "`//` is an empty regular expression", "");
    refuses("/a b/", "/a b/", "a regular expression matches one whole word", "");
    refuses("/etc/passwd", "/etc/passwd", "text directly after a regular expression", "\"/etc/passwd\"");
    refuses("/etc", "/etc", "a regular expression begins with `/`", "\"/etc\"");
    refuses("–refund", "–", "`–` is a dash", "-refund");
}

#[test]
fn refused_operators() {
    refuses("", "", "the query is empty", "*");
    refuses("  ", "  ", "the query is empty", "*");
    refuses("a && b", "&&", "`&&` is not an operator here; write AND", "a AND b");
    refuses("a || b", "||", "`||` is not an operator here; write OR", "a OR b");
    refuses("a !b", "!", "`!` is not an operator here; write NOT", "a NOT b");
    refuses("+a b", "+", "`+` is not needed", "a b");
    refuses("refund^2", "refund^2", "boosting (`^2`)", "refund");
    refuses("\"a b\"^2", "\"a b\"^2", "boosting (`^`)", "\"a b\"");
    refuses("\"a b\"~3", "\"a b\"~3", "`~` after a phrase", "(a w/4 b)");
    refuses("\"a b\"c", "\"a b\"c", "a word directly after a quote", "\"a b\" c");
    refuses("\"a b\",", "\"a b\",", "`,` after the quote", "\"a b\"");
    refuses("a\"b\"", "\"", "a quote directly after a word", "a \"b\"");
    refuses("a \"b c", "\"", "the quote `\"` is never closed", "a \"b c\"");
    refuses("a NEAR/5 b", "NEAR/5", "`NEAR/5` is not an operator here; write w/5", "a w/5 b");
    refuses("a NEAR b", "NEAR", "`NEAR` needs a distance", "a w/5 b");
    refuses("a w/s b", "w/s", "`w/s` (same sentence)", "a w/15 b");
    refuses("a w/p b", "w/p", "`w/p` (same paragraph)", "a turns/0 b");
    refuses("a w/ 5 b", "w/", "the distance is missing", "a w/5 5 b");
    refuses("a w/0 b", "w/0", "two words cannot stand in one place", "a w/1 b");
    refuses("a w/99999999999 b", "w/99999999999", "`99999999999` is too far", "a w/1000 b");
    refuses("a post/5 b", "post/5", "`post/n` is not part of the language", "a w/5 b");
    refuses("AND a", "AND", "`AND` has nothing before it", "a");
    refuses("a AND", "AND", "`AND` has nothing after it", "a");
    refuses("a OR OR b", "OR", "`OR` has nothing before it", "a OR  b");
    refuses("a w/5", "w/5", "`w/5` has nothing after it", "a");
    refuses("w/5 a", "w/5", "`w/5` has nothing before it", "a");
    refuses("a NOT", "NOT", "`NOT` has nothing after it", "a");
    refuses("a ()", "()", "nothing stands between the parentheses", "a");
    refuses("(a b", "(", "`(` is never closed", "(a b)");
    refuses("a) b", ")", "`)` has no `(` before it", "a b");
    refuses("a (", "(", "`(` is never closed, and nothing follows it", "a");
}

#[test]
fn refused_proximity() {
    refuses("a w/5 b w/5 c", "w/5", "proximity cannot be chained", "a w/5 b AND b w/5 c");
    refuses(
        "(a b) w/5 (c d)",
        "(a b) w/5 (c d)",
        "with AND or a proximity on both sides of `w/5`",
        "(a w/5 (c d)) AND (b w/5 (c d))",
    );
    refuses("(a w/2 b) w/5 (c w/2 d)", "(a w/2 b) w/5 (c w/2 d)", "with AND or a proximity on both sides", "");
    refuses("(a OR (b c)) w/5 d", "(a OR (b c))", "AND inside OR, or inside another proximity", "");
    refuses("((a b) w/5 c) w/9 d", "((a b) w/5 c)", "AND inside OR, or inside another proximity", "");
    refuses("a w/5 (b turns/1 c)", "(b turns/1 c)", "`turns/n` inside another proximity", "");
    refuses("(a w/2 b) turns/1 c", "(a w/2 b)", "`turns/1` counts messages between texts", "");
    refuses("a NOT w/5 (b c)", "(b c)", "`NOT w/5` takes words, phrases and alternatives (OR), not AND", "");
    refuses("raw:a w/5 b", "raw:a w/5 b", "`raw:` counts the words of tags too", "");
    refuses("a w/5 skill:3", "skill:3", "`w/5` stands between texts; metadata", "a AND skill:3");
    refuses("a w/5 sde:gold", "sde:gold", "`w/5` stands between texts of messages", "a AND sde:gold");
    refuses("a w/5 -b", "-b", "`w/5` needs something that is there", "(a AND NOT (a w/5 b))");
    refuses("NOT a w/5 b", "NOT a", "`w/5` needs something that is there", "(b AND NOT (a w/5 b))");
    refuses("NOT w/20 b", "NOT w/20", "`NOT w/20` has nothing before it to join", "");
    refuses("a NOT turns/2 b", "NOT turns/2", "`NOT turns/n` is not part of the language", "");
    refuses("* w/5 b", "*", "`*` on a side of `w/5`", "");
    refuses(
        "consumer:a w/5 agent:b",
        "consumer:a w/5 agent:b",
        "one message has one speaker",
        "consumer:a turns/1 agent:b",
    );
}

#[test]
fn refused_values() {
    refuses(
        "end_reason:visitor-disconected",
        "visitor-disconected",
        "`visitor-disconected` is not a value of `end_reason:`; did you mean `visitor-disconnected`?",
        "end_reason:visitor-disconnected",
    );
    refuses("status:zzzzzz", "zzzzzz", "`zzzzzz` is not a value of `status:`; it is one of: open, closed, close", "");
    refuses(
        "has:transfers",
        "transfers",
        "`transfers` is not a value of `has:`; did you mean `transfer`?",
        "has:transfer",
    );
    refuses("interactive:maybe", "maybe", "`interactive:` is `true` or `false`", "");
    refuses("skill:3,4", "3,4", "`skill:3,4` holds a comma", "skill:(3 OR 4)");
    refuses("id:75*", "75*", "`id:` is compared whole, so it takes no wildcard", "id:\"75\\*\"");
    refuses("id:>5", ">5", "`id:` is compared whole, so it takes no comparison", "id:\">5\"");
    refuses("skill:/3/", "/3/", "`skill:` is compared whole, so it takes no regular", "skill:\"/3/\"");
    refuses("skill:(3 4)", "4", "values in parentheses need AND or OR", "skill:(3 OR 4)");
    refuses("start:[2016 TO 2017]", "[2016 TO 2017]", "`[a TO b]` is not part of the language", "start:2016..2017");
    refuses("mcs:{50 TO *}", "{50 TO *}", "`[a TO b]` is not part of the language", "mcs:50..");
    refuses("start:2017..2016", "2017..2016", "the range `2017..2016` ends before it begins", "start:2016..2017");
    refuses("mcs:9..1", "9..1", "the range `9..1` ends before it begins", "mcs:1..9");
    refuses("mcs:..", "..", "`..` has no end on either side", "mcs:*");
    refuses("mcs:=>5", "=>5", "`=>` is written `>=`", "mcs:>=5");
    refuses("mcs:>", ">", "`>` has no value after it", "");
    refuses("mcs:>1..2", ">1..2", "`>1..2` mixes `>` and a range", "mcs:1..2");
    refuses("mcs:high", "high", "`high` is not a number", "");
    refuses("mcs:12345678901234567", "12345678901234567", "`12345678901234567` has more digits", "");
    refuses("duration:10x", "10x", "`10x` is not a duration", "");
    refuses("duration:99999999999999w", "99999999999999w", "`99999999999999w` is longer than can be counted", "");
    refuses("start:25/07/2016", "25/07/2016", "`25/07/2016` can be read in more than one way", "start:2016-07-25");
    refuses("start:07/08/2016", "07/08/2016", "`07/08/2016` can be read in more than one way", "");
    refuses("start:20160725", "20160725", "`20160725` has no dashes", "start:2016-07-25");
    refuses("start:1469469281", "1469469281", "`1469469281` looks like epoch seconds", "start:1469469281000");
    refuses("start:2016-13", "2016-13", "`2016-13` is not a time", "");
    refuses("id:\"\"", "\"\"", "`id:` has an empty value", "id:*");
    refuses("consumer:(skill:3)", "skill:", "`skill:` stands inside the parentheses of `consumer:`", "");
    refuses("skill:(end:3)", "end:", "`end:` stands inside the parentheses of `skill:`", "");
}

#[test]
fn several_complaints_at_once() {
    let error = read("agnt:x mcs:high start:07/08/2016").expect_err("three faults");
    assert_eq!(error.complaints.len(), 3);
    let many = read(&"mcs:x ".repeat(100)).expect_err("a hundred faults");
    assert_eq!((many.complaints.len(), many.more), (20, 80));
}

#[test]
fn the_caret_stands_under_the_fault() {
    let error = read("返金 agnt:x").expect_err("no such field");
    assert_eq!(
        error.to_string(),
        "query, character 4: `agnt:` is not a field; did you mean `agent:`? To search the text `agnt:x`, quote it: \"agnt:x\"\n  \
         返金 agnt:x\n       ^^^^^\n  try: 返金 agent:x"
    );
    let long = read(&format!("{} w/0 \u{1b}b", "a ".repeat(500))).expect_err("no distance").to_string();
    assert!(long.lines().nth(1).is_some_and(|line| line.starts_with("  …")) && !long.contains('\u{1b}'), "{long}");
}

#[test]
fn places_are_remembered() {
    let located = parse_located("a OR (x consumer:b w/5 c) skill:3", &arbitrary::options()).expect("good");
    assert_eq!(located.span_of(&good("consumer:b w/5 c")), Some(8..24));
    assert_eq!(located.span_of(&good("skill:3")), Some(26..33));
    assert_eq!(located.span_of(&good("zzz")), None);
}

#[test]
fn tables_are_whole() {
    for (field, name, kind) in FIELDS {
        assert_eq!((field.name(), field.kind()), (*name, *kind));
    }
    assert_eq!(end_reason_label(205), Some("Visitor disconnected"));
    assert!(matches!(Field::Has.kind(), Kind::Choice(_)));
}

#[test]
fn nesting_is_bounded_and_length_is_not() {
    let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    good(&nested(DEEPEST));
    for typed in
        [nested(DEEPEST + 1), nested(100_000), "-".repeat(100_000) + "a", "NOT ".repeat(100_000), "(-".repeat(50_000)]
    {
        let error = read(&typed).expect_err("too deep");
        assert!(
            error.complaints.iter().any(|c| c.message.starts_with("parentheses and NOTs are nested")),
            "{}",
            error.complaints[0].message
        );
    }
    for joint in [" ", " OR ", " AND "] {
        let long = good(&vec!["word"; 100_000].join(joint));
        assert_eq!(good(&long.to_string()), long);
    }
    for stray in [
        "!", "+", "–", "skill:(-", "~", "a:", "(a w/2 ", "[", "OR ", "w/5 ", "a w/5 ", ") ", "() ", "\"\" ", "skill: ",
        "/ ", "a\" ",
    ] {
        read(&stray.repeat(20_000)).expect_err(stray);
    }
}
