//! Posts alerts to the operator's URL, signed and with retries, without delaying any request.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use sha2::Sha256;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    call::{Alert, Secret},
    metrics,
};

/// The most alerts that wait for delivery. Further ones are only logged.
pub const QUEUE_LIMIT: usize = 1000;

const TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 5;

/// A URL to which alerts are posted as JSON. If there is a secret, the header `x-lintel-signature` is `sha256=`
/// followed by the HMAC-SHA256 of the body in hexadecimal.
#[derive(Clone, Debug)]
pub struct Webhook {
    client: reqwest::Client,
    url: Url,
    secret: Option<Secret>,
}

impl Webhook {
    /// Creates the client.
    ///
    /// # Errors
    /// Returns the reason if `url` is not an http or https URL, or TLS cannot be set up.
    pub fn new(url: &str, secret: Option<Secret>) -> Result<Self, String> {
        let url: Url = url.parse().map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("must be an http or https URL".to_owned());
        }
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Ok(Self {
            client: client.map_err(|error| format!("TLS cannot be set up: {error}"))?,
            url,
            secret,
        })
    }

    /// Posts alerts one by one until `shutdown`.
    pub async fn run(self, mut alerts: mpsc::Receiver<Alert>, shutdown: CancellationToken) {
        loop {
            let alert = tokio::select! {
                alert = alerts.recv() => alert,
                () = shutdown.cancelled() => break,
            };
            let Some(alert) = alert else { break };
            tokio::select! {
                delivered = self.deliver(&alert) => {
                    metrics::alert(alert.kind(), if delivered { "delivered" } else { "given_up" });
                }
                () = shutdown.cancelled() => break,
            }
        }
    }

    async fn deliver(&self, alert: &Alert) -> bool {
        // An alert has only strings and integers, so serialization cannot fail.
        let body = serde_json::to_vec(alert).unwrap_or_default();
        let mut pause = Duration::from_secs(1);
        for attempt in 1..=ATTEMPTS {
            let problem = match self.post(&body).await {
                Ok(status) if status.is_success() => return true,
                Ok(status) => format!("status {}", status.as_u16()),
                // The URL may contain a secret.
                Err(error) => error.without_url().to_string(),
            };
            tracing::warn!(
                kind = alert.kind(),
                attempt,
                problem,
                "an alert could not be delivered"
            );
            if attempt < ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        false
    }

    async fn post(&self, body: &[u8]) -> Result<reqwest::StatusCode, reqwest::Error> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json");
        if let Some(signature) = self.secret.as_ref().and_then(|secret| sign(secret, body)) {
            request = request.header("x-lintel-signature", signature);
        }
        Ok(request.body(body.to_vec()).send().await?.status())
    }
}

fn sign(secret: &Secret, body: &[u8]) -> Option<String> {
    // HMAC accepts keys of any length, so this is never none.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(body);
    Some(format!(
        "sha256={}",
        hex::encode(mac.finalize().into_bytes())
    ))
}
