//! Read requests to the Bedrock control plane and to bedrock-mantle: signed GETs, because the SDK of the former is a large
//! dependency for a few of them.

use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use super::{
    clock::{self, SIGNED_AT},
    sdk::Clients,
    sdk_interceptor::describe,
    signing::Signed,
};

/// Time limit for one request.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Cap on the body of a reply, in bytes.
const MAX_REPLY_BYTES: usize = 1 << 20;

/// Why the control plane described nothing. The texts are for the log.
#[derive(Debug)]
pub enum DescribeError {
    /// The role may not do this.
    Denied(String),
    /// The answer is no for another reason, for example because the resource does not exist.
    Refused(String),
    /// A later attempt may succeed.
    Transient(String),
}

impl Clients {
    /// Returns the body of `GET path` on the Bedrock control plane of `region`. The path may have a query.
    ///
    /// # Errors
    /// If there is no reply, or its status is not 2xx.
    pub async fn describe(&self, region: &str, path: &str) -> Result<Bytes, DescribeError> {
        let url = format!("{}{path}", self.control_plane(region).await);
        self.read(&url, region, "bedrock").await
    }

    /// Returns the body of `GET path` on bedrock-mantle in `region`.
    ///
    /// # Errors
    /// If there is no reply, or its status is not 2xx.
    pub async fn describe_mantle(&self, region: &str, path: &str) -> Result<Bytes, DescribeError> {
        let session = self.session().await.map_err(DescribeError::Transient)?;
        let url = format!("{}{path}", self.host(true, region, session));
        self.read(&url, region, self.mantle_service()).await
    }

    async fn read(&self, url: &str, region: &str, service: &str) -> Result<Bytes, DescribeError> {
        let attempt = timeout(TIMEOUT, self.get(url, region, service));
        attempt
            .await
            .unwrap_or_else(|_| Err(DescribeError::Transient("it did not answer".to_owned())))
    }

    async fn get(&self, url: &str, region: &str, service: &str) -> Result<Bytes, DescribeError> {
        let session = self.session().await.map_err(DescribeError::Transient)?;
        let mut now = SystemTime::now();
        let mut may_repeat = true;
        loop {
            let (headers, signed_at) = match &self.settings().api_key {
                Some(key) => {
                    let bearer = format!("Bearer {}", key.expose());
                    (vec![("authorization".to_owned(), bearer)], None)
                }
                None => {
                    let credentials = session.credentials.get().await;
                    let credentials = credentials.map_err(DescribeError::Transient)?;
                    let signed = Signed {
                        method: "GET",
                        url,
                        headers: &[],
                        body: &[],
                        region,
                        service,
                    };
                    let headers = signed
                        .headers(&credentials, now)
                        .map_err(DescribeError::Transient)?;
                    let date = headers.iter().find(|(name, _)| name == SIGNED_AT);
                    let date = date.map(|(_, value)| value.clone());
                    (headers, date)
                }
            };
            let mut request =
                HttpRequest::get(url).map_err(|error| DescribeError::Refused(error.to_string()))?;
            for (name, value) in headers {
                request.headers_mut().insert(name, value);
            }
            let mut reply = session
                .connections
                .send(request, Some(TIMEOUT))
                .await
                .map_err(|error| DescribeError::Transient(describe(&error)))?;
            let skew = signed_at.and_then(|signed_at| clock::skew(&signed_at, &reply));
            if let Some(service_time) = skew.filter(|_| may_repeat) {
                now = service_time;
                may_repeat = false;
                continue;
            }
            let status = reply.status();
            let body = std::mem::replace(reply.body_mut(), SdkBody::taken());
            if !status.is_success() {
                let reason = format!("status {}", status.as_u16());
                let name = reply.headers().get("x-amzn-errortype");
                let is_denied = name.is_some_and(|name| name.starts_with("AccessDenied"));
                return Err(match status.as_u16() {
                    408 | 429 | 500.. => DescribeError::Transient(reason),
                    // bedrock-mantle names no error.
                    401 | 403 if service != "bedrock" => DescribeError::Denied(reason),
                    _ if is_denied => DescribeError::Denied(reason),
                    _ => DescribeError::Refused(reason),
                });
            }
            let body = Limited::new(body, MAX_REPLY_BYTES).collect().await;
            return body
                .map(|body| body.to_bytes())
                .map_err(|error| DescribeError::Transient(error.to_string()));
        }
    }

    /// Returns the base URL of the Bedrock control plane in `region`, without a trailing slash.
    async fn control_plane(&self, region: &str) -> String {
        let configured = self.settings().endpoints_in(region).control_plane.clone();
        let endpoint = configured.or_else(|| std::env::var("AWS_ENDPOINT_URL_BEDROCK").ok());
        let endpoint = match endpoint {
            Some(url) => Some(url),
            None => {
                let session = self.session().await.ok();
                session.and_then(|session| session.config.endpoint_url().map(str::to_owned))
            }
        };
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        endpoint.map_or_else(
            || format!("https://bedrock.{region}.amazonaws.com{suffix}"),
            |url| url.trim_end_matches('/').to_owned(),
        )
    }
}
