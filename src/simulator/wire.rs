//! Encoders of engagement records in Avro's JSON encoding, written from the documentation alone.
//!
//! A union value is a one-key object named after its branch, null is bare, elements of most arrays
//! are bare. Equivalent spellings that occur in the field (`skillID`, `StartReasonId`, transfer
//! times as strings, scores in three shapes, unknown fields) are chosen by the plan's random bits.
//! Bytes go straight into a buffer; nothing is shared with the decoders of this crate.

use super::calendar::{FileForm, FileSpec};
use super::plan::{PAGES, Plan, Planned, PlannedTransfer, SKILLS, Speaker, Style, agent_number};
use super::text::{Writer, push_number};
use super::world::{World, write_line};

pub use super::body::{BodyError, BodyOptions, write_file};

const MESSAGE_STREAM: u64 = 41;
const DATA_TYPE: &[u8] =
    br#"{"dataType":{"com.liveperson.dataaccess.DataTypeEnum":"Engagement"},"metaData":"#;

/// Appends JSON for one file; keeps its scratch space between conversations.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    world: &'a World,
    ascii_only: bool,
    text: Vec<u8>,
    first_name: String,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(world: &'a World, file: &FileSpec) -> Self {
        Self {
            world,
            ascii_only: file.ascii_only,
            text: Vec::with_capacity(1024),
            first_name: String::new(),
        }
    }

    /// Opens a record: everything up to the first element of `recordCollection`.
    pub(super) fn open(&self, form: FileForm, start_ms: i64, end_ms: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(DATA_TYPE);
        let wrapped = form == FileForm::WrappedLines;
        if wrapped {
            out.extend_from_slice(br#"{"com.liveperson.dataaccess.MetaData":"#);
        }
        out.extend_from_slice(br#"{"accountId":{"string":""#);
        out.extend_from_slice(self.world.config().account_id.as_bytes());
        let version: &[u8] = if wrapped { b"1.0.0.35" } else { b"1.0.0.22" };
        out.extend_from_slice(br#""},"schemaVersion":""#);
        out.extend_from_slice(version);
        out.push(b'"');
        long("startTime", start_ms, out);
        long("endTime", end_ms, out);
        let rest: &[u8] = match wrapped {
            true => br#"}},"recordCollection":{"array":["#,
            false => br#"},"recordCollection":["#,
        };
        out.extend_from_slice(rest);
    }

    /// Closes what [`Encoder::open`] opened.
    pub(super) fn close(form: FileForm, out: &mut Vec<u8>) {
        let end: &[u8] = if form == FileForm::WrappedLines {
            b"]}}"
        } else {
            b"]}"
        };
        out.extend_from_slice(end);
    }

    /// One element of `recordCollection`.
    pub(super) fn conversation(&mut self, plan: &Plan, out: &mut Vec<u8>) {
        let mut writer = self.world.writer(plan);
        self.first_name.clone_from(&writer.facts.name);
        out.extend_from_slice(
            br#"{"body":{"com.liveperson.dataaccess.EngagementData":{"header":{"#,
        );
        out.extend_from_slice(
            br#""com.liveperson.dataaccess.VisitorHeader":{"visitId":{"string":""#,
        );
        if plan.quirks >> 4 & 3 == 0 {
            push_id(plan.index, u64::MAX, out);
        }
        out.extend_from_slice(br#""},"visitorId":{"string":""#);
        if plan.quirks >> 4 & 3 < 2 {
            push_id(plan.index, u64::MAX - 1, out);
        }
        out.extend_from_slice(br#""},"contextId":"#);
        let context: &[u8] = if plan.quirks & 64 == 0 {
            b"null"
        } else {
            br#"{"string":""}"#
        };
        out.extend_from_slice(context);
        out.extend_from_slice(br#"}},"engagements":{"array":[{"com.liveperson.dataaccess.Conversation":{"type":{"com.liveperson.dataaccess.ConversationType":""#);
        out.extend_from_slice(if plan.messaging {
            b"MESSAGING"
        } else {
            b"LIVE_CHAT"
        });
        out.extend_from_slice(br#""}"#);
        self.facts(plan, out);
        out.extend_from_slice(br#","transcripts":{"array":["#);
        for (place, message) in plan.messages.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            self.message(plan, place, message, &mut writer, out);
        }
        out.extend_from_slice(b"]}");
        self.tail(plan, out);
        out.extend_from_slice(b"}}]}}}}");
    }

    /// The fields before the transcript.
    fn facts(&self, plan: &Plan, out: &mut Vec<u8>) {
        let account = self.world.config().account_id.as_bytes();
        match plan.digits {
            Some(_) => {
                key("conversationId", out);
                self.conversation_id(plan, out);
            }
            None if plan.quirks & 128 == 0 => out.extend_from_slice(br#","conversationId":null"#),
            None => {}
        }
        long("conversationStartTime", plan.start_ms, out);
        long("interactionStartTime", plan.connect_ms, out);
        long("conversationEndTime", plan.end_ms, out);
        key("consumerId", out);
        if plan.messaging {
            out.extend_from_slice(br#"{"string":""#);
            push_id(plan.index, u64::MAX - 2, out);
            out.extend_from_slice(br#""}"#);
        } else {
            out.extend_from_slice(b"null");
        }
        let interactive: &[u8] = if plan.interactive { b"true" } else { b"false" };
        out.extend_from_slice(br#","isInteractive":{"boolean":"#);
        out.extend_from_slice(interactive);
        let origin: &str = if plan.device == Some("MOBILE") && plan.messaging {
            "App"
        } else {
            "Web"
        };
        out.push(b'}');
        self.string("sourceOrigin", origin, out);
        key("sourceDevice", out);
        match plan.device {
            Some(device) => {
                out.extend_from_slice(br#"{"com.liveperson.dataaccess.DeviceType":""#);
                out.extend_from_slice(device.as_bytes());
                out.extend_from_slice(br#""}"#);
            }
            None => out.extend_from_slice(b"null"),
        }
        int("endReasonId", plan.end_reason, out);
        if let Some((campaign, engagement)) = plan.campaign {
            key("campaignData", out);
            out.extend_from_slice(
                br#"{"com.liveperson.dataaccess.CampaignData":{"campaignId":{"long":"#,
            );
            push_number(880_011_200 + u64::from(campaign), out);
            out.extend_from_slice(br#"},"campaignEngagementId":{"long":"#);
            push_number(880_013_000 + u64::from(engagement), out);
            out.extend_from_slice(b"}}}");
        } else if plan.quirks & 256 == 0 {
            out.extend_from_slice(br#","campaignData":null"#);
        }
        key("agentId", out);
        out.extend_from_slice(br#"{"string":""#);
        out.extend_from_slice(account);
        push_number(agent_number(Speaker::Agent(plan.agent)), out);
        out.extend_from_slice(br#""}"#);
        let last_skill = plan.skills.last().map_or(-1, |&skill| SKILLS[skill].0);
        match plan.quirks >> 9 & 7 {
            0 => {}
            1 | 2 => long("skillID", last_skill, out),
            _ => long("skillId", last_skill, out),
        }
        out.extend_from_slice(br#","skills":{"array":["#);
        for (place, &skill) in plan.skills.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            signed(SKILLS[skill].0, out);
        }
        out.extend_from_slice(b"]}");
        let start_reason = if plan.quirks >> 12 & 31 == 0 {
            "StartReasonId"
        } else {
            "startReasonId"
        };
        int(start_reason, i64::from(plan.start_reason), out);
        match plan.page.map(|page| PAGES[page]) {
            Some((title, path)) => {
                self.string("startPage", title, out);
                key("startUrl", out);
                out.extend_from_slice(br#"{"string":"https://shop.example.org/"#);
                out.extend_from_slice(path.as_bytes());
                out.extend_from_slice(br#""}"#);
            }
            None => out.extend_from_slice(br#","startPage":null,"startUrl":null"#),
        }
    }

    /// The fields after the transcript.
    fn tail(&self, plan: &Plan, out: &mut Vec<u8>) {
        if plan.transfers.is_empty() && plan.quirks >> 17 & 31 == 0 {
            out.extend_from_slice(br#","transfers":null"#);
        } else {
            out.extend_from_slice(br#","transfers":{"array":["#);
            for (place, transfer) in plan.transfers.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                self.transfer(plan, transfer, out);
            }
            out.extend_from_slice(b"]}");
        }
        match plan.form {
            Some(form) => {
                out.extend_from_slice(br#","secureForms":{"array":[{"formId":{"string":"F-"#);
                push_number(100 + u64::from(form), out);
                out.extend_from_slice(
                    br#""},"formName":{"string":"Card details"},"submissionId":{"string":""#,
                );
                push_id(plan.index, u64::MAX - 3, out);
                out.extend_from_slice(br#""},"invitationId":null}]}"#);
            }
            None if plan.quirks >> 17 & 31 == 1 => out.extend_from_slice(br#","secureForms":null"#),
            None => out.extend_from_slice(br#","secureForms":{"array":[]}"#),
        }
        key("mcs", out);
        match plan.mcs.map(i64::from) {
            Some(score) => conversation_score(score, plan.quirks >> 22 & 3, out),
            None => out.extend_from_slice(b"null"),
        }
        long("queueStartTime", plan.start_ms, out);
        long("queueEndTime", plan.connect_ms, out);
        if plan.quirks >> 24 & 63 == 0 {
            out.extend_from_slice(br#","botAssisted":{"boolean":true},"regionHints":{"array":[{"zone":{"string":"eu-3"},"weight":{"double":0.25}}]}"#);
        }
    }

    fn message(
        &mut self,
        plan: &Plan,
        place: usize,
        message: &Planned,
        writer: &mut Writer,
        out: &mut Vec<u8>,
    ) {
        self.text.clear();
        write_line(writer, plan, message, &mut self.text);
        out.extend_from_slice(br#"{"text":{"string":""#);
        escape(&self.text, self.ascii_only, out);
        out.extend_from_slice(br#""}"#);
        long("timestamp", message.at_ms, out);
        let by = plan.by(message.speaker, &self.first_name);
        self.string("by", by, out);
        out.extend_from_slice(br#","type":{"string":""#);
        out.push(message.role());
        let control: &[u8] = if message.speaker == Speaker::System {
            b"4"
        } else {
            b"0"
        };
        out.extend_from_slice(br#""},"controlType":{"string":""#);
        out.extend_from_slice(control);
        out.extend_from_slice(br#""},"agentId":{"string":""#);
        match agent_number(message.speaker) {
            0 => out.push(b'0'),
            number => {
                out.extend_from_slice(self.world.config().account_id.as_bytes());
                push_number(number, out);
            }
        }
        let format = match (message.style, message.speaker) {
            (Style::Link, _) => "LINK",
            (Style::Html, _) => "TEXT_HTML",
            (_, Speaker::System) => "Text",
            _ => "TEXT_PLAIN",
        };
        out.extend_from_slice(br#""}"#);
        self.string("contentFormat", format, out);
        out.extend_from_slice(br#","messageId":{"string":""#);
        push_id(plan.index, place as u64, out);
        out.extend_from_slice(br#""}"#);
        key("dialogId", out);
        if plan.messaging && plan.digits.is_some() {
            self.conversation_id(plan, out);
        } else {
            out.extend_from_slice(b"null");
        }
        if message.style == Style::Link {
            out.extend_from_slice(br#","fileData":null,"linkData":{"com.liveperson.dataaccess.LinkData":{"externalFileLink":{"string":""#);
            escape(&self.text, self.ascii_only, out);
            out.extend_from_slice(br#""},"fileType":null,"caption":{"string":"Product page"}}}"#);
        } else if place % 7 != 6 {
            out.extend_from_slice(br#","fileData":null,"linkData":null"#);
        }
        match message.score {
            Some(score) => {
                out.extend_from_slice(br#","mcs":{"com.liveperson.dataaccess.MCS":{"mcs":{"int":"#);
                push_number(u64::from(score), out);
                out.extend_from_slice(b"}}}}");
            }
            None => out.extend_from_slice(br#","mcs":null}"#),
        }
    }

    fn transfer(&self, plan: &Plan, transfer: &PlannedTransfer, out: &mut Vec<u8>) {
        let account = self.world.config().account_id.as_bytes();
        let as_string = plan.quirks >> 30 & 1 == 0;
        let (open, close): (&[u8], &[u8]) = match as_string {
            true => (br#"{"timestamp":{"string":""#, br#""}"#),
            false => (br#"{"timestamp":{"long":"#, b"}"),
        };
        out.extend_from_slice(open);
        signed(transfer.at_ms, out);
        out.extend_from_slice(close);
        long("skillId", SKILLS[transfer.from_skill].0, out);
        long("targetSkillId", SKILLS[transfer.to_skill].0, out);
        out.extend_from_slice(br#","agentId":{"string":""#);
        out.extend_from_slice(account);
        push_number(agent_number(Speaker::Agent(transfer.from_agent)), out);
        out.extend_from_slice(br#""},"targetAgentId":"#);
        match transfer.to_agent {
            Some(agent) => {
                out.extend_from_slice(br#"{"string":""#);
                out.extend_from_slice(account);
                push_number(agent_number(Speaker::Agent(agent)), out);
                out.extend_from_slice(br#""}"#);
            }
            None => out.extend_from_slice(b"null"),
        }
        long("reason", i64::from(transfer.reason), out);
        long("queueStartTime", transfer.at_ms, out);
        long("queueEndTime", transfer.queue_end_ms, out);
        out.extend_from_slice(br#","isInteractive":{"boolean":true}}"#);
    }

    fn conversation_id(&self, plan: &Plan, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"string":""#);
        out.extend_from_slice(self.world.config().account_id.as_bytes());
        push_number(plan.digits.unwrap_or(0), out);
        out.extend_from_slice(br#""}"#);
    }

    fn string(&self, name: &str, value: &str, out: &mut Vec<u8>) {
        key(name, out);
        out.extend_from_slice(br#"{"string":""#);
        escape(value.as_bytes(), self.ascii_only, out);
        out.extend_from_slice(br#""}"#);
    }
}

fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn long(name: &str, value: i64, out: &mut Vec<u8>) {
    number(name, b"{\"long\":", value, out);
}

fn int(name: &str, value: i64, out: &mut Vec<u8>) {
    number(name, b"{\"int\":", value, out);
}

fn number(name: &str, branch: &[u8], value: i64, out: &mut Vec<u8>) {
    key(name, out);
    out.extend_from_slice(branch);
    signed(value, out);
    out.push(b'}');
}

fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    push_number(value.unsigned_abs(), out);
}

/// The three shapes in which a conversation's score is written.
fn conversation_score(score: i64, shape: u32, out: &mut Vec<u8>) {
    match shape {
        0 => {
            out.extend_from_slice(br#"{"mcs":"#);
            signed(score, out);
            out.extend_from_slice(br#","rawScore":null,"alertedMcs":null}"#);
        }
        1 => {
            out.extend_from_slice(br#"{"com.liveperson.dataaccess.MCS":{"mcs":{"double":"#);
            signed(score, out);
            out.extend_from_slice(br#".0},"rawScore":null}}"#);
        }
        _ => {
            out.extend_from_slice(br#"{"com.liveperson.dataaccess.MCS":{"mcs":{"int":"#);
            signed(score, out);
            out.extend_from_slice(b"}}}");
        }
    }
}

/// A 22-character id, the same for the same (conversation, item).
fn push_id(index: u64, item: u64, out: &mut Vec<u8>) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let halves = [0, 1].map(|half| super::dice::mix(index, MESSAGE_STREAM + half, item));
    for mut bits in halves {
        for _ in 0..10 {
            out.push(LETTERS[bits as usize & 63]);
            bits >>= 6;
        }
    }
    let rest = (halves[0] >> 60 << 4 | halves[1] >> 60) as usize;
    out.push(LETTERS[rest & 63]);
    out.push(LETTERS[rest >> 6 << 4]);
}

/// Appends the inside of a JSON string.
fn escape(text: &[u8], ascii_only: bool, out: &mut Vec<u8>) {
    let mut clean_from = 0;
    for (place, &byte) in text.iter().enumerate() {
        let plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
        if plain && !(ascii_only && byte >= 0x80) {
            continue;
        }
        out.extend_from_slice(&text[clean_from..place]);
        clean_from = place + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => push_unit(u16::from(byte), out),
            _ => escape_character(&text[place..], out),
        }
    }
    out.extend_from_slice(&text[clean_from..]);
}

/// Writes the character that starts here as `\u` escapes; continuation bytes write nothing.
fn escape_character(text: &[u8], out: &mut Vec<u8>) {
    let length = match text[0] {
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0.. => 4,
        _ => return,
    };
    let bytes = text
        .get(..length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    let mut units = [0; 2];
    for character in bytes.unwrap_or("\u{FFFD}").chars() {
        for &unit in &*character.encode_utf16(&mut units) {
            push_unit(unit, out);
        }
    }
}

fn push_unit(unit: u16, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u");
    out.extend([12, 8, 4, 0].map(|shift| DIGITS[usize::from(unit >> shift) & 15]));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_what_serde_json_reads_back() {
        let text = "a \"b\" \\ \n\t\u{1} é 漢字 👨‍👩‍👧 z";
        for ascii_only in [false, true] {
            let mut json = vec![b'"'];
            escape(text.as_bytes(), ascii_only, &mut json);
            json.push(b'"');
            assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
            assert_eq!(json.is_ascii(), ascii_only);
        }
    }

    #[test]
    fn ids_have_22_characters_and_differ() {
        let id = |item| {
            let mut out = Vec::new();
            push_id(9, item, &mut out);
            out
        };
        assert_eq!(id(1).len(), 22);
        assert_ne!(id(1), id(2));
    }
}
