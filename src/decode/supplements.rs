//! Data Access surveys and web sessions: records that add to a conversation, or stand alone.
//!
//! A survey names its conversation and joins it; one that names none (offline) keeps the place of its record as its key. A
//! web session names a visit and a visitor, never a conversation, so it is a document of its own with the visit as its
//! key (reference `data-access.md`, sections 8 and 9).

use super::avro_json::{Broken, Pull};
use super::data_access::{Contents, Found, OtherBody, Payload};
use super::envelope::emit_all;
use super::fields::{Fields, text_of};
use super::problem::ProblemKind;
use super::repair::repaired;
use super::sealed::has_armor;
use super::text::{Fault, Text};
use super::{Decoder, data_access};
use crate::conversation::{Conversation, Supplement, flattened};
use std::ops::Range;

type Result<T> = std::result::Result<T, Broken>;

/// Payloads of a web session that a sample or table names (reference, section 9).
pub(super) const WEB_SESSION: [&str; 5] =
    ["engagementAttributes", "navigationData", "achievedGoals", "eligibilityData", "impressions"];

/// Bytes in which a record shows its kind.
const LOOK_AHEAD: usize = 256;

/// Turns the bodies that are no engagements into conversations, where they are surveys or web sessions.
pub(super) fn add(contents: &mut Contents<'_>) -> Result<()> {
    let is_session = contents.envelope.data_type.as_deref() == Some("WebSession");
    let mut session: Option<(Range<usize>, Conversation)> = None;
    for body in std::mem::take(&mut contents.others) {
        let is_web = |payload: &Payload<'_>| WEB_SESSION.contains(&payload.name.as_str());
        if let Some(payload) = body.payloads.iter().find(|payload| payload.name == "surveys") {
            add_surveys(payload, &body, contents)?;
        } else if is_session || body.payloads.iter().any(is_web) {
            let (place, session) = session.get_or_insert_with(|| (body.place.clone(), Conversation::default()));
            place.end = body.place.end;
            add_session(&body, session)?;
        } else {
            contents.other_bodies += 1;
        }
    }
    if let Some((place, mut session)) = session {
        session.supplement = Some(Supplement::WebSession);
        session.start_ms = contents.envelope.start_ms.or(session.start_ms);
        session.end_ms = contents.envelope.end_ms.or(session.end_ms);
        session.unknown.sort();
        contents.found.push((place, Found::Conversation(session)));
    }
    Ok(())
}

/// Milliseconds of the values under these names.
fn times(json: &str, names: &[&str]) -> Vec<i64> {
    let is_named = |path: &str| path.rsplit('.').next().is_some_and(|last| names.contains(&last));
    let values = flattened(json).into_iter().filter(|value| is_named(&value.path));
    values.filter_map(|value| value.text.parse().ok()).filter(|time| *time > 0).collect()
}

fn add_surveys(payload: &Payload<'_>, body: &OtherBody<'_>, contents: &mut Contents<'_>) -> Result<()> {
    let within = |place: Range<usize>| payload.at + place.start..payload.at + place.end;
    Pull::new(payload.json).array(&mut |pull| {
        if let Some(place) = pull.sealed()? {
            contents.found.push((within(place), Found::Sealed(body.header.clone())));
            return Ok(());
        }
        let json = pull.raw()?;
        if let Some(mut survey) = read_survey(json)? {
            body.header.put_into(&mut survey);
            contents.found.push((within(pull.at() - json.len()..pull.at()), Found::Conversation(survey)));
        }
        Ok(())
    })
}

/// One element of `surveys`. `None` for null.
pub(super) fn read_survey(json: &[u8]) -> Result<Option<Conversation>> {
    let mut fields = Fields::of(json)?;
    if fields.is_empty() {
        return Ok(None);
    }
    let text = text_of(json);
    let times = times(&text, &["viewTime", "answerSubmitTime"]);
    Ok(Some(Conversation {
        supplement: Some(Supplement::Survey),
        conversation_id: fields.text(&["conversationId"])?,
        start_ms: times.iter().min().copied(),
        end_ms: times.iter().max().copied(),
        surveys: vec![text],
        ..Conversation::default()
    }))
}

/// The web session of a whole value. `None`: it holds none.
pub(super) fn read_session(json: &[u8]) -> Result<Option<Conversation>> {
    let contents = data_access::read_value(&mut Pull::new(json))?;
    Ok(contents.found.into_iter().find_map(|(_, found)| match found {
        Found::Conversation(session) if session.supplement == Some(Supplement::WebSession) => Some(session),
        _ => None,
    }))
}

fn add_session(body: &OtherBody<'_>, session: &mut Conversation) -> Result<()> {
    body.header.put_into(session);
    for Payload { name, json, .. } in &body.payloads {
        let text = text_of(json);
        let times = times(&text, &["timestamp", "sessionStartTime"]);
        session.start_ms = session.start_ms.into_iter().chain(times.iter().copied()).min();
        session.end_ms = session.end_ms.into_iter().chain(times.iter().copied()).max();
        match name.as_str() {
            "engagementAttributes" => Pull::new(json).array(&mut |pull| {
                session.attributes.push(text_of(pull.raw()?));
                Ok(())
            })?,
            _ => {
                let first = |path: &str| flattened(&text).into_iter().find(|value| value.path == path);
                if name == "navigationData" && session.start_url.is_none() {
                    session.start_url = first("url").map(|value| value.text);
                }
                if session.device.is_none() {
                    session.device = first("deviceFamily").map(|value| value.text);
                }
                session.unknown.push((name.clone(), text));
            }
        }
    }
    Ok(())
}

/// Reads a survey or web session that is no line of its own (pretty-printed, or very long): as a whole, because its parts
/// belong together. `false`: it is something else.
pub(super) fn read_whole(text: &mut Text<'_>, decoder: &mut Decoder<'_, '_>) -> bool {
    while text.unread().len() < LOOK_AHEAD && text.fill() {}
    let ahead = &text.unread()[..text.unread().len().min(LOOK_AHEAD)];
    let holds = |needle: &[u8]| memchr::memmem::find(ahead, needle).is_some();
    if !holds(b"\"dataType\"") || !(holds(b"\"Survey\"") || holds(b"\"WebSession\"")) {
        return false;
    }
    let start = text.offset();
    let (at, json) = match text.frame() {
        Ok(framed) => framed,
        Err(Fault::TooLarge(bytes)) => {
            decoder.report.records += 1;
            decoder.broken(ProblemKind::TooLarge, start, format!("{bytes} bytes"));
            return true;
        }
        Err(_) => {
            text.go_back(start);
            return false;
        }
    };
    let mut pull = Pull::new(json);
    if let Ok(contents) = data_access::read_value(&mut pull) {
        // Where something is encrypted, the clear text decides what is odd.
        if !has_armor(json) {
            data_access::note_odd(&pull, decoder.ordinal, at, &mut decoder.report.problems);
        }
        emit_all(contents, at, json, None, decoder);
        return true;
    }
    if let Some(mended) = repaired(json)
        && let Ok(contents) = data_access::read_value(&mut Pull::new(&mended))
    {
        decoder.note(ProblemKind::Repaired, at, "invalid text was replaced for reading");
        emit_all(contents, at, &mended, Some(json), decoder);
        return true;
    }
    text.go_back(start);
    false
}
