//! Which model stands behind an ARN that does not tell: application inference profiles, provisioned throughput, custom
//! models and their deployments. Three reads of the control plane, which are not worth an SDK of their own.

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

/// How long an answer holds, and how long a failure.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
const UNKNOWN_FOR: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(3);
/// ARNs that are remembered; a client may send any.
const REMEMBERED: usize = 1000;

/// Looks ARNs up, and remembers what was found. Cheap to clone.
#[derive(Clone)]
pub struct ProfileLookup(Arc<Inner>);

struct Inner {
    clients: Arc<Clients>,
    http: OnceLock<Option<reqwest::Client>>,
    known: Cache<String, (Instant, Option<String>)>,
}

/// The members that lead on, of all three replies.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Described {
    models: Vec<Member>,
    foundation_model_arn: Option<String>,
    base_model_arn: Option<String>,
    model_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    model_arn: String,
}

impl ProfileLookup {
    pub fn new(clients: Arc<Clients>) -> Self {
        Self(Arc::new(Inner {
            clients,
            http: OnceLock::new(),
            known: Cache::new(REMEMBERED),
        }))
    }

    /// The catalogue's id of the model behind `target`; none if it is no such ARN, or AWS does not say.
    pub async fn base(&self, target: &Target) -> Option<String> {
        path(&target.id)?;
        if let Some((at, base)) = self.0.known.get(&target.id) {
            let holds = if base.is_some() {
                KNOWN_FOR
            } else {
                UNKNOWN_FOR
            };
            if at.elapsed() < holds {
                return base;
            }
        }
        let base = match self.look_up(target).await {
            Ok(base) => base,
            Err(error) => {
                tracing::warn!(
                    target_model = target.id,
                    error,
                    "what stands behind this ARN could not be learned; name its base_model, or allow the role to read it"
                );
                None
            }
        };
        self.0
            .known
            .insert(target.id.clone(), (Instant::now(), base.clone()));
        base
    }

    async fn look_up(&self, target: &Target) -> Result<Option<String>, String> {
        let mut arn = target.id.clone();
        // A deployment leads to a custom model, and that to its base.
        for _ in 0..3 {
            if let Some(base) = catalogue::parse_reference(&arn).base {
                return Ok(Some(base.to_owned()));
            }
            let Some(path) = path(&arn) else {
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

    async fn get(&self, region: &str, path: &str) -> Result<Described, String> {
        let url = format!("{}{path}", self.0.clients.control_plane(region).await);
        let credentials = self.0.clients.credentials().await?;
        let http = self
            .0
            .http
            .get_or_init(|| reqwest::Client::builder().timeout(TIMEOUT).build().ok());
        let mut request = http.as_ref().ok_or("TLS cannot be set up")?.get(&url);
        for (name, value) in signature(&url, region, &credentials)? {
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

/// The path that describes what `arn` names. Identifiers are ARNs, escaped: they hold `/` and `:`.
fn path(arn: &str) -> Option<String> {
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

fn signature(
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
    use super::path;

    #[test]
    fn only_what_hides_its_model_is_looked_up() {
        let arn = |resource: &str| format!("arn:aws:bedrock:us-east-1:123456789012:{resource}");
        let escaped =
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc";
        let profile = arn("application-inference-profile/abc");
        assert_eq!(
            path(&profile),
            Some(format!("/inference-profiles/{escaped}"))
        );
        assert!(
            path(&arn("custom-model/a/b")).is_some_and(|path| path.starts_with("/custom-models/"))
        );
        for other in [
            "inference-profile/us.amazon.nova-lite-v1:0",
            "prompt/ABCDE:1",
            "imported-model/abc",
        ] {
            assert_eq!(path(&arn(other)), None, "{other}");
        }
        assert_eq!(path("amazon.nova-lite-v1:0"), None);
    }
}
