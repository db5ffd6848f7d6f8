//! The names that requests may use for models: configured names, aliases and raw Bedrock IDs.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    call::Caller,
    error::{Error, Kind},
    model::Model,
    operation::moderate,
    upstream::ProfileLookup,
};

/// All models, by the names that requests may use.
#[derive(Clone, Debug)]
pub struct Models {
    named: BTreeMap<String, Arc<Model>>,
    aliases: BTreeMap<String, (Arc<Model>, Vec<String>)>,
    /// The template for raw Bedrock IDs, or `None` if `raw_model_ids = false`.
    raw: Option<Arc<Model>>,
    /// The gateway's own region, where an ARN can be called although no model has the region.
    home: String,
    /// The model for moderations, which needs no configuration.
    moderation: Option<Arc<Model>>,
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
            home: String::new(),
            moderation: None,
        }
    }

    /// Sets the gateway's own region.
    #[must_use]
    pub fn with_home(self, region: &str) -> Self {
        Self {
            home: region.to_owned(),
            ..self
        }
    }

    /// Reports whether a raw ARN of `region` can be called.
    pub(super) fn reaches(&self, region: &str) -> bool {
        let raw = self.raw.iter().flat_map(|raw| raw.targets.iter());
        self.home == region || raw.map(|target| &target.region).any(|one| one == region)
    }

    /// Adds the model for moderations. A configured model of its name takes precedence.
    #[must_use]
    pub fn with_moderation(self, model: Model) -> Self {
        Self {
            moderation: Some(Arc::new(model)),
            ..self
        }
    }

    /// Resolves a configured name or an alias.
    ///
    /// # Errors
    /// 404 if no model has this name.
    pub fn resolve(&self, name: &str) -> Result<Arc<Model>, Error> {
        let alias = || self.aliases.get(name).map(|(model, _)| model);
        let is_moderation =
            |name: &str| name == moderate::MODEL || moderate::OTHER_NAMES.contains(&name);
        let built_in = || self.moderation.as_ref().filter(|_| is_moderation(name));
        let model = self.named.get(name).or_else(alias).or_else(built_in);
        model.cloned().ok_or_else(|| unknown(name))
    }

    /// Resolves a name to a model that `caller` may use. An alias has the limits, permissions and labels of its model, and
    /// a raw ID those of the configured model that it belongs to.
    ///
    /// # Errors
    /// 404 if no model has this name, 403 if the caller lacks permission for a configured model. A raw ID without
    /// permission is a 404.
    pub(super) async fn resolve_for(
        &self,
        name: &str,
        caller: &Caller,
        lookup: &ProfileLookup,
    ) -> Result<Arc<Model>, Error> {
        let Ok(model) = self.resolve(name) else {
            return self.resolve_raw(name, caller, lookup).await;
        };
        match caller.may_use(&model.name, false) {
            true => Ok(model),
            false => Err(Error::new(
                Kind::PermissionDenied,
                "This key may not use this model. GET /v1/models lists the models that it may use.",
            )
            .with_code("model_not_allowed")
            .with_param("model")),
        }
    }

    /// Returns the configured models, without aliases.
    pub fn named(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.named.values()
    }

    /// Returns the models that need no configuration. They are not listed.
    pub fn built_in(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.moderation.iter()
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

/// The error for a name that no model has.
pub(super) fn unknown(name: &str) -> Error {
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
