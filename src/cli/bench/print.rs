//! The report for people: a table and bars that fit the terminal, and sentences for what a table cannot say.

use super::bytes_or_dash;
use crate::cli::exit::Failure;
use crate::cli::output::{Output, Style, bytes, counted, number, printable, width};
use chatvault::bench::{
    Comparison, CorpusReport, GrowthRow, Machine, QueryReport, Report, Spread, Stage, StageReport, Verdict,
};
use serde_json::json;

/// What [`chatvault::bench::compare`] gives.
type Compared = (Vec<Comparison>, Vec<String>);

/// Makes a cell of a growth table.
type Cell = fn(&GrowthRow) -> String;

/// Files that are named as left out; `--json` names more.
const NAMED: usize = 5;

/// Narrowest bar worth its place, columns.
const LEAST_BAR: usize = 8;

pub(super) fn report(report: &Report, compared: Option<&Compared>, output: &Output) -> Result<(), Failure> {
    if output.for_machines() {
        let mut document = json!({ "bench": report });
        if let Some((figures, doubts)) = compared {
            document["compare"] = json!({ "figures": figures, "doubts": doubts });
        }
        return output.document(document, "bench");
    }
    outln!("chatvault {}, {}", printable(&report.version), printable(&report.date));
    machine(&report.machine, report.is_debug_build, output);
    corpus(&report.corpus);
    outln!(
        "{}, every stage once in each and in a process of its own; medians (smallest–largest)",
        counted(report.rounds as u64, "round")
    );
    outln!();
    stages(report, output);
    outln!();
    summary(report);
    if !report.queries.is_empty() {
        outln!();
        queries(&report.queries);
    }
    outln!();
    outln!("repeat: {}   ({:.0} s)", printable(&report.command), report.elapsed_s);
    if let Some((figures, doubts)) = compared {
        outln!();
        comparison(figures, doubts, output);
    }
    Ok(())
}

pub(super) fn growth(rows: &[GrowthRow], here: &Machine, command: &str, output: &Output) -> Result<(), Failure> {
    let (version, date) = (env!("CARGO_PKG_VERSION"), super::now());
    if output.for_machines() {
        let is_debug_build = cfg!(debug_assertions);
        let document = json!({
            "growth": rows, "machine": here, "command": command, "version": version, "date": date,
            "is_debug_build": is_debug_build,
        });
        return output.document(document, "bench");
    }
    outln!("chatvault {version}, {date}");
    machine(here, cfg!(debug_assertions), output);
    let sizes: Vec<String> = rows.iter().map(|row| number(row.corpus.conversations)).collect();
    let headers: Vec<&str> = std::iter::once("conversations").chain(sizes.iter().map(String::as_str)).collect();
    let mut table = Table::new(&headers);
    let figures: [(&str, Cell); 5] = [
        ("JSON", |row| bytes(row.corpus.json_bytes)),
        ("import, MB/s", |row| row.import.mb_per_s.map_or_else(dash, spread)),
        ("import, conversations/s", |row| {
            row.import.conversations_per_s.map_or_else(dash, |s| number(s.median as u64))
        }),
        ("import, peak memory", |row| bytes_or_dash(row.import.peak_memory_bytes)),
        ("index ÷ JSON", |row| row.index_to_json.map_or_else(dash, |ratio| format!("{ratio:.3}"))),
    ];
    for (name, figure) in figures {
        table.row(std::iter::once(name.to_owned()).chain(rows.iter().map(figure)));
    }
    let kinds = rows.first().map_or(&[][..], |row| row.queries.as_slice());
    for kind in kinds {
        let of = |row: &GrowthRow| {
            let found = row.queries.iter().find(|query| query.kind == kind.kind);
            found.map_or_else(dash, |query| format!("{} / {}", ms(query.p50_ms.median), ms(query.p99_ms.median)))
        };
        table.row(std::iter::once(format!("{}, p50 / p99 ms", printable(&kind.kind))).chain(rows.iter().map(of)));
    }
    table.print();
    outln!("repeat: {}", printable(command));
    Ok(())
}

fn machine(machine: &Machine, is_debug_build: bool, output: &Output) {
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let memory = machine.memory_bytes.map_or_else(String::new, |memory| format!(", {} of memory", bytes(memory)));
    let load = machine.load.map_or_else(String::new, |load| format!(", load {load:.1} at the start"));
    outln!("{}, {}{memory}, {}{load}", printable(cpu), counted(machine.cores as u64, "core"), printable(&machine.os));
    if is_debug_build {
        outln!(
            "{}",
            output.styled(Style::Bad, "built without optimisation: these figures say nothing; use a release build")
        );
    }
}

fn corpus(corpus: &CorpusReport) {
    let what = match corpus.seed {
        Some(seed) => format!("generated with seed {seed}: "),
        None => String::new(),
    };
    let records = corpus.conversations.max(1);
    outln!(
        "{what}{}, {} of JSON ({} on disk), {} of {} ({} of text in {} messages)",
        counted(corpus.files, "file"),
        bytes(corpus.json_bytes),
        bytes(corpus.raw_bytes),
        counted(corpus.conversations, "conversation"),
        bytes(corpus.json_bytes / records),
        bytes(corpus.text.text_bytes / records),
        corpus.text.messages / records,
    );
    let mut scripts: Vec<_> = corpus.text.scripts.iter().collect();
    scripts.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let share = |count: u64| 100.0 * count as f64 / records as f64;
    let scripts: Vec<String> =
        scripts.iter().map(|(script, count)| format!("{} {:.1} %", printable(script), share(**count))).collect();
    outln!("text: {:.1} % ASCII; conversations by script: {}", 100.0 * corpus.text.ascii_share, scripts.join(", "));
    if !corpus.languages.is_empty() {
        let mut languages: Vec<_> = corpus.languages.iter().collect();
        languages.sort_by(|a, b| b.1.cmp(a.1));
        let shown: Vec<String> = languages
            .iter()
            .map(|(code, permille)| format!("{} {:.1} %", printable(code), f64::from(**permille) / 10.0))
            .collect();
        outln!("languages: {}", shown.join(", "));
    }
    if corpus.unparsed_bytes > 0 {
        outln!("the floor's parse passed over {}: it is a little too fast", bytes(corpus.unparsed_bytes));
    }
    if corpus.left_out_count > 0 {
        outln!("left out: {}", counted(corpus.left_out_count, "file"));
        for left in corpus.left_out.iter().take(NAMED) {
            outln!("  {}: {}", printable(&left.path), printable(&left.reason));
        }
        if corpus.left_out_count > NAMED as u64 {
            outln!("  … --json names them");
        }
    }
}

/// Which columns there is room for, the dearest last.
fn stages(report: &Report, output: &Output) {
    let columns = ["stage (MB/s of JSON)", "MB/s", "(min–max)", "CPU s/GB", "conv/s", "memory", "of floor"];
    let all = |stage: &StageReport| -> Vec<String> {
        vec![
            stage.stage.title().to_owned(),
            stage.mb_per_s.map_or_else(dash, |speed| speed_of(speed.median)),
            stage.mb_per_s.map_or_else(dash, |speed| format!("({}–{})", speed_of(speed.min), speed_of(speed.max))),
            stage.cpu_s_per_gb.map_or_else(dash, |cpu| format!("{:.2}", cpu.median)),
            stage.conversations_per_s.map_or_else(dash, |speed| number(speed.median as u64)),
            bytes_or_dash(stage.peak_memory_bytes),
            stage.floor_share.map_or_else(dash, |share| format!("{:.2}", share.median)),
        ]
    };
    let rows: Vec<Vec<String>> = report.stages.iter().map(all).collect();
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let room = width();
    let needed = |kept: &[usize]| -> usize {
        kept.iter().map(|at| columns_of(&columns, &rows, *at) + 2).sum::<usize>().saturating_sub(2)
    };
    for dear in [5, 4, 3, 2] {
        if needed(&kept) + 2 + LEAST_BAR > room {
            kept.retain(|at| *at != dear);
        }
    }
    let bar = room.saturating_sub(needed(&kept) + 2).min(30);
    let mut headers: Vec<&str> = kept.iter().map(|at| columns[*at]).collect();
    headers.extend((bar >= LEAST_BAR).then_some("time"));
    let mut table = Table::new(&headers);
    let time_of = |stage: &StageReport| stage.mb_per_s.map(|speed| 1.0 / speed.median);
    let longest = report.stages.iter().filter_map(time_of).fold(0.0, f64::max);
    for (row, stage) in rows.iter().zip(&report.stages) {
        let time = time_of(stage).filter(|_| bar >= LEAST_BAR).map_or(0.0, |time| time / longest);
        table.row_with(kept.iter().map(|at| row[*at].clone()), &bar_of(time, bar));
    }
    table.print();
    for stage in &report.stages {
        if let Some(reason) = &stage.not_measured {
            outln!("{}: not measured: {}", stage.stage.title(), printable(reason));
        }
    }
    if report.stages.iter().any(|stage| stage.mb_per_s.is_some() && stage.cpu_s_per_gb.is_none()) {
        let why = "–: not measured; CPU seconds and memory need /proc (Linux), and 0.1 s of CPU";
        outln!("{}", output.styled(Style::Dim, why));
    }
}

fn summary(report: &Report) {
    if let Some(floor) = &report.floor {
        let from = match floor.from.as_str() {
            "cpu" => format!("{} ÷ the CPU seconds", counted(report.machine.cores as u64, "core")),
            _ => "the time (the CPU seconds are not known)".to_owned(),
        };
        outln!("floor {} MB/s: {from} of inflate, minimal parse and raw tantivy", spread(floor.mb_per_s));
    }
    let named = [
        ("import_to_floor", "import ÷ floor"),
        ("import_to_floor_by_cpu", "floor's CPU ÷ import's CPU"),
        ("import_to_raw_default_tokenizer", "import ÷ raw tantivy, default tokenizer"),
        ("sync_to_import", "sync ÷ import"),
        ("rebuild_to_import", "index --rebuild ÷ import"),
        ("index_to_json", "index ÷ JSON"),
        ("archive_to_json", "archive ÷ JSON"),
    ];
    for (name, title) in named {
        if let Some(ratio) = report.ratios.get(name) {
            outln!("{title:40} {:.3}  ({:.3}–{:.3})", ratio.median, ratio.min, ratio.max);
        }
    }
    let import = report.stages.iter().find(|stage| stage.stage == Stage::Import);
    if let Some(import) = import {
        let wall = import.wall_s.map_or_else(dash, |wall| format!("{:.1} s", wall.median));
        let cores = import.cores_used.map_or_else(dash, |used| format!("{:.2}", used.median));
        outln!("import: {wall}, {cores} of {} busy", counted(report.machine.cores as u64, "core"));
    }
    outln!("peak memory of import, sync, rebuild and verify: {}", bytes_or_dash(report.peak_memory_bytes));
    if let Some(disk) = &report.disk {
        let mut kinds: Vec<_> = disk.index_by_kind.iter().collect();
        kinds.sort_by(|a, b| b.1.cmp(a.1));
        let kinds: Vec<String> =
            kinds.iter().take(6).map(|(kind, size)| format!("{} {}", printable(kind), bytes(**size))).collect();
        outln!(
            "on disk: archive {}, ledger {}, index {} ({})",
            bytes(disk.archive_bytes),
            bytes(disk.ledger_bytes),
            bytes(disk.index_bytes),
            kinds.join(", ")
        );
    }
}

fn queries(queries: &[QueryReport]) {
    let mut table = Table::new(&["warm query, top 20 with highlights", "hits", "p50 ms", "p99 ms", "(p50 min–max)"]);
    for query in queries {
        let text = query.query.as_deref().map_or_else(String::new, |text| format!(": {}", printable(text)));
        let name: String = format!("{}{text}", printable(&query.kind)).chars().take(40).collect();
        table.row([
            name,
            query.hits.map_or_else(dash, number),
            ms(query.p50_ms.median),
            ms(query.p99_ms.median),
            format!("({}–{})", ms(query.p50_ms.min), ms(query.p50_ms.max)),
        ]);
    }
    table.print();
    outln!("with a warm page cache; a cold one cannot be had without rights on the machine");
}

fn comparison(figures: &[Comparison], doubts: &[String], output: &Output) {
    let mut table = Table::new(&["compared", "before", "now", "times better", ""]);
    for figure in figures {
        let shown = |value: f64| match figure.unit {
            "ms" => format!("{} ms", ms(value)),
            "MB/s" => format!("{} MB/s", speed_of(value)),
            _ => format!("{value:.3}"),
        };
        let verdict = match figure.verdict {
            Verdict::Better => output.styled(Style::Good, "better"),
            Verdict::Worse => output.styled(Style::Bad, "WORSE"),
            Verdict::NotComparable => output.styled(Style::Dim, "not comparable"),
            Verdict::Noise => output.styled(Style::Dim, "noise"),
        };
        let cells = [
            printable(&figure.figure).into_owned(),
            shown(figure.old.median),
            shown(figure.new.median),
            format!("{:.2}", figure.ratio),
        ];
        table.row_with(cells, &verdict);
    }
    table.print();
    for doubt in doubts {
        outln!("take care: {}", printable(doubt));
    }
}

fn dash() -> String {
    "–".to_owned()
}

fn ms(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

fn speed_of(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { number(value.round() as u64) }
}

fn spread(spread: Spread) -> String {
    format!("{} ({}–{})", speed_of(spread.median), speed_of(spread.min), speed_of(spread.max))
}

/// A bar of eighths of a column; full at 1 and beyond.
fn bar_of(share: f64, columns: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.extend("▏▎▍▌▋▊▉".chars().nth(eighths % 8 - 1));
    }
    bar
}

fn columns_of(headers: &[&str], rows: &[Vec<String>], at: usize) -> usize {
    let cells = rows.iter().map(|row| row[at].chars().count());
    cells.chain([headers[at].chars().count()]).max().unwrap_or(0)
}

/// Cells in columns: the first to the left, the others to the right, and something behind each row.
struct Table {
    headers: Vec<String>,
    rows: Vec<(Vec<String>, String)>,
}

impl Table {
    fn new(headers: &[&str]) -> Table {
        Table { headers: headers.iter().map(|header| (*header).to_owned()).collect(), rows: Vec::new() }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.row_with(cells, "");
    }

    fn row_with(&mut self, cells: impl IntoIterator<Item = String>, behind: &str) {
        self.rows.push((cells.into_iter().collect(), behind.to_owned()));
    }

    fn print(&self) {
        let count = self.rows.iter().map(|(cells, _)| cells.len()).max().unwrap_or(0);
        // A header too many is that of what stands behind the rows.
        let (headers, behind) = self.headers.split_at(count.min(self.headers.len()));
        let head = (headers, behind.first().map_or("", String::as_str));
        let rows =
            || std::iter::once(head).chain(self.rows.iter().map(|(cells, end)| (cells.as_slice(), end.as_str())));
        let widths: Vec<usize> = (0..count)
            .map(|at| rows().filter_map(|(cells, _)| cells.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        for (cells, behind) in rows() {
            let mut line = String::new();
            for (at, cell) in cells.iter().enumerate() {
                let padding = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
                match at {
                    0 => line.push_str(&format!("{cell}{padding}")),
                    _ => line.push_str(&format!("  {padding}{cell}")),
                }
            }
            outln!("{}", format!("{line}  {behind}").trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_drawn_in_eighths() {
        assert_eq!(bar_of(0.5, 8), "████");
        assert_eq!(bar_of(7.0, 8), "█".repeat(8));
        assert_eq!(bar_of(0.0, 8), "");
        assert_eq!(bar_of(1.0 / 64.0, 8), "▏");
    }
}
