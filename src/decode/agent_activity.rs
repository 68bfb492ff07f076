//! Data Access agent activity: sessions of agents → their changes of state, one at a time.
//!
//! It is no conversation and is not indexed: what people ask of it are sums, which `stats` computes from the archive's files
//! (reference `data-access.md`, section 6). Spellings of its table and its sample are both read.

use super::avro_json::{Broken, Pull};
use super::container::{self, Budget, Container, container_of};
use super::fields::Fields;
use super::openpgp::Keyring;
use super::sealed::{Opener, has_armor};
use super::text::{Fault, Text};
use super::{DecodeLimits, EncryptedRecords, ProblemKind, Problems, read_up_to};
use std::io::{self, Read, Seek, SeekFrom};

/// A change of an agent's state, or of the number of chats in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentEvent {
    /// Agent.
    pub agent_id: String,
    /// Session from login to logout; empty where the record names none.
    pub session_id: String,
    /// Epoch milliseconds.
    pub time_ms: i64,
    /// -1 unknown, 1 chat, 3 login, 4 logout.
    pub kind: i64,
    /// -1 unknown, 0 irrelevant, 1 offline, 2 online, 3 back soon, 4 away.
    pub state: i64,
    /// The state before, with the same codes.
    pub previous_state: i64,
    /// Chats at the same time from here on.
    pub chats: i64,
    /// Nickname, else user name, else login name.
    pub name: Option<String>,
}

/// What a file of agent activity held.
#[derive(Clone, Debug, Default)]
pub struct ActivityReport {
    /// Top-level values.
    pub records: u64,
    /// Events handed over.
    pub events: u64,
    /// Records, and files that are one message, that wait for a key.
    pub encrypted: EncryptedRecords,
    /// What went wrong, and where.
    pub problems: Problems,
}

/// Reads every event of a file, opening OpenPGP messages with the keys at hand; `sink` gives `false` to stop.
///
/// # Errors
/// Only when the file cannot be read from disk at all; damage is in the report.
pub fn agent_events<R: Read + Seek>(
    mut file: R,
    limits: DecodeLimits,
    keys: &Keyring,
    sink: &mut dyn FnMut(AgentEvent) -> bool,
) -> io::Result<ActivityReport> {
    let budget = Budget::new(&limits, file.seek(SeekFrom::End(0))?);
    let mut reader =
        Activity { limits, keys, sink, is_inside: false, stopped: false, report: ActivityReport::default() };
    reader.file(file, &budget)?;
    Ok(reader.report)
}

/// What a reader that gave up means.
pub(super) fn kind_of(error: &io::Error) -> ProblemKind {
    if container::is_bomb(error) { ProblemKind::DecompressionBomb } else { ProblemKind::of_read(error) }
}

pub(super) struct Activity<'s> {
    pub(super) limits: DecodeLimits,
    pub(super) keys: &'s Keyring,
    sink: &'s mut dyn FnMut(AgentEvent) -> bool,
    /// What is read came out of a message that was the file.
    pub(super) is_inside: bool,
    pub(super) stopped: bool,
    pub(super) report: ActivityReport,
}

impl Activity<'_> {
    pub(super) fn file<R: Read + Seek>(&mut self, mut file: R, budget: &Budget) -> io::Result<()> {
        file.rewind()?;
        let mut magic = [0u8; 4];
        let length = read_up_to(&mut file, &mut magic)?;
        file.rewind()?;
        if container_of(&magic[..length]) != Container::Zip {
            self.stream(file, budget);
            return Ok(());
        }
        let outcome = container::for_each_zip_entry(file, budget, &mut |entry| match entry {
            Ok(entry) => self.stream(entry, budget),
            Err(error) => self.note(kind_of(&error), 0, error.to_string()),
        });
        if let Err(error) = outcome {
            self.note(kind_of(&error), 0, error.to_string());
        }
        Ok(())
    }

    pub(super) fn note(&mut self, kind: ProblemKind, byte: u64, detail: impl Into<String>) {
        self.report.problems.add(kind, self.report.records, byte, detail);
    }

    pub(super) fn stream(&mut self, reader: impl Read, budget: &Budget) {
        let opened = match container::open(reader, budget) {
            Ok(opened) => opened,
            Err(error) => return self.note(kind_of(&error), 0, error.to_string()),
        };
        match opened.container {
            Container::Plain => {}
            Container::OpenPgp => return self.openpgp(opened.bytes),
            _ => {
                let detail = "agent activity is read from text only, not from Avro containers";
                return self.note(ProblemKind::DamagedContainer, 0, detail);
            }
        }
        let mut text = Text::new(opened.bytes, self.limits.max_record_bytes);
        while !self.stopped {
            text.forget();
            text.skip_between_values();
            if text.peek().is_none() {
                break;
            }
            let start = text.offset();
            let read = match text.frame() {
                Ok((at, json)) => self.record(json).map_err(|broken| (at + broken.at as u64, broken.reason)),
                Err(Fault::Cut) => {
                    self.note(ProblemKind::CutShort, start, "the file ends inside a record");
                    break;
                }
                Err(Fault::TooLarge(bytes)) => {
                    self.note(ProblemKind::TooLarge, start, format!("{bytes} bytes"));
                    text.resynchronise();
                    continue;
                }
                Err(Fault::Syntax(at, reason)) => {
                    text.go_back(start + 1);
                    text.resynchronise();
                    Err((at, reason.to_owned()))
                }
            };
            self.report.records += 1;
            if let Err((at, reason)) = read {
                self.note(ProblemKind::BrokenRecord, at, reason);
            }
        }
        if let Some(error) = text.damage.take() {
            self.note(kind_of(&error), text.offset(), error.to_string());
        }
    }

    fn record(&mut self, json: &[u8]) -> Result<(), Broken> {
        let mut opener = Opener::new(self.keys, self.limits.max_record_bytes);
        let clear;
        let json = if has_armor(json) {
            clear = opener.record(json);
            opener.problems().into_iter().for_each(|(kind, detail)| self.note(kind, 0, detail));
            if opener.wants_key() {
                self.report.encrypted.add(opener.wanted_ids.iter().cloned());
            }
            &clear[..]
        } else {
            json
        };
        for element in Fields::of(json)?.list(&["recordCollection"])? {
            let mut body = Fields::of(element)?.object(&["body"])?;
            let session_id = body.object(&["header"])?.text(&["agentSessionId"])?.unwrap_or_default();
            for event in body.list(&["agentSessionsData"])? {
                if self.stopped {
                    return Ok(());
                }
                if let Some(event) = read_event(event, &session_id)? {
                    self.report.events += 1;
                    self.stopped = !(self.sink)(event);
                }
            }
        }
        Ok(())
    }
}

fn read_event(json: &[u8], session_id: &str) -> Result<Option<AgentEvent>, Broken> {
    let mut fields = Fields::of(json)?;
    let (agent_id, time) = (fields.id(&["agentID", "agentId"])?, whole(&mut fields, "timestamp")?);
    let (Some(agent_id), Some(time_ms)) = (agent_id, time) else { return Ok(None) };
    let mut name = None;
    for names in
        [["agentNickname", "agentNickName"], ["agentUsername", "agentUserName"], ["agentLoginname", "agentLoginName"]]
    {
        let said = fields.text(&names)?;
        name = name.or(said);
    }
    Ok(Some(AgentEvent {
        agent_id,
        session_id: session_id.to_owned(),
        time_ms,
        kind: whole(&mut fields, "type")?.unwrap_or(-1),
        state: whole(&mut fields, "state")?.unwrap_or(-1),
        previous_state: whole(&mut fields, "prevState")?.unwrap_or(-1),
        chats: whole(&mut fields, "concurrentEng")?.unwrap_or(-1),
        name,
    }))
}

/// A whole number, also a negative one: here -1 is a code.
fn whole(fields: &mut Fields<'_>, name: &str) -> Result<Option<i64>, Broken> {
    fields.take(&[name]).map_or(Ok(None), |json| Pull::new(json).integer())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn both_envelopes_and_spellings_are_read() {
        let bare = r#"{"dataType":"AgentActivity","metaData":{"accountId":{"string":"1"}},"recordCollection":[{"body":
            {"com.liveperson.dataaccess.AgentActivityData":{"header":{"com.liveperson.dataaccess.AgentHeader":
            {"agentSessionId":{"string":"1-9"}}},"agentSessionsData":{"array":[{"agentID":{"long":71},"type":{"long":3},
            "state":{"long":0},"timestamp":{"long":1718002681044},"prevState":{"long":-1},"agentNickname":{"string":"Mara"}}]}}}}]}"#;
        let wrapped = r#"{"metaData":null,"recordCollection":{"array":[{"body":{"header":{"agentSessionId":"1-9"},
            "agentSessionsData":[{"agentId":"71","type":3,"state":0,"timestamp":"1718002681044","prevState":-1,"agentUserName":"Mara"},
            {"agentId":null}]}}]}}"#;
        let expected = AgentEvent {
            agent_id: "71".into(),
            session_id: "1-9".into(),
            time_ms: 1_718_002_681_044,
            kind: 3,
            state: 0,
            previous_state: -1,
            chats: -1,
            name: Some("Mara".into()),
        };
        let text = format!("{bare}\n{wrapped}\n{{\"dataType\":oops}}\n{}\n", bare.replace('\n', " "));
        let mut found = Vec::new();
        let report = agent_events(Cursor::new(text), DecodeLimits::default(), &Keyring::empty(), &mut |event| {
            found.push(event);
            true
        })
        .expect("memory is readable");
        assert_eq!(found, [expected.clone(), expected.clone(), expected]);
        assert_eq!((report.events, report.problems.failures()), (3, 1), "{report:?}");
    }
}
