//! Where the sides of a proximity stand in a conversation, and which of these places are near one another.
//!
//! A place is a stretch of words in one line, with the words that make it. For a text these are all its words; a stretch
//! of `(a w/3 b)` reaches from one word to the nearest other one, and what lies between belongs to the stretch but makes
//! it not. Work grows with the number of places and the reach, never with their square: a line that repeats a word a
//! million times is nothing unusual for whoever wants to do harm.

use super::compile::roles_of;
use super::field::Scope;
use super::query::{Near, Operand, Place, Side, TextQuery};
use super::transcript::{Line, LineWord, Transcript};
use super::words::{WordPattern, WordSequence, leading_digits, trailing_digits};
use crate::conversation::Role;
use std::ops::Range;

/// A text and the lines it may stand in.
pub(super) struct Wanted {
    roles: &'static [Role],
    /// In lines as received.
    raw: bool,
    words: WordSequence,
}

/// One place where a text stands, or a stretch.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) line: usize,
    /// Its ranges count in the line as received.
    pub(super) raw: bool,
    /// Positions of its first and last word.
    first: usize,
    last: usize,
    /// The words that make it: position and byte range.
    words: Vec<(usize, Range<usize>)>,
}

impl Occurrence {
    pub(super) fn ranges(&self) -> impl Iterator<Item = &Range<usize>> {
        self.words.iter().map(|(_, range)| range)
    }

    fn shares_word(&self, other: &Occurrence) -> bool {
        self.words.iter().any(|(at, _)| other.words.iter().any(|(position, _)| position == at))
    }

    fn joined(&self, other: &Occurrence) -> Occurrence {
        let mut words = [self.words.as_slice(), &other.words].concat();
        words.sort_unstable_by_key(|(at, range)| (*at, range.start));
        let (first, last) = (self.first.min(other.first), self.last.max(other.last));
        Occurrence { line: self.line, raw: self.raw, first, last, words }
    }
}

/// How near two places have to be.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    /// In words of one line.
    Words { distance: usize, ordered: bool },
    /// In words of one line, and overlapping counts too: what `NOT w/n` must not find.
    Away { distance: usize, ordered: bool },
    /// In lines.
    Turns { distance: usize },
}

impl Reach {
    /// Whether two places are so near. A place is not near itself.
    fn holds(self, left: &Occurrence, right: &Occurrence) -> bool {
        match self {
            Reach::Words { distance, ordered } | Reach::Away { distance, ordered } if left.line == right.line => {
                if left.last < right.first {
                    right.first - left.last <= distance
                } else if right.last < left.first {
                    !ordered && left.first - right.last <= distance
                } else if matches!(self, Reach::Away { .. }) {
                    left.words != right.words
                } else {
                    // One inside the other: the words of a stretch have room between them.
                    !ordered && !left.shares_word(right)
                }
            }
            Reach::Words { .. } | Reach::Away { .. } => false,
            Reach::Turns { distance } => {
                // Two places, not one twice.
                left.line.abs_diff(right.line) <= distance && (left.line != right.line || left.words != right.words)
            }
        }
    }

    /// Whether a place has a partner. Looks only at those within reach.
    fn has_partner(self, place: &Occurrence, others: &Places, place_is_left: bool) -> bool {
        let (from, to) = match self {
            Reach::Words { distance, .. } | Reach::Away { distance, .. } => (
                (place.line, place.first.saturating_sub(distance.saturating_add(others.longest))),
                (place.line, place.last.saturating_add(distance)),
            ),
            Reach::Turns { distance } => {
                ((place.line.saturating_sub(distance), 0), (place.line.saturating_add(distance), usize::MAX))
            }
        };
        let from = others.by_first.partition_point(|other| (other.line, other.first) < from);
        others.by_first[from..]
            .iter()
            .take_while(|other| (other.line, other.first) <= to)
            .any(|other| if place_is_left { self.holds(place, other) } else { self.holds(other, place) })
    }
}

/// Places in order.
struct Places {
    by_first: Vec<Occurrence>,
    /// Indices into `by_first`, by line and last word.
    by_last: Vec<usize>,
    /// Words between the first and the last word of the longest one.
    longest: usize,
}

impl Places {
    fn of(mut places: Vec<Occurrence>) -> Places {
        places.sort_by_key(|place| (place.line, place.first, place.last));
        places.dedup();
        let mut by_last: Vec<usize> = (0..places.len()).collect();
        by_last.sort_by_key(|&at| (places[at].line, places[at].last));
        let longest = places.iter().map(|place| place.last - place.first).max().unwrap_or(0);
        Places { by_first: places, by_last, longest }
    }

    /// The nearest places before, behind and around one: at most one of each.
    fn nearest<'p>(&'p self, place: &'p Occurrence) -> impl Iterator<Item = &'p Occurrence> {
        let before = self.by_last.partition_point(|&at| {
            let other = &self.by_first[at];
            (other.line, other.last) < (place.line, place.first)
        });
        let before = before.checked_sub(1).and_then(|at| self.by_first.get(self.by_last[at]));
        let behind = self.by_first.partition_point(|other| (other.line, other.first) <= (place.line, place.last));
        let around = self.by_first[..behind].iter().rev().take_while(move |other| {
            other.line == place.line && other.first.saturating_add(self.longest) >= place.first
        });
        let around = around.filter(move |other| other.last >= place.first).find(move |other| !other.shares_word(place));
        [before, self.by_first.get(behind), around].into_iter().flatten()
    }
}

/// A proximity, ready to be put to conversations.
pub(super) struct Proximity {
    /// The side without AND, whose places decide.
    anchor: Alternatives,
    anchor_is_left: bool,
    /// Each of these has to be near, or none for `absent`.
    partners: Vec<Alternatives>,
    reach: Reach,
    absent: bool,
}

type Alternatives = Vec<Source>;

enum Source {
    Text(Wanted),
    Near(Box<Proximity>),
}

impl Proximity {
    pub(super) fn near(near: &Near) -> Proximity {
        let (distance, ordered) = (near.distance as usize, near.ordered);
        let reach = if near.absent { Reach::Away { distance, ordered } } else { Reach::Words { distance, ordered } };
        Proximity { absent: near.absent, ..Proximity::new(&near.left, &near.right, reach) }
    }

    /// Of `left` and `right` one has no AND.
    pub(super) fn new(left: &Side, right: &Side, reach: Reach) -> Proximity {
        let anchor_is_left = left.all_of.len() == 1;
        let (anchor, others) = if anchor_is_left { (left, right) } else { (right, left) };
        Proximity {
            anchor: anchor.all_of.iter().flat_map(alternatives).collect(),
            anchor_is_left,
            partners: others.all_of.iter().map(alternatives).collect(),
            reach,
            absent: false,
        }
    }

    /// Whether it holds anywhere.
    pub(super) fn holds(&self, lines: &Transcript<'_>) -> bool {
        let partners: Vec<Places> = self.partners.iter().map(|partner| places(partner, lines)).collect();
        let anchors = places(&self.anchor, lines);
        anchors.by_first.iter().any(|place| self.is_met(place, &partners))
    }

    /// The places that make it hold: those of the anchor, and what is near them.
    pub(super) fn collect(&self, lines: &Transcript<'_>) -> Vec<Occurrence> {
        let partners: Vec<Places> = self.partners.iter().map(|partner| places(partner, lines)).collect();
        let mut found = places(&self.anchor, lines).by_first;
        found.retain(|place| self.is_met(place, &partners));
        if self.absent {
            return found;
        }
        let anchors = Places::of(found);
        let near = partners
            .into_iter()
            .flat_map(|partner| partner.by_first)
            .filter(|place| self.reach.has_partner(place, &anchors, !self.anchor_is_left));
        let mut found: Vec<Occurrence> = near.collect();
        found.extend(anchors.by_first);
        found
    }

    fn is_met(&self, place: &Occurrence, partners: &[Places]) -> bool {
        let has = |partner: &Places| self.reach.has_partner(place, partner, self.anchor_is_left);
        if self.absent { !partners.iter().any(has) } else { partners.iter().all(has) }
    }

    /// The stretches it makes, for a proximity around this one. There is no AND in it then.
    fn stretches(&self, lines: &Transcript<'_>) -> Vec<Occurrence> {
        if self.absent {
            return self.collect(lines);
        }
        let anchors = places(&self.anchor, lines);
        let partners = self.partners.iter().map(|partner| places(partner, lines));
        let mut found = Vec::new();
        for partner in partners {
            for (side, other, is_left) in
                [(&anchors, &partner, self.anchor_is_left), (&partner, &anchors, !self.anchor_is_left)]
            {
                for place in &side.by_first {
                    let near = other.nearest(place).filter(|other| {
                        if is_left { self.reach.holds(place, other) } else { self.reach.holds(other, place) }
                    });
                    found.extend(near.map(|other| place.joined(other)));
                }
            }
        }
        found
    }
}

fn alternatives(operand: &Operand) -> Alternatives {
    let source = |place: &Place| match place {
        Place::Text(text) => Wanted::of(text).map(Source::Text),
        Place::Near(near) => Some(Source::Near(Box::new(Proximity::near(near)))),
    };
    operand.any_of.iter().filter_map(source).collect()
}

fn places(alternatives: &Alternatives, lines: &Transcript<'_>) -> Places {
    let found = alternatives.iter().flat_map(|source| match source {
        Source::Text(wanted) => wanted.occurrences(lines),
        Source::Near(proximity) => proximity.stretches(lines),
    });
    Places::of(found.collect())
}

impl Wanted {
    /// `None`: nothing in it is a word.
    pub(super) fn of(text: &TextQuery) -> Option<Wanted> {
        let words = WordSequence::in_transcript(&text.pattern).ok()?;
        Some(Wanted { roles: roles_of(&text.scope), raw: text.scope == Scope::Raw, words })
    }

    pub(super) fn is_in(&self, lines: &Transcript<'_>) -> bool {
        let mut here = lines.lines(self.raw).iter().filter(|line| self.roles.contains(&line.role));
        here.any(|line| is_in_line(&self.words, line))
    }

    pub(super) fn occurrences(&self, lines: &Transcript<'_>) -> Vec<Occurrence> {
        let mut found: Vec<Occurrence> = Vec::new();
        let here = lines.lines(self.raw).iter().enumerate().filter(|(_, line)| self.roles.contains(&line.role));
        for (index, line) in here {
            let place = |words: Vec<(usize, Range<usize>)>| {
                let (first, last) = (words.first().map_or(0, |word| word.0), words.last().map_or(0, |word| word.0));
                Occurrence { line: index, raw: self.raw, first, last, words }
            };
            if let WordSequence::Digits(run) = &self.words {
                found.extend(grouped_digits(run, line).into_iter().map(place));
                continue;
            }
            for word in line.words() {
                let rest = match &self.words {
                    WordSequence::AnyWord => Some(Vec::new()),
                    WordSequence::Words(readings) => rest_of_some(readings, line, &word),
                    WordSequence::Digits(_) => None,
                };
                let Some(mut words) = rest else { continue };
                words.insert(0, (word.position, word.range.clone()));
                // A word and a part of it are one place.
                let same = |known: &Occurrence| known.line == index && known.first == word.position;
                if !found.last().is_some_and(same) {
                    found.push(place(words));
                }
            }
        }
        found
    }
}

/// Whether the words stand in a line.
pub(super) fn is_in_line(words: &WordSequence, line: &Line) -> bool {
    match words {
        WordSequence::AnyWord => line.words().next().is_some(),
        WordSequence::Digits(run) => !grouped_digits(run, line).is_empty(),
        WordSequence::Words(readings) => line.words().any(|word| rest_of_some(readings, line, &word).is_some()),
    }
}

/// As [`rest_follows`], of the first reading that begins with this word and holds.
fn rest_of_some(readings: &[Vec<WordPattern>], line: &Line, word: &LineWord<'_>) -> Option<Vec<(usize, Range<usize>)>> {
    readings.iter().find_map(|words| match words.split_first() {
        Some((first, rest)) if first.matches(word.folded) => rest_follows(rest, line, word.position),
        _ => None,
    })
}

/// Positions and byte ranges of the words behind `position`, if each is as wanted.
fn rest_follows(wanted: &[WordPattern], line: &Line, position: usize) -> Option<Vec<(usize, Range<usize>)>> {
    let follows = wanted
        .iter()
        .zip(position + 1..)
        .map(|(pattern, at)| line.words_at(at).find(|word| pattern.matches(word.folded)).map(|word| (at, word.range)));
    follows.collect()
}

/// Where groups of digits that follow each other make up the run, be it one group or several. Letters may stand before the
/// first and behind the last one (`Card4111 1111`), but not between.
fn grouped_digits(run: &str, line: &Line) -> Vec<Vec<(usize, Range<usize>)>> {
    let groups: Vec<_> = line.pieces().collect();
    let mut found = Vec::new();
    for (from, first) in groups.iter().enumerate() {
        let (leading, trailing) = (leading_digits(first.folded), trailing_digits(first.folded));
        let mut words = vec![(first.position, first.range.clone())];
        if leading == run || trailing == run {
            found.push(words);
            continue;
        }
        let Some(mut rest) = run.strip_prefix(trailing).filter(|_| !trailing.is_empty()) else { continue };
        for piece in &groups[from + 1..] {
            let leading = leading_digits(piece.folded);
            let Some(after) = rest.strip_prefix(leading).filter(|_| !leading.is_empty()) else { break };
            words.push((piece.position, piece.range.clone()));
            rest = after;
            if rest.is_empty() {
                found.push(words);
                break;
            }
            if leading.len() < piece.folded.len() {
                break;
            }
        }
    }
    found
}
