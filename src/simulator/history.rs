//! Engagement History: the same chats as the Data Access files, asked for by search.
//!
//! A chat appears some minutes after its end, and is enriched (attributes, survey answers) two
//! hours after it. Transfers and queue times are not told here. Chats without an id (the defect of
//! 2017) and conversations of type MESSAGING are not part of this API.

use serde_json::{Map, Value, json};

use super::calendar::HOUR_MS;
use super::dice::{Dice, mix};
use super::messaging::{strings, time_text};
use super::plan::{PAGES, Plan, Planned, SKILLS, Speaker, Style, agent_name, agent_number};
use super::request::{Asked, Page, Refusal, Reply, TimeRange, link, object, parameter};
use super::script::Fault;
use super::text::Writer;
use super::vocab::Part;
use super::world::{World, write_line};

/// When metadata are final, after the end.
const ENRICHED_AFTER_MS: i64 = 2 * HOUR_MS;
/// When a transcript can be found, after the end.
const FOUND_AFTER_MS: i64 = 300_000;
/// No chat lasts longer: 200 lines of at most ten minutes, the waits, and a revision.
const LONGEST_CHAT_MS: i64 = 72 * HOUR_MS;
const LONGEST_MONTHS: i32 = 1;
const FILTERS: [&str; 4] = ["start", "engagementId", "ended", "interactive"];
const SORTS: [&str; 8] = ["start", "end", "duration", "visitor", "engagementId", "interactive", "agentId", "skillId"];
const SHARDS: u64 = 3;
const SIDE_STREAM: u64 = 81;
const CUT_STREAM: u64 = 82;
/// Chats that a list search cuts (`isPartial`), per thousand.
const CUT_PERMILLE: u64 = 20;
/// Sets the words of surveys apart from those of the transcript.
const ASIDE: u64 = 1 << 60;

/// Engagement attributes of one chat as a reader should find them, and its survey answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthEngagement {
    /// Account and chat id, as in the Data Access files.
    pub id: String,
    /// Start of the interaction, with which `start` is compared, epoch milliseconds.
    pub start_ms: i64,
    /// End, epoch milliseconds.
    pub end_ms: i64,
    /// True once the metadata are final.
    pub enriched: bool,
    /// Texts of all lines.
    pub lines: Vec<String>,
    /// True when a search by time cuts the lines; by id all come.
    pub cut: bool,
    /// Texts of the answers to all surveys.
    pub answers: Vec<String>,
    /// `customerId` among the attributes, once they are there.
    pub customer_id: Option<String>,
}

impl World {
    /// What the Engagement History says of conversation `index` at an instant; none while it says nothing.
    #[must_use]
    pub fn engagement(&self, index: u64, now_ms: i64) -> Option<TruthEngagement> {
        let chat = Chat::find(self, index, now_ms)?;
        let answers = chat.answers.iter().map(|(_, _, answer)| answer.clone()).collect();
        Some(TruthEngagement {
            id: chat.id(),
            start_ms: chat.plan.connect_ms,
            end_ms: chat.plan.end_ms,
            enriched: chat.enriched,
            cut: chat.cut,
            lines: chat.lines.into_iter().map(|(_, text)| text).collect(),
            answers,
            customer_id: chat.enriched.then(|| customer_id(self, index)),
        })
    }
}

/// `POST …/interactions/search`.
pub(super) fn search(world: &World, asked: &Asked) -> Result<Reply, Refusal> {
    let page = Page::of_search(&asked.query, asked.window)?;
    let sort = sort(&asked.query)?;
    let body = object(&asked.body)?;
    if let Some(unknown) = body.keys().find(|key| !FILTERS.contains(&key.as_str())) {
        return Err(Refusal::bad(format!("the filter {unknown} is not simulated")));
    }
    let start = TimeRange::of(&body, "start", LONGEST_MONTHS, asked.now_ms)?;
    let wanted = body.get("engagementId").and_then(Value::as_str);
    let start = match (start, wanted) {
        // Limits of time are ignored beside an id.
        (_, Some(_)) => TimeRange { from_ms: i64::MIN / 2, to_ms: i64::MAX / 2 },
        (Some(start), None) => start,
        (None, None) => return Err(Refusal::bad("start is required")),
    };
    let interactive_only = body.get("interactive") == Some(&Value::Bool(true));
    let mut late = asked.has(&Fault::NotYet);
    let mut found = Found { page, sort, count: 0, keys: Vec::new() };
    let candidates = match wanted {
        Some(id) => world.index_of_chat(id).map_or(0..0, |index| index..index + 1),
        None => world.closing(start.from_ms, start.to_ms.saturating_add(LONGEST_CHAT_MS)),
    };
    for index in candidates {
        let Some(plan) = visible(world, index, asked.now_ms) else {
            continue;
        };
        let id_fits = wanted.is_none_or(|wanted| engagement_id(world, &plan) == wanted);
        if !id_fits || !start.holds(plan.connect_ms) || interactive_only && !plan.interactive {
            continue;
        }
        if std::mem::take(&mut late) || asked.has(&Fault::PartialResult) && index.is_multiple_of(SHARDS) {
            continue;
        }
        found.add(index, &plan);
    }
    if found.count == 0 && asked.has(&Fault::NoContent) {
        return Ok(Reply::NoContent);
    }
    let (count, indexes) = found.finish();
    let chats = indexes.into_iter().filter_map(|index| Chat::find(world, index, asked.now_ms));
    let records: Vec<Value> = chats.map(|chat| chat.record(wanted.is_some())).collect();
    let mut answer = json!({ "_metadata": metadata(asked, page, count) });
    if !asked.has(&Fault::WithoutRecords) {
        answer["interactionHistoryRecords"] = Value::Array(records);
    }
    Ok(Reply::Found(answer))
}

fn metadata(asked: &Asked, page: Page, count: u64) -> Value {
    let partial = asked.has(&Fault::PartialResult);
    let (offset, limit) = (u64::from(page.offset), u64::from(page.limit));
    let last = count.saturating_sub(1) / limit * limit;
    let mut metadata = json!({
        "count": count,
        "self": link("self", &asked.address, page.limit, offset),
        "last": link("last", &asked.address, page.limit, last),
        "shardsStatusResult": {
            "partialResult": partial, "failureShards": if partial { 2 } else { 0 }, "totalShards": 6,
        },
    });
    if offset + limit < count {
        metadata["next"] = link("next", &asked.address, page.limit, offset + limit);
    }
    if offset > 0 {
        metadata["prev"] = link("prev", &asked.address, page.limit, offset.saturating_sub(limit));
    }
    metadata
}

/// Field and direction of the first sort key; further keys are checked but cannot matter, because
/// equal keys come in the order of the account.
fn sort(query: &str) -> Result<(String, bool), Refusal> {
    let text = parameter(query, "sort").unwrap_or_else(|| "start:desc".to_owned());
    let keys = text.split(',').map(|key| match key.split_once(':') {
        Some((field, way @ ("asc" | "desc" | "des"))) if SORTS.contains(&field) => Ok((field.to_owned(), way != "asc")),
        _ => Err(Refusal::bad(format!("sort: {key:?} is not one of {} with :asc or :desc", SORTS.join(", ")))),
    });
    let keys: Vec<(String, bool)> = keys.collect::<Result<_, _>>()?;
    keys.into_iter().next().ok_or_else(|| Refusal::bad("sort is empty"))
}

/// The matches of one page.
#[derive(Debug)]
struct Found {
    page: Page,
    sort: (String, bool),
    count: u64,
    /// Sort key and number of the matches that can still be on the page.
    keys: Vec<(i64, u64)>,
}

impl Found {
    fn add(&mut self, index: u64, plan: &Plan) {
        self.count += 1;
        let key = match self.sort.0.as_str() {
            "end" => plan.end_ms,
            "duration" => plan.end_ms - plan.connect_ms,
            "visitor" | "engagementId" => index as i64,
            "interactive" => i64::from(plan.interactive),
            "agentId" => i64::from(plan.agent),
            "skillId" => plan.skills.last().map_or(-1, |&skill| SKILLS[skill].0),
            _ => plan.connect_ms,
        };
        self.keys.push((if self.sort.1 { -key } else { key }, index));
        // Twice the page's end is kept at most, so that sorting is rare and memory bounded.
        let needed = self.page.offset as usize + self.page.limit as usize;
        if self.keys.len() >= 2 * needed {
            self.keys.sort_unstable();
            self.keys.truncate(needed);
        }
    }

    fn finish(mut self) -> (u64, Vec<u64>) {
        self.keys.sort_unstable();
        let page = self.keys.into_iter().skip(self.page.offset as usize).take(self.page.limit as usize);
        (self.count, page.map(|(_, index)| index).collect())
    }
}

/// The plan of a chat that this API tells of by now, in the telling of that time.
fn visible(world: &World, index: u64, now_ms: i64) -> Option<Plan> {
    if index >= world.config().conversations {
        return None;
    }
    let latest = world.plan(index, true);
    let plan = if latest.end_ms + FOUND_AFTER_MS <= now_ms { latest } else { world.plan(index, false) };
    let is_chat = !plan.messaging && plan.digits.is_some();
    (is_chat && plan.end_ms + FOUND_AFTER_MS <= now_ms).then_some(plan)
}

fn engagement_id(world: &World, plan: &Plan) -> String {
    format!("{}{}", world.config().account_id, plan.digits.unwrap_or(0))
}

fn customer_id(world: &World, index: u64) -> String {
    format!("C-{:012}", mix(world.config().seed, SIDE_STREAM, index) % 1_000_000_000_000)
}

/// One chat with its words.
struct Chat<'a> {
    world: &'a World,
    plan: Plan,
    lines: Vec<(Planned, String)>,
    writer: Writer,
    enriched: bool,
    cut: bool,
    /// Survey, question and answer.
    answers: Vec<(&'static str, &'static str, String)>,
}

impl<'a> Chat<'a> {
    fn find(world: &'a World, index: u64, now_ms: i64) -> Option<Self> {
        let plan = visible(world, index, now_ms)?;
        let mut writer = world.writer(&plan);
        let mut lines = Vec::with_capacity(plan.messages.len());
        for message in &plan.messages {
            let mut text = Vec::new();
            write_line(&mut writer, &plan, message, &mut text);
            lines.push((*message, String::from_utf8_lossy(&text).into_owned()));
        }
        let enriched = plan.end_ms + ENRICHED_AFTER_MS <= now_ms;
        let chance = mix(world.config().seed, CUT_STREAM, index) % 1000;
        let cut = lines.len() > 3 && chance < CUT_PERMILLE;
        let mut chat = Self { world, plan, lines, writer, enriched, cut, answers: Vec::new() };
        chat.answers = chat.surveys();
        Some(chat)
    }

    fn id(&self) -> String {
        engagement_id(self.world, &self.plan)
    }

    /// Before the chat at once, after it when the record is enriched.
    fn surveys(&self) -> Vec<(&'static str, &'static str, String)> {
        let dice = &mut Dice::new(self.world.config().seed, SIDE_STREAM, self.plan.index);
        let mut answers = Vec::new();
        let (before, after, by_agent) = (dice.permille(300), dice.permille(250), dice.permille(150));
        if before {
            answers.push(("preChat", "Your name", self.writer.facts.name.clone()));
        }
        let mut aside =
            Writer::new(self.world.config().seed, self.plan.index | ASIDE, self.plan.language, self.plan.topic());
        let mut words = |part| {
            let mut out = Vec::new();
            aside.line(part, agent_name(self.plan.agent), &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let (closing, comment) = (words(Part::VisitorClose), words(Part::Comment));
        if after && self.enriched {
            let grade = *dice.pick(&["Very well", "Well", "Badly"]);
            answers.push(("postChat", "How did we do?", grade.to_owned()));
            answers.push(("postChat", "Anything else?", closing));
        }
        if by_agent && self.enriched {
            answers.push(("operator", "What was it about?", comment));
        }
        answers
    }

    /// The record; a cut one has its second half only when it was asked for by its id.
    fn record(&self, by_id: bool) -> Value {
        let plan = &self.plan;
        let partial = self.cut && !by_id;
        let shown = if partial { self.lines.len().div_ceil(2) } else { self.lines.len() };
        let mut info = self.info();
        info["isPartial"] = json!(partial);
        let scored = self.lines[..shown]
            .iter()
            .enumerate()
            .filter_map(|(place, (line, _))| line.score.map(|score| (place, score)));
        let scores: Vec<Value> = scored
            .map(|(place, score)| json!({ "lineSeq": place.to_string(), "lineRawScore": -1, "mcs": score }))
            .collect();
        let lines: Vec<Value> =
            self.lines[..shown].iter().enumerate().map(|(place, (line, text))| self.line(place, line, text)).collect();
        let campaign = plan.campaign.map(|(campaign, engagement)| {
            json!({
                "campaignEngagementId": (880_013_000 + u64::from(engagement)).to_string(),
                "campaignEngagementName": "Button", "campaignId": (880_011_200 + u64::from(campaign)).to_string(),
                "campaignName": "Support", "goalId": "880010010", "goalName": "Help", "engagementAgentNote": "",
                "visitorBehaviorId": "880011110", "visitorBehaviorName": "Any", "visitorProfileId": "880011010",
                "visitorProfileName": "All", "lobId": if campaign.is_multiple_of(2) { json!("-1") } else { json!(-1) }, "lobName": "NA",
            })
        });
        let surveys = ["preChat", "postChat", "operator"].map(|survey| (survey.to_owned(), self.survey(survey)));
        let mut record = json!({
            "info": info, "transcript": { "lines": lines }, "lineScores": scores,
            "visitorInfo": {
                "country": "United Kingdom", "countryCode": "GB", "state": "", "city": self.writer.facts.city,
                "isp": "ExampleNet", "org": "ExampleNet", "device": plan.device.unwrap_or("NA"),
                "ipAddress": format!("192.0.2.{}", plan.index % 254 + 1), "browser": "Firefox 126.0",
                "operatingSystem": "NA",
            },
            "coBrowseSessions": { "coBrowseSessionsList": [] },
            "surveys": surveys.into_iter().collect::<Map<String, Value>>(),
        });
        if let Some(campaign) = campaign {
            record["campaign"] = campaign;
        }
        if self.enriched {
            record["sdes"] = json!({ "events": self.sdes() });
        }
        record
    }

    fn info(&self) -> Value {
        let plan = &self.plan;
        let agent = agent_name(plan.agent);
        let skill = plan.skills.last().map_or((-1, "Unassigned"), |&skill| SKILLS[skill]);
        let score = plan.mcs.filter(|_| self.enriched);
        let had = |survey| self.answers.iter().any(|(name, ..)| *name == survey);
        let mut info = json!({
            "duration": (plan.end_ms - plan.connect_ms) / 1000,
            "visitorId": format!("V{:021}", plan.index), "visitorName": plan.by(Speaker::Visitor, &self.writer.facts.name),
            "engagementId": self.id(), "sharkEngagementId": format!("{}_{}", self.world.config().account_id, plan.index),
            "isInteractive": plan.interactive, "interactive": plan.interactive, "accountId": self.world.config().account_id,
            "agentId": agent_number(Speaker::Agent(plan.agent)).to_string(), "agentDeleted": false,
            "agentLoginName": format!("{}@example.org", agent.to_lowercase()), "agentFullName": format!("{agent} Example"),
            "skillId": skill.0, "skillName": skill.1, "isAgentSurvey": had("operator"), "isPostChatSurvey": had("postChat"),
            "isPreChatSurvey": had("preChat"), "channel": 1,
        });
        // Both spellings of the nickname occur.
        info[if plan.quirks & 4 == 0 { "agentName" } else { "agentNickName" }] = json!(agent);
        let (title, path) = plan.page.map_or(("", ""), |page| PAGES[page]);
        let rest = json!({
            "startReason": plan.start_reason.to_string(), "endReason": plan.end_reason.to_string(),
            "engagementSet": 0, "engagementSequence": 0, "agentGroupId": -1, "agentGroupName": "NA",
            "alertedMCS": if score.is_some() { 0 } else { -1 }, "chatMCS": score,
            "chatStartUrl": format!("https://shop.example.org/{path}"), "chatStartPage": title,
            "ended": true, "chatDataEnriched": self.enriched,
        });
        let times = [("startTime", plan.connect_ms), ("endTime", plan.end_ms), ("chatRequestedTime", plan.start_ms)];
        if let (Value::Object(info), Value::Object(rest)) = (&mut info, rest) {
            info.extend(rest);
            for (name, at_ms) in times {
                info.insert(name.to_owned(), json!(time_text(at_ms)));
                info.insert(format!("{name}L"), json!(at_ms));
            }
        }
        info
    }

    fn line(&self, place: usize, line: &Planned, text: &str) -> Value {
        let source = match line.speaker {
            Speaker::System => "system",
            Speaker::Visitor => "visitor",
            Speaker::Agent(_) | Speaker::Bot(_) => "agent",
        };
        let text_type = match line.style {
            Style::Plain => "plain",
            Style::Html => "html",
            Style::Link => "url",
        };
        json!({
            "time": time_text(line.at_ms), "timeL": line.at_ms, "textType": text_type, "text": text,
            "by": self.plan.by(line.speaker, &self.writer.facts.name), "source": source, "lineSeq": place.to_string(),
            "subType": if line.part == Part::Comment { "ONLY_TO_REP" } else { "REGULAR" },
            "controlType": if line.speaker == Speaker::System { 4 } else { 0 }, "cannedAnswerType": 0,
            "agentId": agent_number(line.speaker),
        })
    }

    fn survey(&self, survey: &str) -> Value {
        let source = match survey {
            "preChat" => "Pre-Chat",
            "postChat" => "Exit",
            _ => "operator",
        };
        let at_ms = if survey == "preChat" { self.plan.start_ms } else { self.plan.end_ms + 20_000 };
        let own = self.answers.iter().filter(|(name, ..)| *name == survey).enumerate();
        own.map(|(place, (_, question, answer))| {
            json!({
                "scope": "Session", "source": source, "displayName": question, "value": answer, "values": [answer],
                "answersId": [-1], "name": format!("{source} 2026"), "time": time_text(at_ms), "timeL": at_ms,
                "questionID": place + 1, "surveyID": 330_410,
            })
        })
        .collect()
    }

    /// Attributes in the shapes of old records: all values strings, some kinds flat or under other names.
    fn sdes(&self) -> Vec<Value> {
        let facts = &self.writer.facts;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let at_ms = self.plan.start_ms - 40_000;
        let times = json!({ "serverTimeStamp": at_ms, "originalTimeStamp": at_ms - 150 });
        let with_times = |mut body: Value| {
            body["serverTimeStamp"] = times["serverTimeStamp"].clone();
            body["originalTimeStamp"] = times["originalTimeStamp"].clone();
            body
        };
        let customer = json!({
            "customerId": customer_id(self.world, self.plan.index), "customerStatus": "gold", "Currency": "EUR",
            "lastPaymentDate": { "year": 2026, "month": 2, "day": 28 },
        });
        let product = json!({ "name": facts.product, "category": "null", "sku": "SKU-1", "price": 12.5 });
        let mut events = vec![json!({ "customerInfo": with_times(json!({ "customerInfo": customer })) })];
        let name = json!({ "name": facts.name, "surname": facts.surname });
        let contact = json!([{ "personalContact": { "email": text(&facts.email), "phone": text(&facts.phone) } }]);
        match self.plan.quirks >> 18 & 3 {
            0 => {
                let mut personal = name;
                personal["contacts"] = contact;
                events.push(json!({ "personalInfo": with_times(personal) }));
            }
            1 => events.push(json!({ "viewProduct": with_times(json!({ "products": [{ "product": product }] })) })),
            2 => {
                let error = json!({
                    "message": { "string": format!("{} failed", facts.product) }, "code": { "string": "er100" },
                });
                events.push(json!({ "formFillingError": with_times(json!({ "visitorError": error })) }));
            }
            _ => {
                let empty = json!({ "total": null, "products": [], "numItems": null });
                let purchase =
                    json!({ "total": 31.5, "currency": "GBP", "orderId": text(&facts.order), "cart": empty });
                let mut event = json!({ "purchase": with_times(purchase) });
                event["sdeType"] = json!("PURCHASE");
                event["serverTimeStamp"] = json!(at_ms);
                events.push(event);
            }
        }
        events.into_iter().map(strings).collect()
    }
}
