//! `saved`: named queries of a vault; and their names inside other queries.

use super::args::SyntaxName;
use super::exit::{Exit, Failure};
use super::output::{Output, Style, printable, time_zone};
use super::search::read_query;
use super::{now_ms, open};
use chatvault::pipeline::{SAVED_SEARCHES, change_saved_searches, saved_searches};
use chatvault::search::check;
use chatvault::search::complaint::QueryError;
use chatvault::search::parse::Located;
use chatvault::search::saved::{SavedError, SavedSearch, SavedSearches, expand, references, with, without};
use chatvault::search::syntax::Syntax;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::Path;

/// What saved searches are, for `saved --help`.
const SAVED: &str = "\
They stand in searches.toml in the vault, which may be read, compared and edited. The dates in a saved
query are read in its own time zone, and those like -7d from the day it is asked.

Examples:
  chatvault saved add refunds 'refund OR \"money back\"' --note 'matter 17'
  chatvault search 'saved:refunds start:2026-06'
  chatvault saved remove refunds";

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, after_help = SAVED)]
pub(crate) struct Saved {
    #[command(subcommand)]
    pub(crate) action: Option<SavedAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SavedAction {
    /// Show all saved searches (what `saved` does by itself)
    List,
    /// Save a query under a name
    Add(SavedAdd),
    /// Remove a saved search
    Remove {
        /// Name of the search
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct SavedAdd {
    /// Name of the search: letters, digits, `-` and `_`
    pub(crate) name: String,
    /// The query, as for search
    #[arg(required = true, value_name = "QUERY")]
    pub(crate) query: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Time zone of dates in the query, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) tz: String,
    /// How the query is typed: chatvault, or dtsearch (words side by side are a phrase, `~` is stemming)
    #[arg(long, value_name = "SYNTAX", default_value = "chatvault")]
    pub(crate) syntax: SyntaxName,
    /// Take the place of a search of that name
    #[arg(long)]
    pub(crate) replace: bool,
}

pub(crate) fn run(args: &Saved, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    // A folder that is no vault is refused before anything is written into it.
    open(vault)?;
    match &args.action {
        None | Some(SavedAction::List) => list(vault, output),
        Some(SavedAction::Add(new)) => add(new, vault, output),
        Some(SavedAction::Remove { name }) => remove(name, vault, output),
    }
}

fn fields(search: &SavedSearch) -> Value {
    json!({
        "name": search.name,
        "query": search.query,
        "syntax": search.syntax,
        "tz": search.tz,
        "created": search.created,
        "note": search.note,
    })
}

fn list(vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let searches = saved_searches(vault)?;
    if output.json {
        output.document(json!({ "searches": searches.iter().map(fields).collect::<Vec<Value>>() }), "saved")?;
        return Ok(Exit::Complete);
    }
    for search in searches.iter() {
        if output.ndjson {
            output.document(fields(search), "saved_search")?;
            continue;
        }
        outln!("{}  {}", output.styled(Style::Bold, &search.name), printable(&search.query));
        let syntax = Some(search.syntax.as_str()).filter(|syntax| *syntax != Syntax::Chatvault.name());
        let facts = [syntax, Some(search.tz.as_str()), Some(search.created.as_str()), search.note.as_deref()];
        let facts: Vec<&str> = facts.into_iter().flatten().filter(|fact| !fact.is_empty()).collect();
        outln!("  {}", output.styled(Style::Dim, &printable(&facts.join(" · "))));
    }
    if !output.ndjson {
        output.note(&match searches.iter().len() {
            1 => "1 saved search".to_owned(),
            count => format!("{count} saved searches"),
        });
    }
    Ok(Exit::Complete)
}

fn add(new: &SavedAdd, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let query = new.query.join(" ");
    let tz = time_zone(&new.tz)?;
    let now_ms = now_ms();
    let syntax = Syntax::from(new.syntax);
    let search = SavedSearch {
        name: new.name.clone(),
        query: query.clone(),
        syntax: syntax.name().to_owned(),
        tz: new.tz.clone(),
        created: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        note: new.note.clone(),
    };
    // A query that cannot be answered is refused now, not in the middle of a review.
    let located = read_query(syntax, &query, &tz, now_ms)?;
    let read_saved = |search: &SavedSearch| read_saved(search, now_ms);
    change_saved_searches(vault, |text| {
        let is_there = SavedSearches::read(text)?.find(&new.name).is_ok();
        let before = if new.replace && is_there { without(text, &new.name)? } else { text.to_owned() };
        let after = with(&before, &search)?;
        let all = SavedSearches::read(&after)?;
        check(&expand(located, &query, &all, &read_saved)?, &query)?;
        // By its own name, so that a circle through other searches is seen.
        let own = format!("saved:{}", new.name);
        expand(read_query(Syntax::Chatvault, &own, &tz, now_ms)?, &own, &all, &read_saved)?;
        Ok(after)
    })?;
    if output.for_machines() {
        output.document(fields(&search), "saved_search")?;
    } else {
        output.note(&format!("saved in {SAVED_SEARCHES}; use it as `chatvault search saved:{}`", search.name));
    }
    Ok(Exit::Complete)
}

fn remove(name: &str, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let now_ms = now_ms();
    change_saved_searches(vault, |text| {
        let all = SavedSearches::read(text)?;
        all.find(name)?;
        let uses = |search: &&SavedSearch| {
            search.name != name
                && read_saved(search, now_ms).is_ok_and(|query| references(&query).any(|used| used == name))
        };
        let by: Vec<String> = all.iter().filter(uses).map(|search| search.name.clone()).collect();
        if by.is_empty() { without(text, name) } else { Err(SavedError::InUse { name: name.to_owned(), by }) }
    })?;
    if output.for_machines() {
        output.document(json!({ "removed": name }), "saved")?;
    } else {
        output.note(&format!("removed {name}"));
    }
    Ok(Exit::Complete)
}

/// Reads the query of a saved search in its own syntax and time zone, asked at a moment.
fn read_saved(search: &SavedSearch, now_ms: i64) -> Result<Located, String> {
    let syntax = Syntax::named(&search.syntax).ok_or_else(|| {
        let known = Syntax::ALL.map(|syntax| format!("{:?}", syntax.name())).join(" and ");
        format!("its syntax is {:?}; this version reads {known}", search.syntax)
    })?;
    let tz = time_zone(&search.tz).map_err(|failure| failure.message)?;
    read_query(syntax, &search.query, &tz, now_ms).map_err(|error| match error.complaints.first() {
        Some(first) => format!("character {}: {}", first.column(&search.query), first.message),
        None => error.to_string(),
    })
}

/// Puts the saved searches of a vault in the place of their names.
pub(super) fn expanded(located: Located, text: &str, vault: &Path, now_ms: i64) -> Result<Located, Failure> {
    Ok(try_expanded(located, text, vault, now_ms)??)
}

/// As [`expanded`], what is wrong with the query apart from what is wrong with the file. A query without saved searches
/// costs no look at the disk.
pub(super) fn try_expanded(
    located: Located,
    text: &str,
    vault: &Path,
    now_ms: i64,
) -> Result<Result<Located, QueryError>, Failure> {
    if references(&located).next().is_none() {
        return Ok(Ok(located));
    }
    Ok(expand(located, text, &saved_searches(vault)?, &|search| read_saved(search, now_ms)))
}
