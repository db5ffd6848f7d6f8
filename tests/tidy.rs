//! Checks of the source tree: import directions, file lengths, and that docs and dashboards name only what exists.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test may fail"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const MAX_LINES: usize = 400;
const MAX_UNIT_TEST_LINES: usize = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files below `folder` whose names end with `ending`, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![root().join(folder)];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
    assert!(
        !found.is_empty(),
        "{folder} has no files that end with {ending}"
    );
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the top-level module that a source file belongs to.
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    relative
        .iter()
        .next()
        .unwrap()
        .to_str()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

/// Returns the floors that ARCHITECTURE.md lists, from top to bottom.
fn floors() -> Vec<Vec<String>> {
    let page = read(&root().join("ARCHITECTURE.md"));
    let (_, section) = page.split_once("\n## Floors\n").unwrap();
    let list = section.split("```").nth(1).unwrap();
    let lines = list.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let modules = line.split("  ").next().unwrap();
            modules.split(' ').map(str::to_owned).collect()
        })
        .collect()
}

/// Returns the modules that a source file names after `crate::`, in paths and in braces, except in comments.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join("\n");
    let ident = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(ident(rest));
            continue;
        };
        let mut depth = 0;
        let mut name = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.extend(std::iter::once(ident(std::mem::take(&mut name).trim())))
                }
                _ if depth == 0 => name.push(c),
                _ => {}
            }
        }
        found.insert(ident(name.trim()));
    }
    found.remove("");
    found
}

#[test]
fn imports_go_downward_only() {
    let floors = floors();
    let floor = |module: &str| {
        let known = floors
            .iter()
            .position(|floor| floor.iter().any(|one| one == module));
        known.unwrap_or_else(|| panic!("{module} is not on a floor of ARCHITECTURE.md"))
    };
    for path in files("src", ".rs") {
        let own = module(&path);
        for import in imports(&read(&path)) {
            let place = format!("{} imports {import}", path.display());
            match (own.as_str(), import.as_str()) {
                ("simulator", import) => {
                    let wire = ["simulator", "bedrock", "openai"];
                    assert!(wire.contains(&import), "{place}");
                }
                (own, "simulator") => assert!(["lib", "cli"].contains(&own), "{place}"),
                (own, import) => assert!(
                    floor(own) <= floor(import),
                    "{place}, which is on a higher floor"
                ),
            }
        }
    }
}

#[test]
fn floors_name_modules_that_exist() {
    let modules: BTreeSet<String> = files("src", ".rs")
        .iter()
        .map(|path| module(path))
        .collect();
    let named: Vec<String> = floors().into_iter().flatten().collect();
    let unique: BTreeSet<String> = named.iter().cloned().collect();
    assert_eq!(unique.len(), named.len(), "a module is on two floors");
    let missing: Vec<_> = unique.difference(&modules).collect();
    assert!(missing.is_empty(), "modules that do not exist: {missing:?}");
}

#[test]
fn each_concern_stays_in_its_modules() {
    let assembly = &floors()[0];
    for path in files("src", ".rs") {
        let (own, text) = (module(&path), read(&path));
        let only = |allowed: bool, word: &str, why: &str| {
            assert!(allowed || !text.contains(word), "{}: {why}", path.display());
        };
        let is_assembly = assembly.contains(&own);
        let is_simulator = own == "simulator";
        only(
            is_assembly || is_simulator || own == "edge",
            "axum::",
            "only edge uses HTTP types",
        );
        only(
            own == "upstream",
            "aws_sdk_",
            "only upstream uses the AWS SDK",
        );
        let is_test = path.ends_with("tests.rs");
        only(
            is_assembly || is_simulator || is_test,
            "tokio::spawn(",
            "spawn tasks on a TaskTracker, so that the shutdown waits for them",
        );
        let relative = path.strip_prefix(root().join("src")).unwrap();
        let is_codec = ["upstream/converse", "upstream/invoke"]
            .iter()
            .any(|codec| relative.starts_with(codec));
        for word in [".await", "async "] {
            only(!is_codec, word, "codecs must not do I/O");
        }
    }
}

#[test]
fn no_middleware_imports_another() {
    let folder = root().join("src/middleware");
    let name = |path: &Path| {
        let first = path.strip_prefix(&folder).unwrap().iter().next().unwrap();
        first.to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    let files = files("src/middleware", ".rs");
    let names: BTreeSet<String> = files.iter().map(|path| name(path)).collect();
    for path in files.iter().filter(|path| name(path) != "mod") {
        let text = read(path);
        let others = names.iter().filter(|other| **other != name(path));
        for other in others.filter(|other| *other != "testing") {
            let import = format!("super::{other}");
            assert!(
                !text.contains(&import),
                "{} imports {other}",
                path.display()
            );
        }
        assert!(!text.contains("crate::middleware"), "{}", path.display());
    }
}

#[test]
fn files_and_their_unit_tests_are_short() {
    for folder in ["src", "tests", "bench", "fuzz"] {
        for path in files(folder, ".rs") {
            let text = read(&path);
            let lines = text.lines().count();
            assert!(
                lines <= MAX_LINES,
                "{} has {lines} lines; the limit is {MAX_LINES}",
                path.display()
            );
            if let Some((_, tests)) = text.split_once("#[cfg(test)]").filter(|_| folder == "src") {
                let lines = tests.lines().count();
                assert!(
                    lines <= MAX_UNIT_TEST_LINES,
                    "{}: move {lines} lines of unit tests to a separate file",
                    path.display()
                );
            }
        }
    }
}

/// Returns the names of all metrics, which are the string constants of `metrics.rs`.
fn metrics() -> BTreeSet<String> {
    let text = read(&root().join("src/metrics.rs"));
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1));
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 10);
    names
}

/// Returns the words with a prefix of the exported metrics, without the suffixes of the exposition format.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| {
        ["lintel_", "gen_ai_", "process_"]
            .iter()
            .any(|prefix| word.starts_with(prefix))
    });
    names
        .map(|word| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .fold(word, |word, ending| {
                    word.strip_suffix(ending).unwrap_or(word)
                })
                .to_owned()
        })
        .collect()
}

#[test]
fn dashboards_and_alerts_name_metrics_that_exist() {
    let known = metrics();
    let process = [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ];
    let mut used = BTreeSet::new();
    for path in files("dashboards", ".json")
        .into_iter()
        .chain(files("dashboards", ".yml"))
    {
        for name in named(&read(&path)) {
            assert!(
                known.contains(&name) || process.contains(&name.as_str()),
                "{}: the metric {name} does not exist",
                path.display()
            );
            used.insert(name);
        }
    }
    let unused: Vec<&String> = known.difference(&used).collect();
    assert!(unused.is_empty(), "no panel or alert uses {unused:?}");
}

#[test]
fn every_metric_is_described() {
    let text = read(&root().join("src/metrics.rs"));
    let flat: String = text.split_whitespace().collect();
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .filter(|line| line.contains(": &str ="))
    {
        let name = line.split(':').next().unwrap();
        let described = ["counter", "gauge", "histogram"]
            .iter()
            .any(|kind| flat.contains(&format!("describe_{kind}!({name},")));
        assert!(described, "{name} has no help text");
    }
}

#[test]
fn dashboards_are_json_with_panels() {
    for path in files("dashboards", ".json") {
        let dashboard: serde_json::Value = serde_json::from_str(&read(&path)).unwrap();
        assert!(
            dashboard["panels"]
                .as_array()
                .is_some_and(|panels| !panels.is_empty()),
            "{}",
            path.display()
        );
    }
}

/// The members of a request, in the source of its wire type.
fn members(file: &str, request: &str) -> Vec<String> {
    let source = read(&root().join(file));
    let (_, rest) = source
        .split_once(&format!("pub struct {request} {{"))
        .unwrap();
    let (members, _) = rest.split_once("\n}").unwrap();
    members
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'))
        .map(|(member, _)| member.to_owned())
        .collect()
}

#[test]
fn the_page_on_compatibility_has_every_member_of_each_request() {
    let page = read(&root().join("docs/compatibility.md"));
    let (chat, rest) = page.split_once("\n## Completions\n").unwrap();
    let (completions, embeddings) = rest.split_once("\n## Embeddings\n").unwrap();
    for (file, request, section, least) in [
        ("src/openai/chat.rs", "ChatRequest", chat, 30),
        (
            "src/openai/text_completion.rs",
            "CompletionRequest",
            completions,
            15,
        ),
        ("src/openai/embedding.rs", "EmbeddingRequest", embeddings, 6),
    ] {
        let members = members(file, request);
        assert!(members.len() > least, "{file}: {members:?}");
        for member in members {
            assert!(
                section.contains(&format!("\n| `{member}` |")),
                "docs/compatibility.md does not describe `{member}` of {request}"
            );
        }
    }
}

/// Returns the code blocks of a Markdown file with the info string `kind`.
fn blocks(markdown: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    markdown
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn configuration_examples_in_the_docs_load() {
    let pages = ["README.md", "docs/knowledge-bases.md"]
        .map(|page| read(&root().join(page)))
        .concat();
    let blocks = blocks(&pages, "toml");
    assert!(!blocks.is_empty());
    let variables = vec![(
        "LINTEL_KEY_APP".to_owned(),
        "sk-0123456789abcdef".to_owned(),
    )];
    for block in blocks {
        let environment = lintel::config::Environment {
            variables: variables.clone(),
            flags: Vec::new(),
        };
        lintel::config::parse(&block, &environment, None)
            .unwrap_or_else(|problems| panic!("{problems:?}\n{block}"));
    }
}

#[test]
fn make_targets_in_the_readme_exist() {
    let makefile = read(&root().join("Makefile"));
    let readme = read(&root().join("README.md"));
    let commands = blocks(&readme, "sh").join("\n");
    let targets: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.trim().strip_prefix("make "))
        .collect();
    assert!(
        targets.len() >= 2,
        "the README names at least demo and test"
    );
    for target in targets {
        let name = target.split_whitespace().next().unwrap();
        assert!(makefile.contains(&format!("\n{name}:")), "make {name}");
    }
}
