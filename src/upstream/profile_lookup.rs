//! Resolves ARNs that do not name their model: application inference profiles, provisioned throughput, custom models
//! and their deployments. Of imported models, looks up the architecture.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

use super::{Clients, transport::DescribeError};
use crate::{catalogue, model::Target};

/// Time that a resolved ARN stays in the cache.
const RESOLVED_TTL: Duration = Duration::from_secs(3600);
/// Time that a refusal stays in the cache.
const REFUSED_TTL: Duration = Duration::from_secs(300);
/// Time that a transient failure stays in the cache, so that calls that arrive together share it. It doubles with each
/// failure up to the maximum, because a network without a way to the control plane would delay every call.
const FAILED_TTL: Duration = Duration::from_secs(1);
const MAX_FAILED_TTL: Duration = Duration::from_secs(60);
/// Capacity of the cache, in ARNs. Bounded because clients may send any ARN.
const CACHE_CAPACITY: usize = 1000;

/// Resolves ARNs to base models and caches the results. Cheap to clone.
#[derive(Clone)]
pub struct ProfileLookup(Arc<Inner>);

struct Inner {
    clients: Arc<Clients>,
    /// The lock of an ARN is held while it is looked up, so that calls that arrive together share one lookup.
    cache: Cache<String, Arc<Mutex<Entry>>>,
}

/// What is known about an ARN.
#[derive(Default)]
struct Entry {
    /// The base model, or the architecture of an imported model.
    found: Option<String>,
    /// When the result of the last lookup expires.
    until: Option<Instant>,
    /// The number of lookups that have failed since the last result.
    failures: u32,
}

/// The members of all describe replies that lead to the base model.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceDescription {
    models: Vec<ProfileModel>,
    foundation_model_arn: Option<String>,
    base_model_arn: Option<String>,
    model_arn: Option<String>,
    model_architecture: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileModel {
    model_arn: String,
}

/// AWS could not be asked what an ARN refers to.
#[derive(Clone, Copy, Debug)]
pub struct Unresolved;

impl ProfileLookup {
    /// Creates a lookup that uses the credentials and endpoint of `clients`.
    pub fn new(clients: Arc<Clients>) -> Self {
        Self(Arc::new(Inner {
            clients,
            cache: Cache::new(CACHE_CAPACITY),
        }))
    }

    /// Reports whether AWS can be asked for the model behind the ARN `id`.
    pub fn knows(id: &str) -> bool {
        describe_path(id).is_some()
    }

    /// Returns the catalogue id of the model behind `target`, or `None` if `target` is no such ARN, or AWS refuses to
    /// describe it.
    ///
    /// # Errors
    /// If AWS cannot be asked at the moment.
    pub async fn base(&self, target: &Target) -> Result<Option<String>, Unresolved> {
        match describe_path(&target.id) {
            Some(_) => self.found(target).await,
            None => Ok(None),
        }
    }

    /// Returns the architecture of an imported model, or `None` if `target` is none, or AWS does not say.
    pub async fn architecture(&self, target: &Target) -> Option<String> {
        match target.is_imported() {
            true => self.found(target).await.ok().flatten(),
            false => None,
        }
    }

    async fn found(&self, target: &Target) -> Result<Option<String>, Unresolved> {
        let new = || Ok::<_, std::convert::Infallible>(Arc::default());
        let entry = self
            .0
            .cache
            .get_or_insert_with(&target.id, new)
            .unwrap_or_else(|never| match never {});
        let mut entry = entry.lock().await;
        if entry.until.is_none_or(|until| until <= Instant::now()) {
            // Boxed, because few calls name such an ARN, and all would reserve the space.
            Box::pin(self.renew(&mut entry, target)).await;
        }
        match &entry.found {
            None if entry.failures > 0 => Err(Unresolved),
            found => Ok(found.clone()),
        }
    }

    async fn renew(&self, entry: &mut Entry, target: &Target) {
        let warn = |reason: &str, advice: &str| {
            let target_model = &target.id;
            tracing::warn!(
                target_model,
                reason,
                "cannot resolve the model behind this ARN; {advice}"
            );
        };
        let ttl = match self.look_up(target).await {
            Ok(found) => {
                (entry.found, entry.failures) = (found, 0);
                RESOLVED_TTL
            }
            Err(DescribeError::Denied(reason) | DescribeError::Refused(reason)) => {
                let advice = match target.is_imported() {
                    true => "set facts.architecture, or allow bedrock:GetImportedModel",
                    false => "set base_model, or allow the role to describe the resource",
                };
                warn(&reason, advice);
                (entry.found, entry.failures) = (None, 0);
                REFUSED_TTL
            }
            // What an ARN refers to rarely changes, so an old result is better than none.
            Err(DescribeError::Transient(reason)) => {
                warn(&reason, "a later call tries again");
                let ttl = FAILED_TTL * 2u32.saturating_pow(entry.failures).min(60);
                entry.failures += 1;
                ttl.min(MAX_FAILED_TTL)
            }
        };
        entry.until = Some(Instant::now() + ttl);
    }

    async fn look_up(&self, target: &Target) -> Result<Option<String>, DescribeError> {
        if target.is_imported() {
            let path = format!("/imported-models/{}", escaped(&target.id));
            return Ok(self.describe(target, &path).await?.model_architecture);
        }
        let mut arn = target.id.clone();
        // A deployment refers to a custom model, which refers to its base model.
        for _ in 0..3 {
            if let Some(base) = catalogue::parse_reference(&arn).base {
                return Ok(Some(base.to_owned()));
            }
            let Some(path) = describe_path(&arn) else {
                return Ok(None);
            };
            let described = self.describe(target, &path).await?;
            let first = described
                .models
                .into_iter()
                .next()
                .map(|member| member.model_arn);
            let next = first
                .or(described.foundation_model_arn)
                .or(described.base_model_arn)
                .or(described.model_arn);
            let none = || DescribeError::Refused("the reply names no model".to_owned());
            arn = next.ok_or_else(none)?;
        }
        Ok(None)
    }

    async fn describe(
        &self,
        target: &Target,
        path: &str,
    ) -> Result<ResourceDescription, DescribeError> {
        let body = self.0.clients.describe(&target.region, path).await?;
        serde_json::from_slice(&body).map_err(|error| DescribeError::Refused(error.to_string()))
    }
}

/// Percent-encodes an ARN, because it contains `/` and `:`.
fn escaped(arn: &str) -> String {
    arn.replace(':', "%3A").replace('/', "%2F")
}

/// Returns the control plane's path that describes the resource `arn`, or `None` if the resource has no base model to
/// look up.
fn describe_path(arn: &str) -> Option<String> {
    let resource = arn.strip_prefix("arn:")?.splitn(5, ':').nth(4)?;
    let collection = match resource.split_once('/')?.0 {
        "application-inference-profile" => "inference-profiles",
        "provisioned-model" => "provisioned-model-throughput",
        "custom-model" => "custom-models",
        "custom-model-deployment" => "model-customization/custom-model-deployments",
        _ => return None,
    };
    Some(format!("/{collection}/{}", escaped(arn)))
}

#[cfg(test)]
mod tests {
    use super::describe_path;

    #[test]
    fn only_arns_that_do_not_name_their_model_are_looked_up() {
        let arn = |resource: &str| format!("arn:aws:bedrock:us-east-1:123456789012:{resource}");
        let escaped =
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc";
        let profile = arn("application-inference-profile/abc");
        assert_eq!(
            describe_path(&profile),
            Some(format!("/inference-profiles/{escaped}"))
        );
        assert!(
            describe_path(&arn("custom-model/a/b"))
                .is_some_and(|path| path.starts_with("/custom-models/"))
        );
        for other in [
            "inference-profile/us.amazon.nova-lite-v1:0",
            "prompt/ABCDE:1",
            "imported-model/abc",
        ] {
            assert_eq!(describe_path(&arn(other)), None, "{other}");
        }
        assert_eq!(describe_path("amazon.nova-lite-v1:0"), None);
    }
}
