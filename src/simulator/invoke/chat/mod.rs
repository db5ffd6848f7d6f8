//! InvokeModel and InvokeModelWithResponseStream for chat models. Each family's body is checked and turned into the
//! equivalent Converse request, which gets the same answer as there. The reply has the family's own form.

pub mod anthropic;
pub mod betas;
mod cohere;
mod completion;
mod openai;
mod pegasus;
pub mod replies;
pub mod tags;
mod template;
mod titan;

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body;
use crate::simulator::{
    ServiceError, Simulator,
    answer::{self, Answer},
    cache::CacheUsage,
    encode_event, families,
    fault::{Break, Plan},
    reply,
};

#[derive(Deserialize)]
struct File {
    families: Vec<ChatFamily>,
}

/// Chat models that share one body.
#[derive(Deserialize)]
pub struct ChatFamily {
    kind: Kind,
    models: Vec<String>,
    /// A JSON schema.
    body: Value,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Anthropic,
    Nova,
    Llama3,
    Llama4,
    MistralText,
    MistralChat,
    Deepseek,
    Gpt,
    Open,
    Pegasus,
    ImportedText,
    TitanText,
    CommandR,
    Llama2,
    ClaudeText,
    Command,
    Jurassic,
}

static FAMILIES: LazyLock<Vec<ChatFamily>> = LazyLock::new(|| {
    // The file is part of the program: a test reads it.
    serde_json::from_str::<File>(include_str!("families.json"))
        .map(|file| file.families)
        .unwrap_or_default()
});

/// A reply without its form.
pub struct Outcome<'a> {
    pub answer: &'a Answer,
    pub cached: CacheUsage,
    /// Whether the family's text may hold reasoning.
    pub reasons: bool,
    /// The number of alternatives for each token, if log probabilities are asked for.
    pub logprobs: Option<u64>,
}

impl ChatFamily {
    /// The family of a model, if it is a chat model. An imported model has the form of its body.
    pub fn of_body(model_id: &str, body: &Value) -> Option<&'static Self> {
        if !model_id.contains(":imported-model/") {
            return Self::of(model_id);
        }
        let members = ["messages", "max_gen_len", "max_tokens"];
        let form = members.iter().find(|name| body.get(name).is_some());
        let name = format!("imported-model: {}", form.unwrap_or(&"messages"));
        FAMILIES.iter().find(|family| family.models.contains(&name))
    }

    /// The JSON schema of a body.
    pub fn schema(&self) -> &Value {
        &self.body
    }

    /// The family of a model, if it is a chat model.
    pub fn of(model_id: &str) -> Option<&'static Self> {
        let id = families::base(model_id);
        let is_own = |family: &&Self| family.models.iter().any(|model| id.starts_with(model));
        // Embedding models of a vendor have families of their own.
        FAMILIES
            .iter()
            .find(is_own)
            .filter(|_| !id.contains("embed"))
    }

    /// Checks what depends on the model, and returns the Converse request that means the same as the body.
    ///
    /// # Errors
    /// `ValidationException` for a body that the model rejects.
    fn checked(&self, model_id: &str, body: &Value, stream: bool) -> Result<Value, ServiceError> {
        let request = self.converse(body)?;
        if self.kind == Kind::Command && (body["stream"] == true) != stream {
            return Err(ServiceError::validation(
                "Malformed input request: #: stream must be true for a stream only, please reformat your input and try again.",
            ));
        }
        if self.kind == Kind::Jurassic && stream {
            return Err(ServiceError::validation(
                "The model is unsupported for streaming.",
            ));
        }
        if self.kind == Kind::Anthropic {
            betas::check(model_id, body)?;
        }
        Ok(request)
    }

    /// Returns the Converse request that means the same as the body.
    ///
    /// # Errors
    /// `ValidationException` for a body that the family rejects.
    fn converse(&self, body: &Value) -> Result<Value, ServiceError> {
        let violations = body::violations(&self.body, body);
        if !violations.is_empty() {
            return Err(ServiceError::validation(format!(
                "Malformed input request: {}, please reformat your input and try again.",
                violations.concat()
            )));
        }
        match self.kind {
            Kind::Anthropic => anthropic::converse(body),
            Kind::Nova => Ok(anthropic::converse_of_nova(body)),
            Kind::MistralChat | Kind::Gpt | Kind::Open => openai::converse(body),
            Kind::Llama3 => template::llama(body, &template::LLAMA3),
            Kind::Llama4 => template::llama(body, &template::LLAMA4),
            Kind::MistralText | Kind::ImportedText => template::mistral(body),
            Kind::Deepseek => template::deepseek(body),
            Kind::Pegasus => pegasus::converse(body),
            Kind::TitanText => titan::converse(body),
            Kind::CommandR => cohere::converse(body),
            Kind::Llama2 => template::llama2(body),
            Kind::ClaudeText => template::claude(body),
            Kind::Command => Ok(completion::converse(body, "max_tokens", "stop_sequences")),
            Kind::Jurassic => Ok(completion::converse(body, "maxTokens", "stopSequences")),
        }
    }

    fn whole(&self, outcome: &Outcome<'_>) -> Value {
        match self.kind {
            Kind::Anthropic => replies::anthropic(outcome),
            Kind::Nova => replies::nova(outcome),
            Kind::Llama2 | Kind::Llama3 | Kind::Llama4 => replies::llama(outcome),
            Kind::ClaudeText => completion::claude(outcome),
            Kind::Command => completion::command(outcome),
            Kind::Jurassic => completion::jurassic(outcome),
            Kind::MistralText => replies::outputs("outputs", outcome),
            Kind::Deepseek => replies::outputs("choices", outcome),
            Kind::MistralChat => openai::whole(outcome, "stop_reason"),
            Kind::Gpt | Kind::Open => openai::whole(outcome, "finish_reason"),
            Kind::Pegasus => pegasus::whole(outcome),
            Kind::TitanText => titan::whole(outcome),
            Kind::CommandR => cohere::whole(outcome),
            Kind::ImportedText => replies::completion(outcome),
        }
    }

    /// The events of a stream, and the index of the first that ends the message.
    fn events(&self, outcome: &Outcome<'_>) -> (Vec<Value>, usize) {
        match self.kind {
            Kind::Anthropic => replies::anthropic_events(outcome),
            Kind::Nova => replies::nova_events(outcome),
            Kind::Llama2 | Kind::Llama3 | Kind::Llama4 => replies::llama_events(outcome),
            Kind::ClaudeText => completion::claude_events(outcome),
            Kind::Command => completion::command_events(outcome),
            // It has no streams.
            Kind::Jurassic => (Vec::new(), 0),
            Kind::MistralText => replies::output_events("outputs", outcome),
            Kind::Deepseek => replies::output_events("choices", outcome),
            Kind::MistralChat => openai::events(outcome, "message", "stop_reason"),
            Kind::Gpt | Kind::Open => openai::events(outcome, "delta", "finish_reason"),
            Kind::Pegasus => pegasus::events(outcome),
            Kind::TitanText => titan::events(outcome),
            Kind::CommandR => cohere::events(outcome),
            Kind::ImportedText => replies::completion_events(outcome),
        }
    }
}

/// Checks a body.
///
/// # Errors
/// `ValidationException` for a body that the family rejects, or a model without a family.
pub fn validate(model_id: &str, body: &Value) -> Result<(), ServiceError> {
    match ChatFamily::of(model_id) {
        Some(family) => family.checked(model_id, body, false).map(drop),
        None => Err(ServiceError::validation("The model is not a chat model.")),
    }
}

/// One request.
pub struct Asked<'a> {
    pub model_id: &'a str,
    pub headers: &'a HeaderMap,
    pub body: Value,
    pub metadata: Value,
    pub stream: bool,
}

/// Answers one request.
///
/// # Errors
/// The service's error for an invalid request, or the fault that a text asks for.
pub async fn answer(
    simulator: &Simulator,
    family: &ChatFamily,
    asked: Asked<'_>,
) -> Result<Response, ServiceError> {
    let mut request = family.checked(asked.model_id, &asked.body, asked.stream)?;
    tags::apply(asked.headers, &asked.body, &mut request)?;
    let plan = Plan::of(&request);
    if let Some(error) = plan.refusal() {
        return Err(error);
    }
    let mut answer = answer::answer(&request, &plan);
    let reasons = matches!(family.kind, Kind::Deepseek | Kind::Gpt);
    if family.kind == Kind::Deepseek {
        replies::think(&mut answer);
    }
    let cached = simulator.shared().cache.look_up(asked.model_id, &request);
    let mut usage = reply::usage(&answer, cached);
    if family.kind == Kind::Pegasus {
        usage["videoSeconds"] = pegasus::seconds(&asked.body).into();
    }
    let operation = match asked.stream {
        true => "InvokeModelWithResponseStream",
        false => "InvokeModel",
    };
    simulator.bill(operation, asked.model_id, &asked.metadata, &usage);
    for usage in &answer.guardrail.usages {
        simulator.bill_guardrail(usage);
    }
    plan.before_reply().await;
    let outcome = Outcome {
        answer: &answer,
        cached,
        reasons,
        logprobs: (asked.body["logprobs"] == true)
            .then(|| asked.body["top_logprobs"].as_u64().unwrap_or(0)),
    };
    let intervened = answer.stop_reason == "guardrail_intervened";
    Ok(match asked.stream {
        false => whole(family.whole(&outcome), &usage, &answer, intervened, &plan),
        true => stream(family.events(&outcome), &usage, &answer, intervened, &plan),
    })
}

/// Adds what a guardrail reports.
pub fn report_guardrail(body: &mut Value, answer: &Answer, intervened: bool) {
    if let Some(trace) = &answer.guardrail.trace {
        body["amazon-bedrock-guardrailAction"] =
            if intervened { "INTERVENED" } else { "NONE" }.into();
        body["amazon-bedrock-trace"] = json!({"guardrail": tags::invoke_trace(trace)});
    }
}

fn whole(
    mut body: Value,
    usage: &Value,
    answer: &Answer,
    intervened: bool,
    plan: &Plan,
) -> Response {
    report_guardrail(&mut body, answer, intervened);
    let mut response = reply::whole_body(&body, plan);
    if plan.breaks == Some(Break::NoMetadata) {
        return response;
    }
    for (name, member) in [
        ("x-amzn-bedrock-input-token-count", "inputTokens"),
        ("x-amzn-bedrock-output-token-count", "outputTokens"),
        (
            "x-amzn-bedrock-cache-read-input-token-count",
            "cacheReadInputTokens",
        ),
        (
            "x-amzn-bedrock-cache-write-input-token-count",
            "cacheWriteInputTokens",
        ),
    ] {
        if let Some(count) = usage[member].as_u64() {
            response
                .headers_mut()
                .insert(name, HeaderValue::from(count));
        }
    }
    response
}

fn stream(
    (mut events, end): (Vec<Value>, usize),
    usage: &Value,
    answer: &Answer,
    intervened: bool,
    plan: &Plan,
) -> Response {
    if let Some(last) = events.last_mut() {
        report_guardrail(last, answer, intervened);
        if plan.breaks != Some(Break::NoMetadata) {
            last["amazon-bedrock-invocationMetrics"] = json!({
                "inputTokenCount": usage["inputTokens"],
                "outputTokenCount": usage["outputTokens"],
                "cacheReadInputTokenCount": usage["cacheReadInputTokens"],
                "cacheWriteInputTokenCount": usage["cacheWriteInputTokens"],
                "invocationLatency": 1,
                "firstByteLatency": 1,
            });
        }
    }
    if plan.breaks == Some(Break::NoStop) {
        events.truncate(end);
    }
    let frames: Vec<Bytes> = events.iter().map(chunk).collect();
    reply::framed(frames, plan)
}

fn chunk(event: &Value) -> Bytes {
    let bytes = STANDARD.encode(event.to_string());
    encode_event(
        "chunk",
        &json!({"bytes": bytes, "p": "abcdefgh"}).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_families_is_valid() {
        assert_eq!(FAMILIES.len(), 22);
        assert!(ChatFamily::of("us.anthropic.claude-sonnet-4-6").is_some());
        assert!(ChatFamily::of("amazon.nova-2-multimodal-embeddings-v1:0").is_none());
    }
}
