//! Signatures: an OAuth 1.0 implementation of others accepts every signed request that our program sends, however awkward its
//! address, and refuses it once anything in it is changed.
//!
//! The requests are those of the real binary, as they arrive at a listener. oauthlib (PyPI) judges them, as a server would; `./check`
//! installs it, and this test fails without it.

use crate::support::{Run, Vault};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const ACCOUNT: &str = "40112233";
const HOUR_MS: i64 = 3_600_000;

/// Queries and paths that break a signature which is not made of what is sent.
const AWKWARD: [&str; 9] = [
    "/f.gz?a=b%20c&plus=1+2&escaped=%2B&percent=%2525",
    "/f.gz?name=%C3%A9%E6%97%A5%E6%9C%AC&z=é日本",
    "/f.gz?r=2&r=10&r=1&r=&r",
    "/f.gz?sort=start:desc&skillIds=4,15&tilde=~&star=*&quote='()!",
    // RFC 5849, section 3.4.1.3.1.
    "/f.gz?b5=%3D%253D&a3=a&c%40=&a2=r%20b&c2=",
    "/a%20folder/f%2Bg%7e.gz?lower=%c3%a9",
    "/f.gz?flag",
    "/f.gz?%F0%9F%98%80=%F0%9F%98%80&a%26b=c%3Dd",
    "/f.gz",
];

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Received {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Received {
    fn to_json(&self) -> Value {
        let uri = format!("http://{}{}", self.headers["host"], self.target);
        let headers = json!({
            "Authorization": self.headers["authorization"],
            "Content-Type": self.headers.get("content-type").map_or("", String::as_str),
        });
        json!({ "method": self.method, "uri": uri, "headers": headers, "body": self.body })
    }
}

/// A server that keeps what it is asked, and answers as an account with [`AWKWARD`] files and no conversations.
struct Listener {
    origin: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Listener {
    fn start() -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (kept, own) = (Arc::clone(&received), origin.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, own) = (Arc::clone(&kept), own.clone());
                std::thread::spawn(move || serve(&stream, &own, &kept));
            }
        });
        Listener { origin, received }
    }

    /// What came with a signature.
    fn signed(&self) -> Vec<Received> {
        let all = self.received.lock().unwrap().clone();
        all.into_iter().filter(|request| request.headers.contains_key("authorization")).collect()
    }
}

fn serve(stream: &TcpStream, origin: &str, kept: &Mutex<Vec<Received>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, answer) = answer(&target, origin);
    kept.lock().unwrap().push(Received { method, target, headers, body: String::from_utf8(body).unwrap() });
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
    let length =
        if status.starts_with("204") { String::new() } else { format!("Content-Length: {}\r\n", answer.len()) };
    (&*stream).write_all(format!("{head}{length}\r\n{answer}").as_bytes()).ok()
}

fn answer(target: &str, origin: &str) -> (&'static str, String) {
    if target.contains("/le/engagement?") {
        let start_ms = jiff::Timestamp::now().as_millisecond().div_euclid(HOUR_MS) * HOUR_MS - 2 * HOUR_MS;
        let entry = |(part, address): (usize, &&str)| {
            json!({
                "@name": format!("Engagement.{start_ms}.{}.part-{part:05}-0.gz", start_ms + HOUR_MS),
                "@href": format!("{origin}{address}"),
            })
        };
        let files: Vec<Value> = AWKWARD.iter().enumerate().map(entry).collect();
        return ("200 OK", json!({ "dataAccessFiles": { "@id": ACCOUNT, "file": files } }).to_string());
    }
    if target.contains("/search?") {
        return ("204 No Content", String::new());
    }
    ("404 Not Found", "{}".to_owned())
}

/// What oauthlib says of requests, one after the other.
#[track_caller]
fn judged(keys: &Value, requests: &[Value]) -> Vec<bool> {
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("oauthlib");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/oauth_witness.py");
    let mut python = Command::new("python3")
        .arg(script)
        .env("PYTHONPATH", &beside)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is missing: run ./check once");
    let mut given = keys.clone();
    given["requests"] = json!(requests);
    python.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "run ./check once, or `python3 -m pip install --target {} oauthlib==4.0.1`\n{said}",
        beside.display()
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn keys() -> Value {
    json!({
        "app_key": "app-key_with.signs~&=", "app_secret": "app&secret/with+signs %",
        "token": "token+with/signs", "token_secret": "token secret=%2B é",
    })
}

/// Every signed request of one sync of the program.
fn requests_of_a_sync() -> Vec<Received> {
    let listener = Listener::start();
    let vault = Vault::new(ACCOUNT);
    let origin = &listener.origin;
    let settings = format!(
        "[account]\nid = \"{ACCOUNT}\"\n[sync]\nstart = \"6h\"\nrequests_per_second = 1000.0\n\
         [streams]\n\"messaging-interactions\" = \"on\"\n\"engagement-history\" = \"on\"\n\
         [endpoints]\ncsds = \"{origin}\"\ndata_access = \"{origin}\"\nmsgHist = \"{origin}\"\nengHistDomain = \"{origin}\"\n"
    );
    std::fs::write(vault.path().join("vault.toml"), settings).unwrap();
    let keys = keys();
    let text = |name: &str| keys[name].as_str().unwrap().to_owned();
    let mut command = vault.command(&["sync"]);
    command
        .env("CHATVAULT_APP_KEY", text("app_key"))
        .env("CHATVAULT_APP_SECRET", text("app_secret"))
        .env("CHATVAULT_ACCESS_TOKEN", text("token"))
        .env("CHATVAULT_ACCESS_TOKEN_SECRET", text("token_secret"));
    let run = Run::of(command.output().unwrap());
    let signed = listener.signed();
    assert!(signed.len() > AWKWARD.len() + 3, "{signed:?}\n{}", run.all());
    signed
}

#[test]
fn oauthlib_accepts_what_we_sign_and_refuses_what_was_changed() {
    let signed = requests_of_a_sync();
    let has = |method: &str, part: &str| signed.iter().any(|it| it.method == method && it.target.contains(part));
    assert!(has("GET", "/le/engagement?startTime="), "{signed:?}");
    assert!(has("GET", "plus=1+2") && has("GET", "r=2&r=10&r=1") && has("GET", "%F0%9F%98%80"), "{signed:?}");
    assert!(has("POST", "/conversations/search?") && has("POST", "/interactions/search?"), "{signed:?}");
    assert!(has("GET", "schemaId=latest"), "{signed:?}");
    let is_json = |it: &&Received| it.method == "POST" && it.body.starts_with('{');
    assert!(signed.iter().filter(is_json).all(|it| it.headers["content-type"] == "application/json"));

    let requests: Vec<Value> = signed.iter().map(Received::to_json).collect();
    let verdicts = judged(&keys(), &requests);
    for (request, verdict) in requests.iter().zip(&verdicts) {
        assert!(verdict, "oauthlib refuses {request}");
    }

    // The same over again: every nonce is known by now.
    let twice = judged(&keys(), &[requests.clone(), requests.clone()].concat());
    assert_eq!(twice, [vec![true; requests.len()], vec![false; requests.len()]].concat());

    // Anything else than what was signed.
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 6] = [
        ("the method", |request| request["method"] = json!("PUT")),
        ("the host", |request| *request = changed(request, "uri", "http://127", "http://128")),
        ("the path", |request| *request = changed(request, "uri", "/", "/x")),
        ("a parameter more", |request| {
            let uri = request["uri"].as_str().unwrap();
            let mark = if uri.contains('?') { '&' } else { '?' };
            request["uri"] = json!(format!("{uri}{mark}more=1"));
        }),
        ("the time", |request| {
            request["headers"] =
                changed(&request["headers"], "Authorization", "oauth_timestamp=\"1", "oauth_timestamp=\"2")
        }),
        ("the nonce", |request| {
            request["headers"] = changed(&request["headers"], "Authorization", "oauth_nonce=\"", "oauth_nonce=\"0")
        }),
    ];
    for (what, change) in changes {
        let mut altered = requests.clone();
        altered.iter_mut().for_each(change);
        for (request, verdict) in altered.iter().zip(judged(&keys(), &altered)) {
            assert!(!verdict, "oauthlib accepts {request} although {what} was changed");
        }
    }
    let mut other_keys = keys();
    other_keys["token_secret"] = json!("another secret");
    assert!(judged(&other_keys, &requests).iter().all(|verdict| !verdict));
}

/// The object with one text of it altered, behind the scheme where it is an address.
#[track_caller]
fn changed(object: &Value, field: &str, from: &str, to: &str) -> Value {
    let mut object = object.clone();
    let text = object[field].as_str().unwrap().to_owned();
    let start = if from == "/" { text.find("//").unwrap() + 2 } else { 0 };
    let at = start + text[start..].find(from).unwrap();
    object[field] = json!(format!("{}{to}{}", &text[..at], &text[at + from.len()..]));
    object
}
