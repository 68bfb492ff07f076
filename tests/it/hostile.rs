//! Hostile input through the real binary: each case is bounded in time and memory, told in words, and hides nothing that is good.

use crate::support::{Run, Vault, ids, reader, temp_folder};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use zip::write::SimpleFileOptions;

const ACCOUNT: &str = "75555851";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One record; `id` and `text` are JSON.
fn record(id: &str, text: &str) -> String {
    format!(
        r#"{{"dataType":"Engagement","metaData":{{"accountId":"{ACCOUNT}"}},"recordCollection":[{{"body":{{"engagements":[{{"conversationId":{id},"transcripts":[{{"text":{text},"type":"0"}}]}}]}}}}]}}"#
    )
}

fn plain(id: &str) -> String {
    record(&format!("\"{id}\""), "\"hello\"")
}

fn key(id: &str) -> String {
    format!("{ACCOUNT}:{id}")
}

/// A vault, and a folder whose content is to be imported.
struct Case {
    vault: Vault,
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Case {
        let folder = temp_folder();
        fs::create_dir(folder.path().join("in")).unwrap();
        Case { vault: Vault::new(ACCOUNT), folder }
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join("in").join(name);
        fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn inside(&self) -> String {
        self.folder.path().join("in").to_string_lossy().into_owned()
    }

    #[track_caller]
    fn import(&self, code: i32) -> Value {
        let report = self.vault.json(&["import", &self.inside()], code);
        assert_eq!(self.vault.json(&["verify"], 0)["ok"], true);
        assert!(self.vault.names_in("tmp").is_empty());
        report
    }

    fn found(&self) -> Vec<String> {
        ids(&reader(&self.vault.path()), "*").into_iter().collect()
    }
}

fn import_with(case: &Case, settings: &[(&str, &str)]) -> Run {
    let mut command = case.vault.command(&["import", &case.inside()]);
    command.envs(settings.iter().copied());
    Run::of(command.output().unwrap())
}

#[test]
fn a_bomb_is_kept_aside_and_the_setting_that_raises_the_limit_is_named() {
    let case = Case::new();
    case.put("good.json", plain("good"));
    let long = record("\"big\"", &format!("\"{}\"", "ha ".repeat(24_000_000)));
    let bomb = gzip(format!("{}\n{long}\n{}\n", plain("before"), plain("after")).as_bytes());
    assert!(bomb.len() < 500_000, "{}", bomb.len());
    case.put("bomb.json.gz", &bomb);

    // By ratio, from the environment; by size, from the file.
    let run = import_with(&case, &[("CHATVAULT_MAX_INFLATE_RATIO", "100")]).exits(3);
    assert!(
        run.stdout.contains("more than 100 times its size") && run.stdout.contains("max_inflate_ratio"),
        "{}",
        run.stdout
    );
    assert_eq!(case.found(), [key("good")], "a bomb stops nothing else");
    let toml = case.vault.path().join("vault.toml");
    let settings = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, settings.replace("\"256GiB\"", "\"50MB\"")).unwrap();
    let run = import_with(&case, &[("CHATVAULT_MAX_INFLATE_RATIO", "2000")]).exits(3);
    assert!(
        run.stdout.contains("more than 50000000 bytes") && run.stdout.contains("max_inflated_bytes"),
        "{}",
        run.stdout
    );
    assert_eq!(case.vault.names_in("quarantine").len(), 1, "the same bytes are kept once");
    assert!(case.vault.files().len() == 1, "nothing is salvaged of a bomb");
    assert_eq!(case.vault.json(&["verify"], 0)["ok"], true);

    // With higher limits it is a file like any other; a record above its own limit is passed over, those beside it are not.
    fs::write(&toml, &settings).unwrap();
    let run = import_with(&case, &[("CHATVAULT_MAX_INFLATE_RATIO", "2000")]).exits(3);
    assert!(run.stdout.contains("too-large"), "{}", run.stdout);
    assert_eq!(case.found(), [key("after"), key("before"), key("good")]);
    // And that limit is a setting too.
    let mut command = case.vault.command(&["index", "--rebuild"]);
    command.env("CHATVAULT_MAX_INFLATE_RATIO", "2000").env("CHATVAULT_MAX_RECORD_BYTES", "100MB");
    Run::of(command.output().unwrap()).exits(0);
    assert_eq!(case.found(), [key("after"), key("before"), key("big"), key("good")]);
}

#[test]
fn layers_of_a_bomb_count_together() {
    let case = Case::new();
    // Each layer alone is small enough for the archive's check: only unpacking all of them shows it.
    let inner = gzip(format!("{}\n{}", plain("first"), " ".repeat(80 << 20)).as_bytes());
    case.put("nested.json.gz", gzip(&inner));
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["a.json.gz", "b.json.gz"] {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(&inner).unwrap();
    }
    case.put("nested.zip", writer.finish().unwrap().into_inner());
    let report = case.import(3);
    assert_eq!(report["import"]["imported"], 2, "{report:#}");
    assert_eq!(report["index"]["problems"]["counts"]["decompression-bomb"], 3, "{report:#}");
    let told = report["index"]["files_with_problems"].to_string();
    assert!(told.contains("max_inflate_ratio"), "{told}");
    assert_eq!(case.found(), [key("first")], "what came before was read");
}

#[test]
fn names_inside_a_zip_are_never_paths() {
    let case = Case::new();
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let names =
        ["../../etc/x", "/etc/chatvault-was-here", "C:\\x.json", "..\\..\\x", "a\0b.json", "CON", "\u{202e}nosj"];
    for (number, name) in names.iter().enumerate() {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(plain(&format!("z{number}")).as_bytes()).unwrap();
    }
    writer.add_symlink("link.json", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    case.put("slip.zip", writer.finish().unwrap().into_inner());
    case.import(0);
    assert_eq!(case.found(), (0..names.len()).map(|number| key(&format!("z{number}"))).collect::<Vec<_>>());
    assert!(!Path::new("/etc/chatvault-was-here").exists());
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 1);
    assert_eq!(case.vault.files().len(), 1, "the zip file itself, as it came");
}

#[test]
fn links_pipes_and_devices_do_not_lead_an_import_astray() {
    let case = Case::new();
    let (folder, inside) = (case.folder.path(), case.folder.path().join("in"));
    fs::write(folder.join("outside.json"), plain("outside")).unwrap();
    case.put("good.json", plain("good"));
    symlink("../outside.json", inside.join("link.json")).unwrap();
    symlink("..", inside.join("parent")).unwrap();
    symlink("loop", inside.join("loop")).unwrap();
    symlink("/dev/zero", inside.join("zero.json")).unwrap();
    assert!(Command::new("mkfifo").arg(inside.join("pipe.json")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket")).unwrap();
    let started = Instant::now();
    let report = case.import(0);
    let skipped = report["import"]["skipped"].as_array().unwrap();
    let reasons = |word: &str| skipped.iter().filter(|skip| skip["reason"].as_str().unwrap().contains(word)).count();
    assert_eq!((reasons("symbolic link"), reasons("neither a file nor a folder")), (4, 2), "{report:#}");
    assert_eq!(case.found(), [key("good")]);

    // What the user names is meant, also through a link; but a pipe, a device and a link to nowhere hold no file.
    let at = |name: &str| inside.join(name).to_string_lossy().into_owned();
    case.vault.json(&["import", &at("link.json")], 0);
    assert_eq!(case.found(), [key("good"), key("outside")]);
    let report = case.vault.json(&["import", &at("pipe.json"), "/dev/zero", &at("loop")], 3);
    assert_eq!(report["import"]["skipped"].as_array().unwrap().len(), 2, "{report:#}");
    assert_eq!(report["import"]["failed"].as_array().unwrap().len(), 1, "{report:#}");
    assert!(started.elapsed() < Duration::from_secs(60), "it waited for a pipe");
}

#[test]
fn json_that_no_parser_likes() {
    let case = Case::new();
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let deep_objects = "{\"a\":".repeat(1_000_000);
    let in_record = plain("x").replace("\"hello\"", &format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000)));
    for (name, bad) in [("lists", deep), ("objects", deep_objects), ("in-a-record", in_record)] {
        case.put(
            &format!("{name}.ndjson"),
            format!("{}\n{bad}\n{}\n", plain(&format!("{name}-1")), plain(&format!("{name}-2"))),
        );
    }
    let report = case.import(3);
    assert_eq!(report["import"]["imported"], 3, "{report:#}");
    // Lists around records are passed over, however many; records of such depth are not read.
    assert_eq!(report["index"]["problems"]["counts"]["broken-record"], 2, "{report:#}");
    let found = case.found();
    for id in ["lists-1", "lists-2", "objects-1", "objects-2", "in-a-record-1", "in-a-record-2"] {
        assert!(found.contains(&key(id)), "{id} of {found:?}");
    }
}

#[test]
fn odd_bytes_cost_nothing_that_is_good() {
    let case = Case::new();
    let numbers = ["18446744073709551616", "123456789012345678901234567890123456789", "-9223372036854775809"];
    let latin = record("\"latin\"", "\"caf@ au lait\"");
    let latin: Vec<&str> = latin.split('@').collect();
    let mut bytes = b"\xef\xbb\xbf".to_vec();
    for (at, line) in [
        record("\"utf8\"", "\"half \u{1}emoji \\ud83d, then\"").replace('\u{1}', "\u{fffd}").into_bytes(),
        // Latin-1: a byte that is no UTF-8.
        [latin[0].as_bytes(), b"\xe9", latin[1].as_bytes()].concat(),
        record("\"nul\"", "\"a\0b\"").into_bytes(),
        record(numbers[0], "\"n\"").into_bytes(),
        record(numbers[1], "\"n\"").into_bytes(),
        record(numbers[2], "\"n\"").into_bytes(),
        record("\"time\"", "\"n\"").replace("\"type\":\"0\"", "\"type\":1e999999").into_bytes(),
        record("\"twice\",\"conversationId\":\"last\"", "\"first\",\"text\":\"second\"").into_bytes(),
        plain("end").into_bytes(),
    ]
    .into_iter()
    .enumerate()
    {
        bytes.extend(line);
        bytes.extend(if at % 2 == 0 { &b"\r\n"[..] } else { b"\n\0\0\0\n\n" });
    }
    case.put("odd.json", bytes);
    let report = case.import(0);
    let counts = &report["index"]["problems"]["counts"];
    assert_eq!(counts["repaired"], 3, "{report:#}");
    let mut expected: Vec<String> =
        ["utf8", "latin", "nul", "time", "last", "end"].iter().chain(&numbers).map(|id| key(id)).collect();
    expected.sort();
    assert_eq!(case.found(), expected, "numbers keep their digits; of two fields with one name the last one counts");
    let found = |query: &str| ids(&reader(&case.vault.path()), query);
    assert_eq!(found("second").len(), 1);
    assert_eq!(found("first").len(), 0);
    assert_eq!(found("lait").len(), 1);
    assert_eq!(found(&format!("id:{}", numbers[1])).len(), 1);
    // The bytes of the archive are as they came.
    let raw = case.vault.run(&["show", "nul", "--raw"]).exits(0);
    assert!(raw.stdout.contains("\"a\0b\""), "{:?}", raw.stdout);
}

/// Of a field that is there twice the last one in front of the records counts, whether a record is read in one go or piece by piece.
#[test]
fn a_field_that_is_there_twice_reads_the_same_on_both_ways() {
    let engagements = |id: &str| {
        format!(r#""engagements":[{{"conversationId":"{id}a","conversationId":"{id}","skill":1,"skill":2}}]"#)
    };
    let header = |visitor: &str| format!(r#""header":{{"visitorId":"{visitor}"}}"#);
    let body = format!("{},{},{},{},{}", header("v1"), header("v2"), engagements("1"), header("v3"), engagements("2"));
    let line = |padding: usize| {
        format!(
            r#"{{"dataType":"Survey","dataType":"Engagement","metaData":{{"accountId":"1"}},"metaData":{{"accountId":"{ACCOUNT}"}},"recordCollection":[{{"body":{{{body}}}}}],"metaData":{{"accountId":"3"}},"padding":"{}"}}"#,
            "x".repeat(padding)
        )
    };
    let [fast, careful] = [0, 6 << 20].map(|padding| {
        let case = Case::new();
        case.put("twice.json", line(padding));
        case.import(0);
        let index = reader(&case.vault.path());
        (case.found(), ids(&index, "visitor_id:v2"), ids(&index, "visitor_id:v3"), ids(&index, "visitor_id:v1"))
    });
    assert_eq!(fast, careful);
    assert_eq!(fast.0, [key("1"), key("2")]);
    assert_eq!((fast.1.len(), fast.2.len(), fast.3.len()), (1, 1, 0));
}

#[test]
fn files_of_nothing() {
    let case = Case::new();
    let name = |number: u32| format!("Engagement.146785320000{number}.1467856800000.part-00000-0.gz");
    case.put(&name(1), gzip(b""));
    case.put(&name(2), gzip(&b" \r\n\t\0".repeat(1000)));
    case.put("white.json", b" \n \n");
    let report = case.import(0);
    assert_eq!(report["import"]["imported"], 2, "an hour without chats is data: {report:#}");
    assert_eq!(report["import"]["skipped"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(report["index"]["conversations"], 0);
    case.put(&name(3), b"");
    let report = case.import(3);
    assert_eq!(report["import"]["already"], 2, "{report:#}");
    assert!(report["import"]["failed"][0]["reason"].as_str().unwrap().contains("empty body"), "{report:#}");
}

#[test]
fn names_that_no_disk_should_keep_are_refused_and_shown_harmlessly() {
    let case = Case::new();
    let long = format!("{}.json", "n".repeat(245));
    let names = [
        "con\u{1b}[31m.json",
        "r\u{202e}nosj.json",
        "CON.json",
        "aux.tar.gz",
        "a:b.json",
        "trailing.",
        "e\u{301}.json",
        &long,
    ];
    for name in names {
        case.put(name, plain("never"));
    }
    let invalid = case.folder.path().join("in").join(std::ffi::OsStr::from_bytes(b"caf\xe9.json"));
    fs::write(invalid, plain("never")).unwrap();
    case.put("good.json", plain("good"));
    let report = case.import(3);
    let failed = report["import"]["failed"].as_array().unwrap();
    assert_eq!(failed.len(), names.len() + 1, "{report:#}");
    assert!(failed.iter().all(|one| one["reason"].as_str().unwrap().contains("rename")), "{report:#}");
    assert_eq!(case.found(), [key("good")]);
    let run = case.vault.run(&["import", &case.inside()]).exits(3);
    assert!(!run.all().contains(['\u{1b}', '\u{202e}']), "{}", run.stdout);
}

/// Avro files whose schema or blocks would fill the memory, the stack or the day.
#[test]
fn avro_that_lies_about_its_size() {
    let case = Case::new();
    let avro = |schema: &Value, objects: i64, block: &[u8]| {
        let mut file = b"Obj\x01".to_vec();
        let number = |file: &mut Vec<u8>, number: i64| {
            let mut left = ((number << 1) ^ (number >> 63)) as u64;
            while left >= 0x80 {
                file.push(left as u8 | 0x80);
                left >>= 7;
            }
            file.push(left as u8);
        };
        let schema = schema.to_string();
        number(&mut file, 1);
        number(&mut file, 11);
        file.extend(b"avro.schema");
        number(&mut file, schema.len() as i64);
        file.extend(schema.as_bytes());
        number(&mut file, 0);
        file.extend([7; 16]);
        number(&mut file, objects);
        number(&mut file, block.len() as i64);
        file.extend(block);
        file.extend([7; 16]);
        file
    };
    let with = |kind: Value| {
        json!({ "type": "record", "name": "EngagementData", "doc": "\"recordCollection\" com.liveperson.dataaccess",
        "fields": [ { "name": "r", "type": kind } ] })
    };
    let lists: Vec<u8> = [0xfe, 0xff, 0xff, 0xff, 0x0f].repeat(1000);
    case.put("recursive.avro", avro(&with(json!(["null", "EngagementData"])), 1, &[2; 1_000_000]));
    case.put("empty-items.avro", avro(&with(json!({ "type": "array", "items": "null" })), 1, &lists));
    case.put("huge-fixed.avro", avro(&with(json!({ "type": "fixed", "name": "F", "size": 1_u64 << 60 })), 1, &[1]));
    case.put("endless.avro", avro(&with(json!(["null", "string"])), 1 << 60, &[]));
    case.put("long-list.avro", avro(&with(json!({ "type": "array", "items": "boolean" })), 1, &lists));
    let started = Instant::now();
    let report = case.import(3);
    assert_eq!(report["import"]["imported"], 5, "{report:#}");
    assert_eq!(report["index"]["problems"]["counts"]["damaged-container"], 5, "{report:#}");
    assert!(started.elapsed() < Duration::from_secs(60));
}
