//! The plan of one messaging conversation: every event with its instant, everything but the words.
//!
//! Messaging is slow: minutes between lines, sometimes a night, and a share of conversations stays
//! open for weeks. After the close come the survey, the score, the summary, the agent's wrap-up and
//! late engagement attributes, each at an instant of its own; most of them move `latestUpdateTime`.

use super::MessagingConfig;
use crate::simulator::dice::{Dice, mix};
use crate::simulator::plan::{BOTS, SKILLS, Speaker};
use crate::simulator::vocab::{LANGUAGE_SHARES, Part};

const PLAN_STREAM: u64 = 61;
const ANNOUNCED_STREAM: u64 = 62;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Agents of the account; the same people as in the chats.
const AGENTS: u32 = 40;
const CHANNELS: [(&str, &str); 6] = [
    ("SHARK", "web-sdk"),
    ("APP", "mobile-sdk"),
    ("SMS", "brand-sdk"),
    ("FACEBOOK", "brand-sdk"),
    ("WhatsApp Business", "brand-sdk"),
    ("Apple Business Chat", "brand-sdk"),
];
const CHANNEL_WEIGHTS: [u32; 6] = [40, 28, 10, 8, 10, 4];
/// Reasons of a transfer, as LivePerson spells them.
pub(super) const REASONS: [&str; 5] = ["back2Q", "Agent", "SuggestedAgentTimeout", "Skill", "TakeOver"];
const LENGTHS: [u32; 17] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19, 24, 34, 160];
const GAPS_S: [u32; 17] = [2, 5, 8, 12, 17, 24, 33, 45, 60, 85, 120, 180, 280, 450, 900, 2_400, 9_000];
const WAITS_S: [u32; 17] = [1, 3, 6, 10, 15, 22, 30, 42, 60, 90, 140, 220, 360, 600, 1_200, 2_700, 14_000];

/// What kind of message a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Html,
    Rich,
    QuickReplies,
    File,
    Link,
    FormInvitation,
    FormSubmission,
    Note,
}

/// One message without its words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) at_ms: i64,
    pub(super) seq: u64,
    pub(super) speaker: Speaker,
    pub(super) part: Part,
    pub(super) kind: Kind,
    /// Score of the conversation up to this message.
    pub(super) mcs: Option<u32>,
    /// In the survey dialog.
    pub(super) in_survey: bool,
}

/// One hand-over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer {
    pub(super) at_ms: i64,
    /// Place in [`REASONS`].
    pub(super) reason: usize,
    pub(super) from: Speaker,
    /// Whoever is assigned by it at once.
    pub(super) to: Option<Speaker>,
    pub(super) from_skill: Option<usize>,
    pub(super) to_skill: usize,
}

/// A time during which somebody was assigned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Assignment {
    pub(super) speaker: Speaker,
    pub(super) from_ms: i64,
    /// When somebody else took over; the conversation's end does not count.
    pub(super) until_ms: Option<i64>,
    /// First message of that time.
    pub(super) first_message_ms: Option<i64>,
    pub(super) skill: usize,
}

/// The survey after the close.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survey {
    /// Submitted or timed out.
    pub(super) end_ms: i64,
    /// Csat 1 to 5; none when it timed out.
    pub(super) csat: Option<u32>,
    pub(super) nps: u32,
    pub(super) solved: bool,
    pub(super) in_words: bool,
}

/// What is known late, each with its instant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Afterwards {
    pub(super) mcs_ms: i64,
    pub(super) summary_ms: Option<i64>,
    pub(super) wrap_up_ms: Option<i64>,
    pub(super) erased_ms: Option<i64>,
}

/// One conversation without its words.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) index: u64,
    pub(super) start_ms: i64,
    pub(super) close_ms: i64,
    pub(super) language: usize,
    pub(super) topic: usize,
    /// Channel and integration.
    pub(super) channel: (&'static str, &'static str),
    /// AGENT, CONSUMER or SYSTEM.
    pub(super) closed_by: &'static str,
    pub(super) turns: Vec<Turn>,
    pub(super) transfers: Vec<Transfer>,
    pub(super) assignments: Vec<Assignment>,
    pub(super) survey: Option<Survey>,
    pub(super) mcs: Option<u32>,
    pub(super) afterwards: Afterwards,
    /// Server times of engagement attributes; true for authenticated ones.
    pub(super) sdes: Vec<(i64, bool)>,
    /// Cut in list searches.
    pub(super) cut: bool,
    /// Random bits by which the encoder picks among equivalent spellings.
    pub(super) quirks: u64,
    seed: u64,
    unannounced_permille: u32,
}

impl Plan {
    /// Conversation `index`, which starts at `start_ms`.
    pub(super) fn new(seed: u64, config: &MessagingConfig, index: u64, start_ms: i64) -> Self {
        let dice = &mut Dice::new(seed, PLAN_STREAM, index);
        let quirks = u64::from(dice.bits()) << 32 | u64::from(dice.bits());
        let mut plan = Self {
            index,
            start_ms,
            close_ms: start_ms,
            language: dice.weighted(&LANGUAGE_SHARES),
            topic: dice.below(SKILLS.len() as u32) as usize,
            channel: CHANNELS[dice.weighted(&CHANNEL_WEIGHTS)],
            closed_by: ["AGENT", "CONSUMER", "SYSTEM"][dice.weighted(&[60, 25, 15])],
            turns: Vec::new(),
            transfers: Vec::new(),
            assignments: Vec::new(),
            survey: None,
            mcs: dice.permille(850).then(|| dice.between(5, 100)),
            afterwards: Afterwards { mcs_ms: 0, summary_ms: None, wrap_up_ms: None, erased_ms: None },
            sdes: Vec::new(),
            cut: false,
            quirks,
            seed,
            unannounced_permille: config.unannounced_permille,
        };
        plan.converse(dice);
        plan.close(dice);
        plan.look_back(config, dice);
        plan.cut = dice.permille(config.cut_permille) && plan.turns.len() > 3;
        plan
    }

    /// True while the conversation is open.
    pub(super) fn is_open(&self, now_ms: i64) -> bool {
        now_ms < self.close_ms
    }

    /// True when LivePerson has deleted the personal data.
    pub(super) fn is_erased(&self, now_ms: i64) -> bool {
        self.afterwards.erased_ms.is_some_and(|erased_ms| erased_ms <= now_ms)
    }

    /// The end as it is told at an instant: it moves when the survey is submitted or runs out.
    pub(super) fn end_ms(&self, now_ms: i64) -> Option<i64> {
        let survey_end_ms = self.survey.map(|survey| survey.end_ms).filter(|&end_ms| end_ms <= now_ms);
        (!self.is_open(now_ms)).then(|| survey_end_ms.unwrap_or(self.close_ms))
    }

    /// The end of the last dialog; none while one is open.
    pub(super) fn full_end_ms(&self, now_ms: i64) -> Option<i64> {
        let survey_over = self.survey.is_none_or(|survey| survey.end_ms <= now_ms);
        self.end_ms(now_ms).filter(|_| survey_over)
    }

    /// Skill of the conversation at an instant, as place in [`SKILLS`]; none before the first.
    pub(super) fn skill(&self, now_ms: i64) -> Option<usize> {
        let assigned =
            self.assignments.iter().filter(|held| held.from_ms <= now_ms).map(|held| (held.from_ms, held.skill));
        let moved =
            self.transfers.iter().filter(|moved| moved.at_ms <= now_ms).map(|moved| (moved.at_ms, moved.to_skill));
        assigned.chain(moved).max_by_key(|&(at_ms, _)| at_ms).map(|(_, skill)| skill)
    }

    /// Whoever was assigned last.
    pub(super) fn latest_assignment(&self, now_ms: i64) -> Option<&Assignment> {
        self.assignments.iter().rfind(|held| held.from_ms <= now_ms)
    }

    /// Since when nobody is assigned at an instant; none while somebody is, or before the start.
    pub(super) fn waits_since(&self, at_ms: i64) -> Option<i64> {
        match self.latest_assignment(at_ms) {
            None => (self.start_ms <= at_ms).then_some(self.start_ms),
            Some(held) => held.until_ms.filter(|&until_ms| until_ms <= at_ms),
        }
    }

    /// The score that is known at an instant: running until the final one is made.
    pub(super) fn mcs_at(&self, now_ms: i64) -> Option<u32> {
        if self.afterwards.mcs_ms <= now_ms {
            return self.mcs;
        }
        self.turns.iter().filter(|turn| turn.at_ms <= now_ms).filter_map(|turn| turn.mcs).next_back()
    }

    /// Every change with its instant; false for one that does not move `latestUpdateTime`.
    fn changes(&self) -> impl Iterator<Item = (i64, bool)> + '_ {
        // The consumer's line in a survey comes with its submission, which has an entry of its own.
        let submits = |turn: &&Turn| turn.in_survey && turn.speaker == Speaker::Visitor;
        let live = self.turns.iter().filter(move |turn| !submits(turn)).map(|turn| turn.at_ms);
        let live = live.chain(self.transfers.iter().map(|moved| moved.at_ms));
        let live = live.chain(self.assignments.iter().map(|held| held.from_ms));
        let sdes = self.sdes.iter().map(|&(at_ms, _)| at_ms);
        let (during, after): (Vec<i64>, Vec<i64>) = sdes.partition(|&at_ms| at_ms <= self.close_ms);
        let live = live.chain(during).chain([self.start_ms, self.close_ms]).map(|at_ms| (at_ms, true));
        let Afterwards { mcs_ms, summary_ms, wrap_up_ms, erased_ms } = self.afterwards;
        let late =
            [self.mcs.map(|_| mcs_ms), summary_ms, wrap_up_ms, erased_ms, self.survey.map(|survey| survey.end_ms)];
        let late = late.into_iter().flatten().chain(after).enumerate();
        live.chain(late.map(|(place, at_ms)| {
            let chance = mix(self.seed, ANNOUNCED_STREAM, self.index << 8 | place as u64) % 1000;
            (at_ms, chance >= u64::from(self.unannounced_permille))
        }))
    }

    /// What `latestUpdateTime` is compared with at an instant.
    pub(super) fn latest_update_ms(&self, now_ms: i64) -> i64 {
        let seen = self.changes().filter(|&(at_ms, announced)| announced && at_ms <= now_ms);
        seen.map(|(at_ms, _)| at_ms).max().unwrap_or(self.start_ms)
    }

    /// The last change up to an instant, announced or not.
    pub(super) fn latest_change_ms(&self, now_ms: i64) -> i64 {
        let seen = self.changes().filter(|&(at_ms, _)| at_ms <= now_ms);
        seen.map(|(at_ms, _)| at_ms).max().unwrap_or(self.start_ms)
    }

    fn converse(&mut self, dice: &mut Dice) {
        let mut now_ms = self.start_ms + 50;
        self.say(now_ms, Speaker::Visitor, Part::Problem, Kind::Text, dice);
        if dice.permille(450) {
            let bot = Speaker::Bot(dice.below(BOTS.len() as u32));
            now_ms += 900;
            self.assign(now_ms, bot, self.topic);
            self.say(now_ms + 300, bot, Part::BotOpen, Kind::Text, dice);
            self.say(now_ms + 800, bot, Part::BotAsk, Kind::QuickReplies, dice);
            now_ms += 1_000 + i64::from(dice.quantile(&GAPS_S)) * 1000;
            self.say(now_ms, Speaker::Visitor, Part::Answer, Kind::Text, dice);
            now_ms += 700;
            self.transfers.push(Transfer {
                at_ms: now_ms,
                reason: 3,
                from: bot,
                to: None,
                from_skill: None,
                to_skill: self.topic,
            });
        } else if dice.permille(300) {
            self.say(now_ms + 400, Speaker::System, Part::Welcome, Kind::Text, dice);
        }
        now_ms += 1_000 + i64::from(dice.quantile(&WAITS_S)) * 1000;
        let mut skill = self.topic;
        let mut agent = Speaker::Agent(dice.below(AGENTS));
        self.assign(now_ms, agent, skill);
        let total = dice.quantile(&LENGTHS);
        let wanted = [0, 0, 0, 0, 0, 0, 1, 1, 2, 3][dice.below(10) as usize];
        let mut moved = 0;
        let mut submission_due = false;
        for turn in 0..total {
            now_ms += 1 + i64::from(dice.quantile(&GAPS_S)) * 1000;
            if dice.permille(35) {
                now_ms += i64::from(dice.between(2, 15)) * HOUR_MS;
            }
            if moved < wanted && turn > moved + 1 {
                (now_ms, agent, skill) = self.hand_over(now_ms, agent, skill, dice);
                moved += 1;
            }
            let by_consumer = turn % 2 == 1 && !dice.permille(150);
            let speaker = if by_consumer { Speaker::Visitor } else { agent };
            let kind = match (by_consumer, dice.below(1000)) {
                (true, _) if submission_due => Kind::FormSubmission,
                (true, 0..60) => Kind::File,
                (true, 60..75) => Kind::Link,
                (true, _) => Kind::Text,
                (false, 0..40) => Kind::Html,
                (false, 40..100) => Kind::Rich,
                (false, 100..140) => Kind::QuickReplies,
                (false, 140..170) => Kind::Link,
                (false, 170..190) => Kind::FormInvitation,
                (false, 190..230) => Kind::Note,
                (false, _) => Kind::Text,
            };
            if kind == Kind::FormInvitation || kind == Kind::FormSubmission {
                submission_due = kind == Kind::FormInvitation;
            }
            let part = part_for(turn, total, by_consumer, kind, dice);
            self.say(now_ms, speaker, part, kind, dice);
        }
        self.close_ms = now_ms;
    }

    fn close(&mut self, dice: &mut Dice) {
        self.close_ms += match dice.below(1000) {
            0..40 => i64::from(dice.between(5, 41)) * DAY_MS,
            _ if self.closed_by == "SYSTEM" => 8 * HOUR_MS + i64::from(dice.below(60)) * MINUTE_MS,
            _ => 1_000 + i64::from(dice.below(1_200_000)),
        };
        if !dice.permille(600) {
            return;
        }
        let filled = dice.permille(550);
        let days_later = filled && dice.permille(60);
        let end_ms = match filled {
            true if days_later => self.close_ms + i64::from(dice.between(60, 96 * 60)) * MINUTE_MS,
            true => self.close_ms + i64::from(dice.between(20, 900)) * 1000,
            false => self.close_ms + 24 * MINUTE_MS,
        };
        let csat = 1 + dice.weighted(&[8, 6, 14, 32, 40]) as u32;
        self.survey = Some(Survey {
            end_ms,
            csat: filled.then_some(csat),
            nps: dice.below(11),
            solved: csat > 2 || dice.permille(100),
            in_words: dice.permille(500),
        });
        let bot = Speaker::Bot(0);
        let asked_ms = self.close_ms + 500;
        self.say(asked_ms, bot, Part::BotAsk, Kind::QuickReplies, dice);
        if filled {
            self.say(end_ms, Speaker::Visitor, Part::VisitorClose, Kind::Text, dice);
        }
        for turn in self.turns.iter_mut().filter(|turn| turn.at_ms > self.close_ms) {
            (turn.in_survey, turn.mcs) = (true, None);
        }
    }

    /// What is added after the close, minutes to days later.
    fn look_back(&mut self, config: &MessagingConfig, dice: &mut Dice) {
        let later = |dice: &mut Dice, minutes: [u32; 2]| i64::from(dice.between(minutes[0], minutes[1])) * MINUTE_MS;
        let closed_ms = self.close_ms;
        self.afterwards = Afterwards {
            mcs_ms: closed_ms + later(dice, [1, 40]),
            summary_ms: dice.permille(550).then(|| closed_ms + later(dice, [2, 300])),
            wrap_up_ms: dice.permille(350).then(|| closed_ms + later(dice, [3, 600])),
            erased_ms: dice.permille(config.erased_permille).then(|| closed_ms + later(dice, [2 * 1440, 25 * 1440])),
        };
        let before_ms = self.start_ms - 90_000;
        for _ in 0..dice.below(7) {
            let at_ms = match dice.below(10) {
                0..5 => before_ms + i64::from(dice.below(120_000)),
                5..8 => self.start_ms + i64::from(dice.below(1_800_000)),
                _ => closed_ms + later(dice, [1, 120]),
            };
            self.sdes.push((at_ms, dice.permille(600)));
        }
        self.sdes.sort_unstable();
    }

    fn say(&mut self, at_ms: i64, speaker: Speaker, part: Part, kind: Kind, dice: &mut Dice) {
        let last = self.turns.last().map_or(0, |turn| turn.seq + 1);
        // Gaps in the sequence are normal: events that are not messages use numbers too.
        let seq = last + u64::from(dice.permille(250)) * u64::from(dice.between(1, 3));
        let scored = speaker == Speaker::Visitor && self.mcs.is_some();
        let mcs = scored.then(|| dice.between(5, 100));
        if let Some(held) = self.assignments.iter_mut().rfind(|held| held.speaker == speaker) {
            held.first_message_ms.get_or_insert(at_ms);
        }
        self.turns.push(Turn { at_ms, seq, speaker, part, kind, mcs, in_survey: false });
    }

    fn assign(&mut self, from_ms: i64, speaker: Speaker, skill: usize) {
        if let Some(held) = self.assignments.last_mut() {
            held.until_ms.get_or_insert(from_ms);
        }
        self.assignments.push(Assignment { speaker, from_ms, until_ms: None, first_message_ms: None, skill });
    }

    /// Moves the conversation; gives the time at which the next agent has it.
    fn hand_over(&mut self, now_ms: i64, from: Speaker, skill: usize, dice: &mut Dice) -> (i64, Speaker, usize) {
        let reason = dice.below(REASONS.len() as u32) as usize;
        let agent = Speaker::Agent(dice.below(AGENTS));
        let to_skill = if reason == 3 { dice.below(SKILLS.len() as u32) as usize } else { skill };
        // An agent who is named, or takes over, has it at once; else it waits in a queue.
        let to = matches!(reason, 1 | 4).then_some(agent);
        self.transfers.push(Transfer { at_ms: now_ms, reason, from, to, from_skill: Some(skill), to_skill });
        let waited_ms = match to {
            Some(_) => 0,
            None => 1_000 + i64::from(dice.quantile(&WAITS_S)) * 1000,
        };
        let joined_ms = now_ms + waited_ms;
        if let Some(held) = self.assignments.last_mut() {
            held.until_ms = Some(now_ms);
        }
        self.assign(joined_ms, agent, to_skill);
        (joined_ms + 1_000, agent, to_skill)
    }
}

fn part_for(turn: u32, total: u32, by_consumer: bool, kind: Kind, dice: &mut Dice) -> Part {
    let last = turn + 2 >= total && total > 3;
    match (kind, by_consumer) {
        (Kind::Note, _) => Part::Comment,
        (Kind::Link, _) => Part::Link,
        (_, true) if last => Part::VisitorClose,
        (_, true) => *dice.pick(&[Part::Answer, Part::Answer, Part::VisitorFiller, Part::VisitorAck]),
        (_, false) if turn == 0 => Part::AgentOpen,
        (_, false) if last => Part::AgentClose,
        (_, false) => {
            *dice.pick(&[Part::Ask, Part::Explain, Part::Explain, Part::Resolve, Part::AgentFiller, Part::AgentAck])
        }
    }
}
