//! A Bedrock that speaks the real wire protocol on loopback, for any AWS SDK: Converse, ConverseStream and Retrieve with signed
//! requests, checked against the service model, answered from the request itself, by script, or by a fault on demand.
//!
//! It stands beside the gateway and shares none of its code, so that it can judge it.

mod answer;
mod cache;
mod connection;
mod families;
pub mod fault;
mod frames;
mod knowledge;
mod model;
mod passages;
mod reply;
mod schema;
mod sigv4;
mod validate;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

pub use connection::serve;
pub use frames::{encode_event, encode_exception, encode_frame};
pub use sigv4::SecretKey;

use cache::PromptCache;
use fault::Plan;

/// The service's own limit for a request.
const MAX_REQUEST: usize = 25_000_000;

/// How many answers the invocation log keeps.
const MAX_INVOCATIONS: usize = 20_000;

/// How many received requests are remembered.
const MAX_REMEMBERED: usize = 1000;

/// One simulated Bedrock. Cheap to clone; clones share what they have received and what they are told to answer.
#[derive(Clone)]
pub struct Simulator {
    secret_key: SecretKey,
    shared: Arc<Mutex<Shared>>,
}

/// Everything that the service refuses in a request for `model_id`.
///
/// # Errors
/// `ValidationException`, with the reason.
pub fn validate(model_id: &str, request: &Value, stream: bool) -> Result<(), ServiceError> {
    validate::converse(request, stream)?;
    families::check(model_id, request, stream)
}

#[derive(Default)]
struct Shared {
    script: VecDeque<Scripted>,
    received: VecDeque<Received>,
    invocations: VecDeque<Value>,
    /// What stands behind the account's own ARNs: the ARN of a model each.
    described: HashMap<String, String>,
    cache: PromptCache,
}

/// A reply to give instead of a computed one, as it is.
#[derive(Clone, Debug)]
pub struct Scripted {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Parts of the body; each is written by itself.
    pub body: Vec<Bytes>,
}

impl Scripted {
    /// A whole Converse reply, or the body of an error.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: vec![body.into()],
        }
    }

    /// Raw bytes of an event stream.
    pub fn stream(body: Vec<Bytes>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".into(), reply::EVENT_STREAM.into())],
            body,
        }
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The path as it stood in the request line, escapes and all.
    pub path: String,
    /// Of a model, or of a Knowledge Base.
    pub model_id: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Simulator {
    /// `secret_key`: the one pair whose signatures are recomputed; any other is checked for its form.
    pub fn new(secret_key: SecretKey) -> Self {
        Self {
            secret_key,
            shared: Arc::default(),
        }
    }

    /// The next request that is not refused gets this.
    pub fn script(&self, reply: Scripted) {
        self.shared().script.push_back(reply);
    }

    /// What has arrived, oldest first, refused requests included.
    pub fn received(&self) -> Vec<Received> {
        self.shared().received.iter().cloned().collect()
    }

    /// From now on the control plane says that `model_arn` stands behind `arn`.
    pub fn describe(&self, arn: &str, model_arn: &str) {
        self.shared()
            .described
            .insert(arn.to_owned(), model_arn.to_owned());
    }

    /// Every answer that would be on the bill, in the form of Bedrock's model invocation log: also those that break on
    /// their way.
    pub fn invocations(&self) -> Vec<Value> {
        self.shared().invocations.iter().cloned().collect()
    }

    /// The service, and paths to steer it from outside.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/_simulator/replies", post(add_reply))
            .route("/_simulator/requests", get(list_requests))
            .route("/_simulator/invocations", get(list_invocations))
            .fallback(operation)
            .with_state(self.clone())
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bill(&self, model_id: &str, request: &Value, usage: &Value) {
        let mut shared = self.shared();
        if shared.invocations.len() == MAX_INVOCATIONS {
            shared.invocations.pop_front();
        }
        let count = |name: &str| usage[name].as_u64().unwrap_or(0);
        shared.invocations.push_back(json!({
            "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "operation": "Converse", "modelId": model_id,
            "requestMetadata": request["requestMetadata"],
            "input": {"inputTokenCount": count("inputTokens"), "cacheReadInputTokenCount": count("cacheReadInputTokens"),
                      "cacheWriteInputTokenCount": count("cacheWriteInputTokens")},
            "output": {"outputTokenCount": count("outputTokens")},
        }));
    }

    fn remember(&self, received: Received) {
        let mut shared = self.shared();
        if shared.received.len() == MAX_REMEMBERED {
            shared.received.pop_front();
        }
        shared.received.push_back(received);
    }
}

/// An error of the service: name, status, message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    pub name: &'static str,
    pub status: u16,
    pub message: String,
}

impl ServiceError {
    pub fn validation(message: impl Into<String>) -> Self {
        Self {
            name: "ValidationException",
            status: 400,
            message: message.into(),
        }
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let mut response = reply::with_request_id(
            self.status,
            Body::from(json!({"message": self.message}).to_string()),
        );
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        // The service adds a URL to the name; clients must cut it.
        if let Ok(name) = HeaderValue::from_str(&format!(
            "{}:http://internal.amazon.com/coral/com.amazon.bedrock/",
            self.name
        )) {
            headers.insert("x-amzn-errortype", name);
        }
        response
    }
}

/// `POST /model/{modelId}/converse` and `/converse-stream`, and what stands beside them.
async fn operation(
    State(simulator): State<Simulator>,
    request: Request,
) -> Result<Response, ServiceError> {
    let (parts, body) = request.into_parts();
    if let Some(arn) = described(&parts.method, &parts.uri) {
        sigv4::check(
            &simulator.secret_key,
            &parts.method,
            &parts.uri,
            &parts.headers,
            &[],
        )?;
        let model_arn = simulator.shared().described.get(&arn).cloned();
        let missing = ServiceError {
            name: "ResourceNotFoundException",
            status: 404,
            message: "No such resource.".into(),
        };
        let model_arn = model_arn.ok_or(missing)?;
        let body = json!({"models": [{"modelArn": model_arn}], "foundationModelArn": model_arn});
        return Ok(reply::with_request_id(200, Body::from(body.to_string())));
    }
    let knowledge_base = knowledge::route(&parts.method, &parts.uri);
    let (model_id, stream) = match &knowledge_base {
        Some(id) => (id.clone(), false),
        None => route(&parts.method, &parts.uri)?,
    };
    let body = match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            return Err(ServiceError::validation(
                "The request body is too large or incomplete.",
            ));
        }
    };
    let path = parts.uri.path().to_owned();
    simulator.remember(Received {
        path,
        model_id: model_id.clone(),
        headers: parts.headers.clone(),
        body: body.clone(),
    });
    if knowledge_base.is_some() && sigv4::is_api_key(&parts.headers) {
        return Ok(knowledge::refuse_api_key());
    }
    sigv4::check(
        &simulator.secret_key,
        &parts.method,
        &parts.uri,
        &parts.headers,
        &body,
    )?;
    let scripted = simulator.shared().script.pop_front();
    if let Some(scripted) = scripted {
        return Ok(reply::scripted(scripted));
    }
    let request: Value = serde_json::from_slice(&body).map_err(|error| ServiceError {
        name: "SerializationException",
        ..ServiceError::validation(error.to_string())
    })?;
    if let Some(id) = knowledge_base {
        return knowledge::retrieve(&id, &request).await;
    }
    validate(&model_id, &request, stream)?;
    let plan = Plan::of(&request);
    if let Some(error) = plan.refusal() {
        return Err(error);
    }
    let answer = answer::answer(&request, &plan);
    let cached = simulator.shared().cache.look_up(&model_id, &request);
    simulator.bill(&model_id, &request, &reply::usage(&answer, cached));
    plan.before_reply().await;
    Ok(if stream {
        reply::stream(&request, &answer, cached, &plan)
    } else {
        reply::whole(&request, &answer, cached, &plan)
    })
}

/// `GET /inference-profiles/{arn}` and its like.
fn described(method: &Method, uri: &Uri) -> Option<String> {
    let collections = [
        "/inference-profiles/",
        "/provisioned-model-throughput/",
        "/custom-models/",
    ];
    let arn = collections
        .iter()
        .find_map(|collection| uri.path().strip_prefix(collection));
    arn.filter(|_| method == Method::GET)
        .and_then(percent_decode)
}

fn route(method: &Method, uri: &Uri) -> Result<(String, bool), ServiceError> {
    let unknown = || ServiceError {
        name: "UnknownOperationException",
        status: 404,
        message: String::new(),
    };
    let path = uri
        .path()
        .strip_prefix("/model/")
        .filter(|_| method == Method::POST)
        .ok_or_else(unknown)?;
    let (model, operation) = path.rsplit_once('/').ok_or_else(unknown)?;
    let model_id = percent_decode(model)
        .filter(|id| !id.is_empty() && id.len() <= 2048)
        .ok_or_else(unknown)?;
    if !model_id.starts_with("arn:") && !model_id.contains('.') {
        return Err(ServiceError::validation(
            "The provided model identifier is invalid.",
        ));
    }
    match operation {
        "converse" => Ok((model_id, false)),
        "converse-stream" => Ok((model_id, true)),
        _ => Err(unknown()),
    }
}

/// The path carries the id with `:` and `/` escaped.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        if *byte == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(tail.get(..2)?).ok()?, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// `{"status": 200, "body": {…}}` or `{"events": [["messageStart", {…}], …]}`: what the next request gets.
async fn add_reply(State(simulator): State<Simulator>, Json(reply): Json<Value>) -> Response {
    let events = reply["events"].as_array().map(|events| {
        let frames = events.iter().map(|event| {
            encode_event(event[0].as_str().unwrap_or_default(), &event[1].to_string())
        });
        Scripted::stream(frames.collect())
    });
    let status = reply["status"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(200);
    let mut scripted = events.unwrap_or_else(|| Scripted::json(status, reply["body"].to_string()));
    for (name, value) in reply["headers"].as_object().into_iter().flatten() {
        scripted
            .headers
            .push((name.clone(), value.as_str().unwrap_or_default().to_owned()));
    }
    simulator.script(scripted);
    StatusCode::NO_CONTENT.into_response()
}

/// One JSON object a line.
async fn list_invocations(State(simulator): State<Simulator>) -> String {
    simulator
        .invocations()
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}

async fn list_requests(State(simulator): State<Simulator>) -> Response {
    let received = simulator.received();
    let list = received.iter().map(|request| {
        let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        json!({"path": request.path, "model_id": request.model_id, "body": body})
    });
    Json(list.collect::<Vec<_>>()).into_response()
}
