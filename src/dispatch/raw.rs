//! Raw Bedrock IDs: their form, and the configured model that governs each.
//!
//! A raw ID of a configured model is another spelling of that model, so it has the model's settings. Otherwise a client
//! could avoid a limit, a budget or a guardrail by its choice of spelling.

mod places;

use std::sync::Arc;

use self::places::{raw_model, with_target};
use super::models::{Models, unknown};
use crate::{
    call::Caller,
    catalogue,
    error::{Error, Kind},
    model::{Model, Target},
    upstream::ProfileLookup,
};

impl Models {
    /// Resolves the raw ID `name` for `caller`. AWS is asked for the model behind an ARN that does not name it.
    ///
    /// # Errors
    /// 404 if `name` is no raw ID that the caller may use. 403 if a configured model that the caller may not use governs
    /// the ID, if it is unknown which one does, or if calls may be answered outside of `aws.residency`.
    pub(super) async fn resolve_raw(
        &self,
        name: &str,
        caller: &Caller,
        lookup: &ProfileLookup,
    ) -> Result<Arc<Model>, Error> {
        let (template, target) = self.raw_target(name, caller)?;
        let base = match base_of(&target) {
            None if hides_its_model(&target.id) => lookup.base(&target).await.ok().flatten(),
            base => base,
        };
        let governing = self.governing(&target, base, caller, lookup).await?;
        within_residency(template, governing, &target)?;
        if let Some(governing) = governing {
            return Ok(with_target(governing, target));
        }
        let described = target.clone();
        Ok(Arc::new(raw_model(template, target, &described)))
    }

    /// Resolves the raw ID `name` for `caller`, as [`resolve_raw`](Self::resolve_raw) does, if `base` is known to be the
    /// model behind it.
    ///
    /// # Errors
    /// As [`resolve_raw`](Self::resolve_raw).
    pub(super) async fn resolve_listed(
        &self,
        name: &str,
        base: Option<&str>,
        caller: &Caller,
        lookup: &ProfileLookup,
    ) -> Result<Arc<Model>, Error> {
        let (template, target) = self.raw_target(name, caller)?;
        let own = base_of(&target);
        let base = own
            .clone()
            .or_else(|| catalogue::base(base?).map(str::to_owned));
        let governing = self
            .governing(&target, base.clone(), caller, lookup)
            .await?;
        within_residency(template, governing, &target)?;
        if let Some(governing) = governing {
            return Ok(with_target(governing, target));
        }
        let described = match (own, base) {
            (None, Some(base)) => Target::new(base, &target.region),
            _ => target.clone(),
        };
        Ok(Arc::new(raw_model(template, target, &described)))
    }

    /// Returns the model that calls of `target` by its raw ID reach, as far as the catalogue knows without asking AWS. `None`
    /// if raw IDs are not accepted.
    pub fn known_raw(&self, target: &Target) -> Option<Arc<Model>> {
        let template = self.raw()?;
        let base = base_of(target);
        let is_same = |model: &&Arc<Model>| {
            let own = model.base.clone().or_else(|| base_of(model.target()));
            let bases = own.as_ref().zip(base.as_ref());
            model.target().id == target.id || bases.is_some_and(|(own, base)| same_model(own, base))
        };
        // The first of the smallest, as the gateway prefers.
        let governing = self
            .named()
            .filter(is_same)
            .min_by_key(|model| model.target().id != target.id);
        Some(match governing {
            Some(model) => with_target(model, target.clone()),
            None => Arc::new(raw_model(template, target.clone(), target)),
        })
    }

    /// Returns the template of raw IDs, and the target `name`.
    ///
    /// # Errors
    /// 404 if `name` is no raw ID that the caller may use.
    fn raw_target(&self, name: &str, caller: &Caller) -> Result<(&Arc<Model>, Target), Error> {
        let template = self.raw().filter(|_| looks_like_bedrock_id(name));
        let template = template.ok_or_else(|| unknown(name))?;
        let target = Target::new(name, &template.target().region);
        // SDK clients exist only for the configured regions. Names such as `gpt-4.1` have the form of a raw ID too, so a
        // missing permission is a 404.
        if !self.reaches(&target.region) || !caller.may_use(name, true) {
            return Err(unknown(name));
        }
        Ok((template, target))
    }

    /// Returns the configured model of which `target` is another spelling. Of several, the one with the same target is
    /// preferred, then the first in the order of names. `base` is the model behind the target, if it is known.
    async fn governing(
        &self,
        target: &Target,
        base: Option<String>,
        caller: &Caller,
        lookup: &ProfileLookup,
    ) -> Result<Option<&Arc<Model>>, Error> {
        if base.is_none()
            && hides_its_model(&target.id)
            && self
                .named()
                .any(|model| has_rules(model) && model.target().id != target.id)
        {
            return Err(unclear("the model behind the ARN is unknown"));
        }
        let mut same = Vec::new();
        for model in self.named() {
            let own = match model.base.clone().or_else(|| base_of(model.target())) {
                None if has_rules(model) && is_described(&model.target().id) => {
                    let own = lookup.base(model.target()).await.ok().flatten();
                    if own.is_none() {
                        return Err(unclear(
                            "the model behind a configured ARN is unknown; set base_model",
                        ));
                    }
                    own
                }
                own => own,
            };
            let is_same = |base: &String| own.as_ref().is_some_and(|own| same_model(own, base));
            if model.target().id == target.id || base.as_ref().is_some_and(is_same) {
                same.push(model);
            }
        }
        // Stable, so the order of names remains.
        same.sort_by_key(|model| model.target().id != target.id);
        let usable = same.iter().find(|model| caller.may_use(&model.name, false));
        match (usable, same.as_slice()) {
            (Some(model), _) | (None, [model]) => Ok(Some(model)),
            (None, []) => Ok(None),
            (None, _) => Err(unclear(
                "several configured models have this target, and the key may use none of them",
            )),
        }
    }
}

/// The model that `target` names; `None` if it is an ARN that does not name it.
fn base_of(target: &Target) -> Option<String> {
    catalogue::base(&target.id).map(str::to_owned)
}

/// Compares two base models. The variants of a model that the catalog does not know end with `:` and a length.
fn same_model(one: &str, other: &str) -> bool {
    let stem = |id: &str| match id.rsplit_once("-v") {
        Some((bare, version)) => {
            let version = version.split(':').next().unwrap_or_default();
            format!("{bare}-v{version}").to_ascii_lowercase()
        }
        None => id.to_ascii_lowercase(),
    };
    stem(one) == stem(other)
}

/// Reports whether the model has settings that another spelling of its target could avoid.
fn has_rules(model: &Model) -> bool {
    !model.limits.is_none() || !model.budgets.is_empty() || model.options.guardrail.is_some()
}

/// Reports whether `id` is an ARN that leads to a model which it does not name. The weights of an imported model are the
/// account's own.
fn hides_its_model(id: &str) -> bool {
    id.starts_with("arn:")
        && catalogue::parse_reference(id).base.is_none()
        && !id.contains(":imported-model/")
}

/// Reports whether AWS can be asked for the model behind `id`. A managed prompt has a text of its own, so it is no other
/// spelling of a model.
fn is_described(id: &str) -> bool {
    hides_its_model(id) && ProfileLookup::knows(id)
}

/// Checks that calls of `target` stay where `aws.residency` demands. An operator who configures the same id allows it.
///
/// # Errors
/// 403 if they may be answered elsewhere.
fn within_residency(
    template: &Model,
    governing: Option<&Arc<Model>>,
    target: &Target,
) -> Result<(), Error> {
    if governing.is_some_and(|model| model.target().id == target.id) {
        return Ok(());
    }
    let residency = template.options.residency;
    let within = catalogue::within_residency(&target.id, &target.region, residency);
    within.map_err(|reason| {
        let text = "This gateway keeps calls in its part of the world, and this inference profile does not. Use the id of the \
                    model without the prefix.";
        Error::new(Kind::PermissionDenied, text)
            .with_code("model_not_allowed")
            .with_param("model")
            .with_detail(reason)
    })
}

fn unclear(reason: &'static str) -> Error {
    Error::new(
        Kind::PermissionDenied,
        "The gateway cannot determine which configured model this Bedrock id belongs to, so it cannot apply that model's \
         settings. GET /v1/models lists the models that this key may use.",
    )
    .with_code("model_not_allowed")
    .with_param("model")
    .with_detail(reason)
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
mod tests;
