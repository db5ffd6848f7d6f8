use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::Caller;
use crate::error::{Error, Kind};

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
        let own = id.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2)).filter(|r| !r.is_empty());
        let region = own.unwrap_or(region).to_owned();
        Self { id, region }
    }

    /// The id, for clients. An ARN holds an account id, which is nobody's business but the operator's.
    pub fn shown(&self) -> Option<&str> {
        (!self.id.starts_with("arn:")).then_some(&self.id)
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

/// A model as users know it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The configured name; of a raw id, the id itself.
    pub name: String,
    /// Not a configured name but a Bedrock id: never a metric label.
    pub raw: bool,
    pub target: Target,
    pub timeouts: Timeouts,
    pub defaults: ModelDefaults,
    pub dropped_parameters: DroppedParameters,
    pub description: Option<String>,
    pub use_cases: Vec<String>,
}

impl Model {
    /// A model with the settings that hold where the configuration says nothing.
    pub fn new(name: impl Into<String>, target: Target) -> Self {
        let [whole, first_token, idle] = [300, 60, 60].map(Duration::from_secs);
        Self {
            name: name.into(),
            raw: false,
            target,
            timeouts: Timeouts { whole, first_token, idle },
            defaults: ModelDefaults { max_tokens: 4096, temperature: None, top_p: None },
            dropped_parameters: DroppedParameters::Warn,
            description: None,
            use_cases: Vec::new(),
        }
    }

    /// A bounded label for metrics.
    pub fn label(&self) -> &str {
        if self.raw { "unknown" } else { &self.name }
    }
}

/// Every model by the names that requests may use.
#[derive(Clone, Debug)]
pub struct Models {
    named: BTreeMap<String, Arc<Model>>,
    aliases: BTreeMap<String, (Arc<Model>, Vec<String>)>,
    /// What raw ids get; `None` when `raw_model_ids = false`.
    raw: Option<Arc<Model>>,
}

impl Models {
    pub fn new(
        named: BTreeMap<String, Arc<Model>>,
        aliases: BTreeMap<String, (Arc<Model>, Vec<String>)>,
        raw: Option<Arc<Model>>,
    ) -> Self {
        Self { named, aliases, raw }
    }

    /// The model that `name` stands for. An alias is its target in everything: limits, permission, label.
    pub fn resolve(&self, name: &str) -> Result<Arc<Model>, Error> {
        if let Some(model) = self.named.get(name).or_else(|| self.aliases.get(name).map(|(model, _)| model)) {
            return Ok(model.clone());
        }
        match &self.raw {
            Some(template) if looks_like_bedrock_id(name) => {
                let target = Target::new(name, &template.target.region);
                // Clients are only ever made for the configured regions.
                if target.region != template.target.region {
                    return Err(unknown(name));
                }
                Ok(Arc::new(Model { name: name.to_owned(), target, ..Model::clone(template) }))
            }
            _ => Err(unknown(name)),
        }
    }

    /// The model that `name` stands for, if `caller` may use it. A raw id that it may not use does not exist for it:
    /// `gpt-4.1` has the form of one too.
    ///
    /// # Errors
    /// 404, or 403 for a configured model.
    pub fn resolve_for(&self, name: &str, caller: &Caller) -> Result<Arc<Model>, Error> {
        let model = self.resolve(name)?;
        match caller.may_use(&model.name, model.raw) {
            true => Ok(model),
            false if model.raw => Err(unknown(name)),
            false => Err(Error::new(
                Kind::PermissionDenied,
                "This key may not use this model. GET /v1/models lists what it may.",
            )
            .with_code("model_not_allowed")
            .with_param("model")),
        }
    }

    /// Configured models, without aliases.
    pub fn named(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.named.values()
    }

    /// The model that stands for raw ids, if they are accepted.
    pub fn raw(&self) -> Option<&Arc<Model>> {
        self.raw.as_ref()
    }

    /// Name, model, and whether the name is an alias with tasks of its own; models first.
    pub fn list(&self) -> impl Iterator<Item = Listed<'_>> {
        let named =
            self.named.iter().map(|(name, model)| Listed { name, model, alias: false, use_cases: &model.use_cases });
        let aliases = self.aliases.iter().map(|(name, (model, tasks))| {
            let use_cases = if tasks.is_empty() { &model.use_cases } else { tasks };
            Listed { name, model, alias: true, use_cases }
        });
        named.chain(aliases)
    }
}

/// One entry of [`Models::list`].
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    pub name: &'a str,
    pub model: &'a Arc<Model>,
    pub alias: bool,
    pub use_cases: &'a [String],
}

fn unknown(name: &str) -> Error {
    // The name is the client's own text: shortened, so that a reply cannot be made huge.
    let shown: String = name.chars().take(100).collect();
    Error::new(
        Kind::NotFound,
        format!(
            "The model '{shown}' does not exist or you do not have access to it. GET /v1/models lists what there is."
        ),
    )
    .with_code("model_not_found")
    .with_param("model")
}

/// The forms of `ConversationalModelId` in the service model: `vendor.name…`, with or without a geo prefix, and ARNs
/// of Bedrock. Everything else, paths and escapes included, never comes near a URL.
fn looks_like_bedrock_id(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    if name.len() > 2048 || name.contains("..") {
        return false;
    }
    match name.strip_prefix("arn:aws") {
        Some(rest) => {
            let bedrock = rest.split(':').nth(1) == Some("bedrock");
            bedrock
                && rest.matches(':').count() >= 4
                && rest.chars().all(|c| plain(c) || c == '/')
                && !rest.contains("//")
        }
        None => {
            let mut parts = name.split('.');
            name.chars().all(plain) && name.contains('.') && parts.all(|part| !part.is_empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_ids_are_told_from_other_text() {
        for good in [
            "anthropic.claude-3-haiku-20240307-v1:0",
            "us.amazon.nova-lite-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
            "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/amazon.nova-lite-v1:0",
        ] {
            assert!(looks_like_bedrock_id(good), "{good}");
        }
        for bad in [
            "gpt-4o",
            "../../etc",
            "a..b",
            "a.b/../c",
            "a%2e%2e.b",
            "a.b?x=1",
            "a.b\nc",
            "arn:aws:s3:::bucket/a.b",
            "",
            ".",
            "a.",
        ] {
            assert!(!looks_like_bedrock_id(bad), "{bad}");
        }
        assert!(!looks_like_bedrock_id(&format!("a.{}", "b".repeat(4096))));
    }

    #[test]
    fn the_region_of_an_arn_wins() {
        let target = Target::new("arn:aws:bedrock:eu-west-1:123456789012:inference-profile/x", "us-east-1");
        assert_eq!(target.region, "eu-west-1");
        assert_eq!(Target::new("amazon.nova-lite-v1:0", "us-east-1").region, "us-east-1");
    }
}
