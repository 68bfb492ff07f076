//! `search`: hits, counts and facets, for people and for scripts.

use super::args::{Search, SortKey};
use super::exit::{Exit, Failure};
use super::output::{Output, counted, number, printable, time_zone};
use super::{hit, open, open_index, sample, saved, terms};
use chatvault::index::Reader;
use chatvault::pipeline::{self, Coverage};
use chatvault::search::complaint::QueryError;
use chatvault::search::facets::{Facet, FacetCount, FacetValue};
use chatvault::search::field::{end_reason_label, start_reason_label};
use chatvault::search::parse::{Located, ParseOptions, parse_located};
use chatvault::search::{SearchAnswer, SearchRequest, Sort, search_sample};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::Path;

/// Snippets shown with each hit.
const SNIPPETS: usize = 3;

pub(crate) fn run(args: &Search, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    if let Some(file) = &args.report.term_report {
        return terms::run(file, args, vault, output);
    }
    let archive = open(vault)?;
    let reader = open_index(vault)?;
    let tz = time_zone(&args.tz)?;
    let text = args.query.join(" ");
    let mut request = request(&text, &tz, vault)?;
    let wanted = sample::wanted(&args.sample)?;
    request.limit = match (args.count, &wanted) {
        (true, _) => Some(0),
        (false, Some(_)) => None,
        (false, None) => limit(&args.limit)?,
    };
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
    let (answer, drawn) = search_sample(&reader, &request, wanted.as_ref())?;
    let coverage = pipeline::coverage(&archive, &reader)?;
    let mut head = head(&text, &answer, coverage);
    if let (Some(drawn), Some(head)) = (&drawn, head.as_object_mut()) {
        head.insert("sample".into(), sample::json(drawn));
    }
    match (output.json, output.ndjson) {
        (true, _) => print_json(&head, &reader, &answer, args.count)?,
        (_, true) => print_stream(head, &reader, &answer, output)?,
        _ => print_text(&reader, &answer, coverage, args.count, &tz, output)?,
    }
    if let Some(drawn) = drawn.filter(|_| !output.for_machines()) {
        sample::note(&drawn, output);
    }
    Ok(Exit::Complete)
}

/// Reads a query as it was typed: what is saved in it stays a name.
pub(super) fn read_query(text: &str, tz: &TimeZone) -> Result<Located, QueryError> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    parse_located(text, &ParseOptions { tz: tz.clone(), now_ms })
}

/// A request with defaults; what is saved in the vault is put in its place.
pub(super) fn request(text: &str, tz: &TimeZone, vault: &Path) -> Result<SearchRequest, Failure> {
    Ok(SearchRequest {
        query: saved::expanded(read_query(text, tz)?, text, vault)?,
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

/// The label of a facet's value, where it has one.
pub(super) fn label(facet: Facet, value: &FacetValue) -> Option<&'static str> {
    match (facet, value) {
        (Facet::EndReason, FacetValue::Number(code)) => end_reason_label(*code),
        (Facet::StartReason, FacetValue::Number(code)) => start_reason_label(*code),
        _ => None,
    }
}

pub(super) fn facets_json(facets: &[(Facet, Vec<FacetCount>)]) -> Value {
    let mut all = Map::new();
    for (facet, counts) in facets {
        let counts = counts.iter().map(|entry| {
            let value = match &entry.value {
                None => Value::Null,
                Some(FacetValue::Number(number)) => json!(number),
                Some(FacetValue::Text(text)) => json!(text),
            };
            let mut fields = Map::new();
            fields.insert("value".into(), value);
            if let Some(label) = entry.value.as_ref().and_then(|value| label(*facet, value)) {
                fields.insert("label".into(), json!(label));
            }
            fields.insert("count".into(), json!(entry.count));
            Value::Object(fields)
        });
        all.insert(facet.name().into(), counts.collect());
    }
    Value::Object(all)
}

fn head(text: &str, answer: &SearchAnswer, coverage: Coverage) -> Value {
    json!({
        "schema_version": 1,
        "query": text,
        "total": { "value": answer.total, "exact": true },
        "not_conversations": answer.left_out,
        "coverage": coverage_json(coverage),
        "facets": facets_json(&answer.facets),
    })
}

fn hit_json(reader: &Reader, answer: &SearchAnswer, at: usize) -> Result<Value, Failure> {
    let found = answer.hits.load(reader, at, SNIPPETS)?;
    let mut fields = hit::fields(&found.stored, &found.merged);
    fields.insert("score".into(), json!(found.score));
    fields.insert("snippets".into(), hit::snippets(&found.snippets));
    Ok(Value::Object(fields))
}

/// One document, its hits written one by one: a million of them must not be in memory at once.
fn print_json(head: &Value, reader: &Reader, answer: &SearchAnswer, count: bool) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if count {
        serde_json::to_writer_pretty(&mut out, head).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    let mut opening = serde_json::to_string_pretty(head).map_err(io::Error::from)?;
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
    count: bool,
    tz: &TimeZone,
    output: &Output,
) -> Result<(), Failure> {
    if count {
        outln!("{}", answer.total);
        note_left_out(answer, output);
        warn_if_incomplete(coverage);
        return Ok(());
    }
    for at in 0..answer.hits.len() {
        let found = answer.hits.load(reader, at, SNIPPETS)?;
        hit::print(&found.stored, &found.merged, &found.snippets, tz, output);
    }
    print_facets(&answer.facets);
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

/// Facets as small bar charts.
pub(super) fn print_facets(facets: &[(Facet, Vec<FacetCount>)]) {
    for (facet, counts) in facets {
        outln!("{}", facet.name());
        let name = |entry: &FacetCount| match &entry.value {
            None => "(none)".to_owned(),
            Some(value @ FacetValue::Number(number)) => match label(*facet, value) {
                Some(label) => format!("{number} {label}"),
                None => number.to_string(),
            },
            Some(FacetValue::Text(text)) => printable(text).chars().take(40).collect(),
        };
        let names: Vec<String> = counts.iter().map(name).collect();
        let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let most = counts.iter().map(|entry| entry.count).max().unwrap_or(1).max(1);
        let figures = number(most).len();
        let bar_width = super::output::width().saturating_sub(name_width + figures + 6).clamp(5, 60) as u64;
        for (entry, name) in counts.iter().zip(&names) {
            let eighths = (entry.count * bar_width * 8).div_ceil(most) as usize;
            let mut bar = "█".repeat(eighths / 8);
            bar.extend(
                [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'].get(eighths % 8).filter(|_| !eighths.is_multiple_of(8)),
            );
            outln!("  {name:name_width$}  {:>figures$} {bar}", number(entry.count));
        }
    }
}
