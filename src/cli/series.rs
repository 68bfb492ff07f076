//! `stats --stream`: the history of an operational stream as tables and charts.

use super::args::{Figures, Stats};
use super::choices::Unit;
use super::exit::{Exit, Failure};
use super::limits::Limits;
use super::output::{Output, Style, counted, number, printable, readable_duration, readable_time, time_zone, width};
use super::{now_ms, open, series_advice, series_drill, series_json};
use chatvault::decode::{DecodeLimits, SpanKind};
use chatvault::pipeline::{
    AgentHistory, AgentsView, Bucketing, CallReport, CallTable, MetricRow, Rule, SeriesFilter, SeriesOptions,
    SeriesReport, SeriesTable, TableFigure, TableStep, series,
};
use chatvault::search::parse::{ParseOptions, parse_located};
use chatvault::search::query::{Query, Test};
use jiff::tz::TimeZone;
use std::path::Path;
use unicode_width::UnicodeWidthChar;

/// Agents and holes that a terminal gets; `--json` has all.
const SHOWN: usize = 40;
const HOLES_SHOWN: usize = 5;
/// Columns of a figure, and of a least and a greatest one.
const FIGURE: usize = 13;
const RANGE: usize = 25;
/// Columns of an agent's state.
const STATE: usize = 23;

pub(super) fn run(stream: &str, args: &Stats, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let archive = open(vault)?;
    let tz = time_zone(&args.tz)?;
    let options = options(vault)?;
    let filter = filter(&args.figures, &tz)?;
    if let Some(at) = &args.figures.at {
        return series_drill::run(
            &archive,
            &series_drill::Request { stream, at, args, filter, tz, vault },
            options,
            output,
        );
    }
    let (step, name) = match args.by {
        Unit::FiveMinutes => (TableStep::FiveMinutes, "5m"),
        Unit::Auto | Unit::Hour => (TableStep::Hour, "hour"),
        Unit::Day => (TableStep::Day, "day"),
        Unit::Week | Unit::Month => {
            return Err(Failure::usage("figures are put together by 5m, hour or day").hint("--by day"));
        }
    };
    let bucketing = Bucketing { step, tz: tz.clone() };
    let mut table = SeriesTable::new(bucketing, filter.skill.clone(), filter.agent.clone());
    let mut agents = AgentsView::default();
    let report = series(&archive, stream, &filter, options, &mut |span, point| {
        table.take(span, point);
        agents.take(span, point);
    })?;
    if let Some(call) = filter.call.as_deref().filter(|call| !report.calls.contains_key(*call)) {
        return Err(series_advice::no_such_call(&archive, stream, call, options, vault));
    }
    let mut tables = table.finish().map_err(|error| {
        Failure::usage(error.to_string())
            .hint("choose a longer step (--by hour, --by day) or a shorter time (--from, --to)")
    })?;
    keep_metrics(&mut tables, &args.figures.metric)?;
    if output.for_machines() {
        let whole = series_json::Whole {
            stream,
            by: name,
            tz: &args.tz,
            filter: &filter,
            report: &report,
            tables: &tables,
            agents: &agents,
        };
        output.document(series_json::document(&whole), "figures")?;
    } else {
        for (call, report) in &report.calls {
            let tables: Vec<&CallTable> = tables.iter().filter(|table| table.call == *call).collect();
            print_call(call, report, &tables, &args.figures, &tz, output);
        }
        print_agents(&agents, &tz, output);
        if report.files + report.open_segments == 0 {
            let advice = series_advice::no_answers(stream, vault);
            output.note(&format!("the archive holds no answers of {stream}; {advice}"));
        }
    }
    Ok(ended(&report))
}

/// Bounds of the vault's settings.
pub(super) fn options(vault: &Path) -> Result<SeriesOptions, Failure> {
    let limits = Limits::of_vault(vault)?;
    let decode = DecodeLimits {
        max_record_bytes: limits.max_record_bytes,
        max_inflate_ratio: limits.max_inflate_ratio,
        max_inflated_bytes: limits.max_inflated_bytes,
        ..DecodeLimits::default()
    };
    Ok(SeriesOptions { decode, ..SeriesOptions::default() })
}

fn filter(figures: &Figures, tz: &TimeZone) -> Result<SeriesFilter, Failure> {
    Ok(SeriesFilter {
        call: figures.call.as_ref().map(|call| call.trim_matches('/').to_owned()),
        skill: figures.skill.clone(),
        agent: figures.agent.clone(),
        ..times(figures.from.as_deref(), figures.to.as_deref(), tz)?
    })
}

/// A filter of `--from` and `--to`.
pub(super) fn times(from: Option<&str>, to: Option<&str>, tz: &TimeZone) -> Result<SeriesFilter, Failure> {
    let from_ms = from.map(|text| time("--from", text, tz)).transpose()?.map(|(start_ms, _)| start_ms);
    let to_ms = to.map(|text| time("--to", text, tz)).transpose()?.map(|(_, end_ms)| end_ms);
    if from_ms.zip(to_ms).is_some_and(|(from_ms, to_ms)| from_ms >= to_ms) {
        return Err(Failure::usage("--to lies before --from, so there is nothing between them"));
    }
    Ok(SeriesFilter { from_ms, to_ms, ..SeriesFilter::default() })
}

/// A time as in queries: what it means, half-open.
pub(super) fn time(option: &str, text: &str, tz: &TimeZone) -> Result<(i64, i64), Failure> {
    let refused = || {
        Failure::usage(format!("{option} {text:?} is not a time"))
            .hint("write 2026-11-20, 2026-11-20T10:05, 2026-11-20T10:05:30Z, -6h or epoch milliseconds")
    };
    let now_ms = now_ms();
    let parsed =
        parse_located(&format!("start:\"{text}\""), &ParseOptions { tz: tz.clone(), now_ms }).map_err(|_| refused())?;
    match parsed.query {
        Query::Meta(condition) => match condition.test {
            Test::Time(range) => range.from_ms.zip(range.to_ms).ok_or_else(refused),
            _ => Err(refused()),
        },
        _ => Err(refused()),
    }
}

/// The exit code, and a warning where something is missing.
pub(super) fn ended(report: &SeriesReport) -> Exit {
    series_advice::other_accounts(report);
    let failures = report.problems.failures();
    if failures > 0 {
        eprintln!(
            "WARNING: {} could not be read; `chatvault verify` names damaged files",
            counted(failures, "answer or part")
        );
    }
    if report.too_many > 0 {
        eprintln!(
            "WARNING: {} left out: one time has more figures than fit into memory",
            counted(report.too_many, "figure")
        );
    }
    if failures + report.too_many > 0 { Exit::SomeFailed } else { Exit::Complete }
}

fn keep_metrics(tables: &mut [CallTable], wanted: &[String]) -> Result<(), Failure> {
    for name in wanted {
        let known = || tables.iter().flat_map(|table| table.metrics.iter().map(|row| row.metric.as_str()));
        if !known().any(|metric| metric == name) {
            let mut names: Vec<&str> = known().collect();
            names.sort_unstable();
            names.dedup();
            names.truncate(60);
            let refused = Failure::usage(format!("no figures of the metric {name:?} here"));
            if names.is_empty() {
                return Err(refused.hint("there is no figure at all of what is asked for; ask without --metric"));
            }
            return Err(refused.hint(format!("known: {}", names.join(", "))));
        }
    }
    if !wanted.is_empty() {
        tables.iter_mut().for_each(|table| table.metrics.retain(|row| wanted.contains(&row.metric)));
    }
    Ok(())
}

fn print_call(
    call: &str,
    report: &CallReport,
    tables: &[&CallTable],
    figures: &Figures,
    tz: &TimeZone,
    output: &Output,
) {
    if !figures.metric.is_empty() && tables.iter().all(|table| table.metrics.is_empty()) {
        return;
    }
    let mut facts = vec![counted(report.answers, "answer")];
    for (count, name) in [
        (report.intervals, "interval"),
        (report.windows, "window"),
        (report.snapshots, "snapshot"),
        (report.overlaps, "overlapping time"),
    ] {
        facts.extend((count > 0).then(|| counted(count, name)));
    }
    facts.extend((report.refused > 0).then(|| format!("{} refused", number(report.refused))));
    facts.extend((report.open > 0).then(|| format!("{} still open", number(report.open))));
    outln!("{}", output.styled(Style::Bold, &printable(call)));
    print_facts(&facts);
    if report.hole_count > 0 {
        outln!("  {} of {} together:", counted(report.hole_count, "hole"), readable_duration(report.hole_ms));
        for hole in report.holes.iter().take(HOLES_SHOWN) {
            let why = if hole.is_overlap { " (only in overlapping times)" } else { "" };
            outln!("    {} to {}{why}", readable_time(hole.start_ms, tz), readable_time(hole.end_ms, tz));
        }
        if report.hole_count > HOLES_SHOWN as u64 {
            output
                .note(&format!("{} further holes; --json lists them", number(report.hole_count - HOLES_SHOWN as u64)));
        }
    }
    for table in tables {
        if figures.metric.is_empty() { print_overview(table, tz, output) } else { print_rows(table, tz, output) }
    }
    // Single agents have a table of their own below.
    if tables.iter().all(|table| table.metrics.is_empty()) && call != "agent-view/status" {
        output.note("  no figures of this kind here; try --skill ID or --agent ID");
    }
}

/// Facts, on as many lines as it takes.
fn print_facts(facts: &[String]) {
    let mut line = String::new();
    for fact in facts {
        if !line.is_empty() && columns(&line) + 2 + columns(fact) + 3 > width() {
            outln!("  {line},");
            line.clear();
        }
        line.push_str(if line.is_empty() { "" } else { ", " });
        line.push_str(fact);
    }
    outln!("  {line}");
}

/// A line for each metric: the whole, its range and a chart.
fn print_overview(table: &CallTable, tz: &TimeZone, output: &Output) {
    if table.metrics.is_empty() {
        return;
    }
    let (Some(first), Some(last)) = (table.buckets.first(), table.buckets.last()) else { return };
    outln!(
        "  {} to {}, {}",
        readable_time(first.0, tz),
        readable_time(last.1, tz),
        counted(table.buckets.len() as u64, "row")
    );
    let longest = table.metrics.iter().map(|row| columns(&printable(&row.metric))).max().unwrap_or(0);
    let name_width = longest.min(48).min(width() / 2);
    // The range goes before the chart does.
    let left = width().saturating_sub(2 + name_width + 1 + FIGURE + 2);
    let has_range = left >= RANGE + 17;
    let range = |row: &MetricRow| format!("{}..{}", figure(row.whole.least), figure(row.whole.greatest));
    // Without its column a range stands where the value would, and is never cut inside a number.
    let alone = table.metrics.iter().filter(|row| !has_range && row.whole.value.is_none());
    let wide = alone.map(|row| range(row).len()).max().unwrap_or(0).max(FIGURE);
    let room = if has_range { left - RANGE - 1 } else { left.saturating_sub(wide - FIGURE) }.clamp(4, 120);
    for row in &table.metrics {
        let name = fitted(&printable(&row.metric), name_width);
        let whole = row.whole.value.map_or_else(String::new, figure);
        let range = range(row);
        let chart = chart(row, table, room, output.ascii);
        match (has_range, row.whole.value) {
            (true, _) => outln!("  {name} {whole:>FIGURE$} {range:>RANGE$}  {chart}"),
            (false, Some(_)) => outln!("  {name} {whole:>wide$}  {chart}"),
            (false, None) => outln!("  {name} {range:>wide$}  {chart}"),
        }
    }
}

/// A line for each step, with a bar, for each metric.
fn print_rows(table: &CallTable, tz: &TimeZone, output: &Output) {
    for row in &table.metrics {
        outln!("  {} ({})", output.styled(Style::Bold, &printable(&row.metric)), row.rule.name());
        let of = |figure: &TableFigure| figure.value.unwrap_or(figure.greatest);
        let most = row.figures.iter().flatten().map(of).fold(0.0_f64, f64::max);
        let room = width().saturating_sub(2 + 19 + 1 + RANGE + 6 + 1 + 5).clamp(4, 60);
        for (at, (start_ms, end_ms)) in table.buckets.iter().enumerate() {
            let time = readable_time(*start_ms, tz);
            let Some(figure) = row.figures.get(at).and_then(Option::as_ref) else {
                let why = if table.covered.get(at).is_some_and(|covered| *covered > 0) { "no data" } else { "hole" };
                outln!("  {time} {why:>RANGE$}");
                continue;
            };
            let covered = match table.kind {
                SpanKind::Snapshot => format!("{}x", table.covered[at]),
                _ => format!("{}%", (100 * table.covered[at] / (end_ms - start_ms).max(1)).min(999)),
            };
            let open = if table.open[at] { " open" } else { "" };
            let bar = bar(of(figure), most, room, output.ascii);
            let line = format!("  {time} {:>RANGE$} {covered:>5} {bar}{open}", shown(figure));
            outln!("{}", line.trim_end());
        }
    }
}

fn print_agents(view: &AgentsView, tz: &TimeZone, output: &Output) {
    let mut agents = view.agents();
    let Some((first_ms, last_ms)) = view.range_ms else { return };
    if agents.is_empty() {
        return;
    }
    let range = format!("{} to {}", readable_time(first_ms, tz), readable_time(last_ms, tz));
    outln!(
        "{}  {} in {}, {range}",
        output.styled(Style::Bold, "agents"),
        counted(agents.len() as u64, "agent"),
        counted(view.lists, "list")
    );
    agents.sort_by_key(|agent| (std::cmp::Reverse(agent.states_ms.values().sum::<i64>()), agent.agent_id.clone()));
    // Without the load where the terminal is narrow.
    let has_load = width() >= 100;
    let load_head = if has_load { format!("{:>11} ", "load %") } else { String::new() };
    let room = width().saturating_sub(2 + 4 * 10 + load_head.len() + 1 + STATE).clamp(12, 40);
    let heads = ["online", "back soon", "away", "absent"].map(|head| format!("{head:>9}")).join(" ");
    outln!("  {:room$} {heads} {load_head} now", "agent");
    for agent in agents.iter().take(SHOWN) {
        let name = agent.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let name = fitted(&printable(&format!("{}{name}", agent.agent_id)), room);
        let time = |state: &str| readable_duration(agent.states_ms.get(state).copied().unwrap_or(0));
        let times = [time("online"), time("back-soon"), time("away"), readable_duration(agent.absent_ms)];
        let times = times.map(|time| format!("{time:>9}")).join(" ");
        let load = agent.load.filter(|_| has_load);
        let load = load.map(|(least, most, _)| format!("{:>11} ", format!("{}..{}", figure(least), figure(most))));
        let load = load.unwrap_or_else(|| " ".repeat(load_head.len()));
        let now = fitted(&state_now(agent, tz), STATE);
        outln!("  {name} {times} {load} {}", now.trim_end());
    }
    if agents.len() > SHOWN {
        output.note(&format!("{} further agents; --json lists all", agents.len() - SHOWN));
    }
    if view.unknown_ms > 0 {
        output.note(&format!(
            "{} between lists that are too far apart to say anything of",
            readable_duration(view.unknown_ms)
        ));
    }
}

/// LivePerson lists logged-in agents only: one who is not in the last list is offline.
fn state_now(agent: &AgentHistory, tz: &TimeZone) -> String {
    if !agent.is_listed {
        // Without the year: the range stands above.
        let seen = readable_time(agent.last_seen_ms, tz);
        return format!("offline {}", seen.get(5..16).unwrap_or(&seen));
    }
    let state = agent.state.as_deref().unwrap_or("unknown");
    let reason = agent.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    printable(&format!("{state}{reason}")).into_owned()
}

/// A figure of a metric: the value where there is one, else the range.
fn shown(of: &TableFigure) -> String {
    match of.value {
        Some(value) => figure(value),
        None => format!("{}..{}", figure(of.least), figure(of.greatest)),
    }
}

/// `1,234`, `0.25`, `1.795e12`: what takes no more than 13 columns.
pub(super) fn figure(value: f64) -> String {
    if value.abs() >= 1e10 {
        return format!("{value:.3e}");
    }
    if value.fract() == 0.0 || value.abs() >= 1e6 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", number(value.abs().round() as u64));
    }
    format!("{value:.2}")
}

/// Columns that a text takes on a terminal.
fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// A text cut and padded to this many columns.
fn fitted(text: &str, width: usize) -> String {
    let mut line = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width {
            break;
        }
        used += wide;
        line.push(c);
    }
    line.extend(std::iter::repeat_n(' ', width - used));
    line
}

/// A sparkline of at most `room` columns. A step without figures is a dot, never a zero.
fn chart(row: &MetricRow, table: &CallTable, room: usize, ascii: bool) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const LETTERS: [char; 8] = ['_', '-', '~', '=', '+', '*', '#', '@'];
    let (levels, hole) = if ascii { (LETTERS, '.') } else { (BLOCKS, '·') };
    let steps = table.buckets.len();
    // Steps that share a column: sums are added, of everything else the greatest is shown.
    let share = steps.div_ceil(room).max(1);
    let joined = |figures: &[Option<TableFigure>]| {
        let values = figures.iter().flatten().map(|figure| figure.value.unwrap_or(figure.greatest));
        match row.rule {
            Rule::Sum => values.reduce(|a, b| a + b),
            _ => values.reduce(f64::max),
        }
    };
    let values: Vec<Option<f64>> = row.figures.chunks(share).map(joined).collect();
    let most = values.iter().flatten().copied().fold(0.0_f64, f64::max);
    let level = |value: f64| {
        if most <= 0.0 || value <= 0.0 {
            levels[0]
        } else {
            levels[((value / most * 8.0).ceil() as usize).clamp(1, 8) - 1]
        }
    };
    values.into_iter().map(|value| value.map_or(hole, level)).collect()
}

fn bar(value: f64, most: f64, room: usize, ascii: bool) -> String {
    if most <= 0.0 || value <= 0.0 {
        return String::new();
    }
    let length = ((value / most * room as f64).round() as usize).clamp(1, room);
    if ascii { "#".repeat(length) } else { "█".repeat(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<f64>]) -> (MetricRow, CallTable) {
        let figure = |value: f64| TableFigure { value: Some(value), least: value, greatest: value, intervals: 1 };
        let figures: Vec<_> = values.iter().map(|value| value.map(figure)).collect();
        let row = MetricRow { metric: "m".into(), rule: Rule::Sum, whole: figure(0.0), figures };
        let buckets: Vec<(i64, i64)> = (0..values.len() as i64).map(|at| (at, at + 1)).collect();
        let (covered, open) = (vec![1; values.len()], vec![false; values.len()]);
        let table =
            CallTable { call: "c".into(), kind: SpanKind::Interval, buckets, covered, open, metrics: Vec::new() };
        (row, table)
    }

    #[test]
    fn holes_are_holes_and_no_zeros() {
        let (row, table) = row(&[Some(0.0), None, Some(4.0), Some(8.0)]);
        assert_eq!(chart(&row, &table, 10, false), "▁·▄█");
        assert_eq!(chart(&row, &table, 10, true), "_.=@");
        assert_eq!(chart(&row, &table, 2, true), "_@");
    }

    #[test]
    fn wide_names_are_cut_by_columns() {
        assert_eq!(fitted("ab", 4), "ab  ");
        assert_eq!(fitted("退款退款", 5), "退款 ");
        assert_eq!(columns(&fitted("e\u{301}退", 3)), 3);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(figure(1234.0), "1,234");
        assert_eq!(figure(-2.0), "-2");
        assert_eq!(figure(0.25), "0.25");
        assert_eq!(figure(f64::MAX), "1.798e308");
        assert!([-9.0e9, 999_999.99, -0.001, 9_999_999_999.0].iter().all(|value| figure(*value).len() <= FIGURE + 1));
    }
}
