//! The names that requests may use for models: configured names, aliases and raw Bedrock IDs.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    call::Caller,
    catalogue::{self, CatalogEntry},
    error::{Error, Kind},
    model::{Limits, Model, Target, Targets},
};

/// All models, by the names that requests may use.
#[derive(Clone, Debug)]
pub struct Models {
    named: BTreeMap<String, Arc<Model>>,
    aliases: BTreeMap<String, (Arc<Model>, Vec<String>)>,
    /// The template for raw Bedrock IDs, or `None` if `raw_model_ids = false`.
    raw: Option<Arc<Model>>,
}

impl Models {
    /// Creates the table. `aliases` maps an alias to its model and to the use cases that replace the model's.
    pub fn new(
        named: BTreeMap<String, Arc<Model>>,
        aliases: BTreeMap<String, (Arc<Model>, Vec<String>)>,
        raw: Option<Arc<Model>>,
    ) -> Self {
        Self {
            named,
            aliases,
            raw,
        }
    }

    /// Resolves a name. An alias has the limits, permissions and labels of its model.
    ///
    /// # Errors
    /// 404 if no model has this name.
    pub fn resolve(&self, name: &str) -> Result<Arc<Model>, Error> {
        if let Some(model) = self
            .named
            .get(name)
            .or_else(|| self.aliases.get(name).map(|(model, _)| model))
        {
            return Ok(model.clone());
        }
        match &self.raw {
            Some(template) if looks_like_bedrock_id(name) => {
                let target = Target::new(name, &template.target().region);
                // SDK clients exist only for the configured regions.
                if target.region != template.target().region {
                    return Err(unknown(name));
                }
                let CatalogEntry { base, facts, price } = catalogue::lookup(&target);
                let name = name.to_owned();
                let base = base.map(str::to_owned);
                Ok(Arc::new(Model {
                    name,
                    targets: Targets::one(target),
                    base,
                    facts,
                    price,
                    ..Model::clone(template)
                }))
            }
            _ => Err(unknown(name)),
        }
    }

    /// Resolves a name to a model that `caller` may use.
    ///
    /// # Errors
    /// 404 if no model has this name, 403 if the caller lacks permission for a configured model. A raw ID without
    /// permission is a 404, because names such as `gpt-4.1` have the form of a raw ID too.
    pub fn resolve_for(&self, name: &str, caller: &Caller) -> Result<Arc<Model>, Error> {
        let model = self.resolve(name)?;
        match caller.may_use(&model.name, model.raw) {
            true if model.raw => Ok(self.governed(model, caller)),
            true => Ok(model),
            false if model.raw => Err(unknown(name)),
            false => Err(Error::new(
                Kind::PermissionDenied,
                "This key may not use this model. GET /v1/models lists the models that it may use.",
            )
            .with_code("model_not_allowed")
            .with_param("model")),
        }
    }

    /// Returns `raw`, a raw ID, with the settings of a configured model that it leads to, if that one has limits, a budget or
    /// a guardrail, which the ID would evade. Of several, one that the caller may use takes precedence.
    fn governed(&self, raw: Arc<Model>, caller: &Caller) -> Arc<Model> {
        let target = raw.target();
        let is_same = |own: &Target| own.id == target.id;
        let leads_to = |own: &&Arc<Model>| {
            is_governed(own, caller)
                && own.targets.iter().any(|own| {
                    let base = catalogue::lookup(own).base;
                    is_same(own) || (base.is_some() && base == raw.base.as_deref())
                })
        };
        let owns = || self.named.values().filter(leads_to);
        let usable = owns().find(|own| caller.may_use(&own.name, false));
        let Some(own) = usable.or_else(|| owns().next()) else {
            return raw;
        };
        // A price or a fact of the operator is about the model's own targets.
        let described = match own.targets.iter().any(|own| is_same(own)) {
            true => own,
            false => &raw,
        };
        Arc::new(Model {
            targets: raw.targets.clone(),
            base: raw.base.clone(),
            facts: described.facts.clone(),
            price: described.price.clone(),
            ..Model::clone(own)
        })
    }

    /// Returns the configured models, without aliases.
    pub fn named(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.named.values()
    }

    /// Returns the template for raw Bedrock IDs, if they are accepted.
    pub fn raw(&self) -> Option<&Arc<Model>> {
        self.raw.as_ref()
    }

    /// Lists all names: configured models first, then aliases.
    pub fn list(&self) -> impl Iterator<Item = ModelListing<'_>> {
        let named = self.named.iter().map(|(name, model)| ModelListing {
            name,
            model,
            alias: false,
            use_cases: &model.use_cases,
        });
        let aliases = self.aliases.iter().map(|(name, (model, use_cases))| {
            let use_cases = if use_cases.is_empty() {
                &model.use_cases
            } else {
                use_cases
            };
            ModelListing {
                name,
                model,
                alias: true,
                use_cases,
            }
        });
        named.chain(aliases)
    }
}

/// One entry of [`Models::list`].
#[derive(Clone, Copy, Debug)]
pub struct ModelListing<'a> {
    /// The configured name or the alias.
    pub name: &'a str,
    pub model: &'a Arc<Model>,
    /// True if `name` is an alias.
    pub alias: bool,
    /// The alias's own use cases, or else those of the model.
    pub use_cases: &'a [String],
}

fn is_governed(model: &Model, caller: &Caller) -> bool {
    let mut own_limits = caller.model_limits.iter();
    own_limits.any(|(name, _)| *name == model.name)
        || !model.budgets.is_empty()
        || model.limits != Limits::default()
        || model.options.guardrail.is_some()
}

fn unknown(name: &str) -> Error {
    // Truncated because the client chooses the name, and could make the reply arbitrarily long.
    let shown: String = name.chars().take(100).collect();
    Error::new(
        Kind::NotFound,
        format!(
            "The model '{shown}' does not exist or you do not have access to it. GET /v1/models lists the available models."
        ),
    )
    .with_code("model_not_found")
    .with_param("model")
}

/// Returns true if `name` has a form of `ConversationalModelId` in the service model: `vendor.name…`, with or without a
/// geo prefix, or an ARN of Bedrock. The name becomes part of a URL, so everything else is rejected, including paths
/// and escapes.
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
    fn only_bedrock_ids_and_arns_are_raw_model_ids() {
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
}
