//! What `verify` found, one finding at a time: how bad it is, what it touches, what to type next.

use chatvault::archive::VerifyReport;
use serde_json::{Value, json};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Bytes or history are lost or were changed.
    Critical,
    /// Nothing is lost; one command mends it.
    Mendable,
    /// Nothing is wrong yet.
    Note,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Mendable => "mendable",
            Severity::Note => "note",
        }
    }
}

/// Kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Database,
    Damaged,
    Missing,
    Unlisted,
    AlteredRow,
    Writable,
    Chain,
    Index,
    Evidence,
    OldEvidence,
    KnownDamage,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Database => "database",
            Kind::Damaged => "damaged",
            Kind::Missing => "missing",
            Kind::Unlisted => "unlisted",
            Kind::AlteredRow => "altered_row",
            Kind::Writable => "writable",
            Kind::Chain => "chain",
            Kind::Index => "index",
            Kind::Evidence => "evidence",
            Kind::OldEvidence => "old_evidence",
            Kind::KnownDamage => "known_damage",
        }
    }

    pub(super) fn severity(self) -> Severity {
        match self {
            Kind::Database | Kind::Damaged | Kind::Missing | Kind::AlteredRow | Kind::Chain | Kind::Evidence => {
                Severity::Critical
            }
            Kind::Unlisted | Kind::Index => Severity::Mendable,
            Kind::Writable | Kind::OldEvidence | Kind::KnownDamage => Severity::Note,
        }
    }

    /// The cure, as an instruction.
    pub(super) fn next(self) -> &'static str {
        match self {
            Kind::Database => {
                "put vault.db back from a backup; without one, `chatvault repair` says what can still be read of it"
            }
            Kind::Damaged | Kind::Missing => {
                "`chatvault repair` says whether it can be had again; if not, `chatvault import COPY`, with a copy of the same \
                 name from a backup, puts the archived bytes back"
            }
            Kind::Unlisted => {
                "`chatvault repair` takes it in, or says why it does not belong there and moves it to quarantine/, or, \
                 where it is a link, that you must"
            }
            Kind::AlteredRow => {
                "vault.db was changed by force: keep it, and compare it with a backup; `chatvault audit list` shows what \
                 the chain says"
            }
            Kind::Writable => "`chatvault repair --execute` makes it read-only again",
            Kind::Chain => {
                "vault.db was changed by force: keep it, and restore it from a backup; `chatvault audit check ANCHOR` \
                 tells whether an anchored head still holds"
            }
            Kind::Evidence => {
                "put it back from a backup, under the same path; `chatvault import` of the same damaged file keeps its bytes again"
            }
            Kind::OldEvidence => "nothing: the name is here whole by now",
            Kind::KnownDamage => {
                "`chatvault gaps` shows its hour; `chatvault sync` fetches it while LivePerson has it, `chatvault import COPY` \
                 takes a whole copy"
            }
            Kind::Index => {
                "`chatvault repair --execute`, or `chatvault index`; if that does not do, `chatvault index --rebuild`"
            }
        }
    }
}

/// One finding.
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// The file it is about, relative to the vault.
    pub(super) file: Option<String>,
    /// What is wrong, in words.
    pub(super) what: String,
}

/// All findings, the worst kinds first.
pub(super) fn findings(report: &VerifyReport, index_reason: Option<&str>, index_ok: bool) -> Vec<Finding> {
    let files = &report.files;
    let about = |kind: Kind, file: &str, what: String| Finding { kind, file: Some(file.to_owned()), what };
    let mut all = Vec::new();
    all.extend(files.damaged.iter().map(|file| about(Kind::Damaged, &file.file, file.reason.clone())));
    all.extend(files.missing.iter().map(|file| about(Kind::Missing, &file.file, "the file is gone".to_owned())));
    let altered = "the ledger's row does not agree with the audit chain";
    all.extend(files.altered_rows.iter().map(|file| about(Kind::AlteredRow, file, altered.to_owned())));
    if !report.chain.ok {
        let at = report.chain.broken_at.map(|row| format!(" at row {row} of {}", report.chain.rows));
        all.push(Finding {
            kind: Kind::Chain,
            file: None,
            what: format!("the audit chain is broken{}", at.unwrap_or_default()),
        });
    }
    let stray = "no row of the ledger names it";
    all.extend(files.unlisted.iter().map(|file| about(Kind::Unlisted, file, stray.to_owned())));
    if !index_ok {
        let what = index_reason.unwrap_or("the index does not cover the archive").to_owned();
        all.push(Finding { kind: Kind::Index, file: None, what });
    }
    let lost = |kind, superseded| {
        let of_kind = report.quarantine.lost.iter().filter(move |lost| lost.superseded == superseded);
        of_kind.map(move |lost| about(kind, &lost.file, lost.reason.clone()))
    };
    all.extend(lost(Kind::Evidence, false));
    all.extend(report.known_damage.iter().map(|name| {
        let kept = name.quarantined_as.as_deref().map(|path| format!("; what came is kept as {path}"));
        let what = match name.state {
            "missing" => "it is gone, and was never here whole".to_owned(),
            _ => format!("it came damaged and never whole{}", kept.unwrap_or_default()),
        };
        about(Kind::KnownDamage, &format!("{}/{}", name.stream, name.name), what)
    }));
    all.extend(lost(Kind::OldEvidence, true));
    all.extend(files.writable.iter().map(|file| about(Kind::Writable, file, "it is not read-only".to_owned())));
    all
}

impl Finding {
    pub(super) fn to_json(&self, conversations: &[String]) -> Value {
        json!({
            "kind": self.kind.name(), "severity": self.kind.severity().name(), "file": self.file, "what": self.what,
            "conversations": conversations, "next": self.kind.next(),
        })
    }
}
