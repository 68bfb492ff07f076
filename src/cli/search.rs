//! `search`: hits, counts and facets, for people and for scripts.

use super::args::{Search, SyntaxName};
use super::exit::{Exit, Failure};
use super::json::harmless;
use super::output::{Output, counted, number, printable, time_zone};
use super::search_args::SortKey;
use super::{facets, hit, now_ms, open, open_index_or_none, prove, sample, saved, shell_path, shell_word, terms};
use chatvault::index::Reader;
use chatvault::pipeline::{self, Coverage};
use chatvault::search::complaint::QueryError;
use chatvault::search::facets::Facet;
use chatvault::search::parse::{Located, ParseOptions};
use chatvault::search::saved::references;
use chatvault::search::syntax::Syntax;
use chatvault::search::{Cursor, SearchAnswer, SearchRequest, Sort, doubts, search_after, search_sample};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Snippets shown with each hit.
const SNIPPETS: usize = 3;

pub(crate) fn run(args: &Search, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    if let Some(file) = &args.report.term_report {
        return terms::run(file, args, vault, output);
    }
    let tz = time_zone(&args.tz)?;
    let text = args.query.join(" ");
    let cursor = args.after.as_deref().map(Cursor::parse).transpose()?;
    // What `today` means stays what it was on the first page.
    let now_ms = cursor.as_ref().map_or_else(now_ms, Cursor::now_ms);
    let mut request = request_at(args.syntax, &text, &tz, now_ms, vault)?;
    let asked = Asked { text: &text, syntax: args.syntax.into(), normalised: request.query.query.to_string() };
    let warnings = doubts(&request.query);
    if !output.for_machines() {
        warnings.iter().for_each(|warning| output.note(warning));
    }
    let archive = open(vault)?;
    let reader = open_index_or_none(&archive, vault, output)?;
    let wanted = sample::wanted(&args.sample)?;
    let is_only_counted = args.count || args.digest || args.prove;
    request.limit = match (is_only_counted, &wanted) {
        (true, _) => Some(0),
        // The sample is the answer, so all of it is printed.
        (false, Some(_)) => None,
        (false, None) => limit(&args.limit)?,
    };
    request.sort = args.sort.map(sort);
    request.reverse = args.reverse;
    request.facets = args.facets.iter().map(|name| facet(name)).collect::<Result<_, _>>()?;
    let (answer, drawn) = match &wanted {
        Some(wanted) => {
            let (answer, drawn) = search_sample(&reader, &request, wanted)?;
            (answer, Some(drawn))
        }
        None => (search_after(&reader, &request, cursor.as_ref())?, None),
    };
    let coverage = pipeline::coverage(&archive, &reader)?;
    if args.digest || args.prove {
        let head = head(&asked, &reader, &answer, coverage, None)?;
        let exit = prove::run(args, vault, &archive, &reader, &request, head, output)?;
        if !output.for_machines() {
            facets::print(&answer.facets, answer.total, args.top.0, &reader, &tz)?;
            warn_if_incomplete(coverage);
        }
        return Ok(exit);
    }
    let next = answer.hits.next(&reader, now_ms)?.map(|cursor| cursor.to_string());
    let mut head = head(&asked, &reader, &answer, coverage, next.as_deref())?;
    if !warnings.is_empty() {
        head["warnings"] = json!(warnings);
    }
    if let Some(drawn) = &drawn {
        head["sample"] = sample::json(drawn);
    }
    match (output.json, output.ndjson) {
        (true, _) => print_json(head, &reader, &answer, args.count)?,
        (_, true) => print_stream(head, &reader, &answer, output)?,
        _ => {
            print_text(&reader, &answer, coverage, args, &tz, output)?;
            note_how_to_read(args, &asked.normalised, vault, &reader, &answer, output)?;
            if let Some(next) = next {
                note_next_page(&next, output);
            }
            if let Some(drawn) = &drawn {
                sample::note(drawn, output);
            }
        }
    }
    Ok(Exit::Complete)
}

fn sort(key: SortKey) -> Sort {
    match key {
        SortKey::Relevance => Sort::Relevance,
        SortKey::Start => Sort::Start,
        SortKey::End => Sort::End,
        SortKey::Closed => Sort::Closed,
        SortKey::Mcs => Sort::Mcs,
        SortKey::Duration => Sort::Duration,
        SortKey::Transfers => Sort::Transfers,
        SortKey::Queue => Sort::Queue,
        SortKey::Csat => Sort::Csat,
        SortKey::Nps => Sort::Nps,
        SortKey::Messages => Sort::Messages,
        SortKey::Revisions => Sort::Revisions,
        SortKey::EndReason => Sort::EndReason,
        SortKey::StartReason => Sort::StartReason,
        SortKey::Key => Sort::Key,
    }
}

/// Says how to go on.
fn note_next_page(cursor: &str, output: &Output) {
    let command = next_page(cursor);
    // A command that cannot be printed cannot be typed either.
    output.note(&match printable(&command) == command.as_str() {
        true => format!("next page: {command}"),
        false => format!("next page: the same command with --after {cursor}"),
    });
}

/// The command line of this run, with the cursor of the next page.
fn next_page(cursor: &str) -> String {
    let mut words: Vec<String> = vec!["chatvault".into()];
    let mut given = std::env::args().skip(1).peekable();
    let mut is_placed = false;
    while let Some(word) = given.next() {
        if word == "--after" {
            given.next();
            continue;
        }
        if word.starts_with("--after=") {
            continue;
        }
        // Behind `--` everything is query.
        if word == "--" {
            words.extend(["--after".to_owned(), cursor.to_owned(), word]);
            words.extend(given.map(|word| shell_word(&word)));
            is_placed = true;
            break;
        }
        words.push(shell_word(&word));
    }
    if !is_placed {
        words.extend(["--after".to_owned(), cursor.to_owned()]);
    }
    words.join(" ")
}

/// A query as typed, and as understood.
struct Asked<'a> {
    text: &'a str,
    syntax: Syntax,
    /// In our own syntax.
    normalised: String,
}

impl From<SyntaxName> for Syntax {
    fn from(name: SyntaxName) -> Syntax {
        match name {
            SyntaxName::Chatvault => Syntax::Chatvault,
            SyntaxName::Dtsearch => Syntax::Dtsearch,
        }
    }
}

/// `--explain`: shows what a query means, so that a translation can be checked before it is relied on. Asks for the vault
/// only where the query names a saved search.
pub(crate) fn explain(
    args: &Search,
    vault: &dyn Fn() -> Result<PathBuf, Failure>,
    output: &Output,
) -> Result<Exit, Failure> {
    let tz = time_zone(&args.tz)?;
    let text = args.query.join(" ");
    let now_ms = args.after.as_deref().map(Cursor::parse).transpose()?.as_ref().map_or_else(now_ms, Cursor::now_ms);
    let mut located = read_query(args.syntax.into(), &text, &tz, now_ms)?;
    if references(&located).next().is_some() {
        located = saved::expanded(located, &text, &vault()?, now_ms)?;
    }
    let asked = Asked { text: &text, syntax: args.syntax.into(), normalised: located.query.to_string() };
    let resolved = located.query.resolved().to_string();
    if output.for_machines() {
        let document = json!({
            "query": asked.text, "syntax": asked.syntax.name(), "query_normalised": asked.normalised,
            "query_resolved": resolved,
        });
        output.document(document, "query")?;
        return Ok(Exit::Complete);
    }
    outln!("typed ({}): {}", asked.syntax.name(), printable(asked.text));
    outln!("understood as: {}", printable(&asked.normalised));
    if resolved != asked.normalised {
        outln!("with times in UTC: {}", printable(&resolved));
    }
    Ok(Exit::Complete)
}

/// Reads a query as it was typed: what is saved in it stays a name.
pub(super) fn read_query(syntax: Syntax, text: &str, tz: &TimeZone, now_ms: i64) -> Result<Located, QueryError> {
    syntax.parse_located(text, &ParseOptions { tz: tz.clone(), now_ms })
}

/// A request with defaults, in our own syntax; what is saved in the vault is put in its place.
pub(super) fn request(text: &str, tz: &TimeZone, vault: &Path) -> Result<SearchRequest, Failure> {
    request_in(SyntaxName::Chatvault, text, tz, vault)
}

/// As [`request`], in either syntax.
pub(super) fn request_in(
    syntax: SyntaxName,
    text: &str,
    tz: &TimeZone,
    vault: &Path,
) -> Result<SearchRequest, Failure> {
    request_at(syntax, text, tz, now_ms(), vault)
}

/// As [`request_in`], asked at a moment.
pub(super) fn request_at(
    syntax: SyntaxName,
    text: &str,
    tz: &TimeZone,
    now_ms: i64,
    vault: &Path,
) -> Result<SearchRequest, Failure> {
    let located = read_query(syntax.into(), text, tz, now_ms)?;
    Ok(SearchRequest {
        query: saved::expanded(located, text, vault, now_ms)?,
        text: text.to_owned(),
        sort: None,
        reverse: false,
        limit: Some(20),
        facets: Vec::new(),
        tz: tz.clone(),
    })
}

fn limit(text: &str) -> Result<Option<usize>, Failure> {
    match text {
        "all" => Ok(None),
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| Failure::usage(format!("--limit {text:?} is neither a number nor `all`"))),
    }
}

fn facet(name: &str) -> Result<Facet, Failure> {
    let known = Facet::ALL.iter().find(|(_, known)| *known == name.trim());
    known.map(|(facet, _)| *facet).ok_or_else(|| {
        let names: Vec<&str> = Facet::ALL.iter().map(|(_, name)| *name).collect();
        Failure::usage(format!("{name:?} cannot be counted by")).hint(format!("known: {}", names.join(", ")))
    })
}

fn head(
    asked: &Asked<'_>,
    reader: &Reader,
    answer: &SearchAnswer,
    coverage: Coverage,
    next: Option<&str>,
) -> Result<Value, Failure> {
    Ok(json!({
        "schema_version": 1,
        "query": asked.text,
        "syntax": asked.syntax.name(),
        "query_normalised": asked.normalised,
        "total": { "value": answer.total, "exact": true },
        "not_conversations": answer.left_out,
        "coverage": coverage_json(coverage),
        "facets": facets::json(&answer.facets, answer.total, reader)?,
        "next": next,
    }))
}

fn hit_json(reader: &Reader, answer: &SearchAnswer, at: usize) -> Result<Value, Failure> {
    let found = answer.hits.load(reader, at, SNIPPETS)?;
    let mut fields = hit::fields(&found.stored, &found.merged);
    fields.insert("score".into(), json!(found.score));
    fields.insert("snippets".into(), hit::snippets(&found.snippets));
    Ok(Value::Object(fields))
}

/// One document, its hits written one by one: a million of them must not be in memory at once.
fn print_json(head: Value, reader: &Reader, answer: &SearchAnswer, count: bool) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if count {
        writeln!(out, "{}", harmless(serde_json::to_string_pretty(&head).map_err(io::Error::from)?))?;
        return Ok(out.flush()?);
    }
    let mut opening = harmless(serde_json::to_string_pretty(&head).map_err(io::Error::from)?);
    // The hits go in before the brace that closes the document.
    opening.truncate(opening.trim_end().strip_suffix('}').unwrap_or(&opening).trim_end().len());
    write!(out, "{opening},\n  \"hits\": [")?;
    for at in 0..answer.hits.len() {
        let hit = harmless(hit_json(reader, answer, at)?.to_string());
        write!(out, "{}\n    {hit}", if at == 0 { "" } else { "," })?;
    }
    writeln!(out, "{}]\n}}", if answer.hits.is_empty() { "" } else { "\n  " })?;
    Ok(out.flush()?)
}

fn print_stream(head: Value, reader: &Reader, answer: &SearchAnswer, output: &Output) -> Result<(), Failure> {
    output.document(head, "summary")?;
    for at in 0..answer.hits.len() {
        output.document(hit_json(reader, answer, at)?, "hit")?;
    }
    Ok(())
}

fn print_text(
    reader: &Reader,
    answer: &SearchAnswer,
    coverage: Coverage,
    args: &Search,
    tz: &TimeZone,
    output: &Output,
) -> Result<(), Failure> {
    if args.count {
        outln!("{}", answer.total);
        facets::print(&answer.facets, answer.total, args.top.0, reader, tz)?;
        note_left_out(answer, output);
        warn_if_incomplete(coverage);
        return Ok(());
    }
    for at in 0..answer.hits.len() {
        let found = answer.hits.load(reader, at, SNIPPETS)?;
        hit::print(&found, tz, output);
    }
    facets::print(&answer.facets, answer.total, args.top.0, reader, tz)?;
    let shown = answer.hits.len() as u64;
    let mut summary = counted(answer.total, "conversation");
    if shown < answer.total {
        summary = format!("{summary}, {} shown; --limit all shows every one", number(shown));
    }
    output.note(&summary);
    note_left_out(answer, output);
    warn_if_incomplete(coverage);
    Ok(())
}

/// The command that shows the first hit with its words marked.
fn note_how_to_read(
    args: &Search,
    normalised: &str,
    vault: &Path,
    reader: &Reader,
    answer: &SearchAnswer,
    output: &Output,
) -> Result<(), Failure> {
    if args.count || output.quiet || answer.hits.is_empty() {
        return Ok(());
    }
    let first = answer.hits.load(reader, 0, 0)?;
    let id = first.merged.conversation_id.clone().filter(|_| first.merged.supplement.is_none());
    let id = id.unwrap_or_else(|| first.stored.key());
    let mut words = vec!["chatvault".to_owned()];
    if !super::settings::find_vault(None).is_ok_and(|found| super::absolute(&found) == super::absolute(vault)) {
        words.extend(["--vault".to_owned(), shell_path(vault)]);
    }
    words.push("show".to_owned());
    // `show` takes our own syntax.
    let query = if args.syntax == SyntaxName::Chatvault { args.query.join(" ") } else { normalised.to_owned() };
    words.push(format!("--query={}", shell_word(&query)));
    if args.tz != "UTC" {
        words.extend(["--tz".to_owned(), shell_word(&args.tz)]);
    }
    if id.starts_with('-') {
        words.push("--".to_owned());
    }
    words.push(shell_word(&id));
    let command = words.join(" ");
    // An id that cannot be printed cannot be typed either.
    if printable(&command) == command.as_str() {
        output.note(&format!("to read the first: {command}"));
    }
    Ok(())
}

/// Says what matches and is not shown, because it is no conversation.
fn note_left_out(answer: &SearchAnswer, output: &Output) {
    if answer.left_out > 0 {
        let others = counted(answer.left_out, "matching record");
        output.note(&format!(
            "{others} not shown, being no conversation: add type:survey or type:web-session to see them"
        ));
    }
}

/// Says what the answer does not cover.
pub(super) fn warn_if_incomplete(coverage: Coverage) {
    if coverage.complete {
        return;
    }
    let mut gaps = Vec::new();
    if coverage.files_behind > 0 {
        let verb = if coverage.files_behind == 1 { "is" } else { "are" };
        gaps.push(format!(
            "{} {verb} not indexed yet, run `chatvault index`",
            counted(coverage.files_behind, "archived file")
        ));
    } else if !coverage.index_is_up() {
        gaps.push(format!(
            "the index accounts for {} of {} archived records, run `chatvault index --rebuild`",
            number(coverage.indexed_records),
            number(coverage.archived_records)
        ));
    }
    if coverage.unreadable > 0 {
        gaps.push(format!("{} of the archive cannot be read", counted(coverage.unreadable, "record")));
    }
    if coverage.encrypted > 0 {
        let verb = if coverage.encrypted == 1 { "is" } else { "are" };
        gaps.push(format!(
            "{} {verb} encrypted and not opened (has:encrypted), set CHATVAULT_PGP_KEY and run `chatvault index`",
            counted(coverage.encrypted, "record")
        ));
    }
    if coverage.damaged_names > 0 {
        let verb = if coverage.damaged_names == 1 { "was" } else { "were" };
        gaps.push(format!(
            "{} {verb} never received whole, `chatvault verify` names them",
            counted(coverage.damaged_names, "file")
        ));
    }
    if coverage.unproven > 0 {
        let verb = if coverage.unproven == 1 { "was" } else { "were" };
        gaps.push(format!(
            "{} {verb} salvaged from damaged files, and no check sum speaks for the text (UNPROVEN)",
            counted(coverage.unproven, "record")
        ));
    }
    // Also when quiet: a number without it would be taken for the whole truth.
    eprintln!("WARNING: this does not cover everything: {}", gaps.join("; "));
}

/// How much of the archive an answer covers.
pub(super) fn coverage_json(coverage: Coverage) -> Value {
    json!({
        "archived_records": coverage.archived_records,
        "indexed_records": coverage.indexed_records,
        "files_behind": coverage.files_behind,
        "unreadable": coverage.unreadable,
        "encrypted": coverage.encrypted,
        "unproven": coverage.unproven,
        "damaged_names": coverage.damaged_names,
        "complete": coverage.complete,
    })
}
