//! Builds the request for one conversation.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::{
    Native, Shape,
    body::{Body, JsonSchema, ResponseFormat, StreamOptions},
    guardrail,
    messages::{Style, messages},
    model::{takes_schema, unsupported},
    tools::tools,
};
use crate::{
    call::Warnings,
    error::{Error, Kind},
    model::{Cap, NativeTools},
    money::Tier,
    operation::chat::{Chat, Part, bedrock_options},
    upstream::converse::{
        Context, ReplyPlan, guardrail as policy,
        names::reasoning_mark,
        reasoning, sampling,
        schema::StrictBudget,
        structured::{self, Structured},
        tools as shared_tools,
    },
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

/// A request, and how to decode its reply.
pub struct Encoded {
    pub body: Bytes,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub plan: ReplyPlan,
    /// The most output that can be billed without being seen, in tokens.
    pub unseen: u64,
}

impl Shape<'_> {
    /// Returns the request for the conversation of `cx`.
    ///
    /// # Errors
    /// 400 with the member's path if the chat cannot be expressed on this endpoint.
    pub fn encode<'a>(&'a self, chat: &'a Chat, cx: &Context<'a>) -> Result<Encoded, Error> {
        let (facts, warnings) = (&cx.model.facts, cx.warnings);
        let headers = guardrail::headers(chat, self.endpoint, cx)?;
        warn_ignored(chat, self, warnings);
        // The tools of the history are declared again only where Converse would reject it without them.
        let declared = Context {
            messages: &[],
            ..*cx
        };
        let mut names = shared_tools::names(chat, cx);
        let mut thinking = reasoning::plan(chat, cx);
        self.reason_without_tools(chat, &mut thinking, warnings)?;
        let mut strict = StrictBudget::new(facts);
        let response_format = self.response_format(chat);
        let structured = match response_format {
            Some(_) => Structured::None,
            None => structured::plan(
                chat,
                thinking.enabled,
                declares_tools(chat),
                &mut names,
                &mut strict,
                cx,
            )?,
        };
        let planned = shared_tools::plan(
            chat,
            &structured,
            thinking.enabled,
            &mut names,
            &mut strict,
            &declared,
        )?;
        let must_call = planned.instruction.is_some();
        let instruction = match (&structured, planned.instruction) {
            (Structured::Instruct(own), Some(choice)) => Some(format!("{choice}\n{}", own.text)),
            (Structured::Instruct(own), None) => Some(own.text.clone()),
            (_, choice) => choice,
        };
        let style = Style {
            system: self.native.system && facts.system,
            positional_ids: self.native.positional_tool_ids,
        };
        let messages = messages(cx, &chat.fetched, instruction, style, &mut names)?;
        let mut fields = std::mem::take(&mut thinking.fields);
        let (config, stops) = sampling::inference_config(chat, &thinking, &mut fields, cx);
        let additional = chat.bedrock.as_ref();
        let additional = additional.and_then(|own| own.additional_model_request_fields.as_ref());
        merge_additional(&mut fields, additional)?;
        let (tools, tool_choice) = tools(planned.config, facts);
        let service_tier = self.service_tier(chat)?;
        let mut plan = ReplyPlan {
            names: names.changed(),
            custom: planned.custom,
            mute: planned.mute,
            must_call,
            one_call: planned.one_call,
            legacy: chat.functions.is_some(),
            stops,
            inline_tag: facts.reasoning.inline_tag.clone(),
            show_guardrail: policy::is_shown(chat, cx),
            mark: reasoning_mark(cx.model),
            price: cx.model.price.clone(),
            tier: match service_tier {
                Some("flex") => Tier::Flex,
                Some("priority") => Tier::Priority,
                _ => Tier::Standard,
            },
            region: cx.model.target().region.clone(),
            ..ReplyPlan::default()
        };
        structured::expect(&structured, &mut plan);
        let hides = self.native.hides_reasoning && thinking.enabled;
        let unseen = config.max_tokens.filter(|_| hides).map_or(0, u64::from);
        let (max_tokens, max_completion_tokens) = match self.native.cap {
            Cap::MaxTokens => (config.max_tokens, None),
            Cap::MaxCompletionTokens => (None, config.max_tokens),
        };
        let body = Body {
            model: self.id,
            messages,
            max_tokens,
            max_completion_tokens,
            temperature: config.temperature,
            top_p: config.top_p,
            stop: config.stop_sequences,
            tools,
            tool_choice,
            response_format,
            service_tier,
            verbosity: chat.verbosity.as_deref().filter(|_| self.native.verbosity),
            store: (self.endpoint == Native::Mantle).then_some(false),
            stream: self.stream.then_some(true),
            stream_options: self.stream.then_some(StreamOptions {
                include_usage: true,
            }),
            fields,
        };
        let body = serde_json::to_vec(&body)
            .map(Bytes::from)
            .map_err(|error| {
                Error::new(
                    Kind::Internal,
                    "The gateway could not serialize the request to Bedrock.",
                )
                .with_detail(error.to_string())
            })?;
        Ok(Encoded {
            body,
            headers,
            plan,
            unseen,
        })
    }

    /// Turns reasoning off if the endpoint does not support it together with tools.
    ///
    /// # Errors
    /// 400 if the client asks for both, or reasoning cannot be turned off.
    fn reason_without_tools(
        &self,
        chat: &Chat,
        thinking: &mut reasoning::Reasoning,
        warnings: &Warnings,
    ) -> Result<(), Error> {
        let conflicts = self.native.tools == NativeTools::WithoutReasoning
            && thinking.enabled
            && declares_tools(chat);
        if !conflicts {
            return Ok(());
        }
        let can_disable = self.native.efforts.iter().any(|effort| effort == "none");
        if chat.reasoning.is_some() || !can_disable {
            let param = chat.reasoning.map_or("tools", |reasoning| reasoning.param);
            return Err(unsupported(
                param,
                "This model cannot reason and call tools on this route. Turn reasoning off, omit the tools, or ask the gateway's operator for a model with `api = \"converse\"`.",
            ));
        }
        warnings.add(
            "reasoning: turned off (on this route, the model does not reason when it has tools)",
        );
        let effort = ("reasoning_effort".to_owned(), Value::from("none"));
        thinking.fields = Map::from_iter([effort]);
        thinking.enabled = false;
        Ok(())
    }

    /// Returns the client's schema, if the endpoint enforces it.
    fn response_format<'a>(&self, chat: &'a Chat) -> Option<ResponseFormat<'a>> {
        let format = chat.response_format.as_ref()?;
        let format = format
            .json_schema
            .as_ref()
            .filter(|_| format.kind == "json_schema")?;
        if !takes_schema(self.native, self.endpoint) {
            return None;
        }
        Some(ResponseFormat {
            kind: "json_schema",
            json_schema: JsonSchema {
                name: &format.name,
                description: format.description.as_deref(),
                schema: format.schema.as_deref()?,
                strict: format.strict,
            },
        })
    }

    /// Returns `service_tier`.
    ///
    /// # Errors
    /// 400 if the endpoint does not offer the tier, because another one has another price.
    fn service_tier(&self, chat: &Chat) -> Result<Option<&'static str>, Error> {
        // Checks the value.
        sampling::service_tier(chat)?;
        let tier = match chat.service_tier.as_deref() {
            None | Some("auto" | "default") => return Ok(None),
            Some("flex") => "flex",
            Some("priority" | "fast") => "priority",
            Some(_) => "reserved",
        };
        let is_offered = self.endpoint == Native::Mantle
            && self.native.tiers.iter().any(|offered| offered == tier);
        match is_offered {
            true => Ok(Some(tier)),
            false => Err(unsupported(
                "service_tier",
                "This route does not offer this tier for the model. Omit 'service_tier', or ask the gateway's operator for a model with `api = \"converse\"`.",
            )),
        }
    }
}

fn declares_tools(chat: &Chat) -> bool {
    chat.tools.as_ref().is_some_and(|tools| !tools.is_empty()) || chat.functions.is_some()
}

/// Adds the client's additional members.
///
/// # Errors
/// 400 for a member that the gateway sets.
fn merge_additional(
    fields: &mut Map<String, Value>,
    additional: Option<&Map<String, Value>>,
) -> Result<(), Error> {
    for (name, value) in additional.into_iter().flatten() {
        if RESERVED.contains(&name.as_str()) {
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

/// Warns about members that have no place in the request.
fn warn_ignored(chat: &Chat, shape: &Shape<'_>, warnings: &Warnings) {
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
