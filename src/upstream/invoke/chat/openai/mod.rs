//! OpenAI's chat completions as the body of a model: gpt-oss, GPT, the open-weight families, and Mistral's variant.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html>

mod messages;
mod reader;

use serde_json::{Value, json, value::RawValue};

pub use reader::OpenAi;

use super::{Writer, body::Body};
use crate::{
    bedrock::request::{ConverseRequest, Tool, ToolChoice},
    error::Error,
    model::InvokeFamily,
};

/// Returns the body of a request.
///
/// # Errors
/// 400 if the request has content that the format cannot express.
pub fn body(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Body, Error> {
    let mut body = Body::default();
    body.set("messages", &messages::messages(request)?)?;
    if let Some(config) = &request.inference_config {
        let cap = match writer.invoke.max_completion_tokens {
            true => "max_completion_tokens",
            false => "max_tokens",
        };
        body.set_some(cap, config.max_tokens)?;
        body.set_some("temperature", config.temperature)?;
        body.set_some("top_p", config.top_p)?;
        body.set_list("stop", &config.stop_sequences)?;
    }
    tools(request, writer, &mut body)?;
    if let Some(format) = &request.output_config.text_format {
        let definition = &format.structure.json_schema;
        let schema: Box<RawValue> =
            serde_json::from_str(&definition.schema).unwrap_or_else(|_| RawValue::NULL.to_owned());
        let mut schema = json!({"name": definition.name, "strict": true, "schema": schema});
        if let Some(description) = &definition.description {
            schema["description"] = description.as_ref().into();
        }
        body.set(
            "response_format",
            &json!({"type": "json_schema", "json_schema": schema}),
        )?;
    }
    let mut fields = request.additional_model_request_fields.clone();
    // Converse has the object of the Responses API.
    if let Some(Value::Object(reasoning)) = fields.remove("reasoning") {
        body.set_some("reasoning_effort", reasoning.get("effort"))?;
    }
    body.extend(&fields)?;
    Ok(body)
}

fn tools(request: &ConverseRequest<'_>, writer: &Writer<'_>, body: &mut Body) -> Result<(), Error> {
    let Some(config) = &request.tool_config else {
        return Ok(());
    };
    let tools: Vec<messages::Tool<'_>> = config
        .tools
        .iter()
        .filter_map(|tool| match tool {
            Tool::ToolSpec(spec) => Some(messages::Tool::of(spec)),
            // The facts of this route have none of them.
            Tool::SystemTool { .. } | Tool::CachePoint(_) | Tool::ClientTool { .. } => None,
        })
        .collect();
    body.set_list("tools", &tools)?;
    let any = match writer.invoke.family {
        InvokeFamily::MistralChat => "any",
        _ => "required",
    };
    let choice = config.tool_choice.as_ref().map(|choice| match choice {
        ToolChoice::Any {} => Value::from(any),
        ToolChoice::Tool { name } => json!({"type": "function", "function": {"name": name}}),
    });
    body.set_some("tool_choice", choice)
}
