//! What stands above a transcript: which conversation it is, how it went, who took part, where it comes from.

use super::super::output::{Style, counted, readable_duration, readable_time};
use super::super::paragraph::Paragraph;
use super::page::Page;
use super::timeline::{Names, named};
use super::{UNPROVEN, View};
use chatvault::conversation::{Conversation, Role, StoredConversation};
use chatvault::search::field::{end_reason_label, start_reason_label};
use jiff::tz::TimeZone;

/// Columns of the names of the rows.
pub(super) const NAME_WIDTH: usize = 14;

/// Messages with a hit that are named one by one.
const NAMED_HITS: usize = 20;

pub(super) fn print(view: &View<'_>, page: &mut Page<'_>) {
    let View { stored, c, tz, .. } = view;
    let id = c.conversation_id.clone().filter(|_| c.supplement.is_none()).unwrap_or_else(|| stored.key());
    let mut kind: Vec<String> = Vec::new();
    kind.extend(chatvault::index::type_name(c));
    kind.extend(c.status.as_deref().map(chatvault::index::status_name));
    kind.extend(c.supplement.map(|supplement| format!("a {}, no conversation", supplement.name())));
    let title = Paragraph::default().foreign(Some(Style::Bold), id).own(None, "  ").foreign(None, kind.join(" · "));
    page.foreign(&title);
    for (name, text) in rows(stored, c, tz) {
        row(page, name, text, None);
    }
    if let Some((query, found)) = view.found {
        let text = match found.messages().as_slice() {
            [] if found.matches => "none: it matches by facts and not by words of a message".to_owned(),
            [] => "none: it does not match this conversation".to_owned(),
            messages => {
                let named: Vec<String> = messages.iter().take(NAMED_HITS).map(|index| format!("m{index}")).collect();
                let more = messages.len().saturating_sub(NAMED_HITS);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let (hits, places) = (found.hits.len() as u64, messages.len() as u64);
                format!("{} in {}: {}{more}", counted(hits, "hit"), counted(places, "message"), named.join(" "))
            }
        };
        row(page, "query", query.to_owned(), None);
        row(page, "hits", text, Some(Style::Hit));
    }
    let records = || stored.revisions.iter().flat_map(|revision| &revision.records);
    if let Some(first) = records().next() {
        let mut text = format!("{} · record {} · SHA-256 {}", first.file, first.record, first.sha256);
        match records().count() - 1 {
            0 => {}
            more => text.push_str(&format!(" · and {more} more, see the end")),
        }
        row(page, "provenance", text, Some(Style::Dim));
    }
    if records().any(|record| record.unproven) {
        row(page, "UNPROVEN", UNPROVEN.to_owned(), Some(Style::Bad));
    }
}

/// A name of ours, and what stands beside it.
pub(super) fn row(page: &mut Page<'_>, name: &str, text: String, style: Option<Style>) {
    let first = format!("{name:NAME_WIDTH$}");
    page.hanging(&first, Some(Style::Dim), NAME_WIDTH, &Paragraph::default().foreign(style, text));
}

fn rows(stored: &StoredConversation, c: &Conversation, tz: &TimeZone) -> Vec<(&'static str, String)> {
    let mut rows: Vec<(&'static str, String)> = Vec::new();
    let mut add = |name: &'static str, parts: Vec<String>| {
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if !parts.is_empty() {
            rows.push((name, parts.join(" · ")));
        }
    };
    let time = |ms: Option<i64>| ms.map(|ms| readable_time(ms, tz));
    let from = time(c.start_ms).unwrap_or_else(|| "no start time".to_owned());
    let zone = tz.iana_name().unwrap_or_default().to_owned();
    let mut when = vec![match time(c.end_ms) {
        Some(to) => format!("{from} to {to}"),
        None => from,
    }];
    when.push(zone);
    when.extend(c.duration_ms().map(readable_duration));
    when.extend(c.queue_ms().map(|ms| format!("{} in the queue", readable_duration(ms))));
    add("time", when);
    let reason = |code: i64, label: Option<&str>| match label {
        Some(label) => format!("{code} {}", label.to_lowercase()),
        None => code.to_string(),
    };
    let mut ended: Vec<String> = Vec::new();
    ended.extend(c.end_reason.map(|code| reason(code, end_reason_label(code))));
    ended.extend(c.closed_by.as_ref().map(|by| format!("closed by {}", by.to_lowercase())));
    add("end reason", ended);
    add("start reason", c.start_reason.map(|code| reason(code, start_reason_label(code))).into_iter().collect());
    let names = Names::of(c);
    add("skills", c.all_skills().into_iter().map(|skill| names.skill(skill)).collect());
    let agents = c.agents();
    add("agents", agents.iter().map(|agent| named(agent.name, agent.id)).collect());
    let mut consumer: Vec<String> = Vec::new();
    consumer.extend(c.consumer_id.iter().filter(|id| c.consumers.iter().all(|known| known.id != **id)).cloned());
    for known in &c.consumers {
        consumer.push(named(known.name.as_deref(), &known.id));
        consumer.extend(known.email.iter().chain(&known.phone).cloned());
    }
    consumer.extend(c.visitor_id.iter().filter(|id| !id.is_empty()).map(|id| format!("visitor {id}")));
    consumer.extend(c.visit_id.iter().filter(|id| !id.is_empty()).map(|id| format!("visit {id}")));
    add("consumer", consumer);
    let campaign = c.campaign.iter().flat_map(|campaign| {
        let part =
            |name: &Option<String>, id: &Option<String>| named(name.as_deref(), id.as_deref().unwrap_or_default());
        [part(&campaign.campaign_name, &campaign.campaign_id), part(&campaign.engagement_name, &campaign.engagement_id)]
    });
    add("campaign", campaign.collect());
    let came = [&c.device, &c.origin, &c.start_page, &c.start_url];
    add("from", came.into_iter().flatten().cloned().collect());
    let mut scores: Vec<String> = Vec::new();
    scores.extend(c.mcs.map(|mcs| format!("MCS {mcs}")));
    scores.extend(c.csat.map(|csat| format!("CSAT {csat}")));
    scores.extend(c.nps.map(|nps| format!("NPS {nps}")));
    add("scores", scores);
    let by_role = Role::ALL.map(|role| (role, c.messages.iter().filter(|message| message.role == role).count()));
    let by_role =
        by_role.iter().filter(|(_, count)| *count > 0).map(|(role, count)| format!("{} {count}", role.name()));
    add("messages", std::iter::once(c.messages.len().to_string()).chain(by_role).collect());
    let mut sources: Vec<String> = vec![stored.sources().join(" + ")];
    if stored.version_count() > 1 {
        sources.push(format!("{} revisions, see --revisions", stored.version_count()));
    }
    if c.is_partial {
        sources.push("cut by LivePerson".to_owned());
    }
    add("sources", sources);
    if let Some(encrypted) = &c.encrypted {
        let came = counted(encrypted.opened.saturating_add(encrypted.unreadable), "message");
        let closed =
            if encrypted.unreadable > 0 { format!("{} not opened", encrypted.unreadable) } else { String::new() };
        let keys = encrypted.key_ids.iter().take(3).map(|id| format!("key 0x{id}"));
        add("encrypted", [came, closed].into_iter().chain(keys).collect());
    }
    if c.is_masked {
        add("deleted", vec!["LivePerson has deleted personal data".to_owned()]);
    }
    rows
}
