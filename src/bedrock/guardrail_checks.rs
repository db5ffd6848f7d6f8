//! The body of `POST /guardrail-checks/invoke`, and its reply.

use serde::{Deserialize, Serialize};

/// The body of an InvokeGuardrailChecks request.
#[derive(Debug, Serialize)]
pub struct GuardrailChecksRequest<'a> {
    pub messages: [GuardrailChecksMessage<'a>; 1],
    pub checks: GuardrailChecks,
}

/// Texts to evaluate.
#[derive(Debug, Serialize)]
pub struct GuardrailChecksMessage<'a> {
    /// `user`, `assistant` or `system`.
    pub role: &'static str,
    /// At most ten.
    pub content: Vec<GuardrailChecksBlock<'a>>,
}

/// A text to evaluate.
#[derive(Debug, Serialize)]
pub struct GuardrailChecksBlock<'a> {
    pub text: &'a str,
}

/// The checks to run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailChecks {
    pub content_filter: ContentFilterCheck,
}

/// The content filters to run.
#[derive(Debug, Serialize)]
pub struct ContentFilterCheck {
    pub categories: Vec<ContentFilterCategory>,
}

/// A content filter.
#[derive(Debug, Serialize)]
pub struct ContentFilterCategory {
    pub category: &'static str,
}

/// The reply of InvokeGuardrailChecks.
#[derive(Debug, Deserialize)]
pub struct GuardrailChecksReply {
    pub results: CheckResults,
    pub usage: CheckUsage,
}

/// The findings of each check.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResults {
    pub content_filter: ContentFilterResults,
}

/// The findings of the content filters.
#[derive(Debug, Deserialize)]
pub struct ContentFilterResults {
    pub results: Vec<ContentFilterResult>,
}

/// The finding of one content filter.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentFilterResult {
    pub category: String,
    /// From 0 to 1.
    pub severity_score: f64,
}

/// The billed units of each check.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckUsage {
    pub content_filter: TextUnits,
}

/// Billed units of up to 1,000 characters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TextUnits {
    pub text_units: u64,
}
