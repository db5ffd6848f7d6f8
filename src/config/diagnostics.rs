//! What reading a configuration finds: its problems, and every value in force with its origin.

use std::{
    cell::RefCell,
    fmt::{self, Display},
};

use super::tree::Origin;

/// Collects while the configuration is read.
#[derive(Debug, Default)]
pub struct Diagnostics {
    problems: RefCell<Vec<Problem>>,
    resolved: RefCell<Vec<ResolvedValue>>,
}

/// A value in force, with its origin.
#[derive(Clone, Debug)]
pub struct ResolvedValue {
    pub path: String,
    pub value: String,
    pub origin: Origin,
}

/// An error in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Such as `server.listen`; empty if the file could not be parsed.
    pub path: String,
    pub origin: Option<Origin>,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl Diagnostics {
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

    pub fn resolved(&self, path: String, value: impl Display, origin: Origin) {
        self.resolved.borrow_mut().push(ResolvedValue {
            path,
            value: value.to_string(),
            origin,
        });
    }

    pub fn into_parts(self) -> (Vec<Problem>, Vec<ResolvedValue>) {
        (self.problems.into_inner(), self.resolved.into_inner())
    }
}
