//! Requests that no SDK has an operation for: signed POSTs over the same connections, with the same credentials.

use std::{convert::Infallible, time::SystemTime};

use aws_sdk_bedrockruntime::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;

use super::{
    super::Request,
    Response, SendError, ServiceOperation,
    clock::{self, SIGNED_AT},
    sdk::Clients,
    sdk_interceptor::{marked, send_error},
    session::Session,
    signing::Signed,
};
use crate::{
    call::SentMark,
    model::{MantlePrefix, Target},
};

/// An endpoint for POSTs.
#[derive(Clone, Copy, Debug)]
pub enum PostEndpoint {
    RuntimeChat,
    MantleChat(MantlePrefix),
    RuntimeResponses,
    MantleResponses(MantlePrefix),
    RuntimeMessages,
    MantleMessages,
}

impl PostEndpoint {
    /// Returns the endpoint of an operation, or `None` if the SDK has the operation.
    pub fn of(operation: ServiceOperation) -> Option<Self> {
        match operation {
            ServiceOperation::ChatCompletions => Some(Self::RuntimeChat),
            ServiceOperation::MantleChatCompletions(prefix) => Some(Self::MantleChat(prefix)),
            ServiceOperation::Responses => Some(Self::RuntimeResponses),
            ServiceOperation::MantleResponses(prefix) => Some(Self::MantleResponses(prefix)),
            ServiceOperation::Messages => Some(Self::RuntimeMessages),
            ServiceOperation::MantleMessages => Some(Self::MantleMessages),
            _ => None,
        }
    }

    fn path(self) -> String {
        let (prefix, path) = match self {
            Self::RuntimeChat => ("openai/v1", "chat/completions"),
            Self::MantleChat(prefix) => (prefix.as_str(), "chat/completions"),
            Self::RuntimeMessages | Self::MantleMessages => ("anthropic/v1", "messages"),
            Self::RuntimeResponses => ("openai/v1", "responses"),
            Self::MantleResponses(prefix) => (prefix.as_str(), "responses"),
        };
        format!("/{prefix}/{path}")
    }

    fn is_mantle(self) -> bool {
        matches!(
            self,
            Self::MantleChat(_) | Self::MantleResponses(_) | Self::MantleMessages
        )
    }
}

impl Clients {
    /// Sends `request` and returns the reply, whatever its status. Signs it once more if the clocks differ.
    pub(super) async fn post(
        &self,
        endpoint: PostEndpoint,
        request: &Request,
        target: &Target,
        sent: &SentMark,
    ) -> Result<Response, SendError> {
        let region = target.region.as_str();
        let (_, session) = self.parts(&target.place()).await?;
        let url = format!(
            "{}{}",
            self.host(endpoint.is_mantle(), region, session),
            endpoint.path()
        );
        let service = match endpoint.is_mantle() {
            false => "bedrock",
            true => self.mantle_service(),
        };
        let mut own = vec![("content-type", "application/json")];
        for (name, value) in &request.headers {
            if let Ok(value) = value.to_str() {
                own.push((name.as_str(), value));
            }
        }
        let signed = Signed {
            method: "POST",
            url: &url,
            headers: &own,
            body: &request.body,
            region,
            service,
        };
        let mut now = SystemTime::now();
        let mut may_repeat = true;
        loop {
            let proof = self.proof(&signed, target, session, now).await?;
            let body = marked(SdkBody::from(request.body.clone()), sent);
            let mut post = HttpRequest::new(body);
            let other = |error: &dyn std::error::Error| SendError::Other(error.to_string());
            post.set_method("POST").map_err(|error| other(&error))?;
            post.set_uri(url.as_str()).map_err(|error| other(&error))?;
            for (name, value) in &own {
                post.headers_mut()
                    .insert((*name).to_owned(), (*value).to_owned());
            }
            let date = proof.iter().find(|(name, _)| name == SIGNED_AT);
            let signed_at = date.map(|(_, value)| value.clone());
            for (name, value) in proof {
                post.headers_mut().insert(name, value);
            }
            // The call's own deadline bounds the wait.
            let reply = session.connections.send(post, None).await;
            let reply: HttpResponse = reply.map_err(|error| {
                send_error(SdkError::<Infallible, _>::dispatch_failure(error), sent)
            })?;
            let skew = signed_at.and_then(|signed_at| clock::skew(&signed_at, &reply));
            if let Some(service_time) = skew.filter(|_| may_repeat) {
                now = service_time;
                may_repeat = false;
                sent.repeat();
                continue;
            }
            return reply
                .try_into_http1x()
                .map_err(|error| SendError::Other(error.to_string()));
        }
    }

    /// Returns the headers that authenticate a request: those of a signature, or an API key.
    async fn proof(
        &self,
        signed: &Signed<'_>,
        target: &Target,
        session: &Session,
        now: SystemTime,
    ) -> Result<Vec<(String, String)>, SendError> {
        let key = self.settings().api_key.as_ref();
        if let Some(key) = key.filter(|_| target.account.is_none()) {
            let bearer = format!("Bearer {}", key.expose());
            return Ok(vec![("authorization".to_owned(), bearer)]);
        }
        let credentials = session.credentials.of_request().await;
        let credentials = credentials.map_err(SendError::Credentials)?;
        signed.headers(&credentials, now).map_err(SendError::Other)
    }

    /// Returns the service in signatures for bedrock-mantle.
    pub(super) fn mantle_service(&self) -> &str {
        let configured = self.settings().mantle_signing_name.as_deref();
        configured.unwrap_or("bedrock-mantle")
    }

    /// Returns the base URL of bedrock-mantle or of bedrock-runtime, without a trailing slash.
    pub(super) fn host(&self, is_mantle: bool, region: &str, session: &Session) -> String {
        let endpoints = self.settings().endpoints_in(region);
        let (configured, variable) = match is_mantle {
            false => (&endpoints.runtime, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
            true => (&endpoints.mantle, "AWS_ENDPOINT_URL_BEDROCK_MANTLE"),
        };
        let given = configured
            .clone()
            .or_else(|| std::env::var(variable).ok())
            .or_else(|| session.config.endpoint_url().map(str::to_owned));
        match given {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if is_mantle => format!("https://bedrock-mantle.{region}.api.aws"),
            None => {
                let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
                format!("https://bedrock-runtime.{region}.amazonaws.com{suffix}")
            }
        }
    }
}
