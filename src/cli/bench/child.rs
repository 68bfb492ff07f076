//! Both ends of a measurement: the process that is measured, and the one that starts it and waits.
//!
//! The task goes in on stdin, the answer comes out on stdout. Stdin stays open as long as the answer is wanted: when it closes,
//! because the user interrupts or the parent is gone, the child ends at once.

use super::corpus::{Generated, HOURS};
use crate::cli::exit::{Exit, Failure};
use crate::cli::sync::interrupted;
use chatvault::acquire::{AcquireSettings, Cancel, Endpoints, OAuth1Keys, Secret};
use chatvault::archive::Clock;
use chatvault::bench::{self, Answer, BenchError, Job, Sample, Stage, Work};
use chatvault::pipeline::{self, RunOptions};
use chatvault::simulator::Credentials;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest answer: the survey of a million files.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// Where the simulated account answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) account_id: String,
    pub(super) api: String,
    pub(super) downloads: String,
    /// The account's clock, epoch milliseconds; it stands still.
    pub(super) now_ms: i64,
}

/// What a child is to do.
#[derive(Serialize, Deserialize)]
enum Task {
    Generate(Generated, PathBuf),
    Measure(Job),
    Sync(Job, Account),
}

/// What it says. An error is a sentence: the parent's user cannot mend a child.
#[derive(Serialize, Deserialize)]
enum Reply {
    Written,
    Answer(Answer),
    Failed(String),
}

/// Starts one child after the other, and ends the running one when the user interrupts.
pub(super) struct Children {
    program: PathBuf,
    stop: Arc<Stop>,
}

#[derive(Default)]
struct Stop {
    wanted: AtomicBool,
    /// Of the running child.
    stdin: Mutex<Option<ChildStdin>>,
}

impl Stop {
    fn hold(&self, stdin: Option<ChildStdin>) {
        *self.stdin.lock().unwrap_or_else(PoisonError::into_inner) = stdin;
    }
}

impl Children {
    pub(super) fn new(runtime: &tokio::runtime::Runtime) -> Result<Children, Failure> {
        let stop: Arc<Stop> = Arc::default();
        let ending = Arc::clone(&stop);
        runtime.spawn(async move {
            let terminated = AtomicBool::new(false);
            interrupted(&terminated).await;
            ending.wanted.store(true, Ordering::SeqCst);
            ending.hold(None);
        });
        Ok(Children { program: std::env::current_exe()?, stop })
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn generate(&self, generated: &Generated, folder: &Path) -> Result<(), BenchError> {
        match self.run(&Task::Generate(generated.clone(), folder.to_owned()))? {
            Reply::Written => Ok(()),
            _ => Err(BenchError::Process("the corpus was not generated".into())),
        }
    }

    /// Does a job of the benchmark; `account` is asked by [`Stage::Sync`].
    pub(super) fn perform(&self, job: &Job, account: Option<&Account>) -> Result<Answer, BenchError> {
        let task = match (&job.work, account) {
            (Work::Stage(Stage::Sync), Some(account)) => Task::Sync(job.clone(), account.clone()),
            _ => Task::Measure(job.clone()),
        };
        match self.run(&task)? {
            Reply::Answer(answer) => Ok(answer),
            _ => Err(BenchError::Process("the process of a stage gave no answer".into())),
        }
    }

    fn run(&self, task: &Task) -> Result<Reply, BenchError> {
        let failed = |error: std::io::Error| BenchError::File { path: self.program.clone(), source: error };
        let mut command = Command::new(&self.program);
        command.args(["bench", "--job"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for the parent, which cleans up; the child hears of it through its stdin.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(failed)?;
        let mut line = serde_json::to_vec(task).map_err(|error| BenchError::Process(error.to_string()))?;
        line.push(b'\n');
        if let Some(mut stdin) = child.stdin.take() {
            // A child that does not listen has died, and its status says so.
            let _ = stdin.write_all(&line).and_then(|()| stdin.flush());
            self.stop.hold(Some(stdin));
        }
        if self.stop.wanted.load(Ordering::SeqCst) {
            self.stop.hold(None);
        }
        let mut answer = Vec::new();
        let read = child.stdout.take().map(|stdout| stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut answer));
        let ended = child.wait().map_err(failed)?;
        self.stop.hold(None);
        if self.stop.wanted.load(Ordering::SeqCst) {
            return Err(BenchError::Interrupted);
        }
        read.transpose().map_err(failed)?;
        match serde_json::from_slice(&answer) {
            Ok(Reply::Failed(reason)) => Err(BenchError::Process(reason)),
            Ok(reply) if ended.success() => Ok(reply),
            _ => Err(BenchError::Process(format!("the process of a stage ended with {ended}"))),
        }
    }
}

/// The child's side: one task from stdin.
pub(super) fn work() -> Result<Exit, Failure> {
    let mut line = Vec::new();
    std::io::stdin().lock().read_until(b'\n', &mut line)?;
    let task: Task = serde_json::from_slice(&line)
        .map_err(|_| Failure::usage("--job is what `chatvault bench` says to its own processes"))?;
    std::thread::spawn(|| {
        // Nothing more is said; the end of it means that nobody waits for the answer.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(Exit::Interrupted as i32);
    });
    let reply = match task {
        Task::Generate(generated, folder) => generated.write(&folder).map(|()| Reply::Written),
        Task::Measure(job) => bench::perform(&job).map(Reply::Answer).map_err(Failure::from),
        Task::Sync(job, account) => sync(&job, &account).map(|sample| Reply::Answer(Answer::Sample(sample))),
    };
    let reply = reply.unwrap_or_else(|failure| Reply::Failed(failure.message));
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &reply).map_err(std::io::Error::from)?;
    out.flush()?;
    Ok(Exit::Complete)
}

/// A whole sync from the simulated account into a new vault.
fn sync(job: &Job, account: &Account) -> Result<Sample, Failure> {
    let url = |text: &str| text.parse().map_err(|_| Failure::usage("the account's address is no URL"));
    let endpoints = Endpoints {
        csds: None,
        data_access: Some(url(&account.api)?),
        data_access_files: vec![url(&account.downloads)?],
        ..Endpoints::default()
    };
    let demo = Credentials::default();
    let keys = OAuth1Keys {
        app_key: Secret::new(demo.app_key),
        app_secret: Secret::new(demo.app_secret),
        access_token: Secret::new(demo.access_token),
        access_token_secret: Secret::new(demo.access_token_secret),
    };
    let mut settings = AcquireSettings::new(&account.account_id, "va", keys, &endpoints)?;
    settings.clock = Clock::Fixed(Arc::new(AtomicI64::new(account.now_ms)));
    settings.start = Duration::from_secs(u64::from(HOURS + 2) * 3600);
    // The account is on this machine: there is nobody to be polite to.
    settings.requests_per_second = 100_000.0;
    let runtime = crate::cli::runtime()?;
    let run = |archive: &_, watcher: pipeline::Watcher<'_>| {
        let options = RunOptions::default();
        let report = pipeline::sync(&runtime, &settings, archive, options, Arc::new(|_| ()), watcher, Cancel::never())?;
        match (report.index_failure, report.acquired.is_complete()) {
            (Some(failure), _) => Err(failure.into()),
            (None, false) => Err(BenchError::Process("the sync from the simulated account was not complete".into())),
            (None, true) => Ok(report.indexed),
        }
    };
    Ok(bench::measured_into_vault(job, &account.account_id, &run)?)
}
