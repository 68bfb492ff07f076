//! The plan of one conversation: who writes when, transfers, codes; everything but the words.
//!
//! A plan is made from (seed, conversation number) alone. The first and the latest telling of a
//! revised conversation share every message of the first, because the additional messages are
//! drawn from a stream of their own.

use super::calendar::{Calendar, HOUR_MS};
use super::dice::{Dice, mix};
use super::vocab::{LANGUAGE_SHARES, Part, Stock};

const PLAN_STREAM: u64 = 31;
const EXTRA_STREAM: u64 = 32;
const ID_STREAM: u64 = 33;
/// Digits of an id behind the account: each conversation has one number out of a step of its own.
const FIRST_DIGITS: u64 = 4_000_000_000;
const ID_STEP: u64 = 13;

/// Skills of the account in order of load: number and name.
pub const SKILLS: [(i64, &str); 12] = [
    (4, "Orders"),
    (7, "Billing"),
    (12, "Delivery"),
    (15, "Technical support"),
    (18, "Returns"),
    (21, "Accounts"),
    (25, "Travel desk"),
    (31, "Sales"),
    (32, "Complaints"),
    (40, "Loyalty club"),
    (3_102_887_410, "Insurance"),
    (3_102_887_510, "VIP desk"),
];
const SKILL_WEIGHTS: [u32; 12] = [240, 150, 130, 110, 85, 70, 60, 50, 40, 30, 20, 15];

/// Names under which automated helpers write.
pub const BOTS: [&str; 3] = ["Shopbot", "Virtual Assistant", "Helpy"];

/// Pages from which chats start: title and path.
pub(super) const PAGES: [(&str, &str); 8] = [
    ("Home", ""),
    ("My orders", "account/orders"),
    ("Bills & payments", "account/bills"),
    ("Track a parcel", "tracking"),
    ("Rücksendung", "de/ruecksendung"),
    ("Support \"A–Z\"", "help/a-z"),
    ("Bookings", "travel/bookings?step=2&ref=chat"),
    ("お問い合わせ", "ja/contact"),
];

const AGENT_COUNT: u32 = 40;
const END_REASONS: [i64; 7] = [101, 106, 201, 202, 205, 208, 210];
const END_WEIGHTS: [u32; 7] = [3, 4, 10, 5, 38, 10, 30];
const DEVICES: [Option<&str>; 5] = [None, Some("NA"), Some("DESKTOP"), Some("TABLET"), Some("MOBILE")];
const DEVICE_WEIGHTS: [u32; 5] = [10, 10, 40, 5, 35];
const LENGTHS: [u32; 17] = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 15, 17, 20, 26, 40, 200];
const WAITS_MS: [u32; 17] = [
    200, 1_613, 3_338, 5_191, 7_192, 9_367, 11_750, 14_384, 17_329, 20_667, 24_521, 29_079, 34_657, 41_850, 51_986,
    69_315, 900_000,
];
const GAPS_MS: [u32; 17] = [
    800, 2_000, 3_500, 5_000, 6_500, 8_000, 10_000, 12_000, 14_500, 17_000, 20_000, 24_000, 29_000, 36_000, 48_000,
    70_000, 600_000,
];

/// Who writes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    System,
    Visitor,
    Agent(u32),
    Bot(u32),
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Html,
    Link,
}

/// One message without its words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) at_ms: i64,
    pub(super) speaker: Speaker,
    pub(super) part: Part,
    pub(super) style: Style,
    pub(super) score: Option<u32>,
}

impl Planned {
    /// The wire's line type.
    pub(super) fn role(&self) -> u8 {
        match (self.speaker, self.part, self.style) {
            (Speaker::Visitor, ..) => b'0',
            (Speaker::System, ..) => b'2',
            (_, Part::Comment, _) => b'5',
            (_, _, Style::Link) => b'3',
            (_, _, Style::Html) => b'4',
            _ => b'1',
        }
    }
}

/// One hand-over; skills are indexes into [`SKILLS`].
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedTransfer {
    pub(super) at_ms: i64,
    pub(super) from_skill: usize,
    pub(super) to_skill: usize,
    pub(super) from_agent: u32,
    pub(super) to_agent: Option<u32>,
    pub(super) reason: u32,
    pub(super) queue_end_ms: i64,
}

/// One conversation without its words.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) index: u64,
    pub(super) digits: Option<u64>,
    pub(super) messaging: bool,
    pub(super) interactive: bool,
    pub(super) start_ms: i64,
    pub(super) connect_ms: i64,
    pub(super) end_ms: i64,
    pub(super) device: Option<&'static str>,
    pub(super) end_reason: i64,
    pub(super) start_reason: u32,
    pub(super) campaign: Option<(u32, u32)>,
    pub(super) page: Option<usize>,
    pub(super) form: Option<u32>,
    pub(super) language: usize,
    pub(super) skills: Vec<usize>,
    pub(super) agent: u32,
    pub(super) named_visitor: bool,
    pub(super) mcs: Option<u32>,
    /// Random bits by which the encoder picks among equivalent spellings.
    pub(super) quirks: u32,
    pub(super) messages: Vec<Planned>,
    pub(super) transfers: Vec<PlannedTransfer>,
}

/// What a plan needs to know of its account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) seed: u64,
    pub(super) id_less_per_million: u32,
    pub(super) calendar: &'a Calendar,
}

impl Plan {
    /// Conversation `index`, in its latest telling or the first one.
    pub(super) fn new(setting: Setting<'_>, index: u64, latest: bool) -> Self {
        let dice = &mut Dice::new(setting.seed, PLAN_STREAM, index);
        let skill = dice.weighted(&SKILL_WEIGHTS);
        let interactive = !dice.permille(25);
        let messaging = dice.permille(120);
        let mut plan = Self {
            index,
            digits: digits(setting, index),
            messaging,
            interactive,
            start_ms: 0,
            connect_ms: i64::from(dice.quantile(&WAITS_MS)),
            end_ms: 0,
            device: DEVICES[dice.weighted(&DEVICE_WEIGHTS)],
            end_reason: END_REASONS[dice.weighted(&END_WEIGHTS)],
            start_reason: *dice.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3]),
            campaign: dice.permille(650).then(|| (dice.below(24), dice.below(160))),
            page: dice.permille(700).then(|| dice.below(PAGES.len() as u32) as usize),
            form: dice.permille(15).then(|| dice.below(900)),
            language: dice.weighted(&LANGUAGE_SHARES),
            skills: vec![skill],
            agent: agent_for(skill, dice),
            named_visitor: dice.permille(300),
            mcs: (interactive && dice.permille(700)).then(|| score(dice)),
            quirks: dice.bits(),
            messages: Vec::new(),
            transfers: Vec::new(),
        };
        plan.converse(dice);
        plan.place_in_time(setting, dice, latest);
        plan
    }

    /// The name written in `by`; `first_name` is the visitor's.
    pub(super) fn by<'a>(&self, speaker: Speaker, first_name: &'a str) -> &'a str {
        match speaker {
            Speaker::System => "info",
            Speaker::Visitor if self.named_visitor => first_name,
            Speaker::Visitor => "Visitor",
            Speaker::Agent(agent) => agent_name(agent),
            Speaker::Bot(bot) => BOTS[bot as usize % BOTS.len()],
        }
    }

    /// The topic its words are about: the first skill.
    pub(super) fn topic(&self) -> usize {
        self.skills.first().copied().unwrap_or(0)
    }

    fn converse(&mut self, dice: &mut Dice) {
        let mut now_ms = 1;
        if !dice.permille(150) {
            self.say(now_ms, Speaker::System, Part::Welcome, dice);
        }
        if self.interactive && dice.permille(200) {
            let bot = Speaker::Bot(dice.below(BOTS.len() as u32));
            for part in [Part::BotOpen, Part::BotAsk] {
                now_ms += 400;
                self.say(now_ms, bot, part, dice);
            }
        }
        now_ms = now_ms.max(self.connect_ms);
        let total = if self.interactive { dice.quantile(&LENGTHS) } else { dice.between(1, 4) };
        let transfers = match dice.below(1000) {
            0..80 if total > 3 => 1,
            80..95 if total > 4 => 2,
            95..100 if total > 5 => 3,
            _ => 0,
        };
        let mut visitor = self.interactive && dice.permille(750);
        for turn in 0..total {
            if self.transfers.len() < transfers && turn * 4 > total * (self.transfers.len() as u32 + 1) {
                now_ms = self.hand_over(now_ms, dice);
            }
            let pace = if self.messaging { 1 + i64::from(dice.below(8)) } else { 1 };
            now_ms += i64::from(dice.quantile(&GAPS_MS)) * pace;
            let speaker = if visitor { Speaker::Visitor } else { Speaker::Agent(self.agent) };
            let part = self.part_for(turn, total, visitor, dice);
            self.say(now_ms, speaker, part, dice);
            visitor = self.interactive && (visitor != dice.permille(700));
        }
        self.end_ms = now_ms + i64::from(dice.between(500, 20_000));
    }

    fn part_for(&self, turn: u32, total: u32, visitor: bool, dice: &mut Dice) -> Part {
        let said = |part| self.messages.iter().any(|message| message.part == part);
        let progress = turn * 100 / total.max(1);
        let last = turn + 2 >= total && total > 4;
        if visitor {
            return match dice.below(100) {
                0..35 if turn < 2 && total > 5 && !said(Part::VisitorOpen) && !said(Part::Problem) => Part::VisitorOpen,
                _ if !said(Part::Problem) => Part::Problem,
                _ if last => Part::VisitorClose,
                0..35 => Part::Answer,
                35..75 => Part::VisitorFiller,
                _ => Part::VisitorAck,
            };
        }
        match (progress, dice.below(100)) {
            _ if !said(Part::AgentOpen) => Part::AgentOpen,
            (.., 0..2) => Part::Comment,
            (.., 2..5) => Part::Link,
            _ if last => Part::AgentClose,
            (0..30, 5..60) => Part::Ask,
            (30..75, 5..40) => Part::Explain,
            (75.., 5..45) => Part::Resolve,
            (.., 80..) => Part::AgentAck,
            _ => Part::AgentFiller,
        }
    }

    fn say(&mut self, at_ms: i64, speaker: Speaker, part: Part, dice: &mut Dice) {
        let html = matches!(speaker, Speaker::Agent(_)) && part != Part::Comment && dice.permille(40);
        let style = match part {
            Part::Link => Style::Link,
            _ if html => Style::Html,
            _ => Style::Plain,
        };
        let scored = speaker == Speaker::Visitor && self.quirks & 1 == 0;
        let drift = self.mcs.filter(|_| scored).map(|mcs| (mcs + dice.below(21)).saturating_sub(10));
        let score = drift.map(|score| score.min(100));
        self.messages.push(Planned { at_ms, speaker, part, style, score });
    }

    /// Moves the conversation to another skill; gives the time at which the new agent joins.
    fn hand_over(&mut self, now_ms: i64, dice: &mut Dice) -> i64 {
        let from_skill = self.skills.last().copied().unwrap_or(0);
        let to_skill = dice.weighted(&SKILL_WEIGHTS);
        let at_ms = now_ms + i64::from(dice.between(300, 4_000));
        let queue_end_ms = at_ms + i64::from(dice.quantile(&WAITS_MS));
        let (from_agent, agent) = (self.agent, agent_for(to_skill, dice));
        let named = dice.permille(500).then_some(agent);
        let reason = *dice.pick(&[0, 0, 1, 2, 106]);
        self.transfers.push(PlannedTransfer {
            at_ms,
            from_skill,
            to_skill,
            from_agent,
            to_agent: named,
            reason,
            queue_end_ms,
        });
        self.say(at_ms, Speaker::System, Part::Transfer, dice);
        self.agent = agent;
        self.skills.retain(|&skill| skill != to_skill);
        self.skills.push(to_skill);
        queue_end_ms
    }

    /// Turns offsets from the start of the queue into instants, and adds what a revision adds.
    fn place_in_time(&mut self, setting: Setting<'_>, dice: &mut Dice, latest: bool) {
        let calendar = setting.calendar;
        let hour = calendar.hour_of(self.index);
        let all = calendar.conversations_in(hour);
        let place = self.index.saturating_sub(all.start) * HOUR_MS as u64;
        let within = (place + u64::from(dice.below(HOUR_MS as u32))) / (all.end - all.start).max(1);
        let closed_ms = calendar.hour_start_ms(hour) + within as i64;
        self.start_ms = closed_ms - self.end_ms;
        self.connect_ms += self.start_ms;
        self.end_ms = closed_ms;
        for message in &mut self.messages {
            message.at_ms += self.start_ms;
        }
        for transfer in &mut self.transfers {
            transfer.at_ms += self.start_ms;
            transfer.queue_end_ms += self.start_ms;
        }
        let revised_in = if self.digits.is_some() { calendar.revised_in(self.index) } else { None };
        if let (true, Some(hour)) = (latest, revised_in) {
            self.reopen(setting.seed, calendar.hour_start_ms(hour));
        }
    }

    fn reopen(&mut self, seed: u64, hour_start_ms: i64) {
        let dice = &mut Dice::new(seed, EXTRA_STREAM, self.index);
        let extra = dice.between(1, 7);
        let mut now_ms = hour_start_ms + i64::from(dice.below(2_400_000));
        for turn in 0..extra {
            let visitor = self.interactive && turn % 2 == 1;
            let speaker = if visitor { Speaker::Visitor } else { Speaker::Agent(self.agent) };
            let part = if visitor { Part::VisitorFiller } else { Part::AgentFiller };
            self.say(now_ms, speaker, part, dice);
            now_ms += i64::from(dice.between(2_000, 90_000));
        }
        self.end_ms = now_ms;
    }
}

/// Nickname of an agent.
pub(super) fn agent_name(agent: u32) -> &'static str {
    let names = &Stock::shared().agents;
    names.get(agent as usize % names.len().max(1)).map_or("Agent", String::as_str)
}

/// Last digits of an agent's login number.
pub(super) fn agent_number(speaker: Speaker) -> u64 {
    match speaker {
        Speaker::Agent(agent) => 20_011 + 1_373 * u64::from(agent),
        Speaker::Bot(bot) => 90_001 + 17 * u64::from(bot),
        Speaker::System | Speaker::Visitor => 0,
    }
}

fn agent_for(skill: usize, dice: &mut Dice) -> u32 {
    let rank = dice.below(7) * dice.below(7) * dice.below(2) + dice.below(4);
    (rank + skill as u32 * 7) % AGENT_COUNT
}

/// A score around 60 of 100.
fn score(dice: &mut Dice) -> u32 {
    let sum: u32 = (0..4).map(|_| dice.below(101)).sum();
    (sum / 4 + 10).min(100)
}

fn digits(setting: Setting<'_>, index: u64) -> Option<u64> {
    let hash = mix(setting.seed, ID_STREAM, index);
    let id_less = (hash >> 32) % 1_000_000 < u64::from(setting.id_less_per_million);
    (!id_less).then(|| FIRST_DIGITS + index * ID_STEP + hash % ID_STEP)
}

/// The conversation that may have these digits in its id; whether it does is for the caller to check.
pub(super) fn index_of_digits(digits: u64) -> Option<u64> {
    digits.checked_sub(FIRST_DIGITS).map(|place| place / ID_STEP)
}

/// True when the records of conversation `index` carry an id.
pub(super) fn has_id(setting: Setting<'_>, index: u64) -> bool {
    digits(setting, index).is_some()
}
