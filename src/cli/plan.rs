//! `plan`: what `sync` would do; makes the listing calls and changes nothing.

use super::exit::{Exit, Failure};
use super::output::{Output, bytes, counted, number, readable_duration, readable_time};
use super::{losses, open, runtime, settings, sync};
use chatvault::acquire::{self, Cancel, HistoryApi, OperationsApi, PlannedQuestion};
use jiff::tz::TimeZone;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn run(vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let settings = settings::Settings::of_vault(vault)?;
    let archive = open(vault)?;
    sync::check_same_account(&settings.account_id, &archive)?;
    let acquire = settings.acquire()?;
    let now_ms = acquire.clock.now_ms();
    let plan = runtime()?.block_on(acquire::plan(&acquire, archive, Arc::new(|_| ()), Cancel::never()))?;
    if output.for_machines() {
        let stopped = plan.stopped.as_ref().map(ToString::to_string);
        output.document(json!({ "streams": plan.streams, "stopped": stopped }), "plan")?;
    } else {
        for (name, stream) in &plan.streams {
            if stream.skipped {
                outln!("{name}: {}", settings::why_skipped(name));
                continue;
            }
            if OperationsApi::of_stream(name).is_some() || HistoryApi::of_stream(name).is_some() {
                print_questions(name, &stream.questions);
                stream.lost.iter().for_each(|lost| outln!("  {}", losses::told(lost)));
                continue;
            }
            let size =
                stream.estimated_bytes.map_or("size unknown".to_owned(), |size| format!("about {}", bytes(size)));
            outln!(
                "{name}: {} to fetch ({size}), {} already here, {}",
                counted(stream.fetch.len() as u64, "file"),
                stream.already,
                counted(stream.listing_calls, "listing call"),
            );
            if let Some(wanted) = stream.wanted {
                let [from, to] = [wanted.start_ms, wanted.end_ms].map(|ms| readable_time(ms, &TimeZone::UTC));
                outln!("  range {from} to {to} UTC");
            }
            let known = stream.windows.present();
            if !known.is_empty() {
                let known: Vec<String> =
                    known.iter().map(|(state, count)| format!("{} {state}", number(*count))).collect();
                outln!("  hours so far: {} (sealed and empty ones are not listed again)", known.join(", "));
            }
            if let Some(first) = stream.fetch.first()
                && let Some(expires) = first.expires_at_ms
            {
                outln!("  most urgent: {} (deleted in {})", first.name, readable_duration(expires - now_ms));
            }
            for problem in &stream.problems {
                outln!(
                    "  problem: {}: {}",
                    super::output::printable(&problem.name),
                    super::output::printable(&problem.reason)
                );
            }
        }
    }
    if let Some(stopped) = plan.stopped {
        return Err(stopped.into());
    }
    let has_problems = plan.streams.values().any(|stream| !stream.problems.is_empty());
    Ok(if has_problems { Exit::SomeFailed } else { Exit::Complete })
}

/// What an API would be asked for, and the least number of calls that takes.
fn print_questions(stream: &str, questions: &[PlannedQuestion]) {
    let least = questions.iter().map(|question| question.least_calls).sum();
    outln!("{stream}: at least {}; an answer says whether there is more", counted(least, "call"));
    for question in questions {
        match question.window {
            Some(window) => {
                let [from, to] = [window.start_ms, window.end_ms].map(|ms| readable_time(ms, &TimeZone::UTC));
                outln!("  {}: {from} to {to} UTC", question.name);
            }
            None => outln!("  {}: how things are now", question.name),
        }
    }
}
