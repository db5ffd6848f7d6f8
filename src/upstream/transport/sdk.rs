//! The transport of the AWS SDK. The SDK's client signs and sends serialized bodies; its typed inputs and outputs stay
//! empty.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, identity::IdentityCache, sts::AssumeRoleProvider,
};
use aws_credential_types::{Credentials, provider::ProvideCredentials};
use aws_sdk_bedrockagentruntime as agent;
use aws_sdk_bedrockruntime::{
    Client,
    config::{StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig},
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use super::{
    super::Request,
    Response, SendError, ServiceOperation, Transport,
    client_slot::ClientSlot,
    sdk_interceptor::{TakeReply, describe, send_error},
};
use crate::{call::Secret, model::Target};

/// How to connect to AWS. Unset members come from the SDK's default chain and the `AWS_*` variables.
#[derive(Clone, Debug, Default)]
pub struct AwsSettings {
    /// Endpoint for all Bedrock services, instead of the region's.
    pub endpoint_url: Option<String>,
    /// Named profile of the shared AWS config files.
    pub profile: Option<String>,
    /// Role to assume before calling Bedrock.
    pub assume_role: Option<AssumeRole>,
    /// Access key id and secret access key that replace the default chain. The embedded simulator uses them.
    pub static_credentials: Option<(String, Secret)>,
}

/// A role that the gateway assumes before it calls Bedrock.
#[derive(Clone, Debug)]
pub struct AssumeRole {
    /// ARN of the role.
    pub arn: String,
    /// External id that the role's trust policy requires.
    pub external_id: Option<Secret>,
    /// `RoleSessionName`, which appears in CloudTrail.
    pub session_name: String,
}

/// The SDK clients of every region. Each is created at its first use, so that startup does not wait for AWS.
pub struct Clients {
    settings: AwsSettings,
    base: OnceCell<SdkConfig>,
    default_region: String,
    by_region: HashMap<String, RegionClients>,
    /// Expiry of the last credentials that [`Clients::check_credentials`] got.
    credentials_expiry: Mutex<Option<SystemTime>>,
}

/// The clients of one region.
#[derive(Default)]
struct RegionClients {
    /// For models.
    runtime: Mutex<ClientSlot<Client>>,
    /// For Knowledge Bases.
    agent: Mutex<ClientSlot<agent::Client>>,
}

/// The media type of InvokeModel requests and replies.
const JSON: &str = "application/json";

/// Minimum time between refreshes of a model client: when credentials expire, one refresh serves all failed calls.
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// Minimum time between refreshes of a region's Knowledge Base client. Retrieve also refreshes on denied permissions,
/// which a refresh does not fix, and each refresh discards the client's connections.
const REFRESH_RETRIEVE_EVERY: Duration = Duration::from_secs(60);

impl Clients {
    /// Creates the clients for `regions`, which must contain the region of every configured target.
    pub fn new(
        settings: AwsSettings,
        default_region: String,
        regions: impl IntoIterator<Item = String>,
    ) -> Self {
        let by_region = regions
            .into_iter()
            .map(|region| (region, RegionClients::default()))
            .collect();
        Self {
            settings,
            base: OnceCell::new(),
            default_region,
            by_region,
            credentials_expiry: Mutex::default(),
        }
    }

    /// Checks that credentials are available, for the readiness probe. Does not call Bedrock.
    ///
    /// # Errors
    /// The reason, for the log.
    pub async fn check_credentials(&self) -> Result<(), String> {
        let Some(provider) = self.base().await.credentials_provider() else {
            return Err("no credentials provider".to_owned());
        };
        match provider.provide_credentials().await {
            Ok(credentials) => {
                // Credentials without an expiry count as valid for a year.
                let until = credentials
                    .expiry()
                    .unwrap_or_else(|| SystemTime::now() + Duration::from_secs(365 * 86_400));
                *self
                    .credentials_expiry
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(until);
                Ok(())
            }
            // The credentials service may fail for a while; the last credentials are valid until their expiry.
            Err(_)
                if self
                    .credentials_expiry
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .is_some_and(|until| until > SystemTime::now()) =>
            {
                Ok(())
            }
            Err(error) => Err(describe(&error)),
        }
    }

    /// Returns credentials, for requests that are sent without an SDK client.
    ///
    /// # Errors
    /// The reason, for the log.
    pub async fn credentials(&self) -> Result<Credentials, String> {
        let provider = self
            .base()
            .await
            .credentials_provider()
            .ok_or("no credentials provider")?;
        provider
            .provide_credentials()
            .await
            .map_err(|error| describe(&error))
    }

    /// Returns the base URL of the Bedrock control plane in `region`, without a trailing slash.
    pub async fn control_plane(&self, region: &str) -> String {
        let endpoint = self
            .settings
            .endpoint_url
            .clone()
            .or_else(|| std::env::var("AWS_ENDPOINT_URL_BEDROCK").ok());
        let endpoint = endpoint.or_else(|| {
            self.base
                .get()
                .and_then(|base| base.endpoint_url().map(str::to_owned))
        });
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        endpoint.map_or_else(
            || format!("https://bedrock.{region}.amazonaws.com{suffix}"),
            |url| url.trim_end_matches('/').to_owned(),
        )
    }

    /// Creates every client ahead of the first request. `knowledge_bases` are the regions that also need an agent client.
    pub async fn warm(&self, knowledge_bases: &BTreeSet<String>) {
        for region in self.by_region.keys() {
            if let Err(error) = self.client(region).await {
                tracing::warn!(?error, region, "cannot create the Bedrock client");
            }
            if knowledge_bases.contains(region)
                && let Err(error) = self.agent(region).await
            {
                tracing::warn!(?error, region, "cannot create the Knowledge Bases client");
            }
        }
        // Ignored because readiness and the first request report the failure.
        let _ = self.check_credentials().await;
    }

    async fn base(&self) -> &SdkConfig {
        self.base
            .get_or_init(|| load(&self.settings, &self.default_region))
            .await
    }

    fn region_clients(&self, region: &str) -> Result<&RegionClients, SendError> {
        self.by_region
            .get(region)
            .ok_or_else(|| SendError::Other(format!("no client for region {region}")))
    }

    async fn client(&self, region: &str) -> Result<Client, SendError> {
        let (region_clients, base) = (self.region_clients(region)?, self.base().await);
        Ok(ClientSlot::get(&region_clients.runtime, |fresh| {
            let mut config = aws_sdk_bedrockruntime::config::Builder::from(base)
                .region(Region::new(region.to_owned()));
            // Not set in the base config, because STS calls for the assumed role use it too.
            if let Some(url) = &self.settings.endpoint_url {
                config = config.endpoint_url(url);
            }
            if fresh {
                config = config.identity_cache(IdentityCache::lazy().build());
            }
            Client::from_conf(config.build())
        }))
    }

    /// Returns the Knowledge Base client of a region.
    async fn agent(&self, region: &str) -> Result<agent::Client, SendError> {
        let (region_clients, base) = (self.region_clients(region)?, self.base().await);
        Ok(ClientSlot::get(&region_clients.agent, |fresh| {
            let mut config =
                agent::config::Builder::from(base).region(Region::new(region.to_owned()));
            if let Some(url) = &self.settings.endpoint_url {
                config = config.endpoint_url(url);
            }
            if fresh {
                config = config.identity_cache(IdentityCache::lazy().build());
            }
            agent::Client::from_conf(config.build())
        }))
    }
}

async fn load(settings: &AwsSettings, region: &str) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        // The gateway has its own retries and idle timeouts, which metrics and budgets account for.
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .build(),
        );
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some((id, secret)) = &settings.static_credentials {
        loader = loader.credentials_provider(aws_credential_types::Credentials::new(
            id,
            secret.expose(),
            None,
            None,
            "static",
        ));
    }
    let base = loader.load().await;
    let Some(role) = &settings.assume_role else {
        return base;
    };
    let mut provider = AssumeRoleProvider::builder(&role.arn)
        .session_name(&role.session_name)
        .configure(&base);
    if let Some(external_id) = &role.external_id {
        provider = provider.external_id(external_id.expose());
    }
    let provider = provider.build().await;
    base.into_builder()
        .credentials_provider(
            aws_credential_types::provider::SharedCredentialsProvider::new(provider),
        )
        .build()
}

impl Transport for Clients {
    fn send<'a>(
        &'a self,
        request: Request,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Response, SendError>> {
        Box::pin(async move {
            let Request {
                operation,
                headers,
                body,
            } = request;
            let take = TakeReply::default();
            // Runs before signing. With the SDK's own `content-length`, hyper would cut the body.
            let replace_body = move |request: &mut HttpRequest| {
                for (name, value) in &headers {
                    if let Ok(value) = value.to_str() {
                        request
                            .headers_mut()
                            .insert(name.as_str().to_owned(), value.to_owned());
                    }
                }
                request
                    .headers_mut()
                    .insert("content-length", body.len().to_string());
                *request.body_mut() = SdkBody::from(body.clone());
            };
            let failure = match operation {
                ServiceOperation::Converse => {
                    let client = self.client(&target.region).await?;
                    let call = client.converse().model_id(&target.id).customize();
                    let call = call.mutate_request(replace_body).interceptor(take.clone());
                    call.send().await.err().map(send_error)
                }
                ServiceOperation::ConverseStream => {
                    let client = self.client(&target.region).await?;
                    let call = client.converse_stream().model_id(&target.id).customize();
                    let call = call.mutate_request(replace_body).interceptor(take.clone());
                    call.send().await.err().map(send_error)
                }
                ServiceOperation::InvokeModel => {
                    let client = self.client(&target.region).await?;
                    let call = client.invoke_model().model_id(&target.id);
                    let call = call.content_type(JSON).accept(JSON).customize();
                    let call = call.mutate_request(replace_body).interceptor(take.clone());
                    call.send().await.err().map(send_error)
                }
                ServiceOperation::ApplyGuardrail => {
                    let client = self.client(&target.region).await?;
                    let (id, version) = target.id.rsplit_once("/version/").unwrap_or_default();
                    let call = client.apply_guardrail().guardrail_identifier(id);
                    let call = call.guardrail_version(version).customize();
                    let call = call.mutate_request(replace_body).interceptor(take.clone());
                    call.send().await.err().map(send_error)
                }
                ServiceOperation::Retrieve => {
                    let client = self.agent(&target.region).await?;
                    let call = client.retrieve().knowledge_base_id(&target.id).customize();
                    let call = call.mutate_request(replace_body).interceptor(take.clone());
                    call.send().await.err().map(send_error)
                }
            };
            match take.into_reply() {
                Some(reply) => reply
                    .try_into_http1x()
                    .map_err(|error| SendError::Other(error.to_string())),
                None => Err(failure
                    .unwrap_or_else(|| SendError::Other("the SDK returned no reply".to_owned()))),
            }
        })
    }

    fn refresh(&self, operation: ServiceOperation, target: &Target) {
        let Some(region_clients) = self.by_region.get(&target.region) else {
            return;
        };
        let refreshed = match operation {
            ServiceOperation::Converse
            | ServiceOperation::ConverseStream
            | ServiceOperation::InvokeModel
            | ServiceOperation::ApplyGuardrail => {
                ClientSlot::refresh(&region_clients.runtime, REFRESH_EVERY)
            }
            ServiceOperation::Retrieve => {
                ClientSlot::refresh(&region_clients.agent, REFRESH_RETRIEVE_EVERY)
            }
        };
        if refreshed {
            let region = &target.region;
            tracing::warn!(
                region,
                "AWS rejected the credentials or denied the operation; fetching new credentials"
            );
        }
    }
}
