//! `repair`: says what can be mended, and with `--execute` mends it and reads everything again.

use super::args::Repair;
use super::exit::{Exit, Failure, of_acquire};
use super::findings::{Finding, Kind, findings};
use super::keys::Keys;
use super::limits::Limits;
use super::output::{Output, Style, counted, number, printable, readable_duration};
use super::progress::Progress;
use super::verify::{Affected, to_json};
use super::{init, open, open_for_writing, runtime, settings, sync};
use chatvault::acquire::{AcquireSettings, Cancel};
use chatvault::archive::rebuild::{UNKNOWN, examine};
use chatvault::archive::{Archive, Clock, LedgerState, RealDisk, RebuildReport};
use chatvault::pipeline::repair::{Asking, Diagnosis, Mending, Remedy, RepairReport, Trouble, diagnose, repair};
use chatvault::pipeline::{EncryptedCounts, RunOptions};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The settings of the vault, or that they are lost.
struct Known {
    settings: Option<settings::Settings>,
    account_id: Option<String>,
    /// Why `vault.toml` cannot be used, where there is one. A person wrote it, so it stays as it is.
    unusable: Option<String>,
}

impl Known {
    /// There is no `vault.toml`, or nothing stands in it: a new one can be written.
    fn lacks_settings(&self) -> bool {
        self.settings.is_none() && self.unusable.is_none()
    }

    fn word(&self) -> &'static str {
        match (&self.settings, &self.unusable) {
            (Some(_), _) => "present",
            (None, Some(_)) => "unusable",
            (None, None) => "missing",
        }
    }

    fn say_unusable(&self) {
        if let Some(reason) = &self.unusable {
            outln!("  SETTINGS vault.toml cannot be used, so LivePerson is not asked: {}", printable(reason));
            outln!("    next: mend it by hand; or move it away, and `chatvault repair --execute` writes a new one");
        }
    }
}

pub(crate) fn run(args: &Repair, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let known = known(args, vault)?;
    let state = examine(vault, &RealDisk)?;
    if args.execute {
        return execute(args, vault, known, &state, output);
    }
    let now_ms = Clock::System.now_ms();
    if state != LedgerState::Whole {
        account_of(&known, None)?;
        return say_rebuild(&state, &known, vault, output);
    }
    let archive = open(vault)?;
    let account = account_of(&known, Some(&archive))?;
    let found = diagnose(&archive, !args.offline && known.settings.is_some(), now_ms, &|_| ())?;
    let affected = Affected::of(vault, &found.report);
    if output.for_machines() {
        let mut document = document(&found, &found, &affected, known.word());
        document["executed"] = json!(false);
        document["database"] = json!({ "state": "whole" });
        document["key_warning"] = json!(key_warning(&found, vault));
        output.document(document, "repair")?;
    } else {
        print_findings(&found, &affected, now_ms, output);
        if let Some(warning) = key_warning(&found, vault) {
            outln!("    {}: {warning}", output.styled(Style::Bad, "key"));
        }
        known.say_unusable();
        if known.lacks_settings() {
            outln!("  SETTINGS vault.toml is missing or empty");
            outln!("    would write a new one for account {account}");
        }
        outln!("{}", verdict_dry(&found, &known, output));
    }
    Ok(if found.is_clean() && known.settings.is_some() { Exit::Complete } else { Exit::NotVerified })
}

/// That a key is missing, where the index is to be mended.
fn key_warning(found: &Diagnosis, vault: &Path) -> Option<String> {
    let mends_index = found.mendings.iter().any(|mending| mending.trouble == Trouble::Index);
    if mends_index { Keys::of_environment().warning(vault) } else { None }
}

/// Reads `vault.toml`. Where there is none, `--account` stands in.
fn known(args: &Repair, vault: &Path) -> Result<Known, Failure> {
    if let Some(account) = &args.account {
        init::check_account(account)?;
    }
    let missing = || Known { settings: None, account_id: args.account.clone(), unusable: None };
    if !vault.join(settings::FILE).exists() || is_blank(vault) {
        return Ok(missing());
    }
    let settings = match settings::Settings::of_vault(vault) {
        Ok(settings) => settings,
        Err(failure) => return Ok(Known { unusable: Some(failure.message), ..missing() }),
    };
    if args.account.as_ref().is_some_and(|account| *account != settings.account_id) {
        let message = format!("--account names another account than vault.toml, which has {}", settings.account_id);
        return Err(Failure::usage(message).hint("leave --account out"));
    }
    let account_id = Some(settings.account_id.clone());
    Ok(Known { settings: Some(settings), account_id, unusable: None })
}

/// Whether nothing stands in `vault.toml`, as after a crash of the machine.
fn is_blank(vault: &Path) -> bool {
    std::fs::read(vault.join(settings::FILE))
        .is_ok_and(|text| text.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace()))
}

fn account_of(known: &Known, archive: Option<&Archive>) -> Result<String, Failure> {
    match (&known.account_id, archive) {
        (Some(account), Some(archive)) => {
            sync::check_same_account(account, archive)?;
            Ok(account.clone())
        }
        (Some(account), None) => Ok(account.clone()),
        (None, Some(archive)) => Ok(archive.account_id().to_owned()),
        (None, None) => Err(Failure::usage("vault.toml and vault.db are both lost: nobody knows the account")
            .hint("name it: `chatvault repair --account ID`")),
    }
}

/// The dry run of a vault without a ledger.
fn say_rebuild(state: &LedgerState, known: &Known, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let (word, reason) = match state {
        LedgerState::Lost => ("lost", "there is no vault.db, but files/ holds archived files".to_owned()),
        LedgerState::Unreadable(reason) => ("unreadable", reason.clone()),
        LedgerState::Whole => ("whole", String::new()),
    };
    if output.for_machines() {
        let database = json!({ "state": word, "reason": reason, "unknown_afterwards": UNKNOWN });
        let key_warning = Keys::of_environment().warning(vault);
        output.document(
            json!({
                "executed": false, "database": database, "settings": known.word(), "findings": [], "ok": false,
                "key_warning": key_warning,
            }),
            "repair",
        )?;
        return Ok(Exit::NotVerified);
    }
    outln!("  DATABASE vault.db is {word}: {}", printable(&reason));
    outln!("    a backup of vault.db is better than any repair: if there is one, put it back instead");
    outln!("    would make a new vault.db from files/, and from what can still be read of the old one");
    if matches!(state, LedgerState::Unreadable(_)) {
        outln!("    would move the old vault.db to quarantine/");
    }
    if matches!(state, LedgerState::Unreadable(_)) {
        outln!(
            "    if every row of the old one can be read and its audit chain holds, they are copied and nothing is lost;"
        );
        outln!("    if not, what cannot be known afterwards, as far as it cannot be read any more:");
    } else {
        outln!("    what can then not be known:");
    }
    UNKNOWN.iter().for_each(|what| outln!("      - {what}"));
    known.say_unusable();
    if known.lacks_settings() {
        outln!("    would write a new vault.toml");
    }
    if let Some(warning) = Keys::of_environment().warning(vault) {
        outln!("    {}: {warning}", output.styled(Style::Bad, "key"));
    }
    let next = "nothing was changed; `chatvault repair --execute` does it";
    outln!("{}", output.styled(Style::Bad, next));
    Ok(Exit::NotVerified)
}

fn execute(args: &Repair, vault: &Path, known: Known, state: &LedgerState, output: &Output) -> Result<Exit, Failure> {
    // Before anything is changed; whether the keys are any good is found out only where something is to be fetched.
    let acquire = match &known.settings {
        Some(settings) if !args.offline => Some(settings.acquire()?),
        _ => None,
    };
    let (archive, rebuilt) = match state {
        LedgerState::Whole => (open_for_writing(vault)?, None),
        LedgerState::Lost | LedgerState::Unreadable(_) => {
            let account = account_of(&known, None)?;
            let (archive, report) = Archive::rebuild(vault, &account, Arc::new(RealDisk), Clock::System)?;
            (archive, Some(report))
        }
    };
    let account = account_of(&known, Some(&archive))?;
    let wrote_settings = known.lacks_settings();
    if wrote_settings {
        // One in which nothing stands makes room; one that a person wrote is never touched.
        if is_blank(vault) {
            std::fs::remove_file(vault.join(settings::FILE))?;
        }
        init::write_settings(vault, &settings::template(&account, "va"))?;
    }
    if let (Some(report), false) = (&rebuilt, output.for_machines()) {
        print_rebuilt(report);
    }
    let now_ms = Clock::System.now_ms();
    // A copied ledger has the numbers of the old one; only a rebuilt one counts its files anew.
    let fresh_index = rebuilt.as_ref().is_some_and(|report| !report.copied_whole);
    let limits = match known.unusable {
        None => Limits::of_vault(vault)?,
        Some(_) => Limits::read(|_, _| Ok(None))?,
    };
    let archive = limits.on(archive);
    let keys = Keys::of_environment();
    let waited = EncryptedCounts::of_archive(&archive, keys.ring())?;
    // Of a file that is set aside only the index of before still knows what it held.
    let set_aside = rebuilt.as_ref().map(|report| report.damaged.clone()).unwrap_or_default();
    let once_inside = Affected::of_files(vault, set_aside);
    let report = run_with(&archive, acquire.as_ref(), fresh_index, now_ms, keys.options(limits), output)?;
    let waiting = EncryptedCounts::of_archive(&archive, keys.ring())?;
    // What waited before is no news; what was open and is closed now is.
    let is_closed_again = waiting.records > waited.records;
    drop(archive);
    let affected = Affected::of(vault, &report.before.report).with(once_inside);
    if output.for_machines() {
        let mut document = document(&report.after, &report.before, &affected, "present");
        document["ok"] = json!(report.after.is_ok() && !report.before.mendings.iter().any(is_lost));
        document["executed"] = json!(true);
        document["database"] = match &rebuilt {
            None => json!({ "state": "whole" }),
            Some(report) => json!({ "state": "rebuilt", "rebuilt": report, "unknown": unknown(report) }),
        };
        document["settings"] = json!(if wrote_settings { "written" } else { known.word() });
        document["acquire_failure"] = json!(acquire_failure(&report));
        document["index_failure"] = json!(report.index_failure.as_ref().map(ToString::to_string));
        document["encrypted"] = json!(waiting);
        document["key_problem"] = keys.problem_json();
        output.document(document, "repair")?;
    } else {
        print_findings(&report.before, &affected, now_ms, output);
        for mending in new_findings(&report) {
            let file = mending.file.as_deref().map(|file| format!(" {file}")).unwrap_or_default();
            let name = kind(mending.trouble).name().replace('_', " ").to_uppercase();
            outln!("  {name}{} came to light by the repair; run it again", printable(&file));
        }
        if wrote_settings {
            outln!("  SETTINGS vault.toml was missing; a new one was written for account {account}: check its region");
        }
        known.say_unusable();
        outln!("{}", verdict_done(&report, rebuilt.is_some() || wrote_settings, output));
        if is_closed_again {
            keys.print(&waiting);
        }
    }
    let exit = match exit_of(report, output)? {
        Exit::Complete if known.unusable.is_some() => Exit::NotVerified,
        exit => exit,
    };
    Ok(if is_closed_again { keys.exit(&waiting, exit) } else { exit })
}

fn run_with(
    archive: &Archive,
    acquire: Option<&AcquireSettings>,
    fresh_index: bool,
    now_ms: i64,
    options: RunOptions,
    output: &Output,
) -> Result<RepairReport, Failure> {
    let runtime = runtime()?;
    let (handle, cancel) = Cancel::pair();
    let interrupt = sync::interrupt(&runtime, handle);
    let progress = Progress::new(output, "repair");
    let watcher = |step| progress.step(step);
    let asking = acquire.map(|settings| Asking { runtime: &runtime, settings, progress: progress.sink(), cancel });
    let report = repair(archive, asking, fresh_index, now_ms, options, &watcher);
    progress.done();
    interrupt.abort();
    Ok(report?)
}

fn acquire_failure(report: &RepairReport) -> Option<String> {
    let stopped = report.acquired.as_ref().and_then(|acquired| acquired.stopped.as_ref());
    report.acquire_failure.as_ref().or(stopped).map(ToString::to_string)
}

fn exit_of(report: RepairReport, output: &Output) -> Result<Exit, Failure> {
    if report.is_mended() && report.index_failure.is_none() {
        return Ok(Exit::Complete);
    }
    let interrupted = report.acquired.as_ref().is_some_and(|acquired| acquired.interrupted);
    if interrupted {
        return Ok(Exit::Interrupted);
    }
    let stopped = report.acquired.and_then(|acquired| acquired.stopped);
    if let Some(failure) = report.acquire_failure.or(stopped) {
        let exit = of_acquire(&failure);
        if !output.for_machines() {
            let failure = Failure::from(failure);
            output
                .failure(&failure.hint("what needs no network was mended; `chatvault repair --offline` leaves it out"));
        }
        return Ok(exit);
    }
    if let Some(failure) = report.index_failure {
        let failure = Failure::from(failure);
        if !output.for_machines() {
            output.failure(&failure);
        }
        return Ok(failure.exit);
    }
    Ok(Exit::NotVerified)
}

/// What is wrong now and was not seen at first.
fn new_findings(report: &RepairReport) -> impl Iterator<Item = &Mending> {
    let was_known = |mending: &Mending| {
        report.before.mendings.iter().any(|known| known.trouble == mending.trouble && known.file == mending.file)
    };
    report.after.mendings.iter().filter(move |mending| !was_known(mending))
}

/// What the rebuilt ledger cannot say.
fn unknown(report: &RebuildReport) -> &'static [&'static str] {
    if report.copied_whole { &[] } else { &UNKNOWN }
}

fn print_rebuilt(report: &RebuildReport) {
    if report.copied_whole {
        outln!("vault.db was rebuilt: every row of the old one could be read, and its audit chain goes on unbroken");
    } else {
        outln!(
            "vault.db was rebuilt: {}, {} of them with what the old one said of them",
            counted(report.rows, "file"),
            number(report.recovered + report.recovered_without_bytes)
        );
        outln!("  from here on it shows any change; what it cannot know:");
        unknown(report).iter().for_each(|what| outln!("    - {what}"));
        outln!("  next: `chatvault sync`, which lists everything that LivePerson still has; `chatvault audit anchor`");
    }
    for path in &report.old_database {
        outln!("  the old one is kept as {path}");
    }
}

/// A document as `verify` gives, of the vault as it is now, with what becomes of each finding.
fn document(state: &Diagnosis, found: &Diagnosis, affected: &Affected, settings: &str) -> Value {
    let ok = state.is_ok() && settings == "present";
    let mut document = to_json(&state.report, &state.index, affected, ok);
    document["findings"] = with_findings(found)
        .map(|(mending, finding)| {
            let mut value = finding.to_json(affected.of_finding(&finding));
            value["mendable"] = json!(is_mendable(mending));
            value["repair"] = json!(mending);
            value
        })
        .collect();
    document["settings"] = json!(settings);
    document
}

fn kind(trouble: Trouble) -> Kind {
    match trouble {
        Trouble::Damaged => Kind::Damaged,
        Trouble::Missing => Kind::Missing,
        Trouble::Unlisted => Kind::Unlisted,
        Trouble::AlteredRow => Kind::AlteredRow,
        Trouble::Chain => Kind::Chain,
        Trouble::Index => Kind::Index,
        Trouble::Writable => Kind::Writable,
        Trouble::Evidence => Kind::Evidence,
    }
}

fn is_lost(mending: &Mending) -> bool {
    mending.done == Some(false) && matches!(mending.remedy, Remedy::Salvage { .. })
}

fn is_mendable(mending: &Mending) -> bool {
    !matches!(mending.remedy, Remedy::None { .. })
}

/// Each finding in `verify`'s words, with what becomes of it.
fn with_findings(found: &Diagnosis) -> impl Iterator<Item = (&Mending, Finding)> {
    let said = findings(&found.report, found.index.reason.as_deref(), found.index.ok);
    let mut said: HashMap<(Kind, Option<String>), Finding> =
        said.into_iter().map(|finding| ((finding.kind, finding.file.clone()), finding)).collect();
    found.mendings.iter().map(move |mending| {
        let kind = kind(mending.trouble);
        let finding = said.remove(&(kind, mending.file.clone()));
        let plain = || Finding { kind, file: mending.file.clone(), what: String::new() };
        (mending, finding.unwrap_or_else(plain))
    })
}

fn print_findings(found: &Diagnosis, affected: &Affected, now_ms: i64, output: &Output) {
    for (mending, finding) in with_findings(found) {
        let hit = match affected.of_finding(&finding) {
            [] => String::new(),
            ids => format!("; {} hit, such as {}", counted(ids.len() as u64, "conversation"), ids[0]),
        };
        let name = kind(mending.trouble).name().replace('_', " ").to_uppercase();
        let file = mending.file.as_deref().map(|file| format!(" {file}:")).unwrap_or_default();
        outln!("  {name}{} {}", printable(&file), printable(&format!("{}{hit}", finding.what)));
        outln!("    {}", printable(&remedy(mending, now_ms)));
        if let Some(outcome) = &mending.outcome {
            outln!("    {}", printable(outcome));
        }
        let is_left = mending.done == Some(false) || !is_mendable(mending);
        if is_left {
            outln!("    {}: {}", output.styled(Style::Bad, "next"), left(mending));
        }
    }
}

/// What to do about a finding that stays.
fn left(mending: &Mending) -> &'static str {
    match (mending.trouble, &mending.remedy) {
        (Trouble::Damaged | Trouble::Missing, Remedy::Fetch { .. }) => {
            "`chatvault repair --execute` again while LivePerson has it; or `chatvault import COPY`, with a copy of the same \
             name from a backup, puts the archived bytes back"
        }
        (Trouble::Damaged | Trouble::Missing, _) => {
            "`chatvault import COPY`, with a copy of the same name from a backup, puts the archived bytes back"
        }
        (Trouble::Unlisted, Remedy::Salvage { .. }) => {
            "`chatvault sync` fetches it while LivePerson has it; or `chatvault import COPY`, with a whole copy from a backup"
        }
        (Trouble::Unlisted, _) => "look at it, and move it out of files/ by hand",
        (trouble, _) => kind(trouble).next(),
    }
}

fn remedy(mending: &Mending, now_ms: i64) -> String {
    let (would, did) = match &mending.remedy {
        Remedy::PutBack { from } => {
            (format!("would put the same bytes back from {from}"), format!("its bytes were put back from {from}"))
        }
        Remedy::Fetch { expires_ms } => {
            let left = readable_duration(expires_ms - now_ms);
            (format!("would ask LivePerson for it, which deletes it in {left}"), "fetched again".to_owned())
        }
        Remedy::Adopt => ("would make it a row of the ledger".to_owned(), "it is a row of the ledger now".to_owned()),
        Remedy::SetAside { reason } => {
            (format!("would move it to quarantine/: {reason}"), format!("moved to quarantine/: {reason}"))
        }
        Remedy::Salvage { reason } => {
            return match mending.done {
                None => format!(
                    "it is damaged: {reason}; would move it to quarantine/, count its name as damaged, and keep what can be \
                     read of it as a file of its own"
                ),
                Some(_) => format!("it is damaged: {reason}"),
            };
        }
        Remedy::MakeReadOnly => ("would make it read-only".to_owned(), "made read-only".to_owned()),
        Remedy::MendIndex => ("would bring the index up, or make it anew".to_owned(), "the index is whole".to_owned()),
        Remedy::None { reason } => return format!("cannot be mended here: {reason}"),
    };
    match mending.done {
        None => would,
        Some(true) => did,
        Some(false) => "could not be mended".to_owned(),
    }
}

fn verdict_dry(found: &Diagnosis, known: &Known, output: &Output) -> String {
    let lost_settings = u64::from(known.lacks_settings());
    let all = found.mendings.len() as u64 + u64::from(known.settings.is_none());
    let mendable = found.mendings.iter().filter(|mending| is_mendable(mending)).count() as u64 + lost_settings;
    if all == 0 {
        return output.styled(Style::Good, "nothing to mend").into_owned();
    }
    let line = match mendable {
        0 => format!("{}, none of which can be mended here; nothing was changed", counted(all, "finding")),
        _ => format!(
            "{}, {} to be mended; nothing was changed: `chatvault repair --execute` does it",
            counted(all, "finding"),
            number(mendable)
        ),
    };
    output.styled(Style::Bad, &line).into_owned()
}

fn verdict_done(report: &RepairReport, was_rebuilt: bool, output: &Output) -> String {
    let done = report.before.mendings.iter().filter(|mending| mending.done == Some(true)).count() as u64;
    // What was set aside damaged is not seen in the vault any more, and lost all the same.
    let set_aside = report.before.mendings.iter().filter(|mending| is_lost(mending)).count() as u64;
    match report.after.mendings.len() as u64 + set_aside {
        0 if done == 0 && !was_rebuilt => output.styled(Style::Good, "nothing to mend").into_owned(),
        0 => {
            let line = format!("{} mended; verified: unchanged and complete in itself", counted(done, "finding"));
            output.styled(Style::Good, &line).into_owned()
        }
        left => {
            let line = format!("{} mended, {} left: NOT verified", counted(done, "finding"), number(left));
            output.styled(Style::Bad, &line).into_owned()
        }
    }
}
