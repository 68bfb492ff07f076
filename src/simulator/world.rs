//! The simulated account: from a seed to files, conversations and the exact truth about them.
//!
//! Nothing is held in memory but the hour table, so an account of ten million conversations costs
//! no more than one of ten. The truth is what a tester compares an archive or an index with.

use std::ops::Range;

use thiserror::Error;

use super::calendar::{Allocation, Calendar, FileSpec, FormMix, HOUR_MS};
use super::plan::{Plan, Planned, SKILLS, Setting, Speaker, Style, agent_name, agent_number, has_id, index_of_digits};
use super::text::{Writer, push_number};

/// Most hours an account may span (the retention of 30 days).
const MAX_HOURS: u32 = 720;

/// What account to simulate. Equal settings give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldConfig {
    /// Source of all chance.
    pub seed: u64,
    /// Account number: digits.
    pub account_id: String,
    /// Number of distinct conversations, from 0.
    pub conversations: u64,
    /// End of the newest generating window, epoch milliseconds on the hour, exclusive.
    pub end_ms: i64,
    /// Number of hourly windows, 1 to 720.
    pub hours: u32,
    /// Most parts an hour is split into for variety; 1 switches that off.
    pub parts_per_hour: u32,
    /// Conversations after which an hour is split in any case.
    pub conversations_per_part: u64,
    /// Layouts of the files.
    pub forms: FormMix,
    /// Conversations without an id (the defect of 2017) per million.
    pub id_less_per_million: u32,
    /// Conversations told again in a later file with more messages, per thousand.
    pub revised_permille: u32,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            account_id: "40112233".to_owned(),
            conversations: 7_200,
            end_ms: 1_772_409_600_000,
            hours: 72,
            parts_per_hour: 3,
            conversations_per_part: 20_000,
            forms: FormMix::Mixed,
            id_less_per_million: 200,
            revised_permille: 7,
        }
    }
}

/// Settings no account can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WorldError {
    /// The account number holds something else than 1 to 20 digits.
    #[error("account number {0:?} is not a number of 1 to 20 digits")]
    Account(String),
    /// The end is not on the hour, or file names would not have 13-digit times.
    #[error("end of the account {0} ms is not an hour between 2001 and 2286")]
    End(i64),
    /// The span is empty or longer than the files live.
    #[error("an account spans 1 to 720 hours, not {0}")]
    Hours(u32),
    /// More messaging conversations than the simulation has ids for.
    #[error("an account has at most 2^40 messaging conversations, not {0}")]
    MessagingCount(u64),
    /// The messaging conversations span nothing or more than LivePerson keeps.
    #[error("messaging conversations span 1 to 396 days and at most 90 days ahead, not {days} and {days_ahead}")]
    MessagingSpan {
        /// Days before the end of the account.
        days: u32,
        /// Days after it.
        days_ahead: u32,
    },
}

/// Exact counts over all files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Truth {
    /// Files.
    pub files: u64,
    /// Top-level JSON values.
    pub records: u64,
    /// Conversation records, revisions counted too.
    pub conversation_records: u64,
    /// Distinct conversations; each one without an id counts.
    pub conversations: u64,
    /// Messages of the latest telling of each conversation.
    pub messages: u64,
    /// Transfers of the same.
    pub transfers: u64,
}

/// One conversation as a reader should find it, in its latest telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthConversation {
    /// Its number in the account.
    pub index: u64,
    /// Its id; none for records with the defect of 2017.
    pub id: Option<String>,
    /// Entering the queue, epoch milliseconds.
    pub start_ms: i64,
    /// Connected to an agent, epoch milliseconds.
    pub connect_ms: i64,
    /// End, epoch milliseconds.
    pub end_ms: i64,
    /// End reason code.
    pub end_reason: i64,
    /// True for messaging, false for a live chat.
    pub messaging: bool,
    /// Numbers of all skills, the last one being the final skill.
    pub skills: Vec<i64>,
    /// Number of the last agent.
    pub agent_id: String,
    /// Meaningful conversation score.
    pub mcs: Option<u32>,
    /// Hand-overs: from skill, to skill.
    pub transfers: Vec<(i64, i64)>,
    /// All lines in order.
    pub messages: Vec<TruthMessage>,
}

/// One line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthMessage {
    /// The wire's line type, `'0'` visitor to `'5'` agent comment.
    pub role: char,
    /// Who wrote it.
    pub by: String,
    /// Epoch milliseconds.
    pub at_ms: i64,
    /// The text as sent, HTML included.
    pub text: String,
}

/// The account.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    calendar: Calendar,
}

impl World {
    /// Checks the settings and lays out the hours.
    ///
    /// # Errors
    /// [`WorldError`] names the setting that no account can have.
    pub fn new(config: WorldConfig) -> Result<Self, WorldError> {
        let id = &config.account_id;
        if id.is_empty() || id.len() > 20 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(WorldError::Account(id.clone()));
        }
        if !(1..=MAX_HOURS).contains(&config.hours) {
            return Err(WorldError::Hours(config.hours));
        }
        let earliest = config.end_ms.saturating_sub(i64::from(config.hours) * HOUR_MS);
        let in_range = earliest >= 1_000_000_000_000 && config.end_ms <= 9_999_999_999_999;
        if !in_range || config.end_ms % HOUR_MS != 0 {
            return Err(WorldError::End(config.end_ms));
        }
        let calendar = Calendar::new(&Allocation {
            seed: config.seed,
            end_ms: config.end_ms,
            hours: config.hours,
            conversations: config.conversations,
            parts_per_hour: config.parts_per_hour,
            conversations_per_part: config.conversations_per_part,
            revised_permille: config.revised_permille,
            forms: config.forms,
        });
        Ok(Self { config, calendar })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// All files, oldest hour first.
    pub fn files(&self) -> impl Iterator<Item = FileSpec> + '_ {
        (0..self.calendar.hours()).flat_map(|hour| self.calendar.files_of(hour))
    }

    /// Files whose window starts in `from_ms..to_ms`.
    pub fn files_between(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = FileSpec> + '_ {
        let hours = (0..self.calendar.hours())
            .filter(move |&hour| (from_ms..to_ms).contains(&self.calendar.hour_start_ms(hour)));
        hours.flat_map(|hour| self.calendar.files_of(hour))
    }

    /// The file of that name; the ending `.gz` may be missing.
    #[must_use]
    pub fn file_named(&self, name: &str) -> Option<FileSpec> {
        let full = if name.ends_with(".gz") { name.to_owned() } else { format!("{name}.gz") };
        let start_ms = name.split('.').nth(1)?.parse().ok()?;
        let files = self.calendar.files_of(self.calendar.hour_at(start_ms)?);
        files.into_iter().find(|file| file.name() == full)
    }

    /// Number of conversation records in a file, revisions included.
    #[must_use]
    pub fn conversation_records_in(&self, file: &FileSpec) -> u64 {
        file.conversations.end - file.conversations.start + self.retold_in(file).count() as u64
    }

    /// Number of top-level JSON values in a file.
    #[must_use]
    pub fn records_in(&self, file: &FileSpec) -> u64 {
        if file.form.is_document() { 1 } else { self.conversation_records_in(file) }
    }

    /// Every conversation in its latest telling, with its words.
    pub fn conversations(&self) -> impl Iterator<Item = TruthConversation> + '_ {
        (0..self.config.conversations).map(|index| self.conversation(index))
    }

    /// Conversation `index` (below the size of the account) in its latest telling.
    #[must_use]
    pub fn conversation(&self, index: u64) -> TruthConversation {
        let plan = self.plan(index, true);
        let mut writer = self.writer(&plan);
        let mut text = Vec::new();
        let mut messages = Vec::with_capacity(plan.messages.len());
        for message in &plan.messages {
            text.clear();
            write_line(&mut writer, &plan, message, &mut text);
            messages.push(TruthMessage {
                role: char::from(message.role()),
                by: plan.by(message.speaker, &writer.facts.name).to_owned(),
                at_ms: message.at_ms,
                text: String::from_utf8_lossy(&text).into_owned(),
            });
        }
        let account = &self.config.account_id;
        let agent = agent_number(Speaker::Agent(plan.agent));
        let hand_overs = plan.transfers.iter();
        TruthConversation {
            index,
            id: plan.digits.map(|digits| format!("{account}{digits}")),
            start_ms: plan.start_ms,
            connect_ms: plan.connect_ms,
            end_ms: plan.end_ms,
            end_reason: plan.end_reason,
            messaging: plan.messaging,
            skills: plan.skills.iter().map(|&skill| SKILLS[skill].0).collect(),
            agent_id: format!("{account}{agent}"),
            mcs: plan.mcs,
            transfers: hand_overs
                .map(|transfer| (SKILLS[transfer.from_skill].0, SKILLS[transfer.to_skill].0))
                .collect(),
            messages,
        }
    }

    /// Exact counts, by walking through the whole account without its words.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let mut truth = Truth { conversations: self.config.conversations, ..Truth::default() };
        for file in self.files() {
            truth.files += 1;
            truth.records += self.records_in(&file);
            truth.conversation_records += self.conversation_records_in(&file);
        }
        for index in 0..self.config.conversations {
            let plan = self.plan(index, true);
            truth.messages += plan.messages.len() as u64;
            truth.transfers += plan.transfers.len() as u64;
        }
        truth
    }

    /// Numbers of the conversations that closed in the hours from `from_ms` to `to_ms`, first time told.
    pub(super) fn closing(&self, from_ms: i64, to_ms: i64) -> Range<u64> {
        let overlap = |hour: &usize| {
            let start_ms = self.calendar.hour_start_ms(*hour);
            start_ms <= to_ms && start_ms + HOUR_MS > from_ms
        };
        let mut hours = (0..self.calendar.hours()).filter(overlap);
        let Some(first) = hours.next() else {
            return 0..0;
        };
        let last = hours.next_back().unwrap_or(first);
        self.calendar.conversations_in(first).start..self.calendar.conversations_in(last).end
    }

    /// The number of the conversation with this id.
    pub(super) fn index_of_chat(&self, id: &str) -> Option<u64> {
        let digits: u64 = id.strip_prefix(self.config.account_id.as_str())?.parse().ok()?;
        let index = index_of_digits(digits).filter(|&index| index < self.config.conversations)?;
        (self.plan(index, false).digits == Some(digits)).then_some(index)
    }

    /// Conversations told again in this file.
    pub(super) fn retold_in<'a>(&'a self, file: &'a FileSpec) -> impl Iterator<Item = u64> + 'a {
        let setting = self.setting();
        file.revisable.clone().filter(move |&index| {
            file.retells(index) && self.calendar.revised_in(index).is_some() && has_id(setting, index)
        })
    }

    /// The plan of a conversation, in its latest telling or the first.
    pub(super) fn plan(&self, index: u64, latest: bool) -> Plan {
        Plan::new(self.setting(), index, latest)
    }

    /// The writer of a conversation's words.
    pub(super) fn writer(&self, plan: &Plan) -> Writer {
        Writer::new(self.config.seed, plan.index, plan.language, plan.topic())
    }

    fn setting(&self) -> Setting<'_> {
        Setting {
            seed: self.config.seed,
            id_less_per_million: self.config.id_less_per_million,
            calendar: &self.calendar,
        }
    }
}

/// Appends the words of one planned message. Messages must be written in order.
pub(super) fn write_line(writer: &mut Writer, plan: &Plan, message: &Planned, out: &mut Vec<u8>) {
    let agent = match message.speaker {
        Speaker::Agent(agent) => agent,
        _ => plan.agent,
    };
    let agent = agent_name(agent);
    match message.style {
        Style::Plain => writer.line(message.part, agent, out),
        Style::Html => writer.html_line(message.part, agent, out),
        Style::Link => {
            writer.link(out);
            if plan.quirks & 2 == 0 {
                out.extend_from_slice(b"#c");
                push_number(plan.index % 1000, out);
            }
        }
    }
}
