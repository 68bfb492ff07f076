//! What may stand on either side of `w/n`, `pre/n`, `turns/n`: texts of messages, or alternatives of them.
//!
//! Everything else is refused with its reason and, where there is one, the query that says what was probably meant:
//! `(a b) w/5 c` becomes `(a w/5 c) AND (b w/5 c)`.

use std::ops::Range;

use super::field::Scope;
use super::lex::Token;
use super::parse::{Parser, Part};
use super::query::{Near, Operand, Query, TextPattern, TextQuery, Turns};

impl Parser<'_, '_> {
    /// Joins two sides, or complains about what cannot be one.
    pub(super) fn proximity(&mut self, operator: &Token, at: Range<usize>, left: Part, right: Part) -> Query {
        // A side that was refused already is not complained about twice.
        if !self.complaints.is_empty() {
            return Query::All;
        }
        let whole = left.1.start..right.1.end;
        let sign = self.source(at);
        let sides = (operand(&left.0), operand(&right.0));
        for (side, other, query) in [(&left, &right, &sides.0), (&right, &left, &sides.1)] {
            if let Err(why) = query {
                let cure = self.proximity_cure(why, side, other, &sign, side.1.start < other.1.start);
                let message = why.message(&sign);
                self.complaints.add_with_edit(
                    side.1.clone(),
                    message,
                    cure.as_deref().map(|text| (whole.clone(), text)),
                );
                return Query::All;
            }
        }
        let (Ok(left), Ok(right)) = sides else {
            return Query::All;
        };
        match *operator {
            Token::Turns { distance } => Query::Turns(Turns { left, right, distance }),
            Token::Near { ordered, distance } => {
                let meet = |a: &TextQuery, b: &TextQuery| {
                    a.scope == b.scope || a.scope == Scope::Anywhere || b.scope == Scope::Anywhere
                };
                if !left.any_of.iter().any(|a| right.any_of.iter().any(|b| meet(a, b))) {
                    let cure = format!("{left} turns/1 {right}");
                    let message = format!(
                        "one message has one speaker, so these can never be `{sign}`; for neighbouring messages write turns/n"
                    );
                    self.complaints.add(whole, message, Some(&cure));
                    return Query::All;
                }
                Query::Near(Near { left, right, distance, ordered })
            }
            _ => Query::All,
        }
    }

    fn proximity_cure(&self, why: &NotText, side: &Part, other: &Part, sign: &str, side_first: bool) -> Option<String> {
        let (own, others) = (self.source(side.1.clone()), self.source(other.1.clone()));
        let joined = |one: &str| {
            if side_first { format!("{one} {sign} {others}") } else { format!("{others} {sign} {one}") }
        };
        match why {
            NotText::Meta | NotText::Attribute | NotText::Saved => {
                Some(if side_first { format!("{own} AND {others}") } else { format!("{others} AND {own}") })
            }
            NotText::Negated => match &side.0 {
                Query::Not(inner) if operand(inner).is_ok() && operand(&other.0).is_ok() => {
                    Some(format!("({others} AND NOT ({}))", joined(&inner.to_string())))
                }
                _ => None,
            },
            NotText::All => {
                let parts = match &side.0 {
                    Query::And(parts) if operand(&other.0).is_ok() => parts,
                    _ => return None,
                };
                let all_text = parts.iter().all(|part| operand(part).is_ok());
                let pairs: Vec<String> = parts.iter().map(|part| format!("({})", joined(&grouped(part)))).collect();
                all_text.then(|| pairs.join(" AND "))
            }
            NotText::Proximity | NotText::Everything => None,
        }
    }
}

fn grouped(query: &Query) -> String {
    if matches!(query, Query::Or(_)) { format!("({query})") } else { query.to_string() }
}

/// Why something cannot be one side of a proximity.
enum NotText {
    Meta,
    Attribute,
    Saved,
    Negated,
    All,
    Proximity,
    Everything,
}

impl NotText {
    fn message(&self, sign: &str) -> String {
        match self {
            NotText::Meta => {
                format!("`{sign}` stands between texts; metadata has no place in a message; join it with AND")
            }
            NotText::Attribute => {
                format!("`{sign}` stands between texts of messages; an attribute is in no message; join it with AND")
            }
            NotText::Saved => {
                format!(
                    "`{sign}` stands between texts; a saved search is about the whole conversation; join it with AND"
                )
            }
            NotText::Negated => {
                format!("`{sign}` needs something that is there on both sides; put NOT outside")
            }
            NotText::All => {
                format!("`{sign}` takes alternatives (OR) on a side, not AND; give each word its own `{sign}`")
            }
            NotText::Proximity => {
                format!("one proximity inside another (`{sign}`) is ambiguous; join two with AND")
            }
            NotText::Everything => {
                format!("`*` on a side of `{sign}` would be any word at all; name one")
            }
        }
    }
}

/// The texts of one side of a proximity.
fn operand(query: &Query) -> Result<Operand, NotText> {
    match query {
        Query::Text(text) if text.pattern == TextPattern::Any => Err(NotText::Everything),
        Query::Text(text) if matches!(text.scope, Scope::Sde(_)) => Err(NotText::Attribute),
        Query::Text(text) => Ok(Operand { any_of: vec![text.clone()] }),
        Query::Or(parts) => {
            let mut any_of = Vec::with_capacity(parts.len());
            for part in parts {
                any_of.append(&mut operand(part)?.any_of);
            }
            Ok(Operand { any_of })
        }
        Query::Attribute(_) => Err(NotText::Attribute),
        Query::Meta(_) => Err(NotText::Meta),
        Query::Saved(_) => Err(NotText::Saved),
        Query::Not(_) => Err(NotText::Negated),
        Query::And(_) => Err(NotText::All),
        Query::Near(_) | Query::Turns(_) => Err(NotText::Proximity),
        Query::All => Err(NotText::Everything),
    }
}
