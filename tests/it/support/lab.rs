//! A simulated account on loopback ports, in this process, and vaults that sync from it.

use super::{Run, Vault, keys};
use chatvault::simulator::{Clock, Credentials, Script, Simulator, SimulatorConfig, WorldConfig, start};
use std::time::{SystemTime, UNIX_EPOCH};

const HOUR_MS: i64 = 3_600_000;

/// An account whose files cover the last hours up to the last full one.
pub(crate) fn world(conversations: u64, hours: u32) -> WorldConfig {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    WorldConfig { conversations, hours, end_ms: now_ms.div_euclid(HOUR_MS) * HOUR_MS, ..WorldConfig::default() }
}

/// A running account.
pub(crate) struct Lab {
    pub(crate) simulator: Simulator,
    // After the simulator, which lives on it.
    _runtime: tokio::runtime::Runtime,
}

impl Lab {
    pub(crate) fn new(world: WorldConfig, script: Script) -> Lab {
        Lab::with(SimulatorConfig { world, script, ..Lab::config() })
    }

    /// Settings of a well-behaved account, to be changed by a test.
    pub(crate) fn config() -> SimulatorConfig {
        SimulatorConfig {
            world: world(100, 12),
            credentials: keys(),
            clock: Clock::Wall,
            job_delay_ms: 0,
            gzip_level: 1,
            ..SimulatorConfig::default()
        }
    }

    pub(crate) fn with(config: SimulatorConfig) -> Lab {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let simulator = runtime.block_on(start(config)).unwrap();
        Lab { simulator, _runtime: runtime }
    }

    pub(crate) fn account(&self) -> &str {
        &self.simulator.world().config().account_id
    }

    /// The `vault.toml` that leads here.
    pub(crate) fn settings(&self) -> String {
        let (api, downloads) = (self.simulator.base_url(), self.simulator.download_base_url());
        format!(
            "[account]\nid = \"{}\"\n[sync]\nstart = \"2d\"\nrequests_per_second = 1000.0\n[endpoints]\n\
             csds = \"{api}\"\ndata_access = \"{api}\"\ndata_access_files = \"{downloads}\"\n",
            self.account()
        )
    }

    /// A new vault whose settings also follow the history APIs. `start`: how far back.
    #[track_caller]
    pub(crate) fn history_vault(&self, start: &str) -> Vault {
        let vault = Vault::new(self.account());
        let api = self.simulator.base_url();
        let endpoints =
            ["msgHist", "engHistDomain", "sentinel", "agentVep"].map(|name| format!("{name} = \"{api}\"\n"));
        let streams = "[streams]\n\"messaging-interactions\" = \"on\"\n\"engagement-history\" = \"on\"\n";
        let settings = format!("{}{}{streams}", self.settings(), endpoints.concat());
        let settings = settings.replace("start = \"2d\"", &format!("start = \"{start}\""));
        std::fs::write(vault.path().join("vault.toml"), settings).unwrap();
        vault
    }

    /// A new vault whose settings bring nothing but the operational figures. `mode`: `on` or `auto`.
    #[track_caller]
    pub(crate) fn figures_vault(&self, mode: &str) -> Vault {
        let vault = Vault::new(self.account());
        let api = self.simulator.base_url();
        let endpoints = ["msgHist", "leDataReporting", "msgEwtAPI"].map(|name| format!("{name} = \"{api}\"\n"));
        let streams = ["operational-realtime", "messaging-operations", "agent-metrics"];
        let streams = streams.map(|name| format!("\"{name}\" = \"{mode}\"\n"));
        let files = "[streams]\n\"data-access/engagement\" = \"off\"\n";
        let settings = format!("{}{}{files}{}", self.settings(), endpoints.concat(), streams.concat());
        std::fs::write(vault.path().join("vault.toml"), settings).unwrap();
        vault
    }

    /// A new vault whose settings lead to the account.
    #[track_caller]
    pub(crate) fn vault(&self) -> Vault {
        let vault = Vault::new(self.account());
        std::fs::write(vault.path().join("vault.toml"), self.settings()).unwrap();
        vault
    }

    /// A new vault and its first sync.
    #[track_caller]
    pub(crate) fn synced(&self) -> (Vault, Run) {
        let vault = self.vault();
        let run = vault.run(&["--json", "sync"]);
        (vault, run)
    }

    /// The first sync of a new vault, with other keys.
    pub(crate) fn sync_with(&self, vault: &Vault, keys: &Credentials) -> Run {
        let mut command = vault.command(&["sync"]);
        command
            .env("CHATVAULT_APP_KEY", &keys.app_key)
            .env("CHATVAULT_APP_SECRET", &keys.app_secret)
            .env("CHATVAULT_ACCESS_TOKEN", &keys.access_token)
            .env("CHATVAULT_ACCESS_TOKEN_SECRET", &keys.access_token_secret);
        Run::of(command.output().unwrap())
    }
}
