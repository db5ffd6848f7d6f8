//! The configuration as text: the TOML file, overridden by environment variables and flags, each value with its origin.

use std::{collections::BTreeMap, fmt};

use toml::de::{DeTable, DeValue};

use super::Problem;

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file, counted from 1.
    Line(usize),
    Environment(String),
    Flag(&'static str),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
}

impl Value {
    /// The name of the type in messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => text.into(),
            Value::Integer(integer) => integer.into(),
            Value::Float(float) => float.into(),
            Value::Boolean(boolean) => boolean.into(),
            Value::Array(items) => items
                .into_iter()
                .map(|item| Self::from(item.value))
                .collect(),
            Value::Table(table) => table
                .into_iter()
                .map(|(key, node)| (key, Self::from(node.value)))
                .collect(),
        }
    }
}

/// JSON from a client, to be read like a part of the file. A null member counts as absent.
impl TryFrom<serde_json::Value> for Value {
    type Error = ();

    fn try_from(value: serde_json::Value) -> Result<Self, ()> {
        use serde_json::Value as Json;
        let node = |value| {
            Ok(Node {
                value: Self::try_from(value)?,
                origin: Origin::Default,
            })
        };
        Ok(match value {
            Json::Null => return Err(()),
            Json::Bool(boolean) => Self::Boolean(boolean),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Float(number.as_f64().ok_or(())?),
            },
            Json::String(text) => Self::String(text),
            Json::Array(items) => {
                Self::Array(items.into_iter().map(node).collect::<Result<_, ()>>()?)
            }
            Json::Object(members) => {
                let members = members.into_iter().filter(|(_, value)| !value.is_null());
                Self::Table(
                    members
                        .map(|(key, value)| Ok((key, node(value)?)))
                        .collect::<Result<_, ()>>()?,
                )
            }
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub origin: Origin,
}

pub type Table = BTreeMap<String, Node>;

/// Parses a file. Lines that cannot be parsed are reported, and the rest is kept, so that it can be checked too.
pub fn parse(text: &str, problems: &mut Vec<Problem>) -> Table {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map(|span| line_of(text, span.start));
        problems.push(Problem {
            path: String::new(),
            origin: line.map(Origin::Line),
            message: error.message().to_owned(),
        });
    }
    convert_table(table.get_ref(), text, problems)
}

fn convert_table(table: &DeTable<'_>, text: &str, problems: &mut Vec<Problem>) -> Table {
    let mut converted = Table::new();
    for (key, value) in table {
        let line = line_of(text, key.span().start);
        let node = convert(value.get_ref(), line, text, problems);
        converted.insert(key.get_ref().to_string(), node);
    }
    converted
}

fn convert(value: &DeValue<'_>, line: usize, text: &str, problems: &mut Vec<Problem>) -> Node {
    let mut number = |parsed: Option<Value>, shown: &str| {
        parsed.unwrap_or_else(|| {
            let message = format!("{shown} is out of range");
            problems.push(Problem {
                path: String::new(),
                origin: Some(Origin::Line(line)),
                message,
            });
            Value::Integer(0)
        })
    };
    let value = match value {
        DeValue::String(string) => Value::String(string.to_string()),
        DeValue::Integer(integer) => number(
            i64::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(Value::Integer),
            integer.as_str(),
        ),
        DeValue::Float(float) => number(
            float.as_str().parse().ok().map(Value::Float),
            float.as_str(),
        ),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(datetime) => Value::String(datetime.to_string()),
        DeValue::Array(array) => Value::Array(
            array
                .iter()
                .map(|item| {
                    convert(
                        item.get_ref(),
                        line_of(text, item.span().start),
                        text,
                        problems,
                    )
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table, text, problems)),
    };
    Node {
        value,
        origin: Origin::Line(line),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(at)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// Overrides the file with `LINTEL__SECTION__KEY=value`; a double underscore nests.
pub fn overlay_environment(tree: &mut Table, variables: impl Iterator<Item = (String, String)>) {
    for (name, text) in variables {
        let Some(path) = name.strip_prefix("LINTEL__") else {
            continue;
        };
        let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        let origin = Origin::Environment(name.clone());
        set(tree, &path, Value::String(text), origin);
    }
}

/// Sets one value, and creates the tables on the way. `_` also matches `-`, which a shell variable cannot contain.
pub fn set(tree: &mut Table, path: &[String], value: Value, origin: Origin) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    let existing = tree
        .keys()
        .find(|other| {
            other
                .replace('-', "_")
                .eq_ignore_ascii_case(&key.replace('-', "_"))
        })
        .cloned();
    let key = existing.unwrap_or_else(|| key.clone());
    if rest.is_empty() {
        tree.insert(key, Node { value, origin });
        return;
    }
    let node = tree.entry(key).or_insert_with(|| Node {
        value: Value::Table(Table::new()),
        origin: origin.clone(),
    });
    if !matches!(node.value, Value::Table(_)) {
        node.value = Value::Table(Table::new());
    }
    if let Value::Table(table) = &mut node.value {
        set(table, rest, value, origin);
    }
}

/// The text of a variable or flag as another TOML value: a number, a boolean, a list.
pub fn from_text(text: &str) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    let mut problems = Vec::new();
    let node = convert(value.get_ref(), 1, text, &mut problems);
    problems.is_empty().then_some(node.value)
}
