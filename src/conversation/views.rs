//! Views of one record: the same bytes, read with one key or another.
//!
//! What a key opened once is kept when the record is read again without it, and a record that says less only because a key was
//! missing is no version of its own.

use super::{Conversation, DAMAGED_MARKER, Message, Record, Revision, UNSUPPORTED_MARKER, encryption::OPENING};
use std::collections::{BTreeMap, HashSet};
use std::mem::take;

/// Puts the views of each record together; records that are in only once are left as they are.
pub(super) fn joined(revisions: Vec<Revision>) -> Vec<Revision> {
    // The usual case: nothing is closed, so there is nothing to fill.
    if revisions.len() < 2 || revisions.iter().all(|revision| revision.content.unreadable_messages() == 0) {
        return revisions;
    }
    let mut seen = HashSet::new();
    let shared: HashSet<Record> = revisions
        .iter()
        .flat_map(|revision| revision.records.iter().collect::<HashSet<_>>())
        .filter(|record| !seen.insert(*record))
        .cloned()
        .collect();
    if shared.is_empty() {
        return revisions;
    }
    let mut out = Vec::new();
    let mut views: BTreeMap<(String, Record), Vec<Revision>> = BTreeMap::new();
    for mut revision in revisions {
        for record in revision.records.extract_if(.., |record| shared.contains(record)) {
            let (age_ms, source, content) = (revision.age_ms, revision.source.clone(), revision.content.clone());
            let view = Revision { age_ms, source: source.clone(), records: vec![record.clone()], content };
            views.entry((source, record)).or_default().push(view);
        }
        if !revision.records.is_empty() {
            out.push(revision);
        }
    }
    for (_, mut of_record) in views {
        // A record that was folded into an older one has that one's age; its own is the later.
        let age_ms = of_record.iter().map(|view| view.age_ms).max().unwrap_or_default();
        of_record.sort_by(|a, b| openness(&a.content).cmp(&openness(&b.content)));
        let mut distinct: Vec<Revision> = Vec::new();
        for view in of_record {
            let fills = |known: &mut Revision| match filled(known.content.clone(), &view.content) {
                // One that is open as a whole has nothing to take.
                Some(_) if known.content.unreadable_messages() == 0 => view.content.unreadable_messages() > 0,
                Some((content, _)) => {
                    known.content = content;
                    true
                }
                None => false,
            };
            if !distinct.iter_mut().any(fills) {
                distinct.push(Revision { age_ms, ..view });
            }
        }
        out.extend(distinct);
    }
    out
}

/// Whether `less` is what `more` is with some of it closed.
pub(super) fn says_less(less: &Conversation, more: &Conversation) -> bool {
    let closed = less.unreadable_messages();
    if closed <= more.unreadable_messages() {
        return false;
    }
    let is_grown = !less.messages.is_empty() && less.messages.len() != more.messages.len();
    !is_grown
        && filled(less.clone(), more).is_some_and(|(mut content, taken)| {
            content.encrypted.clone_from(&more.encrypted);
            taken <= closed && content == *more
        })
}

/// The most open first; the texts only make the order certain.
fn openness(content: &Conversation) -> (u64, std::cmp::Reverse<u64>, Vec<&str>) {
    let opened = content.encrypted.as_ref().map_or(0, |found| found.opened);
    let texts = content.messages.iter().map(|message| message.text.as_str()).collect();
    (content.unreadable_messages(), std::cmp::Reverse(opened), texts)
}

/// A view with what it lacks taken from another one, and how much that was. `None` where they contradict one another.
fn filled(mut view: Conversation, other: &Conversation) -> Option<(Conversation, u64)> {
    let mut taken = 0;
    fill_messages(&mut view.messages, &other.messages, &mut taken)?;
    for (field, from) in [
        (&mut view.conversation_id, &other.conversation_id),
        (&mut view.kind, &other.kind),
        (&mut view.status, &other.status),
        (&mut view.origin, &other.origin),
        (&mut view.device, &other.device),
        (&mut view.consumer_id, &other.consumer_id),
        (&mut view.visitor_id, &other.visitor_id),
        (&mut view.visit_id, &other.visit_id),
        (&mut view.context_id, &other.context_id),
        (&mut view.agent_id, &other.agent_id),
        (&mut view.skill_id, &other.skill_id),
        (&mut view.start_page, &other.start_page),
        (&mut view.start_url, &other.start_url),
    ] {
        fill(field, from, &mut taken);
    }
    for (field, from) in [
        (&mut view.start_ms, &other.start_ms),
        (&mut view.interaction_start_ms, &other.interaction_start_ms),
        (&mut view.end_ms, &other.end_ms),
        (&mut view.queue_start_ms, &other.queue_start_ms),
        (&mut view.queue_end_ms, &other.queue_end_ms),
        (&mut view.end_reason, &other.end_reason),
        (&mut view.start_reason, &other.start_reason),
    ] {
        fill(field, from, &mut taken);
    }
    fill(&mut view.interactive, &other.interactive, &mut taken);
    fill(&mut view.campaign, &other.campaign, &mut taken);
    fill(&mut view.mcs, &other.mcs, &mut taken);
    fill(&mut view.csat, &other.csat, &mut taken);
    fill_list(&mut view.skills, &other.skills, &mut taken);
    fill_list(&mut view.transfers, &other.transfers, &mut taken);
    fill_list(&mut view.secure_forms, &other.secure_forms, &mut taken);
    fill_list(&mut view.attributes, &other.attributes, &mut taken);
    fill_list(&mut view.surveys, &other.surveys, &mut taken);
    for (name, value) in &other.unknown {
        match view.unknown.iter_mut().find(|(known, _)| known == name) {
            Some((_, closed)) if closed == "null" && value != "null" => {
                closed.clone_from(value);
                taken += 1;
            }
            Some(_) => {}
            None => {
                view.unknown.push((name.clone(), value.clone()));
                view.unknown.sort();
                taken += 1;
            }
        }
    }
    if let (Some(mine), Some(theirs)) = (&mut view.encrypted, &other.encrypted) {
        let all = (mine.opened + mine.unreadable).max(theirs.opened + theirs.unreadable);
        let left = view.messages.iter().map(|message| markers(&message.text)).sum();
        mine.unreadable = mine.unreadable.saturating_sub(taken).max(left);
        mine.opened = all.saturating_sub(mine.unreadable);
        mine.key_ids.extend(take(&mut theirs.key_ids.clone()));
        mine.key_ids.sort();
        mine.key_ids.dedup();
    }
    Some((view, taken))
}

fn fill<T: Clone>(field: &mut Option<T>, from: &Option<T>, taken: &mut u64) {
    if let (None, Some(value)) = (&field, from) {
        *field = Some(value.clone());
        *taken += 1;
    }
}

/// A list comes encrypted as a whole, or in elements that are then missing.
fn fill_list<T: Clone>(list: &mut Vec<T>, from: &[T], taken: &mut u64) {
    if list.len() < from.len() {
        *list = from.to_vec();
        *taken += 1;
    }
}

fn fill_messages(lines: &mut Vec<Message>, from: &[Message], taken: &mut u64) -> Option<()> {
    if lines.len() != from.len() {
        let open = |lines: &[Message]| lines.iter().filter(|line| markers(&line.text) == 0).count();
        if open(lines) < open(from) {
            *lines = from.to_vec();
            *taken += 1;
        }
        return Some(());
    }
    let contradicts = |(a, b): (&Message, &Message)| markers(&a.text) + markers(&b.text) == 0 && a.text != b.text;
    if lines.iter().zip(from).any(contradicts) {
        return None;
    }
    for (line, other) in lines.iter_mut().zip(from) {
        let (mine, theirs) = (markers(&line.text), markers(&other.text));
        if theirs < mine {
            *taken += mine - theirs;
            // What stands beside the text may have been inside it: a line may come encrypted as a whole.
            let known = std::mem::replace(line, other.clone());
            fill_beside(line, &known, &mut 0);
        } else {
            fill_beside(line, other, taken);
        }
    }
    Some(())
}

fn fill_beside(line: &mut Message, from: &Message, taken: &mut u64) {
    if line.by.is_empty() && !from.by.is_empty() {
        line.by.clone_from(&from.by);
        *taken += 1;
    }
    fill(&mut line.time_ms, &from.time_ms, taken);
    fill(&mut line.message_id, &from.message_id, taken);
    fill(&mut line.dialog_id, &from.dialog_id, taken);
    fill(&mut line.agent_id, &from.agent_id, taken);
}

/// Markers in a text.
fn markers(text: &str) -> u64 {
    [OPENING, DAMAGED_MARKER, UNSUPPORTED_MARKER].iter().map(|marker| text.matches(marker).count() as u64).sum()
}
