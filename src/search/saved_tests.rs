//! The file of the saved searches, edited by program and by hand; names inside queries.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::search::arbitrary::options;
use crate::search::parse::{ParseOptions, parse, parse_located};
use jiff::tz::TimeZone;

fn saved(name: &str, query: &str) -> SavedSearch {
    SavedSearch {
        name: name.into(),
        query: query.into(),
        syntax: Syntax::default().name().into(),
        tz: "Europe/Berlin".into(),
        created: "2026-11-20T18:00:00Z".into(),
        note: (name == "a").then(|| "first \"of all\"\nwith two lines \u{1b} and a \\".into()),
    }
}

fn all(list: &[(&str, &str)]) -> SavedSearches {
    let text = list.iter().fold(String::new(), |text, (name, query)| with(&text, &saved(name, query)).unwrap());
    SavedSearches::read(&text).unwrap()
}

fn read(search: &SavedSearch) -> Result<Located, String> {
    parse_located(&search.query, &options()).map_err(|error| error.complaints[0].message.clone())
}

fn expanded(text: &str, searches: &SavedSearches) -> Result<Query, QueryError> {
    expand(parse_located(text, &options())?, text, searches, &read).map(|located| located.query)
}

#[test]
fn what_is_added_is_read_and_what_is_removed_leaves_the_rest_as_it_was() {
    let nasty =
        ["refund", "\"cancel my account\" OR 'it''s'", "[searches.b]\nquery = \"x\"", "'''", "\"\"\"", "a\tb # c"];
    let mut text = String::new();
    for (at, query) in nasty.iter().enumerate() {
        text = with(&text, &saved(&format!("n{at}"), query)).unwrap();
    }
    let searches = SavedSearches::read(&text).unwrap();
    for (at, query) in nasty.iter().enumerate() {
        let name = format!("n{at}");
        assert_eq!(searches.find(&name).unwrap(), &saved(&name, query));
    }
    assert!(matches!(with(&text, &saved("n1", "x")), Err(SavedError::Taken(name)) if name == "n1"));
    for at in (0..nasty.len()).rev() {
        // One whose lines cannot be told from its neighbours' is refused, never cut in the wrong place.
        match without(&text, &format!("n{at}")) {
            Ok(shorter) => text = shorter,
            Err(error) => assert!(matches!(error, SavedError::NotRemovable(_)), "{error}"),
        }
    }
    assert!(text.starts_with("# Saved searches"));
    assert!(SavedSearches::read(&text).unwrap().iter().len() <= 1, "{text}");
}

#[test]
fn comments_of_a_person_stay() {
    let text = "# mine\nformat = 1\n\n# the first\n[searches.a]\nquery = 'x' # why\n\n# the second\n[ searches . \"b\" ] # B\nquery = \"y\"\n# end\n";
    assert_eq!(SavedSearches::read(text).unwrap().find("b").unwrap().query, "y");
    let without_a = without(text, "a").unwrap();
    assert!(without_a.contains("# mine") && without_a.contains("# the second") && !without_a.contains("'x'"));
    let without_b = without(text, "b").unwrap();
    assert!(without_b.contains("query = 'x' # why") && !without_b.contains("\"y\""));
    assert!(with(text, &saved("c", "z")).unwrap().starts_with(text));
    let inline = "format = 1\nsearches = { a = { query = \"x\" }, b = { query = \"y\" } }\n";
    assert!(matches!(without(inline, "a"), Err(SavedError::NotRemovable(_))));
    assert!(with(inline, &saved("c", "z")).is_err());
}

#[test]
fn a_file_that_is_not_one_is_refused() {
    for (text, named) in [
        ("format = 2", "format 2"),
        ("[searches.a]\nquery = 'x'", "format = 1"),
        ("format = 1\n[searches.a]\nqeury = 'x'", "qeury"),
        ("format = 1\n[searches.a]\nnote = 'x'", "query"),
        ("format = 1\n[searches.a]\nquery = 3", "text"),
        ("format = 1\n[searches.\"a b\"]\nquery = 'x'", "a b"),
        ("format = 1\nsearchs = 3", "searchs"),
        ("format = 1\n[searches", "TOML"),
    ] {
        let error = SavedSearches::read(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
    assert_eq!(SavedSearches::read("\n").unwrap(), SavedSearches::default());
}

#[test]
fn names_stand_for_their_queries() {
    let searches = all(&[("a", "refund OR money"), ("b", "saved:a -manager"), ("any", "*")]);
    let is = |typed: &str, meant: &str| {
        assert_eq!(expanded(typed, &searches).unwrap(), parse(meant, &options()).unwrap(), "{typed}");
    };
    is("saved:a", "refund OR money");
    is("saved:a cancel", "(refund OR money) cancel");
    is("saved:a OR cancel", "refund OR money OR cancel");
    is("NOT Saved:b", "NOT ((refund OR money) AND NOT manager)");
    is("saved:a saved:b", "(refund OR money) AND ((refund OR money) AND NOT manager)");
    is("\"saved:a\"", "\"saved:a\"");
    let typed = "NOT (saved:a OR refund w/3 x) saved:b";
    let tree = parse(typed, &options()).unwrap();
    assert_eq!(parse(&tree.to_string(), &options()).unwrap(), tree, "what is printed reads back");
}

#[test]
fn what_cannot_be_put_in_is_refused_by_name_and_position() {
    let searches = all(&[
        ("a", "saved:b"),
        ("b", "x OR saved:c"),
        ("c", "saved:a y"),
        ("self", "saved:self"),
        ("broken", "agnt:x"),
        ("lost", "saved:gone"),
    ]);
    for (typed, at, named) in [
        ("x saved:a", 2, "`a` contains itself: a → b → c → a"),
        ("saved:self", 0, "self → self"),
        ("x OR saved:brokn", 5, "no saved search `brokn`"),
        ("saved:broken", 0, "agnt"),
        ("saved:lost", 0, "no saved search `gone` (in `lost`)"),
        ("saved:", 0, "name of a saved search"),
        ("saved:a.b", 0, "name of a saved search"),
        ("saved:\"a\"", 0, "name of a saved search"),
        ("cancel w/5 saved:a", 11, "whole conversation"),
        ("consumer:(saved:a)", 10, "no value of `consumer:`"),
        ("skill:(saved:a)", 7, "no value of `skill:`"),
    ] {
        let error = expanded(typed, &searches).expect_err(typed);
        assert_eq!(error.complaints[0].start, at, "{typed}: {error}");
        assert!(error.to_string().contains(named), "{typed}: {error}");
    }
    let error = expanded("x OR saved:brokn", &searches).unwrap_err();
    assert_eq!(error.complaints[0].suggestion.as_deref(), Some("x OR saved:broken"));
}

#[test]
fn a_saved_search_keeps_its_syntax_and_its_times() {
    let mut searches = all(&[("june", "start:2016-06"), ("both", "saved:june saved:counsel")]);
    let counsel = SavedSearch { syntax: "dtsearch".into(), ..saved("counsel", "cancel my order or saved:june") };
    searches.0.insert(counsel.name.clone(), counsel);
    // June of Berlin begins two hours before that of UTC.
    let berlin = ParseOptions { tz: TimeZone::get("Europe/Berlin").unwrap(), ..options() };
    let read = |search: &SavedSearch| {
        let syntax = Syntax::named(&search.syntax).unwrap();
        syntax.parse_located(&search.query, &berlin).map_err(|error| error.to_string())
    };
    let meant = |syntax: Syntax, typed: &str| {
        let located = syntax.parse_located(typed, &options()).unwrap();
        expand(located, typed, &searches, &read).unwrap().query.to_string()
    };
    let june = "start:2016-05-31T22:00:00.000Z..2016-06-30T21:59:59.999Z";
    assert_eq!(meant(Syntax::Chatvault, "saved:june"), june);
    let counsel = format!("\"cancel my order\" OR {june}");
    assert_eq!(meant(Syntax::Chatvault, "saved:counsel"), counsel);
    assert_eq!(
        meant(Syntax::Dtsearch, "saved:both and not refund me"),
        format!("{june} AND ({counsel}) AND NOT \"refund me\"")
    );
    // What is printed means the same in any time zone.
    let again = parse(june, &berlin).unwrap();
    assert_eq!(again.resolved().to_string(), june);
    for (typed, at, named) in [
        ("saved:", 0, "name of a saved search"),
        ("consumer:(saved:june)", 10, "no value of `consumer:`"),
        ("consumer:saved:june", 9, "no value of `consumer:`"),
        ("refund w/5 saved:june", 11, "whole conversation"),
        ("refund saved:june", 7, "without a connector"),
    ] {
        let error = Syntax::Dtsearch.parse_located(typed, &options()).expect_err(typed);
        assert_eq!(error.complaints[0].start, at, "{typed}: {error}");
        assert!(error.to_string().contains(named), "{typed}: {error}");
    }
}

#[test]
fn what_no_index_answers_is_refused_inside_a_saved_search_too() {
    let searches = all(&[("signs", "refund OR /(/"), ("outer", "x saved:signs")]);
    let direct = crate::search::check(&parse_located("/(/", &options()).unwrap(), "").unwrap_err();
    let error = expanded("saved:outer", &searches).unwrap_err();
    assert!(error.complaints[0].message.contains("the saved search `signs` (in `outer`)"), "{error}");
    assert!(error.complaints[0].message.contains(&direct.complaints[0].message), "{error}");
}

#[test]
fn growth_is_bounded() {
    let mut list = vec![("s0".to_owned(), "x".to_owned())];
    for level in 1..15 {
        let before = format!("(y saved:s{})", level - 1);
        list.push((format!("s{level}"), vec![before; 10].join(" OR ")));
    }
    let list: Vec<(&str, &str)> = list.iter().map(|(name, query)| (name.as_str(), query.as_str())).collect();
    let error = expanded("saved:s14", &all(&list)).unwrap_err();
    assert!(error.to_string().contains("10000 parts"), "{error}");
    let deep: Vec<(String, String)> = (0..30).map(|at| (format!("d{at}"), format!("x saved:d{}", at + 1))).collect();
    let deep: Vec<(&str, &str)> = deep.iter().map(|(name, query)| (name.as_str(), query.as_str())).collect();
    assert!(expanded("saved:d0", &all(&deep)).unwrap_err().to_string().contains("20 deep"));
    // Each level is readable by itself; the whole could not be read back from what is printed.
    let not = |count: usize, inner: &str| format!("{}{inner}", "NOT ".repeat(count));
    let nested = all(&[("in", &not(60, "x")), ("out", &not(60, "saved:in"))]);
    assert!(expanded("saved:out", &nested).unwrap_err().to_string().contains("100 deep"));
}
