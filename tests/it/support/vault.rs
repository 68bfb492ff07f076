//! A vault in a temporary folder, our binary run on it, and ways to look at what it left.

use chatvault::index::Reader;
use chatvault::search::parse::{ParseOptions, parse_located};
use chatvault::search::{SearchRequest, search};
use chatvault::simulator::Credentials;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Keys that occur nowhere else, so that one can look for them.
pub(crate) fn keys() -> Credentials {
    Credentials {
        app_key: "APPKEY-3f9a51c07e".into(),
        app_secret: "APPSECRET-b81d64e2f5".into(),
        access_token: "TOKEN-70c2d9aa18".into(),
        access_token_secret: "TOKENSECRET-55e0b7c34d".into(),
    }
}

/// A temporary folder beside the build, not in a `/tmp` that may be a memory file system.
pub(crate) fn temp_folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Our binary with nothing of the caller's environment that it would read.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatvault"));
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| {
            name.starts_with("CHATVAULT_") || name == "NO_COLOR" || name.to_ascii_lowercase().ends_with("_proxy")
        });
        if is_ours {
            command.env_remove(name);
        }
    }
    let keys = keys();
    command
        .env("CHATVAULT_APP_KEY", keys.app_key)
        .env("CHATVAULT_APP_SECRET", keys.app_secret)
        .env("CHATVAULT_ACCESS_TOKEN", keys.access_token)
        .env("CHATVAULT_ACCESS_TOKEN_SECRET", keys.access_token_secret)
        .env("CHATVAULT_RETRY_WAITS", "none")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a run of the binary gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Run {
        Run {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Holds the exit code; shows everything where it is another.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }

    /// Everything that was printed.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A vault in a temporary folder.
pub(crate) struct Vault {
    folder: TempDir,
}

impl Vault {
    /// Makes one with `chatvault init`.
    #[track_caller]
    pub(crate) fn new(account: &str) -> Vault {
        let vault = Vault { folder: temp_folder() };
        let path = vault.path();
        let init = program().arg("init").arg(&path).args(["--account", account]).output().unwrap();
        Run::of(init).exits(0);
        vault
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    /// The binary, told to work here.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.arg("--vault").arg(self.path()).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    /// Runs a command with `--json`, holds its exit code, gives the document.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str], code: i32) -> Value {
        self.run(&[&["--json"], arguments].concat()).exits(code).json()
    }

    /// Names in a folder of the vault.
    pub(crate) fn names_in(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// SHA-256 of every file under `files/` that LivePerson lists, by path: all but the schemas.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        let mut files = self.all_files();
        files.retain(|path, _| !path.starts_with("data-access/schema/"));
        files
    }

    /// SHA-256 of every file under `files/`, by path.
    pub(crate) fn all_files(&self) -> BTreeMap<String, String> {
        files_of(&self.path().join("files"))
    }

    /// A second, different folder with the same content.
    pub(crate) fn copy(&self) -> Vault {
        let copy = Vault { folder: temp_folder() };
        let done = Command::new("cp").arg("-a").arg(self.path()).arg(copy.path()).status().unwrap();
        assert!(done.success());
        copy
    }
}

/// SHA-256 of every file under a folder, by path.
pub(crate) fn files_of(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(folder_now) = ahead.pop() {
        for entry in std::fs::read_dir(&folder_now).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                ahead.push(path);
                continue;
            }
            let digest = Sha256::digest(std::fs::read(&path).unwrap());
            let hash = digest.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            });
            found.insert(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned(), hash);
        }
    }
    found
}

/// The index of a vault.
#[track_caller]
pub(crate) fn reader(vault: &Path) -> Reader {
    Reader::open(&vault.join("index")).unwrap()
}

/// Keys of all conversations that a query finds, asked in this process.
#[track_caller]
pub(crate) fn ids(reader: &Reader, text: &str) -> BTreeSet<String> {
    let query = parse_located(text, &ParseOptions::utc(1_790_000_000_000)).unwrap_or_else(|error| panic!("{error}"));
    let request = SearchRequest {
        query,
        text: text.to_owned(),
        sort: None,
        reverse: false,
        limit: None,
        facets: Vec::new(),
        tz: jiff::tz::TimeZone::UTC,
    };
    let answer = search(reader, &request).unwrap_or_else(|error| panic!("{error}"));
    let found: BTreeSet<String> =
        (0..answer.hits.len()).map(|at| answer.hits.load(reader, at, 0).unwrap().stored.key()).collect();
    assert_eq!(found.len() as u64, answer.total, "a count is a count of hits: {text}");
    found
}
