//! `search`: hits, counts and facets, for people and for scripts.

use super::args::{Search, SortKey};
use super::exit::{Exit, Failure};
use super::output::{Output, counted, number, printable, time_zone};
use super::{facets, hit, open, open_index, shell_path, shell_word};
use chatvault::index::Reader;
use chatvault::pipeline::{self, Coverage};
use chatvault::search::facets::Facet;
use chatvault::search::parse::{ParseOptions, parse_located};
use chatvault::search::{SearchAnswer, SearchRequest, Sort, search};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;

/// Snippets shown with each hit.
const SNIPPETS: usize = 3;

pub(crate) fn run(args: &Search, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let archive = open(vault)?;
    let reader = open_index(vault)?;
    let tz = time_zone(&args.tz)?;
    let text = args.query.join(" ");
    let mut request = request(&text, &tz)?;
    request.limit = if args.count { Some(0) } else { limit(&args.limit)? };
    request.sort = args.sort.map(|key| match key {
        SortKey::Relevance => Sort::Relevance,
        SortKey::Start => Sort::Start,
        SortKey::End => Sort::End,
        SortKey::Mcs => Sort::Mcs,
        SortKey::Duration => Sort::Duration,
        SortKey::Transfers => Sort::Transfers,
    });
    request.reverse = args.reverse;
    request.facets = args.facets.iter().map(|name| facet(name)).collect::<Result<_, _>>()?;
    let answer = search(&reader, &request)?;
    let coverage = pipeline::coverage(&archive, &reader)?;
    match (output.json, output.ndjson) {
        (true, _) => print_json(&text, &reader, &answer, coverage, args.count)?,
        (_, true) => print_stream(&text, &reader, &answer, coverage, output)?,
        _ => {
            print_text(&reader, &answer, coverage, args, &tz, output)?;
            note_how_to_read(args, vault, &reader, &answer, output)?;
        }
    }
    Ok(Exit::Complete)
}

/// A request with defaults.
pub(super) fn request(text: &str, tz: &TimeZone) -> Result<SearchRequest, Failure> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let query = parse_located(text, &ParseOptions { tz: tz.clone(), now_ms })?;
    Ok(SearchRequest {
        query,
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

fn head(text: &str, reader: &Reader, answer: &SearchAnswer, coverage: Coverage) -> Result<Value, Failure> {
    Ok(json!({
        "schema_version": 1,
        "query": text,
        "total": { "value": answer.total, "exact": true },
        "not_conversations": answer.left_out,
        "coverage": coverage_json(coverage),
        "facets": facets::json(&answer.facets, answer.total, reader)?,
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
fn print_json(
    text: &str,
    reader: &Reader,
    answer: &SearchAnswer,
    coverage: Coverage,
    count: bool,
) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let head = head(text, reader, answer, coverage)?;
    if count {
        serde_json::to_writer_pretty(&mut out, &head).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    let mut opening = serde_json::to_string_pretty(&head).map_err(io::Error::from)?;
    // The hits go in before the brace that closes the document.
    opening.truncate(opening.trim_end().strip_suffix('}').unwrap_or(&opening).trim_end().len());
    write!(out, "{opening},\n  \"hits\": [")?;
    for at in 0..answer.hits.len() {
        write!(out, "{}\n    ", if at == 0 { "" } else { "," })?;
        serde_json::to_writer(&mut out, &hit_json(reader, answer, at)?).map_err(io::Error::from)?;
    }
    writeln!(out, "{}]\n}}", if answer.hits.is_empty() { "" } else { "\n  " })?;
    Ok(out.flush()?)
}

fn print_stream(
    text: &str,
    reader: &Reader,
    answer: &SearchAnswer,
    coverage: Coverage,
    output: &Output,
) -> Result<(), Failure> {
    output.document(head(text, reader, answer, coverage)?, "summary")?;
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
        note_left_out(answer, output);
        warn_if_incomplete(coverage);
        return Ok(());
    }
    for at in 0..answer.hits.len() {
        let found = answer.hits.load(reader, at, SNIPPETS)?;
        hit::print(&found.stored, &found.merged, &found.snippets, tz, output);
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
    words.push(format!("--query={}", shell_word(&args.query.join(" "))));
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
