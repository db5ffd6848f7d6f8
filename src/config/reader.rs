//! Typed reading of the tree. Every problem is kept, none ends the reading; every value that is used is remembered
//! with its origin, for `lintel check`.

mod quantities;

use std::{cell::RefCell, collections::HashMap, fmt::Display, str::FromStr};

use super::{
    Problem,
    tree::{self, Node, Origin, Table, Value},
};

/// Gathers while the configuration is read.
#[derive(Debug, Default)]
pub struct Report {
    problems: RefCell<Vec<Problem>>,
    resolved: RefCell<Vec<Resolved>>,
}

/// One value in force.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub path: String,
    pub value: String,
    pub origin: Origin,
}

impl Report {
    pub fn problem(
        &self,
        path: impl Into<String>,
        origin: Option<Origin>,
        message: impl Into<String>,
    ) {
        self.problems.borrow_mut().push(Problem {
            path: path.into(),
            origin,
            message: message.into(),
        });
    }

    fn resolved(&self, path: String, value: impl Display, origin: Origin) {
        self.resolved.borrow_mut().push(Resolved {
            path,
            value: value.to_string(),
            origin,
        });
    }

    pub fn into_parts(self) -> (Vec<Problem>, Vec<Resolved>) {
        (self.problems.into_inner(), self.resolved.into_inner())
    }
}

/// One table on its way to being read. Call [`Section::finish`] at the end: what was not asked for is unknown.
#[derive(Debug)]
pub struct Section<'r> {
    path: String,
    origin: Origin,
    table: Table,
    asked: Vec<&'static str>,
    /// Where the values came from that were read.
    origins: HashMap<&'static str, Origin>,
    report: &'r Report,
}

impl<'r> Section<'r> {
    pub fn root(table: Table, report: &'r Report) -> Self {
        Self {
            path: String::new(),
            origin: Origin::Line(1),
            table,
            asked: Vec::new(),
            origins: HashMap::new(),
            report,
        }
    }

    /// A problem with the section as a whole.
    pub fn problem(&self, message: impl Into<String>) {
        self.report
            .problem(&self.path, Some(self.origin.clone()), message);
    }

    /// A problem with one of its keys, at the place where its value was read.
    pub fn problem_at(&self, key: &str, message: impl Into<String>) {
        self.report
            .problem(self.path_of(key), self.origins.get(key).cloned(), message);
    }

    /// The sub-table `key`; empty where it is missing.
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
            asked: Vec::new(),
            origins: HashMap::new(),
            report: self.report,
        }
    }

    /// The sub-tables of `key`, by the names that the user gave them.
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
                        asked: Vec::new(),
                        origins: HashMap::new(),
                        report: self.report,
                    };
                    sections.push((name, section));
                }
                other => {
                    self.report.problem(
                        path,
                        Some(node.origin),
                        format!("expected a table, found {}", other.type_name()),
                    );
                }
            }
        }
        sections
    }

    /// The tables under `key`: one, or an array of them.
    pub fn tables(&mut self, key: &'static str) -> Vec<Section<'r>> {
        let path = self.path_of(key);
        let report = self.report;
        let new = |path, origin, table| Section {
            path,
            origin,
            table,
            asked: Vec::new(),
            origins: HashMap::new(),
            report,
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

    /// The key stood there, whatever became of it.
    pub fn was_given(&self, key: &str) -> bool {
        self.origins.contains_key(key)
    }

    pub fn has(&mut self, key: &'static str) -> bool {
        self.ask(key);
        self.table.contains_key(key)
    }

    /// The key is there, and its value is a table.
    pub fn is_table(&self, key: &str) -> bool {
        matches!(
            self.table.get(key),
            Some(Node {
                value: Value::Table(_),
                ..
            })
        )
    }

    /// A key of the contract that this version does not serve: to take it in silence would be a lie.
    pub fn not_supported(&mut self, keys: &[&'static str]) {
        for key in keys {
            if let Some(node) = self.table.remove(*key) {
                self.report.problem(
                    self.path_of(key),
                    Some(node.origin),
                    "not supported by this version of lintel; remove it",
                );
            }
        }
    }

    /// A key that stands for a mistake which deserves its own advice.
    pub fn never_here(&mut self, key: &'static str, advice: &'static str) {
        if let Some(node) = self.table.remove(key) {
            self.report
                .problem(self.path_of(key), Some(node.origin), advice);
        }
    }

    pub fn string(&mut self, key: &'static str) -> Option<String> {
        self.read(key, "a string", |value| match value {
            Value::String(text) => Ok(text.clone()),
            _ => Err(None),
        })
    }

    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        let path = self.path_of(key);
        let (items, origin) = self.read_raw(key, "a list of strings", |value| match value {
            Value::Array(items) => items
                .iter()
                .map(|item| match &item.value {
                    Value::String(text) => Ok(text.clone()),
                    _ => Err(None),
                })
                .collect::<Result<Vec<_>, _>>(),
            _ => Err(None),
        })?;
        self.report.resolved(path, format!("{items:?}"), origin);
        Some(items)
    }

    pub fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let read = self.read(key, "true or false", |value| match value {
            Value::Boolean(boolean) => Ok(*boolean),
            _ => Err(None),
        });
        self.or_default(key, read, default)
    }

    /// A whole number between 1 and `max`.
    pub fn count(&mut self, key: &'static str, max: u64) -> Option<u64> {
        self.read(key, "a whole number", move |value| match value {
            Value::Integer(integer) => match u64::try_from(*integer) {
                Ok(number) if (1..=max).contains(&number) => Ok(number),
                _ => Err(Some(format!("must be between 1 and {max}"))),
            },
            _ => Err(None),
        })
    }

    pub fn number(&mut self, key: &'static str, min: f64, max: f64) -> Option<f64> {
        self.read(key, "a number", move |value| {
            let number = match value {
                Value::Float(float) => *float,
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "checked against a small range below"
                )]
                Value::Integer(integer) => *integer as f64,
                _ => return Err(None),
            };
            if (min..=max).contains(&number) {
                Ok(number)
            } else {
                Err(Some(format!("must be between {min} and {max}")))
            }
        })
    }

    /// A decimal number, exactly as it was written.
    pub fn decimal<T: Copy>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        convert: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.read(key, expected, |value| {
            let text = match value {
                Value::Float(float) => float.to_string(),
                Value::Integer(integer) => integer.to_string(),
                _ => return Err(None),
            };
            convert(&text)
                .map(|_| text.clone())
                .ok_or_else(|| Some(format!("'{text}' is not {expected}")))
        });
        text.and_then(|text| convert(&text))
    }

    /// A table whose members only its user knows.
    pub fn json(&mut self, key: &'static str) -> Option<serde_json::Value> {
        self.read(key, "a table", |value| match value {
            Value::Table(_) => Ok(serde_json::Value::from(value.clone())),
            _ => Err(None),
        })
    }

    /// A string that a type of ours can be made of.
    pub fn parsed<T: FromStr<Err: Display> + Display>(
        &mut self,
        key: &'static str,
        expected: &'static str,
    ) -> Option<T> {
        self.read(key, expected, |value| match value {
            Value::String(text) => text
                .parse::<T>()
                .map_err(|error| Some(format!("'{text}' is not {expected}: {error}"))),
            _ => Err(None),
        })
    }

    /// One word out of a list.
    pub fn choice<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        default: T,
    ) -> T {
        let words = choices
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(" or ");
        let word = self.read(key, "a string", |value| match value {
            Value::String(text) if choices.iter().any(|(word, _)| word == text) => Ok(text.clone()),
            Value::String(text) => Err(Some(format!("'{text}' is not {words}"))),
            _ => Err(None),
        });
        let chosen = word.and_then(|word| {
            choices
                .iter()
                .find(|(other, _)| *other == word)
                .map(|(_, choice)| *choice)
        });
        if chosen.is_none()
            && let Some((word, _)) = choices.iter().find(|(_, choice)| *choice == default)
        {
            self.report
                .resolved(self.path_of(key), word, Origin::Default);
        }
        chosen.unwrap_or(default)
    }

    /// Records `default` as the value in force where nothing was read.
    pub fn or_default<T: Display>(&self, key: &'static str, read: Option<T>, default: T) -> T {
        read.unwrap_or_else(|| {
            self.report
                .resolved(self.path_of(key), &default, Origin::Default);
            default
        })
    }

    /// Everything that was not asked for is unknown.
    pub fn finish(self) {
        for (key, node) in &self.table {
            let near = self.asked.iter().max_by(|a, b| {
                strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key))
            });
            let message = match near.filter(|near| strsim::jaro_winkler(near, key) > 0.75) {
                Some(near) => format!("unknown key; did you mean '{near}'?"),
                None => format!("unknown key; known here are: {}", self.asked.join(", ")),
            };
            self.report
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
        self.report.resolved(path, &value, origin);
        Some(value)
    }

    /// `convert` fails with a reason, or with nothing where the type is wrong.
    fn read_raw<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        convert: impl Fn(&Value) -> Result<T, Option<String>>,
    ) -> Option<(T, Origin)> {
        let node = self.take(key)?;
        let mut result = convert(&node.value);
        // A variable is text until somebody wants something else of it.
        if let (Err(None), Origin::Environment(_), Value::String(text)) =
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
        self.ask(key);
        let node = self.table.remove(key)?;
        self.origins.insert(key, node.origin.clone());
        Some(node)
    }

    /// The key is known here, whether it is there or not.
    fn ask(&mut self, key: &'static str) {
        if !self.asked.contains(&key) {
            self.asked.push(key);
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
