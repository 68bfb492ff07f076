//! Encodes one messaging conversation as the Messaging Interactions API answers it.
//!
//! The plan is cut at `now`. Names and types follow the samples of the documentation; where table
//! and sample differ, or an id is a number here and a string there, the plan's random bits choose.
//! What comes after the words (scores, surveys, attributes) is in `record/after.rs`.

mod after;

use serde_json::{Map, Value, json};

use super::plan::{Assignment, Plan, REASONS, Turn};
use super::talk::{Content, Role, Talk, agent_id, full_name, login_name, nickname, role};
use super::truth::{dialog_id, message_id};
use super::{MessagingWorld, sde};
use crate::simulator::answer::local;
use crate::simulator::dice::mix;
use crate::simulator::plan::{PAGES, SKILLS, Speaker};

/// Content types of the answer when none are named.
const DEFAULTS: [&str; 14] = [
    "campaign",
    "messageRecords",
    "agentParticipants",
    "agentParticipantsLeave",
    "agentParticipantsActive",
    "consumerParticipants",
    "transfers",
    "interactions",
    "messageScores",
    "messageStatuses",
    "conversationSurveys",
    "coBrowseSessions",
    "summary",
    "sdes",
];
const PERSON_STREAM: u64 = 65;
/// How many messages a cut record keeps, as a share of all: one half.
const CUT_SHARE: usize = 2;

/// How a record is wanted.
#[derive(Debug)]
pub(super) struct View {
    /// 1 or 2.
    pub(super) version: u32,
    /// Whole records; a list search cuts messages and attributes.
    pub(super) by_id: bool,
    /// Content types that were named; none for the defaults.
    pub(super) content: Option<Vec<String>>,
    pub(super) now_ms: i64,
}

impl View {
    fn wants(&self, name: &str) -> bool {
        match &self.content {
            Some(named) => named.iter().any(|named| named.eq_ignore_ascii_case(name)),
            None => DEFAULTS.contains(&name),
        }
    }
}

/// One element of `conversationHistoryRecords`.
pub(super) fn of(world: &MessagingWorld, plan: &Plan, view: &View) -> Value {
    let talk = Talk::new(world, plan, view.now_ms);
    let encoder = Encoder { world, plan, view, talk, id: world.id_of(plan.index) };
    let mut record = Map::new();
    record.insert("info".to_owned(), encoder.info());
    let mut put = |name: &str, make: &dyn Fn() -> Value| {
        if view.wants(name) {
            let old = name == "consumerParticipants" && plan.quirks >> 40 & 63 == 0;
            let shown = if old { "consumerParticipant" } else { name };
            record.insert(shown.to_owned(), make());
        }
    };
    put("campaign", &|| encoder.campaign());
    put("monitoring", &|| encoder.monitoring());
    put("messageRecords", &|| encoder.messages());
    put("agentParticipants", &|| encoder.agents(|held| Some(held.from_ms)));
    let active = |held: &Assignment| (encoder.is_open() && encoder.left_ms(held).is_none()).then_some(held.from_ms);
    put("agentParticipantsActive", &|| encoder.agents(active));
    put("agentParticipantsLeave", &|| encoder.agents(|held| encoder.left_ms(held)));
    put("consumerParticipants", &|| encoder.consumer());
    put("transfers", &|| encoder.transfers());
    put("interactions", &|| encoder.interactions());
    put("dialogs", &|| encoder.dialogs());
    put("messageScores", &|| encoder.scores());
    put("messageStatuses", &|| encoder.statuses());
    put("conversationSurveys", &|| encoder.surveys());
    put("coBrowseSessions", &|| encoder.co_browsing());
    put("summary", &|| encoder.summary());
    put("sdes", &|| encoder.sdes(true));
    // Only the second version knows the unauthenticated ones.
    if view.version == 2 {
        put("unAuthSdes", &|| encoder.sdes(false));
    }
    put("responseTime", &|| encoder.response_time());
    put("skillChanges", &|| json!([]));
    put("intents", &|| encoder.intents());
    put("uniqueIntents", &|| encoder.unique_intents());
    put("latestAgentSurvey", &|| encoder.wrap_up());
    put("previouslySubmittedAgentSurveys", &|| json!([]));
    Value::Object(record)
}

struct Encoder<'a> {
    world: &'a MessagingWorld,
    plan: &'a Plan,
    view: &'a View,
    talk: Talk,
    id: String,
}

impl Encoder<'_> {
    fn is_open(&self) -> bool {
        self.plan.is_open(self.view.now_ms)
    }

    fn left_ms(&self, held: &Assignment) -> Option<i64> {
        held.until_ms.filter(|&until_ms| until_ms <= self.view.now_ms)
    }

    /// An id as number or string, by bit `bit` of the record's mood.
    fn mood(&self, bit: u32, id: i64) -> Value {
        if self.plan.quirks >> bit & 3 == 0 { json!(id.to_string()) } else { json!(id) }
    }

    fn consumer_id(&self) -> String {
        // The digits of another stream, so that it does not look like the conversation's.
        let number = mix(self.world.seed, PERSON_STREAM, self.plan.index);
        let other = mix(self.world.seed, PERSON_STREAM + 1, self.plan.index);
        let (high, low) = (number >> 32, number & 0xFFFF);
        format!(
            "{high:08x}-{low:04x}-4{:03x}-9{:03x}-{:012x}",
            other >> 52,
            number >> 16 & 0xFFF,
            other & ((1 << 48) - 1)
        )
    }

    fn info(&self) -> Value {
        let (plan, now_ms) = (self.plan, self.view.now_ms);
        let open = self.is_open();
        let closed_ms = (!open).then_some(plan.close_ms);
        let full_end_ms = plan.full_end_ms(now_ms);
        let agent = plan.latest_assignment(now_ms).map(|held| held.speaker);
        let skill = plan.skill(now_ms).map(|skill| SKILLS[skill]);
        let mobile = matches!(plan.channel.0, "APP" | "SMS") || plan.quirks >> 20 & 3 == 0;
        let queued = plan.latest_assignment(now_ms).is_none_or(|held| self.left_ms(held).is_some());
        let mut info = Map::new();
        time(&mut info, "startTime", Some(plan.start_ms));
        time(&mut info, "endTime", plan.end_ms(now_ms));
        time(&mut info, "conversationEndTime", closed_ms);
        time(&mut info, "fullDialogEndTime", full_end_ms);
        let facts = json!({
            "duration": closed_ms.unwrap_or(now_ms) - plan.start_ms,
            "conversationId": self.id, "brandId": self.world.account,
            "latestAgentId": agent.map_or_else(|| "-1".to_owned(), agent_id),
            "latestAgentNickname": agent.map_or("undefined", nickname),
            "latestAgentFullName": agent.map_or_else(|| "undefined".to_owned(), full_name),
            "latestAgentLoginName": agent.map_or_else(|| "undefined".to_owned(), login_name),
            "agentDeleted": false,
            "latestSkillId": self.mood(0, skill.map_or(-1, |(number, _)| number)),
            "latestSkillName": skill.map_or("Unassigned", |(_, name)| name),
        });
        let rest = json!({
            "source": plan.channel.0, "status": if open { "OPEN" } else { "CLOSE" },
            "fullDialogStatus": if full_end_ms.is_none() { "OPEN" } else { "CLOSE" },
            "firstConversation": plan.quirks >> 22 & 1 == 0,
            "device": if mobile { "MOBILE" } else { ["DESKTOP", "TABLET", "NA"][(plan.quirks >> 23 & 3) as usize % 3] },
            "browser": if mobile { "undefined" } else { "Firefox 126.0" },
            "operatingSystem": if mobile { "IOS" } else { "NA" },
            "latestAgentGroupId": -1, "latestAgentGroupName": "Unassigned",
            "latestQueueState": if open && queued { "IN_QUEUE" } else { "ACTIVE" },
            "isPartial": self.is_cut(),
            "sessionId": "undefined", "interactionContextId": "undefined", "timeZone": "Europe/London",
            "features": ["PHOTOSHARING", "RICHCONTENT", "QUICKREPLIES"], "language": "en-GB",
            "integration": plan.channel.1, "integrationVersion": "5.9.0", "appId": "org.example.shop", "appVersion": "3.2",
            "ipAddress": self.talk.consumer.address, "wasStepUp": plan.quirks >> 25 & 15 == 0,
            "pendingAgentSurvey": plan.afterwards.wrap_up_ms.is_some_and(|at_ms| !open && at_ms > now_ms),
            "firstIntentName": self.intent().0, "firstIntentLabel": self.intent().1,
        });
        for part in [facts, rest] {
            info.extend(part.as_object().cloned().unwrap_or_default());
        }
        if !open {
            let described = if plan.closed_by == "SYSTEM" { "TIMEOUT" } else { "MANUAL_CLOSE" };
            info.insert("closeReason".to_owned(), json!(plan.closed_by));
            info.insert("closeReasonDescription".to_owned(), json!(described));
        }
        if let Some(mcs) = plan.mcs_at(now_ms) {
            info.insert("mcs".to_owned(), json!(mcs));
            info.insert("alertedMCS".to_owned(), json!(i64::from(mcs >= 40) + i64::from(mcs >= 60) - 1));
        }
        if let Some(csat) = plan.survey.filter(|survey| survey.end_ms <= now_ms).and_then(|survey| survey.csat) {
            let name = if plan.quirks >> 29 & 7 == 0 { "csat" } else { "csatRate" };
            info.insert(name.to_owned(), json!(csat));
        }
        Value::Object(info)
    }

    fn campaign(&self) -> Value {
        let number = (self.plan.quirks >> 32 & 31) as i64;
        json!({
            "campaignEngagementId": self.mood(2, 880_013_000 + number), "campaignEngagementName": "Messaging button",
            "campaignId": self.mood(4, 880_011_200 + number), "campaignName": "Support",
            "goalId": "880010010", "goalName": "Help", "engagementAgentNote": "", "engagementSource": "WEB_SITE",
            "visitorBehaviorId": "880011110", "visitorBehaviorName": "Any",
            "engagementApplicationId": "5b2b9bb4-0b9a-4a1f-8b6a-0a0a0a0a0a0a", "engagementApplicationName": "Shop",
            "engagementApplicationTypeId": "2c2c9bb4-0b9a-4a1f-8b6a-0b0b0b0b0b0b",
            "engagementApplicationTypeName": "Mobile App", "visitorProfileId": "880011010", "visitorProfileName": "All",
            "lobId": if number == 0 { -1 } else { 880_010_510 }, "lobName": if number == 0 { "NA" } else { "Retail" },
            "locationId": "880010610", "locationName": "Entire site", "profileSystemDefault": true,
            "behaviorSystemDefault": true,
        })
    }

    fn monitoring(&self) -> Value {
        let (title, path) = PAGES[(self.plan.quirks >> 37 & 7) as usize];
        json!({
            "country": "United Kingdom", "countryCode": "GB", "state": "undefined", "city": "undefined",
            "isp": "ExampleNet", "org": "ExampleNet", "device": "MOBILE", "ipAddress": self.talk.consumer.address,
            "browser": "undefined", "operatingSystem": "IOS",
            "conversationStartPage": format!("https://shop.example.org/{path}"), "conversationStartPageTitle": title,
        })
    }

    /// True when this answer leaves messages out.
    fn is_cut(&self) -> bool {
        self.plan.cut && !self.view.by_id
    }

    fn messages(&self) -> Value {
        let said = &self.talk.messages;
        let kept = if self.is_cut() { said.len().div_ceil(CUT_SHARE) } else { said.len() };
        said[..kept].iter().map(|(turn, content)| self.message(turn, content)).collect()
    }

    fn message(&self, turn: &Turn, content: &Content) -> Value {
        let mut message = Map::new();
        time(&mut message, "time", Some(turn.at_ms));
        let role = role(turn);
        let rest = json!({
            "type": content.type_name(), "messageData": message_data(content, self.view.by_id),
            "messageId": message_id(&self.id, turn.in_survey, turn.seq),
            "seq": self.mood(6, turn.seq as i64), "dialogId": dialog_id(&self.id, turn.in_survey),
            "participantId": if role == Role::Consumer { self.consumer_id() } else { agent_id(turn.speaker) },
            "source": self.plan.channel.0, "device": "undefined",
            "audience": if role == Role::Note { "AGENTS_AND_MANAGERS" } else { "ALL" },
            "sentBy": if role == Role::Consumer { "Consumer" } else { "Agent" },
        });
        if let Value::Object(rest) = rest {
            message.extend(rest);
        }
        if role == Role::Bot {
            let response = json!({
                "externalConversationId": format!("x-{}", self.plan.index), "businessCases": ["orders"],
                "intents": [{ "id": "order.where", "name": "order", "confidence": "HIGH", "confidenceScore": 0.75 }],
            });
            let mut raw = response.clone();
            raw["type"] = json!("BotResponse");
            let context = json!({
                "rawMetadata": json!([raw]).to_string(), "structuredMetadata": [{ "botResponse": response }],
            });
            message.insert("contextData".to_owned(), context);
        }
        Value::Object(message)
    }

    /// Those for whom `instant` gives a time.
    fn agents(&self, instant: impl Fn(&Assignment) -> Option<i64>) -> Value {
        let held = self.plan.assignments.iter().filter(|held| held.from_ms <= self.view.now_ms);
        let agents = held.filter_map(|held| {
            let at_ms = instant(held)?;
            let (kind, kind_name) = match held.speaker {
                Speaker::Bot(_) => ("2", "Bot"),
                Speaker::System => ("0", "System"),
                _ => ("1", "Human"),
            };
            let mut agent = json!({
                "agentFullName": full_name(held.speaker), "agentNickname": nickname(held.speaker),
                "agentLoginName": login_name(held.speaker), "agentDeleted": false,
                "agentId": agent_id(held.speaker), "userType": kind, "userTypeName": kind_name, "role": "AGENT",
                "agentGroupName": "Unassigned", "agentGroupId": -1, "permission": "ASSIGNED_AGENT", "dialogId": self.id,
            });
            with_time(&mut agent, "time", Some(at_ms));
            Some(agent)
        });
        agents.collect()
    }

    fn consumer(&self) -> Value {
        let consumer = &self.talk.consumer;
        let mut shown = json!({
            "participantId": self.consumer_id(), "firstName": consumer.first_name, "lastName": consumer.last_name,
            "token": "undefined", "email": consumer.email, "phone": consumer.phone, "avatarURL": "undefined",
            "consumerName": consumer.first_name, "dialogId": self.id,
        });
        with_time(&mut shown, "time", Some(self.plan.start_ms));
        with_time(&mut shown, "joinTime", Some(self.plan.start_ms));
        json!([shown])
    }

    fn transfers(&self) -> Value {
        let moved = self.plan.transfers.iter().filter(|moved| moved.at_ms <= self.view.now_ms);
        let moved = moved.map(|moved| {
            let (from, to) = (moved.from_skill.map(|skill| SKILLS[skill]), SKILLS[moved.to_skill]);
            let mut transfer = json!({
                "assignedAgentId": moved.to.map_or_else(|| "null".to_owned(), agent_id),
                "targetSkillId": self.mood(8, to.0), "targetSkillName": to.1, "reason": REASONS[moved.reason],
                "by": agent_id(moved.from),
                "sourceSkillId": self.mood(8, from.map_or(-1, |(number, _)| number)),
                "sourceSkillName": from.map_or("Unassigned", |(_, name)| name),
                "sourceAgentId": agent_id(moved.from), "sourceAgentFullName": full_name(moved.from),
                "sourceAgentLoginName": login_name(moved.from), "sourceAgentNickname": nickname(moved.from),
                "dialogId": self.id,
            });
            if let Some(agent) = moved.to {
                transfer["assignedAgentFullName"] = json!(full_name(agent));
                transfer["assignedAgentLoginName"] = json!(login_name(agent));
                transfer["assignedAgentNickname"] = json!(nickname(agent));
            }
            with_time(&mut transfer, "time", Some(moved.at_ms));
            transfer
        });
        moved.collect()
    }

    fn interactions(&self) -> Value {
        let prefix = if self.plan.quirks >> 10 & 7 == 0 { "agent" } else { "assignedAgent" };
        let spoke = |held: &&Assignment| held.first_message_ms.is_some_and(|at_ms| at_ms <= self.view.now_ms);
        let interactions = self.plan.assignments.iter().filter(spoke).enumerate().map(|(place, held)| {
            let mut interaction = json!({
                "assignedAgentId": agent_id(held.speaker), "interactiveSequence": place + 1, "dialogId": self.id,
                format!("{prefix}FullName"): full_name(held.speaker),
                format!("{prefix}LoginName"): login_name(held.speaker),
                format!("{prefix}Nickname"): nickname(held.speaker),
            });
            with_time(&mut interaction, "interactionTime", held.first_message_ms);
            interaction
        });
        interactions.collect()
    }

    fn dialogs(&self) -> Value {
        let (plan, now_ms) = (self.plan, self.view.now_ms);
        let dialog = |in_survey: bool, start_ms: i64, end_ms: Option<i64>| {
            let skill = plan.skill(now_ms).map(|skill| SKILLS[skill]);
            let mut dialog = json!({
                "dialogId": dialog_id(&self.id, in_survey), "status": if end_ms.is_some() { "CLOSE" } else { "OPEN" },
                "dialogType": if in_survey { "POST_SURVEY" } else { "MAIN" }, "dialogChannelType": "MESSAGING",
                "skillId": self.mood(12, skill.map_or(-1, |(number, _)| number)),
                "skillName": skill.map_or("Unassigned", |(_, name)| name),
            });
            if end_ms.is_some() {
                dialog["closeReason"] = json!(if in_survey { "SYSTEM" } else { plan.closed_by });
                dialog["closeReasonDescription"] = json!("MANUAL_CLOSE");
            }
            with_time(&mut dialog, "startTime", Some(start_ms));
            with_time(&mut dialog, "endTime", end_ms);
            dialog
        };
        let closed_ms = (!self.is_open()).then_some(plan.close_ms);
        let mut dialogs = vec![dialog(false, plan.start_ms, closed_ms)];
        if let (Some(survey), Some(closed_ms)) = (plan.survey, closed_ms) {
            dialogs.push(dialog(true, closed_ms, Some(survey.end_ms).filter(|&end_ms| end_ms <= now_ms)));
        }
        Value::Array(dialogs)
    }
}

/// Adds an instant in both forms: text, and a number under the name with `L`.
fn time(object: &mut Map<String, Value>, name: &str, at_ms: Option<i64>) {
    object.insert(name.to_owned(), json!(at_ms.map_or_else(|| "undefined".to_owned(), time_text)));
    object.insert(format!("{name}L"), json!(at_ms.unwrap_or(-1)));
}

fn with_time(object: &mut Value, name: &str, at_ms: Option<i64>) {
    if let Value::Object(object) = object {
        time(object, name, at_ms);
    }
}

/// `2024-06-01 08:30:12.345+0000`.
pub(in crate::simulator) fn time_text(at_ms: i64) -> String {
    local(at_ms, 0, "%Y-%m-%d %H:%M:%S%.3f%z")
}

/// The forms a message's data can have; JSON stands inside strings.
fn message_data(content: &Content, by_id: bool) -> Value {
    match content {
        Content::Text(text) | Content::Html(text) => json!({ "msg": { "text": text } }),
        Content::Rich { text, button } => {
            let click = json!({ "actions": [{ "type": "publishText", "text": button }] });
            let elements = json!([
                { "type": "text", "text": text, "style": { "bold": true } },
                { "type": "image", "url": "https://shop.example.org/i.png" },
                { "type": "button", "title": button, "click": click },
            ]);
            let content = json!({ "type": "vertical", "tag": "generic", "elements": elements });
            json!({ "richContent": { "content": content.to_string() } })
        }
        Content::QuickReplies { text, replies } => {
            let reply = |text: &String| {
                let click = json!({ "actions": [{ "type": "publishText", "text": text }] });
                json!({ "type": "button", "title": text, "click": click })
            };
            let replies: Vec<Value> = replies.iter().map(reply).collect();
            let content = json!({ "type": "quickReplies", "itemsPerRow": 2, "replies": replies });
            json!({ "msg": { "text": text }, "quickReplies": { "content": content.to_string() } })
        }
        Content::File { path, kind, caption } => {
            let mut file = json!({ "relativePath": path, "fileType": kind, "caption": caption });
            if by_id {
                // A preview comes by id only; these are the first bytes of a GIF.
                file["preview"] = json!("R0lGODlhAQABAA==");
            }
            json!({ "file": file })
        }
        Content::Link { address, caption } => {
            json!({ "link": { "externalFileLink": address, "fileType": "undefined", "caption": caption } })
        }
        Content::FormInvitation { id, name } => {
            json!({ "secureForm": { "formId": id.to_string(), "formName": name, "invitationId": format!("inv-{id}") } })
        }
        Content::FormSubmission { id, name } => json!({ "secureForm": {
            "formId": id.to_string(), "formName": name, "invitationId": format!("inv-{id}"), "submissionId": format!("sub-{id}"),
        }}),
    }
}
