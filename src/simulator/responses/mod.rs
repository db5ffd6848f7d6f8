//! Responses of bedrock-runtime and of bedrock-mantle.

mod conversation;
mod items;
mod reply;
mod validate;

use axum::{
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Simulator,
    answer::{self, Block, pieces},
    chat::{self, Host, NativeRefusal, rules::Family},
    fault::Plan,
    parse,
};
use reply::Terms;

/// Returns the host of a request, or `None` for requests to another API.
pub fn route(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Host> {
    chat::host(method, uri.path().strip_suffix("/responses")?, headers)
}

/// Answers one request.
pub async fn answer(
    simulator: &Simulator,
    host: &Host,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let reply = create(simulator, host, headers, body).await;
    reply.unwrap_or_else(IntoResponse::into_response)
}

/// # Errors
/// The service's error for an invalid request, or the fault that the last message asks for.
async fn create(
    simulator: &Simulator,
    host: &Host,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, NativeRefusal> {
    let request = parse(body)?;
    let model = request["model"].as_str().unwrap_or_default();
    let family = Family::of(model, host, "responses")?;
    validate::check(&request, family, host)?;
    // Both hosts ignore guardrails. The gateway must never rely on one here.
    if headers.contains_key("x-amzn-bedrock-guardrailidentifier") {
        let text = "a guardrail was sent to an endpoint that ignores it";
        return Err(NativeRefusal::invalid(None, text));
    }
    let converse = conversation::as_converse(&request);
    let plan = Plan::of(&converse);
    if let Some(error) = plan.refusal() {
        return Err(error.into());
    }
    let answer = answer::answer(&converse, &plan);
    let thoughts = answer.blocks.iter().map(|block| match block {
        Block::Reasoning { text, .. } => pieces(text).count(),
        _ => 0,
    });
    let (input, output) = (answer.input_tokens, answer.output_tokens);
    let usage = json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output, "output_tokens_details": {"reasoning_tokens": thoughts.sum::<usize>()},
        "total_tokens": input + output,
    });
    let billed = json!({"inputTokens": input, "outputTokens": output});
    simulator.bill("Responses", model, &Value::Null, &billed);
    plan.before_reply().await;
    let terms = Terms {
        family,
        request: &request,
        usage,
    };
    Ok(match request["stream"] == true {
        true => terms.stream(&answer, &plan),
        false => terms.whole(&answer, &plan),
    })
}
