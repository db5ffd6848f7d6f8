//! How to connect to AWS.

use std::collections::HashMap;

use super::tls::TrustedRoots;
use crate::call::Secret;

/// How to connect to AWS. Unset members come from the SDK's default chain and the `AWS_*` variables.
#[derive(Clone, Debug, Default)]
pub struct AwsSettings {
    /// URLs of single services, instead of the region's.
    pub endpoints: Endpoints,
    /// The same for single regions. What one does not name is that of all regions.
    pub regional_endpoints: HashMap<String, Endpoints>,
    /// Named profile of the shared AWS config files.
    pub profile: Option<String>,
    /// Role to assume before calling Bedrock.
    pub assume_role: Option<AssumeRole>,
    /// Sessions of roles carry the caller of a model as tags.
    pub session_tags: bool,
    /// Other accounts, by name.
    pub accounts: HashMap<String, Account>,
    /// Certificate authorities to trust instead of the system's.
    pub roots: Option<TrustedRoots>,
    /// Bedrock API key. It replaces signatures, except for Knowledge Bases, which accept no API keys.
    pub api_key: Option<Secret>,
    /// The service name in signatures for `bedrock-mantle`. `None` means `bedrock-mantle`.
    pub mantle_signing_name: Option<String>,
    /// Access key id and secret access key that replace the default chain. The embedded simulator uses them.
    pub static_credentials: Option<(String, Secret)>,
}

impl AwsSettings {
    /// Returns the settings for the account of `role`, which accepts no API key of another.
    #[must_use]
    pub fn in_account(&self, role: &AssumeRole) -> Self {
        Self {
            assume_role: Some(role.clone()),
            api_key: None,
            ..self.clone()
        }
    }

    /// Returns the URLs for calls to `region`.
    pub fn endpoints_in(&self, region: &str) -> &Endpoints {
        let regional = self.regional_endpoints.get(region);
        regional.unwrap_or(&self.endpoints)
    }
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
    /// Returns these endpoints, with those of `others` where these have none.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        Self {
            runtime: self.runtime.or_else(|| others.runtime.clone()),
            agent_runtime: self.agent_runtime.or_else(|| others.agent_runtime.clone()),
            control_plane: self.control_plane.or_else(|| others.control_plane.clone()),
            mantle: self.mantle.or_else(|| others.mantle.clone()),
            sts: self.sts.or_else(|| others.sts.clone()),
        }
    }

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

/// Another account than the gateway's own.
#[derive(Clone, Debug)]
pub struct Account {
    pub role: AssumeRole,
    /// The regions where it is called. If `None`, all of a model.
    pub regions: Option<Vec<String>>,
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
