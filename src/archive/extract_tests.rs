//! Extracts of whole chains and of single files, and what a changed one is refused for.

use super::check::tests::gzip;
use super::proof::ProvenEvent;
use super::tests::{Lab, publish};
use super::tree::Step;
use super::*;

fn lab_of(files: usize) -> Lab {
    let lab = Lab::new();
    publish_more(&lab, 0..files);
    lab
}

fn publish_more(lab: &Lab, numbers: std::ops::Range<usize>) {
    for number in numbers {
        publish(&lab.archive, &format!("f{number}.gz"), &gzip(format!("{number}").as_bytes())).unwrap();
    }
}

fn rows(lab: &Lab) -> Vec<FileRow> {
    // In pages of two, as a reader of a large ledger takes them.
    let mut rows: Vec<FileRow> = Vec::new();
    loop {
        let page = lab.archive.rows_after(rows.last().map_or(0, |row| row.sequence), 2).unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

fn chain(lab: &Lab, head: &Head) -> Vec<ProvenEvent> {
    let mut events = Vec::new();
    let extract = lab.archive.extract_chain::<ArchiveError>(head, |proven| {
        events.push(proven);
        Ok(())
    });
    assert_eq!(extract.unwrap().events, events.len() as u64);
    events
}

fn some(lab: &Lab, wanted: &[u64], anchor: Option<&Head>) -> (Vec<ProvenEvent>, u64) {
    let mut events = Vec::new();
    let wanted = wanted.iter().map(|seq| Ok::<u64, ArchiveError>(*seq));
    let extract = lab.archive.extract_events(wanted, anchor, |proven| {
        events.push(proven);
        Ok(())
    });
    (events, extract.unwrap().untied)
}

fn check(scope: Scope, head: Head, events: &[ProvenEvent]) -> Result<u64, Refusal> {
    let mut check = ExtractCheck::new(scope, head);
    events.iter().try_for_each(|proven| check.take(proven))?;
    check.finish()
}

#[track_caller]
fn refused(scope: Scope, head: Head, events: &[ProvenEvent], change: impl FnOnce(&mut Vec<ProvenEvent>)) {
    let mut changed = events.to_vec();
    change(&mut changed);
    assert_ne!(changed, events);
    check(scope, head, &changed).unwrap_err();
}

#[test]
fn a_whole_chain_follows_event_by_event() {
    let lab = lab_of(7);
    let head = lab.archive.lasting_head().unwrap().unwrap();
    // Who only looked leaves the head where it was; an anchor does not.
    lab.archive.record_event(EventKind::Exported, json_of("{}")).unwrap();
    lab.archive.record_event(EventKind::Verified, json_of("{}")).unwrap();
    assert_eq!(lab.archive.lasting_head().unwrap(), Some(head));
    let events = chain(&lab, &head);
    assert_eq!(check(Scope::Archive, head, &events), Ok(0));
    refused(Scope::Archive, head, &events, |events| drop(events.pop()));
    refused(Scope::Archive, head, &events, |events| drop(events.remove(3)));
    refused(Scope::Archive, head, &events, |events| drop(events.remove(0)));
    refused(Scope::Archive, head, &events, |events| events.swap(2, 3));
    refused(Scope::Archive, head, &events, |events| events[2].event.time_ms += 1);
    refused(Scope::Archive, head, &events, |events| events[2].event.actor.push('\n'));
    check(Scope::Archive, Head { hash: Sha256Hex([1; 32]), ..head }, &events).unwrap_err();
    let anchor = lab.archive.anchor().unwrap();
    assert_eq!(lab.archive.lasting_head().unwrap(), Some(anchor));
}

#[test]
fn files_are_tied_to_an_anchor_without_a_word_about_others() {
    let lab = lab_of(9);
    assert_eq!(lab.archive.newest_anchor().unwrap(), None);
    let anchor = lab.archive.anchor().unwrap();
    publish_more(&lab, 9..11);
    let rows = rows(&lab);
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
    let wanted = [rows[1].event_seq, rows[4].event_seq, rows[8].event_seq];
    let (events, untied) = some(&lab, &wanted, Some(&anchor));
    assert_eq!((events.len(), untied), (4, 0));
    assert_eq!(check(Scope::Files, anchor, &events), Ok(0));

    refused(Scope::Files, anchor, &events, |events| drop(events.pop()));
    refused(Scope::Files, anchor, &events, |events| events.swap(0, 1));
    refused(Scope::Files, anchor, &events, |events| events.push(events[3].clone()));
    refused(Scope::Files, anchor, &events, |events| events[1].tree.as_mut().unwrap().anchor += 1);
    refused(Scope::Files, anchor, &events, |events| {
        events[1].tree.as_mut().unwrap().path.pop();
    });
    refused(Scope::Files, anchor, &events, |events| {
        events[0].tree.as_mut().unwrap().path[0] = Step::Left(Sha256Hex([7; 32]));
    });
    // All through one tree, but not through that of the anchor.
    refused(Scope::Files, anchor, &events[2..], |events| {
        events[0].tree.as_mut().unwrap().path[0] = Step::Left(Sha256Hex([7; 32]));
    });
    refused(Scope::Files, anchor, &events, |events| events[2].event.payload.push(' '));
    // Who takes a path away claims less, and it is counted.
    let mut bare = events.clone();
    bare[0].tree = None;
    assert_eq!(check(Scope::Files, anchor, &bare), Ok(1));
}

#[test]
fn what_came_after_the_anchor_is_not_tied() {
    let lab = lab_of(2);
    let anchor = lab.archive.anchor().unwrap();
    publish_more(&lab, 2..4);
    let seqs: Vec<u64> = rows(&lab).iter().map(|row| row.event_seq).collect();
    let (events, untied) = some(&lab, &seqs, Some(&anchor));
    assert_eq!((events.len(), untied), (5, 2));
    assert!(events.windows(2).all(|pair| pair[0].event.seq < pair[1].event.seq), "in the order of the chain");
    assert_eq!(check(Scope::Files, anchor, &events), Ok(2));
    let (events, untied) = some(&lab, &seqs[..1], None);
    assert_eq!((events.len(), untied), (1, 1));
    let end = lab.archive.lasting_head().unwrap().unwrap();
    assert_eq!(check(Scope::Files, end, &events), Ok(1));
}

#[test]
fn a_row_is_held_against_its_event_in_every_column() {
    let lab = lab_of(2);
    let head = lab.archive.lasting_head().unwrap().unwrap();
    let row = rows(&lab).remove(1);
    let event = chain(&lab, &head).into_iter().find(|proven| proven.event.seq == row.event_seq).unwrap().event;
    row.agrees_with(&event).unwrap();
    let columns = serde_json::to_value(&row).unwrap();
    for (name, value) in columns.as_object().unwrap() {
        let mut changed = columns.clone();
        changed[name] = match value {
            Value::Number(number) => Value::from(number.as_u64().unwrap() + 1),
            Value::String(text) if name == "sha256" => Value::from(text.replace(|_| true, "0")),
            Value::String(text) => Value::from(format!("{text}x")),
            Value::Object(_) if name == "window" => Value::Null,
            _ => json_of(r#"{"origin":"elsewhere"}"#),
        };
        let changed: FileRow = serde_json::from_value(changed).unwrap();
        let refusal = changed.agrees_with(&event).unwrap_err();
        assert!(refusal.0.contains(name.as_str()), "{name}: {refusal}");
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A row of before bags is read, compared and written as it was.
#[test]
fn provenance_without_hand_overs_is_written_as_ever() {
    let before = r#"{"clock_offset_ms":null,"origin":"o","program":"p","request":{},"response":{}}"#;
    let provenance: Provenance = serde_json::from_str(before).unwrap();
    assert_eq!(chain::canonical_json(&serde_json::to_value(&provenance).unwrap()), before);
}
