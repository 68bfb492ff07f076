//! The account's messaging conversations: which there are, and what each says at a given instant.
//!
//! A conversation is planned from (seed, number) alone, and its id can be turned back into its
//! number, so an account of any size costs the hour table only. What a reader sees is the plan cut
//! at `now`: messages arrive, the conversation closes, and scores, surveys and the rest come later.

pub(super) mod figures;
mod plan;
mod record;
mod sde;
pub(super) mod search;
pub(super) mod segments;
mod talk;
mod truth;

use std::collections::BTreeSet;
use std::ops::Range;

use super::calendar::{Allocation, Calendar, FormMix, HOUR_MS};
use super::dice::mix;
use super::plan::Speaker;
use super::world::{WorldConfig, WorldError};
use plan::Plan;

pub(super) use record::time_text;
pub(super) use sde::strings;
pub use talk::Role;
pub use truth::{TruthMessaging, TruthSde, TruthTurn};

/// The text LivePerson puts in the place of deleted personal data.
pub const MASK: &str = "** LP deleted data **";

/// Sets the chance of messaging apart from that of the chats.
const SALT: u64 = 0x6D65_7373_6167_6521;
const ID_STREAM: u64 = 51;
const PLACE_STREAM: u64 = 52;
/// Low bits of an id that hold the number of its conversation.
const NODE_BITS: u64 = (1 << 48) - 1;
/// Far below what the bits of an id hold.
const MOST_CONVERSATIONS: u64 = 1 << 40;
/// LivePerson keeps 13 months.
const MOST_DAYS: u32 = 396;
const MOST_DAYS_AHEAD: u32 = 90;
const DAY_HOURS: u32 = 24;

/// What messaging conversations to simulate. Seed, account and end are those of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagingConfig {
    /// Number of conversations, from 0; those that start after `now` do not exist yet.
    pub conversations: u64,
    /// Days before the end of the account over which they start, 1 to 396.
    pub days: u32,
    /// Days after it, 0 to 90, for clocks that go on.
    pub days_ahead: u32,
    /// Closed conversations whose personal data LivePerson deletes some days later, per thousand.
    pub erased_permille: u32,
    /// Late changes that do not move `latestUpdateTime`, per thousand.
    pub unannounced_permille: u32,
    /// Conversations that list searches cut (`isPartial`), per thousand.
    pub cut_permille: u32,
}

impl Default for MessagingConfig {
    fn default() -> Self {
        Self {
            conversations: 600,
            days: 30,
            days_ahead: 2,
            erased_permille: 20,
            unannounced_permille: 60,
            cut_permille: 15,
        }
    }
}

/// The messaging side of the account.
#[derive(Debug)]
pub struct MessagingWorld {
    config: MessagingConfig,
    account: String,
    seed: u64,
    calendar: Calendar,
}

impl MessagingWorld {
    /// Checks the settings and lays out the hours in which conversations start.
    ///
    /// # Errors
    /// [`WorldError`] for a span that LivePerson does not keep, or more conversations than there are ids.
    pub fn new(account: &WorldConfig, config: MessagingConfig) -> Result<Self, WorldError> {
        let MessagingConfig { days, days_ahead, .. } = config;
        if !(1..=MOST_DAYS).contains(&days) || days_ahead > MOST_DAYS_AHEAD {
            return Err(WorldError::MessagingSpan { days, days_ahead });
        }
        if config.conversations > MOST_CONVERSATIONS {
            return Err(WorldError::MessagingCount(config.conversations));
        }
        let seed = account.seed ^ SALT;
        let calendar = Calendar::new(&Allocation {
            seed,
            end_ms: account.end_ms + i64::from(days_ahead * DAY_HOURS) * HOUR_MS,
            hours: (days + days_ahead) * DAY_HOURS,
            conversations: config.conversations,
            parts_per_hour: 1,
            conversations_per_part: u64::MAX,
            revised_permille: 0,
            forms: FormMix::NdjsonOnly,
        });
        Ok(Self { config, account: account.account_id.clone(), seed, calendar })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &MessagingConfig {
        &self.config
    }

    /// The id of conversation `index`: a random UUID in looks.
    #[must_use]
    pub fn id_of(&self, index: u64) -> String {
        let random = mix(self.seed, ID_STREAM, index);
        let node = (index ^ self.node_mask(random >> 32)) & NODE_BITS;
        let (high, middle) = (random >> 32, random >> 16 & 0xFFFF);
        let (version, variant) = (0x4000 | random & 0x0FFF, 0x8000 | random >> 4 & 0x3FFF);
        format!("{high:08x}-{middle:04x}-{version:04x}-{variant:04x}-{node:012x}")
    }

    /// The number of the conversation with this id.
    #[must_use]
    pub fn index_of(&self, id: &str) -> Option<u64> {
        let high = u64::from_str_radix(id.get(..8)?, 16).ok()?;
        let node = u64::from_str_radix(id.get(24..)?, 16).ok()?;
        let index = (node ^ self.node_mask(high)) & NODE_BITS;
        (index < self.config.conversations && self.id_of(index) == id).then_some(index)
    }

    /// Numbers of the conversations that have started, oldest first.
    #[must_use]
    pub fn started(&self, now_ms: i64) -> Range<u64> {
        0..self.starting(i64::MIN, now_ms).end
    }

    /// What is true of conversation `index` at an instant; none before it starts.
    #[must_use]
    pub fn conversation(&self, index: u64, now_ms: i64) -> Option<TruthMessaging> {
        let started = index < self.config.conversations && self.start_ms(index) <= now_ms;
        started.then(|| truth::of(self, &self.plan(index), now_ms))
    }

    /// The truth about every conversation that has started, oldest first.
    pub fn truth(&self, now_ms: i64) -> impl Iterator<Item = TruthMessaging> + '_ {
        self.started(now_ms).filter_map(move |index| self.conversation(index, now_ms))
    }

    /// Ids of the human agents who have an open conversation at an instant.
    #[must_use]
    pub fn busy_agents(&self, now_ms: i64) -> BTreeSet<String> {
        figures::loads(self, now_ms).into_keys().map(|agent| talk::agent_id(Speaker::Agent(agent))).collect()
    }

    /// Numbers of the conversations that start in `from_ms..=to_ms`: starts rise with the number.
    fn starting(&self, from_ms: i64, to_ms: i64) -> Range<u64> {
        let first = |holds: &dyn Fn(i64) -> bool| {
            let (mut low, mut high) = (0, self.config.conversations);
            while low < high {
                let middle = low + (high - low) / 2;
                if holds(self.start_ms(middle)) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            low
        };
        first(&|start_ms| start_ms >= from_ms)..first(&|start_ms| start_ms > to_ms)
    }

    /// When conversation `index` starts, epoch milliseconds.
    fn start_ms(&self, index: u64) -> i64 {
        let hour = self.calendar.hour_of(index);
        let all = self.calendar.conversations_in(hour);
        let jitter = mix(self.seed, PLACE_STREAM, index) % HOUR_MS as u64;
        let place = index.saturating_sub(all.start) * HOUR_MS as u64 + jitter;
        self.calendar.hour_start_ms(hour) + (place / (all.end - all.start).max(1)) as i64
    }

    fn plan(&self, index: u64) -> Plan {
        Plan::new(self.seed, &self.config, index, self.start_ms(index))
    }

    fn node_mask(&self, high: u64) -> u64 {
        mix(self.seed, ID_STREAM + 100, high)
    }
}
