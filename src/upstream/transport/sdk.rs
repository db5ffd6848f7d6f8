//! The first transport: the SDK's client signs and carries our bytes; its typed input and output stay empty.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
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
    sdk_interceptor::{TakeReply, describe, send_error},
};
use crate::{call::Secret, model::Target};

/// How AWS is reached; what is not set comes from the SDK's default chain and the `AWS_*` variables.
#[derive(Clone, Debug, Default)]
pub struct AwsSettings {
    pub endpoint_url: Option<String>,
    pub profile: Option<String>,
    pub assume_role: Option<AssumeRole>,
    /// Instead of the default chain: access key id and secret (the embedded simulator's).
    pub static_credentials: Option<(String, Secret)>,
}

/// A role that the gateway takes before it calls Bedrock.
#[derive(Clone, Debug)]
pub struct AssumeRole {
    pub arn: String,
    pub external_id: Option<Secret>,
    pub session_name: String,
}

/// The clients of every region, made at their first use: a start that waits for nothing.
pub struct Clients {
    settings: AwsSettings,
    base: OnceCell<SdkConfig>,
    default_region: String,
    by_region: HashMap<String, OfRegion>,
    /// Until when the credentials that were last seen hold.
    good_until: Mutex<Option<SystemTime>>,
}

/// The clients of one region: for models, and for Knowledge Bases.
#[derive(Default)]
struct OfRegion {
    runtime: Mutex<Slot<Client>>,
    agent: Mutex<Slot<agent::Client>>,
}

/// One client.
struct Slot<C> {
    client: Option<C>,
    /// When its credentials were last thrown away.
    refreshed: Option<Instant>,
}

impl<C> Default for Slot<C> {
    fn default() -> Self {
        Self {
            client: None,
            refreshed: None,
        }
    }
}

impl<C: Clone> Slot<C> {
    /// The client; `make` is told whether credentials that others have cached are not good enough.
    fn get(slot: &Mutex<Self>, make: impl FnOnce(bool) -> C) -> C {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = slot.refreshed.is_some();
        slot.client.get_or_insert_with(|| make(fresh)).clone()
    }

    /// Throws the client away. False if that was done just now, not longer ago than `every`.
    fn refresh(slot: &Mutex<Self>, every: Duration) -> bool {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let due = slot.refreshed.is_none_or(|at| at.elapsed() > every);
        if due {
            *slot = Self {
                client: None,
                refreshed: Some(Instant::now()),
            };
        }
        due
    }
}

/// The media type of InvokeModel, both ways.
const JSON: &str = "application/json";

/// Many calls fail together when credentials end; one refresh is for all of them.
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// Retrieve is refreshed for what the role may not do too, which fails for ever and must not cost connections all the time.
const REFRESH_RETRIEVE_EVERY: Duration = Duration::from_secs(60);

impl Clients {
    /// `regions`: every region of a configured target.
    pub fn new(
        settings: AwsSettings,
        default_region: String,
        regions: impl IntoIterator<Item = String>,
    ) -> Self {
        let by_region = regions
            .into_iter()
            .map(|region| (region, OfRegion::default()))
            .collect();
        Self {
            settings,
            base: OnceCell::new(),
            default_region,
            by_region,
            good_until: Mutex::default(),
        }
    }

    /// Can credentials be had? For readiness; makes no call to Bedrock.
    ///
    /// # Errors
    /// The reason, for the log.
    pub async fn check_credentials(&self) -> Result<(), String> {
        let Some(provider) = self.base().await.credentials_provider() else {
            return Err("no credentials provider".to_owned());
        };
        match provider.provide_credentials().await {
            Ok(credentials) => {
                // Those without an end hold as long as this process is likely to live.
                let until = credentials
                    .expiry()
                    .unwrap_or_else(|| SystemTime::now() + Duration::from_secs(365 * 86_400));
                *self
                    .good_until
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(until);
                Ok(())
            }
            // The service that gives them may stumble; what it gave is still good.
            Err(_)
                if self
                    .good_until
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .is_some_and(|until| until > SystemTime::now()) =>
            {
                Ok(())
            }
            Err(error) => Err(describe(&error)),
        }
    }

    /// Credentials for what no client of the SDK sends.
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

    /// Where the control plane of a region is: scheme and host.
    pub async fn control_plane(&self, region: &str) -> String {
        let own = self
            .settings
            .endpoint_url
            .clone()
            .or_else(|| std::env::var("AWS_ENDPOINT_URL_BEDROCK").ok());
        let own = own.or_else(|| {
            self.base
                .get()
                .and_then(|base| base.endpoint_url().map(str::to_owned))
        });
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        own.map_or_else(
            || format!("https://bedrock.{region}.amazonaws.com{suffix}"),
            |url| url.trim_end_matches('/').to_owned(),
        )
    }

    /// Makes every client, so that the first request does not wait for certificates. `knowledge_bases`: regions of those.
    pub async fn warm(&self, knowledge_bases: &BTreeSet<String>) {
        for region in self.by_region.keys() {
            if let Err(error) = self.client(region).await {
                tracing::warn!(?error, region, "no client could be made");
            }
            if knowledge_bases.contains(region)
                && let Err(error) = self.agent(region).await
            {
                tracing::warn!(
                    ?error,
                    region,
                    "no client for Knowledge Bases could be made"
                );
            }
        }
        // A failure here is told by readiness, and by the first request.
        let _ = self.check_credentials().await;
    }

    async fn base(&self) -> &SdkConfig {
        self.base
            .get_or_init(|| load(&self.settings, &self.default_region))
            .await
    }

    fn of_region(&self, region: &str) -> Result<&OfRegion, SendError> {
        self.by_region
            .get(region)
            .ok_or_else(|| SendError::Other(format!("no client for region {region}")))
    }

    async fn client(&self, region: &str) -> Result<Client, SendError> {
        let (of_region, base) = (self.of_region(region)?, self.base().await);
        Ok(Slot::get(&of_region.runtime, |fresh| {
            let mut config = aws_sdk_bedrockruntime::config::Builder::from(base)
                .region(Region::new(region.to_owned()));
            // Here and not in the base, which the role's credentials are fetched with too.
            if let Some(url) = &self.settings.endpoint_url {
                config = config.endpoint_url(url);
            }
            if fresh {
                config = config.identity_cache(IdentityCache::lazy().build());
            }
            Client::from_conf(config.build())
        }))
    }

    /// The one for Knowledge Bases, made when it is needed.
    async fn agent(&self, region: &str) -> Result<agent::Client, SendError> {
        let (of_region, base) = (self.of_region(region)?, self.base().await);
        Ok(Slot::get(&of_region.agent, |fresh| {
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
        // Retries and the watch over stalled streams are the gateway's own, measured and bounded.
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
            // Runs before signing. Without the right content-length only the old length would leave
            // the socket.
            let ours = move |request: &mut HttpRequest| {
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
                    let call = call.mutate_request(ours).interceptor(take.clone());
                    call.send().await.err().map(send_error)
                }
                ServiceOperation::ConverseStream => {
                    let client = self.client(&target.region).await?;
                    let call = client.converse_stream().model_id(&target.id).customize();
                    let call = call.mutate_request(ours).interceptor(take.clone());
                    call.send().await.err().map(send_error)
                }
                ServiceOperation::InvokeModel => {
                    let client = self.client(&target.region).await?;
                    let call = client.invoke_model().model_id(&target.id);
                    let call = call.content_type(JSON).accept(JSON).customize();
                    let call = call.mutate_request(ours).interceptor(take.clone());
                    call.send().await.err().map(send_error)
                }
                ServiceOperation::Retrieve => {
                    let client = self.agent(&target.region).await?;
                    let call = client.retrieve().knowledge_base_id(&target.id).customize();
                    let call = call.mutate_request(ours).interceptor(take.clone());
                    call.send().await.err().map(send_error)
                }
            };
            match take.into_reply() {
                Some(reply) => reply
                    .try_into_http1x()
                    .map_err(|error| SendError::Other(error.to_string())),
                None => {
                    Err(failure
                        .unwrap_or_else(|| SendError::Other("the SDK gave no reply".to_owned())))
                }
            }
        })
    }

    fn refresh(&self, operation: ServiceOperation, target: &Target) {
        let Some(of_region) = self.by_region.get(&target.region) else {
            return;
        };
        let refreshed = match operation {
            ServiceOperation::Converse
            | ServiceOperation::ConverseStream
            | ServiceOperation::InvokeModel => Slot::refresh(&of_region.runtime, REFRESH_EVERY),
            ServiceOperation::Retrieve => Slot::refresh(&of_region.agent, REFRESH_RETRIEVE_EVERY),
        };
        if refreshed {
            let region = &target.region;
            tracing::warn!(
                region,
                "AWS rejected the credentials, or denied the operation; new credentials are fetched once"
            );
        }
    }
}
