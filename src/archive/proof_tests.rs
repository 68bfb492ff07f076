//! Proofs of files in chains with and without anchors, and every way to forge one that we could think of.

use serde_json::{Value, json};

use super::anchor::claimed_tree;
use super::check::tests::gzip;
use super::tests::{Lab, publish};
use super::*;

fn proof(lab: &Lab, names: &[&str], head: Option<u64>) -> Proof {
    let records: Vec<ProvenRecord> = names
        .iter()
        .map(|name| {
            let file = lab.archive.names_in(tests::STREAM).unwrap()[*name].clone();
            let event = lab.archive.event_of_file(&file.path).unwrap().unwrap();
            ProvenRecord {
                file: file.path,
                sha256: file.sha256,
                size_bytes: file.size_bytes,
                record: 0,
                offset: Some(0),
                record_bytes: 1,
                record_sha256: file.sha256,
                event,
            }
        })
        .collect();
    let wanted: Vec<u64> = records.iter().map(|record| record.event).collect();
    let last = *wanted.iter().max().unwrap();
    let head = head.unwrap_or_else(|| lab.archive.natural_head(last).unwrap().unwrap());
    let events = lab.archive.ties(&wanted, head).unwrap();
    let end = events.last().unwrap();
    Proof {
        schema_version: 1,
        kind: Proof::KIND.into(),
        account_id: "75555851".into(),
        conversation_id: None,
        key: "k".into(),
        made_ms: 0,
        program: "test".into(),
        head: Head { seq: end.event.seq, hash: end.event.hash },
        records,
        events,
    }
}

fn lab_of(files: usize) -> Lab {
    let lab = Lab::new();
    for number in 0..files {
        publish(&lab.archive, &format!("f{number}.gz"), &gzip(format!("{number}").as_bytes())).unwrap();
    }
    lab
}

fn sequences(proof: &Proof) -> Vec<u64> {
    proof.events.iter().map(|proven| proven.event.seq).collect()
}

#[test]
fn without_an_anchor_every_later_event_is_a_link() {
    let lab = lab_of(5);
    let proof = proof(&lab, &["f1.gz"], None);
    assert_eq!(sequences(&proof), [3, 4, 5, 6]);
    proof.check().unwrap();
    assert_eq!(Proof::from_json(proof.to_json()), Ok(proof));
}

#[test]
fn an_anchor_makes_a_proof_small_and_later_heads_still_hold() {
    let lab = lab_of(40);
    let head = lab.archive.anchor().unwrap();
    publish(&lab.archive, "after.gz", &gzip(b"after")).unwrap();
    let small = proof(&lab, &["f1.gz", "f20.gz"], None);
    assert_eq!(sequences(&small), [3, 22, head.seq]);
    assert_eq!(small.head, head);
    small.check().unwrap();

    let longer = proof(&lab, &["f1.gz", "after.gz"], None);
    assert_eq!(sequences(&longer), [3, head.seq, head.seq + 1]);
    longer.check().unwrap();
    assert!(longer.passes(&head.hash));

    // An older head, before the anchor: links again.
    let older = proof(&lab, &["f1.gz"], Some(6));
    assert_eq!(sequences(&older), [3, 4, 5, 6]);
    older.check().unwrap();

    for (wanted, end) in [(7, 6), (3, 99)] {
        assert!(lab.archive.ties(&[wanted], end).unwrap().is_empty());
    }
}

/// What a forger with a hash function can do: change anything and seal it again.
fn refused(good: &Proof, what: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value = good.to_json();
    change(&mut value);
    value.as_object_mut().unwrap().remove("seal");
    let seal = Sha256Hex::of(chain::canonical_json(&value).as_bytes());
    value["seal"] = json!(seal);
    let outcome = Proof::from_json(value).and_then(|forged| forged.check());
    outcome.expect_err(what).to_string()
}

#[test]
fn a_forged_proof_is_refused_even_with_a_new_seal() {
    let lab = lab_of(9);
    let linked = proof(&lab, &["f1.gz"], None);
    lab.archive.anchor().unwrap();
    let anchored = proof(&lab, &["f1.gz"], None);
    for good in [&linked, &anchored] {
        good.check().unwrap();
        let zeros = "0".repeat(64);
        refused(good, "file hash", |value| value["records"][0]["sha256"] = json!(zeros));
        refused(good, "file name", |value| value["records"][0]["file"] = json!("files/other"));
        refused(good, "size", |value| value["records"][0]["size_bytes"] = json!(1));
        refused(good, "other event", |value| value["records"][0]["event"] = json!(good.head.seq));
        refused(good, "no record", |value| value["records"] = json!([]));
        refused(good, "payload", |value| {
            let text = value["events"][0]["payload"].as_str().unwrap().replace("f1.gz", "f2.gz");
            value["events"][0]["payload"] = json!(text);
        });
        refused(good, "time", |value| value["events"][0]["time_ms"] = json!(5));
        refused(good, "hash", |value| value["events"][0]["hash"] = json!(zeros));
        refused(good, "head", |value| value["head"]["hash"] = json!(zeros));
        refused(good, "head number", |value| value["head"]["seq"] = json!(99));
        refused(good, "first event gone", |value| drop(value["events"].as_array_mut().unwrap().remove(0)));
        refused(good, "last event gone", |value| drop(value["events"].as_array_mut().unwrap().pop()));
        refused(good, "event twice", |value| {
            let first = value["events"][0].clone();
            value["events"].as_array_mut().unwrap().push(first);
        });
        refused(good, "a border moved", |value| {
            let event = &mut value["events"][0];
            let kind = event["kind"].as_str().unwrap().to_owned();
            let actor = event["actor"].as_str().unwrap().to_owned();
            event["actor"] = json!(format!("{actor}\n{kind}"));
            event["kind"] = event["payload"].clone();
        });
        assert!(refused(good, "other document", |value| value["type"] = json!("anchor")).contains("not a proof"));
    }
    refused(&linked, "link gone", |value| drop(value["events"].as_array_mut().unwrap().remove(3)));
    refused(&anchored, "path", |value| {
        value["events"][0]["tree"]["path"].as_array_mut().unwrap().swap(0, 1);
    });
    refused(&anchored, "no path", |value| drop(value["events"][0].as_object_mut().unwrap().remove("tree")));
    refused(&anchored, "anchored to itself", |value| value["events"][0]["tree"]["anchor"] = json!(3));

    let mut slip = linked.to_json();
    slip["records"][0]["record"] = json!(7);
    assert!(Proof::from_json(slip).unwrap_err().0.contains("sealed"));
}

#[test]
fn a_head_that_was_written_down_is_found_until_the_chain_is_changed_or_cut() {
    let lab = lab_of(3);
    let head = lab.archive.anchor().unwrap();
    publish(&lab.archive, "later.gz", &gzip(b"later")).unwrap();
    assert!(lab.archive.check_head(&head).unwrap().ok);
    assert!(lab.verify().is_ok());
    assert!(!lab.archive.check_head(&Head { hash: Sha256Hex([7; 32]), ..head }).unwrap().ok);
    assert_eq!(lab.archive.check_head(&Head { seq: 77, ..head }).unwrap().found, None);

    // By force: the anchor's own payload claims another tree, all hashes made anew.
    let anchor = lab.archive.events_after(head.seq - 1, 1).unwrap().remove(0);
    let (covered, _) = claimed_tree(&anchor).unwrap();
    assert_eq!(covered, head.seq - 1);
    let forged = anchor.payload.replace("tree", "free");
    let raw = lab.raw();
    raw.execute_batch("DROP TRIGGER events_never_change").unwrap();
    raw.execute("UPDATE events SET payload = ?1 WHERE seq = ?2", rusqlite::params![forged, head.seq]).unwrap();
    let check = lab.archive.check_head(&head).unwrap();
    assert_eq!((check.ok, check.chain.broken_at), (false, Some(head.seq)));
}

#[test]
fn verify_recomputes_the_trees_of_anchors() {
    let lab = lab_of(2);
    let (seq, hash) = lab.archive.chain_head().unwrap().unwrap();
    let payload = json!({ "head": Head { seq, hash }, "tree": Sha256Hex([9; 32]) });
    lab.archive.record_event(EventKind::Anchored, payload).unwrap();
    assert_eq!(lab.verify().chain.broken_at, Some(seq + 1), "an anchor over made-up rows is seen");
}

#[test]
fn the_format_document_shows_the_script_as_it_is() {
    let script = include_str!("../../data/check_proof.py");
    assert!(script.lines().count() <= 40);
    assert!(include_str!("FORMAT.md").contains(script), "copy data/check_proof.py into FORMAT.md");
}
