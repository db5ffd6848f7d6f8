//! The lifecycle of a model.

use serde::{Deserialize, Serialize};

/// The lifecycle of a model on Bedrock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifecycle {
    pub status: LifecycleStatus,
    /// The date on which the model became legacy, `YYYY-MM-DD`.
    pub legacy: Option<String>,
    /// The end-of-life date, `YYYY-MM-DD`.
    pub eol: Option<String>,
    /// The base id of the recommended replacement.
    pub successor: Option<String>,
}

/// The state of a model in its lifecycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleStatus {
    #[default]
    Active,
    Legacy,
    Eol,
}

impl LifecycleStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Legacy => "legacy",
            Self::Eol => "eol",
        }
    }
}

impl Lifecycle {
    /// Returns a warning for users of a model that is not active.
    pub fn warning(&self) -> Option<String> {
        let mut text = match self.status {
            LifecycleStatus::Active => return None,
            LifecycleStatus::Legacy => "is legacy on Bedrock".to_owned(),
            LifecycleStatus::Eol => "is past its end of life on Bedrock".to_owned(),
        };
        if let Some(eol) = &self.eol {
            text.push_str(&format!(" (end of life {eol})"));
        }
        if let Some(successor) = &self.successor {
            text.push_str(&format!("; use {successor}"));
        }
        Some(text)
    }
}
