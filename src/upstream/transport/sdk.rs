//! The transport of the AWS SDK. The SDK's client signs and sends serialized bodies; its typed inputs and outputs stay
//! empty.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use aws_config::Region;
use aws_credential_types::Credentials;
use aws_sdk_bedrockagentruntime as agent;
use aws_sdk_bedrockruntime::{Client, config::Token};
use aws_smithy_runtime_api::client::auth::http::HTTP_BEARER_AUTH_SCHEME_ID;
use futures_util::future::{BoxFuture, OptionFuture, join, join_all};
use tokio::sync::OnceCell;

use super::{
    super::Request, Response, SendError, ServiceOperation, Transport, credentials::signing_with,
    sdk_interceptor::RawExchange, session::Session, settings::AwsSettings,
    signed_post::PostEndpoint,
};
use crate::{
    call::{Caller, SentMark},
    model::Target,
};

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

/// The gateway's own account, in metrics.
const OWN: &str = "own";

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
                let tagged = session.tagged.as_ref().map(|tagged| tagged.keep_fresh());
                join(session.credentials.keep_fresh(), OptionFuture::from(tagged)).await;
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
            .get_or_try_init(|| Box::pin(Session::load(&self.settings, &self.default_region, OWN)))
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
                let settings = self.settings.in_account(&account.role);
                Session::load(&settings, &self.default_region, name).await
            })
        };
        session.get_or_try_init(load).await
    }

    /// Returns the credentials of a session with `caller` in its tags, if requests to `target` have such sessions.
    async fn tagged(&self, target: &Target, caller: Option<&Caller>) -> Option<Credentials> {
        let account = target.account.as_deref();
        // An API key signs nothing.
        if account.is_none() && self.settings.api_key.is_some() {
            return None;
        }
        let session = self.session_of(account).await.ok()?;
        session.tagged.as_ref()?.of(caller?).await
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

    pub(super) async fn client(&self, place: &str) -> Result<Client, SendError> {
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
    pub(super) async fn agent(&self, place: &str) -> Result<agent::Client, SendError> {
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
}

/// The parts of [`Target::place`].
fn account_and_region(place: &str) -> (Option<&str>, &str) {
    match place.split_once('/') {
        Some((account, region)) => (Some(account), region),
        None => (None, place),
    }
}

impl Clients {
    /// Sends `request`, once more if the clocks differ.
    async fn send_signed(
        &self,
        request: Request,
        target: &Target,
        sent: &SentMark,
    ) -> Result<Response, SendError> {
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
    }
}

impl Transport for Clients {
    fn send<'a>(
        &'a self,
        request: Request,
        target: &'a Target,
        caller: Option<&'a Caller>,
        sent: &'a SentMark,
    ) -> BoxFuture<'a, Result<Response, SendError>> {
        Box::pin(async move {
            let credentials = match self.settings.session_tags {
                true => self.tagged(target, caller).await,
                false => None,
            };
            signing_with(credentials, self.send_signed(request, target, sent)).await
        })
    }

    fn refresh(&self, operation: ServiceOperation, target: &Target, caller: Option<&Caller>) {
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
        let tagged = session.tagged.as_ref().zip(caller);
        let is_new = tagged.is_some_and(|(tagged, caller)| tagged.discard(caller, every));
        if session.credentials.discard(every) || is_new {
            let region = &target.region;
            tracing::warn!(
                region,
                "AWS rejected the credentials or denied the operation; fetching new credentials"
            );
        }
    }
}
