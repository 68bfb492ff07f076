//! The house is the data flow: imports point right to left, stages carry their card, files stay readable.
//!
//! A single crate has no wall between its modules, so this test is the wall. Each failure names the place, what is
//! wrong there, and the cure. The table is that of `ARCHITECTURE.md`: change both, with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Module, what it may import, whether it is asynchronous.
const TABLE: [(&str, &[&str], bool); 14] = [
    ("conversation", &[], false),
    ("archive", &[], false),
    ("simulator", &[], true),
    ("acquire", &["archive"], true),
    ("bag", &["archive"], false),
    ("custody", &["archive"], false),
    ("decode", &["archive", "conversation"], false),
    ("export", &["conversation", "custody"], false),
    ("index", &["archive", "conversation"], false),
    ("search", &["index", "conversation"], false),
    ("serve", &["search", "export", "custody", "archive", "conversation"], true),
    (
        "pipeline",
        &["acquire", "archive", "bag", "conversation", "custody", "decode", "export", "index", "search"],
        true,
    ),
    ("bench", &["archive", "conversation", "decode", "index", "pipeline", "search"], false),
    (
        "cli",
        &[
            "acquire",
            "archive",
            "bag",
            "bench",
            "conversation",
            "custody",
            "decode",
            "export",
            "index",
            "pipeline",
            "search",
            "serve",
            "simulator",
        ],
        true,
    ),
];

const CARD: [&str; 5] = ["Takes:", "Gives:", "Promises:", "Never:", "Start reading at:"];
const LONGEST_FILE: usize = 500;
const LONGEST_MAIN: usize = 40;

/// A source file, and which of its lines are test code.
struct Source {
    /// Path from the package's folder.
    path: String,
    /// First folder or file under `src/`.
    module: String,
    lines: Vec<String>,
    is_test: Vec<bool>,
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let root = package().join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let mut sources: Vec<Source> = paths
        .iter()
        .map(|path| {
            let inside = path.strip_prefix(&root).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            let lines: Vec<String> = fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
            Source {
                path: path.strip_prefix(package()).unwrap().to_string_lossy().replace('\\', "/"),
                module: first.trim_end_matches(".rs").to_owned(),
                is_test: test_lines(&lines),
                lines,
            }
        })
        .collect();
    let test_files: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let is_in =
            |module: &String| source.path == format!("{module}.rs") || source.path.starts_with(&format!("{module}/"));
        if test_files.iter().any(is_in) {
            source.is_test.fill(true);
        }
    }
    assert!(sources.len() > 50, "the scan found {} files only", sources.len());
    sources
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Lines that `#[cfg(test)]` governs. The sources are formatted, so an item ends at a brace in its own column.
fn test_lines(lines: &[String]) -> Vec<bool> {
    let mut is_test = vec![false; lines.len()];
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim() != "#[cfg(test)]" {
            at += 1;
            continue;
        }
        let indent = &lines[at][..lines[at].len() - lines[at].trim_start().len()];
        let head = (at..lines.len()).find(|&line| !lines[line].trim_start().starts_with("#[")).unwrap_or(at);
        let end = if lines[head].ends_with(';') {
            head
        } else {
            let closing = [format!("{indent}}}"), format!("{indent}}};")];
            (head..lines.len()).find(|&line| closing.contains(&lines[line])).unwrap_or(lines.len() - 1)
        };
        is_test[at..=end].fill(true);
        at = end + 1;
    }
    is_test
}

/// Paths (without `.rs`) of the modules that a file declares as tests.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = match source.path.strip_suffix("/mod.rs") {
        Some(folder) => folder.to_owned(),
        None => source.path.trim_end_matches(".rs").to_owned(),
    };
    let beside = source.path.rsplit_once('/').map_or("", |(beside, _)| beside);
    let declared = source.lines.iter().enumerate().filter(|(at, _)| source.is_test[*at]);
    declared
        .filter_map(|(at, line)| {
            let name = line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            let name = name.strip_prefix("mod ")?.strip_suffix(';')?;
            let attributes = source.lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
            let elsewhere =
                attributes.filter_map(|line| line.strip_prefix("#[path = \"")?.strip_suffix(".rs\"]")).next();
            Some(elsewhere.map_or_else(|| format!("{folder}/{name}"), |file| format!("{beside}/{file}")))
        })
        .collect()
}

/// The line without its comment. Imports do not stand behind `//` inside a string, so nothing finer is needed.
fn code(line: &str) -> &str {
    line.find("//").map_or(line, |at| &line[..at])
}

/// First segments of all paths that start with `prefix` (`crate::` or `chatvault::`).
fn imports(line: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in line.match_indices(prefix) {
        let before = line[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &line[at + prefix.len()..];
        let segments: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or(list).split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for segment in segments {
            let name: String = segment.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                found.insert(name);
            }
        }
    }
    found
}

#[track_caller]
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n\n{}\n", complaints.join("\n\n"));
}

#[test]
fn imports_point_to_the_left() {
    let modules: BTreeSet<&str> = TABLE.iter().map(|(name, ..)| *name).collect();
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| !["main", "lib"].contains(&source.module.as_str())) {
        let Some((_, allowed, _)) = TABLE.iter().find(|(name, ..)| *name == source.module) else {
            complaints.push(format!(
                "{}: the module `{}` is not in the import table.\n  Cure: put it into TABLE in tests/it/layering.rs and \
                 into ARCHITECTURE.md, with what it may import.",
                source.path, source.module
            ));
            continue;
        };
        for (at, line) in source.lines.iter().enumerate() {
            let line = code(line);
            let outside = imports(line, "chatvault::");
            if source.module != "cli" && !outside.is_empty() {
                complaints.push(format!(
                    "{}:{}: names its own crate as `chatvault::`.\n  Cure: write `crate::`.",
                    source.path,
                    at + 1
                ));
            }
            for name in imports(line, "crate::").union(&outside) {
                let is_own = *name == source.module;
                let is_module = modules.contains(name.as_str());
                let by_tests = source.is_test[at] && name == "simulator" && source.module != "simulator";
                if is_own || !is_module || by_tests || allowed.contains(&name.as_str()) {
                    continue;
                }
                let may = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
                complaints.push(format!(
                    "{}:{}: `{}` imports `{name}`, which is not in the import table (it may import {may}).\n  Cure: move \
                     what is needed to the left, hand it in as an argument, or put the wiring into `pipeline`; if the \
                     table is wrong, change TABLE in tests/it/layering.rs and ARCHITECTURE.md, with the reason.",
                    source.path,
                    at + 1,
                    source.module,
                ));
            }
        }
    }
    none(complaints);
}

/// The page that people read says what this test holds.
#[test]
fn the_table_is_the_one_in_the_architecture() {
    let page = fs::read_to_string(package().join("ARCHITECTURE.md")).unwrap();
    let mut complaints = Vec::new();
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let Some((name, allowed, _)) = TABLE.iter().find(|(name, ..)| cells[0] == format!("`{name}`")) else {
            continue;
        };
        rows += 1;
        let said: BTreeSet<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        let in_words = ["all of the above", "everything"].contains(&cells[2]);
        if !in_words && said != allowed.iter().copied().collect() {
            complaints.push(format!(
                "ARCHITECTURE.md lets `{name}` import {}, TABLE in tests/it/layering.rs {allowed:?}.\n  Cure: make them agree.",
                cells[2]
            ));
        }
    }
    assert!(rows >= 8, "the table in ARCHITECTURE.md was not found");
    let folders = sources().into_iter().map(|source| source.module).collect::<BTreeSet<_>>();
    for module in folders.iter().filter(|module| !["main", "lib"].contains(&module.as_str())) {
        if !page.contains(&format!("| `{module}` |")) {
            complaints.push(format!("ARCHITECTURE.md has no row for `{module}`.\n  Cure: add it to the table."));
        }
    }
    none(complaints);
}

#[test]
fn modules_without_async_stay_without() {
    let mut complaints = Vec::new();
    for source in sources() {
        let is_async = TABLE.iter().find(|(name, ..)| *name == source.module).is_none_or(|(.., is_async)| *is_async);
        for (at, line) in source.lines.iter().enumerate().filter(|_| !is_async) {
            for forbidden in ["tokio", "reqwest", "std::net", "async fn", ".await", "axum"] {
                if code(line).contains(forbidden) && !source.is_test[at] {
                    complaints.push(format!(
                        "{}:{}: `{forbidden}` in a module that is not asynchronous and has no network.\n  Cure: do the \
                         asynchronous part in `acquire` or `pipeline` and hand the result in.",
                        source.path,
                        at + 1
                    ));
                }
            }
        }
    }
    none(complaints);
}

#[test]
fn clocks_and_disks_are_handed_in_where_they_must_be() {
    let pure = ["conversation", "search", "decode", "index"];
    let mut complaints = Vec::new();
    for source in sources() {
        for (at, line) in source.lines.iter().enumerate().filter(|(at, _)| !source.is_test[*at]) {
            let line = code(line);
            let reads_clock = ["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"];
            if pure.contains(&source.module.as_str()) && reads_clock.iter().any(|clock| line.contains(clock)) {
                complaints.push(format!(
                    "{}:{}: reads the wall clock.\n  Cure: take the time as an argument.",
                    source.path,
                    at + 1
                ));
            }
            if ["conversation", "search"].contains(&source.module.as_str()) && line.contains("std::fs") {
                complaints.push(format!(
                    "{}:{}: a pure module touches the disk.\n  Cure: take what was read as an argument.",
                    source.path,
                    at + 1
                ));
            }
        }
    }
    none(complaints);
}

#[test]
fn every_stage_has_its_card() {
    let mut complaints = Vec::new();
    for source in sources() {
        let is_stage = source.path == format!("src/{}/mod.rs", source.module)
            || (source.path == format!("src/{}.rs", source.module)
                && !["main", "lib"].contains(&source.module.as_str()));
        if !is_stage {
            continue;
        }
        let head = source.lines.iter().take_while(|line| line.starts_with("//!"));
        let card: Vec<&str> = head
            .filter_map(|line| {
                let line = line.trim_start_matches("//!").trim().trim_start_matches("* ");
                CARD.into_iter().find(|field| line.starts_with(field) && line.len() > field.len())
            })
            .collect();
        if card != CARD {
            complaints.push(format!(
                "{}: the stage card has {card:?}.\n  Cure: open the file with five lines, in this order: {}",
                source.path,
                CARD.join(" … ")
            ));
        }
    }
    none(complaints);
}

#[test]
fn files_are_short_safe_and_introduced() {
    let mut complaints = Vec::new();
    for source in sources() {
        let (path, length) = (&source.path, source.lines.len());
        let most = if source.module == "main" { LONGEST_MAIN } else { LONGEST_FILE };
        if length > most {
            complaints.push(format!(
                "{path}: {length} lines, more than {most}.\n  Cure: split it along what it does; its tests may go into a \
                 file of their own."
            ));
        }
        if !source.lines.first().is_some_and(|line| line.starts_with("//! ")) {
            complaints.push(format!(
                "{path}: no introduction.\n  Cure: open it with `//!` and a sentence on what it is for."
            ));
        }
        for (at, line) in source.lines.iter().enumerate() {
            let words = code(line).split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.into_iter().any(|word| word == "unsafe") {
                complaints
                    .push(format!("{path}:{}: `unsafe`.\n  Cure: a safe way, or a dependency that has one.", at + 1));
            }
        }
    }
    none(complaints);
}

#[test]
fn three_traits_are_enough() {
    let mut complaints = Vec::new();
    for source in sources() {
        for (at, line) in source.lines.iter().enumerate().filter(|(at, _)| !source.is_test[*at]) {
            let line = code(line).trim_start();
            let bare =
                line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ").trim_start_matches("pub ");
            let Some(name) = bare.strip_prefix("trait ") else { continue };
            let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
            if !["Source", "Disk", "DiskFile", "Format"].contains(&name.as_str()) {
                complaints.push(format!(
                    "{}:{}: a fourth trait, `{name}`.\n  Cure: a function or a type parameter; if it earns its place, add it \
                     here and to ARCHITECTURE.md.",
                    source.path,
                    at + 1
                ));
            }
        }
    }
    none(complaints);
}

#[test]
fn secrets_cannot_be_printed() {
    let mut complaints = Vec::new();
    for source in sources() {
        for (at, line) in source.lines.iter().enumerate() {
            let line = code(line);
            let prints = line.contains("Display for Secret") || line.contains("Serialize for Secret");
            let derives = line.contains("pub struct Secret")
                && at > 0
                && ["Debug", "Display", "Serialize"].iter().any(|name| source.lines[at - 1].contains(name));
            if prints || derives {
                complaints.push(format!(
                    "{}:{}: a secret that can be printed.\n  Cure: only `Debug`, by hand, that hides the value.",
                    source.path,
                    at + 1
                ));
            }
        }
    }
    none(complaints);
}

#[test]
fn the_wall_itself_holds() {
    let found: Vec<String> =
        imports("use crate::{archive::Archive, search}; x(crate::cli::y)", "crate::").into_iter().collect();
    assert_eq!(found, ["archive", "cli", "search"]);
    assert!(imports("pub(crate) fn mycrate::x $crate::y", "crate::").is_empty());
    let lines: Vec<String> =
        ["a", "#[cfg(test)]", "#[allow(x)]", "mod t {", "    }", "}", "b", "#[cfg(test)]", "mod u;", "c"]
            .map(str::to_owned)
            .into();
    let tests = test_lines(&lines);
    let kept: Vec<&str> = lines.iter().zip(&tests).filter(|(_, test)| !**test).map(|(line, _)| line.as_str()).collect();
    assert_eq!(kept, ["a", "b", "c"]);
}
