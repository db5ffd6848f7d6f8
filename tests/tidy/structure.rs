//! Floors, concerns, and lengths of files.

use std::{collections::BTreeSet, path::Path};

use crate::{files, read, root};

const MAX_LINES: usize = 400;
const MAX_UNIT_TEST_LINES: usize = 100;

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
        // Every other folder of `upstream` has only codecs, except that `mod.rs` of two sends their requests.
        let others = match path.ends_with("mod.rs") {
            true => &["attempt", "chat", "transport", "discovery", "moderate"][..],
            false => &["attempt", "chat", "transport"],
        };
        let below = path.strip_prefix(root().join("src/upstream"));
        let folder = below.ok().and_then(|below| below.parent()?.iter().next());
        let is_codec = folder.is_some_and(|folder| others.iter().all(|other| folder != *other));
        for word in [".await", "async "] {
            only(!is_codec || is_test, word, "codecs must not do I/O");
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

#[test]
fn every_path_has_a_label() {
    let labels = read(&root().join("src/edge/labels.rs"));
    let routes = read(&root().join("src/edge/routes.rs"));
    let paths: Vec<&str> = routes
        .split("            (\"/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(paths.len() > 3, "{paths:?}");
    for path in paths {
        let label = format!("\"/v1/{path}\"");
        assert!(labels.contains(&label), "{path} would be `unknown`");
    }
}
