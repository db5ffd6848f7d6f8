use std::{sync::Arc, time::Duration};

use super::{Facts, Limits};
use crate::money::{Budget, Price};

/// Where a model is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A Bedrock model id, inference profile id or ARN, as it goes into the path.
    pub id: String,
    pub region: String,
}

impl Target {
    /// The region of an ARN wins over `region`: a resource can only be called where it is.
    pub fn new(id: impl Into<String>, region: &str) -> Self {
        let id = id.into();
        let own = id
            .strip_prefix("arn:")
            .and_then(|rest| rest.split(':').nth(2))
            .filter(|r| !r.is_empty());
        let region = own.unwrap_or(region).to_owned();
        Self { id, region }
    }

    /// The target is a managed prompt, which brings text, a model and limits of its own.
    pub fn is_prompt(&self) -> bool {
        self.id.starts_with("arn:") && self.id.contains(":prompt/")
    }

    /// The id, for clients. An ARN holds an account id, which is nobody's business but the operator's.
    pub fn shown(&self) -> Option<&str> {
        (!self.id.starts_with("arn:")).then_some(&self.id)
    }
}

/// Where a model can be called, in order of preference; at least one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    pub first: Arc<Target>,
    pub others: Vec<Arc<Target>>,
}

impl Targets {
    pub fn one(target: Target) -> Self {
        Self {
            first: Arc::new(target),
            others: Vec::new(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Target>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// Time limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To the last byte of a whole reply.
    pub whole: Duration,
    /// To the first token of a stream.
    pub first_token: Duration,
    /// Between two events of a stream.
    pub idle: Duration,
}

/// What the gateway does about failures that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Calls to Bedrock in all, for one answer.
    pub attempts: u32,
    /// The longest pause before the second; it doubles with each.
    pub base: Duration,
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(5),
        }
    }
}

/// What a request gets that does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelDefaults {
    pub max_tokens: u32,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
}

/// What happens to a parameter that the model cannot honour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DroppedParameters {
    Warn,
    Refuse,
}

/// Where cache points come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CachePolicy {
    /// From the client's marks alone.
    #[default]
    Marked,
    /// Also from the gateway, where they pay.
    Auto,
}

/// A guardrail that a key or a model brings. Clients cannot replace it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardrail {
    pub identifier: String,
    /// `DRAFT` or a number.
    pub version: String,
    /// `enabled`, `disabled` or `enabled_full`.
    pub trace: Option<String>,
    /// `sync` or `async`.
    pub stream_processing_mode: Option<String>,
    /// The trace, which may hold personal data, goes to the client.
    pub show_trace: bool,
}

/// What operators choose for a model beyond its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOptions {
    /// The most choices (`n`) of one request: each is a call to Bedrock.
    pub max_n: u32,
    pub cache: CachePolicy,
    pub guardrail: Option<Guardrail>,
    /// One more call where structured output that could not be forced does not fit its schema.
    pub repair_json: bool,
    /// `name` of a message goes before its text.
    pub name_prefix: bool,
    /// `user` and `safety_identifier` reach Bedrock's log as their SHA-256.
    pub hash_users: bool,
    /// Documents keep the names of their files.
    pub keep_file_names: bool,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            max_n: 16,
            cache: CachePolicy::Marked,
            guardrail: None,
            repair_json: false,
            name_prefix: false,
            hash_users: false,
            keep_file_names: false,
        }
    }
}

/// A model as users know it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The configured name; of a raw id, the id itself.
    pub name: String,
    /// Not a configured name but a Bedrock id: never a metric label.
    pub raw: bool,
    pub targets: Targets,
    pub timeouts: Timeouts,
    pub defaults: ModelDefaults,
    pub dropped_parameters: DroppedParameters,
    pub retry: RetryPolicy,
    pub description: Option<String>,
    pub use_cases: Vec<String>,
    /// The catalogue's id of the model behind the target, where it is known.
    pub base: Option<String>,
    pub facts: Arc<Facts>,
    /// None where no price is known.
    pub price: Option<Arc<Price>>,
    pub options: ModelOptions,
    pub limits: Limits,
    pub budgets: Vec<Arc<Budget>>,
}

impl Model {
    /// A model with the settings that hold where the configuration says nothing.
    pub fn new(name: impl Into<String>, target: Target) -> Self {
        let [whole, first_token, idle] = [300, 60, 60].map(Duration::from_secs);
        Self {
            name: name.into(),
            raw: false,
            targets: Targets::one(target),
            timeouts: Timeouts {
                whole,
                first_token,
                idle,
            },
            defaults: ModelDefaults {
                max_tokens: 4096,
                temperature: None,
                top_p: None,
            },
            dropped_parameters: DroppedParameters::Warn,
            retry: RetryPolicy::default(),
            description: None,
            use_cases: Vec::new(),
            base: None,
            facts: Arc::default(),
            price: None,
            options: ModelOptions::default(),
            limits: Limits::default(),
            budgets: Vec::new(),
        }
    }

    /// Where the model is called first.
    pub fn target(&self) -> &Arc<Target> {
        &self.targets.first
    }

    /// A bounded label for metrics.
    pub fn label(&self) -> &str {
        if self.raw { "unknown" } else { &self.name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_of_an_arn_wins() {
        let target = Target::new(
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/x",
            "us-east-1",
        );
        assert_eq!(target.region, "eu-west-1");
        assert_eq!(
            Target::new("amazon.nova-lite-v1:0", "us-east-1").region,
            "us-east-1"
        );
    }
}
