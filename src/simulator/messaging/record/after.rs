//! The parts of a record that are measured or come late: scores, statuses, surveys, attributes, intents.

use serde_json::{Map, Value, json};

use super::{Encoder, sde, with_time};
use crate::simulator::messaging::Role;
use crate::simulator::messaging::plan::{Assignment, Survey, Turn};
use crate::simulator::messaging::talk::{agent_id, full_name, nickname, role};
use crate::simulator::messaging::truth::{dialog_id, message_id};
use crate::simulator::plan::SKILLS;
use crate::simulator::vocab::TOPICS;

/// How long after a message its receiver has read it, milliseconds.
const READ_AFTER_MS: i64 = 900;

impl Encoder<'_> {
    fn turns(&self) -> impl Iterator<Item = &Turn> {
        self.talk.messages.iter().map(|(turn, _)| turn)
    }

    pub(super) fn scores(&self) -> Value {
        let scored = self.turns().filter_map(|turn| turn.mcs.map(|mcs| (turn, mcs)));
        let scores = scored.map(|(turn, mcs)| {
            let mut score = json!({
                "messageId": message_id(&self.id, turn.in_survey, turn.seq), "messageRawScore": i64::from(mcs / 34) - 1,
                "mcs": mcs,
            });
            with_time(&mut score, "time", Some(turn.at_ms));
            score
        });
        scores.collect()
    }

    pub(super) fn statuses(&self) -> Value {
        let mut statuses = Vec::new();
        for turn in self.turns() {
            let by_consumer = role(turn) == Role::Consumer;
            let sender = if by_consumer { self.consumer_id() } else { agent_id(turn.speaker) };
            self.status(turn, "SENT", turn.at_ms, by_consumer, sender, &mut statuses);
            let read_ms = turn.at_ms + READ_AFTER_MS;
            if !by_consumer {
                self.status(turn, "READ", read_ms, true, self.consumer_id(), &mut statuses);
            } else if let Some(reader) = self.reader(turn) {
                let read_ms = read_ms.max(reader.from_ms);
                self.status(turn, "READ", read_ms, false, agent_id(reader.speaker), &mut statuses);
            }
        }
        Value::Array(statuses)
    }

    /// Who reads what the consumer wrote: whoever is assigned then, or next.
    fn reader(&self, turn: &Turn) -> Option<&Assignment> {
        self.plan.assignments.iter().find(|held| held.until_ms.is_none_or(|until_ms| turn.at_ms < until_ms))
    }

    fn status(&self, turn: &Turn, status: &str, at_ms: i64, consumer: bool, who: String, statuses: &mut Vec<Value>) {
        if at_ms > self.view.now_ms {
            return;
        }
        let mut entry = json!({
            "messageId": message_id(&self.id, turn.in_survey, turn.seq), "seq": turn.seq, "participantId": who,
            "participantType": if consumer { "Consumer" } else { "Agent" }, "messageDeliveryStatus": status,
            "dialogId": dialog_id(&self.id, turn.in_survey),
        });
        with_time(&mut entry, "time", Some(at_ms));
        statuses.push(entry);
    }

    pub(super) fn surveys(&self) -> Value {
        let Some(survey) = self.plan.survey.filter(|_| !self.is_open()) else {
            return json!([]);
        };
        let over = survey.end_ms <= self.view.now_ms;
        let status = match (over, survey.csat) {
            (false, _) => "PENDING",
            (true, Some(_)) => "FILLED",
            (true, None) => "NOT_FILLED",
        };
        let answers = if over { self.answers(survey) } else { Vec::new() };
        let kind = if self.plan.quirks >> 42 & 1 == 0 { "Satisfaction" } else { "PostSurvey" };
        json!([{
            "surveyType": kind, "surveyStatus": status, "dialogId": dialog_id(&self.id, true),
            "surveyId": "770", "surveyData": answers,
        }])
    }

    fn answers(&self, survey: Survey) -> Vec<Value> {
        let Some(csat) = survey.csat else {
            return Vec::new();
        };
        let solved = if survey.solved { ["Yes", "a1"] } else { ["No", "a2"] };
        let mut rows = vec![
            ("How satisfied are you?", csat.to_string(), format!("c{csat}"), "csat", "single"),
            ("Was your issue solved?", solved[0].to_owned(), solved[1].to_owned(), "fcr", "single"),
            ("Would you recommend us?", survey.nps.to_string(), format!("n{}", survey.nps), "nps", "single"),
        ];
        if survey.in_words {
            rows.push(("Anything else?", self.talk.survey_words.clone(), "InvalidAnswer".to_owned(), "custom", "open"));
        }
        let rows = rows.into_iter().enumerate().map(|(place, (question, answer, answer_id, kind, format))| {
            json!({
                "question": question, "answer": answer, "questionId": format!("q{place}"), "answerId": answer_id,
                "questionType": kind, "questionFormat": format, "answerSeq": (place + 1).to_string(), "isValidAnswer": true,
            })
        });
        rows.collect()
    }

    pub(super) fn co_browsing(&self) -> Value {
        let from_ms = self.plan.start_ms + 240_000;
        let (held, until_ms) = (self.plan.latest_assignment(from_ms), from_ms + 60_000);
        let Some(held) = held.filter(|_| self.plan.quirks >> 44 & 31 == 0 && until_ms <= self.view.now_ms) else {
            return json!({ "coBrowseSessionsList": [] });
        };
        let mut session = json!({
            "sessionId": format!("{}:{}__0a1b", self.world.account, agent_id(held.speaker)),
            "endReason": "AGENT", "duration": until_ms - from_ms, "type": "inApp",
            "capabilities": ["AGENT_APP_CONTROL"], "agentId": agent_id(held.speaker), "interactive": true,
        });
        with_time(&mut session, "startTime", Some(from_ms));
        with_time(&mut session, "endTime", Some(until_ms));
        json!({ "coBrowseSessionsList": [session] })
    }

    pub(super) fn summary(&self) -> Value {
        match self.plan.afterwards.summary_ms.filter(|&at_ms| at_ms <= self.view.now_ms) {
            Some(at_ms) => json!({ "text": self.talk.summary, "lastUpdatedTime": at_ms }),
            None => json!({ "text": "", "lastUpdatedTime": -1 }),
        }
    }

    /// Authenticated or other attributes; a list search tells the last one only.
    pub(super) fn sdes(&self, authenticated: bool) -> Value {
        let all = sde::of(self.world, self.plan, &self.talk, self.view.now_ms);
        let events = all.iter().filter(|event| event.authenticated == authenticated);
        let mut events: Vec<Value> = events.map(|event| event.event(self.view.version)).collect();
        if !self.view.by_id && events.len() > 1 {
            events.drain(..events.len() - 1);
        }
        json!({ "events": events })
    }

    pub(super) fn response_time(&self) -> Value {
        let waits = self.turns().last().filter(|turn| self.is_open() && role(turn) == Role::Consumer);
        let due_ms = waits.map_or(-1, |turn| turn.at_ms + 3_600_000);
        json!({ "latestEffectiveResponseDueTime": due_ms, "configuredResponseTime": 3_600 })
    }

    /// Name and label of what the consumer wants.
    pub(super) fn intent(&self) -> (String, String) {
        let topic = self.plan.topic;
        (format!("1d8d9c10-0c55-4a73-9b07-{topic:012}"), format!("question about {}", TOPICS[topic]))
    }

    pub(super) fn unique_intents(&self) -> Value {
        let (name, label) = self.intent();
        json!([{ "intentName": name, "intentLabel": label }])
    }

    pub(super) fn intents(&self) -> Value {
        let Some(first) = self.turns().next() else {
            return json!([]);
        };
        let (name, label) = self.intent();
        let chosen = json!({
            "intentName": name, "intentLabel": label, "confidenceScore": 0.875,
            "versions": [{ "modelName": "m", "modelVersion": "1.0" }],
        });
        json!([{
            "selectedClassification": chosen, "allClassifications": [chosen],
            "messageId": message_id(&self.id, first.in_survey, first.seq),
        }])
    }

    /// The agent's own survey: open at the close, submitted later.
    pub(super) fn wrap_up(&self) -> Value {
        let plan = self.plan;
        let Some(done_ms) = plan.afterwards.wrap_up_ms.filter(|_| !self.is_open()) else {
            return json!({});
        };
        let submitted = done_ms <= self.view.now_ms;
        let status = if submitted { "SUBMITTED" } else { "OPEN" };
        let (skill, skill_name) = plan.skill(self.view.now_ms).map_or((-1, "Unassigned"), |skill| SKILLS[skill]);
        let answers = match submitted {
            true => json!([{
                "questionText": "Topic", "questionId": "171", "questionDefinition": "REGULAR_QUESTION",
                "questionCategory": "FREE_TEXT", "answers": [{ "answer": self.talk.wrap_up, "answerId": "171" }],
            }]),
            false => json!([]),
        };
        let mut survey = Map::new();
        if let Some(held) = plan.latest_assignment(self.view.now_ms) {
            for whose in ["assignedAgent", "performedByAgent"] {
                survey.insert(format!("{whose}Id"), json!(agent_id(held.speaker)));
                survey.insert(format!("{whose}NickName"), json!(nickname(held.speaker)));
                survey.insert(format!("{whose}Name"), json!(full_name(held.speaker)));
            }
        }
        let rest = json!({
            "surveyStatus": status, "statusReason": status, "dialogId": self.id, "surveyId": "b7a0",
            "acSurveyId": "880019910", "acSurveyName": "Wrap-up", "acSurveyRevision": 3, "surveySkillId": skill,
            "surveySkillName": skill_name, "lastUpdateTime": if submitted { done_ms } else { plan.close_ms },
            "submittedAnswers": answers,
        });
        survey.extend(rest.as_object().cloned().unwrap_or_default());
        Value::Object(survey)
    }
}
