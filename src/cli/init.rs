//! `init`: a new vault and a commented `vault.toml`.

use super::args::Init;
use super::exit::{Exit, Failure};
use super::output::Output;
use super::{settings, shell_path};
use chatvault::archive::{Archive, Clock, RealDisk};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn run(args: &Init, output: &Output) -> Result<Exit, Failure> {
    check_account(&args.account)?;
    create(&args.dir, &args.account, &settings::template(&args.account, &args.region))?;
    if output.for_machines() {
        output.document(json!({ "vault": args.dir, "account_id": args.account }), "init")?;
        return Ok(Exit::Complete);
    }
    let vault = shell_path(&args.dir);
    output.note(&format!("Made the vault {vault} for account {}.", args.account));
    output.note("Next: set the four CHATVAULT_… keys and run");
    output.note(&format!("  chatvault --vault {vault} sync"));
    output.note("or take in files that you have:");
    output.note(&format!("  chatvault --vault {vault} import PATH"));
    Ok(Exit::Complete)
}

/// Account numbers are digits; anything else would end up in URLs and paths.
pub(super) fn check_account(account: &str) -> Result<(), Failure> {
    if account.is_empty() || account.len() > 20 || !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::usage(format!("{account:?} is not a LivePerson account number"))
            .hint("it is the number in the address of Conversational Cloud, such as 75555851"));
    }
    Ok(())
}

/// Makes the vault. The settings are written last: a folder without them is not a vault yet, and `init` may be run again.
pub(super) fn create(folder: &Path, account: &str, settings: &str) -> Result<Archive, Failure> {
    let archive = Archive::create(folder, account, Arc::new(RealDisk), Clock::System)?;
    write_settings(folder, settings)?;
    Ok(archive)
}

/// Writes `vault.toml`, whole or not at all, unless there is one.
pub(super) fn write_settings(folder: &Path, settings: &str) -> Result<(), Failure> {
    let path = folder.join(settings::FILE);
    // A file that is there already was put there by a person: it stays.
    if !path.exists() {
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(settings.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))?;
    }
    Ok(())
}
