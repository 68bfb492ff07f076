//! A simulated LivePerson account, served over real HTTP on loopback.
//!
//! Takes: a seed, a size and a script of faults.
//! Gives: the Domain, token, Data Access, messaging and chat history APIs, and the exact truth about them.
//! Promises: equal settings give equal bytes; memory does not grow with the account.
//! Never: imports another module of this crate, so it stays an independent witness; no real data.
//! Start reading at: `world.rs` and `messaging.rs` for the account, `routes.rs` for HTTP.

mod answer;
mod body;
mod calendar;
mod corpus;
mod delivery;
mod dice;
mod history;
pub mod messaging;
pub mod oauth;
mod operations;
mod others;
mod plan;
mod request;
mod routes;
pub mod script;
mod server;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod vocab;
pub mod wire;
pub mod world;

pub use body::{BodyError, BodyOptions, BodySize, write_file, write_json};
pub use calendar::{FileForm, FileSpec, FormMix, HOUR_MS};
pub use corpus::{CorpusError, CorpusSummary, write_corpus};
pub use history::TruthEngagement;
pub use messaging::{MessagingConfig, MessagingWorld, Role, TruthMessaging, TruthSde, TruthTurn};
pub use oauth::Credentials;
pub use plan::{BOTS, SKILLS};
pub use routes::RETENTION_MS;
pub use script::{Appears, Fault, LateFiles, RequestKind, Rule, Script, Target};
pub use server::{Clock, RequestCounts, Simulator, SimulatorConfig, SimulatorError, start};
pub use tokens::{ClientCredentials, TokenConfig, UserCredentials};
pub use vocab::LANGUAGES;
pub use world::{Truth, TruthConversation, TruthMessage, World, WorldConfig, WorldError};
