//! `doctor`: settings, credentials, clock, hosts, what each API permits, disk, PGP keys: one line each, with the cure.

use super::exit::{Exit, Failure};
use super::keys::Keys;
use super::output::{Output, Style, bytes, counted, printable};
use super::{open, runtime, settings, sync};
use chatvault::acquire::{self, ApiProbe, DomainCheck, ProbeReport, ProblemKind, StreamMode};
use serde_json::{Value, json};
use std::path::Path;

/// One line of the report.
struct Finding {
    check: String,
    state: State,
    detail: String,
    cure: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Worth knowing; nothing is wrong.
    Note,
    Bad(Exit),
}

/// A clock that is off by more lets signatures fail.
const CLOCK_MS: i64 = 60_000;
/// Less free space than this is worth a word.
const LITTLE_SPACE: u64 = 1 << 30;

pub(crate) fn run(vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let known = settings::Settings::of_vault(vault)?;
    let archive = open(vault)?;
    sync::check_same_account(&known.account_id, &archive)?;
    let origins = settings::origins(vault)?;
    let files = archive.files_after(0)?;
    let mut findings = vec![Finding {
        check: "vault".to_owned(),
        state: State::Good,
        detail: format!(
            "{}, account {}, {} ({})",
            vault.display(),
            known.account_id,
            counted(files.len() as u64, "file"),
            bytes(files.iter().map(|file| file.size_bytes).sum())
        ),
        cure: None,
    }];
    findings.push(disk(vault));
    findings.push(keys());
    let asked = known.acquire().and_then(|acquire| Ok(runtime()?.block_on(acquire::probe(&acquire))?));
    match asked {
        Ok(report) => findings.extend(of_report(&report, &known)),
        Err(Failure { exit, message, hints }) => findings.push(Finding {
            check: "credentials".to_owned(),
            state: State::Bad(exit),
            detail: message,
            cure: Some(
                hints.into_iter().next().unwrap_or_else(|| "nothing can be asked before this is set".to_owned()),
            ),
        }),
    }
    print(&findings, &origins, output)?;
    let worst = findings.iter().filter_map(|finding| match finding.state {
        State::Bad(exit) => Some(exit),
        _ => None,
    });
    // Not authorised before not reachable before the rest: what a person has to mend first.
    let rank = |exit: &Exit| match exit {
        Exit::Usage => 0,
        Exit::Unauthorised => 1,
        Exit::Temporary => 2,
        Exit::Key => 3,
        _ => 4,
    };
    Ok(worst.min_by_key(rank).unwrap_or(Exit::Complete))
}

fn disk(vault: &Path) -> Finding {
    let check = "disk".to_owned();
    match fs4::available_space(vault) {
        Ok(free) if free < LITTLE_SPACE => Finding {
            check,
            state: State::Bad(Exit::SomeFailed),
            detail: format!("{} free", bytes(free)),
            cure: Some("free some space: what LivePerson deletes meanwhile is lost".to_owned()),
        },
        Ok(free) => Finding { check, state: State::Good, detail: format!("{} free", bytes(free)), cure: None },
        Err(error) => Finding { check, state: State::Note, detail: format!("free space unknown: {error}"), cure: None },
    }
}

fn keys() -> Finding {
    let keys = Keys::of_environment();
    let check = "PGP keys".to_owned();
    if let Some(problem) = keys.problem() {
        let cure = Some("set CHATVAULT_PGP_KEY or CHATVAULT_PGP_KEY_FILE to armored private keys".to_owned());
        return Finding { check, state: State::Bad(Exit::Key), detail: problem.to_owned(), cure };
    }
    let ring = keys.ring();
    if ring.is_empty() {
        return Finding {
            check,
            state: State::Note,
            detail: "none set; needed only for encrypted accounts".to_owned(),
            cure: None,
        };
    }
    let locked: Vec<&str> = ring.locked_ids().iter().map(String::as_str).collect();
    let detail = format!("{} usable, {} locked", ring.open_ids().len(), locked.len());
    match locked.is_empty() {
        true => Finding { check, state: State::Good, detail, cure: None },
        false => Finding {
            check,
            state: State::Bad(Exit::Key),
            detail: format!("{detail} ({})", locked.join(", ")),
            cure: Some("CHATVAULT_PGP_PASSPHRASE is missing or wrong".to_owned()),
        },
    }
}

fn of_report(report: &ProbeReport, known: &settings::Settings) -> Vec<Finding> {
    let mut findings = vec![domain(&report.domain, known)];
    if let Some(offset_ms) = report.clock_offset_ms {
        let detail =
            format!("{} s {} the server's", offset_ms.abs() / 1000, if offset_ms > 0 { "behind" } else { "ahead of" });
        let is_off = offset_ms.abs() > CLOCK_MS;
        findings.push(Finding {
            check: "clock".to_owned(),
            state: if is_off { State::Bad(Exit::Unauthorised) } else { State::Good },
            detail: if offset_ms.abs() < 2000 { "agrees with the server's".to_owned() } else { detail },
            cure: is_off.then(|| "set this machine's clock (NTP): signatures carry the time".to_owned()),
        });
    }
    findings.extend(report.apis.iter().map(api));
    findings
}

fn domain(domain: &DomainCheck, known: &settings::Settings) -> Finding {
    let check = "Domain API".to_owned();
    match domain {
        DomainCheck::NotAsked => {
            Finding { check, state: State::Note, detail: "not asked: endpoints are configured".to_owned(), cure: None }
        }
        DomainCheck::Services(services) => {
            let region = domain.region();
            let differs = region.is_some_and(|region| region != known.region);
            Finding {
                check,
                state: if differs { State::Bad(Exit::Usage) } else { State::Good },
                detail: format!(
                    "{}, region {}",
                    counted(services.len() as u64, "service"),
                    region.unwrap_or("unknown")
                ),
                cure: differs.then(|| {
                    format!("[account] region is {:?}; set it to {:?}", known.region, region.unwrap_or_default())
                }),
            }
        }
        DomainCheck::UnknownAccount => Finding {
            check,
            state: State::Bad(Exit::Usage),
            detail: format!("LivePerson knows no account {}", known.account_id),
            cure: Some("check [account] id".to_owned()),
        },
        DomainCheck::Failed(reason) => Finding {
            check,
            state: State::Note,
            detail: reason.clone(),
            cure: Some("hosts that are not configured cannot be found without it".to_owned()),
        },
    }
}

fn api(probe: &ApiProbe) -> Finding {
    let check = probe.stream.clone();
    let Some((kind, reason)) = &probe.problem else {
        let detail = format!("{} answered in {} ms", probe.host, probe.took.as_millis());
        return Finding { check, state: State::Good, detail, cure: None };
    };
    use ProblemKind::{
        Forbidden, Gone, Html, Network, NoProgress, NoService, RateLimited, RefusedHost, Server, Unauthorized,
    };
    let (exit, cure) = match kind {
        Unauthorized => (
            Exit::Unauthorised,
            format!("401: check {}, the region and this machine's clock", probe.variables.join(", ")),
        ),
        Forbidden => (
            Exit::Unauthorised,
            "403: the credentials are valid, but may not read this; add the permission in Campaign Builder > Data Sources > API".to_owned(),
        ),
        Gone => (Exit::Unauthorised, "the account has no such data, or LivePerson has not enabled this API for it".to_owned()),
        NoService => (Exit::Usage, "set the credentials and [endpoints] that it names".to_owned()),
        RefusedHost => (Exit::Usage, "check [endpoints]".to_owned()),
        RateLimited => (Exit::RateLimits, "wait some minutes and try again".to_owned()),
        Network | NoProgress | Server | Html => {
            (Exit::Temporary, "check the network, proxy and firewall; else LivePerson is down: try again later".to_owned())
        }
        _ => (Exit::SomeFailed, "this answer is not what the API documents; try again, and report it if it stays".to_owned()),
    };
    // What may be missing is no fault of the account's.
    let is_optional = probe.mode == StreamMode::Auto && matches!(kind, Forbidden | Gone | NoService);
    let host = if probe.host.is_empty() { String::new() } else { format!("{}: ", probe.host) };
    Finding {
        check,
        state: if is_optional { State::Note } else { State::Bad(exit) },
        detail: format!("{host}{reason}"),
        cure: Some(cure),
    }
}

fn print(findings: &[Finding], origins: &[(String, String, String)], output: &Output) -> Result<(), Failure> {
    let word = |state: State| match state {
        State::Good => "ok",
        State::Note => "note",
        State::Bad(_) => "bad",
    };
    if output.for_machines() {
        let checks: Vec<Value> = findings
            .iter()
            .map(|finding| {
                json!({
                    "check": finding.check, "state": word(finding.state), "detail": finding.detail, "cure": finding.cure,
                })
            })
            .collect();
        let settings: Vec<Value> = origins
            .iter()
            .map(|(name, value, origin)| json!({ "name": name, "value": value, "from": origin }))
            .collect();
        return output.document(json!({ "checks": checks, "settings": settings }), "doctor");
    }
    for (name, value, origin) in origins {
        outln!("      {name} = {} ({origin})", printable(value));
    }
    for finding in findings {
        let mark = match finding.state {
            State::Good => output.styled(Style::Good, "ok   "),
            State::Note => "note ".into(),
            State::Bad(_) => output.styled(Style::Bad, "BAD  "),
        };
        outln!("{mark} {}: {}", finding.check, printable(&finding.detail));
        if let Some(cure) = &finding.cure {
            outln!("      {}", printable(cure));
        }
    }
    Ok(())
}
