//! What a benchmark found, as it is printed, saved and compared.

use super::import::Sizes;
use super::job::{Sample, Stage};
use super::machine::Machine;
use super::queries::QueryTimes;
use super::spread::Spread;
use super::survey::{LeftOut, Survey, TextStatistics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All that a benchmark found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of the program, and of these figures' meaning.
    pub version: String,
    /// Built without optimisation: the figures say nothing about the program.
    pub is_debug_build: bool,
    /// When it began, RFC 3339, UTC.
    pub date: String,
    /// What to type to repeat it.
    pub command: String,
    /// What it ran on.
    pub machine: Machine,
    /// What was measured.
    pub corpus: CorpusReport,
    /// Rounds; each has every stage once.
    pub rounds: usize,
    /// All stages, in the order of the data.
    pub stages: Vec<StageReport>,
    /// What the hardware allows.
    pub floor: Option<Floor>,
    /// Figures that are set against each other within each round; by name.
    pub ratios: BTreeMap<String, Spread>,
    /// What an import of all takes on disk.
    pub disk: Option<Sizes>,
    /// Highest memory of any process of the import, sync, rebuild and verify stages, bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Latencies.
    pub queries: Vec<QueryReport>,
    /// Seconds that all of it took.
    pub elapsed_s: f64,
}

/// The files that were measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CorpusReport {
    /// Seed of a generated corpus; `None` for files of the user's.
    pub seed: Option<u64>,
    /// Languages of a generated corpus, with their share in permille.
    pub languages: BTreeMap<String, u32>,
    /// Files.
    pub files: u64,
    /// Bytes on disk.
    pub raw_bytes: u64,
    /// Bytes of text.
    pub json_bytes: u64,
    /// Conversation records.
    pub conversations: u64,
    /// Bytes of text that the floor's minimal parse passed over.
    pub unparsed_bytes: u64,
    /// What the texts are like.
    pub text: TextStatistics,
    /// Files that were not measured; the first thousand.
    pub left_out: Vec<LeftOut>,
    /// How many there are of them.
    pub left_out_count: u64,
}

/// One stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageReport {
    /// Which.
    pub stage: Stage,
    /// Why there is no figure; then there is none below.
    pub not_measured: Option<String>,
    /// Millions of bytes of JSON in a second.
    pub mb_per_s: Option<Spread>,
    /// Millions of bytes on disk in a second.
    pub disk_mb_per_s: Option<Spread>,
    /// Conversation records in a second.
    pub conversations_per_s: Option<Spread>,
    /// CPU seconds for a billion bytes of JSON; `None` where they are not known.
    pub cpu_s_per_gb: Option<Spread>,
    /// CPU seconds in a second.
    pub cores_used: Option<Spread>,
    /// Speed as a share of the floor of the same round.
    pub floor_share: Option<Spread>,
    /// Seconds.
    pub wall_s: Option<Spread>,
    /// Highest memory of the process in any round, bytes, what was prepared for the stage included.
    pub peak_memory_bytes: Option<u64>,
}

/// What the hardware allows: the cores, busy with nothing but what cannot be left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Floor {
    /// Millions of bytes of JSON in a second.
    pub mb_per_s: Spread,
    /// `cpu`: cores ÷ CPU seconds. `wall`: from the time that passed, where CPU seconds are not known.
    pub from: String,
}

/// One kind of question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueryReport {
    /// What kind.
    pub kind: String,
    /// Its text; `None` for the user's files, whose words are nobody's business.
    pub query: Option<String>,
    /// Conversations that match, where they were counted.
    pub hits: Option<u64>,
    /// Times that it was asked in a round.
    pub samples: usize,
    /// Median of a round, milliseconds.
    pub p50_ms: Spread,
    /// 99th percentile of a round, milliseconds.
    pub p99_ms: Spread,
}

/// One size of a growing corpus.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrowthRow {
    /// What was measured.
    pub corpus: CorpusReport,
    /// The import.
    pub import: StageReport,
    /// Index bytes for each byte of JSON.
    pub index_to_json: Option<f64>,
    /// Latencies.
    pub queries: Vec<QueryReport>,
}

/// Files that are named in a report.
const MAX_LEFT_OUT: usize = 1000;

impl CorpusReport {
    /// Of a survey; `before` was left out before it.
    pub(super) fn of(
        survey: &Survey,
        before: &[LeftOut],
        seed: Option<u64>,
        languages: &[(&str, u32)],
    ) -> CorpusReport {
        let left_out: Vec<LeftOut> = before.iter().chain(&survey.left_out).cloned().collect();
        CorpusReport {
            seed,
            languages: languages.iter().map(|(code, share)| ((*code).to_owned(), *share)).collect(),
            files: survey.files.len() as u64,
            raw_bytes: survey.raw_bytes,
            json_bytes: survey.json_bytes,
            conversations: survey.conversations,
            unparsed_bytes: survey.unparsed_bytes,
            text: survey.text.clone(),
            left_out_count: left_out.len() as u64,
            left_out: left_out.into_iter().take(MAX_LEFT_OUT).collect(),
        }
    }
}

/// All rounds of all stages.
#[derive(Default)]
pub(super) struct Rounds {
    pub(super) samples: BTreeMap<Stage, Vec<Sample>>,
    pub(super) queries: Vec<Vec<QueryTimes>>,
}

/// Turns rounds into figures.
pub(super) struct Figures<'r> {
    pub(super) rounds: &'r Rounds,
    pub(super) corpus: &'r CorpusReport,
    pub(super) cores: usize,
}

impl Figures<'_> {
    fn samples(&self, stage: Stage) -> &[Sample] {
        self.rounds.samples.get(&stage).map_or(&[], Vec::as_slice)
    }

    fn json_mb(&self) -> f64 {
        self.corpus.json_bytes as f64 / 1e6
    }

    /// MB/s of each round.
    fn speeds(&self, stage: Stage) -> Vec<f64> {
        self.samples(stage).iter().map(|sample| self.json_mb() / sample.wall_s).collect()
    }

    fn cpu_per_mb(&self, stage: Stage) -> Option<Vec<f64>> {
        let samples = self.samples(stage).iter();
        let all: Option<Vec<f64>> = samples.map(|sample| Some(sample.cpu_s? / self.json_mb())).collect();
        all.filter(|all| !all.is_empty())
    }

    /// CPU seconds per MB of the work that cannot be left out, in each round.
    fn floor_cpu_per_mb(&self) -> Option<Vec<f64>> {
        let (parse, index) = (self.cpu_per_mb(Stage::Parse)?, self.cpu_per_mb(Stage::Index)?);
        Some(parse.into_iter().zip(index).map(|(parse, index)| parse + index).collect())
    }

    /// The floor in each round, MB/s, and what it is made of.
    fn floors(&self) -> (Vec<f64>, &'static str) {
        if let Some(cpu_per_mb) = self.floor_cpu_per_mb() {
            return (cpu_per_mb.into_iter().map(|cpu| self.cores as f64 / cpu).collect(), "cpu");
        }
        let both = self.speeds(Stage::Parse).into_iter().zip(self.speeds(Stage::Index));
        (both.map(|(parse, index)| 1.0 / (1.0 / parse + 1.0 / index)).collect(), "wall")
    }

    pub(super) fn floor(&self) -> Option<Floor> {
        let (floors, from) = self.floors();
        Some(Floor { mb_per_s: Spread::of(floors)?, from: from.to_owned() })
    }

    pub(super) fn stage(&self, stage: Stage, not_measured: Option<&str>) -> StageReport {
        let samples = self.samples(stage);
        let gb = self.json_mb() / 1e3;
        let (floors, _) = self.floors();
        let speeds = self.speeds(stage);
        let per_second = |amount: f64| Spread::of(samples.iter().map(|sample| amount / sample.wall_s));
        let not_measured = match samples.is_empty() {
            true => Some(not_measured.unwrap_or("it did not run").to_owned()),
            false => None,
        };
        StageReport {
            stage,
            not_measured,
            mb_per_s: Spread::of(speeds.iter().copied()),
            disk_mb_per_s: per_second(self.corpus.raw_bytes as f64 / 1e6),
            conversations_per_s: per_second(self.corpus.conversations as f64),
            cpu_s_per_gb: Spread::of_all(samples.iter().map(|sample| Some(sample.cpu_s? / gb))),
            cores_used: Spread::of_all(samples.iter().map(|sample| Some(sample.cpu_s? / sample.wall_s))),
            floor_share: quotients(&speeds, &floors),
            wall_s: Spread::of(samples.iter().map(|sample| sample.wall_s)),
            peak_memory_bytes: samples.iter().filter_map(|sample| sample.peak_memory_bytes).max(),
        }
    }

    /// The ratios that the project's goals are written in.
    pub(super) fn ratios(&self) -> BTreeMap<String, Spread> {
        let speeds = |stage| self.speeds(stage);
        let import = speeds(Stage::Import);
        let json = self.corpus.json_bytes as f64;
        let on_disk = |bytes: fn(&super::Sizes) -> u64| {
            let sizes = self.samples(Stage::Import).iter().map(|sample| sample.sizes.as_ref());
            Spread::of_all(sizes.map(|sizes| Some(bytes(sizes?) as f64 / json)))
        };
        // Less CPU is better: the floor's divided by the import's.
        let by_cpu = self.floor_cpu_per_mb().zip(self.cpu_per_mb(Stage::Import));
        let named = [
            ("import_to_floor", quotients(&import, &self.floors().0)),
            ("import_to_floor_by_cpu", by_cpu.and_then(|(floor, import)| quotients(&floor, &import))),
            ("import_to_raw_default_tokenizer", quotients(&import, &speeds(Stage::IndexDefault))),
            ("sync_to_import", quotients(&speeds(Stage::Sync), &import)),
            ("rebuild_to_import", quotients(&speeds(Stage::Rebuild), &import)),
            ("index_to_json", on_disk(|sizes| sizes.index_bytes)),
            ("archive_to_json", on_disk(|sizes| sizes.archive_bytes)),
        ];
        named.into_iter().filter_map(|(name, spread)| Some((name.to_owned(), spread?))).collect()
    }

    pub(super) fn disk(&self) -> Option<Sizes> {
        self.samples(Stage::Import).last()?.sizes.clone()
    }

    pub(super) fn peak_memory_bytes(&self) -> Option<u64> {
        let whole = [Stage::Import, Stage::Sync, Stage::Rebuild, Stage::Verify];
        whole.into_iter().flat_map(|stage| self.samples(stage)).filter_map(|sample| sample.peak_memory_bytes).max()
    }

    pub(super) fn queries(&self) -> Vec<QueryReport> {
        let mut kinds: Vec<&QueryTimes> = Vec::new();
        for times in self.rounds.queries.iter().flatten() {
            if !kinds.iter().any(|known| known.kind == times.kind) {
                kinds.push(times);
            }
        }
        let is_own = self.corpus.seed.is_none();
        let of_kind = |kind: &QueryTimes| {
            let rounds: Vec<&QueryTimes> =
                self.rounds.queries.iter().flatten().filter(|times| times.kind == kind.kind).collect();
            Some(QueryReport {
                kind: kind.kind.clone(),
                query: (!is_own).then(|| kind.query.clone()),
                hits: kind.hits,
                samples: rounds.iter().map(|times| times.samples).min()?,
                p50_ms: Spread::of(rounds.iter().map(|times| times.p50_ms))?,
                p99_ms: Spread::of(rounds.iter().map(|times| times.p99_ms))?,
            })
        };
        kinds.into_iter().filter_map(of_kind).collect()
    }
}

/// Quotients of two rows of rounds, round by round.
fn quotients(above: &[f64], below: &[f64]) -> Option<Spread> {
    if above.len() != below.len() {
        return None;
    }
    Spread::of(above.iter().zip(below).map(|(above, below)| above / below))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wall and CPU seconds of a round.
    type Round = (f64, Option<f64>);

    fn rounds(figures: &[(Stage, &[Round])]) -> Rounds {
        let sample =
            |(wall_s, cpu_s): &(f64, Option<f64>)| Sample { wall_s: *wall_s, cpu_s: *cpu_s, ..Sample::default() };
        let samples = figures.iter().map(|(stage, rounds)| (*stage, rounds.iter().map(sample).collect()));
        Rounds { samples: samples.collect(), queries: Vec::new() }
    }

    fn corpus() -> CorpusReport {
        let survey =
            Survey { json_bytes: 100_000_000, conversations: 1000, raw_bytes: 20_000_000, ..Survey::default() };
        CorpusReport::of(&survey, &[], Some(1), &[])
    }

    #[test]
    fn the_floor_is_cores_by_cpu_seconds() {
        let rounds = rounds(&[
            (Stage::Parse, &[(0.1, Some(0.2)), (0.3, Some(0.2))]),
            (Stage::Index, &[(0.4, Some(0.8)), (0.9, Some(0.8))]),
            (Stage::Import, &[(1.0, Some(2.0)), (2.0, Some(2.0))]),
        ]);
        let corpus = corpus();
        let figures = Figures { rounds: &rounds, corpus: &corpus, cores: 2 };
        let floor = figures.floor().expect("measured");
        // 100 MB cost one CPU second; two cores do 200 MB in a second, however long it took on a busy machine.
        assert_eq!((floor.mb_per_s.median, floor.from.as_str()), (200.0, "cpu"));
        let import = figures.stage(Stage::Import, None);
        assert_eq!(import.mb_per_s, Spread::of([100.0, 50.0]));
        assert_eq!(import.floor_share, Spread::of([0.5, 0.25]));
        assert_eq!(import.cpu_s_per_gb.expect("known").median, 20.0);
        assert_eq!(import.cores_used, Spread::of([2.0, 1.0]));
        assert_eq!(figures.ratios()["import_to_floor_by_cpu"].median, 0.5);
        assert!(!figures.ratios().contains_key("sync_to_import"), "what did not run has no ratio");
    }

    #[test]
    fn without_cpu_seconds_the_clock_must_do() {
        let rounds = rounds(&[
            (Stage::Parse, &[(0.5, None)]),
            (Stage::Index, &[(1.5, Some(1.0))]),
            (Stage::Import, &[(4.0, None)]),
        ]);
        let corpus = corpus();
        let figures = Figures { rounds: &rounds, corpus: &corpus, cores: 2 };
        let floor = figures.floor().expect("measured");
        assert_eq!((floor.mb_per_s.median, floor.from.as_str()), (50.0, "wall"));
        let import = figures.stage(Stage::Import, None);
        assert_eq!((import.cpu_s_per_gb, import.cores_used), (None, None), "never a zero");
        let sync = figures.stage(Stage::Sync, Some("no account"));
        assert_eq!((sync.not_measured.as_deref(), sync.mb_per_s), (Some("no account"), None));
    }
}
