//! docs/faults.md has every fault, and names tests that exist.

use crate::{read, root};

const ROWS: usize = 106;

/// Returns the cells of each row of the tables, without their head.
fn rows() -> Vec<Vec<String>> {
    let page = read(&root().join("docs/faults.md"));
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner.split(" | ").map(|cell| cell.trim().into()).collect()
    };
    let rows = page.lines().filter(|line| line.starts_with("| "));
    rows.map(cells).filter(|cells| cells[0] != "#").collect()
}

/// Returns the tests that a cell names, as paths and functions.
fn tests(cell: &str) -> Vec<(&str, &str)> {
    cell.split('`')
        .filter_map(|word| word.split_once("::"))
        .collect()
}

/// Reports whether the file at `path` has a test, or a fixture that asserts, of this name.
fn exists(path: &str, name: &str) -> bool {
    let file = root().join(path);
    if !file.is_file() {
        return false;
    }
    let text = read(&file);
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let definitions = [format!("fn {name}("), format!("def {name}(")];
    lines.iter().enumerate().any(|(nth, line)| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let is_defined = definitions.iter().any(|one| line.starts_with(one));
        // What precedes a function of Rust are its attributes and comments. pytest goes by the name.
        let before = lines[..nth].iter().rev();
        let is_test = before
            .take_while(|line| line.starts_with(['#', '/', '@']))
            .any(|line| {
                line.starts_with("#[") && line.contains("test") || line.contains("fixture")
            });
        is_defined && (is_test || name.starts_with("test_"))
    })
}

#[test]
fn every_fault_has_a_row_with_tests_that_exist_or_a_reason() {
    let rows = rows();
    let numbers: Vec<String> = rows.iter().map(|cells| cells[0].clone()).collect();
    let expected: Vec<String> = (1..=ROWS).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected, "docs/faults.md has other numbers");
    for cells in rows {
        let number = &cells[0];
        assert_eq!(cells.len(), 4, "row {number} of docs/faults.md: {cells:?}");
        let tests = tests(&cells[3]);
        assert!(
            !tests.is_empty() || cells[3].starts_with("No test: "),
            "row {number} of docs/faults.md has neither a test nor a reason"
        );
        for (path, name) in tests {
            assert!(
                exists(path, name),
                "row {number} of docs/faults.md: {path} has no test {name}"
            );
        }
    }
}

/// A test whose name begins with the number of a row is in that row.
#[test]
fn tests_that_are_named_by_a_row_are_in_it() {
    let rows = rows();
    let rust = ["src", "tests"].map(|folder| crate::files(folder, ".rs"));
    let files = rust
        .concat()
        .into_iter()
        .chain(crate::files("tests/sdk", ".py"));
    for path in files {
        for line in read(&path).lines() {
            let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let defined = line.contains("fn ") || line.starts_with("def ");
            for name in words.filter(|_| defined) {
                let row = name.strip_prefix("test_").unwrap_or(name);
                let Some((number, _)) =
                    row.strip_prefix("row_").and_then(|row| row.split_once('_'))
                else {
                    continue;
                };
                let number = number
                    .parse::<usize>()
                    .ok()
                    .filter(|number| (1..=ROWS).contains(number));
                let Some(number) = number else { continue };
                assert!(
                    rows[number - 1][3].contains(&format!("::{name}`")),
                    "{}: {name} is not in row {number} of docs/faults.md",
                    path.display()
                );
            }
        }
    }
}
