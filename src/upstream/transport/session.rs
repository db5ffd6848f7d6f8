//! What all clients of AWS share: connections, credentials and the SDK's configuration.

use aws_config::{
    BehaviorVersion, Region, SdkConfig, identity::IdentityCache, sts::AssumeRoleProvider,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_bedrockruntime::config::{
    StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
};

use super::{
    assumed_role::AssumedRole,
    attribution::TaggedSessions,
    credentials::CredentialCache,
    http_client::{CONNECT_TIMEOUT, Connections},
    settings::{AssumeRole, AwsSettings},
    tls::TrustedRoots,
};

/// The parts that all clients share.
pub struct Session {
    /// The configuration of every client, with the credentials of `credentials`.
    pub config: SdkConfig,
    pub connections: Connections,
    pub credentials: CredentialCache,
    /// The sessions of single callers, if they have any.
    pub tagged: Option<TaggedSessions>,
}

impl Session {
    /// Reads the SDK's default chain and the `AWS_*` variables. Does not wait for credentials. `account` is the configured
    /// name of the account.
    ///
    /// # Errors
    /// If TLS cannot be set up, or nothing provides credentials.
    pub async fn load(settings: &AwsSettings, region: &str, account: &str) -> Result<Self, String> {
        let roots = settings.roots.clone().unwrap_or_else(TrustedRoots::system);
        let connections = Connections::new(&roots)?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .http_client(connections.clone())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .build(),
            );
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some((id, secret)) = &settings.static_credentials {
            let fixed = Credentials::new(id, secret.expose(), None, None, "static");
            loader = loader.credentials_provider(fixed);
        }
        let config = loader.load().await;
        let sts = sts_config(settings.endpoints.sts.as_deref(), &config);
        let role = settings.assume_role.as_ref();
        let source = match role {
            Some(role) => assumed_role(role, &sts).await,
            None => config
                .credentials_provider()
                .ok_or("no credentials provider")?,
        };
        let tagged = role.filter(|_| settings.session_tags);
        let tagged = tagged.map(|role| TaggedSessions::new(AssumedRole::new(role, &sts), account));
        let credentials = CredentialCache::new(source);
        let config = config
            .into_builder()
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            .identity_cache(IdentityCache::no_cache())
            // The gateway has its own retries, which metrics and budgets account for.
            .retry_config(RetryConfig::disabled())
            .build();
        Ok(Self {
            config,
            connections,
            credentials,
            tagged,
        })
    }
}

/// Returns the configuration of clients of STS. Its requests are free, so the SDK repeats them, for example with a corrected
/// clock.
fn sts_config(url: Option<&str>, config: &SdkConfig) -> SdkConfig {
    let config = config.to_builder().retry_config(RetryConfig::standard());
    match url {
        Some(url) => config.endpoint_url(url).build(),
        None => config.build(),
    }
}

/// Returns the provider of the role's credentials.
async fn assumed_role(role: &AssumeRole, sts: &SdkConfig) -> SharedCredentialsProvider {
    let mut provider = AssumeRoleProvider::builder(&role.arn)
        .session_name(&role.session_name)
        .configure(sts);
    if let Some(external_id) = &role.external_id {
        provider = provider.external_id(external_id.expose());
    }
    SharedCredentialsProvider::new(provider.build().await)
}
