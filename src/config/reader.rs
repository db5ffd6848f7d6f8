//! Reads the tree by type. A problem does not stop the reading, so that all of them are reported at once. Every value
//! in force is recorded with its origin, for `lintel check`.

mod quantities;
mod values;

use std::{collections::HashMap, fmt::Display};

use super::{
    diagnostics::Diagnostics,
    tree::{self, Node, Origin, Table, Value},
};

/// A table that is being read. Call [`Section::finish`] at the end: it reports the keys that nothing has read.
#[derive(Debug)]
pub struct Section<'r> {
    path: String,
    origin: Origin,
    table: Table,
    /// The keys that this section may hold.
    known: Vec<&'static str>,
    /// The origin of each value that was read.
    origins: HashMap<&'static str, Origin>,
    diagnostics: &'r Diagnostics,
}

impl<'r> Section<'r> {
    pub fn root(table: Table, diagnostics: &'r Diagnostics) -> Self {
        Self {
            path: String::new(),
            origin: Origin::Line(1),
            table,
            known: Vec::new(),
            origins: HashMap::new(),
            diagnostics,
        }
    }

    /// Reports a problem with the section as a whole.
    pub fn problem(&self, message: impl Into<String>) {
        self.diagnostics
            .problem(&self.path, Some(self.origin.clone()), message);
    }

    /// Reports a problem with the value of `key`, at the line of that value.
    pub fn problem_at(&self, key: &str, message: impl Into<String>) {
        self.diagnostics
            .problem(self.path_of(key), self.origins.get(key).cloned(), message);
    }

    /// The sub-table `key`; empty if it is missing.
    pub fn section(&mut self, key: &'static str) -> Section<'r> {
        let path = self.path_of(key);
        let (origin, table) = match self.take(key) {
            Some(Node {
                value: Value::Table(table),
                origin,
            }) => (origin, table),
            Some(node) => {
                self.wrong(key, &node, "a table");
                (node.origin, Table::new())
            }
            None => (Origin::Default, Table::new()),
        };
        Section {
            path,
            origin,
            table,
            known: Vec::new(),
            origins: HashMap::new(),
            diagnostics: self.diagnostics,
        }
    }

    /// The sub-tables of `key`, by name.
    pub fn named_sections(&mut self, key: &'static str) -> Vec<(String, Section<'r>)> {
        let parent = self.section(key);
        let mut sections = Vec::new();
        for (name, node) in parent.table {
            let path = format!("{}.{name}", parent.path);
            match node.value {
                Value::Table(table) => {
                    let section = Section {
                        path,
                        origin: node.origin,
                        table,
                        known: Vec::new(),
                        origins: HashMap::new(),
                        diagnostics: self.diagnostics,
                    };
                    sections.push((name, section));
                }
                other => {
                    self.diagnostics.problem(
                        path,
                        Some(node.origin),
                        format!("expected a table, found {}", other.type_name()),
                    );
                }
            }
        }
        sections
    }

    /// The tables under `key`, which is a table or an array of tables.
    pub fn tables(&mut self, key: &'static str) -> Vec<Section<'r>> {
        let path = self.path_of(key);
        let diagnostics = self.diagnostics;
        let new = |path, origin, table| Section {
            path,
            origin,
            table,
            known: Vec::new(),
            origins: HashMap::new(),
            diagnostics,
        };
        match self.take(key) {
            None => Vec::new(),
            Some(Node {
                value: Value::Table(table),
                origin,
            }) => vec![new(path, origin, table)],
            Some(Node {
                value: Value::Array(items),
                ..
            }) if items
                .iter()
                .all(|item| matches!(item.value, Value::Table(_))) =>
            {
                let tables =
                    items
                        .into_iter()
                        .enumerate()
                        .filter_map(|(at, item)| match item.value {
                            Value::Table(table) => {
                                Some(new(format!("{path}[{at}]"), item.origin, table))
                            }
                            _ => None,
                        });
                tables.collect()
            }
            Some(node) => {
                self.wrong(key, &node, "a table, or an array of tables");
                Vec::new()
            }
        }
    }

    /// `key` was present when it was read, with a valid value or not.
    pub fn was_given(&self, key: &str) -> bool {
        self.origins.contains_key(key)
    }

    /// The key is present and was not read. Unlike [`has`](Self::has), it is not listed among the known keys.
    pub fn contains(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub fn has(&mut self, key: &'static str) -> bool {
        self.note_known(key);
        self.table.contains_key(key)
    }

    /// The value of `key` is a table.
    pub fn is_table(&self, key: &str) -> bool {
        matches!(
            self.table.get(key),
            Some(Node {
                value: Value::Table(_),
                ..
            })
        )
    }

    /// Rejects `key` with `advice`, for a mistake that needs more than "unknown key".
    pub fn never_here(&mut self, key: &'static str, advice: &'static str) {
        if let Some(node) = self.table.remove(key) {
            self.diagnostics
                .problem(self.path_of(key), Some(node.origin), advice);
        }
    }

    /// The value that was read, or `default`, which is then recorded as the value in force.
    pub fn or_default<T: Display>(&self, key: &'static str, read: Option<T>, default: T) -> T {
        read.unwrap_or_else(|| {
            self.diagnostics
                .resolved(self.path_of(key), &default, Origin::Default);
            default
        })
    }

    /// Reports every key that nothing has read.
    pub fn finish(self) {
        for (key, node) in &self.table {
            let near = self.known.iter().max_by(|a, b| {
                strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key))
            });
            let message = match near.filter(|near| strsim::jaro_winkler(near, key) > 0.75) {
                Some(near) => format!("unknown key; did you mean '{near}'?"),
                None => format!("unknown key; this section has: {}", self.known.join(", ")),
            };
            self.diagnostics
                .problem(self.path_of(key), Some(node.origin.clone()), message);
        }
    }

    fn read<T: Display>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        convert: impl Fn(&Value) -> Result<T, Option<String>>,
    ) -> Option<T> {
        let path = self.path_of(key);
        let (value, origin) = self.read_raw(key, expected, convert)?;
        self.diagnostics.resolved(path, &value, origin);
        Some(value)
    }

    /// `convert` fails with a reason, or with `None` if the type is wrong.
    fn read_raw<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        convert: impl Fn(&Value) -> Result<T, Option<String>>,
    ) -> Option<(T, Origin)> {
        let node = self.take(key)?;
        let mut result = convert(&node.value);
        // Variables and flags are always text, so the expected type decides what the text means.
        if let (Err(None), Origin::Environment(_) | Origin::Flag(_), Value::String(text)) =
            (&result, &node.origin, &node.value)
            && let Some(value) = tree::from_text(text)
        {
            result = convert(&value);
        }
        match result {
            Ok(value) => Some((value, node.origin)),
            Err(Some(reason)) => {
                self.problem_at(key, reason);
                None
            }
            Err(None) => {
                self.wrong(key, &node, expected);
                None
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.note_known(key);
        let node = self.table.remove(key)?;
        self.origins.insert(key, node.origin.clone());
        Some(node)
    }

    /// Records that this section may hold `key`.
    fn note_known(&mut self, key: &'static str) {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
    }

    fn wrong(&self, key: &str, node: &Node, expected: &str) {
        let message = format!("expected {expected}, found {}", node.value.type_name());
        self.problem_at(key, message);
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}
