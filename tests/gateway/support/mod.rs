//! Starts a gateway with a simulator, and sends requests to it. Checks the headers of every reply.

pub mod certificates;
pub mod endpoints;
pub mod log;
pub mod money;
pub mod regions;
mod reply;
pub mod upstream;
pub mod video;

use std::{net::SocketAddr, sync::OnceLock, time::Duration};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use lintel::{
    app::App,
    call::Secret,
    config::{self, Environment},
    simulator::{ReceivedRequest, Simulator},
    telemetry::Telemetry,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use reply::Reply;
pub use upstream::{serve, simulator};

/// The key of most tests. It has no globs over models.
pub const KEY: &str = "sk-test-0123456789abcdef0123456789abcdef";

/// A key that may use every model, including raw Bedrock ids.
pub const ANY_KEY: &str = "sk-test-any";

/// The time limit of each wait: a test that waits longer fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The token of the admin API.
pub const ADMIN_TOKEN: &str = "admin-token-of-the-gateway-tests";

/// The allowed headers of replies. Any other header fails the test, because it could reveal something of AWS.
const ALLOWED_HEADERS: [&str; 30] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "content-type",
    "content-length",
    "transfer-encoding",
    "date",
    "connection",
    "cache-control",
    "x-accel-buffering",
    "allow",
    "x-request-id",
    "openai-processing-ms",
    "x-lintel-model",
    "x-lintel-cost-usd",
    "x-lintel-attempts",
    "x-lintel-region",
    "x-lintel-route",
    "x-lintel-warnings",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "www-authenticate",
    "vary",
    "access-control-allow-origin",
    "access-control-allow-headers",
    "access-control-allow-methods",
];

/// A running gateway and its simulator. Dropping it shuts the gateway down.
pub struct Gateway {
    pub simulator: Simulator,
    pub data: SocketAddr,
    pub admin: SocketAddr,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<()>,
    pub client: Client<hyper_util::client::legacy::connect::HttpConnector, Body>,
}

/// Returns the configuration of the tests. `aws` is inserted in `[aws]`, and `more` at the end of `[server]`; it can add
/// further tables. Without `[defaults]` in it, the default of `max_tokens` is 4096.
fn configuration(aws: &str, more: &str) -> String {
    let given = [aws, more].concat();
    let unless = |own: &str, text: &'static str| if given.contains(own) { "" } else { text };
    // No load balancer watches the gateway.
    let pre_stop = unless("pre_stop", "pre_stop = \"0s\"");
    let store = unless("[store]", "[store]\n        url = \"memory:\"");
    let defaults = unless("[defaults]", "[defaults]\n        max_tokens = 4096");
    format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        {pre_stop}
        {more}
        [admin]
        listen = "127.0.0.1:0"
        {store}
        [aws]
        region = "us-east-1"
        {aws}
        {defaults}
        [defaults.retry]
        attempts = 1
        [models.again]
        target = "amazon.nova-2-lite-v1:0"
        retry = {{ attempts = 3, base = "1ms" }}
        [models.claude]
        target = "us.anthropic.claude-sonnet-5-5"
        max_tokens = 1000
        use_cases = ["code_generation"]
        [models.nova]
        target = "amazon.nova-lite-v1:0"
        regions = ["us-west-2"]
        temperature = 0.5
        top_p = 0.9
        [models.hasty]
        target = "amazon.nova-micro-v1:0"
        timeout = "200ms"
        first_token_timeout = "1s"
        idle_timeout = "200ms"
        [models.patient]
        target = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
        idle_timeout = "200ms"
        [models.strict]
        target = "amazon.nova-micro-v1:0"
        dropped_parameters = "refuse"
        [models.task]
        target = "claude"
        [keys.all]
        secret_env = "TEST_KEY"
        [keys.some]
        sha256 = "{some}"
        models = ["nova", "us.amazon.*"]
        [keys.any]
        sha256 = "{any}"
        models = ["*"]
        raw = true
        [keys.old]
        sha256 = "{old}"
        expires = "2020-01-01T00:00:00Z"
        "#,
        some = sha256("sk-test-some"),
        old = sha256("sk-test-old"),
        any = sha256(ANY_KEY),
    )
}

/// Returns the SHA-256 of `text` in hexadecimal.
pub fn sha256(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text.as_bytes()))
}

/// Installs the metrics recorder once, because a process can have only one. Tests distinguish metrics by model.
pub fn telemetry() -> Telemetry {
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    TELEMETRY
        .get_or_init(|| Telemetry::install(None).unwrap())
        .clone()
}

impl Gateway {
    /// Starts a gateway with the configuration of the tests.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts a gateway with more settings: those of `[server]` first, then further tables.
    pub async fn start_with(more: &str) -> Self {
        let simulator = simulator();
        let address = serve(simulator.router()).await;
        let aws = format!("endpoint_url = \"http://{address}\"");
        Self::start_at(simulator, &aws, more).await
    }

    /// Starts a gateway with the settings `aws` in `[aws]`, which name what serves `simulator`.
    pub async fn start_at(simulator: Simulator, aws: &str, more: &str) -> Self {
        Self::start_in(simulator, aws, more, &[]).await
    }

    /// Does the same with more environment variables.
    pub async fn start_in(
        simulator: Simulator,
        aws: &str,
        more: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let shutdown = CancellationToken::new();
        let own = [("TEST_KEY", KEY), ("LINTEL_ADMIN_TOKEN", ADMIN_TOKEN)];
        let variables = own.iter().chain(variables);
        let variables = variables.map(|(name, value)| (name.to_string(), value.to_string()));
        let environment = Environment {
            variables: variables.collect(),
            flags: Vec::new(),
        };
        let (mut config, _) = config::parse(&configuration(aws, more), &environment, None).unwrap();
        config.aws.settings.static_credentials =
            Some(("simulator".into(), Secret::new("simulator")));
        let app = App::bind(config, telemetry()).await.unwrap();
        Self::run(simulator, app, shutdown)
    }

    /// Runs `app`, which calls `simulator`.
    pub fn run(simulator: Simulator, app: App, shutdown: CancellationToken) -> Self {
        let (data, admin) = (app.data_addr, app.admin_addr);
        #[expect(
            clippy::disallowed_methods,
            reason = "tests of shutdown await the handle"
        )]
        let running = tokio::spawn(app.run(shutdown.clone()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            simulator,
            data,
            admin,
            shutdown,
            running,
            client,
        }
    }

    /// Sends a request, and returns the complete reply.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let is_sdk = request.uri().path().starts_with("/model/");
        let response = tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .expect("the reply timed out")
            .unwrap();
        let (parts, body) = response.into_parts();
        for name in parts.headers.keys() {
            let is_of_aws = is_sdk && name.as_str().starts_with("x-amzn-");
            let is_allowed = is_of_aws
                || endpoints::is_of_anthropic(name)
                || ALLOWED_HEADERS.contains(&name.as_str());
            assert!(is_allowed, "the reply must not have the header {name}");
        }
        let body = tokio::time::timeout(PATIENCE, body.collect())
            .await
            .expect("the body of the reply timed out");
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.unwrap().to_bytes(),
        }
    }

    /// Returns the builder of a request with the key [`KEY`].
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.data))
            .header("authorization", format!("Bearer {KEY}"))
    }

    /// Sends a chat completion request with the key [`KEY`].
    pub async fn chat(&self, body: &Value) -> Reply {
        self.post(body.to_string()).await
    }

    /// Sends `body` to `/v1/chat/completions` with the key [`KEY`].
    pub async fn post(&self, body: impl Into<Body>) -> Reply {
        let request = self
            .request(Method::POST, "/v1/chat/completions")
            .header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Sends a chat completion request with the key [`ANY_KEY`].
    pub async fn any(&self, body: &Value) -> Reply {
        self.as_key(ANY_KEY, body).await
    }

    fn chat_request(&self, secret: &str, body: &Value) -> Request<Body> {
        let request = Request::post(format!("http://{}/v1/chat/completions", self.data))
            .header("authorization", format!("Bearer {secret}"))
            .header("content-type", "application/json");
        request.body(body.to_string().into()).unwrap()
    }

    /// Sends a chat completion request, and returns the response before its body is read. Dropping it disconnects the
    /// client.
    pub async fn open(&self, body: &Value) -> http::Response<hyper::body::Incoming> {
        self.open_as(KEY, body).await
    }

    /// Does the same as [`open`](Self::open) with another key.
    pub async fn open_as(
        &self,
        secret: &str,
        body: &Value,
    ) -> http::Response<hyper::body::Incoming> {
        let request = self.chat_request(secret, body);
        tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .expect("the reply timed out")
            .unwrap()
    }

    /// Waits until `condition` is true.
    pub async fn until(&self, mut condition: impl AsyncFnMut() -> bool) {
        let poll = async {
            while !condition().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, poll)
            .await
            .expect("the condition did not become true in time");
    }

    /// Sends a chat completion request with another key.
    pub async fn as_key(&self, secret: &str, body: &Value) -> Reply {
        self.send(self.chat_request(secret, body)).await
    }

    /// Sends a request to the admin API with its token, and returns the status and the body.
    pub async fn administer(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.admin))
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        let body = if body.is_null() {
            Body::empty()
        } else {
            body.to_string().into()
        };
        let response = self
            .client
            .request(request.body(body).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body))),
        )
    }

    /// Sends a GET request with the key [`KEY`].
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).body(Body::empty()).unwrap())
            .await
    }

    /// Sends a GET request without a token to the admin port.
    pub async fn admin(&self, path: &str) -> (StatusCode, String) {
        let uri = format!("http://{}{path}", self.admin);
        let response = self
            .client
            .request(Request::get(uri).body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Returns the only request that the simulator received.
    pub fn sent(&self) -> ReceivedRequest {
        let mut received = self.simulator.received();
        assert_eq!(received.len(), 1, "the gateway sent one request");
        received.remove(0)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Returns a request with one user message.
pub fn user(text: &str) -> Value {
    json!({"model": "claude", "messages": [{"role": "user", "content": text}]})
}

/// Returns a streamed request with one user message.
pub fn streamed(text: &str) -> Value {
    let mut request = user(text);
    request["stream"] = true.into();
    request
}
