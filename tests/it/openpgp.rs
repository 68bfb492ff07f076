//! OpenPGP: what gpg encrypts is archived as it came, opened where a key is at hand, and waits where none is.

use crate::support::{Lab, Run, Vault, temp_folder, world};
use chatvault::archive::{Archive, Arrival, Clock, RealDisk};
use chatvault::conversation::Revision;
use chatvault::decode::{
    DecodeLimits, FileContext, FileReport, Keyring, KeyringError, ProblemKind, decode_with_keys, locate_record,
};
use chatvault::simulator::Script;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery";

/// A private key and what gpg calls it.
struct Key {
    secret: String,
    user: &'static str,
    /// Id of the part that messages are encrypted for.
    id: String,
}

/// The keys of this run, made by gpg once, and a keyring without any private key.
struct Gpg {
    archive: Key,
    /// As an archive's key, but with a passphrase.
    locked: Key,
    other: Key,
    public: String,
}

fn gpg() -> &'static Gpg {
    static GPG: OnceLock<Gpg> = OnceLock::new();
    GPG.get_or_init(|| {
        // A socket lies in it, and a socket's path is short.
        let home = Home(tempfile::tempdir().unwrap());
        let make = |user: &'static str, bits: u32, passphrase: &str| {
            let protection =
                if passphrase.is_empty() { "%no-protection".into() } else { format!("Passphrase: {passphrase}") };
            let spec = format!(
                "Key-Type: RSA\nKey-Length: {bits}\nSubkey-Type: RSA\nSubkey-Length: {bits}\n{protection}\n\
                 Name-Email: {user}\nExpire-Date: 0\n%commit\n"
            );
            home.run(&["--generate-key"], spec.as_bytes());
            let unlock = ["--pinentry-mode", "loopback", "--passphrase", passphrase];
            let secret = home.text(&[&unlock[..], &["--armor", "--export-secret-keys", user]].concat(), b"");
            let listed = home.text(&["--with-colons", "--list-keys", user], b"");
            let subkey = listed.lines().find(|line| line.starts_with("sub:")).unwrap();
            Key { secret, user, id: subkey.split(':').nth(4).unwrap().to_owned() }
        };
        let archive = make("archive@example.org", 4096, "");
        let locked = make("locked@example.org", 4096, PASSPHRASE);
        let other = make("other@example.org", 2048, "");
        Gpg { archive, locked, other, public: home.text(&["--armor", "--export"], b"") }
    })
}

/// A GNUPGHOME whose agent goes with it.
struct Home(TempDir);

impl Home {
    /// One that knows the public keys.
    fn new() -> Home {
        let public = &gpg().public;
        let home = Home(tempfile::tempdir().unwrap());
        home.run(&["--import"], public.as_bytes());
        home
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--batch", "--no-tty", "--quiet", "--yes", "--trust-model", "always"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("gpg is needed: ./check installs it");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // From a thread of its own: what comes out may be more than a pipe holds.
        let feeding = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap().unwrap();
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn text(&self, arguments: &[&str], input: &[u8]) -> String {
        String::from_utf8(self.run(arguments, input)).unwrap()
    }

    /// As the documentation says that LivePerson does: RSA-4096, AES-256, SHA-512, compressed, armored.
    fn encrypt(&self, clear: &str) -> String {
        let like = ["--cipher-algo", "AES256", "--digest-algo", "SHA512", "--compress-algo", "ZIP", "--armor"];
        self.text(&[&like[..], &["-r", gpg().archive.user, "--encrypt"]].concat(), clear.as_bytes())
    }

    fn encrypt_for(&self, key: &Key, clear: &str) -> String {
        self.text(&["--armor", "-r", key.user, "--encrypt"], clear.as_bytes())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.0.path()).args(["--kill", "gpg-agent"]).status();
    }
}

fn ring(keys: &[&Key]) -> Keyring {
    let text: String = keys.iter().map(|key| key.secret.as_str()).collect();
    Keyring::read(text.as_bytes(), Some(PASSPHRASE)).unwrap()
}

fn decode(bytes: &[u8], keys: &Keyring) -> (Vec<Revision>, FileReport) {
    let context = FileContext {
        salvaged: None,
        path: "files/sample".into(),
        sha256: "0".repeat(64),
        window_start_ms: None,
        account_id: "75555851".into(),
    };
    let mut found = Vec::new();
    let limits = DecodeLimits { max_record_bytes: 8 << 20, ..DecodeLimits::default() };
    let report = decode_with_keys(Cursor::new(bytes), &context, limits, keys, &mut |revision| {
        found.push(revision);
        true
    })
    .unwrap();
    (found, report)
}

fn value(engagements: Value) -> Value {
    json!({ "dataType": "Engagement", "metaData": { "accountId": "75555851" },
            "recordCollection": [ { "body": { "com.liveperson.dataaccess.EngagementData": {
                "header": { "visitorId": "visitor-1" }, "engagements": engagements } } } ] })
}

/// A conversation whose one line has this text.
fn engagement(id: &str, text: &str) -> Value {
    json!({ "conversationId": id, "conversationStartTime": 1_467_853_200_000_i64, "conversationEndTime": 1_467_853_260_000_i64,
            "skillId": "3", "transcripts": [ { "text": { "string": text }, "type": "0", "by": { "string": "Visitor" },
            "timestamp": { "long": 1_467_853_201_000_i64 } } ] })
}

fn one_line(id: &str, text: &str) -> Vec<u8> {
    format!("{}\n", value(json!([engagement(id, text)]))).into_bytes()
}

fn text_of(revision: &Revision) -> &str {
    &revision.content.messages[0].text
}

/// Every way of making a message that gpg offers and that an archive may meet.
#[test]
fn what_gpg_makes_is_opened() {
    let home = Home::new();
    home.run(&["--import"], gpg().archive.secret.as_bytes());
    let (archive, other) = (gpg().archive.user, gpg().other.user);
    let to = ["--cipher-algo", "AES256", "--digest-algo", "SHA512", "-r", archive];
    let clear = "a refund of 100 €, \"please\" \\ 返金\r\nsecond line";
    let keys = ring(&[&gpg().archive]);
    let kinds: [(&str, Vec<&str>, &str); 12] = [
        ("ZIP", [&to[..], &["--compress-algo", "ZIP", "--encrypt"]].concat(), "mdc"),
        ("ZLIB", [&to[..], &["--compress-algo", "ZLIB", "--encrypt"]].concat(), "mdc"),
        ("BZIP2", [&to[..], &["--compress-algo", "BZIP2", "--encrypt"]].concat(), "mdc"),
        ("uncompressed", [&to[..], &["--compress-algo", "none", "--encrypt"]].concat(), "mdc"),
        ("signed", [&to[..], &["--compress-algo", "ZLIB", "-u", archive, "--sign", "--encrypt"]].concat(), "mdc"),
        (
            "signed, uncompressed",
            [&to[..], &["--compress-algo", "none", "-u", archive, "--sign", "--encrypt"]].concat(),
            "mdc",
        ),
        ("signed only", vec!["--digest-algo", "SHA512", "-u", archive, "--sign"], "compressed packet"),
        ("hidden", vec!["--hidden-recipient", archive, "--encrypt"], "keyid 0000000000000000"),
        ("two recipients", vec!["-r", other, "-r", archive, "--encrypt"], "mdc"),
        ("hidden among two", vec!["-r", other, "--hidden-recipient", archive, "--encrypt"], "mdc"),
        ("old format without MDC", [&to[..], &["--rfc2440", "--compress-algo", "ZIP", "--encrypt"]].concat(), "tag=9"),
        ("no MDC, uncompressed", [&to[..], &["--rfc2440", "--compress-algo", "none", "--encrypt"]].concat(), "tag=9"),
    ];
    for (kind, arguments, sign) in kinds {
        let message = home.text(&[&["--armor"], &arguments[..]].concat(), clear.as_bytes());
        // The witness: it is what it is meant to be.
        let mut list = Command::new("gpg");
        list.arg("--homedir").arg(home.0.path()).args(["--batch", "--list-packets"]);
        let packets = pipe(&mut list, message.as_bytes());
        assert!(packets.contains(sign), "{kind}: {packets}");
        let (found, report) = decode(&one_line("1", &message), &keys);
        assert_eq!(report.problems.total(), 0, "{kind}: {:?}", report.problems);
        assert_eq!(text_of(&found[0]).trim_end(), clear, "{kind}");
        let encrypted = found[0].content.encrypted.as_ref().unwrap();
        assert_eq!((encrypted.opened, encrypted.unreadable), (1, 0), "{kind}");
        if kind == "ZIP" {
            assert_eq!(encrypted.key_ids, [gpg().archive.id.clone()]);
        }
        // The same as a file of its own: armored, and binary inside gzip.
        let file = String::from_utf8(one_line("2", clear)).unwrap();
        for armor in ["--armor", "--no-armor"] {
            let bytes = home.run(&[&[armor], &arguments[..]].concat(), file.as_bytes());
            // A file that is signed and not encrypted is text or nothing that one would take for OpenPGP.
            if kind == "signed only" && armor == "--no-armor" {
                continue;
            }
            let (found, report) = decode(&gzip(&bytes), &keys);
            assert_eq!(report.problems.total(), 0, "{kind} {armor}: {:?}", report.problems);
            assert_eq!(text_of(&found[0]), clear, "{kind} {armor}");
        }
    }
}

fn pipe(command: &mut Command, input: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn line_breaks_may_be_lost_and_words_may_stand_around() {
    let home = Home::new();
    let message = home.encrypt("hello there");
    let with_header = message.replacen("\n\n", "\nVersion: BCPG v1.58\n\n", 1);
    let keys = ring(&[&gpg().archive]);
    for message in [&message, &with_header] {
        for (line_break, form) in [("\r\n", "CRLF"), (" ", "spaces"), ("", "nothing"), ("\\n", "escaped twice")] {
            let (found, report) = decode(&one_line("1", &message.replace('\n', line_break)), &keys);
            assert_eq!(text_of(&found[0]).trim_end(), "hello there", "{form}: {:?}", report.problems);
        }
    }
    let around = format!("before {} between {} after", message.trim_end(), message.trim_end());
    let (found, _) = decode(&one_line("1", &around), &keys);
    assert_eq!(text_of(&found[0]), "before hello there between hello there after");
    let with_key = format!("{message}{}", gpg().public);
    let (found, _) = decode(&one_line("1", &with_key), &keys);
    assert!(text_of(&found[0]).len() < 100, "the public key is no text: {:?}", text_of(&found[0]));
    // A slash of base64 is escaped by some writers of JSON.
    let slashes = String::from_utf8(one_line("1", &message)).unwrap().replace('/', "\\/");
    assert_eq!(text_of(&decode(slashes.as_bytes(), &keys).0[0]).trim_end(), "hello there");
}

/// What may be encrypted is documented nowhere; whatever it is, it is read, and it is the same record with and without a key.
#[test]
fn any_part_of_a_record_may_be_encrypted() {
    let home = Home::new();
    let keys = ring(&[&gpg().archive]);
    let whole = engagement("7", "inside");
    let encrypt = |value: &Value| home.encrypt(&value.to_string());
    let body = json!({ "engagements": [whole.clone()] });
    let mut fields = whole.clone();
    fields["conversationId"] = json!(home.encrypt("7"));
    fields["conversationEndTime"] = json!(home.encrypt("1467853260000"));
    fields["skillId"] = json!({ "string": home.encrypt("3") });
    fields["transcripts"][0]["by"] = json!(home.encrypt("Visitor"));
    fields["transcripts"][0]["text"] = json!(encrypt(&json!({ "string": "inside" })));
    let mut lists = whole.clone();
    lists["transcripts"] = json!({ "array": encrypt(&whole["transcripts"]) });
    let mut elements = whole.clone();
    elements["transcripts"] = json!([encrypt(&whole["transcripts"][0])]);
    let mut in_body = value(json!([]));
    in_body["recordCollection"][0]["body"]["com.liveperson.dataaccess.EngagementData"] = json!(encrypt(&body));
    let mut in_element = value(json!([]));
    in_element["recordCollection"][0] = json!(encrypt(&json!({ "body": body })));
    let mut in_collection = value(json!([]));
    in_collection["recordCollection"] = json!({ "string": encrypt(&json!([{ "body": body }])) });
    let forms = [
        ("fields", value(json!([fields]))),
        ("a list of a conversation", value(json!([lists]))),
        ("an element of it", value(json!([elements]))),
        ("a conversation", value(json!([encrypt(&whole)]))),
        ("a wrapped conversation", value(json!([{ "string": encrypt(&whole) }]))),
        ("all conversations", value(json!(encrypt(&json!([whole]))))),
        ("the body", in_body),
        ("an element of the collection", in_element),
        ("the collection", in_collection),
        ("the record", json!(encrypt(&value(json!([whole]))))),
    ];
    let plain = String::from_utf8(one_line("8", "plain")).unwrap();
    for (form, record) in forms {
        for text in [format!("{record}\n{plain}"), format!("{record:#}\n{plain}")] {
            let (found, report) = decode(text.as_bytes(), &keys);
            assert_eq!(report.problems.total(), 0, "{form}: {:?}", report.problems);
            assert_eq!(report.encrypted.records, 0, "{form}");
            let content = &found[0].content;
            let ids: Vec<_> = found.iter().map(|revision| revision.content.conversation_id.as_deref()).collect();
            assert_eq!(ids, [Some("7"), Some("8")], "{form}");
            assert_eq!(text_of(&found[0]), "inside", "{form}");
            assert_eq!((content.account_id.as_str(), content.end_ms), ("75555851", Some(1_467_853_260_000)), "{form}");
            assert_eq!(content.all_skills(), ["3"], "{form}");
            assert_eq!(content.messages[0].by, "Visitor", "{form}");
            assert_eq!(content.unreadable_messages(), 0);

            let (closed, report) = decode(text.as_bytes(), &Keyring::empty());
            let places = |found: &[Revision]| found.iter().map(|revision| revision.records.clone()).collect::<Vec<_>>();
            assert_eq!(places(&closed), places(&found), "{form}: places do not depend on keys");
            assert_eq!(report.encrypted.records, 1, "{form}");
            assert_eq!(report.encrypted.key_ids.iter().collect::<Vec<_>>(), [&gpg().archive.id], "{form}");
            assert_eq!(report.problems.counts[&ProblemKind::Encrypted], 1, "{form}");
            assert!(closed[0].content.unreadable_messages() > 0, "{form}");
            let seen = serde_json::to_string(&closed[0]).unwrap();
            assert!(!seen.contains("BEGIN PGP") && !seen.contains("inside"), "{form}: {seen}");
            assert_eq!(closed[0].content.conversation_id.as_deref().filter(|id| id.contains("encrypted")), None);

            // What is shown raw is what lies in the archive.
            for (at, revision) in found.iter().enumerate() {
                let raw =
                    locate_record(Cursor::new(text.as_bytes()), revision.records[0].record, DecodeLimits::default())
                        .unwrap()
                        .unwrap();
                let start = raw.offset.unwrap() as usize;
                assert_eq!(&text.as_bytes()[start..start + raw.json.len()], raw.json, "{form}");
                assert_eq!(String::from_utf8_lossy(&raw.json).contains("BEGIN PGP MESSAGE"), at == 0, "{form}");
            }
        }
    }
}

#[test]
fn files_that_are_messages_hold_files_of_any_kind() {
    let home = Home::new();
    let keys = ring(&[&gpg().archive]);
    let to = ["-r", gpg().archive.user, "--encrypt"];
    let lines = [one_line("1", "first"), one_line("2", "second")].concat();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("a.json", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(&lines).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let pretty = format!("{:#}", value(json!([engagement("1", "first"), engagement("2", "second")])));
    for (form, inside) in
        [("lines", lines.clone()), ("gzip", gzip(&lines)), ("zip", zip), ("pretty", pretty.into_bytes())]
    {
        for armor in ["--armor", "--no-armor"] {
            let file = home.run(&[&[armor], &to[..]].concat(), &inside);
            let (found, report) = decode(&file, &keys);
            let texts: Vec<&str> = found.iter().map(text_of).collect();
            assert_eq!(texts, ["first", "second"], "{form} {armor}: {:?}", report.problems);
            assert!(found.iter().all(|revision| revision.records[0].record == 0), "one message, one place");
            let (closed, report) = decode(&file, &Keyring::empty());
            assert_eq!((closed.len(), report.encrypted.records), (1, 1), "{form} {armor}");
            assert_eq!(
                locate_record(Cursor::new(&file), 0, DecodeLimits::default()).unwrap().unwrap().json.len(),
                file.trim_ascii_end().len().max(if armor == "--armor" { 0 } else { file.len() })
            );
            // Cut at the end, everything before it is read, and the damage is told.
            let (_, report) = decode(&file[..file.len() - file.len() / 4], &keys);
            assert!(report.problems.failures() > 0, "{form} {armor}");
        }
    }
    // Armored messages one after another are records one after another.
    let several =
        format!("{}{}", home.encrypt(&String::from_utf8(lines.clone()).unwrap()), home.encrypt_for(&gpg().other, "no"));
    let (found, report) = decode(several.as_bytes(), &keys);
    let records: Vec<u64> = found.iter().map(|revision| revision.records[0].record).collect();
    assert_eq!(records, [0, 0, 1]);
    assert_eq!(report.encrypted.records, 1);
}

/// Larger than a record may be: it waits encrypted in a temporary file and passes through in bounded memory.
#[test]
fn a_large_file_passes_and_a_bomb_does_not() {
    let home = Home::new();
    let keys = ring(&[&gpg().archive]);
    let to = ["-r", gpg().archive.user, "--encrypt"];
    // Words that do not repeat, so that the message stays large.
    let mut state = 7_u64;
    let mut lines = Vec::new();
    for id in 0..400 {
        let text: String = (0..9_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'!' + (state >> 33) as u8 % 90)
            })
            .collect();
        lines.extend(one_line(&id.to_string(), &text));
    }
    for armor in ["--armor", "--no-armor"] {
        let file = home.run(&[&[armor, "--compress-algo", "none"], &to[..]].concat(), &lines);
        let limits = DecodeLimits { max_record_bytes: 1 << 20, ..DecodeLimits::default() };
        assert!(file.len() > 3 * limits.max_record_bytes);
        let context = FileContext {
            salvaged: None,
            path: "f".into(),
            sha256: "0".into(),
            window_start_ms: None,
            account_id: "1".into(),
        };
        let mut ids = Vec::new();
        let report = decode_with_keys(Cursor::new(&file), &context, limits, &keys, &mut |revision| {
            ids.extend(revision.content.conversation_id);
            true
        })
        .unwrap();
        assert_eq!((ids.len(), report.problems.failures()), (400, 0), "{armor}: {:?}", report.problems);
    }
    // In a record, clear text counts against the record's limit.
    let bomb = home.encrypt(&"z".repeat(9 << 20));
    assert!(bomb.len() < 64 << 10);
    let (found, report) = decode(&one_line("1", &bomb), &keys);
    assert_eq!(report.problems.counts[&ProblemKind::TooLarge], 1);
    assert_eq!(text_of(&found[0]), "[damaged OpenPGP message]");
    let big: String = String::from_utf8_lossy(&lines).chars().filter(|c| c.is_ascii_graphic()).take(3 << 20).collect();
    let (found, report) = decode(&one_line("1", &home.encrypt(&big)), &keys);
    assert_eq!((text_of(&found[0]).len(), report.problems.total()), (big.len(), 0));
}

#[test]
fn keys_are_read_in_every_form_and_never_printed() {
    let (archive, locked, other) = (&gpg().archive, &gpg().locked, &gpg().other);
    let both = ring(&[archive, other]);
    assert!(both.open_ids().contains(&archive.id) && both.open_ids().contains(&other.id));
    for line_break in [" ", "", "\\n", "\r\n"] {
        let flat = Keyring::read(archive.secret.replace('\n', line_break).as_bytes(), None).unwrap();
        assert!(flat.open_ids().contains(&archive.id), "{line_break:?}");
    }
    for passphrase in [None, Some("wrong")] {
        let closed = Keyring::read(locked.secret.as_bytes(), passphrase).unwrap();
        assert!(closed.locked_ids().contains(&locked.id) && closed.open_ids().is_empty());
    }
    assert!(ring(&[locked]).open_ids().contains(&locked.id));
    assert_eq!(Keyring::read(b"no key", None).unwrap_err(), KeyringError::NoPrivateKey);
    assert_eq!(Keyring::read(gpg().public.as_bytes(), None).unwrap_err(), KeyringError::NoPrivateKey);
    let cut = &archive.secret[..archive.secret.len() / 2];
    assert_eq!(
        Keyring::read(format!("{cut}\n-----END PGP PRIVATE KEY BLOCK-----").as_bytes(), None).unwrap_err(),
        KeyringError::Damaged(1)
    );
    let printed = format!("{both:?}");
    assert!(printed.len() < 400 && !printed.contains(&archive.secret[200..240]), "{printed}");
}

/// A vault with one file: a plain conversation, one for the archive's key, one for the locked key.
fn encrypted_vault(home: &Home) -> (Vault, TempDir) {
    let lines = [
        one_line("1", "plain words"),
        one_line("2", &home.encrypt("secret refund")),
        one_line("3", &home.encrypt_for(&gpg().locked, "locked refund")),
    ]
    .concat();
    let folder = temp_folder();
    let name = "Engagement.1467853200000.1467856800000.part-00000-0.gz";
    fs::write(folder.path().join(name), gzip(&lines)).unwrap();
    (Vault::new("75555851"), folder)
}

fn with_keys(vault: &Vault, arguments: &[&str], keys: &[&Key], passphrase: Option<&str>) -> Run {
    let mut command = vault.command(arguments);
    command.env("CHATVAULT_PGP_KEY", keys.iter().map(|key| key.secret.as_str()).collect::<String>());
    if let Some(passphrase) = passphrase {
        command.env("CHATVAULT_PGP_PASSPHRASE", passphrase);
    }
    Run::of(command.output().unwrap())
}

fn found(vault: &Vault, query: &str) -> Vec<String> {
    let answer = vault.json(&["search", query, "--limit", "all"], 0);
    let mut ids: Vec<String> = answer["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| hit["conversation_id"].as_str().unwrap_or_default().to_owned())
        .collect();
    ids.sort();
    ids
}

#[test]
fn a_key_that_comes_later_opens_what_waited() {
    let home = Home::new();
    let (archive, locked, other) = (&gpg().archive, &gpg().locked, &gpg().other);
    let (vault, folder) = encrypted_vault(&home);
    let source = folder.path().to_string_lossy().into_owned();

    // Without a key: everything is here, and found by what is not encrypted.
    let run = vault.run(&["import", &source]).exits(12);
    assert!(
        run.stdout.contains("2 records wait") && run.stdout.contains(&format!("0x{}", archive.id)),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("CHATVAULT_PGP_KEY") && run.stdout.contains("chatvault index"), "{}", run.stdout);
    let bytes = vault.files();
    assert_eq!(found(&vault, "*"), ["1", "2", "3"]);
    assert_eq!(found(&vault, "has:encrypted skill:3 start:2016-07"), ["2", "3"]);
    assert_eq!(found(&vault, "refund"), [""; 0]);
    let hit = &vault.json(&["search", "id:2"], 0)["hits"][0];
    assert_eq!(hit["encrypted"], json!({ "key_ids": [archive.id], "opened": 0, "unreadable": 1 }));
    assert_eq!(vault.json(&["search", "id:1"], 0)["hits"][0].get("encrypted"), None);
    let coverage = &vault.json(&["search", "*"], 0)["coverage"];
    assert_eq!((&coverage["encrypted"], &coverage["complete"]), (&json!(2), &json!(false)));
    assert!(vault.run(&["search", "refund"]).exits(0).stderr.contains("2 records are encrypted"));
    assert!(vault.run(&["show", "2"]).exits(0).stdout.contains(&format!("[encrypted for key 0x{}]", archive.id)));
    vault.run(&["verify"]).exits(0);

    // Keys that do not do: another one, a locked one, none at all, and no key either.
    let run = with_keys(&vault, &["index"], &[other], None).exits(12);
    assert!(run.stdout.contains("2 records wait"), "{}", run.stdout);
    let run = with_keys(&vault, &["index"], &[locked], Some("wrong")).exits(12);
    assert!(run.stdout.contains("CHATVAULT_PGP_PASSPHRASE") && run.stdout.contains("wrong"), "{}", run.stdout);
    assert!(!run.all().contains(&locked.secret[200..260]));
    let run = Run::of(vault.command(&["index"]).env("CHATVAULT_PGP_KEY", "nonsense-4711").output().unwrap()).exits(12);
    assert!(run.stdout.contains("CHATVAULT_PGP_KEY: it holds no OpenPGP private key"), "{}", run.stdout);
    assert!(!run.all().contains("nonsense-4711"));
    let run =
        Run::of(vault.command(&["index"]).env("CHATVAULT_PGP_KEY_FILE", "/nowhere/key").output().unwrap()).exits(12);
    assert!(run.stdout.contains("/nowhere/key"), "{}", run.stdout);
    assert_eq!(found(&vault, "refund"), [""; 0]);

    // One of the two keys, from a file.
    let key_file = folder.path().join("key.asc");
    fs::write(&key_file, &archive.secret).unwrap();
    let run = Run::of(vault.command(&["--json", "index"]).env("CHATVAULT_PGP_KEY_FILE", &key_file).output().unwrap())
        .exits(12);
    assert_eq!((&run.json()["index"]["files"], &run.json()["encrypted"]["records"]), (&json!(1), &json!(1)));
    assert_eq!(found(&vault, "refund"), ["2"]);
    assert_eq!(found(&vault, "has:encrypted"), ["3"]);

    // Both: everything is open, nothing is a second revision, and nothing in the archive has changed.
    let run = with_keys(&vault, &["--json", "index"], &[archive, locked], Some(PASSPHRASE)).exits(0);
    assert_eq!(run.json()["coverage"]["complete"], json!(true));
    assert_eq!(run.json()["documents"], json!(3));
    assert_eq!(found(&vault, "consumer:refund"), ["2", "3"]);
    assert_eq!(found(&vault, "has:encrypted OR has:revision"), [""; 0]);
    assert!(vault.run(&["show", "3"]).exits(0).stdout.contains("locked refund"));
    let raw = vault.run(&["show", "3", "--raw"]).exits(0).stdout;
    assert!(raw.contains("BEGIN PGP MESSAGE") && !raw.contains("locked refund"));
    let hit = &vault.json(&["search", "id:2"], 0)["hits"][0];
    assert_eq!((&hit["encrypted"]["opened"], &hit["revisions"]), (&json!(1), &json!(1)));
    // A run that dies before it tells the ledger leaves the file to the next one, which changes nothing more.
    let ledger = rusqlite::Connection::open(vault.path().join("vault.db")).unwrap();
    ledger.execute("INSERT INTO encrypted VALUES (1, 2, ?1, '')", [&archive.id]).unwrap();
    let run = with_keys(&vault, &["--json", "index"], &[archive, locked], Some(PASSPHRASE)).exits(0);
    assert_eq!((&run.json()["index"]["files"], &run.json()["documents"]), (&json!(1), &json!(3)));
    assert_eq!(run.json()["coverage"]["complete"], json!(true));
    assert_eq!(found(&vault, "has:encrypted OR has:revision"), [""; 0]);
    // Nothing is left to do, with keys and without.
    let run = with_keys(&vault, &["--json", "index"], &[archive, locked], Some(PASSPHRASE)).exits(0);
    assert_eq!(run.json()["index"]["files"], json!(0));
    vault.run(&["index"]).exits(0);
    let proof = vault.run(&["audit", "prove", "2", "--out", &folder.path().join("proof").to_string_lossy()]);
    proof.exits(0);
    vault.run(&["verify"]).exits(0);
    assert_eq!(vault.files(), bytes);

    // Clear text is in the index alone: made anew without keys, it is gone.
    vault.run(&["index", "--rebuild"]).exits(12);
    assert_eq!(found(&vault, "refund"), [""; 0]);
    assert_eq!(found(&vault, "has:encrypted"), ["2", "3"]);
    assert_eq!(vault.names_in("index").len(), 2, "one generation and its pointer: the index that held it is gone");
    assert!(!holds(&vault.path(), b"secret refund"));
    with_keys(&vault, &["index", "--rebuild"], &[archive, locked], Some(PASSPHRASE)).exits(0);
    assert_eq!(found(&vault, "refund"), ["2", "3"]);
}

/// Whether a file under a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holds(&path, bytes)
        } else {
            memchr::memmem::find(&fs::read(path).unwrap(), bytes).is_some()
        }
    })
}

/// Whole records and whole files: what stands for them while they are closed goes when they are opened.
#[test]
fn what_stands_for_a_closed_record_goes_with_it() {
    let home = Home::new();
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    let record = value(json!([home.encrypt(&engagement("5", "inside five").to_string()), engagement("6", "open six")]));
    fs::write(folder.path().join("records.json"), format!("{record}\n")).unwrap();
    let file = [one_line("7", "inside seven"), one_line("8", "inside eight")].concat();
    let to = ["-r", gpg().archive.user, "--encrypt"];
    fs::write(folder.path().join("export.json.pgp"), home.run(&to, &file)).unwrap();
    fs::write(
        folder.path().join("export.asc"),
        home.encrypt(&String::from_utf8(one_line("9", "inside nine")).unwrap()),
    )
    .unwrap();
    let source = folder.path().to_string_lossy().into_owned();
    vault.run(&["import", &source]).exits(12);
    assert_eq!(found(&vault, "*"), ["", "", "", "6"]);
    assert_eq!(found(&vault, "has:encrypted").len(), 3);
    let stands = vault.json(&["search", "has:encrypted"], 0)["hits"][0]["key"].as_str().unwrap().to_owned();
    assert!(vault.run(&["show", &stands]).exits(0).stdout.contains("[encrypted for key"));
    vault.run(&["verify"]).exits(0);
    with_keys(&vault, &["index"], &[&gpg().archive], None).exits(0);
    assert_eq!(found(&vault, "*"), ["5", "6", "7", "8", "9"]);
    assert_eq!(found(&vault, "inside"), ["5", "7", "8", "9"]);
    vault.run(&["show", &stands]).exits(1);
    assert_eq!(vault.json(&["search", "*"], 0)["coverage"]["complete"], json!(true));
    // An id that came encrypted is in no proof: who checks it has no key.
    for (id, file) in [("5", "records.json"), ("9", "export.asc"), ("6", "records.json")] {
        let proof = folder.path().join("proof.json").to_string_lossy().into_owned();
        vault.run(&["audit", "prove", id, "--out", &proof]).exits(0);
        let file = folder.path().join(file).to_string_lossy().into_owned();
        vault.run(&["audit", "check", &proof, "--file", &file]).exits(0);
    }
    let raw = vault.run(&["show", "9", "--raw"]).exits(0).stdout;
    assert!(raw.starts_with("-----BEGIN PGP MESSAGE-----"), "{raw}");
    vault.run(&["verify"]).exits(0);
}

/// What a key opened stays open when the file is read again with another one, and is no revision.
#[test]
fn keys_that_come_one_after_the_other_add_up() {
    let home = Home::new();
    let (archive, other) = (&gpg().archive, &gpg().other);
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    // A record with a line for each key, whole records for either, one whose id is encrypted, and one for a key that never comes.
    let mut both = engagement("1", "");
    let line = |text: String| json!({ "text": { "string": text }, "type": { "string": "0" }, "by": { "string": "V" }, "time": { "long": 1_467_853_201_000_i64 } });
    both["transcripts"] = json!([
        line(home.encrypt("first apple")),
        line(home.encrypt_for(other, "second banana")),
        line("plain".into())
    ]);
    let part_of = |key: &Key, id: &str, text: &str| json!(home.encrypt_for(key, &engagement(id, text).to_string()));
    let mut hidden = engagement("4", &home.encrypt_for(other, "cherry"));
    hidden["conversationId"] = json!(home.encrypt("4"));
    let lines = [
        value(json!([both])),
        value(json!([part_of(archive, "2", "inside apple"), part_of(other, "3", "inside banana")])),
        value(json!([hidden])),
        value(json!([engagement("5", &home.encrypt_for(&gpg().locked, "never"))])),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.path().join("records.json"), text).unwrap();
    vault.run(&["import", &folder.path().to_string_lossy()]).exits(12);
    let covered = |run: &Run| {
        let coverage = &run.json()["coverage"];
        assert_eq!(coverage["indexed_records"], coverage["archived_records"], "{}", run.stdout);
        assert_eq!(coverage["archived_records"], json!(5), "{}", run.stdout);
        run.json()["encrypted"]["records"].clone()
    };
    let run = with_keys(&vault, &["--json", "index"], &[archive], None).exits(12);
    assert_eq!(covered(&run), json!(4));
    assert_eq!(found(&vault, "apple"), ["1", "2"]);
    vault.run(&["verify"]).exits(0);
    // With the other key alone: what was open stays open.
    let run = with_keys(&vault, &["--json", "index"], &[other], None).exits(12);
    assert_eq!(covered(&run), json!(1), "{}", run.stdout);
    assert_eq!(found(&vault, "apple"), ["1", "2"]);
    assert_eq!(found(&vault, "banana"), ["1", "3"]);
    assert_eq!(found(&vault, "cherry"), ["4"]);
    assert_eq!(found(&vault, "*"), ["1", "2", "3", "4", "5"]);
    assert_eq!(found(&vault, "has:revision"), [""; 0]);
    assert_eq!(found(&vault, "has:encrypted"), ["5"]);
    let shown = vault.run(&["show", "1"]).exits(0).stdout;
    assert!(shown.contains("first apple") && shown.contains("second banana") && shown.contains("plain"), "{shown}");
    vault.run(&["verify"]).exits(0);
    // A run that died between index and ledger leaves the file as unread; the next one has no key and closes nothing.
    let ledger = rusqlite::Connection::open(vault.path().join("vault.db")).unwrap();
    ledger.execute("UPDATE contents SET records = 0, conversations = 9, problems = 1", []).unwrap();
    let run = Run::of(vault.command(&["--json", "index"]).output().unwrap()).exits(12);
    assert_eq!(covered(&run), json!(1), "{}", run.stdout);
    assert_eq!(found(&vault, "apple OR banana OR cherry"), ["1", "2", "3", "4"]);
    assert_eq!(found(&vault, "has:revision"), [""; 0]);
    vault.run(&["verify"]).exits(0);
    assert!(vault.run(&["repair", "--offline"]).exits(0).stdout.contains("nothing to mend"));
}

/// The same conversation in a second file, read without the key that opened the first: no version of its own.
#[test]
fn a_record_that_says_less_for_want_of_a_key_is_no_revision() {
    let home = Home::new();
    let vault = Vault::new("75555851");
    let folder = temp_folder();
    let record = one_line("1", &home.encrypt("secret refund"));
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    };
    let first = file("first.json", &record);
    let run = with_keys(&vault, &["import", &first], &[&gpg().archive], None);
    run.exits(0);
    let second = file("second.json", &[&record[..], &one_line("2", "plain")].concat());
    vault.run(&["import", &second]).exits(12);
    assert_eq!(found(&vault, "refund"), ["1"]);
    assert_eq!(found(&vault, "has:revision"), [""; 0]);
    assert_eq!(vault.json(&["search", "id:1"], 0)["hits"][0]["revisions"], json!(1));
    vault.run(&["verify"]).exits(0);
    with_keys(&vault, &["index"], &[&gpg().archive], None).exits(0);
    assert_eq!(found(&vault, "has:revision OR has:encrypted"), [""; 0]);
    vault.run(&["verify"]).exits(0);
}

/// Killed anywhere: the next `index`, with a key or without, ends with an index that the ledger agrees with.
#[test]
fn killed_while_records_are_opened_or_closed() {
    let home = Home::new();
    let (vault, folder) = encrypted_vault(&home);
    let part = home.encrypt(&engagement("7", "inside refund").to_string());
    fs::write(folder.path().join("parts.json"), format!("{}\n", value(json!([part])))).unwrap();
    vault.run(&["import", &folder.path().to_string_lossy()]).exits(12);
    let keys = [&gpg().archive, &gpg().locked];
    let started = std::time::Instant::now();
    with_keys(&vault, &["index", "--rebuild"], &keys, Some(PASSPHRASE)).exits(0);
    // Unlocking a key takes a second of each run, so a usual run tries few moments.
    let rounds = if std::env::var("CHATVAULT_LONG").is_ok_and(|value| value == "1") { 24 } else { 4 };
    let whole = started.elapsed();
    for round in 0..rounds {
        for closes in [true, false] {
            // From all open to all closed, and the other way round.
            let from = if closes { &keys[..] } else { &[] };
            with_keys(&vault, &["index", "--rebuild"], from, Some(PASSPHRASE));
            let arguments = [&["index"][..], &["index", "--rebuild"]][(round as usize + 1) % 2];
            let mut command = vault.command(arguments);
            if !closes {
                command.env("CHATVAULT_PGP_KEY", keys.iter().map(|key| key.secret.as_str()).collect::<String>());
                command.env("CHATVAULT_PGP_PASSPHRASE", PASSPHRASE);
            }
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(whole * round / rounds);
            child.kill().unwrap();
            child.wait().unwrap();
            vault.run(&["index"]);
            vault.run(&["verify"]).exits(0);
            let open = found(&vault, "refund").len() + found(&vault, "has:encrypted").len();
            assert_eq!(open, 3, "round {round}: each record is open or waits");
            with_keys(&vault, &["index"], &keys, Some(PASSPHRASE)).exits(0);
            assert_eq!(found(&vault, "refund"), ["2", "3", "7"], "round {round}");
            vault.run(&["verify"]).exits(0);
        }
    }
}

/// An index that is made anew without the key closes what was open: said before and after, with exit code 12.
#[test]
fn a_repair_without_the_key_says_what_it_closes() {
    let home = Home::new();
    let (vault, folder) = encrypted_vault(&home);
    let keys = [&gpg().archive, &gpg().locked];
    with_keys(&vault, &["import", &folder.path().to_string_lossy()], &keys, Some(PASSPHRASE)).exits(0);
    fs::remove_dir_all(vault.path().join("index")).unwrap();
    let dry = vault.run(&["repair", "--offline"]).exits(9).stdout;
    assert!(dry.contains("no PGP key is at hand") && dry.contains("CHATVAULT_PGP_KEY"), "{dry}");
    let run = with_keys(&vault, &["repair", "--offline"], &keys, Some(PASSPHRASE)).exits(9);
    assert!(!run.stdout.contains("no PGP key"), "{}", run.stdout);
    let done = vault.run(&["repair", "--offline", "--execute"]).exits(12).stdout;
    assert!(done.contains("2 records wait"), "{done}");
    fs::remove_dir_all(vault.path().join("index")).unwrap();
    with_keys(&vault, &["repair", "--offline", "--execute"], &keys, Some(PASSPHRASE)).exits(0);
    assert_eq!(found(&vault, "refund"), ["2", "3"]);
}

/// `sync` takes a key as `index` does: what waits is opened, and a key that cannot be read changes only the exit code.
#[test]
fn sync_opens_what_waits() {
    let home = Home::new();
    let lab = Lab::new(world(30, 4), Script::default());
    let vault = lab.vault();
    let folder = temp_folder();
    let record = String::from_utf8(one_line("2", &home.encrypt("secret refund"))).unwrap();
    let record = record.replace("\"75555851\"", &format!("\"{}\"", lab.account()));
    fs::write(folder.path().join("record.json"), record).unwrap();
    vault.run(&["import", &folder.path().to_string_lossy()]).exits(12);
    let run = Run::of(vault.command(&["sync"]).env("CHATVAULT_PGP_KEY", "nonsense-4711").output().unwrap()).exits(12);
    assert!(
        run.stdout.contains("complete, but for what is encrypted") && !run.all().contains("4711"),
        "{}",
        run.stdout
    );
    assert_eq!(found(&vault, "\"secret refund\""), [""; 0]);
    // Nothing new is encrypted, so nothing is said; what waits is no news.
    vault.run(&["sync"]).exits(0);
    with_keys(&vault, &["sync"], &[&gpg().archive], None).exits(0);
    assert_eq!(found(&vault, "\"secret refund\""), ["2"]);
    assert_eq!(vault.json(&["search", "*"], 0)["coverage"]["complete"], json!(true));
}

/// A vault of the format before is searched as it is, and migrated by the first command that writes.
#[test]
fn a_vault_of_format_1_learns_to_wait_for_keys() {
    let home = Home::new();
    let (vault, folder) = encrypted_vault(&home);
    vault.run(&["import", &folder.path().to_string_lossy()]).exits(12);
    let database = || rusqlite::Connection::open(vault.path().join("vault.db")).unwrap();
    let format = || database().pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
    // What format 1 did not have is taken away; all else is the same in both.
    database().execute_batch("DROP TABLE encrypted; PRAGMA user_version = 1").unwrap();
    assert_eq!(found(&vault, "has:encrypted"), ["2", "3"]);
    assert_eq!(format(), 1, "who only reads changes nothing");
    // The index of that time is of an older version, too: it is made anew, and that counts what waits.
    vault.run(&["index", "--rebuild"]).exits(12);
    assert_eq!(format(), 2);
    vault.run(&["verify"]).exits(0);
    with_keys(&vault, &["index"], &[&gpg().archive, &gpg().locked], Some(PASSPHRASE)).exits(0);
    assert_eq!(found(&vault, "refund"), ["2", "3"]);
}

/// A damaged message is a broken record, whatever keys there are; and is told apart from one that waits.
#[test]
fn damage_is_not_a_missing_key() {
    let home = Home::new();
    let keys = ring(&[&gpg().archive]);
    let message = home.encrypt("words");
    let mut lines: Vec<String> = message.lines().map(str::to_owned).collect();
    let last = lines.len() - 4;
    lines[last] = lines[last].chars().rev().collect();
    let flipped = lines.join("\n");
    let cut = message[..message.len() * 2 / 3].to_owned();
    for (form, text) in [("flipped", flipped), ("cut", cut)] {
        let (found, report) = decode(&[one_line("1", &text), one_line("2", "next")].concat(), &keys);
        assert_eq!(report.problems.counts[&ProblemKind::BrokenRecord], 1, "{form}: {:?}", report.problems);
        assert_eq!(report.encrypted.records, 0, "{form}");
        assert_eq!((text_of(&found[0]), text_of(&found[1])), ("[damaged OpenPGP message]", "next"), "{form}");
    }
    let talk = "type -----BEGIN PGP MESSAGE----- and then your text";
    let (found, report) = decode(&one_line("1", talk), &keys);
    assert_eq!((text_of(&found[0]), report.problems.total()), (talk, 0));
}

/// ElGamal is of GnuPG's first days and in old archives; what cannot be read is not called damaged.
#[test]
fn an_unsupported_algorithm_is_not_damage() {
    let home = Home::new();
    let parameters = "%no-protection\nKey-Type: DSA\nKey-Length: 1024\nSubkey-Type: ELG-E\nSubkey-Length: 1024\n\
                      Name-Email: old@example.org\n%commit\n";
    home.run(&["--generate-key"], parameters.as_bytes());
    let secret = home.text(&["--armor", "--export-secret-keys", "old@example.org"], b"");
    let keys = Keyring::read(secret.as_bytes(), None).unwrap();
    let message = home.text(&["--armor", "-r", "old@example.org", "--encrypt"], b"words");
    let (found, report) = decode(&one_line("1", &message), &keys);
    assert_eq!(text_of(&found[0]), "[OpenPGP message of an unsupported kind]");
    assert!(report.problems.examples[0].detail.contains("unsupported algorithm"), "{:?}", report.problems);
    assert_eq!(report.encrypted.records, 0, "no key would help");
}

#[test]
fn no_change_to_a_message_panics() {
    let home = Home::new();
    let keys = ring(&[&gpg().other]);
    let clear = String::from_utf8(one_line("1", "words")).unwrap();
    let to = ["-r", gpg().other.user, "--encrypt"];
    let bases: Vec<Vec<u8>> = vec![
        one_line("1", &home.encrypt_for(&gpg().other, "some words to be opened")),
        home.run(&to, clear.as_bytes()),
        home.run(&[&["--armor"], &to[..]].concat(), clear.as_bytes()),
        home.run(&[&["--rfc2440", "--compress-algo", "none"], &to[..]].concat(), clear.as_bytes()),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..5);
    let cases = if crate::support::is_long() { 20_000 } else { 300 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&(prop::sample::select(bases), changes), |(mut bytes, changes)| {
            for (place, value, how) in changes {
                let at = place.index(bytes.len().max(1));
                match how {
                    _ if at >= bytes.len() => {}
                    0 => bytes[at] = value,
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, value),
                    _ => drop(bytes.remove(at)),
                }
            }
            let (found, report) = decode(&bytes, &keys);
            prop_assert_eq!(found.len() as u64, report.conversations);
            for problem in &report.problems.examples {
                prop_assert!(!problem.detail.contains("words"), "{:?}", problem);
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// A line of the archive with one answer of a history API.
fn answer(stream: &str, list: &str, records: &Value) -> Vec<u8> {
    let body = json!({ list: records });
    format!(
        "{{\"type\":\"api-answer\",\"format\":1,\"stream\":\"{stream}\",\"call\":\"conversations/search\",\
         \"received_ms\":1790000000000,\"request\":{{}},\"status\":200,\"body\":{body}}}\n"
    )
    .into_bytes()
}

/// Archived answers and surveys are opened like engagements: a text, an attribute, and whole records.
#[test]
fn encrypted_answers_surveys_and_sessions_are_opened() {
    let home = Home::new();
    let seal = |clear: &str| home.encrypt(clear);
    let spoken = |id: &str, text: &str, customer: &str| {
        json!({ "info": { "conversationId": id, "brandId": "75555851", "startTimeL": 1_790_000_000_000_i64 },
            "consumerParticipants": [ { "participantId": "c-1", "firstName": "Ada" } ],
            "messageRecords": [ { "type": "TEXT_PLAIN", "messageData": { "msg": { "text": text } }, "messageId": "m:0",
                "participantId": "c-1", "timeL": 1_790_000_001_000_i64, "sentBy": "Consumer" } ],
            "sdes": { "events": [ { "customerInfo": { "serverTimeStamp": 5, "customerInfo": { "customerId": customer } } } ] } })
    };
    let sealed_record = json!(seal(&spoken("m-2", "whole record", "2").to_string()));
    let mut sealed_list = spoken("m-3", "", "3");
    sealed_list["messageRecords"] = json!(seal(&spoken("x", "sealed list", "3")["messageRecords"].to_string()));
    let messaging = answer(
        "messaging-interactions",
        "conversationHistoryRecords",
        &json!([
            spoken("m-1", &seal("refund my lamp"), &seal("138766")),
            sealed_record,
            sealed_list,
            spoken("m-4", "open", "4")
        ]),
    );
    let chat = json!({ "info": { "engagementId": "chat-1", "accountId": "75555851", "startTimeL": 1_790_000_000_000_i64 },
        "transcript": { "lines": [ { "timeL": 5, "text": seal("words of a chat"), "by": "Visitor", "source": "visitor" } ] } });
    let history = answer("engagement-history", "interactionHistoryRecords", &json!([chat]));
    let survey = |id: &str, answer: &str| json!({ "id": 7, "conversationId": id, "contents": [ { "question": "Well?", "answer": answer } ] });
    let body = |kind: &str, bodies: Value| {
        format!(
            "{}\n",
            json!({ "dataType": kind, "metaData": { "accountId": "75555851" }, "recordCollection": bodies })
        )
        .into_bytes()
    };
    let header = json!({ "visitId": "V1", "visitorId": seal("visitor-9") });
    let surveys = body(
        "Survey",
        json!([
            { "body": { "header": header, "surveys": [survey("s-1", &seal("swift help")), seal(&survey("s-2", "so slow").to_string())] } },
            { "body": seal(&json!({ "surveys": [survey("s-3", "fine")] }).to_string()) },
        ]),
    );
    let session = body(
        "WebSession",
        json!([
            { "body": { "header": { "visitId": "V2" }, "navigationData": [ { "url": seal("https://shop.example.org/lamp"), "timestamp": 9 } ] } },
            { "body": { "header": { "visitId": "V2" }, "engagementAttributes": seal("[{\"customerInfo\":{\"customerStatus\":\"gold\"}}]") } },
        ]),
    );

    let keys = ring(&[&gpg().archive]);
    let pretty = |line: &[u8]| serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(line).unwrap()).unwrap();
    // What each file says: the number of records, of unreadable messages without a key, and words that only a key shows.
    let of_surveys = vec!["swift help", "so slow", "fine", "visitor-9"];
    let of_session = vec!["https://shop.example.org/lamp", "gold"];
    let of_messaging = vec!["refund my lamp", "\"138766\"", "whole record", "sealed list"];
    let files = [
        ("messaging", messaging, 4, 4, of_messaging),
        ("history", history, 1, 1, vec!["words of a chat"]),
        ("surveys", surveys.clone(), 3, 4, of_surveys.clone()),
        ("pretty surveys", pretty(&surveys), 3, 4, of_surveys),
        ("session", session.clone(), 1, 2, of_session.clone()),
        ("pretty session", pretty(&session), 1, 2, of_session),
    ];
    for (name, file, records, unreadable, words) in files {
        let (closed, report) = decode(&file, &Keyring::empty());
        assert_eq!(closed.len(), records, "{name}: {closed:#?}");
        assert_eq!(closed.iter().map(|found| found.content.unreadable_messages()).sum::<u64>(), unreadable, "{name}");
        assert_eq!(report.encrypted.key_ids, [gpg().archive.id.clone()].into(), "{name}");
        let shown = format!("{closed:?}");
        assert!(!shown.contains("BEGIN PGP"), "{name}: {shown}");

        let (open, report) = decode(&file, &keys);
        assert_eq!((open.len(), report.problems.total()), (records, 0), "{name}: {:?}", report.problems);
        assert_eq!(open.iter().map(|found| found.content.unreadable_messages()).sum::<u64>(), 0, "{name}");
        let ordinals = |found: &[Revision]| found.iter().map(|r| r.records[0].record).collect::<Vec<_>>();
        assert_eq!(ordinals(&open), ordinals(&closed), "{name}: places do not depend on the keys at hand");
        assert!(open.iter().all(|found| found.content.account_id == "75555851"), "{name}");
        let shown = format!("{open:?}").replace("\\\"", "\"").replace("\\\\", "\\");
        for word in words {
            assert!(shown.contains(word), "{name}: {word}: {shown}");
        }
        // Each record is found by its ordinal, as it came.
        for ordinal in ordinals(&closed) {
            let raw = locate_record(Cursor::new(&file), ordinal, DecodeLimits::default()).unwrap().unwrap();
            let at = usize::try_from(raw.offset.unwrap()).unwrap();
            assert_eq!(&file[at..at + raw.json.len()], raw.json, "{name} {ordinal}");
        }
    }
}

#[test]
fn a_proof_needs_the_keys_that_the_index_had() {
    let home = Home::new();
    let (vault, folder) = encrypted_vault(&home);
    let source = folder.path().display().to_string();
    vault.run(&["import", &source]).exits(12);
    let Gpg { archive, other, .. } = gpg();
    // Closed on both sides: they agree, and what is closed is said.
    let proof = vault.json(&["search", "*", "--prove"], 12)["prove"].clone();
    assert_eq!((&proof["agrees"], &proof["closed_records"]), (&json!(true), &json!(2)), "{proof:#}");
    assert_eq!(proof["proven_records"].as_u64().unwrap() + 2, proof["records_in_archive"].as_u64().unwrap());
    assert!(vault.run(&["search", "*", "--prove"]).exits(12).stdout.contains("2 closed"));

    with_keys(&vault, &["index"], &[archive, other], None);
    let proof =
        with_keys(&vault, &["--json", "search", "*", "--prove"], &[archive, other], None).json()["prove"].clone();
    assert_eq!(proof["agrees"], true, "{proof:#}");
    assert!(proof["closed_records"].as_u64().unwrap() < 2);
    let opened = "has:encrypted";
    let proof = vault.json(&["search", opened, "--prove"], 9)["prove"].clone();
    assert_eq!(proof["agrees"], false, "without the key the files say less than the index: {proof:#}");
}

#[test]
fn encrypted_agent_activity_is_opened_and_else_waits_for_its_key() {
    let home = Home::new();
    let sessions = |agent: &str| {
        json!([{ "agentId": agent, "type": 3, "state": 2, "prevState": 1, "timestamp": 1_467_853_200_000_i64 },
               { "agentId": agent, "type": 4, "state": 0, "prevState": 2, "timestamp": 1_467_853_260_000_i64 }])
    };
    let record = |session: &str, data: Value| {
        let body = json!({ "header": { "agentSessionId": session }, "agentSessionsData": data });
        let record = json!({ "dataType": "AgentActivity", "recordCollection": [ { "body": body } ] });
        [record.to_string().as_bytes(), b"\n"].concat()
    };
    let plain = record("s1", sessions("71"));
    // A list, and the fields of an event, inside a record.
    let list = record("s2", json!(home.encrypt(&sessions("72").to_string())));
    let mut named = sessions("73");
    named[0]["agentNickname"] = json!(home.encrypt("Mara"));
    let lines = [plain, list, record("s3", named)].concat();
    let inside = record("s4", sessions("74"));
    let whole = home.encrypt(std::str::from_utf8(&inside).unwrap());
    let locked = home.encrypt_for(&gpg().locked, std::str::from_utf8(&record("s5", sessions("75"))).unwrap());
    let vault = Vault::new("75555851");
    {
        let archive = Archive::open_for_writing(&vault.path(), Arc::new(RealDisk), Clock::System).unwrap();
        let folder = temp_folder();
        for (name, bytes) in [("a", gzip(&lines)), ("b", whole.into_bytes()), ("c", gzip(locked.as_bytes()))] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            archive.import_copy("data-access/agent-activity", name, &path, Arrival::default()).unwrap();
        }
    }
    let stats = ["--json", "stats", "--stream", "data-access/agent-activity"];
    let agents = |run: &Run| -> Vec<(String, i64)> {
        let list = run.json()["agents"].as_array().unwrap().clone();
        list.iter()
            .map(|one| (one["agent_id"].as_str().unwrap().to_owned(), one["online_ms"].as_i64().unwrap()))
            .collect()
    };
    let minute = |ids: &[&str]| ids.iter().map(|id| ((*id).to_owned(), 60_000)).collect::<Vec<_>>();
    let run = vault.run(&stats).exits(12);
    assert_eq!(agents(&run), minute(&["71", "73"]), "{}", run.all());
    assert_eq!((&run.json()["encrypted"]["records"], &run.json()["unreadable"]), (&json!(4), &json!(0)));
    assert!(run.stderr.contains("CHATVAULT_PGP_KEY") && !run.stderr.contains("verify"), "{}", run.stderr);
    for id in run.json()["encrypted"]["key_ids"].as_array().unwrap() {
        assert!(run.stderr.contains(id.as_str().unwrap()), "{id}: {}", run.stderr);
    }
    let run = with_keys(&vault, &stats, &[&gpg().archive, &gpg().locked], None).exits(12);
    assert_eq!(agents(&run), minute(&["71", "72", "73", "74"]), "{}", run.all());
    assert_eq!(run.json()["agents"][2]["name"], "Mara");
    assert!(run.stderr.contains("locked") && run.stderr.contains("CHATVAULT_PGP_PASSPHRASE"), "{}", run.stderr);
}
