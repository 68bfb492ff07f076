//! The other three data types of Data Access: agent activity, surveys and web sessions, an hourly file each.
//!
//! They are listed at the hours of the engagements and small: a handful of records in the documented shapes. An account serves them
//! where [`SimulatorConfig::other_data_types`](super::SimulatorConfig::other_data_types) says so.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::calendar::FileSpec;
use super::world::World;

/// Conversations of an hour that have a survey.
const SURVEYS: u64 = 5;

/// The data types, each with its own listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataType {
    AgentActivity,
    Engagement,
    Survey,
    WebSession,
}

impl DataType {
    const ALL: [DataType; 4] = [DataType::AgentActivity, DataType::Engagement, DataType::Survey, DataType::WebSession];

    /// Last part of the listing's path.
    pub(super) fn path(self) -> &'static str {
        match self {
            DataType::AgentActivity => "agentActivity",
            DataType::Engagement => "engagement",
            DataType::Survey => "survey",
            DataType::WebSession => "webSession",
        }
    }

    /// First part of the files' names.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            DataType::AgentActivity => "Agent",
            DataType::Engagement => "Engagement",
            DataType::Survey => "Survey",
            DataType::WebSession => "WebSession",
        }
    }

    pub(super) fn of_path(path: &str) -> Option<DataType> {
        DataType::ALL.into_iter().find(|data_type| data_type.path() == path)
    }

    /// The data type of a file's name, and the name that the engagements of its hour have.
    pub(super) fn of_name(name: &str) -> Option<(DataType, String)> {
        let (prefix, rest) = name.split_once('.')?;
        let data_type = DataType::ALL.into_iter().find(|data_type| data_type.prefix() == prefix)?;
        Some((data_type, format!("{}.{rest}", DataType::Engagement.prefix())))
    }

    pub(super) fn name_of(self, file: &FileSpec) -> String {
        let name = file.name();
        match name.split_once('.') {
            Some((_, rest)) => format!("{}.{rest}", self.prefix()),
            None => name,
        }
    }
}

/// A file of one of the other types, compressed.
///
/// # Errors
/// Never in practice: it is written to memory.
pub(super) fn bytes(world: &World, file: &FileSpec, data_type: DataType, gzip_level: u32) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(gzip_level));
    for record in records(world, file, data_type) {
        gzip.write_all(record.to_string().as_bytes())?;
        gzip.write_all(b"\n")?;
    }
    gzip.finish()
}

fn records(world: &World, file: &FileSpec, data_type: DataType) -> Vec<Value> {
    let bodies: Vec<Value> = match data_type {
        DataType::AgentActivity => vec![agent_activity(file)],
        DataType::WebSession => vec![web_session(file)],
        DataType::Survey | DataType::Engagement => {
            let chats = file.conversations.clone().take(usize::try_from(SURVEYS).unwrap_or(0));
            chats.map(|index| survey(world, index)).collect()
        }
    };
    let of_body = |body| {
        json!({
            "dataType": { "com.liveperson.dataaccess.DataTypeEnum": type_name(data_type) },
            "metaData": { "com.liveperson.dataaccess.MetaData": {
                "accountId": text(&world.config().account_id), "schemaVersion": "1.0.0.35",
                "startTime": long(file.start_ms), "endTime": long(file.end_ms),
            }},
            "recordCollection": { "array": [{ "body": body }] },
        })
    };
    bodies.into_iter().map(of_body).collect()
}

fn type_name(data_type: DataType) -> &'static str {
    match data_type {
        DataType::AgentActivity => "AgentActivity",
        other => other.prefix(),
    }
}

fn text(text: &str) -> Value {
    json!({ "string": text })
}

fn long(number: i64) -> Value {
    json!({ "long": number })
}

fn header(visitor: i64) -> Value {
    json!({ "com.liveperson.dataaccess.VisitorHeader": {
        "visitId": text(&format!("visit-{visitor}")), "visitorId": text(&format!("visitor-{visitor}")), "contextId": null,
    }})
}

/// One agent's hour: login, online, logout.
fn agent_activity(file: &FileSpec) -> Value {
    let event = |kind: i64, state: i64, before: i64, at_ms: i64| {
        json!({
            "agentID": long(71 + i64::from(file.part)), "type": long(kind), "state": long(state), "timestamp": long(at_ms),
            "prevState": long(before), "agentEmployeeId": text(""), "agentUsername": text("Mara"),
            "agentNickname": text("Mara"), "agentLoginname": text("mara@example.org"), "prevConcurrentEng": long(0),
            "concurrentEng": long(0), "maxConcurrentEng": long(-9), "agentGroupID": long(-1),
            "userProfileIDs": { "array": [3_102_887_410_i64] },
        })
    };
    let events =
        [event(3, 0, 1, file.start_ms + 1), event(1, 2, 0, file.start_ms + 2), event(4, 0, 2, file.end_ms - 1)];
    json!({ "com.liveperson.dataaccess.AgentActivityData": {
        "header": { "com.liveperson.dataaccess.AgentHeader": { "agentSessionId": text(&format!("s-{}", file.start_ms)) } },
        "agentSessionsData": { "array": events },
    }})
}

/// One visitor's hour: a page.
fn web_session(file: &FileSpec) -> Value {
    json!({ "com.liveperson.dataaccess.WebSessionNavigationData": {
        "header": header(file.start_ms),
        "navigationData": { "array": [{
            "timestamp": long(file.start_ms + 5), "url": text("https://www.example.org/"), "referrerUrl": text(""),
            "sections": { "array": ["home"] },
        }]},
    }})
}

/// An answer to the exit survey of a chat.
fn survey(world: &World, index: u64) -> Value {
    let chat = world.conversation(index);
    let answered = json!({
        "question": text("How did we do?"), "answer": text("Well"), "answerSubmitTime": long(chat.end_ms + 1000),
        "surveyName": text("Exit"), "answerType": { "int": 4 }, "csatThreshold": { "double": -1 },
    });
    json!({ "com.liveperson.dataaccess.SurveyData": {
        "header": header(chat.start_ms),
        "surveys": { "array": [{
            "id": long(330_000), "type": { "int": 2 }, "viewTime": null,
            "conversationId": chat.id.as_deref().map(text), "contents": { "array": [answered] },
        }]},
    }})
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_data_type() {
        for data_type in DataType::ALL {
            let name = format!("{}.1.2.part-00000-0.gz", data_type.prefix());
            assert_eq!(DataType::of_name(&name), Some((data_type, "Engagement.1.2.part-00000-0.gz".to_owned())));
            assert_eq!(DataType::of_path(data_type.path()), Some(data_type));
        }
        assert_eq!(DataType::of_name("Chat.1.2.gz"), None);
    }
}
