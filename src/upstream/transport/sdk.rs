//! The transport of the AWS SDK. The SDK's client signs and sends serialized bodies; its typed inputs and outputs stay
//! empty.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use aws_config::Region;
use aws_sdk_bedrockagentruntime as agent;
use aws_sdk_bedrockruntime::{Client, config::Token};
use aws_smithy_runtime_api::client::{
    auth::http::HTTP_BEARER_AUTH_SCHEME_ID, orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::OnceCell;

use super::{
    super::Request,
    Response, SendError, ServiceOperation, Transport,
    sdk_interceptor::{RawExchange, send_error},
    session::Session,
    settings::AwsSettings,
    signed_post::PostEndpoint,
};
use crate::{call::SentMark, model::Target};

/// The SDK clients of every region. Each is created at its first use, so that startup does not wait for AWS.
pub struct Clients {
    settings: AwsSettings,
    session: OnceCell<Session>,
    /// The sessions of other accounts, by name.
    accounts: HashMap<String, OnceCell<Session>>,
    default_region: String,
    by_region: ArcSwap<HashMap<String, Arc<RegionClients>>>,
}

/// The clients of one region.
#[derive(Default)]
pub(super) struct RegionClients {
    /// For models.
    runtime: OnceLock<Client>,
    /// For Knowledge Bases and Rerank.
    agent: OnceLock<agent::Client>,
}

/// The media type of InvokeModel requests and replies.
const JSON: &str = "application/json";

/// Minimum time between refreshes of the credentials: when they expire, one refresh serves all failed calls.
const REFRESH_EVERY: Duration = Duration::from_secs(5);

/// The same for Retrieve, which also refreshes on denied permissions, although a refresh does not fix those.
const REFRESH_RETRIEVE_EVERY: Duration = Duration::from_secs(60);

impl Clients {
    /// Creates the clients for `regions`.
    pub fn new(
        settings: AwsSettings,
        default_region: String,
        regions: impl IntoIterator<Item = String>,
    ) -> Self {
        let accounts = settings.accounts.keys();
        let clients = Self {
            accounts: accounts
                .map(|name| (name.clone(), OnceCell::new()))
                .collect(),
            settings,
            session: OnceCell::new(),
            default_region,
            by_region: ArcSwap::default(),
        };
        clients.add(regions);
        clients
    }

    /// Adds clients for `regions`, among which must be the [place](Target::place) of every target. Those of regions that no longer are in the
    /// configuration stay, because calls in flight may need them.
    pub fn add(&self, regions: impl IntoIterator<Item = String>) {
        let mut by_region = HashMap::clone(&self.by_region.load());
        for region in regions {
            by_region.entry(region).or_default();
        }
        self.by_region.store(Arc::new(by_region));
    }

    /// Checks that credentials or an API key are available, for the readiness probe. Does not call Bedrock.
    ///
    /// # Errors
    /// The reason, for the log.
    pub async fn check_credentials(&self) -> Result<(), String> {
        if self.settings.api_key.is_some() {
            return Ok(());
        }
        self.session().await?.credentials.get().await.map(drop)
    }

    /// Creates every client ahead of the first request, and then keeps the credentials fresh until the future is
    /// dropped. `knowledge_bases` are the regions that also need an agent client.
    pub async fn keep_ready(&self, knowledge_bases: &BTreeSet<String>) {
        for region in self.by_region.load_full().keys() {
            if let Err(error) = self.client(region).await {
                tracing::warn!(?error, region, "cannot create the Bedrock client");
            }
            if knowledge_bases.contains(region)
                && let Err(error) = self.agent(region).await
            {
                tracing::warn!(?error, region, "cannot create the Knowledge Bases client");
            }
        }
        // An API key needs no credentials, except for Knowledge Bases.
        let needs_credentials = self.settings.api_key.is_none() || !knowledge_bases.is_empty();
        let own = needs_credentials.then_some(None);
        let others = self.accounts.keys().map(|name| Some(name.as_str()));
        let fresh = own.into_iter().chain(others).map(|account| async move {
            if let Ok(session) = self.session_of(account).await {
                session.credentials.keep_fresh().await;
            }
        });
        join_all(fresh).await;
    }

    pub(super) fn settings(&self) -> &AwsSettings {
        &self.settings
    }

    pub(super) async fn session(&self) -> Result<&Session, String> {
        self.session
            // Boxed, because it runs once, and every call would reserve its 13 KB.
            .get_or_try_init(|| Box::pin(Session::load(&self.settings, &self.default_region)))
            .await
    }

    /// Returns the session of the gateway's own account, or of another one.
    async fn session_of(&self, account: Option<&str>) -> Result<&Session, String> {
        let Some(name) = account else {
            return self.session().await;
        };
        let found = self
            .accounts
            .get(name)
            .zip(self.settings.accounts.get(name));
        let (session, account) = found.ok_or_else(|| format!("no account {name}"))?;
        let load = || {
            Box::pin(async {
                Session::load(
                    &self.settings.in_account(&account.role),
                    &self.default_region,
                )
                .await
            })
        };
        session.get_or_try_init(load).await
    }

    pub(super) async fn parts(
        &self,
        place: &str,
    ) -> Result<(Arc<RegionClients>, &Session), SendError> {
        let clients = self.by_region.load().get(place).cloned();
        let clients =
            clients.ok_or_else(|| SendError::Other(format!("no client for region {place}")))?;
        let (account, _) = account_and_region(place);
        let session = self.session_of(account).await.map_err(SendError::Other)?;
        Ok((clients, session))
    }

    async fn client(&self, place: &str) -> Result<Client, SendError> {
        let (clients, session) = self.parts(place).await?;
        let (account, region) = account_and_region(place);
        let client = clients.runtime.get_or_init(|| {
            let mut config = aws_sdk_bedrockruntime::config::Builder::from(&session.config)
                .region(Region::new(region.to_owned()));
            if let Some(url) = &self.settings.endpoints_in(region).runtime {
                config = config.endpoint_url(url);
            }
            if let Some(key) = self.settings.api_key.as_ref().filter(|_| account.is_none()) {
                config = config
                    .bearer_token(Token::new(key.expose(), None))
                    .auth_scheme_preference([HTTP_BEARER_AUTH_SCHEME_ID]);
            }
            Client::from_conf(config.build())
        });
        Ok(client.clone())
    }

    /// Returns the client for Knowledge Bases and Rerank of a region.
    async fn agent(&self, place: &str) -> Result<agent::Client, SendError> {
        let (clients, session) = self.parts(place).await?;
        let (_, region) = account_and_region(place);
        let client = clients.agent.get_or_init(|| {
            let mut config = agent::config::Builder::from(&session.config)
                .region(Region::new(region.to_owned()));
            if let Some(url) = &self.settings.endpoints_in(region).agent_runtime {
                config = config.endpoint_url(url);
            }
            agent::Client::from_conf(config.build())
        });
        Ok(client.clone())
    }

    /// Sends `request` once.
    async fn exchange(
        &self,
        request: Request,
        target: &Target,
        exchange: &RawExchange,
    ) -> Result<(), SendError> {
        let sent = exchange.sent();
        let Request {
            operation,
            headers,
            body,
        } = request;
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
                let client = self.client(&target.place()).await?;
                let call = client.converse().model_id(&target.id).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::ConverseStream => {
                let client = self.client(&target.place()).await?;
                let call = client.converse_stream().model_id(&target.id).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::InvokeModel => {
                let client = self.client(&target.place()).await?;
                let call = client.invoke_model().model_id(&target.id);
                let call = call.content_type(JSON).accept(JSON).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::CountTokens => {
                let client = self.client(&target.place()).await?;
                let call = client.count_tokens().model_id(&target.id).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::InvokeGuardrailChecks => {
                let client = self.client(&target.place()).await?;
                let call = client.invoke_guardrail_checks().customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::InvokeModelWithResponseStream => {
                let client = self.client(&target.place()).await?;
                let call = client.invoke_model_with_response_stream();
                let call = call.model_id(&target.id);
                let call = call.content_type(JSON).accept(JSON).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::ApplyGuardrail => {
                let client = self.client(&target.place()).await?;
                let (id, version) = target.id.rsplit_once("/version/").unwrap_or_default();
                let call = client.apply_guardrail().guardrail_identifier(id);
                let call = call.guardrail_version(version).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::Rerank => {
                let client = self.agent(&target.place()).await?;
                let call = client.rerank().customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::Retrieve => {
                let client = self.agent(&target.place()).await?;
                let call = client.retrieve().knowledge_base_id(&target.id).customize();
                let call = call
                    .mutate_request(replace_body)
                    .interceptor(exchange.clone());
                call.send().await.err().map(|error| send_error(error, sent))
            }
            ServiceOperation::ChatCompletions
            | ServiceOperation::MantleChatCompletions(_)
            | ServiceOperation::Responses
            | ServiceOperation::MantleResponses(_)
            | ServiceOperation::Messages
            | ServiceOperation::MantleMessages => Some(SendError::Other(format!(
                "the SDK has no operation {operation:?}"
            ))),
        };
        failure.map_or(Ok(()), Err)
    }
}

/// The parts of [`Target::place`].
fn account_and_region(place: &str) -> (Option<&str>, &str) {
    match place.split_once('/') {
        Some((account, region)) => (Some(account), region),
        None => (None, place),
    }
}

impl Transport for Clients {
    fn send<'a>(
        &'a self,
        request: Request,
        target: &'a Target,
        sent: &'a SentMark,
    ) -> BoxFuture<'a, Result<Response, SendError>> {
        Box::pin(async move {
            if let Some(endpoint) = PostEndpoint::of(request.operation) {
                return self.post(endpoint, &request, target, sent).await;
            }
            let mut exchange = RawExchange::new(sent.clone());
            let mut failure = self.exchange(request.clone(), target, &exchange).await;
            if exchange.is_skewed() {
                // The SDK has learned the service's time from the rejection.
                sent.repeat();
                exchange = RawExchange::new(sent.clone());
                failure = self.exchange(request, target, &exchange).await;
            }
            match exchange.into_reply() {
                Some(reply) => reply
                    .try_into_http1x()
                    .map_err(|error| SendError::Other(error.to_string())),
                None => Err(failure
                    .err()
                    .unwrap_or_else(|| SendError::Other("the SDK returned no reply".to_owned()))),
            }
        })
    }

    fn refresh(&self, operation: ServiceOperation, target: &Target) {
        let session = match &target.account {
            None => self.session.get(),
            Some(name) => self.accounts.get(&**name).and_then(OnceCell::get),
        };
        let Some(session) = session else {
            return;
        };
        let every = match operation {
            ServiceOperation::Retrieve => REFRESH_RETRIEVE_EVERY,
            _ => REFRESH_EVERY,
        };
        if session.credentials.discard(every) {
            let region = &target.region;
            tracing::warn!(
                region,
                "AWS rejected the credentials or denied the operation; fetching new credentials"
            );
        }
    }
}
