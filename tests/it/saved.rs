//! Saved searches, term lists and samples beside proofs, digests, pages, the other syntax and shown conversations: one query
//! means one thing, wherever it is put.

use crate::support::{Lab, Vault, temp_folder, world};
use chatvault::simulator::{Script, WorldConfig};
use serde_json::Value;
use std::fs;
use std::sync::OnceLock;

/// A term of counsel, and the same in our own syntax.
const TYPED: &str = "my order or refund~";
const OURS: &str = "\"my order\" OR stem:refund";

/// A vault in which [`TYPED`] is saved as `counsel`.
fn vault() -> &'static Vault {
    static VAULT: OnceLock<Vault> = OnceLock::new();
    VAULT.get_or_init(|| {
        let config = WorldConfig { seed: 5, revised_permille: 60, ..world(300, 20) };
        let (vault, run) = Lab::new(config, Script::default()).synced();
        run.exits(0);
        vault.run(&["saved", "add", "counsel", "--syntax", "dtsearch", TYPED]).exits(0);
        vault
    })
}

fn total(query: &str) -> u64 {
    let found = vault().json(&["search", "--count", query], 0)["total"]["value"].as_u64().unwrap();
    assert!(found > 0 && found < 300, "{query} finds some: {found}");
    found
}

fn digest(query: &str) -> Value {
    vault().json(&["search", "--digest", query], 0)["digest"].clone()
}

#[test]
fn a_saved_search_in_the_other_syntax_means_the_same_everywhere() {
    let listed = vault().json(&["saved"], 0);
    assert_eq!(
        (&listed["searches"][0]["syntax"], &listed["searches"][0]["query"]),
        (&"dtsearch".into(), &TYPED.into())
    );
    assert!(vault().run(&["saved"]).exits(0).stdout.contains("dtsearch"));
    let count = total(OURS);
    assert_eq!(digest("saved:counsel"), digest(OURS));
    assert_eq!(digest(OURS)["count"], count);

    let proof = vault().json(&["search", "saved:counsel", "--prove"], 0);
    assert_eq!((&proof["prove"]["agrees"], &proof["prove"]["scan"]), (&true.into(), &count.into()));
    assert_eq!(vault().json(&["stats", "--query", "saved:counsel"], 0)["conversations"], count);
    for syntax in ["chatvault", "dtsearch"] {
        let explained = vault().json(&["search", "--explain", "--syntax", syntax, "saved:counsel"], 0);
        assert_eq!(explained["query_normalised"], OURS);
    }

    let hits = vault().json(&["search", "saved:counsel", "--limit", "1"], 0);
    let id = hits["hits"][0]["conversation_id"].as_str().unwrap();
    let shown = |query: &str| {
        let mut shown = vault().json(&["show", id, "--query", query], 0);
        shown.as_object_mut().unwrap().remove("query");
        shown
    };
    assert_eq!(shown("saved:counsel")["matches"], true);
    assert!(!shown("saved:counsel")["highlights"].as_array().unwrap().is_empty());
    assert_eq!(shown("saved:counsel"), shown(OURS));

    let folder = temp_folder();
    let out = folder.path().join("bag").to_string_lossy().into_owned();
    let bag = vault().json(&["export", "saved:counsel", "--format", "bagit", "--out", &out], 0);
    assert_eq!(bag["conversations"], count);
}

#[test]
fn pages_of_a_saved_search_go_on_until_it_is_changed() {
    let copy = vault().copy();
    let first = copy.json(&["search", "saved:counsel", "--limit", "5", "--sort", "start"], 0);
    let cursor = first["next"].as_str().unwrap();
    let next = ["search", "saved:counsel", "--limit", "5", "--sort", "start", "--after", cursor];
    let second = copy.json(&next, 0);
    let both = copy.json(&["search", OURS, "--limit", "10", "--sort", "start"], 0);
    let keys = |page: &Value| -> Vec<Value> {
        page["hits"].as_array().unwrap().iter().map(|hit| hit["key"].clone()).collect()
    };
    assert_eq!([keys(&first), keys(&second)].concat(), keys(&both));
    copy.run(&["saved", "add", "counsel", "--replace", "refund"]).exits(0);
    let refused = copy.run(&next).exits(2);
    assert!(refused.stderr.contains("without --after"), "{}", refused.all());
}

#[test]
fn a_term_list_is_read_in_the_syntax_named_and_its_digest_is_that_of_a_search() {
    let folder = temp_folder();
    let list = folder.path().join("terms.txt").to_string_lossy().into_owned();
    fs::write(&list, "refund~\nS\tsaved:counsel\nmy order\n").unwrap();
    let report = vault().json(&["search", "--syntax", "dtsearch", "--term-report", &list], 0);
    assert_eq!(report["syntax"], "dtsearch");
    let terms = report["terms"].as_array().unwrap();
    let understood = ["stem:refund", OURS, "\"my order\""];
    for (term, ours) in terms.iter().zip(understood) {
        assert_eq!(term["parsed"], ours);
        assert_eq!(term["conversations"], total(ours));
    }
    assert_eq!(terms.len(), understood.len());
    assert_eq!(report["union"]["digest"], digest(OURS)["sha256"]);
    let scoped = vault().json(&["search", "my order", "--syntax", "dtsearch", "--term-report", &list], 0);
    assert_eq!(scoped["searched"], total("\"my order\""));
    // In our own syntax a tilde is no stem, and words side by side are no phrase.
    let other = vault().json(&["search", "--term-report", &list], 3);
    assert!(other["terms"][0]["error"]["message"].is_string(), "{other}");
    assert_eq!((&other["syntax"], &other["terms"][2]["parsed"]), (&"chatvault".into(), &"my AND order".into()));
}

#[test]
fn what_does_not_go_together_is_refused_by_name() {
    let folder = temp_folder();
    let list = folder.path().join("terms.txt").to_string_lossy().into_owned();
    fs::write(&list, "refund\n").unwrap();
    let cursor = vault().json(&["search", "refund", "--limit", "1"], 0)["next"].as_str().unwrap().to_owned();
    for other in [&["--after", &cursor][..], &["--digest"], &["--prove"], &["--explain"]] {
        for beside in [&["--sample", "5"][..], &["--term-report", &list]] {
            let run = vault().run(&[&["search", "refund"], beside, other].concat()).exits(2);
            assert!(run.stderr.contains(beside[0]) && run.stderr.contains(other[0]), "{}", run.all());
            assert!(run.stdout.is_empty());
        }
    }
    let copy = vault().copy();
    let refused = |arguments: &[&str], named: &str| {
        let run = copy.run(arguments).exits(2);
        assert!(run.stderr.contains(named), "{arguments:?}: {}", run.all());
    };
    refused(&["saved", "add", "bad", "--syntax", "dtsearch", "refund w/5 saved:counsel"], "whole conversation");
    refused(&["saved", "add", "bad", "--syntax", "dtsearch", "saved:gone"], "gone");
    refused(&["saved", "add", "bad", "--syntax", "lucene", "refund"], "dtsearch");
    refused(&["saved", "remove", "counsel2"], "counsel2");
    let file = copy.path().join("searches.toml");
    let edited = fs::read_to_string(&file).unwrap().replace("\"dtsearch\"", "\"lucene\"");
    fs::write(&file, edited).unwrap();
    refused(&["search", "saved:counsel"], "its syntax is \"lucene\"");
    refused(&["search", "saved:counsel", "--prove"], "\"dtsearch\"");
}
