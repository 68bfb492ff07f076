//! What to do where there are no figures, and what is said of answers that do not count.

use super::exit::{Exit, Failure};
use super::output::{counted, printable};
use super::settings::Settings;
use chatvault::archive::Archive;
use chatvault::decode::ProblemKind;
use chatvault::pipeline::{SeriesFilter, SeriesOptions, SeriesReport, series};
use std::path::Path;

/// Why there is no figure of a stream, with the next command to type.
pub(super) fn nothing(stream: &str, filter: &SeriesFilter, report: &SeriesReport, vault: &Path) -> Failure {
    if report.files + report.open_segments == 0 {
        let message = format!("the archive holds no answers of {stream}");
        return Failure::new(Exit::Failed, message).hint(no_answers(stream, vault));
    }
    let answers: u64 = report.calls.values().map(|call| call.answers).sum();
    let refused: u64 = report.calls.values().map(|call| call.refused).sum();
    let SeriesFilter { from_ms, to_ms, call, skill, agent } = filter;
    if from_ms.is_some() || to_ms.is_some() || call.is_some() || skill.is_some() || agent.is_some() {
        let message = format!("the archived answers of {stream} hold no figure of what is asked for");
        return Failure::new(Exit::Failed, message)
            .hint(format!("`chatvault stats --stream {stream}` shows what is there, and its holes"));
    }
    let message = match (answers, refused) {
        (0, _) => format!("the archived files of {stream} hold no answer that counts"),
        (answers, refused) if answers == refused => format!("LivePerson refused every archived call of {stream}"),
        _ => format!("the archived answers of {stream} hold no figure"),
    };
    Failure::new(Exit::Failed, message)
        .hint("`chatvault watch --status` says how its calls went, `chatvault gaps` what is missing")
}

/// A method that has no answers in a stream: which have.
pub(super) fn no_such_call(
    archive: &Archive,
    stream: &str,
    call: &str,
    options: SeriesOptions,
    vault: &Path,
) -> Failure {
    let report = match series(archive, stream, &SeriesFilter::default(), options, &mut |_, _| {}) {
        Ok(report) => report,
        Err(error) => return error.into(),
    };
    let refused = Failure::usage(format!("no archived answers of the method {call:?} in {stream}"));
    if report.calls.is_empty() {
        return refused.hint(no_answers(stream, vault));
    }
    refused.hint(format!("answers of: {}", printable(&report.calls.into_keys().collect::<Vec<_>>().join(", "))))
}

/// What to type where nothing of a stream was archived yet.
pub(super) fn no_answers(stream: &str, vault: &Path) -> String {
    let is_on =
        Settings::of_vault(vault).is_ok_and(|settings| settings.wanted_streams().any(|(name, _)| name == stream));
    if is_on {
        format!("{stream} is switched on: `chatvault sync` asks for it once, `chatvault watch` for ever")
    } else {
        format!(
            "set \"{stream}\" = \"on\" under [streams] in vault.toml, then run `chatvault sync` or `chatvault watch`"
        )
    }
}

/// Says how many answers are of other accounts, and of which.
pub(super) fn other_accounts(report: &SeriesReport) {
    let count = report.problems.counts.get(&ProblemKind::OtherAccount).copied().unwrap_or_default();
    if count > 0 {
        eprintln!(
            "WARNING: {} of another account than the vault's not counted: {}",
            counted(count, "answer"),
            printable(&named(report).join(", "))
        );
    }
}

/// The other accounts that the first such answers name.
pub(super) fn named(report: &SeriesReport) -> Vec<String> {
    let of_others = report.problems.examples.iter().filter(|problem| problem.kind == ProblemKind::OtherAccount);
    let mut names: Vec<String> =
        of_others.map(|problem| problem.detail.trim_start_matches("answer of account ").to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
