//! The headers of a reply that say what served it.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

use crate::{
    call::{Plan, RateLimits, Trace},
    model::Model,
    money::Usage,
};

/// Header values longer than this are rejected by common proxies.
const MAX_WARNINGS: usize = 2048;

/// What served a reply, for its headers.
pub struct Headers(Vec<(&'static str, String)>);

impl Headers {
    /// `usage` is that of a whole reply.
    pub fn of(model: &Model, plan: &Plan, trace: &Trace, usage: Option<Usage>) -> Self {
        let target = trace.target().unwrap_or_else(|| model.target().clone());
        // A router's answer names the model that it chose, in an ARN.
        let invoked = trace.invoked();
        let invoked = invoked.as_deref().and_then(|arn| arn.rsplit('/').next());
        let mut headers = Vec::new();
        if let Some(id) = invoked.or(target.shown()) {
            headers.push(("x-lintel-model", id.to_owned()));
        }
        if let Some(cost) = usage.and_then(|usage| usage.cost) {
            headers.push(("x-lintel-cost-usd", cost.total().to_string()));
        }
        headers.push(("x-lintel-region", target.region.clone()));
        headers.push(("x-lintel-route", plan.route_header()));
        if let Some(warnings) = trace.warnings().joined() {
            headers.push(("x-lintel-warnings", printable(&warnings)));
        }
        Self(headers)
    }

    pub fn add_to(self, response: &mut Response) {
        for (name, text) in self.0 {
            if let Ok(value) = HeaderValue::try_from(text) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// The number of requests to Bedrock, for all choices together.
pub fn add_attempts(response: &mut Response, attempts: u32) {
    response.headers_mut().insert(
        HeaderName::from_static("x-lintel-attempts"),
        HeaderValue::from(attempts),
    );
}

/// What is left of the tightest limits, in OpenAI's headers.
pub fn add_rate_limits(response: &mut Response, limits: &RateLimits) {
    const REQUESTS: [&str; 3] = [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ];
    const TOKENS: [&str; 3] = [
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ];
    for (names, left) in [(REQUESTS, limits.requests), (TOKENS, limits.tokens)] {
        let Some(left) = left else { continue };
        let values = [
            left.limit.to_string(),
            left.remaining.to_string(),
            reset(left.reset),
        ];
        for (name, value) in names.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::try_from(value) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// OpenAI's durations: `12ms`, `1.5s`, `6m0s`.
fn reset(left: Duration) -> String {
    let (seconds, millis) = (left.as_secs(), left.subsec_millis());
    match (seconds, millis) {
        (0, millis) => format!("{millis}ms"),
        (1..60, 0) => format!("{seconds}s"),
        (1..60, _) => format!(
            "{}s",
            f64::from(u32::try_from(left.as_millis()).unwrap_or(u32::MAX)) / 1000.0
        ),
        (60..3600, _) => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// Client text may stand in a warning: only printable ASCII goes into a header.
fn printable(text: &str) -> String {
    text.chars()
        .take(MAX_WARNINGS)
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_openais() {
        for (millis, text) in [
            (0, "0ms"),
            (12, "12ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (360_000, "6m0s"),
            (3_661_000, "1h1m1s"),
        ] {
            assert_eq!(reset(Duration::from_millis(millis)), text);
        }
    }
}
