//! `demo`: the whole story in one command, on the built-in simulated account over real HTTP.

use super::args::Demo;
use super::exit::{Exit, Failure};
use super::keys::Keys;
use super::output::{Output, bytes, counted, number};
use super::search::request;
use super::simulate::last_full_hour_ms;
use super::{absolute, hit, init, open_index, runtime, settings, shell_path, sync};
use chatvault::acquire::{OAuth1Keys, Secret};
use chatvault::search::search;
use chatvault::simulator::{Clock, Credentials, SimulatorConfig, WorldConfig, start};
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Searches that show what the language can do.
const SEARCHES: [(&str, &str); 3] = [
    ("refund", "every conversation with this word, whoever said it"),
    (
        "consumer:\"cancel my order\" OR (consumer:cancel w/3 order)",
        "what consumers said: a phrase, or two words close together",
    ),
    (
        "transfers:>=1 end_reason:visitor-disconnected queue:>60s",
        "outcome and times: passed on, waited over a minute, then left",
    ),
];

pub(crate) fn run(args: &Demo, vault: Option<&Path>, output: &Output) -> Result<Exit, Failure> {
    if output.for_machines() {
        return Err(Failure::usage("demo tells a story to people; it has no JSON")
            .hint("scripts use `chatvault simulate --json`, `sync --json` and `search --json`"));
    }
    let started = Instant::now();
    let runtime = runtime()?;
    let vault = folder(vault)?;
    let world = WorldConfig {
        seed: args.seed,
        conversations: args.conversations,
        end_ms: last_full_hour_ms(),
        ..WorldConfig::default()
    };
    let config = SimulatorConfig { world, clock: Clock::Wall, ..SimulatorConfig::default() };
    let simulator = runtime.block_on(start(config)).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let truth = simulator.world().truth();
    outln!("1. A simulated LivePerson account answers on {}", simulator.base_url());
    outln!(
        "   {} in {} of the last 72 hours. LivePerson deletes such files after 30 days.",
        counted(truth.conversations, "conversation"),
        counted(truth.files, "file"),
    );

    let account = simulator.world().config().account_id.clone();
    let (api, downloads) = (simulator.base_url(), simulator.download_base_url());
    let endpoints =
        format!("\n[endpoints]\ncsds = \"{api}\"\ndata_access = \"{api}\"\ndata_access_files = \"{downloads}\"\n");
    // The story is about files; what the account says beside them is for `simulate`.
    let settings = settings::template(&account, "va").replace("= \"auto\"", "= \"off\"") + &endpoints;
    let archive = init::create(&vault, &account, &settings)?;
    outln!("2. A vault: {}", shell_path(&vault));

    let keys = Credentials::default();
    let settings = settings::Settings::of_vault(&vault)?;
    let mut acquire = settings.acquire_with(OAuth1Keys {
        app_key: Secret::new(keys.app_key),
        app_secret: Secret::new(keys.app_secret),
        access_token: Secret::new(keys.access_token),
        access_token_secret: Secret::new(keys.access_token_secret),
    })?;
    // The account is on this machine: there is nobody to be polite to.
    acquire.requests_per_second = 1000.0;
    let sync_started = Instant::now();
    let keys = Keys::none();
    let report = sync::run_with(&runtime, &acquire, &archive, keys.options(settings.limits), output)?;
    let downloaded: u64 = report.acquired.streams.values().map(|stream| stream.downloaded).sum();
    let received: u64 = report.acquired.streams.values().map(|stream| stream.bytes).sum();
    outln!(
        "3. sync: signed requests over HTTP, each file hashed, checked and made durable before it counts, then indexed"
    );
    outln!(
        "   {} ({}; {} of JSON) with {} in {:.1} s",
        counted(downloaded, "file"),
        bytes(received),
        bytes(report.indexed.json_bytes),
        counted(report.indexed.conversations, "record"),
        sync_started.elapsed().as_secs_f64()
    );
    if !report.acquired.is_complete() || report.indexed.failures() > 0 || report.index_failure.is_some() {
        sync::print(&report, &keys, sync_started.elapsed().as_secs_f64(), output)?;
        return Ok(Exit::SomeFailed);
    }

    let reader = open_index(&vault)?;
    outln!("4. search: {} ready", counted(reader.document_count(), "conversation"));
    for (query, meaning) in SEARCHES {
        let mut request = request(query, &TimeZone::UTC, &vault)?;
        request.limit = Some(2);
        let asked = Instant::now();
        let answer = search(&reader, &request)?;
        let elapsed_ms = asked.elapsed().as_secs_f64() * 1000.0;
        outln!();
        outln!("   $ chatvault search '{query}'");
        outln!("   {meaning}: {} in {elapsed_ms:.1} ms", counted(answer.total, "conversation"));
        for at in 0..answer.hits.len() {
            let found = answer.hits.load(&reader, at, 1)?;
            out!("   ");
            hit::print(&found, &TimeZone::UTC, output);
        }
    }

    outln!();
    let agrees =
        reader.document_count() == truth.conversations && report.indexed.conversations == truth.conversation_records;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let verified = archive.verify(&|_| (), threads)?;
    outln!(
        "5. verify: {} re-read and unchanged, audit chain of {} rows unbroken: {}",
        counted(verified.files.checked, "file"),
        number(verified.chain.rows),
        if verified.is_ok() { "yes" } else { "NO" }
    );
    outln!(
        "   The account says {} conversations, the index holds {}: {}",
        number(truth.conversations),
        number(reader.document_count()),
        if agrees { "none is missing" } else { "THEY DIFFER" }
    );
    runtime.block_on(simulator.shutdown());
    outln!();
    outln!("Done in {:.1} s. The vault stays; go on with it:", started.elapsed().as_secs_f64());
    let vault = shell_path(&vault);
    outln!("  chatvault --vault {vault} search 'agent:sorry' --facets day,skill");
    outln!("  chatvault --vault {vault} stats");
    outln!("  chatvault --vault {vault} verify");
    Ok(if agrees && verified.is_ok() { Exit::Complete } else { Exit::Failed })
}

/// The vault's folder: the named one, which must be new, or a fresh one among the temporary files.
fn folder(named: Option<&Path>) -> Result<PathBuf, Failure> {
    match named {
        Some(named) => Ok(absolute(named)),
        None => Ok(tempfile::Builder::new().prefix("chatvault-demo-").tempdir()?.keep()),
    }
}
