//! A Bedrock that speaks the real wire protocol on loopback, for any AWS SDK: Converse, ConverseStream, InvokeModel,
//! Retrieve, Rerank, CountTokens, guardrails, chat completions and lists of models with signed requests, checked against the service model, answered from the request itself, by script, or by a fault on demand.
//!
//! It shares no code with the gateway, so that tests can judge one by the other.

mod answer;
mod apply_guardrail;
mod billing;
mod cache;
mod chat;
mod connection;
mod content_filter;
mod continued;
mod control;
mod count_tokens;
mod error;
mod escapes;
mod families;
pub mod fault;
mod frames;
mod guardrail;
mod guardrail_checks;
mod in_call;
mod invoke;
mod knowledge;
mod lists;
mod messages;
mod misfit;
mod model;
mod parts;
mod passages;
mod random;
mod reply;
mod request_id;
mod rerank;
mod responses;
mod routes;
mod schema;
mod schema_rules;
mod schema_types;
mod sigv4;
mod sse;
mod steering;
mod unique;
mod validate;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_smithy_types::date_time::{DateTime, Format};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

pub use connection::serve;
pub use error::ServiceError;
pub use frames::{encode_event, encode_exception, encode_frame};
pub use sigv4::SecretKey;

use cache::PromptCache;
use routes::Operation;
use unique::parse;

/// The service's limit for a request body, in bytes.
const MAX_REQUEST: usize = 25_000_000;

/// The number of received requests that are kept.
const MAX_REMEMBERED: usize = 1000;

/// One simulated Bedrock. Cheap to clone; clones share their received requests and scripted replies.
#[derive(Clone)]
pub struct Simulator {
    secret_key: SecretKey,
    shared: Arc<Mutex<Shared>>,
}

/// Checks the body of a Converse request for `model_id` as the service does.
///
/// # Errors
/// The reason, if the service rejects the request.
pub fn validate(model_id: &str, body: &[u8], stream: bool) -> Result<(), ServiceError> {
    validate_parsed(model_id, &parse(body)?, stream)
}

/// Checks the body of an InvokeModel request for a chat model as the service does.
///
/// # Errors
/// The reason, if the service rejects the request.
pub fn validate_invoke(model_id: &str, body: &[u8]) -> Result<(), ServiceError> {
    invoke::validate_chat(model_id, &parse(body)?)
}

fn validate_parsed(model_id: &str, request: &Value, stream: bool) -> Result<(), ServiceError> {
    validate::converse(request, stream)?;
    families::check(model_id, request, stream)
}

#[derive(Default)]
struct Shared {
    script: VecDeque<ScriptedReply>,
    received: VecDeque<ReceivedRequest>,
    invocations: VecDeque<Value>,
    /// The billed units of every evaluation by a guardrail.
    guardrails: VecDeque<Value>,
    /// The ARN of the model behind each inference profile, provisioned throughput or custom model.
    described: HashMap<String, String>,
    /// The statuses of the next replies of the control plane.
    describe_faults: VecDeque<u16>,
    /// The requests that the control plane has received.
    describes: usize,
    /// The paths of the lists that were requested, with their queries.
    listed: Vec<String>,
    /// The statuses with which lists are answered, by path.
    list_faults: HashMap<&'static str, u16>,
    /// How far the clock is ahead, in seconds.
    clock_shift: i64,
    /// How many of a thousand chats fail.
    random_faults: u16,
    cache: PromptCache,
}

/// A reply that is sent, unchanged, instead of a computed one.
#[derive(Clone, Debug)]
pub struct ScriptedReply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The parts of the body; each is written separately.
    pub body: Vec<Bytes>,
}

impl ScriptedReply {
    /// A reply in one piece, or an error.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: vec![body.into()],
        }
    }

    /// An event stream, as raw bytes.
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
pub struct ReceivedRequest {
    /// The path of the request line, with its escapes.
    pub path: String,
    /// The id of the model or the Knowledge Base.
    pub model_id: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Simulator {
    /// Signatures of `secret_key` are verified; those of any other key are only checked for their form.
    pub fn new(secret_key: SecretKey) -> Self {
        Self {
            secret_key,
            shared: Arc::default(),
        }
    }

    /// Answers the next request that passes the signature check with `reply`. Replies queue up.
    pub fn script(&self, reply: ScriptedReply) {
        self.shared().script.push_back(reply);
    }

    /// The requests that have arrived, oldest first, including rejected ones.
    pub fn received(&self) -> Vec<ReceivedRequest> {
        self.shared().received.iter().cloned().collect()
    }

    /// Makes the control plane resolve `arn` to `model_arn`.
    pub fn describe(&self, arn: &str, model_arn: &str) {
        self.shared()
            .described
            .insert(arn.to_owned(), model_arn.to_owned());
    }

    /// Makes the control plane answer the next request with an error.
    pub fn fail_describe(&self, status: u16) {
        self.shared().describe_faults.push_back(status);
    }

    /// Makes the control plane answer every request for the list at `path` with `status`, such as 403, until `None`.
    pub fn fail_list(&self, path: &'static str, status: Option<u16>) {
        let mut shared = self.shared();
        match status {
            Some(status) => drop(shared.list_faults.insert(path, status)),
            None => drop(shared.list_faults.remove(path)),
        }
    }

    /// The requests for lists that the control plane has received: paths with their queries.
    pub fn listed(&self) -> Vec<String> {
        self.shared().listed.clone()
    }

    /// The number of requests to describe a resource that the control plane has received.
    pub fn describes(&self) -> usize {
        self.shared().describes
    }

    /// Sets the clock ahead of this machine's, or behind it if negative.
    pub fn shift_clock(&self, seconds: i64) {
        self.shared().clock_shift = seconds;
    }

    fn now(&self) -> SystemTime {
        let shift = self.shared().clock_shift;
        let size = Duration::from_secs(shift.unsigned_abs());
        match shift < 0 {
            true => SystemTime::now() - size,
            false => SystemTime::now() + size,
        }
    }

    /// Counts a request to the control plane, and returns the status of the error that it gets.
    fn count_describe(&self) -> Option<u16> {
        let mut shared = self.shared();
        shared.describes += 1;
        shared.describe_faults.pop_front()
    }

    /// The service, and the paths that steer it from outside.
    pub fn router(&self) -> Router {
        steering::router()
            .fallback(dated_operation)
            .with_state(self.clone())
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ARN of the model behind an inference profile, a provisioned throughput or a custom model.
    fn described(&self, arn: &str) -> Option<String> {
        self.shared().described.get(arn).cloned()
    }

    async fn converse(
        &self,
        model_id: &str,
        request: &Value,
        stream: bool,
    ) -> Result<Response, ServiceError> {
        validate_parsed(model_id, request, stream).and_then(|()| self.check_imported(model_id))?;
        let plan = self.plan(request);
        if let Some(error) = plan.refusal() {
            return Err(error);
        }
        let answer = answer::answer(request, &plan);
        let cached = self.shared().cache.look_up(model_id, request);
        let usage = reply::usage(&answer, cached);
        self.bill("Converse", model_id, &request["requestMetadata"], &usage);
        let guardrail = answer.guardrail.usages.iter();
        guardrail.for_each(|usage| self.bill_guardrail(usage));
        plan.before_reply().await;
        Ok(if stream {
            reply::stream(request, &answer, cached, &plan)
        } else {
            reply::whole(request, &answer, cached, &plan)
        })
    }

    fn remember(&self, received: ReceivedRequest) {
        let mut shared = self.shared();
        if shared.received.len() == MAX_REMEMBERED {
            shared.received.pop_front();
        }
        shared.received.push_back(received);
    }
}

/// Answers every request of the service's own paths, with the time of the service.
async fn dated_operation(State(simulator): State<Simulator>, request: Request) -> Response {
    let mut response = operation(&simulator, request).await.into_response();
    let now = DateTime::from(simulator.now()).fmt(Format::HttpDate);
    if let Some(now) = now.ok().and_then(|now| HeaderValue::from_str(&now).ok()) {
        response.headers_mut().insert("date", now);
    }
    response
}

async fn operation(simulator: &Simulator, request: Request) -> Result<Response, ServiceError> {
    let (parts, body) = request.into_parts();
    if let Some(arn) = control::route(&parts.method, &parts.uri) {
        return control::describe(simulator, &parts, &arn);
    }
    if let Some(list) = lists::route(&parts.method, &parts.uri) {
        return lists::answer(simulator, &parts, list);
    }
    let (id, operation) = match routes::native(&parts.method, &parts.uri, &parts.headers) {
        Some(operation) => (String::new(), operation),
        None if chat::is_native_path(&parts.uri) => return Ok(chat::unknown_path()),
        None => routes::route(&parts.method, &parts.uri)?,
    };
    let body = match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            return Err(ServiceError::validation(
                "The request body is too large or incomplete.",
            ));
        }
    };
    simulator.remember(ReceivedRequest {
        path: parts.uri.path().to_owned(),
        model_id: id.clone(),
        headers: parts.headers.clone(),
        body: body.clone(),
    });
    let is_runtime = !matches!(operation, Operation::Retrieve | Operation::Rerank);
    if !is_runtime && sigv4::is_api_key(&parts.headers) {
        return Ok(knowledge::refuse_api_key());
    }
    let checked = sigv4::check(
        &simulator.secret_key,
        simulator.now(),
        &parts.method,
        &parts.uri,
        &parts.headers,
        &body,
    );
    if let Err(error) = checked {
        return operation.refuse_signature(error);
    }
    let scripted = simulator.shared().script.pop_front();
    if let Some(scripted) = scripted {
        return Ok(reply::from_script(scripted));
    }
    match operation {
        Operation::Converse { stream } => simulator.converse(&id, &parse(&body)?, stream).await,
        Operation::CountTokens => count_tokens::count(&id, &parse(&body)?).await,
        Operation::Invoke { stream } => {
            invoke::invoke(simulator, &id, &parts.headers, &body, stream).await
        }
        Operation::Rerank => rerank::rerank(simulator, &parts.headers, &parse(&body)?).await,
        Operation::Retrieve => knowledge::retrieve(&id, &parse(&body)?).await,
        Operation::GuardrailChecks => guardrail_checks::invoke(simulator, &parse(&body)?).await,
        Operation::ApplyGuardrail => apply_guardrail::apply(simulator, &id, &parse(&body)?).await,
        Operation::Chat(host) => Ok(chat::answer(simulator, &host, &parts.headers, &body).await),
        Operation::Responses(host) => {
            Ok(responses::answer(simulator, &host, &parts.headers, &body).await)
        }
        Operation::Messages(host) => {
            Ok(messages::answer(simulator, host, &parts.headers, &body).await)
        }
    }
}
