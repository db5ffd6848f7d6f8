//! Sends requests to the admin API: that of the gateway that runs with the same configuration or, if none runs, one in
//! this process over the ledger's file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::{Router, body::Body};
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::Outcome;
use crate::{
    admin::{KeyStore, api},
    call::Secret,
    config::{self, Administration, Environment},
    edge::{AwsPairs, Keys},
    governance::{Ledger, Location},
    server::{TlsSettings, tls},
};

/// A successful response of the admin API.
pub struct Answer {
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, or `Null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request to the admin API.
///
/// # Errors
/// The outcome of the command if the request fails.
pub async fn ask(
    config: &std::path::Path,
    method: Method,
    path: &str,
    body: Option<String>,
) -> Result<Answer, Outcome> {
    let settings = config::administration(config, &Environment::of_process(Vec::new()))
        .map_err(|problems| Outcome::Misconfigured(config.display().to_string(), problems))?;
    let request = |origin: &str, token: Option<&Secret>| {
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{origin}{path}"));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        let user = std::env::var("USER").unwrap_or_else(|_| "cli".to_owned());
        let body = body.clone().unwrap_or_default();
        request
            .header(api::ACTOR, user)
            .body(body)
            .map_err(|error| Outcome::Failed(error.to_string()))
    };
    let address = reachable(settings.listen);
    match tokio::net::TcpStream::connect(address).await {
        Ok(_) => {
            let Some(token) = &settings.token else {
                return Err(Outcome::Failed(format!(
                    "a gateway runs at {address}, but the admin token is not set here; set the variable that admin.token_env names"
                )));
            };
            let scheme = if settings.tls.is_some() {
                "https"
            } else {
                "http"
            };
            let request = request(&format!("{scheme}://{address}"), Some(token))?;
            over_the_network(request, settings.tls.as_ref()).await
        }
        Err(_) => in_this_process(settings, request("", None)?).await,
    }
}

/// The address at which this machine reaches a listener; one on all addresses is reached on loopback.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn over_the_network(
    request: Request<String>,
    tls: Option<&TlsSettings>,
) -> Result<Answer, Outcome> {
    let failed =
        |error: reqwest::Error| Outcome::Failed(format!("the gateway did not answer: {error}"));
    let (parts, body) = request.into_parts();
    let mut client = reqwest::Client::builder().no_proxy();
    if let Some(tls) = tls {
        client = client.tls_backend_preconfigured(tls::client(tls).map_err(Outcome::Failed)?);
    }
    let client = client.build().map_err(failed)?;
    let response = client
        .request(parts.method, parts.uri.to_string())
        .headers(parts.headers)
        .body(body)
        .send()
        .await
        .map_err(failed)?;
    let status = response.status();
    let body = response.bytes().await.map_err(failed)?.to_vec();
    checked(status, body)
}

async fn in_this_process(
    settings: Administration,
    request: Request<String>,
) -> Result<Answer, Outcome> {
    if settings.store.location == Location::Memory {
        return Err(Outcome::Failed(format!(
            "no gateway answers at {}, and store.url is \"memory:\", so there is no ledger to read",
            settings.listen
        )));
    }
    if let Location::File(path) = &settings.store.location
        && !path.exists()
    {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        return Err(Outcome::Failed(format!(
            "no gateway answers at {}, and there is no ledger at {} (a relative store.url starts at the working directory)",
            settings.listen,
            path.display()
        )));
    }
    let (alerts, _none) = mpsc::channel(1);
    let failed = |error: String| {
        Outcome::Failed(format!(
            "no gateway answers at {}; the ledger: {error}",
            settings.listen
        ))
    };
    let ledger = Ledger::open(&settings.store, alerts)
        .await
        .map_err(failed)?;
    let keys = KeyStore::new(Keys::default(), ledger.clone(), settings.teams)
        .with_aws_pairs(AwsPairs::new(&settings.sigv4_keys));
    ledger
        .set_all_budgets(settings.budgets)
        .await
        .map_err(failed)?;
    keys.load().await.map_err(failed)?;
    let router: Router = api::router(api::Api {
        upstream: None,
        ledger: ledger.clone(),
        keys,
        reloader: None,
        edge: None,
    });
    let response = router
        .oneshot(request.map(Body::from))
        .await
        .unwrap_or_else(|never| match never {});
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| Outcome::Failed(error.to_string()))?;
    ledger.close().await;
    checked(status, body.to_bytes().to_vec())
}

fn checked(status: http::StatusCode, body: Vec<u8>) -> Result<Answer, Outcome> {
    let answer = Answer { body };
    if status.is_success() {
        return Ok(answer);
    }
    let message = answer.json()["error"]["message"]
        .as_str()
        .map_or_else(|| answer.text(), str::to_owned);
    Err(Outcome::Failed(message))
}
