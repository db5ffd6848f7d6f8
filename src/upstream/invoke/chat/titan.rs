//! Amazon Titan Text: one prompt, in which the turns are lines.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-text.html>

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Writer,
    body::Body,
    reply::{Counts, Reader, Reply},
    template,
};
use crate::{
    bedrock::request::ConverseRequest,
    error::Error,
    upstream::invoke::{malformed, parse},
};

/// The member with the parameters of a request.
const CONFIG: &str = "textGenerationConfig";

/// Returns the body of a request.
///
/// # Errors
/// If the request cannot be serialized.
pub fn body(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Body, Error> {
    let mut body = Body::default();
    body.set("inputText", &template::prompt(request, writer))?;
    let mut fields = request.additional_model_request_fields.clone();
    let mut own = Map::new();
    if let Some(config) = &request.inference_config {
        let mut set = |name: &str, value: Option<Value>| {
            own.extend(value.map(|value| (name.to_owned(), value)));
        };
        set("maxTokenCount", config.max_tokens.map(Value::from));
        set("temperature", config.temperature.map(Value::from));
        set("topP", config.top_p.map(Value::from));
        let stops = &config.stop_sequences;
        let stops =
            (!stops.is_empty()).then(|| stops.iter().map(|stop| stop.to_string()).collect());
        set("stopSequences", stops);
    }
    if let Some(Value::Object(more)) = fields.remove(CONFIG) {
        own.extend(more);
    }
    body.set(CONFIG, &own)?;
    body.extend(&fields)?;
    Ok(body)
}

/// Reads replies and events.
pub struct TitanText;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    input_text_token_count: Option<i64>,
    #[serde(default)]
    results: Vec<Generated>,
}

/// A result, or an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generated {
    /// In the first event.
    input_text_token_count: Option<i64>,
    output_text: Option<String>,
    /// The tokens of the answer; events call it otherwise.
    #[serde(alias = "totalOutputTextTokenCount")]
    token_count: Option<i64>,
    completion_reason: Option<String>,
}

impl Generated {
    fn read(self, reply: &mut Reply) {
        reply.count(Counts {
            input: self.input_text_token_count,
            output: self.token_count,
            ..Counts::default()
        });
        reply.text(self.output_text.unwrap_or_default());
        match self.completion_reason.as_deref() {
            None => {}
            Some("FINISH" | "FINISHED") => reply.stop("end_turn", None),
            Some("LENGTH") => reply.stop("max_tokens", None),
            Some("STOP_CRITERIA_MET") => reply.stop("stop_sequence", None),
            Some("CONTENT_FILTERED") => reply.stop("content_filtered", None),
            Some(other) => reply.stop(other, None),
        }
    }
}

impl Reader for TitanText {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let whole: Whole = parse(body)?;
        let result = whole.results.into_iter().next();
        let mut result = result.ok_or_else(|| malformed("no `results`"))?;
        result.input_text_token_count = whole.input_text_token_count;
        result.read(reply);
        if !reply.is_stopped() {
            reply.stop("end_turn", None);
        }
        Ok(())
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        parse::<Generated>(event)?.read(reply);
        Ok(())
    }
}
