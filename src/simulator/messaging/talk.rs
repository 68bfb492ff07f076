//! The words of a messaging conversation, in every form a message can have.

use super::plan::{Kind, Plan, Turn};
use super::{MASK, MessagingWorld};
use crate::simulator::dice::mix;
use crate::simulator::plan::{BOTS, Speaker, agent_name, agent_number};
use crate::simulator::text::Writer;
use crate::simulator::vocab::Part;

const FILE_STREAM: u64 = 63;
/// Sets the words of surveys and summaries apart from those of the messages.
const ASIDE: u64 = 1 << 60;

/// Who wrote a message, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The consumer.
    Consumer,
    /// A human agent, to the consumer.
    Agent,
    /// A bot, to the consumer.
    Bot,
    /// LivePerson itself.
    System,
    /// An agent, for agents and managers only.
    Note,
}

/// What a message holds.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Text(String),
    Html(String),
    Rich { text: String, button: String },
    QuickReplies { text: String, replies: [String; 2] },
    File { path: String, kind: &'static str, caption: String },
    Link { address: String, caption: String },
    FormInvitation { id: u64, name: &'static str },
    FormSubmission { id: u64, name: &'static str },
}

impl Content {
    /// Every text a reader can see, in order.
    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::Text(text) | Self::Html(text) => vec![text.clone()],
            Self::Rich { text, button } => vec![text.clone(), button.clone()],
            Self::QuickReplies { text, replies } => [text.clone()].into_iter().chain(replies.iter().cloned()).collect(),
            Self::File { caption, .. } => vec![caption.clone()],
            Self::Link { address, caption } => vec![address.clone(), caption.clone()],
            Self::FormInvitation { name, .. } | Self::FormSubmission { name, .. } => vec![(*name).to_owned()],
        }
    }

    /// The same with personal data deleted: values are replaced, the record stays.
    fn masked(self) -> Self {
        let mask = || MASK.to_owned();
        match self {
            Self::Text(_) => Self::Text(mask()),
            Self::Html(_) => Self::Html(mask()),
            Self::Rich { .. } => Self::Rich { text: mask(), button: mask() },
            Self::QuickReplies { .. } => Self::QuickReplies { text: mask(), replies: [mask(), mask()] },
            Self::File { kind, .. } => Self::File { path: mask(), kind, caption: mask() },
            Self::Link { .. } => Self::Link { address: mask(), caption: mask() },
            form => form,
        }
    }

    /// LivePerson's name of the content type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::QuickReplies { .. } => "TEXT_PLAIN",
            Self::Html(_) => "TEXT_HTML",
            Self::Rich { .. } => "RICH_CONTENT",
            Self::File { .. } => "HOSTED_FILE",
            Self::Link { .. } => "LINK",
            Self::FormInvitation { .. } => "SECURE_FORM_INVITATION",
            Self::FormSubmission { .. } => "SECURE_FORM_SUBMIT",
        }
    }
}

/// The consumer's personal data that appear beside the words.
#[derive(Debug, Clone)]
pub(super) struct Consumer {
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) email: String,
    pub(super) phone: String,
    pub(super) address: String,
}

/// The words of a conversation at an instant.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) messages: Vec<(Turn, Content)>,
    pub(super) consumer: Consumer,
    /// The free-text answer of the survey.
    pub(super) survey_words: String,
    pub(super) summary: String,
    pub(super) wrap_up: String,
    pub(super) order: String,
    pub(super) product: String,
}

impl Talk {
    /// Writes everything that was said up to `now_ms`, masked if it was erased by then.
    pub(super) fn new(world: &MessagingWorld, plan: &Plan, now_ms: i64) -> Self {
        let mut writer = Writer::new(world.seed, plan.index, plan.language, plan.topic);
        let erased = plan.is_erased(now_ms);
        let said = plan.turns.iter().filter(|turn| turn.at_ms <= now_ms);
        let messages = said.map(|&turn| {
            let content = content(world, plan, &turn, &mut writer);
            (turn, if erased { content.masked() } else { content })
        });
        let messages = messages.collect();
        let mut aside = Writer::new(world.seed, plan.index | ASIDE, plan.language, plan.topic);
        let mut words = |part| if erased { MASK.to_owned() } else { line(&mut aside, part, "") };
        let (survey_words, summary, wrap_up) = (words(Part::VisitorClose), words(Part::Explain), words(Part::Comment));
        let facts = &writer.facts;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let number = mix(world.seed, FILE_STREAM, plan.index);
        let consumer = Consumer {
            first_name: facts.name.clone(),
            last_name: facts.surname.clone(),
            email: text(&facts.email),
            phone: text(&facts.phone),
            address: format!("192.0.2.{}", number % 254 + 1),
        };
        let mask = || MASK.to_owned();
        let masked = Consumer { first_name: mask(), last_name: mask(), email: mask(), phone: mask(), address: mask() };
        Self {
            messages,
            consumer: if erased { masked } else { consumer },
            survey_words,
            summary,
            wrap_up,
            order: text(&facts.order),
            product: facts.product.clone(),
        }
    }
}

/// The role of a turn.
pub(super) fn role(turn: &Turn) -> Role {
    match (turn.speaker, turn.kind) {
        (_, Kind::Note) => Role::Note,
        (Speaker::Visitor, _) => Role::Consumer,
        (Speaker::Agent(_), _) => Role::Agent,
        (Speaker::Bot(_), _) => Role::Bot,
        (Speaker::System, _) => Role::System,
    }
}

/// Nickname of whoever is on LivePerson's side.
pub(super) fn nickname(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Agent(agent) => agent_name(agent),
        Speaker::Bot(bot) => BOTS[bot as usize % BOTS.len()],
        Speaker::System | Speaker::Visitor => "LP System",
    }
}

/// Full name of the same.
pub(super) fn full_name(speaker: Speaker) -> String {
    format!("{} Example", nickname(speaker))
}

/// Login name of the same.
pub(super) fn login_name(speaker: Speaker) -> String {
    format!("{}@example.org", nickname(speaker).to_lowercase().replace(' ', "."))
}

/// Number of the same; not the one that the chats have.
pub(super) fn agent_id(speaker: Speaker) -> String {
    (2_200_000_000 + agent_number(speaker)).to_string()
}

fn line(writer: &mut Writer, part: Part, agent: &str) -> String {
    let mut out = Vec::new();
    writer.line(part, agent, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn content(world: &MessagingWorld, plan: &Plan, turn: &Turn, writer: &mut Writer) -> Content {
    let agent = nickname(turn.speaker);
    let number = mix(world.seed, FILE_STREAM, plan.index << 12 ^ turn.seq);
    let mut out = Vec::new();
    match turn.kind {
        Kind::Text | Kind::Note => Content::Text(line(writer, turn.part, agent)),
        Kind::Html => {
            writer.html_line(turn.part, agent, &mut out);
            Content::Html(String::from_utf8_lossy(&out).into_owned())
        }
        Kind::Rich => {
            Content::Rich { text: line(writer, turn.part, agent), button: line(writer, Part::AgentAck, agent) }
        }
        Kind::QuickReplies => {
            let text = line(writer, turn.part, agent);
            Content::QuickReplies {
                text,
                replies: [Part::VisitorAck, Part::VisitorAck].map(|part| line(writer, part, agent)),
            }
        }
        Kind::File => {
            let kind = ["JPG", "PNG", "GIF", "TXT", "PDF"][(number % 5) as usize];
            let path = format!("/v1/AUTH_async-images/{}/{number:016x}_01.{kind}", world.account);
            Content::File { path, kind, caption: line(writer, turn.part, agent) }
        }
        Kind::Link => {
            writer.link(&mut out);
            let address = String::from_utf8_lossy(&out).into_owned();
            Content::Link { address, caption: line(writer, Part::AgentAck, agent) }
        }
        Kind::FormInvitation => Content::FormInvitation { id: number % 900 + 100, name: "Card details" },
        Kind::FormSubmission => Content::FormSubmission { id: number % 900 + 100, name: "Card details" },
    }
}
