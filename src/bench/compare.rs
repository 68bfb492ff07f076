//! Two reports side by side. A difference counts where the two spreads have nothing in common; anything else is noise.

use super::report::Report;
use super::spread::Spread;
use serde::Serialize;

/// How a figure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Better by more than the noise.
    Better,
    /// Worse by more than the noise.
    Worse,
    /// The spreads overlap.
    Noise,
    /// The reports do not measure the same, or too seldom to say; the doubts tell why.
    NotComparable,
}

/// One figure of two reports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Which: a stage, a kind of question, or `index_to_json`.
    pub figure: String,
    /// Unit of both.
    pub unit: &'static str,
    /// Before.
    pub old: Spread,
    /// Now.
    pub new: Spread,
    /// How many times better the median is: above 1 is faster or smaller.
    pub ratio: f64,
    /// Whether that means anything.
    pub verdict: Verdict,
}

/// Fewest rounds whose spread says how much of a difference is noise.
pub const LEAST_ROUNDS: usize = 3;

/// Compares every figure that both reports have; and says in sentences what makes the comparison unsound. Where that is another
/// corpus, another kind of build or too few rounds, no figure is better or worse: all are [`Verdict::NotComparable`].
pub fn compare(old: &Report, new: &Report) -> (Vec<Comparison>, Vec<String>) {
    let mut compared = Vec::new();
    for stage in &new.stages {
        let before = old.stages.iter().find(|known| known.stage == stage.stage);
        if let (Some(old), Some(new)) = (before.and_then(|known| known.mb_per_s), stage.mb_per_s) {
            compared.push(figure(stage.stage.title(), "MB/s", old, new, new.median / old.median));
        }
    }
    for query in &new.queries {
        if let Some(before) = old.queries.iter().find(|known| known.kind == query.kind) {
            let (old, new) = (before.p50_ms, query.p50_ms);
            compared.push(figure(&query.kind, "ms", old, new, old.median / new.median));
        }
    }
    let size = |report: &Report| report.ratios.get("index_to_json").copied();
    if let (Some(old), Some(new)) = (size(old), size(new)) {
        compared.push(figure("index ÷ JSON", "", old, new, old.median / new.median));
    }
    if !is_sound(old, new) {
        compared.iter_mut().for_each(|figure| figure.verdict = Verdict::NotComparable);
    }
    (compared, doubts(old, new))
}

fn corpus(report: &Report) -> (u64, u64, u64) {
    (report.corpus.json_bytes, report.corpus.raw_bytes, report.corpus.conversations)
}

fn is_sound(old: &Report, new: &Report) -> bool {
    let is_often_enough = old.rounds.min(new.rounds) >= LEAST_ROUNDS;
    is_often_enough && corpus(old) == corpus(new) && old.is_debug_build == new.is_debug_build
}

fn figure(name: &str, unit: &'static str, old: Spread, new: Spread, ratio: f64) -> Comparison {
    let verdict = match old.is_apart_from(&new) {
        false => Verdict::Noise,
        true if ratio > 1.0 => Verdict::Better,
        true => Verdict::Worse,
    };
    Comparison { figure: name.to_owned(), unit, old, new, ratio, verdict }
}

fn doubts(old: &Report, new: &Report) -> Vec<String> {
    let mut doubts = Vec::new();
    let machine = |report: &Report| (report.machine.cpu.clone(), report.machine.cores, report.machine.memory_bytes);
    if machine(old) != machine(new) {
        doubts.push("the other report was made on another machine".to_owned());
    }
    if corpus(old) != corpus(new) {
        doubts.push("the other report was made with other files".to_owned());
    }
    if old.is_debug_build != new.is_debug_build {
        doubts.push("one of the two programs was built without optimisation".to_owned());
    }
    if old.rounds.min(new.rounds) < LEAST_ROUNDS {
        doubts.push("with fewer than three rounds the spread says little; use --rounds 5".to_owned());
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::machine::Machine;
    use crate::bench::survey::TextStatistics;

    /// A report of a vault's figures, as `--save` writes it.
    fn report(rounds: usize, json_bytes: u64, import: f64) -> Report {
        let spread = serde_json::json!({ "median": import, "min": import - 1.0, "max": import + 1.0 });
        let report = serde_json::json!({
            "version": "1", "is_debug_build": false, "date": "", "command": "", "rounds": rounds, "stages": [], "floor": null,
            "machine": Machine::here(),
            "corpus": {
                "seed": 1, "languages": {}, "files": 1, "raw_bytes": 1, "json_bytes": json_bytes, "conversations": 1,
                "unparsed_bytes": 0, "left_out": [], "left_out_count": 0, "text": TextStatistics::default(),
            },
            "ratios": { "index_to_json": spread }, "disk": null, "peak_memory_bytes": null, "queries": [], "elapsed_s": 1.0,
        });
        serde_json::from_value(report).expect("a report")
    }

    #[test]
    fn other_files_and_too_few_rounds_cannot_be_compared() {
        let (before, slower) = (report(3, 1000, 10.0), report(5, 1000, 100.0));
        let verdict = |old: &Report, new: &Report| {
            let (figures, doubts) = compare(old, new);
            assert_eq!(figures.len(), 1);
            (figures[0].verdict, doubts.len())
        };
        assert_eq!(verdict(&before, &slower), (Verdict::Worse, 0));
        assert_eq!(verdict(&before, &report(5, 1001, 100.0)), (Verdict::NotComparable, 1));
        assert_eq!(verdict(&before, &report(2, 1000, 100.0)), (Verdict::NotComparable, 1));
        assert_eq!(verdict(&report(1, 1000, 10.0), &slower), (Verdict::NotComparable, 1));
        let unoptimised = Report { is_debug_build: true, ..report(3, 1000, 100.0) };
        assert_eq!(verdict(&before, &unoptimised), (Verdict::NotComparable, 1));
    }

    #[test]
    fn only_what_is_apart_counts() {
        let at = |min, median, max| Spread { median, min, max };
        let verdict = |old, new, ratio| figure("x", "MB/s", old, new, ratio).verdict;
        assert_eq!(verdict(at(9.0, 10.0, 11.0), at(12.0, 13.0, 14.0), 1.3), Verdict::Better);
        assert_eq!(verdict(at(9.0, 10.0, 11.0), at(4.0, 5.0, 6.0), 0.5), Verdict::Worse);
        assert_eq!(verdict(at(9.0, 10.0, 11.0), at(4.0, 5.0, 9.5), 0.5), Verdict::Noise);
    }
}
