//! `sync`: everything new from LivePerson into the archive, then into the index.

use super::args::Sync;
use super::exit::{Exit, Failure, of_acquire};
use super::keys::Keys;
use super::output::{Output, bytes, counted, number};
use super::progress::Progress;
use super::{import, losses, open_for_writing, runtime, settings};
use chatvault::acquire::{AcquireSettings, Cancel, CancelHandle, OperationsApi};
use chatvault::archive::Archive;
use chatvault::pipeline::{self, RunOptions, SyncReport};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub(crate) fn run(args: &Sync, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let mut settings = settings::Settings::of_vault(vault)?;
    if let Some(start) = &args.start {
        settings.start = settings::duration(start)?;
    }
    settings.connections = args.connections.unwrap_or(settings.connections);
    settings.requests_per_second = args.requests_per_second.unwrap_or(settings.requests_per_second);
    let archive = settings.limits.on(open_for_writing(vault)?);
    check_same_account(&settings.account_id, &archive)?;
    let acquire = settings.acquire()?;
    let runtime = runtime()?;
    let started = Instant::now();
    let keys = Keys::of_environment();
    let report = run_with(&runtime, &acquire, &archive, keys.options(settings.limits.with(&args.memory)?), output)?;
    print(&report, &keys, started.elapsed().as_secs_f64(), output)?;
    let waiting = report.indexed.encrypted.clone();
    Ok(keys.exit(&waiting, exit_of(report, output)))
}

/// A vault holds one account; settings that name another would mix two.
pub(super) fn check_same_account(configured: &str, archive: &Archive) -> Result<(), Failure> {
    if configured == archive.account_id() {
        return Ok(());
    }
    let message =
        format!("vault.toml names account {configured}, but this vault was made for account {}", archive.account_id());
    Err(Failure::usage(message).hint("make another vault for the other account with `chatvault init`"))
}

/// Runs a sync that Ctrl-C ends cleanly.
pub(super) fn run_with(
    runtime: &tokio::runtime::Runtime,
    settings: &AcquireSettings,
    archive: &Archive,
    options: RunOptions,
    output: &Output,
) -> Result<SyncReport, Failure> {
    let (handle, cancel) = Cancel::pair();
    let interrupt = interrupt(runtime, handle);
    let progress = Progress::new(output, "sync");
    let watcher = |step| progress.step(step);
    let report = pipeline::sync(runtime, settings, archive, options, progress.sink(), &watcher, cancel);
    progress.done();
    interrupt.abort();
    Ok(report?)
}

/// Ends a run on Ctrl-C or SIGTERM, and the program on the second one.
pub(super) fn interrupt(runtime: &tokio::runtime::Runtime, handle: CancelHandle) -> tokio::task::JoinHandle<()> {
    runtime.spawn(async move {
        let terminated = AtomicBool::new(false);
        interrupted(&terminated).await;
        handle.cancel();
        // A second Ctrl-C does not wait.
        interrupted(&terminated).await;
        std::process::exit(Exit::Interrupted as i32);
    })
}

/// Returns when the user (Ctrl-C) or a supervisor (SIGTERM, which sets `terminated`) wants the process to end.
pub(super) async fn interrupted(terminated: &AtomicBool) {
    #[cfg(unix)]
    if let Ok(mut asked) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = asked.recv() => terminated.store(true, Ordering::Relaxed),
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _ = terminated;
    if tokio::signal::ctrl_c().await.is_err() {
        // No handler could be installed: the system's own way of ending a process is left.
        std::future::pending::<()>().await;
    }
}

fn exit_of(report: SyncReport, output: &Output) -> Exit {
    let is_complete = report.acquired.is_complete();
    if report.acquired.interrupted {
        return Exit::Interrupted;
    }
    if let Some(stopped) = report.acquired.stopped {
        let failure = Failure::from(stopped);
        if !output.for_machines() {
            output.failure(&failure);
        }
        return failure.exit;
    }
    if let Some(failure) = report.index_failure {
        let failure = Failure::from(failure);
        if !output.for_machines() {
            output.failure(&failure);
        }
        return failure.exit;
    }
    if !is_complete || report.indexed.failures() > 0 { Exit::SomeFailed } else { Exit::Complete }
}

pub(super) fn print(report: &SyncReport, keys: &Keys, elapsed_s: f64, output: &Output) -> Result<(), Failure> {
    if output.for_machines() {
        let mut document = to_json(report, elapsed_s);
        document["key_problem"] = keys.problem_json();
        return output.document(document, "sync");
    }
    for (name, stream) in &report.acquired.streams {
        if stream.skipped {
            output.note(&format!("{name}: {}; skipped", settings::why_skipped(name)));
            continue;
        }
        if OperationsApi::of_stream(name).is_some() {
            outln!(
                "{name}: {} archived ({}, {}), {} failed",
                counted(stream.listed, "answer"),
                counted(stream.downloaded, "file"),
                bytes(stream.bytes),
                number(stream.failed),
            );
        } else {
            outln!(
                "{name}: {} listed, {} downloaded ({}), {} already here, {} failed",
                counted(stream.listed, "file"),
                number(stream.downloaded),
                bytes(stream.bytes),
                number(stream.already),
                number(stream.failed + stream.refused),
            );
        }
        for lost in &stream.lost {
            outln!("  {}", losses::told(lost));
        }
        if stream.restored > 0 {
            outln!("  {} of them put back that the archive had lost or held damaged", number(stream.restored));
        }
        for problem in &stream.problems {
            let kind = serde_json::to_value(problem.kind).ok();
            let kind = kind.as_ref().and_then(Value::as_str).unwrap_or("problem");
            let name = super::output::printable(&problem.name);
            let name: String = name.chars().take(100).collect();
            outln!("  {kind}: {name}: {}", super::output::printable(&problem.reason));
        }
    }
    import::print_index(&report.indexed, output);
    keys.print(&report.indexed.encrypted);
    let verdict = match (&report.acquired.interrupted, &report.acquired.stopped) {
        (true, _) => "interrupted; what was archived is safe, run `chatvault sync` again to go on",
        (_, Some(_)) => "stopped early; what was archived is safe",
        _ if !report.acquired.is_complete() => {
            "finished, but some items failed; run `chatvault sync` again to fetch them anew"
        }
        _ if report.index_failure.is_some() => "archived, but not indexed",
        _ if report.indexed.failures() > 0 => "finished; some archived records cannot be read, they are named above",
        _ if report.acquired.lost_s() > 0 => "finished, but figures are lost for good; `chatvault gaps` lists them",
        _ if keys.exit(&report.indexed.encrypted, Exit::Complete) == Exit::Key => "complete, but for what is encrypted",
        _ => "complete",
    };
    outln!("{verdict} ({elapsed_s:.1} s)");
    Ok(())
}

pub(super) fn to_json(report: &SyncReport, elapsed_s: f64) -> Value {
    let mut streams = serde_json::Map::new();
    for (name, stream) in &report.acquired.streams {
        let mut value = serde_json::to_value(stream).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            let counts = report.indexed.streams.get(name).copied().unwrap_or_default();
            object.insert("records".into(), json!(counts.records));
            object.insert("conversations".into(), json!(counts.conversations));
        }
        streams.insert(name.clone(), value);
    }
    let mut value = json!({
        "streams": streams,
        "index": report.indexed,
        "requests": report.acquired.requests,
        "index_failure": report.index_failure.as_ref().map(ToString::to_string),
        "interrupted": report.acquired.interrupted,
        "lost_s": report.acquired.lost_s(),
        "stopped": report.acquired.stopped.as_ref().map(ToString::to_string),
        "elapsed_s": elapsed_s,
    });
    if let Some(stopped) = &report.acquired.stopped {
        value["error"] = json!(stopped.to_string());
        value["hints"] = json!(stopped.hints());
        value["exit_code"] = json!(of_acquire(stopped) as u8);
    }
    value
}
