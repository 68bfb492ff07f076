//! A benchmark: a survey, then round after round every stage once, so that a slow moment of the machine hits all of them.

use super::error::BenchError;
use super::job::{Answer, Job, Sample, Stage, Work};
use super::machine::{Machine, cores};
use super::queries::QueryTimes;
use super::report::{CorpusReport, Figures, GrowthRow, Report, Rounds};
use super::survey::{LeftOut, Survey};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to measure, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Files that an import would take. They are only read.
    pub files: Vec<PathBuf>,
    /// What was named besides and is no such file.
    pub left_out: Vec<LeftOut>,
    /// Seed of a generated corpus.
    pub seed: Option<u64>,
    /// Its languages, with their share in permille.
    pub languages: Vec<(&'static str, u32)>,
    /// An empty folder, on the disk to be measured; what is made in it is removed again, but for what a failure leaves.
    pub scratch: PathBuf,
    /// Rounds, at least 1.
    pub rounds: usize,
    /// The program that `search` is measured with, as a process.
    pub program: PathBuf,
    /// Why [`Stage::Sync`] cannot be measured; `None` where whoever performs the jobs can.
    pub no_sync: Option<String>,
    /// What to type to repeat it.
    pub command: String,
    /// When it began, RFC 3339.
    pub date: String,
}

/// Does a job in a process of its own.
type Perform<'p> = &'p mut dyn FnMut(&Job) -> Result<Answer, BenchError>;

/// Is told what is being done now: a stage, and in which round of how many.
type Tell<'t> = &'t dyn Fn(&str, usize, usize);

/// Measures everything. `check` is asked, once the sizes are known, whether there is room for them.
///
/// # Errors
/// The first failure of any stage, and what `check` says.
pub fn run(
    plan: &Plan,
    perform: Perform<'_>,
    tell: Tell<'_>,
    check: &dyn Fn(&Survey) -> Result<(), BenchError>,
) -> Result<Report, BenchError> {
    let started = Instant::now();
    let machine = Machine::here();
    let mut bench = Bench { plan, perform, tell, round: 0 };
    let survey = bench.survey()?;
    check(&survey)?;
    let mut rounds = Rounds::default();
    for round in 1..=plan.rounds.max(1) {
        bench.round = round;
        bench.stages_on_files(&survey, &mut rounds)?;
        bench.vault(&survey, &mut rounds, &[Stage::Rebuild, Stage::Verify])?;
        if plan.no_sync.is_none() {
            bench.sync(&survey, &mut rounds)?;
        }
    }
    let corpus = CorpusReport::of(&survey, &plan.left_out, plan.seed, &plan.languages);
    let figures = Figures { rounds: &rounds, corpus: &corpus, cores: cores() };
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        is_debug_build: cfg!(debug_assertions),
        date: plan.date.clone(),
        command: plan.command.clone(),
        machine,
        rounds: plan.rounds.max(1),
        stages: Stage::ALL.into_iter().map(|stage| figures.stage(stage, plan.no_sync.as_deref())).collect(),
        floor: figures.floor(),
        ratios: figures.ratios(),
        disk: figures.disk(),
        peak_memory_bytes: figures.peak_memory_bytes(),
        queries: figures.queries(),
        elapsed_s: started.elapsed().as_secs_f64(),
        corpus,
    })
}

/// Measures the import and the query mix alone: one size of a growing corpus.
///
/// # Errors
/// As [`run()`].
pub fn grow(plan: &Plan, perform: Perform<'_>, tell: Tell<'_>) -> Result<GrowthRow, BenchError> {
    let mut bench = Bench { plan, perform, tell, round: 0 };
    let survey = bench.survey()?;
    let mut rounds = Rounds::default();
    for round in 1..=plan.rounds.max(1) {
        bench.round = round;
        bench.vault(&survey, &mut rounds, &[])?;
    }
    let corpus = CorpusReport::of(&survey, &plan.left_out, plan.seed, &plan.languages);
    let figures = Figures { rounds: &rounds, corpus: &corpus, cores: cores() };
    Ok(GrowthRow {
        import: figures.stage(Stage::Import, None),
        index_to_json: figures.ratios().get("index_to_json").map(|ratio| ratio.median),
        queries: figures.queries(),
        corpus,
    })
}

/// Stages that need nothing but the files.
const ON_FILES: [Stage; 8] = [
    Stage::Read,
    Stage::Inflate,
    Stage::Parse,
    Stage::Decode,
    Stage::Tokenise,
    Stage::Document,
    Stage::Index,
    Stage::IndexDefault,
];

struct Bench<'b> {
    plan: &'b Plan,
    perform: Perform<'b>,
    tell: Tell<'b>,
    round: usize,
}

impl Bench<'_> {
    fn answer(&mut self, what: &str, work: Work, files: &[PathBuf], scratch: &Path) -> Result<Answer, BenchError> {
        (self.tell)(what, self.round, self.plan.rounds.max(1));
        let job = Job { work, files: files.to_vec(), scratch: scratch.to_owned(), threads: cores() };
        (self.perform)(&job)
    }

    fn survey(&mut self) -> Result<Survey, BenchError> {
        match self.answer("survey", Work::Survey, &self.plan.files, &self.plan.scratch)? {
            Answer::Survey(survey)
                if survey.files.is_empty() || survey.json_bytes == 0 || survey.conversations == 0 =>
            {
                Err(BenchError::Nothing)
            }
            Answer::Survey(survey) => Ok(survey),
            _ => Err(other_answer()),
        }
    }

    fn stage(&mut self, stage: Stage, survey: &Survey, rounds: &mut Rounds, scratch: &Path) -> Result<(), BenchError> {
        match self.answer(stage.title(), Work::Stage(stage), &survey.files, scratch)? {
            Answer::Sample(sample) => {
                if let (Stage::Import, Some(wall_s)) = (stage, sample.commit_wall_s) {
                    let commit = Sample { wall_s, cpu_s: sample.commit_cpu_s, ..Sample::default() };
                    rounds.samples.entry(Stage::Commit).or_default().push(commit);
                }
                rounds.samples.entry(stage).or_default().push(sample);
                Ok(())
            }
            _ => Err(other_answer()),
        }
    }

    fn queries(&mut self, what: &str, work: Work, scratch: &Path) -> Result<Vec<QueryTimes>, BenchError> {
        match self.answer(what, work, &[], scratch)? {
            Answer::Queries(times) => Ok(times),
            _ => Err(other_answer()),
        }
    }

    fn stages_on_files(&mut self, survey: &Survey, rounds: &mut Rounds) -> Result<(), BenchError> {
        let scratch = self.plan.scratch.clone();
        ON_FILES.into_iter().try_for_each(|stage| self.stage(stage, survey, rounds, &scratch))
    }

    /// Imports into a new vault, asks it, and measures what else is done with one.
    fn vault(&mut self, survey: &Survey, rounds: &mut Rounds, then: &[Stage]) -> Result<(), BenchError> {
        let scratch = self.new_folder("import")?;
        self.stage(Stage::Import, survey, rounds, &scratch)?;
        let words = survey.words.clone();
        let mut times = self.queries("queries", Work::Queries(words.clone()), &scratch)?;
        let program = self.plan.program.clone();
        times.extend(self.queries("search, a process", Work::SearchProcess { program, words }, &scratch)?);
        rounds.queries.push(times);
        for stage in then {
            self.stage(*stage, survey, rounds, &scratch)?;
        }
        fs::remove_dir_all(&scratch).map_err(BenchError::file(&scratch))
    }

    fn sync(&mut self, survey: &Survey, rounds: &mut Rounds) -> Result<(), BenchError> {
        let scratch = self.new_folder("sync")?;
        self.stage(Stage::Sync, survey, rounds, &scratch)?;
        fs::remove_dir_all(&scratch).map_err(BenchError::file(&scratch))
    }

    fn new_folder(&self, name: &str) -> Result<PathBuf, BenchError> {
        let folder = self.plan.scratch.join(name);
        fs::create_dir(&folder).map_err(BenchError::file(&folder))?;
        Ok(folder)
    }
}

fn other_answer() -> BenchError {
    BenchError::Process("the process of a stage answered something else than was asked".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::job::perform;
    use crate::simulator::{BodyOptions, WorldConfig, write_corpus};

    /// A plan, and how many records its files hold.
    fn plan(folder: &Path) -> (Plan, u64) {
        let corpus = folder.join("corpus");
        let world = WorldConfig { conversations: 150, hours: 6, ..WorldConfig::default() };
        let written = write_corpus(&corpus, &world, BodyOptions::default()).expect("written");
        let entries = fs::read_dir(&corpus).expect("readable");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        let scratch = folder.join("scratch");
        fs::create_dir(&scratch).expect("a folder");
        let plan = Plan {
            files,
            left_out: Vec::new(),
            seed: Some(1),
            languages: Vec::new(),
            scratch,
            rounds: 2,
            program: "chatvault".into(),
            no_sync: Some("no network here".into()),
            command: "chatvault bench".into(),
            date: String::new(),
        };
        (plan, written.conversation_records)
    }

    #[test]
    fn every_stage_works_on_the_same_conversations() {
        let folder = tempfile::tempdir().expect("a folder");
        let (plan, records) = plan(folder.path());
        let mut order = Vec::new();
        let mut in_process = |job: &Job| match &job.work {
            // There is no program to start in a unit test.
            Work::SearchProcess { .. } => Ok(Answer::Queries(Vec::new())),
            work => {
                order.push(format!("{work:?}").split(['(', ' ']).next().unwrap_or_default().to_owned());
                perform(job)
            }
        };
        let report = run(&plan, &mut in_process, &|_, _, _| (), &|_| Ok(())).expect("measured");
        assert_eq!(order.iter().filter(|work| *work == "Survey").count(), 1);
        assert_eq!(order.iter().filter(|work| *work == "Queries").count(), 2, "one a round");
        assert_eq!(report.corpus.conversations, records);
        let measured: Vec<Stage> = report.stages.iter().filter(|s| s.mb_per_s.is_some()).map(|s| s.stage).collect();
        assert_eq!(measured, Stage::ALL[..12], "all but sync, which says why not");
        assert_eq!(report.stages[12].not_measured.as_deref(), Some("no network here"));
        let disk = report.disk.expect("an import ran");
        assert_eq!(disk.archive_bytes, report.corpus.raw_bytes, "the archive holds the bytes as they came");
        assert_eq!(disk.index_by_kind.values().sum::<u64>(), disk.index_bytes);
        assert!(report.queries.iter().any(|query| query.kind == "word" && query.hits.is_some_and(|hits| hits > 0)));
        assert_eq!(fs::read_dir(&plan.scratch).expect("readable").count(), 0, "nothing is left");
        assert_eq!(report.corpus.text.scripts.values().sum::<u64>(), report.corpus.conversations);
    }

    #[test]
    fn a_failed_stage_ends_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (plan, _) = plan(folder.path());
        let mut fails = |job: &Job| match job.work {
            Work::Stage(Stage::Decode) => Err(BenchError::Interrupted),
            _ => perform(job),
        };
        let failed = run(&plan, &mut fails, &|_, _, _| (), &|_| Ok(()));
        assert!(matches!(failed, Err(BenchError::Interrupted)));
        let refused = run(&plan, &mut |job| perform(job), &|_, _, _| (), &|_| Err(BenchError::Nothing));
        assert!(matches!(refused, Err(BenchError::Nothing)), "no room");
    }
}
