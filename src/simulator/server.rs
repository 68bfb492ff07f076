//! HTTP on loopback: starting, stopping, clock and counters of the simulated account.
//!
//! Two ports are bound: the API's, and the one that listings name for downloads, because
//! LivePerson's hrefs name another host than the listing's and must be signed for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Request;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::delivery::Making;
use super::messaging::figures::MOST_AGENTS;
use super::messaging::{MessagingConfig, MessagingWorld};
use super::oauth::{Credentials, Verifier};
use super::routes::{Door, Shared, answer};
use super::script::{RequestKind, Script, Stage};
use super::tokens::{TokenConfig, Tokens};
use super::world::{World, WorldConfig, WorldError};

/// How long open answers may take to end at shutdown.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);
/// Value of the clock cell that stands for the computer's clock.
const WALL: i64 = i64::MIN;

/// The simulated account's clock; it decides which files exist already or have expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// Stands still just after the newest file was generated.
    #[default]
    WorldEnd,
    /// Stands still at this instant, epoch milliseconds.
    Fixed(i64),
    /// The computer's clock.
    Wall,
}

/// What to simulate and how it behaves.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// The account.
    pub world: WorldConfig,
    /// Port of the API on 127.0.0.1; 0 for any free one.
    pub port: u16,
    /// Port of the downloads; 0 for any free one.
    pub download_port: u16,
    /// False when the API's own host and port shall be named for downloads.
    pub separate_download_host: bool,
    /// Host name in download addresses: `127.0.0.1` or `localhost`.
    pub download_host: String,
    /// The API key that is accepted.
    pub credentials: Credentials,
    /// Who gets bearer tokens, and how long they live.
    pub tokens: TokenConfig,
    /// The messaging conversations of the account.
    pub messaging: MessagingConfig,
    /// Searches refuse an `offset` + `limit` beyond this. LivePerson documents no limit; 10 000 is Elasticsearch's.
    pub max_result_window: u32,
    /// Agents on one page of Agent Metrics, however many are asked for. LivePerson allows 2500.
    pub agents_per_page: u32,
    /// Faults and late files.
    pub script: Script,
    /// Requests per second beyond which the answer is 429; none for no limit.
    pub rate_limit_per_second: Option<u32>,
    /// The account's clock.
    pub clock: Clock,
    /// Time from the end of a window to the existence of its files.
    pub job_delay_ms: i64,
    /// Level of compression of the files, 0 to 9.
    pub gzip_level: u32,
    /// Files with more records are streamed without a length; the default is some 70 MB of JSON.
    pub records_in_memory: u64,
    /// Data Access has agent activity, surveys and web sessions too; else they are not enabled for the account.
    pub other_data_types: bool,
    /// Folder that [`write_corpus`](super::write_corpus) filled with this account: downloads are read from it instead of being
    /// made anew, so that a benchmark of a client does not measure the making.
    pub ready_files: Option<PathBuf>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            world: WorldConfig::default(),
            port: 0,
            download_port: 0,
            separate_download_host: true,
            download_host: "127.0.0.1".to_owned(),
            credentials: Credentials::default(),
            tokens: TokenConfig::default(),
            messaging: MessagingConfig::default(),
            max_result_window: 10_000,
            agents_per_page: MOST_AGENTS,
            script: Script::default(),
            rate_limit_per_second: None,
            clock: Clock::default(),
            job_delay_ms: 300_000,
            gzip_level: 6,
            records_in_memory: 8_000,
            other_data_types: false,
            ready_files: None,
        }
    }
}

/// The simulator could not start.
#[derive(Debug, Error)]
pub enum SimulatorError {
    /// The account is impossible.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A port is not to be had.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The wished port, 0 for any.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
}

/// How many requests of each kind arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestCounts {
    /// Domain API.
    pub domain: u64,
    /// Base resource and schema.
    pub resource: u64,
    /// Listings.
    pub listing: u64,
    /// Downloads.
    pub download: u64,
    /// Tokens of the authorization server.
    pub token: u64,
    /// Login, refresh and logout.
    pub login: u64,
    /// Searches of messaging conversations.
    pub messaging_search: u64,
    /// Messaging conversations by id.
    pub messaging_by_id: u64,
    /// Searches of chats.
    pub history_search: u64,
    /// Operational Realtime and Messaging Operations.
    pub operations: u64,
    /// Agent Metrics.
    pub agent_metrics: u64,
    /// Any other address.
    pub unknown: u64,
    /// Refused for their signature or bearer (also counted by kind).
    pub refused: u64,
}

/// Counters behind [`RequestCounts`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    by_kind: [AtomicU64; RequestKind::COUNT],
    pub(super) unknown: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Listings that were answered with files.
    pub(super) listings_answered: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, kind: RequestKind) {
        self.by_kind[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> RequestCounts {
        let kind = |kind: RequestKind| self.by_kind[kind as usize].load(Ordering::Relaxed);
        RequestCounts {
            domain: kind(RequestKind::Domain),
            resource: kind(RequestKind::Resource),
            listing: kind(RequestKind::Listing),
            download: kind(RequestKind::Download),
            token: kind(RequestKind::Token),
            login: kind(RequestKind::Login),
            messaging_search: kind(RequestKind::MessagingSearch),
            messaging_by_id: kind(RequestKind::MessagingById),
            history_search: kind(RequestKind::HistorySearch),
            operations: kind(RequestKind::Operations),
            agent_metrics: kind(RequestKind::AgentMetrics),
            unknown: self.unknown.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// The account's clock, which a test may set.
#[derive(Debug)]
pub(super) struct ClockCell(AtomicI64);

impl ClockCell {
    pub(super) fn now_ms(&self) -> i64 {
        match self.0.load(Ordering::Relaxed) {
            WALL => wall_ms(),
            fixed => fixed,
        }
    }
}

/// The computer's clock, epoch milliseconds.
pub(super) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A running simulated account. Dropping it stops it at once.
#[derive(Debug)]
pub struct Simulator {
    api: SocketAddr,
    download_origin: String,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

/// Binds both ports and starts to answer.
///
/// # Errors
/// [`SimulatorError`]: the account is impossible or a port is taken.
pub async fn start(config: SimulatorConfig) -> Result<Simulator, SimulatorError> {
    let world = Arc::new(World::new(config.world)?);
    let messaging = MessagingWorld::new(world.config(), config.messaging)?;
    let (api_listener, api) = listen(config.port).await?;
    let (download_listener, download) = listen(config.download_port).await?;
    let download_origin = match config.separate_download_host {
        true => format!("http://{}:{}", config.download_host, download.port()),
        false => format!("http://{api}"),
    };
    let now_ms = match config.clock {
        Clock::WorldEnd => world.config().end_ms + config.job_delay_ms,
        Clock::Fixed(instant_ms) => instant_ms,
        Clock::Wall => WALL,
    };
    let shared = Arc::new(Shared {
        api_host: api.to_string(),
        download_origin: download_origin.clone(),
        downloads_at_api: !config.separate_download_host,
        evil_names: config.script.evil_names(),
        stage: Stage::new(config.script),
        tokens: Tokens::new(config.tokens, config.credentials.clone(), &world.config().account_id, world.config().seed)
            .into(),
        verifier: Verifier::new(config.credentials).into(),
        messaging: Arc::new(messaging),
        max_result_window: config.max_result_window,
        agents_per_page: config.agents_per_page,
        clock: ClockCell(AtomicI64::new(now_ms)),
        counters: Counters::default(),
        cache: Default::default(),
        recent: Default::default(),
        rate_limit_per_second: config.rate_limit_per_second,
        job_delay_ms: config.job_delay_ms,
        other_data_types: config.other_data_types,
        making: Making {
            gzip_level: config.gzip_level,
            records_in_memory: config.records_in_memory,
            ready_files: config.ready_files,
        },
        world,
    });
    let (stop, stopped) = watch::channel(false);
    let servers = [(api_listener, Door::Api), (download_listener, Door::Download)]
        .map(|(listener, door)| serve(listener, door, Arc::clone(&shared), stopped.clone()));
    Ok(Simulator { api, download_origin, shared, stop, servers: servers.into() })
}

impl Simulator {
    /// `http://127.0.0.1:PORT` of the API.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// Origin that listings name for downloads.
    #[must_use]
    pub fn download_base_url(&self) -> String {
        self.download_origin.clone()
    }

    /// The account that is served.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.shared.world
    }

    /// The account's messaging conversations.
    #[must_use]
    pub fn messaging(&self) -> &MessagingWorld {
        &self.shared.messaging
    }

    /// Ends every bearer token and login session issued so far.
    pub fn expire_tokens(&self) {
        self.shared.tokens.lock().unwrap_or_else(PoisonError::into_inner).revoke_all();
    }

    /// Requests that arrived so far.
    #[must_use]
    pub fn requests(&self) -> RequestCounts {
        self.shared.counters.read()
    }

    /// The account's clock, epoch milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// Sets the account's clock; it stands still from then on.
    pub fn set_now_ms(&self, instant_ms: i64) {
        self.shared.clock.0.store(instant_ms, Ordering::Relaxed);
    }

    /// Stops to accept, lets open answers end for two seconds at most, and stops.
    pub async fn shutdown(mut self) {
        // The receivers may be gone already; then there is nothing left to stop.
        let _ = self.stop.send(true);
        for server in self.servers.drain(..) {
            let abort = server.abort_handle();
            if tokio::time::timeout(SHUTDOWN_PATIENCE, server).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), SimulatorError> {
    let failed = |source| SimulatorError::Listen { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn serve(listener: TcpListener, door: Door, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    let router = Router::new().fallback(move |request: Request| {
        let shared = Arc::clone(&shared);
        async move { answer(&shared, door, request).await }
    });
    tokio::spawn(async move {
        let stop = async move {
            // An error means that the simulator was dropped: stop as well.
            let _ = stopped.wait_for(|&stop| stop).await;
        };
        // axum's server never returns an error by itself.
        let _ = axum::serve(listener, router).with_graceful_shutdown(stop).await;
    })
}
