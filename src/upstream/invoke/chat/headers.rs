//! The headers that InvokeModel has instead of members of the body, in requests and replies.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::reply::Counts;
use crate::bedrock::{
    reply,
    request::{ConverseRequest, ServiceTier},
};

/// Returns the headers of a request: guardrail, latency, tier and metadata.
pub fn of(request: &ConverseRequest<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    let mut add = |name: &'static str, value: &str| {
        // All values are checked by the translation and valid in a header, so none is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.push((HeaderName::from_static(name), value));
        }
    };
    if let Some(guardrail) = &request.guardrail_config {
        add(
            "x-amzn-bedrock-guardrailidentifier",
            guardrail.guardrail_identifier,
        );
        add(
            "x-amzn-bedrock-guardrailversion",
            guardrail.guardrail_version,
        );
        if let Some(trace) = guardrail.trace {
            add("x-amzn-bedrock-trace", &trace.to_ascii_uppercase());
        }
    }
    if let Some(performance) = &request.performance_config {
        add(
            "x-amzn-bedrock-performanceconfig-latency",
            performance.latency,
        );
    }
    if let Some(tier) = request.service_tier {
        let tier = match tier {
            ServiceTier::Default => "default",
            ServiceTier::Priority => "priority",
            ServiceTier::Flex => "flex",
            ServiceTier::Reserved => "reserved",
        };
        add("x-amzn-bedrock-service-tier", tier);
    }
    if let Some(metadata) = &request.request_metadata
        && let Ok(metadata) = serde_json::to_string(metadata)
    {
        add("x-amzn-bedrock-request-metadata", &metadata);
    }
    headers
}

/// What the headers of a reply report.
#[derive(Debug, Default)]
pub struct ReplyHeaders {
    pub counts: Counts,
    pub tier: Option<String>,
    pub latency: Option<String>,
}

impl ReplyHeaders {
    /// Reads the headers. Leaves out what is absent or not a number.
    pub fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let count = |name: &str| text(name).and_then(|count| count.parse().ok());
        Self {
            counts: Counts {
                input: count("x-amzn-bedrock-input-token-count"),
                output: count("x-amzn-bedrock-output-token-count"),
                cache_read: count("x-amzn-bedrock-cache-read-input-token-count"),
                cache_write: count("x-amzn-bedrock-cache-write-input-token-count"),
                ..Counts::default()
            },
            tier: text("x-amzn-bedrock-service-tier").map(str::to_owned),
            latency: text("x-amzn-bedrock-performanceconfig-latency").map(str::to_owned),
        }
    }

    /// The service tier that answered.
    pub fn tier(&self) -> Option<reply::ServiceTier> {
        let kind = self.tier.clone()?;
        Some(reply::ServiceTier { kind })
    }

    /// The latency mode that answered.
    pub fn performance(&self) -> Option<reply::PerformanceConfig> {
        let latency = self.latency.clone()?;
        Some(reply::PerformanceConfig { latency })
    }
}
