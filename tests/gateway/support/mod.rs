//! A gateway and its simulator, and a client that checks every reply.

pub mod endpoints;
pub mod log;
pub mod money;

use std::{net::SocketAddr, sync::OnceLock, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use lintel::{
    app::App,
    call::Secret,
    config::{self, Environment},
    simulator::{self, SecretKey, Simulator},
    telemetry::Telemetry,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub const KEY: &str = "sk-test-0123456789abcdef";

/// May use every Bedrock id.
pub const ANY_KEY: &str = "sk-test-any";

/// A test that takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Names that a reply may carry; a header that is not here is a leak, or belongs on this list.
pub const ADMIN_TOKEN: &str = "admin-token-of-the-tests";

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

pub struct Gateway {
    pub simulator: Simulator,
    pub data: SocketAddr,
    pub admin: SocketAddr,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<()>,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Body>,
}

/// A configuration whose ports are free ones; `more` is added to it.
fn configuration(endpoint_url: &str, more: &str) -> String {
    format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        {more}
        [admin]
        listen = "127.0.0.1:0"
        [store]
        url = "memory:"
        [aws]
        region = "us-east-1"
        endpoint_url = "{endpoint_url}"
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
        [keys.old]
        sha256 = "{old}"
        expires = "2020-01-01T00:00:00Z"
        "#,
        some = sha256("sk-test-some"),
        old = sha256("sk-test-old"),
        any = sha256(ANY_KEY),
    )
}

pub fn sha256(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text.as_bytes()))
}

/// The process has one recorder, so metrics are told apart by model.
fn telemetry() -> Telemetry {
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    TELEMETRY
        .get_or_init(|| Telemetry::install(None).unwrap())
        .clone()
}

impl Gateway {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// `server` is added to the section of that name.
    pub async fn start_with(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint_url = format!("http://{}", listener.local_addr().unwrap());
        let key = SecretKey {
            access_key_id: "simulator".into(),
            secret_access_key: "simulator".into(),
        };
        let simulator = Simulator::new(key);
        let shutdown = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        tokio::spawn(simulator::serve(
            listener,
            simulator.router(),
            CancellationToken::new(),
        ));
        let variables = vec![
            ("TEST_KEY".to_owned(), KEY.to_owned()),
            ("LINTEL_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()),
        ];
        let environment = Environment {
            variables,
            flags: Vec::new(),
        };
        let (mut config, _) =
            config::parse(&configuration(&endpoint_url, server), &environment, None).unwrap();
        config.aws.settings.static_credentials =
            Some(("simulator".into(), Secret::new("simulator")));
        let app = App::bind(config, telemetry()).await.unwrap();
        let (data, admin) = (app.data_addr, app.admin_addr);
        #[expect(clippy::disallowed_methods, reason = "awaited by the test that drains")]
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

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .expect("no reply in time")
            .unwrap();
        let (parts, body) = response.into_parts();
        for name in parts.headers.keys() {
            assert!(
                ALLOWED_HEADERS.contains(&name.as_str()),
                "the reply carries a header that is not on the list: {name}"
            );
        }
        let body = tokio::time::timeout(PATIENCE, body.collect())
            .await
            .expect("no end of the reply in time");
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.unwrap().to_bytes(),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.data))
            .header("authorization", format!("Bearer {KEY}"))
    }

    /// `POST /v1/chat/completions` with the test's key.
    pub async fn chat(&self, body: &Value) -> Reply {
        self.post(body.to_string()).await
    }

    pub async fn post(&self, body: impl Into<Body>) -> Reply {
        let request = self
            .request(Method::POST, "/v1/chat/completions")
            .header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// The same with a key that may use every Bedrock id.
    pub async fn any(&self, body: &Value) -> Reply {
        let request = Request::post(format!("http://{}/v1/chat/completions", self.data))
            .header("authorization", format!("Bearer {ANY_KEY}"))
            .header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap())
            .await
    }

    /// A reply whose body nobody has read yet; dropping it is what a client does that leaves.
    pub async fn open(&self, body: &Value) -> http::Response<hyper::body::Incoming> {
        let request = self
            .request(Method::POST, "/v1/chat/completions")
            .header("content-type", "application/json");
        let request = request.body(body.to_string().into()).unwrap();
        tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .expect("no reply in time")
            .unwrap()
    }

    /// The same with another key.
    pub async fn open_as(
        &self,
        secret: &str,
        body: &Value,
    ) -> http::Response<hyper::body::Incoming> {
        let request = Request::post(format!("http://{}/v1/chat/completions", self.data))
            .header("authorization", format!("Bearer {secret}"))
            .header("content-type", "application/json");
        let request = request.body(body.to_string().into()).unwrap();
        tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .expect("no reply in time")
            .unwrap()
    }

    /// Asks again until it is so.
    pub async fn until(&self, mut so: impl AsyncFnMut() -> bool) {
        let asked = async {
            while !so().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .expect("it never came to be");
    }

    /// A request with another key.
    pub async fn as_key(&self, secret: &str, body: &Value) -> Reply {
        let request = Request::post(format!("http://{}/v1/chat/completions", self.data))
            .header("authorization", format!("Bearer {secret}"))
            .header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap())
            .await
    }

    /// A request to the admin API, with its token.
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

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).body(Body::empty()).unwrap())
            .await
    }

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

    /// The only request that Bedrock has received.
    pub fn sent(&self) -> simulator::ReceivedRequest {
        let mut received = self.simulator.received();
        assert_eq!(received.len(), 1, "one request upstream");
        received.remove(0)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The data of every event, in order.
    pub fn events(&self) -> Vec<&str> {
        assert_eq!(
            self.header("content-type"),
            Some("text/event-stream; charset=utf-8"),
            "{}",
            self.text()
        );
        let text = self.text();
        assert!(text.ends_with("\n\n"), "the last event is complete");
        text.trim_end()
            .split("\n\n")
            .map(|event| event.strip_prefix("data: ").expect("only data fields"))
            .collect()
    }

    /// Checks that this is an error in OpenAI's envelope, and returns it.
    pub fn error(&self) -> Value {
        let envelope = self.json();
        assert_eq!(envelope.as_object().unwrap().len(), 1, "{envelope}");
        let error = envelope["error"].as_object().expect("an error");
        assert_eq!(
            error.keys().collect::<Vec<_>>(),
            ["message", "type", "param", "code"],
            "all four members: {envelope}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        assert!(error["type"].is_string());
        assert!(
            self.header("x-request-id")
                .is_some_and(|id| id.starts_with("req_"))
        );
        envelope["error"].clone()
    }
}

/// A request with one user message.
pub fn user(text: &str) -> Value {
    json!({"model": "claude", "messages": [{"role": "user", "content": text}]})
}

/// The same, streamed.
pub fn streamed(text: &str) -> Value {
    let mut request = user(text);
    request["stream"] = true.into();
    request
}
