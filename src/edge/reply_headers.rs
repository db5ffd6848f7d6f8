//! Response headers that describe the call: model, region, route, cost, warnings and rate limits.

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

/// Maximum characters of the warnings header; common proxies reject longer headers.
const MAX_WARNINGS: usize = 2048;

/// The headers that describe how a reply was served.
pub struct Headers(Vec<(&'static str, String)>);

impl Headers {
    /// Collects the headers. `usage` is known only for a reply that is not streamed. `is_fallback` means that the client
    /// asked for another model.
    pub fn of(
        model: &Model,
        plan: &Plan,
        trace: &Trace,
        usage: Option<Usage>,
        is_fallback: bool,
    ) -> Self {
        let target = trace.target().unwrap_or_else(|| model.target().clone());
        // A prompt router returns the ARN of the model that it chose.
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
        let mut route = plan.route_header();
        if is_fallback {
            route.push_str("; fallback=");
            route.push_str(&model.name);
        }
        if trace.is_schema_unenforced() {
            route.push_str("; schema=not_enforced");
        }
        headers.push(("x-lintel-route", route));
        if let Some(warnings) = trace.warnings().joined() {
            headers.push(("x-lintel-warnings", printable(&warnings)));
        }
        Self(headers)
    }

    /// Adds the headers to `response`.
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

/// Adds `x-lintel-attempts`: the number of requests to Bedrock for all choices together.
pub fn add_attempts(response: &mut Response, attempts: u32) {
    response.headers_mut().insert(
        HeaderName::from_static("x-lintel-attempts"),
        HeaderValue::from(attempts),
    );
}

/// Adds OpenAI's `x-ratelimit-*` headers for the tightest limits of the call.
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

/// Formats a duration as OpenAI does: `12ms`, `1.5s`, `6m0s`.
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

/// Truncates `text` and replaces everything but printable ASCII, because warnings may contain text of the client.
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
    fn reset_durations_have_openais_format() {
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
