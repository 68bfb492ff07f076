//! `stats --stream data-access/agent-activity`: how long each agent was in which state.

use super::args::Stats;
use super::choices::Unit;
use super::exit::{Exit, Failure};
use super::keys::Keys;
use super::output::{Output, counted, number, printable, readable_duration};
use super::{open, series};
use chatvault::pipeline::{AGENT_ACTIVITY, ActivityOptions, ActivitySummary, AgentTimes, OPERATIONS, agent_activity};
use serde_json::{Value, json};
use std::path::Path;

/// Agents that a terminal gets; `--json` has all.
const SHOWN: usize = 40;

pub(super) fn run(stream: &str, args: &Stats, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    if stream != AGENT_ACTIVITY {
        let message = format!("--stream {stream:?} has no figures of its own");
        return Err(Failure::usage(message).hint(format!(
            "{AGENT_ACTIVITY}, {} have; conversations are counted by their source: `chatvault stats --query source:data-access`",
            OPERATIONS.join(", ")
        )));
    }
    if args.figures.are_asked_for() || args.by != Unit::Auto {
        return Err(Failure::usage(format!("{AGENT_ACTIVITY} is summed up as a whole")).hint(format!(
            "--by, --from, --to, --call, --skill, --agent, --metric and --at are for {}",
            OPERATIONS.join(", ")
        )));
    }
    let keys = Keys::of_environment();
    let options = ActivityOptions { decode: series::options(vault)?.decode, ..ActivityOptions::default() };
    let summary = agent_activity(&open(vault)?, options, keys.ring())?;
    if output.for_machines() {
        let mut document = document(&summary);
        document["encrypted"] = json!(summary.encrypted);
        document["key_problem"] = keys.problem_json();
        output.document(document, "activity")?;
    } else {
        print(&summary, output);
    }
    if let Some(waiting) = keys.waiting_line(&summary.encrypted) {
        eprintln!("WARNING: {waiting}");
    }
    let failures = summary.problems.failures();
    if failures > 0 {
        eprintln!(
            "WARNING: {} could not be read and {} not counted; `chatvault verify` names damaged files",
            counted(failures, "record"),
            if failures == 1 { "is" } else { "are" }
        );
        return Ok(Exit::SomeFailed);
    }
    Ok(keys.exit(&summary.encrypted, Exit::Complete))
}

fn document(summary: &ActivitySummary) -> Value {
    let agents = summary.agents.iter().map(|agent| {
        let states = &agent.states;
        json!({
            "agent_id": agent.agent_id, "name": agent.name, "sessions": agent.sessions, "events": agent.events,
            "online_ms": states.online_ms, "back_soon_ms": states.back_soon_ms, "away_ms": states.away_ms,
            "offline_ms": states.offline_ms, "other_ms": states.other_ms, "in_chat_ms": agent.in_chat_ms,
        })
    });
    json!({
        "stream": AGENT_ACTIVITY,
        "files": summary.files,
        "records": summary.records,
        "events": summary.events,
        "unreadable": summary.problems.failures(),
        "agents": agents.collect::<Vec<_>>(),
    })
}

fn print(summary: &ActivitySummary, output: &Output) {
    let events = counted(summary.events, "event");
    outln!("{} in {}", counted(summary.agents.len() as u64, "agent"), events);
    let mut busiest: Vec<&AgentTimes> = summary.agents.iter().collect();
    busiest.sort_by_key(|agent| (std::cmp::Reverse(agent.states.online_ms), &agent.agent_id));
    let name = |agent: &AgentTimes| -> String {
        let name = agent.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        printable(&format!("{}{name}", agent.agent_id)).chars().take(36).collect()
    };
    let shown = &busiest[..busiest.len().min(SHOWN)];
    if !shown.is_empty() {
        let heads = ["online", "in chat", "back soon", "away", "offline", "other"];
        outln!("{:36} {:>8} {}", "agent", "sessions", heads.map(|head| format!("{head:>12}")).join(" "));
    }
    for agent in shown {
        let states = &agent.states;
        let times = [
            states.online_ms,
            agent.in_chat_ms,
            states.back_soon_ms,
            states.away_ms,
            states.offline_ms,
            states.other_ms,
        ];
        let times = times.map(|ms| format!("{:>12}", readable_duration(ms)));
        outln!("{:36} {:>8} {}", name(agent), number(agent.sessions), times.join(" "));
    }
    if busiest.len() > shown.len() {
        output.note(&format!("{} further agents; --json lists all", busiest.len() - shown.len()));
    }
    if summary.files == 0 {
        output.note(&format!(
            "the archive holds no file of {AGENT_ACTIVITY}; switch the stream on in vault.toml and sync"
        ));
    }
}
