//! The guardrail of a request, which bedrock-runtime takes in headers, and its trace.

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::{Native, model::unsupported};
use crate::{
    error::{Error, Kind},
    operation::chat::{Chat, Part},
    upstream::converse::{Context, guardrail},
};

/// Returns the headers of the guardrail.
///
/// # Errors
/// 400 if the endpoint ignores guardrails. A request that needs one is never sent without it.
pub fn headers(
    chat: &Chat,
    endpoint: Native,
    cx: &Context<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let options = chat.bedrock.as_ref().and_then(|own| own.guardrail.as_ref());
    let policies = cx.caller.guardrails_for(cx.model);
    let own = options.filter(|_| policies.is_empty());
    if let Some(options) = options.filter(|_| !policies.is_empty()) {
        guardrail::warn_of_policy(options, &policies, cx.warnings);
    }
    let Some(config) = guardrail::config(options, chat.stream, cx) else {
        return Ok(Vec::new());
    };
    if endpoint != Native::Runtime {
        return Err(unsupported(
            "bedrock.guardrail",
            "The route to this model ignores guardrails, so it cannot be used with one. Use a model with another `api`, or ask the gateway's operator to apply the guardrail with `apply`.",
        ));
    }
    let guard = own.and_then(|own| own.guard.as_deref());
    if guard.is_some_and(|guard| guard != "explicit") {
        let why = "this route evaluates all text";
        cx.warnings.dropped("bedrock.guardrail.guard", why);
    }
    if config.stream_processing_mode == Some("async") {
        cx.warnings.add(
            "bedrock.guardrail.stream_processing_mode: not sent (this route has no such parameter)",
        );
    }
    let is_passage = |part: &Part| matches!(part, Part::Retrieved(_));
    if cx
        .messages
        .iter()
        .any(|message| message.parts.iter().any(is_passage))
    {
        cx.warnings.add(
            "bedrock.guardrail: passages are not marked as grounding sources (this route has no such marks)",
        );
    }
    let trace = config.trace.filter(|trace| *trace != "disabled");
    let values = [
        (
            "x-amzn-bedrock-guardrailidentifier",
            Some(config.guardrail_identifier.to_owned()),
        ),
        (
            "x-amzn-bedrock-guardrailversion",
            Some(config.guardrail_version.to_owned()),
        ),
        ("x-amzn-bedrock-trace", trace.map(str::to_ascii_uppercase)),
    ];
    let given = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    given
        .map(|(name, value)| {
            let value = HeaderValue::try_from(value).map_err(|error| {
                Error::new(
                    Kind::Internal,
                    "The gateway could not write the guardrail's header.",
                )
                .with_detail(error.to_string())
            })?;
            Ok((HeaderName::from_static(name), value))
        })
        .collect()
}

/// Returns the trace of a guardrail, of the member `amazon-bedrock-trace`, in Converse's form.
pub fn trace(native: &Value) -> Option<Value> {
    let guardrail = native.get("guardrail")?;
    let mut trace = Map::new();
    if let Some(input) = guardrail.get("input") {
        trace.insert("inputAssessment".to_owned(), input.clone());
    }
    let mut outputs: Map<String, Value> = Map::new();
    for output in guardrail["outputs"].as_array().into_iter().flatten() {
        for (id, assessment) in output.as_object().into_iter().flatten() {
            let all = outputs.entry(id).or_insert_with(|| json!([]));
            if let Some(all) = all.as_array_mut() {
                all.push(assessment.clone());
            }
        }
    }
    if !outputs.is_empty() {
        trace.insert("outputAssessments".to_owned(), Value::Object(outputs));
    }
    Some(Value::Object(trace))
}
