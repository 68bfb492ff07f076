//! Query tree → a tantivy query that finds every conversation that matches, and whether it finds only those.
//!
//! Words, phrases, wildcards, fields and their combinations are answered by the index alone. Order, distance and turns
//! are not in the index the way the language means them: for these the compiled query gives candidates, never too few,
//! and the matcher decides on the transcript.

use super::attributes::{AtPath, Attributes};
use super::complaint::Complaint;
use super::expand::{ExpandedWords, Gathered};
use super::field::{Field as QueryField, Scope};
use super::parse::Located;
use super::query::{
    AttributeRange, Condition, Near, Operand, Place, Query as Tree, Range, Side, Test, TextPattern, TextQuery,
};
use super::words::{RunPart, WordPattern, WordSequence};
use crate::conversation::{Role, Supplement};
use crate::index::name;
use crate::index::schema::Fields;
use std::ops::Bound;
use std::sync::Arc;
use tantivy::Term;
use tantivy::query::{AllQuery, BooleanQuery, EmptyQuery, Occur, PhraseQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

/// A query as the index understands it.
pub(super) struct Compiled {
    /// Finds every match.
    pub(super) candidates: Box<dyn Query>,
    /// Finds nothing else.
    pub(super) exact: bool,
    /// Some part of it ranks conversations by their words.
    pub(super) ranks: bool,
}

/// Forms that this version does not answer, each refused by name, with its position.
pub(super) fn unsupported(located: &Located) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (leaf, span) in located.leaves() {
        let reason = match leaf {
            Tree::Text(text) => WordSequence::in_transcript(&text.pattern).err(),
            Tree::Meta(Condition { test: Test::Matches(pattern), .. }) => WordSequence::of(pattern).err(),
            Tree::Saved(name) => Some(format!("the saved search `{name}` cannot be looked up here")),
            _ => None,
        };
        if let Some(message) = reason {
            complaints.push(Complaint { start: span.start, end: span.end, message, suggestion: None });
        }
    }
    complaints
}

/// Compiles a tree that [`unsupported`] has nothing against.
pub(super) fn compile(tree: &Tree, fields: &Fields) -> Compiled {
    match tree {
        Tree::All => exactly(AllQuery),
        Tree::And(parts) => {
            let parts: Vec<Compiled> = parts.iter().map(|part| compile(part, fields)).collect();
            let exact = parts.iter().all(|part| part.exact);
            let ranks = parts.iter().any(|part| part.ranks);
            let clauses = parts.into_iter().map(|part| (Occur::Must, part.candidates)).collect();
            Compiled { candidates: Box::new(BooleanQuery::new(clauses)), exact, ranks }
        }
        Tree::Or(parts) => any(parts.iter().map(|part| compile(part, fields)).collect()),
        Tree::Not(inner) => {
            let inner = compile(inner, fields);
            if !inner.exact {
                // Too many inside would be too few outside.
                return Compiled { candidates: Box::new(AllQuery), exact: false, ranks: false };
            }
            let clauses: Vec<(Occur, Box<dyn Query>)> =
                vec![(Occur::Must, Box::new(AllQuery)), (Occur::MustNot, Box::new(Gathered(inner.candidates.into())))];
            Compiled { candidates: Box::new(BooleanQuery::new(clauses)), exact: true, ranks: false }
        }
        Tree::Text(text) => text_query(text, fields),
        Tree::Near(near) => near_query(near, fields),
        Tree::Turns(turns) => {
            let both = [&turns.left, &turns.right].map(|side| (Occur::Must, side_query(side, &Role::ALL, fields)));
            Compiled { candidates: Box::new(BooleanQuery::new(both.into())), exact: false, ranks: true }
        }
        Tree::Meta(condition) => meta(condition, fields),
        // Refused by `unsupported`; here only so that nothing is found by accident.
        Tree::Saved(_) => exactly(EmptyQuery),
        Tree::Attribute(AttributeRange { path, range }) => {
            let (path, wanted) = (path.to_lowercase(), AtPath::range(range));
            exactly(Attributes { field: fields.sde_number, path, wanted })
        }
    }
}

fn exactly(query: impl Query) -> Compiled {
    Compiled { candidates: Box::new(query), exact: true, ranks: false }
}

fn any(parts: Vec<Compiled>) -> Compiled {
    let exact = parts.iter().all(|part| part.exact);
    let ranks = parts.iter().any(|part| part.ranks);
    let clauses = parts.into_iter().map(|part| (Occur::Should, part.candidates)).collect();
    Compiled { candidates: Box::new(BooleanQuery::new(clauses)), exact, ranks }
}

/// The roles whose lines a scope covers; none for attributes, which are no lines.
pub(super) fn roles_of(scope: &Scope) -> &'static [Role] {
    match scope {
        Scope::Anywhere | Scope::Raw => &Role::ALL,
        Scope::Consumer => &[Role::Consumer],
        Scope::Agent => &[Role::Agent],
        Scope::Bot => &[Role::Bot],
        Scope::System => &[Role::System],
        Scope::Note => &[Role::Note],
        Scope::Sde(_) => &[],
    }
}

fn text_query(text: &TextQuery, fields: &Fields) -> Compiled {
    match &text.scope {
        Scope::Sde(None) => return sequence(&text.pattern, fields.sde),
        Scope::Sde(Some(path)) => return at_path(&text.pattern, path, fields),
        _ => {}
    }
    in_lines(text, &Role::ALL, fields)
}

/// A text in lines of these roles.
fn in_lines(text: &TextQuery, roles: &[Role], fields: &Fields) -> Compiled {
    if text.scope == Scope::Raw {
        // What tags hold is not in the index.
        return Compiled { candidates: Box::new(AllQuery), exact: false, ranks: false };
    }
    let Ok(words) = WordSequence::in_transcript(&text.pattern) else { return exactly(EmptyQuery) };
    let roles = roles_of(&text.scope).iter().filter(|role| roles.contains(role));
    any(roles.map(|role| words_query(&words, fields.text_of(*role))).collect())
}

/// Words of an attribute: one word is looked up, several are candidates, because the index does not know their order.
fn at_path(pattern: &TextPattern, path: &str, fields: &Fields) -> Compiled {
    let Ok(words) = WordSequence::of(pattern) else { return exactly(EmptyQuery) };
    let attributes = |wanted| Attributes { field: fields.sde_word, path: path.to_lowercase(), wanted };
    match words {
        WordSequence::AnyWord => exactly(attributes(AtPath::AnyWord)),
        WordSequence::Digits(run) => exactly(attributes(AtPath::Word(Arc::new(WordPattern::Exactly(run))))),
        WordSequence::Words(readings) => {
            let reading = |words: Vec<WordPattern>| {
                let exact = words.len() == 1;
                let clauses = words.into_iter().map(|word| -> (Occur, Box<dyn Query>) {
                    (Occur::Must, Box::new(attributes(AtPath::Word(Arc::new(word)))))
                });
                Compiled { candidates: Box::new(BooleanQuery::new(clauses.collect())), exact, ranks: false }
            };
            any(readings.into_iter().map(reading).collect())
        }
    }
}

/// Both sides in lines of the same speaker: what is in one message is.
fn near_query(near: &Near, fields: &Fields) -> Compiled {
    let per_role = Role::ALL.map(|role| (Occur::Should, near_in(near, &[role], fields)));
    Compiled { candidates: Box::new(BooleanQuery::new(per_role.into())), exact: false, ranks: true }
}

fn near_in(near: &Near, roles: &[Role], fields: &Fields) -> Box<dyn Query> {
    if near.absent {
        return side_query(&near.left, roles, fields);
    }
    let both = [&near.left, &near.right].map(|side| (Occur::Must, side_query(side, roles, fields)));
    Box::new(BooleanQuery::new(both.into()))
}

/// Candidates: every group of the side has one of its places in lines of these roles.
fn side_query(side: &Side, roles: &[Role], fields: &Fields) -> Box<dyn Query> {
    let place = |place: &Place| match place {
        Place::Text(text) => (Occur::Should, in_lines(text, roles, fields).candidates),
        // A stretch lies in one line, so its words are of one role; which one decides the matcher.
        Place::Near(near) => (Occur::Should, near_in(near, roles, fields)),
    };
    let group = |operand: &Operand| -> (Occur, Box<dyn Query>) {
        (Occur::Must, Box::new(BooleanQuery::new(operand.any_of.iter().map(place).collect())))
    };
    Box::new(BooleanQuery::new(side.all_of.iter().map(group).collect()))
}

fn sequence(pattern: &TextPattern, field: Field) -> Compiled {
    WordSequence::of(pattern).map_or_else(|_| exactly(EmptyQuery), |words| words_query(&words, field))
}

fn words_query(words: &WordSequence, field: Field) -> Compiled {
    match words {
        WordSequence::AnyWord => exactly(ExpandedWords { field, pattern: None }),
        WordSequence::Digits(run) => digits(run, field),
        WordSequence::Words(readings) => match &readings[..] {
            [words] => adjacent(words, field),
            several => any(several.iter().map(|words| adjacent(words, field)).collect()),
        },
    }
}

/// Words at adjacent positions.
fn adjacent(words: &[WordPattern], field: Field) -> Compiled {
    let literal: Option<Vec<Term>> = words
        .iter()
        .map(|word| match word {
            WordPattern::Exactly(word) => Some(Term::from_field_text(field, word)),
            _ => None,
        })
        .collect();
    let query: Box<dyn Query> = match (words, literal) {
        (_, Some(mut terms)) if terms.len() == 1 => {
            Box::new(TermQuery::new(terms.remove(0), IndexRecordOption::WithFreqs))
        }
        (_, Some(terms)) => Box::new(PhraseQuery::new(terms)),
        ([only], None) => Box::new(ExpandedWords { field, pattern: Some(Arc::new(only.clone())) }),
        (several, None) => {
            let clauses = several.iter().map(|word| -> (Occur, Box<dyn Query>) {
                (Occur::Must, Box::new(ExpandedWords { field, pattern: Some(Arc::new(word.clone())) }))
            });
            return Compiled { candidates: Box::new(BooleanQuery::new(clauses.collect())), exact: false, ranks: false };
        }
    };
    Compiled { candidates: query, exact: true, ranks: true }
}

/// Candidates: some word holds the run at one of its ends, or some word ends with a first part of it and some begins with a
/// last part.
fn digits(run: &str, field: Field) -> Compiled {
    let words = |part| -> Box<dyn Query> {
        let pattern = WordPattern::Digits { run: run.to_owned(), part };
        Box::new(ExpandedWords { field, pattern: Some(Arc::new(pattern)) })
    };
    let parts = [RunPart::First, RunPart::Last].map(|part| (Occur::Must, words(part)));
    let candidates = vec![
        (Occur::Should, words(RunPart::Whole)),
        (Occur::Should, Box::new(BooleanQuery::new(parts.into())) as Box<dyn Query>),
    ];
    Compiled { candidates: Box::new(BooleanQuery::new(candidates)), exact: false, ranks: true }
}

fn meta(condition: &Condition, fields: &Fields) -> Compiled {
    use QueryField as Q;
    let field = match condition.field {
        Q::Id => fields.id,
        Q::ConsumerId => fields.consumer_id,
        Q::VisitorId => fields.visitor_id,
        Q::AgentId => fields.agent_id,
        Q::AgentName => fields.agent_name,
        Q::VisitId => fields.visit_id,
        Q::Skill => fields.skill,
        Q::SkillName => fields.skill_name,
        Q::Survey => fields.survey,
        Q::Summary => fields.summary,
        Q::Intent => fields.intent,
        Q::Nps => fields.nps,
        Q::Campaign => fields.campaign,
        Q::Start => fields.start,
        Q::End => fields.end,
        Q::Closed => fields.closed,
        Q::Duration => fields.duration,
        Q::Queue => fields.queue,
        Q::EndReason => fields.end_reason,
        Q::StartReason => fields.start_reason,
        Q::Mcs => fields.mcs,
        Q::Csat => fields.csat,
        Q::Transfers => fields.transfers,
        Q::Messages => fields.messages,
        Q::Revisions => fields.revisions,
        Q::TransferReason => fields.transfer_reason,
        Q::Type => fields.kind,
        Q::Device => fields.device,
        Q::Origin => fields.origin,
        Q::Status => fields.status,
        Q::Interactive => fields.interactive,
        Q::Source => fields.source,
        Q::Has => fields.has,
    };
    match &condition.test {
        Test::Any => match condition.field {
            Q::EndReason => any(vec![
                range(Bound::Included(Term::from_field_i64(field, i64::MIN)), Bound::Unbounded),
                exactly(ExpandedWords { field: fields.closed_by, pattern: None }),
            ]),
            Q::Start | Q::End | Q::Closed | Q::Duration | Q::Queue | Q::StartReason => {
                range(Bound::Included(Term::from_field_i64(field, i64::MIN)), Bound::Unbounded)
            }
            Q::Mcs | Q::Csat | Q::Nps => {
                range(Bound::Included(Term::from_field_f64(field, f64::MIN)), Bound::Unbounded)
            }
            Q::Transfers | Q::Messages | Q::Revisions => exactly(AllQuery),
            Q::Interactive => any(vec![flag(field, true), flag(field, false)]),
            _ => exactly(ExpandedWords { field, pattern: None }),
        },
        Test::Is(value) => {
            let value = match condition.field {
                Q::Id | Q::ConsumerId | Q::VisitorId | Q::VisitId | Q::AgentId | Q::Skill => value.clone(),
                _ => value.to_lowercase(),
            };
            // Codes are numbers; who closed a messaging conversation is a name, and a field of its own.
            let field = if condition.field == Q::EndReason { fields.closed_by } else { field };
            exactly(TermQuery::new(Term::from_field_text(field, name(&value)), IndexRecordOption::Basic))
        }
        Test::Matches(pattern) => Compiled { ranks: false, ..sequence(pattern, field) },
        Test::Code(code) => {
            let code = Term::from_field_i64(field, *code);
            range(Bound::Included(code.clone()), Bound::Included(code))
        }
        Test::Time(interval) => {
            let term = |epoch_ms| Term::from_field_i64(field, epoch_ms);
            range(
                interval.from_ms.map_or(Bound::Included(term(i64::MIN)), |from| Bound::Included(term(from))),
                interval.to_ms.map_or(Bound::Unbounded, |to| Bound::Excluded(term(to))),
            )
        }
        Test::Duration(lengths) => of_range(lengths, |milliseconds| Term::from_field_i64(field, milliseconds)),
        Test::Number(numbers) if matches!(condition.field, Q::Transfers | Q::Messages | Q::Revisions) => {
            count(numbers, field)
        }
        Test::Number(numbers) => of_range(numbers, |number| Term::from_field_f64(field, number)),
        Test::Flag(wanted) => flag(field, *wanted),
    }
}

/// What a query does not show unless it names it: records that are no conversation (`type:survey`, `type:web-session`).
pub(super) fn hidden(tree: &Tree) -> Vec<Supplement> {
    fn names(tree: &Tree, supplement: Supplement) -> bool {
        match tree {
            Tree::And(parts) | Tree::Or(parts) => parts.iter().any(|part| names(part, supplement)),
            Tree::Not(inner) => names(inner, supplement),
            Tree::Meta(Condition { field: QueryField::Type, test: Test::Is(kind) }) => kind == supplement.name(),
            _ => false,
        }
    }
    let mut hidden = vec![Supplement::Survey, Supplement::WebSession];
    hidden.retain(|supplement| !names(tree, *supplement));
    hidden
}

fn flag(field: Field, wanted: bool) -> Compiled {
    exactly(TermQuery::new(Term::from_field_bool(field, wanted), IndexRecordOption::Basic))
}

fn range(low: Bound<Term>, high: Bound<Term>) -> Compiled {
    exactly(RangeQuery::new(low, high))
}

fn of_range<T: PartialOrd + Copy>(wanted: &Range<T>, term: impl Fn(T) -> Term) -> Compiled {
    let (low, high) = wanted.bounds();
    if matches!(wanted, Range::Between(low, high) if low > high) {
        return exactly(EmptyQuery);
    }
    match (low.map(&term), high.map(&term)) {
        // A range must name its field by at least one end; all do.
        (Bound::Unbounded, Bound::Unbounded) => exactly(AllQuery),
        (low, high) => range(low, high),
    }
}

/// A range of counts: `transfers:>1.5` is at least 2, and no count is below 0.
fn count(wanted: &Range<f64>, field: Field) -> Compiled {
    let (low, high) = wanted.bounds();
    let low = match low {
        Bound::Included(low) => low.ceil(),
        Bound::Excluded(low) => low.floor() + 1.0,
        Bound::Unbounded => 0.0,
    };
    let high = match high {
        Bound::Included(high) => high.floor(),
        Bound::Excluded(high) => high.ceil() - 1.0,
        Bound::Unbounded => f64::MAX,
    };
    if high < low || high < 0.0 {
        return exactly(EmptyQuery);
    }
    // `as` saturates, which is what a bound beyond all counts means.
    let term = |count: f64| Bound::Included(Term::from_field_u64(field, count.max(0.0) as u64));
    range(term(low), term(high))
}
