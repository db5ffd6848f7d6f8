//! Writes a chat completions request, and settles which members of a chat have a place on OpenAI's APIs.

use serde_json::{Map, Value};

use super::{
    Native, Shape,
    body::{Body, ResponseFormat, StreamOptions},
    draft::{Encoded, Settings},
    messages::{Style, messages},
};
use crate::{
    call::Warnings,
    error::Error,
    model::Cap,
    operation::chat::{Chat, Part, bedrock_options},
    upstream::converse::Context,
};

/// Additional members that clients may not set: the gateway decides about them, or sends its own.
const RESERVED: [&str; 12] = [
    "model",
    "stream",
    "stream_options",
    "store",
    "web_search_options",
    "background",
    "temperature",
    "top_p",
    "stop",
    "tool_choice",
    "response_format",
    "verbosity",
];

/// The same on Responses, where many more members add to the cost or to what is stored.
const RESERVED_IN_RESPONSES: [&str; 18] = [
    "model",
    "stream",
    "stream_options",
    "store",
    "background",
    "input",
    "instructions",
    "previous_response_id",
    "conversation",
    "context_management",
    "tool_choice",
    "max_tool_calls",
    "include",
    "reasoning",
    "temperature",
    "top_p",
    "text",
    "truncation",
];

impl Shape<'_> {
    /// Returns the chat completions request for the conversation of `cx`.
    ///
    /// # Errors
    /// 400 with the member's path if the chat cannot be expressed on this endpoint.
    pub fn encode<'a>(&'a self, chat: &'a Chat, cx: &Context<'a>) -> Result<Encoded, Error> {
        let mut draft = self.draft(chat, cx)?;
        let style = Style {
            system: self.native.system && cx.model.facts.system,
            positional_ids: self.native.positional_tool_ids,
        };
        let instruction = draft.instruction.take();
        let messages = messages(cx, &chat.fetched, instruction, style, &mut draft.names)?;
        let Settings {
            config,
            fields,
            tools,
            tool_choice,
            schema,
            service_tier,
            envelope,
            ..
        } = self.settings(chat, draft, cx)?;
        let (max_tokens, max_completion_tokens) = match self.native.cap {
            Cap::MaxTokens => (config.max_tokens, None),
            Cap::MaxCompletionTokens => (None, config.max_tokens),
        };
        envelope.with_body(&Body {
            model: self.id,
            messages,
            max_tokens,
            max_completion_tokens,
            temperature: config.temperature,
            top_p: config.top_p,
            stop: config.stop_sequences,
            tools,
            tool_choice,
            response_format: schema.map(|json_schema| ResponseFormat {
                kind: "json_schema",
                json_schema,
            }),
            service_tier,
            verbosity: chat.verbosity.as_deref().filter(|_| self.native.verbosity),
            store: (self.endpoint == Native::Mantle).then_some(false),
            stream: self.stream.then_some(true),
            stream_options: self.stream.then_some(StreamOptions {
                include_usage: true,
            }),
            fields,
        })
    }

    /// Adds the client's additional members.
    ///
    /// # Errors
    /// 400 for a member that the gateway sets.
    pub fn merge_additional(
        &self,
        fields: &mut Map<String, Value>,
        additional: Option<&Map<String, Value>>,
    ) -> Result<(), Error> {
        let reserved: &[&str] = match self.endpoint.is_responses() {
            true => &RESERVED_IN_RESPONSES,
            false => &RESERVED,
        };
        for (name, value) in additional.into_iter().flatten() {
            if reserved.contains(&name.as_str()) {
                let at = format!("bedrock.additional_model_request_fields.{name}");
                return Err(Error::invalid(
                    at,
                    "The gateway sets this member itself. Send the parameter of chat completions instead.",
                ));
            }
            fields.insert(name.clone(), value.clone());
        }
        Ok(())
    }
}

/// Warns about members that have no place in the request.
pub fn warn_ignored(chat: &Chat, shape: &Shape<'_>, warnings: &Warnings) {
    const NO_PLACE: &str = "this route has no such parameter";
    let own = chat.bedrock.as_ref();
    let is_mark = |part: &Part| matches!(part, Part::CachePoint(_));
    let mut parts = chat
        .conversations()
        .flatten()
        .flat_map(|message| &message.parts);
    let ignored = [
        (
            "store",
            chat.store == Some(true),
            "this gateway does not store answers",
        ),
        ("prediction", chat.prediction.is_some(), NO_PLACE),
        (
            "verbosity",
            chat.verbosity.is_some() && !shape.native.verbosity,
            NO_PLACE,
        ),
        (
            "metadata",
            chat.metadata.is_some(),
            "this route has no request metadata",
        ),
        (
            "user",
            chat.user.is_some(),
            "this route has no request metadata",
        ),
        (
            "safety_identifier",
            chat.safety_identifier.is_some(),
            "this route has no request metadata",
        ),
        (
            "bedrock.request_metadata",
            own.is_some_and(|own| own.request_metadata.is_some()),
            NO_PLACE,
        ),
        (
            "bedrock.performance",
            own.is_some_and(|own| own.performance.as_deref() == Some("optimized")),
            NO_PLACE,
        ),
        (
            "bedrock.prompt_variables",
            own.is_some_and(|own| own.prompt_variables.is_some()),
            NO_PLACE,
        ),
        (
            bedrock_options::PATHS,
            own.is_some_and(|own| own.additional_model_response_field_paths.is_some()),
            NO_PLACE,
        ),
        (
            "cache_control",
            chat.cache_control.is_some() || parts.any(is_mark),
            "this route caches by itself",
        ),
    ];
    for (param, present, why) in ignored {
        if present {
            warnings.dropped(param, why);
        }
    }
}
