//! Requests to endpoints other than chat completions.

use http::{HeaderName, Request};
use serde_json::Value;

use super::{ANY_KEY, Gateway, KEY, Reply};

pub const EMBEDDINGS: &str = "/v1/embeddings";
pub const COMPLETIONS: &str = "/v1/completions";
pub const COUNT_TOKENS: &str = "/v1/count_tokens";
pub const MESSAGES: &str = "/v1/messages";
pub const MESSAGES_COUNT_TOKENS: &str = "/v1/messages/count_tokens";
pub const MODERATIONS: &str = "/v1/moderations";

/// Returns true if a header of a reply is one of Anthropic's API.
pub fn is_of_anthropic(name: &HeaderName) -> bool {
    name.as_str() == "request-id" || name.as_str().starts_with("anthropic-ratelimit-")
}

impl Gateway {
    /// `POST path` with the key `secret`.
    pub async fn ask(&self, path: &str, secret: &str, body: &Value) -> Reply {
        let request = Request::post(format!("http://{}{path}", self.data))
            .header("authorization", format!("Bearer {secret}"))
            .header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap())
            .await
    }

    /// `POST /v1/embeddings` with the test's key.
    pub async fn embed(&self, body: &Value) -> Reply {
        self.ask(EMBEDDINGS, KEY, body).await
    }

    /// The same with a key that may use every Bedrock id.
    pub async fn embed_any(&self, body: &Value) -> Reply {
        self.ask(EMBEDDINGS, ANY_KEY, body).await
    }

    /// `POST /v1/completions` with the test's key.
    pub async fn complete(&self, body: &Value) -> Reply {
        self.ask(COMPLETIONS, KEY, body).await
    }

    /// `GET /v1/usage` of a key.
    pub async fn page(&self, secret: &str) -> Value {
        let request = Request::get(format!("http://{}/v1/usage", self.data))
            .header("authorization", format!("Bearer {secret}"));
        let request = request.body(axum::body::Body::empty()).unwrap();
        self.send(request).await.json()
    }

    /// The bodies that Bedrock has received, oldest first.
    pub fn bodies(&self) -> Vec<Value> {
        let received = self.simulator.received();
        let bodies = received
            .iter()
            .map(|request| serde_json::from_slice(&request.body));
        bodies.collect::<Result<_, _>>().unwrap()
    }

    /// Tokens on Bedrock's bill: input and output.
    pub fn billed(&self) -> (i64, i64) {
        let count = |line: &Value, part: &str, name: &str| line[part][name].as_i64().unwrap();
        let invocations = self.simulator.invocations();
        let lines = invocations.iter().map(|line| {
            (
                count(line, "input", "inputTokenCount"),
                count(line, "output", "outputTokenCount"),
            )
        });
        lines.fold((0, 0), |sum, line| (sum.0 + line.0, sum.1 + line.1))
    }
}
