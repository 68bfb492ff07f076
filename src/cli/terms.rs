//! `search --term-report`: a list of queries counted one by one and together, as a table, as CSV, as JSON.

mod families;

use super::args::{Search, SyntaxName};
use super::columns;
use super::exit::{Exit, Failure};
use super::output::{Output, counted, number, printable, time_zone};
use super::search::{coverage_json, read_query, request_at, warn_if_incomplete};
use super::term_file::{cell, read_list};
use super::{now_ms, open, open_index_or_none, saved, shell_path};
use chatvault::pipeline::{self, Coverage};
use chatvault::search::check;
use chatvault::search::complaint::QueryError;
use chatvault::search::parse::Located;
use chatvault::search::syntax::Syntax;
use chatvault::search::term_list::TermLine;
use chatvault::search::terms::{MOST_COMPARED, TermCounts, TermReport, TermRequest, term_report};
use clap::{Args, ValueEnum};
use families::{AgentNames, months_json, value_text};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

/// Options of `search` that say nothing about a list of queries.
const NOT_BESIDE: [&str; 12] =
    ["limit", "sort", "reverse", "after", "count", "digest", "prove", "explain", "facets", "top", "sample", "seed"];

/// Options of a term report.
#[derive(Args, Debug, Default)]
pub(crate) struct ReportOptions {
    /// Count each query of a file, one a line, and all together; `-` reads the list from stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = NOT_BESIDE)]
    pub(crate) term_report: Option<PathBuf>,
    /// Format of a term report
    #[arg(long, value_name = "FORMAT", default_value = "table", requires = "term_report", conflicts_with_all = NOT_BESIDE)]
    pub(crate) format: ReportFormat,
    /// What a row of a term report is: a query, a query and an agent, a query and a month, or two queries
    #[arg(long, value_name = "WHAT", default_value = "term", requires = "term_report", conflicts_with_all = NOT_BESIDE)]
    pub(crate) by: ReportRows,
    /// Write the CSV of a term report to a new file
    #[arg(long, value_name = "FILE", requires = "term_report", conflicts_with_all = NOT_BESIDE)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    #[default]
    Table,
    Csv,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportRows {
    #[default]
    Term,
    Agent,
    Month,
    Overlap,
}

/// A line of the file and what became of it.
struct Entry {
    line: usize,
    name: Option<String>,
    /// As typed; empty where the line could not be read at all.
    query: String,
    outcome: Outcome,
}

enum Outcome {
    /// Place in the report, the query as understood, and the earlier line that says the same.
    Counted {
        at: usize,
        parsed: String,
        same_as: Option<usize>,
    },
    Refused(Refusal),
}

/// Why a line is not counted.
struct Refusal {
    message: String,
    /// Character in the query, from 1; `None` where it is no query at all.
    character: Option<usize>,
    /// The query with this fault mended.
    suggestion: Option<String>,
}

/// How the lines are read.
struct Reading<'r> {
    syntax: SyntaxName,
    tz: &'r TimeZone,
    now_ms: i64,
    vault: &'r Path,
}

/// Everything that is printed.
struct Printed<'p> {
    file: &'p Path,
    sha256: String,
    scope: &'p str,
    syntax: Syntax,
    entries: Vec<Entry>,
    report: TermReport,
    /// Looked up only where they are printed.
    names: AgentNames,
    coverage: Coverage,
}

pub(crate) fn run(file: &Path, args: &Search, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let options = &args.report;
    if options.format == ReportFormat::Csv && output.for_machines() {
        return Err(Failure::usage("--format csv and --json name two formats").hint("leave one of them out"));
    }
    if options.out.is_some() && options.format != ReportFormat::Csv {
        return Err(Failure::usage("--out writes CSV only").hint("add --format csv; JSON goes to stdout: > FILE"));
    }
    let (lines, sha256) = read_list(file)?;
    let archive = open(vault)?;
    let reader = open_index_or_none(&archive, vault, output)?;
    let tz = time_zone(&args.tz)?;
    let joined = args.query.join(" ");
    let scope = if args.query.is_empty() { "*" } else { joined.as_str() };
    // One moment for the scope and every line.
    let reading = Reading { syntax: args.syntax, tz: &tz, now_ms: now_ms(), vault };
    let scope_query = request_at(args.syntax, scope, &tz, reading.now_ms, vault)?.query;
    check(&scope_query, scope)?;
    let (entries, terms) = read_queries(lines, &reading)?;
    let report = term_report(&reader, &TermRequest { scope: scope_query, terms, tz: tz.clone() })?;
    let coverage = pipeline::coverage(&archive, &reader)?;
    let names = match output.for_machines() || options.by == ReportRows::Agent {
        true => AgentNames::of(&report, &reader)?,
        false => AgentNames::default(),
    };
    let printed = Printed { file, sha256, scope, syntax: args.syntax.into(), entries, report, names, coverage };
    match options.format {
        _ if output.json => output.document(printed.json(), "term_report")?,
        _ if output.ndjson => printed.stream(output)?,
        ReportFormat::Csv => {
            printed.csv(options.by, options.out.as_deref())?;
            printed.closing(output);
        }
        ReportFormat::Table => {
            printed.table(options.by, output);
            printed.closing(output);
        }
    }
    let is_whole = printed.entries.iter().all(|entry| matches!(entry.outcome, Outcome::Counted { .. }));
    Ok(if is_whole { Exit::Complete } else { Exit::SomeFailed })
}

/// Reads every line; one that is refused does not stop the others.
fn read_queries(lines: Vec<TermLine>, reading: &Reading<'_>) -> Result<(Vec<Entry>, Vec<Located>), Failure> {
    let mut terms: Vec<Located> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut entries = Vec::new();
    for TermLine { line, name, query } in lines {
        let (query, read) = match query {
            Ok(query) => {
                let read = read_line(&query, reading)?;
                (query, read)
            }
            Err(message) => (String::new(), Err(Refusal { message, character: None, suggestion: None })),
        };
        let outcome = match read {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(located) => {
                let parsed = located.query.to_string();
                let first = *seen.entry(parsed.clone()).or_insert(line);
                terms.push(located);
                Outcome::Counted { at: terms.len() - 1, parsed, same_as: (first != line).then_some(first) }
            }
        };
        entries.push(Entry { line, name, query, outcome });
    }
    Ok((entries, terms))
}

/// One query. The outer error is none of the line's: the file of the saved searches cannot be read.
fn read_line(query: &str, reading: &Reading<'_>) -> Result<Result<Located, Refusal>, Failure> {
    let refusal = |error: QueryError| {
        let more = match error.complaints.len() + error.more {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let first = error.complaints.into_iter().next();
        match first {
            Some(first) => Refusal {
                message: format!("{}{more}", first.message),
                character: Some(first.column(query)),
                suggestion: first.suggestion,
            },
            None => Refusal { message: "cannot be read".into(), character: None, suggestion: None },
        }
    };
    let Reading { syntax, tz, now_ms, vault } = *reading;
    let located = match read_query(syntax.into(), query, tz, now_ms) {
        Ok(located) => located,
        Err(error) => return Ok(Err(refusal(error))),
    };
    match saved::try_expanded(located, query, vault, now_ms)? {
        Ok(located) => Ok(check(&located, query).map(|()| located).map_err(refusal)),
        Err(error) => Ok(Err(refusal(error))),
    }
}

impl Printed<'_> {
    /// The entries that were counted, with their figures.
    fn counted(&self) -> impl Iterator<Item = (&Entry, &TermCounts)> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Counted { at, .. } => Some((entry, self.report.terms.get(*at)?)),
            Outcome::Refused(_) => None,
        })
    }

    fn refused(&self) -> impl Iterator<Item = (&Entry, &Refusal)> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Refused(refusal) => Some((entry, refusal)),
            Outcome::Counted { .. } => None,
        })
    }

    fn entry_json(&self, entry: &Entry) -> Value {
        let (line, name, query) = (entry.line, &entry.name, &entry.query);
        match &entry.outcome {
            Outcome::Refused(Refusal { message, character, suggestion }) => {
                let error = json!({ "message": message, "character": character, "suggestion": suggestion });
                json!({ "line": line, "name": name, "query": query, "error": error })
            }
            Outcome::Counted { at, parsed, same_as } => {
                let term = &self.report.terms[*at];
                json!({
                    "line": line,
                    "name": name,
                    "query": query,
                    "parsed": parsed,
                    "same_as_line": same_as,
                    "conversations": term.conversations,
                    "unique": term.unique,
                    "messages": term.text.map(|text| text.messages),
                    "hits": term.text.map(|text| text.hits),
                    "by_agent": self.names.json(&term.families.by_agent),
                    "by_month": months_json(&term.families.by_month),
                })
            }
        }
    }

    fn summary(&self) -> Value {
        let report = &self.report;
        let lines: Vec<usize> = self.counted().map(|(entry, _)| entry.line).collect();
        let by_query_count = report.by_query_count.iter().enumerate().filter(|(_, count)| **count > 0);
        let by_query_count: Vec<Value> =
            by_query_count.map(|(queries, count)| json!({ "queries": queries, "conversations": count })).collect();
        json!({
            "file": self.file.display().to_string(),
            "file_sha256": self.sha256,
            "scope": self.scope,
            "syntax": self.syntax.name(),
            "searched": report.searched,
            "union": {
                "conversations": report.found,
                "without_hits": report.by_query_count.first(),
                "digest": report.digest,
                "by_agent": self.names.json(&report.families.by_agent),
                "by_month": months_json(&report.families.by_month),
            },
            "by_query_count": by_query_count,
            "overlap": report.overlap.as_ref().map(|rows| json!({ "lines": lines, "conversations": rows })),
            "refused_lines": self.refused().count(),
            "coverage": coverage_json(self.coverage),
        })
    }

    fn json(&self) -> Value {
        let mut document = self.summary();
        if let Some(fields) = document.as_object_mut() {
            fields.insert("terms".into(), self.entries.iter().map(|entry| self.entry_json(entry)).collect());
        }
        document
    }

    fn stream(&self, output: &Output) -> Result<(), Failure> {
        output.document(self.summary(), "summary")?;
        self.entries.iter().try_for_each(|entry| output.document(self.entry_json(entry), "term"))
    }

    /// Head and rows of one kind of table, every cell as text.
    fn rows(&self, by: ReportRows) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let start =
            |entry: &Entry| vec![entry.line.to_string(), entry.name.clone().unwrap_or_default(), entry.query.clone()];
        let refused = |(entry, refusal): (&Entry, &Refusal), blank: usize| {
            let mut row = start(entry);
            row.extend(std::iter::repeat_n(String::new(), blank));
            row.push(refusal.text());
            row
        };
        match by {
            ReportRows::Term => {
                let head = vec!["line", "name", "query", "conversations", "unique", "messages", "hits", "error"];
                let rows = self.entries.iter().map(|entry| match &entry.outcome {
                    Outcome::Refused(refusal) => refused((entry, refusal), 4),
                    Outcome::Counted { at, .. } => {
                        let term = &self.report.terms[*at];
                        let text = |of: fn(chatvault::search::terms::TextHits) -> u64| {
                            term.text.map_or(String::new(), |text| of(text).to_string())
                        };
                        let figures = [term.conversations.to_string(), term.unique.to_string()];
                        let hits = [text(|text| text.messages), text(|text| text.hits), String::new()];
                        start(entry).into_iter().chain(figures).chain(hits).collect()
                    }
                });
                (head, rows.collect())
            }
            ReportRows::Agent | ReportRows::Month => {
                let mut rows = Vec::new();
                let by_agent = by == ReportRows::Agent;
                for (entry, term) in self.counted() {
                    let families = if by_agent { &term.families.by_agent } else { &term.families.by_month };
                    for family in families {
                        let mut row = start(entry);
                        row.push(value_text(family.value.as_ref()));
                        if by_agent {
                            row.push(self.names.name(family.value.as_ref()).unwrap_or_default().to_owned());
                        }
                        row.push(family.count.to_string());
                        rows.push(row);
                    }
                }
                let family: &[&str] = if by_agent { &["agent", "agent_name"] } else { &["month"] };
                ([&["line", "name", "query"], family, &["conversations"]].concat(), rows)
            }
            ReportRows::Overlap => {
                let counted: Vec<&Entry> = self.counted().map(|(entry, _)| entry).collect();
                let mut rows = Vec::new();
                for (a, shared) in self.report.overlap.iter().flatten().enumerate() {
                    for b in a + 1..shared.len() {
                        let (one, other) = (counted[a], counted[b]);
                        let (mut row, other) = (start(one), start(other));
                        row.extend(other);
                        row.push(shared[b].to_string());
                        rows.push(row);
                    }
                }
                let head =
                    vec!["line", "name", "query", "other_line", "other_name", "other_query", "common_conversations"];
                (head, rows)
            }
        }
    }

    /// CSV (RFC 4180, UTF-8) to stdout, or to a file that must not exist.
    fn csv(&self, by: ReportRows, out: Option<&Path>) -> Result<(), Failure> {
        self.refuse_overlap(by)?;
        let (head, rows) = self.rows(by);
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        let failed = |error: csv::Error| Failure::new(Exit::Failed, error.to_string());
        writer.write_record(&head).map_err(failed)?;
        let is_shown = out.is_none() && io::stdout().is_terminal();
        for row in rows {
            writer.write_record(row.iter().map(|text| cell(text, is_shown))).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let Some(path) = out else {
            let mut out = io::stdout().lock();
            out.write_all(&bytes)?;
            return Ok(out.flush()?);
        };
        let named = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::usage(format!("{} exists already", path.display())).hint("name another file with --out")
            }
            _ => Failure::new(Exit::Failed, format!("{}: {error}", path.display())),
        };
        let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(named)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(named)
    }

    fn refuse_overlap(&self, by: ReportRows) -> Result<(), Failure> {
        if by == ReportRows::Overlap && self.report.overlap.is_none() {
            let message = format!("pairs are compared for at most {MOST_COMPARED} queries");
            return Err(Failure::usage(message).hint("split the list, or use --by term"));
        }
        Ok(())
    }

    /// Rows in columns; what is too wide for the terminal is cut, with a sign.
    fn table(&self, by: ReportRows, output: &Output) {
        if self.refuse_overlap(by).is_err() {
            output.note(&format!("pairs are compared for at most {MOST_COMPARED} queries; split the list"));
            return;
        }
        let (mut head, mut rows) = self.rows(by);
        if by == ReportRows::Term {
            // Errors have no column here: they are told one by one below.
            head.pop();
            for (row, entry) in rows.iter_mut().zip(&self.entries) {
                let error = row.pop();
                if let (Outcome::Refused(_), Some(cell), Some(_)) = (&entry.outcome, row.get_mut(3), error) {
                    *cell = "refused".to_owned();
                }
            }
        }
        columns::print(&head, &TEXTS, &rows, output);
    }

    /// What is true of the whole list, on stderr: the same beside a table and beside CSV.
    fn closing(&self, output: &Output) {
        let report = &self.report;
        for (entry, refusal) in self.refused() {
            // Also when quiet: a term that was not counted must not be taken for one without hits.
            eprintln!("line {}: {}", entry.line, printable(&refusal.text()));
        }
        for entry in &self.entries {
            if let Outcome::Counted { same_as: Some(first), .. } = entry.outcome {
                output.note(&format!("line {} asks the same as line {first}: neither has unique hits", entry.line));
            }
        }
        output.note(&format!(
            "{} searched: {} with a hit, {} without",
            counted(report.searched, "conversation"),
            number(report.found),
            number(report.searched - report.found)
        ));
        let by_count = report.by_query_count.iter().enumerate().skip(1).filter(|(_, count)| **count > 0);
        let by_count: Vec<String> = by_count
            .map(|(queries, count)| format!("{} by {}", number(*count), counted(queries as u64, "term")))
            .collect();
        if !by_count.is_empty() {
            const SHOWN: usize = 12;
            let more = if by_count.len() > SHOWN { " …" } else { "" };
            output.note(&format!("  found {}{more}", by_count[..by_count.len().min(SHOWN)].join(", ")));
        }
        if self.scope.trim() != "*" {
            output.note(&format!("  within {}", printable(self.scope)));
        }
        output.note(&format!("  digest of those with a hit: {}", report.digest));
        output.note(&format!("  list: {} SHA-256 {}", printable(&shell_path(self.file)), self.sha256));
        let refused = self.refused().count() as u64;
        if refused > 0 {
            output.note(&format!("{} not counted, see above", counted(refused, "line")));
        }
        warn_if_incomplete(self.coverage);
    }
}

impl Refusal {
    fn text(&self) -> String {
        let place = self.character.map(|character| format!("character {character}: ")).unwrap_or_default();
        let cure = self.suggestion.as_ref().map(|cure| format!("; try: {cure}")).unwrap_or_default();
        format!("{place}{}{cure}", self.message)
    }
}

/// Columns that are text; all others are figures.
const TEXTS: [&str; 8] = ["name", "query", "agent", "agent_name", "month", "other_name", "other_query", "error"];
