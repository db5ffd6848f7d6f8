//! Fetches media that a request references by URL. Off unless the operator allows hosts, because a URL lets a client
//! choose where the gateway connects. Connections go to public addresses only, checked for every connection and
//! redirect, and size and time are limited.

mod address;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Client, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::LOCATION,
    redirect::Policy,
};
use wildmatch::WildMatch;

use crate::error::{Error, Kind};

const MAX_REDIRECTS: usize = 3;

/// The URLs that may be fetched, and the limits of a fetch.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// Globs of the allowed host names.
    pub hosts: Vec<WildMatch>,
    /// Globs of the allowed `s3://` URLs, which Bedrock reads with the gateway's role.
    pub s3: Vec<WildMatch>,
    /// The limit on the total size of the files of one request, in bytes.
    pub max_size: usize,
    /// The time limit for one file, including redirects.
    pub timeout: Duration,
    /// Allows `http` besides `https`.
    pub allow_http: bool,
    /// The ports that a URL may name. The scheme's own port counts as named.
    pub ports: Vec<u16>,
}

/// Fetches files within its settings. Cheap to clone.
#[derive(Clone)]
pub struct RemoteMedia {
    client: Client,
    settings: Arc<FetchSettings>,
    allowed: fn(IpAddr) -> bool,
}

impl std::fmt::Debug for RemoteMedia {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteMedia")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl RemoteMedia {
    /// Creates the client.
    ///
    /// # Errors
    /// Returns the reason if TLS cannot be set up.
    pub fn new(settings: FetchSettings) -> Result<Self, String> {
        Self::with_addresses(settings, address::is_public)
    }

    fn with_addresses(
        settings: FetchSettings,
        allowed: fn(IpAddr) -> bool,
    ) -> Result<Self, String> {
        let client = Client::builder()
            // `follow` checks every redirect itself.
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(settings.timeout)
            .user_agent(concat!("lintel/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(FilteringResolver(allowed)))
            // A reused connection would skip the check of its address.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            settings: Arc::new(settings),
            allowed,
        })
    }

    /// Returns whether Bedrock may read this `s3://` URL for a client.
    pub fn allows_s3(&self, url: &str) -> bool {
        self.settings.s3.iter().any(|glob| glob.matches(url))
    }

    /// Returns a new counter of the bytes that the files of one request may still have.
    pub fn byte_budget(&self) -> AtomicUsize {
        AtomicUsize::new(self.settings.max_size)
    }

    /// Returns the file behind `url` as Base64, and subtracts its size from `byte_budget`. `param` is the place of the
    /// URL in the request.
    ///
    /// # Errors
    /// Returns an invalid-request error with the code `unsupported_url` if the URL is not allowed or the file cannot be
    /// fetched. Its message never says what an address answered.
    pub async fn fetch(
        &self,
        url: &str,
        param: &str,
        byte_budget: &AtomicUsize,
    ) -> Result<String, Error> {
        let fetch =
            tokio::time::timeout(self.settings.timeout, self.follow(url, param, byte_budget));
        match fetch.await {
            Ok(result) => result,
            Err(_) => Err(invalid_url(
                param,
                format!(
                    "The file behind the URL was not fetched within {:?}. Send the bytes as a data URL.",
                    self.settings.timeout
                ),
            )),
        }
    }

    async fn follow(
        &self,
        url: &str,
        param: &str,
        byte_budget: &AtomicUsize,
    ) -> Result<String, Error> {
        let mut at = Url::parse(url).map_err(|_| invalid_url(param, "This is not a valid URL."))?;
        for _ in 0..=MAX_REDIRECTS {
            self.check(&at, param)?;
            let response = self
                .client
                .get(at.clone())
                .send()
                .await
                .map_err(|error| fetch_failed(param, error))?;
            if !response.status().is_redirection() {
                return self.read(response, param, byte_budget).await;
            }
            let location = response
                .headers()
                .get(LOCATION)
                .and_then(|location| location.to_str().ok());
            let next = location.and_then(|location| at.join(location).ok());
            at = next
                .ok_or_else(|| invalid_url(param, "The URL redirects without a valid location."))?;
        }
        Err(invalid_url(
            param,
            format!("The URL redirects more than {MAX_REDIRECTS} times."),
        ))
    }

    fn check(&self, url: &Url, param: &str) -> Result<(), Error> {
        let scheme =
            url.scheme() == "https" || (url.scheme() == "http" && self.settings.allow_http);
        if !scheme {
            return Err(invalid_url(
                param,
                "Only https URLs can be fetched. Use https, or send the bytes as a data URL.",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid_url(
                param,
                "URLs with a user name or password are not fetched. Send the bytes as a data URL.",
            ));
        }
        let host = url.host_str().unwrap_or_default();
        if !self.settings.hosts.iter().any(|glob| glob.matches(host)) {
            return Err(invalid_url(
                param,
                "This gateway does not fetch from this host. Send the bytes as a data URL.",
            ));
        }
        let port = url.port_or_known_default();
        if !port.is_some_and(|port| self.settings.ports.contains(&port)) {
            return Err(invalid_url(
                param,
                "This gateway does not fetch from this port. Send the bytes as a data URL.",
            ));
        }
        // An address in the URL is not resolved, so the resolver cannot check it.
        let literal = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        match literal {
            Ok(address) if !(self.allowed)(address) => Err(invalid_url(
                param,
                "This address is not public. Send the bytes as a data URL.",
            )),
            _ => Ok(()),
        }
    }

    async fn read(
        &self,
        mut response: Response,
        param: &str,
        byte_budget: &AtomicUsize,
    ) -> Result<String, Error> {
        if !response.status().is_success() {
            return Err(invalid_url(
                param,
                "The file behind the URL could not be fetched.",
            ));
        }
        let too_large = || {
            let max = self.settings.max_size;
            invalid_url(
                param,
                format!("The files of a request may have at most {max} bytes in total."),
            )
        };
        if response
            .content_length()
            .is_some_and(|length| length > self.settings.max_size as u64)
        {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| fetch_failed(param, error))?
        {
            let take = |left: usize| left.checked_sub(chunk.len());
            byte_budget
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .map_err(|_| too_large())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(STANDARD.encode(bytes))
    }
}

/// Resolves a name to those of its addresses that are allowed. The connection goes to one of these, so a name cannot be
/// rebound after the check.
struct FilteringResolver(fn(IpAddr) -> bool);

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| allowed(address.ip())).collect();
            if public.is_empty() {
                return Err("no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn invalid_url(param: &str, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid(param, message).with_code("unsupported_url")
}

/// The cause is only logged, because it would reveal who answers inside the network. The URL appears nowhere, because
/// it may be signed and therefore secret.
fn fetch_failed(param: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Error::new(
        Kind::InvalidRequest,
        "The file behind the URL could not be fetched.",
    )
    .with_param(param)
    .with_code("unsupported_url")
    .with_detail(cause.to_string())
}

#[cfg(test)]
mod tests;
