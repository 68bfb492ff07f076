//! `bench`: how fast each stage is on this machine, on the user's own files or on a generated corpus.
//!
//! Everything that is made lies in one temporary folder, which goes away however the run ends (but for `kill -9`).

mod child;
mod corpus;
mod print;

use super::exit::{Exit, Failure};
use super::output::{Output, ProgressStyle, bytes};
use super::{limits, runtime, shell_path};
use chatvault::bench::{
    self, BenchError, Comparison, GrowthRow, LEAST_ROUNDS, LeftOut, Machine, Plan, Report, Survey, Verdict,
};
use chatvault::pipeline::recognise_paths;
use child::Children;
use clap::Args;
use corpus::Generated;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For `bench --help`.
pub(super) const EXAMPLES: &str = "\
Each stage runs once a round, in a process of its own; medians, and smallest and largest, are printed. The
floor is what the cores could do if they only inflated, parsed ids and texts, and fed ready documents to
the index library. Memory is that of the process, with what was prepared for the stage. Your files are
only read. Latencies are those of a warm page cache. Use a release build on an idle machine.

Examples:
  chatvault bench                                   a generated corpus of 1 GB of JSON
  chatvault bench --size 200MB --save before.json   … and keep the figures
  chatvault bench --size 200MB --compare before.json --fail-below 0.9
  chatvault bench /data/liveperson --dir /mnt/fast
  chatvault bench --growth 10k,100k,1M";

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// Files and folders to measure with, as `import` takes them; none: a corpus is generated
    #[arg(value_name = "PATH", conflicts_with_all = ["size", "seed", "growth"])]
    paths: Vec<PathBuf>,
    /// JSON of the generated corpus, such as 200MB; 1MB at least [default: 1GB]
    #[arg(long, value_name = "SIZE")]
    size: Option<String>,
    /// Seed of the generated corpus: equal seeds give equal bytes [default: 1]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Rounds; each has every stage once [default: 5, with --growth 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: Option<u16>,
    /// Folder for everything that is made, on the disk to be measured [default: that of temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the figures to this file, as --json prints them
    #[arg(long, value_name = "FILE", conflicts_with = "growth")]
    save: Option<PathBuf>,
    /// Set the figures beside those of a file that --save wrote
    #[arg(long, value_name = "FILE", conflicts_with = "growth")]
    compare: Option<PathBuf>,
    /// Exit with 1 where a figure is worse than this share of the other file's, by more than the noise; with 2 where the two
    /// cannot be compared (other files, another kind of build, fewer than three rounds)
    #[arg(long, value_name = "RATIO", requires = "compare")]
    fail_below: Option<f64>,
    /// Import and query mix alone, on generated corpora of so many conversations: 10k,100k
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "size")]
    growth: Vec<String>,
    /// Do one job that stdin names: what this command starts for each measurement
    #[arg(long, hide = true)]
    job: bool,
}

/// Rounds where none are named, but for --growth.
const DEFAULT_ROUNDS: usize = 5;

/// The generated corpus where none is described.
const DEFAULT_BYTES: u64 = 1_000_000_000;

/// The smallest: below it, starting a process is what is measured.
const LEAST_BYTES: u64 = 1_000_000;

/// Most bytes that a saved report may have.
const MAX_REPORT_BYTES: u64 = 16 << 20;

pub(crate) fn run(args: &Bench, output: &Output) -> Result<Exit, Failure> {
    if args.job {
        return child::work();
    }
    // Whatever is wrong with the arguments must show before the long run, not after it.
    if args.fail_below.is_some_and(|ratio| !(ratio > 0.0 && ratio.is_finite())) {
        return Err(Failure::usage("--fail-below is a number above 0, such as 0.9"));
    }
    let sizes = args.growth.iter().map(|text| count(text)).collect::<Result<Vec<u64>, _>>()?;
    let json_bytes = args.size.as_deref().map(limits::size).transpose()?.unwrap_or(DEFAULT_BYTES);
    if json_bytes < LEAST_BYTES {
        let least = bytes(LEAST_BYTES);
        return Err(Failure::usage(format!("--size {json_bytes} is too little to measure; it is {least} or more")));
    }
    let other = args.compare.as_deref().map(saved).transpose()?;
    if let (Some(_), Some(other)) = (args.fail_below, &other) {
        let rounds = args.rounds.map_or(DEFAULT_ROUNDS, usize::from).min(other.rounds);
        if rounds < LEAST_ROUNDS {
            let why =
                format!("not comparable: {rounds} of {LEAST_ROUNDS} rounds that --fail-below needs in both reports");
            return Err(Failure::usage(why).hint("measure both with --rounds 5"));
        }
    }
    let save = args.save.as_deref().map(Saving::begin).transpose()?;

    let machine = Machine::here();
    let runtime = runtime()?;
    let children = Children::new(&runtime)?;
    let scratch = scratch(args.dir.as_deref())?;
    let bench = Run { args, output, runtime: &runtime, children: &children, scratch: scratch.path() };
    let outcome = match sizes.is_empty() {
        true => bench.measure(json_bytes).map(|report| Outcome::Report(Box::new(report))),
        false => bench.grow(&sizes).map(|(rows, command)| Outcome::Growth(rows, command)),
    };
    // Also after a failure: a benchmark leaves nothing behind.
    let left = scratch.path().to_owned();
    if let Err(error) = scratch.close() {
        output.note(&format!("{} could not be removed: {error}", shell_path(&left)));
    }
    match outcome? {
        Outcome::Growth(rows, command) => {
            print::growth(&rows, &machine, &command, output)?;
            Ok(Exit::Complete)
        }
        Outcome::Report(report) => {
            if let Some(save) = save {
                save.end(&report)?;
            }
            let compared = other.map(|other| bench::compare(&other, &report));
            print::report(&report, compared.as_ref(), output)?;
            let (compared, _) = compared.unwrap_or_default();
            Ok(verdict(&compared, args.fail_below))
        }
    }
}

enum Outcome {
    Report(Box<Report>),
    /// Rows, and what to type to repeat them.
    Growth(Vec<GrowthRow>, String),
}

fn verdict(compared: &[Comparison], fail_below: Option<f64>) -> Exit {
    let Some(least) = fail_below else { return Exit::Complete };
    // Also when quiet: the exit code alone would be taken for a figure that is worse, or for none.
    if compared.iter().all(|figure| figure.verdict == Verdict::NotComparable) {
        eprintln!("not comparable with the other report, so nothing is said about --fail-below {least}");
        return Exit::Usage;
    }
    let is_too_slow = |figure: &&Comparison| figure.verdict == Verdict::Worse && figure.ratio < least;
    let slow: Vec<&str> = compared.iter().filter(is_too_slow).map(|figure| figure.figure.as_str()).collect();
    if slow.is_empty() {
        return Exit::Complete;
    }
    eprintln!("below {least} of the other report, by more than the noise: {}", slow.join("; "));
    Exit::Failed
}

/// One run of the command.
struct Run<'r> {
    args: &'r Bench,
    output: &'r Output,
    runtime: &'r tokio::runtime::Runtime,
    children: &'r Children,
    scratch: &'r Path,
}

impl Run<'_> {
    fn measure(&self, json_bytes: u64) -> Result<Report, Failure> {
        let rounds = self.args.rounds.map_or(DEFAULT_ROUNDS, usize::from);
        let show = Shown::new(self.output);
        if !self.args.paths.is_empty() {
            let (files, left_out) = self.own_files()?;
            let why = "these files belong to no account that could list them; a generated corpus has one";
            let plan = Plan { files, left_out, no_sync: Some(why.to_owned()), ..self.plan(rounds)? };
            return self.finish(&plan, &show, None);
        }
        let seed = self.args.seed.unwrap_or(1);
        let generated = Generated::of_bytes(json_bytes, seed);
        let files = self.generate(&generated, &show)?;
        let account = generated.serve(self.runtime, &self.corpus())?;
        let plan = Plan { files, seed: Some(seed), languages: corpus::languages(), ..self.plan(rounds)? };
        let report = self.finish(&plan, &show, Some(&account.address));
        self.runtime.block_on(account.simulator.shutdown());
        report
    }

    fn finish(&self, plan: &Plan, show: &Shown, account: Option<&child::Account>) -> Result<Report, Failure> {
        let mut perform = |job: &bench::Job| self.children.perform(job, account);
        let check = |survey: &Survey| has_room(self.scratch, corpus::room_for(survey.raw_bytes, survey.json_bytes));
        let report = bench::run(plan, &mut perform, &|what, round, of| show.step(what, round, of), &check);
        show.done();
        Ok(report?)
    }

    fn grow(&self, sizes: &[u64]) -> Result<(Vec<GrowthRow>, String), Failure> {
        let rounds = usize::from(self.args.rounds.unwrap_or(1));
        let seed = self.args.seed.unwrap_or(1);
        let mut rows = Vec::new();
        for conversations in sizes {
            let show = Shown::new(self.output);
            let files = self.generate(&Generated::of_conversations(*conversations, seed), &show)?;
            let plan = Plan { files, seed: Some(seed), languages: corpus::languages(), ..self.plan(rounds)? };
            let mut perform = |job: &bench::Job| self.children.perform(job, None);
            let row = bench::grow(&plan, &mut perform, &|what, round, of| show.step(what, round, of));
            show.done();
            rows.push(row?);
            std::fs::remove_dir_all(self.corpus())?;
        }
        Ok((rows, self.command(rounds)))
    }

    /// The plan without its files.
    fn plan(&self, rounds: usize) -> Result<Plan, Failure> {
        let scratch = self.scratch.join("work");
        std::fs::create_dir_all(&scratch)?;
        Ok(Plan {
            files: Vec::new(),
            left_out: Vec::new(),
            seed: None,
            languages: Vec::new(),
            scratch,
            rounds,
            program: self.children.program().to_owned(),
            no_sync: None,
            command: self.command(rounds),
            date: now(),
        })
    }

    fn corpus(&self) -> PathBuf {
        self.scratch.join("corpus")
    }

    fn generate(&self, generated: &Generated, show: &Shown) -> Result<Vec<PathBuf>, Failure> {
        has_room(self.scratch, generated.room())?;
        show.step("generating the corpus", 0, 0);
        self.children.generate(generated, &self.corpus())?;
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.corpus())?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        files.sort();
        Ok(files)
    }

    fn own_files(&self) -> Result<(Vec<PathBuf>, Vec<LeftOut>), Failure> {
        if let Some(missing) = self.args.paths.iter().find(|path| !path.exists()) {
            return Err(Failure::usage(format!("{} does not exist", missing.display())));
        }
        // Each stage runs in the folder of its own process: a relative path would be another file there.
        let paths: Vec<PathBuf> = self.args.paths.iter().map(|path| super::absolute(path)).collect();
        let found = recognise_paths(&paths);
        let others = found.others.into_iter().map(|other| LeftOut { path: other.path, reason: other.reason });
        let bag = |path: &PathBuf| LeftOut {
            path: path.display().to_string(),
            reason: "a bag; name its data folder to measure with its files".to_owned(),
        };
        let mut left_out: Vec<LeftOut> = others.chain(found.bags.iter().map(bag)).collect();
        let (files, unnameable): (Vec<PathBuf>, Vec<PathBuf>) =
            found.files.into_iter().partition(|path| path.to_str().is_some());
        left_out.extend(unnameable.iter().map(|path| LeftOut {
            path: path.display().to_string(),
            reason: "its path is not valid UTF-8".to_owned(),
        }));
        Ok((files, left_out))
    }

    /// What to type to measure the same again.
    fn command(&self, rounds: usize) -> String {
        let mut words = vec!["chatvault bench".to_owned()];
        words.extend(self.args.paths.iter().map(|path| shell_path(path)));
        if self.args.paths.is_empty() {
            if self.args.growth.is_empty() {
                words.push(format!("--size {}", self.args.size.as_deref().unwrap_or("1GB").replace(' ', "")));
            } else {
                words.push(format!("--growth {}", self.args.growth.join(",")));
            }
            words.push(format!("--seed {}", self.args.seed.unwrap_or(1)));
        }
        words.push(format!("--rounds {rounds}"));
        words.extend(self.args.dir.as_ref().map(|dir| format!("--dir {}", shell_path(dir))));
        words.join(" ")
    }
}

fn scratch(dir: Option<&Path>) -> Result<tempfile::TempDir, Failure> {
    let parent = dir.map_or_else(std::env::temp_dir, super::absolute);
    let made = tempfile::Builder::new().prefix("chatvault-bench-").tempdir_in(&parent).map_err(|error| {
        Failure::new(Exit::Failed, format!("{}: {error}", parent.display()))
            .hint("name a folder that can be written with --dir")
    })?;
    match made.path().to_str() {
        Some(_) => Ok(made),
        None => {
            Err(Failure::usage("the path of the temporary folder is not valid UTF-8").hint("name another with --dir"))
        }
    }
}

fn has_room(folder: &Path, needed_bytes: u64) -> Result<(), BenchError> {
    // Where the system does not say, the disk itself will.
    match fs4::available_space(folder) {
        Ok(free_bytes) if free_bytes < needed_bytes => {
            Err(BenchError::NoRoom { folder: folder.to_owned(), needed_bytes, free_bytes })
        }
        _ => Ok(()),
    }
}

/// Reads `500`, `10k`, `1M`.
fn count(text: &str) -> Result<u64, Failure> {
    let text = text.trim();
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let count = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(factor));
    count.filter(|count| (1..=1_000_000_000).contains(count)).ok_or_else(|| {
        Failure::usage(format!("{text:?} is no number of conversations")).hint("write them as --growth 10k,100k,1M")
    })
}

/// A report that an earlier run saved.
fn saved(path: &Path) -> Result<Report, Failure> {
    let file = std::fs::File::open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let mut text = String::new();
    let read = file.take(MAX_REPORT_BYTES).read_to_string(&mut text);
    let value = read.ok().and_then(|_| serde_json::from_str::<Value>(&text).ok());
    let is_ours = |value: &Value| value["schema_version"] == 1 && value["bench"].is_object();
    let report = value.filter(is_ours).and_then(|value| serde_json::from_value(value["bench"].clone()).ok());
    report.ok_or_else(|| {
        Failure::usage(format!("{} holds no figures of this version's `bench`", path.display()))
            .hint("make it with `chatvault bench --save FILE`")
    })
}

/// A file that is there whole or not at all.
struct Saving {
    draft: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Saving {
    fn begin(path: &Path) -> Result<Saving, Failure> {
        let path = super::absolute(path);
        let folder = path.parent().unwrap_or(Path::new("/"));
        if path.is_dir() {
            return Err(Failure::usage(format!("{} is a folder; --save names a file", path.display())));
        }
        let draft = tempfile::NamedTempFile::new_in(folder)
            .map_err(|error| Failure::usage(format!("cannot write to {}: {error}", folder.display())))?;
        Ok(Saving { draft, path })
    }

    fn end(mut self, report: &Report) -> Result<(), Failure> {
        let document = json!({ "bench": report, "schema_version": 1 });
        let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("{}: {error}", self.path.display()));
        writeln!(self.draft, "{document:#}").map_err(failed)?;
        self.draft.as_file().sync_all().map_err(failed)?;
        self.draft.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Failure {
        match error {
            BenchError::Archive(error) => error.into(),
            BenchError::Index(error) => error.into(),
            BenchError::Run(error) => error.into(),
            BenchError::Search(error) => error.into(),
            BenchError::Interrupted => Failure::new(Exit::Interrupted, "interrupted; nothing was kept"),
            BenchError::Nothing => Failure::usage(error.to_string())
                .hint("name files that `chatvault import` takes, or leave PATH out to generate some"),
            BenchError::NoRoom { .. } => Failure::new(Exit::Failed, error.to_string())
                .hint("name a folder on a larger disk with --dir, or a smaller corpus with --size"),
            error => Failure::new(Exit::Failed, error.to_string()),
        }
    }
}

/// What is being done now.
struct Shown {
    bar: ProgressBar,
    json: bool,
}

impl Shown {
    fn new(output: &Output) -> Shown {
        let bar = match output.progress {
            ProgressStyle::Bar => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            }
            _ => ProgressBar::hidden(),
        };
        Shown { bar, json: output.progress == ProgressStyle::Json }
    }

    fn step(&self, what: &str, round: usize, of: usize) {
        if self.json {
            eprintln!("{}", json!({ "event": "stage", "stage": what, "round": round, "rounds": of }));
        }
        self.bar.set_message(match round {
            0 => what.to_owned(),
            _ => format!("round {round} of {of}: {what}"),
        });
    }

    fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// RFC 3339, UTC.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `1.2 GB`, or a dash.
fn bytes_or_dash(count: Option<u64>) -> String {
    count.map_or_else(|| "–".to_owned(), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_with_their_units() {
        for (text, meant) in [("500", 500), ("10k", 10_000), (" 1M", 1_000_000)] {
            assert_eq!(count(text).expect(text), meant);
        }
        for wrong in ["", "k", "-1", "1.5k", "1G", "0", "99999999999999999999M"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
