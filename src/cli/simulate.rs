//! `simulate`: a LivePerson account on a loopback port, for trying things out and for tests.

use super::args::Simulate;
use super::exit::{Exit, Failure};
use super::output::{Output, bytes, counted};
use super::{runtime, shell_path};
use chatvault::simulator::{
    BodyOptions, ClientCredentials, Clock, Credentials, HOUR_MS, MessagingConfig, Script, Simulator, SimulatorConfig,
    SimulatorError, UserCredentials, WorldConfig, start, write_corpus,
};
use serde_json::json;

pub(crate) fn run(args: &Simulate, output: &Output) -> Result<Exit, Failure> {
    let world = WorldConfig {
        seed: args.seed,
        account_id: args.account.clone(),
        conversations: args.conversations,
        end_ms: args.end.unwrap_or_else(last_full_hour_ms),
        hours: args.hours,
        ..WorldConfig::default()
    };
    if let Some(folder) = &args.write {
        let written = write_corpus(folder, &world, BodyOptions::default())
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        output.note(&format!(
            "wrote {} with {} ({}, {} of JSON) to {}",
            counted(written.files, "file"),
            counted(written.conversation_records, "conversation record"),
            bytes(written.compressed_bytes),
            bytes(written.json_bytes),
            shell_path(folder),
        ));
        return Ok(Exit::Complete);
    }
    let script = Script::by_name(&args.script).ok_or_else(|| {
        Failure::usage(format!("{:?} is not a script", args.script))
            .hint(format!("known: {}", Script::NAMES.join(", ")))
    })?;
    let messaging = MessagingConfig { conversations: args.messaging, ..MessagingConfig::default() };
    let usual = SimulatorConfig { other_data_types: true, ..SimulatorConfig::default() };
    let config = SimulatorConfig { world, messaging, port: args.port, script, clock: Clock::Wall, ..usual };
    let runtime = runtime()?;
    runtime.block_on(async {
        let simulator = start(config).await.map_err(|error| match error {
            SimulatorError::World(_) => Failure::usage(error.to_string()),
            SimulatorError::Listen { .. } => Failure::new(Exit::Failed, error.to_string())
                .hint("choose another port with --port, or --port 0 for any free one"),
        })?;
        let truth = simulator.world().truth();
        if output.for_machines() {
            let document = json!({
                "base_url": simulator.base_url(), "download_base_url": simulator.download_base_url(),
                "account_id": args.account,
                "files": truth.files, "records": truth.records, "conversation_records": truth.conversation_records,
                "conversations": truth.conversations, "messages": truth.messages, "transfers": truth.transfers,
                "messaging_conversations": messaging_started(&simulator),
            });
            output.document(document, "simulator")?;
        } else {
            print_instructions(args, &simulator, &truth);
        }
        let _ = tokio::signal::ctrl_c().await;
        simulator.shutdown().await;
        Ok(Exit::Complete)
    })
}

/// The end of the last hour whose files exist by now: LivePerson makes them some minutes after the hour is over.
pub(super) fn last_full_hour_ms() -> i64 {
    let made_ms = jiff::Timestamp::now().as_millisecond() - SimulatorConfig::default().job_delay_ms;
    made_ms - made_ms.rem_euclid(HOUR_MS)
}

/// Messaging conversations that have started by now; more start as time goes on.
fn messaging_started(simulator: &Simulator) -> u64 {
    let started = simulator.messaging().started(simulator.now_ms());
    started.end - started.start
}

fn print_instructions(args: &Simulate, simulator: &Simulator, truth: &chatvault::simulator::Truth) {
    let (api, downloads) = (simulator.base_url(), simulator.download_base_url());
    let (keys, client, user) = (Credentials::default(), ClientCredentials::default(), UserCredentials::default());
    outln!(
        "simulating account {}: {} in {} ({} with revisions)",
        args.account,
        counted(truth.conversations, "conversation"),
        counted(truth.files, "file"),
        counted(truth.conversation_records, "record"),
    );
    outln!(
        "and {} of messaging so far, in an account that goes on",
        counted(messaging_started(simulator), "conversation")
    );
    outln!("make a vault for it in another terminal:");
    outln!();
    outln!("  chatvault init demo-vault --account {}", args.account);
    outln!("  cat >> demo-vault/vault.toml <<'END'");
    outln!("  [endpoints]");
    outln!("  csds = \"{api}\"");
    outln!("  data_access = \"{api}\"");
    outln!("  data_access_files = \"{downloads}\"");
    for service in ["msgHist", "engHistDomain", "leDataReporting", "msgEwtAPI", "sentinel", "agentVep"] {
        outln!("  {service} = \"{api}\"");
    }
    outln!("  END");
    outln!("  export CHATVAULT_APP_KEY={} CHATVAULT_APP_SECRET={}", keys.app_key, keys.app_secret);
    outln!("  export CHATVAULT_ACCESS_TOKEN={}", keys.access_token);
    outln!("  export CHATVAULT_ACCESS_TOKEN_SECRET={}", keys.access_token_secret);
    outln!("  export CHATVAULT_CLIENT_ID={} CHATVAULT_CLIENT_SECRET={}", client.client_id, client.client_secret);
    outln!("  export CHATVAULT_USERNAME={} CHATVAULT_PASSWORD={}", user.username, user.password);
    outln!("  chatvault --vault demo-vault sync");
    outln!();
    outln!("Ctrl-C ends the simulation.");
}
