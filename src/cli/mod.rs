//! The program: parse, settle, run one command, turn its outcome into an exit code.
//!
//! * Takes: the command line and the environment.
//! * Gives: data on stdout, everything else on stderr, an exit code of the contract.
//! * Promises: errors say what, why and the next command; no transcript byte reaches the terminal unescaped.
//! * Never: holds logic that a library user would miss.
//! * Start reading at: [`run`], then the file named after the command.

#[macro_use]
mod stdout;

mod activity;
mod args;
mod audit;
mod bench;
mod chart;
mod choices;
mod columns;
mod demo;
mod doctor;
mod exit;
mod export;
mod facets;
mod findings;
mod gaps;
mod histogram;
mod hit;
mod import;
mod index;
mod init;
mod json;
mod keys;
mod limits;
mod losses;
mod output;
mod pager;
mod paragraph;
mod plan;
mod progress;
mod prove;
mod repair;
mod sample;
mod saved;
mod search;
mod search_args;
mod series;
mod series_advice;
mod series_drill;
mod series_export;
mod series_json;
mod settings;
mod show;
mod simulate;
mod stats;
mod sync;
mod term_file;
mod terms;
mod verify;
mod watch;

use args::{Cli, Command};
use chatvault::archive::{Archive, Clock, RealDisk};
use chatvault::index::{IndexError, Reader};
use clap::{CommandFactory, Parser};
use exit::{Exit, Failure};
use output::Output;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    // Signatures and TLS share one provider; ring needs no system library.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage_error(&error),
    };
    let output = Output::of(&cli.global);
    let outcome = dispatch(cli, &output);
    match outcome {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn usage_error(error: &clap::Error) -> ExitCode {
    // Nothing is left to do if the terminal is gone.
    let _ = error.print();
    let is_help = !error.use_stderr();
    ExitCode::from(if is_help { Exit::Complete } else { Exit::Usage } as u8)
}

fn dispatch(cli: Cli, output: &Output) -> Result<Exit, Failure> {
    let vault = || settings::find_vault(cli.global.vault.as_deref());
    match cli.command {
        Command::Demo(args) => demo::run(&args, cli.global.vault.as_deref(), output),
        Command::Init(args) => init::run(&args, output),
        Command::Doctor => doctor::run(&vault()?, output),
        Command::Plan => plan::run(&vault()?, output),
        Command::Sync(args) => sync::run(&args, &vault()?, output),
        Command::Watch(args) => watch::run(&args, &vault()?, output),
        Command::Import(args) => import::run(&args, &vault()?, output),
        Command::Gaps(args) => gaps::run(&args, &vault()?, output),
        Command::Index(args) => index::run(&args, &vault()?, output),
        // What a query means does not depend on a vault, unless it names what is saved in one.
        Command::Search(args) if args.explain => search::explain(&args, &vault, output),
        Command::Search(args) => search::run(&args, &vault()?, output),
        Command::Saved(args) => saved::run(&args, &vault()?, output),
        Command::Show(args) => show::run(&args, &vault()?, output),
        Command::Stats(args) => stats::run(&args, &vault()?, output),
        Command::Export(args) => export::run(&args, &vault()?, output),
        Command::Verify(args) => verify::run(&args, &vault()?, output),
        Command::Repair(args) => repair::run(&args, &vault()?, output),
        Command::Audit(args) => audit::run(&args, &vault, output),
        Command::Bench(args) => bench::run(&args, output),
        Command::Simulate(args) => simulate::run(&args, output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "chatvault", &mut script);
            print_bytes(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            print_bytes(&page)
        }
    }
}

fn print_bytes(bytes: &[u8]) -> Result<Exit, Failure> {
    std::io::stdout().lock().write_all(bytes)?;
    Ok(Exit::Complete)
}

/// Opens the vault for reading.
fn open(vault: &Path) -> Result<Archive, Failure> {
    Ok(Archive::open(vault, Arc::new(RealDisk), Clock::System)?)
}

/// Opens the vault for writing: one process at a time.
fn open_for_writing(vault: &Path) -> Result<Archive, Failure> {
    Ok(Archive::open_for_writing(vault, Arc::new(RealDisk), Clock::System)?)
}

/// Opens the index of a vault for search.
fn open_index(vault: &Path) -> Result<Reader, Failure> {
    Ok(Reader::open(&chatvault::pipeline::index_home(vault))?)
}

/// As [`open_index`], for what counts: where nothing was ever archived there is nothing to index, and the answer is none. A note
/// says so.
fn open_index_or_none(archive: &Archive, vault: &Path, output: &Output) -> Result<Reader, Failure> {
    match Reader::open(&chatvault::pipeline::index_home(vault)) {
        Err(IndexError::Missing(_)) if archive.last_sequence()? == 0 => {
            output.note("the archive holds no files yet: run `chatvault sync` or `chatvault import FILE`");
            Ok(Reader::of_nothing()?)
        }
        opened => Ok(opened?),
    }
}

/// Now, epoch milliseconds UTC.
fn now_ms() -> i64 {
    Clock::System.now_ms()
}

/// A multi-threaded runtime for the commands that talk to the network.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// A path as an argument of a shell command.
fn shell_path(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+:@".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A word as an argument of a shell command.
fn shell_word(word: &str) -> String {
    let is_plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:@=,%".contains(c));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// An absolute form for messages; the path itself where there is none.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
