//! Fetches media that a request names by URL. Off unless the operator names hosts, because whoever sends a URL chooses
//! where the gateway connects: only public addresses, looked at when the connection is made, on redirects too, with
//! caps on size and time.

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

/// What may be fetched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Globs over host names.
    pub hosts: Vec<WildMatch>,
    /// Globs over `s3://` URLs, which Bedrock reads with the gateway's own role.
    pub s3: Vec<WildMatch>,
    /// Bytes of all files of one request.
    pub max_size: usize,
    /// For one file, redirects and all.
    pub timeout: Duration,
    /// Plain `http` besides `https`.
    pub allow_http: bool,
}

/// Fetches what its settings allow. Cheap to clone.
#[derive(Clone)]
pub struct RemoteMedia {
    client: Client,
    settings: Arc<Settings>,
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
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(settings: Settings) -> Result<Self, String> {
        Self::with_addresses(settings, address::is_public)
    }

    fn with_addresses(settings: Settings, allowed: fn(IpAddr) -> bool) -> Result<Self, String> {
        let client = Client::builder()
            // Each step is looked at here.
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(settings.timeout)
            .user_agent(concat!("lintel/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(OnlyAllowed(allowed)))
            // A kept connection would skip the look at its address.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            settings: Arc::new(settings),
            allowed,
        })
    }

    /// May Bedrock read this `s3://` URL for a client?
    pub fn allows_s3(&self, url: &str) -> bool {
        self.settings.s3.iter().any(|glob| glob.matches(url))
    }

    /// Bytes that all files of one request may have.
    pub fn budget(&self) -> AtomicUsize {
        AtomicUsize::new(self.settings.max_size)
    }

    /// The file behind `url`, as Base64; `param` is where the request names it. Its bytes are taken off `budget`.
    ///
    /// # Errors
    /// A 400 that says what was wrong with the URL or its file. Never what an address answered.
    pub async fn fetch(
        &self,
        url: &str,
        param: &str,
        budget: &AtomicUsize,
    ) -> Result<String, Error> {
        let fetch = tokio::time::timeout(self.settings.timeout, self.follow(url, param, budget));
        match fetch.await {
            Ok(result) => result,
            Err(_) => Err(refused(
                param,
                "The file behind the URL did not come in time.",
            )),
        }
    }

    async fn follow(&self, url: &str, param: &str, budget: &AtomicUsize) -> Result<String, Error> {
        let mut at = Url::parse(url).map_err(|_| refused(param, "This is not a URL."))?;
        for _ in 0..=MAX_REDIRECTS {
            self.check(&at, param)?;
            let response = self
                .client
                .get(at.clone())
                .send()
                .await
                .map_err(|error| unreachable_at(param, error))?;
            if !response.status().is_redirection() {
                return self.read(response, param, budget).await;
            }
            let location = response
                .headers()
                .get(LOCATION)
                .and_then(|location| location.to_str().ok());
            let next = location.and_then(|location| at.join(location).ok());
            at = next.ok_or_else(|| refused(param, "The URL redirects to nowhere."))?;
        }
        Err(refused(param, "The URL redirects too often."))
    }

    fn check(&self, url: &Url, param: &str) -> Result<(), Error> {
        let scheme =
            url.scheme() == "https" || (url.scheme() == "http" && self.settings.allow_http);
        if !scheme {
            return Err(refused(param, "Only https URLs are fetched here."));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(param, "A URL with a user name is not fetched."));
        }
        let host = url.host_str().unwrap_or_default();
        if !self.settings.hosts.iter().any(|glob| glob.matches(host)) {
            return Err(refused(
                param,
                "This gateway does not fetch from this host. Send the bytes as a data URL.",
            ));
        }
        // An address in the URL never meets the resolver.
        let literal = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        match literal {
            Ok(address) if !(self.allowed)(address) => {
                Err(refused(param, "This address is not a public one."))
            }
            _ => Ok(()),
        }
    }

    async fn read(
        &self,
        mut response: Response,
        param: &str,
        budget: &AtomicUsize,
    ) -> Result<String, Error> {
        if !response.status().is_success() {
            return Err(refused(param, "The file behind the URL could not be had."));
        }
        let too_large = || {
            let max = self.settings.max_size;
            refused(
                param,
                format!("The files of a request may have {max} bytes together."),
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
            .map_err(|error| unreachable_at(param, error))?
        {
            let take = |left: usize| left.checked_sub(chunk.len());
            budget
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .map_err(|_| too_large())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(STANDARD.encode(bytes))
    }
}

/// Resolves a name to those of its addresses that may be connected to. The connection is made to what is returned, so
/// a name that changes its mind afterwards gains nothing.
struct OnlyAllowed(fn(IpAddr) -> bool);

impl Resolve for OnlyAllowed {
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

fn refused(param: &str, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid(param, message).with_code("unsupported_url")
}

/// The cause is for the log alone: it would tell who answers inside the network. The URL is for neither: it may be
/// signed, and so a secret.
fn unreachable_at(param: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Error::new(
        Kind::InvalidRequest,
        "The file behind the URL could not be had.",
    )
    .with_param(param)
    .with_code("unsupported_url")
    .with_detail(cause.to_string())
}

#[cfg(test)]
mod tests;
