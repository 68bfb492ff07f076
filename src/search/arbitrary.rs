//! Random query trees in the normal form that the parser produces, for property tests here and in later steps.
//!
//! Every tree from [`query`] prints to a text that parses back to it, under [`options`]. Words come from a small
//! vocabulary as well as from random letters, so that a corpus made of [`VOCABULARY`] gets hits.

use proptest::prelude::*;

use super::field::{FIELDS, Field, Kind, SPEAKERS, Scope};
use super::parse::ParseOptions;
use super::query::{
    AttributeRange, Condition, Near, Operand, Place, Query, Range, Side, Test, TextPattern, TextQuery, Turns,
};
use super::stem::Language;
use super::{lex, pattern, time, value};

/// Words that random queries use most.
pub(crate) const VOCABULARY: &[&str] = &[
    "refund",
    "cancel",
    "account",
    "manager",
    "Größe",
    "café",
    "ERR-204",
    "anna.m@example.org",
    "返金",
    "환불해주세요",
    "カード決済",
    "41111111",
    "4111-1111",
    "👍",
    "and",
    "10:30",
];

/// What random trees are parsed with.
pub(crate) fn options() -> ParseOptions {
    ParseOptions::utc(1_469_469_281_856)
}

/// A whole tree, up to five levels.
pub(crate) fn query() -> impl Strategy<Value = Query> {
    let leaf = prop_oneof![
        1 => Just(Query::All),
        6 => text().prop_map(Query::Text),
        2 => near().prop_map(Query::Near),
        1 => turns().prop_map(Query::Turns),
        1 => attribute().prop_map(Query::Attribute),
        3 => condition().prop_map(Query::Meta),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..5).prop_map(Query::and),
            prop::collection::vec(inner.clone(), 2..5).prop_map(Query::or),
            inner.prop_map(|part| Query::Not(Box::new(part))),
        ]
    })
}

/// A text with any scope.
pub(crate) fn text() -> impl Strategy<Value = TextQuery> {
    let scope = prop_oneof![
        4 => Just(Scope::Anywhere),
        3 => prop::sample::select(SPEAKERS).prop_map(|(_, scope)| scope),
        2 => prop::option::of(path()).prop_map(Scope::Sde),
    ];
    (scope, any_pattern(), prop::bool::weighted(0.05))
        .prop_map(|(scope, pattern, any)| {
            let pattern = if any && scope != Scope::Anywhere { TextPattern::Any } else { pattern };
            TextQuery { scope, pattern }
        })
        .prop_filter("reads as text", |text| match (&text.scope, &text.pattern) {
            // A comparison of numbers, quoted when it is printed.
            (Scope::Sde(_), TextPattern::Word(word)) => value::attribute_range(word) == Ok(None),
            _ => true,
        })
}

/// Paths that random attribute queries use: some that attributes have, some they do not.
const PATHS: &[&str] = &[
    "cartStatus.total",
    "cartStatus",
    "customerInfo.balance",
    "CUSTOMERINFO",
    "purchase.cart.numItems",
    "no.such-1_x",
];

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(PATHS).prop_map(str::to_owned),
        1 => "[a-zA-Z]{1,6}(\\.[a-zA-Z0-9_-]{1,6}){0,2}",
    ]
}

fn attribute() -> impl Strategy<Value = AttributeRange> {
    (prop::sample::select(PATHS), range((-9_999..99_999_i32).prop_map(tenths as fn(i32) -> f64)))
        .prop_map(|(path, range)| AttributeRange { path: path.to_owned(), range })
}

fn any_pattern() -> impl Strategy<Value = TextPattern> {
    prop_oneof![
        5 => word().prop_map(TextPattern::Word),
        3 => phrase().prop_map(TextPattern::Phrase),
        1 => "[a-zé]{0,3}[*?][a-z]{1,3}[*?]{0,2}".prop_map(TextPattern::Wildcard),
        1 => (prop::sample::select(&["refund", "cancel", "Größe"][..]), 1..=2_u8, 0..4_usize)
            .prop_map(|(word, distance, kept)| TextPattern::Fuzzy { word: word.to_owned(), distance, kept }),
        1 => (prop::sample::select(&["refunds", "cancelled", "Größe", "café"][..]), language())
            .prop_map(|(word, language)| TextPattern::Stem { word: word.to_owned(), language }),
        1 => (0..3000_u64, 0..3000_u64).prop_map(|(x, y)| TextPattern::Number { low: x.min(y), high: x.max(y) }),
        1 => "([a-z.*+?()|\"/-]|\\\\[dw\\\\]|\\[a-z\\]){1,6}".prop_map(TextPattern::Regex),
    ]
}

fn language() -> impl Strategy<Value = Language> {
    prop::sample::select(Language::all().collect::<Vec<_>>())
}

fn word() -> impl Strategy<Value = String> {
    let typed = prop_oneof![
        4 => prop::sample::select(VOCABULARY).prop_map(str::to_owned),
        1 => "[a-zA-Zäß0-9._@:/#'&<=~-]{1,10}",
        1 => "\\PC{1,6}",
    ];
    typed.prop_filter("reads as a word", |typed| {
        lex::is_bare_word(typed, None)
            && lex::is_bare_word(typed, Some(&super::field::Prefix::Scope(Scope::Consumer)))
            && pattern::bare(typed) == Ok(TextPattern::Word(typed.clone()))
    })
}

fn phrase() -> impl Strategy<Value = String> {
    let typed = prop_oneof![
        3 => prop::collection::vec(prop::sample::select(VOCABULARY), 1..4).prop_map(|words| words.join(" ")),
        1 => "[a-z \"\\\\*?“”]{1,10}",
        1 => any::<String>(),
    ];
    typed.prop_filter("can match something", |typed| pattern::searchable(typed))
}

fn operand(scope: Scope) -> impl Strategy<Value = Operand> {
    prop::collection::vec(any_pattern(), 1..4).prop_map(move |patterns| Operand {
        any_of: patterns.into_iter().map(|pattern| Place::Text(TextQuery { scope: scope.clone(), pattern })).collect(),
    })
}

/// A side that is more than alternatives: several with AND, or another proximity, alone or among alternatives.
fn compound(scope: Scope) -> impl Strategy<Value = Side> {
    let inner = (operand(scope.clone()), operand(scope.clone()), 1..6_u32, any::<bool>(), prop::bool::weighted(0.2));
    let pair = inner.prop_map(|(left, right, distance, ordered, absent)| {
        Place::Near(Box::new(Near { left: Side::of(left), right: Side::of(right), distance, ordered, absent }))
    });
    let with_pair = (pair, prop::option::of(operand(scope.clone()))).prop_map(|(pair, also)| {
        let mut any_of = also.map_or(Vec::new(), |also| also.any_of);
        any_of.push(pair);
        Operand { any_of }
    });
    prop_oneof![
        prop::collection::vec(operand(scope), 2..4).prop_map(|all_of| Side { all_of }),
        with_pair.prop_map(Side::of),
    ]
}

fn sides(scope: Scope) -> impl Strategy<Value = (Side, Side)> {
    let simple = || operand(scope.clone()).prop_map(Side::of);
    prop_oneof![
        3 => (simple(), simple()),
        1 => (compound(scope.clone()), simple()),
        1 => (simple(), compound(scope.clone())),
    ]
}

fn near() -> impl Strategy<Value = Near> {
    let scope = prop_oneof![3 => Just(Scope::Anywhere), 1 => Just(Scope::Agent), 1 => Just(Scope::Raw)];
    (scope.prop_flat_map(sides), 1..2000_u32, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |((left, right), distance, ordered, absent)| {
            let has_and = left.all_of.len() > 1 || right.all_of.len() > 1;
            Near { left, right, distance, ordered, absent: absent && !has_and }
        },
    )
}

fn turns() -> impl Strategy<Value = Turns> {
    let several = prop::collection::vec(operand(Scope::Anywhere), 1..3).prop_map(|all_of| Side { all_of });
    (operand(Scope::Consumer), several, 0..20_u32).prop_map(|(left, right, distance)| Turns {
        left: Side::of(left),
        right,
        distance,
    })
}

fn tenths(n: i32) -> f64 {
    f64::from(n) / 10.0
}

/// A condition on any field, of a kind that the field takes.
pub(crate) fn condition() -> impl Strategy<Value = Condition> {
    prop::sample::select(FIELDS).prop_flat_map(|(field, _, kind)| {
        let test = prop_oneof![20 => test_of(field, kind), 1 => Just(Test::Any)];
        test.prop_map(move |test| Condition { field, test })
    })
}

fn test_of(field: Field, kind: Kind) -> BoxedStrategy<Test> {
    match kind {
        Kind::Id | Kind::Keyword => {
            prop_oneof![3 => "[0-9]{1,20}", 1 => "\\PC{1,12}".prop_filter("not blank", |id| !id.trim().is_empty())]
                .prop_map(Test::Is)
                .boxed()
        }
        Kind::Words => any_pattern().prop_map(Test::Matches).boxed(),
        Kind::Time => time_typed()
            .prop_filter_map("in order", |typed| time::time_range(&typed, &options()).ok())
            .prop_map(Test::Time)
            .boxed(),
        Kind::Duration => range(0..10_000_000_000_i64).prop_map(Test::Duration).boxed(),
        Kind::Number => range((-9_999..99_999_i32).prop_map(tenths as fn(i32) -> f64)).prop_map(Test::Number).boxed(),
        Kind::Code(labels) => {
            let codes: Vec<i64> = labels.iter().map(|known| known.code).chain([999, -1]).collect();
            let code = prop::sample::select(codes).prop_map(Test::Code);
            if field == Field::EndReason {
                prop_oneof![4 => code, 1 => Just(Test::Is("consumer".to_owned()))].boxed()
            } else {
                code.boxed()
            }
        }
        Kind::Choice(choices) => {
            let known = prop::sample::select(choices).prop_map(|choice| Test::Is(choice.name.to_owned()));
            match field {
                Field::Device | Field::Status => {
                    prop_oneof![9 => known, 1 => "x[a-z]{4,8}( [a-z*,]{1,3})?".prop_map(Test::Is)].boxed()
                }
                _ => known.boxed(),
            }
        }
        Kind::Flag => any::<bool>().prop_map(Test::Flag).boxed(),
    }
}

fn time_typed() -> impl Strategy<Value = String> {
    let point = || {
        prop_oneof![
            "20[0-2][0-9]",
            "20[0-2][0-9]-0[1-9]",
            "20[0-2][0-9]-0[1-9]-[12][0-9]",
            "20[0-2][0-9]-0[1-9]-[12][0-9][T ]1[0-9](:[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,4})?)?)?(Z|[+-]0[0-9]:30)?",
            "1[0-9]{12}",
            "today|yesterday|now|-[1-9]d",
        ]
    };
    prop_oneof![
        point(),
        (prop::sample::select(&["<", "<=", ">", ">=", "=", "≥"][..]), point())
            .prop_map(|(sign, at)| format!("{sign}{at}")),
        (point(), point()).prop_map(|(low, high)| format!("{low}..{high}")),
        point().prop_map(|at| format!("{at}..")),
        point().prop_map(|at| format!("..{at}")),
    ]
}

fn range<T>(value: impl Strategy<Value = T> + Clone) -> impl Strategy<Value = Range<T>>
where
    T: PartialOrd + Copy + std::fmt::Debug,
{
    (0..6, value.clone(), value).prop_map(|(shape, x, y)| match shape {
        0 => Range::Exactly(x),
        1 if x <= y => Range::Between(x, y),
        1 => Range::Between(y, x),
        2 => Range::AtLeast(x),
        3 => Range::MoreThan(x),
        4 => Range::AtMost(x),
        _ => Range::LessThan(x),
    })
}
