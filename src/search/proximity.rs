//! What may stand on either side of `w/n`, `pre/n`, `turns/n`: texts of messages, alternatives of them, a proximity, and on
//! one side several of these with AND.
//!
//! `(a b) w/5 c` is a `c` with both near it; `(a w/3 b) w/10 c` counts from the stretch of the pair. Two such sides at once
//! can be read in more than one way, and dtSearch warns of them; they are refused with their reason and, where there is
//! one, the query that says what was probably meant. A phrase written as `(a* pre/1 b)` is as good as a word.

use std::ops::Range;

use super::field::Scope;
use super::lex::Token;
use super::parse::{Parser, Part};
use super::query::{Near, Operand, Place, Query, Side, TextPattern, TextQuery, Turns};

/// How two sides are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    Near { distance: u32, ordered: bool, absent: bool },
    Turns { distance: u32 },
}

/// Which side cannot stand there, and why.
pub(super) struct Unfit {
    pub(super) at: Fault,
    pub(super) message: String,
    why: NotText,
}

/// The side at fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Left,
    Right,
    Both,
}

/// Joins two sides. `sign` is the operator as typed.
pub(super) fn join(joint: Joint, sign: &str, left: &Query, right: &Query) -> Result<Query, Unfit> {
    let unfit = |at, why: NotText| Unfit { at, message: why.message(sign), why };
    let left = side(left).map_err(|why| unfit(Fault::Left, why))?;
    let right = side(right).map_err(|why| unfit(Fault::Right, why))?;
    if is_compound(&left) && is_compound(&right) {
        return Err(unfit(Fault::Both, NotText::TwoCompounds));
    }
    match joint {
        Joint::Turns { distance } => {
            for (at, side) in [(Fault::Left, &left), (Fault::Right, &right)] {
                if side.all_of.iter().flat_map(|operand| &operand.any_of).any(is_pair) {
                    return Err(unfit(at, NotText::PairInTurns));
                }
            }
            Ok(Query::Turns(Turns { left, right, distance }))
        }
        Joint::Near { distance, ordered, absent } => {
            for (at, side) in [(Fault::Left, &left), (Fault::Right, &right)] {
                if absent && side.all_of.len() > 1 {
                    return Err(unfit(at, NotText::AllAbsent));
                }
            }
            let texts = (left.texts(), right.texts());
            let is_raw = |text: &&&TextQuery| text.scope == Scope::Raw;
            let raw = texts.0.iter().chain(&texts.1).filter(is_raw).count();
            if raw > 0 && raw < texts.0.len() + texts.1.len() {
                return Err(unfit(Fault::Both, NotText::TwoReadings));
            }
            let meet = |a: &TextQuery, b: &TextQuery| {
                a.scope == b.scope || a.scope == Scope::Anywhere || b.scope == Scope::Anywhere
            };
            if !texts.0.iter().any(|a| texts.1.iter().any(|b| meet(a, b))) {
                return Err(unfit(Fault::Both, NotText::TwoSpeakers));
            }
            Ok(Query::Near(Near { left, right, distance, ordered, absent }))
        }
    }
}

impl Parser<'_, '_> {
    /// Joins two sides, or complains about what cannot be one.
    pub(super) fn proximity(&mut self, joint: Joint, at: Range<usize>, left: Part, right: Part) -> Query {
        // A side that was refused already is not complained about twice.
        if !self.complaints.is_empty() {
            return Query::All;
        }
        let whole = left.1.start..right.1.end;
        let sign = self.source(at);
        match join(joint, &sign, &left.0, &right.0) {
            Ok(query) => query,
            Err(unfit) => {
                let (part, other) = if unfit.at == Fault::Right { (&right, &left) } else { (&left, &right) };
                let place = if unfit.at == Fault::Both { whole.clone() } else { part.1.clone() };
                let cure = self.proximity_cure(&unfit.why, part, other, &sign, part.1.start < other.1.start);
                self.complaints.add_with_edit(place, unfit.message, cure.as_deref().map(|text| (whole, text)));
                Query::All
            }
        }
    }

    fn proximity_cure(&self, why: &NotText, part: &Part, other: &Part, sign: &str, is_left: bool) -> Option<String> {
        let (own, others) = (self.source(part.1.clone()), self.source(other.1.clone()));
        let joined = |one: &str| {
            if is_left { format!("{one} {sign} {others}") } else { format!("{others} {sign} {one}") }
        };
        match why {
            NotText::Meta | NotText::Attribute => {
                Some(if is_left { format!("{own} AND {others}") } else { format!("{others} AND {own}") })
            }
            NotText::Negated => match &part.0 {
                Query::Not(inner) if side(inner).is_ok() && side(&other.0).is_ok() => {
                    Some(format!("({others} AND NOT ({}))", joined(&inner.to_string())))
                }
                _ => None,
            },
            NotText::TwoCompounds => match &part.0 {
                Query::And(parts) => {
                    let pairs: Vec<String> = parts.iter().map(|part| format!("({})", joined(&grouped(part)))).collect();
                    Some(pairs.join(" AND "))
                }
                _ => None,
            },
            NotText::TwoSpeakers => Some(format!("{own} turns/1 {others}")),
            _ => None,
        }
    }
}

fn grouped(query: &Query) -> String {
    match query {
        Query::Or(_) | Query::Near(_) => format!("({query})"),
        _ => query.to_string(),
    }
}

/// Why something cannot be a side of a proximity.
enum NotText {
    Meta,
    Attribute,
    Negated,
    Everything,
    /// AND below OR, or inside another proximity.
    AllInside,
    AllAbsent,
    Turns,
    TwoCompounds,
    PairInTurns,
    TwoSpeakers,
    TwoReadings,
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
            NotText::Negated => {
                format!("`{sign}` needs something that is there on both sides; put NOT outside")
            }
            NotText::Everything => {
                format!("`*` on a side of `{sign}` would be any word at all; name one")
            }
            NotText::AllInside => {
                format!(
                    "AND inside OR, or inside another proximity, is no side of `{sign}`, because it has no one place"
                )
            }
            NotText::AllAbsent => {
                format!("`{sign}` takes words, phrases and alternatives (OR), not AND; give each word its own `{sign}`")
            }
            NotText::Turns => {
                format!("`turns/n` inside another proximity (`{sign}`) is ambiguous; join two with AND")
            }
            NotText::TwoCompounds => format!(
                "with AND or a proximity on both sides of `{sign}` it is not clear which word has to be near which; one side has to be a word, a phrase or alternatives (OR)"
            ),
            NotText::PairInTurns => {
                format!("`{sign}` counts messages between texts; a proximity inside it is ambiguous; join two with AND")
            }
            NotText::TwoSpeakers => format!(
                "one message has one speaker, so these can never be `{sign}`; for neighbouring messages write turns/n"
            ),
            NotText::TwoReadings => format!(
                "`raw:` counts the words of tags too, so nothing outside it is `{sign}` of it; write raw: on every text"
            ),
        }
    }
}

/// Whether a side is more than a word, a phrase or alternatives of these.
fn is_compound(side: &Side) -> bool {
    side.all_of.len() > 1 || side.all_of.iter().flat_map(|operand| &operand.any_of).any(is_pair)
}

/// Whether it is a proximity, and not only a phrase that is written as one.
fn is_pair(place: &Place) -> bool {
    let inner = |side: &Side| side.all_of.iter().flat_map(|operand| &operand.any_of).any(is_pair);
    match place {
        Place::Text(_) => false,
        Place::Near(near) => {
            let is_phrase = near.ordered && near.distance == 1 && !near.absent;
            !is_phrase || inner(&near.left) || inner(&near.right)
        }
    }
}

fn side(query: &Query) -> Result<Side, NotText> {
    match query {
        Query::And(parts) => {
            let all_of = parts.iter().map(operand).collect::<Result<_, _>>()?;
            Ok(Side { all_of })
        }
        other => Ok(Side::of(operand(other)?)),
    }
}

/// Alternatives.
fn operand(query: &Query) -> Result<Operand, NotText> {
    match query {
        Query::Text(text) if text.pattern == TextPattern::Any => Err(NotText::Everything),
        Query::Text(text) if matches!(text.scope, Scope::Sde(_)) => Err(NotText::Attribute),
        Query::Text(text) => Ok(Operand::text(text.clone())),
        Query::Or(parts) => {
            let mut any_of = Vec::with_capacity(parts.len());
            for part in parts {
                any_of.append(&mut operand(part)?.any_of);
            }
            Ok(Operand { any_of })
        }
        Query::Near(near) if near.left.all_of.len() == 1 && near.right.all_of.len() == 1 => {
            Ok(Operand { any_of: vec![Place::Near(Box::new(near.clone()))] })
        }
        Query::And(_) | Query::Near(_) => Err(NotText::AllInside),
        Query::Attribute(_) => Err(NotText::Attribute),
        Query::Meta(_) => Err(NotText::Meta),
        Query::Not(_) => Err(NotText::Negated),
        Query::Turns(_) => Err(NotText::Turns),
        Query::All => Err(NotText::Everything),
    }
}

impl Token {
    /// The joint that an operator makes.
    pub(super) fn joint(&self, absent: bool) -> Option<Joint> {
        match *self {
            Token::Near { ordered, distance } => Some(Joint::Near { distance, ordered, absent }),
            Token::Turns { distance } if !absent => Some(Joint::Turns { distance }),
            _ => None,
        }
    }
}
