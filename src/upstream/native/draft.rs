//! What a request has on both of OpenAI's APIs, beside the conversation: what must be known before it is written, and what
//! follows from it.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Shape,
    body::{JsonSchema, Tool, ToolChoice},
    guardrail,
    model::{takes_schema, unsupported},
    request::warn_ignored,
    tools::tools,
};
use crate::{
    bedrock::request::InferenceConfig,
    call::Warnings,
    error::{Error, Kind},
    model::NativeTools,
    money::Tier,
    operation::chat::Chat,
    upstream::converse::{
        Context, ReplyPlan, guardrail as policy,
        names::{Names, reasoning_mark},
        reasoning, sampling,
        schema::StrictBudget,
        structured::{self, Structured},
        tools as shared_tools,
    },
};

/// A request, and how to decode its reply.
pub struct Encoded {
    pub body: Bytes,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub plan: ReplyPlan,
}

/// What must be known before the conversation is written.
pub struct Draft<'a> {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The names of the tools. Those of calls in the conversation are added to them.
    pub names: Names<'a>,
    /// The gateway's own instruction for the model.
    pub instruction: Option<String>,
    thinking: reasoning::Reasoning,
    schema: Option<JsonSchema<'a>>,
    structured: Structured<'a>,
    tools: shared_tools::Tools<'a>,
}

/// What follows the conversation.
pub struct Settings<'a> {
    pub config: InferenceConfig<'a>,
    /// The parameters of reasoning, other parameters of the model, and the client's additional members.
    pub fields: Map<String, Value>,
    pub tools: Vec<Tool<'a>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    /// The client's schema, if the endpoint enforces it.
    pub schema: Option<JsonSchema<'a>>,
    pub service_tier: Option<&'static str>,
    /// Whether the model will reason.
    pub reasons: bool,
    pub envelope: Envelope,
}

/// A request without its body.
pub struct Envelope {
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub plan: ReplyPlan,
}

impl Envelope {
    /// Returns the request with `body`.
    ///
    /// # Errors
    /// If the body cannot be serialized.
    pub fn with_body(self, body: &impl Serialize) -> Result<Encoded, Error> {
        let Self { headers, plan } = self;
        let body = serde_json::to_vec(body).map(Bytes::from).map_err(|error| {
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
        })
    }
}

impl Shape<'_> {
    /// Plans the request for the conversation of `cx`.
    ///
    /// # Errors
    /// 400 with the member's path if the chat cannot be expressed on this endpoint.
    pub fn draft<'a>(&self, chat: &'a Chat, cx: &Context<'a>) -> Result<Draft<'a>, Error> {
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
        let schema = self.schema(chat);
        let structured = match schema {
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
        let tools = shared_tools::plan(
            chat,
            &structured,
            thinking.enabled,
            &mut names,
            &mut strict,
            &declared,
        )?;
        let instruction = match (&structured, &tools.instruction) {
            (Structured::Instruct(own), Some(choice)) => Some(format!("{choice}\n{}", own.text)),
            (Structured::Instruct(own), None) => Some(own.text.clone()),
            (_, choice) => choice.clone(),
        };
        Ok(Draft {
            headers,
            names,
            instruction,
            thinking,
            schema,
            structured,
            tools,
        })
    }

    /// Returns what follows the conversation, once all names are known.
    ///
    /// # Errors
    /// 400 with the member's path if the chat cannot be expressed on this endpoint.
    pub fn settings<'a>(
        &self,
        chat: &'a Chat,
        draft: Draft<'a>,
        cx: &Context<'a>,
    ) -> Result<Settings<'a>, Error> {
        let Draft {
            headers,
            names,
            mut thinking,
            schema,
            structured,
            tools: planned,
            ..
        } = draft;
        let facts = &cx.model.facts;
        let mut fields = std::mem::take(&mut thinking.fields);
        let (config, stops) = sampling::inference_config(chat, &thinking, &mut fields, cx);
        let additional = chat.bedrock.as_ref();
        let additional = additional.and_then(|own| own.additional_model_request_fields.as_ref());
        self.merge_additional(&mut fields, additional)?;
        let (tools, tool_choice) = tools(planned.config, facts);
        let service_tier = self.service_tier(chat)?;
        let mut plan = ReplyPlan {
            names: names.changed(),
            custom: planned.custom,
            mute: planned.mute,
            must_call: planned.instruction.is_some(),
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
            own_limit: sampling::own_limit(chat, &config, cx.model),
            ..ReplyPlan::default()
        };
        structured::expect(&structured, &mut plan);
        let hides = self.native.hides_reasoning && thinking.enabled;
        plan.unseen = config.max_tokens.filter(|_| hides).map_or(0, u64::from);
        Ok(Settings {
            config,
            fields,
            tools,
            tool_choice,
            schema,
            service_tier,
            reasons: thinking.enabled,
            envelope: Envelope { headers, plan },
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
            && !self.endpoint.is_responses()
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
    fn schema<'a>(&self, chat: &'a Chat) -> Option<JsonSchema<'a>> {
        let format = chat.response_format.as_ref()?;
        let format = format
            .json_schema
            .as_ref()
            .filter(|_| format.kind == "json_schema")?;
        if !takes_schema(self.native, self.endpoint) {
            return None;
        }
        Some(JsonSchema {
            name: &format.name,
            description: format.description.as_deref(),
            schema: format.schema.as_deref()?,
            strict: format.strict,
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
        let is_offered =
            self.endpoint.is_mantle() && self.native.tiers.iter().any(|offered| offered == tier);
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
