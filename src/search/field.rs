//! The names a query can put before a colon, what kind of value each takes, and the labels of every enumeration.
//!
//! One table per question, so that the parser, the printer, the completions and the output agree. Codes and labels
//! are LivePerson's (Data Access, engagement schema); the order inside a table is the order shown to people.

/// Whose words a text is looked for in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// No prefix: every line of the transcript.
    Anywhere,
    /// `consumer:`
    Consumer,
    /// `agent:`
    Agent,
    /// `bot:`
    Bot,
    /// `system:`
    System,
    /// `note:`: lines only agents could see.
    Note,
    /// `raw:`: every line as it was received, with the tags that HTML lines hold.
    Raw,
    /// `sde:` (any engagement attribute) or `sde.<path>:` (the attribute at this path, as typed).
    Sde(Option<String>),
}

/// The scopes that are lines of the transcript, by name.
pub const SPEAKERS: &[(&str, Scope)] = &[
    ("consumer", Scope::Consumer),
    ("agent", Scope::Agent),
    ("bot", Scope::Bot),
    ("system", Scope::System),
    ("note", Scope::Note),
    ("raw", Scope::Raw),
];

/// A fact about a conversation that a query can test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // `FIELDS` gives the name each is typed by; the names say the rest.
pub enum Field {
    Id,
    ConsumerId,
    VisitorId,
    VisitId,
    AgentId,
    AgentName,
    Skill,
    SkillName,
    Campaign,
    Start,
    End,
    Closed,
    Duration,
    Queue,
    EndReason,
    StartReason,
    Mcs,
    Csat,
    Nps,
    Transfers,
    Messages,
    Revisions,
    TransferReason,
    Type,
    Device,
    Origin,
    Status,
    Interactive,
    Survey,
    Summary,
    Intent,
    Source,
    Has,
}

/// What values a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole id, kept as a string: no wildcard, no comparison, no digit lost.
    Id,
    /// Words of a name: word, phrase, wildcard, fuzzy, regex.
    Words,
    /// A point or interval of time.
    Time,
    /// A length of time.
    Duration,
    /// An integer or decimal number.
    Number,
    /// A code, or the label of a known code.
    Code(&'static [CodeLabel]),
    /// One of a closed list.
    Choice(&'static [Choice]),
    /// A whole value from a list LivePerson does not publish; compared without regard to case.
    Keyword,
    /// `true` or `false`.
    Flag,
}

/// A code of an enumeration with its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeLabel {
    /// As stored by LivePerson.
    pub code: i64,
    /// As typed in a query: `visitor-disconnected`.
    pub name: &'static str,
    /// As shown to people: `Visitor disconnected`.
    pub label: &'static str,
}

/// A value of a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The canonical name.
    pub name: &'static str,
    /// Other spellings that mean the same, lower case.
    pub also: &'static [&'static str],
}

const fn code(code: i64, name: &'static str, label: &'static str) -> CodeLabel {
    CodeLabel { code, name, label }
}

const fn choice(name: &'static str, also: &'static [&'static str]) -> Choice {
    Choice { name, also }
}

/// Why a conversation ended (`endReasonId`).
pub const END_REASONS: &[CodeLabel] = &[
    code(101, "transfer-to-agent", "Transfer to agent"),
    code(106, "transfer-to-skill", "Transfer to skill"),
    code(201, "agent-stopped-chat", "Agent stopped chat"),
    code(202, "agent-disconnected", "Agent disconnected"),
    code(205, "visitor-disconnected", "Visitor disconnected"),
    code(208, "visitor-no-longer-in-chat", "Visitor no longer in chat"),
    code(210, "visitor-closed-chat", "Visitor closed chat"),
];

/// Who closed a messaging conversation (`closeReason`); also accepted by `end_reason:`.
pub const CLOSED_BY: &[Choice] = &[choice("agent", &[]), choice("consumer", &[]), choice("system", &[])];

/// Why a conversation began (`startReasonId` of Data Access; Engagement History numbers differently).
pub const START_REASONS: &[CodeLabel] = &[
    code(0, "visitor-request", "Visitor request"),
    code(2, "transfer", "Transfer"),
    code(3, "transfer-failed", "Transfer failed"),
];

/// `type:`
///
/// The last two are records that are no conversation: they are found only by a query that names their type.
pub const TYPES: &[Choice] = &[
    choice("chat", &["live_chat", "live-chat"]),
    choice("messaging", &[]),
    choice("survey", &[]),
    choice("web-session", &["web_session", "websession"]),
];
/// `device:`; `na` is LivePerson's "not available".
pub const DEVICES: &[Choice] =
    &[choice("desktop", &[]), choice("mobile", &[]), choice("tablet", &[]), choice("na", &["unknown"])];
/// `status:`; LivePerson writes `CLOSE`.
pub const STATUSES: &[Choice] = &[choice("open", &[]), choice("closed", &["close"])];
/// `source:`
pub const SOURCES: &[Choice] =
    &[choice("data-access", &[]), choice("messaging-interactions", &[]), choice("engagement-history", &[])];
/// `has:`
pub const FEATURES: &[Choice] = &[
    choice("transfer", &[]),
    choice("sde", &[]),
    choice("form", &[]),
    choice("link", &[]),
    choice("encrypted", &[]),
    choice("revision", &[]),
    choice("masked", &[]),
    choice("survey", &[]),
    choice("file", &[]),
];

/// Every field with the name it is typed by, in the order of the documentation.
pub const FIELDS: &[(Field, &str, Kind)] = &[
    (Field::Id, "id", Kind::Id),
    (Field::ConsumerId, "consumer_id", Kind::Id),
    (Field::VisitorId, "visitor_id", Kind::Id),
    (Field::VisitId, "visit_id", Kind::Id),
    (Field::AgentId, "agent_id", Kind::Id),
    (Field::AgentName, "agent_name", Kind::Words),
    (Field::Skill, "skill", Kind::Id),
    (Field::SkillName, "skill_name", Kind::Words),
    (Field::Campaign, "campaign", Kind::Words),
    (Field::Start, "start", Kind::Time),
    (Field::End, "end", Kind::Time),
    (Field::Closed, "closed", Kind::Time),
    (Field::Duration, "duration", Kind::Duration),
    (Field::Queue, "queue", Kind::Duration),
    (Field::EndReason, "end_reason", Kind::Code(END_REASONS)),
    (Field::StartReason, "start_reason", Kind::Code(START_REASONS)),
    (Field::Mcs, "mcs", Kind::Number),
    (Field::Csat, "csat", Kind::Number),
    (Field::Nps, "nps", Kind::Number),
    (Field::Transfers, "transfers", Kind::Number),
    (Field::Messages, "messages", Kind::Number),
    (Field::Revisions, "revisions", Kind::Number),
    (Field::TransferReason, "transfer_reason", Kind::Keyword),
    (Field::Type, "type", Kind::Choice(TYPES)),
    (Field::Device, "device", Kind::Choice(DEVICES)),
    (Field::Origin, "origin", Kind::Keyword),
    (Field::Status, "status", Kind::Choice(STATUSES)),
    (Field::Interactive, "interactive", Kind::Flag),
    (Field::Survey, "survey", Kind::Words),
    (Field::Summary, "summary", Kind::Words),
    (Field::Intent, "intent", Kind::Words),
    (Field::Source, "source", Kind::Choice(SOURCES)),
    (Field::Has, "has", Kind::Choice(FEATURES)),
];

impl Field {
    /// The name it is typed by, without the colon.
    pub fn name(self) -> &'static str {
        // The table holds every variant (tested), so the fallback is never seen.
        FIELDS.iter().find(|(field, ..)| *field == self).map_or("?", |(_, name, _)| name)
    }

    /// What values it takes.
    pub fn kind(self) -> Kind {
        FIELDS.iter().find(|(field, ..)| *field == self).map_or(Kind::Keyword, |(.., kind)| *kind)
    }
}

/// The human label of an end reason: 205 is "Visitor disconnected".
pub fn end_reason_label(code: i64) -> Option<&'static str> {
    END_REASONS.iter().find(|known| known.code == code).map(|known| known.label)
}

/// The human label of a start reason of Data Access.
pub fn start_reason_label(code: i64) -> Option<&'static str> {
    START_REASONS.iter().find(|known| known.code == code).map(|known| known.label)
}

/// What stands before a colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    Scope(Scope),
    Field(Field),
}

impl Prefix {
    /// Finds a prefix by what was typed before the colon, case ignored except in an attribute's path.
    pub(super) fn named(typed: &str) -> Option<Prefix> {
        let lower = typed.to_ascii_lowercase();
        if lower == "sde" {
            return Some(Prefix::Scope(Scope::Sde(None)));
        }
        if lower.starts_with("sde.") {
            let path = typed.get("sde.".len()..)?;
            // A colon would end the path where it is printed.
            let whole = path.split('.').all(|segment| !segment.is_empty() && !segment.contains(':'));
            return whole.then(|| Prefix::Scope(Scope::Sde(Some(path.to_owned()))));
        }
        if lower == "conversation_id" {
            return Some(Prefix::Field(Field::Id));
        }
        if let Some((_, scope)) = SPEAKERS.iter().find(|(name, _)| *name == lower) {
            return Some(Prefix::Scope(scope.clone()));
        }
        FIELDS.iter().find(|(_, name, _)| *name == lower).map(|(field, ..)| Prefix::Field(*field))
    }

    /// Whether the values are text, with wildcards and the like.
    pub(super) fn takes_text(&self) -> bool {
        match self {
            Prefix::Scope(_) => true,
            Prefix::Field(field) => field.kind() == Kind::Words,
        }
    }

    /// The name as printed, without the colon.
    pub(super) fn name(&self) -> String {
        match self {
            Prefix::Field(field) => field.name().to_owned(),
            Prefix::Scope(Scope::Sde(None)) => "sde".to_owned(),
            Prefix::Scope(Scope::Sde(Some(path))) => format!("sde.{path}"),
            Prefix::Scope(scope) => {
                SPEAKERS.iter().find(|(_, known)| known == scope).map_or(String::new(), |(name, _)| (*name).to_owned())
            }
        }
    }
}

/// Every name a query can put before a colon.
pub fn names() -> impl Iterator<Item = &'static str> {
    let speakers = SPEAKERS.iter().map(|(name, _)| *name);
    let fields = FIELDS.iter().map(|(_, name, _)| *name);
    speakers.chain(fields).chain(std::iter::once("sde"))
}

/// The candidate that looks most like what was typed, if any looks like it at all.
pub(super) fn nearest<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    // 0.5: `agnt` is 0.8 like `agent`; beyond half the letters a suggestion is noise.
    candidates
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&typed, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
