//! `audit anchor` writes a head down; `audit check` compares it with the chain of today.

use super::super::exit::{Exit, Failure};
use super::super::output::{Output, Style, counted, json_time, printable};
use super::super::{now_ms, open, open_for_writing};
use super::write_document;
use chatvault::archive::{Archive, ArchiveError, Clock, Head, RealDisk, Rebuilt};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// The `type` of the document.
pub(super) const KIND: &str = "anchor";

pub(super) fn run(vault: &Path, out: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    let recorded = Archive::open_for_writing(vault, Arc::new(RealDisk), Clock::System)
        .and_then(|archive| Ok((archive.anchor()?, archive.account_id().to_owned())));
    let (head, account_id, is_recorded) = match recorded {
        Ok((head, account_id)) => (head, account_id, true),
        Err(
            error @ (ArchiveError::Locked { .. }
            | ArchiveError::ReadOnly { .. }
            | ArchiveError::PermissionDenied { .. }),
        ) => {
            let archive = open(vault)?;
            let (seq, hash) = archive
                .chain_head()?
                .ok_or_else(|| Failure::new(Exit::NotVerified, "the audit chain is empty").hint("restore vault.db"))?;
            output.note(&format!("not recorded in the chain: {}; the head is good all the same", one_line(&error)));
            (Head { seq, hash }, archive.account_id().to_owned(), false)
        }
        Err(error) => return Err(error.into()),
    };
    let document = json!({
        "schema_version": 1, "type": KIND, "account_id": account_id, "seq": head.seq, "hash": head.hash,
        "time": json_time(Some(now_ms())), "recorded": is_recorded,
    });
    write_document(&document, out)?;
    if let Some(out) = out {
        output.note(&format!("head {} {} written to {}", head.seq, head.hash, out.display()));
    }
    output.note("keep it where nobody who can write to this vault can; `chatvault audit check FILE` compares");
    Ok(Exit::Complete)
}

/// Compares an anchor with the vault.
pub(super) fn check(document: &Value, vault: &Path, output: &Output) -> Result<Exit, Failure> {
    let hash = document["hash"].as_str().and_then(|hash| hash.parse().ok());
    let (Some(seq), Some(hash)) = (document["seq"].as_u64(), hash) else {
        return Err(Failure::new(Exit::NotVerified, "the anchor names no head"));
    };
    let archive = open(vault)?;
    let check = archive.check_head(&Head { seq, hash })?;
    let is_ours = document["account_id"] == archive.account_id();
    let ok = check.ok && is_ours;
    let reason = match (&check.found, check.chain.broken_at) {
        _ if ok => format!("the chain holds it, with {} unchanged behind it", counted(check.chain.rows - seq, "row")),
        _ if !is_ours => format!("the anchor is of another account than {}", archive.account_id()),
        _ if check.rebuilt.is_some() => said_of_rebuilt(&Head { seq, hash }, check.rebuilt),
        (None, _) => format!("the chain ends at row {}: rows were cut off", check.chain.rows),
        (Some(found), _) if *found != hash => format!("row {seq} has another hash: the chain was made anew"),
        (_, Some(row)) => format!("row {row} was changed"),
        _ => "the chain does not hold it".to_owned(),
    };
    // Rows behind the head are not what the anchor vouches for, but nobody should have to find out elsewhere.
    let later = check.chain.broken_at.filter(|_| ok);
    let reason = match later {
        Some(row) => format!("the chain holds it, but row {row} behind it was changed; run `chatvault verify`"),
        None => reason,
    };
    if output.for_machines() {
        let document =
            json!({ "kind": KIND, "ok": ok, "seq": seq, "hash": hash, "chain": check.chain, "reason": reason });
        output.document(document, "check")?;
    } else {
        let verdict = if ok { output.styled(Style::Good, "accepted") } else { output.styled(Style::Bad, "REFUSED") };
        outln!("{verdict}: anchor {seq} {hash}: {}", printable(&reason));
    }
    Ok(if ok { Exit::Complete } else { Exit::NotVerified })
}

/// Why a chain that began anew cannot hold a head of the former one, and how far that one is known to have held.
fn said_of_rebuilt(head: &Head, rebuilt: Option<Rebuilt>) -> String {
    let time = rebuilt.and_then(|rebuilt| json_time(Some(rebuilt.time_ms)).as_str().map(str::to_owned));
    let former = match rebuilt.and_then(|rebuilt| rebuilt.former) {
        None => "nothing of the former chain could be read".to_owned(),
        Some(former) if former == *head => "the former one could be read unbroken up to this very head".to_owned(),
        Some(former) if former.seq < head.seq => {
            format!("the former one could be read unbroken up to row {}, in front of this head", former.seq)
        }
        Some(former) => format!(
            "the former one could be read unbroken up to row {}; its vault.db in quarantine/ may hold this head",
            former.seq
        ),
    };
    format!("vault.db was rebuilt at {}, and its chain begins anew there; {former}", time.unwrap_or_default())
}

/// Appends what `write` appends if the vault can be written to now; otherwise says why it was not.
pub(crate) fn record(vault: &Path, write: impl FnOnce(&Archive) -> Result<(), ArchiveError>) -> Result<(), String> {
    match open_for_writing(vault) {
        Ok(archive) => write(&archive).map_err(|error| one_line(&error)),
        Err(failure) => Err(printable(&failure.message).into_owned()),
    }
}

fn one_line(error: &ArchiveError) -> String {
    printable(&error.to_string()).into_owned()
}
