//! What overrides the file: environment variables and command-line flags.

use super::tree::{self, Origin, Table, Value};

/// A setting that a command-line flag overrides.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Such as `--listen`, for messages.
    pub name: &'static str,
    /// Such as `["server", "listen"]`.
    pub setting: [&'static str; 2],
    pub value: String,
}

/// Environment variables and flags. A flag overrides a variable, and a variable overrides the file.
#[derive(Clone, Default)]
pub struct Environment {
    /// All variables, those that are not lintel's included.
    pub variables: Vec<(String, String)>,
    pub flags: Vec<Flag>,
}

impl Environment {
    /// The variables of this process, with the flags of its command.
    pub fn of_process(flags: Vec<Flag>) -> Self {
        // lintel reads no variable that is not Unicode.
        let variables = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self {
            variables: variables.collect(),
            flags,
        }
    }

    /// The value of a variable; `None` if it is empty, too.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Writes every override into `tree`.
    pub fn overlay(&self, tree: &mut Table) {
        tree::overlay_environment(tree, self.variables.iter().cloned());
        for flag in &self.flags {
            let path = flag.setting.map(str::to_owned);
            let value = Value::String(flag.value.clone());
            tree::set(tree, &path, value, Origin::Flag(flag.name));
        }
    }
}
