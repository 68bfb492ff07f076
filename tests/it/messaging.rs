//! Messaging and chat history, end to end: what the account says is found, stays found, and shows while `watch` runs.

use crate::support::{Lab, Run, Vault, ids, is_long, reader, world};
use chatvault::conversation::{Message, plain_text};
use chatvault::simulator::{Clock, MessagingConfig, Role, Script, SimulatorConfig, TruthMessaging};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn account(conversations: u64, days: u32, clock: Clock) -> Lab {
    let messaging = MessagingConfig { conversations, days, days_ahead: 1, ..MessagingConfig::default() };
    Lab::with(SimulatorConfig { world: world(40, 6), messaging, clock, script: Script::default(), ..Lab::config() })
}

/// A phrase of the query language, its signs taken for themselves.
fn quoted(text: &str) -> String {
    let mut phrase = String::from("\"");
    for letter in text.chars() {
        if matches!(letter, '\\' | '"' | '?' | '*') {
            phrase.push('\\');
        }
        phrase.push(letter);
    }
    phrase + "\""
}

/// Whether there is anything in a text that a query could ask for.
fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

fn key(lab: &Lab, id: &str) -> String {
    format!("{}:{id}", lab.account())
}

/// Holds every engagement attribute of the truth against the index, anywhere and at its path; gives how many were asked for.
fn assert_attributes_are_found(lab: &Lab, vault: &Vault, truth: &[TruthMessaging]) -> usize {
    let reader = reader(&vault.path());
    let mut expected: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for conversation in truth {
        for (path, value) in conversation.sdes.iter().flat_map(|event| &event.values) {
            // LivePerson's way to say that it does not know.
            if has_words(value) && value != "null" {
                expected.entry((path, value)).or_default().insert(key(lab, &conversation.id));
            }
        }
    }
    for ((path, value), wanted) in &expected {
        let query = format!("sde.{path}:{}", quoted(value));
        let found = ids(&reader, &query);
        assert!(found.is_superset(wanted), "{query}: {:?}", wanted.difference(&found));
        // A long run of digits is one word: nothing else has it.
        if value.len() >= 10 && value.bytes().all(|byte| byte.is_ascii_digit()) {
            assert_eq!(found, *wanted, "{query}");
            let bare = format!("sde.{path}:{value}");
            assert_eq!(ids(&reader, &bare), *wanted, "{bare}");
        }
        let anywhere = format!("sde:{}", quoted(value));
        let found = ids(&reader, &anywhere);
        assert!(found.is_superset(wanted), "{anywhere}: {:?}", wanted.difference(&found));
    }
    expected.len()
}

/// Holds every line of the truth against the index, by who said it.
fn assert_lines_are_found(lab: &Lab, vault: &Vault, truth: &[TruthMessaging]) -> usize {
    let reader = reader(&vault.path());
    let mut asked = 0;
    for conversation in truth {
        for turn in &conversation.messages {
            let field = match turn.role {
                Role::Consumer => "consumer",
                // The record calls LivePerson's own lines an agent's, by an id that no list of participants has.
                Role::Agent | Role::System => "agent",
                Role::Bot => "bot",
                Role::Note => "note",
            };
            for text in &turn.texts {
                let line = Message {
                    text: text.clone(),
                    content_format: Some(turn.content_type.to_owned()),
                    ..Message::default()
                };
                let visible = plain_text(&line).to_string();
                if !has_words(&visible) {
                    continue;
                }
                let query = format!("{field}:{}", quoted(&visible));
                let found = ids(&reader, &query);
                assert!(found.contains(&key(lab, &conversation.id)), "{} {turn:?}\n{query}", conversation.id);
                asked += 1;
            }
        }
    }
    asked
}

fn assert_conversations_are_found(lab: &Lab, vault: &Vault, truth: &[TruthMessaging]) {
    let reader = reader(&vault.path());
    let wanted: BTreeSet<String> = truth.iter().map(|conversation| key(lab, &conversation.id)).collect();
    let found = ids(&reader, "source:messaging-interactions");
    let wrong: Vec<_> = found.symmetric_difference(&wanted).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:?}", wrong.len(), wanted.len());
    for conversation in truth {
        let query = format!("id:{}", conversation.id);
        assert_eq!(ids(&reader, &query), [key(lab, &conversation.id)].into(), "{query}");
    }
}

#[test]
fn what_the_account_says_is_found() {
    let now = now_ms();
    let lab = account(if is_long() { 1000 } else { 150 }, 3, Clock::Fixed(now));
    let truth: Vec<TruthMessaging> = lab.simulator.messaging().truth(now).collect();
    assert!(truth.len() > 80, "{}", truth.len());
    let vault = lab.history_vault("4d");
    let report = vault.json(&["sync"], 0);
    let stream = &report["streams"]["messaging-interactions"];
    assert_eq!((&stream["failed"], stream["problems"].as_array().unwrap().len()), (&0.into(), 0), "{report}");

    assert_conversations_are_found(&lab, &vault, &truth);
    let attributes = assert_attributes_are_found(&lab, &vault, &truth);
    let lines = assert_lines_are_found(&lab, &vault, &truth);
    assert!(attributes > 500 && lines > 500, "{attributes} attributes, {lines} lines");

    // A chat is one conversation, whichever of the two sources it came from.
    let reader = reader(&vault.path());
    let chats = ids(&reader, "source:engagement-history");
    assert!(!chats.is_empty());
    assert_eq!(ids(&reader, "source:engagement-history source:data-access"), chats);
    drop(reader);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);

    // Without a network the archive gives the same index again.
    let before = answers(&vault);
    drop(lab);
    std::fs::remove_dir_all(vault.path().join("index")).unwrap();
    vault.run(&["index", "--rebuild"]).exits(0);
    assert_eq!(answers(&vault), before);
}

/// What some questions find.
fn answers(vault: &Vault) -> Vec<BTreeSet<String>> {
    let reader = reader(&vault.path());
    [
        "*",
        "type:messaging",
        "has:sde",
        "sde:gold",
        "sde.cartStatus.total:>100",
        "refund",
        "agent:sorry",
        "has:survey",
        "mcs:<50",
    ]
    .map(|query| ids(&reader, query))
    .into()
}

/// A running `watch`; killed if the test fails.
struct Watch(Child);

impl Watch {
    fn start(vault: &Vault, arguments: &[&str]) -> Watch {
        Watch(vault.command(&[&["watch", "--every", "1s"], arguments].concat()).spawn().unwrap())
    }

    fn end(mut self, signal: &str) -> Run {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let (out, err) = (self.0.stdout.take().unwrap(), self.0.stderr.take().unwrap());
        let stderr = std::thread::spawn(move || std::io::read_to_string(err).unwrap());
        let stdout = std::io::read_to_string(out).unwrap();
        Run { code: self.0.wait().unwrap().code(), stdout, stderr: stderr.join().unwrap() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns when a file is there: then the first round is over.
#[track_caller]
fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} is not written", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The account lives in real time and is busy: something happens every few seconds.
#[test]
fn what_happens_while_watch_runs_is_found() {
    let lab = account(10_000, 1, Clock::Wall);
    let vault = lab.history_vault("1h");
    vault.run(&["sync"]).exits(0);
    let synced_ms = now_ms();

    let metrics = vault.path().join("chatvault.prom");
    let watch = Watch::start(&vault, &["--metrics", metrics.to_str().unwrap()]);
    // Only against waiting for ever: a busy machine takes its time, and no test measures it.
    let deadline = Instant::now() + Duration::from_secs(600);
    // (id, path, value) of an attribute that was not there when the first sync was over.
    let mut appeared: Option<(String, String, String)> = None;
    loop {
        assert!(Instant::now() < deadline, "{appeared:?} is not found; {}", Watch::end(watch, "-TERM").all());
        std::thread::sleep(Duration::from_millis(300));
        let now = now_ms();
        if appeared.is_none() {
            let account = lab.simulator.messaging();
            // Those of the last hour: older ones are not followed from their beginning.
            let latest = account.started(now).rev().take(400).filter_map(|index| account.conversation(index, now));
            appeared = latest.filter(|conversation| !conversation.erased).find_map(|conversation| {
                let event = conversation.sdes.iter().find(|event| event.at_ms > synced_ms)?;
                let is_rare = |value: &str| value.bytes().filter(u8::is_ascii_digit).count() >= 6;
                let (path, value) = event.values.iter().find(|(_, value)| is_rare(value))?;
                Some((conversation.id.clone(), path.clone(), value.clone()))
            });
        }
        let Some((id, path, value)) = &appeared else { continue };
        let found = ids(&reader(&vault.path()), &format!("sde.{path}:{} sde:{}", quoted(value), quoted(value)));
        if found.contains(&key(&lab, id)) {
            break;
        }
    }

    // Written after the round in which it was found.
    wait_for(&metrics);
    let text = std::fs::read_to_string(&metrics).unwrap();
    for name in
        ["stream_answered_timestamp_seconds{stream=\"messaging-interactions\"}", "rounds_total", "requests_total"]
    {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("chatvault_{name} ")))
            .unwrap_or_else(|| panic!("{name}: {text}"));
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 0.0, "{line}");
    }
    assert!(
        text.lines()
            .all(|line| line.starts_with("# HELP ") || line.starts_with("# TYPE ") || line.starts_with("chatvault_")),
        "{text}"
    );

    watch.end("-TERM").exits(0);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
    let status = vault.run(&["watch", "--status"]).exits(0);
    for stream in ["data-access/engagement", "messaging-interactions", "engagement-history"] {
        let line =
            status.stdout.lines().find(|line| line.starts_with(stream)).unwrap_or_else(|| panic!("{}", status.stdout));
        assert!(line.contains("answered") && line.contains("new data") && !line.contains("never"), "{line}");
    }

    std::fs::remove_file(&metrics).unwrap();
    let watch = Watch::start(&vault, &["--metrics", metrics.to_str().unwrap()]);
    wait_for(&metrics);
    watch.end("-INT").exits(130);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
}

#[test]
fn a_killed_watch_loses_nothing() {
    let now = now_ms();
    let lab = account(150, 3, Clock::Fixed(now));
    let truth: Vec<TruthMessaging> = lab.simulator.messaging().truth(now).collect();
    let undisturbed = lab.history_vault("4d");
    let started = Instant::now();
    undisturbed.run(&["sync"]).exits(0);
    let whole = started.elapsed();
    let wanted = answers(&undisturbed);

    let vault = lab.history_vault("4d");
    let rounds: u32 = if is_long() { 40 } else { 8 };
    for round in 0..rounds {
        // One vault, killed again and again: each run finds what the last one left.
        let watch = Watch::start(&vault, &[]);
        std::thread::sleep(whole * (2 * round + 1) / (2 * rounds));
        drop(watch);
        let known = vault.files();
        let watch = Watch::start(&vault, &[]);
        std::thread::sleep(whole / 3);
        drop(watch);
        let left = vault.files();
        assert!(
            known.iter().all(|(path, hash)| left.get(path) == Some(hash)),
            "round {round}: a published file changed"
        );
    }
    vault.run(&["sync"]).exits(0);
    assert_conversations_are_found(&lab, &vault, &truth);
    assert_eq!(answers(&vault), wanted);
    assert_eq!(vault.json(&["verify"], 0)["ok"], true);
    assert!(vault.names_in("tmp").is_empty() && vault.names_in("quarantine").is_empty());
}
