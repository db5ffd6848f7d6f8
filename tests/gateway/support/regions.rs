//! Several simulators, each a region of its own.

use http::StatusCode;
use lintel::simulator::{ScriptedReply, Simulator};
use serde_json::{Value, json};

use super::{Gateway, serve, simulator};

/// A gateway over three regions. Its own simulator is `us-east-1`.
pub struct Regions {
    pub gateway: Gateway,
    pub east: Simulator,
    pub west: Simulator,
    pub europe: Simulator,
}

impl Regions {
    /// Starts the gateway with more settings, as [`Gateway::start_with`] does.
    pub async fn start(more: &str) -> Self {
        let east = simulator();
        let url = format!("http://{}", serve(east.router()).await);
        Self::start_at(east, &url, more).await
    }

    /// Starts the gateway with another URL for `us-east-1`.
    pub async fn start_at(east: Simulator, url: &str, more: &str) -> Self {
        let (west, europe) = (simulator(), simulator());
        let aws = format!(
            r#"
            regions.us-east-1.endpoint_url = "{url}"
            regions.us-west-2.endpoint_url = "http://{}"
            regions.eu-west-1.endpoint_url = "http://{}"
            "#,
            serve(west.router()).await,
            serve(europe.router()).await,
        );
        Self {
            gateway: Gateway::start_at(east.clone(), &aws, more).await,
            east,
            west,
            europe,
        }
    }

    /// The number of requests that each region has received.
    pub fn received(&self) -> [usize; 3] {
        [&self.east, &self.west, &self.europe].map(|region| region.received().len())
    }

    /// Sends `text` to `model`, and returns the region that answered.
    pub async fn region_of(&self, model: &str, text: &str) -> String {
        let reply = self.gateway.chat(&ask(model, text)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.header("x-lintel-region").unwrap().to_owned()
    }
}

/// A request with one user message to `model`.
pub fn ask(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// An error of the service.
pub fn failure(status: u16, name: &str) -> ScriptedReply {
    let mut scripted = ScriptedReply::json(status, json!({"message": "no"}).to_string());
    let header = ("x-amzn-errortype".into(), name.into());
    scripted.headers.push(header);
    scripted
}
