//! Saved searches: named queries, the text file they live in, and `saved:NAME` inside a query.
//!
//! The file is TOML that people may read, compare and edit. Adding and removing change only the lines of one search and
//! are checked by reading the result, so comments and the order of a person stay. Nothing here touches the disk.

use super::compile::unsupported;
use super::complaint::{Complaint, QueryError};
use super::field::nearest;
use super::parse::{DEEPEST, Located};
use super::print::{instants, nesting};
use super::query::{Condition, Query, Test, TimeRange};
use super::syntax::Syntax;
use std::collections::BTreeMap;
use std::fmt::Write;
use toml::{Table, Value};

/// What a name has to look like, for messages.
pub const NAME_RULE: &str = "1 to 64 letters (a-z), digits, `-` and `_`";

/// Format of the file.
const FORMAT: i64 = 1;

const HEAD: &str = "# Saved searches of this vault, for `saved:NAME` in any query; `chatvault saved` lists and changes them.\nformat = 1\n";

/// Saved searches inside one another, at most.
const MOST_LEVELS: usize = 20;

/// Parts of a query after everything saved was put in its place, at most: ten searches that each name the one before
/// ten times are ten thousand million words.
const MOST_PARTS: usize = 10_000;

/// One saved search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSearch {
    /// What it is called; see [`is_name`].
    pub name: String,
    /// The query as typed.
    pub query: String,
    /// How the query is typed: the name of a [`Syntax`].
    pub syntax: String,
    /// Time zone that the query's dates are read in.
    pub tz: String,
    /// When it was saved, RFC 3339.
    pub created: String,
    /// What it is for.
    pub note: Option<String>,
}

/// All saved searches of a vault, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedSearches(BTreeMap<String, SavedSearch>);

/// What can be wrong with saved searches.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// The file is not what it should be; the text says where and why.
    #[error("the file of the saved searches cannot be used: {0}")]
    Malformed(String),
    /// Written by a later version of the program.
    #[error("the file of the saved searches has format {0}, this program knows {FORMAT}")]
    LaterFormat(i64),
    /// Not a name.
    #[error("{0:?} is no name of a saved search: {NAME_RULE}")]
    BadName(String),
    /// The name is taken.
    #[error("there is a saved search `{0}` already")]
    Taken(String),
    /// Nothing is called so.
    #[error("there is no saved search `{0}`")]
    Unknown(String),
    /// The lines of a search were not found, or are not lines of its own.
    #[error("the file was edited in a way that `{0}` cannot be taken out of it by program; edit it by hand")]
    NotRemovable(String),
    /// Others would lose their meaning.
    #[error("`saved:{name}` stands in other saved searches: {}", .by.join(", "))]
    InUse {
        /// The search.
        name: String,
        /// Those that name it.
        by: Vec<String>,
    },
    /// The query cannot be answered.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// Whether it can be the name of a saved search.
pub fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(is_letter)
}

/// Whether it is the word before the colon of `saved:NAME`.
pub(super) fn is_saved(prefix: &str) -> bool {
    prefix.eq_ignore_ascii_case("saved")
}

impl SavedSearches {
    /// Reads the file's text; an empty one holds none.
    ///
    /// # Errors
    /// [`SavedError::Malformed`] and [`SavedError::LaterFormat`]; an unknown key is malformed, never ignored.
    pub fn read(text: &str) -> Result<SavedSearches, SavedError> {
        let malformed = SavedError::Malformed;
        let table: Table = text.parse().map_err(|error: toml::de::Error| malformed(error.to_string()))?;
        let mut searches = BTreeMap::new();
        match table.get("format") {
            Some(Value::Integer(FORMAT)) => {}
            Some(Value::Integer(later)) => return Err(SavedError::LaterFormat(*later)),
            None if table.is_empty() => return Ok(SavedSearches::default()),
            _ => return Err(malformed(format!("it does not say `format = {FORMAT}`"))),
        }
        if let Some(key) = table.keys().find(|key| !["format", "searches"].contains(&key.as_str())) {
            return Err(malformed(format!("{key:?} is not known; searches stand in tables [searches.NAME]")));
        }
        let Some(found) = table.get("searches") else { return Ok(SavedSearches::default()) };
        let found = found.as_table().ok_or_else(|| malformed("`searches` is no table".into()))?;
        for (name, fields) in found {
            if !is_name(name) {
                return Err(SavedError::BadName(name.clone()));
            }
            let fields = fields.as_table().ok_or_else(|| malformed(format!("[searches.{name}] is no table")))?;
            searches.insert(name.clone(), search(name, fields)?);
        }
        Ok(SavedSearches(searches))
    }

    /// The search of that name.
    ///
    /// # Errors
    /// [`SavedError::Unknown`].
    pub fn find(&self, name: &str) -> Result<&SavedSearch, SavedError> {
        self.0.get(name).ok_or_else(|| SavedError::Unknown(name.to_owned()))
    }

    /// The name most like the one typed.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.0.keys().map(String::as_str))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SavedSearch> {
        self.0.values()
    }
}

fn search(name: &str, fields: &Table) -> Result<SavedSearch, SavedError> {
    const KEYS: [&str; 5] = ["query", "syntax", "tz", "created", "note"];
    if let Some(key) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let known = KEYS.join(", ");
        return Err(SavedError::Malformed(format!("[searches.{name}] has {key:?}, which is not known ({known})")));
    }
    let text = |key: &str| match fields.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Datetime(instant)) if key == "created" => Ok(Some(instant.to_string())),
        Some(_) => Err(SavedError::Malformed(format!("`{key}` of [searches.{name}] is no text"))),
    };
    let query = text("query")?;
    let query = query.ok_or_else(|| SavedError::Malformed(format!("[searches.{name}] has no `query`")))?;
    Ok(SavedSearch {
        name: name.to_owned(),
        query,
        syntax: text("syntax")?.unwrap_or_else(|| Syntax::default().name().to_owned()),
        tz: text("tz")?.unwrap_or_else(|| "UTC".to_owned()),
        created: text("created")?.unwrap_or_default(),
        note: text("note")?,
    })
}

/// The file's text with one search more; everything else stays as it is.
///
/// # Errors
/// [`SavedError::Taken`], [`SavedError::BadName`], and what [`SavedSearches::read`] says of `text`.
pub fn with(text: &str, added: &SavedSearch) -> Result<String, SavedError> {
    let mut expected = SavedSearches::read(text)?;
    if !is_name(&added.name) {
        return Err(SavedError::BadName(added.name.clone()));
    }
    if expected.0.insert(added.name.clone(), added.clone()).is_some() {
        return Err(SavedError::Taken(added.name.clone()));
    }
    let mut changed = if text.trim().is_empty() { HEAD.to_owned() } else { text.to_owned() };
    if !changed.ends_with('\n') {
        changed.push('\n');
    }
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let mut table = format!("\n[searches.{}]\nquery = {}\n", added.name, quoted(&added.query));
    let rest = [("syntax", Some(&added.syntax)), ("tz", Some(&added.tz)), ("created", Some(&added.created))];
    for (key, value) in rest.into_iter().chain([("note", added.note.as_ref())]) {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{key} = {}", quoted(value));
        }
    }
    changed.push_str(&table);
    match SavedSearches::read(&changed)? {
        found if found == expected => Ok(changed),
        _ => Err(SavedError::Malformed("a search cannot be added to the way it was edited".into())),
    }
}

/// The file's text without one search; everything else stays as it is.
///
/// # Errors
/// [`SavedError::Unknown`]; [`SavedError::NotRemovable`] where the search has no lines of its own.
pub fn without(text: &str, name: &str) -> Result<String, SavedError> {
    let mut expected = SavedSearches::read(text)?;
    if expected.0.remove(name).is_none() {
        return Err(SavedError::Unknown(name.to_owned()));
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_head = |line: &str| line.trim_start().starts_with('[');
    let plain = |line: &str| line.chars().filter(|c| !c.is_whitespace() && !"\"'".contains(*c)).collect::<String>();
    let wanted = format!("[searches.{name}]");
    let not_removable = || SavedError::NotRemovable(name.to_owned());
    let first = lines
        .iter()
        .position(|line| is_head(line) && plain(line).split('#').next() == Some(&wanted))
        .ok_or_else(not_removable)?;
    let next = lines[first + 1..].iter().position(|line| is_head(line)).map_or(lines.len(), |at| first + 1 + at);
    // What stands above the next table is about that one.
    let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let end = if next == lines.len() {
        next
    } else {
        next - lines[first..next].iter().rev().take_while(|line| is_comment(line)).count()
    };
    let mut changed: String = lines[..first].concat().trim_end().to_owned();
    changed.push('\n');
    changed.push_str(&lines[end..].concat());
    match SavedSearches::read(&changed) {
        Ok(found) if found == expected => Ok(changed),
        _ => Err(not_removable()),
    }
}

/// Names of the saved searches that a query asks for itself.
pub fn references(located: &Located) -> impl Iterator<Item = &str> {
    located.leaves().iter().filter_map(|(leaf, _)| match leaf {
        Query::Saved(name) => Some(name.as_str()),
        _ => None,
    })
}

/// Reads the query of a saved search in its own syntax and time zone; the error is a sentence.
pub type ReadQuery<'r> = &'r dyn Fn(&SavedSearch) -> Result<Located, String>;

/// Puts the saved searches in the place of their names.
///
/// # Errors
/// At the position of each name that is not known, cannot be read, or contains itself; and where the whole grows too large.
pub fn expand(
    located: Located,
    text: &str,
    searches: &SavedSearches,
    read: ReadQuery<'_>,
) -> Result<Located, QueryError> {
    if references(&located).next().is_none() {
        return Ok(located);
    }
    let mut expander = Expander { searches, read, done: BTreeMap::new() };
    let mut complaints = Vec::new();
    for (leaf, span) in located.leaves() {
        if let Query::Saved(name) = leaf
            && let Err(message) = expander.resolve(name, &mut Vec::new())
        {
            let near = searches.nearest(name).filter(|_| searches.find(name).is_err());
            let suggestion =
                near.and_then(|near| Some(format!("{}saved:{near}{}", text.get(..span.start)?, text.get(span.end..)?)));
            complaints.push(Complaint { start: span.start, end: span.end, message, suggestion });
        }
    }
    let whole = if complaints.is_empty() { expander.replaced(&located.query) } else { Ok(Query::All) };
    match whole {
        Ok(query) if complaints.is_empty() => return Ok(located.expanded(query)),
        Err(message) => complaints.push(Complaint { start: 0, end: text.len(), message, suggestion: None }),
        Ok(_) => {}
    }
    Err(QueryError { query: text.to_owned(), complaints, more: 0 })
}

struct Expander<'e> {
    searches: &'e SavedSearches,
    read: ReadQuery<'e>,
    /// Searches that were expanded, each once.
    done: BTreeMap<String, Query>,
}

impl Expander<'_> {
    /// Makes sure that `done` holds the search and all it names. `path`: the searches that it stands in.
    fn resolve(&mut self, name: &str, path: &mut Vec<String>) -> Result<(), String> {
        if let Some(at) = path.iter().position(|outer| outer == name) {
            let circle: Vec<&str> = path[at..].iter().map(String::as_str).chain([name]).collect();
            return Err(format!("the saved search `{name}` contains itself: {}", circle.join(" → ")));
        }
        if self.done.contains_key(name) {
            return Ok(());
        }
        if path.len() >= MOST_LEVELS {
            return Err(format!("saved searches stand in one another more than {MOST_LEVELS} deep here"));
        }
        let inside = path.last().map(|outer| format!(" (in `{outer}`)")).unwrap_or_default();
        let search = self.searches.find(name).map_err(|error| format!("{error}{inside}"))?;
        let located = (self.read)(search).map_err(|why| format!("the saved search `{name}`{inside}: {why}"))?;
        // Of what it names itself only the names are known here; that is asked one by one.
        if let Some(refused) = unsupported(&located.clone().expanded(Query::All)).into_iter().next() {
            return Err(format!("the saved search `{name}`{inside}: {}", refused.message));
        }
        path.push(name.to_owned());
        for inner in references(&located) {
            self.resolve(inner, path)?;
        }
        path.pop();
        let query = self.replaced(&located.query).map_err(|why| format!("the saved search `{name}`: {why}"))?;
        self.done.insert(name.to_owned(), anchored(query));
        Ok(())
    }

    /// The query with its names replaced, unless that grows beyond the bounds; measured before it is built.
    fn replaced(&self, query: &Query) -> Result<Query, String> {
        let (parts, depth) = self.size(query);
        if parts > MOST_PARTS {
            return Err(format!("with its saved searches it has more than {MOST_PARTS} parts"));
        }
        let too_deep = || format!("with its saved searches it is nested more than {DEEPEST} deep");
        // A conjunction at the top, and its leaves, are levels here and no parentheses.
        if depth > DEEPEST + 2 {
            return Err(too_deep());
        }
        let query = self.put(query);
        // As for a query that was typed: it is recorded as it is printed, and has to read back from that.
        if nesting(&query) > DEEPEST { Err(too_deep()) } else { Ok(query) }
    }

    /// Parts and levels after the replacement.
    fn size(&self, query: &Query) -> (usize, usize) {
        match query {
            Query::And(parts) | Query::Or(parts) => {
                let sizes = parts.iter().map(|part| self.size(part));
                let (parts, depth) = sizes.fold((1, 0), |(sum, deepest): (usize, usize), (parts, depth)| {
                    (sum.saturating_add(parts), deepest.max(depth))
                });
                (parts, depth + 1)
            }
            Query::Not(inner) => {
                let (parts, depth) = self.size(inner);
                (parts + 1, depth + 1)
            }
            Query::Saved(name) => self.done.get(name).map_or((1, 1), |query| self.size(query)),
            _ => (1, 1),
        }
    }

    fn put(&self, query: &Query) -> Query {
        match query {
            Query::And(parts) => Query::and(parts.iter().map(|part| self.put(part)).collect()),
            Query::Or(parts) => Query::or(parts.iter().map(|part| self.put(part)).collect()),
            Query::Not(inner) => Query::Not(Box::new(self.put(inner))),
            Query::Saved(name) => self.done.get(name).cloned().unwrap_or(Query::Saved(name.clone())),
            other => other.clone(),
        }
    }
}

/// The query with every time written as the instants that it means: it was read in the time zone of its own, and is
/// printed beside others.
fn anchored(query: Query) -> Query {
    match query {
        Query::And(parts) => Query::And(parts.into_iter().map(anchored).collect()),
        Query::Or(parts) => Query::Or(parts.into_iter().map(anchored).collect()),
        Query::Not(inner) => Query::Not(Box::new(anchored(*inner))),
        Query::Meta(Condition { field, test: Test::Time(range) }) => {
            let range = TimeRange { typed: instants(&range), ..range };
            Query::Meta(Condition { field, test: Test::Time(range) })
        }
        other => other,
    }
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
