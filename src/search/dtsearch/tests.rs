//! dtSearch's syntax as a table: what each form is read as in our own, and each refusal with its words.

use super::parse_located;
use crate::search::arbitrary;
use crate::search::complaint::QueryError;
use crate::search::parse::parse;
use crate::search::query::Query;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn read(typed: &str) -> Result<Query, QueryError> {
    parse_located(typed, &arbitrary::options()).map(|located| located.query)
}

#[track_caller]
fn reads(typed: &str, ours: &str) {
    let query = read(typed).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(query.to_string(), ours, "{typed}");
    assert_eq!(parse(ours, &arbitrary::options()).unwrap_or_else(|error| panic!("{error}")), query, "printed again");
}

#[track_caller]
fn refuses(typed: &str, place: &str, words: &str, cure: &str) {
    let error = read(typed).expect_err(typed);
    let complaint = &error.complaints[0];
    assert_eq!(&typed[complaint.start..complaint.end], place, "{error}");
    assert!(complaint.message.starts_with(words), "{}", complaint.message);
    assert_eq!(complaint.suggestion.as_deref().unwrap_or(""), cure, "{error}");
    if !cure.is_empty() {
        read(cure).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn words_side_by_side_are_a_phrase() {
    reads("apple", "apple");
    reads("apple pear", "\"apple pear\"");
    reads("\"apple pear\"", "\"apple pear\"");
    reads("apple \"pear tree\" plum", "\"apple pear tree plum\"");
    reads("apple\npear", "\"apple pear\"");
    reads("anna.m@example.org", "anna.m@example.org");
    reads("https://example.org/a?b=5", "https://example.org/a?b=5");
    reads("going \"to\" cancel", "\"going to cancel\"");
    reads("\"this and that\"", "\"this and that\"");
    reads("\"yes - of course\"", "\"yes - of course\"".replace("- ", "").as_str());
    reads("4111111111111111", "4111111111111111");
    reads("10:30", "10:30");
    reads("*", "*");
    reads("AT&T", "AT&T");
}

#[test]
fn operators() {
    reads("apple and pear", "apple AND pear");
    reads("apple AND pear And plum", "apple AND pear AND plum");
    reads("apple or pear tree", "apple OR \"pear tree\"");
    reads("apple and (pear or plum)", "apple AND (pear OR plum)");
    reads("apple and not pear", "apple AND NOT pear");
    reads("apple not pear", "apple AND NOT pear");
    reads("not apple", "NOT apple");
    reads("apple w/5 pear tree", "apple w/5 \"pear tree\"");
    reads("apple W/5 pear and plum", "(apple w/5 pear) AND plum");
    reads("apple pre/5 pear", "apple pre/5 pear");
    reads("apple not w/20 pear", "apple NOT w/20 pear");
    reads("(apple or pear) w/5 plum", "(apple OR pear) w/5 plum");
    reads("apple w/5 (pear or plum)", "apple w/5 (pear OR plum)");
    reads("(apple and pear) w/10 plum", "(apple AND pear) w/10 plum");
    reads("(apple w/3 pear) w/10 plum", "(apple w/3 pear) w/10 plum");
}

#[test]
fn signs_inside_words() {
    reads("appl*", "appl*");
    reads("*ing", "*ing");
    reads("appl?", "appl?");
    reads("apply~", "stem:apply");
    reads("ba%nana", "banana~1+2");
    reads("b%an%ana", "banana~2+1");
    reads("appl%", "appl~1+4");
    reads("12~~24", "number:12..24");
    reads("N===", r"/N\d\d\d/");
    reads("ERR-===", r#""ERR" pre/1 /\d\d\d/"#);
    reads("##199[0-9]", "/199[0-9]/");
    reads("\"##199[0-9]\"", "/199[0-9]/");
    reads("cancel* my order", "cancel* pre/1 \"my order\"");
    reads("cancel* my order~ now", "((cancel* pre/1 \"my\") pre/1 stem:order) pre/1 \"now\"");
    reads("cancel* order w/5 refund~ now", "(cancel* pre/1 \"order\") w/5 (stem:refund pre/1 \"now\")");
    reads("budget 12~~24", "\"budget\" pre/1 number:12..24");
}

#[test]
fn fields() {
    reads("agent contains refund", "agent:refund");
    reads("agent contains (refund or cancel*)", "agent:refund OR agent:cancel*");
    reads("agent:: best I can do", "agent:\"best I can do\"");
    reads("agent::refund and consumer:\"no way\"", "agent:refund AND consumer:\"no way\"");
    reads("agent:(a or b c)", "agent:a OR agent:\"b c\"");
    reads("agent_name contains smith*", "agent_name:smith*");
    reads("start:2016-07-01..2016-07-31 and mcs:<50", "start:2016-07-01..2016-07-31 AND mcs:<50");
    reads("end_reason contains 205", "end_reason:visitor-disconnected");
    reads("skill:(3 or 4)", "skill:3 OR skill:4");
    reads("has:summary", "summary:*");
    reads("sde.cartStatus.total:>100", "sde.cartStatus.total:>100");
    reads("sde:gold", "sde:gold");
    reads("refund and raw:\"href\"", "refund AND raw:\"href\"");
}

/// Every form of dtSearch, and of others, that is not honoured.
#[test]
fn every_unsupported_form_is_refused_by_name() {
    refuses("", "", "the query is empty", "*");
    refuses("#smith", "#smith", "`#` (sounds like) is not built", "smith");
    refuses("fast&", "fast&", "`&` (synonyms) is not built", "fast");
    refuses("word:5", "word:5", "`:5` is a weight", "word");
    refuses("a w/10 xlastword", "xlastword", "`xlastword` (the beginning or end of a document)", "");
    refuses("xfirstword w/5 a", "xfirstword", "`xfirstword` (the beginning or end of a document)", "");
    refuses("a and date(jan 1 2016 to feb 1 2016)", "date(jan 1 2016 to feb 1 2016)", "`date()` (a recogniser)", "");
    refuses("mail(anna*)", "mail(anna*)", "`mail()` (a recogniser)", "");
    refuses("creditcard(4111*)", "creditcard(4111*)", "`creditcard()` (a recogniser)", "");
    refuses("xfilter(word \"a\")", "xfilter(word \"a\")", "`xfilter()` (a recogniser)", "");
    refuses("a andany b", "andany", "`andany` is not built", "a");
    refuses("(a andany b (c)) and d", "andany", "`andany` is not built", "(a) and d");
    refuses("andany apple", "andany", "`andany` is not built", "apple");
    refuses("apple w/10pear", "w/10pear", "`w/10pear`: a space is missing", "apple w/10 pear");
    refuses("apple /5 pear", "/5", "`/5` is not an operator of dtSearch", "apple w/5 pear");
    refuses("apple /s pear", "/s", "`/s` (same sentence) is not built", "apple w/15 pear");
    refuses("apple within 5 words of pear", "within 5 words of", "`within 5 words of`", "apple w/5 pear");
    reads("within 5 words", "\"within 5 words\"");
    refuses("a%", "a%", "`a%` would match every word of that length", "a");
    refuses("want to cancel", "to", "`to` is a connector of dtSearch", "want \"to\" cancel");
    refuses("a and b or c", "or", "`or` beside the other connector", "(a and b) or c");
    refuses("a or b w/5 c", "a or b w/5 c", "`or` and a distance side by side", "");
    refuses("a w/5 b w/5 c", "w/5", "distances cannot be chained", "(a w/5 b) w/5 c");
    refuses("(a and b) w/5 (c and d)", "(a and b) w/5 (c and d)", "with AND or a proximity on both sides", "");
    refuses("(a w/9 b) w/5 (c and d)", "(a w/9 b) w/5 (c and d)", "with AND or a proximity on both sides", "");
    refuses("a w/5 (not b)", "(not b)", "`w/5` needs something that is there", "");
    refuses("a w/5 skill:3", "skill:3", "`w/5` stands between texts; metadata", "");
    refuses("a post/5 b", "post/5", "`post/n` is not an operator of dtSearch; swap", "a w/5 b");
    refuses("a near/5 b", "near/5", "`near/n` is not an operator of dtSearch", "a w/5 b");
    refuses(
        "a turns/2 b",
        "turns/2",
        "`turns/n` is not an operator of dtSearch; turns/n belongs to our own",
        "a w/2 b",
    );
    refuses("a w/s b", "w/s", "`w/s`: the distance has to be a number", "a w/5 b");
    refuses("a w/ b", "w/", "the distance is missing", "a w/5 b");
    refuses("a w/0 b", "w/0", "two words cannot stand in one place", "a w/1 b");
    refuses("a && b", "&&", "`&&` is not an operator of dtSearch; write and", "a and b");
    refuses("a || b", "||", "`||` is not an operator of dtSearch; write or", "a or b");
    refuses("a -pear", "-pear", "`-` belongs to dtSearch's \"any words\" search", "a and not pear");
    refuses("a and -pear", "-pear", "`-` belongs to dtSearch's", "a and not pear");
    refuses("-pear", "-pear", "`-` belongs to dtSearch's", "not pear");
    refuses("a +pear", "+pear", "`+` belongs to dtSearch's", "a and pear");
    refuses("+pear", "+pear", "`+` belongs to dtSearch's \"any words\" search", "pear");
    refuses("refnd~1", "refnd~1", "`~1` is our own syntax", "r%efnd");
    refuses("\"a b\"~3", "~3", "`~3` after a phrase", "\"a b\"");
    refuses("refund^2", "refund^2", "`^2` is no sign of dtSearch", "refund");
    refuses("b%a%n%ana", "b%a%n%ana", "`b%a%n%ana` allows 3 differences", "b%a%nana");
    refuses("100%", "100%", "`%` makes a word fuzzy, and `100` has no letters", "100");
    refuses("ref*nd~", "ref*nd~", "`ref*nd~`: stemming (`~`) takes one plain word", "ref*nd");
    refuses("ref*n%d", "ref*n%d", "`ref*n%d`: a fuzzy word", "ref*nd");
    refuses("24~~12", "24~~12", "`24~~12` is a range of whole numbers", "");
    refuses("a - b", "-", "`-` holds no letter or digit", "a  b");
    refuses("** and a", "**", "`**` has no letter or digit beside", "");
    refuses("a * b", "*", "`*` has no letter or digit beside", "");
    refuses("subject contains refund", "subject", "`subject` is not a field", "");
    refuses("agnt contains refund", "agnt", "`agnt` is not a field; did you mean `agent`?", "agent contains refund");
    refuses("agnt:refund", "agnt", "`agnt` is not a field; did you mean `agent`?", "agent:refund");
    refuses("contains a", "contains", "`contains` has no field before it", "\"contains\" a");
    refuses("agent: refund", "agent:", "`agent:` is followed by a space", "agent:: refund");
    refuses("agent:(skill:3)", "skill:", "`skill` stands inside the parentheses of `agent`", "");
    refuses("agent_name contains (john* smith)", "john* smith", "a phrase with wildcards or other signs", "");
    refuses("a (b or c)", "(", "`(` follows without a connector", "a and (b or c)");
    refuses("and a", "and", "`and` has nothing before it", "a");
    refuses("a and", "and", "`and` has nothing after it", "a");
    refuses("a and ()", "(", "nothing stands between the parentheses", "");
    refuses("(a", "(", "`(` is never closed", "(a)");
    refuses("a)", ")", "`)` has no `(` before it", "a");
    refuses("a \"b", "\"", "the quote `\"` is never closed", "a \"b\"");
    refuses("mcs:high", "high", "`high` is not a number", "");
    refuses(&format!("{}a", "(".repeat(200)), "(", "parentheses and nots are nested more than", "");
    refuses(&format!("{}a", "not ".repeat(200)), "not", "parentheses and nots are nested more than", "");
}

/// What is read prints in our own syntax, and that reads back to the same tree; and no input panics.
#[test]
fn no_input_panics_and_all_trees_print() {
    let cases = if std::env::var_os("CHATVAULT_LONG").is_some() { 1_000_000 } else { 10_000 };
    let config = Config { cases, max_local_rejects: u32::MAX, failure_persistence: None, ..Config::default() };
    let signs = "([a-c]|[-+~^*?/\\\\()#%&=<>:.,0-9\"“” ]|and |or |not |w/2 |pre/1 |refund~ |b%an |N== |1~~2 |agent:|skill:|mcs:|sde.a:|raw:|sde:|agent_name:|contains |to |é|返){0,20}";
    TestRunner::new(config)
        .run(&prop_oneof![any::<String>(), signs], |typed| {
            match read(&typed) {
                Ok(query) => {
                    let printed = query.to_string();
                    let again = parse(&printed, &arbitrary::options());
                    prop_assert_eq!(again.ok(), Some(query), "{:?} printed as {}", typed, printed);
                }
                Err(error) => {
                    prop_assert!(!error.complaints.is_empty() && !error.to_string().is_empty());
                    for complaint in &error.complaints {
                        prop_assert!(typed.get(complaint.start..complaint.end).is_some());
                    }
                }
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn long_lists_stay_linear() {
    read(&"word* ".repeat(90)).expect("a long phrase");
    refuses(&"word* ".repeat(10_000), "word* ".repeat(10_000).trim_end(), "a phrase with wildcards or other signs", "");
    let long = vec!["word"; 65_000 / 8].join(" or ");
    read(&long).expect("a long list");
    for stray in [") ", "w/5 ", "a w/5 ", "or ", "a (", "\"\" ", "not w/5 ", "agent:: "] {
        read(&stray.repeat(5_000)).expect_err(stray);
    }
}
