//! `audit`: the chain of events, as people and scripts read it, and the proofs that are made from it.
//!
//! `list`, `masked`, `head` and `export` only read. `anchor` appends an event where it can. `check` needs no vault for a proof, and
//! the vault for an anchor.

mod anchor;
mod list;
mod masked;
mod prove;

pub(crate) use anchor::record;

use super::exit::{Exit, Failure};
use super::json::harmless;
use super::open;
use super::output::{Output, number};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `audit` is told.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Audit {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: list::List,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print events, newest last (also what `audit` alone does)
    List(list::List),
    /// Print which conversations LivePerson has masked (personal data deleted), since when, and where the archive still holds
    /// the text
    Masked(masked::Masked),
    /// Print sequence and hash of the last event: what to write down elsewhere
    Head,
    /// Print every event with all its columns, one JSON object a line, so that others can recompute the chain
    Export {
        /// Write to this file instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Record an anchor and print it: a head to be kept where nobody who can write to this vault can
    Anchor {
        /// Write to this file instead of stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make a proof of a conversation that can be checked without this vault and without this program
    Prove(prove::Prove),
    /// Check a proof (needs no vault), or whether the vault still holds an anchor
    Check(prove::Check),
}

/// Runs one of them; `vault` finds the vault where it is needed.
pub(crate) fn run(
    args: &Audit,
    vault: &dyn Fn() -> Result<PathBuf, Failure>,
    output: &Output,
) -> Result<Exit, Failure> {
    match &args.action {
        None => list::run(&args.list, &vault()?, output),
        Some(Action::List(list)) => list::run(list, &vault()?, output),
        Some(Action::Masked(args)) => masked::run(args, &vault()?, output),
        Some(Action::Head) => head(&vault()?, output),
        Some(Action::Export { out }) => export(&vault()?, out.as_deref(), output),
        Some(Action::Anchor { out }) => anchor::run(&vault()?, out.as_deref(), output),
        Some(Action::Prove(args)) => prove::run(args, &vault()?, output),
        Some(Action::Check(args)) => prove::check(args, vault, output),
    }
}

fn head(vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let archive = open(vault)?;
    let (seq, hash) = archive.chain_head()?.ok_or_else(|| {
        Failure::new(Exit::NotVerified, "the audit chain is empty").hint("run `chatvault verify`; restore vault.db")
    })?;
    if output.for_machines() {
        output.document(json!({ "account_id": archive.account_id(), "seq": seq, "hash": hash }), "head")?;
    } else {
        outln!("{seq} {hash}");
    }
    Ok(Exit::Complete)
}

fn export(vault: &Path, out: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    let archive = open(vault)?;
    let mut sink = writer_to(out)?;
    let mut rows: u64 = 0;
    list::for_each_event(&archive, &mut |event| {
        let mut row = json!(event);
        row["schema_version"] = json!(1);
        row["type"] = json!("event");
        writeln!(sink, "{}", harmless(row.to_string()))?;
        rows += 1;
        Ok(())
    })?;
    sink.flush()?;
    if let Some(out) = out {
        output.note(&format!("{} events written to {}", number(rows), out.display()));
    }
    Ok(Exit::Complete)
}

/// Stdout, or a new file in place of what was there.
fn writer_to(out: Option<&Path>) -> Result<Box<dyn Write>, Failure> {
    Ok(match out {
        Some(path) => Box::new(std::io::BufWriter::new(std::fs::File::create(path).map_err(|error| on(path, &error))?)),
        None => Box::new(std::io::stdout().lock()),
    })
}

/// One JSON document, readable, with a line feed at its end.
fn write_document(document: &Value, out: Option<&Path>) -> Result<usize, Failure> {
    let mut text = serde_json::to_vec_pretty(document).map_err(std::io::Error::from)?;
    text.push(b'\n');
    let mut sink = writer_to(out)?;
    sink.write_all(&text)?;
    sink.flush()?;
    Ok(text.len())
}

fn on(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", path.display()))
}
