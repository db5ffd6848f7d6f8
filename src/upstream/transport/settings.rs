//! How to connect to AWS.

use super::tls::TrustedRoots;
use crate::call::Secret;

/// How to connect to AWS. Unset members come from the SDK's default chain and the `AWS_*` variables.
#[derive(Clone, Debug, Default)]
pub struct AwsSettings {
    /// URLs of single services, instead of the region's.
    pub endpoints: Endpoints,
    /// Named profile of the shared AWS config files.
    pub profile: Option<String>,
    /// Role to assume before calling Bedrock.
    pub assume_role: Option<AssumeRole>,
    /// Certificate authorities to trust instead of the system's.
    pub roots: Option<TrustedRoots>,
    /// Bedrock API key. It replaces signatures, except for Knowledge Bases, which accept no API keys.
    pub api_key: Option<Secret>,
    /// The service name in signatures for `bedrock-mantle`. `None` means `bedrock-mantle`.
    pub mantle_signing_name: Option<String>,
    /// Access key id and secret access key that replace the default chain. The embedded simulator uses them.
    pub static_credentials: Option<(String, Secret)>,
}

/// The base URL of each service that the gateway calls.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// `bedrock-runtime`: models and guardrails.
    pub runtime: Option<String>,
    /// `bedrock-agent-runtime`: Knowledge Bases.
    pub agent_runtime: Option<String>,
    /// `bedrock`: lookups of ARNs.
    pub control_plane: Option<String>,
    /// `bedrock-mantle`: OpenAI-compatible endpoints.
    pub mantle: Option<String>,
    /// `sts`: the role to assume.
    pub sts: Option<String>,
}

impl Endpoints {
    /// Returns the endpoints if one URL serves all of Bedrock. STS keeps its own, because it is another service.
    pub fn of_bedrock(url: &str) -> Self {
        Self {
            runtime: Some(url.to_owned()),
            agent_runtime: Some(url.to_owned()),
            control_plane: Some(url.to_owned()),
            mantle: Some(url.to_owned()),
            sts: None,
        }
    }
}

/// A role that the gateway assumes before it calls Bedrock.
#[derive(Clone, Debug)]
pub struct AssumeRole {
    /// ARN of the role.
    pub arn: String,
    /// External id that the role's trust policy requires.
    pub external_id: Option<Secret>,
    /// `RoleSessionName`, which appears in CloudTrail.
    pub session_name: String,
}
