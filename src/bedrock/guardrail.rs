//! The body of `POST /guardrail/{id}/version/{version}/apply`, and its reply.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::content::GuardrailQualifier;

/// The body of an ApplyGuardrail request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyGuardrailRequest<'a> {
    /// `INPUT` or `OUTPUT`.
    pub source: &'static str,
    pub content: Vec<GuardrailContentBlock<'a>>,
    /// `FULL` also returns what was not detected. Absent, only interventions are returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_scope: Option<&'static str>,
}

/// Content to evaluate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GuardrailContentBlock<'a> {
    Text(GuardrailTextBlock<'a>),
    Image(GuardrailImageBlock<'a>),
}

/// Text to evaluate.
#[derive(Debug, Serialize)]
pub struct GuardrailTextBlock<'a> {
    pub text: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub qualifiers: &'a [GuardrailQualifier],
}

/// An image to evaluate.
#[derive(Debug, Serialize)]
pub struct GuardrailImageBlock<'a> {
    /// `png` or `jpeg`.
    pub format: &'a str,
    pub source: GuardrailImageSource<'a>,
}

/// The bytes of an image, as Base64.
#[derive(Debug, Serialize)]
pub struct GuardrailImageSource<'a> {
    pub bytes: &'a str,
}

/// The reply of ApplyGuardrail.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplyGuardrailReply {
    pub usage: GuardrailUsage,
    /// `NONE` or `GUARDRAIL_INTERVENED`.
    pub action: String,
    #[serde(default)]
    pub outputs: Vec<GuardrailOutput>,
    #[serde(default)]
    pub assessments: Vec<Value>,
}

/// The message of a guardrail that blocks, or a text with masks.
#[derive(Debug, Deserialize)]
pub struct GuardrailOutput {
    #[serde(default)]
    pub text: String,
}

/// The units that a guardrail bills, by policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GuardrailUsage {
    pub topic_policy_units: u64,
    pub content_policy_units: u64,
    pub content_policy_image_units: u64,
    pub word_policy_units: u64,
    pub sensitive_information_policy_units: u64,
    pub contextual_grounding_policy_units: u64,
    pub automated_reasoning_policy_units: u64,
}
