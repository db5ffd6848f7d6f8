//! Resolves ARNs that do not name their model: application inference profiles, provisioned throughput, custom models
//! and their deployments. The lookups are plain signed GET requests to the Bedrock control plane, because the control
//! plane's SDK is a large dependency for four read operations.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use quick_cache::sync::Cache;
use serde::Deserialize;

use super::Clients;
use crate::{catalogue, model::Target};

/// Time that a resolved ARN stays in the cache.
const RESOLVED_TTL: Duration = Duration::from_secs(3600);
/// Time that a failed lookup stays in the cache.
const FAILED_TTL: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(3);
/// Capacity of the cache, in ARNs. Bounded because clients may send any ARN.
const CACHE_CAPACITY: usize = 1000;

/// Resolves ARNs to base models and caches the results. Cheap to clone.
#[derive(Clone)]
pub struct ProfileLookup(Arc<Inner>);

struct Inner {
    clients: Arc<Clients>,
    http: OnceLock<Option<reqwest::Client>>,
    /// When each ARN was looked up, and its base model.
    cache: Cache<String, (Instant, Option<String>)>,
}

/// The members of all describe replies that lead to the base model.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceDescription {
    models: Vec<ProfileModel>,
    foundation_model_arn: Option<String>,
    base_model_arn: Option<String>,
    model_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileModel {
    model_arn: String,
}

impl ProfileLookup {
    /// Creates a lookup that uses the credentials and endpoint of `clients`.
    pub fn new(clients: Arc<Clients>) -> Self {
        Self(Arc::new(Inner {
            clients,
            http: OnceLock::new(),
            cache: Cache::new(CACHE_CAPACITY),
        }))
    }

    /// Reports whether AWS can be asked for the model behind the ARN `id`.
    pub fn knows(id: &str) -> bool {
        describe_path(id).is_some()
    }

    /// Returns the catalogue id of the model behind `target`, or `None` if `target` is no such ARN or the lookup fails.
    pub async fn base(&self, target: &Target) -> Option<String> {
        describe_path(&target.id)?;
        if let Some((at, base)) = self.0.cache.get(&target.id) {
            let ttl = if base.is_some() {
                RESOLVED_TTL
            } else {
                FAILED_TTL
            };
            if at.elapsed() < ttl {
                return base;
            }
        }
        let base = match self.look_up(target).await {
            Ok(base) => base,
            Err(error) => {
                tracing::warn!(
                    target_model = target.id,
                    error,
                    "cannot resolve the model behind this ARN; set base_model, or allow the role to describe the resource"
                );
                None
            }
        };
        self.0
            .cache
            .insert(target.id.clone(), (Instant::now(), base.clone()));
        base
    }

    async fn look_up(&self, target: &Target) -> Result<Option<String>, String> {
        let mut arn = target.id.clone();
        // A deployment refers to a custom model, which refers to its base model.
        for _ in 0..3 {
            if let Some(base) = catalogue::parse_reference(&arn).base {
                return Ok(Some(base.to_owned()));
            }
            let Some(path) = describe_path(&arn) else {
                return Ok(None);
            };
            let described = self.get(&target.region, &path).await?;
            let first = described
                .models
                .into_iter()
                .next()
                .map(|member| member.model_arn);
            let next = first
                .or(described.foundation_model_arn)
                .or(described.base_model_arn)
                .or(described.model_arn);
            arn = next.ok_or("the reply names no model")?;
        }
        Ok(None)
    }

    async fn get(&self, region: &str, path: &str) -> Result<ResourceDescription, String> {
        let url = format!("{}{path}", self.0.clients.control_plane(region).await);
        let credentials = self.0.clients.credentials().await?;
        let http = self
            .0
            .http
            .get_or_init(|| reqwest::Client::builder().timeout(TIMEOUT).build().ok());
        let mut request = http.as_ref().ok_or("TLS cannot be set up")?.get(&url);
        for (name, value) in signed_headers(&url, region, &credentials)? {
            request = request.header(name, value);
        }
        let reply = request
            .send()
            .await
            .map_err(|error| error.without_url().to_string())?;
        let status = reply.status();
        let body = reply
            .bytes()
            .await
            .map_err(|error| error.without_url().to_string())?;
        match status.is_success() {
            true => serde_json::from_slice(&body).map_err(|error| error.to_string()),
            false => Err(format!("status {}", status.as_u16())),
        }
    }
}

/// Returns the control plane's path that describes the resource `arn`, or `None` if the resource has no base model to
/// look up. The ARN is percent-encoded, because it contains `/` and `:`.
fn describe_path(arn: &str) -> Option<String> {
    let resource = arn.strip_prefix("arn:")?.splitn(5, ':').nth(4)?;
    let collection = match resource.split_once('/')?.0 {
        "application-inference-profile" => "inference-profiles",
        "provisioned-model" => "provisioned-model-throughput",
        "custom-model" => "custom-models",
        "custom-model-deployment" => "model-customization/custom-model-deployments",
        _ => return None,
    };
    Some(format!(
        "/{collection}/{}",
        arn.replace(':', "%3A").replace('/', "%2F")
    ))
}

/// Returns the SigV4 headers for a GET of `url`.
fn signed_headers(
    url: &str,
    region: &str,
    credentials: &Credentials,
) -> Result<Vec<(String, String)>, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("bedrock")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| text(&error))?;
    let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(&[]))
        .map_err(|e| text(&e))?;
    let (instructions, _) = sign(request, &params.into())
        .map_err(|error| text(&error))?
        .into_parts();
    let (headers, _) = instructions.into_parts();
    Ok(headers
        .iter()
        .map(|header| (header.name().to_owned(), header.value().to_owned()))
        .collect())
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
