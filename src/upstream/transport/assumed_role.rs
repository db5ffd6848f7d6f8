//! Assumes a role with session tags. The SDK's provider of an assumed role has no tags.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::{
    Credentials,
    provider::{error::CredentialsError, future},
};
use aws_sdk_sts::{Client, error::ProvideErrorMetadata, types::Tag};

use super::{
    attribution::{OpenSession, Tags},
    settings::AssumeRole,
};

/// The errors by which STS refuses a session, although it works (STS, `AssumeRole`).
const REFUSALS: [&str; 4] = [
    "AccessDenied",
    "MalformedPolicyDocument",
    "PackedPolicyTooLarge",
    "ValidationError",
];

/// A role, and the STS that hands out its sessions.
#[derive(Debug)]
pub struct AssumedRole {
    sts: Client,
    role: AssumeRole,
}

impl AssumedRole {
    /// Creates the role. `config` has the credentials that assume it, and the endpoint of STS.
    pub fn new(role: &AssumeRole, config: &SdkConfig) -> Self {
        Self {
            sts: Client::new(config),
            role: role.clone(),
        }
    }

    async fn assume(&self, tags: &Tags) -> Result<Credentials, CredentialsError> {
        let tags = tags
            .iter()
            .map(|(key, value)| Tag::builder().key(key).value(value).build());
        let tags: Result<Vec<_>, _> = tags.collect();
        let external_id = self.role.external_id.as_ref();
        // Without a duration, a session lasts an hour, which is also the most for a role that another role assumes.
        let reply = self
            .sts
            .assume_role()
            .role_arn(&self.role.arn)
            .role_session_name(&self.role.session_name)
            .set_external_id(external_id.map(|id| id.expose().to_owned()))
            .set_tags(Some(tags.map_err(CredentialsError::unhandled)?))
            .send()
            .await
            .map_err(|error| match error.code() {
                // Of these tags, or of the role.
                Some(code) if REFUSALS.contains(&code) => {
                    CredentialsError::invalid_configuration(error)
                }
                _ => CredentialsError::provider_error(error),
            })?;
        let session = reply
            .credentials
            .ok_or_else(|| CredentialsError::unhandled("STS returned no credentials"))?;
        let expiry = SystemTime::try_from(*session.expiration());
        Ok(Credentials::new(
            session.access_key_id(),
            session.secret_access_key(),
            Some(session.session_token().to_owned()),
            Some(expiry.map_err(CredentialsError::unhandled)?),
            "session tags",
        ))
    }
}

impl OpenSession for AssumedRole {
    fn open<'a>(&'a self, tags: &'a Tags) -> future::ProvideCredentials<'a> {
        future::ProvideCredentials::new(self.assume(tags))
    }
}
